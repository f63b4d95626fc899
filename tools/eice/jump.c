/* eice ssh -J: through the sessions of other instances (ProxyJump). */
#include "cli.h"

/* A hop is [user@]TARGET[:port]; TARGET is no address with colons. */
static bool parse_hop(cli *c, char *text, eice_conn_opts *o)
{
    char *at = strrchr(text, '@');
    char *colon;
    uint64_t port;

    if (at != NULL) {
        *at = 0;
        o->user = text;
        text = at + 1;
    }
    colon = strchr(text, ':');
    if (colon != NULL && strncmp(text, "tag:", 4) == 0) {
        colon = strchr(colon + 1, ':');
    }
    if (colon != NULL) {
        *colon = 0;
        if (!eice_str_u64(eice_str_c(colon + 1), 65535, &port) || port == 0) {
            (void)cli_usage_error(c, "-J: not a port", colon + 1);
            return false;
        }
        o->port = (uint16_t)port;
    }
    o->target = text;
    if (text[0] == 0 || (at != NULL && o->user[0] == 0)) {
        (void)cli_usage_error(c, "-J takes [user@]TARGET[:port],...",
                              c->jump);
        return false;
    }
    return true;
}

/* What of the command line is meant for the last target only. */
static void hop_defaults(const cli *c, eice_conn_opts *o)
{
    *o = c->conn;
    o->goal = EICE_GOAL_SSH;
    o->user = NULL;
    o->port = 0;
    o->private_ip = NULL;
    o->host_key_alias = NULL;
    o->host_key = NULL;
}

static bool open_hop(cli_run *r, const eice_conn_opts *o)
{
    eice_error e;
    eice_conn *hop;

    memset(&e, 0, sizeof e);
    hop = eice_conn_new(o, eice_posix_now(), &e);
    if (hop == NULL) {
        cli_report(r->c, &e);
        return false;
    }
    r->hop[r->hops++] = hop;
    r->conn = hop;
    r->seen = 0;
    (void)eice_posix_add(r->x, hop);
    eice_posix_process(r->x, NULL, 0);
    if (!cli_run_wait(r)) {
        cli_say(r->c, "that was on the way, at %s", o->target);
        return false;
    }
    return true;
}

/* All of them, before the first is opened; -1: reported. */
static int parse_hops(cli_run *r, eice_conn_opts *o)
{
    char *rest = r->jump;
    char *hop;
    int n = 0;

    while ((hop = strsep(&rest, ",")) != NULL) {
        if (n == CLI_HOPS) {
            (void)cli_usage_error(r->c, "-J: too many hops", hop);
            return -1;
        }
        hop_defaults(r->c, &o[n]);
        if (!parse_hop(r->c, hop, &o[n])) {
            return -1;
        }
        n++;
    }
    return n;
}

bool cli_jump_open(cli_run *r)
{
    eice_conn_opts o[CLI_HOPS];
    int count;
    int i;

    if (r->c->jump == NULL || strcmp(r->c->jump, "none") == 0) {
        return true;
    }
    r->jump = strdup(r->c->jump);
    count = parse_hops(r, o);
    for (i = 0; i < count; i++) {
        o[i].via = i > 0 ? r->hop[i - 1] : NULL;
        if (!open_hop(r, &o[i])) {
            return false;
        }
    }
    if (count <= 0) {
        return false;
    }
    r->c->conn.via = r->hop[count - 1];
    r->conn = NULL;
    r->seen = 0;
    return true;
}

/* The last first: each takes its leave through the ones before it. */
void cli_jump_close(cli_run *r)
{
    while (r->hops > 0) {
        r->conn = r->hop[--r->hops];
        r->seen = SIZE_MAX; /* reported when it was opened */
        eice_conn_close(r->conn);
        while ((eice_conn_state(r->conn) & EICE_DONE) == 0) {
            cli_run_turn(r, NULL, 0);
        }
        eice_posix_remove(r->x, r->conn);
        eice_conn_free(r->conn);
    }
    r->conn = NULL;
    if (r->jump != NULL) {
        r->c->conn.via = NULL;
        free(r->jump);
        r->jump = NULL;
    }
}
