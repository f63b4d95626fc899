/* eice cp: files over SFTP, to, from and between instances.
 *
 * One walk goes through the sources (cpwalk.c); what it finds becomes jobs, a
 * file each (cpjob.c). The loop here carries the bytes of both. */
#include "cp.h"

#include <signal.h>
#include <unistd.h>

/* ---- the loop ---------------------------------------------------------- */

/* The loop, without the bytes of SFTP. Until all are open, a signal ends the
 * connections; later it leaves time to clean up. */
static void turn(copy *k)
{
    size_t i;

    cli_run_turn(&k->run, NULL, 0);
    for (i = 0; i < k->peer_count; i++) {
        cli_run *r = &k->peers[i]->run;

        if (r->conn == NULL) {
            continue;
        }
        cli_trail(r->c, r->conn, &r->seen);
        r->signal = k->run.signal;
        if (k->run.insisted) {
            eice_conn_cancel(r->conn);
        } else if (r->signal != 0 && !k->open) {
            eice_conn_close(r->conn);
        }
    }
}

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
            cp_walk_reply((answer *)r.user, &r);
        } else if (r.user != NULL) {
            cp_job_reply(k, (job *)r.user, &r);
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
        p->heard_ms = cp_now();
    }
    return moved || n > 0;
}

/* False when this peer is of no more use, which has been said. */
static bool peer_good(copy *k, peer *p)
{
    const unsigned state = eice_channel_state(p->ssh, p->channel);
    eice_error e = p->sftp.error;

    if ((eice_conn_state(p->run.conn) & EICE_DONE) != 0) {
        cp_clear_line(k);
        (void)cli_run_good(&p->run);
        return false;
    }
    if ((state & (EICE_CHAN_EOF | EICE_CHAN_CLOSED)) != 0) {
        eice_fail(&e, EICE_E_SFTP, EICE_STAGE_SESSION,
                  p->sftp.ready ? "the SFTP server ended"
                                : "the server does not speak SFTP");
    } else if (cp_now() - p->heard_ms > PATIENCE_MS) {
        eice_fail(&e, EICE_E_SSH_TIMEOUT, EICE_STAGE_SESSION,
                  "no answer from the SFTP server in %u s",
                  PATIENCE_MS / 1000u);
    }
    if (e.code != EICE_OK) {
        cp_clear_line(k);
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
               && cp_job_step(k, &k->jobs[i])) {
            moved = true;
        }
    }
    return moved;
}

/* Until something comes, or there is something to be shown or sent. */
static void wait_turn(copy *k)
{
    k->run.wake_ms = cp_now() + (k->c->cp.limit != 0 ? 20u : 500u);
    turn(k);
    k->run.wake_ms = 0;
}

/* One turn; false when it is all over. */
bool cp_pump(copy *k)
{
    const bool moved = !k->stop && work(k);
    size_t i;

    cp_draw(k);
    if (moved) {
        eice_posix_process(k->run.x, NULL, 0);
    } else if (!k->stop) {
        wait_turn(k);
    }
    for (i = 0; i < k->peer_count && !k->stop; i++) {
        k->stop = !peer_good(k, k->peers[i]);
    }
    if (!k->stop && k->run.signal != 0) {
        k->stop = true;
        cp_clear_line(k);
        cli_run_signalled(&k->run);
    }
    return !k->stop;
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

/* The name it goes by: [user@]TARGET, or brackets around an address. */
static int name_peer(peer *p, char *target)
{
    const size_t len = strlen(target);
    int status;

    if (strchr(target + 1, '@') != NULL) {
        p->c.conn.user = NULL; /* it goes before -o User */
    }
    cli_split_user(&p->c, &target);
    if (target[0] == '[' && target[strlen(target) - 1] == ']') {
        target[strlen(target) - 1] = 0;
        target++;
    }
    p->host = len > 0 ? target : p->name;
    p->c.argc = 1;
    p->c.argv = &p->host;
    p->c.forwards = NULL;
    status = cli_ssh_settle(&p->c);
    cli_forward_forget(&p->c);
    return status;
}

/* NULL: it was reported, and *status tells how to end. */
static peer *peer_of(copy *k, char *target, bool alone, int *status)
{
    peer *p;
    size_t i;

    for (i = 0; i < k->peer_count && !alone; i++) {
        p = k->peers[i];
        if (p != k->to && strcmp(p->name, target) == 0) {
            return p;
        }
    }
    if (k->peer_count == PEERS) {
        *status = cli_usage_error(k->c, "too many targets", target);
        return NULL;
    }
    p = (peer *)cp_must(calloc(1, sizeof *p));
    p->c = *k->c;
    p->c.conn.goal = EICE_GOAL_SSH;
    p->name = cp_text(target, strlen(target));
    k->peers[k->peer_count++] = p;
    *status = name_peer(p, target);
    return *status < 0 ? p : NULL;
}

/* The connection, and its hops of -J, are made by the run that has the
 * signals; from then on they are the peer's. */
static bool begin_peer(copy *k, peer *p)
{
    bool good;

    k->run.c = &p->c;
    good = cli_run_connect(&k->run);
    p->run = k->run;
    k->run.c = k->c;
    k->run.conn = NULL;
    k->run.hops = 0;
    k->run.jump = NULL;
    return good;
}

static bool peer_channel(copy *k, peer *p)
{
    unsigned state = 0;
    eice_channel_opts o;

    memset(&o, 0, sizeof o);
    o.kind = EICE_CHANNEL_SUBSYSTEM;
    o.command = eice_str_c("sftp");
    o.window = EICE_SFTP_ASKED * BLOCK; /* a long line holds all blocks */
    p->ssh = eice_conn_ssh(p->run.conn);
    p->channel = eice_channel_open(p->ssh, &o);
    while (p->channel >= 0
           && (eice_conn_state(p->run.conn) & EICE_DONE) == 0
           && (state & (EICE_CHAN_OPEN | EICE_CHAN_FAILED)) == 0) {
        turn(k);
        state = eice_channel_state(p->ssh, p->channel);
    }
    if (p->channel < 0 || (state & EICE_CHAN_OPEN) == 0) {
        if (cli_run_good(&p->run)) {
            cli_report(k->c, eice_channel_error(p->ssh, p->channel));
        }
        return false;
    }
    eice_sftp_init(&p->sftp, NULL);
    p->heard_ms = cp_now();
    return true;
}

static bool open_peers(copy *k)
{
    size_t i;

    if (!cli_run_begin(&k->run, k->c)) {
        return false;
    }
    for (i = 0; i < k->peer_count; i++) {
        if (!begin_peer(k, k->peers[i])) {
            return false;
        }
    }
    for (i = 0; i < k->peer_count; i++) {
        peer *p = k->peers[i];

        while ((eice_conn_state(p->run.conn) & (EICE_OPEN | EICE_DONE))
               == 0) {
            turn(k);
        }
        if (!cli_run_good(&p->run) || !peer_channel(k, p)) {
            return false;
        }
    }
    k->open = true;
    return true;
}

static void close_peers(copy *k)
{
    size_t i;

    for (i = 0; i < k->peer_count; i++) {
        if (k->peers[i]->run.conn != NULL) {
            eice_conn_close(k->peers[i]->run.conn);
        }
    }
    for (i = 0; i < k->peer_count; i++) {
        const cli_run *r = &k->peers[i]->run;

        while (r->conn != NULL && (eice_conn_state(r->conn) & EICE_DONE) == 0) {
            turn(k);
        }
    }
    while (k->peer_count > 0) {
        peer *p = k->peers[--k->peer_count];

        cli_run_disconnect(&p->run);
        eice_sftp_free(&p->sftp);
        cli_ssh_forget(&p->c);
        free(p->name);
        free(p);
    }
    cli_run_close(&k->run);
}

/* ---- the command ------------------------------------------------------- */

/* A turn of saying goodbye to the destination: nobody waits for its answers
 * any more. False when it is of no more use, or time is up. */
static bool part_turn(copy *k, uint64_t until)
{
    peer *p = k->to;
    eice_sftp_reply r;

    if (p == NULL || p->ssh == NULL || cp_now() >= until
        || p->sftp.error.code != EICE_OK
        || (eice_conn_state(p->run.conn) & EICE_DONE) != 0) {
        return false;
    }
    if (!peer_bytes(p)) {
        wait_turn(k);
    }
    eice_posix_process(k->run.x, NULL, 0);
    while (eice_sftp_next(&p->sftp, &r)) {
    }
    return true;
}

/* Whether a part stays: it was asked for, or the connection was lost, which
 * nobody wanted, and there is something to continue. */
static bool stays(const copy *k, const job *j)
{
    return k->c->cp.resume
           || (k->stop && k->run.signal == 0 && j->at > REWIND);
}

/* What was begun and cannot be ended. */
static void abandon(copy *k)
{
    const uint64_t until = cp_now() + FAREWELL_MS;
    bool good = k->to != NULL;
    unsigned kept = 0;
    size_t i;

    for (i = 0; i < JOBS; i++) {
        job *j = &k->jobs[i];
        eice_sftp_request q = cp_request(EICE_SFTP_REMOVE, "");
        const bool stay = stays(k, j);

        if (j->step == FREE) {
            continue;
        }
        kept += stay && j->made;
        if (!stay && j->to.p == NULL && j->made) {
            (void)unlink(j->to.path);
        }
        q.text = eice_str_c(j->to.path);
        q.tag = TAG_IGNORED;
        while (!stay && good && !eice_sftp_ask(&k->to->sftp, &q)) {
            good = part_turn(k, until);
        }
        cp_job_free(k, j);
    }
    if (kept > 0) {
        cli_say(k->c,
                "unfinished files are kept: %u; the same command with --resume "
                "continues them",
                kept);
    }
    while (k->to != NULL && k->to->sftp.asked > 0 && part_turn(k, until)) {
    }
}

static int report(copy *k)
{
    const uint64_t ms = cp_now() - k->began_ms;
    char text[160];
    eice_buf b;

    cp_clear_line(k);
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

/* Divides an operand; NULL when it names a path here. *status is -1, or how
 * to end. */
static peer *operand_peer(copy *k, char **operand, bool alone, int *status)
{
    char *colon = remote_path(*operand);
    char *target = *operand;

    if (colon == NULL) {
        return NULL;
    }
    *colon = 0;
    *operand = colon + 1;
    return peer_of(k, target, alone, status);
}

/* -1, or how to end. */
static int read_operands(copy *k, peer **from, size_t count)
{
    cli *c = k->c;
    int status = -1;
    size_t i;

    k->to = operand_peer(k, &c->argv[count], true, &status);
    for (i = 0; i < count && status < 0; i++) {
        from[i] = operand_peer(k, &c->argv[i], false, &status);
        if (status < 0 && k->to == NULL && from[i] == NULL) {
            status = cli_usage_error(c, "neither side is TARGET:path",
                                     c->argv[i]);
        }
    }
    if (status < 0 && k->to == NULL && c->argv[count][0] == 0) {
        status = cli_usage_error(c, "the destination is empty", NULL);
    }
    return status;
}

int cli_cp(cli *c)
{
    const size_t count = c->argc > 1 ? (size_t)c->argc - 1 : 0;
    copy *k;
    peer **from;
    int status;

    if (count == 0) {
        return cli_usage_error(c, "cp takes sources and a destination", NULL);
    }
    if (!cli_login_key(c)) {
        return CLI_FAILED;
    }
    k = (copy *)cp_must(calloc(1, sizeof *k));
    from = (peer **)cp_must(calloc(count, sizeof *from));
    k->c = c;
    signal(SIGXFSZ, SIG_IGN); /* a limit of sizes is an error like others */
    status = read_operands(k, from, count);
    if (status < 0 && open_peers(k)) {
        k->began_ms = cp_now();
        cp_walk(k, from, c->argv, count, c->argv[count]);
        abandon(k);
        status = report(k);
    }
    close_peers(k);
    free(from);
    free(k);
    return status < 0 ? CLI_FAILED : status;
}
