/* eice cp: what its files share. */
#ifndef EICE_CP_H
#define EICE_CP_H

#include "cli.h"

#define PEERS 8
#define JOBS 64
#define WINDOW 112           /* blocks on their way, of 128 requests */
#define REWIND (4u << 20)    /* may be incomplete before a part's end */
#define DEPTH 64             /* of directories */
#define PATIENCE_MS 120000   /* for an answer of the SFTP server */
#define FAREWELL_MS 3000     /* for cleaning up after a signal */
#define BLOCK EICE_SFTP_BLOCK

typedef struct peer {
    char *name;              /* as typed: [user@]TARGET */
    char *host;              /* without the login */
    cli c;                   /* with this peer's target and login */
    cli_run run;             /* its executor is the copy's */
    eice_ssh *ssh;
    int channel;
    eice_sftp sftp;
    uint64_t heard_ms;
} peer;

/* Where the walk waits for its answer. */
typedef struct answer {
    bool done;
    uint32_t status;
    eice_sftp_attrs attrs;
    char *text;              /* on the heap: handle or names of a directory */
    size_t len;
} answer;

typedef enum job_step { FREE, LOOKING, OPENING, COPYING, VERIFYING, CLOSING,
                        RENAMING } job_step;

/* Which of a job's requests a reply belongs to; 0 is the walk's. */
enum { TAG_ANY = 1, TAG_FROM, TAG_TO, TAG_READ, TAG_HOLD, TAG_CHECK, TAG_LOOK,
       TAG_IGNORED };

/* One side of a job: a file here when there is no peer. */
typedef struct end {
    peer *p;
    char *path;
    int fd;
    bool open;
    size_t len;
    char handle[EICE_SFTP_HANDLE];
} end;

/* --checksum between two targets: a block of the source, until the same one
 * of the copy is there. */
typedef struct held {
    struct held *next;
    uint64_t at;
    size_t len;
    uint8_t data[BLOCK];
} held;

typedef struct job {
    job_step step;
    unsigned waiting;        /* replies to come */
    end from;
    end to;                  /* its path: the part's */
    char *target;
    eice_sftp_attrs attrs;   /* of the source */
    uint64_t at;             /* next block */
    bool made;               /* the part is ours to remove */
    bool hole;               /* the last block was not written */
    bool differs;            /* --checksum */
    held *held;
    bool failed;
} job;

typedef struct late {        /* a directory whose times are set at the end */
    char *path;
    eice_sftp_attrs attrs;
} late;

typedef struct copy {
    cli *c;
    cli_run run;             /* executor and signals, no connection */
    peer *peers[PEERS];
    size_t peer_count;
    peer *to;                /* NULL: here */
    job jobs[JOBS];
    size_t busy;
    bool open;               /* all peers */
    bool stop;               /* no connection, or a signal */
    bool walked;
    bool shown;
    late *lates;
    size_t late_count;
    uint64_t began_ms;
    uint64_t drawn_ms;       /* the line of progress, and its bytes */
    uint64_t drawn;
    uint64_t rate;           /* bytes a second */
    uint64_t asked;          /* bytes, for -l */
    uint64_t total;
    uint64_t moved;          /* or that were there: parts, holes */
    uint64_t spared;         /* those */
    uint64_t files;
    uint64_t errors;
    uint64_t skipped;
    uint8_t block[2][BLOCK];
} copy;

/* ---- cp.c: the command, its connections and its loop ------------------- */

/* One turn; false when it is all over. */
bool cp_pump(copy *k);

/* ---- cpwalk.c: through the sources ------------------------------------- */

/* Copies the sources; those with a peer in `from` are paths there. */
void cp_walk(copy *k, peer **from, char **paths, size_t count,
             const char *destination);
void cp_walk_reply(answer *a, const eice_sftp_reply *r);

/* ---- cpjob.c: a file --------------------------------------------------- */

eice_sftp_request cp_request(eice_sftp_op op, const char *path);
/* Waits while there are too many, or one for the same target. */
void cp_job_start(copy *k, peer *from, const char *path, const char *target,
                  const eice_sftp_attrs *a);
/* False when it can do no more before an answer comes. */
bool cp_job_step(copy *k, job *j);
void cp_job_reply(copy *k, job *j, const eice_sftp_reply *r);
void cp_job_free(copy *k, job *j);

/* ---- cptext.c: what is said, and small things -------------------------- */

uint64_t cp_now(void); /* ms */
void cp_clear_line(copy *k);
void cp_say(copy *k, const char *path, const char *why);
/* An error of one file; the rest goes on. */
void cp_complain(copy *k, const char *path, const char *why);
/* The line of progress, when there is a terminal and it is time. */
void cp_draw(copy *k);
/* Memory, or the end. */
void *cp_must(void *memory);
char *cp_text(const char *text, size_t len);
char *cp_join(const char *directory, const char *name, size_t len);
/* The last component, without slashes behind it; "" for "/", ".", "..". */
eice_str cp_base_name(const char *path);

#endif
