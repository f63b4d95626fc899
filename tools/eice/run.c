/* A connection, its executor, and the signals that end it. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define RUN_FDS 288 /* executor 80, forwards 64 + 61, caller 3; spare */

/* Signals arrive through a pipe, so that the loop sees them. */
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    const int saved = errno;
    const unsigned char byte = (unsigned char)number;

    if (write(signal_pipe[1], &byte, 1) < 0) {
        /* full: the loop has enough to read already */
    }
    errno = saved;
}

static const int run_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};

static void signals_open(void)
{
    struct sigaction action;
    size_t i;
    int k;

    if (pipe(signal_pipe) != 0) {
        return;
    }
    for (k = 0; k < 2; k++) {
        fcntl(signal_pipe[k], F_SETFD, FD_CLOEXEC);
        fcntl(signal_pipe[k], F_SETFL, O_NONBLOCK);
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (i = 0; i < sizeof run_signals / sizeof run_signals[0]; i++) {
        struct sigaction old;

        /* nohup and background jobs of a shell keep what they ignore */
        if (sigaction(run_signals[i], NULL, &old) == 0
            && old.sa_handler == SIG_IGN) {
            continue;
        }
        sigaction(run_signals[i], &action, NULL);
    }
}

static void signals_read(cli_run *r)
{
    unsigned char byte;

    while (read(signal_pipe[0], &byte, 1) == 1) {
        if (byte == SIGWINCH) {
            r->resized = true;
        } else if (byte == SIGCONT) {
            r->continued = true;
            r->resized = true;
        } else if (r->signal == 0) {
            r->signal = byte;
            if (r->conn != NULL) {
                eice_conn_close(r->conn);
            }
        } else {
            r->insisted = true;
            if (r->conn != NULL) {
                eice_conn_cancel(r->conn); /* asked twice: at once */
            }
        }
    }
}

/* A signal is put back for the loop; a terminal of another size, or one that
 * is ours again, is no reason to end. */
bool cli_readable(int fd)
{
    struct pollfd p[2];
    unsigned char byte;

    for (;;) {
        p[0].fd = fd;
        p[1].fd = signal_pipe[0];
        p[0].events = p[1].events = POLLIN;
        p[0].revents = p[1].revents = 0;
        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            return false;
        }
        if (p[1].revents != 0 && read(signal_pipe[0], &byte, 1) == 1
            && byte != SIGWINCH && byte != SIGCONT) {
            on_signal(byte);
            return false;
        }
        if (p[0].revents != 0) {
            return true;
        }
    }
}

static void signals_ready(void *user, int fd, int revents)
{
    (void)fd;
    (void)revents;
    signals_read((cli_run *)user);
}

bool cli_run_begin(cli_run *r, cli *c)
{
    eice_posix_opts o;
    eice_error e;

    memset(r, 0, sizeof *r);
    memset(&e, 0, sizeof e);
    memset(&o, 0, sizeof o);
    o.resolv_conf = getenv("EICE_RESOLV_CONF");
    o.hosts = getenv("EICE_HOSTS");
    o.family = c->family;
    r->c = c;
    r->x = eice_posix_new(&o, &e);
    if (r->x == NULL) {
        cli_report(c, &e);
        return false;
    }
    cli_agent_attach(r->x);
    signals_open();
    if (signal_pipe[0] >= 0) {
        (void)eice_posix_watch(r->x, signal_pipe[0], POLLIN, signals_ready,
                               r);
    }
    return true;
}

bool cli_run_connect(cli_run *r)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    cli_config_apply(r->c);
    if (r->hops == 0 && !cli_jump_open(r)) {
        return false;
    }
    r->seen = 0;
    r->conn = eice_conn_new(&r->c->conn, eice_posix_now(), &e);
    if (r->conn == NULL) {
        cli_report(r->c, &e);
        return false;
    }
    (void)eice_posix_add(r->x, r->conn);
    eice_posix_process(r->x, NULL, 0);
    return true;
}

void cli_run_disconnect(cli_run *r)
{
    const bool hop = r->hops > 0 && r->conn == r->hop[r->hops - 1];

    if (r->conn != NULL && !hop) {
        eice_posix_remove(r->x, r->conn);
        eice_conn_free(r->conn);
    }
    r->conn = NULL;
    cli_jump_close(r);
}

bool cli_run_open(cli_run *r, cli *c)
{
    if (!cli_run_begin(r, c)) {
        return false;
    }
    if (!cli_run_connect(r)) {
        cli_run_close(r);
        return false;
    }
    return true;
}

static int run_timeout(cli_run *r)
{
    const uint64_t now = eice_posix_now().ms;
    uint64_t wake = r->wake_ms != 0 ? r->wake_ms : UINT64_MAX;
    const int t = eice_posix_timeout(r->x);

    if (r->forwards != NULL && cli_forwards_deadline(r->forwards) < wake) {
        wake = cli_forwards_deadline(r->forwards);
    }
    if (wake == UINT64_MAX) {
        return t;
    }
    if (wake <= now) {
        return 0;
    }
    return t >= 0 && (uint64_t)t < wake - now ? t
           : wake - now > 3600000u            ? 3600000
                                              : (int)(wake - now);
}

void cli_run_turn(cli_run *r, struct pollfd *extra, size_t count)
{
    struct pollfd fds[RUN_FDS];
    struct pollfd *forwarded = fds + count;
    size_t forwards = 0;
    size_t used = count;
    size_t n;

    if (count > 0) {
        memcpy(fds, extra, count * sizeof *extra);
    }
    if (r->forwards != NULL) {
        forwards = cli_forwards_fds(r->forwards, forwarded, RUN_FDS - count);
        used += forwards;
    }
    n = eice_posix_fds(r->x, fds + used, RUN_FDS - used);
    n = n < RUN_FDS - used ? n : RUN_FDS - used;
    if (poll(fds, (nfds_t)(n + used), run_timeout(r)) < 0) {
        memset(fds, 0, sizeof fds); /* interrupted: nothing is known */
        n = 0;
        forwards = 0;
    }
    if (count > 0) {
        memcpy(extra, fds, count * sizeof *extra);
    }
    eice_posix_process(r->x, fds + used, n);
    if (r->forwards != NULL
        && cli_forwards_work(r->forwards, forwarded, forwards)) {
        eice_posix_process(r->x, NULL, 0);
    }
    if (r->conn != NULL) {
        cli_trail(r->c, r->conn, &r->seen);
    }
}

bool cli_run_wait(cli_run *r)
{
    while ((eice_conn_state(r->conn) & (EICE_OPEN | EICE_DONE)) == 0) {
        cli_run_turn(r, NULL, 0);
    }
    cli_trail(r->c, r->conn, &r->seen);
    return cli_run_good(r);
}

/* One of run_signals: not all that strsignal has words for. */
void cli_run_signalled(const cli_run *r)
{
    cli_say(r->c, "ended by signal %d (%s)", r->signal,
            r->signal == SIGINT   ? "Interrupt"
            : r->signal == SIGHUP ? "Hangup"
                                  : "Terminated");
}

bool cli_run_good(cli_run *r)
{
    const eice_error *e = eice_conn_error(r->conn);
    eice_error told;

    cli_trail(r->c, r->conn, &r->seen);
    if (e->code == EICE_OK) {
        return r->signal == 0;
    }
    if (e->code != EICE_E_CANCELLED) {
        told = *e;
        cli_why(r, &told);
        cli_report(r->c, &told);
        if (r->c->configured && e->stage >= EICE_STAGE_RESOLVE
            && e->stage <= EICE_STAGE_UPGRADE) {
            cli_say(r->c, "eice enroll wrote down where this is; run again, "
                          "it looks anew");
        }
    } else if (r->signal != 0) {
        cli_run_signalled(r);
    }
    return false;
}

void cli_run_close(cli_run *r)
{
    cli_forwards_free(r->forwards);
    cli_run_disconnect(r);
    cli_agent_attach(NULL);
    eice_posix_free(r->x);
    r->x = NULL;
}
