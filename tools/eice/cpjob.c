/* eice cp: one file. A job goes on by itself whenever an answer comes, so that
 * many files, and many blocks of each, are on their way. */
#include "cp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- small things ------------------------------------------------------ */

eice_sftp_request cp_request(eice_sftp_op op, const char *path)
{
    eice_sftp_request q;

    memset(&q, 0, sizeof q);
    q.op = op;
    q.text = eice_str_c(path);
    return q;
}

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
        cp_complain(k, e == &j->to ? j->target : j->from.path, why);
    }
    j->failed = true;
}

/* What a server says of its own, unless it is as much as the number; its words
 * are shown safely where they are printed. Most say "failure" only, for a full
 * disk too (draft 7). */
static void job_refused(copy *k, job *j, const end *e,
                        const eice_sftp_reply *r)
{
    const char *why = eice_sftp_status_text(r->status);
    char text[200];
    eice_buf b;

    if (r->status == EICE_SFTP_FAILURE) {
        eice_buf_init(&b, text, sizeof text);
        if (r->text.len > 0 && r->text.len < 100
            && !eice_str_is_nocase(r->text, "failure")) {
            eice_putf(&b, "the server says: %S", &r->text);
        } else if (r->op == EICE_SFTP_WRITE) {
            eice_put_c(&b, "the server cannot write it (is its disk full?)");
        } else {
            eice_put_c(&b, why);
        }
        why = eice_buf_c(&b);
    }
    job_fail(k, j, e, why);
}

static eice_str handle_of(const end *e)
{
    return eice_str_make(e->handle, e->len);
}

/* Beside the target, the same for the same source: name, size and time are
 * in it, so that a part of another version is never continued. */
static char *part_name(const char *target, const eice_sftp_attrs *a)
{
    const eice_str base = cp_base_name(target);
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
    directory = cp_text(target, before);
    path = cp_join(directory, text, b.len);
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
        cp_clear_line(k);
        cli_say(k->c, "%s: continued at %u MiB", j->target,
                (unsigned)(j->at >> 20));
    }
}

void cp_job_free(copy *k, job *j)
{
    while (j->held != NULL) {
        held *h = j->held;

        j->held = h->next;
        free(h);
    }
    free(j->from.path);
    free(j->to.path);
    free(j->target);
    memset(j, 0, sizeof *j);
    k->busy--;
}

/* ---- opening ------------------------------------------------------------- */

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
    eice_sftp_request q = cp_request(EICE_SFTP_OPEN, e->path);

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
    eice_sftp_request q = cp_request(k->c->cp.resume ? EICE_SFTP_LSTAT
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
    k->spared += j->at;
    j->step = COPYING;
    return true;
}

/* ---- bytes --------------------------------------------------------------- */

static bool all_zero(const uint8_t *p, size_t n)
{
    return n > 0 && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* What the first try leaves unwritten says why at the second. */
static const char *write_here(int fd, const uint8_t *data, size_t n,
                              uint64_t at)
{
    while (n > 0) {
        const ssize_t done = pwrite(fd, data, n, (off_t)at);

        if (done <= 0) {
            return done < 0 ? strerror(errno) : "nothing can be written";
        }
        data += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return NULL;
}

/* Writes a block; blocks of zeros stay holes. False: not now. */
static bool put_block(copy *k, job *j, uint64_t at, const uint8_t *data,
                      size_t n)
{
    eice_sftp_request q;

    if (all_zero(data, n)) {
        j->hole = j->hole || at + n == j->attrs.size;
    } else if (j->to.p == NULL) {
        const char *why = write_here(j->to.fd, data, n, at);

        if (why != NULL) {
            job_fail(k, j, &j->to, why);
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
            k->spared += j->at + len - before;
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
    const uint64_t ms = cp_now() - k->began_ms;

    return k->c->cp.limit == 0
           || k->asked <= (ms + 100) * k->c->cp.limit / 8;
}

/* What was written from here can be closed before it is confirmed: a server
 * answers what concerns one file in order (draft 3). The name waits. */
static bool step_copied(const copy *k, job *j)
{
    const bool verify = k->c->cp.checksum && !j->failed;

    if (j->waiting > 0 && (verify || j->failed || j->from.p != NULL)) {
        return false;
    }
    j->step = verify ? VERIFYING : CLOSING;
    j->at = verify ? 0 : j->at;
    return true;
}

static bool step_copy(copy *k, job *j)
{
    const uint64_t left = j->attrs.size - j->at;
    const uint32_t len = left < BLOCK ? (uint32_t)left : BLOCK;
    const peer *p = j->from.p != NULL ? j->from.p : j->to.p;
    const bool opened = j->from.open && j->to.open;

    if (j->failed || (opened && left == 0)) {
        return step_copied(k, j);
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

/* --checksum: the remote file is read back and compared with the one here, or
 * both are read once more. */
static bool step_verify(job *j)
{
    end *far = j->from.p != NULL ? &j->from : &j->to;
    const bool both = j->from.p != NULL && j->to.p != NULL;
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
        || !ask_read(j, far, j->at, len, both ? TAG_HOLD : TAG_CHECK)) {
        return false;
    }
    j->at += len;
    return true;
}

static void job_differs(copy *k, job *j)
{
    j->differs = true;
    job_fail(k, j, &j->to, "differs from its source after the copy");
}

/* Of the source: the same block of the copy is asked for. There is room for
 * that, or the answer had not been looked at. */
static void hold_block(copy *k, job *j, const eice_sftp_reply *r)
{
    const uint32_t n = (uint32_t)r->text.len;
    held *h;

    if (r->status != EICE_SFTP_OK
        || !ask_read(j, &j->to, r->offset, n, TAG_CHECK)) {
        job_differs(k, j);
        return;
    }
    h = (held *)cp_must(malloc(sizeof *h));
    h->next = j->held;
    h->at = r->offset;
    h->len = n;
    memcpy(h->data, r->text.ptr, n);
    j->held = h;
    read_rest(j, &j->from, r);
}

/* The held block that this one is in; it goes with its last byte. */
static bool is_held(job *j, const eice_sftp_reply *r)
{
    held **at = &j->held;
    held *h;
    bool same;

    while ((h = *at) != NULL
           && (r->offset < h->at
               || r->offset + r->text.len > h->at + h->len)) {
        at = &h->next;
    }
    same = h != NULL
           && memcmp(h->data + (size_t)(r->offset - h->at), r->text.ptr,
                     r->text.len) == 0;
    if (h != NULL && r->offset + r->text.len == h->at + h->len) {
        *at = h->next;
        free(h);
    }
    return same;
}

static bool is_here(copy *k, const end *near, const eice_sftp_reply *r)
{
    const size_t n = r->text.len;

    return pread(near->fd, k->block[1], n, (off_t)r->offset) == (ssize_t)n
           && memcmp(k->block[1], r->text.ptr, n) == 0;
}

static void verify_block(copy *k, job *j, const eice_sftp_reply *r)
{
    const bool both = j->from.p != NULL && j->to.p != NULL;
    const end *near = j->from.p != NULL ? &j->to : &j->from;
    end *far = j->to.p != NULL ? &j->to : &j->from;

    if (r->status != EICE_SFTP_OK
        || !(both ? is_held(j, r) : is_here(k, near, r))) {
        job_differs(k, j);
    } else {
        read_rest(j, far, r);
    }
}

/* ---- ending -------------------------------------------------------------- */

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
        eice_sftp_request q = cp_request(EICE_SFTP_CLOSE, "");

        q.text = handle_of(&j->from);
        q.tag = TAG_IGNORED; /* and not waited for */
        if (!eice_sftp_ask(&j->from.p->sftp, &q)) {
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
    eice_sftp_request q = cp_request(EICE_SFTP_REMOVE, j->target);

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
    eice_sftp_request q = cp_request(EICE_SFTP_REMOVE, j->to.path);

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
            cp_clear_line(k);
            cli_say(k->c, "%s", j->target);
        }
    }
    cp_job_free(k, j);
    return true;
}

bool cp_job_step(copy *k, job *j)
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

/* ---- replies ------------------------------------------------------------- */

static void opened(copy *k, job *j, end *e, const eice_sftp_reply *r)
{
    if (r->status != EICE_SFTP_OK) {
        job_refused(k, j, e, r);
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

    if (r->status == EICE_SFTP_EOF) {
        job_fail(k, j, &j->from, "it became shorter meanwhile");
    } else if (r->status != EICE_SFTP_OK) {
        job_refused(k, j, &j->from, r);
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

static void job_status(copy *k, job *j, const eice_sftp_reply *r)
{
    if (r->status != EICE_SFTP_OK) {
        job_refused(k, j, &j->to, r);
    }
}

void cp_job_reply(copy *k, job *j, const eice_sftp_reply *r)
{
    j->waiting--;
    switch (r->tag) {
    case TAG_LOOK:
        looked(k, j, r);
        break;
    case TAG_READ:
        came(k, j, r);
        break;
    case TAG_HOLD:
        hold_block(k, j, r);
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
        job_status(k, j, r);
        break;
    case TAG_ANY:
        job_status(k, j, r);
        break;
    default:
        break;
    }
}

/* ---- beginning --------------------------------------------------------- */

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

void cp_job_start(copy *k, peer *from, const char *path, const char *target,
                  const eice_sftp_attrs *a)
{
    size_t i = 0;
    job *j;

    while (k->busy == JOBS || being_written(k, target)) {
        if (!cp_pump(k)) {
            return;
        }
    }
    while (k->jobs[i].step != FREE) {
        i++;
    }
    j = &k->jobs[i];
    j->from.p = from;
    j->from.path = cp_text(path, strlen(path));
    j->to.p = k->to;
    j->target = cp_text(target, strlen(target));
    j->to.path = part_name(target, a);
    j->attrs = *a;
    j->step = LOOKING;
    k->busy++;
    k->total += a->size;
}
