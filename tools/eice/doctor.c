/* The rungs of eice doctor: what has to be so, told from facts alone. Nothing
 * is asked here, so that every rule can be tested without AWS. */
#include "doctor.h"

#include <stdarg.h>

/* ---- words ------------------------------------------------------------- */

static void put(char *to, size_t cap, const char *format, va_list args)
{
    const size_t at = strlen(to);

    vsnprintf(to + at, cap - at, format, args);
}

#define PUTTER(name, field)                                               \
    __attribute__((format(printf, 2, 3))) static void name(               \
        finding *f, const char *format, ...)                              \
    {                                                                     \
        va_list args;                                                     \
                                                                          \
        va_start(args, format);                                           \
        put(f->field, sizeof f->field, format, args);                     \
        va_end(args);                                                     \
    }

PUTTER(seen, evidence)
PUTTER(because, cause)
PUTTER(mend, fix)
PUTTER(asked, why)

/* How a command that is printed comes to the same Region and account. */
static void there(const doctor *d, finding *f)
{
    mend(f, " --region %s", d->region);
    if (d->c->conn.profile != NULL) {
        mend(f, " --profile '%s'", d->c->conn.profile);
    }
}

static verdict failed_with(finding *f, const eice_error *e)
{
    seen(f, "%s%s%s%s", e->text[0] != 0 ? e->text : eice_err_text(e->code),
         e->request_id[0] != 0 ? " (request id " : "", e->request_id,
         e->request_id[0] != 0 ? ")" : "");
    if (f->cause[0] == 0) {
        because(f, "%s", eice_err_text(e->code));
    }
    if (f->fix[0] == 0) {
        mend(f, "%s",
             e->remedy[0] != 0 ? e->remedy : eice_err_remedy(e->code));
    }
    return V_FAIL;
}

/* IAM said no: what is missing, or in the way, and who can change that. */
static void denied(const doctor *d, finding *f, const eice_error *e,
                   const char *permission, const char *on)
{
    const char *whose;
    const bool deny = cli_denied(e, &whose);

    f->class_ = CLASS_PERMISSION;
    snprintf(f->permission, sizeof f->permission, "%s", permission);
    because(f, "the identity lacks a permission%s",
            deny ? ": a policy denies it, perhaps under a condition"
                 : ", or a condition of it is not met");
    mend(f, deny ? "remove the deny of %s%s%s, or meet its condition"
                 : "allow %s%s%s (eice policy %s shows how)",
         permission, on[0] != 0 ? " on " : "", on, d->c->conn.target);
    mend(f, ": that is for %s", whose);
}

/* A call that failed: one that IAM refused names what is missing. */
static verdict call_failed(const doctor *d, finding *f, const cli_call *a)
{
    char permission[sizeof f->permission];

    if (a->call.error.code == EICE_E_AWS_DENIED) {
        snprintf(permission, sizeof permission, "%s:%s",
                 eice_service_name(eice_op_service(a->call.op)),
                 eice_op_name(a->call.op));
        denied(d, f, &a->call.error, permission, "");
        snprintf(f->why, sizeof f->why, "%s", a->why);
    }
    return failed_with(f, &a->call.error);
}

/* The call that carries out the fix. */
static void needs(finding *f, eice_op op, const char *on, const char *peer)
{
    f->op = op;
    snprintf(f->on, sizeof f->on, "%s", on);
    snprintf(f->peer, sizeof f->peer, "%s", peer);
}

/* ---- AWS --------------------------------------------------------------- */

static bool on_the_way(const eice_error *e)
{
    return e->code != EICE_OK && e->code != EICE_E_AWS_CLOCK
           && (e->stage == EICE_STAGE_RESOLVE || e->stage == EICE_STAGE_CONNECT
               || e->stage == EICE_STAGE_PROXY || e->stage == EICE_STAGE_TLS
               || e->code == EICE_E_HTTP_TIMEOUT || e->code == EICE_E_HTTP);
}

/* The first call of the three that failed, or the configuration. */
static const eice_error *first_error(const doctor *d,
                                     bool (*is)(const eice_error *e))
{
    size_t i;

    if (is(&d->config)) {
        return &d->config;
    }
    for (i = 0; i < CLI_ASK_FOUND; i++) {
        if (is(&d->f.ask[i].call.error)) {
            return &d->f.ask[i].call.error;
        }
    }
    return NULL;
}

static verdict look_credentials(const doctor *d, finding *f)
{
    const eice_error *e = &d->config;

    if (e->code != EICE_OK && !on_the_way(e)) {
        because(f, "no usable keys or settings on this machine");
        return failed_with(f, e);
    }
    seen(f, "%s, Region %s", d->provider, d->region);
    return V_OK;
}

static bool is_clock(const eice_error *e)
{
    return e->code == EICE_E_AWS_CLOCK || e->code == EICE_E_TLS_EXPIRED;
}

static verdict look_clock(const doctor *d, finding *f)
{
    const eice_error *e = first_error(d, is_clock);
    const long long off = (long long)d->clock_offset;

    if (e != NULL) {
        because(f, "the clock of this machine is wrong");
        mend(f, "set it: timedatectl set-ntp true");
        return failed_with(f, e);
    }
    if (off > 120 || off < -120) {
        seen(f, "this clock is %lld s %s that of AWS; corrected here",
             off > 0 ? off : -off, off > 0 ? "behind" : "ahead of");
        mend(f, "set it: timedatectl set-ntp true");
        return V_WARN;
    }
    seen(f, "agrees with that of AWS");
    return V_OK;
}

static verdict look_network(const doctor *d, finding *f)
{
    const eice_error *e = first_error(d, on_the_way);

    if (e != NULL) {
        because(f, "AWS cannot be reached from here");
        return failed_with(f, e);
    }
    seen(f, "the APIs of %s answer", d->region);
    return V_OK;
}

static verdict look_identity(const doctor *d, finding *f)
{
    const cli_call *a = &d->f.ask[CLI_ASK_IDENTITY];

    if (a->call.error.code != EICE_OK) {
        because(f, "AWS does not accept these keys");
        return failed_with(f, &a->call.error);
    }
    seen(f, "%s", d->f.who.arn);
    return V_OK;
}

/* ---- the instance ------------------------------------------------------ */

static verdict look_instance(const doctor *d, finding *f)
{
    const cli_call *a = &d->f.ask[CLI_ASK_INSTANCES];
    char type[32];
    size_t i;

    if (a->call.error.code != EICE_OK) {
        return call_failed(d, f, a);
    }
    if (d->f.instance == NULL) {
        seen(f, "nothing is called %s in %s of account %s",
             d->c->conn.target, d->region, d->f.who.account);
        because(f, "the name, the Region or the account is another");
        mend(f, "look for it: eice ls --region all");
        return V_FAIL;
    }
    if (d->f.ambiguous) {
        mend(f, "use the id of one: eice ls id=");
        for (i = 0; i < a->count; i++) {
            eice_item_get(&a->items[i], "instanceId", type, sizeof type);
            seen(f, "%s%s", i > 0 ? ", " : "", type);
            mend(f, "%s%s", i > 0 ? "," : "", type);
        }
        there(d, f);
        because(f, "several running instances have this name");
        return V_FAIL;
    }
    seen(f, "%s %s", d->f.id,
         eice_item_get(d->f.instance, "instanceType", type, sizeof type));
    return V_OK;
}

static verdict look_state(const doctor *d, finding *f)
{
    /* what brings it back, in this order; none: nothing does */
    static const char *const steps[] = {
        "wait instance-stopped", "start-instances", "wait instance-running"};
    static const struct {
        const char *state;
        const char *cause;
        size_t step;
    } states[] = {
        {"stopping", "it is being stopped", 0},
        {"stopped", "it was stopped", 1},
        {"pending", "it is still starting", 2},
        {"shutting-down", "it is being terminated", 3},
        {"terminated", "it was terminated", 3},
    };
    char state[32];
    size_t step;
    size_t i;

    cli_fact(d->f.instance, "instanceState/name", state, sizeof state);
    seen(f, "%s", state);
    for (i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (strcmp(state, states[i].state) == 0) {
            because(f, "%s", states[i].cause);
            for (step = states[i].step; step < 3; step++) {
                mend(f, "%saws ec2 %s --instance-ids %s",
                     f->fix[0] != 0 ? " && " : "", steps[step], d->f.id);
                there(d, f);
            }
            if (f->fix[0] == 0) {
                mend(f, "use another instance: eice ls state=running");
                there(d, f);
            }
            return V_FAIL;
        }
    }
    return V_OK;
}

static verdict look_address(const doctor *d, finding *f)
{
    if (d->f.vpc[0] == 0 || d->f.address[0] == 0) {
        seen(f, "no %s", d->f.vpc[0] == 0 ? "VPC" : "private address");
        because(f, "an endpoint reaches private addresses of its VPC only");
        mend(f, "use an instance in a VPC");
        return V_FAIL;
    }
    seen(f, "%s in %s, %s", d->f.address, d->f.subnet, d->f.vpc);
    return V_OK;
}

/* ---- the endpoint ------------------------------------------------------ */

/* Makes an endpoint and whatever else is missing, and tries it. */
static void enroll(const doctor *d, finding *f)
{
    mend(f, "eice enroll --yes %s", d->f.id);
    if (d->c->conn.user != NULL) {
        mend(f, " -l %s", d->c->conn.user);
    }
    there(d, f);
}

static verdict no_endpoint(const doctor *d, finding *f)
{
    const cli_call *a = &d->f.ask[CLI_ASK_ENDPOINTS];
    char vpc[32];

    if (d->c->conn.endpoint_id != NULL) {
        seen(f, "there is no %s", d->c->conn.endpoint_id);
        because(f, "the endpoint was deleted, or belongs to another account "
                   "or Region");
        mend(f, "leave --endpoint-id out");
        return V_FAIL;
    }
    seen(f, "none in %s", d->f.vpc);
    if (a->count > 0) {
        seen(f, " (there is one in %s)",
             eice_item_get(&a->items[0], "vpcId", vpc, sizeof vpc));
    }
    because(f, "the VPC of the instance has no EC2 Instance Connect Endpoint");
    needs(f, EICE_OP_CREATE_ENDPOINT, d->f.subnet, CLI_TAG);
    enroll(d, f);
    return V_FAIL;
}

static verdict look_endpoint(const doctor *d, finding *f)
{
    const eice_item *e = d->f.endpoint;
    const char *id = d->f.endpoint_id;
    char state[32];
    char why[200];

    if (d->f.ask[CLI_ASK_ENDPOINTS].call.error.code != EICE_OK) {
        return call_failed(d, f, &d->f.ask[CLI_ASK_ENDPOINTS]);
    }
    if (e == NULL) {
        return no_endpoint(d, f);
    }
    eice_item_get(e, "state", state, sizeof state);
    eice_item_get(e, "stateMessage", why, sizeof why);
    seen(f, "%s %s in %s", id, state, d->f.endpoint_subnet);
    if (!eice_item_is(e, "vpcId", d->f.vpc)) {
        eice_item_get(e, "vpcId", why, sizeof why);
        seen(f, ", %s", why);
        because(f, "the endpoint is in another VPC than the instance");
        mend(f, "leave --endpoint-id out");
        return V_FAIL;
    }
    if (strcmp(state, "create-in-progress") == 0) {
        because(f, "it is being made, which takes a minute or more");
        mend(f, "eice endpoint wait %s", id);
        there(d, f);
        return V_FAIL;
    }
    if (strncmp(state, "create-f", 8) == 0
        || strncmp(state, "delete", 6) == 0) {
        because(f, "it is of no use%s%s", why[0] != 0 ? ": " : "", why);
        if (strcmp(state, "delete-in-progress") == 0) {
            needs(f, EICE_OP_CREATE_ENDPOINT, d->f.subnet, CLI_TAG);
        } else {
            needs(f, EICE_OP_DELETE_ENDPOINT, id, "");
            mend(f, "%seice endpoint delete --yes --wait %s",
                 why[0] != 0 ? "mend that, then: " : "", id);
            there(d, f);
            mend(f, " && ");
        }
        enroll(d, f);
        return V_FAIL;
    }
    if (d->port != 22 && d->port != 3389) {
        because(f, "an endpoint reaches the ports 22 and 3389 only, not %u",
                d->port);
        mend(f, "leave -p out, and let sshd listen on port 22");
        return V_FAIL;
    }
    if (strcmp(state, "update-failed") == 0) {
        because(f, "its last change failed, the settings before are in "
                   "force%s%s",
                why[0] != 0 ? ": " : "", why);
        mend(f, "make that change again, or one that puts it right (eice "
                "endpoint modify %s)", id);
        return V_WARN;
    }
    return V_OK;
}

/* Changes the endpoint; `own` lets its packets come from its own address, as
 * they must unless it is IPv4 only. The old settings are in force until the
 * change is complete. */
static void modify(const doctor *d, finding *f, const char *option, bool own)
{
    mend(f, "aws ec2 modify-instance-connect-endpoint "
            "--instance-connect-endpoint-id %s%s%s%s",
         d->f.endpoint_id, option[0] != 0 ? " " : "", option,
         own ? " --no-preserve-client-ip" : "");
    there(d, f);
    mend(f, " && eice endpoint wait %s", d->f.endpoint_id);
    there(d, f);
}

/* The endpoint would pass the client's address on, which the instance's type
 * is too old for. */
static bool too_old(const doctor *d, finding *f)
{
    static const char old[] = "c1 cg1 cg2 g1 hi1 m1 m2 m3 t1";
    eice_str rest = eice_str_c(old);
    char type[32];

    if (!eice_item_is(d->f.endpoint, "preserveClientIp", "true")) {
        return false;
    }
    cli_fact(d->f.instance, "instanceType", type, sizeof type);
    type[strcspn(type, ".")] = 0;
    while (rest.len > 0) {
        if (eice_str_is(eice_str_cut(&rest, ' '), type)) {
            because(f, "the endpoint preserves the client's address, which "
                       "does not work with instances of the type %s", type);
            modify(d, f, "", true);
            return true;
        }
    }
    return false;
}

static verdict look_family(const doctor *d, finding *f)
{
    char type[16];
    const bool six = strchr(d->f.address, ':') != NULL;

    if (d->f.endpoint == NULL) {
        return V_SKIP;
    }
    eice_item_get(d->f.endpoint, "ipAddressType", type, sizeof type);
    seen(f, "%s for %s", type[0] != 0 ? type : "ipv4", d->f.address);
    if ((six && (type[0] == 0 || strcmp(type, "ipv4") == 0))
        || (!six && strcmp(type, "ipv6") == 0)) {
        because(f, "the endpoint does not speak %s", six ? "IPv6" : "IPv4");
        needs(f, EICE_OP_MODIFY_ENDPOINT, d->f.endpoint_id, "dualstack");
        modify(d, f, "--ip-address-type dualstack",
               eice_item_is(d->f.endpoint, "preserveClientIp", "true"));
        return V_FAIL;
    }
    return too_old(d, f) ? V_FAIL : V_OK;
}

/* ---- security groups --------------------------------------------------- */

static verdict groups_known(const doctor *d, finding *f)
{
    const cli_call *a = &d->f.ask[CLI_ASK_GROUPS];

    if (d->f.endpoint == NULL || !a->asked) {
        return V_SKIP;
    }
    if (a->call.error.code == EICE_OK) {
        return V_OK;
    }
    (void)call_failed(d, f, a);
    f->class_ = 0;
    return V_WARN;
}

static void authorize(const doctor *d, finding *f, bool egress,
                      const cli_group_rule *rule)
{
    mend(f, "aws ec2 authorize-security-group-%s --group-id %s "
            "--ip-permissions 'IpProtocol=tcp,FromPort=%u,ToPort=%u,"
            "UserIdGroupPairs=[{GroupId=%s}]'",
         egress ? "egress" : "ingress", rule->group, d->port, d->port,
         rule->peer);
    there(d, f);
}

/* After nothing came through: a rule that could not be judged is the one. */
static bool unsure_rule(const doctor *d, finding *f)
{
    const cli_call *a = &d->f.ask[CLI_ASK_GROUPS];
    cli_group_rule rule;
    int egress;

    for (egress = 1; egress >= 0 && a->asked
                     && a->call.error.code == EICE_OK; egress--) {
        if (cli_facts_groups(&d->f, d->port, egress != 0, &rule)
            == CLI_LETS_UNSURE) {
            because(f, "the prefix lists or ranges in the rules of %s, the "
                       "%s's, do not hold the %s",
                    rule.names, egress ? "endpoint" : "instance",
                    egress ? "instance" : "endpoint or client");
            authorize(d, f, egress != 0, &rule);
            return true;
        }
    }
    return false;
}

/* `egress`: out of the endpoint's groups; otherwise into the instance's. */
static verdict look_groups(const doctor *d, finding *f, bool egress)
{
    const bool client = eice_item_is(d->f.endpoint, "preserveClientIp", "true");
    cli_group_rule rule;
    verdict v = groups_known(d, f);

    if (v != V_OK) {
        return v;
    }
    switch (cli_facts_groups(&d->f, d->port, egress, &rule)) {
    case CLI_LETS_YES:
        seen(f, "%s let%s TCP %u %s", rule.names,
             strchr(rule.names, ',') != NULL ? "" : "s", d->port,
             egress ? "out to the instance" : "in from the endpoint");
        return V_OK;
    case CLI_LETS_UNSURE:
        seen(f, "%s: a prefix list, or a range that cannot be judged from here",
             rule.names);
        return V_WARN;
    case CLI_LETS_NO:
        break;
    }
    seen(f, "no rule of %s lets TCP %u %s", rule.names, d->port,
         egress   ? "out to the instance"
         : client ? "in from the client's address, which the endpoint preserves"
                  : "in from the endpoint");
    because(f, "a security group of the %s is closed",
            egress ? "endpoint" : "instance");
    needs(f, egress ? EICE_OP_AUTHORIZE_EGRESS : EICE_OP_AUTHORIZE_INGRESS,
          rule.group, rule.peer);
    authorize(d, f, egress, &rule);
    return V_FAIL;
}

/* Did a rung say so? */
static bool groups_shut(const doctor *d)
{
    finding f;

    memset(&f, 0, sizeof f);
    return look_groups(d, &f, true) == V_FAIL
           || look_groups(d, &f, false) == V_FAIL;
}

static verdict look_groups_out(const doctor *d, finding *f)
{
    return look_groups(d, f, true);
}

static verdict look_groups_in(const doctor *d, finding *f)
{
    return look_groups(d, f, false);
}

/* ---- network ACLs and routes ------------------------------------------- */

#define ACL_LAST 32766u /* those behind it end every list and deny */

static const eice_item *of_subnet(const doctor *d, cli_asks which,
                                  const char *subnet, const char *fallback)
{
    const cli_call *a = &d->f.ask[which];
    const eice_item *main_one = NULL;
    size_t i;

    for (i = 0; i < a->count; i++) {
        eice_items walk;
        eice_item one;

        eice_items_in(&a->items[i], "associationSet/item", &walk);
        while (eice_items_next(&walk, &one)) {
            if (eice_item_is(&one, "subnetId", subnet)) {
                return &a->items[i];
            }
            if (fallback != NULL && eice_item_is(&one, fallback, "true")) {
                main_one = &a->items[i];
            }
        }
    }
    return main_one;
}

static uint64_t number_of(const eice_item *entry)
{
    char text[16];
    uint64_t n = 0;

    (void)eice_str_u64(eice_str_c(eice_item_get(entry, "ruleNumber", text,
                                                sizeof text)),
                       UINT32_MAX, &n);
    return n;
}

/* The highest number below `number` that no entry has; 0: there is none. */
static unsigned acl_room(const eice_item *acl, bool egress, uint64_t number)
{
    unsigned n = number > ACL_LAST ? ACL_LAST : (unsigned)number - 1;
    eice_items walk;
    eice_item e;

    eice_items_in(acl, "entrySet/item", &walk);
    while (n > 0 && eice_items_next(&walk, &e)) {
        if (eice_item_is(&e, "egress", egress ? "true" : "false")
            && number_of(&e) == n) {
            n--;
            eice_items_in(acl, "entrySet/item", &walk);
        }
    }
    return n;
}

/* The verdict of the entry with the lowest number that fits (stateless, in
 * order); without one the last rule, "*", denies. */
static bool acl_lets(const eice_item *acl, bool egress, const char *address,
                     unsigned port, uint64_t *number)
{
    eice_items walk;
    eice_item e;
    bool allowed = false;

    *number = UINT64_MAX;
    eice_items_in(acl, "entrySet/item", &walk);
    while (eice_items_next(&walk, &e)) {
        char text[64];
        uint64_t n;

        if (!eice_item_is(&e, "egress", egress ? "true" : "false")
            || !(eice_item_is(&e, "protocol", "-1")
                 || (eice_item_is(&e, "protocol", "6")
                     && cli_has_port(&e, port, "portRange/from",
                                 "portRange/to")))
            || !cli_in_cidr(eice_item_get(&e,
                                          strchr(address, ':') != NULL
                                              ? "ipv6CidrBlock"
                                              : "cidrBlock",
                                          text, sizeof text),
                            address)) {
            continue;
        }
        n = number_of(&e);
        if (n < *number) {
            *number = n;
            allowed = eice_item_is(&e, "ruleAction", "allow");
        }
    }
    return allowed;
}

static verdict look_acls(const doctor *d, finding *f)
{
    const struct {
        const char *subnet;
        bool egress;
        const char *address;
        unsigned port;
    } legs[] = {
        {d->f.endpoint_subnet, true, d->f.address, d->port},
        {d->f.subnet, false, d->f.endpoint_address, d->port},
        {d->f.subnet, true, d->f.endpoint_address, 49152},
        {d->f.endpoint_subnet, false, d->f.address, 49152},
    };
    const bool six = strchr(d->f.address, ':') != NULL;
    char id[64];
    unsigned room;
    size_t i;

    if (d->f.endpoint_address[0] == 0
        || d->f.ask[CLI_ASK_ACLS].count == 0) {
        return V_SKIP;
    }
    if (strcmp(d->f.subnet, d->f.endpoint_subnet) == 0) {
        seen(f, "none between: one subnet");
        return V_OK;
    }
    for (i = 0; i < sizeof legs / sizeof legs[0]; i++) {
        const eice_item *acl = of_subnet(d, CLI_ASK_ACLS, legs[i].subnet, NULL);
        uint64_t number;

        if (acl == NULL
            || acl_lets(acl, legs[i].egress, legs[i].address, legs[i].port,
                        &number)) {
            continue;
        }
        eice_item_get(acl, "networkAclId", id, sizeof id);
        seen(f, "%s of %s denies TCP %u %s %s", id, legs[i].subnet,
             legs[i].port, legs[i].egress ? "to" : "from", legs[i].address);
        because(f, "a network ACL stands between endpoint and instance");
        room = acl_room(acl, legs[i].egress, number);
        mend(f, "aws ec2 %s-network-acl-entry --network-acl-id %s %s "
                "--rule-number %u --protocol 6 --port-range From=%u,To=%u "
                "%s %s/%u --rule-action allow",
             room > 0 ? "create" : "replace", id,
             legs[i].egress ? "--egress" : "--ingress", room > 0 ? room : 1u,
             legs[i].port == d->port ? d->port : 1024,
             legs[i].port == d->port ? d->port : 65535,
             six ? "--ipv6-cidr-block" : "--cidr-block", legs[i].address,
             six ? 128u : 32u);
        there(d, f);
        return V_FAIL;
    }
    seen(f, "let TCP %u and its answers pass", d->port);
    return V_OK;
}

static verdict look_routes(const doctor *d, finding *f)
{
    const eice_item *table = of_subnet(d, CLI_ASK_ROUTES,
                                       d->f.endpoint_subnet, "main");
    eice_items walk;
    eice_item one;
    char text[64];
    char best[64] = "";
    uint64_t most = 0;
    bool local = false;

    if (table == NULL || strchr(d->f.address, ':') != NULL) {
        return V_SKIP;
    }
    eice_items_in(table, "routeSet/item", &walk);
    while (eice_items_next(&walk, &one)) {
        eice_str rest = eice_str_c(eice_item_get(
            &one, "destinationCidrBlock", text, sizeof text));
        uint64_t bits;

        if (!cli_in_cidr(text, d->f.address)) {
            continue;
        }
        (void)eice_str_cut(&rest, '/');
        if (eice_str_u64(rest, 32, &bits) && (best[0] == 0 || bits > most)) {
            most = bits;
            snprintf(best, sizeof best, "%s", text);
            local = eice_item_is(&one, "gatewayId", "local");
        }
    }
    eice_item_get(table, "routeTableId", text, sizeof text);
    if (!local) {
        seen(f, "%s sends %s elsewhere", text,
             best[0] != 0 ? best : d->f.address);
        because(f, "the endpoint's subnet has no local route to the instance");
        mend(f, "aws ec2 delete-route --route-table-id %s "
                "--destination-cidr-block %s",
             text, best);
        there(d, f);
        return V_FAIL;
    }
    seen(f, "%s is local in %s", best, text);
    return V_OK;
}

/* ---- permissions ------------------------------------------------------- */

static verdict look_permissions(const doctor *d, finding *f)
{
    bool any = false;
    size_t i;

    for (i = 0; i < CLI_ASK_COUNT; i++) {
        const cli_call *a = &d->f.ask[i];

        if (a->asked && a->call.error.code == EICE_E_AWS_DENIED) {
            seen(f, "%s%s:%s", any ? ", " : "not allowed, and not needed to "
                                            "connect: ",
                 eice_service_name(eice_op_service(a->call.op)),
                 eice_op_name(a->call.op));
            any = true;
            asked(f, "%s%s", f->why[0] != 0 && a->why[0] != 0 ? "; " : "",
                  a->why);
        }
    }
    if (any) {
        return V_WARN;
    }
    seen(f, "all that was asked of EC2 is allowed");
    return V_OK;
}

/* ---- the connection ---------------------------------------------------- */

static const eice_attempt *attempt_of(const doctor *d, eice_stage stage)
{
    size_t i;

    for (i = d->trail_count; i > d->connect_at; i--) {
        if (d->trail[i - 1].stage == stage && !d->trail[i - 1].warning) {
            return &d->trail[i - 1];
        }
    }
    return NULL;
}

static verdict reached(const doctor *d, finding *f, eice_stage stage)
{
    const eice_attempt *a = attempt_of(d, stage);

    if (!d->tried || (a == NULL && !d->connected)) {
        return V_SKIP;
    }
    if (a != NULL) {
        seen(f, "%s", a->what);
        f->ms = a->took_ms;
        return a->code == EICE_OK ? V_OK : V_SKIP;
    }
    return V_OK;
}

static bool ended_at(const doctor *d, eice_stage stage)
{
    return d->tried && d->error.code != EICE_OK && d->error.stage == stage;
}

static verdict look_quota(const doctor *d, finding *f)
{
    if (d->error.code == EICE_E_UPGRADE_QUOTA) {
        because(f, "the endpoint has its 20 connections");
        return failed_with(f, &d->error);
    }
    if (!d->tried || (!d->connected && d->error.stage <= EICE_STAGE_UPGRADE
                      && d->error.stage != EICE_STAGE_PUSH)) {
        return V_SKIP;
    }
    seen(f, "there is room for one more connection");
    return V_OK;
}

static void denied_on(const doctor *d, finding *f, const char *permission,
                      const char *kind, const char *id)
{
    char arn[256];

    snprintf(arn, sizeof arn, "arn:%s:ec2:%s:%s:%s/%s", d->f.who.partition,
             d->region, d->f.who.account, kind, id);
    denied(d, f, &d->error, permission, arn);
}

static verdict look_push(const doctor *d, finding *f)
{
    if (ended_at(d, EICE_STAGE_PUSH)) {
        if (d->error.code == EICE_E_AWS_DENIED) {
            denied_on(d, f, "ec2-instance-connect:SendSSHPublicKey",
                      "instance", d->f.id);
            asked(f, "asked for with ec2:osuser=%s", d->user);
        }
        return failed_with(f, &d->error);
    }
    return reached(d, f, EICE_STAGE_PUSH);
}

static verdict look_upgrade(const doctor *d, finding *f)
{
    const uint32_t life = d->c->conn.max_tunnel_duration_s;

    if (d->tried && d->error.code != EICE_E_UPGRADE_QUOTA
        && (ended_at(d, EICE_STAGE_UPGRADE) || on_the_way(&d->error))) {
        if (d->error.code == EICE_E_UPGRADE_DENIED) {
            denied_on(d, f, "ec2-instance-connect:OpenTunnel",
                      "instance-connect-endpoint", d->f.endpoint_id);
            asked(f, "asked for with remotePort=%u privateIpAddress=%s "
                     "maxTunnelDuration=%u",
                  d->port, d->f.address, life != 0 ? (unsigned)life : 3600u);
        }
        return failed_with(f, &d->error);
    }
    return reached(d, f, EICE_STAGE_UPGRADE);
}

static verdict look_target(const doctor *d, finding *f)
{
    const eice_attempt *a = attempt_of(d, EICE_STAGE_TUNNEL);

    if (!ended_at(d, EICE_STAGE_TUNNEL)) {
        if (d->connected || (d->tried && d->error.stage > EICE_STAGE_TUNNEL)) {
            seen(f, "%s port %u answers", d->f.address, d->port);
            return V_OK;
        }
        return V_SKIP;
    }
    f->ms = a != NULL ? a->took_ms : 0;
    if (d->error.code != EICE_E_TARGET_UNREACHABLE) {
        return failed_with(f, &d->error);
    }
    if (groups_shut(d)) { /* with --all */
        because(f, "a security group is closed, as said above");
    } else if (f->ms < 2500) {
        because(f, "nothing listens on port %u of the instance", d->port);
        mend(f, "start sshd there (eice serial %s)", d->f.id);
    } else if (!unsure_rule(d, f)) {
        because(f, "something drops the packets: a firewall on the instance, "
                   "or a rule that could not be seen");
        mend(f, "open port %u in the instance's own firewall (eice serial "
                "%s)",
             d->port, d->f.id);
    }
    return failed_with(f, &d->error);
}

static verdict stage_or(const doctor *d, finding *f, eice_stage stage)
{
    return ended_at(d, stage) ? failed_with(f, &d->error)
                              : reached(d, f, stage);
}

static verdict look_banner(const doctor *d, finding *f)
{
    const eice_attempt *a = attempt_of(d, EICE_STAGE_KEX);

    if (ended_at(d, EICE_STAGE_BANNER)) {
        because(f, "what listens there is no SSH server");
        return failed_with(f, &d->error);
    }
    if (a == NULL || strncmp(a->what, "SSH-", 4) != 0) {
        return V_SKIP;
    }
    seen(f, "%.*s", (int)strcspn(a->what, ","), a->what);
    return V_OK;
}

static verdict look_kex(const doctor *d, finding *f)
{
    if (ended_at(d, EICE_STAGE_KEX)
        && strncmp(d->error.remedy, "offered", 7) == 0) {
        because(f, "its sshd allows nothing that eice can do");
        mend(f, "let its sshd_config allow one of these: %s",
             d->error.remedy);
    }
    return stage_or(d, f, EICE_STAGE_KEX);
}

static verdict look_host_key(const doctor *d, finding *f)
{
    const char *const path = d->c->conn.known_hosts;

    if (d->error.code == EICE_E_HOST_KEY_CHANGED) {
        because(f, "the instance was made anew, or its host keys were, or "
                   "another machine answers in its place");
        if (d->error.remedy[0] != 0) { /* the console has spoken */
            return stage_or(d, f, EICE_STAGE_HOSTKEY);
        }
        mend(f, "if the new key is right (--hostkey-policy auto asks its "
                "console): ssh-keygen -R %s -f ",
             d->f.id);
        if (path != NULL) {
            mend(f, "'%s'", path);
        } else {
            mend(f, "~/.local/state/eice/known_hosts");
        }
    } else if (d->error.code == EICE_E_HOST_KEY_REVOKED) {
        because(f, "its host key is one that must not be trusted any more");
        mend(f, "do not connect; make it new host keys (ssh-keygen -A there, "
                "with eice serial %s)",
             d->f.id);
    }
    return stage_or(d, f, EICE_STAGE_HOSTKEY);
}

static verdict look_auth(const doctor *d, finding *f)
{
    bool ready = false;
    const char *login = cli_facts_login(&d->f, &ready);

    if (!ended_at(d, EICE_STAGE_AUTH)) {
        return reached(d, f, EICE_STAGE_AUTH);
    }
    if (d->f.instance != NULL
        && eice_item_is(d->f.instance, "metadataOptions/httpEndpoint",
                        "disabled")) {
        because(f, "its instance metadata is off: the pushed key cannot be "
                   "looked up there");
        mend(f, "aws ec2 modify-instance-metadata-options --instance-id %s "
                "--http-endpoint enabled",
             d->f.id);
        there(d, f);
    } else if (login != NULL && strcmp(login, d->user) != 0) {
        because(f, "the image of this instance has the login %s, not %s",
                login, d->user);
        mend(f, "eice ssh -l %s %s", login, d->c->conn.target);
        there(d, f);
    } else if (login != NULL && !ready) {
        because(f, "this image comes without EC2 Instance Connect: the "
                   "pushed key never arrives");
        mend(f, "install the package ec2-instance-connect there, or log in "
                "with a key it has: eice ssh -i FILE %s",
             d->c->conn.target);
    } else {
        because(f, "the login %s does not exist there, or "
                   "ec2-instance-connect is missing, or sshd refuses "
                   "Ed25519 keys",
                d->user);
        mend(f, "try another login (-l), then --key-type rsa, then eice ssh "
                "-i FILE with a key the instance has");
    }
    return failed_with(f, &d->error);
}

static verdict look_login(const doctor *d, finding *f)
{
    if (d->tried && !d->connected) {
        return d->error.stage > EICE_STAGE_AUTH ? failed_with(f, &d->error)
                                                : V_SKIP;
    }
    if (!d->connected) {
        return V_SKIP;
    }
    seen(f, "whoami says %s", d->whoami[0] != 0 ? d->whoami : "nothing");
    if (strcmp(d->whoami, d->user) != 0) {
        because(f, "the login runs commands as somebody else, or not at all");
        mend(f, "see ForceCommand in its sshd_config, and the login's shell");
        return V_WARN;
    }
    return V_OK;
}

/* ---- the ladder -------------------------------------------------------- */

#define NO_CALL EICE_OP_COUNT

const rung doctor_ladder[DOCTOR_RUNGS + 1] = {
    {"credentials", CLASS_CREDENTIALS, NO_CALL, look_credentials},
    {"clock", CLASS_CREDENTIALS, NO_CALL, look_clock},
    {"network", CLASS_NETWORK, NO_CALL, look_network},
    {"identity", CLASS_CREDENTIALS, EICE_OP_GET_CALLER_IDENTITY,
     look_identity},
    {"instance", CLASS_INSTANCE, EICE_OP_DESCRIBE_INSTANCES, look_instance},
    {"state", CLASS_INSTANCE, NO_CALL, look_state},
    {"address", CLASS_INSTANCE, NO_CALL, look_address},
    {"endpoint", CLASS_ENDPOINT, EICE_OP_DESCRIBE_ENDPOINTS, look_endpoint},
    {"family", CLASS_ENDPOINT, NO_CALL, look_family},
    {"groups-out", CLASS_PATH, EICE_OP_DESCRIBE_GROUPS, look_groups_out},
    {"groups-in", CLASS_PATH, NO_CALL, look_groups_in},
    {"acls", CLASS_PATH, EICE_OP_DESCRIBE_ACLS, look_acls},
    {"routes", CLASS_PATH, EICE_OP_DESCRIBE_ROUTE_TABLES, look_routes},
    {"permissions", CLASS_PERMISSION, NO_CALL, look_permissions},
    {"quota", CLASS_ENDPOINT, NO_CALL, look_quota},
    {"push-key", CLASS_NETWORK, NO_CALL, look_push},
    {"upgrade", CLASS_NETWORK, NO_CALL, look_upgrade},
    {"target", CLASS_PATH, NO_CALL, look_target},
    {"ssh-version", CLASS_SSH, NO_CALL, look_banner},
    {"host-key", CLASS_SSH, NO_CALL, look_host_key},
    {"key-exchange", CLASS_SSH, NO_CALL, look_kex},
    {"key-accepted", CLASS_SSH, NO_CALL, look_auth},
    {"login", CLASS_SSH, NO_CALL, look_login},
    {NULL, 0, NO_CALL, NULL},
};

/* How long the call took that a rung rests on. */
static uint32_t took(const doctor *d, eice_op op)
{
    size_t i;

    for (i = 0; op != NO_CALL && i < d->connect_at; i++) {
        if (d->trail[i].stage == EICE_STAGE_API
            && cli_contains(d->trail[i].what, eice_op_name(op))) {
            return d->trail[i].took_ms;
        }
    }
    return 0;
}

verdict doctor_look(const doctor *d, const rung *r, finding *f)
{
    verdict v;

    memset(f, 0, sizeof *f);
    f->may = -1;
    v = r->look(d, f);
    f->ms = f->ms != 0 ? f->ms : took(d, r->op);
    f->class_ = f->class_ != 0 ? f->class_ : r->class_;
    if (v == V_SKIP && f->evidence[0] == 0) {
        seen(f, r - doctor_ladder < (ptrdiff_t)DOCTOR_CONNECTED
                    ? "cannot be told from here" : "not reached");
    }
    return v;
}
