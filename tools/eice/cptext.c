/* eice cp: what it says, and how far it is. */
#include "cp.h"

#include <unistd.h>

uint64_t cp_now(void)
{
    return eice_posix_now().ms;
}

void cp_clear_line(copy *k)
{
    if (k->shown) {
        fputs("\r\033[K", stderr);
        k->shown = false;
    }
}

void cp_say(copy *k, const char *path, const char *why)
{
    const eice_str name = eice_str_c(path);
    eice_error e;

    cp_clear_line(k);
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_SESSION, "%S: %s", &name, why);
    if (k->c->json) {
        cli_report(k->c, &e);
    } else {
        fprintf(stderr, "eice: %s\n", e.text);
    }
}

void cp_complain(copy *k, const char *path, const char *why)
{
    if (!k->stop) { /* else that has been said, and is why */
        k->errors++;
        cp_say(k, path, why);
    }
}

static void put_size(eice_buf *b, uint64_t n)
{
    static const char units[] = "BKMGT";
    size_t u = 0;

    for (n *= 10; n >= 10240 && u < 4; u++) {
        n /= 1024;
    }
    eice_put_u64(b, n / 10);
    if (u > 0) {
        eice_putf(b, ".%u", (unsigned)(n % 10));
    }
    eice_put_byte(b, (unsigned char)units[u]);
}

static void put_time(eice_buf *b, uint64_t s)
{
    if (s >= 3600) {
        eice_putf(b, "%l:%s", s / 3600, s % 3600 < 600 ? "0" : "");
        s %= 3600;
    }
    eice_putf(b, "%l:%s%u", s / 60, s % 60 < 10 ? "0" : "",
              (unsigned)(s % 60));
}

/* Bytes a second, the latest counting most. */
static void measure(copy *k, uint64_t now)
{
    const uint64_t bytes = k->moved > k->spared ? k->moved - k->spared : 0;
    const uint64_t sample = bytes > k->drawn
                                ? (bytes - k->drawn) * 1000
                                      / (now - k->drawn_ms + 1)
                                : 0;

    k->rate = k->rate > 0 ? (7 * k->rate + sample) / 8 : sample;
    k->drawn = bytes;
}

/* One of the things on the line, the most wanted first, or nothing. */
static void put_field(const copy *k, eice_buf *b, unsigned n)
{
    switch (n) {
    case 0:
        if (k->walked && k->total > 0) {
            eice_putf(b, "%u%%", (unsigned)(k->moved * 100 / k->total));
        }
        break;
    case 1:
        put_size(b, k->moved);
        break;
    case 2:
        put_size(b, k->rate);
        eice_put_c(b, "/s");
        break;
    case 3:
        if (k->walked && k->rate > 0 && k->total >= k->moved) {
            put_time(b, (k->total - k->moved) / k->rate);
            eice_put_c(b, " left");
        }
        break;
    default:
        eice_putf(b, "%l files", k->files);
        break;
    }
}

/* Bytes, and once all is known per cent and the time it will still take; as
 * much of that as the terminal is wide. */
void cp_draw(copy *k)
{
    const uint64_t now = cp_now();
    char text[120];
    char field[40];
    eice_buf b;
    eice_buf f;
    eice_pty size;
    unsigned n;

    if (k->c->quiet || k->c->json || now - k->drawn_ms < 250) {
        return;
    }
    measure(k, now);
    k->drawn_ms = now;
    if (isatty(STDERR_FILENO) != 1) {
        return;
    }
    cli_term_size(STDERR_FILENO, &size);
    eice_buf_init(&b, text, sizeof text);
    for (n = 0; n < 5; n++) {
        eice_buf_init(&f, field, sizeof field);
        put_field(k, &f, n);
        if (f.len > 0 && b.len + f.len + 2 < size.columns) {
            eice_putf(&b, "%s%s", b.len > 0 ? "  " : "", eice_buf_c(&f));
        }
    }
    fprintf(stderr, "\r\033[K%s", eice_buf_c(&b));
    k->shown = true;
}

void *cp_must(void *memory)
{
    if (memory == NULL) {
        fputs("eice: out of memory\n", stderr);
        exit(CLI_FAILED);
    }
    return memory;
}

char *cp_text(const char *text, size_t len)
{
    return (char *)cp_must(strndup(text, len));
}

char *cp_join(const char *directory, const char *name, size_t len)
{
    const size_t n = strlen(directory);
    char *path = (char *)cp_must(calloc(1, n + len + 2));

    memcpy(path, directory, n);
    if (n > 0 && path[n - 1] != '/') {
        path[n] = '/';
    }
    memcpy(path + strlen(path), name, len);
    return path;
}

eice_str cp_base_name(const char *path)
{
    size_t len = strlen(path);
    size_t at;
    eice_str name;

    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    for (at = len; at > 0 && path[at - 1] != '/'; at--) {
    }
    name = eice_str_make(path + at, len - at);
    return eice_sftp_plain(name) ? name : eice_str_make("", 0);
}
