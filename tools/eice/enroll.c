/* eice enroll: from a private instance to a login, in steps that look before
 * they change anything:
 *
 *   choose -> endpoint -> wait -> rules -> login -> test -> remember
 *
 * What exists already is used, so it can be interrupted and run again. What
 * it makes carries a tag, by which --undo finds exactly that. */
#include "enroll.h"

#include <unistd.h>

#define POLL_MS 5000u

void enroll_say(const enrolling *w, const enrolled *e, const char *what,
                     const char *value)
{
    cli_say(w->c, "%s: %s%s%s", e->name, what, value[0] != 0 ? " " : "",
            value);
}

bool enroll_report(const enrolling *w, eice_err code, eice_stage stage,
                   const char *what, const char *value, const char *remedy)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_fail(&e, code, stage, "%s%s%s", what, value[0] != 0 ? ": " : "",
              value);
    snprintf(e.remedy, sizeof e.remedy, "%s", remedy);
    cli_report(w->c, &e);
    return false;
}

bool enroll_agreed(const enrolling *w, const char *question)
{
    return w->c->point.yes || cli_confirm(question);
}

/* ---- calls ------------------------------------------------------------- */

bool enroll_open(enrolling *w)
{
    w->c->conn = w->given;
    w->c->conn.goal = EICE_GOAL_CALLS;
    return cli_run_connect(&w->r) && cli_run_wait(&w->r);
}

bool enroll_call(enrolling *w, cli_call *a)
{
    cli_call_start(&w->r, a);
    if (cli_call_wait(&w->r, a, 1)) {
        return true;
    }
    if (w->r.signal == 0) {
        cli_report(w->c, &a->call.error);
    }
    return false;
}

bool enroll_look(enrolling *w, const enrolled *e)
{
    size_t i;

    cli_facts_free(&w->f);
    memset(&w->f, 0, sizeof w->f);
    w->c->conn.target = e->id;
    if (cli_facts_find(&w->f, &w->r)) {
        cli_facts_around(&w->f, &w->r);
        return true;
    }
    for (i = 0; i < CLI_ASK_FOUND && w->r.signal == 0; i++) {
        if (w->f.ask[i].call.error.code != EICE_OK) {
            cli_report(w->c, &w->f.ask[i].call.error);
            break;
        }
    }
    return false;
}

/* ---- choose ------------------------------------------------------------ */

bool enroll_add(enrolling *w, const char *id, const char *name)
{
    enrolled *e = &w->list[w->count];

    if (w->count == ENROLL_MANY) {
        return enroll_report(w, EICE_E_LIMIT, EICE_STAGE_TARGET,
                             "too many instances", "", "name them");
    }
    snprintf(e->id, sizeof e->id, "%s", id);
    snprintf(e->name, sizeof e->name, "%s", name[0] != 0 ? name : id);
    w->count++;
    return true;
}

/* What files know of one that is gone can be undone still. */
static bool add_gone(enrolling *w, const char *target)
{
    char id[32];

    w->list[w->count].gone = true;
    return enroll_add(w, w->f.id[0] != 0 ? w->f.id
                         : cli_config_get(target, "target", id, sizeof id)
                             ? id
                             : target,
                      target);
}

/* [user@]target: the last @ divides. Facts tell whether there is just one. */
static bool add_target(enrolling *w, const char *target)
{
    const char *const at = strrchr(target, '@');
    eice_err code;

    if (at != NULL && at > target) {
        snprintf(w->list[w->count].login, sizeof w->list->login, "%.*s",
                 (int)(at - target), target);
        target = at + 1;
    }
    w->c->conn.target = target;
    cli_facts_free(&w->f);
    memset(&w->f, 0, sizeof w->f);
    (void)cli_facts_find(&w->f, &w->r);
    code = w->f.ask[CLI_ASK_INSTANCES].call.error.code;
    if (w->c->undo && w->f.vpc[0] == 0 && !w->f.ambiguous
        && (code == EICE_OK || code == EICE_E_NO_INSTANCE)) {
        return add_gone(w, target);
    }
    if (code != EICE_OK) {
        cli_report(w->c, &w->f.ask[CLI_ASK_INSTANCES].call.error);
        return false;
    }
    if (w->f.instance == NULL || w->f.ambiguous) {
        return enroll_report(w, w->f.ambiguous ? EICE_E_AMBIGUOUS
                                               : EICE_E_NO_INSTANCE,
                             EICE_STAGE_TARGET, target,
                             w->f.ambiguous
                                 ? "several instances have this name"
                                 : "no such instance",
                             "");
    }
    return enroll_add(w, w->f.id, target);
}

/* ---- the endpoint ------------------------------------------------------ */

static void put_settings(cli_call *a, const enroll_settings *s)
{
    size_t i;

    eice_param(&a->params, "SubnetId", eice_str_c(s->subnet));
    for (i = 0; i < s->groups.count; i++) {
        eice_param(&a->params, "SecurityGroupId.#",
                   eice_str_c(s->groups.list[i]));
    }
    if (s->type[0] != 0) {
        eice_param(&a->params, "IpAddressType", eice_str_c(s->type));
    }
    if (s->keep[0] != 0) {
        eice_param(&a->params, "PreserveClientIp",
                   eice_str_c(s->keep[0] == 'y' ? "true" : "false"));
    }
}

/* `late`: the VPC has one already, which was not to be seen before: that of a
 * run that was interrupted just now. */
static bool create(enrolling *w, enrolled *e, eice_error *late)
{
    cli_call *a = (cli_call *)malloc(sizeof *a);
    enroll_settings s;
    bool good;

    if (a == NULL) {
        return false;
    }
    cli_call_begin(a, EICE_OP_CREATE_ENDPOINT);
    good = enroll_choose_settings(w, e, &s);
    if (good) {
        put_settings(a, &s);
        cli_put_tags(w->c, &a->params, "instance-connect-endpoint");
        cli_call_start(&w->r, a);
        good = cli_call_wait(&w->r, a, 1) && a->count > 0;
        if (cli_contains(a->call.error.aws_code, "LimitExceeded")) {
            *late = a->call.error;
        } else if (!good && w->r.signal == 0) {
            cli_report(w->c, &a->call.error);
        }
    }
    if (good) {
        eice_item_get(&a->items[0], "instanceConnectEndpointId", e->endpoint,
                      sizeof e->endpoint);
        e->made = true;
        enroll_say(w, e, "made endpoint", e->endpoint);
    }
    cli_call_end(a);
    free(a);
    return good;
}

/* One there is that is usable, or will be. */
static bool there_is(enrolling *w, enrolled *e)
{
    char state[32];

    cli_fact(w->f.endpoint, "state", state, sizeof state);
    if (state[0] == 0 || cli_contains(state, "delete")) {
        return false;
    }
    snprintf(e->endpoint, sizeof e->endpoint, "%s", w->f.endpoint_id);
    enroll_say(w, e, "uses endpoint", e->endpoint);
    return true;
}

static bool create_failed(const enrolling *w, const eice_item *item,
                          const char *id)
{
    char why[200];
    char remedy[256];

    snprintf(remedy, sizeof remedy,
             "mend that, then eice endpoint delete %s, and enroll again; "
             "https://%s.console.aws.amazon.com/vpc/home?"
             "#InstanceConnectEndpointDetails:instanceConnectEndpointId=%s",
             id, eice_conn_region(w->r.conn), id);
    return enroll_report(w, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                  "the endpoint could not be made",
                  eice_item_get(item, "stateMessage", why, sizeof why),
                  remedy);
}

static uint32_t wait_limit(const enrolling *w)
{
    return w->c->point.timeout_ms != 0 ? w->c->point.timeout_ms : 900000;
}

/* One on its way out keeps the place of the next. */
static bool wait_gone(enrolling *w, const enrolled *e)
{
    const uint64_t end = eice_posix_now().ms + wait_limit(w);
    uint32_t pause = 500;

    while (w->f.endpoint != NULL
           && eice_item_is(w->f.endpoint, "state", "delete-in-progress")) {
        if (eice_posix_now().ms >= end) {
            return enroll_report(w, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                                 w->f.endpoint_id, "not gone in time",
                                 "run it again: it goes on waiting");
        }
        if (pause == 500) {
            enroll_say(w, e, "waits until it is gone:", w->f.endpoint_id);
        }
        if (!cli_calls_pause(&w->r, pause) || !enroll_look(w, e)) {
            return false;
        }
        pause = pause * 2 < POLL_MS ? pause * 2 : POLL_MS;
    }
    return true;
}

/* That one; otherwise it is made. */
static bool have_endpoint(enrolling *w, enrolled *e)
{
    eice_error late;

    memset(&late, 0, sizeof late);

    if (!enroll_look(w, e)) {
        return false;
    }
    if (w->f.vpc[0] == 0
        || !eice_item_is(w->f.instance, "instanceState/name", "running")) {
        return enroll_report(w, EICE_E_NOT_RUNNING, EICE_STAGE_TARGET, e->name,
                      "the instance is not running in a VPC",
                      "start it first");
    }
    if (w->f.endpoint != NULL
        && eice_item_is(w->f.endpoint, "state", "create-failed")) {
        return create_failed(w, w->f.endpoint, w->f.endpoint_id);
    }
    if (there_is(w, e) || (wait_gone(w, e) && create(w, e, &late))) {
        return true;
    }
    if (late.code != EICE_OK) {
        if (cli_calls_pause(&w->r, 1000) && enroll_look(w, e) && there_is(w, e)) {
            return true;
        }
        cli_report(w->c, &late);
    }
    return false;
}

#define POLLED 32u /* endpoints in one look */

static bool waits(const enrolled *e)
{
    return e->endpoint[0] != 0 && !e->ready && !e->failed;
}

/* The next endpoint that is not ready, from `*i` on: instances of one VPC
 * wait for the same. */
static const enrolled *next_waiting(const enrolling *w, size_t *i)
{
    const enrolled *found = NULL;
    size_t k;

    for (; *i < w->count && found == NULL; (*i)++) {
        const enrolled *e = &w->list[*i];

        for (k = 0; k < *i && strcmp(w->list[k].endpoint, e->endpoint) != 0;
             k++) {
        }
        found = waits(e) && k == *i ? e : NULL;
    }
    return found;
}

/* What is said of an endpoint counts for all that wait for it. */
static void settle(enrolling *w, const eice_item *item)
{
    char id[40];
    char state[24];
    const bool failed = eice_item_is(item, "state", "create-failed");
    size_t i;

    eice_item_get(item, "instanceConnectEndpointId", id, sizeof id);
    eice_item_get(item, "state", state, sizeof state);
    for (i = 0; i < w->count; i++) {
        enrolled *e = &w->list[i];

        if (waits(e) && strcmp(e->endpoint, id) == 0) {
            snprintf(e->state, sizeof e->state, "%s", state);
            e->ready = cli_contains(state, "complete")
                       || cli_contains(state, "update");
            e->failed = failed;
        }
    }
    if (failed) {
        (void)create_failed(w, item, id);
    }
}

/* One call for all of them; false: reported. One that was just made may not
 * be seen everywhere yet. */
static bool look_at_endpoints(enrolling *w)
{
    cli_call *a = (cli_call *)malloc(sizeof *a);
    const enrolled *e;
    size_t i = 0;
    bool good;

    if (a == NULL) {
        return false;
    }
    cli_call_begin(a, EICE_OP_DESCRIBE_ENDPOINTS);
    while (a->params.count < POLLED && (e = next_waiting(w, &i)) != NULL) {
        eice_param_filter(&a->params, "instance-connect-endpoint-id",
                          eice_str_c(e->endpoint));
    }
    good = enroll_call(w, a);
    for (i = 0; i < a->count; i++) {
        settle(w, &a->items[i]);
    }
    cli_call_end(a);
    free(a);
    return good;
}

#define PROGRESS_COLUMNS 60 /* or it would wrap */

/* A line, which the next one replaces where the cursor can be moved. */
static void show_progress(const enrolling *w, uint64_t ms, bool again)
{
    size_t i = 0;
    unsigned more = 0;
    const enrolled *const e = next_waiting(w, &i);
    char others[24] = "";
    eice_pty size;

    while (next_waiting(w, &i) != NULL) {
        more++;
    }
    if (more > 0) {
        snprintf(others, sizeof others, " (and %u more)", more);
    }
    cli_term_size(STDERR_FILENO, &size);
    if (!w->c->quiet) {
        fprintf(stderr, "%seice: %s%s: %s, %u s\n",
                again && cli_colour(STDERR_FILENO)
                        && size.columns >= PROGRESS_COLUMNS
                    ? "\033[A\033[K"
                    : "",
                e->endpoint, others,
                e->state[0] != 0 ? e->state : "create-in-progress",
                (unsigned)(ms / 1000));
    }
}

static void not_in_time(const enrolling *w)
{
    const enrolled *e;
    size_t i = 0;

    while ((e = next_waiting(w, &i)) != NULL) {
        (void)enroll_report(w, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                            e->endpoint, "not ready in time",
                            "run it again: it goes on waiting");
    }
}

/* Until none is on its way any more, or it takes too long. */
static void wait_endpoints(enrolling *w)
{
    const uint64_t began = eice_posix_now().ms;
    uint64_t waited = 0;
    uint32_t pause = 500;
    size_t i = 0;

    while (look_at_endpoints(w) && (i = 0, next_waiting(w, &i) != NULL)) {
        waited = eice_posix_now().ms - began;
        if (waited >= wait_limit(w)) {
            not_in_time(w);
            return;
        }
        show_progress(w, waited, pause > 500);
        if (!cli_calls_pause(&w->r, pause)) {
            return;
        }
        pause = pause * 2 < POLL_MS ? pause * 2 : POLL_MS;
    }
}

/* ---- rules ------------------------------------------------------------- */

static unsigned port_of(const enrolling *w)
{
    return w->c->conn.port != 0 ? w->c->conn.port : 22;
}

static bool open_port(enrolling *w, const cli_group_rule *rule, bool egress)
{
    cli_call *a = (cli_call *)malloc(sizeof *a);
    char port[8];
    bool good;

    if (a == NULL) {
        return false;
    }
    snprintf(port, sizeof port, "%u", port_of(w));
    cli_call_begin(a, egress ? EICE_OP_AUTHORIZE_EGRESS
                             : EICE_OP_AUTHORIZE_INGRESS);
    eice_param(&a->params, "GroupId", eice_str_c(rule->group));
    eice_param(&a->params, "IpPermissions.1.IpProtocol", eice_str_c("tcp"));
    eice_param(&a->params, "IpPermissions.1.FromPort", eice_str_c(port));
    eice_param(&a->params, "IpPermissions.1.ToPort", eice_str_c(port));
    eice_param(&a->params, "IpPermissions.1.Groups.1.GroupId",
               eice_str_c(rule->peer));
    cli_put_tags(w->c, &a->params, "security-group-rule");
    good = enroll_call(w, a);
    cli_call_end(a);
    free(a);
    return good;
}

static bool open_rules(enrolling *w, enrolled *e, bool egress)
{
    cli_group_rule rule;
    char answer[8] = "y";

    if (w->f.ask[CLI_ASK_GROUPS].call.error.code != EICE_OK) {
        enroll_say(w, e, "its security groups may not be seen:",
                 w->f.ask[CLI_ASK_GROUPS].call.error.text);
        return true;
    }
    if (cli_facts_groups(&w->f, port_of(w), egress, &rule) != CLI_LETS_NO) {
        return true;
    }
    if (!w->c->quiet) {
        fprintf(stderr,
                "eice: %s: the security group of the %s is closed\n"
                "  %s  %s\n+   %s tcp %u %s %s\n",
                e->name, egress ? "endpoint" : "instance",
                egress ? "outbound of" : "inbound of", rule.group,
                "allow", port_of(w), egress ? "to" : "from", rule.peer);
    }
    if (!w->c->point.no_rules && !w->c->point.yes
        && !enroll_ask(w, "Add this rule?", "y", answer, sizeof answer)) {
        return false;
    }
    if (w->c->point.no_rules || (answer[0] != 'y' && answer[0] != 'Y')) {
        enroll_say(w, e, "the rule is missing still", "");
        return true; /* the test tells what comes of it */
    }
    e->opened[egress] = open_port(w, &rule, egress);
    return e->opened[egress];
}

/* ---- login, test ------------------------------------------------------- */

/* As user@ or -l says, else as it was before, else as the image is known for.
 */
static bool choose_login(enrolling *w, enrolled *e)
{
    bool carries = true;
    const char *guess = cli_facts_login(&w->f, &carries);
    const bool said = e->login[0] != 0 || w->given.user != NULL;
    char known[64];

    if (cli_config_get(e->name, "user", known, sizeof known)) {
        guess = known;
    }
    guess = w->given.user != NULL ? w->given.user
            : guess != NULL       ? guess
                                  : "ec2-user";
    if (e->login[0] == 0) {
        snprintf(e->login, sizeof e->login, "%s", guess);
    }
    if (!w->c->point.yes && !said
        && !enroll_ask(w, "Login", guess, e->login, sizeof e->login)) {
        return false;
    }
    if (!carries) {
        enroll_say(w, e, "its image does not carry EC2 Instance Connect:",
                 "install the package ec2-instance-connect there");
    }
    return true;
}

static bool test_login(enrolling *w, enrolled *e)
{
    cli *c = w->c;

    if (c->point.no_test) {
        return true;
    }
    cli_run_disconnect(&w->r);
    c->conn = w->given;
    c->conn.goal = EICE_GOAL_SSH;
    c->conn.target = e->id;
    c->conn.user = e->login;
    c->conn.endpoint_id = e->endpoint;
    e->tested = cli_run_connect(&w->r) && cli_run_wait(&w->r);
    if (e->tested) {
        enroll_say(w, e, "logs in as", e->login);
        eice_conn_close(w->r.conn);
        while ((eice_conn_state(w->r.conn) & EICE_DONE) == 0) {
            cli_run_turn(&w->r, NULL, 0);
        }
    } else if (w->r.signal == 0) {
        enroll_say(w, e, "find out why: eice doctor", e->id);
    }
    cli_run_disconnect(&w->r);
    return enroll_open(w) && e->tested;
}

static void put_setting(eice_buf *b, const char *name, const char *value)
{
    if (value != NULL && value[0] != 0) {
        eice_putf(b, "%s = %s\n", name, value);
    }
}

static void mark(const enrolling *w, const enrolled *e, cli_mark *m)
{
    m->id = e->id;
    m->region = eice_conn_region(w->r.conn);
    m->profile = w->given.profile;
}

/* At the end of ~/.ssh/config, unless it has a host of that name. */
static bool add_stanza(enrolling *w, const enrolled *e)
{
    char memory[2048];
    char path[1024];
    cli_mark m;
    eice_buf b;
    bool there = false;

    mark(w, e, &m);
    eice_buf_init(&b, memory, sizeof memory);
    cli_put_stanza(w->c, &b, e->name, e->id);
    if (!cli_stanza_good(&b)) {
        return enroll_report(w, EICE_E_ARGUMENT, EICE_STAGE_LOCAL,
                             "this cannot be a Host of ssh_config", e->name,
                             "eice ssh knows it by this name");
    }
    if (!eice_posix_expand("~/.ssh/config", path, sizeof path)
        || !cli_stanza_store(w->c, path, &m, eice_buf_str(&b), &there)) {
        return false;
    }
    if (there) {
        enroll_say(w, e, "is in", path);
    }
    return true;
}

static bool stanza(enrolling *w, const enrolled *e)
{
    const char *before = w->c->conn.user;
    char answer[8] = "";
    bool good = true;

    if (!w->c->point.stanza && !w->c->point.yes
        && !enroll_ask(w, "Add it to ~/.ssh/config, for plain ssh?", "n", answer,
                       sizeof answer)) {
        return true; /* everything else is done */
    }
    if (w->c->point.stanza || answer[0] == 'y' || answer[0] == 'Y') {
        w->c->conn.user = e->login;
        good = add_stanza(w, e);
        w->c->conn.user = before;
    }
    return good;
}

static bool remember(enrolling *w, const enrolled *e)
{
    char memory[1024];
    char dns[200];
    cli_mark m;
    eice_buf b;

    mark(w, e, &m);

    cli_fact(w->f.endpoint, "dnsName", dns, sizeof dns);
    eice_buf_init(&b, memory, sizeof memory);
    put_setting(&b, "target", e->id);
    put_setting(&b, "user", e->login);
    put_setting(&b, "region", eice_conn_region(w->r.conn));
    put_setting(&b, "profile", w->given.profile);
    put_setting(&b, "endpoint-id", e->endpoint);
    put_setting(&b, "endpoint-dns", dns);
    put_setting(&b, "private-ip", w->f.address);
    if (!cli_config_store(w->c, e->name, &m, eice_buf_str(&b))) {
        return false;
    }
    cli_say(w->c, "%s: from now on: eice ssh '%s'", e->name, e->name);
    return stanza(w, e);
}

/* ---- all of it --------------------------------------------------------- */

static bool finish(enrolling *w, enrolled *e)
{
    /* what was made by now is to be seen: its interface and its groups */
    return enroll_look(w, e) && open_rules(w, e, true)
           && open_rules(w, e, false) && choose_login(w, e)
           && test_login(w, e) && remember(w, e);
}

static void put_json(const enrolled *e, bool good, bool first)
{
    printf("%s{\"name\":", first ? "[" : ",\n");
    cli_json_text(stdout, e->name);
    printf(",\"instance\":\"%s\",\"endpoint\":\"%s\",\"endpoint_made\":%s,"
           "\"rule_in_made\":%s,\"rule_out_made\":%s,\"user\":",
           e->id, e->endpoint, e->made ? "true" : "false",
           e->opened[0] ? "true" : "false", e->opened[1] ? "true" : "false");
    cli_json_text(stdout, e->login);
    printf(",\"tested\":%s,\"ok\":%s}", e->tested ? "true" : "false",
           good ? "true" : "false");
}

/* Endpoints first: AWS makes them side by side. */
static void have_endpoints(enrolling *w)
{
    bool some = false;
    size_t i;

    for (i = 0; i < w->count && w->r.signal == 0 && !w->left; i++) {
        if (have_endpoint(w, &w->list[i])) {
            some = true;
        } else {
            w->list[i].endpoint[0] = 0;
        }
    }
    if (some && w->r.signal == 0 && !w->left) {
        wait_endpoints(w);
    }
}

static int enroll_all(enrolling *w)
{
    int status = CLI_OK;
    size_t i;

    have_endpoints(w);
    for (i = 0; i < w->count && w->r.signal == 0 && !w->left; i++) {
        const bool good = w->list[i].ready && finish(w, &w->list[i]);

        status = good ? status : CLI_FAILED;
        if (w->c->json) {
            put_json(&w->list[i], good, i == 0);
        }
    }
    if (w->c->json) {
        puts(i > 0 ? "]" : "[]"); /* nothing: left before the first */
    }
    return w->r.signal != 0 || w->left ? CLI_FAILED : status;
}

/* ---- the command ------------------------------------------------------- */

static int run_steps(enrolling *w)
{
    bool good = enroll_open(w) && enroll_choose_region(w);
    int i;

    for (i = 0; i < w->c->argc && good; i++) {
        good = i < ENROLL_MANY && add_target(w, w->c->argv[i]);
    }
    if (good && w->c->argc == 0 && !w->c->undo) {
        good = enroll_choose(w);
    }
    return !good ? CLI_FAILED : w->c->undo ? enroll_undo(w) : enroll_all(w);
}

int cli_enroll(cli *c)
{
    enrolling *w;
    int status = CLI_FAILED;

    if (!c->point.yes && !cli_can_ask()) {
        return cli_usage_error(c, "without a terminal, pass --yes", NULL);
    }
    if (c->point.yes && c->argc == 0 && !c->all && !c->undo) {
        return cli_usage_error(c, "--yes needs targets, or --all", NULL);
    }
    w = (enrolling *)calloc(1, sizeof *w);
    if (w == NULL) {
        return CLI_FAILED;
    }
    w->list = (enrolled *)calloc(ENROLL_MANY, sizeof *w->list);
    w->c = c;
    w->ask = cli_can_ask();
    c->conn.target = NULL;
    c->unconfigured = true; /* what was learnt before is no advice */
    w->given = c->conn;
    if (w->list != NULL && cli_run_begin(&w->r, c)) {
        status = run_steps(w);
        if (status != CLI_OK && w->r.signal != 0) {
            cli_say(c, "interrupted: run it again, it goes on");
        }
    }
    cli_facts_free(&w->f);
    cli_run_close(&w->r);
    free(w->list);
    free(w);
    return fflush(stdout) == 0 ? status : CLI_FAILED;
}
