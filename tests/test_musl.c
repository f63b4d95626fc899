/* The pieces of a C library that the static program is linked with, against
 * the C library at hand. */
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* Under names of their own. */
#undef printf
#undef fprintf
#undef snprintf
#undef vfprintf
#undef vsnprintf
#define printf small_printf
#define fprintf small_fprintf
#define snprintf small_snprintf
#define vfprintf small_vfprintf
#define vsnprintf small_vsnprintf
#define getpwuid small_getpwuid
#define strerror small_strerror
int small_printf(const char *format, ...);
int small_fprintf(FILE *file, const char *format, ...);
int small_snprintf(char *text, size_t cap, const char *format, ...);
int small_vfprintf(FILE *file, const char *format, va_list args);
int small_vsnprintf(char *text, size_t cap, const char *format, va_list args);
struct passwd *small_getpwuid(uid_t uid);
char *small_strerror(int number);
#define atexit small_atexit
int small_atexit(void (*function)(void));
#define __funcs_on_exit small_funcs_on_exit
#include "../tools/musl/atexit.c"
#undef atexit
#undef __funcs_on_exit
#include "../tools/musl/getpwuid.c"
#include "../tools/musl/printf.c"
#include "../tools/musl/strerror.c"
#undef printf
#undef fprintf
#undef snprintf
#undef vfprintf
#undef vsnprintf
#undef getpwuid
#undef strerror

#undef stdin
#undef stdout
#undef stderr
#define stdin small_stdin
#define stdout small_stdout
#define stderr small_stderr
#define fgets small_fgets
#define fflush small_fflush
#define fwrite small_fwrite
#define fputs small_fputs
#define fputc small_fputc
#define putchar small_putchar
#define puts small_puts
#define ferror small_ferror
#define fdopen small_fdopen
#define fclose small_fclose
#define __stdio_exit small_stdio_exit
#define __stdio_exit_needed small_stdio_exit_needed
char *small_fgets(char *text, int cap, FILE *file);
int small_fflush(FILE *file);
size_t small_fwrite(const void *data, size_t size, size_t count, FILE *file);
int small_fputs(const char *text, FILE *file);
int small_fputc(int c, FILE *file);
int small_putchar(int c);
int small_puts(const char *text);
int small_ferror(FILE *file);
FILE *small_fdopen(int fd, const char *mode);
int small_fclose(FILE *file);
#include "../tools/musl/stdio.c"

#define clock_gettime small_clock_gettime
#define __clock_gettime small_musl_gettime
#define time small_time
int small_clock_gettime(clockid_t id, struct timespec *now);
time_t small_time(time_t *out);
#include "../tools/musl/clock.c"
#undef clock_gettime
#undef time

#undef stdin
#undef stdout
#undef stderr
#undef fgets
#undef fflush
#undef fwrite
#undef fputs
#undef fputc
#undef putchar
#undef puts
#undef ferror
#undef fdopen
#undef fclose

/* The format is a literal both times: the compiler checks it. */
#define SAME(cap, ...)                                                        \
    do {                                                                      \
        char ours_[400];                                                      \
        char theirs_[400];                                                    \
        int got_;                                                             \
        int want_;                                                            \
        memset(ours_, '#', sizeof ours_);                                     \
        memset(theirs_, '#', sizeof theirs_);                                 \
        got_ = small_snprintf(ours_, cap, __VA_ARGS__);                       \
        want_ = snprintf(theirs_, cap, __VA_ARGS__);                          \
        CHECK_INT(got_, want_);                                               \
        CHECK_BYTES(ours_, theirs_, sizeof ours_);                            \
    } while (0)

static void test_musl_numbers(void)
{
    static const int n[] = {0, 1, -1, 9, 10, -10, 123456, INT32_MAX, INT32_MIN};
    char here[1] = "";
    size_t i;

    for (i = 0; i < sizeof n / sizeof n[0]; i++) {
        const unsigned u = (unsigned)n[i];
        const long l = (long)n[i] * 65537;
        const long long ll = (long long)n[i] * 4294967295;

        SAME(400, "%d|%i|%u|%x|%X|%%|%c", n[i], n[i], u, u, u, 'a');
        SAME(400, "%6u ms %+6d ms|%-8d|%08d|%-8x|%04x", u, n[i], n[i], n[i], u,
             u);
        SAME(400, "%ld|%lu|%lld|%llu|%zu|%jd|%td|%lx", l, (unsigned long)l, ll,
             (unsigned long long)ll, (size_t)l, (intmax_t)ll, (ptrdiff_t)l,
             (unsigned long)l);
        SAME(400, "%.3d|%8.3d|%-8.3d|%.0d|%*d|%.*d", n[i], n[i], n[i], 1, 7,
             n[i], 5, n[i]);
    }
    SAME(400, "%d", (int)INT32_MIN);
    SAME(400, "%lld", (long long)INT64_MIN);
    SAME(400, "%p", (void *)here);
}

static void test_musl_texts(void)
{
    const char *const text = "abcdefghij";
    size_t cap;

    SAME(400, "%s|%12s|%-12s|%3s|%.3s|%.*s|%-6.2s|%6.2s", text, text, text,
         text, text, 4, text, text, text);
    SAME(400, "%c%c%5c%-5c|", 'x', 0, 'y', 'z');
    SAME(400, "%.4s", "abcd");
    SAME(400, "%s", "");
    for (cap = 1; cap < 30; cap++) {
        SAME(cap, "<%s>%6d<%-4s>", text, 42, "q");
    }
    CHECK_INT(small_snprintf(NULL, 0, "%s", text), 10);
}

static void test_musl_files(void)
{
    char big[700];
    char read_back[2200];
    FILE *const f = tmpfile();
    size_t n;

    CHECK(f != NULL);
    memset(big, 'b', sizeof big);
    big[sizeof big - 1] = 0;
    CHECK_INT(small_fprintf(f, "%s", ""), 0);
    CHECK_INT(small_fprintf(f, "%d%s%256d", 7, big, 5), 1 + 699 + 256);
    CHECK_INT(small_fprintf(f, "%256d", 5), 256);
    CHECK_INT(small_fprintf(f, "%512s.", "x"), 513);
    rewind(f);
    n = fread(read_back, 1, sizeof read_back, f);
    CHECK_INT((int)n, 1 + 699 + 256 + 256 + 513);
    CHECK(read_back[0] == '7' && memcmp(read_back + 1, big, 699) == 0);
    CHECK(read_back[955] == '5' && read_back[1211] == '5');
    CHECK(read_back[n - 1] == '.' && read_back[n - 2] == 'x');
    fclose(f);
}

/* What waits on the other end of a pipe, at most cap bytes. */
static size_t piped(int fd, char *out, size_t cap)
{
    const ssize_t n = read(fd, out, cap);

    return n > 0 ? (size_t)n : 0;
}

static void test_musl_stream(void)
{
    static char big[3000];
    char back[8000];
    int ends[2];
    FILE *f;

    CHECK_INT(pipe(ends), 0);
    CHECK_INT(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    f = small_fdopen(ends[1], "w");
    CHECK(f != NULL);
    CHECK(small_fputs("one", f) >= 0);
    CHECK_INT(small_fputc('\n', f), '\n');
    CHECK_INT((int)piped(ends[0], back, sizeof back), 0); /* no terminal */
    CHECK_INT(small_fflush(f), 0);
    CHECK_INT((int)piped(ends[0], back, sizeof back), 4);
    CHECK(memcmp(back, "one\n", 4) == 0);

    memset(big, 'b', sizeof big);
    CHECK_INT((int)small_fwrite("<", 1, 1, f), 1);
    CHECK_INT((int)small_fwrite(big, 1, 1023, f), 1023); /* just full */
    CHECK_INT((int)piped(ends[0], back, sizeof back), 0);
    CHECK_INT((int)small_fwrite(">", 1, 1, f), 1);
    CHECK_INT((int)piped(ends[0], back, sizeof back), 1024);
    CHECK(back[0] == '<' && back[1023] == 'b');
    CHECK_INT((int)small_fwrite(big, 1, sizeof big, f), (int)sizeof big);
    CHECK_INT((int)piped(ends[0], back, sizeof back), 1 + (int)sizeof big);
    CHECK(back[0] == '>' && back[sizeof big] == 'b');

    CHECK(small_fputs("last", f) >= 0);
    CHECK_INT(small_fclose(f), 0);
    CHECK_INT((int)piped(ends[0], back, sizeof back), 4);
    CHECK_INT(close(ends[0]), 0);
}

static void test_musl_lines(void)
{
    char line[6];
    int ends[2];
    FILE *f;

    CHECK_INT(pipe(ends), 0);
    CHECK_INT((int)write(ends[1], "yes\n\nlonger\nend", 15), 15);
    CHECK_INT(close(ends[1]), 0);
    f = small_fdopen(ends[0], "r");
    CHECK(f != NULL);
    CHECK_TEXT(small_fgets(line, sizeof line, f), "yes\n");
    CHECK_TEXT(small_fgets(line, sizeof line, f), "\n");
    CHECK_TEXT(small_fgets(line, sizeof line, f), "longe");
    CHECK_TEXT(small_fgets(line, sizeof line, f), "r\n");
    CHECK_TEXT(small_fgets(line, sizeof line, f), "end");
    CHECK(small_fgets(line, sizeof line, f) == NULL);
    CHECK_INT(small_fclose(f), 0);
}

static void test_musl_full(void)
{
    FILE *const f = small_fdopen(open("/dev/full", O_WRONLY), "w");

    CHECK(f != NULL);
    CHECK(small_fputs("lost", f) >= 0);
    CHECK_INT(small_ferror(f), 0);
    CHECK_INT(small_fflush(f), EOF);
    CHECK(small_ferror(f) != 0);
    CHECK_INT(small_fputs("more", f), EOF);
    CHECK_INT(small_fclose(f), EOF);
}

/* stdout is kept until the end of the program, stderr is not. */
static void test_musl_standard(void)
{
    const int kept[] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    char back[100];
    int ends[2];
    size_t n;

    CHECK_INT(pipe(ends), 0);
    CHECK(dup2(ends[1], STDOUT_FILENO) >= 0);
    CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
    small_puts("out");
    small_putchar('!');
    small_fputs("err", small_stderr);
    small_stdio_exit_needed();
    CHECK(dup2(kept[0], STDOUT_FILENO) >= 0);
    CHECK(dup2(kept[1], STDERR_FILENO) >= 0);
    n = piped(ends[0], back, sizeof back);
    CHECK_INT((int)n, 8);
    CHECK(memcmp(back, "errout\n!", 8) == 0);
}

static void test_musl_clock(void)
{
    struct timespec before;
    struct timespec now;
    time_t seconds;

    CHECK_INT(clock_gettime(CLOCK_MONOTONIC, &before), 0);
    CHECK_INT(small_clock_gettime(CLOCK_MONOTONIC, &now), 0);
    CHECK(now.tv_sec > before.tv_sec
          || (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec));
    CHECK(now.tv_sec - before.tv_sec < 60);
    CHECK_INT(small_clock_gettime((clockid_t)12345, &now), -1);
    CHECK(small_time(&seconds) - time(NULL) < 2);
    CHECK(seconds - time(NULL) > -60);
}

static char test_exits[8];

static void test_exit_a(void)
{
    strcat(test_exits, "a");
}

static void test_exit_b(void)
{
    strcat(test_exits, "b");
}

/* The last comes first, and none twice. */
static void test_musl_exit(void)
{
    CHECK_INT(small_atexit(test_exit_a), 0);
    CHECK_INT(small_atexit(test_exit_b), 0);
    small_funcs_on_exit();
    small_funcs_on_exit();
    CHECK_TEXT(test_exits, "ba");
    while (functions_count < MOST) {
        CHECK_INT(small_atexit(test_exit_a), 0);
    }
    CHECK(small_atexit(test_exit_a) != 0);
}

/* Accounts that only another name service knows are left out. */
/* Most words differ from glibc's; that both know the number, and that no two
 * have the same words, is seen. */
static void test_musl_errors(void)
{
    static const unsigned char all[] = {ERRORS(NUMBER)};
    size_t i;
    size_t k;

    for (i = 0; i < sizeof all; i++) {
        CHECK(strstr(strerror(all[i]), "Unknown") == NULL);
        for (k = 0; k < i; k++) {
            CHECK(strcmp(small_strerror(all[i]), small_strerror(all[k])));
        }
    }
    CHECK_TEXT(small_strerror(EPERM), strerror(EPERM));
    CHECK_TEXT(small_strerror(ECONNREFUSED), strerror(ECONNREFUSED));
    CHECK_TEXT(small_strerror(ENOMEDIUM), strerror(ENOMEDIUM));
    CHECK_TEXT(small_strerror(ENOSPC), strerror(ENOSPC));
    CHECK_TEXT(small_strerror(EDQUOT), "Quota exceeded");
    CHECK_TEXT(small_strerror(0), "No error information");
    CHECK_TEXT(small_strerror(-1), "No error information");
    CHECK_TEXT(small_strerror(4000), "No error information");
}

static void test_musl_passwd(void)
{
    unsigned seen = 0;
    unsigned uid;

    for (uid = 0; uid < 200; uid++) {
        const struct passwd *const ours = small_getpwuid(uid);
        const struct passwd *theirs;

        if (ours != NULL) {
            theirs = getpwuid(uid);
            CHECK(theirs != NULL);
            CHECK_TEXT(ours->pw_name, theirs->pw_name);
            CHECK_TEXT(ours->pw_dir, theirs->pw_dir);
            CHECK_TEXT(ours->pw_shell, theirs->pw_shell);
            CHECK_INT(ours->pw_gid, theirs->pw_gid);
            seen++;
        }
    }
    CHECK(seen > 1); /* root and some daemon */
    CHECK(small_getpwuid((uid_t)4000000123u) == NULL);
}

static const test_case tests[] = {
    {"musl: numbers", test_musl_numbers},
    {"musl: texts", test_musl_texts},
    {"musl: files", test_musl_files},
    {"musl: stream", test_musl_stream},
    {"musl: lines", test_musl_lines},
    {"musl: full disk", test_musl_full},
    {"musl: stdout and stderr", test_musl_standard},
    {"musl: clock", test_musl_clock},
    {"musl: passwd", test_musl_passwd},
    {"musl: errors", test_musl_errors},
    {"musl: exit", test_musl_exit},
};

TEST_MAIN(tests)
