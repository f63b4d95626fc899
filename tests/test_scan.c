/* Section 6: the scanners of JSON, XML and INI. Every input ends at a page
 * that may not be read. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"

#define S(text) eice_str_make(text, sizeof(text) - 1)
#define L(text) {text, sizeof(text) - 1} /* in an initialization */

/* ---- JSON -------------------------------------------------------------- */

/* All tokens as text; "$" at the end of the document, "!" at an error. What
 * is final must stay so, and `at` must stay inside. */
static void json_render(eice_str doc, eice_buf *out)
{
    static const char *const mark[] = {"$",  "!",  "{",  "}",  "[",  "]",
                                       "k:", "s:", "n:", "t:", "f:", "z:"};
    eice_json_type type;
    eice_str raw;
    eice_json j;
    size_t tokens = 0;

    eice_json_init(&j, doc);
    do {
        type = eice_json_next(&j, &raw);
        CHECK(j.at <= doc.len && j.depth <= EICE_MAX_DEPTH);
        CHECK(tokens++ <= doc.len);
        eice_put_c(out, mark[type]);
        if (type >= EICE_JSON_KEY) {
            CHECK(raw.ptr >= doc.ptr
                  && raw.ptr + raw.len <= doc.ptr + doc.len);
            eice_put(out, raw);
            eice_put_byte(out, ' ');
        }
    } while (type != EICE_JSON_END && type != EICE_JSON_ERROR);
    CHECK_INT(eice_json_next(&j, &raw), type);
    CHECK_INT(raw.len, 0);
}

static const struct {
    eice_str doc;
    const char *tokens;
} json_good[] = {
    {L("{}"), "{}$"},
    {L("[]"), "[]$"},
    {L(" [ ] \n"), "[]$"},
    {L("\xef\xbb\xbf{}"), "{}$"},
    {L("\"\""), "s: $"},
    {L("0"), "n:0 $"},
    {L("-0.10e+09"), "n:-0.10e+09 $"},
    {L("[1E5,2e-1,-3,4.0]"), "[n:1E5 n:2e-1 n:-3 n:4.0 ]$"},
    {L("true"), "t:true $"},
    {L("[true,false,null]"), "[t:true f:false z:null ]$"},
    {L("{\"a\":{\"b\":[{}]},\"c\":\"d\"}"),
     "{k:a {k:b [{}]}k:c s:d }$"},
    {L("{ \"a\" :\r\n\t1 , \"a\" : 2 }"), "{k:a n:1 k:a n:2 }$"},
    {L("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\"]"),
     "[s:\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D ]$"},
    {L("[\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"]"),
     "[s:\xc3\xa9\xf0\x9f\x98\x80\x7f ]$"},
    {L("[[],[[]],{}]"), "[[][[]]{}]$"},
};

static void test_json_good(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(json_good); i++) {
        guard g = guard_copy(json_good[i].doc.ptr, json_good[i].doc.len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        json_render(eice_str_make(g.ptr, json_good[i].doc.len), &b);
        CHECK_TEXT(eice_buf_c(&b), json_good[i].tokens);
        guard_free(&g);
    }
}

static const eice_str json_bad[] = {
    L(""), L(" "), L("\xef\xbb\xbf"), L("\xef\xbb{}"), L("{"),
    L("["), L("}"), L("]"), L(","), L(":"), L("[,]"),
    L("[1,]"), L("[,1]"), L("[1,,2]"), L("[1 2]"), L("[1]]"),
    L("[1}"), L("{]"), L("{\"a\"}"), L("{\"a\":}"),
    L("{\"a\" 1}"), L("{\"a\",1}"), L("{\"a\"::1}"),
    L("{\"a\":1,}"), L("{,\"a\":1}"), L("{\"a\":1 \"b\":2}"),
    L("{a:1}"), L("{1:1}"), L("{'a':1}"), L("{\"a\":1]"),
    L("{null:1}"), L("{[]:1}"), L("{}{}"), L("{} x"), L("1 2"),
    L("01"), L("-"), L("+1"), L(".5"), L("1."), L("1.e5"),
    L("1e"), L("1e+"), L("-01"), L("- 1"), L("0x10"), L("1_0"),
    L("NaN"), L("Infinity"), L("-Infinity"), L("tru"),
    L("True"), L("truex"), L("nul"), L("undefined"), L("\""),
    L("\"a"), L("\"\\"), L("\"\\\""), L("\"\\x41\""),
    L("\"\\a\""), L("\"\\u\""), L("\"\\u123\""), L("\"\\u12g4\""),
    L("\"\\U0041\""), L("\"\\\0\""), L("\"\t\""), L("\"\n\""),
    L("\"\0\""), L("\"\x1f\""), L("\"\xff\""), L("\"\xc0\x80\""),
    L("\"\xed\xa0\x80\""), L("\"\xe2\x82\""), L("'a'"),
    L("{\"a\":1}\0"), L("\0"), L("[1]\xef\xbb\xbf"), L("/**/1"),
    L("1//x"), L("#x\n1"), L("[\v1]"), L("[\xc2\xa0" "1]"),
    L("{\"a\":1;\"b\":2}"), L("\xff\xfe[\0]\0"),
};

static bool ends_with(eice_str text, char mark)
{
    return text.len > 0 && text.ptr[text.len - 1] == mark;
}

static void test_json_bad(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(json_bad); i++) {
        guard g = guard_copy(json_bad[i].ptr, json_bad[i].len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        json_render(eice_str_make(g.ptr, json_bad[i].len), &b);
        if (!ends_with(eice_buf_str(&b), '!')) {
            test_fail(__FILE__, __LINE__, "%s is accepted",
                      json_bad[i].ptr);
        }
        guard_free(&g);
    }
}

/* Cut anywhere, a document in brackets is malformed, and what was read until
 * then is the same. */
static void test_json_cut(void)
{
    static const char doc[] =
        "{\"ErrorCode\": \"Invalid\\u00e9\\n\", \"list\": [1.5e-3, -0, true, "
        "false, null, {}, [], \"\xf0\x9f\x98\x80\"], \"x\": {\"y\": \"\\\\\"}}";
    const size_t full = sizeof doc - 1;
    size_t len;

    for (len = 0; len < full; len++) {
        guard g = guard_copy(doc, len);
        char text[512];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        json_render(eice_str_make(g.ptr, len), &b);
        if (!ends_with(eice_buf_str(&b), '!')) {
            test_fail(__FILE__, __LINE__, "accepted at %d", (int)len);
        }
        guard_free(&g);
    }
}

static void test_json_depth(void)
{
    char doc[2 * EICE_MAX_DEPTH + 2];
    char text[256];
    unsigned extra;

    for (extra = 0; extra < 2; extra++) {
        const size_t depth = EICE_MAX_DEPTH + extra;
        guard g;
        eice_buf b;

        memset(doc, '[', depth);
        memset(doc + depth, ']', depth);
        g = guard_copy(doc, 2 * depth);
        eice_buf_init(&b, text, sizeof text);
        json_render(eice_str_make(g.ptr, 2 * depth), &b);
        CHECK(ends_with(eice_buf_str(&b), extra == 0 ? '$' : '!'));
        guard_free(&g);
    }
    /* The kinds of all levels are kept apart. */
    {
        static const char mixed[] = "[{\"a\":[[{\"b\":[{}]}]]}]";
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        json_render(S(mixed), &b);
        CHECK_TEXT(eice_buf_c(&b), "[{k:a [[{k:b [{}]}]]}]$");
    }
}

static void test_json_unescape(void)
{
    static const struct {
        const char *raw;
        const char *want; /* NULL: refused */
    } list[] = {
        {"", ""},
        {"plain \xc3\xa9", "plain \xc3\xa9"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u20AC\\uffff", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf"},
        {"\\ud83d\\ude00x", "\xf0\x9f\x98\x80x"},
        {"\\uD800\\uDC00", "\xf0\x90\x80\x80"},
        {"\\uDBFF\\uDFFF", "\xf4\x8f\xbf\xbf"},
        {"\\ud83d", NULL},
        {"\\ude00", NULL},
        {"\\ud83dx", NULL},
        {"\\ud83d\\n", NULL},
        {"\\ud83d\\u0041", NULL},
        {"\\ud83d\\ud83d", NULL},
        {"\\ud83d\\ude0", NULL},
        {"\\x", NULL},
        {"\\", NULL},
        {"\\u12", NULL},
        {"\xff", NULL},
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        const size_t len = strlen(list[i].raw);
        guard g = guard_copy(list[i].raw, len);
        const eice_str raw = eice_str_make(g.ptr, len);
        char text[64];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        CHECK_INT(eice_json_unescape(raw, &b), list[i].want != NULL);
        if (list[i].want != NULL) {
            CHECK_TEXT(eice_buf_c(&b), list[i].want);
            CHECK(eice_json_is(raw, eice_str_c(list[i].want)));
            CHECK(!eice_json_is(raw, S("other")));
        }
        guard_free(&g);
    }
}

static void test_json_unescape_odd(void)
{
    char text[3];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    CHECK(eice_json_unescape(S("a\\u0000b"), &b));
    CHECK_INT(b.len, 3);
    CHECK_BYTES(text, "a\0b", 3);
    eice_buf_init(&b, text, sizeof text);
    CHECK(!eice_json_unescape(S("abcd"), &b));
    CHECK(b.overflow);
    CHECK(eice_json_is(S("a\\u0062"), S("ab")));
    CHECK(!eice_json_is(S("ab"), S("a")));
    CHECK(!eice_json_is(S("a"), S("ab")));
    CHECK(!eice_json_is(S("\\ud800"), S("\xed\xa0\x80")));
}

static void test_json_find(void)
{
    static const char doc[] =
        "{\"a\":{\"b\":{\"c\":\"deep\"}},\"n\":12,\"k\\u0065y\":\"v\","
        "\"list\":[1,{\"a\":2}],\"dup\":1,\"dup\":\"two\",\"nil\":null,"
        "\"empty\":\"\",\"o\":{}}";
    static const struct {
        const char *path;
        eice_json_type type;
        const char *raw;
    } list[] = {
        {"a.b.c", EICE_JSON_STRING, "deep"},
        {"a.b", EICE_JSON_OBJECT, "{\"c\":\"deep\"}"},
        {"n", EICE_JSON_NUMBER, "12"},
        {"key", EICE_JSON_STRING, "v"},
        {"list", EICE_JSON_ARRAY, "[1,{\"a\":2}]"},
        {"dup", EICE_JSON_STRING, "two"},
        {"nil", EICE_JSON_NULL, "null"},
        {"empty", EICE_JSON_STRING, ""},
        {"o", EICE_JSON_OBJECT, "{}"},
        {"o.x", EICE_JSON_END, ""},
        {"b", EICE_JSON_END, ""},
        {"c", EICE_JSON_END, ""},
        {"n.x", EICE_JSON_END, ""},
        {"key.x", EICE_JSON_END, ""},
        {"list.a", EICE_JSON_END, ""},
        {"A", EICE_JSON_END, ""},
        {"a.b.c.d", EICE_JSON_END, ""},
    };
    size_t i;
    eice_str raw;

    for (i = 0; i < EICEI_LEN(list); i++) {
        CHECK_INT(eice_json_find(S(doc), list[i].path, &raw), list[i].type);
        CHECK_STR(raw, list[i].raw);
    }
    CHECK_INT(eice_json_find(S("[1]"), "a", &raw), EICE_JSON_END);
    CHECK_INT(eice_json_find(S(""), "a", &raw), EICE_JSON_ERROR);
    CHECK_INT(eice_json_find(S("{\"a\":1"), "a", &raw), EICE_JSON_ERROR);
    CHECK_INT(eice_json_find(S("{\"a\":1} x"), "a", &raw), EICE_JSON_ERROR);
    CHECK_INT(eice_json_find(S("{\"a\":1,\"b\":[}"), "a", &raw),
              EICE_JSON_ERROR);
    CHECK_INT(eice_json_find(S("{\"b\":1} x"), "a", &raw), EICE_JSON_ERROR);
    CHECK_INT(raw.len, 0);
}

static void test_json_skip(void)
{
    eice_json j;
    eice_str raw;

    eice_json_init(&j, S("{\"a\":[1,{\"b\":[]}],\"c\":2,\"d\":{\"e\":}}"));
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_OBJECT);
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_KEY);
    CHECK(eice_json_skip(&j));
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_KEY);
    CHECK_STR(raw, "c");
    CHECK_INT(eice_json_take(&j, &raw), EICE_JSON_NUMBER);
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_KEY);
    CHECK(!eice_json_skip(&j));
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_ERROR);

    eice_json_init(&j, S("[[],[1]]"));
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_ARRAY);
    CHECK_INT(eice_json_take(&j, &raw), EICE_JSON_ARRAY);
    CHECK_STR(raw, "[]");
    CHECK_INT(eice_json_take(&j, &raw), EICE_JSON_ARRAY);
    CHECK_STR(raw, "[1]");
    CHECK(!eice_json_skip(&j)); /* the bracket that closes is no value */
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_END);
    CHECK(!eice_json_skip(&j));
    eice_json_init(&j, S("[[1"));
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_ARRAY);
    CHECK_INT(eice_json_take(&j, &raw), EICE_JSON_ERROR);
    CHECK_INT(raw.len, 0);
}

/* ---- XML --------------------------------------------------------------- */

static void xml_render(eice_str doc, eice_buf *out)
{
    static const char *const mark[] = {"$", "!", "<", ">", "'"};
    eice_xml_type type;
    eice_str s;
    eice_xml x;
    size_t tokens = 0;

    eice_xml_init(&x, doc);
    do {
        type = eice_xml_next(&x, &s);
        CHECK(x.at <= doc.len && x.depth <= EICE_MAX_DEPTH);
        CHECK(tokens++ <= doc.len);
        eice_put_c(out, mark[type]);
        if (x.cdata && type == EICE_XML_TEXT) {
            eice_put_c(out, "'");
        }
        if (type >= EICE_XML_OPEN) {
            CHECK(s.ptr >= doc.ptr && s.ptr + s.len <= doc.ptr + doc.len);
            eice_put(out, s);
            eice_put_byte(out, ' ');
        }
    } while (type != EICE_XML_END && type != EICE_XML_ERROR);
    CHECK_INT(eice_xml_next(&x, &s), type);
    CHECK_INT(s.len, 0);
}

static const struct {
    const char *doc;
    const char *tokens;
} xml_good[] = {
    {"<a/>", "<a >a $"},
    {"<a></a>", "<a >a $"},
    {"\xef\xbb\xbf<a/>", "<a >a $"},
    {"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<a>\n</a>\n", "<a >a $"},
    {"<a>x</a>", "<a 'x >a $"},
    {"<a> x &amp; y </a >", "<a ' x &amp; y  >a $"},
    {"<a><b/><b>1</b>\n <c>2</c></a>", "<a <b >b <b '1 >b <c '2 >c >a $"},
    {"<a b=\"1\" c = '>' \n d=''/>", "<a >a $"},
    {"<n:a xmlns:n=\"u\"><n:b>t</n:b></n:a>", "<a <b 't >b >a $"},
    {"<a>x<!-- <b> & -- -->y</a>", "<a 'x 'y >a $"},
    {"<!-- c --><a/><!-- d --><?p i?>", "<a >a $"},
    {"<a><![CDATA[<b>&amp;]] >]]></a>", "<a ''<b>&amp;]] > >a $"},
    {"<a><![CDATA[]]><![CDATA[ ]]></a>", "<a ''  >a $"},
    {"<a><?php echo '<b>' ?></a>", "<a >a $"},
    {"<_a-1.b>\xc3\xa9</_a-1.b>", "<_a-1.b '\xc3\xa9 >_a-1.b $"},
    {"<\xc3\xa9/>", "<\xc3\xa9 >\xc3\xa9 $"},
    {"<a>]]&gt;</a>", "<a ']]&gt; >a $"},
};

static void test_xml_good(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(xml_good); i++) {
        const size_t len = strlen(xml_good[i].doc);
        guard g = guard_copy(xml_good[i].doc, len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        xml_render(eice_str_make(g.ptr, len), &b);
        CHECK_TEXT(eice_buf_c(&b), xml_good[i].tokens);
        guard_free(&g);
    }
}

/* The third is "billion laughs", the fourth reads a file elsewhere. */
static const eice_str xml_bad[] = {
    L(""), L(" \n"),
    L("<!DOCTYPE l [<!ENTITY a \"x\"><!ENTITY b \"&a;&a;\">]><l>&b;</l>"),
    L("<!DOCTYPE f SYSTEM \"file:///etc/passwd\"><f/>"),
    L("<a><!ENTITY b \"c\"></a>"), L("<a><!ELEMENT b></a>"),
    L("x"), L("x<a/>"), L("<a/>x"), L("<a/><b/>"), L("</a>"),
    L("<a>"), L("<a"), L("<"), L("<a></b>"), L("<a><b></a></b>"),
    L("<a></a"), L("<a></A>"), L("<n:a></a>"), L("<a></n:a>"),
    L("<>"), L("< a/>"), L("<1a/>"), L("<-a/>"), L("<n:/>"),
    L("<a / >"), L("<a/ >"), L("<a//>"), L("<a b/>"), L("<a b=/>"),
    L("<a b=1/>"), L("<a b=\"1/>"), L("<a b=\"<\"/>"),
    L("<a b=\"1\"c=\"2\"/>"), L("<a =\"1\"/>"), L("<a\"1\"/>"),
    L("<a></a b=\"1\">"), L("<!-- <a/>"), L("<!-><a/>"),
    L("<a><!-- --"), L("<?xml <a/>"), L("<![CDATA[x]]><a/>"),
    L("<a/><![CDATA[x]]>"), L("<a><![CDATA[x]]</a>"),
    L("<a><![cdata[x]]></a>"), L("<a>\0</a>"), L("<a>\x01</a>"),
    L("<a>\x1b[m</a>"), L("<a>\xff</a>"), L("<a>\xc3</a>"),
    L("<a>\xef\xbf\xbf</a>"), L("<a>\xef\xbf\xbe</a>"),
    L("<a><![CDATA[\0]]></a>"),
    L("\0<a/>"), L("<a/>\0"), L("<a\0/>"), L("\xff\xfe<\0a\0/\0>\0"),
};

static void test_xml_bad(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(xml_bad); i++) {
        guard g = guard_copy(xml_bad[i].ptr, xml_bad[i].len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        xml_render(eice_str_make(g.ptr, xml_bad[i].len), &b);
        if (!ends_with(eice_buf_str(&b), '!')) {
            test_fail(__FILE__, __LINE__, "%s is accepted", xml_bad[i].ptr);
        }
        guard_free(&g);
    }
}

static void test_xml_cut(void)
{
    static const char doc[] =
        "<?xml version='1.0'?><!-- c --><n:Response a='b'><item id = \"1\"/>"
        "<x>text &lt; \xc3\xa9</x><![CDATA[<y>]]><?p?></n:Response>";
    size_t len;

    for (len = 0; len < sizeof doc - 1; len++) {
        guard g = guard_copy(doc, len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        xml_render(eice_str_make(g.ptr, len), &b);
        if (!ends_with(eice_buf_str(&b), '!')) {
            test_fail(__FILE__, __LINE__, "accepted at %d", (int)len);
        }
        guard_free(&g);
    }
}

static void test_xml_depth(void)
{
    char doc[8 * EICE_MAX_DEPTH];
    char text[8 * EICE_MAX_DEPTH];
    int extra;
    int i;

    for (extra = 0; extra < 2; extra++) {
        eice_buf d;
        eice_buf b;

        eice_buf_init(&d, doc, sizeof doc);
        for (i = 1; i < EICE_MAX_DEPTH + extra; i++) {
            eice_put_c(&d, "<a>");
        }
        eice_put_c(&d, "<b/>");
        for (i = 1; i < EICE_MAX_DEPTH + extra; i++) {
            eice_put_c(&d, "</a>");
        }
        CHECK(!d.overflow);
        eice_buf_init(&b, text, sizeof text);
        xml_render(eice_buf_str(&d), &b);
        CHECK(ends_with(eice_buf_str(&b), extra == 0 ? '$' : '!'));
    }
}

static void test_xml_unescape(void)
{
    static const struct {
        const char *raw;
        const char *want; /* NULL: refused */
    } list[] = {
        {"", ""},
        {"plain", "plain"},
        {"&lt;&gt;&amp;&apos;&quot;", "<>&'\""},
        {"a&#65;&#x42;&#x6a;&#9;b", "aABj\tb"},
        {"&#233;&#x20ac;&#x1F600;&#x10ffff;",
         "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"},
        {"&#0000000065;", "A"},
        {"&amp;lt;", "&lt;"},
        {"&#0;", NULL},
        {"&#1;", NULL},
        {"&#xd800;", NULL},
        {"&#x110000;", NULL},
        {"&#4294967361;", NULL},
        {"&#x100000041;", NULL},
        {"&#;", NULL},
        {"&#x;", NULL},
        {"&#xg;", NULL},
        {"&#1a;", NULL},
        {"&#X41;", NULL},
        {"&#-1;", NULL},
        {"&nbsp;", NULL},
        {"&;", NULL},
        {"&", NULL},
        {"a & b", NULL},
        {"&lt", NULL},
        {"&LT;", NULL},
        {"&amp ;", NULL},
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        const size_t len = strlen(list[i].raw);
        guard g = guard_copy(list[i].raw, len);
        char text[64];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        if (eice_xml_unescape(eice_str_make(g.ptr, len), &b)
            != (list[i].want != NULL)) {
            test_fail(__FILE__, __LINE__, "%s", list[i].raw);
        } else if (list[i].want != NULL) {
            CHECK_TEXT(eice_buf_c(&b), list[i].want);
        }
        guard_free(&g);
    }
}

static void test_xml_skip(void)
{
    eice_xml x;
    eice_str s;

    eice_xml_init(&x, S("<a><b><c/>t<b>u</b></b><d/><e></a>"));
    CHECK(!eice_xml_skip(&x));
    CHECK_INT(eice_xml_next(&x, &s), EICE_XML_OPEN);
    CHECK_INT(eice_xml_next(&x, &s), EICE_XML_OPEN);
    CHECK(eice_xml_skip(&x));
    CHECK_INT(x.depth, 1);
    CHECK_INT(eice_xml_next(&x, &s), EICE_XML_OPEN);
    CHECK_STR(s, "d");
    CHECK(eice_xml_skip(&x));
    CHECK_INT(eice_xml_next(&x, &s), EICE_XML_OPEN);
    CHECK_STR(s, "e");
    CHECK(!eice_xml_skip(&x));
    CHECK_INT(eice_xml_next(&x, &s), EICE_XML_ERROR);
}

/* ---- answers of EC2 ---------------------------------------------------- */

typedef struct leaf {
    eice_str name;
    eice_str value;
    bool used;
} leaf;

typedef struct leaves {
    leaf list[128];
    size_t count;
    char memory[8192];
    eice_buf text;
} leaves;

static void leaves_init(leaves *l)
{
    l->count = 0;
    eice_buf_init(&l->text, l->memory, sizeof l->memory);
}

/* Keeps what was just appended to `text`; values of nothing are left out. */
static void leaves_add(leaves *l, eice_str name, size_t begin)
{
    const eice_str value = eice_str_trim(
        eice_str_make(l->memory + begin, l->text.len - begin));

    CHECK(!l->text.overflow && l->count < EICEI_LEN(l->list));
    if (value.len > 0) {
        l->list[l->count].name = name;
        l->list[l->count].value = value;
        l->list[l->count].used = false;
        l->count++;
    }
}

static void leaves_xml(leaves *l, eice_str doc)
{
    eice_str name = eice_str_c("");
    eice_xml_type type;
    eice_str s;
    eice_xml x;

    leaves_init(l);
    eice_xml_init(&x, doc);
    do {
        type = eice_xml_next(&x, &s);
        if (type == EICE_XML_OPEN) {
            name = s;
        } else if (type == EICE_XML_TEXT) {
            const size_t begin = l->text.len;

            CHECK(eice_xml_unescape(s, &l->text));
            leaves_add(l, name, begin);
        }
    } while (type != EICE_XML_END && type != EICE_XML_ERROR);
    CHECK_INT(type, EICE_XML_END);
}

static void leaves_json(leaves *l, eice_str doc)
{
    eice_str name = eice_str_c("");
    eice_json_type type;
    eice_str raw;
    eice_json j;

    leaves_init(l);
    eice_json_init(&j, doc);
    do {
        type = eice_json_next(&j, &raw);
        if (type == EICE_JSON_KEY) {
            name = raw;
        } else if (type >= EICE_JSON_STRING && type < EICE_JSON_NULL) {
            const size_t begin = l->text.len;

            CHECK(eice_json_unescape(raw, &l->text));
            leaves_add(l, name, begin);
        }
    } while (type != EICE_JSON_END && type != EICE_JSON_ERROR);
    CHECK_INT(type, EICE_JSON_END);
}

/* A model-driven parser renames a few members. */
static bool same_name(eice_str xml, eice_str json)
{
    static const char *const renamed[][2] = {
        {"zoneState", "State"},         {"reason", "StateTransitionReason"},
        {"dnsName", "PublicDnsName"},   {"ipAddress", "PublicIpAddress"},
        {"regionEndpoint", "Endpoint"}, {"groupDescription", "Description"}};
    size_t i;

    for (i = 0; i < EICEI_LEN(renamed); i++) {
        if (eice_str_is(xml, renamed[i][0])
            && eice_str_is(json, renamed[i][1])) {
            return true;
        }
    }
    return eice_str_eq_nocase(xml, json);
}

static bool take_leaf(leaves *l, const leaf *wanted)
{
    size_t i;

    for (i = 0; i < l->count; i++) {
        if (!l->list[i].used && same_name(wanted->name, l->list[i].name)
            && eice_str_eq(wanted->value, l->list[i].value)) {
            l->list[i].used = true;
            return true;
        }
    }
    return false;
}

static eice_str read_sample(const char *name, const char *kind, char *out,
                            size_t cap)
{
    char path[1024];
    FILE *f;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/ec2-xml/%s.%s", getenv("EICE_VECTORS"),
             name, kind);
    f = fopen(path, "rb");
    if (f != NULL) {
        n = fread(out, 1, cap, f);
        fclose(f);
    }
    if (n == 0 || n == cap) {
        test_fail(__FILE__, __LINE__, "%s cannot be read", path);
    }
    return eice_str_make(out, n);
}

static void compare_sample(const char *name, size_t at_least)
{
    static char xml_text[16384];
    static char json_text[16384];
    static leaves xml;
    static leaves json;
    size_t i;

    leaves_xml(&xml, read_sample(name, "xml", xml_text, sizeof xml_text));
    leaves_json(&json, read_sample(name, "json", json_text,
                                   sizeof json_text));
    CHECK(xml.count >= at_least);
    CHECK_INT(xml.count, json.count);
    for (i = 0; i < xml.count; i++) {
        if (!take_leaf(&json, &xml.list[i])) {
            test_fail(__FILE__, __LINE__, "%s: %.*s = %.*s", name,
                      (int)xml.list[i].name.len, xml.list[i].name.ptr,
                      (int)xml.list[i].value.len, xml.list[i].value.ptr);
        }
    }
}

static void test_xml_samples(void)
{
    static const struct {
        const char *name;
        size_t leaves;
    } list[] = {
        {"ec2-create-subnet", 7},
        {"ec2-create-vpc", 6},
        {"ec2-describe-addresses", 8},
        {"ec2-describe-availability-zones", 10},
        {"ec2-describe-instance-attribute", 3},
        {"ec2-describe-instance-status", 11},
        {"ec2-describe-instances", 68},
        {"ec2-describe-key-pairs", 3},
        {"ec2-describe-network-interfaces", 50},
        {"ec2-describe-regions", 17},
        {"ec2-describe-security-groups", 65},
        {"ec2-describe-subnets", 9},
        {"ec2-describe-tags", 4},
        {"ec2-describe-vpcs", 7},
        {"ec2-get-password-data", 4},
        {"error-ec2-describe-instances", 3},
        {"error-iam-get-user", 4},
        {"error-sts-get-session-token", 4},
    };
    size_t i;

    if (getenv("EICE_VECTORS") == NULL) {
        SKIP("EICE_VECTORS is not set");
    }
    for (i = 0; i < EICEI_LEN(list); i++) {
        compare_sample(list[i].name, list[i].leaves);
    }
}

/* ---- INI --------------------------------------------------------------- */

/* [section] key=value, -sub=value; "!3" is an error in line 3. */
static void ini_render(eice_str doc, eice_buf *out)
{
    eice_ini_type type;
    eice_ini i;
    eice_str name;
    eice_str value;
    size_t tokens = 0;

    eice_ini_init(&i, doc);
    do {
        type = eice_ini_next(&i, &name, &value);
        CHECK(i.at <= doc.len && tokens++ <= doc.len);
        if (type == EICE_INI_SECTION) {
            eice_putf(out, "[%S]", &name);
        } else if (type == EICE_INI_KEY) {
            eice_putf(out, "%S=%S|", &name, &value);
        } else if (type == EICE_INI_NESTED) {
            eice_putf(out, "-%S=%S|", &name, &value);
        } else if (type == EICE_INI_ERROR) {
            eice_putf(out, "!%u", i.line);
        }
    } while (type != EICE_INI_END && type != EICE_INI_ERROR);
    CHECK_INT(eice_ini_next(&i, &name, &value), type);
    CHECK(name.len == 0 && value.len == 0);
}

static const struct {
    const char *doc;
    const char *tokens;
} ini_table[] = {
    {"", ""},
    {"\n\r\n \t\n", ""},
    {"# c\n; d\n  # e\n", ""},
    {"\xef\xbb\xbf[a]\nb=c", "[a]b=c|"},
    {"[a]\r\nb = c\r\n", "[a]b=c|"},
    {"[ profile x ]\nb=1\n[a]\nb=2", "[profile x]b=1|[a]b=2|"},
    {"[profile \"two words\"]", "[profile \"two words\"]"},
    {"[a] # comment\n[b]\t; c", "[a][b]"},
    {"[a#b]\n[c;d]", "[a#b][c;d]"},
    {"[a]b]", "[a]b]"},
    {"[a] junk", "[a]"},
    {"[s]\nk=a=b:c\nk:d=e\nk = :x", "[s]k=a=b:c|k=d=e|k=:x|"},
    {"[s]\n K E Y\t=\t v  w \t", "[s]K E Y=v  w|"},
    {"[s]\nk=v#x\nl=v #x\nm=v\t; x # y\nn=#x\no= # x", /* */
     "[s]k=v#x|l=v|m=v|n=#x|o=|"},
    {"[s]\nk=\"v # x\"", "[s]k=\"v|"},
    {"[s]\nk =\nl=", "[s]k=|l=|"},
    {"[s]\nx =\n  a = 1\n\n # c\n  b: 2\ny=3", "[s]x=|-a=1|-b=2|y=3|"},
    {"[s]\nx = # note\n\ta=1", "[s]x=|-a=1|"},
    {"[s]\nx = 1\n  a = 2\n  junk\ny = 3", "[s]x=1|y=3|"},
    {"[s]\nx = 1\n\n  [t]\ny = 3", "[s]x=1|y=3|"},
    /* Keys all at one indentation are keys, as Python reads them. */
    {"[s]\n  a = 1\n  b =\n  c = 3", "[s]a=1|b=|c=3|"},
    {"  [s]\n  a =\n    b = 1\n c = 2", "[s]a=|-b=1|c=2|"},
    {"[s]\na=1\n[t]\n  b=2", "[s]a=1|[t]b=2|"},
    {"[s]\nk=\xc3\xa9\xe2\x82\xac", "[s]k=\xc3\xa9\xe2\x82\xac|"},
    {"[s]\nk=1\nk=2\n[s]\nk=3", "[s]k=1|k=2|[s]k=3|"},
    {"a=b", "!1"},
    {"\n# c\na=b\n[s]", "!3"},
    {"  a=b", "!1"},
    {"[a\n", "!1"},
    {"[]", "!1"},
    {"[ ]", "!1"},
    {"[", "!1"},
    {"[a # ]", "!1"},
    {"[s]\njunk\nk=v", "[s]!2"},
    {"[s]\n=v", "[s]!2"},
    {"[s]\n : v", "[s]!2"},
    {"[s]\nx=\n  junk", "[s]x=|!3"},
    {"[s]\nx=\n  =1", "[s]x=|!3"},
    {"[s]\nk=a\rb", "[s]!2"},
    {"[s]\nk=\033[m", "[s]!2"},
    {"[s]\nk=\x7f", "[s]!2"},
};

static void test_ini(void)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(ini_table); i++) {
        const size_t len = strlen(ini_table[i].doc);
        guard g = guard_copy(ini_table[i].doc, len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        ini_render(eice_str_make(g.ptr, len), &b);
        CHECK_TEXT(eice_buf_c(&b), ini_table[i].tokens);
        guard_free(&g);
    }
}

static void test_ini_nul(void)
{
    char text[64];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    ini_render(S("[s]\nk=\0v\n"), &b);
    CHECK_TEXT(eice_buf_c(&b), "[s]!2");
    eice_buf_init(&b, text, sizeof text);
    ini_render(S("\0"), &b);
    CHECK_TEXT(eice_buf_c(&b), "!1");
    eice_buf_init(&b, text, sizeof text);
    ini_render(eice_str_make(NULL, 0), &b);
    CHECK_TEXT(eice_buf_c(&b), "");
}

/* Cut in the middle of a line, the lines before it read the same. */
static void test_ini_cut(void)
{
    static const char doc[] =
        "\xef\xbb\xbf# c\r\n[default]\r\nregion = eu-central-1 ; x\r\n"
        "s3 =\r\n  max = 1\r\n\r\n[profile \"a b\"]\nrole_arn: arn:aws:x\n";
    size_t len;
    char whole[256];
    eice_buf w;

    eice_buf_init(&w, whole, sizeof whole);
    ini_render(S(doc), &w);
    CHECK_STR(eice_buf_str(&w),
              "[default]region=eu-central-1|s3=|-max=1|[profile \"a b\"]"
              "role_arn=arn:aws:x|");
    for (len = 3; len < sizeof doc; len++) {
        guard g = guard_copy(doc, len);
        char text[256];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        ini_render(eice_str_make(g.ptr, len), &b);
        if (doc[len - 1] == '\n') {
            CHECK(memcmp(text, whole, b.len) == 0);
        }
        guard_free(&g);
    }
}

/* The sentences of "Troubleshoot access denied error messages" in IAM's guide,
 * and what services make of them. */
static void test_denial(void)
{
#define USER "User: arn:aws:iam::1:user/d is not authorized to perform: "
    static const struct {
        const char *message;
        const char *put; /* NULL: no denial */
        bool deny;
    } rows[] = {
        {USER "ec2:A on resource: arn:r because no identity-based policy "
              "allows the ec2:A action",
         "not allowed to do ec2:A (no identity-based policy allows it) on "
         "arn:r as arn:aws:iam::1:user/d", false},
        {USER "s:B with an explicit deny in a service control policy",
         "not allowed to do s:B (an explicit deny in a service control "
         "policy) as arn:aws:iam::1:user/d", true},
        {"You are not authorized to perform this operation. " USER
         "ec2:C on resource: arn:r with an explicit deny in a permissions "
         "boundary. Encoded authorization failure message: eA",
         "not allowed to do ec2:C (an explicit deny in a permissions "
         "boundary) on arn:r as arn:aws:iam::1:user/d", true},
        {USER "s:D on resource: arn:r.",
         "not allowed to do s:D on arn:r as arn:aws:iam::1:user/d", false},
        {USER "s:E with an explicit deny",
         "not allowed to do s:E (an explicit deny) as arn:aws:iam::1:user/d",
         true},
        {"is not authorized to perform: s:F", "not allowed to do s:F", false},
        {"You are not authorized to perform this operation.", NULL, false},
        {"User: ", NULL, false},
        {"to perform: ", NULL, false},
        {"", NULL, false},
    };
#undef USER
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char memory[256];
        eice_denial d;
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        CHECK_INT(eice_denial_read(eice_str_c(rows[i].message), &d),
                  rows[i].put != NULL);
        CHECK_INT(d.deny, rows[i].deny);
        if (rows[i].put != NULL) {
            eice_put_denial(&b, &d);
            CHECK_TEXT(eice_buf_c(&b), rows[i].put);
        }
    }
}

static const test_case tests[] = {
    {"scan: denials of IAM", test_denial},
    {"scan: JSON accepted", test_json_good},
    {"scan: JSON refused", test_json_bad},
    {"scan: JSON cut anywhere", test_json_cut},
    {"scan: JSON nesting", test_json_depth},
    {"scan: JSON escapes", test_json_unescape},
    {"scan: JSON escapes, odd cases", test_json_unescape_odd},
    {"scan: JSON members", test_json_find},
    {"scan: JSON skipping", test_json_skip},
    {"scan: XML accepted", test_xml_good},
    {"scan: XML refused", test_xml_bad},
    {"scan: XML cut anywhere", test_xml_cut},
    {"scan: XML nesting", test_xml_depth},
    {"scan: XML references", test_xml_unescape},
    {"scan: XML skipping", test_xml_skip},
    {"scan: answers of EC2 against their JSON", test_xml_samples},
    {"scan: INI", test_ini},
    {"scan: INI with NUL", test_ini_nul},
    {"scan: INI cut anywhere", test_ini_cut},
};

TEST_MAIN(tests)
