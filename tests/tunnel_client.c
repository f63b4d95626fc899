/* One tunnel on eice_tunnel_* over a real socket, for tunnel_sim.py.
 *
 *   tunnel_client PORT CA.pem NAME=VALUE...
 *
 * connects to 127.0.0.1:PORT. Names: host, endpoint, ip, port, region, key,
 * secret, token, duration, clock (seconds added to ours), session (a file),
 * send (bytes of a pattern), want (closes after so many bytes), target_ms,
 * upgrade_ms, ping_ms, slow_ms (between reads of the application).
 * Prints one line: "ok ..." or "error NAME STAGE ...". */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

typedef struct app {
    eice_tunnel t;
    int fd;
    int argc;
    char **argv;
    size_t send;
    size_t want;
    uint64_t slow_ms;
    uint64_t next_read_ms;
    size_t sent;
    size_t received;
    eice_sha256_ctx hash;
} app;

static char ca_text[1 << 16];
static uint64_t trust_memory[EICE_TRUST_BYTES(1 << 16) / 8];

static const char *option(const app *a, const char *name)
{
    const size_t len = strlen(name);
    int i;

    for (i = 3; i < a->argc; i++) {
        if (strncmp(a->argv[i], name, len) == 0 && a->argv[i][len] == '=') {
            return a->argv[i] + len + 1;
        }
    }
    return "";
}

static eice_str text_option(const app *a, const char *name)
{
    return eice_str_c(option(a, name));
}

static long number_option(const app *a, const char *name)
{
    return strtol(option(a, name), NULL, 10);
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void net_write(app *a)
{
    const uint8_t *p;
    size_t n;

    while ((n = eice_tunnel_net_out(&a->t, &p)) > 0) {
        const ssize_t done = send(a->fd, p, n, MSG_NOSIGNAL);

        if (done > 0) {
            eice_tunnel_net_out_ack(&a->t, (size_t)done);
        } else if (errno == EAGAIN) {
            return;
        } else {
            eice_tunnel_net_eof(&a->t, EICE_E_NET_RESET);
        }
    }
}

static void net_read(app *a)
{
    uint8_t *p;
    const size_t n = eice_tunnel_net_in(&a->t, &p);
    ssize_t done;

    if (n == 0) {
        return;
    }
    done = recv(a->fd, p, n, 0);
    if (done > 0) {
        eice_tunnel_net_in_ack(&a->t, (size_t)done);
    } else if (done == 0) {
        eice_tunnel_net_eof(&a->t, EICE_OK);
    } else if (errno != EAGAIN) {
        eice_tunnel_net_eof(&a->t, EICE_E_NET_RESET);
    }
}

static void app_take(app *a)
{
    const uint8_t *p;
    const size_t n = eice_tunnel_app_out(&a->t, &p);

    if (n == 0 || now_ms() < a->next_read_ms) {
        return;
    }
    eice_sha256_update(&a->hash, p, n);
    a->received += n;
    a->next_read_ms = now_ms() + a->slow_ms;
    eice_tunnel_app_out_ack(&a->t, n);
    if (a->want > 0 && a->received >= a->want) {
        eice_tunnel_close(&a->t);
    }
}

static void app_send(app *a)
{
    uint8_t *p;
    size_t n = eice_tunnel_app_in(&a->t, &p);
    size_t i;

    n = n < a->send - a->sent ? n : a->send - a->sent;
    for (i = 0; i < n; i++) {
        p[i] = (uint8_t)((a->sent + i) * 131 + (a->sent + i) / 509);
    }
    a->sent += n;
    eice_tunnel_app_in_ack(&a->t, n);
}

/* Milliseconds to sleep at most. */
static int patience(const app *a, uint64_t now)
{
    const uint64_t deadline = eice_tunnel_deadline(&a->t);
    uint64_t ms = 60000;

    if ((eice_tunnel_state(&a->t) & EICE_HAVE_DATA) != 0) {
        ms = a->next_read_ms > now ? a->next_read_ms - now : 0;
    }
    if (deadline != UINT64_MAX) {
        const uint64_t left = deadline > now ? deadline - now : 0;

        ms = left < ms ? left : ms;
    }
    return (int)ms;
}

/* The loop every user of an engine writes. Returns its turns. */
static unsigned long run(app *a)
{
    unsigned long turns = 0;
    unsigned state;

    for (;; turns++) {
        struct pollfd pfd;
        const uint64_t now = now_ms();

        eice_tunnel_tick(&a->t, now);
        net_write(a);
        app_take(a);
        app_send(a);
        net_write(a);
        state = eice_tunnel_state(&a->t);
        if ((state & EICE_DONE) != 0) {
            return turns;
        }
        pfd.fd = a->fd;
        pfd.events =
            (short)(((state & EICE_WANT_WRITE) != 0 ? POLLOUT : 0)
                    | ((state & EICE_WANT_READ) != 0 ? POLLIN : 0));
        pfd.revents = 0;
        if (pfd.events == 0) {
            pfd.fd = -1; /* an unread socket must not wake us */
        }
        (void)poll(&pfd, 1, patience(a, now));
        net_read(a);
    }
}

static void report(const app *a, unsigned long turns)
{
    const eice_error *const e = &a->t.error;
    struct rusage usage;
    uint8_t hash[32];
    char hex[65];
    eice_buf b;

    eice_sha256_final(&a->hash, hash);
    eice_buf_init(&b, hex, sizeof hex);
    eice_put_hex(&b, hash, sizeof hash);
    getrusage(RUSAGE_SELF, &usage);
    if (e->code != EICE_OK) {
        printf("error %s %s ", eice_err_name(e->code),
               eice_stage_name(e->stage));
    } else {
        printf("ok ");
    }
    printf("received=%zu sha=%s close=%u heard=%d resumed=%d status=%d "
           "aws=%s request=%d server=%lld turns=%lu cpu_ms=%ld retry=%d %s\n",
           a->received, eice_buf_c(&b), a->t.close_code, (int)a->t.heard,
           (int)a->t.tls_resumed, e->http_status, e->aws_code,
           a->t.request_id[0] != 0, (long long)a->t.server_unix_s, turns,
           usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000,
           (int)e->retryable, e->text);
}

static void options(app *a, eice_tunnel_opts *o)
{
    memset(o, 0, sizeof *o);
    o->host = text_option(a, "host");
    o->endpoint_id = text_option(a, "endpoint");
    o->private_ip = text_option(a, "ip");
    o->port = (uint16_t)number_option(a, "port");
    o->region = text_option(a, "region");
    o->keys.access_key_id = text_option(a, "key");
    o->keys.secret_access_key = text_option(a, "secret");
    o->keys.session_token = text_option(a, "token");
    o->max_duration_s = (uint32_t)number_option(a, "duration");
    o->user_agent = eice_str_c("tunnel_client/1");
    o->unix_s = (int64_t)time(NULL) + number_option(a, "clock");
    o->now_ms = now_ms();
    o->target_timeout_ms = (uint32_t)number_option(a, "target_ms");
    o->upgrade_timeout_ms = (uint32_t)number_option(a, "upgrade_ms");
    o->ping_ms = (uint32_t)number_option(a, "ping_ms");
    a->send = (size_t)number_option(a, "send");
    a->want = (size_t)number_option(a, "want");
    a->slow_ms = (uint64_t)number_option(a, "slow_ms");
}

static void save_session(const app *a)
{
    const char *const path = option(a, "session");
    eice_tls_session session;
    FILE *f;

    eice_tls_session_save(&a->t.tls, &session);
    f = path[0] != 0 ? fopen(path, "wb") : NULL;
    if (f != NULL) {
        fwrite(&session, 1, sizeof session, f);
        fclose(f);
    }
}

int main(int argc, char **argv)
{
    static app a;
    eice_tls_session session;
    eice_tunnel_opts o;
    eice_trust trust;
    eice_drbg random;
    uint8_t seed[32];
    unsigned long turns = 0;
    const int one = 1;

    if (argc < 3 || getrandom(seed, sizeof seed, 0) != sizeof seed) {
        return 2;
    }
    a.argc = argc;
    a.argv = argv;
    options(&a, &o);
    eice_sha256_init(&a.hash);
    eice_drbg_init(&random, seed, sizeof seed);
    eice_trust_init(&trust, trust_memory, sizeof trust_memory);
    (void)eice_trust_add_pem(&trust, ca_text,
                             peer_file(argv[2], ca_text, sizeof ca_text));
    o.trust = &trust;
    o.random = &random;
    if (peer_file(option(&a, "session"), &session, sizeof session)
        == sizeof session) {
        o.session = &session;
    }
    a.fd = peer_connect(argv[1]);
    (void)setsockopt(a.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)fcntl(a.fd, F_SETFL, O_NONBLOCK);
    if (eice_tunnel_init(&a.t, &o) == EICE_OK) {
        turns = run(&a);
    }
    report(&a, turns);
    save_session(&a);
    eice_tunnel_wipe(&a.t);
    close(a.fd);
    return 0;
}
