/* eice: reach private EC2 instances through EC2 Instance Connect Endpoints. */
#define EICE_IMPLEMENTATION
#include "cli.h"

#include "versions.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

static int cli_completion(cli *c);

static const cli_command commands[] = {
    {"ssh", "[options] [user@]TARGET [command ...]",
     "log in, or run a command", CLI_SSH_FAILED, CLI_SSH_FAILED, cli_ssh},
    {"forward", "[options] TARGET [[BIND:]PORT[:HOST]:PORT] ...",
     "keep ports of this machine connected to ports there", CLI_FAILED,
     CLI_USAGE, cli_forward_run},
    {"proxy", "[options] TARGET [PORT]",
     "carry stdin and stdout to a port: ProxyCommand of OpenSSH", CLI_FAILED,
     CLI_USAGE, cli_proxy},
    {"cp", "[options] [[user@]TARGET:]PATH ... [[user@]TARGET:]PATH",
     "copy files to, from and between instances", CLI_FAILED, CLI_USAGE,
     cli_cp},
    {"ls", "[options] [FILTER ...]", "list instances", CLI_FAILED, CLI_USAGE,
     cli_ls},
    {"endpoint",
     "ls [FILTER ...] | create SUBNET | show|wait|modify|delete ID|VPC",
     "list, make, change and delete endpoints", CLI_FAILED, CLI_USAGE,
     cli_endpoint},
    {"serial", "[options] TARGET",
     "open the serial console: it works where network or sshd do not",
     CLI_FAILED, CLI_USAGE, cli_serial},
    {"push-key", "[options] [user@]TARGET [PUBLIC-KEY-FILE]",
     "make a public key valid for 60 seconds", CLI_FAILED, CLI_USAGE,
     cli_push_key},
    {"ssh-config", "[options] [[user@]TARGET ...]",
     "print stanzas for OpenSSH and what is built on it", CLI_FAILED,
     CLI_USAGE, cli_ssh_config},
    {"open-tunnel", "[options]",
     "the AWS CLI's open-tunnel: a tunnel for stdin and stdout, or a port",
     255, 252, cli_open_tunnel},
    {"ec2-instance-connect", "ssh|open-tunnel|send-ssh-public-key [options]",
     "the AWS CLI's commands, with its options and exit statuses", 255, 252,
     cli_ec2},
    {"enroll", "[options] [[user@]TARGET ...]",
     "make an instance reachable: endpoint, rules, login", CLI_FAILED,
     CLI_USAGE, cli_enroll},
    {"doctor", "[options] [user@]TARGET",
     "find what keeps a connection from working, and the remedy", CLI_FAILED,
     CLI_USAGE, cli_doctor},
    {"policy", "[options] [[user@]TARGET ...]",
     "print the least IAM policy for a use", CLI_FAILED, CLI_USAGE,
     cli_policy},
    {"whoami", "[options]", "show the identity AWS sees", CLI_FAILED,
     CLI_USAGE, cli_whoami},
    {"completion", "bash|zsh", "print a completion script for a shell",
     CLI_FAILED, CLI_USAGE, cli_completion},
    {"version", "", "show versions and what this was built from", CLI_FAILED,
     CLI_USAGE, cli_version},
};

static const size_t command_count = sizeof commands / sizeof commands[0];

static void print_help(FILE *out)
{
    size_t i;

    fputs("usage: eice [options] COMMAND ...\n\n"
          "Reach private EC2 instances through EC2 Instance Connect "
          "Endpoints.\n\ncommands:\n",
          out);
    for (i = 0; i < command_count; i++) {
        fprintf(out, "  %-20s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\nTARGET: instance id, Name tag, tag:KEY=VALUE, private address "
          "or DNS name\n\noptions, before or after the command:\n",
          out);
    cli_print_options(out, NULL);
    fputs("\nenvironment, besides that of the AWS CLI:\n"
          "  EICE_CONNECT_TO   rules of --connect-to, blanks between them\n"
          "  EICE_RESOLV_CONF  instead of /etc/resolv.conf\n"
          "  EICE_HOSTS        instead of /etc/hosts\n"
          "  EICE_TIME         the clock is not earlier than this (seconds "
          "since 1970)\n",
          out);
    fputs("\n`eice COMMAND --help` says more. Settings and credentials are "
          "those of the AWS CLI.\n",
          out);
}

static const cli_command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

int cli_version(cli *c)
{
    const char *lacks;
    size_t i;

    if (c->json) {
        printf("{\"version\":\"%s\",\"bearssl\":\"%s\",\"libssh2\":\"%s\"}\n",
               EICE_VERSION, EICE_BUILT_BEARSSL, EICE_BUILT_LIBSSH2);
        return CLI_OK;
    }
    printf("eice %s\nBearSSL %s\nlibssh2 %s\n", EICE_VERSION,
           EICE_BUILT_BEARSSL, EICE_BUILT_LIBSSH2);
    for (i = 0; (lacks = eice_ssh_lacks(i)) != NULL; i++) {
        printf("  without %s\n", lacks);
    }
    return CLI_OK;
}

/* The script asks the program itself for words: nothing can be out of date. */
static const char completion[]
    = "_eice() {\n"
      "    local cur=${COMP_WORDS[COMP_CWORD]} cmd= w words=\n"
      "    for w in \"${COMP_WORDS[@]:1:$((COMP_CWORD-1))}\"; do\n"
      "        case \" $(eice completion commands | tr '\\n' ' ')\" in\n"
      "        *\" $w \"*) cmd=$w; break ;;\n"
      "        esac\n"
      "    done\n"
      "    case $cur in\n"
      "    -*) words=$(eice completion options $cmd) ;;\n"
      "    *) words=$(eice completion ${cmd:-commands}) ;;\n"
      "    esac\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}\n"
      "complete -o default -F _eice eice\n";

static int cli_completion(cli *c)
{
    const char *what = c->argc > 0 ? c->argv[0] : "";
    size_t i;

    if (strcmp(what, "bash") == 0 || strcmp(what, "zsh") == 0) {
        fputs(what[0] == 'z' ? "autoload -U +X bashcompinit && bashcompinit\n"
                             : "",
              stdout);
        fputs(completion, stdout);
    } else if (strcmp(what, "commands") == 0) {
        for (i = 0; i < command_count; i++) {
            puts(commands[i].name);
        }
    } else if (strcmp(what, "options") == 0) {
        cli_print_option_words(c->argc > 1 ? c->argv[1] : NULL);
    } else if (strcmp(what, "endpoint") == 0) {
        cli_endpoint_words();
    } else if (find_command(what) != NULL) {
        return CLI_OK; /* files */
    } else {
        return cli_usage_error(c, "completion takes bash or zsh", what);
    }
    return CLI_OK;
}

static void defaults(cli *c)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *rules = getenv("EICE_CONNECT_TO");
    const char *life = getenv("EICE_KEY_LIFE_MS");
    const char *wait = getenv("EICE_PROCESS_TIMEOUT");
    uint64_t n;

    memset(c, 0, sizeof *c);
    c->escape = '~';
    c->err_fd = 2;
    c->conn.connect_to = c->connect_to;
    c->conn.key_cache = &c->keys;
    if (state != NULL && state[0] == '/') {
        snprintf(c->known_hosts, sizeof c->known_hosts,
                 "%s/eice/known_hosts", state);
        c->conn.known_hosts = c->known_hosts;
    }
    if (life != NULL && eice_str_u64(eice_str_c(life), 600000, &n)) {
        c->conn.key_life_ms = (uint32_t)n;
    }
    if (wait != NULL && eice_str_u64(eice_str_c(wait), 86400, &n)) {
        c->conn.process_timeout_ms = (uint32_t)n * 1000;
    }
    if (rules != NULL) {
        static char text[2048];
        char *word;
        char *rest = NULL;

        snprintf(text, sizeof text, "%s", rules);
        for (word = strtok_r(text, " ", &rest);
             word != NULL && c->conn.connect_to_count < CLI_CONNECT_TO;
             word = strtok_r(NULL, " ", &rest)) {
            c->connect_to[c->conn.connect_to_count++] = word;
        }
    }
}

/* A closed stdin, stdout or stderr would give its number to a socket. */
static void hold_standard_descriptors(void)
{
    int fd;

    for (fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null", O_RDWR); /* the lowest free: this one */
        }
    }
}

/* Through a link with such a name, for programs that want one word. */
static bool called_as_ssh(const char *program)
{
    const char *slash = program != NULL ? strrchr(program, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : program;

    return name != NULL
           && (strcmp(name, "ssh") == 0 || strcmp(name, "eice-ssh") == 0);
}

static void cli_forget(cli *c)
{
    cli_forward_forget(c);
    cli_login_key_forget();
    eice_key_cache_wipe(&c->keys);
    cli_ssh_forget(c);
}

/* A list that is not whole is a failure, whoever flushed; of a reader that
 * left there is nothing to say. */
static int written(const cli *c, int status)
{
    struct pollfd out;

    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return status;
    }
    out.fd = STDOUT_FILENO;
    out.events = POLLOUT;
    out.revents = 0;
    if (poll(&out, 1, 0) != 1 || (out.revents & POLLERR) == 0) {
        cli_say(c, "cannot write all of the output");
    }
    return status != CLI_OK                 ? status
           : c->misused == CLI_SSH_FAILED ? CLI_SSH_FAILED
                                            : CLI_FAILED;
}

int main(int argc, char **argv)
{
    const cli_command *command;
    int status = CLI_OK;
    int at;
    cli c;

    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    defaults(&c);
    c.program = argv[0];
    if (called_as_ssh(argv[0])) {
        c.command = "ssh";
        c.misused = CLI_SSH_FAILED;
        status = cli_parse(&c, find_command("ssh"), argc - 1, argv + 1);
        status = status >= 0 ? status : cli_ssh(&c);
        cli_forget(&c);
        return status;
    }
    at = cli_parse_global(&c, argc, argv, &status);
    if (at < 0) {
        if (status == CLI_OK) {
            print_help(stdout);
        }
        return status;
    }
    if (at == argc || strcmp(argv[at], "help") == 0) {
        print_help(at == argc ? stderr : stdout);
        return at == argc ? CLI_USAGE : CLI_OK;
    }
    command = find_command(argv[at]);
    if (command != NULL && command->run == cli_ec2 && at + 1 < argc
        && cli_ec2_command(argv[at + 1]) != NULL) {
        command = cli_ec2_command(argv[++at]);
    }
    if (command == NULL) {
        return cli_usage_error(&c, "no such command", argv[at]);
    }
    c.command = command->name;
    c.misused = command->misused;
    status = cli_parse(&c, command, argc - at - 1, argv + at + 1);
    status = status >= 0 ? status : command->run(&c);
    cli_forget(&c);
    return written(&c, status);
}
