/* Options: one table, two ways to read it (ours, and OpenSSH's letters). */
#include "cli.h"

/* What an option sets. */
typedef enum set_kind {
    SET_TEXT,    /* const char * in cli */
    SET_SECONDS, /* uint32_t seconds */
    SET_MS,      /* uint32_t milliseconds, given in seconds */
    SET_FLAG,    /* bool */
    SET_RULE,    /* --connect-to */
    SET_WORDS,   /* cli_words: given as often as wanted */
    SET_CHOICE,  /* const char *, one of the words of `value` */
    SET_POLICY,
    SET_KEY_TYPE,
    SET_PORT,
    SET_VERBOSE,
    SET_TTY,
    SET_NO_TTY,
    SET_ESCAPE,
    SET_OPENSSH, /* -o Name=value */
    SET_FAMILY,
    SET_YES_NO,  /* bool, from a word of ssh_config */
    SET_TTY_WORD,
    SET_ALIVE,
    SET_REKEY,   /* bytes and a time, the rest of the line */
    SET_LEVEL,
    SET_SESSION,
    SET_REST,    /* const char *: the rest of the line */
    SET_SEND_ENV,
    SET_SET_ENV,
    SET_IDENTITY,
    SET_FORWARD, /* `least`: L, D or R */
    SET_IGNORED, /* accepted, no effect here */
    SET_WITHOUT, /* said to be missing; `help` has what */
    SET_REFUSED, /* an error; `help` has why */
    SET_DIRECT,
    SET_EICE,    /* --eice-options */
    SET_QUERY,   /* answered at once: -V, -Q */
    SET_HELP
} set_kind;

typedef struct option {
    char letter;         /* 0: none */
    const char *name;    /* NULL: letter only */
    const char *value;   /* name of its value, NULL: takes none */
    const char *commands; /* where it is valid; NULL: everywhere */
    const char *help;    /* NULL: not listed */
    unsigned kind : 6;   /* a set_kind; small, as all here: rows are many */
    unsigned offset : 16; /* of what it sets */
    unsigned least : 10;
    uint32_t most;
} option;

#define AT(field) offsetof(cli, field)
#define AWS "open-tunnel ec2-ssh ec2-send"

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
     SET_VERBOSE, AT(verbose), 0, 0},
    {'q', "quiet", NULL, NULL, "errors only", SET_FLAG, AT(quiet), 0, 0},
    {'h', "help", NULL, NULL, "this text", SET_HELP, 0, 0, 0},
    {0, "hostkey-policy", "P",
     "ssh cp forward serial doctor enroll ssh-config policy",
     "auto (default), console, tofu, strict, off: unknown host keys",
     SET_POLICY, AT(conn.policy), 0, 0},
    {0, "host-key", "SHA256:...", "ssh cp forward serial",
     "the only host key accepted", SET_TEXT, AT(conn.host_key), 0, 0},
    {0, "serial-host", "NAME", "serial",
     "the console host, instead of that of the Region", SET_TEXT,
     AT(conn.serial_host), 0, 0},
    {0, "host-pattern", "PATTERN", "ssh-config",
     "hosts of the stanza without targets (i-*)", SET_TEXT, AT(host_pattern),
     0, 0},
    {0, "identity", "FILE", "ssh-config",
     "private key for OpenSSH; FILE.pub is pushed", SET_TEXT, AT(identity), 0,
     0},
    {'i', NULL, "FILE", "ssh cp forward",
     "log in with this key, not a new one; agent[:WORD]: of the ssh-agent",
     SET_TEXT, AT(user_key), 0, 0},
    {0, "key-type", "TYPE", "ssh cp forward serial doctor enroll proxy",
     "of the key made for the login: ed25519 (default), rsa (FIPS hosts)",
     SET_KEY_TYPE, AT(conn.key_type), 0, 0},
    {0, "known-hosts", "FILE",
     "ssh cp forward serial ssh-config doctor enroll proxy", "host keys",
     SET_TEXT, AT(conn.known_hosts), 0, 0},
    {'l', "user", "NAME",
     "ssh forward push-key ssh-config doctor policy enroll",
     "login on the instance (ec2-user)",
     SET_TEXT, AT(conn.user), 0, 0},
    {'p', "port", "PORT", "ssh ssh-config doctor policy enroll",
     "port on the instance (22)", SET_PORT, AT(conn.port), 1, 65535},
    {'P', "port", "PORT", "cp", "port on the instances (22)", SET_PORT,
     AT(conn.port), 1, 65535},
    {'r', "recursive", NULL, "cp", "directories and what is in them",
     SET_FLAG, AT(cp.recursive), 0, 0},
    {'p', "preserve", NULL, "cp", "keep times and modes", SET_FLAG,
     AT(cp.preserve), 0, 0},
    {'l', "limit", "KBIT", "cp", "at most so many Kbit/s", SET_SECONDS,
     AT(cp.limit), 1, UINT32_MAX},
    {0, "resume", NULL, "cp", "keep unfinished parts, continue those kept",
     SET_FLAG, AT(cp.resume), 0, 0},
    {0, "checksum", NULL, "cp", "read back and compare every file copied",
     SET_FLAG, AT(cp.checksum), 0, 0},
    {'t', NULL, NULL, "ssh", "ask for a terminal; twice: in any case",
     SET_TTY, 0, 0, 0},
    {'T', NULL, NULL, "ssh", "no terminal", SET_NO_TTY, 0, 0, 0},
    {'n', NULL, NULL, "ssh", "stdin is empty", SET_FLAG, AT(no_stdin), 0, 0},
    {'s', NULL, NULL, "ssh", "the command is a subsystem, such as sftp",
     SET_FLAG, AT(subsystem), 0, 0},
    {'e', NULL, "CHAR", "ssh serial", "escape character (~), or none", SET_ESCAPE,
     AT(escape), 0, 0},
    {0, "direct", NULL, "ssh cp", "no endpoint: TCP to its public address",
     SET_DIRECT, AT(conn.route), 0, 0},
    {'4', NULL, NULL, "ssh cp", "IPv4 only", SET_FAMILY, AT(family), 4, 0},
    {'6', NULL, NULL, "ssh cp", "IPv6 only", SET_FAMILY, AT(family), 6, 0},
    {'A', NULL, NULL, "ssh", "let programs there use the ssh-agent of here",
     SET_FLAG, AT(forward_agent), 0, 0},
    {'a', NULL, NULL, "ssh", "do not, whatever ForwardAgent says", SET_FLAG,
     AT(forward_agent), 1, 0},
    {'J', NULL, "HOP,...", "ssh cp",
     "through these instances, each [user@]TARGET[:port]", SET_TEXT, AT(jump),
     0, 0},
    {'E', NULL, "FILE", "ssh", "append what eice says to this file",
     SET_TEXT, AT(log_file), 0, 0},
    {'F', NULL, "FILE", "ssh cp", "read this ssh_config; none is read otherwise",
     SET_TEXT, AT(config_file), 0, 0},
    {'G', NULL, NULL, "ssh", "show the settings in effect and end", SET_FLAG,
     AT(show_config), 0, 0},
    {'Q', NULL, "WHAT", "ssh", "list what is known: cipher, mac, kex, key",
     SET_QUERY, AT(query), 0, 0},
    {'V', NULL, NULL, "ssh", "show the version", SET_QUERY, AT(query), 0, 0},
    {'L', NULL, "[A:]PORT:HOST:PORT", "ssh forward",
     "listen here, connect from there; UNIX sockets too", SET_FORWARD, 0, 'L',
     0},
    {'R', NULL, "[A:]PORT[:HOST:PORT]", "ssh forward",
     "listen there, connect from here; without HOST as -D does", SET_FORWARD,
     0, 'R', 0},
    {'D', NULL, "[A:]PORT", "ssh forward",
     "listen for SOCKS and HTTP CONNECT", SET_FORWARD, 0, 'D', 0},
    {'W', NULL, "HOST:PORT", "ssh", "stdin and stdout are the connection",
     SET_TEXT, AT(stdio_to), 0, 0},
    {'N', NULL, NULL, "ssh", "no command, forwards only", SET_FLAG,
     AT(no_command), 0, 0},
    {'f', NULL, NULL, "ssh", "go to the background after the login",
     SET_FLAG, AT(background), 0, 0},
    {'g', NULL, NULL, "ssh forward", "let other hosts use the forwards",
     SET_FLAG, AT(gateway), 0, 0},
    {0, "ready-fd", "N", "forward", "tell there, in JSON, when it works",
     SET_SECONDS, AT(ready_fd), 1, 1023},
    {0, "max-connections", "N", "forward", "so many at a time (60)",
     SET_SECONDS, AT(max_connections), 1, CLI_RELAYS},
    {'o', NULL, "NAME=VALUE", "ssh cp", "an option in ssh_config's words",
     SET_OPENSSH, 0, 0, 0},
    {'O', NULL, "COMMAND", "ssh", NULL, SET_TEXT, AT(control), 0, 0},
    {'S', NULL, "PATH", "ssh", NULL, SET_TEXT, AT(control_path), 0, 0},
    {'M', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'C', NULL, NULL, "ssh cp", NULL, SET_IGNORED, 0, 0, 0},
    {'3', NULL, NULL, "cp", NULL, SET_IGNORED, 0, 0, 0},
    {'B', NULL, NULL, "cp", NULL, SET_IGNORED, 0, 0, 0},
    {'s', NULL, NULL, "cp", NULL, SET_IGNORED, 0, 0, 0},
    {'T', NULL, NULL, "cp", NULL, SET_IGNORED, 0, 0, 0},
    {'O', NULL, NULL, "cp", "-O: SFTP only, not the old protocol of scp",
     SET_REFUSED, 0, 0, 0},
    {'K', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'k', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'x', NULL, NULL, "ssh", NULL, SET_IGNORED, 0, 0, 0},
    {'X', NULL, NULL, "ssh", "X11 forwarding", SET_WITHOUT, 0, 0, 0},
    {'Y', NULL, NULL, "ssh", "X11 forwarding", SET_WITHOUT, 0, 0, 0},
    {'I', NULL, NULL, "ssh", "-I: PKCS#11 keys are not supported",
     SET_REFUSED, 0, 0, 0},
    {'B', NULL, NULL, "ssh", "-B: an interface cannot be chosen",
     SET_REFUSED, 0, 0, 0},
    {'b', NULL, NULL, "ssh", "-b: the local address cannot be chosen",
     SET_REFUSED, 0, 0, 0},
    {'c', NULL, "LIST", "ssh cp", "ciphers, commas between them", SET_TEXT,
     AT(conn.ciphers), 0, 0},
    {'m', NULL, "LIST", "ssh cp", "MACs", SET_TEXT, AT(conn.macs), 0, 0},
    {'w', NULL, NULL, "ssh", "-w: an endpoint carries no tun devices",
     SET_REFUSED, 0, 0, 0},
    {'y', NULL, NULL, "ssh", "-y: no syslog here; -E FILE writes a file",
     SET_REFUSED, 0, 0, 0},
    /* the AWS CLI's words */
    {0, "instance-id", "ID", "open-tunnel ec2-ssh ec2-send", "the instance",
     SET_TEXT, AT(conn.target), 0, 0},
    {0, "instance-ip", "ADDRESS", "ec2-ssh", "its address", SET_TEXT,
     AT(conn.private_ip), 0, 0},
    {0, "private-ip-address", "ADDRESS", "open-tunnel", "its address",
     SET_TEXT, AT(conn.private_ip), 0, 0},
    {0, "instance-connect-endpoint-id", "ID", "open-tunnel",
     "as --endpoint-id", SET_TEXT, AT(conn.endpoint_id), 0, 0},
    {0, "instance-connect-endpoint-dns-name", "NAME", "open-tunnel",
     "as --endpoint-dns", SET_TEXT, AT(conn.endpoint_dns), 0, 0},
    {0, "remote-port", "PORT", "open-tunnel", "port on the instance (22)",
     SET_PORT, AT(conn.port), 1, 65535},
    {0, "local-port", "PORT", "open-tunnel",
     "listen there, with a tunnel for each connection; 0: any", SET_PORT,
     AT(local_port), 0, 65535},
    {0, "max-websocket-connections", "N", "open-tunnel",
     "connections at a time, 1 to 20 (10)", SET_SECONDS,
     AT(max_connections), 1, 20},
    {0, "os-user", "NAME", "ec2-ssh", "login (ec2-user)", SET_TEXT,
     AT(conn.user), 0, 0},
    {0, "instance-os-user", "NAME", "ec2-send", "login", SET_TEXT,
     AT(conn.user), 0, 0},
    {0, "ssh-port", "PORT", "ec2-ssh", "port on the instance (22)", SET_PORT,
     AT(conn.port), 1, 65535},
    {0, "connection-type", "TYPE", "ec2-ssh", "direct, eice or auto", SET_TEXT,
     AT(connection_type), 0, 0},
    {0, "eice-options", "OPTIONS", "ec2-ssh",
     "maxTunnelDuration=S,endpointId=ID,dnsName=NAME, or as JSON", SET_EICE,
     0, 0, 0},
    {0, "local-forwarding", "SPEC", "ec2-ssh", "as -L of ssh", SET_FORWARD, 0,
     'L', 0},
    {0, "private-key-file", "FILE", "ec2-ssh", "as -i of ssh", SET_TEXT,
     AT(user_key), 0, 0},
    {0, "ssh-public-key", "KEY", "ec2-send", "the key, or file://FILE",
     SET_TEXT, AT(push), 0, 0},
    {0, "availability-zone", "ZONE", "ec2-send", NULL, SET_IGNORED, 0, 0, 0},
    {0, "output", "FORMAT", AWS, NULL, SET_TEXT, AT(output), 0, 0},
    {0, "debug", NULL, AWS, NULL, SET_VERBOSE, AT(verbose), 0, 0},
    {0, "no-cli-pager", NULL, AWS, NULL, SET_IGNORED, 0, 0, 0},
    {0, "cli-connect-timeout", "S", AWS, NULL, SET_MS,
     AT(conn.connect_timeout_ms), 1, 3600},
    {0, "cli-read-timeout", "S", AWS, NULL, SET_MS,
     AT(conn.answer_timeout_ms), 1, 3600},
    {0, "for", "USE", "policy", "ssh (default), forward, doctor, enroll, serial",
     SET_TEXT, AT(use), 0, 0},
    {0, "format", "FORMAT", "policy", "json (default) or terraform", SET_TEXT,
     AT(output), 0, 0},
    {0, "check", NULL, "policy", "ask AWS what of it is not allowed", SET_FLAG,
     AT(check), 0, 0},
    {0, "all", NULL, "doctor enroll",
     "doctor: go on after what fails; enroll: all that run", SET_FLAG, AT(all),
     0, 0},
    {0, "push", "USER[:KEY]", "proxy",
     "push a public key first: a file, or agent", SET_TEXT, AT(push), 0, 0},
    {0, "agent-socket", "PATH", "proxy",
     "serve an ephemeral key there, for IdentityAgent", SET_TEXT,
     AT(agent_socket), 0, 0},
    {0, "group", "SG", "endpoint enroll",
     "security group of the endpoint; repeatable", SET_WORDS,
     AT(point.groups), 0, 0},
    {0, "tag", "KEY=VALUE", "endpoint enroll", "tag of a new endpoint; repeatable",
     SET_WORDS, AT(point.tags), 0, 0},
    {0, "preserve-client-ip", "yes|no", "endpoint enroll",
     "whether instances see the client's address", SET_CHOICE,
     AT(point.preserve), 0, 0},
    {0, "ip-address-type", "ipv4|ipv6|dualstack", "endpoint enroll",
     "of the endpoint; as the subnet if not given", SET_CHOICE,
     AT(point.ip_type), 0, 0},
    {0, "client-token", "TOKEN", "endpoint",
     "makes create repeatable: the same token, the same endpoint", SET_TEXT,
     AT(point.token), 0, 0},
    {0, "wait", NULL, "endpoint", "until it is done", SET_FLAG,
     AT(point.wait), 0, 0},
    {0, "timeout", "S", "endpoint enroll", "of waiting for it (900)", SET_MS,
     AT(point.timeout_ms), 1, 86400},
    {0, "subnet", "ID", "enroll", "of a new endpoint (the instance's)",
     SET_TEXT, AT(point.subnet), 0, 0},
    {0, "no-rules", NULL, "enroll policy", "leave security groups alone", SET_FLAG,
     AT(point.no_rules), 0, 0},
    {0, "no-test", NULL, "enroll policy", "do not try to log in", SET_FLAG,
     AT(point.no_test), 0, 0},
    {0, "ssh-config", NULL, "enroll", "add a stanza to ~/.ssh/config",
     SET_FLAG, AT(point.stanza), 0, 0},
    {0, "undo", NULL, "enroll policy", "take away what enroll made", SET_FLAG,
     AT(undo), 0, 0},
    {0, "sort", "FIELD", "ls endpoint",
     "ls by this column; -FIELD: backwards (by name, then id)", SET_TEXT,
     AT(sort), 0, 0},
    {'r', "reverse", NULL, "ls endpoint", "ls backwards", SET_FLAG,
     AT(reverse), 0, 0},
    {0, "dry-run", NULL, "endpoint", "only ask whether it is allowed",
     SET_FLAG, AT(point.dry_run), 0, 0},
    {0, "yes", NULL, "endpoint enroll", "do not ask before changes", SET_FLAG,
     AT(point.yes), 0, 0},
    {0, "idle", "S", "proxy",
     "end so long after the end of stdin without data (0: never)", SET_MS,
     AT(idle_ms), 0, 86400},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

/* Words of ssh_config, as -o and the file of -F give them. */
typedef struct openssh_word {
    const char *name;
    unsigned char kind; /* as in option */
    unsigned char least;
    uint16_t offset;
    uint16_t most;
} openssh_word;

#define WORD(name, kind, offset) {name, kind, 0, offset, 0}
#define WORD_NUMBER(name, kind, offset, most) {name, kind, 1, offset, most}
#define WORD_FORWARD(name, letter) {name, SET_FORWARD, letter, 0, 0}

static const openssh_word openssh_words[] = {
    WORD("User", SET_TEXT, AT(conn.user)),
    WORD_NUMBER("Port", SET_PORT, AT(conn.port), 65535),
    WORD("HostName", SET_TEXT, AT(conn.target)),
    WORD("ProxyJump", SET_TEXT, AT(jump)),
    WORD("HostKeyAlias", SET_TEXT, AT(conn.host_key_alias)),
    WORD_NUMBER("ConnectTimeout", SET_MS, AT(conn.connect_timeout_ms), 3600),
    WORD_NUMBER("ConnectionAttempts", SET_SECONDS, AT(attempts), 1000),
    WORD("UserKnownHostsFile", SET_TEXT, AT(conn.known_hosts)),
    WORD("StrictHostKeyChecking", SET_POLICY, AT(conn.policy)),
    WORD("RequestTTY", SET_TTY_WORD, AT(tty)),
    WORD("IdentityFile", SET_IDENTITY, 0),
    WORD("CertificateFile", SET_TEXT, AT(certificate_file)),
    WORD("IdentityAgent", SET_TEXT, AT(identity_agent)),
    WORD("ForwardAgent", SET_TEXT, AT(forwarded_agent)),
    WORD("BatchMode", SET_YES_NO, AT(batch)),
    WORD("EscapeChar", SET_ESCAPE, AT(escape)),
    WORD("StdinNull", SET_YES_NO, AT(no_stdin)),
    WORD("SessionType", SET_SESSION, AT(subsystem)),
    WORD("RemoteCommand", SET_REST, AT(remote_command)),
    WORD("AddressFamily", SET_FAMILY, AT(family)),
    WORD("ServerAliveInterval", SET_ALIVE, AT(conn.keepalive_ms)),
    WORD_NUMBER("ServerAliveCountMax", SET_SECONDS, AT(conn.keepalive_count),
                1000),
    WORD("RekeyLimit", SET_REKEY, AT(conn.rekey_bytes)),
    WORD("LogLevel", SET_LEVEL, AT(verbose)),
    WORD("ControlPath", SET_TEXT, AT(control_path)),
    WORD("Ciphers", SET_TEXT, AT(conn.ciphers)),
    WORD("MACs", SET_TEXT, AT(conn.macs)),
    WORD("KexAlgorithms", SET_TEXT, AT(conn.kex)),
    WORD("HostKeyAlgorithms", SET_TEXT, AT(conn.host_key_types)),
    WORD("SendEnv", SET_SEND_ENV, 0),
    WORD("SetEnv", SET_SET_ENV, 0),
    WORD_FORWARD("LocalForward", 'L'),
    WORD_FORWARD("RemoteForward", 'R'),
    WORD_FORWARD("DynamicForward", 'D'),
    WORD("ExitOnForwardFailure", SET_YES_NO, AT(strict_forwards)),
    WORD("GatewayPorts", SET_YES_NO, AT(gateway)),
    WORD("ClearAllForwardings", SET_YES_NO, AT(no_forwards)),
    WORD("ForkAfterAuthentication", SET_YES_NO, AT(background)),
};

/* Accepted for the sake of scripts: they ask for what is so anyway, or for
 * what has no meaning in a tunnel. */
static const char openssh_ignored[] =
    "AddKeysToAgent CanonicalizeHostname CheckHostIP Compression "
    "ControlMaster ControlPersist EnableSSHKeysign ForwardX11 "
    "ForwardX11Timeout ForwardX11Trusted GlobalKnownHostsFile "
    "GSSAPIAuthentication GSSAPIDelegateCredentials HashKnownHosts "
    "HostbasedAuthentication IdentitiesOnly IPQoS "
    "KbdInteractiveAuthentication ChallengeResponseAuthentication "
    "NumberOfPasswordPrompts PasswordAuthentication PermitLocalCommand "
    "PreferredAuthentications ProxyCommand ProxyUseFdpass "
    "PubkeyAuthentication StreamLocalBindUnlink TCPKeepAlive UpdateHostKeys "
    "VerifyHostKeyDNS VisualHostKey";

/* The word that was typed for a command. */
static const char *command_word(const char *name)
{
    return strncmp(name, "ec2-", 4) == 0 ? "ec2-instance-connect" : name;
}

int cli_usage_error(const cli *c, const char *what, const char *value)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG, "%s%s%s%s%s",
              c->where != NULL ? c->where : "", c->where != NULL ? ": " : "",
              what, value != NULL ? ": " : "", value != NULL ? value : "");
    snprintf(e.remedy, sizeof e.remedy, "see eice %s%s--help",
             c->command != NULL ? command_word(c->command) : "",
             c->command != NULL ? " " : "");
    cli_report(c, &e);
    return c->misused != 0 ? c->misused : CLI_USAGE;
}

static bool word_in(const char *list, const char *word)
{
    eice_str rest = eice_str_c(list);

    while (rest.len > 0) {
        if (eice_str_is(eice_str_cut(&rest, ' '), word)) {
            return true;
        }
    }
    return false;
}

static bool option_here(const option *o, const char *command)
{
    if (command != NULL && strcmp(command, "ec2-instance-connect") == 0) {
        return o->commands == NULL || cli_contains(o->commands, "ec2-")
               || word_in(o->commands, "open-tunnel");
    }
    return o->commands == NULL
           || (command != NULL && word_in(o->commands, command));
}

void cli_print_options(FILE *out, const char *command)
{
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];
        char left[64];

        if (o->help == NULL || o->kind == SET_WITHOUT
            || o->kind == SET_REFUSED || !option_here(o, command)) {
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

void cli_print_option_words(const char *command)
{
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];

        if (o->name != NULL && o->kind != SET_REFUSED
            && option_here(o, command)) {
            printf("--%s\n", o->name);
        }
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
                 o->value[0] == 0 ? "-o " : "--", o->name, (unsigned)o->least,
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
        {"auto", EICE_POLICY_AUTO},        {"console", EICE_POLICY_CONSOLE},
        {"tofu", EICE_POLICY_TOFU},        {"strict", EICE_POLICY_STRICT},
        {"off", EICE_POLICY_OFF},          {"accept-new", EICE_POLICY_TOFU},
        {"yes", EICE_POLICY_STRICT},       {"no", EICE_POLICY_OFF},
        {"ask", EICE_POLICY_AUTO},
    };
    size_t i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, value) == 0) {
            c->conn.policy = words[i].policy;
            return -1;
        }
    }
    return cli_usage_error(c, "no such host key policy (auto, console, tofu, "
                              "strict, off)",
                           value);
}

static int set_key_type(cli *c, const char *value)
{
    c->conn.key_type
        = strcmp(value, "rsa") == 0 ? EICE_KEY_RSA : EICE_KEY_ED25519;
    if (c->conn.key_type == EICE_KEY_ED25519 && strcmp(value, "ed25519") != 0) {
        return cli_usage_error(c, "no such type of key (ed25519, rsa)", value);
    }
    return -1;
}

static int set_rule(cli *c, const char *value)
{
    if (c->conn.connect_to_count == CLI_CONNECT_TO) {
        return cli_usage_error(c, "too many --connect-to", value);
    }
    c->connect_to[c->conn.connect_to_count++] = value;
    c->rules++;
    return -1;
}

static int set_words(cli *c, const option *o, const char *value)
{
    cli_words *const words
        = (cli_words *)(void *)((char *)c + o->offset);

    if (words->count == CLI_WORDS) {
        return cli_usage_error(c, "too many of this option", value);
    }
    words->list[words->count++] = value;
    return -1;
}

static int set_choice(cli *c, const option *o, char *value)
{
    eice_str rest = eice_str_c(o->value);
    char what[96];

    while (rest.len > 0) {
        if (eice_str_is(eice_str_cut(&rest, '|'), value)) {
            memcpy((char *)c + o->offset, &value, sizeof value);
            return -1;
        }
    }
    snprintf(what, sizeof what, "--%s takes %s", o->name, o->value);
    return cli_usage_error(c, what, value);
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

/* One of several words, by its place in a table of them. */
static int set_word(cli *c, const option *o, const char *value,
                    const char *const *table, size_t count)
{
    char what[64];
    size_t i;

    for (i = 0; i < count; i++) {
        if (eice_str_is_nocase(eice_str_c(value), table[i])) {
            return (int)i;
        }
    }
    snprintf(what, sizeof what, "%s cannot be", o->name);
    cli_usage_error(c, what, value);
    return -1;
}

#define WORDS(table) (table), sizeof(table) / sizeof((table)[0])

static int set_alive(cli *c, const char *value)
{
    uint64_t s;

    if (!eice_str_u64(eice_str_c(value), 86400, &s)) {
        return cli_usage_error(c, "ServerAliveInterval takes seconds", value);
    }
    c->conn.keepalive_ms = s == 0 ? UINT32_MAX : (uint32_t)s * 1000;
    return -1;
}

/* SIZE[KMG] or default; behind it a time, of which there is none here. */
static int set_rekey(cli *c, char *value)
{
    static const char units[] = "KkMmGg";
    char *rest = value;
    char *size = cli_next_word(&rest);
    const char *after = cli_next_word(&rest);
    const char *unit = size[0] != 0 ? strchr(units, size[strlen(size) - 1])
                                    : NULL;
    eice_str digits = eice_str_c(size);
    uint64_t n = 0;

    digits.len -= unit != NULL;
    if (after[0] != 0 && strcmp(after, "none") != 0) {
        return cli_usage_error(c, "RekeyLimit: no time can be set", after);
    }
    if (strcmp(size, "default") != 0
        && (!eice_str_u64(digits, 1u << 30, &n) || n == 0)) {
        return cli_usage_error(c, "RekeyLimit takes BYTES, with K, M or G",
                               size);
    }
    c->conn.rekey_bytes
        = unit != NULL ? n << 10 * (1 + (unit - units) / 2) : n;
    return -1;
}

static int set_value(cli *c, const option *o, char *value)
{
    return o->kind == SET_RULE     ? set_rule(c, value)
           : o->kind == SET_REKEY  ? set_rekey(c, value)
           : o->kind == SET_WORDS  ? set_words(c, o, value)
           : o->kind == SET_CHOICE ? set_choice(c, o, value)
                                   : set_number(c, o, value);
}

static int set_other_word(cli *c, const option *o, const char *value)
{
    return o->kind == SET_POLICY     ? set_policy(c, value)
           : o->kind == SET_ESCAPE   ? set_escape(c, value)
           : o->kind == SET_KEY_TYPE ? set_key_type(c, value)
           : o->kind == SET_IDENTITY ? cli_identity_file(c, value)
                                     : set_alive(c, value);
}

static int set_openssh_word(cli *c, const option *o, const char *value)
{
    static const char *const yes_no[] = {"no", "false", "yes", "true"};
    static const char *const ttys[] = {"auto", "no", "yes", "force"};
    static const char *const levels[]
        = {"quiet", "fatal", "error", "info",
           "verbose", "debug", "debug1", "debug2", "debug3"};
    static const char *const sessions[] = {"default", "subsystem", "none"};
    static const char *const families[] = {"any", "inet", "inet6"};
    int n = -1;

    if (o->kind == SET_YES_NO) {
        n = set_word(c, o, value, WORDS(yes_no));
        *((char *)c + o->offset) = n >= 2;
    } else if (o->kind == SET_TTY_WORD) {
        n = set_word(c, o, value, WORDS(ttys));
        c->tty = (cli_tty)n;
    } else if (o->kind == SET_LEVEL) {
        n = set_word(c, o, value, WORDS(levels));
        c->quiet = n <= 2;
        c->verbose = n >= 4;
    } else if (o->kind == SET_SESSION) {
        n = set_word(c, o, value, WORDS(sessions));
        c->subsystem = n == 1;
        c->no_command = n == 2;
    } else if (o->least == 0) {
        n = set_word(c, o, value, WORDS(families));
        c->family = n == 1 ? 4 : n == 2 ? 6 : 0;
    } else {
        c->family = (int)o->least; /* -4, -6 */
        return -1;
    }
    return n < 0 ? c->misused : -1;
}

/* In ssh_config there is a blank between the two halves. */
static int set_forward(cli *c, const option *o, char *value)
{
    char *blank = value + strcspn(value, " \t");
    char what[64];

    if (*blank != 0) {
        *blank = ':';
        memmove(blank + 1, blank + 1 + strspn(blank + 1, " \t"),
                strlen(blank + 1 + strspn(blank + 1, " \t")) + 1);
    }
    if (cli_forward_add(c, (char)o->least, value)) {
        return -1;
    }
    snprintf(what, sizeof what, "-%c: bad forward", (char)o->least);
    return cli_usage_error(c, what, value);
}

static const option *option_named(const char *name, size_t len,
                                  const char *command);
static int set_option(cli *c, const option *o, char *value);

/* name=value,name=value or JSON with the same names: the marks that differ
 * stand for nothing but the ends of words. */
static int set_eice(cli *c, char *value)
{
    static const char *const names[][2] = {
        {"maxTunnelDuration", "max-tunnel-duration"},
        {"endpointId", "endpoint-id"},
        {"dnsName", "endpoint-dns"},
    };
    static const char marks[] = "{}\"=:, \t\n";
    char *rest = NULL;
    char *name;

    for (name = strtok_r(value, marks, &rest); name != NULL;
         name = strtok_r(NULL, marks, &rest)) {
        char *text = strtok_r(NULL, marks, &rest);
        int status = CLI_USAGE;
        size_t i;

        for (i = 0; i < 3 && text != NULL; i++) {
            const char *as = names[i][1];

            if (strcmp(names[i][0], name) == 0) {
                status = set_option(c, option_named(as, strlen(as), NULL),
                                    text);
                break;
            }
        }
        if (status >= 0) {
            return i < 3 && text != NULL
                       ? status
                       : cli_usage_error(c, "--eice-options", name);
        }
    }
    return -1;
}

/* What a later word of ssh_config does not change: the first one counts. */
static bool given(const cli *c, size_t offset)
{
    size_t i;

    for (i = 0; i < c->given_count; i++) {
        if (c->given[i] == offset) {
            return true;
        }
    }
    return false;
}

bool cli_given(const cli *c, const void *field)
{
    return given(c, (size_t)((const char *)field - (const char *)c));
}

static void give(cli *c, size_t offset)
{
    if (offset != 0 && c->given_count < CLI_GIVEN && !given(c, offset)) {
        c->given[c->given_count++] = (uint16_t)offset;
    }
}

static int set_openssh(cli *c, const openssh_word *w, char *rest)
{
    option o = {0, NULL, "", NULL, NULL, 0, 0, 0, 0};

    o.name = w->name;
    o.kind = w->kind & 63u;
    o.offset = w->offset;
    o.least = w->least;
    o.most = w->most;
    return set_option(c, &o,
                      o.kind == SET_REST || o.kind == SET_REKEY
                              || o.kind == SET_SEND_ENV
                              || o.kind == SET_SET_ENV
                              || o.kind == SET_FORWARD
                          ? rest
                          : cli_next_word(&rest));
}

/* Name=value, or Name value. */
int cli_set_openssh(cli *c, char *text)
{
    const size_t n = strcspn(text, "= \t");
    const eice_str name = eice_str_make(text, n);
    eice_str ignored = eice_str_c(openssh_ignored);
    char *rest = text + n + strspn(text + n, " \t");
    size_t i;

    rest += *rest == '=';
    rest += strspn(rest, " \t");
    for (i = 0; i < sizeof openssh_words / sizeof openssh_words[0]; i++) {
        const openssh_word *w = &openssh_words[i];

        if (!eice_str_is_nocase(name, w->name)) {
            continue;
        }
        if (rest[0] == 0) {
            return cli_usage_error(c, "this needs a value", text);
        }
        return given(c, w->offset) ? -1 : set_openssh(c, w, rest);
    }
    while (ignored.len > 0) {
        if (eice_str_eq_nocase(name, eice_str_cut(&ignored, ' '))) {
            return -1;
        }
    }
    return cli_usage_error(c, c->where != NULL ? "this is not supported"
                                               : "-o: this is not supported",
                           text);
}

/* Options without a value that are more than a flag. */
static void set_state(cli *c, set_kind kind)
{
    if (kind == SET_VERBOSE) {
        c->verbose++;
    } else if (kind == SET_DIRECT) {
        c->conn.route = EICE_ROUTE_DIRECT;
    } else if (kind == SET_NO_TTY) {
        c->tty = CLI_TTY_NO;
    } else {
        c->tty = c->tty == CLI_TTY_YES ? CLI_TTY_FORCE : CLI_TTY_YES;
    }
}

static int set_option(cli *c, const option *o, char *value)
{
    give(c, o->offset);
    switch ((set_kind)o->kind) {
    case SET_TEXT:
    case SET_REST:
        memcpy((char *)c + o->offset, &value, sizeof value);
        return -1;
    case SET_FLAG:
        *((char *)c + o->offset) = o->least == 0;
        return -1;
    case SET_RULE:
    case SET_WORDS:
    case SET_CHOICE:
    case SET_REKEY:
    case SET_SECONDS:
    case SET_MS:
    case SET_PORT:
        return set_value(c, o, value);
    case SET_VERBOSE:
    case SET_TTY:
    case SET_NO_TTY:
    case SET_DIRECT:
        set_state(c, (set_kind)o->kind);
        return -1;
    case SET_POLICY:
    case SET_ESCAPE:
    case SET_ALIVE:
    case SET_KEY_TYPE:
    case SET_IDENTITY:
        return set_other_word(c, o, value);
    case SET_OPENSSH:
        return cli_set_openssh(c, value);
    case SET_FAMILY:
    case SET_YES_NO:
    case SET_TTY_WORD:
    case SET_LEVEL:
    case SET_SESSION:
        return set_openssh_word(c, o, value);
    case SET_FORWARD:
        return set_forward(c, o, value);
    case SET_SEND_ENV:
    case SET_SET_ENV:
        return cli_env_words(c, value, o->kind == SET_SET_ENV);
    case SET_IGNORED:
        return -1;
    case SET_WITHOUT:
        cli_say(c, "-%c: %s is not supported; going on without", o->letter,
                o->help);
        return -1;
    case SET_EICE:
        return set_eice(c, value);
    case SET_REFUSED:
        return cli_usage_error(c, o->help, NULL);
    case SET_QUERY:
    case SET_HELP:
        c->query = o->kind == SET_QUERY && value == NULL ? "" : value;
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
    char *value = text[n] == '=' ? argv[*at] + 2 + n + 1 : NULL;

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
    char *p;
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
        if (given(c, o->offset) && (*p == 'p' || *p == 'l')) {
            *at += p[1] == 0; /* ssh: the first one counts */
            return -1;
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

static void put_number(eice_buf *b, const cli *c, const option *o)
{
    uint32_t n;

    memcpy(&n, (const char *)c + o->offset, sizeof n);
    eice_putf(b, " %u", o->kind == SET_MS ? n / 1000 : n);
}

void cli_put_options(const cli *c, eice_buf *b)
{
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];
        const char *text;

        if (o->commands != NULL || o->name == NULL || !given(c, o->offset)
            || o->kind == SET_VERBOSE || o->offset == AT(json)
            || o->offset == AT(quiet)) {
            continue;
        }
        eice_putf(b, " --%s", o->name);
        if (o->kind == SET_TEXT) {
            memcpy(&text, (const char *)c + o->offset, sizeof text);
            cli_put_word(b, text);
        } else if (o->kind != SET_FLAG) {
            put_number(b, c, o);
        }
    }
    for (i = c->conn.connect_to_count - c->rules;
         i < c->conn.connect_to_count; i++) {
        eice_put_c(b, " --connect-to");
        cli_put_word(b, c->connect_to[i]);
    }
}

int cli_parse_global(cli *c, int argc, char **argv, int *status)
{
    bool ended = false;
    int at = 1;

    *status = read_options(c, argc, argv, &at, &ended);
    return *status >= 0 ? -1 : at;
}

static int print_help(const cli *c, const cli_command *command)
{
    if (c->query != NULL) {
        return cli_ssh_query(c, c->query);
    }
    printf("usage: eice %s %s\n\n%s\n\noptions:\n",
           command_word(command->name),
           command->usage, command->summary);
    cli_print_options(stdout, command->name);
    return CLI_OK;
}

/* user@target: the last @ divides. */
void cli_split_user(cli *c, char **target)
{
    char *at = strrchr(*target, '@');

    if (at == NULL || at == *target) {
        return;
    }
    snprintf(c->user, sizeof c->user, "%.*s", (int)(at - *target), *target);
    if (c->conn.user == NULL) {
        c->conn.user = c->user;
        give(c, AT(conn.user));
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
            return status == CLI_OK ? print_help(c, command) : status;
        }
        /* ssh: one operand, then options again, then the remote command */
        if (ssh && count > 0) {
            break;
        }
        if (at < argc) {
            argv[count++] = argv[at++];
        }
    } while (at < argc && (ssh || !ended));
    while (at < argc) {
        argv[count++] = argv[at++];
    }
    c->argc = count;
    c->argv = argv;
    if (count > 0 && !word_in("cp ls endpoint enroll", command->name)) {
        if (strcmp(command->name, "ssh-config") != 0) {
            cli_split_user(c, &argv[0]);
        }
        if (!ssh && c->conn.target == NULL) {
            c->conn.target = argv[0]; /* else HostName has a say too */
        }
    }
    return -1;
}
