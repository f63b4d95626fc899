/* eice endpoint: list, show, make, wait for, change and delete endpoints. */
#include "cli.h"

#include <unistd.h>

#define POINT_WAIT_MS 900000u /* a minute is usual */
#define POINT_POLL_MS 5000u
#define POINT_TYPE "instance-connect-endpoint"

/* The places of columns that are filled by hand. */
enum {
    POINT_REGION = 0,
    POINT_GROUPS = 12,
    POINT_INTERFACES,
    POINT_TAGS = 15,
    POINT_COUNT
};

static const cli_column columns[POINT_COUNT] = {
    {"REGION", "Region", NULL, 't', 0, 2},
    {"ID", "InstanceConnectEndpointId", "instanceConnectEndpointId", 'i', 0,
     0},
    {"NAME", "Name", "tag:Name", 't', 8, 4},
    {"STATE", "State", "state", 's', 0, 1},
    {NULL, "StateMessage", "stateMessage", 't', 0, 0},
    {"VPC", "VpcId", "vpcId", 'i', 0, 3},
    {"SUBNET", "SubnetId", "subnetId", 'i', 0, 8},
    {"AZ", "AvailabilityZone", "availabilityZone", 't', 0, 5},
    {"IP", "IpAddressType", "ipAddressType", 't', 0, 7},
    {"CLIENT IP", "PreserveClientIp", "preserveClientIp", 'b', 0, 9},
    {NULL, "DnsName", "dnsName", 't', 0, 0},
    {NULL, "FipsDnsName", "fipsDnsName", 't', 0, 0},
    {NULL, "SecurityGroupIds", NULL, 'r', 0, 0},
    {NULL, "NetworkInterfaceIds", NULL, 'r', 0, 0},
    {"AGE", "CreatedAt", "createdAt", 'a', 0, 6},
    {NULL, "Tags", NULL, 'r', 0, 0},
};

static const char *const filters[][2] = {
    {"id", "instance-connect-endpoint-id"},
    {"vpc", "vpc-id"},
    {"subnet", "subnet-id"},
    {"name", "tag:Name"},
};

/* What one call tells: rows of the table, and the endpoint seen last. */
typedef struct points {
    const cli *c;
    const char *region;
    const cli_filters *filters; /* or NULL */
    cli_table rows;
    eice_endpoint last;
    bool starved;
    eice_call call;
} points;

static bool put_column(points *p, size_t i, const eice_item *item)
{
    cli_table *const t = &p->rows;

    return columns[i].path != NULL ? cli_table_item(t, i, item)
           : i == POINT_REGION ? cli_table_put(t, eice_str_c(p->region))
           : i == POINT_GROUPS
               ? cli_table_list(t, item, "securityGroupIdSet/item", "", NULL)
           : i == POINT_INTERFACES
               ? cli_table_list(t, item, "networkInterfaceIdSet/item", "",
                                NULL)
               : cli_table_list(t, item, "tagSet/item", "key", "value");
}

static bool point_seen(void *user, const eice_item *item)
{
    points *const p = (points *)user;
    eice_endpoint *const e = &p->last;
    const size_t before = p->rows.cells.len;
    size_t i;

    eice_item_get(item, "instanceConnectEndpointId", e->id, sizeof e->id);
    eice_item_get(item, "vpcId", e->vpc_id, sizeof e->vpc_id);
    eice_item_get(item, "state", e->state, sizeof e->state);
    eice_item_get(item, "stateMessage", e->state_message,
                  sizeof e->state_message);
    for (i = 0; i < POINT_COUNT; i++) {
        if (!put_column(p, i, item)) {
            p->starved = true;
            return false;
        }
    }
    if (p->filters == NULL
        || cli_filters_fit(p->filters,
                           (const char *)p->rows.cells.ptr + before,
                           p->rows.cells.len - before)) {
        p->rows.rows++;
    } else {
        p->rows.cells.len = before;
    }
    return true;
}

static void points_begin(points *p, const cli *c, eice_op op,
                         const eice_params *params)
{
    memset(p, 0, sizeof *p);
    p->c = c;
    p->region = "";
    p->rows.columns = columns;
    p->rows.count = POINT_COUNT;
    p->call.op = op;
    p->call.params = params->list;
    p->call.param_count = params->count;
    p->call.item = point_seen;
    p->call.user = p;
}

/* ---- ls ---------------------------------------------------------------- */

/* The rows of a Region behind the others. */
static bool append(cli_table *all, const points *p)
{
    all->rows += p->rows.rows;
    return p->rows.cells.len == 0
           || eice_blob_add(&all->cells, p->rows.cells.ptr,
                            p->rows.cells.len, CLI_TABLE_MAX);
}

static int list_regions(cli_run *run, const cli_regions *regions,
                        const cli_filters *f)
{
    points *const list = (points *)calloc(regions->count, sizeof *list);
    bool good = list != NULL;
    cli_table all;
    size_t i;

    memset(&all, 0, sizeof all);
    all.columns = columns;
    all.count = POINT_COUNT;
    for (i = 0; list != NULL && i < regions->count; i++) {
        points_begin(&list[i], run->c, EICE_OP_DESCRIBE_ENDPOINTS,
                     &f->params);
        list[i].filters = f;
        list[i].region = regions->name[i];
        list[i].call.region = regions->name[i][0] != 0 ? regions->name[i]
                                                       : NULL;
        if (list[i].call.region == NULL && run->c->json) {
            list[i].region = eice_conn_region(run->conn);
        }
        (void)eice_conn_call(run->conn, &list[i].call);
    }
    for (i = 0; list != NULL && i < regions->count; i++) {
        while (!list[i].call.done) {
            cli_run_turn(run, NULL, 0);
        }
        good = cli_calls_good(run, &list[i].call) && !list[i].starved && good;
        good = (run->c->sort != NULL
                || cli_table_sort(run->c, &list[i].rows))
               && append(&all, &list[i]) && good;
        cli_table_free(&list[i].rows);
    }
    good = (run->c->sort == NULL || cli_table_sort(run->c, &all)) && good;
    if (good || all.rows > 0) {
        good = cli_table_print(run->c, &all) && good;
    }
    if (good && all.rows == 0) {
        cli_say(run->c, "no endpoints%s", run->c->argc > 1 ? " that fit"
                                                           : "");
    }
    cli_table_free(&all);
    free(list);
    return good ? CLI_OK : CLI_FAILED;
}

static int point_ls(cli_run *run, const char *region)
{
    static cli_filters f;
    static cli_regions regions;
    cli *const c = run->c;
    cli_table t;
    int i;

    memset(&t, 0, sizeof t);
    t.columns = columns;
    t.count = POINT_COUNT;
    if (!cli_table_sorts(c, &t)) {
        return CLI_USAGE;
    }
    cli_filters_begin(&f);
    for (i = 1; i < c->argc; i++) {
        if (!cli_filters_add(&f, filters, sizeof filters / sizeof filters[0],
                             c->argv[i])) {
            return cli_usage_error(c, "bad filter", c->argv[i]);
        }
    }
    return cli_regions_find(run, region, &regions)
               ? list_regions(run, &regions, &f) : CLI_FAILED;
}

/* ---- one --------------------------------------------------------------- */

static int point_error(const cli *c, const eice_endpoint *e,
                       const char *remedy, const char *text)
{
    eice_error error;

    memset(&error, 0, sizeof error);
    eice_fail(&error, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
              "endpoint %s: %s%s%s%s", e->id, e->state, text,
              e->state_message[0] != 0 ? ": " : "", e->state_message);
    snprintf(error.remedy, sizeof error.remedy, "%s", remedy);
    cli_report(c, &error);
    return CLI_FAILED;
}

/* Looks it up by its id, or by that of its VPC; false: reported, unless
 * `maybe`. The rows are the caller's to free. */
static bool point_find(cli_run *run, const char *name, points *p, bool maybe)
{
    static eice_params params;
    static char memory[256];
    eice_error e;

    eice_params_init(&params, memory, sizeof memory);
    if (strncmp(name, "vpc-", 4) == 0) {
        eice_param_filter(&params, "vpc-id", eice_str_c(name));
    } else {
        eice_param(&params, "InstanceConnectEndpointId.1", eice_str_c(name));
    }
    points_begin(p, run->c, EICE_OP_DESCRIBE_ENDPOINTS, &params);
    p->region = eice_conn_region(run->conn);
    cli_calls_run(run, &p->call, 1);
    if (p->call.error.code == EICE_OK && p->rows.rows == 1) {
        return true;
    }
    if (maybe
        && (p->call.error.code == EICE_OK
            || p->call.error.code == EICE_E_NO_ENDPOINT)) {
        p->call.error.code = EICE_OK;
        p->last.id[0] = 0;
        return true;
    }
    if (cli_calls_good(run, &p->call)) {
        memset(&e, 0, sizeof e);
        eice_fail(&e, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                  "%s has %s", name, p->rows.rows == 0
                                         ? "no endpoint"
                                         : "several endpoints: name one");
        cli_report(run->c, &e);
    }
    return false;
}

static int point_show(cli_run *run, const char *name)
{
    points p;
    int status = CLI_FAILED;

    if (point_find(run, name, &p, false)
        && cli_table_print_rows(run->c, &p.rows)) {
        status = CLI_OK;
    }
    cli_table_free(&p.rows);
    return status;
}

/* ---- wait -------------------------------------------------------------- */

static void failed_remedy(const cli_run *run, const eice_endpoint *e,
                          char *out, size_t cap)
{
    snprintf(out, cap,
             "mend the cause, delete it and create it again; "
             "https://%s.console.aws.amazon.com/vpc/home?"
             "#InstanceConnectEndpointDetails:instanceConnectEndpointId=%s",
             eice_conn_region(run->conn), e->id);
}

/* What a state means to who waits: -1, or the exit status. */
static int wait_over(cli_run *run, const eice_endpoint *e, bool gone)
{
    const bool deleted = e->id[0] == 0
                         || strcmp(e->state, "delete-complete") == 0;
    char remedy[256];

    failed_remedy(run, e, remedy, sizeof remedy);
    if (deleted || strcmp(e->state, "delete-in-progress") == 0) {
        return gone ? (deleted ? CLI_OK : -1)
                    : point_error(run->c, e, "create another one",
                                  deleted ? "it is gone" : "");
    }
    if (cli_contains(e->state, "failed")) {
        return point_error(run->c, e, remedy, "");
    }
    return !gone && cli_contains(e->state, "complete") ? CLI_OK : -1;
}

/* Until it can be used, or is gone. */
static int point_wait(cli_run *run, const char *id, bool gone)
{
    const uint32_t limit = run->c->point.timeout_ms > 0
                               ? run->c->point.timeout_ms : POINT_WAIT_MS;
    const uint64_t end = eice_posix_now().ms + limit;
    char state[sizeof((eice_endpoint *)0)->state] = "";
    uint32_t pause = 500;
    int status = -1;
    points p;

    while (status < 0) {
        const bool good = point_find(run, id, &p, gone);

        cli_table_free(&p.rows);
        if (!good) {
            return CLI_FAILED;
        }
        if (strcmp(state, p.last.state) != 0) {
            snprintf(state, sizeof state, "%s", p.last.state);
            cli_say(run->c, "%s: %s", id, p.last.id[0] != 0 ? state : "gone");
        }
        status = wait_over(run, &p.last, gone);
        if (status < 0 && eice_posix_now().ms >= end) {
            snprintf(p.last.state_message, sizeof p.last.state_message,
                     "not done after %u s", (unsigned)(limit / 1000));
            return point_error(run->c, &p.last,
                               "go on with eice endpoint wait", "");
        }
        if (status < 0 && !cli_calls_pause(run, pause)) {
            return CLI_FAILED;
        }
        pause = pause * 2 < POINT_POLL_MS ? pause * 2 : POINT_POLL_MS;
    }
    return status;
}

/* ---- create ------------------------------------------------------------ */

static bool subnet_seen(void *user, const eice_item *item)
{
    eice_item_get(item, "vpcId", (char *)user, 40);
    return true;
}

/* The VPC of a subnet; false: reported. */
static bool subnet_vpc(cli_run *run, const char *subnet, char vpc[40])
{
    eice_call call;
    eice_pair param;

    memset(&call, 0, sizeof call);
    param.name = eice_str_c("SubnetId.1");
    param.value = eice_str_c(subnet);
    call.op = EICE_OP_DESCRIBE_SUBNETS;
    call.params = &param;
    call.param_count = 1;
    call.item = subnet_seen;
    call.user = vpc;
    vpc[0] = 0;
    return cli_calls_one(run, &call) && vpc[0] != 0;
}

/* What --group, --preserve-client-ip and --ip-address-type say. */
static bool put_settings(const cli *c, eice_params *params)
{
    const char *const yes = c->point.preserve;
    size_t i;

    for (i = 0; i < c->point.groups.count; i++) {
        eice_param(params, "SecurityGroupId.#",
                   eice_str_c(c->point.groups.list[i]));
    }
    if (yes != NULL) {
        eice_param(params, "PreserveClientIp",
                   eice_str_c(strcmp(yes, "yes") == 0 ? "true" : "false"));
    }
    if (c->point.ip_type != NULL) {
        eice_param(params, "IpAddressType", eice_str_c(c->point.ip_type));
    }
    return params->count > 0;
}

void cli_put_tags(const cli *c, eice_params *params, const char *type)
{
    char name[64];
    size_t i;

    eice_param(params, "TagSpecification.1.ResourceType", eice_str_c(type));
    for (i = 0; i <= c->point.tags.count; i++) {
        eice_str value = eice_str_c(i == 0 ? CLI_TAG "=eice"
                                           : c->point.tags.list[i - 1]);
        const eice_str key = eice_str_cut(&value, '=');

        snprintf(name, sizeof name, "TagSpecification.1.Tag.%u.Key",
                 (unsigned)i + 1);
        eice_param(params, name, key);
        snprintf(name, sizeof name, "TagSpecification.1.Tag.%u.Value",
                 (unsigned)i + 1);
        eice_param(params, name, value);
    }
}

static void put_create(const cli *c, const char *subnet, eice_params *params)
{
    eice_param(params, "SubnetId", eice_str_c(subnet));
    (void)put_settings(c, params);
    if (c->point.token != NULL) {
        eice_param(params, "ClientToken", eice_str_c(c->point.token));
    }
    cli_put_tags(c, params, POINT_TYPE);
}

/* Makes the call; true: it went well. */
static bool point_do(cli_run *run, points *p, eice_op op,
                     const eice_params *params)
{
    if (params->text.overflow) {
        cli_usage_error(run->c, "too many groups or tags", NULL);
        return false;
    }
    points_begin(p, run->c, op, params);
    p->region = eice_conn_region(run->conn);
    p->call.dry_run = run->c->point.dry_run;
    if (op == EICE_OP_MODIFY_ENDPOINT) {
        p->call.item = NULL;
    }
    if (cli_calls_one(run, &p->call)) {
        if (p->call.nothing) {
            cli_say(run->c, "%s: it would be allowed", eice_op_name(op));
        }
        return true;
    }
    return false;
}

static int point_create(cli_run *run, const char *subnet)
{
    static eice_params params;
    static char memory[16384];
    cli *const c = run->c;
    char vpc[40];
    int status = CLI_FAILED;
    points p;

    if (!c->point.dry_run) { /* one is all that a VPC may have */
        if (!subnet_vpc(run, subnet, vpc)
            || !point_find(run, vpc, &p, true)) {
            return CLI_FAILED;
        }
        cli_table_free(&p.rows);
        if (eice_endpoint_usable(&p.last)
            || strcmp(p.last.state, "create-in-progress") == 0) {
            cli_say(c, "%s has an endpoint already: %s", vpc, p.last.id);
            status = c->point.wait ? point_wait(run, p.last.id, false)
                                   : CLI_OK;
            return status == CLI_OK ? point_show(run, p.last.id) : status;
        }
    }
    eice_params_init(&params, memory, sizeof memory);
    put_create(c, subnet, &params);
    if (point_do(run, &p, EICE_OP_CREATE_ENDPOINT, &params)) {
        status = CLI_OK;
    }
    if (status == CLI_OK && !c->point.dry_run && c->point.wait) {
        status = point_wait(run, p.last.id, false);
        status = status == CLI_OK ? point_show(run, p.last.id) : status;
    } else if (status == CLI_OK && !c->point.dry_run) {
        status = cli_table_print_rows(c, &p.rows) ? CLI_OK : CLI_FAILED;
    }
    cli_table_free(&p.rows);
    return status;
}

/* ---- modify, delete ---------------------------------------------------- */

static int point_modify(cli_run *run, const char *name)
{
    static eice_params params;
    static char memory[4096];
    points p;
    bool good;

    eice_params_init(&params, memory, sizeof memory);
    if (!put_settings(run->c, &params)) {
        return cli_usage_error(run->c, "modify needs --group, "
                               "--preserve-client-ip or --ip-address-type",
                               NULL);
    }
    good = point_find(run, name, &p, false);
    cli_table_free(&p.rows);
    if (!good) {
        return CLI_FAILED;
    }
    eice_param(&params, "InstanceConnectEndpointId", eice_str_c(p.last.id));
    if (!point_do(run, &p, EICE_OP_MODIFY_ENDPOINT, &params)) {
        return CLI_FAILED;
    }
    return run->c->point.wait && !run->c->point.dry_run
               ? point_wait(run, name, false) : CLI_OK;
}

/* Asks on the terminal; without one only --yes will do. */
static bool confirmed(const cli *c, const eice_endpoint *e)
{
    char answer[8] = "";

    if (c->point.yes || c->point.dry_run) {
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        cli_usage_error(c, "delete asks; where nobody can answer it needs "
                        "--yes", NULL);
        return false;
    }
    fprintf(stderr, "delete endpoint %s of %s? [y/N] ", e->id, e->vpc_id);
    return fgets(answer, sizeof answer, stdin) != NULL
           && (answer[0] == 'y' || answer[0] == 'Y');
}

static int point_delete(cli_run *run, const char *name)
{
    static eice_params params;
    static char memory[256];
    char id[sizeof((eice_endpoint *)0)->id];
    points p;
    bool good = point_find(run, name, &p, false);

    cli_table_free(&p.rows);
    if (!good || !confirmed(run->c, &p.last)) {
        return CLI_FAILED;
    }
    memcpy(id, p.last.id, sizeof id);
    eice_params_init(&params, memory, sizeof memory);
    eice_param(&params, "InstanceConnectEndpointId", eice_str_c(id));
    good = point_do(run, &p, EICE_OP_DELETE_ENDPOINT, &params);
    cli_table_free(&p.rows);
    return !good                                       ? CLI_FAILED
           : run->c->point.wait && !run->c->point.dry_run ? point_wait(run, id,
                                                                       true)
                                                       : CLI_OK;
}

/* ---- the command ------------------------------------------------------- */

static int point_until(cli_run *run, const char *name)
{
    points p;
    bool good;

    if (strncmp(name, "vpc-", 4) != 0) {
        return point_wait(run, name, false);
    }
    good = point_find(run, name, &p, false);
    cli_table_free(&p.rows);
    return good ? point_wait(run, p.last.id, false) : CLI_FAILED;
}

static const struct {
    const char *name;
    const char *operand;
    int (*run)(cli_run *run, const char *name);
} verbs[] = {
    {"ls", NULL, point_ls},
    {"show", "an endpoint or a VPC", point_show},
    {"create", "a subnet", point_create},
    {"wait", "an endpoint or a VPC", point_until},
    {"modify", "an endpoint or a VPC", point_modify},
    {"delete", "an endpoint or a VPC", point_delete},
};

void cli_endpoint_words(void)
{
    size_t i;

    for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        puts(verbs[i].name);
    }
}

int cli_endpoint(cli *c)
{
    const char *const name = c->argc > 0 ? c->argv[0] : "";
    const char *region = NULL;
    char what[64];
    size_t i = 0;
    int status;
    cli_run run;

    while (i < sizeof verbs / sizeof verbs[0]
           && strcmp(verbs[i].name, name) != 0) {
        i++;
    }
    if (i == sizeof verbs / sizeof verbs[0]) {
        return cli_usage_error(c, "endpoint takes ls, show, create, wait, "
                               "modify or delete",
                               c->argc > 0 ? name : NULL);
    }
    if (verbs[i].operand != NULL && c->argc != 2) {
        snprintf(what, sizeof what, "%s takes %s", name, verbs[i].operand);
        return cli_usage_error(c, what, NULL);
    }
    if (cli_many_regions(c)) {
        if (verbs[i].operand != NULL) {
            return cli_usage_error(c, "only ls takes several Regions", name);
        }
        region = c->conn.region;
        c->conn.region = NULL;
        c->conn.region_optional = true;
    }
    if (!cli_calls_begin(&run, c)) {
        return CLI_FAILED;
    }
    status = verbs[i].run(&run, verbs[i].operand != NULL ? c->argv[1]
                                                         : region);
    cli_run_close(&run);
    return status;
}
