/* eice enroll: what its files share. */
#ifndef EICE_ENROLL_H
#define EICE_ENROLL_H

#include "cli.h"

#define ENROLL_TAG "eice.h:created-by"

typedef struct enrolled {
    char id[32];
    char name[128];      /* what it is called from now on */
    char endpoint[40];
    char login[64];      /* of user@target, then the one chosen */
    bool made;           /* the endpoint, now */
    bool opened[2];      /* a rule: into the instance, out of the endpoint */
    bool tested;
} enrolled;

typedef struct enrolling {
    cli *c;
    cli_run r;
    cli_facts f;         /* of the target at hand */
    enrolled *list;
    size_t count;
    bool ask;            /* there is somebody who can be asked */
    eice_conn_opts given; /* as the options say */
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

/* ---- undo.c ------------------------------------------------------------ */

int enroll_undo(enrolling *w);

#endif
