/* The command line: what its files share. */
#ifndef EICE_CLI_H
#define EICE_CLI_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "eice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLI_CONNECT_TO 16
#define CLI_HOPS 8
#define CLI_ENV 32
#define CLI_GIVEN 48
#define CLI_RELAYS 60 /* fewer than EICE_MAX_CHANNELS */

/* Exit statuses of our own: `ssh` says 255 like OpenSSH, the other commands
 * 1 for a failure and 2 for a wrong command line. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_SSH_FAILED = 255 };

typedef enum cli_tty { CLI_TTY_AUTO, CLI_TTY_NO, CLI_TTY_YES, CLI_TTY_FORCE } cli_tty;

typedef struct cli_forward cli_forward;
typedef struct cli_forwards cli_forwards;

#define CLI_WORDS 20

/* The values of an option that may be given several times. */
typedef struct cli_words {
    const char *list[CLI_WORDS];
    size_t count;
} cli_words;

typedef struct cli {
    const char *command;   /* as typed: "ssh", ... */
    eice_conn_opts conn;
    eice_key_cache keys;   /* of all connections */
    const char *connect_to[CLI_CONNECT_TO];
    char known_hosts[1024];
    char user[64];         /* from user@target */
    char host[256];        /* the target, or HostName */
    unsigned verbose;
    bool quiet;
    bool json;
    cli_tty tty;
    bool no_stdin;
    bool subsystem;
    char escape;           /* 0: none */
    int family;            /* 0, 4, 6: -4, -6 */
    uint32_t attempts;     /* ConnectionAttempts */
    const char *jump;      /* -J: hops with commas between them */
    const char *log_file;  /* -E */
    int err_fd;            /* where the remote stderr goes */
    const char *config_file;    /* -F */
    bool show_config;           /* -G */
    const char *query;          /* -Q WHAT; "": -V */
    const char *control;        /* -O */
    const char *control_path;   /* -S */
    const char *remote_command; /* RemoteCommand */
    const char *send_env[CLI_ENV]; /* patterns of SendEnv */
    size_t send_env_count;
    char *set_env[CLI_ENV];     /* NAME=VALUE of SetEnv */
    size_t set_env_count;
    uint16_t given[CLI_GIVEN];  /* offsets of what was set */
    size_t given_count;
    size_t rules;               /* of connect_to, from the command line */
    const char *host_pattern;   /* ssh-config */
    const char *identity;
    const char *user_key;       /* -i */
    const char *identity_file;  /* the first IdentityFile that is there */
    const char *identity_agent;
    const char *certificate_file; /* CertificateFile: the first */
    bool forward_agent;         /* -A, -a */
    const char *forwarded_agent; /* ForwardAgent: yes, no, or where it is */
    bool batch;                 /* BatchMode: nobody is there to be asked */
    const char *program;        /* argv[0] */
    int misused;                /* exit status of a wrong command line */
    uint16_t local_port;        /* open-tunnel */
    uint32_t max_connections; /* 0: as many as there may be */
    const char *connection_type; /* ec2-instance-connect ssh */
    const char *output;
    const char *where;          /* "FILE line N" while a file is read */
    struct cli_kept *kept;      /* files of -F; settings point into them */
    cli_forward *forwards; /* -L, -D, -R, operands of forward */
    const char *stdio_to;  /* -W */
    bool no_command;       /* -N */
    bool background;       /* -f */
    bool gateway;          /* -g */
    bool strict_forwards;  /* ExitOnForwardFailure */
    bool no_forwards;      /* ClearAllForwardings */
    uint32_t ready_fd;     /* 0: none */
    const char *push;      /* proxy --push */
    const char *agent_socket;
    const char *public_key_file;
    const char *idle;
    uint32_t idle_ms;
    struct {
        bool recursive;
        bool preserve;
        bool resume;
        bool checksum;
        uint32_t limit;    /* Kbit/s; 0: none */
    } cp;
    const char *use;       /* policy --for */
    bool check;            /* policy --check */
    bool undo;             /* enroll --undo */
    bool configured;       /* the file of config.c had something to say */
    bool unconfigured;     /* and is not asked */
    struct {
        cli_words groups;
        cli_words tags;
        const char *preserve; /* yes, no */
        const char *ip_type;
        const char *token;
        uint32_t timeout_ms;
        bool wait;
        bool dry_run;
        bool yes;
        const char *subnet;
        bool no_rules;
        bool no_test;
        bool stanza;       /* --ssh-config */
    } point;
    bool all;              /* doctor --all */
    const char *sort;      /* ls, endpoint ls: a column, - before it for -r */
    bool reverse;
    int argc;              /* operands */
    char **argv;
} cli;

/* One subcommand. */
typedef struct cli_command {
    const char *name;
    const char *usage;     /* behind "eice NAME" */
    const char *summary;
    int failed;            /* exit statuses */
    int misused;
    int (*run)(cli *c);
} cli_command;

int cli_ssh(cli *c);
/* The session, once all is settled. */
int cli_session(cli *c);
int cli_serial(cli *c);
int cli_forward_run(cli *c);
int cli_proxy(cli *c);
int cli_cp(cli *c);
int cli_push_key(cli *c);
int cli_whoami(cli *c);
int cli_ls(cli *c);
int cli_endpoint(cli *c);
void cli_endpoint_words(void); /* prints what it can do, one a line */
int cli_ssh_config(cli *c);
int cli_open_tunnel(cli *c);
int cli_ec2(cli *c);
/* One of `ec2-instance-connect`, or NULL. */
const cli_command *cli_ec2_command(const char *name);
int cli_doctor(cli *c);
int cli_enroll(cli *c);
int cli_policy(cli *c);
int cli_version(cli *c);

/* ---- args.c ------------------------------------------------------------ */

/* Options from argv into `c`, operands behind them. With `ssh` the letters
 * are OpenSSH's and everything from the remote command's first word on is an
 * operand. -1: go on; otherwise the exit status (help was printed, or the
 * command line is wrong). */
int cli_parse(cli *c, const cli_command *command, int argc, char **argv);
/* Common options before the command; returns the index of the command, or
 * -1 with the exit status in *status. */
int cli_parse_global(cli *c, int argc, char **argv, int *status);
void cli_print_options(FILE *out, const char *command);
/* The long options of a command, one a line. */
void cli_print_option_words(const char *command);
int cli_usage_error(const cli *c, const char *what, const char *value);

/* The common options that were given, each with a blank before it. */
void cli_put_options(const cli *c, eice_buf *b);
/* Was this field of *c set by an option? */
bool cli_given(const cli *c, const void *field);
/* user@target: the last @ divides. */
void cli_split_user(cli *c, char **target);
/* One word of ssh_config; -1, or the exit status. Keeps parts of `text`. */
int cli_set_openssh(cli *c, char *text);

/* ---- cpwalk.c ---------------------------------------------------------- */

/* The files here that match, as a shell's pattern, in order; the list and each
 * of it is freed by the caller. */
char **cli_glob(const char *pattern, size_t *count);

/* ---- openssh.c --------------------------------------------------------- */

/* The next word of *rest, without its quotes; "" at the end. */
char *cli_next_word(char **rest);
/* Patterns of SendEnv, or assignments of SetEnv. */
int cli_env_words(cli *c, char *text, bool set);
/* -Q WHAT, and -V when it is empty. */
int cli_ssh_query(const cli *c, const char *what);
/* What OpenSSH does between its options and the connection: -F, -G, -O, -E.
 * -1: connect; otherwise the exit status. */
int cli_ssh_settle(cli *c);
/* Frees what was read for -F. */
void cli_ssh_forget(cli *c);
/* The variables to be sent, at most `cap`. */
size_t cli_ssh_env(const cli *c, eice_pair *out, size_t cap);

/* ---- sshconfig.c ------------------------------------------------------- */

/* A blank and a word, as a shell and then ProxyCommand want it. */
void cli_put_word(eice_buf *b, const char *word);
/* The lines of a host, which stands for an instance or, without an id, for
 * those that its pattern fits. */
void cli_put_stanza(const cli *c, eice_buf *b, const char *host,
                    const char *id);
/* Can what was put be written? Not what does not fit, nor what would be about
 * other hosts or end a line. */
bool cli_stanza_good(eice_buf *b);

/* ---- report.c ---------------------------------------------------------- */

/* An error, for people or as JSON, on stderr. */
void cli_report(const cli *c, const eice_error *e);
/* What the AWS CLI would end with after the error reported last. */
int cli_aws_status(void);
void cli_say(const cli *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* As strstr, which is large. */
bool cli_contains(const char *text, const char *word);
bool cli_contains_nocase(const char *text, const char *word);
/* A JSON string with its quotes. */
void cli_json_text(FILE *out, const char *text);
/* Does the locale of stdout show UTF-8? */
bool cli_utf8(void);
/* What happened on the connection since the last call: with -v each attempt,
 * otherwise warnings only. */
void cli_trail(const cli *c, const eice_conn *conn, size_t *seen);

/* ---- run.c ------------------------------------------------------------- */

/* A connection with its executor, and signals that end it. */
typedef struct cli_run {
    cli *c;
    eice_posix *x;
    eice_conn *conn;       /* NULL between two connections */
    cli_forwards *forwards; /* or NULL; polled with the rest */
    uint64_t wake_ms;      /* end the turn then; 0: no such time */
    size_t seen;           /* attempts reported */
    int signal;            /* the first that asked us to end; 0 */
    bool insisted;         /* another came: end at once */
    bool resized;          /* SIGWINCH, SIGCONT since last asked */
    bool continued;
    eice_conn *hop[CLI_HOPS]; /* -J: open, each through the one before it */
    size_t hops;
    char *jump;            /* their names */
} cli_run;

/* Begins; false when it was reported already. In two halves: without a
 * connection, then a connection as often as wanted. */
bool cli_run_open(cli_run *r, cli *c);
bool cli_run_begin(cli_run *r, cli *c);
bool cli_run_connect(cli_run *r);
void cli_run_disconnect(cli_run *r);
/* Runs until the goal is reached; false when it was not, and reported. */
bool cli_run_wait(cli_run *r);
/* One turn of the loop: `extra` descriptors of the caller are polled too. */
struct pollfd;
void cli_run_turn(cli_run *r, struct pollfd *extra, size_t count);
/* Waits until there is something to read; false: a signal asks to end. */
bool cli_readable(int fd);
/* Reports the connection's error, if any; true when there was none. */
bool cli_run_good(cli_run *r);
/* Says which signal ended it. */
void cli_run_signalled(const cli_run *r);
void cli_run_close(cli_run *r);

/* ---- facts.c ----------------------------------------------------------- */

/* A call and the items it brought, which are kept. */
typedef struct cli_call {
    eice_call call;
    eice_params params;
    char text[1536];       /* of the parameters */
    char message[4096];    /* of a denial, encoded */
    eice_buf encoded;
    char why[400];         /* what cli_explain found in it, or "" */
    bool asked;
    eice_item *items;
    size_t count;
} cli_call;

void cli_call_begin(cli_call *a, eice_op op);
/* With the connection of `r`; what is asked runs side by side. */
void cli_call_start(cli_run *r, cli_call *a);
/* Until all that were asked are done; false when one of them failed. */
bool cli_call_wait(cli_run *r, cli_call *asks, size_t count);
void cli_call_end(cli_call *a);
/* What is made of this type gets CLI_TAG=eice and the tags of --tag. */
void cli_put_tags(const cli *c, eice_params *params, const char *type);

/* ---- allowed.c --------------------------------------------------------- */

/* Begins a call that asks whether an operation would be allowed: `on` a
 * subnet, endpoint, group or instance. `peer` is the group to be let in or
 * out, the address type of an endpoint, or the tag one is made with ("" is
 * none). Operations that only read need neither. */
#define CLI_TAG "eice.h:created-by"
void cli_dry_run(cli_call *a, eice_op op, const char *on, const char *peer,
                 unsigned port);
/* Makes it: 1 yes, 0 no (a->call.error and a->why say more), -1 another
 * failure. */
int cli_allowed(cli_run *r, cli_call *a);
/* Of calls that are done: decodes the messages of those that were denied. */
void cli_explain(cli_run *r, cli_call *asks, size_t count);
/* Is the denial an explicit one, against which no allow helps? `whose`: who
 * can change that. */
bool cli_denied(const eice_error *e, const char **whose);

/* ---- facts.c: what is there -------------------------------------------- */

/* As eice_item_get; "" where there is no item. Returns `out`. */
const char *cli_fact(const eice_item *item, const char *path, char *out,
                     size_t cap);
/* "10.0.0.0/8" and the like. */
bool cli_in_cidr(const char *cidr, const char *address);

typedef struct cli_identity {
    char account[16];
    char arn[200];
    char partition[24];    /* second word of ARNs: "aws", "aws-cn", ... */
} cli_identity;

void cli_whose(const eice_item *identity, cli_identity *out);

typedef enum cli_asks {
    CLI_ASK_IDENTITY,
    CLI_ASK_INSTANCES,
    CLI_ASK_ENDPOINTS,
#define CLI_ASK_FOUND 3 /* what cli_facts_find asks */
    CLI_ASK_GROUPS,
    CLI_ASK_INTERFACES,
    CLI_ASK_SUBNETS,
    CLI_ASK_ACLS,
    CLI_ASK_ROUTES,
    CLI_ASK_IMAGES,
    CLI_ASK_COUNT
} cli_asks;

/* What AWS tells about a target and what lies around it. Texts are "" and
 * items NULL where nothing is known. */
typedef struct cli_facts {
    cli_call ask[CLI_ASK_COUNT];
    const eice_item *instance;
    bool ambiguous;
    const eice_item *endpoint;  /* that of --endpoint-id, or the best of the
                                   instance's VPC */
    cli_identity who;
    char id[32];
    char vpc[32];
    char subnet[32];
    char address[64];
    char endpoint_id[40];
    char endpoint_subnet[32];
    char endpoint_address[64];
} cli_facts;

/* Identity, instance and endpoint, in one round; false when one of the calls
 * failed. Then what lies around them, as far as that may be seen. */
bool cli_facts_find(cli_facts *f, cli_run *r);
void cli_facts_around(cli_facts *f, cli_run *r);
/* The login that the instance's image is known for, or NULL; `ready`: it
 * carries EC2 Instance Connect. */
const char *cli_facts_login(const cli_facts *f, bool *ready);
void cli_facts_free(cli_facts *f);
/* ---- calls.c ----------------------------------------------------------- */

/* A connection for AWS calls, and no more; false when it was reported. */
bool cli_calls_begin(cli_run *r, cli *c);
/* Makes calls side by side, until all are done. */
void cli_calls_run(cli_run *r, eice_call *calls, size_t count);
/* Reports the call's error, if any; true when there was none. */
bool cli_calls_good(cli_run *r, const eice_call *call);
/* One call, reported. */
bool cli_calls_one(cli_run *r, eice_call *call);
/* Waits so long; false when a signal ended it. */
bool cli_calls_pause(cli_run *r, uint32_t ms);

#define CLI_REGIONS 64

typedef struct cli_regions {
    char name[CLI_REGIONS][40];
    size_t count;
} cli_regions;

/* --region all, or several with commas between them. */
bool cli_many_regions(const cli *c);
/* The Regions that `given` means; NULL: one without a name, that of the
 * configuration. False: reported. */
bool cli_regions_find(cli_run *r, const char *given, cli_regions *list);

#define CLI_FILTER_WORDS 8

/* Filters as typed: key=VALUE[,VALUE], tag:KEY[=VALUE], and words that have
 * to be in what is shown. */
typedef struct cli_filters {
    eice_params params;
    char memory[4096];
    const char *words[CLI_FILTER_WORDS];
    size_t word_count;
    bool state; /* one says which instances, also those that are gone */
} cli_filters;

void cli_filters_begin(cli_filters *f);
/* `names`: short words and the filters of EC2 they stand for; other keys are
 * those of EC2. False: malformed, or too many. */
bool cli_filters_add(cli_filters *f, const char *const (*names)[2],
                     size_t count, const char *word);
/* Are all words in these cells? */
bool cli_filters_fit(const cli_filters *f, const char *cells, size_t len);

/* ---- table.c ----------------------------------------------------------- */

#define CLI_COLUMNS 24
#define CLI_TABLE_MAX (256u * 1024u * 1024u)

typedef struct cli_column {
    const char *title;   /* NULL: in JSON only */
    const char *json;    /* NULL: on the table only */
    const char *path;    /* of an item, or tag:KEY; NULL: filled by hand */
    char kind;           /* t text, i id, s state, b true or false, a time
                            that is shown as an age, r JSON */
    unsigned char least; /* characters it may be cut to; 0: it is not cut */
    unsigned char drop;  /* left out where there is no room, the highest
                            first; 0: never */
} cli_column;

/* All zero but `columns` and `count` is empty. */
typedef struct cli_table {
    const cli_column *columns;
    size_t count;      /* at most CLI_COLUMNS */
    eice_blob cells;   /* C strings, a row after the other */
    size_t rows;       /* counted by who fills it */
} cli_table;

/* The next cell; false without memory. */
bool cli_table_put(cli_table *t, eice_str text);
/* The same, from the path of this column. */
bool cli_table_item(cli_table *t, size_t column, const eice_item *item);
/* A list of JSON out of the elements at a path: of what is at `first` in each
 * ("" is the element itself), or, with `second`, an object of both. */
bool cli_table_list(cli_table *t, const eice_item *item, const char *path,
                    const char *first, const char *second);
/* To stdout: as wide as the terminal, or as the content where it goes
 * elsewhere; with --json a list of objects. False: it cannot be written. */
bool cli_table_print(const cli *c, const cli_table *t);
/* The same, a line a cell; with --json an object. */
bool cli_table_print_rows(const cli *c, const cli_table *t);
/* The cell of a column, by its name in JSON, in a row. */
const char *cli_table_value(const cli_table *t, const char *row,
                            const char *json);
/* Where the rows begin; the caller's to free, NULL without memory. */
const char **cli_table_rows(const cli_table *t);
/* The widths of CLI_COLUMNS columns, 0 of those left out, so that all fit
 * into so many characters. */
void cli_table_measure(const cli_table *t, size_t *width, size_t room);
/* One row, or with NULL the titles, without the end of the line. */
void cli_table_row(FILE *out, const cli_table *t, const char *row,
                   const size_t *width, bool coloured);
/* Rows by --sort and -r, else by name and id. False: no memory. */
bool cli_table_sort(const cli *c, cli_table *t);
/* Is --sort one of the columns? False: reported. */
bool cli_table_sorts(const cli *c, const cli_table *t);
void cli_table_free(cli_table *t);
/* Is it a terminal that has colours, and are they wanted? */
bool cli_colour(int fd);
/* "5m", "3h", "12d", "2y" */
void cli_age(int64_t seconds, char *out, size_t cap);

/* ---- ls.c -------------------------------------------------------------- */

/* The running instances of the connection's Region, as ls shows them, with
 * those marked that the configuration knows. False: reported. */
bool cli_ls_running(cli_run *run, cli_table *out);

/* ---- reach.c ----------------------------------------------------------- */

typedef enum cli_lets { CLI_LETS_YES, CLI_LETS_NO, CLI_LETS_UNSURE } cli_lets;

/* What was looked at, and the rule that would do: `group` lets `peer`. */
typedef struct cli_group_rule {
    char names[200];       /* of all groups there */
    char group[64];
    char peer[64];
} cli_group_rule;

/* One side of a connection, as security groups see it. */
typedef struct cli_side {
    const char *groups;    /* ids with blanks between them */
    const char *address;   /* NULL: not known; "": of some client */
} cli_side;

/* Do the groups of one side, as described, let the port pass: out of it to
 * the peer (egress), or in from there? */
cli_lets cli_groups_let(const cli_call *groups, unsigned port,
                        const cli_side *own, const cli_side *peer, bool egress,
                        cli_group_rule *rule);

/* Is the port among those from the value at one path to that at another? */
bool cli_has_port(const eice_item *p, unsigned port, const char *from,
                  const char *to);
/* Do the groups of the endpoint (egress), or of the instance, let it pass? */
cli_lets cli_facts_groups(const cli_facts *f, unsigned port, bool egress,
                          cli_group_rule *rule);

/* ---- why.c ------------------------------------------------------------- */

/* Puts the likeliest cause of a failure into its remedy, with one call more
 * to EC2 at most, and where to read on. The connection has ended. */
void cli_why(cli_run *r, eice_error *e);
/* Only the last: nothing is asked. */
void cli_point(const cli *c, const eice_conn *conn, eice_error *e);

/* ---- config.c ---------------------------------------------------------- */

bool cli_config_path(char *out, size_t cap);
/* A text for as long as the program runs; NULL without memory. */
const char *cli_keep(eice_str text);
/* What the file says of the target, as far as no option says otherwise. */
void cli_config_apply(cli *c);
/* A value of a section; false, and "": it has none. */
bool cli_config_get(const char *name, const char *key, char *out, size_t cap);
/* Is an instance the target of a section? */
bool cli_config_knows(const char *id);
/* The first section of another instance with this endpoint; false: none. */
bool cli_config_uses(const char *endpoint, const char *id, char *name,
                     size_t cap);

/* What enroll wrote, and for what; as a filter, `id` NULL: whatever was for
 * this Region and profile. */
typedef struct cli_mark {
    const char *id;
    const char *region;
    const char *profile; /* or NULL */
} cli_mark;

/* The line by which these lines are found again. */
void cli_mark_put(eice_buf *b, const cli_mark *m, eice_str lines);
/* The section of a name gets these lines; those of other keys stay. False:
 * reported. */
bool cli_config_store(const cli *c, const char *name, const cli_mark *m,
                      eice_str lines);
/* The stanza goes to the end of an ssh_config, unless one with its head is
 * there. False: reported. */
bool cli_stanza_store(const cli *c, const char *path, const cli_mark *m,
                      eice_str lines, bool *there);
/* Takes away what was written; is told of each head, and of the lines below
 * that are somebody else's, for the sake of which it stays. */
typedef void cli_forgot(void *user, eice_str head, eice_str left);
bool cli_config_forget(const cli *c, const char *path, bool stanza,
                       const cli_mark *m, cli_forgot *told, void *user);

/* ---- pick.c ------------------------------------------------------------ */

bool cli_can_ask(void);
/* A line of input, or the default for an empty one; false: q, or the end. */
bool cli_prompt(const char *question, const char *otherwise, char *out,
                size_t cap);
bool cli_confirm(const char *question);
typedef enum cli_picks {
    CLI_PICK_ONE,
    CLI_PICK_SOME, /* one at least */
    CLI_PICK_ANY   /* or none */
} cli_picks;

/* Of the rows of a table; false when it was left, or there is none. */
bool cli_pick(const char *title, const cli_table *t, bool *chosen,
              cli_picks how);

/* ---- forward.c --------------------------------------------------------- */

/* A forward as typed: kind L, D or R as OpenSSH's letters, T as an operand of
 * `eice forward`. False when it is malformed. `text` is kept. */
bool cli_forward_add(cli *c, char kind, const char *text);
void cli_forward_forget(cli *c);
bool cli_forward_needs_ssh(const cli *c);
/* The table of listeners and connections; `run` polls it from now on. */
cli_forwards *cli_forwards_new(cli_run *run);
/* Listens for all forwards; false when one failed, which was reported. */
bool cli_forwards_listen(cli_forwards *t);
/* -A: connections to the agent go to the socket at `path`, which is kept. */
void cli_forwards_agent(cli_forwards *t, const char *path);
/* -W: stdin and stdout are a connection. False: `to` is malformed. */
bool cli_forwards_stdio(cli_forwards *t, const char *to);
/* The session that carries connections; NULL when it is lost: what has sent
 * nothing through it yet waits for the next one. */
void cli_forwards_attach(cli_forwards *t, eice_ssh *ssh);
/* Takes no new connections. */
void cli_forwards_stop(cli_forwards *t);
size_t cli_forwards_busy(const cli_forwards *t); /* connections there are */
bool cli_forwards_failed(const cli_forwards *t); /* -W, or one of -R */
bool cli_forwards_settled(const cli_forwards *t); /* all of -R answered */
void cli_forwards_list(const cli_forwards *t, FILE *out);
/* One line of JSON about the listeners. */
void cli_forwards_ready(const cli_forwards *t, FILE *out);
bool cli_forwards_listening(const cli_forwards *t);
void cli_forwards_free(cli_forwards *t); /* NULL is allowed */
/* For cli_run_turn. */
size_t cli_forwards_fds(cli_forwards *t, struct pollfd *fds, size_t cap);
bool cli_forwards_work(cli_forwards *t, const struct pollfd *fds, size_t n);
uint64_t cli_forwards_deadline(const cli_forwards *t);

/* ---- jump.c ------------------------------------------------------------ */

/* Opens the hops of -J one after the other; what is connected next goes
 * through the last of them. False: reported. */
bool cli_jump_open(cli_run *r);
void cli_jump_close(cli_run *r);

/* ---- term.c ------------------------------------------------------------ */

typedef struct cli_term {
    bool raw;
} cli_term;

void cli_term_size(int fd, eice_pty *pty);
/* The terminal's modes as RFC 4254 8 has them; bytes written. */
size_t cli_term_modes(int fd, uint8_t *out, size_t cap);
/* Raw until cli_term_restore, which is also done at exit and by signals that
 * end the process. */
bool cli_term_raw(int fd);
void cli_term_restore(void);

/* ---- proxy.c ----------------------------------------------------------- */

/* Carries two descriptors, or the same one twice, through a tunnel. */
bool cli_carry(cli *c, int in, int out, uint32_t idle_ms);

/* ---- key.c ------------------------------------------------------------- */

/* The public key to be pushed: a file, or "agent" for the first key of the
 * running ssh-agent that EC2 Instance Connect takes, or "agent:" and a part of
 * its comment or fingerprint; NULL looks for
 * ~/.ssh/id_ed25519.pub, ~/.ssh/id_rsa.pub, then the agent. Reports. */
bool cli_public_key(const cli *c, const char *from, char *line, size_t cap);
/* With -i or IdentityFile, a private key, a public one or "agent" as above:
 * the key of the login goes into c->conn, which must not move; asks for its passphrase
 * where it has one. Its certificate goes with it. False: reported. Wiped at
 * the end of the program. */
bool cli_login_key(cli *c);
void cli_login_key_forget(void);

/* IdentityFile of ssh_config; always -1: go on. Keeps `path`. */
int cli_identity_file(cli *c, const char *path);

/* ---- agent.c ----------------------------------------------------------- */

/* Is an agent to be forwarded? -A and -a count before ForwardAgent, which may
 * name one. Then where it listens; false, and said, when there is none. */
bool cli_agent_wanted(const cli *c);
bool cli_agent_forwarded(const cli *c, char *path, size_t cap);
/* Picks a key of the agent, and writes its line: the one whose blob is
 * `exact`, else the first with `like` in its comment or fingerprint, else the
 * first that EC2 Instance Connect takes. `certificate` gets the blob of one
 * about it, for as long as the program runs, or is empty. */
bool cli_agent_key(const cli *c, const char *like, eice_str exact, char *line,
                   size_t cap, eice_str *certificate, eice_error *e);
/* Lets it sign for c->conn; the loop that waits for its answers. */
void cli_agent_signs(cli *c);
void cli_agent_attach(eice_posix *x);

/* ---- ask.c ------------------------------------------------------------- */

/* Asks for a secret, at the terminal or through SSH_ASKPASS; false: there is
 * no way to ask, or no answer. The answer is the caller's to wipe. */
bool cli_ask(const char *prompt, char *out, size_t cap);

#endif
