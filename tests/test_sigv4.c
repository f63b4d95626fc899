/* Section 5: Signature Version 4.
 *
 * With the argument --sign the program is a signer instead: it reads one
 * request a line (JSON, texts in hex) and prints one answer a line. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"

#include <dirent.h>

#define S(text) eice_str_make(text, sizeof(text) - 1)

#define SUITE_CASES 38

/* ---- requests of the tests --------------------------------------------- */

/* A request and the memory its slices point into. */
typedef struct request {
    eice_sigv4_request r;
    eice_pair query[EICE_MAX_QUERY];
    eice_pair headers[EICE_MAX_HEADERS];
    uint32_t expires_s;
    bool presign;
    char memory[65536];
    size_t used;
} request;

static void request_init(request *q)
{
    memset(q, 0, offsetof(request, memory));
    q->used = 0;
    q->r.query = q->query;
    q->r.headers = q->headers;
}

static void request_query(request *q, eice_str name, eice_str value)
{
    q->query[q->r.query_count].name = name;
    q->query[q->r.query_count].value = value;
    q->r.query_count++;
}

static void request_header(request *q, eice_str name, eice_str value)
{
    q->headers[q->r.header_count].name = name;
    q->headers[q->r.header_count].value = value;
    q->r.header_count++;
}

/* Room in the request's memory for what a decoder writes. */
static char *request_room(request *q, size_t len)
{
    char *const p = q->memory + q->used;

    if (len > sizeof q->memory - q->used) {
        abort();
    }
    q->used += len;
    return p;
}

static eice_str request_uri(request *q, eice_str coded)
{
    char *const p = request_room(q, coded.len);
    const ptrdiff_t n = eice_uri_decode(coded, p, coded.len);

    CHECK(n >= 0);
    return eice_str_make(p, n < 0 ? 0 : (size_t)n);
}

/* "a=b&c" as it stands in a URL. */
static void request_parse_query(request *q, eice_str text)
{
    while (text.len > 0) {
        eice_str pair = eice_str_cut(&text, '&');
        const eice_str name = eice_str_cut(&pair, '=');

        request_query(q, request_uri(q, name), request_uri(q, pair));
    }
}

/* "METHOD target HTTP/1.1": the target may hold spaces. */
static void request_parse_line(request *q, eice_str line)
{
    static const char version[] = " HTTP/1.1";
    eice_str path;

    q->r.method = eice_str_cut(&line, ' ');
    line.len -= sizeof version - 1;
    path = eice_str_cut(&line, '?');
    q->r.path = path;
    request_parse_query(q, line);
}

/* A line that begins with white space continues the one before. */
static void request_parse(request *q, eice_str text)
{
    request_parse_line(q, eice_str_cut(&text, '\n'));
    while (text.len > 0 && text.ptr[0] != '\n') {
        const char *const begin = text.ptr;
        eice_str line = eice_str_cut(&text, '\n');
        eice_str name;

        while (text.len > 0 && text.ptr[0] == ' ') {
            const eice_str more = eice_str_cut(&text, '\n');

            line.len = (size_t)(more.ptr + more.len - begin);
        }
        name = eice_str_cut(&line, ':');
        request_header(q, name, line);
    }
    if (text.len > 0) {
        text = eice_str_make(text.ptr + 1, text.len - 1);
    }
    q->r.body = text;
}

static eice_str header_of(const request *q, const char *name)
{
    size_t i;

    for (i = 0; i < q->r.header_count; i++) {
        if (eice_str_is_nocase(q->headers[i].name, name)) {
            return q->headers[i].value;
        }
    }
    return eice_str_c("");
}

/* The request that the quoted documents sign. */
static void request_vanilla(request *q)
{
    request_init(q);
    q->r.method = S("GET");
    q->r.path = S("/");
    q->r.region = S("us-east-1");
    q->r.service = S("service");
    q->r.keys.access_key_id = S("AKIDEXAMPLE");
    q->r.keys.secret_access_key = S("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    q->r.unix_s = 1440938160;
    q->r.normalize_path = true;
    request_header(q, S("Host"), S("example.amazonaws.com"));
}

/* ---- published short vectors ------------------------------------------- */

static request q;
static eice_presigned presigned;

static eice_str read_rope(char *out, size_t cap)
{
    eice_rope_pos pos;

    memset(&pos, 0, sizeof pos);
    return eice_str_make(out, eice_rope_read(presigned.piece, presigned.count,
                                             &pos, out, cap));
}

/* From the tests of the AWS CLI, open-tunnel. */
static void test_cli(void)
{
    char text[2048];
    char to_sign[512];
    eice_buf b;

    request_init(&q);
    q.r.method = S("GET");
    q.r.path = S("/openTunnel");
    q.r.region = S("us-west-2");
    q.r.service = S("ec2-instance-connect");
    q.r.keys.access_key_id = S("access_key");
    q.r.keys.secret_access_key = S("secret_key");
    q.r.unix_s = 1577840461;
    request_header(&q, S("host"), S("eice-123.ec2-instance-connect-endpoint."
                                    "us-west-2.amazonaws.com"));
    request_query(&q, S("instanceConnectEndpointId"), S("eice-123"));
    request_query(&q, S("remotePort"), S("22"));
    request_query(&q, S("privateIpAddress"), S("10.0.0.0"));
    request_query(&q, S("maxTunnelDuration"), S("1"));
    CHECK_INT(eice_sigv4_presign(&q.r, 60, &presigned), EICE_OK);
    CHECK_STR(read_rope(text, sizeof text),
              "/openTunnel?instanceConnectEndpointId=eice-123&remotePort=22"
              "&privateIpAddress=10.0.0.0&maxTunnelDuration=1"
              "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
              "access_key%2F20200101%2Fus-west-2%2Fec2-instance-connect"
              "%2Faws4_request&X-Amz-Date=20200101T010101Z&X-Amz-Expires=60"
              "&X-Amz-SignedHeaders=host&X-Amz-Signature="
              "3a56740422a5b9aebd22d860b7a30c729e459a6f71a83bc0de3a2b44b7353f"
              "28");
    eice_buf_init(&b, to_sign, sizeof to_sign);
    CHECK_INT(eice_sigv4_explain(&q.r, 60, true, NULL, &b), EICE_OK);
    CHECK_STR(eice_buf_str(&b),
              "AWS4-HMAC-SHA256\n20200101T010101Z\n"
              "20200101/us-west-2/ec2-instance-connect/aws4_request\n"
              "f38050aa9d06479e163e2a4b92e798774b3af127a3cac4d191ae2ab74951b81"
              "4");
}

/* get-vanilla of the test suite of Signature Version 4. */
static void test_vanilla(void)
{
    char text[1024];
    eice_signed s;
    eice_buf b;

    request_vanilla(&q);
    CHECK_INT(eice_sigv4_sign(&q.r, &s), EICE_OK);
    CHECK_TEXT(s.date, "20150830T123600Z");
    CHECK_TEXT(s.scope, "20150830/us-east-1/service/aws4_request");
    CHECK_TEXT(s.signed_headers, "host;x-amz-date");
    CHECK_TEXT(s.body_sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934"
                              "ca495991b7852b855");
    eice_buf_init(&b, text, sizeof text);
    eice_sigv4_authorization(&q.r, &s, &b);
    CHECK_TEXT(eice_buf_c(&b),
               "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/"
               "service/aws4_request, SignedHeaders=host;x-amz-date, "
               "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aa"
               "e1d763fbf31");
    eice_buf_init(&b, text, sizeof text);
    CHECK_INT(eice_sigv4_explain(&q.r, 0, false, &b, NULL), EICE_OK);
    CHECK_TEXT(eice_buf_c(&b),
               "GET\n/\n\nhost:example.amazonaws.com\n"
               "x-amz-date:20150830T123600Z\n\nhost;x-amz-date\n"
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85"
               "5");
    CHECK_INT(eice_sigv4_presign(&q.r, 3600, &presigned), EICE_OK);
    CHECK_TEXT(presigned.sign.signature, "e93c787ed7f371d5c6b165c1b38ede9550f4d"
                                         "ce4144713e844b25b7192d3865d");
    q.r.path = S("");
    CHECK_INT(eice_sigv4_presign(&q.r, 3600, &presigned), EICE_OK);
    CHECK_TEXT(presigned.sign.signature, "e93c787ed7f371d5c6b165c1b38ede9550f4d"
                                         "ce4144713e844b25b7192d3865d");
    CHECK(eice_str_starts(read_rope(text, sizeof text), "/?X-Amz-Algorithm="));
}

/* ---- canonical form ---------------------------------------------------- */

/* The first `count` lines of the canonical request, without the method. */
static eice_str canonical_lines(const request *from, char *text, size_t cap,
                                size_t count)
{
    eice_str rest;
    eice_str all;
    eice_buf b;

    eice_buf_init(&b, text, cap);
    CHECK_INT(eice_sigv4_explain(&from->r, 60, false, &b, NULL), EICE_OK);
    CHECK(!b.overflow);
    rest = eice_buf_str(&b);
    (void)eice_str_cut(&rest, '\n');
    all = rest;
    while (count-- > 0) {
        (void)eice_str_cut(&rest, '\n');
    }
    all.len -= rest.len + 1;
    return all;
}

static void test_paths(void)
{
    static const struct {
        const char *path;
        const char *folded;
        const char *as_is;
    } list[] = {
        {"/", "/", "/"},
        {"//", "/", "//"},
        {"/a", "/a", "/a"},
        {"/a/", "/a/", "/a/"},
        {"//a///b", "/a/b", "//a///b"},
        {"/.", "/", "/."},
        {"/./a", "/a", "/./a"},
        {"/a/.", "/a", "/a/."},
        {"/a/./", "/a/", "/a/./"},
        {"/..", "/", "/.."},
        {"/../a", "/a", "/../a"},
        {"/a/..", "/", "/a/.."},
        {"/a/../", "/", "/a/../"},
        {"/a/b/../c", "/a/c", "/a/b/../c"},
        {"/a/b/../../c", "/c", "/a/b/../../c"},
        {"/a/../../b/c/..", "/b", "/a/../../b/c/.."},
        {"/...", "/...", "/..."},
        {"/a%20b", "/a%2520b", "/a%2520b"},
        {"/a b~-_.", "/a%20b~-_.", "/a%20b~-_."},
        {"/:@!$&'()*+,;=", "/%3A%40%21%24%26%27%28%29%2A%2B%2C%3B%3D",
         "/%3A%40%21%24%26%27%28%29%2A%2B%2C%3B%3D"},
    };
    char text[1024];
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        request_vanilla(&q);
        q.r.path = eice_str_c(list[i].path);
        CHECK_STR(canonical_lines(&q, text, sizeof text, 1), list[i].folded);
        q.r.normalize_path = false;
        CHECK_STR(canonical_lines(&q, text, sizeof text, 1), list[i].as_is);
    }
}

static void test_query_order(void)
{
    static const char *const in[][2] = {
        {"b", "2"}, {"a", "\xff"}, {"a", "z"},  {"a", ""},  {"A", "1"},
        {"ab", ""}, {"a", "~"},    {"\n", "x"}, {"a", "z"}, {"a-", "/"}};
    char text[1024];
    size_t i;

    request_vanilla(&q);
    for (i = 0; i < EICEI_LEN(in); i++) {
        request_query(&q, eice_str_c(in[i][0]), eice_str_c(in[i][1]));
    }
    CHECK_STR(canonical_lines(&q, text, sizeof text, 2),
              "/\n%0A=x&A=1&a=&a=%FF&a=z&a=z&a=~&a-=%2F&ab=&b=2");
}

static void test_header_form(void)
{
    char text[1024];

    request_vanilla(&q);
    request_header(&q, S("X-Zoo"), S("  a \t b\r\n  c  "));
    request_header(&q, S("x-a-b"), S(""));
    request_header(&q, S("X-A"), S("2"));
    request_header(&q, S("x-zOO"), S("\"  \""));
    CHECK_STR(canonical_lines(&q, text, sizeof text, 9),
              "/\n\nhost:example.amazonaws.com\nx-a:2\nx-a-b:\n"
              "x-amz-date:20150830T123600Z\nx-zoo:a b c,\" \"\n\n"
              "host;x-a;x-a-b;x-amz-date;x-zoo");
}

/* A token of 4 kB, and secrets around the block size of the hash. */
static void test_long(void)
{
    static char token[4097];
    static char text[16384];
    static char secret[201];
    eice_signed s;
    eice_buf b;
    size_t len;

    memset(token, '/', sizeof token - 1);
    memset(secret, 's', sizeof secret - 1);
    request_vanilla(&q);
    q.r.keys.session_token = eice_str_c(token);
    CHECK_INT(eice_sigv4_sign(&q.r, &s), EICE_OK);
    CHECK_TEXT(s.signed_headers, "host;x-amz-date;x-amz-security-token");
    CHECK_INT(eice_sigv4_presign(&q.r, 60, &presigned), EICE_OK);
    CHECK(read_rope(text, sizeof text).len > 3 * 4096);
    eice_buf_init(&b, text, sizeof text);
    CHECK_INT(eice_sigv4_explain(&q.r, 60, true, &b, NULL), EICE_OK);
    CHECK(!b.overflow);

    for (len = 59; len <= 62; len++) {
        char key[204] = "AWS4";
        uint8_t want[32];
        uint8_t got[32];

        memcpy(key + 4, secret, len);
        eice_hmac_sha256(want, key, 4 + len, "20150830", 8);
        eicei_sigv4_first_key(eice_str_make(secret, len), S("20150830"), got);
        CHECK_BYTES(got, want, 32);
    }
}

/* ---- refusals ---------------------------------------------------------- */

static eice_err sign_error(void)
{
    static const eice_signed none;
    eice_signed s;
    const eice_err header = eice_sigv4_sign(&q.r, &s);
    const eice_err query = eice_sigv4_presign(&q.r, 60, &presigned);

    if (header != EICE_OK) {
        CHECK_BYTES(&s, &none, sizeof s);
        CHECK_INT(query, header);
        CHECK_INT(presigned.count, 0);
    }
    return header;
}

static void test_bad_fields(void)
{
    static const char *const bad[] = {"", "a b", "a\n", "\xc3\xa9", "\x7f"};
    size_t i;

    for (i = 0; i < EICEI_LEN(bad); i++) {
        const eice_str b = eice_str_c(bad[i]);

        request_vanilla(&q);
        q.r.method = b;
        CHECK_INT(sign_error(), EICE_E_ARGUMENT);
        request_vanilla(&q);
        q.r.region = b;
        CHECK_INT(sign_error(), EICE_E_ARGUMENT);
        request_vanilla(&q);
        q.r.service = b;
        CHECK_INT(sign_error(), EICE_E_ARGUMENT);
        request_vanilla(&q);
        q.r.keys.access_key_id = b;
        CHECK_INT(sign_error(), EICE_E_ARGUMENT);
        request_vanilla(&q);
        request_header(&q, b, S("x"));
        CHECK_INT(sign_error(), EICE_E_ARGUMENT);
        request_vanilla(&q);
        q.r.keys.session_token = b;
        CHECK_INT(sign_error(), b.len == 0 ? EICE_OK : EICE_E_ARGUMENT);
    }
    request_vanilla(&q);
    q.r.keys.secret_access_key = S("");
    CHECK_INT(sign_error(), EICE_E_ARGUMENT);
    request_vanilla(&q);
    q.r.path = S("x");
    CHECK_INT(sign_error(), EICE_E_ARGUMENT);
    request_vanilla(&q);
    q.r.region = S("a/b");
    CHECK_INT(sign_error(), EICE_E_ARGUMENT);
    request_vanilla(&q);
    request_header(&q, S("X-AMZ-date"), S("x"));
    CHECK_INT(eice_sigv4_sign(&q.r, &presigned.sign), EICE_E_ARGUMENT);
}

static void test_own_parameters(void)
{
    static const char *const own[] = {
        "X-Amz-Algorithm",     "X-Amz-Credential",     "X-Amz-Date",
        "X-Amz-Expires",       "X-Amz-SignedHeaders",  "X-Amz-Signature",
        "X-Amz-Security-Token"};
    size_t i;

    for (i = 0; i < EICEI_LEN(own); i++) {
        request_vanilla(&q);
        q.r.keys.session_token = S("token");
        request_query(&q, eice_str_c(own[i]), S("x"));
        CHECK_INT(eice_sigv4_presign(&q.r, 60, &presigned), EICE_E_ARGUMENT);
        CHECK_INT(eice_sigv4_sign(&q.r, &presigned.sign), EICE_OK);
    }
    request_vanilla(&q);
    CHECK_INT(eice_sigv4_presign(&q.r, 0, &presigned), EICE_E_ARGUMENT);
    CHECK_INT(eice_sigv4_presign(&q.r, 604801, &presigned), EICE_E_ARGUMENT);
    CHECK_INT(eice_sigv4_presign(&q.r, 604800, &presigned), EICE_OK);
    CHECK_TEXT(presigned.expires, "604800");
}

static void test_limits(void)
{
    char name[300];
    int i;

    memset(name, 'n', sizeof name);
    request_vanilla(&q);
    for (i = 0; i < EICE_MAX_QUERY - 6; i++) {
        request_query(&q, S("q"), S("v"));
    }
    for (i = 1; i < EICE_MAX_HEADERS - 3; i++) {
        request_header(&q, S("h"), S("v"));
    }
    q.r.keys.session_token = S("token");
    q.r.sign_body = true;
    CHECK_INT(sign_error(), EICE_OK);
    CHECK(presigned.count <= EICE_MAX_PIECES);
    q.r.query_count++;
    CHECK_INT(sign_error(), EICE_E_LIMIT);
    q.r.query_count--;
    q.r.header_count++;
    CHECK_INT(sign_error(), EICE_E_LIMIT);

    request_vanilla(&q);
    request_header(&q, eice_str_make(name, 255 - 16), S("x"));
    CHECK_INT(sign_error(), EICE_OK); /* ";host;x-amz-date" are 16 */
    q.headers[1].name.len++;
    CHECK_INT(eice_sigv4_sign(&q.r, &presigned.sign), EICE_E_LIMIT);

    request_vanilla(&q);
    q.r.region = eice_str_make(name, 159 - 30);
    CHECK_INT(sign_error(), EICE_OK); /* 20150830//service/aws4_request */
    q.r.region.len++;
    CHECK_INT(sign_error(), EICE_E_LIMIT);

    request_vanilla(&q);
    q.r.keys.access_key_id = eice_str_make(name, 128);
    CHECK_INT(sign_error(), EICE_OK);
    q.r.keys.access_key_id.len++;
    CHECK_INT(sign_error(), EICE_E_LIMIT);
}

/* ---- files ------------------------------------------------------------- */

/* The text of EICE_VECTORS/a/b/c; empty and a failed check without it. */
static eice_str read_file(const char *dir, const char *name, char *out,
                          size_t cap)
{
    char path[1024];
    FILE *f;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/%s/%s", getenv("EICE_VECTORS"), dir, name);
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

static void check_file(const char *dir, const char *form, const char *what,
                       eice_str got)
{
    static char memory[16384];
    char name[64];
    eice_str want;

    snprintf(name, sizeof name, "%s-%s.txt", form, what);
    want = read_file(dir, name, memory, sizeof memory);
    if (!eice_str_eq(got, want)) {
        test_fail(__FILE__, __LINE__, "%s/%s: got \"%.*s\"", dir, name,
                  (int)got.len, got.ptr);
    }
}

/* The text of a member, without escapes; empty when it is absent or null. */
static eice_str member(request *to, eice_str doc, const char *path)
{
    eice_buf b;
    eice_str raw;
    const eice_json_type type = eice_json_find(doc, path, &raw);

    CHECK(type != EICE_JSON_ERROR);
    if (type != EICE_JSON_STRING && type != EICE_JSON_NUMBER) {
        return eice_str_c("");
    }
    eice_buf_init(&b, request_room(to, raw.len), raw.len);
    CHECK(eice_json_unescape(raw, &b));
    return eice_buf_str(&b);
}

static bool member_true(eice_str doc, const char *path)
{
    eice_str raw;

    return eice_json_find(doc, path, &raw) == EICE_JSON_TRUE;
}

static void member_keys(request *to, eice_str doc, const char *prefix,
                        const char *token)
{
    char path[64];

    snprintf(path, sizeof path, "%saccess_key_id", prefix);
    to->r.keys.access_key_id = member(to, doc, path);
    snprintf(path, sizeof path, "%ssecret_access_key", prefix);
    to->r.keys.secret_access_key = member(to, doc, path);
    snprintf(path, sizeof path, "%s%s", prefix, token);
    to->r.keys.session_token = member(to, doc, path);
    to->r.region = member(to, doc, "region");
    to->r.service = member(to, doc, "service");
}

/* ---- the suite --------------------------------------------------------- */

static void check_explained(const char *dir, const char *form)
{
    static char canonical[16384];
    char to_sign[512];
    eice_buf a;
    eice_buf b;

    eice_buf_init(&a, canonical, sizeof canonical);
    eice_buf_init(&b, to_sign, sizeof to_sign);
    CHECK_INT(eice_sigv4_explain(&q.r, q.expires_s,
                                 strcmp(form, "query") == 0, &a, &b),
              EICE_OK);
    check_file(dir, form, "canonical-request", eice_buf_str(&a));
    check_file(dir, form, "string-to-sign", eice_buf_str(&b));
}

static void suite_header(const char *dir)
{
    static char memory[16384];
    static request want;
    char text[1024];
    eice_signed s;
    eice_buf b;

    check_explained(dir, "header");
    CHECK_INT(eice_sigv4_sign(&q.r, &s), EICE_OK);
    check_file(dir, "header", "signature", eice_str_c(s.signature));
    request_init(&want);
    request_parse(&want, read_file(dir, "header-signed-request.txt", memory,
                                   sizeof memory));
    CHECK_STR(header_of(&want, "X-Amz-Date"), s.date);
    if (q.r.sign_body) {
        CHECK_STR(header_of(&want, "X-Amz-Content-Sha256"), s.body_sha256);
    }
    eice_buf_init(&b, text, sizeof text);
    eice_sigv4_authorization(&q.r, &s, &b);
    CHECK_STR(header_of(&want, "Authorization"), eice_buf_c(&b));
}

static bool has_parameter(const request *in, const eice_pair *p)
{
    size_t i;

    for (i = 0; i < in->r.query_count; i++) {
        if (eice_str_eq(in->query[i].name, p->name)
            && eice_str_eq(in->query[i].value, p->value)) {
            return true;
        }
    }
    return false;
}

/* The suite's order of the added parameters differs from ours. */
static void suite_query(const char *dir)
{
    static char memory[16384];
    static char line[16384];
    static request want;
    static request got;
    eice_buf b;
    size_t i;

    check_explained(dir, "query");
    CHECK_INT(eice_sigv4_presign(&q.r, q.expires_s, &presigned), EICE_OK);
    check_file(dir, "query", "signature",
               eice_str_c(presigned.sign.signature));
    request_init(&want);
    request_parse(&want, read_file(dir, "query-signed-request.txt", memory,
                                   sizeof memory));
    eice_buf_init(&b, line, sizeof line);
    eice_put_c(&b, "GET ");
    b.len += read_rope(line + b.len, sizeof line - b.len - 16).len;
    eice_put_c(&b, " HTTP/1.1");
    request_init(&got);
    request_parse_line(&got, eice_buf_str(&b));
    CHECK(eice_str_eq(got.r.path, want.r.path));
    CHECK_INT(got.r.query_count, want.r.query_count);
    for (i = 0; i < want.r.query_count; i++) {
        CHECK(has_parameter(&got, &want.query[i]));
    }
}

static void suite_case(const char *name)
{
    static char context[4096];
    static char memory[16384];
    char dir[512];
    uint64_t expires = 0;
    eice_str doc;

    snprintf(dir, sizeof dir, "sigv4/%s", name);
    doc = read_file(dir, "context.json", context, sizeof context);
    request_init(&q);
    request_parse(&q, read_file(dir, "request.txt", memory, sizeof memory));
    member_keys(&q, doc, "credentials.", "token");
    /* These two are at the top. */
    q.r.region = member(&q, doc, "region");
    q.r.service = member(&q, doc, "service");
    q.r.normalize_path = member_true(doc, "normalize");
    q.r.sign_body = member_true(doc, "sign_body");
    q.r.token_after = member_true(doc, "omit_session_token");
    CHECK(eice_str_u64(member(&q, doc, "expiration_in_seconds"), 604800,
                       &expires));
    CHECK(eice_time_iso_parse(member(&q, doc, "timestamp"), &q.r.unix_s));
    q.expires_s = (uint32_t)expires;
    suite_header(dir);
    suite_query(dir);
}

static void test_suite(void)
{
    char path[1024];
    const struct dirent *entry;
    int cases = 0;
    DIR *dir;

    if (getenv("EICE_VECTORS") == NULL) {
        SKIP("EICE_VECTORS is not set");
    }
    snprintf(path, sizeof path, "%s/sigv4", getenv("EICE_VECTORS"));
    dir = opendir(path);
    CHECK(dir != NULL);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strchr(entry->d_name, '.') == NULL) {
            suite_case(entry->d_name);
            cases++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    CHECK_INT(cases, SUITE_CASES);
}

/* ---- requests of this project ------------------------------------------ */

static void check_member(eice_str doc, const char *path, eice_str got)
{
    static request scratch;

    request_init(&scratch);
    if (!eice_str_eq(member(&scratch, doc, path), got)) {
        test_fail(__FILE__, __LINE__, "%s: got \"%.*s\"", path, (int)got.len,
                  got.ptr);
    }
}

/* [["name", "value"], ...] or {"name": "value", ...} */
static void member_pairs(request *to, eice_str list,
                         void (*add)(request *, eice_str, eice_str))
{
    eice_json j;
    eice_str raw;
    eice_str pair[2];
    size_t n = 0;
    eice_json_type type;

    eice_json_init(&j, list);
    do {
        type = eice_json_next(&j, &raw);
        if (type == EICE_JSON_KEY || type == EICE_JSON_STRING) {
            eice_buf b;

            eice_buf_init(&b, request_room(to, raw.len), raw.len);
            CHECK(eice_json_unescape(raw, &b));
            pair[n++ % 2] = eice_buf_str(&b);
            if (n % 2 == 0) {
                add(to, pair[0], pair[1]);
            }
        }
    } while (type != EICE_JSON_END && type != EICE_JSON_ERROR);
    CHECK_INT(type, EICE_JSON_END);
}

static void tunnel_common(eice_str v)
{
    request_init(&q);
    member_keys(&q, v, "", "session_token");
    CHECK(eice_time_amz_parse(member(&q, v, "timestamp"), &q.r.unix_s));
    request_header(&q, S("Host"), member(&q, v, "host"));
}

static void tunnel_presign(eice_str v)
{
    static char text[16384];
    uint64_t expires = 0;
    eice_str raw;
    eice_buf b;

    tunnel_common(v);
    q.r.method = S("GET");
    q.r.path = S("/openTunnel");
    CHECK(eice_str_u64(member(&q, v, "expires"), 604800, &expires));
    CHECK_INT(eice_json_find(v, "params", &raw), EICE_JSON_ARRAY);
    member_pairs(&q, raw, request_query);
    CHECK_INT(eice_sigv4_presign(&q.r, (uint32_t)expires, &presigned),
              EICE_OK);
    check_member(v, "signature", eice_str_c(presigned.sign.signature));
    check_member(v, "request_target", read_rope(text, sizeof text));
    eice_buf_init(&b, text, sizeof text);
    (void)eice_sigv4_explain(&q.r, (uint32_t)expires, true, &b, NULL);
    check_member(v, "canonical_request", eice_buf_str(&b));
    eice_buf_init(&b, text, sizeof text);
    (void)eice_sigv4_explain(&q.r, (uint32_t)expires, true, NULL, &b);
    check_member(v, "string_to_sign", eice_buf_str(&b));
}

static void tunnel_api(eice_str v)
{
    static char text[16384];
    eice_signed s;
    eice_str raw;
    eice_buf b;

    tunnel_common(v);
    q.r.method = member(&q, v, "method");
    q.r.path = member(&q, v, "path");
    q.r.body = member(&q, v, "body");
    CHECK_INT(eice_json_find(v, "headers", &raw), EICE_JSON_OBJECT);
    member_pairs(&q, raw, request_header);
    CHECK_INT(eice_sigv4_sign(&q.r, &s), EICE_OK);
    eice_buf_init(&b, text, sizeof text);
    eice_sigv4_authorization(&q.r, &s, &b);
    check_member(v, "authorization", eice_buf_str(&b));
    eice_buf_init(&b, text, sizeof text);
    (void)eice_sigv4_explain(&q.r, 0, false, &b, NULL);
    check_member(v, "canonical_request", eice_buf_str(&b));
    eice_buf_init(&b, text, sizeof text);
    (void)eice_sigv4_explain(&q.r, 0, false, NULL, &b);
    check_member(v, "string_to_sign", eice_buf_str(&b));
}

static void tunnel_file(const char *name, void (*check)(eice_str))
{
    static char memory[65536];
    eice_str list;
    eice_str v;
    eice_json j;
    int count = 0;

    CHECK_INT(eice_json_find(read_file("opentunnel", name, memory,
                                       sizeof memory),
                             "vectors", &list),
              EICE_JSON_ARRAY);
    eice_json_init(&j, list);
    CHECK_INT(eice_json_next(&j, &v), EICE_JSON_ARRAY);
    while (eice_json_take(&j, &v) == EICE_JSON_OBJECT) {
        check(v);
        count++;
    }
    CHECK_INT(count, 5);
}

static void test_tunnel(void)
{
    if (getenv("EICE_VECTORS") == NULL) {
        SKIP("EICE_VECTORS is not set");
    }
    tunnel_file("presign.json", tunnel_presign);
}

static void test_api(void)
{
    if (getenv("EICE_VECTORS") == NULL) {
        SKIP("EICE_VECTORS is not set");
    }
    tunnel_file("api-requests.json", tunnel_api);
}

/* ---- signer ------------------------------------------------------------ */

static eice_str member_hex(request *to, eice_str doc, const char *path)
{
    const eice_str hex = member(to, doc, path);
    char *const p = request_room(to, hex.len);
    const ptrdiff_t n = eice_hex_decode(hex, p, hex.len);

    return eice_str_make(p, n < 0 ? 0 : (size_t)n);
}

static eice_str unhex(request *to, eice_str hex)
{
    char *const p = request_room(to, hex.len);
    const ptrdiff_t n = eice_hex_decode(hex, p, hex.len);

    return eice_str_make(p, n < 0 ? 0 : (size_t)n);
}

static void add_hex_query(request *to, eice_str name, eice_str value)
{
    request_query(to, unhex(to, name), unhex(to, value));
}

static void add_hex_header(request *to, eice_str name, eice_str value)
{
    request_header(to, unhex(to, name), unhex(to, value));
}

static eice_err sign_line(eice_str line, eice_buf *out)
{
    eice_str raw;
    uint64_t expires = 0;
    eice_signed s;
    eice_err err;

    request_init(&q);
    q.r.method = member_hex(&q, line, "method");
    q.r.path = member_hex(&q, line, "path");
    q.r.body = member_hex(&q, line, "body");
    q.r.region = member_hex(&q, line, "region");
    q.r.service = member_hex(&q, line, "service");
    q.r.keys.access_key_id = member_hex(&q, line, "key");
    q.r.keys.secret_access_key = member_hex(&q, line, "secret");
    q.r.keys.session_token = member_hex(&q, line, "token");
    q.r.sign_body = member_true(line, "sign_body");
    q.r.normalize_path = true;
    if (!eice_time_amz_parse(member(&q, line, "time"), &q.r.unix_s)
        || !eice_str_u64(member(&q, line, "expires"), 604800, &expires)) {
        return EICE_E_ARGUMENT;
    }
    (void)eice_json_find(line, "query", &raw);
    member_pairs(&q, raw, add_hex_query);
    (void)eice_json_find(line, "headers", &raw);
    member_pairs(&q, raw, add_hex_header);
    if (expires > 0) {
        err = eice_sigv4_presign(&q.r, (uint32_t)expires, &presigned);
        out->len = read_rope(out->ptr, out->cap).len;
        return err;
    }
    err = eice_sigv4_sign(&q.r, &s);
    eice_sigv4_authorization(&q.r, &s, out);
    return err;
}

static int signer(void)
{
    static char line[65536];
    static char text[65536];

    while (fgets(line, sizeof line, stdin) != NULL) {
        eice_buf b;
        eice_err err;

        eice_buf_init(&b, text, sizeof text - 1);
        err = sign_line(eice_str_c(line), &b);
        puts(err == EICE_OK ? eice_buf_c(&b) : eice_err_name(err));
    }
    return 0;
}

static const test_case tests[] = {
    {"sigv4: vector of the AWS CLI", test_cli},
    {"sigv4: get-vanilla, both forms", test_vanilla},
    {"sigv4: paths", test_paths},
    {"sigv4: order of parameters", test_query_order},
    {"sigv4: headers", test_header_form},
    {"sigv4: long tokens and secrets", test_long},
    {"sigv4: malformed fields", test_bad_fields},
    {"sigv4: reserved parameters", test_own_parameters},
    {"sigv4: limits", test_limits},
    {"sigv4: test suite, 38 cases in both forms", test_suite},
    {"sigv4: openTunnel requests", test_tunnel},
    {"sigv4: API requests", test_api},
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--sign") == 0) {
        return signer();
    }
    return test_main(tests, EICEI_LEN(tests), argc, argv);
}
