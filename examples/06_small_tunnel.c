/* The smallest useful program: a tunnel to port 22 of an instance on stdin and
 * stdout, for firmware and the like. All that is not needed for it is left
 * out; so the endpoint and the address are given, and the keys are in the
 * environment or in a profile. Use it as
 *
 *     06_small_tunnel ADDRESS ENDPOINT_ID ENDPOINT_DNS
 *
 * `make build/tunnel` makes a static program of it. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_CALLS
#define EICE_NO_SSO
#define EICE_NO_LOGIN
#define EICE_NO_PROCESS
#define EICE_NO_CONTAINER
#define EICE_NO_IMDS
#include "eice.h"

/* Without stdio, which would be 2 kB. */
static void tell(const eice_error *e)
{
    const char *remedy = e->remedy[0] != 0 ? e->remedy
                                           : eice_err_remedy(e->code);
    char line[640];
    eice_buf b;

    eice_buf_init(&b, line, sizeof line);
    eice_putf(&b, "eice: %s (%s)\n", e->text, remedy);
    if (write(2, b.ptr, b.len) < 0) {
        return; /* nobody listens */
    }
}

int main(int argc, char **argv)
{
    eice_conn_opts o;
    eice_error e;
    eice_posix *x = NULL;
    eice_conn *c = NULL;

    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    o.goal = EICE_GOAL_TUNNEL;
    o.target = argc > 1 ? argv[1] : "";
    o.private_ip = o.target;
    o.endpoint_id = argc > 2 ? argv[2] : NULL;
    o.endpoint_dns = argc > 3 ? argv[3] : NULL;
    x = eice_posix_new(NULL, &e);
    if (x != NULL) {
        c = eice_conn_new(&o, eice_posix_now(), &e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        eice_posix_relay(x, c, 0, 1, 0, &e);
    }
    if (e.code != EICE_OK) {
        tell(&e);
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return e.code != EICE_OK;
}
