/* The agent: a stream of requests, the first byte of the input being the size
 * of the portions it comes in. Portions make no difference, every message has
 * one answer, and nothing but these is ever said: FAILURE, our identity, a
 * signature. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 16384

/* RFC 8032 7.1, TEST 2 */
static const uint8_t seed[32] = {
    0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
    0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
    0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb
};
static const uint8_t public_key[32] = {
    0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a,
    0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4,
    0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c
};

static eice_user_key key;

typedef struct talk {
    uint8_t hash[32];  /* of all answers */
    size_t used;       /* bytes of complete messages */
    bool refused;
} talk;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_answer(const uint8_t *in, eice_str out)
{
    static const char failure[] = "\0\0\0\1\5";
    const uint8_t *p = (const uint8_t *)out.ptr;

    require(out.len >= 5 && p[3] == out.len - 4);
    if (eice_str_eq(out, eice_str_make(failure, 5))) {
        require(in[4] != 11);
    } else if (in[4] == 11) {
        require(out.len == 72 && p[4] == 12);
        require(memcmp(p + 32, public_key, sizeof public_key) == 0);
    } else {
        const size_t n = (size_t)in[60] << 24 | (size_t)in[61] << 16
                         | (size_t)in[62] << 8 | in[63];

        require(in[4] == 13 && out.len == 92 && p[4] == 14);
        require(eice_ed25519_verify(p + 28, public_key, in + 64, n));
    }
}

static talk converse(const uint8_t *data, size_t size, size_t portion)
{
    eice_sha256_ctx hash;
    size_t have = 0;
    talk t;

    memset(&t, 0, sizeof t);
    eice_sha256_init(&hash);
    while (have < size && !t.refused) {
        ptrdiff_t n;

        have += portion < size - have ? portion : size - have;
        do {
            /* a block of exactly this size: one byte too far is seen */
            const size_t len = have - t.used;
            uint8_t *copy = (uint8_t *)malloc(len + (len == 0));
            char memory[EICE_AGENT_ANSWER];
            eice_buf out;

            require(copy != NULL);
            memcpy(copy, data + t.used, len);
            eice_buf_init(&out, memory, sizeof memory);
            n = eice_agent_serve(&key, eice_str_make(copy, len), &out);
            require(n <= (ptrdiff_t)len && n <= EICE_AGENT_MAX + 4);
            require((n > 0) == (out.len > 0));
            if (n > 0) {
                check_answer(copy, eice_buf_str(&out));
                eice_sha256_update(&hash, out.ptr, out.len);
                t.used += (size_t)n;
            }
            t.refused = n < 0;
            free(copy);
        } while (n > 0);
    }
    eice_sha256_final(&hash, t.hash);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    talk whole;
    talk split;

    if (key.blob_len == 0) {
        memcpy(key.seed, seed, sizeof seed);
        eicei_user_key_ed25519(&key);
    }
    if (size < 2 || size > LIMIT) {
        return 0;
    }
    whole = converse(data + 1, size - 1, LIMIT);
    split = converse(data + 1, size - 1, (size_t)data[0] + 1);
    require(whole.used == split.used && whole.refused == split.refused);
    require(memcmp(whole.hash, split.hash, sizeof whole.hash) == 0);
    return 0;
}
