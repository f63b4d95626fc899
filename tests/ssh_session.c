/*
 * An SSH session of the library over a plain TCP connection to the loopback
 * address, without a tunnel, for ssh_servers.py.
 *
 *     ssh_session PORT USER SEED_HEX MODE ARGUMENT ...
 *
 *     listen PORT|PATH COUNT  has the server listen, prints "listening PORT",
 *                             echoes COUNT connections and what each sent
 *                             closes with its SHA-256, prints "heard COUNT",
 *                             ends listening, prints "silent", waits for a
 *                             line on stdin
 *     connect PORT|PATH       sends 1 MiB to it from the server's side and
 *                             wants it back and its digest: prints "echoed"
 *
 *     hole PORT TARGET        opens a channel to PORT, where nobody answers,
 *                             and ten to TARGET meanwhile: prints "opened 10";
 *                             when the first has failed: "late", and one more
 *     cat MIB REKEYS          has `cat` return so much, with REKEYS key
 *                             exchanges of ours meanwhile; prints "same"
 *     rekey                   prints "rekeyed", or what is wrong
 *     stranger                as if another host key had been accepted
 *     who                     before the login: prints the version line and
 *                             the host key's fingerprint, and refuses it
 *     lacks                   what this libssh2 lacks, a line each
 *
 * What follows KEY=VALUE: kex, ciphers, macs or host_key_types, rekey_bytes;
 * slow (as if the processor had no AES instructions), remedy (say it behind
 * the error) and rest (cat reads nothing for a while after each key exchange).
 * A login that is rejected prints "methods" and what the server would take.
 * Errors are printed as "error STAGE: TEXT"; the status is 1.
 */
#include <stdbool.h>

static bool slow_aes;
#define EICE_FAST_AES() (!slow_aes)
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "unhex.h"

#define LIMIT_MS 60000
#define CHUNK 8192

/* One connection that is echoed. */
typedef struct echo {
    bool used;
    uint8_t data[CHUNK]; /* to be sent */
    size_t len;
    size_t at;
    br_sha256_context hash;
    bool last;           /* the digest is in data */
} echo;

static bool remedies;
static bool rests;
static eice_ssh *ssh;
static int fd;
static uint64_t end_ms;
static uint8_t seed[32];
static uint8_t public_key[32];
static uint8_t blob[4 + 11 + 4 + 32];
static echo echoes[EICE_MAX_CHANNELS];

static void die(const eice_error *e)
{
    printf("error %s: %s%s%s\n", eice_stage_name(e->stage), e->text,
           remedies ? "; " : "", remedies ? e->remedy : "");
    exit(1);
}

static void die_of(const char *text)
{
    printf("error test: %s\n", text);
    exit(1);
}

/* ---- the wire ---------------------------------------------------------- */

static int dial(const char *port)
{
    struct sockaddr_in address;
    const int on = 1;
    const int s = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (s < 0
        || connect(s, (const struct sockaddr *)&address, sizeof address) != 0) {
        die_of("connect");
    }
    /* or small packets wait for an ACK, 40 ms each time */
    (void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return s;
}

static bool send_some(void)
{
    const uint8_t *p;
    const size_t n = eice_ssh_net_out(ssh, &p);
    const ssize_t sent
        = n > 0 ? send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    if (sent > 0) {
        eice_ssh_net_out_ack(ssh, (size_t)sent);
    }
    return sent > 0;
}

static bool receive_some(void)
{
    uint8_t *p;
    const size_t n = eice_ssh_net_in(ssh, &p);
    const ssize_t got = n > 0 ? recv(fd, p, n, MSG_DONTWAIT) : -1;

    if (got == 0) {
        eice_ssh_net_eof(ssh, EICE_OK);
    }
    if (got > 0) {
        eice_ssh_net_in_ack(ssh, (size_t)got);
    }
    return got > 0;
}

/* One turn of the loop; waits when nothing moves and nobody is busy. */
static void turn(bool busy)
{
    const uint64_t now = eice_posix_now().ms;
    struct pollfd p;

    if (now > end_ms) {
        die_of("not done in time");
    }
    busy = send_some() || busy;
    busy = receive_some() || busy;
    /* what came in is worked on before a channel is read again */
    while (eice_ssh_step(ssh, eice_posix_now().ms)) {
        busy = true;
    }
    if (eice_ssh_phase_of(ssh) == EICE_SSH_FAILED) {
        die(eice_ssh_error(ssh));
    }
    if (!busy) {
        const uint64_t due = eice_ssh_deadline(ssh);
        const bool out = (eice_ssh_state(ssh) & EICE_WANT_WRITE) != 0;

        p.fd = fd;
        p.events = (short)(out ? POLLIN | POLLOUT : POLLIN);
        poll(&p, 1, due > now + 1000 ? 1000 : due > now ? (int)(due - now) : 0);
    }
}

/* ---- the login --------------------------------------------------------- */

static ptrdiff_t sign(void *user, eice_str algorithm, eice_str data,
                      uint8_t *out, size_t cap)
{
    (void)user;
    if (!eice_str_is(algorithm, "ssh-ed25519") || cap < 64) {
        return -1;
    }
    eice_ed25519_sign(out, seed, public_key, data.ptr, data.len);
    return 64;
}

static void log_in(const char *user)
{
    eice_ssh_login login;

    memset(&login, 0, sizeof login);
    login.user = user;
    login.key_blob = eice_str_make(blob, sizeof blob);
    login.sign = sign;
    while (eice_ssh_phase_of(ssh) != EICE_SSH_HOSTKEY) {
        turn(false);
    }
    eice_ssh_accept(ssh);
    if (eice_ssh_auth(ssh, &login) != EICE_OK) {
        die_of("auth");
    }
    while (eice_ssh_phase_of(ssh) != EICE_SSH_READY) {
        turn(false);
        if (eice_ssh_rejected(ssh)) {
            const eice_str methods = eice_ssh_auth_methods(ssh);

            printf("methods %.*s\n", (int)methods.len, methods.ptr);
            die_of("rejected");
        }
    }
}

static void mode_who(void)
{
    eice_error e;
    char print[EICE_FINGERPRINT];
    eice_str key;
    eice_str banner;

    while (eice_ssh_phase_of(ssh) != EICE_SSH_HOSTKEY) {
        turn(false);
    }
    key = eice_ssh_host_key(ssh);
    banner = eice_ssh_banner(ssh);
    eice_key_fingerprint(print, key.ptr, key.len);
    printf("%.*s\n%s\n", (int)banner.len, banner.ptr, print);
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_HOST_KEY_UNKNOWN, EICE_STAGE_HOSTKEY, "not %s", print);
    eice_ssh_refuse(ssh, &e);
    turn(false); /* dies of it */
}

/* The arguments KEY=VALUE; the number of the others. */
static int options(eice_ssh_opts *o, int argc, char **argv)
{
    int n = 0;
    int i;

    memset(o, 0, sizeof *o);
    o->channel_timeout_ms = 3000;
    for (i = 0; i < argc; i++) {
        eice_str rest = eice_str_c(argv[i]);
        const eice_str key = eice_str_cut(&rest, '=');
        const char *value = rest.ptr;

        if (key.len == strlen(argv[i])) {
            argv[n++] = argv[i];
        } else if (eice_str_is(key, "kex")) {
            o->kex = value;
        } else if (eice_str_is(key, "ciphers")) {
            o->ciphers = value;
        } else if (eice_str_is(key, "macs")) {
            o->macs = value;
        } else if (eice_str_is(key, "host_key_types")) {
            o->host_key_types = value;
        } else if (eice_str_is(key, "rekey_bytes")) {
            o->rekey_bytes = (uint64_t)atoi(value);
        } else if (eice_str_is(key, "slow")) {
            slow_aes = true;
        } else if (eice_str_is(key, "remedy")) {
            remedies = true;
        } else if (eice_str_is(key, "rest")) {
            rests = true;
        }
    }
    return n;
}

static void begin(const eice_ssh_opts *o, const char *port,
                  const char *seed_hex)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    if (unhex(seed_hex, seed, 32) != 32) {
        die_of("seed");
    }
    eice_ed25519_public(public_key, seed);
    memcpy(blob, "\0\0\0\x0bssh-ed25519\0\0\0\x20", 19);
    memcpy(blob + 19, public_key, 32);
    fd = dial(port);
    ssh = eice_ssh_new(o, eice_posix_now().ms, &e);
    if (ssh == NULL) {
        die(&e);
    }
}

/* ---- listen ------------------------------------------------------------ */

static void digest(echo *c)
{
    br_sha256_out(&c->hash, c->data);
    c->len = 32;
    c->at = 0;
    c->last = true;
}

/* True when something moved; *done when the connection is over. */
static bool echo_work(int channel, echo *c, bool *done)
{
    const unsigned state = eice_channel_state(ssh, channel);
    bool moved = false;

    if (c->at == c->len && !c->last) {
        c->at = 0;
        c->len = eice_channel_read(ssh, channel, 0, c->data, CHUNK);
        br_sha256_update(&c->hash, c->data, c->len);
        moved = c->len > 0;
        if (!moved && (state & EICE_CHAN_EOF) != 0) {
            digest(c);
        }
    }
    if (c->at < c->len) {
        const size_t n = eice_channel_write(ssh, channel, c->data + c->at,
                                            c->len - c->at);

        c->at += n;
        moved = moved || n > 0;
        if (c->last && c->at == c->len) {
            eice_channel_eof(ssh, channel);
        }
    }
    *done = c->last && c->at == c->len && (state & EICE_CHAN_CLOSED) != 0;
    return moved;
}

static bool serve(int *over)
{
    bool moved = false;
    int i;

    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        bool done = false;

        if (echoes[i].used) {
            moved = echo_work(i, &echoes[i], &done) || moved;
        }
        if (done) {
            eice_channel_close(ssh, i);
            echoes[i].used = false;
            ++*over;
        }
    }
    return moved;
}

static void take(int wanted)
{
    int listener = -1;
    int channel;

    while ((channel = eice_ssh_accept_channel(ssh, &listener)) >= 0) {
        if (listener != wanted) {
            die_of("another listener");
        }
        memset(&echoes[channel], 0, sizeof echoes[channel]);
        echoes[channel].used = true;
        br_sha256_init(&echoes[channel].hash);
    }
}

static int listen_at(const char *where)
{
    eice_listen_opts o;
    int listener;

    memset(&o, 0, sizeof o);
    o.path = where[0] == '/' ? where : NULL;
    o.host = "127.0.0.1";
    o.port = (uint16_t)atoi(where);
    listener = eice_ssh_listen(ssh, &o);
    if (listener < 0) {
        die_of(eice_err_name((eice_err)listener));
    }
    while (eice_listen_state(ssh, listener) == 0) {
        turn(false);
    }
    if (eice_listen_state(ssh, listener) == EICE_LISTEN_FAILED) {
        die(eice_listen_error(ssh, listener));
    }
    printf("listening %u\n", eice_listen_port(ssh, listener));
    fflush(stdout);
    return listener;
}

static void mode_listen(const char *where, int count)
{
    const int listener = listen_at(where);
    char line[8];
    int over = 0;
    int i;

    while (over < count) {
        take(listener);
        turn(serve(&over));
    }
    printf("heard %d\n", over);
    eice_ssh_unlisten(ssh, listener);
    for (i = 0; i < 20 || eice_ssh_state(ssh) & EICE_WANT_WRITE; i++) {
        turn(true);
    }
    if (eice_listen_state(ssh, listener) != 0) {
        die_of("the listener is still there");
    }
    printf("silent\n");
    fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
}

/* ---- connect ----------------------------------------------------------- */

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static int open_to(const char *where)
{
    eice_channel_opts o;

    memset(&o, 0, sizeof o);
    o.kind = where[0] == '/' ? EICE_CHANNEL_UNIX : EICE_CHANNEL_TCP;
    o.host = where[0] == '/' ? where : "127.0.0.1";
    o.port = (uint16_t)atoi(where);
    return eice_channel_open(ssh, &o);
}

static int is_open(int channel)
{
    while (eice_channel_state(ssh, channel) == 0) {
        turn(false);
    }
    if ((eice_channel_state(ssh, channel) & EICE_CHAN_FAILED) != 0) {
        die(eice_channel_error(ssh, channel));
    }
    return channel;
}

static void mode_connect(const char *where)
{
    const int channel = is_open(open_to(where));
    const size_t total = (size_t)1 << 20;
    uint8_t data[CHUNK];
    size_t sent = 0;
    size_t got = 0;
    size_t tail = 0;

    while ((eice_channel_state(ssh, channel) & EICE_CHAN_EOF) == 0) {
        size_t n = sent < total ? CHUNK : 0;
        size_t i;

        for (i = 0; i < n; i++) {
            data[i] = byte_at(sent + i);
        }
        n = eice_channel_write(ssh, channel, data, n);
        sent += n;
        if (n > 0 && sent == total) {
            eice_channel_eof(ssh, channel);
        }
        n = eice_channel_read(ssh, channel, 0, data, CHUNK);
        for (i = 0; i < n; i++) {
            if (got < total && data[i] != byte_at(got++)) {
                die_of("wrong byte");
            }
        }
        tail += n;
        turn(n > 0);
    }
    if (got != total || tail != total + 32) {
        die_of("bytes are missing");
    }
    puts("echoed");
}

/* ---- hole -------------------------------------------------------------- */

static void mode_hole(const char *hole, const char *target)
{
    const int first = open_to(hole);
    int others[10];
    int i;

    for (i = 0; i < 10; i++) {
        others[i] = open_to(target);
    }
    for (i = 0; i < 10; i++) {
        (void)is_open(others[i]);
    }
    if (eice_channel_state(ssh, first) != 0) {
        die_of("the hole is answered too soon");
    }
    puts("opened 10");
    while (eice_channel_state(ssh, first) == 0) {
        turn(false);
    }
    if (eice_channel_state(ssh, first) != EICE_CHAN_FAILED
        || eice_channel_error(ssh, first)->code != EICE_E_SSH_TIMEOUT) {
        die_of("the hole did not time out");
    }
    eice_channel_close(ssh, first);
    (void)is_open(open_to(target));
    puts("late");
}

/* ---- cat --------------------------------------------------------------- */

static int run_cat(void)
{
    eice_channel_opts o;

    memset(&o, 0, sizeof o);
    o.kind = EICE_CHANNEL_EXEC;
    o.command = eice_str_c("cat");
    return is_open(eice_channel_open(ssh, &o));
}

/* Nothing is read until the server has used all of the window. */
static void rest(void)
{
    const uint64_t until = eice_posix_now().ms + 200;

    while (eice_posix_now().ms < until) {
        turn(true);
        poll(NULL, 0, 2);
    }
}

static void mode_cat(size_t total, size_t rekeys)
{
    const int channel = run_cat();
    uint8_t data[CHUNK];
    size_t asked = 0;
    size_t rested = 0;
    size_t sent = 0;
    size_t got = 0;

    while ((eice_channel_state(ssh, channel) & EICE_CHAN_EOF) == 0) {
        size_t n = sent < total ? CHUNK : 0;
        size_t i;

        if (rests && rested < asked && !ssh->rekey_wanted && !ssh->rekeying) {
            rested = asked;
            rest();
        }
        if (asked < rekeys && got >= total / (rekeys + 1) * (asked + 1)) {
            asked++;
            if (eice_ssh_rekey(ssh) != EICE_OK) {
                die_of(eice_err_name(eice_ssh_rekey(ssh)));
            }
        }
        for (i = 0; i < n; i++) {
            data[i] = byte_at(sent + i);
        }
        n = eice_channel_write(ssh, channel, data, n);
        sent += n;
        if (n > 0 && sent == total) {
            eice_channel_eof(ssh, channel);
        }
        n = eice_channel_read(ssh, channel, 0, data, CHUNK);
        for (i = 0; i < n; i++) {
            if (data[i] != byte_at(got++)) {
                die_of("wrong byte");
            }
        }
        turn(n > 0);
    }
    if (got != total || asked != rekeys) {
        die_of("bytes are missing");
    }
    printf("same %.*s\n", (int)eice_ssh_methods(ssh).len,
           eice_ssh_methods(ssh).ptr);
}

static void mode_rekey(bool stranger)
{
    const eice_err rc = eice_ssh_rekey(ssh);

    if (rc != EICE_OK) {
        die_of(eice_err_name(rc));
    }
    if (stranger) {
        ssh->host_key.ptr[ssh->host_key.len - 1] ^= 1;
    }
    while (ssh->rekey_wanted || ssh->rekeying) {
        turn(false);
    }
    puts("rekeyed");
}

/* ---- modes ------------------------------------------------------------- */

static void mode_lacks(void)
{
    size_t i;

    for (i = 0; eice_ssh_lacks(i) != NULL; i++) {
        puts(eice_ssh_lacks(i));
    }
}

static void run(int argc, char **argv)
{
    const char *mode = argv[4];

    if (strcmp(mode, "listen") == 0 && argc == 7) {
        mode_listen(argv[5], atoi(argv[6]));
    } else if (strcmp(mode, "connect") == 0 && argc == 6) {
        mode_connect(argv[5]);
    } else if (strcmp(mode, "hole") == 0 && argc == 7) {
        mode_hole(argv[5], argv[6]);
    } else if (strcmp(mode, "cat") == 0 && argc == 7) {
        mode_cat((size_t)atoi(argv[5]) << 20, (size_t)atoi(argv[6]));
    } else if (strcmp(mode, "rekey") == 0 || strcmp(mode, "stranger") == 0) {
        mode_rekey(mode[0] == 's');
    } else if (strcmp(mode, "lacks") == 0) {
        mode_lacks();
    } else {
        die_of("no such mode");
    }
}

int main(int argc, char **argv)
{
    eice_ssh_opts o;

    argc = options(&o, argc, argv);
    if (argc < 5) {
        fputs("usage: ssh_session PORT USER SEED MODE ARGUMENT ...\n", stderr);
        return 2;
    }
    end_ms = eice_posix_now().ms + LIMIT_MS;
    begin(&o, argv[1], argv[3]);
    if (strcmp(argv[4], "who") == 0) {
        mode_who();
    }
    log_in(argv[2]);
    run(argc, argv);
    eice_ssh_close(ssh);
    while (eice_ssh_phase_of(ssh) != EICE_SSH_CLOSED) {
        turn(true);
    }
    eice_ssh_free(ssh);
    return 0;
}
