/* Credentials and configuration: what is found where, and what wins. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "heap.h"
#include "test.h"

/* What a machine of these tests has: "NAME=value" lines, and two files
 * (NULL: absent). */
typedef struct box {
    const char *env;
    const char *credentials;
    const char *config;
} box;

static bool box_env(const box *b, eice_str name, eice_str *value)
{
    eice_str rest = eice_str_c(b->env);

    while (rest.len > 0) {
        eice_str line = eice_str_cut(&rest, '\n');

        if (eice_str_eq(eice_str_cut(&line, '='), name)) {
            *value = line;
            return true;
        }
    }
    return false;
}

/* The keys that are given out tell what they were asked for with. */
static void box_assume(const eice_need *n, eice_answer *a)
{
    static char body[1024];
    eice_buf b;
    size_t i;

    CHECK_STR(n->name, "AssumeRole");
    eice_buf_init(&b, body, sizeof body);
    eice_put_c(&b, "<R><Credentials><AccessKeyId>ASIAR</AccessKeyId>"
                   "<SecretAccessKey>s</SecretAccessKey><SessionToken>");
    eice_put(&b, n->keys->access_key_id);
    if (n->keys->session_token.len > 0) {
        eice_putf(&b, "(%S)", &n->keys->session_token);
    }
    for (i = 0; i < n->param_count; i++) {
        eice_putf(&b, "+%S", &n->params[i].value);
    }
    eice_put_c(&b, "</SessionToken><Expiration>2030-01-02T03:04:05Z"
                   "</Expiration></Credentials></R>");
    CHECK(!b.overflow);
    a->data = eice_buf_str(&b);
}

/* The session token is made of the words; of "say" the second one is said. */
static void box_process(const eice_need *n, eice_answer *a)
{
    static char body[1024];
    eice_buf b;
    int i;

    CHECK(n->argv != NULL && n->argv[0] != NULL && n->timeout_ms == 300000);
    CHECK_STR(n->name, n->argv[0]);
    if (strcmp(n->argv[0], "say") == 0) {
        a->data = eice_str_c(n->argv[1]);
        return;
    }
    eice_buf_init(&b, body, sizeof body);
    eice_put_c(&b, "{\"Version\": 1, \"AccessKeyId\": \"ASIAP\", "
                   "\"SecretAccessKey\": \"s\", \"Expiration\": "
                   "\"2030-01-02T03:04:05Z\", \"SessionToken\": \"");
    for (i = 0; n->argv[i] != NULL; i++) {
        const eice_str word = eice_str_c(n->argv[i]);

        eice_put_c(&b, i > 0 ? "," : "");
        eice_put_uri(&b, word);
    }
    eice_put_c(&b, "\"}");
    a->data = eice_buf_str(&b);
}

static void box_answer(const box *b, eice_cred *c, const eice_need *n)
{
    const eice_str home = eice_str_c("~/.aws/credentials");
    eice_answer a;

    memset(&a, 0, sizeof a);
    if (n->kind == EICE_NEED_ENV) {
        a.absent = !box_env(b, n->name, &a.data);
    } else if (n->kind == EICE_NEED_PROMPT) {
        CHECK_STR(n->name, "MFA code for m");
        a.data = eice_str_c(b->env[0] == 'x' ? "12345" : " 123456\n");
    } else if (n->kind == EICE_NEED_PROCESS) {
        box_process(n, &a);
        eice_cred_answer(c, n->id, &a);
        return;
    } else if (n->kind == EICE_NEED_STS && n->keys != NULL) {
        box_assume(n, &a);
        eice_cred_answer(c, n->id, &a);
        return;
    } else if (n->kind == EICE_NEED_STS) {
        CHECK_INT(n->param_count, 3);
        CHECK_STR(n->params[1].value, "eice");
        CHECK_STR(n->params[2].value, "tok.en");
        a.data = eice_str_c(
            "<R><A><Credentials><AccessKeyId>ASIAW</AccessKeyId>"
            "<SecretAccessKey>s&amp;w</SecretAccessKey><SessionToken>t"
            "</SessionToken></Credentials></A></R>");
    } else if (n->kind == EICE_NEED_TIME) {
        a.unix_s = 1900000000; /* 2030-03-17 */
    } else if (eice_str_starts(n->name, "/l/")) {
        CHECK_STR(n->name, "/l/a1fce4363854ff888cff4b8e7875d600"
                           "c2682390412a8cf79b37d0b11148b0fa.json");
        a.data = eice_str_c("{\"accessToken\":{\"accessKeyId\":\"ASIAL\","
                            "\"secretAccessKey\":\"s\",\"sessionToken\":"
                            "\"t\",\"expiresAt\":\"2030-03-17T18:00:00Z\"}"
                            "}");
    } else if (eice_str_is(n->name, "/t")) {
        a.data = eice_str_c(" tok.en\n");
    } else if (n->kind == EICE_NEED_FETCH) {
        CHECK(n->direct && n->text.len > 0 && n->attempts > 0);
        a.code = EICE_E_CONNECT_REFUSED;
        a.data = eice_str_c("refused");
    } else {
        const char *text = eice_str_eq(n->name, home)
                               || eice_str_is(n->name, "/x/credentials")
                               || eice_str_is(n->name, "~/c")
                                   ? b->credentials : b->config;

        a.absent = text == NULL;
        a.data = eice_str_c(text);
    }
    eice_cred_answer(c, n->id, &a);
}

static void box_run(const box *b, eice_cred *c, const eice_cred_opts *o)
{
    eice_need n;

    eice_cred_init(c, o);
    while (eice_cred_need(c, &n)) {
        box_answer(b, c, &n);
    }
    CHECK(eice_cred_done(c));
}

#define ENV_KEYS                                                              \
    "AWS_ACCESS_KEY_ID=AKIAENV\nAWS_SECRET_ACCESS_KEY=senv\n"
#define EUW "AWS_REGION=eu-west-1\n"

typedef struct row {
    const char *name;
    box b;
    const char *profile; /* option */
    const char *region;  /* option */
    const char *want;    /* "key secret token region provider", or code and a
                            part of the text */
    eice_err code;
} row;

static const row rows[] = {
    { "environment", { ENV_KEYS EUW, NULL, NULL }, NULL, NULL,
      "AKIAENV|senv||eu-west-1|environment", EICE_OK },
    { "token", { ENV_KEYS EUW "AWS_SESSION_TOKEN=t1\nAWS_SECURITY_TOKEN=t2\n",
                 NULL, NULL }, NULL, NULL,
      "AKIAENV|senv|t1|eu-west-1|environment", EICE_OK },
    { "old token", { ENV_KEYS EUW "AWS_SESSION_TOKEN=\nAWS_SECURITY_TOKEN=t2\n",
                     NULL, NULL }, NULL, NULL,
      "AKIAENV|senv|t2|eu-west-1|environment", EICE_OK },
    { "empty key is no key",
      { EUW "AWS_ACCESS_KEY_ID=\nAWS_SECRET_ACCESS_KEY=x\n",
        "[default]\naws_access_key_id=AKIAF\naws_secret_access_key=sf\n",
        NULL }, NULL, NULL,
      "AKIAF|sf||eu-west-1|profile default (~/.aws/credentials)", EICE_OK },
    { "no secret", { EUW "AWS_ACCESS_KEY_ID=AKIA\n", NULL, NULL }, NULL, NULL,
      "environment: there is an access key id without", EICE_E_CREDENTIALS },
    { "no secret stops the chain",
      { EUW "AWS_ACCESS_KEY_ID=AKIA\n",
        "[default]\naws_access_key_id=AKIAF\naws_secret_access_key=sf\n",
        NULL }, NULL, NULL, "environment: ", EICE_E_CREDENTIALS },
    { "ASIA without token",
      { EUW "AWS_ACCESS_KEY_ID=ASIA1\nAWS_SECRET_ACCESS_KEY=s\n", NULL, NULL },
      NULL, NULL, "begins with ASIA", EICE_E_CREDENTIALS },
    { "ASIA without token in a file",
      { EUW, NULL, "[default]\naws_access_key_id=ASIA1\n"
                   "aws_secret_access_key=s\n" },
      NULL, NULL, "profile default (~/.aws/config): the access key id begins "
                  "with ASIA", EICE_E_CREDENTIALS },
    { "carriage return in a key",
      { EUW "AWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=s\r\n", NULL,
        NULL }, NULL, NULL, "control character", EICE_E_CREDENTIALS },
    { "AWS_PROFILE leaves the environment's keys on",
      { ENV_KEYS "AWS_PROFILE=p\n",
        "[p]\naws_access_key_id=AKIAP\naws_secret_access_key=sp\n",
        "[profile p]\nregion=eu-north-1\n" }, NULL, NULL,
      "AKIAENV|senv||eu-north-1|environment", EICE_OK },
    { "a profile by option switches them off",
      { ENV_KEYS EUW, "[p]\naws_access_key_id=AKIAP\n"
                      "aws_secret_access_key=sp\n", NULL }, "p", NULL,
      "AKIAP|sp||eu-west-1|profile p (~/.aws/credentials)", EICE_OK },
    { "a profile by option without keys",
      { ENV_KEYS EUW, "[p]\nx=y\n", NULL }, "p", NULL,
      "the environment's keys are not used", EICE_E_NO_CREDENTIALS },
    { "AWS_PROFILE before AWS_DEFAULT_PROFILE",
      { EUW "AWS_PROFILE=a\nAWS_DEFAULT_PROFILE=b\n",
        "[a]\naws_access_key_id=AKIAA\naws_secret_access_key=s\n"
        "[b]\naws_access_key_id=AKIAB\naws_secret_access_key=s\n", NULL },
      NULL, NULL, "AKIAA|s||eu-west-1|profile a (~/.aws/credentials)",
      EICE_OK },
    { "AWS_DEFAULT_PROFILE",
      { EUW "AWS_PROFILE=\nAWS_DEFAULT_PROFILE=b\n",
        "[b]\naws_access_key_id=AKIAB\naws_secret_access_key=s\n", NULL },
      NULL, NULL, "AKIAB|s||eu-west-1|profile b (~/.aws/credentials)",
      EICE_OK },
    { "missing profile", { ENV_KEYS EUW "AWS_PROFILE=nope\n", "[x]\na=b\n",
                           NULL }, NULL, NULL,
      "no profile nope in ~/.aws/config (absent) and ~/.aws/credentials",
      EICE_E_PROFILE },
    { "missing default is fine", { ENV_KEYS EUW, "[x]\na=b\n", NULL }, NULL,
      NULL, "AKIAENV|senv||eu-west-1|environment", EICE_OK },
    { "credentials file wins",
      { "", "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=s1\n"
            "region=us-east-2\n",
        "[default]\naws_access_key_id=AKIA2\naws_secret_access_key=s2\n"
        "aws_session_token=t2\nregion=eu-west-3\n" }, NULL, NULL,
      "AKIA1|s1||us-east-2|profile default (~/.aws/credentials)", EICE_OK },
    { "keys in the config file",
      { "", NULL, "[profile x]\naws_access_key_id=AKIA2\n"
                  "aws_secret_access_key=s2\naws_security_token=t2\n"
                  "region=eu-west-3\n" }, "x", NULL,
      "AKIA2|s2|t2|eu-west-3|profile x (~/.aws/config)", EICE_OK },
    { "[profile default] before [default]",
      { ENV_KEYS, NULL, "[profile default]\nregion=eu-west-3\n"
                        "[default]\nregion=eu-west-1\noutput=x\n" },
      NULL, NULL, "AKIAENV|senv||eu-west-3|environment", EICE_OK },
    { "[profile default] behind [default]",
      { ENV_KEYS, NULL, "[default]\nregion=eu-west-1\n"
                        "[profile default]\noutput=json\n" },
      NULL, NULL, "no region", EICE_E_NO_REGION },
    { "quoted profile",
      { ENV_KEYS "AWS_PROFILE=two words\n", NULL,
        "[profile \"two words\"]\nregion=eu-west-3\n" }, NULL, NULL,
      "AKIAENV|senv||eu-west-3|environment", EICE_OK },
    { "single quotes and tabs",
      { ENV_KEYS "AWS_PROFILE=two words\n", NULL,
        "[profile\t'two words']\nregion=eu-west-3\n" }, NULL, NULL,
      "AKIAENV|senv||eu-west-3|environment", EICE_OK },
    { "blanks without quotes",
      { ENV_KEYS EUW "AWS_PROFILE=two words\n", NULL,
        "[profile two words]\nregion=eu-west-3\n" }, NULL, NULL,
      "no profile two words", EICE_E_PROFILE },
    { "no prefix in the config file",
      { ENV_KEYS EUW, NULL, "[p]\nregion=eu-west-3\n" }, "p", NULL,
      "no profile p", EICE_E_PROFILE },
    { "no prefix in the credentials file",
      { ENV_KEYS EUW, "[profile p]\naws_access_key_id=A\n", NULL }, "p", NULL,
      "no profile p", EICE_E_PROFILE },
    { "sections of one name are merged, the last value wins",
      { "", "[default]\naws_access_key_id=AKIA1\n[o]\naws_access_key_id=x\n"
            "[default]\naws_secret_access_key=s1\naws_access_key_id=AKIA2\n",
        "[default]\nregion=a-b-1\n" }, NULL, NULL,
      "AKIA2|s1||a-b-1|profile default (~/.aws/credentials)", EICE_OK },
    { "comments, case, blanks, CRLF, byte order mark",
      { "", "\xef\xbb\xbf# note\r\n[default]\r\n; x\r\n"
            "AWS_Access_Key_Id :  AKIA1 \r\n"
            "aws_secret_access_key\t=\tab=/+#;c\r\n\r\n",
        "[default] # mine\nregion = eu-west-1 ; home\n" }, NULL, NULL,
      "AKIA1|ab=/+#;c||eu-west-1|profile default (~/.aws/credentials)",
      EICE_OK },
    { "nested block is not the profile's",
      { ENV_KEYS, NULL, "[default]\ns3 =\n  region = xx-1\n"
                        "region = eu-west-1\n" }, NULL, NULL,
      "AKIAENV|senv||eu-west-1|environment", EICE_OK },
    { "empty key in a file is broken",
      { EUW, "[default]\naws_access_key_id =\naws_secret_access_key = s\n",
        NULL }, NULL, NULL, "the access key id is empty", EICE_E_CREDENTIALS },
    { "region by option", { ENV_KEYS EUW, NULL, NULL }, NULL, "ap-south-1",
      "AKIAENV|senv||ap-south-1|environment", EICE_OK },
    { "AWS_REGION first",
      { ENV_KEYS EUW "AWS_DEFAULT_REGION=us-west-1\n", NULL,
        "[default]\nregion=us-east-1\n" }, NULL, NULL,
      "AKIAENV|senv||eu-west-1|environment", EICE_OK },
    { "AWS_DEFAULT_REGION second",
      { ENV_KEYS "AWS_REGION=\nAWS_DEFAULT_REGION=us-west-1\n", NULL,
        "[default]\nregion=us-east-1\n" }, NULL, NULL,
      "AKIAENV|senv||us-west-1|environment", EICE_OK },
    { "no region", { ENV_KEYS, NULL, NULL }, NULL, NULL,
      "no region in AWS_REGION", EICE_E_NO_REGION },
    { "region with a dot", { ENV_KEYS "AWS_REGION=evil.example\n", NULL, NULL },
      NULL, NULL, "\"evil.example\" is not the name of a region",
      EICE_E_CONFIG },
    { "region with a slash by option", { ENV_KEYS, NULL, NULL }, NULL, "a/b",
      "\"a/b\" is not the name", EICE_E_CONFIG },
    { "old FIPS region", { ENV_KEYS "AWS_REGION=fips-us-east-1\n", NULL, NULL },
      NULL, NULL, "AKIAENV|senv||us-east-1|environment", EICE_OK },
    { "nothing at all", { EUW, NULL, NULL }, NULL, NULL,
      "no AWS_ACCESS_KEY_ID in the environment", EICE_E_NO_CREDENTIALS },
    { "secret only", { EUW "AWS_SECRET_ACCESS_KEY=s\n", NULL, NULL }, NULL,
      NULL, "AWS_SECRET_ACCESS_KEY without AWS_ACCESS_KEY_ID",
      EICE_E_NO_CREDENTIALS },
    { "paths by variables",
      { "AWS_SHARED_CREDENTIALS_FILE=/x/credentials\n"
        "AWS_CONFIG_FILE=/x/config\n",
        "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=s1\n",
        "[default]\nregion=eu-west-1\n" }, NULL, NULL,
      "AKIA1|s1||eu-west-1|profile default (/x/credentials)", EICE_OK },
    { "home in a path",
      { EUW "AWS_SHARED_CREDENTIALS_FILE=${HOME}/c\n",
        "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=s1\n",
        NULL }, NULL, NULL, "AKIA1|s1||eu-west-1|profile default (~/c)",
      EICE_OK },
    { "text before the first section", { ENV_KEYS EUW, NULL, "region=x\n" },
      NULL, NULL, "~/.aws/config, line 1", EICE_E_CONFIG },
    { "malformed line", { ENV_KEYS EUW, "[default]\n\nwhat\n", NULL },
      NULL, NULL, "~/.aws/credentials, line 3", EICE_E_CONFIG },
    { "role",
      { EUW, "[default]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nrole_arn=x\nsource_profile=default\n" }, "r", NULL,
      "ASIAR|s|A+x+eice|eu-west-1|role x (profile r)", EICE_OK },
    { "all that a role can have",
      { EUW, "[b]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nrole_arn=x\nsource_profile=b\nexternal_id=e\n"
        "duration_seconds=900\nrole_session_name=n\nmfa_serial=m\n" },
      "r", NULL, "ASIAR|s|A+x+n+900+e+m+123456|eu-west-1|role x (profile r)",
      EICE_OK },
    { "five digits are no MFA code",
      { "x=y\n" EUW, "[b]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nrole_arn=x\nsource_profile=b\nmfa_serial=m\n" },
      "r", NULL, "an MFA code has six digits", EICE_E_CREDENTIALS },
    { "a duration that is no number is left out",
      { EUW, "[b]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nrole_arn=x\nsource_profile=b\n"
        "duration_seconds=1h\n" },
      "r", NULL, "ASIAR|s|A+x+eice|eu-west-1|role x (profile r)", EICE_OK },
    { "a chain, with the region of the first",
      { "", "[b]\naws_access_key_id=A\naws_secret_access_key=s\nregion=a-1\n",
        "[profile r]\nrole_arn=x\nsource_profile=q\nregion=eu-west-1\n"
        "[profile q]\nrole_arn=y\nsource_profile=b\nregion=a-2\n"
        "role_session_name=n\n" },
      "r", NULL, "ASIAR|s|ASIAR(A+y+n)+x+eice|eu-west-1|role x (profile r)",
      EICE_OK },
    { "the environment as a source, in spite of a profile by option",
      { ENV_KEYS EUW, NULL, "[profile r]\nrole_arn=x\n"
                            "credential_source=environment\n" },
      "r", NULL, "ASIAR|s|AKIAENV+x+eice|eu-west-1|role x (profile r)",
      EICE_OK },
    { "the environment is not for a source profile",
      { ENV_KEYS EUW "AWS_WEB_IDENTITY_TOKEN_FILE=/t\nAWS_ROLE_ARN=z\n", NULL,
        "[profile r]\nrole_arn=x\nsource_profile=q\n[profile q]\na=b\n" },
      "r", NULL, "profile q is the source of a role, and has no keys",
      EICE_E_CONFIG },
    { "a web identity as a source",
      { EUW, NULL, "[profile r]\nrole_arn=x\nsource_profile=q\n"
                   "[profile q]\nrole_arn=y\nweb_identity_token_file=/t\n" },
      "r", NULL, "ASIAR|s|ASIAW(t)+x+eice|eu-west-1|role x (profile r)",
      EICE_OK },
    { "a login as the source of a role",
      { EUW "AWS_LOGIN_CACHE_DIRECTORY=/l\n", NULL,
        "[profile r]\nrole_arn=x\nsource_profile=q\n"
        "[profile q]\nlogin_session=y\n" },
      "r", NULL, "ASIAR|s|ASIAL(t)+x+eice|eu-west-1|role x (profile r)",
      EICE_OK },
    { "role before static keys of the profile",
      { EUW, "[r]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nrole_arn=arn:aws:iam::1:role/x\n" }, "r", NULL,
      "profile r has a role_arn, and neither", EICE_E_CREDENTIALS },
    { "environment before a role",
      { ENV_KEYS EUW "AWS_PROFILE=r\n", NULL,
        "[profile r]\nrole_arn=arn:aws:iam::1:role/x\n" }, NULL, NULL,
      "AKIAENV|senv||eu-west-1|environment", EICE_OK },
    { "web identity in a profile",
      { EUW, NULL, "[profile r]\nrole_arn=arn:aws:iam::1:role/x\n"
                   "web_identity_token_file=/t\n" }, "r", NULL,
      "ASIAW|s&w|t|eu-west-1|web identity as arn:aws:iam::1:role/x", EICE_OK },
    { "web identity in the environment",
      { EUW "AWS_WEB_IDENTITY_TOKEN_FILE=/t\nAWS_ROLE_ARN=r\n", NULL, NULL },
      NULL, NULL, "ASIAW|s&w|t|eu-west-1|web identity as r", EICE_OK },
    { "web identity without a role",
      { EUW "AWS_WEB_IDENTITY_TOKEN_FILE=/t\n", NULL, NULL }, NULL, NULL,
      "no role: AWS_ROLE_ARN", EICE_E_CREDENTIALS },
    { "web identity is switched off by a profile",
      { EUW "AWS_WEB_IDENTITY_TOKEN_FILE=/t\n",
        "[p]\naws_access_key_id=AKIAP\naws_secret_access_key=sp\n", NULL },
      "p", NULL, "AKIAP|sp||eu-west-1|profile p (~/.aws/credentials)",
      EICE_OK },
    { "identity center before static keys",
      { EUW, "[r]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nsso_session=c\nsso_account_id=1\nsso_role_name=d\n" },
      "r", NULL, "names sso_session c", EICE_E_CONFIG },
    { "identity center has all it needs, but for a login",
      { EUW, NULL, "[profile r]\nsso_start_url=u\nsso_region=eu-west-1\n"
                   "sso_account_id=1\nsso_role_name=d\n" },
      "r", NULL, "login of profile r: no token in ~/.aws/sso/cache/",
      EICE_E_CREDENTIALS_EXPIRED },
    { "a session in another file does not count",
      { EUW, "[sso-session c]\nsso_start_url=u\nsso_region=eu-west-1\n",
        "[profile r]\nsso_session=c\nsso_account_id=1\nsso_role_name=d\n" },
      "r", NULL, "names sso_session c", EICE_E_CONFIG },
    { "static keys before a login",
      { EUW, "[r]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\nlogin_session=y\n" }, "r", NULL,
      "A|s||eu-west-1|profile r (~/.aws/credentials)", EICE_OK },
    { "a login before a process",
      { EUW "AWS_LOGIN_CACHE_DIRECTORY=/l\n", NULL,
        "[profile r]\ncredential_process=x\nlogin_session=y\n" }, "r", NULL,
      "ASIAL|s|t|eu-west-1|login of profile r", EICE_OK },
    { "static keys before a process",
      { EUW, "[r]\naws_access_key_id=A\naws_secret_access_key=s\n",
        "[profile r]\ncredential_process=x\n" }, "r", NULL,
      "A|s||eu-west-1|profile r (~/.aws/credentials)", EICE_OK },
    { "a process before static keys of the config file",
      { EUW, NULL, "[profile r]\ncredential_process=x\n"
                   "aws_access_key_id=A\naws_secret_access_key=s\n" },
      "r", NULL, "ASIAP|s|x|eu-west-1|credential_process of profile r",
      EICE_OK },
    { "the words of a process",
      { EUW, NULL, "[profile r]\ncredential_process = \"/a b\"/c -x 'y \\z' "
                   "\"\\\"q\\\\ \\n$V\" a\\ b'' '' #e\\#f\n" },
      "r", NULL, "ASIAP|s|%2Fa%20b%2Fc,-x,y%20%5Cz,%22q%5C%20%5Cn%24V,a%20b,"
                 "|eu-west-1|credential_process of profile r", EICE_OK },
    { "a process as the source of a role",
      { EUW, NULL, "[profile r]\nrole_arn=x\nsource_profile=q\n"
                   "[profile q]\ncredential_process=c\n" },
      "r", NULL, "ASIAR|s|ASIAP(c)+x+eice|eu-west-1|role x (profile r)",
      EICE_OK },
    { "a process with an open quote",
      { EUW, NULL, "[profile r]\ncredential_process=a 'b\n" },
      "r", NULL, "a quote is open", EICE_E_CREDENTIALS },
    { "a process with an open backslash",
      { EUW, NULL, "[profile r]\ncredential_process=a \\\n" },
      "r", NULL, "a quote is open", EICE_E_CREDENTIALS },
    { "a process that says nothing",
      { EUW, NULL, "[profile r]\ncredential_process=say ''\n" },
      "r", NULL, "is not JSON with \"Version\": 1", EICE_E_CREDENTIALS },
    { "a process of another version",
      { EUW, NULL, "[profile r]\ncredential_process=say "
                   "'{\"Version\": 2, \"AccessKeyId\": \"A\"}'\n" },
      "r", NULL, "is not JSON with \"Version\": 1", EICE_E_CREDENTIALS },
    { "a process with a version that is a text",
      { EUW, NULL, "[profile r]\ncredential_process=say "
                   "'{\"Version\": \"1\", \"AccessKeyId\": \"A\"}'\n" },
      "r", NULL, "is not JSON with \"Version\": 1", EICE_E_CREDENTIALS },
    { "a process without a secret",
      { EUW, NULL, "[profile r]\ncredential_process=say "
                   "'{\"Version\": 1, \"AccessKeyId\": \"A\"}'\n" },
      "r", NULL, "without a secret", EICE_E_CREDENTIALS },
    { "a process with an expiration that is no time",
      { EUW, NULL, "[profile r]\ncredential_process=say "
                   "'{\"Version\": 1, \"AccessKeyId\": \"A\", "
                   "\"SecretAccessKey\": \"s\", \"Expiration\": \"soon\"}'\n" },
      "r", NULL, "Expiration is not a time", EICE_E_CREDENTIALS },
    { "no login", { EUW, NULL, "[profile r]\nlogin_session=x\n" }, "r", NULL,
      "login of profile r: the answer has no accessToken.accessKeyId",
      EICE_E_CREDENTIALS },
    { "container",
      { EUW "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2\n", NULL, NULL },
      NULL, NULL, "container credentials: refused", EICE_E_CREDENTIALS },
    { "EKS pod identity",
      { EUW "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/\n",
        NULL, NULL }, NULL, NULL, "container credentials: refused",
      EICE_E_CREDENTIALS },
    { "bad number of attempts", { ENV_KEYS EUW "AWS_MAX_ATTEMPTS=0\n", NULL,
                                  NULL }, NULL, NULL, "\"0\", not a number",
      EICE_E_CONFIG },
};

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void check_row(const row *r)
{
    eice_cred_opts o;
    eice_cred c;
    char got[400];
    eice_buf b;

    memset(&o, 0, sizeof o);
    o.profile = r->profile;
    o.region = r->region;
    box_run(&r->b, &c, &o);
    if (c.error.code != r->code) {
        test_fail(__FILE__, __LINE__, "%s: %s (%s)", r->name,
                  eice_err_name(c.error.code), c.error.text);
    }
    if (c.error.code != EICE_OK) {
        if (!contains(c.error.text, r->want)) {
            test_fail(__FILE__, __LINE__, "%s: text %s", r->name,
                      c.error.text);
        }
    } else {
        eice_buf_init(&b, got, sizeof got);
        eice_putf(&b, "%S|%S|%S|%s|%s", &c.keys.access_key_id,
                  &c.keys.secret_access_key, &c.keys.session_token,
                  c.settings.region, c.provider);
        if (!eice_str_is(eice_buf_str(&b), r->want)) {
            test_fail(__FILE__, __LINE__, "%s: %s", r->name, eice_buf_c(&b));
        }
    }
    eice_cred_wipe(&c);
}

/* A token of the caller's comes before the environment; not before keys. */
static void test_given_token(void)
{
    const box b = { ENV_KEYS EUW, NULL, NULL };
    eice_cred_opts o;
    eice_cred c;

    memset(&o, 0, sizeof o);
    o.web_identity_token = eice_str_c("tok.en");
    o.role_arn = "r";
    box_run(&b, &c, &o);
    CHECK_INT(c.error.code, EICE_OK);
    CHECK_STR(c.keys.access_key_id, "ASIAW");
    CHECK_TEXT(c.provider, "web identity as r");
    eice_cred_wipe(&c);
    o.role_arn = NULL;
    box_run(&b, &c, &o);
    CHECK_INT(c.error.code, EICE_E_CREDENTIALS);
    CHECK(contains(c.error.text, "no role: AWS_ROLE_ARN"));
    eice_cred_wipe(&c);
}

static void test_chain(void)
{
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_row(&rows[i]);
    }
}

/* No secret and no value of a file shows in an error's text. */
static void test_texts(void)
{
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        eice_cred_opts o;
        eice_cred c;

        memset(&o, 0, sizeof o);
        o.profile = rows[i].profile;
        box_run(&rows[i].b, &c, &o);
        CHECK(!contains(c.error.text, "senv"));
        if (c.error.code != EICE_OK) {
            const size_t len = strlen(c.error.text);

            CHECK(len > 10 && c.error.text[len - 1] != '.');
            CHECK(c.error.remedy[0] != 0
                  || eice_err_remedy(c.error.code)[0] != 0);
        }
        eice_cred_wipe(&c);
    }
}

/* Needs in any order, twice, and for ids nobody asked about. */
static void test_needs(void)
{
    const box b = { ENV_KEYS EUW, NULL, NULL };
    eice_need needs[EICE_CRED_VARIABLES + 2];
    size_t count = 0;
    eice_cred_opts o;
    eice_answer a;
    eice_cred c;
    eice_pair note;
    bool behind = false; /* the environment, which answers */
    size_t i;

    memset(&o, 0, sizeof o);
    memset(&a, 0, sizeof a);
    a.data = eice_str_c("x");
    CHECK_INT(eice_cred_init(&c, &o), EICE_OK);
    eice_cred_answer(&c, 0, &a); /* not asked for yet */
    while (eice_cred_need(&c, &needs[count])) {
        CHECK_INT(needs[count].kind, EICE_NEED_ENV);
        CHECK_INT(needs[count].id, count);
        count++;
    }
    CHECK_INT(count, EICEI_ENV_COUNT);
    for (i = count; i-- > 0;) {
        CHECK(!eice_cred_done(&c));
        box_answer(&b, &c, &needs[i]);
        eice_cred_answer(&c, needs[i].id, &a); /* a second answer */
    }
    CHECK(eice_cred_need(&c, &needs[0]));
    CHECK(eice_cred_need(&c, &needs[1]));
    CHECK(!eice_cred_need(&c, &needs[2]));
    CHECK_STR(needs[0].name, "~/.aws/credentials");
    CHECK_STR(needs[1].name, "~/.aws/config");
    CHECK(needs[1].max > 100000);
    eice_cred_answer(&c, 63, &a);
    box_answer(&b, &c, &needs[1]);
    CHECK(!eice_cred_done(&c));
    box_answer(&b, &c, &needs[0]);
    CHECK(eice_cred_done(&c));
    CHECK_INT(c.error.code, EICE_OK);
    CHECK_STR(c.keys.secret_access_key, "senv");
    CHECK_TEXT(c.settings.profile, "default");
    for (i = 0; eice_cred_note(&c, i, &note); i++) {
        CHECK(note.name.len > 0 && note.value.len > 0);
        CHECK_INT(eice_str_starts(note.value, "not tried"), behind);
        behind = behind || eice_str_is(note.name, "environment");
    }
    CHECK(behind && i > 4);
    CHECK_INT(c.settings.max_attempts, 3);
    CHECK(!eice_cred_need(&c, &needs[0]));
    eice_cred_wipe(&c);
    eice_cred_wipe(&c);
    CHECK_TEXT(c.settings.region, "");
}

static void test_unreadable(void)
{
    eice_cred_opts o;
    eice_cred c;
    eice_need n;
    eice_answer a;

    memset(&o, 0, sizeof o);
    eice_cred_init(&c, &o);
    while (eice_cred_need(&c, &n)) {
        memset(&a, 0, sizeof a);
        a.absent = n.kind == EICE_NEED_ENV;
        a.code = n.kind == EICE_NEED_ENV ? EICE_OK : EICE_E_LOCAL_IO;
        a.sys_errno = 13;
        eice_cred_answer(&c, n.id, &a);
    }
    CHECK(eice_cred_done(&c));
    CHECK_INT(c.error.code, EICE_E_CONFIG);
    CHECK_INT(c.error.detail_kind, EICE_DETAIL_ERRNO);
    CHECK_INT(c.error.detail, 13);
    CHECK(contains(c.error.text, "cannot read ~/.aws/credentials"));
    eice_cred_wipe(&c);
}

/* One settings text after the other. */
typedef struct setting {
    const char *name;
    box b;
    eice_service service;
    const char *want; /* url|ca|fips|dualstack|attempts, or a part of the text
                         of EICE_E_CONFIG */
} setting;

#define LAB                                                                   \
    "[default]\nservices = lab\nendpoint_url = http://global\n"               \
    "[services lab]\nec2 =\n  endpoint_url = http://lab-ec2\n"                \
    "ec2_instance_connect =\n\tENDPOINT_URL=http://lab-eic # x\n"             \
    "s3 =\n  endpoint_url = http://lab-s3\n"

static const setting settings[] = {
    { "none", { "", NULL, NULL }, EICE_SERVICE_EC2, "||0|0|3" },
    { "own variable first",
      { "AWS_ENDPOINT_URL_EC2=http://a\nAWS_ENDPOINT_URL=http://b\n", NULL,
        LAB }, EICE_SERVICE_EC2, "http://a||0|0|3" },
    { "the general variable second",
      { "AWS_ENDPOINT_URL_EC2=\nAWS_ENDPOINT_URL=http://b\n", NULL, LAB },
      EICE_SERVICE_EC2, "http://b||0|0|3" },
    { "then the services section", { "", NULL, LAB }, EICE_SERVICE_EC2,
      "http://lab-ec2||0|0|3" },
    { "of this service", { "", NULL, LAB }, EICE_SERVICE_EIC,
      "http://lab-eic||0|0|3" },
    { "then the profile", { "", NULL, LAB }, EICE_SERVICE_STS,
      "http://global||0|0|3" },
    { "all ignored by a variable",
      { "AWS_ENDPOINT_URL=http://b\n"
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=TRUE\n", NULL, LAB },
      EICE_SERVICE_EC2, "||0|0|3" },
    { "all ignored by the profile",
      { "AWS_ENDPOINT_URL_EC2=http://b\n", NULL,
        "[default]\nignore_configured_endpoint_urls = true\n"
        "services = nope\n" }, EICE_SERVICE_EC2, "||0|0|3" },
    { "no such services",
      { "", NULL, "[default]\nservices = nope\n" }, EICE_SERVICE_EC2,
      "names services nope, and ~/.aws/config has no such section" },
    { "quoted services",
      { "", NULL, "[services \"my lab\"]\nec2 =\n  endpoint_url = http://q\n"
                  "[default]\nservices = my lab\n" }, EICE_SERVICE_EC2,
      "http://q||0|0|3" },
    { "services of another name",
      { "", NULL, "[services b]\nec2 =\n  endpoint_url = http://q\n"
                  "[services a]\n[default]\nservices = a\n" },
      EICE_SERVICE_EC2, "||0|0|3" },
    { "flags", { "AWS_USE_FIPS_ENDPOINT=True\n", NULL,
                 "[default]\nuse_dualstack_endpoint=true\n" },
      EICE_SERVICE_EC2, "||1|1|3" },
    { "a variable beats the profile",
      { "AWS_USE_FIPS_ENDPOINT=false\nAWS_MAX_ATTEMPTS=7\n", NULL,
        "[default]\nuse_fips_endpoint=true\nmax_attempts=5\n" },
      EICE_SERVICE_EC2, "||0|0|7" },
    { "attempts of the profile", { "", NULL, "[default]\nmax_attempts = 5\n" },
      EICE_SERVICE_EC2, "||0|0|5" },
    { "attempts of the legacy mode", { "AWS_RETRY_MODE=legacy\n", NULL, NULL },
      EICE_SERVICE_EC2, "||0|0|5" },
    { "a mode of the profile, and a number",
      { "AWS_MAX_ATTEMPTS=2\n", NULL, "[default]\nretry_mode=legacy\n" },
      EICE_SERVICE_EC2, "||0|0|2" },
    { "another mode", { "AWS_RETRY_MODE=adaptive\n", NULL,
                        "[default]\nretry_mode=legacy\n" },
      EICE_SERVICE_EC2, "||0|0|3" },
    { "no mode", { "AWS_RETRY_MODE=fast\n", NULL, NULL }, EICE_SERVICE_EC2,
      "\"fast\", which is none of standard" },
    { "bundle by variable",
      { "AWS_CA_BUNDLE=/a\nREQUESTS_CA_BUNDLE=/c\n", NULL,
        "[default]\nca_bundle=/b\n" }, EICE_SERVICE_EC2, "|/a|0|0|3" },
    { "bundle of the profile",
      { "REQUESTS_CA_BUNDLE=/c\nSSL_CERT_FILE=/d\n", NULL,
        "[default]\nca_bundle=/b\n" }, EICE_SERVICE_EC2, "|/b|0|0|3" },
    { "bundle of requests", { "REQUESTS_CA_BUNDLE=/c\nSSL_CERT_FILE=/d\n",
                              NULL, NULL }, EICE_SERVICE_EC2, "|/c|0|0|3" },
    { "bundle of OpenSSL", { "SSL_CERT_FILE=/d\n", NULL, NULL },
      EICE_SERVICE_EC2, "|/d|0|0|3" },
    { "home in a bundle's path",
      { "", NULL, "[default]\nca_bundle = $HOME/ca.pem\n" },
      EICE_SERVICE_EC2, "|~/ca.pem|0|0|3" },
};

static void test_settings(void)
{
    size_t i;

    for (i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const setting *s = &settings[i];
        const eice_keys keys = { { "AKIA", 4 }, { "s", 1 }, { NULL, 0 } };
        eice_cred_opts o;
        eice_cred c;
        char got[300];
        eice_buf b;

        memset(&o, 0, sizeof o);
        o.keys = &keys;
        o.region_optional = true;
        box_run(&s->b, &c, &o);
        eice_buf_init(&b, got, sizeof got);
        if (c.error.code != EICE_OK) {
            CHECK_INT(c.error.code, EICE_E_CONFIG);
            eice_put_c(&b, c.error.text);
        } else {
            CHECK_TEXT(c.provider, "given");
            eice_putf(&b, "%s|%s|%u|%u|%u",
                      c.settings.endpoint_url[s->service],
                      c.settings.ca_bundle, (unsigned)c.settings.fips,
                      (unsigned)c.settings.dualstack, c.settings.max_attempts);
        }
        if (!contains(eice_buf_c(&b), s->want)
            || (c.error.code == EICE_OK
                && !eice_str_is(eice_buf_str(&b), s->want))) {
            test_fail(__FILE__, __LINE__, "%s: %s", s->name, got);
        }
        eice_cred_wipe(&c);
    }
}

static void test_options(void)
{
    const box b = { ENV_KEYS "AWS_CA_BUNDLE=/a\nHTTPS_PROXY=http://p\n", NULL,
                    NULL };
    const eice_keys bad = { { "ASIA1", 5 }, { "s", 1 }, { NULL, 0 } };
    eice_cred_opts o;
    eice_cred c;

    memset(&o, 0, sizeof o);
    o.ca_bundle = "/mine";
    o.proxy = "";
    o.fips = true;
    o.dualstack = true;
    o.region = "us-east-1-fips";
    box_run(&b, &c, &o);
    CHECK_INT(c.error.code, EICE_OK);
    CHECK_TEXT(c.settings.ca_bundle, "/mine");
    CHECK_TEXT(c.settings.https_proxy, "");
    CHECK_TEXT(c.settings.region, "us-east-1");
    CHECK(c.settings.fips && c.settings.dualstack);
    eice_cred_wipe(&c);
    o.keys = &bad;
    box_run(&b, &c, &o);
    CHECK_INT(c.error.code, EICE_E_CREDENTIALS);
    CHECK(contains(c.error.text, "given: "));
    eice_cred_wipe(&c);
}

/* ---- proxies ----------------------------------------------------------- */

static void test_proxy_variables(void)
{
    static const struct {
        const char *env;
        const char *want; /* https|http|no */
    } table[] = {
        { "https_proxy=a\nHTTPS_PROXY=b\nHTTP_PROXY=c\n", "a|c|" },
        { "https_proxy=\nHTTPS_PROXY=b\n", "||" },
        { "HTTPS_PROXY=b\nREQUEST_METHOD=GET\nHTTP_PROXY=c\n", "b||" },
        { "http_proxy=d\nREQUEST_METHOD=GET\nHTTP_PROXY=c\n", "|d|" },
        { "ALL_PROXY=z\nhttp_proxy=\n", "z||" },
        { "all_proxy=y\nALL_PROXY=z\nNO_PROXY=n\n", "y|y|n" },
        { "no_proxy=\nNO_PROXY=n\n", "||" },
        { "no_proxy=m\nNO_PROXY=n\n", "||m" },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        const eice_keys keys = { { "AKIA", 4 }, { "s", 1 }, { NULL, 0 } };
        box b = { NULL, NULL, NULL };
        eice_cred_opts o;
        eice_cred c;
        char got[100];

        memset(&o, 0, sizeof o);
        o.keys = &keys;
        o.region_optional = true;
        b.env = table[i].env;
        box_run(&b, &c, &o);
        snprintf(got, sizeof got, "%s|%s|%s", c.settings.https_proxy,
                 c.settings.http_proxy, c.settings.no_proxy);
        CHECK_TEXT(got, table[i].want);
        eice_cred_wipe(&c);
    }
}

typedef struct bypass {
    const char *list;
    const char *host;
    uint16_t port;
    bool direct;
} bypass;

static const bypass bypasses[] = {
    { "", "ec2.eu-west-1.amazonaws.com", 443, false },
    { "*", "ec2.eu-west-1.amazonaws.com", 443, true },
    { "x.com,*", "a.b", 443, true },
    { "amazonaws.com", "ec2.eu-west-1.amazonaws.com", 443, true },
    { ".amazonaws.com", "ec2.eu-west-1.amazonaws.com", 443, true },
    { "*.amazonaws.com", "ec2.eu-west-1.amazonaws.com", 443, true },
    { "AmazonAWS.com", "ec2.eu-west-1.amazonaws.COM", 443, true },
    { "amazonaws.com.", "ec2.eu-west-1.amazonaws.com", 443, true },
    { "amazonaws.com", "ec2.eu-west-1.amazonaws.com.", 443, true },
    { "aws.com", "ec2.eu-west-1.amazonaws.com", 443, false },
    { "ec2.eu-west-1.amazonaws.com.cn", "ec2.eu-west-1.amazonaws.com", 443,
      false },
    { "a b\tamazonaws.com,c", "ec2.eu-west-1.amazonaws.com", 443, true },
    { ",, ,amazonaws.com", "x.amazonaws.com", 443, true },
    { "amazonaws.com:443", "x.amazonaws.com", 443, true },
    { "amazonaws.com:443", "x.amazonaws.com", 8443, false },
    { "amazonaws.com:x", "x.amazonaws.com", 443, false },
    { "com", "com", 443, true },
    { ".", "x.com", 443, false },
    { "10.0.0.0/8", "10.20.1.23", 443, true },
    { "10.0.0.0/8", "11.20.1.23", 443, false },
    { "10.0.0.0/8", "10.example.com", 443, false },
    { "192.168.4.0/22", "192.168.7.255", 443, true },
    { "192.168.4.0/22", "192.168.8.0", 443, false },
    { "0.0.0.0/0", "8.8.8.8", 443, true },
    { "10.0.0.0/33", "10.0.0.1", 443, false },
    { "10.0.0.0/", "10.0.0.1", 443, false },
    { "2001:db8::/32", "2001:db8:1::5", 443, true },
    { "2001:db8::/32", "2001:db9::5", 443, false },
    { "::/0", "10.0.0.1", 443, false },
    { "2001:db8::5", "2001:db8:0::5", 443, true },
    { "[2001:db8::5]", "2001:db8::5", 443, true },
    { "[2001:db8::5]:8443", "2001:db8::5", 8443, true },
    { "[2001:db8::5]:8443", "2001:db8::5", 443, false },
    { "[2001:db8::5]x", "2001:db8::5", 443, false },
    { "10.0.0.1", "10.0.0.1", 443, true },
    { "10.0.0.1:443", "10.0.0.1", 443, true },
    { "0.0.1", "10.0.0.1", 443, false },
    { "", "127.0.0.1", 443, true },
    { "", "127.9.9.9", 443, true },
    { "", "::1", 443, true },
    { "", "localhost", 4566, true },
    { "", "LOCALHOST.", 4566, true },
    { "", "169.254.169.254", 80, true },
    { "", "169.253.169.254", 80, false },
    { "", "fe80::1", 80, true },
    { "", "febf::1", 80, true },
    { "", "fec0::1", 80, false },
    { "", "fd00:ec2::254", 80, true },
    { "", "fd00:ec3::254", 80, false },
};

static void test_bypass(void)
{
    size_t i;

    for (i = 0; i < sizeof bypasses / sizeof bypasses[0]; i++) {
        const bypass *t = &bypasses[i];
        guard host = guard_copy(t->host, strlen(t->host));
        eice_settings s;
        eice_error e;
        eice_url url;

        memset(&e, 0, sizeof e);
        eice_settings_init(&s);
        s.https_proxy = "http://proxy:3128";
        s.no_proxy = t->list;
        if (eice_proxy_for(&s, true, eice_str_make(host.ptr, strlen(t->host)),
                           t->port, &url, &e) == t->direct) {
            test_fail(__FILE__, __LINE__, "\"%s\" and %s:%u", t->list, t->host,
                      t->port);
        }
        CHECK_INT(e.code, EICE_OK);
        guard_free(&host);
    }
}

static void test_proxy_urls(void)
{
    static const struct {
        const char *text;
        const char *want; /* tls user host port, or NULL: malformed */
    } table[] = {
        { "http://proxy.corp:3128", "0||proxy.corp|3128" },
        { "http://proxy.corp", "0||proxy.corp|80" },
        { "https://proxy.corp", "1||proxy.corp|443" },
        { "proxy.corp:3128", "0||proxy.corp|3128" },
        { " proxy.corp ", "0||proxy.corp|80" },
        { "u%40x:p%3aw@proxy.corp:8080", "0|u%40x:p%3aw|proxy.corp|8080" },
        { "http://u:p@proxy.corp:8080/", "0|u:p|proxy.corp|8080" },
        { "[2001:db8::1]:3128", "0||2001:db8::1|3128" },
        { "HTTP://P:1", "0||P|1" },
        { "socks5://proxy:1080", NULL },
        { "ws://proxy:1080", NULL },
        { "http://", NULL },
        { "proxy:port", NULL },
        { "u:secret@pro xy:1", NULL },
    };
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        const eice_str host = eice_str_c("ec2.eu-west-1.amazonaws.com");
        eice_settings s;
        eice_error e;
        eice_url url;
        char got[200];

        memset(&e, 0, sizeof e);
        eice_settings_init(&s);
        s.https_proxy = table[i].text;
        s.http_proxy = "http://other";
        if (eice_proxy_for(&s, true, host, 443, &url, &e)) {
            snprintf(got, sizeof got, "%d|%.*s|%.*s|%u", url.tls,
                     (int)url.user.len, url.user.len > 0 ? url.user.ptr : "",
                     (int)url.host.len, url.host.ptr, url.port);
            CHECK_TEXT(got, table[i].want == NULL ? "(error)" : table[i].want);
            CHECK(url.host.ptr >= table[i].text
                  && url.host.ptr < table[i].text + strlen(table[i].text));
            CHECK(url.path.len > 0);
        } else {
            CHECK(table[i].want == NULL);
            CHECK_INT(e.code, EICE_E_CONFIG);
            CHECK(!contains(e.text, "secret"));
        }
    }
}

static void test_proxy_plain(void)
{
    const eice_str host = eice_str_c("lab.example");
    eice_settings s;
    eice_error e;
    eice_url url;

    memset(&e, 0, sizeof e);
    eice_settings_init(&s);
    CHECK(!eice_proxy_for(&s, false, host, 80, &url, &e));
    s.https_proxy = "http://a";
    CHECK(!eice_proxy_for(&s, false, host, 80, &url, &e));
    s.http_proxy = "http://b";
    CHECK(eice_proxy_for(&s, false, host, 80, &url, &e));
    CHECK_STR(url.host, "b");
    CHECK_INT(e.code, EICE_OK);
}

/* ---- limits and failures ----------------------------------------------- */

#define BIG_BOX                                                               \
    { ENV_KEYS EUW "AWS_SESSION_TOKEN=0123456789012345678901234567890123\n",  \
      "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=s1\n", LAB }

static void test_memory(void)
{
    const box b = BIG_BOX;
    heap h = { 0, 0, false, 0, 0, 0 };
    eice_alloc alloc;
    eice_cred_opts o;
    eice_cred c;
    unsigned long calls;
    unsigned long n;

    alloc.resize = heap_resize;
    alloc.user = &h;
    memset(&o, 0, sizeof o);
    o.alloc = &alloc;
    box_run(&b, &c, &o);
    CHECK_INT(c.error.code, EICE_OK);
    eice_cred_wipe(&c);
    CHECK_INT(h.live, 0);
    calls = h.calls;
    CHECK(calls > 0);
    for (n = 1; n <= calls; n++) {
        h.calls = 0;
        h.fail_at = n;
        box_run(&b, &c, &o);
        CHECK_INT(c.error.code, EICE_E_MEMORY);
        eice_cred_wipe(&c);
        CHECK_INT(h.live, 0);
    }
}

/* Blocks with their size in front; what is given back is searched. */
typedef struct search {
    const char *secret;
    int found;
    int blocks;
} search;

static void *search_resize(void *user, void *memory, size_t size)
{
    search *s = (search *)user;
    size_t *block = memory == NULL ? NULL : (size_t *)memory - 2;
    size_t i;

    if (block != NULL) {
        for (i = 0; i + strlen(s->secret) <= block[0]; i++) {
            s->found += memcmp((char *)memory + i, s->secret,
                               strlen(s->secret)) == 0;
        }
        s->blocks++;
        free(block);
    }
    if (size == 0) {
        return NULL;
    }
    block = (size_t *)malloc(size + 2 * sizeof *block);
    if (block == NULL) {
        abort();
    }
    block[0] = size;
    return block + 2;
}

/* No secret is left behind, in the heap or in the struct. */
static void test_wiped(void)
{
    const box b = BIG_BOX;
    search s = { "senv", 0, 0 };
    eice_alloc alloc;
    eice_cred_opts o;
    eice_cred c;

    alloc.resize = search_resize;
    alloc.user = &s;
    memset(&o, 0, sizeof o);
    o.alloc = &alloc;
    box_run(&b, &c, &o);
    CHECK_STR(c.keys.secret_access_key, "senv");
    eice_cred_wipe(&c);
    CHECK(s.blocks >= 2);
    CHECK_INT(s.found, 0);
    CHECK(c.keys.secret_access_key.ptr == NULL);
    CHECK(c.priv.store.ptr == NULL && c.priv.env[EICEI_ENV_SECRET] == 0);
}

static void test_long_answers(void)
{
    static char big[EICEI_CRED_FILE_MAX + 2];
    static const char *const cases[] = { "env", "file", "nul", "path" };
    size_t i;

    memset(big, 'x', sizeof big);
    for (i = 0; i < 4; i++) {
        eice_cred_opts o;
        eice_cred c;
        eice_need n;

        memset(&o, 0, sizeof o);
        eice_cred_init(&c, &o);
        while (eice_cred_need(&c, &n)) {
            const bool env = n.kind == EICE_NEED_ENV;
            eice_answer a;

            memset(&a, 0, sizeof a);
            a.data = eice_str_make(big, n.max + 1);
            a.absent = true;
            if (i == 0 ? eice_str_is(n.name, "AWS_SESSION_TOKEN")
                       : i == 1 && !env) {
                a.absent = false;
            } else if (i == 2 && !env) {
                a.absent = false;
                a.data = eice_str_make("[x]\0", 4);
            } else if (i == 3 && eice_str_is(n.name, "AWS_CONFIG_FILE")) {
                a.absent = false;
                a.data = eice_str_make(big, 600);
            }
            eice_cred_answer(&c, n.id, &a);
        }
        CHECK(eice_cred_done(&c));
        if (c.error.code != (i < 2 ? EICE_E_LIMIT : EICE_E_CONFIG)) {
            test_fail(__FILE__, __LINE__, "%s: %s", cases[i], c.error.text);
        }
        eice_cred_wipe(&c);
    }
}

/* Every beginning of a pair of files: no crash, always an end. */
static void test_cut_files(void)
{
    static const char credentials[] =
        "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n"
        "[p]\naws_session_token = t\n";
    static const char config[] = LAB;
    size_t i;

    for (i = 0; i <= sizeof config - 1; i++) {
        char a[sizeof credentials];
        char b[sizeof config];
        box x = { EUW, NULL, NULL };
        eice_cred_opts o;
        eice_cred c;

        snprintf(a, sizeof a, "%.*s", (int)i, credentials);
        snprintf(b, sizeof b, "%.*s", (int)i, config);
        x.credentials = a;
        x.config = b;
        memset(&o, 0, sizeof o);
        box_run(&x, &c, &o);
        CHECK(c.error.code != EICE_OK || c.keys.access_key_id.len > 0);
        eice_cred_wipe(&c);
    }
}

/* One label, RFC 1123 2.1: what else a file says must not get into a host's
 * name. */
static void test_region_ok(void)
{
    static const char *const good[] = { "eu-west-1", "a", "us-gov-west-1",
                                        "mx-central-1", "x1" };
    static const char *const bad[] = { "", "-a", "a-", "eu_west_1", "EU-WEST-1",
                                       "eu-west-1.", "a.b", "a/b", "a b",
                                       "eu-west-1\n", "\xc3\xa9" };
    size_t i;

    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(eice_region_ok(eice_str_c(good[i])));
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!eice_region_ok(eice_str_c(bad[i])));
    }
    CHECK(!eice_region_ok(eice_str_make("a\0b", 3)));
}

static const test_case tests[] = {
    { "cred: the chain", test_chain },
    { "cred: a given token", test_given_token },
    { "cred: texts of errors", test_texts },
    { "cred: needs in any order", test_needs },
    { "cred: an unreadable file", test_unreadable },
    { "cred: settings", test_settings },
    { "cred: options", test_options },
    { "cred: proxy variables", test_proxy_variables },
    { "cred: proxy bypass", test_bypass },
    { "cred: proxy addresses", test_proxy_urls },
    { "cred: proxy for plain HTTP", test_proxy_plain },
    { "cred: each allocation fails", test_memory },
    { "cred: nothing secret is left", test_wiped },
    { "cred: names of Regions", test_region_ok },
    { "cred: too long", test_long_answers },
    { "cred: files cut off anywhere", test_cut_files },
};

TEST_MAIN(tests)
