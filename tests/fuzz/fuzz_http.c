/* HTTP: an answer reads the same in any portions; a URL that is accepted can
 * be written and read again; what is written is one line.
 *
 * The first byte of the input: 1 the request was CONNECT, 2 it was HEAD, 4 a
 * short line buffer; the second: the size of the portions. */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* All that is observed of an answer. */
typedef struct trace {
    eice_http h;
    char *line;
    uint64_t hash;
    size_t used;  /* bytes consumed */
    eice_http_event last;
    int phase;    /* STATUS 1, HEAD 2, BODY 3 */
} trace;

static void mix(trace *t, const void *data, size_t len)
{
    const uint8_t *const p = (const uint8_t *)data;
    size_t i;

    for (i = 0; i < len; i++) {
        t->hash = (t->hash ^ p[i]) * 1099511628211u; /* FNV-1a */
    }
}

static void mix_tag(trace *t, unsigned tag)
{
    mix(t, &tag, sizeof tag);
}

static bool over(const trace *t)
{
    return t->last == EICE_HTTP_DONE || t->last == EICE_HTTP_ERROR;
}

/* STATUS HEADER* HEAD BODY* DONE; ERROR anywhere. */
static void check_order(trace *t)
{
    switch (t->last) {
    case EICE_HTTP_STATUS:
        require(t->phase == 0);
        require(t->h.status == 101 || t->h.status >= 200);
        t->phase = 1;
        break;
    case EICE_HTTP_HEADER:
        require(t->phase == 1 && t->h.name.len > 0);
        break;
    case EICE_HTTP_HEAD:
        require(t->phase == 1);
        t->phase = 2;
        break;
    case EICE_HTTP_BODY:
    case EICE_HTTP_DONE:
        require(t->phase >= 2);
        break;
    case EICE_HTTP_MORE:
        break;
    default:
        require(t->h.error.code != EICE_OK && !t->h.keep_alive);
        break;
    }
}

static void note(trace *t, eice_str text)
{
    check_order(t);
    if (t->last == EICE_HTTP_BODY) {
        require(text.len > 0);
        if (t->phase != 3) {
            mix_tag(t, 100);
        }
        t->phase = 3;
    } else {
        mix_tag(t, (unsigned)t->last);
        mix_tag(t, t->h.status);
        mix_tag(t, t->h.keep_alive);
        mix_tag(t, (unsigned)t->h.error.code);
        mix(t, t->h.name.ptr, t->h.name.len);
    }
    mix(t, text.ptr, text.len);
}

static void feed(trace *t, const uint8_t *data, size_t len)
{
    eice_str in = eice_str_make(data, len);

    while (!over(t)) {
        const size_t before = in.len;
        eice_str text;

        t->last = eice_http_next(&t->h, &in, &text);
        require(in.len <= before);
        t->used += before - in.len;
        if (t->last == EICE_HTTP_MORE) {
            require(in.len == 0);
            return;
        }
        note(t, text);
    }
}

static void read_answer(trace *t, unsigned flags, eice_str answer, size_t step)
{
    const size_t cap = (flags & 4u) != 0 ? EICE_HTTP_MIN_LINE : 1024;
    const uint8_t *const p = (const uint8_t *)answer.ptr;
    size_t at;

    memset(t, 0, sizeof *t);
    t->line = (char *)malloc(cap);
    require(t->line != NULL);
    eice_http_init(&t->h, t->line, cap);
    t->h.connect = (flags & 1u) != 0;
    t->h.head_only = (flags & 2u) != 0;
    for (at = 0; at < answer.len && !over(t); at += step) {
        feed(t, p + at, answer.len - at < step ? answer.len - at : step);
    }
    if (!over(t)) {
        t->last = eice_http_eof(&t->h);
        require(over(t));
        note(t, eice_str_make(NULL, 0));
    }
    free(t->line);
}

/* Where reading stopped matters only to those who go on from there. */
static void compare(const trace *a, const trace *b)
{
    require(a->hash == b->hash);
    require(a->last == EICE_HTTP_ERROR || a->used == b->used);
}

static void check_answer(const uint8_t *data, size_t size)
{
    const eice_str answer = eice_str_make(data + 2, size - 2);
    trace whole;
    trace other;

    read_answer(&whole, data[0], answer, answer.len + 1);
    read_answer(&other, data[0], answer, 1);
    compare(&whole, &other);
    read_answer(&other, data[0], answer, (size_t)data[1] + 1);
    compare(&whole, &other);
}

static void check_url(eice_str text)
{
    char *const memory = (char *)malloc(text.len + 16);
    eice_url url;
    eice_url again;
    eice_buf b;

    require(memory != NULL);
    eice_buf_init(&b, memory, text.len + 16);
    if (eice_url_parse(text, &url)) {
        eice_putf(&b, "%S://", &url.scheme);
        eice_put(&b, url.user);
        eice_put_c(&b, "@");
        eice_put_authority(&b, url.host, url.port, url.tls);
        eice_put(&b, url.path);
        require(!b.overflow && eice_url_parse(eice_buf_str(&b), &again));
        require(eice_str_eq(url.host, again.host) && url.port == again.port);
        require(eice_str_eq(url.user, again.user) && url.tls == again.tls);
        require(eice_str_eq(url.path, again.path));
    }
    free(memory);
}

/* One line, ended by the only CR and LF. */
static void check_header(eice_str value)
{
    char *const memory = (char *)malloc(value.len + 16);
    eice_str got;
    eice_buf b;

    require(memory != NULL);
    eice_buf_init(&b, memory, value.len + 16);
    eice_put_header(&b, "Name", value);
    got = eice_buf_str(&b);
    require(b.overflow == (b.len == 0));
    require(b.overflow || eice_str_find(got, '\r') == got.len - 2);
    require(b.overflow || eice_str_find(got, '\n') == got.len - 1);
    free(memory);
}

/* Two lines at most, and a third with the user, then an empty one. */
static void check_connect(eice_str user)
{
    char memory[1024];
    eice_buf b;
    eice_str rest;
    unsigned lines = 0;

    eice_buf_init(&b, memory, sizeof memory);
    eice_put_connect(&b, eice_str_c("host"), 443, user);
    for (rest = eice_buf_str(&b); rest.len > 0; lines++) {
        const eice_str one = eice_str_cut(&rest, '\n');

        require(eice_str_find(one, '\r') == one.len - 1);
    }
    require(lines == (b.overflow ? 0u : user.len > 0 ? 5u : 4u));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const eice_str text = eice_str_make(data, size);

    check_url(text);
    check_header(text);
    check_connect(text);
    if (size >= 2) {
        check_answer(data, size);
    }
    return 0;
}
