/* The tunnel against an endpoint in memory: BearSSL's TLS server and frames
 * written by hand. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include "test.h"
#include "tls_server.h"
#include "tunnel_world.h"

static world w;
static seen f;

/* Any tunnel that has just been opened. */
static void open_tunnel(void)
{
    world_init(&w);
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
}

static bool memory_holds(const void *memory, size_t len, const char *text)
{
    const char *const p = (const char *)memory;
    const size_t n = strlen(text);
    size_t i;

    for (i = 0; i + n <= len; i++) {
        if (memcmp(p + i, text, n) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- set-up ------------------------------------------------------------ */

static void size(void)
{
    printf("  eice_tunnel %zu, eice_tls %zu, x509 %zu bytes\n",
           sizeof(eice_tunnel), sizeof(eice_tls),
           sizeof(br_x509_minimal_context));
    CHECK(sizeof(eice_tunnel) <= 32768);
}

static void options_refused(void)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *value;
    } cases[] = {
        {"host is missing", offsetof(eice_tunnel_opts, host), ""},
        {"endpoint_id is no", offsetof(eice_tunnel_opts, endpoint_id), ""},
        {"endpoint_id is no", offsetof(eice_tunnel_opts, endpoint_id), "a b"},
        {"private_ip is not", offsetof(eice_tunnel_opts, private_ip), "host"},
        {"region is missing", offsetof(eice_tunnel_opts, region), ""},
        {"keys are missing", offsetof(eice_tunnel_opts, keys), ""},
        {"user_agent holds", offsetof(eice_tunnel_opts, user_agent),
         "a\r\nX: y"}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        const eice_str value = eice_str_c(cases[i].value);

        world_init(&w);
        memcpy((char *)&w.o + cases[i].offset, &value, sizeof value);
        CHECK_INT(eice_tunnel_init(&w.t, &w.o), EICE_E_ARGUMENT);
        CHECK(strstr(w.t.error.text, cases[i].text) != NULL);
        world_check(&w);
    }
    world_init(&w);
    w.o.max_duration_s = 3601;
    CHECK_INT(eice_tunnel_init(&w.t, &w.o), EICE_E_ARGUMENT);
    world_init(&w);
    w.o.trust = NULL;
    CHECK_INT(eice_tunnel_init(&w.t, &w.o), EICE_E_ARGUMENT);
    world_init(&w);
    w.o.host = eice_str_c("10.1.2.3");
    CHECK_INT(eice_tunnel_init(&w.t, &w.o), EICE_E_TLS_NAME);
    world_check(&w);
}

/* The AWS CLI's own test case: every byte of the target. */
static void request_of_the_aws_cli(void)
{
    static const char target[] =
        "GET /openTunnel?instanceConnectEndpointId=eice-123&remotePort=22"
        "&privateIpAddress=10.0.0.0&maxTunnelDuration=1"
        "&X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=access_key%2F20200101%2Fus-west-2"
        "%2Fec2-instance-connect%2Faws4_request"
        "&X-Amz-Date=20200101T010101Z&X-Amz-Expires=60"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "3a56740422a5b9aebd22d860b7a30c729e459a6f71a83bc0de3a2b44b7353f28"
        " HTTP/1.1\r\n"
        "Host: eice-123.ec2-instance-connect-endpoint.us-west-2"
        ".amazonaws.com\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: ";
    uint8_t head[2000];
    size_t chunk;

    for (chunk = 1; chunk < 900; chunk += chunk < 20 ? 1 : 111) {
        size_t len = 0;
        size_t n;

        world_init(&w);
        w.o.host = eice_str_c("eice-123.ec2-instance-connect-endpoint"
                              ".us-west-2.amazonaws.com");
        w.o.endpoint_id = eice_str_c("eice-123");
        w.o.private_ip = eice_str_c("10.0.0.0");
        w.o.max_duration_s = 1;
        w.o.region = eice_str_c("us-west-2");
        w.o.keys.access_key_id = eice_str_c("access_key");
        w.o.keys.secret_access_key = eice_str_c("secret_key");
        w.o.user_agent = eice_str_c("eice/1");
        /* Two and a half seconds pass before it is signed. */
        w.o.unix_s = 1577840461 - 2;
        world_start(&w);
        w.t.priv.now_ms += 2500;
        eicei_tunnel_request(&w.t);
        do {
            n = eicei_tunnel_read_head(&w.t, head + len, chunk);
            len += n;
        } while (n > 0);
        CHECK(len == strlen(target) + 24 + strlen("\r\nUser-Agent: eice/1")
                         + 4);
        CHECK_BYTES(head, target, strlen(target));
        CHECK_BYTES(head + strlen(target) + 24,
                    "\r\nUser-Agent: eice/1\r\n\r\n", 24);
    }
}

/* A session token of 4 kB in which most characters take three. */
static void long_session_token(void)
{
    static const size_t chunks[] = {1, 100, 100000};
    static char token[4097];
    size_t i;

    for (i = 0; i < sizeof token - 1; i++) {
        token[i] = "/+=A"[i % 4];
    }
    for (i = 0; i < EICEI_LEN(chunks); i++) {
        static char encoded[sizeof token * 3];
        eice_buf b;

        world_init(&w);
        w.chunk = chunks[i];
        w.o.keys.session_token = eice_str_c(token);
        world_frame(&w, 0x82, "SSH-2.0-x", 9);
        world_start(&w);
        world_run(&w);
        CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
        eice_buf_init(&b, encoded, sizeof encoded);
        eice_put_uri(&b, eice_str_c(token));
        CHECK(memory_holds(w.s.heard, w.s.heard_len, eice_buf_c(&b)));
        CHECK_STR(eice_str_make(w.got, w.got_len), "SSH-2.0-x");
    }
}

static void nothing_secret_stays(void)
{
    static const char token[] = "FwoGZXIvYXdzEBYaDGxxsecretxxtokenxx";

    world_init(&w);
    w.o.keys.session_token = eice_str_c(token);
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
    CHECK(!memory_holds(&w.t, sizeof w.t, "X-Amz-Signature"));
    CHECK(!memory_holds(&w.t, sizeof w.t, token));
    CHECK(!memory_holds(&w.t, sizeof w.t, WORLD_SECRET));
    CHECK(memory_holds(w.s.heard, w.s.heard_len, "X-Amz-Signature"));
    CHECK(w.t.priv.o.keys.secret_access_key.ptr == NULL);
    eice_tunnel_wipe(&w.t);
    CHECK(!memory_holds(&w.t, sizeof w.t, SERVER_HOST));
    world_check(&w);
}

/* ---- upgrade ----------------------------------------------------------- */

static void opened(void)
{
    open_tunnel();
    CHECK_INT(eice_tunnel_state(&w.t),
              EICE_OPEN | EICE_WANT_READ | EICE_CAN_SEND);
    CHECK_TEXT(w.t.request_id, "4b1c-req");
    CHECK_INT(w.t.server_unix_s, SERVER_NOW + 7);
    CHECK(!w.t.heard);
    CHECK(!w.t.tls_resumed);
    CHECK_STR(world_header(&w, "host"), SERVER_HOST);
    CHECK_STR(world_header(&w, "connection"), "Upgrade");
    CHECK_STR(world_header(&w, "sec-websocket-version"), "13");
    CHECK_STR(world_header(&w, "user-agent"), "");
}

static void resumed(void)
{
    static br_ssl_session_cache_lru cache;
    static uint8_t store[1000];
    eice_tls_session session;
    int i;

    br_ssl_session_cache_lru_init(&cache, store, sizeof store);
    memset(&session, 0, sizeof session);
    for (i = 0; i < 2; i++) {
        world_init(&w);
        server_init(&w.s, &cache);
        w.o.session = &session;
        world_start(&w);
        world_run(&w);
        CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
        CHECK_INT(w.t.tls_resumed, i);
        eice_tls_session_save(&w.t.tls, &session);
    }
}

/* Each answer 101 with one flaw. */
static void wrong_upgrades(void)
{
    static const struct {
        const char *head;
        const char *text;
    } cases[] = {
        {"Connection: Upgrade\r\nSec-WebSocket-Accept: %\r\n",
         "Upgrade is not websocket"},
        {"Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %\r\n",
         "Upgrade is not websocket"},
        {"Upgrade: websocket\r\nSec-WebSocket-Accept: %\r\n",
         "Connection is not Upgrade"},
        {"Upgrade: websocket\r\nConnection: close, upgraded\r\n"
         "Sec-WebSocket-Accept: %\r\n", "Connection is not Upgrade"},
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n",
         "Sec-WebSocket-Accept does not answer our key"},
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
         "Sec-WebSocket-Accept does not answer our key"},
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: %\r\n"
         "Sec-WebSocket-Extensions: permessage-deflate\r\n",
         "extension or protocol that was not asked for"},
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: %\r\nSec-WebSocket-Protocol: chat\r\n",
         "extension or protocol that was not asked for"}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        const char *mark = strchr(cases[i].head, '%');
        char accept[29];

        world_init(&w);
        w.plain = true;
        w.answered = true; /* by us, below */
        world_start(&w);
        world_run(&w);
        eice_ws_accept(w.t.priv.key, accept);
        world_text(&w, "HTTP/1.1 101 OK\r\n");
        mark = mark != NULL ? mark : cases[i].head + strlen(cases[i].head);
        world_add(&w, cases[i].head, (size_t)(mark - cases[i].head));
        if (mark[0] != 0) {
            world_text(&w, accept);
            world_text(&w, mark + 1);
        }
        world_text(&w, "\r\n");
        server_say(&w.s, w.script, w.script_len);
        world_run(&w);
        CHECK_INT(w.t.error.code, EICE_E_WS_PROTOCOL);
        CHECK_INT(w.t.error.stage, EICE_STAGE_UPGRADE);
        CHECK(strstr(w.t.error.text, cases[i].text) != NULL);
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    }
}

/* ---- refusals ---------------------------------------------------------- */

typedef struct refusal {
    const char *head;
    const char *body;
    eice_err code;
    const char *aws_code;
    bool retryable;
    const char *text; /* behind "...: HTTP " */
} refusal;

static const refusal refusals[] = {
    {"400 Bad Request\r\nx-amzn-requestid: r-1",
     "{\"ErrorCode\":\"InvalidParameter\",\"Message\":\"The specified "
     "RemotePort is not valid. Specify either 22 or 3389\"}",
     EICE_E_UPGRADE_REFUSED, "InvalidParameter", false,
     "400 InvalidParameter: The specified RemotePort is not valid. Specify "
     "either 22 or 3389"},
    {"403 Forbidden\r\nX-AMZN-REQUESTID: r-1",
     "{\"Message\":\"User: \\\"x\\\" is not authorized\",\"ErrorCode\":"
     "\"AccessDeniedException\"}",
     EICE_E_UPGRADE_DENIED, "AccessDeniedException", false,
     "403 AccessDeniedException: User: \"x\" is not authorized"},
    {"403 Forbidden\r\nx-amzn-errortype: UnauthorizedOperation:http://x/"
     "\r\nx-amzn-requestid: r-1", "{\"message\":\"no\"}",
     EICE_E_UPGRADE_DENIED, "UnauthorizedOperation", false,
     "403 UnauthorizedOperation: no"},
    {"403 Forbidden\r\nx-amzn-requestid: r-1",
     "<html><head><title>403 Forbidden</title></head><body>...",
     EICE_E_UPGRADE_DENIED, "", false, "403: 403 Forbidden"},
    {"403 Forbidden\r\nx-amzn-requestid: r-1",
     "{\"__type\":\"com.amazon.coral#InvalidSignatureException\"}",
     EICE_E_UPGRADE_REFUSED, "InvalidSignatureException", false,
     "403 InvalidSignatureException: "
     "{\"__type\":\"com.amazon.coral#InvalidSignatureException\"}"},
    {"429 Too Many Requests\r\nx-amzn-requestid: r-1", "",
     EICE_E_UPGRADE_QUOTA, "", true, "429"},
    {"400 Bad Request\r\nx-amzn-requestid: r-1",
     "{\"code\":\"ThrottlingException\",\"message\":\"Rate\"}",
     EICE_E_UPGRADE_QUOTA, "ThrottlingException", true,
     "400 ThrottlingException: Rate"},
    {"400 Bad Request\r\nx-amzn-requestid: r-1",
     "{\"ErrorCode\":\"ServiceQuotaExceededException\"",
     EICE_E_UPGRADE_QUOTA, "ServiceQuotaExceededException", true,
     "400 ServiceQuotaExceededException: "
     "{\"ErrorCode\":\"ServiceQuotaExceededException\""},
    {"503 Service Unavailable\r\nx-amzn-requestid: r-1",
     "  Try\x01later \r\n", EICE_E_UPGRADE_REFUSED, "", true,
     "503: Try?later"},
    {"500 Oops\r\nx-amzn-requestid: r-1",
     "<ErrorResponse><Error><Code>InternalFailure</Code><Message>a &lt; b"
     "</Message></Error></ErrorResponse>",
     EICE_E_UPGRADE_REFUSED, "InternalFailure", true,
     "500 InternalFailure: a < b"},
    {"301 Moved\r\nLocation: /x\r\nx-amzn-requestid: r-1", "",
     EICE_E_UPGRADE_REFUSED, "", false, "301"},
    {"200 OK\r\nx-amzn-requestid: r-1", "hello", EICE_E_UPGRADE_REFUSED, "",
     false, "200: hello"}
};

static void refuse(const refusal *r, size_t chunk, size_t record)
{
    char length[64];

    world_init(&w);
    w.plain = true;
    w.chunk = chunk;
    w.s.record = record;
    world_text(&w, "HTTP/1.1 ");
    world_text(&w, r->head);
    snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n\r\n",
             strlen(r->body));
    world_text(&w, length);
    world_text(&w, r->body);
    world_start(&w);
}

static void check_refusal(const refusal *r)
{
    static const char before[] =
        "eice-0123456789abcdef0 refused the tunnel to 10.0.1.23:22: HTTP ";
    const eice_error *const e = &w.t.error;

    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    CHECK_INT(e->code, r->code);
    CHECK_INT(e->stage, EICE_STAGE_UPGRADE);
    CHECK_INT(e->http_status, atoi(r->head));
    CHECK_INT(e->retryable, r->retryable);
    CHECK_TEXT(e->aws_code, r->aws_code);
    CHECK_TEXT(e->request_id, "r-1");
    CHECK(strncmp(e->text, before, strlen(before)) == 0);
    CHECK_TEXT(e->text + strlen(before), r->text);
}

static void refused(void)
{
    static const size_t chunks[] = {1, 13, 100000};
    size_t i;
    size_t k;

    for (i = 0; i < EICEI_LEN(refusals); i++) {
        for (k = 0; k < EICEI_LEN(chunks); k++) {
            refuse(&refusals[i], chunks[k], 0);
            world_run(&w);
            check_refusal(&refusals[i]);
            refuse(&refusals[i], 100000, chunks[k]);
            world_run(&w);
            check_refusal(&refusals[i]);
        }
    }
}

/* The endpoint closes TLS where the answer may end, or breaks off in it. */
static void refused_until_close(void)
{
    world_init(&w);
    w.plain = true;
    w.s.close_after = true;
    world_text(&w, "HTTP/1.1 403 No\r\n\r\n{\"message\":\"bye\"}");
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_E_UPGRADE_DENIED);
    CHECK(strstr(w.t.error.text, "HTTP 403: bye") != NULL);
}

static void refused_and_cut(void)
{
    const refusal *const r = &refusals[0];
    size_t cut;

    for (cut = 0; cut < 200; cut += 3) {
        refuse(r, 100000, 0);
        w.script_len = cut < w.script_len ? cut : w.script_len;
        world_run(&w);
        if (w.t.phase != EICE_TUNNEL_CLOSED) {
            eice_tunnel_net_eof(&w.t, EICE_OK);
            world_check(&w);
        }
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
        CHECK(w.t.error.code == EICE_E_NET_RESET
              || w.t.error.code == EICE_E_HTTP
              || w.t.error.code == EICE_E_UPGRADE_REFUSED);
        CHECK(cut < 80 || w.t.error.http_status == 400);
    }
}

/* The body never ends: the deadline takes what came. */
static void refused_and_stuck(void)
{
    world_init(&w);
    w.plain = true;
    world_text(&w, "HTTP/1.1 503 No\r\nContent-Length: 99\r\n\r\nbusy");
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_BODY);
    CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 15000);
    world_tick(&w, 15000);
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_E_UPGRADE_REFUSED);
    CHECK(strstr(w.t.error.text, "HTTP 503: busy") != NULL);
    CHECK(w.t.error.retryable);
}

static void refused_at_length(void)
{
    world_init(&w);
    w.plain = true;
    world_text(&w, "HTTP/1.1 503 No\r\nContent-Length: 9999999\r\n\r\n");
    while (w.script_len < 80000) {
        world_text(&w, "all work and no play ");
    }
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    CHECK_INT(w.t.error.code, EICE_E_UPGRADE_REFUSED);
    CHECK(strlen(w.t.error.text) > 200);
}

static void refused_for_the_clock(void)
{
    static const struct {
        const char *headers;
        int64_t server;
        const char *remedy;
    } cases[] = {
        {"Date: Fri, 15 Jan 2027 08:04:00 GMT\r\n", SERVER_NOW + 240,
         "set the clock of this machine: it is 240 s behind"},
        {"Date: Fri, 15 Jan 2027 07:56:00 GMT\r\n", SERVER_NOW - 240,
         "set the clock of this machine: it is 240 s ahead"},
        {"Date: Fri, 15 Jan 2027 08:00:20 GMT\r\n", SERVER_NOW + 20, ""},
        {"Date: Fri, 15 Jan 2027 08:04:00 GMT\r\nAge: 3\r\n", 0, ""},
        {"Date: yesterday\r\n", 0, ""}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        world_init(&w);
        w.plain = true;
        world_text(&w, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n");
        world_text(&w, cases[i].headers);
        world_text(&w, "x-amzn-errortype: InvalidSignatureException\r\n\r\n");
        world_start(&w);
        world_run(&w);
        CHECK_INT(w.t.error.code, EICE_E_UPGRADE_REFUSED);
        CHECK_INT(w.t.server_unix_s, cases[i].server);
        CHECK_TEXT(w.t.error.remedy, cases[i].remedy);
    }
}

static void refused_for_the_token(void)
{
    world_init(&w);
    w.plain = true;
    world_text(&w, "HTTP/1.1 403 No\r\nContent-Length: 37\r\n\r\n"
                   "{\"ErrorCode\":\"ExpiredTokenException\"}");
    world_start(&w);
    world_run(&w);
    CHECK_TEXT(w.t.error.aws_code, "ExpiredTokenException");
    CHECK_TEXT(w.t.error.remedy,
               "get new temporary credentials and try again");
}

/* It need not read a request to the end to refuse it. */
static void refused_early(void)
{
    static const char answer[] =
        "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n";
    static char token[20001];

    memset(token, 'A', sizeof token - 1);
    world_init(&w);
    w.o.keys.session_token = eice_str_c(token);
    w.answered = true;
    world_start(&w);
    while (w.t.phase == EICE_TUNNEL_TLS) {
        CHECK(world_to_server(&w) || world_to_client(&w));
    }
    CHECK_INT(w.t.phase, EICE_TUNNEL_SEND);
    w.deaf = true;
    server_say(&w.s, answer, strlen(answer));
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_E_UPGRADE_REFUSED);
    CHECK_INT(w.t.error.http_status, 431);
}

static void malformed_answers(void)
{
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 1x1 no\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "\r\n\r\n\r\n"};
    size_t i;

    for (i = 0; i < EICEI_LEN(answers); i++) {
        world_init(&w);
        w.plain = true;
        world_text(&w, answers[i]);
        world_start(&w);
        world_run(&w);
        eice_tunnel_net_eof(&w.t, EICE_OK);
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
        CHECK(w.t.error.code == EICE_E_HTTP
              || w.t.error.code == EICE_E_NET_RESET);
        CHECK_INT(w.t.error.stage, EICE_STAGE_UPGRADE);
    }
}

/* ---- data -------------------------------------------------------------- */

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void check_got(size_t len)
{
    size_t i;

    CHECK_INT(w.got_len, len);
    for (i = 0; i < w.got_len && w.got[i] == pattern(i); i++) {
    }
    CHECK_INT(i, w.got_len);
}

/* Frames of all length forms, fragments, empty frames, pings in between. */
static size_t add_frames(size_t *pings)
{
    static const size_t lengths[] = {1, 0, 125, 126, 127, 65535, 65536, 3, 0};
    static uint8_t data[70000];
    size_t at = 0;
    size_t i;
    size_t k;

    for (i = 0; i < EICEI_LEN(lengths); i++) {
        for (k = 0; k < lengths[i]; k++) {
            data[k] = pattern(at + k);
        }
        at += lengths[i];
        /* The first of three fragments, a middle one, the last. */
        world_frame(&w, i % 3 == 0 ? 0x02 : i % 3 == 1 ? 0x00 : 0x80, data,
                    lengths[i]);
        world_frame(&w, 0x89, data, i);
        ++*pings;
    }
    return at;
}

static void receive_all(size_t chunk, size_t take, size_t record)
{
    size_t pings = 0;
    size_t len;

    world_init(&w);
    w.chunk = chunk;
    w.take = take;
    w.s.record = record;
    len = add_frames(&pings);
    world_close(&w, 1000, "");
    w.s.close_after = true;
    world_start(&w);
    world_run(&w);
    check_got(len);
    CHECK(w.t.heard);
    CHECK_INT(w.t.close_code, 1000);
    CHECK_INT(w.t.error.code, EICE_OK);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
}

static void receive_in_all_sizes(void)
{
    static const size_t sizes[] = {1, 3, 97, 1460, 20000, SIZE_MAX};
    size_t i;

    for (i = 0; i < EICEI_LEN(sizes); i++) {
        receive_all(sizes[i], SIZE_MAX, 0);
        receive_all(SIZE_MAX, sizes[i], 0);
        if (sizes[i] > 50) {
            receive_all(SIZE_MAX, SIZE_MAX, sizes[i]);
            receive_all(sizes[i], 11, sizes[i]);
        }
    }
}

/* A short talk in records cut at every place. */
static void receive_at_every_split(void)
{
    size_t cut;
    size_t whole = 400;

    for (cut = 1; cut < whole; cut++) {
        const uint8_t *all;

        world_init(&w);
        world_frame(&w, 0x02, "SSH-", 4);
        world_frame(&w, 0x89, "are you there", 13);
        world_frame(&w, 0x80, "2.0-x\r\n", 7);
        world_close(&w, 1000, "bye");
        world_start(&w);
        while (!w.answered) {
            CHECK(world_to_server(&w) || server_step(&w.s)
                  || world_to_client(&w));
            world_answer(&w);
        }
        all = w.s.say;
        whole = w.s.say_len;
        server_say(&w.s, all, cut);
        world_run(&w);
        server_say(&w.s, all + cut, whole - cut);
        world_run(&w);
        CHECK_STR(eice_str_make(w.got, w.got_len), "SSH-2.0-x\r\n");
        CHECK_INT(w.t.close_code, 1000);
        CHECK_INT(w.t.error.code, EICE_OK);
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    }
}

static void send_in_all_sizes(void)
{
    static uint8_t data[20000];
    size_t len;
    size_t at = 0;
    size_t i;

    for (i = 0; i < sizeof data; i++) {
        data[i] = pattern(i);
    }
    open_tunnel();
    w.chunk = 1000;
    for (len = 1; len <= EICE_TLS_OUT - 93; len += len < 140 ? 1 : 397) {
        w.s.heard_len = world_head(&w);
        at = 0;
        world_send(&w, data, len);
        world_run(&w);
        CHECK(world_seen(&w, &at, &f));
        CHECK_INT(f.op, EICE_WS_BINARY);
        CHECK_INT(f.len, len);
        CHECK_BYTES(f.data, data, len);
        CHECK(!world_seen(&w, &at, &f));
    }
}

static void masks_differ(void)
{
    uint32_t masks[40];
    size_t head;
    size_t i;
    size_t k;

    open_tunnel();
    head = world_head(&w);
    for (i = 0; i < 40; i++) {
        w.s.heard_len = head;
        world_send(&w, "x", 1);
        world_run(&w);
        memcpy(&masks[i], w.s.heard + head + 2, 4);
        for (k = 0; k < i; k++) {
            CHECK(masks[k] != masks[i]);
        }
    }
}

static void no_empty_frames(void)
{
    uint8_t *p;
    size_t at = 0;
    size_t room;

    open_tunnel();
    room = eice_tunnel_app_in(&w.t, &p);
    CHECK(room >= 4000 && room <= EICE_TUNNEL_MAX_FRAME);
    eice_tunnel_app_in_ack(&w.t, 0);
    eice_tunnel_app_in_ack(&w.t, room + 1);
    world_run(&w);
    CHECK(!world_seen(&w, &at, &f));
}

/* While a record waits to be written no other is begun. */
static void backpressure(void)
{
    uint8_t *p;
    size_t at = 0;

    open_tunnel();
    w.deaf = true;
    world_send(&w, "one", 3);
    CHECK_INT(eice_tunnel_app_in(&w.t, &p), 0);
    CHECK_INT(eice_tunnel_state(&w.t) & (EICE_CAN_SEND | EICE_WANT_WRITE),
              EICE_WANT_WRITE);
    w.deaf = false;
    world_run(&w);
    world_send(&w, "two", 3);
    world_run(&w);
    CHECK(world_seen(&w, &at, &f));
    CHECK_STR(eice_str_make(f.data, f.len), "one");
    CHECK(world_seen(&w, &at, &f));
    CHECK_STR(eice_str_make(f.data, f.len), "two");
}

/* ---- ends -------------------------------------------------------------- */

typedef struct ending {
    unsigned code; /* 0: a Close without one */
    const char *reason;
    uint64_t after_ms;
    eice_err want;
    const char *text;
} ending;

static const ending endings[] = {
    {1000, "", 0, EICE_OK, ""},
    {1000, "bye", 0, EICE_OK, ""},
    {0, "", 0, EICE_OK, ""},
    {1001, "Unable to connect to target", 0, EICE_E_TARGET_UNREACHABLE,
     "eice-0123456789abcdef0 cannot reach 10.0.1.23:22: Unable to connect to "
     "target"},
    {1011, "[unable to connect to Target]", 0, EICE_E_TARGET_UNREACHABLE,
     "eice-0123456789abcdef0 cannot reach 10.0.1.23:22: [unable to connect to "
     "Target]"},
    {1011, "boom", 0, EICE_E_TUNNEL_CLOSED,
     "eice-0123456789abcdef0 closed the tunnel to 10.0.1.23:22: code 1011: "
     "boom"},
    {1001, "", 0, EICE_E_TUNNEL_CLOSED,
     "eice-0123456789abcdef0 closed the tunnel to 10.0.1.23:22: code 1001"},
    {4000, "", 594999, EICE_E_TUNNEL_CLOSED,
     "eice-0123456789abcdef0 closed the tunnel to 10.0.1.23:22: code 4000"},
    {4000, "", 595000, EICE_E_TUNNEL_EXPIRED,
     "eice-0123456789abcdef0 closed the tunnel to 10.0.1.23:22: its limit of "
     "600 s is up"},
    {1000, "", 600000, EICE_E_TUNNEL_EXPIRED,
     "eice-0123456789abcdef0 closed the tunnel to 10.0.1.23:22: its limit of "
     "600 s is up"}
};

static void closed_by_the_endpoint(void)
{
    size_t i;
    int with_data;

    for (i = 0; i < 2 * EICEI_LEN(endings); i++) {
        const ending *const e = &endings[i / 2];
        size_t at = 0;

        with_data = i % 2 == 1;
        world_init(&w);
        w.o.max_duration_s = 600;
        w.o.target_timeout_ms = UINT32_MAX;
        world_start(&w);
        world_run(&w);
        world_tick(&w, e->after_ms);
        w.script_len = 0;
        if (with_data) {
            world_frame(&w, 0x82, "last", 4);
        }
        world_close(&w, e->code, e->reason);
        server_say(&w.s, w.script, w.script_len);
        world_run(&w);
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
        CHECK_INT(w.t.error.code, e->want);
        CHECK_TEXT(w.t.error.text, e->text);
        CHECK_INT(w.t.close_code, e->code == 0 ? 1005 : e->code);
        CHECK_STR(eice_str_make(w.got, w.got_len), with_data ? "last" : "");
        if (e->want != EICE_OK) {
            CHECK_INT(w.t.error.detail_kind, EICE_DETAIL_CLOSE);
            CHECK_INT(w.t.error.detail, w.t.close_code);
            CHECK_TEXT(w.t.error.request_id, "4b1c-req");
        }
        f.op = EICE_WS_CONTINUATION;
        while (world_seen(&w, &at, &f) && f.op == EICE_WS_PING) {
        }
        CHECK_INT(f.op, EICE_WS_CLOSE);
        CHECK_INT(f.len, e->code == 0 ? 0 : 2);
        CHECK(e->code == 0 || (f.data[0] << 8 | f.data[1]) == (int)e->code);
    }
}

/* A tunnel of a few seconds is not expired from its beginning. */
static void short_limits(void)
{
    world_init(&w);
    w.o.max_duration_s = 4;
    world_close(&w, 1000, "");
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_OK);
    world_init(&w);
    w.o.max_duration_s = 4;
    world_start(&w);
    world_run(&w);
    world_tick(&w, 3000);
    eice_tunnel_net_eof(&w.t, EICE_E_NET_RESET);
    CHECK_INT(w.t.error.code, EICE_E_TUNNEL_EXPIRED);
}

/* Data and Close in one record, the application takes its time, and the
 * transport ends meanwhile. */
static void last_bytes_survive(void)
{
    static const eice_err ends[] = {EICE_OK, EICE_E_NET_RESET};
    int variant;

    for (variant = 0; variant < 12; variant++) {
        world_init(&w);
        w.take = 0;
        world_frame(&w, 0x82, "first", 5);
        world_frame(&w, 0x82, "last", 4);
        if (variant & 1) {
            world_close(&w, 1000, "");
        }
        w.s.close_after = (variant & 2) != 0;
        world_start(&w);
        world_run(&w);
        CHECK_INT(w.got_len, 0);
        if (variant >= 4) {
            eice_tunnel_net_eof(&w.t, ends[variant >= 8]);
            world_check(&w);
        }
        CHECK((eice_tunnel_state(&w.t) & EICE_HAVE_DATA) != 0);
        w.take = 1;
        world_run(&w);
        CHECK_STR(eice_str_make(w.got, w.got_len), "firstlast");
        if (variant & 1) {
            CHECK_INT(w.t.error.code, EICE_OK);
        } else if (variant >= 2) {
            CHECK_INT(w.t.error.code, EICE_E_NET_RESET);
            CHECK(w.t.error.retryable);
        }
        CHECK((w.t.phase == EICE_TUNNEL_CLOSED) == (variant != 0));
    }
}

static void cut_texts(void)
{
    open_tunnel();
    eice_tunnel_net_eof(&w.t, EICE_OK);
    CHECK_TEXT(w.t.error.text, "eice-0123456789abcdef0 ended the connection "
                               "without closing the tunnel");
    open_tunnel();
    eice_tunnel_net_eof(&w.t, EICE_E_NET_TIMEOUT);
    CHECK_INT(w.t.error.code, EICE_E_NET_TIMEOUT);
    CHECK_TEXT(w.t.error.text,
               "the connection to eice-0123456789abcdef0 broke without "
               "closing the tunnel: the peer stopped answering");
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    eice_tunnel_net_eof(&w.t, EICE_OK);
    world_init(&w);
    world_start(&w);
    eice_tunnel_net_eof(&w.t, EICE_OK);
    CHECK_INT(w.t.error.code, EICE_E_NET_RESET);
    CHECK_INT(w.t.error.stage, EICE_STAGE_TLS);
}

static void broken_frames(void)
{
    static const struct {
        const char *frame;
        size_t len;
        unsigned code;
    } cases[] = {
        {"\x81\x02hi", 4, 1003},           /* text */
        {"\x82\x82\1\2\3\4ab", 8, 1002},   /* masked */
        {"\xc2\x01x", 3, 1002},            /* reserved bit */
        {"\x83\x01x", 3, 1002},            /* unknown opcode */
        {"\x80\x01x", 3, 1002},            /* continues nothing */
        {"\x09\x01x", 3, 1002},            /* fragmented ping */
        {"\x89\x7e\x00\x80", 4, 1002},     /* long ping */
        {"\x88\x01x", 3, 1002},            /* half a code */
        {"\x88\x02\x03\xed", 4, 1002}      /* 1005 on the wire */
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(cases); i++) {
        size_t at = 0;

        world_init(&w);
        world_frame(&w, 0x82, "ok", 2);
        world_add(&w, cases[i].frame, cases[i].len);
        world_start(&w);
        world_run(&w);
        CHECK_STR(eice_str_make(w.got, w.got_len), "ok");
        CHECK_INT(w.t.error.code, EICE_E_WS_PROTOCOL);
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
        CHECK(world_seen(&w, &at, &f));
        CHECK_INT(f.op, EICE_WS_CLOSE);
        CHECK_INT(f.data[0] << 8 | f.data[1], cases[i].code);
    }
}

static void closed_by_us(void)
{
    size_t at = 0;

    open_tunnel();
    world_send(&w, "bye", 3);
    eice_tunnel_close(&w.t);
    world_check(&w);
    eice_tunnel_close(&w.t);
    CHECK_INT(eice_tunnel_state(&w.t), EICE_WANT_WRITE);
    world_run(&w);
    CHECK_INT(eice_tunnel_state(&w.t), EICE_DONE);
    CHECK_INT(w.t.error.code, EICE_OK);
    CHECK(world_seen(&w, &at, &f));
    CHECK_STR(eice_str_make(f.data, f.len), "bye");
    CHECK(world_seen(&w, &at, &f));
    CHECK_INT(f.op, EICE_WS_CLOSE);
    CHECK_INT(f.data[0] << 8 | f.data[1], 1000);
    CHECK(w.s.tls.eng.shutdown_recv);
}

/* In any phase, with the endpoint deaf or not; never stuck. */
static void closed_anywhere(void)
{
    int steps;

    for (steps = 0; steps < 40; steps++) {
        int i;

        world_init(&w);
        w.chunk = 100;
        world_frame(&w, 0x82, "data", 4);
        world_start(&w);
        for (i = 0; i < steps; i++) {
            world_answer(&w);
            (void)(world_to_server(&w) || server_step(&w.s)
                   || world_to_client(&w));
        }
        w.deaf = steps % 2 == 1;
        eice_tunnel_close(&w.t);
        world_check(&w);
        world_run(&w);
        if (w.t.phase != EICE_TUNNEL_CLOSED) {
            CHECK(w.deaf);
            CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 1000);
            world_tick(&w, 1000);
        }
        CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
        CHECK_INT(w.t.error.code, EICE_OK);
        eice_tunnel_close(&w.t);
        eice_tunnel_net_eof(&w.t, EICE_E_NET_RESET);
        CHECK_INT(w.t.error.code, EICE_OK);
    }
}

/* We closed, nothing can be written, data lies about, the transport ends: no
 * reason to wait. */
static void closed_and_cut(void)
{
    world_init(&w);
    w.take = 0;
    world_frame(&w, 0x82, "data", 4);
    world_start(&w);
    world_run(&w);
    w.deaf = true;
    world_send(&w, "one", 3);
    eice_tunnel_close(&w.t);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSING);
    eice_tunnel_net_eof(&w.t, EICE_E_NET_RESET);
    world_check(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    CHECK_INT(w.t.error.code, EICE_OK);
}

/* ---- time -------------------------------------------------------------- */

static void pongs(void)
{
    size_t at = 0;
    size_t i;

    world_init(&w);
    world_frame(&w, 0x89, "", 0);
    world_start(&w);
    world_run(&w);
    CHECK(world_seen(&w, &at, &f));
    CHECK_INT(f.op, EICE_WS_PONG);
    CHECK_INT(f.len, 0);
    /* A flood while nothing can be written: the latest is answered. */
    w.deaf = true;
    w.script_len = 0;
    for (i = 0; i < 1000; i++) {
        uint8_t payload[125];

        memset(payload, (int)i, sizeof payload);
        world_frame(&w, 0x89, payload, sizeof payload);
    }
    server_say(&w.s, w.script, w.script_len);
    world_run(&w);
    w.deaf = false;
    world_run(&w);
    for (i = 0; world_seen(&w, &at, &f); i++) {
        CHECK_INT(f.op, EICE_WS_PONG);
        CHECK_INT(f.len, 125);
    }
    CHECK_INT(i, 2); /* one was on its way already */
    CHECK_INT(f.data[0], 999 & 255);
}

static void say_pong(void)
{
    w.script_len = 0;
    world_frame(&w, 0x8a, "", 0);
    server_say(&w.s, w.script, w.script_len);
    world_run(&w);
}

static size_t count_pings(void)
{
    size_t at = 0;
    size_t n = 0;

    while (world_seen(&w, &at, &f)) {
        n += f.op == EICE_WS_PING;
    }
    return n;
}

/* Pings that were never answered mean nothing. */
static void pings_without_pong(void)
{
    int i;

    world_init(&w);
    world_frame(&w, 0x82, "SSH", 3);
    world_start(&w);
    world_run(&w);
    for (i = 1; i < 20; i++) {
        CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 60000);
        world_tick(&w, 59999);
        CHECK_INT(count_pings(), i - 1);
        world_tick(&w, 1);
        world_run(&w);
        CHECK_INT(count_pings(), i);
    }
    CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
}

/* Open, and after an answered ping a second one under way. */
static void pinged_twice(void)
{
    world_init(&w);
    w.o.ping_ms = 1000;
    world_frame(&w, 0x82, "SSH", 3);
    world_start(&w);
    world_run(&w);
    world_tick(&w, 1000);
    world_run(&w);
    say_pong();
    world_tick(&w, 1000);
    world_run(&w);
}

static void missing_pong(void)
{
    pinged_twice();
    CHECK_INT(count_pings(), 2);
    CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 20000);
    world_tick(&w, 19999);
    CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
    world_tick(&w, 1);
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_E_NET_TIMEOUT);
    CHECK_TEXT(w.t.error.text,
               "eice-0123456789abcdef0 did not answer a ping for 20 s");
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
}

/* While the application takes no data the pong cannot be read. */
static void blocked_application_is_no_dead_peer(void)
{
    pinged_twice();
    w.take = 0;
    w.script_len = 0;
    world_frame(&w, 0x82, "data", 4);
    server_say(&w.s, w.script, w.script_len);
    world_run(&w);
    CHECK_INT(eice_tunnel_deadline(&w.t), UINT64_MAX);
    world_tick(&w, 900000);
    CHECK_INT(w.t.phase, EICE_TUNNEL_OPEN);
    w.take = 100;
    world_run(&w);
    CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 1000);
}

static void pings_switched_off(void)
{
    world_init(&w);
    w.o.ping_ms = UINT32_MAX;
    world_frame(&w, 0x82, "SSH", 3);
    world_start(&w);
    world_run(&w);
    CHECK_INT(eice_tunnel_deadline(&w.t), UINT64_MAX);
    world_tick(&w, 3000000);
    CHECK_INT(count_pings(), 0);
}

static void silent_target(void)
{
    open_tunnel();
    CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 20000);
    world_tick(&w, 20000);
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_E_TARGET_SILENT);
    CHECK_TEXT(w.t.error.text,
               "eice-0123456789abcdef0 accepted the tunnel, but 10.0.1.23:22 "
               "sent nothing for 20 s");
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
}

/* Where the client speaks first, the wait begins with its first byte. */
static void silent_target_of_another_port(void)
{
    world_init(&w);
    w.o.port = 3389;
    w.o.ping_ms = UINT32_MAX;
    w.o.target_timeout_ms = 5000;
    world_start(&w);
    world_run(&w);
    CHECK_INT(eice_tunnel_deadline(&w.t), UINT64_MAX);
    world_tick(&w, 100000);
    world_send(&w, "x", 1);
    world_run(&w);
    world_tick(&w, 4999);
    world_send(&w, "x", 1);
    CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 1);
    world_tick(&w, 1);
    CHECK_INT(w.t.error.code, EICE_E_TARGET_SILENT);
    CHECK(strstr(w.t.error.text, "10.0.1.23:3389 sent nothing for 5 s")
          != NULL);
}

static void slow_handshake(void)
{
    world_init(&w);
    w.o.tls_timeout_ms = 700;
    world_start(&w);
    CHECK_INT(eice_tunnel_deadline(&w.t), w.now_ms + 700);
    world_tick(&w, 699);
    CHECK_INT(w.t.phase, EICE_TUNNEL_TLS);
    world_tick(&w, 1);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    CHECK_INT(w.t.error.code, EICE_E_TLS_TIMEOUT);
    CHECK_INT(w.t.error.stage, EICE_STAGE_TLS);
}

static void slow_answer(void)
{
    world_init(&w);
    w.answered = true;
    w.o.upgrade_timeout_ms = 300;
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_WAIT);
    world_tick(&w, 299);
    CHECK_INT(w.t.phase, EICE_TUNNEL_WAIT);
    world_tick(&w, 1);
    world_run(&w);
    CHECK_INT(w.t.error.code, EICE_E_UPGRADE_TIMEOUT);
    CHECK(w.t.error.retryable);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
}

static void untrusted(void)
{
    world_init(&w);
    w.trust.count = 0;
    world_start(&w);
    world_run(&w);
    CHECK_INT(w.t.phase, EICE_TUNNEL_CLOSED);
    CHECK_INT(w.t.error.code, EICE_E_TLS_UNTRUSTED);
    CHECK_INT(w.t.error.stage, EICE_STAGE_TLS);
}

static const test_case tests[] = {
    {"tunnel_size", size},
    {"tunnel_options_refused", options_refused},
    {"tunnel_request_of_the_aws_cli", request_of_the_aws_cli},
    {"tunnel_long_session_token", long_session_token},
    {"tunnel_nothing_secret_stays", nothing_secret_stays},
    {"tunnel_opened", opened},
    {"tunnel_resumed", resumed},
    {"tunnel_wrong_upgrades", wrong_upgrades},
    {"tunnel_refused", refused},
    {"tunnel_refused_until_close", refused_until_close},
    {"tunnel_refused_and_cut", refused_and_cut},
    {"tunnel_refused_and_stuck", refused_and_stuck},
    {"tunnel_refused_at_length", refused_at_length},
    {"tunnel_refused_for_the_clock", refused_for_the_clock},
    {"tunnel_refused_for_the_token", refused_for_the_token},
    {"tunnel_refused_early", refused_early},
    {"tunnel_malformed_answers", malformed_answers},
    {"tunnel_receive_in_all_sizes", receive_in_all_sizes},
    {"tunnel_receive_at_every_split", receive_at_every_split},
    {"tunnel_send_in_all_sizes", send_in_all_sizes},
    {"tunnel_masks_differ", masks_differ},
    {"tunnel_no_empty_frames", no_empty_frames},
    {"tunnel_backpressure", backpressure},
    {"tunnel_closed_by_the_endpoint", closed_by_the_endpoint},
    {"tunnel_short_limits", short_limits},
    {"tunnel_last_bytes_survive", last_bytes_survive},
    {"tunnel_cut_texts", cut_texts},
    {"tunnel_broken_frames", broken_frames},
    {"tunnel_closed_by_us", closed_by_us},
    {"tunnel_closed_anywhere", closed_anywhere},
    {"tunnel_closed_and_cut", closed_and_cut},
    {"tunnel_pongs", pongs},
    {"tunnel_pings_without_pong", pings_without_pong},
    {"tunnel_missing_pong", missing_pong},
    {"tunnel_blocked_application", blocked_application_is_no_dead_peer},
    {"tunnel_pings_switched_off", pings_switched_off},
    {"tunnel_silent_target", silent_target},
    {"tunnel_silent_target_of_another_port", silent_target_of_another_port},
    {"tunnel_slow_handshake", slow_handshake},
    {"tunnel_slow_answer", slow_answer},
    {"tunnel_untrusted", untrusted}
};

TEST_MAIN(tests)
