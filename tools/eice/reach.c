/* Whether security groups let an endpoint reach an instance. */
#include "cli.h"

bool cli_has_port(const eice_item *p, unsigned port, const char *from,
                  const char *to)
{
    char text[16];
    uint64_t low;
    uint64_t high;

    return eice_str_u64(eice_str_c(eice_item_get(p, from, text, sizeof text)),
                        65535, &low)
           && eice_str_u64(eice_str_c(eice_item_get(p, to, text, sizeof text)),
                           65535, &high)
           && low <= port && port <= high;
}

static bool lets_port(const eice_item *p, unsigned port)
{
    return eice_item_is(p, "ipProtocol", "-1")
           || ((eice_item_is(p, "ipProtocol", "tcp")
                || eice_item_is(p, "ipProtocol", "6"))
               && cli_has_port(p, port, "fromPort", "toPort"));
}

/* May a client's address be in it, as the Internet sees it? Endpoints hand on
 * IPv4 addresses only. */
static bool is_public(char *cidr)
{
    static const char *const inside[] = {"10.0.0.0/8", "100.64.0.0/10",
                                         "172.16.0.0/12", "192.168.0.0/16"};
    size_t i;

    cidr[strcspn(cidr, "/")] = 0;
    for (i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        if (cli_in_cidr(inside[i], cidr)) {
            return false;
        }
    }
    return strchr(cidr, ':') == NULL;
}

/* The address is in one of the ranges; -1: that cannot be told, and there are
 * some. An empty address is a client's, which is not known. */
static int any_range(const eice_item *p, const char *list, const char *path,
                     const char *address)
{
    eice_items walk;
    eice_item one;
    char cidr[64];
    int is = 0;

    eice_items_in(p, list, &walk);
    while (is != 1 && eice_items_next(&walk, &one)) {
        const bool all = eice_item_get(&one, path, cidr, sizeof cidr)[0] != 0
                         && strcmp(cidr + strcspn(cidr, "/"), "/0") == 0;

        is = all || (address != NULL && cli_in_cidr(cidr, address)) ? 1
             : address == NULL || (address[0] == 0 && is_public(cidr))
                 ? -1
                 : is;
    }
    return is;
}

static bool in_words(const char *words, const char *word)
{
    eice_str rest = eice_str_c(words);

    while (rest.len > 0) {
        if (eice_str_is(eice_str_cut(&rest, ' '), word)) {
            return true;
        }
    }
    return false;
}

static bool any_group(const eice_item *p, const cli_side *peer)
{
    eice_items walk;
    eice_item one;
    char id[64];

    eice_items_in(p, "groups/item", &walk);
    while (eice_items_next(&walk, &one)) {
        if (in_words(peer->groups,
                     eice_item_get(&one, "groupId", id, sizeof id))) {
            return true;
        }
    }
    return false;
}

/* What one permission says: 1 yes, 0 no, -1 cannot be told from here. */
static int permission_lets(const eice_item *p, unsigned port,
                           const cli_side *peer)
{
    char id[64];
    int four;
    int six;

    if (!lets_port(p, port)) {
        return 0;
    }
    four = any_range(p, "ipRanges/item", "cidrIp", peer->address);
    six = any_range(p, "ipv6Ranges/item", "cidrIpv6", peer->address);
    if (any_group(p, peer) || four == 1 || six == 1) {
        return 1;
    }
    return four != 0 || six != 0
                   || eice_item_get(p, "prefixListIds/item/prefixListId", id,
                                    sizeof id)[0] != 0
               ? -1
               : 0;
}

static void first_word(const char *words, char *out, size_t cap)
{
    eice_str rest = eice_str_c(words);

    eice_copy_text(out, cap, eice_str_cut(&rest, ' '));
}

cli_lets cli_groups_let(const cli_call *groups, unsigned port,
                        const cli_side *own, const cli_side *peer, bool egress,
                        cli_group_rule *rule)
{
    cli_lets lets = CLI_LETS_NO;
    char id[64];
    size_t i;

    memset(rule, 0, sizeof *rule);
    first_word(own->groups, rule->group, sizeof rule->group);
    first_word(peer->groups, rule->peer, sizeof rule->peer);
    for (i = 0; i < groups->count; i++) {
        const eice_item *g = &groups->items[i];
        const size_t at = strlen(rule->names);
        eice_items walk;
        eice_item p;

        if (!in_words(own->groups,
                      eice_item_get(g, "groupId", id, sizeof id))) {
            continue;
        }
        snprintf(rule->names + at, sizeof rule->names - at, "%s%s",
                 at > 0 ? ", " : "", id);
        eice_items_in(g, egress ? "ipPermissionsEgress/item"
                                : "ipPermissions/item",
                      &walk);
        while (eice_items_next(&walk, &p)) {
            const int is = permission_lets(&p, port, peer);

            if (is == 1) {
                return CLI_LETS_YES;
            }
            lets = is < 0 ? CLI_LETS_UNSURE : lets;
        }
    }
    return lets;
}

/* The texts at a path below each of a list's elements. */
static void words_of(const eice_item *item, const char *list,
                     const char *path, char *out, size_t cap)
{
    eice_items walk;
    eice_item one;
    char id[64];

    out[0] = 0;
    if (item == NULL) {
        return;
    }
    eice_items_in(item, list, &walk);
    while (eice_items_next(&walk, &one)) {
        const size_t at = strlen(out);

        snprintf(out + at, cap - at, "%s%s", at > 0 ? " " : "",
                 eice_item_get(&one, path, id, sizeof id));
    }
}

cli_lets cli_facts_groups(const cli_facts *f, unsigned port, bool egress,
                          cli_group_rule *rule)
{
    char near_groups[EICE_GROUPS_TEXT];
    char far_groups[EICE_GROUPS_TEXT];
    /* its interface may not be seen, or it has an address of each family */
    const bool known = f->endpoint_address[0] != 0
                       && (strchr(f->endpoint_address, ':') == NULL)
                              == (strchr(f->address, ':') == NULL);
    cli_side endpoint;
    cli_side instance;

    words_of(f->endpoint, "securityGroupIdSet/item", "", near_groups,
             sizeof near_groups);
    words_of(f->instance, "groupSet/item", "groupId", far_groups,
             sizeof far_groups);
    endpoint.groups = near_groups;
    endpoint.address = eice_item_is(f->endpoint, "preserveClientIp", "true")
                           ? ""
                       : known ? f->endpoint_address
                               : NULL;
    instance.groups = far_groups;
    instance.address = f->address;
    return cli_groups_let(&f->ask[CLI_ASK_GROUPS], port,
                          egress ? &endpoint : &instance,
                          egress ? &instance : &endpoint, egress, rule);
}
