/* Trust anchors, and the TLS stage against BearSSL's own server. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include "test.h"
#include "tls_server.h"

#include <time.h>

static uint64_t arena[EICE_TRUST_BYTES(300000) / 8];

/* ---- a client and a server --------------------------------------------- */

typedef struct pair {
    eice_tls client;
    eice_tls_opts opts;
    eice_trust trust;
    eice_drbg random;
    uint64_t trust_memory[EICE_TRUST_BYTES(2000) / 8];
    uint64_t x509[EICE_TLS_X509_BYTES / 8];
    uint8_t in[EICE_TLS_IN];
    uint8_t out[EICE_TLS_OUT];
    server server;
    size_t chunk;  /* at most so many bytes at a time */
    size_t limit;  /* of bytes to the client */
    bool damage;   /* flips a bit of what the client gets */
    bool hold;     /* the client takes no data */
    char got[1000];
    size_t got_len;
} pair;

static void pair_init(pair *p)
{
    memset(p, 0, sizeof *p);
    server_init(&p->server, NULL);
    eice_drbg_init(&p->random, "seed", 4);
    eice_trust_init(&p->trust, p->trust_memory, sizeof p->trust_memory);
    CHECK_INT(eice_trust_add_pem(&p->trust, server_pem, strlen(server_pem)),
              EICE_OK);
    p->opts.host = eice_str_c(SERVER_HOST);
    p->opts.trust = &p->trust;
    p->opts.random = &p->random;
    p->opts.unix_s = SERVER_NOW;
    p->opts.in = p->in;
    p->opts.out = p->out;
    p->opts.out_len = sizeof p->out;
    p->opts.x509 = p->x509;
    p->chunk = SIZE_MAX;
    p->limit = SIZE_MAX;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool pair_to_server(pair *p)
{
    const uint8_t *data;
    size_t n = least(eice_tls_net_out(&p->client, &data), p->chunk);

    n = n > 0 ? server_in(&p->server, data, n) : 0;
    if (n > 0) {
        eice_tls_net_out_ack(&p->client, n);
    }
    return n > 0;
}

static bool pair_to_client(pair *p)
{
    const uint8_t *data;
    uint8_t *room;
    size_t n = server_out(&p->server, &data);

    n = least(least(n, eice_tls_net_in(&p->client, &room)),
              least(p->chunk, p->limit));
    if (n == 0) {
        return false;
    }
    memcpy(room, data, n);
    room[n - 1] = (uint8_t)(room[n - 1] ^ (p->damage && n > 5));
    p->limit -= p->limit != SIZE_MAX ? n : 0;
    server_out_ack(&p->server, n);
    eice_tls_net_in_ack(&p->client, n);
    return true;
}

static bool pair_take(pair *p)
{
    uint8_t *data;
    const size_t n = p->hold ? 0 : eice_tls_app_out(&p->client, &data);

    if (n == 0) {
        return false;
    }
    memcpy(p->got + p->got_len, data, n);
    p->got_len += n;
    eice_tls_app_out_ack(&p->client, n);
    return true;
}

/* Until nothing moves any more. */
static void pair_run(pair *p)
{
    while (pair_to_server(p) || server_step(&p->server) || pair_to_client(p)
           || pair_take(p)) {
    }
}

static void pair_send(pair *p, const char *text)
{
    uint8_t *room;
    const size_t n = strlen(text);

    CHECK(eice_tls_app_in(&p->client, &room) >= n);
    memcpy(room, text, n);
    eice_tls_app_in_ack(&p->client, n);
    eice_tls_flush(&p->client);
}

/* ---- trust ------------------------------------------------------------- */

static bool same_anchor(const br_x509_trust_anchor *a,
                        const br_x509_trust_anchor *b)
{
    const br_rsa_public_key *const ra = &a->pkey.key.rsa;
    const br_rsa_public_key *const rb = &b->pkey.key.rsa;
    const br_ec_public_key *const ea = &a->pkey.key.ec;
    const br_ec_public_key *const eb = &b->pkey.key.ec;

    if (a->flags != b->flags || a->dn.len != b->dn.len
        || memcmp(a->dn.data, b->dn.data, a->dn.len) != 0
        || a->pkey.key_type != b->pkey.key_type) {
        return false;
    }
    if (a->pkey.key_type == BR_KEYTYPE_RSA) {
        return ra->nlen == rb->nlen && ra->elen == rb->elen
               && memcmp(ra->n, rb->n, ra->nlen) == 0
               && memcmp(ra->e, rb->e, ra->elen) == 0;
    }
    return ea->curve == eb->curve && ea->qlen == eb->qlen
           && memcmp(ea->q, eb->q, ea->qlen) == 0;
}

static const char *const debian = "/etc/ssl/certs/ca-certificates.crt";
static char bundle[1 << 20];

static size_t read_bundle(void)
{
    FILE *const f = fopen(debian, "rb");
    size_t n = 0;

    if (f != NULL) {
        n = fread(bundle, 1, sizeof bundle, f);
        fclose(f);
    }
    return n;
}

static size_t count_of(const char *text, size_t len, const char *what)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i + strlen(what) <= len; i++) {
        n += memcmp(text + i, what, strlen(what)) == 0;
    }
    return n;
}

static void trust_builtin(void)
{
    eice_trust t;
    const br_x509_trust_anchor *a;

    eice_trust_init(&t, arena, EICE_TRUST_BUILTIN_BYTES);
    CHECK_INT(eice_trust_add_builtin(&t), EICE_OK);
    CHECK_INT(t.count, 5);
    CHECK_INT(t.skipped, 0);
    a = eicei_tls_anchors(&t);
    CHECK_INT(a[0].pkey.key_type, BR_KEYTYPE_RSA);
    CHECK_INT(a[0].pkey.key.rsa.nlen, 256);
    CHECK_INT(a[1].pkey.key.rsa.nlen, 512);
    CHECK_INT(a[2].pkey.key.ec.curve, BR_EC_secp256r1);
    CHECK_INT(a[2].pkey.key.ec.qlen, 65);
    CHECK_INT(a[3].pkey.key.ec.curve, BR_EC_secp384r1);
    CHECK(a[4].flags == BR_X509_TA_CA);
    CHECK_INT(a[4].dn.data[0], 0x30);
    CHECK_INT(a[4].dn.data[1] + 2u < 128 ? 0 : a[4].dn.data[2] + 3u,
              a[4].dn.len);
}

static void trust_builtin_no_room(void)
{
    eice_trust t;
    size_t need;
    size_t cap;

    eice_trust_init(&t, arena, sizeof arena);
    CHECK_INT(eice_trust_add_builtin(&t), EICE_OK);
    need = t.count * sizeof(br_x509_trust_anchor) + t.data;
    CHECK(need < EICE_TRUST_BUILTIN_BYTES / 2);
    for (cap = 0; cap < need; cap += 8) {
        eice_trust_init(&t, arena, cap);
        CHECK_INT(eice_trust_add_builtin(&t), EICE_E_LIMIT);
        CHECK(t.count * sizeof(br_x509_trust_anchor) + t.data <= cap);
    }
}

/* The built-in roots are what the decoder makes of Debian's certificates. */
static void trust_builtin_equals_pem(void)
{
    static const char *const files[] = {
        "Amazon_Root_CA_1", "Amazon_Root_CA_2", "Amazon_Root_CA_3",
        "Amazon_Root_CA_4",
        "Starfield_Services_Root_Certificate_Authority_-_G2"};
    static uint64_t other[EICE_TRUST_BYTES(20000) / 8];
    eice_trust ours;
    eice_trust theirs;
    size_t i;

    eice_trust_init(&ours, arena, sizeof arena);
    eice_trust_init(&theirs, other, sizeof other);
    CHECK_INT(eice_trust_add_builtin(&ours), EICE_OK);
    for (i = 0; i < EICEI_LEN(files); i++) {
        char path[128];
        char pem[4096];
        FILE *f;
        size_t n;

        snprintf(path, sizeof path, "/usr/share/ca-certificates/mozilla/%s.crt",
                 files[i]);
        f = fopen(path, "rb");
        if (f == NULL) {
            SKIP("no Debian ca-certificates");
        }
        n = fread(pem, 1, sizeof pem, f);
        fclose(f);
        CHECK_INT(eice_trust_add_pem(&theirs, pem, n), EICE_OK);
    }
    CHECK_INT(theirs.count, ours.count);
    for (i = 0; i < ours.count && i < theirs.count; i++) {
        const br_x509_trust_anchor *const a = eicei_tls_anchors(&ours) + i;
        const br_x509_trust_anchor *const b = eicei_tls_anchors(&theirs) + i;

        CHECK(same_anchor(a, b));
    }
}

static void trust_whole_bundle(void)
{
    const size_t len = read_bundle();
    const size_t all = count_of(bundle, len, "BEGIN CERTIFICATE");
    struct timespec a;
    struct timespec b;
    eice_trust t;

    if (len == 0) {
        SKIP("no /etc/ssl/certs/ca-certificates.crt");
    }
    eice_trust_init(&t, arena, EICE_TRUST_BYTES(len));
    CHECK_INT(eice_trust_add_builtin(&t), EICE_OK);
    clock_gettime(CLOCK_MONOTONIC, &a);
    CHECK_INT(eice_trust_add_pem(&t, bundle, len), EICE_OK);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("  %zu certificates, %zu anchors, %zu of %zu bytes, %.2f ms\n",
           all, t.count,
           t.count * sizeof(br_x509_trust_anchor) + t.data, t.cap,
           (double)(b.tv_sec - a.tv_sec) * 1e3
               + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
    CHECK_INT(t.count - 5, all);
    CHECK_INT(t.skipped, 0);
    CHECK(all > 100);
}

/* BearSSL's own decoder as the oracle, certificate by certificate. */

typedef struct oracle {
    br_x509_decoder_context decoder;
    uint8_t subject[2000];
    size_t subject_len;
} oracle;

static void on_subject(void *user, const void *data, size_t len)
{
    oracle *const o = (oracle *)user;

    memcpy(o->subject + o->subject_len, data, len);
    o->subject_len += len;
}

static void on_der(void *user, const void *data, size_t len)
{
    br_x509_decoder_push((br_x509_decoder_context *)user, data, len);
}

static bool oracle_agrees(oracle *o, const br_x509_trust_anchor *a)
{
    const br_x509_pkey *const key = br_x509_decoder_get_pkey(&o->decoder);
    br_x509_trust_anchor b;

    memset(&b, 0, sizeof b);
    b.dn.data = o->subject;
    b.dn.len = o->subject_len;
    b.flags = br_x509_decoder_isCA(&o->decoder) ? BR_X509_TA_CA : 0;
    b.pkey = *key;
    return same_anchor(a, &b);
}

static void trust_equals_decoder(void)
{
    static oracle o;
    size_t len = read_bundle();
    const char *text = bundle;
    br_pem_decoder_context pem;
    eice_trust t;
    size_t i = 0;

    if (len == 0) {
        SKIP("no /etc/ssl/certs/ca-certificates.crt");
    }
    eice_trust_init(&t, arena, sizeof arena);
    CHECK_INT(eice_trust_add_pem(&t, bundle, len), EICE_OK);
    br_pem_decoder_init(&pem);
    while (len > 0 && i < t.count) {
        const size_t n = br_pem_decoder_push(&pem, text, len);

        text += n;
        len -= n;
        switch (br_pem_decoder_event(&pem)) {
        case BR_PEM_BEGIN_OBJ:
            o.subject_len = 0;
            br_x509_decoder_init(&o.decoder, on_subject, &o);
            br_pem_decoder_setdest(&pem, on_der, &o.decoder);
            break;
        case BR_PEM_END_OBJ:
            CHECK(oracle_agrees(&o, eicei_tls_anchors(&t) + i));
            i++;
            break;
        default:
            break;
        }
    }
    CHECK_INT(i, t.count);
}

/* Every byte of a certificate damaged in turn, and every length of it. */
static void trust_damaged(void)
{
    static server s;
    size_t i;

    server_init(&s, NULL);
    for (i = 0; i < s.chain.data_len * 2; i++) {
        const size_t at = i / 2;
        guard g = guard_copy(s.der, i % 2 ? at : s.chain.data_len);
        eicei_tls_ca c;

        if (i % 2 == 0) {
            g.ptr[at] = (char)(g.ptr[at] ^ 0x81);
        }
        if (eicei_tls_read_cert(
                eice_str_make(g.ptr, i % 2 ? at : s.chain.data_len), &c)) {
            CHECK(i % 2 == 0);
            CHECK_INT(c.key.len, 65);
        }
        guard_free(&g);
    }
}

static void trust_ca_flag(void)
{
    static const struct {
        const char *extensions;
        size_t len;
        bool ca;
    } cases[] = {
        {"\x30\x0e\x30\x0c\x06\x03\x55\x1d\x13\x04\x05\x30\x03\x01\x01\xff",
         16, true},
        {"\x30\x0e\x30\x0c\x06\x03\x55\x1d\x13\x04\x05\x30\x03\x01\x01\x00",
         16, false},
        {"\x30\x0b\x30\x09\x06\x03\x55\x1d\x13\x04\x02\x30\x00", 13, false},
        {"\x30\x0e\x30\x0c\x06\x03\x55\x1d\x14\x04\x05\x30\x03\x01\x01\xff",
         16, false}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        CHECK_INT(eicei_tls_read_ca(
                      eice_str_make(cases[i].extensions, cases[i].len)),
                  cases[i].ca);
    }
}

static void trust_no_room(void)
{
    const size_t len = read_bundle();
    eice_trust t;
    size_t cap;

    if (len == 0) {
        SKIP("no /etc/ssl/certs/ca-certificates.crt");
    }
    for (cap = 0; cap < 12000; cap += 40) {
        eice_trust_init(&t, arena, cap);
        CHECK_INT(eice_trust_add_pem(&t, bundle, len), EICE_E_LIMIT);
        CHECK(t.count * sizeof(br_x509_trust_anchor) + t.data <= cap);
    }
}

/* An anchor is right, or there is no room for it. */
static void trust_in_a_tight_arena(void)
{
    static uint64_t other[EICE_TRUST_BYTES(2000) / 8];
    eice_trust right;
    eice_trust t;
    size_t cap;
    size_t fits = 0;

    eice_trust_init(&right, other, sizeof other);
    CHECK_INT(eice_trust_add_pem(&right, server_pem, strlen(server_pem)),
              EICE_OK);
    for (cap = 0; cap < 1500; cap += 8) {
        eice_trust_init(&t, arena, cap);
        if (eice_trust_add_pem(&t, server_pem, strlen(server_pem))
            == EICE_OK) {
            CHECK(same_anchor(eicei_tls_anchors(&t),
                              eicei_tls_anchors(&right)));
            fits++;
        } else {
            CHECK_INT(fits, 0);
            CHECK_INT(t.count, 0);
        }
    }
    CHECK(fits > 50);
}

/* Text around it, lines that end in CR LF, another kind of object before. */
static void trust_text_around(void)
{
    static char text[4000];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "# a comment\r\n-----BEGIN X509 CRL-----\r\n"
                                "MAA=\r\n-----END X509 CRL-----\r\n");
    const char *p;
    eice_trust t;

    for (p = server_pem; *p != 0; p++) {
        if (*p == '\n') {
            text[n++] = '\r';
        }
        text[n++] = *p;
    }
    eice_trust_init(&t, arena, sizeof arena);
    CHECK_INT(eice_trust_add_pem(&t, text, n), EICE_OK);
    CHECK_INT(t.count, 1);
    CHECK_INT(t.skipped, 0);
}

static void trust_junk(void)
{
    static const char *const texts[] = {
        "", "hello", "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"};
    eice_trust t;
    size_t i;

    eice_trust_init(&t, arena, sizeof arena);
    for (i = 0; i < EICEI_LEN(texts); i++) {
        guard g = guard_copy(texts[i], strlen(texts[i]));

        CHECK_INT(eice_trust_add_pem(&t, g.ptr, strlen(texts[i])),
                  EICE_E_CONFIG);
        guard_free(&g);
    }
    CHECK_INT(t.count, 0);
    CHECK_INT(t.data, 0);
    CHECK_INT(t.skipped, 3);
}

static void trust_last_line_without_newline(void)
{
    const char *const pem = server_pem;
    const size_t len = strlen(pem);
    eice_trust t;

    eice_trust_init(&t, arena, sizeof arena);
    CHECK_INT(pem[len - 1], '\n');
    CHECK_INT(eice_trust_add_pem(&t, pem, len - 1), EICE_OK);
    CHECK_INT(t.count, 1);
}

/* ---- options ----------------------------------------------------------- */

static void init_refuses_hosts(void)
{
    static const struct {
        const char *host;
        const char *text;
    } cases[] = {
        {"10.0.0.1", "10.0.0.1 is an IP address"},
        {"::1", "::1 is an IP address"},
        {"", "\"\" is not a DNS name"},
        {".", "\".\" is not a DNS name"},
        {"a b", "is not a DNS name"},
        {"a\r\nb", "is not a DNS name"}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        static pair p;

        pair_init(&p);
        p.opts.host = eice_str_c(cases[i].host);
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_E_TLS_NAME);
        CHECK(strstr(p.client.error.text, cases[i].text) != NULL
              || cases[i].host[0] == '.');
        CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
    }
}

static void init_refuses_options(void)
{
    static pair p;
    int i;

    for (i = 0; i < 6; i++) {
        pair_init(&p);
        p.opts.trust = i == 0 ? NULL : p.opts.trust;
        p.opts.random = i == 1 ? NULL : p.opts.random;
        p.opts.in = i == 2 ? NULL : p.opts.in;
        p.opts.out = i == 3 ? NULL : p.opts.out;
        p.opts.x509 = i == 4 ? NULL : p.opts.x509;
        p.opts.out_len = i == 5 ? EICE_TLS_OUT_MIN - 1 : p.opts.out_len;
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_E_ARGUMENT);
        CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
    }
}

/* ---- connections ------------------------------------------------------- */

static void echo_at_every_chunk(void)
{
    static const size_t chunks[] = {1, 2, 7, 100, 1500, 100000};
    size_t i;

    for (i = 0; i < EICEI_LEN(chunks); i++) {
        static pair p;

        pair_init(&p);
        p.chunk = chunks[i];
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
        pair_run(&p);
        CHECK((eice_tls_state(&p.client) & EICE_OPEN) != 0);
        CHECK(!eice_tls_resumed(&p.client));
        pair_send(&p, "hello");
        server_say(&p.server, "world", 5);
        pair_run(&p);
        CHECK_STR(eice_str_make(p.server.heard, p.server.heard_len), "hello");
        CHECK_STR(eice_str_make(p.got, p.got_len), "world");
        eice_tls_close(&p.client);
        pair_run(&p);
        CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
        CHECK_INT(p.client.error.code, EICE_OK);
        CHECK_INT(br_ssl_engine_last_error(&p.server.tls.eng), BR_ERR_OK);
        CHECK(p.server.tls.eng.shutdown_recv); /* our close_notify */
    }
}

/* The x509 memory is ours after the handshake. */
static void x509_memory_is_free(void)
{
    static pair p;

    pair_init(&p);
    CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
    pair_run(&p);
    memset(p.x509, 0xa5, sizeof p.x509);
    server_say(&p.server, "still there", 11);
    pair_run(&p);
    CHECK_STR(eice_str_make(p.got, p.got_len), "still there");
}

static void session_resumed(void)
{
    static pair p;
    static br_ssl_session_cache_lru cache;
    static uint8_t store[1000];
    eice_tls_session session;
    int i;

    br_ssl_session_cache_lru_init(&cache, store, sizeof store);
    memset(&session, 0, sizeof session);
    for (i = 0; i < 3; i++) {
        pair_init(&p);
        server_init(&p.server, &cache);
        p.opts.session = &session;
        /* The third time it is for another name. */
        if (i == 2) {
            p.opts.host = eice_str_c("PAIR.example.test");
        }
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
        pair_run(&p);
        CHECK((eice_tls_state(&p.client) & EICE_OPEN) != 0);
        CHECK_INT(eice_tls_resumed(&p.client), i == 1);
        eice_tls_session_save(&p.client, &session);
        CHECK(session.len > 0);
    }
    session.bytes[32] = 33; /* length of the ID */
    pair_init(&p);
    p.opts.session = &session;
    CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
}

/* The same seed gives the same hello: no other source of randomness. */
static void random_is_the_callers(void)
{
    static uint8_t hello[2][600];
    static pair p;
    size_t len[2];
    int i;

    for (i = 0; i < 2; i++) {
        const uint8_t *out;

        pair_init(&p);
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
        len[i] = eice_tls_net_out(&p.client, &out);
        CHECK(len[i] > 50 && len[i] < sizeof hello[0]);
        memcpy(hello[i], out, len[i]);
    }
    CHECK_INT(len[0], len[1]);
    CHECK_BYTES(hello[0], hello[1], len[0]);
}

/* Data, close_notify and the end of the transport arrive at once. */
static void data_before_the_end(void)
{
    static pair p;
    uint8_t *out;

    pair_init(&p);
    CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
    pair_run(&p);
    p.hold = true;
    p.server.close_after = true;
    server_say(&p.server, "last words", 10);
    pair_run(&p);
    eice_tls_eof(&p.client);
    CHECK_INT(eice_tls_state(&p.client) & EICE_HAVE_DATA, EICE_HAVE_DATA);
    CHECK_INT(eice_tls_app_out(&p.client, &out), 10);
    eice_tls_app_out_ack(&p.client, 10);
    CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
    CHECK_INT(p.client.error.code, EICE_OK);
}

static void damaged_record(void)
{
    static pair p;

    pair_init(&p);
    CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
    pair_run(&p);
    p.damage = true;
    server_say(&p.server, "hello", 5);
    pair_run(&p);
    CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
    CHECK_INT(p.client.error.code, EICE_E_TLS);
    CHECK_INT(p.client.error.detail_kind, EICE_DETAIL_BEARSSL);
    CHECK_INT(p.client.error.detail, BR_ERR_BAD_MAC);
    CHECK_TEXT(p.client.error.text,
               "a record from pair.example.test was damaged or forged on the "
               "way");
}

static void wrong_dates(void)
{
    static const struct {
        int64_t unix_s;
        const char *says;
    } cases[] = {
        {-5, "1970-01-01"}, {951782400, "2000-02-29"},
        {7258118400, "2200-01-01"}};
    static pair p;
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        char text[160];

        pair_init(&p);
        p.opts.unix_s = cases[i].unix_s;
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
        pair_run(&p);
        CHECK_INT(p.client.error.code, EICE_E_TLS_EXPIRED);
        snprintf(text, sizeof text,
                 "a certificate of pair.example.test is expired or not yet "
                 "valid; the clock of this machine says %s", cases[i].says);
        CHECK_TEXT(p.client.error.text, text);
    }
}

static void every_error_has_a_text(void)
{
    static pair p;
    int number;

    for (number = 1; number < 800; number++) {
        pair_init(&p);
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
        eicei_tls_fail(&p.client, number);
        CHECK(p.client.error.code <= EICE_E_TLS
              && p.client.error.code >= EICE_E_TLS_NAME);
        CHECK(strlen(p.client.error.text) > 20);
        CHECK(strstr(p.client.error.text, "pair.example.test") != NULL);
        CHECK_INT(p.client.error.stage, EICE_STAGE_TLS);
        CHECK_INT(p.client.error.detail,
                  number > 256 && number < 512 ? number - 256 : number);
    }
}

/* Any prefix of a handshake, then the end: an error, never a crash. */
static void eof_everywhere(void)
{
    static pair p;
    size_t limit;

    for (limit = 0; limit < 1400; limit += 13) {
        pair_init(&p);
        p.limit = limit;
        CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
        pair_run(&p);
        if ((eice_tls_state(&p.client) & EICE_OPEN) == 0) {
            eice_tls_eof(&p.client);
            CHECK_INT(p.client.error.code, EICE_E_NET_RESET);
        } else {
            eice_tls_eof(&p.client);
            CHECK_INT(p.client.error.code, EICE_OK);
        }
        CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
    }
}

static void closing_twice(void)
{
    static pair p;

    pair_init(&p);
    CHECK_INT(eice_tls_init(&p.client, &p.opts), EICE_OK);
    eice_tls_close(&p.client);
    CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
    eice_tls_close(&p.client);
    eice_tls_eof(&p.client);
    eice_tls_flush(&p.client);
    CHECK_INT(p.client.error.code, EICE_OK);
    eice_tls_wipe(&p.client);
    CHECK_INT(eice_tls_state(&p.client), EICE_DONE);
}

static const test_case tests[] = {
    {"tls_trust_builtin", trust_builtin},
    {"tls_trust_builtin_no_room", trust_builtin_no_room},
    {"tls_trust_builtin_equals_pem", trust_builtin_equals_pem},
    {"tls_trust_whole_bundle", trust_whole_bundle},
    {"tls_trust_equals_decoder", trust_equals_decoder},
    {"tls_trust_damaged", trust_damaged},
    {"tls_trust_ca_flag", trust_ca_flag},
    {"tls_trust_no_room", trust_no_room},
    {"tls_trust_in_a_tight_arena", trust_in_a_tight_arena},
    {"tls_trust_text_around", trust_text_around},
    {"tls_trust_junk", trust_junk},
    {"tls_trust_last_line", trust_last_line_without_newline},
    {"tls_init_refuses_hosts", init_refuses_hosts},
    {"tls_init_refuses_options", init_refuses_options},
    {"tls_echo_at_every_chunk", echo_at_every_chunk},
    {"tls_x509_memory_is_free", x509_memory_is_free},
    {"tls_session_resumed", session_resumed},
    {"tls_random_is_the_callers", random_is_the_callers},
    {"tls_data_before_the_end", data_before_the_end},
    {"tls_damaged_record", damaged_record},
    {"tls_wrong_dates", wrong_dates},
    {"tls_every_error_has_a_text", every_error_has_a_text},
    {"tls_eof_everywhere", eof_everywhere},
    {"tls_closing_twice", closing_twice}
};

TEST_MAIN(tests)
