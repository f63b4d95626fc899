/* eice whoami, eice push-key. */
#include "cli.h"

static void whoami_json(const eice_conn *conn)
{
    const eice_identity *i = eice_conn_identity(conn);

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
    fputs("}\n", stdout);
}

int cli_whoami(cli *c)
{
    const eice_identity *i;
    cli_run r;
    int status = CLI_FAILED;

    if (c->argc > 0) {
        return cli_usage_error(c, "whoami takes no operand", c->argv[0]);
    }
    c->conn.goal = EICE_GOAL_IDENTITY;
    if (!cli_run_open(&r, c)) {
        return CLI_FAILED;
    }
    if (cli_run_wait(&r)) {
        i = eice_conn_identity(r.conn);
        if (c->json) {
            whoami_json(r.conn);
        } else {
            printf("account   %s\narn       %s\nuser id   %s\n"
                   "region    %s\nkeys from %s\n",
                   i->account, i->arn, i->user_id, eice_conn_region(r.conn),
                   eice_conn_provider(r.conn));
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
