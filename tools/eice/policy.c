/* eice policy: the least that IAM has to allow for a use, with the names of
 * what it is used on. */
#include "cli.h"
#include "enroll.h"

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
typedef enum limits {
    NO_LIMIT,
    TUNNEL_LIMITS,
    LOGIN_LIMIT,
    ROLE_LIMIT,
    MADE_LIMIT /* what carries the tag of enroll */
} limits;

#define CONNECTS (USE_SSH | USE_FORWARD | USE_DOCTOR | USE_ENROLL)

/* When a use needs a statement: what its options say. */
typedef enum needed {
    ALWAYS,
    WITH_CONSOLE, /* --hostkey-policy console */
    WITH_RULES,   /* but for --no-rules */
    WITH_LOGIN,   /* but for --no-test */
    TO_MAKE,      /* but for --undo */
    TO_UNDO
} needed;

typedef struct statement {
    const char *sid;
    unsigned uses;
    resource on;
    limits only;
    needed when;
    const char *actions; /* blanks between them */
} statement;

static const statement statements[] = {
    {"Find", CONNECTS | USE_SERIAL, ON_ALL, NO_LIMIT, ALWAYS,
     "ec2:DescribeInstances"},
    {"FindEndpoint", CONNECTS, ON_ALL, NO_LIMIT, ALWAYS,
     "ec2:DescribeInstanceConnectEndpoints"},
    {"Look", USE_DOCTOR, ON_ALL, NO_LIMIT, ALWAYS,
     "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeImages"},
    {"Look", USE_ENROLL, ON_ALL, NO_LIMIT, WITH_RULES,
     "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeImages"},
    {"LookAround", USE_DOCTOR, ON_ALL, NO_LIMIT, ALWAYS,
     "ec2:DescribeNetworkInterfaces ec2:DescribeNetworkAcls "
     "ec2:DescribeRouteTables"},
    {"Endpoint", USE_ENROLL, ON_ALL, NO_LIMIT, TO_MAKE,
     "ec2:CreateInstanceConnectEndpoint ec2:CreateNetworkInterface "
     "ec2:CreateTags"},
    {"Rules", USE_ENROLL, ON_ALL, NO_LIMIT, WITH_RULES,
     "ec2:AuthorizeSecurityGroupIngress ec2:AuthorizeSecurityGroupEgress"},
    {"ServiceRole", USE_ENROLL, ON_ALL, ROLE_LIMIT, TO_MAKE,
     "iam:CreateServiceLinkedRole"},
    {"Look", USE_ENROLL, ON_ALL, NO_LIMIT, TO_UNDO,
     "ec2:DescribeSecurityGroups"},
    {"FindRules", USE_ENROLL, ON_ALL, NO_LIMIT, TO_UNDO,
     "ec2:DescribeSecurityGroupRules"},
    {"Undo", USE_ENROLL, ON_ALL, MADE_LIMIT, TO_UNDO,
     "ec2:DeleteInstanceConnectEndpoint"},
    {"UndoRules", USE_ENROLL, ON_ALL, NO_LIMIT, TO_UNDO,
     "ec2:RevokeSecurityGroupIngress ec2:RevokeSecurityGroupEgress"},
    {"HostKeys", CONNECTS, ON_INSTANCES, NO_LIMIT, WITH_CONSOLE,
     "ec2:GetConsoleOutput"},
    {"Key", CONNECTS, ON_INSTANCES, LOGIN_LIMIT, WITH_LOGIN,
     "ec2-instance-connect:SendSSHPublicKey"},
    {"Tunnel", CONNECTS, ON_ENDPOINTS, TUNNEL_LIMITS, WITH_LOGIN,
     "ec2-instance-connect:OpenTunnel"},
    {"SerialKey", USE_SERIAL, ON_INSTANCES, NO_LIMIT, ALWAYS,
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
    char tag[160]; /* "aws:ResourceTag/KEY", where targets are tags */
    eice_buf out;
    bool first; /* of the members of an object */
} policy;

/* ---- writing, as JSON or as HCL ---------------------------------------- */

static void indent(policy *p, unsigned depth)
{
    for (; depth > 0; depth--) {
        eice_put_c(&p->out, "  ");
    }
}

/* "name": , or name = */
static void name_of(policy *p, unsigned depth, const char *name)
{
    if (!p->terraform && !p->first) {
        eice_put_byte(&p->out, ',');
    }
    if (!p->terraform || !p->first) {
        eice_put_byte(&p->out, '\n');
    }
    p->first = false;
    indent(p, depth);
    eice_putf(&p->out, p->terraform ? "%s = " : "\"%s\": ", name);
}

static void put_text(policy *p, const char *text)
{
    eice_put_byte(&p->out, '"');
    eice_put_json(&p->out, eice_str_c(text));
    eice_put_byte(&p->out, '"');
}

static void text_of(policy *p, unsigned depth, const char *name,
                    const char *value)
{
    name_of(p, depth, name);
    put_text(p, value);
}

static void item(policy *p, bool *first, const char *text)
{
    eice_put_c(&p->out, *first ? "[" : ", ");
    put_text(p, text);
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
        item(p, &first, word);
    }
    eice_put_byte(&p->out, ']');
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
        item(p, first, text);
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
        item(p, &first, "*");
    } else {
        each(p, &first, s->on == ON_ENDPOINTS ? offsetof(subject, endpoint)
                                              : offsetof(subject, instance),
             kind);
    }
    if (first) {
        snprintf(text, sizeof text, "arn:%s:ec2:%s:%s:%s/*", p->who.partition,
                 p->region, p->who.account, kind);
        item(p, &first, text);
    }
    eice_put_byte(&p->out, ']');
}

static void open_condition(policy *p, unsigned depth, const char *test,
                           const char *key)
{
    if (p->terraform) {
        eice_put_byte(&p->out, '\n');
        indent(p, depth);
        eice_put_c(&p->out, "condition {\n");
        p->first = true;
        text_of(p, depth + 1, "test", test);
        text_of(p, depth + 1, "variable", key);
        name_of(p, depth + 1, "values");
    } else {
        name_of(p, depth + 1, test);
        eice_putf(&p->out, "{\"%s\": ", key);
    }
}

static void close_condition(policy *p, unsigned depth)
{
    eice_put_byte(&p->out, ']');
    if (p->terraform) {
        eice_put_byte(&p->out, '\n');
        indent(p, depth);
    }
    eice_put_byte(&p->out, '}');
}

static void ports_condition(policy *p, unsigned depth)
{
    bool first = true;
    char text[16];

    open_condition(p, depth, "NumericEquals",
                   "ec2-instance-connect:remotePort");
    snprintf(text, sizeof text, "%u",
             p->c->conn.port != 0 ? (unsigned)p->c->conn.port : 22u);
    item(p, &first, text);
    if (p->use == USE_FORWARD) {
        item(p, &first, "3389");
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
    item(p, &first, text);
    close_condition(p, depth);
}

/* One more key of the same test, after the values of one. */
static void next_key(policy *p, unsigned depth, const char *test,
                     const char *key, bool *some)
{
    if (!*some || p->terraform) {
        if (*some) {
            close_condition(p, depth);
        }
        open_condition(p, depth, test, key);
    } else {
        eice_putf(&p->out, "], \"%s\": ", key);
    }
    *some = true;
}

static void equal_condition(policy *p, unsigned depth, const statement *s)
{
    const char *user = p->c->conn.user;
    bool some = false;
    bool first = true;
    int i;

    if (s->only == LOGIN_LIMIT) {
        next_key(p, depth, "StringEquals", "ec2:osuser", &some);
        item(p, &first, user != NULL ? user : "ec2-user");
    } else if (s->only == MADE_LIMIT) {
        next_key(p, depth, "StringEquals", "aws:ResourceTag/" CLI_TAG,
                 &some);
        item(p, &first, "eice");
    } else if (s->only == ROLE_LIMIT) {
        next_key(p, depth, "StringLike", "iam:AWSServiceName", &some);
        item(p, &first, "ec2-instance-connect.amazonaws.com");
    }
    if (s->on == ON_INSTANCES && p->tag[0] != 0) {
        next_key(p, depth, "StringEquals", p->tag, &some);
        first = true;
        for (i = 0; i < p->c->argc; i++) {
            item(p, &first, strchr(p->c->argv[i], '=') + 1);
        }
    }
    close_condition(p, depth);
}

static void conditions(policy *p, unsigned depth, const statement *s)
{
    if (s->only == NO_LIMIT
        && !(s->on == ON_INSTANCES && p->tag[0] != 0)) {
        return;
    }
    if (!p->terraform) {
        name_of(p, depth, "Condition");
        eice_put_byte(&p->out, '{');
        p->first = true;
    }
    if (s->only == TUNNEL_LIMITS) {
        tunnel_conditions(p, depth);
    } else {
        equal_condition(p, depth, s);
    }
    if (!p->terraform) {
        eice_put_byte(&p->out, '\n');
        indent(p, depth);
        eice_put_byte(&p->out, '}');
    }
}

static void put_statement(policy *p, const statement *s, bool last)
{
    const unsigned depth = p->terraform ? 2 : 3;

    indent(p, depth - 1);
    eice_put_c(&p->out, p->terraform ? "statement {\n" : "{\n");
    p->first = true;
    if (p->terraform) {
        text_of(p, depth, "sid", s->sid);
    } else {
        indent(p, depth);
        eice_putf(&p->out, "\"Sid\": \"%s\"", s->sid);
        p->first = false;
        text_of(p, depth, "Effect", "Allow");
    }
    words_of(p, depth, p->terraform ? "actions" : "Action", s->actions);
    resources(p, depth, s);
    conditions(p, depth, s);
    eice_put_byte(&p->out, '\n');
    indent(p, depth - 1);
    eice_put_c(&p->out, p->terraform || last ? "}\n" : "},\n");
}

/* Do this use and its options need it? */
static bool wanted(const policy *p, const statement *s)
{
    const cli *c = p->c;
    const bool undo = p->use == USE_ENROLL && c->undo;
    const bool logs_in = !undo && !(p->use == USE_ENROLL && c->point.no_test);
    bool yes = !undo; /* TO_MAKE */

    switch (s->when) {
    case ALWAYS:
        yes = true;
        break;
    case WITH_CONSOLE:
        yes = logs_in && c->conn.policy == EICE_POLICY_CONSOLE;
        break;
    case WITH_RULES:
        yes = !undo && !c->point.no_rules;
        break;
    case WITH_LOGIN:
        yes = logs_in;
        break;
    case TO_MAKE:
        break;
    case TO_UNDO:
        yes = undo;
        break;
    }
    return yes && (s->uses & p->use) != 0;
}

static void put_statements(policy *p)
{
    size_t last = 0;
    size_t i;

    for (i = 0; i < STATEMENTS; i++) {
        last = wanted(p, &statements[i]) ? i : last;
    }
    eice_put_c(&p->out, p->terraform ? "data \"aws_iam_policy_document\" \"eice\" {\n"
                       : "{\n  \"Version\": \"2012-10-17\",\n"
                         "  \"Statement\": [\n");
    for (i = 0; i < STATEMENTS; i++) {
        if (wanted(p, &statements[i])) {
            put_statement(p, &statements[i], i == last);
        }
    }
    eice_put_c(&p->out, p->terraform ? "}\n" : "  ]\n}\n");
}

/* docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: white
 * space does not count. */
static void warn_of_size(const policy *p, const char *text)
{
    unsigned n = 0;

    for (; *text != 0; text++) {
        n += *text != ' ' && *text != '\n';
    }
    if (n > 6144) {
        cli_say(p->c, "warning: %u characters: no policy may have more than "
                      "6144; take fewer targets, or tag:KEY=VALUE", n);
    } else if (n > 2048) {
        cli_say(p->c, "warning: %u characters: good for a managed policy, too "
                      "long for an inline policy of a user (2048)", n);
    }
}

/* Made as JSON first, which is what AWS counts. */
static bool put_policy(policy *p)
{
    static char text[65536];
    const bool terraform = p->terraform;
    unsigned pass;

    for (pass = 0; pass < (terraform ? 2u : 1u); pass++) {
        p->terraform = pass == 1;
        eice_buf_init(&p->out, text, sizeof text);
        put_statements(p);
        (void)eice_buf_c(&p->out);
        if (pass == 0) {
            warn_of_size(p, text);
        }
    }
    fputs(text, stdout);
    return !p->out.overflow;
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

        while (wanted(p, &statements[i]) && rest.len > 0) {
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

/* Targets by tag are whatever carries it, then as now: all by the same key, as
 * the keys of a condition have to be met together. */
static int settle_tag(policy *p)
{
    size_t len = 0;
    int i;

    for (i = 0; i < p->c->argc; i++) {
        const char *word = p->c->argv[i];
        const bool tag = strncmp(word, "tag:", 4) == 0
                         && strchr(word, '=') != NULL;
        const size_t n = tag ? strcspn(word, "=") : 0;

        if ((i > 0 && n != len)
            || (i > 0 && memcmp(word, p->c->argv[0], n) != 0)
            || n > 128 + 4) {
            return cli_usage_error(p->c, "targets by tag have all to be of "
                                         "the same key", word);
        }
        len = n;
    }
    if (len > 0) {
        snprintf(p->tag, sizeof p->tag, "aws:ResourceTag/%.*s", (int)len - 4,
                 p->c->argv[0] + 4);
    }
    return -1;
}

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
    return settle_tag(p);
}

static int with_answers(policy *p, cli_run *r)
{
    int i;

    if (!cli_run_wait(r)) {
        return CLI_FAILED;
    }
    snprintf(p->region, sizeof p->region, "%s", eice_conn_region(r->conn));
    if ((p->c->argc == 0 || p->tag[0] != 0) && !whose(p, r)) {
        return CLI_FAILED;
    }
    for (i = 0; i < p->c->argc && p->tag[0] == 0; i++) {
        cli_split_user(p->c, &p->c->argv[i]);
        if (!add_target(p, r, p->c->argv[i])) {
            return CLI_FAILED;
        }
    }
    if (p->c->check) {
        return check(p, r);
    }
    return put_policy(p) ? CLI_OK : CLI_FAILED;
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
