/*
 * The key exchanges of libssh2 (RFC 4253 sections 7 and 8, RFC 4419, RFC 5656,
 * RFC 8731), in place of its own in src/kex.c, which has one sequence of steps
 * for each kind.  Here is one for all: 11 kB less.  Agreeing on algorithms
 * stays libssh2's part.
 *
 * Used only where libssh2 lets a backend bring its own exchanges (patch 05):
 * it finds them through LIBSSH2_KEX_METHODS.
 *
 * MIT licence, see LICENSE.
 */
#include "libssh2_bearssl.h"
#include "mac.h"
#include "packet.h"
#include "transport.h"

#define METHOD_SIGNS 2 /* kex.c: the host key must be one that signs */

/* What libssh2 knows of an exchange, and what it does not ask for. */
typedef struct {
    LIBSSH2_KEX_METHOD base; /* first: what session->kex points to */
    const br_hash_class *hash;
    int curve;    /* 0: Diffie-Hellman */
    size_t prime; /* its length in bytes; 0: the server chooses the group */
} kex_method;

/* The steps, in libssh2's type for such.  Each ends by naming the next, so
 * that after EAGAIN it is taken again. */
#define STEP_BEGIN libssh2_NB_state_idle
#define STEP_ASK_GROUP libssh2_NB_state_allocated
#define STEP_GET_GROUP libssh2_NB_state_created
#define STEP_MAKE libssh2_NB_state_sent
#define STEP_SEND libssh2_NB_state_sent1
#define STEP_GET_REPLY libssh2_NB_state_sent2
#define STEP_SEND_NEWKEYS libssh2_NB_state_sent3
#define STEP_GET_NEWKEYS libssh2_NB_state_sent4
#define STEP_DONE libssh2_NB_state_end

/* --- groups --------------------------------------------------------------- */

/* The 4096-bit prime of RFC 3526 section 5 (group 16).  It is made of the
 * digits of pi, and so has its head in common with group 14. */
static const unsigned char prime16[512] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC9, 0x0F, 0xDA, 0xA2,
    0x21, 0x68, 0xC2, 0x34, 0xC4, 0xC6, 0x62, 0x8B, 0x80, 0xDC, 0x1C, 0xD1,
    0x29, 0x02, 0x4E, 0x08, 0x8A, 0x67, 0xCC, 0x74, 0x02, 0x0B, 0xBE, 0xA6,
    0x3B, 0x13, 0x9B, 0x22, 0x51, 0x4A, 0x08, 0x79, 0x8E, 0x34, 0x04, 0xDD,
    0xEF, 0x95, 0x19, 0xB3, 0xCD, 0x3A, 0x43, 0x1B, 0x30, 0x2B, 0x0A, 0x6D,
    0xF2, 0x5F, 0x14, 0x37, 0x4F, 0xE1, 0x35, 0x6D, 0x6D, 0x51, 0xC2, 0x45,
    0xE4, 0x85, 0xB5, 0x76, 0x62, 0x5E, 0x7E, 0xC6, 0xF4, 0x4C, 0x42, 0xE9,
    0xA6, 0x37, 0xED, 0x6B, 0x0B, 0xFF, 0x5C, 0xB6, 0xF4, 0x06, 0xB7, 0xED,
    0xEE, 0x38, 0x6B, 0xFB, 0x5A, 0x89, 0x9F, 0xA5, 0xAE, 0x9F, 0x24, 0x11,
    0x7C, 0x4B, 0x1F, 0xE6, 0x49, 0x28, 0x66, 0x51, 0xEC, 0xE4, 0x5B, 0x3D,
    0xC2, 0x00, 0x7C, 0xB8, 0xA1, 0x63, 0xBF, 0x05, 0x98, 0xDA, 0x48, 0x36,
    0x1C, 0x55, 0xD3, 0x9A, 0x69, 0x16, 0x3F, 0xA8, 0xFD, 0x24, 0xCF, 0x5F,
    0x83, 0x65, 0x5D, 0x23, 0xDC, 0xA3, 0xAD, 0x96, 0x1C, 0x62, 0xF3, 0x56,
    0x20, 0x85, 0x52, 0xBB, 0x9E, 0xD5, 0x29, 0x07, 0x70, 0x96, 0x96, 0x6D,
    0x67, 0x0C, 0x35, 0x4E, 0x4A, 0xBC, 0x98, 0x04, 0xF1, 0x74, 0x6C, 0x08,
    0xCA, 0x18, 0x21, 0x7C, 0x32, 0x90, 0x5E, 0x46, 0x2E, 0x36, 0xCE, 0x3B,
    0xE3, 0x9E, 0x77, 0x2C, 0x18, 0x0E, 0x86, 0x03, 0x9B, 0x27, 0x83, 0xA2,
    0xEC, 0x07, 0xA2, 0x8F, 0xB5, 0xC5, 0x5D, 0xF0, 0x6F, 0x4C, 0x52, 0xC9,
    0xDE, 0x2B, 0xCB, 0xF6, 0x95, 0x58, 0x17, 0x18, 0x39, 0x95, 0x49, 0x7C,
    0xEA, 0x95, 0x6A, 0xE5, 0x15, 0xD2, 0x26, 0x18, 0x98, 0xFA, 0x05, 0x10,
    0x15, 0x72, 0x8E, 0x5A, 0x8A, 0xAA, 0xC4, 0x2D, 0xAD, 0x33, 0x17, 0x0D,
    0x04, 0x50, 0x7A, 0x33, 0xA8, 0x55, 0x21, 0xAB, 0xDF, 0x1C, 0xBA, 0x64,
    0xEC, 0xFB, 0x85, 0x04, 0x58, 0xDB, 0xEF, 0x0A, 0x8A, 0xEA, 0x71, 0x57,
    0x5D, 0x06, 0x0C, 0x7D, 0xB3, 0x97, 0x0F, 0x85, 0xA6, 0xE1, 0xE4, 0xC7,
    0xAB, 0xF5, 0xAE, 0x8C, 0xDB, 0x09, 0x33, 0xD7, 0x1E, 0x8C, 0x94, 0xE0,
    0x4A, 0x25, 0x61, 0x9D, 0xCE, 0xE3, 0xD2, 0x26, 0x1A, 0xD2, 0xEE, 0x6B,
    0xF1, 0x2F, 0xFA, 0x06, 0xD9, 0x8A, 0x08, 0x64, 0xD8, 0x76, 0x02, 0x73,
    0x3E, 0xC8, 0x6A, 0x64, 0x52, 0x1F, 0x2B, 0x18, 0x17, 0x7B, 0x20, 0x0C,
    0xBB, 0xE1, 0x17, 0x57, 0x7A, 0x61, 0x5D, 0x6C, 0x77, 0x09, 0x88, 0xC0,
    0xBA, 0xD9, 0x46, 0xE2, 0x08, 0xE2, 0x4F, 0xA0, 0x74, 0xE5, 0xAB, 0x31,
    0x43, 0xDB, 0x5B, 0xFC, 0xE0, 0xFD, 0x10, 0x8E, 0x4B, 0x82, 0xD1, 0x20,
    0xA9, 0x21, 0x08, 0x01, 0x1A, 0x72, 0x3C, 0x12, 0xA7, 0x87, 0xE6, 0xD7,
    0x88, 0x71, 0x9A, 0x10, 0xBD, 0xBA, 0x5B, 0x26, 0x99, 0xC3, 0x27, 0x18,
    0x6A, 0xF4, 0xE2, 0x3C, 0x1A, 0x94, 0x68, 0x34, 0xB6, 0x15, 0x0B, 0xDA,
    0x25, 0x83, 0xE9, 0xCA, 0x2A, 0xD4, 0x4C, 0xE8, 0xDB, 0xBB, 0xC2, 0xDB,
    0x04, 0xDE, 0x8E, 0xF9, 0x2E, 0x8E, 0xFC, 0x14, 0x1F, 0xBE, 0xCA, 0xA6,
    0x28, 0x7C, 0x59, 0x47, 0x4E, 0x6B, 0xC0, 0x5D, 0x99, 0xB2, 0x96, 0x4F,
    0xA0, 0x90, 0xC3, 0xA2, 0x23, 0x3B, 0xA1, 0x86, 0x51, 0x5B, 0xE7, 0xED,
    0x1F, 0x61, 0x29, 0x70, 0xCE, 0xE2, 0xD7, 0xAF, 0xB8, 0x1B, 0xDD, 0x76,
    0x21, 0x70, 0x48, 0x1C, 0xD0, 0x06, 0x91, 0x27, 0xD5, 0xB0, 0x5A, 0xA9,
    0x93, 0xB4, 0xEA, 0x98, 0x8D, 0x8F, 0xDD, 0xC1, 0x86, 0xFF, 0xB7, 0xDC,
    0x90, 0xA6, 0xC0, 0x8F, 0x4D, 0xF4, 0x35, 0xC9, 0x34, 0x06, 0x31, 0x99,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF
};

#define PRIME14_HEAD 245
static const unsigned char prime14_tail[] = {
    0xAC, 0xAA, 0x68, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF
};

static int set_group(LIBSSH2_SESSION *session, key_exchange_state_low_t *ks,
                     const unsigned char *p, size_t p_len,
                     const unsigned char *g, size_t g_len)
{
    ks->p = _libssh2_bn_init();
    ks->g = _libssh2_bn_init();
    return _libssh2_bn_from_bin(ks->p, p_len, p) ||
           _libssh2_bn_from_bin(ks->g, g_len, g)
               ? LIBSSH2_ERROR_KEX_FAILURE
               : 0;
}

static int set_known_group(LIBSSH2_SESSION *session,
                           key_exchange_state_low_t *ks, size_t prime)
{
    static const unsigned char g[] = {2};
    unsigned char p[sizeof prime16];

    memcpy(p, prime16, sizeof p);
    if (prime < sizeof p) {
        memcpy(p + PRIME14_HEAD, prime14_tail, sizeof prime14_tail);
    }
    return set_group(session, ks, p, prime, g, sizeof g);
}

/* byte SSH_MSG_KEX_DH_GEX_GROUP, mpint p, mpint g */
static int set_chosen_group(LIBSSH2_SESSION *session,
                            key_exchange_state_low_t *ks)
{
    struct string_buf buf;
    unsigned char *p;
    unsigned char *g;
    size_t p_len;
    size_t g_len;

    buf.data = ks->data;
    buf.dataptr = ks->data + 1;
    buf.len = ks->data_len;
    if (_libssh2_get_bignum_bytes(&buf, &p, &p_len) ||
        _libssh2_get_bignum_bytes(&buf, &g, &g_len)) {
        return LIBSSH2_ERROR_PROTO;
    }
    return set_group(session, ks, p, p_len, g, g_len);
}

/* Least, preferred and greatest size, as in the request and in the hash. */
static void put_group_sizes(unsigned char out[12])
{
    _libssh2_htonu32(out, LIBSSH2_DH_GEX_MINGROUP);
    _libssh2_htonu32(out + 4, LIBSSH2_DH_GEX_OPTGROUP);
    _libssh2_htonu32(out + 8, LIBSSH2_DH_GEX_MAXGROUP);
}

/* --- our value, and the secret -------------------------------------------- */

/* Allocates some bytes left to the caller and a number behind them as an mpint
 * (RFC 4251 section 5).  NULL without memory, and for zero, which stands for
 * one that could not be computed. */
static unsigned char *make_mpint(LIBSSH2_SESSION *session, size_t before,
                                 const _libssh2_bn *bn, size_t *len)
{
    const size_t zero = _libssh2_bn_bits(bn) % 8 == 0;
    unsigned char *out;

    *len = before + 4 + zero + _libssh2_bn_bytes(bn);
    out = LIBSSH2_ALLOC(session, *len);
    if (out != NULL) {
        _libssh2_htonu32(out + before, (uint32_t)(*len - before - 4));
        out[before + 4] = 0;
        if (_libssh2_bn_to_bin(bn, out + before + 4 + zero) != 0) {
            _libssh2_bearssl_free(session, out, *len);
            return NULL;
        }
    }
    return out;
}

/* The first message: a byte for its type, and our public value. */
static int make_value(LIBSSH2_SESSION *session, const kex_method *m,
                      key_exchange_state_low_t *ks)
{
    kmdhgGPshakex_state_t *const x = &ks->exchange_state;
    const bool chosen = m->curve == 0 && m->prime == 0;
    unsigned char *at;

    x->k = _libssh2_bn_init();
    if (m->curve != 0) {
        if (_libssh2_ecdsa_create_key(session, &ks->private_key,
                                      &ks->public_key_oct,
                                      &ks->public_key_oct_len,
                                      (libssh2_curve_type)m->curve) != 0) {
            return LIBSSH2_ERROR_KEX_FAILURE;
        }
        x->e_packet_len = 1 + 4 + ks->public_key_oct_len;
        x->e_packet = LIBSSH2_ALLOC(session, x->e_packet_len);
        if (x->e_packet != NULL) {
            at = x->e_packet + 1;
            _libssh2_store_str(&at, (const char *)ks->public_key_oct,
                               ks->public_key_oct_len);
        }
    } else {
        x->e = _libssh2_bn_init();
        x->f = _libssh2_bn_init();
        if (libssh2_dh_key_pair(&x->x, x->e, ks->g, ks->p, 0, NULL) != 0) {
            return LIBSSH2_ERROR_KEX_FAILURE;
        }
        x->e_packet = make_mpint(session, 1, x->e, &x->e_packet_len);
    }
    if (x->e_packet == NULL) {
        return LIBSSH2_ERROR_ALLOC;
    }
    x->e_packet[0] = chosen ? SSH_MSG_KEX_DH_GEX_INIT : SSH_MSG_KEXDH_INIT;
    return 0;
}

static int make_secret(LIBSSH2_SESSION *session, const kex_method *m,
                       key_exchange_state_low_t *ks)
{
    kmdhgGPshakex_state_t *const x = &ks->exchange_state;
    int rc;

    if (m->curve != 0) {
        rc = _libssh2_ecdh_gen_k(&x->k, ks->private_key, x->f_value,
                                 x->f_value_len);
    } else {
        rc = _libssh2_bn_from_bin(x->f, x->f_value_len, x->f_value) ||
             libssh2_dh_secret(&x->x, x->k, x->f, ks->p, NULL);
    }
    if (rc == 0) {
        x->k_value = make_mpint(session, 0, x->k, &x->k_value_len);
    }
    return x->k_value != NULL ? 0 : LIBSSH2_ERROR_KEX_FAILURE;
}

/* --- hashing -------------------------------------------------------------- */

static size_t hash_len(const br_hash_class *hash)
{
    return hash->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK;
}

static void hash_string(const br_hash_class **ctx, const void *data,
                        size_t len)
{
    unsigned char prefix[4];

    _libssh2_htonu32(prefix, (uint32_t)len);
    (*ctx)->update(ctx, prefix, sizeof prefix);
    (*ctx)->update(ctx, data, len);
}

/* H of RFC 4253 section 8, with what RFC 4419 section 3 adds. */
static void hash_exchange(LIBSSH2_SESSION *session, const kex_method *m,
                          key_exchange_state_low_t *ks)
{
    kmdhgGPshakex_state_t *const x = &ks->exchange_state;
    const char *const banner = session->local.banner != NULL
                                   ? (const char *)session->local.banner
                                   : LIBSSH2_SSH_DEFAULT_BANNER_WITH_CRLF;
    const char *const server = (const char *)session->remote.banner;
    br_hash_compat_context ctx;
    unsigned char sizes[12];

    m->hash->init(&ctx.vtable);
    hash_string(&ctx.vtable, banner, strlen(banner) - 2);
    hash_string(&ctx.vtable, server, strlen(server));
    hash_string(&ctx.vtable, session->local.kexinit,
                session->local.kexinit_len);
    hash_string(&ctx.vtable, session->remote.kexinit,
                session->remote.kexinit_len);
    hash_string(&ctx.vtable, session->server_hostkey,
                session->server_hostkey_len);
    if (ks->data != NULL) {
        put_group_sizes(sizes);
        m->hash->update(&ctx.vtable, sizes, sizeof sizes);
        m->hash->update(&ctx.vtable, ks->data + 1, ks->data_len - 1);
    }
    m->hash->update(&ctx.vtable, x->e_packet + 1, x->e_packet_len - 1);
    hash_string(&ctx.vtable, x->f_value, x->f_value_len);
    m->hash->update(&ctx.vtable, x->k_value, x->k_value_len);
    (void)_libssh2_bearssl_hash_final(&ctx.vtable, x->h_sig_comp);
}

/* Allocates len bytes of the key that a letter names (RFC 4253 section 7.2).
 * What is made goes up to the end of the last hash. */
static unsigned char *derive(LIBSSH2_SESSION *session, char letter, int len,
                             kmdhgGPshakex_state_t *x)
{
    const br_hash_class *const hash =
        ((const kex_method *)session->kex)->hash;
    unsigned char *const key =
        LIBSSH2_ALLOC(session, (size_t)len + hash_len(hash));
    br_hash_compat_context ctx;
    size_t made = 0;

    while (key != NULL && made < (size_t)len) {
        hash->init(&ctx.vtable);
        hash->update(&ctx.vtable, x->k_value, x->k_value_len);
        hash->update(&ctx.vtable, x->h_sig_comp, hash_len(hash));
        if (made == 0) {
            hash->update(&ctx.vtable, &letter, 1);
            hash->update(&ctx.vtable, session->session_id,
                         session->session_id_len);
        } else {
            hash->update(&ctx.vtable, key, made);
        }
        (void)_libssh2_bearssl_hash_final(&ctx.vtable, key + made);
        made += hash_len(hash);
    }
    return key;
}

/* --- the server's answer -------------------------------------------------- */

static int take_host_key(LIBSSH2_SESSION *session, struct string_buf *buf)
{
    br_sha256_context sha256;
    size_t len;

    _libssh2_bearssl_free(session, session->server_hostkey,
                          session->server_hostkey_len);
    session->server_hostkey = NULL;
    session->server_hostkey_len = 0;
    if (_libssh2_copy_string(session, buf, &session->server_hostkey, &len)) {
        return LIBSSH2_ERROR_PROTO;
    }
    session->server_hostkey_len = (uint32_t)len;

    /* for libssh2_hostkey_hash */
    br_sha256_init(&sha256);
    br_sha256_update(&sha256, session->server_hostkey, len);
    br_sha256_out(&sha256, session->server_hostkey_sha256);
    session->server_hostkey_sha256_valid = TRUE;

    return session->hostkey->init(session, session->server_hostkey, len,
                                  &session->server_hostkey_abstract)
               ? LIBSSH2_ERROR_HOSTKEY_INIT
               : 0;
}

/* byte its type, string host key, string or mpint f, string signature of H */
static int check_reply(LIBSSH2_SESSION *session, const kex_method *m,
                       key_exchange_state_low_t *ks)
{
    kmdhgGPshakex_state_t *const x = &ks->exchange_state;
    struct string_buf buf;
    int rc;

    buf.data = x->s_packet;
    buf.dataptr = x->s_packet + 1;
    buf.len = x->s_packet_len;
    rc = take_host_key(session, &buf);
    if (rc == 0 && (_libssh2_get_string(&buf, &x->f_value, &x->f_value_len) ||
                    _libssh2_get_string(&buf, &x->h_sig, &x->h_sig_len))) {
        rc = LIBSSH2_ERROR_PROTO;
    }
    if (rc == 0) {
        rc = make_secret(session, m, ks);
    }
    if (rc == 0) {
        hash_exchange(session, m, ks);
        if (session->hostkey->sig_verify(session, x->h_sig, x->h_sig_len,
                                         x->h_sig_comp, hash_len(m->hash),
                                         &session->server_hostkey_abstract)) {
            rc = LIBSSH2_ERROR_HOSTKEY_SIGN;
        }
    }
    return rc;
}

/* --- the new keys --------------------------------------------------------- */

/* The letters name initialization vector, key and MAC key. */
static int start_cipher(LIBSSH2_SESSION *session, libssh2_endpoint_data *end,
                        const char *letters, int encrypt,
                        kmdhgGPshakex_state_t *x)
{
    const LIBSSH2_CRYPT_METHOD *const crypt = end->crypt;
    unsigned char *iv;
    unsigned char *key;
    int free_iv = 0;
    int free_key = 0;
    int rc = 0;

    if (crypt->dtor != NULL) {
        crypt->dtor(session, &end->crypt_abstract);
    }
    if (crypt->init == NULL) {
        return 0;
    }
    iv = derive(session, letters[0], crypt->iv_len, x);
    key = derive(session, letters[1], crypt->secret_len, x);
    if (iv == NULL || key == NULL ||
        crypt->init(session, crypt, iv, &free_iv, key, &free_key, encrypt,
                    &end->crypt_abstract)) {
        rc = LIBSSH2_ERROR_KEX_FAILURE;
    }
    if (rc != 0 || free_iv) {
        _libssh2_bearssl_free(session, iv, (size_t)crypt->iv_len);
    }
    if (rc != 0 || free_key) {
        _libssh2_bearssl_free(session, key, (size_t)crypt->secret_len);
    }
    return rc;
}

static int start_mac(LIBSSH2_SESSION *session, libssh2_endpoint_data *end,
                     const char *letters, kmdhgGPshakex_state_t *x)
{
    unsigned char *key;
    int free_key = 0;

    if (end->mac->dtor != NULL) {
        end->mac->dtor(session, &end->mac_abstract);
    }
    if (end->mac->init == NULL) {
        return 0;
    }
    key = derive(session, letters[2], end->mac->key_len, x);
    if (key == NULL) {
        return LIBSSH2_ERROR_ALLOC;
    }
    end->mac->init(session, key, &free_key, &end->mac_abstract);
    if (free_key) {
        _libssh2_bearssl_free(session, key, (size_t)end->mac->key_len);
    }
    return 0;
}

static int start_direction(LIBSSH2_SESSION *session,
                           libssh2_endpoint_data *end, const char *letters,
                           int sending, kmdhgGPshakex_state_t *x)
{
    int rc = start_cipher(session, end, letters, sending, x);

    if (rc == 0) {
        rc = start_mac(session, end, letters, x);
    }
    if (end->comp != NULL && end->comp->dtor != NULL) {
        end->comp->dtor(session, sending, &end->comp_abstract);
    }
    if (rc == 0 && end->comp != NULL && end->comp->init != NULL &&
        end->comp->init(session, sending, &end->comp_abstract)) {
        rc = LIBSSH2_ERROR_KEX_FAILURE;
    }
    return rc;
}

/* Both sides have sent NEWKEYS.  The first H is the session's identifier. */
static int start_keys(LIBSSH2_SESSION *session, const kex_method *m,
                      kmdhgGPshakex_state_t *x)
{
    const size_t len = hash_len(m->hash);
    int rc;

    session->state |= LIBSSH2_STATE_NEWKEYS;
    if (session->session_id == NULL) {
        session->session_id = LIBSSH2_ALLOC(session, len);
        if (session->session_id == NULL) {
            return LIBSSH2_ERROR_ALLOC;
        }
        memcpy(session->session_id, x->h_sig_comp, len);
        session->session_id_len = (uint32_t)len;
    }
    rc = start_direction(session, &session->local, "ACE", 1, x);
    return rc != 0 ? rc
                   : start_direction(session, &session->remote, "BDF", 0, x);
}

/* --- the steps ------------------------------------------------------------ */

static void cleanup(LIBSSH2_SESSION *session, key_exchange_state_low_t *ks)
{
    kmdhgGPshakex_state_t *const x = &ks->exchange_state;

    libssh2_dh_dtor(&x->x);
    _libssh2_bn_free(x->e);
    _libssh2_bn_free(x->f);
    _libssh2_bn_free(x->k);
    _libssh2_bn_free(ks->p);
    _libssh2_bn_free(ks->g);
    _libssh2_ecdsa_free(ks->private_key);
    _libssh2_bearssl_free(session, x->k_value, x->k_value_len);
    _libssh2_bearssl_free(session, x->e_packet, x->e_packet_len);
    _libssh2_bearssl_free(session, x->s_packet, x->s_packet_len);
    _libssh2_bearssl_free(session, x->tmp, x->tmp_len);
    _libssh2_bearssl_free(session, ks->data, ks->data_len);
    _libssh2_bearssl_free(session, ks->public_key_oct,
                          ks->public_key_oct_len);
    memset(ks, 0, sizeof *ks);
}

/* A server may guess the exchange and send its first message with its KEXINIT
 * (RFC 4253 section 7); a wrong guess is passed over. */
static int begin(LIBSSH2_SESSION *session, const kex_method *m,
                 key_exchange_state_low_t *ks)
{
    int type;

    if (session->burn_optimistic_kexinit) {
        type = _libssh2_packet_burn(session, &ks->exchange_state.burn_state);
        if (type <= 0) {
            return type != 0 ? type : LIBSSH2_ERROR_SOCKET_DISCONNECT;
        }
        session->burn_optimistic_kexinit = 0;
    }
    if (m->curve == 0 && m->prime == 0) {
        ks->request[0] = SSH_MSG_KEX_DH_GEX_REQUEST;
        put_group_sizes(ks->request + 1);
        ks->state = STEP_ASK_GROUP;
        return 0;
    }
    ks->state = STEP_MAKE;
    return m->curve != 0 ? 0 : set_known_group(session, ks, m->prime);
}

static int send_packet(LIBSSH2_SESSION *session, key_exchange_state_low_t *ks,
                       const unsigned char *data, size_t len,
                       libssh2_nonblocking_states next)
{
    const int rc = _libssh2_transport_send(session, data, len, NULL, 0);

    if (rc == 0) {
        ks->state = next;
    }
    return rc;
}

static int get_packet(LIBSSH2_SESSION *session, key_exchange_state_low_t *ks,
                      unsigned char type, unsigned char **data, size_t *len,
                      libssh2_nonblocking_states next)
{
    const int rc = _libssh2_packet_require(session, type, data, len, 0, NULL,
                                           0, &ks->req_state);

    if (rc == 0) {
        ks->state = next;
    }
    return rc;
}

static int step(LIBSSH2_SESSION *session, const kex_method *m,
                key_exchange_state_low_t *ks)
{
    static const unsigned char newkeys[] = {SSH_MSG_NEWKEYS};
    kmdhgGPshakex_state_t *const x = &ks->exchange_state;
    int rc;

    switch (ks->state) {
    case STEP_BEGIN:
        return begin(session, m, ks);
    case STEP_ASK_GROUP:
        return send_packet(session, ks, ks->request, 13, STEP_GET_GROUP);
    case STEP_GET_GROUP:
        rc = get_packet(session, ks, SSH_MSG_KEX_DH_GEX_GROUP, &ks->data,
                        &ks->data_len, STEP_MAKE);
        return rc != 0 ? rc : set_chosen_group(session, ks);
    case STEP_MAKE:
        ks->state = STEP_SEND;
        return make_value(session, m, ks);
    case STEP_SEND:
        return send_packet(session, ks, x->e_packet, x->e_packet_len,
                           STEP_GET_REPLY);
    case STEP_GET_REPLY:
        /* the answer's number follows the question's: 31 or 33 */
        rc = get_packet(session, ks, (unsigned char)(x->e_packet[0] + 1),
                        &x->s_packet, &x->s_packet_len, STEP_SEND_NEWKEYS);
        return rc != 0 ? rc : check_reply(session, m, ks);
    case STEP_SEND_NEWKEYS:
        return send_packet(session, ks, newkeys, sizeof newkeys,
                           STEP_GET_NEWKEYS);
    default:
        rc = get_packet(session, ks, SSH_MSG_NEWKEYS, &x->tmp, &x->tmp_len,
                        STEP_DONE);
        return rc != 0 ? rc : start_keys(session, m, x);
    }
}

static int exchange(LIBSSH2_SESSION *session, key_exchange_state_low_t *ks)
{
    int rc = 0;

    while (rc == 0 && ks->state != STEP_DONE) {
        rc = step(session, (const kex_method *)session->kex, ks);
    }
    if (rc != LIBSSH2_ERROR_EAGAIN) {
        cleanup(session, ks);
    }
    return rc;
}

/* --- the methods ---------------------------------------------------------- */

#define METHOD(name, hash, curve, prime) \
    {{name, exchange, cleanup, METHOD_SIGNS}, hash, curve, prime}

static const kex_method methods[] = {
    METHOD("curve25519-sha256", &br_sha256_vtable, BR_EC_curve25519, 0),
    METHOD("curve25519-sha256@libssh.org", &br_sha256_vtable,
           BR_EC_curve25519, 0),
    METHOD("ecdh-sha2-nistp256", &br_sha256_vtable, BR_EC_secp256r1, 0),
    METHOD("ecdh-sha2-nistp384", &br_sha384_vtable, BR_EC_secp384r1, 0),
    METHOD("ecdh-sha2-nistp521", &br_sha512_vtable, BR_EC_secp521r1, 0),
    METHOD("diffie-hellman-group-exchange-sha256", &br_sha256_vtable, 0, 0),
    METHOD("diffie-hellman-group16-sha512", &br_sha512_vtable, 0, 512),
    METHOD("diffie-hellman-group14-sha256", &br_sha256_vtable, 0, 256),
    METHOD("diffie-hellman-group14-sha1", &br_sha1_vtable, 0, 256),
};

/* Not exchanges: what a client says with its list (RFC 8308 section 2.1;
 * OpenSSH PROTOCOL 1.10). */
static const LIBSSH2_KEX_METHOD signs[] = {
    {"ext-info-c", NULL, NULL, 0},
    {"kex-strict-c-v00@openssh.com", NULL, NULL, 0},
};

const LIBSSH2_KEX_METHOD *LIBSSH2_KEX_METHODS[] = {
    &methods[0].base, &methods[1].base, &methods[2].base, &methods[3].base,
    &methods[4].base, &methods[5].base, &methods[6].base, &methods[7].base,
    &methods[8].base, &signs[0], &signs[1], NULL
};
