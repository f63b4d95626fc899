/* A TLS client on eice_tls_* for tls_peers.py: connects to 127.0.0.1, sends a
 * line, counts what comes back.
 *
 *   tls_client HOST PORT CA.pem [time UNIX] [session FILE] [send BYTES]
 *              [want BYTES] [out BYTES]
 *
 * Prints one line: "ok NAME=VALUE..." or "error NAME KIND DETAIL TEXT". */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"
#include "peer.h"

#include <sys/random.h>
#include <time.h>

typedef struct setup {
    const char *session_file;
    long long unix_s;
    size_t send;
    size_t want; /* closes after so many bytes; 0 waits for the end */
    size_t out;
} setup;

typedef struct link_state {
    eice_tls tls;
    int fd;
    size_t sent;
    size_t received;
    bool opened;
    bool cut; /* the transport ended without close_notify */
} link_state;

static uint8_t in_buffer[EICE_TLS_IN];
static uint8_t out_buffer[EICE_TLS_IN];
static uint64_t x509_memory[EICE_TLS_X509_BYTES / 8];
static char ca_text[1 << 20];
static uint64_t trust_memory[EICE_TRUST_BYTES(1 << 20) / 8];

static void step_write(link_state *l)
{
    const uint8_t *p;
    const size_t n = eice_tls_net_out(&l->tls, &p);
    const ssize_t done = send(l->fd, p, n, MSG_NOSIGNAL);

    if (done <= 0) {
        eice_tls_eof(&l->tls);
        return;
    }
    eice_tls_net_out_ack(&l->tls, (size_t)done);
}

static void step_read(link_state *l)
{
    uint8_t *p;
    const size_t n = eice_tls_net_in(&l->tls, &p);
    const ssize_t done = recv(l->fd, p, n, 0);

    if (done <= 0) {
        l->cut = true;
        eice_tls_eof(&l->tls);
        return;
    }
    eice_tls_net_in_ack(&l->tls, (size_t)done);
}

static void step_app(link_state *l, const setup *s)
{
    uint8_t *p;
    size_t n = eice_tls_app_out(&l->tls, &p);

    l->received += n;
    eice_tls_app_out_ack(&l->tls, n);
    if (s->want > 0 && l->received >= s->want) {
        eice_tls_close(&l->tls);
        return;
    }
    n = eice_tls_app_in(&l->tls, &p);
    if (n > 0 && l->sent < s->send) {
        n = n < s->send - l->sent ? n : s->send - l->sent;
        memset(p, 'x', n);
        l->sent += n;
        if (l->sent == s->send) {
            p[n - 1] = '\n';
        }
        eice_tls_app_in_ack(&l->tls, n);
        eice_tls_flush(&l->tls);
    }
}

static void run(link_state *l, const setup *s)
{
    for (;;) {
        const unsigned state = eice_tls_state(&l->tls);

        if ((state & EICE_DONE) != 0) {
            return;
        }
        l->opened = l->opened || (state & EICE_OPEN) != 0;
        if ((state & EICE_WANT_WRITE) != 0) {
            step_write(l);
        } else if ((state & EICE_HAVE_DATA) != 0
                   || ((state & EICE_CAN_SEND) != 0 && l->sent < s->send)) {
            step_app(l, s);
        } else if ((state & EICE_WANT_READ) != 0) {
            step_read(l);
        } else {
            puts("stuck");
            exit(2);
        }
    }
}

static void report(const link_state *l)
{
    if (l->tls.error.code != EICE_OK) {
        printf("error %s %d %d %s\n", eice_err_name(l->tls.error.code),
               (int)l->tls.error.detail_kind, l->tls.error.detail,
               l->tls.error.text);
        return;
    }
    printf("ok opened=%d resumed=%d received=%zu cut=%d\n", (int)l->opened,
           (int)eice_tls_resumed(&l->tls), l->received, (int)l->cut);
}

static void parse(setup *s, int argc, char **argv)
{
    int i;

    memset(s, 0, sizeof *s);
    s->unix_s = (long long)time(NULL);
    s->out = EICE_TLS_OUT;
    for (i = 4; i + 1 < argc; i += 2) {
        const char *const name = argv[i];
        const char *const value = argv[i + 1];

        if (strcmp(name, "time") == 0) {
            s->unix_s = strtoll(value, NULL, 10);
        } else if (strcmp(name, "session") == 0) {
            s->session_file = value;
        } else if (strcmp(name, "send") == 0) {
            s->send = (size_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "want") == 0) {
            s->want = (size_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "out") == 0) {
            s->out = (size_t)strtoul(value, NULL, 10);
        }
    }
}

static void save(const link_state *l, const char *path)
{
    eice_tls_session session;
    FILE *f;

    eice_tls_session_save(&l->tls, &session);
    f = path != NULL ? fopen(path, "wb") : NULL;
    if (f != NULL) {
        fwrite(&session, 1, sizeof session, f);
        fclose(f);
    }
}

int main(int argc, char **argv)
{
    static link_state l;
    static setup s;
    eice_tls_session session;
    eice_tls_opts o;
    eice_trust trust;
    eice_drbg random;
    uint8_t seed[32];

    if (argc < 4 || getrandom(seed, sizeof seed, 0) != sizeof seed) {
        return 2;
    }
    parse(&s, argc, argv);
    eice_drbg_init(&random, seed, sizeof seed);
    eice_trust_init(&trust, trust_memory, sizeof trust_memory);
    (void)eice_trust_add_pem(&trust, ca_text,
                             peer_file(argv[3], ca_text, sizeof ca_text));
    memset(&o, 0, sizeof o);
    o.host = eice_str_c(argv[1]);
    o.trust = &trust;
    o.random = &random;
    o.unix_s = s.unix_s;
    o.in = in_buffer;
    o.out = out_buffer;
    o.out_len = s.out;
    o.x509 = x509_memory;
    if (s.session_file != NULL
        && peer_file(s.session_file, &session, sizeof session)
               == sizeof session) {
        o.session = &session;
    }
    l.fd = peer_connect(argv[2]);
    if (eice_tls_init(&l.tls, &o) == EICE_OK) {
        run(&l, &s);
    }
    report(&l);
    save(&l, s.session_file);
    close(l.fd);
    return 0;
}
