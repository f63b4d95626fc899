/* Where a public key comes from: a file, or the running ssh-agent. */
#include "cli.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static bool usable_line(const char *line)
{
    return strncmp(line, "ssh-ed25519 ", 12) == 0
           || strncmp(line, "ssh-rsa ", 8) == 0;
}

/* The first line of a .pub file; false, and `e` unset, when it is absent. */
static bool key_from_file(const char *path, char *line, size_t cap,
                          eice_error *e)
{
    uint8_t blob[EICE_MAX_KEY_BLOB];
    eice_blob text;
    eice_str rest;
    eice_str type;
    eice_str comment;
    bool absent = false;
    bool good = false;

    memset(&text, 0, sizeof text);
    if (eice_posix_read_file(path, 65536, &text, &absent, e) == EICE_OK
        && !absent) {
        rest = eice_str_make(text.ptr, text.len);
        rest = eice_str_trim(eice_str_cut(&rest, '\n'));
        good = rest.len < cap
               && eice_key_parse(rest, blob, sizeof blob, &type, &comment) > 0;
        if (!good) {
            eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                      "%s is not an OpenSSH public key", path);
        } else {
            memcpy(line, rest.ptr, rest.len);
            line[rest.len] = 0;
        }
        if (good && !usable_line(line)) {
            good = false;
            eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                      "%s: EC2 Instance Connect takes ssh-ed25519 and ssh-rsa "
                      "keys only",
                      path);
        }
    }
    eice_blob_free(&text);
    return good;
}

/* ---- agent ------------------------------------------------------------- */

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8
           | p[3];
}

static int agent_connect(void)
{
    const char *path = getenv("SSH_AUTH_SOCK");
    const struct timeval limit = {5, 0};
    struct sockaddr_un a;
    int fd;

    if (path == NULL || strlen(path) >= sizeof a.sun_path) {
        return -1;
    }
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    memcpy(a.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)(void *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool read_full(int fd, uint8_t *p, size_t len)
{
    while (len > 0) {
        const ssize_t n = read(fd, p, len);

        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* REQUEST_IDENTITIES (11) and its answer (12): the first key we can push. */
static bool key_from_agent(char *line, size_t cap)
{
    static const uint8_t ask[] = {0, 0, 0, 1, 11};
    static uint8_t answer[65536];
    const int fd = agent_connect();
    size_t len = 0;
    size_t at = 5;
    bool found = false;

    if (fd < 0) {
        return false;
    }
    if (write(fd, ask, sizeof ask) == (ssize_t)sizeof ask
        && read_full(fd, answer, 4) && get32(answer) <= sizeof answer
        && get32(answer) >= 5 && read_full(fd, answer, get32(answer))
        && answer[0] == 12) {
        len = sizeof answer;
    }
    close(fd);
    while (!found && at + 8 < len) {
        const size_t n = get32(answer + at);
        const eice_str type = eice_key_type(answer + at + 4,
                                            n < len - at - 4 ? n : 0);
        eice_buf b;

        if (type.len == 0) {
            break;
        }
        eice_buf_init(&b, line, cap);
        eice_key_line(&b, answer + at + 4, n, eice_str_c(""));
        found = usable_line(eice_buf_c(&b)) && !b.overflow;
        at += 4 + n;
        if (at + 4 > len) {
            break;
        }
        at += 4 + get32(answer + at); /* comment */
    }
    return found;
}

bool cli_public_key(const cli *c, const char *from, char *line, size_t cap)
{
    static const char *const usual[] = {"~/.ssh/id_ed25519.pub",
                                        "~/.ssh/id_rsa.pub"};
    eice_error e;
    size_t i;

    memset(&e, 0, sizeof e);
    if (from != NULL && strcmp(from, "agent") != 0) {
        if (key_from_file(from, line, cap, &e)) {
            return true;
        }
        eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "there is no public key file %s", from);
        cli_report(c, &e);
        return false;
    }
    for (i = 0; from == NULL && i < 2; i++) {
        if (key_from_file(usual[i], line, cap, &e)) {
            return true;
        }
    }
    if (key_from_agent(line, cap)) {
        return true;
    }
    eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
              from != NULL ? "the ssh-agent holds no ed25519 or RSA key"
                           : "no public key: neither ~/.ssh/id_ed25519.pub "
                             "nor id_rsa.pub, and no ssh-agent with one");
    snprintf(e.remedy, sizeof e.remedy, "name a .pub file");
    cli_report(c, &e);
    return false;
}

/* ---- the user's own private key ---------------------------------------- */

/* As OpenSSH has it: a private key that others may read is none. */
static bool private_file(const char *path, eice_error *e)
{
    struct stat s;

    if (stat(path, &s) == 0 && s.st_uid == getuid()
        && (s.st_mode & 077) != 0) {
        eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "%s can be read or written by others (mode 0%u%u%u)", path,
                  (unsigned)(s.st_mode >> 6 & 7),
                  (unsigned)(s.st_mode >> 3 & 7), (unsigned)(s.st_mode & 7));
        snprintf(e->remedy, sizeof e->remedy, "chmod 600 the file");
        return false;
    }
    return true;
}

/* Reads it once; `pass` may be NULL. */
static bool read_key(const char *path, eice_user_key *key,
                     eice_passphrase *pass, eice_error *e)
{
    eice_blob text;
    bool absent = false;
    bool good;

    memset(&text, 0, sizeof text);
    good = private_file(path, e)
           && eice_posix_read_file(path, 65536, &text, &absent, e) == EICE_OK;
    if (good && absent) {
        good = false;
        eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "there is no private key file %s", path);
    }
    good = good && eice_user_key_read(key, path, text.ptr, text.len, pass, e);
    if (text.ptr != NULL) {
        eice_wipe(text.ptr, text.len);
    }
    eice_blob_free(&text);
    return good;
}

/* Three tries, as OpenSSH gives; an empty answer is none. */
static bool unlock_key(const cli *c, const char *path, eice_user_key *key,
                       eice_error *e)
{
    static eice_passphrase pass;
    char prompt[300];
    char typed[1024];
    bool good = false;
    int i;

    eice_copy_text(e->remedy, sizeof e->remedy,
                   eice_str_c(c->batch ? "BatchMode forbids to ask for it"
                                       : "type it at a terminal, or name a "
                                         "program that asks in SSH_ASKPASS"));
    snprintf(prompt, sizeof prompt, "Enter passphrase for key '%.200s': ",
             path);
    for (i = 0; i < 3 && !good && !c->batch; i++) {
        if (!cli_ask(prompt, typed, sizeof typed) || typed[0] == 0) {
            break;
        }
        memset(e, 0, sizeof *e);
        pass.text = eice_str_c(typed);
        good = read_key(path, key, &pass, e);
        eice_wipe(typed, sizeof typed);
        if (e->code != EICE_E_PASSPHRASE) {
            break;
        }
    }
    eice_wipe(typed, sizeof typed);
    return good;
}

/* The key of the login, for as long as the program runs. */
static eice_user_key own_key;
static char own_line[1024];

bool cli_login_key(cli *c)
{
    const char *path = c->user_key;
    eice_error e;
    eice_buf b;

    memset(&e, 0, sizeof e);
    if (path == NULL) {
        return true;
    }
    if (!read_key(path, &own_key, NULL, &e)
        && (e.code != EICE_E_KEY_LOCKED
            || !unlock_key(c, path, &own_key, &e))) {
        cli_report(c, &e);
        return false;
    }
    eice_buf_init(&b, own_line, sizeof own_line);
    eice_key_line(&b, own_key.blob, own_key.blob_len, eice_str_c(""));
    c->conn.public_key = eice_str_c(eice_buf_c(&b));
    c->conn.sign = eice_user_key_sign;
    c->conn.sign_user = &own_key;
    return true;
}

void cli_login_key_forget(void)
{
    eice_wipe(&own_key, sizeof own_key);
}
