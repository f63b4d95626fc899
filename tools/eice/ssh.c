/* eice ssh: a login shell or a remote command. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 32768
/* A pipe that poll calls writable takes this much without blocking. */
#define PIPE_CHUNK 4096

/* Bytes of the channel on their way to a local descriptor. */
typedef struct outlet {
    int fd;
    int stream;
    bool open;
    bool whole;      /* a file: takes any amount */
    size_t at;
    size_t len;
    uint8_t data[CHUNK];
} outlet;

typedef struct session {
    cli_run *r;
    eice_ssh *ssh;
    int channel;
    bool pty;
    bool agent;        /* is forwarded */
    bool in_open;
    bool line_start;   /* for the escape character */
    bool escaped;
    bool hung_up;      /* ~. */
    size_t in_at;
    size_t in_len;
    uint8_t in[CHUNK];
    outlet out[2];
} session;

/* ---- opening ----------------------------------------------------------- */

static bool wants_pty(const cli *c)
{
    switch (c->tty) {
    case CLI_TTY_FORCE:
        return true;
    case CLI_TTY_YES:
        return isatty(STDIN_FILENO) == 1;
    case CLI_TTY_NO:
        return false;
    case CLI_TTY_AUTO:
        break;
    }
    return c->argc <= 1 && c->remote_command == NULL
           && isatty(STDIN_FILENO) == 1;
}

/* The words of the remote command with a blank between them, as OpenSSH
 * sends them. */
static char *join_command(const cli *c)
{
    size_t size = 1;
    char *text;
    int i;

    if (c->remote_command != NULL) {
        return strdup(c->remote_command);
    }
    for (i = 1; i < c->argc; i++) {
        size += strlen(c->argv[i]) + 1;
    }
    text = (char *)calloc(1, size);
    for (i = 1; text != NULL && i < c->argc; i++) {
        if (i > 1) {
            strcat(text, " ");
        }
        strcat(text, c->argv[i]);
    }
    return text;
}

static bool open_channel(session *s)
{
    const cli *c = s->r->c;
    char *command = join_command(c);
    uint8_t modes[512];
    eice_channel_opts o;
    const char *term = getenv("TERM");
    eice_pair env[128];

    memset(&o, 0, sizeof o);
    o.env = env;
    o.env_count = cli_ssh_env(c, env, sizeof env / sizeof env[0]);
    o.kind = command[0] == 0 ? EICE_CHANNEL_SHELL
             : c->subsystem  ? EICE_CHANNEL_SUBSYSTEM
                             : EICE_CHANNEL_EXEC;
    o.command = eice_str_c(command);
    o.agent = s->agent;
    s->pty = wants_pty(c);
    if (s->pty) {
        o.pty.term = term != NULL && term[0] != 0 ? term : "dumb";
        cli_term_size(STDIN_FILENO, &o.pty);
        o.pty.modes = eice_str_make(modes, cli_term_modes(STDIN_FILENO, modes,
                                                          sizeof modes));
    }
    s->channel = eice_channel_open(s->ssh, &o);
    free(command);
    while (s->channel >= 0
           && (eice_conn_state(s->r->conn) & EICE_DONE) == 0
           && (eice_channel_state(s->ssh, s->channel)
               & (EICE_CHAN_OPEN | EICE_CHAN_FAILED))
                  == 0) {
        cli_run_turn(s->r, NULL, 0);
    }
    if (s->channel < 0
        || (eice_channel_state(s->ssh, s->channel) & EICE_CHAN_OPEN) == 0) {
        if (cli_run_good(s->r)) {
            cli_report(c, eice_channel_error(s->ssh, s->channel));
        }
        return false;
    }
    if ((eice_channel_state(s->ssh, s->channel) & EICE_CHAN_NO_AGENT) != 0) {
        cli_say(c, "the server forwards no agent (AllowAgentForwarding)");
    }
    return true;
}

/* ---- escapes ----------------------------------------------------------- */

static void suspend(session *s)
{
    cli_term_restore();
    kill(getpid(), SIGSTOP);
    if (s->pty) {
        cli_term_raw(STDIN_FILENO);
    }
    s->r->resized = true;
}

static const char escape_help[]
    = "\r\nSupported escape sequences:\r\n"
      " ~.   - terminate the connection\r\n"
      " ~^Z  - suspend eice\r\n"
      " ~#   - list forwarded connections\r\n"
      " ~?   - this message\r\n"
      " ~~   - send the escape character by typing it twice\r\n"
      "(Escapes are recognized only immediately after newline.)\r\n";

/* What follows the escape character; true when it is to be sent. */
static bool escape(session *s, uint8_t byte)
{
    if (byte == '.') {
        s->hung_up = true;
        eice_conn_close(s->r->conn);
        return false;
    }
    if (byte == ('Z' & 0x1f)) {
        suspend(s);
        return false;
    }
    if (byte == '#') {
        if (s->r->forwards != NULL) {
            cli_forwards_list(s->r->forwards, stderr);
        }
        return false;
    }
    if (byte == '?') {
        fputs(escape_help, stderr);
        return false;
    }
    return true;
}

/* Takes escape sequences out of what was typed; returns what is left. */
static size_t filter_escapes(session *s, const uint8_t *from, size_t n,
                             uint8_t *to)
{
    const uint8_t mark = (uint8_t)s->r->c->escape;
    size_t kept = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        const uint8_t byte = from[i];

        if (s->escaped) {
            s->escaped = false;
            if (!escape(s, byte)) {
                s->line_start = true;
                continue;
            }
            if (byte != mark) {
                to[kept++] = mark;
            }
        } else if (mark != 0 && s->line_start && byte == mark) {
            s->escaped = true;
            s->line_start = false;
            continue;
        }
        to[kept++] = byte;
        s->line_start = byte == '\r' || byte == '\n';
    }
    return kept;
}

/* ---- bytes ------------------------------------------------------------- */

static void read_stdin(session *s)
{
    uint8_t typed[CHUNK / 2]; /* an escape that was none doubles a byte */
    const ssize_t n = read(STDIN_FILENO, typed, sizeof typed);

    if (n > 0) {
        s->in_at = 0;
        s->in_len = (size_t)n;
        if (s->pty) {
            s->in_len = filter_escapes(s, typed, (size_t)n, s->in);
        } else {
            memcpy(s->in, typed, (size_t)n);
        }
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        s->in_open = false;
    }
}

static void feed_channel(session *s)
{
    if (s->in_at < s->in_len) {
        s->in_at += eice_channel_write(s->ssh, s->channel, s->in + s->in_at,
                                       s->in_len - s->in_at);
    }
    if (s->in_at == s->in_len && !s->in_open) {
        eice_channel_eof(s->ssh, s->channel);
    }
}

static bool writable(int fd)
{
    struct pollfd p;

    p.fd = fd;
    p.events = POLLOUT;
    p.revents = 0;
    return poll(&p, 1, 0) == 1;
}

/* Writes what the descriptor takes without blocking. A reader that is gone
 * ends the session without a word, as it ends cat. */
static void drain_outlet(session *s, outlet *o)
{
    for (;;) {
        size_t n = o->len - o->at;
        ssize_t done;

        if (n == 0) {
            o->at = 0;
            o->len = eice_channel_read(s->ssh, s->channel, o->stream, o->data,
                                       sizeof o->data);
            if (o->len == 0) {
                return;
            }
            continue;
        }
        if (!o->open) {
            o->at = o->len;
            continue;
        }
        if (!writable(o->fd)) {
            return;
        }
        if (!o->whole && n > PIPE_CHUNK) {
            n = PIPE_CHUNK;
        }
        done = write(o->fd, o->data + o->at, n);
        if (done > 0) {
            o->at += (size_t)done;
        } else if (done < 0 && errno != EINTR && errno != EAGAIN) {
            if (errno != EPIPE) {
                cli_say(s->r->c, "cannot write: %s", strerror(errno));
            }
            o->open = false;
            eice_conn_close(s->r->conn);
        }
    }
}

/* ---- the loop ---------------------------------------------------------- */

static bool finished(session *s)
{
    const unsigned state = eice_channel_state(s->ssh, s->channel);
    const bool over = (eice_conn_state(s->r->conn) & EICE_DONE) != 0;

    return ((state & EICE_CHAN_CLOSED) != 0 || over)
           && (state & (EICE_CHAN_OUT | EICE_CHAN_ERR)) == 0
           && s->out[0].at == s->out[0].len
           && s->out[1].at == s->out[1].len;
}

static void follow_terminal(session *s)
{
    eice_pty size;

    if (s->r->continued) {
        s->r->continued = false;
        if (s->pty) {
            cli_term_raw(STDIN_FILENO);
        }
    }
    if (s->r->resized) {
        s->r->resized = false;
        if (s->pty) {
            memset(&size, 0, sizeof size);
            cli_term_size(STDIN_FILENO, &size);
            eice_channel_resize(s->ssh, s->channel, &size);
        }
    }
}

static void turn(session *s)
{
    struct pollfd fds[3];
    const unsigned state = eice_channel_state(s->ssh, s->channel);
    const bool want_in = s->in_open && s->in_at == s->in_len
                         && (state & EICE_CHAN_CAN_WRITE) != 0;
    int i;

    fds[0].fd = want_in ? STDIN_FILENO : -1;
    fds[0].events = POLLIN;
    fds[0].revents = 0;
    for (i = 0; i < 2; i++) {
        const outlet *o = &s->out[i];

        /* not watched when there is nothing for it: a reader that has all
         * it wants may go (git does) and still ask for the exit status */
        fds[i + 1].fd = o->open && o->at < o->len ? o->fd : -1;
        fds[i + 1].events = POLLOUT;
        fds[i + 1].revents = 0;
    }
    cli_run_turn(s->r, fds, 3);
    if (fds[0].revents != 0) {
        read_stdin(s);
    }
    follow_terminal(s);
    feed_channel(s);
    drain_outlet(s, &s->out[0]);
    drain_outlet(s, &s->out[1]);
    eice_posix_process(s->r->x, NULL, 0);
}

static void setup_outlet(outlet *o, int fd, int stream)
{
    struct stat st;

    o->fd = fd;
    o->stream = stream;
    o->open = fcntl(fd, F_GETFD) >= 0;
    o->whole = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int result(session *s)
{
    const eice_exit *e = eice_channel_exit(s->ssh, s->channel);
    const unsigned state = eice_channel_state(s->ssh, s->channel);
    const cli *c = s->r->c;

    if (s->hung_up) { /* of a serial console the ordinary end */
        return c->conn.route == EICE_ROUTE_SERIAL ? CLI_OK : CLI_SSH_FAILED;
    }
    if ((state & EICE_CHAN_CLOSED) == 0) {
        (void)cli_run_good(s->r);
        return CLI_SSH_FAILED;
    }
    if (e->signal[0] != 0) {
        cli_say(c, "killed by SIG%s", e->signal);
        return CLI_SSH_FAILED;
    }
    return e->status & 0xff;
}

/* Says good-bye, but does not wait for the answer. */
static void part(session *s)
{
    eice_conn_close(s->r->conn);
    while ((eice_conn_state(s->r->conn) & EICE_DONE) == 0) {
        cli_run_turn(s->r, NULL, 0);
    }
}

/* As OpenSSH: connections that were forwarded end by themselves. */
static void finish_forwards(session *s)
{
    cli_forwards *t = s->r->forwards;

    if (t != NULL) {
        cli_forwards_stop(t);
    }
    while (t != NULL && cli_forwards_busy(t) > 0 && s->r->signal == 0
           && (eice_conn_state(s->r->conn) & EICE_DONE) == 0) {
        cli_run_turn(s->r, NULL, 0);
    }
}

static int converse(session *s)
{
    int status;

    setup_outlet(&s->out[0], STDOUT_FILENO, 0);
    setup_outlet(&s->out[1], s->r->c->err_fd, 1);
    s->in_open = !s->r->c->no_stdin;
    s->line_start = true;
    if (s->pty && isatty(STDIN_FILENO) == 1) {
        cli_term_raw(STDIN_FILENO);
    }
    /* before any event: with -n there is an end to be told, and what a quick
     * command says may have come together with the answer to its start */
    feed_channel(s);
    drain_outlet(s, &s->out[0]);
    drain_outlet(s, &s->out[1]);
    eice_posix_process(s->r->x, NULL, 0);
    while (!finished(s)) {
        turn(s);
    }
    cli_term_restore();
    if (!s->hung_up) {
        finish_forwards(s);
    }
    status = result(s);
    if (s->pty) {
        cli_say(s->r->c, "connection to %s closed",
                eice_conn_host_name(s->r->conn));
    }
    part(s);
    return status;
}

/* ConnectionAttempts: again after a second when that may help. */
static bool connect_session(cli_run *r, cli *c)
{
    uint32_t left = c->attempts > 0 ? c->attempts : 1;

    while (cli_run_open(r, c)) {
        if (cli_run_wait(r)) {
            return true;
        }
        if (--left == 0 || r->signal != 0
            || !eice_conn_error(r->conn)->retryable) {
            break;
        }
        cli_run_close(r);
        sleep(1);
    }
    return false;
}

/* What was asked for by -L, -D, -R and -W; false: the end, and reported. */
static bool begin_forwards(session *s)
{
    cli *c = s->r->c;
    char path[256];
    cli_forwards *t;
    bool good;

    s->agent = !c->no_command
               && cli_agent_forwarded(c, path, sizeof path);
    if (c->stdio_to == NULL && !s->agent
        && (c->forwards == NULL || c->no_forwards)) {
        return true;
    }
    t = cli_forwards_new(s->r);
    if (t == NULL) {
        return false;
    }
    cli_forwards_attach(t, s->ssh);
    if (s->agent) {
        cli_forwards_agent(t, path);
    }
    if (c->stdio_to == NULL && !c->no_forwards) {
        good = cli_forwards_listen(t);
        while (!cli_forwards_settled(t)
               && (eice_conn_state(s->r->conn) & EICE_DONE) == 0) {
            cli_run_turn(s->r, NULL, 0);
        }
        return (good && !cli_forwards_failed(t)) || !c->strict_forwards;
    }
    if (c->stdio_to != NULL && !cli_forwards_stdio(t, c->stdio_to)) {
        cli_usage_error(c, "-W: bad destination", c->stdio_to);
        return false;
    }
    return true;
}

/* -f: the caller's process ends, all else goes on here. */
static bool go_to_background(void)
{
    const pid_t pid = fork();
    const int none = pid == 0 ? open("/dev/null", O_RDWR) : -1;

    if (pid > 0) {
        _exit(CLI_OK);
    }
    if (none < 0 || setsid() < 0) {
        return false;
    }
    dup2(none, STDIN_FILENO);
    dup2(none, STDOUT_FILENO);
    dup2(none, STDERR_FILENO);
    return none <= STDERR_FILENO || close(none) == 0;
}

/* -N and -W: no session of its own. */
static int carry(session *s)
{
    const cli *c = s->r->c;
    const cli_forwards *t = s->r->forwards;
    int status = CLI_SSH_FAILED;

    while ((eice_conn_state(s->r->conn) & EICE_DONE) == 0
           && (c->stdio_to == NULL || cli_forwards_busy(t) > 0)) {
        cli_run_turn(s->r, NULL, 0);
    }
    if (!cli_run_good(s->r)) {
        return status;
    }
    if (c->stdio_to != NULL && !cli_forwards_failed(t)) {
        status = CLI_OK;
    }
    part(s);
    return status;
}

/* Logged in: all that was asked for. */
static int serve(session *s)
{
    const cli *c = s->r->c;

    if (!begin_forwards(s) || (c->background && !go_to_background())) {
        return CLI_SSH_FAILED;
    }
    if (c->no_command) {
        return carry(s);
    }
    return open_channel(s) ? converse(s) : CLI_SSH_FAILED;
}

int cli_session(cli *c)
{
    session *s = (session *)calloc(1, sizeof *s);
    cli_run r;
    int status = CLI_SSH_FAILED;
    eice_str banner;

    memset(&r, 0, sizeof r);
    c->conn.goal = EICE_GOAL_SSH;
    if (s != NULL && cli_login_key(c) && connect_session(&r, c)) {
        s->r = &r;
        s->ssh = eice_conn_ssh(r.conn);
        banner = eice_ssh_auth_banner(s->ssh);
        if (!c->quiet && banner.len > 0) {
            fwrite(banner.ptr, 1, banner.len, stderr);
        }
        if (c->conn.route == EICE_ROUTE_SERIAL) {
            cli_say(c, "serial console of %s: Enter brings its login "
                       "prompt%s", c->conn.target,
                    c->escape == '~' ? ", ~. leaves" : "");
        }
        status = serve(s);
    }
    free(s);
    cli_run_close(&r);
    return status;
}

int cli_ssh(cli *c)
{
    int status;

    if (c->argc < 1) {
        return cli_usage_error(c, "no target", NULL);
    }
    status = cli_ssh_settle(c);
    if (status >= 0) {
        return status;
    }
    if (c->subsystem && c->argc < 2 && c->remote_command == NULL) {
        return cli_usage_error(c, "-s: no subsystem", NULL);
    }
    if (c->background && c->argc < 2 && c->remote_command == NULL
        && !c->no_command) {
        return cli_usage_error(c, "-f needs a command, or -N", NULL);
    }
    c->no_command = c->no_command || c->stdio_to != NULL;
    c->no_stdin = c->no_stdin || c->background;
    return cli_session(c);
}
