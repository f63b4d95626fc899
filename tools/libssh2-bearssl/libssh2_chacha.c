/*
 * ChaCha20 as chacha20-poly1305@openssh.com wants it (src/chacha.h), by
 * BearSSL's.  OpenSSH's form has a counter of 64 bits and a nonce of 64 where
 * RFC 8439 has 32 and 96: the same 16 bytes while a packet has fewer than 2^32
 * blocks.
 *
 * Compiled in place of libssh2's src/chacha.c: 2 kB less.
 *
 * MIT licence, see LICENSE.
 */
#include "libssh2_bearssl.h"
#include "chacha.h"

#define COUNTER_AT 32
#define NONCE_AT 36 /* RFC 8439's: the counter's upper half is zero */

void chacha_keysetup(struct chacha_ctx *x, const u_char *k, u_int kbits)
{
    (void)kbits; /* 256 */
    memcpy(x->input, k, 32);
}

void chacha_ivsetup(struct chacha_ctx *x, const u_char *iv, const u_char *ctr)
{
    unsigned char *const state = (unsigned char *)x->input;

    memset(state + COUNTER_AT, 0, CHACHA_CTRLEN);
    if (ctr != NULL) {
        state[COUNTER_AT] = ctr[0]; /* 1, little-endian */
    }
    memcpy(state + COUNTER_AT + CHACHA_CTRLEN, iv, CHACHA_NONCELEN);
}

/* From the start of a block: chacha_ivsetup comes before each call. */
void chacha_encrypt_bytes(struct chacha_ctx *x, const u_char *m, u_char *c,
                          u_int bytes)
{
    const unsigned char *const state = (const unsigned char *)x->input;

    memmove(c, m, bytes);
    br_chacha20_ct_run(state, state + NONCE_AT, state[COUNTER_AT], c, bytes);
}
