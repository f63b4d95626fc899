/* Private key files. The first byte of the input chooses: the rest is a file
 * as it stands, or what is inside one of the four kinds of PEM, so that it
 * need not be base64; from 128 on there is a passphrase, too. What is read
 * can sign and has a public half that is a key; what is not leaves nothing. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 8192

static const char *const labels[] = {
    NULL, "OPENSSH PRIVATE KEY", "PRIVATE KEY", "RSA PRIVATE KEY",
    "EC PRIVATE KEY"
};

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* A block of exactly the text's size: one byte too far is seen. */
static char *text_of(const uint8_t *data, size_t size, const char *label,
                     size_t *len)
{
    static char text[2 * LIMIT];
    char *copy;
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    if (label == NULL) {
        eice_put(&b, eice_str_make(data, size));
    } else {
        eice_putf(&b, "-----BEGIN %s-----\n", label);
        eice_put_base64(&b, data, size, true);
        eice_putf(&b, "\n-----END %s-----\n", label);
    }
    require(!b.overflow);
    *len = b.len;
    copy = (char *)malloc(b.len + (b.len == 0));
    require(copy != NULL);
    memcpy(copy, text, b.len);
    return copy;
}

static void check_key(eice_user_key *k)
{
    static const char *const hashes[] = {"rsa-sha2-256", "rsa-sha2-512"};
    const eice_str type = eice_key_type(k->blob, k->blob_len);
    const bool rsa = k->kind == EICE_KEY_RSA;
    uint8_t blob[EICE_MAX_KEY_BLOB];
    uint8_t sig[EICE_RSA_MAX];
    char line[1024];
    eice_buf b;

    eice_buf_init(&b, line, sizeof line);
    eice_key_line(&b, k->blob, k->blob_len, eice_str_c(""));
    require(!b.overflow
            && eice_key_parse(eice_buf_str(&b), blob, sizeof blob, NULL, NULL)
                   == (ptrdiff_t)k->blob_len);
    require(eice_user_key_sign(k, rsa ? eice_str_c(hashes[k->blob_len % 2])
                                      : type,
                               eice_str_c("text"), sig, sizeof sig)
            > 0);
}

static void check_none(const eice_user_key *k, const eice_error *e)
{
    const uint8_t *p = (const uint8_t *)k;
    size_t i;

    require(e->code == EICE_E_ARGUMENT || e->code == EICE_E_KEY_LOCKED
            || e->code == EICE_E_PASSPHRASE || e->code == EICE_E_LIMIT);
    for (i = 0; i < sizeof *k; i++) {
        require(p[i] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static eice_passphrase pass;
    eice_user_key k;
    eice_error e;
    char *text;
    size_t len;

    if (size < 2 || size > LIMIT) {
        return 0;
    }
    pass.text = eice_str_c("word");
    pass.max_rounds = 1;
    memset(&e, 0, sizeof e);
    text = text_of(data + 1, size - 1, labels[data[0] % 128 % 5], &len);
    if (eice_user_key_read(&k, "FILE", text, len,
                           data[0] >= 128 ? &pass : NULL, &e)) {
        check_key(&k);
    } else {
        check_none(&k, &e);
    }
    free(text);
    return 0;
}
