/*
 * The writing side of stdio and fgets for the static program, in place of
 * musl's, which has locks, seeks and more reading as well: 5 kB.  Only the musl
 * flavour is linked with it; printf.c stands on it.
 *
 * stdout is written out line by line on a terminal, else in pieces of 1 KiB,
 * and at exit; stderr at once.  After a write that failed the rest is dropped
 * and ferror tells; fflush and fclose answer for what they wrote.  Of stdin no
 * byte is taken but those of the line asked for.
 *
 * MIT licence, see LICENSE.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a FILE is here. */
typedef struct stream {
    int fd;
    bool failed;
    bool asked;   /* whether it is a terminal */
    bool by_line;
    size_t len;
    size_t cap;   /* 0: nothing waits */
    char *waiting;
} stream;

#define WAITING 1024

static char for_stdout[WAITING];
static stream to_stdout = {STDOUT_FILENO, false, false, false, 0, WAITING,
                           for_stdout};
static stream to_stderr = {STDERR_FILENO, false, true, false, 0, 0, NULL};

static stream from_stdin = {STDIN_FILENO, false, true, false, 0, 0, NULL};

FILE *const stdin = (FILE *)&from_stdin;
FILE *const stdout = (FILE *)&to_stdout;
FILE *const stderr = (FILE *)&to_stderr;

static stream *of(FILE *file)
{
    return (stream *)(void *)file;
}

static void write_all(stream *s, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0 && !s->failed) {
        n = write(s->fd, data, len);
        s->failed = n < 0;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
}

static int flush(stream *s)
{
    write_all(s, s->waiting, s->len);
    s->len = 0;
    return s->failed ? EOF : 0;
}

static void put_out(stream *s, const char *data, size_t len)
{
    if (len > s->cap - s->len) {
        (void)flush(s);
    }
    if (len > s->cap) {
        write_all(s, data, len);
        return;
    }
    memcpy(s->waiting + s->len, data, len);
    s->len += len;
    if (!s->asked) {
        s->asked = true;
        s->by_line = isatty(s->fd) != 0;
    }
    if (s->by_line && memchr(data, '\n', len) != NULL) {
        (void)flush(s);
    }
}

int fflush(FILE *file)
{
    return flush(of(file));
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    put_out(of(file), (const char *)data, size * count);
    return of(file)->failed ? 0 : count;
}

int fputs(const char *text, FILE *file)
{
    put_out(of(file), text, strlen(text));
    return of(file)->failed ? EOF : 0;
}

int fputc(int c, FILE *file)
{
    const char byte = (char)c;

    put_out(of(file), &byte, 1);
    return of(file)->failed ? EOF : (unsigned char)byte;
}

int putchar(int c)
{
    return fputc(c, stdout);
}

int puts(const char *text)
{
    (void)fputs(text, stdout);
    return putchar('\n');
}

char *fgets(char *text, int cap, FILE *file)
{
    size_t len = 0;

    while (len + 1 < (size_t)cap && read(of(file)->fd, text + len, 1) == 1
           && text[len++] != '\n') {
    }
    text[len] = 0;
    return len > 0 ? text : NULL;
}

int ferror(FILE *file)
{
    return of(file)->failed;
}

/* For either, whatever the mode says. */
FILE *fdopen(int fd, const char *mode)
{
    stream *const s = (stream *)calloc(1, sizeof *s + WAITING);

    (void)mode;
    if (s != NULL) {
        s->fd = fd;
        s->cap = WAITING;
        s->waiting = (char *)(s + 1);
    }
    return (FILE *)s;
}

/* Of what fdopen opened. */
int fclose(FILE *file)
{
    const int flushed = fflush(file);
    const int closed = close(of(file)->fd);

    free(file);
    return flushed == 0 && closed == 0 ? 0 : EOF;
}

/* What musl's exit calls, and the name under which its own would be missed. */
void __stdio_exit(void);
void __stdio_exit(void)
{
    (void)flush(&to_stdout);
}

void __stdio_exit_needed(void);
void __stdio_exit_needed(void)
{
    __stdio_exit();
}
