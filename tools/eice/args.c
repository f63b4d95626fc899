/* Options: one table, two ways to read it (ours, and OpenSSH's letters). */
#include "cli.h"

/* What an option sets. */
typedef enum set_kind {
    SET_TEXT,    /* const char * in cli */
    SET_SECONDS, /* uint32_t seconds */
    SET_MS,      /* uint32_t milliseconds, given in seconds */
    SET_FLAG,    /* bool */
    SET_RULE,    /* --connect-to */
    SET_POLICY,
    SET_PORT,
    SET_VERBOSE,
    SET_TTY,
    SET_NO_TTY,
    SET_ESCAPE,
    SET_OPENSSH, /* -o Name=value */
    SET_IGNORED, /* accepted, no effect here */
    SET_HELP
} set_kind;

typedef struct option {
    char letter;         /* 0: none */
    const char *name;    /* NULL: letter only */
    const char *value;   /* name of its value, NULL: takes none */
    const char *commands; /* where it is valid; NULL: everywhere */
    const char *help;    /* NULL: not listed */
    set_kind kind;
    size_t offset;       /* of what it sets */
    uint64_t least;
    uint64_t most;
} option;

#define AT(field) offsetof(cli, field)

static const option options[] = {
    {0, "region", "REGION", NULL, "AWS Region", SET_TEXT, AT(conn.region), 0, 0},
    {0, "profile", "NAME", NULL, "profile of the AWS files", SET_TEXT,
     AT(conn.profile), 0, 0},
    {0, "endpoint-id", "ID", NULL, "EC2 Instance Connect Endpoint to use",
     SET_TEXT, AT(conn.endpoint_id), 0, 0},
    {0, "endpoint-dns", "NAME", NULL, "its DNS name (with --endpoint-id)",
     SET_TEXT, AT(conn.endpoint_dns), 0, 0},
    {0, "private-ip", "ADDRESS", NULL, "address of the instance", SET_TEXT,
     AT(conn.private_ip), 0, 0},
    {0, "max-tunnel-duration", "S", NULL, "life of the tunnel, 1 to 3600",
     SET_SECONDS, AT(conn.max_tunnel_duration_s), 1, 3600},
    {0, "ca-bundle", "FILE", NULL, "trust these certificates only", SET_TEXT,
     AT(conn.ca_bundle), 0, 0},
    {0, "connect-to", "H:P:A:P", NULL,
     "connect to A:P instead of H:P, as curl does; repeatable", SET_RULE, 0, 0,
     0},
    {0, "proxy", "URL", NULL, "HTTP proxy for everything", SET_TEXT,
     AT(conn.proxy), 0, 0},
    {0, "fips", NULL, NULL, "FIPS endpoints", SET_FLAG, AT(conn.fips), 0, 0},
    {0, "dualstack", NULL, NULL, "dual-stack endpoints", SET_FLAG,
     AT(conn.dualstack), 0, 0},
    {0, "connect-timeout", "S", NULL, "for each TCP, proxy or TLS step",
     SET_MS, AT(conn.connect_timeout_ms), 1, 3600},
    {0, "answer-timeout", "S", NULL,
     "for each answer of AWS, the instance and its sshd", SET_MS,
     AT(conn.answer_timeout_ms), 1, 3600},
    {0, "json", NULL, NULL, "answers and errors as JSON", SET_FLAG, AT(json),
     0, 0},
    {'v', "verbose", NULL, NULL, "say what happens, a line a phase",
     SET_VERBOSE, 0, 0, 0},
    {'q', "quiet", NULL, NULL, "errors only", SET_FLAG, AT(quiet), 0, 0},
    {'h', "help", NULL, NULL, "this text", SET_HELP, 0, 0, 0},
    {0, "hostkey-policy", "P", "ssh",
     "tofu (default), strict or off: what to do about unknown host keys",
     SET_POLICY, 0, 0, 0},
    {0, "known-hosts", "FILE", "ssh", "host keys", SET_TEXT,
     AT(conn.known_hosts), 0, 0},
    {'l', "user", "NAME", "ssh push-key", "login on the instance (ec2-user)",
     SET_TEXT, AT(conn.user), 0, 0},
    {'p', "port", "PORT", "ssh", "port on the instance (22)", SET_PORT,
     AT(conn.port), 1, 65535},
    {'t', NULL, NULL, "ssh", "ask for a terminal; twice: in any case",
     SET_TTY, 0, 0, 0},
    {'T', NULL, NULL, "ssh", "no terminal", SET_NO_TTY, 0, 0, 0},
    {'n', NULL, NULL, "ssh", "stdin is empty", SET_FLAG, AT(no_stdin), 0, 0},
    {'s', NULL, NULL, "ssh", "the command is a subsystem, such as sftp",
     SET_FLAG, AT(subsystem), 0, 0},
    {'e', NULL, "CHAR", "ssh", "escape character (~), or none", SET_ESCAPE, 0,
     0, 0},
    {'o', NULL, "NAME=VALUE", "ssh", "an option in ssh_config's words",
     SET_OPENSSH, 0, 0, 0},
    {'x', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'a', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'C', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'4', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {0, "push", "USER[:KEY]", "proxy",
     "push a public key first: a file, or agent", SET_TEXT, AT(push), 0, 0},
    {0, "agent-socket", "PATH", "proxy",
     "serve an ephemeral key there, for IdentityAgent", SET_TEXT,
     AT(agent_socket), 0, 0},
    {0, "idle", "S", "proxy",
     "end so long after the end of stdin without data (0: never)", SET_MS,
     AT(idle_ms), 0, 86400},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

/* ssh_config words that mean something here, as -o gives them. */
typedef struct openssh_word {
    const char *name;
    const char *as;      /* long option, or NULL: see word_policy etc. */
} openssh_word;

static const openssh_word openssh_words[] = {
    {"User", "user"},
    {"Port", "port"},
    {"ConnectTimeout", "connect-timeout"},
    {"UserKnownHostsFile", "known-hosts"},
};

/* Accepted for the sake of scripts: they ask for what is so anyway, or for
 * what has no meaning in a tunnel. */
static const char *const openssh_ignored[] = {
    "BatchMode", "IdentitiesOnly", "IdentityFile", "PasswordAuthentication",
    "KbdInteractiveAuthentication", "PreferredAuthentications", "LogLevel",
    "ForwardX11", "ForwardX11Trusted", "ForwardAgent", "Compression",
    "ControlMaster", "ControlPath", "ControlPersist", "ClearAllForwardings",
    "PermitLocalCommand", "RemoteCommand", "TCPKeepAlive", "AddressFamily",
    "ServerAliveCountMax", "GSSAPIAuthentication", "SendEnv",
    "PubkeyAuthentication", "CheckHostIP", "GlobalKnownHostsFile",
};

int cli_usage_error(const cli *c, const char *what, const char *value)
{
    const bool ssh = c->command != NULL && strcmp(c->command, "ssh") == 0;
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG, "%s%s%s", what,
              value != NULL ? ": " : "", value != NULL ? value : "");
    snprintf(e.remedy, sizeof e.remedy, "see eice %s%s--help",
             c->command != NULL ? c->command : "",
             c->command != NULL ? " " : "");
    cli_report(c, &e);
    return ssh ? CLI_SSH_FAILED : CLI_USAGE;
}

static bool word_in(const char *list, const char *word)
{
    const size_t n = strlen(word);
    const char *p = list;

    while ((p = strstr(p, word)) != NULL) {
        if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) {
            return true;
        }
        p += n;
    }
    return false;
}

static bool option_here(const option *o, const char *command)
{
    return o->commands == NULL
           || (command != NULL && word_in(o->commands, command));
}

void cli_print_options(FILE *out, const char *command)
{
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];
        char left[64];

        if (o->help == NULL || !option_here(o, command)) {
            continue;
        }
        snprintf(left, sizeof left, "%c%c%s%s%s%s%s",
                 o->letter != 0 ? '-' : ' ', o->letter != 0 ? o->letter : ' ',
                 o->letter != 0 && o->name != NULL ? ", " : "  ",
                 o->name != NULL ? "--" : "", o->name != NULL ? o->name : "",
                 o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        fprintf(out, "  %-28s %s\n", left, o->help);
    }
}

/* ---- setting ----------------------------------------------------------- */

static int set_number(cli *c, const option *o, const char *value)
{
    uint64_t n;
    void *at = (char *)c + o->offset;

    if (!eice_str_u64(eice_str_c(value), o->most, &n) || n < o->least) {
        char what[96];

        snprintf(what, sizeof what, "%s%s takes a number from %u to %u",
                 o->name != NULL ? "--" : "-",
                 o->name != NULL ? o->name : "option", (unsigned)o->least,
                 (unsigned)o->most);
        return cli_usage_error(c, what, value);
    }
    if (o->kind == SET_PORT) {
        const uint16_t port = (uint16_t)n;

        memcpy(at, &port, sizeof port);
    } else {
        const uint32_t number = (uint32_t)(o->kind == SET_MS ? n * 1000 : n);

        memcpy(at, &number, sizeof number);
    }
    return -1;
}

static int set_policy(cli *c, const char *value)
{
    static const struct {
        const char *word;
        eice_policy policy;
    } words[] = {
        {"tofu", EICE_POLICY_TOFU},        {"strict", EICE_POLICY_STRICT},
        {"off", EICE_POLICY_OFF},          {"accept-new", EICE_POLICY_TOFU},
        {"yes", EICE_POLICY_STRICT},       {"no", EICE_POLICY_OFF},
        {"ask", EICE_POLICY_TOFU},
    };
    size_t i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, value) == 0) {
            c->conn.policy = words[i].policy;
            return -1;
        }
    }
    return cli_usage_error(c, "no such host key policy (tofu, strict, off)",
                           value);
}

static int set_rule(cli *c, const char *value)
{
    if (c->conn.connect_to_count == CLI_CONNECT_TO) {
        return cli_usage_error(c, "too many --connect-to", value);
    }
    c->connect_to[c->conn.connect_to_count++] = value;
    return -1;
}

static int set_escape(cli *c, const char *value)
{
    if (strcmp(value, "none") == 0) {
        c->escape = 0;
    } else if (value[0] == '^' && value[1] != 0 && value[2] == 0) {
        c->escape = (char)(value[1] & 0x1f);
    } else if (value[0] != 0 && value[1] == 0) {
        c->escape = value[0];
    } else {
        return cli_usage_error(c, "bad escape character", value);
    }
    return -1;
}

static const option *option_named(const char *name, size_t len,
                                  const char *command);
static int set_option(cli *c, const option *o, const char *value);

/* -o Name=value, or "Name value". */
static int set_openssh(cli *c, const char *text)
{
    const size_t n = strcspn(text, "= \t");
    const char *value = text + n + strspn(text + n, "= \t");
    const eice_str name = eice_str_make(text, n);
    size_t i;

    for (i = 0; i < sizeof openssh_words / sizeof openssh_words[0]; i++) {
        if (eice_str_is_nocase(name, openssh_words[i].name)) {
            const char *as = openssh_words[i].as;

            return set_option(c, option_named(as, strlen(as), "ssh"), value);
        }
    }
    if (eice_str_is_nocase(name, "StrictHostKeyChecking")) {
        return set_policy(c, value);
    }
    if (eice_str_is_nocase(name, "RequestTTY")) {
        c->tty = strcmp(value, "no") == 0      ? CLI_TTY_NO
                 : strcmp(value, "force") == 0 ? CLI_TTY_FORCE
                 : strcmp(value, "yes") == 0   ? CLI_TTY_YES
                                               : CLI_TTY_AUTO;
        return -1;
    }
    if (eice_str_is_nocase(name, "ServerAliveInterval")) {
        uint64_t s;

        if (eice_str_u64(eice_str_c(value), 86400, &s)) {
            c->conn.keepalive_ms = s == 0 ? UINT32_MAX : (uint32_t)s * 1000;
            return -1;
        }
    }
    for (i = 0; i < sizeof openssh_ignored / sizeof openssh_ignored[0]; i++) {
        if (eice_str_is_nocase(name, openssh_ignored[i])) {
            return -1;
        }
    }
    return cli_usage_error(c, "-o: this is not supported", text);
}

static int set_option(cli *c, const option *o, const char *value)
{
    switch (o->kind) {
    case SET_TEXT:
        memcpy((char *)c + o->offset, &value, sizeof value);
        return -1;
    case SET_SECONDS:
    case SET_MS:
    case SET_PORT:
        return set_number(c, o, value);
    case SET_FLAG:
        *((char *)c + o->offset) = 1;
        return -1;
    case SET_RULE:
        return set_rule(c, value);
    case SET_POLICY:
        return set_policy(c, value);
    case SET_VERBOSE:
        c->verbose++;
        return -1;
    case SET_TTY:
        c->tty = c->tty == CLI_TTY_YES ? CLI_TTY_FORCE : CLI_TTY_YES;
        return -1;
    case SET_NO_TTY:
        c->tty = CLI_TTY_NO;
        return -1;
    case SET_ESCAPE:
        return set_escape(c, value);
    case SET_OPENSSH:
        return set_openssh(c, value);
    case SET_IGNORED:
        return -1;
    case SET_HELP:
        break;
    }
    return CLI_OK;
}

/* ---- reading ----------------------------------------------------------- */

static const option *option_named(const char *name, size_t len,
                                  const char *command)
{
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        if (options[i].name != NULL && strlen(options[i].name) == len
            && memcmp(options[i].name, name, len) == 0
            && option_here(&options[i], command)) {
            return &options[i];
        }
    }
    return NULL;
}

static const option *option_lettered(char letter, const char *command)
{
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        if (options[i].letter == letter && option_here(&options[i], command)) {
            return &options[i];
        }
    }
    return NULL;
}

static int read_long(cli *c, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    const size_t n = strcspn(text, "=");
    const option *o = option_named(text, n, c->command);
    const char *value = text[n] == '=' ? text + n + 1 : NULL;

    if (o == NULL) {
        return cli_usage_error(c, "no such option", argv[*at]);
    }
    if (o->value == NULL && value != NULL) {
        return cli_usage_error(c, "this option takes no value", argv[*at]);
    }
    if (o->value != NULL && value == NULL) {
        if (*at + 1 == argc) {
            return cli_usage_error(c, "this option needs a value", argv[*at]);
        }
        value = argv[++*at];
    }
    return set_option(c, o, value);
}

/* -vp22 is -v -p 22. */
static int read_letters(cli *c, int argc, char **argv, int *at)
{
    const char *p;
    int status = -1;

    for (p = argv[*at] + 1; *p != 0 && status < 0; p++) {
        const option *o = option_lettered(*p, c->command);
        char name[3] = {'-', *p, 0};

        if (o == NULL) {
            return cli_usage_error(c, "no such option", name);
        }
        if (o->value == NULL) {
            status = set_option(c, o, NULL);
            continue;
        }
        if (p[1] == 0 && *at + 1 == argc) {
            return cli_usage_error(c, "this option needs a value", name);
        }
        return set_option(c, o, p[1] != 0 ? p + 1 : argv[++*at]);
    }
    return status;
}

/* Options at argv[*at] and behind, up to the first operand; "--" ends them
 * and *ended tells so. */
static int read_options(cli *c, int argc, char **argv, int *at, bool *ended)
{
    int status = -1;

    for (; *at < argc && status < 0; ++*at) {
        const char *arg = argv[*at];

        if (strcmp(arg, "--") == 0) {
            ++*at;
            *ended = true;
            return -1;
        }
        if (arg[0] != '-' || arg[1] == 0) {
            return -1;
        }
        status = arg[1] == '-' ? read_long(c, argc, argv, at)
                               : read_letters(c, argc, argv, at);
    }
    return status;
}

int cli_parse_global(cli *c, int argc, char **argv, int *status)
{
    bool ended = false;
    int at = 1;

    *status = read_options(c, argc, argv, &at, &ended);
    return *status >= 0 ? -1 : at;
}

static int print_help(const cli_command *command)
{
    printf("usage: eice %s %s\n\n%s\n\noptions:\n", command->name,
           command->usage, command->summary);
    cli_print_options(stdout, command->name);
    return CLI_OK;
}

/* user@target: the last @ divides. */
static void split_user(cli *c, char **target)
{
    char *at = strrchr(*target, '@');

    if (at == NULL || at == *target) {
        return;
    }
    snprintf(c->user, sizeof c->user, "%.*s", (int)(at - *target), *target);
    if (c->conn.user == NULL) {
        c->conn.user = c->user;
    }
    *target = at + 1;
}

int cli_parse(cli *c, const cli_command *command, int argc, char **argv)
{
    const bool ssh = strcmp(command->name, "ssh") == 0;
    bool ended = false;
    int at = 0;
    int count = 0;
    int status;

    do {
        status = read_options(c, argc, argv, &at, &ended);
        if (status >= 0) {
            return status == CLI_OK ? print_help(command) : status;
        }
        /* ssh: one operand, then options again, then the remote command */
        if (ssh && count > 0) {
            break;
        }
        if (at < argc) {
            argv[count++] = argv[at++];
        }
        if (ssh && ended) {
            break;
        }
    } while (at < argc && !ended);
    while (at < argc) {
        argv[count++] = argv[at++];
    }
    c->argc = count;
    c->argv = argv;
    if (count > 0) {
        split_user(c, &argv[0]);
        c->conn.target = argv[0];
    }
    return -1;
}
