/* What a decoder reported, as text: every way to feed it must tell the same
 * story. */
#ifndef STORY_H
#define STORY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static char story[8192];
static size_t story_len;

static void story_begin(void)
{
    story_len = 0;
    story[0] = 0;
}

static void tell(const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(story + story_len, sizeof story - story_len, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof story - story_len) {
        story_len += (size_t)n;
    }
}

#endif
