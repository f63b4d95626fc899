/* eice ssh-config: stanzas for OpenSSH, and so for scp, sftp, rsync, git,
 * Ansible and VS Code, whose connections go through `eice proxy`. */
#include "cli.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=:,./@"

/* Of one instance: as a pattern its name would be about other hosts. */
#define NO_HOST "*?!\","

/* One byte. What would end a line or a value, or begin one, cannot be written:
 * it becomes a byte that cli_stanza_good refuses. */
static void put_byte(eice_buf *b, char byte, const char *bad)
{
    const bool good = (bad[0] == 0 || strchr(bad, byte) == NULL) && byte != '\n';

    eice_put(b, eice_str_make(good ? &byte : "\r", 1));
}

/* ProxyCommand is what a shell runs after OpenSSH has replaced its % words. */
static void put_quoted(eice_buf *b, const char *word)
{
    const bool plain = word[0] != 0 && word[strspn(word, PLAIN)] == 0;

    eice_put_c(b, plain ? "" : "'");
    for (; *word != 0; word++) {
        if (*word == '\'') {
            eice_put_c(b, "'\\''");
        } else if (*word == '%') {
            eice_put_c(b, "%%");
        } else {
            put_byte(b, *word, "");
        }
    }
    eice_put_c(b, plain ? "" : "'");
}

void cli_put_word(eice_buf *b, const char *word)
{
    eice_put_c(b, " ");
    put_quoted(b, word);
}

/* A value of ssh_config. There is no way to write a quote in one. */
static void put_value(eice_buf *b, const char *name, const char *value)
{
    const bool plain = value[strspn(value, PLAIN "*?~%")] == 0;

    eice_putf(b, "    %s %s", name, plain ? "" : "\"");
    for (; *value != 0; value++) {
        eice_put_c(b, *value == '%' ? "%" : "");
        put_byte(b, *value, "\"");
    }
    eice_put_c(b, plain ? "\n" : "\"\n");
}

/* A path that holds wherever ssh is started. */
static const char *absolute(const char *path, char *out, size_t cap)
{
    if (path == NULL || path[0] == '/' || path[0] == '~'
        || getcwd(out, cap) == NULL
        || strlen(out) + strlen(path) + 2 > cap) {
        return path;
    }
    strcat(out, "/");
    strcat(out, path);
    return out;
}

/* How to call us: by name when that is how we were found. */
static void put_program(const cli *c, eice_buf *b)
{
    char path[PATH_MAX];
    ssize_t n = -1;

    if (strchr(c->program, '/') != NULL) {
        n = readlink("/proc/self/exe", path, sizeof path - 1);
    }
    path[n > 0 ? n : 0] = 0;
    cli_put_word(b, n > 0 ? path : c->program);
}

void cli_put_stanza(const cli *c, eice_buf *b, const char *host,
                    const char *id)
{
    const bool plain = host[strspn(host, PLAIN "*?! ")] == 0
                       && (id == NULL || strchr(host, ' ') == NULL);
    const eice_policy policy = c->conn.policy;
    const char *known = c->conn.known_hosts != NULL
                            ? c->conn.known_hosts
                            : "~/.local/state/eice/known_hosts";

    eice_put_c(b, plain ? "Host " : "Host \"");
    for (; *host != 0; host++) {
        put_byte(b, *host, id != NULL ? NO_HOST : "\"");
    }
    eice_put_c(b, plain ? "\n" : "\"\n");
    if (id != NULL) {
        put_value(b, "HostName", id);
        put_value(b, "HostKeyAlias", id);
    }
    put_value(b, "User", c->conn.user != NULL ? c->conn.user : "ec2-user");
    if (c->conn.port != 0) {
        eice_putf(b, "    Port %u\n", (unsigned)c->conn.port);
    }
    if (c->identity != NULL) {
        put_value(b, "IdentityFile", c->identity);
        eice_put_c(b, "    IdentitiesOnly yes\n");
    }
    put_value(b, "UserKnownHostsFile", known);
    eice_putf(b, "    StrictHostKeyChecking %s\n    ProxyCommand",
              policy == EICE_POLICY_OFF ? "no"
              : policy == EICE_POLICY_STRICT || policy == EICE_POLICY_CONSOLE
                  ? "yes"
                  : "accept-new");
    put_program(c, b);
    cli_put_options(c, b);
    eice_put_c(b, " proxy");
    if (policy == EICE_POLICY_AUTO || policy == EICE_POLICY_CONSOLE) {
        eice_put_c(b, " --known-hosts");
        cli_put_word(b, known);
    }
    eice_put_c(b, " --push %r");
    if (c->identity != NULL) {
        eice_put_c(b, ":");
        put_quoted(b, c->identity);
        eice_put_c(b, ".pub");
    }
    eice_put_c(b, " %h %p\n");
}

bool cli_stanza_good(eice_buf *b)
{
    const char *text = eice_buf_c(b);

    while (*text == '\n' || (unsigned char)*text >= ' ') {
        text++;
    }
    return *text == 0 && !b->overflow;
}

/* OpenSSH makes no directory for its file of host keys. */
static void make_directory(const cli *c)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    char *slash;

    snprintf(path, sizeof path, "%s%s",
             c->conn.known_hosts != NULL || home == NULL ? "" : home,
             c->conn.known_hosts != NULL ? c->conn.known_hosts
                                         : "/.local/state/eice/known_hosts");
    for (slash = strchr(path + 1, '/'); path[0] == '/' && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0700); /* it may be there */
        *slash = '/';
    }
}

/* The instance's id: what the host key is stored under. */
static bool find_id(const cli *c, const char *target, char *id, size_t cap)
{
    cli one = *c;
    cli_run r;
    bool found = false;

    one.conn.target = target;
    one.conn.goal = EICE_GOAL_FIND;
    one.conn.connect_to = one.connect_to;
    if (strncmp(target, "i-", 2) == 0
        && strspn(target + 2, "0123456789abcdef") == strlen(target + 2)) {
        snprintf(id, cap, "%s", target);
        return true;
    }
    if (cli_run_open(&r, &one)) {
        found = cli_run_wait(&r);
        snprintf(id, cap, "%s", eice_conn_instance(r.conn)->id);
        cli_run_close(&r);
    }
    return found;
}

static int put_target(cli *c, eice_buf *b, char *target)
{
    const cli before = *c;
    char id[64];

    c->conn.user = NULL;
    cli_split_user(c, &target);
    c->conn.user = before.conn.user != NULL ? before.conn.user
                                            : c->conn.user;
    if (strpbrk(target, NO_HOST) != NULL) {
        return cli_usage_error(c, "this cannot be a Host of ssh_config",
                               target);
    }
    if (!find_id(c, target, id, sizeof id)) {
        return CLI_FAILED;
    }
    cli_put_stanza(c, b, target, id);
    c->conn.user = before.conn.user;
    return -1;
}

int cli_ssh_config(cli *c)
{
    static char text[65536];
    char bundle[PATH_MAX];
    char known[PATH_MAX];
    char identity[PATH_MAX];
    eice_buf b;
    int status = -1;
    int k;

    c->conn.ca_bundle = absolute(c->conn.ca_bundle, bundle, sizeof bundle);
    c->conn.known_hosts = absolute(c->conn.known_hosts, known, sizeof known);
    c->identity = absolute(c->identity, identity, sizeof identity);
    eice_buf_init(&b, text, sizeof text);
    for (k = 0; k < c->argc && status < 0; k++) {
        status = put_target(c, &b, c->argv[k]);
    }
    if (status >= 0) {
        return status;
    }
    if (c->argc == 0) {
        cli_put_stanza(c, &b,
                       c->host_pattern != NULL ? c->host_pattern : "i-*",
                       NULL);
    }
    if (!cli_stanza_good(&b)) {
        return cli_usage_error(c, "this cannot be put into ssh_config", NULL);
    }
    make_directory(c);
    fwrite(text, 1, b.len, stdout);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
