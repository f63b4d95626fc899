/*
 * The printf family of the static program, in place of musl's, which brings
 * floating point and wide characters along: 10 kB.  Only the musl flavour is
 * linked with it; whatever the C library itself prints goes through it, too.
 *
 * Known are d i u x X c s p %, the lengths l ll z j t, the flags - 0 +, width
 * and precision, both as numbers or *.  Any other letter stands for itself.
 *
 * MIT licence, see LICENSE.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct sink {
    FILE *file;            /* or NULL: text */
    char *text;
    size_t cap;
    size_t len;            /* of all that was put */
    char waiting[256];     /* for the file: few writes where it is unbuffered */
} sink;

/* What stands between the percent sign and the letter. */
typedef struct field {
    bool left;
    bool zeros;
    bool plus;
    bool has_precision;
    unsigned longs;        /* 1: long, 2: long long */
    size_t width;
    size_t precision;
} field;

static void put(sink *s, char c)
{
    if (s->file != NULL) {
        const size_t at = s->len % sizeof s->waiting;

        s->waiting[at] = c;
        if (at + 1 == sizeof s->waiting) {
            fwrite(s->waiting, 1, sizeof s->waiting, s->file);
        }
    } else if (s->len + 1 < s->cap) {
        s->text[s->len] = c;
    }
    s->len++;
}

static void put_many(sink *s, char c, size_t count)
{
    for (; count > 0; count--) {
        put(s, c);
    }
}

static void put_padded(sink *s, const field *f, const char *text, size_t len)
{
    const size_t pad = f->width > len ? f->width - len : 0;
    size_t i;

    put_many(s, ' ', f->left ? 0 : pad);
    for (i = 0; i < len; i++) {
        put(s, text[i]);
    }
    put_many(s, ' ', f->left ? pad : 0);
}

static void put_number(sink *s, const field *f, uintmax_t n, unsigned base,
                       const char *digits, const char *sign)
{
    char text[96];
    const size_t sign_len = strlen(sign);
    size_t least = f->has_precision ? f->precision : 1;
    size_t at = sizeof text;

    if (f->zeros && !f->left && !f->has_precision && f->width > sign_len) {
        least = f->width - sign_len;
    }
    if (least > 64) {
        least = 64;
    }
    for (; n > 0 || sizeof text - at < least; n /= base) {
        text[--at] = digits[n % base];
    }
    at -= sign_len;
    memcpy(text + at, sign, sign_len);
    put_padded(s, f, text + at, sizeof text - at);
}

static void put_signed(sink *s, const field *f, va_list *args)
{
    const intmax_t n = f->longs == 2   ? va_arg(*args, long long)
                       : f->longs == 1 ? va_arg(*args, long)
                                       : va_arg(*args, int);

    put_number(s, f, n < 0 ? 0 - (uintmax_t)n : (uintmax_t)n, 10, "0123456789",
               n < 0     ? "-"
               : f->plus ? "+"
                         : "");
}

static void put_unsigned(sink *s, const field *f, va_list *args, char letter)
{
    const uintmax_t n = f->longs == 2   ? va_arg(*args, unsigned long long)
                        : f->longs == 1 ? va_arg(*args, unsigned long)
                                        : va_arg(*args, unsigned);

    put_number(s, f, n, letter == 'u' ? 10 : 16,
               letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef", "");
}

static void put_text(sink *s, const field *f, const char *text)
{
    if (text == NULL) {
        text = "(null)";
    }
    put_padded(s, f, text,
               f->has_precision ? strnlen(text, f->precision) : strlen(text));
}

static const char *read_size(const char *p, size_t *n, va_list *args)
{
    int given;

    if (*p == '*') {
        given = va_arg(*args, int);
        *n = given > 0 ? (size_t)given : 0;
        return p + 1;
    }
    for (*n = 0; *p >= '0' && *p <= '9'; p++) {
        *n = *n * 10 + (size_t)(*p - '0');
    }
    return p;
}

/* Returns where the letter stands. */
static const char *read_field(const char *p, field *f, va_list *args)
{
    memset(f, 0, sizeof *f);
    for (; *p == '-' || *p == '0' || *p == '+'; p++) {
        f->left |= *p == '-';
        f->zeros |= *p == '0';
        f->plus |= *p == '+';
    }
    p = read_size(p, &f->width, args);
    if (*p == '.') {
        f->has_precision = true;
        p = read_size(p + 1, &f->precision, args);
    }
    for (; *p == 'l' || *p == 'z' || *p == 't' || *p == 'j'; p++) {
        f->longs += *p == 'j' ? 2 : 1;
    }
    return p;
}

static void put_field(sink *s, field *f, char letter, va_list *args)
{
    char c;

    switch (letter) {
    case 'd':
    case 'i':
        put_signed(s, f, args);
        break;
    case 'u':
    case 'x':
    case 'X':
        put_unsigned(s, f, args, letter);
        break;
    case 's':
        put_text(s, f, va_arg(*args, const char *));
        break;
    case 'c':
        c = (char)va_arg(*args, int);
        put_padded(s, f, &c, 1);
        break;
    case 'p':
        put_number(s, f, (uintptr_t)va_arg(*args, void *), 16,
                   "0123456789abcdef", "0x");
        break;
    default:
        put(s, letter);
        break;
    }
}

static void format_all(sink *s, const char *format, va_list *args)
{
    field f;

    for (; *format != 0; format++) {
        if (*format != '%') {
            put(s, *format);
            continue;
        }
        format = read_field(format + 1, &f, args);
        if (*format == 0) {
            break;
        }
        put_field(s, &f, *format, args);
    }
}

int vfprintf(FILE *file, const char *format, va_list args)
{
    sink s;
    va_list copy;

    s.file = file;
    s.len = 0;
    va_copy(copy, args);
    format_all(&s, format, &copy);
    va_end(copy);
    fwrite(s.waiting, 1, s.len % sizeof s.waiting, file);
    return ferror(file) ? -1 : (int)s.len;
}

int vsnprintf(char *text, size_t cap, const char *format, va_list args)
{
    sink s;
    va_list copy;

    s.file = NULL;
    s.text = text;
    s.cap = cap;
    s.len = 0;
    va_copy(copy, args);
    format_all(&s, format, &copy);
    va_end(copy);
    if (cap > 0) {
        text[s.len < cap ? s.len : cap - 1] = 0;
    }
    return (int)s.len;
}

int fprintf(FILE *file, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vfprintf(file, format, args);
    va_end(args);
    return n;
}

int printf(const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vfprintf(stdout, format, args);
    va_end(args);
    return n;
}

int snprintf(char *text, size_t cap, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, cap, format, args);
    va_end(args);
    return n;
}
