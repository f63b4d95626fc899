/* Trust anchors from a PEM text and from a certificate of anybody's making.
 * The first byte of the input: 1 it is DER, else PEM; the rest of its bits
 * make the arena small. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t memory[8192];

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static bool inside(const eice_trust *t, const void *p, size_t len)
{
    const uint8_t *const at = (const uint8_t *)p;
    const uint8_t *const end = t->memory + t->cap;

    return at >= end - t->data && len <= (size_t)(end - at);
}

static void check_anchor(const eice_trust *t, const br_x509_trust_anchor *a)
{
    require(a->dn.len >= 2 && a->dn.data[0] == 0x30);
    require(inside(t, a->dn.data, a->dn.len));
    if (a->pkey.key_type == BR_KEYTYPE_RSA) {
        require(a->pkey.key.rsa.n[0] != 0 && a->pkey.key.rsa.e[0] != 0);
        require(inside(t, a->pkey.key.rsa.n, a->pkey.key.rsa.nlen));
        require(inside(t, a->pkey.key.rsa.e, a->pkey.key.rsa.elen));
    } else {
        require(a->pkey.key.ec.q[0] == 4);
        require(inside(t, a->pkey.key.ec.q, a->pkey.key.ec.qlen));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eice_trust t;
    eicei_tls_ca c;
    eice_err err;
    size_t i;

    if (size < 1) {
        return 0;
    }
    if ((data[0] & 1) != 0) {
        if (eicei_tls_read_cert(eice_str_make(data + 1, size - 1), &c)) {
            require(c.subject.len + c.key.len + c.exponent.len < size);
        }
        return 0;
    }
    eice_trust_init(&t, memory, (size_t)data[0] * 256);
    err = eice_trust_add_pem(&t, (const char *)data + 1, size - 1);
    require(err != EICE_OK || t.count > 0);
    require(eicei_tls_trust_front(&t) + t.data <= t.cap);
    for (i = 0; i < t.count; i++) {
        check_anchor(&t, eicei_tls_anchors(&t) + i);
    }
    return 0;
}
