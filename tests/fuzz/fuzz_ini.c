/* The INI scanner: stays inside, ends, and keeps its order of tokens. */
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

static void inside(eice_str doc, eice_str s)
{
    size_t i;

    require(s.len == 0
            || (s.ptr >= doc.ptr && s.ptr + s.len <= doc.ptr + doc.len));
    require(s.len == eice_str_trim(s).len);
    for (i = 0; i < s.len; i++) {
        require((unsigned char)s.ptr[i] >= 0x20 || s.ptr[i] == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const eice_str doc = eice_str_make(data, size);
    eice_ini_type type;
    eice_ini i;
    eice_str name;
    eice_str value;
    bool section = false;
    bool empty = false;
    unsigned line = 0;

    eice_ini_init(&i, doc);
    do {
        type = eice_ini_next(&i, &name, &value);
        require(i.at <= doc.len && i.line >= line);
        inside(doc, name);
        inside(doc, value);
        if (type == EICE_INI_SECTION) {
            section = true;
            empty = false;
        } else if (type == EICE_INI_KEY) {
            require(section);
            empty = value.len == 0;
        } else if (type == EICE_INI_NESTED) {
            require(empty);
        }
        require(type == EICE_INI_END || type == EICE_INI_ERROR
                || (name.len > 0 && i.line > line));
        line = i.line;
    } while (type != EICE_INI_END && type != EICE_INI_ERROR);
    require(eice_ini_next(&i, &name, &value) == type);
    return 0;
}
