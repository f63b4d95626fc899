/* What AWS tells about a target and what lies around it: doctor, policy. */
#include "cli.h"

void cli_call_begin(cli_call *a, eice_op op)
{
    memset(a, 0, sizeof *a);
    a->call.op = op;
    eice_params_init(&a->params, a->text, sizeof a->text);
    eice_buf_init(&a->encoded, a->message, sizeof a->message);
}

/* The answer's memory goes with the answer: items are copied. */
static bool keep(void *user, const eice_item *item)
{
    cli_call *a = (cli_call *)user;
    eice_item *list = (eice_item *)realloc(
        a->items, (a->count + 1) * sizeof *a->items);
    char *text;

    if (list == NULL) {
        return false;
    }
    a->items = list;
    text = (char *)malloc(item->doc.len + 1);
    if (text == NULL) {
        return false;
    }
    memcpy(text, item->doc.ptr, item->doc.len);
    text[item->doc.len] = 0;
    list[a->count++].doc = eice_str_make(text, item->doc.len);
    return true;
}

void cli_call_start(cli_run *r, cli_call *a)
{
    a->call.params = a->params.list;
    a->call.param_count = a->params.count;
    a->call.item = a->call.item != NULL ? a->call.item : keep;
    a->call.user = a;
    a->call.encoded = &a->encoded;
    (void)eice_conn_call(r->conn, &a->call);
    a->asked = true;
}

bool cli_call_wait(cli_run *r, cli_call *asks, size_t count)
{
    bool good = true;
    size_t i;

    for (i = 0; i < count; i++) {
        while (asks[i].asked && !asks[i].call.done) {
            cli_run_turn(r, NULL, 0);
        }
        good = good && asks[i].call.error.code == EICE_OK;
    }
    return good;
}

void cli_call_end(cli_call *a)
{
    size_t i;

    for (i = 0; i < a->count; i++) {
        free((void *)(uintptr_t)a->items[i].doc.ptr);
    }
    free(a->items);
    memset(a, 0, sizeof *a);
}

bool cli_in_cidr(const char *cidr, const char *address)
{
    eice_str rest = eice_str_c(cidr);
    eice_ip net;
    eice_ip ip;
    uint64_t bits;
    size_t i;

    if (!eice_ip_parse(eice_str_cut(&rest, '/'), &net)
        || !eice_ip_parse(eice_str_c(address), &ip)
        || net.family != ip.family
        || !eice_str_u64(rest, net.family == 4 ? 32 : 128, &bits)) {
        return false;
    }
    for (i = 0; i < bits; i++) {
        const unsigned mask = 0x80u >> (i % 8);

        if ((net.bytes[i / 8] & mask) != (ip.bytes[i / 8] & mask)) {
            return false;
        }
    }
    return true;
}

const char *cli_fact(const eice_item *item, const char *path, char *out,
                     size_t cap)
{
    if (item != NULL) {
        return eice_item_get(item, path, out, cap);
    }
    out[0] = 0;
    return out;
}

void cli_whose(const eice_item *identity, cli_identity *out)
{
    eice_str rest;

    cli_fact(identity, "Account", out->account, sizeof out->account);
    cli_fact(identity, "Arn", out->arn, sizeof out->arn);
    rest = eice_str_c(out->arn);
    (void)eice_str_cut(&rest, ':');
    eice_copy_text(out->partition, sizeof out->partition,
                   eice_str_cut(&rest, ':'));
}

/* ---- around a target --------------------------------------------------- */

static void ask_filter(cli_call *a, const char *name, const char *value)
{
    eice_param_filter(&a->params, name, eice_str_c(value));
}

/* Usable first, then one on its way, then whatever is there. */
static unsigned endpoint_rank(const eice_item *e)
{
    static const char *const order[] = {
        "create-complete", "update-complete", "update-in-progress",
        "create-in-progress", "update-failed", "create-failed",
        "delete-in-progress",
    };
    unsigned i;

    for (i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (eice_item_is(e, "state", order[i])) {
            break;
        }
    }
    return i;
}

static void choose_endpoint(cli_facts *f, const cli *c)
{
    const cli_call *a = &f->ask[CLI_ASK_ENDPOINTS];
    size_t i;

    for (i = 0; i < a->count; i++) {
        const eice_item *e = &a->items[i];
        const bool wanted
            = c->conn.endpoint_id != NULL
                  ? eice_item_is(e, "instanceConnectEndpointId",
                                 c->conn.endpoint_id)
                  : eice_item_is(e, "vpcId", f->vpc);

        if (wanted
            && (f->endpoint == NULL
                || endpoint_rank(e) < endpoint_rank(f->endpoint))) {
            f->endpoint = e;
        }
    }
}

static bool is_gone(const eice_item *instance)
{
    return eice_item_is(instance, "instanceState/name", "terminated")
           || eice_item_is(instance, "instanceState/name", "shutting-down");
}

/* One that is gone counts only where there is no other. */
static void choose_instance(cli_facts *f)
{
    const cli_call *a = &f->ask[CLI_ASK_INSTANCES];
    size_t i;

    for (i = 0; i < a->count; i++) {
        const bool gone = is_gone(&a->items[i]);

        f->ambiguous = f->ambiguous
                       || (!gone && f->instance != NULL
                           && !is_gone(f->instance));
        if (f->instance == NULL || (!gone && is_gone(f->instance))) {
            f->instance = &a->items[i];
        }
    }
    cli_fact(f->instance, "vpcId", f->vpc, sizeof f->vpc);
    cli_fact(f->instance, "subnetId", f->subnet, sizeof f->subnet);
    cli_fact(f->instance, "instanceId", f->id, sizeof f->id);
    cli_fact(f->instance, "privateIpAddress", f->address, sizeof f->address);
    if (f->address[0] == 0) {
        cli_fact(f->instance,
                 "networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address",
                 f->address, sizeof f->address);
    }
}

/* From the answers: who asks, and what of all that is there is meant. */
static void settle(cli_facts *f, const cli *c)
{
    const cli_call *who = &f->ask[CLI_ASK_IDENTITY];

    if (who->count > 0) {
        cli_whose(&who->items[0], &f->who);
    }
    choose_instance(f);
    choose_endpoint(f, c);
    cli_fact(f->endpoint, "instanceConnectEndpointId", f->endpoint_id,
             sizeof f->endpoint_id);
    cli_fact(f->endpoint, "subnetId", f->endpoint_subnet,
             sizeof f->endpoint_subnet);
}

bool cli_facts_find(cli_facts *f, cli_run *r)
{
    cli_call *a = f->ask;
    bool good;

    cli_call_begin(&a[CLI_ASK_IDENTITY], EICE_OP_GET_CALLER_IDENTITY);
    cli_call_begin(&a[CLI_ASK_INSTANCES], EICE_OP_DESCRIBE_INSTANCES);
    cli_call_begin(&a[CLI_ASK_ENDPOINTS], EICE_OP_DESCRIBE_ENDPOINTS);
    eice_param_target(&a[CLI_ASK_INSTANCES].params, r->c->conn.target);
    cli_call_start(r, &a[CLI_ASK_IDENTITY]);
    cli_call_start(r, &a[CLI_ASK_INSTANCES]);
    cli_call_start(r, &a[CLI_ASK_ENDPOINTS]);
    good = cli_call_wait(r, a, CLI_ASK_FOUND);
    settle(f, r->c);
    return good;
}

/* Those of the instance and of the endpoint. */
static void ask_groups(cli_facts *f, cli_call *a)
{
    eice_items walk;
    eice_item one;
    char id[64];

    if (f->instance != NULL) {
        eice_items_in(f->instance, "groupSet/item", &walk);
        while (eice_items_next(&walk, &one)) {
            ask_filter(a, "group-id",
                       eice_item_get(&one, "groupId", id, sizeof id));
        }
    }
    if (f->endpoint != NULL) {
        eice_items_in(f->endpoint, "securityGroupIdSet/item", &walk);
        while (eice_items_next(&walk, &one)) {
            ask_filter(a, "group-id", eice_item_get(&one, "", id, sizeof id));
        }
    }
}

void cli_facts_around(cli_facts *f, cli_run *r)
{
    cli_call *a = f->ask;
    char id[64];
    size_t i;

    cli_call_begin(&a[CLI_ASK_GROUPS], EICE_OP_DESCRIBE_GROUPS);
    cli_call_begin(&a[CLI_ASK_INTERFACES], EICE_OP_DESCRIBE_INTERFACES);
    cli_call_begin(&a[CLI_ASK_SUBNETS], EICE_OP_DESCRIBE_SUBNETS);
    cli_call_begin(&a[CLI_ASK_ACLS], EICE_OP_DESCRIBE_ACLS);
    cli_call_begin(&a[CLI_ASK_ROUTES], EICE_OP_DESCRIBE_ROUTE_TABLES);
    cli_call_begin(&a[CLI_ASK_IMAGES], EICE_OP_DESCRIBE_IMAGES);
    ask_groups(f, &a[CLI_ASK_GROUPS]);
    if (cli_fact(f->endpoint, "networkInterfaceIdSet/item", id, sizeof id)[0]
        != 0) {
        eice_param(&a[CLI_ASK_INTERFACES].params, "NetworkInterfaceId.1",
                   eice_str_c(id));
        cli_call_start(r, &a[CLI_ASK_INTERFACES]);
    }
    ask_filter(&a[CLI_ASK_SUBNETS], "vpc-id", f->vpc);
    ask_filter(&a[CLI_ASK_ACLS], "vpc-id", f->vpc);
    ask_filter(&a[CLI_ASK_ROUTES], "vpc-id", f->vpc);
    if (a[CLI_ASK_GROUPS].params.count > 0) {
        cli_call_start(r, &a[CLI_ASK_GROUPS]);
    }
    for (i = CLI_ASK_SUBNETS; f->vpc[0] != 0 && i <= CLI_ASK_ROUTES; i++) {
        cli_call_start(r, &a[i]);
    }
    if (cli_fact(f->instance, "imageId", id, sizeof id)[0] != 0) {
        eice_param(&a[CLI_ASK_IMAGES].params, "ImageId.1", eice_str_c(id));
        cli_call_start(r, &a[CLI_ASK_IMAGES]);
    }
    (void)cli_call_wait(r, a, CLI_ASK_COUNT);
    if (a[CLI_ASK_INTERFACES].count > 0) {
        cli_fact(&a[CLI_ASK_INTERFACES].items[0],
                 strchr(f->address, ':') != NULL
                     ? "ipv6AddressesSet/item/ipv6Address"
                     : "privateIpAddress",
                 f->endpoint_address, sizeof f->endpoint_address);
    }
}

void cli_facts_free(cli_facts *f)
{
    size_t i;

    for (i = 0; i < CLI_ASK_COUNT; i++) {
        cli_call_end(&f->ask[i]);
    }
}

/* ---- logins ------------------------------------------------------------ */

/* What an image's name begins with or holds, and whose login that means; the
 * first that fits. `ready`: EC2 Instance Connect comes with it. */
static const struct {
    const char *word;
    const char *login;
    bool ready;
} images[] = {
    {"al2023-ami-minimal", "ec2-user", false},
    {"al2023-ami-ecs", "ec2-user", false},
    {"al2023-ami", "ec2-user", true},
    {"amzn2-ami", "ec2-user", true},
    {"ubuntu", "ubuntu", true},
    {"debian", "admin", false},
    {"RHEL", "ec2-user", false},
    {"CentOS", "centos", false},
    {"Fedora", "fedora", false},
    {"suse", "ec2-user", false},
    {"Rocky", "rocky", false},
    {"AlmaLinux", "ec2-user", false},
    {"bitnami", "bitnami", false},
    {"FreeBSD", "ec2-user", false},
    {"Windows", "Administrator", false},
};

const char *cli_facts_login(const cli_facts *f, bool *ready)
{
    char name[160];
    size_t i;

    cli_fact(f->ask[CLI_ASK_IMAGES].count > 0 ? f->ask[CLI_ASK_IMAGES].items
                                              : NULL,
             "name", name, sizeof name);
    for (i = 0; i < sizeof images / sizeof images[0]; i++) {
        if (cli_contains(name, images[i].word)) {
            *ready = images[i].ready;
            return images[i].login;
        }
    }
    return NULL;
}
