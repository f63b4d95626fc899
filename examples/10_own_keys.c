/* Plugs in a provider of keys of one's own, and shows whose keys AWS sees.
 *
 *     10_own_keys FILE
 *
 * FILE holds access key id, secret access key, session token ("-" for none)
 * and, if they have one, the time of their end (seconds since 1970), one a
 * line: a vault's agent may keep it up to date. It is read when keys are
 * needed, and again in time before they expire.
 */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdio.h>

typedef struct vault {
    const char *path;
    char line[4][2048];
} vault;

/* The one function: keys, or a code and what is wrong. */
static eice_err keys_of_vault(void *user, eice_provided *out, eice_error *e)
{
    vault *v = (vault *)user;
    FILE *f = fopen(v->path, "r");
    uint64_t until = 0;
    int i;

    if (f == NULL) {
        return eice_fail(e, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS,
                         "the vault %s cannot be read", v->path);
    }
    for (i = 0; i < 4; i++) {
        v->line[i][0] = 0;
        if (fgets(v->line[i], sizeof v->line[i], f) != NULL) {
            v->line[i][strcspn(v->line[i], "\n")] = 0;
        }
    }
    fclose(f);
    if (v->line[0][0] == 0) {
        return EICE_E_NO_CREDENTIALS; /* the usual providers are tried */
    }
    out->name = "the vault";
    out->keys.access_key_id = eice_str_c(v->line[0]);
    out->keys.secret_access_key = eice_str_c(v->line[1]);
    if (strcmp(v->line[2], "-") != 0) {
        out->keys.session_token = eice_str_c(v->line[2]);
    }
    (void)eice_str_u64(eice_str_c(v->line[3]), INT64_MAX, &until);
    out->expires_unix_s = (int64_t)until;
    return EICE_OK;
}

int main(int argc, char **argv)
{
    eice_conn_opts o = {0};
    eice_error e = {0};
    eice_posix *x = eice_posix_new(NULL, &e);
    eice_conn *c = NULL;
    static vault v;

    v.path = argc > 1 ? argv[1] : "";
    o.goal = EICE_GOAL_IDENTITY;
    o.provider = keys_of_vault;
    o.provider_user = &v;
    if (x != NULL) {
        c = eice_conn_new(&o, eice_posix_now(), &e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK
        && eice_posix_wait(x, c) == EICE_OK) {
        printf("%s, with keys from %s\n", eice_conn_identity(c)->arn,
               eice_conn_provider(c));
    } else if (c != NULL) {
        e = *eice_conn_error(c);
    }
    if (e.code != EICE_OK) {
        fprintf(stderr, "%s (%s)\n", e.text,
                e.remedy[0] != 0 ? e.remedy : eice_err_remedy(e.code));
    }
    eice_posix_free(x);
    eice_conn_free(c);
    eice_wipe(&v, sizeof v);
    return e.code != EICE_OK;
}
