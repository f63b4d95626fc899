/* eice cp: files over SFTP, to, from and between instances.
 *
 * One walk goes through the sources and waits for its own answers; what it
 * finds becomes jobs, a file each, that go on by themselves whenever an
 * answer comes. So many files, and many blocks of each, are on their way. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEERS 8
#define JOBS 64
#define WINDOW 64            /* blocks on their way, of 128 requests */
#define REWIND (4u << 20)    /* may be incomplete before a part's end */
#define DEPTH 64             /* of directories */
#define PATIENCE_MS 120000   /* for an answer of the SFTP server */
#define FAREWELL_MS 3000     /* for cleaning up after a signal */
#define BLOCK EICE_SFTP_BLOCK

typedef struct peer {
    cli c;                   /* with this peer's target and login */
    cli_run run;             /* shares its executor with the others */
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
enum { TAG_ANY = 1, TAG_FROM, TAG_TO, TAG_READ, TAG_CHECK, TAG_LOOK,
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
    bool failed;
} job;

typedef struct late {        /* a directory whose times are set at the end */
    char *path;
    eice_sftp_attrs attrs;
} late;

typedef struct copy {
    cli *c;
    cli_run run;
    peer *peers[PEERS];
    size_t peer_count;
    peer *to;                /* NULL: here */
    job jobs[JOBS];
    size_t busy;
    bool stop;               /* no connection, or a signal */
    bool walked;
    bool shown;
    late *lates;
    size_t late_count;
    uint64_t began_ms;
    uint64_t drawn_ms;
    uint64_t asked;          /* bytes, for -l */
    uint64_t total;
    uint64_t moved;
    uint64_t files;
    uint64_t errors;
    uint64_t skipped;
    uint8_t block[2][BLOCK];
} copy;

static bool pump(copy *k);

static uint64_t now_ms(void)
{
    return eice_posix_now().ms;
}

/* The first one's is the one that all share. */
static cli_run *run_of(copy *k, peer *p)
{
    return p == k->peers[0] ? &k->run : &p->run;
}

/* ---- texts ------------------------------------------------------------- */

static void clear_line(copy *k)
{
    if (k->shown) {
        fputs("\r\033[K", stderr);
        k->shown = false;
    }
}

static void say(copy *k, const char *path, const char *why)
{
    const eice_str name = eice_str_c(path);
    eice_error e;

    clear_line(k);
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_SESSION, "%S: %s", &name, why);
    if (k->c->json) {
        cli_report(k->c, &e);
    } else {
        fprintf(stderr, "eice: %s\n", e.text);
    }
}

static void complain(copy *k, const char *path, const char *why)
{
    if (!k->stop) { /* else that has been said, and is why */
        k->errors++;
        say(k, path, why);
    }
}

static void put_size(eice_buf *b, uint64_t n)
{
    static const char units[] = "BKMGT";
    size_t u = 0;

    for (n *= 10; n >= 10240 && u < 4; u++) {
        n /= 1024;
    }
    eice_put_u64(b, n / 10);
    if (u > 0) {
        eice_putf(b, ".%u", (unsigned)(n % 10));
    }
    eice_put_byte(b, (unsigned char)units[u]);
}

/* Bytes, and once all is known per cent and the time it will still take. */
static void draw(copy *k)
{
    const uint64_t now = now_ms();
    uint64_t rate;
    char text[120];
    eice_buf b;

    if (k->c->quiet || k->c->json || now - k->drawn_ms < 250
        || isatty(STDERR_FILENO) != 1) {
        return;
    }
    k->drawn_ms = now;
    rate = k->moved * 1000 / (now - k->began_ms + 1);
    eice_buf_init(&b, text, sizeof text);
    if (k->walked && k->total > 0) {
        eice_putf(&b, "%u%%  ", (unsigned)(k->moved * 100 / k->total));
    }
    put_size(&b, k->moved);
    eice_put_c(&b, "  ");
    put_size(&b, rate);
    eice_putf(&b, "/s  %l files", k->files);
    if (k->walked && rate > 0 && k->total >= k->moved) {
        const uint64_t s = (k->total - k->moved) / rate;

        eice_putf(&b, "  %l:%s%u left", s / 60, s % 60 < 10 ? "0" : "",
                  (unsigned)(s % 60));
    }
    fprintf(stderr, "\r\033[K%s", eice_buf_c(&b));
    k->shown = true;
}

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("eice: out of memory\n", stderr);
        exit(CLI_FAILED);
    }
    return memory;
}

static char *text_copy(const char *text, size_t len)
{
    return (char *)must(strndup(text, len));
}

static char *join(const char *directory, const char *name, size_t len)
{
    const size_t n = strlen(directory);
    char *path = (char *)must(calloc(1, n + len + 2));

    memcpy(path, directory, n);
    if (n > 0 && path[n - 1] != '/') {
        path[n] = '/';
    }
    memcpy(path + strlen(path), name, len);
    return path;
}

/* The last component, without slashes behind it; "" for "/", ".", "..". */
static eice_str base_name(const char *path)
{
    size_t len = strlen(path);
    size_t at;
    eice_str name;

    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    for (at = len; at > 0 && path[at - 1] != '/'; at--) {
    }
    name = eice_str_make(path + at, len - at);
    return eice_sftp_plain(name) ? name : eice_str_make("", 0);
}

/* ---- requests of the walk ---------------------------------------------- */

static eice_sftp_request request(eice_sftp_op op, const char *path)
{
    eice_sftp_request q;

    memset(&q, 0, sizeof q);
    q.op = op;
    q.text = eice_str_c(path);
    return q;
}

/* Asks and waits, while the jobs go on. False: nothing came, and why was
 * said already. */
static bool ask(copy *k, peer *p, eice_sftp_request *q, answer *a)
{
    memset(a, 0, sizeof *a);
    q->user = a;
    q->tag = 0;
    while (!eice_sftp_ask(&p->sftp, q)) {
        if (!pump(k)) {
            return false;
        }
    }
    while (!a->done) {
        if (!pump(k)) {
            return false;
        }
    }
    return true;
}

static const char *ask_path(copy *k, peer *p, eice_sftp_op op,
                            const char *path, eice_sftp_attrs *attrs)
{
    eice_sftp_request q = request(op, path);
    answer a;

    q.attrs = *attrs;
    if (!ask(k, p, &q, &a)) {
        return "no answer";
    }
    *attrs = a.attrs;
    return a.status == EICE_SFTP_OK ? NULL : eice_sftp_status_text(a.status);
}

static void from_stat(eice_sftp_attrs *a, const struct stat *st)
{
    memset(a, 0, sizeof *a);
    a->flags = EICE_SFTP_SIZE | EICE_SFTP_MODE | EICE_SFTP_TIMES;
    a->size = (uint64_t)st->st_size;
    a->mode = (uint32_t)st->st_mode;
    a->atime = (uint32_t)st->st_atime;
    a->mtime = (uint32_t)st->st_mtime;
}

/* NULL, or why it cannot be looked at. */
static const char *look(copy *k, peer *p, const char *path,
                        eice_sftp_attrs *a)
{
    struct stat st;

    memset(a, 0, sizeof *a);
    if (p != NULL) {
        return ask_path(k, p, EICE_SFTP_STAT, path, a);
    }
    if (stat(path, &st) != 0) {
        return strerror(errno);
    }
    from_stat(a, &st);
    return NULL;
}

static bool is_directory(copy *k, peer *p, const char *path)
{
    eice_sftp_attrs a;

    return look(k, p, path, &a) == NULL && S_ISDIR(a.mode);
}

/* What a directory holds. */
typedef struct listing {
    char **name;
    eice_sftp_attrs *attrs;
    size_t count;
} listing;

static void list_add(listing *l, const char *name, size_t len,
                     const eice_sftp_attrs *a)
{
    if ((l->count & (l->count - 1)) == 0) { /* room for twice as many */
        const size_t cap = l->count > 0 ? 2 * l->count : 1;

        l->name = (char **)must(realloc(l->name, cap * sizeof *l->name));
        l->attrs = (eice_sftp_attrs *)must(
            realloc(l->attrs, cap * sizeof *l->attrs));
    }
    l->attrs[l->count] = *a;
    l->name[l->count++] = text_copy(name, len);
}

static void list_free(listing *l)
{
    while (l->count > 0) {
        free(l->name[--l->count]);
    }
    free(l->name);
    free(l->attrs);
}

static const char *list_here(const char *path, listing *l)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    if (d == NULL) {
        return strerror(errno);
    }
    while ((entry = readdir(d)) != NULL) {
        const size_t len = strlen(entry->d_name);
        eice_sftp_attrs a;
        struct stat st;

        memset(&a, 0, sizeof a);
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            from_stat(&a, &st);
        }
        if (eice_sftp_plain(eice_str_make(entry->d_name, len))) {
            list_add(l, entry->d_name, len, &a);
        }
    }
    closedir(d);
    return NULL;
}

/* Names of a server that could lead out of the directory are refused. */
static void list_names(copy *k, const char *path, eice_str names, listing *l)
{
    eice_sftp_reply r;
    eice_sftp_entry e;

    memset(&r, 0, sizeof r);
    r.names = names;
    while (eice_sftp_name(&r, &e)) {
        if (eice_sftp_plain(e.name)) {
            list_add(l, e.name.ptr, e.name.len, &e.attrs);
        } else if (!eice_str_is(e.name, ".") && !eice_str_is(e.name, "..")) {
            char text[300];
            eice_buf b;

            eice_buf_init(&b, text, sizeof text);
            eice_putf(&b, "refused a name the server sent: %S", &e.name);
            complain(k, path, eice_buf_c(&b));
        }
    }
}

static const char *list_there(copy *k, peer *p, const char *path, listing *l)
{
    eice_sftp_request q = request(EICE_SFTP_OPENDIR, path);
    char *handle = NULL;
    answer a;

    while (ask(k, p, &q, &a) && a.status == EICE_SFTP_OK) {
        if (handle == NULL) {
            handle = a.text;
            q.op = EICE_SFTP_READDIR;
            q.text = eice_str_make(a.text, a.len);
        } else {
            list_names(k, path, eice_str_make(a.text, a.len), l);
            free(a.text);
        }
    }
    if (handle != NULL) {
        q.op = EICE_SFTP_CLOSE;
        q.user = NULL;
        q.tag = TAG_IGNORED;
        while (!k->stop && !eice_sftp_ask(&p->sftp, &q) && pump(k)) {
        }
        free(handle);
    }
    return a.status == EICE_SFTP_EOF ? NULL : eice_sftp_status_text(a.status);
}

static const char *list(copy *k, peer *p, const char *path, listing *l)
{
    memset(l, 0, sizeof *l);
    return p != NULL ? list_there(k, p, path[0] != 0 ? path : ".", l)
                     : list_here(path, l);
}

/* ---- jobs: small things ------------------------------------------------ */

/* Whether what follows, a few requests, would be taken. */
static bool takes(const peer *p)
{
    const uint8_t *out;

    return p == NULL
           || (p->sftp.asked + 4 <= EICE_SFTP_ASKED
               && eice_sftp_out(&p->sftp, &out) < 131072);
}

/* Asks for a job: its own counter knows what is on its way. */
static bool job_ask(job *j, peer *p, eice_sftp_request *q, int tag)
{
    q->user = j;
    q->tag = tag;
    if (!eice_sftp_ask(&p->sftp, q)) {
        return false;
    }
    j->waiting++;
    return true;
}

static void job_fail(copy *k, job *j, const end *e, const char *why)
{
    if (!j->failed) {
        complain(k, e == &j->to ? j->target : j->from.path, why);
    }
    j->failed = true;
}

static eice_str handle_of(const end *e)
{
    return eice_str_make(e->handle, e->len);
}

/* Beside the target, the same for the same source: name, size and time are
 * in it, so that a part of another version is never continued. */
static char *part_name(const char *target, const eice_sftp_attrs *a)
{
    const eice_str base = base_name(target);
    const size_t before = (size_t)(base.ptr - target);
    eice_sha256_ctx h;
    uint8_t hash[32];
    char text[80];
    char *directory;
    char *path;
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    eice_putf(&b, "/%l/%u", a->size, (unsigned)a->mtime);
    eice_sha256_init(&h);
    eice_sha256_update(&h, base.ptr, base.len);
    eice_sha256_update(&h, text, b.len);
    eice_sha256_final(&h, hash);
    eice_buf_init(&b, text, sizeof text);
    eice_put_c(&b, ".eice-");
    eice_put_hex(&b, hash, 12);
    eice_put_c(&b, ".part");
    directory = text_copy(target, before);
    path = join(directory, text, b.len);
    free(directory);
    return path;
}

static uint32_t file_mode(const job *j)
{
    return (j->attrs.flags & EICE_SFTP_MODE) != 0 ? j->attrs.mode & 0777u
                                                  : 0644u;
}

/* Continues behind what a part certainly holds. */
static void resume_at(copy *k, job *j, uint64_t size)
{
    if (size <= j->attrs.size && size > REWIND) {
        j->at = (size - REWIND) / BLOCK * BLOCK;
    }
    if (j->at > 0 && k->c->verbose > 0) {
        clear_line(k);
        cli_say(k->c, "%s: continued at %u MiB", j->target,
                (unsigned)(j->at >> 20));
    }
}

static void job_free(copy *k, job *j)
{
    free(j->from.path);
    free(j->to.path);
    free(j->target);
    memset(j, 0, sizeof *j);
    k->busy--;
}

/* ---- jobs: opening ----------------------------------------------------- */

static void open_from_here(copy *k, job *j)
{
    struct stat st;

    j->from.fd = open(j->from.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (j->from.fd < 0 || fstat(j->from.fd, &st) != 0
        || !S_ISREG(st.st_mode)) {
        job_fail(k, j, &j->from,
                 j->from.fd < 0 ? strerror(errno) : "not a regular file");
    }
    j->from.open = j->from.fd >= 0;
}

static void open_to_here(copy *k, job *j)
{
    const bool resume = k->c->cp.resume;
    const mode_t mode = (mode_t)(file_mode(j) | 0200u);
    struct stat st;

    if (!resume) {
        (void)unlink(j->to.path);
    }
    j->to.fd = open(j->to.path,
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
                        | (resume ? 0 : O_EXCL),
                    mode);
    if (j->to.fd < 0 || fstat(j->to.fd, &st) != 0) {
        job_fail(k, j, &j->to, strerror(errno));
        return;
    }
    j->to.open = true;
    j->made = true;
    if ((uint64_t)st.st_size > j->attrs.size) {
        (void)!ftruncate(j->to.fd, 0); /* not ours: begin again */
    } else {
        resume_at(k, j, (uint64_t)st.st_size);
    }
}

static bool ask_open(job *j, end *e, uint32_t flags, int tag)
{
    eice_sftp_request q = request(EICE_SFTP_OPEN, e->path);

    q.flags = flags;
    if (tag == TAG_TO) {
        q.attrs.flags = EICE_SFTP_MODE;
        q.attrs.mode = file_mode(j) | 0200u;
    }
    return job_ask(j, e->p, &q, tag);
}

/* Whether a part is there to be continued, before it is opened. Otherwise
 * what lies there is removed: links there are not followed. */
static bool step_look(copy *k, job *j)
{
    eice_sftp_request q = request(k->c->cp.resume ? EICE_SFTP_LSTAT
                                                  : EICE_SFTP_REMOVE,
                                  j->to.path);

    if (j->to.p != NULL && !job_ask(j, j->to.p, &q, TAG_LOOK)) {
        return false;
    }
    j->step = OPENING;
    return true;
}

/* The part is opened right behind its removal, but only behind the answer
 * when it may be continued. */
static bool step_open(copy *k, job *j)
{
    uint32_t flags = EICE_SFTP_FOR_READ | EICE_SFTP_FOR_WRITE
                     | EICE_SFTP_CREATE;

    if (k->c->cp.resume && j->waiting > 0) {
        return false;
    }
    if (!takes(j->from.p) || !takes(j->to.p)) {
        return false;
    }
    flags |= j->made ? 0u : EICE_SFTP_EXCLUSIVE;
    if (j->to.p == NULL) {
        open_to_here(k, j);
    } else if (!j->failed) {
        (void)ask_open(j, &j->to, flags, TAG_TO);
    }
    if (j->from.p == NULL) {
        open_from_here(k, j);
    } else if (!j->failed) {
        (void)ask_open(j, &j->from, EICE_SFTP_FOR_READ, TAG_FROM);
    }
    k->moved += j->at;
    j->step = COPYING;
    return true;
}

/* ---- jobs: bytes ------------------------------------------------------- */

static bool all_zero(const uint8_t *p, size_t n)
{
    return n > 0 && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Writes a block; blocks of zeros stay holes. False: not now. */
static bool put_block(copy *k, job *j, uint64_t at, const uint8_t *data,
                      size_t n)
{
    eice_sftp_request q;

    if (all_zero(data, n)) {
        j->hole = j->hole || at + n == j->attrs.size;
    } else if (j->to.p == NULL) {
        if (pwrite(j->to.fd, data, n, (off_t)at) != (ssize_t)n) {
            job_fail(k, j, &j->to,
                     errno != 0 ? strerror(errno) : "disk full");
        }
    } else {
        memset(&q, 0, sizeof q);
        q.op = EICE_SFTP_WRITE;
        q.text = handle_of(&j->to);
        q.more = eice_str_make(data, n);
        q.offset = at;
        if (!job_ask(j, j->to.p, &q, TAG_ANY)) {
            return false;
        }
    }
    k->moved += n;
    return true;
}

static bool ask_read(job *j, end *e, uint64_t at, uint32_t len, int tag)
{
    eice_sftp_request q;

    memset(&q, 0, sizeof q);
    q.op = EICE_SFTP_READ;
    q.text = handle_of(e);
    q.offset = at;
    q.len = len;
    return job_ask(j, e->p, &q, tag);
}

/* Of a block that came short; later, and all behind it, when that cannot be
 * asked for now. */
static void read_rest(job *j, end *e, const eice_sftp_reply *r)
{
    const uint32_t n = (uint32_t)r->text.len;

    if (n < r->len
        && !ask_read(j, e, r->offset + n, r->len - n, r->tag)
        && j->at > r->offset + n) {
        j->at = r->offset + n;
    }
}

/* A hole is passed over at once, in whole blocks. */
static void skip_hole(job *j)
{
    const off_t next = lseek(j->from.fd, (off_t)j->at, SEEK_DATA);
    const uint64_t at = next >= 0 ? (uint64_t)next / BLOCK * BLOCK
                        : errno == ENXIO ? (j->attrs.size - 1) / BLOCK * BLOCK
                                         : 0;

    if (at > j->at && at < j->attrs.size) {
        j->at = at;
    }
}

static bool block_from_here(copy *k, job *j, uint32_t len)
{
    const ssize_t n = pread(j->from.fd, k->block[0], len, (off_t)j->at);

    if (n == BLOCK && all_zero(k->block[0], BLOCK)) {
        const uint64_t before = j->at;

        skip_hole(j);
        if (j->at > before) {
            j->at -= len; /* the caller counts this block */
            k->moved += j->at + len - before;
            return true;
        }
    }
    if (n != (ssize_t)len) {
        job_fail(k, j, &j->from,
                 n < 0 ? strerror(errno) : "it became shorter meanwhile");
        return true;
    }
    return put_block(k, j, j->at, k->block[0], len);
}

/* -l: Kbit/s, as scp. */
static bool within_limit(const copy *k)
{
    const uint64_t ms = now_ms() - k->began_ms;

    return k->c->cp.limit == 0
           || k->asked <= (ms + 100) * k->c->cp.limit / 8;
}

static bool step_copy(copy *k, job *j)
{
    const uint64_t left = j->attrs.size - j->at;
    const uint32_t len = left < BLOCK ? (uint32_t)left : BLOCK;
    const peer *p = j->from.p != NULL ? j->from.p : j->to.p;
    const bool opened = j->from.open && j->to.open;

    if (j->failed || (opened && left == 0)) {
        if (j->waiting > 0) {
            return false;
        }
        j->step = k->c->cp.checksum && !j->failed ? VERIFYING : CLOSING;
        j->at = 0;
        return true;
    }
    if (!opened || p->sftp.asked >= WINDOW || !within_limit(k)
        || !(j->from.p != NULL ? ask_read(j, &j->from, j->at, len, TAG_READ)
                               : block_from_here(k, j, len))) {
        return false;
    }
    j->at += len;
    k->asked += len;
    return true;
}

/* --checksum: the remote file is read back and compared with the one here. */
static bool step_verify(job *j)
{
    end *far = j->from.p != NULL ? &j->from : &j->to;
    const uint64_t left = j->attrs.size - j->at;
    const uint32_t len = left < BLOCK ? (uint32_t)left : BLOCK;

    if (j->failed || left == 0) {
        if (j->waiting > 0) {
            return false;
        }
        j->step = CLOSING;
        return true;
    }
    if (far->p->sftp.asked >= WINDOW
        || !ask_read(j, far, j->at, len, TAG_CHECK)) {
        return false;
    }
    j->at += len;
    return true;
}

static void verify_block(copy *k, job *j, const eice_sftp_reply *r)
{
    const end *near = j->from.p != NULL ? &j->to : &j->from;
    end *far = j->from.p != NULL ? &j->from : &j->to;
    const uint32_t n = (uint32_t)r->text.len;

    if (r->status != EICE_SFTP_OK
        || pread(near->fd, k->block[1], n, (off_t)r->offset) != (ssize_t)n
        || memcmp(k->block[1], r->text.ptr, n) != 0) {
        j->differs = true;
        job_fail(k, j, &j->to, "differs from its source after the copy");
    } else {
        read_rest(j, far, r);
    }
}

/* ---- jobs: ending ------------------------------------------------------ */

static void close_here(copy *k, job *j)
{
    struct timespec times[2];
    bool good = ftruncate(j->to.fd, (off_t)j->attrs.size) == 0;

    memset(times, 0, sizeof times);
    times[0].tv_sec = (time_t)j->attrs.atime;
    times[1].tv_sec = (time_t)j->attrs.mtime;
    if (k->c->cp.preserve) {
        good = good && fchmod(j->to.fd, (mode_t)file_mode(j)) == 0
               && futimens(j->to.fd, times) == 0;
    } else if ((file_mode(j) & 0200u) == 0) {
        good = good && fchmod(j->to.fd, (mode_t)file_mode(j)) == 0;
    }
    if ((close(j->to.fd) != 0 || !good) && !j->failed) {
        job_fail(k, j, &j->to, strerror(errno));
    }
    j->to.open = false;
}

static bool close_there(copy *k, job *j)
{
    eice_sftp_request q;

    memset(&q, 0, sizeof q);
    q.text = handle_of(&j->to);
    q.op = EICE_SFTP_FSETSTAT;
    q.attrs = j->attrs;
    q.attrs.mode = file_mode(j);
    q.attrs.flags = (j->hole ? EICE_SFTP_SIZE : 0u)
                    | (k->c->cp.preserve || (file_mode(j) & 0200u) == 0
                           ? EICE_SFTP_MODE
                           : 0u)
                    | (k->c->cp.preserve
                           ? EICE_SFTP_TIMES & j->attrs.flags
                           : 0u);
    if (!takes(j->to.p)) {
        return false;
    }
    if (q.attrs.flags != 0 && !j->failed) {
        (void)job_ask(j, j->to.p, &q, TAG_ANY);
    }
    q.op = EICE_SFTP_CLOSE;
    j->to.open = false;
    return job_ask(j, j->to.p, &q, TAG_ANY);
}

static bool step_close(copy *k, job *j)
{
    if (j->from.open && j->from.p != NULL) {
        eice_sftp_request q = request(EICE_SFTP_CLOSE, "");

        q.text = handle_of(&j->from);
        if (!job_ask(j, j->from.p, &q, TAG_IGNORED)) {
            return false;
        }
        j->from.open = false;
    } else if (j->from.open) {
        close(j->from.fd);
        j->from.open = false;
    }
    if (j->to.open && j->to.p == NULL) {
        close_here(k, j);
    } else if (j->to.open) {
        return close_there(k, j);
    }
    if (j->waiting > 0) {
        return false;
    }
    j->step = RENAMING;
    return true;
}

/* One request for the replacement; two where the server cannot replace. */
static bool ask_rename(job *j)
{
    peer *p = j->to.p;
    eice_sftp_request q = request(EICE_SFTP_REMOVE, j->target);

    if (!takes(p)) {
        return false;
    }
    if (!p->sftp.posix_rename) {
        (void)job_ask(j, p, &q, TAG_IGNORED);
    }
    q.op = p->sftp.posix_rename ? EICE_SFTP_POSIX_RENAME : EICE_SFTP_RENAME;
    q.text = eice_str_c(j->to.path);
    q.more = eice_str_c(j->target);
    j->made = false;
    return job_ask(j, p, &q, TAG_TO);
}

/* A part is kept when the copy may be continued later. */
static bool drop_part(const copy *k, job *j)
{
    eice_sftp_request q = request(EICE_SFTP_REMOVE, j->to.path);

    if (k->c->cp.resume && !j->differs) {
        /* kept */
    } else if (j->to.p == NULL) {
        (void)unlink(j->to.path);
    } else if (!job_ask(j, j->to.p, &q, TAG_IGNORED)) {
        return false;
    }
    j->made = false;
    return true;
}

static bool step_rename(copy *k, job *j)
{
    if (j->made && j->failed) {
        return drop_part(k, j);
    }
    if (j->made && j->to.p != NULL) {
        return ask_rename(j);
    }
    if (j->made && rename(j->to.path, j->target) != 0) {
        job_fail(k, j, &j->to, strerror(errno));
        return true;
    }
    if (j->waiting > 0) {
        return false;
    }
    if (!j->failed) {
        k->files++;
        if (k->c->verbose > 0) {
            clear_line(k);
            cli_say(k->c, "%s", j->target);
        }
    }
    job_free(k, j);
    return true;
}

static bool job_step_on(copy *k, job *j)
{
    switch (j->step) {
    case LOOKING:
        return step_look(k, j);
    case OPENING:
        return step_open(k, j);
    case COPYING:
        return step_copy(k, j);
    case VERIFYING:
        return step_verify(j);
    case CLOSING:
        return step_close(k, j);
    case RENAMING:
        return step_rename(k, j);
    case FREE:
        break;
    }
    return false;
}

/* ---- jobs: replies ----------------------------------------------------- */

static void opened(copy *k, job *j, end *e, const eice_sftp_reply *r)
{
    if (r->status != EICE_SFTP_OK) {
        job_fail(k, j, e, eice_sftp_status_text(r->status));
        return;
    }
    e->len = r->text.len;
    memcpy(e->handle, r->text.ptr, r->text.len);
    e->open = true;
    j->made = j->made || e == &j->to;
}

static void came(copy *k, job *j, const eice_sftp_reply *r)
{
    const uint32_t n = (uint32_t)r->text.len;

    if (r->status != EICE_SFTP_OK) {
        job_fail(k, j, &j->from,
                 r->status == EICE_SFTP_EOF
                     ? "it became shorter meanwhile"
                     : eice_sftp_status_text(r->status));
    } else if (!j->failed) {
        memcpy(k->block[1], r->text.ptr, n);
        if (put_block(k, j, r->offset, k->block[1], n)) {
            read_rest(j, &j->from, r);
        } else if (j->at > r->offset) {
            j->at = r->offset; /* asked for once more */
        }
    }
}

static void looked(copy *k, job *j, const eice_sftp_reply *r)
{
    if (!k->c->cp.resume || r->status != EICE_SFTP_OK) {
        return;
    }
    if (!S_ISREG(r->attrs.mode)) {
        job_fail(k, j, &j->to, "what lies in the place of its part is none");
        return;
    }
    j->made = true;
    resume_at(k, j, r->attrs.size);
}

static void job_status(copy *k, job *j, uint32_t status)
{
    if (status != EICE_SFTP_OK) {
        job_fail(k, j, &j->to, eice_sftp_status_text(status));
    }
}

static void job_reply(copy *k, job *j, const eice_sftp_reply *r)
{
    j->waiting--;
    switch (r->tag) {
    case TAG_LOOK:
        looked(k, j, r);
        break;
    case TAG_READ:
        came(k, j, r);
        break;
    case TAG_CHECK:
        verify_block(k, j, r);
        break;
    case TAG_FROM:
        opened(k, j, &j->from, r);
        break;
    case TAG_TO:
        if (r->op == EICE_SFTP_OPEN) {
            opened(k, j, &j->to, r);
            break;
        }
        j->made = r->status != EICE_SFTP_OK; /* the rename */
        job_status(k, j, r->status);
        break;
    case TAG_ANY:
        job_status(k, j, r->status);
        break;
    default:
        break;
    }
}

static void walk_reply(answer *a, const eice_sftp_reply *r)
{
    const eice_str s = r->op == EICE_SFTP_OPENDIR ? r->text : r->names;

    a->status = r->status;
    a->attrs = r->attrs;
    if (r->status == EICE_SFTP_OK
        && (r->op == EICE_SFTP_OPENDIR || r->op == EICE_SFTP_READDIR)) {
        a->text = (char *)must(malloc(s.len + 1));
        a->len = s.len;
        if (s.len > 0) {
            memcpy(a->text, s.ptr, s.len);
        }
    }
    a->done = true;
}

/* ---- the loop ---------------------------------------------------------- */

/* A source is not read while its data could not be passed on. */
static bool roomy(const copy *k, const peer *p)
{
    const uint8_t *out;

    return p == k->to || k->to == NULL
           || (k->to->sftp.asked < WINDOW
               && eice_sftp_out(&k->to->sftp, &out) < 131072);
}

static bool peer_replies(copy *k, peer *p)
{
    bool moved = false;
    eice_sftp_reply r;

    while (roomy(k, p) && eice_sftp_next(&p->sftp, &r)) {
        moved = true;
        if (r.tag == 0) {
            walk_reply((answer *)r.user, &r);
        } else if (r.user != NULL) {
            job_reply(k, (job *)r.user, &r);
        }
    }
    return moved;
}

static bool peer_bytes(peer *p)
{
    bool moved = false;
    const uint8_t *out;
    uint8_t *in;
    size_t n = eice_sftp_out(&p->sftp, &out);

    if (n > 0) {
        n = eice_channel_write(p->ssh, p->channel, out, n);
        eice_sftp_out_ack(&p->sftp, n);
        moved = n > 0;
    }
    n = eice_sftp_in(&p->sftp, &in);
    if (n > 0) {
        n = eice_channel_read(p->ssh, p->channel, 0, in, n);
        eice_sftp_in_ack(&p->sftp, n);
    }
    if (n > 0 || p->sftp.asked == 0) {
        p->heard_ms = now_ms();
    }
    return moved || n > 0;
}

/* False when this peer is of no more use, which has been said. */
static bool peer_good(copy *k, peer *p)
{
    const unsigned state = eice_channel_state(p->ssh, p->channel);
    eice_error e = p->sftp.error;

    if ((eice_conn_state(p->run.conn) & EICE_DONE) != 0) {
        clear_line(k);
        run_of(k, p)->signal = k->run.signal;
        (void)cli_run_good(run_of(k, p));
        return false;
    }
    if ((state & (EICE_CHAN_EOF | EICE_CHAN_CLOSED)) != 0) {
        eice_fail(&e, EICE_E_SFTP, EICE_STAGE_SESSION,
                  p->sftp.ready ? "the SFTP server ended"
                                : "the server does not speak SFTP");
    } else if (now_ms() - p->heard_ms > PATIENCE_MS) {
        eice_fail(&e, EICE_E_SSH_TIMEOUT, EICE_STAGE_SESSION,
                  "no answer from the SFTP server in %u s",
                  PATIENCE_MS / 1000u);
    }
    if (e.code != EICE_OK) {
        clear_line(k);
        cli_report(k->c, &e);
    }
    return e.code == EICE_OK;
}

static bool work(copy *k)
{
    bool moved = false;
    size_t i;

    for (i = 0; i < k->peer_count; i++) {
        if (k->peers[i]->ssh != NULL) {
            moved = peer_bytes(k->peers[i]) || moved;
            moved = peer_replies(k, k->peers[i]) || moved;
        }
    }
    for (i = 0; i < JOBS; i++) {
        /* a turn is bounded: data of the peers comes in between */
        unsigned steps = 8;

        while (k->jobs[i].step != FREE && steps-- > 0
               && job_step_on(k, &k->jobs[i])) {
            moved = true;
        }
    }
    return moved;
}

/* Until something comes, or there is something to be shown or sent. */
static void wait_turn(copy *k)
{
    k->run.wake_ms = now_ms() + (k->c->cp.limit != 0 ? 20u : 500u);
    cli_run_turn(&k->run, NULL, 0);
    k->run.wake_ms = 0;
}

/* One turn; false when it is all over. */
static bool pump(copy *k)
{
    const bool moved = !k->stop && work(k);
    size_t i;

    draw(k);
    if (moved) {
        eice_posix_process(k->run.x, NULL, 0);
    } else if (!k->stop) {
        wait_turn(k);
    }
    for (i = 0; i < k->peer_count && !k->stop; i++) {
        peer *p = k->peers[i];

        cli_trail(k->c, p->run.conn, &run_of(k, p)->seen);
        k->stop = !peer_good(k, p);
    }
    if (!k->stop && k->run.signal != 0) {
        k->stop = true;
        clear_line(k);
        cli_say(k->c, "ended by signal %d (%s)", k->run.signal,
                strsignal(k->run.signal));
    }
    return !k->stop;
}

/* Two sources with one name: one after the other. */
static bool being_written(const copy *k, const char *target)
{
    size_t i;

    for (i = 0; i < JOBS; i++) {
        if (k->jobs[i].step != FREE
            && strcmp(k->jobs[i].target, target) == 0) {
            return true;
        }
    }
    return false;
}

static void start_job(copy *k, peer *from, const char *path,
                      const char *target, const eice_sftp_attrs *a)
{
    size_t i = 0;
    job *j;

    while (k->busy == JOBS || being_written(k, target)) {
        if (!pump(k)) {
            return;
        }
    }
    while (k->jobs[i].step != FREE) {
        i++;
    }
    j = &k->jobs[i];
    j->from.p = from;
    j->from.path = text_copy(path, strlen(path));
    j->to.p = k->to;
    j->target = text_copy(target, strlen(target));
    j->to.path = part_name(target, a);
    j->attrs = *a;
    j->step = LOOKING;
    k->busy++;
    k->total += a->size;
}

/* ---- the walk ---------------------------------------------------------- */

static const char *make_directory(copy *k, const char *path, uint32_t mode)
{
    eice_sftp_attrs a;
    const char *why;

    memset(&a, 0, sizeof a);
    a.flags = EICE_SFTP_MODE;
    a.mode = (mode & 0777u) | 0700u;
    if (k->to != NULL) {
        why = ask_path(k, k->to, EICE_SFTP_MKDIR, path, &a);
    } else {
        why = mkdir(path, (mode_t)a.mode) == 0 ? NULL : strerror(errno);
    }
    return why != NULL && is_directory(k, k->to, path) ? NULL : why;
}

static void copy_entry(copy *k, peer *from, const char *path,
                       const char *target, eice_sftp_attrs *a,
                       unsigned depth);

static void copy_directory(copy *k, peer *from, const char *path,
                           const char *target, const eice_sftp_attrs *a,
                           unsigned depth)
{
    const char *why = depth > DEPTH ? "too many directories inside each other"
                                    : make_directory(k, target, a->mode);
    listing l;
    size_t i;

    if (why != NULL) {
        complain(k, target, why);
        return;
    }
    if (k->c->cp.preserve) {
        k->lates = (late *)must(realloc(
            k->lates, (k->late_count + 1) * sizeof *k->lates));
        k->lates[k->late_count].path = text_copy(target, strlen(target));
        k->lates[k->late_count++].attrs = *a;
    }
    why = list(k, from, path, &l);
    if (why != NULL) {
        complain(k, path, why);
    }
    for (i = 0; i < l.count && !k->stop; i++) {
        const size_t len = strlen(l.name[i]);
        char *inner = join(path, l.name[i], len);
        char *outer = join(target, l.name[i], len);

        copy_entry(k, from, inner, outer, &l.attrs[i], depth + 1);
        free(inner);
        free(outer);
    }
    list_free(&l);
}

/* A link inside a tree counts as the file it leads to; one to a directory
 * could lead anywhere, and around. */
static void copy_entry(copy *k, peer *from, const char *path,
                       const char *target, eice_sftp_attrs *a, unsigned depth)
{
    const uint32_t both = EICE_SFTP_MODE | EICE_SFTP_SIZE;
    const char *why = NULL;
    bool link = false;

    if ((a->flags & both) != both || S_ISLNK(a->mode)) {
        link = S_ISLNK(a->mode);
        why = look(k, from, path, a);
    }
    if (why != NULL) {
        complain(k, path, why);
    } else if (S_ISDIR(a->mode) && link) {
        k->skipped++;
        say(k, path, "skipped: a link to a directory");
    } else if (S_ISDIR(a->mode)) {
        copy_directory(k, from, path, target, a, depth);
    } else if (S_ISREG(a->mode)) {
        start_job(k, from, path, target, a);
    } else {
        complain(k, path, "not a regular file");
    }
}

/* One source as it stands. `into`: the destination is a directory. */
static void copy_source(copy *k, peer *from, const char *path,
                        const char *destination, bool into)
{
    const eice_str name = base_name(path);
    eice_sftp_attrs a;
    const char *why = look(k, from, path, &a);
    char *target = into && name.len > 0
                       ? join(destination, name.ptr, name.len)
                       : text_copy(destination, strlen(destination));

    if (k->stop) {
        /* said already */
    } else if (why != NULL) {
        complain(k, path, why);
    } else if (S_ISDIR(a.mode) && !k->c->cp.recursive) {
        complain(k, path, "a directory: -r copies them");
    } else {
        copy_entry(k, from, path, target, &a, 0);
    }
    free(target);
}

/* Behind a set: [abc], [a-z], [!a] or [^a]; NULL: it has no end. */
static const char *set_match(const char *p, unsigned char c, bool *in)
{
    const bool out = *p == '!' || *p == '^';
    const char *first = p + out;

    *in = false;
    for (p = first; *p != 0 && (*p != ']' || p == first); p++) {
        const unsigned char low = (unsigned char)*p;

        if (p[1] == '-' && p[2] != ']' && p[2] != 0) {
            p += 2;
        }
        *in = *in || (c >= low && c <= (unsigned char)*p);
    }
    *in = *in != out;
    return *p != 0 ? p + 1 : NULL;
}

/* As a shell does; `star`: the last one, and where its text began. */
static bool glob_match(const char *p, const char *name)
{
    const char *star = NULL;
    const char *from = NULL;

    if (name[0] == '.' && p[0] != '.') {
        return false;
    }
    while (*name != 0 || *p != 0) {
        const char *next = p + 1;
        bool good = *p == '?' && *name != 0;

        if (*p == '*') {
            star = ++p;
            from = name;
            continue;
        }
        if (*p == '[') {
            next = set_match(p + 1, (unsigned char)*name, &good);
        }
        if (*p == '\\' && p[1] != 0) {
            good = p[1] == *name;
            next = p + 2;
        } else if (next == NULL || (*p != '?' && *p != '[')) {
            good = *p != 0 && *p == *name;
            next = p + 1;
        }
        if (good && *name != 0) {
            p = next;
            name++;
        } else if (star != NULL && *from != 0) {
            p = star;
            name = ++from;
        } else {
            return false;
        }
    }
    return true;
}

/* Expands one component after the other; `found` gets the paths. */
static void expand(copy *k, peer *p, const char *before, const char *pattern,
                   listing *found)
{
    const char *slash = strchr(pattern, '/');
    const size_t len = slash != NULL ? (size_t)(slash - pattern)
                                     : strlen(pattern);
    const char *rest = slash != NULL ? slash + strspn(slash, "/") : "";
    char *word = text_copy(pattern, len);
    eice_sftp_attrs a;
    listing l;
    size_t i;

    memset(&a, 0, sizeof a);
    memset(&l, 0, sizeof l);
    if (len == 0 || strpbrk(word, "*?[\\") == NULL) {
        list_add(&l, word, len, &a);
    } else {
        (void)list(k, p, before, &l);
    }
    for (i = 0; i < l.count && !k->stop; i++) {
        char *path = len == 0 ? text_copy("/", 1)
                              : join(before, l.name[i], strlen(l.name[i]));

        if (len > 0 && !glob_match(word, l.name[i])
            && strcmp(word, l.name[i]) != 0) {
            /* another name */
        } else if (rest[0] != 0) {
            expand(k, p, path, rest, found);
        } else if (look(k, p, path, &a) == NULL) {
            list_add(found, path, strlen(path), &a);
        }
        free(path);
    }
    free(word);
    list_free(&l);
}

/* A remote path: as it is if there is such a file, else a pattern. */
static void copy_remote(copy *k, peer *from, const char *path,
                        const char *destination, bool into)
{
    eice_sftp_attrs a;
    listing found;
    size_t i;

    memset(&found, 0, sizeof found);
    if (strpbrk(path, "*?[\\") == NULL || look(k, from, path, &a) == NULL) {
        copy_source(k, from, path, destination, into);
        return;
    }
    expand(k, from, "", path, &found);
    if (found.count == 0 && !k->stop) {
        complain(k, path, "no file matches");
    } else if (found.count > 1 && !into) {
        complain(k, destination, "not a directory");
    }
    for (i = 0; i < found.count && !k->stop && (into || found.count == 1);
         i++) {
        copy_source(k, from, found.name[i], destination, into);
    }
    list_free(&found);
}

/* Inner directories first: setting their times would change their parents'
 * if anything did. */
static void settle_directories(copy *k)
{
    while (k->late_count > 0) {
        late *l = &k->lates[--k->late_count];
        struct timespec times[2];
        const char *why = NULL;

        memset(times, 0, sizeof times);
        times[0].tv_sec = (time_t)l->attrs.atime;
        times[1].tv_sec = (time_t)l->attrs.mtime;
        l->attrs.flags &= EICE_SFTP_MODE | EICE_SFTP_TIMES;
        l->attrs.mode &= 0777u;
        if (k->stop) {
            /* not any more */
        } else if (k->to != NULL) {
            why = ask_path(k, k->to, EICE_SFTP_SETSTAT, l->path, &l->attrs);
        } else if (utimensat(AT_FDCWD, l->path, times, 0) != 0
                   || chmod(l->path, (mode_t)l->attrs.mode) != 0) {
            why = strerror(errno);
        }
        if (why != NULL) {
            complain(k, l->path, why);
        }
        free(l->path);
    }
    free(k->lates);
}

/* ---- operands and peers ------------------------------------------------ */

/* Where the path of TARGET:path begins, as scp decides: a colon before any
 * slash, not the first character. NULL: a path here. */
static char *remote_path(char *operand)
{
    char *p = operand;
    char *user = strchr(operand, '@');
    char *host = user != NULL && user < operand + strcspn(operand, "/:")
                     ? user + 1
                     : operand;

    if (strncmp(host, "tag:", 4) == 0 && strchr(host + 4, ':') != NULL) {
        p = host + 4;
    } else if (host[0] == '[' && strchr(host, ']') != NULL) {
        p = strchr(host, ']');
    }
    p += strcspn(p, ":/");
    return *p == ':' && p > operand ? p : NULL;
}

static peer *peer_of(copy *k, char *target, bool alone)
{
    char *user = strrchr(target, '@');
    cli c = *k->c;
    peer *p;
    size_t i;

    c.user[0] = 0;
    if (user != NULL && user > target) {
        snprintf(c.user, sizeof c.user, "%.*s", (int)(user - target), target);
        target = user + 1;
    }
    if (target[0] == '[' && target[strlen(target) - 1] == ']') {
        target[strlen(target) - 1] = 0;
        target++;
    }
    c.conn.target = target;
    c.conn.goal = EICE_GOAL_SSH;
    for (i = 0; i < k->peer_count && !alone; i++) {
        p = k->peers[i];
        if (p != k->to && strcmp(p->c.conn.target, target) == 0
            && strcmp(p->c.user, c.user) == 0) {
            return p;
        }
    }
    if (k->peer_count == PEERS) {
        return NULL;
    }
    p = (peer *)must(calloc(1, sizeof *p));
    p->c = c;
    if (c.user[0] != 0) {
        p->c.conn.user = p->c.user;
    }
    k->peers[k->peer_count++] = p;
    return p;
}

static bool begin_peers(copy *k)
{
    eice_error e;
    size_t i;

    memset(&e, 0, sizeof e);
    if (!cli_run_open(&k->run, &k->peers[0]->c)) {
        return false;
    }
    for (i = 0; i < k->peer_count; i++) {
        peer *p = k->peers[i];

        p->run = k->run;
        p->run.c = &p->c;
        if (i > 0) {
            p->run.conn = eice_conn_new(&p->c.conn, eice_posix_now(), &e);
            if (p->run.conn == NULL) {
                cli_report(k->c, &e);
                return false;
            }
            (void)eice_posix_add(k->run.x, p->run.conn);
        }
    }
    eice_posix_process(k->run.x, NULL, 0);
    return true;
}

static bool peer_channel(copy *k, peer *p)
{
    unsigned state = 0;
    eice_channel_opts o;

    memset(&o, 0, sizeof o);
    o.kind = EICE_CHANNEL_SUBSYSTEM;
    o.command = eice_str_c("sftp");
    p->ssh = eice_conn_ssh(p->run.conn);
    p->channel = eice_channel_open(p->ssh, &o);
    while (p->channel >= 0
           && (eice_conn_state(p->run.conn) & EICE_DONE) == 0
           && (state & (EICE_CHAN_OPEN | EICE_CHAN_FAILED)) == 0) {
        cli_run_turn(&k->run, NULL, 0);
        state = eice_channel_state(p->ssh, p->channel);
    }
    if (p->channel < 0 || (state & EICE_CHAN_OPEN) == 0) {
        if (cli_run_good(run_of(k, p))) {
            cli_report(k->c, eice_channel_error(p->ssh, p->channel));
        }
        return false;
    }
    eice_sftp_init(&p->sftp, NULL);
    p->heard_ms = now_ms();
    return true;
}

static bool open_peers(copy *k)
{
    size_t i;

    if (!begin_peers(k)) {
        return false;
    }
    for (i = 0; i < k->peer_count; i++) {
        peer *p = k->peers[i];

        while ((eice_conn_state(p->run.conn) & (EICE_OPEN | EICE_DONE))
               == 0) {
            cli_run_turn(&k->run, NULL, 0);
            cli_trail(k->c, p->run.conn, &run_of(k, p)->seen);
        }
        run_of(k, p)->signal = k->run.signal;
        if (!cli_run_good(run_of(k, p)) || !peer_channel(k, p)) {
            return false;
        }
    }
    k->run.graceful = true; /* a signal leaves time to clean up */
    return true;
}

static void close_peers(copy *k)
{
    size_t i;

    for (i = k->peer_count; i-- > 0;) {
        peer *p = k->peers[i];

        if (p->run.conn != NULL) {
            eice_conn_close(p->run.conn);
            while ((eice_conn_state(p->run.conn) & EICE_DONE) == 0) {
                cli_run_turn(&k->run, NULL, 0);
            }
            if (i > 0) {
                eice_posix_remove(k->run.x, p->run.conn);
                eice_conn_free(p->run.conn);
            }
        }
        eice_sftp_free(&p->sftp);
        free(p);
    }
    cli_run_close(&k->run);
}

/* ---- the command ------------------------------------------------------- */

static void discard(peer *p)
{
    eice_sftp_reply r;

    while (eice_sftp_next(&p->sftp, &r)) {
    }
}

/* What was begun and cannot be ended: parts go, unless they may be continued
 * later. */
static void abandon(copy *k)
{
    const uint64_t until = now_ms() + FAREWELL_MS;
    const bool wait = k->to != NULL && k->to->ssh != NULL
                      && (eice_conn_state(k->to->run.conn) & EICE_DONE) == 0;
    size_t i;

    for (i = 0; i < JOBS; i++) {
        job *j = &k->jobs[i];
        eice_sftp_request q = request(EICE_SFTP_REMOVE, "");

        if (j->step == FREE) {
            continue;
        }
        if (!k->c->cp.resume && j->to.p == NULL && j->made) {
            (void)unlink(j->to.path);
        }
        q.text = eice_str_c(j->to.path);
        q.tag = TAG_IGNORED;
        while (!k->c->cp.resume && wait && now_ms() < until
               && !eice_sftp_ask(&k->to->sftp, &q)) {
            if (!peer_bytes(k->to)) {
                wait_turn(k);
            }
            eice_posix_process(k->run.x, NULL, 0);
            discard(k->to);
        }
        job_free(k, j);
    }
}

static void drain(copy *k)
{
    const uint64_t until = now_ms() + FAREWELL_MS;

    while (k->to != NULL && k->to->ssh != NULL && k->to->sftp.asked > 0
           && k->to->sftp.error.code == EICE_OK
           && now_ms() < until
           && (eice_conn_state(k->to->run.conn) & EICE_DONE) == 0) {
        if (!peer_bytes(k->to)) {
            wait_turn(k);
        }
        eice_posix_process(k->run.x, NULL, 0);
        discard(k->to);
    }
}

static int report(copy *k)
{
    const uint64_t ms = now_ms() - k->began_ms;
    char text[160];
    eice_buf b;

    clear_line(k);
    eice_buf_init(&b, text, sizeof text);
    if (k->c->json) {
        eice_putf(&b,
                  "{\"files\":%l,\"bytes\":%l,\"errors\":%l,\"skipped\":%l,"
                  "\"ms\":%l}",
                  k->files, k->moved, k->errors, k->skipped, ms);
        puts(eice_buf_c(&b));
    } else if (k->c->verbose > 0) {
        eice_putf(&b, "%l files, %l bytes in %l ms", k->files, k->moved, ms);
        cli_say(k->c, "%s", eice_buf_c(&b));
    }
    return k->errors > 0 || k->stop ? CLI_FAILED : CLI_OK;
}

static const char *remote_start(const char *path)
{
    if (path[0] == '~' && (path[1] == '/' || path[1] == 0)) {
        path += path[1] == '/' ? 2 : 1; /* SFTP begins at home */
    }
    return path[0] != 0 ? path : ".";
}

static void run_copy(copy *k, peer **from, char **paths, size_t count,
                     const char *destination)
{
    const size_t len = strlen(destination);
    bool into = is_directory(k, k->to, destination);
    size_t i;

    if (!into && !k->stop
        && (count > 1 || (destination[len - 1] == '/' && !k->c->cp.recursive))) {
        complain(k, destination, "no such directory");
        return;
    }
    for (i = 0; i < count && !k->stop; i++) {
        if (from[i] != NULL) {
            copy_remote(k, from[i], remote_start(paths[i]), destination,
                        into);
        } else {
            copy_source(k, NULL, paths[i], destination, into);
        }
    }
    k->walked = true;
    while (k->busy > 0 && pump(k)) {
    }
    settle_directories(k);
}

/* Divides an operand; NULL when it names a path here. */
static peer *operand_peer(copy *k, char **operand, bool alone, bool *many)
{
    char *colon = remote_path(*operand);
    char *target = *operand;
    peer *p;

    if (colon == NULL) {
        return NULL;
    }
    *colon = 0;
    *operand = colon + 1;
    p = peer_of(k, target, alone);
    *many = *many || p == NULL;
    return p;
}

int cli_cp(cli *c)
{
    const size_t count = c->argc > 1 ? (size_t)c->argc - 1 : 0;
    copy *k;
    peer **from;
    bool many = false;
    int status = CLI_FAILED;
    size_t i;
    const char *destination;

    if (count == 0) {
        return cli_usage_error(c, "cp takes sources and a destination", NULL);
    }
    k = (copy *)must(calloc(1, sizeof *k));
    from = (peer **)must(calloc(count, sizeof *from));
    k->c = c;
    k->to = operand_peer(k, &c->argv[count], true, &many);
    for (i = 0; i < count; i++) {
        from[i] = operand_peer(k, &c->argv[i], false, &many);
        if (k->to == NULL && from[i] == NULL && !many) {
            status = cli_usage_error(c, "neither side is TARGET:path",
                                     c->argv[i]);
        } else if (c->cp.checksum && k->to != NULL && from[i] != NULL) {
            status = cli_usage_error(c, "--checksum needs one side here",
                                     NULL);
        }
    }
    if (many) {
        status = cli_usage_error(c, "too many targets", NULL);
    }
    destination = k->to != NULL ? remote_start(c->argv[count])
                                : c->argv[count];
    if (status != CLI_USAGE && destination[0] == 0) {
        status = cli_usage_error(c, "the destination is empty", NULL);
    }
    if (status != CLI_USAGE && open_peers(k)) {
        k->began_ms = now_ms();
        run_copy(k, from, c->argv, count, destination);
        abandon(k);
        drain(k);
        status = report(k);
    }
    close_peers(k);
    free(from);
    free(k);
    return status;
}
