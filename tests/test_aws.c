/* Calls of AWS: requests byte for byte, answers in pieces of any size, errors
 * as a user meets them. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "heap.h"
#include "test.h"

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* A whole file of EICE_VECTORS, NUL-terminated; NULL when it is not there.
 * Free with free. */
static char *load(const char *path)
{
    const char *root = getenv("EICE_VECTORS");
    char name[512];
    char *text = NULL;
    long len;
    FILE *f;

    snprintf(name, sizeof name, "%s/%s", root == NULL ? "/nonexistent" : root,
             path);
    f = fopen(name, "rb");
    if (f == NULL) {
        return NULL;
    }
    fseek(f, 0, SEEK_END);
    len = ftell(f);
    rewind(f);
    text = (char *)malloc((size_t)len + 1);
    if (text == NULL || fread(text, 1, (size_t)len, f) != (size_t)len) {
        abort();
    }
    text[len] = 0;
    fclose(f);
    return text;
}

/* ---- places ------------------------------------------------------------ */

typedef struct place_row {
    const char *region;
    eice_service service;
    int flags; /* 1: FIPS, 2: dual-stack */
    const char *url;
    const char *want; /* tls|host|port|path, or a part of the error's text */
    eice_err code;
} place_row;

static const place_row places[] = {
    { "eu-central-1", EICE_SERVICE_EC2, 0, "",
      "1|ec2.eu-central-1.amazonaws.com|443|/", EICE_OK },
    { "eu-central-1", EICE_SERVICE_EIC, 0, "",
      "1|ec2-instance-connect.eu-central-1.amazonaws.com|443|/", EICE_OK },
    { "cn-north-1", EICE_SERVICE_STS, 0, "",
      "1|sts.cn-north-1.amazonaws.com.cn|443|/", EICE_OK },
    { "cn-north-1", EICE_SERVICE_EC2, 2, "",
      "1|ec2.cn-north-1.api.amazonwebservices.com.cn|443|/", EICE_OK },
    { "us-east-1", EICE_SERVICE_EC2, 1, "",
      "1|ec2-fips.us-east-1.amazonaws.com|443|/", EICE_OK },
    { "us-east-1", EICE_SERVICE_EC2, 2, "",
      "1|ec2.us-east-1.api.aws|443|/", EICE_OK },
    { "us-east-1", EICE_SERVICE_EIC, 3, "",
      "1|ec2-instance-connect-fips.us-east-1.api.aws|443|/", EICE_OK },
    { "us-gov-west-1", EICE_SERVICE_EIC, 1, "",
      "1|ec2-instance-connect-fips.us-gov-west-1.amazonaws.com|443|/",
      EICE_OK },
    { "us-gov-west-1", EICE_SERVICE_EC2, 1, "",
      "1|ec2.us-gov-west-1.amazonaws.com|443|/", EICE_OK },
    { "us-gov-west-1", EICE_SERVICE_STS, 1, "",
      "1|sts.us-gov-west-1.amazonaws.com|443|/", EICE_OK },
    { "us-gov-west-1", EICE_SERVICE_EC2, 3, "",
      "1|ec2-fips.us-gov-west-1.api.aws|443|/", EICE_OK },
    { "us-iso-east-1", EICE_SERVICE_EC2, 0, "",
      "1|ec2.us-iso-east-1.c2s.ic.gov|443|/", EICE_OK },
    { "us-isob-east-1", EICE_SERVICE_EC2, 2, "",
      "1|ec2.us-isob-east-1.api.aws.scloud|443|/", EICE_OK },
    { "eu-isoe-west-1", EICE_SERVICE_EC2, 0, "",
      "1|ec2.eu-isoe-west-1.cloud.adc-e.uk|443|/", EICE_OK },
    { "us-isof-south-1", EICE_SERVICE_EC2, 0, "",
      "1|ec2.us-isof-south-1.csp.hci.ic.gov|443|/", EICE_OK },
    { "eusc-de-east-1", EICE_SERVICE_EC2, 0, "",
      "1|ec2.eusc-de-east-1.amazonaws.eu|443|/", EICE_OK },
    /* of the form of no partition: taken for one of aws */
    { "cn-north", EICE_SERVICE_EC2, 0, "", "1|ec2.cn-north.amazonaws.com|443|/",
      EICE_OK },
    { "cn-x-1a", EICE_SERVICE_EC2, 0, "", "1|ec2.cn-x-1a.amazonaws.com|443|/",
      EICE_OK },
    { "zz-new-9", EICE_SERVICE_EC2, 0, "", "1|ec2.zz-new-9.amazonaws.com|443|/",
      EICE_OK },
    { "", EICE_SERVICE_EC2, 0, "", "no region", EICE_E_NO_REGION },
    { "a.b", EICE_SERVICE_EC2, 0, "", "\"a.b\" is not", EICE_E_CONFIG },
    { "-a", EICE_SERVICE_EC2, 0, "", "\"-a\" is not", EICE_E_CONFIG },
    { "a-", EICE_SERVICE_EC2, 0, "", "\"a-\" is not", EICE_E_CONFIG },
    { "EU", EICE_SERVICE_EC2, 0, "", "\"EU\" is not", EICE_E_CONFIG },
    { "eu-west-1", EICE_SERVICE_EC2, 0, "http://127.0.0.1:4566",
      "0|127.0.0.1|4566|/", EICE_OK },
    { "eu-west-1", EICE_SERVICE_EC2, 0, "https://localhost:8443/p/q",
      "1|localhost|8443|/p/q", EICE_OK },
    { "", EICE_SERVICE_EC2, 0, "https://[::1]", "1|::1|443|/", EICE_OK },
    { "eu-west-1", EICE_SERVICE_EC2, 1, "https://localhost", "FIPS endpoints",
      EICE_E_CONFIG },
    { "eu-west-1", EICE_SERVICE_EC2, 2, "https://localhost",
      "dual-stack endpoints", EICE_E_CONFIG },
    { "eu-west-1", EICE_SERVICE_EC2, 0, "localhost:4566",
      "the endpoint URL of ec2 is not", EICE_E_CONFIG },
    { "eu-west-1", EICE_SERVICE_EC2, 0, "ws://localhost", "is not of the form",
      EICE_E_CONFIG },
    { "eu-west-1", EICE_SERVICE_EC2, 0, "http://u:p@localhost",
      "is not of the form", EICE_E_CONFIG },
    { "eu-west-1", EICE_SERVICE_EC2, 0, "http://localhost/?a=b",
      "is not of the form", EICE_E_CONFIG },
};

static void test_places(void)
{
    size_t i;

    for (i = 0; i < sizeof places / sizeof places[0]; i++) {
        const place_row *r = &places[i];
        char memory[256];
        char got[300];
        eice_settings s;
        eice_place p;
        eice_error e;
        eice_buf b;
        eice_err err;

        memset(&e, 0, sizeof e);
        eice_settings_init(&s);
        s.region = r->region;
        s.fips = (r->flags & 1) != 0;
        s.dualstack = (r->flags & 2) != 0;
        s.endpoint_url[r->service] = r->url;
        eice_buf_init(&b, memory, sizeof memory);
        err = eice_aws_place(&s, r->service, &b, &p, &e);
        CHECK_INT(err, r->code);
        CHECK_INT(e.code, r->code);
        snprintf(got, sizeof got, "%d|%.*s|%u|%.*s", p.tls, (int)p.host.len,
                 p.host.len > 0 ? p.host.ptr : "", p.port, (int)p.path.len,
                 p.path.len > 0 ? p.path.ptr : "");
        if (r->code == EICE_OK) {
            CHECK_TEXT(got, r->want);
        } else if (!contains(e.text, r->want)) {
            test_fail(__FILE__, __LINE__, "%s %s: %s", r->region, r->url,
                      e.text);
        }
    }
}

static void test_place_room(void)
{
    eice_settings s;
    eice_place p;
    eice_error e;
    eice_buf b;
    char small[20];

    memset(&e, 0, sizeof e);
    eice_settings_init(&s);
    s.region = "eu-central-1";
    eice_buf_init(&b, small, sizeof small);
    CHECK_INT(eice_aws_place(&s, EICE_SERVICE_EC2, &b, &p, &e), EICE_E_LIMIT);
}

/* ---- requests ---------------------------------------------------------- */

/* A request with everything in it; tests change what they are about. */
typedef struct ask {
    eice_aws_request r;
    eice_place place;
    eice_pair params[24];
    char text[2048];
} ask;

static void ask_init(ask *a, eice_op op)
{
    memset(a, 0, sizeof *a);
    a->place.tls = true;
    a->place.host = eice_str_c("ec2.eu-west-1.amazonaws.com");
    a->place.port = 443;
    a->place.path = eice_str_c("/");
    a->r.op = op;
    a->r.params = a->params;
    a->r.place = &a->place;
    a->r.region = eice_str_c("eu-west-1");
    a->r.keys.access_key_id = eice_str_c("AKIDEXAMPLE");
    a->r.keys.secret_access_key =
        eice_str_c("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    (void)eice_time_amz_parse(eice_str_c("20260115T093045Z"), &a->r.unix_s);
}

static void ask_add(ask *a, const char *name, const char *value)
{
    a->params[a->r.param_count].name = eice_str_c(name);
    a->params[a->r.param_count++].value = eice_str_c(value);
}

/* Writes it; the text is NUL-terminated, "" on failure. Free with the blob. */
static const char *ask_write(const ask *a, eice_blob *out, eice_error *e)
{
    eice_err err;

    memset(out, 0, sizeof *out);
    memset(e, 0, sizeof *e);
    err = eice_aws_write(&a->r, out, e);
    CHECK_INT(e->code, err);
    if (err != EICE_OK) {
        CHECK_INT(out->len, 0);
        return "";
    }
    CHECK(eice_blob_add(out, "", 1, SIZE_MAX / 4));
    return (const char *)out->ptr;
}

/* Every byte of the simplest request. */
static void test_write_bytes(void)
{
    static const char want[] =
        "POST / HTTP/1.1\r\n"
        "Host: ec2.eu-west-1.amazonaws.com\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
        "User-Agent: eice/" EICE_VERSION "\r\n"
        "X-Amz-Date: 20260115T093045Z\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260115/"
        "eu-west-1/ec2/aws4_request, SignedHeaders=content-type;host;"
        "x-amz-date, Signature=06b295e0e13111391ba77f415be89e606cc65cb6f12ef7"
        "b23ceed567e8222c28\r\n"
        "Content-Length: 76\r\n"
        "\r\n"
        "Action=DescribeInstances&Version=2016-11-15&"
        "InstanceId.1=i-0123456789abcdef0";
    eice_blob out;
    eice_error e;
    ask a;

    ask_init(&a, EICE_OP_DESCRIBE_INSTANCES);
    ask_add(&a, "InstanceId.1", "i-0123456789abcdef0");
    CHECK_TEXT(ask_write(&a, &out, &e), want);
    eice_blob_free(&out);
}

/* What is signed is what is sent: the path, the port, the body. */
static void check_signature(const ask *a, const char *host, const char *text)
{
    const eice_pair headers[2] = {
        { eice_str_c("host"), eice_str_c(host) },
        { eice_str_c("content-type"),
          eice_str_c("application/x-www-form-urlencoded; charset=utf-8") }
    };
    const char *body = strstr(text, "\r\n\r\n");
    eice_sigv4_request s;
    eice_signed sign;

    memset(&s, 0, sizeof s);
    s.method = eice_str_c("POST");
    s.path = a->place.path;
    s.headers = headers;
    s.header_count = 2;
    s.body = eice_str_c(body == NULL ? NULL : body + 4);
    s.region = a->r.region;
    s.service = eice_str_c("ec2");
    s.keys = a->r.keys;
    s.unix_s = a->r.unix_s;
    CHECK_INT(eice_sigv4_sign(&s, &sign), EICE_OK);
    CHECK(contains(text, sign.signature));
}

static void test_write_forms(void)
{
    eice_blob out;
    eice_error e;
    const char *text;
    ask a;

    ask_init(&a, EICE_OP_DESCRIBE_INSTANCES);
    ask_add(&a, "Filter.1.Value.1", "a b+c&d=e/\xc3\xa9~*");
    a.r.next_token = eice_str_c("x+/==");
    a.r.user_agent = eice_str_c("t/1 (x)");
    a.r.keys.session_token = eice_str_c("TOK/==");
    a.place.host = eice_str_c("localhost");
    a.place.port = 4566;
    a.place.path = eice_str_c("/prefix");
    text = ask_write(&a, &out, &e);
    CHECK(contains(text, "POST /prefix HTTP/1.1\r\n"));
    CHECK(contains(text, "\r\nHost: localhost:4566\r\n"));
    CHECK(contains(text, "\r\nUser-Agent: t/1 (x)\r\n"));
    CHECK(contains(text, "\r\nX-Amz-Security-Token: TOK/==\r\n"));
    CHECK(contains(text, "SignedHeaders=content-type;host;x-amz-date;"
                         "x-amz-security-token, "));
    CHECK(contains(text, "&Filter.1.Value.1=a%20b%2Bc%26d%3De%2F%C3%A9~%2A"
                         "&NextToken=x%2B%2F%3D%3D"));
    CHECK(!contains(text, "Connection:"));
    check_signature(&a, "localhost:4566", text);
    eice_blob_free(&out);

    ask_init(&a, EICE_OP_SEND_SSH_PUBLIC_KEY);
    ask_add(&a, "InstanceOSUser", "a\"b\\c\n");
    text = ask_write(&a, &out, &e);
    CHECK(contains(text, "\r\nContent-Type: application/x-amz-json-1.1\r\n"));
    CHECK(contains(text, "\r\nX-Amz-Target: AWSEC2InstanceConnectService."
                         "SendSSHPublicKey\r\n"));
    CHECK(contains(text, "\r\n\r\n{\"InstanceOSUser\": \"a\\\"b\\\\c\\n\"}"));
    eice_blob_free(&out);
}

/* RFC 9112 3.2.2: through a proxy in plain HTTP the target is absolute. */
static void test_write_absolute(void)
{
    eice_blob out;
    eice_error e;
    const char *text;
    ask a;

    ask_init(&a, EICE_OP_GET_CALLER_IDENTITY);
    a.place.tls = false;
    a.place.host = eice_str_c("lab.example");
    a.place.port = 80;
    a.r.proxied_plain = true;
    text = ask_write(&a, &out, &e);
    CHECK(eice_str_starts(eice_str_c(text),
                          "POST http://lab.example/ HTTP/1.1\r\nHost: "));
    CHECK(!contains(text, "Proxy-Authorization"));
    eice_blob_free(&out);
    a.place.port = 8080;
    a.r.proxy_user = eice_str_c("u%40x:p%3aw"); /* u@x:p:w */
    text = ask_write(&a, &out, &e);
    CHECK(contains(text, "POST http://lab.example:8080/ HTTP/1.1\r\n"
                         "Proxy-Authorization: Basic dUB4OnA6dw==\r\n"));
    eice_blob_free(&out);
}

static void test_write_refused(void)
{
    static char big[70000];
    eice_blob out;
    eice_error e;
    ask a;
    int i;

    memset(big, 'x', sizeof big - 1);
    for (i = 0; i < 8; i++) {
        static const eice_err want[] = {
            EICE_E_ARGUMENT, EICE_E_ARGUMENT, EICE_E_ARGUMENT,
            EICE_E_ARGUMENT, EICE_E_ARGUMENT, EICE_E_LIMIT, EICE_E_LIMIT,
            EICE_E_ARGUMENT
        };

        ask_init(&a, EICE_OP_DESCRIBE_INSTANCES);
        switch (i) {
        case 0:
            a.r.keys.access_key_id = eice_str_c("");
            break;
        case 1:
            a.r.region = eice_str_c("");
            break;
        case 2:
            a.r.keys.session_token = eice_str_c("a\r\nX: y");
            break;
        case 3:
            a.r.user_agent = eice_str_c("a\nX: y");
            break;
        case 4:
            a.place.host = eice_str_c("a\r\nX: y");
            break;
        case 5:
            ask_add(&a, "x", big);
            break;
        case 6:
            a.r.next_token = eice_str_c(big);
            break;
        default:
            a.r.proxied_plain = true;
            a.r.proxy_user = eice_str_make(big, 1000);
            break;
        }
        (void)ask_write(&a, &out, &e);
        if (e.code != want[i]) {
            test_fail(__FILE__, __LINE__, "case %d: %s", i,
                      eice_err_name(e.code));
        }
        eice_blob_free(&out);
    }
}

/* Numbers count up for each beginning; values of one filter gather. */
static void test_params(void)
{
    static eice_params p;
    char memory[400];
    eice_blob out;
    eice_error e;
    const char *text;
    ask a;
    int i;

    eice_params_init(&p, memory, sizeof memory);
    eice_param(&p, "SubnetId.#", eice_str_c("s1"));
    eice_param_filter(&p, "vpc-id", eice_str_c("v1"));
    eice_param_filter(&p, "vpc-id", eice_str_c("v2"));
    eice_param_filter(&p, "tag:a", eice_str_c("v3"));
    eice_param_filter(&p, "vpc-id", eice_str_c("v4"));
    eice_param(&p, "SubnetId.#", eice_str_c("s2"));
    eice_param(&p, "Tag.2.Key", eice_str_c("k"));
    eice_param(&p, "Tag.#.Key", eice_str_c("l"));
    CHECK(!p.text.overflow);
    ask_init(&a, EICE_OP_DESCRIBE_SUBNETS);
    a.r.params = p.list;
    a.r.param_count = p.count;
    a.r.paged = true;
    a.r.dry_run = true;
    a.r.client_token = eice_str_c("t+1");
    text = ask_write(&a, &out, &e);
    CHECK(contains(text, "&SubnetId.1=s1&Filter.1.Name=vpc-id"
                         "&Filter.1.Value.1=v1&Filter.1.Value.2=v2"
                         "&Filter.2.Name=tag%3Aa&Filter.2.Value.1=v3"
                         "&Filter.3.Name=vpc-id&Filter.3.Value.1=v4"
                         "&SubnetId.2=s2&Tag.2.Key=k&Tag.3.Key=l"
                         "&ClientToken=t%2B1&DryRun=true"));
    CHECK(!contains(text, "MaxResults")); /* named by id */
    eice_blob_free(&out);
    for (i = 0; i < EICE_MAX_PARAMS; i++) {
        eice_param(&p, "X.#", eice_str_c(""));
    }
    CHECK(p.text.overflow);
    CHECK_INT(p.count, EICE_MAX_PARAMS);
}

/* Pages of the largest size, where there are pages. */
static void test_params_pages(void)
{
    static const struct {
        eice_op op;
        const char *param;
        const char *want;
    } rows[] = {
        { EICE_OP_DESCRIBE_INSTANCES, "Filter.1.Name", "&MaxResults=1000" },
        { EICE_OP_DESCRIBE_ENDPOINTS, "Filter.1.Name", "&MaxResults=50" },
        { EICE_OP_DESCRIBE_ENDPOINTS, "MaxResults", "&MaxResults=v" },
        { EICE_OP_DESCRIBE_INSTANCES, "InstanceId.1", NULL },
        { EICE_OP_DESCRIBE_REGIONS, "AllRegions", NULL },
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        eice_blob out;
        eice_error e;
        const char *text;
        ask a;

        ask_init(&a, rows[i].op);
        ask_add(&a, rows[i].param, "v");
        a.r.paged = true;
        text = ask_write(&a, &out, &e);
        if (rows[i].want != NULL) {
            CHECK(contains(text, rows[i].want));
        } else {
            CHECK(!contains(text, "MaxResults"));
        }
        eice_blob_free(&out);
    }
}

static void test_filter_text(void)
{
    char memory[32];
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    eice_put_filter_text(&b, eice_str_c("a*b?c\\d"));
    CHECK_STR(eice_buf_str(&b), "a\\*b\\?c\\\\d");
}

static void test_write_memory(void)
{
    heap h = { 0, 0, false, 0, 0, 0 };
    eice_alloc alloc;
    eice_blob out;
    eice_error e;
    ask a;
    unsigned long calls;
    unsigned long n;

    alloc.resize = heap_resize;
    alloc.user = &h;
    ask_init(&a, EICE_OP_DESCRIBE_INSTANCES);
    ask_add(&a, "InstanceId.1", "i-0123456789abcdef0");
    memset(&out, 0, sizeof out);
    out.alloc = &alloc;
    CHECK_INT(eice_aws_write(&a.r, &out, NULL), EICE_OK);
    eice_blob_free(&out);
    CHECK_INT(h.live, 0);
    calls = h.calls;
    CHECK(calls >= 2);
    for (n = 1; n <= calls; n++) {
        h.calls = 0;
        h.fail_at = n;
        memset(&e, 0, sizeof e);
        CHECK_INT(eice_aws_write(&a.r, &out, &e), EICE_E_MEMORY);
        CHECK_INT(e.code, EICE_E_MEMORY);
        eice_blob_free(&out);
        CHECK_INT(h.live, 0);
    }
}

/* ---- requests: vectors ------------------------------------------------- */

/* The member of a vector, its escapes resolved into `b`. */
static eice_str member(eice_str doc, const char *path, eice_buf *b)
{
    const size_t at = b->len;
    eice_str raw;

    if (eice_json_find(doc, path, &raw) != EICE_JSON_STRING) {
        return eice_str_make(NULL, 0);
    }
    CHECK(eice_json_unescape(raw, b));
    return eice_str_make(b->ptr + at, b->len - at);
}

static eice_str decoded(eice_str s, eice_buf *b)
{
    const size_t at = b->len;
    const ptrdiff_t n = eice_uri_decode(s, b->ptr + at, b->cap - at);

    CHECK(n >= 0);
    b->len += (size_t)n;
    return eice_str_make(b->ptr + at, (size_t)n);
}

/* Parameters out of a body, in its order; false when no operation of ours
 * has it. */
static bool ask_form(ask *a, eice_str body, eice_buf *b)
{
    eice_str pair = eice_str_cut(&body, '&');
    int op;

    (void)eice_str_cut(&pair, '=');
    for (op = 0; op < EICE_OP_COUNT; op++) {
        if (eice_str_is(pair, eice_op_name((eice_op)op))) {
            break;
        }
    }
    a->r.op = (eice_op)op;
    (void)eice_str_cut(&body, '&'); /* Version */
    while (body.len > 0) {
        eice_pair *p = &a->params[a->r.param_count++];

        pair = eice_str_cut(&body, '&');
        p->name = decoded(eice_str_cut(&pair, '='), b);
        p->value = decoded(pair, b);
    }
    return op < EICE_OP_COUNT;
}

static bool ask_json(ask *a, eice_str body)
{
    eice_json_type type;
    eice_str raw;
    eice_json j;

    a->r.op = EICE_OP_SEND_SSH_PUBLIC_KEY;
    eice_json_init(&j, body);
    while ((type = eice_json_next(&j, &raw)) != EICE_JSON_END) {
        CHECK(type != EICE_JSON_ERROR);
        if (type == EICE_JSON_KEY) {
            a->params[a->r.param_count].name = raw;
        } else if (type == EICE_JSON_STRING) {
            a->params[a->r.param_count++].value = raw;
        }
    }
    return true;
}

static bool check_vector(eice_str doc)
{
    char memory[8192];
    eice_str authorization;
    eice_str body;
    eice_blob out;
    eice_error e;
    const char *text;
    eice_buf b;
    ask a;

    eice_buf_init(&b, memory, sizeof memory);
    ask_init(&a, EICE_OP_DESCRIBE_INSTANCES);
    a.r.keys.access_key_id = member(doc, "access_key_id", &b);
    a.r.keys.secret_access_key = member(doc, "secret_access_key", &b);
    a.r.keys.session_token = member(doc, "session_token", &b);
    a.r.region = member(doc, "region", &b);
    a.place.host = member(doc, "host", &b);
    a.place.path = member(doc, "path", &b);
    CHECK(eice_time_amz_parse(member(doc, "timestamp", &b), &a.r.unix_s));
    body = member(doc, "body", &b);
    authorization = member(doc, "authorization", &b);
    if (!(eice_str_starts(body, "{") ? ask_json(&a, body)
                                     : ask_form(&a, body, &b))) {
        return false;
    }
    text = ask_write(&a, &out, &e);
    CHECK(text[0] != 0);
    CHECK(out.len > body.len + 1);
    CHECK_BYTES((const char *)out.ptr + out.len - 1 - body.len, body.ptr,
                body.len);
    text = strstr(text, "\r\nAuthorization: ");
    CHECK(text != NULL && authorization.len > 100
          && memcmp(text + 17, authorization.ptr, authorization.len) == 0
          && text[17 + authorization.len] == '\r');
    eice_blob_free(&out);
    return true;
}

static void test_write_vectors(void)
{
    char *text = load("opentunnel/api-requests.json");
    eice_str raw;
    unsigned used = 0;
    eice_json j;

    if (text == NULL) {
        SKIP("EICE_VECTORS does not name the vectors");
    }
    CHECK_INT(eice_json_find(eice_str_c(text), "vectors", &raw),
              EICE_JSON_ARRAY);
    eice_json_init(&j, raw);
    CHECK_INT(eice_json_next(&j, &raw), EICE_JSON_ARRAY);
    for (;;) {
        const size_t at = j.at;
        eice_json copy = j;

        if (eice_json_next(&copy, &raw) == EICE_JSON_ARRAY_END) {
            break;
        }
        if (!eice_json_skip(&j)) {
            test_fail(__FILE__, __LINE__, "vectors are malformed");
            break;
        }
        raw = eice_str_trim(eice_str_make(j.doc.ptr + at, j.at - at));
        while (raw.len > 0 && raw.ptr[0] != '{') {
            raw.ptr++;
            raw.len--;
        }
        used += check_vector(raw);
    }
    CHECK_INT(used, 5);
    free(text);
}

/* ---- answers ----------------------------------------------------------- */

/* An answer with this head and body, read whole, cut in two, or byte by
 * byte. */
static void reply_text(char *out, size_t cap, const char *head,
                       const char *body)
{
    const int n = snprintf(out, cap, "HTTP/1.1 %s\r\nContent-Length: %u\r\n"
                                     "\r\n%s",
                           head, (unsigned)strlen(body), body);

    if (n < 0 || (size_t)n >= cap) {
        abort();
    }
}

static bool reply_feed(eice_aws_reply *r, const char *text, size_t len,
                       eice_error *e)
{
    guard g = guard_copy(text, len);
    eice_str in = eice_str_make(g.ptr, len);
    const bool done = eice_aws_reply_feed(r, &in, e);

    guard_free(&g);
    return done;
}

static void reply_read(eice_aws_reply *r, const char *text, eice_error *e)
{
    memset(e, 0, sizeof *e);
    eice_aws_reply_init(r, NULL);
    CHECK(reply_feed(r, text, strlen(text), e));
    CHECK_INT(e->code, EICE_OK);
}

#define OK_HEAD "200 OK\r\nx-amzn-RequestId: r-1\r\nDate: Thu, 15 Jan 2026 "   \
                "09:30:45 GMT"

static void test_reply_pieces(void)
{
    static const char body[] = "{\"RequestId\":\"x\",\"Success\":true}";
    char text[400];
    size_t len;
    size_t cut;

    reply_text(text, sizeof text, OK_HEAD, body);
    len = strlen(text);
    for (cut = 0; cut <= len; cut++) {
        eice_aws_reply r;
        eice_error e;
        size_t i = 0;
        bool done = false;

        memset(&e, 0, sizeof e);
        eice_aws_reply_init(&r, NULL);
        if (cut < len) { /* in two */
            CHECK(!reply_feed(&r, text, cut, &e));
            done = reply_feed(&r, text + cut, len - cut, &e);
        } else { /* byte by byte */
            while (i < len && !done) {
                done = reply_feed(&r, text + i++, 1, &e);
            }
        }
        CHECK(done);
        CHECK_INT(e.code, EICE_OK);
        CHECK_INT(r.status, 200);
        CHECK(r.keep_alive);
        CHECK_INT(r.server_unix_s, 1768469445);
        CHECK_TEXT(r.request_id, "r-1");
        CHECK_INT(r.body.len, strlen(body));
        CHECK_BYTES(r.body.ptr, body, strlen(body));
        CHECK_INT(eice_aws_judge(&r, EICE_OP_SEND_SSH_PUBLIC_KEY, &e),
                  EICE_VERDICT_OK);
        eice_aws_reply_free(&r);
    }
}

static void test_reply_chunked(void)
{
    eice_aws_reply r;
    eice_error e;

    reply_read(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                   "Connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
               &e);
    CHECK_INT(r.body.len, 5);
    CHECK_BYTES(r.body.ptr, "abcde", 5);
    CHECK(!r.keep_alive);
    CHECK_INT(r.server_unix_s, 0);
    eice_aws_reply_free(&r);
}

static void test_reply_age(void)
{
    static const char date[] = "Date: Thu, 15 Jan 2026 09:30:45 GMT";
    char text[200];
    eice_aws_reply r;
    eice_error e;

    snprintf(text, sizeof text, "HTTP/1.1 204 x\r\n%s\r\nAge: 5\r\n\r\n", date);
    reply_read(&r, text, &e);
    CHECK_INT(r.server_unix_s, 0);
    eice_aws_reply_free(&r);
    snprintf(text, sizeof text, "HTTP/1.1 204 x\r\nAge: 5\r\n%s\r\n\r\n", date);
    reply_read(&r, text, &e);
    CHECK_INT(r.server_unix_s, 0);
    eice_aws_reply_free(&r);
}

static void test_reply_end(void)
{
    static const char *const broken = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
                                      "\r\nabc";
    static const char *const open_end = "HTTP/1.1 200 OK\r\n\r\nabc";
    eice_aws_reply r;
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_aws_reply_init(&r, NULL);
    CHECK(!eice_aws_reply_eof(&r, &e));
    CHECK_INT(e.code, EICE_OK);
    CHECK(!reply_feed(&r, broken, strlen(broken), &e));
    CHECK(eice_aws_reply_eof(&r, &e));
    CHECK_INT(e.code, EICE_E_NET_RESET);
    eice_aws_reply_free(&r);

    memset(&e, 0, sizeof e);
    eice_aws_reply_init(&r, NULL);
    CHECK(!reply_feed(&r, open_end, strlen(open_end), &e));
    CHECK(eice_aws_reply_eof(&r, &e));
    CHECK_INT(e.code, EICE_OK);
    CHECK_INT(r.body.len, 3);
    eice_aws_reply_free(&r);

    eice_aws_reply_init(&r, NULL);
    CHECK(reply_feed(&r, "SSH-2.0-x\r\n", 11, &e));
    CHECK_INT(e.code, EICE_E_HTTP);
    eice_aws_reply_free(&r);
}

static void test_reply_memory(void)
{
    heap h = { 0, 0, false, 0, 0, 0 };
    char text[4000];
    eice_alloc alloc;
    int failures = 0;
    unsigned long n;

    alloc.resize = heap_resize;
    alloc.user = &h;
    memset(text, 'x', sizeof text);
    text[snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 3000"
                                     "\r\n\r\n")] = 'x';
    for (n = 1; n < 20; n++) {
        eice_aws_reply r;
        eice_error e;
        size_t i;

        h.calls = 0;
        h.fail_at = n;
        memset(&e, 0, sizeof e);
        eice_aws_reply_init(&r, &alloc);
        for (i = 0; i < sizeof text - 100; i += 100) {
            if (reply_feed(&r, text + i, 100, &e)) {
                break;
            }
        }
        CHECK(e.code == (h.calls >= n ? EICE_E_MEMORY : EICE_OK));
        failures += e.code != EICE_OK;
        eice_aws_reply_free(&r);
        CHECK_INT(h.live, 0);
    }
    CHECK(failures >= 3);
}

static void test_reply_limit(void)
{
    static char part[1024 * 1024];
    eice_aws_reply r;
    eice_error e;
    bool done = false;
    int i;

    memset(&e, 0, sizeof e);
    eice_aws_reply_init(&r, NULL);
    CHECK(!reply_feed(&r, "HTTP/1.1 200 OK\r\n\r\n", 19, &e));
    for (i = 0; i < 17 && !done; i++) {
        eice_str in = eice_str_make(part, sizeof part);

        done = eice_aws_reply_feed(&r, &in, &e);
    }
    CHECK(done);
    CHECK_INT(i, 17);
    CHECK_INT(e.code, EICE_E_LIMIT);
    eice_aws_reply_free(&r);
}

/* ---- items ------------------------------------------------------------- */

static const char items_text[] =
    "<?xml version=\"1.0\"?>\n"
    "<a:DescribeVpcsResponse xmlns:a=\"x\"><requestId>r</requestId>"
    "<vpcSet><other><vpcId>no</vpcId></other>\n"
    " <item><vpcId>vpc-<!-- c -->1</vpcId><note>a &amp; b&#x9b;</note>"
    "<raw><![CDATA[<&>]]></raw><empty/><tagSet>"
    "<item><key>k</key><value>v1</value></item>"
    "<item><value>v2</value><key>Name</key></item></tagSet>"
    "<item><vpcId>inner</vpcId></item></item>\n"
    " <item/><item><vpcId>vpc-3</vpcId></item></vpcSet>"
    "<nextToken>t&lt;1</nextToken></a:DescribeVpcsResponse>";

static void items_reply(eice_aws_reply *r, const char *text, size_t len)
{
    eice_aws_reply_init(r, NULL);
    CHECK(eice_blob_add(&r->body, text, len, SIZE_MAX / 4));
}

static void test_items(void)
{
    eice_aws_reply r;
    eice_items items;
    eice_items tags;
    eice_item item;
    eice_item tag;
    char text[64];
    eice_str raw;
    eice_buf b;

    items_reply(&r, items_text, strlen(items_text));
    eice_aws_items(&r, EICE_OP_DESCRIBE_VPCS, &items);
    CHECK(eice_items_next(&items, &item));
    CHECK_TEXT(eice_item_get(&item, "vpcId", text, sizeof text), "vpc-1");
    CHECK_TEXT(eice_item_get(&item, "vpcId", text, 4), "vpc");
    CHECK_TEXT(eice_item_get(&item, "note", text, sizeof text), "a & b?");
    CHECK_TEXT(eice_item_get(&item, "raw", text, sizeof text), "<&>");
    CHECK_TEXT(eice_item_get(&item, "item/vpcId", text, sizeof text),
               "inner");
    CHECK_TEXT(eice_item_get(&item, "vpcId/x", text, sizeof text), "");
    CHECK_TEXT(eice_item_tag(&item, "Name", text, sizeof text), "v2");
    CHECK_TEXT(eice_item_tag(&item, "name", text, sizeof text), "");
    CHECK(eice_item_is(&item, "empty", ""));
    CHECK(!eice_item_is(&item, "absent", ""));
    CHECK(eice_item_raw(&item, "note", &raw));
    CHECK_STR(raw, "a &amp; b&#x9b;");
    CHECK(!eice_item_raw(&item, "absent", &raw));
    eice_items_in(&item, "tagSet/item", &tags);
    CHECK(eice_items_next(&tags, &tag));
    CHECK(eice_item_is(&tag, "value", "v1"));
    CHECK(eice_items_next(&tags, &tag));
    CHECK(!eice_items_next(&tags, &tag) && !tags.failed);
    CHECK(eice_items_next(&items, &item));
    CHECK_TEXT(eice_item_get(&item, "vpcId", text, sizeof text), "");
    CHECK(eice_items_next(&items, &item));
    CHECK(eice_item_is(&item, "vpcId", "vpc-3"));
    CHECK(!eice_items_next(&items, &item));
    CHECK(!items.failed);
    eice_buf_init(&b, text, sizeof text);
    eice_aws_next_token(&r, &b);
    CHECK_STR(eice_buf_str(&b), "t<1");
    eice_aws_reply_free(&r);
}

/* Cut off anywhere: never more items than there are, and always an error. */
static void test_items_cut(void)
{
    size_t len;

    for (len = 0; len < strlen(items_text); len++) {
        eice_aws_reply r;
        eice_items items;
        eice_item item;
        char text[64];
        unsigned n = 0;

        items_reply(&r, items_text, len);
        eice_aws_items(&r, EICE_OP_DESCRIBE_VPCS, &items);
        while (eice_items_next(&items, &item)) {
            (void)eice_item_tag(&item, "Name", text, sizeof text);
            n++;
        }
        CHECK(n <= 3);
        CHECK(items.failed);
        eice_aws_reply_free(&r);
    }
}

static void test_items_of_others(void)
{
    static const struct {
        const char *text;
        eice_op op;
    } rows[] = {
        { "<DescribeVpcsResponse/>", EICE_OP_DESCRIBE_SUBNETS },
        { "<DescribeVpcs/>", EICE_OP_DESCRIBE_VPCS },
        { "<html><body/></html>", EICE_OP_DESCRIBE_VPCS },
        { "{}", EICE_OP_DESCRIBE_VPCS },
    };
    eice_items items;
    eice_aws_reply r;
    eice_item item;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        items_reply(&r, rows[i].text, strlen(rows[i].text));
        eice_aws_items(&r, rows[i].op, &items);
        CHECK(!eice_items_next(&items, &item));
        CHECK(items.failed);
        eice_aws_reply_free(&r);
    }
}

/* ---- errors ------------------------------------------------------------ */

typedef struct fault {
    eice_op op;
    const char *head;
    const char *body;
    eice_verdict verdict;
    eice_err code;
    const char *aws_code;
    const char *text;   /* a part of it */
    const char *remedy; /* a part of it; NULL: empty */
} fault;

#define EC2_ERROR(code, message)                                              \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>"    \
    "<Code>" code "</Code><Message>" message "</Message></Error></Errors>"     \
    "<RequestID>5c1de3a8</RequestID></Response>"
#define STS_ERROR(code, message)                                              \
    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"      \
    "<Error><Type>Sender</Type><Code>" code "</Code><Message>" message         \
    "</Message></Error><RequestId>5c1de3a8</RequestId></ErrorResponse>"
#define JSON_ERROR(code, message)                                             \
    "{\"__type\":\"" code "\",\"Message\":\"" message                          \
    "\",\"RequestId\":\"5c1de3a8\"}"

#define INSTANCES EICE_OP_DESCRIBE_INSTANCES
#define PUSH EICE_OP_SEND_SSH_PUBLIC_KEY
#define IDENTITY EICE_OP_GET_CALLER_IDENTITY
#define FINAL EICE_VERDICT_FINAL
#define RETRY EICE_VERDICT_RETRY
#define THROTTLED EICE_VERDICT_THROTTLED
#define CLOCK EICE_VERDICT_CLOCK

static const fault faults[] = {
    { INSTANCES, "400 Bad Request",
      EC2_ERROR("InvalidInstanceID.NotFound",
                "The instance ID 'i-0aaaabbbbccccdddd' does not exist"),
      FINAL, EICE_E_NO_INSTANCE, "InvalidInstanceID.NotFound",
      "DescribeInstances: InvalidInstanceID.NotFound: The instance ID "
      "'i-0aaaabbbbccccdddd' does not exist", "region" },
    { INSTANCES, "400 Bad Request",
      EC2_ERROR("InvalidInstanceID.Malformed", "Invalid id: &quot;foo&quot;."),
      FINAL, EICE_E_NO_INSTANCE, "InvalidInstanceID.Malformed",
      "Invalid id: \"foo\"", "region" },
    { INSTANCES, "401 Unauthorized",
      EC2_ERROR("AuthFailure", "AWS was not able to validate the provided "
                               "access credentials"),
      CLOCK, EICE_E_AWS_AUTH, "AuthFailure", "was not able to validate",
      "opt-in region" },
    { INSTANCES, "403 Forbidden",
      EC2_ERROR("SignatureDoesNotMatch", "The request signature we calculated "
                                         "does not match"),
      CLOCK, EICE_E_AWS_AUTH, "SignatureDoesNotMatch", "does not match",
      "secret access key" },
    { INSTANCES, "400 Bad Request", EC2_ERROR("RequestExpired",
                                              "Request has expired."),
      CLOCK, EICE_E_AWS_CLOCK, "RequestExpired", "Request has expired",
      "clock" },
    { INSTANCES, "400 Bad Request", EC2_ERROR("InvalidClientTokenId", "x"),
      FINAL, EICE_E_AWS_AUTH, "InvalidClientTokenId", "x", "access key id" },
    { INSTANCES, "401 Unauthorized", EC2_ERROR("OptInRequired", "x"),
      FINAL, EICE_E_AWS_AUTH, "OptInRequired", "x", "enable this region" },
    { INSTANCES, "403 Forbidden",
      EC2_ERROR("UnauthorizedOperation",
                "You are not authorized to perform this operation. User: "
                "arn:aws:sts::123456789012:assumed-role/Jump/x is not "
                "authorized to perform: ec2:DescribeInstances because no "
                "identity-based policy allows the ec2:DescribeInstances "
                "action. Encoded authorization failure message: QUJDREVG"),
      FINAL, EICE_E_AWS_DENIED, "UnauthorizedOperation",
      "UnauthorizedOperation: not allowed to do ec2:DescribeInstances (no "
      "identity-based policy allows it) as "
      "arn:aws:sts::123456789012:assumed-role/Jump/x",
      "allow ec2:DescribeInstances" },
    { INSTANCES, "403 Forbidden",
      EC2_ERROR("UnauthorizedOperation",
                "You are not authorized to perform this operation. User: "
                "arn:aws:iam::123456789012:user/dev is not authorized to "
                "perform: ec2:DescribeInstances with an explicit deny in a "
                "service control policy. Encoded authorization failure "
                "message: QUJDREVG"),
      FINAL, EICE_E_AWS_DENIED, "UnauthorizedOperation",
      "ec2:DescribeInstances (an explicit deny in a service control policy) "
      "as arn:aws:iam::123456789012:user/dev",
      "remove the deny of ec2:DescribeInstances" },
    { INSTANCES, "403 Forbidden",
      EC2_ERROR("UnauthorizedOperation",
                "You are not authorized to perform this operation."),
      FINAL, EICE_E_AWS_DENIED, "UnauthorizedOperation",
      "You are not authorized to perform this operation",
      "allow ec2:DescribeInstances" },
    { IDENTITY, "403 Forbidden",
      STS_ERROR("AccessDenied",
                "User: arn:aws:iam::123456789012:user/dev is not authorized "
                "to perform: sts:AssumeRole on resource: "
                "arn:aws:iam::123456789012:role/Jump with an explicit deny"),
      FINAL, EICE_E_AWS_DENIED, "AccessDenied",
      "sts:AssumeRole (an explicit deny) on "
      "arn:aws:iam::123456789012:role/Jump as "
      "arn:aws:iam::123456789012:user/dev",
      "remove the deny of sts:AssumeRole on arn:aws:iam::123456789012:role/"
      "Jump" },
    { PUSH, "400 Bad Request",
      JSON_ERROR("AccessDeniedException",
                 "User: arn:aws:iam::1:user/d is not authorized to perform: "
                 "ec2-instance-connect:SendSSHPublicKey on resource: "
                 "arn:aws:ec2:eu-west-1:1:instance/i-01."),
      FINAL, EICE_E_AWS_DENIED, "AccessDeniedException",
      "ec2-instance-connect:SendSSHPublicKey on arn:aws:ec2:eu-west-1:1:"
      "instance/i-01 as arn:aws:iam::1:user/d",
      "allow ec2-instance-connect:SendSSHPublicKey on arn:aws:ec2:eu-west-1:1:"
      "instance/i-01" },
    { PUSH, "400 Bad Request", "{\"__type\":\"AuthException\"}",
      FINAL, EICE_E_AWS_DENIED, "AuthException",
      "not allowed to do ec2-instance-connect:SendSSHPublicKey",
      "allow ec2-instance-connect:SendSSHPublicKey" },
    { PUSH, "400 Bad Request",
      JSON_ERROR("EC2InstanceNotFoundException", "Instance not found"),
      FINAL, EICE_E_NO_INSTANCE, "EC2InstanceNotFoundException",
      "Instance not found", "region" },
    { PUSH, "400 Bad Request",
      JSON_ERROR("com.amazonaws.x#EC2InstanceStateInvalidException:http://y",
                 "not in a state"),
      FINAL, EICE_E_NOT_RUNNING, "EC2InstanceStateInvalidException",
      "not in a state", NULL },
    { PUSH, "400 Bad Request",
      JSON_ERROR("EC2InstanceUnavailableException", "later"),
      RETRY, EICE_E_AWS, "EC2InstanceUnavailableException", "later",
      "try again" },
    { PUSH, "400 Bad Request",
      JSON_ERROR("InvalidSignatureException",
                 "Signature expired: 20261122T050000Z is now earlier than "
                 "20261122T052500Z (20261122T053000Z - 5 min.)"),
      CLOCK, EICE_E_AWS_CLOCK, "InvalidSignatureException", "is now earlier",
      NULL },
    { PUSH, "400 Bad Request",
      JSON_ERROR("InvalidSignatureException", "The request signature we "
                                              "calculated does not match"),
      CLOCK, EICE_E_AWS_AUTH, "InvalidSignatureException", "does not match",
      "secret" },
    { PUSH, "400 Bad Request", JSON_ERROR("UnrecognizedClientException",
                                          "The security token is invalid."),
      FINAL, EICE_E_AWS_AUTH, "UnrecognizedClientException",
      "The security token is invalid", "access key id" },
    { PUSH, "400 Bad Request", JSON_ERROR("ExpiredTokenException", "x"),
      FINAL, EICE_E_CREDENTIALS_EXPIRED, "ExpiredTokenException", "x",
      "new temporary credentials" },
    { IDENTITY, "403 Forbidden", STS_ERROR("ExpiredToken", "x"),
      FINAL, EICE_E_CREDENTIALS_EXPIRED, "ExpiredToken", "x",
      "new temporary credentials" },
    { PUSH, "400 Bad Request", JSON_ERROR("InvalidArgsException", "bad"),
      FINAL, EICE_E_AWS, "InvalidArgsException", "bad", "login name" },
    { PUSH, "400 Bad Request", JSON_ERROR("ThrottlingException", "slow"),
      THROTTLED, EICE_E_AWS_THROTTLED, "ThrottlingException", "slow", NULL },
    { PUSH, "500 Oops", JSON_ERROR("ServiceException", "x"), RETRY, EICE_E_AWS,
      "ServiceException", "x", "try again" },
    { INSTANCES, "503 Service Unavailable",
      EC2_ERROR("RequestLimitExceeded", "Request limit exceeded."),
      THROTTLED, EICE_E_AWS_THROTTLED, "RequestLimitExceeded",
      "Request limit exceeded", NULL },
    { INSTANCES, "400 Bad Request", EC2_ERROR("SomethingLimitExceeded", "x"),
      FINAL, EICE_E_AWS, "SomethingLimitExceeded", "x", "quota" },
    { INSTANCES, "400 Bad Request", EC2_ERROR("SomethingNew", "x"),
      FINAL, EICE_E_AWS, "SomethingNew", "x", NULL },
    { INSTANCES, "503 Service Unavailable", EC2_ERROR("SomethingNew", "x"),
      RETRY, EICE_E_AWS, "SomethingNew", "x", "try again" },
    { EICE_OP_DESCRIBE_ENDPOINTS, "400 Bad Request",
      EC2_ERROR("InvalidInstanceConnectEndpointId.NotFound", "x"),
      FINAL, EICE_E_NO_ENDPOINT, "InvalidInstanceConnectEndpointId.NotFound",
      "DescribeInstanceConnectEndpoints: ", "region" },
    /* not of AWS */
    { INSTANCES, "502 Bad Gateway",
      "<html><head><title>502</title></head><body><hr>nginx</body></html>",
      RETRY, EICE_E_HTTP_STATUS, "",
      "DescribeInstances: HTTP 502 without a code of AWS", "try again" },
    { INSTANCES, "403 Forbidden", "<!DOCTYPE html><p>blocked</p>", FINAL,
      EICE_E_HTTP_STATUS, "", "HTTP 403 without", NULL },
    { INSTANCES, "403 Forbidden", "Blocked by policy 7\nask IT\n", FINAL,
      EICE_E_HTTP_STATUS, "", "HTTP 403 without a code of AWS: Blocked by "
                              "policy 7", NULL },
    { INSTANCES, "500 x", "", RETRY, EICE_E_HTTP_STATUS, "", "HTTP 500",
      "try again" },
    { PUSH, "500 x", "{\"broken", RETRY, EICE_E_HTTP_STATUS, "", "HTTP 500",
      "try again" },
    { PUSH, "429 x", "", THROTTLED, EICE_E_AWS_THROTTLED, "", "HTTP 429",
      NULL },
    { INSTANCES, "407 x", "", FINAL, EICE_E_PROXY, "", "HTTP 407", NULL },
    { INSTANCES, "302 Found", "", FINAL, EICE_E_HTTP_STATUS, "", "HTTP 302",
      NULL },
    /* cut short behind the code */
    { INSTANCES, "401 x", "<Response><Errors><Error><Code>AuthFailure</Code>",
      CLOCK, EICE_E_AWS_AUTH, "AuthFailure", "AuthFailure", "opt-in" },
    /* codes in headers */
    { PUSH, "400 x\r\nx-amzn-errortype: ThrottlingException:", "{}", THROTTLED,
      EICE_E_AWS_THROTTLED, "ThrottlingException", "", NULL },
    { PUSH, "400 x\r\nx-amzn-errortype: Foo",
      JSON_ERROR("ThrottlingException", "x"), THROTTLED, EICE_E_AWS_THROTTLED,
      "ThrottlingException", "", NULL },
    { PUSH, "400 x\r\nx-amzn-query-error: ThrottlingException;Sender\r\n"
            "x-amzn-errortype: Bar",
      JSON_ERROR("Foo", "x"), THROTTLED, EICE_E_AWS_THROTTLED,
      "ThrottlingException", "", NULL },
    /* success that is none */
    { PUSH, "200 OK", "{\"RequestId\":\"x\",\"Success\":false}", FINAL,
      EICE_E_AWS, "", "no word of success", NULL },
    { PUSH, "200 OK", "<html>hello</html>", FINAL, EICE_E_AWS, "",
      "no word of success", NULL },
    { PUSH, "200 OK", "{\"Success\":\"true\"}", FINAL, EICE_E_AWS, "",
      "no word of success", NULL },
};

static void check_fault(const fault *f)
{
    char text[2000];
    eice_aws_reply r;
    eice_error e;
    eice_verdict v;

    reply_text(text, sizeof text, f->head, f->body);
    reply_read(&r, text, &e);
    v = eice_aws_judge(&r, f->op, &e);
    if (v != f->verdict || e.code != f->code || !contains(e.text, f->text)
        || strcmp(e.aws_code, f->aws_code) != 0
        || (f->remedy == NULL ? e.remedy[0] != 0
                              : !contains(e.remedy, f->remedy))) {
        test_fail(__FILE__, __LINE__, "%s: %d %s|%s|%s|%s", f->head, (int)v,
                  eice_err_name(e.code), e.aws_code, e.text, e.remedy);
    }
    CHECK(!contains(e.text, "QUJDREVG"));
    CHECK(e.text[0] != 0 && e.text[strlen(e.text) - 1] != '.');
    CHECK_INT(e.http_status, r.status);
    CHECK_INT(e.stage, f->op == PUSH ? EICE_STAGE_PUSH : EICE_STAGE_API);
    CHECK(e.retryable == (v == RETRY || v == THROTTLED));
    if (contains(f->body, "5c1de3a8")) {
        CHECK_TEXT(e.request_id, "5c1de3a8");
    }
    eice_aws_reply_free(&r);
}

static void test_faults(void)
{
    size_t i;

    for (i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        check_fault(&faults[i]);
    }
}

/* The header's request id is preferred; the first error of a context stays;
 * no context is fine. */
static void test_fault_context(void)
{
    char text[600];
    eice_aws_reply r;
    eice_error e;

    reply_text(text, sizeof text, "400 x\r\nx-amzn-requestid: head-id",
               EC2_ERROR("AuthFailure", "x"));
    reply_read(&r, text, &e);
    CHECK_INT(eice_aws_judge(&r, INSTANCES, NULL), CLOCK);
    CHECK_INT(eice_aws_judge(&r, INSTANCES, &e), CLOCK);
    CHECK_TEXT(e.request_id, "head-id");
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_MEMORY, EICE_STAGE_LOCAL, "first");
    CHECK_INT(eice_aws_judge(&r, INSTANCES, &e), CLOCK);
    CHECK_INT(e.code, EICE_E_MEMORY);
    CHECK_TEXT(e.text, "first");
    CHECK_TEXT(e.aws_code, "");
    eice_aws_reply_free(&r);
}

/* A text that is far too long, with a character on the cut. */
static void test_fault_long(void)
{
    static char body[5000];
    static char text[6000];
    eice_aws_reply r;
    eice_error e;
    size_t i;

    strcpy(body, "{\"__type\":\"FooException\",\"message\":\"");
    for (i = strlen(body); i < 4000; i += 2) {
        memcpy(body + i, "\xc3\xa9", 2);
    }
    memcpy(body + i, "\"}", 3);
    reply_text(text, sizeof text, "400 x", body);
    reply_read(&r, text, &e);
    CHECK_INT(eice_aws_judge(&r, PUSH, &e), FINAL);
    CHECK_TEXT(e.aws_code, "FooException");
    i = strlen(e.text);
    CHECK(i >= 250 && i < 256);
    CHECK((unsigned char)e.text[i - 1] == 0xa9);
    eice_aws_reply_free(&r);
}

/* ---- lists ------------------------------------------------------------- */

typedef struct seen {
    unsigned count;
    unsigned stop_at; /* 0: never */
    eice_instance i[8];
    eice_endpoint e[4];
} seen;

static bool see_instance(void *user, const eice_instance *i)
{
    seen *s = (seen *)user;

    if (s->count < 8) {
        s->i[s->count] = *i;
    }
    return ++s->count != s->stop_at;
}

static bool see_endpoint(void *user, const eice_endpoint *e)
{
    seen *s = (seen *)user;

    if (s->count < 4) {
        s->e[s->count] = *e;
    }
    return ++s->count != s->stop_at;
}

/* A reply that holds this body, at the edge of a page. */
static void body_set(eice_aws_reply *r, const char *body)
{
    eice_aws_reply_init(r, NULL);
    r->status = 200;
    CHECK(eice_blob_add(&r->body, body, strlen(body), EICE_MAX_BODY));
}

static eice_err instances(const char *body, seen *s, char *token, size_t cap,
                          eice_error *e)
{
    eice_aws_reply r;
    eice_buf b;
    eice_err err;

    memset(s, 0, sizeof *s);
    memset(e, 0, sizeof *e);
    eice_buf_init(&b, token, cap - 1);
    body_set(&r, body);
    err = eice_aws_instances(&r, see_instance, s, &b, e);
    token[b.len] = 0;
    eice_aws_reply_free(&r);
    return err;
}

#define INSTANCE_HEAD                                                         \
    "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/"         \
    "2016-11-15/\"><requestId>7a62c49f</requestId>"
#define IN_SET(items)                                                         \
    INSTANCE_HEAD "<reservationSet><item><instancesSet>" items                 \
    "</instancesSet></item></reservationSet>"
#define INSTANCE_TAIL "</DescribeInstancesResponse>"

static const char sample_instances[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" INSTANCE_HEAD
    "<reservationSet><item>\n"
    "<reservationId>r-0c1d2e3f4a5b6c7d8</reservationId><groupSet/>\n"
    "<instancesSet><item>\n"
    "<instanceId>i-0123456789abcdef0</instanceId>"
    "<imageId>ami-0aa11bb22cc33dd44</imageId>\n"
    "<instanceState><code>16</code><name>running</name></instanceState>\n"
    "<privateDnsName>ip-10-20-1-23.eu-west-1.compute.internal</privateDnsName>"
    "<dnsName/><reason/><unknownElement><name>x</name></unknownElement>\n"
    "<instanceType>t4g.small</instanceType>"
    "<launchTime>2026-01-10T08:00:11.000Z</launchTime>\n"
    "<placement><availabilityZone>eu-west-1a</availabilityZone><groupName/>"
    "</placement>\n"
    "<subnetId>subnet-0aaa1111bbb2222cc</subnetId>"
    "<vpcId>vpc-0ddd3333eee4444ff</vpcId>\n"
    "<privateIpAddress>10.20.1.23</privateIpAddress>\n"
    "<tagSet><item><key>Env</key><value>prod</value></item>"
    "<item><value>app &amp; web-1</value><key>Name</key></item>"
    "<item><key>Nam</key><value>no</value></item></tagSet>\n"
    "<networkInterfaceSet><item><subnetId>subnet-other</subnetId>"
    "<privateIpAddress>10.20.1.99</privateIpAddress>"
    "<ipv6AddressesSet><item><ipv6Address>2001:db8::5a</ipv6Address></item>"
    "<item><ipv6Address>2001:db8::5b</ipv6Address></item></ipv6AddressesSet>"
    "</item></networkInterfaceSet>\n"
    "<metadataOptions><httpEndpoint>enabled</httpEndpoint></metadataOptions>"
    "<platformDetails>Linux/UNIX</platformDetails>\n"
    "</item><item><instanceId>i-2</instanceId>"
    "<reason>User initiated</reason>"
    "<stateReason><code>x</code><message>shut &lt;down&#62;</message>"
    "</stateReason><platform>windows</platform><ipAddress>1.2.3.4</ipAddress>"
    "<ipv6AddressesSet/><ipv6Address>2001:db8::1</ipv6Address>"
    "<instanceState><name><![CDATA[stopped]]></name></instanceState>"
    "</item></instancesSet></item></reservationSet>\n"
    "<nextToken>eyJ2IjoiMiJ9EXAMPLE==</nextToken>\n" INSTANCE_TAIL;

static void test_instances(void)
{
    char token[64];
    eice_error e;
    seen s;

    CHECK_INT(instances(sample_instances, &s, token, sizeof token, &e),
              EICE_OK);
    CHECK_INT(s.count, 2);
    CHECK_TEXT(token, "eyJ2IjoiMiJ9EXAMPLE==");
    CHECK_TEXT(s.i[0].id, "i-0123456789abcdef0");
    CHECK_TEXT(s.i[0].image_id, "ami-0aa11bb22cc33dd44");
    CHECK_TEXT(s.i[0].state, "running");
    CHECK_TEXT(s.i[0].state_reason, "");
    CHECK_TEXT(s.i[0].name, "app & web-1");
    CHECK_TEXT(s.i[0].vpc_id, "vpc-0ddd3333eee4444ff");
    CHECK_TEXT(s.i[0].subnet_id, "subnet-0aaa1111bbb2222cc");
    CHECK_TEXT(s.i[0].az, "eu-west-1a");
    CHECK_TEXT(s.i[0].private_ip, "10.20.1.23");
    CHECK_TEXT(s.i[0].public_ip, "");
    CHECK_TEXT(s.i[0].ipv6, "2001:db8::5a");
    CHECK_TEXT(s.i[0].private_dns, "ip-10-20-1-23.eu-west-1.compute.internal");
    CHECK_TEXT(s.i[0].platform, "Linux/UNIX");
    CHECK_TEXT(s.i[0].launch_time, "2026-01-10T08:00:11.000Z");
    CHECK_TEXT(s.i[0].type, "t4g.small");
    CHECK_TEXT(s.i[0].metadata, "enabled");
    CHECK_TEXT(s.i[1].id, "i-2");
    CHECK_TEXT(s.i[1].name, "");
    CHECK_TEXT(s.i[1].state, "stopped");
    CHECK_TEXT(s.i[1].state_reason, "shut <down>");
    CHECK_TEXT(s.i[1].public_ip, "1.2.3.4");
    CHECK_TEXT(s.i[1].ipv6, "2001:db8::1");
    CHECK_TEXT(s.i[1].platform, "windows");
    CHECK_TEXT(s.i[1].vpc_id, "");
}

/* Cut anywhere it is malformed, and never more than what was there. */
static void test_instances_cut(void)
{
    const size_t len = strlen(sample_instances);
    size_t n;

    for (n = 0; n < len; n++) {
        guard g = guard_copy(sample_instances, n);
        eice_aws_reply r;
        eice_error e;
        seen s;

        memset(&s, 0, sizeof s);
        memset(&e, 0, sizeof e);
        eice_aws_reply_init(&r, NULL);
        r.body.ptr = (uint8_t *)g.ptr;
        r.body.len = n;
        if (eice_aws_instances(&r, see_instance, &s, NULL, &e)
                != EICE_E_AWS || s.count > 2) {
            test_fail(__FILE__, __LINE__, "cut at %u", (unsigned)n);
        }
        guard_free(&g);
    }
}

static void test_instances_stop(void)
{
    char token[64];
    eice_aws_reply r;
    eice_error e;
    eice_buf b;
    seen s;

    memset(&e, 0, sizeof e);
    memset(&s, 0, sizeof s);
    s.stop_at = 1;
    eice_buf_init(&b, token, sizeof token);
    body_set(&r, sample_instances);
    CHECK_INT(eice_aws_instances(&r, see_instance, &s, &b, &e), EICE_OK);
    CHECK_INT(s.count, 1);
    CHECK_INT(b.len, 0);
    s.stop_at = 0;
    s.count = 0;
    CHECK_INT(eice_aws_instances(&r, see_instance, &s, NULL, &e), EICE_OK);
    CHECK_INT(s.count, 2);
    eice_aws_reply_free(&r);
}

typedef struct list_row {
    const char *body;
    eice_err code;
    unsigned count;
    const char *token;
    const char *text; /* a part of the error's */
} list_row;

#define X10 "xxxxxxxxxx"
#define X40 X10 X10 X10 X10

static const list_row lists[] = {
    { INSTANCE_HEAD "<reservationSet/>" INSTANCE_TAIL, EICE_OK, 0, "", "" },
    { INSTANCE_HEAD INSTANCE_TAIL, EICE_OK, 0, "", "" },
    { INSTANCE_HEAD "<nextToken/><reservationSet/>" INSTANCE_TAIL, EICE_OK, 0,
      "", "" },
    { INSTANCE_HEAD "<nextToken>a&amp;b</nextToken><reservationSet/>"
      INSTANCE_TAIL, EICE_OK, 0, "a&b", "" },
    { IN_SET("<item/><item></item>") INSTANCE_TAIL, EICE_OK, 2, "", "" },
    { IN_SET("<item><instanceId>i-1</instanceId><tagSet><item><key>A</key>"
             "<value>b</value></item><item><key>Name</key></item></tagSet>"
             "</item>") INSTANCE_TAIL, EICE_OK, 1, "", "" },
    { "<ns:DescribeInstancesResponse xmlns:ns=\"x\"><ns:reservationSet/>"
      "</ns:DescribeInstancesResponse>", EICE_OK, 0, "", "" },
    { IN_SET("<item><instanceId>" X40 "</instanceId></item>") INSTANCE_TAIL,
      EICE_E_AWS, 0, "", "malformed: instanceId" },
    { IN_SET("<item><vpcId>&#120;" X40 "</vpcId></item>") INSTANCE_TAIL,
      EICE_E_AWS, 0, "", "malformed: vpcId" },
    { IN_SET("<item><vpcId>&foo;</vpcId></item>") INSTANCE_TAIL,
      EICE_E_AWS, 0, "", "unknown entity" },
    { INSTANCE_HEAD "<nextToken>" X40 X40 "</nextToken>" INSTANCE_TAIL,
      EICE_E_AWS, 0, "", "nextToken is too long" },
    { INSTANCE_HEAD "<nextToken>abc</nextToken><reservationSet>", EICE_E_AWS,
      0, "", "no XML of AWS" },
    { "<html><body>hello</body></html>", EICE_E_AWS, 0, "",
      "not of AWS, or of another call" },
    { "<DescribeRegionsResponse/>", EICE_E_AWS, 0, "", "another call" },
    { "{}", EICE_E_AWS, 0, "", "no XML of AWS" },
    { "", EICE_E_AWS, 0, "", "no XML of AWS" },
    { "<!DOCTYPE x [<!ENTITY a \"b\">]>" INSTANCE_HEAD INSTANCE_TAIL,
      EICE_E_AWS, 0, "", "no XML of AWS" },
};

static void test_lists(void)
{
    size_t i;

    for (i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const list_row *l = &lists[i];
        char token[64];
        eice_error e;
        seen s;

        if (instances(l->body, &s, token, sizeof token, &e) != l->code
            || s.count != l->count || s.i[0].name[0] != 0
            || strcmp(token, l->token) != 0
            || !contains(e.text, l->text)) {
            test_fail(__FILE__, __LINE__, "%.60s: %s %u %s", l->body, e.text,
                      s.count, token);
        }
    }
}

/* What is for people is cut, at the border of a character. */
static void test_long_name(void)
{
    static char body[3000];
    char token[8];
    eice_error e;
    seen s;
    size_t i;

    strcpy(body, IN_SET("<item><tagSet><item><key>Name</key><value>"));
    body[strlen(body) - strlen("</instancesSet></item></reservationSet>")] = 0;
    for (i = 0; i < 400; i++) {
        strcat(body, "\xe2\x82\xac");
    }
    strcat(body, "</value></item></tagSet><instanceId>i-1</instanceId></item>"
                 "</instancesSet></item></reservationSet>" INSTANCE_TAIL);
    CHECK_INT(instances(body, &s, token, sizeof token, &e), EICE_OK);
    CHECK_INT(strlen(s.i[0].name), 255);
    CHECK_BYTES(s.i[0].name + 252, "\xe2\x82\xac", 3);
    CHECK_TEXT(s.i[0].id, "i-1");
}

/* Elements nested deeper than any field, and names longer than any path. */
static void test_deep(void)
{
    static char body[4000];
    char token[8];
    eice_error e;
    seen s;
    int i;

    strcpy(body, INSTANCE_HEAD "<reservationSet><item><instancesSet><item>");
    for (i = 0; i < 20; i++) {
        strcat(body, "<networkInterfaceSet>");
    }
    for (i = 0; i < 20; i++) {
        strcat(body, "</networkInterfaceSet>");
    }
    strcat(body, "<instanceId>i-1</instanceId></item></instancesSet></item>"
                 "</reservationSet>" INSTANCE_TAIL);
    CHECK_INT(instances(body, &s, token, sizeof token, &e), EICE_OK);
    CHECK_INT(s.count, 1);
    CHECK_TEXT(s.i[0].id, "i-1");
}

static void test_list_memory(void)
{
    heap h = { 0, 1, false, 0, 0, 0 };
    eice_alloc alloc;
    eice_aws_reply r;
    eice_error e;
    seen s;

    alloc.resize = heap_resize;
    alloc.user = &h;
    memset(&e, 0, sizeof e);
    memset(&s, 0, sizeof s);
    eice_aws_reply_init(&r, &alloc);
    CHECK_INT(eice_aws_instances(&r, see_instance, &s, NULL, &e),
              EICE_E_MEMORY);
    h.fail_at = 0;
    memset(&e, 0, sizeof e);
    CHECK_INT(eice_aws_instances(&r, see_instance, &s, NULL, &e), EICE_E_AWS);
    CHECK_INT(h.live, 0);
    eice_aws_reply_free(&r);
}

#define ENDPOINTS(items)                                                      \
    "<DescribeInstanceConnectEndpointsResponse xmlns=\"http://ec2.amazonaws."  \
    "com/doc/2016-11-15/\"><requestId>0f5d1b0e</requestId>"                    \
    "<instanceConnectEndpointSet>" items "</instanceConnectEndpointSet>"       \
    "</DescribeInstanceConnectEndpointsResponse>"

static void test_endpoints(void)
{
    static const char body[] = ENDPOINTS(
        "<item><ownerId>123456789012</ownerId>"
        "<instanceConnectEndpointId>eice-0a1b2c3d4e5f60718"
        "</instanceConnectEndpointId>"
        "<state>create-complete</state><stateMessage/>"
        "<dnsName>eice-0a1b.0badcafe.ec2-instance-connect-endpoint.eu-west-1."
        "amazonaws.com</dnsName><fipsDnsName/>"
        "<networkInterfaceIdSet><item>eni-0c0c</item></networkInterfaceIdSet>"
        "<vpcId>vpc-0ddd3333eee4444ff</vpcId>"
        "<availabilityZone>eu-west-1a</availabilityZone>"
        "<subnetId>subnet-0aaa1111bbb2222cc</subnetId>"
        "<preserveClientIp>true</preserveClientIp>"
        "<tagSet><item><key>state</key><value>x</value></item></tagSet>"
        "<ipAddressType>dualstack</ipAddressType>"
        "<publicDnsNames><ipv4><dnsName>v4.x</dnsName>"
        "<fipsDnsName>v4f.x</fipsDnsName></ipv4><dualstack>"
        "<dnsName>ds.x</dnsName><fipsDnsName>dsf.x</fipsDnsName></dualstack>"
        "</publicDnsNames></item>"
        "<item><instanceConnectEndpointId>eice-2</instanceConnectEndpointId>"
        "<state>delete-in-progress</state>"
        "<stateMessage>being &#x64;eleted</stateMessage>"
        "<preserveClientIp>false</preserveClientIp></item>");
    eice_aws_reply r;
    eice_error e;
    eice_buf b;
    char token[8];
    seen s;

    memset(&s, 0, sizeof s);
    memset(&e, 0, sizeof e);
    eice_buf_init(&b, token, sizeof token);
    body_set(&r, body);
    CHECK_INT(eice_aws_endpoints(&r, see_endpoint, &s, &b, &e), EICE_OK);
    CHECK_INT(s.count, 2);
    CHECK_INT(b.len, 0);
    CHECK_TEXT(s.e[0].id, "eice-0a1b2c3d4e5f60718");
    CHECK_TEXT(s.e[0].state, "create-complete");
    CHECK_TEXT(s.e[0].state_message, "");
    CHECK_TEXT(s.e[0].vpc_id, "vpc-0ddd3333eee4444ff");
    CHECK_TEXT(s.e[0].subnet_id, "subnet-0aaa1111bbb2222cc");
    CHECK_TEXT(s.e[0].az, "eu-west-1a");
    CHECK_TEXT(s.e[0].dns, "eice-0a1b.0badcafe.ec2-instance-connect-endpoint."
                           "eu-west-1.amazonaws.com");
    CHECK_TEXT(s.e[0].fips_dns, "");
    CHECK_TEXT(s.e[0].dns4, "v4.x");
    CHECK_TEXT(s.e[0].fips_dns4, "v4f.x");
    CHECK_TEXT(s.e[0].dns_dual, "ds.x");
    CHECK_TEXT(s.e[0].fips_dns_dual, "dsf.x");
    CHECK_TEXT(s.e[0].ip_type, "dualstack");
    CHECK(s.e[0].preserve_client_ip);
    CHECK(eice_endpoint_usable(&s.e[0]));
    CHECK_TEXT(s.e[1].id, "eice-2");
    CHECK_TEXT(s.e[1].state_message, "being deleted");
    CHECK(!s.e[1].preserve_client_ip);
    CHECK(!eice_endpoint_usable(&s.e[1]));
    eice_aws_reply_free(&r);
}

static void test_usable(void)
{
    static const char *const yes[] = { "create-complete", "update-in-progress",
                                       "update-complete", "update-failed" };
    static const char *const no[] = { "", "create-in-progress",
                                      "create-failed", "delete-in-progress",
                                      "delete-complete", "delete-failed" };
    eice_endpoint e;
    size_t i;

    memset(&e, 0, sizeof e);
    for (i = 0; i < 4; i++) {
        strcpy(e.state, yes[i]);
        CHECK(eice_endpoint_usable(&e));
    }
    for (i = 0; i < 6; i++) {
        strcpy(e.state, no[i]);
        CHECK(!eice_endpoint_usable(&e));
    }
}

/* Which of the six names is dialled; a letter stands for each that is there:
 * d dns, f fips_dns, 4 dns4, g fips_dns4, 2 dns_dual, h fips_dns_dual. */
static void test_endpoint_host(void)
{
    static const struct {
        const char *have;
        int flags; /* 1: FIPS, 2: dual-stack */
        const char *want;
    } table[] = {
        { "df4g2h", 0, "d" }, { "f4g2h", 0, "4" }, { "fg2h", 0, "2" },
        { "fgh", 0, "" },     { "df4g2h", 2, "2" }, { "df4gh", 2, "d" },
        { "f4gh", 2, "4" },   { "df4g2h", 1, "f" }, { "d4g2h", 1, "g" },
        { "d42h", 1, "" },    { "df4g2h", 3, "h" }, { "df4g2", 3, "f" },
        { "d4g2", 3, "g" },   { "d42", 3, "" },     { "", 0, "" },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_endpoint e;
        const char *got;

        memset(&e, 0, sizeof e);
        e.dns[0] = strchr(table[i].have, 'd') != NULL ? 'd' : 0;
        e.fips_dns[0] = strchr(table[i].have, 'f') != NULL ? 'f' : 0;
        e.dns4[0] = strchr(table[i].have, '4') != NULL ? '4' : 0;
        e.fips_dns4[0] = strchr(table[i].have, 'g') != NULL ? 'g' : 0;
        e.dns_dual[0] = strchr(table[i].have, '2') != NULL ? '2' : 0;
        e.fips_dns_dual[0] = strchr(table[i].have, 'h') != NULL ? 'h' : 0;
        got = eice_endpoint_host(&e, (table[i].flags & 1) != 0,
                                 (table[i].flags & 2) != 0);
        CHECK_TEXT(got, table[i].want);
    }
}

static void test_identity(void)
{
    static const char body[] =
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/"
        "2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:"
        "assumed-role/Jump/x</Arn><UserId>AROAEXAMPLE:x</UserId>"
        "<Account>123456789012</Account></GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>01234567</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>";
    eice_aws_reply r;
    eice_identity id;
    eice_error e;

    memset(&e, 0, sizeof e);
    body_set(&r, body);
    CHECK_INT(eice_aws_identity(&r, &id, &e), EICE_OK);
    CHECK_TEXT(id.account, "123456789012");
    CHECK_TEXT(id.arn, "arn:aws:sts::123456789012:assumed-role/Jump/x");
    CHECK_TEXT(id.user_id, "AROAEXAMPLE:x");
    eice_aws_reply_free(&r);
    body_set(&r, "<GetCallerIdentityResponse/>");
    CHECK_INT(eice_aws_identity(&r, &id, &e), EICE_E_AWS);
    CHECK(contains(e.text, "names no account"));
    eice_aws_reply_free(&r);
}

/* ---- every answer in pieces -------------------------------------------- */

/* All that is known about an answer, as one text. */
static void summary(const eice_aws_reply *r, eice_op op, eice_buf *b)
{
    eice_error e;
    seen s;

    memset(&e, 0, sizeof e);
    memset(&s, 0, sizeof s);
    eice_putf(b, "%u %u %s %s ", r->status, (unsigned)r->keep_alive,
              r->request_id, r->error_type);
    eice_putf(b, "%d ", (int)eice_aws_judge(r, op, &e));
    eice_putf(b, "%s %s %s %s ", eice_err_name(e.code), e.text, e.remedy,
              e.request_id);
    (void)eice_aws_instances(r, see_instance, &s, NULL, &e);
    eice_putf(b, "%u %s %s ", s.count, s.i[0].id, s.i[1].state_reason);
    eice_put_hex(b, r->body.ptr, r->body.len);
    CHECK(!b->overflow);
}

/* Fed in two at `cut`, or byte by byte when that is 0. */
static void read_pieces(const char *text, size_t cut, eice_op op, eice_buf *b)
{
    const size_t len = strlen(text);
    size_t i = 0;
    eice_aws_reply r;
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_aws_reply_init(&r, NULL);
    while (i < len) {
        const size_t n = cut == 0 ? 1 : i < cut ? cut : len - i;

        if (reply_feed(&r, text + i, n, &e)) {
            i += n;
            break;
        }
        i += n;
    }
    CHECK_INT(i, len);
    CHECK_INT(e.code, EICE_OK);
    summary(&r, op, b);
    eice_aws_reply_free(&r);
}

static void check_pieces(const char *head, const char *body, eice_op op)
{
    static char want[12000];
    static char got[12000];
    static char text[6000];
    size_t cut;
    eice_buf a;
    eice_buf b;

    reply_text(text, sizeof text, head, body);
    eice_buf_init(&a, want, sizeof want);
    read_pieces(text, strlen(text), op, &a);
    for (cut = 0; cut < strlen(text); cut++) {
        eice_buf_init(&b, got, sizeof got);
        read_pieces(text, cut, op, &b);
        if (!eice_str_eq(eice_buf_str(&a), eice_buf_str(&b))) {
            test_fail(__FILE__, __LINE__, "%s: differs at %u", head,
                      (unsigned)cut);
        }
    }
}

static void test_all_pieces(void)
{
    size_t i;

    check_pieces(OK_HEAD, sample_instances, INSTANCES);
    for (i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        check_pieces(faults[i].head, faults[i].body, faults[i].op);
    }
}

/* ---- lists: vectors ---------------------------------------------------- */

static void test_ec2_vectors(void)
{
    char *xml = load("ec2-xml/ec2-describe-instances.xml");
    char token[64];
    eice_error e;
    seen s;

    if (xml == NULL) {
        SKIP("EICE_VECTORS does not name the vectors");
    }
    CHECK_INT(instances(xml, &s, token, sizeof token, &e), EICE_OK);
    CHECK_INT(s.count, 2);
    CHECK_TEXT(token, "");
    CHECK_TEXT(s.i[0].id, "i-fde9cece");
    CHECK_TEXT(s.i[0].state, "stopped");
    CHECK_TEXT(s.i[0].state_reason,
               "Client.UserInitiatedShutdown: User initiated shutdown");
    CHECK_TEXT(s.i[0].az, "us-west-2a");
    CHECK_TEXT(s.i[0].name, "");
    CHECK_TEXT(s.i[0].private_dns, "");
    CHECK_TEXT(s.i[1].id, "i-78f1b94a");
    CHECK_TEXT(s.i[1].state, "running");
    CHECK_TEXT(s.i[1].private_ip, "10.253.17.74");
    CHECK_TEXT(s.i[1].public_ip, "54.245.16.142");
    CHECK_TEXT(s.i[1].private_dns,
               "ip-10-253-17-74.us-west-2.compute.internal");
    CHECK_TEXT(s.i[1].platform, "windows");
    CHECK_TEXT(s.i[1].type, "m1.medium");
    CHECK_TEXT(s.i[1].launch_time, "2013-03-12T01:55:59.000Z");
    free(xml);
}

/* Every other answer of EC2 is one of another call, and none is an error of
 * the scanner. */
static void test_other_vectors(void)
{
    static const char *const names[] = {
        "create-subnet", "create-vpc", "describe-addresses",
        "describe-availability-zones", "describe-instance-attribute",
        "describe-instance-status", "describe-key-pairs",
        "describe-network-interfaces", "describe-regions",
        "describe-security-groups", "describe-subnets", "describe-tags",
        "describe-vpcs", "get-password-data"
    };
    size_t i;

    if (getenv("EICE_VECTORS") == NULL) {
        SKIP("EICE_VECTORS does not name the vectors");
    }
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[100];
        char token[64];
        eice_error e;
        char *xml;
        seen s;

        snprintf(path, sizeof path, "ec2-xml/ec2-%s.xml", names[i]);
        xml = load(path);
        if (xml == NULL) {
            test_fail(__FILE__, __LINE__, "no %s", path);
            continue;
        }
        CHECK_INT(instances(xml, &s, token, sizeof token, &e), EICE_E_AWS);
        CHECK(contains(e.text, "another call"));
        free(xml);
    }
}

static void test_error_vectors(void)
{
    static const struct {
        const char *file;
        eice_op op;
        const char *code;
        const char *id;
        const char *text;
    } table[] = {
        { "ec2-xml/error-ec2-describe-instances.xml", INSTANCES,
          "InvalidInstanceID.Malformed", "dfb14b43-9a55-4d8e-b676-e8034d12bbeb",
          "Invalid id: \"foobar\"" },
        { "ec2-xml/error-sts-get-session-token.xml", IDENTITY, "AccessDenied",
          "8088f6eb-b7fb-11e2-8d25-4b9f3b52b80f",
          "AccessDenied: GetSessionToken call failed, unable to validate MFA" },
        { "ec2-xml/error-iam-get-user.xml", IDENTITY, "NoSuchEntity",
          "358299bb-b7f8-11e2-8d39-e3a125f625ee",
          "The user with name foobar cannot be found" },
    };
    size_t i;

    if (getenv("EICE_VECTORS") == NULL) {
        SKIP("EICE_VECTORS does not name the vectors");
    }
    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *xml = load(table[i].file);
        eice_aws_reply r;
        eice_error e;

        if (xml == NULL) {
            test_fail(__FILE__, __LINE__, "no %s", table[i].file);
            continue;
        }
        memset(&e, 0, sizeof e);
        body_set(&r, xml);
        r.status = 400;
        CHECK_INT(eice_aws_judge(&r, table[i].op, &e), FINAL);
        CHECK_TEXT(e.aws_code, table[i].code);
        CHECK_TEXT(e.request_id, table[i].id);
        CHECK(contains(e.text, table[i].text));
        eice_aws_reply_free(&r);
        free(xml);
    }
}

/* ---- the hosts of serial consoles -------------------------------------- */

static const struct {
    const char *region;
    bool other;
    const char *host;
    const char *print; /* how it begins; "": AWS publishes none */
} serial_hosts[] = {
    {"eu-west-1", false, "serial-console.ec2-instance-connect.eu-west-1.aws",
     "SHA256:h2AaGAWO4H"},
    {"us-east-1", false, "serial-console.ec2-instance-connect.us-east-1.aws",
     "SHA256:dXwn5ma/xa"},
    {"us-gov-west-1", false,
     "serial-console.ec2-instance-connect.us-gov-west-1.amazonaws.com",
     "SHA256:kfOFRWLaOZ"},
    {"af-south-1", false, "ec2-serial-console.af-south-1.api.aws",
     "SHA256:RMWWZ2fVeP"},
    {"cn-northwest-1", false,
     "ec2-serial-console.cn-northwest-1.api.amazonwebservices.com.cn",
     "SHA256:TdgrNZkiQO"},
    {"xx-new-1", false, "serial-console.ec2-instance-connect.xx-new-1.aws", ""},
    {"xx-new-1", true, "ec2-serial-console.xx-new-1.api.aws", ""},
};

static void test_serial_hosts(void)
{
    eice_conn *c = (eice_conn *)calloc(1, sizeof *c);
    char print[EICE_FINGERPRINT];
    uint8_t digest[32];
    size_t i;

    for (i = 0; i < sizeof serial_hosts / sizeof serial_hosts[0]; i++) {
        c->cred.settings.region = serial_hosts[i].region;
        snprintf(c->instance_id, sizeof c->instance_id, "i-0123456789abcdef0");
        c->serial_other = serial_hosts[i].other;
        eicei_serial_choose(c);
        CHECK_TEXT(c->tunnel_host, serial_hosts[i].host);
        CHECK_TEXT(c->o.user, "i-0123456789abcdef0.port0");
        CHECK(strncmp(eicei_serial_print(c, print), serial_hosts[i].print,
                      17) == 0);
    }
    c->o.serial_host = "console.example";
    eicei_serial_choose(c);
    CHECK_TEXT(c->tunnel_host, "console.example");
    CHECK_TEXT(eicei_serial_print(c, print), "");
    free(c);
    for (i = 0; i < EICEI_LEN(eicei_serial_hosts); i++) {
        const char *text = eicei_serial_hosts[i].print;

        CHECK_INT((int)strlen(text), 43);
        CHECK_INT((int)eice_base64_decode(eice_str_c(text), digest,
                                          sizeof digest), 32);
        CHECK_INT((int)eicei_serial_row(eicei_serial_hosts[i].region), (int)i);
    }
}

/* Behind the words, up to the end of the element; none where there are none. */
static void test_encoded(void)
{
    static const struct {
        const char *body;
        const char *encoded;
    } table[] = {
        { EC2_ERROR("UnauthorizedOperation",
                    "No. Encoded authorization failure message: QUJD_-RQ"),
          "QUJD_-RQ" },
        { EC2_ERROR("UnauthorizedOperation", "No."), "" },
        { "Encoded authorization failure message:", "" },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[1024];
        char memory[64];
        eice_aws_reply r;
        eice_error e;
        eice_buf b;

        snprintf(text, sizeof text,
                 "HTTP/1.1 403 Forbidden\r\nContent-Length: %u\r\n\r\n%s",
                 (unsigned)strlen(table[i].body), table[i].body);
        reply_read(&r, text, &e);
        eice_buf_init(&b, memory, sizeof memory);
        eice_aws_encoded(&r, &b);
        CHECK_STR(eice_buf_str(&b), table[i].encoded);
        eice_aws_reply_free(&r);
    }
}

/* docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html: of what we
 * make, the endpoint only. */
static void test_tokens(void)
{
    int op;

    for (op = 0; op < EICE_OP_COUNT; op++) {
        const char *name = eice_op_name((eice_op)op);

        CHECK_INT(eice_op_takes_token((eice_op)op),
                  strcmp(name, "CreateInstanceConnectEndpoint") == 0);
    }
}

static const test_case tests[] = {
    { "aws: places", test_places },
    { "aws: the encoded message of a denial", test_encoded },
    { "aws: a place needs room", test_place_room },
    { "aws: a request byte for byte", test_write_bytes },
    { "aws: forms and objects", test_write_forms },
    { "aws: absolute target", test_write_absolute },
    { "aws: refused requests", test_write_refused },
    { "aws: parameters put together", test_params },
    { "aws: pages are asked for", test_params_pages },
    { "aws: a text as a filter", test_filter_text },
    { "aws: request, each allocation fails", test_write_memory },
    { "aws: request vectors", test_write_vectors },
    { "aws: answer in pieces", test_reply_pieces },
    { "aws: answer in chunks", test_reply_chunked },
    { "aws: date of a cache", test_reply_age },
    { "aws: answer cut short", test_reply_end },
    { "aws: answer, each allocation fails", test_reply_memory },
    { "aws: answer too long", test_reply_limit },
    { "aws: items", test_items },
    { "aws: items cut anywhere", test_items_cut },
    { "aws: items of another call", test_items_of_others },
    { "aws: errors", test_faults },
    { "aws: errors in context", test_fault_context },
    { "aws: error too long", test_fault_long },
    { "aws: instances", test_instances },
    { "aws: instances cut anywhere", test_instances_cut },
    { "aws: instances until told to stop", test_instances_stop },
    { "aws: lists", test_lists },
    { "aws: a name too long", test_long_name },
    { "aws: nested too deep", test_deep },
    { "aws: list, allocation fails", test_list_memory },
    { "aws: endpoints", test_endpoints },
    { "aws: usable endpoints", test_usable },
    { "aws: name of an endpoint", test_endpoint_host },
    { "aws: identity", test_identity },
    { "aws: every answer in pieces", test_all_pieces },
    { "aws: instances of the vectors", test_ec2_vectors },
    { "aws: other answers of the vectors", test_other_vectors },
    { "aws: errors of the vectors", test_error_vectors },
    { "aws: hosts of serial consoles", test_serial_hosts },
    { "aws: which calls take a token", test_tokens },
};

TEST_MAIN(tests)
