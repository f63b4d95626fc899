/*
 * A BearSSL backend for libssh2 1.11.1, with no change to libssh2's files.
 *
 * MIT licence, see LICENSE.
 *
 * How it is built.  libssh2 chooses a backend in src/crypto.h.  Every file of
 * its core is compiled with
 *
 *     -DHAVE_CONFIG_H -DLIBSSH2_MBEDTLS -DLIBSSH2_MBEDTLS_H
 *     -include libssh2_bearssl.h
 *
 * so that crypto.h takes the mbedTLS branch, finds mbedtls.h already included
 * (its guard is defined) and uses what is below instead.  src/crypto.c and the
 * other backends are left out; libssh2_bearssl.c is compiled in their place.
 *
 * What it offers.
 *
 *     key exchange  curve25519-sha256, ecdh-sha2-nistp256/384/521, Diffie-
 *                   Hellman over groups of 2048 to 4096 bits with SHA-1, SHA-2
 *     host keys     ssh-ed25519, ecdsa-sha2-nistp256/384/521,
 *                   rsa-sha2-256/512, ssh-rsa (1024 to 4096 bits)
 *     ciphers       aes128/256-gcm@openssh.com, aes128/192/256-ctr
 *                   (chacha20-poly1305@openssh.com is libssh2's own)
 *     MACs          hmac-sha2-256/512 and their -etm forms, hmac-sha1
 *
 * What it refuses, whatever is negotiated: groups below 2048 bits and above
 * 4096 (group1, group18).  libssh2 still lists them: take them out with
 * libssh2_session_method_pref, or a server that insists on one makes the
 * handshake fail.  SHA-1 is for servers that have nothing else: take that out,
 * too, unless a user asks for it.
 *
 * User keys are not read: authenticate with libssh2_userauth_publickey and a
 * signing callback.  Every function that would read a key file answers
 * LIBSSH2_ERROR_METHOD_NOT_SUPPORTED, and the linker drops the PEM code.
 *
 * What the program provides, resolved when it is linked:
 *
 *     bool eice_ed25519_verify(...)     eice.h, section >>ed25519
 *     int eice_libssh2_random(...)      optional; see below
 *
 * There are no globals.  All memory comes from the session's allocator, and
 * what held a secret is wiped before it is given back.  libssh2 itself frees
 * derived keys and the shared secret unwiped: give it an allocator that wipes.
 */
#ifndef LIBSSH2_BEARSSL_H
#define LIBSSH2_BEARSSL_H

#include "libssh2_config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bearssl.h>

#define LIBSSH2_CRYPTO_ENGINE libssh2_no_crypto

/*
 * LIBSSH2_RSA_SHA1 stays 1 because the type inside an RSA key blob is always
 * "ssh-rsa" (RFC 8332 section 3) and libssh2 accepts that name only then.
 * LIBSSH2_ED25519 stands for curve25519-sha256 as well.
 */
#define LIBSSH2_MD5 0
#define LIBSSH2_HMAC_RIPEMD 0
#define LIBSSH2_HMAC_SHA256 1
#define LIBSSH2_HMAC_SHA512 1
#define LIBSSH2_AES_CBC 0
#define LIBSSH2_AES_CTR 1
#define LIBSSH2_AES_GCM 1
#define LIBSSH2_BLOWFISH 0
#define LIBSSH2_RC4 0
#define LIBSSH2_CAST 0
#define LIBSSH2_3DES 0
#define LIBSSH2_RSA 1
#define LIBSSH2_RSA_SHA1 1
#define LIBSSH2_RSA_SHA2 1
#define LIBSSH2_DSA 0
#define LIBSSH2_ECDSA 1
#define LIBSSH2_ED25519 1
#include "crypto_config.h"

#define SHA_DIGEST_LENGTH br_sha1_SIZE
#define SHA256_DIGEST_LENGTH br_sha256_SIZE
#define SHA384_DIGEST_LENGTH br_sha384_SIZE
#define SHA512_DIGEST_LENGTH br_sha512_SIZE

/* Uncompressed point of P-521: 04, X, Y. */
#define EC_MAX_POINT_LEN 133

/* The key exchanges of libssh2_kex.c; stock libssh2 has its own (patch 05). */
#define LIBSSH2_KEX_METHODS _libssh2_bearssl_kex_methods

/* --- types ---------------------------------------------------------------- */

#define libssh2_sha1_ctx br_sha1_context
#define libssh2_sha256_ctx br_sha256_context
#define libssh2_sha384_ctx br_sha384_context
#define libssh2_sha512_ctx br_sha512_context

typedef struct {
    br_hmac_key_context key;
    br_hmac_context mac;
} _libssh2_bearssl_hmac;
#define libssh2_hmac_ctx _libssh2_bearssl_hmac

/* An unsigned number, big-endian without leading zeros, of at most 4096 bits
 * (what BearSSL's modular exponentiation takes). */
#define _LIBSSH2_BEARSSL_BN_MAX 512
typedef struct {
    size_t len;
    unsigned char bytes[_LIBSSH2_BEARSSL_BN_MAX];
} _libssh2_bearssl_bn;
#define _libssh2_bn _libssh2_bearssl_bn
#define _libssh2_bn_ctx void
#define _libssh2_dh_ctx _libssh2_bearssl_bn *

/* An RSA public key; the numbers are without leading zeros. */
typedef struct {
    size_t n_len;
    size_t e_len;
    unsigned char n[_LIBSSH2_BEARSSL_BN_MAX];
    unsigned char e[8];
} _libssh2_bearssl_rsa;
#define libssh2_rsa_ctx _libssh2_bearssl_rsa

typedef enum {
    LIBSSH2_EC_CURVE_NISTP256 = BR_EC_secp256r1,
    LIBSSH2_EC_CURVE_NISTP384 = BR_EC_secp384r1,
    LIBSSH2_EC_CURVE_NISTP521 = BR_EC_secp521r1,
    LIBSSH2_EC_CURVE_25519 = BR_EC_curve25519 /* for key exchange */
} libssh2_curve_type;

/* A public point, or the private scalar of a key exchange. */
typedef struct {
    libssh2_curve_type curve;
    size_t point_len;
    size_t scalar_len;
    unsigned char point[EC_MAX_POINT_LEN];
    unsigned char scalar[BR_EC_KBUF_PRIV_MAX_SIZE];
} _libssh2_bearssl_ec;
#define _libssh2_ec_key _libssh2_bearssl_ec
#define libssh2_ecdsa_ctx _libssh2_bearssl_ec

typedef struct {
    unsigned char public_key[32];
} _libssh2_bearssl_ed25519;
#define libssh2_ed25519_ctx _libssh2_bearssl_ed25519

/* The number is the length of the key in bytes. */
typedef enum {
    _libssh2_cipher_chacha20 = 0,
    _libssh2_cipher_aes128ctr = 16,
    _libssh2_cipher_aes192ctr = 24,
    _libssh2_cipher_aes256ctr = 32,
    _libssh2_cipher_aes128gcm = 0x100 + 16,
    _libssh2_cipher_aes256gcm = 0x100 + 32
} _libssh2_bearssl_cipher_type;
#define _libssh2_cipher_type(name) _libssh2_bearssl_cipher_type name

/* Bytes of key stream and of unhashed ciphertext kept: large enough to keep
 * AES-NI busy, small enough to cost an interactive packet nothing. */
#define _LIBSSH2_BEARSSL_BATCH 256

/* The part of a cipher that counts: AES in counter mode. */
typedef struct {
    br_aes_gen_ctr_keys aes;
    unsigned char counter[16];
    unsigned char stream[_LIBSSH2_BEARSSL_BATCH];
    size_t used; /* bytes of stream already spent */
    size_t made; /* bytes of stream made */
} _libssh2_bearssl_ctr;

/* What GCM adds, for one packet at a time (RFC 5647). */
typedef struct {
    br_ghash ghash;
    bool encrypt;
    bool failed;               /* the length cannot be right */
    unsigned char iv[12];      /* fixed (4), invocation counter (8) */
    unsigned char h[16];
    unsigned char y[16];
    unsigned char tag_mask[16];
    unsigned char tag[16];     /* as received so far */
    unsigned char waiting[_LIBSSH2_BEARSSL_BATCH]; /* not yet in y */
    size_t waiting_len;
    size_t tag_len;
    uint32_t length;           /* of the ciphertext, from the packet's head */
    uint32_t left;             /* of it, still to come */
} _libssh2_bearssl_gcm;

typedef struct {
    _libssh2_bearssl_ctr ctr;
    _libssh2_bearssl_gcm gcm;
} _libssh2_bearssl_cipher;
#define _libssh2_cipher_ctx _libssh2_bearssl_cipher

/* Bounds of a group exchange (RFC 4419); BearSSL stops at 4096 bits. */
#define LIBSSH2_DH_GEX_MINGROUP 2048
#define LIBSSH2_DH_GEX_OPTGROUP 3072
#define LIBSSH2_DH_GEX_MAXGROUP 4096
#define LIBSSH2_DH_MAX_MODULUS_BITS 4096

/*
 * From here on libssh2's own declarations are known, under their own names.
 *
 * Several entry points of a backend are given no session: numbers, RSA keys,
 * ECDSA keys, random bytes.  Each is called from a function that has one in a
 * variable called "session", so the macros below hand that on.  Should a later
 * libssh2 call one from elsewhere, it does not compile.
 */
#include "libssh2_priv.h"

extern const LIBSSH2_KEX_METHOD *LIBSSH2_KEX_METHODS[];

/* --- the program's part --------------------------------------------------- */

/*
 * Fills buf with len unpredictable bytes and returns 0, or -1 when there are
 * none, which ends the session.  abstract is what the program gave to
 * libssh2_session_init_ex: a generator of the session's own can live there.
 * libssh2_random.c holds a default that asks the system and is linked only
 * when the program defines none.
 */
int eice_libssh2_random(void *abstract, unsigned char *buf, size_t len);

/* eice.h, section >>ed25519. */
bool eice_ed25519_verify(const uint8_t sig[64], const uint8_t public_key[32],
                         const void *msg, size_t len);

#define libssh2_crypto_init() ((void)0)
#define libssh2_crypto_exit() ((void)0)
#define _libssh2_random(buf, len) \
    eice_libssh2_random(session->abstract, buf, len)
#define libssh2_prepare_iovec(vec, len) ((void)0)

/* --- hashes --------------------------------------------------------------- */

/* All return 1 for success. */
#define libssh2_sha1_init(ctx) (br_sha1_init(ctx), 1)
#define libssh2_sha1_update(ctx, data, len) \
    (br_sha1_update(&(ctx), data, len), 1)
#define libssh2_sha1_final(ctx, out) \
    _libssh2_bearssl_hash_final(&(ctx).vtable, out)

#define libssh2_sha256_init(ctx) (br_sha256_init(ctx), 1)
#define libssh2_sha256_update(ctx, data, len) \
    (br_sha256_update(&(ctx), data, len), 1)
#define libssh2_sha256_final(ctx, out) \
    _libssh2_bearssl_hash_final(&(ctx).vtable, out)

#define libssh2_sha384_init(ctx) (br_sha384_init(ctx), 1)
#define libssh2_sha384_update(ctx, data, len) \
    (br_sha384_update(&(ctx), data, len), 1)
#define libssh2_sha384_final(ctx, out) \
    _libssh2_bearssl_hash_final(&(ctx).vtable, out)

#define libssh2_sha512_init(ctx) (br_sha512_init(ctx), 1)
#define libssh2_sha512_update(ctx, data, len) \
    (br_sha512_update(&(ctx), data, len), 1)
#define libssh2_sha512_final(ctx, out) \
    _libssh2_bearssl_hash_final(&(ctx).vtable, out)

/* Writes the digest and wipes the context: it has seen shared secrets. */
int _libssh2_bearssl_hash_final(const br_hash_class **ctx, void *out);

/* --- numbers -------------------------------------------------------------- */

#define _libssh2_bn_ctx_new() NULL
#define _libssh2_bn_ctx_free(ctx) ((void)(ctx))
#define _libssh2_bn_init() _libssh2_bearssl_bn_new(session)
#define _libssh2_bn_init_from_bin() _libssh2_bearssl_bn_new(session)
#define _libssh2_bn_free(bn) _libssh2_bearssl_bn_free(session, bn)
#define _libssh2_bn_set_word(bn, word) _libssh2_bearssl_bn_set_word(bn, word)
#define _libssh2_bn_from_bin(bn, len, bin) \
    _libssh2_bearssl_bn_from_bin(bn, bin, len)
#define _libssh2_bn_to_bin(bn, bin) _libssh2_bearssl_bn_to_bin(bn, bin)
#define _libssh2_bn_bytes(bn) _libssh2_bearssl_bn_bytes(bn)
#define _libssh2_bn_bits(bn) _libssh2_bearssl_bn_bits(bn)

/* NULL when there is no memory.  All others take such a NULL: they answer 0
 * or fail, because libssh2 does not look. */
_libssh2_bn *_libssh2_bearssl_bn_new(LIBSSH2_SESSION *session);
void _libssh2_bearssl_bn_free(LIBSSH2_SESSION *session, _libssh2_bn *bn);
int _libssh2_bearssl_bn_set_word(_libssh2_bn *bn, unsigned char word);
int _libssh2_bearssl_bn_from_bin(_libssh2_bn *bn, const unsigned char *bin,
                                 size_t len);
/* Fails for zero: no number libssh2 writes may be zero, and a shared secret
 * that could not be computed is. */
int _libssh2_bearssl_bn_to_bin(const _libssh2_bn *bn, unsigned char *bin);
size_t _libssh2_bearssl_bn_bytes(const _libssh2_bn *bn);
size_t _libssh2_bearssl_bn_bits(const _libssh2_bn *bn);

/* --- Diffie-Hellman ------------------------------------------------------- */

#define libssh2_dh_init(dh) ((void)(*(dh) = NULL))
#define libssh2_dh_key_pair(dh, pub, g, p, group_order, bn_ctx) \
    ((void)(group_order), (void)(bn_ctx), \
     _libssh2_bearssl_dh_key_pair(session, dh, pub, g, p))
#define libssh2_dh_secret(dh, secret, f, p, bn_ctx) \
    ((void)(bn_ctx), _libssh2_bearssl_dh_secret(dh, secret, f, p))
#define libssh2_dh_dtor(dh) _libssh2_bearssl_dh_free(session, dh)

/* Makes a private exponent and the public value g^x mod p. */
int _libssh2_bearssl_dh_key_pair(LIBSSH2_SESSION *session, _libssh2_dh_ctx *dh,
                                 _libssh2_bn *pub, const _libssh2_bn *g,
                                 _libssh2_bn *p);
/* secret = f^x mod p.  libssh2 ignores the answer: on failure the secret stays
 * zero and the key exchange ends at the next step. */
int _libssh2_bearssl_dh_secret(_libssh2_dh_ctx *dh, _libssh2_bn *secret,
                               const _libssh2_bn *f, _libssh2_bn *p);
void _libssh2_bearssl_dh_free(LIBSSH2_SESSION *session, _libssh2_dh_ctx *dh);

/* --- keys ----------------------------------------------------------------- */

/* The macros have the names of functions declared in crypto.h. */
#define _libssh2_rsa_new(rsa, e, e_len, n, n_len, d, d_len, p, p_len, q, \
                         q_len, e1, e1_len, e2, e2_len, c, c_len) \
    _libssh2_bearssl_rsa_new(session, rsa, e, e_len, n, n_len)
#define _libssh2_rsa_free(rsa) \
    _libssh2_bearssl_free(session, rsa, sizeof *(rsa))

#define _libssh2_ecdsa_curve_name_with_octal_new(ec, point, len, curve) \
    _libssh2_bearssl_ec_new(session, ec, point, len, curve)
#define _libssh2_ecdsa_free(ec) \
    _libssh2_bearssl_free(session, ec, sizeof *(ec))

#define _libssh2_ed25519_free(ed) \
    _libssh2_bearssl_free(session, ed, sizeof *(ed))

int _libssh2_bearssl_rsa_new(LIBSSH2_SESSION *session, libssh2_rsa_ctx **rsa,
                             const unsigned char *e, size_t e_len,
                             const unsigned char *n, size_t n_len);
int _libssh2_bearssl_ec_new(LIBSSH2_SESSION *session, libssh2_ecdsa_ctx **ec,
                            const unsigned char *point, size_t len,
                            libssh2_curve_type curve);
/* Wipes and frees; NULL is allowed. */
void _libssh2_bearssl_free(LIBSSH2_SESSION *session, void *ptr, size_t len);

/* What would read a user's key, or sign with one, fails and says so. */
int _libssh2_bearssl_unsupported(LIBSSH2_SESSION *session);

#define _LIBSSH2_BEARSSL_NO _libssh2_bearssl_unsupported(session)
#define _libssh2_rsa_new_private(rsa, ...) \
    (*(rsa) = NULL, _LIBSSH2_BEARSSL_NO)
#define _libssh2_rsa_new_private_frommemory(rsa, ...) \
    (*(rsa) = NULL, _LIBSSH2_BEARSSL_NO)
#define _libssh2_rsa_sha1_sign(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_rsa_sha2_sign(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_ecdsa_new_private(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_ecdsa_new_private_frommemory(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_ecdsa_sign(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_ed25519_new_private(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_ed25519_new_private_frommemory(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_ed25519_sign(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_pub_priv_keyfile(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_pub_priv_keyfilememory(...) _LIBSSH2_BEARSSL_NO
#define _libssh2_sk_pub_keyfilememory(...) _LIBSSH2_BEARSSL_NO

/* --- ciphers -------------------------------------------------------------- */

#define _libssh2_cipher_dtor(ctx) _libssh2_explicit_zero(ctx, sizeof *(ctx))

#endif
