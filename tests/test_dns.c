/* The stub resolver: messages as tables, time as a script. */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"
#include "test.h"

#define SERVERS "nameserver 10.0.0.2\nnameserver 10.0.0.3\n"

/* ---- helpers ----------------------------------------------------------- */

static eice_drbg rng;

static void begin(eice_dns *d, const char *conf, const char *name)
{
    static eice_dns_config config;

    eice_drbg_init(&rng, "0123456789abcdef0123456789abcdef", 32);
    eice_dns_config_parse(&config, eice_str_c(conf));
    eice_dns_init(d, &config, eice_str_c(name), &rng, 1000);
}

/* Takes the messages to be sent now: A into q[0], AAAA into q[1]. */
static unsigned ask(eice_dns *d, eice_dns_query q[2])
{
    eice_dns_query next;
    unsigned n = 0;

    while (eice_dns_next(d, &next)) {
        const size_t type = next.len - 3;

        q[next.message[type] == 28] = next;
        n++;
    }
    return n;
}

/* The name in a question, with dots. */
static const char *asked_name(const eice_dns_query *q)
{
    static char text[260];
    const uint8_t *p = q->message + 12 + (q->tcp ? 2 : 0);
    size_t n = 0;

    while (*p != 0) {
        memcpy(text + n, p + 1, *p);
        n += *p;
        text[n++] = '.';
        p += *p + 1;
    }
    text[n > 0 ? n - 1 : 0] = 0;
    return text;
}

static void put16(eice_buf *b, unsigned n)
{
    eice_put_byte(b, (unsigned char)(n >> 8));
    eice_put_byte(b, (unsigned char)(n & 255));
}

/* "@" is a pointer to the question's name. */
static void put_name(eice_buf *b, eice_str name)
{
    if (eice_str_is(name, "@")) {
        put16(b, 0xc00c);
        return;
    }
    while (name.len > 0) {
        const eice_str label = eice_str_cut(&name, '.');

        eice_put_byte(b, (unsigned char)label.len);
        eice_put(b, label);
    }
    eice_put_byte(b, 0);
}

/* "owner A 1.2.3.4", "owner AAAA ::1", "owner CNAME name", "owner TXT x". */
static void put_record(eice_buf *b, eice_str text)
{
    const eice_str owner = eice_str_cut(&text, ' ');
    const eice_str type = eice_str_cut(&text, ' ');
    char memory[300];
    eice_buf data;
    eice_ip ip;
    unsigned code = 16;

    eice_buf_init(&data, memory, sizeof memory);
    if (eice_str_is(type, "CNAME")) {
        code = 5;
        put_name(&data, text);
    } else if (eice_ip_parse(text, &ip)) {
        code = eice_str_is(type, "A") ? 1 : 28;
        eice_put(&data, eice_str_make(ip.bytes, ip.family == 4 ? 4 : 16));
    } else {
        eice_put(&data, text);
    }
    put_name(b, owner);
    put16(b, code);
    put16(b, 1);
    put16(b, 0);
    put16(b, 60);
    put16(b, (unsigned)data.len);
    eice_put(b, eice_buf_str(&data));
}

/* An answer to `q`: flags (0 is an ordinary one), records divided by ';'. */
static void make(eice_buf *b, const eice_dns_query *q, unsigned flags,
                 const char *records)
{
    const size_t skip = q->tcp ? 2 : 0;
    eice_str rest = eice_str_c(records);
    unsigned count = 0;

    eice_put(b, eice_str_make(q->message + skip, 2));
    put16(b, flags == 0 ? 0x8180 : flags);
    put16(b, 1);
    put16(b, 0);
    put16(b, 0);
    put16(b, 0);
    eice_put(b, eice_str_make(q->message + skip + 12, q->len - skip - 12));
    while (rest.len > 0) {
        put_record(b, eice_str_trim(eice_str_cut(&rest, ';')));
        count++;
    }
    b->ptr[6] = (char)(count >> 8);
    b->ptr[7] = (char)count;
}

/* Hands bytes in so that their end touches a guard page. */
static void feed(eice_dns *d, const eice_dns_query *q, eice_str bytes,
                 uint64_t now)
{
    guard g = guard_copy(bytes.ptr, bytes.len);

    eice_dns_answer(d, q->tag, g.ptr, bytes.len, now);
    guard_free(&g);
}

static void reply(eice_dns *d, const eice_dns_query *q, unsigned flags,
                  const char *records, uint64_t now)
{
    static char memory[20000];
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    make(&b, q, flags, records);
    feed(d, q, eice_buf_str(&b), now);
}

#define NXDOMAIN 0x8183
#define SERVFAIL 0x8182
#define REFUSED 0x8185
#define TRUNCATED 0x8380

/* The result as text, "-" when not done, the error's name when it failed. */
static const char *result(const eice_dns *d)
{
    static char text[EICE_MAX_ADDRESSES * EICE_IP_TEXT + 1];
    eice_addresses list;
    eice_buf b;
    size_t i;

    if (!eice_dns_done(d, &list)) {
        return "-";
    }
    if (d->error.code != EICE_OK) {
        return list.count == 0 ? eice_err_name(d->error.code) : "?";
    }
    eice_buf_init(&b, text, sizeof text);
    for (i = 0; i < list.count; i++) {
        char ip[EICE_IP_TEXT];

        eice_putf(&b, "%s%s", i > 0 ? " " : "",
                  eice_ip_format(&list.ip[i], ip));
    }
    return eice_buf_c(&b);
}

/* ---- configuration ----------------------------------------------------- */

static void config_text(const eice_dns_config *c, eice_buf *b)
{
    char ip[EICE_IP_TEXT];
    unsigned i;

    for (i = 0; i < c->server_count; i++) {
        eice_putf(b, "%s", eice_ip_format(&c->server[i], ip));
        if (c->port[i] != 53) {
            eice_putf(b, " port %u", (unsigned)c->port[i]);
        }
        eice_put_byte(b, ' ');
    }
    eice_putf(b, "|");
    for (i = 0; i < c->search_count; i++) {
        eice_putf(b, " %s", c->search[i]);
    }
    eice_putf(b, "| %u %u %u%s%s%s", c->ndots, c->attempts, c->timeout_ms,
              c->rotate ? " rotate" : "", c->tcp ? " tcp" : "",
              c->families == EICE_DNS_A ? " v4" : "");
}

static void test_config(void)
{
    static const struct {
        const char *text;
        const char *want;
    } table[] = {
        {"", "127.0.0.1 || 1 2 5000"},
        {"nameserver 10.0.0.2", "10.0.0.2 || 1 2 5000"},
        {"nameserver [10.0.0.2]:5353\nnameserver [::1]:53\n"
         "nameserver [::2]\nnameserver [::3]:65536\nnameserver [x]:1\n",
         "10.0.0.2 port 5353 ::1 || 1 2 5000"},
        {"nameserver\t10.0.0.2 # x\r\nnameserver fd00::2\r\n",
         "10.0.0.2 fd00::2 || 1 2 5000"},
        {"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n"
         "nameserver 4.4.4.4\n", "1.1.1.1 2.2.2.2 3.3.3.3 || 1 2 5000"},
        {"nameserver fe80::1%eth0\nnameserver 300.1.1.1\nnameserver\n",
         "127.0.0.1 || 1 2 5000"},
        {"nameserver [10.0.0.2]:5353\nnameserver [fd00::2]:65535\n"
         "nameserver [10.0.0.3]:0\n",
         "10.0.0.2 port 5353 fd00::2 port 65535 10.0.0.3 || 1 2 5000"},
        {"nameserver [\nnameserver []\nnameserver [10.0.0.2]\n"
         "nameserver [10.0.0.2]:\nnameserver [10.0.0.2]:65536\n"
         "nameserver [10.0.0.2]:5x\nnameserver [x]:53\n"
         "nameserver 10.0.0.2]:53\nnameserver 10.0.0.2:53\n",
         "127.0.0.1 || 1 2 5000"},
        {"#nameserver 1.1.1.1\n;nameserver 1.1.1.1\nnameservers 1.1.1.1\n",
         "127.0.0.1 || 1 2 5000"},
        {"search a.example b.example.\ndomain c.example d.example\n",
         "127.0.0.1 | c.example| 1 2 5000"},
        {"domain c.example\nsearch a.example . b..c -x_\n",
         "127.0.0.1 | a.example -x_| 1 2 5000"},
        {"search a b c d e f g h\n", "127.0.0.1 | a b c d e f| 1 2 5000"},
        {"search .\n", "127.0.0.1 || 1 2 5000"},
        {"options ndots:5 timeout:1 attempts:3 rotate use-vc no-aaaa edns0\n",
         "127.0.0.1 || 5 3 1000 rotate tcp v4"},
        {"options ndots:99 timeout:99 attempts:99\n",
         "127.0.0.1 || 15 5 30000"},
        {"options ndots:0 timeout:0 attempts:0\n", "127.0.0.1 || 0 1 1000"},
        {"options ndots: timeout:x attempts:-1 ndots\noptions timeout:2\n",
         "127.0.0.1 || 1 2 2000"},
        {"options ndots:4294967299 timeout:99999999999999999999\n",
         "127.0.0.1 || 1 2 5000"}
    };
    static eice_dns_config c;
    char memory[400];
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        guard g = guard_copy(table[i].text, strlen(table[i].text));
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        memset(&c, 0xaa, sizeof c);
        eice_dns_config_parse(&c, eice_str_make(g.ptr, strlen(table[i].text)));
        config_text(&c, &b);
        CHECK_TEXT(eice_buf_c(&b), table[i].want);
        guard_free(&g);
    }
}

static void test_hosts(void)
{
    static const char hosts[] =
        "127.0.0.1\tlocalhost\n"
        "::1 localhost ip6-localhost # loop back\n"
        "# 9.9.9.9 gone\n"
        "10.0.0.1 one.example one # two\n"
        "fe80::1%lo0 zone\n"
        "10.0.0.2 Multi. \r\n10.0.0.3 multi\nfd00::3 multi\n10.0.0.2 multi\n"
        "garbage one\n\n10.0.0.9 last";
    static const struct {
        const char *name;
        const char *want;
    } table[] = {
        {"localhost", "::1 127.0.0.1"}, {"ip6-localhost", "::1"},
        {"ONE", "10.0.0.1"}, {"one.example.", "10.0.0.1"},
        {"multi", "fd00::3 10.0.0.2 10.0.0.3"}, {"last", "10.0.0.9"},
        {"gone", ""}, {"two", ""}, {"zone", ""}, {"10.0.0.1", ""},
        {"on", ""}, {"one.exampl", ""}, {"", ""}, {"#", ""}
    };
    guard g = guard_copy(hosts, sizeof hosts - 1);
    const eice_str text = eice_str_make(g.ptr, sizeof hosts - 1);
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        static eice_dns d; /* only for result() */
        const eice_str name = eice_str_c(table[i].name);
        const bool found = eice_dns_hosts(text, name, &d.priv.result);

        d.priv.done = true;
        CHECK_INT(found, table[i].want[0] != 0);
        CHECK_INT(eice_dns_hosts(text, name, NULL), found);
        CHECK_TEXT(result(&d), table[i].want);
    }
    CHECK(!eice_dns_hosts(eice_str_c(""), eice_str_c("x"), NULL));
    guard_free(&g);
}

/* ---- messages ---------------------------------------------------------- */

static void test_question(void)
{
    static const uint8_t want[] =
        "\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1";
    static eice_dns d;
    eice_dns_query q[2];

    begin(&d, SERVERS, "www.example.com");
    CHECK_INT(ask(&d, q), 2);
    CHECK_INT(q[0].len, sizeof want - 1 + 2);
    CHECK_BYTES(q[0].message + 2, want, sizeof want - 1);
    CHECK_INT(q[1].message[q[1].len - 3], 28);
    CHECK_INT(q[0].port, 53);
    CHECK_INT(q[0].address.bytes[3], 2);
    CHECK(!q[0].tcp && q[0].tag != q[1].tag);
    CHECK(eice_dns_waits(&d, q[0].tag) && eice_dns_waits(&d, q[1].tag));
    CHECK(!eice_dns_waits(&d, 77));

    begin(&d, SERVERS "options use-vc\n", "www.example.com");
    CHECK_INT(ask(&d, q), 2);
    CHECK(q[0].tcp);
    CHECK_INT(q[0].len, sizeof want - 1 + 4);
    CHECK_INT(q[0].message[0], 0);
    CHECK_INT(q[0].message[1], q[0].len - 2);
    CHECK_BYTES(q[0].message + 4, want, sizeof want - 1);
}

static void test_longest_name(void)
{
    static eice_dns d;
    char name[256];
    eice_dns_query q[2];
    size_t i;

    for (i = 0; i < 254; i++) {
        name[i] = i % 64 == 63 ? '.' : 'a';
    }
    name[253] = '.'; /* 253 bytes and a dot */
    name[254] = 0;
    begin(&d, "options use-vc\nsearch example.com\n", name);
    CHECK_INT(ask(&d, q), 2);
    CHECK_INT(q[0].len, EICE_DNS_MESSAGE);
    reply(&d, &q[0], 0, "@ A 10.1.1.1", 1001);
    reply(&d, &q[1], 0, "", 1001);
    CHECK_TEXT(result(&d), "10.1.1.1");
    name[253] = 0;
    begin(&d, "search example.com\n", name); /* no room for the search list */
    CHECK_INT(ask(&d, q), 2);
    reply(&d, &q[0], NXDOMAIN, "", 1001);
    reply(&d, &q[1], NXDOMAIN, "", 1001);
    CHECK_TEXT(result(&d), "NAME_NOT_FOUND");
}

static void test_ids(void)
{
    static eice_dns d;
    static eice_dns_config c;
    unsigned seen[256];
    unsigned buckets = 0;
    size_t i;

    memset(seen, 0, sizeof seen);
    eice_dns_config_parse(&c, eice_str_c(""));
    eice_drbg_init(&rng, "0123456789abcdef0123456789abcdef", 32);
    for (i = 0; i < 1000; i++) {
        eice_dns_query q[2];

        eice_dns_init(&d, &c, eice_str_c("x.example"), &rng, 0);
        CHECK_INT(ask(&d, q), 2);
        buckets += seen[q[0].message[0]]++ == 0;
        buckets += seen[q[1].message[1]]++ == 0;
    }
    CHECK_INT(buckets, 256);
}

typedef struct answers {
    const char *a;
    const char *aaaa;
    const char *want;
} answers;

static const answers answers_table[] = {
    {"@ A 10.0.0.1", "@ AAAA fd00::1", "fd00::1 10.0.0.1"},
    {"@ A 10.0.0.1; @ A 10.0.0.2; @ A 10.0.0.3", "@ AAAA fd00::1",
     "fd00::1 10.0.0.1 10.0.0.2 10.0.0.3"},
    {"@ A 10.0.0.1", "@ AAAA fd00::1; @ AAAA fd00::2; @ AAAA fd00::3",
     "fd00::1 10.0.0.1 fd00::2 fd00::3"},
    {"@ A 10.0.0.1", "", "10.0.0.1"},
    {"", "@ AAAA fd00::1", "fd00::1"},
    {"", "", "NAME_NOT_FOUND"},
    {"@ A 10.0.0.1; @ A 10.0.0.1", "", "10.0.0.1"},
    {"x.example A 10.0.0.1", "", "10.0.0.1"},
    {"X.eXample A 10.0.0.1", "", "10.0.0.1"},
    {"y.example A 10.0.0.1", "", "NAME_NOT_FOUND"},
    {"example A 10.0.0.1; xx.example A 10.0.0.2", "", "NAME_NOT_FOUND"},
    {"@ AAAA fd00::1", "@ A 10.0.0.1", "NAME_NOT_FOUND"},
    {"@ TXT x; @ A 10.0.0.1; z TXT y", "", "10.0.0.1"},
    {"@ CNAME y.example; y.example A 10.0.0.1", "", "10.0.0.1"},
    {"y.example A 10.0.0.1; @ CNAME y.example", "", "10.0.0.1"},
    {"c A 10.0.0.1; b CNAME c; a CNAME b; @ CNAME a", "", "10.0.0.1"},
    {"@ CNAME y.example; z.example A 10.0.0.1", "", "NAME_NOT_FOUND"},
    {"@ CNAME y.example", "", "NAME_NOT_FOUND"},
    {"@ CNAME 1; 1 CNAME 2; 2 CNAME 3; 3 CNAME 4; 4 CNAME 5; 5 CNAME 6; "
     "6 CNAME 7; 7 CNAME 8; 8 A 10.0.0.1", "", "10.0.0.1"},
    {"@ CNAME 1; 1 CNAME 2; 2 CNAME 3; 3 CNAME 4; 4 CNAME 5; 5 CNAME 6; "
     "6 CNAME 7; 7 CNAME 8; 8 CNAME 9; 9 A 10.0.0.1", "", "DNS_FAILED"},
    {"@ CNAME x.example", "", "DNS_FAILED"},
    {"@ CNAME y.example; y.example CNAME x.example", "", "DNS_FAILED"},
    {"@ CNAME @", "", "DNS_FAILED"}
};

static void test_answers(void)
{
    static eice_dns d;
    size_t i;

    for (i = 0; i < sizeof answers_table / sizeof answers_table[0]; i++) {
        const answers *row = &answers_table[i];
        eice_dns_query q[2];

        begin(&d, "options attempts:1", "x.example");
        ask(&d, q);
        reply(&d, &q[1], 0, row->aaaa, 1010);
        CHECK_TEXT(result(&d), "-");
        reply(&d, &q[0], 0, row->a, 1010);
        CHECK_TEXT(result(&d), row->want);
    }
}

static void test_many_records(void)
{
    static eice_dns d;
    static char text[300 * 24];
    eice_dns_query q[2];
    eice_addresses list;
    eice_buf b;
    unsigned i;

    eice_buf_init(&b, text, sizeof text);
    for (i = 0; i < 300; i++) {
        eice_putf(&b, "%s@ A 10.1.%u.%u", i > 0 ? ";" : "", i / 256, i % 256);
    }
    begin(&d, "", "x.example");
    ask(&d, q);
    reply(&d, &q[0], 0, eice_buf_c(&b), 1001);
    reply(&d, &q[1], 0, "@ AAAA ::2; @ AAAA ::3", 1001);
    CHECK(eice_dns_done(&d, &list));
    CHECK_INT(list.count, EICE_MAX_ADDRESSES);
    CHECK_INT(list.ip[0].family, 6);
    CHECK_INT(list.ip[3].family, 4);
    CHECK_INT(list.ip[4].bytes[3], 2);
    CHECK_INT(list.ip[15].bytes[3], 13);

    /* an alias that only comes behind the records that are read */
    eice_buf_init(&b, text, sizeof text);
    for (i = 0; i < 256; i++) {
        eice_putf(&b, "y A 10.1.1.1;");
    }
    eice_put_c(&b, "@ A 10.9.9.9");
    begin(&d, "options no-aaaa", "x.example");
    ask(&d, q);
    reply(&d, &q[0], 0, eice_buf_c(&b), 1001);
    CHECK_TEXT(result(&d), "NAME_NOT_FOUND");
}

static void test_cut_everywhere(void)
{
    static eice_dns d;
    static char memory[1000];
    size_t cut;
    size_t len = 1;

    for (cut = 0; cut <= len; cut++) {
        eice_dns_query q[2];
        eice_buf b;

        begin(&d, SERVERS "options no-aaaa", "x.example");
        CHECK_INT(ask(&d, q), 1);
        eice_buf_init(&b, memory, sizeof memory);
        make(&b, &q[0], 0, "@ CNAME a.b; a.b A 10.0.0.1; @ TXT hello");
        len = b.len;
        feed(&d, &q[0], eice_str_make(memory, cut), 1001);
        if (cut == len) {
            CHECK_TEXT(result(&d), "10.0.0.1");
        } else if (cut < 12 + 15) { /* no question: not for us */
            CHECK_TEXT(result(&d), "-");
            CHECK(eice_dns_waits(&d, q[0].tag));
        } else {
            CHECK(!eice_dns_waits(&d, q[0].tag));
            CHECK_INT(ask(&d, q), 1); /* the other server */
            CHECK_INT(q[0].address.bytes[3], 3);
        }
    }
}

/* What follows the question, in hex; the name asked is "x.example", its
 * labels are at 12 (0c) and 14 (0e), the answers begin at 27 (1b). */
static const struct {
    const char *what;
    unsigned records;
    const char *hex;
} hostile_table[] = {
    {"pointer to itself", 1, "c01b 0001 0001 00000000 0004 0a000001"},
    {"pointer forward", 1, "c01d c00c 0001 0001 00000000 0004 0a000001"},
    {"pointer past the end", 1, "ffff 0001 0001 00000000 0004 0a000001"},
    {"pointer into the header", 1, "c000 0001 0001 00000000 0004 0a000001"},
    {"pointer into the header's end", 1,
     "c00b 0001 0001 00000000 0004 0a000001"},
    {"label, then pointer to itself", 1,
     "0161c01b 0001 0001 00000000 0004 0a000001"},
    {"two pointers in a circle", 2,
     "0161c022 0001 0001 00000000 0000 c01b 0001 0001 00000000 0000"},
    {"label type 01", 1, "4161 00 0001 0001 00000000 0004 0a000001"},
    {"label type 10", 1, "8161 00 0001 0001 00000000 0004 0a000001"},
    {"label longer than the message", 1, "3f61"},
    {"half a pointer", 1, "c0"},
    {"no record at all", 1, ""},
    {"dot in a label", 1,
     "09782e6578616d706c65 00 0001 0001 00000000 0004 0a000001"},
    {"fewer records than announced", 2,
     "c00c 0001 0001 00000000 0004 0a000001"},
    {"65535 records announced", 65535,
     "c00c 0001 0001 00000000 0004 0a000001"},
    {"address of 3 bytes", 1, "c00c 0001 0001 00000000 0003 0a0000"},
    {"address of 16 bytes in A", 1,
     "c00c 0001 0001 00000000 0010 0a00000100000000 0000000000000000"},
    {"address without bytes", 1, "c00c 0001 0001 00000000 0000"},
    {"data longer than the message", 1,
     "c00c 0001 0001 00000000 ffff 0a000001"},
    {"alias shorter than its record", 1,
     "c00c 0005 0001 00000000 0004 01610000"},
    {"alias longer than its record", 1,
     "c00c 0005 0001 00000000 0001 016100"},
    {"alias that points to itself", 1,
     "c00c 0005 0001 00000000 0002 c027"},
    {"empty alias", 1, "c00c 0005 0001 00000000 0000"}
};

/* Hex text with blanks behind a head of its own. */
static void make_hex(eice_buf *b, const eice_dns_query *q, unsigned records,
                     const char *hex)
{
    char digits[400];
    uint8_t bytes[200];
    ptrdiff_t n;
    size_t i = 0;

    for (; *hex != 0; hex++) {
        if (*hex != ' ') {
            digits[i++] = *hex;
        }
    }
    n = eice_hex_decode(eice_str_make(digits, i), bytes, sizeof bytes);
    CHECK(n >= 0);
    make(b, q, 0, "");
    eice_put(b, eice_str_make(bytes, (size_t)n));
    b->ptr[6] = (char)(records >> 8);
    b->ptr[7] = (char)records;
}

static void test_hostile(void)
{
    static eice_dns d;
    static char memory[1000];
    size_t i;

    for (i = 0; i < sizeof hostile_table / sizeof hostile_table[0]; i++) {
        eice_dns_query q[2];
        eice_buf b;

        begin(&d, "options attempts:1 no-aaaa", "x.example");
        ask(&d, q);
        eice_buf_init(&b, memory, sizeof memory);
        make_hex(&b, &q[0], hostile_table[i].records, hostile_table[i].hex);
        feed(&d, &q[0], eice_buf_str(&b), 1001);
        if (strcmp(result(&d), "DNS_FAILED") != 0
            || strstr(d.error.text, "malformed") == NULL) {
            test_fail(__FILE__, __LINE__, "%s: %s, %s", hostile_table[i].what,
                      result(&d), d.error.text);
        }
    }
}

static void test_pointer_chain(void)
{
    static eice_dns d;
    static char memory[2000];
    unsigned n;

    /* a TXT record full of pointers, each to the one before, the first to
     * the question; an address whose owner is the last of them */
    for (n = 1; n < 200; n++) {
        eice_dns_query q[2];
        eice_buf b;
        unsigned i;

        begin(&d, "options attempts:1 no-aaaa", "x.example");
        ask(&d, q);
        eice_buf_init(&b, memory, sizeof memory);
        make_hex(&b, &q[0], 2, "c00c 0010 0001 00000000");
        put16(&b, n * 2);
        for (i = 0; i < n; i++) {
            put16(&b, i == 0 ? 0xc00c : 0xc000 + (unsigned)b.len - 2);
        }
        put16(&b, 0xc000 + (unsigned)b.len - 2);
        put16(&b, 1);
        put16(&b, 1);
        put16(&b, 0);
        put16(&b, 0);
        put16(&b, 4);
        put16(&b, 0x0a00);
        put16(&b, 0x0001);
        feed(&d, &q[0], eice_buf_str(&b), 1001);
        CHECK_TEXT(result(&d), n <= 31 ? "10.0.0.1" : "DNS_FAILED");
    }
}

/* A name that a chain of pointers makes longer than 253 bytes. */
static void test_name_too_long(void)
{
    static eice_dns d;
    static char memory[2000];
    eice_dns_query q[2];
    eice_buf b;
    unsigned i;

    begin(&d, "options attempts:1 no-aaaa", "x.example");
    ask(&d, q);
    eice_buf_init(&b, memory, sizeof memory);
    make_hex(&b, &q[0], 2, "c00c 0010 0001 00000000");
    put16(&b, 6 * 66);
    for (i = 0; i < 6; i++) {
        unsigned k;

        eice_put_byte(&b, 63);
        for (k = 0; k < 63; k++) {
            eice_put_byte(&b, 'a');
        }
        put16(&b, i == 0 ? 0xc00c : 0xc000 + (unsigned)b.len - 64 - 66);
    }
    put16(&b, 0xc000 + (unsigned)b.len - 66);
    put16(&b, 1);
    feed(&d, &q[0], eice_buf_str(&b), 1001);
    CHECK_TEXT(result(&d), "DNS_FAILED");
}

/* Bytes of an answer that make it somebody else's. */
static void test_not_ours(void)
{
    static const struct {
        const char *what;
        size_t at;
        unsigned char change;
    } table[] = {
        {"id, high", 0, 1}, {"id, low", 1, 0x80}, {"a question", 2, 0x80},
        {"opcode", 2, 0x08}, {"no question", 5, 1}, {"two questions", 5, 3},
        {"name", 13, 1}, {"name", 15, 2}, {"label", 14, 4},
        {"type", 24, 28}, {"class", 26, 3}, {"type, high", 23, 1}
    };
    static eice_dns d;
    char memory[200];
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_dns_query q[2];
        eice_buf b;

        begin(&d, "options no-aaaa", "x.example");
        ask(&d, q);
        eice_buf_init(&b, memory, sizeof memory);
        make(&b, &q[0], 0, "@ A 6.6.6.6");
        b.ptr[table[i].at] = (char)(b.ptr[table[i].at] ^ table[i].change);
        feed(&d, &q[0], eice_buf_str(&b), 1001);
        if (strcmp(result(&d), "-") != 0 || !eice_dns_waits(&d, q[0].tag)) {
            test_fail(__FILE__, __LINE__, "%s: %s", table[i].what, result(&d));
        }
        eice_dns_answer(&d, q[0].tag + 1, b.ptr, b.len, 1001); /* other tag */
        reply(&d, &q[0], 0, "@ A 10.0.0.1", 1002);
        CHECK_TEXT(result(&d), "10.0.0.1");
    }
}

static void test_question_case(void)
{
    static eice_dns d;
    char memory[200];
    eice_dns_query q[2];
    eice_buf b;

    begin(&d, "options no-aaaa", "X.example");
    ask(&d, q);
    eice_buf_init(&b, memory, sizeof memory);
    make(&b, &q[0], 0, "x.EXAMPLE A 10.0.0.1");
    b.ptr[15] = 'E';
    feed(&d, &q[0], eice_buf_str(&b), 1001);
    CHECK_TEXT(result(&d), "10.0.0.1");
}

/* Every byte of an answer, changed: never a wrong state, never an overrun. */
static void test_mutations(void)
{
    static eice_dns d;
    static char memory[400];
    size_t at;
    size_t len = 1;
    unsigned change;

    for (at = 0; at < len; at++) {
        for (change = 1; change < 256; change += at < 60 ? 1 : 7) {
            eice_dns_query q[2];
            eice_buf b;

            begin(&d, SERVERS, "x.example");
            ask(&d, q);
            eice_buf_init(&b, memory, sizeof memory);
            make(&b, &q[0], 0, "@ CNAME y.z; y.z CNAME a.z; a.z A 10.0.0.1");
            len = b.len;
            b.ptr[at] = (char)(b.ptr[at] ^ (char)change);
            feed(&d, &q[0], eice_buf_str(&b), 1001);
            CHECK(!eice_dns_done(&d, NULL));
            CHECK(eice_dns_deadline(&d) >= 1000);
            CHECK(eice_dns_deadline(&d) <= 6000);
        }
    }
}

/* ---- time, servers ----------------------------------------------------- */

static void test_timeouts(void)
{
    static eice_dns d;
    static const unsigned char server[] = {2, 3, 2, 3};
    eice_dns_query q[2];
    uint64_t now = 1000;
    size_t i;

    begin(&d, SERVERS, "x.example");
    for (i = 0; i < 4; i++) {
        CHECK_INT(ask(&d, q), 2);
        CHECK_INT(q[0].address.bytes[3], server[i]);
        CHECK_INT(q[1].address.bytes[3], server[i]);
        CHECK_INT(eice_dns_deadline(&d), now + 5000);
        eice_dns_tick(&d, now + 4999);
        CHECK(eice_dns_waits(&d, q[0].tag));
        now += 5000;
        eice_dns_tick(&d, now);
        CHECK(!eice_dns_waits(&d, q[0].tag));
    }
    CHECK_TEXT(result(&d), "DNS_TIMEOUT");
    CHECK_TEXT(d.error.text,
               "x.example: no answer from 10.0.0.2, 10.0.0.3 in 20000 ms");
    CHECK(d.error.retryable);
    CHECK_INT(d.error.stage, EICE_STAGE_RESOLVE);
    CHECK(eice_dns_deadline(&d) == UINT64_MAX);
    CHECK_INT(ask(&d, q), 0);
    reply(&d, &q[0], 0, "@ A 10.0.0.1", now + 1);
    CHECK_TEXT(result(&d), "DNS_TIMEOUT");
}

static void test_second_server(void)
{
    static const unsigned bad[] = {SERVFAIL, REFUSED, 0x8181, 0x8184, 0x818f};
    static eice_dns d;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        eice_dns_query q[2];

        begin(&d, SERVERS, "x.example");
        ask(&d, q);
        reply(&d, &q[0], bad[i], "", 1001);
        CHECK_INT(eice_dns_deadline(&d), 1001);
        CHECK_INT(ask(&d, q), 1);
        CHECK_INT(q[0].address.bytes[3], 3);
        CHECK_INT(eice_dns_deadline(&d), 6000); /* AAAA */
        reply(&d, &q[1], 0, "", 1002);
        reply(&d, &q[0], 0, "@ A 10.0.0.1", 1003);
        CHECK_TEXT(result(&d), "10.0.0.1");
    }
}

static void test_all_servers_fail(void)
{
    static const struct {
        unsigned flags;
        const char *text;
    } table[] = {
        {SERVFAIL, "x.example: 10.0.0.2 answered SERVFAIL"},
        {REFUSED, "x.example: 10.0.0.2 answered REFUSED"},
        {0x818b, "x.example: 10.0.0.2 answered with code 11"},
        {0x8100, "x.example: 10.0.0.2 does not resolve for us "
                 "(no recursion)"}
    };
    static eice_dns d;
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_dns_query q[2];
        unsigned messages = 0;
        unsigned n;

        begin(&d, SERVERS, "x.example");
        while ((n = ask(&d, q)) > 0) {
            messages += n;
            reply(&d, &q[0], table[i].flags, "", 1001);
            reply(&d, &q[1], table[i].flags, "", 1001);
        }
        CHECK_INT(messages, 8);
        CHECK_TEXT(result(&d), "DNS_FAILED");
        CHECK_TEXT(d.error.text, table[i].text);
        CHECK(d.error.retryable);
    }
}

static void test_unreachable(void)
{
    static eice_dns d;
    static eice_dns_config c;
    eice_dns_query q[2];
    unsigned n = 0;

    eice_drbg_init(&rng, "0123456789abcdef0123456789abcdef", 32);
    eice_dns_config_parse(&c, eice_str_c("nameserver ::1"));
    c.port[0] = 5353;
    eice_dns_init(&d, &c, eice_str_c("x.example"), &rng, 5);
    while (ask(&d, q) > 0) {
        eice_dns_unreachable(&d, q[0].tag, 6);
        eice_dns_unreachable(&d, q[1].tag, 6);
        eice_dns_unreachable(&d, q[1].tag, 6); /* again: nothing */
        n++;
    }
    CHECK_INT(n, 2);
    CHECK_TEXT(result(&d), "DNS_FAILED");
    CHECK_TEXT(d.error.text, "x.example: cannot reach ::1 port 5353");

    begin(&d, SERVERS, "x.example"); /* then the second answers */
    ask(&d, q);
    eice_dns_unreachable(&d, q[0].tag, 1001);
    eice_dns_unreachable(&d, q[1].tag, 1001);
    CHECK_INT(ask(&d, q), 2);
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 1001);
    reply(&d, &q[1], 0, "@ AAAA ::9", 1001);
    CHECK_TEXT(result(&d), "::9 10.0.0.1");
}

static void test_truncation(void)
{
    static eice_dns d;
    eice_dns_query q[2];
    eice_dns_query udp;

    begin(&d, SERVERS, "x.example");
    ask(&d, q);
    udp = q[0];
    reply(&d, &q[0], TRUNCATED, "@ A 6.6.6.6", 1001);
    reply(&d, &q[1], 0, "", 1001);
    CHECK_INT(ask(&d, q), 1);
    CHECK(q[0].tcp);
    CHECK_INT(q[0].address.bytes[3], 2);
    CHECK_INT(eice_dns_deadline(&d), 6001);
    reply(&d, &udp, 0, "@ A 6.6.6.6", 1002); /* late */
    CHECK_TEXT(result(&d), "-");
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 1003);
    CHECK_TEXT(result(&d), "10.0.0.1");

    begin(&d, SERVERS, "x.example"); /* truncated on TCP: a broken server */
    ask(&d, q);
    reply(&d, &q[1], 0, "", 1001);
    reply(&d, &q[0], TRUNCATED, "", 1001);
    ask(&d, q);
    reply(&d, &q[0], TRUNCATED, "@ A 6.6.6.6", 1001);
    CHECK_INT(ask(&d, q), 1);
    CHECK(!q[0].tcp);
    CHECK_INT(q[0].address.bytes[3], 3);

    reply(&d, &q[0], TRUNCATED, "", 1001); /* TCP closed: the next server */
    ask(&d, q);
    CHECK(q[0].tcp);
    eice_dns_unreachable(&d, q[0].tag, 1001);
    CHECK_INT(ask(&d, q), 1);
    CHECK(!q[0].tcp);
    CHECK_INT(q[0].address.bytes[3], 2);

    reply(&d, &q[0], TRUNCATED, "", 1001); /* garbage on TCP */
    ask(&d, q);
    feed(&d, &q[0], eice_str_c("garbage"), 1001);
    CHECK_INT(ask(&d, q), 1);
    CHECK_INT(q[0].address.bytes[3], 3);
}

static void test_resolution_delay(void)
{
    static eice_dns d;
    eice_dns_query q[2];

    begin(&d, SERVERS, "x.example");
    ask(&d, q);
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 1020);
    CHECK_INT(eice_dns_deadline(&d), 1070);
    eice_dns_tick(&d, 1069);
    CHECK_TEXT(result(&d), "-");
    eice_dns_tick(&d, 1070);
    CHECK_TEXT(result(&d), "10.0.0.1");
    CHECK(!eice_dns_waits(&d, q[1].tag));

    begin(&d, SERVERS, "x.example"); /* AAAA just in time */
    ask(&d, q);
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 1020);
    reply(&d, &q[1], 0, "@ AAAA ::9", 1069);
    CHECK_TEXT(result(&d), "::9 10.0.0.1");

    begin(&d, SERVERS, "x.example"); /* AAAA fails: no more than the delay */
    ask(&d, q);
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 1020);
    reply(&d, &q[1], SERVFAIL, "", 1030);
    CHECK_INT(ask(&d, q), 1);
    CHECK_INT(eice_dns_deadline(&d), 1070);
    eice_dns_tick(&d, 1070);
    CHECK_TEXT(result(&d), "10.0.0.1");
}

static void test_resolution_other(void)
{
    static eice_dns d;
    eice_dns_query q[2];

    begin(&d, SERVERS, "x.example"); /* no such name: the same */
    ask(&d, q);
    reply(&d, &q[0], NXDOMAIN, "", 1020);
    CHECK_INT(eice_dns_deadline(&d), 1070);
    eice_dns_tick(&d, 1070);
    CHECK_TEXT(result(&d), "NAME_NOT_FOUND");
    CHECK_TEXT(d.error.text, "x.example: no such name (asked 10.0.0.2)");

    begin(&d, SERVERS, "x.example"); /* an empty A is no reason to hurry */
    ask(&d, q);
    reply(&d, &q[0], 0, "", 1020);
    CHECK_INT(eice_dns_deadline(&d), 6000);
    eice_dns_tick(&d, 6000);
    CHECK_INT(ask(&d, q), 1);
    reply(&d, &q[1], 0, "@ AAAA ::9", 6001);
    CHECK_TEXT(result(&d), "::9");

    begin(&d, SERVERS, "x.example"); /* A is waited for */
    ask(&d, q);
    reply(&d, &q[1], 0, "@ AAAA ::9", 1020);
    CHECK_INT(eice_dns_deadline(&d), 6000);
    eice_dns_tick(&d, 6000);
    CHECK_INT(ask(&d, q), 1);
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 6001);
    CHECK_TEXT(result(&d), "::9 10.0.0.1");

    begin(&d, "options attempts:1", "x.example"); /* but not for ever */
    ask(&d, q);
    reply(&d, &q[1], 0, "@ AAAA ::9", 1020);
    eice_dns_tick(&d, 6000);
    CHECK_TEXT(result(&d), "::9");
}

static void test_late_and_twice(void)
{
    static eice_dns d;
    eice_dns_query q[2];
    eice_dns_query old;

    begin(&d, SERVERS, "x.example");
    ask(&d, q);
    old = q[0];
    eice_dns_tick(&d, 6000);
    ask(&d, q);
    reply(&d, &old, 0, "@ A 6.6.6.6", 6001);
    CHECK_TEXT(result(&d), "-");
    reply(&d, &q[0], 0, "@ A 10.0.0.1", 6002);
    reply(&d, &q[0], 0, "@ A 6.6.6.6", 6003);
    reply(&d, &q[1], 0, "@ AAAA ::9", 6004);
    reply(&d, &q[1], 0, "@ AAAA ::6", 6005);
    CHECK_TEXT(result(&d), "::9 10.0.0.1");
}

static void test_one_family_missing(void)
{
    static const unsigned none[] = {0, NXDOMAIN, SERVFAIL};
    static eice_dns d;
    size_t i;

    for (i = 0; i < 3; i++) { /* RFC 4074: servers wrong about AAAA */
        eice_dns_query q[2];

        begin(&d, "options attempts:1", "x.example");
        ask(&d, q);
        reply(&d, &q[1], none[i], "", 1001);
        reply(&d, &q[0], 0, "@ A 10.0.0.1", 1001);
        CHECK_TEXT(result(&d), "10.0.0.1");
        CHECK_INT(d.error.code, EICE_OK);

        begin(&d, "options attempts:1", "x.example");
        ask(&d, q);
        reply(&d, &q[0], none[i], "", 1001);
        reply(&d, &q[1], 0, "@ AAAA ::9", 1001);
        CHECK_TEXT(result(&d), "::9");
    }
}

static void test_nothing_found(void)
{
    static eice_dns d;
    eice_dns_query q[2];

    begin(&d, SERVERS, "x.example");
    ask(&d, q);
    reply(&d, &q[0], 0, "", 1001);
    reply(&d, &q[1], 0, "", 1001);
    CHECK_TEXT(result(&d), "NAME_NOT_FOUND");
    CHECK_TEXT(d.error.text,
               "x.example: the name has no address (asked 10.0.0.2)");
    CHECK(!d.error.retryable);

    begin(&d, "options attempts:1", "x.example"); /* half an answer is none */
    ask(&d, q);
    reply(&d, &q[0], 0, "", 1001);
    reply(&d, &q[1], SERVFAIL, "", 1001);
    CHECK_TEXT(result(&d), "DNS_FAILED");
}

static void test_whole_time(void)
{
    static eice_dns d;
    eice_dns_query q[2];
    uint64_t now = 1000;
    unsigned n = 0;

    /* every name answered at the last moment: the sum stays bounded */
    begin(&d, "search a b c d e f\noptions attempts:1 ndots:5", "x");
    for (n = 0; n < 2; n++) {
        CHECK_INT(ask(&d, q), 2);
        now = eice_dns_deadline(&d) - 1;
        reply(&d, &q[0], NXDOMAIN, "", now);
        reply(&d, &q[1], NXDOMAIN, "", now);
    }
    CHECK_INT(ask(&d, q), 2);
    CHECK_INT(eice_dns_deadline(&d), 6000);
    eice_dns_tick(&d, 6000);
    CHECK_TEXT(result(&d), "DNS_TIMEOUT");

    /* at its end no attempt that is left counts */
    begin(&d, "search a\noptions attempts:2", "x");
    ask(&d, q);
    eice_dns_tick(&d, 6000);
    ask(&d, q);
    reply(&d, &q[0], NXDOMAIN, "", 10999);
    reply(&d, &q[1], NXDOMAIN, "", 10999);
    CHECK_INT(ask(&d, q), 2);
    CHECK_INT(eice_dns_deadline(&d), 11000);
    eice_dns_tick(&d, 11000);
    CHECK_TEXT(result(&d), "DNS_TIMEOUT");
}

/* The time is up between two names: no message leaves any more, and what is
 * known so far does not mean that there is no such name. */
static void test_time_up_between_names(void)
{
    static const struct {
        unsigned flags;
        const char *want;
    } table[] = {
        {NXDOMAIN, "DNS_TIMEOUT"}, {0, "DNS_TIMEOUT"}, {SERVFAIL, "DNS_FAILED"}
    };
    static eice_dns d;
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_dns_query q[2];

        begin(&d, "search a\noptions attempts:1", "x");
        CHECK_INT(ask(&d, q), 2);
        reply(&d, &q[0], table[i].flags, "", 5999);
        reply(&d, &q[1], table[i].flags, "", 6000);
        CHECK_TEXT(result(&d), table[i].want);
        CHECK_INT(ask(&d, q), 0);
    }
}

/* ---- search list ------------------------------------------------------- */

static void test_search(void)
{
    static const struct {
        const char *conf;
        const char *name;
        const char *want;
    } table[] = {
        {"", "x", "x"},
        {"search a.b c", "x", "x.a.b x.c x"},
        {"search a.b c", "x.y", "x.y x.y.a.b x.y.c"},
        {"search a.b c", "x.y.", "x.y"},
        {"search a.b c", "x.", "x"},
        {"search a.b c\noptions ndots:2", "x.y", "x.y.a.b x.y.c x.y"},
        {"search a.b c\noptions ndots:2", "x.y.z", "x.y.z x.y.z.a.b x.y.z.c"},
        {"search a.b c\noptions ndots:0", "x", "x x.a.b x.c"},
        {"domain a.b", "x", "x.a.b x"}
    };
    static eice_dns d;
    char memory[400];
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_dns_query q[2];
        eice_buf b;

        eice_buf_init(&b, memory, sizeof memory);
        begin(&d, table[i].conf, table[i].name);
        while (ask(&d, q) > 0) {
            eice_putf(&b, "%s%s", b.len > 0 ? " " : "", asked_name(&q[0]));
            reply(&d, &q[0], NXDOMAIN, "", 1001);
            reply(&d, &q[1], NXDOMAIN, "", 1001);
        }
        CHECK_TEXT(eice_buf_c(&b), table[i].want);
        CHECK_TEXT(result(&d), "NAME_NOT_FOUND");
    }
}

static void test_search_found(void)
{
    static eice_dns d;
    eice_dns_query q[2];

    begin(&d, SERVERS "search a b\noptions attempts:1", "x");
    ask(&d, q);
    eice_dns_tick(&d, 6000); /* the first server is silent */
    ask(&d, q);
    reply(&d, &q[0], 0, "", 6001); /* no data: on */
    reply(&d, &q[1], 0, "", 6001);
    CHECK_INT(ask(&d, q), 2);
    CHECK_TEXT(asked_name(&q[0]), "x.b");
    CHECK_INT(q[0].address.bytes[3], 3); /* with the server that answers */
    reply(&d, &q[0], SERVFAIL, "", 6002); /* broken: on as well */
    reply(&d, &q[1], SERVFAIL, "", 6002);
    ask(&d, q);
    CHECK_INT(q[0].address.bytes[3], 2);
    reply(&d, &q[0], SERVFAIL, "", 6003);
    reply(&d, &q[1], SERVFAIL, "", 6003);
    CHECK_INT(ask(&d, q), 2);
    CHECK_TEXT(asked_name(&q[1]), "x");
    reply(&d, &q[0], NXDOMAIN, "", 6004);
    reply(&d, &q[1], 0, "@ AAAA ::9", 6005);
    CHECK_TEXT(result(&d), "::9");
    CHECK_INT(d.error.code, EICE_OK);

    begin(&d, "search a b\noptions attempts:1", "x");
    ask(&d, q);
    reply(&d, &q[0], SERVFAIL, "", 1001);
    reply(&d, &q[1], SERVFAIL, "", 1001);
    ask(&d, q);
    CHECK_TEXT(asked_name(&q[0]), "x.b");
    eice_dns_tick(&d, 6001); /* silence ends it, and the error is told */
    CHECK_TEXT(result(&d), "DNS_FAILED");
    CHECK_TEXT(d.error.text, "x: 127.0.0.1 answered SERVFAIL");
}

static void test_rotate(void)
{
    static eice_dns d;
    static eice_dns_config c;
    unsigned seen[4] = {0, 0, 0, 0};
    unsigned i;

    eice_drbg_init(&rng, "0123456789abcdef0123456789abcdef", 32);
    eice_dns_config_parse(&c, eice_str_c(SERVERS "options rotate"));
    for (i = 0; i < 100; i++) {
        eice_dns_query q[2];

        eice_dns_init(&d, &c, eice_str_c("x.example"), &rng, 0);
        ask(&d, q);
        CHECK(q[0].address.bytes[3] < 4);
        seen[q[0].address.bytes[3] & 3]++;
    }
    CHECK(seen[2] > 20 && seen[3] > 20);
}

static void test_zero_config(void)
{
    static eice_dns d;
    static eice_dns_config c;
    eice_dns_query q[2];

    memset(&c, 0, sizeof c);
    eice_drbg_init(&rng, "0123456789abcdef0123456789abcdef", 32);
    CHECK_INT(eice_dns_init(&d, &c, eice_str_c("x"), &rng, 0), EICE_OK);
    CHECK_INT(ask(&d, q), 2);
    CHECK_INT(q[0].address.bytes[0], 127);
    CHECK_INT(q[0].port, 53);
    CHECK_INT(eice_dns_deadline(&d), 5000);
    c.server_count = 99; /* nonsense is cut to size */
    c.search_count = 99;
    CHECK_INT(eice_dns_init(&d, &c, eice_str_c("x."), &rng, 0), EICE_OK);
    CHECK_INT(ask(&d, q), 2);
}

/* ---- names ------------------------------------------------------------- */

static void test_at_once(void)
{
    static const struct {
        const char *name;
        const char *want;
    } table[] = {
        {"localhost", "::1 127.0.0.1"}, {"LocalHost.", "::1 127.0.0.1"},
        {"a.b.localhost", "::1 127.0.0.1"}, {"10.1.2.3", "10.1.2.3"},
        {"::1", "::1"}, {"fd00:0:0::5", "fd00::5"}
    };
    static eice_dns d;
    eice_dns_query q;
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        begin(&d, SERVERS, table[i].name);
        CHECK_TEXT(result(&d), table[i].want);
        CHECK(!eice_dns_next(&d, &q));
        CHECK(eice_dns_deadline(&d) == UINT64_MAX);
    }
    begin(&d, "options no-aaaa", "localhost");
    CHECK_TEXT(result(&d), "127.0.0.1");
    begin(&d, "", "notlocalhost");
    CHECK_TEXT(result(&d), "-");
    begin(&d, "", "localhost.example");
    CHECK_TEXT(result(&d), "-");
}

static void test_bad_names(void)
{
    static const char label64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                  "aaaaaaaaaaaaaaaaaaaaaa.example";
    static const char *const table[] = {
        "", ".", "..", "a..b", ".a", "a..", "a b", "a\tb", "b\xc3\xbc.example",
        "a/b", "a:b", "[::1]", "10.0.0.256", "10.0.0", "1", "0x7f.1", "a.5",
        "a@b", "*.example", "fe80::1%eth0", label64
    };
    static eice_dns d;
    static char longest[300];
    size_t i;

    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        eice_dns_query q;

        begin(&d, SERVERS, table[i]);
        if (strcmp(result(&d), "ARGUMENT") != 0 || eice_dns_next(&d, &q)) {
            test_fail(__FILE__, __LINE__, "\"%s\": %s", table[i], result(&d));
        }
    }
    CHECK_TEXT(d.error.text,
               "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
               "aaaa\" is neither a host name nor an address");
    for (i = 0; i < 299; i++) {
        longest[i] = i % 60 == 59 ? '.' : 'a';
    }
    begin(&d, SERVERS, longest);
    CHECK_TEXT(result(&d), "ARGUMENT");
    longest[254] = 0; /* one more than there may be */
    begin(&d, SERVERS, longest);
    CHECK_TEXT(result(&d), "ARGUMENT");
    longest[253] = 0;
    begin(&d, SERVERS, longest);
    CHECK_TEXT(result(&d), "-");
    begin(&d, SERVERS, "a\nb");
    CHECK_TEXT(d.error.text, "\"a?b\" is neither a host name nor an address");
}

/* ---- everything at random ---------------------------------------------- */

static unsigned dice;

static unsigned roll(unsigned sides)
{
    dice = dice * 1103515245u + 12345u;
    return (dice >> 16) % sides;
}

static void random_event(eice_dns *d, const eice_dns_query *q, uint64_t now)
{
    static const unsigned flags[] = {
        0, 0, NXDOMAIN, SERVFAIL, REFUSED, TRUNCATED, 0x8100
    };
    static const char *const records[] = {
        "", "@ A 10.0.0.1", "@ AAAA ::9", "@ CNAME y; y A 10.0.0.2", "@ CNAME @"
    };

    switch (roll(4)) {
    case 0:
        eice_dns_unreachable(d, q->tag, now);
        break;
    case 1:
        eice_dns_tick(d, now);
        break;
    default:
        reply(d, q, flags[roll(7)], records[roll(5)], now);
        break;
    }
}

/* Whatever happens, it ends in time, with addresses or an error, and the
 * messages are bounded. */
static void test_always_ends(void)
{
    static eice_dns d;
    unsigned round;

    for (round = 0; round < 3000; round++) {
        eice_dns_query q[2];
        uint64_t now = 1000;
        unsigned messages = 0;
        eice_addresses list;

        dice = round;
        begin(&d, SERVERS "search a b\noptions ndots:2 timeout:1",
              roll(2) ? "x.y" : "x.y.z");
        memset(q, 0, sizeof q);
        while (!eice_dns_done(&d, NULL) && messages < 1000) {
            messages += ask(&d, q);
            CHECK(eice_dns_deadline(&d) <= 5000);
            if (now >= eice_dns_deadline(&d) || roll(3) == 0) {
                if (eice_dns_deadline(&d) > now) {
                    now = eice_dns_deadline(&d);
                }
                eice_dns_tick(&d, now);
            } else {
                now += roll(30);
                random_event(&d, &q[roll(2)], now);
            }
        }
        CHECK(eice_dns_done(&d, &list));
        CHECK((list.count == 0) == (d.error.code != EICE_OK));
        CHECK(now <= 1000 + 4000 + 30);
        CHECK(messages <= 3 * 2 * 4 * 2); /* names, questions, tries, TCP */
    }
}

static const test_case tests[] = {
    {"dns_config", test_config},
    {"dns_hosts", test_hosts},
    {"dns_question", test_question},
    {"dns_longest_name", test_longest_name},
    {"dns_ids", test_ids},
    {"dns_answers", test_answers},
    {"dns_many_records", test_many_records},
    {"dns_cut_everywhere", test_cut_everywhere},
    {"dns_hostile", test_hostile},
    {"dns_pointer_chain", test_pointer_chain},
    {"dns_name_too_long", test_name_too_long},
    {"dns_not_ours", test_not_ours},
    {"dns_question_case", test_question_case},
    {"dns_mutations", test_mutations},
    {"dns_timeouts", test_timeouts},
    {"dns_second_server", test_second_server},
    {"dns_all_servers_fail", test_all_servers_fail},
    {"dns_unreachable", test_unreachable},
    {"dns_truncation", test_truncation},
    {"dns_resolution_delay", test_resolution_delay},
    {"dns_resolution_other", test_resolution_other},
    {"dns_late_and_twice", test_late_and_twice},
    {"dns_one_family_missing", test_one_family_missing},
    {"dns_nothing_found", test_nothing_found},
    {"dns_whole_time", test_whole_time},
    {"dns_time_up_between_names", test_time_up_between_names},
    {"dns_search", test_search},
    {"dns_search_found", test_search_found},
    {"dns_rotate", test_rotate},
    {"dns_zero_config", test_zero_config},
    {"dns_at_once", test_at_once},
    {"dns_bad_names", test_bad_names},
    {"dns_always_ends", test_always_ends}
};

TEST_MAIN(tests)
