/* SOCKS and HTTP CONNECT, the server's side: a request reads the same in any
 * portions, and what is reported can be used. The first byte of the input is
 * the size of the portions. */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* How many bytes were taken. */
static size_t talk(eice_socks *s, eice_socks_event *event, eice_str all,
                   size_t step)
{
    size_t at = 0;

    eice_socks_init(s);
    *event = EICE_SOCKS_MORE;
    while (at < all.len && *event == EICE_SOCKS_MORE) {
        const size_t n = all.len - at < step ? all.len - at : step;
        eice_str in = eice_str_make(all.ptr + at, n);

        *event = eice_socks_feed(s, &in);
        require(in.len <= n && (*event != EICE_SOCKS_MORE || in.len == 0));
        at += n - in.len;
    }
    return at;
}

static void check(const eice_socks *s, eice_socks_event event)
{
    size_t i;

    if (event == EICE_SOCKS_FAILED) {
        require(s->error.code == EICE_E_ARGUMENT);
        return;
    }
    require(s->error.code == EICE_OK);
    if (event == EICE_SOCKS_CONNECT) {
        require(s->port != 0 && s->host[0] != 0);
        for (i = 0; s->host[i] != 0; i++) {
            require(s->host[i] > 0x20 && s->host[i] < 0x7f);
        }
        require(i < sizeof s->host);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static eice_socks a;
    static eice_socks b;
    eice_socks_event event;
    eice_socks_event other;
    const uint8_t *p;
    eice_str all;
    size_t taken;

    if (size < 1) {
        return 0;
    }
    all = eice_str_make(data + 1, size - 1);
    taken = talk(&a, &event, all, size);
    check(&a, event);
    require(talk(&b, &other, all, 1) == taken && event == other);
    require(memcmp(&a, &b, sizeof a) == 0);
    require(talk(&b, &other, all, (size_t)data[0] + 1) == taken);
    require(memcmp(&a, &b, sizeof a) == 0 && event == other);
    eice_socks_reply(&a, (eice_socks_outcome)(data[0] % 9u));
    eice_socks_out_ack(&a, eice_socks_out(&a, &p));
    require(eice_socks_out(&a, &p) == 0);
    return 0;
}
