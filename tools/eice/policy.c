/* eice policy: the least that IAM has to allow for a use, with the names of
 * what it is used on. */
#include "cli.h"

#define TARGETS 16

enum { USE_SSH = 1, USE_FORWARD = 2, USE_DOCTOR = 4, USE_ENROLL = 8,
       USE_SERIAL = 16 };

static const struct {
    const char *name;
    unsigned use;
} uses[] = {
    {"ssh", USE_SSH},       {"forward", USE_FORWARD}, {"doctor", USE_DOCTOR},
    {"enroll", USE_ENROLL}, {"serial", USE_SERIAL},
};

typedef enum resource { ON_ALL, ON_ENDPOINTS, ON_INSTANCES } resource;

/* Which conditions a statement carries. */
typedef enum limits { NO_LIMIT, TUNNEL_LIMITS, LOGIN_LIMIT, ROLE_LIMIT } limits;

#define CONNECTS (USE_SSH | USE_FORWARD | USE_DOCTOR | USE_ENROLL)

typedef struct statement {
    const char *sid;
    unsigned uses;
    resource on;
    limits only;
    const char *actions; /* blanks between them */
} statement;

static const statement statements[] = {
    {"Find", CONNECTS | USE_SERIAL, ON_ALL, NO_LIMIT,
     "ec2:DescribeInstances"},
    {"FindEndpoint", CONNECTS, ON_ALL, NO_LIMIT,
     "ec2:DescribeInstanceConnectEndpoints"},
    {"Look", USE_DOCTOR | USE_ENROLL, ON_ALL, NO_LIMIT,
     "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeImages"},
    {"LookAround", USE_DOCTOR, ON_ALL, NO_LIMIT,
     "ec2:DescribeNetworkInterfaces ec2:DescribeNetworkAcls "
     "ec2:DescribeRouteTables"},
    {"Endpoint", USE_ENROLL, ON_ALL, NO_LIMIT,
     "ec2:CreateInstanceConnectEndpoint ec2:DeleteInstanceConnectEndpoint "
     "ec2:CreateNetworkInterface ec2:CreateTags"},
    {"Rules", USE_ENROLL, ON_ALL, NO_LIMIT,
     "ec2:AuthorizeSecurityGroupIngress ec2:AuthorizeSecurityGroupEgress "
     "ec2:RevokeSecurityGroupIngress ec2:RevokeSecurityGroupEgress"},
    {"ServiceRole", USE_ENROLL, ON_ALL, ROLE_LIMIT,
     "iam:CreateServiceLinkedRole"},
    {"Key", CONNECTS, ON_INSTANCES, LOGIN_LIMIT,
     "ec2-instance-connect:SendSSHPublicKey"},
    {"Tunnel", CONNECTS, ON_ENDPOINTS, TUNNEL_LIMITS,
     "ec2-instance-connect:OpenTunnel"},
    {"SerialKey", USE_SERIAL, ON_INSTANCES, NO_LIMIT,
     "ec2-instance-connect:SendSerialConsoleSSHPublicKey"},
};

#define STATEMENTS (sizeof statements / sizeof statements[0])

/* What the targets are. */
typedef struct subject {
    char instance[32];
    char address[64];
    char endpoint[40];
    char subnet[32];
    char group[64];
} subject;

typedef struct policy {
    cli *c;
    unsigned use;
    bool terraform;
    char region[64];
    cli_identity who;
    subject subjects[TARGETS];
    size_t count;
    bool first; /* of the members of an object */
} policy;

/* ---- writing, as JSON or as HCL ---------------------------------------- */

static void indent(unsigned depth)
{
    printf("%*s", (int)(2 * depth), "");
}

/* "name": , or name = */
static void name_of(policy *p, unsigned depth, const char *name)
{
    if (!p->terraform && !p->first) {
        putchar(',');
    }
    if (!p->terraform || !p->first) {
        putchar('\n');
    }
    p->first = false;
    indent(depth);
    printf(p->terraform ? "%s = " : "\"%s\": ", name);
}

static void text_of(policy *p, unsigned depth, const char *name,
                    const char *value)
{
    name_of(p, depth, name);
    cli_json_text(stdout, value);
}

static void item(bool *first, const char *text)
{
    fputs(*first ? "[" : ", ", stdout);
    cli_json_text(stdout, text);
    *first = false;
}

static void words_of(policy *p, unsigned depth, const char *name,
                     const char *words)
{
    eice_str rest = eice_str_c(words);
    bool first = true;
    char word[80];

    name_of(p, depth, name);
    while (rest.len > 0) {
        eice_copy_text(word, sizeof word, eice_str_cut(&rest, ' '));
        item(&first, word);
    }
    putchar(']');
}

/* Each once: several targets may share an endpoint. */
static void each(policy *p, bool *first, size_t offset, const char *format)
{
    char text[200];
    size_t i;
    size_t k;

    for (i = 0; i < p->count; i++) {
        const char *value = (const char *)&p->subjects[i] + offset;

        for (k = 0; k < i; k++) {
            if (strcmp((const char *)&p->subjects[k] + offset, value) == 0) {
                break;
            }
        }
        if (k < i || value[0] == 0) {
            continue;
        }
        if (format == NULL) {
            snprintf(text, sizeof text, "%s/%s", value,
                     strchr(value, ':') != NULL ? "128" : "32");
        } else {
            snprintf(text, sizeof text, "arn:%s:ec2:%s:%s:%s/%s", p->who.partition,
                     p->region, p->who.account, format, value);
        }
        item(first, text);
    }
}

static void resources(policy *p, unsigned depth, const statement *s)
{
    const char *kind = s->on == ON_ENDPOINTS ? "instance-connect-endpoint"
                                             : "instance";
    bool first = true;
    char text[200];

    name_of(p, depth, p->terraform ? "resources" : "Resource");
    if (s->on == ON_ALL) {
        item(&first, "*");
    } else {
        each(p, &first, s->on == ON_ENDPOINTS ? offsetof(subject, endpoint)
                                              : offsetof(subject, instance),
             kind);
    }
    if (first) {
        snprintf(text, sizeof text, "arn:%s:ec2:%s:%s:%s/*", p->who.partition,
                 p->region, p->who.account, kind);
        item(&first, text);
    }
    putchar(']');
}

static void open_condition(policy *p, unsigned depth, const char *test,
                           const char *key)
{
    if (p->terraform) {
        putchar('\n');
        indent(depth);
        puts("condition {");
        p->first = true;
        text_of(p, depth + 1, "test", test);
        text_of(p, depth + 1, "variable", key);
        name_of(p, depth + 1, "values");
    } else {
        name_of(p, depth + 1, test);
        printf("{\"%s\": ", key);
    }
}

static void close_condition(policy *p, unsigned depth)
{
    putchar(']');
    if (p->terraform) {
        putchar('\n');
        indent(depth);
    }
    putchar('}');
}

static void ports_condition(policy *p, unsigned depth)
{
    bool first = true;
    char text[16];

    open_condition(p, depth, "NumericEquals",
                   "ec2-instance-connect:remotePort");
    snprintf(text, sizeof text, "%u",
             p->c->conn.port != 0 ? (unsigned)p->c->conn.port : 22u);
    item(&first, text);
    if (p->use == USE_FORWARD) {
        item(&first, "3389");
    }
    close_condition(p, depth);
}

static void tunnel_conditions(policy *p, unsigned depth)
{
    const uint32_t s = p->c->conn.max_tunnel_duration_s;
    bool first = true;
    char text[16];

    ports_condition(p, depth);
    if (p->count > 0) {
        open_condition(p, depth, "IpAddress",
                       "ec2-instance-connect:privateIpAddress");
        each(p, &first, offsetof(subject, address), NULL);
        close_condition(p, depth);
    }
    open_condition(p, depth, "NumericLessThanEquals",
                   "ec2-instance-connect:maxTunnelDuration");
    first = true;
    snprintf(text, sizeof text, "%u", s != 0 ? (unsigned)s : 3600u);
    item(&first, text);
    close_condition(p, depth);
}

static void conditions(policy *p, unsigned depth, const statement *s)
{
    const char *user = p->c->conn.user;
    bool first = true;

    if (s->only == NO_LIMIT) {
        return;
    }
    if (!p->terraform) {
        name_of(p, depth, "Condition");
        putchar('{');
        p->first = true;
    }
    if (s->only == TUNNEL_LIMITS) {
        tunnel_conditions(p, depth);
    } else {
        open_condition(p, depth,
                       s->only == LOGIN_LIMIT ? "StringEquals" : "StringLike",
                       s->only == LOGIN_LIMIT ? "ec2:osuser"
                                              : "iam:AWSServiceName");
        item(&first, s->only == ROLE_LIMIT
                         ? "ec2-instance-connect.amazonaws.com"
                     : user != NULL ? user
                                    : "ec2-user");
        close_condition(p, depth);
    }
    if (!p->terraform) {
        putchar('\n');
        indent(depth);
        putchar('}');
    }
}

static void put_statement(policy *p, const statement *s, bool last)
{
    const unsigned depth = p->terraform ? 2 : 3;

    indent(depth - 1);
    puts(p->terraform ? "statement {" : "{");
    p->first = true;
    if (p->terraform) {
        text_of(p, depth, "sid", s->sid);
    } else {
        indent(depth);
        printf("\"Sid\": \"%s\"", s->sid);
        p->first = false;
        text_of(p, depth, "Effect", "Allow");
    }
    words_of(p, depth, p->terraform ? "actions" : "Action", s->actions);
    resources(p, depth, s);
    conditions(p, depth, s);
    putchar('\n');
    indent(depth - 1);
    puts(p->terraform || last ? "}" : "},");
}

static void put_policy(policy *p)
{
    size_t last = 0;
    size_t i;

    for (i = 0; i < STATEMENTS; i++) {
        last = (statements[i].uses & p->use) != 0 ? i : last;
    }
    fputs(p->terraform ? "data \"aws_iam_policy_document\" \"eice\" {\n"
                       : "{\n  \"Version\": \"2012-10-17\",\n"
                         "  \"Statement\": [\n",
          stdout);
    for (i = 0; i < STATEMENTS; i++) {
        if ((statements[i].uses & p->use) != 0) {
            put_statement(p, &statements[i], i == last);
        }
    }
    fputs(p->terraform ? "}\n" : "  ]\n}\n", stdout);
}

/* ---- the targets ------------------------------------------------------- */

static bool failed_call(const cli *c, const cli_call *asks, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (asks[i].asked && asks[i].call.error.code != EICE_OK) {
            cli_report(c, &asks[i].call.error);
            return true;
        }
    }
    return false;
}

static bool no_such(const policy *p, const cli_facts *f)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    if (f->instance == NULL || f->ambiguous) {
        eice_fail(&e, f->ambiguous ? EICE_E_AMBIGUOUS : EICE_E_NO_INSTANCE,
                  EICE_STAGE_TARGET, "%s: %s in %s", p->c->conn.target,
                  eice_err_text(f->ambiguous ? EICE_E_AMBIGUOUS
                                             : EICE_E_NO_INSTANCE),
                  p->region);
        cli_report(p->c, &e);
        return true;
    }
    return false;
}

static bool add_target(policy *p, cli_run *r, const char *target)
{
    subject *s = &p->subjects[p->count];
    cli_facts *f = (cli_facts *)calloc(1, sizeof *f);
    bool good;

    if (f == NULL) {
        return false;
    }
    p->c->conn.target = target;
    (void)cli_facts_find(f, r);
    good = !failed_call(p->c, f->ask, CLI_ASK_FOUND) && !no_such(p, f);
    if (good) {
        snprintf(s->instance, sizeof s->instance, "%s", f->id);
        snprintf(s->address, sizeof s->address, "%s", f->address);
        snprintf(s->endpoint, sizeof s->endpoint, "%s", f->endpoint_id);
        snprintf(s->subnet, sizeof s->subnet, "%s", f->subnet);
        cli_fact(f->instance, "groupSet/item/groupId", s->group,
                 sizeof s->group);
        p->who = f->who;
        p->count++;
    }
    cli_facts_free(f);
    free(f);
    return good;
}

static bool whose(policy *p, cli_run *r)
{
    cli_call *a = (cli_call *)malloc(sizeof *a);
    bool good;

    if (a == NULL) {
        return false;
    }
    cli_call_begin(a, EICE_OP_GET_CALLER_IDENTITY);
    cli_call_start(r, a);
    good = cli_call_wait(r, a, 1) && a->count > 0;
    if (good) {
        cli_whose(&a->items[0], &p->who);
    } else {
        (void)failed_call(p->c, a, 1);
    }
    cli_call_end(a);
    free(a);
    return good;
}

/* ---- --check: dry runs ------------------------------------------------- */

/* On what an operation is tried. */
static const char *object_of(eice_op op, const subject *s)
{
    switch (op) {
    case EICE_OP_CREATE_ENDPOINT:
        return s->subnet;
    case EICE_OP_DELETE_ENDPOINT:
        return s->endpoint[0] != 0 ? s->endpoint : "eice-00000000000000000";
    case EICE_OP_CREATE_TAGS:
        return s->instance;
    default:
        return s->group;
    }
}

/* The operation of "ec2:Name"; COUNT: it has no dry run, or we do not make
 * such calls. */
static eice_op op_of(eice_str action)
{
    unsigned i;
    const eice_str service = eice_str_cut(&action, ':');

    for (i = 0; i < EICE_OP_COUNT && eice_str_is(service, "ec2"); i++) {
        if (eice_str_is(action, eice_op_name((eice_op)i))) {
            return (eice_op)i;
        }
    }
    return EICE_OP_COUNT;
}

/* As cli_allowed; -1 too where nobody can tell without doing it. */
static int ask(policy *p, cli_run *r, eice_str action, cli_call *a)
{
    const eice_op op = op_of(action);
    const subject *s = &p->subjects[0];
    const bool changes = op != EICE_OP_COUNT
                         && strncmp(eice_op_name(op), "Describe", 8) != 0
                         && strncmp(eice_op_name(op), "Get", 3) != 0;

    if (op == EICE_OP_COUNT || (changes && p->count == 0)) {
        return -1;
    }
    cli_dry_run(a, op, object_of(op, s),
                op == EICE_OP_CREATE_ENDPOINT ? "" : s->group, 22);
    return cli_allowed(r, a);
}

static void put_answer(const policy *p, eice_str action, int is,
                       const cli_call *a, bool first)
{
    static const char *const words[] = {"unknown", "missing", "allowed"};
    const char *why = is == 0 ? a->call.error.text : "";

    printf(p->c->json ? "%s{\"action\":\"%.*s\",\"is\":\"%s\""
                      : "%s%-50.*s %s",
           !p->c->json ? "" : first ? "[" : ",", (int)action.len, action.ptr,
           words[is + 1]);
    if (!p->c->json) {
        puts(is < 0 ? " (no dry run: eice doctor tries it)" : "");
        if (is == 0) {
            printf("  %s\n", why);
        }
        if (a->why[0] != 0) {
            printf("  %s\n", a->why);
        }
        return;
    }
    if (is == 0) {
        fputs(",\"why\":", stdout);
        cli_json_text(stdout, why);
    }
    if (a->why[0] != 0) {
        fputs(",\"decoded\":", stdout);
        cli_json_text(stdout, a->why);
    }
    putchar('}');
}

static int check(policy *p, cli_run *r)
{
    cli_call *a = (cli_call *)malloc(sizeof *a);
    int status = CLI_OK;
    bool first = true;
    size_t i;

    for (i = 0; a != NULL && i < STATEMENTS; i++) {
        eice_str rest = eice_str_c(statements[i].actions);

        while ((statements[i].uses & p->use) != 0 && rest.len > 0) {
            const eice_str action = eice_str_cut(&rest, ' ');
            int is;

            cli_call_begin(a, EICE_OP_COUNT);
            is = ask(p, r, action, a);
            put_answer(p, action, is, a, first);
            status = is == 0 ? CLI_FAILED : status;
            first = false;
            cli_call_end(a);
        }
    }
    free(a);
    fputs(p->c->json ? "]\n" : "", stdout);
    return a != NULL ? status : CLI_FAILED;
}

/* ---- the command ------------------------------------------------------- */

static int settle(policy *p)
{
    const cli *c = p->c;
    const char *use = c->use != NULL ? c->use : "ssh";
    size_t i;

    for (i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        p->use = strcmp(uses[i].name, use) == 0 ? uses[i].use : p->use;
    }
    if (p->use == 0) {
        return cli_usage_error(
            c, "--for takes ssh, forward, doctor, enroll or serial", use);
    }
    p->terraform = c->output != NULL && strcmp(c->output, "terraform") == 0;
    if (c->output != NULL && !p->terraform && strcmp(c->output, "json") != 0) {
        return cli_usage_error(c, "--format takes json or terraform",
                               c->output);
    }
    if (c->argc > TARGETS) {
        return cli_usage_error(c, "at most 16 targets", c->argv[TARGETS]);
    }
    return -1;
}

static int with_answers(policy *p, cli_run *r)
{
    int i;

    if (!cli_run_wait(r)) {
        return CLI_FAILED;
    }
    snprintf(p->region, sizeof p->region, "%s", eice_conn_region(r->conn));
    if (p->c->argc == 0 && !whose(p, r)) {
        return CLI_FAILED;
    }
    for (i = 0; i < p->c->argc; i++) {
        cli_split_user(p->c, &p->c->argv[i]);
        if (!add_target(p, r, p->c->argv[i])) {
            return CLI_FAILED;
        }
    }
    if (p->c->check) {
        return check(p, r);
    }
    put_policy(p);
    return CLI_OK;
}

int cli_policy(cli *c)
{
    policy *p = (policy *)calloc(1, sizeof *p);
    cli_run r;
    int status;

    if (p == NULL) {
        return CLI_FAILED;
    }
    p->c = c;
    status = settle(p);
    c->conn.goal = EICE_GOAL_CALLS;
    if (status < 0) {
        status = CLI_FAILED;
        if (cli_run_open(&r, c)) {
            status = with_answers(p, &r);
            cli_run_close(&r);
        }
        status = fflush(stdout) == 0 ? status : CLI_FAILED;
    }
    free(p);
    return status;
}
