/* Forwards: what they look like on the command line, their listeners, and
 * the connections that go through them. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTENERS 64
#define BUFFER 16384
#define PIPE_CHUNK 4096   /* a pipe that poll calls writable takes as much */
#define DRAIN_MS 2000     /* for a client to see the end of its stream */
#define TUNNEL_IDLE_MS 5000
#define DIAL_MS 15000     /* one address, unless --connect-timeout says */
#define REMOTE_AGAIN_MS 5000
#define PLACE 300

struct cli_forward {
    cli_forward *next;
    char kind;            /* L, D, R; T: a tunnel to a port of the instance */
    const char *text;     /* as typed */
    char bind[256];       /* address, name, "*"; a path begins with / */
    char host[256];       /* name, address; a path begins with /; "socks" of
                             -R without one, which asks as -D does */
    uint16_t port;
    uint16_t host_port;
};

typedef struct listener {
    int fd;
    const cli_forward *forward;
    uint16_t port;
    char address[EICE_IP_TEXT];
} listener;

/* A listener at the other side. */
typedef struct remote {
    const cli_forward *forward;
    int number;           /* -1: none */
    bool settled;         /* it listens, or does not */
    uint64_t again_ms;    /* when it is asked for again; 0: never */
} remote;

typedef enum relay_state {
    RELAY_ASKING,   /* a SOCKS client has not said where it wants to */
    RELAY_WAITING,  /* for a session, or a free channel */
    RELAY_OPENING,
    RELAY_RESOLVING, /* -R: its destination here */
    RELAY_DIALING,
    RELAY_OPEN,
    RELAY_REFUSED,  /* the client gets its answer, then the end */
    RELAY_DRAINING, /* all was delivered; waits for the client to hang up */
    RELAY_OVER
} relay_state;

/* One connection. Local is the client, far what it talks to. */
typedef struct relay {
    relay_state state;
    const cli_forward *forward; /* NULL: stdin and stdout */
    int in;
    int out;              /* the same but for stdin and stdout */
    int channel;          /* -1: none */
    eice_conn *conn;      /* of a tunnel */
    size_t conn_seen;
    eice_socks *socks;
    bool readable;
    bool writable;
    bool in_open;         /* the client may send more */
    bool out_open;        /* the client was not told the end */
    bool told;            /* the far side was */
    bool found;           /* -R: the addresses are there, or a code */
    eice_err code;
    size_t tried;         /* of the addresses */
    eice_addresses addresses;
    uint64_t sent;
    uint64_t got;
    uint64_t began_ms;
    uint64_t until_ms;    /* DIALING, DRAINING, or a tunnel without input;
                             0: none */
    char from[EICE_IP_TEXT + 16];
    char host[256];
    uint16_t port;
    size_t in_at;
    size_t in_len;
    size_t out_at;
    size_t out_len;
    uint8_t in_data[BUFFER];
    uint8_t out_data[BUFFER];
} relay;

struct cli_forwards {
    cli_run *r;
    eice_ssh *ssh;        /* NULL: connections wait */
    listener listeners[LISTENERS];
    size_t listener_count;
    remote remotes[EICE_MAX_LISTENERS];
    size_t remote_count;
    bool remote_failed;
    remote agent;         /* -A: as if it were one of them */
    cli_forward agent_to;
    bool keeps;           /* `eice forward`: asks again for what failed */
    relay *relays[CLI_RELAYS];
    size_t relay_count;
    size_t most;
    bool accepting;
    bool again;           /* something moved: look again before waiting */
    bool listened;        /* cli_forwards_listen was called */
    bool failed;          /* the connection of stdin and stdout was refused */
};

/* ---- command line ------------------------------------------------------ */

/* The fields between colons; brackets around an IPv6 address go away. */
typedef struct fields {
    char text[4][256];
    size_t count;
} fields;

static bool split(const char *p, fields *out)
{
    out->count = 0;
    for (;;) {
        char *to = out->count < 4 ? out->text[out->count] : NULL;
        size_t n = strcspn(p, ":");
        const bool bracket = p[0] == '[';

        if (to == NULL) {
            return false;
        }
        if (bracket) {
            p++;
            n = strcspn(p, "]");
        }
        if (n >= sizeof out->text[0] || (bracket && p[n] != ']')) {
            return false;
        }
        memcpy(to, p, n);
        to[n] = 0;
        out->count++;
        p += n + (bracket ? 1 : 0);
        if (*p == 0) {
            return true;
        }
        if (*p++ != ':') {
            return false;
        }
    }
}

static bool is_port(const char *text, uint16_t least, uint16_t *port)
{
    uint64_t n;

    if (!eice_str_u64(eice_str_c(text), 65535, &n) || n < least) {
        return false;
    }
    *port = (uint16_t)n;
    return true;
}

static void copy(char *to, const char *from)
{
    snprintf(to, 256, "%s", from);
}

/* Where it listens; the index of the field behind it, 0 when malformed. */
static size_t parse_listen(cli_forward *f, const fields *in, size_t behind)
{
    if (in->text[0][0] == '/') {
        copy(f->bind, in->text[0]);
        return strlen(f->bind) < sizeof((struct sockaddr_un *)0)->sun_path
                   ? 1
                   : 0;
    }
    if (in->count == behind + 1) {
        copy(f->bind, "localhost");
        return is_port(in->text[0], 0, &f->port) ? 1 : 0;
    }
    copy(f->bind, in->text[0][0] != 0 ? in->text[0] : "*");
    return in->count == behind + 2 && is_port(in->text[1], 0, &f->port) ? 2
                                                                        : 0;
}

static bool parse_hop(cli_forward *f, const fields *in)
{
    const size_t behind = in->text[in->count - 1][0] == '/' ? 1 : 2;
    const size_t at = parse_listen(f, in, behind);

    if (at == 0 || in->count != at + behind || in->text[at][0] == 0) {
        return false;
    }
    copy(f->host, in->text[at]);
    return behind == 1 || is_port(in->text[at + 1], 1, &f->host_port);
}

/* PORT, BIND:PORT, PORT:PORT, BIND:PORT:PORT: a port of the instance itself.
 * A bind address is never a plain number, so the first field decides. */
static bool parse_own(cli_forward *f, fields *in)
{
    const char *last = in->text[in->count - 1];
    uint16_t port;
    const bool numeric = is_port(in->text[0], 0, &port);

    if (last[0] == '/' || in->count == 4 || (in->count == 3 && numeric)) {
        f->kind = 'L';
        return parse_hop(f, in);
    }
    if (!is_port(last, 1, &f->host_port)) {
        return false;
    }
    if (in->count - (numeric ? 0 : 1) == 2 || in->text[0][0] == '/') {
        in->count--; /* the instance's port is said apart */
    }
    f->kind = f->host_port == 22 || f->host_port == 3389 ? 'T' : 'L';
    copy(f->host, "localhost");
    return parse_listen(f, in, 0) == in->count;
}

bool cli_forward_add(cli *c, char kind, const char *text)
{
    cli_forward *f = (cli_forward *)calloc(1, sizeof *f);
    cli_forward **end = &c->forwards;
    fields in;
    bool good;

    if (f == NULL) {
        return false;
    }
    f->kind = kind;
    f->text = text;
    good = split(text, &in);
    if (good && kind == 'D') {
        good = parse_listen(f, &in, 0) == in.count && f->bind[0] != '/';
    } else if (good && kind == 'R' && in.count <= 2 && !parse_hop(f, &in)) {
        copy(f->host, "socks"); /* OpenSSH's word for it */
        f->host_port = 0;
        good = parse_listen(f, &in, 0) == in.count;
    } else if (good) {
        good = kind == 'T' ? parse_own(f, &in) : parse_hop(f, &in);
    }
    if (!good) {
        free(f);
        return false;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = f;
    return true;
}

void cli_forward_forget(cli *c)
{
    while (c->forwards != NULL) {
        cli_forward *f = c->forwards;

        c->forwards = f->next;
        free(f);
    }
}

bool cli_forward_needs_ssh(const cli *c)
{
    const cli_forward *f = c->forwards;

    while (f != NULL && f->kind == 'T') {
        f = f->next;
    }
    return f != NULL;
}

/* ---- listening --------------------------------------------------------- */

static void place(char out[PLACE], const char *host, uint16_t port)
{
    const bool path = host[0] == '/';
    const bool v6 = strchr(host, ':') != NULL;
    eice_buf b;

    eice_buf_init(&b, out, PLACE);
    if (path) {
        eice_put_c(&b, host);
    } else {
        eice_putf(&b, v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    }
    (void)eice_buf_c(&b);
}

static uint16_t address_text(const struct sockaddr *a,
                             char out[EICE_IP_TEXT])
{
    eice_ip ip;
    uint16_t port;

    memset(&ip, 0, sizeof ip);
    if (a->sa_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, a, sizeof v4);
        ip.family = 4;
        memcpy(ip.bytes, &v4.sin_addr, 4);
        port = ntohs(v4.sin_port);
    } else if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, a, sizeof v6);
        ip.family = 6;
        memcpy(ip.bytes, &v6.sin6_addr, 16);
        port = ntohs(v6.sin6_port);
    } else {
        strcpy(out, "local");
        return 0;
    }
    (void)eice_ip_format(&ip, out);
    return port;
}

static void set_flags(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Listens at one address; 0, or errno. */
static int listen_at(cli_forwards *t, const cli_forward *f,
                     const struct sockaddr *a, socklen_t len)
{
    const int on = 1;
    const int fd = socket(a->sa_family, SOCK_STREAM, 0);
    listener *l = &t->listeners[t->listener_count];
    union {
        struct sockaddr any;
        struct sockaddr_in6 v6; /* the longest */
    } bound;
    socklen_t size = sizeof bound;
    int number;

    if (fd < 0) {
        return errno;
    }
    set_flags(fd);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (t->listener_count == LISTENERS || bind(fd, a, len) != 0
        || listen(fd, 128) != 0) {
        number = t->listener_count == LISTENERS ? EMFILE : errno;
        close(fd);
        return number;
    }
    l->fd = fd;
    l->forward = f;
    l->port = 0;
    strcpy(l->address, "local");
    if (a->sa_family != AF_UNIX
        && getsockname(fd, &bound.any, &size) == 0) {
        l->port = address_text(&bound.any, l->address);
    }
    t->listener_count++;
    return 0;
}

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
} endpoint;

/* From the text of an IP address, or a path; 0: it is neither. */
static socklen_t address_make(endpoint *a, const char *text, uint16_t port)
{
    eice_ip ip;

    memset(a, 0, sizeof *a);
    if (text[0] == '/' && strlen(text) < sizeof a->path.sun_path) {
        a->path.sun_family = AF_UNIX;
        memcpy(a->path.sun_path, text, strlen(text));
        return sizeof a->path;
    }
    if (!eice_ip_parse(eice_str_c(text), &ip)) {
        return 0;
    }
    if (ip.family == 4) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        memcpy(&a->v4.sin_addr, ip.bytes, 4);
        return sizeof a->v4;
    }
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    memcpy(&a->v6.sin6_addr, ip.bytes, 16);
    return sizeof a->v6;
}

/* 0, or errno. With port 0 the first address chooses for all. */
static int listen_address(cli_forwards *t, const cli_forward *f,
                          const char *text, uint16_t *port)
{
    endpoint a;
    const socklen_t len = address_make(&a, text, *port);
    int number;

    if (len == 0) {
        return EADDRNOTAVAIL;
    }
    number = listen_at(t, f, &a.any, len);
    if (number == 0) {
        *port = t->listeners[t->listener_count - 1].port;
    }
    return number;
}

static int listen_path(cli_forwards *t, const cli_forward *f)
{
    const mode_t old = umask(0177);
    uint16_t port = 0;
    int number;

    number = listen_address(t, f, f->bind, &port);
    umask(old);
    return number;
}

static int listen_tcp(cli_forwards *t, const cli_forward *f)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    static const char *const all[] = {"0.0.0.0", "::"};
    const bool local = strcmp(f->bind, "localhost") == 0;
    const bool every = strcmp(f->bind, "*") == 0
                       || (local && t->r->c->gateway);
    const char *const *names = every ? all : loopback;
    uint16_t port = f->port;
    int first;
    int second;

    if (!every && !local) {
        return listen_address(t, f, f->bind, &port);
    }
    first = listen_address(t, f, names[0], &port);
    if (first == EADDRINUSE) {
        return first;
    }
    second = listen_address(t, f, names[1], &port);
    return first == 0 ? 0 : second;
}

static bool listen_one(cli_forwards *t, const cli_forward *f)
{
    const size_t before = t->listener_count;
    const int number = f->bind[0] == '/' ? listen_path(t, f)
                                         : listen_tcp(t, f);
    char to[PLACE];
    char at[PLACE];
    eice_error e;

    if (number != 0) {
        memset(&e, 0, sizeof e);
        place(at, f->bind, f->port);
        eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL,
                  "cannot listen on %s: %s", at, strerror(number));
        cli_report(t->r->c, &e);
        return false;
    }
    if (f->bind[0] != '/' && f->port == 0) {
        place(to, f->host, f->host_port);
        fprintf(stderr, "Allocated port %u for %s%s\n",
                (unsigned)t->listeners[before].port,
                f->kind == 'D' ? "dynamic forward" : "local forward to ",
                f->kind == 'D' ? "" : to);
    }
    return true;
}

/* ---- one connection ---------------------------------------------------- */

/* The client is at the other side: -R. */
static bool backwards(const relay *r)
{
    return r->forward != NULL && r->forward->kind == 'R';
}

static bool asks(const cli_forward *f)
{
    return f->kind == 'D' || (f->kind == 'R' && f->host_port == 0
                              && f->host[0] != '/');
}

static uint64_t now_ms(void)
{
    return eice_posix_now().ms;
}

static relay *relay_new(cli_forwards *t, int in, int out)
{
    relay *r = (relay *)calloc(1, sizeof *r);
    size_t i = 0;

    while (i < CLI_RELAYS && t->relays[i] != NULL) {
        i++;
    }
    if (r == NULL || i == CLI_RELAYS) {
        free(r);
        return NULL;
    }
    r->in = in;
    r->out = out;
    r->channel = -1;
    r->state = RELAY_WAITING;
    r->in_open = true;
    r->out_open = true;
    r->began_ms = now_ms();
    t->relays[i] = r;
    t->relay_count++;
    return r;
}

static void relay_name(const relay *r, char to[PLACE])
{
    if (r->host[0] == 0) {
        snprintf(to, PLACE, "(not asked yet)");
    } else {
        place(to, r->host, r->port);
    }
}

static void drop_far(cli_forwards *t, relay *r)
{
    if (r->channel >= 0 && t->ssh != NULL) {
        eice_channel_close(t->ssh, r->channel);
    }
    r->channel = -1;
    if (r->conn != NULL) {
        cli_trail(t->r->c, r->conn, &r->conn_seen);
        eice_posix_remove(t->r->x, r->conn);
        eice_conn_free(r->conn);
        r->conn = NULL;
    }
}

static void relay_free(cli_forwards *t, size_t i)
{
    relay *r = t->relays[i];
    char to[PLACE];

    if (t->r->c->verbose > 0 && r->forward != NULL) {
        relay_name(r, to);
        cli_say(t->r->c, "%s -> %s: %llu bytes out, %llu in, %u ms", r->from,
                to, (unsigned long long)r->sent, (unsigned long long)r->got,
                (unsigned)(now_ms() - r->began_ms));
    }
    drop_far(t, r);
    eice_posix_lookup_cancel(t->r->x, r);
    if (r->forward != NULL && r->in >= 0) {
        close(r->in);
    }
    free(r->socks);
    eice_wipe(r, sizeof *r);
    free(r);
    t->relays[i] = NULL;
    t->relay_count--;
}

/* ---- the far side: a channel or a tunnel ------------------------------- */

#define FAR_READY 1u  /* takes bytes */
#define FAR_ENDED 2u  /* sends no more, and all of it is read */
#define FAR_GONE 4u   /* takes no more either */
#define FAR_FAILED 8u
#define FAR_OPEN 16u
#define FAR_FLUSHED 32u /* has taken all there was */

static unsigned far_state(cli_forwards *t, relay *r)
{
    unsigned s;

    if (r->conn != NULL) {
        s = eice_conn_state(r->conn);
        return ((s & EICE_OPEN) != 0 ? FAR_OPEN : 0)
               | ((s & EICE_CAN_SEND) != 0 ? FAR_READY : 0)
               | ((s & EICE_DONE) != 0 && (s & EICE_HAVE_DATA) == 0
                      ? FAR_ENDED | FAR_GONE
                      : 0)
               | ((s & (EICE_OPEN | EICE_DONE)) == EICE_DONE
                          && r->state == RELAY_OPENING
                      ? FAR_FAILED
                      : 0)
               | FAR_FLUSHED;
    }
    if (r->channel < 0 || t->ssh == NULL) {
        return FAR_ENDED | FAR_GONE;
    }
    s = eice_channel_state(t->ssh, r->channel);
    return ((s & EICE_CHAN_OPEN) != 0 ? FAR_OPEN : 0)
           | ((s & EICE_CHAN_CAN_WRITE) != 0 ? FAR_READY : 0)
           | ((s & EICE_CHAN_EOF) != 0 ? FAR_ENDED : 0)
           | ((s & EICE_CHAN_CLOSED) != 0 ? FAR_GONE : 0)
           | ((s & EICE_CHAN_FAILED) != 0 ? FAR_FAILED : 0)
           | ((s & EICE_CHAN_FLUSHED) != 0 ? FAR_FLUSHED : 0);
}

static size_t far_write(cli_forwards *t, relay *r, const void *data,
                        size_t len)
{
    uint8_t *to;
    size_t room;

    if (r->conn == NULL) {
        return eice_channel_write(t->ssh, r->channel, data, len);
    }
    room = eice_conn_app_in(r->conn, &to);
    room = room < len ? room : len;
    if (room > 0) {
        memcpy(to, data, room);
        eice_conn_app_in_ack(r->conn, room);
    }
    return room;
}

static size_t far_read(cli_forwards *t, relay *r, void *out, size_t cap)
{
    const uint8_t *from;
    size_t n;

    if (r->conn == NULL) {
        return eice_channel_read(t->ssh, r->channel, 0, out, cap);
    }
    n = eice_conn_app_out(r->conn, &from);
    n = n < cap ? n : cap;
    if (n > 0) {
        memcpy(out, from, n);
        eice_conn_app_out_ack(r->conn, n);
    }
    return n;
}

static void far_eof(cli_forwards *t, relay *r)
{
    if (r->conn == NULL) {
        eice_channel_eof(t->ssh, r->channel);
    } else { /* a tunnel knows no half-close */
        r->until_ms = now_ms() + TUNNEL_IDLE_MS;
    }
}

static void open_tunnel(cli_forwards *t, relay *r)
{
    eice_conn_opts o = t->r->c->conn;
    eice_error e;

    memset(&e, 0, sizeof e);
    o.goal = EICE_GOAL_TUNNEL;
    o.port = r->port;
    r->conn = eice_conn_new(&o, eice_posix_now(), &e);
    if (r->conn == NULL) {
        cli_report(t->r->c, &e);
        r->state = RELAY_OVER;
    } else if (eice_posix_add(t->r->x, r->conn) != EICE_OK) {
        eice_conn_free(r->conn); /* as many as there may be: wait */
        r->conn = NULL;
    } else {
        r->state = RELAY_OPENING;
    }
}

static void open_channel(cli_forwards *t, relay *r)
{
    eice_channel_opts o;

    memset(&o, 0, sizeof o);
    o.kind = r->host[0] == '/' ? EICE_CHANNEL_UNIX : EICE_CHANNEL_TCP;
    o.host = r->host;
    o.port = r->port;
    r->channel = eice_channel_open(t->ssh, &o);
    if (r->channel >= 0) {
        r->state = RELAY_OPENING;
    }
}

static bool begin_far(cli_forwards *t, relay *r)
{
    if (r->forward != NULL && r->forward->kind == 'T') {
        open_tunnel(t, r);
    } else if (t->ssh != NULL) {
        open_channel(t, r);
    }
    return r->state != RELAY_WAITING;
}

/* ---- moving bytes ------------------------------------------------------ */

/* Into `in_data`, when that is empty. */
static bool read_local(relay *r)
{
    ssize_t n;

    if (!r->readable || !r->in_open || r->in_at < r->in_len) {
        return false;
    }
    n = read(r->in, r->in_data, sizeof r->in_data);
    r->in_at = 0;
    r->in_len = n > 0 ? (size_t)n : 0;
    if (n == 0) {
        r->in_open = false;
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        r->state = RELAY_OVER;
    }
    /* the next read could block, or is for the next turn: others wait */
    r->readable = false;
    return true;
}

static ssize_t write_local(relay *r, const void *data, size_t len)
{
    ssize_t n;

    if (r->forward != NULL) {
        n = send(r->out, data, len, MSG_NOSIGNAL);
    } else if (!r->writable) {
        return 0;
    } else {
        r->writable = false;
        n = write(r->out, data, len < PIPE_CHUNK ? len : PIPE_CHUNK);
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        r->state = RELAY_OVER;
    }
    return n > 0 ? n : 0;
}

/* Into `out_data`, when that is empty. */
static bool read_far(cli_forwards *t, relay *r)
{
    if (r->out_at < r->out_len) {
        return false;
    }
    r->out_at = 0;
    r->out_len = far_read(t, r, r->out_data, sizeof r->out_data);
    r->got += r->out_len;
    return r->out_len > 0;
}

static bool send_answer(cli_forwards *t, relay *r)
{
    const uint8_t *p;
    size_t n;
    ssize_t done;

    if (r->socks == NULL || (n = eice_socks_out(r->socks, &p)) == 0) {
        return false;
    }
    done = backwards(r) ? (ssize_t)far_write(t, r, p, n)
                        : write_local(r, p, n);
    eice_socks_out_ack(r->socks, (size_t)done);
    return done > 0;
}

static bool answered(const relay *r)
{
    const uint8_t *p;

    return r->socks == NULL || eice_socks_out(r->socks, &p) == 0;
}

static void begin_asking(relay *r)
{
    r->socks = (eice_socks *)calloc(1, sizeof *r->socks);
    r->state = r->socks != NULL ? RELAY_ASKING : RELAY_OVER;
}

static void look_up(cli_forwards *t, relay *r);

static bool ask(cli_forwards *t, relay *r)
{
    const bool back = backwards(r);
    const bool moved = back ? read_far(t, r) : read_local(r);
    const uint8_t *data = back ? r->out_data : r->in_data;
    size_t *at = back ? &r->out_at : &r->in_at;
    const size_t len = back ? r->out_len : r->in_len;
    eice_str in = eice_str_make(data + *at, len - *at);
    const eice_socks_event event = eice_socks_feed(r->socks, &in);

    *at = len - in.len;
    if (event == EICE_SOCKS_CONNECT) {
        snprintf(r->host, sizeof r->host, "%s", r->socks->host);
        r->port = r->socks->port;
        r->state = RELAY_WAITING;
        if (back) {
            look_up(t, r);
        }
    } else if (event == EICE_SOCKS_FAILED) {
        cli_say(t->r->c, "%s: %s", r->from, r->socks->error.text);
        r->state = RELAY_REFUSED;
    } else if (back ? (far_state(t, r) & (FAR_ENDED | FAR_GONE)) != 0
                    : !r->in_open) {
        r->state = RELAY_OVER;
    }
    return moved || event != EICE_SOCKS_MORE;
}

/* What ended a relay's tunnel or channel, and where to read on. */
static void say_why(cli_forwards *t, const relay *r, const eice_error *e)
{
    eice_error told = *e;
    char to[PLACE];

    relay_name(r, to);
    if (r->conn != NULL) {
        cli_point(t->r->c, r->conn, &told);
    }
    if (r->forward == NULL) {
        cli_report(t->r->c, &told);
    } else {
        cli_say(t->r->c, "%s -> %s: %s%s%s", r->from, to, told.text,
                told.remedy[0] != 0 ? "; " : "", told.remedy);
    }
}

static void refuse(cli_forwards *t, relay *r)
{
    const eice_error *e = r->conn != NULL
                              ? eice_conn_error(r->conn)
                              : eice_channel_error(t->ssh, r->channel);

    say_why(t, r, e);
    t->failed = t->failed || r->forward == NULL;
    if (r->socks != NULL) {
        eice_socks_reply(r->socks, cli_contains(e->text, "prohibited")
                                       ? EICE_SOCKS_NOT_ALLOWED
                                       : EICE_SOCKS_HOST_UNREACHABLE);
    }
    drop_far(t, r);
    r->state = RELAY_REFUSED;
}

static bool opening(cli_forwards *t, relay *r)
{
    const unsigned far = far_state(t, r);

    if ((far & FAR_FAILED) != 0) {
        refuse(t, r);
    } else if ((far & FAR_OPEN) != 0) {
        if (r->socks != NULL) {
            eice_socks_reply(r->socks, EICE_SOCKS_OK);
        }
        r->state = RELAY_OPEN;
    } else if (r->in_open && r->socks == NULL) {
        return read_local(r); /* a client that is gone is noticed */
    }
    return r->state != RELAY_OPENING;
}

static bool upstream(cli_forwards *t, relay *r)
{
    bool moved = read_local(r);
    size_t n;

    if (r->in_at < r->in_len) {
        n = far_write(t, r, r->in_data + r->in_at, r->in_len - r->in_at);
        r->in_at += n;
        r->sent += n;
        moved = moved || n > 0;
    }
    if (r->in_at == r->in_len && !r->in_open && !r->told) {
        far_eof(t, r);
        r->told = true;
        moved = true;
    }
    return moved;
}

static bool downstream(cli_forwards *t, relay *r)
{
    bool moved = read_far(t, r);
    size_t n;

    if (moved && r->until_ms != 0) {
        r->until_ms = now_ms() + TUNNEL_IDLE_MS;
    }
    if (r->out_at < r->out_len) {
        n = (size_t)write_local(r, r->out_data + r->out_at,
                                r->out_len - r->out_at);
        r->out_at += n;
        moved = moved || n > 0;
    }
    return moved;
}

/* Nothing has passed: it may as well begin anew. */
static bool untouched(const relay *r)
{
    return r->sent == 0 && r->got == 0;
}

/* The end of the far side's bytes becomes that of the client's. */
static bool ends(cli_forwards *t, relay *r)
{
    const unsigned far = far_state(t, r);

    if (r->state != RELAY_OPEN || (far & FAR_ENDED) == 0
        || r->out_at < r->out_len) {
        return false;
    }
    if (r->conn == NULL && untouched(r)
        && eice_ssh_phase_of(t->ssh) > EICE_SSH_READY) {
        return false; /* the session is lost: there may be another */
    }
    if (r->conn != NULL && eice_conn_error(r->conn)->code != EICE_OK) {
        say_why(t, r, eice_conn_error(r->conn));
    }
    if (r->out_open) {
        r->out_open = false;
        if (shutdown(r->out, SHUT_WR) != 0 && r->forward == NULL) {
            close(r->out);
        }
    }
    if (r->told && !r->in_open && (far & FAR_FLUSHED) != 0) {
        r->state = RELAY_OVER;
    } else if ((far & FAR_GONE) != 0) {
        r->state = r->forward != NULL ? RELAY_DRAINING : RELAY_OVER;
        r->until_ms = now_ms() + DRAIN_MS;
    } else {
        return false;
    }
    return true;
}

static bool drain(cli_forwards *t, relay *r)
{
    const bool back = backwards(r) && r->in < 0; /* was never connected */
    const bool moved = back ? read_far(t, r) : read_local(r);

    r->in_at = r->in_len;
    r->out_at = back ? r->out_len : r->out_at;
    if (back ? (far_state(t, r) & FAR_ENDED) != 0 : !r->in_open) {
        r->state = RELAY_OVER;
    }
    return moved;
}

/* The client has its refusal: only the end is left. */
static void turn_away(cli_forwards *t, relay *r)
{
    r->state = RELAY_DRAINING;
    r->until_ms = now_ms() + DRAIN_MS;
    if (backwards(r)) {
        eice_channel_eof(t->ssh, r->channel);
    } else {
        (void)shutdown(r->out, SHUT_WR);
    }
}

/* ---- -R: connections that come from there ------------------------------ */

/* No connection to its destination: errno, or the code of the look-up. */
static void dial_failed(cli_forwards *t, relay *r, int number)
{
    char to[PLACE];

    relay_name(r, to);
    cli_say(t->r->c, "%s -> %s: %s", r->from, to,
            r->code != EICE_OK ? eice_err_text(r->code) : strerror(number));
    r->state = RELAY_OVER;
    r->until_ms = 0;
    if (r->socks != NULL) {
        eice_socks_reply(r->socks,
                         r->code == EICE_OK && number == ECONNREFUSED
                             ? EICE_SOCKS_REFUSED
                         : r->code == EICE_OK && number == ETIMEDOUT
                             ? EICE_SOCKS_EXPIRED
                             : EICE_SOCKS_HOST_UNREACHABLE);
        r->state = RELAY_REFUSED;
    }
}

/* Begins to connect; 0, or errno. */
static int dial_one(relay *r, const endpoint *a, socklen_t len)
{
    const int on = 1;
    const int fd = socket(a->any.sa_family, SOCK_STREAM, 0);
    int number;

    if (fd < 0) {
        return errno;
    }
    set_flags(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, &a->any, len) != 0 && errno != EINPROGRESS) {
        number = errno;
        close(fd);
        return number;
    }
    r->in = fd;
    r->out = fd;
    r->writable = false;
    return 0;
}

/* Towards the next address; `number` is why the last one did not do. */
static void dial_next(cli_forwards *t, relay *r, int number)
{
    const uint32_t limit = t->r->c->conn.connect_timeout_ms;
    char text[EICE_IP_TEXT];
    endpoint a;
    socklen_t len;

    if (r->in >= 0) {
        close(r->in);
        r->in = -1;
        r->out = -1;
    }
    while (r->tried < (r->host[0] == '/' ? 1 : r->addresses.count)) {
        (void)eice_ip_format(&r->addresses.ip[r->tried], text);
        len = address_make(&a, r->host[0] == '/' ? r->host : text, r->port);
        r->tried++;
        number = dial_one(r, &a, len);
        if (number == 0) {
            r->state = RELAY_DIALING;
            r->until_ms = now_ms() + (limit != 0 ? limit : DIAL_MS);
            return;
        }
    }
    dial_failed(t, r, number);
}

static void looked_up(void *user, eice_err code, const eice_addresses *found)
{
    relay *r = (relay *)user;

    r->found = true;
    r->code = code;
    if (code == EICE_OK) {
        r->addresses = *found;
    }
}

/* The name of the destination, which is ours to resolve. */
static void look_up(cli_forwards *t, relay *r)
{
    r->state = RELAY_RESOLVING;
    if (r->host[0] == '/') {
        r->found = true;
    } else {
        eice_posix_lookup(t->r->x, eice_str_c(r->host), looked_up, r);
    }
}

static bool resolving(cli_forwards *t, relay *r)
{
    if (r->found) {
        dial_next(t, r, 0);
    }
    return r->found;
}

static bool dialing(cli_forwards *t, relay *r)
{
    socklen_t size = sizeof(int);
    int number = 0;

    if (!r->writable && now_ms() < r->until_ms) {
        return false;
    }
    if (!r->writable) {
        number = ETIMEDOUT;
    } else if (getsockopt(r->in, SOL_SOCKET, SO_ERROR, &number, &size) != 0) {
        number = errno;
    }
    r->writable = false;
    if (number != 0) {
        dial_next(t, r, number);
        return true;
    }
    r->state = RELAY_OPEN;
    r->until_ms = 0;
    if (r->socks != NULL) {
        eice_socks_reply(r->socks, EICE_SOCKS_OK);
    }
    return true;
}

static void accept_remote(cli_forwards *t, int channel, const remote *from)
{
    const cli_forward *f = from->forward;
    relay *r = relay_new(t, -1, -1);

    if (r == NULL) {
        eice_channel_close(t->ssh, channel);
        return;
    }
    r->forward = f;
    r->channel = channel;
    snprintf(r->from, sizeof r->from,
             from == &t->agent ? "remote agent" : "remote port %u",
             (unsigned)eice_listen_port(t->ssh, from->number));
    if (asks(f)) {
        begin_asking(r);
        return;
    }
    snprintf(r->host, sizeof r->host, "%s", f->host);
    r->port = f->host_port;
    look_up(t, r);
}

static void settle(cli_forwards *t, remote *m)
{
    const unsigned state = eice_listen_state(t->ssh, m->number);
    const cli_forward *f = m->forward;
    char to[PLACE];

    if ((state & EICE_LISTEN_FAILED) != 0) {
        cli_report(t->r->c, eice_listen_error(t->ssh, m->number));
        eice_ssh_unlisten(t->ssh, m->number);
        m->number = -1;
        m->again_ms = t->keeps ? now_ms() + REMOTE_AGAIN_MS : 0;
        t->remote_failed = true;
    } else if ((state & EICE_LISTEN_OPEN) == 0) {
        return;
    } else if (f->port == 0 && f->bind[0] != '/') {
        place(to, f->host, f->host_port);
        fprintf(stderr, "Allocated port %u for remote forward to %s\n",
                (unsigned)eice_listen_port(t->ssh, m->number), to);
    }
    m->settled = true;
}

static void ask_remote(cli_forwards *t, remote *m)
{
    const cli_forward *f = m->forward;
    eice_listen_opts o;

    memset(&o, 0, sizeof o);
    o.host = strcmp(f->bind, "*") == 0 ? "" : f->bind;
    o.port = f->port;
    o.path = f->bind[0] == '/' ? f->bind : NULL;
    m->again_ms = 0;
    m->number = eice_ssh_listen(t->ssh, &o);
    m->settled = m->number < 0;
    if (m->number < 0) {
        cli_say(t->r->c, "-R %s: %s", f->text,
                eice_err_text((eice_err)m->number));
        m->number = -1;
        t->remote_failed = true;
    }
}

static const remote *remote_numbered(const cli_forwards *t, int number)
{
    size_t i;

    for (i = 0; i < t->remote_count; i++) {
        if (t->remotes[i].number == number) {
            return &t->remotes[i];
        }
    }
    return number == t->agent.number ? &t->agent : NULL;
}

static bool remotes_step(cli_forwards *t)
{
    bool moved = false;
    int number;
    int channel;
    size_t i;

    for (i = 0; t->ssh != NULL && i < t->remote_count; i++) {
        remote *m = &t->remotes[i];

        if (m->again_ms != 0 && now_ms() >= m->again_ms) {
            ask_remote(t, m);
            moved = true;
        }
        if (!m->settled) {
            settle(t, m);
            moved = m->settled || moved;
        }
    }
    while (t->ssh != NULL && t->relay_count < CLI_RELAYS
           && (channel = eice_ssh_accept_channel(t->ssh, &number)) >= 0) {
        const remote *m = remote_numbered(t, number);

        if (m != NULL) {
            accept_remote(t, channel, m);
        } else {
            eice_channel_close(t->ssh, channel);
        }
        moved = true;
    }
    return moved;
}

void cli_forwards_agent(cli_forwards *t, const char *path)
{
    t->agent_to.kind = 'R';
    t->agent_to.text = "agent";
    snprintf(t->agent_to.host, sizeof t->agent_to.host, "%s", path);
    t->agent.forward = &t->agent_to;
    t->agent.number = EICE_LISTEN_AGENT;
}

/* Asks for all of -R on this session. */
static void ask_remotes(cli_forwards *t)
{
    const cli_forward *f;
    remote *m;

    t->remote_count = 0;
    t->remote_failed = false;
    for (f = t->r->c->forwards; f != NULL; f = f->next) {
        if (f->kind != 'R' || t->remote_count == EICE_MAX_LISTENERS) {
            t->remote_failed = t->remote_failed || f->kind == 'R';
            continue;
        }
        m = &t->remotes[t->remote_count++];
        m->forward = f;
        ask_remote(t, m);
    }
}

bool cli_forwards_settled(const cli_forwards *t)
{
    size_t i;

    for (i = 0; i < t->remote_count; i++) {
        if (!t->remotes[i].settled) {
            return false;
        }
    }
    return true;
}

static bool relay_step(cli_forwards *t, relay *r)
{
    bool moved = send_answer(t, r);

    switch (r->state) {
    case RELAY_ASKING:
        return ask(t, r) || moved;
    case RELAY_WAITING:
        return begin_far(t, r) || moved;
    case RELAY_OPENING:
        return opening(t, r) || moved;
    case RELAY_RESOLVING:
        return resolving(t, r);
    case RELAY_DIALING:
        return dialing(t, r);
    case RELAY_OPEN:
        if (!answered(r)) {
            return moved; /* before anything else */
        }
        moved = upstream(t, r) || moved;
        if (r->state == RELAY_OPEN) {
            moved = downstream(t, r) || moved;
            moved = ends(t, r) || moved;
        }
        return moved;
    case RELAY_REFUSED:
        if (r->forward == NULL) {
            r->state = RELAY_OVER;
        } else if (answered(r)) {
            turn_away(t, r);
        }
        return moved;
    case RELAY_DRAINING:
        return drain(t, r) || moved;
    case RELAY_OVER:
        break;
    }
    return moved;
}

/* ---- the table --------------------------------------------------------- */

static void accept_one(cli_forwards *t, listener *l)
{
    union {
        struct sockaddr any;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t size = sizeof peer;
    const int on = 1;
    const int fd = accept(l->fd, &peer.any, &size);
    char address[EICE_IP_TEXT];
    relay *r;
    uint16_t port;

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            cli_say(t->r->c, "listener on %s port %u is dead: %s", l->address,
                    (unsigned)l->port, strerror(errno));
            close(l->fd);
            l->fd = -1;
        }
        return;
    }
    set_flags(fd);
    r = relay_new(t, fd, fd);
    if (r == NULL) {
        close(fd);
        return;
    }
    r->forward = l->forward;
    port = size >= sizeof peer.any.sa_family ? address_text(&peer.any, address)
                                             : 0;
    snprintf(r->from, sizeof r->from, "%s port %u", address, (unsigned)port);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (asks(l->forward)) {
        begin_asking(r);
        return;
    }
    snprintf(r->host, sizeof r->host, "%s", l->forward->host);
    r->port = l->forward->host_port;
}

static void add(struct pollfd *fds, size_t *n, size_t cap, int fd, int events)
{
    if (events != 0 && *n < cap) {
        fds[*n].fd = fd;
        fds[*n].events = (short)events;
        fds[*n].revents = 0;
        ++*n;
    }
}

static int relay_in_events(cli_forwards *t, relay *r)
{
    if (!r->in_open || r->in_at < r->in_len) {
        return 0;
    }
    switch (r->state) {
    case RELAY_ASKING:
    case RELAY_DRAINING:
        return POLLIN;
    case RELAY_OPENING:
        return r->socks == NULL ? POLLIN : 0;
    case RELAY_OPEN:
        return (far_state(t, r) & FAR_READY) != 0 ? POLLIN : 0;
    case RELAY_WAITING:
    case RELAY_RESOLVING:
    case RELAY_DIALING:
    case RELAY_REFUSED:
    case RELAY_OVER:
        break;
    }
    return 0;
}

size_t cli_forwards_fds(cli_forwards *t, struct pollfd *fds, size_t cap)
{
    size_t n = 0;
    size_t i;

    for (i = 0; t->accepting && i < t->listener_count; i++) {
        add(fds, &n, cap, t->listeners[i].fd,
            t->listeners[i].fd >= 0 && t->relay_count < t->most ? POLLIN : 0);
    }
    for (i = 0; i < CLI_RELAYS; i++) {
        relay *r = t->relays[i];

        if (r != NULL) {
            const int in = relay_in_events(t, r);
            const int out = r->out_at < r->out_len
                                    || (!answered(r) && !backwards(r))
                                    || r->state == RELAY_DIALING
                                ? POLLOUT
                                : 0;

            add(fds, &n, cap, r->in, r->in == r->out ? in | out : in);
            add(fds, &n, cap, r->out, r->in == r->out ? 0 : out);
        }
    }
    return n;
}

static void note_ready(cli_forwards *t, const struct pollfd *p)
{
    size_t i;

    for (i = 0; i < t->listener_count; i++) {
        if (t->listeners[i].fd == p->fd) {
            accept_one(t, &t->listeners[i]);
            return;
        }
    }
    for (i = 0; i < CLI_RELAYS; i++) {
        relay *r = t->relays[i];

        if (r != NULL && r->in == p->fd && (p->events & POLLIN) != 0) {
            r->readable = (p->revents & (POLLIN | POLLHUP | POLLERR)) != 0;
        }
        if (r != NULL && r->out == p->fd && (p->events & POLLOUT) != 0) {
            r->writable = (p->revents & (POLLOUT | POLLHUP | POLLERR)) != 0;
        }
    }
}

bool cli_forwards_work(cli_forwards *t, const struct pollfd *fds, size_t n)
{
    const uint64_t now = now_ms();
    size_t i;

    t->again = false;
    for (i = 0; i < n; i++) {
        if (fds[i].revents != 0) {
            note_ready(t, &fds[i]);
        }
    }
    t->again = remotes_step(t);
    for (i = 0; i < CLI_RELAYS; i++) {
        relay *r = t->relays[i];

        if (r == NULL) {
            continue;
        }
        t->again = relay_step(t, r) || t->again;
        if (r->conn != NULL) {
            cli_trail(t->r->c, r->conn, &r->conn_seen);
        }
        if (r->state == RELAY_OVER
            || (r->until_ms != 0 && now >= r->until_ms
                && r->state != RELAY_DIALING)) {
            relay_free(t, i);
            t->again = true;
        }
    }
    return t->again;
}

/* When there is something to do without an event; UINT64_MAX: never. */
uint64_t cli_forwards_deadline(const cli_forwards *t)
{
    uint64_t least = t->again ? 0 : UINT64_MAX;
    size_t i;

    for (i = 0; i < CLI_RELAYS; i++) {
        const relay *r = t->relays[i];

        if (r != NULL && r->until_ms != 0 && r->until_ms < least) {
            least = r->until_ms;
        }
    }
    for (i = 0; t->ssh != NULL && i < t->remote_count; i++) {
        const uint64_t due = t->remotes[i].again_ms;

        least = due != 0 && due < least ? due : least;
    }
    return least;
}

cli_forwards *cli_forwards_new(cli_run *run)
{
    cli_forwards *t = (cli_forwards *)calloc(1, sizeof *t);

    if (t != NULL) {
        t->r = run;
        t->accepting = true;
        t->most = run->c->max_connections != 0 ? run->c->max_connections
                                               : CLI_RELAYS;
        run->forwards = t;
    }
    return t;
}

bool cli_forwards_listen(cli_forwards *t)
{
    const cli_forward *f;
    bool good = true;

    for (f = t->r->c->forwards; f != NULL; f = f->next) {
        good = (f->kind == 'R' || listen_one(t, f)) && good;
    }
    t->listened = true;
    if (t->ssh != NULL) {
        ask_remotes(t);
    }
    return good;
}

/* The session that carries them; NULL when it is lost: what has not sent a
 * byte through it waits for the next one. */
void cli_forwards_attach(cli_forwards *t, eice_ssh *ssh)
{
    size_t i;

    for (i = 0; ssh == NULL && i < CLI_RELAYS; i++) {
        relay *r = t->relays[i];

        if (r == NULL || r->channel < 0) {
            continue;
        }
        r->channel = -1;
        if (r->state == RELAY_OPENING
            || (r->state == RELAY_OPEN && untouched(r) && !backwards(r))) {
            r->state = RELAY_WAITING;
            r->told = false;
        } else if (r->state == RELAY_OPEN || backwards(r)) {
            r->state = RELAY_OVER;
        }
    }
    t->ssh = ssh;
    t->remote_count = 0;
    if (ssh != NULL && t->listened) {
        ask_remotes(t);
    }
    t->again = true;
}

bool cli_forwards_stdio(cli_forwards *t, const char *to)
{
    relay *r = relay_new(t, STDIN_FILENO, STDOUT_FILENO);
    fields in;

    if (r == NULL || !split(to, &in) || in.text[0][0] == 0
        || !(in.text[0][0] == '/' ? in.count == 1
                                  : in.count == 2
                                        && is_port(in.text[1], 1, &r->port))) {
        return false;
    }
    copy(r->host, in.text[0]);
    r->in_open = !t->r->c->no_stdin;
    t->again = true;
    return true;
}

size_t cli_forwards_busy(const cli_forwards *t)
{
    return t->relay_count;
}

bool cli_forwards_failed(const cli_forwards *t)
{
    return t->failed || t->remote_failed;
}

void cli_forwards_stop(cli_forwards *t)
{
    t->accepting = false;
}

void cli_forwards_list(const cli_forwards *t, FILE *out)
{
    char to[PLACE];
    size_t i;

    fputs("The following connections are open:\r\n", out);
    for (i = 0; i < CLI_RELAYS; i++) {
        if (t->relays[i] != NULL) {
            relay_name(t->relays[i], to);
            fprintf(out, "  #%u %s -> %s\r\n", (unsigned)i,
                    t->relays[i]->from, to);
        }
    }
}

void cli_forwards_free(cli_forwards *t)
{
    const cli_forward *f;
    size_t i;

    if (t == NULL) {
        return;
    }
    for (i = 0; i < CLI_RELAYS; i++) {
        if (t->relays[i] != NULL) {
            relay_free(t, i);
        }
    }
    for (i = 0; i < t->listener_count; i++) {
        if (t->listeners[i].fd >= 0) {
            close(t->listeners[i].fd);
        }
        f = t->listeners[i].forward;
        if (f->bind[0] == '/') {
            unlink(f->bind);
        }
    }
    t->r->forwards = NULL;
    free(t);
}

/* ---- eice forward ------------------------------------------------------ */

#define RETRY_FIRST_MS 500u
#define RETRY_MOST_MS 30000u
#define STEADY_MS 30000u /* up so long: the next loss begins anew */

static void json_place(FILE *out, const char *name, const char *host,
                       uint16_t port)
{
    fprintf(out, "\"%s\":", name);
    cli_json_text(out, host);
    if (host[0] != '/') {
        fprintf(out, ",\"%s_port\":%u", name, (unsigned)port);
    }
}

static void json_listener(FILE *out, const cli_forward *f,
                          const char *address, uint16_t port)
{
    fputc('{', out);
    json_place(out, "bind", f->bind[0] == '/' ? f->bind : address, port);
    if (!asks(f)) {
        fputc(',', out);
        json_place(out, "to", f->host, f->host_port);
    }
    fprintf(out, ",\"by\":\"%s\"}",
            f->kind == 'D'   ? "socks"
            : f->kind == 'T' ? "tunnel"
            : f->kind == 'L' ? "ssh"
            : asks(f)        ? "remote-socks"
                             : "remote");
}

void cli_forwards_ready(const cli_forwards *t, FILE *out)
{
    size_t count = 0;
    size_t i;

    fputs("{\"ready\":true,\"listen\":[", out);
    for (i = 0; i < t->listener_count; i++) {
        const listener *l = &t->listeners[i];

        fputs(count++ > 0 ? "," : "", out);
        json_listener(out, l->forward, l->address, l->port);
    }
    for (i = 0; i < t->remote_count; i++) {
        const remote *m = &t->remotes[i];

        fputs(count++ > 0 ? "," : "", out);
        json_listener(out, m->forward, m->forward->bind,
                      eice_listen_port(t->ssh, m->number));
    }
    fputs("]}\n", out);
    fflush(out);
}

bool cli_forwards_listening(const cli_forwards *t)
{
    const cli_forward *f;
    size_t i;

    for (i = 0; i < t->listener_count; i++) {
        if (t->listeners[i].fd >= 0) {
            return true;
        }
    }
    for (f = t->r->c->forwards; f != NULL; f = f->next) {
        if (f->kind == 'R') {
            return true;
        }
    }
    return false;
}

/* The long life of a set of listeners. */
typedef struct keeper {
    cli_run r;
    cli_forwards *t;
    bool needs_ssh;
    bool attached;
    bool told;            /* that it is ready, on this connection */
    bool was_ready;
    unsigned losses;      /* in a row */
    uint64_t open_ms;
    uint64_t retry_ms;
} keeper;

static bool say_ready(keeper *k)
{
    const cli *c = k->r.c;
    FILE *out;

    if (k->was_ready) {
        cli_say(c, "connected again");
        return true;
    }
    k->was_ready = true;
    if (c->ready_fd == 0) {
        return true;
    }
    out = fdopen((int)c->ready_fd, "w");
    if (out == NULL) {
        cli_say(c, "--ready-fd %u: %s", (unsigned)c->ready_fd,
                strerror(errno));
        return false;
    }
    cli_forwards_ready(k->t, out);
    fclose(out);
    return true;
}

/* 0.5 s, doubled up to 30 s, each time between the half and the whole. */
static uint64_t pause_ms(unsigned losses)
{
    uint64_t most = RETRY_FIRST_MS << (losses < 6 ? losses : 6);
    uint16_t chance = 0;

    most = most < RETRY_MOST_MS ? most : RETRY_MOST_MS;
    (void)eice_posix_random(&chance, sizeof chance);
    return most / 2 + most / 2 * chance / 65535u;
}

/* False: no use to go on. */
static bool lost(keeper *k)
{
    const eice_error *e = eice_conn_error(k->r.conn);
    const uint64_t now = now_ms();
    eice_error told = *e;
    bool final = !k->was_ready || e->code == EICE_E_HOST_KEY_CHANGED
                 || e->code == EICE_E_HOST_KEY_REVOKED;

    if (k->r.signal != 0) {
        return true;
    }
    if (e->code != EICE_OK) {
        if (final) {
            cli_why(&k->r, &told);
        }
        cli_report(k->r.c, &told);
    } else if (!k->was_ready) {
        cli_say(k->r.c, "the session ended");
    }
    cli_forwards_attach(k->t, NULL);
    cli_run_disconnect(&k->r);
    k->losses = k->attached && now - k->open_ms > STEADY_MS ? 0 : k->losses;
    k->attached = false;
    k->retry_ms = now + pause_ms(k->losses++);
    if (!final) {
        cli_say(k->r.c, "connecting again in %u ms",
                (unsigned)(k->retry_ms - now));
    }
    return !final;
}

static bool keep(keeper *k)
{
    const unsigned state = k->r.conn != NULL ? eice_conn_state(k->r.conn) : 0;

    if (k->r.conn == NULL) {
        if (now_ms() < k->retry_ms) {
            return true;
        }
        k->r.wake_ms = 0;
        return cli_run_connect(&k->r);
    }
    if ((state & EICE_DONE) != 0) {
        if (!lost(k)) {
            return false;
        }
        k->r.wake_ms = k->retry_ms;
    } else if ((state & EICE_OPEN) != 0 && !k->attached) {
        k->attached = true;
        k->told = false;
        k->open_ms = now_ms();
        cli_forwards_attach(k->t, eice_conn_ssh(k->r.conn));
    }
    if (k->attached && !k->told && cli_forwards_settled(k->t)) {
        k->told = true;
        return (k->was_ready || !cli_forwards_failed(k->t)) && say_ready(k);
    }
    return true;
}

static int keep_all(keeper *k)
{
    bool good = k->needs_ssh || say_ready(k);

    while (good && k->r.signal == 0) {
        good = !k->needs_ssh || keep(k);
        if (good && !cli_forwards_listening(k->t)) {
            cli_say(k->r.c, "no listener is left");
            good = false;
        }
        if (good) {
            cli_run_turn(&k->r, NULL, 0);
        }
    }
    if (k->r.conn != NULL) {
        eice_conn_close(k->r.conn);
    }
    while (k->r.conn != NULL && (eice_conn_state(k->r.conn) & EICE_DONE) == 0) {
        cli_run_turn(&k->r, NULL, 0); /* says good-bye */
    }
    return good ? CLI_OK : CLI_FAILED;
}

int cli_forward_run(cli *c)
{
    keeper *k;
    int status = CLI_FAILED;
    int i;

    if (c->argc < 1) {
        return cli_usage_error(c, "no target", NULL);
    }
    for (i = 1; i < c->argc; i++) {
        if (!cli_forward_add(c, 'T', c->argv[i])) {
            return cli_usage_error(c, "bad forward", c->argv[i]);
        }
    }
    if (c->forwards == NULL) {
        return cli_usage_error(c, "no port to listen on", NULL);
    }
    c->conn.goal = EICE_GOAL_SSH;
    k = (keeper *)calloc(1, sizeof *k);
    if (k != NULL && cli_login_key(c) && cli_run_begin(&k->r, c)) {
        k->needs_ssh = cli_forward_needs_ssh(c);
        k->t = cli_forwards_new(&k->r);
        if (k->t != NULL && cli_forwards_listen(k->t)) {
            k->t->keeps = true;
            status = keep_all(k);
        }
        cli_run_close(&k->r);
    }
    free(k);
    return status;
}
