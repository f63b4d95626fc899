/* The tunnel with an endpoint of anybody's making behind a right TLS: the
 * invariants hold after every call, and in any portions the same comes out.
 *
 * The input: a byte of switches (1 the endpoint answers before the upgrade;
 * 2 the transport ends at the end, 4 it is broken then; 8 we close at the
 * end, 16 the application sends; 32 time passes), a byte for the size of the
 * records, a byte for how much the application takes at a time, then what the
 * endpoint says. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdlib.h>

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            abort();                                                          \
        }                                                                     \
    } while (0)
#define CHECK_INT(got, want) CHECK((got) == (want))

#include "../tls_server.h"
#include "../tunnel_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Handshakes are slow, so they are made once. All pointers of a tunnel stay
 * right when its bytes are put back where they were. */
typedef struct snapshot {
    eice_tunnel t;
    eice_drbg random;
    server s;
    uint64_t now_ms;
} snapshot;

/* All that can be observed. */
typedef struct outcome {
    uint8_t got[65536];
    size_t got_len;
    eice_err code;
    unsigned close_code;
    eice_tunnel_phase phase;
} outcome;

static world w;
static snapshot waiting;  /* for the answer to the request */
static snapshot upgraded;

static void snapshot_take(snapshot *s)
{
    s->t = w.t;
    s->random = w.random;
    s->s = w.s;
    s->now_ms = w.now_ms;
}

static void snapshot_put(const snapshot *s)
{
    w.t = s->t;
    w.random = s->random;
    w.s = s->s;
    w.now_ms = s->now_ms;
    w.got_len = 0;
    w.answered = true;
    w.chunk = SIZE_MAX;
    w.deaf = false;
}

static void prepare(void)
{
    world_init(&w);
    w.answered = true;
    world_start(&w);
    world_run(&w);
    CHECK(w.t.phase == EICE_TUNNEL_WAIT);
    snapshot_take(&waiting);
    w.answered = false;
    world_run(&w);
    CHECK(w.t.phase == EICE_TUNNEL_OPEN);
    snapshot_take(&upgraded);
}

static void check_texts(void)
{
    const eice_error *const e = &w.t.error;

    CHECK(memchr(e->text, 0, sizeof e->text) != NULL);
    CHECK(memchr(e->remedy, 0, sizeof e->remedy) != NULL);
    CHECK(memchr(e->aws_code, 0, sizeof e->aws_code) != NULL);
    CHECK(memchr(e->request_id, 0, sizeof e->request_id) != NULL);
    CHECK((e->code == EICE_OK) == (e->text[0] == 0));
}

/* The same at once and bit by bit must come to the same end. */
static void play(const uint8_t *data, size_t size, size_t record, size_t take)
{
    const unsigned switches = data[0];

    snapshot_put((switches & 1) != 0 ? &waiting : &upgraded);
    w.s.record = record;
    w.take = take;
    w.chunk = record;
    server_say(&w.s, data + 3, size - 3);
    if ((switches & 16) != 0 && w.t.phase == EICE_TUNNEL_OPEN) {
        world_send(&w, "hello", 5);
    }
    world_run(&w);
    CHECK(w.t.phase >= EICE_TUNNEL_OPEN || w.t.priv.pending == 0);
    if ((switches & 32) != 0) {
        world_tick(&w, 14000);
        world_run(&w);
        world_tick(&w, 14000);
        world_run(&w);
    }
    if ((switches & 8) != 0) {
        eice_tunnel_close(&w.t);
        world_check(&w);
        world_run(&w);
    }
    if ((switches & 2) != 0) {
        eice_tunnel_net_eof(&w.t, (switches & 4) != 0 ? EICE_E_NET_RESET
                                                      : EICE_OK);
        world_check(&w);
        world_run(&w);
        CHECK(w.t.phase == EICE_TUNNEL_CLOSED);
    }
    check_texts();
}

static void note(outcome *o)
{
    memcpy(o->got, w.got, w.got_len);
    o->got_len = w.got_len;
    o->code = w.t.error.code;
    o->close_code = w.t.close_code;
    o->phase = w.t.phase;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static outcome a;
    static outcome b;

    if (waiting.now_ms == 0) {
        prepare();
    }
    if (size < 3 || size > sizeof a.got) {
        return 0;
    }
    play(data, size, SIZE_MAX, SIZE_MAX);
    note(&a);
    play(data, size, (size_t)data[1] + 1, (size_t)data[2] + 1);
    note(&b);
    CHECK(a.got_len <= size);
    CHECK(a.got_len == b.got_len);
    CHECK(memcmp(a.got, b.got, a.got_len) == 0);
    CHECK(a.code == b.code);
    CHECK(a.close_code == b.close_code);
    CHECK(a.phase == b.phase);
    return 0;
}
