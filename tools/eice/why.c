/* Why a connection failed, as far as one call more to EC2 tells. */
#include "cli.h"

#include <stdarg.h>

#define WHY_MS 5000u

typedef struct why {
    cli_run *r;
    eice_error *e;
    eice_instance instance;
    eice_endpoint endpoint;
    unsigned port;
    const char *user;
    char target[128];
} why;

static const char *remedy_of(const eice_error *e)
{
    return e->remedy[0] != 0 ? e->remedy : eice_err_remedy(e->code);
}

__attribute__((format(printf, 2, 3))) static void
advise(why *w, const char *format, ...)
{
    eice_buf b;
    va_list args;
    char text[sizeof w->e->remedy];

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    eice_buf_init(&b, w->e->remedy, sizeof w->e->remedy);
    eice_put_c(&b, text);
    (void)eice_buf_c(&b);
}

/* The call's items in *a; false: nothing is known. What `r` was connected to
 * is over, so the call has a connection of its own. */
static bool ask(why *w, cli_call *a)
{
    cli *c = w->r->c;
    const eice_conn_opts before = c->conn;
    const unsigned verbose = c->verbose;
    eice_conn *over = w->r->conn;
    eice_error e;
    bool good = false;

    c->conn.goal = EICE_GOAL_CALLS;
    c->conn.via = NULL;
    c->verbose = 0;
    w->r->conn = eice_conn_new(&c->conn, eice_posix_now(), &e);
    if (w->r->conn != NULL) {
        (void)eice_posix_add(w->r->x, w->r->conn);
        a->call.timeout_ms = WHY_MS;
        w->r->seen = SIZE_MAX; /* of no interest */
        cli_call_start(w->r, a);
        good = cli_call_wait(w->r, a, 1);
        eice_posix_remove(w->r->x, w->r->conn);
        eice_conn_free(w->r->conn);
    }
    w->r->conn = over;
    c->conn = before;
    c->verbose = verbose;
    return good;
}

static void put_ids(cli_call *a, const char *words)
{
    eice_str rest = eice_str_c(words);

    while (rest.len > 0) {
        eice_param_filter(&a->params, "group-id", eice_str_cut(&rest, ' '));
    }
}

/* Does a group stand in the way? */
static bool closed(why *w, const cli_call *a, bool egress)
{
    cli_side endpoint;
    cli_side instance;
    cli_group_rule rule;

    endpoint.groups = w->endpoint.groups;
    endpoint.address = w->endpoint.preserve_client_ip ? "" : NULL;
    instance.groups = w->instance.groups;
    instance.address = w->instance.private_ip;
    if (cli_groups_let(a, w->port, egress ? &endpoint : &instance,
                       egress ? &instance : &endpoint, egress, &rule)
        != CLI_LETS_NO) {
        return false;
    }
    advise(w, "no rule of %s, the %s's security group, lets TCP %u %s %s: "
              "eice enroll %s adds it",
           rule.names, egress ? "endpoint" : "instance",
           w->port, egress ? "out to" : "in from", rule.peer, w->target);
    return true;
}

static void why_unreachable(why *w)
{
    cli_call *a;

    if (w->instance.groups[0] == 0 || w->endpoint.groups[0] == 0) {
        return; /* EC2 was not asked: there is nothing to go by */
    }
    a = (cli_call *)malloc(sizeof *a);
    if (a == NULL) {
        return;
    }
    cli_call_begin(a, EICE_OP_DESCRIBE_GROUPS);
    put_ids(a, w->instance.groups);
    put_ids(a, w->endpoint.groups);
    if (ask(w, a) && !closed(w, a, true) && !closed(w, a, false)) {
        advise(w, "its security groups let TCP %u pass: see whether sshd "
                  "listens there",
               w->port);
    }
    cli_call_end(a);
    free(a);
}

static void why_rejected(why *w)
{
    const bool own = w->r->c->user_key != NULL;
    cli_facts *f;
    bool carries = true;
    const char *login;

    if (w->instance.image_id[0] == 0
        || (f = (cli_facts *)calloc(1, sizeof *f)) == NULL) {
        return;
    }
    cli_call_begin(&f->ask[CLI_ASK_IMAGES], EICE_OP_DESCRIBE_IMAGES);
    eice_param(&f->ask[CLI_ASK_IMAGES].params, "ImageId.1",
               eice_str_c(w->instance.image_id));
    if (ask(w, &f->ask[CLI_ASK_IMAGES])) {
        login = cli_facts_login(f, &carries);
        if (login != NULL && strcmp(login, w->user) != 0) {
            advise(w, "the login of its image is %s, not %s: -l %s", login,
                   w->user, login);
        } else if (login != NULL && !carries && !own) {
            advise(w, "its image comes without ec2-instance-connect: install "
                      "that package there, or use a key it has (-i FILE)");
        }
    }
    cli_facts_free(f);
    free(f);
}

/* An endpoint that was found some time ago, or given: what became of it? What
 * is wrong with the request itself, the answer has said. */
static void why_refused(why *w)
{
    const char *id = w->endpoint.id[0] != 0 ? w->endpoint.id
                                            : w->r->c->conn.endpoint_id;
    char state[32];
    cli_call *a;

    if (id == NULL || w->e->http_status < 400 || w->e->http_status > 499
        || strncmp(w->e->aws_code, "Invalid", 7) == 0
        || (a = (cli_call *)malloc(sizeof *a)) == NULL) {
        return;
    }
    cli_call_begin(a, EICE_OP_DESCRIBE_ENDPOINTS);
    eice_param(&a->params, "InstanceConnectEndpointId.1", eice_str_c(id));
    if (ask(w, a) && a->count > 0) {
        eice_item_get(&a->items[0], "state", state, sizeof state);
        if (strncmp(state, "update", 6) != 0
            && strcmp(state, "create-complete") != 0) {
            advise(w, "%s is in the state %s", id, state);
        }
    } else if (a->call.error.code == EICE_OK
               || a->call.error.code == EICE_E_NO_ENDPOINT) {
        advise(w, "%s is gone: leave it to eice to find one, or eice enroll "
                  "%s", id, w->target);
    }
    cli_call_end(a);
    free(a);
}

static void why_no_endpoint(why *w)
{
    if (cli_contains(remedy_of(w->e), "create one")) {
        advise(w, "create one in its VPC: eice enroll %s", w->target);
    }
}

static void why_denied(why *w)
{
    char text[160];

    snprintf(text, sizeof text, "%.150s", remedy_of(w->e));
    advise(w, "%s; eice policy %s prints what is needed", text, w->target);
}

/* Those about which there is something to ask, or to say. */
static const struct {
    eice_err code;
    void (*look)(why *w);
} reasons[] = {
    {EICE_E_TARGET_UNREACHABLE, why_unreachable},
    {EICE_E_TARGET_SILENT, why_unreachable},
    {EICE_E_SSH_AUTH, why_rejected},
    {EICE_E_UPGRADE_REFUSED, why_refused},
    {EICE_E_UPGRADE_DENIED, why_denied},
    {EICE_E_NO_ENDPOINT, why_no_endpoint},
};

static void begin(why *w, const cli *c, const eice_conn *conn, eice_error *e)
{
    memset(w, 0, sizeof *w);
    w->e = e;
    w->instance = *eice_conn_instance(conn);
    w->endpoint = *eice_conn_endpoint(conn);
    w->port = c->conn.port != 0 ? c->conn.port : 22;
    w->user = c->conn.user != NULL ? c->conn.user : "ec2-user";
    snprintf(w->target, sizeof w->target, "%s",
             w->instance.id[0] != 0   ? w->instance.id
             : c->conn.target != NULL ? c->conn.target
                                      : "");
}

/* Doctor climbs from the keys to the login: of what lies there it knows more
 * than the error says. */
static void point(why *w, const cli *c)
{
    char text[sizeof w->e->remedy];
    char where[96];

    if (w->target[0] == 0 || c->conn.goal > EICE_GOAL_TUNNEL
        || w->e->stage < EICE_STAGE_CREDENTIALS
        || w->e->stage > EICE_STAGE_AUTH || w->e->code == EICE_E_AMBIGUOUS
        || w->e->code == EICE_E_TUNNEL_EXPIRED
        || (w->e->stage == EICE_STAGE_HOSTKEY
            && w->e->remedy[0] != 0) /* the console has said all there is */
        || cli_contains(w->e->remedy, "eice doctor")) {
        return;
    }
    snprintf(where, sizeof where, "eice doctor %.60s shows more", w->target);
    snprintf(text, sizeof text, "%s", remedy_of(w->e));
    advise(w, "%.*s%s%s", (int)(sizeof text - strlen(where) - 3), text,
           text[0] != 0 ? "; " : "", where);
}

void cli_point(const cli *c, const eice_conn *conn, eice_error *e)
{
    why w;

    begin(&w, c, conn, e);
    point(&w, c);
}

void cli_why(cli_run *r, eice_error *e)
{
    size_t i;
    why w;

    begin(&w, r->c, r->conn, e);
    w.r = r;
    for (i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].code == e->code) {
            reasons[i].look(&w);
        }
    }
    point(&w, r->c);
}
