/* A tunnel to port 22 of an instance on stdin and stdout: the quick start of
 * the manual. Use it as
 *
 *     ssh -o ProxyCommand='01_proxycommand %h' ec2-user@i-0123456789abcdef0
 */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    eice_conn_opts o = {0};      // zero means default, everywhere
    eice_error e = {0};
    eice_posix *x = eice_posix_new(NULL, &e);
    eice_conn *c = NULL;

    o.goal = EICE_GOAL_TUNNEL;
    o.target = argc > 1 ? argv[1] : "";  // i-..., a name, an address
    if (x != NULL) {
        c = eice_conn_new(&o, eice_posix_now(), &e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        eice_posix_relay(x, c, 0, 1, 0, &e);
    }
    if (e.code != EICE_OK) {
        fprintf(stderr, "eice: %s (%s)\n", e.text,
                eice_err_remedy(e.code));
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return e.code != EICE_OK;
}
