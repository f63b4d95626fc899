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

static bool user_key(const cli *c, eice_user_key *key, char *line,
                     size_t cap)
{
    eice_error e;
    eice_blob text;
    eice_buf b;
    bool absent = false;
    bool good;

    memset(&e, 0, sizeof e);
    memset(&text, 0, sizeof text);
    good = private_file(c->user_key, &e)
           && eice_posix_read_file(c->user_key, 65536, &text, &absent, &e)
                  == EICE_OK;
    if (good && absent) {
        good = false;
        eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "there is no private key file %s", c->user_key);
    }
    good = good && eice_user_key_read(key, c->user_key, text.ptr, text.len, &e);
    if (text.ptr != NULL) {
        eice_wipe(text.ptr, text.len);
    }
    eice_blob_free(&text);
    if (!good) {
        cli_report(c, &e);
        return false;
    }
    eice_buf_init(&b, line, cap);
    eice_key_line(&b, key->blob, key->blob_len, eice_str_c(""));
    (void)eice_buf_c(&b);
    return !b.overflow;
}

bool cli_own_key(cli *c, eice_user_key *key, char *line, size_t cap)
{
    if (c->user_key == NULL) {
        return true;
    }
    if (!user_key(c, key, line, cap)) {
        return false;
    }
    c->conn.public_key = eice_str_c(line);
    c->conn.sign = eice_user_key_sign;
    c->conn.sign_user = key;
    return true;
}
