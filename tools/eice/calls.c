/* AWS calls of commands: run them, report them, in one Region or many. */
#include "cli.h"

bool cli_calls_begin(cli_run *r, cli *c)
{
    c->conn.goal = EICE_GOAL_CALLS;
    if (!cli_run_open(r, c)) {
        return false;
    }
    if (cli_run_wait(r)) {
        return true;
    }
    cli_run_close(r);
    return false;
}

void cli_calls_run(cli_run *r, eice_call *calls, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        (void)eice_conn_call(r->conn, &calls[i]);
    }
    eice_posix_process(r->x, NULL, 0);
    for (i = 0; i < count; i++) {
        while (!calls[i].done) {
            cli_run_turn(r, NULL, 0);
        }
    }
    cli_trail(r->c, r->conn, &r->seen);
}

bool cli_calls_good(cli_run *r, const eice_call *call)
{
    eice_error e = call->error;

    if (e.code == EICE_OK) {
        return true;
    }
    if (r->signal != 0) {
        return false;
    }
    if (call->region != NULL) {
        snprintf(e.text, sizeof e.text, "%s: %.200s", call->region,
                 call->error.text);
    }
    cli_report(r->c, &e);
    return false;
}

bool cli_calls_one(cli_run *r, eice_call *call)
{
    cli_calls_run(r, call, 1);
    return cli_calls_good(r, call);
}

bool cli_calls_pause(cli_run *r, uint32_t ms)
{
    const uint64_t end = eice_posix_now().ms + ms;

    r->wake_ms = end;
    while (r->signal == 0 && eice_posix_now().ms < end
           && (eice_conn_state(r->conn) & EICE_DONE) == 0) {
        cli_run_turn(r, NULL, 0);
    }
    r->wake_ms = 0;
    return r->signal == 0;
}

/* ---- Regions ----------------------------------------------------------- */

bool cli_many_regions(const cli *c)
{
    return c->conn.region != NULL
           && (strcmp(c->conn.region, "all") == 0
               || strchr(c->conn.region, ',') != NULL);
}

static bool regions_add(cli_regions *list, eice_str name)
{
    if (name.len == 0 || name.len >= sizeof list->name[0]
        || list->count == CLI_REGIONS) {
        return false;
    }
    eice_copy_text(list->name[list->count++], sizeof list->name[0], name);
    return true;
}

static bool region_seen(void *user, const eice_item *item)
{
    cli_regions *const list = (cli_regions *)user;
    char name[sizeof list->name[0]];

    (void)regions_add(list, eice_str_c(eice_item_get(item, "regionName", name,
                                                     sizeof name)));
    return true;
}

bool cli_regions_find(cli_run *r, const char *given, cli_regions *list)
{
    eice_str rest = eice_str_c(given);
    eice_call call;

    memset(list, 0, sizeof *list);
    if (given == NULL) {
        list->count = 1;
        return true;
    }
    if (strcmp(given, "all") != 0) {
        while (rest.len > 0) {
            if (!regions_add(list, eice_str_cut(&rest, ','))) {
                cli_usage_error(r->c, "--region: bad list of Regions", given);
                return false;
            }
        }
        return true;
    }
    memset(&call, 0, sizeof call);
    call.op = EICE_OP_DESCRIBE_REGIONS;
    call.item = region_seen;
    call.user = list;
    if (eice_conn_region(r->conn)[0] == 0) {
        call.region = "us-east-1"; /* any that lists them */
    }
    return cli_calls_one(r, &call);
}

/* ---- filters ----------------------------------------------------------- */

void cli_filters_begin(cli_filters *f)
{
    memset(f, 0, sizeof *f);
    eice_params_init(&f->params, f->memory, sizeof f->memory);
}

/* key=VALUE,VALUE as the values of a filter of EC2, whose wildcards work. */
static void filter_values(cli_filters *f, const char *name, eice_str values)
{
    do {
        eice_param_filter(&f->params, name, eice_str_cut(&values, ','));
    } while (values.len > 0);
}

bool cli_filters_add(cli_filters *f, const char *const (*names)[2],
                     size_t count, const char *word)
{
    eice_str value = eice_str_c(word);
    const eice_str key = eice_str_cut(&value, '=');
    char name[192];
    size_t i;

    if (key.len == strlen(word)) {
        if (strncmp(word, "tag:", 4) == 0) {
            eice_param_filter(&f->params, "tag-key", eice_str_c(word + 4));
        } else if (f->word_count < CLI_FILTER_WORDS) {
            f->words[f->word_count++] = word;
        } else {
            return false;
        }
        return !f->params.text.overflow;
    }
    eice_copy_text(name, sizeof name, key);
    for (i = 0; i < count; i++) {
        if (eice_str_is(key, names[i][0])) {
            snprintf(name, sizeof name, "%s", names[i][1]);
        }
    }
    f->state = f->state || strcmp(name, "instance-state-name") == 0
               || strcmp(name, "instance-id") == 0;
    filter_values(f, name, value);
    return key.len > 0 && value.len > 0 && key.len < sizeof name
           && !f->params.text.overflow;
}

bool cli_filters_fit(const cli_filters *f, const char *cells, size_t len)
{
    size_t i;

    for (i = 0; i < f->word_count; i++) {
        const char *cell = cells;

        while (cell < cells + len && !cli_contains_nocase(cell, f->words[i])) {
            cell += strlen(cell) + 1;
        }
        if (cell >= cells + len) {
            return false;
        }
    }
    return true;
}
