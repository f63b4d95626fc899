/*
 * A small SSH client for the tests of the BearSSL backend: libssh2 over a
 * plain TCP connection to the loopback address, with the algorithms it is
 * told and no others.  It logs in with an Ed25519 key by a signing callback,
 * sends 2 MiB, has the other side hash them, reads them back and compares.
 *
 *     ssh_kex PORT USER SEED_HEX KEX HOSTKEY CIPHER MAC [COUNT]
 *
 * Prints "ok KEX HOSTKEY CIPHER MAC seconds-up seconds-down", or
 * "error NUMBER STAGE: TEXT" and exits 1.  COUNT is MiB, 2 by default.
 */
#define _DEFAULT_SOURCE
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <libssh2.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "unhex.h"

#define MIB ((size_t)1 << 20)
#define BLOB_LEN (4 + 11 + 4 + 32)

typedef struct client {
    LIBSSH2_SESSION *session;
    int fd;
    uint8_t seed[32];
    uint8_t public_key[32];
    uint8_t blob[BLOB_LEN];
    const char *const *methods; /* kex, host key, cipher, MAC */
    uint8_t *data;
    size_t len;
} client;

static void stop(client *c, const char *stage)
{
    char *text = NULL;
    const int code = libssh2_session_last_error(c->session, &text, NULL, 0);

    printf("error %d %s: %s\n", code, stage, text == NULL ? "" : text);
    libssh2_session_free(c->session);
    free(c->data);
    exit(1);
}

/* libssh2 is built without waiting.  False ends a loop around a call. */
static bool again(const client *c, ssize_t rc)
{
    struct pollfd p;

    if (rc == LIBSSH2_ERROR_EAGAIN) {
        p.fd = c->fd;
        p.events = POLLIN;
        if ((libssh2_session_block_directions(c->session)
             & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0) {
            p.events = POLLIN | POLLOUT;
        }
        (void)poll(&p, 1, 1000);
    }
    return rc == LIBSSH2_ERROR_EAGAIN;
}

#define need(c, call, stage) \
    do { \
        int need_rc; \
        do { \
            need_rc = (call); \
        } while (again(c, need_rc)); \
        if (need_rc != 0) { \
            stop(c, stage); \
        } \
    } while (0)

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(const char *port)
{
    struct sockaddr_in address;
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        exit(2);
    }
    /* or small packets wait for an ACK, 40 ms each time */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void make_key(client *c, const char *seed_hex)
{
    if (unhex(seed_hex, c->seed, 32) != 32) {
        exit(2);
    }
    eice_ed25519_public(c->public_key, c->seed);
    memcpy(c->blob, "\0\0\0\x0bssh-ed25519\0\0\0\x20", 19);
    memcpy(c->blob + 19, c->public_key, 32);
}

static void choose(client *c)
{
    static const int kinds[] = {LIBSSH2_METHOD_KEX,
                                LIBSSH2_METHOD_HOSTKEY,
                                LIBSSH2_METHOD_CRYPT_CS,
                                LIBSSH2_METHOD_CRYPT_SC,
                                LIBSSH2_METHOD_MAC_CS,
                                LIBSSH2_METHOD_MAC_SC};
    static const int from[] = {0, 1, 2, 2, 3, 3};
    size_t i;

    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        need(c,
             libssh2_session_method_pref(c->session, kinds[i],
                                         c->methods[from[i]]),
             "method_pref");
    }
}

/* libssh2 frees the signature with the session's allocator: malloc's here. */
static int sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len,
                const unsigned char *data, size_t data_len, void **abstract)
{
    const client *const c = *(const client *const *)abstract;

    (void)session;
    *sig = (unsigned char *)malloc(64);
    if (*sig == NULL) {
        return -1;
    }
    eice_ed25519_sign(*sig, c->seed, c->public_key, data, data_len);
    *sig_len = 64;
    return 0;
}

static LIBSSH2_CHANNEL *start(client *c, const char *command)
{
    LIBSSH2_CHANNEL *channel;

    do {
        channel = libssh2_channel_open_session(c->session);
    } while (channel == NULL
             && again(c, libssh2_session_last_errno(c->session)));
    if (channel == NULL) {
        stop(c, "open");
    }
    need(c, libssh2_channel_exec(channel, command), "exec");
    return channel;
}

static void finish(client *c, LIBSSH2_CHANNEL *channel)
{
    need(c, libssh2_channel_close(channel), "close");
    need(c, libssh2_channel_wait_closed(channel), "wait_closed");
    if (libssh2_channel_get_exit_status(channel) != 0) {
        stop(c, "exit status");
    }
    need(c, libssh2_channel_free(channel), "free");
}

/* Reads up to len bytes, until the end of the stream. */
static size_t read_all(client *c, LIBSSH2_CHANNEL *channel, uint8_t *out,
                       size_t len)
{
    size_t got = 0;
    ssize_t n = 1;

    while (got < len && n > 0) {
        do {
            n = libssh2_channel_read(channel, (char *)out + got, len - got);
        } while (again(c, n));
        if (n < 0) {
            stop(c, "read");
        }
        got += (size_t)n;
    }
    return got;
}

static void send_up(client *c)
{
    LIBSSH2_CHANNEL *const channel =
        start(c, "cat > copy && sha256sum < copy");
    br_sha256_context hash;
    uint8_t digest[32];
    uint8_t want[32];
    char line[80];
    size_t at = 0;

    while (at < c->len) {
        ssize_t n;

        do {
            n = libssh2_channel_write(channel, (const char *)c->data + at,
                                      c->len - at);
        } while (again(c, n));
        if (n < 0) {
            stop(c, "write");
        }
        at += (size_t)n;
    }
    need(c, libssh2_channel_send_eof(channel), "eof");
    if (read_all(c, channel, (uint8_t *)line, sizeof line) < 64) {
        stop(c, "digest");
    }
    line[64] = 0;
    unhex(line, digest, sizeof digest);
    br_sha256_init(&hash);
    br_sha256_update(&hash, c->data, c->len);
    br_sha256_out(&hash, want);
    if (memcmp(digest, want, sizeof want) != 0) {
        stop(c, "digest differs");
    }
    finish(c, channel);
}

static void bring_down(client *c)
{
    LIBSSH2_CHANNEL *const channel = start(c, "cat copy");
    uint8_t *const copy = (uint8_t *)malloc(c->len + 1);

    if (copy == NULL || read_all(c, channel, copy, c->len + 1) != c->len ||
        memcmp(copy, c->data, c->len) != 0) {
        free(copy);
        stop(c, "copy differs");
    }
    free(copy);
    finish(c, channel);
}

static void connect_and_log_in(client *c, const char *port, const char *user)
{
    void *abstract = c;

    c->fd = dial(port);
    c->session = libssh2_session_init();
    if (c->session == NULL) {
        exit(2);
    }
    libssh2_session_set_blocking(c->session, 0);
    choose(c);
    need(c, libssh2_session_handshake(c->session, c->fd), "handshake");
    need(c,
         libssh2_userauth_publickey(c->session, user, c->blob, sizeof c->blob,
                                    sign, &abstract),
         "userauth");
}

static void report(client *c, double up, double down)
{
    static const int kinds[] = {LIBSSH2_METHOD_KEX, LIBSSH2_METHOD_HOSTKEY,
                                LIBSSH2_METHOD_CRYPT_CS,
                                LIBSSH2_METHOD_MAC_CS};
    size_t i;

    printf("ok");
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        printf(" %s", libssh2_session_methods(c->session, kinds[i]));
    }
    printf(" %.3f %.3f\n", up, down);
}

int main(int argc, char **argv)
{
    client c;
    double begin;
    double middle;
    size_t i;

    if (argc < 8) {
        fprintf(stderr, "usage: ssh_kex PORT USER SEED KEX HOSTKEY CIPHER MAC "
                        "[MIB]\n");
        return 2;
    }
    memset(&c, 0, sizeof c);
    c.methods = (const char *const *)argv + 4;
    c.len = MIB * (size_t)(argc > 8 ? atoi(argv[8]) : 2);
    c.data = (uint8_t *)malloc(c.len);
    if (c.data == NULL || libssh2_init(0) != 0) {
        return 2;
    }
    for (i = 0; i < c.len; i++) {
        c.data[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    make_key(&c, argv[3]);
    connect_and_log_in(&c, argv[1], argv[2]);
    begin = now();
    send_up(&c);
    middle = now();
    bring_down(&c);
    report(&c, middle - begin, now() - middle);
    libssh2_session_disconnect(c.session, "done");
    libssh2_session_free(c.session);
    libssh2_exit();
    free(c.data);
    return 0;
}
