/* A driver of eice_conn for its tests: real sockets to the simulator, needs
 * answered as late and as badly as wanted, time that can be moved, a heap
 * that counts and fails, and a look at the machine after every step.
 * Include after eice.h and test.h. */
#ifndef EICE_CONN_WORLD_H
#define EICE_CONN_WORLD_H

#include "heap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WORLD_NEEDS 64
#define WORLD_SECONDS 20      /* of real time: longer is a hang */
#define WORLD_TURNS 400000ul  /* more is a spin */
#define WORLD_ECHO 9000u      /* bytes through a tunnel, and back */

/* ---- the world --------------------------------------------------------- */

typedef enum answers {
    ANSWERS_NOW,
    ANSWERS_LATE,    /* in order, one at a time, when nothing else goes on */
    ANSWERS_REVERSE, /* the same, the last first */
    ANSWERS_RANDOM
} answers;

typedef enum stop_how { STOP_CANCEL, STOP_CLOSE, STOP_FREE } stop_how;

/* A need of this kind that is answered wrongly, or never. */
typedef struct spoil {
    eice_need_kind kind;
    const char *name; /* part of need.name; or NULL */
    unsigned skip;    /* so many of them are answered well */
    bool never;
    bool absent;
    eice_err code;
} spoil;

typedef struct world {
    eice_conn *c;
    eice_conn_opts o;
    const char *rule;       /* of o.connect_to */
    eice_error error;       /* of the connection, kept after it is freed */
    eice_call calls[2];     /* of EICE_GOAL_CALLS */
    heap heap;
    eice_alloc alloc;
    int fd[EICE_CONN_SLOTS];
    bool connecting[EICE_CONN_SLOTS];
    uint32_t dial[EICE_CONN_SLOTS];

    answers order;
    eice_need held[WORLD_NEEDS];
    size_t held_count;
    spoil spoil;
    eice_addresses addresses; /* of every name; none: 127.0.0.1 */
    unsigned dials;
    char known[4096];         /* known_hosts; "": there is none */
    bool stored;

    size_t read_max;          /* bytes at a time; 0: all */
    size_t write_max;
    uint64_t random;          /* 0: everything in order */

    bool warp;                /* waiting moves the clock */
    uint64_t skew_ms;
    time_t began;
    unsigned long turns;
    unsigned long events;
    unsigned long stop_at;    /* after this event ... */
    stop_how how;             /* ... this is done */
    bool stopped;
    char wrong[200];          /* the first thing that must not be */

    int channel;
    bool sent_all;
    size_t echo;              /* bytes through a tunnel, and back */
    size_t sent;
    size_t received;
    char output[64];
    int status;
    bool was_open;
    unsigned later;           /* times the signer says "later" */
    bool promised;            /* it just said so */
    unsigned signs;
    bool sign_fails;
    uint8_t key_seed[32];
    uint8_t key_public[32];
    char key_line[128];
} world;

static void world_wrong(world *w, const char *format, ...)
{
    va_list args;

    if (w->wrong[0] == 0) {
        va_start(args, format);
        vsnprintf(w->wrong, sizeof w->wrong, format, args);
        va_end(args);
    }
}

static uint32_t world_random(world *w, uint32_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

static eice_now world_now(const world *w)
{
    eice_now now = eice_posix_now();

    now.ms += w->skew_ms;
    return now;
}

static const char *env_text(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? text : "";
}

/* Signs with the test's key, after some "later". */
static ptrdiff_t world_sign(void *user, eice_str algorithm, eice_str data,
                            uint8_t *sig, size_t cap)
{
    world *w = (world *)user;

    w->signs++;
    if (w->sign_fails || cap < 64 || !eice_str_is(algorithm, "ssh-ed25519")) {
        return -1;
    }
    w->promised = w->later > 0;
    if (w->promised) {
        w->later--;
        return 0;
    }
    eice_ed25519_sign(sig, w->key_seed, w->key_public, data.ptr, data.len);
    return 64;
}

static void world_key(world *w)
{
    uint8_t blob[EICE_ED25519_BLOB];
    eice_buf b;
    size_t i;

    for (i = 0; i < sizeof w->key_seed; i++) {
        w->key_seed[i] = (uint8_t)i;
    }
    eice_ed25519_public(w->key_public, w->key_seed);
    eice_key_blob(blob, w->key_public);
    eice_buf_init(&b, w->key_line, sizeof w->key_line);
    eice_key_line(&b, blob, sizeof blob, eice_str_c(""));
    (void)eice_buf_c(&b);
}

/* A world that has not begun: change what is wanted, then world_start. */
static void world_init(world *w, eice_goal goal)
{
    const char *blank;
    size_t i;

    memset(w, 0, sizeof *w);
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        w->fd[i] = -1;
    }
    w->rule = env_text("EICE_CONNECT_TO");
    blank = strrchr(w->rule, ' '); /* the last rule is the one for all hosts */
    w->rule = blank != NULL ? blank + 1 : w->rule;
    world_key(w);
    w->channel = -1;
    w->echo = WORLD_ECHO;
    w->alloc.resize = heap_resize;
    w->alloc.user = &w->heap;
    w->o.alloc = &w->alloc;
    w->o.goal = goal;
    w->o.target = goal == EICE_GOAL_TUNNEL ? "echo-box" : "web-1";
    w->o.connect_to = &w->rule;
    w->o.connect_to_count = 1;
    if (goal == EICE_GOAL_PUSH || goal == EICE_GOAL_SSH) {
        w->o.public_key = eice_str_c(w->key_line);
        w->o.sign = world_sign;
        w->o.sign_user = w;
    }
}

/* ---- events ------------------------------------------------------------ */

static void world_close_sockets(world *w)
{
    size_t i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        if (w->fd[i] >= 0) {
            close(w->fd[i]);
        }
        w->fd[i] = -1;
    }
}

/* Cancelled means over: at once, everywhere. */
static void world_check_over(world *w)
{
    eice_need need;
    int i;

    if ((eice_conn_state(w->c) & EICE_DONE) == 0) {
        world_wrong(w, "not done after cancel at event %lu", w->events);
    }
    if (eice_conn_need(w->c, &need)
        || eice_conn_deadline(w->c) != UINT64_MAX) {
        world_wrong(w, "a need or a deadline after the end");
    }
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        const unsigned flags = eice_conn_slot(w->c, i);

        if (w->fd[i] >= 0 && flags != EICE_DONE) {
            world_wrong(w, "slot %d is %u after the end", i, flags);
        }
        if (flags == EICE_DONE) {
            eice_conn_slot_closed(w->c, i);
        }
        if (eice_conn_slot(w->c, i) != 0) {
            world_wrong(w, "slot %d in use after the end", i);
        }
    }
    world_close_sockets(w);
}

static void world_free(world *w)
{
    if (w->c != NULL) {
        w->error = *eice_conn_error(w->c);
        eice_conn_free(w->c);
        w->c = NULL;
    }
    world_close_sockets(w);
    if (w->heap.live != 0) {
        world_wrong(w, "%lu blocks (%zu bytes) left after %lu calls",
                    w->heap.live, w->heap.bytes, w->heap.calls);
    }
}

static void world_stop(world *w)
{
    const bool done = (eice_conn_state(w->c) & EICE_DONE) != 0;

    w->stopped = true;
    if (w->how == STOP_CANCEL) {
        eice_conn_cancel(w->c);
        eice_conn_cancel(w->c);
        if (!done && eice_conn_error(w->c)->code != EICE_E_CANCELLED) {
            world_wrong(w, "cancel at event %lu: %s", w->events,
                        eice_err_name(eice_conn_error(w->c)->code));
        }
        world_check_over(w);
        eice_conn_step(w->c, world_now(w));
        eice_conn_close(w->c);
        world_check_over(w);
    }
    if (w->how != STOP_CLOSE) {
        world_free(w);
    }
}

/* After every call into the machine; true: nothing more may be done. */
static bool world_event(world *w)
{
    w->events++;
    if (w->events == w->stop_at && !w->stopped) {
        world_stop(w);
    }
    return w->c == NULL;
}

/* ---- needs ------------------------------------------------------------- */

static void world_addresses(const world *w, eice_addresses *out)
{
    memset(out, 0, sizeof *out);
    if (w->addresses.count > 0) {
        *out = w->addresses;
        return;
    }
    out->count = 1;
    (void)eice_ip_parse(eice_str_c("127.0.0.1"), &out->ip[0]);
}

static bool world_dial_done(world *w, int slot, int number)
{
    eice_answer a;

    memset(&a, 0, sizeof a);
    a.sys_errno = number;
    a.code = number == 0               ? EICE_OK
             : number == ECONNREFUSED ? EICE_E_CONNECT_REFUSED
                                       : EICE_E_CONNECT_FAILED;
    if (number != 0 && w->fd[slot] >= 0) {
        close(w->fd[slot]);
        w->fd[slot] = -1;
    }
    w->connecting[slot] = false;
    eice_conn_answer(w->c, w->dial[slot], &a);
    return world_event(w);
}

static void world_dial(world *w, const eice_need *need)
{
    struct sockaddr_in to;
    const int on = 1;
    const int slot = need->slot;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    /* or small records wait for an ACK, 40 ms each time */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (w->fd[slot] >= 0) {
        world_wrong(w, "slot %d dialled while it is open", slot);
        close(w->fd[slot]);
    }
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(need->port);
    memcpy(&to.sin_addr, need->ip.bytes, 4);
    w->dials++;
    w->fd[slot] = fd;
    w->dial[slot] = need->id;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        (void)world_dial_done(w, slot, 0);
    } else if (errno == EINPROGRESS) {
        w->connecting[slot] = true;
    } else {
        (void)world_dial_done(w, slot, errno);
    }
}

static eice_blob world_file(const world *w, eice_str name, eice_answer *a)
{
    eice_blob text;
    char path[512];

    memset(&text, 0, sizeof text);
    eice_copy_text(path, sizeof path, name);
    if (strstr(path, "known_hosts") != NULL) {
        a->absent = w->known[0] == 0;
        a->data = eice_str_c(w->known);
    } else if (path[0] == '~') {
        a->absent = true;
    } else {
        a->code = eice_posix_read_file(path, 1u << 22, &text, &a->absent,
                                       NULL);
        a->data = eice_str_make(text.ptr, text.len);
    }
    return text;
}

static void world_store(world *w, const eice_need *need)
{
    const size_t at = strlen(w->known);

    w->stored = true;
    snprintf(w->known + at, sizeof w->known - at, "%.*s\n",
             (int)need->text.len, need->text.ptr);
}

static bool world_spoils(world *w, const eice_need *need)
{
    char name[300];

    if (w->spoil.kind != need->kind) {
        return false;
    }
    eice_copy_text(name, sizeof name, need->name);
    if (w->spoil.name != NULL && strstr(name, w->spoil.name) == NULL) {
        return false;
    }
    if (w->spoil.skip > 0) {
        w->spoil.skip--;
        return false;
    }
    return true;
}

/* Answers one need; true: the world ended with that. */
static bool world_answer(world *w, const eice_need *need)
{
    uint8_t seed[64];
    eice_addresses found;
    eice_blob text;
    eice_answer a;
    char name[64];

    memset(&a, 0, sizeof a);
    memset(&text, 0, sizeof text);
    if (world_spoils(w, need)) {
        a.code = w->spoil.code;
        a.absent = w->spoil.absent;
    } else if (need->kind == EICE_NEED_DIAL) {
        world_dial(w, need);
        return w->c == NULL;
    } else if (need->kind == EICE_NEED_ENV) {
        eice_copy_text(name, sizeof name, need->name);
        a.absent = strncmp(name, "AWS_", 4) != 0 || getenv(name) == NULL;
        a.data = eice_str_c(getenv(name));
    } else if (need->kind == EICE_NEED_FILE) {
        text = world_file(w, need->name, &a);
    } else if (need->kind == EICE_NEED_RANDOM) {
        (void)eice_posix_random(seed, sizeof seed);
        a.data = eice_str_make(seed, sizeof seed);
    } else if (need->kind == EICE_NEED_RESOLVE) {
        world_addresses(w, &found);
        a.addresses = &found;
    } else if (need->kind == EICE_NEED_STORE) {
        world_store(w, need);
    }
    eice_conn_answer(w->c, need->id, &a);
    eice_blob_free(&text);
    return world_event(w);
}

/* Takes what is asked; answers it now, or keeps it. */
static bool world_ask(world *w, bool *busy)
{
    eice_need need;

    while (eice_conn_need(w->c, &need)) {
        const spoil kept = w->spoil;

        if (need.kind == EICE_NEED_ENV && need.name.len == 0) {
            world_wrong(w, "a variable without a name");
        }
        if (w->spoil.never && world_spoils(w, &need)) {
            continue;
        }
        w->spoil.skip = kept.skip;
        if (w->order != ANSWERS_NOW && w->held_count < WORLD_NEEDS) {
            w->held[w->held_count++] = need;
            continue;
        }
        *busy = true;
        if (world_answer(w, &need)) {
            return true;
        }
    }
    return false;
}

static bool world_answer_held(world *w)
{
    eice_need need;
    size_t i = 0;

    if (w->held_count == 0) {
        return false;
    }
    if (w->order == ANSWERS_REVERSE) {
        i = w->held_count - 1;
    } else if (w->order == ANSWERS_RANDOM) {
        i = world_random(w, (uint32_t)w->held_count);
    }
    need = w->held[i];
    w->held_count--;
    memmove(&w->held[i], &w->held[i + 1],
            (w->held_count - i) * sizeof w->held[0]);
    (void)world_answer(w, &need);
    return true;
}

/* ---- bytes ------------------------------------------------------------- */

static size_t world_limit(world *w, size_t n, size_t max)
{
    if (max > 0 && n > max) {
        n = max;
    }
    return w->random != 0 && n > 1 ? 1 + world_random(w, (uint32_t)n) : n;
}

static bool world_read(world *w, int slot, bool *busy)
{
    uint8_t *to;
    size_t room = eice_conn_net_in(w->c, slot, &to);
    ssize_t n;

    if (room == 0) {
        return false;
    }
    room = world_limit(w, room, w->read_max);
    n = recv(w->fd[slot], to, room, 0);
    if (n > 0) {
        eice_conn_net_in_ack(w->c, slot, (size_t)n);
    } else if (n == 0) {
        eice_conn_net_eof(w->c, slot, EICE_OK, 0);
    } else if (errno != EAGAIN) {
        eice_conn_net_eof(w->c, slot, EICE_E_NET_RESET, errno);
    } else {
        return false;
    }
    *busy = true;
    return world_event(w);
}

static bool world_write(world *w, int slot, bool *busy)
{
    const uint8_t *from;
    size_t len = eice_conn_net_out(w->c, slot, &from);
    ssize_t n;

    if (len == 0) {
        return false;
    }
    len = world_limit(w, len, w->write_max);
    n = send(w->fd[slot], from, len, MSG_NOSIGNAL);
    if (n > 0) {
        eice_conn_net_out_ack(w->c, slot, (size_t)n);
    } else if (errno != EAGAIN) {
        eice_conn_net_eof(w->c, slot, EICE_E_NET_RESET, errno);
    } else {
        return false;
    }
    *busy = true;
    return world_event(w);
}

static bool world_connected(world *w, int slot, bool *busy)
{
    struct pollfd p;
    int number = 0;
    socklen_t len = sizeof number;

    p.fd = w->fd[slot];
    p.events = POLLOUT;
    if (poll(&p, 1, 0) <= 0) {
        return false;
    }
    (void)getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &number, &len);
    *busy = true;
    return world_dial_done(w, slot, number);
}

static bool world_slot(world *w, int slot, bool *busy)
{
    const unsigned flags = eice_conn_slot(w->c, slot);

    if (flags == EICE_DONE) {
        if (w->fd[slot] >= 0) {
            close(w->fd[slot]);
        }
        w->fd[slot] = -1;
        w->connecting[slot] = false;
        eice_conn_slot_closed(w->c, slot);
        *busy = true;
        return world_event(w);
    }
    if (w->fd[slot] < 0) {
        return false;
    }
    if (w->connecting[slot]) {
        return world_connected(w, slot, busy);
    }
    if ((flags & EICE_WANT_WRITE) != 0 && world_write(w, slot, busy)) {
        return true;
    }
    return (flags & EICE_WANT_READ) != 0 && world_read(w, slot, busy);
}

/* ---- what is done with the connection ---------------------------------- */

#define WORLD_COMMAND "echo hello; exit 42"

static uint8_t world_byte(size_t i)
{
    return (uint8_t)(i * 131 + i / 509);
}

static bool world_use_ssh(world *w)
{
    eice_ssh *s = eice_conn_ssh(w->c);
    eice_channel_opts o;
    unsigned state;
    size_t n;

    if (w->channel < 0) {
        memset(&o, 0, sizeof o);
        o.kind = EICE_CHANNEL_EXEC;
        o.command = eice_str_c(WORLD_COMMAND);
        w->channel = eice_channel_open(s, &o);
        if (w->channel < 0) {
            eice_conn_close(w->c); /* no memory: the caller gives up */
        }
        return true;
    }
    state = eice_channel_state(s, w->channel);
    n = eice_channel_read(s, w->channel, 0, w->output + w->received,
                          sizeof w->output - 1 - w->received);
    w->received += n;
    if ((state & EICE_CHAN_CLOSED) != 0 && n == 0) {
        w->status = eice_channel_exit(s, w->channel)->status;
        eice_conn_close(w->c);
        return true;
    }
    if ((state & EICE_CHAN_FAILED) != 0) {
        eice_conn_close(w->c);
        return true;
    }
    return n > 0;
}

static bool world_use_tunnel(world *w)
{
    const uint8_t *from;
    uint8_t *to;
    size_t room = eice_conn_app_in(w->c, &to);
    size_t n;
    size_t i;

    room = room < w->echo - w->sent ? room : w->echo - w->sent;
    for (i = 0; i < room; i++) {
        to[i] = world_byte(w->sent + i);
    }
    eice_conn_app_in_ack(w->c, room);
    w->sent += room;
    n = eice_conn_app_out(w->c, &from);
    for (i = 0; i < n; i++) {
        if (from[i] != world_byte(w->received + i)) {
            world_wrong(w, "byte %zu of the echo differs", w->received + i);
        }
    }
    eice_conn_app_out_ack(w->c, n);
    w->received += n;
    if (w->received >= w->echo) {
        w->status = 42;
        eice_conn_close(w->c);
    }
    return room > 0 || n > 0;
}

/* When all calls are done nothing else is to be done. */
static bool world_use_calls(world *w)
{
    if (!w->calls[0].done || !w->calls[1].done) {
        return false;
    }
    w->status = 42;
    eice_conn_close(w->c);
    return true;
}

static bool world_use(world *w, bool *busy)
{
    const unsigned state = eice_conn_state(w->c);
    bool used = false;

    w->was_open = w->was_open || (state & EICE_OPEN) != 0;
    if ((state & EICE_DONE) != 0 || w->sent_all
        || ((state & EICE_OPEN) == 0 && w->o.goal != EICE_GOAL_CALLS)) {
        return false;
    }
    if (w->o.goal == EICE_GOAL_SSH) {
        used = world_use_ssh(w);
    } else if (w->o.goal == EICE_GOAL_TUNNEL) {
        used = world_use_tunnel(w);
    } else if (w->o.goal == EICE_GOAL_CALLS) {
        used = world_use_calls(w);
    }
    w->sent_all = w->status == 42;
    if (!used) {
        return false;
    }
    *busy = true;
    return world_event(w);
}

/* ---- turns ------------------------------------------------------------- */

static bool world_pending(const world *w)
{
    size_t i;

    if (w->held_count > 0 || w->spoil.never) {
        return true;
    }
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        if (w->connecting[i]) {
            return true;
        }
    }
    return false;
}

/* What must hold after every step. */
static void world_check(world *w, eice_now now)
{
    bool wants = (eice_conn_state(w->c) & EICE_DONE) != 0;
    bool waits = false;
    unsigned tries;
    int i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        const unsigned flags = eice_conn_slot(w->c, i);

        wants = wants || flags != 0;
        waits = waits
                || (w->fd[i] >= 0 && flags != EICE_DONE
                    && eice_conn_state(w->c) == 0);
    }
    if (!wants && !world_pending(w)
        && eice_conn_deadline(w->c) == UINT64_MAX) {
        world_wrong(w, "nothing to wait for after event %lu", w->events);
    }
    if (waits && eice_conn_deadline(w->c) == UINT64_MAX) {
        world_wrong(w, "waits for the network without a deadline (event %lu)",
                    w->events);
    }
    for (tries = 0; eice_conn_deadline(w->c) <= now.ms; tries++) {
        if (tries == 8) {
            world_wrong(w, "the deadline stays in the past (event %lu)",
                        w->events);
            return;
        }
        eice_conn_step(w->c, now);
    }
}

/* Waits as a driver would: for bytes or for the deadline. */
static void world_wait(world *w)
{
    struct pollfd fds[EICE_CONN_SLOTS];
    const eice_now now = world_now(w);
    const uint64_t deadline = eice_conn_deadline(w->c);
    int ms = 5000;
    nfds_t n = 0;
    int i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        const unsigned flags = eice_conn_slot(w->c, i);

        if (w->fd[i] >= 0 && (flags != 0 || w->connecting[i])) {
            fds[n].fd = w->fd[i];
            fds[n].events =
                (short)((w->connecting[i] || (flags & EICE_WANT_WRITE) != 0
                             ? POLLOUT
                             : 0)
                        | ((flags & EICE_WANT_READ) != 0 ? POLLIN : 0));
            n++;
        }
    }
    if (deadline != UINT64_MAX) {
        ms = deadline <= now.ms          ? 0
             : deadline - now.ms > 5000u ? 5000
                                         : (int)(deadline - now.ms) + 1;
    }
    if (w->warp) {
        ms = ms < 60 ? ms : 60;
    }
    if (w->promised) {
        ms = 5; /* the signature is ready soon */
    }
    if (poll(fds, n, ms) == 0 && w->warp && deadline != UINT64_MAX
        && deadline > now.ms) {
        w->skew_ms += deadline - now.ms;
    }
}

/* One turn of the loop; true: the world has ended. */
static bool world_turn(world *w)
{
    bool busy = false;
    const int first = w->random != 0
                          ? (int)world_random(w, EICE_CONN_SLOTS)
                          : 0;
    int i;

    if (w->random == 0 || world_random(w, 4) != 0) {
        const eice_now now = world_now(w);

        eice_conn_step(w->c, now);
        if (world_event(w) || world_ask(w, &busy)) {
            return true;
        }
        if (!busy && eice_conn_deadline(w->c) > now.ms) {
            world_check(w, now);
        }
    } else {
        busy = true; /* a step is due before anything is waited for */
    }
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        if (world_slot(w, (first + i) % EICE_CONN_SLOTS, &busy)) {
            return true;
        }
    }
    if (world_use(w, &busy)) {
        return true;
    }
    if (w->random != 0 && world_random(w, 3) == 0) {
        busy = world_answer_held(w) || busy;
    }
    if (w->c != NULL && !busy && !world_answer_held(w)
        && (eice_conn_state(w->c) & EICE_DONE) == 0) {
        world_wait(w);
    }
    return w->c == NULL;
}

static bool world_start(world *w)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    w->began = time(NULL);
    w->c = eice_conn_new(&w->o, world_now(w), &e);
    if (w->c == NULL) {
        w->error = e;
    } else if (w->o.goal == EICE_GOAL_CALLS) {
        w->calls[0].op = EICE_OP_DESCRIBE_VPCS;
        w->calls[1].op = EICE_OP_DESCRIBE_SUBNETS;
        (void)eice_conn_call(w->c, &w->calls[0]);
        (void)eice_conn_call(w->c, &w->calls[1]);
    }
    return w->c != NULL;
}

/* Is this how a call may have ended, when memory or time were short? */
static void world_check_calls(world *w)
{
    size_t i;

    for (i = 0; i < 2 && w->o.goal == EICE_GOAL_CALLS; i++) {
        const eice_call *k = &w->calls[i];

        if (!k->done
            || (k->error.code != EICE_OK && k->error.code != EICE_E_MEMORY
                && k->error.code != EICE_E_CANCELLED
                && k->error.code != w->error.code)) {
            world_wrong(w, "call %d ends with %s", (int)i,
                        k->done ? eice_err_name(k->error.code) : "nothing");
        }
    }
}

/* Runs until one of the flags is there, or the end. */
static void world_until(world *w, unsigned flags)
{
    while (w->c != NULL && (eice_conn_state(w->c) & (flags | EICE_DONE)) == 0
           && !(w->stopped && w->how == STOP_CLOSE)) {
        if (world_turn(w)) {
            return;
        }
        if (++w->turns > WORLD_TURNS
            || time(NULL) - w->began > WORLD_SECONDS) {
            world_wrong(w, "no end in sight after event %lu, turn %lu",
                        w->events, w->turns);
            world_free(w);
            return;
        }
    }
}

/* After eice_conn_close at some point: DONE within a second. */
static void world_close_check(world *w)
{
    const uint64_t limit = world_now(w).ms + 1100;

    eice_conn_close(w->c);
    w->sent_all = true; /* nothing is done with it any more */
    while (w->c != NULL && (eice_conn_state(w->c) & EICE_DONE) == 0) {
        (void)world_turn(w);
        if (world_now(w).ms > limit) {
            world_wrong(w, "not done a second after close at event %lu",
                        w->stop_at);
            break;
        }
    }
}

/* The whole life of a connection, with its end. */
static void world_run(world *w)
{
    if (!world_start(w)) {
        return;
    }
    world_until(w, 0);
    if (w->c != NULL && w->stopped && w->how == STOP_CLOSE) {
        world_close_check(w);
    }
    if (w->c != NULL && (eice_conn_state(w->c) & EICE_DONE) != 0) {
        w->was_open = w->was_open
                      || (eice_conn_state(w->c) & EICE_OPEN) != 0;
        world_check_over(w);
    }
    world_free(w);
    world_check_calls(w);
}

/* Did it do all it was for? */
static bool world_good(const world *w)
{
    if (w->wrong[0] != 0 || w->error.code != EICE_OK || !w->was_open) {
        return false;
    }
    if (w->o.goal == EICE_GOAL_SSH) {
        return w->status == 42 && strcmp(w->output, "hello\n") == 0;
    }
    if (w->o.goal == EICE_GOAL_CALLS) {
        return w->calls[0].items > 0 && w->calls[1].items > 0;
    }
    return w->o.goal != EICE_GOAL_TUNNEL || w->received == w->echo;
}

/* ---- the simulator ----------------------------------------------------- */

/* One control command, as JSON; false when it was refused. */
static inline bool sim_ctl(const char *json)
{
    struct sockaddr_un to;
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char answer[512];
    ssize_t n = -1;

    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    snprintf(to.sun_path, sizeof to.sun_path, "%s/ctl.sock",
             env_text("EICE_SIM_DIR"));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0
        && dprintf(fd, "%s\n", json) > 0) {
        n = read(fd, answer, sizeof answer - 1);
    }
    close(fd);
    answer[n > 0 ? n : 0] = 0;
    return strstr(answer, "\"ok\"") != NULL;
}

#endif
