/* eice ssh: what OpenSSH's command line means besides its letters. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

extern char **environ;

/* ---- words of ssh_config ----------------------------------------------- */

char *cli_next_word(char **rest)
{
    char *p = *rest + strspn(*rest, " \t");
    char *word = p;
    char *to = p;
    bool quoted = false;

    for (; *p != 0 && (quoted || (*p != ' ' && *p != '\t')); p++) {
        if (*p == '"') {
            quoted = !quoted;
        } else {
            *to++ = *p;
        }
    }
    *rest = p + (*p != 0);
    *to = 0;
    return word;
}

static bool matches(const char *pattern, const char *text)
{
    return eice_str_glob(eice_str_c(text), eice_str_c(pattern), false);
}

/* A SendEnv word with "-" before it takes back what it matches. */
static void env_take_back(cli *c, const char *pattern)
{
    size_t kept = 0;
    size_t i;

    for (i = 0; i < c->send_env_count; i++) {
        if (!matches(pattern, c->send_env[i])) {
            c->send_env[kept++] = c->send_env[i];
        }
    }
    c->send_env_count = kept;
}

int cli_env_words(cli *c, char *text, bool set)
{
    char *word;

    while ((word = cli_next_word(&text))[0] != 0) {
        if (!set && word[0] == '-') {
            env_take_back(c, word + 1);
            continue;
        }
        if (set && (strchr(word, '=') == NULL || word[0] == '=')) {
            return cli_usage_error(c, "SetEnv takes NAME=VALUE", word);
        }
        if ((set ? c->set_env_count : c->send_env_count) == CLI_ENV) {
            return cli_usage_error(c, "too many variables", word);
        }
        if (set) {
            c->set_env[c->set_env_count++] = word;
        } else {
            c->send_env[c->send_env_count++] = word;
        }
    }
    return -1;
}

static void add_pair(eice_pair *out, size_t *count, size_t cap,
                     const char *text)
{
    const size_t n = strcspn(text, "=");

    if (*count < cap && text[n] == '=') {
        out[*count].name = eice_str_make(text, n);
        out[*count].value = eice_str_c(text + n + 1);
        ++*count;
    }
}

static bool wanted(const cli *c, const char *variable)
{
    char name[256];
    size_t i;

    snprintf(name, sizeof name, "%.*s", (int)strcspn(variable, "="),
             variable);
    for (i = 0; i < c->send_env_count; i++) {
        if (matches(c->send_env[i], name)) {
            return true;
        }
    }
    return false;
}

size_t cli_ssh_env(const cli *c, eice_pair *out, size_t cap)
{
    size_t count = 0;
    size_t i;

    for (i = 0; environ != NULL && environ[i] != NULL; i++) {
        if (wanted(c, environ[i])) {
            add_pair(out, &count, cap, environ[i]);
        }
    }
    for (i = 0; i < c->set_env_count; i++) {
        add_pair(out, &count, cap, c->set_env[i]);
    }
    return count;
}

#define INCLUDES 16 /* as deep as OpenSSH goes */

/* ---- the file of -F ---------------------------------------------------- */

/* Host and its patterns: one has to match, and none with "!" before it. */
static bool host_matches(char *patterns, const char *host)
{
    bool found = false;
    char *word;

    while ((word = cli_next_word(&patterns))[0] != 0) {
        if (word[0] != '!') {
            found = found || matches(word, host);
        } else if (matches(word + 1, host)) {
            return false;
        }
    }
    return found;
}

/* Where a file is read: a second time for what stands below Match final. */
typedef struct config {
    const char *host;
    bool active;
    bool final;       /* the second time */
    bool wants_final; /* there is such a Match */
    bool holds;       /* the block; whether its lines count depends on: */
    bool every;       /* an Include whose line counted brought this file */
    unsigned depth;   /* files that include this one */
} config;

/* A list with commas between its patterns. */
static bool list_matches(char *list, const char *text)
{
    char *comma;

    while ((comma = strchr(list, ',')) != NULL) {
        *comma = ' ';
    }
    return text != NULL && host_matches(list, text);
}

/* What HostName made of it, if there was one. */
static const char *host_now(const cli *c, const config *f)
{
    return c->conn.target != NULL ? c->conn.target : f->host;
}

/* 1, 0, or -1: there is no such criterion here. */
static int match_one(const cli *c, config *f, const char *name, char *list)
{
    const char *user = c->conn.user;
    const char *local = getenv("LOGNAME");

    if (strcmp(name, "host") == 0) {
        return list_matches(list, host_now(c, f));
    }
    if (strcmp(name, "originalhost") == 0) {
        return list_matches(list, f->host);
    }
    if (strcmp(name, "user") == 0) {
        return list_matches(list, user != NULL ? user : "ec2-user");
    }
    if (strcmp(name, "localuser") == 0) {
        return list_matches(list, local != NULL ? local : getenv("USER"));
    }
    return -1;
}

/* A block begins. The second time only those count that could not before. */
static void config_block(config *f, bool holds, bool final)
{
    f->holds = holds;
    f->active = holds && (final || f->every || !f->final);
}

/* Match and its criteria, all of which have to hold. Host names are never
 * made canonical here. */
static int config_match(cli *c, config *f, char *rest)
{
    bool fits = true;
    bool final = false;
    char what[64];
    char *word;

    while ((word = cli_next_word(&rest))[0] != 0) {
        const bool no = word[0] == '!';
        const char *name = word + no;
        char *list = strchr(word, '=');
        int one = 1;

        if (list != NULL) {
            *list++ = 0;
        }
        if (strcmp(name, "final") == 0) {
            f->wants_final = true;
            final = !no;
            one = f->final;
        } else if (strcmp(name, "canonical") == 0) {
            one = 0;
        } else if (strcmp(name, "all") != 0) {
            one = match_one(c, f, name,
                            list != NULL ? list : cli_next_word(&rest));
        }
        if (one < 0) {
            snprintf(what, sizeof what, "Match %s is not supported", name);
            return cli_usage_error(c, what, NULL);
        }
        fits = fits && (one != 0) != no;
    }
    config_block(f, fits, final);
    return -1;
}

static int read_config(cli *c, const char *path, config *f);

/* What a path of Include stands for; relative: to ~/.ssh, as in the file of
 * OpenSSH's -F. False: too long. */
static bool include_path(const char *word, char *out, size_t cap)
{
    const char *home = getenv("HOME");
    const bool tilde = word[0] == '~' && word[1] == '/';

    home = home != NULL ? home : "";
    return (size_t)(word[0] == '/' ? snprintf(out, cap, "%s", word)
                    : tilde ? snprintf(out, cap, "%s%s", home, word + 1)
                            : snprintf(out, cap, "%s/.ssh/%s", home, word))
           < cap;
}

/* Include: the files of each pattern, in order, are read as if they stood
 * here; a Host or Match of theirs ends with them. */
static int config_include(cli *c, config *f, char *rest)
{
    char path[1024];
    int status = -1;
    char *word;

    while (status < 0 && (word = cli_next_word(&rest))[0] != 0) {
        size_t count = 0;
        char **found;
        size_t i;

        if (f->depth == INCLUDES || !include_path(word, path, sizeof path)) {
            return cli_usage_error(c, "too many files in files, or too long",
                                   word);
        }
        found = cli_glob(path, &count);
        for (i = 0; i < count; i++) {
            config one = *f;

            one.depth++;
            one.every = f->active;
            status = status < 0 ? read_config(c, found[i], &one) : status;
            f->wants_final = one.wants_final;
            free(found[i]);
        }
        free(found);
    }
    return status;
}

static int config_line(cli *c, char *line, config *f)
{
    const size_t n = strcspn(line, "= \t");
    const eice_str name = eice_str_make(line, n);
    char *rest = line + n + strspn(line + n, "= \t");

    if (n == 0 || line[0] == '#') {
        return -1;
    }
    if (eice_str_is_nocase(name, "Host")) {
        config_block(f, host_matches(rest, f->final ? host_now(c, f) : f->host),
                     false);
    } else if (eice_str_is_nocase(name, "Match")) {
        return config_match(c, f, rest);
    } else if (eice_str_is_nocase(name, "Include")) {
        return f->holds ? config_include(c, f, rest) : -1;
    } else if (f->active) {
        return cli_set_openssh(c, line);
    }
    return -1;
}

static int config_text(cli *c, const char *path, char *next, config *f)
{
    char where[1100];
    unsigned number = 0;
    int status = -1;

    while (next != NULL && status < 0) {
        char *line = next + strspn(next, " \t");

        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = 0;
        }
        line[strcspn(line, "\r")] = 0;
        snprintf(where, sizeof where, "%s line %u", path, ++number);
        c->where = where;
        status = config_line(c, line, f);
    }
    c->where = NULL;
    return status;
}

/* Behind it stands the text, which settings point into. */
typedef struct cli_kept {
    struct cli_kept *next;
} cli_kept;

void cli_ssh_forget(cli *c)
{
    while (c->kept != NULL) {
        cli_kept *k = c->kept;

        c->kept = k->next;
        free(k);
    }
}

static int read_config(cli *c, const char *path, config *f)
{
    bool absent = false;
    eice_blob text;
    eice_error e;
    cli_kept *k;

    memset(&text, 0, sizeof text);
    memset(&e, 0, sizeof e);
    if (eice_posix_read_file(path, 1 << 20, &text, &absent, &e) != EICE_OK
        || absent) {
        eice_blob_free(&text);
        return cli_usage_error(c, "-F: cannot read", path);
    }
    k = (cli_kept *)calloc(1, sizeof *k + text.len + 1);
    if (k == NULL) {
        abort();
    }
    k->next = c->kept;
    c->kept = k;
    if (text.len > 0) {
        memcpy(k + 1, text.ptr, text.len);
    }
    eice_blob_free(&text);
    return config_text(c, path, (char *)(k + 1), f);
}

/* The file of -F, and once more for what stands below Match final. */
static int read_configs(cli *c, const char *path)
{
    config f = {c->argv[0], true, false, false, true, false, 0};
    int status = read_config(c, path, &f);

    if (status < 0 && f.wants_final) {
        f.active = false;
        f.final = true;
        status = read_config(c, path, &f);
    }
    return status;
}

/* %h and %% in HostName. */
static int host_name(cli *c)
{
    eice_buf b;
    const char *p;

    eice_buf_init(&b, c->host, sizeof c->host);
    for (p = c->conn.target; *p != 0; p++) {
        if (*p == '%' && p[1] == 'h') {
            eice_put_c(&b, c->argv[0]);
            p++;
        } else {
            p += *p == '%' && p[1] == '%';
            eice_put(&b, eice_str_make(p, 1));
        }
    }
    c->conn.target = eice_buf_c(&b);
    return b.overflow ? cli_usage_error(c, "HostName is too long", c->host) : -1;
}

/* ---- -G ---------------------------------------------------------------- */

static const char *policy_word(eice_policy policy)
{
    return policy == EICE_POLICY_STRICT || policy == EICE_POLICY_CONSOLE
               ? "true"
           : policy == EICE_POLICY_OFF ? "false"
                                       : "accept-new";
}

static const char *escape_word(const cli *c, char *text)
{
    if (c->escape == 0) {
        return "none";
    }
    text[0] = c->escape < 32 ? '^' : c->escape;
    text[1] = c->escape < 32 ? (char)(c->escape | 0x40) : 0;
    text[2] = 0;
    return text;
}

static void show_algorithms(const eice_conn_opts *o)
{
    static const char *const words[] = {"kexalgorithms", "hostkeyalgorithms",
                                        "ciphers", "macs"};
    const char *const specs[]
        = {o->kex, o->host_key_types, o->ciphers, o->macs};
    int list;

    for (list = EICE_SSH_KEX; list <= EICE_SSH_MACS; list++) {
        char text[768];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        (void)eice_ssh_choose((eice_ssh_list)list, specs[list], &b, NULL);
        printf("%s %s\n", words[list], eice_buf_c(&b));
    }
}

/* Names in small letters, one setting a line. */
static int show_config(const cli *c)
{
    static const char *const ttys[] = {"auto", "false", "true", "force"};
    const eice_conn_opts *o = &c->conn;
    char escape[3];
    size_t i;

    printf("host %s\nuser %s\nhostname %s\nport %u\naddressfamily %s\n"
           "batchmode %s\ncompression no\ncontrolmaster false\n"
           "forwardagent %s\nforwardx11 no\npasswordauthentication no\n"
           "kbdinteractiveauthentication no\npubkeyauthentication true\n"
           "tcpkeepalive yes\n",
           c->argv[0], o->user != NULL ? o->user : "ec2-user", o->target,
           o->port != 0 ? o->port : 22u,
           c->family == 4   ? "inet"
           : c->family == 6 ? "inet6"
                            : "any",
           c->batch ? "yes" : "no", cli_agent_wanted(c) ? "yes" : "no");
    printf("requesttty %s\nsessiontype %s\nstdinnull %s\n"
           "stricthostkeychecking %s\nconnectionattempts %u\n"
           "serveralivecountmax %u\nserveraliveinterval %u\nloglevel %s\n"
           "escapechar %s\nuserknownhostsfile %s\n",
           ttys[c->tty], c->subsystem ? "subsystem" : "default",
           c->no_stdin ? "yes" : "no", policy_word(o->policy),
           c->attempts > 0 ? (unsigned)c->attempts : 1u,
           o->keepalive_count > 0 ? (unsigned)o->keepalive_count : 3u,
           o->keepalive_ms == 0            ? 15u
           : o->keepalive_ms == UINT32_MAX ? 0u
                                           : (unsigned)o->keepalive_ms / 1000,
           c->quiet         ? "ERROR"
           : c->verbose > 0 ? "VERBOSE"
                            : "INFO",
           escape_word(c, escape),
           o->known_hosts != NULL ? o->known_hosts
                                  : "~/.local/state/eice/known_hosts");
    printf("connecttimeout %u\nrekeylimit %llu 0\n",
           o->connect_timeout_ms > 0 ? (unsigned)o->connect_timeout_ms / 1000
                                     : 15u,
           (unsigned long long)o->rekey_bytes);
    show_algorithms(o);
    if (o->host_key_alias != NULL) {
        printf("hostkeyalias %s\n", o->host_key_alias);
    }
    if (c->control_path != NULL) {
        printf("controlpath %s\n", c->control_path);
    }
    if (c->remote_command != NULL) {
        printf("remotecommand %s\n", c->remote_command);
    }
    for (i = 0; i < c->send_env_count; i++) {
        printf("sendenv %s\n", c->send_env[i]);
    }
    for (i = 0; i < c->set_env_count; i++) {
        printf("setenv %s\n", c->set_env[i]);
    }
    return CLI_OK;
}

/* ---- -Q, -V, -O, -E ---------------------------------------------------- */

static void put_names(const char *list)
{
    eice_str rest = eice_str_c(list);

    while (rest.len > 0) {
        const eice_str name = eice_str_cut(&rest, ',');

        printf("%.*s\n", (int)name.len, name.ptr);
    }
}

int cli_ssh_query(const cli *c, const char *what)
{
    static const struct {
        const char *what;
        int list;         /* an eice_ssh_list; -1: none */
        const char *names;
    } lists[] = {
        {"cipher", EICE_SSH_CIPHERS, NULL},
        {"mac", EICE_SSH_MACS, NULL},
        {"kex", EICE_SSH_KEX, NULL},
        {"key", EICE_SSH_HOST_KEYS, NULL},
        {"protocol-version", -1, "2"},
        {"help", -1, "cipher,mac,kex,key,protocol-version,help"},
    };
    size_t i;

    if (what[0] == 0) {
        fputs("eice " EICE_VERSION "\n", stderr);
        return CLI_OK;
    }
    for (i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (strcmp(lists[i].what, what) == 0) {
            if (lists[i].list >= 0) {
                put_names(eice_ssh_names((eice_ssh_list)lists[i].list, false));
                put_names(eice_ssh_names((eice_ssh_list)lists[i].list, true));
            } else {
                put_names(lists[i].names);
            }
            return CLI_OK;
        }
    }
    return cli_usage_error(c, "-Q: no such list (see -Q help)", what);
}

/* There is never a master: what OpenSSH says then. */
static int control(const cli *c)
{
    const char *path = c->control_path;
    char what[1200];

    if (strcmp(c->control, "check") != 0 && strcmp(c->control, "exit") != 0
        && strcmp(c->control, "stop") != 0
        && strcmp(c->control, "forward") != 0
        && strcmp(c->control, "cancel") != 0
        && strcmp(c->control, "proxy") != 0) {
        return cli_usage_error(c, "-O: no such command", c->control);
    }
    if (path == NULL || strcmp(path, "none") == 0) {
        fputs("No ControlPath specified for \"-O\" command\n", stderr);
        return CLI_SSH_FAILED;
    }
    snprintf(what, sizeof what, "Control socket connect(%s): %s\n", path,
             strerror(access(path, F_OK) == 0 ? ECONNREFUSED : ENOENT));
    fputs(what, stderr);
    return CLI_SSH_FAILED;
}

/* Everything of ours goes to the file, the remote stderr where it went. */
static int open_log(cli *c)
{
    const int fd = open(c->log_file,
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    c->err_fd = fd >= 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) : -1;
    if (c->err_fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
        return cli_usage_error(c, "-E: cannot write", c->log_file);
    }
    close(fd);
    return -1;
}

int cli_ssh_settle(cli *c)
{
    int status = c->log_file != NULL ? open_log(c) : -1;
    const bool file = c->config_file != NULL
                      && strcmp(c->config_file, "none") != 0;

    if (status < 0 && file) {
        status = read_configs(c, c->config_file);
    }
    if (c->conn.target == NULL) {
        c->conn.target = c->argv[0];
    }
    if (status < 0) {
        status = host_name(c);
    }
    if (status >= 0) {
        return status;
    }
    if (c->remote_command != NULL
        && strcmp(c->remote_command, "none") == 0) {
        c->remote_command = NULL;
    }
    if (c->remote_command != NULL && c->argc > 1) {
        return cli_usage_error(c, "there is a RemoteCommand too", c->argv[1]);
    }
    if (c->show_config) {
        return show_config(c);
    }
    return c->control != NULL ? control(c) : -1;
}
