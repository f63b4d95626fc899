/* Constant time, as far as valgrind can see it: secrets are declared
 * undefined, so every branch and every address that depends on them is an
 * error of memcheck. The program starts itself under valgrind. To see where
 * an error is, run it under valgrind by hand. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#define HAS_MEMCHECK 1
#include <valgrind/memcheck.h>
#endif
#endif

#ifdef HAS_MEMCHECK

static uint8_t seed[32];
static uint8_t public_key[32];
static const uint8_t msg[200] = {1, 2, 3};
static volatile unsigned sink;

static void make_secret(void)
{
    memset(seed, 0x5c, sizeof seed);
    VALGRIND_MAKE_MEM_UNDEFINED(seed, sizeof seed);
}

/* The checks below prove something only if these two errors are seen. */
static void test_sees_branch(void)
{
    const unsigned before = VALGRIND_COUNT_ERRORS;

    make_secret();
    if (seed[3] > 9) {
        sink++;
    }
    CHECK(VALGRIND_COUNT_ERRORS > before);
}

static void test_sees_index(void)
{
    static const volatile uint8_t table[256] = {0};
    const unsigned before = VALGRIND_COUNT_ERRORS;

    make_secret();
    sink = table[seed[5]];
    CHECK(VALGRIND_COUNT_ERRORS > before);
}

static void test_public(void)
{
    const unsigned before = VALGRIND_COUNT_ERRORS;
    unsigned undefined;

    make_secret();
    eice_ed25519_public(public_key, seed);
    /* The key must come from the seed, or nothing was tested. */
    undefined = VALGRIND_CHECK_MEM_IS_DEFINED(public_key, 32) != 0;
    CHECK_INT(VALGRIND_COUNT_ERRORS - before, undefined);
    CHECK_INT(undefined, 1);
    VALGRIND_MAKE_MEM_DEFINED(public_key, sizeof public_key);
}

static void test_sign(void)
{
    uint8_t sig[64];
    unsigned before;
    size_t len;

    memset(seed, 0x5c, sizeof seed);
    eice_ed25519_public(public_key, seed);
    before = VALGRIND_COUNT_ERRORS;
    for (len = 0; len <= sizeof msg; len += 40) {
        make_secret();
        eice_ed25519_sign(sig, seed, public_key, msg, len);
        CHECK_INT(VALGRIND_COUNT_ERRORS, before);
        VALGRIND_MAKE_MEM_DEFINED(sig, sizeof sig);
        CHECK(eice_ed25519_verify(sig, public_key, msg, len));
        before = VALGRIND_COUNT_ERRORS;
    }
}

static void test_x25519(void)
{
    const uint8_t base[32] = {9};
    const unsigned before = VALGRIND_COUNT_ERRORS;
    uint8_t out[32];
    bool good;

    make_secret();
    good = eice_x25519(out, seed, base);
    CHECK_INT(VALGRIND_COUNT_ERRORS, before);
    VALGRIND_MAKE_MEM_DEFINED(&good, sizeof good);
    CHECK(good);
}

static const test_case tests[] = {
    {"constant time: a branch is seen", test_sees_branch},
    {"constant time: an index is seen", test_sees_index},
    {"constant time: ed25519 public key", test_public},
    {"constant time: ed25519 signature", test_sign},
    {"constant time: x25519", test_x25519},
};

int main(int argc, char **argv)
{
    if (RUNNING_ON_VALGRIND == 0) {
        execlp("valgrind", "valgrind", "-q", "--log-file=/dev/null", argv[0],
               argc > 1 ? argv[1] : (char *)NULL, (char *)NULL);
        printf("SKIP constant time: valgrind is not installed\n");
        return 0;
    }
    return test_main(tests, sizeof tests / sizeof tests[0], argc, argv);
}

#else

int main(void)
{
    printf("SKIP constant time: built without valgrind/memcheck.h\n");
    return 0;
}

#endif
