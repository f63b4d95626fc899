/* A tunnel and its endpoint in memory, byte by byte if wanted. Include it
 * behind eice.h, test.h and tls_server.h. */
#ifndef EICE_TEST_TUNNEL_WORLD_H
#define EICE_TEST_TUNNEL_WORLD_H

#define WORLD_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

typedef struct world {
    eice_tunnel t;
    eice_tunnel_opts o;
    eice_trust trust;
    eice_drbg random;
    uint64_t trust_memory[EICE_TRUST_BYTES(2000) / 8];
    server s;
    size_t chunk;     /* of the wire, at most */
    size_t take;      /* of the application, at most; 0: takes nothing */
    bool deaf;        /* the endpoint reads nothing */
    uint64_t now_ms;
    uint8_t got[300000];
    size_t got_len;
    uint8_t script[300000]; /* what the endpoint says after the request */
    size_t script_len;
    bool answered;
    bool plain;       /* the script is the whole answer: no 101 before it */
} world;

static inline void world_init(world *w)
{
    memset(w, 0, sizeof *w);
    server_init(&w->s, NULL);
    eice_drbg_init(&w->random, "seed", 4);
    eice_trust_init(&w->trust, w->trust_memory, sizeof w->trust_memory);
    (void)eice_trust_add_pem(&w->trust, server_pem, strlen(server_pem));
    w->chunk = SIZE_MAX;
    w->take = SIZE_MAX;
    w->now_ms = 1000000;
    w->o.host = eice_str_c(SERVER_HOST);
    w->o.endpoint_id = eice_str_c("eice-0123456789abcdef0");
    w->o.private_ip = eice_str_c("10.0.1.23");
    w->o.region = eice_str_c("eu-west-1");
    w->o.keys.access_key_id = eice_str_c("AKIDEXAMPLE");
    w->o.keys.secret_access_key = eice_str_c(WORLD_SECRET);
    w->o.trust = &w->trust;
    w->o.random = &w->random;
    w->o.unix_s = SERVER_NOW;
    w->o.now_ms = w->now_ms;
}

static inline void world_start(world *w)
{
    CHECK_INT(eice_tunnel_init(&w->t, &w->o), EICE_OK);
}

/* ---- what the endpoint says -------------------------------------------- */

static inline void world_add(world *w, const void *data, size_t len)
{
    memcpy(w->script + w->script_len, data, len);
    w->script_len += len;
}

static inline void world_text(world *w, const char *text)
{
    world_add(w, text, strlen(text));
}

/* A frame of the endpoint: unmasked. `first` is the whole first byte. */
static inline void world_frame(world *w, unsigned first, const void *data,
                               size_t len)
{
    uint8_t head[10] = {0};
    size_t n = 2;
    size_t i;

    head[0] = (uint8_t)first;
    if (len < 126) {
        head[1] = (uint8_t)len;
    } else if (len < 65536) {
        head[1] = 126;
        n = 4;
    } else {
        head[1] = 127;
        n = 10;
    }
    for (i = 2; i < n; i++) {
        head[i] = (uint8_t)((uint64_t)len >> 8 * (n - 1 - i));
    }
    world_add(w, head, n);
    world_add(w, data, len);
}

static inline void world_close(world *w, unsigned code, const char *reason)
{
    uint8_t payload[125];
    const size_t len = strlen(reason);

    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    memcpy(payload + 2, reason, len);
    world_frame(w, 0x88, payload, code == 0 ? 0 : 2 + len);
}

/* The value of a header of the request; empty without. */
static inline eice_str world_header(const world *w, const char *name)
{
    eice_str head = eice_str_make(w->s.heard, w->s.heard_len);

    while (head.len > 0) {
        eice_str line = eice_str_trim(eice_str_cut(&head, '\n'));
        const eice_str key = eice_str_cut(&line, ':');

        if (eice_str_is_nocase(key, name)) {
            return eice_str_trim(line);
        }
    }
    return eice_str_c("");
}

/* Length of the request's head, 0 before it is complete. */
static inline size_t world_head(const world *w)
{
    size_t i;

    for (i = 4; i <= w->s.heard_len; i++) {
        if (memcmp(w->s.heard + i - 4, "\r\n\r\n", 4) == 0) {
            return i;
        }
    }
    return 0;
}

/* Answers the request as soon as it is there. */
static inline void world_answer(world *w)
{
    static const char ok[] = "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: WebSocket\r\n"
                             "Connection: keep-alive, upgrade\r\n"
                             "x-amzn-RequestId: 4b1c-req\r\n"
                             "Date: Fri, 15 Jan 2027 08:00:07 GMT\r\n"
                             "Sec-WebSocket-Accept: ";
    static uint8_t whole[301000];
    char key[25];
    char accept[29];
    eice_buf b;
    eice_str sent;

    if (w->answered || world_head(w) == 0) {
        return;
    }
    w->answered = true;
    eice_buf_init(&b, whole, sizeof whole);
    if (!w->plain) {
        sent = world_header(w, "sec-websocket-key");
        CHECK_INT(sent.len, 24);
        memcpy(key, sent.ptr, 24);
        key[24] = 0;
        eice_ws_accept(key, accept);
        eice_put_c(&b, ok);
        eice_put_c(&b, accept);
        eice_put_c(&b, "\r\n\r\n");
    }
    eice_put(&b, eice_str_make(w->script, w->script_len));
    server_say(&w->s, b.ptr, b.len);
}

/* ---- what happens ------------------------------------------------------ */

/* Holds after every call: something can be done, or the time will do it. */
static inline void world_check(const world *w)
{
    const unsigned state = eice_tunnel_state(&w->t);

    CHECK(state != 0 || eice_tunnel_deadline(&w->t) != UINT64_MAX);
    CHECK((state & EICE_DONE) == 0 || state == EICE_DONE);
    CHECK((state & EICE_DONE) == 0
          || eice_tunnel_deadline(&w->t) == UINT64_MAX);
    CHECK(((state & EICE_DONE) != 0) == (w->t.phase == EICE_TUNNEL_CLOSED));
    CHECK(w->t.error.code == EICE_OK || w->t.phase >= EICE_TUNNEL_CLOSING);
    CHECK(((state & EICE_HAVE_DATA) != 0) == (w->t.priv.pending > 0));
}

static inline size_t world_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline bool world_to_server(world *w)
{
    const uint8_t *data;
    size_t n = world_least(eice_tunnel_net_out(&w->t, &data), w->chunk);

    n = n > 0 && !w->deaf ? server_in(&w->s, data, n) : 0;
    if (n > 0) {
        eice_tunnel_net_out_ack(&w->t, n);
    }
    return n > 0;
}

static inline bool world_to_client(world *w)
{
    const uint8_t *data;
    uint8_t *room;
    size_t n = server_out(&w->s, &data);

    n = world_least(world_least(n, eice_tunnel_net_in(&w->t, &room)),
                    w->chunk);
    if (n > 0) {
        memcpy(room, data, n);
        server_out_ack(&w->s, n);
        eice_tunnel_net_in_ack(&w->t, n);
    }
    return n > 0;
}

static inline bool world_take(world *w)
{
    const uint8_t *data;
    size_t n = world_least(eice_tunnel_app_out(&w->t, &data), w->take);

    if (n > 0) {
        memcpy(w->got + w->got_len, data, n);
        w->got_len += n;
        eice_tunnel_app_out_ack(&w->t, n);
    }
    return n > 0;
}

/* Until nothing moves any more. */
static inline void world_run(world *w)
{
    bool moved = true;

    while (moved) {
        world_answer(w);
        moved = world_to_server(w);
        moved = server_step(&w->s) || moved;
        moved = world_to_client(w) || moved;
        moved = world_take(w) || moved;
        world_check(w);
    }
}

static inline void world_tick(world *w, uint64_t ms)
{
    w->now_ms += ms;
    eice_tunnel_tick(&w->t, w->now_ms);
    world_check(w);
}

/* One frame of the application. */
static inline void world_send(world *w, const void *data, size_t len)
{
    uint8_t *room;

    CHECK(eice_tunnel_app_in(&w->t, &room) >= len);
    memcpy(room, data, len);
    eice_tunnel_app_in_ack(&w->t, len);
    world_check(w);
}

/* A frame the endpoint got. */
typedef struct seen {
    unsigned op;
    size_t len;
    uint8_t data[65536];
} seen;

/* Reads the next frame behind `*at`, and checks that it is as a client's must
 * be. False: there is none. */
static inline bool world_seen(const world *w, size_t *at, seen *f)
{
    const uint8_t *p;
    size_t head = 2;
    size_t i;

    *at = *at != 0 ? *at : world_head(w);
    p = w->s.heard + *at;
    if (*at + 6 > w->s.heard_len) {
        CHECK_INT(*at, w->s.heard_len);
        return false;
    }
    CHECK_INT(p[0] & 0xf0, 0x80); /* FIN, nothing reserved */
    CHECK_INT(p[1] & 0x80, 0x80); /* masked */
    f->op = p[0] & 0x0fu;
    f->len = p[1] & 0x7fu;
    CHECK(f->len < 127);
    if (f->len == 126) {
        f->len = (size_t)p[2] << 8 | p[3];
        CHECK(f->len > 125);
        head = 4;
    }
    CHECK(f->op != EICE_WS_BINARY || f->len > 0);
    for (i = 0; i < f->len; i++) {
        f->data[i] = (uint8_t)(p[head + 4 + i] ^ p[head + i % 4]);
    }
    *at += head + 4 + f->len;
    CHECK(*at <= w->s.heard_len);
    return true;
}

#endif
