/* What the identity may do: dry runs, and why IAM said no. */
#include "cli.h"

void cli_dry_run(cli_call *a, eice_op op, const char *on, const char *peer,
                 unsigned port)
{
    static const struct {
        eice_op op;
        const char *on; /* the parameter that says on what */
    } needs[] = {
        {EICE_OP_CREATE_ENDPOINT, "SubnetId"},
        {EICE_OP_MODIFY_ENDPOINT, "InstanceConnectEndpointId"},
        {EICE_OP_DELETE_ENDPOINT, "InstanceConnectEndpointId"},
        {EICE_OP_AUTHORIZE_INGRESS, "GroupId"},
        {EICE_OP_AUTHORIZE_EGRESS, "GroupId"},
        {EICE_OP_REVOKE_INGRESS, "GroupId"},
        {EICE_OP_REVOKE_EGRESS, "GroupId"},
        {EICE_OP_CREATE_TAGS, "ResourceId.1"},
    };
    char number[16];
    size_t i;

    cli_call_begin(a, op);
    a->call.dry_run = true;
    for (i = 0; i < sizeof needs / sizeof needs[0]; i++) {
        if (needs[i].op == op) {
            eice_param(&a->params, needs[i].on, eice_str_c(on));
            break;
        }
    }
    if (i < sizeof needs / sizeof needs[0]
        && strcmp(needs[i].on, "GroupId") == 0) {
        snprintf(number, sizeof number, "%u", port);
        eice_param(&a->params, "IpPermissions.1.IpProtocol",
                   eice_str_c("tcp"));
        eice_param(&a->params, "IpPermissions.1.FromPort", eice_str_c(number));
        eice_param(&a->params, "IpPermissions.1.ToPort", eice_str_c(number));
        eice_param(&a->params, "IpPermissions.1.Groups.1.GroupId",
                   eice_str_c(peer));
    } else if (op == EICE_OP_CREATE_TAGS) {
        eice_param(&a->params, "Tag.1.Key", eice_str_c("eice"));
        eice_param(&a->params, "Tag.1.Value", eice_str_c("check"));
    } else if (op == EICE_OP_MODIFY_ENDPOINT) {
        eice_param(&a->params, "IpAddressType", eice_str_c(peer));
    } else if (op == EICE_OP_CREATE_ENDPOINT && peer[0] != 0) {
        eice_param(&a->params, "TagSpecification.1.ResourceType",
                   eice_str_c("instance-connect-endpoint"));
        eice_param(&a->params, "TagSpecification.1.Tag.1.Key",
                   eice_str_c(peer));
        eice_param(&a->params, "TagSpecification.1.Tag.1.Value",
                   eice_str_c("eice"));
    }
}

int cli_allowed(cli_run *r, cli_call *a)
{
    cli_call_start(r, a);
    if (cli_call_wait(r, a, 1)) {
        return 1;
    }
    cli_explain(r, a, 1);
    return a->call.error.code == EICE_E_AWS_DENIED ? 0 : -1;
}

/* ---- what a decoded message says --------------------------------------- */

/* The next object of an array that was opened. */
static bool next_of(eice_json *j, eice_str *object)
{
    return eice_json_take(j, object) == EICE_JSON_OBJECT;
}

static bool array_at(eice_str doc, const char *path, eice_json *j)
{
    eice_str raw;

    if (eice_json_find(doc, path, &raw) != EICE_JSON_ARRAY) {
        return false;
    }
    eice_json_init(j, raw);
    return eice_json_next(j, &raw) == EICE_JSON_ARRAY;
}

/* A condition key of the request, with its first value. */
static void put_key(eice_buf *b, eice_str key, eice_str condition)
{
    eice_str one;
    eice_str value;
    eice_json j;

    eice_putf(b, " %S", &key);
    if (array_at(condition, "values.items", &j) && next_of(&j, &one)
        && eice_json_find(one, "value", &value) == EICE_JSON_STRING) {
        eice_putf(b, "=%S", &value);
    }
}

static bool names_key(eice_str statement, eice_str key)
{
    eice_str one;
    eice_str name;
    eice_json j;

    if (!array_at(statement, "conditions.items", &j)) {
        return false;
    }
    while (next_of(&j, &one)) {
        if (eice_json_find(one, "key", &name) == EICE_JSON_STRING
            && eice_str_eq_nocase(name, key)) {
            return true;
        }
    }
    return false;
}

/* Without a statement: is it one that policies are about, and that differs
 * from one request to the next? */
static bool worth_saying(eice_str key)
{
    static const char *const keys[] = {
        "aws:SourceIp", "aws:SourceVpc", "aws:RequestedRegion",
        "aws:ResourceTag/", "aws:RequestTag/", "aws:MultiFactorAuth",
    };
    size_t i;

    for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (eice_str_starts(key, keys[i])) {
            return true;
        }
    }
    return false;
}

/* Which statement denied it and, with or without one, what of the request
 * conditions can be about. */
static void put_decoded(eice_buf *b, eice_str doc)
{
    eice_str statement;
    eice_str sid;
    eice_str one;
    eice_str key;
    eice_json j;
    bool deny = array_at(doc, "matchedStatements.items", &j)
                && next_of(&j, &statement);

    if (deny) {
        (void)eice_json_find(statement, "statementId", &sid);
        eice_putf(b, "denied by %s%S for",
                  sid.len > 0 ? "statement " : "a statement without Sid",
                  &sid);
    } else {
        eice_put_c(b, "no statement allows it for");
    }
    if (eice_json_find(doc, "context.resource", &one) == EICE_JSON_STRING) {
        eice_putf(b, " %S", &one);
    }
    if (!array_at(doc, "context.conditions.items", &j)) {
        return;
    }
    while (next_of(&j, &one)) {
        if (eice_json_find(one, "key", &key) == EICE_JSON_STRING
            && (deny ? names_key(statement, key) : worth_saying(key))) {
            put_key(b, key, one);
        }
    }
}

/* ---- decoding ---------------------------------------------------------- */

static void take_decoded(cli_call *a, const cli_call *decode)
{
    eice_str raw;
    eice_buf doc;
    eice_buf b;
    char *text;

    if (decode->count == 0
        || !eice_item_raw(&decode->items[0], "DecodedMessage", &raw)
        || (text = (char *)malloc(raw.len + 1)) == NULL) {
        return;
    }
    eice_buf_init(&doc, text, raw.len + 1);
    if (eice_xml_unescape(raw, &doc)) {
        eice_buf_init(&b, a->why, sizeof a->why);
        put_decoded(&b, eice_buf_str(&doc));
        (void)eice_buf_c(&b);
    }
    free(text);
}

/* False: it cannot be decoded, nor can others. */
static bool explain(cli_run *r, cli_call *a)
{
    cli_call *decode = (cli_call *)malloc(sizeof *decode);
    bool good;

    if (decode == NULL) {
        return false;
    }
    cli_call_begin(decode, EICE_OP_DECODE_MESSAGE);
    decode->params.list[0].name = eice_str_c("EncodedMessage");
    decode->params.list[0].value = eice_buf_str(&a->encoded);
    decode->params.count = 1;
    cli_call_start(r, decode);
    good = cli_call_wait(r, decode, 1);
    if (good) {
        take_decoded(a, decode);
    } else {
        snprintf(a->why, sizeof a->why,
                 "sts:DecodeAuthorizationMessage would tell more, but: %.200s",
                 decode->call.error.text);
    }
    cli_call_end(decode);
    free(decode);
    return good;
}

void cli_explain(cli_run *r, cli_call *asks, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (asks[i].asked && asks[i].call.error.code == EICE_E_AWS_DENIED
            && asks[i].encoded.len > 0 && !asks[i].encoded.overflow
            && !explain(r, &asks[i])) {
            return;
        }
    }
}

/* ---- who can change it ------------------------------------------------- */

bool cli_denied(const eice_error *e, const char **whose)
{
    static const struct {
        const char *policy;
        const char *whose;
    } holders[] = {
        {"service control", "who runs the AWS organization"},
        {"resource control", "who runs the AWS organization"},
        {"boundary", "who set the permissions boundary of this identity"},
        {"session policy", "who gave out these keys"},
        {"VPC endpoint", "who runs the VPC endpoint that was called"},
    };
    size_t i;

    *whose = "who manages IAM in this account";
    for (i = 0; i < sizeof holders / sizeof holders[0]; i++) {
        if (cli_contains(e->text, holders[i].policy)) {
            *whose = holders[i].whose;
        }
    }
    return cli_contains(e->text, "explicit deny");
}
