/* Several channels on one SSH connection at a time; some are closed in the
 * middle of what they carry, and none of the others loses or gains a byte.
 *
 *     e2e_channels TARGET
 *
 * Settings come from the environment, EICE_CONNECT_TO (its last rule) among them.
 * Used by e2e.py.
 */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FDS 64
#define CHUNK 16384
#define LIMIT_MS 60000
#define STUCK_MS 300 /* without a byte accepted: the window is shut */

typedef enum job_kind {
    JOB_ECHO,  /* sends `amount` bytes, wants them back, then status 0 */
    JOB_UP,    /* closed when `amount` bytes were accepted */
    JOB_DOWN,  /* closed when `amount` bytes were read */
    JOB_STUCK, /* closed when the peer accepts no more */
    JOB_AGAIN  /* begun when the closed ones are gone; status 5 */
} job_kind;

typedef struct job {
    job_kind kind;
    const char *command;
    size_t amount;
    int channel;       /* -1: not open */
    size_t sent;
    size_t got;
    uint64_t moved_ms; /* last byte accepted */
    bool done;
} job;

static job jobs[] = {
    {JOB_ECHO, "cat", 3u << 20, -1, 0, 0, 0, false},
    {JOB_UP, "cat >/dev/null", 1u << 20, -1, 0, 0, 0, false},
    {JOB_STUCK, "sleep 60", 0, -1, 0, 0, 0, false},
    {JOB_ECHO, "cat", 2u << 20, -1, 0, 0, 0, false},
    {JOB_DOWN, "yes", 1u << 20, -1, 0, 0, 0, false},
    {JOB_ECHO, "sleep 1; cat", 4u << 20, -1, 0, 0, 0, false},
    {JOB_UP, "cat", 700001, -1, 0, 0, 0, false}, /* its echo is never read */
    {JOB_AGAIN, "echo again; exit 5", 6, -1, 0, 0, 0, false},
};

#define JOBS (sizeof jobs / sizeof jobs[0])

static eice_posix *executor;
static eice_conn *conn;
static eice_ssh *ssh;

static void die(const char *what, const job *j)
{
    const eice_error *e = conn != NULL ? eice_conn_error(conn) : NULL;

    printf("channel %d of %s: %s; %zu sent, %zu got; %s\n",
           j != NULL ? (int)(j - jobs) : -1, j != NULL ? j->command : "none",
           what, j != NULL ? j->sent : 0, j != NULL ? j->got : 0,
           e != NULL ? e->text : "");
    exit(1);
}

/* No two channels carry the same bytes. */
static uint8_t byte_at(const job *j, size_t at)
{
    return (uint8_t)(at * 31u + (at >> 8) * 7u + (at >> 16)
                     + (size_t)(j - jobs) * 17u);
}

static bool victim(const job *j)
{
    return j->kind == JOB_UP || j->kind == JOB_DOWN || j->kind == JOB_STUCK;
}

/* ---- moving bytes ------------------------------------------------------ */

static bool send_some(job *j)
{
    uint8_t data[CHUNK];
    const size_t left = j->kind == JOB_ECHO ? j->amount - j->sent
                                            : sizeof data;
    const size_t n = left < sizeof data ? left : sizeof data;
    size_t taken;
    size_t i;

    if (j->kind == JOB_DOWN || j->kind == JOB_AGAIN || n == 0) {
        return false;
    }
    for (i = 0; i < n; i++) {
        data[i] = byte_at(j, j->sent + i);
    }
    taken = eice_channel_write(ssh, j->channel, data, n);
    j->sent += taken;
    if (taken > 0) {
        j->moved_ms = eice_posix_now().ms;
    }
    if (j->kind == JOB_ECHO && j->sent == j->amount) {
        eice_channel_eof(ssh, j->channel);
    }
    return taken > 0;
}

static void verify(const job *j, const uint8_t *data, size_t n)
{
    size_t i;

    if (j->kind == JOB_ECHO && j->got + n > j->amount) {
        die("more came back than was sent", j);
    }
    for (i = 0; i < n; i++) {
        const size_t at = j->got + i;
        const uint8_t want
            = j->kind == JOB_ECHO   ? byte_at(j, at)
              : j->kind == JOB_DOWN ? (uint8_t)("y\n"[at % 2])
                                    : (uint8_t)("again\n"[at % 6]);

        if (data[i] != want) {
            die("wrong byte", j);
        }
    }
}

static bool receive_some(job *j)
{
    uint8_t data[CHUNK];
    size_t n;

    if (j->kind == JOB_UP || j->kind == JOB_STUCK) {
        return false;
    }
    n = eice_channel_read(ssh, j->channel, 0, data, sizeof data);
    verify(j, data, n);
    j->got += n;
    return n > 0;
}

/* ---- ends -------------------------------------------------------------- */

static bool ripe(const job *j)
{
    switch (j->kind) {
    case JOB_UP:
        return j->sent >= j->amount;
    case JOB_DOWN:
        return j->got >= j->amount;
    case JOB_STUCK:
        return j->sent > 0
               && eice_posix_now().ms > j->moved_ms + STUCK_MS;
    case JOB_ECHO:
    case JOB_AGAIN:
        break;
    }
    return false;
}

static void finish(job *j)
{
    const eice_exit *e = eice_channel_exit(ssh, j->channel);

    if (j->got != j->amount) {
        die("bytes are missing", j);
    }
    if (!e->has_status || e->status != (j->kind == JOB_AGAIN ? 5 : 0)) {
        die("wrong exit status", j);
    }
    eice_channel_close(ssh, j->channel);
    j->done = true;
}

static bool work(job *j)
{
    const unsigned state = eice_channel_state(ssh, j->channel);
    bool moved;

    if ((state & EICE_CHAN_FAILED) != 0) {
        die(eice_channel_error(ssh, j->channel)->text, j);
    }
    if ((state & EICE_CHAN_OPEN) == 0) {
        return false;
    }
    moved = send_some(j);
    moved = receive_some(j) || moved;
    if (ripe(j)) {
        eice_channel_close(ssh, j->channel);
        j->done = true;
        return true;
    }
    if ((state & EICE_CHAN_CLOSED) != 0 && (state & EICE_CHAN_EOF) != 0) {
        if (victim(j)) {
            die("ended by itself", j);
        }
        finish(j);
        return true;
    }
    return moved;
}

static void begin(job *j)
{
    eice_channel_opts o;

    memset(&o, 0, sizeof o);
    o.kind = EICE_CHANNEL_EXEC;
    o.command = eice_str_c(j->command);
    j->channel = eice_channel_open(ssh, &o);
    if (j->channel < 0) {
        die("cannot be opened", j);
    }
}

/* ---- the loop ---------------------------------------------------------- */

static void turn(bool busy)
{
    struct pollfd fds[FDS];
    size_t n = eice_posix_fds(executor, fds, FDS);
    int wait = eice_posix_timeout(executor);

    n = n < FDS ? n : FDS;
    if (wait < 0 || wait > 50) {
        wait = 50; /* JOB_STUCK watches the clock */
    }
    if (poll(fds, (nfds_t)n, busy ? 0 : wait) < 0) {
        n = 0;
    }
    eice_posix_process(executor, fds, n);
    if ((eice_conn_state(conn) & EICE_DONE) != 0) {
        die("the connection ended", NULL);
    }
}

static bool pass(size_t *victims, size_t *left)
{
    bool moved = false;
    size_t i;

    *victims = 0;
    *left = 0;
    for (i = 0; i < JOBS; i++) {
        job *j = &jobs[i];

        if (!j->done && j->channel >= 0) {
            moved = work(j) || moved;
        }
        *left += !j->done;
        *victims += !j->done && victim(j);
    }
    return moved;
}

static void run(void)
{
    const uint64_t end = eice_posix_now().ms + LIMIT_MS;
    size_t victims;
    size_t left;
    size_t i;

    for (i = 0; i < JOBS; i++) {
        if (jobs[i].kind != JOB_AGAIN) {
            begin(&jobs[i]);
        }
    }
    do {
        const bool busy = pass(&victims, &left);

        for (i = 0; victims == 0 && i < JOBS; i++) {
            if (jobs[i].kind == JOB_AGAIN && jobs[i].channel < 0) {
                begin(&jobs[i]);
            }
        }
        turn(busy);
        if (eice_posix_now().ms > end) {
            die("not done in time", NULL);
        }
    } while (left > 0);
}

/* Not compiled in, so asking for it must not pass unnoticed. */
static void refuse_getaddrinfo(void)
{
    eice_posix_opts o;
    eice_error e;

    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    o.getaddrinfo = true;
    if (eice_posix_new(&o, &e) != NULL || e.code != EICE_E_ARGUMENT) {
        die("getaddrinfo was not refused", NULL);
    }
}

int main(int argc, char **argv)
{
    const char *rule = getenv("EICE_CONNECT_TO");
    const char *blank = rule != NULL ? strrchr(rule, ' ') : NULL;
    eice_conn_opts o;
    eice_error e;

    rule = blank != NULL ? blank + 1 : rule;
    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    o.goal = EICE_GOAL_SSH;
    o.target = argc > 1 ? argv[1] : "";
    o.policy = EICE_POLICY_OFF;
    o.connect_to = &rule;
    o.connect_to_count = rule != NULL;
    refuse_getaddrinfo();
    executor = eice_posix_new(NULL, &e);
    conn = eice_conn_new(&o, eice_posix_now(), &e);
    if (executor == NULL || conn == NULL
        || eice_posix_add(executor, conn) != EICE_OK
        || eice_posix_wait(executor, conn) != EICE_OK) {
        printf("%s\n", e.text);
        die("no connection", NULL);
    }
    ssh = eice_conn_ssh(conn);
    run();
    eice_posix_remove(executor, conn);
    eice_conn_free(conn);
    eice_posix_free(executor);
    puts("all channels verified");
    return 0;
}
