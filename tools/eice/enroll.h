/* eice enroll: what its files share. */
#ifndef EICE_ENROLL_H
#define EICE_ENROLL_H

#include "cli.h"

#define ENROLL_MANY 512

typedef struct enrolled {
    char id[32];
    char name[128];      /* what it is called from now on */
    char endpoint[40];
    char login[64];      /* of user@target, then the one chosen */
    char state[24];      /* of the endpoint, at the last look */
    bool made;           /* the endpoint, now */
    bool ready;          /* it can be used */
    bool failed;         /* it cannot, and that is reported */
    bool opened[2];      /* a rule: into the instance, out of the endpoint */
    bool tested;
    bool gone;           /* --undo: there is no such instance any more */
} enrolled;

typedef struct enrolling {
    cli *c;
    cli_run r;
    cli_facts f;         /* of the target at hand */
    enrolled *list;
    size_t count;
    bool ask;            /* there is somebody who can be asked */
    eice_conn_opts given; /* as the options say */
    bool left;           /* q, or the end of the input */
} enrolling;

void enroll_say(const enrolling *w, const enrolled *e, const char *what,
                const char *value);
/* Returns false, for who ends with it. */
bool enroll_report(const enrolling *w, eice_err code, eice_stage stage,
                   const char *what, const char *value, const char *remedy);
/* --yes, or somebody says so. */
bool enroll_agreed(const enrolling *w, const char *question);
/* One call, its items kept; false: reported. */
bool enroll_call(enrolling *w, cli_call *a);
/* The facts of a target into w->f; false: reported. */
bool enroll_look(enrolling *w, const enrolled *e);

/* The connection for the calls; false: reported. */
bool enroll_open(enrolling *w);
/* One more for the list; without a name it is called by its id. */
bool enroll_add(enrolling *w, const char *id, const char *name);

/* ---- wizard.c ---------------------------------------------------------- */

/* Of a new endpoint; "" is the default of AWS. */
typedef struct enroll_settings {
    char subnet[64];
    char type[16];
    char keep[8]; /* yes or no: do instances see the client's address? */
    cli_words groups;
} enroll_settings;

/* Asks; false: left, or no answer. */
bool enroll_ask(enrolling *w, const char *question, const char *otherwise,
                char *out, size_t cap);
/* Each as the options say, else as somebody does; false: left. The Region,
 * when nobody has said which and somebody can be asked. */
bool enroll_choose_region(enrolling *w);
bool enroll_choose(enrolling *w);
bool enroll_choose_settings(enrolling *w, const enrolled *e,
                            enroll_settings *s);

/* ---- undo.c ------------------------------------------------------------ */

int enroll_undo(enrolling *w);

#endif
