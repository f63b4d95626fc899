/* eice enroll: what is asked of the user, or taken from the options. */
#include "enroll.h"

#define ASKED 64 /* bytes of an answer */

bool enroll_ask(enrolling *w, const char *question, const char *otherwise,
                char *out, size_t cap)
{
    w->left = !cli_prompt(question, otherwise, out, cap);
    return !w->left;
}

/* ---- lists ------------------------------------------------------------- */

static const cli_column subnet_columns[] = {
    {"SUBNET", "SubnetId", "subnetId", 'i', 0, 0},
    {"NAME", "Name", "tag:Name", 't', 8, 2},
    {"IPV4", "CidrBlock", "cidrBlock", 't', 0, 1},
    {"IPV6", "Ipv6CidrBlock",
     "ipv6CidrBlockAssociationSet/item/ipv6CidrBlock", 't', 0, 3},
    {"AZ", "AvailabilityZone", "availabilityZone", 't', 0, 4},
};

static const cli_column group_columns[] = {
    {"GROUP", "GroupId", "groupId", 'i', 0, 0},
    {"NAME", "GroupName", "groupName", 't', 8, 0},
    {"DESCRIPTION", "GroupDescription", "groupDescription", 't', 12, 1},
};

static const cli_column region_columns[] = {
    {"REGION", "Region", "regionName", 'i', 0, 0},
};

/* The rows of a call as a table, and those that are chosen of it; the first
 * column is what they are known by. */
static bool pick_items(enrolling *w, const cli_call *a, const cli_column *columns,
                       size_t count, const char *title, cli_picks how,
                       cli_words *out)
{
    bool *chosen = (bool *)calloc(a->count + 1, sizeof *chosen);
    bool good = chosen != NULL;
    char id[ASKED];
    cli_table t;
    size_t i;
    size_t k;

    memset(&t, 0, sizeof t);
    t.columns = columns;
    t.count = count;
    t.rows = a->count;
    for (i = 0; good && i < a->count; i++) {
        for (k = 0; good && k < count; k++) {
            good = cli_table_item(&t, k, &a->items[i]);
        }
    }
    w->left = good && !cli_pick(title, &t, chosen, how);
    good = good && !w->left;
    for (i = 0; good && i < a->count && out->count < CLI_WORDS; i++) {
        if (chosen[i]) {
            out->list[out->count] = cli_keep(eice_str_c(
                eice_item_get(&a->items[i], columns[0].path, id, sizeof id)));
            out->count += out->list[out->count] != NULL;
        }
    }
    free(chosen);
    cli_table_free(&t);
    return good;
}

#define COLUMNS(table) (table), sizeof(table) / sizeof((table)[0])

/* The same, of a call that has to be made first. */
static bool pick_of(enrolling *w, eice_op op, const cli_column *columns,
                    size_t count, const char *title, cli_picks how,
                    cli_words *out)
{
    cli_call *a = (cli_call *)malloc(sizeof *a);
    bool good;

    if (a == NULL) {
        return false;
    }
    cli_call_begin(a, op);
    if (op == EICE_OP_DESCRIBE_GROUPS) {
        eice_param_filter(&a->params, "vpc-id", eice_str_c(w->f.vpc));
    }
    good = enroll_call(w, a)
           && pick_items(w, a, columns, count, title, how, out);
    cli_call_end(a);
    free(a);
    return good;
}

/* ---- Region, instances ------------------------------------------------- */

bool enroll_choose_region(enrolling *w)
{
    const char *const now = eice_conn_region(w->r.conn);
    static char region[ASKED];
    cli_words chosen;

    if (!w->ask || w->c->point.yes || w->given.region != NULL
        || w->c->argc > 0) {
        return true;
    }
    memset(&chosen, 0, sizeof chosen);
    if (!enroll_ask(w, "Region, ? for a list", now, region, sizeof region)
        || (strcmp(region, "?") == 0
            && !pick_of(w, EICE_OP_DESCRIBE_REGIONS, COLUMNS(region_columns),
                        "Which Region?", CLI_PICK_ONE, &chosen))) {
        return false;
    }
    if (strcmp(region, now) != 0) {
        w->given.region = chosen.count > 0 ? chosen.list[0] : region;
        cli_run_disconnect(&w->r);
        return enroll_open(w);
    }
    return true;
}

/* What is chosen of those that run, or with --all every one, joins the list.
 */
bool enroll_choose(enrolling *w)
{
    cli_table t;
    bool good = cli_ls_running(&w->r, &t);
    const char **row = good ? cli_table_rows(&t) : NULL;
    bool *chosen = (bool *)calloc(t.rows + 1, sizeof *chosen);
    size_t i;

    good = good && row != NULL && chosen != NULL;
    if (good && t.rows == 0) {
        good = enroll_report(w, EICE_E_NO_INSTANCE, EICE_STAGE_TARGET,
                             "no instance is running in",
                             eice_conn_region(w->r.conn), "pass --region");
    } else if (good && !w->c->all) {
        good = cli_pick("Which instances?", &t, chosen, CLI_PICK_SOME);
    }
    for (i = 0; good && i < t.rows; i++) {
        if (w->c->all || chosen[i]) {
            good = enroll_add(w, cli_table_value(&t, row[i], "InstanceId"),
                              cli_table_value(&t, row[i], "Name"));
        }
    }
    free(row);
    free(chosen);
    cli_table_free(&t);
    return good;
}

/* ---- a new endpoint ---------------------------------------------------- */

static const eice_item *subnet_of(const enrolling *w, const char *id)
{
    const cli_call *a = &w->f.ask[CLI_ASK_SUBNETS];
    size_t i;

    for (i = 0; i < a->count; i++) {
        if (eice_item_is(&a->items[i], "subnetId", id)) {
            return &a->items[i];
        }
    }
    return NULL;
}

/* The types that the subnet's ranges allow, the one AWS takes by itself
 * first; "" when they are not known. */
static const char *types_of(const enrolling *w, const char *subnet)
{
    const eice_item *one = subnet_of(w, subnet);
    char v4[ASKED];
    char v6[ASKED];

    cli_fact(one, subnet_columns[2].path, v4, sizeof v4);
    cli_fact(one, subnet_columns[3].path, v6, sizeof v6);
    return v4[0] != 0 && v6[0] != 0 ? "dualstack, ipv4, ipv6"
           : v6[0] != 0             ? "ipv6"
           : v4[0] != 0             ? "ipv4"
                                    : "";
}

static bool one_of(const char *list, const char *word)
{
    eice_str rest = eice_str_c(list);

    while (rest.len > 0) {
        if (eice_str_is(eice_str_trim(eice_str_cut(&rest, ',')), word)) {
            return true;
        }
    }
    return false;
}

static void put_list(char *out, size_t cap, const cli_words *words,
                     const char *otherwise)
{
    eice_buf b;
    size_t i;

    eice_buf_init(&b, out, cap);
    eice_put_c(&b, otherwise);
    for (i = 0; i < words->count; i++) {
        eice_putf(&b, b.len > 0 ? ", %s" : "%s", words->list[i]);
    }
    (void)eice_buf_c(&b);
}

static void show_settings(const enrolling *w, const enrolled *e,
                          const enroll_settings *s)
{
    const char *types = types_of(w, s->subnet);
    const char *type = s->type[0] != 0 ? s->type : types;
    char groups[400];
    char tags[400];

    put_list(groups, sizeof groups, &w->c->point.groups,
             w->c->point.groups.count > 0 ? "" : "the VPC's default one");
    put_list(tags, sizeof tags, &w->c->point.tags, CLI_TAG "=eice");
    enroll_say(w, e, "no endpoint yet; one is made with", "");
    if (w->c->quiet) {
        return;
    }
    fprintf(stderr,
            "  subnet           %s%s\n"
            "  security groups  %s\n"
            "  addresses        %.*s%s\n"
            "  instances see    the %s address\n"
            "  tags             %s\n",
            s->subnet,
            strcmp(s->subnet, w->f.subnet) == 0 ? ", that of the instance"
                                                : "",
            groups, (int)strcspn(type, ","), type,
            s->type[0] != 0 ? "" : types[0] != 0 ? ", as the subnet"
                                                 : "as the subnet",
            s->keep[0] == 'y' ? "client's" : "endpoint's", tags);
}

/* The subnet: --subnet, or one of the VPC, that of the instance first. */
static bool ask_subnet(enrolling *w, enroll_settings *s)
{
    cli_words chosen;

    if (w->c->point.subnet != NULL
        || w->f.ask[CLI_ASK_SUBNETS].count < 2) {
        return true;
    }
    memset(&chosen, 0, sizeof chosen);
    if (!enroll_ask(w, "Subnet, ? for a list", s->subnet, s->subnet,
                    sizeof s->subnet)) {
        return false;
    }
    if (strcmp(s->subnet, "?") != 0) {
        return true;
    }
    if (!pick_items(w, &w->f.ask[CLI_ASK_SUBNETS], COLUMNS(subnet_columns),
                    "Subnet of the endpoint?", CLI_PICK_ONE, &chosen)) {
        return false;
    }
    snprintf(s->subnet, sizeof s->subnet, "%s", chosen.list[0]);
    return true;
}

/* Instances may see the client's address through IPv4 only. */
static bool ask_addresses(enrolling *w, enroll_settings *s)
{
    const char *types = types_of(w, s->subnet);
    char question[96];
    const char *type;

    types = types[0] != 0 ? types : "dualstack, ipv4, ipv6";
    if (w->c->point.ip_type == NULL && strchr(types, ',') != NULL) {
        snprintf(question, sizeof question, "Addresses: %s", types);
        do {
            if (!enroll_ask(w, question, "dualstack", s->type,
                            sizeof s->type)) {
                return false;
            }
        } while (!one_of(types, s->type));
    }
    type = s->type[0] != 0 ? s->type : types;
    return strcmp(type, "ipv4") != 0 || w->c->point.preserve != NULL
           || enroll_ask(w, "Shall instances see the client's own address? y, n",
                         "n", s->keep, sizeof s->keep);
}

/* Until an empty answer; they are for the rules, too. */
static bool ask_tags(enrolling *w)
{
    cli_words *const tags = &w->c->point.tags;
    char answer[200];

    while (tags->count < CLI_WORDS) {
        if (!enroll_ask(w, "Another tag, KEY=VALUE, or nothing", "", answer,
                        sizeof answer)) {
            return false;
        }
        if (answer[0] == 0) {
            break;
        }
        if (answer[0] != '=' && strchr(answer, '=') != NULL) {
            tags->list[tags->count] = cli_keep(eice_str_c(answer));
            tags->count += tags->list[tags->count] != NULL;
        }
    }
    return true;
}

static bool ask_settings(enrolling *w, enroll_settings *s)
{
    return ask_subnet(w, s)
           && (w->c->point.groups.count > 0
               || pick_of(w, EICE_OP_DESCRIBE_GROUPS, COLUMNS(group_columns),
                          "Its security groups? None: the VPC's default one",
                          CLI_PICK_ANY, &s->groups))
           && ask_addresses(w, s) && ask_tags(w);
}

/* The usual path is one question; whoever wants it otherwise says "edit". */
bool enroll_choose_settings(enrolling *w, const enrolled *e,
                            enroll_settings *s)
{
    char answer[16] = "";

    memset(s, 0, sizeof *s);
    snprintf(s->subnet, sizeof s->subnet, "%s",
             w->c->point.subnet != NULL ? w->c->point.subnet : w->f.subnet);
    snprintf(s->type, sizeof s->type, "%s",
             w->c->point.ip_type != NULL ? w->c->point.ip_type : "");
    snprintf(s->keep, sizeof s->keep, "%s",
             w->c->point.preserve != NULL ? w->c->point.preserve : "");
    s->groups = w->c->point.groups;
    if (w->c->point.yes) {
        return true;
    }
    show_settings(w, e, s);
    do {
        if (!enroll_ask(w, "Make it? y, n, edit", "y", answer, sizeof answer)) {
            return false;
        }
    } while (answer[0] != 'y' && answer[0] != 'n' && answer[0] != 'e');
    if (answer[0] != 'e') {
        return answer[0] == 'y';
    }
    return ask_settings(w, s)
           && enroll_agreed(w, "Make an EC2 Instance Connect Endpoint so?");
}
