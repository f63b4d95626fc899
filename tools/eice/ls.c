/* eice ls: the instances, and whether an endpoint leads to them. */
#include "cli.h"

/* The places of columns that are filled by hand. */
enum {
    LS_REGION = 0,
    LS_ID = 2,
    LS_ADDRESS = 4,
    LS_ADDRESS6 = 6,
    LS_ENDPOINT = 13,
    LS_ENDPOINT_ID,
    LS_GROUPS = 16,
    LS_TAGS,
    LS_COUNT
};

static const cli_column columns[LS_COUNT] = {
    {"REGION", "Region", NULL, 't', 0, 2},
    {"NAME", "Name", "tag:Name", 't', 8, 0},
    {"ID", "InstanceId", "instanceId", 'i', 0, 0},
    {"STATE", "State", "instanceState/name", 's', 0, 1},
    {"PRIVATE IP", "PrivateIpAddress", "privateIpAddress", 't', 0, 3},
    {NULL, "PublicIpAddress", "ipAddress", 't', 0, 0},
    {NULL, "Ipv6Address", "ipv6Address", 't', 0, 0},
    {"VPC", "VpcId", "vpcId", 'i', 0, 7},
    {"SUBNET", "SubnetId", "subnetId", 'i', 0, 9},
    {"AZ", "AvailabilityZone", "placement/availabilityZone", 't', 0, 6},
    {"PLATFORM", "Platform", "platformDetails", 't', 8, 8},
    {"TYPE", "InstanceType", "instanceType", 't', 0, 10},
    {NULL, "ImageId", "imageId", 't', 0, 0},
    {"ENDPOINT", "EndpointState", NULL, 's', 0, 4},
    {NULL, "EndpointId", NULL, 't', 0, 0},
    {"AGE", "LaunchTime", "launchTime", 'a', 0, 5},
    {NULL, "SecurityGroups", NULL, 'r', 0, 0},
    {NULL, "Tags", NULL, 'r', 0, 0},
};

static const char *const filters[][2] = {
    {"id", "instance-id"},      {"state", "instance-state-name"},
    {"vpc", "vpc-id"},          {"subnet", "subnet-id"},
    {"az", "availability-zone"}, {"type", "instance-type"},
    {"image", "image-id"},      {"group", "instance.group-id"},
    {"ip", "private-ip-address"}, {"name", "tag:Name"},
};

#define FILTERS (sizeof filters / sizeof filters[0])

/* What is asked of one Region. */
typedef struct ls_region {
    const cli *c;
    const char *name;
    const cli_filters *filters;
    eice_call instances;
    eice_call endpoints;
    cli_table rows;
    eice_blob points; /* eice_endpoint after eice_endpoint: a few fields */
    bool starved;
    bool marked;      /* what the configuration knows is "enrolled" */
} ls_region;

/* ---- instances --------------------------------------------------------- */

static bool put_column(ls_region *r, size_t i, const eice_item *item)
{
    cli_table *const t = &r->rows;
    eice_str raw;

    if (columns[i].path != NULL) {
        /* on the table an instance without IPv4 has its IPv6 address */
        return cli_table_item(t, i == LS_ADDRESS && !r->c->json
                                         && !eice_item_raw(item,
                                                           columns[i].path,
                                                           &raw)
                                     ? LS_ADDRESS6 : i, item);
    }
    switch (i) {
    case LS_REGION:
        return cli_table_put(t, eice_str_c(r->name));
    case LS_GROUPS:
        return cli_table_list(t, item, "groupSet/item", "groupId", NULL);
    case LS_TAGS:
        return cli_table_list(t, item, "tagSet/item", "key", "value");
    default: /* known when all are there */
        return cli_table_put(t, eice_str_c(""));
    }
}

static bool instance_seen(void *user, const eice_item *item)
{
    ls_region *const r = (ls_region *)user;
    const size_t before = r->rows.cells.len;
    size_t i;

    for (i = 0; i < LS_COUNT; i++) {
        if (!put_column(r, i, item)) {
            r->starved = true;
            return false;
        }
    }
    if (cli_filters_fit(r->filters, (const char *)r->rows.cells.ptr + before,
                        r->rows.cells.len - before)) {
        r->rows.rows++;
    } else {
        r->rows.cells.len = before;
    }
    return true;
}

/* ---- endpoints --------------------------------------------------------- */

static bool endpoint_seen(void *user, const eice_item *item)
{
    ls_region *const r = (ls_region *)user;
    eice_endpoint e;

    memset(&e, 0, sizeof e);
    eice_item_get(item, "instanceConnectEndpointId", e.id, sizeof e.id);
    eice_item_get(item, "vpcId", e.vpc_id, sizeof e.vpc_id);
    eice_item_get(item, "state", e.state, sizeof e.state);
    r->starved = !eice_blob_add(&r->points, &e, sizeof e, CLI_TABLE_MAX);
    return !r->starved;
}

/* The endpoint of a VPC: a usable one, or else any. */
static const eice_endpoint *endpoint_of(const ls_region *r, const char *vpc)
{
    const eice_endpoint *const list
        = (const eice_endpoint *)(const void *)r->points.ptr;
    const eice_endpoint *found = NULL;
    size_t i;

    for (i = 0; i < r->points.len / sizeof *list; i++) {
        if (strcmp(list[i].vpc_id, vpc) == 0
            && (found == NULL || eice_endpoint_usable(&list[i]))) {
            found = &list[i];
        }
    }
    return found;
}

/* On the table a word, in JSON the state as it is. */
static const char *endpoint_word(const ls_region *r, const eice_endpoint *e)
{
    if (r->endpoints.error.code != EICE_OK) {
        return r->c->json ? "" : "?";
    }
    if (e == NULL) {
        return r->c->json ? "" : "no";
    }
    return r->c->json                                  ? e->state
           : eice_endpoint_usable(e)                   ? "yes"
           : strcmp(e->state, "create-in-progress") == 0 ? "pending"
                                                       : "failed";
}

/* A Region's rows, now with what is known of endpoints, behind the others. */
static bool append(cli_table *all, const ls_region *r)
{
    const char *cell = (const char *)r->rows.cells.ptr;
    const eice_endpoint *point = NULL;
    const char *id = "";
    bool good = true;
    size_t row;
    size_t i;

    for (row = 0; row < r->rows.rows && good; row++) {
        for (i = 0; i < LS_COUNT; i++, cell += strlen(cell) + 1) {
            const char *text = cell;

            id = i == LS_ID ? cell : id;
            if (columns[i].json != NULL
                && strcmp(columns[i].json, "VpcId") == 0) {
                point = endpoint_of(r, cell);
            } else if (i == LS_ENDPOINT) {
                text = r->marked && cli_config_knows(id)
                           ? "enrolled"
                           : endpoint_word(r, point);
            } else if (i == LS_ENDPOINT_ID) {
                text = point != NULL ? point->id : "";
            }
            good = good && cli_table_put(all, eice_str_c(text));
        }
    }
    all->rows += r->rows.rows;
    return good;
}

/* ---- the command ------------------------------------------------------- */

static void region_begin(ls_region *r, const cli_run *run, const char *name,
                         cli_filters *f)
{
    memset(r, 0, sizeof *r);
    r->c = run->c;
    r->name = name;
    r->filters = f;
    r->rows.columns = columns;
    r->rows.count = LS_COUNT;
    r->instances.op = EICE_OP_DESCRIBE_INSTANCES;
    r->instances.params = f->params.list;
    r->instances.param_count = f->params.count;
    r->instances.item = instance_seen;
    r->instances.user = r;
    r->instances.region = name[0] != 0 ? name : NULL;
    r->endpoints.op = EICE_OP_DESCRIBE_ENDPOINTS;
    r->endpoints.item = endpoint_seen;
    r->endpoints.user = r;
    r->endpoints.region = r->instances.region;
    if (name[0] == 0 && run->c->json) {
        r->name = eice_conn_region(run->conn);
    }
    (void)eice_conn_call(run->conn, &r->endpoints);
    (void)eice_conn_call(run->conn, &r->instances);
}

/* Without the right to list endpoints there is a list all the same. */
static bool region_good(cli_run *run, const ls_region *r)
{
    if (r->starved) {
        cli_say(run->c, "%s: no memory for more instances",
                eice_conn_region(run->conn));
        return false;
    }
    if (!cli_calls_good(run, &r->instances)) {
        return false;
    }
    if (r->endpoints.error.code != EICE_OK) {
        cli_say(run->c, "warning: endpoints are not known: %s",
                r->endpoints.error.text);
    }
    return true;
}

static int show(cli_run *run, ls_region *list, size_t count)
{
    cli_table all;
    bool good = true;
    bool printed;
    size_t i;

    memset(&all, 0, sizeof all);
    all.columns = columns;
    all.count = LS_COUNT;
    for (i = 0; i < count; i++) {
        good = region_good(run, &list[i])
               && (run->c->sort != NULL
                   || cli_table_sort(run->c, &list[i].rows))
               && good;
        good = append(&all, &list[i]) && good;
    }
    good = (run->c->sort == NULL || cli_table_sort(run->c, &all)) && good;
    printed = run->signal == 0 && (good || all.rows > 0 || count > 1)
                  ? cli_table_print(run->c, &all) : false;
    if (printed && good && all.rows == 0) {
        cli_say(run->c, "no instances%s", run->c->argc > 0
                                              ? " that fit" : "");
    }
    cli_table_free(&all);
    return printed && good ? CLI_OK : CLI_FAILED;
}

static void wait_for(cli_run *run, const ls_region *r)
{
    while (!r->instances.done || !r->endpoints.done) {
        cli_run_turn(run, NULL, 0);
    }
}

static int ls_regions(cli_run *run, const cli_regions *regions,
                      cli_filters *f)
{
    ls_region *const list = (ls_region *)calloc(regions->count,
                                                sizeof *list);
    int status = CLI_FAILED;
    size_t i;

    if (list == NULL) {
        return CLI_FAILED;
    }
    for (i = 0; i < regions->count; i++) {
        region_begin(&list[i], run, regions->name[i], f);
    }
    for (i = 0; i < regions->count; i++) {
        wait_for(run, &list[i]);
    }
    status = show(run, list, regions->count);
    for (i = 0; i < regions->count; i++) {
        cli_table_free(&list[i].rows);
        eice_blob_free(&list[i].points);
    }
    free(list);
    return status;
}

bool cli_ls_running(cli_run *run, cli_table *out)
{
    static cli_filters f;
    ls_region r;
    bool good;

    memset(out, 0, sizeof *out);
    out->columns = columns;
    out->count = LS_COUNT;
    cli_filters_begin(&f);
    (void)cli_filters_add(&f, filters, FILTERS, "state=running");
    region_begin(&r, run, "", &f);
    r.marked = true;
    wait_for(run, &r);
    good = region_good(run, &r) && cli_table_sort(run->c, &r.rows)
           && append(out, &r);
    cli_table_free(&r.rows);
    eice_blob_free(&r.points);
    return good;
}

int cli_ls(cli *c)
{
    static cli_filters f;
    static cli_regions regions;
    const char *given = NULL;
    int status = CLI_FAILED;
    cli_table all;
    cli_run run;
    int i;

    memset(&all, 0, sizeof all);
    all.columns = columns;
    all.count = LS_COUNT;
    if (!cli_table_sorts(c, &all)) {
        return CLI_USAGE;
    }
    cli_filters_begin(&f);
    for (i = 0; i < c->argc; i++) {
        if (!cli_filters_add(&f, filters, FILTERS, c->argv[i])) {
            return cli_usage_error(c, "bad filter", c->argv[i]);
        }
    }
    if (!f.state) { /* those that are gone only when they are asked for */
        (void)cli_filters_add(&f, filters, 2,
                              "state=pending,running,stopping,stopped");
    }
    if (cli_many_regions(c)) {
        given = c->conn.region;
        c->conn.region = NULL;
        c->conn.region_optional = true;
    }
    if (!cli_calls_begin(&run, c)) {
        return CLI_FAILED;
    }
    if (cli_regions_find(&run, given, &regions)) {
        status = ls_regions(&run, &regions, &f);
    }
    cli_run_close(&run);
    return status;
}
