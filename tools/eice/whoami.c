/* eice whoami, eice push-key. */
#include "cli.h"

/* ISO 8601, or "" where the keys have no end. */
static const char *expiry(const eice_conn *conn, char out[24])
{
    const int64_t t = eice_conn_expires(conn);
    char amz[17]; /* 20260115T093045Z */

    out[0] = 0;
    if (t != 0) {
        eice_time_amz(t, amz);
        snprintf(out, 24, "%.4s-%.2s-%.5s:%.2s:%s", amz, amz + 4, amz + 6,
                 amz + 11, amz + 13);
    }
    return out;
}

/* One line for each provider of keys: what became of it. */
static void show_notes(const cli *c, const eice_conn *conn)
{
    eice_pair note;
    size_t i;

    for (i = 0; c->verbose > 0 && eice_conn_note(conn, i, &note); i++) {
        fprintf(stderr, "eice: %-20s %s\n", note.name.ptr, note.value.ptr);
    }
}

static void json_notes(const eice_conn *conn)
{
    eice_pair note;
    size_t i;

    fputs(",\"Providers\":[", stdout);
    for (i = 0; eice_conn_note(conn, i, &note); i++) {
        fputs(i > 0 ? ",{\"Name\":" : "{\"Name\":", stdout);
        cli_json_text(stdout, note.name.ptr);
        fputs(",\"Outcome\":", stdout);
        cli_json_text(stdout, note.value.ptr);
        fputs("}", stdout);
    }
    fputs("]", stdout);
}

static void whoami_json(const eice_conn *conn)
{
    const eice_identity *i = eice_conn_identity(conn);
    char until[24];

    fputs("{\"Account\":", stdout);
    cli_json_text(stdout, i->account);
    fputs(",\"Arn\":", stdout);
    cli_json_text(stdout, i->arn);
    fputs(",\"UserId\":", stdout);
    cli_json_text(stdout, i->user_id);
    fputs(",\"Region\":", stdout);
    cli_json_text(stdout, eice_conn_region(conn));
    fputs(",\"Provider\":", stdout);
    cli_json_text(stdout, eice_conn_provider(conn));
    if (expiry(conn, until)[0] != 0) {
        fputs(",\"Expires\":", stdout);
        cli_json_text(stdout, until);
    }
    json_notes(conn);
    fputs("}\n", stdout);
}

int cli_whoami(cli *c)
{
    const eice_identity *i;
    char until[24];
    cli_run r;
    int status = CLI_FAILED;

    if (c->argc > 0) {
        return cli_usage_error(c, "whoami takes no operand", c->argv[0]);
    }
    c->conn.goal = EICE_GOAL_IDENTITY;
    if (!cli_run_open(&r, c)) {
        return CLI_FAILED;
    }
    while ((eice_conn_state(r.conn) & (EICE_OPEN | EICE_DONE)) == 0) {
        cli_run_turn(&r, NULL, 0);
    }
    cli_trail(c, r.conn, &r.seen);
    show_notes(c, r.conn);
    if (cli_run_good(&r)) {
        i = eice_conn_identity(r.conn);
        if (c->json) {
            whoami_json(r.conn);
        } else {
            printf("account   %s\narn       %s\nuser id   %s\n"
                   "region    %s\nkeys from %s\n",
                   i->account, i->arn, i->user_id, eice_conn_region(r.conn),
                   eice_conn_provider(r.conn));
            if (expiry(r.conn, until)[0] != 0) {
                printf("until     %s\n", until);
            }
        }
        status = fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
    }
    cli_run_close(&r);
    return status;
}

int cli_push_key(cli *c)
{
    char line[4200];
    cli_run r;
    int status = CLI_FAILED;

    if (c->argc < 1 || c->argc > 2) {
        return cli_usage_error(c, "push-key takes a target and a key file",
                               NULL);
    }
    if (!cli_public_key(c, c->argc > 1 ? c->argv[1] : NULL, line,
                        sizeof line)) {
        return CLI_FAILED;
    }
    c->conn.goal = EICE_GOAL_PUSH;
    c->conn.public_key = eice_str_c(line);
    if (!cli_run_open(&r, c)) {
        return CLI_FAILED;
    }
    if (cli_run_wait(&r)) {
        cli_say(c, "key accepted for %s on %s for 60 seconds",
                c->conn.user != NULL ? c->conn.user : "ec2-user",
                c->conn.target);
        status = CLI_OK;
    }
    cli_run_close(&r);
    return status;
}
