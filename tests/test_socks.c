/* SOCKS5, SOCKS4, SOCKS4a and HTTP CONNECT, the server's side. Every input is
 * fed whole, cut in two at every place and byte by byte; each portion ends at
 * a page that may not be read, and each way must tell the same. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "story.h"
#include "test.h"

#define ROOM 40000

static guard edge;        /* ROOM bytes in front of a forbidden page */

static void tell_bytes(const void *data, size_t len)
{
    const unsigned char *p = (const unsigned char *)data;
    size_t i;

    for (i = 0; i < len; i++) {
        if (p[i] > 0x20 && p[i] < 0x7f) {
            tell("%c", p[i]);
        } else {
            tell("\\%02x", p[i]);
        }
    }
}

static void tell_out(eice_socks *s)
{
    const uint8_t *p;
    size_t n;

    while ((n = eice_socks_out(s, &p)) > 0) { /* half of it at a time */
        n = (n + 1) / 2;
        tell_bytes(p, n);
        eice_socks_out_ack(s, n);
    }
}

static eice_socks_event feed(eice_socks *s, const char *data, size_t len,
                             size_t *left)
{
    char *const p = edge.ptr + ROOM - len;
    eice_str in = eice_str_make(p, len);
    eice_socks_event event;

    memcpy(p, data, len);
    event = eice_socks_feed(s, &in);
    *left = in.len;
    if (event == EICE_SOCKS_MORE) {
        CHECK_INT(in.len, 0);
    }
    return event;
}

/* Portions of `first`, then `step` bytes; what is behind the request is told
 * too. */
static void talk(const char *data, size_t len, size_t first, size_t step,
                 eice_socks_outcome outcome)
{
    eice_socks_event event = EICE_SOCKS_MORE;
    eice_socks s;
    size_t at = 0;
    size_t n = first;
    size_t left = 0;

    story_begin();
    eice_socks_init(&s);
    while (event == EICE_SOCKS_MORE && at < len) {
        n = n < len - at ? n : len - at;
        event = feed(&s, data + at, n, &left);
        at += n;
        n = step;
    }
    if (event == EICE_SOCKS_CONNECT) {
        tell("%s %u ", s.host, (unsigned)s.port);
        eice_socks_reply(&s, outcome);
        eice_socks_reply(&s, EICE_SOCKS_GENERAL); /* once only */
        CHECK_INT(feed(&s, "x", 1, &n), EICE_SOCKS_CONNECT);
        CHECK_INT(n, 1);
    } else if (event == EICE_SOCKS_FAILED) {
        tell("failed (%s) ", s.error.text);
        CHECK_INT(s.error.code, EICE_E_ARGUMENT);
        CHECK_INT(feed(&s, "x", 1, &n), EICE_SOCKS_FAILED);
        CHECK_INT(n, 1);
    } else {
        tell("more ");
    }
    tell_out(&s);
    if (event == EICE_SOCKS_CONNECT) {
        tell(" ");
        tell_bytes(data + at - left, len - at + left);
    }
}

typedef struct row {
    const char *bytes;
    size_t len;
    const char *want;
} row;

#define B(text) text, sizeof(text) - 1

static void all_ways(const char *bytes, size_t len, const char *want,
                     eice_socks_outcome outcome)
{
    size_t i;

    for (i = 0; i <= len && len <= 600; i++) {
        talk(bytes, len, i, len, outcome);
        CHECK_TEXT(story, want);
    }
    talk(bytes, len, len, len, outcome);
    CHECK_TEXT(story, want);
    talk(bytes, len, 1, 1, outcome);
    CHECK_TEXT(story, want);
    talk(bytes, len, 3, 2, outcome);
    CHECK_TEXT(story, want);
}

static void run(const row *table, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        all_ways(table[i].bytes, table[i].len, table[i].want, EICE_SOCKS_OK);
    }
}

#define RUN(table) run(table, sizeof(table) / sizeof((table)[0]))

#define OK5 "\\05\\00\\05\\00\\00\\01\\00\\00\\00\\00\\00\\00"
#define NO5(code) "\\05\\00\\05\\" code "\\00\\01\\00\\00\\00\\00\\00\\00"

static void test_socks5(void)
{
    static const row table[] = {
        {B("\5\1\0\5\1\0\1\12\0\0\1\0\120"), "10.0.0.1 80 " OK5 " "},
        {B("\5\2\2\0\5\1\0\3\11a.example\1\273GET"),
         "a.example 443 " OK5 " GET"},
        {B("\5\1\0\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\0\26"),
         "2001:db8::1 22 " OK5 " "},
        {B("\5\1\0\5\1\0\3\1x\377\377\5\1"), "x 65535 " OK5 " \\05\\01"},
    };

    RUN(table);
}

static void test_socks5_refused(void)
{
    static const row table[] = {
        {B("\5\1\2"), "failed (SOCKS5 client: wants to authenticate) "
                      "\\05\\ff"},
        {B("\5\0"), "failed (SOCKS5 client: wants to authenticate) \\05\\ff"},
        {B("\5\1\0\5\2\0\1\1\2\3\4\0\1"),
         "failed (SOCKS5 client: only CONNECT is served) " NO5("07")},
        {B("\5\1\0\5\3\0\3\1x\0\1"),
         "failed (SOCKS5 client: only CONNECT is served) " NO5("07")},
        {B("\5\1\0\5\1\0\2\1"),
         "failed (SOCKS5 client: unknown type of address) " NO5("08")},
        {B("\5\1\0\5\1\0\3\0\0\1"),
         "failed (SOCKS5 client: malformed host name) " NO5("01")},
        {B("\5\1\0\5\1\0\3\3a\0b\0\1"),
         "failed (SOCKS5 client: malformed host name) " NO5("01")},
        {B("\5\1\0\5\1\0\3\3a b\0\1"),
         "failed (SOCKS5 client: malformed host name) " NO5("01")},
        {B("\5\1\0\5\1\0\1\1\2\3\4\0\0"),
         "failed (SOCKS5 client: port 0) " NO5("01")},
        {B("\5\1\0\4"), "failed (SOCKS5 client: not a request of version 5) "
                        NO5("01")},
    };

    RUN(table);
}

static void test_socks4(void)
{
    static const row table[] = {
        {B("\4\1\0\120\12\0\0\1\0tail"),
         "10.0.0.1 80 \\00Z\\00\\00\\00\\00\\00\\00 tail"},
        {B("\4\1\0\26\12\0\0\1user\0"),
         "10.0.0.1 22 \\00Z\\00\\00\\00\\00\\00\\00 "},
        {B("\4\1\0\26\0\0\0\7user\0db.internal\0tail"),
         "db.internal 22 \\00Z\\00\\00\\00\\00\\00\\00 tail"},
        {B("\4\2\0\26\12\0\0\1\0"),
         "failed (SOCKS4 client: only CONNECT is served) "
         "\\00[\\00\\00\\00\\00\\00\\00"},
        {B("\4\1\0\26\0\0\0\1\0\0"),
         "failed (SOCKS4 client: malformed host name) "
         "\\00[\\00\\00\\00\\00\\00\\00"},
        {B("\4\1\0\0\1\2\3\4\0"), "failed (SOCKS4 client: port 0) "
                                  "\\00[\\00\\00\\00\\00\\00\\00"},
        {B("\4\1\0\120\0\0\0\1u\0half"), "more "},
    };

    RUN(table);
}

#define OKH "HTTP/1.1\\20200\\20Connection\\20established\\0d\\0a\\0d\\0a"
#define NOH(status)                                                           \
    "HTTP/1.1\\20" status "\\0d\\0aContent-Length:\\200\\0d\\0a"              \
    "Connection:\\20close\\0d\\0a\\0d\\0a"

static void test_http(void)
{
    static const row table[] = {
        {B("CONNECT a.b:443 HTTP/1.1\r\n\r\n"), "a.b 443 " OKH " "},
        {B("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\nX:\r\n\r\n\26\3"),
         "a.b 443 " OKH " \\16\\03"},
        {B("CONNECT [::1]:22 HTTP/1.0\n\nSSH"), "::1 22 " OKH " SSH"},
        {B("CONNECT ::1:22 HTTP/1.0\n"),
         "failed (HTTP client: malformed request) " NOH("400\\20Bad\\20"
                                                        "Request")},
        {B("CONNECT a HTTP/1.0\n"),
         "failed (HTTP client: malformed request) " NOH("400\\20Bad\\20"
                                                        "Request")},
        {B("CONNECT a:0 HTTP/1.0\n"),
         "failed (HTTP client: malformed request) " NOH("400\\20Bad\\20"
                                                        "Request")},
        {B("CONNECT :1 HTTP/1.0\n"),
         "failed (HTTP client: malformed request) " NOH("400\\20Bad\\20"
                                                        "Request")},
        {B("CONNECT a:1\n"),
         "failed (HTTP client: malformed request) " NOH("400\\20Bad\\20"
                                                        "Request")},
        {B("GET http://a/ HTTP/1.1\r\n"),
         "failed (HTTP client: only CONNECT is served) "
         NOH("405\\20Method\\20Not\\20Allowed")},
        {B("X\n"), "failed (HTTP client: only CONNECT is served) "
                   NOH("405\\20Method\\20Not\\20Allowed")},
    };

    RUN(table);
}

static void test_others(void)
{
    static const row table[] = {
        {B("\26\3\1"),
         "failed (proxy client: speaks neither SOCKS nor HTTP) "},
        {B("\0"), "failed (proxy client: speaks neither SOCKS nor HTTP) "},
        {B("get / HTTP/1.1\r\n"),
         "failed (proxy client: speaks neither SOCKS nor HTTP) "},
    };

    RUN(table);
}

/* Every outcome has its words in each protocol. */
static void test_outcomes(void)
{
    static const char *const http[] = {"200 ", "502 ", "403 ", "502 ", "502 ",
                                       "502 ", "504 ", "405 ", "400 "};
    int i;

    for (i = 0; i <= EICE_SOCKS_BAD_ADDRESS; i++) {
        const eice_socks_outcome o = (eice_socks_outcome)i;
        char want[160];

        snprintf(want, sizeof want, "x 1 " NO5("%02x") " ", (unsigned)i);
        all_ways(B("\5\1\0\5\1\0\3\1x\0\1"), want, o);
        snprintf(want, sizeof want,
                 "1.2.3.4 1 \\00%c\\00\\00\\00\\00\\00\\00 ",
                 i == 0 ? 'Z' : '[');
        all_ways(B("\4\1\0\1\1\2\3\4\0"), want, o);
        talk(B("CONNECT a:1 HTTP/1.1\r\n\r\n"), 9, 9, o);
        snprintf(want, sizeof want, "a 1 HTTP/1.1\\20%.3s\\20", http[i]);
        story[strlen(want)] = 0;
        CHECK_TEXT(story, want);
    }
}

/* ---- limits ------------------------------------------------------------ */

static char big[ROOM];

static void test_longest(void)
{
    const size_t users = 255;
    char want[400];
    size_t n = 8;

    memset(big, 'h', sizeof big);
    memcpy(big, "\4\1\0\26\0\0\0\1", 8);
    n += users;
    big[n++] = 0;
    n += 255;
    big[n++] = 0;
    snprintf(want, sizeof want, "%.255s 22 \\00Z\\00\\00\\00\\00\\00\\00 ",
             big + 8 + users + 1);
    all_ways(big, n, want, EICE_SOCKS_OK);
    memmove(big + 8 + users, big + 8 + users - 1, n);
    talk(big, n + 1, 1, 1, EICE_SOCKS_OK);
    CHECK(strstr(story, "name too long") != NULL);
}

/* A client that never ends its request is cut off, in whatever portions. */
static void test_endless(void)
{
    static const char *const starts[] = {"\4\1\1\1\1\1\1\1", "CONNECT ",
                                         "CONNECT a:1 HTTP/1.1\nX: "};
    size_t i;
    size_t step;

    for (i = 0; i < 3; i++) {
        memset(big, 'e', sizeof big);
        memcpy(big, starts[i], strlen(starts[i]));
        for (step = 1; step < ROOM; step = step * 7 + 1) {
            talk(big, sizeof big, step, step, EICE_SOCKS_OK);
            CHECK(strstr(story, "too long") != NULL);
        }
    }
}

/* Header lines of any length pass; only the sum is bounded. */
static void test_long_field(void)
{
    static const char start[] = "CONNECT a:1 HTTP/1.1\r\nX: ";

    memset(big, 'v', sizeof big);
    memcpy(big, start, sizeof start - 1);
    memcpy(big + 12000, "\r\n\r\nrest", 8);
    all_ways(big, 12008, "a 1 " OKH " rest", EICE_SOCKS_OK);
}

static const test_case tests[] = {
    {"socks: SOCKS5 requests", test_socks5},
    {"socks: SOCKS5 requests refused", test_socks5_refused},
    {"socks: SOCKS4 and 4a", test_socks4},
    {"socks: HTTP CONNECT", test_http},
    {"socks: anything else", test_others},
    {"socks: outcomes", test_outcomes},
    {"socks: the longest request", test_longest},
    {"socks: endless requests", test_endless},
    {"socks: a long field of HTTP", test_long_field},
};

int main(int argc, char **argv)
{
    static char zero[ROOM];

    edge = guard_copy(zero, sizeof zero);
    return test_main(tests, sizeof tests / sizeof tests[0], argc, argv);
}
