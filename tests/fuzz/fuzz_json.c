/* The JSON scanner: stays inside, ends, and agrees with itself. */
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

/* What is unescaped is UTF-8; written as JSON and read again it is the same. */
static void round_trip(eice_str raw)
{
    char *const text = (char *)malloc(7 * raw.len + 1);
    eice_buf plain;
    eice_buf coded;
    eice_buf again;

    require(text != NULL);
    eice_buf_init(&plain, text, raw.len);
    if (eice_json_unescape(raw, &plain)) {
        require(eice_json_is(raw, eice_buf_str(&plain)));
        eice_buf_init(&coded, text + raw.len, 6 * raw.len);
        eice_put_json(&coded, eice_buf_str(&plain));
        require(!coded.overflow);
        require(eice_json_is(eice_buf_str(&coded), eice_buf_str(&plain)));
        eice_buf_init(&again, text + raw.len, 6 * raw.len);
        require(eice_json_unescape(eice_buf_str(&coded), &again));
        require(eice_str_eq(eice_buf_str(&again), eice_buf_str(&plain)));
    }
    free(text);
}

static eice_json_type walk(eice_str doc)
{
    eice_json_type type;
    eice_json j;
    eice_str raw;
    size_t tokens = 0;
    int depth = 0;

    eice_json_init(&j, doc);
    do {
        type = eice_json_next(&j, &raw);
        require(j.at <= doc.len && tokens++ <= doc.len);
        require(raw.ptr == NULL
                || (raw.ptr >= doc.ptr
                    && raw.ptr + raw.len <= doc.ptr + doc.len));
        depth += type == EICE_JSON_OBJECT || type == EICE_JSON_ARRAY;
        depth -= type == EICE_JSON_OBJECT_END || type == EICE_JSON_ARRAY_END;
        require(depth == (int)j.depth);
        if (type == EICE_JSON_STRING || type == EICE_JSON_KEY) {
            round_trip(raw);
        }
    } while (type != EICE_JSON_END && type != EICE_JSON_ERROR);
    require(type != EICE_JSON_END || depth == 0);
    return type;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const eice_str doc = eice_str_make(data, size);
    const eice_json_type end = walk(doc);
    eice_json_type found;
    eice_json j;
    eice_str raw;

    /* Skipping accepts what walking accepts. */
    eice_json_init(&j, doc);
    require((eice_json_skip(&j) && eice_json_next(&j, &raw) == EICE_JSON_END)
            == (end == EICE_JSON_END));
    found = eice_json_find(doc, "a.b", &raw);
    if (found != EICE_JSON_END && found != EICE_JSON_ERROR) {
        require(end == EICE_JSON_END);
    }
    if (found == EICE_JSON_OBJECT || found == EICE_JSON_ARRAY) {
        require(walk(raw) == EICE_JSON_END);
    }
    return 0;
}
