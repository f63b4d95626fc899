/* A WebSocket client on eice_ws_* for ws_peers.py:
 *
 *   ws_client PORT PATH READ COMMAND...
 *
 * connects to 127.0.0.1, upgrades, reads READ bytes at a time, and does what
 * the commands say, each of which prints a line:
 *
 *   echo:N          sends N bytes in a frame and expects the same back
 *   text:N          the same with text of two-byte characters
 *   ping:N          sends a ping of N bytes and expects its pong
 *   recv            waits for a message: "message KIND LENGTH HASH"
 *   wait            waits for the end: "close CODE REASON", "error CODE" or
 *                   "eof"; answers a close
 *   close:CODE:WHY  sends a close, then waits for the end
 *   unmasked        sends a frame without a mask, then waits for the end
 *
 * Pings are answered. Exits with 1 when something was not as expected. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"
#include "peer.h"

#define MAX_MESSAGE (4u << 20)

typedef struct client {
    eice_ws w;
    int fd;
    char memory[65536];
    size_t read_size;
    eice_str in;       /* what of `memory` was not decoded yet */
    uint8_t *message;  /* the one being received */
    size_t message_len;
    char pong[128];
    size_t pong_len;
} client;

/* ---- upgrade ----------------------------------------------------------- */

static bool fill(client *c)
{
    const ssize_t n = recv(c->fd, c->memory, c->read_size, 0);

    c->in = eice_str_make(c->memory, n > 0 ? (size_t)n : 0);
    return n > 0;
}

static void send_upgrade(client *c, const char *path, const char *key)
{
    char memory[1024];
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    eice_putf(&b, "GET %s HTTP/1.1\r\n", path);
    eice_put_header(&b, "Host", eice_str_c("localhost"));
    eice_put_header(&b, "Upgrade", eice_str_c("websocket"));
    eice_put_header(&b, "Connection", eice_str_c("Upgrade"));
    eice_put_header(&b, "Sec-WebSocket-Key", eice_str_c(key));
    eice_put_header(&b, "Sec-WebSocket-Version", eice_str_c("13"));
    eice_put_c(&b, "\r\n");
    if (b.overflow || !peer_send(c->fd, b.ptr, b.len)) {
        peer_die("to send the upgrade");
    }
}

static void upgrade(client *c, const char *path)
{
    static const uint8_t random[16] = {7, 1, 2, 3};
    char line[256];
    char key[25];
    char accept[29];
    eice_http h;
    eice_http_event event;
    eice_str text;
    unsigned good = 0;

    eice_ws_key(random, key);
    eice_ws_accept(key, accept);
    send_upgrade(c, path, key);
    eice_http_init(&h, line, sizeof line);
    do {
        event = eice_http_next(&h, &c->in, &text);
        if (event == EICE_HTTP_HEADER) {
            good += eice_str_is(h.name, "sec-websocket-accept")
                && eice_str_is(text, accept);
            good += eice_str_is(h.name, "connection")
                && eice_http_lists(text, "upgrade");
            good += eice_str_is(h.name, "upgrade")
                && eice_str_is_nocase(text, "websocket");
        } else if (event == EICE_HTTP_MORE && !fill(c)) {
            event = eice_http_eof(&h);
        }
    } while (event != EICE_HTTP_DONE && event != EICE_HTTP_ERROR);
    if (h.status != 101 || good != 3) {
        peer_die("to upgrade");
    }
}

/* ---- frames ------------------------------------------------------------ */

/* The payload is masked in portions, to exercise the offset. */
static void send_frame(client *c, eice_ws_op op, const uint8_t *data,
                       size_t len)
{
    static uint8_t mask[4] = {0x9a, 0x3c, 0x71, 0xe5};
    uint8_t head[EICE_WS_MAX_HEAD];
    uint8_t part[4099];
    size_t at;
    size_t n;

    mask[1]++;
    n = eice_ws_head(head, op, len, mask);
    if (!peer_send(c->fd, head, n)) {
        peer_die("to send a head");
    }
    for (at = 0; at < len; at += n) {
        n = len - at < sizeof part ? len - at : sizeof part;
        memcpy(part, data + at, n);
        eice_ws_mask(part, n, mask, at);
        if (!peer_send(c->fd, part, n)) {
            peer_die("to send a payload");
        }
    }
}

static void add_data(client *c, eice_str payload)
{
    if (payload.len > MAX_MESSAGE - c->message_len) {
        peer_die("to hold the message");
    }
    if (payload.len > 0) {
        memcpy(c->message + c->message_len, payload.ptr, payload.len);
    }
    c->message_len += payload.len;
}

/* One event; false at the end of the stream. */
static bool step(client *c, eice_ws_event *event, eice_str *payload)
{
    *event = eice_ws_next(&c->w, &c->in, payload);
    if (*event == EICE_WS_MORE) {
        return fill(c);
    }
    if (*event == EICE_WS_DATA) {
        add_data(c, *payload);
    }
    if (*event == EICE_WS_GOT_PING) {
        send_frame(c, EICE_WS_PONG, (const uint8_t *)payload->ptr,
                   payload->len);
    }
    if (*event == EICE_WS_GOT_PONG) {
        memcpy(c->pong, payload->ptr, payload->len);
        c->pong_len = payload->len;
    }
    return true;
}

/* Until `want` (of DATA: the message's last part) was seen. */
static void expect(client *c, eice_ws_event want)
{
    eice_ws_event event;
    eice_str payload;

    c->message_len = 0;
    do {
        if (!step(c, &event, &payload) || event == EICE_WS_ERROR
            || event == EICE_WS_GOT_CLOSE) {
            printf("error %u %s\n", c->w.close_code, c->w.error.text);
            peer_die("to get what was awaited");
        }
    } while (event != want
             || (want == EICE_WS_DATA && !c->w.message_end));
}

/* ---- commands ---------------------------------------------------------- */

static void pattern(uint8_t *out, size_t len, bool text)
{
    uint32_t x = (uint32_t)len + 1;
    size_t i;

    for (i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        out[i] = text ? (i % 2 == 0 ? 0xc3 : 0xa9) : (uint8_t)(x >> 24);
    }
}

static void do_echo(client *c, const char *arg, bool text)
{
    const size_t len = (size_t)atol(arg);
    uint8_t *const data = (uint8_t *)malloc(len + 1);

    if (data == NULL) {
        peer_die("to allocate");
    }
    pattern(data, len, text);
    send_frame(c, text ? EICE_WS_TEXT : EICE_WS_BINARY, data, len);
    expect(c, EICE_WS_DATA);
    if (c->message_len != len || c->w.text != text
        || memcmp(c->message, data, len) != 0) {
        peer_die("to get the same back");
    }
    printf("echo %u\n", (unsigned)len);
    free(data);
}

static void echo_binary(client *c, const char *arg)
{
    do_echo(c, arg, false);
}

static void echo_text(client *c, const char *arg)
{
    do_echo(c, arg, true);
}

static void do_ping(client *c, const char *arg)
{
    const size_t len = (size_t)atol(arg);
    uint8_t data[125];

    if (len > sizeof data) {
        peer_die("to ping with so much");
    }
    pattern(data, len, false);
    send_frame(c, EICE_WS_PING, data, len);
    expect(c, EICE_WS_GOT_PONG);
    if (c->pong_len != len || memcmp(c->pong, data, len) != 0) {
        peer_die("to get the pong of its ping");
    }
    printf("pong %u\n", (unsigned)len);
}

static void do_recv(client *c, const char *arg)
{
    uint64_t hash;

    (void)arg;
    expect(c, EICE_WS_DATA);
    hash = peer_hash(peer_hash_start,
                     eice_str_make(c->message, c->message_len));
    printf("message %s %u %016llx\n", c->w.text ? "text" : "binary",
           (unsigned)c->message_len, (unsigned long long)hash);
}

static void finish(client *c, bool answer)
{
    uint8_t close_payload[EICE_WS_MAX_CONTROL];
    eice_ws_event event;
    eice_str payload;
    size_t n;

    do {
        if (!step(c, &event, &payload)) {
            printf("eof\n");
            return;
        }
    } while (event != EICE_WS_GOT_CLOSE && event != EICE_WS_ERROR);
    if (event == EICE_WS_ERROR) {
        printf("error %u\n", c->w.close_code);
    } else {
        printf("close %u %.*s\n", c->w.close_code, (int)payload.len,
               payload.ptr);
    }
    if (answer || event == EICE_WS_ERROR) {
        n = eice_ws_close(close_payload, c->w.close_code, payload);
        send_frame(c, EICE_WS_CLOSE, close_payload, n);
    }
}

static void do_wait(client *c, const char *arg)
{
    (void)arg;
    finish(c, true);
}

static void do_close(client *c, const char *arg)
{
    uint8_t payload[EICE_WS_MAX_CONTROL];
    eice_str rest = eice_str_c(arg);
    const eice_str code = eice_str_cut(&rest, ':');
    uint64_t number = 0;

    (void)eice_str_u64(code, 65535, &number);
    send_frame(c, EICE_WS_CLOSE, payload,
               eice_ws_close(payload, (unsigned)number, rest));
    finish(c, false);
}

static void do_unmasked(client *c, const char *arg)
{
    (void)arg;
    if (!peer_send(c->fd, "\x82\x01x", 3)) {
        peer_die("to send");
    }
    finish(c, false);
}

static const struct {
    const char *name;
    void (*run)(client *c, const char *arg);
} commands[] = {
    {"echo", echo_binary}, {"text", echo_text}, {"ping", do_ping},
    {"recv", do_recv}, {"wait", do_wait}, {"close", do_close},
    {"unmasked", do_unmasked}
};

static void run_command(client *c, const char *text)
{
    eice_str arg = eice_str_c(text);
    const eice_str name = eice_str_cut(&arg, ':');
    size_t i;

    for (i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (eice_str_is(name, commands[i].name)) {
            commands[i].run(c, arg.ptr);
            return;
        }
    }
    peer_die("to understand a command");
}

int main(int argc, char **argv)
{
    static client c;
    int i;

    if (argc < 4) {
        peer_die("to read the arguments");
    }
    c.read_size = (size_t)atol(argv[3]);
    c.message = (uint8_t *)malloc(MAX_MESSAGE);
    if (c.message == NULL || c.read_size == 0
        || c.read_size > sizeof c.memory) {
        peer_die("to prepare");
    }
    c.fd = peer_connect(argv[1]);
    eice_ws_init(&c.w);
    c.w.allow_text = true;
    upgrade(&c, argv[2]);
    for (i = 4; i < argc; i++) {
        run_command(&c, argv[i]);
    }
    close(c.fd);
    free(c.message);
    return 0;
}
