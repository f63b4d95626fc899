/* Packets of SFTP: requests byte by byte against the draft, answers whole,
 * cut in two at every place and byte by byte, and what no server should
 * send. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "story.h"
#include "test.h"

#define HELLO "\0\0\0\5\2\0\0\0\3"

/* From a page whose end may not be read. */
static void feed(eice_sftp *s, const char *data, size_t len)
{
    while (len > 0) {
        uint8_t *p;
        size_t n = eice_sftp_in(s, &p);

        if (n == 0) {
            return;
        }
        n = n < len ? n : len;
        memcpy(p, data, n);
        eice_sftp_in_ack(s, n);
        data += n;
        len -= n;
    }
}

static void tell_replies(eice_sftp *s)
{
    eice_sftp_reply r;
    eice_sftp_entry e;

    while (eice_sftp_next(s, &r)) {
        tell("%d:%d:%u:%.*s:", (int)r.op, r.tag, (unsigned)r.status,
             (int)r.text.len, r.text.len > 0 ? r.text.ptr : "");
        if (r.attrs.flags != 0) {
            tell("%o,%lu,%lu", (unsigned)r.attrs.mode,
                 (unsigned long)r.attrs.size, (unsigned long)r.attrs.mtime);
        }
        while (eice_sftp_name(&r, &e)) {
            tell("<%.*s>", (int)e.name.len, e.name.ptr);
        }
        tell(" ");
    }
}

static eice_sftp_request asked(eice_sftp_op op, const char *text)
{
    eice_sftp_request q;

    memset(&q, 0, sizeof q);
    q.op = op;
    q.text = eice_str_c(text);
    q.len = 4;
    q.tag = (int)op;
    return q;
}

static void begin(eice_sftp *s)
{
    const uint8_t *p;

    eice_sftp_init(s, NULL);
    CHECK_INT(eice_sftp_out(s, &p), 9);
    CHECK_BYTES(p, "\0\0\0\5\1\0\0\0\3", 9);
    eice_sftp_out_ack(s, 9);
}

/* The answers to `ops`, fed up to `cut`, then the rest; 0: byte by byte. */
static void converse(const eice_sftp_op *ops, const char *data, size_t len,
                     size_t cut)
{
    eice_sftp s;
    size_t i;

    story_begin();
    begin(&s);
    feed(&s, HELLO, sizeof HELLO - 1);
    tell_replies(&s);
    CHECK(s.ready);
    for (i = 0; ops[i] != 0; i++) {
        const eice_sftp_request q = asked(ops[i], "x");

        CHECK(eice_sftp_ask(&s, &q));
    }
    for (i = 0; cut == 0 && i < len; i++) {
        feed(&s, data + i, 1);
        tell_replies(&s);
    }
    if (cut != 0) {
        feed(&s, data, cut);
        tell_replies(&s);
        feed(&s, data + cut, len - cut);
        tell_replies(&s);
    }
    if (s.error.code != EICE_OK) {
        tell("!%s", s.error.text);
    }
    eice_sftp_free(&s);
}

static void all_ways(const eice_sftp_op *ops, const char *data, size_t len,
                     const char *want)
{
    guard g = guard_copy(data, len);
    size_t cut;

    for (cut = 0; cut <= len; cut++) {
        converse(ops, g.ptr, len, cut);
        CHECK_TEXT(story, want);
    }
    guard_free(&g);
}

#define ALL(ops, data, want) all_ways(ops, data, sizeof(data) - 1, want)

/* ---- requests ---------------------------------------------------------- */

static void expect_request(const eice_sftp_request *q, const char *bytes,
                           size_t len)
{
    eice_sftp s;
    const uint8_t *p;

    begin(&s);
    CHECK(!eice_sftp_ask(&s, q)); /* no version yet */
    feed(&s, HELLO, sizeof HELLO - 1);
    tell_replies(&s);
    s.posix_rename = true;
    CHECK(eice_sftp_ask(&s, q));
    CHECK_INT(eice_sftp_out(&s, &p), len);
    CHECK_BYTES(p, bytes, len < 5 ? len : 5);
    CHECK_BYTES(p + 9, bytes + 9, len - 9);
    eice_sftp_free(&s);
}

#define EXPECT(q, bytes) expect_request(&(q), bytes, sizeof(bytes) - 1)

static void test_requests(void)
{
    eice_sftp_request q = asked(EICE_SFTP_OPEN, "f");

    q.flags = EICE_SFTP_FOR_WRITE | EICE_SFTP_CREATE;
    q.attrs.flags = EICE_SFTP_MODE;
    q.attrs.mode = 0644;
    EXPECT(q, "\0\0\0\26\3....\0\0\0\1f\0\0\0\12\0\0\0\4\0\0\1\244");
    q = asked(EICE_SFTP_READ, "h");
    q.offset = UINT64_C(0x100000002);
    EXPECT(q, "\0\0\0\26\5....\0\0\0\1h\0\0\0\1\0\0\0\2\0\0\0\4");
    q = asked(EICE_SFTP_WRITE, "h");
    q.more = eice_str_c("ab");
    EXPECT(q, "\0\0\0\30\6....\0\0\0\1h\0\0\0\0\0\0\0\0\0\0\0\2ab");
    q = asked(EICE_SFTP_SETSTAT, "f");
    q.attrs.flags = 15;
    q.attrs.size = 1;
    q.attrs.uid = 2;
    q.attrs.gid = 3;
    q.attrs.mode = 4;
    q.attrs.atime = 5;
    q.attrs.mtime = 6;
    EXPECT(q, "\0\0\0\52\11....\0\0\0\1f\0\0\0\17\0\0\0\0\0\0\0\1"
              "\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6");
    q = asked(EICE_SFTP_POSIX_RENAME, "a");
    q.more = eice_str_c("b");
    EXPECT(q, "\0\0\0\53\310....\0\0\0\30posix-rename@openssh.com"
              "\0\0\0\1a\0\0\0\1b");
}

static void test_limits(void)
{
    eice_sftp_request q = asked(EICE_SFTP_STAT, "f");
    eice_sftp s;
    size_t n = 0;

    begin(&s);
    feed(&s, HELLO, sizeof HELLO - 1);
    tell_replies(&s);
    while (eice_sftp_ask(&s, &q)) {
        n++;
    }
    CHECK_INT(n, EICE_SFTP_ASKED);
    CHECK_INT(s.asked, EICE_SFTP_ASKED);
    CHECK_INT(s.error.code, EICE_OK);
    eice_sftp_free(&s);
    begin(&s);
    feed(&s, HELLO, sizeof HELLO - 1);
    tell_replies(&s);
    q = asked(EICE_SFTP_POSIX_RENAME, "f");
    CHECK(!eice_sftp_ask(&s, &q)); /* not offered */
    q = asked(EICE_SFTP_READ, "f");
    q.len = EICE_SFTP_BLOCK + 1;
    CHECK(!eice_sftp_ask(&s, &q));
    eice_sftp_free(&s);
}

/* ---- answers ----------------------------------------------------------- */

/* The ids: the first request has turn 1 and slot 0, 1 * 128 + 0, and so on. */
static void test_answers(void)
{
    static const eice_sftp_op ops[]
        = {EICE_SFTP_OPEN, EICE_SFTP_READ, EICE_SFTP_STAT, EICE_SFTP_READDIR,
           EICE_SFTP_CLOSE, (eice_sftp_op)0};

    ALL(ops,
        "\0\0\0\12\146\0\0\0\200\0\0\0\1h"
        "\0\0\0\15\147\0\0\1\1\0\0\0\4data"
        "\0\0\0\31\151\0\0\1\202\0\0\0\14\0\0\201\244\0\0\0\1\0\0\0\2"
        "\0\0\0\0"
        "\0\0\0\43\150\0\0\2\3\0\0\0\2\0\0\0\1a\0\0\0\0\0\0\0\0"
        "\0\0\0\1b\0\0\0\0\0\0\0"
        "\0\0\0\0\11\145\0\0\2\204\0\0\0\0",
        "3:3:0:h: 5:5:0:data: 17:17:0::100644,0,2 12:12:0::<a><b> 4:4:0:: ");
}

static void test_statuses(void)
{
    static const eice_sftp_op ops[] = {EICE_SFTP_OPEN, EICE_SFTP_READ,
                                       EICE_SFTP_REMOVE, (eice_sftp_op)0};

    ALL(ops,
        "\0\0\0\25\145\0\0\1\202\0\0\0\2\0\0\0\4gone\0\0\0\0"
        "\0\0\0\11\145\0\0\1\1\0\0\0\1"
        "\0\0\0\11\145\0\0\0\200\0\0\0\143",
        "13:13:2:gone: 5:5:1:: 3:3:99:: ");
    CHECK_TEXT(eice_sftp_status_text(2), "no such file or directory");
    CHECK_TEXT(eice_sftp_status_text(99), "unknown status");
}

static void test_hostile(void)
{
    static const eice_sftp_op ops[] = {EICE_SFTP_READ, (eice_sftp_op)0};
    static const eice_sftp_op listing[] = {EICE_SFTP_READDIR, (eice_sftp_op)0};
    static const eice_sftp_op stating[] = {EICE_SFTP_STAT, (eice_sftp_op)0};
    static const char misfit[]
        = "!the SFTP server sent an answer that does not fit";

    /* more than was asked for, none, a length beyond the packet */
    ALL(ops, "\0\0\0\16\147\0\0\0\200\0\0\0\5whole", misfit);
    ALL(ops, "\0\0\0\11\147\0\0\0\200\0\0\0\0", misfit);
    ALL(ops, "\0\0\0\12\147\0\0\0\200\377\377\377\377x", misfit);
    /* another answer, success without an answer */
    ALL(ops, "\0\0\0\12\146\0\0\0\200\0\0\0\1h", misfit);
    ALL(ops, "\0\0\0\11\145\0\0\0\200\0\0\0\0", misfit);
    ALL(listing, "\0\0\0\11\150\0\0\0\200\377\377\377\377", misfit);
    ALL(stating, "\0\0\0\15\151\0\0\0\200\200\0\0\0\377\377\377\377", misfit);
    ALL(stating, "\0\0\0\13\151\0\0\0\200\0\0\0\1\0\0", misfit);
    /* ids of nobody, of the slot's other turn */
    ALL(ops, "\0\0\0\11\145\0\0\0\1\0\0\0\0",
        "!the SFTP server sent an answer to no question");
    ALL(ops, "\0\0\0\11\145\0\0\1\0\0\0\0\0",
        "!the SFTP server sent an answer to no question");
    ALL(ops, "\0\0\0\0", "!the SFTP server sent a packet that is too short");
    ALL(ops, "Welcome", "!the SFTP server sent a packet that is too long, or "
                        "text: do the login scripts print some?");
}

static void test_versions(void)
{
    eice_sftp s;
    eice_sftp_reply r;

    begin(&s);
    feed(&s, "\0\0\0\54\2\0\0\0\3\0\0\0\30posix-rename@openssh.com"
             "\0\0\0\0011\0\0\0\1x", 48);
    CHECK(!eice_sftp_next(&s, &r));
    CHECK(s.ready && s.posix_rename && !s.fsync);
    eice_sftp_free(&s);
    begin(&s);
    feed(&s, "\0\0\0\5\2\0\0\0\2", 9);
    CHECK(!eice_sftp_next(&s, &r));
    CHECK_INT(s.error.code, EICE_E_SFTP);
    eice_sftp_free(&s);
}

static void test_names(void)
{
    CHECK(eice_sftp_plain(eice_str_c("a")));
    CHECK(eice_sftp_plain(eice_str_c("...")));
    CHECK(eice_sftp_plain(eice_str_c(" -\n")));
    CHECK(!eice_sftp_plain(eice_str_c("")));
    CHECK(!eice_sftp_plain(eice_str_c(".")));
    CHECK(!eice_sftp_plain(eice_str_c("..")));
    CHECK(!eice_sftp_plain(eice_str_c("a/")));
    CHECK(!eice_sftp_plain(eice_str_c("/a")));
    CHECK(!eice_sftp_plain(eice_str_make("a\0b", 3)));
}

static const test_case tests[] = {
    {"sftp: requests", test_requests},
    {"sftp: limits", test_limits},
    {"sftp: answers", test_answers},
    {"sftp: statuses", test_statuses},
    {"sftp: hostile answers", test_hostile},
    {"sftp: versions", test_versions},
    {"sftp: names of files", test_names},
};

int main(int argc, char **argv)
{
    return test_main(tests, sizeof tests / sizeof tests[0], argc, argv);
}
