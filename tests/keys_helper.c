/* Keys, known_hosts and the agent as a program, for keys_openssh.py.
 *
 *   keys_helper key                      SHA256:... TYPE COMMENT
 *   keys_helper check KNOWN_HOSTS HOST   VERDICT LINE
 *   keys_helper types KNOWN_HOSTS HOST   TYPE ...
 *   keys_helper line HOST                the line of a known_hosts file
 *   keys_helper private STEP             the line of a private key; damaged
 *                                        forms of it are refused or read
 *   keys_helper unlock PASSPHRASE        the same of one that has a passphrase;
 *                                        it is asked for, and a wrong one told
 *   keys_helper agent SOCKET SEED STEP   serves; the key's line comes first
 *
 * A line of a .pub file is read from stdin where there is a key; SEED is in
 * hex; STEP is how many bytes the agent reads at a time. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint8_t blob[EICE_MAX_KEY_BLOB];
static size_t blob_len;
static char text[4 * 1024 * 1024];

static int die(const char *what)
{
    fprintf(stderr, "keys_helper: %s\n", what);
    exit(2);
}

static eice_str read_all(FILE *f)
{
    if (f == NULL) {
        die("cannot open the file");
    }
    return eice_str_make(text, fread(text, 1, sizeof text, f));
}

/* The key on stdin, and its comment. */
static eice_str read_key(void)
{
    eice_str comment = eice_str_c("");
    const ptrdiff_t n = eice_key_parse(read_all(stdin), blob, sizeof blob,
                                       NULL, &comment);

    if (n < 0) {
        die("no key");
    }
    blob_len = (size_t)n;
    return comment;
}

static int show_key(void)
{
    const eice_str comment = read_key();
    const eice_str type = eice_key_type(blob, blob_len);
    char print[EICE_FINGERPRINT];

    eice_key_fingerprint(print, blob, blob_len);
    printf("%s %.*s %.*s\n", print, (int)type.len, type.ptr, (int)comment.len,
           comment.ptr);
    return 0;
}

static int check(const char *path, const char *host)
{
    static const char *const names[] = {
        "unknown", "other", "match", "changed", "revoked"
    };
    unsigned line;
    eice_hostkey verdict;

    (void)read_key();
    verdict = eice_known_hosts_check(read_all(fopen(path, "rb")),
                                     eice_str_c(host), blob, blob_len, &line);
    printf("%s %u\n", names[verdict], line);
    return 0;
}

static void show_type(void *user, eice_str name)
{
    (void)user;
    printf("%.*s\n", (int)name.len, name.ptr);
}

static int types(const char *path, const char *host)
{
    eice_known_hosts_types(read_all(fopen(path, "rb")), eice_str_c(host),
                           show_type, NULL);
    return 0;
}

static int line(const char *host)
{
    eice_buf b;

    (void)read_key();
    eice_buf_init(&b, text, sizeof text);
    eice_known_hosts_line(&b, eice_str_c(host), blob, blob_len,
                          eice_str_c(""));
    printf("%.*s", (int)b.len, b.ptr);
    return b.overflow;
}

/* Reads a copy of `len` bytes that ends where its memory ends. */
static bool read_private(eice_user_key *k, const char *from, size_t len)
{
    char *copy = (char *)malloc(len > 0 ? len : 1);
    eice_error e;
    bool good;

    memset(&e, 0, sizeof e);
    memcpy(copy, from, len);
    good = eice_user_key_read(k, "FILE", copy, len, NULL, &e);
    free(copy);
    if (!good && (e.code != EICE_E_ARGUMENT || k->blob_len != 0)) {
        die("no error");
    }
    return good;
}

static int show_private(const eice_user_key *k)
{
    static char out[2000];
    eice_buf b;

    eice_buf_init(&b, out, sizeof out);
    eice_key_line(&b, k->blob, k->blob_len, eice_str_c(""));
    printf("%s\n", eice_buf_c(&b));
    return 0;
}

/* What reading it with a passphrase, or without one, ends with. */
static eice_err unlock_with(eice_user_key *k, eice_str all, const char *typed)
{
    static eice_passphrase pass;
    char *copy = (char *)malloc(all.len);
    eice_error e;

    memset(&e, 0, sizeof e);
    memcpy(copy, all.ptr, all.len);
    pass.text = eice_str_c(typed);
    (void)eice_user_key_read(k, "FILE", copy, all.len,
                             typed != NULL ? &pass : NULL, &e);
    free(copy);
    return e.code;
}

static int unlock(const char *typed)
{
    const eice_str all = read_all(stdin);
    eice_user_key k;

    if (unlock_with(&k, all, NULL) != EICE_E_KEY_LOCKED) {
        die("a key without a passphrase");
    }
    if (unlock_with(&k, all, "wrong") != EICE_E_PASSPHRASE) {
        die("a wrong passphrase is not told");
    }
    if (unlock_with(&k, all, typed) != EICE_OK) {
        die("the right passphrase is not taken");
    }
    return show_private(&k);
}

static int private_key(size_t step)
{
    const eice_str all = read_all(stdin);
    eice_user_key k;
    eice_user_key other;
    size_t i;

    if (!read_private(&k, all.ptr, all.len)) {
        die("no private key");
    }
    for (i = 0; i < all.len; i++) {
        if (read_private(&other, all.ptr, i) && i + 40 < all.len) {
            die("a part of a key was read");
        }
    }
    for (i = 0; i < all.len; i += step) {
        text[i] ^= 4;
        /* a comment, or padding: else another key, but never a wrong pair */
        (void)read_private(&other, all.ptr, all.len);
        text[i] ^= 4;
    }
    return show_private(&k);
}

/* ---- agent ------------------------------------------------------------- */

static eice_user_key served;

static bool send_all(int fd, eice_str s)
{
    while (s.len > 0) {
        const ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        s = eice_str_make(s.ptr + n, s.len - (size_t)n);
    }
    return true;
}

/* Answers what is complete and keeps the rest; false ends the connection. */
static bool answer(int fd, char *in, size_t *have)
{
    for (;;) {
        char memory[EICE_AGENT_ANSWER];
        eice_buf out;
        ptrdiff_t n;

        eice_buf_init(&out, memory, sizeof memory);
        n = eice_agent_serve(&served, eice_str_make(in, *have), &out);
        if (n < 0 || !send_all(fd, eice_buf_str(&out))) {
            return false;
        }
        if (n == 0) {
            return true;
        }
        *have -= (size_t)n;
        memmove(in, in + n, *have);
    }
}

static void serve(int fd, size_t step)
{
    static char in[EICE_AGENT_MAX + 4];
    size_t have = 0;

    for (;;) {
        const size_t room = sizeof in - have;
        const ssize_t n = read(fd, in + have, step < room ? step : room);

        if (n <= 0) {
            return;
        }
        have += (size_t)n;
        if (!answer(fd, in, &have)) {
            return;
        }
    }
}

static int agent(const char *path, const char *seed_hex, const char *step)
{
    const int s = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un to;
    eice_buf b;

    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof to.sun_path
        || eice_hex_decode(eice_str_c(seed_hex), served.seed, 32) != 32) {
        die("bad arguments");
    }
    memcpy(to.sun_path, path, strlen(path));
    if (s < 0 || bind(s, (struct sockaddr *)&to, sizeof to) != 0
        || listen(s, 8) != 0) {
        die("cannot listen");
    }
    eicei_user_key_ed25519(&served);
    eice_buf_init(&b, text, sizeof text);
    eice_key_line(&b, served.blob, served.blob_len, eice_str_c("eice"));
    printf("%s\n", eice_buf_c(&b));
    fflush(stdout);
    for (;;) {
        const int fd = accept(s, NULL, NULL);

        if (fd < 0) {
            return 1;
        }
        serve(fd, (size_t)atoi(step));
        close(fd);
    }
}

int main(int argc, char **argv)
{
    const eice_str what = eice_str_c(argc > 1 ? argv[1] : "");

    if (eice_str_is(what, "key") && argc == 2) {
        return show_key();
    }
    if (eice_str_is(what, "check") && argc == 4) {
        return check(argv[2], argv[3]);
    }
    if (eice_str_is(what, "types") && argc == 4) {
        return types(argv[2], argv[3]);
    }
    if (eice_str_is(what, "line") && argc == 3) {
        return line(argv[2]);
    }
    if (eice_str_is(what, "private") && argc == 3) {
        return private_key((size_t)atoi(argv[2]));
    }
    if (eice_str_is(what, "unlock") && argc == 3) {
        return unlock(argv[2]);
    }
    if (eice_str_is(what, "agent") && argc == 5) {
        return agent(argv[2], argv[3], argv[4]);
    }
    return die("key | check FILE HOST | types FILE HOST | line HOST | "
               "private STEP | unlock PASSPHRASE | agent SOCKET SEED STEP");
}
