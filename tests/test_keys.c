/* OpenSSH's formats and the agent, as tables. keys_openssh.py compares with
 * OpenSSH itself; the keys and hashed names here were made with ssh-keygen. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"
#include "test.h"
#include "unhex.h"

#define ED_B64 \
    "AAAAC3NzaC1lZDI1NTE5AAAAIBJffB6ou9kP7MUA4qJ6tFxeyePb7yr2BhrqnPMZcxrD"
#define ED2_B64 \
    "AAAAC3NzaC1lZDI1NTE5AAAAIO0cf+nBQBOKwBef4LqqxsKQdcGuk7ZXJCSh767BHNr4"
#define EC_B64 \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBJ0gDmr+MGryV2vl" \
    "RgGclPJ/eAwXtiRf33xBqL5PxLByRIZ/Y9iM913OkIstFZfa8JzU7UB3p1Soil2/sloU" \
    "ImQ="
#define RSA_B64 \
    "AAAAB3NzaC1yc2EAAAADAQABAAAAgQDNZRvH4Heyt5ZMIMxpwsjAiPB6UDf8nO5EQhDt" \
    "742FIrXm7MzzojrHtlXEN1WcvdcdSt7ncA3u3momx4KxazitMDAuN61G1/erEz7bTrun" \
    "pmHlcebnhrkzbkC3lJ898JxR2w0G6AZV22tX6GkFHTXJ+lOA4bWrb86+XpowCb7waw=="
#define ED "ssh-ed25519 " ED_B64
#define ED2 "ssh-ed25519 " ED2_B64
#define EC "ecdsa-sha2-nistp256 " EC_B64
#define RSA "ssh-rsa " RSA_B64

/* h.example and [h.example]:2222, hashed. */
#define HASHED "|1|U5U0WmlrtBNTXQahhuXl0yENkWM=|Cul0tb1EXUt5Pxc52EHzpD6E7Kc="
#define HASHED_PORT \
    "|1|gGfZv6tq+VyWxa+OMmSnOzJ8ZFg=|kPvhYCUpLhCGI2VwM2PG84A+1Fs="

typedef struct key {
    uint8_t blob[EICE_MAX_KEY_BLOB];
    size_t len;
} key;

static key key_of(const char *line)
{
    key k;
    const ptrdiff_t n = eice_key_parse(eice_str_c(line), k.blob,
                                       sizeof k.blob, NULL, NULL);

    if (n < 0) {
        abort();
    }
    k.len = (size_t)n;
    return k;
}

/* ---- keys -------------------------------------------------------------- */

static void test_fingerprint(void)
{
    static const char *const table[][2] = {
        {ED, "SHA256:mJjb5hi9khd8TqXS8PJQVJHMqcUDW5OxK6xlK6a9XH8"},
        {ED2, "SHA256:J+dGvz9RR52Aw7pswwuwGTQRLW0DB1XcQNcFu4jI0xI"},
        {EC, "SHA256:bACpUpBzT+ZDoN5oXDXK8jtK39dYHPoCsUXuoTZy4HE"},
        {RSA, "SHA256:g1qPxeW923tdv7WjbEqt/KNYmeunwzMzIRS11Ov+Y7M"}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        const key k = key_of(table[i][0]);
        char text[EICE_FINGERPRINT];

        eice_key_fingerprint(text, k.blob, k.len);
        CHECK_TEXT(text, table[i][1]);
    }
}

static void test_blob_and_line(void)
{
    const key k = key_of(ED);
    const key rsa = key_of(RSA);
    uint8_t blob[EICE_ED25519_BLOB];
    char memory[400];
    eice_buf b;

    CHECK_INT(k.len, sizeof blob);
    eice_key_blob(blob, k.blob + 19);
    CHECK_BYTES(blob, k.blob, sizeof blob);
    CHECK_STR(eice_key_type(blob, sizeof blob), "ssh-ed25519");

    eice_buf_init(&b, memory, sizeof memory);
    eice_key_line(&b, blob, sizeof blob, eice_str_c("a b"));
    CHECK_STR(eice_buf_str(&b), ED " a b");
    eice_buf_init(&b, memory, sizeof memory);
    eice_key_line(&b, rsa.blob, rsa.len, eice_str_c(""));
    CHECK_STR(eice_buf_str(&b), RSA);
    eice_buf_init(&b, memory, sizeof memory);
    eice_key_line(&b, "junk", 4, eice_str_c("x"));
    CHECK(b.overflow && b.len == 0);
}

static void test_parse(void)
{
    static const struct {
        const char *line;
        int len; /* -1: refused */
        const char *comment;
    } table[] = {
        {ED, 51, ""},
        {ED "\n", 51, ""},
        {"  " ED "\tuser@host and more \r\n", 51, "user@host and more"},
        {EC " x", 104, "x"},
        {RSA, 151, ""},
        {"", -1, ""},
        {"# " ED, -1, ""},
        {"ssh-ed25519", -1, ""},
        {"ssh-ed25519 ", -1, ""},
        {ED_B64, -1, ""},
        {"ssh-rsa " ED_B64, -1, ""},
        {"ssh-ed2551 " ED_B64, -1, ""},
        {"ssh-ed25519 " RSA_B64, -1, ""},
        {"ssh-ed25519 " ED_B64 "AAAA", -1, ""},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", -1, ""},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJf", -1, ""},
        {"ssh-ed25519 !" ED_B64, -1, ""},
        {"ssh-rsa AAAAB3NzaC1yc2E=", -1, ""},         /* the name only */
        {"ssh-rsa AAAAB3NzaC1yc2EAAAADAQ==", -1, ""}, /* cut in a number */
        {"a,b AAAAA2EsYgAAAAEA", -1, ""},
        {"no-pty " ED, -1, ""}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        const size_t n = strlen(table[i].line);
        guard g = guard_copy(table[i].line, n);
        uint8_t blob[200];
        eice_str type = eice_str_c("");
        eice_str comment = eice_str_c("");
        const ptrdiff_t got = eice_key_parse(eice_str_make(g.ptr, n), blob,
                                             sizeof blob, &type, &comment);

        if (got != table[i].len) {
            test_fail(__FILE__, __LINE__, "\"%s\": %d", table[i].line,
                      (int)got);
        } else if (got > 0) {
            CHECK_STR(comment, table[i].comment);
            CHECK(eice_str_eq(type, eice_key_type(blob, (size_t)got)));
        }
        CHECK_INT(eice_key_parse(eice_str_make(g.ptr, n), blob, 50, NULL,
                                 NULL), -1);
        guard_free(&g);
    }
}

static void test_type(void)
{
    static const struct {
        const char *blob;
        size_t len;
        const char *want;
    } table[] = {
        {"\0\0\0\3abc", 7, "abc"}, {"\0\0\0\3abcdef", 10, "abc"},
        {"\0\0\0\3ab", 6, ""}, {"\0\0\0", 3, ""}, {"", 0, ""},
        {"\0\0\0\0", 4, ""}, {"\0\0\0\3a c", 7, ""}, {"\0\0\0\3a\nc", 7, ""},
        {"\0\0\0\3a,c", 7, ""}, {"\0\0\0\3a\xff" "c", 7, ""},
        {"\xff\xff\xff\xff" "abc", 7, ""}, {"\x80\0\0\3abc", 7, ""}
    };
    char longest[4 + 65];
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        guard g = guard_copy(table[i].blob, table[i].len);

        CHECK_STR(eice_key_type(g.ptr, table[i].len), table[i].want);
        guard_free(&g);
    }
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "\0\0\0\x41", 4);
    CHECK_INT(eice_key_type(longest, sizeof longest).len, 0);
    longest[3] = 64;
    CHECK_INT(eice_key_type(longest, sizeof longest).len, 64);
}

/* ---- known_hosts ------------------------------------------------------- */

typedef struct verdict {
    const char *text;
    const char *host;
    eice_hostkey want; /* for the key ED */
    unsigned line;
} verdict;

#define UNKNOWN EICE_HOSTKEY_UNKNOWN
#define OTHER EICE_HOSTKEY_OTHER
#define MATCH EICE_HOSTKEY_MATCH
#define CHANGED EICE_HOSTKEY_CHANGED
#define REVOKED EICE_HOSTKEY_REVOKED

static const verdict verdicts[] = {
    /* names */
    {"", "h", UNKNOWN, 0},
    {"h " ED "\n", "h", MATCH, 1},
    {"h " ED, "h", MATCH, 1},
    {"h " ED " comment\r\n", "h", MATCH, 1},
    {"\th\t" ED "\n", "h", MATCH, 1},
    {"h " ED "\n", "H", MATCH, 1},
    {"H " ED "\n", "h", MATCH, 1},
    {"h " ED "\n", "hh", UNKNOWN, 0},
    {"hh " ED "\n", "h", UNKNOWN, 0},
    {"h " ED "\n", "", UNKNOWN, 0},
    {"a,h,b " ED "\n", "h", MATCH, 1},
    {"a,h,b " ED "\n", "a,h", UNKNOWN, 0},
    {",, " ED "\n", "", UNKNOWN, 0},
    {"10.0.0.1,fd00::1 " ED "\n", "fd00::1", MATCH, 1},
    {"\n# h " ED "\n\n  # x\nh " ED "\n", "h", MATCH, 5},
    {"#h " ED "\n", "h", UNKNOWN, 0},
    {"[h]:2222 " ED "\n", "[h]:2222", MATCH, 1},
    {"[h]:2222 " ED "\n", "h", UNKNOWN, 0},
    {"[h]:2222 " ED "\n", "[h]:22", UNKNOWN, 0},
    {"h " ED "\n", "[h]:2222", UNKNOWN, 0},
    /* patterns */
    {"* " ED "\n", "h", MATCH, 1},
    {"*.example " ED "\n", "a.example", MATCH, 1},
    {"*.example " ED "\n", "a.b.EXAMPLE", MATCH, 1},
    {"*.example " ED "\n", "example", UNKNOWN, 0},
    {"?.example " ED "\n", "ab.example", UNKNOWN, 0},
    {"?.example " ED "\n", "a.example", MATCH, 1},
    {"10.0.0.? " ED "\n", "10.0.0.7", MATCH, 1},
    {"10.0.0.? " ED "\n", "10.0.0.", UNKNOWN, 0},
    {"i-*,!i-0bad " ED "\n", "i-0good", MATCH, 1},
    {"i-*,!i-0bad " ED "\n", "i-0bad", UNKNOWN, 0},
    {"!i-0bad,i-* " ED "\n", "i-0bad", UNKNOWN, 0},
    {"!i-0bad " ED "\n", "i-0good", UNKNOWN, 0},
    {"i-*,! " ED "\n", "i-0good", MATCH, 1},
    {"*,!*.b*d " ED "\n", "x.bad", UNKNOWN, 0},
    {"[*]:22?? " ED "\n", "[h]:2222", MATCH, 1},
    {"a*b*c*d " ED "\n", "aXbXcXbXcXd", MATCH, 1},
    {"a**d " ED "\n", "ad", MATCH, 1},
    {"*a " ED "\n", "aab", UNKNOWN, 0},
    /* hashes */
    {HASHED " " ED "\n", "h.example", MATCH, 1},
    {HASHED " " ED "\n", "H.Example", MATCH, 1},
    {HASHED " " ED "\n", "g.example", UNKNOWN, 0},
    {HASHED " " ED "\n", HASHED, UNKNOWN, 0},
    {HASHED_PORT " " ED "\n", "[h.example]:2222", MATCH, 1},
    {HASHED_PORT " " ED "\n", "h.example", UNKNOWN, 0},
    {"|1|U5U0WmlrtBNTXQahhuXl0yENkWM=|Cul0tb1EXUt5Pxc52EHzpD6E7K " ED,
     "h.example", UNKNOWN, 0},
    {"|1|U5U0WmlrtBNTXQahhuXl0yENkWM= " ED, "h.example", UNKNOWN, 0},
    {"|1| " ED, "h.example", UNKNOWN, 0},
    {"|1|| " ED, "h.example", UNKNOWN, 0},
    {"|1 " ED, "h.example", UNKNOWN, 0},
    {"|2|U5U0WmlrtBNTXQahhuXl0yENkWM=|Cul0tb1EXUt5Pxc52EHzpD6E7Kc= " ED,
     "h.example", UNKNOWN, 0},
    /* several keys */
    {"h " RSA "\nh " ED "\n", "h", MATCH, 2},
    {"h " ED2 "\nh " ED "\n", "h", MATCH, 2},
    {"h " ED "\nh " ED2 "\n", "h", MATCH, 1},
    {"h " ED "\nh " ED "\n", "h", MATCH, 1},
    {"h " RSA "\nh " EC "\n", "h", OTHER, 1},
    {"h " RSA "\nh " ED2 "\n", "h", CHANGED, 2},
    {"h " ED2 "\nh " RSA "\nh " ED2 "\n", "h", CHANGED, 1},
    {"g " ED "\nh " ED2 "\n", "h", CHANGED, 2},
    {"g " ED "\n", "h", UNKNOWN, 0},
    /* marks */
    {"@revoked h " ED "\n", "h", REVOKED, 1},
    {"h " ED "\n@revoked * " ED "\n", "h", REVOKED, 2},
    {"@revoked * " ED "\nh " ED "\n", "h", REVOKED, 1},
    {"@revoked h " ED2 "\nh " ED "\n", "h", MATCH, 2},
    {"@revoked h " ED2 "\n", "h", UNKNOWN, 0},
    {"@revoked g " ED "\nh " ED "\n", "h", MATCH, 2},
    {"@revoked " HASHED " " ED, "h.example", REVOKED, 1},
    {"@revoked\th\t" ED, "h", REVOKED, 1},
    {"@cert-authority h " ED "\n", "h", UNKNOWN, 0},
    {"@cert-authority h " ED2 "\nh " ED "\n", "h", MATCH, 2},
    {"@unknown h " ED "\n", "h", UNKNOWN, 0},
    {"@revoked", "h", UNKNOWN, 0},
    {"@", "h", UNKNOWN, 0},
    {" @revoked h " ED, "h", REVOKED, 1},
    /* lines that cannot be read */
    {"h\n", "h", UNKNOWN, 0},
    {"h ssh-ed25519\n", "h", UNKNOWN, 0},
    {"h " ED_B64 "\n", "h", UNKNOWN, 0},
    {"h ssh-rsa " ED_B64 "\n", "h", UNKNOWN, 0},
    {"h ssh-ed25519 " RSA_B64 "\n", "h", UNKNOWN, 0},
    {"h ssh-ed25519 " ED_B64 "AAAA\n", "h", UNKNOWN, 0},
    {"h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJf\n", "h", UNKNOWN, 0},
    {"h ssh-rsa " RSA_B64 "=\n", "h", UNKNOWN, 0},
    {"h ssh-rsa " /* padding inside */
     "AAAAB3NzaC1yc2EAAAADAQABAAAAgQDNZRvH4Heyt5ZMIMxpwsjAiPB6UDf8nO5E"
     "QhDt742FIrXm7MzzojrHtlXEN1WcvdcdSt7ncA3u3momx4KxazitMDAuN61GAAA="
     "Ez7bTrunpmHlcebnhrkzbkC3lJ898JxR2w0G6AZV22tX6GkFHTXJ+lOA4bWrb86+"
     "XpowCb7waw==",
     "h", UNKNOWN, 0},
    {"h 1024 35 123456789 x\n", "h", UNKNOWN, 0},
    {"\1\2\377 \377\n\nh\nh " ED, "h", MATCH, 4}
};

static void test_check(void)
{
    const key k = key_of(ED);
    size_t i;

    for (i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        const verdict *v = &verdicts[i];
        const size_t n = strlen(v->text);
        guard g = guard_copy(v->text, n);
        unsigned line = 99;
        const eice_hostkey got = eice_known_hosts_check(
            eice_str_make(g.ptr, n), eice_str_c(v->host), k.blob, k.len,
            &line);

        if (got != v->want || line != v->line) {
            test_fail(__FILE__, __LINE__, "\"%.40s\" %s: %d at %u",
                      v->text, v->host, (int)got, line);
        }
        CHECK_INT(eice_known_hosts_check(eice_str_make(g.ptr, n),
                                         eice_str_c(v->host), k.blob, k.len,
                                         NULL), got);
        guard_free(&g);
    }
}

/* Keys longer than what is decoded at a time, equal but for one byte. */
static void test_check_long_key(void)
{
    static const char text[] = "h " RSA "\n";
    key k = key_of(RSA);
    size_t i;

    for (i = 0; i < k.len; i++) {
        eice_hostkey want = i < 11 ? OTHER : CHANGED;

        k.blob[i] ^= 1;
        CHECK_INT(eice_known_hosts_check(eice_str_c(text), eice_str_c("h"),
                                         k.blob, k.len, NULL), want);
        k.blob[i] ^= 1;
    }
    for (i = 0; i < k.len; i++) { /* a shorter one is another, too */
        CHECK(eice_known_hosts_check(eice_str_c(text), eice_str_c("h"),
                                     k.blob, i, NULL) != MATCH);
    }
    CHECK_INT(eice_known_hosts_check(eice_str_c(text), eice_str_c("h"),
                                     k.blob, k.len + 1, NULL), CHANGED);
    CHECK_INT(eice_known_hosts_check(eice_str_c(text), eice_str_c("h"),
                                     k.blob, k.len, NULL), MATCH);
}

static void test_check_cut(void)
{
    static const char text[] = "a,h " EC "\n@revoked h " RSA "\n" HASHED
                               " " ED;
    const key k = key_of(ED);
    size_t n;

    for (n = 0; n < sizeof text; n++) {
        guard g = guard_copy(text, n);
        const eice_hostkey got = eice_known_hosts_check(
            eice_str_make(g.ptr, n), eice_str_c("h.example"), k.blob, k.len,
            NULL);

        CHECK_INT(got, n == sizeof text - 1 ? MATCH : UNKNOWN);
        guard_free(&g);
        if (n == sizeof text - 1) {
            break;
        }
    }
}

/* What takes exponential time when done by recursion. */
static void test_pattern_cost(void)
{
    static char text[20000];
    static char host[260];
    const key k = key_of(ED);
    eice_buf b;
    int i;

    eice_buf_init(&b, text, sizeof text);
    for (i = 0; i < 4000; i++) {
        eice_put_c(&b, "a*");
    }
    eice_put_c(&b, "b " ED "\n");
    memset(host, 'a', 259);
    CHECK_INT(eice_known_hosts_check(eice_buf_str(&b), eice_str_c(host),
                                     k.blob, k.len, NULL), UNKNOWN);
}

static void test_host_length(void)
{
    static char text[1000];
    static char host[400];
    const key k = key_of(ED);
    size_t n;

    for (n = 290; n < 310; n++) {
        eice_buf b;

        memset(host, 'a', n);
        host[n] = 0;
        eice_buf_init(&b, text, sizeof text);
        eice_known_hosts_line(&b, eice_str_c(host), k.blob, k.len,
                              eice_str_c(""));
        CHECK_INT(b.overflow, n > 300);
        eice_put_c(&b, "* " ED "\n");
        b.overflow = false;
        CHECK_INT(eice_known_hosts_check(eice_buf_str(&b), eice_str_c(host),
                                         k.blob, k.len, NULL),
                  n > 300 ? UNKNOWN : MATCH);
    }
}

static void add_type(void *user, eice_str name)
{
    eice_buf *b = (eice_buf *)user;

    eice_put(b, name);
    eice_put_byte(b, ';');
}

static void test_types(void)
{
    static const char text[] =
        "h " RSA "\ng " EC "\n@revoked h " ED2 "\nh ssh-ed25519 x\n"
        "@cert-authority h " ED2 "\n*,!g " EC "\nh " ED "\nh " ED2;
    static const char *const table[][2] = {
        {"h", "ssh-rsa;ecdsa-sha2-nistp256;ssh-ed25519;ssh-ed25519;"},
        {"g", "ecdsa-sha2-nistp256;"},
        {"x", "ecdsa-sha2-nistp256;"},
        {"", ""}
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        char memory[200];
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        eice_known_hosts_types(eice_str_c(text), eice_str_c(table[i][0]),
                               add_type, &b);
        CHECK_STR(eice_buf_str(&b), table[i][1]);
    }
}

static void test_line(void)
{
    static const char *const bad[] = {
        "", "a b", "a,b", "a*", "a?", "!a", "|1|a", "@revoked", "#a", "a\n",
        "a\tb", "\x80"
    };
    const key k = key_of(ED);
    char memory[200];
    eice_buf b;
    size_t i;

    eice_buf_init(&b, memory, sizeof memory);
    eice_known_hosts_line(&b, eice_str_c("[h]:2222"), k.blob, k.len,
                          eice_str_c(""));
    CHECK_STR(eice_buf_str(&b), "[h]:2222 " ED "\n");
    CHECK_INT(eice_known_hosts_check(eice_buf_str(&b), eice_str_c("[h]:2222"),
                                     k.blob, k.len, NULL), MATCH);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        eice_buf_init(&b, memory, sizeof memory);
        eice_known_hosts_line(&b, eice_str_c(bad[i]), k.blob, k.len,
                              eice_str_c(""));
        CHECK(b.overflow && b.len == 0);
    }
    eice_buf_init(&b, memory, sizeof memory);
    eice_known_hosts_line(&b, eice_str_c("h"), "junk", 4, eice_str_c(""));
    CHECK(b.overflow && b.len == 0);
}

/* ---- agent ------------------------------------------------------------- */

static const uint8_t seed[32] = {1, 2, 3, 4, 5, 6, 7, 8};

typedef struct agent {
    eice_user_key key;
    uint8_t public_key[32];
    uint8_t blob[EICE_ED25519_BLOB];
    char memory[EICE_AGENT_ANSWER];
    eice_buf out;
} agent;

static void open_agent(agent *a)
{
    memset(&a->key, 0, sizeof a->key);
    memcpy(a->key.seed, seed, sizeof seed);
    eicei_user_key_ed25519(&a->key);
    memcpy(a->public_key, a->key.public_key, sizeof a->public_key);
    memcpy(a->blob, a->key.blob, sizeof a->blob);
    eice_buf_init(&a->out, a->memory, sizeof a->memory);
}

/* Hands `len` bytes in; the answer replaces the one before. */
static ptrdiff_t serve(agent *a, const void *in, size_t len)
{
    guard g = guard_copy(in, len);
    ptrdiff_t n;

    eice_buf_init(&a->out, a->memory, sizeof a->memory);
    n = eice_agent_serve(&a->key, eice_str_make(g.ptr, len), &a->out);
    guard_free(&g);
    return n;
}

static void put32(eice_buf *b, size_t n)
{
    eice_put_byte(b, (unsigned char)(n >> 24));
    eice_put_byte(b, (unsigned char)(n >> 16 & 255));
    eice_put_byte(b, (unsigned char)(n >> 8 & 255));
    eice_put_byte(b, (unsigned char)(n & 255));
}

static void sign_request(eice_buf *b, const void *blob, size_t blob_len,
                         eice_str data)
{
    put32(b, 1 + 4 + blob_len + 4 + data.len + 4);
    eice_put_byte(b, 13);
    put32(b, blob_len);
    eice_put(b, eice_str_make(blob, blob_len));
    put32(b, data.len);
    eice_put(b, data);
    put32(b, 0);
}

#define IS_FAILURE(a) \
    ((a).out.len == 5 && memcmp((a).memory, "\0\0\0\1\5", 5) == 0)

static void test_agent_identities(void)
{
    static const uint8_t head[] = {0, 0, 0, 68, 12, 0, 0, 0, 1, 0, 0, 0, 51};
    agent a;

    open_agent(&a);
    CHECK_INT(serve(&a, "\0\0\0\1\13", 5), 5);
    CHECK_INT(a.out.len, 72);
    CHECK_BYTES(a.memory, head, sizeof head);
    CHECK_BYTES(a.memory + 13, a.blob, sizeof a.blob);
    CHECK_BYTES(a.memory + 64, "\0\0\0\4eice", 8);
    CHECK_INT(serve(&a, "\0\0\0\1\13more", 9), 5);
    CHECK_INT(a.out.len, 72);
}

static void test_agent_sign(void)
{
    static const uint8_t head[] = {0, 0, 0, 88, 14, 0, 0, 0, 83, 0, 0, 0, 11,
                                   's', 's', 'h', '-', 'e', 'd', '2', '5',
                                   '5', '1', '9', 0, 0, 0, 64};
    static char request[EICE_AGENT_MAX + 4];
    const eice_str data = eice_str_c("what is to be signed");
    agent a;
    eice_buf b;
    size_t n;

    open_agent(&a);
    eice_buf_init(&b, request, sizeof request);
    sign_request(&b, a.blob, sizeof a.blob, data);
    for (n = 0; n < b.len; n++) { /* byte by byte */
        CHECK_INT(serve(&a, request, n), 0);
        CHECK_INT(a.out.len, 0);
    }
    CHECK_INT(serve(&a, request, b.len), b.len);
    CHECK_INT(a.out.len, 92);
    CHECK_BYTES(a.memory, head, sizeof head);
    CHECK(eice_ed25519_verify((const uint8_t *)a.memory + 28, a.public_key,
                              data.ptr, data.len));
    /* nothing to be signed is something to be signed */
    eice_buf_init(&b, request, sizeof request);
    sign_request(&b, a.blob, sizeof a.blob, eice_str_c(""));
    CHECK_INT(serve(&a, request, b.len), b.len);
    CHECK(eice_ed25519_verify((const uint8_t *)a.memory + 28, a.public_key,
                              "", 0));
}

static void test_agent_refuses(void)
{
    static char request[EICE_AGENT_MAX + 4];
    const key other = key_of(ED);
    agent a;
    eice_buf b;
    size_t cut;
    unsigned type;

    open_agent(&a);
    for (type = 0; type < 256; type++) { /* every message but the two */
        char one[5] = {0, 0, 0, 1, 0};

        one[4] = (char)type;
        CHECK_INT(serve(&a, one, 5), 5);
        CHECK_INT(IS_FAILURE(a), type != 11);
    }
    eice_buf_init(&b, request, sizeof request); /* another key */
    sign_request(&b, other.blob, other.len, eice_str_c("data"));
    CHECK_INT(serve(&a, request, b.len), b.len);
    CHECK(IS_FAILURE(a));
    eice_buf_init(&b, request, sizeof request);
    sign_request(&b, a.blob, sizeof a.blob, eice_str_c("data"));
    for (cut = 5; cut < b.len; cut++) { /* fields longer than the message */
        request[3] = (char)(cut - 4);
        CHECK_INT(serve(&a, request, cut), cut);
        CHECK(IS_FAILURE(a));
    }
    for (cut = 5; cut < 9; cut++) { /* lengths out of this world */
        request[3] = (char)(b.len - 4);
        request[cut] = (char)0xff;
        CHECK_INT(serve(&a, request, b.len), b.len);
        CHECK(IS_FAILURE(a));
    }
}

static void test_agent_bounds(void)
{
    static char request[EICE_AGENT_MAX + 5];
    static char data[EICE_AGENT_MAX];
    agent a;
    eice_buf b;

    open_agent(&a);
    CHECK_INT(serve(&a, "\0\0\0\0", 4), -1);
    CHECK_INT(serve(&a, "\0\0\x10\1", 4), -1); /* at once, not at its end */
    CHECK_INT(serve(&a, "\xff\xff\xff\xff", 4), -1);
    CHECK_INT(serve(&a, "\0\0\x10\0", 4), 0);
    CHECK_INT(a.out.len, 0);
    eice_buf_init(&b, request, sizeof request);
    sign_request(&b, a.blob, sizeof a.blob,
                 eice_str_make(data, EICE_AGENT_MAX - 64));
    CHECK_INT(b.len, 4 + EICE_AGENT_MAX);
    CHECK_INT(serve(&a, request, b.len), b.len);
    CHECK_INT(a.out.len, 92);
    eice_buf_init(&a.out, a.memory, 91); /* no room for the answer */
    CHECK_INT(eice_agent_serve(&a.key, eice_buf_str(&b), &a.out), -1);
}

/* What our agent answers to our questions, and cut short anywhere. */
static void test_agent_asked(void)
{
    static char request[EICE_AGENT_MAX + 4];
    const eice_str data = eice_str_c("what is to be signed");
    const eice_str type = eice_str_c("ssh-ed25519");
    uint8_t sig[64];
    eice_str answer;
    eice_str keys;
    eice_str blob;
    eice_str comment;
    eice_buf b;
    agent a;
    size_t n;

    open_agent(&a);
    eice_buf_init(&b, request, sizeof request);
    eice_agent_ask_keys(&b);
    CHECK_INT(serve(&a, request, b.len), b.len);
    answer = eice_str_make(a.memory + 4, a.out.len - 4);
    CHECK(eice_agent_keys(answer, &keys));
    CHECK(eice_agent_next(&keys, &blob, &comment));
    CHECK_INT(blob.len, sizeof a.blob);
    CHECK_BYTES(blob.ptr, a.blob, sizeof a.blob);
    CHECK_STR(comment, "eice");
    CHECK(!eice_agent_next(&keys, &blob, &comment) && keys.len == 0);
    for (n = 0; n < answer.len; n++) {
        CHECK(eice_agent_keys(eice_str_make(answer.ptr, n), &keys) == (n >= 5)
              && (n < 5 || !eice_agent_next(&keys, &blob, &comment)));
    }
    CHECK(!eice_agent_keys(eice_str_make("\5\0\0\0\0", 5), &keys));
    eice_buf_init(&b, request, sizeof request);
    eice_agent_ask_sign(&b, eice_str_make(a.blob, sizeof a.blob), data, type);
    CHECK_INT(serve(&a, request, b.len), b.len);
    answer = eice_str_make(a.memory + 4, a.out.len - 4);
    CHECK_INT(eice_agent_signature(answer, type, sig, sizeof sig), 64);
    CHECK(eice_ed25519_verify(sig, a.public_key, data.ptr, data.len));
    CHECK_INT(eice_agent_signature(answer, type, sig, 63), -1);
    CHECK_INT(eice_agent_signature(answer, eice_str_c("rsa-sha2-512"), sig,
                                   sizeof sig), -1);
    for (n = 0; n < answer.len; n++) {
        CHECK_INT(eice_agent_signature(eice_str_make(answer.ptr, n), type, sig,
                                       sizeof sig), -1);
    }
}

/* The flags choose the hash of RSA; what hardware signs has more in it. */
static void test_agent_flags(void)
{
    static const char *const names[] = {"ssh-ed25519", "rsa-sha2-256",
                                        "rsa-sha2-512"};
    static const char answer[] = "\x0e\0\0\0\x13\0\0\0\4sk-x"
                                 "\0\0\0\2ab\1\0\0\0\7";
    uint8_t sig[16];
    char memory[64];
    eice_buf b;
    int i;

    for (i = 0; i < 3; i++) {
        eice_buf_init(&b, memory, sizeof memory);
        eice_agent_ask_sign(&b, eice_str_c("blob"), eice_str_c("data"),
                            eice_str_c(names[i]));
        CHECK_INT(b.len, 25);
        CHECK_INT(memory[24], 2 * i);
    }
    CHECK_INT(eice_agent_signature(eice_str_make(answer, sizeof answer - 1),
                                   eice_str_c("sk-x"), sig, sizeof sig), 11);
    CHECK_BYTES(sig, answer + 13, 11);
}

/* ---- private keys ------------------------------------------------------ */

static uint32_t rsa_good(const eice_rsa_key *rsa, bool sha512,
                         const uint8_t *sig, size_t len, const char *text)
{
    static const unsigned char three_bytes[] = {1, 0, 1};
    unsigned char n[EICE_RSA_MAX];
    unsigned char e[3];
    br_rsa_public_key pk;
    uint8_t want[64];
    uint8_t got[64];
    const size_t hash = sha512 ? 64 : 32;

    memcpy(n, rsa->n, sizeof n); /* BearSSL's pointers are not const */
    memcpy(e, three_bytes, sizeof e);
    pk.n = n;
    pk.nlen = (rsa->bits + 7) / 8;
    pk.e = e;
    pk.elen = sizeof e;
    if (sha512) {
        eice_sha512(want, text, strlen(text));
    } else {
        eice_sha256(want, text, strlen(text));
    }
    return br_rsa_pkcs1_vrfy_get_default()(
               sig, len, sha512 ? BR_HASH_OID_SHA512 : BR_HASH_OID_SHA256,
               hash, &pk, got)
           != 0
           && memcmp(got, want, hash) == 0;
}

/* ssh-keygen -s ca -I me -n root -V 20200101000000Z:20210101000000Z k.pub */
static void test_certificate(void)
{
    static const char text[] =
        "ecdsa-sha2-nistp256-cert-v01@openssh.com "
        "AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAg"
        "MicUI0zubx95fyOTo9H1VxX1KjoD4u034CenczRq4DAAAAAIbmlzdHAyNTYAAABB"
        "BDdD6gWPfLEUPCoydfYmbX/3ZqN7DYhTYRz1GpqaJf/wtiTHt3QkngRZ3gJWEi9P"
        "92oF0NuDQ98UozwR0sGSrs0AAAAAAAAAAAAAAAEAAAACbWUAAAAIAAAABHJvb3QA"
        "AAAAXgvhAAAAAABf7mYAAAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5n"
        "AAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBv"
        "cnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVybWl0LXVz"
        "ZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAg5aBolS/OoctWU6iF"
        "yt/2QrCaeWnBhUtXUqaxE/CqUEAAAABTAAAAC3NzaC1lZDI1NTE5AAAAQIvTZQ1i"
        "3xpp9wGpMW1V8fLzVK5zDcnasjt+iBVHmQWi8ED6gnrKrxkgxkohCw0BtOVPKzsZ"
        "7OHSiy1sx+6JkAw=";
    static const char plain[] =
        "ecdsa-sha2-nistp256 "
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDdD6gWPfLEU"
        "PCoydfYmbX/3ZqN7DYhTYRz1GpqaJf/wtiTHt3QkngRZ3gJWEi9P92oF0NuDQ98U"
        "ozwR0sGSrs0=";
    const key of = key_of(plain);
    key k = key_of(text);
    eice_certificate cert;
    size_t i;

    CHECK(eice_certificate_read(&cert, eice_str_make(k.blob, k.len)));
    CHECK(!cert.host);
    CHECK_INT(cert.after, 1577836800);
    CHECK_INT(cert.before, 1609459200);
    CHECK(cert.key_len == of.len && memcmp(cert.key, of.blob, of.len) == 0);
    CHECK(!eice_certificate_read(&cert, eice_str_make(of.blob, of.len)));
    for (i = 0; i < k.len; i++) {
        uint8_t *part = (uint8_t *)malloc(i > 0 ? i : 1);

        memcpy(part, k.blob, i);
        CHECK(!eice_certificate_read(&cert, eice_str_make(part, i)));
        free(part);
    }
    k.blob[k.len++] = 0;
    CHECK(!eice_certificate_read(&cert, eice_str_make(k.blob, k.len)));
    k.len--;
    for (i = 0; i + 2 < k.len && memcmp(k.blob + i, "me", 2) != 0; i++) {
    }
    k.blob[i - 5] = 2; /* the kind, before the length of the id */
    CHECK(eice_certificate_read(&cert, eice_str_make(k.blob, k.len)));
    CHECK(cert.host);
}

static void test_user_rsa(void)
{
    static const char *const names[] = {"rsa-sha2-256", "rsa-sha2-512"};
    const eice_str text = eice_str_c("to be signed");
    eice_user_key k;
    eice_drbg d;
    uint8_t sig[EICE_RSA_MAX];
    char line[1000];
    uint8_t blob[EICE_MAX_KEY_BLOB];
    eice_buf b;
    int i;

    eice_drbg_init(&d, "a seed of any length", 20);
    CHECK(eice_user_key_generate(&k, EICE_KEY_RSA, &d));
    CHECK_INT(k.rsa.bits, 2048);
    CHECK_INT(k.blob_len, 279);
    for (i = 0; i < 2; i++) {
        CHECK_INT(eice_user_key_sign(&k, eice_str_c(names[i]), text, sig,
                                     sizeof sig), 256);
        CHECK(rsa_good(&k.rsa, i == 1, sig, 256, text.ptr));
        sig[200] ^= 1;
        CHECK(!rsa_good(&k.rsa, i == 1, sig, 256, text.ptr));
    }
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("ssh-rsa"), text, sig,
                                 sizeof sig), -1);
    CHECK_INT(eice_user_key_sign(&k, eice_str_c(names[0]), text, sig,
                                 sizeof sig - 1), -1);
    eice_buf_init(&b, line, sizeof line);
    eice_key_line(&b, k.blob, k.blob_len, eice_str_c(""));
    CHECK_INT(eice_key_parse(eice_buf_str(&b), blob, sizeof blob, NULL, NULL),
              279);
    CHECK(!eice_rsa_generate(&k.rsa, 1024, &d) && k.rsa.bits == 0);
    CHECK(!eice_rsa_generate(&k.rsa, 4104, &d) && k.rsa.bits == 0);
    CHECK_INT(eice_rsa_sign(&k.rsa, false, text, sig), 0);
    eice_drbg_wipe(&d);
}

/* Part `i` of a key. */
static eice_str rsa_part(const eice_rsa_key *k, unsigned i)
{
    return eice_str_make(k->secret + k->at[i], k->len[i]);
}

/* A key from its numbers is the same key; from others it is none. BearSSL
 * tells d. */
static void test_rsa_set(void)
{
    uint8_t d[EICE_RSA_MAX];
    uint8_t q[EICE_RSA_MAX];
    const eice_str text = eice_str_c("to be signed");
    static const uint8_t e[] = {1, 0, 1};
    uint8_t sig[2][EICE_RSA_MAX];
    br_rsa_private_key secret;
    eice_rsa_key k;
    eice_rsa_key same;
    eice_str n;
    eice_str p[5];
    eice_drbg r;
    unsigned i;

    eice_drbg_init(&r, "rsa set", 7);
    CHECK(eice_rsa_generate(&k, 2048, &r));
    memset(&secret, 0, sizeof secret);
    for (i = 0; i < 5; i++) {
        p[i] = rsa_part(&k, i);
    }
    secret.n_bitlen = k.bits;
    secret.p = k.secret + k.at[0];
    secret.plen = k.len[0];
    secret.q = k.secret + k.at[1];
    secret.qlen = k.len[1];
    secret.dp = k.secret + k.at[2];
    secret.dplen = k.len[2];
    secret.dq = k.secret + k.at[3];
    secret.dqlen = k.len[3];
    i = (unsigned)br_rsa_compute_privexp_get_default()(d, &secret, 65537);
    CHECK(i > 0);
    n = eice_str_make(k.n, k.bits / 8);
    CHECK(eice_rsa_set(&same, n, eice_str_make(e, 3), eice_str_make(d, i),
                       p[0], p[1], p[4]));
    CHECK_INT(eice_rsa_sign(&k, true, text, sig[0]), 256);
    CHECK_INT(eice_rsa_sign(&same, true, text, sig[1]), 256);
    CHECK_BYTES(sig[0], sig[1], 256);
    memcpy(q, p[1].ptr, p[1].len);
    q[p[1].len - 2] ^= 4;
    CHECK(!eice_rsa_set(&same, n, eice_str_make(e, 3), eice_str_make(d, i),
                        p[0], eice_str_make(q, p[1].len), p[4]));
    CHECK(same.bits == 0 && eice_rsa_sign(&same, true, text, sig[1]) == 0);
    d[i - 1] ^= 2;
    CHECK(!eice_rsa_set(&same, n, eice_str_make(e, 3), eice_str_make(d, i),
                        p[0], p[1], p[4]));
    CHECK(!eice_rsa_set(&same, eice_str_make(k.n, 128), eice_str_make(e, 3),
                        eice_str_make(d, i), p[0], p[1], p[4]));
}

/* An RSA key is served with SHA-2 only; the flags say which. */
static void test_agent_rsa(void)
{
    static char request[EICE_AGENT_MAX + 4];
    static const char *const names[] = {"ssh-rsa", "rsa-sha2-256",
                                        "rsa-sha2-512"};
    const eice_str data = eice_str_c("to be signed");
    uint8_t sig[EICE_RSA_MAX];
    eice_drbg d;
    eice_buf b;
    agent a;
    int i;

    eice_drbg_init(&d, "a seed of any length", 20);
    CHECK(eice_user_key_generate(&a.key, EICE_KEY_RSA, &d));
    CHECK_INT(serve(&a, "\0\0\0\1\13", 5), 5);
    CHECK_INT(a.out.len, 4 + 1 + 4 + 4 + 279 + 4 + 4);
    for (i = 0; i < 3; i++) {
        const eice_str name = eice_str_c(names[i]);

        eice_buf_init(&b, request, sizeof request);
        eice_agent_ask_sign(&b, eice_str_make(a.key.blob, a.key.blob_len),
                            data, name);
        CHECK_INT(serve(&a, request, b.len), b.len);
        if (i == 0) {
            CHECK(IS_FAILURE(a));
            continue;
        }
        CHECK_INT(eice_agent_signature(eice_str_make(a.memory + 4,
                                                     a.out.len - 4),
                                       name, sig, sizeof sig), 256);
        CHECK(rsa_good(&a.key.rsa, i == 2, sig, 256, data.ptr));
    }
}

static void test_user_ed25519(void)
{
    const eice_str text = eice_str_c("to be signed");
    eice_user_key k;
    eice_drbg d;
    uint8_t sig[64];

    eice_drbg_init(&d, "another", 7);
    CHECK(eice_user_key_generate(&k, EICE_KEY_ED25519, &d));
    CHECK_INT(k.blob_len, EICE_ED25519_BLOB);
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("ssh-ed25519"), text, sig,
                                 sizeof sig), 64);
    CHECK(eice_ed25519_verify(sig, k.blob + 19, text.ptr, text.len));
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("rsa-sha2-256"), text, sig,
                                 sizeof sig), -1);
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("ssh-ed25519"), text, sig,
                                 63), -1);
}

/* RFC 6979 A.2.5 to A.2.7: the key, its public half where it is short enough
 * to be printed here, "sample" signed with the hash of the curve. */
static const struct {
    unsigned bits;
    const char *secret;
    const char *x;
    const char *sig;
} rfc6979[] = {
    {256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {384, "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa4774078713"
          "7d896d5724e4c70a825f872c9ea60d2edf5",
     "",
     "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a6"
     "48152e44acf96e36dd1e80fabe4699ef4aeb15f178cea1fe40db2603138f130e740a"
     "19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"},
    {521, "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75ca"
          "a896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
     "",
     "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e"
     "25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa0061"
     "7cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623ea"
     "a63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a"},
};

static void test_ecdsa(void)
{
    uint8_t secret[EICE_EC_MAX];
    uint8_t want[2 * EICE_EC_MAX];
    uint8_t sig[2 * EICE_EC_MAX];
    eice_ec_key k;
    size_t i;

    for (i = 0; i < sizeof rfc6979 / sizeof rfc6979[0]; i++) {
        const size_t len = unhex(rfc6979[i].secret, secret, sizeof secret);
        const size_t n = unhex(rfc6979[i].sig, want, sizeof want);
        const size_t x_len = unhex(rfc6979[i].x, sig, sizeof sig);

        CHECK(eice_ec_set(&k, rfc6979[i].bits, eice_str_make(secret, len)));
        CHECK_BYTES(k.point + 1, sig, x_len);
        CHECK_INT(eice_ec_sign(&k, eice_str_c("sample"), sig), n);
        CHECK_BYTES(sig, want, n);
        memset(secret, 0, len); /* 0 and the largest number are no keys */
        CHECK(!eice_ec_set(&k, rfc6979[i].bits, eice_str_make(secret, len)));
        memset(secret, 0xff, len);
        CHECK(!eice_ec_set(&k, rfc6979[i].bits, eice_str_make(secret, len)));
        CHECK(k.bits == 0 && eice_ec_sign(&k, eice_str_c(""), sig) == 0);
        CHECK(!eice_ec_set(&k, 224, eice_str_make(secret, 28)));
    }
}

/* SEC 1 in PEM, behind what openssl writes before it; the numbers that begin
 * with a high bit get a zero (RFC 4251 5). */
static void test_user_ecdsa(void)
{
    char text[] = "-----BEGIN EC PARAMETERS-----\n"
                  "BggqhkjOPQMBBw==\n"
                  "-----END EC PARAMETERS-----\n"
                  "-----BEGIN EC PRIVATE KEY-----\n"
                  "MDECAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49"
                  "AwEH\n"
                  "-----END EC PRIVATE KEY-----\n";
    static const uint8_t head[] = {0, 0, 0, 33, 0, 0xef, 0xd4, 0x8b};
    uint8_t sig[EICE_RSA_MAX];
    eice_user_key k;
    eice_error e;
    eice_drbg d;

    memset(&e, 0, sizeof e);
    CHECK(eice_user_key_read(&k, "FILE", text, sizeof text - 1, NULL, &e));
    CHECK_INT(k.kind, EICE_KEY_ECDSA);
    CHECK_INT(k.blob_len, 104);
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("ecdsa-sha2-nistp256"),
                                 eice_str_c("sample"), sig, sizeof sig), 74);
    CHECK_BYTES(sig, head, sizeof head);
    CHECK_BYTES(sig + 37, "\0\0\0\x21\0\xf7\xcb", 7);
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("ecdsa-sha2-nistp256"),
                                 eice_str_c("sample"), sig, 73), -1);
    CHECK_INT(eice_user_key_sign(&k, eice_str_c("ecdsa-sha2-nistp384"),
                                 eice_str_c("sample"), sig, sizeof sig), -1);
    eice_drbg_init(&d, "a seed", 6);
    CHECK(!eice_user_key_generate(&k, EICE_KEY_ECDSA, &d));
    CHECK_INT(k.blob_len, 0);
}

/* ---- passphrases ------------------------------------------------------- */

/* ssh-keygen -t ed25519 -a 1 -N word; its public half. */
static const char locked[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABA1IWyhQF\n"
    "FCNl6wXhR7y7fSAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIBxRCHiaXrSXxDAm\n"
    "/TWqJ273csq9vYQsmqRDsYELmSGOAAAAkACkKSahJ7Ct7or52HF6tqg3sVl4/F+Nuwsb7R\n"
    "tO/fPsD6PFtNTlZ7L3l1EYrVMRU4vGZu3gJiwTe++WTadDPVGPMn5/ArmE1xNGVIQCKtXH\n"
    "LdU7bsO+AMA1LDno62tuLucwQb8Fdpf9TgfjkGo2LQyAbsU55x7hC1bIXxEizuDK9+cpKS\n"
    "s3sFkyZ2VlGbh0CQ==\n"
    "-----END OPENSSH PRIVATE KEY-----\n";
#define LOCKED "ssh-ed25519 " \
    "AAAAC3NzaC1lZDI1NTE5AAAAIBxRCHiaXrSXxDAm/TWqJ273csq9vYQsmqRDsYELmSGO"
#define LOCKED_ROUNDS 63 /* where their number stands in it */

/* Reads it after one byte of it was changed. */
static eice_err read_locked(eice_user_key *k, eice_passphrase *pass,
                            size_t at, uint8_t byte, eice_error *e)
{
    char text[sizeof locked + 80];
    uint8_t raw[512];
    char lines[sizeof locked];
    eice_str rest = eice_str_c(locked);
    size_t n = 0;
    eice_buf b;
    size_t i;

    (void)eice_str_cut(&rest, '\n');
    for (i = 0; i < rest.len && rest.ptr[i] != '-'; i++) {
        if (rest.ptr[i] != '\n') {
            lines[n++] = rest.ptr[i];
        }
    }
    n = (size_t)eice_base64_decode(eice_str_make(lines, n), raw, sizeof raw);
    if (at > 0) {
        raw[at] = byte;
    }
    eice_buf_init(&b, text, sizeof text);
    eice_put_c(&b, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    eice_put_base64(&b, raw, n, true);
    eice_put_c(&b, "\n-----END OPENSSH PRIVATE KEY-----\n");
    memset(e, 0, sizeof *e);
    return eice_user_key_read(k, "FILE", text, b.len, pass, e) ? EICE_OK
                                                               : e->code;
}

static bool two_rounds(void *user)
{
    return ++*(int *)user < 3;
}

static void test_passphrase(void)
{
    static eice_passphrase p;
    const key want = key_of(LOCKED);
    eice_user_key k;
    eice_error e;
    size_t i;
    int asked = 0;

    CHECK_INT(read_locked(&k, NULL, 0, 0, &e), EICE_E_KEY_LOCKED);
    p.text = eice_str_c("word");
    CHECK_INT(read_locked(&k, &p, 0, 0, &e), EICE_OK);
    CHECK_INT(k.blob_len, want.len);
    CHECK_BYTES(k.blob, want.blob, want.len);
    for (i = 0; i < sizeof p.priv; i++) { /* nothing of it is left */
        CHECK_INT(((const uint8_t *)&p.priv)[i], 0);
    }
    p.text = eice_str_c("Word");
    CHECK_INT(read_locked(&k, &p, 0, 0, &e), EICE_E_PASSPHRASE);
    CHECK_INT(k.blob_len, 0);
    p.text = eice_str_c("");
    CHECK_INT(read_locked(&k, &p, 0, 0, &e), EICE_E_PASSPHRASE);
    p.text = eice_str_c("word"); /* another number of rounds, another key */
    CHECK_INT(read_locked(&k, &p, LOCKED_ROUNDS + 3, 2, &e),
              EICE_E_PASSPHRASE);
    p.go_on = two_rounds;
    p.user = &asked;
    CHECK_INT(read_locked(&k, &p, LOCKED_ROUNDS + 2, 2, &e),
              EICE_E_CANCELLED);
    CHECK_INT(asked, 3);
    CHECK_INT(read_locked(&k, &p, LOCKED_ROUNDS, 1, &e), EICE_E_LIMIT);
    CHECK_INT(read_locked(&k, NULL, LOCKED_ROUNDS, 1, &e), EICE_E_LIMIT);
    CHECK_INT(asked, 3);
    p.max_rounds = 1;
    CHECK_INT(read_locked(&k, &p, LOCKED_ROUNDS + 3, 2, &e), EICE_E_LIMIT);
    CHECK_INT(read_locked(&k, &p, LOCKED_ROUNDS + 3, 0, &e), EICE_E_ARGUMENT);
    CHECK_INT(read_locked(&k, &p, 20, 'X', &e), EICE_E_ARGUMENT);
}

/* Vectors that other implementations are tested with. */
static void test_bcrypt(void)
{
    static eice_passphrase p;
    uint8_t want[64];
    uint8_t got[64];

    p.text = eice_str_c("password");
    CHECK_INT(unhex("5bbf0cc293587f1c3635555c27796598d47e579071bf427e9d8fbe84"
                    "2aba34d9", want, sizeof want), 32);
    CHECK(eicei_bcrypt_pbkdf(&p, eice_str_c("salt"), 4, got, 32));
    CHECK_BYTES(got, want, 32);
    CHECK_INT(unhex("e1367ec5151a33faac4cc1c144cd23fa15d5548493ecc99b9b5d9c0d"
                    "3b27bec76227ea66088b849b20ab7aa478010246e74bba51723fefa9"
                    "f9474d6508845e8d", want, sizeof want), 64);
    CHECK(eicei_bcrypt_pbkdf(&p, eice_str_c("salt"), 8, got, 64));
    CHECK_BYTES(got, want, 64);
}

/* NIST SP 800-38A F.5.5, F.2.6, and a counter that runs over. */
static void test_aes(void)
{
    uint8_t secret[32];
    uint8_t block[16];
    uint8_t text[16];
    uint8_t data[32];
    uint8_t once[32];

    unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
          secret, sizeof secret);
    unhex("6bc1bee22e409f96e93d7e117393172a", text, sizeof text);
    unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", block, sizeof block);
    unhex("601ec313775789a5b7a7f504bbf3d228", data, sizeof data);
    eice_aes_ctr(secret, 32, block, data, 16);
    CHECK_BYTES(data, text, 16);
    unhex("000102030405060708090a0b0c0d0e0f", block, sizeof block);
    unhex("f58c4c04d6e5f1ba779eabfb5f7bfbd6", data, sizeof data);
    eice_aes_cbc_decrypt(secret, 32, block, data, 16);
    CHECK_BYTES(data, text, 16);
    memset(block, 0xff, sizeof block);
    memset(data, 0, sizeof data);
    eice_aes_ctr(secret, 32, block, data, 32);
    memset(block, 0, sizeof block);
    memset(once, 0, sizeof once);
    eice_aes_ctr(secret, 32, block, once, 16);
    CHECK_BYTES(data + 16, once, 16);
}

/* ---- what cloud-init prints -------------------------------------------- */

#define PRINT "SHA256:mJjb5hi9khd8TqXS8PJQVJHMqcUDW5OxK6xlK6a9XH8"
#define PRINT2 \
    "SHA256:J+dGvz9RR52Aw7pswwuwGTQRLW0DB1XcQNcFu4jI0xI"
#define KEYS(lines) \
    "-----BEGIN SSH HOST KEY KEYS-----\r\n" lines \
    "-----END SSH HOST KEY KEYS-----\r\n"
#define PRINTS(lines) \
    "ci-info: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n" lines \
    "<14>Nov 22 05:00:00 ec2: -----END SSH HOST KEY FINGERPRINTS-----\r\n"

/* The key looked for is ED. */
static const struct {
    const char *text;
    eice_console want;
} consoles[] = {
    {"", EICE_CONSOLE_NONE},
    {"login: ", EICE_CONSOLE_NONE},
    {ED "\r\n", EICE_CONSOLE_NONE}, /* in no block */
    {KEYS(EC " root@ip\r\n" ED " root@ip\r\n"), EICE_CONSOLE_MATCH},
    {KEYS(EC " root@ip\n" ED "\n"), EICE_CONSOLE_MATCH},
    {KEYS(ED2 " root@ip\r\n" RSA "\r\n"), EICE_CONSOLE_OTHER},
    {KEYS(""), EICE_CONSOLE_NONE},
    {KEYS("[   9.1] audit: noise\r\n[  9.2] cloud-init: " ED " root@ip\r\n"),
     EICE_CONSOLE_MATCH},
    /* half a line, then something else's */
    {KEYS("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5[  9.3] noise\r\n"),
     EICE_CONSOLE_NONE},
    {KEYS("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJffB6o\r\n"),
     EICE_CONSOLE_NONE},
    {PRINTS("<14>Nov 22 05:00:00 ec2: 256 " PRINT " root@ip (ED25519)\r\n"),
     EICE_CONSOLE_MATCH},
    {PRINTS("x: 256 " PRINT2 " root@ip (ED25519)\r\n"), EICE_CONSOLE_OTHER},
    {PRINTS("x: 256 SHA256:short\r\n"), EICE_CONSOLE_NONE},
    /* both: the block of keys comes last and counts */
    {PRINTS("x: " PRINT2 "\r\n") KEYS(ED "\r\n"), EICE_CONSOLE_MATCH},
    {PRINTS("x: " PRINT "\r\n") KEYS(ED2 "\r\n"), EICE_CONSOLE_OTHER},
    /* set up anew: the last complete block */
    {KEYS(ED2 "\r\n") "reboot\r\n" KEYS(ED "\r\n"), EICE_CONSOLE_MATCH},
    {KEYS(ED "\r\n") KEYS(ED2 "\r\n"), EICE_CONSOLE_OTHER},
    {KEYS(ED "\r\n") "-----BEGIN SSH HOST KEY KEYS-----\r\n" ED2 "\r\n",
     EICE_CONSOLE_MATCH},
    /* cut off at its beginning: the buffer has rotated */
    {ED "\r\n-----END SSH HOST KEY KEYS-----\r\n", EICE_CONSOLE_NONE},
    /* as some documents show it */
    {"-----BEGIN SSH HOST KEY KEYS -----\n" ED "\n"
     "-----END SSH HOST KEY KEYS -----\n", EICE_CONSOLE_MATCH},
};

static void test_console(void)
{
    const key k = key_of(ED);
    size_t i;
    size_t n;

    for (i = 0; i < sizeof consoles / sizeof consoles[0]; i++) {
        n = strlen(consoles[i].text);
        {
            guard g = guard_copy(consoles[i].text, n);
            const eice_console got = eice_console_check(
                eice_str_make(g.ptr, n), k.blob, k.len);

            if (got != consoles[i].want) {
                test_fail(__FILE__, __LINE__, "console %u: %d", (unsigned)i,
                          (int)got);
            }
            guard_free(&g);
        }
    }
    /* cut anywhere it shows what is complete, or nothing */
    for (n = strlen(consoles[3].text); n-- > 0;) {
        guard g = guard_copy(consoles[3].text, n);
        const eice_console got = eice_console_check(eice_str_make(g.ptr, n),
                                                    k.blob, k.len);

        CHECK(got == EICE_CONSOLE_NONE
              || n + 7 >= strlen(consoles[3].text));
        guard_free(&g);
    }
}

/* The keys of the last block as lines, whole or not at all. */
static void test_console_lines(void)
{
    static const char text[]
        = "noise\r\n" KEYS(RSA "\r\n") "[  9.2] login: "
          KEYS("[  9.2] x: " ED " root@ip\r\nssh-ed25519 AAAA\r\n"
               EC " root@ip\r\n") "more";
    static const char want[] = "i-1 " ED " console 1\ni-1 " EC " console 1\n";
    const eice_str all = eice_str_c(text);
    const eice_str block = eice_console_block(all);
    char out[512];
    size_t cap;
    eice_buf b;

    CHECK(eice_str_starts(block, "BEGIN SSH HOST KEY KEYS"));
    CHECK(eice_console_block(block).len == block.len);
    for (cap = 1; cap <= sizeof want + 16; cap++) {
        eice_buf_init(&b, out, cap);
        eice_console_lines(&b, cap % 2 == 0 ? all : block, eice_str_c("i-1"),
                           eice_str_c("console 1"));
        CHECK(!b.overflow && memcmp(out, want, b.len) == 0);
        CHECK(b.len == 0 || out[b.len - 1] == '\n');
    }
    CHECK(b.len == sizeof want - 1);
    eice_buf_init(&b, out, sizeof out);
    eice_console_lines(&b, all, eice_str_c("a,b"), eice_str_c(""));
    eice_console_lines(&b, eice_str_c(PRINTS("x: " PRINT "\r\n")),
                       eice_str_c("i-1"), eice_str_c(""));
    CHECK(b.len == 0 && !b.overflow);
    CHECK(eice_console_block(eice_str_c("login: ")).len == 0);
}

static const test_case tests[] = {
    {"keys_fingerprint", test_fingerprint},
    {"keys_blob_and_line", test_blob_and_line},
    {"keys_parse", test_parse},
    {"keys_type", test_type},
    {"keys_check", test_check},
    {"keys_check_long_key", test_check_long_key},
    {"keys_check_cut", test_check_cut},
    {"keys_pattern_cost", test_pattern_cost},
    {"keys_host_length", test_host_length},
    {"keys_types", test_types},
    {"keys_line", test_line},
    {"keys_agent_identities", test_agent_identities},
    {"keys_agent_sign", test_agent_sign},
    {"keys_agent_refuses", test_agent_refuses},
    {"keys_agent_bounds", test_agent_bounds},
    {"keys_agent_asked", test_agent_asked},
    {"keys_agent_flags", test_agent_flags},
    {"keys_agent_rsa", test_agent_rsa},
    {"keys_certificate", test_certificate},
    {"keys_user_rsa", test_user_rsa},
    {"keys_user_ed25519", test_user_ed25519},
    {"keys_ecdsa", test_ecdsa},
    {"keys_user_ecdsa", test_user_ecdsa},
    {"keys_passphrase", test_passphrase},
    {"keys_bcrypt", test_bcrypt},
    {"keys_aes", test_aes},
    {"keys_rsa_set", test_rsa_set},
    {"keys_console", test_console},
    {"keys_console_lines", test_console_lines}
};

TEST_MAIN(tests)
