/* eice cp: the walk through the sources. It waits for its own answers, while
 * what it found is copied. */
#include "cp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- requests ---------------------------------------------------------- */

/* Asks and waits, while the jobs go on. False: nothing came, and why was
 * said already. */
static bool ask(copy *k, peer *p, eice_sftp_request *q, answer *a)
{
    memset(a, 0, sizeof *a);
    q->user = a;
    q->tag = 0;
    while (!eice_sftp_ask(&p->sftp, q)) {
        if (!cp_pump(k)) {
            return false;
        }
    }
    while (!a->done) {
        if (!cp_pump(k)) {
            return false;
        }
    }
    return true;
}

static const char *ask_path(copy *k, peer *p, eice_sftp_op op,
                            const char *path, eice_sftp_attrs *attrs)
{
    eice_sftp_request q = cp_request(op, path);
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

        l->name = (char **)cp_must(realloc(l->name, cap * sizeof *l->name));
        l->attrs = (eice_sftp_attrs *)cp_must(
            realloc(l->attrs, cap * sizeof *l->attrs));
    }
    l->attrs[l->count] = *a;
    l->name[l->count++] = cp_text(name, len);
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
            cp_complain(k, path, eice_buf_c(&b));
        }
    }
}

static const char *list_there(copy *k, peer *p, const char *path, listing *l)
{
    eice_sftp_request q = cp_request(EICE_SFTP_OPENDIR, path);
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
        while (!k->stop && !eice_sftp_ask(&p->sftp, &q) && cp_pump(k)) {
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

void cp_walk_reply(answer *a, const eice_sftp_reply *r)
{
    const eice_str s = r->op == EICE_SFTP_OPENDIR ? r->text : r->names;

    a->status = r->status;
    a->attrs = r->attrs;
    if (r->status == EICE_SFTP_OK
        && (r->op == EICE_SFTP_OPENDIR || r->op == EICE_SFTP_READDIR)) {
        a->text = (char *)cp_must(malloc(s.len + 1));
        a->len = s.len;
        if (s.len > 0) {
            memcpy(a->text, s.ptr, s.len);
        }
    }
    a->done = true;
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
        cp_complain(k, target, why);
        return;
    }
    if (k->c->cp.preserve) {
        k->lates = (late *)cp_must(realloc(
            k->lates, (k->late_count + 1) * sizeof *k->lates));
        k->lates[k->late_count].path = cp_text(target, strlen(target));
        k->lates[k->late_count++].attrs = *a;
    }
    why = list(k, from, path, &l);
    if (why != NULL) {
        cp_complain(k, path, why);
    }
    for (i = 0; i < l.count && !k->stop; i++) {
        const size_t len = strlen(l.name[i]);
        char *inner = cp_join(path, l.name[i], len);
        char *outer = cp_join(target, l.name[i], len);

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
        cp_complain(k, path, why);
    } else if (S_ISDIR(a->mode) && link) {
        k->skipped++;
        cp_say(k, path, "skipped: a link to a directory");
    } else if (S_ISDIR(a->mode)) {
        copy_directory(k, from, path, target, a, depth);
    } else if (S_ISREG(a->mode)) {
        cp_job_start(k, from, path, target, a);
    } else {
        cp_complain(k, path, "not a regular file");
    }
}

/* One source as it stands. `into`: the destination is a directory. */
static void copy_source(copy *k, peer *from, const char *path,
                        const char *destination, bool into)
{
    const eice_str name = cp_base_name(path);
    eice_sftp_attrs a;
    const char *why = look(k, from, path, &a);
    char *target = into && name.len > 0
                       ? cp_join(destination, name.ptr, name.len)
                       : cp_text(destination, strlen(destination));

    if (k->stop) {
        /* said already */
    } else if (why != NULL) {
        cp_complain(k, path, why);
    } else if (S_ISDIR(a.mode) && !k->c->cp.recursive) {
        cp_complain(k, path, "a directory: -r copies them");
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
    char *word = cp_text(pattern, len);
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
        char *path = len == 0 ? cp_text("/", 1)
                              : cp_join(before, l.name[i], strlen(l.name[i]));

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

char **cli_glob(const char *pattern, size_t *count)
{
    static copy here; /* is not stopped */
    listing found;
    size_t i;
    size_t k;

    memset(&found, 0, sizeof found);
    expand(&here, NULL, "", pattern, &found);
    for (i = 1; i < found.count; i++) {
        char *name = found.name[i];

        for (k = i; k > 0 && strcmp(found.name[k - 1], name) > 0; k--) {
            found.name[k] = found.name[k - 1];
        }
        found.name[k] = name;
    }
    free(found.attrs);
    *count = found.count;
    return found.name;
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
        cp_complain(k, path, "no file matches");
    } else if (found.count > 1 && !into) {
        cp_complain(k, destination, "not a directory");
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
            cp_complain(k, l->path, why);
        }
        free(l->path);
    }
    free(k->lates);
}

static const char *remote_start(const char *path)
{
    if (path[0] == '~' && (path[1] == '/' || path[1] == 0)) {
        path += path[1] == '/' ? 2 : 1; /* SFTP begins at home */
    }
    return path[0] != 0 ? path : ".";
}

void cp_walk(copy *k, peer **from, char **paths, size_t count,
             const char *destination)
{
    size_t len;
    bool into;
    size_t i;

    if (k->to != NULL) {
        destination = remote_start(destination);
    }
    len = strlen(destination);
    into = is_directory(k, k->to, destination);
    if (!into && !k->stop
        && (count > 1
            || (destination[len - 1] == '/' && !k->c->cp.recursive))) {
        cp_complain(k, destination, "no such directory");
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
    while (k->busy > 0 && cp_pump(k)) {
    }
    settle_directories(k);
}
