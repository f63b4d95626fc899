/* The resolver: whatever the servers do, a look-up ends in time with addresses
 * or an error, after a bounded number of messages.
 *
 * The first byte of the input: 1 the rest is resolv.conf and hosts file, 2 two
 * servers, 4 a search list, 8 TCP from the start, 16 a name without dots. Then
 * steps, each a byte. Its lower two bits: 0 an answer (4 to the question AAAA,
 * 8 with another head, 16 as if truncated; a byte with code and number of the
 * records, one of length and the records follow), 1 time passes (ten times the
 * rest of the byte, in ms), 2 the server is unreachable (4 as above), 3 the
 * deadline comes. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *ptr;
    size_t len;
} input;

typedef struct run {
    eice_dns dns;
    eice_dns_query q[2]; /* the last A, the last AAAA */
    uint64_t now_ms;
    unsigned messages;
} run;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static uint8_t take(input *in)
{
    if (in->len == 0) {
        return 3;
    }
    in->len--;
    return *in->ptr++;
}

static void check_list(const eice_addresses *list)
{
    size_t i;
    size_t k;

    require(list->count <= EICE_MAX_ADDRESSES);
    for (i = 0; i < list->count; i++) {
        require(list->ip[i].family == 4 || list->ip[i].family == 6);
        for (k = 0; k < i; k++) {
            require(!eice_ip_eq(&list->ip[i], &list->ip[k]));
        }
    }
}

static void read_files(input in)
{
    static eice_dns_config c;
    const eice_str text = eice_str_make(in.ptr, in.len);
    eice_addresses list;
    unsigned i;

    eice_dns_config_parse(&c, text);
    require(c.server_count >= 1 && c.server_count <= EICE_DNS_SERVERS);
    require(c.search_count <= EICE_DNS_SEARCH && c.ndots <= 15);
    require(c.attempts >= 1 && c.attempts <= 5);
    require(c.timeout_ms >= 1000 && c.timeout_ms <= 30000);
    for (i = 0; i < c.search_count; i++) {
        require(memchr(c.search[i], 0, EICE_DNS_NAME) != NULL);
    }
    require(eice_dns_hosts(text, eice_str_c("localhost"), &list)
            == (list.count > 0));
    check_list(&list);
}

static void send_all(run *r)
{
    eice_dns_query q;

    while (eice_dns_next(&r->dns, &q)) {
        require(q.len >= 12 + 6 && q.len <= sizeof q.message);
        require(q.port == 53 && eice_dns_waits(&r->dns, q.tag));
        r->q[q.message[q.len - 3] == 28] = q;
        r->messages++;
    }
}

/* The head and question of `q`, turned into an answer. */
static void make_head(uint8_t *message, const eice_dns_query *q, uint8_t step,
                      uint8_t codes)
{
    const size_t skip = q->tcp ? 2 : 0;

    memcpy(message, q->message + skip, q->len - skip);
    message[2] = (step & 16) != 0 ? 0x83 : 0x81;
    message[3] = (uint8_t)(0x80 | codes >> 4);
    message[7] = codes & 0x0f;
}

static void give_answer(run *r, uint8_t step, input *in)
{
    const eice_dns_query *q = &r->q[step >> 2 & 1];
    const size_t head = q->len - (q->tcp ? 2 : 0);
    const uint8_t codes = take(in);
    size_t n = take(in);
    uint8_t *message;

    if (q->len == 0) {
        return;
    }
    n = n < in->len ? n : in->len;
    /* a block of exactly this size: one byte too far is seen */
    message = (uint8_t *)malloc(head + n);
    require(message != NULL);
    make_head(message, q, step, codes);
    if (n > 0) {
        memcpy(message + head, in->ptr, n);
    }
    if ((step & 8) != 0 && n >= 12) {
        memcpy(message, in->ptr, 12);
    }
    eice_dns_answer(&r->dns, q->tag, message, head + n, r->now_ms);
    free(message);
    in->ptr += n;
    in->len -= n;
}

static void one_step(run *r, input *in)
{
    const uint8_t step = take(in);

    switch (step & 3) {
    case 0:
        give_answer(r, step, in);
        break;
    case 1:
        r->now_ms += 10 * (uint64_t)(step >> 2);
        eice_dns_tick(&r->dns, r->now_ms);
        break;
    case 2:
        eice_dns_unreachable(&r->dns, r->q[step >> 2 & 1].tag, r->now_ms);
        break;
    default:
        if (eice_dns_deadline(&r->dns) > r->now_ms) {
            r->now_ms = eice_dns_deadline(&r->dns);
        }
        eice_dns_tick(&r->dns, r->now_ms);
        break;
    }
}

static void look_up(uint8_t options, input in)
{
    static run r;
    static eice_drbg random;
    static eice_dns_config c;
    const uint64_t end = 1 + 2 * 1000 * ((options & 2) != 0 ? 2 : 1);
    eice_addresses list;

    memset(&r, 0, sizeof r);
    eice_drbg_init(&random, "0123456789abcdef0123456789abcdef", 32);
    eice_dns_config_parse(&c, eice_str_c(
        (options & 4) != 0 ? "search a.b c.d\noptions timeout:1 ndots:2"
                           : "options timeout:1"));
    c.server_count = (options & 2) != 0 ? 2 : 1;
    c.server[1] = c.server[0];
    c.tcp = (options & 8) != 0;
    r.now_ms = 1;
    eice_dns_init(&r.dns, &c, eice_str_c((options & 16) != 0 ? "x" : "x.y"),
                  &random, r.now_ms);
    while (!eice_dns_done(&r.dns, &list)) {
        require(eice_dns_deadline(&r.dns) <= end);
        send_all(&r);
        one_step(&r, &in);
    }
    require(eice_dns_deadline(&r.dns) == UINT64_MAX);
    require((list.count > 0) == (r.dns.error.code == EICE_OK));
    require(r.messages <= 3 * 2 * 4 * 2);
    check_list(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const uint8_t options = take(&in);

    if ((options & 1) != 0) {
        read_files(in);
    } else {
        look_up(options, in);
    }
    return 0;
}
