/* eice doctor: what its files share.
 *
 *   climb.c       asks AWS and connects: facts
 *   doctor.c      the rungs: from facts to verdicts
 *   doctortext.c  verdicts for people, and as JSON */
#ifndef EICE_DOCTOR_H
#define EICE_DOCTOR_H

#include "cli.h"

typedef enum verdict { V_OK, V_FAIL, V_WARN, V_SKIP } verdict;

/* Exit statuses, by where the ladder ended. */
enum {
    CLASS_CREDENTIALS = 3,
    CLASS_NETWORK,
    CLASS_PERMISSION,
    CLASS_INSTANCE,
    CLASS_ENDPOINT,
    CLASS_PATH,
    CLASS_SSH
};

/* What one rung has to say. */
typedef struct finding {
    char evidence[400];
    char cause[400];
    char fix[1000];
    char permission[96]; /* the least that is missing */
    char why[400];       /* more about a denial */
    eice_op op;          /* that the fix needs, with `on` and `peer` as for
                            cli_dry_run; unless `on` is "" */
    char on[64];
    char peer[64];
    int may;             /* carry out the fix: 1 yes, 0 no, else unknown */
    char may_not[800];
    int class_;
    uint32_t ms;         /* 0: not measured */
} finding;

#define DOCTOR_TRAIL 96

/* The facts. */
typedef struct doctor {
    const cli *c;              /* what was asked for */
    cli_facts f;
    eice_attempt trail[DOCTOR_TRAIL]; /* of both connections */
    size_t trail_count;
    size_t connect_at;         /* where that of the second begins */
    eice_error config;         /* keys, configuration, the way to AWS */
    eice_error error;          /* of the connection to the instance */
    bool tried;
    bool connected;
    char provider[96];
    char region[64];
    int64_t clock_offset;
    char whoami[80];           /* what the command answered */
    const char *user;
    unsigned port;
} doctor;

typedef struct rung {
    const char *name;
    int class_;
    eice_op op;                /* the call it rests on; COUNT: none */
    verdict (*look)(const doctor *d, finding *f);
} rung;

#define DOCTOR_RUNGS 23u
#define DOCTOR_TARGET 4u     /* before it --all has nothing to go on with */
#define DOCTOR_CONNECTED 14u /* before it the API tells, from it on a try */

/* From the lowest rung up; one without a name ends it. */
extern const rung doctor_ladder[DOCTOR_RUNGS + 1];

/* The verdict about one rung, with what there is to say. */
verdict doctor_look(const doctor *d, const rung *r, finding *f);

/* On stdout. */
void doctor_report(const cli *c, const rung *r, verdict v, const finding *f);
void doctor_report_begin(const cli *c, const char *target);
void doctor_report_end(const cli *c, bool good);
/* On a terminal: what goes on, in the last line; NULL takes it away. */
void doctor_progress(const cli *c, const char *what);

#endif
