/* The stub resolver on real sockets, for dns_peers.py.
 *
 *   dns_lookup RESOLV_CONF HOSTS NAME [PORT ...]
 *
 * The ports are those of the servers of RESOLV_CONF, in its order. Prints
 * "ok ADDRESS ..." or "error NAME TEXT", then "ms M messages N". */
#define EICE_IMPLEMENTATION
#define EICE_NO_SSH
#define EICE_NO_POSIX
#define EICE_NO_AWS
#include "eice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS 4

/* A message under way. */
typedef struct channel {
    int fd; /* -1: free */
    eice_dns_query q;
    size_t sent;
    uint8_t in[65537];
    size_t have;
} channel;

static channel channels[SOCKETS];
static eice_dns dns;
static unsigned messages;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static size_t read_file(const char *path, char *out, size_t cap)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL) {
        die(path);
    }
    n = fread(out, 1, cap, f);
    fclose(f);
    return n;
}

/* connect() also for a datagram: only the server's answers come through, and
 * its ICMP errors. */
static int open_socket(const eice_dns_query *q)
{
    const int type = q->tcp ? SOCK_STREAM : SOCK_DGRAM;
    const int fd = socket(q->address.family == 6 ? AF_INET6 : AF_INET, type, 0);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int failed;

    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        die("socket");
    }
    memset(&v4, 0, sizeof v4);
    memset(&v6, 0, sizeof v6);
    if (q->address.family == 6) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(q->port);
        memcpy(&v6.sin6_addr, q->address.bytes, 16);
        failed = connect(fd, (struct sockaddr *)&v6, sizeof v6);
    } else {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(q->port);
        memcpy(&v4.sin_addr, q->address.bytes, 4);
        failed = connect(fd, (struct sockaddr *)&v4, sizeof v4);
    }
    if (failed != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void start(const eice_dns_query *q)
{
    size_t i = 0;

    messages++;
    while (i < SOCKETS && channels[i].fd >= 0) {
        i++;
    }
    if (i == SOCKETS) {
        fprintf(stderr, "more messages under way than there are questions\n");
        exit(2);
    }
    channels[i].q = *q;
    channels[i].sent = 0;
    channels[i].have = 0;
    channels[i].fd = open_socket(q);
    if (channels[i].fd < 0) {
        eice_dns_unreachable(&dns, q->tag, now_ms());
    }
}

static void stop(channel *c)
{
    close(c->fd);
    c->fd = -1;
}

static void lost(channel *c)
{
    stop(c);
    eice_dns_unreachable(&dns, c->q.tag, now_ms());
}

static void send_more(channel *c)
{
    const ssize_t n = send(c->fd, c->q.message + c->sent, c->q.len - c->sent,
                           MSG_NOSIGNAL);

    if (n > 0) {
        c->sent += (size_t)n;
    } else if (errno != EAGAIN) {
        lost(c);
    }
}

static void receive(channel *c)
{
    const ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);
    size_t need;

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n < 0 || (c->q.tcp && n == 0)) {
        lost(c);
        return;
    }
    if (!c->q.tcp) {
        eice_dns_answer(&dns, c->q.tag, c->in, (size_t)n, now_ms());
        return;
    }
    c->have += (size_t)n;
    need = c->have < 2 ? 2 : 2 + ((size_t)c->in[0] << 8 | c->in[1]);
    if (c->have >= need && c->have >= 2) {
        eice_dns_answer(&dns, c->q.tag, c->in + 2, need - 2, now_ms());
    }
}

/* Waits for what comes first: a socket or the deadline. */
static void turn(void)
{
    struct pollfd set[SOCKETS];
    const uint64_t now = now_ms();
    const uint64_t deadline = eice_dns_deadline(&dns);
    size_t i;

    for (i = 0; i < SOCKETS; i++) {
        const channel *c = &channels[i];

        set[i].fd = c->fd;
        set[i].events = c->fd >= 0 && c->sent < c->q.len ? POLLOUT : POLLIN;
        set[i].revents = 0;
    }
    if (poll(set, SOCKETS, deadline > now ? (int)(deadline - now) : 0) < 0) {
        die("poll");
    }
    for (i = 0; i < SOCKETS; i++) {
        if (set[i].revents != 0 && channels[i].sent < channels[i].q.len) {
            send_more(&channels[i]);
        } else if (set[i].revents != 0) {
            receive(&channels[i]);
        }
    }
    eice_dns_tick(&dns, now_ms());
    for (i = 0; i < SOCKETS; i++) {
        if (channels[i].fd >= 0
            && !eice_dns_waits(&dns, channels[i].q.tag)) {
            stop(&channels[i]);
        }
    }
}

static void look_up(const eice_dns_config *config, const char *name)
{
    eice_drbg random;
    uint8_t seed[32];
    eice_dns_query q;
    size_t i;

    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        die("getrandom");
    }
    eice_drbg_init(&random, seed, sizeof seed);
    for (i = 0; i < SOCKETS; i++) {
        channels[i].fd = -1;
    }
    eice_dns_init(&dns, config, eice_str_c(name), &random, now_ms());
    while (!eice_dns_done(&dns, NULL)) {
        while (eice_dns_next(&dns, &q)) {
            start(&q);
        }
        turn();
    }
}

static void print(const eice_addresses *list)
{
    size_t i;

    printf("ok");
    for (i = 0; i < list->count; i++) {
        char text[EICE_IP_TEXT];

        printf(" %s", eice_ip_format(&list->ip[i], text));
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static char text[65536];
    static eice_dns_config config;
    eice_addresses found;
    uint64_t begin;
    size_t n;
    int i;

    if (argc < 4 || argc > 4 + EICE_DNS_SERVERS) {
        fprintf(stderr, "dns_lookup RESOLV_CONF HOSTS NAME [PORT ...]\n");
        return 2;
    }
    n = read_file(argv[2], text, sizeof text);
    if (eice_dns_hosts(eice_str_make(text, n), eice_str_c(argv[3]), &found)) {
        print(&found);
        return 0;
    }
    n = read_file(argv[1], text, sizeof text);
    eice_dns_config_parse(&config, eice_str_make(text, n));
    for (i = 4; i < argc; i++) {
        config.port[i - 4] = (uint16_t)atoi(argv[i]);
    }
    begin = now_ms();
    look_up(&config, argv[3]);
    if (eice_dns_done(&dns, &found) && dns.error.code == EICE_OK) {
        print(&found);
    } else {
        printf("error %s %s\n", eice_err_name(dns.error.code), dns.error.text);
    }
    printf("ms %llu messages %u\n", (unsigned long long)(now_ms() - begin),
           messages);
    return dns.error.code != EICE_OK;
}
