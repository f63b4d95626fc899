/* Resolves the configuration of the process it runs in and prints it, one
 * NAME=VALUE a line: the other side of cred_botocore.py.
 *
 * usage: cred_dump [PROFILE]
 */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define FILE_MAX (1024 * 1024)

static char file_text[FILE_MAX + 1];

/* The path with the home directory for "~/". */
static void full_path(char *out, size_t cap, eice_str name)
{
    const char *home = getenv("HOME");
    const bool tilde = eice_str_starts(name, "~/");

    snprintf(out, cap, "%s%.*s", tilde && home != NULL ? home : "",
             (int)(name.len - tilde), name.ptr + tilde);
}

static void answer_file(const eice_need *n, eice_answer *a)
{
    char path[1024];
    FILE *f;

    full_path(path, sizeof path, n->name);
    f = fopen(path, "rb");
    if (f == NULL) {
        a->absent = errno == ENOENT;
        a->code = a->absent ? EICE_OK : EICE_E_LOCAL_IO;
        a->sys_errno = errno;
        return;
    }
    a->data.ptr = file_text;
    a->data.len = fread(file_text, 1, sizeof file_text, f);
    fclose(f);
}

/* Keys that tell what they were asked for with, as those of the other side. */
static void answer_role(const eice_need *n, eice_answer *a)
{
    static char body[8192];
    const eice_keys none = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
    const eice_keys *k = n->keys != NULL ? n->keys : &none;
    const eice_str name = eice_str_c("RoleSessionName");
    eice_buf b;
    size_t i;

    eice_buf_init(&b, body, sizeof body);
    eice_putf(&b, "<R><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s"
                  "</SecretAccessKey><SessionToken>%S[%S]",
              &k->access_key_id, &k->session_token);
    for (i = 0; i < n->param_count; i++) {
        if (!eice_str_eq(n->params[i].name, name)
            || !eice_str_is(n->params[i].value, "eice")) {
            eice_putf(&b, ";%S=%S", &n->params[i].name, &n->params[i].value);
        }
    }
    eice_put_c(&b, "</SessionToken></R>");
    a->data = eice_buf_str(&b);
}

/* The value behind `name` in a request, up to one of `ends`. */
static eice_str after(eice_str text, const char *name, const char *ends)
{
    const size_t len = strlen(name);
    size_t n = 0;

    while (text.len > len && memcmp(text.ptr, name, len) != 0) {
        text = eice_str_make(text.ptr + 1, text.len - 1);
    }
    text = eice_str_make(text.ptr + len, text.len - len);
    while (n < text.len && strchr(ends, text.ptr[n]) == NULL) {
        n++;
    }
    return eice_str_make(text.ptr, n);
}

static void answer_portal(const eice_need *n, eice_answer *a)
{
    static char body[8192];
    const eice_str region = after(n->name, "portal.sso.", ".");
    const eice_str role = after(n->text, "role_name=", "& ");
    const eice_str account = after(n->text, "account_id=", "& ");
    const eice_str token = after(n->text, "sso_bearer_token: ", "\r");
    eice_buf b;

    eice_buf_init(&b, body, sizeof body);
    eice_putf(&b, "{\"roleCredentials\":{\"accessKeyId\":\"ASIASSO\","
                  "\"secretAccessKey\":\"s\",\"sessionToken\":"
                  "\"%S;%S;%S;%S\"}}", &region, &role, &account, &token);
    a->status = 200;
    a->data = eice_buf_str(&b);
}

static void answer_process(const eice_need *n, eice_answer *a)
{
    static char body[8192];
    eice_buf b;
    int i;

    eice_buf_init(&b, body, sizeof body);
    eice_put_c(&b, "{\"Version\":1,\"AccessKeyId\":\"ASIAP\","
                   "\"SecretAccessKey\":\"s\",\"SessionToken\":\"");
    for (i = 0; n->argv[i] != NULL; i++) {
        eice_put_c(&b, i > 0 ? "|" : "");
        eice_put_uri(&b, eice_str_c(n->argv[i]));
    }
    eice_put_c(&b, "\"}");
    a->data = eice_buf_str(&b);
}

static void answer(eice_cred *c, const eice_need *n)
{
    char name[128];
    const char *value;
    eice_answer a;

    memset(&a, 0, sizeof a);
    if (n->kind == EICE_NEED_FILE) {
        answer_file(n, &a);
    } else if (n->kind == EICE_NEED_STS) {
        answer_role(n, &a);
    } else if (n->kind == EICE_NEED_PROMPT) {
        a.data = eice_str_c("123456");
    } else if (n->kind == EICE_NEED_PROCESS) {
        answer_process(n, &a);
    } else if (n->kind == EICE_NEED_TIME) {
        a.unix_s = time(NULL);
    } else if (eice_str_starts(n->name, "portal.sso.")) {
        answer_portal(n, &a);
    } else if (n->kind == EICE_NEED_FETCH) {
        a.code = EICE_E_CONNECT_REFUSED;
    } else {
        snprintf(name, sizeof name, "%.*s", (int)n->name.len, n->name.ptr);
        value = getenv(name);
        a.absent = value == NULL;
        a.data = eice_str_c(value);
    }
    eice_cred_answer(c, n->id, &a);
}

static void print(const char *name, eice_str value)
{
    printf("%s=%.*s\n", name, (int)value.len, value.len > 0 ? value.ptr : "");
}

/* Where a service is: its URL, or the name of an error. */
static void print_place(const eice_settings *s, eice_service service)
{
    static const char *const names[EICE_SERVICE_COUNT] = {
        "ec2", "ec2-instance-connect", "sts", "sso", "sso-oidc"
    };
    char room[256];
    char url[1024];
    eice_place p;
    eice_error e;
    eice_buf text;
    eice_buf b;

    memset(&e, 0, sizeof e);
    eice_buf_init(&text, room, sizeof room);
    eice_buf_init(&b, url, sizeof url);
    if (eice_aws_place(s, service, &text, &p, &e) != EICE_OK) {
        eice_put_c(&b, eice_err_name(e.code));
    } else {
        eice_put_c(&b, p.tls ? "https://" : "http://");
        eice_put_authority(&b, p.host, p.port, p.tls);
        eice_put(&b, p.path);
    }
    printf("place %s=%s\n", names[service], eice_buf_c(&b));
}

static void print_settings(const eice_settings *s)
{
    unsigned i;

    printf("fips=%d\ndualstack=%d\nattempts=%u\nca_bundle=%s\n", s->fips,
           s->dualstack, s->max_attempts, s->ca_bundle);
    for (i = 0; i < EICE_SERVICE_COUNT; i++) {
        print_place(s, (eice_service)i);
    }
}

int main(int argc, char **argv)
{
    eice_cred_opts o;
    eice_cred c;
    eice_need n;

    memset(&o, 0, sizeof o);
    o.profile = argc > 1 ? argv[1] : NULL;
    o.region_optional = true;
    eice_cred_init(&c, &o);
    while (eice_cred_need(&c, &n)) {
        answer(&c, &n);
    }
    print("error", eice_str_c(eice_err_name(c.error.code)));
    print("text", eice_str_c(c.error.text));
    print("key", c.keys.access_key_id);
    print("secret", c.keys.secret_access_key);
    print("token", c.keys.session_token);
    print("region", eice_str_c(c.settings.region));
    print("ec2", eice_str_c(c.settings.endpoint_url[EICE_SERVICE_EC2]));
    print("ec2-instance-connect",
          eice_str_c(c.settings.endpoint_url[EICE_SERVICE_EIC]));
    print("sts", eice_str_c(c.settings.endpoint_url[EICE_SERVICE_STS]));
    print("provider", eice_str_c(c.provider));
    print_settings(&c.settings);
    eice_cred_wipe(&c);
    return 0;
}
