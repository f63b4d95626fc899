/* HTTP/1.1: URLs, what is written, what is read. Every answer is read whole,
 * cut in two at every place, byte by byte and in small steps; each portion
 * ends at a page that may not be read, and each way must tell the same
 * story. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"

#define S(text) eice_str_make(text, sizeof(text) - 1)
#define B(text) text, sizeof(text) - 1
#define ROOM 300000

static guard edge;        /* ROOM bytes in front of a forbidden page */
static char line[8192];   /* the parser's buffer, its end is its limit */
static char story[16384]; /* what a parser reported */
static eice_buf told;

static void tell(const char *text)
{
    eice_put_c(&told, text);
}

/* ---- URLs -------------------------------------------------------------- */

static void test_url(void)
{
    static const struct {
        const char *url;
        const char *want; /* tls user host port path, or NULL */
    } table[] = {
        {"http://h", "0||h|80|/"},
        {"https://h", "1||h|443|/"},
        {"ws://h/", "0||h|80|/"},
        {"wss://h/x?y=z/?", "1||h|443|/x?y=z/?"},
        {"HTTPS://Ex-am_ple.COM./", "1||Ex-am_ple.COM.|443|/"},
        {"http://h:8080", "0||h|8080|/"},
        {"http://h:/", "0||h|80|/"},
        {"http://h:00080/", "0||h|80|/"},
        {"http://h:65535/a", "0||h|65535|/a"},
        {"http://u:p@h:1/", "0|u:p|h|1|/"},
        {"http://u@h", "0|u|h|80|/"},
        {"http://@h", "0||h|80|/"},
        {"http://u:p%40%2f@h/@", "0|u:p%40%2f|h|80|/@"},
        {"http://u:p@ss@h/", "0|u:p@ss|h|80|/"},
        {"http://[::1]/", "0||::1|80|/"},
        {"http://[fd00:ec2::254]:81/latest", "0||fd00:ec2::254|81|/latest"},
        {"http://u:[::2]@[::1]", "0|u:[::2]|::1|80|/"},
        {"http://[::ffff:1.2.3.4]", "0||::ffff:1.2.3.4|80|/"},
        {"http://169.254.170.2/v2/?a", "0||169.254.170.2|80|/v2/?a"},
        {"", NULL},
        {"http", NULL},
        {"http:", NULL},
        {"http:/", NULL},
        {"http://", NULL},
        {"http:///", NULL},
        {"http:h", NULL},
        {"//h", NULL},
        {"h:80", NULL},
        {"ftp://h", NULL},
        {"httpss://h", NULL},
        {"http s://h", NULL},
        {" http://h", NULL},
        {"http://h ", NULL},
        {"http://h/a b", NULL},
        {"http://h/\r\nX: y", NULL},
        {"http://h\t", NULL},
        {"http://h/\x7f", NULL},
        {"http://h/\xc3\xa9", NULL},
        {"http://h/#f", NULL},
        {"http://h#f", NULL},
        {"http://h?q", NULL},
        {"http://h\\@g/", NULL},
        {"http://h%41/", NULL},
        {"http://h,g/", NULL},
        {"http://h:0/", NULL},
        {"http://h:65536/", NULL},
        {"http://h:18446744073709551617/", NULL},
        {"http://h:+1/", NULL},
        {"http://h:8o/", NULL},
        {"http://h:80:80/", NULL},
        {"http://:80/", NULL},
        {"http://u@/", NULL},
        {"http://u@:80/", NULL},
        {"http://::1/", NULL},
        {"http://[]/", NULL},
        {"http://[::1/", NULL},
        {"http://[::1]x/", NULL},
        {"http://[::1]]/", NULL},
        {"http://[1.2.3.4]/", NULL},
        {"http://[h]/", NULL},
        {"http://[fe80::1%25eth0]/", NULL}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        guard g = guard_copy(table[i].url, strlen(table[i].url));
        char got[200];
        eice_buf b;
        eice_url url;

        eice_buf_init(&b, got, sizeof got);
        if (!eice_url_parse(eice_str_make(g.ptr, strlen(table[i].url)),
                            &url)) {
            if (table[i].want != NULL) {
                test_fail(__FILE__, __LINE__, "%s refused", table[i].url);
            }
        } else if (table[i].want == NULL) {
            test_fail(__FILE__, __LINE__, "%s accepted", table[i].url);
        } else {
            eice_putf(&b, "%d|%S|%S|%u|%S", (int)url.tls, &url.user,
                      &url.host, (unsigned)url.port, &url.path);
            CHECK_TEXT(eice_buf_c(&b), table[i].want);
        }
        guard_free(&g);
    }
}

static void test_url_long(void)
{
    char text[400];
    eice_url url;

    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    CHECK(eice_url_parse(eice_str_make(text, 7 + 253), &url));
    CHECK_INT(url.host.len, 253);
    CHECK(!eice_url_parse(eice_str_make(text, 7 + 254), &url));
    CHECK(!eice_url_parse(eice_str_make("http://a\0b", 10), &url));
    CHECK(!eice_url_parse(eice_str_make(NULL, 0), &url));
}

/* ---- requests ---------------------------------------------------------- */

static void test_authority(void)
{
    static const struct {
        const char *host;
        uint16_t port;
        bool tls;
        const char *want; /* NULL: refused */
    } table[] = {
        {"h", 80, false, "h"},
        {"h", 443, true, "h"},
        {"h", 443, false, "h:443"},
        {"h", 80, true, "h:80"},
        {"::1", 80, false, "[::1]"},
        {"::1", 81, false, "[::1]:81"},
        {"1.2.3.4", 8443, true, "1.2.3.4:8443"},
        {"", 80, false, NULL},
        {"h\r\nX: y", 80, false, NULL},
        {"h:1", 80, false, NULL},
        {"u@h", 80, false, NULL},
        {"h/", 80, false, NULL}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        char memory[40];
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        eice_put_c(&b, "Host: ");
        eice_put_authority(&b, eice_str_c(table[i].host), table[i].port,
                           table[i].tls);
        CHECK(b.overflow == (table[i].want == NULL));
        CHECK_TEXT(eice_buf_c(&b) + 6,
                   table[i].want == NULL ? "" : table[i].want);
    }
}

static void test_header(void)
{
    static const struct {
        const char *name;
        const char *value;
        size_t len;
        bool good;
    } table[] = {
        {"X-Name", B("value"), true},
        {"x!#$%&'*+-.^_`|~1", B(""), true},
        {"X", B("tab\tand \xc3\xa9"), true},
        {"X", B("a\rb"), false},
        {"X", B("a\nb"), false},
        {"X", B("a\0b"), false},
        {"X", B("a\x1b[0m"), false},
        {"X", B("a\x7f"), false},
        {"", B("a"), false},
        {"X:", B("a"), false},
        {"X Y", B("a"), false},
        {"X\n", B("a"), false},
        {"X\xc3", B("a"), false}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        char memory[60];
        char want[60];
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        eice_put_c(&b, "A: b\r\n");
        eice_put_header(&b, table[i].name,
                        eice_str_make(table[i].value, table[i].len));
        CHECK(b.overflow == !table[i].good);
        snprintf(want, sizeof want, "A: b\r\n");
        if (table[i].good) {
            snprintf(want, sizeof want, "A: b\r\n%s: %s\r\n", table[i].name,
                     table[i].value);
        }
        CHECK_STR(eice_buf_str(&b), want);
    }
}

/* Nothing of a header that does not fit. */
static void test_header_no_room(void)
{
    char memory[16];
    size_t cap;

    for (cap = 1; cap < sizeof memory; cap++) {
        eice_buf b;

        eice_buf_init(&b, memory, cap);
        eice_put_header(&b, "Name", eice_str_c("value"));
        CHECK(b.overflow == (cap < 13));
        CHECK_INT(b.len, cap < 13 ? 0 : 13);
    }
}

static void test_connect_request(void)
{
    static const struct {
        const char *host;
        uint16_t port;
        const char *user;
        const char *want; /* NULL: refused */
    } table[] = {
        {"h", 443, "", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n"
         "User-Agent: eice/" EICE_VERSION "\r\n\r\n"},
        {"::1", 80, "", "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n"
         "User-Agent: eice/" EICE_VERSION "\r\n\r\n"},
        /* RFC 7617 2 */
        {"h", 1, "Aladdin:open%20sesame",
         "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
         "User-Agent: eice/" EICE_VERSION "\r\nProxy-Authorization: Basic "
         "QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"},
        /* without password; with a colon in it; with a bare percent sign */
        {"h", 1, "u", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
         "User-Agent: eice/" EICE_VERSION "\r\nProxy-Authorization: Basic "
         "dTo=\r\n\r\n"},
        {"h", 1, "u:a:b%3ac", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
         "User-Agent: eice/" EICE_VERSION "\r\nProxy-Authorization: Basic "
         "dTphOmI6Yw==\r\n\r\n"},
        {"h", 1, "%75:100%", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
         "User-Agent: eice/" EICE_VERSION "\r\nProxy-Authorization: Basic "
         "dToxMDAl\r\n\r\n"},
        {"h\r\n", 1, "", NULL},
        {"", 1, "", NULL},
        {"h", 1, "a%3ab:c", NULL}, /* a colon in the name */
        {"h", 1, "a:b%0d%0a", NULL},
        {"h", 1, "a%00:b", NULL}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        char memory[300];
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        eice_put_connect(&b, eice_str_c(table[i].host), table[i].port,
                         eice_str_c(table[i].user));
        CHECK(b.overflow == (table[i].want == NULL));
        CHECK_STR(eice_buf_str(&b), table[i].want == NULL ? ""
                  : table[i].want);
    }
}

/* The longest user that fits, and one byte more. What did not fit is not
 * left behind. */
static void test_connect_user_long(void)
{
    char user[EICE_HTTP_MAX_USER + 2];
    char memory[1024];
    eice_buf b;
    size_t full;
    size_t cap;

    memset(user, 'u', sizeof user);
    user[10] = ':';
    eice_buf_init(&b, memory, sizeof memory);
    eice_put_proxy_user(&b, eice_str_make(user, EICE_HTTP_MAX_USER + 1));
    CHECK(!b.overflow);
    CHECK_INT(b.len, 27 + (EICE_HTTP_MAX_USER + 1 + 2) / 3 * 4 + 2);
    eice_buf_init(&b, memory, sizeof memory);
    eice_put_proxy_user(&b, eice_str_make(user, EICE_HTTP_MAX_USER + 2));
    CHECK(b.overflow && b.len == 0);
    eice_buf_init(&b, memory, sizeof memory);
    eice_put_connect(&b, S("h"), 1, eice_str_make(user, 380));
    CHECK(!b.overflow);
    full = b.len;
    for (cap = 1; cap < full; cap++) {
        memset(memory, 0, sizeof memory);
        eice_buf_init(&b, memory, cap);
        eice_put_connect(&b, S("h"), 1, eice_str_make(user, 380));
        CHECK(b.overflow && b.len == 0);
        CHECK(strstr(memory, "Basic") == NULL);
    }
}

static void test_lists(void)
{
    CHECK(eice_http_lists(S("upgrade"), "Upgrade"));
    CHECK(eice_http_lists(S("keep-alive, Upgrade"), "upgrade"));
    CHECK(eice_http_lists(S(" ,\tUPGRADE ,,"), "upgrade"));
    CHECK(!eice_http_lists(S("upgrades, x-upgrade"), "upgrade"));
    CHECK(!eice_http_lists(S("up grade"), "upgrade"));
    CHECK(!eice_http_lists(S(""), "upgrade"));
    CHECK(!eice_http_lists(eice_str_make(NULL, 0), "upgrade"));
}

/* ---- answers ----------------------------------------------------------- */

typedef struct answer {
    const char *bytes;
    size_t len;
    const char *want;
    char request; /* 0, 'H' for HEAD, 'C' for CONNECT */
} answer;

typedef struct teller {
    eice_http h;
    bool in_body; /* parts of a body are joined */
    bool over;    /* DONE or ERROR */
} teller;

static void tell_end(teller *t, eice_http_event event)
{
    if (event == EICE_HTTP_DONE) {
        tell(t->h.keep_alive ? "DONE keep\n" : "DONE\n");
    } else {
        eice_putf(&told, "ERROR %s\n", eice_err_name(t->h.error.code));
        CHECK(!t->h.keep_alive);
    }
    t->over = true;
}

static void tell_event(teller *t, eice_http_event event, eice_str text)
{
    if (t->in_body && event != EICE_HTTP_BODY) {
        tell("\n");
        t->in_body = false;
    }
    switch (event) {
    case EICE_HTTP_STATUS:
        eice_putf(&told, "%u %S\n", t->h.status, &text);
        break;
    case EICE_HTTP_HEADER:
        eice_putf(&told, "%S: %S\n", &t->h.name, &text);
        break;
    case EICE_HTTP_HEAD:
        tell("-\n");
        break;
    case EICE_HTTP_BODY:
        CHECK(text.len > 0);
        tell(t->in_body ? "" : "> ");
        eice_put_safe(&told, text);
        t->in_body = true;
        break;
    default:
        tell_end(t, event);
        break;
    }
}

/* Feeds one portion; what is left behind DONE is told too. */
static void feed(teller *t, const char *data, size_t len)
{
    char *const p = edge.ptr + ROOM - len;
    eice_str in = eice_str_make(p, len);
    eice_str text;
    eice_http_event event;

    if (len > 0) {
        memcpy(p, data, len);
    }
    while (!t->over) {
        event = eice_http_next(&t->h, &in, &text);
        CHECK((t->h.name.len > 0) == (event == EICE_HTTP_HEADER));
        CHECK(text.len == 0 || event == EICE_HTTP_STATUS
              || event == EICE_HTTP_HEADER
              || event == EICE_HTTP_BODY);
        if (event == EICE_HTTP_MORE) {
            CHECK_INT(in.len, 0);
            return;
        }
        tell_event(t, event, text);
    }
    if (t->h.error.code == EICE_OK) {
        eice_put_safe(&told, in);
    }
}

/* Portions of `step` bytes, the first one of `first`; then the end. */
static void read_answer(const answer *a, size_t first, size_t step)
{
    teller t;
    size_t at = 0;
    size_t n = first;

    memset(&t, 0, sizeof t);
    eice_buf_init(&told, story, sizeof story);
    memset(line, '#', sizeof line);
    eice_http_init(&t.h, line, 128);
    t.h.connect = a->request == 'C';
    t.h.head_only = a->request == 'H';
    do {
        if (n > a->len - at) {
            n = a->len - at;
        }
        feed(&t, a->bytes + at, n);
        at += n;
        n = step;
    } while (at < a->len);
    if (!t.over) {
        const eice_http_event event = eice_http_eof(&t.h);

        tell(t.in_body ? "\n" : "");
        tell("EOF ");
        tell_end(&t, event);
    }
    CHECK_INT(line[128], '#');
    CHECK(!told.overflow);
    (void)eice_buf_c(&told);
}

static void read_all_ways(const answer *a)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 13};
    size_t i;

    read_answer(a, a->len, a->len);
    CHECK_TEXT(story, a->want);
    for (i = 0; i <= a->len && a->len <= 1024; i++) {
        read_answer(a, i, a->len);
        CHECK_TEXT(story, a->want);
    }
    for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        read_answer(a, steps[i], steps[i]);
        CHECK_TEXT(story, a->want);
    }
}

static void run_table(const answer *table, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const int before = test_failed;

        read_all_ways(&table[i]);
        if (test_failed > before) {
            fprintf(stderr, "row %u: %s\nexpected %s", (unsigned)i,
                    table[i].bytes, table[i].want);
        }
    }
}

#define RUN(table) run_table(table, sizeof(table) / sizeof((table)[0]))
#define OK "HTTP/1.1 200 OK\r\n"

static void test_status_line(void)
{
    static const answer table[] = {
        {B("HTTP/1.1 204 No Content\r\n\r\n"),
         "204 No Content\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 \r\n\r\n"), "204 \n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204\r\n\r\n"), "204 \n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 \xc3\xa9t\xc3\xa9 \t \r\n\r\n"),
         "204 \xc3\xa9t\xc3\xa9\n-\nDONE keep\n", 0},
        {B("HTTP/1.0 204 x\r\n\r\n"), "204 x\n-\nDONE\n", 0},
        {B("HTTP/1.9 204 x\r\n\r\n"), "204 x\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n"),
         "999 x\ncontent-length: 0\n-\nDONE keep\n", 0},
        {B("HTTP/2.0 200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/2 200\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1. 200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.10 200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1  200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1\t200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("http/1.1 200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B(" HTTP/1.1 200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("\r\nHTTP/1.1 200 OK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 099 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 20 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 20\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1./ 200 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.x 200 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 2000 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 2x0 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 -20 x\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 200\tOK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 200 O\0K\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 200 O\rK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 200 \x1b[1mOK\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("SSH-2.0-OpenSSH_9.2\r\n"), "ERROR HTTP\n", 0},
        {B("\x15\x03\x01\x00\x02\x02\x46"), "ERROR HTTP\n", 0},
        {B("GET / HTTP/1.1\r\n\r\n"), "ERROR HTTP\n", 0}
    };

    RUN(table);
}

static void test_headers(void)
{
    static const answer table[] = {
        {B("HTTP/1.1 204 x\r\nX-Y:z\r\nA: \t b \t\r\nC:\r\nD:   \r\n"
           "E: f:g\r\n\r\n"),
         "204 x\nx-y: z\na: b\nc: \nd: \ne: f:g\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA!#$%&'*+-.^_`|~Z9: x\r\n\r\n"),
         "204 x\na!#$%&'*+-.^_`|~z9: x\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA: \xe9\r\n\r\n"),
         "204 x\na: ?\n-\nDONE keep\n", 0},
        /* LF alone ends lines of a head */
        {B("HTTP/1.1 204 x\nA: b\n\n"), "204 x\na: b\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA: b\n\r\n"), "204 x\na: b\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA: b\r\n\nrest"),
         "204 x\na: b\n-\nDONE keep\nrest", 0},
        /* folded lines, at the front too */
        {B("HTTP/1.1 204 x\r\nA: b\r\n c\r\n\r\n"),
         "204 x\na: b\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA: b\r\n\tc: d\r\n\r\n"),
         "204 x\na: b\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\n A: b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\n \r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        /* names */
        {B("HTTP/1.1 204 x\r\nA : b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA\t: b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\n: b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA(): b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA\xc3: b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nHTTP/1.1 200 OK\r\n\r\n"),
         "204 x\nERROR HTTP\n", 0},
        /* controls, CR alone */
        {B("HTTP/1.1 204 x\r\nA: \0\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA: b\rC: d\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA: b\r\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\n\rA: b\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA: \x7f\r\n\r\n"), "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA: \x0b\r\n\r\n"), "204 x\nERROR HTTP\n", 0}
    };

    RUN(table);
}

static void test_no_body(void)
{
    static const answer table[] = {
        {B(OK "Content-Length: 5\r\n\r\nrest"),
         "200 OK\ncontent-length: 5\n-\nDONE keep\nrest", 'H'},
        {B(OK "Transfer-Encoding: chunked\r\n\r\nrest"),
         "200 OK\ntransfer-encoding: chunked\n-\nDONE keep\nrest", 'H'},
        {B(OK "\r\nrest"), "200 OK\n-\nDONE keep\nrest", 'H'},
        {B("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nrest"),
         "304 x\ncontent-length: 5\n-\nDONE keep\nrest", 0},
        {B("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\nrest"),
         "204 x\ncontent-length: 5\n-\nDONE keep\nrest", 0},
        /* the stream is another protocol's */
        {B("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\n\r\n\x81\x01x"),
         "101 x\nupgrade: websocket\nconnection: Upgrade\n-\nDONE\n??x", 0},
        {B("HTTP/1.1 101 x\r\nContent-Length: 5, 6\r\n\r\nrest"),
         "101 x\ncontent-length: 5, 6\n-\nDONE\nrest", 0},
        /* RFC 9110 9.3.6: framing is not looked at */
        {B("HTTP/1.1 200 Connection established\r\n\r\nrest"),
         "200 Connection established\n-\nDONE\nrest", 'C'},
        {B("HTTP/1.0 299 x\r\nContent-Length: nonsense\r\n"
           "Transfer-Encoding: gzip\r\n\r\nrest"),
         "299 x\ncontent-length: nonsense\ntransfer-encoding: gzip\n-\n"
         "DONE\nrest", 'C'},
        /* a refused CONNECT is an answer like any other */
        {B("HTTP/1.1 407 x\r\nContent-Length: 3\r\n\r\nnorest"),
         "407 x\ncontent-length: 3\n-\n> nor\nDONE keep\nest", 'C'}
    };

    RUN(table);
}

static void test_interim(void)
{
    static const answer table[] = {
        {B("HTTP/1.1 100 Continue\r\n\r\n"
           "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n"
           "Transfer-Encoding: gzip\r\nConnection: close\r\nLink: x\r\n\r\n"
           OK "Content-Length: 1\r\n\r\nxrest"),
         "200 OK\ncontent-length: 1\n-\n> x\nDONE keep\nrest", 0},
        {B("HTTP/1.0 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n"),
         "204 x\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 x\r\n\r\nrest"),
         "101 x\n-\nDONE\nrest", 0},
        {B("HTTP/1.1 100 Continue\r\nbad line\r\n\r\n"), "ERROR HTTP\n", 0},
        {B("HTTP/1.1 100 Continue\r\n\r\n"), "EOF ERROR NET_RESET\n", 0}
    };

    RUN(table);
}

static void test_content_length(void)
{
    static const answer table[] = {
        {B(OK "Content-Length: 5\r\n\r\nhellorest"),
         "200 OK\ncontent-length: 5\n-\n> hello\nDONE keep\nrest", 0},
        {B(OK "Content-Length: 0\r\n\r\nrest"),
         "200 OK\ncontent-length: 0\n-\nDONE keep\nrest", 0},
        {B(OK "cOnTENT-lENGTH:005\r\n\r\nhello"),
         "200 OK\ncontent-length: 005\n-\n> hello\nDONE keep\n", 0},
        {B(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
         "200 OK\ncontent-length: 5\ncontent-length: 5\n-\n> hello\n"
         "DONE keep\n", 0},
        {B(OK "Content-Length: 5 ,\t5\r\n\r\nhello"),
         "200 OK\ncontent-length: 5 ,?5\n-\n> hello\nDONE keep\n", 0},
        {B(OK "Content-Length: 9223372036854775807\r\n\r\nhello"),
         "200 OK\ncontent-length: 9223372036854775807\n-\n> hello\n"
         "EOF ERROR NET_RESET\n", 0},
        {B(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
         "200 OK\ncontent-length: 5\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 5, 6\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 5,\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: ,5\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 5,,5\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length:\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: +5\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: -5\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 1 2\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 0x5\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 5.0\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 5;\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: \"5\"\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 9223372036854775808\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 18446744073709551621\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 99999999999999999999999999\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length : 5\r\n\r\n"), "200 OK\nERROR HTTP\n", 0}
    };

    RUN(table);
}

#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_TOLD "200 OK\ntransfer-encoding: chunked\n-\n"

static void test_chunked(void)
{
    static const answer table[] = {
        {B(CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nrest"),
         CHUNKED_TOLD "> hello world\nDONE keep\nrest", 0},
        {B(CHUNKED "0\r\n\r\nrest"), CHUNKED_TOLD "DONE keep\nrest", 0},
        {B(CHUNKED "00000000000000A\r\n0123456789\r\n000\r\n\r\n"),
         CHUNKED_TOLD "> 0123456789\nDONE keep\n", 0},
        {B(CHUNKED "a\r\n0123456789\r\n0\r\n\r\n"),
         CHUNKED_TOLD "> 0123456789\nDONE keep\n", 0},
        /* extensions */
        {B(CHUNKED "1;a\r\nx\r\n1 \t;a=b\r\ny\r\n1;a=\"c;d\";e\r\nz\r\n"
           "0;end\r\n\r\n"),
         CHUNKED_TOLD "> xyz\nDONE keep\n", 0},
        /* trailers are read and dropped */
        {B(CHUNKED "1\r\nx\r\n0\r\nContent-Length: 7\r\nA: b\r\n\r\nrest"),
         CHUNKED_TOLD "> x\nDONE keep\nrest", 0},
        {B(CHUNKED "0\r\nA: b\n\nrest"), CHUNKED_TOLD "DONE keep\nrest", 0},
        {B(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"),
         CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "0\r\nrest\r\n\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        /* sizes */
        {B(CHUNKED "7fffffffffffffff\r\nx"),
         CHUNKED_TOLD "> x\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "ffffffffffffffff\r\nx"),
         CHUNKED_TOLD "> x\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "10000000000000000\r\nx"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "00000000000000001\r\nx"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "0000000000000000001\r\nx"),
         CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED ";a\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "g\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "0x5\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "+5\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "-5\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED " 5\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "5 \r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "5 5\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "5,5\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        /* the lines between end with CRLF, nothing else */
        {B(CHUNKED "1\nx\r\n0\r\n\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "1;a\nx\r\n0\r\n\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "1\rx\r\n"), CHUNKED_TOLD "ERROR HTTP\n", 0},
        {B(CHUNKED "1\r\nx\n0\r\n\r\n"), CHUNKED_TOLD "> x\nERROR HTTP\n", 0},
        {B(CHUNKED "1\r\nx\r0\r\n\r\n"), CHUNKED_TOLD "> x\nERROR HTTP\n", 0},
        {B(CHUNKED "1\r\nxy\r\n0\r\n\r\n"),
         CHUNKED_TOLD "> x\nERROR HTTP\n", 0},
        {B(CHUNKED "1\r\nx0\r\n\r\n"), CHUNKED_TOLD "> x\nERROR HTTP\n", 0}
    };

    RUN(table);
}

/* What two readers might frame in two ways. */
static void test_framing_conflicts(void)
{
    static const answer table[] = {
        {B(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
         "200 OK\ntransfer-encoding: chunked\ncontent-length: 5\n"
         "ERROR HTTP\n", 0},
        {B(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "200 OK\ncontent-length: 5\ntransfer-encoding: chunked\n"
         "ERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: gzip\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: identity\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: xchunked\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding:\r\n\r\n"), "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: chunked\r\n"
           "Transfer-Encoding: chunked\r\n\r\n"),
         "200 OK\ntransfer-encoding: chunked\nERROR HTTP\n", 0},
        {B("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: CHUNKED \r\n\r\n0\r\n\r\n"),
         "200 OK\ntransfer-encoding: CHUNKED\n-\nDONE keep\n", 0}
    };

    RUN(table);
}

static void test_keep_alive(void)
{
    static const answer table[] = {
        {B(OK "Content-Length: 0\r\nConnection: close\r\n\r\n"),
         "200 OK\ncontent-length: 0\nconnection: close\n-\nDONE\n", 0},
        {B(OK "Content-Length: 0\r\nConnection: Keep-Alive, CLOSE\r\n\r\n"),
         "200 OK\ncontent-length: 0\nconnection: Keep-Alive, CLOSE\n-\n"
         "DONE\n", 0},
        {B(OK "Content-Length: 0\r\nConnection: x\r\nConnection: close\r\n"
           "\r\n"), "200 OK\ncontent-length: 0\nconnection: x\n"
         "connection: close\n-\nDONE\n", 0},
        {B(OK "Content-Length: 0\r\nConnection: close\r\nConnection: x\r\n"
           "\r\n"), "200 OK\ncontent-length: 0\nconnection: close\n"
         "connection: x\n-\nDONE\n", 0},
        {B("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"
           "Connection: keep-alive\r\nConnection: x\r\n\r\n"),
         "200 OK\ncontent-length: 0\nconnection: keep-alive\nconnection: x\n"
         "-\nDONE keep\n", 0},
        {B(OK "Content-Length: 0\r\nConnection: closed\r\n\r\n"),
         "200 OK\ncontent-length: 0\nconnection: closed\n-\nDONE keep\n", 0},
        {B("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
         "200 OK\ncontent-length: 0\n-\nDONE\n", 0},
        {B("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"
           "Connection: keep-alive\r\n\r\n"),
         "200 OK\ncontent-length: 0\nconnection: keep-alive\n-\n"
         "DONE keep\n", 0},
        {B("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx"),
         "200 OK\nconnection: keep-alive\n-\n> x\nEOF DONE\n", 0}
    };

    RUN(table);
}

static void test_eof(void)
{
    static const answer table[] = {
        {B(""), "EOF ERROR NET_RESET\n", 0},
        {B("HTT"), "EOF ERROR NET_RESET\n", 0},
        {B("HTTP/1.1 200 OK\r"), "EOF ERROR NET_RESET\n", 0},
        {B(OK), "200 OK\nEOF ERROR NET_RESET\n", 0},
        {B(OK "A: b"), "200 OK\nEOF ERROR NET_RESET\n", 0},
        {B(OK "A: b\r\n"), "200 OK\na: b\nEOF ERROR NET_RESET\n", 0},
        {B(OK "A: b\r\n\r"), "200 OK\na: b\nEOF ERROR NET_RESET\n", 0},
        {B(OK "\r\n"), "200 OK\n-\nEOF DONE\n", 0},
        {B(OK "\r\nhello"), "200 OK\n-\n> hello\nEOF DONE\n", 0},
        {B(OK "Content-Length: 5\r\n\r\nhell"),
         "200 OK\ncontent-length: 5\n-\n> hell\nEOF ERROR NET_RESET\n", 0},
        {B(OK "Content-Length: 5\r\n\r\n"),
         "200 OK\ncontent-length: 5\n-\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED), CHUNKED_TOLD "EOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5"), CHUNKED_TOLD "EOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5\r\n"), CHUNKED_TOLD "EOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5\r\nhell"),
         CHUNKED_TOLD "> hell\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5\r\nhello"),
         CHUNKED_TOLD "> hello\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5\r\nhello\r\n"),
         CHUNKED_TOLD "> hello\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5\r\nhello\r\n0\r\n"),
         CHUNKED_TOLD "> hello\nEOF ERROR NET_RESET\n", 0},
        {B(CHUNKED "5\r\nhello\r\n0\r\nA: b\r\n"),
         CHUNKED_TOLD "> hello\nEOF ERROR NET_RESET\n", 0}
    };

    RUN(table);
}

static void test_eof_again(void)
{
    eice_http h;
    eice_str in = S(OK "Content-Length: 1\r\n\r\nx");
    eice_str text;

    eice_http_init(&h, line, 64);
    h.stage = EICE_STAGE_PROXY;
    CHECK_INT(eice_http_eof(&h), EICE_HTTP_ERROR);
    CHECK_INT(h.error.code, EICE_E_NET_RESET);
    CHECK_INT(h.error.stage, EICE_STAGE_PROXY);
    CHECK_TEXT(h.error.text, "the peer closed the connection before the "
               "answer began");
    CHECK_INT(eice_http_eof(&h), EICE_HTTP_ERROR);
    CHECK_INT(eice_http_next(&h, &in, &text), EICE_HTTP_ERROR);

    /* the body is there, DONE was not asked for yet */
    eice_http_init(&h, line, 64);
    while (eice_http_next(&h, &in, &text) != EICE_HTTP_BODY) {
    }
    CHECK_INT(eice_http_eof(&h), EICE_HTTP_DONE);
    CHECK(h.keep_alive);
    CHECK_INT(eice_http_eof(&h), EICE_HTTP_DONE);
    CHECK_INT(eice_http_next(&h, &in, &text), EICE_HTTP_DONE);
}

/* ---- limits ------------------------------------------------------------ */

/* Repeats: `head`, then `unit` `count` times, then `tail`. */
static size_t build(char *out, const char *head, const char *unit,
                    size_t count, const char *tail)
{
    char *p = out;

    p += strlen(strcpy(p, head));
    while (count-- > 0) {
        p += strlen(strcpy(p, unit));
    }
    p += strlen(strcpy(p, tail));
    return (size_t)(p - out);
}

static char big[ROOM];

/* The last line of the story, with its end in front of what was left. */
static void check_big(size_t len, const char *want_end)
{
    answer a;
    size_t n;

    a.bytes = big;
    a.len = len;
    a.want = NULL;
    a.request = 0;
    read_answer(&a, len, len);
    n = strlen(want_end);
    if (told.len < n || strcmp(story + told.len - n, want_end) != 0) {
        test_fail(__FILE__, __LINE__, "ends \"%s\", expected \"%s\"",
                  story + (told.len < 40 ? 0 : told.len - 40), want_end);
    }
    read_answer(&a, 1, 1);
    CHECK(told.len >= n && strcmp(story + told.len - n, want_end) == 0);
}

static void test_limit_count(void)
{
    check_big(build(big, "HTTP/1.1 204 x\r\n", "A: b\r\n", 128, "\r\n"),
              "-\nDONE keep\n");
    check_big(build(big, "HTTP/1.1 204 x\r\n", "A: b\r\n", 129, "\r\n"),
              "a: b\nERROR LIMIT\n");
    /* trailers count too */
    check_big(build(big, CHUNKED "0\r\n", "A: b\r\n", 127, "\r\n"),
              "DONE keep\n");
    check_big(build(big, CHUNKED "0\r\n", "A: b\r\n", 128, "\r\n"),
              "ERROR LIMIT\n");
}

static void test_limit_bytes(void)
{
    static const char start[] = "HTTP/1.1 204 x\r\nA: ";
    const size_t room = EICE_HTTP_MAX_HEAD - (sizeof start - 1) - 4;

    check_big(build(big, start, "x", room, "\r\n\r\n"), "-\nDONE keep\n");
    check_big(build(big, start, "x", room + 1, "\r\n\r\n"), "ERROR LIMIT\n");
    check_big(build(big, "HTTP/1.1 200 ", "x", 70000, ""), "ERROR LIMIT\n");
    check_big(build(big, "", "x", 70000, ""), "ERROR LIMIT\n");
    /* an endless row of 1xx heads */
    check_big(build(big, "", "HTTP/1.1 100 x\r\n\r\n", 4000, ""),
              "ERROR LIMIT\n");
    /* extensions: one long, many short */
    check_big(build(big, CHUNKED "1;", "x", 70000, ""), "ERROR LIMIT\n");
    check_big(build(big, CHUNKED, "1;aaaaaaaaa\r\nx\r\n", 7000, ""),
              "\nERROR LIMIT\n");
}

/* A long body of short chunks without extensions is nobody's harm. */
static void test_many_chunks(void)
{
    const size_t len = build(big, CHUNKED, "1\r\nx\r\n", 40000, "0\r\n\r\n");
    eice_str in = eice_str_make(big, len);
    eice_str text;
    eice_http h;
    eice_http_event event;
    size_t body = 0;

    eice_http_init(&h, line, 64);
    do {
        event = eice_http_next(&h, &in, &text);
        body += event == EICE_HTTP_BODY ? text.len : 0;
    } while (event != EICE_HTTP_DONE && event != EICE_HTTP_ERROR);
    CHECK_INT(event, EICE_HTTP_DONE);
    CHECK_INT(body, 40000);
    CHECK_INT(in.len, 0);
}

/* Lines longer than the buffer, which takes 128 bytes here. */
static void test_cut(void)
{
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define LONG FIFTY FIFTY TEN TEN TEN TEN
    static const answer table[] = {
        /* 123 bytes of value fit behind "A: " and "BB: " does not */
        {B("HTTP/1.1 204 x\r\nA: " FIFTY FIFTY TEN TEN "01234\r\n"
           "BB: " FIFTY FIFTY TEN TEN "01234\r\nC: d\r\n\r\n"),
         "204 x\na: " FIFTY FIFTY TEN TEN "01234\nc: d\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 " LONG "\r\n\r\n"),
         "204 " FIFTY FIFTY TEN "01234\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA" LONG ": b\r\n\r\n"),
         "204 x\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA" LONG "\r\n\r\n"),
         "204 x\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\n" LONG "\r\n\r\n"),
         "204 x\n-\nDONE keep\n", 0},
        {B("HTTP/1.1 204 x\r\nA: " LONG "\0\r\n\r\n"),
         "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\nA B" LONG "\r\n\r\n"),
         "204 x\nERROR HTTP\n", 0},
        {B("HTTP/1.1 204 x\r\n " LONG "\r\n\r\n"),
         "204 x\nERROR HTTP\n", 0},
        /* the ones that matter */
        {B(OK "Content-Length: 0" LONG "\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Content-Length: 5," LONG "\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Transfer-Encoding: chunked," LONG "\r\n\r\n"),
         "200 OK\nERROR HTTP\n", 0},
        {B(OK "Connection: " LONG "\r\nContent-Length: 0\r\n\r\n"),
         "200 OK\ncontent-length: 0\n-\nDONE\n", 0},
        /* and where they do not */
        {B(OK "Content-Length: 0" LONG "\r\n\r\n"),
         "200 OK\n-\nDONE\n", 'C'},
        {B("HTTP/1.1 100 x\r\nContent-Length: 0" LONG "\r\n\r\n"
           "HTTP/1.1 204 x\r\n\r\n"), "204 x\n-\nDONE keep\n", 0},
        {B(CHUNKED "1;" LONG "\r\nx\r\n0\r\nContent-Length: " LONG
           "\r\n\r\n"), CHUNKED_TOLD "> x\nDONE keep\n", 0}
    };

    RUN(table);
}

/* Every size of the buffer: the same headers come through, or are skipped. */
static void test_line_sizes(void)
{
    char text[400];
    size_t cap;

    build(text, "HTTP/1.1 204 x\r\nName: ", "v", 100, "\r\n\r\n");
    for (cap = 0; cap < 160; cap++) {
        eice_str in = eice_str_c(text);
        eice_str value;
        guard g = guard_copy(text, cap);
        eice_http h;
        eice_http_event event;
        unsigned seen = 0;

        eice_http_init(&h, g.ptr, cap);
        do {
            event = eice_http_next(&h, &in, &value);
            seen += event == EICE_HTTP_HEADER;
        } while (event != EICE_HTTP_DONE && event != EICE_HTTP_ERROR);
        CHECK_INT(event, cap < EICE_HTTP_MIN_LINE ? EICE_HTTP_ERROR
                  : EICE_HTTP_DONE);
        CHECK_INT(h.error.code, cap < EICE_HTTP_MIN_LINE ? EICE_E_ARGUMENT
                  : EICE_OK);
        CHECK_INT(seen, cap >= 106);
        guard_free(&g);
    }
}

/* ---- errors ------------------------------------------------------------ */

static void test_error_text(void)
{
    static const struct {
        const char *answer;
        const char *want;
    } table[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n",
         "bad HTTP answer: this is no status line: SSH-2.0-OpenSSH_9.2"},
        {"HTTP/1.1 502 x\r\nContent-Length: 5x\r\n",
         "bad HTTP answer: bad Content-Length: 5x"},
        {"HTTP/1.1 502 x\r\nA B: c\r\n",
         "bad HTTP answer: bad header name: A B: c"},
        {"HTTP/1.1 502 x\r\nContent-Length: 1\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "bad HTTP answer: Transfer-Encoding and Content-Length"},
        {"HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
         "bad HTTP answer: bad chunk size: hello"}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_str in = eice_str_c(table[i].answer);
        eice_str text;
        eice_http h;
        eice_http_event event;

        eice_http_init(&h, line, sizeof line);
        do {
            event = eice_http_next(&h, &in, &text);
        } while (event != EICE_HTTP_ERROR && event != EICE_HTTP_MORE);
        CHECK_TEXT(h.error.text, table[i].want);
        CHECK_INT(h.error.stage, EICE_STAGE_API);
        CHECK_INT(h.error.http_status, i == 0 ? 0 : 502);
    }
}

static const test_case tests[] = {
    {"http_url", test_url},
    {"http_url_long", test_url_long},
    {"http_authority", test_authority},
    {"http_header", test_header},
    {"http_header_no_room", test_header_no_room},
    {"http_connect_request", test_connect_request},
    {"http_connect_user_long", test_connect_user_long},
    {"http_lists", test_lists},
    {"http_status_line", test_status_line},
    {"http_headers", test_headers},
    {"http_no_body", test_no_body},
    {"http_interim", test_interim},
    {"http_content_length", test_content_length},
    {"http_chunked", test_chunked},
    {"http_framing_conflicts", test_framing_conflicts},
    {"http_keep_alive", test_keep_alive},
    {"http_eof", test_eof},
    {"http_eof_again", test_eof_again},
    {"http_limit_count", test_limit_count},
    {"http_limit_bytes", test_limit_bytes},
    {"http_many_chunks", test_many_chunks},
    {"http_cut", test_cut},
    {"http_line_sizes", test_line_sizes},
    {"http_error_text", test_error_text}
};

TEST_MAIN_EDGE(tests, edge, ROOM)
