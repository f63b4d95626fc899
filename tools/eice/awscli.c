/* The AWS CLI's `ec2-instance-connect ssh`, `open-tunnel` and
 * `send-ssh-public-key`: its words, its output, its exit statuses. */
#include "cli.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define AWS_MISUSED 252
#define TUNNELS_MAX 20 /* an endpoint carries no more */
#define IDLE_MS 5000   /* after the client has closed: no half-close */

/* ---- rules ------------------------------------------------------------- */

static bool made_of(const char *text, const char *start, const char *extra)
{
    const size_t n = strlen(start);
    const char *p;

    if (text == NULL) {
        return true;
    }
    if (strncmp(text, start, n) != 0 || text[n] == 0) {
        return false;
    }
    for (p = text + n; *p != 0; p++) {
        if (!((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z')
              || (*p >= 'a' && *p <= 'z') || strchr(extra, *p) != NULL)) {
            return false;
        }
    }
    return true;
}

/* -1: the arguments go together; otherwise the exit status. */
static int check(const cli *c)
{
    const eice_conn_opts *o = &c->conn;

    if (c->argc > 0) {
        return cli_usage_error(c, "unknown argument", c->argv[0]);
    }
    if (!made_of(o->target, "i-", "")) {
        return cli_usage_error(c, "no instance id", o->target);
    }
    if (!made_of(o->endpoint_id, "eice-", "_")) {
        return cli_usage_error(c, "no endpoint id", o->endpoint_id);
    }
    if (!made_of(o->endpoint_dns, "", ".-")) {
        return cli_usage_error(c, "no DNS name", o->endpoint_dns);
    }
    if (o->endpoint_dns != NULL && o->endpoint_id == NULL) {
        return cli_usage_error(c, "an endpoint's DNS name needs its id too",
                               o->endpoint_dns);
    }
    return -1;
}

/* ---- open-tunnel ------------------------------------------------------- */

/* One child for each connection: it ends with its tunnel, and the first
 * cause is what it says. */
typedef struct listener {
    cli *c;
    int fd[2];
    pid_t child[TUNNELS_MAX];
    unsigned number[TUNNELS_MAX];
    unsigned count; /* accepted so far */
} listener;

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    if (number != SIGCHLD) {
        stopped = 1;
    }
}

static int listen_at(int family, uint16_t *port)
{
    const int on = 1;
    struct sockaddr_in6 six;
    struct sockaddr_in four;
    socklen_t len = family == AF_INET ? sizeof four : sizeof six;
    struct sockaddr *at = family == AF_INET ? (struct sockaddr *)(void *)&four
                                            : (struct sockaddr *)(void *)&six;
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&four, 0, sizeof four);
    memset(&six, 0, sizeof six);
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    four.sin_port = htons(*port);
    six.sin6_family = AF_INET6;
    six.sin6_addr.s6_addr[15] = 1;
    six.sin6_port = htons(*port);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, at, len) != 0 || listen(fd, TUNNELS_MAX) != 0
        || getsockname(fd, at, &len) != 0) {
        const int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    *port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
    return fd;
}

static void reap(listener *l, bool end)
{
    size_t i;

    for (i = 0; i < TUNNELS_MAX; i++) {
        if (l->child[i] > 0 && end) {
            kill(l->child[i], SIGTERM);
        }
        if (l->child[i] > 0
            && waitpid(l->child[i], NULL, end ? 0 : WNOHANG) != 0) {
            l->child[i] = 0;
            printf("[%u] Closing tcp connection.\n", l->number[i]);
            fflush(stdout);
        }
    }
}

/* Blocked but while ppoll waits, so that none comes between two looks. */
static void signals(void (*handler)(int), int how)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    struct sigaction action;
    sigset_t set;
    size_t i;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&set);
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&set, numbers[i]);
    }
    sigprocmask(how, &set, NULL);
}

static void serve(listener *l, int peer)
{
    const uint32_t most = l->c->max_connections > 0 ? l->c->max_connections
                                                    : 10;
    size_t i = 0;

    while (i < most && l->child[i] > 0) {
        i++;
    }
    if (i == most) {
        printf("Max websocket connections %u have been reached, closing "
               "incoming connection.\n",
               (unsigned)most);
        return;
    }
    l->number[i] = ++l->count;
    printf("[%u] Accepted new tcp connection, opening websocket tunnel.\n",
           l->count);
    fflush(stdout);
    l->child[i] = fork();
    if (l->child[i] == 0) {
        signals(SIG_DFL, SIG_UNBLOCK);
        close(l->fd[0]);
        close(l->fd[1]);
        _exit(cli_carry(l->c, peer, peer, IDLE_MS) ? 0 : cli_aws_status());
    }
}

static int listener_run(listener *l)
{
    struct pollfd fds[2];
    sigset_t none;
    int i;

    sigemptyset(&none);
    signals(on_signal, SIG_BLOCK);
    while (stopped == 0) {
        for (i = 0; i < 2; i++) {
            fds[i].fd = l->fd[i];
            fds[i].events = POLLIN;
            fds[i].revents = 0;
        }
        if (ppoll(fds, 2, NULL, &none) < 0) {
            fds[0].revents = fds[1].revents = 0;
        }
        reap(l, false);
        for (i = 0; i < 2; i++) {
            const int peer = fds[i].revents != 0
                                 ? accept4(l->fd[i], NULL, NULL, SOCK_CLOEXEC)
                                 : -1;

            if (peer >= 0) {
                serve(l, peer);
                close(peer);
            }
        }
    }
    reap(l, true);
    return CLI_OK;
}

static int tunnel_listener(cli *c)
{
    listener l;
    char port[16];

    memset(&l, 0, sizeof l);
    l.c = c;
    l.fd[0] = listen_at(AF_INET, &c->local_port);
    if (l.fd[0] < 0) {
        snprintf(port, sizeof port, "%u", (unsigned)c->local_port);
        cli_usage_error(c, strerror(errno), port);
        return CLI_SSH_FAILED;
    }
    l.fd[1] = listen_at(AF_INET6, &c->local_port); /* where there is IPv6 */
    printf("Listening for connections on port %u.\n",
           (unsigned)c->local_port);
    fflush(stdout);
    return listener_run(&l);
}

int cli_open_tunnel(cli *c)
{
    const eice_conn_opts *o = &c->conn;
    int status = check(c);

    if (status >= 0) {
        return status;
    }
    if (o->target == NULL && o->private_ip == NULL) {
        return cli_usage_error(c, "an instance id or a private address is "
                                  "needed",
                               NULL);
    }
    if (o->target == NULL && o->endpoint_id == NULL) {
        return cli_usage_error(c, "an address without an instance id needs "
                                  "an endpoint id",
                               o->private_ip);
    }
    if (o->target == NULL) {
        c->conn.target = o->private_ip;
    }
    if (cli_given(c, &c->local_port)) {
        return tunnel_listener(c);
    }
    if (isatty(STDIN_FILENO) == 1) {
        return cli_usage_error(c, "a terminal would get the raw stream: give "
                                  "--local-port, or use it as ProxyCommand",
                               NULL);
    }
    return cli_carry(c, STDIN_FILENO, STDOUT_FILENO, 0) ? CLI_OK
                                                        : cli_aws_status();
}

/* ---- send-ssh-public-key ----------------------------------------------- */

static int print_answer(const eice_conn *conn)
{
    const char *id = "";
    const eice_attempt *a;
    size_t i;

    for (i = 0; (a = eice_conn_attempt(conn, i)) != NULL; i++) {
        id = a->request_id[0] != 0 ? a->request_id : id;
    }
    printf("{\n    \"RequestId\": ");
    cli_json_text(stdout, id);
    printf(",\n    \"Success\": true\n}\n");
    return fflush(stdout) == 0 ? CLI_OK : CLI_SSH_FAILED;
}

static int send_key(cli *c)
{
    char line[4200];
    cli_run r;
    int status = check(c);

    if (status >= 0) {
        return status;
    }
    if (c->conn.target == NULL || c->conn.user == NULL || c->push == NULL) {
        return cli_usage_error(c, "--instance-id, --instance-os-user and "
                                  "--ssh-public-key are needed",
                               NULL);
    }
    if (c->output != NULL && strcmp(c->output, "json") != 0) {
        return cli_usage_error(c, "--output can be json only", c->output);
    }
    if (strncmp(c->push, "file://", 7) != 0) {
        snprintf(line, sizeof line, "%s", c->push);
    } else if (!cli_public_key(c, c->push + 7, line, sizeof line)) {
        return AWS_MISUSED;
    }
    c->conn.goal = EICE_GOAL_PUSH;
    c->conn.public_key = eice_str_c(line);
    status = CLI_FAILED;
    if (cli_run_open(&r, c)) {
        status = cli_run_wait(&r) ? print_answer(r.conn) : cli_aws_status();
        cli_run_close(&r);
        return status;
    }
    return cli_aws_status();
}

/* ---- ssh --------------------------------------------------------------- */

static bool set_route(cli *c)
{
    static const char *const words[] = {"eice", "direct", "auto"};
    static const eice_route routes[] = {EICE_ROUTE_ENDPOINT, EICE_ROUTE_DIRECT,
                                        EICE_ROUTE_AUTO};
    const char *type = c->connection_type != NULL ? c->connection_type
                                                  : "auto";
    size_t i;

    for (i = 0; i < 3; i++) {
        if (strcmp(type, words[i]) == 0) {
            c->conn.route = routes[i];
            return true;
        }
    }
    return false;
}

static int connect_ssh(cli *c)
{
    static char *none[1];
    int status = check(c);

    if (status >= 0) {
        return status;
    }
    if (c->conn.target == NULL) {
        return cli_usage_error(c, "--instance-id is needed", NULL);
    }
    if (!set_route(c)) {
        return cli_usage_error(c, "--connection-type can be direct, eice or "
                                  "auto",
                               c->connection_type);
    }
    if (c->conn.private_ip != NULL && c->conn.route == EICE_ROUTE_AUTO) {
        return cli_usage_error(c, "--instance-ip needs a --connection-type",
                               c->conn.private_ip);
    }
    if (c->conn.route == EICE_ROUTE_DIRECT
        && (c->conn.endpoint_id != NULL
            || cli_given(c, &c->conn.max_tunnel_duration_s))) {
        return cli_usage_error(c, "--eice-options go with an endpoint only",
                               NULL);
    }
    none[0] = strdup(c->conn.target);
    c->argv = none;
    c->argc = none[0] != NULL;
    status = cli_ssh(c);
    return status == CLI_SSH_FAILED ? cli_aws_status() : status;
}

/* ---- the family -------------------------------------------------------- */

static const cli_command commands[] = {
    {"ec2-ssh", "ssh [options]", "log in", CLI_SSH_FAILED, AWS_MISUSED, connect_ssh},
    {"open-tunnel", "[options]", "open a tunnel", CLI_SSH_FAILED, AWS_MISUSED,
     cli_open_tunnel},
    {"ec2-send", "send-ssh-public-key [options]",
     "make a key valid for 60 seconds", CLI_SSH_FAILED, AWS_MISUSED, send_key},
};

const cli_command *cli_ec2_command(const char *name)
{
    static const char *const names[] = {"ssh", "open-tunnel",
                                        "send-ssh-public-key"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

int cli_ec2(cli *c)
{
    return cli_usage_error(c, "ssh, open-tunnel or send-ssh-public-key",
                           c->argc > 0 ? c->argv[0] : NULL);
}
