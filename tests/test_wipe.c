/* Secrets do not outlive their use: not on the heap, where every block is
 * searched before it is given back, and not on the stack, which is searched
 * after the call. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "stack.h"
#include "test.h"

#define ACCESS "ASIAEXAMPLE000000001"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define TOKEN "IQoJb3JpZ2luX2VjEXAMPLETOKENxxxxxxxxxxxxxxxxxxxx/+=="
#define STACK (256u * 1024u)
#define PIECE 16u /* so many bytes of a secret in a row count as found */

typedef struct secret {
    const char *name;
    uint8_t data[64];
    size_t len;
} secret;

static secret secrets[8];
static size_t secret_count;
static const char *found; /* the first secret that was met where none may be */

static void secret_add(const char *name, const void *data, size_t len)
{
    secret *s = &secrets[secret_count++];

    s->name = name;
    s->len = len < sizeof s->data ? len : sizeof s->data;
    memcpy(s->data, data, s->len);
}

static void secrets_begin(void)
{
    secret_count = 0;
    found = NULL;
    secret_add("the secret key", SECRET, strlen(SECRET));
    secret_add("the token", TOKEN, strlen(TOKEN));
}

/* Any PIECE of any secret, at any place. */
static void search(const uint8_t *p, size_t len)
{
    size_t i;
    size_t k;
    size_t at;

    for (i = 0; i + PIECE <= len && found == NULL; i++) {
        for (k = 0; k < secret_count; k++) {
            for (at = 0; at + PIECE <= secrets[k].len; at += PIECE) {
                if (p[i] == secrets[k].data[at]
                    && memcmp(p + i, secrets[k].data + at, PIECE) == 0) {
                    found = secrets[k].name;
                }
            }
        }
    }
}

/* ---- the stack --------------------------------------------------------- */

/* Calls `run` on a stack of its own and searches that when it returns:
 * nothing else has been there since. */
static void on_stack(void (*run)(void))
{
    static uint64_t stack[STACK / 8];

    CHECK(stack_run(stack, sizeof stack, run));
    search((const uint8_t *)stack, sizeof stack);
}

static eice_keys keys(void)
{
    eice_keys k;

    memset(&k, 0, sizeof k);
    k.access_key_id = eice_str_c(ACCESS);
    k.secret_access_key = eice_str_c(SECRET);
    k.session_token = eice_str_c(TOKEN);
    return k;
}

/* Static: what the caller hands over and gets back is not searched. */
static eice_sigv4_request sign_request;
static eice_pair sign_host;
static eice_signed sign_result;
static eice_presigned presign_result;

static void sign_prepare(void)
{
    sign_host.name = eice_str_c("host");
    sign_host.value = eice_str_c("ec2.eu-west-1.amazonaws.com");
    memset(&sign_request, 0, sizeof sign_request);
    sign_request.method = eice_str_c("GET");
    sign_request.headers = &sign_host;
    sign_request.header_count = 1;
    sign_request.region = eice_str_c("eu-west-1");
    sign_request.service = eice_str_c("ec2");
    sign_request.keys = keys();
    sign_request.unix_s = 1767225600; /* 2026-01-01 */
}

/* The chain of keys from the secret to the signing key. */
static void add_signing_keys(void)
{
    static const char *const steps[]
        = {"20260101", "eu-west-1", "ec2", "aws4_request"};
    uint8_t key[64] = "AWS4" SECRET;
    uint8_t next[32];
    size_t len = strlen("AWS4" SECRET);
    size_t i;

    for (i = 0; i < 4; i++) {
        eice_hmac_sha256(next, key, len, steps[i], strlen(steps[i]));
        memcpy(key, next, sizeof next);
        len = sizeof next;
        secret_add("a signing key", key, len);
    }
}

static void run_sign(void)
{
    (void)eice_sigv4_sign(&sign_request, &sign_result);
}

static void run_presign(void)
{
    (void)eice_sigv4_presign(&sign_request, 60, &presign_result);
}

static void test_sign(void)
{
    secrets_begin();
    sign_prepare();
    add_signing_keys();
    on_stack(run_sign);
    CHECK_INT((int)strlen(sign_result.signature), 64);
    CHECK_TEXT(found != NULL ? found : "nothing", "nothing");
    on_stack(run_presign);
    CHECK_TEXT(found != NULL ? found : "nothing", "nothing");
}

static uint8_t ed_seed[32];
static uint8_t ed_public[32];
static uint8_t ed_signature[64];

static void run_ed25519(void)
{
    eice_ed25519_public(ed_public, ed_seed);
    eice_ed25519_sign(ed_signature, ed_seed, ed_public, "x", 1);
}

static void test_ed25519(void)
{
    uint8_t hash[64];
    size_t i;

    secrets_begin();
    for (i = 0; i < sizeof ed_seed; i++) {
        ed_seed[i] = (uint8_t)(i * 37 + 11);
    }
    eice_sha512(hash, ed_seed, sizeof ed_seed);
    secret_add("the seed", ed_seed, sizeof ed_seed);
    secret_add("the prefix", hash + 32, 32); /* RFC 8032 5.1.5 */
    hash[0] &= 248;
    hash[31] = (uint8_t)((hash[31] & 63) | 64);
    secret_add("the scalar", hash, 32);
    on_stack(run_ed25519);
    CHECK(eice_ed25519_verify(ed_signature, ed_public, "x", 1));
    CHECK_TEXT(found != NULL ? found : "nothing", "nothing");
}

/* ---- the heap ---------------------------------------------------------- */

/* Keeps the size before each block and searches what is given back. */
static void *searching(void *user, void *memory, size_t size)
{
    size_t *block = NULL;
    size_t old = 0;

    (void)user;
    if (memory != NULL) {
        block = (size_t *)memory - 2;
        old = block[0];
    }
    if (size > 0) {
        size_t *fresh = (size_t *)calloc(1, size + 2 * sizeof *fresh);

        if (fresh == NULL) {
            abort();
        }
        fresh[0] = size;
        if (memory != NULL) {
            memcpy(fresh + 2, memory, old < size ? old : size);
        }
        memory = fresh + 2;
    } else {
        memory = NULL;
    }
    if (block != NULL) {
        search((const uint8_t *)(block + 2), old);
        free(block);
    }
    return memory;
}

static const eice_alloc heap = {searching, NULL};

static const struct {
    const char *name;
    const char *value;
} environment[] = {
    {"AWS_ACCESS_KEY_ID", ACCESS},
    {"AWS_SECRET_ACCESS_KEY", SECRET},
    {"AWS_SESSION_TOKEN", TOKEN},
    {"AWS_REGION", "eu-west-1"},
};

/* Answers what needs no network; the rest waits. */
static void answer_needs(eice_conn *c, bool from_file)
{
    static const char file[]
        = "[default]\naws_access_key_id = " ACCESS
          "\naws_secret_access_key = " SECRET "\naws_session_token = " TOKEN
          "\nregion = eu-west-1\n";
    static const uint8_t entropy[64] = {1, 2, 3};
    eice_need need;

    while (eice_conn_need(c, &need)) {
        eice_answer a;
        size_t i;

        memset(&a, 0, sizeof a);
        a.absent = true;
        if (need.kind == EICE_NEED_RANDOM) {
            a.absent = false;
            a.data = eice_str_make(entropy, sizeof entropy);
        } else if (need.kind == EICE_NEED_ENV && !from_file) {
            for (i = 0; i < sizeof environment / sizeof environment[0]; i++) {
                if (eice_str_is(need.name, environment[i].name)) {
                    a.absent = false;
                    a.data = eice_str_c(environment[i].value);
                }
            }
        } else if (need.kind == EICE_NEED_FILE && from_file
                   && eice_str_is(need.name, "~/.aws/credentials")) {
            a.absent = false;
            a.data = eice_str_c(file);
        } else if (need.kind != EICE_NEED_FILE && need.kind != EICE_NEED_ENV) {
            continue;
        }
        eice_conn_answer(c, need.id, &a);
    }
}

/* A connection that has its keys, an ephemeral key too, and is given up. */
static void give_up(bool from_file)
{
    eice_conn_opts o;
    eice_error e;
    eice_now now;
    eice_conn *c;
    int i;

    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    now.ms = 1;
    now.unix_s = 1767225600;
    o.goal = EICE_GOAL_SSH;
    o.target = "i-0123456789abcdef0";
    o.region = "eu-west-1";
    o.alloc = &heap;
    c = eice_conn_new(&o, now, &e);
    if (c == NULL) {
        CHECK_TEXT(e.text, "");
        return;
    }
    for (i = 0; i < 8; i++) {
        eice_conn_step(c, now);
        answer_needs(c, from_file);
    }
    CHECK_TEXT(eice_conn_error(c)->text, "");
    CHECK(c->cred.keys.secret_access_key.len == strlen(SECRET));
    CHECK(c->key_ready);
    secret_add("the ephemeral key", c->own_key.seed,
               sizeof c->own_key.seed);
    eice_conn_cancel(c);
    eice_conn_free(c);
    CHECK_TEXT(found != NULL ? found : "nothing", "nothing");
}

static void test_connection(void)
{
    secrets_begin();
    give_up(false);
    secrets_begin();
    give_up(true);
}

static void test_request(void)
{
    eice_aws_request r;
    eice_place place;
    eice_error e;
    eice_blob out;

    secrets_begin();
    memset(&r, 0, sizeof r);
    memset(&place, 0, sizeof place);
    memset(&e, 0, sizeof e);
    memset(&out, 0, sizeof out);
    out.alloc = &heap;
    place.host = eice_str_c("ec2.eu-west-1.amazonaws.com");
    place.port = 443;
    place.tls = true;
    r.op = EICE_OP_DESCRIBE_INSTANCES;
    r.place = &place;
    r.region = eice_str_c("eu-west-1");
    r.keys = keys();
    r.unix_s = 1767225600;
    CHECK_INT(eice_aws_write(&r, &out, &e), EICE_OK);
    CHECK(out.len > 0);
    eice_blob_free(&out);
    CHECK_TEXT(found != NULL ? found : "nothing", "nothing");
}

/* The search itself must find what is there. */
static void test_search(void)
{
    void *block;

    secrets_begin();
    block = searching(NULL, NULL, 100);
    memcpy((char *)block + 7, SECRET, strlen(SECRET));
    (void)searching(NULL, block, 0);
    CHECK_TEXT(found != NULL ? found : "nothing", "the secret key");
}

static const test_case tests[] = {
    {"wipe: the search finds a secret", test_search},
    {"wipe: signing leaves nothing on the stack", test_sign},
    {"wipe: ed25519 leaves nothing on the stack", test_ed25519},
    {"wipe: a request is wiped before it is freed", test_request},
    {"wipe: a connection given up leaves nothing on the heap",
     test_connection},
};

TEST_MAIN(tests)
