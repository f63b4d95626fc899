/* eice doctor: asks AWS and connects, then climbs the ladder of what came of
 * it. It changes nothing. */
#include "doctor.h"

#define WHOAMI_MS 15000u

typedef struct climber {
    cli *c;
    cli_run r;
    doctor d;
    bool failed;
    int status;
} climber;

/* ---- climbing ---------------------------------------------------------- */

/* May this identity carry out the fix? Asked by a dry run. */
static void try_fix(climber *k, finding *f)
{
    const char *whose;
    cli_call *a;

    if (f->on[0] == 0 || (a = (cli_call *)malloc(sizeof *a)) == NULL) {
        return;
    }
    cli_dry_run(a, f->op, f->on, f->peer, k->d.port);
    f->may = cli_allowed(&k->r, a);
    if (f->may == 0) {
        (void)cli_denied(&a->call.error, &whose);
        snprintf(f->may_not, sizeof f->may_not, "%s%s%s; ask %s",
                 a->call.error.text, a->why[0] != 0 ? "; " : "", a->why,
                 whose);
    }
    cli_call_end(a);
    free(a);
}

/* False: the ladder ends here. */
static bool climb(climber *k, size_t from, size_t to)
{
    size_t i;

    for (i = from; i < to && k->r.signal == 0; i++) {
        const rung *r = &doctor_ladder[i];
        finding f;
        const verdict v = doctor_look(&k->d, r, &f);

        if (v == V_FAIL) {
            try_fix(k, &f);
            k->status = k->failed ? k->status : f.class_;
            k->failed = true;
        }
        doctor_report(k->c, r, v, &f);
        if (v == V_FAIL && (!k->c->all || i < DOCTOR_TARGET)) {
            return false;
        }
    }
    return k->r.signal == 0;
}

/* ---- facts ------------------------------------------------------------- */

static void take_trail(climber *k)
{
    const eice_attempt *a;
    size_t i;

    for (i = 0; (a = eice_conn_attempt(k->r.conn, i)) != NULL
                && k->d.trail_count < DOCTOR_TRAIL; i++) {
        k->d.trail[k->d.trail_count++] = *a;
    }
}

/* Until the connection is open or over, and shown when that takes long. */
static void settle(climber *k, const char *what)
{
    const uint64_t start = eice_posix_now().ms;
    uint64_t shown = 0;
    char text[64];

    while ((eice_conn_state(k->r.conn) & (EICE_OPEN | EICE_DONE)) == 0) {
        const uint64_t s = (eice_posix_now().ms - start) / 1000;

        if (s > shown) {
            snprintf(text, sizeof text, "%s, %u s", what, (unsigned)s);
            doctor_progress(k->c, text);
            shown = s;
        }
        k->r.wake_ms = start + 1000 * (s + 1);
        cli_run_turn(&k->r, NULL, 0);
    }
    k->r.wake_ms = 0;
}

static bool look_at_aws(climber *k)
{
    doctor *d = &k->d;

    k->c->conn.goal = EICE_GOAL_CALLS;
    if (!cli_run_connect(&k->r)) {
        return false;
    }
    doctor_progress(k->c, "asking AWS");
    settle(k, "asking AWS");
    d->config = *eice_conn_error(k->r.conn);
    snprintf(d->provider, sizeof d->provider, "%s",
             eice_conn_provider(k->r.conn));
    snprintf(d->region, sizeof d->region, "%s", eice_conn_region(k->r.conn));
    if (d->config.code == EICE_OK) {
        if (cli_facts_find(&d->f, &k->r)) {
            cli_facts_around(&d->f, &k->r);
        }
        cli_explain(&k->r, d->f.ask, CLI_ASK_COUNT);
        d->clock_offset = eice_conn_clock_offset(k->r.conn);
    }
    doctor_progress(k->c, NULL);
    take_trail(k);
    d->connect_at = d->trail_count;
    return k->r.signal == 0;
}

/* `whoami` in the session; its output is short, and whatever the instance says:
 * on a terminal it must not do anything. */
static void run_whoami(climber *k)
{
    const uint64_t end = eice_posix_now().ms + WHOAMI_MS;
    eice_ssh *ssh = eice_conn_ssh(k->r.conn);
    char out[sizeof k->d.whoami];
    eice_channel_opts o;
    eice_str rest;
    size_t len = 0;
    int channel;
    unsigned s;

    memset(&o, 0, sizeof o);
    o.kind = EICE_CHANNEL_EXEC;
    o.command = eice_str_c("whoami");
    channel = eice_channel_open(ssh, &o);
    k->r.wake_ms = end;
    do {
        cli_run_turn(&k->r, NULL, 0);
        if ((eice_conn_state(k->r.conn) & EICE_DONE) != 0) {
            break;
        }
        s = eice_channel_state(ssh, channel);
        len += eice_channel_read(ssh, channel, 0, out + len,
                                 sizeof out - len);
    } while ((s & (EICE_CHAN_CLOSED | EICE_CHAN_FAILED)) == 0
             && len < sizeof out && eice_posix_now().ms < end);
    k->r.wake_ms = 0;
    rest = eice_str_make(out, len);
    eice_copy_text(k->d.whoami, sizeof k->d.whoami,
                   eice_str_trim(eice_str_cut(&rest, '\n')));
}

static bool connect_target(climber *k)
{
    doctor *d = &k->d;
    cli *c = k->c;

    c->conn.goal = EICE_GOAL_SSH;
    c->conn.store_nothing = true;
    if (c->conn.endpoint_id == NULL && d->f.endpoint_id[0] != 0) {
        c->conn.endpoint_id = d->f.endpoint_id;
    }
    if (d->f.id[0] != 0) {
        c->conn.target = d->f.id;
    }
    if (!cli_run_connect(&k->r)) {
        return false;
    }
    d->tried = true;
    settle(k, "connecting");
    if ((eice_conn_state(k->r.conn) & EICE_OPEN) != 0) {
        run_whoami(k);
    }
    doctor_progress(c, NULL);
    d->error = *eice_conn_error(k->r.conn);
    d->connected = d->error.code == EICE_OK;
    take_trail(k);
    eice_conn_close(k->r.conn);
    while ((eice_conn_state(k->r.conn) & EICE_DONE) == 0) {
        cli_run_turn(&k->r, NULL, 0);
    }
    cli_run_disconnect(&k->r);
    return k->r.signal == 0;
}

/* ---- the command ------------------------------------------------------- */

/* The exit status. */
static int run(climber *k)
{
    bool whole = look_at_aws(k);

    if (whole) {
        doctor_report_begin(k->c, k->c->conn.target);
        if (climb(k, 0, DOCTOR_CONNECTED)) {
            cli_run_disconnect(&k->r);
            whole = connect_target(k);
            if (whole) {
                (void)climb(k, DOCTOR_CONNECTED, DOCTOR_RUNGS);
            }
        }
        doctor_report_end(k->c, whole && k->r.signal == 0 && !k->failed);
    }
    if (k->r.signal != 0) {
        cli_run_signalled(&k->r);
    }
    return !whole || k->r.signal != 0 || fflush(stdout) != 0 ? CLI_FAILED
                                                             : k->status;
}

int cli_doctor(cli *c)
{
    climber *k;
    int status = CLI_FAILED;

    if (c->argc != 1) {
        return cli_usage_error(c, "doctor takes a target",
                               c->argc > 1 ? c->argv[1] : NULL);
    }
    k = (climber *)calloc(1, sizeof *k);
    if (k == NULL) {
        return CLI_FAILED;
    }
    cli_split_user(c, &c->argv[0]);
    c->conn.target = c->argv[0];
    k->c = c;
    k->d.c = c;
    k->d.user = c->conn.user != NULL ? c->conn.user : "ec2-user";
    k->d.port = c->conn.port != 0 ? c->conn.port : 22;
    if (cli_run_begin(&k->r, c)) {
        status = run(k);
    }
    cli_facts_free(&k->d.f);
    cli_run_close(&k->r);
    eice_wipe(k, sizeof *k);
    free(k);
    return status;
}
