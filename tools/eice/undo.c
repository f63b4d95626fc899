/* eice enroll --undo: takes away what enroll made, and no more. Rules and
 * endpoints are found by their tag, lines of files by their sums; what is
 * gone already is no error, so that it can be interrupted and run again. */
#include "enroll.h"

typedef struct undoing {
    enrolling *w;
    const char *kind; /* of what is taken away at present */
    bool some;        /* a row of JSON is there */
} undoing;

/* A row of JSON, or a line. `left`: what stays of it. */
static void tell(undoing *u, const char *verb, eice_str what, eice_str left)
{
    static char text[2048];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    eice_putf(&b, "%s %S", verb, &what);
    if (left.len > 0) {
        eice_putf(&b, ", but for what was added by hand:");
    }
    while (left.len > 0) {
        const eice_str line = eice_str_trim(eice_str_cut(&left, '\n'));

        eice_putf(&b, line.len > 0 ? "\n  %S" : "%S", &line);
    }
    cli_say(u->w->c, "%s", eice_buf_c(&b));
    if (u->w->c->json) {
        eice_buf_init(&b, text, sizeof text);
        eice_putf(&b, "%S", &what);
        printf("%s{\"kind\":\"%s\",\"name\":", u->some ? ",\n" : "[",
               u->kind);
        cli_json_text(stdout, eice_buf_c(&b));
        fputs("}", stdout);
        u->some = true;
    }
}

/* ---- rules, endpoints -------------------------------------------------- */

/* With a target: what is in its VPC, and of rules those of the groups around
 * it. */
static void ask_ours(const enrolling *w, cli_call *a, bool rules)
{
    const cli_call *groups = &w->f.ask[CLI_ASK_GROUPS];
    char id[64];
    size_t i;

    cli_call_begin(a, rules ? EICE_OP_DESCRIBE_GROUP_RULES
                            : EICE_OP_DESCRIBE_ENDPOINTS);
    eice_param_filter(&a->params, "tag:" CLI_TAG, eice_str_c("eice"));
    if (!rules && w->f.vpc[0] != 0) {
        eice_param_filter(&a->params, "vpc-id", eice_str_c(w->f.vpc));
    }
    for (i = 0; rules && i < groups->count; i++) {
        eice_param_filter(&a->params, "group-id",
                          eice_str_c(eice_item_get(&groups->items[i],
                                                   "groupId", id,
                                                   sizeof id)));
    }
}

/* What the tag is on: it is taken away by its id. */
static bool undo_one(undoing *u, const eice_item *item, bool rule)
{
    const bool egress = eice_item_is(item, "isEgress", "true");
    cli_call *a = (cli_call *)malloc(sizeof *a);
    char id[64];
    char other[64];
    bool good;

    if (a == NULL) {
        return false;
    }
    cli_call_begin(a, !rule    ? EICE_OP_DELETE_ENDPOINT
                      : egress ? EICE_OP_REVOKE_EGRESS
                               : EICE_OP_REVOKE_INGRESS);
    eice_item_get(item, rule ? "groupId" : "state", other, sizeof other);
    eice_item_get(item, rule ? "securityGroupRuleId"
                             : "instanceConnectEndpointId",
                  id, sizeof id);
    if (rule) {
        eice_param(&a->params, "GroupId", eice_str_c(other));
    }
    eice_param(&a->params, rule ? "SecurityGroupRuleId.1"
                                : "InstanceConnectEndpointId",
               eice_str_c(id));
    good = (!rule && cli_contains(other, "delete")) || enroll_call(u->w, a);
    if (good) {
        tell(u, rule ? "revoked" : "deleting", eice_str_c(id),
             eice_str_c(""));
    }
    cli_call_end(a);
    free(a);
    return good;
}

static bool undo_kind(undoing *u, bool rules)
{
    enrolling *const w = u->w;
    cli_call *a = (cli_call *)malloc(sizeof *a);
    char question[120];
    bool good;
    size_t i;

    if (a == NULL) {
        return false;
    }
    u->kind = rules ? "rule" : "endpoint";
    ask_ours(w, a, rules);
    good = enroll_call(w, a);
    if (good && a->count > 0) {
        snprintf(question, sizeof question, "Take away %u %s made by eice?",
                 (unsigned)a->count, rules ? "rule(s)" : "endpoint(s)");
        good = enroll_agreed(w, question);
        for (i = 0; good && i < a->count; i++) {
            good = undo_one(u, &a->items[i], rules);
        }
    } else if (good) {
        cli_say(w->c, "no %s made by eice", rules ? "rules" : "endpoints");
    }
    cli_call_end(a);
    free(a);
    return good;
}

/* ---- files ------------------------------------------------------------- */

static void forgot(void *user, eice_str head, eice_str left)
{
    tell((undoing *)user, "forgot", head, left);
}

static bool undo_files(undoing *u, const char *id)
{
    const cli *const c = u->w->c;
    char path[1024];
    cli_mark m;

    memset(&m, 0, sizeof m);
    m.id = id;
    m.region = eice_conn_region(u->w->r.conn);
    m.profile = u->w->given.profile;
    u->kind = "section";
    if (!cli_config_path(path, sizeof path)
        || !cli_config_forget(c, path, false, &m, forgot, u)) {
        return false;
    }
    u->kind = "stanza";
    return !eice_posix_expand("~/.ssh/config", path, sizeof path)
           || cli_config_forget(c, path, true, &m, forgot, u);
}

/* The files last: as long as they know an instance it is not done. Without
 * the instance its VPC is not known, nor its groups: nothing there is to be
 * touched then, or it would be what is others'. */
static bool undo_target(undoing *u, const enrolled *e)
{
    enrolling *const w = u->w;
    const cli_call *const groups = &w->f.ask[CLI_ASK_GROUPS];
    char other[128];

    if (e->gone) {
        enroll_say(w, e, "there is no such instance any more; --undo without "
                         "a target takes away what was made for it", "");
        return undo_files(u, e->id);
    }
    if (!enroll_look(w, e)) {
        return false;
    }
    if (groups->count == 0) {
        cli_report(w->c, &groups->call.error);
        return false;
    }
    if (cli_config_uses(w->f.endpoint_id, e->id, other, sizeof other)) {
        enroll_say(w, e, "the endpoint and the rules stay, for they serve",
                   other);
        return undo_files(u, e->id);
    }
    return undo_kind(u, true) && undo_kind(u, false) && undo_files(u, e->id);
}

int enroll_undo(enrolling *w)
{
    undoing u;
    bool good = true;
    size_t i;

    memset(&u, 0, sizeof u);
    u.w = w;
    for (i = 0; i < w->count && good; i++) {
        good = undo_target(&u, &w->list[i]);
    }
    if (w->count == 0) {
        good = undo_kind(&u, true) && undo_kind(&u, false)
               && undo_files(&u, NULL);
    }
    if (w->c->json) {
        puts(u.some ? "]" : "[]");
    }
    return good ? CLI_OK : CLI_FAILED;
}
