/* Choosing from a list: with arrow keys and a filter on a terminal that can
 * move its cursor, by number on any other. Prompts go to stderr. */
#include "cli.h"

#include <poll.h>
#include <unistd.h>

#define MARGIN 7 /* number or marks, and a column for the cursor */

typedef struct picker {
    const cli_table *table;
    const char **list; /* its rows */
    size_t count;
    bool *chosen;
    cli_picks how;
    size_t width[CLI_COLUMNS];
    char filter[64];
    size_t at;      /* of those that fit */
    size_t top;     /* the first one shown */
    size_t lines;   /* on the screen now */
    size_t columns;
    size_t rows;    /* of the terminal */
} picker;

bool cli_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* Anew for each picture: the terminal may have got another size. */
static void measure(picker *p)
{
    eice_pty size;

    cli_term_size(STDERR_FILENO, &size);
    p->columns = size.columns > MARGIN ? size.columns : MARGIN + 1;
    p->rows = size.rows;
    cli_table_measure(p->table, p->width, p->columns - MARGIN);
}

static bool moves_cursor(void)
{
    const char *term = getenv("TERM");

    return term != NULL && term[0] != 0 && strcmp(term, "dumb") != 0;
}

/* ---- one line ---------------------------------------------------------- */

/* An empty answer is the default; false at the end of the input and for q. A
 * line is read whole, so that the rest of a long one answers nothing else; the
 * beginning of one would be another answer. */
bool cli_prompt(const char *question, const char *otherwise, char *out,
                size_t cap)
{
    char line[4097]; /* what a terminal takes at most */
    bool fits = false;

    while (!fits) {
        fputs(question, stderr);
        if (otherwise[0] != 0) {
            fprintf(stderr, " [%s]", otherwise);
        }
        fputs(": ", stderr);
        fflush(stderr);
        if (!cli_readable(STDIN_FILENO)
            || fgets(line, sizeof line, stdin) == NULL) {
            fputc('\n', stderr);
            return false;
        }
        line[strcspn(line, "\r\n")] = 0;
        fits = strlen(line) < cap;
        if (!fits) {
            fprintf(stderr, "longer than %u bytes\n", (unsigned)cap - 1);
        }
    }
    snprintf(out, cap, "%s", line[0] != 0 ? line : otherwise);
    return strcmp(line, "q") != 0;
}

bool cli_confirm(const char *question)
{
    char answer[16];

    return cli_prompt(question, "y", answer, sizeof answer)
           && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- by number --------------------------------------------------------- */

static bool take_numbers(picker *p, const char *text)
{
    eice_str rest = eice_str_c(text);
    bool any = false;

    if (p->how == CLI_PICK_ANY && strcmp(text, "none") == 0) {
        return true;
    }
    while (rest.len > 0) {
        const eice_str word = eice_str_trim(eice_str_cut(&rest, ','));
        uint64_t n;

        if (!eice_str_u64(word, p->count, &n) || n == 0
            || (any && p->how == CLI_PICK_ONE)) {
            memset(p->chosen, 0, p->count * sizeof *p->chosen);
            return false;
        }
        p->chosen[n - 1] = true;
        any = true;
    }
    return any;
}

static bool pick_by_number(picker *p, const char *title)
{
    char answer[2048];
    size_t i;

    fprintf(stderr, "%s\n      ", title);
    for (i = 0; i <= p->count; i++) {
        if (i > 0) {
            fprintf(stderr, "%4u  ", (unsigned)i);
        }
        cli_table_row(stderr, p->table, i > 0 ? p->list[i - 1] : NULL,
                      p->width, false);
        fputc('\n', stderr);
    }
    do {
        if (!cli_prompt(p->how == CLI_PICK_ONE
                            ? "number, q to end"
                            : "numbers with commas between them, q to end",
                        p->how == CLI_PICK_ANY ? "none" : "1", answer,
                        sizeof answer)) {
            return false;
        }
    } while (!take_numbers(p, answer));
    return true;
}

/* ---- with arrow keys --------------------------------------------------- */

/* Columns that are not shown count, too. */
static bool fits(const picker *p, size_t i)
{
    const char *cell = p->list[i];
    size_t k;

    for (k = 0; k < p->table->count; k++, cell += strlen(cell) + 1) {
        if (cli_contains_nocase(cell, p->filter)) {
            return true;
        }
    }
    return false;
}

static size_t fitting(const picker *p)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < p->count; i++) {
        n += fits(p, i);
    }
    return n;
}

/* The index of number `n` of those that fit. */
static size_t index_of(const picker *p, size_t n)
{
    size_t i;

    for (i = 0; i < p->count; i++) {
        if (fits(p, i) && n-- == 0) {
            break;
        }
    }
    return i;
}

/* Cut to the width: a line that wraps would spoil the count of lines. */
static void put_line(const picker *p, const char *text)
{
    fprintf(stderr, "%.*s\033[K\r\n", (int)p->columns - 1, text);
}

static void put_row(const picker *p, const char *mark, const char *row)
{
    fputs(mark, stderr);
    cli_table_row(stderr, p->table, row, p->width, false);
    fputs("\033[K\r\n", stderr);
}

static void draw(picker *p, const char *title)
{
    static const char *const help[] = {
        "enter, q", "space marks, enter, q", "space marks, enter: these, q",
    };
    const size_t n = fitting(p);
    const size_t height = p->rows > 7 ? p->rows - 5 : 2;
    char status[160];
    size_t i;

    if (p->lines > 0) {
        fprintf(stderr, "\033[%uA", (unsigned)p->lines);
    }
    p->at = n == 0 ? 0 : p->at < n ? p->at : n - 1;
    p->top = p->at < p->top             ? p->at
             : p->at >= p->top + height ? p->at - height + 1
                                        : p->top;
    put_line(p, title);
    put_row(p, "   ", NULL);
    for (i = p->top; i < n && i < p->top + height; i++) {
        const size_t k = index_of(p, i);

        put_row(p, i == p->at ? (p->chosen[k] ? ">* " : ">  ")
                              : (p->chosen[k] ? " * " : "   "),
                p->list[k]);
    }
    snprintf(status, sizeof status, "%u of %u%s%s  (type to filter, %s)",
             (unsigned)n, (unsigned)p->count,
             p->filter[0] != 0 ? ", filter: " : "", p->filter, help[p->how]);
    put_line(p, status);
    p->lines = i - p->top + 3;
    fputs("\033[J", stderr);
    fflush(stderr);
}

typedef enum key { KEY_UP = 256, KEY_DOWN, KEY_OTHER, KEY_END } key;

/* A key, or an arrow: ESC [ A, with parameters before the letter at times. A
 * lone ESC ends, as q does. */
static int read_key(void)
{
    unsigned char b[3];
    struct pollfd more;

    if (!cli_readable(STDIN_FILENO) || read(STDIN_FILENO, b, 1) != 1) {
        return KEY_END;
    }
    if (b[0] != 27) {
        return b[0];
    }
    more.fd = STDIN_FILENO;
    more.events = POLLIN;
    if (poll(&more, 1, 50) != 1 || read(STDIN_FILENO, b, 2) != 2) {
        return KEY_END;
    }
    while (b[1] >= ' ' && b[1] < '@' && poll(&more, 1, 50) == 1
           && read(STDIN_FILENO, b + 1, 1) == 1) {
    }
    return b[1] == 'A' ? KEY_UP : b[1] == 'B' ? KEY_DOWN : KEY_OTHER;
}

static void type_filter(picker *p, int k)
{
    const size_t len = strlen(p->filter);

    if ((k == 127 || k == 8) && len > 0) {
        p->filter[len - 1] = 0;
    } else if (k > ' ' && k < 127 && len + 1 < sizeof p->filter) {
        p->filter[len] = (char)k;
        p->filter[len + 1] = 0;
    }
    p->at = 0;
}

/* -1: go on; otherwise whether something was chosen. */
static int take_key(picker *p, int k)
{
    const size_t n = fitting(p);
    const size_t at = index_of(p, p->at);
    bool any = p->how == CLI_PICK_ANY;
    size_t i;

    if (k == KEY_END || k == 3 || k == 4 || (k == 'q' && p->filter[0] == 0)) {
        return 0;
    }
    if (k == KEY_UP || k == KEY_DOWN) {
        p->at += k == KEY_DOWN ? p->at + 1 < n : (size_t)0 - (p->at > 0);
    } else if (k == ' ' && p->how != CLI_PICK_ONE && at < p->count) {
        p->chosen[at] = !p->chosen[at];
    } else if (k == '\r' || k == '\n') {
        for (i = 0; i < p->count; i++) {
            any = any || p->chosen[i];
        }
        if (!any && at < p->count) {
            p->chosen[at] = true;
            any = true;
        }
        return any ? 1 : -1;
    } else if (k != KEY_OTHER) {
        type_filter(p, k);
    }
    return -1;
}

static bool pick_by_keys(picker *p, const char *title)
{
    int answer = -1;

    if (!cli_term_raw(STDIN_FILENO)) {
        return pick_by_number(p, title);
    }
    while (answer < 0) {
        measure(p);
        draw(p, title);
        answer = take_key(p, read_key());
    }
    cli_term_restore();
    return answer == 1;
}

bool cli_pick(const char *title, const cli_table *t, bool *chosen,
              cli_picks how)
{
    picker p;
    bool good;

    memset(&p, 0, sizeof p);
    memset(chosen, 0, t->rows * sizeof *chosen);
    p.table = t;
    p.list = cli_table_rows(t);
    p.count = t->rows;
    p.chosen = chosen;
    p.how = how;
    if (p.count == 0 || p.list == NULL) {
        free(p.list);
        return false;
    }
    measure(&p);
    good = moves_cursor() ? pick_by_keys(&p, title)
                          : pick_by_number(&p, title);
    free(p.list);
    return good;
}
