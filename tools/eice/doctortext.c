/* What eice doctor found, for people and as JSON. */
#include "doctor.h"

#include <unistd.h>

#define NARROW 60u
#define UNLIMITED 100000u

/* ---- JSON -------------------------------------------------------------- */

static void json_field(const char *name, const char *text)
{
    if (text[0] != 0) {
        printf(",\"%s\":", name);
        cli_json_text(stdout, text);
    }
}

static void report_json(const rung *r, verdict v, const finding *f)
{
    static const char *const words[] = {"ok", "fail", "warning", "skipped"};

    printf("%s{\"rung\":\"%s\",\"result\":\"%s\"",
           r == doctor_ladder ? "" : ",", r->name, words[v]);
    if (f->ms != 0) {
        printf(",\"ms\":%u", (unsigned)f->ms);
    }
    json_field("evidence", f->evidence);
    json_field("cause", f->cause);
    json_field("fix", f->fix);
    json_field("permission", f->permission);
    json_field("why", f->why);
    if (f->may >= 0) {
        printf(",\"may\":%s", f->may == 1 ? "true" : "false");
    }
    json_field("may_not", f->may_not);
    putchar('}');
}

void doctor_report_begin(const cli *c, const char *target)
{
    if (c->json) {
        fputs("{\"target\":", stdout);
        cli_json_text(stdout, target);
        fputs(",\"rungs\":[", stdout);
    }
}

void doctor_report_end(const cli *c, bool good)
{
    if (c->json) {
        printf("],\"ok\":%s}\n", good ? "true" : "false");
    }
}

/* ---- text -------------------------------------------------------------- */

static size_t width_of(int fd)
{
    eice_pty size;

    if (!isatty(fd)) {
        return UNLIMITED;
    }
    cli_term_size(fd, &size);
    return size.columns;
}

/* Words, from a column on; what does not fit goes on below the first, or
 * further left where there is little room. */
static void put_words(const char *text, size_t at)
{
    const size_t width = width_of(STDOUT_FILENO);
    const size_t left = width < NARROW ? 4 : at;
    eice_str rest = eice_str_c(text);
    size_t column = at;

    while (rest.len > 0) {
        const eice_str word = eice_str_cut(&rest, ' ');

        if (column > left && column + 1 + word.len > width) {
            printf("\n%*s", (int)left, "");
            column = left;
        } else if (word.ptr != text) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word.len, word.ptr);
        column += word.len;
    }
    putchar('\n');
}

static void put_line(const char *label, const char *text)
{
    if (text[0] != 0) {
        printf("  %-7s", label);
        put_words(text, 9);
    }
}

static void put_sign(verdict v)
{
    static const char *const marks[2][4] = {
        {"ok  ", "FAIL", "warn", "-   "},
        {"\xe2\x9c\x93", "\xe2\x9c\x97", "!", "\xe2\x80\x93"},
    };
    static const char *const colours[] = {"32", "31", "33", "2"};
    const char *mark = marks[cli_utf8()][v];

    printf(cli_colour(STDOUT_FILENO) ? "\033[%s" "m%s\033[m" : "%.0s%s",
           colours[v], mark);
}

void doctor_report(const cli *c, const rung *r, verdict v, const finding *f)
{
    char text[sizeof f->evidence + 32];

    if (c->json) {
        report_json(r, v, f);
        return;
    }
    put_sign(v);
    printf(" %-13s ", r->name);
    snprintf(text, sizeof text, f->ms != 0 ? "%s (%u ms)" : "%s", f->evidence,
             (unsigned)f->ms);
    put_words(text, cli_utf8() ? 16 : 19);
    put_line("cause:", f->cause);
    if (f->fix[0] != 0) {
        printf("  fix:   %s\n", f->fix); /* in one line: to be copied */
    }
    put_line("needs:", f->permission);
    put_line("why:", f->why);
    if (f->may == 1) {
        put_line("may:", "this identity may do that (dry run)");
    } else if (f->may == 0) {
        printf("  may:   ");
        fputs("not this identity: ", stdout);
        put_words(f->may_not, 28);
    }
    fflush(stdout);
}

void doctor_progress(const cli *c, const char *what)
{
    const char *term = getenv("TERM");

    if (c->json || c->quiet || c->verbose > 0 || !isatty(STDERR_FILENO)
        || !isatty(STDOUT_FILENO) || term == NULL
        || strcmp(term, "dumb") == 0) {
        return;
    }
    fprintf(stderr, what != NULL ? "\r\033[K%s ..." : "\r\033[K%s",
            what != NULL ? what : "");
}
