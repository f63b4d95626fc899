/*
 * What BearSSL's br_..._get_default() answer in eice: one implementation of
 * each kind, the small portable ones.  Compiled in place of BearSSL's own
 * files of those functions (the Makefile leaves them out), which choose by
 * speed and so bring in a second set of big numbers and a P-256 of its own:
 * 12 kB.
 *
 * What it costs: P-256 goes from 3,000 to 1,600 multiplications a second, RSA
 * verification (2048 bits) from 9,800 to 6,300.  Diffie-Hellman over 4096 bits
 * is the same: BearSSL does it with 31-bit words either way.  All are constant
 * time.
 *
 * MIT licence, see LICENSE.
 */
#include <bearssl.h>

br_rsa_public br_rsa_public_get_default(void)
{
    return br_rsa_i31_public;
}

br_rsa_private br_rsa_private_get_default(void)
{
    return br_rsa_i31_private;
}

br_rsa_pkcs1_vrfy br_rsa_pkcs1_vrfy_get_default(void)
{
    return br_rsa_i31_pkcs1_vrfy;
}

br_rsa_pkcs1_sign br_rsa_pkcs1_sign_get_default(void)
{
    return br_rsa_i31_pkcs1_sign;
}

/* An RSA key for a host in FIPS mode is made once in a session. */
br_rsa_keygen br_rsa_keygen_get_default(void)
{
    return br_rsa_i31_keygen;
}

/* None: br_poly1305_ctmul_run serves, 3 kB less. */
br_poly1305_run br_poly1305_ctmulq_get(void)
{
    return 0;
}

/* --- elliptic curves: P-256, P-384, P-521 and Curve25519 ------------------ */

static const br_ec_impl *of(int curve)
{
    return curve == BR_EC_curve25519 ? &br_ec_c25519_m31 : &br_ec_prime_i31;
}

static const unsigned char *generator(int curve, size_t *len)
{
    return of(curve)->generator(curve, len);
}

static const unsigned char *order(int curve, size_t *len)
{
    return of(curve)->order(curve, len);
}

static size_t xoff(int curve, size_t *len)
{
    return of(curve)->xoff(curve, len);
}

static uint32_t mul(unsigned char *g, size_t g_len, const unsigned char *x,
                    size_t x_len, int curve)
{
    return of(curve)->mul(g, g_len, x, x_len, curve);
}

static size_t mulgen(unsigned char *r, const unsigned char *x, size_t x_len,
                     int curve)
{
    return of(curve)->mulgen(r, x, x_len, curve);
}

static uint32_t muladd(unsigned char *a, const unsigned char *b, size_t len,
                       const unsigned char *x, size_t x_len,
                       const unsigned char *y, size_t y_len, int curve)
{
    return of(curve)->muladd(a, b, len, x, x_len, y, y_len, curve);
}

const br_ec_impl *br_ec_get_default(void)
{
    static const br_ec_impl both = {
        ((uint32_t)1 << BR_EC_secp256r1) | ((uint32_t)1 << BR_EC_secp384r1)
            | ((uint32_t)1 << BR_EC_secp521r1)
            | ((uint32_t)1 << BR_EC_curve25519),
        generator, order, xoff, mul, mulgen, muladd
    };

    return &both;
}
