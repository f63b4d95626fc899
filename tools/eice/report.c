/* What the user reads. */
#include "cli.h"

#include <stdarg.h>

void cli_json_text(FILE *out, const char *text)
{
    char escaped[2048];
    eice_buf b;

    eice_buf_init(&b, escaped, sizeof escaped);
    eice_put_json(&b, eice_str_c(text));
    fprintf(out, "\"%s\"", eice_buf_c(&b));
}

bool cli_contains(const char *text, const char *word)
{
    const size_t n = strlen(word);

    while (*text != 0 && strncmp(text, word, n) != 0) {
        text++;
    }
    return strncmp(text, word, n) == 0;
}

bool cli_contains_nocase(const char *text, const char *word)
{
    const size_t n = strlen(word);

    for (; strlen(text) >= n; text++) {
        if (eice_str_eq_nocase(eice_str_make(text, n),
                               eice_str_make(word, n))) {
            return true;
        }
    }
    return false;
}

bool cli_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && value[0] != 0) {
            return cli_contains(value, "UTF-8") || cli_contains(value, "utf8");
        }
    }
    return false;
}

void cli_say(const cli *c, const char *format, ...)
{
    va_list args;

    if (c->quiet) {
        return;
    }
    va_start(args, format);
    fputs("eice: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void json_member(const char *name, const char *text)
{
    if (text[0] != 0) {
        fprintf(stderr, ",\"%s\":", name);
        cli_json_text(stderr, text);
    }
}

static void report_json(const eice_error *e, const char *remedy)
{
    fprintf(stderr, "{\"error\":\"%s\",\"code\":%d", eice_err_name(e->code),
            (int)e->code);
    json_member("stage", eice_stage_name(e->stage));
    json_member("message", e->text);
    json_member("remedy", remedy);
    json_member("aws_code", e->aws_code);
    json_member("request_id", e->request_id);
    if (e->http_status != 0) {
        fprintf(stderr, ",\"http_status\":%d", e->http_status);
    }
    fprintf(stderr, ",\"retryable\":%s}\n", e->retryable ? "true" : "false");
}

static int aws_status = 255;

/* 253: configuration; 254: AWS said no; 255: anything else. */
static void note_status(const eice_error *e)
{
    const bool refused = e->aws_code[0] != 0 && e->stage != EICE_STAGE_UPGRADE;

    aws_status = e->stage == EICE_STAGE_CONFIG
                         || e->stage == EICE_STAGE_CREDENTIALS
                     ? 253
                 : refused || e->code == EICE_E_NO_INSTANCE ? 254
                                                            : 255;
}

int cli_aws_status(void)
{
    return aws_status;
}

void cli_report(const cli *c, const eice_error *e)
{
    const char *remedy = e->remedy[0] != 0 ? e->remedy
                                           : eice_err_remedy(e->code);

    note_status(e);
    if (c->json) {
        report_json(e, remedy);
        return;
    }
    fprintf(stderr, "eice: %s", e->text[0] != 0 ? e->text
                                                : eice_err_text(e->code));
    if (e->aws_code[0] != 0 && !cli_contains(e->text, e->aws_code)) {
        fprintf(stderr, " (%s)", e->aws_code);
    }
    fputc('\n', stderr);
    if (remedy[0] != 0) {
        fprintf(stderr, "eice: hint: %s\n", remedy);
    }
    if (e->request_id[0] != 0) {
        fprintf(stderr, "eice: request id %s\n", e->request_id);
    }
}

void cli_trail(const cli *c, const eice_conn *conn, size_t *seen)
{
    const eice_attempt *a;

    while ((a = eice_conn_attempt(conn, *seen)) != NULL) {
        ++*seen;
        if (a->warning) {
            cli_say(c, "warning: %s", a->what);
        } else if (c->verbose > 0) {
            fprintf(stderr, "eice: %6u ms %+6d ms  %-11s %s%s%s%s%s\n",
                    a->at_ms, (int)a->took_ms, eice_stage_name(a->stage),
                    a->what, a->code != EICE_OK ? ": " : "",
                    a->code != EICE_OK ? eice_err_text(a->code) : "",
                    a->request_id[0] != 0 ? " request id " : "",
                    a->request_id);
        }
    }
}
