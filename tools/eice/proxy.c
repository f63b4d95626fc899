/* eice proxy: stdin and stdout through a tunnel, for OpenSSH's ProxyCommand.
 * It can push the user's key first, or serve an ephemeral one as an agent. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define AGENT_CLIENTS 8

typedef struct agent_client {
    int fd; /* -1: free */
    size_t in_len;
    size_t out_len;
    size_t out_at;
    char in[EICE_AGENT_MAX];
    char out[EICE_AGENT_MAX];
} agent_client;

typedef struct agent {
    eice_posix *x;
    int fd; /* listens; -1: none */
    const char *path;
    eice_user_key key;
    agent_client client[AGENT_CLIENTS];
} agent;

/* ---- the agent --------------------------------------------------------- */

static void client_close(agent *a, agent_client *k)
{
    (void)eice_posix_watch(a->x, k->fd, 0, NULL, NULL);
    close(k->fd);
    eice_wipe(k, sizeof *k);
    k->fd = -1;
}

/* Answers every whole message that is there. */
static bool client_serve(agent *a, agent_client *k)
{
    for (;;) {
        eice_buf out;
        ptrdiff_t n;

        eice_buf_init(&out, k->out + k->out_len, sizeof k->out - k->out_len);
        n = eice_agent_serve(&a->key, eice_str_make(k->in, k->in_len), &out);
        if (n <= 0 || out.overflow) {
            return n == 0;
        }
        k->out_len += out.len;
        memmove(k->in, k->in + n, k->in_len - (size_t)n);
        k->in_len -= (size_t)n;
    }
}

static void client_ready(void *user, int fd, int revents)
{
    agent *a = (agent *)user;
    agent_client *k = NULL;
    ssize_t n;
    size_t i;

    for (i = 0; i < AGENT_CLIENTS; i++) {
        if (a->client[i].fd == fd) {
            k = &a->client[i];
        }
    }
    if (k == NULL) {
        return;
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0
        && k->out_at == k->out_len) {
        k->out_at = 0;
        k->out_len = 0;
        n = read(fd, k->in + k->in_len, sizeof k->in - k->in_len);
        if (n > 0) {
            k->in_len += (size_t)n;
        }
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)
            || !client_serve(a, k)) {
            client_close(a, k);
            return;
        }
    }
    if (k->out_at < k->out_len) {
        n = send(fd, k->out + k->out_at, k->out_len - k->out_at,
                 MSG_NOSIGNAL);
        k->out_at += n > 0 ? (size_t)n : 0;
    }
    (void)eice_posix_watch(a->x, fd,
                           k->out_at < k->out_len ? POLLOUT : POLLIN,
                           client_ready, a);
}

static void agent_ready(void *user, int fd, int revents)
{
    agent *a = (agent *)user;
    const int peer = accept(fd, NULL, NULL);
    size_t i;

    (void)revents;
    if (peer < 0) {
        return;
    }
    fcntl(peer, F_SETFD, FD_CLOEXEC);
    fcntl(peer, F_SETFL, O_NONBLOCK);
    for (i = 0; i < AGENT_CLIENTS; i++) {
        if (a->client[i].fd < 0) {
            a->client[i].fd = peer;
            if (eice_posix_watch(a->x, peer, POLLIN, client_ready, a)
                == EICE_OK) {
                return;
            }
            a->client[i].fd = -1;
            break;
        }
    }
    close(peer);
}

static bool agent_make(agent *a, const cli *c)
{
    uint8_t seed[48];
    eice_drbg random;
    bool good;

    if (!eice_posix_random(seed, sizeof seed)) {
        return false;
    }
    eice_drbg_init(&random, seed, sizeof seed);
    good = eice_user_key_generate(&a->key, c->conn.key_type, &random);
    eice_drbg_wipe(&random);
    eice_wipe(seed, sizeof seed);
    return good;
}

/* Listens at the path, for this user only. */
static bool agent_open(agent *a, const cli *c)
{
    struct sockaddr_un at;
    eice_error e;
    mode_t mask;
    bool bound;
    size_t i;

    for (i = 0; i < AGENT_CLIENTS; i++) {
        a->client[i].fd = -1;
    }
    memset(&at, 0, sizeof at);
    memset(&e, 0, sizeof e);
    at.sun_family = AF_UNIX;
    snprintf(at.sun_path, sizeof at.sun_path, "%s", c->agent_socket);
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mask = umask(0177);
    bound = strlen(c->agent_socket) < sizeof at.sun_path && a->fd >= 0
            && bind(a->fd, (struct sockaddr *)(void *)&at, sizeof at) == 0;
    umask(mask);
    if (!bound || listen(a->fd, AGENT_CLIENTS) != 0 || !agent_make(a, c)) {
        eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL,
                  "cannot listen at %s: %s", c->agent_socket,
                  strlen(c->agent_socket) < sizeof at.sun_path
                      ? strerror(errno)
                      : "path too long");
        cli_report(c, &e);
        return false;
    }
    a->path = c->agent_socket;
    return true;
}

static void agent_close(agent *a)
{
    size_t i;

    for (i = 0; a->path != NULL && i < AGENT_CLIENTS; i++) {
        if (a->client[i].fd >= 0) {
            close(a->client[i].fd);
        }
    }
    if (a->path != NULL) {
        unlink(a->path);
    }
    if (a->fd >= 0) {
        close(a->fd);
    }
    eice_wipe(a, sizeof *a);
}

/* ---- the command ------------------------------------------------------- */

/* --push USER[:KEY], or the key of --agent-socket. */
static bool key_line(const cli *c, agent *a, char *user, size_t user_cap,
                     char *line, size_t cap)
{
    const char *push = c->push != NULL ? c->push : "";
    const size_t n = strcspn(push, ":");
    eice_buf b;

    snprintf(user, user_cap, "%.*s", (int)n, push);
    if (c->agent_socket == NULL) {
        return cli_public_key(c, push[n] == ':' ? push + n + 1 : NULL, line,
                              cap);
    }
    if (!agent_open(a, c)) {
        return false;
    }
    eice_buf_init(&b, line, cap);
    eice_key_line(&b, a->key.blob, a->key.blob_len, eice_str_c(""));
    (void)eice_buf_c(&b);
    return true;
}

static bool carry(cli *c, agent *a, int in, int out, uint32_t idle_ms)
{
    cli_run r;
    bool good = false;

    if (!cli_run_open(&r, c)) {
        return false;
    }
    if (a != NULL && a->fd >= 0) {
        a->x = r.x;
        (void)eice_posix_watch(r.x, a->fd, POLLIN, agent_ready, a);
    }
    if (cli_run_wait(&r)) {
        eice_error e;

        memset(&e, 0, sizeof e);
        (void)eice_posix_relay(r.x, r.conn, in, out, idle_ms, &e);
        good = cli_run_good(&r) && e.code == EICE_OK;
        if (!good && e.code == EICE_E_LOCAL_IO) {
            cli_report(c, &e);
        }
    }
    cli_run_close(&r);
    return good;
}

bool cli_carry(cli *c, int in, int out, uint32_t idle_ms)
{
    c->conn.goal = EICE_GOAL_TUNNEL;
    return carry(c, NULL, in, out, idle_ms);
}

int cli_proxy(cli *c)
{
    char line[4200];
    char user[64];
    uint64_t port = 22;
    agent a;
    int status = CLI_FAILED;

    if (c->argc < 1 || c->argc > 2) {
        return cli_usage_error(c, "proxy takes a target and a port", NULL);
    }
    if (c->argc == 2
        && (!eice_str_u64(eice_str_c(c->argv[1]), 65535, &port) || port == 0)) {
        return cli_usage_error(c, "no port", c->argv[1]);
    }
    if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) {
        return cli_usage_error(c, "proxy is for pipes: a terminal would get "
                                  "the raw stream (try eice ssh)",
                               NULL);
    }
    memset(&a, 0, sizeof a);
    a.fd = -1;
    c->conn.goal = EICE_GOAL_TUNNEL;
    c->conn.tunnel_pins = cli_given(c, &c->conn.known_hosts);
    c->conn.port = (uint16_t)port;
    if (c->push != NULL || c->agent_socket != NULL) {
        if (!key_line(c, &a, user, sizeof user, line, sizeof line)) {
            agent_close(&a);
            return CLI_FAILED;
        }
        c->conn.user = user[0] != 0 ? user : c->conn.user;
        c->conn.public_key = eice_str_c(line);
    }
    status = carry(c, &a, STDIN_FILENO, STDOUT_FILENO, c->idle_ms)
                 ? CLI_OK
                 : CLI_FAILED;
    agent_close(&a);
    return status;
}
