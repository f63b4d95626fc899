/* Lists: a table that fits the terminal, or JSON. */
#include "cli.h"

#include <unistd.h>

#define TABLE_GAP 2
#define TABLE_UNLIMITED 100000u

bool cli_table_put(cli_table *t, eice_str text)
{
    return eice_blob_add(&t->cells, text.ptr, text.len, CLI_TABLE_MAX)
           && eice_blob_add(&t->cells, "", 1, CLI_TABLE_MAX);
}

bool cli_table_item(cli_table *t, size_t column, const eice_item *item)
{
    const char *const path = t->columns[column].path;
    char text[1024];

    if (strncmp(path, "tag:", 4) == 0) {
        eice_item_tag(item, path + 4, text, sizeof text);
    } else {
        eice_item_get(item, path, text, sizeof text);
    }
    return cli_table_put(t, eice_str_c(text));
}

static bool table_part(cli_table *t, const char *text)
{
    return eice_blob_add(&t->cells, text, strlen(text), CLI_TABLE_MAX);
}

static void table_put_json(eice_buf *b, const char *text)
{
    eice_put_byte(b, '"');
    eice_put_json(b, eice_str_c(text));
    eice_put_byte(b, '"');
}

bool cli_table_list(cli_table *t, const eice_item *item, const char *path,
                    const char *first, const char *second)
{
    static char memory[8192]; /* for one pair: 50 of them may be 100 kB */
    bool good = table_part(t, second != NULL ? "{" : "[");
    const size_t begin = t->cells.len;
    eice_items list;
    eice_item one;
    char text[1025]; /* 256 characters of 4 bytes */
    eice_buf b;

    eice_items_in(item, path, &list);
    while (good && eice_items_next(&list, &one)) {
        eice_buf_init(&b, memory, sizeof memory);
        eice_put_c(&b, t->cells.len > begin ? "," : "");
        table_put_json(&b, eice_item_get(&one, first, text, sizeof text));
        if (second != NULL) {
            eice_put_byte(&b, ':');
            table_put_json(&b, eice_item_get(&one, second, text, sizeof text));
        }
        good = !b.overflow && table_part(t, eice_buf_c(&b));
    }
    return good && cli_table_put(t, eice_str_c(second != NULL ? "}" : "]"));
}

void cli_age(int64_t seconds, char *out, size_t cap)
{
    static const struct {
        int64_t most;
        int64_t unit;
        char letter;
    } units[] = {
        {7200, 60, 'm'}, {172800, 3600, 'h'}, {63072000, 86400, 'd'},
        {INT64_MAX, 31536000, 'y'},
    };
    size_t i = 0;

    while (seconds >= units[i].most) {
        i++;
    }
    snprintf(out, cap, "%lld%c",
             (long long)(seconds > 0 ? seconds / units[i].unit : 0),
             units[i].letter);
}

void cli_table_free(cli_table *t)
{
    eice_blob_free(&t->cells);
    t->rows = 0;
}

/* Walks the cells, a row after the other; false at the end. */
typedef struct table_walk {
    const cli_table *table;
    const char *next;
    const char *cell;
    size_t column;
} table_walk;

static void walk_begin(table_walk *w, const cli_table *t)
{
    w->table = t;
    w->next = (const char *)t->cells.ptr;
    w->column = t->count;
}

static bool walk_next(table_walk *w)
{
    const cli_table *const t = w->table;

    if (t->cells.len == 0
        || w->next >= (const char *)t->cells.ptr + t->cells.len) {
        return false;
    }
    w->cell = w->next;
    w->next += strlen(w->next) + 1;
    w->column = w->column + 1 < t->count ? w->column + 1 : 0;
    return true;
}

static const char *cell_at(const char *row, size_t column)
{
    while (column-- > 0) {
        row += strlen(row) + 1;
    }
    return row;
}

const char *cli_table_value(const cli_table *t, const char *row,
                            const char *json)
{
    size_t i = 0;

    while (i + 1 < t->count
           && (t->columns[i].json == NULL
               || strcmp(t->columns[i].json, json) != 0)) {
        i++;
    }
    return cell_at(row, i);
}

const char **cli_table_rows(const cli_table *t)
{
    const char **row = (const char **)calloc(t->rows + 1, sizeof *row);
    const char *cell = (const char *)t->cells.ptr;
    size_t i;

    for (i = 0; row != NULL && i < t->rows; i++) {
        row[i] = cell;
        cell = cell_at(cell, t->count);
    }
    return row;
}

/* A time as the age it is on the table. */
static const char *shown(const cli_column *c, const char *cell, char age[24])
{
    int64_t then;

    if (c->kind != 'a' || !eice_time_iso_parse(eice_str_c(cell), &then)) {
        return cell;
    }
    cli_age(eice_posix_now().unix_s - then, age, 24);
    return age;
}

/* ---- order ------------------------------------------------------------- */

/* Runs of digits by their value: web-9 before web-10, addresses as numbers. */
static int compare_text(const char *a, const char *b)
{
    static const char digits[] = "0123456789";

    while (*a != 0 && (*a == *b || (strspn(a, digits) > 0
                                    && strspn(b, digits) > 0))) {
        size_t n;
        size_t m;

        if (strspn(a, digits) == 0) {
            a++;
            b++;
            continue;
        }
        a += strspn(a, "0");
        b += strspn(b, "0");
        n = strspn(a, digits);
        m = strspn(b, digits);
        if (n != m || memcmp(a, b, n) != 0) {
            return n != m ? (n < m ? -1 : 1) : memcmp(a, b, n);
        }
        a += n;
        b += n;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

/* Cells of one column; what is empty comes last in any order. The younger of
 * two comes first. */
static int compare_cells(const cli_table *t, const char *a, const char *b,
                         size_t column, bool down)
{
    const char kind = t->columns[column].kind;
    int order;

    a = cell_at(a, column);
    b = cell_at(b, column);
    if (*a == 0 || *b == 0) {
        return (*a == 0) - (*b == 0);
    }
    order = kind == 'i' || kind == 'a' ? strcmp(a, b) : compare_text(a, b);
    return down != (kind == 'a') ? -order : order;
}

/* The column by its title, or by a part of its name in JSON. */
static size_t find_column(const cli_table *t, const char *word)
{
    size_t i;
    size_t k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < t->count; i++) {
            const cli_column *const c = &t->columns[i];

            if (k == 0 ? c->title != NULL
                             && eice_str_is_nocase(eice_str_c(word), c->title)
                       : c->kind != 'r' && word[0] != 0
                             && cli_contains_nocase(c->json, word)) {
                return i;
            }
        }
    }
    return t->count;
}

/* What was asked for, then names, then ids. */
static int compare_rows(const cli_table *t, const char *a, const char *b,
                        size_t by, bool down)
{
    size_t i;
    int order = by < t->count ? compare_cells(t, a, b, by, down) : 0;

    for (i = 0; i < 2 && order == 0; i++) {
        order = compare_cells(t, a, b, find_column(t, i == 0 ? "NAME" : "ID"),
                              down && by == t->count);
    }
    return order;
}

/* Shell's way: the rows differ by their ids, so it need not be stable. */
static void sort_rows(const cli_table *t, const char **row, size_t by,
                      bool down)
{
    size_t gap;
    size_t i;
    size_t k;

    for (gap = t->rows / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (i = gap; i < t->rows; i++) {
            const char *const one = row[i];

            for (k = i; k >= gap
                        && compare_rows(t, row[k - gap], one, by, down) > 0;
                 k -= gap) {
                row[k] = row[k - gap];
            }
            row[k] = one;
        }
    }
}

bool cli_table_sort(const cli *c, cli_table *t)
{
    const char *const word = c->sort != NULL ? c->sort : "";
    const char **row = cli_table_rows(t);
    bool good = row != NULL;
    eice_blob cells;
    size_t i;

    memset(&cells, 0, sizeof cells);
    if (good) {
        sort_rows(t, row,
                  word[0] != 0 ? find_column(t, word + (word[0] == '-'))
                               : t->count,
                  c->reverse != (word[0] == '-'));
    }
    for (i = 0; good && i < t->rows; i++) {
        good = eice_blob_add(&cells, row[i],
                             (size_t)(cell_at(row[i], t->count) - row[i]),
                             CLI_TABLE_MAX);
    }
    free(row);
    if (good) {
        eice_blob_free(&t->cells);
        t->cells = cells;
    } else {
        eice_blob_free(&cells);
    }
    return good;
}

bool cli_table_sorts(const cli *c, const cli_table *t)
{
    const char *const word = c->sort != NULL ? c->sort : "id";
    char what[160];
    eice_buf b;
    size_t i;

    if (find_column(t, word + (word[0] == '-')) < t->count) {
        return true;
    }
    eice_buf_init(&b, what, sizeof what);
    eice_put_c(&b, "--sort takes one of");
    for (i = 0; i < t->count; i++) {
        if (t->columns[i].title != NULL) {
            eice_putf(&b, "%s %s", i > 0 ? "," : "", t->columns[i].title);
        }
    }
    cli_usage_error(c, eice_buf_c(&b), c->sort);
    return false;
}

/* Characters, as far as UTF-8 tells: bytes that begin one. */
static size_t table_length(const char *text)
{
    size_t n = 0;

    for (; *text != 0; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

bool cli_colour(int fd)
{
    const char *const term = getenv("TERM");
    const char *const no = getenv("NO_COLOR");

    return isatty(fd) && term != NULL && strcmp(term, "dumb") != 0
           && (no == NULL || no[0] == 0);
}

/* ---- widths ------------------------------------------------------------ */

/* What all columns that are shown need, those that can be cut at their least
 * or at what is in them. */
static size_t table_needs(const cli_table *t, const size_t *width, bool least)
{
    size_t sum = 0;
    size_t i;

    for (i = 0; i < t->count; i++) {
        const size_t low = t->columns[i].least;

        if (width[i] > 0) {
            sum += TABLE_GAP
                   + (least && low > 0 && low < width[i] ? low : width[i]);
        }
    }
    return sum > 0 ? sum - TABLE_GAP : 0;
}

/* Leaves out columns until the rest fits, then cuts the widest that can be
 * cut, by one character at a time. */
static void table_fit(const cli_table *t, size_t *width, size_t room)
{
    size_t i;

    while (table_needs(t, width, true) > room) {
        size_t out = t->count;

        for (i = 0; i < t->count; i++) {
            if (width[i] > 0 && t->columns[i].drop > 0
                && (out == t->count
                    || t->columns[i].drop > t->columns[out].drop)) {
                out = i;
            }
        }
        if (out == t->count) {
            break;
        }
        width[out] = 0;
    }
    while (table_needs(t, width, false) > room) {
        size_t cut = t->count;

        for (i = 0; i < t->count; i++) {
            const size_t low = t->columns[i].least;

            if (low > 0 && width[i] > low
                && (cut == t->count || width[i] > width[cut])) {
                cut = i;
            }
        }
        if (cut == t->count) {
            break;
        }
        width[cut]--;
    }
}

/* Columns without anything in them are left out, too. */
void cli_table_measure(const cli_table *t, size_t *width, size_t room)
{
    char age[24];
    table_walk w;
    size_t i;

    memset(width, 0, CLI_COLUMNS * sizeof *width);
    walk_begin(&w, t);
    while (walk_next(&w)) {
        const cli_column *const c = &t->columns[w.column];
        const size_t n = c->title != NULL
                             ? table_length(shown(c, w.cell, age)) : 0;

        width[w.column] = n > width[w.column] ? n : width[w.column];
    }
    for (i = 0; i < t->count; i++) {
        const char *const title = t->columns[i].title;

        if (width[i] > 0 && strlen(title) > width[i]) {
            width[i] = strlen(title);
        }
    }
    table_fit(t, width, room);
}

/* ---- cells ------------------------------------------------------------- */

static const char *table_colour(const cli_column *column, const char *cell)
{
    static const struct {
        const char *word;
        const char *colour;
    } words[] = {
        {"running", "\033[32m"},  {"available", "\033[32m"},
        {"-complete", "\033[32m"}, {"yes", "\033[32m"},
        {"failed", "\033[31m"},   {"stopped", "\033[31m"},
        {"no", "\033[31m"},       {"pending", "\033[33m"},
        {"progress", "\033[33m"}, {"ing", "\033[33m"},
    };
    size_t i;

    for (i = 0; column->kind == 's' && i < sizeof words / sizeof words[0];
         i++) {
        if (cli_contains(cell, words[i].word)) {
            return words[i].colour;
        }
    }
    return "";
}

/* At most `width` characters; a mark stands for what is cut off. */
static void table_text(FILE *out, const char *cell, size_t width, bool utf8)
{
    const bool cut = table_length(cell) > width;
    size_t left = cut ? width - 1 : width;

    while (*cell != 0) {
        if (((unsigned char)*cell & 0xc0) != 0x80 && left-- == 0) {
            break;
        }
        if (utf8 || (unsigned char)*cell < 0x80) {
            fputc(*cell, out);
        } else if (((unsigned char)*cell & 0xc0) != 0x80) {
            fputc('?', out);
        }
        cell++;
    }
    if (cut) {
        fputs(utf8 ? "\xe2\x80\xa6" : "~", out);
    }
}

void cli_table_row(FILE *out, const cli_table *t, const char *row,
                   const size_t *width, bool coloured)
{
    const bool utf8 = cli_utf8();
    const char *cell = row;
    size_t gap = 0;
    char age[24];
    size_t i;

    for (i = 0; i < t->count; i++) {
        const cli_column *const c = &t->columns[i];
        const char *text = row == NULL ? c->title : shown(c, cell, age);
        const char *colour = !coloured      ? ""
                             : row == NULL  ? "\033[1m"
                                            : table_colour(c, text);

        cell = row != NULL ? cell + strlen(cell) + 1 : NULL;
        if (width[i] > 0) {
            fprintf(out, "%*s%s", (int)gap, "", colour);
            table_text(out, text, width[i], utf8);
            fputs(colour[0] != 0 ? "\033[0m" : "", out);
            gap = table_length(text);
            gap = width[i] + TABLE_GAP - (gap < width[i] ? gap : width[i]);
        }
    }
}

static void table_plain(const cli_table *t)
{
    const bool coloured = cli_colour(STDOUT_FILENO);
    const char *row = (const char *)t->cells.ptr;
    size_t width[CLI_COLUMNS];
    eice_pty size;
    size_t i;

    size.columns = TABLE_UNLIMITED;
    if (isatty(STDOUT_FILENO)) {
        cli_term_size(STDOUT_FILENO, &size);
    }
    cli_table_measure(t, width, size.columns);
    for (i = 0; i <= t->rows && t->rows > 0; i++) {
        cli_table_row(stdout, t, i == 0 ? NULL : row, width, coloured);
        putchar('\n');
        row = i == 0 ? row : cell_at(row, t->count);
    }
}

/* ---- JSON -------------------------------------------------------------- */

static void table_value(const cli_column *column, const char *cell)
{
    if (column->kind == 'r' || (column->kind == 'b' && cell[0] != 0)) {
        fputs(cell, stdout); /* JSON already */
    } else if (cell[0] == 0) {
        fputs("null", stdout);
    } else {
        cli_json_text(stdout, cell);
    }
}

static void table_json(const cli_table *t, bool list)
{
    const char *before = list ? "[{" : "{";
    table_walk w;

    walk_begin(&w, t);
    while (walk_next(&w)) {
        const cli_column *const column = &t->columns[w.column];

        if (column->json != NULL) {
            printf("%s\"%s\":", before, column->json);
            table_value(column, w.cell);
            before = ",";
        }
        if (w.column + 1 == t->count) {
            putchar('}');
            before = list ? ",\n{" : "\n{";
        }
    }
    puts(!list ? "" : t->rows > 0 ? "]" : "[]");
}

bool cli_table_print(const cli *c, const cli_table *t)
{
    if (c->json) {
        table_json(t, true);
    } else {
        table_plain(t);
    }
    return fflush(stdout) == 0;
}

bool cli_table_print_rows(const cli *c, const cli_table *t)
{
    size_t widest = 0;
    table_walk w;
    size_t i;

    if (c->json) {
        table_json(t, false);
        return fflush(stdout) == 0;
    }
    for (i = 0; i < t->count; i++) {
        const char *const json = t->columns[i].json;

        widest = json != NULL && strlen(json) > widest ? strlen(json)
                                                       : widest;
    }
    walk_begin(&w, t);
    while (walk_next(&w)) {
        const char *const json = t->columns[w.column].json;

        if (json != NULL && w.cell[0] != 0) {
            printf("%-*s  %s\n", (int)widest, json, w.cell);
        }
    }
    return fflush(stdout) == 0;
}
