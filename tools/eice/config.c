/* $XDG_CONFIG_HOME/eice/config: what is known of targets, by the names the
 * user gives them. A section a target; its keys are long options. */
#include "cli.h"

#define CONFIG_MAX (1024u * 1024u)

bool cli_config_path(char *out, size_t cap)
{
    const char *base = getenv("XDG_CONFIG_HOME");

    if (base != NULL && base[0] == '/') {
        return (size_t)snprintf(out, cap, "%s/eice/config", base) < cap;
    }
    return eice_posix_expand("~/.config/eice/config", out, cap);
}

/* Keys that a section may have, and where they go. A target of its own makes
 * the section's name an alias. */
#define KEY(name, field) {name, offsetof(eice_conn_opts, field)}

static const struct {
    const char *name;
    size_t offset;
} keys[] = {
    KEY("target", target),           KEY("user", user),
    KEY("region", region),           KEY("profile", profile),
    KEY("endpoint-id", endpoint_id), KEY("endpoint-dns", endpoint_dns),
    KEY("private-ip", private_ip),
};

const char *cli_keep(eice_str text)
{
    static struct kept {
        struct kept *before;
        char text[1];
    } *all;
    struct kept *k = (struct kept *)malloc(sizeof *k + text.len);

    if (k == NULL) {
        return NULL;
    }
    memcpy(k->text, text.ptr, text.len);
    k->text[text.len] = 0;
    k->before = all;
    all = k;
    return k->text;
}

/* What an option has set stays. */
static void set_key(cli *c, eice_str name, eice_str value)
{
    const char **at;
    size_t i;

    for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        at = (const char **)(void *)((char *)&c->conn + keys[i].offset);
        if (eice_str_is(name, keys[i].name)
            && (*at == NULL || keys[i].offset == 0
                || strcmp(keys[i].name, "target") == 0)) {
            *at = cli_keep(value);
        }
    }
}

static bool read_config(eice_blob *text)
{
    char path[1024];
    eice_error e;
    bool absent = false;

    memset(text, 0, sizeof *text);
    memset(&e, 0, sizeof e);
    return cli_config_path(path, sizeof path)
           && eice_posix_read_file(path, CONFIG_MAX, text, &absent, &e)
                  == EICE_OK
           && !absent;
}

/* The lines of a section, without its head; empty when there is none. `from`
 * and `to` get where it begins and ends, head included. */
static eice_str section_of(eice_str text, const char *name, size_t *from,
                           size_t *to)
{
    eice_str rest = text;
    eice_str found = eice_str_c("");
    bool in = false;

    *from = *to = text.len;
    while (rest.len > 0) {
        const size_t at = text.len - rest.len;
        const eice_str line = eice_str_trim(eice_str_cut(&rest, '\n'));

        if (line.len >= 2 && line.ptr[0] == '[') {
            if (in) {
                *to = at;
                found.len = (size_t)(text.ptr + at - found.ptr);
                return found;
            }
            in = eice_str_is(eice_str_make(line.ptr + 1, line.len - 2), name);
            if (in) {
                *from = at;
                found = rest;
            }
        }
    }
    return found;
}

void cli_config_apply(cli *c)
{
    eice_blob text;
    eice_str rest;
    size_t from;
    size_t to;

    memset(&text, 0, sizeof text);
    if (!c->unconfigured && c->conn.target != NULL && c->conn.target[0] != 0
        && read_config(&text)) {
        rest = section_of(eice_str_make((const char *)text.ptr, text.len),
                          c->conn.target, &from, &to);
        while (rest.len > 0) {
            eice_str line = eice_str_trim(eice_str_cut(&rest, '\n'));
            const eice_str name = eice_str_trim(eice_str_cut(&line, '='));

            if (name.len > 0 && name.ptr[0] != '#') {
                c->configured = true;
                set_key(c, name, eice_str_trim(line));
            }
        }
    }
    eice_blob_free(&text);
}

/* The value of a key in a section. */
static eice_str value_of(eice_str section, eice_str key)
{
    while (section.len > 0) {
        eice_str line = eice_str_cut(&section, '\n');
        const eice_str name = eice_str_trim(eice_str_cut(&line, '='));

        if (name.len > 0 && eice_str_eq(name, key)) {
            return eice_str_trim(line);
        }
    }
    return eice_str_c("");
}

bool cli_config_get(const char *name, const char *key, char *out, size_t cap)
{
    eice_blob text;
    size_t from;
    size_t to;

    out[0] = 0;
    if (read_config(&text)) {
        const eice_str all = eice_str_make((const char *)text.ptr, text.len);

        eice_copy_text(out, cap, value_of(section_of(all, name, &from, &to),
                                          eice_str_c(key)));
    }
    eice_blob_free(&text);
    return out[0] != 0;
}

bool cli_config_knows(const char *id)
{
    eice_blob text;
    eice_str rest;
    bool found = false;

    (void)read_config(&text);
    rest = eice_str_make((const char *)text.ptr, text.len);
    while (rest.len > 0 && !found) {
        found = eice_str_is(value_of(eice_str_cut(&rest, '\n'),
                                     eice_str_c("target")), id);
    }
    eice_blob_free(&text);
    return found;
}

bool cli_config_uses(const char *endpoint, const char *id, char *name,
                     size_t cap)
{
    eice_blob text;
    eice_str rest;
    eice_str section;
    eice_str target;
    size_t from;
    size_t to;
    bool found = false;

    (void)read_config(&text);
    rest = eice_str_make((const char *)text.ptr, text.len);
    while (rest.len > 0 && !found) {
        const eice_str line = eice_str_trim(eice_str_cut(&rest, '\n'));

        if (line.len >= 2 && line.ptr[0] == '[') {
            eice_copy_text(name, cap,
                           eice_str_make(line.ptr + 1, line.len - 2));
            section = section_of(eice_str_make((const char *)text.ptr,
                                               text.len), name, &from, &to);
            target = value_of(section, eice_str_c("target"));
            found = target.len > 0 && !eice_str_is(target, id)
                    && eice_str_is(value_of(section,
                                            eice_str_c("endpoint-id")),
                                   endpoint);
        }
    }
    eice_blob_free(&text);
    return found;
}

/* ---- what enroll wrote ------------------------------------------------- */

/* A section, or a stanza of ssh_config, has a line with this word, the
 * instance, the Region, a sum of the profile's name, and a sum of each line
 * that was written. What is changed by hand is no longer one of them. */
#define MARK "# eice enroll: "
#define MARK_LEN (sizeof MARK - 1)

static uint32_t sum_of(eice_str s) /* FNV-1a */
{
    uint32_t sum = 2166136261u;
    size_t i;

    for (i = 0; i < s.len; i++) {
        sum = (sum ^ (unsigned char)s.ptr[i]) * 16777619u;
    }
    return sum;
}

static uint32_t profile_of(const cli_mark *m)
{
    return sum_of(eice_str_c(m->profile != NULL ? m->profile : ""));
}

void cli_mark_put(eice_buf *b, const cli_mark *m, eice_str lines)
{
    eice_putf(b, MARK "%s %s %u", m->id, m->region, (unsigned)profile_of(m));
    while (lines.len > 0) {
        eice_putf(b, " %u", (unsigned)sum_of(
                                eice_str_trim(eice_str_cut(&lines, '\n'))));
    }
    eice_put_byte(b, '\n');
}

static bool begins(eice_str line, const char *word)
{
    const size_t n = strlen(word);

    return line.len >= n
           && eice_str_eq_nocase(eice_str_make(line.ptr, n),
                                 eice_str_make(word, n));
}

static bool is_head(eice_str line, bool stanza)
{
    return stanza ? begins(line, "host ") || begins(line, "match ")
                        || begins(line, "host=")
                  : begins(line, "[");
}

/* One block off *text: what begins with a head, or lies before the first. */
static eice_str cut_block(eice_str *text, bool stanza)
{
    eice_str rest = *text;
    eice_str next;
    size_t end;

    (void)eice_str_cut(&rest, '\n');
    do {
        end = text->len - rest.len;
        next = eice_str_trim(eice_str_cut(&rest, '\n'));
    } while (end < text->len && !is_head(next, stanza));
    rest = eice_str_make(text->ptr, end);
    *text = eice_str_make(text->ptr + end, text->len - end);
    return rest;
}

/* What the block's mark says; "" where it has none. */
static eice_str mark_of(eice_str block)
{
    while (block.len > 0) {
        const eice_str line = eice_str_trim(eice_str_cut(&block, '\n'));

        if (begins(line, MARK)) {
            return eice_str_make(line.ptr + MARK_LEN, line.len - MARK_LEN);
        }
    }
    return eice_str_c("");
}

static bool has_word(eice_str words, uint32_t sum)
{
    uint64_t n;

    while (words.len > 0) {
        if (eice_str_u64(eice_str_cut(&words, ' '), UINT32_MAX, &n)
            && n == sum) {
            return true;
        }
    }
    return false;
}

static bool mark_fits(eice_str mark, const cli_mark *m)
{
    const eice_str id = eice_str_cut(&mark, ' ');
    const eice_str region = eice_str_cut(&mark, ' ');

    return m->id != NULL ? eice_str_is(id, m->id)
                         : eice_str_is(region, m->region)
                               && has_word(eice_str_cut(&mark, ' '),
                                           profile_of(m));
}

/* A line that goes: the mark, one of those it has the sum of, or one of a key
 * that is written anew. */
static bool goes(eice_str line, eice_str mark, eice_str anew)
{
    eice_str rest = line;
    const eice_str key = eice_str_trim(eice_str_cut(&rest, '='));

    return begins(line, MARK) || has_word(mark, sum_of(line))
           || (anew.len > 0 && value_of(anew, key).len > 0);
}

/* The lines of a block that stay; how many of them are no comment. */
static unsigned put_rest(eice_blob *out, eice_str block, eice_str anew,
                         bool *good)
{
    const eice_str mark = mark_of(block);
    unsigned left = 0;

    (void)eice_str_cut(&block, '\n');
    while (block.len > 0) {
        const eice_str line = eice_str_cut(&block, '\n');
        const eice_str word = eice_str_trim(line);

        if (!goes(word, mark, anew)) {
            left += word.len > 0 && word.ptr[0] != '#';
            *good = *good
                    && eice_blob_add(out, line.ptr, line.len, CONFIG_MAX)
                    && eice_blob_add(out, "\n", 1, CONFIG_MAX);
        }
    }
    return left;
}

static bool add_text(eice_blob *out, eice_str text)
{
    return eice_blob_add(out, text.ptr, text.len, CONFIG_MAX);
}

/* The end of a line, where there is none. */
static bool end_line(eice_blob *out)
{
    return out->len == 0 || out->ptr[out->len - 1] == '\n'
           || eice_blob_add(out, "\n", 1, CONFIG_MAX);
}

static bool write_config(const cli *c, const char *path, eice_blob *text,
                         bool good)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    good = good
           && eice_posix_write_file(path,
                                    eice_str_make((const char *)text->ptr,
                                                  text->len),
                                    &e)
                  == EICE_OK;
    if (!good) {
        eice_fail(&e, EICE_E_LIMIT, EICE_STAGE_LOCAL,
                  "%s would be larger than %u bytes", path, CONFIG_MAX);
        cli_report(c, &e);
    }
    eice_blob_free(text);
    return good;
}

bool cli_config_store(const cli *c, const char *name, const cli_mark *m,
                      eice_str lines)
{
    char memory[1024];
    char path[1024];
    eice_blob before;
    eice_blob after;
    eice_error e;
    eice_str old;
    eice_buf b;
    size_t from = 0;
    size_t to = 0;
    bool absent = false;
    bool good;

    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    memset(&e, 0, sizeof e);
    eice_buf_init(&b, memory, sizeof memory);
    eice_putf(&b, "[%s]\n", name);
    cli_mark_put(&b, m, lines);
    /* what cannot be read must not be written over */
    if (cli_config_path(path, sizeof path)) {
        (void)eice_posix_read_file(path, CONFIG_MAX, &before, &absent, &e);
    } else {
        eice_fail(&e, EICE_E_LIMIT, EICE_STAGE_LOCAL,
                  "the path of the configuration is too long");
    }
    if (e.code != EICE_OK) {
        eice_blob_free(&before);
        cli_report(c, &e);
        return false;
    }
    old = eice_str_make((const char *)before.ptr, before.len);
    (void)section_of(old, name, &from, &to);
    good = !b.overflow && add_text(&after, eice_str_make(old.ptr, from))
           && end_line(&after) && add_text(&after, eice_buf_str(&b))
           && add_text(&after, lines);
    (void)put_rest(&after, eice_str_make(old.ptr + from, to - from), lines,
                   &good);
    good = good
           && add_text(&after, eice_str_make(old.ptr + to, old.len - to));
    eice_blob_free(&before);
    return write_config(c, path, &after, good);
}

bool cli_stanza_store(const cli *c, const char *path, const cli_mark *m,
                      eice_str lines, bool *there)
{
    eice_str rest = lines;
    const eice_str head = eice_str_cut(&rest, '\n');
    char memory[512];
    eice_blob text;
    eice_error e;
    eice_str scan;
    eice_buf b;
    bool absent = false;
    bool good;

    memset(&text, 0, sizeof text);
    memset(&e, 0, sizeof e);
    eice_buf_init(&b, memory, sizeof memory);
    cli_mark_put(&b, m, rest);
    if (eice_posix_read_file(path, CONFIG_MAX, &text, &absent, &e)
        != EICE_OK) {
        cli_report(c, &e);
        return false;
    }
    scan = eice_str_make((const char *)text.ptr, text.len);
    for (*there = false; scan.len > 0 && !*there;) {
        *there = eice_str_eq(eice_str_trim(eice_str_cut(&scan, '\n')), head);
    }
    if (*there) {
        eice_blob_free(&text);
        return true;
    }
    good = end_line(&text) && add_text(&text, head)
           && add_text(&text, eice_str_c("\n    "))
           && add_text(&text, eice_buf_str(&b)) && add_text(&text, rest);
    return write_config(c, path, &text, good);
}

/* A block without what was written of it. */
static bool forget_block(eice_blob *after, eice_str block, cli_forgot *told,
                         void *user)
{
    eice_str head = block;
    eice_blob rest;
    bool good = true;
    unsigned left;

    memset(&rest, 0, sizeof rest);
    left = put_rest(&rest, block, eice_str_c(""), &good);
    head = eice_str_cut(&head, '\n');
    told(user, head, eice_str_make((const char *)rest.ptr,
                                   left > 0 ? rest.len : 0));
    good = good && (left == 0 || (add_text(after, head) && end_line(after)))
           && add_text(after, eice_str_make((const char *)rest.ptr,
                                            rest.len));
    eice_blob_free(&rest);
    return good;
}

bool cli_config_forget(const cli *c, const char *path, bool stanza,
                       const cli_mark *m, cli_forgot *told, void *user)
{
    eice_blob text;
    eice_blob after;
    eice_error e;
    eice_str scan;
    bool absent = false;
    bool good = true;

    memset(&text, 0, sizeof text);
    memset(&after, 0, sizeof after);
    memset(&e, 0, sizeof e);
    if (eice_posix_read_file(path, CONFIG_MAX, &text, &absent, &e)
        != EICE_OK) {
        cli_report(c, &e);
        return false;
    }
    scan = eice_str_make((const char *)text.ptr, text.len);
    while (scan.len > 0 && good) {
        const eice_str block = cut_block(&scan, stanza);

        good = mark_of(block).len > 0 && mark_fits(mark_of(block), m)
                   ? forget_block(&after, block, told, user)
                   : add_text(&after, block);
    }
    if (good && after.len == text.len) {
        eice_blob_free(&after);
    } else {
        good = write_config(c, path, &after, good);
    }
    eice_blob_free(&text);
    return good;
}
