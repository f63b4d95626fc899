/* The smallest useful program: a tunnel on stdin and stdout, without SSH. Its
 * size is what the library costs. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#include "eice.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    eice_conn_opts o;
    eice_error e;
    eice_posix *x;
    eice_conn *c = NULL;

    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    o.goal = EICE_GOAL_TUNNEL;
    o.target = argc > 1 ? argv[1] : "";
    x = eice_posix_new(NULL, &e);
    if (x != NULL) {
        c = eice_conn_new(&o, eice_posix_now(), &e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        eice_posix_relay(x, c, 0, 1, 0, &e);
    }
    if (e.code != EICE_OK) {
        fprintf(stderr, "eice: %s (%s)\n", e.text, eice_err_remedy(e.code));
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return e.code != EICE_OK;
}
