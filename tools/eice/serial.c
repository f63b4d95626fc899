/* eice serial: an instance's serial console, where no network is needed. */
#include "cli.h"

int cli_serial(cli *c)
{
    int status;

    if (c->argc < 1) {
        return cli_usage_error(c, "no target", NULL);
    }
    if (c->argc > 1) {
        return cli_usage_error(c, "a serial console takes no command",
                               c->argv[1]);
    }
    if (c->conn.user != NULL) {
        return cli_usage_error(c, "log in at the console's own prompt, not "
                                  "as", c->conn.user);
    }
    c->conn.route = EICE_ROUTE_SERIAL;
    c->tty = CLI_TTY_FORCE;
    status = cli_session(c);
    return status == CLI_SSH_FAILED ? CLI_FAILED : status;
}
