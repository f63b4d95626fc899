/* A TLS server in memory: BearSSL's, with a script of plaintext. Include it
 * behind eice.h. Its certificate and key are for these tests only; they are
 * good until 2126. */
#ifndef EICE_TEST_TLS_SERVER_H
#define EICE_TEST_TLS_SERVER_H

#define SERVER_HOST "pair.example.test"
#define SERVER_NOW 1800000000 /* a date the certificate is good for */

static const char server_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBqTCCAVCgAwIBAgIUd4c982VdJHEyPSRAVES+mFheEb4wCgYIKoZIzj0EAwIw\n"
    "HDEaMBgGA1UEAwwRcGFpci5leGFtcGxlLnRlc3QwIBcNMjYxMTIzMDM1MDAyWhgP\n"
    "MjEyNjEwMzAwMzUwMDJaMBwxGjAYBgNVBAMMEXBhaXIuZXhhbXBsZS50ZXN0MFkw\n"
    "EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7su/bqZMPmO/qkNqs1G7WURicEv94FP7\n"
    "0qJljk4baJCUx/EbrWjb3RcdFg+LDwC/8D6VMLu6oIS2Z+aRbB//jaNuMGwwHQYD\n"
    "VR0OBBYEFCIbU61QnQ9mIiWdnke+ys5viPonMB8GA1UdIwQYMBaAFCIbU61QnQ9m\n"
    "IiWdnke+ys5viPonMBwGA1UdEQQVMBOCEXBhaXIuZXhhbXBsZS50ZXN0MAwGA1Ud\n"
    "EwEB/wQCMAAwCgYIKoZIzj0EAwIDRwAwRAIgRU0xFrMZH1Q4Ro4sZLJ2C98+wdit\n"
    "S+EZRS7Tqcl3eToCIFKxT60Opz5dY5JxPSGX2fZjbuMr6QugLOa04efk2VQM\n"
    "-----END CERTIFICATE-----\n";

typedef struct server {
    br_ssl_server_context tls;
    br_ec_private_key key;
    br_x509_certificate chain;
    uint8_t der[1024];
    uint8_t buffer[BR_SSL_BUFSIZE_BIDI];
    const uint8_t *say; /* plaintext to be sent ... */
    size_t say_len;
    size_t said;        /* ... and how much of it was */
    size_t record;      /* at most so much of it in a record; 0: any */
    bool close_after;   /* close_notify behind it */
    bool closed;
    uint8_t heard[65536]; /* plaintext received */
    size_t heard_len;
} server;

static uint8_t server_scalar[32] = {
        0xef, 0xf6, 0x4a, 0x88, 0xc4, 0xef, 0xef, 0xcd, 0x82, 0xf0, 0x24,
        0x31, 0x13, 0xc1, 0x9d, 0xda, 0x08, 0xff, 0xff, 0xdd, 0x22, 0xa4,
        0x15, 0x73, 0xa0, 0x96, 0x8a, 0x6f, 0xd5, 0xbb, 0x5d, 0x59};

static inline void server_init(server *s, br_ssl_session_cache_lru *cache)
{
    static const uint8_t seed[32] = "the server's seed in these tests";
    const char *const body = strchr(server_pem, '\n');
    const char *const end = strstr(body, "-----END");
    ptrdiff_t len;

    memset(s, 0, sizeof *s);
    len = eice_base64_decode(eice_str_make(body, (size_t)(end - body)), s->der,
                             sizeof s->der);
    s->chain.data = s->der;
    s->chain.data_len = (size_t)len;
    s->key.curve = BR_EC_secp256r1;
    s->key.x = server_scalar;
    s->key.xlen = sizeof server_scalar;
    br_ssl_server_init_full_ec(&s->tls, &s->chain, 1, BR_KEYTYPE_EC, &s->key);
    br_ssl_engine_set_buffer(&s->tls.eng, s->buffer, sizeof s->buffer, 1);
    if (cache != NULL) {
        br_ssl_server_set_cache(&s->tls, &cache->vtable);
    }
    br_ssl_engine_inject_entropy(&s->tls.eng, seed, sizeof seed);
    br_ssl_server_reset(&s->tls);
}

/* Says more; the bytes must stay where they are. */
static inline void server_say(server *s, const void *data, size_t len)
{
    s->say = (const uint8_t *)data;
    s->say_len = len;
    s->said = 0;
}

/* Plaintext in and out, as far as it goes now. True: something was done. */
static inline bool server_step(server *s)
{
    br_ssl_engine_context *const eng = &s->tls.eng;
    bool moved = false;
    size_t n;
    uint8_t *p = br_ssl_engine_recvapp_buf(eng, &n);

    if (p != NULL) {
        n = n < sizeof s->heard - s->heard_len ? n
                                               : sizeof s->heard - s->heard_len;
        memcpy(s->heard + s->heard_len, p, n);
        s->heard_len += n;
        br_ssl_engine_recvapp_ack(eng, n);
        moved = n > 0;
    }
    p = br_ssl_engine_sendapp_buf(eng, &n);
    if (p != NULL && s->said < s->say_len) {
        n = n < s->say_len - s->said ? n : s->say_len - s->said;
        n = s->record != 0 && n > s->record ? s->record : n;
        memcpy(p, s->say + s->said, n);
        s->said += n;
        br_ssl_engine_sendapp_ack(eng, n);
        br_ssl_engine_flush(eng, 0);
        moved = true;
    } else if (p != NULL && s->close_after && s->said > 0 && !s->closed) {
        s->closed = true;
        br_ssl_engine_close(eng);
        moved = true;
    }
    return moved;
}

/* Records for the client: how many bytes there are, and where. */
static inline size_t server_out(server *s, const uint8_t **p)
{
    size_t n = 0;

    *p = br_ssl_engine_sendrec_buf(&s->tls.eng, &n);
    return *p != NULL ? n : 0;
}

static inline void server_out_ack(server *s, size_t n)
{
    br_ssl_engine_sendrec_ack(&s->tls.eng, n);
}

/* Takes records of the client; returns how many bytes. */
static inline size_t server_in(server *s, const uint8_t *data, size_t len)
{
    size_t n = 0;
    uint8_t *const p = br_ssl_engine_recvrec_buf(&s->tls.eng, &n);

    if (p == NULL) {
        return 0;
    }
    n = n < len ? n : len;
    memcpy(p, data, n);
    br_ssl_engine_recvrec_ack(&s->tls.eng, n);
    return n;
}

#endif
