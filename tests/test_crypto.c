/* Hashes, HMAC, the random generator and X25519 against published vectors, in
 * one piece and in parts. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"
#include "unhex.h"

/* ---- hashes ------------------------------------------------------------ */

typedef struct hash_case {
    const char *text;
    const char *sha1;
    const char *sha256;
    const char *sha512;
} hash_case;

/* FIPS 180-4 example texts (NIST, Cryptographic Standards: Examples). */
static const hash_case hash_cases[] = {
    {"",
     "da39a3ee5e6b4b0d3255bfef95601890afd80709",
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
     "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
    {"abc",
     "a9993e364706816aba3e25717850c26c9cd0d89d",
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
     "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335"
     "96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
     "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "a49b2446a02c645bf419f995b67091253a04a259",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
     "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
     "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"},
};

static void check_hex(const uint8_t *got, const char *want)
{
    uint8_t bytes[64];
    const size_t len = unhex(want, bytes, sizeof bytes);

    CHECK_BYTES(got, bytes, len);
}

static void test_hashes(void)
{
    uint8_t out[64];
    size_t i;

    for (i = 0; i < sizeof hash_cases / sizeof hash_cases[0]; i++) {
        const hash_case *const c = &hash_cases[i];
        guard text = guard_copy(c->text, strlen(c->text));

        eice_sha1(out, text.ptr, strlen(c->text));
        check_hex(out, c->sha1);
        eice_sha256(out, text.ptr, strlen(c->text));
        check_hex(out, c->sha256);
        eice_sha512(out, text.ptr, strlen(c->text));
        check_hex(out, c->sha512);
        guard_free(&text);
    }
}

static void test_hash_nothing(void)
{
    uint8_t out[64];

    eice_sha1(out, NULL, 0);
    check_hex(out, hash_cases[0].sha1);
    eice_sha256(out, NULL, 0);
    check_hex(out, hash_cases[0].sha256);
    eice_sha512(out, NULL, 0);
    check_hex(out, hash_cases[0].sha512);
}

/* The letter a, a million times (FIPS 180-2), in parts of 1 to 997 bytes. */
static void test_hash_million(void)
{
    static char letters[1000];
    eice_sha256_ctx small;
    eice_sha512_ctx large;
    uint8_t out[64];
    size_t left = 1000000;
    size_t n = 1;

    memset(letters, 'a', sizeof letters);
    eice_sha256_init(&small);
    eice_sha512_init(&large);
    while (left > 0) {
        n = n * 7 % 998;
        n = n < left ? n : left;
        eice_sha256_update(&small, letters, n);
        eice_sha512_update(&large, letters, n);
        left -= n;
    }
    eice_sha256_final(&small, out);
    check_hex(out, "cdc76e5c9914fb9281a1c7e284d73e67"
                   "f1809a48a497200e046d39ccc7112cd0");
    eice_sha512_final(&large, out);
    check_hex(out, "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803"
                   "afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e"
                   "4eadb217ad8cc09b");
}

#define PATTERN 300

static void make_pattern(uint8_t pattern[PATTERN])
{
    size_t i;

    for (i = 0; i < PATTERN; i++) {
        pattern[i] = (uint8_t)(i * 31 + 7);
    }
}

/* Every length from 0 to 300. The expected values are the hash of all those
 * hashes one after the other, from Python's hashlib. */
static void test_hash_lengths(void)
{
    uint8_t pattern[PATTERN];
    uint8_t all[(PATTERN + 1) * 64];
    size_t n;

    make_pattern(pattern);
    for (n = 0; n <= PATTERN; n++) {
        eice_sha1(all + n * 20, pattern, n);
    }
    eice_sha1(all, all, (PATTERN + 1) * 20);
    check_hex(all, "ed96bfdd84b07619e4bc5c2da8c68363721252c1");
    for (n = 0; n <= PATTERN; n++) {
        eice_sha256(all + n * 32, pattern, n);
    }
    eice_sha256(all, all, (PATTERN + 1) * 32);
    check_hex(all, "78f25692e2f4dd74482ac3dcf4f505a7"
                   "c278fa279588b764b99a497144bcd49c");
    for (n = 0; n <= PATTERN; n++) {
        eice_sha512(all + n * 64, pattern, n);
    }
    eice_sha512(all, all, (PATTERN + 1) * 64);
    check_hex(all, "4d453e114ab3806337606be8f53c6e5956d81a16bf152b21ad7a38b1"
                   "933cdec9126d3cc7237f765ab8d7e3609dacd7cf18dd69798caa1ab8"
                   "832b7951d0507a8b");
}

static void check_split(const uint8_t *data, size_t first, size_t len)
{
    eice_sha256_ctx small;
    eice_sha512_ctx large;
    uint8_t parts[64];
    uint8_t whole[64];

    eice_sha256_init(&small);
    eice_sha256_update(&small, data, first);
    eice_sha256_update(&small, data + first, len - first);
    eice_sha256_final(&small, parts);
    eice_sha256(whole, data, len);
    CHECK_BYTES(parts, whole, 32);
    eice_sha512_init(&large);
    eice_sha512_update(&large, data, first);
    eice_sha512_update(&large, data + first, len - first);
    eice_sha512_final(&large, parts);
    eice_sha512(whole, data, len);
    CHECK_BYTES(parts, whole, 64);
}

static void test_hash_splits(void)
{
    uint8_t pattern[PATTERN];
    size_t first;
    size_t len;

    make_pattern(pattern);
    for (len = 0; len <= PATTERN; len++) {
        for (first = 0; first <= len; first++) {
            check_split(pattern, first, len);
        }
    }
}

/* Byte by byte, with final after every byte: it must not disturb. */
static void test_hash_bytewise(void)
{
    uint8_t pattern[PATTERN];
    eice_sha256_ctx small;
    eice_sha512_ctx large;
    uint8_t got[64];
    uint8_t want[64];
    size_t n;

    make_pattern(pattern);
    eice_sha256_init(&small);
    eice_sha512_init(&large);
    for (n = 0; n <= PATTERN; n++) {
        eice_sha256_final(&small, got);
        eice_sha256(want, pattern, n);
        CHECK_BYTES(got, want, 32);
        eice_sha512_final(&large, got);
        eice_sha512(want, pattern, n);
        CHECK_BYTES(got, want, 64);
        if (n < PATTERN) {
            eice_sha256_update(&small, pattern + n, 1);
            eice_sha512_update(&large, pattern + n, 1);
        }
    }
}

/* ---- HMAC -------------------------------------------------------------- */

typedef struct hmac_case {
    const char *key; /* hex, or one byte to repeat */
    size_t key_len;  /* 0: hex */
    const char *data; /* text, or hex of one byte to repeat */
    size_t data_len;  /* 0: text */
    const char *sha1;
    const char *sha256;
} hmac_case;

/* RFC 2202 3 and RFC 4231 4. Where the two use different keys, only one of
 * the results is given. */
static const hmac_case hmac_cases[] = {
    {"0b", 20, "Hi There", 0, "b617318655057264e28bc0b6fb378c8ef146be00",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", 0, "what do ya want for nothing?", 0,
     "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aa", 20, "dd", 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819", 0, "cd", 50,
     "4c9007f4026250c6bc8414f9bf50c86c2d7235da",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"aa", 80, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
     "aa4ae5e15272d00e95705637ce8a3b55ed402112", NULL},
    {"aa", 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
     NULL, "60e431591ee0b67f0d8a26aacbf5b77f"
           "8e0bc6213728c5140546040f0ee37f54"},
    {"aa", 131,
     "This is a test using a larger than block-size key and a larger than "
     "block-size data. The key needs to be hashed before being used by the "
     "HMAC algorithm.", 0,
     NULL, "9b09ffa71b942fcb27635fbcd5b0e944"
           "bfdc63644f0713938a7f51535c3a35e2"},
};

/* Hex, or one byte of hex `repeat` times. */
static size_t expand(const char *hex, size_t repeat, uint8_t *out, size_t cap)
{
    const size_t len = unhex(hex, out, cap);

    if (repeat == 0) {
        return len;
    }
    memset(out, out[0], repeat);
    return repeat;
}

static size_t hmac_data(const hmac_case *c, uint8_t *out, size_t cap)
{
    if (c->data_len != 0) {
        return expand(c->data, c->data_len, out, cap);
    }
    memcpy(out, c->data, strlen(c->data));
    return strlen(c->data);
}

static void test_hmac(void)
{
    uint8_t key[160];
    uint8_t data[160];
    uint8_t out[32];
    size_t i;

    for (i = 0; i < sizeof hmac_cases / sizeof hmac_cases[0]; i++) {
        const hmac_case *const c = &hmac_cases[i];
        const size_t key_len = expand(c->key, c->key_len, key, sizeof key);
        const size_t len = hmac_data(c, data, sizeof data);

        if (c->sha1 != NULL) {
            eice_hmac_sha1(out, eice_str_make(key, key_len),
                           eice_str_make(data, len));
            check_hex(out, c->sha1);
        }
        if (c->sha256 != NULL) {
            eice_hmac_sha256(out, key, key_len, data, len);
            check_hex(out, c->sha256);
        }
    }
}

/* Keys of 0 to 150 bytes with texts twice as long; expected: the SHA-256 of
 * all results, from Python's hmac. */
static void test_hmac_lengths(void)
{
    uint8_t pattern[PATTERN];
    uint8_t out[32];
    eice_sha256_ctx all;
    size_t n;

    make_pattern(pattern);
    eice_sha256_init(&all);
    for (n = 0; n <= PATTERN / 2; n++) {
        eice_hmac_sha256(out, pattern, n, pattern, 2 * n);
        eice_sha256_update(&all, out, 32);
    }
    eice_sha256_final(&all, out);
    check_hex(out, "3db634722da630d4dfbaf627b800f2f8"
                   "4668fdf367059fae3c860a76abd969e7");
}

/* SigV4 derives its keys in place. */
static void test_hmac_in_place(void)
{
    uint8_t key[32];
    uint8_t data[32];
    uint8_t want[32];

    memset(key, 1, sizeof key);
    memset(data, 2, sizeof data);
    eice_hmac_sha256(want, key, 32, data, 32);
    eice_hmac_sha256(key, key, 32, data, 32);
    CHECK_BYTES(key, want, 32);
    memset(key, 1, sizeof key);
    eice_hmac_sha256(data, key, 32, data, 32);
    CHECK_BYTES(data, want, 32);
}

/* ---- random generator -------------------------------------------------- */

/* HMAC_DRBG as NIST SP 800-90A 10.1.2 has it, step by step. */
typedef struct plain_drbg {
    uint8_t k[32];
    uint8_t v[32];
} plain_drbg;

static void plain_update(plain_drbg *d, const uint8_t *data, size_t len)
{
    uint8_t text[33 + 128];
    unsigned round;

    for (round = 0; round < (len == 0 ? 1u : 2u); round++) {
        memcpy(text, d->v, 32);
        text[32] = (uint8_t)round;
        memcpy(text + 33, data, len);
        eice_hmac_sha256(d->k, d->k, 32, text, 33 + len);
        eice_hmac_sha256(d->v, d->k, 32, d->v, 32);
    }
}

static void plain_init(plain_drbg *d, const uint8_t *seed, size_t len)
{
    memset(d->k, 0, 32);
    memset(d->v, 1, 32);
    plain_update(d, seed, len);
}

static void plain_generate(plain_drbg *d, uint8_t *out, size_t len)
{
    size_t at;

    for (at = 0; at < len; at += 32) {
        eice_hmac_sha256(d->v, d->k, 32, d->v, 32);
        memcpy(out + at, d->v, len - at < 32 ? len - at : 32);
    }
    plain_update(d, d->v, 0);
}

/* NIST CAVP HMAC_DRBG, SHA-256, no reseed, no additional input, COUNT 0: the
 * second output of two. */
static void test_drbg_vector(void)
{
    uint8_t seed[48];
    uint8_t out[128];
    uint8_t want[128];
    eice_drbg d;

    unhex("ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488"
          "659ba96c601dc69fc902940805ec0ca8", seed, sizeof seed);
    eice_drbg_init(&d, seed, sizeof seed);
    eice_drbg_generate(&d, out, sizeof out);
    eice_drbg_generate(&d, out, sizeof out);
    unhex("e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697"
          "d04d5b89d54fbb978a15b5c443c9ec21036d2460b6f73ebad0dc2aba"
          "6e624abf07745bc107694bb7547bb0995f70de25d6b29e2d3011bb19"
          "d27676c07162c8b5ccde0668961df86803482cb37ed6d5c0bb8d50cf"
          "1f50d476aa0458bdaba806f48be9dcb8", want, sizeof want);
    CHECK_BYTES(out, want, sizeof out);
}

static void test_drbg_reference(void)
{
    uint8_t seed[100];
    uint8_t got[200];
    uint8_t want[200];
    plain_drbg plain;
    eice_drbg d;
    size_t n;

    memset(seed, 0x5a, sizeof seed);
    for (n = 1; n <= sizeof got; n++) {
        const size_t len = n % 69 + 32;

        eice_drbg_init(&d, seed, len);
        plain_init(&plain, seed, len);
        eice_drbg_generate(&d, got, n);
        plain_generate(&plain, want, n);
        CHECK_BYTES(got, want, n);
        eice_drbg_reseed(&d, seed, n % 100 + 1);
        plain_update(&plain, seed, n % 100 + 1);
        eice_drbg_generate(&d, got, n);
        plain_generate(&plain, want, n);
        CHECK_BYTES(got, want, n);
        seed[n % 100] ^= got[0];
    }
}

/* The same seed gives the same bytes, another seed, a reseed and a second
 * call give others. */
static void test_drbg_differs(void)
{
    uint8_t seed[32];
    uint8_t out[5][32];
    eice_drbg d;
    size_t i;
    size_t j;

    memset(seed, 7, sizeof seed);
    eice_drbg_init(&d, seed, sizeof seed);
    eice_drbg_generate(&d, out[0], 32);
    eice_drbg_generate(&d, out[1], 32);
    eice_drbg_reseed(&d, "more", 4);
    eice_drbg_generate(&d, out[2], 32);
    eice_drbg_init(&d, seed, sizeof seed);
    eice_drbg_reseed(&d, "more", 4);
    eice_drbg_generate(&d, out[3], 32);
    seed[31] ^= 1;
    eice_drbg_init(&d, seed, sizeof seed);
    eice_drbg_generate(&d, out[4], 32);
    for (i = 0; i < 5; i++) {
        for (j = 0; j < i; j++) {
            CHECK(memcmp(out[i], out[j], 32) != 0);
        }
    }
    seed[31] ^= 1;
    eice_drbg_init(&d, seed, sizeof seed);
    eice_drbg_generate(&d, out[4], 32);
    CHECK_BYTES(out[4], out[0], 32);
}

static void test_drbg_wipe(void)
{
    static const eice_drbg zero;
    eice_drbg d;

    eice_drbg_init(&d, "0123456789abcdef0123456789abcdef", 32);
    CHECK(memcmp(&d, &zero, sizeof d) != 0);
    eice_drbg_wipe(&d);
    CHECK_BYTES(&d, &zero, sizeof d);
}

/* ---- X25519 ------------------------------------------------------------ */

static void check_x25519(const char *scalar, const char *point,
                         const char *want)
{
    uint8_t k[32];
    uint8_t u[32];
    uint8_t out[32];

    unhex(scalar, k, sizeof k);
    unhex(point, u, sizeof u);
    CHECK(eice_x25519(out, k, u));
    check_hex(out, want);
}

/* RFC 7748 5.2, both pairs. */
static void test_x25519(void)
{
    check_x25519(
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    check_x25519(
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

/* RFC 7748 5.2: the result becomes the scalar, the scalar the point. */
static void test_x25519_iterated(void)
{
    uint8_t k[32];
    uint8_t u[32];
    uint8_t out[32];
    unsigned i;

    memset(k, 0, sizeof k);
    k[0] = 9;
    memcpy(u, k, sizeof u);
    for (i = 0; i < 1000; i++) {
        CHECK(eice_x25519(out, k, u));
        memcpy(u, k, sizeof u);
        memcpy(k, out, sizeof k);
        if (i == 0) {
            check_hex(k, "422c8e7a6227d7bca1350b3e2bb7279f"
                         "7897b87bb6854b783c60e80311ae3079");
        }
    }
    check_hex(k, "684cf59ba83309552800ef566f2f4d3c"
                 "1c3887c49360e3875f2eb94d99532c51");
}

/* The points of order 1, 2, 4 and 8 of curve and twist, canonical and not:
 * RFC 7748 6.1 has them refused. */
static void test_x25519_low_order(void)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    static const uint8_t zero[32];
    uint8_t k[32];
    uint8_t u[32];
    uint8_t out[32];
    size_t i;

    memset(k, 0x42, sizeof k);
    for (i = 0; i < sizeof points / sizeof points[0]; i++) {
        unhex(points[i], u, sizeof u);
        memset(out, 0xee, sizeof out);
        CHECK(!eice_x25519(out, k, u));
        CHECK_BYTES(out, zero, 32);
    }
}

/* The result may replace scalar or point. */
static void test_x25519_in_place(void)
{
    uint8_t k[32];
    uint8_t u[32];
    uint8_t want[32];

    memset(k, 3, sizeof k);
    memset(u, 9, sizeof u);
    CHECK(eice_x25519(want, k, u));
    CHECK(eice_x25519(u, k, u));
    CHECK_BYTES(u, want, 32);
    memset(u, 9, sizeof u);
    CHECK(eice_x25519(k, k, u));
    CHECK_BYTES(k, want, 32);
}

#if defined(__x86_64__) || defined(__i386__)
/* As Linux sees the processor. */
static bool cpu_has(const char *flag)
{
    static char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "r");
    bool has = false;

    while (f != NULL && !has && fgets(line, sizeof line, f) != NULL) {
        char *word = strncmp(line, "flags", 5) == 0 ? strtok(line, " \n")
                                                    : NULL;

        for (; word != NULL && !has; word = strtok(NULL, " \n")) {
            has = strcmp(word, flag) == 0;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return has;
}

static void test_fast_aes(void)
{
    CHECK_INT(eice_fast_aes(), cpu_has("aes") && cpu_has("pclmulqdq"));
}
#else
static void test_fast_aes(void)
{
    CHECK_INT(eice_fast_aes(), eice_fast_aes());
}
#endif

static const test_case tests[] = {
    {"crypto: hashes of the published texts", test_hashes},
    {"crypto: hash of nothing", test_hash_nothing},
    {"crypto: hash of a million letters in parts", test_hash_million},
    {"crypto: hash of every length to 300", test_hash_lengths},
    {"crypto: hash split everywhere", test_hash_splits},
    {"crypto: hash byte by byte, final in between", test_hash_bytewise},
    {"crypto: HMAC RFC 2202 and RFC 4231", test_hmac},
    {"crypto: HMAC of every key length to 150", test_hmac_lengths},
    {"crypto: HMAC over its own key and text", test_hmac_in_place},
    {"crypto: DRBG CAVP vector", test_drbg_vector},
    {"crypto: DRBG against SP 800-90A spelled out", test_drbg_reference},
    {"crypto: DRBG same and different", test_drbg_differs},
    {"crypto: DRBG wiped", test_drbg_wipe},
    {"crypto: X25519 RFC 7748", test_x25519},
    {"crypto: X25519 iterated", test_x25519_iterated},
    {"crypto: X25519 low order refused", test_x25519_low_order},
    {"crypto: X25519 in place", test_x25519_in_place},
    {"crypto: AES instructions", test_fast_aes},
};

TEST_MAIN(tests)
