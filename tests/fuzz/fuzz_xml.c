/* The XML scanner: stays inside, ends, and its elements are balanced. */
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

/* References only ever get shorter. */
static void unescape(eice_str raw)
{
    char *const text = (char *)malloc(raw.len + 1);
    eice_buf b;

    require(text != NULL);
    eice_buf_init(&b, text, raw.len);
    (void)eice_xml_unescape(raw, &b);
    require(!b.overflow);
    free(text);
}

static eice_xml_type walk(eice_str doc)
{
    eice_str open[EICE_MAX_DEPTH];
    eice_xml_type type;
    eice_xml x;
    eice_str s;
    size_t tokens = 0;
    unsigned depth = 0;

    eice_xml_init(&x, doc);
    do {
        type = eice_xml_next(&x, &s);
        require(x.at <= doc.len && tokens++ <= doc.len);
        require(s.ptr == NULL
                || (s.ptr >= doc.ptr && s.ptr + s.len <= doc.ptr + doc.len));
        if (type == EICE_XML_OPEN) {
            require(depth < EICE_MAX_DEPTH && s.len > 0);
            open[depth++] = s;
        } else if (type == EICE_XML_CLOSE) {
            require(depth > 0 && eice_str_eq(open[--depth], s));
        } else if (type == EICE_XML_TEXT) {
            require(depth > 0 && s.len > 0);
            unescape(s);
        }
        require(depth == x.depth);
    } while (type != EICE_XML_END && type != EICE_XML_ERROR);
    require(type != EICE_XML_END || depth == 0);
    return type;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const eice_str doc = eice_str_make(data, size);
    const eice_xml_type end = walk(doc);
    eice_xml x;
    eice_str s;
    bool accepted;

    /* Skipping accepts what walking accepts. */
    eice_xml_init(&x, doc);
    accepted = eice_xml_next(&x, &s) == EICE_XML_OPEN && eice_xml_skip(&x)
               && eice_xml_next(&x, &s) == EICE_XML_END;
    require(accepted == (end == EICE_XML_END));
    return 0;
}
