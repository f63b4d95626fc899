/*
 * A BearSSL backend for libssh2: the functions.  What they promise stands in
 * libssh2_bearssl.h and in libssh2's src/crypto.h.
 *
 * Return values follow libssh2: hash and HMAC functions answer 1 for success
 * and 0 for failure, all others 0 for success and -1 for failure.
 *
 * MIT licence, see LICENSE.
 */
#include "libssh2_bearssl.h"

/* --- memory --------------------------------------------------------------- */

void _libssh2_bearssl_free(LIBSSH2_SESSION *session, void *ptr, size_t len)
{
    if (ptr != NULL) {
        _libssh2_explicit_zero(ptr, len);
        LIBSSH2_FREE(session, ptr);
    }
}

/* Big-endian numbers come with leading zeros: one for the sign of an mpint
 * (RFC 4251 section 5), more from careless writers. */
static void skip_zeros(const unsigned char **bytes, size_t *len)
{
    while (*len > 0 && **bytes == 0) {
        (*bytes)++;
        (*len)--;
    }
}

/* Writes a number right-aligned into a field of field_len bytes. */
static bool pad_left(unsigned char *field, size_t field_len,
                     const unsigned char *bytes, size_t len)
{
    skip_zeros(&bytes, &len);
    if (len > field_len) {
        return false;
    }
    memset(field, 0, field_len - len);
    if (len > 0) {
        memcpy(field + field_len - len, bytes, len);
    }
    return true;
}

/* --- hashes --------------------------------------------------------------- */

int _libssh2_bearssl_hash_final(const br_hash_class **ctx, void *out)
{
    const br_hash_class *const hash = *ctx;

    hash->out(ctx, out);
    _libssh2_explicit_zero((void *)ctx, hash->context_size);
    return 1;
}

/* --- HMAC ----------------------------------------------------------------- */

static int hmac_init(libssh2_hmac_ctx *ctx, const br_hash_class *hash,
                     const void *key, size_t key_len)
{
    br_hmac_key_init(&ctx->key, hash, key, key_len);
    br_hmac_init(&ctx->mac, &ctx->key, 0);
    return 1;
}

int _libssh2_hmac_ctx_init(libssh2_hmac_ctx *ctx)
{
    memset(ctx, 0, sizeof *ctx);
    return 1;
}

/* HMAC-SHA1 is sound and libssh2 lists it unconditionally.  It ignores a
 * failure here when it receives, so this must work, wanted or not. */
int _libssh2_hmac_sha1_init(libssh2_hmac_ctx *ctx, void *key, size_t keylen)
{
    return hmac_init(ctx, &br_sha1_vtable, key, keylen);
}

int _libssh2_hmac_sha256_init(libssh2_hmac_ctx *ctx, void *key, size_t keylen)
{
    return hmac_init(ctx, &br_sha256_vtable, key, keylen);
}

int _libssh2_hmac_sha512_init(libssh2_hmac_ctx *ctx, void *key, size_t keylen)
{
    return hmac_init(ctx, &br_sha512_vtable, key, keylen);
}

int _libssh2_hmac_update(libssh2_hmac_ctx *ctx, const void *data,
                         size_t datalen)
{
    br_hmac_update(&ctx->mac, data, datalen);
    return 1;
}

int _libssh2_hmac_final(libssh2_hmac_ctx *ctx, void *data)
{
    br_hmac_out(&ctx->mac, data);
    return 1;
}

void _libssh2_hmac_cleanup(libssh2_hmac_ctx *ctx)
{
    _libssh2_explicit_zero(ctx, sizeof *ctx);
}

/* --- numbers -------------------------------------------------------------- */

_libssh2_bn *_libssh2_bearssl_bn_new(LIBSSH2_SESSION *session)
{
    _libssh2_bn *const bn = LIBSSH2_ALLOC(session, sizeof *bn);

    if (bn != NULL) {
        bn->len = 0;
    }
    return bn;
}

void _libssh2_bearssl_bn_free(LIBSSH2_SESSION *session, _libssh2_bn *bn)
{
    _libssh2_bearssl_free(session, bn, sizeof *bn);
}

int _libssh2_bearssl_bn_set_word(_libssh2_bn *bn, unsigned char word)
{
    return _libssh2_bearssl_bn_from_bin(bn, &word, 1);
}

int _libssh2_bearssl_bn_from_bin(_libssh2_bn *bn, const unsigned char *bin,
                                 size_t len)
{
    if (bn == NULL) {
        return -1;
    }
    skip_zeros(&bin, &len);
    if (len > sizeof bn->bytes) {
        return -1;
    }
    if (len > 0) {
        memcpy(bn->bytes, bin, len);
    }
    bn->len = len;
    return 0;
}

int _libssh2_bearssl_bn_to_bin(const _libssh2_bn *bn, unsigned char *bin)
{
    if (bn == NULL || bn->len == 0) {
        return -1;
    }
    memcpy(bin, bn->bytes, bn->len);
    return 0;
}

size_t _libssh2_bearssl_bn_bytes(const _libssh2_bn *bn)
{
    return bn != NULL ? bn->len : 0;
}

size_t _libssh2_bearssl_bn_bits(const _libssh2_bn *bn)
{
    size_t bits = 0;
    unsigned top;

    if (bn == NULL || bn->len == 0) {
        return 0;
    }
    for (top = bn->bytes[0]; top != 0; top >>= 1) {
        bits++;
    }
    return 8 * (bn->len - 1) + bits;
}

/* --- Diffie-Hellman ------------------------------------------------------- */

/* 512 bits: twice the strength of the best key a 4096-bit group can protect,
 * and more (NIST SP 800-56A rev. 3, appendix D). */
#define DH_EXPONENT_LEN 64

/* 1 < v < p - 1 (RFC 4253 section 8; the two ends generate nothing). */
static bool dh_value_ok(const _libssh2_bn *v, const _libssh2_bn *p)
{
    int order;

    if (_libssh2_bearssl_bn_bits(v) < 2 || v->len > p->len) {
        return false;
    }
    if (v->len < p->len) {
        return true;
    }
    order = memcmp(v->bytes, p->bytes, p->len - 1);
    if (order != 0) {
        return order < 0;
    }
    return v->bytes[p->len - 1] + 1 < p->bytes[p->len - 1];
}

static bool dh_group_ok(const _libssh2_bn *p)
{
    const size_t bits = _libssh2_bearssl_bn_bits(p);

    return bits >= LIBSSH2_DH_GEX_MINGROUP && bits <= LIBSSH2_DH_GEX_MAXGROUP &&
           (p->bytes[p->len - 1] & 1) != 0;
}

/* BearSSL's RSA public-key function is a modular exponentiation that takes
 * the same time for every exponent of a length. */
static int dh_power(_libssh2_bn *result, const _libssh2_bn *base,
                    _libssh2_bn *exponent, _libssh2_bn *p)
{
    const br_rsa_public power = br_rsa_public_get_default();
    unsigned char value[_LIBSSH2_BEARSSL_BN_MAX];
    br_rsa_public_key key;
    int rc = -1;

    if (!dh_group_ok(p) || !dh_value_ok(base, p)) {
        return -1;
    }
    key.n = p->bytes;
    key.nlen = p->len;
    key.e = exponent->bytes;
    key.elen = exponent->len;
    if (pad_left(value, p->len, base->bytes, base->len) &&
        power(value, p->len, &key) != 0) {
        rc = _libssh2_bearssl_bn_from_bin(result, value, p->len);
    }
    _libssh2_explicit_zero(value, sizeof value);
    return rc;
}

int _libssh2_bearssl_dh_key_pair(LIBSSH2_SESSION *session, _libssh2_dh_ctx *dh,
                                 _libssh2_bn *pub, const _libssh2_bn *g,
                                 _libssh2_bn *p)
{
    _libssh2_bn *const x = _libssh2_bearssl_bn_new(session);

    *dh = x;
    if (x == NULL || pub == NULL) {
        return -1;
    }
    if (eice_libssh2_random(session->abstract, x->bytes, DH_EXPONENT_LEN)) {
        return -1;
    }
    x->len = DH_EXPONENT_LEN;
    if (dh_power(pub, g, x, p) != 0) {
        return -1;
    }
    return dh_value_ok(pub, p) ? 0 : -1;
}

int _libssh2_bearssl_dh_secret(_libssh2_dh_ctx *dh, _libssh2_bn *secret,
                               const _libssh2_bn *f, _libssh2_bn *p)
{
    if (secret == NULL || *dh == NULL) {
        return -1;
    }
    if (dh_power(secret, f, *dh, p) != 0 || !dh_value_ok(secret, p)) {
        secret->len = 0;
        return -1;
    }
    return 0;
}

void _libssh2_bearssl_dh_free(LIBSSH2_SESSION *session, _libssh2_dh_ctx *dh)
{
    _libssh2_bearssl_bn_free(session, *dh);
    *dh = NULL;
}

/* --- RSA ------------------------------------------------------------------ */

#define RSA_MIN_LEN 128 /* 1024 bits; the caller may well want more */

int _libssh2_bearssl_rsa_new(LIBSSH2_SESSION *session, libssh2_rsa_ctx **rsa,
                             const unsigned char *e, size_t e_len,
                             const unsigned char *n, size_t n_len)
{
    libssh2_rsa_ctx *key;

    skip_zeros(&e, &e_len);
    skip_zeros(&n, &n_len);
    if (n_len < RSA_MIN_LEN || n_len > sizeof key->n || e_len == 0 ||
        e_len > sizeof key->e) {
        return -1;
    }
    key = LIBSSH2_ALLOC(session, sizeof *key);
    if (key == NULL) {
        return -1;
    }
    memcpy(key->n, n, n_len);
    key->n_len = n_len;
    memcpy(key->e, e, e_len);
    key->e_len = e_len;
    *rsa = key;
    return 0;
}

/* Undoes the signature and checks its padding; hash receives the digest. */
static bool rsa_open(libssh2_rsa_ctx *rsa, const unsigned char *sig,
                     size_t sig_len, unsigned char *hash, size_t hash_len)
{
    const br_rsa_pkcs1_vrfy open = br_rsa_pkcs1_vrfy_get_default();
    const unsigned char *const oid =
        hash_len == br_sha1_SIZE     ? BR_HASH_OID_SHA1
        : hash_len == br_sha256_SIZE ? BR_HASH_OID_SHA256
                                     : BR_HASH_OID_SHA512;
    unsigned char padded[_LIBSSH2_BEARSSL_BN_MAX];
    br_rsa_public_key key;

    key.n = rsa->n;
    key.nlen = rsa->n_len;
    key.e = rsa->e;
    key.elen = rsa->e_len;
    /* some servers drop leading zeros of the signature */
    return pad_left(padded, rsa->n_len, sig, sig_len) &&
           open(padded, rsa->n_len, oid, hash_len, &key, hash) != 0;
}

static bool hash_message(unsigned char *out, size_t hash_len,
                         const unsigned char *m, size_t m_len)
{
    br_sha1_context sha1;
    br_sha256_context sha256;
    br_sha512_context sha512;

    switch (hash_len) {
    case br_sha1_SIZE:
        br_sha1_init(&sha1);
        br_sha1_update(&sha1, m, m_len);
        br_sha1_out(&sha1, out);
        return true;
    case br_sha256_SIZE:
        br_sha256_init(&sha256);
        br_sha256_update(&sha256, m, m_len);
        br_sha256_out(&sha256, out);
        return true;
    case br_sha384_SIZE:
        br_sha384_init(&sha512);
        br_sha384_update(&sha512, m, m_len);
        br_sha384_out(&sha512, out);
        return true;
    case br_sha512_SIZE:
        br_sha512_init(&sha512);
        br_sha512_update(&sha512, m, m_len);
        br_sha512_out(&sha512, out);
        return true;
    default:
        return false;
    }
}

int _libssh2_rsa_sha2_verify(libssh2_rsa_ctx *rsa, size_t hash_len,
                             const unsigned char *sig, size_t sig_len,
                             const unsigned char *m, size_t m_len)
{
    unsigned char expected[br_sha512_SIZE];
    unsigned char signed_hash[br_sha512_SIZE];

    if (hash_len == br_sha384_SIZE ||
        !hash_message(expected, hash_len, m, m_len) ||
        !rsa_open(rsa, sig, sig_len, signed_hash, hash_len)) {
        return -1;
    }
    return memcmp(expected, signed_hash, hash_len) == 0 ? 0 : -1;
}

/* For host keys of type "ssh-rsa", where somebody asked for them. */
int _libssh2_rsa_sha1_verify(libssh2_rsa_ctx *rsa, const unsigned char *sig,
                             size_t sig_len, const unsigned char *m,
                             size_t m_len)
{
    return _libssh2_rsa_sha2_verify(rsa, br_sha1_SIZE, sig, sig_len, m, m_len);
}

/* --- ECDSA and ECDH over the NIST curves ---------------------------------- */

/* Bytes of a coordinate, which is also the length of the order. */
static size_t field_len(libssh2_curve_type curve)
{
    switch (curve) {
    case LIBSSH2_EC_CURVE_NISTP256:
        return 32;
    case LIBSSH2_EC_CURVE_NISTP384:
        return 48;
    case LIBSSH2_EC_CURVE_NISTP521:
        return 66;
    default:
        return 0;
    }
}

#define X25519_LEN 32

/* Of the NIST curves only the uncompressed form is in use (RFC 5656 section
 * 3.1); a point of Curve25519 is its x (RFC 7748 section 5). */
static bool point_form_ok(libssh2_curve_type curve, const unsigned char *point,
                          size_t len)
{
    if (curve == LIBSSH2_EC_CURVE_25519) {
        return len == X25519_LEN;
    }
    return len == 1 + 2 * field_len(curve) && point[0] == 0x04;
}

static libssh2_ecdsa_ctx *ec_alloc(LIBSSH2_SESSION *session,
                                   libssh2_curve_type curve)
{
    libssh2_ecdsa_ctx *const ec = LIBSSH2_ALLOC(session, sizeof *ec);

    if (ec != NULL) {
        memset(ec, 0, sizeof *ec);
        ec->curve = curve;
    }
    return ec;
}

int _libssh2_bearssl_ec_new(LIBSSH2_SESSION *session, libssh2_ecdsa_ctx **ec,
                            const unsigned char *point, size_t len,
                            libssh2_curve_type curve)
{
    libssh2_ecdsa_ctx *key;

    if (!point_form_ok(curve, point, len)) {
        return -1;
    }
    key = ec_alloc(session, curve);
    if (key == NULL) {
        return -1;
    }
    memcpy(key->point, point, len);
    key->point_len = len;
    *ec = key;
    return 0;
}

int _libssh2_ecdsa_verify(libssh2_ecdsa_ctx *ctx, const unsigned char *r,
                          size_t r_len, const unsigned char *s, size_t s_len,
                          const unsigned char *m, size_t m_len)
{
    const br_ecdsa_vrfy verify = br_ecdsa_vrfy_raw_get_default();
    const size_t n = field_len(ctx->curve);
    /* the hash goes with the curve (RFC 5656 section 6.2.1) */
    const size_t hash_len = n > br_sha512_SIZE ? br_sha512_SIZE : n;
    unsigned char hash[br_sha512_SIZE];
    unsigned char sig[2 * 66];
    br_ec_public_key key;

    skip_zeros(&r, &r_len);
    skip_zeros(&s, &s_len);
    if (r_len == 0 || s_len == 0 || !pad_left(sig, n, r, r_len) ||
        !pad_left(sig + n, n, s, s_len) ||
        !hash_message(hash, hash_len, m, m_len)) {
        return -1;
    }
    key.curve = (int)ctx->curve;
    key.q = ctx->point;
    key.qlen = ctx->point_len;
    return verify(br_ec_get_default(), hash, hash_len, &key, sig, 2 * n) != 0
               ? 0
               : -1;
}

/* A private scalar, uniform in [1, order - 1]. */
static bool ec_make_scalar(LIBSSH2_SESSION *session, _libssh2_ec_key *key)
{
    unsigned char seed[48];
    br_hmac_drbg_context drbg;

    if (eice_libssh2_random(session->abstract, seed, sizeof seed) != 0) {
        return false;
    }
    br_hmac_drbg_init(&drbg, &br_sha256_vtable, seed, sizeof seed);
    key->scalar_len = br_ec_keygen(&drbg.vtable, br_ec_get_default(), NULL,
                                   key->scalar, (int)key->curve);
    _libssh2_explicit_zero(&drbg, sizeof drbg);
    _libssh2_explicit_zero(seed, sizeof seed);
    return key->scalar_len > 0;
}

static bool ec_make_point(_libssh2_ec_key *key)
{
    br_ec_private_key secret;
    unsigned char point[BR_EC_KBUF_PUB_MAX_SIZE];

    secret.curve = (int)key->curve;
    secret.x = key->scalar;
    secret.xlen = key->scalar_len;
    key->point_len = br_ec_compute_pub(br_ec_get_default(), NULL, point,
                                       &secret);
    if (!point_form_ok(key->curve, point, key->point_len)) {
        return false;
    }
    memcpy(key->point, point, key->point_len);
    return true;
}

int _libssh2_ecdsa_create_key(LIBSSH2_SESSION *session,
                              _libssh2_ec_key **out_private_key,
                              unsigned char **out_public_key_octal,
                              size_t *out_public_key_octal_len,
                              libssh2_curve_type curve_type)
{
    _libssh2_ec_key *const key = ec_alloc(session, curve_type);
    unsigned char *point;

    if (key == NULL) {
        return -1;
    }
    point = LIBSSH2_ALLOC(session, EC_MAX_POINT_LEN);
    if (point == NULL || !ec_make_scalar(session, key) ||
        !ec_make_point(key)) {
        _libssh2_bearssl_free(session, point, EC_MAX_POINT_LEN);
        _libssh2_bearssl_free(session, key, sizeof *key);
        return -1;
    }
    memcpy(point, key->point, key->point_len);
    *out_public_key_octal = point;
    *out_public_key_octal_len = key->point_len;
    *out_private_key = key;
    return 0;
}

int _libssh2_ecdh_gen_k(_libssh2_bn **k, _libssh2_ec_key *private_key,
                        const unsigned char *server_public_key,
                        size_t server_public_key_len)
{
    const br_ec_impl *const ec = br_ec_get_default();
    const int curve = (int)private_key->curve;
    unsigned char point[EC_MAX_POINT_LEN];
    size_t x_at;
    size_t x_len;
    int rc = -1;

    if (!point_form_ok(private_key->curve, server_public_key,
                       server_public_key_len)) {
        return -1;
    }
    memcpy(point, server_public_key, server_public_key_len);
    x_at = ec->xoff(curve, &x_len);
    /* mul answers 0 for a point that is not on the curve */
    if (ec->mul(point, server_public_key_len, private_key->scalar,
                private_key->scalar_len, curve) != 0) {
        rc = _libssh2_bearssl_bn_from_bin(*k, point + x_at, x_len);
    }
    _libssh2_explicit_zero(point, sizeof point);
    return rc;
}

libssh2_curve_type _libssh2_ecdsa_get_curve_type(libssh2_ecdsa_ctx *ec_ctx)
{
    return ec_ctx->curve;
}

/* --- Curve25519 and Ed25519 ----------------------------------------------- */

static bool x25519_public(unsigned char *pub, const unsigned char *secret)
{
    return br_ec_get_default()->mulgen(pub, secret, X25519_LEN,
                                       BR_EC_curve25519) == X25519_LEN;
}

int _libssh2_curve25519_new(LIBSSH2_SESSION *session, uint8_t **out_public_key,
                            uint8_t **out_private_key)
{
    uint8_t *const secret = LIBSSH2_ALLOC(session, X25519_LEN);
    uint8_t *const pub = LIBSSH2_ALLOC(session, X25519_LEN);

    if (secret == NULL || pub == NULL ||
        eice_libssh2_random(session->abstract, secret, X25519_LEN) != 0 ||
        !x25519_public(pub, secret)) {
        _libssh2_bearssl_free(session, secret, X25519_LEN);
        _libssh2_bearssl_free(session, pub, X25519_LEN);
        return -1;
    }
    *out_public_key = pub;
    *out_private_key = secret;
    return 0;
}

int _libssh2_curve25519_gen_k(
    _libssh2_bn **k, uint8_t private_key[LIBSSH2_ED25519_KEY_LEN],
    uint8_t server_public_key[LIBSSH2_ED25519_KEY_LEN])
{
    unsigned char shared[X25519_LEN];
    unsigned any = 0;
    size_t i;
    int rc = -1;

    memcpy(shared, server_public_key, sizeof shared);
    if (br_ec_get_default()->mul(shared, sizeof shared, private_key, X25519_LEN,
                                 BR_EC_curve25519) != 0) {
        for (i = 0; i < sizeof shared; i++) {
            any |= shared[i];
        }
        /* RFC 8731 section 3: abort on the all-zero value; the bytes are
         * taken as a big-endian number */
        if (any != 0) {
            rc = _libssh2_bearssl_bn_from_bin(*k, shared, sizeof shared);
        }
    }
    _libssh2_explicit_zero(shared, sizeof shared);
    return rc;
}

int _libssh2_ed25519_new_public(libssh2_ed25519_ctx **ed_ctx,
                                LIBSSH2_SESSION *session,
                                const unsigned char *raw_pub_key,
                                const size_t key_len)
{
    libssh2_ed25519_ctx *key;

    if (key_len != sizeof key->public_key) {
        return -1;
    }
    key = LIBSSH2_ALLOC(session, sizeof *key);
    if (key == NULL) {
        return -1;
    }
    memcpy(key->public_key, raw_pub_key, key_len);
    *ed_ctx = key;
    return 0;
}

int _libssh2_ed25519_verify(libssh2_ed25519_ctx *ctx, const uint8_t *s,
                            size_t s_len, const uint8_t *m, size_t m_len)
{
    if (s_len != LIBSSH2_ED25519_SIG_LEN) {
        return -1;
    }
    return eice_ed25519_verify(s, ctx->public_key, m, m_len) ? 0 : -1;
}

/* --- AES in counter mode -------------------------------------------------- */

/*
 * libssh2 hands over 16 bytes at a time.  Making the key stream in batches
 * keeps AES-NI (or the bitsliced code, which does four blocks at once) busy;
 * a call is then little more than an exclusive or.
 *
 *     stream [ spent | ready for use      | not made ]
 *            0       used                 made       BATCH
 */

#define BATCH ((size_t)_LIBSSH2_BEARSSL_BATCH)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static const br_block_ctr_class *aes_best(void)
{
    const br_block_ctr_class *aes = br_aes_x86ni_ctr_get_vtable();

    if (aes == NULL) {
        aes = br_aes_pwr8_ctr_get_vtable();
    }
    if (aes == NULL) {
        aes = sizeof(size_t) >= 8 ? &br_aes_ct64_ctr_vtable
                                  : &br_aes_ct_ctr_vtable;
    }
    return aes;
}

/* Whole blocks only.  BearSSL counts in the last 32 bits: a run stops where
 * they wrap, for the carry into the other 96. */
static void ctr_apply(_libssh2_bearssl_ctr *c, unsigned char *data, size_t len)
{
    uint32_t low;
    uint64_t room;
    size_t n;
    size_t i;

    for (; len > 0; len -= n) {
        low = _libssh2_ntohu32(c->counter + 12);
        room = (((uint64_t)1 << 32) - low) * 16;
        n = len < room ? len : (size_t)room;
        low = c->aes.vtable->run(&c->aes.vtable, c->counter, low, data, n);
        _libssh2_htonu32(c->counter + 12, low);
        for (i = 12; low == 0 && i > 0 && ++c->counter[i - 1] == 0; i--) {
        }
        data += n;
    }
}

/* Makes key stream for want bytes, or as much of it as there is room for. */
static void ctr_make(_libssh2_bearssl_ctr *c, size_t want)
{
    c->made = (min_size(want, BATCH) + 15) & ~(size_t)15;
    c->used = 0;
    memset(c->stream, 0, c->made);
    ctr_apply(c, c->stream, c->made);
}

static void xor_bytes(unsigned char *data, const unsigned char *stream,
                      size_t len)
{
    uint64_t a;
    uint64_t b;

    for (; len >= sizeof a; len -= sizeof a) {
        memcpy(&a, data, sizeof a);
        memcpy(&b, stream, sizeof b);
        a ^= b;
        memcpy(data, &a, sizeof a);
        data += sizeof a;
        stream += sizeof a;
    }
    for (; len > 0; len--) {
        *data++ ^= *stream++;
    }
}

/* Encrypts or decrypts.  ahead (>= len) is how much more of the key stream is
 * certain to be used. */
static void ctr_crypt(_libssh2_bearssl_ctr *c, unsigned char *data, size_t len,
                      size_t ahead)
{
    size_t n;

    while (len > 0) {
        if (c->used < c->made) {
            n = min_size(len, c->made - c->used);
            xor_bytes(data, c->stream + c->used, n);
            c->used += n;
        } else if (len >= BATCH) {
            n = len & ~(size_t)15;
            ctr_apply(c, data, n);
        } else {
            ctr_make(c, ahead);
            continue;
        }
        data += n;
        len -= n;
        ahead -= n;
    }
}

/* --- AES-GCM, packet by packet (RFC 5647) --------------------------------- */

#define GCM_TAG_LEN 16
#define GCM_AAD_LEN 4

static br_ghash ghash_best(void)
{
    br_ghash ghash = br_ghash_pclmul_get();

    if (ghash == NULL) {
        ghash = br_ghash_pwr8_get();
    }
    if (ghash == NULL) {
        ghash = sizeof(size_t) >= 8 ? &br_ghash_ctmul64 : &br_ghash_ctmul;
    }
    return ghash;
}

static void gcm_hash_waiting(_libssh2_bearssl_gcm *g)
{
    g->ghash(g->y, g->h, g->waiting, g->waiting_len);
    g->waiting_len = 0;
}

/* Takes ciphertext into the hash, in batches for the same reason. */
static void gcm_hash(_libssh2_bearssl_gcm *g, const unsigned char *data,
                     size_t len)
{
    size_t n;

    while (len > 0) {
        if (g->waiting_len == 0 && len >= BATCH) {
            n = len & ~(size_t)15;
            g->ghash(g->y, g->h, data, n);
        } else {
            n = min_size(len, BATCH - g->waiting_len);
            memcpy(g->waiting + g->waiting_len, data, n);
            g->waiting_len += n;
        }
        if (g->waiting_len == BATCH) {
            gcm_hash_waiting(g);
        }
        data += n;
        len -= n;
    }
}

/*
 * Begins a packet with its first four bytes, the length in clear, which are
 * the additional data.  A length that cannot be right is only noted: libssh2
 * frees a stale pointer when the first block of a packet fails (transport.c,
 * decrypt), so the answer waits for the next call, which always comes because
 * at least the tag is outstanding.
 */
static void gcm_begin(_libssh2_bearssl_cipher *c, const unsigned char *aad)
{
    _libssh2_bearssl_gcm *const g = &c->gcm;

    g->length = _libssh2_ntohu32(aad);
    g->failed = g->length == 0 || g->length % 16 != 0 ||
                g->length > LIBSSH2_PACKET_MAXPAYLOAD;
    g->left = g->length;
    g->tag_len = 0;
    g->waiting_len = 0;
    memset(g->y, 0, sizeof g->y);
    g->ghash(g->y, g->h, aad, GCM_AAD_LEN);

    memcpy(c->ctr.counter, g->iv, sizeof g->iv);
    memset(c->ctr.counter + 12, 0, 3);
    c->ctr.counter[15] = 1;
    ctr_make(&c->ctr, GCM_TAG_LEN + (size_t)g->left);
    memcpy(g->tag_mask, c->ctr.stream, GCM_TAG_LEN);
    c->ctr.used = GCM_TAG_LEN;
}

static void gcm_data(_libssh2_bearssl_cipher *c, unsigned char *data,
                     size_t len)
{
    if (c->gcm.encrypt) {
        ctr_crypt(&c->ctr, data, len, c->gcm.left);
        gcm_hash(&c->gcm, data, len);
    } else {
        gcm_hash(&c->gcm, data, len);
        ctr_crypt(&c->ctr, data, len, c->gcm.left);
    }
    c->gcm.left -= (uint32_t)len;
}

/* Computes the tag and moves on to the next packet's nonce: the last eight
 * bytes count the invocations (RFC 5647 section 7.1). */
static void gcm_end(_libssh2_bearssl_gcm *g, unsigned char tag[GCM_TAG_LEN])
{
    unsigned char lengths[16];
    size_t i;

    gcm_hash_waiting(g);
    memset(lengths, 0, sizeof lengths);
    lengths[7] = 8 * GCM_AAD_LEN;
    _libssh2_htonu32(lengths + 12, 8 * g->length);
    g->ghash(g->y, g->h, lengths, sizeof lengths);
    for (i = 0; i < GCM_TAG_LEN; i++) {
        tag[i] = g->y[i] ^ g->tag_mask[i];
    }
    for (i = sizeof g->iv; i > 4; i--) {
        if (++g->iv[i - 1] != 0) {
            break;
        }
    }
}

static int gcm_tag_check(_libssh2_bearssl_gcm *g)
{
    unsigned char expected[GCM_TAG_LEN];
    unsigned differ = 0;
    size_t i;

    gcm_end(g, expected);
    for (i = 0; i < GCM_TAG_LEN; i++) {
        differ |= (unsigned)(expected[i] ^ g->tag[i]);
    }
    return differ == 0 ? 0 : -1;
}

/* What follows the ciphertext: the tag is written, or collected and then
 * compared, however many calls it is spread over. */
static int gcm_tag(_libssh2_bearssl_gcm *g, unsigned char *block, size_t len)
{
    if (len > GCM_TAG_LEN - g->tag_len) {
        return -1;
    }
    if (g->encrypt) {
        if (len != GCM_TAG_LEN) {
            return -1;
        }
        gcm_end(g, block);
        g->tag_len = GCM_TAG_LEN;
        return 0;
    }
    memcpy(g->tag + g->tag_len, block, len);
    g->tag_len += len;
    return g->tag_len == GCM_TAG_LEN ? gcm_tag_check(g) : 0;
}

static int gcm_crypt(_libssh2_bearssl_cipher *c, unsigned char *block,
                     size_t len, bool first)
{
    size_t n;

    if (first) {
        gcm_begin(c, block);
        block += GCM_AAD_LEN;
        len -= GCM_AAD_LEN;
    } else if (c->gcm.failed) {
        return -1;
    }
    n = min_size(len, c->gcm.left);
    gcm_data(c, block, n);
    if (n == len || c->gcm.failed) {
        return 0;
    }
    return gcm_tag(&c->gcm, block + n, len - n);
}

/* --- the cipher interface ------------------------------------------------- */

static bool is_gcm(_libssh2_bearssl_cipher_type algo)
{
    return ((unsigned)algo & 0x100) != 0;
}

int _libssh2_cipher_init(_libssh2_cipher_ctx *h, _libssh2_cipher_type(algo),
                         unsigned char *iv, unsigned char *secret, int encrypt)
{
    const br_block_ctr_class *const aes = aes_best();
    const size_t key_len = (unsigned)algo & 0xff;

    memset(h, 0, sizeof *h);
    aes->init(&h->ctr.aes.vtable, secret, key_len);
    if (is_gcm(algo)) {
        h->gcm.ghash = ghash_best();
        h->gcm.encrypt = encrypt != 0;
        memcpy(h->gcm.iv, iv, sizeof h->gcm.iv);
        /* h = AES(0); the counter it leaves behind is replaced per packet */
        ctr_apply(&h->ctr, h->gcm.h, sizeof h->gcm.h);
    } else {
        memcpy(h->ctr.counter, iv, sizeof h->ctr.counter);
    }
    return 0;
}

int _libssh2_cipher_crypt(_libssh2_cipher_ctx *ctx, _libssh2_cipher_type(algo),
                          int encrypt, unsigned char *block, size_t blocksize,
                          int firstlast)
{
    (void)encrypt;
    if (is_gcm(algo)) {
        return gcm_crypt(ctx, block, blocksize, IS_FIRST(firstlast) != 0);
    }
    /* every byte of the key stream is used, in this packet or a later one */
    ctr_crypt(&ctx->ctr, block, blocksize, SIZE_MAX);
    return 0;
}

/* --- user keys: not read, not signed with --------------------------------- */

const char *_libssh2_supported_key_sign_algorithms(LIBSSH2_SESSION *session,
                                                   unsigned char *key_method,
                                                   size_t key_method_len)
{
    (void)session;
    if (key_method_len >= 7 && memcmp(key_method, "ssh-rsa", 7) == 0) {
        /* also ssh-rsa-cert-v01@openssh.com */
        return "rsa-sha2-512,rsa-sha2-256";
    }
    return NULL;
}

int _libssh2_bearssl_unsupported(LIBSSH2_SESSION *session)
{
    return _libssh2_error(session, LIBSSH2_ERROR_METHOD_NOT_SUPPORTED,
                          "not supported by the BearSSL backend: user keys "
                          "(sign with a callback) and SHA-1 signatures");
}
