/* The SSH session's own book-keeping, without a server. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "test.h"

/* A session as it is after the login, with a channel asked for. */
static int begin(eice_ssh *s)
{
    eice_channel_opts o;

    memset(s, 0, sizeof *s);
    memset(&o, 0, sizeof o);
    s->phase = EICE_SSH_READY;
    s->now_ms = 1000;
    s->deadline_ms = UINT64_MAX;
    s->out.alloc = &s->alloc;
    o.kind = EICE_CHANNEL_EXEC;
    o.command = eice_str_c("true");
    return eice_channel_open(s, &o);
}

/* Whatever the caller asks for is work to be done now: the deadline says so,
 * or a loop that waits for bytes would wait for ever. */
static void test_due(void)
{
    static eice_ssh s;
    eice_pty size;
    int channel;

    memset(&size, 0, sizeof size);
    channel = begin(&s);
    CHECK_INT(channel, 0);
    CHECK_INT(eice_ssh_deadline(&s), 1000);
    s.chan[0].state = EICEI_CHAN_OPEN;
    s.asked = false;
    CHECK(eice_ssh_deadline(&s) == UINT64_MAX);
    CHECK_INT(eice_channel_write(&s, channel, "x", 1), 1);
    CHECK_INT(eice_ssh_deadline(&s), 1000);
    s.asked = false;
    CHECK_INT(eice_channel_write(&s, channel, "x", 0), 0);
    CHECK(eice_ssh_deadline(&s) == UINT64_MAX);
    eice_channel_resize(&s, channel, &size);
    CHECK_INT(eice_ssh_deadline(&s), 1000);
    s.asked = false;
    eice_channel_signal(&s, channel, "INT");
    CHECK_INT(eice_ssh_deadline(&s), 1000);
    s.asked = false;
    eice_channel_eof(&s, channel);
    CHECK_INT(eice_ssh_deadline(&s), 1000);
    s.asked = false;
    eice_channel_eof(&s, channel); /* nothing new */
    CHECK(eice_ssh_deadline(&s) == UINT64_MAX);
    eice_channel_close(&s, channel);
    CHECK_INT(eice_ssh_deadline(&s), 1000);
    eicei_chan_clear(&s, &s.chan[0]);
}

/* One row a message that comes instead of a version line. */
static void test_greeting(void)
{
    static const struct {
        const char *said;
        eice_err code;
        const char *text;
        const char *remedy; /* the beginning of it */
    } rows[] = {
        {"", EICE_E_SSH_BANNER,
         "the connection ended before the SSH version line", ""},
        {"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", EICE_E_SSH_BANNER,
         "no SSH server there: it says \"HTTP/1.1 400 Bad Request\"", ""},
        {"Not allowed at this time\r\n", EICE_E_SSH_BANNER,
         "no SSH server there: it says \"Not allowed at this time\"",
         "sshd punishes"},
        {"SSH-2.0-Open", EICE_E_SSH_LOST,
         "the connection ended within the SSH version line", ""},
    };
    static eice_ssh s;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(&s, 0, sizeof s);
        s.phase = EICE_SSH_GREET;
        s.greeting_len = strlen(rows[i].said);
        memcpy(s.greeting, rows[i].said, s.greeting_len);
        s.marked = strncmp(rows[i].said, "SSH-", 4) == 0 ? 4 : 5;
        eicei_ssh_kex_fail(&s);
        CHECK_INT(eice_ssh_phase_of(&s), EICE_SSH_FAILED);
        CHECK_INT(eice_ssh_error(&s)->code, rows[i].code);
        CHECK_INT(eice_ssh_error(&s)->stage, EICE_STAGE_BANNER);
        CHECK_TEXT(eice_ssh_error(&s)->text, rows[i].text);
        CHECK(strncmp(eice_ssh_error(&s)->remedy, rows[i].remedy,
                      strlen(rows[i].remedy)) == 0);
    }
}

static const test_case tests[] = {
    {"ssh: what is asked for is due at once", test_due},
    {"ssh: what comes instead of a version line", test_greeting},
};

TEST_MAIN(tests)
