/* Runs a command on an instance, prints what it prints and ends with its exit
 * status.
 *
 *     02_exec TARGET COMMAND
 *
 * An ephemeral key is made, pushed and used for the login; the host key is
 * stored at first contact, as `eice ssh` does.
 */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <poll.h>
#include <stdio.h>

#define FDS 64

/* Waits until something happens and works on it. */
static void turn(eice_posix *x)
{
    struct pollfd fds[FDS];
    size_t n = eice_posix_fds(x, fds, FDS);

    n = n < FDS ? n : FDS;
    if (poll(fds, (nfds_t)n, eice_posix_timeout(x)) < 0) {
        n = 0; /* a signal */
    }
    eice_posix_process(x, fds, n);
}

static void print(eice_ssh *s, int channel, int stream, FILE *out)
{
    char data[4096];
    size_t n;

    while ((n = eice_channel_read(s, channel, stream, data, sizeof data))
           > 0) {
        fwrite(data, 1, n, out);
    }
}

/* The command's exit status; 255 when it has none. */
static int command(eice_posix *x, eice_conn *c, const char *text)
{
    eice_ssh *s = eice_conn_ssh(c);
    eice_channel_opts o = {0};
    unsigned state = 0;
    int channel;

    o.kind = EICE_CHANNEL_EXEC;
    o.command = eice_str_c(text);
    channel = eice_channel_open(s, &o);
    if (channel < 0) {
        return 255;
    }
    eice_channel_eof(s, channel); /* its stdin is empty */
    eice_posix_process(x, NULL, 0);
    while ((state & (EICE_CHAN_CLOSED | EICE_CHAN_FAILED)) == 0
           && (eice_conn_state(c) & EICE_DONE) == 0) {
        turn(x);
        print(s, channel, 0, stdout);
        print(s, channel, 1, stderr);
        state = eice_channel_state(s, channel);
    }
    if ((state & EICE_CHAN_FAILED) != 0) {
        fprintf(stderr, "%s\n", eice_channel_error(s, channel)->text);
    }
    if ((state & EICE_CHAN_CLOSED) == 0
        || !eice_channel_exit(s, channel)->has_status) {
        return 255;
    }
    return eice_channel_exit(s, channel)->status;
}

int main(int argc, char **argv)
{
    eice_conn_opts o = {0};
    eice_error e = {0};
    eice_posix *x;
    eice_conn *c = NULL;
    int status = 255;

    if (argc != 3) {
        fputs("usage: 02_exec TARGET COMMAND\n", stderr);
        return 255;
    }
    o.goal = EICE_GOAL_SSH;
    o.target = argv[1];
    x = eice_posix_new(NULL, &e);
    if (x != NULL) {
        c = eice_conn_new(&o, eice_posix_now(), &e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        if (eice_posix_wait(x, c) == EICE_OK) {
            status = command(x, c, argv[2]);
        }
        e = *eice_conn_error(c);
    }
    if (e.code != EICE_OK) {
        fprintf(stderr, "%s (%s)\n", e.text, eice_err_remedy(e.code));
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return status;
}
