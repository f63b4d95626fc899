/* The rungs of eice doctor without AWS: facts in, verdicts out. The facts are
 * answers of EC2 with something replaced in them, and what became of the
 * connection. */
#define EICE_IMPLEMENTATION
#include "../tools/eice/cli.h"
#include "../tools/eice/doctor.h"
#include "test.h"

/* what makes no calls, and the few that it shares a file with */
#include "../tools/eice/allowed.c"
#include "../tools/eice/doctor.c"
#include "../tools/eice/facts.c"
#include "../tools/eice/reach.c"
#include "../tools/eice/report.c"

void cli_run_turn(cli_run *r, struct pollfd *extra, size_t count)
{
    (void)r;
    (void)extra;
    (void)count;
    abort(); /* a rule that asks */
}

/* ---- a world where all is well ----------------------------------------- */

#define ALLOW(number, egress)                                                 \
    "<item><ruleNumber>" number "</ruleNumber><protocol>-1</protocol>"        \
    "<ruleAction>allow</ruleAction><egress>" egress "</egress>"               \
    "<cidrBlock>0.0.0.0/0</cidrBlock></item>"
#define ACL(id, subnet)                                                       \
    "<item><networkAclId>" id "</networkAclId><associationSet><item>"         \
    "<subnetId>" subnet "</subnetId></item></associationSet><entrySet>"       \
    ALLOW("100", "true") ALLOW("100", "false") "</entrySet></item>"

/* In the order of cli_asks; a second item of a kind stands behind a blank
 * line. */
static const char *const answers[CLI_ASK_COUNT] = {
    "<GetCallerIdentityResult><Account>111122223333</Account><Arn>"
    "arn:aws:iam::111122223333:user/eve</Arn></GetCallerIdentityResult>",
    "<item><instanceId>i-1</instanceId><instanceType>t4g.small</instanceType>"
    "<imageId>ami-1</imageId><instanceState><name>running</name>"
    "</instanceState><vpcId>vpc-1</vpcId><subnetId>subnet-b</subnetId>"
    "<privateIpAddress>10.0.2.5</privateIpAddress><groupSet><item>"
    "<groupId>sg-app</groupId></item></groupSet></item>",
    "<item><instanceConnectEndpointId>eice-1</instanceConnectEndpointId>"
    "<state>create-complete</state><vpcId>vpc-1</vpcId>"
    "<subnetId>subnet-a</subnetId><preserveClientIp>false</preserveClientIp>"
    "<ipAddressType>dualstack</ipAddressType><securityGroupIdSet><item>"
    "sg-end</item></securityGroupIdSet><networkInterfaceIdSet><item>eni-1"
    "</item></networkInterfaceIdSet></item>",
    "<item><groupId>sg-app</groupId><ipPermissions><item>"
    "<ipProtocol>tcp</ipProtocol><fromPort>20</fromPort><toPort>25</toPort>"
    "<groups><item><groupId>sg-end</groupId></item></groups></item>"
    "</ipPermissions></item>\n\n"
    "<item><groupId>sg-end</groupId><ipPermissionsEgress><item>"
    "<ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>10.0.0.0/16</cidrIp>"
    "</item></ipRanges></item></ipPermissionsEgress></item>",
    "<item><privateIpAddress>10.0.1.7</privateIpAddress></item>",
    "",
    ACL("acl-a", "subnet-a") "\n\n" ACL("acl-b", "subnet-b"),
    "<item><routeTableId>rtb-1</routeTableId><associationSet><item><main>true"
    "</main></item></associationSet><routeSet><item><destinationCidrBlock>"
    "10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId></item>"
    "</routeSet></item>",
    "<item><name>al2023-ami-2023.5</name></item>",
};

/* ---- rows -------------------------------------------------------------- */

#define SG CLI_ASK_GROUPS
#define END CLI_ASK_ENDPOINTS
#define INST CLI_ASK_INSTANCES

typedef struct edit {
    int ask;
    const char *from; /* NULL: the call was denied */
    const char *to;
} edit;

/* What became of the connection. */
typedef struct outcome {
    eice_err code;
    eice_stage stage;
    uint32_t ms;
} outcome;

typedef struct row {
    const char *name;
    edit edits[3];
    outcome end;          /* all zero: connected */
    const char *rung;     /* the first to fail or warn; NULL: all are well */
    verdict v;
    const char *words;    /* in what is said of it */
    int class_;           /* of a failure */
} row;

#define ONE(ask, from, to) {{ask, from, to}, {-1, "", ""}, {-1, "", ""}}
#define WELL {{-1, "", ""}, {-1, "", ""}, {-1, "", ""}}
#define OPEN {EICE_OK, EICE_STAGE_NONE, 0}
#define FAILS(code, stage, ms) {EICE_E_##code, EICE_STAGE_##stage, ms}
#define ENDPOINT_GROUP "<groups><item><groupId>sg-end</groupId></item></groups>"
#define RANGE(cidr) "<ipRanges><item><cidrIp>" cidr "</cidrIp></item></ipRanges>"
#define PREFIX "<prefixListIds><item><prefixListId>pl-1</prefixListId></item>" \
    "</prefixListIds>"
#define REFUSE(number, egress, cidr, from, to)                                \
    "<entrySet><item><ruleNumber>" number "</ruleNumber><protocol>6"          \
    "</protocol><ruleAction>deny</ruleAction><egress>" egress "</egress>"     \
    "<cidrBlock>" cidr "</cidrBlock><portRange><from>" from "</from><to>" to  \
    "</to></portRange></item>"

static const row rows[] = {
    {"all is well", WELL, OPEN, NULL, V_OK, "", 0},
    /* the instance */
    {"no instance", ONE(INST, "*", ""), OPEN, "instance", V_FAIL,
     "nothing is called web", CLASS_INSTANCE},
    {"may not see instances", ONE(INST, NULL, ""), OPEN, "instance", V_FAIL,
     "ec2:DescribeInstances", CLASS_PERMISSION},
    {"stopped", ONE(INST, "running", "stopped"), OPEN, "state", V_FAIL,
     "start-instances", CLASS_INSTANCE},
    {"terminated", ONE(INST, "running", "terminated"), OPEN, "state", V_FAIL,
     "terminated", CLASS_INSTANCE},
    {"no VPC", ONE(INST, "<vpcId>vpc-1</vpcId>", ""), OPEN, "address", V_FAIL,
     "no VPC", CLASS_INSTANCE},
    {"no address", ONE(INST, "10.0.2.5", ""), OPEN, "address", V_FAIL,
     "no private address", CLASS_INSTANCE},
    /* the endpoint */
    {"none there", ONE(END, "*", ""), OPEN, "endpoint", V_FAIL, "none in vpc-1",
     CLASS_ENDPOINT},
    {"in another VPC only", ONE(END, "vpc-1", "vpc-2"), OPEN, "endpoint",
     V_FAIL, "there is one in vpc-2", CLASS_ENDPOINT},
    {"may not see endpoints", ONE(END, NULL, ""), OPEN, "endpoint", V_FAIL,
     "ec2:DescribeInstanceConnectEndpoints", CLASS_PERMISSION},
    {"on its way", ONE(END, "create-complete", "create-in-progress"), OPEN,
     "endpoint", V_FAIL, "wait", CLASS_ENDPOINT},
    {"failed", ONE(END, "create-complete", "create-failed"), OPEN, "endpoint",
     V_FAIL, "delete", CLASS_ENDPOINT},
    {"deleted", ONE(END, "create-complete", "delete-in-progress"), OPEN,
     "endpoint", V_FAIL, "of no use", CLASS_ENDPOINT},
    {"being changed", ONE(END, "create-complete", "update-in-progress"), OPEN,
     NULL, V_OK, "", 0},
    {"change failed", ONE(END, "create-complete", "update-failed"), OPEN,
     "endpoint", V_WARN, "in force", 0},
    {"other family", ONE(END, "dualstack", "ipv6"), OPEN, "family", V_FAIL,
     "IPv4", CLASS_ENDPOINT},
    {"the client's address is kept from an old type",
     {{END, ">false<", ">true<"}, {INST, "t4g.small", "m3.large"},
      {-1, "", ""}}, OPEN, "family", V_FAIL, "--no-preserve-client-ip",
     CLASS_ENDPOINT},
    /* out of the endpoint's groups */
    {"nothing out", ONE(SG, "<ipProtocol>-1<", "<ipProtocol>udp<"), OPEN,
     "groups-out", V_FAIL, "egress", CLASS_PATH},
    {"out elsewhere", ONE(SG, "10.0.0.0/16", "10.0.1.0/24"), OPEN,
     "groups-out", V_FAIL, "sg-end", CLASS_PATH},
    {"out to a prefix list", ONE(SG, RANGE("10.0.0.0/16"), PREFIX), OPEN,
     "groups-out", V_WARN, "prefix list", 0},
    /* into the instance's groups */
    {"another port", ONE(SG, "<toPort>25<", "<toPort>21<"), OPEN, "groups-in",
     V_FAIL, "ingress", CLASS_PATH},
    {"another protocol", ONE(SG, ">tcp<", ">17<"), OPEN, "groups-in", V_FAIL,
     "sg-app", CLASS_PATH},
    {"tcp by its number", ONE(SG, ">tcp<", ">6<"), OPEN, NULL, V_OK, "", 0},
    {"another group", ONE(SG, ENDPOINT_GROUP, "<groups><item><groupId>sg-app"
                          "</groupId></item></groups>"), OPEN, "groups-in",
     V_FAIL, "sg-app", CLASS_PATH},
    {"a range with the endpoint", ONE(SG, ENDPOINT_GROUP,
                                      RANGE("10.0.1.0/28")), OPEN, NULL, V_OK,
     "", 0},
    {"a range without it", ONE(SG, ENDPOINT_GROUP, RANGE("10.0.1.8/29")), OPEN,
     "groups-in", V_FAIL, "sg-app", CLASS_PATH},
    {"in from a prefix list", ONE(SG, ENDPOINT_GROUP, PREFIX), OPEN,
     "groups-in", V_WARN, "prefix list", 0},
    {"a range, and its address not to be seen",
     {{SG, ENDPOINT_GROUP, RANGE("10.0.1.0/28")},
      {CLI_ASK_INTERFACES, "*", ""}, {-1, "", ""}}, OPEN, "groups-in", V_WARN,
     "cannot be judged", 0},
    {"the client's address is kept",
     {{END, ">false<", ">true<"}, {SG, ENDPOINT_GROUP, RANGE("10.0.1.0/28")},
      {-1, "", ""}}, OPEN, "groups-in", V_FAIL, "client's address",
     CLASS_PATH},
    {"the client's address is kept, and a public range let in",
     {{END, ">false<", ">true<"}, {SG, ENDPOINT_GROUP, RANGE("192.0.2.0/24")},
      {-1, "", ""}}, OPEN, "groups-in", V_WARN, "cannot be judged", 0},
    {"and everybody let in",
     {{END, ">false<", ">true<"}, {SG, ENDPOINT_GROUP, RANGE("0.0.0.0/0")},
      {-1, "", ""}}, OPEN, NULL, V_OK, "", 0},
    {"may not see groups", ONE(SG, NULL, ""), OPEN, "groups-out", V_WARN,
     "ec2:DescribeSecurityGroups", 0},
    /* between subnets */
    {"ACL on the way out", ONE(CLI_ASK_ACLS, "<entrySet>",
                               REFUSE("90", "true", "10.0.2.0/24", "22", "22")),
     OPEN, "acls", V_FAIL, "acl-a of subnet-a denies TCP 22 to", CLASS_PATH},
    {"ACL on the way back", ONE(CLI_ASK_ACLS, "<entrySet>",
                                REFUSE("90", "false", "10.0.2.5/32", "1024",
                                       "65535")),
     OPEN, "acls", V_FAIL, "acl-a of subnet-a denies TCP 49152 from",
     CLASS_PATH},
    {"ACL that comes too late", ONE(CLI_ASK_ACLS, "<entrySet>",
                                    REFUSE("110", "true", "10.0.2.0/24", "22",
                                           "22")), OPEN, NULL, V_OK, "", 0},
    {"ACL of another port", ONE(CLI_ASK_ACLS, "<entrySet>",
                                REFUSE("90", "true", "10.0.2.0/24", "23",
                                       "1023")), OPEN, NULL, V_OK, "", 0},
    {"ACL without entries", ONE(CLI_ASK_ACLS, ALLOW("100", "true"), ""), OPEN,
     "acls", V_FAIL, "acl-a", CLASS_PATH},
    {"one subnet, no ACL", {{INST, "subnet-b", "subnet-a"},
                            {CLI_ASK_ACLS, ALLOW("100", "true"), ""},
                            {-1, "", ""}}, OPEN, NULL, V_OK, "", 0},
    {"may not see ACLs", ONE(CLI_ASK_ACLS, NULL, ""), OPEN, "acls", V_SKIP,
     "cannot be told", 0},
    {"may not see routes", ONE(CLI_ASK_ROUTES, NULL, ""), OPEN, "routes",
     V_SKIP, "cannot be told", 0},
    {"a route elsewhere",
     ONE(CLI_ASK_ROUTES, "<routeSet>", "<routeSet><item><destinationCidrBlock>"
         "10.0.2.0/24</destinationCidrBlock></item>"), OPEN, "routes", V_FAIL,
     "10.0.2.0/24", CLASS_PATH},
    {"a wider route elsewhere",
     ONE(CLI_ASK_ROUTES, "<routeSet>", "<routeSet><item><destinationCidrBlock>"
         "10.0.0.0/8</destinationCidrBlock></item>"), OPEN, NULL, V_OK, "", 0},
    {"may not see images", ONE(CLI_ASK_IMAGES, NULL, ""), OPEN, "permissions",
     V_WARN, "ec2:DescribeImages", 0},
    /* the connection */
    {"twenty", WELL, FAILS(UPGRADE_QUOTA, UPGRADE, 5), "quota", V_FAIL,
     "20 connections", CLASS_ENDPOINT},
    {"push denied", WELL, FAILS(AWS_DENIED, PUSH, 5), "push-key", V_FAIL,
     "ec2:osuser=ec2-user", CLASS_PERMISSION},
    {"tunnel denied", WELL, FAILS(UPGRADE_DENIED, UPGRADE, 5), "upgrade",
     V_FAIL, "maxTunnelDuration=3600", CLASS_PERMISSION},
    {"nobody listens", WELL, FAILS(TARGET_UNREACHABLE, TUNNEL, 20), "target",
     V_FAIL, "nothing listens", CLASS_PATH},
    {"packets are dropped", WELL, FAILS(TARGET_UNREACHABLE, TUNNEL, 9000),
     "target", V_FAIL, "firewall", CLASS_PATH},
    {"no SSH", WELL, FAILS(SSH_BANNER, BANNER, 5), "ssh-version", V_FAIL,
     "no SSH server", CLASS_SSH},
    {"host key", WELL, FAILS(HOST_KEY_CHANGED, HOSTKEY, 5), "host-key", V_FAIL,
     "ssh-keygen -R i-1", CLASS_SSH},
    {"key exchange", WELL, FAILS(SSH_KEX, KEX, 5), "key-exchange", V_FAIL, "",
     CLASS_SSH},
    {"metadata is off", ONE(INST, "<imageId>", "<metadataOptions>"
                            "<httpEndpoint>disabled</httpEndpoint>"
                            "</metadataOptions><imageId>"),
     FAILS(SSH_AUTH, AUTH, 5), "key-accepted", V_FAIL,
     "--http-endpoint enabled", CLASS_SSH},
    {"login of the image", ONE(CLI_ASK_IMAGES, "al2023-ami", "ubuntu"),
     FAILS(SSH_AUTH, AUTH, 5), "key-accepted", V_FAIL,
     "login ubuntu, not ec2-user", CLASS_SSH},
    {"no package", ONE(CLI_ASK_IMAGES, "al2023-ami", "al2023-ami-minimal"),
     FAILS(SSH_AUTH, AUTH, 5), "key-accepted", V_FAIL,
     "without EC2 Instance Connect", CLASS_SSH},
    {"image of nobody", ONE(CLI_ASK_IMAGES, "al2023-ami", "golden"),
     FAILS(SSH_AUTH, AUTH, 5), "key-accepted", V_FAIL, "another login",
     CLASS_SSH},
};

/* ---- facts of a row ---------------------------------------------------- */

/* `from` is "*" for all of it; it must be there. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strcmp(from, "*") == 0 ? text : strstr(text, from);
    const size_t cut = at == text && from[0] == '*' ? strlen(text)
                                                    : strlen(from);
    char *out = (char *)malloc(strlen(text) + strlen(to) + 1);

    CHECK(at != NULL && out != NULL);
    if (at == NULL || out == NULL) {
        exit(1);
    }
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + cut);
    return out;
}

static void answer(cli_call *a, const char *text)
{
    while (text[0] != 0) {
        const char *end = strstr(text, "\n\n");
        eice_item item;

        item.doc = eice_str_make(text, end != NULL ? (size_t)(end - text)
                                                   : strlen(text));
        CHECK(keep(a, &item));
        text = end != NULL ? end + 2 : "";
    }
}

static void ask(cli_facts *f, int which, const row *r)
{
    static const eice_op ops[CLI_ASK_COUNT] = {
        EICE_OP_GET_CALLER_IDENTITY, EICE_OP_DESCRIBE_INSTANCES,
        EICE_OP_DESCRIBE_ENDPOINTS, EICE_OP_DESCRIBE_GROUPS,
        EICE_OP_DESCRIBE_INTERFACES, EICE_OP_DESCRIBE_SUBNETS,
        EICE_OP_DESCRIBE_ACLS, EICE_OP_DESCRIBE_ROUTE_TABLES,
        EICE_OP_DESCRIBE_IMAGES,
    };
    cli_call *a = &f->ask[which];
    char *text = replaced(answers[which], "*", answers[which]);
    size_t i;

    cli_call_begin(a, ops[which]);
    a->asked = true;
    for (i = 0; i < 3; i++) {
        char *before = text;

        if (r->edits[i].ask == which && r->edits[i].from == NULL) {
            eice_fail(&a->call.error, EICE_E_AWS_DENIED, EICE_STAGE_API,
                      "not allowed to do it");
            text[0] = 0;
        } else if (r->edits[i].ask == which) {
            text = replaced(before, r->edits[i].from, r->edits[i].to);
            free(before);
        }
    }
    answer(a, text);
    free(text);
}

/* What is tried up to the end, and that. */
static void connection(doctor *d, const outcome *end)
{
    static const eice_stage stages[] = {
        EICE_STAGE_PUSH, EICE_STAGE_UPGRADE, EICE_STAGE_TUNNEL,
        EICE_STAGE_KEX, EICE_STAGE_HOSTKEY, EICE_STAGE_AUTH};
    size_t i;

    d->tried = true;
    d->connected = end->code == EICE_OK;
    for (i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        eice_attempt *a = &d->trail[d->trail_count];

        if (d->connected || stages[i] <= end->stage) {
            a->stage = stages[i];
            snprintf(a->what, sizeof a->what, "SSH-2.0-X, y");
            a->took_ms = end->ms;
            a->code = !d->connected && stages[i] == end->stage ? end->code
                                                               : EICE_OK;
            d->trail_count++;
        }
    }
    if (!d->connected) {
        eice_fail(&d->error, end->code, end->stage, "it failed");
    }
    snprintf(d->whoami, sizeof d->whoami, "ec2-user");
}

static void check_row(const row *r, doctor *d)
{
    const rung *one;
    char all[2600];
    finding f;

    for (one = doctor_ladder; one->name != NULL; one++) {
        const verdict v = doctor_look(d, one, &f);
        const bool meant = r->rung != NULL && strcmp(one->name, r->rung) == 0;

        snprintf(all, sizeof all, "%s: %s: %s %s %s %s %s", r->name, one->name,
                 f.evidence, f.cause, f.fix, f.permission, f.why);
        if (meant) {
            if (v != r->v || strstr(all, r->words) == NULL
                || (v == V_FAIL && f.class_ != r->class_)) {
                test_fail(__FILE__, __LINE__, "verdict %d, class %d: %s",
                          (int)v, f.class_, all);
            }
            return;
        }
        if (v == V_FAIL || v == V_WARN || (v == V_SKIP && r->rung == NULL)) {
            test_fail(__FILE__, __LINE__, "blamed: %s", all);
            return;
        }
    }
    CHECK(r->rung == NULL);
}

static void test_rules(void)
{
    static cli c;
    size_t i;
    int k;

    c.conn.target = "web";
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        doctor *d = (doctor *)calloc(1, sizeof *d);

        d->c = &c;
        d->user = "ec2-user";
        d->port = 22;
        snprintf(d->region, sizeof d->region, "eu-west-1");
        for (k = 0; k < CLI_ASK_COUNT; k++) {
            ask(&d->f, k, &rows[i]);
        }
        settle(&d->f, &c);
        cli_fact(d->f.ask[CLI_ASK_INTERFACES].items, "privateIpAddress",
                 d->f.endpoint_address, sizeof d->f.endpoint_address);
        connection(d, &rows[i].end);
        check_row(&rows[i], d);
        cli_facts_free(&d->f);
        free(d);
    }
}

static const test_case tests[] = {
    {"doctor: the rules", test_rules},
};

TEST_MAIN(tests)
