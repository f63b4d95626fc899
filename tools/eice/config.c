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
            *at = strndup(value.ptr, value.len);
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
    if (c->conn.target != NULL && c->conn.target[0] != 0
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

bool cli_config_store(const cli *c, const char *name, eice_str lines)
{
    char path[1024];
    eice_blob before;
    eice_blob after;
    eice_str old;
    eice_error e;
    size_t from = 0;
    size_t to = 0;
    bool good;

    memset(&after, 0, sizeof after);
    (void)read_config(&before);
    old = eice_str_make((const char *)before.ptr, before.len);
    (void)section_of(old, name, &from, &to);
    good = cli_config_path(path, sizeof path)
           && eice_blob_add(&after, old.ptr, from, CONFIG_MAX)
           && eice_blob_add(&after, old.ptr + to, old.len - to, CONFIG_MAX);
    if (good && lines.len > 0) {
        good = eice_blob_add(&after, "[", 1, CONFIG_MAX)
               && eice_blob_add(&after, name, strlen(name), CONFIG_MAX)
               && eice_blob_add(&after, "]\n", 2, CONFIG_MAX)
               && eice_blob_add(&after, lines.ptr, lines.len, CONFIG_MAX);
    }
    memset(&e, 0, sizeof e);
    good = good
           && eice_posix_write_file(path,
                                    eice_str_make((const char *)after.ptr,
                                                  after.len),
                                    &e)
                  == EICE_OK;
    if (!good) {
        cli_report(c, &e);
    }
    eice_blob_free(&before);
    eice_blob_free(&after);
    return good;
}
