/* known_hosts, consoles and lines of keys. The input: a host, a line end, a line of a
 * .pub file (a fixed key stands in for a bad one), a line end, the file. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed_key[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJffB6ou9kP7MUA4qJ6tFxeyePb7yr2BhrqnP"
    "MZcxrD";

typedef struct key {
    uint8_t blob[EICE_MAX_KEY_BLOB];
    size_t len;
} key;

typedef struct finding {
    eice_hostkey verdict;
    unsigned line;
} finding;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* What is parsed and written again parses as the same. */
static void round_trip(const key *k, eice_str type, eice_str comment)
{
    static char memory[8192];
    static uint8_t again[EICE_MAX_KEY_BLOB];
    eice_str type2;
    eice_str comment2;
    eice_buf b;

    require(eice_str_eq(type, eice_key_type(k->blob, k->len)));
    eice_buf_init(&b, memory, sizeof memory);
    eice_key_line(&b, k->blob, k->len, comment);
    if (b.overflow) {
        return;
    }
    require(eice_key_parse(eice_buf_str(&b), again, sizeof again, &type2,
                           &comment2) == (ptrdiff_t)k->len);
    require(memcmp(again, k->blob, k->len) == 0);
    require(eice_str_eq(type, type2) && eice_str_eq(comment, comment2));
}

static void read_key(key *k, eice_str line)
{
    eice_str type;
    eice_str comment;
    ptrdiff_t n = eice_key_parse(line, k->blob, sizeof k->blob, &type,
                                 &comment);

    if (n < 0) {
        n = eice_key_parse(eice_str_c(fixed_key), k->blob, sizeof k->blob,
                           &type, &comment);
    }
    require(n > 0);
    k->len = (size_t)n;
    round_trip(k, type, comment);
}

static finding look(eice_str text, eice_str host, const key *k)
{
    finding f;

    f.verdict = eice_known_hosts_check(text, host, k->blob, k->len, &f.line);
    require((f.verdict == EICE_HOSTKEY_UNKNOWN) == (f.line == 0));
    return f;
}

static eice_str line_of(eice_str text, unsigned number)
{
    eice_str line = eice_str_c("");

    while (number-- > 0) {
        require(text.len > 0);
        line = eice_str_cut(&text, '\n');
    }
    return line;
}

typedef struct wanted {
    eice_str type;
    bool seen;
    size_t count;
} wanted;

static void see_type(void *user, eice_str name)
{
    wanted *w = (wanted *)user;

    require(name.len > 0);
    w->count++;
    w->seen = w->seen || eice_str_eq(name, w->type);
}

static void compare_types(eice_str text, eice_str host, const key *k,
                          finding f)
{
    wanted w;

    w.type = eice_key_type(k->blob, k->len);
    w.seen = false;
    w.count = 0;
    eice_known_hosts_types(text, host, see_type, &w);
    if (f.verdict != EICE_HOSTKEY_REVOKED) {
        require((w.count == 0) == (f.verdict == EICE_HOSTKEY_UNKNOWN));
        require(w.seen == (f.verdict == EICE_HOSTKEY_MATCH
                           || f.verdict == EICE_HOSTKEY_CHANGED));
    }
}

/* With a line of ours behind it the key is known. */
static void append(eice_str text, eice_str host, const key *k, finding f)
{
    const size_t cap = text.len + 8192;
    char *memory = (char *)malloc(cap);
    eice_buf b;
    finding after;

    require(memory != NULL);
    eice_buf_init(&b, memory, cap);
    eice_put(&b, text);
    eice_put_byte(&b, '\n');
    eice_known_hosts_line(&b, host, k->blob, k->len, eice_str_c(""));
    if (!b.overflow) {
        after = look(eice_buf_str(&b), host, k);
        require(after.verdict == (f.verdict == EICE_HOSTKEY_REVOKED
                                      ? EICE_HOSTKEY_REVOKED
                                      : EICE_HOSTKEY_MATCH));
    }
    free(memory);
}

/* A console that shows our key last shows our key, whatever came before. */
static void console(eice_str text, const key *k)
{
    const size_t cap = text.len + 8192;
    char *memory = (char *)malloc(cap);
    eice_buf b;

    require(memory != NULL);
    (void)eice_console_check(text, k->blob, k->len);
    eice_buf_init(&b, memory, cap);
    eice_put(&b, text);
    eice_put_c(&b, "\n-----BEGIN SSH HOST KEY KEYS-----\r\n");
    eice_key_line(&b, k->blob, k->len, eice_str_c("root"));
    eice_put_c(&b, "-----END SSH HOST KEY KEYS-----\r\n");
    require(b.overflow
            || eice_console_check(eice_buf_str(&b), k->blob, k->len)
                   == EICE_CONSOLE_MATCH);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static key k;
    eice_str text = eice_str_make(data, size);
    eice_str host;
    finding f;

    if (size > 65536) {
        return 0;
    }
    host = eice_str_cut(&text, '\n');
    read_key(&k, eice_str_cut(&text, '\n'));
    f = look(text, host, &k);
    if (f.line > 0) { /* the line that decides decides alone */
        const finding one = look(line_of(text, f.line), host, &k);

        require(one.verdict == f.verdict && one.line == 1);
    }
    compare_types(text, host, &k, f);
    console(text, &k);
    if (host.len < 299) {
        append(text, host, &k, f);
    }
    return 0;
}
