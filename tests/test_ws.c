/* WebSocket frames (RFC 6455). Every input is decoded whole, cut in two at
 * every place, byte by byte and in small steps; each portion ends at a page
 * that may not be read, and each way must tell the same story. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "story.h"
#include "test.h"

#define ROOM 200000

static guard edge;            /* ROOM bytes in front of a forbidden page */

/* Bytes as text: printable ones as they are, the others as \xx. */
static void tell_bytes(const char *p, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)p[i];

        if (c > 0x20 && c < 0x7f && c != '\\') {
            tell("%c", c);
        } else {
            tell("\\%02x", c);
        }
    }
}

typedef struct teller {
    eice_ws w;
    bool in_data;  /* a DATA line is open: parts of a message are joined */
    bool failed;
} teller;

static void tell_data(teller *t, eice_str payload)
{
    if (!t->in_data) {
        tell("%s:", t->w.text ? "text" : "data");
    }
    tell_bytes(payload.ptr, payload.len);
    t->in_data = !t->w.message_end;
    if (t->w.message_end) {
        tell(".\n");
    }
}

static void tell_event(teller *t, eice_ws_event event, eice_str payload)
{
    static const char *const names[] = {"", "", "ping", "pong", "close", ""};

    if (event == EICE_WS_DATA) {
        tell_data(t, payload);
        return;
    }
    if (t->in_data) {
        tell("-\n");
        t->in_data = false;
    }
    if (event == EICE_WS_ERROR) {
        tell("error %u %s\n", t->w.close_code,
             eice_err_name(t->w.error.code));
        t->failed = true;
        return;
    }
    tell("%s", names[event]);
    if (event == EICE_WS_GOT_CLOSE) {
        tell(" %u", t->w.close_code);
    }
    tell(":");
    tell_bytes(payload.ptr, payload.len);
    tell("\n");
}

static void feed(teller *t, const char *data, size_t len)
{
    char *const p = edge.ptr + ROOM - len;
    eice_str in = eice_str_make(p, len);
    eice_str payload;
    eice_ws_event event;

    memcpy(p, data, len);
    while (!t->failed) {
        event = eice_ws_next(&t->w, &in, &payload);
        if (event == EICE_WS_MORE) {
            CHECK_INT(in.len, 0);
            return;
        }
        tell_event(t, event, payload);
    }
}

static void start(teller *t, bool allow_text)
{
    memset(t, 0, sizeof *t);
    eice_ws_init(&t->w);
    t->w.allow_text = allow_text;
    story_begin();
}

/* Portions of `step` bytes, the first one of `first`. */
static void decode(const char *data, size_t len, bool allow_text, size_t first,
                   size_t step)
{
    teller t;
    size_t at = 0;
    size_t n = first;

    start(&t, allow_text);
    do {
        if (n > len - at) {
            n = len - at;
        }
        feed(&t, data + at, n);
        at += n;
        n = step;
    } while (at < len);
    if (t.in_data) {
        tell("-\n");
    }
    if (t.failed) { /* for ever */
        eice_str in = eice_str_make("\x81\x00", 2);
        eice_str payload;

        CHECK_INT(eice_ws_next(&t.w, &in, &payload), EICE_WS_ERROR);
        CHECK_INT(in.len, 2);
    }
}

static void check_all_ways(const char *data, size_t len, bool allow_text,
                           const char *want)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 13};
    size_t i;

    decode(data, len, allow_text, len, len);
    CHECK_TEXT(story, want);
    for (i = 0; i <= len && len <= 512; i++) {
        decode(data, len, allow_text, i, len);
        CHECK_TEXT(story, want);
    }
    for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        decode(data, len, allow_text, steps[i], steps[i]);
        CHECK_TEXT(story, want);
    }
}

typedef struct frames {
    const char *bytes;
    size_t len;
    const char *want;
} frames;

#define B(text) text, sizeof(text) - 1

static void run_table(const frames *table, size_t count, bool allow_text)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const int before = test_failed;

        check_all_ways(table[i].bytes, table[i].len, allow_text,
                       table[i].want);
        if (test_failed > before) {
            fprintf(stderr, "row %u: expected %s", (unsigned)i,
                    table[i].want);
        }
    }
}

#define RUN(table, allow_text)                                                \
    run_table(table, sizeof(table) / sizeof((table)[0]), allow_text)

/* ---- handshake --------------------------------------------------------- */

static void test_accept(void)
{
    char key[25];
    char accept[29];

    /* RFC 6455 1.3 */
    eice_ws_key((const uint8_t *)"the sample nonce", key);
    CHECK_TEXT(key, "dGhlIHNhbXBsZSBub25jZQ==");
    eice_ws_accept(key, accept);
    CHECK_TEXT(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    /* RFC 6455 4.1: bytes 01 to 10 */
    eice_ws_key((const uint8_t *)"\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20",
                key);
    CHECK_TEXT(key, "AQIDBAUGBwgJCgsMDQ4PEA==");
}

/* ---- decoder ----------------------------------------------------------- */

static void test_rfc_vectors(void)
{
    /* RFC 6455 5.7, without the ones that a client masks */
    static const frames table[] = {
        {B("\x81\x05\x48\x65\x6c\x6c\x6f"), "text:Hello.\n"},
        {B("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"), "text:Hello.\n"},
        {B("\x89\x05\x48\x65\x6c\x6c\x6f"), "ping:Hello\n"},
        {B("\x8a\x05\x48\x65\x6c\x6c\x6f"), "pong:Hello\n"}
    };

    RUN(table, true);
}

/* The two long examples of 5.7 and the borders of the three length forms. */
static void test_lengths(void)
{
    static const size_t lengths[] = {0,   1,     125,   126,   127,
                                     256, 65535, 65536, 131072};
    static uint8_t frame[ROOM];
    size_t i;

    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const uint8_t no_mask[4] = {0, 0, 0, 0};
        const size_t len = lengths[i];
        const size_t head = eice_ws_head(frame, EICE_WS_BINARY, len, no_mask)
            - 4; /* a server's head has no mask */
        eice_ws w;
        eice_str in;
        eice_str payload;

        frame[1] &= 0x7f;
        memset(frame + head, 'x', len);
        eice_ws_init(&w);
        in = eice_str_make(frame, head + len);
        CHECK_INT(eice_ws_next(&w, &in, &payload), EICE_WS_DATA);
        CHECK_INT(payload.len, len);
        CHECK(payload.len == 0 || payload.ptr == (char *)frame + head);
        CHECK(w.message_end);
        CHECK_INT(eice_ws_next(&w, &in, &payload), EICE_WS_MORE);
    }
    eice_ws_head(frame, EICE_WS_BINARY, 256, frame + 100);
    CHECK_BYTES(frame, "\x82\xfe\x01\x00", 4);
    eice_ws_head(frame, EICE_WS_BINARY, 65536, frame + 100);
    CHECK_BYTES(frame, "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

/* A frame of 2^63 - 1 bytes is lawful, and read as far as it comes. */
static void test_huge_frame(void)
{
    static const frames table[] = {
        {B("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" "abc"), "data:abc-\n"},
        {B("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00" "abc"),
         "error 1002 WS_PROTOCOL\n"},
        {B("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff" "abc"),
         "error 1002 WS_PROTOCOL\n"}
    };

    RUN(table, false);
}

static void test_fragments(void)
{
    static const frames table[] = {
        {B("\x02\x01" "a" "\x00\x01" "b" "\x80\x01" "c"), "data:abc.\n"},
        /* empty fragments at the front, in the middle, at the end */
        {B("\x02\x00\x00\x01" "b" "\x80\x00"), "data:b.\n"},
        {B("\x02\x01" "a" "\x00\x00\x80\x01" "b"), "data:ab.\n"},
        {B("\x02\x00\x00\x00\x80\x00"), "data:.\n"},
        {B("\x82\x00"), "data:.\n"},
        {B("\x82\x00\x82\x00\x82\x01z"), "data:.\ndata:.\ndata:z.\n"},
        /* control frames between fragments */
        {B("\x02\x01" "a" "\x89\x00\x00\x01" "b" "\x8a\x02hi\x80\x01" "c"),
         "data:a-\nping:\ndata:b-\npong:hi\ndata:c.\n"},
        {B("\x02\x01" "a" "\x88\x02\x03\xe8"), "data:a-\nclose 1000:\n"},
        /* a text message after a binary one, and back */
        {B("\x82\x01" "a" "\x81\x01" "b" "\x82\x01\xff"),
         "data:a.\ntext:b.\ndata:\\ff.\n"}
    };

    RUN(table, true);
}

static void test_refused(void)
{
    static const char *const bad = "error 1002 WS_PROTOCOL\n";
    const frames table[] = {
        {B("\xc2\x00"), bad},     /* RSV1 */
        {B("\xa2\x00"), bad},     /* RSV2 */
        {B("\x92\x00"), bad},     /* RSV3 */
        {B("\xf2\x00"), bad},
        {B("\x83\x00"), bad},     /* reserved opcodes */
        {B("\x84\x00"), bad},
        {B("\x85\x00"), bad},
        {B("\x86\x00"), bad},
        {B("\x87\x00"), bad},
        {B("\x8b\x00"), bad},
        {B("\x8c\x00"), bad},
        {B("\x8d\x00"), bad},
        {B("\x8e\x00"), bad},
        {B("\x8f\x00"), bad},
        {B("\x82\x80\x01\x02\x03\x04"), bad},          /* masked */
        {B("\x89\x85\x37\xfa\x21\x3d\x7f"), bad},      /* masked ping */
        {B("\x09\x00"), bad},     /* control frames in fragments */
        {B("\x0a\x00"), bad},
        {B("\x08\x00"), bad},
        {B("\x89\x7e\x00\x7e"), bad},                  /* over 125 bytes */
        {B("\x8a\x7e"), bad},
        {B("\x88\x7f"), bad},
        {B("\x80\x01" "a"), bad}, /* continuation of nothing */
        {B("\x00\x00"), bad},
        {B("\x82\x01" "a" "\x80\x01" "b"), "data:a.\nerror 1002 WS_PROTOCOL\n"},
        {B("\x02\x01" "a" "\x82\x01" "b"),
         "data:a-\nerror 1002 WS_PROTOCOL\n"},         /* inside another */
        {B("\x02\x00\x81\x00"), bad},
        {B("\x82\x7e\x00\x7d"), bad},                  /* longer than needed */
        {B("\x82\x7e\x00\x00"), bad},
        {B("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), bad},
        {B("\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x00"), bad}
    };

    RUN(table, false);
}

/* Refusal does not wait for bytes that cannot change it. */
static void test_refused_early(void)
{
    static const frames table[] = {
        {B("\xc2"), "error 1002 WS_PROTOCOL\n"},
        {B("\x83"), "error 1002 WS_PROTOCOL\n"},
        {B("\x80"), "error 1002 WS_PROTOCOL\n"},
        {B("\x82\xff"), "error 1002 WS_PROTOCOL\n"},
        {B("\x81\x05"), "error 1003 WS_PROTOCOL\n"}
    };

    RUN(table, false);
}

static void test_text_not_allowed(void)
{
    static const frames table[] = {
        {B("\x81\x05Hello"), "error 1003 WS_PROTOCOL\n"},
        {B("\x01\x05Hello"), "error 1003 WS_PROTOCOL\n"},
        {B("\x81\x00"), "error 1003 WS_PROTOCOL\n"}
    };
    teller t;

    RUN(table, false);
    start(&t, false);
    feed(&t, table[0].bytes, table[0].len);
    CHECK(strstr(t.w.error.text, "text message: Hello") != NULL);
    CHECK_INT(t.w.error.stage, EICE_STAGE_TUNNEL);
    CHECK_INT(t.w.error.detail_kind, EICE_DETAIL_CLOSE);
    CHECK_INT(t.w.error.detail, 1003);
}

static void test_utf8(void)
{
    static const char *const bad = "error 1007 WS_PROTOCOL\n";
    const frames table[] = {
        {B("\x81\x02\xc2\x80"), "text:\\c2\\80.\n"},
        {B("\x81\x02\xdf\xbf"), "text:\\df\\bf.\n"},
        {B("\x81\x03\xe0\xa0\x80"), "text:\\e0\\a0\\80.\n"},
        {B("\x81\x03\xed\x9f\xbf"), "text:\\ed\\9f\\bf.\n"},
        {B("\x81\x03\xee\x80\x80"), "text:\\ee\\80\\80.\n"},
        {B("\x81\x03\xef\xbf\xbf"), "text:\\ef\\bf\\bf.\n"},
        {B("\x81\x04\xf0\x90\x80\x80"), "text:\\f0\\90\\80\\80.\n"},
        {B("\x81\x04\xf4\x8f\xbf\xbf"), "text:\\f4\\8f\\bf\\bf.\n"},
        {B("\x81\x01\x80"), bad},             /* continuation alone */
        {B("\x81\x01\xbf"), bad},
        {B("\x81\x01\xff"), bad},
        {B("\x81\x01\xfe"), bad},
        {B("\x81\x01\xc0"), bad},             /* overlong */
        {B("\x81\x01\xc1"), bad},
        {B("\x81\x01\xf5"), bad},             /* over U+10FFFF */
        /* a text that ends within a character */
        {B("\x01\x00\x80\x01\xc3"), bad},
        /* characters in two fragments, a ping between them */
        {B("\x01\x01\xc3\x89\x00\x80\x01\xa9"),
         "text:\\c3-\nping:\ntext:\\a9.\n"},
        {B("\x01\x02\xf0\x9f\x00\x01\x98\x80\x01\x80"),
         "text:\\f0\\9f\\98\\80.\n"},
        /* what an aborted check left behind must not reach the next text */
        {B("\x82\x01\xc3\x81\x01" "a"), "data:\\c3.\ntext:a.\n"}
    };

    RUN(table, true);
}

/* Sequences that go wrong after some bytes: the parts reported before that
 * depend on the portions, the verdict may not. */
static void test_utf8_late(void)
{
    static const frames table[] = {
        {B("\x81\x02\xc3\x28"), ""},
        {B("\x81\x03\xe0\x9f\xbf"), ""},      /* overlong */
        {B("\x81\x03\xed\xa0\x80"), ""},      /* surrogates */
        {B("\x81\x03\xed\xbf\xbf"), ""},
        {B("\x81\x04\xf0\x8f\xbf\xbf"), ""},
        {B("\x81\x04\xf4\x90\x80\x80"), ""},
        {B("\x81\x02\xe2\x82"), ""},          /* cut off */
        {B("\x81\x03\xf0\x9f\x98"), ""},
        {B("\x81\x06Hello\xe2"), ""},
        {B("\x01\x01\xe2\x80\x01\x28"), ""}
    };
    size_t i;
    size_t step;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (step = 1; step <= table[i].len; step++) {
            decode(table[i].bytes, table[i].len, true, step, step);
            CHECK(strstr(story, "error 1007 WS_PROTOCOL\n") != NULL);
            CHECK(strstr(story, ".\n") == NULL);
        }
    }
}

/* Every code point through the checker, against the definition. */
static void test_utf8_all(void)
{
    uint32_t c;

    for (c = 0; c < 0x120000; c++) {
        uint8_t s[4];
        size_t n;
        const bool good = c < 0xd800 || (c > 0xdfff && c < 0x110000);

        if (c < 0x80) {
            s[0] = (uint8_t)c;
            n = 1;
        } else if (c < 0x800) {
            s[0] = (uint8_t)(0xc0 | c >> 6);
            s[1] = (uint8_t)(0x80 | (c & 63));
            n = 2;
        } else if (c < 0x10000) {
            s[0] = (uint8_t)(0xe0 | c >> 12);
            s[1] = (uint8_t)(0x80 | (c >> 6 & 63));
            s[2] = (uint8_t)(0x80 | (c & 63));
            n = 3;
        } else {
            s[0] = (uint8_t)(0xf0 | c >> 18);
            s[1] = (uint8_t)(0x80 | (c >> 12 & 63));
            s[2] = (uint8_t)(0x80 | (c >> 6 & 63));
            s[3] = (uint8_t)(0x80 | (c & 63));
            n = 4;
        }
        if (eicei_ws_utf8_whole(eice_str_make(s, n)) != good
            || (n > 1 && eicei_ws_utf8_whole(eice_str_make(s, n - 1)))) {
            test_fail(__FILE__, __LINE__, "U+%04X", (unsigned)c);
            return;
        }
    }
}

static void test_close(void)
{
    static const frames table[] = {
        {B("\x88\x00"), "close 1005:\n"},
        {B("\x88\x02\x03\xe8"), "close 1000:\n"},
        {B("\x88\x05\x03\xe9" "bye"), "close 1001:bye\n"},
        {B("\x88\x03\x03\xe8\xc3"), "error 1007 WS_PROTOCOL\n"},
        {B("\x88\x04\x03\xe8\xc3\xa9"), "close 1000:\\c3\\a9\n"},
        {B("\x88\x01\x03"), "error 1002 WS_PROTOCOL\n"},
        /* what follows is dropped, lawful or not */
        {B("\x88\x02\x03\xe8\x82\x01x"), "close 1000:\n"},
        {B("\x88\x00\xff\xff\xff\xff"), "close 1005:\n"},
        {B("\x88\x00\x88\x02\x03\xe8"), "close 1005:\n"}
    };

    RUN(table, false);
}

static void test_close_codes(void)
{
    unsigned code;

    for (code = 0; code <= 65535; code++) {
        const bool good = (code >= 1000 && code <= 1014 && code != 1004
                           && code != 1005 && code != 1006)
            || (code >= 3000 && code <= 4999);
        char frame[4];
        char want[32];
        uint8_t out[125];

        frame[0] = (char)0x88;
        frame[1] = 2;
        frame[2] = (char)(code >> 8);
        frame[3] = (char)code;
        snprintf(want, sizeof want, good ? "close %u:\n"
                 : "error 1002 WS_PROTOCOL\n", code);
        decode(frame, sizeof frame, false, 4, 4);
        CHECK_TEXT(story, want);
        CHECK_INT(eice_ws_close(out, code, eice_str_c("")), good ? 2 : 0);
        if (good) {
            CHECK_BYTES(out, frame + 2, 2);
        }
        if (test_failed) {
            return;
        }
    }
}

static void test_control_125(void)
{
    static const uint8_t ops[] = {EICE_WS_PING, EICE_WS_PONG, EICE_WS_CLOSE};
    char frame[127];
    size_t i;

    for (i = 0; i < sizeof ops; i++) {
        size_t step;

        memset(frame, 'p', sizeof frame);
        frame[0] = (char)(0x80 | ops[i]);
        frame[1] = 125;
        frame[2] = 0x03;
        frame[3] = (char)0xe8;
        for (step = 1; step <= sizeof frame; step++) {
            decode(frame, sizeof frame, false, step, step);
            CHECK_INT(strlen(strstr(story, "ppp")),
                      123 + 1);
        }
    }
}

/* ---- encoder ----------------------------------------------------------- */

static void test_heads(void)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[EICE_WS_MAX_HEAD];

    CHECK_INT(eice_ws_head(head, EICE_WS_TEXT, 5, mask), 6);
    CHECK_BYTES(head, "\x81\x85\x37\xfa\x21\x3d", 6); /* RFC 6455 5.7 */
    CHECK_INT(eice_ws_head(head, EICE_WS_BINARY, 0, mask), 6);
    CHECK_BYTES(head, "\x82\x80\x37\xfa\x21\x3d", 6);
    CHECK_INT(eice_ws_head(head, EICE_WS_PONG, 125, mask), 6);
    CHECK_BYTES(head, "\x8a\xfd\x37\xfa\x21\x3d", 6);
    CHECK_INT(eice_ws_head(head, EICE_WS_BINARY, 126, mask), 8);
    CHECK_BYTES(head, "\x82\xfe\x00\x7e\x37\xfa\x21\x3d", 8);
    CHECK_INT(eice_ws_head(head, EICE_WS_BINARY, 65535, mask), 8);
    CHECK_BYTES(head, "\x82\xfe\xff\xff\x37\xfa\x21\x3d", 8);
    CHECK_INT(eice_ws_head(head, EICE_WS_BINARY, 65536, mask), 14);
    CHECK_BYTES(head, "\x82\xff\0\0\0\0\0\1\0\0\x37\xfa\x21\x3d", 14);
    CHECK_INT(eice_ws_head(head, EICE_WS_BINARY, UINT64_MAX >> 1, mask), 14);
    CHECK_BYTES(head, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10);
}

/* Every alignment, length and offset against the definition (5.3), and in
 * two parts. */
static void test_mask(void)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t hello[] = {0x7f, 0x9f, 0x4d, 0x51, 0x58};
    size_t from;
    size_t len;
    unsigned at;

    eice_ws_mask(hello, sizeof hello, mask, 0);
    CHECK_BYTES(hello, "Hello", 5); /* RFC 6455 5.7 */
    for (from = 0; from < 9; from++) {
        for (len = 0; len < 40; len++) {
            for (at = 0; at < 9; at++) {
                uint8_t data[64];
                uint8_t want[64];
                const size_t part = len / 3;
                size_t i;

                for (i = 0; i < sizeof data; i++) {
                    data[i] = want[i] = (uint8_t)(i * 37);
                }
                for (i = 0; i < len; i++) {
                    want[from + i] ^= mask[(at + i) % 4];
                }
                eice_ws_mask(data + from, part, mask, at);
                eice_ws_mask(data + from + part, len - part, mask, at + part);
                CHECK_BYTES(data, want, sizeof data);
            }
        }
    }
    memset(hello, 0, sizeof hello);
    eice_ws_mask(hello, 4, mask, UINT64_MAX);
    CHECK_BYTES(hello, "\x3d\x37\xfa\x21", 4);
}

static void test_close_payload(void)
{
    uint8_t out[125];
    char reason[200];

    CHECK_INT(eice_ws_close(out, 1000, eice_str_c("bye")), 5);
    CHECK_BYTES(out, "\x03\xe8" "bye", 5);
    CHECK_INT(eice_ws_close(out, EICE_WS_NO_CODE, eice_str_c("bye")), 0);
    memset(reason, 'r', sizeof reason);
    CHECK_INT(eice_ws_close(out, 4999, eice_str_make(reason, 123)), 125);
    CHECK_INT(eice_ws_close(out, 4999, eice_str_make(reason, 124)), 125);
    memcpy(reason + 122, "\xc3\xa9", 2); /* a character over the border */
    CHECK_INT(eice_ws_close(out, 1000, eice_str_make(reason, 200)), 124);
    memcpy(reason + 120, "\xf0\x9f\x98\x80", 4);
    CHECK_INT(eice_ws_close(out, 1000, eice_str_make(reason, 200)), 122);
    memcpy(reason + 119, "\xf0\x9f\x98\x80r", 5);
    CHECK_INT(eice_ws_close(out, 1000, eice_str_make(reason, 124)), 125);
    CHECK_INT(eice_ws_close(out, 1000, eice_str_c("\xff")), 2);
    memset(reason, 0x80, sizeof reason);
    CHECK_INT(eice_ws_close(out, 1000, eice_str_make(reason, 200)), 2);
    CHECK_INT(eice_ws_close(out, 1000, eice_str_make(NULL, 0)), 2);
}

static const test_case tests[] = {
    {"ws_accept", test_accept},
    {"ws_rfc_vectors", test_rfc_vectors},
    {"ws_lengths", test_lengths},
    {"ws_huge_frame", test_huge_frame},
    {"ws_fragments", test_fragments},
    {"ws_refused", test_refused},
    {"ws_refused_early", test_refused_early},
    {"ws_text_not_allowed", test_text_not_allowed},
    {"ws_utf8", test_utf8},
    {"ws_utf8_late", test_utf8_late},
    {"ws_utf8_all", test_utf8_all},
    {"ws_close", test_close},
    {"ws_close_codes", test_close_codes},
    {"ws_control_125", test_control_125},
    {"ws_heads", test_heads},
    {"ws_mask", test_mask},
    {"ws_close_payload", test_close_payload}
};

TEST_MAIN_EDGE(tests, edge, ROOM)
