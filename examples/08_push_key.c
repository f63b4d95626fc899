/* Makes a public key valid on an instance for 60 seconds: SendSSHPublicKey.
 *
 *     08_push_key TARGET PUBLIC-KEY-FILE [USER]
 *
 * Then any SSH client that has the private key may log in.
 */
#define EICE_NO_SSH /* no session is made: libssh2 is not needed */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdio.h>

/* Runs the connection to its end; its error is left in `e`. */
static void push(const eice_conn_opts *o, eice_error *e)
{
    eice_posix *x = eice_posix_new(NULL, e);
    eice_conn *c = NULL;

    if (x != NULL) {
        c = eice_conn_new(o, eice_posix_now(), e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        (void)eice_posix_wait(x, c);
        *e = *eice_conn_error(c);
    }
    eice_posix_free(x);
    eice_conn_free(c);
}

int main(int argc, char **argv)
{
    eice_conn_opts o = {0};
    eice_blob key = {0};
    eice_error e = {0};
    bool absent = false;

    if (argc < 3) {
        fputs("usage: 08_push_key TARGET PUBLIC-KEY-FILE [USER]\n", stderr);
        return 2;
    }
    o.goal = EICE_GOAL_PUSH;
    o.target = argv[1];
    o.user = argc > 3 ? argv[3] : "ec2-user";
    (void)eice_posix_read_file(argv[2], 16384, &key, &absent, &e);
    if (absent) {
        eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL, "%s: no such file",
                  argv[2]);
    }
    o.public_key = eice_str_trim(eice_str_make(key.ptr, key.len));
    if (e.code == EICE_OK) {
        push(&o, &e);
    }
    if (e.code == EICE_OK) {
        printf("%s may log in to %s for 60 seconds\n", o.user, o.target);
    } else {
        fprintf(stderr, "%s (%s)\n", e.text, eice_err_remedy(e.code));
    }
    eice_blob_free(&key);
    return e.code != EICE_OK;
}
