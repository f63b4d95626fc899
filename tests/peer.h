/* A plain TCP socket for the programs that talk to other implementations.
 * Include after eice.h. */
#ifndef EICE_PEER_H
#define EICE_PEER_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static inline void peer_die(const char *what)
{
    printf("failed %s\n", what);
    exit(1);
}

/* Or small records wait for an ACK of those before, 40 ms each time. */
static inline void peer_no_delay(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* A connection to 127.0.0.1 on which nothing waits longer than 20 s. */
static inline int peer_connect(const char *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to;
    struct timeval limit;

    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)atoi(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(&limit, 0, sizeof limit);
    limit.tv_sec = 20;
    if (fd < 0
        || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0
        || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        peer_die("to connect");
    }
    peer_no_delay(fd);
    return fd;
}

/* The bytes of a file, at most `cap`; 0 when it cannot be read. */
static inline size_t peer_file(const char *path, void *out, size_t cap)
{
    FILE *const f = fopen(path, "rb");
    size_t n = 0;

    if (f != NULL) {
        n = fread(out, 1, cap, f);
        fclose(f);
    }
    return n;
}

/* False when the peer does not take it any more. */
static inline bool peer_send(int fd, const void *data, size_t len)
{
    const char *p = (const char *)data;

    while (len > 0) {
        const ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* FNV-1a; begin with `peer_hash_start`. */
#define peer_hash_start 14695981039346656037u

static inline uint64_t peer_hash(uint64_t hash, eice_str s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        hash = (hash ^ (unsigned char)s.ptr[i]) * 1099511628211u;
    }
    return hash;
}

#endif
