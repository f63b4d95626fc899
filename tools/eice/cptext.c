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

/* Bytes, and once all is known per cent and the time it will still take. */
void cp_draw(copy *k)
{
    const uint64_t now = cp_now();
    uint64_t rate;
    char text[120];
    eice_buf b;

    if (k->c->quiet || k->c->json || now - k->drawn_ms < 250
        || isatty(STDERR_FILENO) != 1) {
        return;
    }
    k->drawn_ms = now;
    rate = k->moved * 1000 / (now - k->began_ms + 1);
    eice_buf_init(&b, text, sizeof text);
    if (k->walked && k->total > 0) {
        eice_putf(&b, "%u%%  ", (unsigned)(k->moved * 100 / k->total));
    }
    put_size(&b, k->moved);
    eice_put_c(&b, "  ");
    put_size(&b, rate);
    eice_putf(&b, "/s  %l files", k->files);
    if (k->walked && rate > 0 && k->total >= k->moved) {
        const uint64_t s = (k->total - k->moved) / rate;

        eice_putf(&b, "  %l:%s%u left", s / 60, s % 60 < 10 ? "0" : "",
                  (unsigned)(s % 60));
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
