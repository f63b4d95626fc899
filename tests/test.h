/* A small harness: one line a test on stdout, PASS, FAIL or SKIP. */
#ifndef EICE_TEST_H
#define EICE_TEST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int test_failed;      /* checks failed in the running test */
static char test_note[512];  /* the first failure, or why it was skipped */
static int test_skipped;

#if defined(__GNUC__)
__attribute__((unused, format(printf, 3, 4)))
#endif
static void test_fail(const char *file, int line, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (test_failed++ == 0) {
        snprintf(test_note, sizeof test_note, "%s:%d: %s", file, line, text);
    }
}

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            test_fail(__FILE__, __LINE__, "%s", #condition);                  \
        }                                                                     \
    } while (0)

#define CHECK_INT(got, want)                                                  \
    do {                                                                      \
        const long long g_ = (long long)(got), w_ = (long long)(want);        \
        if (g_ != w_) {                                                       \
            test_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #got,  \
                      g_, w_);                                                \
        }                                                                     \
    } while (0)

/* got: C string */
#define CHECK_TEXT(got, want)                                                 \
    do {                                                                      \
        const char *g_ = (got), *w_ = (want);                                 \
        if (strcmp(g_, w_) != 0) {                                            \
            test_fail(__FILE__, __LINE__, "%s is \"%.100s\", expected "       \
                      "\"%.100s\"", #got, g_, w_);                            \
        }                                                                     \
    } while (0)

/* got: eice_str */
#define CHECK_STR(got, want)                                                  \
    do {                                                                      \
        const eice_str g_ = (got);                                            \
        const char *w_ = (want);                                              \
        if (g_.len != strlen(w_)                                              \
            || (g_.len > 0 && memcmp(g_.ptr, w_, g_.len) != 0)) {             \
            test_fail(__FILE__, __LINE__, "%s is \"%.*s\", expected "         \
                      "\"%.100s\"", #got,                                     \
                      (int)(g_.len > 100 ? 100 : g_.len), g_.ptr, w_);        \
        }                                                                     \
    } while (0)

#define CHECK_BYTES(got, want, len)                                           \
    do {                                                                      \
        if (memcmp((got), (want), (len)) != 0) {                              \
            test_fail(__FILE__, __LINE__, "%s differs from %s", #got, #want); \
        }                                                                     \
    } while (0)

/* Ends the running test as skipped: for what a machine lacks. */
#define SKIP(reason)                                                          \
    do {                                                                      \
        test_skipped = 1;                                                     \
        snprintf(test_note, sizeof test_note, "%s", (reason));                \
        return;                                                               \
    } while (0)

typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;

/* Runs the table; an argument runs only the tests whose name contains it. */
static inline int test_main(const test_case *tests, size_t count, int argc,
                            char **argv)
{
    int failures = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        if (argc > 1 && strstr(tests[i].name, argv[1]) == NULL) {
            continue;
        }
        test_failed = 0;
        test_skipped = 0;
        test_note[0] = 0;
        tests[i].run();
        if (test_failed != 0) {
            printf("FAIL %s: %s (%d checks)\n", tests[i].name, test_note,
                   test_failed);
            failures++;
        } else if (test_skipped) {
            printf("SKIP %s: %s\n", tests[i].name, test_note);
        } else {
            printf("PASS %s\n", tests[i].name);
        }
        fflush(stdout);
    }
    return failures != 0;
}

#define TEST_MAIN(table)                                                      \
    int main(int argc, char **argv)                                           \
    {                                                                         \
        return test_main(table, sizeof(table) / sizeof((table)[0]), argc,     \
                         argv);                                               \
    }

/* A copy whose last byte touches a page that may not be read: one byte too
 * far is a crash. Free with guard_free. */
typedef struct guard {
    char *ptr;
    char *map;
    size_t map_len;
} guard;

static inline guard guard_copy(const void *data, size_t len)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (len + page - 1) / page * page;
    guard g;

    g.map_len = room + page;
    g.map = (char *)mmap(NULL, g.map_len, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == (char *)MAP_FAILED
        || mprotect(g.map + room, page, PROT_NONE) != 0) {
        abort();
    }
    g.ptr = g.map + room - len;
    if (len > 0) {
        memcpy(g.ptr, data, len);
    }
    return g;
}

static inline void guard_free(guard *g)
{
    munmap(g->map, g->map_len);
}

/* The same with `edge`, `room` bytes in front of a forbidden page. */
#define TEST_MAIN_EDGE(table, edge, room)                                     \
    int main(int argc, char **argv)                                           \
    {                                                                         \
        static const char zero[room];                                         \
        int result;                                                           \
                                                                              \
        edge = guard_copy(zero, room);                                        \
        result = test_main(table, sizeof(table) / sizeof((table)[0]), argc,   \
                           argv);                                             \
        guard_free(&edge);                                                    \
        return result;                                                        \
    }

#endif
