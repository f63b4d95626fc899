/* Two connections in one poll loop of our own: our sockets, our resolver, our
 * clock. Nothing of >>posix is used but three helpers for files and entropy.
 *
 *     04_event_loop COMMAND [user@]TARGET [user@]TARGET
 *
 * runs a command on two instances at the same time.
 */
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS 2

/* One TCP connection of an eice_conn. */
typedef struct plug {
    int fd; /* -1: none */
    bool dialing;
    uint32_t need; /* the DIAL to be answered */
} plug;

typedef struct link {
    char user[64];
    const char *target;
    const char *command;
    eice_conn *conn;
    plug plug[EICE_CONN_SLOTS];
    int channel; /* -1: not open yet */
    int status;
    bool over;
} link_t;

static eice_now now(void)
{
    struct timespec t;
    eice_now n;

    clock_gettime(CLOCK_MONOTONIC, &t);
    n.ms = (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
    n.unix_s = (int64_t)time(NULL);
    return n;
}

/* ---- what a connection asks for ---------------------------------------- */

/* Asks the C library, which blocks: a real program would do this in a thread
 * and answer later. Any number of needs may be outstanding. */
static void resolve(const eice_need *need, eice_addresses *found)
{
    char name[256];
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    struct addrinfo *a;

    memset(found, 0, sizeof *found);
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    snprintf(name, sizeof name, "%.*s", (int)need->name.len, need->name.ptr);
    if (getaddrinfo(name, NULL, &hints, &list) != 0) {
        return;
    }
    for (a = list; a != NULL && found->count < EICE_MAX_ADDRESSES;
         a = a->ai_next) {
        struct sockaddr_in at;
        eice_ip *ip = &found->ip[found->count++];

        memcpy(&at, a->ai_addr, sizeof at);
        memcpy(ip->bytes, &at.sin_addr, 4);
        ip->family = 4;
    }
    freeaddrinfo(list);
}

/* Begins to connect; true when the answer can be given at once. */
static bool dial(link_t *l, const eice_need *need, eice_answer *answer)
{
    plug *p = &l->plug[need->slot];
    struct sockaddr_in to;

    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(need->port);
    memcpy(&to.sin_addr, need->ip.bytes, 4);
    p->fd = need->ip.family == 4 ? socket(AF_INET, SOCK_STREAM, 0) : -1;
    p->need = need->id;
    p->dialing = false;
    if (p->fd >= 0) {
        fcntl(p->fd, F_SETFL, O_NONBLOCK);
        if (connect(p->fd, (struct sockaddr *)(void *)&to, sizeof to) == 0) {
            return true;
        }
        p->dialing = errno == EINPROGRESS;
    }
    if (!p->dialing) {
        answer->code = EICE_E_CONNECT_FAILED;
        answer->sys_errno = errno;
        if (p->fd >= 0) {
            close(p->fd);
            p->fd = -1;
        }
    }
    return !p->dialing;
}

static void provide(link_t *l, const eice_need *need)
{
    char text[1024];
    uint8_t seed[64];
    eice_addresses found;
    eice_blob file;
    eice_answer a;

    memset(&a, 0, sizeof a);
    memset(&file, 0, sizeof file);
    snprintf(text, sizeof text, "%.*s", (int)need->name.len, need->name.ptr);
    switch (need->kind) {
    case EICE_NEED_ENV:
        a.absent = getenv(text) == NULL;
        a.data = eice_str_c(getenv(text));
        break;
    case EICE_NEED_FILE:
        a.code = eice_posix_read_file(text, need->max, &file, &a.absent,
                                      NULL);
        a.data = eice_str_make(file.ptr, file.len);
        break;
    case EICE_NEED_RANDOM:
        a.code = eice_posix_random(seed, sizeof seed) ? EICE_OK
                                                      : EICE_E_LOCAL_IO;
        a.data = eice_str_make(seed, need->max < sizeof seed ? need->max
                                                             : sizeof seed);
        break;
    case EICE_NEED_RESOLVE:
        resolve(need, &found);
        a.code = found.count > 0 ? EICE_OK : EICE_E_NAME_NOT_FOUND;
        a.addresses = &found;
        break;
    case EICE_NEED_DIAL:
        if (!dial(l, need, &a)) {
            return; /* answered by dialed() */
        }
        break;
    case EICE_NEED_STORE:
        a.code = eice_posix_store_lines(text, need->text, NULL);
        break;
    case EICE_NEED_SAVE:
        a.code = eice_posix_write_file(text, need->text, NULL);
        break;
    case EICE_NEED_FETCH: /* these eice_conn answers itself */
    case EICE_NEED_STS:
    case EICE_NEED_TIME:
    case EICE_NEED_KEYS:
    case EICE_NEED_PROMPT: /* nobody is asked here, nothing is run */
    case EICE_NEED_PROCESS:
    case EICE_NEED_HOSTKEY:
    case EICE_NEED_NONE:
        a.code = EICE_E_HOST_KEY_UNKNOWN;
        break;
    }
    eice_conn_answer(l->conn, need->id, &a);
    eice_blob_free(&file);
    eice_wipe(seed, sizeof seed);
}

/* ---- bytes ------------------------------------------------------------- */

static void dialed(link_t *l, plug *p)
{
    eice_answer a;
    int why = 0;
    socklen_t len = sizeof why;

    memset(&a, 0, sizeof a);
    getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &why, &len);
    p->dialing = false;
    if (why != 0) {
        a.code = why == ECONNREFUSED ? EICE_E_CONNECT_REFUSED
                                     : EICE_E_CONNECT_FAILED;
        a.sys_errno = why;
        close(p->fd);
        p->fd = -1;
    }
    eice_conn_answer(l->conn, p->need, &a);
}

static void receive(link_t *l, int slot)
{
    uint8_t *room;
    const size_t cap = eice_conn_net_in(l->conn, slot, &room);
    ssize_t n;

    if (cap == 0) {
        return;
    }
    n = recv(l->plug[slot].fd, room, cap, 0);
    if (n > 0) {
        eice_conn_net_in_ack(l->conn, slot, (size_t)n);
    } else if (n == 0) {
        eice_conn_net_eof(l->conn, slot, EICE_OK, 0);
    } else if (errno != EAGAIN && errno != EINTR) {
        eice_conn_net_eof(l->conn, slot, EICE_E_NET_RESET, errno);
    }
}

static void transmit(link_t *l, int slot)
{
    const uint8_t *data;
    const size_t len = eice_conn_net_out(l->conn, slot, &data);
    ssize_t n;

    if (len == 0) {
        return;
    }
    n = send(l->plug[slot].fd, data, len, MSG_NOSIGNAL);
    if (n > 0) {
        eice_conn_net_out_ack(l->conn, slot, (size_t)n);
    } else if (errno != EAGAIN && errno != EINTR) {
        eice_conn_net_eof(l->conn, slot, EICE_E_NET_RESET, errno);
    }
}

/* ---- the application --------------------------------------------------- */

static bool open_channel(link_t *l)
{
    eice_channel_opts o = {0};

    o.kind = EICE_CHANNEL_EXEC;
    o.command = eice_str_c(l->command);
    l->channel = eice_channel_open(eice_conn_ssh(l->conn), &o);
    if (l->channel >= 0) {
        eice_channel_eof(eice_conn_ssh(l->conn), l->channel);
    } else {
        eice_conn_close(l->conn);
    }
    return true;
}

static bool print_output(const link_t *l)
{
    eice_ssh *s = eice_conn_ssh(l->conn);
    bool any = false;
    char data[4096];
    int stream;
    size_t n;

    for (stream = 0; stream < 2; stream++) {
        while ((n = eice_channel_read(s, l->channel, stream, data,
                                      sizeof data)) > 0) {
            printf("%s: %.*s", l->target, (int)n, data);
            any = true;
        }
    }
    return any;
}

/* Does what the connection's state calls for; true when it did something:
 * then the connection has to be stepped again. */
static bool work(link_t *l)
{
    const unsigned state = eice_conn_state(l->conn);
    eice_ssh *s = eice_conn_ssh(l->conn);

    l->over = (state & EICE_DONE) != 0;
    if (s == NULL || l->over || l->status >= 0) {
        return false;
    }
    if (l->channel < 0) {
        return open_channel(l);
    }
    if (print_output(l)) {
        return true;
    }
    if ((eice_channel_state(s, l->channel)
         & (EICE_CHAN_CLOSED | EICE_CHAN_FAILED)) != 0) {
        const eice_exit *e = eice_channel_exit(s, l->channel);

        l->status = e->has_status ? e->status : 255;
        eice_conn_close(l->conn);
        return true;
    }
    return false;
}

/* ---- the loop ---------------------------------------------------------- */

/* Steps the connection and answers what it asks, until it only waits. */
static void advance(link_t *l)
{
    eice_need need;
    int slot;
    bool again;

    do {
        again = false;
        eice_conn_step(l->conn, now());
        while (eice_conn_need(l->conn, &need)) {
            provide(l, &need);
            again = true;
        }
        again = work(l) || again;
        for (slot = 0; slot < EICE_CONN_SLOTS; slot++) {
            plug *p = &l->plug[slot];

            if (eice_conn_slot(l->conn, slot) == EICE_DONE) {
                if (p->fd >= 0) {
                    close(p->fd);
                }
                p->fd = -1;
                p->dialing = false;
                eice_conn_slot_closed(l->conn, slot);
                again = true;
            }
        }
    } while (again && !l->over);
}

/* Adds what to wait for; slots[i] is the slot of fds[i]. */
static size_t collect(link_t *l, struct pollfd *fds, int *slots)
{
    size_t n = 0;
    int slot;

    for (slot = 0; slot < EICE_CONN_SLOTS; slot++) {
        const plug *p = &l->plug[slot];
        const unsigned wants = eice_conn_slot(l->conn, slot);
        short events = p->dialing ? POLLOUT : 0;

        events |= (wants & EICE_WANT_READ) != 0 ? POLLIN : 0;
        events |= (wants & EICE_WANT_WRITE) != 0 ? POLLOUT : 0;
        if (p->fd >= 0 && events != 0) {
            fds[n].fd = p->fd;
            fds[n].events = events;
            fds[n].revents = 0;
            slots[n++] = slot;
        }
    }
    return n;
}

static void dispatch(link_t *l, int slot, int revents)
{
    plug *p = &l->plug[slot];

    if (p->dialing) {
        dialed(l, p);
        return;
    }
    if ((revents & POLLOUT) != 0) {
        transmit(l, slot);
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        receive(l, slot);
    }
}

static int timeout_of(link_t *links)
{
    const uint64_t at = now().ms;
    uint64_t first = UINT64_MAX;
    int i;

    for (i = 0; i < LINKS; i++) {
        const uint64_t t = links[i].over ? UINT64_MAX
                                         : eice_conn_deadline(links[i].conn);

        first = t < first ? t : first;
    }
    if (first <= at) {
        return 0;
    }
    return first - at > 60000 ? 60000 : (int)(first - at);
}

static void run(link_t *links)
{
    struct pollfd fds[LINKS * EICE_CONN_SLOTS];
    int slots[LINKS * EICE_CONN_SLOTS];
    size_t count[LINKS];
    size_t n;
    size_t k;
    int i;

    for (;;) {
        n = 0;
        for (i = 0; i < LINKS; i++) {
            count[i] = 0;
            if (!links[i].over) {
                advance(&links[i]);
                count[i] = collect(&links[i], fds + n, slots + n);
                n += count[i];
            }
        }
        if (links[0].over && links[1].over) {
            return;
        }
        if (poll(fds, (nfds_t)n, timeout_of(links)) <= 0) {
            continue;
        }
        n = 0;
        for (i = 0; i < LINKS; i++) {
            for (k = 0; k < count[i]; k++, n++) {
                if (fds[n].revents != 0) {
                    dispatch(&links[i], slots[n], fds[n].revents);
                }
            }
        }
    }
}

static bool begin(link_t *l, const char *target, const char *command)
{
    eice_conn_opts o = {0};
    eice_error e = {0};
    const char *at = strchr(target, '@');
    int i;

    memset(l, 0, sizeof *l);
    l->target = at == NULL ? target : at + 1;
    snprintf(l->user, sizeof l->user, "%.*s",
             at == NULL ? 0 : (int)(at - target), target);
    l->command = command;
    l->channel = -1;
    l->status = -1;
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        l->plug[i].fd = -1;
    }
    o.goal = EICE_GOAL_SSH;
    o.target = l->target;
    o.user = at == NULL ? NULL : l->user;
    l->conn = eice_conn_new(&o, now(), &e);
    if (l->conn == NULL) {
        fprintf(stderr, "%s: %s\n", target, e.text);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static link_t links[LINKS];
    int failed = 0;
    int i;

    if (argc != 2 + LINKS) {
        fputs("usage: 04_event_loop COMMAND TARGET TARGET\n", stderr);
        return 2;
    }
    for (i = 0; i < LINKS; i++) {
        if (!begin(&links[i], argv[2 + i], argv[1])) {
            return 1;
        }
    }
    run(links);
    for (i = 0; i < LINKS; i++) {
        const eice_error *e = eice_conn_error(links[i].conn);

        if (e->code != EICE_OK) {
            fprintf(stderr, "%s: %s\n", links[i].target, e->text);
        } else {
            printf("%s: exit status %d\n", links[i].target, links[i].status);
        }
        failed |= e->code != EICE_OK || links[i].status != 0;
        eice_conn_free(links[i].conn);
    }
    return failed;
}
