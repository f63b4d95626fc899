/* The running ssh-agent: its keys, and signatures by them. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LIST_MS 5000  /* for the list of keys: nobody has to confirm that */
#define LIST_MAX 262144 /* OpenSSH's limit of a message */
#define ASKED 4       /* signatures on their way */
#define STALE_MS 120000 /* the session that asked is gone */

/* ---- the connection ---------------------------------------------------- */

/* Where an agent listens, by a path, the name of a variable after "$", or
 * NULL for SSH_AUTH_SOCK. False: there is none. */
static bool agent_path(const char *from, char *out, size_t cap)
{
    const char *path;

    if (from == NULL || strcmp(from, "SSH_AUTH_SOCK") == 0) {
        from = "$SSH_AUTH_SOCK";
    }
    path = from[0] == '$' ? getenv(from + 1) : from;
    return path != NULL && path[0] != 0 && strcmp(path, "none") != 0
           && eice_posix_expand(path, out, cap);
}

bool cli_agent_wanted(const cli *c)
{
    return cli_given(c, &c->forward_agent)
               ? c->forward_agent
               : c->forwarded_agent != NULL
                     && strcasecmp(c->forwarded_agent, "no") != 0;
}

bool cli_agent_forwarded(const cli *c, char *path, size_t cap)
{
    const char *word = c->forwarded_agent;
    const bool named = word != NULL && strcasecmp(word, "yes") != 0
                       && strcasecmp(word, "no") != 0;

    path[0] = 0;
    if (cli_agent_wanted(c)
        && !agent_path(named ? word : NULL, path, cap)) {
        cli_say(c, "there is no ssh-agent to be forwarded");
        path[0] = 0;
    }
    return path[0] != 0;
}

/* -1: `e` says why. It never blocks. */
static int agent_open(const cli *c, eice_error *e)
{
    struct sockaddr_un a;
    char path[sizeof a.sun_path];
    int fd;

    if (!agent_path(c->identity_agent, path, sizeof path)) {
        eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "there is no ssh-agent: SSH_AUTH_SOCK is not set");
        snprintf(e->remedy, sizeof e->remedy,
                 "start one (eval \"$(ssh-agent)\"; ssh-add), or name a key "
                 "file");
        return -1;
    }
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    memcpy(a.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)(void *)&a, sizeof a) != 0) {
        eice_fail(e, EICE_E_LOCAL_IO, EICE_STAGE_CONFIG,
                  "no ssh-agent at %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* Bytes of a message that are there, with its length in front; `at` grows
 * until it is complete. 1: complete; 0: not yet; -1: the end, or too long. */
static int agent_read(int fd, uint8_t *in, size_t cap, size_t *at)
{
    size_t want = 4;

    for (;;) {
        ssize_t n;

        if (*at >= 4) {
            want = 4 + ((size_t)in[0] << 24 | (size_t)in[1] << 16
                        | (size_t)in[2] << 8 | in[3]);
        }
        if (want > cap) {
            return -1;
        }
        if (*at >= 4 && *at == want) {
            return 1;
        }
        n = read(fd, in + *at, want - *at);
        if (n > 0) {
            *at += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return n < 0 && errno == EAGAIN ? 0 : -1;
        }
    }
}

/* ---- the list of keys -------------------------------------------------- */

/* Waits for the list; its bytes without the length, or 0. */
static size_t agent_list(int fd, uint8_t *in, size_t cap)
{
    const uint64_t end = eice_posix_now().ms + LIST_MS;
    char request[8];
    size_t at = 0;
    eice_buf b;
    int done = 0;

    eice_buf_init(&b, request, sizeof request);
    eice_agent_ask_keys(&b);
    if (send(fd, b.ptr, b.len, MSG_NOSIGNAL) != (ssize_t)b.len) {
        return 0;
    }
    while (done == 0) {
        const uint64_t now = eice_posix_now().ms;
        struct pollfd p;

        p.fd = fd;
        p.events = POLLIN;
        if (now >= end || (poll(&p, 1, (int)(end - now)) < 0
                           && errno != EINTR)) {
            return 0;
        }
        done = agent_read(fd, in, cap, &at);
    }
    return done > 0 ? at - 4 : 0;
}

static bool contains(eice_str text, const char *word)
{
    char copy[256];

    eice_copy_text(copy, sizeof copy, text);
    return cli_contains(copy, word);
}

/* Is it this key, or one like that? Without both any that can be pushed. */
static bool wanted(eice_str blob, eice_str comment, const char *like,
                   eice_str exact)
{
    const eice_str type = eice_key_type(blob.ptr, blob.len);
    char print[EICE_FINGERPRINT];

    if (exact.len > 0) {
        return eice_str_eq(blob, exact);
    }
    if (like[0] == 0) {
        return eice_str_is(type, "ssh-ed25519") || eice_str_is(type, "ssh-rsa");
    }
    eice_key_fingerprint(print, blob.ptr, blob.len);
    return !contains(type, "-cert-")
           && (contains(comment, like) || cli_contains(print, like));
}

/* The key that signs, or its certificate, which the agent may hold alone. */
static uint8_t agent_blob[EICE_MAX_CERTIFICATE];
static size_t agent_blob_len;

/* Looks at a key of the list, or at what a certificate is about: takes the
 * first that is wanted, and its last certificate: agents put what is added
 * at the end. */
static void agent_look(eice_str blob, eice_str comment, const char *like,
                       eice_str exact, eice_certificate *chosen,
                       eice_str *certificate)
{
    eice_certificate cert;
    const bool certified = eice_certificate_read(&cert, blob) && !cert.host;
    const eice_str key = certified ? eice_str_make(cert.key, cert.key_len)
                                   : blob;

    if (blob.len > sizeof agent_blob || key.len > sizeof chosen->key) {
        return;
    }
    if (chosen->key_len == 0 && wanted(key, comment, like, exact)) {
        memcpy(chosen->key, key.ptr, key.len);
        chosen->key_len = key.len;
    } else if (!certified
               || !eice_str_eq(key, eice_str_make(chosen->key,
                                                  chosen->key_len))) {
        return;
    }
    memcpy(agent_blob, blob.ptr, blob.len);
    agent_blob_len = blob.len;
    if (certified) {
        *certificate = eice_str_make(agent_blob, blob.len);
    }
}

bool cli_agent_key(const cli *c, const char *like, eice_str exact, char *line,
                   size_t cap, eice_str *certificate, eice_error *e)
{
    eice_certificate chosen;
    const int fd = agent_open(c, e);
    uint8_t *in = fd >= 0 ? (uint8_t *)malloc(LIST_MAX) : NULL;
    const size_t len = in != NULL ? agent_list(fd, in, LIST_MAX) : 0;
    eice_str keys = eice_str_make(NULL, 0);
    const bool good = len > 0 && eice_agent_keys(eice_str_make(in + 4, len),
                                                 &keys);
    unsigned count = 0;
    eice_str comment;
    eice_str blob;
    eice_buf b;

    if (fd >= 0) {
        close(fd);
    }
    agent_blob_len = 0;
    chosen.key_len = 0;
    *certificate = eice_str_make(NULL, 0);
    while (eice_agent_next(&keys, &blob, &comment)) {
        count++;
        agent_look(blob, comment, like, exact, &chosen, certificate);
    }
    free(in);
    if (agent_blob_len > 0) {
        eice_buf_init(&b, line, cap);
        eice_key_line(&b, chosen.key, chosen.key_len, eice_str_c(""));
        (void)eice_buf_c(&b);
        agent_blob_len = b.overflow ? 0 : agent_blob_len;
    }
    if (agent_blob_len == 0 && fd >= 0) {
        eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  !good             ? "the ssh-agent does not answer"
                  : like[0] == 0    ? "the ssh-agent holds no Ed25519 or RSA "
                                      "key (%u others)"
                                    : "the ssh-agent has %u keys, and none is "
                                      "like %s",
                  count, like);
        snprintf(e->remedy, sizeof e->remedy, "see ssh-add -l");
    }
    return agent_blob_len > 0;
}

/* ---- signatures -------------------------------------------------------- */

/* Each on a connection of its own, known by the hash of what is signed: two
 * sessions may ask at a time, and each asks again until it is there. */
static struct request {
    int fd;            /* 0: free */
    uint64_t since;
    uint8_t hash[32];
    size_t at;
    uint8_t in[2048];
} requests[ASKED];

static eice_posix *agent_loop;

static void request_end(struct request *r)
{
    if (r->fd > 0) {
        (void)eice_posix_watch(agent_loop, r->fd, 0, NULL, NULL);
        close(r->fd);
    }
    r->fd = 0;
}

void cli_agent_attach(eice_posix *x)
{
    size_t i;

    for (i = 0; i < ASKED && x == NULL; i++) {
        request_end(&requests[i]);
    }
    agent_loop = x;
}

/* The session is stepped after this, and asks again. */
static void request_ready(void *user, int fd, int revents)
{
    (void)user;
    (void)fd;
    (void)revents;
}

static bool request_begin(struct request *r, const cli *c, eice_str data,
                          eice_str algorithm)
{
    char text[EICE_AGENT_MAX + 2 * EICE_MAX_CERTIFICATE];
    eice_error e;
    eice_buf b;

    memset(&e, 0, sizeof e);
    r->at = 0;
    r->since = eice_posix_now().ms;
    r->fd = agent_open(c, &e);
    if (r->fd < 0) {
        cli_report(c, &e);
        return false;
    }
    eice_buf_init(&b, text, sizeof text);
    eice_agent_ask_sign(&b, eice_str_make(agent_blob, agent_blob_len), data,
                        algorithm);
    return !b.overflow
           && send(r->fd, b.ptr, b.len, MSG_NOSIGNAL) == (ssize_t)b.len
           && eice_posix_watch(agent_loop, r->fd, POLLIN, request_ready, NULL)
                  == EICE_OK;
}

static struct request *request_of(const uint8_t hash[32], bool *fresh)
{
    struct request *free_one = NULL;
    size_t i;

    *fresh = false;
    for (i = 0; i < ASKED; i++) {
        if (requests[i].fd != 0
            && eice_posix_now().ms - requests[i].since > STALE_MS) {
            request_end(&requests[i]);
        }
        if (requests[i].fd == 0) {
            free_one = &requests[i];
        } else if (memcmp(requests[i].hash, hash, 32) == 0) {
            return &requests[i];
        }
    }
    *fresh = free_one != NULL;
    return free_one;
}

/* An eice_sign_fn. */
static ptrdiff_t agent_sign(void *user, eice_str algorithm, eice_str data,
                            uint8_t *sig, size_t cap)
{
    const cli *c = (const cli *)user;
    uint8_t hash[32];
    struct request *r;
    bool fresh;
    ptrdiff_t n = -1;
    int state = 0;

    eice_sha256(hash, data.ptr, data.len);
    r = request_of(hash, &fresh);
    if (r == NULL) {
        return 0; /* when another one is done */
    }
    if (fresh) {
        memcpy(r->hash, hash, sizeof hash);
        state = request_begin(r, c, data, algorithm) ? 0 : -1;
    }
    if (state == 0) {
        state = agent_read(r->fd, r->in, sizeof r->in, &r->at);
    }
    if (state == 0) {
        return 0;
    }
    if (state > 0) {
        n = eice_agent_signature(eice_str_make(r->in + 4, r->at - 4),
                                 algorithm, sig, cap);
    }
    request_end(r);
    return n;
}

void cli_agent_signs(cli *c)
{
    c->conn.sign = agent_sign;
    c->conn.sign_user = c;
}
