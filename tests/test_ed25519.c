/* Ed25519: published vectors, the constants, altered and ambiguous
 * signatures, and what stays behind in memory. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "stack.h"
#include "test.h"
#include "unhex.h"

typedef eicei_ed25519_num num;
typedef eicei_ed25519_point point;

/* ---- RFC 8032 7.1 ------------------------------------------------------ */

typedef struct vector {
    const char *seed;
    const char *public_key;
    const char *msg;
    const char *sig;
} vector;

static const vector vectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f"
     "b8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da08"
     "5ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
     "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18"
     "ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    {"f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
     "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
     "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa"
     "6e264bf09efe12ee50f8f54e9f77b1e355f6c50544e23fb1433ddf73be84d879de"
     "7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d658675"
     "fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a858efc"
     "b8550ee3a5e1998bd177e93a7363c344fe6b199ee5d02e82d522c4feba15452f80"
     "288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e06203b33890c"
     "c9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbefefd75499da96bd"
     "68a8a97b928a8bbc103b6621fcde2beca1231d206be6cd9ec7aff6f6c94fcd7204"
     "ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed185ce81bd84359d4425"
     "4d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a"
     "2297acbbb39d502f1a8c6eb6f1ce22b3de1a1f40cc24554119a831a9aad6079cad"
     "88425de6bde1a9187ebb6092cf67bf2b13fd65f27088d78b7e883c8759d2c4f5c6"
     "5adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481"
     "d9089beccf80cfe2df16a2cf65bd92dd597b0707e0917af48bbb75fed413d238f5"
     "555a7a569d80c3414a8d0859dc65a46128bab27af87a71314f318c782b23ebfe80"
     "8b82b0ce26401d2e22f04d83d1255dc51addd3b75a2b1ae0784504df543af8969b"
     "e3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8fc"
     "ffead94f3c7ca495e056a9b47acdb751fb73e666c6c655ade8297297d07ad1ba5e"
     "43f1bca32301651339e22904cc8c42f58c30c04aafdb038dda0847dd988dcda6f3"
     "bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f92b0fe2fd1a85f672451"
     "7b65e614ad6808d6f6ee34dff7310fdc82aebfd904b01e1dc54b2927094b2db68d"
     "6f903b68401adebf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7984a74d37145"
     "986780fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c1"
     "7a3ca8e1b939ae49e488acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d"
     "5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac0943bf6686b64b257937"
     "6504ccc493d97e6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f25665616"
     "8e6c496afc5fb93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff35"
     "7876e506b50d334ba77c225bc307ba537152f3f1610e4eafe595f6d9d90d11faa9"
     "33a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb686069"
     "37380db2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86ab"
     "a41c0618983f8741c5ef68d3a101e8a3b8cac60c905c15fc910840b94c00a0b9d0",
     "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa"
     "5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909"
     "351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
};

typedef struct bytes {
    uint8_t seed[32];
    uint8_t public_key[32];
    uint8_t sig[64];
    uint8_t msg[1100];
    size_t len;
} bytes;

static void load(bytes *b, const vector *v)
{
    unhex(v->seed, b->seed, sizeof b->seed);
    unhex(v->public_key, b->public_key, sizeof b->public_key);
    unhex(v->sig, b->sig, sizeof b->sig);
    b->len = unhex(v->msg, b->msg, sizeof b->msg);
}

static bool verifies(const bytes *b)
{
    return eice_ed25519_verify(b->sig, b->public_key, b->msg, b->len);
}

static void check_vector(const bytes *b)
{
    guard seed = guard_copy(b->seed, 32);
    guard key = guard_copy(b->public_key, 32);
    guard sig = guard_copy(b->sig, 64);
    guard msg = guard_copy(b->msg, b->len);
    uint8_t out[64];

    eice_ed25519_public(out, (const uint8_t *)seed.ptr);
    CHECK_BYTES(out, b->public_key, 32);
    eice_ed25519_sign(out, (const uint8_t *)seed.ptr,
                      (const uint8_t *)key.ptr, msg.ptr, b->len);
    CHECK_BYTES(out, b->sig, 64);
    CHECK(eice_ed25519_verify((const uint8_t *)sig.ptr,
                              (const uint8_t *)key.ptr, msg.ptr, b->len));
    guard_free(&seed);
    guard_free(&key);
    guard_free(&sig);
    guard_free(&msg);
}

static void test_vectors(void)
{
    bytes b;
    size_t i;

    for (i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        load(&b, &vectors[i]);
        check_vector(&b);
    }
}

static void test_no_message(void)
{
    bytes b;
    uint8_t out[64];

    load(&b, &vectors[0]);
    eice_ed25519_sign(out, b.seed, b.public_key, NULL, 0);
    CHECK_BYTES(out, b.sig, 64);
    CHECK(eice_ed25519_verify(out, b.public_key, NULL, 0));
}

static void test_lengths(void)
{
    uint8_t seed[32];
    uint8_t key[32];
    uint8_t sig[64];
    uint8_t msg[300];
    size_t len;

    memset(seed, 0x77, sizeof seed);
    memset(msg, 0, sizeof msg);
    eice_ed25519_public(key, seed);
    for (len = 0; len < sizeof msg; len++) {
        eice_ed25519_sign(sig, seed, key, msg, len);
        CHECK(eice_ed25519_verify(sig, key, msg, len));
        CHECK(!eice_ed25519_verify(sig, key, msg, len + 1));
    }
}

/* ---- alterations ------------------------------------------------------- */

static void check_flips(bytes *b, uint8_t *field, size_t len)
{
    size_t bit;

    for (bit = 0; bit < 8 * len; bit++) {
        field[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!verifies(b));
        field[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(verifies(b));
}

static void test_flips(void)
{
    bytes b;

    load(&b, &vectors[4]);
    check_flips(&b, b.sig, sizeof b.sig);
    check_flips(&b, b.public_key, sizeof b.public_key);
    check_flips(&b, b.msg, b.len);
}

/* S + L and S + 2L ... satisfy the equation as well as S does: none may pass
 * (RFC 8032 8.4). */
static void test_malleable(void)
{
    bytes b;
    num order = eicei_ed25519_order;
    uint8_t add[32];
    unsigned times;
    size_t i;

    load(&b, &vectors[1]);
    eicei_ed25519_store(add, &order);
    for (times = 1; times < 15; times++) {
        unsigned carry = 0;

        for (i = 0; i < 32; i++) {
            carry += (unsigned)b.sig[32 + i] + add[i];
            b.sig[32 + i] = (uint8_t)carry;
            carry >>= 8;
        }
        CHECK_INT(carry, 0);
        CHECK(!verifies(&b));
    }
}

/* The neutral point as public key makes S B = R whatever the text: a way to
 * choose S and R at will. */
static bool verifies_neutral(const num *s, const uint8_t r[32],
                             const uint8_t key[32])
{
    uint8_t sig[64];

    memcpy(sig, r, 32);
    eicei_ed25519_store(sig + 32, s);
    return eice_ed25519_verify(sig, key, "text", 4);
}

static void encode_multiple(uint8_t out[32], const num *k)
{
    point p;

    eicei_ed25519_multiply_base(&p, k);
    eicei_ed25519_encode(out, &p);
}

static const uint8_t neutral[32] = {1};

/* S at the border: 0, L - 1, L, L + 1, all ones. */
static void test_s_range(void)
{
    num s;
    uint8_t r[32];

    memset(&s, 0, sizeof s);
    encode_multiple(r, &s);
    CHECK_BYTES(r, neutral, 32);
    CHECK(verifies_neutral(&s, r, neutral));
    s = eicei_ed25519_order;
    s.w[0]--;
    encode_multiple(r, &s);
    CHECK(verifies_neutral(&s, r, neutral));
    s.w[0]++;
    encode_multiple(r, &s);
    CHECK_BYTES(r, neutral, 32);
    CHECK(!verifies_neutral(&s, r, neutral));
    s.w[0]++;
    encode_multiple(r, &s);
    CHECK(!verifies_neutral(&s, r, neutral));
    memset(&s, 0xff, sizeof s);
    encode_multiple(r, &s);
    CHECK(!verifies_neutral(&s, r, neutral));
}

/* Other ways to write the neutral point, y = p + 1 and a negative zero: equal
 * in arithmetic and not legal, as a key and as R. */
static void test_ambiguous(void)
{
    static const char *const forms[] = {
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0100000000000000000000000000000000000000000000000000000000000080",
    };
    uint8_t form[32];
    num zero;
    size_t i;

    memset(&zero, 0, sizeof zero);
    for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        unhex(forms[i], form, sizeof form);
        CHECK(!verifies_neutral(&zero, neutral, form));
        CHECK(!verifies_neutral(&zero, form, neutral));
    }
    CHECK(verifies_neutral(&zero, neutral, neutral));
}

typedef struct key_case {
    const char *text;
    bool legal;
} key_case;

static const key_case key_cases[] = {
    /* y = 1, -1, 0, 0 with the other sign: points of order 1, 2, 4, 4 */
    {"0100000000000000000000000000000000000000000000000000000000000000", true},
    {"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", true},
    {"0000000000000000000000000000000000000000000000000000000000000000", true},
    {"0000000000000000000000000000000000000000000000000000000000000080", true},
    /* -0 for x: y = 1 and y = -1 have x = 0 */
    {"0100000000000000000000000000000000000000000000000000000000000080",
     false},
    {"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     false},
    /* y = p, p + 1, 2^255 - 1 */
    {"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
     false},
    {"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
     false},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
     false},
    /* y = 2 and y = 7: x^2 would not be a square */
    {"0200000000000000000000000000000000000000000000000000000000000000",
     false},
    {"0700000000000000000000000000000000000000000000000000000000000080",
     false},
    /* y = 3 and y = 4 are on the curve */
    {"0300000000000000000000000000000000000000000000000000000000000000", true},
    {"0400000000000000000000000000000000000000000000000000000000000080", true},
};

static void test_decoding(void)
{
    uint8_t in[32];
    uint8_t out[32];
    point p;
    size_t i;

    for (i = 0; i < sizeof key_cases / sizeof key_cases[0]; i++) {
        unhex(key_cases[i].text, in, sizeof in);
        CHECK_INT(eicei_ed25519_decode_negative(&p, in), key_cases[i].legal);
        if (!key_cases[i].legal) {
            continue;
        }
        eicei_ed25519_encode(out, &p);
        /* -A has the other sign, but where x is 0. */
        CHECK_BYTES(in, out, 31);
        CHECK_INT(out[31], i < 2 ? in[31] : in[31] ^ 0x80);
    }
}

/* ---- the constants ----------------------------------------------------- */

static void make_num(num *r, uint32_t small)
{
    memset(r, 0, sizeof *r);
    r->w[0] = small;
}

/* d = -121665/121666, the root is one of -1, y of B is 4/5, x of B even. */
static void test_constants(void)
{
    num a;
    num b;
    num c;

    make_num(&a, 121666);
    make_num(&b, 0);
    make_num(&c, 2 * 121665);
    eicei_ed25519_fe_mul(&a, &a, &eicei_ed25519_2d);
    eicei_ed25519_fe_sub(&b, &b, &c);
    CHECK(eicei_ed25519_fe_equal(&a, &b));

    a = eicei_ed25519_root;
    eicei_ed25519_fe_square(&a, 1);
    eicei_ed25519_fe_add(&a, &a, &eicei_ed25519_one);
    make_num(&b, 0);
    CHECK(eicei_ed25519_fe_equal(&a, &b));

    make_num(&a, 5);
    make_num(&b, 4);
    eicei_ed25519_fe_mul(&a, &a, &eicei_ed25519_base[0][1]);
    CHECK(eicei_ed25519_fe_equal(&a, &b));
    CHECK((eicei_ed25519_base[0][0].w[0] & 1) == 0);
}

/* -x^2 + y^2 = 1 + d x^2 y^2, doubled for the sake of 2d. */
static void check_on_curve(const num *x, const num *y)
{
    num xx = *x;
    num yy = *y;
    num left;
    num right;

    eicei_ed25519_fe_square(&xx, 1);
    eicei_ed25519_fe_square(&yy, 1);
    eicei_ed25519_fe_sub(&left, &yy, &xx);
    eicei_ed25519_fe_add(&left, &left, &left);
    eicei_ed25519_fe_mul(&right, &xx, &yy);
    eicei_ed25519_fe_mul(&right, &right, &eicei_ed25519_2d);
    eicei_ed25519_fe_add(&right, &right, &eicei_ed25519_one);
    eicei_ed25519_fe_add(&right, &right, &eicei_ed25519_one);
    CHECK(eicei_ed25519_fe_equal(&left, &right));
}

static void test_base_points(void)
{
    point p;
    uint8_t doubled[32];
    uint8_t stored[32];
    size_t i;

    check_on_curve(&eicei_ed25519_base[0][0], &eicei_ed25519_base[0][1]);
    check_on_curve(&eicei_ed25519_base[1][0], &eicei_ed25519_base[1][1]);
    eicei_ed25519_affine(&p, &eicei_ed25519_base[0][0],
                         &eicei_ed25519_base[0][1]);
    for (i = 0; i < 128; i++) {
        eicei_ed25519_double(&p);
    }
    eicei_ed25519_encode(doubled, &p);
    eicei_ed25519_affine(&p, &eicei_ed25519_base[1][0],
                         &eicei_ed25519_base[1][1]);
    eicei_ed25519_encode(stored, &p);
    CHECK_BYTES(stored, doubled, 32);
}

/* Adding a point to itself, to its negative and to the neutral point. */
static void test_addition_complete(void)
{
    point p;
    point q;
    eicei_ed25519_addend a;
    uint8_t sum[32];
    uint8_t twice[32];

    eicei_ed25519_affine(&p, &eicei_ed25519_base[0][0],
                         &eicei_ed25519_base[0][1]);
    eicei_ed25519_prepare(&a, &p);
    q = p;
    eicei_ed25519_add(&q, &a);
    eicei_ed25519_encode(sum, &q);
    q = p;
    eicei_ed25519_double(&q);
    eicei_ed25519_encode(twice, &q);
    CHECK_BYTES(sum, twice, 32);

    eicei_ed25519_affine(&p, &eicei_ed25519_base[0][0],
                         &eicei_ed25519_base[0][1]);
    eicei_ed25519_encode(twice, &p);
    CHECK(eicei_ed25519_decode_negative(&q, twice));
    eicei_ed25519_add(&q, &a);
    eicei_ed25519_encode(sum, &q);
    CHECK_BYTES(sum, neutral, 32);

    make_num(&q.x, 0);
    eicei_ed25519_affine(&q, &q.x, &eicei_ed25519_one);
    eicei_ed25519_add(&q, &a);
    eicei_ed25519_encode(sum, &q);
    CHECK_BYTES(sum, twice, 32);
}

/* ---- memory ------------------------------------------------------------ */

#define STACK_BYTES 65536u
static uint64_t stack[STACK_BYTES / 8];
static bytes left;

/* Leaves the seed behind, to see that the search finds it. */
static void run_careless(void)
{
    uint8_t copy[32];

    memcpy(copy, left.seed, sizeof copy);
    eice_sha512(left.sig, copy, sizeof copy);
}

static void run_public(void)
{
    eice_ed25519_public(left.public_key, left.seed);
}

static void run_sign(void)
{
    eice_ed25519_sign(left.sig, left.seed, left.public_key, left.msg,
                      left.len);
}

static bool stack_holds(const uint8_t word[8])
{
    const uint8_t *const seen = (const uint8_t *)stack;
    size_t at;

    for (at = 0; at + 8 <= sizeof stack; at++) {
        if (memcmp(seen + at, word, 8) == 0) {
            return true;
        }
    }
    return false;
}

/* Neither as bytes nor as the big-endian words SHA-512 works with. */
static void check_gone(const char *what, const uint8_t *secret, size_t len)
{
    uint8_t word[8];
    size_t at;
    size_t i;

    for (at = 0; at < len; at += 8) {
        for (i = 0; i < 8; i++) {
            word[i] = secret[at + 7 - i];
        }
        if (stack_holds(secret + at) || stack_holds(word)) {
            test_fail(__FILE__, __LINE__, "%s is still on the stack", what);
        }
    }
}

static void check_nonce_gone(const uint8_t prefix[32])
{
    eice_sha512_ctx ctx;
    uint8_t hash[64];
    uint8_t text[32];
    uint32_t wide[16];
    num nonce;
    point p;

    eice_sha512_init(&ctx);
    eice_sha512_update(&ctx, prefix, 32);
    eice_sha512_update(&ctx, left.msg, left.len);
    eice_sha512_final(&ctx, hash);
    check_gone("the nonce's hash", hash, 64);
    eicei_ed25519_load(wide, hash, 16);
    eicei_ed25519_sc_reduce(&nonce, wide);
    eicei_ed25519_store(text, &nonce);
    check_gone("the nonce", text, 32);
    eicei_ed25519_multiply_base(&p, &nonce);
    check_gone("the nonce's X", (const uint8_t *)&p.x, sizeof p.x);
    check_gone("the nonce's Z", (const uint8_t *)&p.z, sizeof p.z);
    eicei_ed25519_fe_power(&p.z, &p.z, 11, 5);
    check_gone("the nonce's 1/Z", (const uint8_t *)&p.z, sizeof p.z);
}

static void check_secrets_gone(void)
{
    uint8_t hash[64];

    check_gone("the seed", left.seed, 32);
    eice_sha512(hash, left.seed, 32);
    check_gone("the seed's hash", hash, 64);
    hash[0] &= 0xf8;
    hash[31] = (uint8_t)((hash[31] & 0x7f) | 0x40);
    check_gone("the scalar", hash, 32);
    check_nonce_gone(hash + 32);
}

EICEI_UNUSED static void test_wiped(void)
{
    size_t i;

    for (i = 0; i < 32; i++) {
        left.seed[i] = (uint8_t)(i * 7 + 11);
    }
    memcpy(left.msg, "text", 4);
    left.len = 4;
    CHECK(stack_run(stack, sizeof stack, run_careless));
    CHECK(stack_holds(left.seed));
    CHECK(stack_run(stack, sizeof stack, run_public));
    check_secrets_gone();
    CHECK(stack_run(stack, sizeof stack, run_sign));
    check_secrets_gone();
    CHECK(verifies(&left));
}

static const test_case tests[] = {
    {"ed25519: RFC 8032 vectors", test_vectors},
    {"ed25519: no message", test_no_message},
    {"ed25519: every length to 300", test_lengths},
    {"ed25519: every bit flipped", test_flips},
    {"ed25519: S plus multiples of L refused", test_malleable},
    {"ed25519: S at the group's order", test_s_range},
    {"ed25519: ambiguous encodings refused", test_ambiguous},
    {"ed25519: decoding of points", test_decoding},
    {"ed25519: constants", test_constants},
    {"ed25519: base points", test_base_points},
    {"ed25519: addition without exceptions", test_addition_complete},
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    /* sanitizers save registers on the stack: what is found is theirs */
    {"ed25519: secrets wiped", test_wiped},
#endif
};

TEST_MAIN(tests)
