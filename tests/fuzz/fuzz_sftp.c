/* Answers of an SFTP server: whatever comes, in any portions, tells the same
 * and stays within what was asked. The first byte is the size of the
 * portions. */
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

static void ask_all(eice_sftp *s)
{
    int op;

    for (op = EICE_SFTP_OPEN; op <= EICE_SFTP_FSYNC; op++) {
        eice_sftp_request q;

        memset(&q, 0, sizeof q);
        q.op = (eice_sftp_op)op;
        q.text = eice_str_c("x");
        q.len = 8;
        (void)eice_sftp_ask(s, &q);
    }
}

/* How many answers, and a sum over them. */
static uint64_t talk(const uint8_t *data, size_t size, size_t step)
{
    eice_sftp_reply r;
    eice_sftp_entry e;
    eice_sftp s;
    uint64_t sum = 0;
    bool ready = false;

    eice_sftp_init(&s, NULL);
    while (size > 0) {
        uint8_t *p;
        size_t n = eice_sftp_in(&s, &p);

        n = n < step ? n : step;
        n = n < size ? n : size;
        if (n == 0) {
            break;
        }
        memcpy(p, data, n);
        eice_sftp_in_ack(&s, n);
        data += n;
        size -= n;
        while (eice_sftp_next(&s, &r)) {
            require(r.text.len <= (r.op == EICE_SFTP_READ && r.status == 0
                                       ? r.len
                                       : size + 1000000));
            sum = sum * 31 + (uint64_t)r.op + r.status + r.text.len;
            while (eice_sftp_name(&r, &e)) {
                sum += e.name.len + eice_sftp_plain(e.name);
            }
        }
        if (s.ready && !ready) {
            ready = true;
            ask_all(&s);
        }
    }
    sum = sum * 31 + (uint64_t)(s.error.code != EICE_OK);
    eice_sftp_free(&s);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        /* at most 9: an answer never comes with the version, before the
         * requests */
        require(talk(data + 1, size - 1, 1)
                == talk(data + 1, size - 1, (size_t)data[0] % 9 + 1));
    }
    return 0;
}
