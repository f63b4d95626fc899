/* A tunnel from callbacks: no socket, no file and no clock in the library's
 * hands, as on a microcontroller with lwIP. It reaches port 22 of an instance,
 * prints the first line that comes and closes.
 *
 *     05_callbacks TARGET
 *
 * NET below stands for a callback-style stack: its functions are named after
 * lwIP's raw API, and its loop calls us when something has happened. APP is
 * what one writes on such a stack.
 */
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ======================================================================== *
 *  NET: the stack                                                          *
 * ======================================================================== */

#define PCBS 16

/* A connection. `connected` and `received` are called by the stack; a length
 * of 0 is the peer's end, -1 a failure. */
typedef struct tcp_pcb {
    int fd;
    bool used;
    bool connecting;
    bool reading;
    bool writing; /* `sent` is wanted */
    void *arg;
    void (*connected)(void *arg, struct tcp_pcb *pcb, int error);
    void (*received)(void *arg, struct tcp_pcb *pcb, const void *data,
                     int len);
    void (*sent)(void *arg, struct tcp_pcb *pcb);
} tcp_pcb;

static tcp_pcb pcbs[PCBS];

static tcp_pcb *tcp_new(void *arg)
{
    int i;

    for (i = 0; i < PCBS; i++) {
        if (!pcbs[i].used) {
            memset(&pcbs[i], 0, sizeof pcbs[i]);
            pcbs[i].used = true;
            pcbs[i].reading = true;
            pcbs[i].arg = arg;
            return &pcbs[i];
        }
    }
    return NULL;
}

static void tcp_connect(tcp_pcb *pcb, const uint8_t ip[4], uint16_t port)
{
    struct sockaddr_in to;

    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    memcpy(&to.sin_addr, ip, 4);
    pcb->fd = socket(AF_INET, SOCK_STREAM, 0);
    fcntl(pcb->fd, F_SETFL, O_NONBLOCK);
    pcb->connecting = true;
    (void)!connect(pcb->fd, (struct sockaddr *)(void *)&to, sizeof to);
}

/* Takes what fits now; the bytes taken. */
static size_t tcp_write(tcp_pcb *pcb, const void *data, size_t len)
{
    const ssize_t n = send(pcb->fd, data, len, MSG_NOSIGNAL);

    return n > 0 ? (size_t)n : 0;
}

static void tcp_close(tcp_pcb *pcb)
{
    close(pcb->fd);
    pcb->used = false;
}

static bool dns_gethostbyname(const char *name, uint8_t ip[4])
{
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    struct sockaddr_in at;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    if (getaddrinfo(name, NULL, &hints, &list) != 0) {
        return false;
    }
    memcpy(&at, list->ai_addr, sizeof at);
    memcpy(ip, &at.sin_addr, 4);
    freeaddrinfo(list);
    return true;
}

static void pcb_ready(tcp_pcb *pcb, int revents)
{
    char data[1460];
    int error = 0;
    socklen_t len = sizeof error;
    ssize_t n;

    if (pcb->connecting) {
        getsockopt(pcb->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        pcb->connecting = false;
        pcb->connected(pcb->arg, pcb, error);
        return;
    }
    if ((revents & POLLOUT) != 0) {
        pcb->sent(pcb->arg, pcb);
    }
    if (pcb->used && (revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        n = recv(pcb->fd, data, sizeof data, 0);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
            pcb->received(pcb->arg, pcb, data, (int)n);
        }
    }
}

/* Waits for events, at most so long, and calls back. */
static void net_run(int timeout_ms)
{
    struct pollfd fds[PCBS];
    int i;

    for (i = 0; i < PCBS; i++) {
        const tcp_pcb *pcb = &pcbs[i];

        fds[i].fd = pcb->used ? pcb->fd : -1;
        fds[i].events = 0;
        fds[i].revents = 0;
        if (pcb->connecting || pcb->writing) {
            fds[i].events |= POLLOUT;
        }
        if (!pcb->connecting && pcb->reading) {
            fds[i].events |= POLLIN;
        }
        if (fds[i].events == 0) {
            fds[i].fd = -1;
        }
    }
    if (poll(fds, PCBS, timeout_ms) <= 0) {
        return;
    }
    for (i = 0; i < PCBS; i++) {
        if (fds[i].fd >= 0 && fds[i].revents != 0 && pcbs[i].used) {
            pcb_ready(&pcbs[i], fds[i].revents);
        }
    }
}

/* ======================================================================== *
 *  APP                                                                     *
 * ======================================================================== */

/* One slot of the connection: its pcb, and what came in but was not taken
 * yet. While something is kept the stack is told not to read on, which
 * closes the TCP window. */
typedef struct plug {
    tcp_pcb *pcb;
    int slot;
    uint32_t need; /* of its DIAL */
    uint8_t kept[1460];
    size_t kept_len;
} plug;

static eice_conn *conn;
static plug plugs[EICE_CONN_SLOTS];
static bool have_line;

static eice_now now(void)
{
    struct timespec t;
    eice_now n;

    clock_gettime(CLOCK_MONOTONIC, &t);
    n.ms = (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
    n.unix_s = (int64_t)time(NULL);
    return n;
}

/* ---- callbacks of the stack -------------------------------------------- */

/* Hands over what was kept, as far as there is room. */
static void plug_give(plug *p)
{
    uint8_t *room;
    size_t n;

    while (p->kept_len > 0
           && (n = eice_conn_net_in(conn, p->slot, &room)) > 0) {
        n = n < p->kept_len ? n : p->kept_len;
        memcpy(room, p->kept, n);
        memmove(p->kept, p->kept + n, p->kept_len - n);
        p->kept_len -= n;
        eice_conn_net_in_ack(conn, p->slot, n);
        eice_conn_step(conn, now());
    }
}

static void on_connected(void *arg, tcp_pcb *pcb, int error)
{
    plug *p = (plug *)arg;
    eice_answer a;

    memset(&a, 0, sizeof a);
    if (error != 0) {
        a.code = EICE_E_CONNECT_FAILED;
        a.sys_errno = error;
        tcp_close(pcb);
        p->pcb = NULL;
    }
    eice_conn_answer(conn, p->need, &a);
}

static void on_received(void *arg, tcp_pcb *pcb, const void *data, int len)
{
    plug *p = (plug *)arg;

    if (len > 0) {
        memcpy(p->kept, data, (size_t)len);
        p->kept_len = (size_t)len;
        plug_give(p);
        return;
    }
    pcb->reading = false;
    eice_conn_net_eof(conn, p->slot, len == 0 ? EICE_OK : EICE_E_NET_RESET,
                      0);
}

static void on_sent(void *arg, tcp_pcb *pcb)
{
    plug *p = (plug *)arg;
    const uint8_t *data;
    size_t len;
    size_t n = 1;

    while (n > 0 && (len = eice_conn_net_out(conn, p->slot, &data)) > 0) {
        n = tcp_write(pcb, data, len);
        eice_conn_net_out_ack(conn, p->slot, n);
    }
}

/* ---- needs ------------------------------------------------------------- */

/* The settings of the device: the environment stands for its flash. */
static void setting(const char *name, eice_answer *a)
{
    const char *value = getenv(name);

    a->absent = value == NULL;
    a->data = eice_str_c(value);
}

/* The one file the device may have: a root certificate of its own. */
static void file(const char *path, eice_answer *a)
{
    static char text[16384];
    FILE *f = fopen(path, "rb");

    a->absent = f == NULL;
    if (f != NULL) {
        a->data = eice_str_make(text, fread(text, 1, sizeof text, f));
        fclose(f);
    }
}

static void dial(const eice_need *need)
{
    plug *p = &plugs[need->slot];
    eice_answer a;

    p->slot = need->slot;
    p->need = need->id;
    p->kept_len = 0;
    p->pcb = need->ip.family == 4 ? tcp_new(p) : NULL;
    if (p->pcb == NULL) {
        memset(&a, 0, sizeof a);
        a.code = EICE_E_CONNECT_FAILED;
        eice_conn_answer(conn, need->id, &a);
        return;
    }
    p->pcb->connected = on_connected;
    p->pcb->received = on_received;
    p->pcb->sent = on_sent;
    tcp_connect(p->pcb, need->ip.bytes, need->port);
}

static void provide(const eice_need *need)
{
    char name[512];
    uint8_t seed[64];
    eice_addresses found;
    eice_answer a;

    memset(&a, 0, sizeof a);
    memset(&found, 0, sizeof found);
    eice_copy_text(name, sizeof name, need->name);
    if (need->kind == EICE_NEED_DIAL) {
        dial(need);
        return;
    }
    if (need->kind == EICE_NEED_ENV) {
        setting(name, &a);
    } else if (need->kind == EICE_NEED_FILE) {
        file(name, &a);
    } else if (need->kind == EICE_NEED_RANDOM
               && getrandom(seed, sizeof seed, 0) == sizeof seed) {
        a.data = eice_str_make(seed, sizeof seed);
    } else if (need->kind == EICE_NEED_RESOLVE
               && dns_gethostbyname(name, found.ip[0].bytes)) {
        found.ip[0].family = 4;
        found.count = 1;
        a.addresses = &found;
    } else {
        a.code = EICE_E_LOCAL_IO;
    }
    eice_conn_answer(conn, need->id, &a);
    eice_wipe(seed, sizeof seed);
}

/* ---- work -------------------------------------------------------------- */

/* Prints the target's first line; then there is nothing left to do. */
static void consume(void)
{
    const uint8_t *data;
    const size_t len = eice_conn_app_out(conn, &data);
    const uint8_t *end = (const uint8_t *)memchr(data, '\n', len);
    const size_t n = end == NULL ? len : (size_t)(end - data) + 1;

    if (!have_line && n > 0) {
        fwrite(data, 1, n, stdout);
        have_line = end != NULL;
    }
    eice_conn_app_out_ack(conn, len);
    if (have_line) {
        eice_conn_close(conn);
    }
}

/* Tells the stack what each slot waits for, and closes those that are
 * through; true when one was. */
static bool serve_slots(void)
{
    bool closed = false;
    int i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        plug *p = &plugs[i];
        const unsigned wants = eice_conn_slot(conn, i);

        if (wants == EICE_DONE) {
            if (p->pcb != NULL) {
                tcp_close(p->pcb);
                p->pcb = NULL;
            }
            eice_conn_slot_closed(conn, i);
            closed = true;
        } else if (p->pcb != NULL && !p->pcb->connecting) {
            plug_give(p);
            p->pcb->reading = (wants & EICE_WANT_READ) != 0
                              && p->kept_len == 0;
            p->pcb->writing = (eice_conn_slot(conn, i) & EICE_WANT_WRITE)
                              != 0;
        }
    }
    return closed;
}

static void advance(void)
{
    eice_need need;
    bool again;

    do {
        again = false;
        eice_conn_step(conn, now());
        while (eice_conn_need(conn, &need)) {
            provide(&need);
            again = true;
        }
        if ((eice_conn_state(conn) & EICE_HAVE_DATA) != 0) {
            consume();
            again = true;
        }
        again = serve_slots() || again;
    } while (again);
}

static int wait_ms(void)
{
    const uint64_t at = now().ms;
    const uint64_t deadline = eice_conn_deadline(conn);

    if (deadline <= at) {
        return 0;
    }
    return deadline - at > 1000 ? 1000 : (int)(deadline - at);
}

int main(int argc, char **argv)
{
    eice_conn_opts o = {0};
    eice_error e = {0};

    if (argc != 2) {
        fputs("usage: 05_callbacks TARGET\n", stderr);
        return 2;
    }
    o.goal = EICE_GOAL_TUNNEL;
    o.target = argv[1];
    conn = eice_conn_new(&o, now(), &e);
    while (conn != NULL) {
        advance();
        if ((eice_conn_state(conn) & EICE_DONE) != 0) {
            e = *eice_conn_error(conn);
            break;
        }
        net_run(wait_ms());
    }
    if (e.code != EICE_OK) {
        fprintf(stderr, "%s (%s)\n", e.text, eice_err_remedy(e.code));
    }
    eice_conn_free(conn);
    return e.code != EICE_OK || !have_line;
}
