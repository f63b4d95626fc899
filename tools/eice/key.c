/* Where keys come from: a file, or the running ssh-agent. */
#include "cli.h"

#include <sys/stat.h>
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

/* "agent", or "agent:" and a part of the comment or fingerprint. */
static bool is_agent(const char *from)
{
    return strcmp(from, "agent") == 0 || strncmp(from, "agent:", 6) == 0;
}

static const char *agent_like(const char *from)
{
    return from != NULL && from[5] == ':' ? from + 6 : "";
}

bool cli_public_key(const cli *c, const char *from, char *line, size_t cap)
{
    static const char *const usual[] = {"~/.ssh/id_ed25519.pub",
                                        "~/.ssh/id_rsa.pub"};
    eice_str certificate; /* not to be pushed */
    eice_error e;
    size_t i;

    memset(&e, 0, sizeof e);
    if (from != NULL && !is_agent(from)) {
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
    if (cli_agent_key(c, agent_like(from), eice_str_c(""), line, cap,
                      &certificate, &e)) {
        return true;
    }
    if (from == NULL) {
        memset(&e, 0, sizeof e);
        eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "no public key: neither ~/.ssh/id_ed25519.pub nor "
                  "id_rsa.pub, and no ssh-agent with one");
    }
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

/* A .pub file: its private half is in the agent. Bytes of its blob, or -1. */
static ptrdiff_t public_half(const char *path, uint8_t *blob, size_t cap)
{
    eice_blob text;
    eice_error e;
    eice_str rest;
    bool absent = false;
    ptrdiff_t n;

    memset(&text, 0, sizeof text);
    memset(&e, 0, sizeof e);
    (void)eice_posix_read_file(path, 65536, &text, &absent, &e);
    rest = eice_str_make(text.ptr, text.len);
    n = eice_key_parse(eice_str_trim(eice_str_cut(&rest, '\n')), blob, cap,
                       NULL, NULL);
    if (text.ptr != NULL) {
        eice_wipe(text.ptr, text.len); /* it may be the private half */
    }
    eice_blob_free(&text);
    return n;
}

/* The key of the login, for as long as the program runs. */
static eice_user_key own_key;
static char own_line[4097];

static bool own_private(cli *c, const char *path, eice_error *e)
{
    eice_buf b;

    if (!read_key(path, &own_key, NULL, e)
        && (e->code != EICE_E_KEY_LOCKED
            || !unlock_key(c, path, &own_key, e))) {
        return false;
    }
    eice_buf_init(&b, own_line, sizeof own_line);
    eice_key_line(&b, own_key.blob, own_key.blob_len, eice_str_c(""));
    (void)eice_buf_c(&b);
    c->conn.sign = eice_user_key_sign;
    c->conn.sign_user = &own_key;
    return true;
}

/* IdentityFile: the first that is there, as in OpenSSH; else a key is made for
 * the login. */
int cli_identity_file(cli *c, const char *path)
{
    char real[1024];

    if (c->identity_file == NULL && eice_posix_expand(path, real, sizeof real)
        && access(real, F_OK) == 0) {
        c->identity_file = path;
    }
    return -1;
}

/* FILE-cert.pub for FILE, FILE.pub and itself. */
static void certificate_beside(const char *path, char *out, size_t cap)
{
    eice_str stem = eice_str_c(path);
    eice_buf b;

    if (eice_str_glob(stem, eice_str_c("*.pub"), false)) {
        stem.len -= 4;
    }
    if (eice_str_glob(stem, eice_str_c("*-cert"), false)) {
        stem.len -= 5;
    }
    eice_buf_init(&b, out, cap);
    eice_putf(&b, "%S-cert.pub", &stem);
    (void)eice_buf_c(&b);
}

static void take_certificate(cli *c, const char *name, eice_str blob)
{
    const uint64_t now = (uint64_t)eice_posix_now().unix_s;
    uint8_t key[EICE_MAX_KEY_BLOB];
    const ptrdiff_t n = eice_key_parse(eice_str_c(own_line), key, sizeof key,
                                       NULL, NULL);
    eice_certificate cert;
    const char *fault = NULL;

    if (!eice_certificate_read(&cert, blob)) {
        fault = "is no certificate that can be read";
    } else if (cert.host) {
        fault = "is the certificate of a host";
    } else if (n <= 0 || !eice_str_eq(eice_str_make(key, (size_t)n),
                                      eice_str_make(cert.key, cert.key_len))) {
        fault = "is the certificate of another key";
    }
    if (fault != NULL) {
        cli_say(c, "%s %s; going on without", name, fault);
        return;
    }
    if (now < cert.after || now >= cert.before) {
        cli_say(c, "%s is %s by the clock of this machine", name,
                now < cert.after ? "not valid yet" : "expired");
    }
    c->conn.certificate = blob;
}

/* As OpenSSH has it, the certificate that was named or lies beside the key at
 * `path` ("": the agent has it); else what the agent had. Whatever is wrong
 * with it, the key is still there. */
static void own_certificate(cli *c, const char *path)
{
    static uint8_t blob[EICE_MAX_CERTIFICATE];
    const eice_str held = c->conn.certificate;
    char beside[1040];
    ptrdiff_t n;

    certificate_beside(path, beside, sizeof beside);
    if (c->certificate_file != NULL) {
        (void)eice_posix_expand(c->certificate_file, beside, sizeof beside);
    }
    if (c->certificate_file != NULL
        || (path[0] != 0 && access(beside, F_OK) == 0)) {
        n = public_half(beside, blob, sizeof blob);
        take_certificate(c, beside, eice_str_make(blob, n > 0 ? (size_t)n : 0));
    } else if (held.len > 0) {
        take_certificate(c, "the certificate in the agent", held);
    }
}

bool cli_login_key(cli *c)
{
    const char *from = c->user_key != NULL ? c->user_key : c->identity_file;
    uint8_t blob[EICE_MAX_CERTIFICATE];
    eice_certificate cert; /* a file may hold that, too */
    char path[1024];
    eice_error e;
    ptrdiff_t n;
    bool good;

    memset(&e, 0, sizeof e);
    path[0] = 0;
    if (from == NULL) {
        if (c->certificate_file != NULL) {
            cli_say(c, "CertificateFile needs -i or IdentityFile; "
                       "going on without");
        }
        return true;
    }
    if (c->user_key != NULL && is_agent(from)) {
        good = cli_agent_key(c, agent_like(from), eice_str_c(""), own_line,
                             sizeof own_line, &c->conn.certificate, &e);
        cli_agent_signs(c);
    } else if (!eice_posix_expand(from, path, sizeof path)) {
        good = false;
        eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "the path %s is too long", from);
    } else if ((n = public_half(path, blob, sizeof blob)) > 0) {
        eice_str key = eice_str_make(blob, (size_t)n);

        if (eice_certificate_read(&cert, key)) {
            key = eice_str_make(cert.key, cert.key_len);
        }
        good = cli_agent_key(c, from, key, own_line, sizeof own_line,
                             &c->conn.certificate, &e);
        cli_agent_signs(c);
    } else {
        good = own_private(c, path, &e);
    }
    c->conn.public_key = eice_str_c(own_line);
    if (good) {
        own_certificate(c, path);
    } else {
        cli_report(c, &e);
    }
    return good;
}

void cli_login_key_forget(void)
{
    eice_wipe(&own_key, sizeof own_key);
}
