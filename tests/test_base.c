/* Section 2: slices, builders, codecs, ropes, memory, addresses, time,
 * errors. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"

#define S(text) eice_str_make(text, sizeof(text) - 1)
#define L(text) {text, sizeof(text) - 1} /* in an initialization */

/* ---- slices ------------------------------------------------------------ */

static void test_str_compare(void)
{
    CHECK(eice_str_eq(eice_str_make(NULL, 0), S("")));
    CHECK(eice_str_eq(S("a\0b"), S("a\0b")));
    CHECK(!eice_str_eq(S("a\0b"), S("a\0c")));
    CHECK(eice_str_is(S("x"), "x"));
    CHECK(!eice_str_is(S("x"), "xy"));
    CHECK(eice_str_is(eice_str_c(NULL), ""));
    CHECK(eice_str_is_nocase(S("Host"), "hOST"));
    CHECK(!eice_str_is_nocase(S("@["), "`{"));
    CHECK(!eice_str_eq_nocase(S("\xc4"), S("\xe4")));
    CHECK(eice_str_starts(S("abc"), "ab"));
    CHECK(eice_str_starts(S(""), ""));
    CHECK(!eice_str_starts(S("a"), "ab"));
    CHECK(eice_str_compare(S("a"), S("b")) < 0);
    CHECK(eice_str_compare(S("a"), S("aa")) < 0);
    CHECK(eice_str_compare(S("\xff"), S("a")) > 0);
    CHECK(eice_str_compare(eice_str_make(NULL, 0), S("a")) < 0);
    CHECK_INT(eice_str_compare(S("ab"), S("ab")), 0);
}

static void test_str_parts(void)
{
    eice_str rest = S("a,,b");

    CHECK_STR(eice_str_trim(S(" \t\r\na b\n")), "a b");
    CHECK_INT(eice_str_trim(S(" \t ")).len, 0);
    CHECK_INT(eice_str_trim(eice_str_make(NULL, 0)).len, 0);
    CHECK_INT(eice_str_find(S("abc"), 'c'), 2);
    CHECK_INT(eice_str_find(S("abc"), 'x'), 3);
    CHECK_INT(eice_str_find(eice_str_make(NULL, 0), 'x'), 0);
    CHECK_STR(eice_str_cut(&rest, ','), "a");
    CHECK_STR(eice_str_cut(&rest, ','), "");
    CHECK_STR(eice_str_cut(&rest, ','), "b");
    CHECK_INT(rest.len, 0);
    CHECK_STR(eice_str_cut(&rest, ','), "");
}

static void test_str_word(void)
{
    eice_str line = S(" \tone  two\t three \n");

    CHECK_STR(eice_str_word(&line), "one");
    CHECK_STR(eice_str_word(&line), "two");
    CHECK_STR(eice_str_word(&line), "three");
    CHECK_STR(eice_str_word(&line), "");
    CHECK_INT(line.len, 0);
}

/* The examples of RFC 4251 5, and every beginning of one. */
static void test_wire(void)
{
    char memory[32];
    eice_buf b;
    eice_str rest;
    eice_str text = S("");
    uint32_t n = 0;
    size_t i;

    eice_buf_init(&b, memory, sizeof memory);
    eice_put_be32(&b, 699921578);
    eice_put_string(&b, S("testing"));
    CHECK(memcmp(memory, "\x29\xb7\xf4\xaa\0\0\0\7testing", 15) == 0);
    CHECK_INT(eice_be32(memory), 699921578);
    rest = eice_buf_str(&b);
    CHECK(eice_take_be32(&rest, &n) && n == 699921578);
    for (i = 0; i < 11; i++) {
        eice_str part = eice_str_make(rest.ptr, i);

        CHECK(!eice_take_string(&part, &text));
        CHECK(part.len == i && text.len == 0);
        CHECK(eice_take_be32(&part, &n) == (i >= 4));
    }
    CHECK(eice_take_string(&rest, &text));
    CHECK_STR(text, "testing");
    CHECK_INT(rest.len, 0);
    eice_be32_store(memory, 0xffffffffu);
    rest = eice_str_make(memory, 8);
    CHECK(!eice_take_string(&rest, &text));
}

static void test_str_u64(void)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t want;
    } list[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"9", 5, false, 0},
        {"007", 10, true, 7},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"", 9, false, 0},
        {"+1", 9, false, 0},
        {"-1", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"0x1", 9, false, 0},
        {"\xb1", 9, false, 0},
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        uint64_t n = 77;

        CHECK_INT(eice_str_u64(eice_str_c(list[i].text), list[i].max, &n),
                  list[i].ok);
        CHECK(n == (list[i].ok ? list[i].want : 77));
    }
}

/* Every sequence of up to three bytes, and a sample of four, against a
 * decoder written the other way round: by encoding all code points. */
static void test_utf8(void)
{
    uint32_t code;
    unsigned good = 0;
    unsigned a;
    unsigned b;
    uint32_t c;

    for (c = 0; c <= 0x10ffff; c++) {
        char text[4];
        eice_buf out;
        uint32_t got = 0;

        eice_buf_init(&out, text, sizeof text);
        if (!eicei_scan_put_code(&out, c)) {
            CHECK(c >= 0xd800 && c <= 0xdfff);
        } else if (eicei_base_utf8(eice_buf_str(&out), &got) != out.len
                   || got != c) {
            test_fail(__FILE__, __LINE__, "U+%04x", (unsigned)c);
        }
    }
    for (a = 0; a < 256; a++) {
        for (b = 0; b < 256; b++) {
            const char two[2] = {(char)a, (char)b};

            good += eicei_base_utf8(eice_str_make(two, 2), &code) == 2;
        }
    }
    CHECK_INT(good, 0x800 - 0x80);
    CHECK_INT(eicei_base_utf8(S("\xc0\x80"), &code), 0);
    CHECK_INT(eicei_base_utf8(S("\xe0\x9f\xbf"), &code), 0);
    CHECK_INT(eicei_base_utf8(S("\xed\xa0\x80"), &code), 0);
    CHECK_INT(eicei_base_utf8(S("\xf0\x8f\xbf\xbf"), &code), 0);
    CHECK_INT(eicei_base_utf8(S("\xf4\x90\x80\x80"), &code), 0);
    CHECK_INT(eicei_base_utf8(S("\xe2\x82"), &code), 0);
    CHECK_INT(eicei_base_utf8(S("\xf5\x80\x80\x80"), &code), 0);
}

/* ---- builder ----------------------------------------------------------- */

static void test_buf_overflow(void)
{
    char memory[4] = "zzz";
    eice_buf b;

    eice_buf_init(&b, memory, 3);
    eice_put_c(&b, "ab");
    CHECK(!b.overflow);
    eice_put_c(&b, "cd");
    CHECK(b.overflow);
    CHECK_STR(eice_buf_str(&b), "abc");
    b.len = 1;
    eice_put_c(&b, "x");
    CHECK_STR(eice_buf_str(&b), "a");
    b.len = 3;
    CHECK_TEXT(eice_buf_c(&b), "ab");
    CHECK_INT(memory[3], 0);

    eice_buf_init(&b, NULL, 0);
    eice_put(&b, eice_str_make(NULL, 0));
    CHECK(!b.overflow);
    eice_put_byte(&b, 'x');
    CHECK(b.overflow);
}

static void test_buf_numbers(void)
{
    char memory[128];
    eice_buf b;
    const eice_str odd = S("a\033[31m\xc2\x9b"
                           "b\xff\xe2\x80\xae\xc3\xa9");

    eice_buf_init(&b, memory, sizeof memory);
    eice_put_u64(&b, 0);
    eice_put_byte(&b, ' ');
    eice_put_u64(&b, UINT64_MAX);
    CHECK_TEXT(eice_buf_c(&b), "0 18446744073709551615");

    eice_buf_init(&b, memory, sizeof memory);
    eice_putf(&b, "%d %d %u %l %s %s %% %S|%q|", -2147483647 - 1, 2147483647,
              4294967295u, UINT64_MAX, "text", (const char *)NULL, &odd);
    CHECK_TEXT(eice_buf_c(&b),
               "-2147483648 2147483647 4294967295 18446744073709551615 text "
               "(none) % a?[31m?b??\xc3\xa9|q|");
    eice_buf_init(&b, memory, sizeof memory);
    eice_putf(&b, "100%");
    CHECK_TEXT(eice_buf_c(&b), "100%");
}

static void test_put_json(void)
{
    static const struct {
        eice_str in;
        const char *want;
    } list[] = {
        {L(""), ""},
        {L("a\"b\\c/"), "a\\\"b\\\\c/"},
        {L("\b\f\n\r\t\0\x1f\x7f"), "\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f"},
        {L("\xc3\xa9\xf0\x9f\x98\x80"), "\xc3\xa9\xf0\x9f\x98\x80"},
        {L("\xff\xc3"), "\xef\xbf\xbd\xef\xbf\xbd"},
        {L("\xe2\x82x"), "\xef\xbf\xbd\xef\xbf\xbdx"},
    };
    char memory[80];
    eice_buf b;
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        eice_buf_init(&b, memory, sizeof memory);
        eice_put_json(&b, list[i].in);
        CHECK_TEXT(eice_buf_c(&b), list[i].want);
    }
}

/* ---- codecs ------------------------------------------------------------ */

static void test_hex(void)
{
    uint8_t bytes[4];
    char memory[16];
    eice_buf b;

    CHECK_INT(eice_hex_decode(S("00fFaB10"), bytes, 4), 4);
    CHECK_BYTES(bytes, "\x00\xff\xab\x10", 4);
    CHECK_INT(eice_hex_decode(S("00ffab10"), bytes, 3), -1);
    CHECK_INT(eice_hex_decode(S("0"), bytes, 4), -1);
    CHECK_INT(eice_hex_decode(S("0g"), bytes, 4), -1);
    CHECK_INT(eice_hex_decode(S("\xb0" "0"), bytes, 4), -1);
    CHECK_INT(eice_hex_decode(S(""), bytes, 0), 0);
    eice_buf_init(&b, memory, sizeof memory);
    eice_put_hex(&b, "\x00\xff\xab\x10", 4);
    CHECK_TEXT(eice_buf_c(&b), "00ffab10");
}

/* RFC 4648 10 */
static const struct {
    const char *plain;
    const char *coded;
    const char *bare;
} base64_vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static void test_base64(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(base64_vectors); i++) {
        const char *const plain = base64_vectors[i].plain;
        const size_t len = strlen(plain);
        char memory[16];
        uint8_t bytes[8];
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        eice_put_base64(&b, plain, len, true);
        CHECK_TEXT(eice_buf_c(&b), base64_vectors[i].coded);
        eice_buf_init(&b, memory, sizeof memory);
        eice_put_base64(&b, plain, len, false);
        CHECK_TEXT(eice_buf_c(&b), base64_vectors[i].bare);
        CHECK_INT(eice_base64_decode(eice_str_c(base64_vectors[i].coded),
                                     bytes, len), len);
        CHECK_BYTES(bytes, plain, len);
        CHECK_INT(eice_base64_decode(eice_str_c(base64_vectors[i].bare), bytes,
                                     len), len);
        if (len > 0) {
            CHECK_INT(eice_base64_decode(eice_str_c(base64_vectors[i].coded),
                                         bytes, len - 1), -1);
        }
    }
}

static void test_base64_malformed(void)
{
    static const char *const list[] = {
        "Z",    "Zm9vY", "Zg=",  "Zm8==", "Zm9v=",  "Zg===", "=",  "==",
        "Zh==", "Zm9=",  "Zg==Z", "Zm-_",  "Zm9v\x80", "Z*==",  "====",
    };
    uint8_t bytes[8];
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        if (eice_base64_decode(eice_str_c(list[i]), bytes, sizeof bytes) >= 0) {
            test_fail(__FILE__, __LINE__, "\"%s\" is accepted", list[i]);
        }
    }
    CHECK_INT(eice_base64_decode(S(" Z\tm\r\n9v\nYg = =\n"), bytes, 8), 4);
    CHECK_BYTES(bytes, "foob", 4);
    CHECK_INT(eice_base64_decode(S("Zm\0v"), bytes, 8), -1);
}

/* All values of one, two and three bytes come back, also in place. */
static void test_base64_round(void)
{
    unsigned n;

    for (n = 0; n < 65536; n++) {
        const uint8_t in[3] = {(uint8_t)(n >> 8), (uint8_t)n,
                               (uint8_t)(n * 7 >> 3)};
        const size_t len = n % 3 + 1;
        char text[8];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        eice_put_base64(&b, in, len, n % 2 == 0);
        if (eice_base64_decode(eice_buf_str(&b), text, 3) != (ptrdiff_t)len
            || memcmp(text, in, len) != 0) {
            test_fail(__FILE__, __LINE__, "%u", n);
        }
    }
}

static void test_uri(void)
{
    char all[256];
    char text[768];
    char back[256];
    eice_buf b;
    size_t i;

    for (i = 0; i < sizeof all; i++) {
        all[i] = (char)i;
    }
    eice_buf_init(&b, text, sizeof text);
    eice_put_uri(&b, eice_str_make(all, sizeof all));
    CHECK(!b.overflow);
    CHECK_INT(b.len, 3 * 256 - 2 * 66);
    CHECK_INT(eice_uri_decode(eice_buf_str(&b), back, sizeof back), 256);
    CHECK_BYTES(back, all, sizeof all);
    eice_buf_init(&b, text, sizeof text);
    eice_put_uri(&b, S("aZ09-._~ /+=&%\xc3\xa9"));
    CHECK_STR(eice_buf_str(&b), "aZ09-._~%20%2F%2B%3D%26%25%C3%A9");
    CHECK_INT(eice_uri_decode(S("a+b%2f%2F"), back, 5), 5);
    CHECK_BYTES(back, "a+b//", 5);
    CHECK_INT(eice_uri_decode(S("abc"), back, 2), -1);
    CHECK_INT(eice_uri_decode(S("%"), back, 9), -1);
    CHECK_INT(eice_uri_decode(S("%4"), back, 9), -1);
    CHECK_INT(eice_uri_decode(S("%4g"), back, 9), -1);
    CHECK_INT(eice_uri_decode(S("%41%"), back, 9), -1);
}

/* ---- ropes ------------------------------------------------------------- */

static void test_rope(void)
{
    const eice_piece rope[] = {{S("/p?"), false}, {S(""), true},
                               {S("a b/"), true}, {S("="), false},
                               {{NULL, 0}, false}, {S("\xc3\xa9~"), true}};
    static const char want[] = "/p?a%20b%2F=%C3%A9~";
    size_t step;

    for (step = 1; step <= sizeof want; step++) {
        char out[sizeof want];
        eice_rope_pos pos;
        size_t n = 0;
        size_t got;

        memset(&pos, 0, sizeof pos);
        do {
            const size_t room = sizeof out - n;

            got = eice_rope_read(rope, EICEI_LEN(rope), &pos, out + n,
                                 step < room ? step : room);
            CHECK(got <= step);
            n += got;
        } while (got > 0);
        CHECK_STR(eice_str_make(out, n), want);
    }
}

/* ---- secrets and memory ------------------------------------------------ */

static void test_secrets(void)
{
    uint8_t a[37];
    uint8_t b[37];
    size_t i;

    memset(a, 0x5a, sizeof a);
    memcpy(b, a, sizeof a);
    CHECK(eice_equal_ct(a, b, sizeof a));
    CHECK(eice_equal_ct(a, b, 0));
    for (i = 0; i < sizeof a; i++) {
        b[i] ^= 0x80;
        CHECK(!eice_equal_ct(a, b, sizeof a));
        b[i] ^= 0x80;
    }
    eice_wipe(a + 1, sizeof a - 2);
    CHECK_INT(a[0], 0x5a);
    CHECK_INT(a[36], 0x5a);
    for (i = 1; i + 1 < sizeof a; i++) {
        CHECK_INT(a[i], 0);
    }
    eice_wipe(NULL, 0);
}

/* A heap that looks at what it gets back. */
typedef struct spy {
    size_t size[8];
    void *block[8];
    int budget; /* allocations that succeed */
    int freed;
    int dirty; /* blocks given back with something in them */
} spy;

static void *spy_resize(void *user, void *memory, size_t size)
{
    spy *const s = (spy *)user;
    size_t i = 0;
    size_t k;

    while (i < 7 && s->block[i] != memory) {
        i++;
    }
    if (memory != NULL) {
        for (k = 0; k < s->size[i]; k++) {
            s->dirty += ((uint8_t *)memory)[k] != 0;
        }
        s->freed++;
        s->block[i] = NULL;
        free(memory);
        return NULL;
    }
    if (s->budget-- <= 0) {
        return NULL;
    }
    s->size[i] = size;
    s->block[i] = malloc(size);
    memset(s->block[i], 0, size);
    return s->block[i];
}

static void test_blob(void)
{
    static const char text[] = "0123456789abcdef0123456789abcdef";
    spy heap;
    eice_alloc alloc;
    eice_blob b;
    size_t i;

    memset(&heap, 0, sizeof heap);
    memset(&b, 0, sizeof b);
    heap.budget = 100;
    alloc.resize = spy_resize;
    alloc.user = &heap;
    b.alloc = &alloc;
    CHECK(eice_blob_add(&b, NULL, 0, 0));
    CHECK_INT(b.ptr[0], 0);
    for (i = 0; i < 100; i++) {
        CHECK(eice_blob_add(&b, text, 32, 3200));
    }
    CHECK_INT(b.len, 3200);
    CHECK_INT(b.ptr[3200], 0);
    CHECK_BYTES(b.ptr + 3168, text, 32);
    CHECK(b.cap <= 3201);
    CHECK(!eice_blob_add(&b, text, 1, 3200));
    CHECK(eice_blob_room(&b, SIZE_MAX, SIZE_MAX) == NULL);
    CHECK(eice_blob_room(&b, SIZE_MAX, 4000) == NULL);
    CHECK_INT(b.len, 3200);
    heap.budget = 0;
    CHECK(eice_blob_room(&b, 4000, 8000) == NULL);
    CHECK_BYTES(b.ptr, text, 32);
    CHECK(eice_blob_room(&b, 0, 3200) == b.ptr + 3200);
    eice_blob_free(&b);
    CHECK(b.ptr == NULL && b.len == 0 && b.cap == 0);
    eice_blob_free(&b);
    CHECK_INT(heap.dirty, 0);
    CHECK_INT(heap.freed, 6); /* 1, 256, 512, 1024, 2048, 3201 bytes */
    CHECK(!eice_blob_add(&b, "x", 1, 10));
}

static void test_resize(void)
{
    eice_alloc zero;
    char *p;

    memset(&zero, 0, sizeof zero);
    CHECK(eice_resize(&zero, NULL, 0) == NULL);
    p = (char *)eice_resize(&zero, NULL, 10);
    CHECK(p != NULL);
    memcpy(p, "123456789", 10);
    p = (char *)eice_resize(NULL, p, 5000);
    CHECK_TEXT(p, "123456789");
    CHECK(eice_resize(&zero, p, 0) == NULL);
}

/* ---- addresses --------------------------------------------------------- */

static void test_ip(void)
{
    /* input, what it prints as (NULL: refused) */
    static const char *const list[][2] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"10.0.1.17", "10.0.1.17"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"fd00:ec2::254", "fd00:ec2::254"},
        {"0001:02:003:4:0ff:f00:1000:abcd", "1:2:3:4:ff:f00:1000:abcd"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::ffff:c000:201", "::ffff:192.0.2.1"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"::1.2.3.4", "::102:304"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"", NULL}, {"1.2.3", NULL}, {"1.2.3.4.5", NULL}, {"1.2.3.", NULL},
        {".1.2.3", NULL}, {"1..2.3", NULL}, {"01.2.3.4", NULL},
        {"1.2.3.04", NULL}, {"256.1.1.1", NULL}, {"1.2.3.1000", NULL},
        {"1.2.3.4 ", NULL}, {"1.2.3.x", NULL}, {":", NULL}, {":::", NULL},
        {"1:::2", NULL}, {"1::2::3", NULL}, {"::1::", NULL}, {":1", NULL},
        {"1:", NULL}, {"1:2:3:4:5:6:7", NULL}, {"1:2:3:4:5:6:7:8:9", NULL},
        {"1:2:3:4:5:6:7:8::", NULL}, {"::1:2:3:4:5:6:7:8", NULL},
        {"12345::", NULL}, {"g::", NULL}, {"1.2.3.4::", NULL},
        {"::1.2.3.4:5", NULL}, {"1:2:3:4:5:6:7:1.2.3.4", NULL},
        {"[::1]", NULL}, {"fe80::1%eth0", NULL}, {"::ffff:1.2.3", NULL},
        {"1:2:3:4::5:6:7:8", NULL},
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        const size_t len = strlen(list[i][0]);
        guard g = guard_copy(list[i][0], len);
        char text[EICE_IP_TEXT];
        eice_ip ip;
        const bool ok = eice_ip_parse(eice_str_make(g.ptr, len), &ip);

        if (ok != (list[i][1] != NULL)) {
            test_fail(__FILE__, __LINE__, "%s", list[i][0]);
        } else if (ok) {
            CHECK_TEXT(eice_ip_format(&ip, text), list[i][1]);
        }
        guard_free(&g);
    }
}

static void test_ip_kinds(void)
{
    static const struct {
        const char *text;
        bool loopback;
    } list[] = {{"127.0.0.1", true},  {"127.255.0.9", true},
                {"128.0.0.1", false}, {"::1", true},
                {"::2", false},       {"::ffff:127.0.0.1", false}};
    eice_ip a;
    eice_ip b;
    char text[EICE_IP_TEXT];
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        CHECK(eice_ip_parse(eice_str_c(list[i].text), &a));
        CHECK_INT(eice_ip_loopback(&a), list[i].loopback);
        CHECK(eice_ip_eq(&a, &a));
    }
    CHECK(eice_ip_parse(S("1.2.3.4"), &a));
    b = a;
    b.bytes[15] = 9; /* not part of an IPv4 address */
    CHECK(eice_ip_eq(&a, &b));
    b.bytes[3] = 5;
    CHECK(!eice_ip_eq(&a, &b));
    b = a;
    b.family = 6;
    CHECK(!eice_ip_eq(&a, &b));
    memset(&a, 0, sizeof a);
    CHECK_TEXT(eice_ip_format(&a, text), "(none)");
    CHECK(!eice_ip_loopback(&a));
}

/* ---- time -------------------------------------------------------------- */

/* Every day of the years 1970 to 9999, counted by hand. */
static void test_time_days(void)
{
    static const int days[] = {31, 28, 31, 30, 31, 30,
                               31, 31, 30, 31, 30, 31};
    int64_t t = 0;
    int year;
    int month;
    int day;

    for (year = 1970; year <= 9999; year++) {
        const int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        for (month = 0; month < 12; month++) {
            const int count = days[month] + (month == 1 && leap);

            for (day = 1; day <= count; day++, t += 86400) {
                char want[48];
                char got[17];
                int64_t back = -1;

                snprintf(want, sizeof want, "%04d%02d%02dT235959Z", year,
                         month + 1, day);
                eice_time_amz(t + 86399, got);
                if (strcmp(got, want) != 0
                    || !eice_time_amz_parse(eice_str_c(got), &back)
                    || back != t + 86399) {
                    test_fail(__FILE__, __LINE__, "%s is %s", want, got);
                    return;
                }
            }
        }
    }
}

static void test_time_amz(void)
{
    static const char *const bad[] = {
        "",                 "20260115T093045",  "20260115T093045Zx",
        "20260115 093045Z", "20261315T093045Z", "20260015T093045Z",
        "20260132T093045Z", "20260100T093045Z", "20260229T093045Z",
        "20260115T243045Z", "20260115T096045Z", "20260115T093061Z",
        "19691231T235959Z", "2026-115T093045Z", "20260115T09304+Z"};
    char text[17];
    int64_t t = 7;
    size_t i;

    eice_time_amz(-1, text);
    CHECK_TEXT(text, "19700101T000000Z");
    eice_time_amz(INT64_MAX, text);
    CHECK_TEXT(text, "99991231T235959Z");
    eice_time_amz(1440938160, text);
    CHECK_TEXT(text, "20150830T123600Z");
    for (i = 0; i < EICEI_LEN(bad); i++) {
        guard g = guard_copy(bad[i], strlen(bad[i]));

        if (eice_time_amz_parse(eice_str_make(g.ptr, strlen(bad[i])), &t)) {
            test_fail(__FILE__, __LINE__, "\"%s\" is accepted", bad[i]);
        }
        guard_free(&g);
    }
    CHECK_INT(t, 7);
    CHECK(eice_time_amz_parse(S("20161231T235960Z"), &t));
    CHECK_INT(t, 1483228800);
}

static void test_time_http(void)
{
    static const char *const bad[] = {
        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",  "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 08:49:37 GM",
        "Xun, 06 Nov 1994 08:49:37 GMT",  "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",  ""};
    int64_t t = 7;
    size_t i;

    for (i = 0; i < EICEI_LEN(bad); i++) {
        if (eice_time_http_parse(eice_str_c(bad[i]), &t)) {
            test_fail(__FILE__, __LINE__, "\"%s\" is accepted", bad[i]);
        }
    }
    CHECK_INT(t, 7);
    CHECK(eice_time_http_parse(S("Sun, 06 Nov 1994 08:49:37 GMT"), &t));
    CHECK_INT(t, 784111777);
    CHECK(eice_time_http_parse(S("Thu, 15 Jan 2026 09:30:45 GMT"), &t));
    CHECK_INT(t, 1768469445);
}

static void test_time_iso(void)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } list[] = {
        {"2026-01-15T09:30:45Z", 1768469445},
        {"2026-01-15T09:30:45UTC", 1768469445},
        {"2026-01-15T09:30:45.123456Z", 1768469445},
        {"2026-01-15T09:30:45.1UTC", 1768469445},
        {"2026-01-15T09:30:45+00:00", 1768469445},
        {"2026-01-15T10:30:45+01:00", 1768469445},
        {"2026-01-15T04:00:45.5-05:30", 1768469445},
        {"2026-01-15T09:30:45", -1},
        {"2026-01-15T09:30:45.", -1},
        {"2026-01-15T09:30:45.Z", -1},
        {"2026-01-15T09:30:45+0100", -1},
        {"2026-01-15T09:30:45+24:00", -1},
        {"2026-01-15T09:30:45Zulu", -1},
        {"2026-01-15 09:30:45Z", -1},
        {"2026-02-29T09:30:45Z", -1},
        {"2026-01-15", -1},
        {"", -1},
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        const size_t len = strlen(list[i].text);
        guard g = guard_copy(list[i].text, len);
        int64_t t = -1;

        CHECK_INT(eice_time_iso_parse(eice_str_make(g.ptr, len), &t),
                  list[i].want >= 0);
        CHECK_INT(t, list[i].want);
        guard_free(&g);
    }
}

/* ---- errors ------------------------------------------------------------ */

static void test_err_lists(void)
{
    static const eice_err codes[] = {
#define X(name, number, text, remedy) EICE_E_##name,
        EICE_ERROR_LIST(X)
#undef X
    };
    size_t i;
    size_t k;
    int stage;

    for (i = 0; i < EICEI_LEN(codes); i++) {
        const char *const text = eice_err_text(codes[i]);
        const char *const remedy = eice_err_remedy(codes[i]);

        CHECK(codes[i] < 0 && strlen(text) > 0);
        CHECK(text[strlen(text) - 1] != '.');
        /* It must fit, with its NUL, where errors are kept. */
        CHECK(strlen(remedy) < sizeof(((eice_error *)0)->remedy));
        CHECK(remedy[0] == 0 || remedy[strlen(remedy) - 1] != '.');
        for (k = 0; k < i; k++) {
            CHECK(codes[k] != codes[i]);
            CHECK(strcmp(eice_err_name(codes[k]), eice_err_name(codes[i])));
        }
    }
    CHECK_TEXT(eice_err_name(EICE_E_TLS_EXPIRED), "TLS_EXPIRED");
    CHECK_TEXT(eice_err_name(EICE_OK), "OK");
    CHECK_TEXT(eice_err_name((eice_err)-7), "UNKNOWN");
    CHECK_TEXT(eice_err_remedy((eice_err)-7), "");
    CHECK_TEXT(eice_stage_name(EICE_STAGE_HOSTKEY), "host-key");
    CHECK_TEXT(eice_stage_name(EICE_STAGE_COUNT), "unknown");
    CHECK_TEXT(eice_nth("one\0" "\0" "three", 0), "one");
    CHECK_TEXT(eice_nth("one\0" "\0" "three", 1), "");
    CHECK_TEXT(eice_nth("one\0" "\0" "three", 2), "three");
    for (stage = 0; stage < EICE_STAGE_COUNT; stage++) {
        CHECK(strlen(eice_stage_name((eice_stage)stage)) > 0);
    }
}

static void test_fail_sticky(void)
{
    const eice_str evil = S("x\r\n\033]0;title\007");
    eice_error e;

    memset(&e, 0, sizeof e);
    CHECK_INT(eice_fail(&e, EICE_E_NET_RESET, EICE_STAGE_TLS, "%s: %S, %d",
                        "host", &evil, -1),
              EICE_E_NET_RESET);
    CHECK_TEXT(e.text, "host: x???]0;title?, -1");
    CHECK(e.retryable);
    CHECK_INT(eice_fail(&e, EICE_E_MEMORY, EICE_STAGE_API, "later"),
              EICE_E_NET_RESET);
    CHECK_INT(e.stage, EICE_STAGE_TLS);
    CHECK_TEXT(e.text, "host: x???]0;title?, -1");
    CHECK_INT(eice_fail(NULL, EICE_E_MEMORY, EICE_STAGE_API, "x"),
              EICE_E_MEMORY);
    memset(&e, 0, sizeof e);
    (void)eice_fail(&e, EICE_E_HOST_KEY_CHANGED, EICE_STAGE_HOSTKEY, "%s",
                    "a\tb");
    CHECK(!e.retryable);
    CHECK_TEXT(e.text, "a?b");
}

static void test_fail_long(void)
{
    char text[600];
    eice_error e;

    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    memcpy(text + 253, "\xf0\x9f\x98\x80", 4);
    memset(&e, 0, sizeof e);
    (void)eice_fail(&e, EICE_E_HTTP, EICE_STAGE_API, "%s", text);
    CHECK_INT(strlen(e.text), 255);
    memset(text, 0, sizeof text);
    memset(text, 'a', 253);
    CHECK(strncmp(e.text, text, 253) == 0);
}

static void test_copy_text(void)
{
    char out[6];

    eice_copy_text(out, sizeof out, S("abcd\xc3\xa9"));
    CHECK_TEXT(out, "abcd");
    eice_copy_text(out, sizeof out, S("abc\xc3\xa9x"));
    CHECK_TEXT(out, "abc\xc3\xa9");
    eice_copy_text(out, sizeof out, S("a\0b\xff"));
    CHECK_TEXT(out, "a?b?");
    eice_copy_text(out, 1, S("abc"));
    CHECK_TEXT(out, "");
    eice_copy_text(out, sizeof out, eice_str_make(NULL, 0));
    CHECK_TEXT(out, "");
}

static void test_str_listed(void)
{
    static const struct {
        const char *name;
        const char *list;
        bool in;
    } rows[] = {
        {"b", "a,b,c", true},  {"a", "a", true},    {"c", "a,b,c", true},
        {"a,b", "a,b", false}, {"ab", "a,b", false}, {"a", "ab,ba", false},
        {"B", "a,b", false},   {"a", "", false},    {"b", "a, b", false},
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_INT(eice_str_listed(eice_str_c(rows[i].name),
                                  eice_str_c(rows[i].list)),
                  rows[i].in);
    }
}

/* What a caller's own function of this kind would do. */
static void put_words(eice_buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    eice_putv(b, format, args);
    va_end(args);
}

static void test_putv(void)
{
    const eice_str slice = eice_str_c("s\n");
    char text[64];
    char same[64];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    put_words(&b, "%s|%S|%d|%u|%l|%%|%q", "c", &slice, -1, 7u,
              (uint64_t)1 << 40);
    CHECK_TEXT(eice_buf_c(&b), "c|s?|-1|7|1099511627776|%|q");
    eice_buf_init(&b, same, sizeof same);
    eice_putf(&b, "%s|%S|%d|%u|%l|%%|%q", "c", &slice, -1, 7u,
              (uint64_t)1 << 40);
    CHECK_TEXT(eice_buf_c(&b), text);
}

static const test_case tests[] = {
    {"base: slices compare", test_str_compare},
    {"base: slices cut, find, trim", test_str_parts},
    {"base: decimal numbers", test_str_u64},
    {"base: words of a line", test_str_word},
    {"base: names in a list", test_str_listed},
    {"base: formats of a caller's own", test_putv},
    {"base: wire format of SSH", test_wire},
    {"base: UTF-8", test_utf8},
    {"base: builder overflow", test_buf_overflow},
    {"base: builder formats", test_buf_numbers},
    {"base: JSON escapes", test_put_json},
    {"base: hex", test_hex},
    {"base: base64 (RFC 4648)", test_base64},
    {"base: base64 malformed", test_base64_malformed},
    {"base: base64 round trip", test_base64_round},
    {"base: percent encoding", test_uri},
    {"base: rope at every step", test_rope},
    {"base: wipe and compare", test_secrets},
    {"base: blob grows and is wiped", test_blob},
    {"base: default heap", test_resize},
    {"base: addresses", test_ip},
    {"base: kinds of addresses", test_ip_kinds},
    {"base: every day to 9999", test_time_days},
    {"base: times of AWS", test_time_amz},
    {"base: times of HTTP", test_time_http},
    {"base: times of ISO 8601", test_time_iso},
    {"base: lists of errors", test_err_lists},
    {"base: the first error stays", test_fail_sticky},
    {"base: long error texts", test_fail_long},
    {"base: texts of fixed size", test_copy_text},
};

TEST_MAIN(tests)
