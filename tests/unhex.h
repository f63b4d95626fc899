/* Hex of test vectors to bytes. */
#ifndef EICE_TEST_UNHEX_H
#define EICE_TEST_UNHEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int unhex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *const at = c == 0 ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* Decodes lower-case hex and returns the bytes written. Malformed hex, or more
 * than `cap` bytes, is a mistake in the test and ends it. */
static inline size_t unhex(const char *text, uint8_t *out, size_t cap)
{
    size_t len = 0;

    for (; text[0] != 0; text += 2) {
        const int high = unhex_digit(text[0]);
        const int low = high < 0 ? -1 : unhex_digit(text[1]);

        if (low < 0 || len == cap) {
            fprintf(stderr, "bad hex: %.80s\n", text);
            abort();
        }
        out[len++] = (uint8_t)(high * 16 + low);
    }
    return len;
}

#endif
