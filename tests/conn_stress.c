/* The connect machine under stress, for conn.py: needs answered late, badly
 * or never, bytes one at a time, cancelled and starved of memory at every
 * point of a whole connection to the simulator.
 *
 *   conn_stress [WORD]
 *
 * EICE_SIM_DIR and the variables of `tools/sim env` say where the simulator
 * is; its sshd lets the key of world_key in. EICE_SEED seeds what is random.
 * EICE_STRIDE=N visits every Nth point only. */
#define EICE_IMPLEMENTATION
#define EICE_GETADDRINFO
#include "eice.h"
#include "test.h"

#include "conn_world.h"

#include <pthread.h>

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static const char *goal_name(eice_goal goal)
{
    static const char *const names[] = {"ssh", "tunnel", "push", "identity"};

    return names[goal];
}

static void check_good(int line, const world *w)
{
    if (!world_good(w)) {
        test_fail(__FILE__, line, "%s: %s; %s: %s", goal_name(w->o.goal),
                  w->wrong[0] != 0 ? w->wrong : "did not succeed",
                  eice_err_name(w->error.code), w->error.text);
    }
}

static void check_error(int line, const world *w, eice_err code,
                        eice_stage stage)
{
    if (w->wrong[0] != 0 || w->error.code != code
        || w->error.stage != stage) {
        test_fail(__FILE__, line, "%s at %s (%s), expected %s at %s%s%s",
                  eice_err_name(w->error.code),
                  eice_stage_name(w->error.stage), w->error.text,
                  eice_err_name(code), eice_stage_name(stage),
                  w->wrong[0] != 0 ? "; " : "", w->wrong);
    }
}

#define CHECK_GOOD(w) check_good(__LINE__, w)
#define CHECK_ERROR(w, code, stage) check_error(__LINE__, w, code, stage)

/* ---- options ----------------------------------------------------------- */

static void check_refused(const eice_conn_opts *o, eice_err code)
{
    eice_error e;
    eice_conn *c;

    memset(&e, 0, sizeof e);
    c = eice_conn_new(o, eice_posix_now(), &e);
    CHECK(c == NULL);
    CHECK_INT(e.code, code);
    CHECK(e.text[0] != 0);
    CHECK(eice_conn_new(o, eice_posix_now(), NULL) == NULL);
    eice_conn_free(c);
}

static void conn_options(void)
{
    static char key[4200];
    static world w;
    eice_conn *c;

    world_init(&w, EICE_GOAL_TUNNEL);
    w.o.target = NULL;
    check_refused(&w.o, EICE_E_ARGUMENT);
    w.o.target = "";
    check_refused(&w.o, EICE_E_ARGUMENT);
    w.o.target = "web-1";
    w.o.endpoint_dns = "eice.example";
    check_refused(&w.o, EICE_E_ARGUMENT);
    w.o.endpoint_dns = NULL;
    w.o.max_tunnel_duration_s = 3601;
    check_refused(&w.o, EICE_E_ARGUMENT);
    w.o.max_tunnel_duration_s = 0;
    memset(key, 'A', sizeof key);
    w.o.public_key = eice_str_make(key, 4097);
    check_refused(&w.o, EICE_E_ARGUMENT);
    world_init(&w, EICE_GOAL_SSH);
    w.o.sign = NULL;
    check_refused(&w.o, EICE_E_ARGUMENT);
    world_init(&w, EICE_GOAL_PUSH);
    w.o.public_key.len = 0;
    check_refused(&w.o, EICE_E_ARGUMENT);
    world_init(&w, EICE_GOAL_IDENTITY);
    w.o.target = NULL;
    w.o.region = "no region!";
    check_refused(&w.o, EICE_E_CONFIG);
    w.o.region = NULL;
    c = eice_conn_new(&w.o, eice_posix_now(), NULL);
    CHECK(c != NULL);
    eice_conn_free(c);
    eice_conn_free(NULL);
    CHECK_INT(w.heap.live, 0);
}

/* ---- all goes well ----------------------------------------------------- */

static const eice_goal goals[] = {EICE_GOAL_IDENTITY, EICE_GOAL_PUSH,
                                  EICE_GOAL_TUNNEL, EICE_GOAL_SSH};

static void conn_goals(void)
{
    static world w;
    size_t i;

    for (i = 0; i < EICEI_LEN(goals); i++) {
        world_init(&w, goals[i]);
        world_run(&w);
        CHECK_GOOD(&w);
        CHECK(w.turns < 400); /* more are a spin */
    }
}

static void run_in_order(answers order)
{
    static world w;
    size_t i;

    for (i = 0; i < EICEI_LEN(goals); i++) {
        world_init(&w, goals[i]);
        w.order = order;
        world_run(&w);
        CHECK_GOOD(&w);
    }
}

static void conn_needs_late(void)
{
    run_in_order(ANSWERS_LATE);
}

static void conn_needs_reverse(void)
{
    run_in_order(ANSWERS_REVERSE);
}

static void run_in_pieces(eice_goal goal, size_t read_max, size_t write_max)
{
    static world w;

    world_init(&w, goal);
    w.read_max = read_max;
    w.write_max = write_max;
    world_run(&w);
    CHECK_GOOD(&w);
}

static void conn_byte_by_byte(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(goals); i++) {
        run_in_pieces(goals[i], 1, 0);
        run_in_pieces(goals[i], 0, 1);
        run_in_pieces(goals[i], 1, 1);
    }
}

/* Sizes, turns and answers in any order: the result is the same. */
static void conn_interleaved(void)
{
    static world w;
    const unsigned long seed = number("EICE_SEED", 1);
    unsigned i;

    for (i = 0; i < 24; i++) {
        world_init(&w, goals[i % 4]);
        w.order = ANSWERS_RANDOM;
        w.random = seed * 1000 + i;
        w.read_max = i % 3 == 0 ? 64 : 0;
        w.write_max = i % 5 == 0 ? 64 : 0;
        world_run(&w);
        if (!world_good(&w)) {
            test_fail(__FILE__, __LINE__, "seed %lu, run %u: %s %s", seed, i,
                      w.wrong, w.error.text);
        }
    }
}

/* ---- needs ------------------------------------------------------------- */

/* Answers nobody waits for change nothing. */
static void conn_unknown_answers(void)
{
    static world w;
    const unsigned long ids[] = {0, 1, 2, 3, 77, 0x7fffffff, 0x80000000u,
                                 0x80000001u, 0x8000003fu, 0x80000040u,
                                 0xffffffffu};
    eice_answer bad;
    size_t i;

    memset(&bad, 0, sizeof bad);
    bad.code = EICE_E_LOCAL_IO;
    world_init(&w, EICE_GOAL_SSH);
    CHECK(world_start(&w));
    for (i = 0; i < EICEI_LEN(ids); i++) { /* nothing is asked yet */
        if (ids[i] == 0 || ids[i] > 70) {
            eice_conn_answer(w.c, (uint32_t)ids[i], &bad);
        }
    }
    world_until(&w, EICE_OPEN);
    CHECK(w.c != NULL && (eice_conn_state(w.c) & EICE_OPEN) != 0);
    for (i = 0; i < EICEI_LEN(ids) && w.c != NULL; i++) {
        eice_conn_answer(w.c, (uint32_t)ids[i], &bad);
        eice_conn_slot_closed(w.c, (int)(ids[i] % 100) + EICE_CONN_SLOTS);
        eice_conn_net_eof(w.c, EICE_CONN_SLOTS + (int)(ids[i] % 100),
                          EICE_E_NET_RESET, 0);
    }
    world_until(&w, 0);
    if (w.c != NULL) {
        eice_conn_answer(w.c, 1, &bad);
    }
    world_free(&w);
    CHECK_GOOD(&w);
}

typedef struct bad_need {
    eice_goal goal;
    spoil how;
    eice_policy policy;
    eice_err code;
    eice_stage stage;
} bad_need;

#define SPOIL(kind, name, skip, absent, code)                                 \
    {EICE_NEED_##kind, name, skip, false, absent, code}

static const bad_need bad_needs[] = {
    {EICE_GOAL_IDENTITY, SPOIL(RANDOM, NULL, 0, false, EICE_E_LOCAL_IO),
     EICE_POLICY_TOFU, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL},
    {EICE_GOAL_IDENTITY, SPOIL(RANDOM, NULL, 0, false, EICE_OK),
     EICE_POLICY_TOFU, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL},
    {EICE_GOAL_IDENTITY, SPOIL(FILE, "root.pem", 0, true, EICE_OK),
     EICE_POLICY_TOFU, EICE_E_CONFIG, EICE_STAGE_TLS},
    {EICE_GOAL_IDENTITY, SPOIL(FILE, "root.pem", 0, false, EICE_OK),
     EICE_POLICY_TOFU, EICE_E_CONFIG, EICE_STAGE_TLS},
    {EICE_GOAL_IDENTITY, SPOIL(FILE, "root.pem", 0, false, EICE_E_LOCAL_IO),
     EICE_POLICY_TOFU, EICE_E_CONFIG, EICE_STAGE_TLS},
    {EICE_GOAL_IDENTITY, SPOIL(FILE, "root.pem", 0, false, EICE_E_MEMORY),
     EICE_POLICY_TOFU, EICE_E_MEMORY, EICE_STAGE_TLS},
    {EICE_GOAL_IDENTITY, SPOIL(FILE, "credentials", 0, false,
                               EICE_E_LOCAL_IO),
     EICE_POLICY_TOFU, EICE_E_CONFIG, EICE_STAGE_CONFIG},
    {EICE_GOAL_IDENTITY, SPOIL(ENV, "AWS_REGION", 0, true, EICE_OK),
     EICE_POLICY_TOFU, EICE_E_NO_REGION, EICE_STAGE_CONFIG},
    {EICE_GOAL_IDENTITY, SPOIL(ENV, "AWS_ACCESS_KEY_ID", 0, true, EICE_OK),
     EICE_POLICY_TOFU, EICE_E_NO_CREDENTIALS, EICE_STAGE_CREDENTIALS},
    {EICE_GOAL_IDENTITY, SPOIL(RESOLVE, NULL, 0, false,
                               EICE_E_NAME_NOT_FOUND),
     EICE_POLICY_TOFU, EICE_E_NAME_NOT_FOUND, EICE_STAGE_RESOLVE},
    {EICE_GOAL_IDENTITY, SPOIL(RESOLVE, NULL, 0, false, EICE_OK),
     EICE_POLICY_TOFU, EICE_E_NAME_NOT_FOUND, EICE_STAGE_RESOLVE},
    {EICE_GOAL_TUNNEL, SPOIL(RESOLVE, NULL, 0, false, EICE_E_DNS_TIMEOUT),
     EICE_POLICY_TOFU, EICE_E_DNS_TIMEOUT, EICE_STAGE_RESOLVE},
    {EICE_GOAL_IDENTITY, SPOIL(DIAL, NULL, 0, false, EICE_E_CONNECT_REFUSED),
     EICE_POLICY_TOFU, EICE_E_CONNECT_REFUSED, EICE_STAGE_CONNECT},
    {EICE_GOAL_PUSH, SPOIL(DIAL, NULL, 1, false, EICE_E_CONNECT_FAILED),
     EICE_POLICY_TOFU, EICE_E_CONNECT_FAILED, EICE_STAGE_CONNECT},
    {EICE_GOAL_SSH, SPOIL(FILE, "known_hosts", 0, false, EICE_E_LOCAL_IO),
     EICE_POLICY_TOFU, EICE_E_LOCAL_IO, EICE_STAGE_HOSTKEY},
    {EICE_GOAL_SSH, SPOIL(FILE, "known_hosts", 0, false, EICE_E_MEMORY),
     EICE_POLICY_TOFU, EICE_E_MEMORY, EICE_STAGE_HOSTKEY},
    {EICE_GOAL_SSH, SPOIL(HOSTKEY, NULL, 0, false, EICE_E_HOST_KEY_UNKNOWN),
     EICE_POLICY_ASK, EICE_E_HOST_KEY_UNKNOWN, EICE_STAGE_HOSTKEY},
    {EICE_GOAL_SSH, SPOIL(STORE, NULL, 0, false, EICE_E_LOCAL_IO),
     EICE_POLICY_TOFU, EICE_OK, EICE_STAGE_NONE},
    {EICE_GOAL_SSH, SPOIL(NONE, NULL, 0, false, EICE_OK),
     EICE_POLICY_STRICT, EICE_E_HOST_KEY_UNKNOWN, EICE_STAGE_HOSTKEY},
    {EICE_GOAL_SSH, SPOIL(NONE, NULL, 0, false, EICE_OK),
     EICE_POLICY_OFF, EICE_OK, EICE_STAGE_NONE},
    {EICE_GOAL_SSH, SPOIL(NONE, NULL, 0, false, EICE_OK),
     EICE_POLICY_ASK, EICE_OK, EICE_STAGE_NONE},
};

static void conn_needs_fail(void)
{
    static world w;
    size_t i;
    unsigned order;

    for (i = 0; i < EICEI_LEN(bad_needs); i++) {
        const bad_need *b = &bad_needs[i];

        for (order = 0; order < 3; order++) {
            const int before = test_failed;

            world_init(&w, b->goal);
            w.spoil = b->how;
            w.o.policy = b->policy;
            w.order = (answers)order;
            world_run(&w);
            if (b->code == EICE_OK) {
                CHECK_GOOD(&w);
            } else {
                CHECK_ERROR(&w, b->code, b->stage);
                CHECK(w.error.text[0] != 0);
            }
            if (test_failed != before) {
                fprintf(stderr, "row %zu, order %u: %s at %s: %s\n", i, order,
                        eice_err_name(w.error.code),
                        eice_stage_name(w.error.stage), w.error.text);
            }
        }
    }
}

/* ---- deadlines --------------------------------------------------------- */

/* A port that takes connections and says nothing. */
static int silent_listener(unsigned *port)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 32) != 0
        || getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

/* Runs with the clock moved on whenever there is nothing to do; how long it
 * took by that clock, in ms. */
static uint64_t run_warped(world *w)
{
    const uint64_t began = world_now(w).ms;

    w->warp = true;
    world_run(w);
    return world_now(w).ms - began;
}

static void check_near(uint64_t ms, uint64_t want)
{
    if (ms < want || ms > want + 1500) {
        test_fail(__FILE__, __LINE__, "%llu ms, expected %llu",
                  (unsigned long long)ms, (unsigned long long)want);
    }
}

static void conn_deadline_resolve(void)
{
    static world w;

    world_init(&w, EICE_GOAL_IDENTITY);
    w.spoil.kind = EICE_NEED_RESOLVE;
    w.spoil.never = true;
    check_near(run_warped(&w), 15000);
    CHECK_ERROR(&w, EICE_E_DNS_TIMEOUT, EICE_STAGE_RESOLVE);
}

static void conn_deadline_dial(void)
{
    static world w;

    world_init(&w, EICE_GOAL_IDENTITY);
    w.spoil.kind = EICE_NEED_DIAL;
    w.spoil.never = true;
    w.o.connect_timeout_ms = 4000;
    check_near(run_warped(&w), 4000);
    CHECK_ERROR(&w, EICE_E_CONNECT_TIMEOUT, EICE_STAGE_CONNECT);
    /* the tunnel's dial, after the calls: tried again, then given up */
    world_init(&w, EICE_GOAL_TUNNEL);
    w.spoil.kind = EICE_NEED_DIAL;
    w.spoil.skip = 2;
    w.spoil.never = true;
    (void)run_warped(&w);
    CHECK_ERROR(&w, EICE_E_CONNECT_TIMEOUT, EICE_STAGE_CONNECT);
}

static void conn_deadline_silence(void)
{
    static world w;
    static char rule[64];
    static char proxy[64];
    static const char *rules[1];
    unsigned port = 0;
    const int fd = silent_listener(&port);

    rules[0] = rule;
    snprintf(rule, sizeof rule, "::127.0.0.1:%u", port);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", port);
    world_init(&w, EICE_GOAL_IDENTITY);
    w.o.connect_to = rules;
    w.o.connect_timeout_ms = 3000;
    check_near(run_warped(&w), 3000);
    CHECK_ERROR(&w, EICE_E_TLS_TIMEOUT, EICE_STAGE_TLS);
    world_init(&w, EICE_GOAL_IDENTITY);
    w.o.proxy = proxy;
    w.o.connect_timeout_ms = 3000;
    check_near(run_warped(&w), 3000);
    CHECK_ERROR(&w, EICE_E_PROXY, EICE_STAGE_PROXY);
    close(fd);
    world_init(&w, EICE_GOAL_IDENTITY); /* and now nobody listens */
    w.o.connect_to = rules;
    (void)run_warped(&w);
    CHECK_ERROR(&w, EICE_E_CONNECT_REFUSED, EICE_STAGE_CONNECT);
}

static void conn_deadline_answer(void)
{
    static world w;

    CHECK(sim_ctl("{\"command\": \"fault\", \"kind\": \"hang\"}"));
    world_init(&w, EICE_GOAL_IDENTITY);
    w.o.answer_timeout_ms = 5000;
    setenv("AWS_MAX_ATTEMPTS", "1", 1);
    check_near(run_warped(&w), 5000);
    unsetenv("AWS_MAX_ATTEMPTS");
    CHECK_ERROR(&w, EICE_E_HTTP_TIMEOUT, EICE_STAGE_API);
    CHECK(sim_ctl("{\"command\": \"clear\"}"));
    CHECK(sim_ctl("{\"command\": \"fault\", \"kind\": \"stall\"}"));
    world_init(&w, EICE_GOAL_SSH);
    (void)run_warped(&w);
    CHECK_ERROR(&w, EICE_E_TARGET_SILENT, EICE_STAGE_TUNNEL);
    CHECK(sim_ctl("{\"command\": \"clear\"}"));
}

/* ---- addresses --------------------------------------------------------- */

static void add_address(world *w, const char *text)
{
    CHECK(eice_ip_parse(eice_str_c(text),
                        &w->addresses.ip[w->addresses.count++]));
}

/* What the trail says of dials: "code code ...", in order. */
static void trail_dials(const eice_conn *c, eice_buf *out)
{
    const eice_attempt *a;
    size_t i;

    for (i = 0; (a = eice_conn_attempt(c, i)) != NULL; i++) {
        if (a->stage == EICE_STAGE_CONNECT) {
            eice_putf(out, "%s%s", out->len > 0 ? " " : "",
                      eice_err_name(a->code));
        }
    }
}

/* The dial to this address is held back for ever; the others are made. */
static bool dial_or_hold(world *w, const char *black)
{
    eice_need need;
    eice_ip ip;
    bool busy = false;

    (void)eice_ip_parse(eice_str_c(black), &ip);
    while (w->c != NULL && eice_conn_need(w->c, &need)) {
        if (need.kind == EICE_NEED_DIAL && eice_ip_eq(&need.ip, &ip)) {
            w->held_count = 0;
            continue;
        }
        busy = true;
        (void)world_answer(w, &need);
    }
    return busy;
}

static void conn_eyeballs(void)
{
    static world w;
    uint64_t began = 0;
    uint64_t second = 0;
    unsigned turns = 0;

    world_init(&w, EICE_GOAL_IDENTITY);
    add_address(&w, "2001:db8::1");
    add_address(&w, "127.0.0.1");
    CHECK(world_start(&w));
    while ((eice_conn_state(w.c) & EICE_DONE) == 0 && ++turns < 100000) {
        bool busy = false;
        int i;

        eice_conn_step(w.c, world_now(&w));
        busy = dial_or_hold(&w, "2001:db8::1");
        if (began == 0 && w.dials == 0 && !busy
            && eice_conn_deadline(w.c) <= world_now(&w).ms + 250) {
            began = world_now(&w).ms; /* the first dial is under way */
            CHECK_INT(eice_conn_slot(w.c, 0), 0);
        }
        if (second == 0 && w.dials == 1) {
            second = world_now(&w).ms;
        }
        for (i = 0; i < EICE_CONN_SLOTS; i++) {
            (void)world_slot(&w, i, &busy);
        }
        if (began != 0 && second == 0) {
            w.skew_ms++; /* a millisecond a turn */
        } else if (!busy) {
            world_wait(&w);
        }
    }
    CHECK(second - began >= 240 && second - began <= 262);
    CHECK_INT(eice_conn_error(w.c)->code, EICE_OK);
    CHECK((eice_conn_state(w.c) & EICE_OPEN) != 0);
    world_check_over(&w);
    world_free(&w);
    CHECK_TEXT(w.wrong, "");
}

/* All refused: the last is named, the trail has them in order. */
static void conn_all_refused(void)
{
    static world w;
    char text[200];
    eice_buf b;

    world_init(&w, EICE_GOAL_IDENTITY);
    add_address(&w, "127.0.0.2");
    add_address(&w, "127.0.0.3");
    add_address(&w, "127.0.0.4");
    add_address(&w, "127.0.0.5");
    add_address(&w, "127.0.0.6");
    add_address(&w, "127.0.0.7");
    w.spoil.kind = EICE_NEED_DIAL;
    w.spoil.code = EICE_E_CONNECT_REFUSED;
    CHECK(world_start(&w));
    world_until(&w, 0);
    eice_buf_init(&b, text, sizeof text);
    trail_dials(w.c, &b);
    CHECK_TEXT(eice_buf_c(&b),
               "CONNECT_REFUSED CONNECT_REFUSED CONNECT_REFUSED "
               "CONNECT_REFUSED CONNECT_REFUSED CONNECT_REFUSED");
    CHECK(strstr(eice_conn_error(w.c)->text, "127.0.0.7") != NULL);
    world_free(&w);
    CHECK_ERROR(&w, EICE_E_CONNECT_REFUSED, EICE_STAGE_CONNECT);
}

/* More black holes than may be dialled at a time, and than there are slots:
 * the deadline comes, nothing spins. */
static void conn_black_holes(void)
{
    static world w;
    size_t i;

    world_init(&w, EICE_GOAL_TUNNEL);
    for (i = 0; i < EICE_MAX_ADDRESSES; i++) {
        add_address(&w, "127.0.0.1");
    }
    w.spoil.kind = EICE_NEED_DIAL;
    w.spoil.never = true;
    check_near(run_warped(&w), 15000);
    CHECK_ERROR(&w, EICE_E_CONNECT_TIMEOUT, EICE_STAGE_CONNECT);
    CHECK(w.turns < 200);
}

/* ---- every point ------------------------------------------------------- */

static world stopped_world;

static unsigned long events_of(eice_goal goal)
{
    world *w = &stopped_world;

    world_init(w, goal);
    world_run(w);
    CHECK_GOOD(w);
    return w->events;
}

/* Stops a connection after its first event, its second, ... */
static void stop_everywhere(eice_goal goal, stop_how how)
{
    world *w = &stopped_world;
    const unsigned long all = events_of(goal);
    const unsigned long stride = number("EICE_STRIDE", 1);
    unsigned long at = 1 + number("EICE_SEED", 0) % stride;

    for (; at <= all && test_failed == 0; at += stride) {
        world_init(w, goal);
        w->stop_at = at;
        w->how = how;
        world_run(w);
        if (w->wrong[0] != 0) {
            test_fail(__FILE__, __LINE__, "at event %lu of %lu: %s", at, all,
                      w->wrong);
        }
    }
}

static void conn_cancel_identity(void)
{
    stop_everywhere(EICE_GOAL_IDENTITY, STOP_CANCEL);
}

static void conn_cancel_calls(void)
{
    stop_everywhere(EICE_GOAL_CALLS, STOP_CANCEL);
}

static void conn_free_calls(void)
{
    stop_everywhere(EICE_GOAL_CALLS, STOP_FREE);
}

static void conn_cancel_push(void)
{
    stop_everywhere(EICE_GOAL_PUSH, STOP_CANCEL);
}

static void conn_cancel_tunnel(void)
{
    stop_everywhere(EICE_GOAL_TUNNEL, STOP_CANCEL);
}

static void conn_cancel_ssh(void)
{
    stop_everywhere(EICE_GOAL_SSH, STOP_CANCEL);
}

static void conn_free_tunnel(void)
{
    stop_everywhere(EICE_GOAL_TUNNEL, STOP_FREE);
}

static void conn_free_ssh(void)
{
    stop_everywhere(EICE_GOAL_SSH, STOP_FREE);
}

static void conn_close_push(void)
{
    stop_everywhere(EICE_GOAL_PUSH, STOP_CLOSE);
}

static void conn_close_tunnel(void)
{
    stop_everywhere(EICE_GOAL_TUNNEL, STOP_CLOSE);
}

static void conn_close_ssh(void)
{
    stop_everywhere(EICE_GOAL_SSH, STOP_CLOSE);
}

/* ---- memory ------------------------------------------------------------ */

static bool memory_clean(const world *w)
{
    return w->wrong[0] == 0
           && (w->error.code == EICE_E_MEMORY || world_good(w)
               || (w->was_open && w->error.code == EICE_OK));
}

/* The nth allocation fails, for every n. */
static void starve(eice_goal goal, void (*run)(world *w))
{
    world *w = &stopped_world;
    const unsigned long stride = number("EICE_STRIDE", 1);
    unsigned long n = 1 + number("EICE_SEED", 0) % stride;

    do {
        world_init(w, goal);
        w->heap.fail_at = n;
        run(w);
        if (!memory_clean(w)) {
            test_fail(__FILE__, __LINE__, "allocation %lu: %s at %s, \"%s\" %s",
                      n, eice_err_name(w->error.code),
                      eice_stage_name(w->error.stage), w->error.text,
                      w->wrong);
            return;
        }
        n += stride;
    } while (w->heap.failed && n < 5000);
    CHECK(n < 5000);
    CHECK_GOOD(w);
}

static void conn_memory_identity(void)
{
    starve(EICE_GOAL_IDENTITY, world_run);
}

static void conn_memory_calls(void)
{
    starve(EICE_GOAL_CALLS, world_run);
}

static void conn_memory_push(void)
{
    starve(EICE_GOAL_PUSH, world_run);
}

static void conn_memory_tunnel(void)
{
    starve(EICE_GOAL_TUNNEL, world_run);
}

static void conn_memory_ssh(void)
{
    starve(EICE_GOAL_SSH, world_run);
}

/* ---- the executor ------------------------------------------------------ */

static bool always_trust(void *user, eice_str host, eice_str blob)
{
    (void)user;
    return host.len > 0 && blob.len > 0;
}

/* Nothing is read or kept of this machine's known hosts. */
static void posix_ask(world *w)
{
    w->o.policy = EICE_POLICY_ASK;
    w->o.known_hosts = "/nonexistent/known_hosts";
}

static void posix_options(world *w, eice_posix_opts *o)
{
    memset(o, 0, sizeof *o);
    o->alloc = &w->alloc;
    o->host_key = always_trust;
    posix_ask(w);
}

/* What world_use does, in the executor's loop. */
static void posix_use(world *w, eice_posix *x)
{
    unsigned long turns = 0;

    while ((eice_conn_state(w->c) & EICE_DONE) == 0 && ++turns < 10000) {
        struct pollfd fds[32];
        bool busy = false;
        size_t n;

        (void)world_use(w, &busy);
        eice_posix_process(x, NULL, 0);
        if (busy || (eice_conn_state(w->c) & EICE_DONE) != 0) {
            continue;
        }
        n = eice_posix_fds(x, fds, EICEI_LEN(fds));
        if (n == 0 && eice_posix_timeout(x) < 0) {
            world_wrong(w, "nothing to wait for");
            eice_conn_cancel(w->c);
        } else if (poll(fds, (nfds_t)n, eice_posix_timeout(x)) >= 0) {
            eice_posix_process(x, fds, n);
        }
    }
    if (turns >= 10000) {
        world_wrong(w, "spins");
    }
}

static void posix_run(world *w)
{
    eice_posix_opts o;
    eice_posix *x;
    eice_error e;

    memset(&e, 0, sizeof e);
    posix_options(w, &o);
    x = eice_posix_new(&o, &e);
    if (x != NULL && !world_start(w)) {
        e = w->error;
    }
    if (x != NULL && w->c != NULL) {
        CHECK_INT(eice_posix_add(x, w->c), EICE_OK);
        (void)eice_posix_wait(x, w->c);
        posix_use(w, x);
        w->was_open = w->was_open || (eice_conn_state(w->c) & EICE_OPEN) != 0;
        e = *eice_conn_error(w->c);
        eice_posix_remove(x, w->c);
        eice_conn_free(w->c);
    }
    w->c = NULL;
    eice_posix_free(x);
    world_free(w);
    w->error = e;
}

static void conn_posix_goals(void)
{
    static world w;
    size_t i;

    for (i = 0; i < EICEI_LEN(goals); i++) {
        world_init(&w, goals[i]);
        posix_run(&w);
        CHECK_GOOD(&w);
    }
}

static void conn_posix_memory(void)
{
    starve(EICE_GOAL_TUNNEL, posix_run);
}

/* Sixteen connections are one executor's; the seventeenth is refused. */
static void conn_posix_many(void)
{
    static world w[6];
    eice_posix_opts o;
    eice_posix *x;
    eice_conn *extra[EICEI_PEERS];
    size_t i;

    world_init(&w[0], EICE_GOAL_SSH);
    posix_options(&w[0], &o);
    o.alloc = NULL;
    o.getaddrinfo = true;
    x = eice_posix_new(&o, NULL);
    CHECK(x != NULL);
    for (i = 0; i < EICEI_LEN(w); i++) {
        world_init(&w[i], i % 3 == 2 ? EICE_GOAL_TUNNEL : EICE_GOAL_SSH);
        posix_ask(&w[i]);
        CHECK(world_start(&w[i]));
        CHECK_INT(eice_posix_add(x, w[i].c), EICE_OK);
    }
    for (i = 0; i < EICEI_LEN(w); i++) {
        CHECK_INT(eice_posix_wait(x, w[i].c), EICE_OK);
    }
    for (i = 0; i < EICEI_LEN(w); i++) {
        posix_use(&w[i], x);
        w[i].error = *eice_conn_error(w[i].c);
        CHECK_GOOD(&w[i]);
    }
    for (i = 0; i < EICEI_LEN(extra); i++) {
        extra[i] = eice_conn_new(&w[0].o, eice_posix_now(), NULL);
        CHECK_INT(eice_posix_add(x, extra[i]),
                  i + EICEI_LEN(w) < EICEI_PEERS ? EICE_OK : EICE_E_LIMIT);
    }
    for (i = 0; i < EICEI_LEN(extra); i++) {
        eice_posix_remove(x, extra[i]);
        eice_conn_free(extra[i]);
    }
    for (i = 0; i < EICEI_LEN(w); i++) {
        eice_posix_remove(x, w[i].c);
        world_free(&w[i]);
        CHECK_TEXT(w[i].wrong, "");
    }
    eice_posix_free(x);
}

/* ---- host keys and signatures ------------------------------------------ */

/* Makes others of all keys in lines of "host type key comment". */
static void other_keys(char *line)
{
    while (*line != 0) {
        line += strcspn(line, " ") + 1;
        line += strcspn(line, " ") + 1;
        line += strcspn(line, " \n") - 4;
        *line = *line == 'A' ? 'B' : 'A';
        line += strcspn(line, "\n");
        line += *line != 0;
    }
}

static void conn_hostkey_late(void)
{
    static world w;

    world_init(&w, EICE_GOAL_SSH);
    w.o.policy = EICE_POLICY_ASK;
    w.spoil.kind = EICE_NEED_HOSTKEY;
    w.order = ANSWERS_LATE;
    world_run(&w);
    CHECK_GOOD(&w);
    world_init(&w, EICE_GOAL_SSH); /* stored at first, known then */
    world_run(&w);
    CHECK_GOOD(&w);
    CHECK(w.stored && w.known[0] != 0);
    {
        char known[sizeof w.known];

        memcpy(known, w.known, sizeof known);
        world_init(&w, EICE_GOAL_SSH);
        memcpy(w.known, known, sizeof known);
        w.o.policy = EICE_POLICY_STRICT;
        world_run(&w);
        CHECK_GOOD(&w);
        CHECK(!w.stored);
        world_init(&w, EICE_GOAL_SSH); /* another key under this name */
        memcpy(w.known, known, sizeof known);
        other_keys(w.known);
        world_run(&w);
        CHECK_ERROR(&w, EICE_E_HOST_KEY_CHANGED, EICE_STAGE_HOSTKEY);
    }
}

static void conn_sign_later(void)
{
    static world w;

    world_init(&w, EICE_GOAL_SSH);
    w.later = 5;
    world_run(&w);
    CHECK_GOOD(&w);
    CHECK_INT(w.signs, 6);
    world_init(&w, EICE_GOAL_SSH);
    w.sign_fails = true;
    world_run(&w);
    CHECK_ERROR(&w, EICE_E_SSH, EICE_STAGE_AUTH);
}

/* ---- threads ----------------------------------------------------------- */

static void *thread_run(void *user)
{
    world_run((world *)user);
    return NULL;
}

static void conn_threads(void)
{
    static world w[2];
    pthread_t thread[2];
    unsigned round;
    size_t i;

    for (round = 0; round < 2; round++) {
        for (i = 0; i < 2; i++) {
            world_init(&w[i], EICE_GOAL_SSH);
            w[i].o.public_key.len = 0; /* keys of their own */
            CHECK_INT(pthread_create(&thread[i], NULL, thread_run, &w[i]), 0);
        }
        for (i = 0; i < 2; i++) {
            CHECK_INT(pthread_join(thread[i], NULL), 0);
            CHECK_GOOD(&w[i]);
        }
    }
}

/* ---- the tunnel allocates nothing -------------------------------------- */

static void conn_tunnel_heap(void)
{
    static world w;
    unsigned long before;

    world_init(&w, EICE_GOAL_TUNNEL);
    w.echo = 8u << 20;
    CHECK(world_start(&w));
    world_until(&w, EICE_OPEN);
    CHECK(w.c != NULL && (eice_conn_state(w.c) & EICE_OPEN) != 0);
    before = w.heap.calls;
    world_until(&w, 0);
    CHECK_INT(w.heap.calls - before, 0);
    world_free(&w);
    CHECK_GOOD(&w);
}

static const test_case tests[] = {
    {"conn_options", conn_options},
    {"conn_goals", conn_goals},
    {"conn_needs_late", conn_needs_late},
    {"conn_needs_reverse", conn_needs_reverse},
    {"conn_byte_by_byte", conn_byte_by_byte},
    {"conn_interleaved", conn_interleaved},
    {"conn_unknown_answers", conn_unknown_answers},
    {"conn_needs_fail", conn_needs_fail},
    {"conn_deadline_resolve", conn_deadline_resolve},
    {"conn_deadline_dial", conn_deadline_dial},
    {"conn_deadline_silence", conn_deadline_silence},
    {"conn_deadline_answer", conn_deadline_answer},
    {"conn_eyeballs", conn_eyeballs},
    {"conn_all_refused", conn_all_refused},
    {"conn_black_holes", conn_black_holes},
    {"conn_cancel_identity", conn_cancel_identity},
    {"conn_cancel_calls", conn_cancel_calls},
    {"conn_free_calls", conn_free_calls},
    {"conn_cancel_push", conn_cancel_push},
    {"conn_cancel_tunnel", conn_cancel_tunnel},
    {"conn_cancel_ssh", conn_cancel_ssh},
    {"conn_free_tunnel", conn_free_tunnel},
    {"conn_free_ssh", conn_free_ssh},
    {"conn_close_push", conn_close_push},
    {"conn_close_tunnel", conn_close_tunnel},
    {"conn_close_ssh", conn_close_ssh},
    {"conn_memory_identity", conn_memory_identity},
    {"conn_memory_calls", conn_memory_calls},
    {"conn_memory_push", conn_memory_push},
    {"conn_memory_tunnel", conn_memory_tunnel},
    {"conn_memory_ssh", conn_memory_ssh},
    {"conn_posix_goals", conn_posix_goals},
    {"conn_posix_memory", conn_posix_memory},
    {"conn_posix_many", conn_posix_many},
    {"conn_hostkey_late", conn_hostkey_late},
    {"conn_sign_later", conn_sign_later},
    {"conn_threads", conn_threads},
    {"conn_tunnel_heap", conn_tunnel_heap},
};

TEST_MAIN(tests)
