/* AWS calls by name, for aws_calls.py:
 *
 *     aws_call table                           the list of operations, as JSON
 *     aws_call write OP NAME=VALUE ...         the body of a request
 *     aws_call parse OP FIELD ... <ANSWER      items, a line of JSON each
 *     aws_call run [options] OP NAME=VALUE ... [-- FIELD ...]
 *         -r REGION  -d (dry run)  -t MS (time-out)  -n TIMES (side by side)
 *         -c (cancel at once)  -i N (enough after N items)
 *
 * `run` prints items as `parse` does, then a line for each call.
 */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdio.h>

#define TIMES_MAX 40
#define TEXT (256 * 1024)

static char text_memory[TEXT];

static void print_text(const char *text, size_t len)
{
    eice_buf b;

    eice_buf_init(&b, text_memory, sizeof text_memory);
    eice_put_json(&b, eice_str_make(text, len));
    printf("\"%s\"", eice_buf_c(&b));
}

static void print_member(const char *name, const char *text, const char *end)
{
    printf("\"%s\": ", name);
    print_text(text, strlen(text));
    fputs(end, stdout);
}

/* ---- the table --------------------------------------------------------- */

typedef struct row {
    const char *name;
    char flag;
    const char *item;
    const char *params;
    const char *fields;
} row;

static const row rows[] = {
#define ROW(name, wire, service, flag, item, params, fields)                  \
    {wire, flag, item, params, fields},
    EICE_OP_LIST(ROW)
#undef ROW
};

static int table(void)
{
    size_t i;

    for (i = 0; i < EICE_OP_COUNT; i++) {
        const char flag[2] = {rows[i].flag, 0};

        printf("{");
        print_member("name", eice_op_name((eice_op)i), ", ");
        print_member("service",
                     eice_service_name(eice_op_service((eice_op)i)), ", ");
        print_member("flag", flag, ", ");
        print_member("item", rows[i].item, ", ");
        print_member("params", rows[i].params, ", ");
        print_member("fields", rows[i].fields, "}\n");
    }
    return 0;
}

static eice_op find(const char *name)
{
    int i;

    for (i = 0; i < EICE_OP_COUNT; i++) {
        if (name != NULL && strcmp(rows[i].name, name) == 0) {
            return (eice_op)i;
        }
    }
    fprintf(stderr, "no such operation: %s\n", name != NULL ? name : "");
    exit(2);
}

/* ---- requests ---------------------------------------------------------- */

static eice_params params;
static char params_memory[TEXT];

/* NAME=VALUE up to the end or "--"; returns the index behind. "Filter=NAME
 * VALUE" goes through eice_param_filter. */
static int read_params(int argc, char **argv, int at)
{
    eice_params_init(&params, params_memory, sizeof params_memory);
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        eice_str value = eice_str_c(argv[at]);
        const eice_str name = eice_str_cut(&value, '=');
        char text[128];

        snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
        if (strcmp(text, "Filter") == 0) {
            const eice_str filter = eice_str_cut(&value, ' ');

            snprintf(text, sizeof text, "%.*s", (int)filter.len, filter.ptr);
            eice_param_filter(&params, text, value);
        } else {
            eice_param(&params, text, value);
        }
    }
    if (params.text.overflow) {
        fprintf(stderr, "too many parameters\n");
        exit(2);
    }
    return at;
}

static int write_request(int argc, char **argv)
{
    eice_aws_request r;
    eice_place place;
    const char *body;
    eice_blob out;
    eice_error e;

    memset(&r, 0, sizeof r);
    memset(&place, 0, sizeof place);
    memset(&out, 0, sizeof out);
    memset(&e, 0, sizeof e);
    r.op = find(argc > 2 ? argv[2] : NULL);
    (void)read_params(argc, argv, 3);
    place.host = eice_str_c("localhost");
    place.port = 80;
    place.path = eice_str_c("/");
    r.place = &place;
    r.params = params.list;
    r.param_count = params.count;
    r.region = eice_str_c("eu-west-1");
    r.keys.access_key_id = eice_str_c("AKIDEXAMPLE");
    r.keys.secret_access_key = eice_str_c("secret");
    if (eice_aws_write(&r, &out, &e) != EICE_OK
        || !eice_blob_add(&out, "", 1, SIZE_MAX / 4)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    body = strstr((const char *)out.ptr, "\r\n\r\n");
    printf("%s", body != NULL ? body + 4 : "");
    eice_blob_free(&out);
    return 0;
}

/* ---- answers ----------------------------------------------------------- */

typedef struct wanted {
    char **fields;
    int count;
    int enough; /* 0: never */
} wanted;

/* FIELD is a path; FIELD[PATH] a list of PATH below each element at FIELD;
 * tag:KEY a tag. */
static void print_list(const eice_item *item, const char *field,
                       const char *bracket)
{
    char path[256];
    char below[128];
    char text[512];
    eice_items list;
    eice_item one;
    bool first = true;

    snprintf(path, sizeof path, "%.*s", (int)(bracket - field), field);
    snprintf(below, sizeof below, "%.*s", (int)strcspn(bracket + 1, "]"),
             bracket + 1);
    fputs("[", stdout);
    eice_items_in(item, path, &list);
    while (eice_items_next(&list, &one)) {
        fputs(first ? "" : ", ", stdout);
        first = false;
        eice_item_get(&one, below, text, sizeof text);
        print_text(text, strlen(text));
    }
    fputs("]", stdout);
}

static bool print_item(void *user, const eice_item *item)
{
    wanted *const w = (wanted *)user;
    char text[1100];
    eice_str raw;
    int i;

    printf("{");
    for (i = 0; i < w->count; i++) {
        const char *const field = w->fields[i];
        const char *const bracket = strchr(field, '[');

        printf("%s\"%s\": ", i > 0 ? ", " : "", field);
        if (bracket != NULL) {
            print_list(item, field, bracket);
        } else if (strncmp(field, "tag:", 4) == 0) {
            eice_item_tag(item, field + 4, text, sizeof text);
            print_text(text, strlen(text));
        } else if (!eice_item_raw(item, field, &raw)) {
            printf("null");
        } else if (raw.len >= sizeof text - 100) {
            print_text(raw.ptr, raw.len);
        } else {
            eice_item_get(item, field, text, sizeof text);
            print_text(text, strlen(text));
        }
    }
    printf("}\n");
    return w->enough == 0 || --w->enough > 0;
}

static int parse_answer(int argc, char **argv)
{
    const eice_op op = find(argc > 2 ? argv[2] : NULL);
    char token[1024];
    eice_aws_reply r;
    eice_items items;
    eice_item item;
    eice_buf next;
    wanted w;
    size_t n;

    w.fields = argv + 3;
    w.count = argc - 3;
    w.enough = 0;
    memset(&r, 0, sizeof r);
    eice_aws_reply_init(&r, NULL);
    while ((n = fread(text_memory, 1, sizeof text_memory, stdin)) > 0) {
        if (!eice_blob_add(&r.body, text_memory, n, SIZE_MAX / 4)) {
            return 1;
        }
    }
    eice_aws_items(&r, op, &items);
    while (eice_items_next(&items, &item)) {
        print_item(&w, &item);
    }
    eice_buf_init(&next, token, sizeof token);
    eice_aws_next_token(&r, &next);
    printf("{\"failed\": %s, ", items.failed ? "true" : "false");
    print_member("next_token", eice_buf_c(&next), "}\n");
    eice_aws_reply_free(&r);
    return 0;
}

/* ---- calls ------------------------------------------------------------- */

static eice_call calls[TIMES_MAX];

static void print_call(const eice_call *call)
{
    printf("{\"done\": %s, \"nothing\": %s, \"items\": %u, \"attempts\": %u, ",
           call->done ? "true" : "false", call->nothing ? "true" : "false",
           (unsigned)call->items, call->attempts);
    print_member("error",
                 call->error.code != EICE_OK ? eice_err_name(call->error.code)
                                             : "", ", ");
    print_member("text", call->error.text, ", ");
    print_member("remedy", call->error.remedy, ", ");
    print_member("aws_code", call->error.aws_code, ", ");
    print_member("stage", eice_stage_name(call->error.stage), ", ");
    print_member("client_token", call->client_token, ", ");
    printf("\"encoded\": ");
    print_text(call->encoded->ptr, call->encoded->len);
    printf(", ");
    print_member("request_id", call->request_id[0] != 0
                                   ? call->request_id
                                   : call->error.request_id, "}\n");
}

/* Starts all, cancels all, and lets the connection end with them. */
static void cancelled(size_t times)
{
    eice_conn_opts o;
    eice_conn *c;
    eice_error e;
    size_t i;

    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    o.goal = EICE_GOAL_CALLS;
    c = eice_conn_new(&o, eice_posix_now(), &e);
    for (i = 0; c != NULL && i < times; i++) {
        (void)eice_conn_call(c, &calls[i]);
        if (i % 2 == 0) {
            eice_conn_call_cancel(c, &calls[i]);
            eice_conn_call_cancel(c, &calls[i]);
        }
    }
    eice_conn_free(c);
}

/* With an executor and a connection of our own. */
static void together(eice_conn_opts o, size_t times)
{
    eice_posix *x;
    eice_conn *c;
    eice_error e;

    memset(&e, 0, sizeof e);
    o.goal = EICE_GOAL_CALLS;
    x = eice_posix_new(NULL, &e);
    c = x != NULL ? eice_conn_new(&o, eice_posix_now(), &e) : NULL;
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        (void)eice_posix_calls(x, c, calls, times);
        eice_posix_remove(x, c);
    }
    eice_conn_free(c);
    eice_posix_free(x);
}

static int run(int argc, char **argv)
{
    static char encoded_memory[8192];
    eice_conn_opts o;
    eice_buf encoded;
    eice_call call;
    size_t times = 1;
    bool cancel = false;
    wanted w;
    size_t i;
    int at = 2;

    memset(&o, 0, sizeof o);
    memset(&w, 0, sizeof w);
    memset(&call, 0, sizeof call);
    eice_buf_init(&encoded, encoded_memory, sizeof encoded_memory);
    for (; at < argc && argv[at][0] == '-'; at++) {
        const char letter = argv[at][1];
        const char *value = letter != 'd' && letter != 'c' && at + 1 < argc
                                ? argv[++at] : "0";

        if (letter == 'r') {
            call.region = value;
        } else if (letter == 't') {
            call.timeout_ms = (uint32_t)strtoul(value, NULL, 10);
        } else if (letter == 'n') {
            times = strtoul(value, NULL, 10) % (TIMES_MAX + 1);
        } else if (letter == 'i') {
            w.enough = (int)strtoul(value, NULL, 10);
        } else if (letter == 'd') {
            call.dry_run = true;
        } else {
            cancel = true;
        }
    }
    call.op = find(at < argc ? argv[at] : NULL);
    at = read_params(argc, argv, at + 1);
    w.fields = argv + at + 1;
    w.count = at < argc ? argc - at - 1 : 0;
    call.params = params.list;
    call.param_count = params.count;
    call.item = w.count > 0 ? print_item : NULL;
    call.user = &w;
    call.encoded = &encoded;
    for (i = 0; i < times; i++) {
        calls[i] = call;
    }
    o.answer_timeout_ms = 2000;
    if (cancel) {
        cancelled(times);
    } else if (times > 1) {
        together(o, times);
    } else {
        (void)eice_posix_aws(&o, calls, times);
    }
    for (i = 0; i < times; i++) {
        print_call(&calls[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *const what = argc > 1 ? argv[1] : "";

    return strcmp(what, "table") == 0   ? table()
           : strcmp(what, "write") == 0 ? write_request(argc, argv)
           : strcmp(what, "parse") == 0 ? parse_answer(argc, argv)
           : strcmp(what, "run") == 0   ? run(argc, argv)
                                        : 2;
}
