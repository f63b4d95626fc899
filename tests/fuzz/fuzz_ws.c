/* WebSocket: a stream decodes the same in any portions; what is encoded
 * decodes to what it was.
 *
 * The first byte of the input: 1 text is allowed; the second: the size of the
 * portions. */
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

/* All that is observed of a stream. The parts of a message are hashed apart:
 * how much of a text is reported before it turns out not to be UTF-8 depends
 * on the portions. */
typedef struct trace {
    eice_ws w;
    uint64_t events;
    uint64_t message;
    eice_ws_event last;
    bool open; /* a message has begun */
} trace;

static void mix(uint64_t *hash, const void *data, size_t len)
{
    const uint8_t *const p = (const uint8_t *)data;
    size_t i;

    for (i = 0; i < len; i++) {
        *hash = (*hash ^ p[i]) * 1099511628211u; /* FNV-1a */
    }
}

static void note_data(trace *t, eice_str payload)
{
    require(payload.len > 0 || t->w.message_end);
    require(t->w.allow_text || !t->w.text);
    mix(&t->message, payload.ptr, payload.len);
    t->open = !t->w.message_end;
    if (t->w.message_end) {
        mix(&t->message, &t->w.text, 1);
        mix(&t->events, &t->message, sizeof t->message);
        t->message = 0;
    }
}

static void note(trace *t, eice_str payload)
{
    const unsigned event = (unsigned)t->last;

    if (t->last == EICE_WS_DATA) {
        note_data(t, payload);
        return;
    }
    require(payload.len <= EICE_WS_MAX_CONTROL);
    mix(&t->events, &event, sizeof event);
    mix(&t->events, &t->w.close_code, sizeof t->w.close_code);
    mix(&t->events, payload.ptr, payload.len);
}

static void feed(trace *t, const uint8_t *data, size_t len)
{
    eice_str in = eice_str_make(data, len);
    eice_str payload;

    while (t->last != EICE_WS_ERROR) {
        const size_t before = in.len;

        t->last = eice_ws_next(&t->w, &in, &payload);
        require(in.len <= before);
        if (t->last == EICE_WS_MORE) {
            require(in.len == 0);
            return;
        }
        note(t, payload);
    }
}

static void decode(trace *t, bool allow_text, eice_str s, size_t step)
{
    const uint8_t *const p = (const uint8_t *)s.ptr;
    size_t at;

    memset(t, 0, sizeof *t);
    eice_ws_init(&t->w);
    t->w.allow_text = allow_text;
    for (at = 0; at < s.len; at += step) {
        feed(t, p + at, s.len - at < step ? s.len - at : step);
    }
}

static void compare(const trace *a, const trace *b)
{
    require(a->events == b->events);
    require(a->w.error.code == b->w.error.code);
    require(a->w.close_code == b->w.close_code);
    if (a->w.close_code != EICE_WS_BAD_TEXT) {
        require(a->message == b->message && a->open == b->open);
    }
}

/* A frame of ours, turned into a server's, and decoded. */
static void round_trip(const uint8_t *data, size_t size)
{
    static const uint8_t mask[4] = {1, 2, 4, 0x80};
    uint8_t *const frame = (uint8_t *)malloc(size + EICE_WS_MAX_HEAD);
    uint8_t head[EICE_WS_MAX_HEAD];
    eice_str payload;
    eice_str in;
    eice_ws w;
    size_t n;

    require(frame != NULL);
    n = eice_ws_head(head, EICE_WS_BINARY, size, mask) - 4;
    head[1] &= 0x7f;
    memcpy(frame, head, n);
    if (size > 0) {
        memcpy(frame + n, data, size);
    }
    eice_ws_mask(frame + n, size / 2, mask, 0);
    eice_ws_mask(frame + n + size / 2, size - size / 2, mask, size / 2);
    eice_ws_mask(frame + n, size, head + n, 0); /* the mask behind the head */
    eice_ws_init(&w);
    in = eice_str_make(frame, n + size);
    require(eice_ws_next(&w, &in, &payload) == EICE_WS_DATA);
    require(w.message_end && in.len == 0 && payload.len == size);
    require(size == 0 || memcmp(payload.ptr, data, size) == 0);
    free(frame);
}

/* A close payload of ours is one the decoder takes. */
static void close_trip(const uint8_t *data, size_t size)
{
    uint8_t frame[2 + EICE_WS_MAX_CONTROL];
    eice_str payload;
    eice_str in;
    eice_ws w;
    size_t n;

    n = eice_ws_close(frame + 2, (unsigned)data[0] << 8 | data[1],
                      eice_str_make(data + 2, size - 2));
    require(n <= EICE_WS_MAX_CONTROL);
    frame[0] = 0x88;
    frame[1] = (uint8_t)n;
    eice_ws_init(&w);
    in = eice_str_make(frame, n + 2);
    require(eice_ws_next(&w, &in, &payload) == EICE_WS_GOT_CLOSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    trace whole;
    trace other;
    eice_str stream;

    round_trip(data, size);
    if (size < 2) {
        return 0;
    }
    close_trip(data, size);
    stream = eice_str_make(data + 2, size - 2);
    decode(&whole, data[0] & 1, stream, size);
    decode(&other, data[0] & 1, stream, 1);
    compare(&whole, &other);
    decode(&other, data[0] & 1, stream, (size_t)data[1] + 1);
    compare(&whole, &other);
    return 0;
}
