/* Shared files, the proxy settings, token caches, and the answers of services
 * and processes, of anybody's making. The input is cut at the byte 0x1e:
 * credentials file, config file, HTTPS_PROXY, NO_PROXY, then one answer after
 * the other; '!' before one makes it HTTP 401. */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PARTS 4

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static bool inside(const eice_cred *c, const char *text)
{
    const char *base = (const char *)c->priv.store.ptr;

    return text[0] == 0
        || (text >= base && text + strlen(text) < base + c->priv.store.len);
}

static void answer(const eice_str *part, eice_str *rest, eice_cred *c,
                   const eice_need *n)
{
    eice_answer a;

    memset(&a, 0, sizeof a);
    if (n->kind == EICE_NEED_FILE
        && (eice_str_starts(n->name, "~/.aws/sso/")
            || eice_str_starts(n->name, "~/.aws/login/"))) {
        a.data = eice_str_cut(rest, '\x1e');
    } else if (n->kind == EICE_NEED_TIME) {
        a.unix_s = 1795000000;
    } else if (n->kind == EICE_NEED_SAVE) {
        eice_str raw;

        require(eice_json_find(n->text, "accessToken", &raw)
                == EICE_JSON_STRING);
    } else if (n->kind == EICE_NEED_FILE) {
        a.data = part[eice_str_is(n->name, "~/.aws/config") ? 1 : 0];
    } else if (n->kind == EICE_NEED_STS) {
        require(n->param_count >= 2 && n->param_count <= 6
                && (n->keys == NULL || n->keys->access_key_id.len > 0));
        a.data = eice_str_cut(rest, '\x1e');
    } else if (n->kind == EICE_NEED_PROCESS) {
        require(n->argv != NULL && n->argv[0] != NULL);
        a.data = eice_str_cut(rest, '\x1e');
    } else if (n->kind == EICE_NEED_PROMPT) {
        a.data = eice_str_c("123456");
    } else if (eice_str_is(n->name, "/t")) {
        a.data = eice_str_c("token");
    } else if (n->kind == EICE_NEED_FETCH) {
        require(n->text.len > 0 && n->name.len > 0 && n->port > 0);
        a.data = eice_str_cut(rest, '\x1e');
        a.status = eice_str_starts(a.data, "!") ? 401 : 200;
        a.data.ptr += a.status == 401;
        a.data.len -= a.status == 401;
    } else if (eice_str_is(n->name, "HTTPS_PROXY")) {
        a.data = part[2];
    } else if (eice_str_is(n->name, "NO_PROXY")) {
        a.data = part[3];
    } else {
        a.absent = true;
    }
    eice_cred_answer(c, n->id, &a);
}

static void proxies(const eice_cred *c)
{
    static const char *const hosts[] = { "ec2.eu-west-1.amazonaws.com",
                                         "10.0.0.1", "2001:db8::1", "x" };
    eice_error e;
    eice_url url;
    size_t i;

    for (i = 0; i < 4; i++) {
        memset(&e, 0, sizeof e);
        if (eice_proxy_for(&c->settings, true, eice_str_c(hosts[i]), 443, &url,
                           &e)) {
            require(e.code == EICE_OK && url.host.len > 0 && url.port > 0);
        }
    }
}

static void run(const eice_str *part, eice_str rest, const char *profile)
{
    eice_cred_opts o;
    eice_cred c;
    eice_need n;
    int i;

    memset(&o, 0, sizeof o);
    o.profile = profile;
    eice_cred_init(&c, &o);
    while (eice_cred_need(&c, &n)) {
        answer(part, &rest, &c, &n);
    }
    require(eice_cred_done(&c));
    require(strlen(c.error.text) < sizeof c.error.text);
    require((c.error.code == EICE_OK) == (c.error.text[0] == 0));
    if (c.error.code == EICE_OK) {
        require(c.keys.access_key_id.len > 0);
        require(c.keys.secret_access_key.len > 0);
        require(c.provider[0] != 0 && c.settings.region[0] != 0);
    }
    for (i = 0; i < EICE_SERVICE_COUNT; i++) {
        require(inside(&c, c.settings.endpoint_url[i]));
    }
    require(inside(&c, c.settings.ca_bundle));
    proxies(&c);
    eice_cred_wipe(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eice_str rest = eice_str_make(data, size);
    eice_str part[PARTS];
    int i;

    for (i = 0; i < PARTS; i++) {
        part[i] = eice_str_cut(&rest, '\x1e');
    }
    run(part, rest, NULL);
    run(part, rest, "p");
    return 0;
}
