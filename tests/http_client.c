/* An HTTP client on eice_http_* for http_peers.py:
 *
 *   http_client PORT READ LINE [connect=HOST:PORT] [user=USER:PASSWORD]
 *               [METHOD:]PATH...
 *
 * connects to 127.0.0.1, reads READ bytes at a time with a line buffer of
 * LINE bytes, opens a tunnel first where `connect` says so, and asks for the
 * paths one after the other on the same connection. Prints for every answer
 *
 *   STATUS HEADERS BODY-LENGTH HASH keep|close
 *
 * or "STATUS error NAME TEXT", and "trailing N" for bytes behind the last
 * one. Stops at an error and where the connection may not be used again. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"
#include "peer.h"

typedef struct client {
    int fd;
    char memory[65536];
    size_t read_size;
    eice_str in; /* what of `memory` was not parsed yet */
    char line[8192];
    size_t line_size;
} client;

static bool fill(client *c)
{
    const ssize_t n = recv(c->fd, c->memory, c->read_size, 0);

    c->in = eice_str_make(c->memory, n > 0 ? (size_t)n : 0);
    return n > 0;
}

/* Prints what came; false when nothing more can be asked. */
static bool report(const eice_http *h, unsigned headers, size_t body,
                   uint64_t hash)
{
    if (h->error.code != EICE_OK) {
        printf("%u error %s %s\n", h->status, eice_err_name(h->error.code),
               h->error.text);
        return false;
    }
    printf("%u %u %u %016llx %s\n", h->status, headers, (unsigned)body,
           (unsigned long long)hash, h->keep_alive ? "keep" : "close");
    return h->keep_alive || (h->connect && h->status / 100 == 2);
}

static bool read_answer(client *c, bool connect, bool head_only)
{
    uint64_t hash = peer_hash_start;
    unsigned headers = 0;
    size_t body = 0;
    eice_http h;
    eice_http_event event;
    eice_str text;

    eice_http_init(&h, c->line, c->line_size);
    h.connect = connect;
    h.head_only = head_only;
    do {
        event = eice_http_next(&h, &c->in, &text);
        if (event == EICE_HTTP_HEADER) {
            headers++;
        } else if (event == EICE_HTTP_BODY) {
            hash = peer_hash(hash, text);
            body += text.len;
        } else if (event == EICE_HTTP_MORE && !fill(c)) {
            event = eice_http_eof(&h);
        }
    } while (event != EICE_HTTP_DONE && event != EICE_HTTP_ERROR);
    return report(&h, headers, body, hash);
}

static bool ask(client *c, const char *what)
{
    eice_str path = eice_str_c(what);
    eice_str method = eice_str_c("GET");
    char memory[1024];
    eice_buf b;

    if (what[0] != '/') {
        method = eice_str_cut(&path, ':');
    }
    eice_buf_init(&b, memory, sizeof memory);
    eice_putf(&b, "%S %S HTTP/1.1\r\n", &method, &path);
    eice_put_header(&b, "Host", eice_str_c("localhost"));
    eice_put_header(&b, "User-Agent", eice_str_c("eice"));
    eice_put_c(&b, "\r\n");
    if (b.overflow || !peer_send(c->fd, b.ptr, b.len)) {
        peer_die("to send");
    }
    return read_answer(c, false, eice_str_is(method, "HEAD"));
}

static bool open_tunnel(client *c, eice_str target, eice_str user)
{
    const eice_str host = eice_str_cut(&target, ':');
    char memory[1024];
    uint64_t port = 0;
    eice_buf b;

    (void)eice_str_u64(target, 65535, &port);
    eice_buf_init(&b, memory, sizeof memory);
    eice_put_connect(&b, host, (uint16_t)port, user);
    if (b.overflow || !peer_send(c->fd, b.ptr, b.len)) {
        peer_die("to send");
    }
    return read_answer(c, true, false);
}

/* Cuts "name=" off. */
static bool is_option(const char *arg, const char *name, eice_str *value)
{
    if (!eice_str_starts(eice_str_c(arg), name)) {
        return false;
    }
    *value = eice_str_c(arg + strlen(name));
    return true;
}

int main(int argc, char **argv)
{
    static client c;
    eice_str target = eice_str_make(NULL, 0);
    eice_str user = eice_str_make(NULL, 0);
    int i = 4;
    bool more = true;

    if (argc < 4) {
        peer_die("to read the arguments");
    }
    c.read_size = (size_t)atol(argv[2]);
    c.line_size = (size_t)atol(argv[3]);
    if (c.read_size == 0 || c.read_size > sizeof c.memory
        || c.line_size > sizeof c.line) {
        peer_die("to prepare");
    }
    c.fd = peer_connect(argv[1]);
    i += i < argc && is_option(argv[i], "connect=", &target);
    i += i < argc && is_option(argv[i], "user=", &user);
    if (target.len > 0) {
        more = open_tunnel(&c, target, user);
    }
    for (; more && i < argc; i++) {
        more = ask(&c, argv[i]);
    }
    if (c.in.len > 0) {
        printf("trailing %u\n", (unsigned)c.in.len);
    }
    close(c.fd);
    return 0;
}
