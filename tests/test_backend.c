/*
 * The BearSSL backend of libssh2 against OpenSSL: every primitive with random
 * inputs, in the pieces libssh2 hands over, and with what must be refused.
 *
 * Compiled as libssh2's own files are (see the Makefile), once as it is and
 * once with BACKEND_PORTABLE, which hides the processor's AES instructions.
 * The backend is included, not linked, so that its private functions and the
 * memory it gives back can be looked at.
 *
 * The inputs come from a small generator; TEST_SEED repeats a run.
 */
#include "libssh2_config.h"
#include <bearssl.h>
#ifdef BACKEND_PORTABLE
#define br_aes_x86ni_ctr_get_vtable() ((const br_block_ctr_class *)0)
#define br_aes_pwr8_ctr_get_vtable() ((const br_block_ctr_class *)0)
#define br_ghash_pclmul_get() ((br_ghash)0)
#define br_ghash_pwr8_get() ((br_ghash)0)
#endif
#include "../tools/libssh2-bearssl/libssh2_bearssl.c"

#define EICE_IMPLEMENTATION
#include "eice.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "test.h"
#include "unhex.h"

/* --- inputs --------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t random_u32(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static size_t random_below(size_t limit)
{
    return random_u32() % limit;
}

static void random_bytes(unsigned char *out, size_t len)
{
    while (len-- > 0) {
        *out++ = (unsigned char)random_u32();
    }
}

/* --- the session, its memory and its random bytes ------------------------- */

typedef struct ledger {
    size_t live;       /* blocks not yet given back */
    size_t dirty;      /* blocks given back with something in them */
    size_t fail_after; /* allocations that still succeed */
    bool no_random;
} ledger;

static void *ledger_alloc(size_t len, void **abstract)
{
    ledger *const l = (ledger *)*abstract;
    size_t *block;

    if (l->fail_after == 0) {
        return NULL;
    }
    l->fail_after--;
    block = (size_t *)malloc(2 * sizeof *block + len);
    if (block == NULL) {
        abort();
    }
    block[0] = len;
    l->live++;
    memset(block + 2, 0xa5, len);
    return block + 2;
}

static void ledger_free(void *ptr, void **abstract)
{
    ledger *const l = (ledger *)*abstract;
    size_t *const block = (size_t *)ptr - 2;
    const unsigned char *const bytes = (const unsigned char *)ptr;
    size_t i;

    for (i = 0; i < block[0] && bytes[i] == 0; i++) {
    }
    l->dirty += i < block[0];
    l->live--;
    free(block);
}

static void *ledger_realloc(void *ptr, size_t len, void **abstract)
{
    (void)ptr;
    (void)len;
    (void)abstract;
    return NULL;
}

int eice_libssh2_random(void *abstract, unsigned char *buf, size_t len)
{
    if (((const ledger *)abstract)->no_random) {
        return -1;
    }
    random_bytes(buf, len);
    return 0;
}

static LIBSSH2_SESSION *new_session(ledger *l)
{
    LIBSSH2_SESSION *session;

    memset(l, 0, sizeof *l);
    l->fail_after = SIZE_MAX;
    session = libssh2_session_init_ex(ledger_alloc, ledger_free,
                                      ledger_realloc, l);
    if (session == NULL) {
        abort();
    }
    l->live = 0;
    l->dirty = 0;
    return session;
}

/* Everything the backend took was given back, and wiped. */
static void end_session(LIBSSH2_SESSION *session, ledger *l)
{
    CHECK_INT(l->live, 0);
    CHECK_INT(l->dirty, 0);
    libssh2_session_free(session);
}

/* --- counter mode --------------------------------------------------------- */

static const struct {
    _libssh2_bearssl_cipher_type type;
    size_t key_len;
    const EVP_CIPHER *(*evp)(void);
} ciphers[] = {
    {_libssh2_cipher_aes128ctr, 16, EVP_aes_128_ctr},
    {_libssh2_cipher_aes192ctr, 24, EVP_aes_192_ctr},
    {_libssh2_cipher_aes256ctr, 32, EVP_aes_256_ctr},
    {_libssh2_cipher_aes128gcm, 16, EVP_aes_128_gcm},
    {_libssh2_cipher_aes256gcm, 32, EVP_aes_256_gcm},
};
#define CTR_COUNT 3
#define CIPHER_COUNT 5

static void evp_ctr(size_t which, const unsigned char *key,
                    const unsigned char *iv, unsigned char *data, size_t len)
{
    EVP_CIPHER_CTX *const ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    if (EVP_EncryptInit_ex(ctx, ciphers[which].evp(), NULL, key, iv) != 1 ||
        EVP_EncryptUpdate(ctx, data, &n, data, (int)len) != 1) {
        abort();
    }
    EVP_CIPHER_CTX_free(ctx);
}

/* piece: how much at a time; 0 is a random amount each time. */
static void check_ctr(size_t which, const unsigned char *iv, size_t piece)
{
    unsigned char key[32];
    unsigned char start[16];
    unsigned char data[3000];
    unsigned char want[3000];
    _libssh2_cipher_ctx ctx;
    size_t at = 0;
    size_t n;

    random_bytes(key, sizeof key);
    random_bytes(data, sizeof data);
    memcpy(want, data, sizeof want);
    memcpy(start, iv, sizeof start);
    evp_ctr(which, key, iv, want, sizeof want);
    CHECK_INT(_libssh2_cipher_init(&ctx, ciphers[which].type, start, key, 1),
              0);
    for (; at < sizeof data; at += n) {
        n = piece != 0 ? piece : random_below(700);
        n = min_size(n, sizeof data - at);
        CHECK_INT(_libssh2_cipher_crypt(&ctx, ciphers[which].type, 1,
                                        data + at, n, MIDDLE_BLOCK),
                  0);
    }
    CHECK_BYTES(data, want, sizeof want);
    _libssh2_cipher_dtor(&ctx);
    for (n = 0; n < sizeof ctx; n++) {
        CHECK_INT(((unsigned char *)&ctx)[n], 0);
    }
}

static void test_ctr(void)
{
    static const size_t pieces[] = {16, 1, 256, 272, 3000, 0, 0, 0};
    unsigned char iv[16];
    size_t which;
    size_t i;

    for (which = 0; which < CTR_COUNT; which++) {
        for (i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            random_bytes(iv, sizeof iv);
            check_ctr(which, iv, pieces[i]);
        }
    }
}

/* The counter is one number of 128 bits: the carry goes all the way. */
static void test_ctr_carry(void)
{
    unsigned char iv[16];
    size_t which;
    size_t ones;
    unsigned low;

    for (which = 0; which < CTR_COUNT; which++) {
        for (ones = 1; ones <= 16; ones++) {
            for (low = 0xf0; low < 0x100; low++) {
                random_bytes(iv, sizeof iv);
                memset(iv + 16 - ones, 0xff, ones);
                iv[15] = (unsigned char)low;
                check_ctr(which, iv, low % 2 != 0 ? 16 : 0);
            }
        }
    }
}

/* --- GCM ------------------------------------------------------------------ */

#define GCM_BIG 35008

static void evp_gcm(size_t which, const unsigned char *key,
                    const unsigned char *iv, const unsigned char *packet,
                    size_t len, unsigned char *out)
{
    EVP_CIPHER_CTX *const ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    memcpy(out, packet, 4);
    if (EVP_EncryptInit_ex(ctx, ciphers[which].evp(), NULL, key, iv) != 1 ||
        EVP_EncryptUpdate(ctx, NULL, &n, packet, 4) != 1 ||
        EVP_EncryptUpdate(ctx, out + 4, &n, packet + 4, (int)len) != 1 ||
        EVP_EncryptFinal_ex(ctx, out + 4 + len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, out + 4 + len) !=
            1) {
        abort();
    }
    EVP_CIPHER_CTX_free(ctx);
}

/* As libssh2's transport_send: blocks of 16 from the length on, the short
 * last one in the middle of the stream, then the place of the tag. */
static int send_blocks(_libssh2_cipher_ctx *ctx, size_t which,
                       unsigned char *packet, size_t len)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < 4 + len && rc == 0; i += 16) {
        rc = _libssh2_cipher_crypt(ctx, ciphers[which].type, 1, packet + i,
                                   min_size(16, 4 + len - i),
                                   i == 0 ? FIRST_BLOCK : MIDDLE_BLOCK);
    }
    return rc != 0 ? rc
                   : _libssh2_cipher_crypt(ctx, ciphers[which].type, 1,
                                           packet + 4 + len, 16, LAST_BLOCK);
}

/* As libssh2's transport_read: a first block of 16, then pieces; the last one
 * holds the rest of the ciphertext and the tag.  step 0: random pieces. */
static int receive_blocks(_libssh2_cipher_ctx *ctx, size_t which,
                          unsigned char *packet, size_t len, size_t step)
{
    const size_t total = 4 + len + 16;
    size_t at = 16;
    size_t n;
    int rc;

    rc = _libssh2_cipher_crypt(ctx, ciphers[which].type, 0, packet, 16,
                               FIRST_BLOCK);
    /* libssh2 frees a stale pointer if this one fails */
    CHECK_INT(rc, 0);
    while (at < total && rc == 0) {
        n = step != 0 ? step : 1 + random_below(900);
        if (total - at < n + 16) {
            n = total - at;
        }
        rc = _libssh2_cipher_crypt(ctx, ciphers[which].type, 0, packet + at, n,
                                   at + n == total ? LAST_BLOCK
                                                   : MIDDLE_BLOCK);
        at += n;
    }
    return rc;
}

static void next_nonce(unsigned char *iv)
{
    size_t i;

    for (i = 12; i > 4 && ++iv[i - 1] == 0; i--) {
    }
}

static void check_gcm(size_t which, const unsigned char *first_iv)
{
    static const size_t sizes[] = {16,   32,   48,  240,  256,    272,
                                   1024, 4096, 512, 9472, GCM_BIG};
    static unsigned char packet[4 + GCM_BIG + 16];
    static unsigned char want[4 + GCM_BIG + 16];
    static unsigned char plain[4 + GCM_BIG];
    unsigned char key[32];
    unsigned char iv[12];
    unsigned char copy[12];
    _libssh2_cipher_ctx out;
    _libssh2_cipher_ctx in;
    size_t i;

    random_bytes(key, sizeof key);
    memcpy(iv, first_iv, sizeof iv);
    memcpy(copy, first_iv, sizeof copy);
    CHECK_INT(_libssh2_cipher_init(&out, ciphers[which].type, copy, key, 1),
              0);
    CHECK_INT(_libssh2_cipher_init(&in, ciphers[which].type, copy, key, 0), 0);
    for (i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        const size_t len = sizes[i % (sizeof sizes / sizeof *sizes)];

        random_bytes(plain, 4 + len);
        _libssh2_htonu32(plain, (uint32_t)len);
        memcpy(packet, plain, 4 + len);
        evp_gcm(which, key, iv, plain, len, want);
        CHECK_INT(send_blocks(&out, which, packet, len), 0);
        CHECK_BYTES(packet, want, 4 + len + 16);
        CHECK_INT(receive_blocks(&in, which, packet, len, i % 2 ? 16 : 0), 0);
        CHECK_BYTES(packet, plain, 4 + len);
        next_nonce(iv);
    }
}

static void test_gcm(void)
{
    unsigned char iv[12];
    size_t which;
    size_t ones;

    for (which = CTR_COUNT; which < CIPHER_COUNT; which++) {
        for (ones = 0; ones <= 8; ones += 2) {
            random_bytes(iv, sizeof iv);
            memset(iv + 12 - ones, 0xff, ones);
            check_gcm(which, iv);
        }
    }
}

/* A packet of len bytes of ciphertext, received with one bit changed. */
static int receive_changed(size_t len, size_t byte, unsigned char bit)
{
    unsigned char packet[4 + 512 + 16];
    unsigned char plain[4 + 512];
    unsigned char key[16];
    unsigned char iv[12];
    _libssh2_cipher_ctx in;

    random_bytes(key, sizeof key);
    random_bytes(iv, sizeof iv);
    random_bytes(plain, sizeof plain);
    _libssh2_htonu32(plain, (uint32_t)len);
    evp_gcm(CTR_COUNT, key, iv, plain, len, packet);
    packet[byte] ^= bit;
    _libssh2_cipher_init(&in, _libssh2_cipher_aes128gcm, iv, key, 0);
    return receive_blocks(&in, CTR_COUNT, packet, len, 16);
}

static void test_gcm_tampered(void)
{
    size_t byte;

    CHECK_INT(receive_changed(256, 4, 0), 0);
    for (byte = 4; byte < 4 + 256 + 16; byte++) {
        CHECK_INT(receive_changed(256, byte, 1), -1);
        CHECK_INT(receive_changed(256, byte, 0x80), -1);
    }
}

/* Lengths that no packet can have fail, but never in the first block. */
static void test_gcm_bad_length(void)
{
    static const uint32_t lengths[] = {0,     1,     15,         17,
                                       40001, 65536, 0x7ffffff0, 0xffffffff};
    unsigned char packet[64];
    unsigned char key[32];
    unsigned char iv[12];
    _libssh2_cipher_ctx in;
    size_t i;

    random_bytes(key, sizeof key);
    random_bytes(iv, sizeof iv);
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        random_bytes(packet, sizeof packet);
        _libssh2_htonu32(packet, lengths[i]);
        _libssh2_cipher_init(&in, _libssh2_cipher_aes256gcm, iv, key, 0);
        CHECK_INT(_libssh2_cipher_crypt(&in, _libssh2_cipher_aes256gcm, 0,
                                        packet, 16, FIRST_BLOCK),
                  0);
        CHECK_INT(_libssh2_cipher_crypt(&in, _libssh2_cipher_aes256gcm, 0,
                                        packet + 16, 16, MIDDLE_BLOCK),
                  -1);
    }
}

/* --- hashes and HMAC ------------------------------------------------------ */

static void test_hash(void)
{
    unsigned char data[777];
    unsigned char got[64];
    unsigned char want[64];
    libssh2_sha256_ctx sha256;
    libssh2_sha1_ctx sha1;
    libssh2_sha384_ctx sha384;
    libssh2_sha512_ctx sha512;
    size_t i;

    random_bytes(data, sizeof data);
    CHECK_INT(libssh2_sha256_init(&sha256), 1);
    CHECK_INT(libssh2_sha256_update(sha256, data, 300), 1);
    CHECK_INT(libssh2_sha256_update(sha256, data + 300, 477), 1);
    CHECK_INT(libssh2_sha256_final(sha256, got), 1);
    EVP_Digest(data, sizeof data, want, NULL, EVP_sha256(), NULL);
    CHECK_BYTES(got, want, 32);
    for (i = 0; i < sizeof sha256; i++) {
        CHECK_INT(((unsigned char *)&sha256)[i], 0);
    }
    CHECK_INT(libssh2_sha384_init(&sha384), 1);
    CHECK_INT(libssh2_sha384_update(sha384, data, sizeof data), 1);
    CHECK_INT(libssh2_sha384_final(sha384, got), 1);
    EVP_Digest(data, sizeof data, want, NULL, EVP_sha384(), NULL);
    CHECK_BYTES(got, want, 48);
    CHECK_INT(libssh2_sha512_init(&sha512), 1);
    CHECK_INT(libssh2_sha512_update(sha512, data, sizeof data), 1);
    CHECK_INT(libssh2_sha512_final(sha512, got), 1);
    EVP_Digest(data, sizeof data, want, NULL, EVP_sha512(), NULL);
    CHECK_BYTES(got, want, 64);
    CHECK_INT(libssh2_sha1_init(&sha1), 1);
    CHECK_INT(libssh2_sha1_update(sha1, data, sizeof data), 1);
    CHECK_INT(libssh2_sha1_final(sha1, got), 1);
    EVP_Digest(data, sizeof data, want, NULL, EVP_sha1(), NULL);
    CHECK_BYTES(got, want, 20);
}

typedef int (*hmac_start)(libssh2_hmac_ctx *, void *, size_t);

static void check_hmac(hmac_start start, const EVP_MD *md, size_t key_len)
{
    unsigned char key[64];
    unsigned char data[500];
    unsigned char got[64];
    unsigned char want[64];
    unsigned want_len = 0;
    libssh2_hmac_ctx ctx;
    size_t i;

    random_bytes(key, sizeof key);
    random_bytes(data, sizeof data);
    CHECK_INT(_libssh2_hmac_ctx_init(&ctx), 1);
    CHECK_INT(start(&ctx, key, key_len), 1);
    CHECK_INT(_libssh2_hmac_update(&ctx, data, 4), 1);
    CHECK_INT(_libssh2_hmac_update(&ctx, data + 4, sizeof data - 4), 1);
    CHECK_INT(_libssh2_hmac_final(&ctx, got), 1);
    HMAC(md, key, (int)key_len, data, sizeof data, want, &want_len);
    CHECK_BYTES(got, want, want_len);
    _libssh2_hmac_cleanup(&ctx);
    for (i = 0; i < sizeof ctx; i++) {
        CHECK_INT(((unsigned char *)&ctx)[i], 0);
    }
}

static void test_hmac(void)
{
    check_hmac(_libssh2_hmac_sha1_init, EVP_sha1(), 20);
    check_hmac(_libssh2_hmac_sha256_init, EVP_sha256(), 32);
    check_hmac(_libssh2_hmac_sha512_init, EVP_sha512(), 64);
}

/* --- numbers and Diffie-Hellman ------------------------------------------- */

static void test_bn(void)
{
    static const unsigned char zeros[700];
    unsigned char out[8] = {0};
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    _libssh2_bn *const bn = _libssh2_bn_init();

    if (bn == NULL) {
        abort();
    }
    CHECK_INT(_libssh2_bn_bits(bn), 0);
    CHECK_INT(_libssh2_bn_to_bin(bn, out), -1);
    CHECK_INT(_libssh2_bn_from_bin(bn, 4, (const unsigned char *)"\0\0\1\2"),
              0);
    CHECK_INT(_libssh2_bn_bytes(bn), 2);
    CHECK_INT(_libssh2_bn_bits(bn), 9);
    CHECK_INT(_libssh2_bn_to_bin(bn, out), 0);
    CHECK_BYTES(out, "\1\2", 2);
    CHECK_INT(_libssh2_bn_set_word(bn, 2), 0);
    CHECK_INT(_libssh2_bn_bits(bn), 2);
    CHECK_INT(_libssh2_bn_from_bin(bn, sizeof zeros, zeros), 0);
    CHECK_INT(_libssh2_bn_bytes(bn), 0);
    memset(bn->bytes, 0xff, sizeof bn->bytes);
    bn->len = sizeof bn->bytes;
    CHECK_INT(_libssh2_bn_bits(bn), 4096);
    _libssh2_bn_free(bn);
    _libssh2_bn_free((_libssh2_bn *)NULL);
    CHECK_INT(_libssh2_bn_bits((_libssh2_bn *)NULL), 0);
    CHECK_INT(_libssh2_bn_bytes((_libssh2_bn *)NULL), 0);
    CHECK_INT(_libssh2_bn_to_bin((_libssh2_bn *)NULL, out), -1);
    CHECK_INT(_libssh2_bn_from_bin((_libssh2_bn *)NULL, 1, out), -1);
    end_session(session, &l);
}

static void bn_take(_libssh2_bn *out, const BIGNUM *in)
{
    unsigned char bytes[1100];
    const int len = BN_bn2bin(in, bytes);

    CHECK_INT(_libssh2_bn_from_bin(out, (size_t)len, bytes), 0);
}

static bool bn_same(const _libssh2_bn *a, const BIGNUM *b)
{
    unsigned char bytes[1100];
    const int len = BN_bn2bin(b, bytes);

    return a->len == (size_t)len && memcmp(a->bytes, bytes, a->len) == 0;
}

/* Both sides of an exchange, one by OpenSSL. */
static void check_dh(LIBSSH2_SESSION *session, BIGNUM *prime)
{
    BN_CTX *const bn = BN_CTX_new();
    BIGNUM *const two = BN_new();
    BIGNUM *const y = BN_new();
    BIGNUM *const f = BN_new();
    BIGNUM *const ours = BN_new();
    BIGNUM *const shared = BN_new();
    _libssh2_bn *const p = _libssh2_bn_init();
    _libssh2_bn *const g = _libssh2_bn_init();
    _libssh2_bn *const e = _libssh2_bn_init();
    _libssh2_bn *const other = _libssh2_bn_init();
    _libssh2_bn *const k = _libssh2_bn_init();
    _libssh2_dh_ctx x;

    bn_take(p, prime);
    _libssh2_bn_set_word(g, 2);
    libssh2_dh_init(&x);
    CHECK_INT(libssh2_dh_key_pair(&x, e, g, p, 0, NULL), 0);
    BN_set_word(two, 2);
    BN_rand(y, 500, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
    BN_mod_exp(f, two, y, prime, bn);
    BN_bin2bn(e->bytes, (int)e->len, ours);
    BN_mod_exp(shared, ours, y, prime, bn);
    bn_take(other, f);
    CHECK_INT(libssh2_dh_secret(&x, k, other, p, NULL), 0);
    CHECK(bn_same(k, shared));
    libssh2_dh_dtor(&x);
    CHECK(x == NULL);
    _libssh2_bn_free(p);
    _libssh2_bn_free(g);
    _libssh2_bn_free(e);
    _libssh2_bn_free(other);
    _libssh2_bn_free(k);
    BN_free(two);
    BN_free(y);
    BN_free(f);
    BN_free(ours);
    BN_free(shared);
    BN_CTX_free(bn);
    BN_free(prime);
}

static void test_dh(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);

    check_dh(session, BN_get_rfc3526_prime_2048(NULL));
    check_dh(session, BN_get_rfc3526_prime_3072(NULL));
    check_dh(session, BN_get_rfc3526_prime_4096(NULL));
    end_session(session, &l);
}

/* 0, 1, p - 1, p and p + 1 from the peer, and bad groups. */
static void test_dh_refused(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    BIGNUM *const prime = BN_get_rfc3526_prime_2048(NULL);
    BIGNUM *const big = BN_get_rfc3526_prime_6144(NULL);
    BIGNUM *const small = BN_get_rfc2409_prime_1024(NULL);
    BIGNUM *const value = BN_new();
    _libssh2_bn *const p = _libssh2_bn_init();
    _libssh2_bn *const g = _libssh2_bn_init();
    _libssh2_bn *const e = _libssh2_bn_init();
    _libssh2_bn *const f = _libssh2_bn_init();
    _libssh2_bn *const k = _libssh2_bn_init();
    _libssh2_dh_ctx x;
    unsigned char bytes[1100];
    int i;

    bn_take(p, prime);
    _libssh2_bn_set_word(g, 2);
    CHECK_INT(libssh2_dh_key_pair(&x, e, g, p, 0, NULL), 0);
    for (i = 0; i < 5; i++) {
        if (i < 2) {
            BN_set_word(value, (BN_ULONG)i);
        } else {
            BN_copy(value, prime);
            BN_add_word(value, (BN_ULONG)(i - 2));
            BN_sub_word(value, 1);
        }
        bn_take(f, value);
        CHECK_INT(libssh2_dh_secret(&x, k, f, p, NULL), -1);
        CHECK_INT(_libssh2_bn_to_bin(k, bytes), -1);
    }
    bn_take(f, prime);
    f->bytes[f->len - 1] -= 2; /* p - 2 */
    CHECK_INT(libssh2_dh_secret(&x, k, f, p, NULL), 0);
    CHECK_INT(libssh2_dh_secret(&x, NULL, f, p, NULL), -1);
    libssh2_dh_dtor(&x);
    CHECK_INT(libssh2_dh_secret(&x, k, f, p, NULL), -1);

    p->bytes[p->len - 1] &= 0xfe;
    CHECK_INT(libssh2_dh_key_pair(&x, e, g, p, 0, NULL), -1);
    libssh2_dh_dtor(&x);
    bn_take(p, small);
    CHECK_INT(libssh2_dh_key_pair(&x, e, g, p, 0, NULL), -1);
    libssh2_dh_dtor(&x);
    i = BN_bn2bin(big, bytes);
    CHECK_INT(_libssh2_bn_from_bin(p, (size_t)i, bytes), -1);
    bn_take(p, prime);
    _libssh2_bn_set_word(g, 1);
    CHECK_INT(libssh2_dh_key_pair(&x, e, g, p, 0, NULL), -1);
    libssh2_dh_dtor(&x);
    _libssh2_bn_free(p);
    _libssh2_bn_free(g);
    _libssh2_bn_free(e);
    _libssh2_bn_free(f);
    _libssh2_bn_free(k);
    BN_free(prime);
    BN_free(big);
    BN_free(small);
    BN_free(value);
    end_session(session, &l);
}

/* --- RSA ------------------------------------------------------------------ */

static EVP_PKEY *rsa_key(unsigned bits)
{
    EVP_PKEY *const key = EVP_RSA_gen(bits);

    if (key == NULL) {
        abort();
    }
    return key;
}

static size_t evp_sign(EVP_PKEY *key, const EVP_MD *md, const void *m,
                       size_t len, unsigned char *sig, size_t cap)
{
    EVP_MD_CTX *const ctx = EVP_MD_CTX_new();

    if (EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1 ||
        EVP_DigestSign(ctx, sig, &cap, (const unsigned char *)m, len) != 1) {
        abort();
    }
    EVP_MD_CTX_free(ctx);
    return cap;
}

static size_t evp_number(EVP_PKEY *key, const char *name, unsigned char *out)
{
    BIGNUM *n = NULL;
    size_t len;

    if (EVP_PKEY_get_bn_param(key, name, &n) != 1) {
        abort();
    }
    out[0] = 0; /* as an mpint has it */
    len = 1 + (size_t)BN_bn2bin(n, out + 1);
    BN_free(n);
    return len;
}

static int rsa_import(LIBSSH2_SESSION *session, EVP_PKEY *key,
                      libssh2_rsa_ctx **rsa)
{
    unsigned char n[1100];
    unsigned char e[16];
    const size_t n_len = evp_number(key, OSSL_PKEY_PARAM_RSA_N, n);
    const size_t e_len = evp_number(key, OSSL_PKEY_PARAM_RSA_E, e);

    return _libssh2_rsa_new(rsa, e, e_len, n, n_len, NULL, 0, NULL, 0, NULL, 0,
                            NULL, 0, NULL, 0, NULL, 0);
}

static void check_rsa(LIBSSH2_SESSION *session, unsigned bits)
{
    EVP_PKEY *const key = rsa_key(bits);
    unsigned char m[100];
    unsigned char sig[600];
    libssh2_rsa_ctx *rsa = NULL;
    size_t len;

    random_bytes(m, sizeof m);
    CHECK_INT(rsa_import(session, key, &rsa), 0);
    len = evp_sign(key, EVP_sha512(), m, sizeof m, sig, sizeof sig);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 64, sig, len, m, sizeof m), 0);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len, m, sizeof m), -1);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 48, sig, len, m, sizeof m), -1);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 20, sig, len, m, sizeof m), -1);
    len = evp_sign(key, EVP_sha256(), m, sizeof m, sig, sizeof sig);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len, m, sizeof m), 0);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 64, sig, len, m, sizeof m), -1);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len, m, 99), -1);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len - 1, m, sizeof m),
              -1);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, 0, m, sizeof m), -1);
    sig[len] = 1;
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len + 1, m, sizeof m),
              -1);
    sig[len / 2] ^= 4;
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len, m, sizeof m), -1);
    len = evp_sign(key, EVP_sha1(), m, sizeof m, sig, sizeof sig);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig, len, m, sizeof m), -1);
    CHECK_INT(_libssh2_rsa_sha1_verify(rsa, sig, len, m, sizeof m), 0);
    CHECK_INT(_libssh2_rsa_sha1_verify(rsa, sig, len, m, 99), -1);
    sig[len / 2] ^= 4;
    CHECK_INT(_libssh2_rsa_sha1_verify(rsa, sig, len, m, sizeof m), -1);
    _libssh2_rsa_free(rsa);
    EVP_PKEY_free(key);
}

static void test_rsa(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);

    check_rsa(session, 1024);
    check_rsa(session, 2048);
    check_rsa(session, 3072);
    check_rsa(session, 4096);
    end_session(session, &l);
}

/* A signature whose leading zero was dropped is padded again. */
static void test_rsa_short_signature(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    EVP_PKEY *const key = rsa_key(1024);
    unsigned char m[8];
    unsigned char sig[128];
    libssh2_rsa_ctx *rsa = NULL;
    size_t len;

    CHECK_INT(rsa_import(session, key, &rsa), 0);
    do {
        random_bytes(m, sizeof m);
        len = evp_sign(key, EVP_sha256(), m, sizeof m, sig, sizeof sig);
    } while (sig[0] != 0);
    CHECK_INT(_libssh2_rsa_sha2_verify(rsa, 32, sig + 1, len - 1, m, sizeof m),
              0);
    _libssh2_rsa_free(rsa);
    EVP_PKEY_free(key);
    end_session(session, &l);
}

static void test_rsa_refused(void)
{
    static const unsigned char e[9] = {1, 0, 0, 0, 0, 0, 0, 0, 1};
    unsigned char n[600];
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    libssh2_rsa_ctx *rsa = NULL;

    memset(n, 0xff, sizeof n);
    CHECK_INT(_libssh2_bearssl_rsa_new(session, &rsa, e, 1, n, 127), -1);
    CHECK_INT(_libssh2_bearssl_rsa_new(session, &rsa, e, 1, n, 513), -1);
    CHECK_INT(_libssh2_bearssl_rsa_new(session, &rsa, e, 9, n, 256), -1);
    CHECK_INT(_libssh2_bearssl_rsa_new(session, &rsa, e + 1, 7, n, 256), -1);
    CHECK_INT(_libssh2_bearssl_rsa_new(session, &rsa, e, 1, n, 256), 0);
    _libssh2_rsa_free(rsa);
    end_session(session, &l);
}

/* --- NIST curves ---------------------------------------------------------- */

static const struct {
    libssh2_curve_type type;
    const char *name;
    size_t len;
    const EVP_MD *(*md)(void);
} curves[] = {
    {LIBSSH2_EC_CURVE_NISTP256, "P-256", 32, EVP_sha256},
    {LIBSSH2_EC_CURVE_NISTP384, "P-384", 48, EVP_sha384},
    {LIBSSH2_EC_CURVE_NISTP521, "P-521", 66, EVP_sha512},
};

static size_t evp_point(EVP_PKEY *key, unsigned char *out, size_t cap)
{
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, cap,
                                        &cap) != 1) {
        abort();
    }
    return cap;
}

static EVP_PKEY *evp_from_point(size_t which, unsigned char *point, size_t len)
{
    OSSL_PARAM params[3];
    EVP_PKEY_CTX *const ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    char name[16];

    snprintf(name, sizeof name, "%s", curves[which].name);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 name, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  point, len);
    params[2] = OSSL_PARAM_construct_end();
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        abort();
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static size_t evp_derive(EVP_PKEY *mine, EVP_PKEY *peer, unsigned char *out,
                         size_t cap)
{
    EVP_PKEY_CTX *const ctx = EVP_PKEY_CTX_new(mine, NULL);

    if (EVP_PKEY_derive_init(ctx) != 1 ||
        EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
        EVP_PKEY_derive(ctx, out, &cap) != 1) {
        abort();
    }
    EVP_PKEY_CTX_free(ctx);
    return cap;
}

static bool bn_is(const _libssh2_bn *k, const unsigned char *bytes, size_t len)
{
    skip_zeros(&bytes, &len);
    return k->len == len && memcmp(k->bytes, bytes, len) == 0;
}

static void check_ecdh(LIBSSH2_SESSION *session, size_t which)
{
    EVP_PKEY *const theirs = EVP_EC_gen(curves[which].name);
    EVP_PKEY *ours;
    _libssh2_ec_key *key = NULL;
    unsigned char *octets = NULL;
    unsigned char point[160];
    unsigned char want[80];
    _libssh2_bn *k = _libssh2_bn_init();
    size_t len = 0;

    CHECK_INT(_libssh2_ecdsa_create_key(session, &key, &octets, &len,
                                        curves[which].type),
              0);
    CHECK_INT(len, 1 + 2 * curves[which].len);
    ours = evp_from_point(which, octets, len);
    len = evp_point(theirs, point, sizeof point);
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len), 0);
    CHECK(bn_is(k, want, evp_derive(theirs, ours, want, sizeof want)));

    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len - 1), -1);
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len + 1), -1);
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, 0), -1);
    point[0] = 2;
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len), -1);
    point[0] = 4;
    point[len - 1] ^= 1; /* off the curve */
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len), -1);
    memset(point + 1, 0, len - 1);
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len), -1);
    memset(point + 1, 0xff, len - 1);
    CHECK_INT(_libssh2_ecdh_gen_k(&k, key, point, len), -1);
    _libssh2_ecdsa_free(key);
    _libssh2_bn_free(k);
    _libssh2_bearssl_free(session, octets, EC_MAX_POINT_LEN);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(ours);
}

static void test_ecdh(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    size_t i;

    for (i = 0; i < 24; i++) {
        check_ecdh(session, i % 3);
    }
    end_session(session, &l);
}

/* Both numbers of a signature, each as an mpint. */
typedef struct ec_sig {
    unsigned char r[70];
    unsigned char s[70];
    size_t r_len;
    size_t s_len;
} ec_sig;

static void ec_sign(EVP_PKEY *key, const EVP_MD *md, const unsigned char *m,
                    size_t len, ec_sig *sig)
{
    unsigned char der[160];
    const unsigned char *at = der;
    const size_t n = evp_sign(key, md, m, len, der, sizeof der);
    ECDSA_SIG *const parts = d2i_ECDSA_SIG(NULL, &at, (long)n);

    sig->r[0] = 0;
    sig->s[0] = 0;
    sig->r_len = 1 + (size_t)BN_bn2bin(ECDSA_SIG_get0_r(parts), sig->r + 1);
    sig->s_len = 1 + (size_t)BN_bn2bin(ECDSA_SIG_get0_s(parts), sig->s + 1);
    ECDSA_SIG_free(parts);
}

static int ec_verify(libssh2_ecdsa_ctx *ec, const ec_sig *sig,
                     const unsigned char *m, size_t len)
{
    return _libssh2_ecdsa_verify(ec, sig->r, sig->r_len, sig->s, sig->s_len, m,
                                 len);
}

static void check_ecdsa_refused(libssh2_ecdsa_ctx *ec, const ec_sig *good,
                                const unsigned char *m, size_t m_len)
{
    size_t order_len = 0;
    const unsigned char *const order =
        br_ec_get_default()->order((int)ec->curve, &order_len);
    ec_sig bad;

    CHECK_INT(ec_verify(ec, good, m, m_len - 1), -1);
    bad = *good;
    bad.r[bad.r_len - 1] ^= 1;
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
    bad = *good;
    bad.s[bad.s_len / 2] ^= 0x10;
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
    bad = *good;
    bad.r_len = 0;
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
    bad = *good;
    memset(bad.s, 0, sizeof bad.s);
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
    bad = *good;
    memset(bad.r, 0, sizeof bad.r);
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
    bad = *good;
    memcpy(bad.s, order, order_len);
    bad.s_len = order_len;
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
    bad = *good;
    memset(bad.r, 0xff, sizeof bad.r);
    bad.r_len = sizeof bad.r;
    CHECK_INT(ec_verify(ec, &bad, m, m_len), -1);
}

static void check_ecdsa(LIBSSH2_SESSION *session, size_t which)
{
    EVP_PKEY *const key = EVP_EC_gen(curves[which].name);
    libssh2_ecdsa_ctx *ec = NULL;
    unsigned char point[160];
    unsigned char m[150];
    ec_sig sig;
    const size_t len = evp_point(key, point, sizeof point);

    random_bytes(m, sizeof m);
    CHECK_INT(_libssh2_ecdsa_curve_name_with_octal_new(&ec, point, len,
                                                       curves[which].type),
              0);
    CHECK_INT(_libssh2_ecdsa_get_curve_type(ec), curves[which].type);
    ec_sign(key, curves[which].md(), m, sizeof m, &sig);
    CHECK_INT(ec_verify(ec, &sig, m, sizeof m), 0);
    check_ecdsa_refused(ec, &sig, m, sizeof m);
    ec->point[len - 1] ^= 1; /* a key off the curve verifies nothing */
    CHECK_INT(ec_verify(ec, &sig, m, sizeof m), -1);
    _libssh2_ecdsa_free(ec);
    ec = NULL;
    CHECK_INT(_libssh2_ecdsa_curve_name_with_octal_new(&ec, point, len - 2,
                                                       curves[which].type),
              -1);
    point[0] = 3;
    CHECK_INT(_libssh2_ecdsa_curve_name_with_octal_new(&ec, point, len,
                                                       curves[which].type),
              -1);
    EVP_PKEY_free(key);
}

static void test_ecdsa(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    size_t i;

    for (i = 0; i < 24; i++) {
        check_ecdsa(session, i % 3);
    }
    end_session(session, &l);
}

/* --- Curve25519 and Ed25519 ----------------------------------------------- */

/* RFC 7748 section 6.1 */
static void test_x25519_rfc(void)
{
    unsigned char alice[32];
    unsigned char bob_public[32];
    unsigned char want[32];
    unsigned char pub[32];
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    _libssh2_bn *k = _libssh2_bn_init();

    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
          alice, 32);
    unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
          want, 32);
    CHECK(x25519_public(pub, alice));
    CHECK_BYTES(pub, want, 32);
    unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
          bob_public, 32);
    unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
          want, 32);
    CHECK_INT(_libssh2_curve25519_gen_k(&k, alice, bob_public), 0);
    CHECK(bn_is(k, want, 32));
    _libssh2_bn_free(k);
    end_session(session, &l);
}

static void test_x25519_openssl(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    _libssh2_bn *k = _libssh2_bn_init();
    int i;

    for (i = 0; i < 20; i++) {
        EVP_PKEY *const theirs = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
        EVP_PKEY *ours;
        uint8_t *pub = NULL;
        uint8_t *secret = NULL;
        unsigned char point[32];
        unsigned char want[32];

        CHECK_INT(_libssh2_curve25519_new(session, &pub, &secret), 0);
        ours = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, pub, 32);
        evp_point(theirs, point, sizeof point);
        CHECK_INT(_libssh2_curve25519_gen_k(&k, secret, point), 0);
        CHECK(bn_is(k, want, evp_derive(theirs, ours, want, sizeof want)));
        _libssh2_bearssl_free(session, pub, 32);
        _libssh2_bearssl_free(session, secret, 32);
        EVP_PKEY_free(theirs);
        EVP_PKEY_free(ours);
    }
    _libssh2_bn_free(k);
    end_session(session, &l);
}

/* One member of a JSON object written one member a line, as hex. */
static bool json_hex(const char *line, const char *name, unsigned char *out)
{
    char hex[65];
    char format[40];

    snprintf(format, sizeof format, " \"%s\" : \"%%64[0-9a-f]\"", name);
    return sscanf(line, format, hex) == 1 && unhex(hex, out, 32) == 32;
}

/* Wycheproof: every result is computed, but for the all-zero one. */
static void test_x25519_wycheproof(void)
{
    static const unsigned char zero[32];
    const char *const vectors = getenv("EICE_VECTORS");
    unsigned char pub[32];
    unsigned char secret[32];
    unsigned char shared[32];
    char line[4096];
    int count = 0;
    FILE *file;
    ledger l;
    LIBSSH2_SESSION *session;
    _libssh2_bn *k;

    if (vectors == NULL) {
        SKIP("EICE_VECTORS does not name the vectors' directory");
    }
    snprintf(line, sizeof line, "%s/wycheproof/x25519_test.json", vectors);
    file = fopen(line, "r");
    if (file == NULL) {
        SKIP("no wycheproof/x25519_test.json in EICE_VECTORS");
    }
    session = new_session(&l);
    k = _libssh2_bn_init();
    while (fgets(line, sizeof line, file) != NULL) {
        json_hex(line, "public", pub);
        json_hex(line, "private", secret);
        if (json_hex(line, "shared", shared)) {
            const bool usable = memcmp(shared, zero, 32) != 0;

            CHECK_INT(_libssh2_curve25519_gen_k(&k, secret, pub),
                      usable ? 0 : -1);
            CHECK(!usable || bn_is(k, shared, 32));
            count++;
        }
    }
    fclose(file);
    CHECK_INT(count, 518);
    _libssh2_bn_free(k);
    end_session(session, &l);
}

static void test_ed25519(void)
{
    EVP_PKEY *const key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    unsigned char m[200];
    unsigned char sig[64];
    unsigned char pub[32];
    libssh2_ed25519_ctx *ed = NULL;
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);

    random_bytes(m, sizeof m);
    evp_sign(key, NULL, m, sizeof m, sig, sizeof sig);
    evp_point(key, pub, sizeof pub);
    CHECK_INT(_libssh2_ed25519_new_public(&ed, session, pub, 31), -1);
    CHECK_INT(_libssh2_ed25519_new_public(&ed, session, pub, 32), 0);
    CHECK_INT(_libssh2_ed25519_verify(ed, sig, 64, m, sizeof m), 0);
    CHECK_INT(_libssh2_ed25519_verify(ed, sig, 63, m, sizeof m), -1);
    CHECK_INT(_libssh2_ed25519_verify(ed, sig, 64, m, sizeof m - 1), -1);
    sig[10] ^= 1;
    CHECK_INT(_libssh2_ed25519_verify(ed, sig, 64, m, sizeof m), -1);
    _libssh2_ed25519_free(ed);
    EVP_PKEY_free(key);
    end_session(session, &l);
}

/* --- when things run out -------------------------------------------------- */

/* Tries every function that takes memory or random bytes; true when all went
 * well.  Whatever fails, nothing is lost. */
static bool make_everything(LIBSSH2_SESSION *session)
{
    static const unsigned char point[65] = {4};
    unsigned char big[256];
    libssh2_rsa_ctx *rsa = NULL;
    libssh2_ecdsa_ctx *ec = NULL;
    libssh2_ed25519_ctx *ed = NULL;
    _libssh2_ec_key *key = NULL;
    unsigned char *octets = NULL;
    uint8_t *pub = NULL;
    uint8_t *secret = NULL;
    _libssh2_dh_ctx x = NULL;
    size_t len = 0;
    bool ok = true;
    _libssh2_bn *const p = _libssh2_bn_init();
    _libssh2_bn *const g = _libssh2_bn_init();
    _libssh2_bn *const e = _libssh2_bn_init();

    memset(big, 0xff, sizeof big);
    ok &= _libssh2_bn_from_bin(p, sizeof big, big) == 0;
    ok &= _libssh2_bn_set_word(g, 2) == 0;
    ok &= libssh2_dh_key_pair(&x, e, g, p, 0, NULL) == 0;
    ok &= _libssh2_bearssl_rsa_new(session, &rsa, big, 3, big, 256) == 0;
    ok &= _libssh2_bearssl_ec_new(session, &ec, point, 65,
                                  LIBSSH2_EC_CURVE_NISTP256) == 0;
    ok &= _libssh2_ed25519_new_public(&ed, session, big, 32) == 0;
    ok &= _libssh2_ecdsa_create_key(session, &key, &octets, &len,
                                    LIBSSH2_EC_CURVE_NISTP256) == 0;
    ok &= _libssh2_curve25519_new(session, &pub, &secret) == 0;
    libssh2_dh_dtor(&x);
    _libssh2_bn_free(p);
    _libssh2_bn_free(g);
    _libssh2_bn_free(e);
    _libssh2_rsa_free(rsa);
    _libssh2_ecdsa_free(ec);
    _libssh2_ed25519_free(ed);
    _libssh2_ecdsa_free(key);
    _libssh2_bearssl_free(session, octets, EC_MAX_POINT_LEN);
    _libssh2_bearssl_free(session, pub, 32);
    _libssh2_bearssl_free(session, secret, 32);
    return ok;
}

static void test_no_memory(void)
{
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);
    size_t n;
    bool ok = false;

    for (n = 0; n < 100 && !ok; n++) {
        l.fail_after = n;
        ok = make_everything(session);
        CHECK_INT(l.live, 0);
    }
    CHECK(ok);
    CHECK_INT(n, 12); /* eleven allocations */
    end_session(session, &l);
}

static void test_no_random(void)
{
    _libssh2_ec_key *key = NULL;
    unsigned char *octets = NULL;
    uint8_t *pub = NULL;
    uint8_t *secret = NULL;
    size_t len = 0;
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);

    l.no_random = true;
    CHECK(!make_everything(session));
    CHECK_INT(_libssh2_ecdsa_create_key(session, &key, &octets, &len,
                                        LIBSSH2_EC_CURVE_NISTP384),
              -1);
    CHECK(key == NULL && octets == NULL);
    CHECK_INT(_libssh2_curve25519_new(session, &pub, &secret), -1);
    CHECK(pub == NULL && secret == NULL);
    end_session(session, &l);
}

static void test_user_keys(void)
{
    unsigned char rsa[] = "ssh-rsa";
    const char *algorithms;
    ledger l;
    LIBSSH2_SESSION *const session = new_session(&l);

    algorithms = _libssh2_supported_key_sign_algorithms(session, rsa, 7);
    CHECK(algorithms != NULL &&
          strcmp(algorithms, "rsa-sha2-512,rsa-sha2-256") == 0);
    CHECK(_libssh2_supported_key_sign_algorithms(session, rsa, 6) == NULL);
    CHECK_INT(_libssh2_pub_priv_keyfile(session, NULL),
              LIBSSH2_ERROR_METHOD_NOT_SUPPORTED);
    CHECK_INT(libssh2_session_last_errno(session),
              LIBSSH2_ERROR_METHOD_NOT_SUPPORTED);
    end_session(session, &l);
}

static const test_case tests[] = {
    {"backend ctr", test_ctr},
    {"backend ctr carry", test_ctr_carry},
    {"backend gcm", test_gcm},
    {"backend gcm tampered", test_gcm_tampered},
    {"backend gcm bad length", test_gcm_bad_length},
    {"backend hash", test_hash},
    {"backend hmac", test_hmac},
    {"backend numbers", test_bn},
    {"backend dh", test_dh},
    {"backend dh refused", test_dh_refused},
    {"backend rsa", test_rsa},
    {"backend rsa short signature", test_rsa_short_signature},
    {"backend rsa refused", test_rsa_refused},
    {"backend ecdh", test_ecdh},
    {"backend ecdsa", test_ecdsa},
    {"backend x25519 rfc 7748", test_x25519_rfc},
    {"backend x25519 openssl", test_x25519_openssl},
    {"backend x25519 wycheproof", test_x25519_wycheproof},
    {"backend ed25519", test_ed25519},
    {"backend no memory", test_no_memory},
    {"backend no random", test_no_random},
    {"backend user keys", test_user_keys},
};

int main(int argc, char **argv)
{
    const char *const seed = getenv("TEST_SEED");

    random_state = seed != NULL ? strtoull(seed, NULL, 0)
                                : (uint64_t)time(NULL) * 2654435761u;
    printf("TEST_SEED=%llu\n", (unsigned long long)random_state);
    return test_main(tests, sizeof tests / sizeof *tests, argc, argv);
}
