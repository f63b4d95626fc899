/*
 * eice.h 0.1.0 - reach private EC2 instances from anything that opens a socket
 *
 * A single-header C library (C99, C++17). It signs AWS calls (SigV4), pushes
 * an SSH key with SendSSHPublicKey, opens a tunnel through an EC2 Instance
 * Connect Endpoint (EICE) and speaks SSH inside it. MIT licence, see >>end.
 *
 * Do this:
 *     #define EICE_IMPLEMENTATION
 * before you include this file in *one* C or C++ file, and link BearSSL, and
 * libssh2 unless EICE_NO_SSH is defined. Everywhere else just include it.
 *
 * ========================================================================
 *  A  MANUAL                                                     >>manual
 * ========================================================================
 *
 * SECTION MAP
 * ===========
 * Search for a tag to find a section: first its declarations, then, below
 * IMPLEMENTATION, its code under the same number and title. A section calls
 * only sections above it in this list.
 *
 *   1  >>config   version, knobs                              pure
 *   2  >>base     errors, slices, builders, wipe, codecs      pure
 *   3  >>crypto   hashes, HMAC, DRBG, X25519                  pure
 *   4  >>ed25519  RFC 8032                                    pure
 *   5  >>sigv4    AWS Signature Version 4                     pure
 *   6  >>scan     JSON, XML and INI pull scanners             pure
 *   7  >>dns      stub resolver                               pure
 *   8  >>http     HTTP/1.1 client, CONNECT, URLs              pure
 *   9  >>ws       WebSocket client, RFC 6455                  pure
 *   10 >>socks    SOCKS5, SOCKS4a, HTTP CONNECT: server      pure
 *   11 >>keys     OpenSSH keys, known_hosts, an agent         pure
 *   12 >>tls      TLS stage over BearSSL, trust anchors       engine
 *   13 >>tunnel   presign, upgrade, frames: one struct        engine
 *   14 >>cred     credentials and configuration               cloud
 *   15 >>aws      EC2, EC2 Instance Connect, STS calls        cloud
 *   16 >>ssh      SSH session and channels (libssh2)          session
 *   17 >>conn     the whole connect as one machine            session
 *   18 >>posix    executor: sockets, files, clock, entropy    driver
 *   19 >>end      history, licence
 *
 * pure, engine: no I/O, no heap, no clock, no environment, no globals.
 * cloud, session: no I/O either; heap only through the caller's allocator.
 * driver: the only place with system calls.
 *
 * QUICK START
 * ===========
 * A tunnel to port 22 of an instance on stdin and stdout, for use as ssh's
 * ProxyCommand. Region and credentials come from where the AWS CLI has them.
 *
 *     #define EICE_IMPLEMENTATION
 *     #include "eice.h"
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         eice_conn_opts o = {0};      // zero means default, everywhere
 *         eice_error e = {0};
 *         eice_posix *x = eice_posix_new(NULL, &e);
 *         eice_conn *c = NULL;
 *
 *         o.goal = EICE_GOAL_TUNNEL;
 *         o.target = argc > 1 ? argv[1] : "";  // i-..., a name, an address
 *         if (x != NULL) {
 *             c = eice_conn_new(&o, eice_posix_now(), &e);
 *         }
 *         if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
 *             eice_posix_relay(x, c, 0, 1, 0, &e);
 *         }
 *         if (e.code != EICE_OK) {
 *             fprintf(stderr, "eice: %s (%s)\n", e.text,
 *                     eice_err_remedy(e.code));
 *         }
 *         eice_posix_free(x);
 *         eice_conn_free(c);
 *         return e.code != EICE_OK;
 *     }
 *
 * (In C++ write `eice_conn_opts o{};`.)
 *
 * WHAT IT DOES, AND WHAT IT DOES NOT
 * ==================================
 *   - Finds the instance and its endpoint, pushes an ephemeral key (or the
 *     caller's), tunnels, verifies the host key, logs in; through another
 *     instance or without an endpoint too.
 *   - Any call of EC2, EC2 Instance Connect and STS that finding, setting up
 *     and mending need: eice_call, eice_posix_aws.
 *   - Channels: shell, command, subsystem, TCP and UNIX sockets from there,
 *     listeners there; SFTP version 3.
 *   - Credentials: see CREDENTIALS.
 *   - TLS 1.2 with AES-GCM and ChaCha20-Poly1305 (BearSSL has no TLS 1.3).
 *   - No Windows driver (write one: THE LOOP).
 *
 * MACROS
 * ======
 *   EICE_IMPLEMENTATION    compile the code here, once in a program
 *   EICE_STATIC            all of it private to that file (libssh2 on our
 *                          BearSSL backend needs eice_ed25519_verify public)
 *   EICE_NO_SSH            without >>ssh; libssh2 is not needed
 *   EICE_NO_AWS            without >>cred, >>aws, >>conn, >>posix's executor
 *   EICE_NO_POSIX          without >>posix
 *   EICE_NO_PROCESS        >>posix starts no processes (credential_process)
 *   EICE_NO_STDLIB         no malloc: every allocator must be given
 *   EICE_TLS_OUT           4181  bytes of TLS output buffer
 *   EICE_MAX_BODY          16 MiB  the largest AWS answer kept
 *   EICE_MAX_QUERY         16    parameters of a presigned URL
 *   EICE_MAX_HEADERS       16    headers that are signed
 *   EICE_MAX_CHANNELS      64    channels of one SSH session
 *   EICE_MAX_LISTENERS     16    its listeners at the server (ssh -R)
 *   EICE_BUILD_TIME        seconds since 1970: the clock is never older
 *   EICE_GETADDRINFO       compile in eice_posix_opts.getaddrinfo, too
 * With -std=c99 the implementation needs -D_POSIX_C_SOURCE=200809L (or
 * EICE_NO_POSIX): a header cannot ask for it in time itself.
 *
 * DEPENDENCIES
 * ============
 * BearSSL 0.6; libssh2 1.11 or later with any of its backends, or with the
 * one for BearSSL in tools/libssh2-bearssl. Link line:
 *     cc app.c -lssh2 -lbearssl
 *
 * CONVENTIONS
 * ===========
 * NULL.      A pointer may be NULL only where it says so, and then for an
 *            empty slice or "default". Breaking that is a programming error,
 *            not a code.
 * Zero.      An options struct set to zero is valid but for the fields marked
 *            `required`; zero is always the default and always the safe
 *            choice.
 * Slices.    eice_str is borrowed memory, not NUL-terminated. What goes in is
 *            borrowed until the call returns, unless its comment says longer.
 * Moving.    A struct that was initialised stays where it is.
 * Threads.   No globals of ours but one: the first SSH session initialises
 *            libssh2, guarded. Use a context from one thread at a time.
 * errno.     Is read in >>posix only and is not part of this interface.
 * Signals.   SIGPIPE is never raised; no handler is installed.
 * Engines.   Seen from the engine: `net` is the wire, `app` is you; `in` goes
 *            into it, `out` comes out. Every pair is `_x(&p)`: where and how
 *            many bytes, then `_x_ack(n)`: how many of them were used. Partial
 *            progress is normal; nothing must be repeated with the same
 *            arguments. Flags: EICE_WANT_WRITE, EICE_WANT_READ,
 *            EICE_CAN_SEND, EICE_HAVE_DATA, EICE_OPEN, EICE_DONE.
 * Time.      Monotonic milliseconds and wall-clock seconds are arguments.
 *
 * MEMORY
 * ======
 * Sizes on x86-64, checked by the tests:
 *
 *   eice_tunnel    at most 32,768 bytes: a whole tunnel, TLS and its buffers
 *                  included, wherever you put it; it allocates nothing
 *   eice_conn      about 120 kB through the allocator, and 30 kB for each of
 *                  the connections to AWS while they last
 *   eice_ssh       about 90 kB, 80 kB of libssh2's session, 32 kB a channel
 *
 * The largest array on the stack of sections 2 to 13 has 512 bytes. Secrets
 * (keys, tokens, presigned URLs, packets) are wiped before they are let go.
 *
 * THE LOOP
 * ========
 * eice_conn does no I/O. It asks, and moves bytes through numbered slots, one
 * for each TCP connection; >>posix is one way to drive it, yours is another:
 *
 *     eice_conn_step(c, now);
 *     while (eice_conn_need(c, &need)) {
 *         // ENV, FILE, RANDOM, STORE: answer at once, or later
 *         // RESOLVE need.name; DIAL need.ip, need.port into need.slot:
 *         //   start it; eice_conn_answer(c, need.id, &answer) when it ends
 *     }
 *     for each slot i:
 *         eice_conn_slot(c, i) & EICE_WANT_WRITE: send eice_conn_net_out
 *         eice_conn_slot(c, i) & EICE_WANT_READ: receive into eice_conn_net_in
 *         eice_conn_slot(c, i) == EICE_DONE: close, eice_conn_slot_closed
 *     wait until something happens, or eice_conn_deadline(c)
 *
 * examples/04_event_loop.c does this with poll and two connections,
 * examples/05_callbacks.c from callbacks without a socket.
 *
 * ERRORS
 * ======
 * One struct, eice_error, owned by the context: code, stage, what failed with
 * which value, what to change, AWS code, request id, HTTP status. The first
 * error stays. Codes come in families of a hundred: 1xx arguments, 2xx memory
 * and limits, 3xx network, 4xx TLS, 5xx HTTP, 6xx tunnel, 7xx credentials,
 * 8xx AWS, 9xx SSH, 10xx local. A connection also keeps its trail: every
 * attempt with its stage, outcome, milliseconds and request id.
 *
 * CREDENTIALS
 * ===========
 * In this order: eice_conn_opts.keys, or a web identity token given there;
 * AWS_ACCESS_KEY_ID and friends (not with an explicit profile); a profile of
 * ~/.aws/config with a role, whose keys are another profile's; one with a web
 * identity, or AWS_WEB_IDENTITY_TOKEN_FILE; keys in
 * ~/.aws/credentials and ~/.aws/config; a credential_process, between the
 * keys of the two files; container credentials (ECS, EKS Pod
 * Identity); the instance's own (IMDSv2). Before the keys of a profile comes
 * its role in IAM Identity Center, with the token of "aws sso login"; after
 * those of ~/.aws/credentials what "aws login" left. Nothing is ever written
 * there, but a token that had to be renewed. Files, variables and precedence
 * are those of the AWS CLI.
 *
 * SECURITY
 * ========
 *   - Certificates are verified against built-in Amazon and Starfield roots,
 *     then against the system's store; an explicit bundle replaces both.
 *     There is no way to switch that off.
 *   - Host keys are verified under the instance's id; an unknown one is stored
 *     at first contact (EICE_POLICY_TOFU), there compared with what the
 *     instance's console shows (EICE_POLICY_CONSOLE), or refused
 *     (EICE_POLICY_STRICT).
 *   - The private key is made for one connection and stays in memory.
 *   - Somebody on the wire can end a connection, not read or change it. Every
 *     length is bounded, every wait has a deadline.
 *   - EICE_POLICY_OFF gives up the host key: only the endpoint's TLS and IAM
 *     then say who answers.
 *
 * THE OUTSIDE VOCABULARY
 * ======================
 *   https://ec2.REGION.amazonaws.com                  EC2 API 2016-11-15
 *   https://ec2-instance-connect.REGION.amazonaws.com 2018-04-02, JSON 1.1
 *   https://sts.REGION.amazonaws.com                  STS API 2011-06-15
 *     operations, parameters and fields: EICE_OP_LIST. A connection needs
 *     DescribeInstances, DescribeInstanceConnectEndpoints, SendSSHPublicKey;
 *     AssumeRoleWithWebIdentity for credentials of that kind
 *   wss://ENDPOINT/openTunnel?instanceConnectEndpointId=&remotePort=
 *     &privateIpAddress=&maxTunnelDuration=&X-Amz-...  (SigV4 presigned, 60 s)
 *   Headers sent: Host, Content-Type, Content-Length, Authorization,
 *     X-Amz-Date, X-Amz-Security-Token, X-Amz-Target, User-Agent, Upgrade,
 *     Connection, Sec-WebSocket-Key, Sec-WebSocket-Version,
 *     Proxy-Authorization
 *   Headers read: Date, Age, Connection, Content-Length, Transfer-Encoding,
 *     Upgrade, Sec-WebSocket-Accept, x-amzn-requestid, x-amzn-errortype,
 *     x-amz-retry-after
 *   Close codes sent: 1000, 1002, 1003, 1007, 1009
 *
 * TRAPS
 * =====
 *   - A 101 does not mean that the instance is reachable: the endpoint dials
 *     afterwards and says so in a Close. Wait for the target's first byte.
 *   - There is no half-close in a tunnel: after your last byte keep reading.
 *   - An endpoint carries 20 connections: use channels of one session.
 *   - The pushed key is valid for 60 seconds; it is pushed again when needed.
 *   - X-Amz-Expires is 60 s: a clock that is minutes off still works for API
 *     calls but not for the tunnel. The offset is learnt from AWS's answers.
 */

#ifndef EICE_H
#define EICE_H

/* ======================================================================== *
 * 1  CONFIGURATION                                               >>config  *
 * ======================================================================== */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EICE_VERSION_MAJOR 0
#define EICE_VERSION_MINOR 1
#define EICE_VERSION_PATCH 0
#define EICE_VERSION "0.1.0"

#ifdef __cplusplus
#define EICEI_EXTERN extern "C"
#else
#define EICEI_EXTERN extern
#endif

#if defined(__GNUC__) || defined(__clang__)
#define EICEI_UNUSED __attribute__((unused))
#else
#define EICEI_UNUSED
#endif

/* EICE_STATIC makes every function of the library private to the file that
 * holds the implementation. */
#ifdef EICE_STATIC
#define EICE_API static EICEI_UNUSED
#else
#define EICE_API EICEI_EXTERN
#endif

#define EICEI_PRIVATE static EICEI_UNUSED

#ifdef EICE_NO_AWS
#define EICE_HAS_AWS 0
#else
#define EICE_HAS_AWS 1
#endif
#ifdef EICE_NO_SSH
#define EICE_HAS_SSH 0
#else
#define EICE_HAS_SSH 1
#endif
#ifdef EICE_NO_POSIX
#define EICE_HAS_POSIX 0
#else
#define EICE_HAS_POSIX 1
#endif
#ifdef EICE_NO_STDLIB
#define EICE_HAS_STDLIB 0
#else
#define EICE_HAS_STDLIB 1
#endif

/* Bytes of the TLS output buffer: one frame of the tunnel is at most this
 * less 93 bytes. The input buffer must take the largest record a peer may
 * send (RFC 5246 6.2.3) and is fixed. */
#ifndef EICE_TLS_OUT
#define EICE_TLS_OUT 4181
#endif
#define EICE_TLS_IN 16709

/* Largest answer of an AWS call that is kept, in bytes. */
#ifndef EICE_MAX_BODY
#define EICE_MAX_BODY (16u * 1024u * 1024u)
#endif

/* Parameters of a presigned URL, the ones of SigV4 included. */
#ifndef EICE_MAX_QUERY
#define EICE_MAX_QUERY 16
#endif

/* Headers of a request that is signed. */
#ifndef EICE_MAX_HEADERS
#define EICE_MAX_HEADERS 16
#endif

/* Channels of one SSH session at a time. */
#ifndef EICE_MAX_CHANNELS
#define EICE_MAX_CHANNELS 64
#endif

/* Listeners at the server of one SSH session at a time. */
#ifndef EICE_MAX_LISTENERS
#define EICE_MAX_LISTENERS 16
#endif

/* ======================================================================== *
 * 2  BASE                                                          >>base  *
 * ======================================================================== */

/* ---- slices ------------------------------------------------------------ */

/* Bytes that belong to somebody else; `ptr` may be NULL only with `len` 0.
 * Not NUL-terminated. A slice lives as long as the memory it points into. */
typedef struct eice_str {
    const char *ptr;
    size_t len;
} eice_str;

/* A name and its value: a header, a query parameter, a setting. */
typedef struct eice_pair {
    eice_str name;
    eice_str value;
} eice_pair;

EICE_API eice_str eice_str_make(const void *ptr, size_t len);
/* The slice of a C string without its NUL; NULL gives the empty slice. */
EICE_API eice_str eice_str_c(const char *text);
EICE_API bool eice_str_eq(eice_str a, eice_str b);
EICE_API bool eice_str_is(eice_str a, const char *text);
/* ASCII letters compare without case; other bytes as they are. */
EICE_API bool eice_str_eq_nocase(eice_str a, eice_str b);
EICE_API bool eice_str_is_nocase(eice_str a, const char *text);
EICE_API bool eice_str_starts(eice_str s, const char *prefix);
/* Byte order, the shorter of two with a common beginning first: <0, 0, >0. */
EICE_API int eice_str_compare(eice_str a, eice_str b);
/* Without spaces, tabs, CR and LF at both ends. */
EICE_API eice_str eice_str_trim(eice_str s);
/* Cuts `*rest` at the first `sep`: returns what is before it and leaves what
 * is behind it; without `sep` all is returned and `*rest` becomes empty. */
EICE_API eice_str eice_str_cut(eice_str *rest, char sep);
/* Index of the first `c`, or `s.len`. */
EICE_API size_t eice_str_find(eice_str s, char c);
/* `*` and `?` of the pattern stand for any bytes and any one byte; letters of
 * the pattern for both cases with `nocase`, where `s` has small ones. */
EICE_API bool eice_str_glob(eice_str s, eice_str pattern, bool nocase);
/* Is it one of the names in a list with commas between them? */
EICE_API bool eice_str_listed(eice_str s, eice_str list);
/* Plain decimal digits, nothing else, at most `max`; false leaves *out. */
EICE_API bool eice_str_u64(eice_str s, uint64_t max, uint64_t *out);

/* ---- builder ----------------------------------------------------------- */

/* Text put together in memory of the caller. Of a text that does not fit the
 * beginning is kept and `overflow` is set, for good: nothing is added after
 * that. Check it once, at the end. What is added may lie in the same memory. */
typedef struct eice_buf {
    char *ptr;
    size_t len;
    size_t cap;
    bool overflow;
} eice_buf;

EICE_API void eice_buf_init(eice_buf *b, void *memory, size_t cap);
EICE_API eice_str eice_buf_str(const eice_buf *b);
EICE_API void eice_put(eice_buf *b, eice_str s);
EICE_API void eice_put_c(eice_buf *b, const char *text);
EICE_API void eice_put_byte(eice_buf *b, unsigned char c);
EICE_API void eice_put_u64(eice_buf *b, uint64_t n);
/* Lower-case hex. */
EICE_API void eice_put_hex(eice_buf *b, const void *data, size_t len);
/* RFC 4648 4, with padding; `pad` false leaves the padding out. */
EICE_API void eice_put_base64(eice_buf *b, const void *data, size_t len,
                              bool pad);
/* RFC 3986 2.3: letters, digits and -._~ stay, all else becomes %XX. */
EICE_API void eice_put_uri(eice_buf *b, eice_str s);
/* The inside of a JSON string (RFC 8259 7): quotes, backslashes, controls and
 * DEL escaped; bytes that are not UTF-8 become U+FFFD. */
EICE_API void eice_put_json(eice_buf *b, eice_str s);
/* What may be printed on a terminal: '?' stands for each control (C0, DEL,
 * C1), line separator, mark of writing direction, and byte that is not
 * UTF-8. */
EICE_API void eice_put_safe(eice_buf *b, eice_str s);
/* %s C string as it is (NULL prints "(none)"), %S pointer to eice_str, as by
 * eice_put_safe, %d int, %u unsigned, %l uint64_t, %% percent. Nothing else:
 * no width, no precision; any other letter stands for itself. */
EICE_API void eice_putf(eice_buf *b, const char *format, ...);
EICE_API void eice_putv(eice_buf *b, const char *format, va_list args);
/* Writes the NUL behind the text (over its last byte when it is full) and
 * returns it as a C string. `cap` must not be 0. */
EICE_API const char *eice_buf_c(eice_buf *b);

/* Decoders: bytes written, or -1 when the input is malformed or its result
 * longer than `cap`; `out` then holds a part of it. They may work in place:
 * `out` may be `s.ptr`. */
/* Pairs of hex digits of either case. */
EICE_API ptrdiff_t eice_hex_decode(eice_str s, void *out, size_t cap);
/* RFC 4648 4 with all of its padding or none, ASCII white space skipped; bits
 * that encode nothing must be zero (3.5). */
EICE_API ptrdiff_t eice_base64_decode(eice_str s, void *out, size_t cap);
/* RFC 3986 2.1: %XX only, '+' stays. */
EICE_API ptrdiff_t eice_uri_decode(eice_str s, void *out, size_t cap);

/* ---- ropes ------------------------------------------------------------- */

/* A text as a row of slices, some of them to be percent-encoded when they are
 * read: long requests are written straight into TLS records and never
 * assembled. */
typedef struct eice_piece {
    eice_str text;
    bool uri;
} eice_piece;

/* Place in a rope; all zero is its beginning. */
typedef struct eice_rope_pos {
    size_t piece;
    size_t byte;
    unsigned sub;
} eice_rope_pos;

/* Copies what comes next into `out`, at most `cap` bytes, and moves on.
 * Returns the bytes written; 0 (with cap > 0) at the end. */
EICE_API size_t eice_rope_read(const eice_piece *pieces, size_t count,
                               eice_rope_pos *pos, void *out, size_t cap);

/* ---- secrets ----------------------------------------------------------- */

/* Zeroes memory in a way the compiler may not drop. */
EICE_API void eice_wipe(void *memory, size_t len);
/* Equal or not in time that depends on `len` only. */
EICE_API bool eice_equal_ct(const void *a, const void *b, size_t len);

/* ---- memory ------------------------------------------------------------ */

/* The caller's heap. All zero means malloc, realloc and free, unless
 * EICE_NO_STDLIB is defined: then an allocator is required wherever one is
 * taken. `resize(NULL, n)` allocates, `resize(p, 0)` frees and returns NULL. */
typedef struct eice_alloc {
    void *(*resize)(void *user, void *memory, size_t size);
    void *user;
} eice_alloc;

/* Calls the caller's heap, or the default one when `a` is NULL or all zero.
 * NULL when memory is short (`memory` is then as before) and for size 0. */
EICE_API void *eice_resize(const eice_alloc *a, void *memory, size_t size);

/* Bytes that grow through an allocator, up to a limit. All zero but `alloc`
 * is empty. Growing moves them: pointers into it end there. What is moved is
 * wiped where it was. */
typedef struct eice_blob {
    uint8_t *ptr;
    size_t len;
    size_t cap;
    const eice_alloc *alloc;
} eice_blob;

/* Makes room for `more` bytes behind `len` (and one for a NUL) and returns
 * where they go: the caller writes there and adds to `len`. NULL without
 * memory or when len + more exceeds `limit`; the blob is then as before. */
EICE_API uint8_t *eice_blob_room(eice_blob *b, size_t more, size_t limit);
/* Appends a copy, and a NUL that does not count. False as above. */
EICE_API bool eice_blob_add(eice_blob *b, const void *data, size_t len,
                            size_t limit);
/* Wipes and frees; the blob is empty and usable again. */
EICE_API void eice_blob_free(eice_blob *b);

/* ---- addresses and time ------------------------------------------------ */

/* An IP address in network byte order; IPv4 uses the first four bytes. */
typedef struct eice_ip {
    uint8_t bytes[16];
    uint8_t family; /* 4, 6, or 0 for none */
} eice_ip;

#define EICE_IP_TEXT 46 /* the longest text of an address and its NUL */

/* Dotted decimal (four parts, no leading zeros) or RFC 4291 2.2, without
 * brackets or zone; false when it is neither. */
EICE_API bool eice_ip_parse(eice_str s, eice_ip *ip);
/* RFC 5952 form; returns `out`. */
EICE_API const char *eice_ip_format(const eice_ip *ip, char out[EICE_IP_TEXT]);
EICE_API bool eice_ip_eq(const eice_ip *a, const eice_ip *b);
/* 127.0.0.0/8 or ::1. */
EICE_API bool eice_ip_loopback(const eice_ip *ip);

/* Times are seconds since 1970-01-01T00:00:00Z, years 1970 to 9999. The
 * parsers take exactly their form, a second of 60 included; false leaves
 * *unix_s. */
/* 20260115T093045Z and its NUL; times outside become the first or last. */
EICE_API void eice_time_amz(int64_t unix_s, char out[17]);
EICE_API bool eice_time_amz_parse(eice_str s, int64_t *unix_s);
/* RFC 9110 5.6.7, the IMF-fixdate form only: Sun, 06 Nov 1994 08:49:37 GMT. */
EICE_API bool eice_time_http_parse(eice_str s, int64_t *unix_s);
/* RFC 3339: 2026-11-22T08:00:00Z, with a fraction or not, which is dropped;
 * UTC (as in the token cache of the AWS CLI), +hh:mm and -hh:mm for Z. */
EICE_API bool eice_time_iso_parse(eice_str s, int64_t *unix_s);

/* ---- errors ------------------------------------------------------------ */

/* Where on the way a thing went wrong. */
#define EICE_STAGE_LIST(X)                                                    \
    X(NONE, "none")                                                           \
    X(CONFIG, "configuration")                                                \
    X(CREDENTIALS, "credentials")                                             \
    X(RESOLVE, "resolve")                                                     \
    X(CONNECT, "connect")                                                     \
    X(PROXY, "proxy")                                                         \
    X(TLS, "tls")                                                             \
    X(API, "api")                                                             \
    X(TARGET, "target")                                                       \
    X(ENDPOINT, "endpoint")                                                   \
    X(PUSH, "push-key")                                                       \
    X(UPGRADE, "upgrade")                                                     \
    X(TUNNEL, "tunnel")                                                       \
    X(BANNER, "ssh-banner")                                                   \
    X(KEX, "ssh-kex")                                                         \
    X(HOSTKEY, "host-key")                                                    \
    X(AUTH, "ssh-auth")                                                       \
    X(CHANNEL, "ssh-channel")                                                 \
    X(SESSION, "session")                                                     \
    X(LOCAL, "local")

typedef enum eice_stage {
#define EICEI_X(name, text) EICE_STAGE_##name,
    EICE_STAGE_LIST(EICEI_X)
#undef EICEI_X
    EICE_STAGE_COUNT
} eice_stage;

/* name, number, what it is, what to do about it. Families of a hundred:
 * 1xx argument and configuration, 2xx memory and limits, 3xx network, 4xx
 * TLS, 5xx HTTP, 6xx WebSocket and tunnel, 7xx credentials, 8xx AWS, 9xx SSH,
 * 10xx local. */
#define EICE_ERROR_LIST(X)                                                    \
    X(ARGUMENT, -101, "bad argument", "correct the argument")                 \
    X(CONFIG, -102, "bad configuration", "correct the setting named")         \
    X(NO_REGION, -103, "no region",                                           \
      "pass --region, or set AWS_REGION, or region in the profile")           \
    X(CANCELLED, -104, "cancelled", "")                                       \
    X(MEMORY, -201, "out of memory", "free memory and try again")             \
    X(LIMIT, -202, "a limit was exceeded", "see the limit named")             \
    X(NAME_NOT_FOUND, -301, "name does not resolve",                          \
      "check the name, the region and the resolver")                          \
    X(DNS_TIMEOUT, -302, "no answer from the resolver",                       \
      "check the network and /etc/resolv.conf")                               \
    X(DNS_FAILED, -303, "the resolver failed", "check /etc/resolv.conf")      \
    X(CONNECT_REFUSED, -304, "connection refused",                            \
      "check the address and port, and firewalls on the way")                 \
    X(CONNECT_TIMEOUT, -305, "no answer to the connection attempt",           \
      "check the route and firewalls on the way, or set a proxy")             \
    X(CONNECT_FAILED, -306, "connection failed", "check the network")         \
    X(NET_RESET, -307, "connection broken by the network or the peer",        \
      "try again")                                                            \
    X(NET_TIMEOUT, -308, "the peer stopped answering", "try again")           \
    X(PROXY, -309, "the proxy refused",                                       \
      "check HTTPS_PROXY, NO_PROXY and the proxy's rules")                    \
    X(TLS, -401, "TLS failed", "see the reason named")                        \
    X(TLS_UNTRUSTED, -402, "certificate from an unknown authority",           \
      "if a proxy inspects TLS, pass its CA with --ca-bundle or "             \
      "AWS_CA_BUNDLE")                                                        \
    X(TLS_EXPIRED, -403, "certificate expired or not yet valid",              \
      "check the clock of this machine first, then the certificate")          \
    X(TLS_NAME, -404, "certificate for another name",                         \
      "check the host name, --connect-to and proxies on the way")             \
    X(TLS_TIMEOUT, -405, "no answer in the TLS handshake",                    \
      "check proxies and firewalls on the way")                               \
    X(HTTP, -501, "malformed HTTP", "check proxies on the way")               \
    X(HTTP_TIMEOUT, -502, "no answer to the request", "try again")            \
    X(HTTP_STATUS, -503, "unexpected HTTP status", "see the answer quoted")   \
    X(UPGRADE_REFUSED, -601, "the endpoint refused the tunnel",               \
      "see the code and text quoted")                                         \
    X(UPGRADE_DENIED, -602, "not allowed to open the tunnel",                 \
      "allow ec2-instance-connect:OpenTunnel on this endpoint; its "          \
      "conditions may name port, address or maxTunnelDuration")               \
    X(UPGRADE_QUOTA, -603, "the endpoint is busy",                            \
      "an endpoint carries at most 20 connections: close some, or wait")      \
    X(UPGRADE_TIMEOUT, -604, "no answer to the upgrade", "try again")         \
    X(WS_PROTOCOL, -605, "WebSocket protocol error", "report it")             \
    X(TARGET_UNREACHABLE, -606, "the endpoint cannot reach the instance",     \
      "allow the port inbound in the instance's security group from the "     \
      "endpoint's, and outbound in the endpoint's; is sshd running?")         \
    X(TARGET_SILENT, -607, "the instance accepted and said nothing",          \
      "check what listens on that port of the instance")                      \
    X(TUNNEL_CLOSED, -608, "the endpoint closed the tunnel",                  \
      "see the code and reason quoted")                                       \
    X(TUNNEL_EXPIRED, -609, "the tunnel reached its time limit",              \
      "a tunnel lives at most --max-tunnel-duration (3600 s): reconnect")     \
    X(NO_CREDENTIALS, -701, "no credentials",                                 \
      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "     \
      "or run aws configure")                                                 \
    X(CREDENTIALS, -702, "unusable credentials", "see the setting named")     \
    X(PROFILE, -703, "no such profile", "check AWS_PROFILE and --profile")    \
    X(CREDENTIALS_EXPIRED, -704, "expired credentials",                       \
      "get new temporary credentials and try again")                          \
    X(AWS, -801, "AWS answered with an error", "see the code and text quoted") \
    X(AWS_AUTH, -802, "AWS does not accept the credentials",                  \
      "check access key, secret key and, for temporary keys, the session "    \
      "token")                                                                \
    X(AWS_DENIED, -803, "not allowed", "ask for the permission named")        \
    X(AWS_THROTTLED, -804, "throttled by AWS", "wait and try again")          \
    X(AWS_CLOCK, -805, "AWS refuses the time of the request",                 \
      "set the clock of this machine")                                        \
    X(NO_INSTANCE, -806, "no such instance",                                  \
      "check the name or id, the region and the account")                     \
    X(AMBIGUOUS, -807, "several instances have this name",                    \
      "use the instance id")                                                  \
    X(NOT_RUNNING, -808, "the instance is not running", "start it first")     \
    X(NO_ENDPOINT, -809, "no usable EC2 Instance Connect Endpoint",           \
      "create one in the instance's VPC (aws ec2 "                            \
      "create-instance-connect-endpoint --subnet-id ...)")                    \
    X(SSH, -901, "SSH failed", "see the reason named")                        \
    X(SSH_BANNER, -902, "no SSH server at the other end",                     \
      "check what listens on that port of the instance")                      \
    X(SSH_KEX, -903, "SSH key exchange failed", "see the reason named")       \
    X(SSH_TIMEOUT, -904, "no answer from the SSH server", "try again")        \
    X(HOST_KEY_CHANGED, -905, "the host key changed",                         \
      "if the instance was replaced on purpose, remove the line named from "  \
      "the known_hosts file")                                                 \
    X(HOST_KEY_UNKNOWN, -906, "the host key is unknown",                      \
      "add it to the known_hosts file, or use --hostkey-policy tofu")         \
    X(HOST_KEY_REVOKED, -907, "the host key is revoked", "do not connect")    \
    X(SSH_AUTH, -908, "the instance rejected the key",                        \
      "check the login name (ec2-user, ubuntu, admin, ...) and that "         \
      "ec2-instance-connect is installed on the instance")                    \
    X(SSH_CHANNEL, -909, "the SSH server refused the channel",                \
      "see the reason named")                                                 \
    X(SSH_LOST, -910, "the SSH session ended unexpectedly", "reconnect")      \
    X(SSH_UNSUPPORTED, -911, "not supported by this libssh2",                 \
      "build with the patched libssh2")                                       \
    X(SFTP, -912, "the SFTP server broke the protocol",                       \
      "check the sftp subsystem of the server")                               \
    X(LOCAL_IO, -1001, "local input or output failed", "see the reason named") \
    X(KEY_LOCKED, -1002, "the private key is protected by a passphrase",      \
      "give the passphrase, or use another key")                              \
    X(PASSPHRASE, -1003, "this is not the passphrase of the key",             \
      "type it again")

typedef enum eice_err {
    EICE_OK = 0,
#define EICEI_X(name, number, text, remedy) EICE_E_##name = number,
    EICE_ERROR_LIST(EICEI_X)
#undef EICEI_X
    EICE_ERR_END = -9999
} eice_err;

/* Whose number `detail` is. */
typedef enum eice_detail {
    EICE_DETAIL_NONE,
    EICE_DETAIL_ERRNO,
    EICE_DETAIL_BEARSSL,
    EICE_DETAIL_LIBSSH2,
    EICE_DETAIL_CLOSE, /* WebSocket close code */
    EICE_DETAIL_ALERT  /* TLS alert of the peer */
} eice_detail;

/* What went wrong. The first error of a context stays (sticky). All texts
 * are NUL-terminated, without secrets, controls and final period. */
typedef struct eice_error {
    eice_err code;
    eice_stage stage;
    eice_detail detail_kind;
    int detail;
    int http_status; /* 0 when there was none */
    bool retryable;  /* the same again later may succeed */
    char text[256];  /* what failed, with which value */
    char remedy[256]; /* what to change; empty: eice_err_remedy(code) */
    char aws_code[64];
    char request_id[64]; /* of AWS, for its support */
} eice_error;

/* Sets code, stage, text and retryable (true for what passes by itself: the
 * network, a busy or slow peer, an expired tunnel) unless an error is set
 * already; returns the code in force. The format is that of eice_putf; the
 * text is cut to fit and cleaned of controls. With a NULL `e` it returns
 * `code`. The other fields are the caller's to fill, before or after. */
EICE_API eice_err eice_fail(eice_error *e, eice_err code, eice_stage stage,
                            const char *format, ...);
/* Texts of the lists above, never NULL; "UNKNOWN", "unknown error", "" for
 * what is not in them. */
EICE_API const char *eice_err_name(eice_err code); /* "TLS_EXPIRED" */
EICE_API const char *eice_err_text(eice_err code);
EICE_API const char *eice_err_remedy(eice_err code);
EICE_API const char *eice_stage_name(eice_stage stage); /* "ssh-auth" */
/* Copies a text into a field of `cap` bytes, at least 1: cut between two
 * characters, cleaned as by eice_put_safe, NUL-terminated. */
EICE_API void eice_copy_text(char *out, size_t cap, eice_str text);


/* ======================================================================== *
 * 3  CRYPTO                                                      >>crypto  *
 * ======================================================================== */

/* Hashes, HMAC, X25519 and a random generator, all of them BearSSL's. Nothing
 * here fails for want of memory; `data` may be NULL only with `len` 0. */

/* Has the processor instructions for AES and for GCM's multiplication, which
 * BearSSL uses? Where it has not, ChaCha20 is several times as fast. A program
 * may say so itself and define EICE_FAST_AES() for the implementation. */
EICE_API bool eice_fast_aes(void);

/* FIPS 180-4. SHA-1 is for Sec-WebSocket-Accept (RFC 6455 4.2.2) and hashed
 * known_hosts names only. */
EICE_API void eice_sha1(uint8_t out[20], const void *data, size_t len);
EICE_API void eice_sha256(uint8_t out[32], const void *data, size_t len);
EICE_API void eice_sha512(uint8_t out[64], const void *data, size_t len);

/* The same in parts: init, update as often as needed, final. final leaves the
 * context as it is: more may be added for the hash of the longer text. A
 * context is plain memory: memcpy it to fork a hash, eice_wipe it when what was
 * hashed is a secret. */
typedef struct eice_sha256_ctx {
    uint64_t priv[16];
} eice_sha256_ctx;

typedef struct eice_sha512_ctx {
    uint64_t priv[32];
} eice_sha512_ctx;

EICE_API void eice_sha256_init(eice_sha256_ctx *c);
EICE_API void eice_sha256_update(eice_sha256_ctx *c, const void *data,
                                 size_t len);
EICE_API void eice_sha256_final(const eice_sha256_ctx *c, uint8_t out[32]);
EICE_API void eice_sha512_init(eice_sha512_ctx *c);
EICE_API void eice_sha512_update(eice_sha512_ctx *c, const void *data,
                                 size_t len);
EICE_API void eice_sha512_final(const eice_sha512_ctx *c, uint8_t out[64]);

/* RFC 2104; keys of any length. `out` may be the key or the data. */
EICE_API void eice_hmac_sha1(uint8_t out[20], eice_str key, eice_str data);
EICE_API void eice_hmac_sha256(uint8_t out[32], const void *key,
                               size_t key_len, const void *data, size_t len);

/* AES (FIPS 197) with a key of 16, 24 or 32 bytes, in place, constant time in
 * key and data. Counter mode (NIST SP 800-38A 6.5, the whole block counts as
 * in RFC 4344 4), or the decryption of CBC (6.2); `len` is a multiple of 16
 * for CBC. */
EICE_API void eice_aes_ctr(const void *key, size_t key_len,
                           const uint8_t counter[16], void *data, size_t len);
EICE_API void eice_aes_cbc_decrypt(const void *key, size_t key_len,
                                   const uint8_t iv[16], void *data,
                                   size_t len);

/* A random generator (HMAC_DRBG with SHA-256, NIST SP 800-90A 10.1.2) seeded
 * by the caller: as good as its seed, which should hold 32 bytes of entropy
 * or more. The same seed and the same calls give the same bytes. One thread
 * at a time. A context must not be copied: both copies would give the same
 * bytes. */
typedef struct eice_drbg {
    uint64_t priv[20];
} eice_drbg;

EICE_API void eice_drbg_init(eice_drbg *d, const void *seed, size_t len);
EICE_API void eice_drbg_generate(eice_drbg *d, void *out, size_t len);
/* Mixes more entropy in; what was there is kept. */
EICE_API void eice_drbg_reseed(eice_drbg *d, const void *seed, size_t len);
EICE_API void eice_drbg_wipe(eice_drbg *d);

/* X25519 (RFC 7748 5): `point` 9 followed by 31 zeros makes the public key of
 * `scalar`, the peer's public key the shared secret. False, with `out` zero,
 * when the result is all zero: the peer sent a point of low order and the
 * exchange must be abandoned (RFC 7748 6.1, RFC 8731 3). `out` may be one of
 * the others. Constant time. */
EICE_API bool eice_x25519(uint8_t out[32], const uint8_t scalar[32],
                          const uint8_t point[32]);

/* An RSA private key of up to 4096 bits (RFC 8017 3.2, second form). Numbers
 * are big-endian without leading zeros. Plain memory: eice_wipe it. */
#define EICE_RSA_MAX 512 /* bytes of the longest modulus and signature */
typedef struct eice_rsa_key {
    uint32_t bits;                   /* of n */
    uint32_t e;
    uint16_t at[5];                  /* parts: where in `secret`, bytes */
    uint16_t len[5];
    uint8_t secret[5 * (EICE_RSA_MAX / 2 + 1)]; /* p, q, d mod (p - 1),
                                        d mod (q - 1), 1 / q mod p */
    uint8_t n[EICE_RSA_MAX + 4];     /* with room for e behind it */
} eice_rsa_key;

/* A new key, e being 65537; bits: 2048 to 4096, a multiple of 8. Takes about
 * 0.1 s for 2048 bits, now and then several times that. False (bits out of
 * range, no room on the way): the key is wiped. */
EICE_API bool eice_rsa_generate(eice_rsa_key *k, unsigned bits, eice_drbg *d);
/* From its numbers, big-endian: n of 2048 to 4096 bits (a multiple of 8), e
 * below 2^32, d, p, q, 1 / q mod p. False, the key being wiped, when they are
 * out of range or do not belong together: a signature is tried. */
EICE_API bool eice_rsa_set(eice_rsa_key *k, eice_str n, eice_str e, eice_str d,
                           eice_str p, eice_str q, eice_str iq);
/* RSASSA-PKCS1-v1_5 (RFC 8017 8.2) with SHA-256, or SHA-512 when `sha512`.
 * Bytes of the signature, those of n; 0 when the key is none. Constant time
 * in the key. */
EICE_API size_t eice_rsa_sign(eice_rsa_key *k, bool sha512,
                              eice_str data, uint8_t sig[EICE_RSA_MAX]);

/* An ECDSA private key on NIST's P-256, P-384 or P-521 (FIPS 186-5 6, SEC 1).
 * Plain memory: eice_wipe it. */
#define EICE_EC_MAX 66 /* bytes of a number below the order of P-521 */
typedef struct eice_ec_key {
    uint32_t bits;                   /* 256, 384, 521 */
    uint32_t len;                    /* bytes of `secret`: (bits + 7) / 8 */
    uint8_t secret[EICE_EC_MAX];
    uint8_t point[2 * EICE_EC_MAX + 1]; /* the public half: 4, x, y */
} eice_ec_key;

/* From the private number, big-endian. False, the key being wiped, for other
 * curves and numbers out of range. */
EICE_API bool eice_ec_set(eice_ec_key *k, unsigned bits, eice_str secret);
/* ECDSA with SHA-256, SHA-384 or SHA-512, as RFC 5656 6.2.1 has them for the
 * three curves; deterministic (RFC 6979). Writes r and s, k->len bytes each.
 * Bytes of both; 0 when the key is none. Constant time in the key. */
EICE_API size_t eice_ec_sign(eice_ec_key *k, eice_str data,
                             uint8_t sig[2 * EICE_EC_MAX]);

/* ======================================================================== *
 * 4  ED25519                                                    >>ed25519  *
 * ======================================================================== */

/* Signatures of RFC 8032 5.1 (PureEdDSA: no prehash, no context). The private
 * key is its 32-byte seed; `msg` may be NULL only with `len` 0. */

/* The public key of a seed. Any 32 random bytes are a seed. */
EICE_API void eice_ed25519_public(uint8_t public_key[32],
                                  const uint8_t seed[32]);

/* Signs. `public_key` must be what eice_ed25519_public makes of `seed`: two
 * signatures of one message under different public keys give the private key
 * away, so never take it from an outsider. The time depends on `len` only.
 * `sig` may overlap nothing else. */
EICE_API void eice_ed25519_sign(uint8_t sig[64], const uint8_t seed[32],
                                const uint8_t public_key[32], const void *msg,
                                size_t len);

/* Whether `sig` is a signature of `msg`. Strict in the encoding: false when
 * S is not below the group's order or a coordinate is not below 2^255 - 19,
 * so nobody can make a second signature out of a first (RFC 8032 5.1.7, 8.4).
 * Without cofactor, as OpenSSL and OpenSSH verify. A public key of low order
 * is not refused: its owner can make signatures that fit many messages, for
 * that key alone. All inputs count as public: not constant time. */
EICE_API bool eice_ed25519_verify(const uint8_t sig[64],
                                  const uint8_t public_key[32],
                                  const void *msg, size_t len);
/* ======================================================================== *
 * 5  SIGNATURE VERSION 4                                          >>sigv4  *
 * ======================================================================== */

/* Requests are signed as the IAM User Guide describes under "Create a signed
 * AWS API request", for all services but S3 (which encodes paths once). Two
 * forms: header (Authorization) for API calls, query (presigned) for the
 * tunnel. Nothing here is kept between calls. */

/* AWS access keys, borrowed. An empty session token means none. */
typedef struct eice_keys {
    eice_str access_key_id;
    eice_str secret_access_key;
    eice_str session_token;
} eice_keys;

/* A request to be signed. All slices are borrowed until the call returns;
 * those that end up in an eice_presigned until that is no longer read. */
typedef struct eice_sigv4_request {
    eice_str method;          /* "GET", "POST" */
    eice_str path;            /* as on the wire, percent-encoded; "" is "/" */
    const eice_pair *query;   /* decoded names and values, any order */
    size_t query_count;       /* at most EICE_MAX_QUERY less the 6 of SigV4 */
    const eice_pair *headers; /* to sign, Host too; as sent, any order */
    size_t header_count;      /* at most EICE_MAX_HEADERS less 3 */
    eice_str body;
    eice_str region;
    eice_str service;         /* "ec2", "ec2-instance-connect", "sts" */
    eice_keys keys;
    int64_t unix_s;           /* now, in seconds */
    bool normalize_path;      /* fold ".", ".." and "//" first */
    bool sign_body;           /* sign x-amz-content-sha256; header form */
    bool token_after;         /* the token is sent but not signed */
} eice_sigv4_request;

/* What a header-signed request adds to its head: X-Amz-Date, Authorization,
 * X-Amz-Security-Token when there is a token, X-Amz-Content-Sha256 when
 * `sign_body` is set. The first, third and fourth are signed without being
 * among `headers`. */
typedef struct eice_signed {
    char date[17];            /* X-Amz-Date */
    char signature[65];
    char signed_headers[256]; /* SignedHeaders: names joined by ';' */
    char scope[160];          /* date/region/service/aws4_request */
    char body_sha256[65];     /* X-Amz-Content-Sha256 */
} eice_signed;

/* Signs for the header form. EICE_OK, or with *out zeroed
 *   EICE_E_ARGUMENT: an empty or not visible-ASCII method, region, service,
 *     key id, token or header name, an empty secret, a path that does not
 *     begin with '/', a header or parameter that SigV4 itself adds;
 *   EICE_E_LIMIT: too many headers or parameters, a key id above 128 bytes,
 *     region and service or the names of the headers too long together. */
EICE_API eice_err eice_sigv4_sign(const eice_sigv4_request *r,
                                  eice_signed *out);
/* Appends the value of Authorization. `s` is of the same request. */
EICE_API void eice_sigv4_authorization(const eice_sigv4_request *r,
                                       const eice_signed *s, eice_buf *out);

/* A presigned request target, path?query, as a rope (eice_rope_read): the
 * request's own parameters in their order, then X-Amz-Algorithm, -Credential,
 * -Date, -Expires, -SignedHeaders, -Security-Token (if any), -Signature. It
 * points into itself (never move it) and into the request's slices. A secret:
 * with it anybody may act for `expires_s` seconds. Wipe it after use. */
#define EICE_MAX_PIECES (4 * EICE_MAX_QUERY + 4)
typedef struct eice_presigned {
    eice_piece piece[EICE_MAX_PIECES];
    size_t count;
    eice_signed sign;
    char expires[11];
} eice_presigned;

/* Errors as for eice_sigv4_sign. `expires_s` 1 to 604800. */
EICE_API eice_err eice_sigv4_presign(const eice_sigv4_request *r,
                                     uint32_t expires_s, eice_presigned *out);
/* The two intermediate texts, for tests and for finding out why a signature
 * is refused: AWS quotes its own in the answer. They are appended to
 * `canonical` and `to_sign` (either may be NULL); check their `overflow`.
 * `expires_s` counts for `presign` only. The texts hold the session token. */
EICE_API eice_err eice_sigv4_explain(const eice_sigv4_request *r,
                                     uint32_t expires_s, bool presign,
                                     eice_buf *canonical, eice_buf *to_sign);

/* ======================================================================== *
 * 6  SCANNERS                                                      >>scan  *
 * ======================================================================== */

/* Three pull scanners. They read text in memory of the caller, allocate
 * nothing, and hand out slices of it, which live as long as that text. Each
 * call of `next` gives one token; END and ERROR repeat for ever, with empty
 * slices. Any input is safe: malformed, cut off or hostile text ends in ERROR.
 * A document counts only when END was reached. A UTF-8 byte order mark at the
 * beginning is skipped. */

#define EICE_MAX_DEPTH 32 /* of nesting */

typedef enum eice_json_type {
    EICE_JSON_END,
    EICE_JSON_ERROR,
    EICE_JSON_OBJECT,     /* { */
    EICE_JSON_OBJECT_END, /* } */
    EICE_JSON_ARRAY,      /* [ */
    EICE_JSON_ARRAY_END,  /* ] */
    EICE_JSON_KEY,        /* raw: the text between the quotes, escaped */
    EICE_JSON_STRING,     /* the same */
    EICE_JSON_NUMBER,     /* raw: its digits */
    EICE_JSON_TRUE,
    EICE_JSON_FALSE,
    EICE_JSON_NULL
} eice_json_type;

typedef struct eice_json {
    eice_str doc;
    size_t at;             /* byte of the next token; of the error */
    unsigned depth;        /* open objects and arrays */
    uint32_t objects;      /* bit d: level d is an object */
    unsigned state;
} eice_json;

/* RFC 8259, strict: UTF-8, no comments, no trailing commas; one document,
 * nothing but white space behind it; at most EICE_MAX_DEPTH levels. Members
 * of one name are all reported. */
EICE_API void eice_json_init(eice_json *j, eice_str doc);
EICE_API eice_json_type eice_json_next(eice_json *j, eice_str *raw);
/* Like eice_json_next, but an object or array is read to its end: *raw is its
 * whole text, from bracket to bracket, to be scanned or searched by itself. */
EICE_API eice_json_type eice_json_take(eice_json *j, eice_str *raw);
/* Skips the value that is next (after a key or in an array). */
EICE_API bool eice_json_skip(eice_json *j);
/* Appends a raw string with its escapes resolved, as UTF-8; it never grows.
 * False on a bad escape, a lone surrogate, or when `out` overflows. */
EICE_API bool eice_json_unescape(eice_str raw, eice_buf *out);
/* Whether a raw string, its escapes resolved, is `text`. */
EICE_API bool eice_json_is(eice_str raw, eice_str text);
/* The member at a path of keys ("a.b"), each matched with its escapes
 * resolved, the last of equal ones: its type and raw text, as by
 * eice_json_take. END when it is absent, ERROR when the document is malformed
 * anywhere. */
EICE_API eice_json_type eice_json_find(eice_str doc, const char *path,
                                       eice_str *raw);

typedef enum eice_xml_type {
    EICE_XML_END,
    EICE_XML_ERROR,
    EICE_XML_OPEN,  /* name: local name, without prefix */
    EICE_XML_CLOSE, /* the same name; also after <empty/> */
    EICE_XML_TEXT   /* raw text that is not all white space; any CDATA */
} eice_xml_type;

typedef struct eice_xml {
    eice_str doc;
    size_t at;
    unsigned depth;
    bool cdata;       /* the last TEXT is CDATA: take it as it is */
    eice_str names[EICE_MAX_DEPTH]; /* of the open elements */
    unsigned state;
} eice_xml;

/* The part of XML 1.0 that AWS sends: elements, attributes (skipped), text,
 * CDATA, comments, processing instructions; UTF-8. A DOCTYPE is an error: no
 * entity is ever declared or expanded. Text around a comment or CDATA comes
 * in several pieces. Ends of lines stay as they are. */
EICE_API void eice_xml_init(eice_xml *x, eice_str doc);
EICE_API eice_xml_type eice_xml_next(eice_xml *x, eice_str *s);
/* Skips the rest of the element that was opened last, its end too. False when
 * none is open or the text is malformed. */
EICE_API bool eice_xml_skip(eice_xml *x);
/* Appends text with its references resolved: the five named ones and all
 * numeric ones; it never grows. False on any other '&', or when `out`
 * overflows. */
EICE_API bool eice_xml_unescape(eice_str raw, eice_buf *out);

typedef enum eice_ini_type {
    EICE_INI_END,
    EICE_INI_ERROR,
    EICE_INI_SECTION, /* name: between the brackets, trimmed */
    EICE_INI_KEY,     /* name, value (trimmed; may be empty) */
    EICE_INI_NESTED   /* name, value of an indented line under an empty key */
} eice_ini_type;

typedef struct eice_ini {
    eice_str doc;
    size_t at;
    unsigned line;    /* of the last token, or of the error, from 1 */
    size_t indent;    /* of the last section or key */
    bool in_section;
    bool has_key;     /* the section has one: deeper lines belong to it */
    bool empty_key;   /* the last key had no value: a block may follow */
    bool failed;
} eice_ini;

/* The shared files of the AWS SDKs and CLI, as Python's configparser reads
 * them, line by line:
 *   blank, "# ..." or "; ..."   nothing
 *   "[name]"                    SECTION; what is behind the bracket is dropped
 *   "key = value", "key: value" KEY, at the first of '=' and ':'
 *   deeper than its key         NESTED when the key has no value, else dropped
 * Values end at a '#' or ';' behind white space. Names come as written, not
 * folded to lower case; equal ones are all reported. ERROR: a line that is
 * none of these, a key before the first section, an empty name, a control
 * character. LF and CRLF end lines. */
EICE_API void eice_ini_init(eice_ini *i, eice_str doc);
EICE_API eice_ini_type eice_ini_next(eice_ini *i, eice_str *name,
                                     eice_str *value);

/* ======================================================================== *
 * 7  DNS                                                            >>dns  *
 * ======================================================================== */

/* A stub resolver without sockets. Everything that arrives is hostile until
 * its id and question are those of the message it answers.
 * Sources: RFC 1034, 1035 (messages, names, CNAME), 3596 (AAAA), 5452 (ids,
 * ports, matching), 6761 6.3 (localhost), 7766 (TCP), 8305 3 (A and AAAA
 * side by side), resolv.conf(5), hosts(5). */

#ifndef EICE_MAX_ADDRESSES
#define EICE_MAX_ADDRESSES 16
#endif
#define EICE_DNS_SERVERS 3   /* as many as resolv.conf(5) takes */
#define EICE_DNS_SEARCH 6
#define EICE_DNS_NAME 254    /* RFC 1035 2.3.4 as text, and its NUL */
#define EICE_DNS_MESSAGE 273 /* a question at its longest, and its length */

/* What is asked for; 0 stands for both. */
#define EICE_DNS_A 1u
#define EICE_DNS_AAAA 2u

/* /etc/resolv.conf as far as a stub resolver needs it. Zero is the default
 * of every field. */
typedef struct eice_dns_config {
    eice_ip server[EICE_DNS_SERVERS];
    uint16_t port[EICE_DNS_SERVERS]; /* 0 is 53 */
    unsigned server_count;           /* 0 is one server, 127.0.0.1 */
    char search[EICE_DNS_SEARCH][EICE_DNS_NAME];
    unsigned search_count;
    unsigned ndots;      /* dots from which a name is tried as it is first */
    unsigned attempts;   /* rounds over the servers; 0 is 2 */
    uint32_t timeout_ms; /* one server, one attempt; 0 is 5000 */
    unsigned families;   /* EICE_DNS_A | EICE_DNS_AAAA */
    bool rotate;         /* begin with a random server */
    bool tcp;            /* TCP from the start (option use-vc) */
} eice_dns_config;

/* Reads a resolv.conf: nameserver (also [address]:port, as the BSDs have it),
 * search, domain (the later of the two counts) and the options ndots:,
 * timeout:, attempts:, rotate, use-vc and no-aaaa, with the limits of the GNU
 * resolver (15, 30 s, 5). All else is ignored, and so are servers with a zone
 * (fe80::1%eth0): an eice_ip has none. The empty text gives the defaults,
 * which is right for a machine without the file. Sets all of `c`. */
EICE_API void eice_dns_config_parse(eice_dns_config *c, eice_str resolv_conf);

/* Addresses of a name, in the order to be tried: IPv6 and IPv4 by turns, the
 * first of IPv6 at the front, none twice. */
typedef struct eice_addresses {
    eice_ip ip[EICE_MAX_ADDRESSES];
    size_t count;
} eice_addresses;

/* Looks the name up in the text of a hosts file, without case, a dot at the
 * end set aside. True when it has an entry: `out` (not NULL) then holds the
 * addresses of all its lines and no server need be asked. False: `out` is
 * empty. */
EICE_API bool eice_dns_hosts(eice_str hosts, eice_str name,
                             eice_addresses *out);

/* A message to be sent. */
typedef struct eice_dns_query {
    unsigned server; /* where to: the place in the configuration, and what */
    eice_ip address; /* is found there */
    uint16_t port;
    bool tcp;     /* connect and send; else one datagram */
    uint32_t tag; /* hand it back with the answer */
    uint8_t message[EICE_DNS_MESSAGE];
    size_t len;   /* with tcp the two length bytes (RFC 1035 4.2.2) are in */
} eice_dns_query;

/* One of the two questions, private. */
typedef struct eice_dns_leg {
    uint8_t state;
    uint8_t fault; /* the worst it met, the answer and the server of that */
    uint8_t rcode;
    unsigned fault_server;
    bool tcp;
    uint16_t id;
    uint32_t tag;
    unsigned server;
    unsigned tries;
    uint64_t deadline_ms;
    eice_addresses found;
} eice_dns_leg;

/* One look-up. It is a row of names (the name as it is, the name with each
 * of the search list), and for every name two questions, A and AAAA, each of
 * which goes its own way over the servers:
 *
 *            .-------- next server, or TCP for a truncated answer
 *            v       |
 *          ASK --> WAIT ----> GOT       addresses
 *        (next)      |------> EMPTY     the name has none of this family
 *                    |------> NO_NAME   no such name
 *                    '------> FAILED    every server, every attempt
 *
 *   both settled: addresses -> done; FAILED in silence -> error;
 *                 else next name, ASK again; no name left -> error
 *
 * AAAA is waited for 50 ms at most once A has its answer (RFC 8305 3). A is
 * always waited for: a list without IPv4 leaves nothing to fall back to. The
 * whole takes at most attempts * servers * timeout. */
typedef struct eice_dns {
    struct {
        eice_dns_config config;
        eice_drbg *random;
        char name[EICE_DNS_NAME];  /* as given, without a dot at the end */
        char asked[EICE_DNS_NAME]; /* the one of the row being asked */
        bool absolute;             /* no search list for this one */
        bool done;
        bool empty;                /* a name exists, without addresses */
        unsigned place;            /* of `asked` in the row */
        unsigned server;           /* where the next question begins */
        unsigned servers_asked;    /* one bit each */
        uint8_t fault;             /* the worst, its server and answer */
        uint8_t rcode;
        unsigned fault_server;
        uint32_t tag;
        uint64_t now_ms;
        uint64_t start_ms;
        uint64_t end_ms;
        uint64_t grace_ms;         /* AAAA is not waited for after this */
        eice_dns_leg leg[2];       /* A, AAAA */
        eice_addresses result;
    } priv;
    eice_error error;
} eice_dns;

/* Begins a look-up at `now_ms` of any clock that does not go back. `config`
 * is copied; `random` is borrowed until the look-up is done and supplies the
 * message ids. Literal addresses, "localhost" and "*.localhost" are done at
 * once. EICE_OK; or EICE_E_ARGUMENT (also in d->error) for what is no host
 * name: labels of 1 to 63 letters, digits, '-' and '_', 253 bytes in all,
 * the last label not a number. */
EICE_API eice_err eice_dns_init(eice_dns *d, const eice_dns_config *config,
                                eice_str name, eice_drbg *random,
                                uint64_t now_ms);

/* The next message to send, true until there is none now: call it until it
 * says false after init and after every answer, unreachable and tick. Send
 * each from a new socket with a random port, and hand back only what came
 * from the address and port it was sent to (RFC 5452 9): connect() does
 * both. */
EICE_API bool eice_dns_next(eice_dns *d, eice_dns_query *q);

/* True as long as an answer with this tag is of interest: when it is false,
 * close the socket. */
EICE_API bool eice_dns_waits(const eice_dns *d, uint32_t tag);

/* A message that came back, without the length bytes of TCP. What does not
 * answer the question (id, name, type), comes late or twice is dropped. */
EICE_API void eice_dns_answer(eice_dns *d, uint32_t tag, const void *message,
                              size_t len, uint64_t now_ms);

/* The message `tag` cannot be answered: no route, ICMP, TCP refused or
 * closed early. The next server is asked at once. */
EICE_API void eice_dns_unreachable(eice_dns *d, uint32_t tag,
                                   uint64_t now_ms);

/* Call it when the deadline has come; earlier does no harm. */
EICE_API void eice_dns_tick(eice_dns *d, uint64_t now_ms);
/* When to call tick if nothing arrives; UINT64_MAX when done. */
EICE_API uint64_t eice_dns_deadline(const eice_dns *d);

/* True when finished: `out` (may be NULL) holds at least one address and
 * d->error.code is EICE_OK; or `out` is empty and d->error says which name,
 * which servers and why: NAME_NOT_FOUND (no such name, or no address),
 * DNS_TIMEOUT (silence), DNS_FAILED (SERVFAIL, REFUSED, garbage,
 * unreachable), ARGUMENT (from init). The two in the middle are retryable. */
EICE_API bool eice_dns_done(const eice_dns *d, eice_addresses *out);

/* ======================================================================== *
 * 8  HTTP/1.1                                                      >>http  *
 * ======================================================================== */

/* A client's half of HTTP/1.1 (RFC 9110, RFC 9112): heads are written with
 * the builder, answers are read by a push parser.
 *
 * Level: pure; calls 2. Trusts nothing the peer sends, and of the caller's
 * texts only that they are his: none can end a line or add a header. Memory:
 * one line of a head, in a buffer of the caller; bodies pass as slices of the
 * caller's input. Where RFC 9112 lets a reader choose between repair and
 * refusal, framing is refused and the rest is repaired. */

/* ---- addresses --------------------------------------------------------- */

typedef struct eice_url {
    bool tls;        /* https, wss */
    eice_str scheme; /* as written; without case */
    eice_str user;   /* "user:password" still encoded, or empty */
    eice_str host;   /* without brackets */
    uint16_t port;   /* 443 or 80 when not named */
    eice_str path;   /* from '/', with query; "/" when absent */
} eice_url;

/* An absolute URL (RFC 3986 3) of http, https, ws or wss, in visible ASCII;
 * slices point into `text`. The host is a name of letters, digits and -._ or
 * an IPv6 address in brackets, without zone. The user part ends at the last
 * '@'. False for all else: fragments, backslashes, percent signs in the host,
 * port 0, a query without a path. */
EICE_API bool eice_url_parse(eice_str text, eice_url *url);

/* ---- requests ---------------------------------------------------------- */

/* What may not be written sets the builder's overflow, as does what does not
 * fit; nothing of it is written then. */

/* host, or [host] for IPv6, and :port unless it is the scheme's own. The
 * host must be one that eice_url_parse would take. */
EICE_API void eice_put_authority(eice_buf *b, eice_str host, uint16_t port,
                                 bool tls);
/* "name: value\r\n". The name must be a token (RFC 9110 5.6.2); the value may
 * hold no control but the tab (RFC 9110 5.5). */
EICE_API void eice_put_header(eice_buf *b, const char *name, eice_str value);
/* Proxy-Authorization of the Basic scheme (RFC 7617) for "user:password" as
 * it stands in a URL, at most EICE_HTTP_MAX_USER bytes when decoded; nothing
 * when `user` is empty. A half with a percent sign that encodes nothing is
 * taken as it stands. The buffer holds a secret then: wipe it. */
EICE_API void eice_put_proxy_user(eice_buf *b, eice_str user);
/* A whole CONNECT request to a proxy (RFC 9110 9.3.6), with
 * Proxy-Authorization for `user`, the empty line included. */
EICE_API void eice_put_connect(eice_buf *b, eice_str host, uint16_t port,
                               eice_str user);

#define EICE_HTTP_MAX_USER 384u

/* ---- answers ----------------------------------------------------------- */

typedef enum eice_http_event {
    EICE_HTTP_MORE,    /* all input is consumed, more is wanted */
    EICE_HTTP_STATUS,  /* h->status; text: the reason phrase, may be empty */
    EICE_HTTP_HEADER,  /* h->name; text: the value, trimmed */
    EICE_HTTP_HEAD,    /* the head is complete */
    EICE_HTTP_BODY,    /* text: a part of the body, in the caller's input */
    EICE_HTTP_DONE,    /* the answer is complete; *in is not part of it */
    EICE_HTTP_ERROR    /* h->error; the connection is of no more use */
} eice_http_event;

#define EICE_HTTP_MIN_LINE 64u     /* bytes of the line buffer */
#define EICE_HTTP_MAX_HEAD 65536u  /* bytes of heads, chunk extensions and */
#define EICE_HTTP_MAX_HEADERS 128u /* trailers; header and trailer lines */

/* One answer. Events: STATUS HEADER* HEAD BODY* DONE.
 *
 *   init      +------ 1xx but 101: no events -------+
 *     |       v                                     |
 *     +---> STATUS ---------> HEADERS --------------+
 *                                |
 *        +-----------+-----------+------------+
 *        |           |           |            |
 *        |        LENGTH    UNTIL_CLOSE   CHUNK_SIZE ---- size 0 --> TRAILERS
 *        |           |           |         |      ^                     |
 *     no body        |        eof|    size |      |                     |
 *        |           |           |         v      |                     |
 *        |           |           |   CHUNK_DATA -> CHUNK_END            |
 *        v           v           v                                      v
 *      DONE <-------------------------------------------------------- DONE
 *
 * Which way the body goes is decided as RFC 9112 6.3 has it:
 *   no body      to HEAD; 101, 204, 304; 2xx to CONNECT, where Content-Length
 *                and Transfer-Encoding are not even looked at. After 101 and
 *                2xx to CONNECT the stream belongs to the next protocol.
 *   CHUNK_SIZE   Transfer-Encoding: chunked, alone
 *   LENGTH       Content-Length; the same number repeated is taken as one
 *   UNTIL_CLOSE  neither
 *
 * Refused (EICE_E_HTTP): both framings at once; any other transfer coding;
 * transfer codings in HTTP/1.0; different, signed, spaced or huge lengths; a
 * chunk size of more than 16 digits or with anything before ';' or CRLF but
 * blanks in front of ';'; header lines that are folded (RFC 9112 5.2 wants a
 * repair, nobody sends them and they hide framing), without colon, with a
 * name that is no token; controls but the tab in any line; CR alone.
 * LF alone ends a line of the head and a trailer, which RFC 9112 2.2 permits
 * and hand-made servers need, but nothing in the chunked framing (7.1).
 * EICE_E_LIMIT: more head than the limits above allow, over all 1xx heads,
 * chunk extensions and trailers of this answer together.
 *
 * Long lines. What does not fit the line buffer is cut: a reason phrase is
 * reported in part; a header is skipped. Two are not skipped: Content-Length
 * and Transfer-Encoding are then EICE_E_HTTP, and Connection clears
 * keep_alive. Trailers are checked and dropped. */
typedef struct eice_http {
    bool connect;       /* set after init: the request was CONNECT */
    bool head_only;     /* set after init: the request was HEAD */
    eice_stage stage;   /* of errors; API after init, may be set */
    unsigned status;    /* 101, 200 to 999; from STATUS on */
    eice_str name;      /* of a HEADER, in lower case, until the next call */
    bool keep_alive;    /* after DONE: another request may follow (RFC 9112
                         * 9.3), if *in is empty */
    eice_error error;
    struct {
        char *line;
        size_t line_cap;
        size_t line_len; /* of the whole line, also of what was cut off */
        size_t head_len;
        uint64_t left;   /* bytes of the body or chunk to come */
        unsigned headers;
        unsigned interim; /* status of the head being read */
        uint8_t state;
        bool cr;         /* the last byte was CR */
        bool chunked;
        bool has_length;
        bool http10;
        bool close;      /* Connection: close */
        bool keep;       /* Connection: keep-alive */
    } priv;
} eice_http;

/* `line` holds one header line and is borrowed for the answer's life; name
 * and text of STATUS and HEADER live in it until the next call. A `cap` below
 * EICE_HTTP_MIN_LINE fails at once (EICE_E_ARGUMENT). */
EICE_API void eice_http_init(eice_http *h, void *line, size_t cap);
/* Consumes from the front of *in, says what it found, and is called again
 * until it answers MORE, DONE or ERROR; these two are repeated for ever and
 * consume nothing. */
EICE_API eice_http_event eice_http_next(eice_http *h, eice_str *in,
                                        eice_str *text);
/* The peer closed: DONE when the answer is complete or may end so, else ERROR
 * (EICE_E_NET_RESET). */
EICE_API eice_http_event eice_http_eof(eice_http *h);
/* True when a list like that of Connection or Upgrade names `token`, without
 * regard to case (RFC 9110 5.6.1). */
EICE_API bool eice_http_lists(eice_str value, const char *token);

/* ======================================================================== *
 * 9  WEBSOCKET                                                       >>ws  *
 * ======================================================================== */

/* The client's side of RFC 6455: frames in, frames out, and the two texts of
 * the handshake; the upgrade itself is HTTP. No extension and no subprotocol
 * is spoken, so the three reserved bits must be 0 (5.2).
 *
 * Level: pure; calls 2 and 3. Trusts nothing the peer sends. Keeps a frame's
 * head and one control payload (125 bytes); messages are never buffered, they
 * pass as slices of the caller's input, however long a frame may be. */

#define EICE_WS_MAX_HEAD 14
#define EICE_WS_MAX_CONTROL 125 /* payload of close, ping and pong (5.5) */

typedef enum eice_ws_op {
    EICE_WS_CONTINUATION = 0,
    EICE_WS_TEXT = 1,
    EICE_WS_BINARY = 2,
    EICE_WS_CLOSE = 8,
    EICE_WS_PING = 9,
    EICE_WS_PONG = 10
} eice_ws_op;

/* Close codes (7.4.1). */
#define EICE_WS_NORMAL 1000u
#define EICE_WS_GOING_AWAY 1001u
#define EICE_WS_PROTOCOL_ERROR 1002u
#define EICE_WS_UNSUPPORTED 1003u
#define EICE_WS_NO_CODE 1005u  /* reported for a close without a code */
#define EICE_WS_BAD_TEXT 1007u /* what should be UTF-8 is not */

/* Sec-WebSocket-Key: base64 of 16 random bytes, fresh for every connection
 * (4.1). Both texts end with NUL. */
EICE_API void eice_ws_key(const uint8_t random[16], char key[25]);
/* The Sec-WebSocket-Accept a server must answer to `key` (4.2.2); compare
 * byte by byte, case matters. */
EICE_API void eice_ws_accept(const char key[25], char accept[29]);

/* ---- out --------------------------------------------------------------- */

/* The head of a masked, final frame in its shortest form (5.2). `len` is that
 * of the payload, below 2^63, and at most EICE_WS_MAX_CONTROL for control
 * frames; `mask` is fresh random for every frame (5.3). Returns the length of
 * the head: 6, 8 or 14. */
EICE_API size_t eice_ws_head(uint8_t out[EICE_WS_MAX_HEAD], eice_ws_op op,
                             uint64_t len, const uint8_t mask[4]);
/* Masks in place; `at` is the offset of data[0] in the payload, so a payload
 * may be masked in parts. Masking twice gives the data back. */
EICE_API void eice_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4],
                           uint64_t at);
/* The payload of a close frame (5.5.1); returns its length, 0 to 125. It is
 * empty when `code` is one that may not be sent (EICE_WS_NO_CODE and all the
 * others that 7.4 keeps off the wire). `reason` is cut to 123 bytes between
 * two characters, and left out when it is not UTF-8. */
EICE_API size_t eice_ws_close(uint8_t out[EICE_WS_MAX_CONTROL], unsigned code,
                              eice_str reason);

/* ---- in ---------------------------------------------------------------- */

typedef enum eice_ws_event {
    EICE_WS_MORE,      /* all input is consumed, more is wanted */
    EICE_WS_DATA,      /* payload: part of a message, in the caller's input */
    EICE_WS_GOT_PING,  /* answer with a pong of the same payload (5.5.2) */
    EICE_WS_GOT_PONG,
    EICE_WS_GOT_CLOSE, /* w->close_code; payload: the reason, UTF-8 */
    EICE_WS_ERROR      /* w->error; close with w->close_code, then drop */
} eice_ws_event;

/* A decoder. All that is public is read after an event, but allow_text, which
 * is set after init. Control frames may come between the fragments of a
 * message (5.4) and are reported where they stand.
 *
 *             +------------------------------------------------+
 *             v                                                |
 *   init -> HEAD --- data frame ------> DATA -- payload read --+
 *             |                                                |
 *             +----- control frame ---> CONTROL -- ping, pong -+
 *             |                            |
 *             |  breach of the protocol    | close
 *             v                            v
 *          FAILED                       CLOSED (what follows is dropped)
 *
 * What fails, and the code to answer with:
 *   1002  reserved bits, unknown opcode, masked frame, length not in its
 *         shortest form or over 63 bits, control frame in fragments or over
 *         125 bytes, continuation of nothing, new message inside another,
 *         close payload of 1 byte, close code not allowed on the wire
 *   1003  text message while allow_text is false
 *   1007  text message or close reason that is not UTF-8 */
typedef struct eice_ws {
    bool allow_text;     /* set by the caller; false: binary only */
    bool text;           /* DATA belongs to a text message */
    bool message_end;    /* DATA was the last part of its message */
    unsigned close_code; /* after GOT_CLOSE: the peer's, 1005 when it gave
                          * none; after ERROR: the one to send */
    eice_error error;    /* WS_PROTOCOL at stage TUNNEL */
    struct {
        uint64_t left;   /* payload bytes of the frame still to come */
        uint8_t state;
        uint8_t op;      /* of the frame */
        bool fin;        /* of the frame */
        bool in_message; /* between the first and the last fragment */
        uint8_t head[10];
        uint8_t head_len;
        uint8_t control_len;
        uint8_t control[EICE_WS_MAX_CONTROL];
        uint8_t utf8_more; /* continuation bytes due, and the range of */
        uint8_t utf8_low;  /* the next one */
        uint8_t utf8_high;
    } priv;
} eice_ws;

EICE_API void eice_ws_init(eice_ws *w);
/* Consumes from the front of *in, says what it found, and is called again
 * until it answers MORE. Bytes may arrive in any portions. A message may be
 * empty: DATA with an empty payload and message_end. Payloads of control
 * frames live in `w` until the next call. After ERROR only ERROR follows;
 * after GOT_CLOSE all input is dropped (1.4). */
EICE_API eice_ws_event eice_ws_next(eice_ws *w, eice_str *in,
                                    eice_str *payload);

/* ======================================================================== *
 * 10 SOCKS                                                        >>socks  *
 * ======================================================================== */

/* The server's side of SOCKS5 (RFC 1928), SOCKS4 and 4a, and HTTP CONNECT
 * (RFC 9110 9.3.6) on one port: the first byte tells which. CONNECT only, no
 * authentication; names stay names, for the far side to resolve.
 *
 *   init -> MORE -- request --> CONNECT -- eice_socks_reply --> bytes pass
 *            |
 *            +-- breach, not served --> FAILED (its reply is in _out)
 *
 * Level: pure; calls 2. Trusts nothing a client sends: a request is bounded
 * by EICE_SOCKS_REQUEST, an HTTP head by EICE_SOCKS_HEAD bytes. */

#define EICE_SOCKS_REQUEST 528 /* longest of SOCKS4a: 8 + 255 + 1 + 255 + 1 */
#define EICE_SOCKS_HEAD 16384

typedef enum eice_socks_event {
    EICE_SOCKS_MORE,    /* all input is consumed, more is wanted */
    EICE_SOCKS_CONNECT, /* s->host, s->port; then eice_socks_reply */
    EICE_SOCKS_FAILED   /* s->error; send what is in _out, then close */
} eice_socks_event;

/* How the connect went: the numbers of RFC 1928 6. */
typedef enum eice_socks_outcome {
    EICE_SOCKS_OK = 0,
    EICE_SOCKS_GENERAL = 1,
    EICE_SOCKS_NOT_ALLOWED = 2,
    EICE_SOCKS_NET_UNREACHABLE = 3,
    EICE_SOCKS_HOST_UNREACHABLE = 4,
    EICE_SOCKS_REFUSED = 5,
    EICE_SOCKS_EXPIRED = 6,
    EICE_SOCKS_BAD_COMMAND = 7,
    EICE_SOCKS_BAD_ADDRESS = 8
} eice_socks_outcome;

typedef struct eice_socks {
    char host[256];      /* name or address, without brackets; after CONNECT */
    uint16_t port;       /* never 0 */
    eice_error error;    /* ARGUMENT at stage LOCAL, after FAILED */
    struct {
        uint8_t state;
        uint8_t version; /* 4, 5, or 'H' for HTTP */
        uint8_t out_at;
        uint8_t out_len;
        uint16_t len;
        uint16_t head;   /* bytes of an HTTP head */
        uint8_t in[EICE_SOCKS_REQUEST];
        uint8_t out[112];
    } priv;
} eice_socks;

EICE_API void eice_socks_init(eice_socks *s);
/* Consumes from the front of *in; bytes behind the request stay there: they
 * belong to the destination. Bytes may arrive in any portions. After CONNECT
 * and FAILED the same is answered again and nothing consumed. */
EICE_API eice_socks_event eice_socks_feed(eice_socks *s, eice_str *in);
/* What is to be sent to the client now; it may be something after MORE too
 * (SOCKS5 agrees on a method first). */
EICE_API size_t eice_socks_out(const eice_socks *s, const uint8_t **p);
EICE_API void eice_socks_out_ack(eice_socks *s, size_t n);
/* The answer to a CONNECT, once; it is in _out afterwards. Anything but OK:
 * close when that is sent. */
EICE_API void eice_socks_reply(eice_socks *s, eice_socks_outcome outcome);

/* ======================================================================== *
 * 11 KEYS                                                          >>keys  *
 * ======================================================================== */

/* OpenSSH's formats: public keys, fingerprints, known_hosts, the agent.
 * Files and messages are read as hostile; nothing is kept between calls.
 * Sources: RFC 4253 6.6 (key blobs), 8709 (ssh-ed25519), sshd(8) "SSH_KNOWN_
 * HOSTS FILE FORMAT", ssh_config(5) "PATTERNS", draft-ietf-sshm-ssh-agent. */

#define EICE_ED25519_BLOB 51   /* bytes of an ssh-ed25519 key blob */
#define EICE_FINGERPRINT 51    /* "SHA256:", 43 characters, NUL */
#define EICE_MAX_KEY_BLOB 2048 /* RSA of 16384 bits fits */

/* The blob of an Ed25519 key (RFC 8709 4). */
EICE_API void eice_key_blob(uint8_t blob[EICE_ED25519_BLOB],
                            const uint8_t public_key[32]);
/* "ssh-ed25519 AAAA... comment"; without comment no blank at the end, no
 * line end in any case. A malformed blob writes nothing and sets the
 * builder's overflow. */
EICE_API void eice_key_line(eice_buf *b, const void *blob, size_t len,
                            eice_str comment);
/* One line of a .pub file: type, blob (decoded into `out`), comment; blanks
 * and a line end around it do no harm. `type` and `comment` (may be NULL)
 * point into the line. Bytes of the blob, or -1 when it is no key: malformed,
 * type and blob disagree, longer than `cap`. */
EICE_API ptrdiff_t eice_key_parse(eice_str line, void *out, size_t cap,
                                  eice_str *type, eice_str *comment);
/* The type named inside a blob; empty when malformed. */
EICE_API eice_str eice_key_type(const void *blob, size_t len);
/* As `ssh-keygen -l` prints it. */
EICE_API void eice_key_fingerprint(char out[EICE_FINGERPRINT],
                                   const void *blob, size_t len);

/* What a known_hosts file says about a key of a host. */
typedef enum eice_hostkey {
    EICE_HOSTKEY_UNKNOWN, /* no key of this host is known */
    EICE_HOSTKEY_OTHER,   /* keys are known, none of this type */
    EICE_HOSTKEY_MATCH,
    EICE_HOSTKEY_CHANGED, /* only different keys of this type are known */
    EICE_HOSTKEY_REVOKED  /* this key is marked so, whatever else is there */
} eice_hostkey;

/* Looks a host up in the text of a known_hosts file. `host` has the form of
 * the file: "name", or "[name]:port" for a port that is not 22; letters
 * compare without case. Plain and hashed names (|1|salt|hash), lists,
 * patterns with * and ?, negation with !, and @revoked are honoured;
 * @cert-authority lines are skipped; lines that cannot be read, or whose key
 * is none, are ignored. `line` (may be NULL) gets the number, from 1, of the
 * line that decided: the key itself, else the first of the host; 0 for
 * UNKNOWN. */
EICE_API eice_hostkey eice_known_hosts_check(eice_str text, eice_str host,
                                             const void *blob, size_t len,
                                             unsigned *line);
/* The types of key known for a host, e.g. for the order of negotiation: calls
 * `type` for each key, in the file's order, without those revoked. The name
 * points into the text. */
EICE_API void eice_known_hosts_types(eice_str text, eice_str host,
                                     void (*type)(void *user, eice_str name),
                                     void *user);

typedef enum eice_console {
    EICE_CONSOLE_NONE,  /* it shows no host keys */
    EICE_CONSOLE_MATCH, /* this one is among those it shows */
    EICE_CONSOLE_OTHER  /* it shows others only */
} eice_console;

/* Is a host key among those that cloud-init printed on an instance's console
 * (the decoded text of GetConsoleOutput)? The last block that is complete
 * counts, keys or fingerprints; whatever else got between is passed over. */
EICE_API eice_console eice_console_check(eice_str text, const void *blob,
                                         size_t len);
/* "host type base64\n". A malformed blob, or a host that would be read as
 * something else (blanks, commas, patterns, marks), writes nothing and sets
 * the builder's overflow. */
EICE_API void eice_known_hosts_line(eice_buf *b, eice_str host,
                                    const void *blob, size_t len);

/* An agent that holds one Ed25519 key in memory: REQUEST_IDENTITIES and
 * SIGN_REQUEST for that key are served, all else is answered FAILURE. `in`
 * is what came on a connection, from the length of a message on. Returns the
 * bytes it took, their answer being appended to `out`: call again with what
 * follows; 0 when the message is not complete; -1 when the message is empty
 * or longer than EICE_AGENT_MAX, or `out` has no room: close the
 * connection. EICE_AGENT_ANSWER is room for any answer. */
#define EICE_AGENT_MAX 4096   /* bytes of a message without its length */
#define EICE_AGENT_ANSWER 128
EICE_API ptrdiff_t eice_agent_serve(const uint8_t seed[32],
                                    const uint8_t public_key[32], eice_str in,
                                    eice_buf *out);

/* The other side: what to ask an agent, and what it answers; messages without
 * their length here. `eice_agent_ask_keys` and `eice_agent_ask_sign` append a
 * request with its length; the flags of a signature follow from `algorithm`.
 * EICE_AGENT_MAX is room for a request about a login. */
EICE_API void eice_agent_ask_keys(eice_buf *out);
EICE_API void eice_agent_ask_sign(eice_buf *out, eice_str blob, eice_str data,
                                  eice_str algorithm);
/* The keys of an answer, a slice of it; false: it is no such answer. Each call
 * of `eice_agent_next` takes one off; false at the end, or what is malformed. */
EICE_API bool eice_agent_keys(eice_str answer, eice_str *keys);
EICE_API bool eice_agent_next(eice_str *keys, eice_str *blob,
                              eice_str *comment);
/* The raw signature, as an eice_sign_fn gives it. Its length, -1 when it was
 * refused, is malformed, longer than `cap` or of another algorithm. */
EICE_API ptrdiff_t eice_agent_signature(eice_str answer, eice_str algorithm,
                                        uint8_t *sig, size_t cap);

/* Signs what RFC 4252 7 says with a user key: `algorithm` is the signature
 * algorithm (ssh-ed25519, rsa-sha2-256, ...). Writes the raw signature; for
 * ECDSA the two numbers as RFC 5656 3.1.2 has them. Returns its length, 0 for
 * "ask me again at the next step", -1 to fail. */
typedef ptrdiff_t (*eice_sign_fn)(void *user, eice_str algorithm,
                                  eice_str data, uint8_t *sig, size_t cap);

typedef enum eice_key_kind {
    EICE_KEY_ED25519,
    EICE_KEY_RSA,  /* rsa-sha2-256 and rsa-sha2-512, never SHA-1 */
    EICE_KEY_ECDSA /* P-256, P-384, P-521; of files only: EC2 Instance
                      Connect takes none, the login must know it already */
} eice_key_kind;

/* A user's private key with its public half. Plain memory: eice_wipe it. */
#define EICE_USER_KEY_BLOB 544 /* RSA of 4096 bits fits */
typedef struct eice_user_key {
    eice_key_kind kind;
    size_t blob_len;                  /* 0: no key */
    uint8_t blob[EICE_USER_KEY_BLOB]; /* the public half, as on the wire */
    uint8_t seed[32];                 /* Ed25519 */
    uint8_t public_key[32];
    eice_rsa_key rsa;
    eice_ec_key ec;
} eice_user_key;

/* A new key: Ed25519, or RSA of 2048 bits (see eice_rsa_generate). False:
 * there was no room on the way, or `kind` is another. */
EICE_API bool eice_user_key_generate(eice_user_key *k, eice_key_kind kind,
                                     eice_drbg *d);
/* What opens a key file of OpenSSH that is protected by a passphrase. About
 * 8 kB, of which `priv` is wiped after use; the text is the caller's to wipe.
 * bcrypt takes about 2 ms a round: 16 of them (ssh-keygen's default) 0.05 s,
 * 1024 some seconds. */
typedef struct eice_passphrase {
    eice_str text;
    uint32_t max_rounds;         /* 0 is 1024 */
    bool (*go_on)(void *user);   /* or NULL; is asked after each round: false
                                    gives up (EICE_E_CANCELLED) */
    void *user;
    struct {
        uint32_t pi[1044];       /* what Blowfish begins with */
        uint32_t state[1044];
    } priv;
} eice_passphrase;

/* Reads the text of a private key file: Ed25519, ECDSA or RSA (2048 to 4096
 * bits) in the format of OpenSSH (without passphrase, or AES-CTR and AES-CBC
 * with one), in PKCS#8, PKCS#1 (RSA) or SEC 1 (ECDSA). `pass`
 * may be NULL. The text is decoded and decrypted in place: read the file again
 * for the next try. It is the caller's to wipe. False, with an empty key and
 * an error that calls the file `name`: EICE_E_KEY_LOCKED (ask for a passphrase
 * and call again with one), EICE_E_PASSPHRASE (wrong), EICE_E_CANCELLED,
 * EICE_E_LIMIT (more rounds than max_rounds), EICE_E_ARGUMENT. */
EICE_API bool eice_user_key_read(eice_user_key *k, const char *name,
                                 void *text, size_t len,
                                 eice_passphrase *pass, eice_error *e);
/* An eice_sign_fn whose `user` is an eice_user_key. */
EICE_API ptrdiff_t eice_user_key_sign(void *user, eice_str algorithm,
                                      eice_str data, uint8_t *sig,
                                      size_t cap);

/* ======================================================================== *
 * 12 TLS                                                            >>tls  *
 * ======================================================================== */

/* What an engine wants or offers now; every engine of this library speaks
 * these flags. Seen from the engine: net is the wire, app the user of the
 * engine; in goes into the engine, out comes from it. */
#define EICE_WANT_WRITE 1u /* net_out holds bytes for the peer */
#define EICE_WANT_READ 2u  /* net_in has room for bytes of the peer */
#define EICE_CAN_SEND 4u   /* app_in has room for bytes of the application */
#define EICE_HAVE_DATA 8u  /* app_out holds bytes for the application */
#define EICE_OPEN 16u      /* the handshake is complete */
#define EICE_DONE 32u      /* closed or failed: see the error; comes alone */

/* ---- whom to trust ----------------------------------------------------- */

/* Trust anchors in memory of the caller; nothing is to be freed. Read-only
 * once filled: any number of connections, in any threads, may share one. */
typedef struct eice_trust {
    uint8_t *memory;
    size_t cap;
    size_t count;   /* anchors, from the front */
    size_t data;    /* bytes of their names and keys, from the back */
    size_t skipped; /* certificates that could not be used */
} eice_trust;

/* What the built-in roots need, and these with the PEM texts of `pem_len`
 * bytes in all: an anchor is smaller than its certificate in PEM. */
#define EICE_TRUST_BUILTIN_BYTES 8192
#define EICE_TRUST_BYTES(pem_len) (EICE_TRUST_BUILTIN_BYTES + (pem_len))

/* `memory` is aligned like malloc's and outlives every use of the trust. */
EICE_API void eice_trust_init(eice_trust *t, void *memory, size_t cap);
/* Amazon Root CA 1 to 4 and Starfield Services Root CA G2
 * (https://www.amazontrust.com/repository/). EICE_E_LIMIT without room. */
EICE_API eice_err eice_trust_add_builtin(eice_trust *t);
/* Every certificate of a PEM text (RFC 7468; what is between them is
 * ignored): a CA's vouches for others, any other one for itself only. Those
 * that are malformed, or hold keys of other kinds than RSA and EC on P-256,
 * P-384 and P-521, are counted in `skipped`. EICE_E_CONFIG when none was
 * usable; EICE_E_LIMIT without room, what fitted stays. */
EICE_API eice_err eice_trust_add_pem(eice_trust *t, const char *pem,
                                     size_t len);

/* ---- connections ------------------------------------------------------- */

/* A session to be resumed (session ID, RFC 5246 7.3): a secret, good for the
 * host it was made with only (another host's is ignored) and for this build
 * of the library. A server that no longer knows it makes a full handshake.
 * Resuming checks no certificate again: drop it when the trust changes. */
typedef struct eice_tls_session {
    uint8_t bytes[96];
    size_t len; /* 0: none */
} eice_tls_session;

#define EICE_TLS_BYTES 4096      /* contexts, handshake memory apart */
#define EICE_TLS_X509_BYTES 3456 /* needed until the handshake is complete */
#define EICE_TLS_OUT_MIN 597     /* the smallest output buffer */
#define EICE_TLS_OVERHEAD 85     /* of a record in it, at most */

typedef struct eice_tls_opts {
    eice_str host;               /* required: a DNS name, for SNI and for the
                                    certificate; borrowed during init */
    const eice_trust *trust;     /* required; until OPEN */
    eice_drbg *random;           /* required; seeds this connection in init */
    int64_t unix_s;              /* required: for certificate dates */
    void *in;                    /* required: EICE_TLS_IN bytes */
    void *out;                   /* required */
    size_t out_len;              /* EICE_TLS_OUT_MIN at least; EICE_TLS_OUT is
                                    good */
    void *x509;                  /* required: EICE_TLS_X509_BYTES, aligned to
                                    8; the caller's again once OPEN */
    const eice_tls_session *session; /* or NULL; borrowed during init */
} eice_tls_opts;

/* A TLS 1.2 client: ECDHE with RSA or ECDSA certificates, AES-GCM or
 * ChaCha20-Poly1305, no renegotiation, no client certificate. Never moved
 * after init. No timer of its own: its owner limits the handshake. */
typedef struct eice_tls {
    uint64_t priv[EICE_TLS_BYTES / 8];
    eice_error error;
} eice_tls;

/* The hello is in net_out after it. EICE_E_ARGUMENT (a required option is
 * missing, the buffer is too small), EICE_E_TLS_NAME (the host is an IP
 * address or no DNS name: certificates are checked against DNS names only);
 * t->error tells. Later errors: EICE_E_TLS_UNTRUSTED, EICE_E_TLS_EXPIRED,
 * EICE_E_TLS_NAME, EICE_E_NET_RESET (the peer left during the handshake),
 * EICE_E_TLS (everything else; detail is BearSSL's number, or the alert the
 * peer sent). After init failed the only flag is DONE. */
EICE_API eice_err eice_tls_init(eice_tls *t, const eice_tls_opts *o);
/* After OPEN one of WANT_READ and HAVE_DATA is set unless the peer has closed
 * (close_notify): then nothing more will come and DONE follows when the last
 * bytes are written. */
EICE_API unsigned eice_tls_state(const eice_tls *t);
/* Each pair: where the bytes are or go and how many (0: none now), and how
 * many of them were used. Pointers hold until the next call that takes a
 * non-const eice_tls. */
EICE_API size_t eice_tls_net_out(eice_tls *t, const uint8_t **p);
EICE_API void eice_tls_net_out_ack(eice_tls *t, size_t n);
EICE_API size_t eice_tls_net_in(eice_tls *t, uint8_t **p);
EICE_API void eice_tls_net_in_ack(eice_tls *t, size_t n);
EICE_API size_t eice_tls_app_in(eice_tls *t, uint8_t **p);
EICE_API void eice_tls_app_in_ack(eice_tls *t, size_t n);
EICE_API size_t eice_tls_app_out(eice_tls *t, uint8_t **p);
EICE_API void eice_tls_app_out_ack(eice_tls *t, size_t n);
/* Sends what app_in has gathered, even a short record. A full record goes out
 * by itself. */
EICE_API void eice_tls_flush(eice_tls *t);
/* Sends what app_in has gathered and close_notify; DONE once it is out (the
 * peer's is not awaited, RFC 5246 7.2.1), at once before OPEN. What the peer
 * still sends is dropped. */
EICE_API void eice_tls_close(eice_tls *t);
/* The transport ended. What had come in whole records is still in app_out,
 * then DONE. Before OPEN this is an error; after it, without close_notify, it
 * is one only for the framing above, and t->error stays empty. */
EICE_API void eice_tls_eof(eice_tls *t);
/* After OPEN: what the next connection to this host may resume; `len` 0 when
 * the server gave no session ID. */
EICE_API void eice_tls_session_save(const eice_tls *t, eice_tls_session *s);
EICE_API bool eice_tls_resumed(const eice_tls *t);
EICE_API void eice_tls_wipe(eice_tls *t);

/* ======================================================================== *
 * 13 TUNNEL                                                      >>tunnel  *
 * ======================================================================== */

/* One tunnel through an EC2 Instance Connect Endpoint: TLS, the presigned
 * upgrade, WebSocket frames. One struct, no heap, no I/O, no clock.
 *
 *  init        TLS open        head sent         101, Accept right
 *  -----> TLS ---------> SEND ---------> WAIT ------------------> OPEN
 *          |              |               | other status           |
 *          | error        | error         v                        | close,
 *          |              |             BODY (code and text)       | Close,
 *          |              |               |                        | error
 *          v              v               v                        v
 *       CLOSED: DONE   <---------------------------------------  CLOSING
 *
 * The endpoint answers 101 before it dials the instance: `heard` tells when
 * the target has sent its first byte, the second half of "connected". */

/* All slices, `trust` and `session` are borrowed until EICE_OPEN or
 * EICE_DONE, `random` until EICE_DONE. */
typedef struct eice_tunnel_opts {
    eice_str host;            /* required: DNS name of the endpoint */
    eice_str endpoint_id;     /* required: eice-... */
    eice_str private_ip;      /* required: address of the instance */
    uint16_t port;            /* of the instance; 0 is 22 */
    uint32_t max_duration_s;  /* 1 to 3600; 0 is 3600 */
    eice_str region;          /* required: of the endpoint */
    eice_keys keys;           /* required */
    const eice_trust *trust;  /* required */
    eice_drbg *random;        /* required */
    const eice_tls_session *session; /* or NULL */
    eice_str user_agent;      /* or empty */
    int64_t unix_s;           /* required: wall clock at init ... */
    uint64_t now_ms;          /* ... which is this monotonic time */
    uint32_t tls_timeout_ms;     /* 0 is 15000 */
    uint32_t upgrade_timeout_ms; /* 0 is 15000: request to answer */
    uint32_t target_timeout_ms;  /* 0 is 20000: 101 to the first byte of the
                                    target; on other ports than 22, where the
                                    client may have to speak first, from the
                                    first byte sent; UINT32_MAX never */
    uint32_t ping_ms;            /* 0 is 60000: a ping when so long nothing
                                    came in; UINT32_MAX never */
    bool direct;                 /* no endpoint is between: bytes go as they
                                    are. Only private_ip (of any kind, or a
                                    name: it is for messages), port, now_ms
                                    and target_timeout_ms count */
} eice_tunnel_opts;

#define EICE_TUNNEL_BYTES 32768 /* the whole struct fits in this */
/* The largest frame that is sent: what the AWS CLI sends. */
#define EICE_TUNNEL_MAX_FRAME 65000u
#define EICE_TUNNEL_LINE_MAX 512   /* of a header line of the answer */
#define EICE_TUNNEL_BODY_KEPT 1024 /* of a refusal's body that is kept */

typedef enum eice_tunnel_phase {
    EICE_TUNNEL_TLS,
    EICE_TUNNEL_SEND,
    EICE_TUNNEL_WAIT,
    EICE_TUNNEL_BODY,
    EICE_TUNNEL_OPEN,
    EICE_TUNNEL_CLOSING,
    EICE_TUNNEL_CLOSED
} eice_tunnel_phase;

typedef struct eice_tunnel {
    /* Read-only for the caller. */
    eice_tunnel_phase phase;
    bool heard;            /* the target has sent a byte */
    bool tls_resumed;      /* known once phase is past TLS */
    unsigned close_code;   /* of the peer's Close (1005: it had none), 0
                              before it came */
    int64_t server_unix_s; /* Date of the answer, also of a refusal; 0 when
                              it had none or came out of a cache */
    char request_id[64];   /* x-amzn-requestid: name it to AWS's support */
    eice_error error;
    eice_tls tls;          /* after OPEN: eice_tls_session_save */
    struct {
        /* Needed in the handshake only, then for the request, its answer and
         * the frames: they share their memory. */
        union {
            uint64_t x509[EICE_TLS_X509_BYTES / 8];
            struct {
                eice_presigned url;
                eice_pair query[4];
                char number[2][6];   /* port and duration */
                eice_piece tail[8];  /* the head after its target */
                size_t tail_count;
                unsigned part;
                eice_rope_pos pos;
            } head;
            struct {
                eice_http http;
                char line[EICE_TUNNEL_LINE_MAX];
                char body[EICE_TUNNEL_BODY_KEPT];
                size_t body_len;     /* kept */
                size_t body_seen;    /* received */
                char aws_code[64];   /* x-amzn-errortype */
                unsigned seen;       /* which checks were passed */
            } answer;
            struct {
                eice_ws ws;
                uint8_t control[125]; /* payload of the one to be sent */
                uint8_t control_len;
                eice_ws_op control_op; /* EICE_WS_CONTINUATION: none */
                uint8_t masks[64];
                size_t masks_used;
            } frames;
        } u;
        eice_tunnel_opts o;
        char key[25];         /* Sec-WebSocket-Key */
        char endpoint[64];    /* for texts: the id ... */
        char target[56];      /* ... and address:port */
        uint64_t now_ms;
        uint64_t since_ms;    /* when the wait of this phase began */
        uint64_t opened_ms;   /* 101 came */
        uint64_t heard_ms;    /* bytes came last */
        uint64_t ping_ms;     /* a ping was queued or sent last */
        bool expecting;       /* the target's first byte is due */
        bool pinged;
        bool ping_out;        /* sent, and nothing came in since */
        bool pong_seen;
        bool eof;
        eice_err eof_why;
        size_t pending;       /* payload at the front of TLS's app_out, or
                                 of `in` when direct */
        size_t out_len;       /* direct: in `out` */
        uint8_t in[EICE_TLS_IN];
        uint8_t out[EICE_TLS_OUT];
    } priv;
} eice_tunnel;

/* Never moved after init. EICE_E_ARGUMENT (an option is missing or wrong),
 * EICE_E_TLS_NAME (host is no DNS name); the tunnel is then DONE.
 *
 * Later errors, in t->error: those of eice_tls_init and EICE_E_TLS_TIMEOUT;
 * EICE_E_UPGRADE_TIMEOUT, _REFUSED, _DENIED, _QUOTA (with http_status,
 * aws_code, request_id; compare server_unix_s with your clock, correct it and
 * try once more), EICE_E_HTTP, EICE_E_WS_PROTOCOL;
 * after OPEN EICE_E_TARGET_UNREACHABLE, EICE_E_TARGET_SILENT,
 * EICE_E_TUNNEL_CLOSED (detail is the code), EICE_E_TUNNEL_EXPIRED,
 * EICE_E_NET_TIMEOUT (a ping was not answered though one was before),
 * EICE_E_NET_RESET (no Close before the end). DONE without an error is a
 * normal end: Close 1000, or one without a code. Any error means a new
 * tunnel with a new struct. */
EICE_API eice_err eice_tunnel_init(eice_tunnel *t, const eice_tunnel_opts *o);
/* The flags of >>tls; EICE_OPEN after the 101. Without any flag the engine
 * waits for its deadline; DONE comes alone. */
EICE_API unsigned eice_tunnel_state(const eice_tunnel *t);
/* Pairs as in >>tls: pointers hold until the next call that takes a non-const
 * eice_tunnel. */
EICE_API size_t eice_tunnel_net_out(eice_tunnel *t, const uint8_t **p);
EICE_API void eice_tunnel_net_out_ack(eice_tunnel *t, size_t n);
EICE_API size_t eice_tunnel_net_in(eice_tunnel *t, uint8_t **p);
EICE_API void eice_tunnel_net_in_ack(eice_tunnel *t, size_t n);
/* The transport ended (EICE_OK) or failed (why, an EICE_E_NET_ code): what had
 * come in is still delivered first. */
EICE_API void eice_tunnel_net_eof(eice_tunnel *t, eice_err why);
/* Where the application's next bytes go; ack(n) makes them one frame. There
 * are no empty frames: ack(0) does nothing. */
EICE_API size_t eice_tunnel_app_in(eice_tunnel *t, uint8_t **p);
EICE_API void eice_tunnel_app_in_ack(eice_tunnel *t, size_t n);
/* Bytes of the target. What came before the peer's Close, the end of TLS or
 * of the transport is delivered first, then DONE is set. */
EICE_API size_t eice_tunnel_app_out(eice_tunnel *t, const uint8_t **p);
EICE_API void eice_tunnel_app_out_ack(eice_tunnel *t, size_t n);
/* Sends Close 1000 and is DONE as soon as it is out, or a second later; there
 * is no half-close in a tunnel. Bytes of the target not yet taken are lost.
 * Safe in any phase, and twice. */
EICE_API void eice_tunnel_close(eice_tunnel *t);
/* Tells the time; it counts for all that follows. Call it before bytes are
 * handed over, and when the deadline has come: deadlines run only by this. */
EICE_API void eice_tunnel_tick(eice_tunnel *t, uint64_t now_ms);
/* When to call eice_tunnel_tick at the latest, in the time of now_ms;
 * UINT64_MAX: no need. */
EICE_API uint64_t eice_tunnel_deadline(const eice_tunnel *t);
/* Forgets keys and data; the tunnel is DONE. Call it when you are through
 * with the struct. */
EICE_API void eice_tunnel_wipe(eice_tunnel *t);
/* ======================================================================== *
 * 14 CREDENTIALS AND CONFIGURATION                                 >>cred  *
 * ======================================================================== */

/* Whose keys, which region, which endpoints, proxies and roots: what AWS
 * tools find in the environment and in ~/.aws before they call anything.
 *
 * Level: cloud; calls 2, 6, 8. No I/O: it asks for variables and files and is
 * told. Memory: one blob holds every text that was answered, wiped at the
 * end; allocations only there. Trusts the environment and the files as far as
 * their owner is concerned; their text is taken to be malformed at will.
 * Sources: AWS SDKs and Tools Reference Guide ("Shared config and credentials
 * files", "Settings reference"); botocore where the guide is silent. */

/* ---- needs ------------------------------------------------------------- */

/* What a machine without I/O asks of its driver. Needs are answered in any
 * order, each once, by their id. */
typedef enum eice_need_kind {
    EICE_NEED_NONE,
    EICE_NEED_ENV,     /* name: a variable. Answer: data, or absent; set but
                          empty is not absent */
    EICE_NEED_FILE,    /* name: a path ("~/" is the home directory). Answer:
                          data, at most `max` bytes, or absent */
    EICE_NEED_RANDOM,  /* answer: `max` bytes of entropy */
    EICE_NEED_RESOLVE, /* name: a host. Answer: addresses */
    EICE_NEED_DIAL,    /* ip, port, slot: open TCP. Answer: code only, when it
                          is connected or has failed */
    EICE_NEED_STORE,   /* name: a path; text: a line to add to it, under a
                          lock, atomically, mode 0600. Answer: code */
    EICE_NEED_HOSTKEY, /* name: host; text: key blob. Answer: EICE_OK accepts,
                          any other code refuses */
    EICE_NEED_FETCH,   /* name: host; port, tls: send `text`, a whole request
                          of HTTP, there, without a proxy if `direct`.
                          Answer: status, data: the body, at most `max` bytes,
                          or a code and, in data, why. At most `attempts`
                          tries of timeout_ms each: again when none came, or
                          one of status 429 or from 500 on. eice_conn does
                          this itself */
    EICE_NEED_STS,     /* name: AssumeRole, signed with `keys`, or
                          AssumeRoleWithWebIdentity, not signed; params: its
                          parameters. Answer: data: the body of an answer that
                          is OK, or a code and `error`. eice_conn does this
                          itself */
    EICE_NEED_PROMPT,  /* name: what to ask the user for. Answer: data: a line,
                          or a code. It may take minutes */
    EICE_NEED_PROCESS, /* argv: run it without a shell, its input empty.
                          Answer: data: what it wrote, at most `max` bytes,
                          when it ended with status 0 within timeout_ms; or a
                          code and `error`, with what it said */
    EICE_NEED_TIME,    /* answer: unix_s. eice_conn does this itself */
    EICE_NEED_SAVE     /* name: a path; text: what the file holds from now on,
                          atomically, mode 0600. Answer: code */
} eice_need_kind;

typedef struct eice_need {
    eice_need_kind kind;
    uint32_t id;
    eice_str name; /* valid until the need is answered */
    eice_str text;
    size_t max;
    eice_ip ip;
    uint16_t port;
    int slot;
    bool tls;              /* the rest: FETCH */
    bool direct;
    uint32_t timeout_ms;   /* PROCESS, too */
    unsigned attempts;
    const eice_pair *params; /* STS */
    size_t param_count;
    const eice_keys *keys;   /* STS: NULL for a call that is not signed */
    char *const *argv;       /* PROCESS: ends with NULL */
} eice_need;

typedef struct eice_answer {
    eice_err code;         /* EICE_OK, or why there is none */
    bool absent;           /* ENV: not set. FILE: does not exist (code OK) */
    eice_str data;         /* copied before eice_..._answer returns */
    const eice_addresses *addresses;
    int sys_errno;         /* behind `code`, or 0 */
    unsigned status;       /* FETCH: of HTTP */
    eice_str request_id;   /* FETCH: of AWS, or empty */
    int64_t unix_s;        /* TIME */
    const eice_error *error; /* STS, FETCH, PROMPT, PROCESS: all about `code`,
                                or NULL */
} eice_answer;

/* ---- settings ---------------------------------------------------------- */

typedef enum eice_service {
    EICE_SERVICE_EC2,
    EICE_SERVICE_EIC, /* EC2 Instance Connect */
    EICE_SERVICE_STS,
    EICE_SERVICE_SSO, /* the portal of IAM Identity Center */
    EICE_SERVICE_OIDC, /* what renews its tokens */
    EICE_SERVICE_COUNT
} eice_service;

/* The configuration in force, as NUL-terminated texts; "" where nothing is
 * set, never NULL. Those an eice_cred fills in live as long as it does. */
typedef struct eice_settings {
    const char *profile;      /* "default" when none is named */
    const char *region;
    const char *endpoint_url[EICE_SERVICE_COUNT];
    const char *ca_bundle;    /* a path; "~/" is the home directory */
    const char *https_proxy;
    const char *http_proxy;
    const char *no_proxy;
    unsigned max_attempts;    /* of one call, the first included: 3 */
    bool fips;
    bool dualstack;
} eice_settings;

/* Settings with nothing set: for callers that have no files or environment. */
EICE_API void eice_settings_init(eice_settings *s);

typedef struct eice_place {
    bool tls;
    eice_str host; /* without brackets */
    uint16_t port;
    eice_str path; /* "/" or what the endpoint URL has */
} eice_place;

/* Where a service is: the settings' endpoint URL, or the template of the
 * region's partition (a region of no known partition is taken for one of
 * "aws"). `host` and `path` point into `text` (256 bytes are enough) or into
 * the settings. EICE_E_CONFIG: a malformed URL or region, or a URL together
 * with FIPS or dual-stack; EICE_E_NO_REGION; EICE_E_LIMIT: `text` is full. */
EICE_API eice_err eice_aws_place(const eice_settings *s, eice_service service,
                                 eice_buf *text, eice_place *place,
                                 eice_error *e);

/* A value given here comes before the environment, which comes before the
 * profile. All texts and keys are borrowed for the life of the machine. */
typedef struct eice_cred_opts {
    const eice_alloc *alloc;
    const char *profile;     /* or NULL: AWS_PROFILE, AWS_DEFAULT_PROFILE. A
                                profile named here switches the keys in the
                                environment off, AWS_PROFILE does not */
    const char *region;      /* or NULL: AWS_REGION, AWS_DEFAULT_REGION */
    const char *ca_bundle;   /* or NULL: AWS_CA_BUNDLE, the profile,
                                REQUESTS_CA_BUNDLE, SSL_CERT_FILE */
    const char *proxy;       /* or NULL: HTTPS_PROXY, ... ; "" for none */
    bool fips;
    bool dualstack;
    bool region_optional;    /* no error without one */
    const eice_keys *keys;   /* given keys come before every provider */
    eice_str web_identity_token; /* or empty. A given token comes right after
                                    them: for the role of role_arn, or that of
                                    AWS_ROLE_ARN or the profile */
    const char *role_arn;
    uint32_t process_timeout_ms; /* of a credential_process; 0 is 300000: it
                                    may wait for the user */
} eice_cred_opts;

#define EICE_CRED_VARIABLES 60 /* of the environment, at most */

/* One resolution:
 *
 *   init --> VARIABLES --all answered--> FILES --both answered--> LATE --> DONE
 *                |                         |                       |        ^
 *                +------ any failure ------+-----------------------+--------+
 *
 * All variables are asked for at once, then both files. Providers are tried
 * in the order of the SDKs: given keys; given token; environment; role_arn;
 * web identity; IAM Identity Center; credentials file; login;
 * credential_process; config file; container; instance metadata (version 2
 * only). Those that call a service ask for one thing after the other, LATE;
 * so does a missing region, of the instance metadata. One that finds
 * something broken ends the search: what a profile asks for is never passed
 * over in silence.
 *
 * A profile with a role_arn names where the keys come from that AssumeRole is
 * called with: a credential_source, or a source_profile, which may have a
 * role_arn in turn (up to EICE_CRED_CHAIN profiles). The chain is followed to
 * its end first; then the roles are assumed, the last one's first. */
#define EICE_CRED_CHAIN 8

typedef struct eice_cred {
    eice_settings settings;
    eice_keys keys;
    char provider[128];  /* where the keys came from, for people: "given",
                            "environment", "profile NAME (FILE)",
                            "container (HOST)", "instance role NAME",
                            "web identity as ROLE", "SSO role NAME of
                            ACCOUNT (profile NAME)", "login of profile
                            NAME", "role ARN (profile
                            NAME)", "credential_process of profile NAME" */
    int64_t expires_unix_s; /* of the keys; 0: not known */
    char warning[256];   /* for people: what went wrong besides; or "" */
    eice_error error;
    struct {
        eice_cred_opts o;
        eice_blob store;     /* all texts, in one place, wiped at the end */
        unsigned state;
        unsigned asked;      /* needs handed out */
        uint64_t answered;   /* bit per need */
        uint32_t env[EICE_CRED_VARIABLES]; /* place in store + 1; 0: unset */
        uint32_t file[2];    /* likewise: credentials, config; 0: absent */
        uint32_t file_len[2];
        char path[2][512];
        char region[64];
        eice_need need;      /* in state LATE: the one that is open */
        int (*next)(struct eice_cred *c, const eice_answer *a);
        eice_url url;        /* of the service that is asked */
        eice_blob text;      /* the request */
        eice_blob got;       /* keys that were answered */
        eice_blob doc;       /* JSON that is sent or saved */
        eice_blob run;       /* what the files say, while it is looked at */
        const char *imds;
        unsigned imds_ms;
        unsigned imds_attempts;
        char token[256];
        char role[80];
        eice_pair params[6]; /* for STS */
        char why[160];       /* the last provider found nothing */
    } priv;
} eice_cred;

/* Starts a resolution. Once it is done the struct may not be moved. Nothing
 * is allocated yet. EICE_OK, or EICE_E_CONFIG when o->region is malformed:
 * then it is done already. */
EICE_API eice_err eice_cred_init(eice_cred *c, const eice_cred_opts *o);
/* The next need that was not handed out yet (ENV, FILE, FETCH and STS);
 * false when there is none for now. Ids of ENV are 0, 1, 2, ... */
EICE_API bool eice_cred_need(eice_cred *c, eice_need *need);
/* Answers a need by its id; an unknown id and a second answer are ignored. A
 * code other than EICE_OK ends the resolution. */
EICE_API void eice_cred_answer(eice_cred *c, uint32_t id,
                               const eice_answer *a);
/* True when settings and keys stand, or c->error says why not:
 *   CONFIG          a file cannot be read or is malformed, or a value is not
 *                   what it must be
 *   PROFILE         the profile named is in neither file
 *   NO_REGION       (unless region_optional)
 *   NO_CREDENTIALS  no provider found any
 *   CREDENTIALS     incomplete or malformed keys
 *   CREDENTIALS_EXPIRED  nobody is logged in (SSO, login): the remedy names
 *                   the command
 *   LIMIT, MEMORY   an answer was too long; no memory
 * With the last four, and NO_REGION, the settings found so far stay. */
EICE_API bool eice_cred_done(const eice_cred *c);
/* Wipes everything, borrowed keys excepted; safe twice. */
EICE_API void eice_cred_wipe(eice_cred *c);

/* A Region's name can stand in a host name (it may come from a file somebody
 * else wrote): one label of lower-case letters, digits and inner hyphens. */
EICE_API bool eice_region_ok(eice_str region);

/* The proxy for a connection to host:port; false when it goes directly, or,
 * with `e` set (EICE_E_CONFIG), when the proxy's URL is malformed. The URL
 * may lack a scheme: http then. `proxy` points into the settings; its user is
 * still percent-encoded. `tls` chooses https_proxy or http_proxy.
 *
 * no_proxy is a list separated by commas or white space: "*", a domain (it
 * stands for itself and all below it; a leading "." or "*." changes nothing),
 * an address, a CIDR block, each but "*" and a block also with ":port".
 * Addresses match addresses only: names are not resolved for this. Loopback
 * ("localhost" too) and link-local addresses are never proxied. */
EICE_API bool eice_proxy_for(const eice_settings *s, bool tls, eice_str host,
                             uint16_t port, eice_url *proxy, eice_error *e);

/* ======================================================================== *
 * 15 AWS CALLS                                                      >>aws  *
 * ======================================================================== */

#if EICE_HAS_AWS

/* The calls of EC2, EC2 Instance Connect and STS that reaching, setting up
 * and mending need: request in bytes, answer in fields.
 *
 * Level: cloud; calls 2, 5, 6, 8, 14. No I/O, no clock. Memory: requests and
 * bodies in blobs, through the caller's allocator; nothing else. Trusts
 * nothing that comes in: it may be a proxy's page as well. What a call sends,
 * which fields are read out of its answer and what an error code means are
 * tables; an unknown element or code is never an error of its own.
 * Sources: EC2 API Reference 2016-11-15, EC2 Instance Connect API Reference
 * 2018-04-02, STS API Reference 2011-06-15. */

/* X(name, name on the wire, service, flag, item, parameters, fields)
 *
 * flag         'P': comes in pages; 'T': takes a ClientToken (one is made when
 *              none is given, and kept over retries); 'U': unsigned
 * item         where the answer has what eice_aws_items hands out: elements
 *              below the root with '/' between them; "" is the root itself
 * parameters   as they go into the request, N a number from 1 on. Calls with
 *              the flag P take MaxResults and NextToken besides; those of EC2
 *              take DryRun, and where F stands Filter.N.Name and
 *              Filter.N.Value.N
 * fields       below an item, for eice_item_get; "tagSet" holds item/key and
 *              item/value. Others that AWS sends can be read as well
 *
 * Parameters and fields serve who reads this, and the tests; the library
 * sends and reads any name. */
#define EICE_OP_LIST(X)                                                       \
    X(DESCRIBE_INSTANCES, "DescribeInstances", EC2, 'P',                      \
      "reservationSet/item/instancesSet/item", "F InstanceId.N",              \
      "instanceId imageId instanceType keyName launchTime architecture "      \
      "instanceState/name stateReason/code stateReason/message reason "       \
      "vpcId subnetId privateIpAddress privateDnsName ipAddress dnsName "     \
      "ipv6Address placement/availabilityZone platform platformDetails "      \
      "groupSet/item/groupId groupSet/item/groupName "                        \
      "networkInterfaceSet/item/networkInterfaceId "                          \
      "networkInterfaceSet/item/subnetId "                                    \
      "networkInterfaceSet/item/groupSet/item/groupId "                       \
      "networkInterfaceSet/item/privateIpAddress "                            \
      "networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address "           \
      "networkInterfaceSet/item/attachment/deviceIndex "                      \
      "metadataOptions/httpTokens metadataOptions/httpEndpoint "              \
      "iamInstanceProfile/arn tagSet")                                        \
    X(DESCRIBE_ENDPOINTS, "DescribeInstanceConnectEndpoints", EC2, 'P',       \
      "instanceConnectEndpointSet/item", "F InstanceConnectEndpointId.N",     \
      EICEI_ENDPOINT_FIELDS)                                                  \
    X(SEND_SSH_PUBLIC_KEY, "SendSSHPublicKey", EIC, '-', "",                  \
      "InstanceId InstanceOSUser SSHPublicKey AvailabilityZone",              \
      "RequestId Success")                                                    \
    X(GET_CALLER_IDENTITY, "GetCallerIdentity", STS, '-',                     \
      "GetCallerIdentityResult", "", "Account Arn UserId")                    \
    X(ASSUME_WEB_IDENTITY, "AssumeRoleWithWebIdentity", STS, 'U',             \
      "AssumeRoleWithWebIdentityResult",                                      \
      "RoleArn RoleSessionName WebIdentityToken DurationSeconds",             \
      "Credentials/AccessKeyId Credentials/SecretAccessKey "                  \
      "Credentials/SessionToken Credentials/Expiration "                      \
      "AssumedRoleUser/Arn")                                                  \
    X(ASSUME_ROLE, "AssumeRole", STS, '-', "AssumeRoleResult",                \
      "RoleArn RoleSessionName DurationSeconds ExternalId SerialNumber "      \
      "TokenCode",                                                            \
      "Credentials/AccessKeyId Credentials/SecretAccessKey "                  \
      "Credentials/SessionToken Credentials/Expiration "                      \
      "AssumedRoleUser/Arn")                                                  \
    X(CREATE_ENDPOINT, "CreateInstanceConnectEndpoint", EC2, 'T',             \
      "instanceConnectEndpoint",                                              \
      "SubnetId SecurityGroupId.N PreserveClientIp IpAddressType "            \
      "ClientToken TagSpecification.N.ResourceType "                          \
      "TagSpecification.N.Tag.N.Key TagSpecification.N.Tag.N.Value",          \
      EICEI_ENDPOINT_FIELDS)                                                  \
    X(MODIFY_ENDPOINT, "ModifyInstanceConnectEndpoint", EC2, '-', "",         \
      "InstanceConnectEndpointId SecurityGroupId.N IpAddressType "            \
      "PreserveClientIp",                                                     \
      "return")                                                               \
    X(DELETE_ENDPOINT, "DeleteInstanceConnectEndpoint", EC2, '-',             \
      "instanceConnectEndpoint", "InstanceConnectEndpointId",                 \
      EICEI_ENDPOINT_FIELDS)                                                  \
    X(DESCRIBE_GROUPS, "DescribeSecurityGroups", EC2, 'P',                    \
      "securityGroupInfo/item", "F GroupId.N GroupName.N",                    \
      "groupId groupName groupDescription vpcId ownerId tagSet "              \
      EICEI_PERMISSION_FIELDS("ipPermissions/item/") " "                      \
      EICEI_PERMISSION_FIELDS("ipPermissionsEgress/item/"))                   \
    X(DESCRIBE_GROUP_RULES, "DescribeSecurityGroupRules", EC2, 'P',           \
      "securityGroupRuleSet/item", "F SecurityGroupRuleId.N",                 \
      EICEI_RULE_FIELDS)                                                      \
    X(DESCRIBE_SUBNETS, "DescribeSubnets", EC2, 'P', "subnetSet/item",        \
      "F SubnetId.N",                                                         \
      "subnetId subnetArn state vpcId ownerId cidrBlock "                     \
      "availableIpAddressCount availabilityZone availabilityZoneId "          \
      "defaultForAz mapPublicIpOnLaunch ipv6Native "                          \
      "ipv6CidrBlockAssociationSet/item/ipv6CidrBlock "                       \
      "ipv6CidrBlockAssociationSet/item/ipv6CidrBlockState/state tagSet")     \
    X(DESCRIBE_VPCS, "DescribeVpcs", EC2, 'P', "vpcSet/item", "F VpcId.N",    \
      "vpcId ownerId state cidrBlock "                                        \
      "cidrBlockAssociationSet/item/cidrBlock "                               \
      "cidrBlockAssociationSet/item/cidrBlockState/state "                    \
      "ipv6CidrBlockAssociationSet/item/ipv6CidrBlock "                       \
      "ipv6CidrBlockAssociationSet/item/ipv6CidrBlockState/state "            \
      "isDefault dhcpOptionsId instanceTenancy tagSet")                       \
    X(DESCRIBE_INTERFACES, "DescribeNetworkInterfaces", EC2, 'P',             \
      "networkInterfaceSet/item", "F NetworkInterfaceId.N",                   \
      "networkInterfaceId subnetId vpcId availabilityZone description "       \
      "ownerId requesterId interfaceType status privateIpAddress "            \
      "privateIpAddressesSet/item/privateIpAddress "                          \
      "ipv6AddressesSet/item/ipv6Address groupSet/item/groupId "              \
      "groupSet/item/groupName attachment/instanceId tagSet")                 \
    X(DESCRIBE_IMAGES, "DescribeImages", EC2, '-', "imagesSet/item",          \
      "F ImageId.N Owner.N ExecutableBy.N",                                   \
      "imageId name description imageOwnerId imageOwnerAlias imageState "     \
      "imageLocation architecture platform platformDetails creationDate "     \
      "rootDeviceName tagSet")                                                \
    X(DESCRIBE_REGIONS, "DescribeRegions", EC2, '-', "regionInfo/item",       \
      "F RegionName.N AllRegions", "regionName regionEndpoint optInStatus")   \
    X(DESCRIBE_ROUTE_TABLES, "DescribeRouteTables", EC2, 'P',                 \
      "routeTableSet/item", "F RouteTableId.N",                               \
      "routeTableId vpcId associationSet/item/subnetId "                      \
      "associationSet/item/main routeSet/item/destinationCidrBlock "          \
      "routeSet/item/destinationIpv6CidrBlock routeSet/item/gatewayId "       \
      "routeSet/item/state tagSet")                                           \
    X(DESCRIBE_ACLS, "DescribeNetworkAcls", EC2, 'P', "networkAclSet/item",   \
      "F NetworkAclId.N",                                                     \
      "networkAclId vpcId default associationSet/item/subnetId "              \
      "entrySet/item/ruleNumber entrySet/item/protocol "                      \
      "entrySet/item/ruleAction entrySet/item/egress "                        \
      "entrySet/item/cidrBlock entrySet/item/ipv6CidrBlock "                  \
      "entrySet/item/portRange/from entrySet/item/portRange/to tagSet")       \
    X(AUTHORIZE_INGRESS, "AuthorizeSecurityGroupIngress", EC2, '-',           \
      "securityGroupRuleSet/item",                                            \
      EICEI_PERMISSIONS EICEI_RULE_TAGS, EICEI_RULE_FIELDS)                   \
    X(AUTHORIZE_EGRESS, "AuthorizeSecurityGroupEgress", EC2, '-',             \
      "securityGroupRuleSet/item",                                            \
      EICEI_PERMISSIONS EICEI_RULE_TAGS, EICEI_RULE_FIELDS)                   \
    X(REVOKE_INGRESS, "RevokeSecurityGroupIngress", EC2, '-', "",             \
      EICEI_PERMISSIONS " SecurityGroupRuleId.N", "return")                   \
    X(REVOKE_EGRESS, "RevokeSecurityGroupEgress", EC2, '-', "",               \
      EICEI_PERMISSIONS " SecurityGroupRuleId.N", "return")                   \
    X(CREATE_TAGS, "CreateTags", EC2, '-', "",                                \
      "ResourceId.N Tag.N.Key Tag.N.Value", "")                               \
    X(GET_CONSOLE_OUTPUT, "GetConsoleOutput", EC2, '-', "",                   \
      "InstanceId Latest", "instanceId timestamp output")                     \
    X(GET_SERIAL_ACCESS, "GetSerialConsoleAccessStatus", EC2, '-', "", "",    \
      "serialConsoleAccessEnabled")                                           \
    X(ENABLE_SERIAL_ACCESS, "EnableSerialConsoleAccess", EC2, '-', "", "",    \
      "serialConsoleAccessEnabled")                                           \
    X(SEND_SERIAL_KEY, "SendSerialConsoleSSHPublicKey", EIC, '-', "",         \
      "InstanceId SerialPort SSHPublicKey", "RequestId Success")              \
    X(DECODE_MESSAGE, "DecodeAuthorizationMessage", STS, '-',                 \
      "DecodeAuthorizationMessageResult", "EncodedMessage", "DecodedMessage")

#define EICEI_ENDPOINT_FIELDS                                                 \
    "instanceConnectEndpointId instanceConnectEndpointArn ownerId state "     \
    "stateMessage dnsName fipsDnsName networkInterfaceIdSet/item vpcId "      \
    "availabilityZone createdAt subnetId preserveClientIp "                   \
    "securityGroupIdSet/item ipAddressType publicDnsNames/ipv4/dnsName "      \
    "publicDnsNames/ipv4/fipsDnsName publicDnsNames/dualstack/dnsName "       \
    "publicDnsNames/dualstack/fipsDnsName tagSet"
#define EICEI_PERMISSION_FIELDS(at)                                           \
    at "ipProtocol " at "fromPort " at "toPort " at "groups/item/groupId "    \
    at "groups/item/userId " at "groups/item/description "                    \
    at "ipRanges/item/cidrIp " at "ipRanges/item/description "                \
    at "ipv6Ranges/item/cidrIpv6 " at "ipv6Ranges/item/description "          \
    at "prefixListIds/item/prefixListId"
#define EICEI_RULE_FIELDS                                                     \
    "securityGroupRuleId groupId groupOwnerId isEgress ipProtocol fromPort "  \
    "toPort cidrIpv4 cidrIpv6 prefixListId referencedGroupInfo/groupId "      \
    "referencedGroupInfo/userId referencedGroupInfo/vpcId description tagSet"
#define EICEI_PERMISSIONS                                                     \
    "GroupId IpPermissions.N.IpProtocol IpPermissions.N.FromPort "            \
    "IpPermissions.N.ToPort IpPermissions.N.Groups.N.GroupId "                \
    "IpPermissions.N.Groups.N.UserId IpPermissions.N.Groups.N.Description "   \
    "IpPermissions.N.IpRanges.N.CidrIp "                                      \
    "IpPermissions.N.IpRanges.N.Description "                                 \
    "IpPermissions.N.Ipv6Ranges.N.CidrIpv6 "                                  \
    "IpPermissions.N.Ipv6Ranges.N.Description "                               \
    "IpPermissions.N.PrefixListIds.N.PrefixListId"
#define EICEI_RULE_TAGS                                                       \
    " TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key "          \
    "TagSpecification.N.Tag.N.Value"

typedef enum eice_op {
#define EICEI_X(name, wire, service, flag, item, params, fields)              \
    EICE_OP_##name,
    EICE_OP_LIST(EICEI_X)
#undef EICEI_X
    EICE_OP_COUNT
} eice_op;

/* "DescribeInstances", ... */
EICE_API const char *eice_op_name(eice_op op);
EICE_API eice_service eice_op_service(eice_op op);
EICE_API bool eice_op_takes_token(eice_op op); /* ClientToken */
/* What it is signed for, and named in IAM: "ec2", "ec2-instance-connect";
 * IAM's word for an operation is SERVICE:NAME. */
EICE_API const char *eice_service_name(eice_service service);

/* ---- requests ---------------------------------------------------------- */

/* Parameters of a request, put together in memory of the caller: what is
 * added is copied into `text`, whose overflow stays set. */
#define EICE_MAX_PARAMS 64
typedef struct eice_params {
    eice_pair list[EICE_MAX_PARAMS];
    size_t count;
    eice_buf text;
} eice_params;

EICE_API void eice_params_init(eice_params *p, void *memory, size_t cap);
/* One parameter, named as on the wire; '#' in a name stands for the next
 * number of what has the same beginning: "InstanceId.#". */
EICE_API void eice_param(eice_params *p, const char *name, eice_str value);
/* A filter; of several with one name in a row one value has to fit. '*' and
 * '?' in values are wildcards of EC2, and '\' makes them plain. */
EICE_API void eice_param_filter(eice_params *p, const char *name,
                                eice_str value);
/* A text as the value of a filter that matches nothing else. */
EICE_API void eice_put_filter_text(eice_buf *b, eice_str text);

/* One request of an operation. Parameters are named as on the wire:
 * "InstanceId.1", "Filter.1.Name"; for JSON operations "InstanceId". */
typedef struct eice_aws_request {
    eice_op op;
    const eice_pair *params;
    size_t param_count;
    eice_str next_token;     /* of the page before, or empty */
    eice_str client_token;   /* or empty; for operations that take one */
    bool dry_run;            /* of EC2: ask whether it would be allowed */
    bool paged;              /* ask for pages of the largest size, unless
                                parameters name what is wanted by id */
    const eice_place *place;
    eice_str region;
    eice_keys keys;
    int64_t unix_s;
    eice_str user_agent;
    bool proxied_plain;      /* absolute-form target, RFC 9112 3.2.2 */
    eice_str proxy_user;     /* for it: "user:password" as in the URL */
} eice_aws_request;

/* Adds head and body of the signed request to `out`, which then holds a
 * session token. EICE_E_ARGUMENT: empty keys or region, or a value that does
 * not fit into a header; EICE_E_LIMIT; EICE_E_MEMORY. */
EICE_API eice_err eice_aws_write(const eice_aws_request *r, eice_blob *out,
                                 eice_error *e);

/* ---- answers ----------------------------------------------------------- */

/* How to go on after an answer. */
typedef enum eice_verdict {
    EICE_VERDICT_OK,
    EICE_VERDICT_FINAL,    /* an error that stays */
    EICE_VERDICT_RETRY,    /* after a pause */
    EICE_VERDICT_THROTTLED,/* the same, for another reason */
    EICE_VERDICT_NOTHING,  /* an error that is none: a dry run would have been
                              allowed (DryRunOperation); the rule to be added
                              is there, or the one to be taken is not */
    EICE_VERDICT_CLOCK     /* the clock may be the reason: when it is more than
                              EICE_CLOCK_SLACK_S off server_unix_s, sign again
                              with that, once; otherwise as FINAL */
} eice_verdict;

#define EICE_CLOCK_SLACK_S 300

/* One answer: fed from a byte stream, kept whole, then read. */
typedef struct eice_aws_reply {
    unsigned status;
    bool keep_alive;        /* the connection takes another request */
    int64_t server_unix_s;  /* Date; 0 without one, or with Age: a cache's */
    uint32_t retry_after_ms; /* x-amz-retry-after, or 0 */
    char request_id[64];
    eice_blob body;
    eice_http http;
    char error_type[128];   /* x-amzn-query-error, or x-amzn-errortype */
    char line[2048];
    struct {
        bool cached;        /* Age was there */
        bool query_error;   /* error_type is of x-amzn-query-error */
        bool begun;         /* a byte came in */
    } priv;
} eice_aws_reply;

EICE_API void eice_aws_reply_init(eice_aws_reply *r, const eice_alloc *alloc);
/* Consumes from *in; true when the answer is complete, or broken: `e` is set
 * then (EICE_E_HTTP, EICE_E_LIMIT above EICE_MAX_BODY, EICE_E_MEMORY). */
EICE_API bool eice_aws_reply_feed(eice_aws_reply *r, eice_str *in,
                                  eice_error *e);
/* The stream ended. False: before the first byte of an answer (a connection
 * kept alive for too long: send the request again on a new one), `e` is left
 * alone. True: the answer is complete, or broken, then `e` is set
 * (EICE_E_NET_RESET). */
EICE_API bool eice_aws_reply_eof(eice_aws_reply *r, eice_error *e);
/* Judges a complete answer; anything but OK and NOTHING fills `e`: AWS code,
 * request id, status, text, remedy. A body that is not of AWS is judged by
 * the status. */
EICE_API eice_verdict eice_aws_judge(const eice_aws_reply *r, eice_op op,
                                     eice_error *e);
/* The encoded authorization message of a denial: what DECODE_MESSAGE takes.
 * Nothing when there is none. */
EICE_API void eice_aws_encoded(const eice_aws_reply *r, eice_buf *out);
/* Wipes and frees; a new answer begins with eice_aws_reply_init. */
EICE_API void eice_aws_reply_free(eice_aws_reply *r);

/* ---- items ------------------------------------------------------------- */

/* An element of an answer with all that is in it, in the memory of the
 * answer. Items can be copied; they live as long as the answer does. */
typedef struct eice_item {
    eice_str doc; /* its text, from "<" to ">", or "{" to "}" */
} eice_item;

/* A walk over elements of one kind, in their order. */
typedef struct eice_items {
    const char *path;
    const char *root;  /* what the root must be called; NULL: anything */
    bool failed;       /* the text is malformed, or of another call */
    eice_xml xml;
} eice_items;

/* The items of a page of a call's answer: see EICE_OP_LIST. */
EICE_API void eice_aws_items(const eice_aws_reply *r, eice_op op,
                             eice_items *items);
/* The elements at a path below an item: "tagSet/item". */
EICE_API void eice_items_in(const eice_item *item, const char *path,
                            eice_items *items);
/* The next one; false at the end, and with `failed` where the text is
 * malformed. The last one was the last only when this was called again. */
EICE_API bool eice_items_next(eice_items *items, eice_item *item);
/* Writes the text of the first element at a path ("" is the item itself) as a
 * C string: cut to fit, controls are '?'; "" when there is none. Returns
 * `out`. Of what is longer than 1 KiB see eice_item_raw. */
EICE_API const char *eice_item_get(const eice_item *item, const char *path,
                                   char *out, size_t cap);
/* Whether there is such an element, with that text. */
EICE_API bool eice_item_is(const eice_item *item, const char *path,
                           const char *text);
/* The text as it came, references unresolved: fine for base64. False when the
 * element is absent. */
EICE_API bool eice_item_raw(const eice_item *item, const char *path,
                            eice_str *raw);
/* The value of a tag, as eice_item_get does. */
EICE_API const char *eice_item_tag(const eice_item *item, const char *key,
                                   char *out, size_t cap);
/* The token of the next page; empty after the last one. */
EICE_API void eice_aws_next_token(const eice_aws_reply *r, eice_buf *out);

/* ---- results ----------------------------------------------------------- */

/* What the operations return, field by field; "" where absent. Texts for
 * people (name, reason, message) are cut to fit; for all others that would
 * be an error. Controls become '?'. */
typedef struct eice_instance {
    char id[40];
    char name[256];        /* tag Name */
    char state[24];        /* pending running stopping stopped ... */
    char state_reason[160];
    char vpc_id[40];
    char subnet_id[40];
    char az[64];
    char private_ip[EICE_IP_TEXT];
    char public_ip[EICE_IP_TEXT];
    char ipv6[EICE_IP_TEXT];
    char private_dns[256];
    char image_id[40];
    char platform[64];     /* "Linux/UNIX", "Windows", ... */
    char launch_time[32];
    char type[40];
    char metadata[16];     /* "disabled": the instance cannot fetch keys */
} eice_instance;

typedef struct eice_endpoint {
    char id[48];
    char state[32];
    char state_message[256];
    char vpc_id[40];
    char subnet_id[40];
    char az[64];
    char dns[256];
    char fips_dns[256];
    char dns4[256];        /* publicDnsNames/ipv4/dnsName */
    char fips_dns4[256];
    char dns_dual[256];
    char fips_dns_dual[256];
    char ip_type[16];      /* ipv4, dualstack, ipv6 */
    bool preserve_client_ip;
} eice_endpoint;

typedef struct eice_identity {
    char account[16];
    char arn[256];
    char user_id[160];
} eice_identity;

/* Calls `item` with each element of a list answer; stops when it returns
 * false (EICE_OK then, and no token). `next_token`, which may be NULL, gets
 * the token of the next page; empty after the last one. A page may hold no
 * element and yet a token. EICE_E_AWS: a malformed answer, or one of another
 * operation; what came before the place was handed out. */
EICE_API eice_err eice_aws_instances(const eice_aws_reply *r,
                                     bool (*item)(void *user,
                                                  const eice_instance *i),
                                     void *user, eice_buf *next_token,
                                     eice_error *e);
EICE_API eice_err eice_aws_endpoints(const eice_aws_reply *r,
                                     bool (*item)(void *user,
                                                  const eice_endpoint *i),
                                     void *user, eice_buf *next_token,
                                     eice_error *e);
EICE_API eice_err eice_aws_identity(const eice_aws_reply *r,
                                    eice_identity *out, eice_error *e);

/* Usable states: create-complete and update-*. */
EICE_API bool eice_endpoint_usable(const eice_endpoint *e);
/* The name to dial; "" when there is none for these settings (FIPS never
 * falls back to a name without it). */
EICE_API const char *eice_endpoint_host(const eice_endpoint *e, bool fips,
                                        bool dualstack);

#endif /* EICE_HAS_AWS */

/* ======================================================================== *
 * 16 SSH                                                            >>ssh  *
 * ======================================================================== */

#if EICE_HAS_SSH

/* An SSH client session over any byte stream (libssh2 underneath; RFC 4251 to
 * 4254). On the heap of the caller's allocator, about 200 kB.
 *
 *  new          banner, kex        accept()        auth()
 *  ----> GREET -----------> HOSTKEY -------> IDLE --------> AUTH ----> READY
 *          |                   | refuse        |              |          |
 *          +-------------------+------ any error, deadline ---+----------+
 *                                      v
 *                                    FAILED                 CLOSED (end)
 *
 * Bytes go in and out as in every engine (net_in, net_out); `step` does the
 * work and never blocks. It enters libssh2 only when net_out has room for its
 * largest packet, so a write is never left half done inside. */

typedef enum eice_ssh_phase {
    EICE_SSH_GREET,   /* version exchange and key exchange */
    EICE_SSH_HOSTKEY, /* the server has proved a key: accept or refuse it */
    EICE_SSH_IDLE,    /* accepted; waits for eice_ssh_auth */
    EICE_SSH_AUTH,
    EICE_SSH_READY,   /* channels may be opened */
    EICE_SSH_CLOSED,
    EICE_SSH_FAILED   /* eice_ssh_error */
} eice_ssh_phase;

typedef struct eice_ssh_opts {
    const eice_alloc *alloc;        /* NULL: malloc; outlives the session */
    const char *host_key_known;     /* types put before the built-in order,
                                       comma separated; or NULL */
    const char *host_key_types;     /* lists for eice_ssh_choose; NULL is */
    const char *kex;                /* the built-in one, which for ciphers */
    const char *ciphers;            /* begins with chacha20-poly1305 where */
    const char *macs;               /* AES is slow and the server has strict
                                       key exchange (CVE-2023-48795) */
    const char *client_version;     /* "SSH-2.0-..." or NULL */
    uint32_t banner_timeout_ms;     /* 0 is 20000 */
    uint32_t kex_timeout_ms;        /* 0 is 20000 */
    uint32_t auth_timeout_ms;       /* 0 is 30000: sshd may run the key
                                       command twice, 5 s each */
    uint32_t channel_timeout_ms;    /* 0 is 30000: channel open */
    uint32_t keepalive_ms;          /* 0: none. keepalive@openssh.com when
                                       nothing was heard for so long; three
                                       unanswered end the session */
    uint64_t rekey_bytes;           /* new keys after so many bytes both ways
                                       together; 0 is 4 GiB, where there is
                                       the patch 06-rekey. The server has its
                                       own limit anyway */
} eice_ssh_opts;

typedef struct eice_ssh eice_ssh;

/* Number `i` of what the libssh2 this was compiled with lacks; NULL behind the
 * last. "06-rekey: new keys when the client wants them": the patch of
 * tools/libssh2-bearssl, and what it adds. Asking for such a thing all the
 * same is EICE_E_SSH_UNSUPPORTED, with a text that names both. */
EICE_API const char *eice_ssh_lacks(size_t i);

typedef enum eice_ssh_list {
    EICE_SSH_KEX,
    EICE_SSH_HOST_KEYS,
    EICE_SSH_CIPHERS,
    EICE_SSH_MACS
} eice_ssh_list;

/* Names with commas between them: the built-in list; with `old` what is
 * offered only when it is asked for, since it rests on SHA-1. */
EICE_API const char *eice_ssh_names(eice_ssh_list list, bool old);
/* Puts into `out` what a list of ssh_config(5) comes to: "a,b" is taken as it
 * is, "+a,b" goes behind the built-in list, "^a,b" before it, "-a*,b" takes
 * names out of it; NULL is the built-in list. What OpenSSH knows and libssh2
 * does not is left out. EICE_E_ARGUMENT names in `e` what nobody knows, or a
 * list of which nothing is left; _SSH_UNSUPPORTED what takes a patch. */
EICE_API eice_err eice_ssh_choose(eice_ssh_list list, const char *spec,
                                  eice_buf *out, eice_error *e);

/* NULL: EICE_E_MEMORY, _SSH or what eice_ssh_choose says, in `e`. */
EICE_API eice_ssh *eice_ssh_new(const eice_ssh_opts *o, uint64_t now_ms,
                                eice_error *e);
EICE_API void eice_ssh_free(eice_ssh *s); /* at once; NULL is allowed */
EICE_API eice_ssh_phase eice_ssh_phase_of(const eice_ssh *s);
EICE_API const eice_error *eice_ssh_error(const eice_ssh *s);
/* EICE_WANT_WRITE, EICE_WANT_READ, EICE_DONE. */
EICE_API unsigned eice_ssh_state(const eice_ssh *s);
EICE_API size_t eice_ssh_net_out(eice_ssh *s, const uint8_t **p);
EICE_API void eice_ssh_net_out_ack(eice_ssh *s, size_t n);
EICE_API size_t eice_ssh_net_in(eice_ssh *s, uint8_t **p);
EICE_API void eice_ssh_net_in_ack(eice_ssh *s, size_t n);
/* The stream ended; `why` is EICE_OK for an orderly end. What was received
 * is still worked off and read. */
EICE_API void eice_ssh_net_eof(eice_ssh *s, eice_err why);
/* Works on what came in and on what was asked. True when something moved:
 * call again before waiting. */
EICE_API bool eice_ssh_step(eice_ssh *s, uint64_t now_ms);
EICE_API uint64_t eice_ssh_deadline(const eice_ssh *s);

/* From HOSTKEY on: the server's key blob, its version line (from its arrival
 * on), what was negotiated ("kex hostkey cipher mac"). Valid until the next
 * step: a key exchange may replace them. */
EICE_API eice_str eice_ssh_host_key(const eice_ssh *s);
EICE_API eice_str eice_ssh_banner(const eice_ssh *s);
EICE_API eice_str eice_ssh_methods(const eice_ssh *s);
EICE_API void eice_ssh_accept(eice_ssh *s);
/* Fails the session with this error (host key refused). */
EICE_API void eice_ssh_refuse(eice_ssh *s, const eice_error *why);

/* Public key authentication; texts and `sign` are borrowed until READY or
 * FAILED. Needs IDLE; after EICE_E_SSH_AUTH the phase is IDLE again and
 * eice_ssh_auth may be called again (another login or a key pushed anew). */
typedef struct eice_ssh_login {
    const char *user;
    eice_str key_blob;
    eice_sign_fn sign;
    void *sign_user;
} eice_ssh_login;
EICE_API eice_err eice_ssh_auth(eice_ssh *s, const eice_ssh_login *login);
/* True when the last attempt was rejected; clears that. */
EICE_API bool eice_ssh_rejected(eice_ssh *s);
/* The methods the server would take, after a rejection. */
EICE_API eice_str eice_ssh_auth_methods(const eice_ssh *s);
/* Text the server showed before or at login (RFC 4252 5.4); cleaned of
 * controls but newline and tab. */
EICE_API eice_str eice_ssh_auth_banner(const eice_ssh *s);

/* ---- channels ---------------------------------------------------------- */

typedef enum eice_channel_kind {
    EICE_CHANNEL_SHELL,
    EICE_CHANNEL_EXEC,      /* command */
    EICE_CHANNEL_SUBSYSTEM, /* command: its name */
    EICE_CHANNEL_TCP,       /* host, port: direct-tcpip */
    EICE_CHANNEL_UNIX       /* host: path of a socket at the server,
                               direct-streamlocal@openssh.com */
} eice_channel_kind;

typedef struct eice_pty {
    const char *term;  /* NULL: no pty */
    unsigned columns;
    unsigned rows;
    unsigned width_px;
    unsigned height_px;
    eice_str modes;    /* RFC 4254 8, encoded, with its TTY_OP_END; or empty */
} eice_pty;

typedef struct eice_channel_opts {
    eice_channel_kind kind;
    eice_str command;
    const char *host;
    uint16_t port;
    eice_pty pty;
    const eice_pair *env;  /* sent in vain where the server forbids them */
    size_t env_count;
    uint32_t window;       /* bytes the peer may send ahead, which may have to
                              be kept; 0: 2 MiB, as much as OpenSSH takes */
    bool agent;            /* programs there may use an agent that is here
                              (auth-agent-req@openssh.com): each of their
                              connections to it comes in by
                              eice_ssh_accept_channel. Not for TCP, UNIX */
} eice_channel_opts;

typedef struct eice_exit {
    bool has_status;
    int status;            /* exit-status; 0 to 255 in practice */
    char signal[24];       /* exit-signal without "SIG", or "" */
} eice_exit;

#define EICE_CHAN_OPEN 1u      /* confirmed, and its requests answered */
#define EICE_CHAN_CAN_WRITE 2u /* the window is open */
#define EICE_CHAN_OUT 4u       /* stdout bytes to be read */
#define EICE_CHAN_ERR 8u       /* stderr bytes to be read */
#define EICE_CHAN_EOF 16u      /* no more bytes will come and all are read */
#define EICE_CHAN_CLOSED 32u   /* closed by the peer: the exit is known */
#define EICE_CHAN_FAILED 64u   /* eice_channel_error */
#define EICE_CHAN_FLUSHED 128u /* all written is sent, eice_channel_eof too */
#define EICE_CHAN_NO_AGENT 256u /* the server does not forward the agent */

/* Queues a channel; it opens as steps go on. With the patch 08-channel-open
 * all that are queued open at a time, and one whose time is up has failed
 * (SSH_TIMEOUT) while the others go on; stock libssh2 opens one after the
 * other, and one that is never answered ends the session. Texts are copied.
 * Its number, or an eice_err (LIMIT, MEMORY). */
EICE_API int eice_channel_open(eice_ssh *s, const eice_channel_opts *o);
EICE_API unsigned eice_channel_state(eice_ssh *s, int channel);
EICE_API const eice_error *eice_channel_error(eice_ssh *s, int channel);
/* Bytes read or accepted; 0: none now. stream 0 is stdout, 1 is stderr. */
EICE_API size_t eice_channel_read(eice_ssh *s, int channel, int stream,
                                  void *out, size_t cap);
EICE_API size_t eice_channel_write(eice_ssh *s, int channel,
                                   const void *data, size_t len);
/* No more will be written (SSH_MSG_CHANNEL_EOF once all is sent). */
EICE_API void eice_channel_eof(eice_ssh *s, int channel);
EICE_API void eice_channel_resize(eice_ssh *s, int channel,
                                  const eice_pty *size);
/* "TERM", "INT", ... without SIG (RFC 4254 6.9). */
EICE_API void eice_channel_signal(eice_ssh *s, int channel, const char *name);
EICE_API const eice_exit *eice_channel_exit(eice_ssh *s, int channel);
/* Closes; the number is free again as soon as the peer has closed too. Safe
 * at any time, in mid-write too: no other channel is disturbed. What is not
 * sent by then is lost: wait for EICE_CHAN_FLUSHED where that matters. */
EICE_API void eice_channel_close(eice_ssh *s, int channel);

/* ---- listeners at the server ------------------------------------------- */

typedef struct eice_listen_opts {
    const char *host; /* address there: "" for all, "localhost", "::1", ... */
    uint16_t port;    /* 0: the server chooses one */
    const char *path; /* not NULL: a UNIX socket there instead */
} eice_listen_opts;

#define EICE_LISTEN_OPEN 1u   /* the server listens */
#define EICE_LISTEN_FAILED 2u /* eice_listen_error */

/* Asks the server to listen (tcpip-forward, RFC 4254 7.1; or
 * streamlocal-forward@openssh.com, which without the patch
 * 04-streamlocal-forward has FAILED at once, SSH_UNSUPPORTED). Texts are
 * copied. The listener's number, or EICE_E_LIMIT, _MEMORY, _ARGUMENT (no
 * session). Whatever the server wants to send through listeners that were not
 * asked for is refused. */
EICE_API int eice_ssh_listen(eice_ssh *s, const eice_listen_opts *o);
EICE_API unsigned eice_listen_state(const eice_ssh *s, int listener);
EICE_API const eice_error *eice_listen_error(const eice_ssh *s, int listener);
/* The port it listens on, from OPEN on; 0 for a UNIX socket. */
EICE_API uint16_t eice_listen_port(const eice_ssh *s, int listener);
#define EICE_LISTEN_AGENT EICE_MAX_LISTENERS
/* Hands out a connection that came in: the number of a channel, open, to be
 * used and closed as those of eice_channel_open; *listener says where, and is
 * EICE_LISTEN_AGENT for one that wants to talk to the agent. -1:
 * none now. Connections wait when all channels are in use, up to 256 at each
 * listener; the server is told to refuse more. libssh2 does not tell who it
 * is that connects. */
EICE_API int eice_ssh_accept_channel(eice_ssh *s, int *listener);
/* Ends listening, frees the number, closes what was not handed out; channels
 * that were live on. */
EICE_API void eice_ssh_unlisten(eice_ssh *s, int listener);

/* Exchanges new keys now (RFC 4253 9); what is sent and received goes on.
 * EICE_E_SSH_UNSUPPORTED without the patch 06-rekey, EICE_E_ARGUMENT before
 * READY. A server that shows another host key in any later exchange, whoever
 * began it, fails the session (EICE_E_HOST_KEY_CHANGED). */
EICE_API eice_err eice_ssh_rekey(eice_ssh *s);
/* Says SSH_MSG_DISCONNECT; CLOSED once it is in net_out. */
EICE_API void eice_ssh_close(eice_ssh *s);

/* ---- sftp -------------------------------------------------------------- */

/* SFTP version 3 (draft-ietf-secsh-filexfer-02), the client's side: packets
 * only. The bytes travel on a channel of the subsystem "sftp", or on anything
 * else. Many requests may be on their way; replies come in any order and say
 * which request they answer. */

/* The draft's numbers, and extensions of OpenSSH behind them. */
typedef enum eice_sftp_op {
    EICE_SFTP_OPEN = 3,   /* text: path; flags; attrs */
    EICE_SFTP_CLOSE,      /* text: handle */
    EICE_SFTP_READ,       /* text: handle; offset, len */
    EICE_SFTP_WRITE,      /* text: handle; offset, more: data */
    EICE_SFTP_LSTAT,      /* text: path */
    EICE_SFTP_FSTAT,      /* text: handle */
    EICE_SFTP_SETSTAT,    /* text: path; attrs */
    EICE_SFTP_FSETSTAT,   /* text: handle; attrs */
    EICE_SFTP_OPENDIR,    /* text: path */
    EICE_SFTP_READDIR,    /* text: handle */
    EICE_SFTP_REMOVE,     /* text: path */
    EICE_SFTP_MKDIR,      /* text: path; attrs */
    EICE_SFTP_RMDIR,      /* text: path */
    EICE_SFTP_REALPATH,   /* text: path */
    EICE_SFTP_STAT,       /* text: path */
    EICE_SFTP_RENAME,     /* text: from; more: to, which must not exist */
    EICE_SFTP_READLINK,   /* text: path */
    EICE_SFTP_SYMLINK,    /* text: contents; more: path (OpenSSH's order) */
    EICE_SFTP_POSIX_RENAME, /* text: from; more: to, which is replaced */
    EICE_SFTP_FSYNC       /* text: handle */
} eice_sftp_op;

/* Flags of OPEN. */
#define EICE_SFTP_FOR_READ 1u
#define EICE_SFTP_FOR_WRITE 2u
#define EICE_SFTP_CREATE 8u
#define EICE_SFTP_TRUNCATE 16u
#define EICE_SFTP_EXCLUSIVE 32u

/* Which fields of the attributes are there. */
#define EICE_SFTP_SIZE 1u
#define EICE_SFTP_OWNER 2u
#define EICE_SFTP_MODE 4u
#define EICE_SFTP_TIMES 8u
typedef struct eice_sftp_attrs {
    uint32_t flags;
    uint64_t size;
    uint32_t uid;
    uint32_t gid;
    uint32_t mode;   /* type and permissions as in POSIX's st_mode */
    uint32_t atime;  /* seconds since 1970 */
    uint32_t mtime;
} eice_sftp_attrs;

#define EICE_SFTP_BLOCK 32768u /* what every server reads or writes at once */
#define EICE_SFTP_HANDLE 256   /* longest handle (7) */
#define EICE_SFTP_ASKED 128    /* requests on their way */

typedef struct eice_sftp_request {
    eice_sftp_op op;
    eice_str text;
    eice_str more;
    uint32_t flags;
    uint32_t len;    /* at most EICE_SFTP_BLOCK */
    uint64_t offset;
    eice_sftp_attrs attrs;
    void *user;      /* comes back with the reply, and so does `tag` */
    int tag;
} eice_sftp_request;

typedef enum eice_sftp_status { /* 7; others stay as the server has them */
    EICE_SFTP_OK,
    EICE_SFTP_EOF,
    EICE_SFTP_NO_FILE,
    EICE_SFTP_DENIED,
    EICE_SFTP_FAILURE,
    EICE_SFTP_BAD_MESSAGE,
    EICE_SFTP_NO_CONNECTION,
    EICE_SFTP_LOST,
    EICE_SFTP_UNSUPPORTED
} eice_sftp_status;

/* Texts are valid until the next call that takes a non-const session. */
typedef struct eice_sftp_reply {
    eice_sftp_op op;  /* of the request, as the four that follow */
    void *user;
    int tag;
    uint64_t offset;
    uint32_t len;
    uint32_t status;  /* EICE_SFTP_OK with everything below */
    eice_str text;    /* handle, data (at most what was asked), or the
                         server's words about the status */
    eice_sftp_attrs attrs;
    eice_str names;   /* for eice_sftp_name */
} eice_sftp_reply;

typedef struct eice_sftp_entry {
    eice_str name;
    eice_sftp_attrs attrs;
} eice_sftp_entry;

typedef struct eice_sftp {
    eice_error error;  /* sticky: EICE_E_SFTP, _MEMORY */
    bool ready;        /* the server's version is known */
    bool posix_rename; /* extensions of this server */
    bool fsync;
    uint32_t asked;    /* requests without a reply */
    struct {
        eice_blob in;
        eice_blob out;
        size_t in_at;
        size_t out_at;
        uint32_t turn;
        struct {
            uint32_t id;
            bool used;
            eice_sftp_op op;
            void *user;
            int tag;
            uint64_t offset;
            uint32_t len;
        } slot[EICE_SFTP_ASKED];
    } priv;
} eice_sftp;

/* Begins, with the client's version in `out`; about 5 kB and up to 700 kB on
 * the heap of `alloc` (NULL: malloc), which outlives the session. */
EICE_API void eice_sftp_init(eice_sftp *s, const eice_alloc *alloc);
EICE_API void eice_sftp_free(eice_sftp *s);
/* Puts a request into `out`, texts copied. False: not now (the table or `out`
 * is full, no version yet), or never (`error`; a block too long, an extension
 * this server lacks). */
EICE_API bool eice_sftp_ask(eice_sftp *s, const eice_sftp_request *r);
EICE_API size_t eice_sftp_out(const eice_sftp *s, const uint8_t **p);
EICE_API void eice_sftp_out_ack(eice_sftp *s, size_t n);
/* Room for bytes of the server; 0 after an error. */
EICE_API size_t eice_sftp_in(eice_sftp *s, uint8_t **p);
EICE_API void eice_sftp_in_ack(eice_sftp *s, size_t n);
/* The next reply that is there whole; false: none, or `error`. */
EICE_API bool eice_sftp_next(eice_sftp *s, eice_sftp_reply *reply);
/* Takes the next name out of a reply to READDIR, READLINK, REALPATH. The name
 * is whatever the server chose: see eice_sftp_plain. */
EICE_API bool eice_sftp_name(eice_sftp_reply *reply, eice_sftp_entry *out);
/* A name of one file in a directory: not empty, ".", "..", no '/' or NUL. */
EICE_API bool eice_sftp_plain(eice_str name);
/* "no such file", ... for a status; never NULL. */
EICE_API const char *eice_sftp_status_text(uint32_t status);

#endif /* EICE_HAS_SSH */

/* ======================================================================== *
 * 17 CONNECT                                                       >>conn  *
 * ======================================================================== */

#if EICE_HAS_AWS

/* The whole connect as one machine, for any event loop.
 *
 *  credentials -+- DescribeInstances -----------------+
 *               +- DescribeInstanceConnectEndpoints --+- choose - tunnel -+
 *               +- key pair - SendSSHPublicKey ---------------------------+
 *                                                                         |
 *                         READY <- auth <- host key <- SSH key exchange --+
 *
 * Legs that do not need each other run side by side. It never performs I/O:
 * it asks for what it needs (eice_conn_need, several at a time) and moves
 * bytes through numbered slots, one for each TCP connection.
 *
 *  loop:  eice_conn_step(c, now)
 *         while eice_conn_need(c, &need): start it; eice_conn_answer later
 *         for each slot: eice_conn_slot says read, write or close
 *         wait until something happens or eice_conn_deadline is reached
 *
 * eice_conn_free never blocks and is allowed at any time. */

typedef struct eice_now {
    uint64_t ms;      /* monotonic milliseconds, any origin */
    int64_t unix_s;   /* wall clock, seconds since 1970 */
} eice_now;

typedef enum eice_goal {
    EICE_GOAL_SSH,      /* a session: eice_conn_ssh */
    EICE_GOAL_TUNNEL,   /* a byte stream: eice_conn_app_in and _out */
    EICE_GOAL_PUSH,     /* SendSSHPublicKey, nothing else */
    EICE_GOAL_IDENTITY, /* GetCallerIdentity, nothing else */
    EICE_GOAL_FIND,     /* the instance: eice_conn_instance, nothing else */
    EICE_GOAL_CALLS     /* no connection: eice_conn_call, as often as wanted.
                           OPEN once keys and configuration stand */
} eice_goal;

typedef enum eice_policy {
    EICE_POLICY_TOFU,   /* trust on first use: unknown keys are stored */
    EICE_POLICY_STRICT, /* unknown keys are refused */
    EICE_POLICY_ASK,    /* unknown keys become EICE_NEED_HOSTKEY */
    EICE_POLICY_OFF,    /* every key is accepted: no protection */
    EICE_POLICY_CONSOLE /* as TOFU, but at first contact the key must be one
                           that the instance printed on its console
                           (ec2:GetConsoleOutput); where that shows none, TOFU
                           with a warning. Of a changed key the error says
                           what the console shows now */
} eice_policy;

#define EICE_CONN_SLOTS 16

/* How the instance is reached. */
typedef enum eice_route {
    EICE_ROUTE_ENDPOINT, /* through an EC2 Instance Connect Endpoint */
    EICE_ROUTE_DIRECT,   /* plain TCP: its public IPv4 address, else IPv6,
                            else private; SSH is what protects it */
    EICE_ROUTE_AUTO,     /* as the AWS CLI: a public IPv4 address directly,
                            else a private one through the endpoint, else
                            IPv6 directly */
    EICE_ROUTE_SERIAL    /* GOAL_SSH: the instance's serial console, at the
                            host that the Region has for it; nothing of the
                            instance's network is needed. The key is pushed
                            with SendSerialConsoleSSHPublicKey, `user` is
                            INSTANCE.port0, whatever is given, and the host
                            key is the one that AWS publishes. Ask for a
                            terminal and a shell. One session an instance,
                            and 30 s between two */
} eice_route;

/* Texts are borrowed for the life of the connection. */
typedef struct eice_conn_opts {
    eice_goal goal;
    const char *target;        /* i-..., a Name tag, tag:KEY=VALUE, a private
                                  address or DNS name; required but for
                                  IDENTITY and CALLS */
    const char *user;          /* login; NULL is "ec2-user" */
    uint16_t port;             /* of the instance; 0 is 22 */
    const char *endpoint_id;   /* or NULL: the one of the VPC */
    const char *endpoint_dns;  /* or NULL: as described */
    const char *private_ip;    /* or NULL: as described */
    uint32_t max_tunnel_duration_s; /* 0 is 3600 */
    eice_str public_key;       /* PUSH: required. TUNNEL: pushed before the
                                  tunnel is reported open, when not empty.
                                  SSH: empty is an ephemeral key; pushed
                                  when it is ssh-ed25519 or ssh-rsa, others
                                  the instance must know */
    eice_sign_fn sign;         /* SSH with public_key: required */
    void *sign_user;
    const char *profile;       /* or NULL, as for eice_cred_opts */
    const char *region;
    const char *ca_bundle;
    const char *proxy;
    const eice_keys *keys;     /* or NULL: the credential chain */
    eice_str web_identity_token; /* or empty, as for eice_cred_opts */
    const char *role_arn;
    uint32_t process_timeout_ms;
    const char *const *connect_to; /* "HOST:PORT:ADDRESS:PORT", curl's rules */
    size_t connect_to_count;
    bool fips;
    bool dualstack;
    bool region_optional;      /* CALLS: no error without a Region, as long as
                                  every call names its own */
    uint64_t rekey_bytes;      /* SSH, as in eice_ssh_opts */
    eice_policy policy;
    const char *known_hosts;   /* NULL is ~/.local/state/eice/known_hosts */
    const char *user_agent;    /* NULL is "eice/VERSION" */
    uint32_t connect_timeout_ms; /* 0 is 15000: one TCP, proxy or TLS step */
    uint32_t answer_timeout_ms;  /* one answer of AWS, of the instance or of
                                    its sshd; 0 is 30000 for an API and the
                                    defaults of >>tunnel and >>ssh there */
    uint32_t keepalive_ms;       /* SSH; 0 is 15000, UINT32_MAX never */
    uint32_t key_life_ms;        /* 0 is 60000: how long a pushed key is
                                    valid; it is pushed again in time */
    const eice_alloc *alloc;   /* NULL: malloc; outlives the connection */
    const char *kex;           /* SSH algorithms as in eice_ssh_opts; NULL */
    const char *ciphers;       /* is the built-in list, for host keys with */
    const char *macs;          /* the types known of the host first, as "+" */
    const char *host_key_types;
    const char *host_key_alias;  /* name in the host key file; NULL is the
                                    instance's id, or what stands for it */
    const char *host_key;        /* "SHA256:...": the only host key accepted,
                                    whatever policy and file say; or NULL */
    const char *serial_host;     /* ROUTE_SERIAL; NULL: that of the Region */
    eice_key_kind key_type;      /* of the ephemeral key. RSA, for hosts in
                                    FIPS mode, is made within one step */
    eice_route route;
    struct eice_conn *via;     /* or NULL: through a channel of this connection
                                  (GOAL_SSH, open) to the instance's private
                                  address, whatever `route` says, as by
                                  OpenSSH's ProxyJump. It outlives this one
                                  and is driven by the same executor */
} eice_conn_opts;

/* One thing tried, in the order of their ends: the trail. */
typedef struct eice_attempt {
    eice_stage stage;
    eice_err code;        /* EICE_OK: it went well */
    bool warning;         /* not an attempt: a remark, in `what` */
    uint32_t at_ms;       /* end, since eice_conn_new */
    uint32_t took_ms;
    char what[160];       /* "ec2 DescribeInstances", "10.0.0.1:443", ... */
    char request_id[64];
} eice_attempt;

typedef struct eice_conn eice_conn;

/* NULL: `e` says why (ARGUMENT, MEMORY). */
EICE_API eice_conn *eice_conn_new(const eice_conn_opts *o, eice_now now,
                                  eice_error *e);
EICE_API void eice_conn_free(eice_conn *c);
EICE_API void eice_conn_step(eice_conn *c, eice_now now);
EICE_API uint64_t eice_conn_deadline(const eice_conn *c);
EICE_API bool eice_conn_need(eice_conn *c, eice_need *need);
EICE_API void eice_conn_answer(eice_conn *c, uint32_t id,
                               const eice_answer *a);
/* 0: not in use. EICE_WANT_READ, EICE_WANT_WRITE: what to wait for.
 * EICE_DONE: close the socket and call eice_conn_slot_closed. A slot whose
 * DIAL is not answered yet is in use and wants nothing, or is DONE. */
EICE_API unsigned eice_conn_slot(eice_conn *c, int slot);
EICE_API void eice_conn_slot_closed(eice_conn *c, int slot);
EICE_API size_t eice_conn_net_out(eice_conn *c, int slot, const uint8_t **p);
EICE_API void eice_conn_net_out_ack(eice_conn *c, int slot, size_t n);
EICE_API size_t eice_conn_net_in(eice_conn *c, int slot, uint8_t **p);
EICE_API void eice_conn_net_in_ack(eice_conn *c, int slot, size_t n);
/* The peer closed (EICE_OK) or the connection broke. */
EICE_API void eice_conn_net_eof(eice_conn *c, int slot, eice_err why,
                                int sys_errno);

/* EICE_OPEN: the goal is reached. EICE_DONE: all is over; for IDENTITY and
 * PUSH both come together. TUNNEL: EICE_CAN_SEND and EICE_HAVE_DATA too. */
EICE_API unsigned eice_conn_state(eice_conn *c);
/* code EICE_OK as long as nothing failed. */
EICE_API const eice_error *eice_conn_error(const eice_conn *c);
EICE_API size_t eice_conn_app_in(eice_conn *c, uint8_t **p);
EICE_API void eice_conn_app_in_ack(eice_conn *c, size_t n);
EICE_API size_t eice_conn_app_out(eice_conn *c, const uint8_t **p);
EICE_API void eice_conn_app_out_ack(eice_conn *c, size_t n);
#if EICE_HAS_SSH
/* The session once EICE_OPEN (NULL before); it belongs to the connection. */
EICE_API eice_ssh *eice_conn_ssh(eice_conn *c);
#endif
/* Ends in good order: SSH disconnect, WebSocket Close; DONE within a second. */
EICE_API void eice_conn_close(eice_conn *c);
/* Ends at once with EICE_E_CANCELLED, in any state, safe twice. */
EICE_API void eice_conn_cancel(eice_conn *c);

/* Attempt number `index` since the beginning; NULL when it has not happened
 * yet or is no longer kept (the last EICE_CONN_TRAIL are). */
#define EICE_CONN_TRAIL 48
EICE_API const eice_attempt *eice_conn_attempt(const eice_conn *c,
                                               size_t index);
/* What was found; fields are "" until then. */
EICE_API const eice_identity *eice_conn_identity(const eice_conn *c);
EICE_API const eice_instance *eice_conn_instance(const eice_conn *c);
EICE_API const eice_endpoint *eice_conn_endpoint(const eice_conn *c);
EICE_API const char *eice_conn_provider(const eice_conn *c);
EICE_API const char *eice_conn_region(const eice_conn *c);
/* What the host key file knows this instance as. */
EICE_API const char *eice_conn_host_name(const eice_conn *c);
/* What the clock of AWS is ahead of ours, in seconds, as far as it matters. */
EICE_API int64_t eice_conn_clock_offset(const eice_conn *c);

/* ---- calls ------------------------------------------------------------- */

/* One AWS call, in memory of the caller: set what is asked for and zero the
 * rest. What is borrowed stays until it is done. Any number may run at once,
 * on as many connections as there are slots for; these are kept and used
 * again. Every attempt is signed anew; what is throttled, broken off or late
 * is tried again as botocore does in its "standard" mode, at most
 * settings.max_attempts times, with one budget for all calls of an eice_conn.
 * Pages are fetched one after the other. */
typedef struct eice_call {
    eice_op op;
    const eice_pair *params;  /* named as on the wire, see EICE_OP_LIST */
    size_t param_count;
    const char *region;       /* or NULL: that of the configuration */
    bool dry_run;             /* EC2 only: would it be allowed? Then `nothing`;
                                 if not, error.code is AWS_DENIED */
    uint32_t timeout_ms;      /* for all pages and attempts; 0: no limit but
                                 that of each attempt. Then HTTP_TIMEOUT */
    /* Called with each item of the answer, which lives until it returns;
     * false: enough. May be NULL. It must not start or cancel calls. */
    bool (*item)(void *user, const eice_item *item);
    void *user;
    eice_buf *encoded;        /* or NULL: gets the encoded authorization
                                 message of a denial, for DECODE_MESSAGE */
    /* Results: */
    bool done;
    bool nothing;             /* EICE_VERDICT_NOTHING: went well, changed
                                 nothing */
    eice_error error;         /* code EICE_OK: it went well */
    char client_token[37];    /* that was made for it, or "" */
    char request_id[64];
    size_t items;             /* handed out */
    unsigned attempts;        /* requests that were sent */
    void *priv;
} eice_call;

/* Adds the parameter of DESCRIBE_INSTANCES that selects what a target (as in
 * eice_conn_opts) stands for: an id, or a filter. */
EICE_API void eice_param_target(eice_params *p, const char *target);

/* Starts a call, with any goal but best with EICE_GOAL_CALLS; it runs while
 * the connection is driven. When that ends, calls that are not done end with
 * its error, or EICE_E_CANCELLED. MEMORY: it is done already. */
EICE_API eice_err eice_conn_call(eice_conn *c, eice_call *call);
/* Ends it with EICE_E_CANCELLED, unless it is done. AWS may have done what it
 * was asked for. */
EICE_API void eice_conn_call_cancel(eice_conn *c, eice_call *call);

#endif /* EICE_HAS_AWS */

/* ======================================================================== *
 * 18 POSIX                                                        >>posix  *
 * ======================================================================== */

#if EICE_HAS_POSIX

/* From the kernel; false when it has none. */
EICE_API bool eice_posix_random(void *out, size_t len);

/* A file as a whole, at most `max` bytes; *absent tells a missing file. The
 * caller frees `out` with eice_blob_free. */
EICE_API eice_err eice_posix_read_file(const char *path, size_t max,
                                       eice_blob *out, bool *absent,
                                       eice_error *e);
/* Adds a line to a file unless it is there already: directories made (0700),
 * a lock taken, a new file written beside it (0600) and renamed over it. A
 * link is followed; what is no regular file, such as /dev/null, is left as it
 * is. */
EICE_API eice_err eice_posix_store_line(const char *path, eice_str line,
                                        eice_error *e);
/* What a file holds from now on; written in the same way, without a lock. */
EICE_API eice_err eice_posix_write_file(const char *path, eice_str text,
                                        eice_error *e);
/* "~/x" with HOME, or the user's home directory; false without room. */
EICE_API bool eice_posix_expand(const char *path, char *out, size_t cap);

#if EICE_HAS_AWS

/* An executor for eice_conn, in the shape of curl_multi: it owns sockets,
 * resolves names, reads files; the caller owns the loop. */

struct pollfd;

/* The wall clock is never earlier than EICE_TIME (environment, seconds since
 * 1970) or EICE_BUILD_TIME: for machines that start without a clock. */
EICE_API eice_now eice_posix_now(void);

typedef struct eice_posix eice_posix;

typedef struct eice_posix_opts {
    const eice_alloc *alloc;
    /* Use the system's resolver, which blocks; refused when the code was
     * compiled without EICE_GETADDRINFO. */
    bool getaddrinfo;
    const char *resolv_conf;   /* NULL is /etc/resolv.conf */
    const char *hosts;         /* NULL is /etc/hosts */
    int family;                /* 0 any, 4, 6 */
    /* Answers EICE_NEED_HOSTKEY; NULL refuses every unknown key. */
    bool (*host_key)(void *user, eice_str host, eice_str blob);
    void *user;
} eice_posix_opts;

EICE_API eice_posix *eice_posix_new(const eice_posix_opts *o, eice_error *e);
EICE_API void eice_posix_free(eice_posix *x); /* closes its sockets */
/* A connection is driven by one executor; remove it before freeing it. */
EICE_API eice_err eice_posix_add(eice_posix *x, eice_conn *c);
EICE_API void eice_posix_remove(eice_posix *x, eice_conn *c);
/* Fills at most `cap` entries with what to wait for; returns how many there
 * are (more than cap: call again with room). The caller may add its own. */
EICE_API size_t eice_posix_fds(eice_posix *x, struct pollfd *fds, size_t cap);
/* For poll: milliseconds, -1 for ever, 0 when there is work now. */
EICE_API int eice_posix_timeout(eice_posix *x);
/* Does what the entries say can be done, then steps every connection. */
EICE_API void eice_posix_process(eice_posix *x, const struct pollfd *fds,
                                 size_t count);
/* A descriptor of the caller's in the executor's loop: `ready` is called when
 * poll reports one of `events` or an error. events 0 takes it out again.
 * EICE_E_LIMIT: EICE_POSIX_WATCHES are in use. */
#define EICE_POSIX_WATCHES 16
typedef void (*eice_ready_fn)(void *user, int fd, int revents);
EICE_API eice_err eice_posix_watch(eice_posix *x, int fd, int events,
                                   eice_ready_fn ready, void *user);
/* Addresses of a host, as a connection gets them: literal, from the file of
 * hosts, from the servers. `done` is called once, before this returns or from
 * eice_posix_process: EICE_OK with one address at least, NAME_NOT_FOUND,
 * DNS_TIMEOUT, DNS_FAILED, LIMIT (96 names wait), MEMORY, ARGUMENT. `name` is
 * borrowed until then. */
typedef void (*eice_found_fn)(void *user, eice_err code,
                              const eice_addresses *found);
EICE_API void eice_posix_lookup(eice_posix *x, eice_str name,
                                eice_found_fn done, void *user);
/* Forgets the look-ups of this user, as eice_posix_free does all: `done` is
 * not called. */
EICE_API void eice_posix_lookup_cancel(eice_posix *x, const void *user);
/* Runs until the goal is reached or the connection is done; blocks. */
EICE_API eice_err eice_posix_wait(eice_posix *x, eice_conn *c);
/* Starts these calls and runs until all of them are done; blocks. EICE_OK, or
 * the code of the first in the list that failed: see its error. */
EICE_API eice_err eice_posix_calls(eice_posix *x, eice_conn *c,
                                   eice_call *calls, size_t count);
/* The same without executor and connection, which are made for it. `o`
 * (goal and target do not matter) may be NULL: configuration and keys are
 * those of the AWS CLI. */
EICE_API eice_err eice_posix_aws(const eice_conn_opts *o, eice_call *calls,
                                 size_t count);
/* Carries stdin-like `in` and stdout-like `out` through an open tunnel until
 * it ends; blocks. The descriptors' flags are left as they are: they may be
 * shared with other processes. After the end of `in` it goes on receiving;
 * `idle_ms` without a byte then ends it (0: no limit). `e` gets the error of
 * the connection, or that of writing to `out` (but a reader that has gone is
 * none); it may be NULL. */
EICE_API eice_err eice_posix_relay(eice_posix *x, eice_conn *c, int in,
                                   int out, uint32_t idle_ms, eice_error *e);

#endif /* EICE_HAS_AWS */

#endif /* EICE_HAS_POSIX */

#endif /* EICE_H */

/* ======================================================================== *
 *    IMPLEMENTATION                                                        *
 * ======================================================================== */

#if defined(EICE_IMPLEMENTATION) && !defined(EICE_IMPLEMENTATION_DONE)
#define EICE_IMPLEMENTATION_DONE

/* ======================================================================== *
 * 1  CONFIGURATION                                               >>config  *
 * ======================================================================== */

#include <string.h>

#if EICE_HAS_STDLIB
#include <stdlib.h>
#endif

#define EICEI_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* A compile-time check with a name for the message. */
#define EICEI_ASSERT_FITS(name, need, have) \
    typedef char eicei_fits_##name[(need) <= (have) ? 1 : -1] EICEI_UNUSED

/* ======================================================================== *
 * 2  BASE                                                          >>base  *
 * ======================================================================== */

/* Purpose: what all other sections are written with.
 * Level: pure; calls nothing.
 * Trusts: pointers and lengths. Distrusts: every byte they point at.
 * Memory: the caller's; eice_blob and eice_resize go through the caller's
 * heap, the rest allocates nothing.
 * Invariants: no function writes beyond the length it was given, whatever the
 * input; nothing here depends on a locale.
 * Sources: RFC 3629, 3986, 4648, 4291, 5952, 8259, 9110, 3339. */

/* ---- slices ------------------------------------------------------------ */

/* Sets of bytes: 256 bits, the lowest bit of the first word is byte 0. */
typedef struct eicei_base_set {
    uint32_t word[8];
} eicei_base_set;

/* RFC 3986 2.3 */
static const eicei_base_set eicei_base_unreserved = {
    {0, 0x03ff6000, 0x87fffffe, 0x47fffffe, 0, 0, 0, 0}};
/* space, tab, CR, LF */
static const eicei_base_set eicei_base_space = {
    {0x00002600, 0x00000001, 0, 0, 0, 0, 0, 0}};

EICEI_PRIVATE bool eicei_base_in(const eicei_base_set *set, char c)
{
    const unsigned u = (unsigned char)c;

    return ((set->word[u >> 5] >> (u & 31)) & 1) != 0;
}

EICEI_PRIVATE bool eicei_base_one_of(char c, const char *set)
{
    return memchr(set, c, strlen(set)) != NULL;
}

EICEI_PRIVATE char eicei_base_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

EICE_API eice_str eice_str_make(const void *ptr, size_t len)
{
    eice_str s;

    s.ptr = (const char *)ptr;
    s.len = len;
    return s;
}

EICE_API eice_str eice_str_c(const char *text)
{
    return eice_str_make(text, text == NULL ? 0 : strlen(text));
}

EICE_API bool eice_str_eq(eice_str a, eice_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

EICE_API bool eice_str_is(eice_str a, const char *text)
{
    return eice_str_eq(a, eice_str_c(text));
}

EICE_API bool eice_str_eq_nocase(eice_str a, eice_str b)
{
    size_t i;

    if (a.len != b.len) {
        return false;
    }
    for (i = 0; i < a.len; i++) {
        if (eicei_base_lower(a.ptr[i]) != eicei_base_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

EICE_API bool eice_str_is_nocase(eice_str a, const char *text)
{
    return eice_str_eq_nocase(a, eice_str_c(text));
}

EICE_API bool eice_str_starts(eice_str s, const char *prefix)
{
    const eice_str p = eice_str_c(prefix);

    return s.len >= p.len && eice_str_eq(eice_str_make(s.ptr, p.len), p);
}

EICE_API int eice_str_compare(eice_str a, eice_str b)
{
    const size_t common = a.len < b.len ? a.len : b.len;
    const int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);

    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

EICE_API eice_str eice_str_trim(eice_str s)
{
    while (s.len > 0 && eicei_base_in(&eicei_base_space, s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && eicei_base_in(&eicei_base_space, s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

EICE_API size_t eice_str_find(eice_str s, char c)
{
    const void *hit;

    if (s.len == 0) {
        return 0;
    }
    hit = memchr(s.ptr, c, s.len);
    return hit == NULL ? s.len : (size_t)((const char *)hit - s.ptr);
}

/* Without recursion: when the rest does not fit, the last * takes one byte
 * more. */
EICE_API bool eice_str_glob(eice_str s, eice_str pattern, bool nocase)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = 0; /* behind the last *, whose text began at `from` */
    size_t from = 0;
    bool starred = false;

    while (t < s.len) {
        const char c = p < pattern.len ? pattern.ptr[p] : '\0';

        if (p < pattern.len && c == '*') {
            starred = true;
            star = ++p;
            from = t;
        } else if (p < pattern.len
                   && (c == '?' || c == s.ptr[t]
                       || (nocase && eicei_base_lower(c) == s.ptr[t]))) {
            p++;
            t++;
        } else if (starred) {
            p = star;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

EICE_API bool eice_str_listed(eice_str s, eice_str list)
{
    while (list.len > 0) {
        if (eice_str_eq(eice_str_cut(&list, ','), s)) {
            return true;
        }
    }
    return false;
}

EICE_API eice_str eice_str_cut(eice_str *rest, char sep)
{
    const size_t at = eice_str_find(*rest, sep);
    const eice_str head = eice_str_make(rest->ptr, at);
    const size_t gone = at < rest->len ? at + 1 : at;

    if (gone > 0) {
        rest->ptr += gone;
        rest->len -= gone;
    }
    return head;
}

EICE_API bool eice_str_u64(eice_str s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    size_t i;

    if (s.len == 0) {
        return false;
    }
    for (i = 0; i < s.len; i++) {
        const unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';

        if (digit > 9 || digit > max || n > (max - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

/* The character at the beginning of `s` (RFC 3629): its length and code, or 0
 * when it is malformed, overlong, a surrogate or cut off. */
EICEI_PRIVATE size_t eicei_base_utf8(eice_str s, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s.ptr;
    const size_t len = p[0] < 0x80    ? 1
                       : p[0] < 0xc2  ? 0
                       : p[0] < 0xe0  ? 2
                       : p[0] < 0xf0  ? 3
                       : p[0] <= 0xf4 ? 4
                                      : 0;
    uint32_t c = len < 2 ? p[0] : p[0] & (0x7fu >> len);
    size_t i;

    if (len > s.len) {
        return 0;
    }
    for (i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *code = c;
    return len;
}

/* ---- builder ----------------------------------------------------------- */

EICE_API void eice_buf_init(eice_buf *b, void *memory, size_t cap)
{
    b->ptr = (char *)memory;
    b->len = 0;
    b->cap = cap;
    b->overflow = false;
}

EICE_API eice_str eice_buf_str(const eice_buf *b)
{
    return eice_str_make(b->ptr, b->len);
}

EICE_API void eice_put(eice_buf *b, eice_str s)
{
    const size_t room = b->overflow ? 0 : b->cap - b->len;
    const size_t n = s.len < room ? s.len : room;

    if (n > 0) {
        memmove(b->ptr + b->len, s.ptr, n);
        b->len += n;
    }
    if (n < s.len) {
        b->overflow = true;
    }
}

EICE_API void eice_put_c(eice_buf *b, const char *text)
{
    eice_put(b, eice_str_c(text));
}

EICE_API void eice_put_byte(eice_buf *b, unsigned char c)
{
    eice_put(b, eice_str_make(&c, 1));
}

EICE_API void eice_put_u64(eice_buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    eice_put(b, eice_str_make(digits + at, sizeof digits - at));
}

static const char eicei_base_hex_lower[] = "0123456789abcdef";
static const char eicei_base_hex_upper[] = "0123456789ABCDEF";

EICE_API void eice_put_hex(eice_buf *b, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t i;

    for (i = 0; i < len; i++) {
        eice_put_byte(b, (unsigned char)eicei_base_hex_lower[p[i] >> 4]);
        eice_put_byte(b, (unsigned char)eicei_base_hex_lower[p[i] & 15]);
    }
}

static const char eicei_base_64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

EICE_API void eice_put_base64(eice_buf *b, const void *data, size_t len,
                              bool pad)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t i;

    for (i = 0; i < len; i += 3) {
        const size_t left = len - i;
        const uint32_t group = (uint32_t)p[i] << 16
                               | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0)
                               | (left > 2 ? (uint32_t)p[i + 2] : 0);
        size_t k;

        for (k = 0; k < 4; k++) {
            if (k <= left) {
                eice_put_byte(b, (unsigned char)
                                     eicei_base_64[group >> (18 - 6 * k) & 63]);
            } else if (pad) {
                eice_put_byte(b, '=');
            }
        }
    }
}

/* The percent-encoded form of a byte: its length, 1 or 3. */
EICEI_PRIVATE unsigned eicei_base_uri_byte(char c, char out[3])
{
    const unsigned u = (unsigned char)c;

    if (eicei_base_in(&eicei_base_unreserved, c)) {
        out[0] = c;
        return 1;
    }
    out[0] = '%';
    out[1] = eicei_base_hex_upper[u >> 4];
    out[2] = eicei_base_hex_upper[u & 15];
    return 3;
}

EICE_API void eice_put_uri(eice_buf *b, eice_str s)
{
    char text[3];
    size_t i;

    for (i = 0; i < s.len; i++) {
        const unsigned n = eicei_base_uri_byte(s.ptr[i], text);

        eice_put(b, eice_str_make(text, n));
    }
}

/* RFC 8259 7: what must be escaped, the short forms where there are any. */
EICEI_PRIVATE void eicei_base_json_char(eice_buf *b, eice_str c)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    const unsigned char u = (unsigned char)c.ptr[0];
    const size_t i = eice_str_find(eice_str_c(from), c.ptr[0]);

    if (i < sizeof from - 1) {
        eice_put_byte(b, '\\');
        eice_put_byte(b, (unsigned char)to[i]);
    } else if (u < 0x20 || u == 0x7f) {
        eice_put_c(b, "\\u00");
        eice_put_hex(b, &u, 1);
    } else {
        eice_put(b, c);
    }
}

EICE_API void eice_put_json(eice_buf *b, eice_str s)
{
    while (s.len > 0) {
        uint32_t code;
        const size_t n = eicei_base_utf8(s, &code);
        const size_t step = n > 0 ? n : 1;

        if (n > 0) {
            eicei_base_json_char(b, eice_str_make(s.ptr, n));
        } else {
            eice_put_c(b, "\xef\xbf\xbd");
        }
        s.ptr += step;
        s.len -= step;
    }
}

/* Controls (C0, DEL, C1), line separators and the marks that turn the order
 * of what is displayed: a name from outside must not fake a line. */
EICEI_PRIVATE bool eicei_base_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0)
           || (code >= 0x2028 && code <= 0x202e)
           || (code >= 0x2066 && code <= 0x2069);
}

/* The next character of `s` as it may be shown; moves on in `s`. */
EICEI_PRIVATE eice_str eicei_base_safe_char(eice_str *s)
{
    uint32_t code = 0;
    const size_t n = eicei_base_utf8(*s, &code);
    const size_t step = n > 0 ? n : 1;
    eice_str c = eice_str_make(s->ptr, step);

    if (n == 0 || eicei_base_unsafe(code)) {
        c = eice_str_c("?");
    }
    s->ptr += step;
    s->len -= step;
    return c;
}

EICE_API void eice_put_safe(eice_buf *b, eice_str s)
{
    while (s.len > 0) {
        eice_put(b, eicei_base_safe_char(&s));
    }
}

EICEI_PRIVATE void eicei_base_put_int(eice_buf *b, int n)
{
    if (n < 0) {
        eice_put_byte(b, '-');
    }
    eice_put_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

EICEI_PRIVATE void eicei_base_put_text(eice_buf *b, const char *text)
{
    eice_put_c(b, text == NULL ? "(none)" : text);
}

EICE_API void eice_putv(eice_buf *b, const char *format, va_list args)
{
    const char *p;

    for (p = format; *p != 0; p++) {
        if (*p != '%' || p[1] == 0) {
            eice_put_byte(b, (unsigned char)*p);
            continue;
        }
        switch (*++p) {
        case 's':
            eicei_base_put_text(b, va_arg(args, const char *));
            break;
        case 'S':
            eice_put_safe(b, *va_arg(args, const eice_str *));
            break;
        case 'd':
            eicei_base_put_int(b, va_arg(args, int));
            break;
        case 'u':
            eice_put_u64(b, va_arg(args, unsigned));
            break;
        case 'l':
            eice_put_u64(b, va_arg(args, uint64_t));
            break;
        default:
            eice_put_byte(b, (unsigned char)*p);
            break;
        }
    }
}

EICE_API void eice_putf(eice_buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    eice_putv(b, format, args);
    va_end(args);
}

EICE_API const char *eice_buf_c(eice_buf *b)
{
    b->ptr[b->len < b->cap ? b->len : b->cap - 1] = 0;
    return b->ptr;
}

/* ---- decoders ---------------------------------------------------------- */

/* 0 to 15, or 16 for what is no hex digit. */
EICEI_PRIVATE unsigned eicei_base_hex_value(char c)
{
    const char l = eicei_base_lower(c);

    if (l >= '0' && l <= '9') {
        return (unsigned)(l - '0');
    }
    return l >= 'a' && l <= 'f' ? (unsigned)(l - 'a') + 10 : 16;
}

/* The byte written in two hex digits, or 256. */
EICEI_PRIVATE unsigned eicei_base_hex_byte(const char *two)
{
    const unsigned high = eicei_base_hex_value(two[0]);
    const unsigned low = eicei_base_hex_value(two[1]);

    return high > 15 || low > 15 ? 256 : high << 4 | low;
}

EICE_API ptrdiff_t eice_hex_decode(eice_str s, void *out, size_t cap)
{
    uint8_t *const p = (uint8_t *)out;
    size_t i;

    if (s.len % 2 != 0 || s.len / 2 > cap) {
        return -1;
    }
    for (i = 0; i < s.len / 2; i++) {
        const unsigned byte = eicei_base_hex_byte(s.ptr + 2 * i);

        if (byte > 255) {
            return -1;
        }
        p[i] = (uint8_t)byte;
    }
    return (ptrdiff_t)(s.len / 2);
}

/* Value of a base64 digit, or 64. */
EICEI_PRIVATE uint32_t eicei_base_64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* RFC 4648 3.2, 3.5: after `digits` digits and `pads` '=', with `bits` not
 * yet written; bits that encode nothing must be zero. */
EICEI_PRIVATE bool eicei_base_64_end(size_t digits, size_t pads, uint32_t bits)
{
    static const uint32_t spare[4] = {0, 0x3f, 0x0f, 0x03};

    if (digits % 4 == 1 || (bits & spare[digits % 4]) != 0) {
        return false;
    }
    return pads == 0 || (pads < 3 && (digits + pads) % 4 == 0);
}

EICE_API ptrdiff_t eice_base64_decode(eice_str s, void *out, size_t cap)
{
    uint8_t *const p = (uint8_t *)out;
    uint32_t bits = 0;
    size_t digits = 0;
    size_t pads = 0;
    size_t n = 0;
    size_t i;

    for (i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const uint32_t value = eicei_base_64_value(c);

        if (eicei_base_in(&eicei_base_space, c)) {
            continue;
        }
        if (c == '=') {
            pads++;
            continue;
        }
        if (value > 63 || pads > 0) {
            return -1;
        }
        bits = (bits << 6 | value) & 0xffffff;
        /* Every digit but the first of a group of four completes a byte. */
        if (digits++ % 4 != 0) {
            if (n == cap) {
                return -1;
            }
            p[n++] = (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4)));
        }
    }
    return eicei_base_64_end(digits, pads, bits) ? (ptrdiff_t)n : -1;
}

EICE_API ptrdiff_t eice_uri_decode(eice_str s, void *out, size_t cap)
{
    uint8_t *const p = (uint8_t *)out;
    size_t n = 0;
    size_t i;

    for (i = 0; i < s.len; i++) {
        unsigned byte = (unsigned char)s.ptr[i];

        if (byte == '%') {
            byte = s.len - i < 3 ? 256 : eicei_base_hex_byte(s.ptr + i + 1);
            i += 2;
        }
        if (byte > 255 || n == cap) {
            return -1;
        }
        p[n++] = (uint8_t)byte;
    }
    return (ptrdiff_t)n;
}

/* ---- ropes ------------------------------------------------------------- */

EICE_API size_t eice_rope_read(const eice_piece *pieces, size_t count,
                               eice_rope_pos *pos, void *out, size_t cap)
{
    char *const p = (char *)out;
    size_t n = 0;

    while (n < cap && pos->piece < count) {
        const eice_piece *const piece = &pieces[pos->piece];
        char text[3];
        unsigned len = 1;

        if (pos->byte == piece->text.len) {
            pos->piece++;
            pos->byte = 0;
            continue;
        }
        text[0] = piece->text.ptr[pos->byte];
        if (piece->uri) {
            len = eicei_base_uri_byte(text[0], text);
        }
        p[n++] = text[pos->sub++];
        if (pos->sub == len) {
            pos->sub = 0;
            pos->byte++;
        }
    }
    return n;
}

/* ---- secrets ----------------------------------------------------------- */

EICE_API void eice_wipe(void *memory, size_t len)
{
#if defined(__GNUC__) || defined(__clang__)
    /* Packets are wiped too, so this is worth a memset; the barrier says that
     * somebody reads the zeros, so it cannot be left out. */
    if (len > 0) {
        memset(memory, 0, len);
    }
    __asm__ __volatile__("" : : "r"(memory) : "memory");
#else
    volatile uint8_t *p = (volatile uint8_t *)memory;

    while (len > 0) {
        *p++ = 0;
        len--;
    }
#endif
}

EICE_API bool eice_equal_ct(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = (const volatile uint8_t *)a;
    const volatile uint8_t *y = (const volatile uint8_t *)b;
    unsigned differ = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        differ |= (unsigned)(x[i] ^ y[i]);
    }
    return differ == 0;
}

/* ---- memory ------------------------------------------------------------ */

#if EICE_HAS_STDLIB
EICEI_PRIVATE void *eicei_base_heap(void *memory, size_t size)
{
    if (size == 0) {
        free(memory);
        return NULL;
    }
    return realloc(memory, size);
}
#else
EICEI_PRIVATE void *eicei_base_heap(void *memory, size_t size)
{
    (void)memory;
    (void)size;
    return NULL;
}
#endif

EICE_API void *eice_resize(const eice_alloc *a, void *memory, size_t size)
{
    if (memory == NULL && size == 0) {
        return NULL;
    }
    if (a == NULL || a->resize == NULL) {
        return eicei_base_heap(memory, size);
    }
    return a->resize(a->user, memory, size);
}

/* A bigger block. The old one is wiped before it is given back, which a
 * reallocation would not do: answers with credentials pass through here. */
EICEI_PRIVATE bool eicei_base_blob_move(eice_blob *b, size_t cap)
{
    uint8_t *const fresh = (uint8_t *)eice_resize(b->alloc, NULL, cap);

    if (fresh == NULL) {
        return false;
    }
    if (b->ptr != NULL) {
        memcpy(fresh, b->ptr, b->len);
        eice_wipe(b->ptr, b->cap);
        (void)eice_resize(b->alloc, b->ptr, 0);
    }
    b->ptr = fresh;
    b->cap = cap;
    return true;
}

EICE_API uint8_t *eice_blob_room(eice_blob *b, size_t more, size_t limit)
{
    size_t need;
    size_t cap;

    if (limit > SIZE_MAX / 4 || more > limit || b->len > limit - more) {
        return NULL;
    }
    need = b->len + more + 1;
    if (need > b->cap) {
        cap = b->cap < 128 ? 256 : b->cap * 2;
        cap = cap > limit + 1 ? limit + 1 : cap;
        if (!eicei_base_blob_move(b, cap < need ? need : cap)) {
            return NULL;
        }
    }
    return b->ptr + b->len;
}

EICE_API bool eice_blob_add(eice_blob *b, const void *data, size_t len,
                            size_t limit)
{
    uint8_t *const to = eice_blob_room(b, len, limit);

    if (to == NULL) {
        return false;
    }
    if (len > 0) {
        memcpy(to, data, len);
        b->len += len;
    }
    b->ptr[b->len] = 0;
    return true;
}

EICE_API void eice_blob_free(eice_blob *b)
{
    if (b->ptr != NULL) {
        eice_wipe(b->ptr, b->cap);
        (void)eice_resize(b->alloc, b->ptr, 0);
    }
    b->ptr = NULL;
    b->len = 0;
    b->cap = 0;
}

/* ---- addresses --------------------------------------------------------- */

EICEI_PRIVATE bool eicei_base_ip4_parse(eice_str s, uint8_t out[4])
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        const bool last = i == 3;
        const size_t len = last ? s.len : eice_str_find(s, '.');
        uint64_t n;

        if ((!last && len == s.len) || len > 3
            || (len > 1 && s.ptr[0] == '0')
            || !eice_str_u64(eice_str_make(s.ptr, len), 255, &n)) {
            return false;
        }
        out[i] = (uint8_t)n;
        s = eice_str_make(s.ptr + len + !last, s.len - len - !last);
    }
    return true;
}

/* One group of an IPv6 address: 1 to 4 hex digits. */
EICEI_PRIVATE bool eicei_base_ip6_group(eice_str s, uint8_t out[2])
{
    unsigned n = 0;
    size_t i;

    if (s.len == 0 || s.len > 4) {
        return false;
    }
    for (i = 0; i < s.len; i++) {
        const unsigned digit = eicei_base_hex_value(s.ptr[i]);

        if (digit > 15) {
            return false;
        }
        n = n << 4 | digit;
    }
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)(n & 255);
    return true;
}

/* Groups joined by ':', the last one may be an IPv4 address: the bytes
 * written, at most 16, or -1. No text, no bytes. */
EICEI_PRIVATE int eicei_base_ip6_half(eice_str s, uint8_t out[16])
{
    int n = 0;

    if (s.len == 0) {
        return 0;
    }
    for (;;) {
        const size_t len = eice_str_find(s, ':');
        const eice_str group = eice_str_make(s.ptr, len);

        if (len == s.len && n <= 12 && eicei_base_ip4_parse(group, out + n)) {
            return n + 4;
        }
        if (n > 14 || !eicei_base_ip6_group(group, out + n)) {
            return -1;
        }
        n += 2;
        if (len == s.len) {
            return n;
        }
        s = eice_str_make(s.ptr + len + 1, s.len - len - 1);
    }
}

/* Index of the first "::", or `s.len`. */
EICEI_PRIVATE size_t eicei_base_ip6_gap(eice_str s)
{
    size_t i;

    for (i = 0; i + 1 < s.len; i++) {
        if (s.ptr[i] == ':' && s.ptr[i + 1] == ':') {
            return i;
        }
    }
    return s.len;
}

EICEI_PRIVATE bool eicei_base_ip6_parse(eice_str s, uint8_t out[16])
{
    const size_t gap = eicei_base_ip6_gap(s);
    uint8_t tail[16];
    int head;
    int rest;

    memset(out, 0, 16);
    if (gap == s.len) {
        return eicei_base_ip6_half(s, out) == 16;
    }
    head = eicei_base_ip6_half(eice_str_make(s.ptr, gap), out);
    rest = eicei_base_ip6_half(
        eice_str_make(s.ptr + gap + 2, s.len - gap - 2), tail);
    /* An IPv4 address stands at the end only; "::" is at least one group. */
    if (head < 0 || rest < 0 || head + rest > 14
        || eice_str_find(eice_str_make(s.ptr, gap), '.') != gap) {
        return false;
    }
    if (rest > 0) {
        memcpy(out + 16 - rest, tail, (size_t)rest);
    }
    return true;
}

EICE_API bool eice_ip_parse(eice_str s, eice_ip *ip)
{
    eice_ip a;

    memset(&a, 0, sizeof a);
    if (eicei_base_ip4_parse(s, a.bytes)) {
        a.family = 4;
    } else if (eicei_base_ip6_parse(s, a.bytes)) {
        a.family = 6;
    } else {
        return false;
    }
    *ip = a;
    return true;
}

EICEI_PRIVATE void eicei_base_ip4_put(eice_buf *b, const uint8_t *bytes)
{
    eice_putf(b, "%u.%u.%u.%u", (unsigned)bytes[0], (unsigned)bytes[1],
              (unsigned)bytes[2], (unsigned)bytes[3]);
}

EICEI_PRIVATE unsigned eicei_base_ip6_word(const uint8_t *bytes, unsigned i)
{
    return (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
}

/* RFC 5952 4.2: the longest run of two or more zero groups, the first of
 * equals; *at is 8 when there is none. */
EICEI_PRIVATE void eicei_base_ip6_run(const uint8_t *bytes, unsigned *at,
                                      unsigned *len)
{
    unsigned run = 0;
    unsigned i;

    *at = 8;
    *len = 1;
    for (i = 0; i < 8; i++) {
        run = eicei_base_ip6_word(bytes, i) == 0 ? run + 1 : 0;
        if (run > *len) {
            *len = run;
            *at = i + 1 - run;
        }
    }
}

EICEI_PRIVATE void eicei_base_ip6_put(eice_buf *b, const uint8_t *bytes)
{
    unsigned at;
    unsigned len;
    unsigned i;

    eicei_base_ip6_run(bytes, &at, &len);
    for (i = 0; i < 8; i++) {
        const unsigned word = eicei_base_ip6_word(bytes, i);
        unsigned shift = word > 0xfff ? 16 : word > 0xff ? 12
                                         : word > 0xf    ? 8
                                                         : 4;

        if (i == at) {
            eice_put_c(b, "::");
            i += len - 1;
            continue;
        }
        if (i > 0 && i != at + len) {
            eice_put_byte(b, ':');
        }
        while (shift > 0) {
            shift -= 4;
            eice_put_byte(b, (unsigned char)
                                 eicei_base_hex_lower[word >> shift & 15]);
        }
    }
}

EICE_API const char *eice_ip_format(const eice_ip *ip, char out[EICE_IP_TEXT])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
    eice_buf b;

    eice_buf_init(&b, out, EICE_IP_TEXT);
    if (ip->family == 4) {
        eicei_base_ip4_put(&b, ip->bytes);
    } else if (ip->family != 6) {
        eice_put_c(&b, "(none)");
    } else if (memcmp(ip->bytes, mapped, sizeof mapped) == 0) {
        /* RFC 5952 5 */
        eice_put_c(&b, "::ffff:");
        eicei_base_ip4_put(&b, ip->bytes + 12);
    } else {
        eicei_base_ip6_put(&b, ip->bytes);
    }
    return eice_buf_c(&b);
}

EICE_API bool eice_ip_eq(const eice_ip *a, const eice_ip *b)
{
    const size_t len = a->family == 4 ? 4 : a->family == 6 ? 16 : 0;

    return a->family == b->family && memcmp(a->bytes, b->bytes, len) == 0;
}

EICE_API bool eice_ip_loopback(const eice_ip *ip)
{
    static const uint8_t one[16] = {0, 0, 0, 0, 0, 0, 0, 0,
                                    0, 0, 0, 0, 0, 0, 0, 1};

    if (ip->family == 4) {
        return ip->bytes[0] == 127;
    }
    return ip->family == 6 && memcmp(ip->bytes, one, sizeof one) == 0;
}

/* ---- time -------------------------------------------------------------- */

typedef struct eicei_base_date {
    unsigned year;
    unsigned month; /* 1 to 12 */
    unsigned day;   /* 1 to 31 */
    unsigned hour;
    unsigned minute;
    unsigned second; /* 60 is taken: a leap second */
} eicei_base_date;

#define EICEI_BASE_LAST_SECOND 253402300799 /* 9999-12-31T23:59:59Z */

/* Days before the first of a month, in a year that begins in March: the leap
 * day is then the last one. Month 0 is March. */
EICEI_PRIVATE unsigned eicei_base_month_start(unsigned month)
{
    return (153 * month + 2) / 5;
}

EICEI_PRIVATE unsigned eicei_base_month_days(unsigned year, unsigned month)
{
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    if (month == 2) {
        return leap ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* 719468 days lie between 0000-03-01 and 1970-01-01. */
EICEI_PRIVATE bool eicei_base_date_seconds(const eicei_base_date *d,
                                           int64_t *unix_s)
{
    const unsigned year = d->month <= 2 ? d->year - 1 : d->year;
    int64_t days;

    if (d->year < 1970 || d->year > 9999 || d->month < 1 || d->month > 12
        || d->day < 1 || d->day > eicei_base_month_days(d->year, d->month)
        || d->hour > 23 || d->minute > 59 || d->second > 60) {
        return false;
    }
    days = (int64_t)year * 365 + year / 4 - year / 100 + year / 400
           + eicei_base_month_start((d->month + 9) % 12) + d->day - 1 - 719468;
    *unix_s = days * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
    return true;
}

EICEI_PRIVATE eicei_base_date eicei_base_date_of(int64_t unix_s)
{
    const uint32_t second = (uint32_t)(unix_s % 86400);
    const uint32_t days = (uint32_t)(unix_s / 86400) + 719468;
    const uint32_t era = days / 146097; /* 400 years */
    const uint32_t in_era = days % 146097;
    const uint32_t year = (in_era - in_era / 1460 + in_era / 36524
                           - in_era / 146096) / 365;
    const uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    const uint32_t month = (5 * in_year + 2) / 153;
    eicei_base_date d;

    d.month = (unsigned)(month < 10 ? month + 3 : month - 9);
    d.year = (unsigned)(year + era * 400) + (d.month <= 2 ? 1 : 0);
    d.day = (unsigned)in_year - eicei_base_month_start((unsigned)month) + 1;
    d.hour = (unsigned)(second / 3600);
    d.minute = (unsigned)(second / 60 % 60);
    d.second = (unsigned)(second % 60);
    return d;
}

EICEI_PRIVATE void eicei_base_put_digits(eice_buf *b, unsigned n,
                                         unsigned count)
{
    static const unsigned power[5] = {1, 10, 100, 1000, 10000};

    while (count > 0) {
        count--;
        eice_put_byte(b, (unsigned char)('0' + n / power[count] % 10));
    }
}

EICE_API void eice_time_amz(int64_t unix_s, char out[17])
{
    const int64_t t = unix_s < 0                        ? 0
                      : unix_s > EICEI_BASE_LAST_SECOND ? EICEI_BASE_LAST_SECOND
                                                        : unix_s;
    const eicei_base_date d = eicei_base_date_of(t);
    eice_buf b;

    eice_buf_init(&b, out, 17);
    eicei_base_put_digits(&b, d.year, 4);
    eicei_base_put_digits(&b, d.month, 2);
    eicei_base_put_digits(&b, d.day, 2);
    eice_put_byte(&b, 'T');
    eicei_base_put_digits(&b, d.hour, 2);
    eicei_base_put_digits(&b, d.minute, 2);
    eicei_base_put_digits(&b, d.second, 2);
    eice_put_byte(&b, 'Z');
    (void)eice_buf_c(&b);
}

static const char eicei_base_months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char eicei_base_weekdays[] = "MonTueWedThuFriSatSun";

/* Takes a name of three letters off `s`: its index in `names`, from 1. */
EICEI_PRIVATE bool eicei_base_take_name(eice_str *s, const char *names,
                                        unsigned *out)
{
    unsigned i;

    for (i = 0; names[3 * i] != 0 && s->len >= 3; i++) {
        if (memcmp(s->ptr, names + 3 * i, 3) == 0) {
            *s = eice_str_make(s->ptr + 3, s->len - 3);
            *out = i + 1;
            return true;
        }
    }
    return false;
}

EICEI_PRIVATE bool eicei_base_take_number(eice_str *s, size_t digits,
                                          unsigned *out)
{
    uint64_t n;

    if (s->len < digits
        || !eice_str_u64(eice_str_make(s->ptr, digits), 9999, &n)) {
        return false;
    }
    *s = eice_str_make(s->ptr + digits, s->len - digits);
    *out = (unsigned)n;
    return true;
}

/* Reads a date by its pattern: Y four digits, N D h m s two, b and a the name
 * of a month and of a weekday; all else stands for itself. */
EICEI_PRIVATE bool eicei_base_take_date(eice_str *s, const char *pattern,
                                        eicei_base_date *d)
{
    unsigned weekday;
    bool ok = true;

    for (; *pattern != 0 && ok; pattern++) {
        switch (*pattern) {
        case 'Y': ok = eicei_base_take_number(s, 4, &d->year); break;
        case 'N': ok = eicei_base_take_number(s, 2, &d->month); break;
        case 'D': ok = eicei_base_take_number(s, 2, &d->day); break;
        case 'h': ok = eicei_base_take_number(s, 2, &d->hour); break;
        case 'm': ok = eicei_base_take_number(s, 2, &d->minute); break;
        case 's': ok = eicei_base_take_number(s, 2, &d->second); break;
        case 'b':
            ok = eicei_base_take_name(s, eicei_base_months, &d->month);
            break;
        case 'a':
            ok = eicei_base_take_name(s, eicei_base_weekdays, &weekday);
            break;
        default:
            ok = s->len > 0 && s->ptr[0] == *pattern;
            *s = eice_str_make(s->ptr + ok, s->len - ok);
            break;
        }
    }
    return ok;
}

EICE_API bool eice_time_amz_parse(eice_str s, int64_t *unix_s)
{
    eicei_base_date d;

    return eicei_base_take_date(&s, "YNDThmsZ", &d) && s.len == 0
           && eicei_base_date_seconds(&d, unix_s);
}

EICE_API bool eice_time_http_parse(eice_str s, int64_t *unix_s)
{
    eicei_base_date d;

    return eicei_base_take_date(&s, "a, D b Y h:m:s GMT", &d) && s.len == 0
           && eicei_base_date_seconds(&d, unix_s);
}

/* "Z", "UTC", "+hh:mm" or "-hh:mm": the seconds east of Greenwich. */
EICEI_PRIVATE bool eicei_base_zone(eice_str s, int64_t *east)
{
    eicei_base_date d;
    const bool west = eice_str_starts(s, "-");

    *east = 0;
    if (eice_str_is(s, "Z") || eice_str_is(s, "UTC")) {
        return true;
    }
    if (!eicei_base_take_date(&s, west ? "-h:m" : "+h:m", &d) || s.len != 0
        || d.hour > 23 || d.minute > 59) {
        return false;
    }
    *east = d.hour * 3600 + d.minute * 60;
    *east = west ? -*east : *east;
    return true;
}

EICE_API bool eice_time_iso_parse(eice_str s, int64_t *unix_s)
{
    eicei_base_date d;
    int64_t local;
    int64_t east;
    size_t n = 0;

    if (!eicei_base_take_date(&s, "Y-N-DTh:m:s", &d)) {
        return false;
    }
    if (s.len > 0 && s.ptr[0] == '.') {
        n = 1;
        while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9') {
            n++;
        }
        if (n == 1) {
            return false;
        }
    }
    if (!eicei_base_zone(eice_str_make(s.ptr + n, s.len - n), &east)
        || !eicei_base_date_seconds(&d, &local)) {
        return false;
    }
    *unix_s = local - east;
    return true;
}

/* ---- errors ------------------------------------------------------------ */

typedef struct eicei_base_err {
    eice_err code;
    const char *name;
    const char *text;
    const char *remedy;
} eicei_base_err;

static const eicei_base_err eicei_base_errs[] = {
    {EICE_OK, "OK", "no error", ""},
#define EICEI_X(name, number, text, remedy) \
    {EICE_E_##name, #name, text, remedy},
    EICE_ERROR_LIST(EICEI_X)
#undef EICEI_X
    {EICE_ERR_END, "UNKNOWN", "unknown error", ""}};

EICEI_PRIVATE const eicei_base_err *eicei_base_err_of(eice_err code)
{
    const eicei_base_err *e = eicei_base_errs;

    while (e->code != code && e->code != EICE_ERR_END) {
        e++;
    }
    return e;
}

EICE_API const char *eice_err_name(eice_err code)
{
    return eicei_base_err_of(code)->name;
}

EICE_API const char *eice_err_text(eice_err code)
{
    return eicei_base_err_of(code)->text;
}

EICE_API const char *eice_err_remedy(eice_err code)
{
    return eicei_base_err_of(code)->remedy;
}

EICE_API const char *eice_stage_name(eice_stage stage)
{
    static const char *const names[] = {
#define EICEI_X(name, text) text,
        EICE_STAGE_LIST(EICEI_X)
#undef EICEI_X
    };
    const size_t i = (size_t)stage;

    return i < EICEI_LEN(names) ? names[i] : "unknown";
}

/* What passes by itself: the network, a busy or slow peer, an expired
 * tunnel. Everything else needs a change first. */
EICEI_PRIVATE bool eicei_base_retryable(eice_err code)
{
    static const eice_err list[] = {
        EICE_E_DNS_TIMEOUT,     EICE_E_DNS_FAILED,     EICE_E_CONNECT_REFUSED,
        EICE_E_CONNECT_TIMEOUT, EICE_E_CONNECT_FAILED, EICE_E_NET_RESET,
        EICE_E_NET_TIMEOUT,     EICE_E_TLS_TIMEOUT,    EICE_E_HTTP_TIMEOUT,
        EICE_E_UPGRADE_QUOTA,   EICE_E_UPGRADE_TIMEOUT, EICE_E_TUNNEL_CLOSED,
        EICE_E_TUNNEL_EXPIRED,  EICE_E_AWS_THROTTLED,  EICE_E_SSH_TIMEOUT,
        EICE_E_SSH_LOST};
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        if (list[i] == code) {
            return true;
        }
    }
    return false;
}

/* Texts of others, quoted at the end of ours, often close with a period. */
EICEI_PRIVATE eice_str eicei_base_no_period(eice_str s)
{
    const bool one = s.len > 1 && s.ptr[s.len - 1] == '.'
                     && s.ptr[s.len - 2] != '.';

    return eice_str_make(s.ptr, one ? s.len - 1 : s.len);
}

EICE_API eice_err eice_fail(eice_error *e, eice_err code, eice_stage stage,
                            const char *format, ...)
{
    char text[sizeof e->text];
    eice_buf b;
    va_list args;

    if (e == NULL) {
        return code;
    }
    if (e->code != EICE_OK) {
        return e->code;
    }
    eice_buf_init(&b, text, sizeof text);
    va_start(args, format);
    eice_putv(&b, format, args);
    va_end(args);
    eice_copy_text(e->text, sizeof e->text,
                   eicei_base_no_period(eice_buf_str(&b)));
    e->code = code;
    e->stage = stage;
    e->retryable = eicei_base_retryable(code);
    return code;
}

EICE_API void eice_copy_text(char *out, size_t cap, eice_str text)
{
    size_t n = 0;

    while (text.len > 0) {
        const eice_str c = eicei_base_safe_char(&text);

        if (c.len >= cap - n) {
            break;
        }
        memcpy(out + n, c.ptr, c.len);
        n += c.len;
    }
    out[n] = 0;
}


/* ======================================================================== *
 * 3  CRYPTO                                                      >>crypto  *
 * ======================================================================== */

/* Purpose: a narrow face for BearSSL, so that no other section below TLS
 * names it.
 * Level: pure; calls 2.
 * Trusts: lengths of the caller. Distrusts: the X25519 point.
 * Memory: the caller's contexts. They are declared as uint64_t for their
 * alignment and only ever accessed through BearSSL's types.
 * Invariants: whatever held a key or hashed data is wiped before return.
 * Sources: FIPS 180-4, RFC 2104, NIST SP 800-90A, RFC 7748, RFC 8731. */

#include <bearssl.h>

EICEI_ASSERT_FITS(sha256, sizeof(br_sha256_context), sizeof(eice_sha256_ctx));
EICEI_ASSERT_FITS(sha512, sizeof(br_sha512_context), sizeof(eice_sha512_ctx));
EICEI_ASSERT_FITS(drbg, sizeof(br_hmac_drbg_context), sizeof(eice_drbg));

#ifndef EICE_FAST_AES
#define EICE_FAST_AES() \
    (br_aes_x86ni_ctr_get_vtable() != NULL && br_ghash_pclmul_get() != 0)
#endif

EICE_API bool eice_fast_aes(void)
{
    return EICE_FAST_AES();
}

EICE_API void eice_sha1(uint8_t out[20], const void *data, size_t len)
{
    br_sha1_context ctx;

    br_sha1_init(&ctx);
    br_sha1_update(&ctx, data, len);
    br_sha1_out(&ctx, out);
    eice_wipe(&ctx, sizeof ctx);
}

EICE_API void eice_sha256_init(eice_sha256_ctx *c)
{
    br_sha256_init((br_sha256_context *)(void *)c->priv);
}

EICE_API void eice_sha256_update(eice_sha256_ctx *c, const void *data,
                                 size_t len)
{
    br_sha256_update((br_sha256_context *)(void *)c->priv, data, len);
}

EICE_API void eice_sha256_final(const eice_sha256_ctx *c, uint8_t out[32])
{
    br_sha256_out((const br_sha256_context *)(const void *)c->priv, out);
}

EICE_API void eice_sha256(uint8_t out[32], const void *data, size_t len)
{
    eice_sha256_ctx c;

    eice_sha256_init(&c);
    eice_sha256_update(&c, data, len);
    eice_sha256_final(&c, out);
    eice_wipe(&c, sizeof c);
}

EICE_API void eice_sha512_init(eice_sha512_ctx *c)
{
    br_sha512_init((br_sha512_context *)(void *)c->priv);
}

EICE_API void eice_sha512_update(eice_sha512_ctx *c, const void *data,
                                 size_t len)
{
    br_sha512_update((br_sha512_context *)(void *)c->priv, data, len);
}

EICE_API void eice_sha512_final(const eice_sha512_ctx *c, uint8_t out[64])
{
    br_sha512_out((const br_sha512_context *)(const void *)c->priv, out);
}

EICE_API void eice_sha512(uint8_t out[64], const void *data, size_t len)
{
    eice_sha512_ctx c;

    eice_sha512_init(&c);
    eice_sha512_update(&c, data, len);
    eice_sha512_final(&c, out);
    eice_wipe(&c, sizeof c);
}

EICEI_PRIVATE void eicei_crypto_hmac(uint8_t *out, const br_hash_class *hash,
                                     eice_str key, eice_str data)
{
    br_hmac_key_context pads;
    br_hmac_context ctx;

    br_hmac_key_init(&pads, hash, key.ptr, key.len);
    br_hmac_init(&ctx, &pads, 0);
    br_hmac_update(&ctx, data.ptr, data.len);
    br_hmac_out(&ctx, out);
    eice_wipe(&pads, sizeof pads);
    eice_wipe(&ctx, sizeof ctx);
}

EICE_API void eice_hmac_sha1(uint8_t out[20], eice_str key, eice_str data)
{
    eicei_crypto_hmac(out, &br_sha1_vtable, key, data);
}

EICE_API void eice_hmac_sha256(uint8_t out[32], const void *key,
                               size_t key_len, const void *data, size_t len)
{
    eicei_crypto_hmac(out, &br_sha256_vtable, eice_str_make(key, key_len),
                      eice_str_make(data, len));
}

EICEI_PRIVATE uint32_t eicei_crypto_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8
           | p[3];
}

/* The implementations TLS and SSH use anyway. */
EICE_API void eice_aes_ctr(const void *key, size_t key_len,
                           const uint8_t counter[16], void *data, size_t len)
{
    const br_block_ctr_class *const aes = sizeof(size_t) >= 8
                                              ? &br_aes_ct64_ctr_vtable
                                              : &br_aes_ct_ctr_vtable;
    br_aes_gen_ctr_keys ctx;
    uint8_t block[16];
    uint8_t *p = (uint8_t *)data;
    size_t i;

    memcpy(block, counter, sizeof block);
    aes->init(&ctx.vtable, key, key_len);
    while (len > 0) {
        const size_t n = len < 16 ? len : 16;

        aes->run(&ctx.vtable, block, eicei_crypto_u32(block + 12), p, n);
        p += n;
        len -= n;
        for (i = 16; i-- > 0 && ++block[i] == 0;) {
        }
    }
    eice_wipe(&ctx, sizeof ctx);
    eice_wipe(block, sizeof block);
}

EICE_API void eice_aes_cbc_decrypt(const void *key, size_t key_len,
                                   const uint8_t iv[16], void *data,
                                   size_t len)
{
    const br_block_cbcdec_class *const aes = sizeof(size_t) >= 8
                                                 ? &br_aes_ct64_cbcdec_vtable
                                                 : &br_aes_ct_cbcdec_vtable;
    br_aes_gen_cbcdec_keys ctx;
    uint8_t *p = (uint8_t *)data;
    uint32_t block[4]; /* BearSSL reads words here */
    uint8_t last[16];

    memcpy(last, iv, sizeof last);
    aes->init(&ctx.vtable, key, key_len);
    for (; len >= 16; p += 16, len -= 16) {
        memcpy(block, p, sizeof block);
        aes->run(&ctx.vtable, last, block, sizeof block);
        memcpy(p, block, sizeof block);
    }
    eice_wipe(&ctx, sizeof ctx);
    eice_wipe(block, sizeof block);
}

EICEI_PRIVATE br_hmac_drbg_context *eicei_crypto_drbg(eice_drbg *d)
{
    return (br_hmac_drbg_context *)(void *)d->priv;
}

EICE_API void eice_drbg_init(eice_drbg *d, const void *seed, size_t len)
{
    br_hmac_drbg_init(eicei_crypto_drbg(d), &br_sha256_vtable, seed, len);
}

EICE_API void eice_drbg_generate(eice_drbg *d, void *out, size_t len)
{
    br_hmac_drbg_generate(eicei_crypto_drbg(d), out, len);
}

EICE_API void eice_drbg_reseed(eice_drbg *d, const void *seed, size_t len)
{
    br_hmac_drbg_update(eicei_crypto_drbg(d), seed, len);
}

EICE_API void eice_drbg_wipe(eice_drbg *d)
{
    eice_wipe(d, sizeof *d);
}

EICE_API bool eice_x25519(uint8_t out[32], const uint8_t scalar[32],
                          const uint8_t point[32])
{
    const br_ec_impl *const ec = br_ec_get_default();
    uint8_t result[32];
    uint8_t bits = 0;
    uint32_t done;
    size_t i;

    /* BearSSL 0.6 takes this curve's multipliers in little-endian form, which
     * is not what its header says. */
    memcpy(result, point, sizeof result);
    done = ec->mul(result, sizeof result, scalar, 32, BR_EC_curve25519);
    for (i = 0; i < sizeof result; i++) {
        bits = (uint8_t)(bits | result[i]);
    }
    memcpy(out, result, sizeof result);
    eice_wipe(result, sizeof result);
    return (done & (uint32_t)(bits != 0)) != 0;
}

EICE_API bool eice_rsa_generate(eice_rsa_key *k, unsigned bits, eice_drbg *d)
{
    br_rsa_private_key sk;
    br_rsa_public_key pk;

    memset(k, 0, sizeof *k);
    if (bits < 2048 || bits > EICE_RSA_MAX * 8 || bits % 8 != 0
        || br_rsa_keygen_get_default()(&eicei_crypto_drbg(d)->vtable, &sk,
                                       k->secret, &pk, k->n, bits, 65537)
               == 0) {
        eice_wipe(k, sizeof *k);
        return false;
    }
    k->at[0] = (uint16_t)(sk.p - k->secret);
    k->at[1] = (uint16_t)(sk.q - k->secret);
    k->at[2] = (uint16_t)(sk.dp - k->secret);
    k->at[3] = (uint16_t)(sk.dq - k->secret);
    k->at[4] = (uint16_t)(sk.iq - k->secret);
    k->len[0] = (uint16_t)sk.plen;
    k->len[1] = (uint16_t)sk.qlen;
    k->len[2] = (uint16_t)sk.dplen;
    k->len[3] = (uint16_t)sk.dqlen;
    k->len[4] = (uint16_t)sk.iqlen;
    memmove(k->n, pk.n, pk.nlen);
    k->bits = bits;
    k->e = 65537;
    return true;
}

EICEI_PRIVATE eice_str eicei_rsa_strip(eice_str s)
{
    while (s.len > 0 && s.ptr[0] == 0) {
        s = eice_str_make(s.ptr + 1, s.len - 1);
    }
    return s;
}

/* d mod (p - 1), bit by bit, in a time that depends on lengths only. `p` is
 * odd and as long as `out`. */
EICEI_PRIVATE void eicei_rsa_exponent(uint8_t *out, eice_str p, eice_str d)
{
    uint8_t less[EICE_RSA_MAX / 2];
    size_t bit;
    size_t i;

    memset(out, 0, p.len);
    for (bit = 0; bit < d.len * 8; bit++) {
        uint32_t carry = (uint32_t)(uint8_t)d.ptr[bit / 8] >> (7 - bit % 8) & 1;
        uint32_t borrow = 0;
        uint8_t keep;

        for (i = p.len; i-- > 0;) {
            carry |= (uint32_t)out[i] << 1;
            out[i] = (uint8_t)(carry & 0xff);
            carry >>= 8;
        }
        for (i = p.len; i-- > 0;) {
            const uint32_t m = (uint8_t)p.ptr[i] & (i + 1 == p.len ? 0xfeu
                                                                   : 0xffu);

            borrow = out[i] - m - borrow;
            less[i] = (uint8_t)(borrow & 0xff);
            borrow = borrow >> 8 & 1;
        }
        keep = (uint8_t)(0 - (borrow & (carry ^ 1)));
        for (i = 0; i < p.len; i++) {
            out[i] = (uint8_t)((out[i] & keep) | (less[i] & ~keep & 0xff));
        }
    }
    eice_wipe(less, sizeof less);
}

/* Whether a signature of the private half fits the public half. */
EICEI_PRIVATE bool eicei_rsa_pair(eice_rsa_key *k)
{
    uint8_t sig[EICE_RSA_MAX];
    uint8_t hash[32];
    uint8_t got[32];
    uint8_t e[4];
    br_rsa_public_key pk;
    size_t n;

    memset(sig, 0, sizeof sig);
    n = eice_rsa_sign(k, false, eice_str_c(""), sig);
    eice_sha256(hash, NULL, 0);
    e[0] = (uint8_t)(k->e >> 24);
    e[1] = (uint8_t)(k->e >> 16 & 0xff);
    e[2] = (uint8_t)(k->e >> 8 & 0xff);
    e[3] = (uint8_t)(k->e & 0xff);
    pk.n = k->n;
    pk.nlen = n;
    pk.e = e;
    pk.elen = sizeof e;
    return n > 0
           && br_rsa_pkcs1_vrfy_get_default()(sig, n, BR_HASH_OID_SHA256,
                                              sizeof hash, &pk, got)
                  != 0
           && memcmp(hash, got, sizeof hash) == 0;
}

EICE_API bool eice_rsa_set(eice_rsa_key *k, eice_str n, eice_str e, eice_str d,
                           eice_str p, eice_str q, eice_str iq)
{
    eice_str part[5];
    size_t i;

    part[0] = eicei_rsa_strip(p);
    part[1] = eicei_rsa_strip(q);
    part[2] = part[0];
    part[3] = part[1];
    part[4] = eicei_rsa_strip(iq);
    n = eicei_rsa_strip(n);
    e = eicei_rsa_strip(e);
    d = eicei_rsa_strip(d);
    memset(k, 0, sizeof *k);
    if (n.len < 256 || n.len > EICE_RSA_MAX || (n.ptr[0] & 0x80) == 0
        || e.len == 0 || e.len > 4 || d.len > n.len) {
        return false;
    }
    for (i = 0; i < 5; i++) {
        if (part[i].len == 0 || part[i].len > EICE_RSA_MAX / 2
            || (i < 2 && (part[i].ptr[part[i].len - 1] & 1) == 0)) {
            eice_wipe(k, sizeof *k);
            return false;
        }
        k->at[i] = (uint16_t)(i * (EICE_RSA_MAX / 2 + 1));
        k->len[i] = (uint16_t)part[i].len;
        if (i == 2 || i == 3) {
            eicei_rsa_exponent(k->secret + k->at[i], part[i], d);
        } else {
            memcpy(k->secret + k->at[i], part[i].ptr, part[i].len);
        }
    }
    for (i = 0; i < e.len; i++) {
        k->e = k->e << 8 | (uint8_t)e.ptr[i];
    }
    memcpy(k->n, n.ptr, n.len);
    k->bits = (uint32_t)n.len * 8;
    if (!eicei_rsa_pair(k)) {
        eice_wipe(k, sizeof *k);
        return false;
    }
    return true;
}

EICE_API size_t eice_rsa_sign(eice_rsa_key *k, bool sha512, eice_str data,
                              uint8_t sig[EICE_RSA_MAX])
{
    br_rsa_private_key sk;
    uint8_t hash[64];
    uint32_t good;

    if (k->bits == 0) {
        return 0;
    }
    sk.n_bitlen = k->bits;
    sk.p = k->secret + k->at[0];
    sk.plen = k->len[0];
    sk.q = k->secret + k->at[1];
    sk.qlen = k->len[1];
    sk.dp = k->secret + k->at[2];
    sk.dplen = k->len[2];
    sk.dq = k->secret + k->at[3];
    sk.dqlen = k->len[3];
    sk.iq = k->secret + k->at[4];
    sk.iqlen = k->len[4];
    if (sha512) {
        eice_sha512(hash, data.ptr, data.len);
    } else {
        eice_sha256(hash, data.ptr, data.len);
    }
    good = br_rsa_pkcs1_sign_get_default()(
        sha512 ? BR_HASH_OID_SHA512 : BR_HASH_OID_SHA256, hash,
        sha512 ? 64 : 32, &sk, sig);
    return good != 0 ? (k->bits + 7) / 8 : 0;
}

EICEI_PRIVATE int eicei_ec_curve(unsigned bits)
{
    return bits == 256   ? BR_EC_secp256r1
           : bits == 384 ? BR_EC_secp384r1
           : bits == 521 ? BR_EC_secp521r1
                         : 0;
}

EICE_API bool eice_ec_set(eice_ec_key *k, unsigned bits, eice_str secret)
{
    const br_ec_impl *const ec = br_ec_get_default();
    const size_t len = (bits + 7) / 8;
    uint8_t sig[2 * EICE_EC_MAX];

    secret = eicei_rsa_strip(secret);
    memset(k, 0, sizeof *k);
    if (eicei_ec_curve(bits) == 0 || secret.len > len) {
        return false;
    }
    memcpy(k->secret + len - secret.len, secret.ptr, secret.len);
    k->bits = bits;
    k->len = (uint32_t)len;
    /* signing knows which numbers are out of range */
    if (eice_ec_sign(k, eice_str_c(""), sig) == 0
        || ec->mulgen(k->point, k->secret, len, eicei_ec_curve(bits)) == 0) {
        eice_wipe(k, sizeof *k);
        return false;
    }
    return true;
}

EICE_API size_t eice_ec_sign(eice_ec_key *k, eice_str data,
                             uint8_t sig[2 * EICE_EC_MAX])
{
    const br_hash_class *const hf = k->bits == 256   ? &br_sha256_vtable
                                    : k->bits == 384 ? &br_sha384_vtable
                                                     : &br_sha512_vtable;
    br_hash_compat_context ctx;
    br_ec_private_key sk;
    uint8_t hash[64];

    sk.curve = eicei_ec_curve(k->bits);
    sk.x = k->secret;
    sk.xlen = k->len;
    hf->init(&ctx.vtable);
    hf->update(&ctx.vtable, data.ptr, data.len);
    hf->out(&ctx.vtable, hash);
    return br_ecdsa_i31_sign_raw(br_ec_get_default(), hf, hash, &sk, sig);
}

/* ======================================================================== *
 * 4  ED25519                                                    >>ed25519  *
 * ======================================================================== */

/* Purpose: Ed25519 in little code and little stack.
 * Level: pure; calls 2 and 3 (SHA-512).
 * Trusts: seed and public key given to sign. Distrusts: all that verify sees.
 * Memory: about 2 kB of stack; 288 bytes of constants, no other tables.
 * Sources: RFC 8032; Hisil, Wong, Carter and Dawson, "Twisted Edwards curves
 * revisited" (2008), 3.1 and 3.3, for the point formulas.
 *
 * Numbers. A num is eight 32-bit words, the least first: any value below
 * 2^256, so there are no bounds on single words to keep in mind. Sums and
 * products are formed in uint64_t, and none of them can wrap:
 *
 *   product step   a * b + word + carry <= (2^32-1)^2 + 2(2^32-1) = 2^64 - 1
 *   folding step   38 * a + word + carry < 2^38
 *
 * Differences may wrap; reduce looks at the borrow that shows it.
 *
 * Field elements (fe_*). p = 2^255 - 19. A num stands for its residue, and
 * every num is a legal representative (0, p and 2p mean the same), so inputs
 * and outputs of fe_* need no care. Since 2^256 = 2p + 38, what exceeds 256
 * bits is folded back in as 38 times the excess. Only fe_canonical brings a
 * value below p, for encoding and comparing.
 *
 * Scalars (sc_*). Modulo L, the order of the base point, always below L.
 *
 * Points. Extended coordinates: x = X/Z, y = Y/Z, T = XY/Z. The addition is
 * complete because d is not a square (RFC 8032 5.1.4): it holds for equal
 * points and for the neutral one as well, so no case needs a branch.
 *
 * Constant time. No branch and no index depends on a seed or what is made of
 * it; choices are masks. That the 32 x 32 -> 64 bit multiplication takes
 * constant time is assumed: true of today's processors, not of a Cortex-M3.
 */

/* ---- numbers of 256 bits ----------------------------------------------- */

typedef struct eicei_ed25519_num {
    uint32_t w[8];
} eicei_ed25519_num;

/* p = 2^255 - 19, the field's prime. */
static const eicei_ed25519_num eicei_ed25519_p = {
    {0xffffffed, 0xffffffff, 0xffffffff, 0xffffffff,
     0xffffffff, 0xffffffff, 0xffffffff, 0x7fffffff}};

/* L = 2^252 + 27742317777372353535851937790883648493, the group's order. */
static const eicei_ed25519_num eicei_ed25519_order = {
    {0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de,
     0x00000000, 0x00000000, 0x00000000, 0x10000000}};

/* 2d, where d = -121665/121666 is the curve's constant. */
static const eicei_ed25519_num eicei_ed25519_2d = {
    {0x26b2f159, 0xebd69b94, 0x8283b156, 0x00e0149a,
     0xeef3d130, 0x198e80f2, 0x56dffce7, 0x2406d9dc}};

/* A square root of -1: 2^((p-1)/4). */
static const eicei_ed25519_num eicei_ed25519_root = {
    {0x4a0ea0b0, 0xc4ee1b27, 0xad2fe478, 0x2f431806,
     0x3dfbd7a7, 0x2b4d0099, 0x4fc1df0b, 0x2b832480}};

static const eicei_ed25519_num eicei_ed25519_one = {
    {1, 0, 0, 0, 0, 0, 0, 0}};

/* x and y of the base point B (RFC 8032 5.1) and of 2^128 B. */
static const eicei_ed25519_num eicei_ed25519_base[2][2] = {
    {{{0x8f25d51a, 0xc9562d60, 0x9525a7b2, 0x692cc760,
       0xfdd6dc5c, 0xc0a4e231, 0xcd6e53fe, 0x216936d3}},
     {{0x66666658, 0x66666666, 0x66666666, 0x66666666,
       0x66666666, 0x66666666, 0x66666666, 0x66666666}}},
    {{{0x60b7e824, 0xfc8047ae, 0xc2e723e5, 0x98e685c9,
       0xe14e29a0, 0x952d3984, 0x3c45f32c, 0x4c27afff}},
     {{0x4bf5a66b, 0x5bbabd11, 0x51a4c49e, 0x90d0be1e,
       0x26c29c3a, 0x95f11eb6, 0x526dc87d, 0x5f2c99e6}}}};

/* Reads little-endian words. */
EICEI_PRIVATE void eicei_ed25519_load(uint32_t *words, const uint8_t *in,
                                      size_t count)
{
    size_t i;

    for (i = 0; i < count; i++, in += 4) {
        words[i] = (uint32_t)in[0] | (uint32_t)in[1] << 8
                   | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
    }
}

EICEI_PRIVATE void eicei_ed25519_store(uint8_t out[32],
                                       const eicei_ed25519_num *a)
{
    size_t i;

    for (i = 0; i < 32; i++) {
        out[i] = (uint8_t)(a->w[i / 4] >> (i % 4 * 8));
    }
}

/* r = mask ? a : r; the mask is all ones or all zeros. */
EICEI_PRIVATE void eicei_ed25519_choose(eicei_ed25519_num *r,
                                        const eicei_ed25519_num *a,
                                        uint32_t mask)
{
    size_t i;

    for (i = 0; i < 8; i++) {
        r->w[i] ^= mask & (r->w[i] ^ a->w[i]);
    }
}

/* r = r - m where r >= m, else r stays. Returns 1 when it stayed. */
EICEI_PRIVATE uint32_t eicei_ed25519_reduce(eicei_ed25519_num *r,
                                            const eicei_ed25519_num *m)
{
    eicei_ed25519_num less;
    uint32_t borrow = 0;
    size_t i;

    for (i = 0; i < 8; i++) {
        const uint64_t t = (uint64_t)r->w[i] - m->w[i] - borrow;

        less.w[i] = (uint32_t)t;
        borrow = (uint32_t)(t >> 32) & 1;
    }
    eicei_ed25519_choose(r, &less, borrow - 1);
    return borrow;
}

/* wide = a * b */
EICEI_PRIVATE void eicei_ed25519_product(uint32_t wide[16],
                                         const eicei_ed25519_num *a,
                                         const eicei_ed25519_num *b)
{
    size_t i;
    size_t j;

    memset(wide, 0, 16 * sizeof wide[0]);
    for (i = 0; i < 8; i++) {
        uint64_t t = 0;

        for (j = 0; j < 8; j++) {
            t += (uint64_t)a->w[i] * b->w[j] + wide[i + j];
            wide[i + j] = (uint32_t)t;
            t >>= 32;
        }
        wide[i + 8] = (uint32_t)t;
    }
}

/* ---- the field --------------------------------------------------------- */

/* r = r + 2^256 * carry, for a carry below 40, the most fe_mul leaves. The
 * first pass may carry out 1 more; then r is below 38 * 40, and the second
 * pass cannot. */
EICEI_PRIVATE void eicei_ed25519_fe_fold(eicei_ed25519_num *r, uint64_t carry)
{
    unsigned pass;
    size_t i;

    for (pass = 0; pass < 2; pass++) {
        carry *= 38;
        for (i = 0; i < 8; i++) {
            carry += r->w[i];
            r->w[i] = (uint32_t)carry;
            carry >>= 32;
        }
    }
}

EICEI_PRIVATE void eicei_ed25519_fe_add(eicei_ed25519_num *r,
                                        const eicei_ed25519_num *a,
                                        const eicei_ed25519_num *b)
{
    uint64_t t = 0;
    size_t i;

    for (i = 0; i < 8; i++) {
        t += (uint64_t)a->w[i] + b->w[i];
        r->w[i] = (uint32_t)t;
        t >>= 32;
    }
    eicei_ed25519_fe_fold(r, t);
}

/* r = a - b + 4p, which is positive. -b is ~b + 1 - 2^256; the rest, which is
 * 4p + 1 - 2^256 = 2^256 - 75, is added word by word. */
EICEI_PRIVATE void eicei_ed25519_fe_sub(eicei_ed25519_num *r,
                                        const eicei_ed25519_num *a,
                                        const eicei_ed25519_num *b)
{
    uint64_t t = 0;
    size_t i;

    for (i = 0; i < 8; i++) {
        t += (uint64_t)a->w[i] + (0xffffffffu ^ b->w[i]);
        t += i == 0 ? 0xffffffb5u : 0xffffffffu;
        r->w[i] = (uint32_t)t;
        t >>= 32;
    }
    eicei_ed25519_fe_fold(r, t);
}

EICEI_PRIVATE void eicei_ed25519_fe_mul(eicei_ed25519_num *r,
                                        const eicei_ed25519_num *a,
                                        const eicei_ed25519_num *b)
{
    uint32_t wide[16];
    uint64_t t = 0;
    size_t i;

    eicei_ed25519_product(wide, a, b);
    for (i = 0; i < 8; i++) {
        t += (uint64_t)wide[i + 8] * 38 + wide[i];
        r->w[i] = (uint32_t)t;
        t >>= 32;
    }
    eicei_ed25519_fe_fold(r, t);
}

/* r = r^(2^count) */
EICEI_PRIVATE void eicei_ed25519_fe_square(eicei_ed25519_num *r,
                                           unsigned count)
{
    while (count-- > 0) {
        eicei_ed25519_fe_mul(r, r, r);
    }
}

/* r = a^((2^250 - 1) * 2^bits + tail), the tail being odd. Both exponents that
 * are needed are like this: p - 2 (tail 11 of 5 bits) and (p - 5)/8 (tail 1 of
 * 2 bits). A run of n ones becomes one of 2n or 2n + 1, along 250's bits. */
EICEI_PRIVATE void eicei_ed25519_fe_power(eicei_ed25519_num *r,
                                          const eicei_ed25519_num *a,
                                          unsigned tail, unsigned bits)
{
    eicei_ed25519_num t = *a;
    eicei_ed25519_num half;
    unsigned i;

    for (i = 7; i-- > 0;) {
        half = t;
        eicei_ed25519_fe_square(&t, 250u >> (i + 1));
        eicei_ed25519_fe_mul(&t, &t, &half);
        if ((250u >> i & 1) != 0) {
            eicei_ed25519_fe_square(&t, 1);
            eicei_ed25519_fe_mul(&t, &t, a);
        }
    }
    for (i = bits - 1; i > 0; i--) {
        eicei_ed25519_fe_square(&t, 1);
        if ((tail >> i & 1) != 0) {
            eicei_ed25519_fe_mul(&t, &t, a);
        }
    }
    eicei_ed25519_fe_square(&t, 1);
    eicei_ed25519_fe_mul(r, &t, a);
    eice_wipe(&t, sizeof t);
    eice_wipe(&half, sizeof half);
}

/* Brings r below p: it is below 2^256 = 2p + 38, so twice is enough. */
EICEI_PRIVATE void eicei_ed25519_fe_canonical(eicei_ed25519_num *r)
{
    eicei_ed25519_reduce(r, &eicei_ed25519_p);
    eicei_ed25519_reduce(r, &eicei_ed25519_p);
}

/* Not constant time: for public values. */
EICEI_PRIVATE bool eicei_ed25519_fe_equal(const eicei_ed25519_num *a,
                                          const eicei_ed25519_num *b)
{
    eicei_ed25519_num difference;
    uint32_t bits = 0;
    size_t i;

    eicei_ed25519_fe_sub(&difference, a, b);
    eicei_ed25519_fe_canonical(&difference);
    for (i = 0; i < 8; i++) {
        bits |= difference.w[i];
    }
    return bits == 0;
}

/* ---- scalars ----------------------------------------------------------- */

/* r = wide mod L, bit by bit: r stays below L, so 2r + 1 is below 2^254. */
EICEI_PRIVATE void eicei_ed25519_sc_reduce(eicei_ed25519_num *r,
                                           const uint32_t wide[16])
{
    size_t bit;
    size_t i;

    memset(r, 0, sizeof *r);
    for (bit = 512; bit-- > 0;) {
        uint32_t in = wide[bit / 32] >> (bit % 32) & 1;

        for (i = 0; i < 8; i++) {
            const uint32_t out = r->w[i] >> 31;

            r->w[i] = r->w[i] << 1 | in;
            in = out;
        }
        eicei_ed25519_reduce(r, &eicei_ed25519_order);
    }
}

/* r = r + a * b mod L, where r is below L: a * b is at most (2^256 - 1)^2,
 * so the sum is below 2^512. */
EICEI_PRIVATE void eicei_ed25519_sc_add_product(eicei_ed25519_num *r,
                                                const eicei_ed25519_num *a,
                                                const eicei_ed25519_num *b)
{
    uint32_t wide[16];
    uint64_t t = 0;
    size_t i;

    eicei_ed25519_product(wide, a, b);
    for (i = 0; i < 16; i++) {
        t += (uint64_t)wide[i] + (i < 8 ? r->w[i] : 0);
        wide[i] = (uint32_t)t;
        t >>= 32;
    }
    eicei_ed25519_sc_reduce(r, wide);
    eice_wipe(wide, sizeof wide);
}

/* ---- points ------------------------------------------------------------ */

typedef struct eicei_ed25519_point {
    eicei_ed25519_num x;
    eicei_ed25519_num y;
    eicei_ed25519_num z;
    eicei_ed25519_num t;
} eicei_ed25519_point;

/* A point made ready to be added: Y + X, Y - X, 2Z, 2dT. */
typedef struct eicei_ed25519_addend {
    eicei_ed25519_num sum;
    eicei_ed25519_num difference;
    eicei_ed25519_num z2;
    eicei_ed25519_num t2d;
} eicei_ed25519_addend;

EICEI_PRIVATE void eicei_ed25519_affine(eicei_ed25519_point *r,
                                        const eicei_ed25519_num *x,
                                        const eicei_ed25519_num *y)
{
    r->x = *x;
    r->y = *y;
    r->z = eicei_ed25519_one;
    eicei_ed25519_fe_mul(&r->t, x, y);
}

EICEI_PRIVATE void eicei_ed25519_prepare(eicei_ed25519_addend *r,
                                         const eicei_ed25519_point *p)
{
    eicei_ed25519_fe_add(&r->sum, &p->y, &p->x);
    eicei_ed25519_fe_sub(&r->difference, &p->y, &p->x);
    eicei_ed25519_fe_add(&r->z2, &p->z, &p->z);
    eicei_ed25519_fe_mul(&r->t2d, &p->t, &eicei_ed25519_2d);
}

/* The common end of both formulas. */
EICEI_PRIVATE void eicei_ed25519_finish(eicei_ed25519_point *r,
                                        const eicei_ed25519_num *e,
                                        const eicei_ed25519_num *f,
                                        const eicei_ed25519_num *g,
                                        const eicei_ed25519_num *h)
{
    eicei_ed25519_fe_mul(&r->x, e, f);
    eicei_ed25519_fe_mul(&r->y, g, h);
    eicei_ed25519_fe_mul(&r->z, f, g);
    eicei_ed25519_fe_mul(&r->t, e, h);
}

/* r = r + q */
EICEI_PRIVATE void eicei_ed25519_add(eicei_ed25519_point *r,
                                     const eicei_ed25519_addend *q)
{
    eicei_ed25519_num e;
    eicei_ed25519_num f;
    eicei_ed25519_num g;
    eicei_ed25519_num h;

    eicei_ed25519_fe_sub(&f, &r->y, &r->x);
    eicei_ed25519_fe_mul(&f, &f, &q->difference);
    eicei_ed25519_fe_add(&g, &r->y, &r->x);
    eicei_ed25519_fe_mul(&g, &g, &q->sum);
    eicei_ed25519_fe_sub(&e, &g, &f);
    eicei_ed25519_fe_add(&h, &g, &f);
    eicei_ed25519_fe_mul(&r->t, &r->t, &q->t2d);
    eicei_ed25519_fe_mul(&r->z, &r->z, &q->z2);
    eicei_ed25519_fe_sub(&f, &r->z, &r->t);
    eicei_ed25519_fe_add(&g, &r->z, &r->t);
    eicei_ed25519_finish(r, &e, &f, &g, &h);
}

/* r = 2r */
EICEI_PRIVATE void eicei_ed25519_double(eicei_ed25519_point *r)
{
    eicei_ed25519_num e;
    eicei_ed25519_num f;
    eicei_ed25519_num g;
    eicei_ed25519_num h;

    eicei_ed25519_fe_add(&e, &r->x, &r->y);
    eicei_ed25519_fe_square(&e, 1);
    eicei_ed25519_fe_square(&r->x, 1);
    eicei_ed25519_fe_square(&r->y, 1);
    eicei_ed25519_fe_square(&r->z, 1);
    eicei_ed25519_fe_add(&h, &r->x, &r->y);
    eicei_ed25519_fe_sub(&e, &h, &e);
    eicei_ed25519_fe_sub(&g, &r->x, &r->y);
    eicei_ed25519_fe_add(&f, &r->z, &r->z);
    eicei_ed25519_fe_add(&f, &f, &g);
    eicei_ed25519_finish(r, &e, &f, &g, &h);
}

/* r = table[index], every entry being read. */
EICEI_PRIVATE void eicei_ed25519_select(eicei_ed25519_addend *r,
                                        const eicei_ed25519_addend table[4],
                                        uint32_t index)
{
    uint32_t i;

    *r = table[0];
    for (i = 1; i < 4; i++) {
        /* i ^ index is 0 to 3: less 1, its top bit is set for 0 alone. */
        const uint32_t mask = 0 - (((i ^ index) - 1) >> 31);

        eicei_ed25519_choose(&r->sum, &table[i].sum, mask);
        eicei_ed25519_choose(&r->difference, &table[i].difference, mask);
        eicei_ed25519_choose(&r->z2, &table[i].z2, mask);
        eicei_ed25519_choose(&r->t2d, &table[i].t2d, mask);
    }
}

/* table = {neutral, p[0], p[1], p[0] + p[1]} */
EICEI_PRIVATE void eicei_ed25519_tabulate(eicei_ed25519_addend table[4],
                                          const eicei_ed25519_point p[2])
{
    eicei_ed25519_point both = p[0];

    eicei_ed25519_prepare(&table[1], &p[0]);
    eicei_ed25519_prepare(&table[2], &p[1]);
    eicei_ed25519_add(&both, &table[2]);
    eicei_ed25519_prepare(&table[3], &both);
    memset(&both, 0, sizeof both);
    both.y = eicei_ed25519_one;
    both.z = eicei_ed25519_one;
    eicei_ed25519_prepare(&table[0], &both);
}

/* r = k[0] p[0] + k[1] p[1] for multipliers below 2^bits: the doublings are
 * shared (Straus), one addition a bit. Constant time. */
EICEI_PRIVATE void eicei_ed25519_multiply(eicei_ed25519_point *r,
                                          const eicei_ed25519_num k[2],
                                          const eicei_ed25519_point p[2],
                                          size_t bits)
{
    eicei_ed25519_addend table[4];
    eicei_ed25519_addend chosen;

    eicei_ed25519_tabulate(table, p);
    memset(r, 0, sizeof *r);
    r->y = eicei_ed25519_one;
    r->z = eicei_ed25519_one;
    while (bits-- > 0) {
        const uint32_t low = k[0].w[bits / 32] >> (bits % 32) & 1;
        const uint32_t high = k[1].w[bits / 32] >> (bits % 32) & 1;

        eicei_ed25519_double(r);
        eicei_ed25519_select(&chosen, table, low | high << 1);
        eicei_ed25519_add(r, &chosen);
    }
    eice_wipe(&chosen, sizeof chosen);
}

/* r = k B. The halves of k go with B and 2^128 B. */
EICEI_PRIVATE void eicei_ed25519_multiply_base(eicei_ed25519_point *r,
                                               const eicei_ed25519_num *k)
{
    eicei_ed25519_point p[2];
    eicei_ed25519_num half[2];
    size_t i;

    memset(half, 0, sizeof half);
    for (i = 0; i < 2; i++) {
        memcpy(half[i].w, k->w + 4 * i, 4 * sizeof k->w[0]);
        eicei_ed25519_affine(&p[i], &eicei_ed25519_base[i][0],
                             &eicei_ed25519_base[i][1]);
    }
    eicei_ed25519_multiply(r, half, p, 128);
    eice_wipe(half, sizeof half);
}

/* RFC 8032 5.1.2. Wipes the point: its Z, which the encoding hides, tells of
 * the multiplier it was made with. */
EICEI_PRIVATE void eicei_ed25519_encode(uint8_t out[32],
                                        eicei_ed25519_point *p)
{
    eicei_ed25519_fe_power(&p->z, &p->z, 11, 5);
    eicei_ed25519_fe_mul(&p->x, &p->x, &p->z);
    eicei_ed25519_fe_mul(&p->y, &p->y, &p->z);
    eicei_ed25519_fe_canonical(&p->x);
    eicei_ed25519_fe_canonical(&p->y);
    eicei_ed25519_store(out, &p->y);
    out[31] = (uint8_t)(out[31] | (p->x.w[0] & 1) << 7);
    eice_wipe(p, sizeof *p);
}

/* r = a square root of u/v: u v^3 (u v^7)^((p-5)/8), or that times the root of
 * -1 (RFC 8032 5.1.3). False when there is none. */
EICEI_PRIVATE bool eicei_ed25519_fe_root(eicei_ed25519_num *r,
                                         const eicei_ed25519_num *u,
                                         const eicei_ed25519_num *v)
{
    eicei_ed25519_num uv3 = *v;
    eicei_ed25519_num t = *v;
    unsigned i;

    eicei_ed25519_fe_square(&t, 1);
    eicei_ed25519_fe_mul(&uv3, &t, v);
    eicei_ed25519_fe_mul(&uv3, &uv3, u);
    eicei_ed25519_fe_square(&t, 1);
    eicei_ed25519_fe_mul(&t, &t, &uv3);
    eicei_ed25519_fe_power(&t, &t, 1, 2);
    eicei_ed25519_fe_mul(r, &t, &uv3);
    for (i = 0; i < 2; i++) {
        t = *r;
        eicei_ed25519_fe_square(&t, 1);
        eicei_ed25519_fe_mul(&t, &t, v);
        if (eicei_ed25519_fe_equal(&t, u)) {
            return true;
        }
        eicei_ed25519_fe_mul(r, r, &eicei_ed25519_root);
    }
    return false;
}

/* r = -A for the A that `in` encodes: x^2 = (y^2 - 1)/(d y^2 + 1), the sign in
 * the top bit. False when y is not below p, when there is no such point and
 * for a negative zero (RFC 8032 5.1.3). */
EICEI_PRIVATE bool eicei_ed25519_decode_negative(eicei_ed25519_point *r,
                                                 const uint8_t in[32])
{
    const uint32_t sign = in[31] >> 7;
    eicei_ed25519_num zero;
    eicei_ed25519_num x;
    eicei_ed25519_num y;
    eicei_ed25519_num u;
    eicei_ed25519_num v;

    memset(&zero, 0, sizeof zero);
    eicei_ed25519_load(y.w, in, 8);
    y.w[7] &= 0x7fffffff;
    x = y;
    if (eicei_ed25519_reduce(&x, &eicei_ed25519_p) == 0) {
        return false;
    }
    /* Numerator and denominator are doubled here, for the sake of 2d. */
    eicei_ed25519_fe_square(&x, 1);
    eicei_ed25519_fe_mul(&v, &x, &eicei_ed25519_2d);
    eicei_ed25519_fe_add(&v, &v, &eicei_ed25519_one);
    eicei_ed25519_fe_add(&v, &v, &eicei_ed25519_one);
    eicei_ed25519_fe_sub(&u, &x, &eicei_ed25519_one);
    eicei_ed25519_fe_add(&u, &u, &u);
    if (!eicei_ed25519_fe_root(&x, &u, &v)) {
        return false;
    }
    eicei_ed25519_fe_canonical(&x);
    if (sign != 0 && eicei_ed25519_fe_equal(&x, &zero)) {
        return false;
    }
    if ((x.w[0] & 1) == sign) {
        eicei_ed25519_fe_sub(&x, &zero, &x);
    }
    eicei_ed25519_affine(r, &x, &y);
    return true;
}

/* ---- keys and signatures ----------------------------------------------- */

/* RFC 8032 5.1.5: the first half of the seed's hash, clamped, is the secret
 * scalar, the second half the prefix that makes nonces. */
EICEI_PRIVATE void eicei_ed25519_expand(eicei_ed25519_num *scalar,
                                        uint8_t prefix[32],
                                        const uint8_t seed[32])
{
    uint8_t hash[64];

    eice_sha512(hash, seed, 32);
    eicei_ed25519_load(scalar->w, hash, 8);
    scalar->w[0] &= 0xfffffff8;
    scalar->w[7] &= 0x7fffffff;
    scalar->w[7] |= 0x40000000;
    memcpy(prefix, hash + 32, 32);
    eice_wipe(hash, sizeof hash);
}

/* Ends a hash, as a number modulo L, and wipes its context. */
EICEI_PRIVATE void eicei_ed25519_sc_hash(eicei_ed25519_num *r,
                                         eice_sha512_ctx *ctx)
{
    uint8_t hash[64];
    uint32_t wide[16];

    eice_sha512_final(ctx, hash);
    eice_wipe(ctx, sizeof *ctx);
    eicei_ed25519_load(wide, hash, 16);
    eicei_ed25519_sc_reduce(r, wide);
    eice_wipe(hash, sizeof hash);
    eice_wipe(wide, sizeof wide);
}

/* r = SHA-512(R, A, M) mod L, where R is the signature's first half. */
EICEI_PRIVATE void eicei_ed25519_challenge(eicei_ed25519_num *r,
                                           const uint8_t sig[64],
                                           const uint8_t public_key[32],
                                           const void *msg, size_t len)
{
    eice_sha512_ctx ctx;

    eice_sha512_init(&ctx);
    eice_sha512_update(&ctx, sig, 32);
    eice_sha512_update(&ctx, public_key, 32);
    eice_sha512_update(&ctx, msg, len);
    eicei_ed25519_sc_hash(r, &ctx);
}

EICE_API void eice_ed25519_public(uint8_t public_key[32],
                                  const uint8_t seed[32])
{
    eicei_ed25519_num scalar;
    eicei_ed25519_point p;
    uint8_t prefix[32];

    eicei_ed25519_expand(&scalar, prefix, seed);
    eicei_ed25519_multiply_base(&p, &scalar);
    eicei_ed25519_encode(public_key, &p);
    eice_wipe(&scalar, sizeof scalar);
    eice_wipe(prefix, sizeof prefix);
}

/* RFC 8032 5.1.6 */
EICE_API void eice_ed25519_sign(uint8_t sig[64], const uint8_t seed[32],
                                const uint8_t public_key[32], const void *msg,
                                size_t len)
{
    eicei_ed25519_num scalar;
    eicei_ed25519_num nonce;
    eicei_ed25519_num challenge;
    eicei_ed25519_point p;
    eice_sha512_ctx ctx;
    uint8_t prefix[32];

    eicei_ed25519_expand(&scalar, prefix, seed);
    eice_sha512_init(&ctx);
    eice_sha512_update(&ctx, prefix, sizeof prefix);
    eice_sha512_update(&ctx, msg, len);
    eicei_ed25519_sc_hash(&nonce, &ctx);
    eicei_ed25519_multiply_base(&p, &nonce);
    eicei_ed25519_encode(sig, &p);
    eicei_ed25519_challenge(&challenge, sig, public_key, msg, len);
    eicei_ed25519_sc_add_product(&nonce, &challenge, &scalar);
    eicei_ed25519_store(sig + 32, &nonce);
    eice_wipe(&scalar, sizeof scalar);
    eice_wipe(&nonce, sizeof nonce);
    eice_wipe(prefix, sizeof prefix);
}

/* RFC 8032 5.1.7: R = S B - k A. The R computed is encoded and compared with
 * the one given, so every other encoding of R is refused too. */
EICE_API bool eice_ed25519_verify(const uint8_t sig[64],
                                  const uint8_t public_key[32],
                                  const void *msg, size_t len)
{
    eicei_ed25519_num k[2];
    eicei_ed25519_point p[2];
    eicei_ed25519_point r;
    uint8_t encoded[32];

    eicei_ed25519_load(k[0].w, sig + 32, 8);
    if (eicei_ed25519_reduce(&k[0], &eicei_ed25519_order) == 0
        || !eicei_ed25519_decode_negative(&p[1], public_key)) {
        return false;
    }
    eicei_ed25519_challenge(&k[1], sig, public_key, msg, len);
    eicei_ed25519_affine(&p[0], &eicei_ed25519_base[0][0],
                         &eicei_ed25519_base[0][1]);
    eicei_ed25519_multiply(&r, k, p, 253);
    eicei_ed25519_encode(encoded, &r);
    return memcmp(encoded, sig, sizeof encoded) == 0;
}
/* ======================================================================== *
 * 5  SIGNATURE VERSION 4                                          >>sigv4  *
 * ======================================================================== */

/* Purpose: AWS Signature Version 4, in the Authorization header or in the URL.
 * Level: pure; calls 2 and 3.
 * Trusts: lengths. Distrusts: characters of keys, names and scope, which end
 * up in headers and URLs.
 * Memory: about 1.5 kB of stack; a request is hashed as it is written down
 * and never assembled: a session token may have 4 kB.
 * Invariants: what is hashed is byte for byte what eice_sigv4_explain shows;
 * every derived key is wiped before return.
 * Sources: IAM User Guide, "Create a signed AWS API request", whose steps
 * name the parts below; RFC 3986 2.3 and 5.2.4. */

/* The headers and parameters that SigV4 itself adds. */
#define EICEI_SIGV4_OWN_HEADERS 3
#define EICEI_SIGV4_OWN_QUERY 6
#define EICEI_SIGV4_MAX_KEY_ID 128 /* IAM API, AccessKey */

#define EICEI_SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define EICEI_SIGV4_SCOPE_SIZE sizeof(((eice_signed *)0)->scope)

typedef struct eicei_sigv4_job {
    const eice_sigv4_request *r;
    const char *expires; /* decimal; NULL: the header form */
    eice_signed *out;
    eice_pair header[EICEI_SIGV4_OWN_HEADERS];
    size_t header_count;
    eice_pair query[EICEI_SIGV4_OWN_QUERY];
    size_t query_count;
    char credential[EICEI_SIGV4_MAX_KEY_ID + 1 + EICEI_SIGV4_SCOPE_SIZE];
} eicei_sigv4_job;

/* ---- checks ------------------------------------------------------------ */

/* Not empty, visible ASCII only, and none of `never`. */
EICEI_PRIVATE bool eicei_sigv4_plain(eice_str s, const char *never)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        const char c = s.ptr[i];

        if (c <= 0x20 || c >= 0x7f || eicei_base_one_of(c, never)) {
            return false;
        }
    }
    return s.len > 0;
}

EICEI_PRIVATE eice_err eicei_sigv4_check(const eice_sigv4_request *r)
{
    size_t i;

    if (!eicei_sigv4_plain(r->keys.access_key_id, ",/")
        || r->keys.secret_access_key.len == 0
        || (r->keys.session_token.len > 0
            && !eicei_sigv4_plain(r->keys.session_token, ""))
        || !eicei_sigv4_plain(r->region, "/")
        || !eicei_sigv4_plain(r->service, "/")
        || !eicei_sigv4_plain(r->method, "")
        || (r->path.len > 0 && r->path.ptr[0] != '/')) {
        return EICE_E_ARGUMENT;
    }
    if (r->keys.access_key_id.len > EICEI_SIGV4_MAX_KEY_ID
        || r->header_count > EICE_MAX_HEADERS - EICEI_SIGV4_OWN_HEADERS
        || r->query_count > EICE_MAX_QUERY - EICEI_SIGV4_OWN_QUERY) {
        return EICE_E_LIMIT;
    }
    for (i = 0; i < r->header_count; i++) {
        if (!eicei_sigv4_plain(r->headers[i].name, ":;,")) {
            return EICE_E_ARGUMENT;
        }
    }
    return EICE_OK;
}

/* What SigV4 adds may not be there already. */
EICEI_PRIVATE eice_err eicei_sigv4_check_own(const eicei_sigv4_job *j)
{
    size_t i;
    size_t k;

    for (i = 0; i < j->r->header_count; i++) {
        for (k = 0; k < j->header_count; k++) {
            if (eice_str_eq_nocase(j->r->headers[i].name, j->header[k].name)) {
                return EICE_E_ARGUMENT;
            }
        }
    }
    for (i = 0; i < j->r->query_count && j->expires != NULL; i++) {
        const eice_str name = j->r->query[i].name;

        if (eice_str_is(name, "X-Amz-Signature")) {
            return EICE_E_ARGUMENT;
        }
        for (k = 0; k < j->query_count; k++) {
            if (eice_str_eq(name, j->query[k].name)) {
                return EICE_E_ARGUMENT;
            }
        }
    }
    return EICE_OK;
}

/* ---- order ------------------------------------------------------------- */

/* Byte order of the percent-encoded forms. Where two bytes differ their
 * encodings differ too and neither begins with the other. */
EICEI_PRIVATE int eicei_sigv4_compare_uri(eice_str a, eice_str b)
{
    char x[3];
    char y[3];
    size_t i = 0;

    while (i < a.len && i < b.len && a.ptr[i] == b.ptr[i]) {
        i++;
    }
    if (i == a.len || i == b.len) {
        return (a.len > b.len) - (a.len < b.len);
    }
    return eice_str_compare(
        eice_str_make(x, eicei_base_uri_byte(a.ptr[i], x)),
        eice_str_make(y, eicei_base_uri_byte(b.ptr[i], y)));
}

EICEI_PRIVATE int eicei_sigv4_compare_lower(eice_str a, eice_str b)
{
    size_t i;

    for (i = 0; i < a.len && i < b.len; i++) {
        const int order =
            eicei_base_lower(a.ptr[i]) - eicei_base_lower(b.ptr[i]);

        if (order != 0) {
            return order;
        }
    }
    return (a.len > b.len) - (a.len < b.len);
}

EICEI_PRIVATE size_t eicei_sigv4_params(const eicei_sigv4_job *j)
{
    return j->r->query_count + j->query_count;
}

EICEI_PRIVATE const eice_pair *eicei_sigv4_param(const eicei_sigv4_job *j,
                                                 size_t i)
{
    const size_t given = j->r->query_count;

    return i < given ? &j->r->query[i] : &j->query[i - given];
}

/* By encoded name, then by encoded value, then by place: a total order. */
EICEI_PRIVATE bool eicei_sigv4_param_before(const eicei_sigv4_job *j, size_t a,
                                            size_t b)
{
    const eice_pair *const x = eicei_sigv4_param(j, a);
    const eice_pair *const y = eicei_sigv4_param(j, b);
    int order = eicei_sigv4_compare_uri(x->name, y->name);

    if (order == 0) {
        order = eicei_sigv4_compare_uri(x->value, y->value);
    }
    return order < 0 || (order == 0 && a < b);
}

/* The parameter that follows `last` in that order; `none` gives the first
 * and stands for the end. */
EICEI_PRIVATE size_t eicei_sigv4_param_next(const eicei_sigv4_job *j,
                                            size_t last)
{
    const size_t none = eicei_sigv4_params(j);
    size_t best = none;
    size_t i;

    for (i = 0; i < none; i++) {
        if ((last == none || eicei_sigv4_param_before(j, last, i))
            && (best == none || eicei_sigv4_param_before(j, i, best))) {
            best = i;
        }
    }
    return best;
}

EICEI_PRIVATE size_t eicei_sigv4_headers(const eicei_sigv4_job *j)
{
    return j->r->header_count + j->header_count;
}

EICEI_PRIVATE const eice_pair *eicei_sigv4_header(const eicei_sigv4_job *j,
                                                  size_t i)
{
    const size_t given = j->r->header_count;

    return i < given ? &j->r->headers[i] : &j->header[i - given];
}

/* The next name of a header behind `last` (empty: the first); empty at the
 * end. A name that occurs twice is given once. */
EICEI_PRIVATE eice_str eicei_sigv4_name_next(const eicei_sigv4_job *j,
                                             eice_str last)
{
    eice_str best = eice_str_c("");
    size_t i;

    for (i = 0; i < eicei_sigv4_headers(j); i++) {
        const eice_str name = eicei_sigv4_header(j, i)->name;

        if (eicei_sigv4_compare_lower(name, last) > 0
            && (best.len == 0 || eicei_sigv4_compare_lower(name, best) < 0)) {
            best = name;
        }
    }
    return best;
}

/* ---- canonical request ------------------------------------------------- */

/* Where the canonical request goes: into a hash and, to be looked at, into a
 * text. */
typedef struct eicei_sigv4_sink {
    eice_sha256_ctx hash;
    eice_buf *copy; /* or NULL */
} eicei_sigv4_sink;

EICEI_PRIVATE void eicei_sigv4_put(eicei_sigv4_sink *k, eice_str s)
{
    eice_sha256_update(&k->hash, s.ptr, s.len);
    if (k->copy != NULL) {
        eice_put(k->copy, s);
    }
}

EICEI_PRIVATE void eicei_sigv4_put_c(eicei_sigv4_sink *k, const char *text)
{
    eicei_sigv4_put(k, eice_str_c(text));
}

EICEI_PRIVATE void eicei_sigv4_put_uri(eicei_sigv4_sink *k, eice_str s)
{
    char text[96];
    eice_buf b;

    while (s.len > 0) {
        const size_t n = s.len < sizeof text / 3 ? s.len : sizeof text / 3;

        eice_buf_init(&b, text, sizeof text);
        eice_put_uri(&b, eice_str_make(s.ptr, n));
        eicei_sigv4_put(k, eice_buf_str(&b));
        s = eice_str_make(s.ptr + n, s.len - n);
    }
}

/* The path as it stands. It is percent-encoded on the wire already and
 * encoded once more here, as all services but S3 do; slashes stay. */
EICEI_PRIVATE void eicei_sigv4_path_as_is(eicei_sigv4_sink *k, eice_str path)
{
    size_t len = eice_str_find(path, '/');

    while (len < path.len) {
        eicei_sigv4_put_uri(k, eice_str_make(path.ptr, len));
        eicei_sigv4_put_c(k, "/");
        path = eice_str_make(path.ptr + len + 1, path.len - len - 1);
        len = eice_str_find(path, '/');
    }
    eicei_sigv4_put_uri(k, path);
}

EICEI_PRIVATE bool eicei_sigv4_is_name(eice_str segment)
{
    return segment.len > 0 && !eice_str_is(segment, ".")
           && !eice_str_is(segment, "..");
}

/* False when one of the ".." in `rest`, which follows a segment, takes that
 * segment back. */
EICEI_PRIVATE bool eicei_sigv4_survives(eice_str rest)
{
    size_t depth = 0;

    while (rest.len > 0) {
        const eice_str segment = eice_str_cut(&rest, '/');

        if (eicei_sigv4_is_name(segment)) {
            depth++;
        } else if (eice_str_is(segment, "..") && depth-- == 0) {
            return false;
        }
    }
    return true;
}

/* RFC 3986 5.2.4, and empty segments are dropped too. */
EICEI_PRIVATE void eicei_sigv4_path_folded(eicei_sigv4_sink *k, eice_str path)
{
    eice_str rest = path;
    bool any = false;

    while (rest.len > 0) {
        const eice_str segment = eice_str_cut(&rest, '/');

        if (eicei_sigv4_is_name(segment) && eicei_sigv4_survives(rest)) {
            eicei_sigv4_put_c(k, "/");
            eicei_sigv4_put_uri(k, segment);
            any = true;
        }
    }
    if (!any || path.ptr[path.len - 1] == '/') {
        eicei_sigv4_put_c(k, "/");
    }
}

EICEI_PRIVATE eice_str eicei_sigv4_path(const eice_sigv4_request *r)
{
    return r->path.len > 0 ? r->path : eice_str_c("/");
}

EICEI_PRIVATE void eicei_sigv4_put_query(eicei_sigv4_sink *k,
                                         const eicei_sigv4_job *j)
{
    const size_t none = eicei_sigv4_params(j);
    const char *join = "";
    size_t i;

    for (i = eicei_sigv4_param_next(j, none); i < none;
         i = eicei_sigv4_param_next(j, i)) {
        const eice_pair *const p = eicei_sigv4_param(j, i);

        eicei_sigv4_put_c(k, join);
        eicei_sigv4_put_uri(k, p->name);
        eicei_sigv4_put_c(k, "=");
        eicei_sigv4_put_uri(k, p->value);
        join = "&";
    }
}

/* "Trimall": no white space at the ends, one space for any run within, which
 * unfolds continuation lines as well. */
EICEI_PRIVATE void eicei_sigv4_put_value(eicei_sigv4_sink *k, eice_str value)
{
    const char *join = "";
    size_t n;

    for (value = eice_str_trim(value); value.len > 0;
         value = eice_str_trim(value)) {
        for (n = 0; n < value.len; n++) {
            if (eicei_base_in(&eicei_base_space, value.ptr[n])) {
                break;
            }
        }
        eicei_sigv4_put_c(k, join);
        eicei_sigv4_put(k, eice_str_make(value.ptr, n));
        value = eice_str_make(value.ptr + n, value.len - n);
        join = " ";
    }
}

/* Each name once, with all its values in their order. */
EICEI_PRIVATE void eicei_sigv4_put_headers(eicei_sigv4_sink *k,
                                           const eicei_sigv4_job *j)
{
    eice_str names = eice_str_c(j->out->signed_headers);
    size_t i;

    while (names.len > 0) {
        const eice_str name = eice_str_cut(&names, ';');
        const char *join = ":";

        eicei_sigv4_put(k, name);
        for (i = 0; i < eicei_sigv4_headers(j); i++) {
            const eice_pair *const h = eicei_sigv4_header(j, i);

            if (eice_str_eq_nocase(h->name, name)) {
                eicei_sigv4_put_c(k, join);
                eicei_sigv4_put_value(k, h->value);
                join = ",";
            }
        }
        eicei_sigv4_put_c(k, "\n");
    }
}

/* Step 1 and 2: the canonical request and its hash. */
EICEI_PRIVATE void eicei_sigv4_canonical(const eicei_sigv4_job *j,
                                         eice_buf *copy, uint8_t hash[32])
{
    const eice_str path = eicei_sigv4_path(j->r);
    eicei_sigv4_sink k;

    k.copy = copy;
    eice_sha256_init(&k.hash);
    eicei_sigv4_put(&k, j->r->method);
    eicei_sigv4_put_c(&k, "\n");
    if (j->r->normalize_path) {
        eicei_sigv4_path_folded(&k, path);
    } else {
        eicei_sigv4_path_as_is(&k, path);
    }
    eicei_sigv4_put_c(&k, "\n");
    eicei_sigv4_put_query(&k, j);
    eicei_sigv4_put_c(&k, "\n");
    eicei_sigv4_put_headers(&k, j);
    eicei_sigv4_put_c(&k, "\n");
    eicei_sigv4_put_c(&k, j->out->signed_headers);
    eicei_sigv4_put_c(&k, "\n");
    eicei_sigv4_put_c(&k, j->out->body_sha256);
    eice_sha256_final(&k.hash, hash);
    eice_wipe(&k, sizeof k);
}

/* ---- signature --------------------------------------------------------- */

/* Step 4, first key: "AWS4" and the secret, hashed when it is longer than
 * HMAC takes as it is (RFC 2104 2): the same, without a limit. */
EICEI_PRIVATE void eicei_sigv4_first_key(eice_str secret, eice_str date,
                                         uint8_t out[32])
{
    uint8_t key[64];
    size_t len = 4 + secret.len;
    eice_sha256_ctx hash;

    if (len <= sizeof key) {
        memcpy(key, "AWS4", 4);
        memcpy(key + 4, secret.ptr, secret.len);
    } else {
        eice_sha256_init(&hash);
        eice_sha256_update(&hash, "AWS4", 4);
        eice_sha256_update(&hash, secret.ptr, secret.len);
        eice_sha256_final(&hash, key);
        eice_wipe(&hash, sizeof hash);
        len = 32;
    }
    eice_hmac_sha256(out, key, len, date.ptr, date.len);
    eice_wipe(key, sizeof key);
}

/* Steps 4 and 5: the signing key and the signature, in hex. */
EICEI_PRIVATE void eicei_sigv4_signature(const eicei_sigv4_job *j,
                                         eice_str to_sign)
{
    const eice_str date = eice_str_make(j->out->date, 8);
    eice_str step[4];
    uint8_t key[32];
    uint8_t next[32];
    eice_buf hex;
    size_t i;

    step[0] = j->r->region;
    step[1] = j->r->service;
    step[2] = eice_str_c("aws4_request");
    step[3] = to_sign;
    eicei_sigv4_first_key(j->r->keys.secret_access_key, date, key);
    for (i = 0; i < EICEI_LEN(step); i++) {
        eice_hmac_sha256(next, key, sizeof key, step[i].ptr, step[i].len);
        memcpy(key, next, sizeof key);
    }
    eice_buf_init(&hex, j->out->signature, sizeof j->out->signature);
    eice_put_hex(&hex, key, sizeof key);
    (void)eice_buf_c(&hex);
    eice_wipe(key, sizeof key);
    eice_wipe(next, sizeof next);
}

EICEI_PRIVATE void eicei_sigv4_add(eice_pair *list, size_t *count,
                                   const char *name, eice_str value)
{
    list[*count].name = eice_str_c(name);
    list[*count].value = value;
    (*count)++;
}

EICEI_PRIVATE void eicei_sigv4_own_headers(eicei_sigv4_job *j)
{
    const eice_str token = j->r->keys.session_token;

    eicei_sigv4_add(j->header, &j->header_count, "x-amz-date",
                    eice_str_c(j->out->date));
    if (j->r->sign_body) {
        eicei_sigv4_add(j->header, &j->header_count, "x-amz-content-sha256",
                        eice_str_c(j->out->body_sha256));
    }
    if (token.len > 0 && !j->r->token_after) {
        eicei_sigv4_add(j->header, &j->header_count, "x-amz-security-token",
                        token);
    }
}

EICEI_PRIVATE void eicei_sigv4_own_query(eicei_sigv4_job *j)
{
    const eice_str token = j->r->keys.session_token;
    size_t *const n = &j->query_count;

    eicei_sigv4_add(j->query, n, "X-Amz-Algorithm",
                    eice_str_c(EICEI_SIGV4_ALGORITHM));
    eicei_sigv4_add(j->query, n, "X-Amz-Credential",
                    eice_str_c(j->credential));
    eicei_sigv4_add(j->query, n, "X-Amz-Date", eice_str_c(j->out->date));
    eicei_sigv4_add(j->query, n, "X-Amz-Expires", eice_str_c(j->expires));
    eicei_sigv4_add(j->query, n, "X-Amz-SignedHeaders",
                    eice_str_c(j->out->signed_headers));
    if (token.len > 0 && !j->r->token_after) {
        eicei_sigv4_add(j->query, n, "X-Amz-Security-Token", token);
    }
}

/* Date, hash of the body, scope and credential. */
EICEI_PRIVATE eice_err eicei_sigv4_fields(eicei_sigv4_job *j)
{
    const eice_str day = eice_str_make(j->out->date, 8);
    uint8_t hash[32];
    eice_buf b;

    eice_time_amz(j->r->unix_s, j->out->date);
    eice_sha256(hash, j->r->body.ptr, j->r->body.len);
    eice_buf_init(&b, j->out->body_sha256, sizeof j->out->body_sha256);
    eice_put_hex(&b, hash, sizeof hash);
    (void)eice_buf_c(&b);

    eice_buf_init(&b, j->out->scope, sizeof j->out->scope - 1);
    eice_putf(&b, "%S/%S/%S/aws4_request", &day, &j->r->region,
              &j->r->service);
    j->out->scope[b.len] = 0;
    if (b.overflow) {
        return EICE_E_LIMIT;
    }
    eice_buf_init(&b, j->credential, sizeof j->credential);
    eice_putf(&b, "%S/%s", &j->r->keys.access_key_id, j->out->scope);
    (void)eice_buf_c(&b);
    return EICE_OK;
}

/* The names of the signed headers: lower case, sorted, each once. */
EICEI_PRIVATE eice_err eicei_sigv4_names(eicei_sigv4_job *j)
{
    eice_str name = eicei_sigv4_name_next(j, eice_str_c(""));
    eice_buf b;
    size_t i;

    eice_buf_init(&b, j->out->signed_headers,
                  sizeof j->out->signed_headers - 1);
    while (name.len > 0) {
        if (b.len > 0) {
            eice_put_byte(&b, ';');
        }
        for (i = 0; i < name.len; i++) {
            eice_put_byte(&b, (unsigned char)eicei_base_lower(name.ptr[i]));
        }
        name = eicei_sigv4_name_next(j, name);
    }
    j->out->signed_headers[b.len] = 0;
    return b.overflow ? EICE_E_LIMIT : EICE_OK;
}

EICEI_PRIVATE eice_err eicei_sigv4_prepare(eicei_sigv4_job *j,
                                           const eice_sigv4_request *r,
                                           const char *expires,
                                           eice_signed *out)
{
    eice_err err = eicei_sigv4_check(r);

    memset(out, 0, sizeof *out);
    memset(j, 0, sizeof *j);
    j->r = r;
    j->expires = expires;
    j->out = out;
    if (err == EICE_OK) {
        err = eicei_sigv4_fields(j);
    }
    if (err == EICE_OK && expires == NULL) {
        eicei_sigv4_own_headers(j);
    }
    if (err == EICE_OK) {
        err = eicei_sigv4_names(j);
    }
    if (err == EICE_OK && expires != NULL) {
        eicei_sigv4_own_query(j);
    }
    return err == EICE_OK ? eicei_sigv4_check_own(j) : err;
}

/* Steps 1 to 5, for both forms. `canonical` and `to_sign` may be NULL. */
EICEI_PRIVATE eice_err eicei_sigv4_run(const eice_sigv4_request *r,
                                       const char *expires, eice_signed *out,
                                       eice_buf *canonical, eice_buf *to_sign)
{
    eicei_sigv4_job j;
    const eice_err err = eicei_sigv4_prepare(&j, r, expires, out);
    uint8_t hash[32];
    char text[sizeof out->date + sizeof out->scope + 96];
    eice_buf b;

    if (err != EICE_OK) {
        memset(out, 0, sizeof *out);
        return err;
    }
    eicei_sigv4_canonical(&j, canonical, hash);
    eice_buf_init(&b, text, sizeof text);
    eice_putf(&b, EICEI_SIGV4_ALGORITHM "\n%s\n%s\n", out->date, out->scope);
    eice_put_hex(&b, hash, sizeof hash);
    eicei_sigv4_signature(&j, eice_buf_str(&b));
    if (to_sign != NULL) {
        eice_put(to_sign, eice_buf_str(&b));
    }
    return EICE_OK;
}

EICE_API eice_err eice_sigv4_sign(const eice_sigv4_request *r,
                                  eice_signed *out)
{
    return eicei_sigv4_run(r, NULL, out, NULL, NULL);
}

EICE_API void eice_sigv4_authorization(const eice_sigv4_request *r,
                                       const eice_signed *s, eice_buf *out)
{
    eice_putf(out,
              EICEI_SIGV4_ALGORITHM " Credential=%S/%s, SignedHeaders=%s, "
                                    "Signature=%s",
              &r->keys.access_key_id, s->scope, s->signed_headers,
              s->signature);
}

/* ---- presigned --------------------------------------------------------- */

EICEI_ASSERT_FITS(presigned_pieces,
                  1 + 4 * (EICE_MAX_QUERY - EICEI_SIGV4_OWN_QUERY) + 15,
                  EICE_MAX_PIECES);

EICEI_PRIVATE void eicei_sigv4_piece(eice_presigned *p, eice_str text,
                                     bool uri)
{
    p->piece[p->count].text = text;
    p->piece[p->count].uri = uri;
    p->count++;
}

EICEI_PRIVATE void eicei_sigv4_piece_c(eice_presigned *p, const char *text,
                                       bool uri)
{
    eicei_sigv4_piece(p, eice_str_c(text), uri);
}

/* Step 6, in the query: 1 piece, 4 for each parameter, at most 15 more. */
EICEI_PRIVATE void eicei_sigv4_rope(const eice_sigv4_request *r,
                                    eice_presigned *p)
{
    size_t i;

    eicei_sigv4_piece(p, eicei_sigv4_path(r), false);
    for (i = 0; i < r->query_count; i++) {
        eicei_sigv4_piece_c(p, i == 0 ? "?" : "&", false);
        eicei_sigv4_piece(p, r->query[i].name, true);
        eicei_sigv4_piece_c(p, "=", false);
        eicei_sigv4_piece(p, r->query[i].value, true);
    }
    eicei_sigv4_piece_c(p, r->query_count == 0 ? "?" : "&", false);
    eicei_sigv4_piece_c(p, "X-Amz-Algorithm=" EICEI_SIGV4_ALGORITHM
                           "&X-Amz-Credential=", false);
    eicei_sigv4_piece(p, r->keys.access_key_id, true);
    eicei_sigv4_piece_c(p, "/", true);
    eicei_sigv4_piece_c(p, p->sign.scope, true);
    eicei_sigv4_piece_c(p, "&X-Amz-Date=", false);
    eicei_sigv4_piece_c(p, p->sign.date, false);
    eicei_sigv4_piece_c(p, "&X-Amz-Expires=", false);
    eicei_sigv4_piece_c(p, p->expires, false);
    eicei_sigv4_piece_c(p, "&X-Amz-SignedHeaders=", false);
    eicei_sigv4_piece_c(p, p->sign.signed_headers, true);
    if (r->keys.session_token.len > 0) {
        eicei_sigv4_piece_c(p, "&X-Amz-Security-Token=", false);
        eicei_sigv4_piece(p, r->keys.session_token, true);
    }
    eicei_sigv4_piece_c(p, "&X-Amz-Signature=", false);
    eicei_sigv4_piece_c(p, p->sign.signature, false);
}

#define EICEI_SIGV4_MAX_EXPIRES 604800u /* 7 days */

EICEI_PRIVATE eice_err eicei_sigv4_expires(uint32_t expires_s, char out[11])
{
    eice_buf b;

    eice_buf_init(&b, out, 11);
    eice_put_u64(&b, expires_s);
    (void)eice_buf_c(&b);
    return expires_s == 0 || expires_s > EICEI_SIGV4_MAX_EXPIRES
               ? EICE_E_ARGUMENT
               : EICE_OK;
}

EICE_API eice_err eice_sigv4_presign(const eice_sigv4_request *r,
                                     uint32_t expires_s, eice_presigned *out)
{
    eice_err err;

    memset(out, 0, sizeof *out);
    err = eicei_sigv4_expires(expires_s, out->expires);
    if (err == EICE_OK) {
        err = eicei_sigv4_run(r, out->expires, &out->sign, NULL, NULL);
    }
    if (err == EICE_OK) {
        eicei_sigv4_rope(r, out);
    }
    return err;
}

EICE_API eice_err eice_sigv4_explain(const eice_sigv4_request *r,
                                     uint32_t expires_s, bool presign,
                                     eice_buf *canonical, eice_buf *to_sign)
{
    eice_signed scratch;
    char expires[11];
    eice_err err = eicei_sigv4_expires(expires_s, expires);

    if (err == EICE_OK || !presign) {
        err = eicei_sigv4_run(r, presign ? expires : NULL, &scratch, canonical,
                              to_sign);
        eice_wipe(&scratch, sizeof scratch);
    }
    return err;
}

/* ======================================================================== *
 * 6  SCANNERS                                                      >>scan  *
 * ======================================================================== */

/* Purpose: to read what AWS and the user's files say: JSON, XML, INI.
 * Level: pure; calls 2.
 * Trusts: nothing in the text. Every byte is checked before it is read;
 * nesting is bounded; time is linear; nothing is ever expanded.
 * Memory: the caller's text and the scanner, some hundred bytes.
 * Invariants: `at` never exceeds the length and grows with every token; END
 * and ERROR are final.
 * Sources: RFC 8259; XML 1.0 (5th edition) 2 to 4, a subset; the reference of
 * AWS SDKs and Tools, "Shared config and credentials files", and what
 * Python's configparser takes, which the AWS CLI reads them with. */

/* ---- common ------------------------------------------------------------ */

/* The byte at `at`; 0 at the end, which no grammar here takes. */
EICEI_PRIVATE char eicei_scan_peek(eice_str doc, size_t at)
{
    return at < doc.len ? doc.ptr[at] : '\0';
}

EICEI_PRIVATE size_t eicei_scan_space(eice_str doc, size_t at)
{
    while (at < doc.len && eicei_base_in(&eicei_base_space, doc.ptr[at])) {
        at++;
    }
    return at;
}

EICEI_PRIVATE eice_str eicei_scan_slice(eice_str doc, size_t from, size_t to)
{
    return eice_str_make(from > 0 ? doc.ptr + from : doc.ptr, to - from);
}

EICEI_PRIVATE eice_str eicei_scan_rest(eice_str doc, size_t at)
{
    return eicei_scan_slice(doc, at, doc.len);
}

EICEI_PRIVATE bool eicei_scan_at(eice_str doc, size_t at, const char *text)
{
    return at < doc.len && eice_str_starts(eicei_scan_rest(doc, at), text);
}

/* RFC 8259 8.1, XML 1.0 4.3.3: a byte order mark is no part of the text. */
EICEI_PRIVATE size_t eicei_scan_bom(eice_str doc)
{
    return eice_str_starts(doc, "\xef\xbb\xbf") ? 3 : 0;
}

/* The UTF-8 form of a code point; false for what is none. */
EICEI_PRIVATE bool eicei_scan_put_code(eice_buf *out, uint32_t c)
{
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    const unsigned len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    unsigned i;

    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return false;
    }
    eice_put_byte(out, (unsigned char)(lead[len] | c >> 6 * (len - 1)));
    for (i = len - 1; i > 0; i--) {
        eice_put_byte(out,
                      (unsigned char)(0x80 | (c >> 6 * (i - 1) & 0x3f)));
    }
    return true;
}

/* ---- JSON -------------------------------------------------------------- */

/*            '{'                    key              ':'
 *  VALUE ----------> KEY_OR_CLOSE -------> COLON ---------> VALUE
 *    |  \  '['                     ^
 *    |   ------> VALUE_OR_CLOSE    | key
 *    | scalar          | scalar    |
 *    v                 v           |
 *  AFTER <--------------    ',' in an object: KEY, in an array: VALUE
 *    | '}' ']'  -> AFTER, or DONE at depth 0
 */
enum {
    EICEI_JSON_VALUE,
    EICEI_JSON_VALUE_OR_CLOSE,
    EICEI_JSON_KEY,
    EICEI_JSON_KEY_OR_CLOSE,
    EICEI_JSON_COLON,
    EICEI_JSON_AFTER,
    EICEI_JSON_DONE,
    EICEI_JSON_FAILED
};

EICEI_ASSERT_FITS(json_depth, EICE_MAX_DEPTH, 32);

EICE_API void eice_json_init(eice_json *j, eice_str doc)
{
    memset(j, 0, sizeof *j);
    j->doc = doc;
    j->at = eicei_scan_bom(doc);
    j->state = EICEI_JSON_VALUE;
}

EICEI_PRIVATE bool eicei_json_in_object(const eice_json *j)
{
    return (j->objects >> (j->depth - 1) & 1) != 0;
}

EICEI_PRIVATE void eicei_json_after(eice_json *j)
{
    j->state = j->depth > 0 ? EICEI_JSON_AFTER : EICEI_JSON_DONE;
}

EICEI_PRIVATE eice_json_type eicei_json_open(eice_json *j, bool object)
{
    if (j->depth == EICE_MAX_DEPTH) {
        return EICE_JSON_ERROR;
    }
    j->objects &= ~((uint32_t)1 << j->depth);
    j->objects |= (uint32_t)object << j->depth;
    j->depth++;
    j->at++;
    j->state = object ? EICEI_JSON_KEY_OR_CLOSE : EICEI_JSON_VALUE_OR_CLOSE;
    return object ? EICE_JSON_OBJECT : EICE_JSON_ARRAY;
}

EICEI_PRIVATE eice_json_type eicei_json_close(eice_json *j)
{
    const bool object = eicei_json_in_object(j);

    if (eicei_scan_peek(j->doc, j->at) != (object ? '}' : ']')) {
        return EICE_JSON_ERROR;
    }
    j->at++;
    j->depth--;
    eicei_json_after(j);
    return object ? EICE_JSON_OBJECT_END : EICE_JSON_ARRAY_END;
}

/* Length of the escape at the beginning of `s`, or 0 (RFC 8259 7). */
EICEI_PRIVATE size_t eicei_json_escape(eice_str s)
{
    size_t i;

    if (s.len < 2 || !eicei_base_one_of(s.ptr[1], "\"\\/bfnrtu")) {
        return 0;
    }
    if (s.ptr[1] != 'u') {
        return 2;
    }
    for (i = 2; i < 6; i++) {
        if (i >= s.len || eicei_base_hex_value(s.ptr[i]) > 15) {
            return 0;
        }
    }
    return 6;
}

/* Bytes of the character of a string at the beginning of `s`, or 0. */
EICEI_PRIVATE size_t eicei_json_char(eice_str s)
{
    uint32_t code;

    if (s.ptr[0] == '\\') {
        return eicei_json_escape(s);
    }
    return (unsigned char)s.ptr[0] < 0x20 ? 0 : eicei_base_utf8(s, &code);
}

/* A string: *raw is what stands between the quotes. */
EICEI_PRIVATE bool eicei_json_string(eice_json *j, eice_str *raw)
{
    const size_t begin = j->at + 1;

    if (eicei_scan_peek(j->doc, j->at) != '"') {
        return false;
    }
    for (j->at = begin; j->at < j->doc.len && j->doc.ptr[j->at] != '"';) {
        const size_t n = eicei_json_char(eicei_scan_rest(j->doc, j->at));

        if (n == 0) {
            return false;
        }
        j->at += n;
    }
    if (j->at == j->doc.len) {
        return false;
    }
    *raw = eicei_scan_slice(j->doc, begin, j->at);
    j->at++;
    return true;
}

EICEI_PRIVATE bool eicei_json_digits(eice_json *j)
{
    const size_t begin = j->at;

    while (j->at < j->doc.len && j->doc.ptr[j->at] >= '0'
           && j->doc.ptr[j->at] <= '9') {
        j->at++;
    }
    return j->at > begin;
}

EICEI_PRIVATE bool eicei_json_take(eice_json *j, const char *set)
{
    if (!eicei_base_one_of(eicei_scan_peek(j->doc, j->at), set)) {
        return false;
    }
    j->at++;
    return true;
}

/* RFC 8259 6: [-] 0 or digits, [. digits], [e [+-] digits] */
EICEI_PRIVATE eice_json_type eicei_json_number(eice_json *j, eice_str *raw)
{
    const size_t begin = j->at;

    (void)eicei_json_take(j, "-");
    if (!eicei_json_take(j, "0") && !eicei_json_digits(j)) {
        return EICE_JSON_ERROR;
    }
    if (eicei_json_take(j, ".") && !eicei_json_digits(j)) {
        return EICE_JSON_ERROR;
    }
    if (eicei_json_take(j, "eE")) {
        (void)eicei_json_take(j, "+-");
        if (!eicei_json_digits(j)) {
            return EICE_JSON_ERROR;
        }
    }
    *raw = eicei_scan_slice(j->doc, begin, j->at);
    eicei_json_after(j);
    return EICE_JSON_NUMBER;
}

EICEI_PRIVATE eice_json_type eicei_json_literal(eice_json *j, eice_str *raw)
{
    static const struct {
        const char *text;
        eice_json_type type;
    } list[] = {{"true", EICE_JSON_TRUE},
                {"false", EICE_JSON_FALSE},
                {"null", EICE_JSON_NULL}};
    size_t i;

    for (i = 0; i < EICEI_LEN(list); i++) {
        if (eicei_scan_at(j->doc, j->at, list[i].text)) {
            *raw = eice_str_make(j->doc.ptr + j->at, strlen(list[i].text));
            j->at += raw->len;
            eicei_json_after(j);
            return list[i].type;
        }
    }
    return EICE_JSON_ERROR;
}

EICEI_PRIVATE eice_json_type eicei_json_value(eice_json *j, eice_str *raw)
{
    const char c = eicei_scan_peek(j->doc, j->at);

    if (c == '{' || c == '[') {
        return eicei_json_open(j, c == '{');
    }
    if (c == '"') {
        if (!eicei_json_string(j, raw)) {
            return EICE_JSON_ERROR;
        }
        eicei_json_after(j);
        return EICE_JSON_STRING;
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return eicei_json_number(j, raw);
    }
    return eicei_json_literal(j, raw);
}

EICEI_PRIVATE eice_json_type eicei_json_key(eice_json *j, eice_str *raw)
{
    if (!eicei_json_string(j, raw)) {
        return EICE_JSON_ERROR;
    }
    j->state = EICEI_JSON_COLON;
    return EICE_JSON_KEY;
}

/* The comma or colon that stands before the next token. */
EICEI_PRIVATE void eicei_json_separator(eice_json *j)
{
    if (j->state == EICEI_JSON_AFTER && eicei_json_take(j, ",")) {
        j->state =
            eicei_json_in_object(j) ? EICEI_JSON_KEY : EICEI_JSON_VALUE;
    } else if (j->state == EICEI_JSON_COLON) {
        j->state = eicei_json_take(j, ":") ? EICEI_JSON_VALUE
                                           : EICEI_JSON_FAILED;
    }
    j->at = eicei_scan_space(j->doc, j->at);
}

EICEI_PRIVATE eice_json_type eicei_json_token(eice_json *j, eice_str *raw)
{
    const char c = eicei_scan_peek(j->doc, j->at);

    switch (j->state) {
    case EICEI_JSON_VALUE:
        return eicei_json_value(j, raw);
    case EICEI_JSON_VALUE_OR_CLOSE:
        return c == ']' ? eicei_json_close(j) : eicei_json_value(j, raw);
    case EICEI_JSON_KEY:
        return eicei_json_key(j, raw);
    case EICEI_JSON_KEY_OR_CLOSE:
        return c == '}' ? eicei_json_close(j) : eicei_json_key(j, raw);
    case EICEI_JSON_AFTER:
        return eicei_json_close(j);
    case EICEI_JSON_DONE:
        return j->at == j->doc.len ? EICE_JSON_END : EICE_JSON_ERROR;
    default:
        return EICE_JSON_ERROR;
    }
}

EICE_API eice_json_type eice_json_next(eice_json *j, eice_str *raw)
{
    eice_json_type type;
    size_t begin;

    *raw = eice_str_make(NULL, 0);
    if (j->state == EICEI_JSON_FAILED) {
        return EICE_JSON_ERROR;
    }
    j->at = eicei_scan_space(j->doc, j->at);
    eicei_json_separator(j);
    begin = j->at;
    type = eicei_json_token(j, raw);
    if (type == EICE_JSON_ERROR) {
        *raw = eice_str_make(NULL, 0);
        j->state = EICEI_JSON_FAILED;
    } else if (raw->ptr == NULL && j->at > begin) {
        *raw = eicei_scan_slice(j->doc, begin, j->at);
    }
    return type;
}

/* Reads on until the container that was opened last is closed. */
EICEI_PRIVATE bool eicei_json_leave(eice_json *j)
{
    const unsigned outside = j->depth - 1;
    eice_str raw;

    while (j->depth > outside) {
        if (eice_json_next(j, &raw) == EICE_JSON_ERROR) {
            return false;
        }
    }
    return true;
}

EICE_API eice_json_type eice_json_take(eice_json *j, eice_str *raw)
{
    const eice_json_type type = eice_json_next(j, raw);

    if (type == EICE_JSON_OBJECT || type == EICE_JSON_ARRAY) {
        if (!eicei_json_leave(j)) {
            *raw = eice_str_make(NULL, 0);
            return EICE_JSON_ERROR;
        }
        raw->len = (size_t)(j->doc.ptr + j->at - raw->ptr);
    }
    return type;
}

EICE_API bool eice_json_skip(eice_json *j)
{
    eice_str raw;

    switch (eice_json_take(j, &raw)) {
    case EICE_JSON_END:
    case EICE_JSON_ERROR:
    case EICE_JSON_OBJECT_END:
    case EICE_JSON_ARRAY_END:
    case EICE_JSON_KEY:
        return false;
    default:
        return true;
    }
}

EICEI_PRIVATE uint32_t eicei_json_hex4(const char *p)
{
    uint32_t n = 0;
    size_t i;

    for (i = 0; i < 4; i++) {
        n = n << 4 | eicei_base_hex_value(p[i]);
    }
    return n;
}

/* Appends the character written as \uXXXX, or as a pair of surrogates, at the
 * beginning of `s`: bytes read, or 0 (RFC 8259 7, 8.2). */
EICEI_PRIVATE size_t eicei_json_put_unicode(eice_str s, eice_buf *out)
{
    uint32_t code = eicei_json_hex4(s.ptr + 2);
    size_t n = 6;

    if (code >= 0xd800 && code <= 0xdbff) {
        const eice_str second = eicei_scan_rest(s, 6);
        uint32_t low;

        if (eicei_json_escape(second) != 6) {
            return 0;
        }
        low = eicei_json_hex4(second.ptr + 2);
        if (low < 0xdc00 || low > 0xdfff) {
            return 0;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        n = 12;
    }
    return eicei_scan_put_code(out, code) ? n : 0;
}

/* Appends the first character of a raw string: bytes read, or 0. */
EICEI_PRIVATE size_t eicei_json_put_char(eice_str s, eice_buf *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const size_t n = eicei_json_char(s);

    if (n == 6 && s.ptr[0] == '\\') {
        return eicei_json_put_unicode(s, out);
    }
    if (n == 2 && s.ptr[0] == '\\') {
        eice_put_byte(out, (unsigned char)
                               to[eice_str_find(eice_str_c(from), s.ptr[1])]);
    } else {
        eice_put(out, eice_str_make(s.ptr, n));
    }
    return n;
}

EICE_API bool eice_json_unescape(eice_str raw, eice_buf *out)
{
    while (raw.len > 0) {
        const size_t n = eicei_json_put_char(raw, out);

        if (n == 0) {
            return false;
        }
        raw = eicei_scan_rest(raw, n);
    }
    return !out->overflow;
}

EICE_API bool eice_json_is(eice_str raw, eice_str text)
{
    while (raw.len > 0) {
        char memory[4];
        eice_buf c;
        size_t n;

        eice_buf_init(&c, memory, sizeof memory);
        n = eicei_json_put_char(raw, &c);
        if (n == 0 || text.len < c.len
            || memcmp(text.ptr, memory, c.len) != 0) {
            return false;
        }
        raw = eicei_scan_rest(raw, n);
        text = eicei_scan_rest(text, c.len);
    }
    return text.len == 0;
}

/* The value of `key` in the object that was just opened, which is the whole
 * text: it is read to its end. Of members of one name the last counts. */
EICEI_PRIVATE eice_json_type eicei_json_member(eice_json *j, eice_str key,
                                               eice_str *raw)
{
    eice_json_type found = EICE_JSON_END;
    eice_str name;
    eice_json_type type = eice_json_next(j, &name);

    for (; type == EICE_JSON_KEY; type = eice_json_next(j, &name)) {
        eice_str value;
        const eice_json_type kind = eice_json_take(j, &value);

        if (eice_json_is(name, key)) {
            found = kind;
            *raw = value;
        }
    }
    if (type != EICE_JSON_OBJECT_END
        || eice_json_next(j, &name) != EICE_JSON_END) {
        return EICE_JSON_ERROR;
    }
    return found;
}

EICE_API eice_json_type eice_json_find(eice_str doc, const char *path,
                                       eice_str *raw)
{
    eice_str keys = eice_str_c(path);
    eice_json_type type = EICE_JSON_OBJECT;
    eice_str part = doc;
    eice_str ignored;
    eice_json j;

    *raw = eice_str_make(NULL, 0);
    while (keys.len > 0 && type == EICE_JSON_OBJECT) {
        const eice_str key = eice_str_cut(&keys, '.');

        eice_json_init(&j, part);
        type = eice_json_next(&j, &ignored);
        if (type == EICE_JSON_OBJECT) {
            type = eicei_json_member(&j, key, &part);
        } else {
            type = type == EICE_JSON_ERROR ? type : EICE_JSON_END;
        }
    }
    if (type == EICE_JSON_ERROR) {
        return type;
    }
    if (type == EICE_JSON_END || keys.len > 0) {
        return EICE_JSON_END;
    }
    *raw = part;
    return type;
}

/* ---- XML --------------------------------------------------------------- */

/*            '<name>'            '</name>' at depth 1
 *  PROLOG ------------> INSIDE ------------------------> EPILOG
 *     \                 |    ^                             ^
 *      \      '<name/>' v    | the CLOSE that belongs to   |
 *       -------------> EMPTY -- it; at depth 1 ------------+
 */
enum {
    EICEI_XML_PROLOG,
    EICEI_XML_INSIDE,
    EICEI_XML_EMPTY,
    EICEI_XML_EPILOG,
    EICEI_XML_FAILED
};

/* XML 1.0 2.3, with all that is not ASCII taken as a letter. */
static const eicei_base_set eicei_xml_name_start = {
    {0, 0x04000000, 0x87fffffe, 0x07fffffe, 0xffffffff, 0xffffffff,
     0xffffffff, 0xffffffff}};
static const eicei_base_set eicei_xml_name = {
    {0, 0x07ff6000, 0x87fffffe, 0x07fffffe, 0xffffffff, 0xffffffff,
     0xffffffff, 0xffffffff}};

EICE_API void eice_xml_init(eice_xml *x, eice_str doc)
{
    memset(x, 0, sizeof *x);
    x->doc = doc;
    x->at = eicei_scan_bom(doc);
    x->state = EICEI_XML_PROLOG;
}

/* Takes a name off the text; empty when there is none. */
EICEI_PRIVATE eice_str eicei_xml_take_name(eice_xml *x)
{
    const size_t begin = x->at;

    if (x->at < x->doc.len
        && eicei_base_in(&eicei_xml_name_start, x->doc.ptr[x->at])) {
        while (x->at < x->doc.len
               && eicei_base_in(&eicei_xml_name, x->doc.ptr[x->at])) {
            x->at++;
        }
    }
    return eicei_scan_slice(x->doc, begin, x->at);
}

EICEI_PRIVATE eice_str eicei_xml_local(eice_str name)
{
    const size_t colon = eice_str_find(name, ':');

    return colon == name.len ? name : eicei_scan_rest(name, colon + 1);
}

/* Moves behind the next `text`; false when there is none. */
EICEI_PRIVATE bool eicei_xml_behind(eice_xml *x, const char *text)
{
    for (; x->at < x->doc.len; x->at++) {
        if (eicei_scan_at(x->doc, x->at, text)) {
            x->at += strlen(text);
            return true;
        }
    }
    return false;
}

/* One attribute (XML 1.0 3.1): name, '=', a value in quotes, which is looked
 * over and dropped. */
EICEI_PRIVATE bool eicei_xml_attribute(eice_xml *x)
{
    char quote;

    if (eicei_xml_take_name(x).len == 0) {
        return false;
    }
    x->at = eicei_scan_space(x->doc, x->at);
    if (eicei_scan_peek(x->doc, x->at) != '=') {
        return false;
    }
    x->at = eicei_scan_space(x->doc, x->at + 1);
    quote = eicei_scan_peek(x->doc, x->at);
    if (quote != '"' && quote != '\'') {
        return false;
    }
    for (x->at++; x->at < x->doc.len; x->at++) {
        if (x->doc.ptr[x->at] == quote) {
            x->at++;
            return true;
        }
        if (x->doc.ptr[x->at] == '<') {
            return false;
        }
    }
    return false;
}

/* Attributes, each behind white space, up to '>' or '/'. */
EICEI_PRIVATE bool eicei_xml_attributes(eice_xml *x)
{
    for (;;) {
        const size_t before = x->at;
        char c;

        x->at = eicei_scan_space(x->doc, x->at);
        c = eicei_scan_peek(x->doc, x->at);
        if (c == '>' || c == '/') {
            return true;
        }
        if (x->at == before || !eicei_xml_attribute(x)) {
            return false;
        }
    }
}

EICEI_PRIVATE eice_xml_type eicei_xml_open(eice_xml *x, eice_str *s)
{
    eice_str name;
    bool empty;

    x->at++;
    name = eicei_xml_take_name(x);
    *s = eicei_xml_local(name);
    if (s->len == 0 || x->state == EICEI_XML_EPILOG
        || x->depth == EICE_MAX_DEPTH || !eicei_xml_attributes(x)) {
        return EICE_XML_ERROR;
    }
    empty = eicei_scan_peek(x->doc, x->at) == '/';
    x->at += empty;
    if (eicei_scan_peek(x->doc, x->at) != '>') {
        return EICE_XML_ERROR;
    }
    x->at++;
    x->names[x->depth++] = name;
    x->state = empty ? EICEI_XML_EMPTY : EICEI_XML_INSIDE;
    return EICE_XML_OPEN;
}

/* The end of the innermost element. */
EICEI_PRIVATE eice_xml_type eicei_xml_pop(eice_xml *x, eice_str *s)
{
    x->depth--;
    *s = eicei_xml_local(x->names[x->depth]);
    x->state = x->depth > 0 ? EICEI_XML_INSIDE : EICEI_XML_EPILOG;
    return EICE_XML_CLOSE;
}

EICEI_PRIVATE eice_xml_type eicei_xml_close(eice_xml *x, eice_str *s)
{
    eice_str name;

    x->at += 2;
    name = eicei_xml_take_name(x);
    x->at = eicei_scan_space(x->doc, x->at);
    if (x->depth == 0 || !eice_str_eq(name, x->names[x->depth - 1])
        || eicei_scan_peek(x->doc, x->at) != '>') {
        return EICE_XML_ERROR;
    }
    x->at++;
    return eicei_xml_pop(x, s);
}

/* XML 1.0 2.2: UTF-8 without controls but tab, CR and LF. */
EICEI_PRIVATE bool eicei_xml_legal(eice_str s)
{
    while (s.len > 0) {
        uint32_t code = 0;
        const size_t n = eicei_base_utf8(s, &code);

        if (n == 0
            || (code < 0x20 && !eicei_base_in(&eicei_base_space, s.ptr[0]))
            || code == 0xfffe || code == 0xffff) {
            return false;
        }
        s = eicei_scan_rest(s, n);
    }
    return true;
}

/* Text up to the next '<'. END stands for "nothing": white space between
 * elements. */
EICEI_PRIVATE eice_xml_type eicei_xml_text(eice_xml *x, eice_str *s)
{
    const eice_str rest = eicei_scan_rest(x->doc, x->at);

    *s = eice_str_make(rest.ptr, eice_str_find(rest, '<'));
    x->at += s->len;
    if (eicei_scan_space(*s, 0) == s->len) {
        return EICE_XML_END;
    }
    return x->depth > 0 && eicei_xml_legal(*s) ? EICE_XML_TEXT
                                               : EICE_XML_ERROR;
}

EICEI_PRIVATE eice_xml_type eicei_xml_cdata(eice_xml *x, eice_str *s)
{
    const size_t begin = x->at + strlen("<![CDATA[");

    x->at = begin;
    if (x->depth == 0 || !eicei_xml_behind(x, "]]>")) {
        return EICE_XML_ERROR;
    }
    *s = eicei_scan_slice(x->doc, begin, x->at - strlen("]]>"));
    x->cdata = true;
    if (s->len == 0) {
        return EICE_XML_END;
    }
    return eicei_xml_legal(*s) ? EICE_XML_TEXT : EICE_XML_ERROR;
}

/* What begins with '<'; END stands for "nothing". */
EICEI_PRIVATE eice_xml_type eicei_xml_markup(eice_xml *x, eice_str *s)
{
    if (eicei_scan_at(x->doc, x->at, "</")) {
        return eicei_xml_close(x, s);
    }
    if (eicei_scan_at(x->doc, x->at, "<?")) {
        return eicei_xml_behind(x, "?>") ? EICE_XML_END : EICE_XML_ERROR;
    }
    if (eicei_scan_at(x->doc, x->at, "<!--")) {
        x->at += strlen("<!--");
        return eicei_xml_behind(x, "-->") ? EICE_XML_END : EICE_XML_ERROR;
    }
    if (eicei_scan_at(x->doc, x->at, "<![CDATA[")) {
        return eicei_xml_cdata(x, s);
    }
    /* A DOCTYPE falls through to here: '!' begins no name. */
    return eicei_xml_open(x, s);
}

EICE_API eice_xml_type eice_xml_next(eice_xml *x, eice_str *s)
{
    eice_xml_type type = EICE_XML_END;

    x->cdata = false;
    if (x->state == EICEI_XML_EMPTY) {
        return eicei_xml_pop(x, s);
    }
    while (x->state != EICEI_XML_FAILED && x->at < x->doc.len
           && type == EICE_XML_END) {
        x->cdata = false;
        type = x->doc.ptr[x->at] == '<' ? eicei_xml_markup(x, s)
                                        : eicei_xml_text(x, s);
    }
    if (type == EICE_XML_END) {
        type = x->state == EICEI_XML_EPILOG ? type : EICE_XML_ERROR;
        *s = eice_str_make(NULL, 0);
    }
    if (type == EICE_XML_ERROR) {
        x->state = EICEI_XML_FAILED;
        *s = eice_str_make(NULL, 0);
    }
    return type;
}

EICE_API bool eice_xml_skip(eice_xml *x)
{
    const unsigned depth = x->depth;
    eice_xml_type type = EICE_XML_OPEN;
    eice_str s;

    if (depth == 0) {
        return false;
    }
    while (x->depth >= depth && type != EICE_XML_ERROR) {
        type = eice_xml_next(x, &s);
    }
    return type != EICE_XML_ERROR;
}

/* The number of "#123" or "#x7b"; above 0x10ffff when it is none. */
EICEI_PRIVATE uint32_t eicei_xml_number(eice_str s)
{
    const bool hex = s.len > 1 && s.ptr[1] == 'x';
    const uint32_t base = hex ? 16 : 10;
    uint32_t n = 0;
    size_t i = hex ? 2 : 1;

    if (i >= s.len) {
        return UINT32_MAX;
    }
    for (; i < s.len; i++) {
        const unsigned digit = eicei_base_hex_value(s.ptr[i]);

        if (digit >= base || n > 0x10ffff) {
            return UINT32_MAX;
        }
        n = n * base + digit;
    }
    return n;
}

/* What stands between '&' and ';' (XML 1.0 4.1, 4.6). */
EICEI_PRIVATE bool eicei_xml_put_reference(eice_buf *out, eice_str name)
{
    static const struct {
        const char *name;
        unsigned char c;
    } list[] = {{"lt", '<'},
                {"gt", '>'},
                {"amp", '&'},
                {"apos", '\''},
                {"quot", '"'}};
    uint32_t code;
    size_t i;

    if (eice_str_starts(name, "#")) {
        code = eicei_xml_number(name);
        return (code >= 0x20 || code == 9 || code == 10 || code == 13)
               && eicei_scan_put_code(out, code);
    }
    for (i = 0; i < EICEI_LEN(list); i++) {
        if (eice_str_is(name, list[i].name)) {
            eice_put_byte(out, list[i].c);
            return true;
        }
    }
    return false;
}

EICE_API bool eice_xml_unescape(eice_str raw, eice_buf *out)
{
    while (raw.len > 0) {
        const size_t plain = eice_str_find(raw, '&');
        eice_str name;
        size_t len;

        eice_put(out, eice_str_make(raw.ptr, plain));
        raw = eicei_scan_rest(raw, plain);
        if (raw.len == 0) {
            break;
        }
        len = eice_str_find(raw, ';');
        if (len == raw.len) {
            return false;
        }
        name = eicei_scan_slice(raw, 1, len);
        if (!eicei_xml_put_reference(out, name)) {
            return false;
        }
        raw = eicei_scan_rest(raw, len + 1);
    }
    return !out->overflow;
}

/* ---- INI --------------------------------------------------------------- */

EICE_API void eice_ini_init(eice_ini *i, eice_str doc)
{
    memset(i, 0, sizeof *i);
    i->doc = doc;
    i->at = eicei_scan_bom(doc);
}

/* The next line without its end; controls but tab make it malformed. */
EICEI_PRIVATE bool eicei_ini_line(eice_ini *i, eice_str *line)
{
    eice_str rest = eicei_scan_rest(i->doc, i->at);
    size_t k;

    *line = eice_str_cut(&rest, '\n');
    i->at = i->doc.len - rest.len;
    i->line++;
    if (line->len > 0 && line->ptr[line->len - 1] == '\r') {
        line->len--;
    }
    for (k = 0; k < line->len; k++) {
        const unsigned char c = (unsigned char)line->ptr[k];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Without a comment that stands behind white space, and trimmed. */
EICEI_PRIVATE eice_str eicei_ini_strip(eice_str s)
{
    size_t k;

    for (k = 1; k < s.len; k++) {
        if ((s.ptr[k] == '#' || s.ptr[k] == ';')
            && eicei_base_in(&eicei_base_space, s.ptr[k - 1])) {
            s.len = k;
        }
    }
    return eice_str_trim(s);
}

/* "name = value" or "name: value"; false without delimiter or name. */
EICEI_PRIVATE bool eicei_ini_pair(eice_str line, eice_str *name,
                                  eice_str *value)
{
    const size_t equals = eice_str_find(line, '=');
    const size_t colon = eice_str_find(line, ':');
    const size_t at = equals < colon ? equals : colon;

    if (at == line.len) {
        return false;
    }
    *name = eice_str_trim(eice_str_make(line.ptr, at));
    *value = eicei_ini_strip(eicei_scan_rest(line, at + 1));
    return name->len > 0;
}

/* "[name]": the last bracket ends it. */
EICEI_PRIVATE bool eicei_ini_section(eice_str line, eice_str *name)
{
    size_t end;

    line = eicei_ini_strip(line);
    end = line.len;
    while (end > 0 && line.ptr[end - 1] != ']') {
        end--;
    }
    if (end < 2) {
        return false;
    }
    *name = eice_str_trim(eicei_scan_slice(line, 1, end - 1));
    return name->len > 0;
}

/* A line that holds something, without the white space before it, which is
 * `indent` bytes. END stands for "nothing": the rest of a value. */
EICEI_PRIVATE eice_ini_type eicei_ini_token(eice_ini *i, size_t indent,
                                            eice_str line, eice_pair *out)
{
    const bool below = i->has_key && indent > i->indent;

    if (below && !i->empty_key) {
        return EICE_INI_END;
    }
    if (!below) {
        i->indent = indent;
        i->has_key = false;
        if (line.ptr[0] == '[') {
            i->in_section = true;
            return eicei_ini_section(line, &out->name) ? EICE_INI_SECTION
                                                       : EICE_INI_ERROR;
        }
    }
    if (!i->in_section || !eicei_ini_pair(line, &out->name, &out->value)) {
        return EICE_INI_ERROR;
    }
    if (below) {
        return EICE_INI_NESTED;
    }
    i->has_key = true;
    i->empty_key = out->value.len == 0;
    return EICE_INI_KEY;
}

EICE_API eice_ini_type eice_ini_next(eice_ini *i, eice_str *name,
                                     eice_str *value)
{
    eice_ini_type type = i->failed ? EICE_INI_ERROR : EICE_INI_END;
    eice_pair out;
    eice_str line;

    memset(&out, 0, sizeof out);
    while (type == EICE_INI_END && i->at < i->doc.len) {
        if (!eicei_ini_line(i, &line)) {
            type = EICE_INI_ERROR;
        } else {
            const size_t indent = eicei_scan_space(line, 0);
            const eice_str text = eicei_scan_rest(line, indent);

            if (text.len > 0 && text.ptr[0] != '#' && text.ptr[0] != ';') {
                type = eicei_ini_token(i, indent, text, &out);
            }
        }
    }
    if (type == EICE_INI_ERROR) {
        i->failed = true;
        memset(&out, 0, sizeof out);
    }
    *name = out.name;
    *value = out.value;
    return type;
}

/* ======================================================================== *
 * 7  DNS                                                            >>dns  *
 * ======================================================================== */

#define EICEI_DNS_HEADER 12
#define EICEI_DNS_CNAMES 8     /* aliases followed */
#define EICEI_DNS_POINTERS 32  /* compression pointers in one name */
#define EICEI_DNS_RECORDS 256  /* records read of an answer */
#define EICEI_DNS_GRACE_MS 50  /* RFC 8305 3, Resolution Delay */

#define EICEI_DNS_TYPE_CNAME 5u
#define EICEI_DNS_CLASS_IN 1u

/* RFC 1035 4.1.1, the second word of a message. */
#define EICEI_DNS_QR 0x8000u
#define EICEI_DNS_OPCODE 0x7800u
#define EICEI_DNS_AA 0x0400u
#define EICEI_DNS_TC 0x0200u
#define EICEI_DNS_RD 0x0100u
#define EICEI_DNS_RA 0x0080u
#define EICEI_DNS_RCODE 0x000fu
#define EICEI_DNS_NXDOMAIN 3u

/* States of a leg; from EICEI_DNS_GOT on it is settled. */
enum {
    EICEI_DNS_ASK,
    EICEI_DNS_WAIT,
    EICEI_DNS_GOT,
    EICEI_DNS_EMPTY,
    EICEI_DNS_NO_NAME,
    EICEI_DNS_FAILED,
    EICEI_DNS_OFF
};

/* What can go wrong with a server, from the least telling on. */
enum {
    EICEI_DNS_FINE,
    EICEI_DNS_SILENT,
    EICEI_DNS_UNREACHABLE,
    EICEI_DNS_GARBAGE,
    EICEI_DNS_REFERRAL,
    EICEI_DNS_RCODE_BAD
};

/* The two kinds of address. */
typedef struct eicei_dns_kind {
    unsigned bit;
    unsigned type;
    uint8_t family;
    uint8_t size;
} eicei_dns_kind;

static const eicei_dns_kind eicei_dns_kinds[2] = {
    {EICE_DNS_A, 1, 4, 4},
    {EICE_DNS_AAAA, 28, 6, 16}
};

/* ---- addresses --------------------------------------------------------- */

EICEI_PRIVATE void eicei_dns_add(eice_addresses *list, const eice_ip *ip)
{
    size_t i;

    for (i = 0; i < list->count; i++) {
        if (eice_ip_eq(&list->ip[i], ip)) {
            return;
        }
    }
    if (list->count < EICE_MAX_ADDRESSES) {
        list->ip[list->count++] = *ip;
    }
}

EICEI_PRIVATE void eicei_dns_merge(eice_addresses *out,
                                   const eice_addresses *ipv6,
                                   const eice_addresses *ipv4)
{
    size_t i;

    out->count = 0;
    for (i = 0; i < EICE_MAX_ADDRESSES; i++) {
        if (i < ipv6->count) {
            eicei_dns_add(out, &ipv6->ip[i]);
        }
        if (i < ipv4->count) {
            eicei_dns_add(out, &ipv4->ip[i]);
        }
    }
}

/* ---- names ------------------------------------------------------------- */

EICEI_PRIVATE eice_str eicei_dns_without_dot(eice_str name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    return name;
}

/* The underscore is no part of a host name and yet is found in many. */
EICEI_PRIVATE bool eicei_dns_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

EICEI_PRIVATE bool eicei_dns_name_ok(eice_str name)
{
    size_t label = 0;
    size_t i;

    if (name.len >= EICE_DNS_NAME) {
        return false;
    }
    for (i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
        } else if (!eicei_dns_name_byte(name.ptr[i]) || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

/* No top-level domain is a number (RFC 3696 2): "10.0.0.256" is an address
 * with an error in it and need not be sent to anybody. */
EICEI_PRIVATE bool eicei_dns_ends_in_number(eice_str name)
{
    size_t i = name.len;

    while (i > 0 && name.ptr[i - 1] >= '0' && name.ptr[i - 1] <= '9') {
        i--;
    }
    return i < name.len && (i == 0 || name.ptr[i - 1] == '.');
}

/* RFC 6761 6.3. */
EICEI_PRIVATE bool eicei_dns_is_localhost(eice_str name)
{
    const size_t tail = sizeof ".localhost" - 1;

    return eice_str_is_nocase(name, "localhost")
           || (name.len > tail
               && eice_str_is_nocase(
                   eice_str_make(name.ptr + name.len - tail, tail),
                   ".localhost"));
}

/* ---- configuration ----------------------------------------------------- */

/* The next word of a line, which loses it; empty at the end. */
EICEI_PRIVATE eice_str eicei_dns_word(eice_str *line)
{
    eice_str word;
    size_t n = 0;

    *line = eice_str_trim(*line);
    while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t') {
        n++;
    }
    word = eice_str_make(line->ptr, n);
    *line = eice_str_make(line->ptr + n, line->len - n);
    return word;
}

/* An address, or "[address]:port" as the BSDs have it. */
EICEI_PRIVATE void eicei_dns_conf_server(eice_dns_config *c, eice_str line)
{
    eice_str word = eicei_dns_word(&line);
    uint64_t port = 0;
    eice_ip ip;

    if (eice_str_starts(word, "[")) {
        eice_str rest = eice_str_make(word.ptr + 1, word.len - 1);

        word = eice_str_cut(&rest, ']');
        if (!eice_str_starts(rest, ":")
            || !eice_str_u64(eice_str_make(rest.ptr + 1, rest.len - 1), 65535,
                             &port)) {
            return;
        }
    }
    if (c->server_count < EICE_DNS_SERVERS && eice_ip_parse(word, &ip)) {
        c->port[c->server_count] = (uint16_t)port;
        c->server[c->server_count++] = ip;
    }
}

EICEI_PRIVATE void eicei_dns_conf_search(eice_dns_config *c, eice_str line)
{
    eice_str name = eicei_dns_word(&line);

    c->search_count = 0;
    while (name.len > 0 && c->search_count < EICE_DNS_SEARCH) {
        name = eicei_dns_without_dot(name);
        if (eicei_dns_name_ok(name)) {
            eice_copy_text(c->search[c->search_count++], EICE_DNS_NAME, name);
        }
        name = eicei_dns_word(&line);
    }
}

EICEI_PRIVATE void eicei_dns_conf_domain(eice_dns_config *c, eice_str line)
{
    eicei_dns_conf_search(c, eicei_dns_word(&line));
}

/* "name:number" into [low, high]: true when the option has that name. */
EICEI_PRIVATE bool eicei_dns_number(eice_str option, const char *name,
                                    unsigned low, unsigned high, unsigned *out)
{
    uint64_t n;

    if (!eice_str_is(eice_str_cut(&option, ':'), name)) {
        return false;
    }
    if (eice_str_u64(option, UINT32_MAX, &n)) {
        *out = n < low ? low : n > high ? high : (unsigned)n;
    }
    return true;
}

EICEI_PRIVATE void eicei_dns_conf_option(eice_dns_config *c, eice_str option)
{
    unsigned seconds = c->timeout_ms / 1000;

    if (eicei_dns_number(option, "timeout", 1, 30, &seconds)) {
        c->timeout_ms = seconds * 1000;
    } else if (eicei_dns_number(option, "attempts", 1, 5, &c->attempts)
               || eicei_dns_number(option, "ndots", 0, 15, &c->ndots)) {
        return;
    } else if (eice_str_is(option, "rotate")) {
        c->rotate = true;
    } else if (eice_str_is(option, "use-vc")) {
        c->tcp = true;
    } else if (eice_str_is(option, "no-aaaa")) {
        c->families = EICE_DNS_A;
    }
}

EICEI_PRIVATE void eicei_dns_conf_options(eice_dns_config *c, eice_str line)
{
    eice_str option = eicei_dns_word(&line);

    while (option.len > 0) {
        eicei_dns_conf_option(c, option);
        option = eicei_dns_word(&line);
    }
}

typedef struct eicei_dns_keyword {
    const char *name;
    void (*read)(eice_dns_config *c, eice_str line);
} eicei_dns_keyword;

static const eicei_dns_keyword eicei_dns_keywords[] = {
    {"nameserver", eicei_dns_conf_server},
    {"search", eicei_dns_conf_search},
    {"domain", eicei_dns_conf_domain},
    {"options", eicei_dns_conf_options}
};

/* What is zero and has another default. */
EICEI_PRIVATE void eicei_dns_config_defaults(eice_dns_config *c)
{
    unsigned i;

    if (c->server_count == 0) {
        (void)eice_ip_parse(eice_str_c("127.0.0.1"), &c->server[0]);
        c->server_count = 1;
    }
    if (c->server_count > EICE_DNS_SERVERS) {
        c->server_count = EICE_DNS_SERVERS;
    }
    if (c->search_count > EICE_DNS_SEARCH) {
        c->search_count = EICE_DNS_SEARCH;
    }
    for (i = 0; i < c->server_count; i++) {
        c->port[i] = c->port[i] == 0 ? (uint16_t)53 : c->port[i];
    }
    c->attempts = c->attempts == 0 ? 2 : c->attempts;
    c->timeout_ms = c->timeout_ms == 0 ? 5000 : c->timeout_ms;
    c->families &= EICE_DNS_A | EICE_DNS_AAAA;
    if (c->families == 0) {
        c->families = EICE_DNS_A | EICE_DNS_AAAA;
    }
}

EICE_API void eice_dns_config_parse(eice_dns_config *c, eice_str resolv_conf)
{
    memset(c, 0, sizeof *c);
    c->ndots = 1;
    while (resolv_conf.len > 0) {
        eice_str line = eice_str_cut(&resolv_conf, '\n');
        const eice_str word = eicei_dns_word(&line);
        size_t i;

        for (i = 0; i < EICEI_LEN(eicei_dns_keywords); i++) {
            if (eice_str_is(word, eicei_dns_keywords[i].name)) {
                eicei_dns_keywords[i].read(c, line);
            }
        }
    }
    eicei_dns_config_defaults(c);
}

EICEI_PRIVATE bool eicei_dns_hosts_line(eice_str line, eice_str name,
                                        eice_ip *ip)
{
    eice_str word;

    line = eice_str_cut(&line, '#');
    if (!eice_ip_parse(eicei_dns_word(&line), ip)) {
        return false;
    }
    do {
        word = eicei_dns_word(&line);
        if (word.len > 0
            && eice_str_eq_nocase(eicei_dns_without_dot(word), name)) {
            return true;
        }
    } while (word.len > 0);
    return false;
}

EICE_API bool eice_dns_hosts(eice_str hosts, eice_str name,
                             eice_addresses *out)
{
    eice_addresses ipv4;
    eice_addresses ipv6;
    eice_ip ip;

    ipv4.count = 0;
    ipv6.count = 0;
    name = eicei_dns_without_dot(name);
    while (hosts.len > 0) {
        const eice_str line = eice_str_cut(&hosts, '\n');

        if (eicei_dns_hosts_line(line, name, &ip)) {
            eicei_dns_add(ip.family == 6 ? &ipv6 : &ipv4, &ip);
        }
    }
    if (out != NULL) {
        eicei_dns_merge(out, &ipv6, &ipv4);
    }
    return ipv4.count + ipv6.count > 0;
}

/* ---- reading messages -------------------------------------------------- */

typedef struct eicei_dns_reader {
    const uint8_t *msg;
    size_t len;
    size_t at;
} eicei_dns_reader;

EICEI_PRIVATE bool eicei_dns_u16(eicei_dns_reader *r, unsigned *out)
{
    if (r->len - r->at < 2) {
        return false;
    }
    *out = (unsigned)r->msg[r->at] << 8 | r->msg[r->at + 1];
    r->at += 2;
    return true;
}

/* RFC 1035 4.1.4. A pointer must lead to before everything of this name that
 * was read so far: so it ends, whatever the message holds. */
EICEI_PRIVATE bool eicei_dns_follow(const eicei_dns_reader *r, size_t *at,
                                    size_t *floor, unsigned *pointers)
{
    size_t to;

    if (r->len - *at < 2 || ++*pointers > EICEI_DNS_POINTERS) {
        return false;
    }
    to = (size_t)(r->msg[*at] & 0x3fu) << 8 | r->msg[*at + 1];
    if (to < EICEI_DNS_HEADER || to >= *floor) {
        return false;
    }
    *floor = to;
    *at = to;
    return true;
}

/* One label, in lower case, a dot before all but the first. A label with a
 * dot inside has no host name's form and could pass for two. */
EICEI_PRIVATE bool eicei_dns_label(const uint8_t *p, size_t n, eice_buf *out)
{
    size_t i;

    if (out->len > 0) {
        eice_put_byte(out, '.');
    }
    for (i = 0; i < n; i++) {
        const unsigned char c = p[i];

        if (c == '.') {
            return false;
        }
        eice_put_byte(out, c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c);
    }
    return !out->overflow;
}

/* Reads the name at r->at as text and leaves r->at behind it; false when it
 * is malformed, too long or points in circles. */
EICEI_PRIVATE bool eicei_dns_name(eicei_dns_reader *r, eice_buf *out)
{
    size_t at = r->at;
    size_t floor = r->at;
    size_t end = 0;
    unsigned pointers = 0;

    out->len = 0;
    while (at < r->len) {
        const size_t n = r->msg[at];

        if (n == 0) {
            r->at = end != 0 ? end : at + 1;
            return true;
        }
        if (n >= 0xc0) {
            end = end != 0 ? end : at + 2;
            if (!eicei_dns_follow(r, &at, &floor, &pointers)) {
                return false;
            }
        } else if (n > 63 || r->len - at <= n
                   || !eicei_dns_label(r->msg + at + 1, n, out)) {
            return false;
        } else {
            at += n + 1;
        }
    }
    return false;
}

typedef struct eicei_dns_record {
    char name[EICE_DNS_NAME];
    eice_buf owner;
    unsigned type;
    unsigned cls;
    size_t data; /* where it is in the message */
    unsigned len;
} eicei_dns_record;

EICEI_PRIVATE bool eicei_dns_next_record(eicei_dns_reader *r,
                                         eicei_dns_record *rec)
{
    unsigned ttl;

    eice_buf_init(&rec->owner, rec->name, sizeof rec->name - 1);
    if (!eicei_dns_name(r, &rec->owner) || !eicei_dns_u16(r, &rec->type)
        || !eicei_dns_u16(r, &rec->cls) || !eicei_dns_u16(r, &ttl)
        || !eicei_dns_u16(r, &ttl) || !eicei_dns_u16(r, &rec->len)
        || r->len - r->at < rec->len) {
        return false;
    }
    rec->data = r->at;
    r->at += rec->len;
    return true;
}

/* An answer under examination. */
typedef struct eicei_dns_answer {
    eicei_dns_reader at; /* behind the question */
    unsigned flags;
    unsigned records;    /* of the answer section */
    char name[EICE_DNS_NAME];
    eice_buf owner;      /* whose records count: the question, an alias */
} eicei_dns_answer;

EICEI_PRIVATE bool eicei_dns_take_address(const eicei_dns_answer *m,
                                          const eicei_dns_record *rec,
                                          const eicei_dns_kind *kind,
                                          eice_addresses *found)
{
    eice_ip ip;

    if (rec->len != kind->size) {
        return false;
    }
    memset(&ip, 0, sizeof ip);
    ip.family = kind->family;
    memcpy(ip.bytes, m->at.msg + rec->data, kind->size);
    eicei_dns_add(found, &ip);
    return true;
}

/* The alias may be compressed; it must fill its record. */
EICEI_PRIVATE bool eicei_dns_take_alias(eicei_dns_answer *m,
                                        const eicei_dns_record *rec)
{
    eicei_dns_reader r = m->at;

    r.at = rec->data;
    return eicei_dns_name(&r, &m->owner) && r.at == rec->data + rec->len;
}

/* One pass over the answer section for the records of m->owner. `alias` is
 * set when the owner was replaced by what it stands for. */
EICEI_PRIVATE bool eicei_dns_pass(eicei_dns_answer *m,
                                  const eicei_dns_kind *kind,
                                  eice_addresses *found, bool *alias)
{
    eicei_dns_reader r = m->at;
    eicei_dns_record rec;
    unsigned i;

    *alias = false;
    for (i = 0; i < m->records && i < EICEI_DNS_RECORDS; i++) {
        bool ok;

        if (!eicei_dns_next_record(&r, &rec)) {
            return false;
        }
        if (rec.cls != EICEI_DNS_CLASS_IN || *alias
            || !eice_str_eq(eice_buf_str(&rec.owner),
                            eice_buf_str(&m->owner))) {
            continue;
        }
        ok = true;
        if (rec.type == kind->type) {
            ok = eicei_dns_take_address(m, &rec, kind, found);
        } else if (rec.type == EICEI_DNS_TYPE_CNAME && found->count == 0) {
            ok = eicei_dns_take_alias(m, &rec);
            *alias = true;
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* Follows aliases to the addresses. False when the records are malformed or
 * the aliases do not end. */
EICEI_PRIVATE bool eicei_dns_collect(eicei_dns_answer *m,
                                     const eicei_dns_kind *kind,
                                     eice_addresses *found)
{
    unsigned hop;
    bool alias;

    for (hop = 0; hop <= EICEI_DNS_CNAMES; hop++) {
        if (!eicei_dns_pass(m, kind, found, &alias)) {
            return false;
        }
        if (!alias) {
            return true;
        }
    }
    return false;
}

/* RFC 5452 9.1: the id and the question must be ours. */
EICEI_PRIVATE bool eicei_dns_matches(const eice_dns *d,
                                     const eice_dns_leg *leg, unsigned type,
                                     eicei_dns_answer *m)
{
    unsigned id;
    unsigned questions;
    unsigned skip;
    unsigned got_type;
    unsigned got_class;

    return eicei_dns_u16(&m->at, &id) && eicei_dns_u16(&m->at, &m->flags)
           && eicei_dns_u16(&m->at, &questions)
           && eicei_dns_u16(&m->at, &m->records)
           && eicei_dns_u16(&m->at, &skip) && eicei_dns_u16(&m->at, &skip)
           && id == leg->id && (m->flags & EICEI_DNS_QR) != 0
           && (m->flags & EICEI_DNS_OPCODE) == 0 && questions == 1
           && eicei_dns_name(&m->at, &m->owner)
           && eicei_dns_u16(&m->at, &got_type)
           && eicei_dns_u16(&m->at, &got_class) && got_type == type
           && got_class == EICEI_DNS_CLASS_IN
           && eice_str_is_nocase(eice_buf_str(&m->owner), d->priv.asked);
}

/* ---- writing messages -------------------------------------------------- */

EICEI_PRIVATE void eicei_dns_put_u16(eice_buf *b, unsigned n)
{
    eice_put_byte(b, (unsigned char)(n >> 8 & 0xffu));
    eice_put_byte(b, (unsigned char)(n & 0xffu));
}

EICEI_PRIVATE void eicei_dns_put_name(eice_buf *b, eice_str name)
{
    while (name.len > 0) {
        const eice_str label = eice_str_cut(&name, '.');

        eice_put_byte(b, (unsigned char)label.len);
        eice_put(b, label);
    }
    eice_put_byte(b, 0);
}

EICEI_PRIVATE void eicei_dns_write(const eice_dns *d, const eice_dns_leg *leg,
                                   unsigned type, eice_dns_query *q)
{
    const eice_str name = eice_str_c(d->priv.asked);
    eice_buf b;

    eice_buf_init(&b, q->message, sizeof q->message);
    if (leg->tcp) {
        eicei_dns_put_u16(&b, (unsigned)(EICEI_DNS_HEADER + name.len + 2 + 4));
    }
    eicei_dns_put_u16(&b, leg->id);
    eicei_dns_put_u16(&b, EICEI_DNS_RD);
    eicei_dns_put_u16(&b, 1); /* questions, answers, authority, additional */
    eicei_dns_put_u16(&b, 0);
    eicei_dns_put_u16(&b, 0);
    eicei_dns_put_u16(&b, 0);
    eicei_dns_put_name(&b, name);
    eicei_dns_put_u16(&b, type);
    eicei_dns_put_u16(&b, EICEI_DNS_CLASS_IN);
    q->len = b.len;
}

/* ---- errors ------------------------------------------------------------ */

static const char *const eicei_dns_rcodes[] = {
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"
};

EICEI_PRIVATE void eicei_dns_put_server(const eice_dns *d, unsigned server,
                                        eice_buf *b)
{
    const eice_dns_config *c = &d->priv.config;
    char text[EICE_IP_TEXT];

    eice_put_c(b, eice_ip_format(&c->server[server], text));
    if (c->port[server] != 53) {
        eice_putf(b, " port %u", (unsigned)c->port[server]);
    }
}

EICEI_PRIVATE const char *eicei_dns_servers(const eice_dns *d, eice_buf *b)
{
    unsigned i;

    for (i = 0; i < d->priv.config.server_count; i++) {
        if ((d->priv.servers_asked >> i & 1u) == 0) {
            continue;
        }
        if (b->len > 0) {
            eice_put_c(b, ", ");
        }
        eicei_dns_put_server(d, i, b);
    }
    return eice_buf_c(b);
}

/* What the guilty server did, e.g. "10.0.0.2 answered REFUSED". */
EICEI_PRIVATE const char *eicei_dns_guilt(const eice_dns *d, eice_buf *b)
{
    const unsigned rcode = d->priv.rcode;

    if (d->priv.fault == EICEI_DNS_UNREACHABLE) {
        eice_put_c(b, "cannot reach ");
    }
    eicei_dns_put_server(d, d->priv.fault_server, b);
    if (d->priv.fault == EICEI_DNS_GARBAGE) {
        eice_put_c(b, " sent a malformed answer");
    } else if (d->priv.fault == EICEI_DNS_REFERRAL) {
        eice_put_c(b, " does not resolve for us (no recursion)");
    } else if (d->priv.fault == EICEI_DNS_RCODE_BAD) {
        if (rcode < EICEI_LEN(eicei_dns_rcodes)) {
            eice_putf(b, " answered %s", eicei_dns_rcodes[rcode]);
        } else {
            eice_putf(b, " answered with code %u", rcode);
        }
    }
    return eice_buf_c(b);
}

EICEI_PRIVATE void eicei_dns_fail(eice_dns *d)
{
    char text[192];
    char shown[128];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    eice_copy_text(shown, sizeof shown, eice_str_c(d->priv.name));
    if (d->priv.fault == EICEI_DNS_FINE) {
        eice_fail(&d->error, EICE_E_NAME_NOT_FOUND, EICE_STAGE_RESOLVE,
                  "%s: %s (asked %s)", shown,
                  d->priv.empty ? "the name has no address" : "no such name",
                  eicei_dns_servers(d, &b));
    } else if (d->priv.fault == EICEI_DNS_SILENT) {
        eice_fail(&d->error, EICE_E_DNS_TIMEOUT, EICE_STAGE_RESOLVE,
                  "%s: no answer from %s in %l ms", shown,
                  eicei_dns_servers(d, &b),
                  d->priv.now_ms - d->priv.start_ms);
        d->error.retryable = true;
    } else {
        eice_fail(&d->error, EICE_E_DNS_FAILED, EICE_STAGE_RESOLVE, "%s: %s",
                  shown, eicei_dns_guilt(d, &b));
        d->error.retryable = true;
    }
    d->priv.done = true;
}

/* ---- the machine ------------------------------------------------------- */

EICEI_PRIVATE bool eicei_dns_settled(const eice_dns_leg *leg)
{
    return leg->state >= EICEI_DNS_GOT;
}

/* The name at `place` of the row into `asked`; false when it is too long. */
EICEI_PRIVATE bool eicei_dns_compose(eice_dns *d, unsigned place,
                                     bool as_is_first)
{
    const unsigned searches = d->priv.config.search_count;
    eice_buf b;

    eice_buf_init(&b, d->priv.asked, sizeof d->priv.asked);
    eice_put_c(&b, d->priv.name);
    if (place != (as_is_first ? 0 : searches)) {
        eice_put_byte(&b, '.');
        eice_put_c(&b, d->priv.config.search[place - (as_is_first ? 1 : 0)]);
    }
    (void)eice_buf_c(&b);
    return !b.overflow && b.len < EICE_DNS_NAME;
}

EICEI_PRIVATE void eicei_dns_begin_legs(eice_dns *d)
{
    size_t i;

    d->priv.grace_ms = UINT64_MAX;
    for (i = 0; i < 2; i++) {
        eice_dns_leg *leg = &d->priv.leg[i];

        memset(leg, 0, sizeof *leg);
        leg->server = d->priv.server;
        leg->tcp = d->priv.config.tcp;
        if ((d->priv.config.families & eicei_dns_kinds[i].bit) == 0) {
            leg->state = EICEI_DNS_OFF;
        }
    }
}

EICEI_PRIVATE bool eicei_dns_as_is_first(const eice_dns *d)
{
    unsigned dots = 0;
    size_t i;

    for (i = 0; d->priv.name[i] != 0; i++) {
        dots += d->priv.name[i] == '.';
    }
    return d->priv.absolute || dots >= d->priv.config.ndots;
}

/* Goes to the name at `place`, or the first behind it that is not too long.
 * False when the row is at its end. */
EICEI_PRIVATE bool eicei_dns_ask(eice_dns *d, unsigned place)
{
    const unsigned last = d->priv.absolute ? 0 : d->priv.config.search_count;
    const bool as_is_first = eicei_dns_as_is_first(d);

    for (; place <= last; place++) {
        if (eicei_dns_compose(d, place, as_is_first)) {
            d->priv.place = place;
            eicei_dns_begin_legs(d);
            return true;
        }
    }
    return false;
}

/* Both questions are settled: the end, or the next name. After silence
 * nothing more is asked; after an error of the server it is, as the GNU
 * resolver does: a broken domain in the search list must not hide the name.
 * A name left over when the time is up is as good as silence about it. */
EICEI_PRIVATE void eicei_dns_settle(eice_dns *d)
{
    const eice_dns_leg *a = &d->priv.leg[0];
    const eice_dns_leg *aaaa = &d->priv.leg[1];
    bool more;
    size_t i;

    eicei_dns_merge(&d->priv.result, &aaaa->found, &a->found);
    if (d->priv.result.count > 0) {
        d->priv.done = true;
        return;
    }
    for (i = 0; i < 2; i++) {
        const eice_dns_leg *leg = &d->priv.leg[i];

        d->priv.empty = d->priv.empty || leg->state == EICEI_DNS_EMPTY;
        if (leg->state == EICEI_DNS_FAILED
            && leg->fault <= EICEI_DNS_UNREACHABLE) {
            eicei_dns_fail(d);
            return;
        }
    }
    more = eicei_dns_ask(d, d->priv.place + 1);
    if (more && d->priv.now_ms >= d->priv.end_ms
        && d->priv.fault == EICEI_DNS_FINE) {
        d->priv.fault = EICEI_DNS_SILENT;
    }
    if (!more || d->priv.now_ms >= d->priv.end_ms) {
        eicei_dns_fail(d);
    }
}

EICEI_PRIVATE void eicei_dns_advance(eice_dns *d)
{
    const eice_dns_leg *a = &d->priv.leg[0];
    const eice_dns_leg *aaaa = &d->priv.leg[1];

    if (eicei_dns_settled(a) && eicei_dns_settled(aaaa)) {
        eicei_dns_settle(d);
    } else if (d->priv.grace_ms == UINT64_MAX
               && (a->state == EICEI_DNS_GOT
                   || a->state == EICEI_DNS_NO_NAME)) {
        d->priv.grace_ms = d->priv.now_ms + EICEI_DNS_GRACE_MS;
    }
}

/* The server of a leg is of no use: the next one, as long as there is. What
 * is remembered for the error is what a leg met that failed in the end. */
EICEI_PRIVATE void eicei_dns_fault(eice_dns *d, eice_dns_leg *leg,
                                   uint8_t fault, unsigned rcode)
{
    const eice_dns_config *c = &d->priv.config;

    leg->tries++;
    if (fault > leg->fault) {
        leg->fault = fault;
        leg->fault_server = leg->server;
        leg->rcode = (uint8_t)rcode;
    }
    if (leg->tries < c->attempts * c->server_count
        && d->priv.now_ms < d->priv.end_ms) {
        leg->server = (leg->server + 1) % c->server_count;
        leg->tcp = c->tcp;
        leg->state = EICEI_DNS_ASK;
        return;
    }
    leg->state = EICEI_DNS_FAILED;
    if (leg->fault > d->priv.fault) {
        d->priv.fault = leg->fault;
        d->priv.fault_server = leg->fault_server;
        d->priv.rcode = leg->rcode;
    }
}

EICEI_PRIVATE eice_dns_leg *eicei_dns_find(eice_dns *d, uint32_t tag)
{
    size_t i;

    for (i = 0; i < 2; i++) {
        if (d->priv.leg[i].state == EICEI_DNS_WAIT
            && d->priv.leg[i].tag == tag) {
            return &d->priv.leg[i];
        }
    }
    return NULL;
}

EICEI_PRIVATE void eicei_dns_clock(eice_dns *d, uint64_t now_ms)
{
    if (now_ms > d->priv.now_ms) {
        d->priv.now_ms = now_ms;
    }
}

/* What an answer that matches its question does to the leg. */
EICEI_PRIVATE void eicei_dns_take(eice_dns *d, eice_dns_leg *leg,
                                  const eicei_dns_kind *kind,
                                  eicei_dns_answer *m)
{
    const unsigned rcode = m->flags & EICEI_DNS_RCODE;

    if (rcode != 0 && rcode != EICEI_DNS_NXDOMAIN) {
        eicei_dns_fault(d, leg, EICEI_DNS_RCODE_BAD, rcode);
    } else if (rcode == EICEI_DNS_NXDOMAIN) {
        leg->state = EICEI_DNS_NO_NAME;
    } else if ((m->flags & EICEI_DNS_TC) != 0 && !leg->tcp) {
        leg->tcp = true;
        leg->state = EICEI_DNS_ASK;
    } else if ((m->flags & EICEI_DNS_TC) != 0
               || !eicei_dns_collect(m, kind, &leg->found)) {
        leg->found.count = 0;
        eicei_dns_fault(d, leg, EICEI_DNS_GARBAGE, 0);
    } else if (leg->found.count > 0) {
        leg->state = EICEI_DNS_GOT;
    } else if (m->records == 0
               && (m->flags & (EICEI_DNS_AA | EICEI_DNS_RA)) == 0) {
        eicei_dns_fault(d, leg, EICEI_DNS_REFERRAL, 0);
    } else {
        leg->state = EICEI_DNS_EMPTY;
    }
    if (eicei_dns_settled(leg) && leg->state != EICEI_DNS_FAILED) {
        d->priv.server = leg->server;
    }
}

EICEI_PRIVATE bool eicei_dns_at_once(eice_dns *d)
{
    const eice_str name = eice_str_c(d->priv.name);
    eice_addresses *out = &d->priv.result;

    if (eice_ip_parse(name, &out->ip[0])) {
        out->count = 1;
    } else if (eicei_dns_is_localhost(name)) {
        if ((d->priv.config.families & EICE_DNS_AAAA) != 0) {
            (void)eice_ip_parse(eice_str_c("::1"), &out->ip[out->count++]);
        }
        if ((d->priv.config.families & EICE_DNS_A) != 0) {
            (void)eice_ip_parse(eice_str_c("127.0.0.1"),
                                &out->ip[out->count++]);
        }
    }
    d->priv.done = out->count > 0;
    return d->priv.done;
}

EICEI_PRIVATE unsigned eicei_dns_random(eice_dns *d)
{
    uint8_t n[2];

    eice_drbg_generate(d->priv.random, n, sizeof n);
    return (unsigned)n[0] << 8 | n[1];
}

EICE_API eice_err eice_dns_init(eice_dns *d, const eice_dns_config *config,
                                eice_str name, eice_drbg *random,
                                uint64_t now_ms)
{
    const eice_str bare = eicei_dns_without_dot(name);
    eice_dns_config *c = &d->priv.config;

    memset(d, 0, sizeof *d);
    *c = *config;
    eicei_dns_config_defaults(c);
    d->priv.random = random;
    d->priv.now_ms = now_ms;
    d->priv.start_ms = now_ms;
    d->priv.end_ms = now_ms + (uint64_t)c->timeout_ms * c->attempts
                     * c->server_count;
    eice_copy_text(d->priv.name, sizeof d->priv.name, bare);
    if (bare.len < EICE_DNS_NAME && eicei_dns_at_once(d)) {
        return EICE_OK;
    }
    if (!eicei_dns_name_ok(bare) || eicei_dns_ends_in_number(bare)) {
        const eice_str shown = eice_str_make(name.ptr,
                                             name.len < 64 ? name.len : 64);

        d->priv.done = true;
        return eice_fail(&d->error, EICE_E_ARGUMENT, EICE_STAGE_RESOLVE,
                         "\"%S\" is neither a host name nor an address",
                         &shown);
    }
    if (c->rotate) {
        d->priv.server = eicei_dns_random(d) % c->server_count;
    }
    d->priv.absolute = bare.len < name.len;
    (void)eicei_dns_ask(d, 0);
    return EICE_OK;
}

EICE_API bool eice_dns_next(eice_dns *d, eice_dns_query *q)
{
    size_t i;

    for (i = 0; i < 2 && !d->priv.done; i++) {
        eice_dns_leg *leg = &d->priv.leg[i];

        if (leg->state != EICEI_DNS_ASK) {
            continue;
        }
        leg->state = EICEI_DNS_WAIT;
        leg->id = (uint16_t)eicei_dns_random(d);
        leg->tag = ++d->priv.tag;
        leg->deadline_ms = d->priv.now_ms + d->priv.config.timeout_ms;
        d->priv.servers_asked |= 1u << leg->server;
        memset(q, 0, sizeof *q);
        q->server = leg->server;
        q->address = d->priv.config.server[leg->server];
        q->port = d->priv.config.port[leg->server];
        q->tcp = leg->tcp;
        q->tag = leg->tag;
        eicei_dns_write(d, leg, eicei_dns_kinds[i].type, q);
        return true;
    }
    return false;
}

EICE_API bool eice_dns_waits(const eice_dns *d, uint32_t tag)
{
    size_t i;

    for (i = 0; i < 2 && !d->priv.done; i++) {
        if (d->priv.leg[i].state == EICEI_DNS_WAIT
            && d->priv.leg[i].tag == tag) {
            return true;
        }
    }
    return false;
}

EICE_API void eice_dns_tick(eice_dns *d, uint64_t now_ms)
{
    size_t i;

    eicei_dns_clock(d, now_ms);
    if (d->priv.done) {
        return;
    }
    if (d->priv.grace_ms <= d->priv.now_ms
        && !eicei_dns_settled(&d->priv.leg[1])) {
        d->priv.leg[1].state = EICEI_DNS_NO_NAME;
    }
    for (i = 0; i < 2; i++) {
        eice_dns_leg *leg = &d->priv.leg[i];

        if (!eicei_dns_settled(leg)
            && (d->priv.end_ms <= d->priv.now_ms
                || (leg->state == EICEI_DNS_WAIT
                    && leg->deadline_ms <= d->priv.now_ms))) {
            eicei_dns_fault(d, leg, EICEI_DNS_SILENT, 0);
        }
    }
    eicei_dns_advance(d);
}

EICE_API void eice_dns_answer(eice_dns *d, uint32_t tag, const void *message,
                              size_t len, uint64_t now_ms)
{
    const eicei_dns_kind *kind;
    eice_dns_leg *leg = eicei_dns_find(d, tag);
    eicei_dns_answer m;

    eicei_dns_clock(d, now_ms);
    if (d->priv.done || leg == NULL) {
        return;
    }
    kind = &eicei_dns_kinds[leg - d->priv.leg];
    memset(&m, 0, sizeof m);
    m.at.msg = (const uint8_t *)message;
    m.at.len = len;
    eice_buf_init(&m.owner, m.name, sizeof m.name - 1);
    if (eicei_dns_matches(d, leg, kind->type, &m)) {
        eicei_dns_take(d, leg, kind, &m);
    } else if (leg->tcp) {
        eicei_dns_fault(d, leg, EICEI_DNS_GARBAGE, 0);
    }
    eice_dns_tick(d, now_ms);
}

EICE_API void eice_dns_unreachable(eice_dns *d, uint32_t tag, uint64_t now_ms)
{
    eice_dns_leg *leg = eicei_dns_find(d, tag);

    eicei_dns_clock(d, now_ms);
    if (!d->priv.done && leg != NULL) {
        eicei_dns_fault(d, leg, EICEI_DNS_UNREACHABLE, 0);
        eice_dns_tick(d, now_ms);
    }
}

EICE_API uint64_t eice_dns_deadline(const eice_dns *d)
{
    uint64_t when = d->priv.end_ms;
    size_t i;

    if (d->priv.done) {
        return UINT64_MAX;
    }
    if (d->priv.grace_ms < when) {
        when = d->priv.grace_ms;
    }
    for (i = 0; i < 2; i++) {
        const eice_dns_leg *leg = &d->priv.leg[i];

        if (leg->state == EICEI_DNS_ASK) {
            return d->priv.now_ms;
        }
        if (leg->state == EICEI_DNS_WAIT && leg->deadline_ms < when) {
            when = leg->deadline_ms;
        }
    }
    return when;
}

EICE_API bool eice_dns_done(const eice_dns *d, eice_addresses *out)
{
    if (out != NULL) {
        *out = d->priv.result;
    }
    return d->priv.done;
}

/* ======================================================================== *
 * 8  HTTP/1.1                                                      >>http  *
 * ======================================================================== */

/* ---- characters -------------------------------------------------------- */

EICEI_PRIVATE bool eicei_http_is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* RFC 9110 5.6.2 */
EICEI_PRIVATE bool eicei_http_is_token(eice_str s)
{
    const eice_str marks = eice_str_c("!#$%&'*+-.^_`|~");
    size_t i;

    for (i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];

        if (!eicei_http_is_alnum(c)
            && eice_str_find(marks, (char)c) == marks.len) {
            return false;
        }
    }
    return s.len > 0;
}

/* Controls, of which a line may hold the tab only (RFC 9110 5.5). */
EICEI_PRIVATE bool eicei_http_is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

EICEI_PRIVATE bool eicei_http_has_control(eice_str s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        if (eicei_http_is_control((unsigned char)s.ptr[i])) {
            return true;
        }
    }
    return false;
}

/* ---- addresses --------------------------------------------------------- */

EICEI_PRIVATE bool eicei_http_is_ip6(eice_str host)
{
    eice_ip ip;

    return eice_ip_parse(host, &ip) && ip.family == 6;
}

EICEI_PRIVATE bool eicei_http_is_name(eice_str host)
{
    size_t i;

    for (i = 0; i < host.len; i++) {
        const unsigned char c = (unsigned char)host.ptr[i];

        if (!eicei_http_is_alnum(c) && c != '-' && c != '.' && c != '_') {
            return false;
        }
    }
    return host.len > 0 && host.len <= 253;
}

EICEI_PRIVATE eice_str eicei_http_behind(eice_str s, size_t n)
{
    return eice_str_make(s.ptr + n, s.len - n);
}

/* Cuts "scheme://" off. */
EICEI_PRIVATE bool eicei_http_url_scheme(eice_str *rest, eice_url *url)
{
    static const struct {
        const char *name;
        bool tls;
    } schemes[] = {
        {"http", false}, {"https", true}, {"ws", false}, {"wss", true}
    };
    size_t i;

    url->scheme = eice_str_cut(rest, ':');
    if (!eice_str_starts(*rest, "//")) {
        return false;
    }
    *rest = eicei_http_behind(*rest, 2);
    for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (eice_str_is_nocase(url->scheme, schemes[i].name)) {
            url->tls = schemes[i].tls;
            return true;
        }
    }
    return false;
}

/* Cuts "user@" off. */
EICEI_PRIVATE void eicei_http_url_user(eice_str *authority, eice_url *url)
{
    size_t n = authority->len;

    while (n > 0 && authority->ptr[n - 1] != '@') {
        n--;
    }
    if (n > 0) {
        url->user = eice_str_make(authority->ptr, n - 1);
        *authority = eicei_http_behind(*authority, n);
    }
}

/* Cuts the host off. */
EICEI_PRIVATE bool eicei_http_url_host(eice_str *authority, eice_url *url)
{
    size_t n = eice_str_find(*authority, ':');

    if (!eice_str_starts(*authority, "[")) {
        url->host = eice_str_make(authority->ptr, n);
        *authority = eicei_http_behind(*authority, n);
        return eicei_http_is_name(url->host);
    }
    n = eice_str_find(*authority, ']');
    if (n == authority->len) {
        return false;
    }
    url->host = eice_str_make(authority->ptr + 1, n - 1);
    *authority = eicei_http_behind(*authority, n + 1);
    return eicei_http_is_ip6(url->host);
}

/* What is behind the host: nothing, ":" or ":port" (RFC 3986 3.2.3). */
EICEI_PRIVATE bool eicei_http_url_port(eice_str rest, eice_url *url)
{
    uint64_t port = url->tls ? 443 : 80;

    if (rest.len > 0) {
        if (rest.ptr[0] != ':') {
            return false;
        }
        rest = eicei_http_behind(rest, 1);
    }
    if (rest.len > 0 && !eice_str_u64(rest, 65535, &port)) {
        return false;
    }
    url->port = (uint16_t)port;
    return port != 0;
}

EICE_API bool eice_url_parse(eice_str text, eice_url *url)
{
    eice_str rest = text;
    eice_str authority;
    size_t n;

    memset(url, 0, sizeof *url);
    for (n = 0; n < text.len; n++) {
        const unsigned char c = (unsigned char)text.ptr[n];

        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '\\') {
            return false;
        }
    }
    if (!eicei_http_url_scheme(&rest, url)) {
        return false;
    }
    n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?') {
        n++;
    }
    authority = eice_str_make(rest.ptr, n);
    url->path = n < rest.len ? eicei_http_behind(rest, n) : eice_str_c("/");
    eicei_http_url_user(&authority, url);
    return url->path.ptr[0] == '/' && eicei_http_url_host(&authority, url)
        && eicei_http_url_port(authority, url);
}

/* ---- requests ---------------------------------------------------------- */

/* Takes back what was written since `start` when it is not whole. */
EICEI_PRIVATE void eicei_http_undo(eice_buf *b, size_t start)
{
    if (b->overflow) {
        eice_wipe(b->ptr + start, b->len - start);
        b->len = start;
    }
}

EICEI_PRIVATE void eicei_http_put_host(eice_buf *b, eice_str host)
{
    if (eicei_http_is_name(host)) {
        eice_put(b, host);
    } else if (eicei_http_is_ip6(host)) {
        eice_put_byte(b, '[');
        eice_put(b, host);
        eice_put_byte(b, ']');
    } else {
        b->overflow = true;
    }
}

EICE_API void eice_put_authority(eice_buf *b, eice_str host, uint16_t port,
                                 bool tls)
{
    const size_t start = b->len;

    eicei_http_put_host(b, host);
    if (port != (tls ? 443 : 80)) {
        eice_put_byte(b, ':');
        eice_put_u64(b, port);
    }
    eicei_http_undo(b, start);
}

EICE_API void eice_put_header(eice_buf *b, const char *name, eice_str value)
{
    const size_t start = b->len;

    if (!eicei_http_is_token(eice_str_c(name))
        || eicei_http_has_control(value)) {
        b->overflow = true;
        return;
    }
    eice_put_c(b, name);
    eice_put_c(b, ": ");
    eice_put(b, value);
    eice_put_c(b, "\r\n");
    eicei_http_undo(b, start);
}

/* One half of "user:password", decoded. */
EICEI_PRIVATE void eicei_http_put_half(eice_buf *b, eice_str half)
{
    const ptrdiff_t n = b->overflow ? -1
        : eice_uri_decode(half, b->ptr + b->len, b->cap - b->len);

    if (n < 0) {
        eice_put(b, half);
    } else {
        b->len += (size_t)n;
    }
}

/* "user:password", decoded. RFC 7617 2: no colon in the name, no controls. */
EICEI_PRIVATE void eicei_http_put_user(eice_buf *b, eice_str user)
{
    const eice_str name = eice_str_cut(&user, ':');

    eicei_http_put_half(b, name);
    if (eice_str_find(eice_buf_str(b), ':') < b->len) {
        b->overflow = true;
    }
    eice_put_byte(b, ':');
    eicei_http_put_half(b, user);
    if (eicei_http_has_control(eice_buf_str(b))) {
        b->overflow = true;
    }
}

EICE_API void eice_put_proxy_user(eice_buf *b, eice_str user)
{
    char memory[EICE_HTTP_MAX_USER + 1];
    const size_t start = b->len;
    eice_buf plain;

    if (user.len == 0) {
        return;
    }
    eice_buf_init(&plain, memory, sizeof memory);
    eicei_http_put_user(&plain, user);
    eice_put_c(b, "Proxy-Authorization: Basic ");
    eice_put_base64(b, plain.ptr, plain.len, true);
    eice_put_c(b, "\r\n");
    b->overflow = b->overflow || plain.overflow;
    eicei_http_undo(b, start);
    eice_wipe(memory, sizeof memory);
}

EICE_API void eice_put_connect(eice_buf *b, eice_str host, uint16_t port,
                               eice_str user)
{
    static const char *const before[] = {"CONNECT ", " HTTP/1.1\r\nHost: "};
    const size_t start = b->len;
    size_t i;

    for (i = 0; i < 2; i++) {
        eice_put_c(b, before[i]);
        eicei_http_put_host(b, host);
        eice_put_byte(b, ':');
        eice_put_u64(b, port);
    }
    eice_put_c(b, "\r\nUser-Agent: eice/" EICE_VERSION "\r\n");
    eice_put_proxy_user(b, user);
    eice_put_c(b, "\r\n");
    eicei_http_undo(b, start);
}

/* ---- answers: errors --------------------------------------------------- */

enum {
    EICEI_HTTP_STATUS,
    EICEI_HTTP_HEADERS,
    EICEI_HTTP_LENGTH,
    EICEI_HTTP_UNTIL_CLOSE,
    EICEI_HTTP_CHUNK_SIZE,
    EICEI_HTTP_CHUNK_DATA,
    EICEI_HTTP_CHUNK_END,
    EICEI_HTTP_TRAILERS,
    EICEI_HTTP_DONE,
    EICEI_HTTP_FAILED
};

EICEI_PRIVATE eice_http_event eicei_http_fail(eice_http *h, eice_err code,
                                              const char *what, eice_str value)
{
    value.len = value.len < 80 ? value.len : 80;
    (void)eice_fail(&h->error, code, h->stage, "bad HTTP answer: %s%s%S", what,
                    value.len > 0 ? ": " : "", &value);
    h->error.http_status = (int)h->status;
    h->keep_alive = false;
    h->priv.state = EICEI_HTTP_FAILED;
    return EICE_HTTP_ERROR;
}

EICEI_PRIVATE eice_http_event eicei_http_bad(eice_http *h, const char *what)
{
    return eicei_http_fail(h, EICE_E_HTTP, what, eice_str_make(NULL, 0));
}

/* ---- answers: lines ---------------------------------------------------- */

EICEI_PRIVATE void eicei_http_consume(eice_str *in, size_t n)
{
    if (n > 0) { /* NULL + 0 is undefined in C */
        in->ptr += n;
        in->len -= n;
    }
}

/* The line just read, as far as it was kept. */
EICEI_PRIVATE eice_str eicei_http_line(const eice_http *h)
{
    const size_t len = h->priv.line_len;
    const size_t cap = h->priv.line_cap;

    return eice_str_make(h->priv.line, len < cap ? len : cap);
}

EICEI_PRIVATE bool eicei_http_cut(const eice_http *h)
{
    return h->priv.line_len > h->priv.line_cap;
}

/* A byte of a line but LF; false when it may not be there. */
EICEI_PRIVATE bool eicei_http_line_byte(eice_http *h, unsigned char c)
{
    if (h->priv.cr || (eicei_http_is_control(c) && c != '\r')) {
        return false;
    }
    if (c == '\r') {
        h->priv.cr = true;
        return true;
    }
    if (h->priv.line_len < h->priv.line_cap) {
        h->priv.line[h->priv.line_len] = (char)c;
    }
    h->priv.line_len++;
    return true;
}

/* Reads to the end of a line, LF with or without CR before it. True when the
 * line is complete; the caller starts the next one. */
EICEI_PRIVATE bool eicei_http_read_line(eice_http *h, eice_str *in)
{
    size_t i;

    for (i = 0; i < in->len; i++) {
        const unsigned char c = (unsigned char)in->ptr[i];

        if (++h->priv.head_len > EICE_HTTP_MAX_HEAD) {
            (void)eicei_http_fail(h, EICE_E_LIMIT, "its head is over 64 KiB",
                                  eice_str_make(NULL, 0));
            return false;
        }
        if (c == '\n') {
            eicei_http_consume(in, i + 1);
            return true;
        }
        if (!eicei_http_line_byte(h, c)) {
            (void)eicei_http_fail(h, EICE_E_HTTP, "control character in",
                                  eicei_http_line(h));
            return false;
        }
    }
    eicei_http_consume(in, i);
    return false;
}

/* What a step answers when it has no complete line. */
EICEI_PRIVATE eice_http_event eicei_http_no_line(const eice_http *h)
{
    return h->priv.state == EICEI_HTTP_FAILED ? EICE_HTTP_ERROR
                                              : EICE_HTTP_MORE;
}

EICEI_PRIVATE void eicei_http_next_line(eice_http *h, unsigned state)
{
    h->priv.line_len = 0;
    h->priv.cr = false;
    h->priv.state = (uint8_t)state;
}

/* ---- answers: status line ---------------------------------------------- */

EICE_API void eice_http_init(eice_http *h, void *line, size_t cap)
{
    memset(h, 0, sizeof *h);
    h->stage = EICE_STAGE_API;
    h->priv.line = (char *)line;
    h->priv.line_cap = cap;
    if (cap < EICE_HTTP_MIN_LINE) {
        (void)eicei_http_fail(h, EICE_E_ARGUMENT, "line buffer too small",
                              eice_str_make(NULL, 0));
    }
}

/* RFC 9112 4: HTTP/1.x SP 3DIGIT SP [reason]. The second blank is missing in
 * the answers of some servers that give no reason. */
EICEI_PRIVATE bool eicei_http_parse_status(eice_http *h, eice_str line,
                                           eice_str *reason)
{
    uint64_t status = 0;

    if (!eice_str_starts(line, "HTTP/1.") || line.len < 12
        || line.ptr[7] < '0' || line.ptr[7] > '9' || line.ptr[8] != ' '
        || !eice_str_u64(eice_str_make(line.ptr + 9, 3), 999, &status)
        || status < 100 || (line.len > 12 && line.ptr[12] != ' ')) {
        return false;
    }
    h->priv.http10 = line.ptr[7] == '0';
    h->priv.interim = (unsigned)status;
    *reason = eice_str_trim(eicei_http_behind(line, 12));
    return true;
}

/* A head of which nothing is reported. */
EICEI_PRIVATE bool eicei_http_is_interim(const eice_http *h)
{
    return h->priv.interim < 200 && h->priv.interim != 101;
}

EICEI_PRIVATE eice_http_event eicei_http_read_status(eice_http *h,
                                                     eice_str *in,
                                                     eice_str *text)
{
    if (!eicei_http_read_line(h, in)) {
        return eicei_http_no_line(h);
    }
    if (!eicei_http_parse_status(h, eicei_http_line(h), text)) {
        return eicei_http_fail(h, EICE_E_HTTP, "this is no status line",
                               eicei_http_line(h));
    }
    eicei_http_next_line(h, EICEI_HTTP_HEADERS);
    if (eicei_http_is_interim(h)) {
        return EICE_HTTP_MORE;
    }
    h->status = h->priv.interim;
    return EICE_HTTP_STATUS;
}

/* ---- answers: header lines --------------------------------------------- */

EICE_API bool eice_http_lists(eice_str value, const char *token)
{
    while (value.len > 0) {
        const eice_str item = eice_str_trim(eice_str_cut(&value, ','));

        if (eice_str_is_nocase(item, token)) {
            return true;
        }
    }
    return false;
}

/* RFC 9110 8.6. "5, 5" and two lines of 5 are what a careless merge makes of
 * one: accepted. */
EICEI_PRIVATE const char *eicei_http_content_length(eice_http *h,
                                                    eice_str value)
{
    uint64_t n = 0;
    bool last;

    do {
        last = eice_str_find(value, ',') == value.len;
        if (!eice_str_u64(eice_str_trim(eice_str_cut(&value, ',')),
                          INT64_MAX, &n)) {
            return "bad Content-Length";
        }
        if (h->priv.has_length && h->priv.left != n) {
            return "different Content-Lengths";
        }
        h->priv.has_length = true;
        h->priv.left = n;
    } while (!last);
    return NULL;
}

/* RFC 9112 6.1 */
EICEI_PRIVATE const char *eicei_http_transfer_encoding(eice_http *h,
                                                       eice_str value)
{
    if (h->priv.http10) {
        return "Transfer-Encoding in HTTP/1.0";
    }
    if (h->priv.chunked || !eice_str_is_nocase(value, "chunked")) {
        return "unknown Transfer-Encoding";
    }
    h->priv.chunked = true;
    return NULL;
}

EICEI_PRIVATE const char *eicei_http_connection(eice_http *h, eice_str value)
{
    h->priv.close = h->priv.close || eice_http_lists(value, "close");
    h->priv.keep = h->priv.keep || eice_http_lists(value, "keep-alive");
    return NULL;
}

/* Headers that decide where the answer ends, and if another may follow. */
typedef struct eicei_http_framing {
    const char *name;
    const char *(*apply)(eice_http *h, eice_str value);
    const char *when_cut; /* NULL: to be treated as Connection: close */
} eicei_http_framing;

static const eicei_http_framing eicei_http_framings[] = {
    {"content-length", eicei_http_content_length, "Content-Length too long"},
    {"transfer-encoding", eicei_http_transfer_encoding,
     "Transfer-Encoding too long"},
    {"connection", eicei_http_connection, NULL}
};

/* Answers what is wrong with it, or NULL. */
EICEI_PRIVATE const char *eicei_http_frame(eice_http *h, eice_str value)
{
    const size_t count = sizeof eicei_http_framings
        / sizeof eicei_http_framings[0];
    size_t i;

    for (i = 0; i < count; i++) {
        const eicei_http_framing *f = &eicei_http_framings[i];

        if (!eice_str_is(h->name, f->name)) {
            continue;
        }
        if (!eicei_http_cut(h)) {
            return f->apply(h, value);
        }
        h->priv.close = true;
        return f->when_cut;
    }
    return NULL;
}

/* Splits a line in its buffer, sets h->name in lower case and *value; answers
 * what is wrong with it, or NULL. RFC 9112 5.1: no blank before the colon. A
 * name that does not fit the buffer is none that matters. */
EICEI_PRIVATE const char *eicei_http_split(eice_http *h, eice_str *value)
{
    eice_str rest = eicei_http_line(h);
    const bool colon = eice_str_find(rest, ':') < rest.len;
    size_t i;

    if (rest.ptr[0] == ' ' || rest.ptr[0] == '\t') {
        return "folded header line";
    }
    h->name = eice_str_cut(&rest, ':');
    if (!eicei_http_is_token(h->name)) {
        return "bad header name";
    }
    if (!colon && !eicei_http_cut(h)) {
        return "header line without colon";
    }
    for (i = 0; i < h->name.len; i++) {
        if (h->priv.line[i] >= 'A' && h->priv.line[i] <= 'Z') {
            h->priv.line[i] = (char)(h->priv.line[i] | 32);
        }
    }
    *value = eice_str_trim(rest);
    return NULL;
}

/* A line of a head or a trailer: counts and splits it; false: failed. */
EICEI_PRIVATE bool eicei_http_field(eice_http *h, eice_str *value)
{
    const char *wrong;

    if (++h->priv.headers > EICE_HTTP_MAX_HEADERS) {
        (void)eicei_http_fail(h, EICE_E_LIMIT, "it has over 128 headers",
                              eice_str_make(NULL, 0));
        return false;
    }
    wrong = eicei_http_split(h, value);
    if (wrong != NULL) {
        (void)eicei_http_fail(h, EICE_E_HTTP, wrong, eicei_http_line(h));
    }
    return wrong == NULL;
}

/* A head whose stream belongs to another protocol afterwards. */
EICEI_PRIVATE bool eicei_http_is_tunnel(const eice_http *h)
{
    return h->status == 101 || (h->connect && h->status / 100 == 2);
}

/* RFC 9112 6.3 */
EICEI_PRIVATE unsigned eicei_http_body_state(const eice_http *h)
{
    if (h->head_only || eicei_http_is_tunnel(h) || h->status == 204
        || h->status == 304) {
        return EICEI_HTTP_DONE;
    }
    if (h->priv.chunked) {
        return EICEI_HTTP_CHUNK_SIZE;
    }
    return h->priv.has_length ? EICEI_HTTP_LENGTH : EICEI_HTTP_UNTIL_CLOSE;
}

EICEI_PRIVATE eice_http_event eicei_http_end_head(eice_http *h)
{
    if (eicei_http_is_interim(h)) {
        eicei_http_next_line(h, EICEI_HTTP_STATUS);
        return EICE_HTTP_MORE;
    }
    if (h->priv.chunked && h->priv.has_length) {
        return eicei_http_bad(h, "Transfer-Encoding and Content-Length");
    }
    eicei_http_next_line(h, eicei_http_body_state(h));
    h->keep_alive = !h->priv.close && (!h->priv.http10 || h->priv.keep)
        && !eicei_http_is_tunnel(h)
        && h->priv.state != EICEI_HTTP_UNTIL_CLOSE;
    return EICE_HTTP_HEAD;
}

EICEI_PRIVATE eice_http_event eicei_http_read_header(eice_http *h,
                                                     eice_str *in,
                                                     eice_str *text)
{
    eice_str value = eice_str_make(NULL, 0);
    const char *wrong = NULL;
    bool cut;

    if (!eicei_http_read_line(h, in)) {
        return eicei_http_no_line(h);
    }
    if (h->priv.line_len == 0) {
        return eicei_http_end_head(h);
    }
    if (!eicei_http_field(h, &value)) {
        return EICE_HTTP_ERROR;
    }
    if (!eicei_http_is_interim(h) && !eicei_http_is_tunnel(h)) {
        wrong = eicei_http_frame(h, value);
    }
    if (wrong != NULL) {
        return eicei_http_fail(h, EICE_E_HTTP, wrong, value);
    }
    cut = eicei_http_cut(h);
    eicei_http_next_line(h, EICEI_HTTP_HEADERS);
    if (cut || eicei_http_is_interim(h)) {
        return EICE_HTTP_MORE;
    }
    *text = value;
    return EICE_HTTP_HEADER;
}

/* ---- answers: bodies --------------------------------------------------- */

/* The part of *in that belongs to the body or chunk. */
EICEI_PRIVATE eice_http_event eicei_http_take(eice_http *h, eice_str *in,
                                              eice_str *text)
{
    const size_t n = in->len < h->priv.left ? in->len : (size_t)h->priv.left;

    *text = eice_str_make(in->ptr, n);
    h->priv.left -= n;
    eicei_http_consume(in, n);
    return n > 0 ? EICE_HTTP_BODY : EICE_HTTP_MORE;
}

EICEI_PRIVATE eice_http_event eicei_http_done(eice_http *h, eice_str *in,
                                              eice_str *text)
{
    (void)in;
    (void)text;
    h->priv.state = EICEI_HTTP_DONE;
    return EICE_HTTP_DONE;
}

EICEI_PRIVATE eice_http_event eicei_http_failed(eice_http *h, eice_str *in,
                                                eice_str *text)
{
    (void)h;
    (void)in;
    (void)text;
    return EICE_HTTP_ERROR;
}

EICEI_PRIVATE eice_http_event eicei_http_read_length(eice_http *h,
                                                     eice_str *in,
                                                     eice_str *text)
{
    if (h->priv.left == 0) {
        return eicei_http_done(h, in, text);
    }
    return eicei_http_take(h, in, text);
}

EICEI_PRIVATE eice_http_event eicei_http_read_rest(eice_http *h, eice_str *in,
                                                   eice_str *text)
{
    h->priv.left = UINT64_MAX;
    return eicei_http_take(h, in, text);
}

/* RFC 9112 7.1: the size and the bytes behind it, which must be none or an
 * extension. Answers the number of digits, 0 when malformed. */
EICEI_PRIVATE size_t eicei_http_chunk_head(eice_str line, uint64_t *size)
{
    uint64_t n = 0;
    size_t digits = 0;
    size_t i;

    while (digits < line.len && digits <= 16) {
        const unsigned char c = (unsigned char)line.ptr[digits];
        const unsigned lower = c | 32u;

        if (c >= '0' && c <= '9') {
            n = n << 4 | (c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            n = n << 4 | (lower - 'a' + 10);
        } else {
            break;
        }
        digits++;
    }
    i = digits;
    while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t')) {
        i++;
    }
    *size = n;
    if (digits > 16 || (digits < line.len && i == line.len)
        || (i < line.len && line.ptr[i] != ';')) {
        return 0;
    }
    return digits;
}

EICEI_PRIVATE eice_http_event eicei_http_read_chunk_size(eice_http *h,
                                                         eice_str *in,
                                                         eice_str *text)
{
    size_t digits;

    (void)text;
    if (!eicei_http_read_line(h, in)) {
        return eicei_http_no_line(h);
    }
    digits = eicei_http_chunk_head(eicei_http_line(h), &h->priv.left);
    if (digits == 0 || !h->priv.cr) {
        return eicei_http_fail(h, EICE_E_HTTP, "bad chunk size",
                               eicei_http_line(h));
    }
    /* What is left of the line is an extension and counts as head: without
     * a bound, a peer could send any number of bytes for each of the body. */
    h->priv.head_len -= digits + 2;
    eicei_http_next_line(h, h->priv.left > 0 ? EICEI_HTTP_CHUNK_DATA
                                             : EICEI_HTTP_TRAILERS);
    return EICE_HTTP_MORE;
}

EICEI_PRIVATE eice_http_event eicei_http_read_chunk(eice_http *h, eice_str *in,
                                                    eice_str *text)
{
    const eice_http_event event = eicei_http_take(h, in, text);

    if (h->priv.left == 0) {
        eicei_http_next_line(h, EICEI_HTTP_CHUNK_END);
    }
    return event;
}

EICEI_PRIVATE eice_http_event eicei_http_read_chunk_end(eice_http *h,
                                                        eice_str *in,
                                                        eice_str *text)
{
    char c;

    (void)text;
    if (in->len == 0) {
        return EICE_HTTP_MORE;
    }
    c = in->ptr[0];
    eicei_http_consume(in, 1);
    if (c != (h->priv.cr ? '\n' : '\r')) {
        return eicei_http_bad(h, "a chunk does not end where it should");
    }
    if (h->priv.cr) {
        eicei_http_next_line(h, EICEI_HTTP_CHUNK_SIZE);
    } else {
        h->priv.cr = true;
    }
    return EICE_HTTP_MORE;
}

EICEI_PRIVATE eice_http_event eicei_http_read_trailer(eice_http *h,
                                                      eice_str *in,
                                                      eice_str *text)
{
    eice_str value;

    if (!eicei_http_read_line(h, in)) {
        return eicei_http_no_line(h);
    }
    if (h->priv.line_len == 0) {
        return eicei_http_done(h, in, text);
    }
    if (!eicei_http_field(h, &value)) {
        return EICE_HTTP_ERROR;
    }
    eicei_http_next_line(h, EICEI_HTTP_TRAILERS);
    return EICE_HTTP_MORE;
}

/* ---- answers: the machine ---------------------------------------------- */

typedef eice_http_event (*eicei_http_step)(eice_http *h, eice_str *in,
                                           eice_str *text);

/* A row for each state: what reads it, and where a connection was lost. */
static const struct {
    eicei_http_step step;
    const char *lost;
} eicei_http_states[] = {
    {eicei_http_read_status, "in the status line"},
    {eicei_http_read_header, "among the headers"},
    {eicei_http_read_length, "in the body"},
    {eicei_http_read_rest, NULL},
    {eicei_http_read_chunk_size, "in the chunked body"},
    {eicei_http_read_chunk, "in the chunked body"},
    {eicei_http_read_chunk_end, "in the chunked body"},
    {eicei_http_read_trailer, "behind the chunked body"},
    {eicei_http_done, NULL},
    {eicei_http_failed, NULL}
};

/* A step that has nothing to report says MORE; another one is due while there
 * is input, or when the state changed (an empty body needs none). */
EICE_API eice_http_event eice_http_next(eice_http *h, eice_str *in,
                                        eice_str *text)
{
    eice_http_event event;
    unsigned before;

    do {
        *text = eice_str_make(NULL, 0);
        before = h->priv.state;
        event = eicei_http_states[before].step(h, in, text);
    } while (event == EICE_HTTP_MORE
             && (in->len > 0 || h->priv.state != before));
    if (event != EICE_HTTP_HEADER) {
        h->name = eice_str_make(NULL, 0);
    }
    return event;
}

EICE_API eice_http_event eice_http_eof(eice_http *h)
{
    const char *lost = eicei_http_states[h->priv.state].lost;

    if (h->priv.state == EICEI_HTTP_FAILED) {
        return EICE_HTTP_ERROR;
    }
    if (lost == NULL
        || (h->priv.state == EICEI_HTTP_LENGTH && h->priv.left == 0)) {
        h->priv.state = EICEI_HTTP_DONE;
        return EICE_HTTP_DONE;
    }
    if (h->priv.head_len == 0) {
        lost = "before the answer began";
    }
    (void)eice_fail(&h->error, EICE_E_NET_RESET, h->stage,
                    "the peer closed the connection %s", lost);
    h->error.http_status = (int)h->status;
    h->keep_alive = false;
    h->priv.state = EICEI_HTTP_FAILED;
    return EICE_HTTP_ERROR;
}

/* ======================================================================== *
 * 9  WEBSOCKET                                                       >>ws  *
 * ======================================================================== */

/* ---- handshake --------------------------------------------------------- */

EICE_API void eice_ws_key(const uint8_t random[16], char key[25])
{
    eice_buf b;

    eice_buf_init(&b, key, 25);
    eice_put_base64(&b, random, 16, true);
    (void)eice_buf_c(&b);
}

EICE_API void eice_ws_accept(const char key[25], char accept[29])
{
    char text[64];
    uint8_t digest[20];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    eice_put(&b, eice_str_make(key, 24));
    eice_put_c(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    eice_sha1(digest, b.ptr, b.len);
    eice_buf_init(&b, accept, 29);
    eice_put_base64(&b, digest, sizeof digest, true);
    (void)eice_buf_c(&b);
}

/* ---- UTF-8 ------------------------------------------------------------- */

/* RFC 3629 4: lead bytes, how many bytes follow, the range of the first one;
 * the others are 80 to BF. What is not listed never leads. */
typedef struct eicei_ws_lead {
    uint8_t from;
    uint8_t to;
    uint8_t more;
    uint8_t low;
    uint8_t high;
} eicei_ws_lead;

static const eicei_ws_lead eicei_ws_leads[] = {
    {0x00, 0x7f, 0, 0x80, 0xbf}, {0xc2, 0xdf, 1, 0x80, 0xbf},
    {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf},
    {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf},
    {0xf4, 0xf4, 3, 0x80, 0x8f}
};

EICEI_PRIVATE const eicei_ws_lead *eicei_ws_find_lead(uint8_t c)
{
    const size_t count = sizeof eicei_ws_leads / sizeof eicei_ws_leads[0];
    size_t i;

    for (i = 0; i < count; i++) {
        if (c >= eicei_ws_leads[i].from && c <= eicei_ws_leads[i].to) {
            return &eicei_ws_leads[i];
        }
    }
    return NULL;
}

/* Goes on checking where the last call stopped; false when it cannot be
 * UTF-8 any more. utf8_more is 0 between two characters. */
EICEI_PRIVATE bool eicei_ws_utf8(eice_ws *w, eice_str text)
{
    size_t i;

    for (i = 0; i < text.len; i++) {
        const uint8_t c = (uint8_t)text.ptr[i];
        const eicei_ws_lead *lead;

        if (w->priv.utf8_more > 0) {
            if (c < w->priv.utf8_low || c > w->priv.utf8_high) {
                return false;
            }
            w->priv.utf8_more--;
            w->priv.utf8_low = 0x80;
            w->priv.utf8_high = 0xbf;
            continue;
        }
        lead = eicei_ws_find_lead(c);
        if (lead == NULL) {
            return false;
        }
        w->priv.utf8_more = lead->more;
        w->priv.utf8_low = lead->low;
        w->priv.utf8_high = lead->high;
    }
    return true;
}

/* A whole text, apart from the message that may be under way. */
EICEI_PRIVATE bool eicei_ws_utf8_whole(eice_str text)
{
    eice_ws w;

    eice_ws_init(&w);
    return eicei_ws_utf8(&w, text) && w.priv.utf8_more == 0;
}

/* ---- out --------------------------------------------------------------- */

EICEI_PRIVATE void eicei_ws_store(uint8_t *out, uint64_t n, unsigned bytes)
{
    unsigned i;

    for (i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
    }
}

EICE_API size_t eice_ws_head(uint8_t out[EICE_WS_MAX_HEAD], eice_ws_op op,
                             uint64_t len, const uint8_t mask[4])
{
    unsigned wide = 0;

    out[0] = (uint8_t)(0x80u | (unsigned)op);
    if (len <= 125) {
        out[1] = (uint8_t)(0x80u | (unsigned)len);
    } else if (len <= 0xffff) {
        out[1] = 0x80u | 126u;
        wide = 2;
    } else {
        out[1] = 0x80u | 127u;
        wide = 8;
    }
    eicei_ws_store(out + 2, len, wide);
    memcpy(out + 2 + wide, mask, 4);
    return (size_t)wide + 6;
}

EICE_API void eice_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4],
                           uint64_t at)
{
    uint8_t turned[8];
    uint64_t pattern;
    uint64_t word;
    size_t i;

    for (i = 0; i < sizeof turned; i++) {
        turned[i] = mask[(at + i) & 3];
    }
    /* XOR works on bytes, so the order of the bytes in a word is no matter;
     * memcpy makes the access fit for any alignment. */
    memcpy(&pattern, turned, sizeof pattern);
    for (i = 0; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        word ^= pattern;
        memcpy(data + i, &word, sizeof word);
    }
    for (; i < len; i++) {
        data[i] ^= turned[i & 7];
    }
}

/* Codes that may stand in a close frame: 7.4.1, 7.4.2 and the registry of
 * 11.7 (1012 to 1014 were added after the RFC). */
EICEI_PRIVATE bool eicei_ws_code_ok(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
        || (code >= 3000 && code <= 4999);
}

EICE_API size_t eice_ws_close(uint8_t out[EICE_WS_MAX_CONTROL], unsigned code,
                              eice_str reason)
{
    const size_t room = EICE_WS_MAX_CONTROL - 2;
    size_t n = reason.len;

    if (!eicei_ws_code_ok(code)) {
        return 0;
    }
    if (n > room) {
        n = room;
        while (n > 0 && ((uint8_t)reason.ptr[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    if (!eicei_ws_utf8_whole(eice_str_make(reason.ptr, n))) {
        n = 0;
    }
    eicei_ws_store(out, code, 2);
    if (n > 0) {
        memcpy(out + 2, reason.ptr, n);
    }
    return n + 2;
}

/* ---- in ---------------------------------------------------------------- */

enum {
    EICEI_WS_HEAD,
    EICEI_WS_DATA,
    EICEI_WS_CONTROL,
    EICEI_WS_CLOSED,
    EICEI_WS_FAILED
};

EICE_API void eice_ws_init(eice_ws *w)
{
    memset(w, 0, sizeof *w);
}

EICEI_PRIVATE eice_ws_event eicei_ws_fail(eice_ws *w, unsigned code,
                                          const char *what, eice_str value)
{
    value.len = value.len < 80 ? value.len : 80;
    (void)eice_fail(&w->error, EICE_E_WS_PROTOCOL, EICE_STAGE_TUNNEL,
                    "the endpoint broke the WebSocket protocol: %s%s%S", what,
                    value.len > 0 ? ": " : "", &value);
    w->error.detail_kind = EICE_DETAIL_CLOSE;
    w->error.detail = (int)code;
    w->close_code = code;
    w->priv.state = EICEI_WS_FAILED;
    return EICE_WS_ERROR;
}

EICEI_PRIVATE eice_str eicei_ws_take(eice_str *in, size_t len)
{
    const eice_str taken = eice_str_make(in->ptr, len);

    if (len > 0) { /* NULL + 0 is undefined in C */
        in->ptr += len;
        in->len -= len;
    }
    return taken;
}

/* The part of `in` that belongs to the frame's payload. */
EICEI_PRIVATE eice_str eicei_ws_take_payload(eice_ws *w, eice_str *in)
{
    const size_t n = in->len < w->priv.left ? in->len : (size_t)w->priv.left;

    w->priv.left -= n;
    return eicei_ws_take(in, n);
}

EICEI_PRIVATE bool eicei_ws_is_control(unsigned op)
{
    return (op & 8u) != 0;
}

/* What the first byte of a head breaks by itself or here; NULL: nothing. */
EICEI_PRIVATE const char *eicei_ws_check_first(const eice_ws *w, uint8_t byte)
{
    const unsigned op = byte & 15u;
    const bool fin = (byte & 0x80u) != 0;

    if ((byte & 0x70u) != 0) {
        return "reserved bits are set";
    }
    if (op > EICE_WS_PONG || (op > EICE_WS_BINARY && op < EICE_WS_CLOSE)) {
        return "unknown opcode";
    }
    if (eicei_ws_is_control(op)) {
        return fin ? NULL : "control frame in fragments";
    }
    if (op == EICE_WS_CONTINUATION && !w->priv.in_message) {
        return "continuation without a message";
    }
    if (op != EICE_WS_CONTINUATION && w->priv.in_message) {
        return "new message inside another";
    }
    return NULL;
}

EICEI_PRIVATE const char *eicei_ws_check_second(const eice_ws *w, uint8_t byte)
{
    if ((byte & 0x80u) != 0) {
        return "masked frame from the server";
    }
    if (eicei_ws_is_control(w->priv.head[0] & 15u)
        && byte > EICE_WS_MAX_CONTROL) {
        return "control frame over 125 bytes";
    }
    return NULL;
}

/* Bytes of the whole head, as its first two say. */
EICEI_PRIVATE size_t eicei_ws_head_need(const eice_ws *w)
{
    if (w->priv.head[1] < 126) {
        return 2;
    }
    return w->priv.head[1] == 126 ? 4 : 10;
}

/* Sets `left`; false when the length is not in its shortest form or has more
 * than 63 bits (5.2). */
EICEI_PRIVATE bool eicei_ws_length(eice_ws *w)
{
    const size_t need = eicei_ws_head_need(w);
    uint64_t n = 0;
    size_t i;

    if (need == 2) {
        w->priv.left = w->priv.head[1];
        return true;
    }
    for (i = 2; i < need; i++) {
        n = n << 8 | w->priv.head[i];
    }
    w->priv.left = n;
    return need == 4 ? n > 125 : n > 0xffff && n >> 63 == 0;
}

/* The head is complete and lawful. */
EICEI_PRIVATE void eicei_ws_begin(eice_ws *w)
{
    const uint8_t first = w->priv.head[0];

    w->priv.head_len = 0;
    w->priv.op = first & 15u;
    w->priv.fin = (first & 0x80u) != 0;
    if (eicei_ws_is_control(w->priv.op)) {
        w->priv.control_len = 0;
        w->priv.state = EICEI_WS_CONTROL;
        return;
    }
    if (w->priv.op != EICE_WS_CONTINUATION) {
        w->text = w->priv.op == EICE_WS_TEXT;
        w->priv.in_message = true;
    }
    w->priv.state = EICEI_WS_DATA;
}

EICEI_PRIVATE eice_ws_event eicei_ws_read_head(eice_ws *w, eice_str *in,
                                               eice_str *payload)
{
    const eice_str none = eice_str_make(NULL, 0);
    const char *breach = NULL;
    uint8_t byte;

    (void)payload;
    if (in->len == 0) {
        return EICE_WS_MORE;
    }
    byte = (uint8_t)*eicei_ws_take(in, 1).ptr;
    w->priv.head[w->priv.head_len++] = byte;
    if (w->priv.head_len == 1) {
        breach = eicei_ws_check_first(w, byte);
    } else if (w->priv.head_len == 2) {
        breach = eicei_ws_check_second(w, byte);
    }
    if (breach != NULL) {
        return eicei_ws_fail(w, EICE_WS_PROTOCOL_ERROR, breach, none);
    }
    if (w->priv.head_len < 2 || w->priv.head_len < eicei_ws_head_need(w)) {
        return EICE_WS_MORE;
    }
    if (!eicei_ws_length(w)) {
        return eicei_ws_fail(w, EICE_WS_PROTOCOL_ERROR, "bad length", none);
    }
    eicei_ws_begin(w);
    if (w->text && w->priv.state == EICEI_WS_DATA && !w->allow_text) {
        return eicei_ws_fail(w, EICE_WS_UNSUPPORTED, "text message",
                             eicei_ws_take_payload(w, in));
    }
    return EICE_WS_MORE;
}

/* An empty part is reported only where it ends a message. */
EICEI_PRIVATE eice_ws_event eicei_ws_read_data(eice_ws *w, eice_str *in,
                                               eice_str *payload)
{
    const eice_str part = eicei_ws_take_payload(w, in);
    const bool frame_end = w->priv.left == 0;

    w->message_end = frame_end && w->priv.fin;
    if (w->text
        && (!eicei_ws_utf8(w, part)
            || (w->message_end && w->priv.utf8_more > 0))) {
        return eicei_ws_fail(w, EICE_WS_BAD_TEXT, "text that is not UTF-8",
                             eice_str_make(NULL, 0));
    }
    if (frame_end) {
        w->priv.state = EICEI_WS_HEAD;
        w->priv.in_message = !w->priv.fin;
    }
    if (part.len == 0 && !w->message_end) {
        return EICE_WS_MORE;
    }
    *payload = part;
    return EICE_WS_DATA;
}

EICEI_PRIVATE eice_ws_event eicei_ws_got_close(eice_ws *w, eice_str *payload)
{
    const eice_str none = eice_str_make(NULL, 0);
    const uint8_t *p = w->priv.control;

    w->close_code = EICE_WS_NO_CODE;
    if (payload->len == 0) {
        w->priv.state = EICEI_WS_CLOSED;
        return EICE_WS_GOT_CLOSE;
    }
    if (payload->len == 1) {
        return eicei_ws_fail(w, EICE_WS_PROTOCOL_ERROR,
                             "close frame with half a code", none);
    }
    (void)eicei_ws_take(payload, 2);
    w->close_code = (unsigned)p[0] << 8 | p[1];
    if (!eicei_ws_code_ok(w->close_code)) {
        return eicei_ws_fail(w, EICE_WS_PROTOCOL_ERROR,
                             "close code not allowed on the wire", none);
    }
    if (!eicei_ws_utf8_whole(*payload)) {
        return eicei_ws_fail(w, EICE_WS_BAD_TEXT,
                             "close reason that is not UTF-8", none);
    }
    w->priv.state = EICEI_WS_CLOSED;
    return EICE_WS_GOT_CLOSE;
}

EICEI_PRIVATE eice_ws_event eicei_ws_read_control(eice_ws *w, eice_str *in,
                                                  eice_str *payload)
{
    const eice_str part = eicei_ws_take_payload(w, in);

    if (part.len > 0) {
        memcpy(w->priv.control + w->priv.control_len, part.ptr, part.len);
        w->priv.control_len = (uint8_t)(w->priv.control_len + part.len);
    }
    if (w->priv.left > 0) {
        return EICE_WS_MORE;
    }
    *payload = eice_str_make(w->priv.control, w->priv.control_len);
    if (w->priv.op == EICE_WS_CLOSE) {
        return eicei_ws_got_close(w, payload);
    }
    w->priv.state = EICEI_WS_HEAD;
    return w->priv.op == EICE_WS_PING ? EICE_WS_GOT_PING : EICE_WS_GOT_PONG;
}

EICEI_PRIVATE eice_ws_event eicei_ws_read_closed(eice_ws *w, eice_str *in,
                                                 eice_str *payload)
{
    (void)w;
    (void)payload;
    (void)eicei_ws_take(in, in->len);
    return EICE_WS_MORE;
}

EICEI_PRIVATE eice_ws_event eicei_ws_read_failed(eice_ws *w, eice_str *in,
                                                 eice_str *payload)
{
    (void)w;
    (void)in;
    (void)payload;
    return EICE_WS_ERROR;
}

typedef eice_ws_event (*eicei_ws_step)(eice_ws *w, eice_str *in,
                                       eice_str *payload);

static const eicei_ws_step eicei_ws_steps[] = {
    eicei_ws_read_head, eicei_ws_read_data, eicei_ws_read_control,
    eicei_ws_read_closed, eicei_ws_read_failed
};

/* A step that has nothing to report says MORE; another one is due while
 * there is input, or when the state changed (an empty frame needs none). */
EICE_API eice_ws_event eice_ws_next(eice_ws *w, eice_str *in,
                                    eice_str *payload)
{
    eice_ws_event event;
    unsigned before;

    *payload = eice_str_make(NULL, 0);
    do {
        before = w->priv.state;
        event = eicei_ws_steps[before](w, in, payload);
    } while (event == EICE_WS_MORE
             && (in->len > 0 || w->priv.state != before));
    return event;
}

/* ======================================================================== *
 * 10 SOCKS                                                        >>socks  *
 * ======================================================================== */

/* Purpose: one request of a local client, whichever of three protocols it
 * speaks. A request is gathered byte by byte and judged when it is whole.
 * Sources: RFC 1928; SOCKS4 and SOCKS4A (Ying-Da Lee); RFC 9110, 9112. */

typedef enum eicei_socks_state {
    EICEI_SOCKS_START,
    EICEI_SOCKS_METHODS, /* SOCKS5, RFC 1928 3 */
    EICEI_SOCKS_REQUEST5,
    EICEI_SOCKS_REQUEST4,
    EICEI_SOCKS_LINE,    /* HTTP: the request line */
    EICEI_SOCKS_FIELDS,  /* and the rest of the head */
    EICEI_SOCKS_READY,
    EICEI_SOCKS_ANSWERED,
    EICEI_SOCKS_DEAD
} eicei_socks_state;

void eice_socks_init(eice_socks *s)
{
    memset(s, 0, sizeof *s);
}

EICEI_PRIVATE void eicei_socks_send(eice_socks *s, eice_buf *b)
{
    s->priv.out_len = (uint8_t)b->len;
}

/* Where the next thing to be sent is written: behind what is not sent yet. */
EICEI_PRIVATE void eicei_socks_room(eice_socks *s, eice_buf *b)
{
    eice_buf_init(b, s->priv.out, sizeof s->priv.out);
    b->len = s->priv.out_len;
}

EICEI_PRIVATE void eicei_socks_http(eice_buf *b, eice_socks_outcome outcome)
{
    static const char *const status[] = {
        "200 Connection established", "502 Bad Gateway", "403 Forbidden",
        "502 Bad Gateway", "502 Bad Gateway", "502 Bad Gateway",
        "504 Gateway Timeout", "405 Method Not Allowed", "400 Bad Request",
    };

    eice_putf(b, "HTTP/1.1 %s\r\n%s\r\n", status[outcome],
              outcome == EICE_SOCKS_OK
                  ? "" /* RFC 9110 9.3.6: no length in a success */
                  : "Content-Length: 0\r\nConnection: close\r\n");
}

EICEI_PRIVATE void eicei_socks_answer(eice_socks *s,
                                      eice_socks_outcome outcome)
{
    static const uint8_t any[6] = {0, 0, 0, 0, 0, 0}; /* address and port */
    eice_buf b;

    eicei_socks_room(s, &b);
    if (s->priv.version == 5) {
        eice_put_byte(&b, 5);
        eice_put_byte(&b, (unsigned char)outcome);
        eice_put_byte(&b, 0);
        eice_put_byte(&b, 1); /* IPv4: the address we are bound to, unknown */
        eice_put(&b, eice_str_make(any, sizeof any));
    } else if (s->priv.version == 4) {
        eice_put_byte(&b, 0);
        eice_put_byte(&b, outcome == EICE_SOCKS_OK ? 90 : 91);
        eice_put(&b, eice_str_make(any, sizeof any));
    } else if (s->priv.version == 'H') {
        eicei_socks_http(&b, outcome);
    }
    eicei_socks_send(s, &b);
}

EICEI_PRIVATE void eicei_socks_fail(eice_socks *s, eice_socks_outcome outcome,
                                    const char *what)
{
    static const char *const names[] = {"proxy client", "SOCKS4 client",
                                        "SOCKS5 client", "HTTP client"};
    const unsigned v = s->priv.version;
    const size_t name = v == 4 ? 1 : v == 5 ? 2 : v == 'H' ? 3 : 0;

    eice_fail(&s->error, EICE_E_ARGUMENT, EICE_STAGE_LOCAL, "%s: %s",
              names[name], what);
    eicei_socks_answer(s, outcome);
    s->priv.state = EICEI_SOCKS_DEAD;
}

/* Printable ASCII without blanks: it goes into messages and to a resolver. */
EICEI_PRIVATE bool eicei_socks_host(eice_socks *s, const uint8_t *p, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (p[i] <= 0x20 || p[i] >= 0x7f) {
            return false;
        }
    }
    if (n == 0 || n >= sizeof s->host) {
        return false;
    }
    memcpy(s->host, p, n);
    s->host[n] = 0;
    return true;
}

EICEI_PRIVATE void eicei_socks_address(eice_socks *s, int family,
                                       const uint8_t *p)
{
    char text[EICE_IP_TEXT];
    eice_ip ip;

    memset(&ip, 0, sizeof ip);
    ip.family = (uint8_t)family;
    memcpy(ip.bytes, p, family == 4 ? 4 : 16);
    eice_copy_text(s->host, sizeof s->host,
                   eice_str_c(eice_ip_format(&ip, text)));
}

EICEI_PRIVATE void eicei_socks_ready(eice_socks *s, const uint8_t *port)
{
    s->port = (uint16_t)((unsigned)port[0] << 8 | port[1]);
    if (s->port == 0) {
        eicei_socks_fail(s, EICE_SOCKS_GENERAL, "port 0");
        return;
    }
    s->priv.state = EICEI_SOCKS_READY;
}

/* RFC 1928 3: version, how many, methods. */
EICEI_PRIVATE void eicei_socks_methods(eice_socks *s)
{
    const uint8_t *in = s->priv.in;
    eice_buf b;

    if (s->priv.len < 2 || s->priv.len < 2u + in[1]) {
        return;
    }
    eicei_socks_room(s, &b);
    eice_put_byte(&b, 5);
    if (memchr(in + 2, 0, in[1]) == NULL) {
        eice_put_byte(&b, 0xff);
        eicei_socks_send(s, &b);
        eice_fail(&s->error, EICE_E_ARGUMENT, EICE_STAGE_LOCAL,
                  "SOCKS5 client: wants to authenticate");
        s->priv.state = EICEI_SOCKS_DEAD;
        return;
    }
    eice_put_byte(&b, 0);
    eicei_socks_send(s, &b);
    s->priv.len = 0;
    s->priv.state = EICEI_SOCKS_REQUEST5;
}

/* RFC 1928 4: version, command, 0, type of address, address, port. */
EICEI_PRIVATE void eicei_socks_request5(eice_socks *s)
{
    const uint8_t *in = s->priv.in;
    const size_t len = s->priv.len;
    size_t n;

    if (in[0] != 5) {
        eicei_socks_fail(s, EICE_SOCKS_GENERAL, "not a request of version 5");
        return;
    }
    if (len < 5) {
        return;
    }
    n = in[3] == 1 ? 4 : in[3] == 4 ? 16 : in[3] == 3 ? 1u + in[4] : 0;
    if (n != 0 && len < 4 + n + 2) {
        return;
    }
    if (in[1] != 1) {
        eicei_socks_fail(s, EICE_SOCKS_BAD_COMMAND,
                         "only CONNECT is served");
    } else if (n == 0) {
        eicei_socks_fail(s, EICE_SOCKS_BAD_ADDRESS,
                         "unknown type of address");
    } else if (in[3] == 3 && !eicei_socks_host(s, in + 5, n - 1)) {
        eicei_socks_fail(s, EICE_SOCKS_GENERAL, "malformed host name");
    } else {
        if (in[3] != 3) {
            eicei_socks_address(s, in[3] == 1 ? 4 : 6, in + 4);
        }
        eicei_socks_ready(s, in + 4 + n);
    }
}

/* 4, command, port, address, user NUL; 4a: address 0.0.0.x, then host NUL. */
EICEI_PRIVATE void eicei_socks_request4(eice_socks *s)
{
    const uint8_t *in = s->priv.in;
    const size_t len = s->priv.len;
    const uint8_t *user_end;
    size_t at;
    bool named;

    if (len < 9) {
        return;
    }
    user_end = (const uint8_t *)memchr(in + 8, 0, len - 8);
    at = user_end != NULL ? (size_t)(user_end - in) + 1 : len;
    named = in[4] == 0 && in[5] == 0 && in[6] == 0 && in[7] != 0;
    if (at > 8 + 256 || len > at + 256) {
        eicei_socks_fail(s, EICE_SOCKS_GENERAL, "name too long");
        return;
    }
    if (user_end == NULL || (named && (len == at || in[len - 1] != 0))) {
        return;
    }
    if (in[1] != 1) {
        eicei_socks_fail(s, EICE_SOCKS_BAD_COMMAND,
                         "only CONNECT is served");
    } else if (named && !eicei_socks_host(s, in + at, len - at - 1)) {
        eicei_socks_fail(s, EICE_SOCKS_GENERAL, "malformed host name");
    } else {
        if (!named) {
            eicei_socks_address(s, 4, in + 4);
        }
        eicei_socks_ready(s, in + 2);
    }
}

/* authority-form (RFC 9112 3.2.3): host:port, IPv6 in brackets. */
EICEI_PRIVATE bool eicei_socks_authority(eice_socks *s, eice_str a)
{
    uint64_t port = 0;
    size_t colon = a.len;
    size_t end;
    size_t start = 0;

    while (colon > 0 && a.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2
        || !eice_str_u64(eice_str_make(a.ptr + colon, a.len - colon), 65535,
                         &port)
        || port == 0) {
        return false;
    }
    end = colon - 1;
    if (a.ptr[0] == '[' && end > 2 && a.ptr[end - 1] == ']') {
        start = 1;
        end--;
    } else if (eice_str_find(eice_str_make(a.ptr, end), ':') < end) {
        return false; /* IPv6 without brackets: where is the port? */
    }
    s->port = (uint16_t)port;
    return eicei_socks_host(s, (const uint8_t *)a.ptr + start, end - start);
}

EICEI_PRIVATE void eicei_socks_line(eice_socks *s)
{
    eice_str line = eice_str_trim(eice_str_make(s->priv.in, s->priv.len));
    const eice_str method = eice_str_cut(&line, ' ');
    const eice_str authority = eice_str_cut(&line, ' ');

    if (!eice_str_is(method, "CONNECT")) {
        eicei_socks_fail(s, EICE_SOCKS_BAD_COMMAND, "only CONNECT is served");
    } else if (!eice_str_starts(line, "HTTP/1.")
               || !eicei_socks_authority(s, authority)) {
        eicei_socks_fail(s, EICE_SOCKS_BAD_ADDRESS, "malformed request");
    } else {
        s->priv.len = 0;
        s->priv.state = EICEI_SOCKS_FIELDS;
    }
}

/* Fields are skipped; the head ends with an empty line. */
EICEI_PRIVATE void eicei_socks_head(eice_socks *s, uint8_t byte)
{
    const bool empty = s->priv.len == 1
                       || (s->priv.len == 2 && s->priv.in[0] == '\r');

    if (++s->priv.head > EICE_SOCKS_HEAD) {
        eicei_socks_fail(s, EICE_SOCKS_BAD_ADDRESS, "head too long");
    } else if (byte != '\n') {
        if (s->priv.len == EICE_SOCKS_REQUEST) {
            s->priv.len--; /* longer than any line that means something */
        }
    } else if (s->priv.state == EICEI_SOCKS_LINE) {
        eicei_socks_line(s);
    } else if (empty) {
        s->priv.state = EICEI_SOCKS_READY;
    } else {
        s->priv.len = 0;
    }
}

EICEI_PRIVATE void eicei_socks_first(eice_socks *s, uint8_t byte)
{
    if (byte == 5) {
        s->priv.version = 5;
        s->priv.state = EICEI_SOCKS_METHODS;
    } else if (byte == 4) {
        s->priv.version = 4;
        s->priv.state = EICEI_SOCKS_REQUEST4;
    } else if (byte >= 'A' && byte <= 'Z') {
        s->priv.version = 'H';
        s->priv.head = 1;
        s->priv.state = EICEI_SOCKS_LINE;
    } else {
        eicei_socks_fail(s, EICE_SOCKS_GENERAL,
                         "speaks neither SOCKS nor HTTP");
    }
}

EICEI_PRIVATE void eicei_socks_byte(eice_socks *s, uint8_t byte)
{
    s->priv.in[s->priv.len++] = byte;
    switch (s->priv.state) {
    case EICEI_SOCKS_START:
        eicei_socks_first(s, byte);
        break;
    case EICEI_SOCKS_METHODS:
        eicei_socks_methods(s);
        break;
    case EICEI_SOCKS_REQUEST5:
        eicei_socks_request5(s);
        break;
    case EICEI_SOCKS_REQUEST4:
        eicei_socks_request4(s);
        break;
    default:
        eicei_socks_head(s, byte);
        break;
    }
}

eice_socks_event eice_socks_feed(eice_socks *s, eice_str *in)
{
    while (in->len > 0 && s->priv.state < EICEI_SOCKS_READY) {
        const uint8_t byte = (uint8_t)*in->ptr;

        in->ptr++;
        in->len--;
        eicei_socks_byte(s, byte);
    }
    if (s->priv.state == EICEI_SOCKS_DEAD) {
        return EICE_SOCKS_FAILED;
    }
    return s->priv.state < EICEI_SOCKS_READY ? EICE_SOCKS_MORE
                                             : EICE_SOCKS_CONNECT;
}

size_t eice_socks_out(const eice_socks *s, const uint8_t **p)
{
    *p = s->priv.out + s->priv.out_at;
    return (size_t)s->priv.out_len - s->priv.out_at;
}

void eice_socks_out_ack(eice_socks *s, size_t n)
{
    s->priv.out_at = (uint8_t)(s->priv.out_at + n);
    if (s->priv.out_at == s->priv.out_len) {
        s->priv.out_at = 0;
        s->priv.out_len = 0;
    }
}

void eice_socks_reply(eice_socks *s, eice_socks_outcome outcome)
{
    if (s->priv.state == EICEI_SOCKS_READY) {
        s->priv.state = EICEI_SOCKS_ANSWERED;
        eicei_socks_answer(s, outcome);
    }
}

/* ======================================================================== *
 * 11 KEYS                                                          >>keys  *
 * ======================================================================== */

#define EICEI_KEY_NAME 64    /* longest name of a type of key (RFC 4251 6) */
#define EICEI_KEY_HOST 300   /* longest host with its port */
#define EICEI_KEY_CHUNK 96   /* bytes of a blob decoded at a time */
#define EICEI_KEY_ED25519 "ssh-ed25519"

/* ---- blobs (RFC 4251 5: a length of four bytes, then the bytes) --------- */

EICEI_PRIVATE void eicei_key_put_u32(eice_buf *b, size_t n)
{
    eice_put_byte(b, (unsigned char)(n >> 24 & 0xffu));
    eice_put_byte(b, (unsigned char)(n >> 16 & 0xffu));
    eice_put_byte(b, (unsigned char)(n >> 8 & 0xffu));
    eice_put_byte(b, (unsigned char)(n & 0xffu));
}

EICEI_PRIVATE void eicei_key_put(eice_buf *b, eice_str s)
{
    eicei_key_put_u32(b, s.len);
    eice_put(b, s);
}

EICEI_PRIVATE bool eicei_key_u32(eice_str *from, uint32_t *out)
{
    const unsigned char *p = (const unsigned char *)from->ptr;

    if (from->len < 4) {
        return false;
    }
    *out = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8
           | p[3];
    *from = eice_str_make(from->ptr + 4, from->len - 4);
    return true;
}

EICEI_PRIVATE bool eicei_key_get(eice_str *from, eice_str *out)
{
    uint32_t n;

    if (!eicei_key_u32(from, &n) || n > from->len) {
        return false;
    }
    *out = eice_str_make(from->ptr, n);
    *from = eice_str_make(from->ptr + n, from->len - n);
    return true;
}

/* Printable ASCII without blanks and commas (RFC 4251 6). */
EICEI_PRIVATE bool eicei_key_name_ok(eice_str name)
{
    size_t i;

    for (i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 127 || name.ptr[i] == ',') {
            return false;
        }
    }
    return name.len > 0 && name.len <= EICEI_KEY_NAME;
}

EICE_API eice_str eice_key_type(const void *blob, size_t len)
{
    eice_str rest = eice_str_make(blob, len);
    eice_str name;

    if (!eicei_key_get(&rest, &name) || !eicei_key_name_ok(name)) {
        return eice_str_c("");
    }
    return name;
}

EICE_API void eice_key_blob(uint8_t blob[EICE_ED25519_BLOB],
                            const uint8_t public_key[32])
{
    eice_buf b;

    eice_buf_init(&b, blob, EICE_ED25519_BLOB);
    eicei_key_put(&b, eice_str_c(EICEI_KEY_ED25519));
    eicei_key_put(&b, eice_str_make(public_key, 32));
}

EICE_API void eice_key_fingerprint(char out[EICE_FINGERPRINT],
                                   const void *blob, size_t len)
{
    uint8_t hash[32];
    eice_buf b;

    eice_sha256(hash, blob, len);
    eice_buf_init(&b, out, EICE_FINGERPRINT);
    eice_put_c(&b, "SHA256:");
    eice_put_base64(&b, hash, sizeof hash, false);
    (void)eice_buf_c(&b);
}

/* ---- lines ------------------------------------------------------------- */

/* The next word of a line, which loses it; empty at the end. */
EICEI_PRIVATE eice_str eicei_key_word(eice_str *line)
{
    eice_str word;
    size_t n = 0;

    *line = eice_str_trim(*line);
    while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t') {
        n++;
    }
    word = eice_str_make(line->ptr, n);
    *line = eice_str_make(line->ptr + n, line->len - n);
    return word;
}

EICE_API void eice_key_line(eice_buf *b, const void *blob, size_t len,
                            eice_str comment)
{
    const eice_str type = eice_key_type(blob, len);

    if (type.len == 0) {
        b->overflow = true;
        return;
    }
    eice_put(b, type);
    eice_put_byte(b, ' ');
    eice_put_base64(b, blob, len, true);
    if (comment.len > 0) {
        eice_put_byte(b, ' ');
        eice_put(b, comment);
    }
}

EICEI_PRIVATE bool eicei_key_size_ok(eice_str type, size_t len)
{
    return !eice_str_is(type, EICEI_KEY_ED25519) || len == EICE_ED25519_BLOB;
}

EICEI_PRIVATE bool eicei_key_is_certificate(eice_str type)
{
    const eice_str tail = eice_str_c("-cert-v01@openssh.com");

    return type.len > tail.len
           && eice_str_eq(eice_str_make(type.ptr + type.len - tail.len,
                                        tail.len), tail);
}

/* All of OpenSSH's public keys are a name and a row of strings and numbers
 * of one form; only certificates hold something else. */
EICEI_PRIVATE bool eicei_key_shape_ok(eice_str type, eice_str blob)
{
    size_t parts = 0;
    eice_str part;

    while (blob.len > 0 && eicei_key_get(&blob, &part)) {
        parts++;
    }
    return (blob.len == 0 && parts > 1)
           || eicei_key_is_certificate(type);
}

EICE_API ptrdiff_t eice_key_parse(eice_str line, void *out, size_t cap,
                                  eice_str *type, eice_str *comment)
{
    const eice_str name = eicei_key_word(&line);
    const eice_str word = eicei_key_word(&line);
    const ptrdiff_t n = eice_base64_decode(word, out, cap);

    if (n <= 0 || name.len == 0
        || !eice_str_eq(eice_key_type(out, (size_t)n), name)
        || !eicei_key_size_ok(name, (size_t)n)
        || !eicei_key_shape_ok(name, eice_str_make(out, (size_t)n))) {
        return -1;
    }
    if (type != NULL) {
        *type = name;
    }
    if (comment != NULL) {
        *comment = eice_str_trim(line);
    }
    return n;
}

/* A key in base64, examined in pieces: it may be longer than what there is
 * room for. True when it is one of this type; *same then tells whether it is
 * `blob`. */
EICEI_PRIVATE bool eicei_key_compare(eice_str word, eice_str type,
                                     eice_str blob, bool *same)
{
    const size_t step = EICEI_KEY_CHUNK / 3 * 4;
    uint8_t chunk[EICEI_KEY_CHUNK];
    size_t total = 0;

    *same = true;
    while (word.len > 0) {
        const size_t n = word.len < step ? word.len : step;
        const ptrdiff_t got = eice_base64_decode(eice_str_make(word.ptr, n),
                                                 chunk, sizeof chunk);

        if (got <= 0 || (n < word.len && got != EICEI_KEY_CHUNK)
            || (total == 0
                && !eice_str_eq(eice_key_type(chunk, (size_t)got), type))) {
            return false;
        }
        if (*same
            && (blob.len - total < (size_t)got
                || memcmp(blob.ptr + total, chunk, (size_t)got) != 0)) {
            *same = false;
        }
        total += (size_t)got;
        word = eice_str_make(word.ptr + n, word.len - n);
    }
    *same = *same && total == blob.len;
    return total > 0 && eicei_key_size_ok(type, total);
}

/* ---- known_hosts ------------------------------------------------------- */

EICEI_PRIVATE char eicei_key_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* A negated pattern that fits rules the line out, wherever it stands. */
EICEI_PRIVATE bool eicei_key_host_list(eice_str list, eice_str host)
{
    bool found = false;

    while (list.len > 0) {
        eice_str pattern = eice_str_cut(&list, ',');
        const bool negated = eice_str_starts(pattern, "!");

        if (negated) {
            pattern = eice_str_make(pattern.ptr + 1, pattern.len - 1);
        }
        if (pattern.len > 0 && eice_str_glob(host, pattern, true)) {
            if (negated) {
                return false;
            }
            found = true;
        }
    }
    return found;
}

/* |1|salt|hash: HMAC-SHA1 of the name with the salt as the key. */
EICEI_PRIVATE bool eicei_key_host_hash(eice_str field, eice_str host)
{
    uint8_t salt[20];
    uint8_t want[20];
    uint8_t got[20];
    eice_str rest = eice_str_make(field.ptr + 3, field.len - 3);
    const eice_str salt_text = eice_str_cut(&rest, '|');

    if (eice_base64_decode(salt_text, salt, sizeof salt) != sizeof salt
        || eice_base64_decode(rest, want, sizeof want) != sizeof want) {
        return false;
    }
    eice_hmac_sha1(got, eice_str_make(salt, sizeof salt), host);
    return eice_equal_ct(got, want, sizeof got);
}

EICEI_PRIVATE bool eicei_key_host_fits(eice_str field, eice_str host)
{
    return eice_str_starts(field, "|1|") ? eicei_key_host_hash(field, host)
                                         : eicei_key_host_list(field, host);
}

typedef enum eicei_key_mark {
    EICEI_KEY_PLAIN,
    EICEI_KEY_REVOKED,
    EICEI_KEY_SKIP
} eicei_key_mark;

/* A line of the file taken apart. */
typedef struct eicei_key_entry {
    eicei_key_mark mark;
    eice_str type;
    eice_str key; /* base64 */
    unsigned line;
} eicei_key_entry;

EICEI_PRIVATE eicei_key_mark eicei_key_read_mark(eice_str *line)
{
    eice_str mark;

    *line = eice_str_trim(*line);
    if (line->len == 0 || line->ptr[0] == '#') {
        return EICEI_KEY_SKIP;
    }
    if (line->ptr[0] != '@') {
        return EICEI_KEY_PLAIN;
    }
    mark = eicei_key_word(line);
    return eice_str_is(mark, "@revoked") ? EICEI_KEY_REVOKED
                                         : EICEI_KEY_SKIP;
}

/* A walk through the lines about one host. */
typedef struct eicei_key_walk {
    eice_str text;
    char memory[EICEI_KEY_HOST];
    eice_buf host; /* in lower case */
    unsigned line;
} eicei_key_walk;

EICEI_PRIVATE void eicei_key_walk_init(eicei_key_walk *w, eice_str text,
                                       eice_str host)
{
    size_t i;

    w->text = text;
    w->line = 0;
    eice_buf_init(&w->host, w->memory, sizeof w->memory);
    for (i = 0; i < host.len; i++) {
        eice_put_byte(&w->host, (unsigned char)eicei_key_lower(host.ptr[i]));
    }
    if (w->host.overflow || host.len == 0) {
        w->text = eice_str_c("");
    }
}

/* The next line about the host; false at the end. */
EICEI_PRIVATE bool eicei_key_walk_next(eicei_key_walk *w, eicei_key_entry *e)
{
    while (w->text.len > 0) {
        eice_str line = eice_str_cut(&w->text, '\n');

        e->line = ++w->line;
        e->mark = eicei_key_read_mark(&line);
        if (e->mark != EICEI_KEY_SKIP
            && eicei_key_host_fits(eicei_key_word(&line),
                                   eice_buf_str(&w->host))) {
            e->type = eicei_key_word(&line);
            e->key = eicei_key_word(&line);
            return true;
        }
    }
    return false;
}

/* How much each verdict says: a line changes it only to one that says more. */
EICEI_PRIVATE int eicei_key_weight(eice_hostkey v)
{
    static const int weight[] = {0, 1, 3, 2, 4};

    return weight[v];
}

EICEI_PRIVATE eice_hostkey eicei_key_judge(const eicei_key_entry *e,
                                           eice_str blob)
{
    bool same;

    if (!eicei_key_compare(e->key, e->type, blob, &same)) {
        return EICE_HOSTKEY_UNKNOWN;
    }
    if (e->mark == EICEI_KEY_REVOKED) {
        return same ? EICE_HOSTKEY_REVOKED : EICE_HOSTKEY_UNKNOWN;
    }
    if (same) {
        return EICE_HOSTKEY_MATCH;
    }
    return eice_str_eq(e->type, eice_key_type(blob.ptr, blob.len))
               ? EICE_HOSTKEY_CHANGED
               : EICE_HOSTKEY_OTHER;
}

EICE_API eice_hostkey eice_known_hosts_check(eice_str text, eice_str host,
                                             const void *blob, size_t len,
                                             unsigned *line)
{
    const eice_str key = eice_str_make(blob, len);
    eice_hostkey verdict = EICE_HOSTKEY_UNKNOWN;
    unsigned at = 0;
    eicei_key_walk w;
    eicei_key_entry e;

    eicei_key_walk_init(&w, text, host);
    while (eicei_key_walk_next(&w, &e)) {
        const eice_hostkey v = eicei_key_judge(&e, key);

        if (eicei_key_weight(v) > eicei_key_weight(verdict)) {
            verdict = v;
            at = e.line;
        }
    }
    if (line != NULL) {
        *line = at;
    }
    return verdict;
}

EICE_API void eice_known_hosts_types(eice_str text, eice_str host,
                                     void (*type)(void *user, eice_str name),
                                     void *user)
{
    eicei_key_walk w;
    eicei_key_entry e;
    bool same;

    eicei_key_walk_init(&w, text, host);
    while (eicei_key_walk_next(&w, &e)) {
        if (e.mark == EICEI_KEY_PLAIN
            && eicei_key_compare(e.key, e.type, eice_str_c(""), &same)) {
            type(user, e.type);
        }
    }
}

/* Moves *s behind the first `word` in it; false: there is none. */
EICEI_PRIVATE bool eicei_key_skip(eice_str *s, const char *word)
{
    const size_t n = strlen(word);
    size_t i;

    for (i = 0; i + n <= s->len; i++) {
        if (memcmp(s->ptr + i, word, n) == 0) {
            *s = eice_str_make(s->ptr + i + n, s->len - i - n);
            return true;
        }
    }
    return false;
}

/* The last block of cloud-init that has an end; empty when there is none. */
EICEI_PRIVATE eice_str eicei_console_block(eice_str text)
{
    static const char *const ends[] = {"END SSH HOST KEY KEYS",
                                       "END SSH HOST KEY FINGERPRINTS"};
    eice_str block = eice_str_c("");

    while (eicei_key_skip(&text, "BEGIN SSH HOST KEY ")) {
        const bool prints = text.len > 0 && text.ptr[0] == 'F';
        eice_str rest = text;

        if (eicei_key_skip(&rest, ends[prints])) {
            block = eice_str_make(text.ptr, (size_t)(rest.ptr - text.ptr));
        }
    }
    return block;
}

/* A line of either block; what a logger put before the key does no harm. */
EICEI_PRIVATE eice_console eicei_console_line(eice_str line, eice_str blob,
                                              const char *print)
{
    const size_t n = EICE_FINGERPRINT - 1 - 7;
    eice_str rest = line;
    bool same;

    if (eicei_key_skip(&rest, "SHA256:") && rest.len >= n) {
        return memcmp(rest.ptr, print + 7, n) == 0 ? EICE_CONSOLE_MATCH
                                                   : EICE_CONSOLE_OTHER;
    }
    while (line.len > 0) {
        eice_str words = line;
        const eice_str type = eicei_key_word(&words);
        const eice_str key = eicei_key_word(&words);

        if (key.len > 0 && eicei_key_compare(key, type, blob, &same)) {
            return same ? EICE_CONSOLE_MATCH : EICE_CONSOLE_OTHER;
        }
        (void)eice_str_cut(&line, ' ');
    }
    return EICE_CONSOLE_NONE;
}

EICE_API eice_console eice_console_check(eice_str text, const void *blob,
                                         size_t len)
{
    eice_str block = eicei_console_block(text);
    eice_console found = EICE_CONSOLE_NONE;
    char print[EICE_FINGERPRINT];

    eice_key_fingerprint(print, blob, len);
    while (block.len > 0 && found != EICE_CONSOLE_MATCH) {
        const eice_str line = eice_str_cut(&block, '\n');
        const eice_console one
            = eicei_console_line(eice_str_trim(line), eice_str_make(blob, len),
                                 print);

        found = one != EICE_CONSOLE_NONE ? one : found;
    }
    return found;
}

EICEI_PRIVATE bool eicei_key_host_plain(eice_str host)
{
    const eice_str marks = eice_str_c(",*?!|@#");
    size_t i;

    for (i = 0; i < host.len; i++) {
        if (host.ptr[i] <= ' ' || host.ptr[i] >= 127
            || eice_str_find(marks, host.ptr[i]) < marks.len) {
            return false;
        }
    }
    return host.len > 0 && host.len <= EICEI_KEY_HOST;
}

EICE_API void eice_known_hosts_line(eice_buf *b, eice_str host,
                                    const void *blob, size_t len)
{
    if (!eicei_key_host_plain(host) || eice_key_type(blob, len).len == 0) {
        b->overflow = true;
        return;
    }
    eice_put(b, host);
    eice_put_byte(b, ' ');
    eice_key_line(b, blob, len, eice_str_c(""));
    eice_put_byte(b, '\n');
}

/* ---- agent ------------------------------------------------------------- */

/* draft-ietf-sshm-ssh-agent 6.1 */
enum {
    EICEI_AGENT_FAILURE = 5,
    EICEI_AGENT_IDENTITIES = 11,
    EICEI_AGENT_IDENTITIES_ANSWER = 12,
    EICEI_AGENT_SIGN = 13,
    EICEI_AGENT_SIGN_RESPONSE = 14
};

/* The key of an agent. */
typedef struct eicei_agent {
    const uint8_t *seed;
    const uint8_t *public_key;
    uint8_t blob[EICE_ED25519_BLOB];
} eicei_agent;

EICEI_PRIVATE void eicei_agent_failure(eice_buf *out)
{
    eicei_key_put_u32(out, 1);
    eice_put_byte(out, EICEI_AGENT_FAILURE);
}

EICEI_PRIVATE void eicei_agent_identities(const eicei_agent *a, eice_buf *out)
{
    const eice_str blob = eice_str_make(a->blob, sizeof a->blob);
    const eice_str comment = eice_str_c("eice");

    eicei_key_put_u32(out, 1 + 4 + 4 + blob.len + 4 + comment.len);
    eice_put_byte(out, EICEI_AGENT_IDENTITIES_ANSWER);
    eicei_key_put_u32(out, 1);
    eicei_key_put(out, blob);
    eicei_key_put(out, comment);
}

EICEI_PRIVATE void eicei_agent_sign(const eicei_agent *a, eice_str rest,
                                    eice_buf *out)
{
    const eice_str type = eice_str_c(EICEI_KEY_ED25519);
    uint8_t sig[64];
    eice_str blob;
    eice_str data;
    uint32_t flags;

    if (!eicei_key_get(&rest, &blob) || !eicei_key_get(&rest, &data)
        || !eicei_key_u32(&rest, &flags)
        || !eice_str_eq(blob, eice_str_make(a->blob, sizeof a->blob))) {
        eicei_agent_failure(out);
        return;
    }
    eice_ed25519_sign(sig, a->seed, a->public_key, data.ptr, data.len);
    eicei_key_put_u32(out, 1 + 4 + 4 + type.len + 4 + sizeof sig);
    eice_put_byte(out, EICEI_AGENT_SIGN_RESPONSE);
    eicei_key_put_u32(out, 4 + type.len + 4 + sizeof sig);
    eicei_key_put(out, type);
    eicei_key_put(out, eice_str_make(sig, sizeof sig));
}

EICE_API ptrdiff_t eice_agent_serve(const uint8_t seed[32],
                                    const uint8_t public_key[32], eice_str in,
                                    eice_buf *out)
{
    eicei_agent a;
    uint32_t n;

    if (!eicei_key_u32(&in, &n)) {
        return 0;
    }
    if (n == 0 || n > EICE_AGENT_MAX) {
        return -1;
    }
    if (in.len < n) {
        return 0;
    }
    a.seed = seed;
    a.public_key = public_key;
    eice_key_blob(a.blob, public_key);
    if (in.ptr[0] == EICEI_AGENT_IDENTITIES) {
        eicei_agent_identities(&a, out);
    } else if (in.ptr[0] == EICEI_AGENT_SIGN) {
        eicei_agent_sign(&a, eice_str_make(in.ptr + 1, n - 1), out);
    } else {
        eicei_agent_failure(out);
    }
    return out->overflow ? -1 : (ptrdiff_t)n + 4;
}

EICE_API void eice_agent_ask_keys(eice_buf *out)
{
    eicei_key_put_u32(out, 1);
    eice_put_byte(out, EICEI_AGENT_IDENTITIES);
}

EICE_API void eice_agent_ask_sign(eice_buf *out, eice_str blob, eice_str data,
                                  eice_str algorithm)
{
    eicei_key_put_u32(out, 1 + 4 + blob.len + 4 + data.len + 4);
    eice_put_byte(out, EICEI_AGENT_SIGN);
    eicei_key_put(out, blob);
    eicei_key_put(out, data);
    eicei_key_put_u32(out, eice_str_is(algorithm, "rsa-sha2-256")   ? 2
                           : eice_str_is(algorithm, "rsa-sha2-512") ? 4
                                                                    : 0);
}

EICE_API bool eice_agent_keys(eice_str answer, eice_str *keys)
{
    uint32_t count;

    if (answer.len == 0 || answer.ptr[0] != EICEI_AGENT_IDENTITIES_ANSWER) {
        return false;
    }
    *keys = eice_str_make(answer.ptr + 1, answer.len - 1);
    return eicei_key_u32(keys, &count);
}

EICE_API bool eice_agent_next(eice_str *keys, eice_str *blob,
                              eice_str *comment)
{
    return eicei_key_get(keys, blob) && eicei_key_get(keys, comment);
}

EICE_API ptrdiff_t eice_agent_signature(eice_str answer, eice_str algorithm,
                                        uint8_t *sig, size_t cap)
{
    eice_str all;
    eice_str format;
    eice_str raw;

    if (answer.len == 0 || answer.ptr[0] != EICEI_AGENT_SIGN_RESPONSE) {
        return -1;
    }
    answer = eice_str_make(answer.ptr + 1, answer.len - 1);
    if (!eicei_key_get(&answer, &all) || !eicei_key_get(&all, &format)
        || !eice_str_eq(format, algorithm)) {
        return -1;
    }
    raw = all; /* keys in hardware: flags and a counter follow */
    if (!eice_str_starts(format, "sk-") && !eicei_key_get(&all, &raw)) {
        return -1;
    }
    if (raw.len == 0 || raw.len > cap) {
        return -1;
    }
    memcpy(sig, raw.ptr, raw.len);
    return (ptrdiff_t)raw.len;
}

/* ---- private keys ------------------------------------------------------ */

/* A positive number (RFC 4251 5, mpint), zeros before it left out. */
EICEI_PRIVATE void eicei_key_put_number(eice_buf *b, const uint8_t *p,
                                        size_t len)
{
    while (len > 1 && p[0] == 0) {
        p++;
        len--;
    }
    eicei_key_put_u32(b, len + (p[0] >> 7));
    if (p[0] >> 7 != 0) {
        eice_put_byte(b, 0);
    }
    eice_put(b, eice_str_make(p, len));
}

EICEI_PRIVATE void eicei_user_key_ed25519(eice_user_key *k)
{
    k->kind = EICE_KEY_ED25519;
    eice_ed25519_public(k->public_key, k->seed);
    eice_key_blob(k->blob, k->public_key);
    k->blob_len = EICE_ED25519_BLOB;
}

/* RFC 4253 6.6. */
EICEI_PRIVATE void eicei_user_key_rsa(eice_user_key *k)
{
    const uint32_t e = k->rsa.e;
    uint8_t exponent[4];
    eice_buf b;

    exponent[0] = (uint8_t)(e >> 24);
    exponent[1] = (uint8_t)(e >> 16 & 0xff);
    exponent[2] = (uint8_t)(e >> 8 & 0xff);
    exponent[3] = (uint8_t)(e & 0xff);
    k->kind = EICE_KEY_RSA;
    eice_buf_init(&b, k->blob, sizeof k->blob);
    eicei_key_put(&b, eice_str_c("ssh-rsa"));
    eicei_key_put_number(&b, exponent, 4);
    eicei_key_put_number(&b, k->rsa.n, (k->rsa.bits + 7) / 8);
    k->blob_len = b.overflow ? 0 : b.len;
}

/* The curves: their names, and what DER calls them (RFC 5656 10.1, RFC 5480
 * 2.1.1.1). */
typedef struct eicei_key_curve {
    unsigned bits;
    const char *type; /* the curve's name begins at type + 11 */
    unsigned char oid_len;
    unsigned char oid[8];
} eicei_key_curve;

static const eicei_key_curve eicei_key_curves[] = {
    {256, "ecdsa-sha2-nistp256", 8,
     {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}},
    {384, "ecdsa-sha2-nistp384", 5, {0x2b, 0x81, 0x04, 0x00, 0x22}},
    {521, "ecdsa-sha2-nistp521", 5, {0x2b, 0x81, 0x04, 0x00, 0x23}},
};

/* By a name, or, without one, by what DER says. */
EICEI_PRIVATE const eicei_key_curve *eicei_key_curve_of(eice_str type,
                                                        eice_str oid)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(eicei_key_curves); i++) {
        const eicei_key_curve *c = &eicei_key_curves[i];

        if (eice_str_is(type, c->type)
            || eice_str_eq(oid, eice_str_make(c->oid, c->oid_len))) {
            return c;
        }
    }
    return NULL;
}

/* RFC 5656 3.1. */
EICEI_PRIVATE bool eicei_user_key_ecdsa(eice_user_key *k,
                                        const eicei_key_curve *c,
                                        eice_str secret)
{
    eice_buf b;

    if (c == NULL || !eice_ec_set(&k->ec, c->bits, secret)) {
        return false;
    }
    k->kind = EICE_KEY_ECDSA;
    eice_buf_init(&b, k->blob, sizeof k->blob);
    eicei_key_put(&b, eice_str_c(c->type));
    eicei_key_put(&b, eice_str_c(c->type + 11));
    eicei_key_put(&b, eice_str_make(k->ec.point, 2 * k->ec.len + 1));
    k->blob_len = b.len;
    return true;
}

EICE_API bool eice_user_key_generate(eice_user_key *k, eice_key_kind kind,
                                     eice_drbg *d)
{
    memset(k, 0, sizeof *k);
    if (kind == EICE_KEY_ED25519) {
        eice_drbg_generate(d, k->seed, sizeof k->seed);
        eicei_user_key_ed25519(k);
    } else if (kind == EICE_KEY_RSA && eice_rsa_generate(&k->rsa, 2048, d)) {
        eicei_user_key_rsa(k);
    }
    return k->blob_len > 0;
}

/* The text between the lines BEGIN and END of a PEM file (RFC 7468), decoded
 * in place; `label` is what BEGIN says. What stands before the private key,
 * such as `openssl ecparam` writes, is passed over. False, with *encrypted, for
 * the way of OpenSSL to encrypt it. */
EICEI_PRIVATE bool eicei_pem(char *text, size_t len, eice_str *label,
                             eice_str *body, bool *encrypted)
{
    eice_str rest = eice_str_make(text, len);
    const eice_str begin = eice_str_c("-----BEGIN ");
    eice_str line;
    size_t n = 0;
    ptrdiff_t got;
    size_t i;

    do {
        if (rest.len == 0) {
            return false;
        }
        line = eice_str_trim(eice_str_cut(&rest, '\n'));
    } while (!eice_str_starts(line, "-----BEGIN ") || line.len < 27
             || memcmp(line.ptr + line.len - 16, "PRIVATE KEY-----", 16) != 0);
    *label = eice_str_make(line.ptr + begin.len, line.len - begin.len - 5);
    text = text + (rest.ptr - text);
    for (;;) {
        if (rest.len == 0) {
            return false;
        }
        line = eice_str_trim(eice_str_cut(&rest, '\n'));
        if (eice_str_starts(line, "-----END ")) {
            break;
        }
        if (eice_str_is(line, "Proc-Type: 4,ENCRYPTED")) { /* RFC 1421 4.6.1 */
            *encrypted = true;
            return false;
        }
        for (i = 0; i < line.len; i++) {
            text[n++] = line.ptr[i];
        }
    }
    got = eice_base64_decode(eice_str_make(text, n), text, n);
    *body = eice_str_make(text, got > 0 ? (size_t)got : 0);
    return got > 0;
}

/* One element of DER (X.690 8.1, 10.1) with this tag, off the front. */
EICEI_PRIVATE bool eicei_der(eice_str *from, unsigned tag, eice_str *out)
{
    const unsigned char *p = (const unsigned char *)from->ptr;
    size_t head = 2;
    size_t n;

    if (from->len < 2 || p[0] != tag) {
        return false;
    }
    n = p[1];
    if (n == 0x81 && from->len >= 3 && p[2] >= 0x80) {
        n = p[2];
        head = 3;
    } else if (n == 0x82 && from->len >= 4 && p[2] != 0) {
        n = (size_t)p[2] << 8 | p[3];
        head = 4;
    } else if (n >= 0x80) {
        return false;
    }
    if (n > from->len - head) {
        return false;
    }
    *out = eice_str_make(from->ptr + head, n);
    *from = eice_str_make(from->ptr + head + n, from->len - head - n);
    return true;
}

/* RFC 8017 A.1.2. */
EICEI_PRIVATE bool eicei_user_key_pkcs1(eice_user_key *k, eice_str der)
{
    eice_str part[9]; /* version, n, e, d, p, q, d mod ..., 1 / q mod p */
    eice_str all;
    size_t i;

    if (!eicei_der(&der, 0x30, &all)) {
        return false;
    }
    for (i = 0; i < 9; i++) {
        if (!eicei_der(&all, 0x02, &part[i])) {
            return false;
        }
    }
    if (!eice_rsa_set(&k->rsa, part[1], part[2], part[3], part[4], part[5],
                      part[8])) {
        return false;
    }
    eicei_user_key_rsa(k);
    return k->blob_len > 0;
}

/* RFC 5915 3; inside PKCS#8 the curve stands outside. */
EICEI_PRIVATE bool eicei_user_key_sec1(eice_user_key *k, eice_str der,
                                       eice_str curve)
{
    eice_str all;
    eice_str version;
    eice_str secret;
    eice_str parameters;

    if (!eicei_der(&der, 0x30, &all) || !eicei_der(&all, 0x02, &version)
        || !eicei_der(&all, 0x04, &secret)) {
        return false;
    }
    if (eicei_der(&all, 0xa0, &parameters)
        && !eicei_der(&parameters, 0x06, &curve)) {
        return false;
    }
    return eicei_user_key_ecdsa(
        k, eicei_key_curve_of(eice_str_c(""), curve), secret);
}

/* RFC 5958 2, RFC 8410 7, RFC 5480 2.1.1. */
EICEI_PRIVATE bool eicei_user_key_pkcs8(eice_user_key *k, eice_str der)
{
    static const unsigned char rsa[]
        = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    static const unsigned char ed25519[] = {0x2b, 0x65, 0x70};
    static const unsigned char ec[]
        = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    eice_str all;
    eice_str version;
    eice_str algorithm;
    eice_str oid;
    eice_str secret;

    if (!eicei_der(&der, 0x30, &all) || !eicei_der(&all, 0x02, &version)
        || !eicei_der(&all, 0x30, &algorithm)
        || !eicei_der(&algorithm, 0x06, &oid)
        || !eicei_der(&all, 0x04, &secret)) {
        return false;
    }
    if (eice_str_eq(oid, eice_str_make(rsa, sizeof rsa))) {
        return eicei_user_key_pkcs1(k, secret);
    }
    if (eice_str_eq(oid, eice_str_make(ec, sizeof ec))) {
        return eicei_der(&algorithm, 0x06, &oid)
               && eicei_user_key_sec1(k, secret, oid);
    }
    if (!eice_str_eq(oid, eice_str_make(ed25519, sizeof ed25519))
        || !eicei_der(&secret, 0x04, &all) || all.len != sizeof k->seed) {
        return false;
    }
    memcpy(k->seed, all.ptr, sizeof k->seed);
    eicei_user_key_ed25519(k);
    return true;
}

/* The private half inside OpenSSH's format: the name of the type is read. */
EICEI_PRIVATE bool eicei_user_key_parts(eice_user_key *k, eice_str type,
                                        eice_str in)
{
    eice_str part[6]; /* RSA: n, e, d, 1 / q mod p, p, q; ECDSA: the curve,
                         the point, the number */
    const bool ecdsa = eice_str_starts(type, "ecdsa-sha2-");
    const size_t count = eice_str_is(type, "ssh-rsa") ? 6 : ecdsa ? 3 : 2;
    size_t i;

    for (i = 0; i < count; i++) {
        if (!eicei_key_get(&in, &part[i])) {
            return false;
        }
    }
    if (count == 6) {
        if (eice_rsa_set(&k->rsa, part[0], part[1], part[2], part[4], part[5],
                         part[3])) {
            eicei_user_key_rsa(k);
        }
    } else if (ecdsa) {
        (void)eicei_user_key_ecdsa(
            k, eicei_key_curve_of(type, eice_str_c("")), part[2]);
    } else if (eice_str_is(type, EICEI_KEY_ED25519) && part[1].len == 64) {
        memcpy(k->seed, part[1].ptr, sizeof k->seed);
        eicei_user_key_ed25519(k);
    }
    return k->blob_len > 0;
}

/* ---- bcrypt_pbkdf (OpenSSH's PROTOCOL.key, OpenBSD's bcrypt_pbkdf(3)) ---- */

#define EICEI_BLOWFISH 1042 /* words of P and S, beginning with P's 18 */
#define EICEI_BCRYPT_WORDS 16 /* of a SHA-512, as Blowfish takes it */

/* sum += or -= scale * arctan(1 / by), numbers with 32 bits before the point:
 * two terms of the series at a time. `x` holds scale / by^k. */
EICEI_PRIVATE void eicei_pi_arctan(uint32_t *sum, uint32_t *x, uint32_t by,
                                   uint32_t scale, bool minus)
{
    const size_t words = EICEI_BLOWFISH + 2;
    const uint32_t square = by * by;
    size_t from = 0;
    uint64_t carry[3];
    uint32_t k;
    size_t i;
    size_t j;

    memset(x, 0, words * sizeof *x);
    carry[0] = scale;
    for (i = 0; i < words; i++) {
        x[i] = (uint32_t)(carry[0] / by);
        carry[0] = carry[0] % by << 32;
    }
    for (k = 1; from < words; k += 4) {
        const uint32_t above = square * (k + 2) - k;
        const uint32_t below = k * (k + 2);

        memset(carry, 0, sizeof carry);
        for (i = from; i < words; i++) {
            uint64_t n = carry[0] << 32 | x[i];
            uint64_t term;

            x[i] = (uint32_t)(n / square); /* scale / by^(k + 2) */
            carry[0] = n % square;
            n = (carry[1] << 32) + (uint64_t)x[i] * above;
            carry[1] = n % below;
            for (term = n / below, j = i + 1; term != 0 && j-- > 0;) {
                n = minus ? sum[j] - (term & 0xffffffffu) : sum[j] + term;
                sum[j] = (uint32_t)n;
                term = minus ? (term >> 32) + (n >> 63) : n >> 32;
            }
            n = carry[2] << 32 | x[i];
            x[i] = (uint32_t)(n / square); /* scale / by^(k + 4) */
            carry[2] = n % square;
        }
        while (from < words && x[from] == 0) {
            from++;
        }
    }
}

/* The digits of pi behind the point, by Machin's formula: 0.03 s on a desktop
 * and 4 kB less of program than to hold them. */
EICEI_PRIVATE void eicei_blowfish_pi(eice_passphrase *p)
{
    memset(p->priv.pi, 0, sizeof p->priv.pi);
    eicei_pi_arctan(p->priv.pi, p->priv.state, 5, 16, false);
    eicei_pi_arctan(p->priv.pi, p->priv.state, 239, 4, true);
}

/* One block of 64 bits. */
EICEI_PRIVATE void eicei_blowfish(const uint32_t *state, uint32_t block[2])
{
    const uint32_t *s = state + 18;
    uint32_t l = block[0] ^ state[0];
    uint32_t r = block[1];
    size_t i;

    for (i = 1; i < 17; i++) {
        const uint32_t f = ((s[l >> 24] + s[256 + (l >> 16 & 255)])
                            ^ s[512 + (l >> 8 & 255)])
                           + s[768 + (l & 255)];
        const uint32_t next = r ^ f ^ state[i];

        r = l;
        l = next;
    }
    block[0] = r ^ state[17];
    block[1] = l;
}

/* Mixes a key, and a salt where there is one, into the state. */
EICEI_PRIVATE void eicei_blowfish_mix(uint32_t *state, const uint32_t *salt,
                                      const uint32_t *key)
{
    uint32_t block[2] = {0, 0};
    size_t i;

    for (i = 0; i < 18; i++) {
        state[i] ^= key[i % EICEI_BCRYPT_WORDS];
    }
    for (i = 0; i < EICEI_BLOWFISH; i += 2) {
        if (salt != NULL) {
            block[0] ^= salt[i % EICEI_BCRYPT_WORDS];
            block[1] ^= salt[(i + 1) % EICEI_BCRYPT_WORDS];
        }
        eicei_blowfish(state, block);
        memcpy(state + i, block, sizeof block);
    }
}

EICEI_PRIVATE void eicei_bcrypt_words(uint32_t *out, const uint8_t *in,
                                      size_t words)
{
    size_t i;

    for (i = 0; i < words; i++, in += 4) {
        out[i] = (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16
                 | (uint32_t)in[2] << 8 | in[3];
    }
}

EICEI_PRIVATE void eicei_bcrypt_hash(eice_passphrase *p, uint8_t out[32],
                                     const uint8_t pass[64],
                                     const uint8_t salt[64])
{
    static const char text[] = "OxychromaticBlowfishSwatDynamite";
    uint32_t key[2][EICEI_BCRYPT_WORDS];
    uint32_t data[8];
    size_t i;

    eicei_bcrypt_words(key[0], salt, EICEI_BCRYPT_WORDS);
    eicei_bcrypt_words(key[1], pass, EICEI_BCRYPT_WORDS);
    eicei_bcrypt_words(data, (const uint8_t *)text, 8);
    memcpy(p->priv.state, p->priv.pi + 1, EICEI_BLOWFISH * sizeof(uint32_t));
    eicei_blowfish_mix(p->priv.state, key[0], key[1]);
    for (i = 0; i < 128; i++) {
        eicei_blowfish_mix(p->priv.state, NULL, key[i % 2]);
    }
    for (i = 0; i < 64 * 4; i++) {
        eicei_blowfish(p->priv.state, data + i % 4 * 2);
    }
    for (i = 0; i < 32; i++) {
        out[i] = (uint8_t)(data[i / 4] >> (8 * (i % 4)) & 255);
    }
    eice_wipe(key, sizeof key);
    eice_wipe(data, sizeof data);
}

/* One of the pieces of 32 bytes the key is made of. */
EICEI_PRIVATE bool eicei_bcrypt_piece(eice_passphrase *p, uint8_t sum[32],
                                      eice_str salt, uint32_t rounds,
                                      uint8_t number)
{
    const uint8_t count[4] = {0, 0, 0, number};
    eice_sha512_ctx hash;
    uint8_t pass[64];
    uint8_t mixed[64];
    uint8_t out[32];
    uint32_t round;
    size_t i;
    bool good = true;

    eice_sha512(pass, p->text.ptr, p->text.len);
    eice_sha512_init(&hash);
    eice_sha512_update(&hash, salt.ptr, salt.len);
    eice_sha512_update(&hash, count, sizeof count);
    eice_sha512_final(&hash, mixed);
    memset(sum, 0, 32);
    for (round = 0; round < rounds && good; round++) {
        eicei_bcrypt_hash(p, out, pass, mixed);
        for (i = 0; i < sizeof out; i++) {
            sum[i] ^= out[i];
        }
        eice_sha512(mixed, out, sizeof out);
        good = p->go_on == NULL || p->go_on(p->user);
    }
    eice_wipe(pass, sizeof pass);
    eice_wipe(mixed, sizeof mixed);
    eice_wipe(out, sizeof out);
    return good;
}

/* From one piece, or from two, a byte of each in turn: `len` is at most 64. */
EICEI_PRIVATE bool eicei_bcrypt_pbkdf(eice_passphrase *p, eice_str salt,
                                      uint32_t rounds, uint8_t *key,
                                      size_t len)
{
    const size_t pieces = (len + 31) / 32;
    uint8_t piece[2][32];
    bool good = true;
    size_t i;

    eicei_blowfish_pi(p);
    for (i = 0; i < pieces && good; i++) {
        good = eicei_bcrypt_piece(p, piece[i], salt, rounds, (uint8_t)(i + 1));
    }
    for (i = 0; i < len && good; i++) {
        key[i] = piece[i % pieces][i / pieces];
    }
    eice_wipe(piece, sizeof piece);
    eice_wipe(&p->priv, sizeof p->priv);
    return good;
}

/* ---- OpenSSH's format (PROTOCOL.key) ----------------------------------- */

/* ssh-keygen's default is the first now, the second from OpenSSH 6.5 to 7.5;
 * the others it writes when it is told to. */
static const struct {
    const char *name;
    size_t key_len;
    bool cbc;
} eicei_key_ciphers[] = {
    {"aes256-ctr", 32, false}, {"aes256-cbc", 32, true},
    {"aes192-ctr", 24, false}, {"aes192-cbc", 24, true},
    {"aes128-ctr", 16, false}, {"aes128-cbc", 16, true},
};

/* Decrypts what is private with a passphrase. */
EICEI_PRIVATE eice_err eicei_user_key_unlock(const char *name,
                                             const eice_str head[3],
                                             eice_str secret,
                                             eice_passphrase *pass,
                                             eice_error *e)
{
    const uint32_t most = pass == NULL || pass->max_rounds == 0
                              ? 1024
                              : pass->max_rounds;
    uint8_t key[48];
    eice_str options = head[2];
    eice_str salt;
    uint32_t rounds;
    size_t i = 0;

    while (i < EICEI_LEN(eicei_key_ciphers)
           && !eice_str_is(head[0], eicei_key_ciphers[i].name)) {
        i++;
    }
    if (i == EICEI_LEN(eicei_key_ciphers) || !eice_str_is(head[1], "bcrypt")
        || !eicei_key_get(&options, &salt)
        || !eicei_key_u32(&options, &rounds) || rounds == 0
        || secret.len % 16 != 0) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "%s is encrypted in a way that is not supported "
                         "(%S, %S)", name, &head[0], &head[1]);
    }
    if (rounds > most) {
        return eice_fail(e, EICE_E_LIMIT, EICE_STAGE_CONFIG,
                         "%s wants %u rounds of bcrypt, %u are allowed",
                         name, rounds, most);
    }
    if (pass == NULL) {
        return eice_fail(e, EICE_E_KEY_LOCKED, EICE_STAGE_CONFIG,
                         "%s is protected by a passphrase", name);
    }
    if (!eicei_bcrypt_pbkdf(pass, salt, rounds, key,
                            eicei_key_ciphers[i].key_len + 16)) {
        return eice_fail(e, EICE_E_CANCELLED, EICE_STAGE_CONFIG,
                         "cancelled while %s was unlocked", name);
    }
    (eicei_key_ciphers[i].cbc ? eice_aes_cbc_decrypt : eice_aes_ctr)(
        key, eicei_key_ciphers[i].key_len, key + eicei_key_ciphers[i].key_len,
        (void *)(uintptr_t)secret.ptr, secret.len);
    eice_wipe(key, sizeof key);
    return EICE_OK;
}

/* The public half must be what the private half makes: it is what the server
 * is shown. */
EICEI_PRIVATE bool eicei_user_key_openssh(eice_user_key *k, const char *name,
                                          eice_str in, eice_passphrase *pass,
                                          eice_error *e)
{
    static const char magic[] = "openssh-key-v1";
    eice_str head[3]; /* cipher, KDF, its options */
    eice_str blob;
    eice_str secret;
    eice_str type;
    uint32_t count;
    uint32_t check[2];
    bool locked;
    size_t i;

    if (in.len < sizeof magic || memcmp(in.ptr, magic, sizeof magic) != 0) {
        return false;
    }
    in = eice_str_make(in.ptr + sizeof magic, in.len - sizeof magic);
    for (i = 0; i < 3; i++) {
        if (!eicei_key_get(&in, &head[i])) {
            return false;
        }
    }
    if (!eicei_key_u32(&in, &count) || count != 1 || !eicei_key_get(&in, &blob)
        || !eicei_key_get(&in, &secret)) {
        return false;
    }
    locked = !eice_str_is(head[0], "none");
    if (locked
        && eicei_user_key_unlock(name, head, secret, pass, e) != EICE_OK) {
        return false;
    }
    if (!eicei_key_u32(&secret, &check[0]) || !eicei_key_u32(&secret, &check[1])
        || check[0] != check[1]) {
        if (locked) {
            eice_fail(e, EICE_E_PASSPHRASE, EICE_STAGE_CONFIG,
                      "this is not the passphrase of %s", name);
        }
        return false;
    }
    return eicei_key_get(&secret, &type)
           && eicei_user_key_parts(k, type, secret)
           && eice_str_eq(blob, eice_str_make(k->blob, k->blob_len));
}

EICE_API bool eice_user_key_read(eice_user_key *k, const char *name,
                                 void *text, size_t len,
                                 eice_passphrase *pass, eice_error *e)
{
    eice_str label = eice_str_c("");
    eice_str body;
    eice_buf b;
    bool good = false;
    bool encrypted = false;

    memset(k, 0, sizeof *k);
    if (eicei_pem((char *)text, len, &label, &body, &encrypted)) {
        if (eice_str_is(label, "OPENSSH PRIVATE KEY")) {
            good = eicei_user_key_openssh(k, name, body, pass, e);
        } else if (eice_str_is(label, "PRIVATE KEY")) {
            good = eicei_user_key_pkcs8(k, body);
        } else if (eice_str_is(label, "RSA PRIVATE KEY")) {
            good = eicei_user_key_pkcs1(k, body);
        } else if (eice_str_is(label, "EC PRIVATE KEY")) {
            good = eicei_user_key_sec1(k, body, eice_str_c(""));
        }
    }
    if (good) {
        return true;
    }
    eice_wipe(k, sizeof *k);
    if (e->code != EICE_OK) {
        return false;
    }
    if (encrypted || eice_str_is(label, "ENCRYPTED PRIVATE KEY")) {
        eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                  "%s is encrypted in a format that is not supported", name);
        eice_buf_init(&b, e->remedy, sizeof e->remedy);
        eice_putf(&b, "ssh-keygen -p -f %s writes it anew, in OpenSSH's format",
                  name);
        (void)eice_buf_c(&b);
        return false;
    }
    eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
              "%s holds no Ed25519, ECDSA or RSA key (2048 to 4096 bits) that "
              "can be read", name);
    eice_copy_text(e->remedy, sizeof e->remedy,
                   eice_str_c("ssh-keygen -t ed25519 makes a key"));
    return false;
}

/* RFC 5656 3.1.2: two numbers. */
EICEI_PRIVATE ptrdiff_t eicei_user_key_ecdsa_sign(eice_user_key *k,
                                                  eice_str data, uint8_t *sig,
                                                  size_t cap)
{
    uint8_t raw[2 * EICE_EC_MAX];
    const size_t half = eice_ec_sign(&k->ec, data, raw) / 2;
    eice_buf b;
    size_t i;

    eice_buf_init(&b, sig, cap);
    for (i = 0; i < 2 && half > 0; i++) {
        eicei_key_put_number(&b, raw + i * half, half);
    }
    return half > 0 && !b.overflow ? (ptrdiff_t)b.len : -1;
}

EICE_API ptrdiff_t eice_user_key_sign(void *user, eice_str algorithm,
                                      eice_str data, uint8_t *sig, size_t cap)
{
    eice_user_key *k = (eice_user_key *)user;
    const bool sha512 = eice_str_is(algorithm, "rsa-sha2-512");
    size_t n;

    if (k->kind == EICE_KEY_ED25519) {
        if (cap < 64 || !eice_str_is(algorithm, EICEI_KEY_ED25519)) {
            return -1;
        }
        eice_ed25519_sign(sig, k->seed, k->public_key, data.ptr, data.len);
        return 64;
    }
    if (k->kind == EICE_KEY_ECDSA) {
        return eice_str_eq(algorithm, eice_key_type(k->blob, k->blob_len))
                   ? eicei_user_key_ecdsa_sign(k, data, sig, cap)
                   : -1;
    }
    if (cap < EICE_RSA_MAX
        || (!sha512 && !eice_str_is(algorithm, "rsa-sha2-256"))) {
        return -1;
    }
    n = eice_rsa_sign(&k->rsa, sha512, data, sig);
    return n > 0 ? (ptrdiff_t)n : -1;
}

/* ======================================================================== *
 * 12 TLS                                                            >>tls  *
 * ======================================================================== */

/* Purpose: BearSSL's client engine behind the flags and pairs of this library.
 * Level: engine; calls 2, 3. The only place that names BearSSL's TLS.
 * Trusts: the options. Distrusts: every byte of the peer (BearSSL's business)
 * and PEM texts.
 * Memory: the caller's struct and buffers. BearSSL keeps pointers into all of
 * them, so nothing may move.
 * Invariants: the error and `done` never go back; eicei_tls_settle runs after
 * whatever may have changed the engine's state.
 * Sources: RFC 5246, 5288, 7905, 8422; the comments of bearssl_ssl.h. */

/* What is in eice_tls.priv. */
typedef struct eicei_tls {
    br_ssl_client_context cc;
    int64_t unix_s;
    uint8_t host_tag[8];    /* of the name, for sessions */
    uint8_t offered[33];    /* session ID that was offered, and its length */
    bool open;              /* handshake complete */
    bool closing;           /* we closed */
    bool ended;             /* the transport ended */
    bool done;
} eicei_tls;

EICEI_ASSERT_FITS(tls, sizeof(eicei_tls), EICE_TLS_BYTES);
EICEI_ASSERT_FITS(x509, sizeof(br_x509_minimal_context), EICE_TLS_X509_BYTES);
EICEI_ASSERT_FITS(session, sizeof(br_ssl_session_parameters) + 8,
                  sizeof(((eice_tls_session *)0)->bytes));

/* ---- trust ------------------------------------------------------------- */

/* A root: 0 for RSA (its exponent is 65537) or the number of the curve; the
 * subject in DER and the modulus or point, in base64. */
typedef struct eicei_tls_root {
    int curve;
    const char *subject;
    const char *key;
} eicei_tls_root;

/* Made by tools/anchors/gen from Debian's ca-certificates: do not edit. */
static const eicei_tls_root eicei_tls_roots[] = {
    /* Amazon Root CA 1 */
    {0,
     "MDkxCzAJBgNVBAYTAlVTMQ8wDQYDVQQKEwZBbWF6b24xGTAXBgNVBAMTEEFtYXpvbiBSb2"
     "90IENBIDE=",
     "sniAccp41eNxr0eAUHR9btjXiHb0mWj3WCFg+XSEAS+sAi2G06BDek6ypNA2ugG+jdtIyA"
     "cXNkz07ogjxz7rN/W1GfhJaLDe17l2OB1hnqT+gjal5UpW5EXh+f20Fvp02pybNTkv+rAg"
     "UAZsetCAsqb5r+xHGY9QOAfcooc5WPi61an5SGcwlu6UeF5viaNRwDCGZqFFZrpU66PDkf"
     "lI3P/R6DAtfS10cDXXiCT3nsRZbrtzhxfyMkYouEP6tx2qyrTynyQOLUv3cVxeaf/qlQLL"
     "OIquUDhv2/stYhvFxx5U4XfgZ8gPnIcj1j9AIH8ggMSATD47JCaOBK5smsiqDQ=="},
    /* Amazon Root CA 2 */
    {0,
     "MDkxCzAJBgNVBAYTAlVTMQ8wDQYDVQQKEwZBbWF6b24xGTAXBgNVBAMTEEFtYXpvbiBSb2"
     "90IENBIDI=",
     "rZafLZxKTEqBeVGZ7IrLa2BRE7xNbQb8sAiN3RkQascmDDXYwG8ghOmUsZuFA8Nb20royP"
     "iQdtlbT+NM6AY2TcyarD0MkCuS1AYZYKw3RHmFgYKtWjfgDcydpkxSdupDnbcE0VD2VeDV"
     "0qZJhek36cp+rlyVTUiaP64gWm2Ildk0uFIaQ5Cwv2wFubZ4t+rQ5Do8ElNi/0rye741Ba"
     "kSNOPzZHRiLD0ASVoo/jJEu4fdZScCcTvaSvcf2s33IVWQTw/sroLhn2vZRdO78F+H7Tws"
     "OYbaP97sclXreaOt2918sLoczvzeTzV2zw/4eB9qNlFGJ2Fb6Z7P8KJVfXwlim8vtMXPhC"
     "4r/Q1REGz7Xxu8G37FrjuYATGS/wtX9JqyuVfpq+8NdtHw7vTOhqfgbum0aaHfafYzxmku"
     "lxOepYewVxCBN8lTs7t/9pLRnNAY9JJu2oNPpmOZTKX7Xu8hZHogX2xkhRXLN+liDAsqFt"
     "wBLjLaPkv1njr2F0CU756RCIb6vmOoWjPsy3RDlflsaVI2xylv/FUDXB/7n71H6+dJR5UL"
     "TokiCUng9WEe8b8uinJugFn/Vzr5dTKjTl/s7Shi2U1z8syBF2Dtzevc26fKxX4CvfJUCF"
     "T9tC0JLBdUSpjRVOFRZwjS7W5+bz/SLYFZKWbLkDmVER50J/7d668="},
    /* Amazon Root CA 3 */
    {BR_EC_secp256r1,
     "MDkxCzAJBgNVBAYTAlVTMQ8wDQYDVQQKEwZBbWF6b24xGTAXBgNVBAMTEEFtYXpvbiBSb2"
     "90IENBIDM=",
     "BCmXp8ZBf8ANm+gBG1bG8lKlui2yEujSLtf6ycXYqm0fc4E7O5hrOXwzpcVOho6AF2hiRV"
     "d9RFgdszflZwjrZt4="},
    /* Amazon Root CA 4 */
    {BR_EC_secp384r1,
     "MDkxCzAJBgNVBAYTAlVTMQ8wDQYDVQQKEwZBbWF6b24xGTAXBgNVBAMTEEFtYXpvbiBSb2"
     "90IENBIDQ=",
     "BNKrijdPo1MN/sGKe0uoe0ZLY7Bi9i0b2whxIdIA6GO9mif78DluXeo9pcmBqqNbIJhFXR"
     "bb/egQbeOc4OO9X4Ri83BkM6DLJC9wuoihKqB1+IGuYgbEgds5bimwHvouXA=="},
    /* Starfield Services Root Certificate Authority - G2 */
    {0,
     "MIGYMQswCQYDVQQGEwJVUzEQMA4GA1UECBMHQXJpem9uYTETMBEGA1UEBxMKU2NvdHRzZG"
     "FsZTElMCMGA1UEChMcU3RhcmZpZWxkIFRlY2hub2xvZ2llcywgSW5jLjE7MDkGA1UEAxMy"
     "U3RhcmZpZWxkIFNlcnZpY2VzIFJvb3QgQ2VydGlmaWNhdGUgQXV0aG9yaXR5IC0gRzI=",
     "1Qw6xCr5TuL1vhmXX46IU7EfP8vPnyATbSk6yA99PPdrdjhj2TZgqJteXACAsi9Zf/aH+S"
     "VDhudpG1KakOFx49gtDU5v9shJ2bbzGlauK7Z0FOvP+ybjGrodli5qO1iUiUdW/yWgk3BT"
     "g9qEdBTDZ54EaDrfjkBaHUpOz0ORO+dW1gBwy1Lue32uOue8MflF9sJgzxNZAiuAzDRH37"
     "nekGVtAs8skaam596FGEl8Zk6jOm2pte40LroNA7gz30frsWuNJdmbzoHRRUYylnCH3gIO"
     "SUOFtmxzu2TqYUGsydRU34cvxyKyJsyfWVRon/y+Ki/EVRx1QGAXhQJVOYt/BQ=="},
};
/* End of what tools/anchors/gen made. */

/* memory: | anchors --> |      free      | <-- names and keys |
 *         0             front           back                 cap */
EICEI_PRIVATE size_t eicei_tls_trust_front(const eice_trust *t)
{
    return t->count * sizeof(br_x509_trust_anchor);
}

/* The free room behind the place of the next anchor, and its size. */
EICEI_PRIVATE size_t eicei_tls_trust_room(const eice_trust *t, uint8_t **p)
{
    const size_t front =
        eicei_tls_trust_front(t) + sizeof(br_x509_trust_anchor);
    const size_t back = t->cap - t->data;

    *p = t->memory + front;
    return front < back ? back - front : 0;
}

EICEI_PRIVATE br_x509_trust_anchor *eicei_tls_anchors(const eice_trust *t)
{
    return (br_x509_trust_anchor *)(void *)t->memory;
}

EICE_API void eice_trust_init(eice_trust *t, void *memory, size_t cap)
{
    memset(t, 0, sizeof *t);
    t->memory = (uint8_t *)memory;
    t->cap = cap;
}

/* What an anchor is made of; `exponent` is empty for EC keys. */
typedef struct eicei_tls_ca {
    eice_str subject; /* DER, the whole element */
    int curve;        /* 0: RSA */
    eice_str key;     /* modulus without leading zeros, or point */
    eice_str exponent;
    bool ca;
} eicei_tls_ca;

EICEI_PRIVATE uint8_t *eicei_tls_trust_copy(eice_trust *t, eice_str s)
{
    uint8_t *const to = t->memory + t->cap - t->data - s.len;

    memcpy(to, s.ptr, s.len);
    t->data += s.len;
    return to;
}

/* Adds an anchor; the first `used` bytes of the free room, which may hold its
 * parts, are not written to. False without room. */
EICEI_PRIVATE bool eicei_tls_trust_put(eice_trust *t, const eicei_tls_ca *c,
                                       size_t used)
{
    br_x509_trust_anchor *const a = eicei_tls_anchors(t) + t->count;
    br_x509_pkey *const key = &a->pkey;
    uint8_t *p;

    if (eicei_tls_trust_room(t, &p)
        < used + c->subject.len + c->key.len + c->exponent.len) {
        return false;
    }
    memset(a, 0, sizeof *a);
    a->dn.data = eicei_tls_trust_copy(t, c->subject);
    a->dn.len = c->subject.len;
    a->flags = c->ca ? BR_X509_TA_CA : 0;
    if (c->curve == 0) {
        key->key_type = BR_KEYTYPE_RSA;
        key->key.rsa.n = eicei_tls_trust_copy(t, c->key);
        key->key.rsa.nlen = c->key.len;
        key->key.rsa.e = eicei_tls_trust_copy(t, c->exponent);
        key->key.rsa.elen = c->exponent.len;
    } else {
        key->key_type = BR_KEYTYPE_EC;
        key->key.ec.curve = c->curve;
        key->key.ec.q = eicei_tls_trust_copy(t, c->key);
        key->key.ec.qlen = c->key.len;
    }
    t->count++;
    return true;
}

EICEI_PRIVATE bool eicei_tls_trust_root(eice_trust *t,
                                        const eicei_tls_root *root)
{
    uint8_t *p;
    const size_t room = eicei_tls_trust_room(t, &p);
    const ptrdiff_t subject =
        eice_base64_decode(eice_str_c(root->subject), p, room);
    ptrdiff_t key;
    eicei_tls_ca c;

    if (subject < 0) {
        return false;
    }
    key = eice_base64_decode(eice_str_c(root->key), p + subject,
                             room - (size_t)subject);
    if (key < 0) {
        return false;
    }
    memset(&c, 0, sizeof c);
    c.subject = eice_str_make(p, (size_t)subject);
    c.curve = root->curve;
    c.key = eice_str_make(p + subject, (size_t)key);
    if (c.curve == 0) {
        c.exponent = eice_str_make("\1\0\1", 3);
    }
    c.ca = true;
    return eicei_tls_trust_put(t, &c, (size_t)(subject + key));
}

EICE_API eice_err eice_trust_add_builtin(eice_trust *t)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(eicei_tls_roots); i++) {
        if (!eicei_tls_trust_root(t, &eicei_tls_roots[i])) {
            return EICE_E_LIMIT;
        }
    }
    return EICE_OK;
}

/* ---- certificates of the trust ----------------------------------------- */

/* Only subject, key and the CA flag are wanted of a certificate that is
 * trusted anyway: a walk over its DER takes a hundredth of the time of
 * BearSSL's decoder, which for a whole bundle is most of a start. */

#define EICEI_DER_BOOLEAN 0x01u
#define EICEI_DER_INTEGER 0x02u
#define EICEI_DER_BITS 0x03u
#define EICEI_DER_OCTETS 0x04u
#define EICEI_DER_OID 0x06u
#define EICEI_DER_SEQUENCE 0x30u
#define EICEI_DER_VERSION 0xa0u    /* [0] of TBSCertificate, RFC 5280 4.1 */
#define EICEI_DER_EXTENSIONS 0xa3u /* [3] */

/* The tag of the next element, 0 at the end. */
EICEI_PRIVATE unsigned eicei_der_tag(eice_str rest)
{
    return rest.len > 0 ? (unsigned char)rest.ptr[0] : 0;
}

/* Cuts the next element off, which must have this tag; `inner` becomes its
 * contents. Lengths of three bytes at most: 16 MiB. */
EICEI_PRIVATE bool eicei_der_next(eice_str *rest, unsigned tag,
                                  eice_str *inner)
{
    const uint8_t *const p = (const uint8_t *)(const void *)rest->ptr;
    size_t head = 2;
    size_t len;

    if (rest->len < head || p[0] != tag) {
        return false;
    }
    len = p[1];
    if (len >= 0x80) {
        const size_t more = len - 0x80;
        size_t i;

        if (more < 1 || more > 3 || rest->len < head + more) {
            return false;
        }
        len = 0;
        for (i = 0; i < more; i++) {
            len = len << 8 | p[head + i];
        }
        head += more;
    }
    if (len > rest->len - head) {
        return false;
    }
    *inner = eice_str_make(rest->ptr + head, len);
    *rest = eice_str_make(rest->ptr + head + len, rest->len - head - len);
    return true;
}

EICEI_PRIVATE bool eicei_der_skip(eice_str *rest, unsigned tag)
{
    eice_str ignored;

    return eicei_der_next(rest, tag, &ignored);
}

/* A positive INTEGER without leading zeros. */
EICEI_PRIVATE bool eicei_der_number(eice_str *rest, eice_str *number)
{
    if (!eicei_der_next(rest, EICEI_DER_INTEGER, number)) {
        return false;
    }
    while (number->len > 0 && number->ptr[0] == 0) {
        number->ptr++;
        number->len--;
    }
    return number->len > 0;
}

/* Object identifiers, DER contents: RFC 3279 2.3.1, RFC 5480 2.1.1. */
static const struct {
    const char *oid;
    size_t oid_len;
    int curve;
    size_t point_len;
} eicei_tls_curves[] = {
    {"\x2a\x86\x48\xce\x3d\x03\x01\x07", 8, BR_EC_secp256r1, 65},
    {"\x2b\x81\x04\x00\x22", 5, BR_EC_secp384r1, 97},
    {"\x2b\x81\x04\x00\x23", 5, BR_EC_secp521r1, 133}
};

EICEI_PRIVATE bool eicei_tls_read_rsa(eice_str bits, eicei_tls_ca *c)
{
    eice_str key;

    c->curve = 0;
    return eicei_der_next(&bits, EICEI_DER_SEQUENCE, &key)
           && eicei_der_number(&key, &c->key)
           && eicei_der_number(&key, &c->exponent);
}

EICEI_PRIVATE bool eicei_tls_read_ec(eice_str params, eice_str bits,
                                     eicei_tls_ca *c)
{
    eice_str oid;
    size_t i;

    if (!eicei_der_next(&params, EICEI_DER_OID, &oid)) {
        return false;
    }
    for (i = 0; i < EICEI_LEN(eicei_tls_curves); i++) {
        if (eice_str_eq(oid, eice_str_make(eicei_tls_curves[i].oid,
                                           eicei_tls_curves[i].oid_len))) {
            c->curve = eicei_tls_curves[i].curve;
            c->key = bits;
            c->exponent = eice_str_c("");
            return bits.len == eicei_tls_curves[i].point_len
                   && bits.ptr[0] == 4;
        }
    }
    return false;
}

/* SubjectPublicKeyInfo, RFC 5280 4.1.2.7. */
EICEI_PRIVATE bool eicei_tls_read_key(eice_str info, eicei_tls_ca *c)
{
    const eice_str rsa =
        eice_str_make("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9);
    const eice_str ec = eice_str_make("\x2a\x86\x48\xce\x3d\x02\x01", 7);
    eice_str algorithm;
    eice_str oid;
    eice_str bits;

    if (!eicei_der_next(&info, EICEI_DER_SEQUENCE, &algorithm)
        || !eicei_der_next(&algorithm, EICEI_DER_OID, &oid)
        || !eicei_der_next(&info, EICEI_DER_BITS, &bits)
        || bits.len < 2 || bits.ptr[0] != 0) {
        return false;
    }
    bits = eice_str_make(bits.ptr + 1, bits.len - 1);
    if (eice_str_eq(oid, rsa)) {
        return eicei_tls_read_rsa(bits, c);
    }
    return eice_str_eq(oid, ec) && eicei_tls_read_ec(algorithm, bits, c);
}

/* True when basicConstraints says CA (RFC 5280 4.2.1.9). */
EICEI_PRIVATE bool eicei_tls_read_ca(eice_str extensions)
{
    const eice_str constraints = eice_str_make("\x55\x1d\x13", 3);
    eice_str list;
    eice_str one;
    eice_str oid;
    eice_str value;
    eice_str flag;

    if (!eicei_der_next(&extensions, EICEI_DER_SEQUENCE, &list)) {
        return false;
    }
    while (eicei_der_next(&list, EICEI_DER_SEQUENCE, &one)) {
        if (!eicei_der_next(&one, EICEI_DER_OID, &oid)
            || !eice_str_eq(oid, constraints)) {
            continue;
        }
        (void)eicei_der_skip(&one, EICEI_DER_BOOLEAN); /* critical */
        return eicei_der_next(&one, EICEI_DER_OCTETS, &value)
               && eicei_der_next(&value, EICEI_DER_SEQUENCE, &one)
               && eicei_der_next(&one, EICEI_DER_BOOLEAN, &flag)
               && flag.len == 1 && flag.ptr[0] != 0;
    }
    return false;
}

/* Certificate, RFC 5280 4.1. */
EICEI_PRIVATE bool eicei_tls_read_cert(eice_str der, eicei_tls_ca *c)
{
    eice_str cert;
    eice_str tbs;
    eice_str info;
    eice_str extensions;
    const char *subject;

    memset(c, 0, sizeof *c);
    if (!eicei_der_next(&der, EICEI_DER_SEQUENCE, &cert)
        || !eicei_der_next(&cert, EICEI_DER_SEQUENCE, &tbs)) {
        return false;
    }
    (void)eicei_der_skip(&tbs, EICEI_DER_VERSION);
    if (!eicei_der_skip(&tbs, EICEI_DER_INTEGER)      /* serial number */
        || !eicei_der_skip(&tbs, EICEI_DER_SEQUENCE)  /* algorithm */
        || !eicei_der_skip(&tbs, EICEI_DER_SEQUENCE)  /* issuer */
        || !eicei_der_skip(&tbs, EICEI_DER_SEQUENCE)) { /* validity */
        return false;
    }
    subject = tbs.ptr;
    if (!eicei_der_skip(&tbs, EICEI_DER_SEQUENCE)) {
        return false;
    }
    c->subject = eice_str_make(subject, (size_t)(tbs.ptr - subject));
    if (!eicei_der_next(&tbs, EICEI_DER_SEQUENCE, &info)
        || !eicei_tls_read_key(info, c)) {
        return false;
    }
    /* Unique identifiers [1] and [2] may come in between. */
    while (tbs.len > 0 && eicei_der_tag(tbs) != EICEI_DER_EXTENSIONS
           && eicei_der_skip(&tbs, eicei_der_tag(tbs))) {
    }
    c->ca = eicei_der_next(&tbs, EICEI_DER_EXTENSIONS, &extensions)
            && eicei_tls_read_ca(extensions);
    return true;
}

/* The base64 text between the next BEGIN and END lines of a certificate;
 * false at the end. Without its END line the text is empty. */
EICEI_PRIVATE bool eicei_tls_next_pem(eice_str *rest, eice_str *body)
{
    while (rest->len > 0) {
        const eice_str line = eice_str_trim(eice_str_cut(rest, '\n'));
        const char *const begin = rest->ptr;

        if (!eice_str_is(line, "-----BEGIN CERTIFICATE-----")
            && !eice_str_is(line, "-----BEGIN X509 CERTIFICATE-----")) {
            continue;
        }
        *body = eice_str_make(begin, 0);
        while (rest->len > 0 && !eice_str_starts(*rest, "-----")) {
            (void)eice_str_cut(rest, '\n');
        }
        if (eice_str_starts(*rest, "-----END ")) {
            *body = eice_str_make(begin, (size_t)(rest->ptr - begin));
        }
        return true;
    }
    return false;
}

EICE_API eice_err eice_trust_add_pem(eice_trust *t, const char *pem,
                                     size_t len)
{
    const size_t before = t->count;
    eice_str rest = eice_str_make(pem, len);
    eice_str body;

    while (eicei_tls_next_pem(&rest, &body)) {
        uint8_t *p;
        const size_t room = eicei_tls_trust_room(t, &p);
        ptrdiff_t n;
        eicei_tls_ca c;

        if (body.len / 4 * 3 + 3 > room) {
            return EICE_E_LIMIT;
        }
        n = eice_base64_decode(body, p, room);
        if (n < 0 || !eicei_tls_read_cert(eice_str_make(p, (size_t)n), &c)) {
            t->skipped++;
        } else if (!eicei_tls_trust_put(t, &c, (size_t)n)) {
            return EICE_E_LIMIT;
        }
    }
    return t->count > before ? EICE_OK : EICE_E_CONFIG;
}

/* ---- errors ------------------------------------------------------------ */

/* %S is the host. */
static const struct {
    int number;
    eice_err code;
    const char *text;
} eicei_tls_errors[] = {
    {BR_ERR_UNSUPPORTED_VERSION, EICE_E_TLS,
     "%S does not answer in TLS: a proxy or another service may be there"},
    {BR_ERR_BAD_VERSION, EICE_E_TLS, "%S does not speak TLS 1.2"},
    {BR_ERR_BAD_LENGTH, EICE_E_TLS, "%S sent a record of a wrong length"},
    {BR_ERR_TOO_LARGE, EICE_E_TLS, "%S sent a record that is too large"},
    {BR_ERR_BAD_MAC, EICE_E_TLS,
     "a record from %S was damaged or forged on the way"},
    {BR_ERR_BAD_CIPHER_SUITE, EICE_E_TLS,
     "%S chose a cipher suite that was not offered"},
    {BR_ERR_BAD_SECRENEG, EICE_E_TLS,
     "%S does not support secure renegotiation (RFC 5746)"},
    {BR_ERR_BAD_FINISHED, EICE_E_TLS,
     "the handshake with %S was changed on the way"},
    {BR_ERR_RESUME_MISMATCH, EICE_E_TLS,
     "%S resumed the session with other parameters"},
    {BR_ERR_INVALID_ALGORITHM, EICE_E_TLS,
     "%S signed or exchanged keys with an unsupported algorithm"},
    {BR_ERR_BAD_SIGNATURE, EICE_E_TLS,
     "%S sent a wrong signature in the handshake"},
    {BR_ERR_WRONG_KEY_USAGE, EICE_E_TLS,
     "the certificate of %S is not allowed for this use"},
    {BR_ERR_NO_CLIENT_AUTH, EICE_E_TLS, "%S demands a client certificate"},
    {BR_ERR_X509_EMPTY_CHAIN, EICE_E_TLS, "%S sent no certificate"},
    {BR_ERR_X509_UNSUPPORTED, EICE_E_TLS,
     "the certificate of %S uses an unsupported algorithm"},
    {BR_ERR_X509_LIMIT_EXCEEDED, EICE_E_TLS,
     "the certificate of %S has a key that is too large"},
    {BR_ERR_X509_WRONG_KEY_TYPE, EICE_E_TLS,
     "the certificate of %S has another kind of key than the cipher suite"},
    {BR_ERR_X509_BAD_SIGNATURE, EICE_E_TLS_UNTRUSTED,
     "a certificate of %S has a wrong signature"},
    {BR_ERR_X509_EXPIRED, EICE_E_TLS_EXPIRED,
     "a certificate of %S is expired or not yet valid"},
    {BR_ERR_X509_DN_MISMATCH, EICE_E_TLS_UNTRUSTED,
     "the certificates of %S do not form a chain"},
    {BR_ERR_X509_BAD_SERVER_NAME, EICE_E_TLS_NAME,
     "the certificate is not for %S"},
    {BR_ERR_X509_CRITICAL_EXTENSION, EICE_E_TLS,
     "the certificate of %S has a critical extension that is not understood"},
    {BR_ERR_X509_NOT_CA, EICE_E_TLS_UNTRUSTED,
     "a certificate of %S was signed by one that is no authority"},
    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, EICE_E_TLS,
     "the certificate of %S is not allowed for this use"},
    {BR_ERR_X509_WEAK_PUBLIC_KEY, EICE_E_TLS,
     "a certificate of %S has a key that is too short"},
    {BR_ERR_X509_NOT_TRUSTED, EICE_E_TLS_UNTRUSTED,
     "the certificate of %S comes from an unknown authority"}
};

/* RFC 5246 7.2, RFC 6066, RFC 7301: what the peer means by it. */
static const struct {
    int number;
    const char *text;
} eicei_tls_alerts[] = {
    {10, "unexpected message"},
    {20, "bad record MAC"},
    {22, "record overflow"},
    {40, "handshake failure: no cipher suite or curve in common"},
    {42, "bad certificate"},
    {43, "unsupported certificate"},
    {46, "certificate unknown"},
    {47, "illegal parameter"},
    {48, "unknown CA"},
    {49, "access denied"},
    {50, "decode error"},
    {51, "decrypt error"},
    {70, "protocol version: it does not speak TLS 1.2"},
    {71, "insufficient security"},
    {80, "internal error"},
    {86, "inappropriate fallback"},
    {90, "user canceled"},
    {100, "no renegotiation"},
    {109, "missing extension"},
    {112, "unrecognized name"},
    {116, "certificate required"}
};

EICEI_PRIVATE eicei_tls *eicei_tls_self(eice_tls *t)
{
    return (eicei_tls *)(void *)t->priv;
}

EICEI_PRIVATE const eicei_tls *eicei_tls_look(const eice_tls *t)
{
    return (const eicei_tls *)(const void *)t->priv;
}

EICEI_PRIVATE const char *eicei_tls_alert_text(int alert)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(eicei_tls_alerts); i++) {
        if (eicei_tls_alerts[i].number == alert) {
            return eicei_tls_alerts[i].text;
        }
    }
    return "an alert without a name";
}

EICEI_PRIVATE void eicei_tls_fail_alert(eice_tls *t, eice_str host, int alert)
{
    (void)eice_fail(&t->error, EICE_E_TLS, EICE_STAGE_TLS,
                    "%S refused: %s (alert %d)", &host,
                    eicei_tls_alert_text(alert), alert);
    t->error.detail_kind = EICE_DETAIL_ALERT;
    t->error.detail = alert;
}

/* The commonest cause of a wrong date is our own clock: it is named. */
EICEI_PRIVATE void eicei_tls_name_clock(eice_tls *t)
{
    char now[17];
    eice_buf b;

    eice_time_amz(eicei_tls_look(t)->unix_s, now);
    eice_buf_init(&b, t->error.text, sizeof t->error.text);
    b.len = strlen(t->error.text);
    eice_put_c(&b, "; the clock of this machine says ");
    eice_put(&b, eice_str_make(now, 4));
    eice_put_byte(&b, '-');
    eice_put(&b, eice_str_make(now + 4, 2));
    eice_put_byte(&b, '-');
    eice_put(&b, eice_str_make(now + 6, 2));
    (void)eice_buf_c(&b);
}

/* Makes an error of what stopped the engine. */
EICEI_PRIVATE void eicei_tls_fail(eice_tls *t, int number)
{
    const eicei_tls *const s = eicei_tls_look(t);
    const eice_str host = eice_str_c(s->cc.eng.server_name);
    size_t i;

    if (number > BR_ERR_RECV_FATAL_ALERT && number < BR_ERR_SEND_FATAL_ALERT) {
        eicei_tls_fail_alert(t, host, number - BR_ERR_RECV_FATAL_ALERT);
        return;
    }
    for (i = 0; i < EICEI_LEN(eicei_tls_errors); i++) {
        if (eicei_tls_errors[i].number == number) {
            (void)eice_fail(&t->error, eicei_tls_errors[i].code,
                            EICE_STAGE_TLS, eicei_tls_errors[i].text, &host);
        }
    }
    (void)eice_fail(&t->error, EICE_E_TLS, EICE_STAGE_TLS,
                    number >= BR_ERR_X509_INVALID_VALUE
                        ? "a certificate of %S is malformed (BearSSL %d)"
                        : "%S broke the protocol (BearSSL %d)",
                    &host, number);
    if (number == BR_ERR_X509_EXPIRED) {
        eicei_tls_name_clock(t);
    }
    t->error.detail_kind = EICE_DETAIL_BEARSSL;
    t->error.detail = number;
}

/* ---- set-up ------------------------------------------------------------ */

/* AES-GCM is the fastest where the processor helps, and the slowest where it
 * does not. AES-128 before AES-256: strong enough, and cheaper. */
EICEI_PRIVATE void eicei_tls_set_suites(br_ssl_engine_context *eng)
{
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    };

    br_ssl_engine_set_suites(eng, eice_fast_aes() ? suites : suites + 4, 6);
}

EICEI_PRIVATE void eicei_tls_set_ciphers(br_ssl_engine_context *eng)
{
    const br_poly1305_run poly = br_poly1305_ctmulq_get();

    br_ssl_engine_set_default_aes_gcm(eng);
    br_ssl_engine_set_chapol(eng, &br_sslrec_in_chapol_vtable,
                             &br_sslrec_out_chapol_vtable);
    /* Portable code: it was the faster one where SSE2 was there, too. */
    br_ssl_engine_set_chacha20(eng, br_chacha20_ct_run);
    br_ssl_engine_set_poly1305(eng, poly != 0 ? poly : br_poly1305_ctmul_run);
    br_ssl_engine_set_prf_sha256(eng, br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(eng, br_tls12_sha384_prf);
    br_ssl_engine_set_default_rsavrfy(eng);
    br_ssl_engine_set_ec(eng, br_ec_get_default());
    br_ssl_engine_set_ecdsa(eng, br_ecdsa_vrfy_asn1_get_default());
}

EICEI_PRIVATE void eicei_tls_set_hashes(br_ssl_engine_context *eng,
                                        br_x509_minimal_context *x)
{
    static const struct {
        int id;
        const br_hash_class *hash;
    } hashes[] = {
        {br_sha256_ID, &br_sha256_vtable},
        {br_sha384_ID, &br_sha384_vtable},
        {br_sha512_ID, &br_sha512_vtable}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(hashes); i++) {
        br_ssl_engine_set_hash(eng, hashes[i].id, hashes[i].hash);
        br_x509_minimal_set_hash(x, hashes[i].id, hashes[i].hash);
    }
}

EICEI_PRIVATE void eicei_tls_set_x509(br_ssl_engine_context *eng,
                                      const eice_tls_opts *o)
{
    br_x509_minimal_context *const x = (br_x509_minimal_context *)o->x509;
    const int64_t now = o->unix_s > 0 ? o->unix_s : 0;

    br_x509_minimal_init(x, &br_sha256_vtable, eicei_tls_anchors(o->trust),
                         o->trust->count);
    br_x509_minimal_set_rsa(x, br_ssl_engine_get_rsavrfy(eng));
    br_x509_minimal_set_ecdsa(x, br_ssl_engine_get_ec(eng),
                              br_ssl_engine_get_ecdsa(eng));
    eicei_tls_set_hashes(eng, x);
    /* Days since year 0; 1970-01-01 is day 719528. */
    br_x509_minimal_set_time(x, (uint32_t)(719528 + now / 86400),
                             (uint32_t)(now % 86400));
    br_ssl_engine_set_x509(eng, &x->vtable);
}

EICEI_PRIVATE void eicei_tls_set_random(br_ssl_engine_context *eng,
                                        eice_drbg *random)
{
    uint8_t seed[48];

    eice_drbg_generate(random, seed, sizeof seed);
    br_ssl_engine_inject_entropy(eng, seed, sizeof seed);
    eice_wipe(seed, sizeof seed);
    /* Otherwise BearSSL asks the system too, which is not ours to do here. */
    eng->rng_os_rand_done = 1;
}

EICEI_PRIVATE void eicei_tls_set_buffers(br_ssl_engine_context *eng,
                                         const eice_tls_opts *o)
{
    br_ssl_engine_set_buffers_bidi(eng, o->in, EICE_TLS_IN, o->out,
                                   o->out_len);
    /* BearSSL derives the largest fragment from the smaller buffer and would
     * ask the server to send small records only (RFC 6066 4). */
    eng->max_frag_len = 16384;
    eng->log_max_frag_len = 14;
}

EICEI_PRIVATE bool eicei_tls_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

EICEI_PRIVATE eice_err eicei_tls_check_host(eice_tls *t, eice_str host)
{
    eice_ip ip;
    size_t i;

    if (eice_ip_parse(host, &ip)) {
        return eice_fail(&t->error, EICE_E_TLS_NAME, EICE_STAGE_TLS,
                         "%S is an IP address: certificates are checked "
                         "against DNS names only, use the host's name", &host);
    }
    for (i = 0; i < host.len && eicei_tls_host_char(host.ptr[i]); i++) {
        if (host.ptr[i] == '.' && (i == 0 || host.ptr[i - 1] == '.')) {
            break; /* an empty label */
        }
    }
    if (i < host.len || host.len == 0 || host.len > 253) {
        return eice_fail(&t->error, EICE_E_TLS_NAME, EICE_STAGE_TLS,
                         "\"%S\" is not a DNS name", &host);
    }
    return EICE_OK;
}

EICEI_PRIVATE void eicei_tls_tag(eice_str host, uint8_t tag[8])
{
    uint8_t hash[32];

    eice_sha256(hash, host.ptr, host.len);
    memcpy(tag, hash, 8);
}

/* True when there is a session of this host to offer. */
EICEI_PRIVATE bool eicei_tls_offer(eicei_tls *s, const eice_tls_session *saved)
{
    br_ssl_session_parameters p;

    if (saved == NULL || saved->len != sizeof p + sizeof s->host_tag
        || memcmp(saved->bytes + sizeof p, s->host_tag, sizeof s->host_tag)
               != 0) {
        return false;
    }
    memcpy(&p, saved->bytes, sizeof p);
    if (p.session_id_len == 0 || p.session_id_len > 32) {
        eice_wipe(&p, sizeof p);
        return false;
    }
    br_ssl_engine_set_session_parameters(&s->cc.eng, &p);
    memcpy(s->offered, p.session_id, p.session_id_len);
    s->offered[32] = p.session_id_len;
    eice_wipe(&p, sizeof p);
    return true;
}

/* ---- running ----------------------------------------------------------- */

EICEI_PRIVATE void eicei_tls_opened(eicei_tls *s)
{
    const br_ssl_session_parameters *const p = &s->cc.eng.session;

    s->open = true;
    /* RFC 5246 7.4.1.3: the server answers with the ID it resumes. */
    if (s->offered[32] == 0 || p->session_id_len != s->offered[32]
        || memcmp(p->session_id, s->offered, s->offered[32]) != 0) {
        s->offered[32] = 0;
    }
}

/* Takes notice of what became of the engine. */
EICEI_PRIVATE void eicei_tls_settle(eice_tls *t)
{
    eicei_tls *const s = eicei_tls_self(t);
    const unsigned br = br_ssl_engine_current_state(&s->cc.eng);
    const int number = br_ssl_engine_last_error(&s->cc.eng);

    if (s->done) {
        return;
    }
    if (br == BR_SSL_CLOSED) {
        s->done = true;
        if (number != BR_ERR_OK && !s->closing) {
            eicei_tls_fail(t, number);
        }
    } else if (!s->open && (br & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) != 0) {
        eicei_tls_opened(s);
    }
    if (s->closing && (s->ended || (br & BR_SSL_SENDREC) == 0)) {
        s->done = true;
    }
    if (s->ended && (br & BR_SSL_RECVAPP) == 0) {
        s->done = true;
    }
}

EICEI_PRIVATE eice_err eicei_tls_check(eice_tls *t, const eice_tls_opts *o)
{
    if (o->trust == NULL || o->random == NULL || o->in == NULL
        || o->out == NULL || o->x509 == NULL
        || o->out_len < EICE_TLS_OUT_MIN) {
        return eice_fail(&t->error, EICE_E_ARGUMENT, EICE_STAGE_TLS,
                         "TLS needs trust, random, in, out (%u bytes at "
                         "least) and x509", (unsigned)EICE_TLS_OUT_MIN);
    }
    return eicei_tls_check_host(t, o->host);
}

EICE_API eice_err eice_tls_init(eice_tls *t, const eice_tls_opts *o)
{
    eicei_tls *const s = eicei_tls_self(t);
    br_ssl_engine_context *const eng = &s->cc.eng;
    eice_str host = o->host;
    char name[256];
    bool resume;

    memset(t, 0, sizeof *t);
    /* RFC 6066 3: without the trailing dot. */
    if (host.len > 1 && host.ptr[host.len - 1] == '.') {
        host.len--;
    }
    s->done = true;
    if (eicei_tls_check(t, o) != EICE_OK) {
        return t->error.code;
    }
    s->done = false;
    s->unix_s = o->unix_s;
    eicei_tls_tag(host, s->host_tag);
    memcpy(name, host.ptr, host.len);
    name[host.len] = 0;
    br_ssl_client_zero(&s->cc);
    br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_all_flags(eng, BR_OPT_NO_RENEGOTIATION);
    eicei_tls_set_suites(eng);
    eicei_tls_set_ciphers(eng);
    eicei_tls_set_x509(eng, o);
    eicei_tls_set_buffers(eng, o);
    eicei_tls_set_random(eng, o->random);
    resume = eicei_tls_offer(s, o->session);
    (void)br_ssl_client_reset(&s->cc, name, resume);
    eicei_tls_settle(t);
    return t->error.code;
}

EICE_API unsigned eice_tls_state(const eice_tls *t)
{
    static const unsigned flags[][2] = {
        {BR_SSL_SENDREC, EICE_WANT_WRITE},
        {BR_SSL_RECVREC, EICE_WANT_READ},
        {BR_SSL_SENDAPP, EICE_CAN_SEND},
        {BR_SSL_RECVAPP, EICE_HAVE_DATA}
    };
    const eicei_tls *const s = eicei_tls_look(t);
    unsigned br;
    unsigned state;
    size_t i;

    if (s->done) {
        return EICE_DONE;
    }
    br = br_ssl_engine_current_state(&s->cc.eng);
    if (s->ended) {
        br &= BR_SSL_RECVAPP;
    }
    if (s->closing) {
        br &= BR_SSL_SENDREC;
    }
    state = s->open ? EICE_OPEN : 0;
    for (i = 0; i < EICEI_LEN(flags); i++) {
        state |= (br & flags[i][0]) != 0 ? flags[i][1] : 0;
    }
    return state;
}

EICE_API size_t eice_tls_net_out(eice_tls *t, const uint8_t **p)
{
    size_t len = 0;

    *p = NULL;
    if ((eice_tls_state(t) & EICE_WANT_WRITE) != 0) {
        *p = br_ssl_engine_sendrec_buf(&eicei_tls_self(t)->cc.eng, &len);
    }
    return len;
}

EICE_API void eice_tls_net_out_ack(eice_tls *t, size_t n)
{
    br_ssl_engine_sendrec_ack(&eicei_tls_self(t)->cc.eng, n);
    eicei_tls_settle(t);
}

EICE_API size_t eice_tls_net_in(eice_tls *t, uint8_t **p)
{
    size_t len = 0;

    *p = NULL;
    if ((eice_tls_state(t) & EICE_WANT_READ) != 0) {
        *p = br_ssl_engine_recvrec_buf(&eicei_tls_self(t)->cc.eng, &len);
    }
    return len;
}

EICE_API void eice_tls_net_in_ack(eice_tls *t, size_t n)
{
    if (n > 0) {
        br_ssl_engine_recvrec_ack(&eicei_tls_self(t)->cc.eng, n);
        eicei_tls_settle(t);
    }
}

EICE_API size_t eice_tls_app_in(eice_tls *t, uint8_t **p)
{
    size_t len = 0;

    *p = NULL;
    if ((eice_tls_state(t) & EICE_CAN_SEND) != 0) {
        *p = br_ssl_engine_sendapp_buf(&eicei_tls_self(t)->cc.eng, &len);
    }
    return len;
}

EICE_API void eice_tls_app_in_ack(eice_tls *t, size_t n)
{
    br_ssl_engine_sendapp_ack(&eicei_tls_self(t)->cc.eng, n);
}

EICE_API size_t eice_tls_app_out(eice_tls *t, uint8_t **p)
{
    size_t len = 0;

    *p = NULL;
    if ((eice_tls_state(t) & EICE_HAVE_DATA) != 0) {
        *p = br_ssl_engine_recvapp_buf(&eicei_tls_self(t)->cc.eng, &len);
    }
    return len;
}

EICE_API void eice_tls_app_out_ack(eice_tls *t, size_t n)
{
    if (n > 0) {
        br_ssl_engine_recvapp_ack(&eicei_tls_self(t)->cc.eng, n);
        eicei_tls_settle(t);
    }
}

EICE_API void eice_tls_flush(eice_tls *t)
{
    if (!eicei_tls_look(t)->done) {
        br_ssl_engine_flush(&eicei_tls_self(t)->cc.eng, 0);
    }
}

EICE_API void eice_tls_close(eice_tls *t)
{
    eicei_tls *const s = eicei_tls_self(t);

    if (s->done || s->closing) {
        return;
    }
    s->closing = true;
    if (s->open && !s->ended) {
        br_ssl_engine_close(&s->cc.eng);
        eicei_tls_settle(t);
    } else {
        s->done = true;
    }
}

EICE_API void eice_tls_eof(eice_tls *t)
{
    eicei_tls *const s = eicei_tls_self(t);
    const eice_str host = eice_str_c(s->cc.eng.server_name);

    if (s->done) {
        return;
    }
    s->ended = true;
    if (!s->open) {
        (void)eice_fail(&t->error, EICE_E_NET_RESET, EICE_STAGE_TLS,
                        "%S closed the connection in the TLS handshake",
                        &host);
    }
    eicei_tls_settle(t);
}

EICE_API void eice_tls_session_save(const eice_tls *t, eice_tls_session *s)
{
    const eicei_tls *const e = eicei_tls_look(t);
    br_ssl_session_parameters p;

    memset(s, 0, sizeof *s);
    br_ssl_engine_get_session_parameters(&e->cc.eng, &p);
    if (e->open && p.session_id_len > 0) {
        memcpy(s->bytes, &p, sizeof p);
        memcpy(s->bytes + sizeof p, e->host_tag, sizeof e->host_tag);
        s->len = sizeof p + sizeof e->host_tag;
    }
    eice_wipe(&p, sizeof p);
}

EICE_API bool eice_tls_resumed(const eice_tls *t)
{
    const eicei_tls *const s = eicei_tls_look(t);

    return s->open && s->offered[32] != 0;
}

EICE_API void eice_tls_wipe(eice_tls *t)
{
    eice_wipe(t->priv, sizeof t->priv);
    eicei_tls_self(t)->done = true;
}

/* ======================================================================== *
 * 13 TUNNEL                                                      >>tunnel  *
 * ======================================================================== */

/* Purpose: the bytes of a TCP connection to an instance, through openTunnel.
 * Level: engine; calls 2, 3, 5, 6, 8, 9, 12.
 * Trusts: the options. Distrusts: every byte of the endpoint and the target.
 * Memory: the caller's struct; priv.u holds what the phase needs and is wiped
 * between phases (the presigned URL is a secret).
 * Invariants: after every public call eicei_tunnel_run has gone as far as it
 * can, so that the state is only read off. A frame is written to TLS as a
 * whole and flushed: app_in is either empty or a whole record. `pending` > 0:
 * the front of TLS's app_out is payload for the application.
 * Sources: RFC 6455; the AWS CLI's behaviour towards openTunnel. */

#define EICEI_TUNNEL_LINGER_MS 1000u
#define EICEI_TUNNEL_PONG_MS 20000u
#define EICEI_TUNNEL_FRAME_HEAD 8u /* of frames of 126 to 65535 bytes */
#define EICEI_TUNNEL_BODY_MAX 65536u
#define EICEI_TUNNEL_SKEW_S 30

EICEI_ASSERT_FITS(tunnel, sizeof(eice_tunnel), EICE_TUNNEL_BYTES);

/* ---- ends -------------------------------------------------------------- */

EICEI_PRIVATE void eicei_tunnel_control(eice_tunnel *t, eice_ws_op op,
                                        eice_str payload)
{
    if (t->priv.u.frames.control_op == EICE_WS_CLOSE) {
        return;
    }
    t->priv.u.frames.control_op = op;
    t->priv.u.frames.control_len = (uint8_t)payload.len;
    if (payload.len > 0) {
        memcpy(t->priv.u.frames.control, payload.ptr, payload.len);
    }
}

/* Ends the tunnel, with a Close of this code (0: without) if it was open. */
EICEI_PRIVATE void eicei_tunnel_stop(eice_tunnel *t, unsigned code)
{
    uint8_t payload[125];

    if (t->phase >= EICE_TUNNEL_CLOSING) {
        return;
    }
    t->priv.pending = 0;
    t->priv.since_ms = t->priv.now_ms;
    if (t->priv.o.direct) {
        t->phase = EICE_TUNNEL_CLOSING;
        return;
    }
    if (t->phase == EICE_TUNNEL_OPEN) {
        const size_t len =
            code != 0 ? eice_ws_close(payload, code, eice_str_c("")) : 0;

        eicei_tunnel_control(t, EICE_WS_CLOSE, eice_str_make(payload, len));
    } else {
        eice_wipe(&t->priv.u, sizeof t->priv.u);
    }
    t->phase = EICE_TUNNEL_CLOSING;
}

EICEI_PRIVATE eice_stage eicei_tunnel_stage(const eice_tunnel *t)
{
    static const eice_stage stages[] = {
        EICE_STAGE_TLS,     EICE_STAGE_UPGRADE, EICE_STAGE_UPGRADE,
        EICE_STAGE_UPGRADE, EICE_STAGE_TUNNEL,  EICE_STAGE_TUNNEL,
        EICE_STAGE_TUNNEL};

    return stages[t->phase];
}

/* eice_fail at the stage of the phase, with what is known about the request;
 * the caller then ends the tunnel. */
EICEI_PRIVATE void eicei_tunnel_error(eice_tunnel *t, eice_err code,
                                      const char *format, ...)
{
    char text[sizeof t->error.text];
    const bool first = t->error.code == EICE_OK;
    eice_str s;
    eice_buf b;
    va_list args;

    eice_buf_init(&b, text, sizeof text);
    va_start(args, format);
    eice_putv(&b, format, args);
    va_end(args);
    s = eice_buf_str(&b);
    (void)eice_fail(&t->error, code, eicei_tunnel_stage(t), "%S", &s);
    if (first) {
        eice_copy_text(t->error.request_id, sizeof t->error.request_id,
                       eice_str_c(t->request_id));
    }
}

/* True when the time limit of the tunnel is (about) up: whatever ends it now,
 * ends it for that. */
EICEI_PRIVATE bool eicei_tunnel_expired(const eice_tunnel *t)
{
    const uint64_t limit = (uint64_t)t->priv.o.max_duration_s * 1000;
    const uint64_t margin = limit >= 20000 ? 5000 : limit / 4;

    return t->priv.now_ms - t->priv.opened_ms >= limit - margin;
}

EICEI_PRIVATE void eicei_tunnel_expire(eice_tunnel *t)
{
    eicei_tunnel_error(t, EICE_E_TUNNEL_EXPIRED,
                       "%s closed the tunnel to %s: its limit of %u s is up",
                       t->priv.endpoint, t->priv.target,
                       (unsigned)t->priv.o.max_duration_s);
}

/* The connection ended where it must not. */
EICEI_PRIVATE void eicei_tunnel_cut(eice_tunnel *t)
{
    static const char *const when[] = {
        "in the TLS handshake",          "while the request was sent",
        "without an answer",             "within the answer",
        "without closing the tunnel",    "", ""};
    const eice_err why = t->priv.eof_why;

    if (t->phase == EICE_TUNNEL_OPEN && eicei_tunnel_expired(t)) {
        eicei_tunnel_expire(t);
    } else if (why != EICE_OK) {
        eicei_tunnel_error(t, why, "the connection to %s broke %s: %s",
                           t->priv.endpoint, when[t->phase],
                           eice_err_text(why));
    } else {
        eicei_tunnel_error(t, EICE_E_NET_RESET,
                           "%s ended the connection %s", t->priv.endpoint,
                           when[t->phase]);
    }
    eicei_tunnel_stop(t, 0);
}

/* TLS is finished, or the peer has closed it: nothing more will come. */
EICEI_PRIVATE bool eicei_tunnel_input_ended(const eice_tunnel *t)
{
    const unsigned state = eice_tls_state(&t->tls);

    return (state & EICE_DONE) != 0
           || ((state & EICE_OPEN) != 0
               && (state & (EICE_WANT_READ | EICE_HAVE_DATA)) == 0);
}

/* Input has ended: says why and ends the tunnel. */
EICEI_PRIVATE void eicei_tunnel_lost(eice_tunnel *t)
{
    if (t->tls.error.code != EICE_OK && t->error.code == EICE_OK
        && t->priv.eof_why == EICE_OK) {
        t->error = t->tls.error;
        t->error.stage = eicei_tunnel_stage(t);
        eice_copy_text(t->error.request_id, sizeof t->error.request_id,
                       eice_str_c(t->request_id));
        eicei_tunnel_stop(t, 0);
    } else {
        eicei_tunnel_cut(t);
    }
}

/* ---- request ----------------------------------------------------------- */

EICEI_PRIVATE void eicei_tunnel_number(char out[6], uint32_t n)
{
    eice_buf b;

    eice_buf_init(&b, out, 6);
    eice_put_u64(&b, n);
    (void)eice_buf_c(&b);
}

EICEI_PRIVATE eice_pair eicei_tunnel_pair(const char *name, eice_str value)
{
    eice_pair p;

    p.name = eice_str_c(name);
    p.value = value;
    return p;
}

/* Signed only now: the URL is good for 60 seconds. */
EICEI_PRIVATE eice_err eicei_tunnel_presign(eice_tunnel *t)
{
    const eice_tunnel_opts *const o = &t->priv.o;
    const eice_pair host = eicei_tunnel_pair("host", o->host);
    eice_pair *const q = t->priv.u.head.query;
    eice_sigv4_request r;

    eicei_tunnel_number(t->priv.u.head.number[0], o->port);
    eicei_tunnel_number(t->priv.u.head.number[1], o->max_duration_s);
    q[0] = eicei_tunnel_pair("instanceConnectEndpointId", o->endpoint_id);
    q[1] = eicei_tunnel_pair("remotePort",
                             eice_str_c(t->priv.u.head.number[0]));
    q[2] = eicei_tunnel_pair("privateIpAddress", o->private_ip);
    /* Always: a policy may demand it. */
    q[3] = eicei_tunnel_pair("maxTunnelDuration",
                             eice_str_c(t->priv.u.head.number[1]));
    memset(&r, 0, sizeof r);
    r.method = eice_str_c("GET");
    r.path = eice_str_c("/openTunnel");
    r.query = q;
    r.query_count = 4;
    r.headers = &host;
    r.header_count = 1;
    r.region = o->region;
    r.service = eice_str_c("ec2-instance-connect");
    r.keys = o->keys;
    r.unix_s = o->unix_s + (int64_t)((t->priv.now_ms - o->now_ms) / 1000);
    return eice_sigv4_presign(&r, 60, &t->priv.u.head.url);
}

EICEI_PRIVATE void eicei_tunnel_tail(eice_tunnel *t, eice_str text)
{
    eice_piece *const p =
        t->priv.u.head.tail + t->priv.u.head.tail_count++;

    p->text = text;
    p->uri = false;
}

EICEI_PRIVATE void eicei_tunnel_build_tail(eice_tunnel *t)
{
    eicei_tunnel_tail(t, eice_str_c(" HTTP/1.1\r\nHost: "));
    eicei_tunnel_tail(t, t->priv.o.host);
    eicei_tunnel_tail(t, eice_str_c("\r\nUpgrade: websocket\r\n"
                                    "Connection: Upgrade\r\n"
                                    "Sec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: "));
    eicei_tunnel_tail(t, eice_str_c(t->priv.key));
    if (t->priv.o.user_agent.len > 0) {
        eicei_tunnel_tail(t, eice_str_c("\r\nUser-Agent: "));
        eicei_tunnel_tail(t, t->priv.o.user_agent);
    }
    eicei_tunnel_tail(t, eice_str_c("\r\n\r\n"));
}

EICEI_PRIVATE void eicei_tunnel_request(eice_tunnel *t)
{
    uint8_t random[16];
    eice_err err;

    eice_wipe(&t->priv.u, sizeof t->priv.u);
    t->phase = EICE_TUNNEL_SEND;
    t->priv.since_ms = t->priv.now_ms;
    t->tls_resumed = eice_tls_resumed(&t->tls);
    eice_drbg_generate(t->priv.o.random, random, sizeof random);
    eice_ws_key(random, t->priv.key);
    err = eicei_tunnel_presign(t);
    if (err != EICE_OK) {
        eicei_tunnel_error(t, err, "cannot sign the request to %s: %s",
                           t->priv.endpoint, eice_err_text(err));
        eicei_tunnel_stop(t, 0);
        return;
    }
    eicei_tunnel_build_tail(t);
}

/* The head in three parts, as ropes: "GET ", the target, the rest. */
EICEI_PRIVATE size_t eicei_tunnel_read_head(eice_tunnel *t, uint8_t *out,
                                            size_t cap)
{
    const eice_piece get = {{"GET ", 4}, false};
    size_t n = 0;

    while (n == 0 && t->priv.u.head.part < 3) {
        const eice_piece *const parts[3] = {
            &get, t->priv.u.head.url.piece, t->priv.u.head.tail};
        const size_t counts[3] = {1, t->priv.u.head.url.count,
                                  t->priv.u.head.tail_count};
        const unsigned part = t->priv.u.head.part;

        n = eice_rope_read(parts[part], counts[part], &t->priv.u.head.pos,
                           out, cap);
        if (n == 0) {
            t->priv.u.head.part++;
            memset(&t->priv.u.head.pos, 0, sizeof t->priv.u.head.pos);
        }
    }
    return n;
}

EICEI_PRIVATE void eicei_tunnel_await(eice_tunnel *t)
{
    eice_wipe(&t->priv.u, sizeof t->priv.u);
    eice_http_init(&t->priv.u.answer.http, t->priv.u.answer.line,
                   sizeof t->priv.u.answer.line);
    t->priv.u.answer.http.stage = EICE_STAGE_UPGRADE;
    t->phase = EICE_TUNNEL_WAIT;
}

/* ---- answer ------------------------------------------------------------ */

#define EICEI_TUNNEL_SAW_UPGRADE 1u
#define EICEI_TUNNEL_SAW_CONNECTION 2u
#define EICEI_TUNNEL_SAW_ACCEPT 4u
#define EICEI_TUNNEL_SAW_UNASKED 8u /* an extension or subprotocol */
#define EICEI_TUNNEL_SAW_AGE 16u

EICEI_PRIVATE bool eicei_tunnel_has_token(eice_str list, const char *token)
{
    while (list.len > 0) {
        if (eice_str_is_nocase(eice_str_trim(eice_str_cut(&list, ',')),
                               token)) {
            return true;
        }
    }
    return false;
}

EICEI_PRIVATE void eicei_tunnel_on_upgrade(eice_tunnel *t, eice_str value)
{
    if (eice_str_is_nocase(value, "websocket")) {
        t->priv.u.answer.seen |= EICEI_TUNNEL_SAW_UPGRADE;
    }
}

EICEI_PRIVATE void eicei_tunnel_on_connection(eice_tunnel *t, eice_str value)
{
    if (eicei_tunnel_has_token(value, "upgrade")) {
        t->priv.u.answer.seen |= EICEI_TUNNEL_SAW_CONNECTION;
    }
}

EICEI_PRIVATE void eicei_tunnel_on_accept(eice_tunnel *t, eice_str value)
{
    char accept[29];

    eice_ws_accept(t->priv.key, accept);
    if (eice_str_is(value, accept)) {
        t->priv.u.answer.seen |= EICEI_TUNNEL_SAW_ACCEPT;
    }
}

EICEI_PRIVATE void eicei_tunnel_on_unasked(eice_tunnel *t, eice_str value)
{
    if (value.len > 0) {
        t->priv.u.answer.seen |= EICEI_TUNNEL_SAW_UNASKED;
    }
}

EICEI_PRIVATE void eicei_tunnel_on_request_id(eice_tunnel *t, eice_str value)
{
    eice_copy_text(t->request_id, sizeof t->request_id, value);
}

EICEI_PRIVATE void eicei_tunnel_on_error_type(eice_tunnel *t, eice_str value)
{
    /* Some services append ":http://..." to the code. */
    eice_copy_text(t->priv.u.answer.aws_code,
                   sizeof t->priv.u.answer.aws_code,
                   eice_str_cut(&value, ':'));
}

EICEI_PRIVATE void eicei_tunnel_on_date(eice_tunnel *t, eice_str value)
{
    int64_t unix_s;

    if (eice_time_http_parse(value, &unix_s)) {
        t->server_unix_s = unix_s;
    }
}

/* The answer spent time in a cache: its Date is of no use. */
EICEI_PRIVATE void eicei_tunnel_on_age(eice_tunnel *t, eice_str value)
{
    (void)value;
    t->priv.u.answer.seen |= EICEI_TUNNEL_SAW_AGE;
}

EICEI_PRIVATE void eicei_tunnel_header(eice_tunnel *t, eice_str name,
                                       eice_str value)
{
    static const struct {
        const char *name;
        void (*take)(eice_tunnel *t, eice_str value);
    } headers[] = {
        {"upgrade", eicei_tunnel_on_upgrade},
        {"connection", eicei_tunnel_on_connection},
        {"sec-websocket-accept", eicei_tunnel_on_accept},
        {"sec-websocket-extensions", eicei_tunnel_on_unasked},
        {"sec-websocket-protocol", eicei_tunnel_on_unasked},
        {"x-amzn-requestid", eicei_tunnel_on_request_id},
        {"x-amzn-request-id", eicei_tunnel_on_request_id},
        {"x-amzn-errortype", eicei_tunnel_on_error_type},
        {"date", eicei_tunnel_on_date},
        {"age", eicei_tunnel_on_age}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(headers); i++) {
        if (eice_str_is_nocase(name, headers[i].name)) {
            headers[i].take(t, eice_str_trim(value));
        }
    }
}

/* RFC 6455 4.1: what a 101 must hold, and must not. */
EICEI_PRIVATE const char *eicei_tunnel_flaw(const eice_tunnel *t)
{
    static const struct {
        unsigned bit;
        unsigned wanted;
        const char *flaw;
    } checks[] = {
        {EICEI_TUNNEL_SAW_UPGRADE, EICEI_TUNNEL_SAW_UPGRADE,
         "Upgrade is not websocket"},
        {EICEI_TUNNEL_SAW_CONNECTION, EICEI_TUNNEL_SAW_CONNECTION,
         "Connection is not Upgrade"},
        {EICEI_TUNNEL_SAW_ACCEPT, EICEI_TUNNEL_SAW_ACCEPT,
         "Sec-WebSocket-Accept does not answer our key"},
        {EICEI_TUNNEL_SAW_UNASKED, 0,
         "it names an extension or protocol that was not asked for"}
    };
    size_t i;

    for (i = 0; i < EICEI_LEN(checks); i++) {
        if ((t->priv.u.answer.seen & checks[i].bit) != checks[i].wanted) {
            return checks[i].flaw;
        }
    }
    return NULL;
}

EICEI_PRIVATE void eicei_tunnel_open(eice_tunnel *t)
{
    const char *const flaw = eicei_tunnel_flaw(t);
    eice_tunnel_opts *const o = &t->priv.o;

    if (flaw != NULL) {
        eicei_tunnel_error(t, EICE_E_WS_PROTOCOL,
                           "the answer 101 of %s is wrong: %s",
                           t->priv.endpoint, flaw);
        eicei_tunnel_stop(t, 0);
        return;
    }
    eice_wipe(&t->priv.u, sizeof t->priv.u);
    eice_ws_init(&t->priv.u.frames.ws);
    t->priv.u.frames.masks_used = sizeof t->priv.u.frames.masks;
    t->phase = EICE_TUNNEL_OPEN;
    t->priv.opened_ms = t->priv.now_ms;
    t->priv.since_ms = t->priv.now_ms;
    t->priv.heard_ms = t->priv.now_ms;
    /* An SSH server speaks first; an RDP server waits for the client. */
    t->priv.expecting = o->port == 22;
    memset(&o->keys, 0, sizeof o->keys);
    o->session = NULL;
    o->trust = NULL;
}

/* ---- refusal ----------------------------------------------------------- */

/* What a refusal says about itself: pieces of the body, still escaped. */
typedef struct eicei_tunnel_reason {
    eice_str code;
    eice_str text;
    bool json;
} eicei_tunnel_reason;

/* Members of the outermost object; the document may be cut off. */
EICEI_PRIVATE void eicei_tunnel_read_json(eice_str body,
                                          eicei_tunnel_reason *r)
{
    static const char *const codes[] = {"ErrorCode", "errorCode", "__type",
                                        "Code", "code"};
    eice_json_type type;
    eice_str key = eice_str_c("");
    eice_str raw;
    eice_json j;
    size_t i;

    r->json = true;
    eice_json_init(&j, body);
    do {
        type = eice_json_next(&j, &raw);
        if (type == EICE_JSON_STRING && j.depth == 1) {
            for (i = 0; i < EICEI_LEN(codes); i++) {
                if (eice_str_is(key, codes[i]) && r->code.len == 0) {
                    r->code = raw;
                }
            }
            if (eice_str_is_nocase(key, "message")) {
                r->text = raw;
            }
        }
        key = type == EICE_JSON_KEY ? raw : eice_str_c("");
    } while (type != EICE_JSON_END && type != EICE_JSON_ERROR);
}

/* AWS's XML errors, or the title of an HTML page. */
EICEI_PRIVATE void eicei_tunnel_read_xml(eice_str body, eicei_tunnel_reason *r)
{
    eice_xml_type type;
    eice_str name = eice_str_c("");
    eice_str s;
    eice_xml x;

    eice_xml_init(&x, body);
    do {
        type = eice_xml_next(&x, &s);
        if (type == EICE_XML_TEXT && eice_str_is(name, "Code")) {
            r->code = s;
        } else if (type == EICE_XML_TEXT
                   && (eice_str_is(name, "Message")
                       || eice_str_is_nocase(name, "title"))) {
            r->text = s;
        }
        name = type == EICE_XML_OPEN ? s : eice_str_c("");
    } while (type != EICE_XML_END && type != EICE_XML_ERROR);
}

/* Fills error.aws_code and `text`. */
EICEI_PRIVATE void eicei_tunnel_read_reason(eice_tunnel *t, eice_buf *text)
{
    eice_str body = eice_str_trim(eice_str_make(t->priv.u.answer.body,
                                                t->priv.u.answer.body_len));
    eicei_tunnel_reason r;

    memset(&r, 0, sizeof r);
    if (eice_str_starts(body, "{")) {
        eicei_tunnel_read_json(body, &r);
    } else if (eice_str_starts(body, "<")) {
        eicei_tunnel_read_xml(body, &r);
    }
    if (r.text.len == 0) {
        eice_put_safe(text, body);
    } else if (!(r.json ? eice_json_unescape(r.text, text)
                        : eice_xml_unescape(r.text, text))) {
        eice_buf_init(text, text->ptr, text->cap);
        eice_put_safe(text, r.text);
    }
    /* "com.amazon.coral#AccessDeniedException" */
    if (eice_str_find(r.code, '#') < r.code.len) {
        (void)eice_str_cut(&r.code, '#');
    }
    if (r.code.len == 0) {
        r.code = eice_str_c(t->priv.u.answer.aws_code);
    }
    eice_copy_text(t->error.aws_code, sizeof t->error.aws_code, r.code);
}

/* How a status or the beginning of a code is to be taken; the first that fits
 * decides. */
EICEI_PRIVATE eice_err eicei_tunnel_classify(const char *aws_code,
                                             unsigned status)
{
    static const struct {
        const char *code; /* NULL: any */
        unsigned status;  /* 0: any */
        eice_err err;
    } rules[] = {
        {"AccessDenied", 0, EICE_E_UPGRADE_DENIED},
        {"UnauthorizedOperation", 0, EICE_E_UPGRADE_DENIED},
        {"Throttl", 0, EICE_E_UPGRADE_QUOTA},
        {"TooMany", 0, EICE_E_UPGRADE_QUOTA},
        {"RequestLimitExceeded", 0, EICE_E_UPGRADE_QUOTA},
        {"LimitExceeded", 0, EICE_E_UPGRADE_QUOTA},
        {"ServiceQuotaExceeded", 0, EICE_E_UPGRADE_QUOTA},
        {NULL, 429, EICE_E_UPGRADE_QUOTA},
        {"", 401, EICE_E_UPGRADE_DENIED},
        {"", 403, EICE_E_UPGRADE_DENIED}
    };
    const eice_str code = eice_str_c(aws_code);
    size_t i;

    for (i = 0; i < EICEI_LEN(rules); i++) {
        const bool fits =
            rules[i].code == NULL
            || (rules[i].code[0] == 0 ? code.len == 0
                                      : eice_str_starts(code, rules[i].code));

        if (fits && (rules[i].status == 0 || rules[i].status == status)) {
            return rules[i].err;
        }
    }
    return EICE_E_UPGRADE_REFUSED;
}

/* A remedy better than the one of the error's number, where there is one. */
EICEI_PRIVATE void eicei_tunnel_remedy(eice_tunnel *t)
{
    const eice_tunnel_opts *const o = &t->priv.o;
    const int64_t now =
        o->unix_s + (int64_t)((t->priv.now_ms - o->now_ms) / 1000);
    const int64_t late = t->server_unix_s - now;
    eice_buf b;

    eice_buf_init(&b, t->error.remedy, sizeof t->error.remedy);
    if (t->server_unix_s != 0 && t->error.http_status < 500
        && (late > EICEI_TUNNEL_SKEW_S || late < -EICEI_TUNNEL_SKEW_S)) {
        eice_putf(&b, "set the clock of this machine: it is %l s %s",
                  (uint64_t)(late < 0 ? -late : late),
                  late < 0 ? "ahead" : "behind");
    } else if (eice_str_starts(eice_str_c(t->error.aws_code),
                               "ExpiredToken")) {
        eice_put_c(&b, eice_err_remedy(EICE_E_CREDENTIALS_EXPIRED));
    }
    (void)eice_buf_c(&b);
}

EICEI_PRIVATE void eicei_tunnel_refused(eice_tunnel *t)
{
    const unsigned status = t->priv.u.answer.http.status;
    eice_str said;
    eice_buf text;

    /* The parser is through with its line buffer. */
    eice_buf_init(&text, t->priv.u.answer.line, sizeof t->error.text);
    eicei_tunnel_read_reason(t, &text);
    said = eice_buf_str(&text);
    eicei_tunnel_error(
        t, eicei_tunnel_classify(t->error.aws_code, status),
        "%s refused the tunnel to %s: HTTP %u%s%s%s%S", t->priv.endpoint,
        t->priv.target, status, t->error.aws_code[0] != 0 ? " " : "",
        t->error.aws_code, said.len > 0 ? ": " : "", &said);
    t->error.http_status = (int)status;
    t->error.retryable = t->error.retryable || status == 429 || status >= 500;
    if ((t->priv.u.answer.seen & EICEI_TUNNEL_SAW_AGE) != 0) {
        t->server_unix_s = 0;
    }
    eicei_tunnel_remedy(t);
    eicei_tunnel_stop(t, 0);
}

EICEI_PRIVATE void eicei_tunnel_keep_body(eice_tunnel *t, eice_str part)
{
    const size_t room =
        sizeof t->priv.u.answer.body - t->priv.u.answer.body_len;
    const size_t n = part.len < room ? part.len : room;

    memcpy(t->priv.u.answer.body + t->priv.u.answer.body_len, part.ptr, n);
    t->priv.u.answer.body_len += n;
    t->priv.u.answer.body_seen += part.len;
}

EICEI_PRIVATE void eicei_tunnel_bad_http(eice_tunnel *t)
{
    const eice_error *const e = &t->priv.u.answer.http.error;

    eicei_tunnel_error(t, e->code, "%s: %s", t->priv.endpoint, e->text);
    eicei_tunnel_stop(t, 0);
}

EICEI_PRIVATE void eicei_tunnel_on_http(eice_tunnel *t, eice_http_event event,
                                        eice_str text)
{
    const eice_http *const h = &t->priv.u.answer.http;

    switch (event) {
    case EICE_HTTP_HEADER:
        eicei_tunnel_header(t, h->name, text);
        break;
    case EICE_HTTP_HEAD:
        if (h->status != 101) {
            t->phase = EICE_TUNNEL_BODY;
        }
        break;
    case EICE_HTTP_BODY:
        eicei_tunnel_keep_body(t, text);
        if (t->priv.u.answer.body_seen > EICEI_TUNNEL_BODY_MAX) {
            eicei_tunnel_refused(t);
        }
        break;
    case EICE_HTTP_DONE:
        if (h->status == 101) {
            eicei_tunnel_open(t);
        } else {
            eicei_tunnel_refused(t);
        }
        break;
    case EICE_HTTP_ERROR:
        eicei_tunnel_bad_http(t);
        break;
    default:
        break;
    }
}

/* ---- frames ------------------------------------------------------------ */

/* Masks must not be predictable (RFC 6455 5.3); sixteen are made at a time,
 * one by one would cost as much as the encryption. */
EICEI_PRIVATE void eicei_tunnel_mask(eice_tunnel *t, uint8_t mask[4])
{
    uint8_t *const pool = t->priv.u.frames.masks;

    if (t->priv.u.frames.masks_used == sizeof t->priv.u.frames.masks) {
        eice_drbg_generate(t->priv.o.random, pool,
                           sizeof t->priv.u.frames.masks);
        t->priv.u.frames.masks_used = 0;
    }
    memcpy(mask, pool + t->priv.u.frames.masks_used, 4);
    t->priv.u.frames.masks_used += 4;
}

/* Makes a frame of `len` bytes of payload that stand EICEI_TUNNEL_FRAME_HEAD
 * bytes behind `p`, in TLS's buffer. */
EICEI_PRIVATE void eicei_tunnel_send(eice_tunnel *t, uint8_t *p, eice_ws_op op,
                                     size_t len)
{
    uint8_t head[EICE_WS_MAX_HEAD];
    uint8_t mask[4];
    size_t head_len;

    eicei_tunnel_mask(t, mask);
    head_len = eice_ws_head(head, op, len, mask);
    if (head_len < EICEI_TUNNEL_FRAME_HEAD) {
        memmove(p + head_len, p + EICEI_TUNNEL_FRAME_HEAD, len);
    }
    memcpy(p, head, head_len);
    eice_ws_mask(p + head_len, len, mask, 0);
    eice_tls_app_in_ack(&t->tls, head_len + len);
    eice_tls_flush(&t->tls);
}

/* Writes the control frame that waits, if there is room. False: it waits on. */
EICEI_PRIVATE bool eicei_tunnel_send_control(eice_tunnel *t)
{
    const eice_ws_op op = t->priv.u.frames.control_op;
    const size_t len = t->priv.u.frames.control_len;
    uint8_t *p;

    if (op == EICE_WS_CONTINUATION) {
        return true;
    }
    if (eice_tls_app_in(&t->tls, &p) < EICEI_TUNNEL_FRAME_HEAD + len) {
        return false;
    }
    memcpy(p + EICEI_TUNNEL_FRAME_HEAD, t->priv.u.frames.control, len);
    eicei_tunnel_send(t, p, op, len);
    t->priv.u.frames.control_op = EICE_WS_CONTINUATION;
    if (op == EICE_WS_PING) {
        t->priv.pinged = true;
        t->priv.ping_out = true;
        t->priv.ping_ms = t->priv.now_ms;
    }
    return true;
}

EICEI_PRIVATE bool eicei_tunnel_contains(eice_str s, const char *text)
{
    const size_t len = strlen(text);

    for (; s.len >= len; s.ptr++, s.len--) {
        if (eice_str_is_nocase(eice_str_make(s.ptr, len), text)) {
            return true;
        }
    }
    return false;
}

EICEI_PRIVATE void eicei_tunnel_closed_badly(eice_tunnel *t, eice_str reason)
{
    eicei_tunnel_error(t, EICE_E_TUNNEL_CLOSED,
                       "%s closed the tunnel to %s: code %u%s%S",
                       t->priv.endpoint, t->priv.target, t->close_code,
                       reason.len > 0 ? ": " : "", &reason);
    if (!t->heard) {
        eice_copy_text(t->error.remedy, sizeof t->error.remedy,
                       eice_str_c(eice_err_remedy(EICE_E_UPGRADE_QUOTA)));
    }
}

EICEI_PRIVATE void eicei_tunnel_on_close(eice_tunnel *t, eice_str reason)
{
    const unsigned code = t->priv.u.frames.ws.close_code;
    const bool normal = code == 1000 || code == 1005;

    t->close_code = code;
    if (eicei_tunnel_expired(t)) {
        eicei_tunnel_expire(t);
    } else if (eicei_tunnel_contains(reason, "unable to connect to target")) {
        eicei_tunnel_error(t, EICE_E_TARGET_UNREACHABLE,
                           "%s cannot reach %s: %S", t->priv.endpoint,
                           t->priv.target, &reason);
    } else if (!normal) {
        eicei_tunnel_closed_badly(t, reason);
    }
    if (t->error.code != EICE_OK) {
        t->error.detail_kind = EICE_DETAIL_CLOSE;
        t->error.detail = (int)code;
    }
    /* RFC 6455 5.5.1: the answer carries the same code. */
    eicei_tunnel_stop(t, code == 1005 ? 0 : code);
}

EICEI_PRIVATE void eicei_tunnel_on_frame(eice_tunnel *t, eice_ws_event event,
                                         eice_str payload)
{
    const eice_ws *const w = &t->priv.u.frames.ws;

    switch (event) {
    case EICE_WS_DATA:
        t->priv.pending = payload.len;
        t->heard = t->heard || payload.len > 0;
        break;
    case EICE_WS_GOT_PING:
        /* RFC 6455 5.5.3: the latest ping is enough. */
        eicei_tunnel_control(t, EICE_WS_PONG, payload);
        break;
    case EICE_WS_GOT_PONG:
        t->priv.pong_seen = t->priv.pinged;
        break;
    case EICE_WS_GOT_CLOSE:
        eicei_tunnel_on_close(t, payload);
        break;
    case EICE_WS_ERROR:
        eicei_tunnel_error(t, w->error.code, "%s: %s", t->priv.endpoint,
                           w->error.text);
        eicei_tunnel_stop(t, w->close_code);
        break;
    default:
        break;
    }
}

/* ---- steps ------------------------------------------------------------- */

/* One function a phase: does what can be done now and says whether to go on. */

EICEI_PRIVATE bool eicei_tunnel_step_tls(eice_tunnel *t)
{
    const unsigned state = eice_tls_state(&t->tls);

    if ((state & EICE_DONE) != 0) {
        eicei_tunnel_lost(t);
        return true;
    }
    if ((state & EICE_OPEN) == 0) {
        return false;
    }
    eicei_tunnel_request(t);
    return true;
}

EICEI_PRIVATE bool eicei_tunnel_step_send(eice_tunnel *t)
{
    uint8_t *p;
    size_t n;

    if (eicei_tunnel_input_ended(t)) {
        eicei_tunnel_lost(t);
        return true;
    }
    /* An answer to half a request can only be a refusal. */
    if ((eice_tls_state(&t->tls) & EICE_HAVE_DATA) != 0) {
        eicei_tunnel_await(t);
        return true;
    }
    n = eice_tls_app_in(&t->tls, &p);
    if (n == 0) {
        return false;
    }
    n = eicei_tunnel_read_head(t, p, n);
    if (n > 0) {
        eice_tls_app_in_ack(&t->tls, n);
        return true;
    }
    eice_tls_flush(&t->tls);
    eicei_tunnel_await(t);
    return true;
}

EICEI_PRIVATE bool eicei_tunnel_step_answer(eice_tunnel *t)
{
    uint8_t *p;
    const size_t n = eice_tls_app_out(&t->tls, &p);
    eice_str in = eice_str_make(p, n);
    eice_http_event event;
    eice_str text;

    if (n == 0 && !eicei_tunnel_input_ended(t)) {
        return false;
    }
    if (n == 0) {
        if (t->phase == EICE_TUNNEL_BODY) {
            eicei_tunnel_refused(t);
        } else {
            eicei_tunnel_lost(t);
        }
        return true;
    }
    do {
        event = eice_http_next(&t->priv.u.answer.http, &in, &text);
        eicei_tunnel_on_http(t, event, text);
    } while (event != EICE_HTTP_MORE && t->phase < EICE_TUNNEL_OPEN);
    eice_tls_app_out_ack(&t->tls, n - in.len);
    return true;
}

EICEI_PRIVATE bool eicei_tunnel_step_open(eice_tunnel *t)
{
    uint8_t *p;
    size_t n;
    eice_str in;
    eice_str payload;
    eice_ws_event event;

    (void)eicei_tunnel_send_control(t);
    if (t->priv.pending > 0) {
        return false;
    }
    n = eice_tls_app_out(&t->tls, &p);
    if (n == 0) {
        if (eicei_tunnel_input_ended(t)) {
            eicei_tunnel_lost(t);
            return true;
        }
        return false;
    }
    in = eice_str_make(p, n);
    event = eice_ws_next(&t->priv.u.frames.ws, &in, &payload);
    eicei_tunnel_on_frame(t, event, payload);
    /* Payload stays in TLS's buffer until it is taken. */
    eice_tls_app_out_ack(&t->tls, n - in.len - t->priv.pending);
    return true;
}

EICEI_PRIVATE bool eicei_tunnel_step_closing(eice_tunnel *t)
{
    unsigned state = eice_tls_state(&t->tls);

    if ((state & EICE_DONE) == 0
        && (t->priv.eof || (state & EICE_OPEN) == 0
            || eicei_tunnel_send_control(t))) {
        eice_tls_close(&t->tls);
        state = eice_tls_state(&t->tls);
    }
    if ((state & EICE_DONE) != 0) {
        t->phase = EICE_TUNNEL_CLOSED;
    }
    return false;
}

EICEI_PRIVATE bool eicei_tunnel_step_closed(eice_tunnel *t)
{
    (void)t;
    return false;
}

EICEI_PRIVATE void eicei_direct_run(eice_tunnel *t);

EICEI_PRIVATE void eicei_tunnel_run(eice_tunnel *t)
{
    static bool (*const steps[])(eice_tunnel *) = {
        eicei_tunnel_step_tls,    eicei_tunnel_step_send,
        eicei_tunnel_step_answer, eicei_tunnel_step_answer,
        eicei_tunnel_step_open,   eicei_tunnel_step_closing,
        eicei_tunnel_step_closed};

    if (t->priv.o.direct) {
        eicei_direct_run(t);
        return;
    }
    while (steps[t->phase](t)) {
    }
}

/* ---- deadlines --------------------------------------------------------- */

/* `from` + `ms`, without wrapping; UINT32_MAX is never. */
EICEI_PRIVATE uint64_t eicei_tunnel_after(uint64_t from, uint32_t ms)
{
    if (ms == UINT32_MAX || from > UINT64_MAX - ms) {
        return UINT64_MAX;
    }
    return from + ms;
}

/* When the target's first byte is due. */
EICEI_PRIVATE uint64_t eicei_tunnel_target_due(const eice_tunnel *t)
{
    if (t->heard || !t->priv.expecting) {
        return UINT64_MAX;
    }
    return eicei_tunnel_after(t->priv.since_ms, t->priv.o.target_timeout_ms);
}

/* When the next ping is due, or the answer to the last one (only if the
 * endpoint has ever answered one). While the application takes no data
 * nothing is read, and nothing is due. */
EICEI_PRIVATE uint64_t eicei_tunnel_ping_due(const eice_tunnel *t)
{
    const uint64_t last = t->priv.heard_ms > t->priv.ping_ms
                              ? t->priv.heard_ms : t->priv.ping_ms;

    if (t->priv.pending > 0) {
        return UINT64_MAX;
    }
    if (t->priv.ping_out && t->priv.pong_seen) {
        return eicei_tunnel_after(t->priv.ping_ms, EICEI_TUNNEL_PONG_MS);
    }
    return eicei_tunnel_after(last, t->priv.o.ping_ms);
}

EICE_API uint64_t eice_tunnel_deadline(const eice_tunnel *t)
{
    const eice_tunnel_opts *const o = &t->priv.o;

    switch (t->phase) {
    case EICE_TUNNEL_TLS:
        return eicei_tunnel_after(t->priv.since_ms, o->tls_timeout_ms);
    case EICE_TUNNEL_OPEN: {
        const uint64_t target = eicei_tunnel_target_due(t);
        const uint64_t ping = eicei_tunnel_ping_due(t);

        return target < ping ? target : ping;
    }
    case EICE_TUNNEL_CLOSING:
        return eicei_tunnel_after(t->priv.since_ms, EICEI_TUNNEL_LINGER_MS);
    case EICE_TUNNEL_CLOSED:
        return UINT64_MAX;
    default:
        return eicei_tunnel_after(t->priv.since_ms, o->upgrade_timeout_ms);
    }
}

EICEI_PRIVATE void eicei_tunnel_ping_time(eice_tunnel *t)
{
    if (t->priv.ping_out && t->priv.pong_seen) {
        eicei_tunnel_error(t, EICE_E_NET_TIMEOUT,
                           "%s did not answer a ping for %u s",
                           t->priv.endpoint, EICEI_TUNNEL_PONG_MS / 1000);
        eicei_tunnel_stop(t, 1001);
        return;
    }
    t->priv.ping_ms = t->priv.now_ms;
    if (t->priv.u.frames.control_op == EICE_WS_CONTINUATION) {
        eicei_tunnel_control(t, EICE_WS_PING, eice_str_c(""));
    }
}

EICEI_PRIVATE void eicei_tunnel_open_time(eice_tunnel *t)
{
    const uint64_t now = t->priv.now_ms;

    if (now >= eicei_tunnel_target_due(t)) {
        eicei_tunnel_error(t, EICE_E_TARGET_SILENT,
                           "%s accepted the tunnel, but %s sent nothing for "
                           "%u s",
                           t->priv.o.direct ? "it" : t->priv.endpoint,
                           t->priv.target,
                           (unsigned)((now - t->priv.since_ms) / 1000));
        eicei_tunnel_stop(t, 1000);
    } else if (now >= eicei_tunnel_ping_due(t)) {
        eicei_tunnel_ping_time(t);
    }
}

EICEI_PRIVATE void eicei_tunnel_time_up(eice_tunnel *t)
{
    const unsigned s = (unsigned)((t->priv.now_ms - t->priv.since_ms) / 1000);

    switch (t->phase) {
    case EICE_TUNNEL_TLS:
        eicei_tunnel_error(t, EICE_E_TLS_TIMEOUT,
                           "the TLS handshake with %s took more than %u s",
                           t->priv.endpoint, s);
        eicei_tunnel_stop(t, 0);
        break;
    case EICE_TUNNEL_SEND:
    case EICE_TUNNEL_WAIT:
        eicei_tunnel_error(t, EICE_E_UPGRADE_TIMEOUT,
                           "%s did not answer the request for %u s",
                           t->priv.endpoint, s);
        eicei_tunnel_stop(t, 0);
        break;
    case EICE_TUNNEL_BODY:
        eicei_tunnel_refused(t);
        break;
    case EICE_TUNNEL_OPEN:
        eicei_tunnel_open_time(t);
        break;
    case EICE_TUNNEL_CLOSING:
        t->phase = EICE_TUNNEL_CLOSED;
        break;
    default:
        break;
    }
}

EICE_API void eice_tunnel_tick(eice_tunnel *t, uint64_t now_ms)
{
    if (now_ms > t->priv.now_ms) {
        t->priv.now_ms = now_ms;
    }
    if (t->priv.now_ms >= eice_tunnel_deadline(t)) {
        eicei_tunnel_time_up(t);
    }
    eicei_tunnel_run(t);
}

/* ---- no tunnel at all -------------------------------------------------- */

/* A direct connection has the same face, and no TLS and no frames behind it:
 * the two buffers are what is on its way. */
EICEI_PRIVATE unsigned eicei_direct_state(const eice_tunnel *t)
{
    const unsigned out = t->priv.out_len > 0 ? EICE_WANT_WRITE : 0;

    if (t->phase == EICE_TUNNEL_CLOSING) {
        return out;
    }
    return out | EICE_OPEN | (t->priv.pending > 0 ? EICE_HAVE_DATA : 0)
           | (!t->priv.eof && t->priv.pending < sizeof t->priv.in
                  ? EICE_WANT_READ : 0)
           | (!t->priv.eof && t->priv.out_len < sizeof t->priv.out
                  ? EICE_CAN_SEND : 0);
}

EICEI_PRIVATE void eicei_direct_run(eice_tunnel *t)
{
    if (t->phase == EICE_TUNNEL_OPEN && t->priv.eof && t->priv.pending == 0) {
        if (t->priv.eof_why != EICE_OK) {
            eicei_tunnel_error(t, t->priv.eof_why,
                               "the connection to %s broke", t->priv.target);
        }
        t->priv.out_len = 0;
        t->phase = EICE_TUNNEL_CLOSING;
    }
    if (t->phase == EICE_TUNNEL_CLOSING
        && (t->priv.out_len == 0 || t->priv.eof)) {
        t->phase = EICE_TUNNEL_CLOSED;
    }
}

/* Takes n bytes from the front of a buffer. */
EICEI_PRIVATE void eicei_direct_take(uint8_t *buffer, size_t *len, size_t n)
{
    n = n < *len ? n : *len;
    *len -= n;
    memmove(buffer, buffer + n, *len);
}

/* ---- set-up ------------------------------------------------------------ */

EICEI_PRIVATE uint32_t eicei_tunnel_or(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

EICEI_PRIVATE void eicei_tunnel_defaults(eice_tunnel_opts *o)
{
    o->port = (uint16_t)eicei_tunnel_or(o->port, 22);
    o->max_duration_s = eicei_tunnel_or(o->max_duration_s, 3600);
    o->tls_timeout_ms = eicei_tunnel_or(o->tls_timeout_ms, 15000);
    o->upgrade_timeout_ms = eicei_tunnel_or(o->upgrade_timeout_ms, 15000);
    o->target_timeout_ms = eicei_tunnel_or(o->target_timeout_ms, 20000);
    o->ping_ms = eicei_tunnel_or(o->ping_ms, 60000);
}

/* eice-0123...: what may stand in a URL and in a message as it is. */
EICEI_PRIVATE bool eicei_tunnel_id_ok(eice_str id)
{
    size_t i;

    for (i = 0; i < id.len; i++) {
        const char c = id.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return false;
        }
    }
    return id.len > 0 && id.len < 64;
}

EICEI_PRIVATE bool eicei_tunnel_printable(eice_str s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

EICEI_PRIVATE const char *eicei_tunnel_mistake(const eice_tunnel_opts *o)
{
    eice_ip ip;

    if (o->direct && o->private_ip.len > 0) {
        return NULL;
    }
    if (!eice_ip_parse(o->private_ip, &ip)) {
        return "private_ip is not an IP address";
    }
    if (o->host.len == 0) {
        return "host is missing";
    }
    if (!eicei_tunnel_id_ok(o->endpoint_id)) {
        return "endpoint_id is no endpoint's id";
    }
    if (o->max_duration_s > 3600) {
        return "max_duration_s is more than 3600";
    }
    if (o->region.len == 0) {
        return "region is missing";
    }
    if (o->keys.access_key_id.len == 0 || o->keys.secret_access_key.len == 0) {
        return "keys are missing";
    }
    if (o->trust == NULL || o->random == NULL) {
        return "trust or random is missing";
    }
    if (!eicei_tunnel_printable(o->user_agent)) {
        return "user_agent holds control characters";
    }
    return NULL;
}

EICEI_PRIVATE void eicei_tunnel_name(eice_tunnel *t)
{
    const eice_tunnel_opts *const o = &t->priv.o;
    eice_buf b;

    eice_copy_text(t->priv.endpoint, sizeof t->priv.endpoint, o->endpoint_id);
    eice_buf_init(&b, t->priv.target, sizeof t->priv.target);
    eice_put_authority(&b, o->private_ip, o->port, false);
    (void)eice_buf_c(&b);
}

EICE_API eice_err eice_tunnel_init(eice_tunnel *t, const eice_tunnel_opts *o)
{
    const char *const mistake = eicei_tunnel_mistake(o);
    eice_tls_opts tls;

    memset(t, 0, sizeof *t);
    if (mistake != NULL) {
        t->phase = EICE_TUNNEL_CLOSED;
        return eice_fail(&t->error, EICE_E_ARGUMENT, EICE_STAGE_TUNNEL,
                         "tunnel: %s", mistake);
    }
    t->priv.o = *o;
    eicei_tunnel_defaults(&t->priv.o);
    eicei_tunnel_name(t);
    t->priv.now_ms = o->now_ms;
    t->priv.since_ms = o->now_ms;
    if (o->direct) {
        t->phase = EICE_TUNNEL_OPEN;
        t->priv.o.ping_ms = UINT32_MAX;
        t->priv.expecting = t->priv.o.port == 22;
        return EICE_OK;
    }
    memset(&tls, 0, sizeof tls);
    tls.host = o->host;
    tls.trust = o->trust;
    tls.random = o->random;
    tls.unix_s = o->unix_s;
    tls.in = t->priv.in;
    tls.out = t->priv.out;
    tls.out_len = sizeof t->priv.out;
    tls.x509 = t->priv.u.x509;
    tls.session = o->session;
    if (eice_tls_init(&t->tls, &tls) != EICE_OK) {
        t->error = t->tls.error;
        t->phase = EICE_TUNNEL_CLOSED;
    }
    return t->error.code;
}

/* ---- bytes ------------------------------------------------------------- */

EICE_API unsigned eice_tunnel_state(const eice_tunnel *t)
{
    unsigned state;

    if (t->phase == EICE_TUNNEL_CLOSED) {
        return EICE_DONE;
    }
    if (t->priv.o.direct) {
        return eicei_direct_state(t);
    }
    state = eice_tls_state(&t->tls) & (EICE_WANT_WRITE | EICE_WANT_READ);
    if (t->phase == EICE_TUNNEL_CLOSING) {
        return state & EICE_WANT_WRITE;
    }
    if (t->phase == EICE_TUNNEL_OPEN) {
        state |= EICE_OPEN;
        state |= t->priv.pending > 0 ? EICE_HAVE_DATA : 0;
        if (t->priv.u.frames.control_op == EICE_WS_CONTINUATION) {
            state |= eice_tls_state(&t->tls) & EICE_CAN_SEND;
        }
    }
    return state;
}

EICE_API size_t eice_tunnel_net_out(eice_tunnel *t, const uint8_t **p)
{
    *p = NULL;
    if (t->priv.o.direct) {
        *p = t->priv.out;
        return t->priv.out_len;
    }
    return (eice_tunnel_state(t) & EICE_WANT_WRITE) != 0
               ? eice_tls_net_out(&t->tls, p) : 0;
}

EICE_API void eice_tunnel_net_out_ack(eice_tunnel *t, size_t n)
{
    if (t->priv.o.direct) {
        eicei_direct_take(t->priv.out, &t->priv.out_len, n);
    } else {
        eice_tls_net_out_ack(&t->tls, n);
    }
    eicei_tunnel_run(t);
}

EICE_API size_t eice_tunnel_net_in(eice_tunnel *t, uint8_t **p)
{
    *p = NULL;
    if (t->priv.o.direct) {
        *p = t->priv.in + t->priv.pending;
        return (eicei_direct_state(t) & EICE_WANT_READ) != 0
                   ? sizeof t->priv.in - t->priv.pending : 0;
    }
    return (eice_tunnel_state(t) & EICE_WANT_READ) != 0
               ? eice_tls_net_in(&t->tls, p) : 0;
}

EICEI_PRIVATE void eicei_tunnel_alive(eice_tunnel *t)
{
    t->priv.heard_ms = t->priv.now_ms;
    t->priv.ping_out = false;
}

EICE_API void eice_tunnel_net_in_ack(eice_tunnel *t, size_t n)
{
    if (n > 0) {
        eicei_tunnel_alive(t);
        if (t->priv.o.direct) {
            t->priv.pending += n;
            t->heard = true;
        } else {
            eice_tls_net_in_ack(&t->tls, n);
        }
        eicei_tunnel_run(t);
    }
}

EICE_API void eice_tunnel_net_eof(eice_tunnel *t, eice_err why)
{
    if (t->priv.eof) {
        return;
    }
    t->priv.eof = true;
    t->priv.eof_why = why;
    if (!t->priv.o.direct) {
        eice_tls_eof(&t->tls);
    }
    eicei_tunnel_run(t);
}

EICE_API size_t eice_tunnel_app_in(eice_tunnel *t, uint8_t **p)
{
    size_t n;

    *p = NULL;
    if ((eice_tunnel_state(t) & EICE_CAN_SEND) == 0) {
        return 0;
    }
    if (t->priv.o.direct) {
        *p = t->priv.out + t->priv.out_len;
        return sizeof t->priv.out - t->priv.out_len;
    }
    n = eice_tls_app_in(&t->tls, p) - EICEI_TUNNEL_FRAME_HEAD;
    *p += EICEI_TUNNEL_FRAME_HEAD;
    return n < EICE_TUNNEL_MAX_FRAME ? n : EICE_TUNNEL_MAX_FRAME;
}

EICE_API void eice_tunnel_app_in_ack(eice_tunnel *t, size_t n)
{
    uint8_t *p;

    if (n == 0 || eice_tunnel_app_in(t, &p) < n) {
        return;
    }
    if (t->priv.o.direct) {
        t->priv.out_len += n;
    } else {
        eicei_tunnel_send(t, p - EICEI_TUNNEL_FRAME_HEAD, EICE_WS_BINARY, n);
    }
    if (!t->priv.expecting) {
        t->priv.expecting = true;
        t->priv.since_ms = t->priv.now_ms;
    }
    eicei_tunnel_run(t);
}

EICE_API size_t eice_tunnel_app_out(eice_tunnel *t, const uint8_t **p)
{
    uint8_t *data = NULL;

    if (t->priv.o.direct) {
        data = t->priv.in;
    } else if (t->priv.pending > 0) {
        (void)eice_tls_app_out(&t->tls, &data);
    }
    *p = data;
    return t->priv.pending;
}

EICE_API void eice_tunnel_app_out_ack(eice_tunnel *t, size_t n)
{
    n = n < t->priv.pending ? n : t->priv.pending;
    if (n > 0) {
        eicei_tunnel_alive(t);
        if (t->priv.o.direct) {
            eicei_direct_take(t->priv.in, &t->priv.pending, n);
        } else {
            t->priv.pending -= n;
            eice_tls_app_out_ack(&t->tls, n);
        }
        eicei_tunnel_run(t);
    }
}

EICE_API void eice_tunnel_close(eice_tunnel *t)
{
    eicei_tunnel_stop(t, 1000);
    eicei_tunnel_run(t);
}

EICE_API void eice_tunnel_wipe(eice_tunnel *t)
{
    eice_wipe(t, sizeof *t);
    eice_tls_wipe(&t->tls);
    t->phase = EICE_TUNNEL_CLOSED;
}
/* ======================================================================== *
 * 14 CREDENTIALS AND CONFIGURATION                                 >>cred  *
 * ======================================================================== */

#define EICEI_CRED_ENV_MAX 32768u
#define EICEI_CRED_FILE_MAX (1024u * 1024u)
#define EICEI_CRED_STORE_MAX (4u * 1024u * 1024u)

/* ---- names ------------------------------------------------------------- */

#define EICEI_CRED_ENV_LIST(X)                                                \
    X(KEY_ID, "AWS_ACCESS_KEY_ID")                                            \
    X(SECRET, "AWS_SECRET_ACCESS_KEY")                                        \
    X(TOKEN, "AWS_SESSION_TOKEN")                                             \
    X(OLD_TOKEN, "AWS_SECURITY_TOKEN")                                        \
    X(PROFILE, "AWS_PROFILE")                                                 \
    X(DEFAULT_PROFILE, "AWS_DEFAULT_PROFILE")                                 \
    X(CREDENTIALS_FILE, "AWS_SHARED_CREDENTIALS_FILE")                        \
    X(CONFIG_FILE, "AWS_CONFIG_FILE")                                         \
    X(REGION, "AWS_REGION")                                                   \
    X(DEFAULT_REGION, "AWS_DEFAULT_REGION")                                   \
    X(FIPS, "AWS_USE_FIPS_ENDPOINT")                                          \
    X(DUALSTACK, "AWS_USE_DUALSTACK_ENDPOINT")                                \
    X(URL, "AWS_ENDPOINT_URL")                                                \
    X(URL_EC2, "AWS_ENDPOINT_URL_EC2")                                        \
    X(URL_EIC, "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT")                       \
    X(URL_STS, "AWS_ENDPOINT_URL_STS")                                        \
    X(URL_SSO, "AWS_ENDPOINT_URL_SSO")                                        \
    X(URL_OIDC, "AWS_ENDPOINT_URL_SSO_OIDC")                                  \
    X(IGNORE_URLS, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")                     \
    X(CA_BUNDLE, "AWS_CA_BUNDLE")                                             \
    X(REQUESTS_CA_BUNDLE, "REQUESTS_CA_BUNDLE")                               \
    X(SSL_CERT_FILE, "SSL_CERT_FILE")                                         \
    X(MAX_ATTEMPTS, "AWS_MAX_ATTEMPTS")                                       \
    X(HTTPS_PROXY_LOWER, "https_proxy")                                       \
    X(HTTPS_PROXY, "HTTPS_PROXY")                                             \
    X(HTTP_PROXY_LOWER, "http_proxy")                                         \
    X(HTTP_PROXY, "HTTP_PROXY")                                               \
    X(ALL_PROXY_LOWER, "all_proxy")                                           \
    X(ALL_PROXY, "ALL_PROXY")                                                 \
    X(NO_PROXY_LOWER, "no_proxy")                                             \
    X(NO_PROXY, "NO_PROXY")                                                   \
    X(CGI, "REQUEST_METHOD")                                                  \
    X(WEB_IDENTITY, "AWS_WEB_IDENTITY_TOKEN_FILE")                            \
    X(ROLE_ARN, "AWS_ROLE_ARN")                                               \
    X(ROLE_SESSION, "AWS_ROLE_SESSION_NAME")                                  \
    X(CONTAINER_PATH, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")               \
    X(CONTAINER_URL, "AWS_CONTAINER_CREDENTIALS_FULL_URI")                    \
    X(CONTAINER_TOKEN, "AWS_CONTAINER_AUTHORIZATION_TOKEN")                   \
    X(CONTAINER_FILE, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")               \
    X(LOGIN_FOLDER, "AWS_LOGIN_CACHE_DIRECTORY")                              \
    X(IMDS_DISABLED, "AWS_EC2_METADATA_DISABLED")                             \
    X(IMDS_URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT")                          \
    X(IMDS_MODE, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")                    \
    X(IMDS_SECONDS, "AWS_METADATA_SERVICE_TIMEOUT")                           \
    X(IMDS_ATTEMPTS, "AWS_METADATA_SERVICE_NUM_ATTEMPTS")

enum {
#define EICEI_X(name, text) EICEI_ENV_##name,
    EICEI_CRED_ENV_LIST(EICEI_X)
#undef EICEI_X
    EICEI_ENV_COUNT
};

EICEI_ASSERT_FITS(cred_env, EICEI_ENV_COUNT, EICE_CRED_VARIABLES);

static const char *const eicei_cred_env_names[EICEI_ENV_COUNT] = {
#define EICEI_X(name, text) text,
    EICEI_CRED_ENV_LIST(EICEI_X)
#undef EICEI_X
};

/* Keys of a profile. */
#define EICEI_CRED_KEY_LIST(X)                                                \
    X(KEY_ID, "aws_access_key_id")                                            \
    X(SECRET, "aws_secret_access_key")                                        \
    X(TOKEN, "aws_session_token")                                             \
    X(OLD_TOKEN, "aws_security_token")                                        \
    X(REGION, "region")                                                       \
    X(FIPS, "use_fips_endpoint")                                              \
    X(DUALSTACK, "use_dualstack_endpoint")                                    \
    X(URL, "endpoint_url")                                                    \
    X(IGNORE_URLS, "ignore_configured_endpoint_urls")                         \
    X(SERVICES, "services")                                                   \
    X(CA_BUNDLE, "ca_bundle")                                                 \
    X(MAX_ATTEMPTS, "max_attempts")                                           \
    X(ROLE, "role_arn")                                                       \
    X(ROLE_SESSION, "role_session_name")                                      \
    X(SOURCE_PROFILE, "source_profile")                                       \
    X(SOURCE, "credential_source")                                            \
    X(EXTERNAL_ID, "external_id")                                             \
    X(MFA, "mfa_serial")                                                      \
    X(DURATION, "duration_seconds")                                           \
    X(WEB_IDENTITY, "web_identity_token_file")                                \
    X(SSO_ACCOUNT, "sso_account_id")                                          \
    X(SSO_ROLE, "sso_role_name")                                              \
    X(SSO_SESSION, "sso_session")                                             \
    X(SSO_URL, "sso_start_url")                                               \
    X(SSO_REGION, "sso_region")                                               \
    X(LOGIN, "login_session")                                                 \
    X(PROCESS, "credential_process")                                          \
    X(IMDS_URL, "ec2_metadata_service_endpoint")                              \
    X(IMDS_MODE, "ec2_metadata_service_endpoint_mode")                        \
    X(IMDS_SECONDS, "metadata_service_timeout")                               \
    X(IMDS_ATTEMPTS, "metadata_service_num_attempts")

enum {
#define EICEI_X(name, text) EICEI_KEY_##name,
    EICEI_CRED_KEY_LIST(EICEI_X)
#undef EICEI_X
    EICEI_KEY_COUNT
};

static const char *const eicei_cred_key_names[EICEI_KEY_COUNT] = {
#define EICEI_X(name, text) text,
    EICEI_CRED_KEY_LIST(EICEI_X)
#undef EICEI_X
};

#define EICEI_CRED_NO (-1) /* neither a variable nor a key */

/* Where a service is named in the environment, in a services section and in
 * host names. */
typedef struct eicei_cred_service {
    int env;
    const char *block;
    const char *host;
} eicei_cred_service;

static const eicei_cred_service eicei_cred_services[EICE_SERVICE_COUNT] = {
    { EICEI_ENV_URL_EC2, "ec2", "ec2" },
    { EICEI_ENV_URL_EIC, "ec2_instance_connect", "ec2-instance-connect" },
    { EICEI_ENV_URL_STS, "sts", "sts" },
    { EICEI_ENV_URL_SSO, "sso", "portal.sso" },
    { EICEI_ENV_URL_OIDC, "sso_oidc", "oidc" }
};

/* The two files, and the needs that ask for them. */
enum {
    EICEI_CRED_FILE, /* ~/.aws/credentials */
    EICEI_CONFIG_FILE,
    EICEI_FILE_COUNT
};

enum {
    EICEI_CRED_VARIABLES,
    EICEI_CRED_FILES,
    EICEI_CRED_LATE,
    EICEI_CRED_DONE
};

/* ---- the machine ------------------------------------------------------- */

EICE_API void eice_settings_init(eice_settings *s)
{
    size_t i;

    memset(s, 0, sizeof *s);
    s->profile = "default";
    s->region = "";
    for (i = 0; i < EICE_SERVICE_COUNT; i++) {
        s->endpoint_url[i] = "";
    }
    s->ca_bundle = "";
    s->https_proxy = "";
    s->http_proxy = "";
    s->no_proxy = "";
    s->max_attempts = 3;
}

EICE_API bool eice_region_ok(eice_str s)
{
    size_t i;

    if (s.len == 0 || s.len > 63 || s.ptr[0] == '-'
        || s.ptr[s.len - 1] == '-') {
        return false;
    }
    for (i = 0; i < s.len; i++) {
        const char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
    }
    return true;
}

EICEI_PRIVATE bool eicei_cred_region_fail(eice_cred *c, eice_str region)
{
    eice_fail(&c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
              "\"%S\" is not the name of a region", &region);
    eice_copy_text(c->error.remedy, sizeof c->error.remedy,
                   eice_str_c("name a region like eu-west-1"));
    return false;
}

EICE_API eice_err eice_cred_init(eice_cred *c, const eice_cred_opts *o)
{
    memset(c, 0, sizeof *c);
    c->priv.o = *o;
    c->priv.store.alloc = o->alloc;
    eice_settings_init(&c->settings);
    if (o->region != NULL && o->region[0] != 0
        && !eice_region_ok(eice_str_c(o->region))) {
        eicei_cred_region_fail(c, eice_str_c(o->region));
        c->priv.state = EICEI_CRED_DONE;
    }
    return c->error.code;
}

EICE_API bool eice_cred_need(eice_cred *c, eice_need *need)
{
    const unsigned id = c->priv.asked;

    memset(need, 0, sizeof *need);
    if (c->priv.state == EICEI_CRED_VARIABLES && id < EICEI_ENV_COUNT) {
        need->kind = EICE_NEED_ENV;
        need->name = eice_str_c(eicei_cred_env_names[id]);
        need->max = EICEI_CRED_ENV_MAX;
    } else if (c->priv.state == EICEI_CRED_FILES
               && id < (unsigned)EICEI_ENV_COUNT + EICEI_FILE_COUNT) {
        need->kind = EICE_NEED_FILE;
        need->name = eice_str_c(c->priv.path[id - EICEI_ENV_COUNT]);
        need->max = EICEI_CRED_FILE_MAX;
    } else if (c->priv.state == EICEI_CRED_LATE && id == c->priv.need.id) {
        *need = c->priv.need;
    } else {
        return false;
    }
    need->id = id;
    c->priv.asked++;
    return true;
}

EICE_API bool eice_cred_done(const eice_cred *c)
{
    return c->priv.state == EICEI_CRED_DONE;
}

EICE_API void eice_cred_wipe(eice_cred *c)
{
    eice_blob_free(&c->priv.store);
    eice_blob_free(&c->priv.run);
    eice_blob_free(&c->priv.text);
    eice_blob_free(&c->priv.got);
    eice_blob_free(&c->priv.doc);
    eice_wipe(c, sizeof *c);
    eice_settings_init(&c->settings);
    c->priv.state = EICEI_CRED_DONE;
}

/* Keeps an answer, and a NUL behind it; returns its place + 1, 0 on error. */
EICEI_PRIVATE uint32_t eicei_cred_keep(eice_cred *c, eice_str name,
                                       eice_str data, size_t max)
{
    const size_t at = c->priv.store.len;

    if (data.len > max) {
        eice_fail(&c->error, EICE_E_LIMIT, EICE_STAGE_CONFIG,
                  "%S is longer than %u bytes", &name, (unsigned)max);
        return 0;
    }
    if (eice_str_find(data, 0) < data.len) {
        eice_fail(&c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "%S holds a NUL byte", &name);
        return 0;
    }
    if (!eice_blob_add(&c->priv.store, data.ptr, data.len,
                       EICEI_CRED_STORE_MAX)
        || !eice_blob_add(&c->priv.store, "", 1, EICEI_CRED_STORE_MAX)) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CONFIG,
                  "no memory for %S", &name);
        return 0;
    }
    return (uint32_t)at + 1;
}

/* The value of a variable, or NULL when it is not set. */
EICEI_PRIVATE char *eicei_cred_env_raw(const eice_cred *c, int variable)
{
    const uint32_t place = c->priv.env[variable];

    return place == 0 ? NULL : (char *)c->priv.store.ptr + place - 1;
}

/* Set but empty counts as not set. */
EICEI_PRIVATE eice_str eicei_cred_env(const eice_cred *c, int variable)
{
    return eice_str_c(eicei_cred_env_raw(c, variable));
}

/* Length of a leading $HOME or ${HOME} in front of a slash, or 0. */
EICEI_PRIVATE size_t eicei_cred_home(eice_str path)
{
    static const char *const forms[] = { "$HOME/", "${HOME}/" };
    size_t i;

    for (i = 0; i < EICEI_LEN(forms); i++) {
        if (eice_str_starts(path, forms[i])) {
            return strlen(forms[i]) - 1;
        }
    }
    return 0;
}

EICEI_PRIVATE void eicei_cred_set_path(eice_cred *c, int file, int variable,
                                       const char *usual)
{
    eice_str path = eicei_cred_env(c, variable);
    size_t home;
    eice_buf b;

    if (path.len == 0) {
        path = eice_str_c(usual);
    }
    home = eicei_cred_home(path);
    eice_buf_init(&b, c->priv.path[file], sizeof c->priv.path[file]);
    eice_put_c(&b, home > 0 ? "~" : "");
    eice_put(&b, eice_str_make(path.ptr + home, path.len - home));
    eice_buf_c(&b);
    if (b.len == b.cap) {
        eice_fail(&c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "%s is too long for a path",
                  eicei_cred_env_names[variable]);
    }
}

EICEI_PRIVATE void eicei_cred_resolve(eice_cred *c);
EICEI_PRIVATE void eicei_cred_late(eice_cred *c, const eice_answer *a);

/* On to the next state when all that was asked for has come. */
EICEI_PRIVATE void eicei_cred_advance(eice_cred *c)
{
    const uint64_t variables = ((uint64_t)1 << EICEI_ENV_COUNT) - 1;
    const uint64_t all = ((uint64_t)1 << ((unsigned)EICEI_ENV_COUNT
                                          + EICEI_FILE_COUNT))
                         - 1;

    if (c->error.code == EICE_OK && c->priv.answered == variables) {
        c->priv.state = EICEI_CRED_FILES;
        eicei_cred_set_path(c, EICEI_CRED_FILE, EICEI_ENV_CREDENTIALS_FILE,
                            "~/.aws/credentials");
        eicei_cred_set_path(c, EICEI_CONFIG_FILE, EICEI_ENV_CONFIG_FILE,
                            "~/.aws/config");
    }
    if (c->error.code == EICE_OK && c->priv.answered == all) {
        eicei_cred_resolve(c);
    }
    if (c->error.code != EICE_OK) {
        c->priv.state = EICEI_CRED_DONE;
    }
}

EICEI_PRIVATE void eicei_cred_take(eice_cred *c, uint32_t id,
                                   const eice_answer *a)
{
    const bool variable = id < EICEI_ENV_COUNT;
    const unsigned file = variable ? 0 : id - EICEI_ENV_COUNT;
    const eice_str name = eice_str_c(variable ? eicei_cred_env_names[id]
                                              : c->priv.path[file]);

    if (a->code != EICE_OK) {
        eice_fail(&c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "cannot read %S: %s", &name, eice_err_text(a->code));
        c->error.detail_kind = a->sys_errno == 0 ? EICE_DETAIL_NONE
                                                 : EICE_DETAIL_ERRNO;
        c->error.detail = a->sys_errno;
    } else if (a->absent) {
        return;
    } else if (variable) {
        c->priv.env[id] = eicei_cred_keep(c, name, a->data,
                                          EICEI_CRED_ENV_MAX);
    } else {
        c->priv.file[file] = eicei_cred_keep(c, name, a->data,
                                             EICEI_CRED_FILE_MAX);
        c->priv.file_len[file] = (uint32_t)a->data.len;
    }
}

EICE_API void eice_cred_answer(eice_cred *c, uint32_t id, const eice_answer *a)
{
    if (c->priv.state == EICEI_CRED_LATE && id == c->priv.need.id
        && id < c->priv.asked) {
        eicei_cred_late(c, a);
    }
    if (c->priv.state >= EICEI_CRED_LATE || id >= c->priv.asked
        || (c->priv.answered >> id & 1) != 0) {
        return;
    }
    c->priv.answered |= (uint64_t)1 << id;
    eicei_cred_take(c, id, a);
    eicei_cred_advance(c);
}

/* ---- shared files ------------------------------------------------------ */

/* What the files say about one profile. The slices point into the store. */
typedef struct eicei_cred_profile {
    eice_str name;
    bool found[EICEI_FILE_COUNT];
    eice_str value[EICEI_FILE_COUNT][EICEI_KEY_COUNT];
} eicei_cred_profile;

/* Why a chain of source_profiles leads nowhere. */
enum {
    EICEI_CHAIN_GOOD,
    EICEI_CHAIN_MISSING,
    EICEI_CHAIN_LOOP,
    EICEI_CHAIN_LONG
};

/* What the AWS CLI keeps of a login. */
enum {
    EICEI_CACHE_ACCESS,
    EICEI_CACHE_EXPIRES,
    EICEI_CACHE_REFRESH,
    EICEI_CACHE_CLIENT,
    EICEI_CACHE_SECRET,
    EICEI_CACHE_REGISTERED,
    EICEI_CACHE_COUNT
};

typedef struct eicei_cred_sso {
    bool found;          /* the section [sso-session NAME] */
    eice_str url;        /* of that section, then those in force */
    eice_str region;
    char path[640];      /* of the cache file */
    char host[256];
    size_t cached[EICEI_CACHE_COUNT]; /* places in c->priv.got */
    int64_t now;
    bool renewed;        /* or tried to */
    char why[160];       /* it could not be renewed */
} eicei_cred_sso;

/* One search, from the files to the keys: in c->priv.run. All of the files is
 * read before the first value is made a C string (eicei_cred_c). */
typedef struct eicei_cred_run {
    eice_cred *c;
    bool named;          /* by option or variable: it must exist */
    bool services_found;
    eice_str url[EICE_SERVICE_COUNT]; /* of the services section */
    eicei_cred_profile profile[EICE_CRED_CHAIN]; /* the first is the one in
                                                    force, the others are its
                                                    source's source ... */
    unsigned count;
    unsigned at;         /* the one that is asked, see eicei_cred_key */
    int chain;           /* EICEI_CHAIN_..., of the source of the last one */
    unsigned next;       /* provider */
    unsigned roles;      /* to be assumed: of profile[roles - 1] next */
    eice_str source;     /* credential_source that is asked, or empty */
    bool region_asked;   /* the instance metadata were, for the region */
    bool region_open;    /* and have not answered yet */
    char code[16];       /* of a token, for the next AssumeRole */
    eicei_cred_sso sso;
} eicei_cred_run;

EICEI_PRIVATE eicei_cred_run *eicei_cred_run_of(const eice_cred *c)
{
    return (eicei_cred_run *)(void *)c->priv.run.ptr;
}

EICEI_PRIVATE eice_str eicei_cred_text(const eice_cred *c, unsigned file)
{
    if (c->priv.file[file] == 0) {
        return eice_str_make(NULL, 0);
    }
    return eice_str_make(c->priv.store.ptr + c->priv.file[file] - 1,
                         c->priv.file_len[file]);
}

EICEI_PRIVATE bool eicei_cred_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "word NAME": is it this one? A NAME that holds blanks stands in quotes. */
EICEI_PRIVATE bool eicei_cred_section_is(eice_str section, const char *word,
                                         eice_str name)
{
    const size_t len = strlen(word);
    eice_str rest;
    char quote;

    if (!eice_str_starts(section, word) || section.len == len
        || !eicei_cred_blank(section.ptr[len])) {
        return false;
    }
    rest = eice_str_trim(eice_str_make(section.ptr + len, section.len - len));
    quote = rest.len < 2 ? '\0' : rest.ptr[0];
    if ((quote == '"' || quote == '\'') && rest.ptr[rest.len - 1] == quote) {
        rest = eice_str_make(rest.ptr + 1, rest.len - 2);
    } else if (eice_str_find(rest, ' ') < rest.len
               || eice_str_find(rest, '\t') < rest.len) {
        return false;
    }
    return eice_str_eq(rest, name);
}

/* How well a section fits the profile: 0 not at all. In the config file
 * [profile default] is preferred to [default]. */
EICEI_PRIVATE unsigned eicei_cred_rank(eice_str profile, unsigned file,
                                       eice_str section)
{
    if (file == EICEI_CRED_FILE) {
        return eice_str_eq(section, profile) ? 1 : 0;
    }
    if (eicei_cred_section_is(section, "profile", profile)) {
        return 2;
    }
    return eice_str_is(section, "default") && eice_str_is(profile, "default")
               ? 1 : 0;
}

EICEI_PRIVATE void eicei_cred_set(eice_str *values, eice_str name,
                                  eice_str value)
{
    size_t i;

    for (i = 0; i < EICEI_KEY_COUNT; i++) {
        if (eice_str_is_nocase(name, eicei_cred_key_names[i])) {
            values[i] = value;
        }
    }
}

EICEI_PRIVATE void eicei_cred_malformed(eicei_cred_run *r, unsigned file,
                                        const eice_ini *ini)
{
    eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
              "%s, line %u: neither [section] nor name = value",
              r->c->priv.path[file], ini->line);
}

/* Reads a profile out of one file; sections of the same name are merged,
 * the last value of a key wins. */
EICEI_PRIVATE void eicei_cred_read(eicei_cred_run *r, eicei_cred_profile *p,
                                   unsigned file)
{
    unsigned best = 0;
    unsigned rank = 0;
    eice_ini_type type;
    eice_str name;
    eice_str value;
    eice_ini ini;

    eice_ini_init(&ini, eicei_cred_text(r->c, file));
    while ((type = eice_ini_next(&ini, &name, &value)) != EICE_INI_END
           && type != EICE_INI_ERROR) {
        if (type == EICE_INI_SECTION) {
            rank = eicei_cred_rank(p->name, file, name);
            if (rank > best) {
                memset(p->value[file], 0, sizeof p->value[file]);
                best = rank;
            }
        } else if (type == EICE_INI_KEY && rank > 0 && rank == best) {
            eicei_cred_set(p->value[file], name, value);
        }
    }
    p->found[file] = best > 0;
    if (type == EICE_INI_ERROR) {
        eicei_cred_malformed(r, file, &ini);
    }
}

/* What a profile says; of a key in both files the credentials file's. */
EICEI_PRIVATE eice_str eicei_cred_value(const eicei_cred_profile *p, int key)
{
    const eice_str first = p->value[EICEI_CRED_FILE][key];

    return first.len > 0 ? first : p->value[EICEI_CONFIG_FILE][key];
}

/* What the profile says that is asked now. */
EICEI_PRIVATE eice_str eicei_cred_key(const eicei_cred_run *r, int key)
{
    return eicei_cred_value(&r->profile[r->at], key);
}

/* A token file makes it a web identity. */
EICEI_PRIVATE bool eicei_cred_is_role(const eicei_cred_profile *p)
{
    return eicei_cred_value(p, EICEI_KEY_ROLE).len > 0
        && eicei_cred_value(p, EICEI_KEY_WEB_IDENTITY).len == 0;
}

EICEI_PRIVATE bool eicei_cred_is_static(const eicei_cred_profile *p)
{
    unsigned file;

    for (file = 0; file < EICEI_FILE_COUNT; file++) {
        if (p->value[file][EICEI_KEY_KEY_ID].ptr != NULL
            || p->value[file][EICEI_KEY_SECRET].ptr != NULL) {
            return true;
        }
    }
    return false;
}

EICEI_PRIVATE void eicei_cred_read_profile(eicei_cred_run *r, eice_str name)
{
    eicei_cred_profile *const p = &r->profile[r->count++];
    unsigned file;

    p->name = name;
    for (file = 0; file < EICEI_FILE_COUNT; file++) {
        eicei_cred_read(r, p, file);
    }
}

/* Can a chain go on with this source? A profile may name itself where its own
 * keys are the source. */
EICEI_PRIVATE int eicei_cred_chain(const eicei_cred_run *r, eice_str source)
{
    const eicei_cred_profile *const last = &r->profile[r->count - 1];
    unsigned i;

    if (eice_str_eq(source, last->name) && eicei_cred_is_static(last)) {
        return EICEI_CHAIN_GOOD;
    }
    for (i = 0; i < r->count; i++) {
        if (eice_str_eq(source, r->profile[i].name)) {
            return EICEI_CHAIN_LOOP;
        }
    }
    return r->count < EICE_CRED_CHAIN ? EICEI_CHAIN_GOOD : EICEI_CHAIN_LONG;
}

/* Reads the profiles that the one in force gets its keys from. Of a source
 * its own keys come before its role. What is wrong with the chain is an error
 * only when it is used. */
EICEI_PRIVATE void eicei_cred_read_chain(eicei_cred_run *r)
{
    for (;;) {
        const eicei_cred_profile *const p = &r->profile[r->count - 1];
        const eice_str source = eicei_cred_value(p, EICEI_KEY_SOURCE_PROFILE);

        if (r->count > 1 && !p->found[0] && !p->found[1]) {
            r->chain = EICEI_CHAIN_MISSING;
            r->count--;
            return;
        }
        if (!eicei_cred_is_role(p) || source.len == 0
            || eicei_cred_value(p, EICEI_KEY_SOURCE).len > 0
            || (r->count > 1 && eicei_cred_is_static(p))) {
            return;
        }
        r->chain = eicei_cred_chain(r, source);
        if (r->chain != EICEI_CHAIN_GOOD || eice_str_eq(source, p->name)) {
            return;
        }
        eicei_cred_read_profile(r, source);
    }
}

EICEI_PRIVATE unsigned eicei_cred_block(eice_str name)
{
    unsigned i;

    for (i = 0; i < EICE_SERVICE_COUNT; i++) {
        if (eice_str_is_nocase(name, eicei_cred_services[i].block)) {
            break;
        }
    }
    return i;
}

/* Reads the endpoint URLs of the [services NAME] the profile names. */
EICEI_PRIVATE void eicei_cred_read_services(eicei_cred_run *r)
{
    const eice_str wanted = eicei_cred_key(r, EICEI_KEY_SERVICES);
    unsigned service = EICE_SERVICE_COUNT;
    bool inside = false;
    eice_ini_type type;
    eice_str name;
    eice_str value;
    eice_ini ini;

    if (wanted.len == 0) {
        return;
    }
    eice_ini_init(&ini, eicei_cred_text(r->c, EICEI_CONFIG_FILE));
    while ((type = eice_ini_next(&ini, &name, &value)) != EICE_INI_END
           && type != EICE_INI_ERROR) {
        if (type == EICE_INI_SECTION) {
            inside = eicei_cred_section_is(name, "services", wanted);
            r->services_found = r->services_found || inside;
            service = EICE_SERVICE_COUNT;
        } else if (type == EICE_INI_KEY && inside) {
            service = eicei_cred_block(name);
        } else if (inside && service < EICE_SERVICE_COUNT
                   && eice_str_is_nocase(name, "endpoint_url")) {
            r->url[service] = value;
        }
    }
}

/* Reads the [sso-session NAME] that the profile names which has the keys. */
EICEI_PRIVATE void eicei_cred_read_session(eicei_cred_run *r)
{
    const eice_str wanted = eicei_cred_value(&r->profile[r->count - 1],
                                             EICEI_KEY_SSO_SESSION);
    bool inside = false;
    eice_ini_type type;
    eice_str name;
    eice_str value;
    eice_ini ini;

    eice_ini_init(&ini, eicei_cred_text(r->c, EICEI_CONFIG_FILE));
    while (wanted.len > 0
           && (type = eice_ini_next(&ini, &name, &value)) != EICE_INI_END
           && type != EICE_INI_ERROR) {
        if (type == EICE_INI_SECTION) {
            inside = eicei_cred_section_is(name, "sso-session", wanted);
            r->sso.found = r->sso.found || inside;
        } else if (inside && type == EICE_INI_KEY) {
            if (eice_str_is_nocase(name, "sso_start_url")) {
                r->sso.url = value;
            } else if (eice_str_is_nocase(name, "sso_region")) {
                r->sso.region = value;
            }
        }
    }
}

/* ---- settings ---------------------------------------------------------- */

/* A slice of the store as a C string: the byte behind it is no part of any
 * other value (a line end, a blank, a NUL), once the files are read. */
EICEI_PRIVATE char *eicei_cred_c(const eicei_cred_run *r, eice_str s)
{
    char *const base = (char *)r->c->priv.store.ptr;
    size_t at;

    if (s.len == 0) {
        return NULL;
    }
    at = (size_t)(s.ptr - base);
    base[at + s.len] = 0;
    return base + at;
}

EICEI_PRIVATE const char *eicei_cred_or(const char *a, const char *b)
{
    return a != NULL && a[0] != 0 ? a : b;
}

/* The first that is set of two variables and a key (each may be NO), or "". */
EICEI_PRIVATE const char *eicei_cred_pick(const eicei_cred_run *r, int env_a,
                                          int env_b, int key)
{
    const char *text = NULL;

    if (env_a != EICEI_CRED_NO) {
        text = eicei_cred_env_raw(r->c, env_a);
    }
    if (env_b != EICEI_CRED_NO) {
        text = eicei_cred_or(text, eicei_cred_env_raw(r->c, env_b));
    }
    if (key != EICEI_CRED_NO) {
        text = eicei_cred_or(text, eicei_cred_c(r, eicei_cred_key(r, key)));
    }
    return eicei_cred_or(text, "");
}

EICEI_PRIVATE bool eicei_cred_flag(const eicei_cred_run *r, bool given,
                                   int env, int key)
{
    const char *const text = eicei_cred_pick(r, env, EICEI_CRED_NO, key);

    return given || eice_str_is_nocase(eice_str_c(text), "true");
}

EICEI_PRIVATE bool eicei_cred_choose(eicei_cred_run *r)
{
    eice_cred *const c = r->c;
    const char *const given = c->priv.o.profile;
    const char *const env = eicei_cred_pick(r, EICEI_ENV_PROFILE,
                                            EICEI_ENV_DEFAULT_PROFILE,
                                            EICEI_CRED_NO);

    c->settings.profile = eicei_cred_or(given, eicei_cred_or(env, "default"));
    r->named = eicei_cred_or(given, env)[0] != 0;
    return true;
}

EICEI_PRIVATE bool eicei_cred_files(eicei_cred_run *r)
{
    eice_cred *const c = r->c;
    const bool *const found = r->profile[0].found;

    eicei_cred_read_profile(r, eice_str_c(c->settings.profile));
    eicei_cred_read_services(r);
    eicei_cred_read_chain(r);
    eicei_cred_read_session(r);
    if (c->error.code == EICE_OK && r->named
        && !found[EICEI_CRED_FILE] && !found[EICEI_CONFIG_FILE]) {
        eice_fail(&c->error, EICE_E_PROFILE, EICE_STAGE_CONFIG,
                  "no profile %s in %s%s and %s%s", c->settings.profile,
                  c->priv.path[EICEI_CONFIG_FILE],
                  c->priv.file[EICEI_CONFIG_FILE] == 0 ? " (absent)" : "",
                  c->priv.path[EICEI_CRED_FILE],
                  c->priv.file[EICEI_CRED_FILE] == 0 ? " (absent)" : "");
    }
    return c->error.code == EICE_OK;
}

/* The old spellings fips-REGION and REGION-fips mean a flag and a region. */
EICEI_PRIVATE eice_str eicei_cred_region_plain(eice_str s, bool *fips)
{
    const eice_str tail = eice_str_make(s.ptr + (s.len < 5 ? 0 : s.len - 5),
                                        s.len < 5 ? 0 : 5);

    if (eice_str_starts(s, "fips-")) {
        *fips = true;
        return eice_str_make(s.ptr + 5, s.len - 5);
    }
    if (eice_str_is(tail, "-fips")) {
        *fips = true;
        return eice_str_make(s.ptr, s.len - 5);
    }
    return s;
}

EICEI_PRIVATE bool eicei_cred_flags(eicei_cred_run *r)
{
    eice_cred *const c = r->c;
    const char *const text = eicei_cred_or(c->priv.o.region,
        eicei_cred_pick(r, EICEI_ENV_REGION, EICEI_ENV_DEFAULT_REGION,
                        EICEI_KEY_REGION));
    eice_str region;

    c->settings.fips = eicei_cred_flag(r, c->priv.o.fips, EICEI_ENV_FIPS,
                                       EICEI_KEY_FIPS);
    c->settings.dualstack = eicei_cred_flag(r, c->priv.o.dualstack,
                                            EICEI_ENV_DUALSTACK,
                                            EICEI_KEY_DUALSTACK);
    region = eicei_cred_region_plain(eice_str_c(text), &c->settings.fips);
    if (region.len > 0 && !eice_region_ok(region)) {
        return eicei_cred_region_fail(c, region);
    }
    eice_copy_text(c->priv.region, sizeof c->priv.region, region);
    c->settings.region = c->priv.region;
    return true;
}

EICEI_PRIVATE bool eicei_cred_urls(eicei_cred_run *r)
{
    eice_settings *const s = &r->c->settings;
    const eice_str services = eicei_cred_key(r, EICEI_KEY_SERVICES);
    unsigned i;

    if (eicei_cred_flag(r, false, EICEI_ENV_IGNORE_URLS,
                        EICEI_KEY_IGNORE_URLS)) {
        return true;
    }
    for (i = 0; i < EICE_SERVICE_COUNT; i++) {
        const char *text = eicei_cred_pick(r, eicei_cred_services[i].env,
                                           EICEI_ENV_URL, EICEI_CRED_NO);

        if (text[0] == 0 && services.len > 0 && !r->services_found) {
            eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                      "profile %s names services %S, and %s has no such "
                      "section", s->profile, &services,
                      r->c->priv.path[EICEI_CONFIG_FILE]);
            return false;
        }
        text = eicei_cred_or(text, eicei_cred_c(r, r->url[i]));
        s->endpoint_url[i] = eicei_cred_or(text,
            eicei_cred_pick(r, EICEI_CRED_NO, EICEI_CRED_NO, EICEI_KEY_URL));
    }
    return true;
}

EICEI_PRIVATE bool eicei_cred_roots(eicei_cred_run *r)
{
    const char *text = eicei_cred_pick(r, EICEI_ENV_CA_BUNDLE, EICEI_CRED_NO,
                                       EICEI_KEY_CA_BUNDLE);
    const size_t home = eicei_cred_home(eice_str_c(text));

    if (home > 0) { /* in the store: "$HOME/x" becomes "~/x" where it is */
        char *const tilde = (char *)r->c->priv.store.ptr
            + (text - (const char *)r->c->priv.store.ptr) + home - 1;

        *tilde = '~';
        text = tilde;
    }
    text = eicei_cred_or(text, eicei_cred_pick(r, EICEI_ENV_REQUESTS_CA_BUNDLE,
                                               EICEI_ENV_SSL_CERT_FILE,
                                               EICEI_CRED_NO));
    r->c->settings.ca_bundle = eicei_cred_or(r->c->priv.o.ca_bundle, text);
    return true;
}

EICEI_PRIVATE bool eicei_cred_attempts(eicei_cred_run *r)
{
    const char *const text = eicei_cred_pick(r, EICEI_ENV_MAX_ATTEMPTS,
                                             EICEI_CRED_NO,
                                             EICEI_KEY_MAX_ATTEMPTS);
    const eice_str s = eice_str_c(text);
    uint64_t n = r->c->settings.max_attempts;

    if (s.len > 0 && (!eice_str_u64(s, 1000, &n) || n == 0)) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "AWS_MAX_ATTEMPTS or max_attempts is \"%S\", not a number "
                  "from 1 to 1000", &s);
        return false;
    }
    r->c->settings.max_attempts = (unsigned)n;
    return true;
}

/* The lower-case variable decides when it is set at all: empty, it switches
 * the upper-case one off. */
EICEI_PRIVATE const char *eicei_cred_cased(const eicei_cred_run *r, int lower,
                                           int upper)
{
    const char *const text = eicei_cred_env_raw(r->c, lower);

    return text != NULL ? text : eicei_cred_env_raw(r->c, upper);
}

EICEI_PRIVATE bool eicei_cred_proxies(eicei_cred_run *r)
{
    eice_settings *const s = &r->c->settings;
    const char *const all = eicei_cred_cased(r, EICEI_ENV_ALL_PROXY_LOWER,
                                             EICEI_ENV_ALL_PROXY);
    /* HTTP_PROXY is what a CGI program's client sends as "Proxy:" (httpoxy,
     * CVE-2016-5385). */
    const bool cgi = eicei_cred_env_raw(r->c, EICEI_ENV_CGI) != NULL;
    const char *const https = eicei_cred_cased(r, EICEI_ENV_HTTPS_PROXY_LOWER,
                                               EICEI_ENV_HTTPS_PROXY);
    const char *const http = eicei_cred_cased(r, EICEI_ENV_HTTP_PROXY_LOWER,
        cgi ? EICEI_ENV_HTTP_PROXY_LOWER : EICEI_ENV_HTTP_PROXY);

    s->https_proxy = https != NULL ? https : eicei_cred_or(all, "");
    s->http_proxy = http != NULL ? http : eicei_cred_or(all, "");
    s->no_proxy = eicei_cred_or(
        eicei_cred_cased(r, EICEI_ENV_NO_PROXY_LOWER, EICEI_ENV_NO_PROXY), "");
    if (r->c->priv.o.proxy != NULL) {
        s->https_proxy = r->c->priv.o.proxy;
        s->http_proxy = r->c->priv.o.proxy;
    }
    return true;
}

/* ---- places ------------------------------------------------------------ */

/* A partition: regions of the form PREFIXword-digits. */
typedef struct eicei_cred_partition {
    const char *prefix;
    const char *suffix;
    const char *dual_suffix;
    bool fips_is_plain; /* the hosts without -fips are FIPS already, but
                           that of EC2 Instance Connect */
} eicei_cred_partition;

static const eicei_cred_partition eicei_cred_partitions[] = {
    { "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", false },
    { "us-gov-", "amazonaws.com", "api.aws", true },
    { "us-iso-", "c2s.ic.gov", "api.aws.ic.gov", false },
    { "us-isob-", "sc2s.sgov.gov", "api.aws.scloud", false },
    { "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", false },
    { "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", false },
    { "eusc-de-", "amazonaws.eu", "api.amazonwebservices.eu", false },
    { "", "amazonaws.com", "api.aws", false } /* aws, and what is unknown */
};

EICEI_PRIVATE const eicei_cred_partition *eicei_cred_partition_of(eice_str region)
{
    const eicei_cred_partition *p = eicei_cred_partitions;

    for (; p->prefix[0] != 0; p++) {
        const size_t len = strlen(p->prefix);

        if (eice_str_starts(region, p->prefix)) {
            eice_str number = eice_str_make(region.ptr + len, region.len - len);
            const eice_str word = eice_str_cut(&number, '-');
            uint64_t n;

            if (word.len > 0 && eice_str_u64(number, UINT64_MAX, &n)) {
                return p;
            }
        }
    }
    return p;
}

EICEI_PRIVATE eice_err eicei_cred_template(const eice_settings *s,
                                          eice_service service, eice_buf *text,
                                          eice_place *place, eice_error *e)
{
    const eice_str region = eice_str_c(s->region);
    const eicei_cred_partition *p;
    const size_t at = text->len;
    bool fips;

    if (region.len == 0) {
        return eice_fail(e, EICE_E_NO_REGION, EICE_STAGE_CONFIG,
                         "no region to look for %s in",
                         eicei_cred_services[service].host);
    }
    if (!eice_region_ok(region)) {
        return eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                         "\"%S\" is not the name of a region", &region);
    }
    p = eicei_cred_partition_of(region);
    fips = s->fips && !(p->fips_is_plain && !s->dualstack
                        && service != EICE_SERVICE_EIC);
    eice_putf(text, "%s%s.%s.%s", eicei_cred_services[service].host,
              fips ? "-fips" : "", s->region,
              s->dualstack ? p->dual_suffix : p->suffix);
    if (text->overflow) {
        return eice_fail(e, EICE_E_LIMIT, EICE_STAGE_CONFIG,
                         "no room for a host name of region %S", &region);
    }
    place->tls = true;
    place->host = eice_str_make(text->ptr + at, text->len - at);
    place->port = 443;
    place->path = eice_str_c("/");
    return EICE_OK;
}

EICEI_PRIVATE eice_err eicei_cred_override(const eice_settings *s,
                                          eice_service service,
                                          eice_place *place, eice_error *e)
{
    const eice_str text = eice_str_c(s->endpoint_url[service]);
    eice_url url;

    if (!eice_url_parse(text, &url) || url.user.len > 0
        || !eice_str_starts(eice_str_make(url.scheme.ptr, 1), "h")
        || eice_str_find(url.path, '?') < url.path.len) {
        return eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                         "the endpoint URL of %s is not of the form "
                         "http[s]://host[:port][/path]: %S",
                         eicei_cred_services[service].host, &text);
    }
    if (s->fips || s->dualstack) {
        return eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                         "%s endpoints and an endpoint URL (%S) exclude each "
                         "other", s->fips ? "FIPS" : "dual-stack", &text);
    }
    place->tls = url.tls;
    place->host = url.host;
    place->port = url.port;
    place->path = url.path;
    return EICE_OK;
}

EICE_API eice_err eice_aws_place(const eice_settings *s, eice_service service,
                                 eice_buf *text, eice_place *place,
                                 eice_error *e)
{
    memset(place, 0, sizeof *place);
    return s->endpoint_url[service][0] != 0
               ? eicei_cred_override(s, service, place, e)
               : eicei_cred_template(s, service, text, place, e);
}

/* ---- providers --------------------------------------------------------- */

enum {
    EICEI_CRED_NOTHING, /* nothing here: the next provider is tried */
    EICEI_CRED_FOUND,
    EICEI_CRED_BROKEN,  /* c->error is set */
    EICEI_CRED_WAIT     /* c->priv.need is open; priv.next takes its answer */
};

typedef int eicei_cred_verdict;
typedef eicei_cred_verdict eicei_cred_next(eice_cred *c, const eice_answer *a);

struct eicei_cred_provider;

typedef eicei_cred_verdict eicei_cred_load(
    eicei_cred_run *r, const struct eicei_cred_provider *p);

/* One way to keys. */
typedef struct eicei_cred_provider {
    eicei_cred_load *load;
    const char *source; /* credential_source that means it, or NULL */
    bool of_profile;    /* reads a profile (eicei_cred_key), which may be the
                           source of another one */
    int key;            /* EICEI_KEY_..., what asks for it, or NO */
} eicei_cred_provider;

EICEI_PRIVATE bool eicei_cred_visible(eice_str s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        if (s.ptr[i] < '!' || s.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Takes the keys when they can be ones; `from` says where they are. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_accept(eice_cred *c,
                                                   const eice_keys *k,
                                                   const char *from)
{
    const char *what = NULL;

    if (k->access_key_id.len == 0) {
        what = "the access key id is empty";
    } else if (k->secret_access_key.len == 0) {
        what = "there is an access key id without a secret access key";
    } else if (!eicei_cred_visible(k->access_key_id)
               || !eicei_cred_visible(k->secret_access_key)
               || !eicei_cred_visible(k->session_token)) {
        what = "a key or token holds a blank or a control character";
    } else if (eice_str_starts(k->access_key_id, "ASIA")
               && k->session_token.len == 0) {
        what = "the access key id begins with ASIA: such temporary keys need "
               "their session token too";
    }
    if (what != NULL) {
        eice_fail(&c->error, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS,
                  "%s: %s", from, what);
        if (eice_str_starts(k->access_key_id, "ASIA")) {
            eice_copy_text(c->error.remedy, sizeof c->error.remedy,
                           eice_str_c("set all three: access key id, secret "
                                      "access key and session token "
                                      "(AWS_SESSION_TOKEN, or "
                                      "aws_session_token of the profile)"));
        }
        return EICEI_CRED_BROKEN;
    }
    c->keys = *k;
    eice_copy_text(c->provider, sizeof c->provider, eice_str_c(from));
    return EICEI_CRED_FOUND;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_given(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    const eice_keys *const k = r->c->priv.o.keys;

    (void)p;
    return k == NULL ? EICEI_CRED_NOTHING
                     : eicei_cred_accept(r->c, k, "given");
}

/* A profile chosen by option switches the environment's keys off, and so does
 * being the source of another profile. */
EICEI_PRIVATE bool eicei_cred_no_env(const eicei_cred_run *r)
{
    return r->source.len == 0
        && (r->roles > 0
            || (r->c->priv.o.profile != NULL && r->c->priv.o.profile[0] != 0));
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_env(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    eice_keys k;

    (void)p;
    k.access_key_id = eicei_cred_env(r->c, EICEI_ENV_KEY_ID);
    k.secret_access_key = eicei_cred_env(r->c, EICEI_ENV_SECRET);
    k.session_token = eice_str_c(eicei_cred_pick(
        r, EICEI_ENV_TOKEN, EICEI_ENV_OLD_TOKEN, EICEI_CRED_NO));
    return k.access_key_id.len == 0 || eicei_cred_no_env(r)
               ? EICEI_CRED_NOTHING
               : eicei_cred_accept(r->c, &k, "environment");
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_file(eicei_cred_run *r,
                                                      unsigned file)
{
    const eice_str *const v = r->profile[r->at].value[file];
    char from[128];
    eice_keys k;
    eice_buf b;

    if (v[EICEI_KEY_KEY_ID].ptr == NULL) {
        return EICEI_CRED_NOTHING;
    }
    k.access_key_id = v[EICEI_KEY_KEY_ID];
    k.secret_access_key = v[EICEI_KEY_SECRET];
    k.session_token = v[EICEI_KEY_TOKEN].len > 0 ? v[EICEI_KEY_TOKEN]
                                                 : v[EICEI_KEY_OLD_TOKEN];
    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "profile %S (%s)", &r->profile[r->at].name,
              r->c->priv.path[file]);
    return eicei_cred_accept(r->c, &k, eice_buf_c(&b));
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_credentials(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    (void)p;
    return eicei_cred_load_file(r, EICEI_CRED_FILE);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_config(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    (void)p;
    return eicei_cred_load_file(r, EICEI_CONFIG_FILE);
}

/* ---- providers that have to ask ---------------------------------------- */

/* What they are told may be of anybody's making: container, instance and
 * token services are HTTP without TLS. Their answers are bounded, parsed, and
 * checked as other keys are. One need is open at a time, and what answers it
 * is a step: it asks for the next thing, or says how the provider ends. */

#define EICEI_CRED_BODY_MAX 65536u
#define EICEI_CRED_ECS "http://169.254.170.2"
#define EICEI_CRED_IMDS4 "http://169.254.169.254/"
#define EICEI_CRED_IMDS6 "http://[fd00:ec2::254]/"

EICEI_PRIVATE eicei_cred_verdict eicei_cred_broken(eice_cred *c,
                                                   const char *format, ...)
{
    char text[sizeof c->error.text];
    va_list args;
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    va_start(args, format);
    eice_putv(&b, format, args);
    va_end(args);
    eice_fail(&c->error, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS, "%s",
              eice_buf_c(&b));
    return EICEI_CRED_BROKEN;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_ask(eice_cred *c,
                                                eice_need_kind kind,
                                                eice_str name,
                                                eicei_cred_next *next)
{
    eice_need *const n = &c->priv.need;

    memset(n, 0, sizeof *n);
    n->kind = kind;
    n->name = name;
    n->max = EICEI_CRED_BODY_MAX;
    n->id = c->priv.asked;
    n->slot = -1;
    c->priv.next = next;
    return EICEI_CRED_WAIT;
}

/* One exchange of HTTP: `method` on the path of the provider's URL with
 * `more` behind it, a header when it has a value, and, unless it is a GET,
 * c->priv.doc as the body. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_fetch(eice_cred *c,
                                                  const char *method,
                                                  const char *more,
                                                  const eice_pair *header,
                                                  eicei_cred_next *next)
{
    const eice_url *const url = &c->priv.url;
    const eice_str body = eice_str_make(c->priv.doc.ptr, c->priv.doc.len);
    const size_t bound = 768 + url->host.len + url->path.len + strlen(more)
                         + header->value.len + body.len;
    uint8_t *room;
    eice_buf b;

    eice_blob_free(&c->priv.text);
    c->priv.text.alloc = c->priv.o.alloc;
    room = eice_blob_room(&c->priv.text, bound, EICEI_CRED_STORE_MAX);
    if (room == NULL) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CREDENTIALS,
                  "no memory for a request");
        return EICEI_CRED_BROKEN;
    }
    eice_buf_init(&b, room, bound);
    eice_putf(&b, "%s %S%s%s HTTP/1.1\r\nHost: ", method, &url->path,
              more[0] == 0 || url->path.ptr[url->path.len - 1] == '/' ? ""
                                                                      : "/",
              more);
    eice_put_authority(&b, url->host, url->port, url->tls);
    eice_put_c(&b, "\r\nAccept: */*\r\nUser-Agent: eice/" EICE_VERSION "\r\n");
    if (header->value.len > 0) {
        eice_put_header(&b, header->name.ptr, header->value);
    }
    if (method[0] == 'G') {
        eice_put_c(&b, "\r\n");
    } else {
        eice_putf(&b, "Content-Length: %u\r\n\r\n%S", (unsigned)body.len,
                  &body);
    }
    if (b.overflow) {
        return eicei_cred_broken(c, "a header for %S is malformed",
                                 &url->host);
    }
    c->priv.text.len = b.len;
    (void)eicei_cred_ask(c, EICE_NEED_FETCH, url->host, next);
    c->priv.need.text = eice_str_make(room, b.len);
    c->priv.need.port = url->port;
    c->priv.need.tls = url->tls;
    c->priv.need.direct = true;
    c->priv.need.timeout_ms = 2000;
    c->priv.need.attempts = 3;
    return EICEI_CRED_WAIT;
}

/* "HOST: what was wrong" for an answer that is none. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_refused(eice_cred *c,
                                                    const char *what,
                                                    const eice_answer *a)
{
    eice_str line = eice_str_trim(a->data);

    line = a->code == EICE_OK ? eice_str_trim(eice_str_cut(&line, '\n'))
                              : line;
    line.len = line.len > 120 ? 120 : line.len;
    if (a->code != EICE_OK) {
        return eicei_cred_broken(c, "%s: %S", what, &line);
    }
    c->error.http_status = (int)a->status;
    return eicei_cred_broken(c, "%s: %S answered HTTP %u%s%S", what,
                             &c->priv.url.host, a->status,
                             line.len > 0 ? ": " : "", &line);
}

/* Appends one member's text to `got`; an absent one is empty. False when the
 * document is malformed, or memory is short. */
EICEI_PRIVATE bool eicei_cred_member(eice_cred *c, eice_str doc,
                                     const char *name, size_t *at)
{
    eice_str raw = { NULL, 0 };
    const eice_json_type type = eice_json_find(doc, name, &raw);
    uint8_t *room;
    eice_buf b;

    *at = c->priv.got.len;
    if (type == EICE_JSON_ERROR) {
        return false;
    }
    raw.len = type == EICE_JSON_STRING || type == EICE_JSON_NUMBER ? raw.len
                                                                   : 0;
    room = eice_blob_room(&c->priv.got, raw.len + 1, EICEI_CRED_STORE_MAX);
    eice_buf_init(&b, room, room == NULL ? 0 : raw.len + 1);
    if (room == NULL || !eice_json_unescape(raw, &b)) {
        return false;
    }
    eice_put_byte(&b, 0);
    c->priv.got.len += b.len;
    return true;
}

typedef bool eicei_cred_field(eice_cred *c, eice_str doc, const char *name,
                              size_t *at);

/* Keys of a document whose members are `names`: id, secret, token, expiry.
 * The answer's memory is not kept. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_fields(
    eice_cred *c, eice_str doc, eicei_cred_field *field,
    const char *const names[4], const char *from)
{
    const char *text[4];
    uint64_t ms;
    size_t at[4];
    eice_keys k;
    size_t i;

    eice_blob_free(&c->priv.got);
    c->priv.got.alloc = c->priv.o.alloc;
    for (i = 0; i < 4; i++) {
        if (!field(c, doc, names[i], &at[i])) {
            return eicei_cred_broken(c, "%s: the answer is malformed", from);
        }
    }
    for (i = 0; i < 4; i++) {
        text[i] = (const char *)c->priv.got.ptr + at[i];
    }
    if (text[0][0] == 0) {
        return eicei_cred_broken(c, "%s: the answer has no %s", from,
                                 names[0]);
    }
    k.access_key_id = eice_str_c(text[0]);
    k.secret_access_key = eice_str_c(text[1]);
    k.session_token = eice_str_c(text[2]);
    c->expires_unix_s = 0;
    if (eice_str_u64(eice_str_c(text[3]), INT64_MAX, &ms)) {
        c->expires_unix_s = (int64_t)(ms / 1000); /* as the SSO portal has it */
    } else if (text[3][0] != 0
               && !eice_time_iso_parse(eice_str_c(text[3]),
                                       &c->expires_unix_s)) {
        return eicei_cred_broken(c, "%s: %s is not a time", from, names[3]);
    }
    return eicei_cred_accept(c, &k, from);
}

static const char *const eicei_cred_service_names[4] = {
    "AccessKeyId", "SecretAccessKey", "Token", "Expiration"
};

static const char *const eicei_cred_sts_names[4] = {
    "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"
};

/* ---- container --------------------------------------------------------- */

#define EICEI_CRED_CONTAINER "container credentials"

EICEI_PRIVATE eicei_cred_verdict eicei_cred_container_keys(
    eice_cred *c, const eice_answer *a)
{
    char from[128];
    eice_buf b;

    if (a->code != EICE_OK || a->status != 200) {
        return eicei_cred_refused(c, EICEI_CRED_CONTAINER, a);
    }
    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "container (%S)", &c->priv.url.host);
    return eicei_cred_fields(c, a->data, eicei_cred_member,
                             eicei_cred_service_names, eice_buf_c(&b));
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_container_get(eice_cred *c,
                                                          eice_str token)
{
    eice_pair header;

    token = eice_str_trim(token);
    if (eice_str_find(token, '\n') < token.len
        || eice_str_find(token, '\r') < token.len) {
        return eicei_cred_broken(c, EICEI_CRED_CONTAINER ": the "
                                 "authorization token holds a line end");
    }
    header.name = eice_str_c("Authorization");
    header.value = token;
    return eicei_cred_fetch(c, "GET", "", &header,
                            eicei_cred_container_keys);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_container_token(
    eice_cred *c, const eice_answer *a)
{
    if (a->code != EICE_OK || a->absent) {
        return eicei_cred_broken(c, EICEI_CRED_CONTAINER ": cannot read %S "
                                 "(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE): "
                                 "%s", &c->priv.need.name,
                                 a->absent ? "no such file"
                                           : eice_err_text(a->code));
    }
    return eicei_cred_container_get(c, a->data);
}

/* Keys are not sent for over a network without TLS: only to this machine and
 * to the link-local addresses of ECS and EKS. */
EICEI_PRIVATE bool eicei_cred_container_host(const eice_url *url)
{
    static const char *const services[] = {
        "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "::1"
    };
    eice_ip service;
    eice_ip ip;
    size_t i;

    if (url->tls || eice_str_is_nocase(url->host, "localhost")) {
        return true;
    }
    if (!eice_ip_parse(url->host, &ip)) {
        return false;
    }
    for (i = 0; i < EICEI_LEN(services); i++) {
        if (eice_ip_parse(eice_str_c(services[i]), &service)
            && eice_ip_eq(&ip, &service)) {
            return true;
        }
    }
    return ip.family == 4 && ip.bytes[0] == 127;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_container(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    eice_cred *const c = r->c;
    const eice_str path = eicei_cred_env(c, EICEI_ENV_CONTAINER_PATH);
    const eice_str full = eicei_cred_env(c, EICEI_ENV_CONTAINER_URL);
    const eice_str file = eicei_cred_env(c, EICEI_ENV_CONTAINER_FILE);
    eice_url *const url = &c->priv.url;

    (void)p;
    if (path.len == 0 && full.len == 0) {
        return EICEI_CRED_NOTHING;
    }
    if (path.len > 0) {
        if (path.ptr[0] != '/' || !eicei_cred_visible(path)) {
            return eicei_cred_broken(
                c, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a path: %S",
                &path);
        }
        (void)eice_url_parse(eice_str_c(EICEI_CRED_ECS), url);
        url->path = path;
    } else if (!eice_url_parse(full, url) || url->user.len > 0
               || !eice_str_starts(eice_str_make(url->scheme.ptr, 1), "h")) {
        return eicei_cred_broken(
            c, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL of http or "
            "https: %S", &full);
    } else if (!eicei_cred_container_host(url)) {
        return eicei_cred_broken(
            c, "AWS_CONTAINER_CREDENTIALS_FULL_URI: host %S is neither https "
            "nor loopback nor a service of ECS or EKS", &url->host);
    }
    return file.len > 0
               ? eicei_cred_ask(c, EICE_NEED_FILE, file,
                                eicei_cred_container_token)
               : eicei_cred_container_get(
                     c, eicei_cred_env(c, EICEI_ENV_CONTAINER_TOKEN));
}

/* ---- instance metadata ------------------------------------------------- */

#define EICEI_CRED_INSTANCE "instance metadata"
#define EICEI_CRED_ROLES "latest/meta-data/iam/security-credentials/"

/* What the service does not give is not an error of its own, but it is what
 * the error at the end says. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_no_instance(eice_cred *c,
                                                        const eice_answer *a)
{
    eice_str line = eice_str_trim(a->data);
    eice_buf b;

    eice_buf_init(&b, c->priv.why, sizeof c->priv.why);
    line.len = line.len > 100 ? 100 : line.len;
    if (a->code != EICE_OK) {
        eice_putf(&b, ", " EICEI_CRED_INSTANCE ": %S", &line);
    } else if (a->status == 404) {
        eice_put_c(&b, ", the instance has no role");
    } else {
        eice_putf(&b, ", " EICEI_CRED_INSTANCE " answered HTTP %u",
                  a->status);
    }
    (void)eice_buf_c(&b);
    return EICEI_CRED_NOTHING;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_imds(eice_cred *c,
                                                 const char *method,
                                                 const char *path,
                                                 const char *header,
                                                 const char *value,
                                                 eicei_cred_next *next)
{
    eicei_cred_verdict verdict;
    eice_pair h;

    h.name = eice_str_c(header);
    h.value = eice_str_c(value);
    verdict = eicei_cred_fetch(c, method, path, &h, next);
    c->priv.need.timeout_ms = c->priv.imds_ms;
    c->priv.need.attempts = c->priv.imds_attempts;
    return verdict;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_imds_keys(eice_cred *c,
                                                      const eice_answer *a)
{
    char from[128];
    eice_str code;
    eice_buf b;

    if (a->code != EICE_OK || a->status != 200) {
        return eicei_cred_no_instance(c, a);
    }
    if (eice_json_find(a->data, "AccessKeyId", &code) == EICE_JSON_END
        && eice_json_find(a->data, "Code", &code) == EICE_JSON_STRING) {
        eice_buf_init(&b, c->priv.why, sizeof c->priv.why);
        eice_putf(&b, ", the instance's role gives no keys: %S", &code);
        (void)eice_buf_c(&b);
        return EICEI_CRED_NOTHING;
    }
    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "instance role %s", c->priv.role);
    return eicei_cred_fields(c, a->data, eicei_cred_member,
                             eicei_cred_service_names, eice_buf_c(&b));
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_imds_role(eice_cred *c,
                                                      const eice_answer *a)
{
    char path[sizeof EICEI_CRED_ROLES + sizeof c->priv.role];
    eice_str rest = a->data;
    const eice_str role = eice_str_trim(eice_str_cut(&rest, '\n'));
    eice_buf b;

    if (a->code != EICE_OK || a->status != 200) {
        return eicei_cred_no_instance(c, a);
    }
    if (role.len == 0 || role.len >= sizeof c->priv.role
        || !eicei_cred_visible(role)) {
        return eicei_cred_broken(c, EICEI_CRED_INSTANCE ": what it names is "
                                 "not a role");
    }
    memcpy(c->priv.role, role.ptr, role.len);
    c->priv.role[role.len] = 0;
    eice_buf_init(&b, path, sizeof path);
    eice_putf(&b, EICEI_CRED_ROLES "%s", c->priv.role);
    return eicei_cred_imds(c, "GET", eice_buf_c(&b),
                           "X-aws-ec2-metadata-token", c->priv.token,
                           eicei_cred_imds_keys);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_imds_region(eice_cred *c,
                                                        const eice_answer *a)
{
    const eice_str region = eice_str_trim(a->data);

    eicei_cred_run_of(c)->region_open = false;
    if (a->code == EICE_OK && a->status == 200
        && eice_region_ok(region)) {
        eice_copy_text(c->priv.region, sizeof c->priv.region, region);
        return EICEI_CRED_FOUND;
    }
    (void)eicei_cred_no_instance(c, a);
    return EICEI_CRED_NOTHING;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_imds_token(eice_cred *c,
                                                       const eice_answer *a)
{
    const eice_str token = eice_str_trim(a->data);

    if (a->code != EICE_OK || a->status != 200) {
        return eicei_cred_no_instance(c, a);
    }
    if (token.len == 0 || token.len >= sizeof c->priv.token
        || !eicei_cred_visible(token)) {
        return eicei_cred_broken(c, EICEI_CRED_INSTANCE ": its token is not "
                                 "one");
    }
    memcpy(c->priv.token, token.ptr, token.len);
    c->priv.token[token.len] = 0;
    return eicei_cred_run_of(c)->region_open
               ? eicei_cred_imds(c, "GET", "latest/meta-data/placement/region",
                                 "X-aws-ec2-metadata-token", c->priv.token,
                                 eicei_cred_imds_region)
               : eicei_cred_imds(c, "GET", EICEI_CRED_ROLES,
                                 "X-aws-ec2-metadata-token", c->priv.token,
                                 eicei_cred_imds_role);
}

EICEI_PRIVATE bool eicei_cred_imds_off(const eice_cred *c)
{
    return eice_str_is_nocase(eicei_cred_env(c, EICEI_ENV_IMDS_DISABLED),
                              "true");
}

/* Only with a session token (IMDSv2): a client that could be talked into
 * answering without one is what that token is there against. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_imds_begin(eice_cred *c)
{
    (void)eice_url_parse(eice_str_c(c->priv.imds), &c->priv.url);
    return eicei_cred_imds(c, "PUT", "latest/api/token",
                           "X-aws-ec2-metadata-token-ttl-seconds", "21600",
                           eicei_cred_imds_token);
}

/* Reads a number from 1 to 60 of a variable or key. */
EICEI_PRIVATE bool eicei_cred_small(eicei_cred_run *r, int env, int key,
                                    unsigned *out)
{
    const eice_str s = eice_str_c(
        eicei_cred_pick(r, env, EICEI_CRED_NO, key));
    uint64_t n;

    if (s.len == 0) {
        return true;
    }
    if (!eice_str_u64(s, 60, &n) || n == 0) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "%s or %s is \"%S\", not a number from 1 to 60",
                  eicei_cred_env_names[env], eicei_cred_key_names[key], &s);
        return false;
    }
    *out = (unsigned)n;
    return true;
}

/* Where the service is; read while there are settings. */
EICEI_PRIVATE bool eicei_cred_imds_place(eicei_cred_run *r)
{
    eice_cred *const c = r->c;
    const eice_str mode = eice_str_c(eicei_cred_pick(
        r, EICEI_ENV_IMDS_MODE, EICEI_CRED_NO, EICEI_KEY_IMDS_MODE));
    const eice_str given = eice_str_c(eicei_cred_pick(
        r, EICEI_ENV_IMDS_URL, EICEI_CRED_NO, EICEI_KEY_IMDS_URL));
    const bool six = eice_str_is_nocase(mode, "ipv6");
    unsigned seconds = 1;
    eice_url url;

    c->priv.imds_attempts = 1;
    if (mode.len > 0 && !six && !eice_str_is_nocase(mode, "ipv4")) {
        eice_fail(&c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "the mode of the instance metadata is \"%S\", neither "
                  "IPv4 nor IPv6", &mode);
        return false;
    }
    if (given.len > 0
        && (!eice_url_parse(given, &url) || url.user.len > 0
            || eice_str_find(url.path, '?') < url.path.len
            || !eice_str_starts(eice_str_make(url.scheme.ptr, 1), "h"))) {
        eice_fail(&c->error, EICE_E_CONFIG, EICE_STAGE_CONFIG,
                  "the endpoint of the instance metadata is not a URL of "
                  "http: %S", &given);
        return false;
    }
    c->priv.imds = given.len > 0 ? given.ptr
                   : six         ? EICEI_CRED_IMDS6
                                 : EICEI_CRED_IMDS4;
    if (!eicei_cred_small(r, EICEI_ENV_IMDS_SECONDS, EICEI_KEY_IMDS_SECONDS,
                          &seconds)
        || !eicei_cred_small(r, EICEI_ENV_IMDS_ATTEMPTS,
                             EICEI_KEY_IMDS_ATTEMPTS,
                             &c->priv.imds_attempts)) {
        return false;
    }
    c->priv.imds_ms = seconds * 1000;
    return true;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_instance(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    (void)p;
    if (eicei_cred_imds_off(r->c)) {
        return EICEI_CRED_NOTHING;
    }
    return eicei_cred_imds_begin(r->c);
}

EICEI_PRIVATE void eicei_cred_no_region(eice_cred *c)
{
    eice_fail(&c->error, EICE_E_NO_REGION, EICE_STAGE_CONFIG,
              "no region in AWS_REGION, AWS_DEFAULT_REGION and profile %s%s",
              c->settings.profile, c->priv.why);
}

EICEI_PRIVATE bool eicei_cred_need_region(const eice_cred *c)
{
    return c->settings.region[0] == 0 && !c->priv.o.region_optional;
}

/* ---- web identity ------------------------------------------------------ */

/* Appends the text of the first element of a name. */
EICEI_PRIVATE bool eicei_cred_element(eice_cred *c, eice_str doc,
                                      const char *name, size_t *at)
{
    uint8_t *const room = eice_blob_room(&c->priv.got, doc.len + 1,
                                         EICEI_CRED_STORE_MAX);
    bool inside = false;
    bool good = true;
    eice_xml_type type;
    eice_str text;
    eice_xml xml;
    eice_buf b;

    *at = c->priv.got.len;
    if (room == NULL) {
        return false;
    }
    eice_buf_init(&b, room, doc.len + 1);
    eice_xml_init(&xml, doc);
    while ((type = eice_xml_next(&xml, &text)) != EICE_XML_END
           && type != EICE_XML_ERROR) {
        if (type != EICE_XML_TEXT) {
            inside = type == EICE_XML_OPEN && eice_str_is(text, name)
                     && b.len == 0;
        } else if (inside) {
            good = eice_xml_unescape(text, &b) && good;
        }
    }
    eice_put_byte(&b, 0);
    c->priv.got.len += b.len;
    return good && type == EICE_XML_END && !b.overflow;
}

/* The error that came with an answer, or what can be said without one. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_told(eice_cred *c,
                                                 const char *what,
                                                 const eice_answer *a)
{
    if (a->error == NULL || a->error->code == EICE_OK) {
        return eicei_cred_broken(c, "%s: %s", what, eice_err_text(a->code));
    }
    if (c->error.code == EICE_OK) {
        c->error = *a->error;
    }
    return EICEI_CRED_BROKEN;
}

/* Keys out of what STS answered; `what` is where they are from. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_sts_keys(eice_cred *c,
                                                     const eice_answer *a,
                                                     const char *what)
{
    if (a->code != EICE_OK) {
        return eicei_cred_told(c, what, a);
    }
    return eicei_cred_fields(c, a->data, eicei_cred_element,
                             eicei_cred_sts_names, what);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_web_keys(eice_cred *c,
                                                     const eice_answer *a)
{
    char from[128];
    eice_buf b;

    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "web identity as %S", &c->priv.params[0].value);
    return eicei_cred_sts_keys(c, a, eice_buf_c(&b));
}

/* The token is kept while the call lasts: it is sent once more when it is
 * tried again. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_web_send(eice_cred *c,
                                                     eice_str token)
{
    eice_blob_free(&c->priv.text);
    c->priv.text.alloc = c->priv.o.alloc;
    if (!eice_blob_add(&c->priv.text, token.ptr, token.len,
                       EICEI_CRED_BODY_MAX)) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CREDENTIALS,
                  "no memory for a token");
        return EICEI_CRED_BROKEN;
    }
    c->priv.params[2].name = eice_str_c("WebIdentityToken");
    c->priv.params[2].value = eice_str_make(c->priv.text.ptr, token.len);
    (void)eicei_cred_ask(c, EICE_NEED_STS,
                         eice_str_c("AssumeRoleWithWebIdentity"),
                         eicei_cred_web_keys);
    c->priv.need.params = c->priv.params;
    c->priv.need.param_count = 3;
    return EICEI_CRED_WAIT;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_web_token(eice_cred *c,
                                                      const eice_answer *a)
{
    const eice_str token = eice_str_trim(a->data);

    if (a->code != EICE_OK || a->absent || token.len == 0
        || !eicei_cred_visible(token)) {
        return eicei_cred_broken(
            c, "web identity: %S: %s", &c->priv.need.name,
            a->code != EICE_OK ? eice_err_text(a->code)
            : a->absent        ? "no such file"
                               : "it does not hold a token");
    }
    return eicei_cred_web_send(c, token);
}

/* What the call needs besides the token. */
EICEI_PRIVATE bool eicei_cred_web_ready(eice_cred *c)
{
    eice_pair *const params = c->priv.params;

    params[0].name = eice_str_c("RoleArn");
    params[1].name = eice_str_c("RoleSessionName");
    if (params[1].value.len == 0) {
        params[1].value = eice_str_c("eice");
    }
    if (params[0].value.len == 0) {
        (void)eicei_cred_broken(c, "there is a web identity token, and no "
                                "role: AWS_ROLE_ARN or role_arn");
    } else if (c->settings.region[0] == 0) {
        eicei_cred_no_region(c);
    }
    return c->error.code == EICE_OK;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_token(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    eice_cred *const c = r->c;
    const eice_str token = c->priv.o.web_identity_token;

    (void)p;
    if (token.len == 0) {
        return EICEI_CRED_NOTHING;
    }
    c->priv.params[0].value = eice_str_c(eicei_cred_or(
        c->priv.o.role_arn, eicei_cred_pick(r, EICEI_ENV_ROLE_ARN,
                                            EICEI_CRED_NO, EICEI_KEY_ROLE)));
    c->priv.params[1].value = eice_str_c(eicei_cred_pick(
        r, EICEI_ENV_ROLE_SESSION, EICEI_CRED_NO, EICEI_KEY_ROLE_SESSION));
    return eicei_cred_web_ready(c) ? eicei_cred_web_send(c, token)
                                   : EICEI_CRED_BROKEN;
}

/* Each part comes from the environment or else from the profile. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_web(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    static const int parts[3][2] = {
        { EICEI_ENV_ROLE_ARN, EICEI_KEY_ROLE },
        { EICEI_ENV_ROLE_SESSION, EICEI_KEY_ROLE_SESSION },
        { EICEI_ENV_WEB_IDENTITY, EICEI_KEY_WEB_IDENTITY }
    };
    const bool env = !eicei_cred_no_env(r);
    eice_cred *const c = r->c;
    eice_pair *const params = c->priv.params;
    size_t i;

    (void)p;
    for (i = 0; i < 3; i++) {
        params[i].value = eice_str_c(
            eicei_cred_pick(r, env ? parts[i][0] : EICEI_CRED_NO,
                            EICEI_CRED_NO, parts[i][1]));
    }
    if (params[2].value.len == 0) {
        return EICEI_CRED_NOTHING;
    }
    if (!eicei_cred_web_ready(c)) {
        return EICEI_CRED_BROKEN;
    }
    return eicei_cred_ask(c, EICE_NEED_FILE, params[2].value,
                          eicei_cred_web_token);
}

/* ---- roles ------------------------------------------------------------- */

/* The profile whose role is assumed now. */
EICEI_PRIVATE const eicei_cred_profile *eicei_cred_role(const eicei_cred_run *r)
{
    return &r->profile[r->roles - 1];
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_role_keys(eice_cred *c,
                                                      const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);
    char from[sizeof c->provider];
    eice_buf b;

    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "role %S (profile %S)", &c->priv.params[0].value,
              &eicei_cred_role(r)->name);
    r->roles--;
    r->code[0] = 0;
    return eicei_cred_sts_keys(c, a, eice_buf_c(&b));
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_assume(eicei_cred_run *r);

EICEI_PRIVATE eicei_cred_verdict eicei_cred_role_code(eice_cred *c,
                                                      const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);
    const eice_str code = eice_str_trim(a->data);
    uint64_t n;

    if (a->code != EICE_OK) {
        return eicei_cred_told(c, "MFA code", a);
    }
    if (code.len != 6 || !eice_str_u64(code, 999999, &n)) {
        return eicei_cred_broken(c, "an MFA code has six digits, and this is "
                                 "none");
    }
    memcpy(r->code, code.ptr, code.len);
    r->code[code.len] = 0;
    return eicei_cred_assume(r);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_role_prompt(eicei_cred_run *r,
                                                        eice_str serial)
{
    eice_cred *const c = r->c;
    const size_t bound = serial.len + 32;
    uint8_t *room;
    eice_buf b;

    eice_blob_free(&c->priv.text);
    c->priv.text.alloc = c->priv.o.alloc;
    room = eice_blob_room(&c->priv.text, bound, EICEI_CRED_STORE_MAX);
    if (room == NULL) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CREDENTIALS,
                  "no memory for a question");
        return EICEI_CRED_BROKEN;
    }
    eice_buf_init(&b, room, bound);
    eice_putf(&b, "MFA code for %S", &serial);
    return eicei_cred_ask(c, EICE_NEED_PROMPT, eice_buf_str(&b),
                          eicei_cred_role_code);
}

/* AssumeRole with the keys that were found last. A duration that is no number
 * is ignored, as the SDKs do. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_assume(eicei_cred_run *r)
{
    static const struct {
        const char *name;
        int key;
        const char *otherwise;
    } rows[] = {
        { "RoleArn", EICEI_KEY_ROLE, "" },
        { "RoleSessionName", EICEI_KEY_ROLE_SESSION, "eice" },
        { "DurationSeconds", EICEI_KEY_DURATION, "" },
        { "ExternalId", EICEI_KEY_EXTERNAL_ID, "" },
        { "SerialNumber", EICEI_KEY_MFA, "" }
    };
    const eicei_cred_profile *const p = eicei_cred_role(r);
    const eice_str serial = eicei_cred_value(p, EICEI_KEY_MFA);
    eice_cred *const c = r->c;
    eice_pair *to = c->priv.params;
    uint64_t n;
    size_t i;

    if (serial.len > 0 && r->code[0] == 0) {
        return eicei_cred_role_prompt(r, serial);
    }
    for (i = 0; i < EICEI_LEN(rows); i++) {
        to->name = eice_str_c(rows[i].name);
        to->value = eicei_cred_value(p, rows[i].key);
        if (to->value.len == 0) {
            to->value = eice_str_c(rows[i].otherwise);
        }
        if (to->value.len > 0
            && (rows[i].key != EICEI_KEY_DURATION
                || eice_str_u64(to->value, UINT32_MAX, &n))) {
            to++;
        }
    }
    if (serial.len > 0) {
        to->name = eice_str_c("TokenCode");
        to->value = eice_str_c(r->code);
        to++;
    }
    (void)eicei_cred_ask(c, EICE_NEED_STS, eice_str_c("AssumeRole"),
                         eicei_cred_role_keys);
    c->priv.need.params = c->priv.params;
    c->priv.need.param_count = (size_t)(to - c->priv.params);
    c->priv.need.keys = &c->keys;
    return EICEI_CRED_WAIT;
}

/* Says what is wrong with the last profile of a chain; false: nothing is. */
EICEI_PRIVATE bool eicei_cred_chain_fail(eicei_cred_run *r)
{
    static const char *const why[] = {
        "", "which is in neither file", "which leads back to it: a loop",
        "more profiles than a chain may have"
    };
    const eicei_cred_profile *const p = &r->profile[r->count - 1];
    const eice_str profile = eicei_cred_value(p, EICEI_KEY_SOURCE_PROFILE);
    const eice_str source = eicei_cred_value(p, EICEI_KEY_SOURCE);
    eice_error *const e = &r->c->error;

    if (!eicei_cred_is_role(p)) {
        return false;
    }
    if (profile.len > 0 && source.len > 0) {
        eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS, "profile %S has "
                  "both source_profile and credential_source", &p->name);
    } else if (profile.len == 0 && source.len == 0) {
        eice_fail(e, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS, "profile %S "
                  "has a role_arn, and neither source_profile nor "
                  "credential_source", &p->name);
    } else if (r->chain != EICEI_CHAIN_GOOD) {
        eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "profile %S has source_profile %S, %s", &p->name, &profile,
                  why[r->chain]);
    }
    return e->code != EICE_OK;
}

/* Where the keys of the first AssumeRole come from; the search then begins
 * again, for these alone. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_role(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    const eicei_cred_profile *const last = &r->profile[r->count - 1];
    const bool role = r->count == 1 || (eicei_cred_is_role(last)
                                        && !eicei_cred_is_static(last));

    (void)p;
    if (!eicei_cred_is_role(&r->profile[0])) {
        return EICEI_CRED_NOTHING;
    }
    if (role && eicei_cred_chain_fail(r)) {
        return EICEI_CRED_BROKEN;
    }
    r->at = r->count - 1;
    r->roles = role ? r->count : r->count - 1;
    if (role) {
        r->source = eicei_cred_value(last, EICEI_KEY_SOURCE);
    }
    r->next = 0;
    return EICEI_CRED_NOTHING;
}

/* ---- IAM Identity Center ----------------------------------------------- */

/* A login is kept by the AWS CLI, in ~/.aws/sso/cache. Its token buys keys of
 * a role from the portal. That of a session is renewed here when its end is
 * near, and what comes is kept for the other tools, as the CLI would. All of
 * these calls are unsigned: the token, in a header, is what they show. */

#define EICEI_CRED_SSO "IAM Identity Center"
#define EICEI_SSO_ADVISORY 900 /* seconds before its end: renew a token */

static const char *const eicei_cred_cache_names[EICEI_CACHE_COUNT] = {
    "accessToken", "expiresAt", "refreshToken", "clientId", "clientSecret",
    "registrationExpiresAt"
};

EICEI_PRIVATE eice_str eicei_cred_cached(const eicei_cred_run *r, int field)
{
    return eice_str_c((const char *)r->c->priv.got.ptr
                      + r->sso.cached[field]);
}

/* A word for a shell: in quotes when it has to be. */
EICEI_PRIVATE void eicei_cred_put_shell(eice_buf *b, eice_str s)
{
    bool plain = s.len > 0;
    size_t i;

    for (i = 0; i < s.len; i++) {
        const char c = s.ptr[i];

        plain = plain && ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')
                          || (c >= 'a' && c <= 'z')
                          || strchr("@%+=:,./-_", c) != NULL);
    }
    if (plain) {
        eice_put(b, s);
        return;
    }
    eice_put_byte(b, '\'');
    for (i = 0; i < s.len; i++) {
        eice_put_c(b, s.ptr[i] == '\'' ? "'\\'" : "");
        eice_put_byte(b, (unsigned char)s.ptr[i]);
    }
    eice_put_byte(b, '\'');
}

/* There is no login that can be used: says so, and how to get one. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_login_fail(
    eicei_cred_run *r, const char *command, const char *kind, eice_str name,
    const char *why, const char *more)
{
    eice_error *const e = &r->c->error;
    eice_buf b;

    eice_fail(e, EICE_E_CREDENTIALS_EXPIRED, EICE_STAGE_CREDENTIALS,
              "login of %s %S: %s%s%s", kind, &name, why, more, r->sso.why);
    eice_buf_init(&b, e->remedy, sizeof e->remedy);
    eice_putf(&b, "log in, then try again: aws %s --%s ", command, kind);
    eicei_cred_put_shell(&b, name);
    (void)eice_buf_c(&b);
    return EICEI_CRED_BROKEN;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_login(eicei_cred_run *r,
                                                      const char *why,
                                                      const char *more)
{
    const eice_str session = eicei_cred_key(r, EICEI_KEY_SSO_SESSION);

    return session.len > 0
               ? eicei_cred_login_fail(r, "sso login", "sso-session", session,
                                       why, more)
               : eicei_cred_login_fail(r, "sso login", "profile",
                                       r->profile[r->at].name, why, more);
}

/* What a service refused, out of an answer that may be anybody's. */
EICEI_PRIVATE void eicei_cred_put_refusal(eice_cred *c, eice_buf *b,
                                          const eice_answer *a)
{
    eice_str raw = { NULL, 0 };
    char text[160];
    eice_buf t;

    eice_putf(b, "HTTP %u", a->status);
    if (eice_json_find(a->data, "__type", &raw) == EICE_JSON_STRING
        || eice_json_find(a->data, "error", &raw) == EICE_JSON_STRING) {
        eice_str code = raw;

        (void)eice_str_cut(&code, '#');
        code = code.len > 0 ? code : raw;
        eice_putf(b, " %S", &code);
        eice_copy_text(c->error.aws_code, sizeof c->error.aws_code, code);
    }
    if (eice_json_find(a->data, "message", &raw) == EICE_JSON_STRING
        || eice_json_find(a->data, "error_description", &raw)
               == EICE_JSON_STRING) {
        eice_buf_init(&t, text, sizeof text);
        (void)eice_json_unescape(raw, &t);
        eice_putf(b, ": %s", eice_buf_c(&t));
    }
    c->error.http_status = (int)a->status;
    eice_copy_text(c->error.request_id, sizeof c->error.request_id,
                   a->request_id);
}

/* Where one of the two services is: in c->priv.url. */
EICEI_PRIVATE bool eicei_cred_sso_place(eicei_cred_run *r,
                                        eice_service service)
{
    eice_cred *const c = r->c;
    eice_settings s = c->settings;
    eice_place place;
    eice_buf text;

    s.region = eicei_cred_c(r, r->sso.region);
    eice_buf_init(&text, r->sso.host, sizeof r->sso.host);
    if (eice_aws_place(&s, service, &text, &place, &c->error) != EICE_OK) {
        return false;
    }
    c->priv.url.tls = place.tls;
    c->priv.url.host = place.host;
    c->priv.url.port = place.port;
    c->priv.url.path = place.path;
    return true;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_fetch(eicei_cred_run *r,
                                                      const char *method,
                                                      const char *more,
                                                      const eice_pair *header,
                                                      eicei_cred_next *next)
{
    eice_cred *const c = r->c;
    const eicei_cred_verdict v = eicei_cred_fetch(c, method, more, header,
                                                  next);

    c->priv.need.direct = false;
    c->priv.need.timeout_ms = 30000;
    c->priv.need.attempts = c->settings.max_attempts;
    return v;
}

/* An object of texts, as c->priv.doc. */
EICEI_PRIVATE bool eicei_cred_sso_doc(eice_cred *c, const eice_pair *member,
                                      size_t count)
{
    size_t bound = 2;
    uint8_t *room;
    eice_buf b;
    size_t i;

    for (i = 0; i < count; i++) { /* of one byte an escape makes six */
        bound += 8 + 6 * (member[i].name.len + member[i].value.len);
    }
    eice_blob_free(&c->priv.doc);
    c->priv.doc.alloc = c->priv.o.alloc;
    room = eice_blob_room(&c->priv.doc, bound, EICEI_CRED_STORE_MAX);
    if (room == NULL) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CREDENTIALS,
                  "no memory for a token");
        return false;
    }
    eice_buf_init(&b, room, bound);
    for (i = 0; i < count; i++) {
        eice_putf(&b, "%s\"%S\": \"", i == 0 ? "{" : ", ", &member[i].name);
        eice_put_json(&b, member[i].value);
        eice_put_byte(&b, '"');
    }
    eice_put_byte(&b, '}');
    c->priv.doc.len = b.len;
    return true;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_renew(eicei_cred_run *r);

/* A session's token can be, once, while its client is registered. */
EICEI_PRIVATE bool eicei_cred_sso_may_renew(const eicei_cred_run *r)
{
    int64_t registered = 0;

    return !r->sso.renewed
        && eicei_cred_key(r, EICEI_KEY_SSO_SESSION).len > 0
        && eicei_cred_cached(r, EICEI_CACHE_REFRESH).len > 0
        && eicei_cred_cached(r, EICEI_CACHE_CLIENT).len > 0
        && eicei_cred_cached(r, EICEI_CACHE_SECRET).len > 0
        && eice_time_iso_parse(eicei_cred_cached(r, EICEI_CACHE_REGISTERED),
                               &registered)
        && registered > r->sso.now;
}

/* The portal gives no keys. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_refused(eicei_cred_run *r,
                                                        const eice_answer *a)
{
    const eice_str role = eicei_cred_key(r, EICEI_KEY_SSO_ROLE);
    const eice_str account = eicei_cred_key(r, EICEI_KEY_SSO_ACCOUNT);
    eice_cred *const c = r->c;
    char text[240];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    eicei_cred_put_refusal(c, &b, a);
    (void)eice_buf_c(&b);
    if (a->status == 401) {
        return eicei_cred_sso_login(r, "its token is not accepted: ", text);
    }
    eice_fail(&c->error, a->status == 403 || a->status == 404
                             ? EICE_E_AWS_DENIED
                         : a->status == 429 ? EICE_E_AWS_THROTTLED
                                            : EICE_E_AWS,
              EICE_STAGE_CREDENTIALS,
              EICEI_CRED_SSO ": no keys of role %S in account %S: %s", &role,
              &account, text);
    if (a->status == 403 || a->status == 404) {
        eice_copy_text(c->error.remedy, sizeof c->error.remedy, eice_str_c(
            "check sso_account_id and sso_role_name, and that this role of "
            "the account is assigned to who is logged in"));
    }
    return EICEI_CRED_BROKEN;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_keys(eice_cred *c,
                                                     const eice_answer *a)
{
    static const char *const names[4] = {
        "roleCredentials.accessKeyId", "roleCredentials.secretAccessKey",
        "roleCredentials.sessionToken", "roleCredentials.expiration"
    };
    eicei_cred_run *const r = eicei_cred_run_of(c);
    const eice_str role = eicei_cred_key(r, EICEI_KEY_SSO_ROLE);
    const eice_str account = eicei_cred_key(r, EICEI_KEY_SSO_ACCOUNT);
    char from[sizeof c->provider];
    eice_buf b;

    if (a->code != EICE_OK) {
        return eicei_cred_told(c, EICEI_CRED_SSO, a);
    }
    if (a->status == 401 && eicei_cred_sso_may_renew(r)) {
        return eicei_cred_sso_renew(r); /* whatever the clock here says */
    }
    if (a->status != 200) {
        return eicei_cred_sso_refused(r, a);
    }
    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "SSO role %S of %S (profile %S)", &role, &account,
              &r->profile[r->at].name);
    return eicei_cred_fields(c, a->data, eicei_cred_member, names,
                             eice_buf_c(&b));
}

/* GetRoleCredentials. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_ask(eicei_cred_run *r)
{
    char more[768];
    eice_pair header;
    eice_buf b;

    eice_buf_init(&b, more, sizeof more);
    eice_put_c(&b, "federation/credentials?role_name=");
    eice_put_uri(&b, eicei_cred_key(r, EICEI_KEY_SSO_ROLE));
    eice_put_c(&b, "&account_id=");
    eice_put_uri(&b, eicei_cred_key(r, EICEI_KEY_SSO_ACCOUNT));
    eice_buf_c(&b);
    if (b.overflow) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "profile %S: sso_role_name is too long",
                  &r->profile[r->at].name);
        return EICEI_CRED_BROKEN;
    }
    r->c->error.aws_code[0] = 0; /* a renewal that failed is forgotten */
    r->c->error.request_id[0] = 0;
    r->c->error.http_status = 0;
    header.name = eice_str_c("x-amz-sso_bearer_token");
    header.value = eicei_cred_cached(r, EICEI_CACHE_ACCESS);
    return eicei_cred_sso_place(r, EICE_SERVICE_SSO)
               ? eicei_cred_sso_fetch(r, "GET", more, &header,
                                      eicei_cred_sso_keys)
               : EICEI_CRED_BROKEN;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_saved(eice_cred *c,
                                                      const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);
    eice_buf b;

    if (a->code != EICE_OK) {
        eice_buf_init(&b, c->warning, sizeof c->warning);
        eice_putf(&b, EICEI_CRED_SSO ": the renewed login cannot be written "
                      "to %s: the next command will ask to log in",
                  r->sso.path);
        (void)eice_buf_c(&b);
    }
    return eicei_cred_sso_ask(r);
}

/* 20261122T080000Z as 2026-11-22T08:00:00Z. */
EICEI_PRIVATE void eicei_cred_put_iso(eice_buf *b, int64_t unix_s)
{
    static const uint8_t parts[6] = { 4, 2, 3, 2, 2, 3 };
    char amz[17];
    size_t at = 0;
    size_t i;

    eice_time_amz(unix_s, amz);
    for (i = 0; i < 6; i++) {
        eice_put_c(b, i == 0 || i == 3 ? "" : i < 3 ? "-" : ":");
        eice_put(b, eice_str_make(amz + at, parts[i]));
        at += parts[i];
    }
}

/* The cache file with the renewed token. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_save(eicei_cred_run *r,
                                                     int64_t expires)
{
    static const int fields[] = {
        EICEI_CACHE_ACCESS, EICEI_CACHE_CLIENT, EICEI_CACHE_SECRET,
        EICEI_CACHE_REGISTERED, EICEI_CACHE_REFRESH
    };
    eice_pair member[3 + EICEI_LEN(fields)];
    char iso[24];
    eice_buf b;
    size_t i;

    eice_buf_init(&b, iso, sizeof iso);
    eicei_cred_put_iso(&b, expires);
    member[0].name = eice_str_c("startUrl");
    member[0].value = r->sso.url;
    member[1].name = eice_str_c("region");
    member[1].value = r->sso.region;
    member[2].name = eice_str_c("expiresAt");
    member[2].value = eice_buf_str(&b);
    for (i = 0; i < EICEI_LEN(fields); i++) {
        member[3 + i].name = eice_str_c(eicei_cred_cache_names[fields[i]]);
        member[3 + i].value = eicei_cred_cached(r, fields[i]);
    }
    if (!eicei_cred_sso_doc(r->c, member, EICEI_LEN(member))) {
        return EICEI_CRED_BROKEN;
    }
    (void)eicei_cred_ask(r->c, EICE_NEED_SAVE, eice_str_c(r->sso.path),
                         eicei_cred_sso_saved);
    r->c->priv.need.text = eice_str_make(r->c->priv.doc.ptr,
                                         r->c->priv.doc.len);
    return EICEI_CRED_WAIT;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_file(eice_cred *c,
                                                     const eice_answer *a);

/* Without a new token the old one may still do; or another process was
 * faster, and has written the file. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_renewed(eice_cred *c,
                                                        const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);
    size_t *const cached = r->sso.cached;
    const size_t old = cached[EICEI_CACHE_REFRESH];
    uint64_t seconds = 0;
    eice_str raw;
    eice_buf b;

    if (a->code == EICE_OK && a->status == 200
        && eice_json_find(a->data, "expiresIn", &raw) == EICE_JSON_NUMBER
        && eice_str_u64(raw, UINT32_MAX, &seconds)
        && eicei_cred_member(c, a->data, "accessToken",
                             &cached[EICEI_CACHE_ACCESS])
        && eicei_cred_member(c, a->data, "refreshToken",
                             &cached[EICEI_CACHE_REFRESH])
        && eicei_cred_cached(r, EICEI_CACHE_ACCESS).len > 0
        && eicei_cred_visible(eicei_cred_cached(r, EICEI_CACHE_ACCESS))) {
        if (eicei_cred_cached(r, EICEI_CACHE_REFRESH).len == 0) {
            cached[EICEI_CACHE_REFRESH] = old;
        }
        return eicei_cred_sso_save(r, r->sso.now + (int64_t)seconds);
    }
    eice_buf_init(&b, r->sso.why, sizeof r->sso.why);
    eice_put_c(&b, "; it cannot be renewed: ");
    if (a->code != EICE_OK) {
        eice_put_c(&b, eice_err_text(a->code));
    } else {
        eicei_cred_put_refusal(c, &b, a);
    }
    (void)eice_buf_c(&b);
    return eicei_cred_ask(c, EICE_NEED_FILE, eice_str_c(r->sso.path),
                          eicei_cred_sso_file);
}

/* CreateToken. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_renew(eicei_cred_run *r)
{
    eice_pair member[4];
    eice_pair header;

    r->sso.renewed = true;
    member[0].name = eice_str_c("clientId");
    member[0].value = eicei_cred_cached(r, EICEI_CACHE_CLIENT);
    member[1].name = eice_str_c("clientSecret");
    member[1].value = eicei_cred_cached(r, EICEI_CACHE_SECRET);
    member[2].name = eice_str_c("grantType");
    member[2].value = eice_str_c("refresh_token");
    member[3].name = eice_str_c("refreshToken");
    member[3].value = eicei_cred_cached(r, EICEI_CACHE_REFRESH);
    header.name = eice_str_c("Content-Type");
    header.value = eice_str_c("application/json");
    return eicei_cred_sso_place(r, EICE_SERVICE_OIDC)
                   && eicei_cred_sso_doc(r->c, member, EICEI_LEN(member))
               ? eicei_cred_sso_fetch(r, "POST", "token", &header,
                                      eicei_cred_sso_renewed)
               : EICEI_CRED_BROKEN;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_time(eice_cred *c,
                                                     const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);
    const eice_str expires = eicei_cred_cached(r, EICEI_CACHE_EXPIRES);
    int64_t until = INT64_MIN;

    r->sso.now = a->unix_s;
    (void)eice_time_iso_parse(expires, &until);
    if (until < r->sso.now + EICEI_SSO_ADVISORY
        && eicei_cred_sso_may_renew(r)) {
        return eicei_cred_sso_renew(r);
    }
    if (until <= r->sso.now) {
        return eicei_cred_sso_login(r, "its token expired at ", expires.ptr);
    }
    return eicei_cred_sso_ask(r);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_sso_file(eice_cred *c,
                                                     const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);
    size_t i;

    if (a->code != EICE_OK) {
        return eicei_cred_broken(c, EICEI_CRED_SSO ": cannot read %s: %s",
                                 r->sso.path, eice_err_text(a->code));
    }
    if (a->absent) {
        return eicei_cred_sso_login(r, "no login in ", r->sso.path);
    }
    eice_blob_free(&c->priv.got);
    c->priv.got.alloc = c->priv.o.alloc;
    for (i = 0; i < EICEI_CACHE_COUNT; i++) {
        if (!eicei_cred_member(c, a->data, eicei_cred_cache_names[i],
                               &r->sso.cached[i])) {
            return eicei_cred_sso_login(r, "malformed: ", r->sso.path);
        }
    }
    if (eicei_cred_cached(r, EICEI_CACHE_ACCESS).len == 0
        || !eicei_cred_visible(eicei_cred_cached(r, EICEI_CACHE_ACCESS))) {
        return eicei_cred_sso_login(r, "no token in ", r->sso.path);
    }
    return eicei_cred_ask(c, EICE_NEED_TIME, eice_str_c("time"),
                          eicei_cred_sso_time);
}

/* One of the two settings that a session and a profile may both have. */
EICEI_PRIVATE bool eicei_cred_sso_agree(eicei_cred_run *r, eice_str *value,
                                        int key)
{
    const eice_str own = eicei_cred_key(r, key);

    if (value->len > 0 && own.len > 0 && !eice_str_eq(*value, own)) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "profile %S and its sso-session have different %s",
                  &r->profile[r->at].name, eicei_cred_key_names[key]);
        return false;
    }
    *value = value->len > 0 ? *value : own;
    return true;
}

/* All that is needed is there; or c->error says what is not. */
EICEI_PRIVATE bool eicei_cred_sso_whole(eicei_cred_run *r)
{
    const eice_str session = eicei_cred_key(r, EICEI_KEY_SSO_SESSION);
    const eice_str name = r->profile[r->at].name;
    const char *const file = r->c->priv.path[EICEI_CONFIG_FILE];
    eice_error *const e = &r->c->error;
    char missing[80];
    eice_buf b;

    if (session.len > 0 && !r->sso.found) {
        eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "profile %S names sso_session %S, and %s has no such "
                  "section", &name, &session, file);
        return false;
    }
    if (!eicei_cred_sso_agree(r, &r->sso.url, EICEI_KEY_SSO_URL)
        || !eicei_cred_sso_agree(r, &r->sso.region, EICEI_KEY_SSO_REGION)) {
        return false;
    }
    eice_buf_init(&b, missing, sizeof missing);
    eice_put_c(&b, eicei_cred_key(r, EICEI_KEY_SSO_ACCOUNT).len > 0
                       ? "" : ", sso_account_id");
    eice_put_c(&b, eicei_cred_key(r, EICEI_KEY_SSO_ROLE).len > 0
                       ? "" : ", sso_role_name");
    eice_put_c(&b, r->sso.url.len > 0 ? "" : ", sso_start_url");
    eice_put_c(&b, r->sso.region.len > 0 ? "" : ", sso_region");
    if (b.len > 0) {
        eice_fail(e, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  EICEI_CRED_SSO ": profile %S lacks %s", &name,
                  eice_buf_c(&b) + 2);
    } else if (!eice_region_ok(r->sso.region)) {
        eicei_cred_region_fail(r->c, r->sso.region);
    }
    return e->code == EICE_OK;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_sso(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    const eice_str session = eicei_cred_key(r, EICEI_KEY_SSO_SESSION);
    eice_str name;
    uint8_t hash[20];
    eice_buf b;

    (void)p;
    if (eicei_cred_key(r, EICEI_KEY_SSO_ACCOUNT).len == 0
        && eicei_cred_key(r, EICEI_KEY_SSO_ROLE).len == 0) {
        return EICEI_CRED_NOTHING;
    }
    if (!eicei_cred_sso_whole(r)) {
        return EICEI_CRED_BROKEN;
    }
    name = session.len > 0 ? session : r->sso.url;
    eice_sha1(hash, name.ptr, name.len);
    eice_buf_init(&b, r->sso.path, sizeof r->sso.path);
    eice_put_c(&b, "~/.aws/sso/cache/");
    eice_put_hex(&b, hash, sizeof hash);
    eice_put_c(&b, ".json");
    (void)eice_buf_c(&b);
    return eicei_cred_ask(r->c, EICE_NEED_FILE, eice_str_c(r->sso.path),
                          eicei_cred_sso_file);
}

/* ---- login ------------------------------------------------------------- */

/* What "aws login" keeps: keys, to be used until they expire. Renewing them
 * takes a proof of possession (DPoP, RFC 9449), which is left to the AWS CLI.
 * No other program was there to compare this with: it follows what AWS says
 * about the file. */

EICEI_PRIVATE eicei_cred_verdict eicei_cred_login_time(eice_cred *c,
                                                       const eice_answer *a)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);

    return c->expires_unix_s == 0 || c->expires_unix_s > a->unix_s
               ? EICEI_CRED_FOUND
               : eicei_cred_login_fail(r, "login", "profile",
                                       r->profile[r->at].name,
                                       "its keys have expired", "");
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_login_file(eice_cred *c,
                                                       const eice_answer *a)
{
    static const char *const names[4] = {
        "accessToken.accessKeyId", "accessToken.secretAccessKey",
        "accessToken.sessionToken", "accessToken.expiresAt"
    };
    eicei_cred_run *const r = eicei_cred_run_of(c);
    const eice_str name = r->profile[r->at].name;
    char from[sizeof c->provider];
    eice_buf b;

    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "login of profile %S", &name);
    (void)eice_buf_c(&b);
    if (a->code != EICE_OK) {
        return eicei_cred_broken(c, "%s: cannot read %s: %s", from,
                                 r->sso.path, eice_err_text(a->code));
    }
    if (a->absent) {
        return eicei_cred_login_fail(r, "login", "profile", name,
                                     "there is none in ", r->sso.path);
    }
    return eicei_cred_fields(c, a->data, eicei_cred_member, names, from)
                   == EICEI_CRED_FOUND
               ? eicei_cred_ask(c, EICE_NEED_TIME, eice_str_c("time"),
                                eicei_cred_login_time)
               : EICEI_CRED_BROKEN;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_login(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    const eice_str session = eicei_cred_key(r, EICEI_KEY_LOGIN);
    const char *const folder = eicei_cred_or(
        eicei_cred_env_raw(r->c, EICEI_ENV_LOGIN_FOLDER),
        "~/.aws/login/cache");
    uint8_t hash[32];
    eice_buf b;

    (void)p;
    if (session.len == 0) {
        return EICEI_CRED_NOTHING;
    }
    eice_sha256(hash, session.ptr, session.len);
    eice_buf_init(&b, r->sso.path, sizeof r->sso.path);
    eice_putf(&b, "%s/", folder);
    eice_put_hex(&b, hash, sizeof hash);
    eice_put_c(&b, ".json");
    (void)eice_buf_c(&b);
    if (b.overflow || b.len == b.cap) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "AWS_LOGIN_CACHE_DIRECTORY is too long for a path");
        return EICEI_CRED_BROKEN;
    }
    return eicei_cred_ask(r->c, EICE_NEED_FILE, eice_str_c(r->sso.path),
                          eicei_cred_login_file);
}

/* ---- credential_process ------------------------------------------------ */

/* Takes the next word off a command, into `out`: as a shell does that expands
 * nothing (Python's shlex). 1: a word; 0: the end; -1: a quote or a backslash
 * is open. */
EICEI_PRIVATE int eicei_cred_word(eice_str *rest, eice_buf *out)
{
    bool word = false;
    char quote = 0;

    for (; rest->len > 0; rest->ptr++, rest->len--) {
        const char c = rest->ptr[0];
        const char next = rest->len > 1 ? rest->ptr[1] : '\0';

        if (quote == 0 && (eicei_cred_blank(c) || c == '\r' || c == '\n')) {
            if (word) {
                return 1;
            }
            continue;
        }
        word = true;
        if (c == quote) {
            quote = 0;
        } else if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == '\\' && (quote == 0 || (quote == '"'
                                 && (next == '"' || next == '\\')))) {
            if (rest->len < 2) {
                return -1;
            }
            rest->ptr++;
            rest->len--;
            eice_put_byte(out, (unsigned char)next);
        } else {
            eice_put_byte(out, (unsigned char)c);
        }
    }
    return quote != 0 ? -1 : word ? 1 : 0;
}

/* The words of a command in c->priv.text: pointers, NULL, what they point to.
 * NULL when it holds none, or a quote is open, or without memory. */
EICEI_PRIVATE char **eicei_cred_words(eice_cred *c, eice_str command)
{
    const size_t most = command.len / 2 + 2;
    const size_t bound = most * sizeof(char *) + 2 * command.len + 2;
    size_t count = 0;
    int got = -1;
    eice_buf b;
    char **argv;

    eice_blob_free(&c->priv.text);
    c->priv.text.alloc = c->priv.o.alloc;
    argv = (char **)(void *)eice_blob_room(&c->priv.text, bound,
                                           EICEI_CRED_STORE_MAX);
    if (argv == NULL) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CREDENTIALS,
                  "no memory for a command");
        return NULL;
    }
    c->priv.text.len = bound;
    eice_buf_init(&b, argv + most, bound - most * sizeof(char *));
    do {
        argv[count] = b.ptr + b.len;
        got = eicei_cred_word(&command, &b);
        eice_put_byte(&b, 0);
        count += got > 0;
    } while (got > 0);
    argv[count] = NULL;
    return got < 0 || count == 0 ? NULL : argv;
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_process_keys(
    eice_cred *c, const eice_answer *a)
{
    const eicei_cred_run *const r = eicei_cred_run_of(c);
    const eice_str name = r->profile[r->at].name;
    char from[sizeof c->provider];
    eice_str version;
    eice_buf b;

    eice_buf_init(&b, from, sizeof from);
    eice_putf(&b, "credential_process of profile %S", &name);
    (void)eice_buf_c(&b);
    if (a->code != EICE_OK) {
        return eicei_cred_broken(c, "%s: %s", from,
                                 a->error != NULL ? a->error->text
                                                  : eice_err_text(a->code));
    }
    if (eice_json_find(a->data, "Version", &version) != EICE_JSON_NUMBER
        || !eice_str_is(version, "1")) {
        return eicei_cred_broken(c, "%s: what it wrote is not JSON with "
                                 "\"Version\": 1", from);
    }
    return eicei_cred_fields(c, a->data, eicei_cred_member,
                             eicei_cred_sts_names, from);
}

EICEI_PRIVATE eicei_cred_verdict eicei_cred_load_process(
    eicei_cred_run *r, const eicei_cred_provider *p)
{
    const eice_str command = eicei_cred_key(r, EICEI_KEY_PROCESS);
    const eice_str name = r->profile[r->at].name;
    eice_cred *const c = r->c;
    char **argv;

    (void)p;
    if (command.len == 0) {
        return EICEI_CRED_NOTHING;
    }
    argv = eicei_cred_words(c, command);
    if (argv == NULL) {
        return eicei_cred_broken(c, "credential_process of profile %S is no "
                                 "command: a quote is open, or it is empty",
                                 &name);
    }
    (void)eicei_cred_ask(c, EICE_NEED_PROCESS, eice_str_c(argv[0]),
                         eicei_cred_process_keys);
    c->priv.need.argv = argv;
    c->priv.need.timeout_ms = c->priv.o.process_timeout_ms != 0
                                  ? c->priv.o.process_timeout_ms
                                  : 300000;
    return EICEI_CRED_WAIT;
}

/* ---- the search -------------------------------------------------------- */

/* In the order of the SDKs. A container's variables are not switched off by
 * a profile there, but nothing is found in a profile that leads here. */
static const eicei_cred_provider eicei_cred_providers[] = {
    { eicei_cred_load_given, NULL, false, EICEI_CRED_NO },
    { eicei_cred_load_token, NULL, false, EICEI_CRED_NO },
    { eicei_cred_load_env, "Environment", false, EICEI_CRED_NO },
    { eicei_cred_load_role, NULL, false, EICEI_CRED_NO },
    { eicei_cred_load_web, NULL, true, EICEI_CRED_NO },
    { eicei_cred_load_sso, NULL, true, EICEI_KEY_SSO_ACCOUNT },
    { eicei_cred_load_credentials, NULL, true, EICEI_CRED_NO },
    { eicei_cred_load_login, NULL, true, EICEI_KEY_LOGIN },
    { eicei_cred_load_process, NULL, true, EICEI_CRED_NO },
    { eicei_cred_load_config, NULL, true, EICEI_CRED_NO },
    { eicei_cred_load_container, "EcsContainer", false, EICEI_CRED_NO },
    { eicei_cred_load_instance, "Ec2InstanceMetadata", false, EICEI_CRED_NO }
};

EICEI_PRIVATE void eicei_cred_none(eice_cred *c)
{
    const char *env = "no AWS_ACCESS_KEY_ID in the environment";

    if (eicei_cred_env(c, EICEI_ENV_KEY_ID).len > 0) {
        env = "the environment's keys are not used with a profile chosen";
    } else if (eicei_cred_env(c, EICEI_ENV_SECRET).len > 0) {
        env = "AWS_SECRET_ACCESS_KEY without AWS_ACCESS_KEY_ID";
    }
    eice_fail(&c->error, EICE_E_NO_CREDENTIALS, EICE_STAGE_CREDENTIALS,
              "no credentials: %s, no keys of profile %s in %s or %s%s", env,
              c->settings.profile, c->priv.path[EICEI_CRED_FILE],
              c->priv.path[EICEI_CONFIG_FILE], c->priv.why);
}

/* A region that nobody named may still be that of the instance. */
EICEI_PRIVATE bool eicei_cred_may_region(eicei_cred_run *r)
{
    if (!eicei_cred_need_region(r->c) || !eicei_cred_imds_off(r->c)) {
        return true;
    }
    eicei_cred_no_region(r->c);
    return false;
}

/* Is it this provider's turn? */
EICEI_PRIVATE bool eicei_cred_may(const eicei_cred_run *r,
                                  const eicei_cred_provider *p)
{
    if (r->source.len > 0) {
        return p->source != NULL && eice_str_is_nocase(r->source, p->source);
    }
    return r->roles == 0 || p->of_profile;
}

/* The source of a role has no keys. */
EICEI_PRIVATE void eicei_cred_no_source(eicei_cred_run *r)
{
    const eice_str name = r->profile[r->at].name;
    bool known = false;
    size_t i;

    for (i = 0; i < EICEI_LEN(eicei_cred_providers); i++) {
        known = known || (eicei_cred_providers[i].source != NULL
                          && eicei_cred_may(r, &eicei_cred_providers[i]));
    }
    if (r->source.len > 0 && !known) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "profile %S has credential_source %S, which is none of "
                  "Environment, EcsContainer and Ec2InstanceMetadata", &name,
                  &r->source);
    } else if (r->source.len == 0) {
        eice_fail(&r->c->error, EICE_E_CONFIG, EICE_STAGE_CREDENTIALS,
                  "profile %S is the source of a role, and has no keys",
                  &name);
    } else {
        eice_fail(&r->c->error, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS,
                  "profile %S has credential_source %S, and there are none%s",
                  &name, &r->source, r->c->priv.why);
    }
}

/* The next provider, or the end of the search. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_try(eicei_cred_run *r)
{
    while (r->next < EICEI_LEN(eicei_cred_providers)) {
        const eicei_cred_provider *const p = &eicei_cred_providers[r->next++];

        if (eicei_cred_may(r, p)) {
            return p->load(r, p);
        }
    }
    if (r->roles > 0) {
        eicei_cred_no_source(r);
    } else {
        eicei_cred_none(r->c);
    }
    return EICEI_CRED_BROKEN;
}

/* There are keys: what else is wanted? FOUND when nothing is. */
EICEI_PRIVATE eicei_cred_verdict eicei_cred_more(eicei_cred_run *r)
{
    eice_cred *const c = r->c;

    if (c->settings.region[0] == 0
        && (r->roles > 0 || !c->priv.o.region_optional)) {
        if (r->region_asked || eicei_cred_imds_off(c)) {
            eicei_cred_no_region(c);
            return EICEI_CRED_BROKEN;
        }
        r->region_asked = true;
        r->region_open = true;
        return eicei_cred_imds_begin(c);
    }
    return r->roles > 0 ? eicei_cred_assume(r) : EICEI_CRED_FOUND;
}

EICEI_PRIVATE void eicei_cred_over(eice_cred *c)
{
    c->priv.state = EICEI_CRED_DONE;
    eice_blob_free(&c->priv.run);
    eice_blob_free(&c->priv.doc);
    if (c->error.code != EICE_OK) {
        memset(&c->keys, 0, sizeof c->keys);
    }
}

/* A step came to its end: the search goes on until something is waited for,
 * found or broken. */
EICEI_PRIVATE void eicei_cred_end(eice_cred *c, eicei_cred_verdict verdict)
{
    eicei_cred_run *const r = eicei_cred_run_of(c);

    do {
        if (verdict == EICEI_CRED_NOTHING && r->region_asked) {
            eicei_cred_no_region(c);
            verdict = EICEI_CRED_BROKEN;
        } else if (verdict == EICEI_CRED_NOTHING) {
            verdict = eicei_cred_try(r);
        }
        if (verdict == EICEI_CRED_FOUND) {
            verdict = eicei_cred_more(r);
        }
    } while (verdict == EICEI_CRED_NOTHING);
    if (verdict == EICEI_CRED_WAIT) {
        c->priv.state = EICEI_CRED_LATE;
    } else {
        eicei_cred_over(c);
    }
}

EICEI_PRIVATE void eicei_cred_late(eice_cred *c, const eice_answer *a)
{
    if (a->code == EICE_OK && a->data.len > c->priv.need.max) {
        eice_fail(&c->error, EICE_E_LIMIT, EICE_STAGE_CREDENTIALS,
                  "%S: more than %u bytes", &c->priv.need.name,
                  (unsigned)c->priv.need.max);
        eicei_cred_over(c);
        return;
    }
    eicei_cred_end(c, c->priv.next(c, a));
}

/* Files are read to their end before a value is made a C string. */
EICEI_PRIVATE void eicei_cred_resolve(eice_cred *c)
{
    static bool (*const steps[])(eicei_cred_run *) = {
        eicei_cred_choose, eicei_cred_files, eicei_cred_flags,
        eicei_cred_urls, eicei_cred_roots, eicei_cred_attempts,
        eicei_cred_proxies, eicei_cred_imds_place, eicei_cred_may_region
    };
    eicei_cred_run *r;
    size_t i;

    c->priv.run.alloc = c->priv.o.alloc;
    r = (eicei_cred_run *)(void *)eice_blob_room(&c->priv.run, sizeof *r,
                                                 sizeof *r);
    if (r == NULL) {
        eice_fail(&c->error, EICE_E_MEMORY, EICE_STAGE_CONFIG,
                  "no memory for a profile");
        return;
    }
    c->priv.run.len = sizeof *r;
    memset(r, 0, sizeof *r);
    r->c = c;
    for (i = 0; i < EICEI_LEN(steps); i++) {
        if (!steps[i](r)) {
            eicei_cred_over(c);
            return;
        }
    }
    eicei_cred_end(c, EICEI_CRED_NOTHING);
}

/* ---- proxies ----------------------------------------------------------- */

/* Do the first `bits` bits of both addresses agree? */
EICEI_PRIVATE bool eicei_cred_same_net(const eice_ip *a, const eice_ip *b,
                                       unsigned bits)
{
    const unsigned whole = bits / 8;
    const unsigned rest = bits % 8;

    return a->family == b->family && memcmp(a->bytes, b->bytes, whole) == 0
        && (rest == 0
            || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0);
}

typedef struct eicei_cred_net {
    const char *address;
    unsigned bits;
} eicei_cred_net;

/* 127.0.0.0/8 and ::1 (RFC 6890), link-local (RFC 3927, RFC 4291 2.5.6), and
 * EC2's own link-local services over IPv6. */
EICEI_PRIVATE bool eicei_cred_never_proxied(eice_str host, const eice_ip *ip)
{
    static const eicei_cred_net nets[] = {
        { "127.0.0.0", 8 }, { "::1", 128 }, { "169.254.0.0", 16 },
        { "fe80::", 10 }, { "fd00:ec2::", 32 }
    };
    size_t i;

    if (ip->family == 0) {
        return eice_str_is_nocase(host, "localhost");
    }
    for (i = 0; i < EICEI_LEN(nets); i++) {
        eice_ip net;

        if (eice_ip_parse(eice_str_c(nets[i].address), &net)
            && eicei_cred_same_net(&net, ip, nets[i].bits)) {
            return true;
        }
    }
    return false;
}

/* What a connection goes to, for comparison with an entry of no_proxy. */
typedef struct eicei_cred_dest {
    eice_str host;
    eice_ip ip; /* family 0: host is a name */
    uint16_t port;
} eicei_cred_dest;

EICEI_PRIVATE bool eicei_cred_match_cidr(const eicei_cred_dest *d,
                                         eice_str entry)
{
    const size_t slash = eice_str_find(entry, '/');
    eice_str bits = eice_str_make(entry.ptr + slash, entry.len - slash);
    uint64_t n;
    eice_ip net;

    bits = eice_str_make(bits.ptr + 1, bits.len - 1);
    return eice_ip_parse(eice_str_make(entry.ptr, slash), &net)
        && eice_str_u64(bits, net.family == 4 ? 32 : 128, &n)
        && eicei_cred_same_net(&net, &d->ip, (unsigned)n);
}

/* Equal, or below it: the border is between labels. */
EICEI_PRIVATE bool eicei_cred_match_domain(eice_str host, eice_str domain)
{
    eice_str tail;

    if (domain.len == 0 || host.len < domain.len) {
        return false;
    }
    tail = eice_str_make(host.ptr + host.len - domain.len, domain.len);
    return eice_str_eq_nocase(tail, domain)
        && (tail.ptr == host.ptr || tail.ptr[-1] == '.');
}

EICEI_PRIVATE eice_str eicei_cred_no_dot(eice_str name)
{
    return eice_str_make(name.ptr, name.len > 1
                                   && name.ptr[name.len - 1] == '.'
                                   ? name.len - 1 : name.len);
}

/* Takes ":port" and brackets off; false when the port is no number or not
 * the destination's. */
EICEI_PRIVATE bool eicei_cred_match_port(const eicei_cred_dest *d,
                                         eice_str *entry)
{
    const bool bracket = entry->len > 0 && entry->ptr[0] == '[';
    eice_str rest = bracket ? eice_str_make(entry->ptr + 1, entry->len - 1)
                            : *entry;
    const eice_str name = eice_str_cut(&rest, bracket ? ']' : ':');
    uint64_t port;

    if (!bracket && eice_str_find(rest, ':') < rest.len) {
        return true; /* a bare IPv6 address */
    }
    if (bracket && rest.len > 0) {
        if (rest.ptr[0] != ':') {
            return false;
        }
        rest = eice_str_make(rest.ptr + 1, rest.len - 1);
    }
    *entry = name;
    return rest.len == 0
        || (eice_str_u64(rest, 65535, &port) && port == d->port);
}

EICEI_PRIVATE bool eicei_cred_match(const eicei_cred_dest *d, eice_str entry)
{
    eice_ip ip;

    if (eice_str_is(entry, "*")) {
        return true;
    }
    if (eice_str_find(entry, '/') < entry.len) {
        return eicei_cred_match_cidr(d, entry);
    }
    if (!eicei_cred_match_port(d, &entry)) {
        return false;
    }
    if (d->ip.family != 0) {
        return eice_ip_parse(entry, &ip) && eice_ip_eq(&ip, &d->ip);
    }
    if (eice_str_starts(entry, "*.")) {
        entry = eice_str_make(entry.ptr + 2, entry.len - 2);
    } else if (eice_str_starts(entry, ".")) {
        entry = eice_str_make(entry.ptr + 1, entry.len - 1);
    }
    return eicei_cred_match_domain(d->host, eicei_cred_no_dot(entry));
}

EICEI_PRIVATE bool eicei_cred_bypassed(const eicei_cred_dest *d, eice_str list)
{
    while (list.len > 0) {
        size_t n = 0;

        while (n < list.len && list.ptr[n] != ',' && list.ptr[n] > ' ') {
            n++;
        }
        if (n > 0 && eicei_cred_match(d, eice_str_make(list.ptr, n))) {
            return true;
        }
        n += n < list.len ? 1 : 0;
        list = eice_str_make(list.ptr + n, list.len - n);
    }
    return false;
}

/* A URL without a scheme is one of http. It is parsed with the scheme in
 * front, in a copy; the slices then point into the original again. */
EICEI_PRIVATE bool eicei_cred_proxy_bare(eice_str text, eice_url *url)
{
    static const char scheme[] = "http://";
    char copy[512];
    eice_buf b;
    bool ok;

    eice_buf_init(&b, copy, sizeof copy);
    eice_put_c(&b, scheme);
    eice_put(&b, text);
    ok = !b.overflow && eice_url_parse(eice_buf_str(&b), url);
    if (ok) {
        const char *const base = copy + sizeof scheme - 1;

        url->scheme = eice_str_c("http");
        if (url->user.len > 0) {
            url->user.ptr = text.ptr + (url->user.ptr - base);
        }
        url->host.ptr = text.ptr + (url->host.ptr - base);
        url->path = eice_str_c("/");
    }
    eice_wipe(copy, sizeof copy);
    return ok;
}

EICEI_PRIVATE bool eicei_cred_proxy_parse(eice_str text, eice_url *url)
{
    size_t i;

    for (i = 0; i + 3 <= text.len; i++) {
        if (memcmp(text.ptr + i, "://", 3) == 0) {
            return eice_url_parse(text, url)
                && (eice_str_is_nocase(url->scheme, "http")
                    || eice_str_is_nocase(url->scheme, "https"));
        }
    }
    return eicei_cred_proxy_bare(text, url);
}

EICE_API bool eice_proxy_for(const eice_settings *s, bool tls, eice_str host,
                             uint16_t port, eice_url *proxy, eice_error *e)
{
    const eice_str text = eice_str_trim(
        eice_str_c(tls ? s->https_proxy : s->http_proxy));
    eicei_cred_dest d;

    memset(proxy, 0, sizeof *proxy);
    memset(&d, 0, sizeof d);
    d.host = eicei_cred_no_dot(host);
    d.port = port;
    if (!eice_ip_parse(host, &d.ip)) {
        d.ip.family = 0;
    }
    if (text.len == 0 || eicei_cred_never_proxied(d.host, &d.ip)
        || eicei_cred_bypassed(&d, eice_str_c(s->no_proxy))) {
        return false;
    }
    if (eicei_cred_proxy_parse(text, proxy)) {
        return true;
    }
    memset(proxy, 0, sizeof *proxy);
    /* The value is not quoted: it may hold a password. */
    eice_fail(e, EICE_E_CONFIG, EICE_STAGE_PROXY,
              "the %s proxy is not of the form http://[user:password@]host"
              "[:port]", tls ? "https" : "http");
    return false;
}

/* ======================================================================== *
 * 15 AWS CALLS                                                      >>aws  *
 * ======================================================================== */

#if EICE_HAS_AWS

#define EICEI_AWS_PARAMS_MAX 65536u /* bytes of all parameters of a request */
#define EICEI_AWS_REQUEST_MAX (1024u * 1024u)

/* ---- operations -------------------------------------------------------- */

typedef struct eicei_aws_op {
    const char *name;
    const char *item;
    unsigned char service; /* an eice_service; small, as rows are many */
    char flag;
} eicei_aws_op;

static const eicei_aws_op eicei_aws_ops[EICE_OP_COUNT] = {
#define EICEI_X(name, wire, service, flag, item, params, fields)              \
    { wire, item, EICE_SERVICE_##service, flag },
    EICE_OP_LIST(EICEI_X)
#undef EICEI_X
};

/* A service: its protocol is JSON 1.1 both ways for EC2 Instance Connect, a
 * form in and XML out for EC2 and STS; >>cred calls the last two itself. */
typedef struct eicei_aws_service {
    const char *name;
    const char *version; /* of the query API, or what precedes the name in
                            X-Amz-Target */
    bool json;
} eicei_aws_service;

static const eicei_aws_service eicei_aws_services[EICE_SERVICE_COUNT] = {
    { "ec2", "2016-11-15", false },
    { "ec2-instance-connect", "AWSEC2InstanceConnectService", true },
    { "sts", "2011-06-15", false },
    { "awsssoportal", "", false },
    { "sso-oauth", "", false }
};

EICEI_PRIVATE const eicei_aws_service *eicei_aws_service_of(eice_op op)
{
    return &eicei_aws_services[eicei_aws_ops[op].service];
}

EICEI_PRIVATE eice_stage eicei_aws_stage(eice_op op)
{
    return eicei_aws_service_of(op)->json ? EICE_STAGE_PUSH
           : eice_str_starts(eice_str_c(eice_op_name(op)), "Assume")
               ? EICE_STAGE_CREDENTIALS
               : EICE_STAGE_API;
}

EICE_API const char *eice_op_name(eice_op op)
{
    return eicei_aws_ops[op].name;
}

EICE_API eice_service eice_op_service(eice_op op)
{
    return (eice_service)eicei_aws_ops[op].service;
}

EICE_API bool eice_op_takes_token(eice_op op)
{
    return eicei_aws_ops[op].flag == 'T';
}

EICE_API const char *eice_service_name(eice_service service)
{
    return eicei_aws_services[service].name;
}

/* ---- requests ---------------------------------------------------------- */

EICE_API void eice_params_init(eice_params *p, void *memory, size_t cap)
{
    memset(p, 0, sizeof *p);
    eice_buf_init(&p->text, memory, cap);
}

/* The highest number behind a beginning, in the parameters there are. */
EICEI_PRIVATE uint64_t eicei_params_number(const eice_params *p,
                                           eice_str begin)
{
    uint64_t most = 0;
    size_t i;

    for (i = 0; i < p->count; i++) {
        const eice_str name = p->list[i].name;
        uint64_t n;

        if (name.len > begin.len
            && memcmp(name.ptr, begin.ptr, begin.len) == 0) {
            eice_str rest = eice_str_make(name.ptr + begin.len,
                                          name.len - begin.len);

            if (eice_str_u64(eice_str_cut(&rest, '.'), UINT32_MAX, &n)
                && n > most) {
                most = n;
            }
        }
    }
    return most;
}

/* What was added to the text since `at`. */
EICEI_PRIVATE eice_str eicei_params_since(const eice_params *p, size_t at)
{
    return eice_str_make(p->text.ptr + at, p->text.len - at);
}

EICE_API void eice_param(eice_params *p, const char *name, eice_str value)
{
    eice_str rest = eice_str_c(name);
    const eice_str begin = eice_str_cut(&rest, '#');
    const bool numbered = begin.len < strlen(name);
    size_t at = p->text.len;
    eice_pair pair;

    eice_put(&p->text, begin);
    if (numbered) {
        eice_put_u64(&p->text, eicei_params_number(p, begin) + 1);
        eice_put(&p->text, rest);
    }
    pair.name = eicei_params_since(p, at);
    at = p->text.len;
    eice_put(&p->text, value);
    pair.value = eicei_params_since(p, at);
    if (p->count == EICE_MAX_PARAMS) {
        p->text.overflow = true;
        return;
    }
    p->list[p->count++] = pair;
}

EICE_API void eice_param_filter(eice_params *p, const char *name,
                                eice_str value)
{
    const uint64_t n = eicei_params_number(p, eice_str_c("Filter."));
    char memory[48];
    eice_buf b;
    size_t i;

    eice_buf_init(&b, memory, sizeof memory);
    eice_putf(&b, "Filter.%l.Name", n);
    for (i = 0; i < p->count; i++) {
        if (eice_str_eq(p->list[i].name, eice_buf_str(&b))
            && eice_str_is(p->list[i].value, name)) {
            b.len -= 4;
            eice_put_c(&b, "Value.#");
            eice_param(p, eice_buf_c(&b), value);
            return;
        }
    }
    eice_param(p, "Filter.#.Name", eice_str_c(name));
    b.len = 0;
    eice_putf(&b, "Filter.%l.Value.1", n + 1);
    eice_param(p, eice_buf_c(&b), value);
}

EICE_API void eice_put_filter_text(eice_buf *b, eice_str text)
{
    size_t i;

    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] == '*' || text.ptr[i] == '?' || text.ptr[i] == '\\') {
            eice_put_byte(b, '\\');
        }
        eice_put_byte(b, (unsigned char)text.ptr[i]);
    }
}

EICEI_PRIVATE void eicei_aws_put_param(eice_buf *b, eice_str name,
                                       eice_str value)
{
    eice_put_byte(b, '&');
    eice_put_uri(b, name);
    eice_put_byte(b, '=');
    eice_put_uri(b, value);
}

/* What is named by id comes at once, and EC2 refuses MaxResults then. */
EICEI_PRIVATE bool eicei_aws_wants_pages(const eice_aws_request *r)
{
    size_t i;

    for (i = 0; i < r->param_count; i++) {
        const eice_str name = r->params[i].name;

        if (eice_str_is(name, "MaxResults")
            || (!eice_str_starts(name, "Filter.")
                && eice_str_find(name, '.') < name.len)) {
            return false;
        }
    }
    return r->paged && eicei_aws_ops[r->op].flag == 'P';
}

EICEI_PRIVATE void eicei_aws_put_form(eice_buf *b, const eice_aws_request *r)
{
    size_t i;

    eice_putf(b, "Action=%s&Version=%s", eice_op_name(r->op),
              eicei_aws_service_of(r->op)->version);
    for (i = 0; i < r->param_count; i++) {
        eicei_aws_put_param(b, r->params[i].name, r->params[i].value);
    }
    if (r->client_token.len > 0) {
        eicei_aws_put_param(b, eice_str_c("ClientToken"), r->client_token);
    }
    if (r->dry_run) {
        eice_put_c(b, "&DryRun=true");
    }
    if (eicei_aws_wants_pages(r)) {
        eice_putf(b, "&MaxResults=%u",
                  r->op == EICE_OP_DESCRIBE_ENDPOINTS ? 50u : 1000u);
    }
    if (r->next_token.len > 0) {
        eicei_aws_put_param(b, eice_str_c("NextToken"), r->next_token);
    }
}

EICEI_PRIVATE void eicei_aws_put_object(eice_buf *b, const eice_aws_request *r)
{
    size_t i;

    eice_put_byte(b, '{');
    for (i = 0; i < r->param_count; i++) {
        const bool bare = eice_str_is(r->params[i].name, "SerialPort");

        eice_put_c(b, i > 0 ? ", \"" : "\"");
        eice_put_json(b, r->params[i].name);
        eice_put_c(b, bare ? "\": " : "\": \"");
        eice_put_json(b, r->params[i].value);
        eice_put_c(b, bare ? "" : "\"");
    }
    eice_put_byte(b, '}');
}

EICEI_PRIVATE size_t eicei_aws_params_len(const eice_aws_request *r)
{
    size_t sum = r->next_token.len + r->client_token.len;
    size_t i;

    for (i = 0; i < r->param_count && sum <= EICEI_AWS_PARAMS_MAX; i++) {
        if (r->params[i].name.len > EICEI_AWS_PARAMS_MAX
            || r->params[i].value.len > EICEI_AWS_PARAMS_MAX) {
            return SIZE_MAX;
        }
        sum += r->params[i].name.len + r->params[i].value.len + 2;
    }
    return sum;
}

/* A builder on top of a blob: of what `bound` bytes are enough for. */
EICEI_PRIVATE bool eicei_aws_builder(eice_blob *blob, size_t bound,
                                     eice_buf *b)
{
    uint8_t *const room = eice_blob_room(blob, bound, EICEI_AWS_REQUEST_MAX);

    eice_buf_init(b, room, room == NULL ? 0 : bound);
    return room != NULL;
}

EICEI_PRIVATE eice_err eicei_aws_body(const eice_aws_request *r,
                                      eice_blob *body, eice_error *e)
{
    const size_t len = eicei_aws_params_len(r);
    eice_buf b;

    if (len > EICEI_AWS_PARAMS_MAX) {
        return eice_fail(e, EICE_E_LIMIT, eicei_aws_stage(r->op),
                         "%s: parameters of more than %u bytes",
                         eice_op_name(r->op), EICEI_AWS_PARAMS_MAX);
    }
    /* an escaped byte is at most \u00XX; 9 for quotes and separators */
    if (!eicei_aws_builder(body, 6 * len + 9 * r->param_count + 192, &b)) {
        return eice_fail(e, EICE_E_MEMORY, eicei_aws_stage(r->op),
                         "no memory for a request");
    }
    if (eicei_aws_service_of(r->op)->json) {
        eicei_aws_put_object(&b, r);
    } else {
        eicei_aws_put_form(&b, r);
    }
    body->len += b.len;
    return EICE_OK;
}

EICEI_PRIVATE void eicei_aws_put_target(eice_buf *b, const eice_aws_request *r)
{
    const eice_place *const p = r->place;

    eice_put_c(b, "POST ");
    if (r->proxied_plain) {
        eice_put_c(b, p->tls ? "https://" : "http://");
        eice_put_authority(b, p->host, p->port, p->tls);
    }
    eice_put(b, p->path);
    eice_put_c(b, " HTTP/1.1\r\n");
    if (r->proxied_plain) {
        eice_put_proxy_user(b, r->proxy_user);
    }
}

static const char *const eicei_aws_signed_headers[3] = {
    "Host", "Content-Type", "X-Amz-Target"
};

/* The headers that are signed; texts that are put together go to `text`. */
EICEI_PRIVATE size_t eicei_aws_headers(const eice_aws_request *r,
                                       eice_buf *text, eice_pair headers[3])
{
    const bool json = eicei_aws_service_of(r->op)->json;
    size_t at;
    size_t i;

    for (i = 0; i < 3; i++) {
        headers[i].name = eice_str_c(eicei_aws_signed_headers[i]);
    }
    eice_put_authority(text, r->place->host, r->place->port, r->place->tls);
    headers[0].value = eice_buf_str(text);
    headers[1].value = eice_str_c(
        json ? "application/x-amz-json-1.1"
             : "application/x-www-form-urlencoded; charset=utf-8");
    at = text->len;
    eice_putf(text, "%s.%s", eicei_aws_service_of(r->op)->version,
              eice_op_name(r->op));
    headers[2].value = eice_str_make(text->ptr + at, text->len - at);
    return json ? 3 : 2;
}

EICEI_PRIVATE void eicei_aws_put_head(eice_buf *b, const eice_aws_request *r,
                                      const eice_sigv4_request *s,
                                      const eice_signed *sign)
{
    size_t i;

    eicei_aws_put_target(b, r);
    for (i = 0; i < s->header_count; i++) {
        eice_put_header(b, eicei_aws_signed_headers[i], s->headers[i].value);
    }
    eice_put_header(b, "User-Agent", r->user_agent.len > 0
                                         ? r->user_agent
                                         : eice_str_c("eice/" EICE_VERSION));
    if (eicei_aws_ops[r->op].flag != 'U') {
        eice_put_header(b, "X-Amz-Date", eice_str_c(sign->date));
        if (r->keys.session_token.len > 0) {
            eice_put_header(b, "X-Amz-Security-Token", r->keys.session_token);
        }
        eice_put_c(b, "Authorization: ");
        eice_sigv4_authorization(s, sign, b);
        eice_put_c(b, "\r\n");
    }
    eice_putf(b, "Content-Length: %l\r\n\r\n", (uint64_t)s->body.len);
}

EICEI_PRIVATE eice_err eicei_aws_sign(const eice_aws_request *r,
                                      eice_str body, eice_blob *out,
                                      eice_error *e)
{
    const eice_stage stage = eicei_aws_stage(r->op);
    eice_pair headers[3];
    eice_sigv4_request s;
    eice_signed sign;
    char memory[400];
    eice_buf text;
    eice_err err;
    eice_buf b;

    eice_buf_init(&text, memory, sizeof memory);
    memset(&s, 0, sizeof s);
    s.method = eice_str_c("POST");
    s.path = r->place->path;
    s.headers = headers;
    s.header_count = eicei_aws_headers(r, &text, headers);
    s.body = body;
    s.region = r->region;
    s.service = eice_str_c(eicei_aws_service_of(r->op)->name);
    s.keys = r->keys;
    s.unix_s = r->unix_s;
    err = text.overflow                        ? EICE_E_ARGUMENT
          : eicei_aws_ops[r->op].flag == 'U' ? EICE_OK
                                             : eice_sigv4_sign(&s, &sign);
    if (err != EICE_OK) {
        return eice_fail(e, err, stage, "%s: the request cannot be signed "
                         "(host, region or keys)", eice_op_name(r->op));
    }
    if (!eicei_aws_builder(out, 3072 + r->place->path.len + r->user_agent.len
                                + r->keys.session_token.len + body.len, &b)) {
        return eice_fail(e, EICE_E_MEMORY, stage,
                         "no memory for a request");
    }
    eicei_aws_put_head(&b, r, &s, &sign);
    eice_put(&b, body);
    if (b.overflow) {
        eice_wipe(b.ptr, b.cap);
        return eice_fail(e, EICE_E_ARGUMENT, stage,
                         "%s: a token, the user agent or the proxy's user "
                         "does not fit into a header", eice_op_name(r->op));
    }
    out->len += b.len;
    return EICE_OK;
}

EICE_API eice_err eice_aws_write(const eice_aws_request *r, eice_blob *out,
                                 eice_error *e)
{
    eice_blob body;
    eice_err err;

    memset(&body, 0, sizeof body);
    body.alloc = out->alloc;
    err = eicei_aws_body(r, &body, e);
    if (err == EICE_OK) {
        err = eicei_aws_sign(r, eice_str_make(body.ptr, body.len), out, e);
    }
    eice_blob_free(&body);
    return err;
}

/* ---- answers ----------------------------------------------------------- */

EICE_API void eice_aws_reply_init(eice_aws_reply *r, const eice_alloc *alloc)
{
    memset(r, 0, sizeof *r);
    r->body.alloc = alloc;
    eice_http_init(&r->http, r->line, sizeof r->line);
}

EICE_API void eice_aws_reply_free(eice_aws_reply *r)
{
    eice_blob_free(&r->body);
    eice_wipe(r, sizeof *r);
}

EICEI_PRIVATE void eicei_aws_on_date(eice_aws_reply *r, eice_str value)
{
    int64_t unix_s;

    if (eice_time_http_parse(value, &unix_s) && !r->priv.cached) {
        r->server_unix_s = unix_s;
    }
}

EICEI_PRIVATE void eicei_aws_on_age(eice_aws_reply *r, eice_str value)
{
    (void)value;
    r->priv.cached = true;
    r->server_unix_s = 0;
}

EICEI_PRIVATE void eicei_aws_on_request_id(eice_aws_reply *r, eice_str value)
{
    eice_copy_text(r->request_id, sizeof r->request_id, value);
}

EICEI_PRIVATE void eicei_aws_on_error_type(eice_aws_reply *r, eice_str value)
{
    if (!r->priv.query_error) {
        eice_copy_text(r->error_type, sizeof r->error_type, value);
    }
}

EICEI_PRIVATE void eicei_aws_on_retry_after(eice_aws_reply *r, eice_str value)
{
    uint64_t ms;

    if (eice_str_u64(value, UINT32_MAX, &ms)) {
        r->retry_after_ms = (uint32_t)ms;
    }
}

EICEI_PRIVATE void eicei_aws_on_query_error(eice_aws_reply *r, eice_str value)
{
    r->priv.query_error = true;
    eice_copy_text(r->error_type, sizeof r->error_type,
                   eice_str_cut(&value, ';'));
}

typedef struct eicei_aws_header {
    const char *name;
    void (*take)(eice_aws_reply *r, eice_str value);
} eicei_aws_header;

static const eicei_aws_header eicei_aws_headers_read[] = {
    { "date", eicei_aws_on_date },
    { "age", eicei_aws_on_age },
    { "x-amzn-requestid", eicei_aws_on_request_id },
    { "x-amzn-request-id", eicei_aws_on_request_id },
    { "x-amz-request-id", eicei_aws_on_request_id },
    { "x-amzn-errortype", eicei_aws_on_error_type },
    { "x-amzn-query-error", eicei_aws_on_query_error },
    { "x-amz-retry-after", eicei_aws_on_retry_after }
};

EICEI_PRIVATE void eicei_aws_on_header(eice_aws_reply *r, eice_str value)
{
    size_t i;

    for (i = 0; i < EICEI_LEN(eicei_aws_headers_read); i++) {
        if (eice_str_is(r->http.name, eicei_aws_headers_read[i].name)) {
            eicei_aws_headers_read[i].take(r, value);
        }
    }
}

EICEI_PRIVATE bool eicei_aws_on_body(eice_aws_reply *r, eice_str part,
                                     eice_error *e)
{
    if (part.len > EICE_MAX_BODY - r->body.len) {
        eice_fail(e, EICE_E_LIMIT, EICE_STAGE_API,
                  "an answer of AWS is longer than %u bytes", EICE_MAX_BODY);
        return false;
    }
    if (!eice_blob_add(&r->body, part.ptr, part.len, EICE_MAX_BODY)) {
        eice_fail(e, EICE_E_MEMORY, EICE_STAGE_API, "no memory for an answer");
        return false;
    }
    return true;
}

/* HTTP's error becomes the caller's. */
EICEI_PRIVATE bool eicei_aws_on_error(eice_aws_reply *r, eice_error *e)
{
    r->keep_alive = false;
    if (e != NULL && e->code == EICE_OK) {
        *e = r->http.error;
    }
    return true;
}

EICE_API bool eice_aws_reply_feed(eice_aws_reply *r, eice_str *in,
                                  eice_error *e)
{
    for (;;) {
        eice_str text;

        r->priv.begun = r->priv.begun || in->len > 0;
        switch (eice_http_next(&r->http, in, &text)) {
        case EICE_HTTP_MORE:
            return false;
        case EICE_HTTP_STATUS:
            r->status = r->http.status;
            break;
        case EICE_HTTP_HEADER:
            eicei_aws_on_header(r, text);
            break;
        case EICE_HTTP_HEAD:
            break;
        case EICE_HTTP_BODY:
            if (!eicei_aws_on_body(r, text, e)) {
                return true;
            }
            break;
        case EICE_HTTP_DONE:
            r->keep_alive = r->http.keep_alive;
            return true;
        case EICE_HTTP_ERROR:
            return eicei_aws_on_error(r, e);
        }
    }
}

EICE_API bool eice_aws_reply_eof(eice_aws_reply *r, eice_error *e)
{
    if (!r->priv.begun) {
        return false;
    }
    if (eice_http_eof(&r->http) != EICE_HTTP_DONE) {
        return eicei_aws_on_error(r, e);
    }
    return true;
}

/* ---- items ------------------------------------------------------------- */

EICEI_PRIVATE void eicei_items_init(eice_items *items, eice_str doc,
                                    const char *path)
{
    memset(items, 0, sizeof *items);
    items->path = path;
    eice_xml_init(&items->xml, doc);
}

EICE_API void eice_aws_items(const eice_aws_reply *r, eice_op op,
                             eice_items *items)
{
    eicei_items_init(items, eice_str_make(r->body.ptr, r->body.len),
                     eicei_aws_ops[op].item);
    items->root = eicei_aws_service_of(op)->json ? NULL : eice_op_name(op);
}

EICE_API void eice_items_in(const eice_item *item, const char *path,
                            eice_items *items)
{
    eicei_items_init(items, item->doc, path);
}

typedef enum eicei_fit {
    EICEI_FIT_NOT,
    EICEI_FIT_ABOVE, /* on the way to what is looked for */
    EICEI_FIT_IT,
    EICEI_FIT_WRONG  /* the root of something else */
} eicei_fit;

/* The element that was opened; those around it are on the way, or they would
 * have been skipped. */
EICEI_PRIVATE eicei_fit eicei_items_fit(const eice_items *items, eice_str name)
{
    eice_str rest = eice_str_c(items->path);
    eice_str part = rest;
    unsigned level;

    if (items->xml.depth == 1) {
        if (items->root != NULL
            && !(eice_str_starts(name, items->root)
                 && eice_str_is(eice_str_make(name.ptr + strlen(items->root),
                                              name.len - strlen(items->root)),
                                "Response"))) {
            return EICEI_FIT_WRONG;
        }
        return rest.len == 0 ? EICEI_FIT_IT : EICEI_FIT_ABOVE;
    }
    for (level = 1; level < items->xml.depth; level++) {
        part = eice_str_cut(&rest, '/');
    }
    return !eice_str_eq(part, name) ? EICEI_FIT_NOT
           : rest.len == 0          ? EICEI_FIT_IT
                                    : EICEI_FIT_ABOVE;
}

EICE_API bool eice_items_next(eice_items *items, eice_item *item)
{
    eice_xml *const x = &items->xml;

    while (!items->failed) {
        const size_t at = x->at;
        eicei_fit fit = EICEI_FIT_ABOVE;
        eice_str s;

        switch (eice_xml_next(x, &s)) {
        case EICE_XML_OPEN:
            fit = eicei_items_fit(items, s);
            items->failed = fit == EICEI_FIT_WRONG
                            || (fit != EICEI_FIT_ABOVE && !eice_xml_skip(x));
            break;
        case EICE_XML_TEXT:
        case EICE_XML_CLOSE:
            break;
        case EICE_XML_END:
            return false;
        case EICE_XML_ERROR:
            items->failed = true;
            break;
        }
        if (fit == EICEI_FIT_IT && !items->failed) {
            item->doc = eice_str_make(x->doc.ptr + at, x->at - at);
            return true;
        }
    }
    return false;
}

EICEI_PRIVATE bool eicei_item_first(const eice_item *item, const char *path,
                                    eice_item *out)
{
    eice_items items;

    eice_items_in(item, path, &items);
    return eice_items_next(&items, out);
}

/* The pieces of text right in an element; the first only when `raw` is not
 * NULL, as it is, otherwise all into `out`. */
EICEI_PRIVATE void eicei_item_text(const eice_item *item, eice_str *raw,
                                   eice_buf *out)
{
    eice_xml_type type;
    eice_str s;
    eice_xml x;

    eice_xml_init(&x, item->doc);
    do {
        type = eice_xml_next(&x, &s);
        if (type != EICE_XML_TEXT || x.depth != 1) {
            continue;
        }
        if (raw != NULL) {
            *raw = s;
            return;
        }
        if (x.cdata) {
            eice_put(out, s);
        } else {
            (void)eice_xml_unescape(s, out);
        }
    } while (type != EICE_XML_END && type != EICE_XML_ERROR);
}

EICEI_PRIVATE bool eicei_item_json(const eice_item *item, const char *path,
                                   eice_str *raw)
{
    switch (eice_json_find(item->doc, path, raw)) {
    case EICE_JSON_END:
    case EICE_JSON_ERROR:
        return false;
    default:
        return true;
    }
}

EICE_API bool eice_item_raw(const eice_item *item, const char *path,
                            eice_str *raw)
{
    eice_item found;

    *raw = eice_str_make(NULL, 0);
    if (eice_str_starts(item->doc, "{")) {
        return eicei_item_json(item, path, raw);
    }
    if (!eicei_item_first(item, path, &found)) {
        return false;
    }
    eicei_item_text(&found, raw, NULL);
    return true;
}

/* False when there is no such element. */
EICEI_PRIVATE bool eicei_item_put(const eice_item *item, const char *path,
                                  eice_buf *out)
{
    eice_item found;
    eice_str raw;

    if (eice_str_starts(item->doc, "{")) {
        return eicei_item_json(item, path, &raw)
               && eice_json_unescape(raw, out);
    }
    if (!eicei_item_first(item, path, &found)) {
        return false;
    }
    eicei_item_text(&found, NULL, out);
    return true;
}

EICE_API const char *eice_item_get(const eice_item *item, const char *path,
                                   char *out, size_t cap)
{
    char memory[1024];
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    (void)eicei_item_put(item, path, &b);
    eice_copy_text(out, cap, eice_buf_str(&b));
    return out;
}

EICE_API bool eice_item_is(const eice_item *item, const char *path,
                           const char *text)
{
    char memory[256];
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    return eicei_item_put(item, path, &b) && !b.overflow
           && eice_str_is(eice_buf_str(&b), text);
}

EICE_API const char *eice_item_tag(const eice_item *item, const char *key,
                                   char *out, size_t cap)
{
    eice_items tags;
    eice_item tag;

    eice_items_in(item, "tagSet/item", &tags);
    while (eice_items_next(&tags, &tag)) {
        if (eice_item_is(&tag, "key", key)) {
            return eice_item_get(&tag, "value", out, cap);
        }
    }
    out[0] = 0;
    return out;
}

EICE_API void eice_aws_next_token(const eice_aws_reply *r, eice_buf *out)
{
    eice_item whole;

    whole.doc = eice_str_make(r->body.ptr, r->body.len);
    (void)eicei_item_put(&whole, "nextToken", out);
}

/* ---- XML into structs -------------------------------------------------- */

typedef enum eicei_aws_kind {
    EICEI_AWS_TEXT, /* for people: cut to fit */
    EICEI_AWS_ID,   /* must fit */
    EICEI_AWS_BOOL,
    EICEI_AWS_AGAIN /* as TEXT; the last of several elements counts */
} eicei_aws_kind;

/* Which element of an item goes where. Of two rows for one place the upper
 * counts when both elements are there; of several elements of one row the
 * first. */
typedef struct eicei_aws_field {
    const char *path; /* below the item */
    size_t offset;
    size_t size;
    eicei_aws_kind kind;
} eicei_aws_field;

typedef struct eicei_aws_shape {
    const char *root; /* NULL: any */
    const char *item; /* below the root; "" is the root itself */
    const eicei_aws_field *fields;
    size_t count;
    size_t size;
    const char *closes; /* below the item; `closed` is called behind it */
    void (*closed)(void *record);
} eicei_aws_shape;

#define EICEI_AWS_NO_FIELD (-1)
#define EICEI_AWS_TOKEN (-2)

typedef struct eicei_aws_walk {
    const eicei_aws_shape *shape;
    unsigned char *record;
    bool (*item)(void *user, const void *record);
    void *user;
    eice_buf *token;
    eice_error *error;
    eice_op op;
    char path[160]; /* of the element, below the root; no leading '/' */
    size_t path_len;
    unsigned depth;
    size_t item_len; /* of the item's path */
    bool inside;     /* an item */
    bool stopped;
    int field;       /* that the text goes to */
    uint32_t seen;   /* bit per row */
} eicei_aws_walk;

EICEI_PRIVATE eice_err eicei_aws_malformed(eicei_aws_walk *w, const char *why)
{
    if (w->error != NULL && w->error->code == EICE_OK) {
        eice_copy_text(w->error->remedy, sizeof w->error->remedy,
                       eice_str_c("try again; check proxies on the way"));
    }
    return eice_fail(w->error, EICE_E_AWS, eicei_aws_stage(w->op),
                     "the answer to %s is malformed: %s", eice_op_name(w->op),
                     why);
}

/* The element's path without the item's. */
EICEI_PRIVATE eice_str eicei_aws_below(const eicei_aws_walk *w)
{
    const size_t skip = w->item_len + (w->item_len > 0
                                       && w->path_len > w->item_len ? 1 : 0);

    return eice_str_make(w->path + skip, w->path_len - skip);
}

/* The row an element belongs to, unless its place is taken. */
EICEI_PRIVATE int eicei_aws_row(eicei_aws_walk *w)
{
    const eicei_aws_shape *const s = w->shape;
    const eice_str path = eicei_aws_below(w);
    size_t i = 0;
    size_t k;

    while (i < s->count && !eice_str_is(path, s->fields[i].path)) {
        i++;
    }
    if (i == s->count) {
        return EICEI_AWS_NO_FIELD;
    }
    for (k = 0; k <= i && s->fields[i].kind != EICEI_AWS_AGAIN; k++) {
        if (s->fields[k].offset == s->fields[i].offset
            && (w->seen >> k & 1) != 0) {
            return EICEI_AWS_NO_FIELD;
        }
    }
    w->seen |= (uint32_t)1 << i;
    w->record[s->fields[i].offset] = 0;
    return (int)i;
}

/* False: too deep to be anything we know. */
EICEI_PRIVATE bool eicei_aws_push(eicei_aws_walk *w, eice_str name)
{
    const size_t slash = w->path_len > 0 ? 1 : 0;

    if (name.len + slash > sizeof w->path - w->path_len) {
        return false;
    }
    if (slash > 0) {
        w->path[w->path_len] = '/';
    }
    memcpy(w->path + w->path_len + slash, name.ptr, name.len);
    w->path_len += name.len + slash;
    return true;
}

EICEI_PRIVATE void eicei_aws_pop(eicei_aws_walk *w)
{
    while (w->path_len > 0 && w->path[--w->path_len] != '/') {
    }
}

EICEI_PRIVATE bool eicei_aws_open(eicei_aws_walk *w, eice_xml *x,
                                  eice_str name)
{
    eice_str path;

    w->field = EICEI_AWS_NO_FIELD;
    if (w->depth == 0) {
        if (w->shape->root != NULL && !eice_str_is(name, w->shape->root)) {
            eicei_aws_malformed(w, "it is not of AWS, or of another call");
            return false;
        }
    } else if (!eicei_aws_push(w, name)) {
        return eice_xml_skip(x);
    }
    w->depth++;
    path = eice_str_make(w->path, w->path_len);
    if (w->inside) {
        w->field = eicei_aws_row(w);
    } else if (eice_str_is(path, w->shape->item)) {
        memset(w->record, 0, w->shape->size);
        w->inside = true;
        w->item_len = w->path_len;
        w->seen = 0;
    } else if (eice_str_is(path, "nextToken") && w->token != NULL) {
        w->field = EICEI_AWS_TOKEN;
    }
    return true;
}

EICEI_PRIVATE bool eicei_aws_close(eicei_aws_walk *w)
{
    const eicei_aws_shape *const s = w->shape;

    w->field = EICEI_AWS_NO_FIELD;
    w->depth--;
    if (w->inside && w->path_len == w->item_len) {
        w->inside = false;
        w->stopped = w->item != NULL && !w->item(w->user, w->record);
    } else if (w->inside && s->closed != NULL
               && eice_str_is(eicei_aws_below(w), s->closes)) {
        s->closed(w->record);
    }
    eicei_aws_pop(w);
    return !w->stopped;
}

EICEI_PRIVATE bool eicei_aws_store(eicei_aws_walk *w, eice_str text)
{
    const eicei_aws_field *const f = &w->shape->fields[w->field];
    char *const to = (char *)w->record + f->offset;
    size_t have;

    if (f->kind == EICEI_AWS_BOOL) {
        const bool yes = eice_str_is(text, "true");

        memcpy(to, &yes, sizeof yes);
        return true;
    }
    have = strlen(to);
    if (f->kind == EICEI_AWS_ID && text.len >= f->size - have) {
        eicei_aws_malformed(w, f->path);
        return false;
    }
    eice_copy_text(to + have, f->size - have, text);
    return true;
}

EICEI_PRIVATE bool eicei_aws_text(eicei_aws_walk *w, eice_str raw, bool cdata)
{
    char memory[1024];
    eice_buf b;

    if (w->field == EICEI_AWS_NO_FIELD) {
        return true;
    }
    eice_buf_init(&b, memory, sizeof memory);
    if (cdata) {
        eice_put(&b, raw);
    } else if (!eice_xml_unescape(raw, &b) && !b.overflow) {
        eicei_aws_malformed(w, "unknown entity");
        return false;
    }
    if (w->field != EICEI_AWS_TOKEN) {
        return eicei_aws_store(w, eice_buf_str(&b));
    }
    eice_put(w->token, eice_buf_str(&b));
    if (b.overflow || w->token->overflow) {
        eicei_aws_malformed(w, "nextToken is too long");
        return false;
    }
    return true;
}

EICEI_PRIVATE eice_err eicei_aws_walk_all(eicei_aws_walk *w, eice_str doc)
{
    bool go = true;
    eice_str s;
    eice_xml x;

    w->field = EICEI_AWS_NO_FIELD;
    if (w->token != NULL) {
        w->token->len = 0;
    }
    eice_xml_init(&x, doc);
    while (go) {
        switch (eice_xml_next(&x, &s)) {
        case EICE_XML_OPEN:
            go = eicei_aws_open(w, &x, s);
            break;
        case EICE_XML_TEXT:
            go = eicei_aws_text(w, s, x.cdata);
            break;
        case EICE_XML_CLOSE:
            go = eicei_aws_close(w);
            break;
        case EICE_XML_END:
            return EICE_OK;
        case EICE_XML_ERROR:
            go = false;
            break;
        }
    }
    if (w->token != NULL) {
        w->token->len = 0;
    }
    return w->stopped ? EICE_OK : eicei_aws_malformed(w, "no XML of AWS");
}

/* ---- results ----------------------------------------------------------- */

#define EICEI_AWS_ROW(type, path, member, kind)                               \
    { path, offsetof(type, member), sizeof(((type *)0)->member),              \
      EICEI_AWS_##kind }

/* An instance, and the tag being read. */
typedef struct eicei_aws_instance {
    eice_instance i;
    char key[16];
    char value[256];
} eicei_aws_instance;

#define EICEI_I(path, member, kind)                                           \
    EICEI_AWS_ROW(eicei_aws_instance, path, member, kind)

static const eicei_aws_field eicei_aws_instance_fields[] = {
    EICEI_I("instanceId", i.id, ID),
    EICEI_I("instanceState/name", i.state, ID),
    EICEI_I("stateReason/message", i.state_reason, TEXT),
    EICEI_I("reason", i.state_reason, TEXT),
    EICEI_I("vpcId", i.vpc_id, ID),
    EICEI_I("subnetId", i.subnet_id, ID),
    EICEI_I("placement/availabilityZone", i.az, ID),
    EICEI_I("privateIpAddress", i.private_ip, ID),
    EICEI_I("ipAddress", i.public_ip, ID),
    EICEI_I("ipv6Address", i.ipv6, ID),
    EICEI_I("networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address",
            i.ipv6, ID),
    EICEI_I("privateDnsName", i.private_dns, ID),
    EICEI_I("imageId", i.image_id, ID),
    EICEI_I("platformDetails", i.platform, TEXT),
    EICEI_I("platform", i.platform, TEXT),
    EICEI_I("launchTime", i.launch_time, ID),
    EICEI_I("instanceType", i.type, ID),
    EICEI_I("metadataOptions/httpEndpoint", i.metadata, ID),
    EICEI_I("tagSet/item/key", key, AGAIN),
    EICEI_I("tagSet/item/value", value, AGAIN)
};

EICEI_PRIVATE void eicei_aws_tag(void *record)
{
    eicei_aws_instance *const r = (eicei_aws_instance *)record;

    if (strcmp(r->key, "Name") == 0) {
        memcpy(r->i.name, r->value, sizeof r->i.name);
    }
    r->key[0] = 0;
    r->value[0] = 0;
}

static const eicei_aws_shape eicei_aws_instance_shape = {
    "DescribeInstancesResponse",
    "reservationSet/item/instancesSet/item",
    eicei_aws_instance_fields,
    EICEI_LEN(eicei_aws_instance_fields),
    sizeof(eicei_aws_instance),
    "tagSet/item",
    eicei_aws_tag
};

#define EICEI_E(path, member, kind)                                           \
    EICEI_AWS_ROW(eice_endpoint, path, member, kind)

static const eicei_aws_field eicei_aws_endpoint_fields[] = {
    EICEI_E("instanceConnectEndpointId", id, ID),
    EICEI_E("state", state, ID),
    EICEI_E("stateMessage", state_message, TEXT),
    EICEI_E("vpcId", vpc_id, ID),
    EICEI_E("subnetId", subnet_id, ID),
    EICEI_E("availabilityZone", az, ID),
    EICEI_E("dnsName", dns, ID),
    EICEI_E("fipsDnsName", fips_dns, ID),
    EICEI_E("publicDnsNames/ipv4/dnsName", dns4, ID),
    EICEI_E("publicDnsNames/ipv4/fipsDnsName", fips_dns4, ID),
    EICEI_E("publicDnsNames/dualstack/dnsName", dns_dual, ID),
    EICEI_E("publicDnsNames/dualstack/fipsDnsName", fips_dns_dual, ID),
    EICEI_E("ipAddressType", ip_type, ID),
    EICEI_E("preserveClientIp", preserve_client_ip, BOOL)
};

static const eicei_aws_shape eicei_aws_endpoint_shape = {
    "DescribeInstanceConnectEndpointsResponse",
    "instanceConnectEndpointSet/item",
    eicei_aws_endpoint_fields,
    EICEI_LEN(eicei_aws_endpoint_fields),
    sizeof(eice_endpoint),
    NULL,
    NULL
};

static const eicei_aws_field eicei_aws_identity_fields[] = {
    EICEI_AWS_ROW(eice_identity, "Account", account, ID),
    EICEI_AWS_ROW(eice_identity, "Arn", arn, ID),
    EICEI_AWS_ROW(eice_identity, "UserId", user_id, ID)
};

static const eicei_aws_shape eicei_aws_identity_shape = {
    "GetCallerIdentityResponse",
    "GetCallerIdentityResult",
    eicei_aws_identity_fields,
    EICEI_LEN(eicei_aws_identity_fields),
    sizeof(eice_identity),
    NULL,
    NULL
};

EICEI_PRIVATE eice_str eicei_aws_document(const eice_aws_reply *r)
{
    return eice_str_make(r->body.ptr, r->body.len);
}

/* Walks a list with a record of its own. */
EICEI_PRIVATE eice_err eicei_aws_list(const eice_aws_reply *r,
                                      eicei_aws_walk *w)
{
    eice_err err;

    w->record = (unsigned char *)eice_resize(r->body.alloc, NULL,
                                             w->shape->size);
    if (w->record == NULL) {
        return eice_fail(w->error, EICE_E_MEMORY, EICE_STAGE_API,
                         "no memory for the answer to %s",
                         eice_op_name(w->op));
    }
    err = eicei_aws_walk_all(w, eicei_aws_document(r));
    (void)eice_resize(r->body.alloc, w->record, 0);
    return err;
}

/* The typed callbacks behind the untyped one. */
typedef struct eicei_aws_instance_sink {
    bool (*item)(void *user, const eice_instance *i);
    void *user;
} eicei_aws_instance_sink;

typedef struct eicei_aws_endpoint_sink {
    bool (*item)(void *user, const eice_endpoint *i);
    void *user;
} eicei_aws_endpoint_sink;

EICEI_PRIVATE bool eicei_aws_instance_seen(void *user, const void *record)
{
    const eicei_aws_instance_sink *const sink =
        (const eicei_aws_instance_sink *)user;

    return sink->item(sink->user, &((const eicei_aws_instance *)record)->i);
}

EICEI_PRIVATE bool eicei_aws_endpoint_seen(void *user, const void *record)
{
    const eicei_aws_endpoint_sink *const sink =
        (const eicei_aws_endpoint_sink *)user;

    return sink->item(sink->user, (const eice_endpoint *)record);
}

EICE_API eice_err eice_aws_instances(const eice_aws_reply *r,
                                     bool (*item)(void *user,
                                                  const eice_instance *i),
                                     void *user, eice_buf *next_token,
                                     eice_error *e)
{
    eicei_aws_instance_sink sink;
    eicei_aws_walk w;

    sink.item = item;
    sink.user = user;
    memset(&w, 0, sizeof w);
    w.shape = &eicei_aws_instance_shape;
    w.op = EICE_OP_DESCRIBE_INSTANCES;
    w.item = eicei_aws_instance_seen;
    w.user = &sink;
    w.token = next_token;
    w.error = e;
    return eicei_aws_list(r, &w);
}

EICE_API eice_err eice_aws_endpoints(const eice_aws_reply *r,
                                     bool (*item)(void *user,
                                                  const eice_endpoint *i),
                                     void *user, eice_buf *next_token,
                                     eice_error *e)
{
    eicei_aws_endpoint_sink sink;
    eicei_aws_walk w;

    sink.item = item;
    sink.user = user;
    memset(&w, 0, sizeof w);
    w.shape = &eicei_aws_endpoint_shape;
    w.op = EICE_OP_DESCRIBE_ENDPOINTS;
    w.item = eicei_aws_endpoint_seen;
    w.user = &sink;
    w.token = next_token;
    w.error = e;
    return eicei_aws_list(r, &w);
}

EICE_API eice_err eice_aws_identity(const eice_aws_reply *r,
                                    eice_identity *out, eice_error *e)
{
    eicei_aws_walk w;
    eice_err err;

    memset(out, 0, sizeof *out);
    memset(&w, 0, sizeof w);
    w.shape = &eicei_aws_identity_shape;
    w.op = EICE_OP_GET_CALLER_IDENTITY;
    w.record = (unsigned char *)out;
    w.error = e;
    err = eicei_aws_walk_all(&w, eicei_aws_document(r));
    if (err == EICE_OK && (out->account[0] == 0 || out->arn[0] == 0)) {
        err = eicei_aws_malformed(&w, "it names no account");
    }
    return err;
}

EICE_API bool eice_endpoint_usable(const eice_endpoint *e)
{
    const eice_str state = eice_str_c(e->state);

    return eice_str_is(state, "create-complete")
        || eice_str_starts(state, "update-");
}

/* Which name is meant for whom: eice-tunnel reference, "HOST". */
EICE_API const char *eice_endpoint_host(const eice_endpoint *e, bool fips,
                                        bool dualstack)
{
    const char *names[4] = { "", "", "", "" };
    size_t i = 0;

    if (fips) {
        names[0] = dualstack ? e->fips_dns_dual : e->fips_dns;
        names[1] = e->fips_dns;
        names[2] = e->fips_dns4;
    } else {
        names[0] = dualstack ? e->dns_dual : e->dns;
        names[1] = e->dns;
        names[2] = e->dns4;
        names[3] = e->dns_dual;
    }
    while (i < 3 && names[i][0] == 0) {
        i++;
    }
    return names[i];
}

/* ---- errors ------------------------------------------------------------ */

/* What an answer says about what went wrong. */
typedef struct eicei_aws_fault {
    char code[64];
    char request_id[64];
    char message[700];
} eicei_aws_fault;

#define EICEI_F(path, member, kind)                                           \
    EICEI_AWS_ROW(eicei_aws_fault, path, member, kind)

static const eicei_aws_field eicei_aws_fault_fields[] = {
    EICEI_F("Errors/Error/Code", code, TEXT),
    EICEI_F("Error/Code", code, TEXT),
    EICEI_F("Errors/Error/Message", message, TEXT),
    EICEI_F("Error/Message", message, TEXT),
    EICEI_F("RequestID", request_id, TEXT),
    EICEI_F("RequestId", request_id, TEXT)
};

static const eicei_aws_shape eicei_aws_fault_shape = {
    NULL, "", eicei_aws_fault_fields, EICEI_LEN(eicei_aws_fault_fields),
    sizeof(eicei_aws_fault), NULL, NULL
};

EICEI_PRIVATE void eicei_aws_fault_xml(const eice_aws_reply *r,
                                       eicei_aws_fault *f)
{
    eicei_aws_walk w;

    memset(&w, 0, sizeof w);
    w.shape = &eicei_aws_fault_shape;
    w.record = (unsigned char *)f;
    /* A body cut short has told its code before. */
    (void)eicei_aws_walk_all(&w, eicei_aws_document(r));
}

EICEI_PRIVATE bool eicei_aws_json_text(eice_str doc, const char *key,
                                       char *out, size_t cap)
{
    char memory[1024];
    eice_str raw;
    eice_buf b;

    if (eice_json_find(doc, key, &raw) != EICE_JSON_STRING) {
        return false;
    }
    eice_buf_init(&b, memory, sizeof memory);
    if (!eice_json_unescape(raw, &b) && !b.overflow) {
        return false;
    }
    eice_copy_text(out, cap, eice_buf_str(&b));
    return true;
}

/* "com.amazon...#AuthException:http://..." is AuthException. */
EICEI_PRIVATE eice_str eicei_aws_plain_code(eice_str code)
{
    code = eice_str_trim(eice_str_cut(&code, ':'));
    while (eice_str_find(code, '#') < code.len) {
        (void)eice_str_cut(&code, '#');
    }
    return code;
}

EICEI_PRIVATE void eicei_aws_fault_json(const eice_aws_reply *r,
                                        eicei_aws_fault *f)
{
    const eice_str doc = eicei_aws_document(r);
    char type[128];

    type[0] = 0;
    if (r->priv.query_error
        || !eicei_aws_json_text(doc, "__type", type, sizeof type)) {
        eice_copy_text(type, sizeof type, eice_str_c(r->error_type));
    }
    eice_copy_text(f->code, sizeof f->code,
                   eicei_aws_plain_code(eice_str_c(type)));
    if (!eicei_aws_json_text(doc, "message", f->message, sizeof f->message)) {
        (void)eicei_aws_json_text(doc, "Message", f->message,
                                  sizeof f->message);
    }
    (void)eicei_aws_json_text(doc, "RequestId", f->request_id,
                              sizeof f->request_id);
}

/* How an answer is to be taken. A code that ends or begins with '*' stands
 * for all with that beginning or end. The first row that fits counts. */
typedef struct eicei_aws_class {
    const char *code;
    eice_err err;
    eice_verdict verdict;
    const char *remedy; /* NULL: that of the error */
} eicei_aws_class;

#define EICEI_THROTTLED(code)                                                 \
    { code, EICE_E_AWS_THROTTLED, EICE_VERDICT_THROTTLED, NULL }
#define EICEI_NOTHING(code) { code, EICE_OK, EICE_VERDICT_NOTHING, NULL }
#define EICEI_RETRY(code) { code, EICE_E_AWS, EICE_VERDICT_RETRY, "try again" }
#define EICEI_FINAL(code, err, remedy)                                        \
    { code, err, EICE_VERDICT_FINAL, remedy }
#define EICEI_CLOCK(code, err, remedy)                                        \
    { code, err, EICE_VERDICT_CLOCK, remedy }

#define EICEI_WRONG_SECRET                                                    \
    "check the secret access key (does it belong to the access key id?) and " \
    "the clock of this machine"
#define EICEI_WRONG_KEY                                                       \
    "check the access key id: is it active, of this partition, and, for "     \
    "temporary keys, with its own session token?"
#define EICEI_OLD_TOKEN                                                       \
    "the session is over: get new temporary credentials (aws sso login, aws " \
    "sts ...) and try again"
#define EICEI_WRONG_REGION                                                    \
    "check the id, that --region or AWS_REGION is the region it is in, and "  \
    "that the keys are of its account"
#define EICEI_WRONG_TIME                                                      \
    "set the clock of this machine; if it is right, the credentials have "    \
    "expired: get new ones"
#define EICEI_WEB_TOKEN                                                       \
    "let the identity provider write a new token, for the audience that IAM " \
    "knows (sts.amazonaws.com)"
#define EICEI_ACCOUNT                                                         \
    "AWS holds this account back: see its console and mail"

static const eicei_aws_class eicei_aws_classes[] = {
    EICEI_NOTHING("DryRunOperation"),
    EICEI_NOTHING("InvalidPermission.Duplicate"),
    EICEI_NOTHING("InvalidPermission.NotFound"),
    EICEI_THROTTLED("Throttl*"),
    EICEI_THROTTLED("RequestThrottled*"),
    EICEI_THROTTLED("RequestLimitExceeded"),
    EICEI_THROTTLED("TooManyRequestsException"),
    EICEI_THROTTLED("ProvisionedThroughputExceededException"),
    EICEI_THROTTLED("TransactionInProgressException"),
    EICEI_THROTTLED("BandwidthLimitExceeded"),
    EICEI_THROTTLED("LimitExceededException"),
    EICEI_THROTTLED("SlowDown"),
    EICEI_THROTTLED("EC2ThrottledException"),
    EICEI_RETRY("RequestTimeout*"),
    EICEI_RETRY("PriorRequestNotComplete"),
    EICEI_RETRY("IDPCommunicationError"),
    EICEI_RETRY("EC2InstanceUnavailableException"),
    EICEI_RETRY("SerialConsoleSessionUnavailableException"),
    EICEI_RETRY("ServiceException"),
    EICEI_RETRY("InternalError"),
    EICEI_RETRY("InternalFailure"),
    EICEI_RETRY("ServiceUnavailable*"),
    EICEI_RETRY("Unavailable"),
    EICEI_RETRY("ServerInternal"),
    EICEI_CLOCK("RequestExpired", EICE_E_AWS_CLOCK, EICEI_WRONG_TIME),
    EICEI_CLOCK("InvalidSecurity.RequestHasExpired", EICE_E_AWS_CLOCK, NULL),
    EICEI_CLOCK("RequestInTheFuture", EICE_E_AWS_CLOCK, NULL),
    EICEI_CLOCK("RequestTimeTooSkewed", EICE_E_AWS_CLOCK, NULL),
    EICEI_CLOCK("SignatureDoesNotMatch", EICE_E_AWS_AUTH, EICEI_WRONG_SECRET),
    EICEI_CLOCK("InvalidSignatureException", EICE_E_AWS_AUTH,
                EICEI_WRONG_SECRET),
    EICEI_CLOCK("AuthFailure", EICE_E_AWS_AUTH,
                "check access key, secret key and session token; an opt-in "
                "region must be enabled for the account, and the clock be "
                "right"),
    EICEI_FINAL("IncompleteSignature*", EICE_E_AWS_AUTH, EICEI_WRONG_SECRET),
    EICEI_FINAL("InvalidClientTokenId", EICE_E_AWS_AUTH, EICEI_WRONG_KEY),
    EICEI_FINAL("InvalidAccessKeyId", EICE_E_AWS_AUTH, EICEI_WRONG_KEY),
    EICEI_FINAL("UnrecognizedClientException", EICE_E_AWS_AUTH,
                EICEI_WRONG_KEY),
    EICEI_FINAL("MissingAuthenticationToken*", EICE_E_AWS_AUTH, NULL),
    EICEI_FINAL("ExpiredToken*", EICE_E_CREDENTIALS_EXPIRED, EICEI_OLD_TOKEN),
    EICEI_FINAL("InvalidIdentityToken", EICE_E_CREDENTIALS, EICEI_WEB_TOKEN),
    EICEI_FINAL("IDPRejectedClaim", EICE_E_CREDENTIALS, EICEI_WEB_TOKEN),
    EICEI_FINAL("OptInRequired", EICE_E_AWS_AUTH,
                "enable this region, or this service, for the account"),
    EICEI_FINAL("RegionDisabledException", EICE_E_AWS_AUTH,
                "enable STS in this region for the account, or choose another "
                "region"),
    EICEI_FINAL("PendingVerification", EICE_E_AWS_AUTH, EICEI_ACCOUNT),
    EICEI_FINAL("Blocked", EICE_E_AWS_AUTH, EICEI_ACCOUNT),
    EICEI_FINAL("UnauthorizedOperation", EICE_E_AWS_DENIED, NULL),
    EICEI_FINAL("AccessDenied*", EICE_E_AWS_DENIED, NULL),
    EICEI_FINAL("AuthException", EICE_E_AWS_DENIED, NULL),
    EICEI_FINAL("InvalidInstanceID.*", EICE_E_NO_INSTANCE, EICEI_WRONG_REGION),
    EICEI_FINAL("EC2InstanceNotFoundException", EICE_E_NO_INSTANCE,
                EICEI_WRONG_REGION),
    EICEI_FINAL("EC2InstanceStateInvalidException", EICE_E_NOT_RUNNING, NULL),
    EICEI_FINAL("InvalidInstanceConnectEndpointId.*", EICE_E_NO_ENDPOINT,
                EICEI_WRONG_REGION),
    EICEI_FINAL("InvalidArgsException", EICE_E_AWS,
                "check the login name and the public key: one line, ssh-rsa "
                "or ssh-ed25519"),
    EICEI_FINAL("InvalidVpcI*", EICE_E_AWS, EICEI_WRONG_REGION),
    EICEI_FINAL("InvalidSubnet*", EICE_E_AWS, EICEI_WRONG_REGION),
    EICEI_FINAL("InvalidGroup*", EICE_E_AWS, EICEI_WRONG_REGION),
    EICEI_FINAL("InvalidSecurityGroup*", EICE_E_AWS, EICEI_WRONG_REGION),
    EICEI_FINAL("InvalidNetworkInterfaceI*", EICE_E_AWS, EICEI_WRONG_REGION),
    EICEI_FINAL("InvalidAMIID*", EICE_E_AWS, EICEI_WRONG_REGION),
    EICEI_FINAL("IdempotentParameterMismatch", EICE_E_AWS,
                "this client token went with other parameters before: use "
                "another, or none"),
    EICEI_FINAL("SerialConsoleAccessDisabledException", EICE_E_AWS,
                "enable the serial console for the account in this region "
                "(ec2:EnableSerialConsoleAccess)"),
    EICEI_FINAL("SerialConsoleSessionLimitExceededException", EICE_E_AWS,
                "one session at a time: end the other, then wait 30 seconds"),
    EICEI_FINAL("SerialConsoleSessionUnsupportedException", EICE_E_AWS,
                "reboot the instance: it was started before it could do this"),
    EICEI_FINAL("EC2InstanceTypeInvalidException", EICE_E_AWS,
                "only instance types on the Nitro system have this console"),
    EICEI_FINAL("*LimitExceeded", EICE_E_AWS,
                "a quota of the account is reached: free something, or ask "
                "for more in Service Quotas")
};

/* What a status alone means, when there is no code that says more. */
typedef struct eicei_aws_status {
    unsigned status;
    eice_err err;
    eice_verdict verdict;
    const char *remedy;
} eicei_aws_status;

static const eicei_aws_status eicei_aws_statuses[] = {
    { 407, EICE_E_PROXY, EICE_VERDICT_FINAL, NULL },
    { 429, EICE_E_AWS_THROTTLED, EICE_VERDICT_THROTTLED, NULL },
    { 500, EICE_E_HTTP_STATUS, EICE_VERDICT_RETRY, "try again" },
    { 502, EICE_E_HTTP_STATUS, EICE_VERDICT_RETRY, "try again" },
    { 503, EICE_E_HTTP_STATUS, EICE_VERDICT_RETRY, "try again" },
    { 504, EICE_E_HTTP_STATUS, EICE_VERDICT_RETRY, "try again" }
};

EICEI_PRIVATE bool eicei_aws_code_fits(eice_str code, const char *pattern)
{
    const eice_str p = eice_str_c(pattern);
    eice_str head = p;

    if (p.ptr[0] == '*') {
        return code.len >= p.len - 1
            && eice_str_is(eice_str_make(code.ptr + code.len - (p.len - 1),
                                         p.len - 1), pattern + 1);
    }
    head = eice_str_cut(&head, '*');
    return head.len == p.len
               ? eice_str_eq(code, p)
               : code.len >= head.len
                     && memcmp(code.ptr, head.ptr, head.len) == 0;
}

/* The code decides; an unknown one, or none, leaves it to the status. */
EICEI_PRIVATE eicei_aws_class eicei_aws_classify(const char *code,
                                                 unsigned status)
{
    const eice_str s = eice_str_c(code);
    eicei_aws_class c = { NULL, EICE_E_AWS, EICE_VERDICT_FINAL, NULL };
    size_t i;

    for (i = 0; i < EICEI_LEN(eicei_aws_classes) && s.len > 0; i++) {
        if (eicei_aws_code_fits(s, eicei_aws_classes[i].code)) {
            return eicei_aws_classes[i];
        }
    }
    if (s.len == 0) {
        c.err = EICE_E_HTTP_STATUS;
    }
    for (i = 0; i < EICEI_LEN(eicei_aws_statuses); i++) {
        if (eicei_aws_statuses[i].status == status) {
            c.err = s.len > 0 && eicei_aws_statuses[i].err
                                     == EICE_E_HTTP_STATUS
                        ? EICE_E_AWS : eicei_aws_statuses[i].err;
            c.verdict = eicei_aws_statuses[i].verdict;
            c.remedy = eicei_aws_statuses[i].remedy;
        }
    }
    return c;
}

/* What stands in `text` behind `mark`, up to a blank; empty without it. */
EICEI_PRIVATE eice_str eicei_aws_after(eice_str text, const char *mark)
{
    const size_t len = strlen(mark);
    eice_str word;
    size_t i;

    for (i = 0; i + len <= text.len; i++) {
        if (memcmp(text.ptr + i, mark, len) == 0) {
            word = eice_str_make(text.ptr + i + len, text.len - i - len);
            return eice_str_make(word.ptr, eice_str_find(word, ' '));
        }
    }
    return eice_str_make(text.ptr, 0);
}

/* The text in front of `mark`, or all of it. */
EICEI_PRIVATE eice_str eicei_aws_before(eice_str text, const char *mark)
{
    const size_t len = strlen(mark);
    size_t i;

    for (i = 0; i + len <= text.len; i++) {
        if (memcmp(text.ptr + i, mark, len) == 0) {
            return eice_str_make(text.ptr, i);
        }
    }
    return text;
}

EICEI_PRIVATE eice_str eicei_aws_no_period(eice_str s)
{
    s = eice_str_trim(s);
    return eice_str_make(s.ptr, s.len > 0 && s.ptr[s.len - 1] == '.'
                                    ? s.len - 1 : s.len);
}

/* A text of an error, in the format of eice_putf. */
EICEI_PRIVATE void eicei_aws_say(char out[256], const char *format, ...)
{
    char memory[512];
    va_list args;
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    va_start(args, format);
    eice_putv(&b, format, args);
    va_end(args);
    eice_copy_text(out, 256, eice_buf_str(&b));
}

#define EICEI_AWS_BLOB "Encoded authorization failure message:"

EICE_API void eice_aws_encoded(const eice_aws_reply *r, eice_buf *out)
{
    const eice_str body = eicei_aws_document(r);
    const eice_str before = eicei_aws_before(body, EICEI_AWS_BLOB);
    const size_t skip = before.len + strlen(EICEI_AWS_BLOB);
    eice_str rest;

    if (before.len < body.len) {
        rest = eice_str_trim(eice_str_make(body.ptr + skip, body.len - skip));
        eice_put(out, eice_str_cut(&rest, '<'));
    }
}

/* "User: U is not authorized to perform: A on resource: R because ..." in
 * the order of what is looked for: who may not do what, and on what. Another
 * text is shown as it is. */
EICEI_PRIVATE void eicei_aws_denied(eice_op op, const eicei_aws_fault *f,
                                    eice_error *e)
{
    const eice_str message = eice_str_c(f->message);
    const eice_str text = eicei_aws_before(message, EICEI_AWS_BLOB);
    const eice_str who = eicei_aws_after(text, "User: ");
    const eice_str on = eicei_aws_no_period(
        eicei_aws_after(text, "on resource: "));
    const bool deny = eicei_aws_before(text, "explicit deny").len < text.len;
    const bool blob = text.len < message.len;
    const eice_str named = eicei_aws_no_period(
        eicei_aws_after(text, "to perform: "));
    const eice_str other = eicei_aws_no_period(text);
    eice_str action = named;
    char memory[80];
    eice_buf b;

    eice_buf_init(&b, memory, sizeof memory);
    if (named.len == 0) {
        eice_putf(&b, "%s:%s", eicei_aws_service_of(op)->name,
                  eice_op_name(op));
        action = eice_buf_str(&b);
    }
    if (named.len > 0 || other.len == 0) {
        eicei_aws_say(e->text, "%s: not allowed to do %S%s%S%s%S%s", f->code,
                      &action, on.len > 0 ? " on " : "", &on,
                      who.len > 0 ? " as " : "", &who,
                      deny ? ", by an explicit deny" : "");
    } else {
        eicei_aws_say(e->text, "%s: %s: %S", eice_op_name(op), f->code, &other);
    }
    eicei_aws_say(e->remedy, "%s %S%s%S%s", deny ? "remove the deny of"
                                                 : "allow",
                  &action, on.len > 0 ? " on " : "", &on,
                  blob ? "; why: aws sts decode-authorization-message, with "
                         "the message the AWS CLI shows for this call" : "");
}

/* Where an answer comes from a front end or a proxy, its page is not quoted,
 * a line of plain text is. */
EICEI_PRIVATE void eicei_aws_no_code(const eice_aws_reply *r,
                                     eice_op op, eice_error *e)
{
    eice_str body = eice_str_trim(eicei_aws_document(r));

    body = body.len > 0 && body.ptr[0] != '<' && body.ptr[0] != '{'
               ? eice_str_trim(eice_str_cut(&body, '\n'))
               : eice_str_make(NULL, 0);
    body.len = body.len > 120 ? 120 : body.len;
    eicei_aws_say(e->text, "%s: HTTP %u without a code of AWS%s%S",
                  eice_op_name(op), r->status, body.len > 0 ? ": " : "", &body);
}

EICEI_PRIVATE bool eicei_aws_clock_text(const char *message)
{
    const eice_str text = eice_str_c(message);

    return eicei_aws_before(text, "Signature expired").len < text.len
        || eicei_aws_before(text, "Signature not yet current").len < text.len;
}

EICEI_PRIVATE void eicei_aws_describe(const eice_aws_reply *r,
                                      eice_op op,
                                      const eicei_aws_fault *f, eice_error *e)
{
    eice_str rest = eice_str_c(f->message);
    const eice_str message
        = eicei_aws_no_period(eice_str_cut(&rest, '\n'));

    if (f->code[0] == 0) {
        eicei_aws_no_code(r, op, e);
    } else if (e->code == EICE_E_AWS_DENIED) {
        eicei_aws_denied(op, f, e);
    } else {
        eicei_aws_say(e->text, "%s: %s%s%S", eice_op_name(op), f->code,
                      message.len > 0 ? ": " : "", &message);
    }
}

EICEI_PRIVATE eice_verdict eicei_aws_refused(const eice_aws_reply *r,
                                             eice_op op,
                                             eice_error *e)
{
    const eice_str body = eice_str_trim(eicei_aws_document(r));
    eicei_aws_fault f;
    eicei_aws_class c;

    memset(&f, 0, sizeof f);
    if (body.len > 0 && body.ptr[0] == '<') {
        eicei_aws_fault_xml(r, &f);
    } else {
        eicei_aws_fault_json(r, &f);
    }
    c = eicei_aws_classify(f.code, r->status);
    if (c.verdict == EICE_VERDICT_CLOCK && eicei_aws_clock_text(f.message)) {
        c.err = EICE_E_AWS_CLOCK;
        c.remedy = NULL;
    }
    if (e == NULL || e->code != EICE_OK || c.err == EICE_OK) {
        return c.verdict;
    }
    e->code = c.err;
    e->stage = eicei_aws_stage(op);
    e->http_status = (int)r->status;
    e->retryable = c.verdict == EICE_VERDICT_RETRY
                   || c.verdict == EICE_VERDICT_THROTTLED;
    if (c.remedy != NULL) {
        eice_copy_text(e->remedy, sizeof e->remedy, eice_str_c(c.remedy));
    }
    memcpy(e->aws_code, f.code, sizeof e->aws_code);
    memcpy(e->request_id, r->request_id[0] != 0 ? r->request_id : f.request_id,
           sizeof e->request_id);
    eicei_aws_describe(r, op, &f, e);
    return c.verdict;
}

EICE_API eice_verdict eice_aws_judge(const eice_aws_reply *r, eice_op op,
                                     eice_error *e)
{
    eice_str raw;

    if (r->status < 200 || r->status > 299) {
        return eicei_aws_refused(r, op, e);
    }
    if (eicei_aws_service_of(op)->json
        && eice_json_find(eicei_aws_document(r), "Success", &raw)
               != EICE_JSON_TRUE) {
        if (e != NULL && e->code == EICE_OK) {
            eice_fail(e, EICE_E_AWS, eicei_aws_stage(op),
                      "%s: HTTP %u, but no word of success", eice_op_name(op),
                      r->status);
            e->http_status = (int)r->status;
            memcpy(e->request_id, r->request_id, sizeof e->request_id);
        }
        return EICE_VERDICT_FINAL;
    }
    return EICE_VERDICT_OK;
}

#endif /* EICE_HAS_AWS */

/* ======================================================================== *
 * 16 SSH                                                            >>ssh  *
 * ======================================================================== */

#if EICE_HAS_SSH

/* Purpose: an SSH client session on a byte stream; the only place that names
 * libssh2.
 * Layer: session. Calls 2; no I/O; heap by the allocator.
 *
 * libssh2 remembers a packet it could not send whole and then answers EAGAIN
 * to every other channel until the same call is repeated. So its send
 * callback always takes everything (`out` grows for that, within a limit),
 * it is entered only while `out` is nearly empty, and what the caller writes
 * waits in a buffer of its channel, where it keeps its place while a key
 * re-exchange makes libssh2 ask for the same call again.
 *
 * Invariants: libssh2 never sees an end of stream (its reads then fail before
 * they hand out what is queued): the end is handled here, when all that came
 * is worked off. One channel at most is in state OPENING. */

#include <errno.h>
#include <libssh2.h>

#define EICEI_SSH_IN 32768u
#define EICEI_SSH_ENTER 65536u          /* bytes in `out` to stay away */
#define EICEI_SSH_OUT (4u * 1024u * 1024u)
#define EICEI_SSH_BLOCK (16u * 1024u * 1024u) /* most libssh2 may ask for */
#define EICEI_SSH_GREETING 16384u       /* bytes before the version line */
#define EICEI_SSH_HELLO 65536u          /* up to the end of KEXINIT */
#define EICEI_SSH_HOLD 500u             /* ms; our KEXINIT waits for theirs */
#define EICEI_CHANNEL_BUFFER 32768u
#define EICEI_SSH_NO_SOCKET 0x7fffffff  /* never open; libssh2 refuses -1 */
#define EICEI_SSH_WAITING 256           /* connections to be accepted */
#define EICEI_SSH_REKEY ((uint64_t)1 << 32) /* bytes */
#define EICEI_UNIX_PORT (-1)            /* LIBSSH2_STREAMLOCAL_FORWARD */

typedef enum eicei_chan_state {
    EICEI_CHAN_FREE,
    EICEI_CHAN_QUEUED,
    EICEI_CHAN_OPENING,
    EICEI_CHAN_AGENT,
    EICEI_CHAN_ENV,
    EICEI_CHAN_PTY,
    EICEI_CHAN_START,
    EICEI_CHAN_OPEN,
    EICEI_CHAN_CLOSING,
    EICEI_CHAN_FAILED
} eicei_chan_state;

typedef struct eicei_chan {
    eicei_chan_state state;
    LIBSSH2_CHANNEL *ch;
    eice_channel_kind kind;
    eice_blob text;      /* command, or the message of direct-tcpip */
    eice_blob modes;
    eice_blob env;       /* name NUL value NUL ... */
    size_t env_at;
    char term[64];
    uint32_t window;
    eice_pty size;       /* its pointers are not used */
    uint8_t *buffer;     /* bytes to be written, EICEI_CHANNEL_BUFFER */
    size_t len;
    size_t at;
    bool eof_wanted;
    bool eof_sent;
    bool resize_wanted;
    bool close_wanted;
    bool closed;         /* by the peer */
    bool late;           /* was not opened in time; still not answered */
    char signal[24];     /* to be sent */
    uint64_t deadline;
    eice_exit exit;
    eice_error error;
    bool agent;          /* is to be forwarded */
    bool no_agent;       /* and is not */
    bool waiting;        /* came in, not handed out yet */
    int listener;        /* where it came in */
} eicei_chan;

typedef enum eicei_listen_state {
    EICEI_LISTEN_FREE,
    EICEI_LISTEN_QUEUED,
    EICEI_LISTEN_ASKING,
    EICEI_LISTEN_OPEN,
    EICEI_LISTEN_FAILED
} eicei_listen_state;

typedef struct eicei_listener {
    eicei_listen_state state;
    LIBSSH2_LISTENER *l;
    eice_blob host;      /* or path; ends with NUL */
    int port;            /* EICEI_UNIX_PORT: a path */
    int bound;
    bool end_wanted;
    uint64_t deadline;
    eice_error error;
} eicei_listener;

struct eice_ssh {
    eice_alloc alloc;
    eice_ssh_opts o;
    LIBSSH2_SESSION *session;
    struct eicei_block *blocks; /* what libssh2 has allocated */
    eice_ssh_phase phase;
    eice_error error;
    uint64_t now_ms;
    uint64_t deadline_ms;
    uint64_t heard_ms;
    uint64_t alive_ms;    /* when the keepalive that is out was sent; 0 */
    uint8_t in[EICEI_SSH_IN];
    size_t in_at;
    size_t in_len;
    eice_blob out;
    size_t out_at;
    bool starved;         /* libssh2 got no memory: its state is unknown */
    bool no_signature;    /* the caller's key did not sign */
    bool signing;         /* and has not done it yet */
    LIBSSH2_CHANNEL *agents[EICE_MAX_CHANNELS]; /* came in, no number yet */
    size_t agent_count;
    bool asked;           /* by the caller, since the last step */
    bool ended;           /* no byte will come */
    bool dead;            /* being freed: the callbacks refuse everything */
    eice_err why;
    bool closing;
    bool banner_known;
    char greeting[128];   /* the first bytes of the peer, for messages */
    size_t greeting_len;
    unsigned marked;      /* bytes of "SSH-" that a line began with; 5: no */
    bool chacha_first;
    eice_blob hello;      /* all up to its KEXINIT, until keys are agreed on */
    bool holding;         /* libssh2 does not get them before they are whole */
    uint64_t hold_ms;     /* nor later than then; 0: no version line yet */
    uint64_t received;
    char methods[160];
    char auth_methods[160];
    eice_ssh_login login;
    bool listing;         /* asks which methods there are */
    bool rejected;
    eice_blob host_key;   /* the one that was accepted */
    uint64_t carried;     /* bytes both ways since the last rekey of ours */
    bool rekey_wanted;
    bool rekeying;        /* begun by us, not known to be over */
    eicei_chan chan[EICE_MAX_CHANNELS];
    eicei_listener listener[EICE_MAX_LISTENERS];
};

/* ---- libssh2's callbacks ----------------------------------------------- */

/* Every block of libssh2 carries its size and stands in a list: so it is
 * wiped when it is freed (keys, packets), and what libssh2 forgets goes with
 * the session (1.11.1 forgets MAC keys of AES-GCM). */
typedef struct eicei_block {
    struct eicei_block *next;
    struct eicei_block *before;
    size_t size;
    size_t pad; /* keeps what follows aligned to 16 */
} eicei_block;

EICEI_PRIVATE void *eicei_ssh_alloc(size_t n, void **abstract)
{
    eice_ssh *s = (eice_ssh *)*abstract;
    eicei_block *b;

    if (n > EICEI_SSH_BLOCK) {
        return NULL;
    }
    b = (eicei_block *)eice_resize(&s->alloc, NULL, sizeof *b + n);
    if (b == NULL) {
        s->starved = true;
        return NULL;
    }
    b->size = n;
    b->before = NULL;
    b->next = s->blocks;
    if (b->next != NULL) {
        b->next->before = b;
    }
    s->blocks = b;
    return b + 1;
}

EICEI_PRIVATE void eicei_ssh_dealloc(void *p, void **abstract)
{
    eice_ssh *s = (eice_ssh *)*abstract;
    eicei_block *b = (eicei_block *)p;

    if (b == NULL) {
        return;
    }
    b--;
    if (b->next != NULL) {
        b->next->before = b->before;
    }
    if (b->before != NULL) {
        b->before->next = b->next;
    } else {
        s->blocks = b->next;
    }
    eice_wipe(b, sizeof *b + b->size);
    (void)eice_resize(&s->alloc, b, 0);
}

EICEI_PRIVATE void *eicei_ssh_realloc(void *p, size_t n, void **abstract)
{
    void *grown = eicei_ssh_alloc(n, abstract);

    if (grown != NULL && p != NULL) {
        const size_t old = ((const eicei_block *)p - 1)->size;

        memcpy(grown, p, old < n ? old : n);
        eicei_ssh_dealloc(p, abstract);
    }
    return grown;
}

EICEI_PRIVATE ssize_t eicei_ssh_send(libssh2_socket_t fd, const void *data,
                                     size_t len, int flags, void **abstract)
{
    eice_ssh *s = (eice_ssh *)*abstract;

    (void)fd;
    (void)flags;
    if (s->dead) {
        return -EPIPE;
    }
    if (!eice_blob_add(&s->out, data, len, EICEI_SSH_OUT)) {
        s->starved = true;
        return -EPIPE;
    }
    s->carried += len;
    return (ssize_t)len;
}

EICEI_PRIVATE ssize_t eicei_ssh_recv(libssh2_socket_t fd, void *data,
                                     size_t len, int flags, void **abstract)
{
    eice_ssh *s = (eice_ssh *)*abstract;
    const size_t have = s->in_len - s->in_at;

    (void)fd;
    (void)flags;
    if (have == 0 || s->holding || s->dead) {
        return s->dead ? -EPIPE : -EAGAIN;
    }
    len = len < have ? len : have;
    memcpy(data, s->in + s->in_at, len);
    s->in_at += len;
    s->carried += len;
    return (ssize_t)len;
}

EICEI_PRIVATE uint32_t eicei_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8
           | p[3];
}

/* Steps over a string of RFC 4251 5; false when it is not all there. */
EICEI_PRIVATE bool eicei_get_string(eice_str *in, eice_str *out)
{
    uint32_t n;

    if (in->len < 4) {
        return false;
    }
    n = eicei_get32((const uint8_t *)in->ptr);
    if (n > in->len - 4) {
        return false;
    }
    *out = eice_str_make(in->ptr + 4, n);
    in->ptr += 4 + n;
    in->len -= 4 + n;
    return true;
}

/* The algorithm named in what is to be signed (RFC 4252 7): session id, byte,
 * user, service, "publickey", byte, algorithm, key blob. */
EICEI_PRIVATE bool eicei_sign_algorithm(eice_str data, eice_str *algorithm)
{
    eice_str skipped;
    unsigned i;

    if (!eicei_get_string(&data, &skipped) || data.len < 1) {
        return false;
    }
    data.ptr++;
    data.len--;
    for (i = 0; i < 3; i++) {
        if (!eicei_get_string(&data, &skipped)) {
            return false;
        }
    }
    if (data.len < 1) {
        return false;
    }
    data.ptr++;
    data.len--;
    return eicei_get_string(&data, algorithm);
}

EICEI_PRIVATE int eicei_ssh_sign(LIBSSH2_SESSION *session, unsigned char **sig,
                                 size_t *sig_len, const unsigned char *data,
                                 size_t data_len, void **abstract)
{
    eice_ssh *s = (eice_ssh *)*abstract;
    const eice_str text = eice_str_make(data, data_len);
    uint8_t raw[1024]; /* RSA-8192 */
    eice_str algorithm;
    ptrdiff_t n;

    (void)session;
    if (!eicei_sign_algorithm(text, &algorithm)) {
        return -1;
    }
    n = s->login.sign(s->login.sign_user, algorithm, text, raw, sizeof raw);
    s->signing = n == 0;
    if (n == 0) {
        return LIBSSH2_ERROR_EAGAIN;
    }
    if (n < 0) {
        s->no_signature = true;
        return -1;
    }
    *sig = (unsigned char *)eicei_ssh_alloc((size_t)n, abstract);
    if (*sig == NULL) {
        return -1;
    }
    memcpy(*sig, raw, (size_t)n);
    *sig_len = (size_t)n;
    return 0;
}

/* ---- stock libssh2 ----------------------------------------------------- */

const char *eice_ssh_lacks(size_t i)
{
    static const char *const table[] = {
#ifndef LIBSSH2_FATAL_DECRYPT
        "01-decrypt-failure: chacha20-poly1305",
#endif
#ifndef LIBSSH2_STREAMLOCAL_FORWARD
        "04-streamlocal-forward: UNIX sockets to listen on at the server",
#endif
#ifndef LIBSSH2_SESSION_REKEY
        "06-rekey: new keys when the client wants them",
#endif
#ifndef LIBSSH2_FLAG_SIGN_AT_ONCE
        "07-sign-at-once: logins without asking first",
#endif
#ifndef LIBSSH2_CHANNEL_OPEN_BEGIN
        "08-channel-open: several channels opening at a time",
#endif
        NULL,
    };

    return i < EICEI_LEN(table) ? table[i] : NULL;
}

#define EICEI_SSH_PATCHES "see tools/libssh2-bearssl/patches"

EICEI_PRIVATE void eicei_ssh_unsupported(eice_error *e, eice_stage stage,
                                         const char *what, const char *patch)
{
    eice_buf b;

    eice_fail(e, EICE_E_SSH_UNSUPPORTED, stage,
              "%s: this libssh2 is unpatched", what);
    eice_buf_init(&b, e->remedy, sizeof e->remedy);
    eice_putf(&b, "it takes libssh2 with the patch %s; " EICEI_SSH_PATCHES,
              patch);
    (void)eice_buf_c(&b);
}

/* ---- algorithms -------------------------------------------------------- */

/* chacha20 only where a packet that does not decrypt is fatal: stock libssh2
 * 1.11.1 asks for more of it for ever. */
#define EICEI_SSH_CHACHA "chacha20-poly1305@openssh.com"
#ifdef LIBSSH2_FATAL_DECRYPT
#define EICEI_SSH_AND_CHACHA "," EICEI_SSH_CHACHA
#else
#define EICEI_SSH_AND_CHACHA ""
#endif

/* AES-GCM first, since only chacha20 and CBC are open to Terrapin
 * (CVE-2023-48795) against servers without strict key exchange. */
static const struct {
    const char *word; /* of ssh_config(5) */
    const char *names;
    const char *old;
} eicei_ssh_lists[] = {
    {"KexAlgorithms",
     "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
     "ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
     "diffie-hellman-group16-sha512,diffie-hellman-group14-sha256,"
     "diffie-hellman-group-exchange-sha256",
     "diffie-hellman-group14-sha1"},
    {"HostKeyAlgorithms",
     "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
     "ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256",
     "ssh-rsa"},
    {"Ciphers",
     "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,"
     "aes256-ctr" EICEI_SSH_AND_CHACHA,
     ""},
    {"MACs",
     "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
     "hmac-sha2-256,hmac-sha2-512",
     "hmac-sha1-etm@openssh.com,hmac-sha1"},
};

const char *eice_ssh_names(eice_ssh_list list, bool old)
{
    return old ? eicei_ssh_lists[list].old : eicei_ssh_lists[list].names;
}

/* Does a pattern of the list fit? */
EICEI_PRIVATE bool eicei_ssh_fits(eice_str name, eice_str patterns)
{
    while (patterns.len > 0) {
        if (eice_str_glob(name, eice_str_cut(&patterns, ','), false)) {
            return true;
        }
    }
    return false;
}

EICEI_PRIVATE void eicei_ssh_add(eice_buf *out, size_t start, eice_str name)
{
    if (!eice_str_listed(name, eice_str_make(out->ptr + start,
                                             out->len - start))) {
        eice_put_c(out, out->len > start ? "," : "");
        eice_put(out, name);
    }
}

/* The built-in list, without what fits `but`. */
EICEI_PRIVATE void eicei_ssh_built_in(eice_ssh_list list, eice_str but,
                                      eice_buf *out, size_t start)
{
    eice_str rest = eice_str_c(eicei_ssh_lists[list].names);

    while (rest.len > 0) {
        const eice_str name = eice_str_cut(&rest, ',');

        if (!eicei_ssh_fits(name, but)) {
            eicei_ssh_add(out, start, name);
        }
    }
}

EICEI_PRIVATE eice_err eicei_ssh_no_name(eice_ssh_list list, const char *what,
                                         eice_str name, eice_error *e)
{
    const char *old = eicei_ssh_lists[list].old;
    eice_buf b;

    eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG, "%s: %s: %S",
              eicei_ssh_lists[list].word, what, &name);
    if (e != NULL) {
        eice_buf_init(&b, e->remedy, sizeof e->remedy);
        eice_putf(&b, "known are %s%s%s", eicei_ssh_lists[list].names,
                  old[0] != 0 ? "," : "", old);
        (void)eice_buf_c(&b);
    }
    return EICE_E_ARGUMENT;
}

/* Adds the names of a list that are here. */
EICEI_PRIVATE eice_err eicei_ssh_named(eice_ssh_list list, eice_str rest,
                                       eice_buf *out, size_t start,
                                       eice_error *e)
{
    static const char elsewhere[]
        = "sntrup761*,mlkem768*,diffie-hellman-group1-sha1,diffie-hellman-"
          "group18-sha512,diffie-hellman-group-exchange-sha1,*-cbc,*-cbc@*,"
          "arcfour*,umac-*,hmac-md5*,hmac-sha1-96*,hmac-ripemd160*,ssh-dss,"
          "sk-*,webauthn-*,*-cert-v0?@openssh.com";

    while (rest.len > 0) {
        const eice_str name = eice_str_cut(&rest, ',');

        if (eice_str_listed(name, eice_str_c(eicei_ssh_lists[list].names))
            || eice_str_listed(name, eice_str_c(eicei_ssh_lists[list].old))) {
            eicei_ssh_add(out, start, name);
        } else if (list == EICE_SSH_CIPHERS
                   && eice_str_is(name, EICEI_SSH_CHACHA)) {
            eicei_ssh_unsupported(e, EICE_STAGE_CONFIG, EICEI_SSH_CHACHA,
                                  "01-decrypt-failure");
            return EICE_E_SSH_UNSUPPORTED;
        } else if (!eicei_ssh_fits(name, eice_str_c(elsewhere))) {
            return eicei_ssh_no_name(list, "no such algorithm", name, e);
        }
    }
    return EICE_OK;
}

eice_err eice_ssh_choose(eice_ssh_list list, const char *spec, eice_buf *out,
                         eice_error *e)
{
    const char sign = spec == NULL ? '+' : spec[0];
    const bool whole = strchr("+-^", sign) == NULL || sign == 0;
    const eice_str named = eice_str_c(spec == NULL || whole ? spec : spec + 1);
    const eice_str none = eice_str_c("");
    const size_t start = out->len;
    eice_err code = EICE_OK;

    if (sign == '-') {
        eicei_ssh_built_in(list, named, out, start);
    } else {
        if (sign == '+' && !whole) {
            eicei_ssh_built_in(list, none, out, start);
        }
        code = eicei_ssh_named(list, named, out, start, e);
        if (sign == '^') {
            eicei_ssh_built_in(list, none, out, start);
        }
    }
    if (code == EICE_OK && out->len == start) {
        return eicei_ssh_no_name(list, "nothing of this is here",
                                 eice_str_c(spec), e);
    }
    return code;
}

/* What a session offers in its lists. */
EICEI_PRIVATE eice_err eicei_ssh_offered(const eice_ssh *s,
                                         eice_ssh_list list, eice_buf *out,
                                         eice_error *e)
{
    const char *const specs[]
        = {s->o.kex, s->o.host_key_types, s->o.ciphers, s->o.macs};
    const char *spec = specs[list];

    /* as OpenSSH: a list that is whole has its own order */
    if (list == EICE_SSH_HOST_KEYS && s->o.host_key_known != NULL
        && (spec == NULL || spec[0] == '+')) {
        eice_putf(out, "%s,", s->o.host_key_known);
    }
    if (list == EICE_SSH_CIPHERS && s->chacha_first) {
        spec = "^" EICEI_SSH_CHACHA;
    }
    return eice_ssh_choose(list, spec, out, e);
}

EICEI_PRIVATE bool eicei_ssh_offer(eice_ssh *s, eice_ssh_list list)
{
    static const int methods[][2] = {
        {LIBSSH2_METHOD_KEX, LIBSSH2_METHOD_KEX},
        {LIBSSH2_METHOD_HOSTKEY, LIBSSH2_METHOD_HOSTKEY},
        {LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC},
        {LIBSSH2_METHOD_MAC_CS, LIBSSH2_METHOD_MAC_SC},
    };
    char text[768];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    return eicei_ssh_offered(s, list, &b, &s->error) == EICE_OK
           && libssh2_session_method_pref(s->session, methods[list][0],
                                          eice_buf_c(&b))
                  == 0
           && libssh2_session_method_pref(s->session, methods[list][1], text)
                  == 0;
}

EICEI_PRIVATE bool eicei_ssh_prefer(eice_ssh *s)
{
    int list = EICE_SSH_KEX;

    while (list <= EICE_SSH_MACS && eicei_ssh_offer(s, (eice_ssh_list)list)) {
        list++;
    }
    s->holding = s->o.ciphers == NULL && EICEI_SSH_AND_CHACHA[0] != 0
                 && !eice_fast_aes();
    return list > EICE_SSH_MACS
           && libssh2_session_method_pref(s->session, LIBSSH2_METHOD_COMP_CS,
                                          "none")
                  == 0
           && libssh2_session_method_pref(s->session, LIBSSH2_METHOD_COMP_SC,
                                          "none")
                  == 0;
}

/* ---- the server's lists ------------------------------------------------ */

/* One of the lists in the server's KEXINIT (RFC 4253 7.1: 0 key exchange, 1
 * host keys, 2 and 3 ciphers from and to the client, 4 and 5 MACs); false
 * until it is whole. */
EICEI_PRIVATE bool eicei_ssh_wants(const eice_ssh *s, unsigned which,
                                   eice_str *out)
{
    eice_str rest = eice_str_make(s->hello.ptr, s->hello.len);
    eice_str line;
    eice_str packet;

    do {
        line = eice_str_cut(&rest, '\n');
    } while (rest.len > 0 && !eice_str_starts(line, "SSH-"));
    if (!eicei_get_string(&rest, &packet) || packet.len < 18
        || packet.ptr[1] != 20) {
        return false;
    }
    packet = eice_str_make(packet.ptr + 18, packet.len - 18);
    do {
        if (!eicei_get_string(&packet, out)) {
            return false;
        }
    } while (which-- > 0);
    return true;
}

/* The first name of ours that the server has, too. */
EICEI_PRIVATE eice_str eicei_ssh_common(eice_str ours, eice_str theirs)
{
    while (ours.len > 0) {
        const eice_str name = eice_str_cut(&ours, ',');

        if (eice_str_listed(name, theirs)) {
            return name;
        }
    }
    return ours;
}

/* What to say when nothing is in common: both sides' lists, and how to allow
 * what is off. */
EICEI_PRIVATE void eicei_ssh_apart(eice_ssh *s, eice_ssh_list list,
                                   const char *what, eice_str ours,
                                   eice_str theirs)
{
    const eice_str old
        = eicei_ssh_common(eice_str_c(eicei_ssh_lists[list].old), theirs);
    eice_buf b;

    eice_fail(&s->error, EICE_E_SSH_KEX, EICE_STAGE_KEX,
              "no %s in common: the server has only %S", what, &theirs);
    eice_buf_init(&b, s->error.remedy, sizeof s->error.remedy);
    if (old.len > 0) {
        eice_putf(&b, "-o %s=+%S allows what is weak; ",
                  eicei_ssh_lists[list].word, &old);
    }
    eice_putf(&b, "offered were %S", &ours);
    (void)eice_buf_c(&b);
}

/* Looks for the list that has nothing in common; MACs do not count with a
 * cipher that has its own. */
EICEI_PRIVATE void eicei_ssh_compare(eice_ssh *s)
{
    static const struct {
        eice_ssh_list list;
        const char *what;
    } table[] = {
        {EICE_SSH_KEX, "key exchange"},      {EICE_SSH_HOST_KEYS, "host key"},
        {EICE_SSH_CIPHERS, "cipher"},        {EICE_SSH_CIPHERS, "cipher"},
        {EICE_SSH_MACS, "MAC"},              {EICE_SSH_MACS, "MAC"},
    };
    bool own_mac[6] = {false, false, false, false, false, false};
    eice_str theirs;
    unsigned i;

    for (i = 0; i < EICEI_LEN(table) && eicei_ssh_wants(s, i, &theirs); i++) {
        char text[768];
        eice_str found;
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        (void)eicei_ssh_offered(s, table[i].list, &b, NULL);
        found = eicei_ssh_common(eice_buf_str(&b), theirs);
        if (found.len == 0 && !own_mac[i]) {
            eicei_ssh_apart(s, table[i].list, table[i].what, eice_buf_str(&b),
                            theirs);
            return;
        }
        if (i == 2 || i == 3) {
            own_mac[i + 2] = eicei_ssh_fits(found,
                                            eice_str_c("*-gcm@*,chacha20-*"));
        }
    }
}

/* A connection to the agent came in, confirmed already. It waits for the next
 * step: here libssh2 is in the middle of something. */
EICEI_PRIVATE void eicei_ssh_agent(LIBSSH2_SESSION *session,
                                   LIBSSH2_CHANNEL *channel, void **abstract)
{
    eice_ssh *s = (eice_ssh *)*abstract;

    (void)session;
    if (s->agent_count < EICE_MAX_CHANNELS) {
        s->agents[s->agent_count] = channel;
    }
    s->agent_count++;
}

/* ---- errors ------------------------------------------------------------ */

EICEI_PRIVATE void eicei_ssh_stop(eice_ssh *s)
{
    if (s->phase != EICE_SSH_CLOSED) {
        s->phase = EICE_SSH_FAILED;
    }
    s->deadline_ms = UINT64_MAX;
}

/* libssh2's last word, as the detail of an error. Its texts say where in
 * libssh2; ours, by the number, what happened. The patched one has texts only
 * for refused channels. */
EICEI_PRIVATE const char *eicei_ssh_last(eice_ssh *s, eice_error *e)
{
    static const struct {
        int number;
        const char *text;
    } table[] = {
        {LIBSSH2_ERROR_INVALID_MAC, "a packet was forged or damaged"},
        {LIBSSH2_ERROR_DECRYPT, "a packet was forged or damaged"},
        {LIBSSH2_ERROR_KEX_FAILURE, "no algorithm in common"},
        {LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE,
         "the server's answer, or its signature, is wrong"},
        {LIBSSH2_ERROR_ALLOC, "no memory"},
        {LIBSSH2_ERROR_SOCKET_SEND, "the connection is closed"},
        {LIBSSH2_ERROR_SOCKET_RECV, "the connection is closed"},
        {LIBSSH2_ERROR_SOCKET_DISCONNECT, "the server ended the session"},
        {LIBSSH2_ERROR_TIMEOUT, "no answer"},
        {LIBSSH2_ERROR_PROTO, "the server broke the protocol"},
        {LIBSSH2_ERROR_OUT_OF_BOUNDARY, "the server broke the protocol"},
        {LIBSSH2_ERROR_BUFFER_TOO_SMALL, "the server broke the protocol"},
        {LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED, "the server refuses it"},
        {LIBSSH2_ERROR_REQUEST_DENIED, "the server refuses it"},
        {LIBSSH2_ERROR_CHANNEL_CLOSED, "the channel is closed"},
    };
    char *text = NULL;
    const int number = libssh2_session_last_error(s->session, &text, NULL, 0);
    size_t i;

    if (e->detail_kind == EICE_DETAIL_NONE) {
        e->detail_kind = EICE_DETAIL_LIBSSH2;
        e->detail = number;
    }
    for (i = 0; i < EICEI_LEN(table); i++) {
        if (table[i].number == number) {
            return table[i].text;
        }
    }
    return text != NULL && text[0] != 0 ? text : "no reason given";
}

/* What the peer said instead of a version line, up to its first line's end. */
EICEI_PRIVATE void eicei_ssh_no_banner(eice_ssh *s)
{
    eice_str said = eice_str_make(s->greeting, s->greeting_len);
    eice_str line;

    if (s->greeting_len == 0) {
        eice_fail(&s->error, EICE_E_SSH_BANNER, EICE_STAGE_BANNER,
                  "the connection ended before the SSH version line");
        return;
    }
    if (s->marked == 4) {
        eice_fail(&s->error, EICE_E_SSH_LOST, EICE_STAGE_BANNER,
                  "the connection ended within the SSH version line");
        return;
    }
    line = eice_str_trim(eice_str_cut(&said, '\n'));
    eice_fail(&s->error, EICE_E_SSH_BANNER, EICE_STAGE_BANNER,
              "no SSH server there: it says \"%S\"", &line);
    if (eice_str_starts(line, "Not allowed at this time")) {
        eice_copy_text(s->error.remedy, sizeof s->error.remedy,
                       eice_str_c("sshd punishes failed logins from the "
                                  "endpoint's address (PerSourcePenalties): "
                                  "wait some minutes"));
    }
}

EICEI_PRIVATE void eicei_ssh_kex_fail(eice_ssh *s)
{
    if (!s->banner_known) {
        eicei_ssh_no_banner(s);
    } else {
        eicei_ssh_compare(s);
        eice_fail(&s->error, EICE_E_SSH_KEX, EICE_STAGE_KEX,
                  "key exchange failed: %s", eicei_ssh_last(s, &s->error));
    }
    eicei_ssh_stop(s);
}

EICEI_PRIVATE void eicei_ssh_late(eice_ssh *s)
{
    static const struct {
        eice_ssh_phase phase;
        eice_stage stage;
        const char *what;
    } table[] = {
        {EICE_SSH_GREET, EICE_STAGE_KEX, "the key exchange"},
        {EICE_SSH_AUTH, EICE_STAGE_AUTH, "the login"},
        {EICE_SSH_READY, EICE_STAGE_SESSION, "keepalives"},
    };
    size_t i;

    if (s->phase == EICE_SSH_GREET && !s->banner_known) {
        eicei_ssh_no_banner(s);
        eicei_ssh_stop(s);
        return;
    }
    if (s->phase == EICE_SSH_AUTH && s->signing) {
        eice_fail(&s->error, EICE_E_SSH_TIMEOUT, EICE_STAGE_AUTH,
                  "the key of login %s did not sign in time", s->login.user);
        eice_copy_text(s->error.remedy, sizeof s->error.remedy,
                       eice_str_c("the agent, or what else holds the private "
                                  "key, may wait for you to confirm"));
    }
    for (i = 0; i < EICEI_LEN(table); i++) {
        if (table[i].phase == s->phase) {
            eice_fail(&s->error, EICE_E_SSH_TIMEOUT, table[i].stage,
                      "the SSH server did not answer to %s in time",
                      table[i].what);
        }
    }
    eicei_ssh_stop(s);
}

/* The stream ended and all of it is worked off. */
EICEI_PRIVATE void eicei_ssh_lost(eice_ssh *s)
{
    size_t i;
    bool live = false;

    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        const eicei_chan *k = &s->chan[i];

        live = live
               || (k->state != EICEI_CHAN_FREE && k->state != EICEI_CHAN_FAILED
                   && !k->closed && !k->late);
    }
    for (i = 0; i < EICE_MAX_LISTENERS; i++) {
        live = live || s->listener[i].state == EICEI_LISTEN_OPEN;
    }
    if (s->closing || (s->phase == EICE_SSH_READY && !live)) {
        s->phase = EICE_SSH_CLOSED;
        s->deadline_ms = UINT64_MAX;
        return;
    }
    if (s->phase == EICE_SSH_GREET) {
        eicei_ssh_kex_fail(s);
        return;
    }
    eice_fail(&s->error, s->why != EICE_OK ? s->why : EICE_E_SSH_LOST,
              s->phase == EICE_SSH_READY ? EICE_STAGE_SESSION
                                         : EICE_STAGE_AUTH,
              "the connection ended %s",
              s->phase == EICE_SSH_READY ? "in mid-session"
                                         : "before the login was complete");
    eicei_ssh_stop(s);
}

/* Without memory libssh2 may have dropped anything: the session is over, and
 * whatever else went wrong after it is no cause. */
EICEI_PRIVATE void eicei_ssh_out_of_memory(eice_ssh *s)
{
    memset(&s->error, 0, sizeof s->error);
    eice_fail(&s->error, EICE_E_MEMORY,
              s->phase <= EICE_SSH_HOSTKEY ? EICE_STAGE_KEX
              : s->phase == EICE_SSH_READY ? EICE_STAGE_SESSION
                                           : EICE_STAGE_AUTH,
              "no memory for SSH");
    eicei_ssh_stop(s);
}

/* ---- life -------------------------------------------------------------- */

/* libssh2 counts its initialisations in a plain global; the first session of
 * a process makes it, and sessions made meanwhile wait. */
EICEI_PRIVATE bool eicei_ssh_init_once(void)
{
    static int state; /* 0 never, 1 under way, 2 done */
    int expected = 0;

    if (__atomic_compare_exchange_n(&state, &expected, 1, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        if (libssh2_init(0) != 0) {
            __atomic_store_n(&state, 0, __ATOMIC_RELEASE);
            return false;
        }
        __atomic_store_n(&state, 2, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == 1) {
    }
    return true;
}

EICEI_PRIVATE bool eicei_ssh_setup(eice_ssh *s)
{
#ifndef LIBSSH2_SESSION_REKEY
    if (s->o.rekey_bytes != 0) {
        eicei_ssh_unsupported(&s->error, EICE_STAGE_KEX,
                              "new keys after so many bytes", "06-rekey");
        return false;
    }
#endif
    s->session = libssh2_session_init_ex(eicei_ssh_alloc, eicei_ssh_dealloc,
                                         eicei_ssh_realloc, s);
    if (s->session == NULL) {
        return false;
    }
    libssh2_session_callback_set2(
        s->session, LIBSSH2_CALLBACK_SEND,
        (libssh2_cb_generic *)(void (*)(void))eicei_ssh_send);
    libssh2_session_callback_set2(
        s->session, LIBSSH2_CALLBACK_RECV,
        (libssh2_cb_generic *)(void (*)(void))eicei_ssh_recv);
    libssh2_session_set_blocking(s->session, 0);
#ifdef LIBSSH2_FLAG_SIGN_AT_ONCE
    (void)libssh2_session_flag(s->session, LIBSSH2_FLAG_SIGN_AT_ONCE, 1);
#endif
    return libssh2_session_banner_set(s->session,
                                      s->o.client_version != NULL
                                          ? s->o.client_version
                                          : "SSH-2.0-eice_" EICE_VERSION)
               == 0
           && eicei_ssh_prefer(s);
}

eice_ssh *eice_ssh_new(const eice_ssh_opts *o, uint64_t now_ms, eice_error *e)
{
    eice_alloc alloc;
    eice_ssh *s;

    memset(&alloc, 0, sizeof alloc);
    if (o->alloc != NULL) {
        alloc = *o->alloc;
    }
    s = (eice_ssh *)eice_resize(&alloc, NULL, sizeof *s);
    if (s == NULL) {
        eice_fail(e, EICE_E_MEMORY, EICE_STAGE_KEX, "no memory for SSH");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->alloc = alloc;
    s->o = *o;
    s->out.alloc = &s->alloc;
    s->host_key.alloc = &s->alloc;
    s->hello.alloc = &s->alloc;
    s->now_ms = now_ms;
    s->heard_ms = now_ms;
    s->deadline_ms = now_ms
                     + (o->banner_timeout_ms != 0 ? o->banner_timeout_ms
                                                  : 20000u);
    if (!eicei_ssh_init_once() || !eicei_ssh_setup(s)) {
        eice_fail(e, s->starved ? EICE_E_MEMORY : EICE_E_SSH, EICE_STAGE_KEX,
                  "libssh2 cannot make a session");
        if (s->error.code != EICE_OK) {
            *e = s->error;
        }
        eice_ssh_free(s);
        return NULL;
    }
    return s;
}

EICEI_PRIVATE void eicei_chan_clear(eice_ssh *s, eicei_chan *k)
{
    eice_blob_free(&k->text);
    eice_blob_free(&k->modes);
    eice_blob_free(&k->env);
    if (k->buffer != NULL) {
        eice_wipe(k->buffer, EICEI_CHANNEL_BUFFER);
        (void)eice_resize(&s->alloc, k->buffer, 0);
    }
    memset(k, 0, sizeof *k);
}

void eice_ssh_free(eice_ssh *s)
{
    eice_alloc alloc;
    size_t i;

    if (s == NULL) {
        return;
    }
    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        eicei_chan_clear(s, &s->chan[i]);
    }
    for (i = 0; i < EICE_MAX_LISTENERS; i++) {
        eice_blob_free(&s->listener[i].host);
    }
    if (s->session != NULL) {
        /* frees its channels too, at once: nothing can be sent or awaited */
        s->dead = true;
        (void)libssh2_session_free(s->session);
    }
    while (s->blocks != NULL) {
        void *self = s;

        eicei_ssh_dealloc(s->blocks + 1, &self);
    }
    alloc = s->alloc;
    eice_blob_free(&s->out);
    eice_blob_free(&s->host_key);
    eice_blob_free(&s->hello);
    eice_wipe(s, sizeof *s);
    (void)eice_resize(&alloc, s, 0);
}

eice_ssh_phase eice_ssh_phase_of(const eice_ssh *s)
{
    return s->phase;
}

const eice_error *eice_ssh_error(const eice_ssh *s)
{
    return &s->error;
}

/* ---- bytes ------------------------------------------------------------- */

EICEI_PRIVATE bool eicei_ssh_over(const eice_ssh *s)
{
    return s->phase == EICE_SSH_CLOSED || s->phase == EICE_SSH_FAILED;
}

unsigned eice_ssh_state(const eice_ssh *s)
{
    unsigned flags = s->out_at < s->out.len ? EICE_WANT_WRITE : 0;

    if (eicei_ssh_over(s)) {
        return flags | EICE_DONE;
    }
    if (!s->ended && s->in_len - s->in_at < EICEI_SSH_IN) {
        flags |= EICE_WANT_READ;
    }
    return flags;
}

size_t eice_ssh_net_out(eice_ssh *s, const uint8_t **p)
{
    *p = s->out.ptr + s->out_at;
    return s->out.len - s->out_at;
}

void eice_ssh_net_out_ack(eice_ssh *s, size_t n)
{
    s->out_at += n;
    if (s->out_at == s->out.len) {
        s->out_at = 0;
        s->out.len = 0;
    } else if (s->out_at > EICEI_SSH_ENTER && s->out_at > s->out.len / 2) {
        /* never quite empty while many channels write: what was sent must
         * not count towards the limit */
        s->out.len -= s->out_at;
        memmove(s->out.ptr, s->out.ptr + s->out_at, s->out.len);
        s->out_at = 0;
    }
}

size_t eice_ssh_net_in(eice_ssh *s, uint8_t **p)
{
    if (s->ended || eicei_ssh_over(s)) {
        *p = NULL;
        return 0;
    }
    if (s->in_at > 0) {
        memmove(s->in, s->in + s->in_at, s->in_len - s->in_at);
        s->in_len -= s->in_at;
        s->in_at = 0;
    }
    *p = s->in + s->in_len;
    return EICEI_SSH_IN - s->in_len;
}

/* Lines before the version are text (RFC 4253 4.2); anything else there is
 * not SSH, and a server that never comes to the point is not either. */
EICEI_PRIVATE void eicei_ssh_greeting(eice_ssh *s, const uint8_t *p, size_t n)
{
    static const char mark[] = "SSH-";
    bool text = true;
    size_t i;

    for (i = 0; i < n && text; i++) {
        text = p[i] >= 0x20 || p[i] == '\r' || p[i] == '\n' || p[i] == '\t';
        if (s->greeting_len < sizeof s->greeting) {
            s->greeting[s->greeting_len++] = (char)p[i];
        }
        s->marked = p[i] == '\n' ? 0
                    : s->marked < 4 && p[i] == (uint8_t)mark[s->marked]
                        ? s->marked + 1
                        : 5;
        if (s->marked == 4) {
            s->received = 0;
            return; /* the version is coming: binary packets may follow */
        }
    }
    s->received += n;
    if (!text || s->received > EICEI_SSH_GREETING) {
        eicei_ssh_no_banner(s);
        eicei_ssh_stop(s);
    }
}

void eice_ssh_net_in_ack(eice_ssh *s, size_t n)
{
    const uint8_t *p = s->in + s->in_len;

    s->in_len += n;
    s->heard_ms = s->now_ms;
    if (s->phase == EICE_SSH_GREET && s->hello.len < EICEI_SSH_HELLO
        && !eice_blob_add(&s->hello, p, n, EICEI_SSH_HELLO + EICEI_SSH_IN)) {
        s->starved = true;
    }
    if (s->phase == EICE_SSH_GREET && !s->banner_known && s->marked != 4) {
        eicei_ssh_greeting(s, p, n);
    }
}

void eice_ssh_net_eof(eice_ssh *s, eice_err why)
{
    if (!s->ended) {
        s->ended = true;
        s->why = why;
    }
}

/* ---- facts ------------------------------------------------------------- */

eice_str eice_ssh_host_key(const eice_ssh *s)
{
    size_t len = 0;
    int type = 0;
    const char *blob = libssh2_session_hostkey(s->session, &len, &type);

    return eice_str_make(blob, blob != NULL ? len : 0);
}

eice_str eice_ssh_banner(const eice_ssh *s)
{
    return eice_str_c(libssh2_session_banner_get(s->session));
}

eice_str eice_ssh_methods(const eice_ssh *s)
{
    return eice_str_c(s->methods);
}

eice_str eice_ssh_auth_methods(const eice_ssh *s)
{
    return eice_str_c(s->auth_methods);
}

eice_str eice_ssh_auth_banner(const eice_ssh *s)
{
    char *text = NULL;

    if (libssh2_userauth_banner(s->session, &text) != 0) {
        text = NULL;
    }
    return eice_str_c(text);
}

bool eice_ssh_rejected(eice_ssh *s)
{
    const bool was = s->rejected;

    s->rejected = false;
    return was;
}

/* ---- phases ------------------------------------------------------------ */

EICEI_PRIVATE void eicei_ssh_note_methods(eice_ssh *s)
{
    static const int which[] = {LIBSSH2_METHOD_KEX, LIBSSH2_METHOD_HOSTKEY,
                                LIBSSH2_METHOD_CRYPT_CS,
                                LIBSSH2_METHOD_MAC_CS};
    eice_buf b;
    size_t i;

    eice_buf_init(&b, s->methods, sizeof s->methods);
    for (i = 0; i < EICEI_LEN(which); i++) {
        const char *name = libssh2_session_methods(s->session, which[i]);

        eice_putf(&b, "%s%s", i > 0 ? " " : "", name != NULL ? name : "-");
    }
    (void)eice_buf_c(&b);
}

/* RFC 4253 6.6: "ssh-rsa", exponent, modulus. 2048 bits, as RequiredRSASize
 * of RHEL 9 demands; a modulus of 256 bytes begins with its highest bit. */
EICEI_PRIVATE bool eicei_ssh_weak(eice_str key)
{
    eice_str part;

    if (!eicei_get_string(&key, &part) || !eice_str_is(part, "ssh-rsa")
        || !eicei_get_string(&key, &part) || !eicei_get_string(&key, &part)) {
        return false;
    }
    while (part.len > 0 && part.ptr[0] == 0) {
        part.ptr++;
        part.len--;
    }
    return part.len < 256 || (part.len == 256 && ((uint8_t)*part.ptr < 0x80));
}

/* Where AES is slow: libssh2 sends its lists when it has read the version
 * line, and reads it when the server's lists are here, too, which say whether
 * chacha20 is safe. That costs no round trip; a server that waits for ours
 * waits no longer than EICEI_SSH_HOLD. */
EICEI_PRIVATE void eicei_ssh_hold(eice_ssh *s)
{
    eice_str kex;

    if (eicei_ssh_wants(s, 0, &kex)) {
        s->holding = false;
        s->chacha_first = eice_str_listed(
            eice_str_c("kex-strict-s-v00@openssh.com"), kex);
        if (s->chacha_first && !eicei_ssh_offer(s, EICE_SSH_CIPHERS)) {
            s->starved = true;
        }
    } else if (s->marked == 4 && s->hold_ms == 0) {
        s->hold_ms = s->now_ms + EICEI_SSH_HOLD;
    } else if (s->ended || s->in_len - s->in_at == EICEI_SSH_IN
               || (s->hold_ms != 0 && s->now_ms >= s->hold_ms)) {
        s->holding = false;
    }
}

EICEI_PRIVATE bool eicei_ssh_greet(eice_ssh *s)
{
    int rc;

    if (s->holding) {
        eicei_ssh_hold(s);
    }
    rc = libssh2_session_handshake(s->session, EICEI_SSH_NO_SOCKET);
    /* libssh2 also keeps the lines before it there */
    if (!s->banner_known && eice_str_starts(eice_ssh_banner(s), "SSH-")) {
        s->banner_known = true;
        s->deadline_ms = s->now_ms
                         + (s->o.kex_timeout_ms != 0 ? s->o.kex_timeout_ms
                                                     : 20000u);
    }
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    if (rc != 0) {
        eicei_ssh_kex_fail(s);
        return true;
    }
    eicei_ssh_note_methods(s);
    eice_blob_free(&s->hello);
    s->phase = EICE_SSH_HOSTKEY;
    s->deadline_ms = UINT64_MAX;
    if (eicei_ssh_weak(eice_ssh_host_key(s))) {
        eice_fail(&s->error, EICE_E_SSH_KEX, EICE_STAGE_KEX,
                  "the server's RSA host key has less than 2048 bits");
        eice_copy_text(s->error.remedy, sizeof s->error.remedy,
                       eice_str_c("give the server another host key "
                                  "(ssh-keygen -A)"));
        eicei_ssh_stop(s);
    }
    return true;
}

void eice_ssh_accept(eice_ssh *s)
{
    const eice_str key = eice_ssh_host_key(s);

    if (s->phase == EICE_SSH_HOSTKEY) {
        s->phase = EICE_SSH_IDLE;
        s->host_key.len = 0;
        s->starved = s->starved
                     || !eice_blob_add(&s->host_key, key.ptr, key.len,
                                       EICEI_SSH_OUT);
    }
}

/* What was accepted holds for all key exchanges of a session. Between two
 * steps of one there may be no key at all. */
EICEI_PRIVATE void eicei_ssh_same_key(eice_ssh *s)
{
    const eice_str key = eice_ssh_host_key(s);

    if (s->phase <= EICE_SSH_HOSTKEY || key.len == 0 || eicei_ssh_over(s)
        || eice_str_eq(key, eice_str_make(s->host_key.ptr, s->host_key.len))) {
        return;
    }
    eice_fail(&s->error, EICE_E_HOST_KEY_CHANGED, EICE_STAGE_KEX,
              "the server showed another host key in a later key exchange");
    eice_copy_text(s->error.remedy, sizeof s->error.remedy,
                   eice_str_c("do not trust this server"));
    eicei_ssh_stop(s);
}

void eice_ssh_refuse(eice_ssh *s, const eice_error *why)
{
    if (s->phase == EICE_SSH_HOSTKEY) {
        s->error = *why;
        eicei_ssh_stop(s);
    }
}

eice_err eice_ssh_auth(eice_ssh *s, const eice_ssh_login *login)
{
    if (s->phase != EICE_SSH_IDLE) {
        return EICE_E_ARGUMENT;
    }
    s->login = *login;
    s->rejected = false;
    s->listing = false;
    s->phase = EICE_SSH_AUTH;
    s->deadline_ms = s->now_ms
                     + (s->o.auth_timeout_ms != 0 ? s->o.auth_timeout_ms
                                                  : 30000u);
    return EICE_OK;
}

/* After a rejection: which methods would do? Then IDLE again. */
EICEI_PRIVATE bool eicei_ssh_list(eice_ssh *s)
{
    const char *list = libssh2_userauth_list(
        s->session, s->login.user, (unsigned)strlen(s->login.user));

    if (list == NULL
        && libssh2_session_last_errno(s->session) == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    eice_copy_text(s->auth_methods, sizeof s->auth_methods, eice_str_c(list));
    s->listing = false;
    s->rejected = true;
    s->phase = EICE_SSH_IDLE;
    s->deadline_ms = UINT64_MAX;
    return true;
}

EICEI_PRIVATE bool eicei_ssh_login(eice_ssh *s)
{
    void *abstract = s;
    int rc;

    if (s->listing) {
        return eicei_ssh_list(s);
    }
    rc = libssh2_userauth_publickey(
        s->session, s->login.user,
        (const unsigned char *)s->login.key_blob.ptr, s->login.key_blob.len,
        eicei_ssh_sign, &abstract);
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    if (rc == 0) {
        s->phase = EICE_SSH_READY;
        s->deadline_ms = UINT64_MAX;
        s->heard_ms = s->now_ms;
        return true;
    }
    if (s->no_signature) {
        eice_fail(&s->error, EICE_E_SSH, EICE_STAGE_AUTH,
                  "the key of login %s did not sign", s->login.user);
        eice_copy_text(s->error.remedy, sizeof s->error.remedy,
                       eice_str_c("check the agent, or what else holds the "
                                  "private key"));
        eicei_ssh_stop(s);
        return true;
    }
    if (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED
        || rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) {
        s->listing = true;
        return true;
    }
    eice_fail(&s->error, EICE_E_SSH, EICE_STAGE_AUTH, "login failed: %s",
              eicei_ssh_last(s, &s->error));
    eicei_ssh_stop(s);
    return true;
}

/* ---- channels: life ---------------------------------------------------- */

EICEI_PRIVATE eicei_chan *eicei_chan_get(eice_ssh *s, int channel)
{
    if (channel < 0 || channel >= EICE_MAX_CHANNELS
        || s->chan[channel].state == EICEI_CHAN_FREE) {
        return NULL;
    }
    return &s->chan[channel];
}

EICEI_PRIVATE bool eicei_put32(eice_blob *b, uint32_t n)
{
    uint8_t p[4];

    p[0] = (uint8_t)(n >> 24);
    p[1] = (uint8_t)(n >> 16);
    p[2] = (uint8_t)(n >> 8);
    p[3] = (uint8_t)n;
    return eice_blob_add(b, p, 4, EICEI_SSH_OUT);
}

EICEI_PRIVATE bool eicei_put_string(eice_blob *b, eice_str s)
{
    return eicei_put32(b, (uint32_t)s.len)
           && eice_blob_add(b, s.ptr, s.len, EICEI_SSH_OUT);
}

/* RFC 4254 7.2: host, port, originator. */
EICEI_PRIVATE bool eicei_chan_tcp(eicei_chan *k, const eice_channel_opts *o)
{
    return eicei_put_string(&k->text, eice_str_c(o->host))
           && eicei_put32(&k->text, o->port)
           && eicei_put_string(&k->text, eice_str_c("127.0.0.1"))
           && eicei_put32(&k->text, 0);
}

/* OpenSSH PROTOCOL 2.4: path and two reserved fields. */
EICEI_PRIVATE bool eicei_chan_unix(eicei_chan *k, const eice_channel_opts *o)
{
    return eicei_put_string(&k->text, eice_str_c(o->host))
           && eicei_put32(&k->text, 0) && eicei_put32(&k->text, 0);
}

/* Open as soon as it is confirmed: no requests, no exit status. */
EICEI_PRIVATE bool eicei_chan_direct(const eicei_chan *k)
{
    return k->kind == EICE_CHANNEL_TCP || k->kind == EICE_CHANNEL_UNIX;
}

EICEI_PRIVATE bool eicei_chan_copy(eice_ssh *s, eicei_chan *k,
                                   const eice_channel_opts *o)
{
    bool good;
    size_t i;

    k->text.alloc = &s->alloc;
    k->modes.alloc = &s->alloc;
    k->env.alloc = &s->alloc;
    k->kind = o->kind;
    k->agent = o->agent && !eicei_chan_direct(k);
    k->window = o->window > 0 ? o->window : LIBSSH2_CHANNEL_WINDOW_DEFAULT;
    good = o->kind == EICE_CHANNEL_TCP    ? eicei_chan_tcp(k, o)
           : o->kind == EICE_CHANNEL_UNIX ? eicei_chan_unix(k, o)
                                          : eice_blob_add(&k->text,
                                                          o->command.ptr,
                                                          o->command.len,
                                                          EICEI_SSH_OUT);
    if (o->pty.term != NULL) {
        eice_copy_text(k->term, sizeof k->term,
                       eice_str_c(o->pty.term[0] != 0 ? o->pty.term : "dumb"));
        k->size = o->pty;
        good = good
               && eice_blob_add(&k->modes, o->pty.modes.ptr, o->pty.modes.len,
                                EICEI_SSH_OUT);
    }
    for (i = 0; i < o->env_count; i++) {
        good = good && eicei_put_string(&k->env, o->env[i].name)
               && eicei_put_string(&k->env, o->env[i].value);
    }
    k->buffer = (uint8_t *)eice_resize(&s->alloc, NULL, EICEI_CHANNEL_BUFFER);
    return good && k->buffer != NULL;
}

int eice_channel_open(eice_ssh *s, const eice_channel_opts *o)
{
    size_t i;

    if (s->phase != EICE_SSH_READY) {
        return EICE_E_ARGUMENT;
    }
    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        eicei_chan *k = &s->chan[i];

        if (k->state != EICEI_CHAN_FREE) {
            continue;
        }
        if (!eicei_chan_copy(s, k, o)) {
            eicei_chan_clear(s, k);
            return EICE_E_MEMORY;
        }
        k->state = EICEI_CHAN_QUEUED;
        k->deadline = UINT64_MAX;
        s->asked = true;
        return (int)i;
    }
    return EICE_E_LIMIT;
}

EICEI_PRIVATE bool eicei_chan_fail(eice_ssh *s, eicei_chan *k,
                                   const char *what)
{
    eice_fail(&k->error, EICE_E_SSH_CHANNEL, EICE_STAGE_CHANNEL, "%s: %s",
              what, eicei_ssh_last(s, &k->error));
    k->state = EICEI_CHAN_FAILED;
    k->deadline = UINT64_MAX;
    return true;
}

/* The state after the one that has just been passed. */
EICEI_PRIVATE bool eicei_chan_next(eicei_chan *k, eicei_chan_state state)
{
    k->state = state;
    if (state == EICEI_CHAN_OPEN) {
        k->deadline = UINT64_MAX;
    }
    return true;
}

/* 1: open, 0: not yet, -1: refused. */
EICEI_PRIVATE int eicei_chan_ask(eice_ssh *s, eicei_chan *k)
{
    static const char *const types[]
        = {"session", "session", "session", "direct-tcpip",
           "direct-streamlocal@openssh.com"};
    const char *type = types[k->kind];
    const bool direct = eicei_chan_direct(k);
    const char *text = direct ? (const char *)k->text.ptr : NULL;
    const unsigned len = direct ? (unsigned)k->text.len : 0;
    int rc = -1;

#ifdef LIBSSH2_CHANNEL_OPEN_BEGIN
    if (k->ch == NULL) {
        k->ch = libssh2_channel_open_begin(
            s->session, type, (unsigned)strlen(type), k->window,
            LIBSSH2_CHANNEL_PACKET_DEFAULT, text, len);
    }
    if (k->ch != NULL) {
        rc = libssh2_channel_open_end(k->ch);
    }
#else
    k->ch = libssh2_channel_open_ex(
        s->session, type, (unsigned)strlen(type), k->window,
        LIBSSH2_CHANNEL_PACKET_DEFAULT, text, len);
    rc = k->ch != NULL ? 0 : libssh2_session_last_errno(s->session);
#endif
    return rc == 0 ? 1 : rc == LIBSSH2_ERROR_EAGAIN ? 0 : -1;
}

EICEI_PRIVATE bool eicei_chan_opening(eice_ssh *s, eicei_chan *k)
{
    const int answer = eicei_chan_ask(s, k);

    if (answer == 0) {
        return false;
    }
    if (k->late) {
        return eicei_chan_next(k, EICEI_CHAN_FAILED); /* to be closed */
    }
    if (answer < 0) {
        return eicei_chan_fail(s, k, "channel refused");
    }
    return eicei_chan_next(k, eicei_chan_direct(k) ? EICEI_CHAN_OPEN
                              : k->agent           ? EICEI_CHAN_AGENT
                                                   : EICEI_CHAN_ENV);
}

/* From here on connections to the agent are let in; a server that refuses
 * lets the channel open all the same. */
EICEI_PRIVATE bool eicei_chan_agent(eice_ssh *s, eicei_chan *k)
{
    int rc;

    libssh2_session_callback_set2(
        s->session, LIBSSH2_CALLBACK_AUTHAGENT,
        (libssh2_cb_generic *)(void (*)(void))eicei_ssh_agent);
    rc = libssh2_channel_request_auth_agent(k->ch);
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    k->no_agent = rc != 0;
    return eicei_chan_next(k, EICEI_CHAN_ENV);
}

/* One variable after the other; a server that refuses one may take the
 * next. */
EICEI_PRIVATE bool eicei_chan_env(eicei_chan *k)
{
    eice_str rest = eice_str_make(k->env.ptr, k->env.len);
    eice_str name;
    eice_str value;

    rest.ptr += k->env_at;
    rest.len -= k->env_at;
    if (!eicei_get_string(&rest, &name) || !eicei_get_string(&rest, &value)) {
        return eicei_chan_next(k, k->term[0] != 0 ? EICEI_CHAN_PTY
                                                  : EICEI_CHAN_START);
    }
    if (libssh2_channel_setenv_ex(k->ch, name.ptr, (unsigned)name.len,
                                  value.ptr, (unsigned)value.len)
        == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    k->env_at = k->env.len - rest.len;
    return true;
}

EICEI_PRIVATE bool eicei_chan_pty(eice_ssh *s, eicei_chan *k)
{
    const int rc = libssh2_channel_request_pty_ex(
        k->ch, k->term, (unsigned)strlen(k->term),
        (const char *)k->modes.ptr, (unsigned)k->modes.len,
        (int)k->size.columns, (int)k->size.rows, (int)k->size.width_px,
        (int)k->size.height_px);

    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    if (rc != 0) {
        return eicei_chan_fail(s, k, "no terminal on the remote side");
    }
    return eicei_chan_next(k, EICEI_CHAN_START);
}

EICEI_PRIVATE bool eicei_chan_start(eice_ssh *s, eicei_chan *k)
{
    static const char *const requests[] = {"shell", "exec", "subsystem"};
    const char *request = requests[k->kind];
    const bool shell = k->kind == EICE_CHANNEL_SHELL;
    const int rc = libssh2_channel_process_startup(
        k->ch, request, (unsigned)strlen(request),
        shell ? NULL : (const char *)k->text.ptr,
        shell ? 0 : (unsigned)k->text.len);

    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    if (rc != 0) {
        return eicei_chan_fail(s, k, request);
    }
    return eicei_chan_next(k, EICEI_CHAN_OPEN);
}

/* Notes how the remote process ended, once the peer has closed. */
EICEI_PRIVATE bool eicei_chan_ended(eice_ssh *s, eicei_chan *k)
{
    char *name = NULL;
    size_t len = 0;

    if (k->closed || libssh2_channel_eof(k->ch) != 1
        || libssh2_channel_wait_closed(k->ch) != 0) {
        return false;
    }
    k->closed = true;
    if (libssh2_channel_get_exit_signal(k->ch, &name, &len, NULL, NULL, NULL,
                                        NULL) == 0
        && name != NULL) {
        eice_copy_text(k->exit.signal, sizeof k->exit.signal,
                       eice_str_make(name, len));
        libssh2_free(s->session, name);
    }
    k->exit.has_status = k->exit.signal[0] == 0;
    k->exit.status = libssh2_channel_get_exit_status(k->ch);
    return true;
}

/* Hands buffered bytes to libssh2. The buffer is not moved while libssh2 may
 * ask for the same bytes again. */
EICEI_PRIVATE bool eicei_chan_flush(eicei_chan *k)
{
    bool moved = false;

    while (k->at < k->len) {
        const ssize_t n = libssh2_channel_write(
            k->ch, (const char *)k->buffer + k->at, k->len - k->at);

        if (n <= 0) {
            if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) {
                k->at = k->len; /* the peer closed: nobody will read it */
            }
            break;
        }
        k->at += (size_t)n;
        moved = true;
    }
    if (k->at == k->len) {
        k->at = 0;
        k->len = 0;
    }
    return moved;
}

EICEI_PRIVATE bool eicei_chan_requests(eicei_chan *k)
{
    bool moved = false;

    if (k->resize_wanted
        && libssh2_channel_request_pty_size_ex(
               k->ch, (int)k->size.columns, (int)k->size.rows,
               (int)k->size.width_px, (int)k->size.height_px)
               != LIBSSH2_ERROR_EAGAIN) {
        k->resize_wanted = false;
        moved = true;
    }
    if (k->signal[0] != 0
        && libssh2_channel_signal_ex(k->ch, k->signal, strlen(k->signal))
               != LIBSSH2_ERROR_EAGAIN) {
        k->signal[0] = 0;
        moved = true;
    }
    return moved;
}

EICEI_PRIVATE bool eicei_chan_work(eice_ssh *s, eicei_chan *k)
{
    bool moved = eicei_chan_flush(k);

    moved = eicei_chan_requests(k) || moved;
    if (k->eof_wanted && !k->eof_sent && k->len == 0
        && libssh2_channel_send_eof(k->ch) != LIBSSH2_ERROR_EAGAIN) {
        k->eof_sent = true;
        moved = true;
    }
    if (k->close_wanted) {
        return eicei_chan_next(k, EICEI_CHAN_CLOSING);
    }
    return eicei_chan_ended(s, k) || moved;
}

EICEI_PRIVATE bool eicei_chan_closing(eice_ssh *s, eicei_chan *k)
{
    if (k->ch != NULL && libssh2_channel_free(k->ch) == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    eicei_chan_clear(s, k);
    return true;
}

EICEI_PRIVATE uint32_t eicei_ssh_patience(const eice_ssh *s)
{
    return s->o.channel_timeout_ms != 0 ? s->o.channel_timeout_ms : 30000u;
}

EICEI_PRIVATE bool eicei_chan_queued(eice_ssh *s, eicei_chan *k)
{
#ifndef LIBSSH2_CHANNEL_OPEN_BEGIN
    size_t i;
#endif

    if (k->close_wanted) {
        return eicei_chan_next(k, EICEI_CHAN_CLOSING);
    }
#ifndef LIBSSH2_CHANNEL_OPEN_BEGIN
    /* only one may be on its way at a time */
    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        if (s->chan[i].state == EICEI_CHAN_OPENING) {
            return false;
        }
    }
#endif
    k->deadline = s->now_ms + eicei_ssh_patience(s);
    return eicei_chan_next(k, EICEI_CHAN_OPENING);
}

/* Where channels open by themselves only this one has failed; its number is
 * in use until the server has answered after all. */
EICEI_PRIVATE bool eicei_chan_overdue(eice_ssh *s, eicei_chan *k)
{
    eice_error *e = &s->error;

#ifdef LIBSSH2_CHANNEL_OPEN_BEGIN
    if (k->state == EICEI_CHAN_OPENING) {
        e = &k->error;
        k->late = true;
        k->deadline = UINT64_MAX;
    }
#endif
    eice_fail(e, EICE_E_SSH_TIMEOUT, EICE_STAGE_CHANNEL,
              "the SSH server did not open the channel in time");
#ifndef LIBSSH2_CHANNEL_OPEN_BEGIN
    eice_copy_text(e->remedy, sizeof e->remedy,
                   eice_str_c("libssh2 without the patch 08-channel-open "
                              "waits for one at a time; " EICEI_SSH_PATCHES));
#endif
    if (!k->late) {
        eicei_ssh_stop(s);
    }
    return true;
}

EICEI_PRIVATE bool eicei_chan_step(eice_ssh *s, eicei_chan *k)
{
    if (k->deadline <= s->now_ms && !s->ended) {
        return eicei_chan_overdue(s, k);
    }
    switch (k->state) {
    case EICEI_CHAN_QUEUED:
        return eicei_chan_queued(s, k);
    case EICEI_CHAN_OPENING:
        return eicei_chan_opening(s, k);
    case EICEI_CHAN_AGENT:
        return eicei_chan_agent(s, k);
    case EICEI_CHAN_ENV:
        return eicei_chan_env(k);
    case EICEI_CHAN_PTY:
        return eicei_chan_pty(s, k);
    case EICEI_CHAN_START:
        return eicei_chan_start(s, k);
    case EICEI_CHAN_OPEN:
        return eicei_chan_work(s, k);
    case EICEI_CHAN_CLOSING:
        return eicei_chan_closing(s, k);
    case EICEI_CHAN_FAILED:
        return k->close_wanted && eicei_chan_closing(s, k);
    case EICEI_CHAN_FREE:
        break;
    }
    return false;
}

/* ---- listeners --------------------------------------------------------- */

EICEI_PRIVATE const eicei_listener *eicei_listener_get(const eice_ssh *s,
                                                       int listener)
{
    if (listener < 0 || listener >= EICE_MAX_LISTENERS
        || s->listener[listener].state == EICEI_LISTEN_FREE) {
        return NULL;
    }
    return &s->listener[listener];
}

int eice_ssh_listen(eice_ssh *s, const eice_listen_opts *o)
{
    const eice_str host = eice_str_c(o->path != NULL ? o->path : o->host);
    size_t i;

    if (s->phase != EICE_SSH_READY) {
        return EICE_E_ARGUMENT;
    }
    for (i = 0; i < EICE_MAX_LISTENERS; i++) {
        eicei_listener *l = &s->listener[i];

        if (l->state != EICEI_LISTEN_FREE) {
            continue;
        }
        l->host.alloc = &s->alloc;
        if (!eice_blob_add(&l->host, host.ptr, host.len, EICEI_SSH_OUT)
            || !eice_blob_add(&l->host, "", 1, EICEI_SSH_OUT)) {
            eice_blob_free(&l->host);
            return EICE_E_MEMORY;
        }
        l->port = o->path != NULL ? EICEI_UNIX_PORT : o->port;
        l->state = EICEI_LISTEN_QUEUED;
        l->deadline = UINT64_MAX;
#ifndef LIBSSH2_STREAMLOCAL_FORWARD
        if (o->path != NULL) {
            l->state = EICEI_LISTEN_FAILED;
            eicei_ssh_unsupported(&l->error, EICE_STAGE_CHANNEL,
                                  "listening on a UNIX socket of the server",
                                  "04-streamlocal-forward");
        }
#endif
        s->asked = true;
        return (int)i;
    }
    return EICE_E_LIMIT;
}

/* The answers to global requests come in order and bear no name (RFC 4254 4):
 * libssh2 keeps one of them in mind. */
EICEI_PRIVATE bool eicei_listen_queued(eice_ssh *s, eicei_listener *l)
{
    size_t i;

    if (l->end_wanted) {
        eice_blob_free(&l->host);
        memset(l, 0, sizeof *l);
        return true;
    }
    for (i = 0; i < EICE_MAX_LISTENERS; i++) {
        if (s->listener[i].state == EICEI_LISTEN_ASKING) {
            return false;
        }
    }
    l->deadline = s->now_ms + eicei_ssh_patience(s);
    l->state = EICEI_LISTEN_ASKING;
    return true;
}

EICEI_PRIVATE bool eicei_listen_asking(eice_ssh *s, eicei_listener *l)
{
    const char *host = (const char *)l->host.ptr;

    if (l->deadline <= s->now_ms && !s->ended) {
        eice_fail(&s->error, EICE_E_SSH_TIMEOUT, EICE_STAGE_CHANNEL,
                  "the SSH server did not say in time whether it listens on "
                  "%s", host);
        eicei_ssh_stop(s);
        return true;
    }
    l->l = libssh2_channel_forward_listen_ex(s->session, host, l->port,
                                             &l->bound, EICEI_SSH_WAITING);
    if (l->l == NULL
        && libssh2_session_last_errno(s->session) == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    l->deadline = UINT64_MAX;
    l->state = l->l != NULL ? EICEI_LISTEN_OPEN : EICEI_LISTEN_FAILED;
    if (l->l == NULL) {
        (void)eicei_ssh_last(s, &l->error);
        if (l->port >= 0) {
            eice_fail(&l->error, EICE_E_SSH_CHANNEL, EICE_STAGE_CHANNEL,
                      "the server does not listen on %s port %d",
                      host[0] != 0 ? host : "*", l->port);
        } else {
            eice_fail(&l->error, EICE_E_SSH_CHANNEL, EICE_STAGE_CHANNEL,
                      "the server does not listen on %s", host);
        }
        eice_copy_text(l->error.remedy, sizeof l->error.remedy,
                       eice_str_c("the port or path may be in use there, or "
                                  "its sshd_config forbids it "
                                  "(AllowTcpForwarding, GatewayPorts, "
                                  "AllowStreamLocalForwarding)"));
    }
    return true;
}

EICEI_PRIVATE eicei_chan *eicei_chan_free(eice_ssh *s)
{
    size_t i;

    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        if (s->chan[i].state == EICEI_CHAN_FREE) {
            return &s->chan[i];
        }
    }
    return NULL;
}

/* A channel that came in, to be handed out. */
EICEI_PRIVATE bool eicei_chan_came(eice_ssh *s, eicei_chan *k, int listener)
{
    k->buffer = (uint8_t *)eice_resize(&s->alloc, NULL, EICEI_CHANNEL_BUFFER);
    k->kind = EICE_CHANNEL_TCP;
    k->state = k->buffer != NULL ? EICEI_CHAN_OPEN : EICEI_CHAN_CLOSING;
    k->deadline = UINT64_MAX;
    k->waiting = k->buffer != NULL;
    k->listener = listener;
    return true;
}

EICEI_PRIVATE bool eicei_agent_accept(eice_ssh *s)
{
    eicei_chan *k = s->agent_count > 0 ? eicei_chan_free(s) : NULL;

    if (s->agent_count > EICE_MAX_CHANNELS) {
        eice_fail(&s->error, EICE_E_LIMIT, EICE_STAGE_SESSION,
                  "the SSH server wants more than %d connections to the agent",
                  EICE_MAX_CHANNELS);
        eicei_ssh_stop(s);
        return true;
    }
    if (k == NULL) {
        return false;
    }
    k->ch = s->agents[0];
    s->agent_count--;
    memmove(s->agents, s->agents + 1, s->agent_count * sizeof s->agents[0]);
    return eicei_chan_came(s, k, EICE_LISTEN_AGENT);
}

/* Takes one connection off libssh2's queue. That reads what came in, too:
 * the only call that does so while no channel is open. */
EICEI_PRIVATE bool eicei_listen_accept(eice_ssh *s, size_t number)
{
    eicei_chan *k = eicei_chan_free(s);

    if (k == NULL) {
        return false; /* and a channel is open that reads */
    }
    k->ch = libssh2_channel_forward_accept(s->listener[number].l);
    if (k->ch == NULL) {
        if (libssh2_session_last_errno(s->session) != LIBSSH2_ERROR_EAGAIN) {
            eice_fail(&s->error, EICE_E_SSH_LOST, EICE_STAGE_SESSION,
                      "the SSH server ended the session");
            eicei_ssh_stop(s);
            return true;
        }
        return false;
    }
    return eicei_chan_came(s, k, (int)number);
}

EICEI_PRIVATE bool eicei_listen_end(eice_ssh *s, size_t number)
{
    eicei_listener *l = &s->listener[number];
    size_t i;

    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        if (s->chan[i].waiting && s->chan[i].listener == (int)number) {
            s->chan[i].waiting = false;
            s->chan[i].close_wanted = true;
        }
    }
    if (l->l != NULL
        && libssh2_channel_forward_cancel(l->l) == LIBSSH2_ERROR_EAGAIN) {
        return false;
    }
    eice_blob_free(&l->host);
    memset(l, 0, sizeof *l);
    return true;
}

EICEI_PRIVATE bool eicei_listen_step(eice_ssh *s, size_t number)
{
    eicei_listener *l = &s->listener[number];

    switch (l->state) {
    case EICEI_LISTEN_QUEUED:
        return eicei_listen_queued(s, l);
    case EICEI_LISTEN_ASKING:
        return eicei_listen_asking(s, l);
    case EICEI_LISTEN_OPEN:
        return l->end_wanted ? eicei_listen_end(s, number)
                             : eicei_listen_accept(s, number);
    case EICEI_LISTEN_FAILED:
        return l->end_wanted && eicei_listen_end(s, number);
    case EICEI_LISTEN_FREE:
        break;
    }
    return false;
}

unsigned eice_listen_state(const eice_ssh *s, int listener)
{
    const eicei_listener *l = eicei_listener_get(s, listener);

    if (l == NULL) {
        return 0;
    }
    return l->state == EICEI_LISTEN_OPEN     ? EICE_LISTEN_OPEN
           : l->state == EICEI_LISTEN_FAILED ? EICE_LISTEN_FAILED
                                             : 0;
}

const eice_error *eice_listen_error(const eice_ssh *s, int listener)
{
    const eicei_listener *l = eicei_listener_get(s, listener);

    return l != NULL && l->error.code != EICE_OK ? &l->error : &s->error;
}

uint16_t eice_listen_port(const eice_ssh *s, int listener)
{
    const eicei_listener *l = eicei_listener_get(s, listener);

    return l != NULL && l->bound > 0 ? (uint16_t)l->bound : 0;
}

int eice_ssh_accept_channel(eice_ssh *s, int *listener)
{
    int i;

    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        eicei_chan *k = &s->chan[i];

        if (k->waiting) {
            k->waiting = false;
            *listener = k->listener;
            return i;
        }
    }
    return -1;
}

void eice_ssh_unlisten(eice_ssh *s, int listener)
{
    if (eicei_listener_get(s, listener) != NULL) {
        s->listener[listener].end_wanted = true;
        s->asked = true;
    }
}

/* ---- the session's work ------------------------------------------------ */

/* A request no server knows, on a channel that is open: any answer will do.
 * (libssh2's own keepalive asks the system's clock.) */
EICEI_PRIVATE void eicei_ssh_alive(eice_ssh *s)
{
    static const char name[] = "EICE_KEEPALIVE";
    uint64_t due = s->heard_ms + s->o.keepalive_ms;
    size_t i;

    s->deadline_ms = UINT64_MAX;
    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        if (s->chan[i].state == EICEI_CHAN_OPEN
            && !eicei_chan_direct(&s->chan[i]) && !s->chan[i].closed) {
            break;
        }
    }
    if (s->o.keepalive_ms == 0 || i == EICE_MAX_CHANNELS) {
        s->alive_ms = 0;
        return;
    }
    if (s->alive_ms == 0 && s->now_ms < due) {
        s->deadline_ms = due;
        return;
    }
    if (s->alive_ms == 0) {
        s->alive_ms = s->now_ms;
    }
    if (libssh2_channel_setenv_ex(s->chan[i].ch, name, sizeof name - 1, "", 0)
        != LIBSSH2_ERROR_EAGAIN) {
        s->alive_ms = 0;
        s->deadline_ms = s->now_ms + s->o.keepalive_ms;
        return;
    }
    due = (s->heard_ms > s->alive_ms ? s->heard_ms : s->alive_ms)
          + 3u * (uint64_t)s->o.keepalive_ms;
    s->deadline_ms = due;
}

/* libssh2 reads only inside other calls: an empty read on any open channel
 * works off what came in. */
EICEI_PRIVATE bool eicei_ssh_drain(eice_ssh *s)
{
    const size_t before = s->in_at;
    size_t i;
    char none;

    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        eicei_chan *k = &s->chan[i];

        if (k->ch == NULL || k->state == EICEI_CHAN_FAILED
            || k->state == EICEI_CHAN_OPENING) {
            continue;
        }
        if (s->in_at < s->in_len) {
            const ssize_t n = libssh2_channel_read(k->ch, &none, 0);

            if (n < 0 && n != LIBSSH2_ERROR_EAGAIN
                && n != LIBSSH2_ERROR_CHANNEL_CLOSED) {
                eice_fail(&s->error, EICE_E_SSH_LOST, EICE_STAGE_SESSION,
                          "the session ended: %s",
                          eicei_ssh_last(s, &s->error));
                eicei_ssh_stop(s);
                return true;
            }
        }
        break;
    }
    return s->in_at != before;
}

eice_err eice_ssh_rekey(eice_ssh *s)
{
    if (s->phase != EICE_SSH_READY) {
        return EICE_E_ARGUMENT;
    }
#ifdef LIBSSH2_SESSION_REKEY
    s->rekey_wanted = true;
    s->asked = true;
    return EICE_OK;
#else
    return EICE_E_SSH_UNSUPPORTED;
#endif
}

/* No cipher of ours may carry more than 2^32 packets or blocks with one key
 * (RFC 4344 3, RFC 5647 7.1); so many bytes are below both. */
EICEI_PRIVATE bool eicei_ssh_new_keys(eice_ssh *s)
{
    const uint64_t limit
        = s->o.rekey_bytes != 0 ? s->o.rekey_bytes : EICEI_SSH_REKEY;

    if (s->carried > limit) {
        s->carried = 0;
        (void)eice_ssh_rekey(s);
    }
#ifdef LIBSSH2_SESSION_REKEY
    if (s->rekey_wanted || s->rekeying) {
        /* other calls may have brought it to its end meanwhile */
        const int rc = libssh2_session_rekey(s->session, s->rekey_wanted);

        s->rekey_wanted = false;
        s->rekeying = rc == LIBSSH2_ERROR_EAGAIN;
        if (rc != 0 && !s->rekeying) {
            eicei_ssh_kex_fail(s);
        }
        return !s->rekeying;
    }
#endif
    return false;
}

EICEI_PRIVATE bool eicei_ssh_ready(eice_ssh *s)
{
    bool moved = eicei_ssh_new_keys(s);
    size_t i;

    moved = s->phase == EICE_SSH_READY && (eicei_ssh_drain(s) || moved);

    for (i = 0; i < EICE_MAX_CHANNELS && s->phase == EICE_SSH_READY; i++) {
        if (s->chan[i].state != EICEI_CHAN_FREE
            && eicei_chan_step(s, &s->chan[i])) {
            moved = true;
        }
    }
    for (i = 0; i < EICE_MAX_LISTENERS && s->phase == EICE_SSH_READY; i++) {
        if (s->listener[i].state != EICEI_LISTEN_FREE
            && eicei_listen_step(s, i)) {
            moved = true;
        }
    }
    moved = eicei_agent_accept(s) || moved;
    if (s->phase == EICE_SSH_READY && !s->ended) {
        eicei_ssh_alive(s);
    }
    return moved;
}

void eice_ssh_close(eice_ssh *s)
{
    s->closing = true;
    s->asked = true;
}

EICEI_PRIVATE bool eicei_ssh_bye(eice_ssh *s)
{
    if (s->phase > EICE_SSH_HOSTKEY) {
        (void)libssh2_session_disconnect_ex(
            s->session, SSH_DISCONNECT_BY_APPLICATION, "bye", "");
    }
    s->phase = EICE_SSH_CLOSED;
    s->deadline_ms = UINT64_MAX;
    return true;
}

bool eice_ssh_step(eice_ssh *s, uint64_t now_ms)
{
    bool moved = false;

    s->now_ms = now_ms;
    s->asked = false;
    if (eicei_ssh_over(s) || s->out.len - s->out_at > EICEI_SSH_ENTER) {
        return false;
    }
    if (s->closing) {
        return eicei_ssh_bye(s);
    }
    if (s->phase == EICE_SSH_GREET) {
        moved = eicei_ssh_greet(s);
    } else if (s->phase == EICE_SSH_AUTH) {
        moved = eicei_ssh_login(s);
    } else if (s->phase == EICE_SSH_READY) {
        moved = eicei_ssh_ready(s);
    }
    if (s->starved) {
        eicei_ssh_out_of_memory(s);
        return true;
    }
    eicei_ssh_same_key(s);
    if (!moved && !eicei_ssh_over(s)) {
        if (s->ended) {
            eicei_ssh_lost(s);
        } else if (now_ms >= s->deadline_ms) {
            eicei_ssh_late(s);
        }
        moved = eicei_ssh_over(s);
    }
    return moved;
}

uint64_t eice_ssh_deadline(const eice_ssh *s)
{
    uint64_t t = s->deadline_ms;
    size_t i;

    if (eicei_ssh_over(s)) {
        return UINT64_MAX;
    }
    if (s->starved || s->asked) {
        return s->now_ms; /* there is work for the next step */
    }
    if (s->holding && s->hold_ms != 0 && s->hold_ms < t) {
        t = s->hold_ms;
    }
    for (i = 0; i < EICE_MAX_CHANNELS; i++) {
        if (s->chan[i].state != EICEI_CHAN_FREE && s->chan[i].deadline < t) {
            t = s->chan[i].deadline;
        }
    }
    for (i = 0; i < EICE_MAX_LISTENERS; i++) {
        if (s->listener[i].state == EICEI_LISTEN_ASKING
            && s->listener[i].deadline < t) {
            t = s->listener[i].deadline;
        }
    }
    return t;
}

/* ---- channels: use ----------------------------------------------------- */

unsigned eice_channel_state(eice_ssh *s, int channel)
{
    eicei_chan *k = eicei_chan_get(s, channel);
    unsigned flags = 0;

    if (k == NULL) {
        return 0;
    }
    if (k->state == EICEI_CHAN_FAILED || k->late) {
        return EICE_CHAN_FAILED;
    }
    if (k->state != EICEI_CHAN_OPEN) {
        return 0;
    }
    flags = EICE_CHAN_OPEN | (k->no_agent ? EICE_CHAN_NO_AGENT : 0);
    if (k->len < EICEI_CHANNEL_BUFFER && !k->eof_wanted && !k->closed) {
        flags |= EICE_CHAN_CAN_WRITE;
    }
    if (k->len == 0 && k->eof_sent == k->eof_wanted) {
        flags |= EICE_CHAN_FLUSHED;
    }
    if (libssh2_poll_channel_read(k->ch, 0) == 1) {
        flags |= EICE_CHAN_OUT;
    }
    if (libssh2_poll_channel_read(k->ch, 1) == 1) {
        flags |= EICE_CHAN_ERR;
    }
    if ((flags & (EICE_CHAN_OUT | EICE_CHAN_ERR)) == 0
        && (libssh2_channel_eof(k->ch) == 1 || eicei_ssh_over(s))) {
        flags |= EICE_CHAN_EOF;
    }
    return flags | (k->closed ? EICE_CHAN_CLOSED : 0);
}

const eice_error *eice_channel_error(eice_ssh *s, int channel)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    return k != NULL && k->error.code != EICE_OK ? &k->error : &s->error;
}

size_t eice_channel_read(eice_ssh *s, int channel, int stream, void *out,
                         size_t cap)
{
    eicei_chan *k = eicei_chan_get(s, channel);
    ssize_t n;

    if (k == NULL || k->state != EICEI_CHAN_OPEN || cap == 0
        || s->out.len - s->out_at > EICEI_SSH_ENTER) {
        return 0;
    }
    n = libssh2_channel_read_ex(k->ch,
                                stream == 1 ? SSH_EXTENDED_DATA_STDERR : 0,
                                (char *)out, cap);
    s->asked = s->asked || n > 0; /* the window may be opened again */
    return n > 0 ? (size_t)n : 0;
}

size_t eice_channel_write(eice_ssh *s, int channel, const void *data,
                          size_t len)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    if (k == NULL || k->state != EICEI_CHAN_OPEN || k->eof_wanted
        || k->closed) {
        return 0;
    }
    if (len > EICEI_CHANNEL_BUFFER - k->len) {
        len = EICEI_CHANNEL_BUFFER - k->len;
    }
    memcpy(k->buffer + k->len, data, len);
    k->len += len;
    s->asked = s->asked || len > 0;
    return len;
}

void eice_channel_eof(eice_ssh *s, int channel)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    if (k != NULL && !k->eof_wanted) {
        k->eof_wanted = true;
        s->asked = true;
    }
}

void eice_channel_resize(eice_ssh *s, int channel, const eice_pty *size)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    if (k != NULL) {
        k->size.columns = size->columns;
        k->size.rows = size->rows;
        k->size.width_px = size->width_px;
        k->size.height_px = size->height_px;
        k->resize_wanted = true;
        s->asked = true;
    }
}

void eice_channel_signal(eice_ssh *s, int channel, const char *name)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    if (k != NULL) {
        eice_copy_text(k->signal, sizeof k->signal, eice_str_c(name));
        s->asked = true;
    }
}

const eice_exit *eice_channel_exit(eice_ssh *s, int channel)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    return k != NULL ? &k->exit : NULL;
}

void eice_channel_close(eice_ssh *s, int channel)
{
    eicei_chan *k = eicei_chan_get(s, channel);

    if (k != NULL && !k->close_wanted) {
        k->close_wanted = true;
        s->asked = true;
    }
}

/* ---- sftp -------------------------------------------------------------- */

#define EICEI_SFTP_PACKET (256u * 1024u + 1024u) /* longest one taken */
#define EICEI_SFTP_OUT (256u * 1024u)  /* bytes in `out` to stay away */
#define EICEI_SFTP_NAMES 12u           /* least of a name: three fields */

enum {
    EICEI_FXP_INIT = 1,
    EICEI_FXP_VERSION = 2,
    EICEI_FXP_STATUS = 101,
    EICEI_FXP_HANDLE,
    EICEI_FXP_DATA,
    EICEI_FXP_NAME,
    EICEI_FXP_ATTRS,
    EICEI_FXP_EXTENDED = 200
};

/* Fields of a request: t text, u more, f flags, a attributes, o offset,
 * l length; and the packet that answers, if no status does. */
typedef struct eicei_sftp_form {
    const char *fields;
    uint8_t answer;
    const char *extension;
} eicei_sftp_form;

static const eicei_sftp_form eicei_sftp_forms[] = {
    {"tfa", EICEI_FXP_HANDLE, NULL}, {"t", 0, NULL},
    {"tol", EICEI_FXP_DATA, NULL},   {"tou", 0, NULL},
    {"t", EICEI_FXP_ATTRS, NULL},    {"t", EICEI_FXP_ATTRS, NULL},
    {"ta", 0, NULL},                 {"ta", 0, NULL},
    {"t", EICEI_FXP_HANDLE, NULL},   {"t", EICEI_FXP_NAME, NULL},
    {"t", 0, NULL},                  {"ta", 0, NULL},
    {"t", 0, NULL},                  {"t", EICEI_FXP_NAME, NULL},
    {"t", EICEI_FXP_ATTRS, NULL},    {"tu", 0, NULL},
    {"t", EICEI_FXP_NAME, NULL},     {"tu", 0, NULL},
    {"tu", 0, "posix-rename@openssh.com"},
    {"t", 0, "fsync@openssh.com"}};

EICEI_PRIVATE const eicei_sftp_form *eicei_sftp_form_of(eice_sftp_op op)
{
    return &eicei_sftp_forms[(size_t)op - (size_t)EICE_SFTP_OPEN];
}

EICE_API void eice_sftp_init(eice_sftp *s, const eice_alloc *alloc)
{
    static const uint8_t hello[] = {0, 0, 0, 5, EICEI_FXP_INIT, 0, 0, 0, 3};

    memset(s, 0, sizeof *s);
    s->priv.in.alloc = alloc;
    s->priv.out.alloc = alloc;
    if (!eice_blob_add(&s->priv.out, hello, sizeof hello, EICEI_SSH_OUT)) {
        eice_fail(&s->error, EICE_E_MEMORY, EICE_STAGE_SESSION,
                  "no memory for SFTP");
    }
}

EICE_API void eice_sftp_free(eice_sftp *s)
{
    eice_blob_free(&s->priv.in);
    eice_blob_free(&s->priv.out);
}

EICEI_PRIVATE bool eicei_sftp_put64(eice_blob *b, uint64_t n)
{
    return eicei_put32(b, (uint32_t)(n >> 32))
           && eicei_put32(b, (uint32_t)n);
}

EICEI_PRIVATE bool eicei_sftp_put_attrs(eice_blob *b,
                                        const eice_sftp_attrs *a)
{
    const uint32_t flags = a->flags & 15u;

    return eicei_put32(b, flags)
           && ((flags & EICE_SFTP_SIZE) == 0 || eicei_sftp_put64(b, a->size))
           && ((flags & EICE_SFTP_OWNER) == 0
               || (eicei_put32(b, a->uid) && eicei_put32(b, a->gid)))
           && ((flags & EICE_SFTP_MODE) == 0 || eicei_put32(b, a->mode))
           && ((flags & EICE_SFTP_TIMES) == 0
               || (eicei_put32(b, a->atime) && eicei_put32(b, a->mtime)));
}

EICEI_PRIVATE bool eicei_sftp_put_field(eice_blob *b, char field,
                                        const eice_sftp_request *r)
{
    switch (field) {
    case 't':
        return eicei_put_string(b, r->text);
    case 'u':
        return eicei_put_string(b, r->more);
    case 'f':
        return eicei_put32(b, r->flags);
    case 'l':
        return eicei_put32(b, r->len);
    case 'o':
        return eicei_sftp_put64(b, r->offset);
    default:
        return eicei_sftp_put_attrs(b, &r->attrs);
    }
}

/* The packet behind what waits already; its length is filled in last. */
EICEI_PRIVATE bool eicei_sftp_put(eice_sftp *s, const eice_sftp_request *r,
                                  uint32_t id)
{
    const eicei_sftp_form *form = eicei_sftp_form_of(r->op);
    eice_blob *b = &s->priv.out;
    const size_t start = b->len;
    const uint8_t type = form->extension != NULL ? (uint8_t)EICEI_FXP_EXTENDED
                                                 : (uint8_t)r->op;
    const char *field;
    bool good = eicei_put32(b, 0) && eice_blob_add(b, &type, 1, EICEI_SSH_OUT)
                && eicei_put32(b, id);

    if (form->extension != NULL) {
        good = good && eicei_put_string(b, eice_str_c(form->extension));
    }
    for (field = form->fields; *field != 0; field++) {
        good = good && eicei_sftp_put_field(b, *field, r);
    }
    if (good) {
        const size_t len = b->len - start - 4;
        size_t i;

        for (i = 0; i < 4; i++) {
            b->ptr[start + i] = (uint8_t)(len >> (24 - 8 * i));
        }
    } else {
        b->len = start;
    }
    return good;
}

EICEI_PRIVATE bool eicei_sftp_can(const eice_sftp *s,
                                  const eice_sftp_request *r)
{
    return s->ready && s->error.code == EICE_OK
           && s->asked < EICE_SFTP_ASKED
           && s->priv.out.len - s->priv.out_at < EICEI_SFTP_OUT
           && r->text.len <= EICE_SFTP_BLOCK && r->more.len <= EICE_SFTP_BLOCK
           && r->len <= EICE_SFTP_BLOCK
           && (r->op != EICE_SFTP_POSIX_RENAME || s->posix_rename)
           && (r->op != EICE_SFTP_FSYNC || s->fsync);
}

EICE_API bool eice_sftp_ask(eice_sftp *s, const eice_sftp_request *r)
{
    uint32_t i = 0;

    if (!eicei_sftp_can(s, r)) {
        return false;
    }
    while (s->priv.slot[i].used) {
        i++;
    }
    s->priv.turn++;
    s->priv.slot[i].id = s->priv.turn * EICE_SFTP_ASKED + i;
    if (!eicei_sftp_put(s, r, s->priv.slot[i].id)) {
        eice_fail(&s->error, EICE_E_MEMORY, EICE_STAGE_SESSION,
                  "no memory for SFTP");
        return false;
    }
    s->priv.slot[i].used = true;
    s->priv.slot[i].op = r->op;
    s->priv.slot[i].user = r->user;
    s->priv.slot[i].tag = r->tag;
    s->priv.slot[i].offset = r->offset;
    s->priv.slot[i].len = r->len;
    s->asked++;
    return true;
}

EICE_API size_t eice_sftp_out(const eice_sftp *s, const uint8_t **p)
{
    *p = s->priv.out.ptr + (s->priv.out.ptr != NULL ? s->priv.out_at : 0);
    return s->priv.out.len - s->priv.out_at;
}

/* What was sent is dropped when it is all, or more than what is left. */
EICEI_PRIVATE void eicei_sftp_drop(eice_blob *b, size_t *at)
{
    if (*at >= b->len - *at) {
        if (b->len > *at) {
            memmove(b->ptr, b->ptr + *at, b->len - *at);
        }
        b->len -= *at;
        *at = 0;
    }
}

EICE_API void eice_sftp_out_ack(eice_sftp *s, size_t n)
{
    s->priv.out_at += n;
    eicei_sftp_drop(&s->priv.out, &s->priv.out_at);
}

EICE_API size_t eice_sftp_in(eice_sftp *s, uint8_t **p)
{
    if (s->error.code != EICE_OK) {
        return 0;
    }
    eicei_sftp_drop(&s->priv.in, &s->priv.in_at);
    *p = eice_blob_room(&s->priv.in, EICE_SFTP_BLOCK,
                        2 * (EICEI_SFTP_PACKET + EICE_SFTP_BLOCK));
    if (*p == NULL) {
        eice_fail(&s->error, EICE_E_MEMORY, EICE_STAGE_SESSION,
                  "no memory for SFTP");
        return 0;
    }
    return EICE_SFTP_BLOCK;
}

EICE_API void eice_sftp_in_ack(eice_sftp *s, size_t n)
{
    s->priv.in.len += n;
}

EICEI_PRIVATE bool eicei_sftp_get32(eice_str *in, uint32_t *out)
{
    if (in->len < 4) {
        return false;
    }
    *out = eicei_get32((const uint8_t *)in->ptr);
    *in = eice_str_make(in->ptr + 4, in->len - 4);
    return true;
}

EICEI_PRIVATE bool eicei_sftp_get_attrs(eice_str *in, eice_sftp_attrs *a)
{
    eice_str skipped;
    uint32_t high = 0;
    uint32_t low = 0;
    uint32_t n = 0;

    memset(a, 0, sizeof *a);
    if (!eicei_sftp_get32(in, &a->flags)
        || ((a->flags & EICE_SFTP_SIZE) != 0
            && (!eicei_sftp_get32(in, &high) || !eicei_sftp_get32(in, &low)))
        || ((a->flags & EICE_SFTP_OWNER) != 0
            && (!eicei_sftp_get32(in, &a->uid)
                || !eicei_sftp_get32(in, &a->gid)))
        || ((a->flags & EICE_SFTP_MODE) != 0
            && !eicei_sftp_get32(in, &a->mode))
        || ((a->flags & EICE_SFTP_TIMES) != 0
            && (!eicei_sftp_get32(in, &a->atime)
                || !eicei_sftp_get32(in, &a->mtime)))
        || ((a->flags >> 31) != 0 && !eicei_sftp_get32(in, &n))) {
        return false;
    }
    a->size = (uint64_t)high << 32 | low;
    for (; n > 0; n--) { /* extended pairs; the end comes before 2^32 */
        if (!eicei_get_string(in, &skipped)
            || !eicei_get_string(in, &skipped)) {
            return false;
        }
    }
    return true;
}

EICEI_PRIVATE bool eicei_sftp_bad(eice_sftp *s, const char *what)
{
    eice_fail(&s->error, EICE_E_SFTP, EICE_STAGE_SESSION,
              "the SFTP server sent %s", what);
    return false;
}

/* Version and extensions (4): pairs of a name and its data. */
EICEI_PRIVATE bool eicei_sftp_version(eice_sftp *s, eice_str in)
{
    uint32_t version;
    eice_str name;
    eice_str data;

    if (in.len < 1 || in.ptr[0] != EICEI_FXP_VERSION) {
        return eicei_sftp_bad(s, "no version: is sftp enabled there?");
    }
    in = eice_str_make(in.ptr + 1, in.len - 1);
    if (!eicei_sftp_get32(&in, &version) || version != 3) {
        return eicei_sftp_bad(s, "a version other than 3");
    }
    while (eicei_get_string(&in, &name) && eicei_get_string(&in, &data)) {
        if (eice_str_is(name, "posix-rename@openssh.com")) {
            s->posix_rename = true;
        } else if (eice_str_is(name, "fsync@openssh.com")) {
            s->fsync = true;
        }
    }
    s->ready = true;
    return true;
}

/* The inside of an answer, behind its id. */
EICEI_PRIVATE bool eicei_sftp_body(eice_sftp_reply *r, uint8_t type,
                                   eice_str in)
{
    uint32_t n;

    switch (type) {
    case EICEI_FXP_STATUS: /* servers before version 3 send no words */
        if (!eicei_sftp_get32(&in, &r->status)) {
            return false;
        }
        (void)eicei_get_string(&in, &r->text);
        /* success is not an answer where something was asked for */
        return r->status != EICE_SFTP_OK
               || eicei_sftp_form_of(r->op)->answer == 0;
    case EICEI_FXP_HANDLE:
        return eicei_get_string(&in, &r->text)
               && r->text.len <= EICE_SFTP_HANDLE;
    case EICEI_FXP_DATA:
        return eicei_get_string(&in, &r->text) && r->text.len <= r->len
               && r->text.len > 0;
    case EICEI_FXP_NAME:
        if (!eicei_sftp_get32(&in, &n) || n > in.len / EICEI_SFTP_NAMES) {
            return false;
        }
        r->names = in;
        return true;
    default:
        return eicei_sftp_get_attrs(&in, &r->attrs);
    }
}

EICEI_PRIVATE bool eicei_sftp_answer(eice_sftp *s, eice_sftp_reply *r,
                                     eice_str in)
{
    uint8_t type;
    uint32_t id;
    uint32_t i;

    memset(r, 0, sizeof *r);
    if (in.len < 5) {
        return eicei_sftp_bad(s, "a packet that is too short");
    }
    type = (uint8_t)in.ptr[0];
    id = eicei_get32((const uint8_t *)in.ptr + 1);
    i = id % EICE_SFTP_ASKED;
    if (!s->priv.slot[i].used || s->priv.slot[i].id != id) {
        return eicei_sftp_bad(s, "an answer to no question");
    }
    s->priv.slot[i].used = false;
    s->asked--;
    r->op = s->priv.slot[i].op;
    r->user = s->priv.slot[i].user;
    r->tag = s->priv.slot[i].tag;
    r->offset = s->priv.slot[i].offset;
    r->len = s->priv.slot[i].len;
    if ((type != EICEI_FXP_STATUS
         && type != eicei_sftp_form_of(r->op)->answer)
        || !eicei_sftp_body(r, type,
                            eice_str_make(in.ptr + 5, in.len - 5))) {
        return eicei_sftp_bad(s, "an answer that does not fit");
    }
    return true;
}

EICE_API bool eice_sftp_next(eice_sftp *s, eice_sftp_reply *reply)
{
    const uint8_t *p;
    size_t len;

    while (s->error.code == EICE_OK) {
        len = s->priv.in.len - s->priv.in_at;
        if (len < 4) {
            break;
        }
        p = s->priv.in.ptr + s->priv.in_at;
        if (eicei_get32(p) > EICEI_SFTP_PACKET - 4) {
            return eicei_sftp_bad(s, "a packet that is too long, or text: "
                                     "do the login scripts print some?");
        }
        if (len - 4 < eicei_get32(p)) {
            break;
        }
        len = eicei_get32(p);
        s->priv.in_at += 4 + len;
        if (s->ready) {
            return eicei_sftp_answer(s, reply, eice_str_make(p + 4, len));
        }
        (void)eicei_sftp_version(s, eice_str_make(p + 4, len));
    }
    return false;
}

EICE_API bool eice_sftp_name(eice_sftp_reply *reply, eice_sftp_entry *out)
{
    eice_str skipped;

    return eicei_get_string(&reply->names, &out->name)
           && eicei_get_string(&reply->names, &skipped)
           && eicei_sftp_get_attrs(&reply->names, &out->attrs);
}

EICE_API bool eice_sftp_plain(eice_str name)
{
    return name.len > 0 && !eice_str_is(name, ".") && !eice_str_is(name, "..")
           && eice_str_find(name, '/') == name.len
           && eice_str_find(name, 0) == name.len;
}

EICE_API const char *eice_sftp_status_text(uint32_t status)
{
    static const char *const texts[] = {
        "success", "end of file", "no such file or directory",
        "permission denied", "the server says failure", "bad message",
        "no connection", "connection lost", "not supported by the server"};

    return status < EICEI_LEN(texts) ? texts[status] : "unknown status";
}

#endif /* EICE_HAS_SSH */

/* ======================================================================== *
 * 17 CONNECT                                                       >>conn  *
 * ======================================================================== */

#if EICE_HAS_AWS

/* Purpose: one machine from "credentials?" to "here is your session".
 * Layer: session. Calls 2, 3, 4, 8, 11 to 16; no I/O; heap by the allocator.
 *
 * Made of four kinds of part, each with a state of its own:
 *
 *   need   something asked of the driver
 *   slot   one TCP connection of the driver: DIALING, UP, CLOSE
 *   link   RESOLVE -> DIAL (RFC 8305) -> PROXY (CONNECT) -> TLS -> READY,
 *          or VIA -> READY: a channel of another connection
 *   call   WAIT -> LINK -> TALK -> DONE, with retries; one AWS operation
 *
 * and of the plan, which starts a part as soon as what it needs is there.
 *
 * Invariants: a slot that is DIALING or UP belongs to exactly one link; a
 * link is busy while a call or the tunnel uses it; c->error is set once; in
 * state OVER no need is open and every slot is CLOSE or FREE. */

#define EICEI_NEEDS 24
#define EICEI_DIALS 4
#define EICEI_STAGGER_MS 250u /* RFC 8305 5: Connection Attempt Delay */
#define EICEI_PAGES 1000u
#define EICEI_ENDPOINTS 1024u /* kept of DescribeInstanceConnectEndpoints */
#define EICEI_CLOSE_MS 1000u
#define EICEI_SYSTEM_STORE (4u * 1024u * 1024u)

typedef enum eicei_owner {
    EICEI_OWN_RANDOM,
    EICEI_OWN_LINK,
    EICEI_OWN_DIAL,
    EICEI_OWN_BUNDLE,
    EICEI_OWN_STORE,
    EICEI_OWN_KNOWN,
    EICEI_OWN_HOSTKEY,
    EICEI_OWN_TOFU
} eicei_owner;

typedef struct eicei_ask {
    eice_need need;
    bool used;
    bool asked;
    eicei_owner owner;
    int ref;
} eicei_ask;

typedef enum eicei_slot_state {
    EICEI_SLOT_FREE,
    EICEI_SLOT_DIALING,
    EICEI_SLOT_UP,
    EICEI_SLOT_CLOSE
} eicei_slot_state;

typedef struct eicei_slot {
    eicei_slot_state state;
    int link;
    uint32_t need;
    eice_ip ip;
    uint64_t began;
} eicei_slot;

typedef enum eicei_link_state {
    EICEI_LINK_FREE,
    EICEI_LINK_RESOLVE,
    EICEI_LINK_DIAL,
    EICEI_LINK_VIA,   /* a channel of another connection opens */
    EICEI_LINK_PROXY,
    EICEI_LINK_TLS,
    EICEI_LINK_READY,
    EICEI_LINK_TRUST, /* waits for the system's store, then starts again */
    EICEI_LINK_FAILED
} eicei_link_state;

/* What TLS to an API host needs; on the heap while the link lives. */
typedef struct eicei_wire {
    eice_tls tls;
    uint64_t x509[EICE_TLS_X509_BYTES / 8];
    uint8_t in[EICE_TLS_IN];
    uint8_t out[EICE_TLS_OUT];
} eicei_wire;

typedef struct eicei_link {
    eicei_link_state state;
    bool tunnel;
    bool tls;
    bool busy;
    bool used_before;   /* an answer was read on it: kept alive since */
    bool proxied;
    bool proxied_plain; /* no CONNECT: absolute-form requests */
    char host[256];
    uint16_t port;
    char target_host[256]; /* behind --connect-to */
    uint16_t target_port;
    char dial_host[256];   /* the target, or the proxy */
    uint16_t dial_port;
    eice_url proxy;
    eice_addresses addresses;
    size_t next_address;
    unsigned dialing;
    int slot;
    uint64_t began;
    uint64_t deadline;
    uint64_t stagger;
    eicei_wire *wire;
    eice_http http;      /* the answer to CONNECT */
    char line[512];
    eice_blob out;       /* plain bytes to be sent */
    size_t out_at;
    uint8_t plain[2048]; /* plain bytes received */
    size_t plain_len;
    eice_error error;
} eicei_link;

typedef enum eicei_call_state {
    EICEI_CALL_IDLE,
    EICEI_CALL_WAIT, /* for `wake` */
    EICEI_CALL_LINK,
    EICEI_CALL_TALK,
    EICEI_CALL_DONE,
    EICEI_CALL_FAILED
} eicei_call_state;

/* The calls that the plan makes; those of the caller are on the heap. */
enum { EICEI_CALLS = EICE_OP_ASSUME_ROLE + 1 };

#define EICEI_RETRY_QUOTA 500u /* of all calls together, standard mode */
#define EICEI_RETRY_COST 5u
#define EICEI_RETRY_LATE 10u   /* after a time-out */

#define EICEI_CALL_PARAMS 6

typedef struct eicei_call {
    eice_op op;
    eice_call *user;     /* or NULL: of the plan */
    struct eicei_call *next;
    eicei_call_state state;
    int link;
    unsigned tries;
    unsigned paid;       /* for the last retry */
    unsigned pages;
    bool clock_retried;
    eice_pair params[EICEI_CALL_PARAMS];
    size_t param_count;
    char text[2][1024];  /* of the parameters */
    char token[2][1024]; /* of the next page, of the one before */
    uint64_t began;
    uint64_t deadline;
    uint64_t wake;
    eice_blob request;
    size_t sent;
    uint64_t limit;      /* of the caller's, on all of it */
    eice_aws_reply *reply;
    eice_error error;
    eice_error first;    /* of the attempts so far */
} eicei_call;

/* What the credential machine wants from a service of HTTP. */
typedef struct eicei_fetch {
    eicei_call_state state;
    eice_need need;
    int link;
    unsigned tries;
    size_t sent;
    uint64_t began;
    uint64_t deadline; /* or the time to try again */
    eice_aws_reply *reply;
} eicei_fetch;

enum { EICEI_LINKS = 6 };

typedef enum eicei_conn_state {
    EICEI_CONN_RUN,
    EICEI_CONN_CLOSING,
    EICEI_CONN_OVER
} eicei_conn_state;

typedef enum eicei_trust_state {
    EICEI_TRUST_NONE,
    EICEI_TRUST_ASKED,   /* for the bundle */
    EICEI_TRUST_BUILTIN,
    EICEI_TRUST_LOADING, /* the system's store */
    EICEI_TRUST_FULL
} eicei_trust_state;

struct eice_conn {
    eice_conn_opts o;
    eice_alloc alloc;
    eice_now now;
    uint64_t start_ms;
    eicei_conn_state state;
    bool open;
    bool moved;          /* something happened in this turn */
    eice_error error;
    eice_error held;     /* a failed push, while the instance is looked up */

    eicei_ask asks[EICEI_NEEDS];
    uint32_t next_id;
    eicei_slot slots[EICE_CONN_SLOTS];
    eicei_link links[EICEI_LINKS];
    eicei_call calls[EICEI_CALLS];
    eicei_call *asked;        /* by the caller */
    unsigned retry_quota;

    eice_attempt trail[EICE_CONN_TRAIL];
    size_t trail_count;

    eice_cred cred;
    eicei_fetch fetch;
    eice_need sts;       /* of the credential machine; kind NONE: none */
    bool sts_begun;
    bool cred_done;
    eice_drbg random;
    bool random_ready;
    eicei_trust_state trust_state;
    eice_trust trust[2];
    const eice_trust *trust_now;
    size_t store_index;
    int64_t clock_offset;
    bool clock_warned;

    eice_identity identity;
    eice_instance instance;
    unsigned instances;       /* that match and are not terminated */
    unsigned instances_gone;  /* terminated ones */
    char candidates[512];     /* their list, for the message */
    eice_blob endpoints;      /* eice_endpoint after eice_endpoint */
    eice_endpoint endpoint;
    bool chosen;
    char instance_id[40];     /* to push to; "" until it is known */
    char private_ip[256];     /* or the host of ROUTE_SERIAL */
    char tunnel_host[256];
    char host_name[128];
    char serial_user[48];
    bool serial_other;        /* the other name of the host is tried */

    eice_user_key own_key;    /* the ephemeral key */
    uint8_t key_blob[EICE_MAX_KEY_BLOB];
    size_t key_blob_len;
    char key_line[4097];
    char known_line[4097];    /* of a new host key, while it is stored */
    bool key_ready;
    uint64_t pushed_ms;
    bool pushed;

    eice_tunnel *tunnel;
    int tunnel_link;
    int via_channel;          /* of o.via; -1 */
    unsigned tunnel_tries;
    bool tunnel_clock_retried;
    bool tunnel_logged;
    bool heard_logged;
    uint64_t tunnel_wake;
    uint64_t tunnel_began;
    uint64_t close_deadline;

#if EICE_HAS_SSH
    eice_ssh *ssh;
    eice_ssh_phase ssh_phase;
    uint64_t ssh_began;
    bool hostkey_asked;
    eice_call console;        /* of EICE_POLICY_CONSOLE */
    eice_pair console_params[2];
    unsigned console_tries;
    bool console_done;
    eice_console console_says;
    bool auth_running;
    unsigned rejections;
#endif
    eice_blob known;
    bool known_ready;
    char types[256];
};

/* ---- small things ------------------------------------------------------ */

EICEI_PRIVATE uint64_t eicei_min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

EICEI_PRIVATE uint32_t eicei_or32(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

EICEI_PRIVATE bool eicei_set(const char *text)
{
    return text != NULL && text[0] != 0;
}

EICEI_PRIVATE void eicei_copy_c(char *out, size_t cap, const char *text)
{
    eice_copy_text(out, cap, eice_str_c(text));
}

/* Adds to the trail: what was tried, how it ended, how long it took. */
EICEI_PRIVATE eice_attempt *eicei_conn_trail(eice_conn *c, eice_stage stage,
                                             eice_err code, uint64_t began,
                                             const char *request_id)
{
    eice_attempt *a = &c->trail[c->trail_count++ % EICE_CONN_TRAIL];

    memset(a, 0, sizeof *a);
    a->stage = stage;
    a->code = code;
    a->at_ms = (uint32_t)(c->now.ms - c->start_ms);
    a->took_ms = (uint32_t)(c->now.ms - began);
    if (request_id != NULL) {
        eicei_copy_c(a->request_id, sizeof a->request_id, request_id);
    }
    return a;
}

EICEI_PRIVATE void eicei_attempt_says(eice_attempt *a, const char *format, ...)
{
    eice_buf b;
    va_list args;

    eice_buf_init(&b, a->what, sizeof a->what);
    va_start(args, format);
    eice_putv(&b, format, args);
    va_end(args);
    (void)eice_buf_c(&b);
}

EICEI_PRIVATE eice_attempt *eicei_conn_warn(eice_conn *c, eice_stage stage)
{
    eice_attempt *a = eicei_conn_trail(c, stage, EICE_OK, c->now.ms, NULL);

    a->warning = true;
    return a;
}

/* ---- needs ------------------------------------------------------------- */

EICEI_PRIVATE eicei_ask *eicei_ask_new(eice_conn *c, eice_need_kind kind,
                                       eicei_owner owner, int ref)
{
    size_t i;

    for (i = 0; i < EICEI_NEEDS; i++) {
        eicei_ask *a = &c->asks[i];

        if (!a->used) {
            memset(a, 0, sizeof *a);
            a->used = true;
            a->owner = owner;
            a->ref = ref;
            a->need.kind = kind;
            a->need.id = c->next_id++;
            a->need.slot = -1;
            return a;
        }
    }
    return NULL; /* more than the parts can ask for: cannot happen */
}

EICEI_PRIVATE void eicei_ask_file(eice_conn *c, eicei_owner owner,
                                  const char *path, size_t max)
{
    eicei_ask *a = eicei_ask_new(c, EICE_NEED_FILE, owner, 0);

    if (a != NULL) {
        a->need.name = eice_str_c(path);
        a->need.max = max;
    }
}

EICEI_PRIVATE void eicei_ask_drop(eice_conn *c, uint32_t id)
{
    size_t i;

    for (i = 0; i < EICEI_NEEDS; i++) {
        if (c->asks[i].used && c->asks[i].need.id == id) {
            c->asks[i].used = false;
        }
    }
}

/* ---- ends -------------------------------------------------------------- */

EICEI_PRIVATE void eicei_slot_close(eice_conn *c, int slot)
{
    eicei_slot *s;
    size_t i;

    if (slot < 0) {
        return;
    }
    s = &c->slots[slot];
    if (s->state != EICEI_SLOT_DIALING && s->state != EICEI_SLOT_UP) {
        return;
    }
    for (i = 0; i < EICEI_NEEDS; i++) {
        eicei_ask *a = &c->asks[i];

        /* a dial nobody has heard of yet is simply taken back */
        if (a->used && a->need.kind == EICE_NEED_DIAL && a->need.slot == slot) {
            a->used = false;
            if (!a->asked) {
                s->state = EICEI_SLOT_FREE;
                return;
            }
        }
    }
    s->state = EICEI_SLOT_CLOSE;
}

EICEI_PRIVATE void eicei_via_close(eice_conn *c)
{
#if EICE_HAS_SSH
    if (c->via_channel >= 0) {
        eice_channel_close(c->o.via->ssh, c->via_channel);
        c->o.via->moved = true;
    }
#endif
    c->via_channel = -1;
}

EICEI_PRIVATE void eicei_link_close(eice_conn *c, eicei_link *l)
{
    const int index = (int)(l - c->links);
    size_t i;

    if (l->tunnel) {
        eicei_via_close(c);
    }
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        if (c->slots[i].link == index) {
            eicei_slot_close(c, (int)i);
        }
    }
    for (i = 0; i < EICEI_NEEDS; i++) {
        if (c->asks[i].used && c->asks[i].owner == EICEI_OWN_LINK
            && c->asks[i].ref == index) {
            c->asks[i].used = false;
        }
    }
    if (l->wire != NULL) {
        eice_wipe(l->wire, sizeof *l->wire);
        (void)eice_resize(&c->alloc, l->wire, 0);
    }
    eice_blob_free(&l->out);
    memset(l, 0, sizeof *l);
    l->slot = -1;
}

EICEI_PRIVATE void eicei_call_free(eice_conn *c, eicei_call *k)
{
    eice_blob_free(&k->request);
    if (k->reply != NULL) {
        eice_aws_reply_free(k->reply);
        (void)eice_resize(&c->alloc, k->reply, 0);
        k->reply = NULL;
    }
}

/* Tells the caller that it is over, and forgets it. */
EICEI_PRIVATE void eicei_call_tell(eice_conn *c, eicei_call **at)
{
    eicei_call *const k = *at;

    k->user->error = k->error;
    k->user->priv = NULL;
    k->user->done = true;
    *at = k->next;
    eicei_call_free(c, k);
    eice_wipe(k, sizeof *k);
    (void)eice_resize(&c->alloc, k, 0);
}

/* The calls of the caller end with the connection. */
EICEI_PRIVATE void eicei_calls_over(eice_conn *c)
{
    while (c->asked != NULL) {
        if (c->error.code != EICE_OK) {
            c->asked->error = c->error;
        } else {
            eice_fail(&c->asked->error, EICE_E_CANCELLED, EICE_STAGE_NONE,
                      "cancelled");
        }
        eicei_call_tell(c, &c->asked);
    }
}

EICEI_PRIVATE void eicei_fetch_free(eice_conn *c)
{
    if (c->fetch.reply != NULL) {
        eice_aws_reply_free(c->fetch.reply);
        (void)eice_resize(&c->alloc, c->fetch.reply, 0);
    }
    memset(&c->fetch, 0, sizeof c->fetch);
    c->fetch.link = -1;
}

EICEI_PRIVATE void eicei_tunnel_drop(eice_conn *c)
{
    if (c->tunnel != NULL) {
        eice_tunnel_wipe(c->tunnel);
        (void)eice_resize(&c->alloc, c->tunnel, 0);
        c->tunnel = NULL;
    }
}

/* Everything is let go but what the caller may still read. */
EICEI_PRIVATE void eicei_conn_over(eice_conn *c)
{
    size_t i;

    for (i = 0; i < EICEI_LINKS; i++) {
        eicei_link_close(c, &c->links[i]);
    }
    for (i = 0; i < EICEI_CALLS; i++) {
        eicei_call_free(c, &c->calls[i]);
        c->calls[i].state = EICEI_CALL_IDLE;
    }
    eicei_calls_over(c);
    eicei_fetch_free(c);
    for (i = 0; i < EICEI_NEEDS; i++) {
        c->asks[i].used = false;
    }
    eice_wipe(&c->own_key, sizeof c->own_key);
    c->state = EICEI_CONN_OVER;
    c->moved = true;
}

EICEI_PRIVATE void eicei_conn_fail(eice_conn *c, const eice_error *e)
{
    if (c->state == EICEI_CONN_OVER) {
        return;
    }
    if (c->error.code == EICE_OK) {
        c->error = *e;
    }
    eicei_conn_over(c);
}

EICEI_PRIVATE void eicei_conn_starved(eice_conn *c, eice_stage stage,
                                      const char *what)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_MEMORY, stage, "no memory for %s", what);
    eicei_conn_fail(c, &e);
}

/* ---- links ------------------------------------------------------------- */

EICEI_PRIVATE void eicei_link_fail(eice_conn *c, eicei_link *l)
{
    const bool again = l->error.code == EICE_E_TLS_UNTRUSTED
                       && (c->trust_state == EICEI_TRUST_BUILTIN
                           || c->trust_state == EICEI_TRUST_LOADING);
    size_t i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        if (c->slots[i].link == (int)(l - c->links)) {
            eicei_slot_close(c, (int)i);
        }
    }
    l->slot = -1;
    l->dialing = 0;
    l->deadline = UINT64_MAX;
    l->stagger = UINT64_MAX;
    l->state = again ? EICEI_LINK_TRUST : EICEI_LINK_FAILED;
    c->moved = true;
}

EICEI_PRIVATE void eicei_link_stage(eice_conn *c, eicei_link *l,
                                    eicei_link_state state)
{
    l->state = state;
    l->began = c->now.ms;
    l->deadline = c->now.ms + eicei_or32(c->o.connect_timeout_ms, 15000);
    c->moved = true;
}

/* One rule HOST:PORT:ADDRESS:PORT of --connect-to (curl): empty fields match
 * or change nothing; an address in brackets may hold colons. */
EICEI_PRIVATE eice_str eicei_rule_field(eice_str *rest)
{
    eice_str field;

    if (rest->len > 0 && rest->ptr[0] == '[') {
        rest->ptr++;
        rest->len--;
        field = eice_str_cut(rest, ']');
        (void)eice_str_cut(rest, ':');
        return field;
    }
    return eice_str_cut(rest, ':');
}

EICEI_PRIVATE bool eicei_rule_apply(const char *rule, eicei_link *l)
{
    eice_str rest = eice_str_c(rule);
    const eice_str host = eicei_rule_field(&rest);
    const eice_str port = eicei_rule_field(&rest);
    const eice_str to_host = eicei_rule_field(&rest);
    const eice_str to_port = rest;
    uint64_t n = l->port;

    if (host.len > 0 && !eice_str_is_nocase(host, l->host)) {
        return false;
    }
    if (port.len > 0 && (!eice_str_u64(port, 65535, &n) || n != l->port)) {
        return false;
    }
    if (to_host.len > 0) {
        eice_copy_text(l->target_host, sizeof l->target_host, to_host);
    }
    if (to_port.len > 0 && eice_str_u64(to_port, 65535, &n)) {
        l->target_port = (uint16_t)n;
    }
    return true;
}

/* With `direct` what is configured for AWS does not apply: neither a proxy
 * nor a rule. */
EICEI_PRIVATE void eicei_link_route(eice_conn *c, eicei_link *l, bool direct)
{
    /* the instance itself is no business of an HTTP proxy either */
    const bool target = c->chosen && !l->tls
                        && strcmp(l->host, c->tunnel_host) == 0;
    size_t i;

    eicei_copy_c(l->target_host, sizeof l->target_host, l->host);
    l->target_port = l->port;
    for (i = 0; i < c->o.connect_to_count && !direct; i++) {
        if (eicei_rule_apply(c->o.connect_to[i], l)) {
            break;
        }
    }
    l->proxied = !direct && !target
                 && eice_proxy_for(&c->cred.settings, l->tls,
                                   eice_str_c(l->host), l->port, &l->proxy,
                                   &l->error);
    l->proxied_plain = l->proxied && !l->tls;
    if (l->proxied && l->proxy.tls) {
        eice_fail(&l->error, EICE_E_PROXY, EICE_STAGE_PROXY,
                  "proxy %S: TLS to a proxy is not supported",
                  &l->proxy.host);
        eicei_copy_c(l->error.remedy, sizeof l->error.remedy,
                     "name the proxy with http://");
    }
    if (l->proxied) {
        eice_copy_text(l->dial_host, sizeof l->dial_host, l->proxy.host);
        l->dial_port = l->proxy.port;
    } else {
        eicei_copy_c(l->dial_host, sizeof l->dial_host, l->target_host);
        l->dial_port = l->target_port;
    }
}

EICEI_PRIVATE void eicei_link_resolve(eice_conn *c, eicei_link *l)
{
    eicei_ask *a;

    l->next_address = 0;
    l->addresses.count = 0;
    eicei_link_stage(c, l, EICEI_LINK_RESOLVE);
    a = eicei_ask_new(c, EICE_NEED_RESOLVE, EICEI_OWN_LINK,
                      (int)(l - c->links));
    if (a != NULL) {
        a->need.name = eice_str_c(l->dial_host);
        a->need.port = l->dial_port;
    }
}

/* A new link; NULL when all are in use. */
EICEI_PRIVATE eicei_link *eicei_link_new(eice_conn *c, bool tls, eice_str host,
                                         uint16_t port)
{
    size_t i;

    for (i = 0; i < EICEI_LINKS; i++) {
        eicei_link *l = &c->links[i];

        if (l->state != EICEI_LINK_FREE) {
            continue;
        }
        memset(l, 0, sizeof *l);
        l->slot = -1;
        l->stagger = UINT64_MAX;
        l->tls = tls;
        l->busy = true;
        l->port = port;
        l->out.alloc = &c->alloc;
        eice_copy_text(l->host, sizeof l->host, host);
        return l;
    }
    return NULL;
}

/* A new link on its way; NULL when all are in use. */
EICEI_PRIVATE eicei_link *eicei_link_open(eice_conn *c, bool tls,
                                          eice_str host, uint16_t port,
                                          bool direct)
{
    eicei_link *l = eicei_link_new(c, tls, host, port);

    if (l == NULL) {
        return NULL;
    }
    eicei_link_route(c, l, direct);
    if (l->error.code != EICE_OK) {
        eicei_link_fail(c, l);
    } else {
        eicei_link_resolve(c, l);
    }
    return l;
}

/* The next address is tried; false when there is none, or no slot. */
EICEI_PRIVATE bool eicei_link_dial(eice_conn *c, eicei_link *l)
{
    size_t i;

    if (l->next_address >= l->addresses.count || l->dialing >= EICEI_DIALS) {
        l->stagger = UINT64_MAX;
        return false;
    }
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        eicei_slot *s = &c->slots[i];
        eicei_ask *a;

        if (s->state != EICEI_SLOT_FREE) {
            continue;
        }
        a = eicei_ask_new(c, EICE_NEED_DIAL, EICEI_OWN_DIAL, (int)i);
        if (a == NULL) {
            break;
        }
        s->state = EICEI_SLOT_DIALING;
        s->link = (int)(l - c->links);
        s->need = a->need.id;
        s->began = c->now.ms;
        s->ip = l->addresses.ip[l->next_address++];
        a->need.ip = s->ip;
        a->need.port = l->dial_port;
        a->need.slot = (int)i;
        a->need.name = eice_str_c(l->dial_host);
        l->dialing++;
        l->stagger = c->now.ms + EICEI_STAGGER_MS;
        c->moved = true;
        return true;
    }
    l->stagger = c->now.ms + EICEI_STAGGER_MS; /* all slots are in use */
    return false;
}

/* For messages: whom it is for, and whom it dials where that is another. */
EICEI_PRIVATE void eicei_link_name(const eicei_link *l, char *out, size_t cap)
{
    eice_buf b;

    eice_buf_init(&b, out, cap);
    if (l->proxied) {
        eice_putf(&b, "proxy %s", l->dial_host);
    } else if (strcmp(l->host, l->dial_host) != 0) {
        eice_putf(&b, "%s at %s", l->host, l->dial_host);
    } else {
        eice_put_c(&b, l->host);
    }
    (void)eice_buf_c(&b);
}

EICEI_PRIVATE void eicei_link_resolved(eice_conn *c, eicei_link *l,
                                       const eice_answer *a)
{
    char name[sizeof l->error.text];
    eice_attempt *t;

    if (a->code != EICE_OK || a->addresses == NULL
        || a->addresses->count == 0) {
        const eice_err code = a->code != EICE_OK ? a->code
                                                 : EICE_E_NAME_NOT_FOUND;

        t = eicei_conn_trail(c, EICE_STAGE_RESOLVE, code, l->began, NULL);
        eicei_attempt_says(t, "%s", l->dial_host);
        eicei_link_name(l, name, sizeof name);
        eice_fail(&l->error, code, EICE_STAGE_RESOLVE, "%s: %s", name,
                  eice_err_text(code));
        eicei_link_fail(c, l);
        return;
    }
    l->addresses = *a->addresses;
    t = eicei_conn_trail(c, EICE_STAGE_RESOLVE, EICE_OK, l->began, NULL);
    eicei_attempt_says(t, "%s", l->dial_host);
    eicei_link_stage(c, l, EICEI_LINK_DIAL);
    (void)eicei_link_dial(c, l);
}

EICEI_PRIVATE void eicei_link_proxy(eice_conn *c, eicei_link *l)
{
    char head[1024];
    eice_buf b;

    eice_buf_init(&b, head, sizeof head);
    eice_put_connect(&b, eice_str_c(l->target_host), l->target_port,
                     l->proxy.user);
    l->out_at = 0;
    l->out.len = 0;
    if (b.overflow || !eice_blob_add(&l->out, b.ptr, b.len, sizeof head)) {
        eice_fail(&l->error, EICE_E_PROXY, EICE_STAGE_PROXY,
                  "proxy %s: the request does not fit", l->dial_host);
        eicei_link_fail(c, l);
    }
    eice_wipe(head, sizeof head);
    eice_http_init(&l->http, l->line, sizeof l->line);
    l->http.connect = true;
    eicei_link_stage(c, l, EICEI_LINK_PROXY);
}

EICEI_PRIVATE void eicei_tunnel_begin(eice_conn *c, eicei_link *l);

EICEI_PRIVATE void eicei_link_tls(eice_conn *c, eicei_link *l)
{
    eice_tls_opts o;

    if (l->tunnel) {
        eicei_tunnel_begin(c, l);
        return;
    }
    if (!l->tls) {
        eicei_link_stage(c, l, EICEI_LINK_READY);
        l->deadline = UINT64_MAX;
        return;
    }
    if (l->wire == NULL) {
        l->wire = (eicei_wire *)eice_resize(&c->alloc, NULL, sizeof *l->wire);
    }
    if (l->wire == NULL) {
        eice_fail(&l->error, EICE_E_MEMORY, EICE_STAGE_TLS,
                  "no memory for TLS with %s", l->host);
        eicei_link_fail(c, l);
        return;
    }
    memset(&o, 0, sizeof o);
    o.host = eice_str_c(l->host);
    o.trust = c->trust_now;
    o.random = &c->random;
    o.unix_s = c->now.unix_s + c->clock_offset;
    o.in = l->wire->in;
    o.out = l->wire->out;
    o.out_len = sizeof l->wire->out;
    o.x509 = l->wire->x509;
    eicei_link_stage(c, l, EICEI_LINK_TLS);
    if (eice_tls_init(&l->wire->tls, &o) != EICE_OK) {
        l->error = l->wire->tls.error;
        eicei_link_fail(c, l);
    }
}

/* A dial came to its end. The first that is connected wins; the others are
 * taken back (RFC 8305 5). */
EICEI_PRIVATE void eicei_link_dialed(eice_conn *c, int slot,
                                     const eice_answer *a)
{
    eicei_slot *s = &c->slots[slot];
    eicei_link *l = &c->links[s->link];
    char name[sizeof l->error.text];
    char ip[EICE_IP_TEXT];
    eice_attempt *t;
    size_t i;

    t = eicei_conn_trail(c, EICE_STAGE_CONNECT, a->code, s->began, NULL);
    (void)eice_ip_format(&s->ip, ip);
    eicei_attempt_says(t, "%s (%s port %d)", l->dial_host, ip,
                       (int)l->dial_port);
    l->dialing--;
    c->moved = true;
    if (a->code == EICE_OK) {
        s->state = EICEI_SLOT_UP;
        for (i = 0; i < EICE_CONN_SLOTS; i++) {
            if (c->slots[i].link == s->link && (int)i != slot
                && c->slots[i].state == EICEI_SLOT_DIALING) {
                eicei_slot_close(c, (int)i);
            }
        }
        l->dialing = 0;
        l->slot = slot;
        l->stagger = UINT64_MAX;
        if (l->proxied && !l->proxied_plain) {
            eicei_link_proxy(c, l);
        } else {
            eicei_link_tls(c, l);
        }
        return;
    }
    s->state = EICEI_SLOT_CLOSE;
    s->link = -1;
    if (!eicei_link_dial(c, l) && l->dialing == 0) {
        l->error.detail_kind = EICE_DETAIL_ERRNO;
        l->error.detail = a->sys_errno;
        eicei_link_name(l, name, sizeof name);
        eice_fail(&l->error, a->code, EICE_STAGE_CONNECT,
                  "%s (%s port %d): %s", name, ip, (int)l->dial_port,
                  eice_err_text(a->code));
        eicei_link_fail(c, l);
    }
}

/* What a deadline means in each state. */
EICEI_PRIVATE void eicei_link_late(eice_conn *c, eicei_link *l)
{
    static const struct {
        eicei_link_state state;
        eice_err code;
        eice_stage stage;
    } table[] = {
        {EICEI_LINK_RESOLVE, EICE_E_DNS_TIMEOUT, EICE_STAGE_RESOLVE},
        {EICEI_LINK_DIAL, EICE_E_CONNECT_TIMEOUT, EICE_STAGE_CONNECT},
        {EICEI_LINK_PROXY, EICE_E_PROXY, EICE_STAGE_PROXY},
        {EICEI_LINK_TLS, EICE_E_TLS_TIMEOUT, EICE_STAGE_TLS},
    };
    char name[sizeof l->error.text];
    size_t i;

    eicei_link_name(l, name, sizeof name);
    for (i = 0; i < EICEI_LEN(table); i++) {
        if (table[i].state == l->state) {
            eice_attempt *t = eicei_conn_trail(c, table[i].stage,
                                               table[i].code, l->began, NULL);

            eicei_attempt_says(t, "%s port %d", l->dial_host,
                               (int)l->dial_port);
            eice_fail(&l->error, table[i].code, table[i].stage,
                      "%s port %d: no answer in %u s", name,
                      (int)l->dial_port,
                      (unsigned)((c->now.ms - l->began) / 1000));
        }
    }
    eicei_link_fail(c, l);
}

EICEI_PRIVATE void eicei_link_proxy_answer(eice_conn *c, eicei_link *l)
{
    eice_str in = eice_str_make(l->plain, l->plain_len);
    eice_str text;
    eice_http_event event;
    eice_attempt *t;
    char phrase[64] = "";

    do {
        event = eice_http_next(&l->http, &in, &text);
        if (event == EICE_HTTP_STATUS) {
            eice_copy_text(phrase, sizeof phrase, text);
        }
    } while (event == EICE_HTTP_STATUS || event == EICE_HTTP_HEADER);
    memmove(l->plain, in.ptr, in.len);
    l->plain_len = in.len;
    if (event == EICE_HTTP_MORE) {
        return;
    }
    t = eicei_conn_trail(c, EICE_STAGE_PROXY, EICE_OK, l->began, NULL);
    eicei_attempt_says(t, "%s port %d", l->dial_host, (int)l->dial_port);
    if (event == EICE_HTTP_ERROR || l->http.status / 100 != 2) {
        t->code = EICE_E_PROXY;
        l->error.http_status = (int)l->http.status;
        eice_fail(&l->error, EICE_E_PROXY, EICE_STAGE_PROXY,
                  "proxy %s answered %u %s to CONNECT %s", l->dial_host,
                  l->http.status, phrase, l->target_host);
        if (l->http.status == 407) {
            eicei_copy_c(l->error.remedy, sizeof l->error.remedy,
                         "put the proxy's user and password into "
                         "HTTPS_PROXY: http://user:password@host:port");
        }
        eicei_link_fail(c, l);
        return;
    }
    eicei_link_tls(c, l);
}

EICEI_PRIVATE void eicei_link_tls_step(eice_conn *c, eicei_link *l)
{
    const unsigned state = eice_tls_state(&l->wire->tls);
    eice_attempt *t;

    if ((state & (EICE_OPEN | EICE_DONE)) == 0) {
        return;
    }
    t = eicei_conn_trail(c, EICE_STAGE_TLS, l->wire->tls.error.code,
                         l->began, NULL);
    eicei_attempt_says(t, "%s", l->host);
    if ((state & EICE_DONE) != 0) {
        l->error = l->wire->tls.error;
        eice_fail(&l->error, EICE_E_NET_RESET, EICE_STAGE_TLS,
                  "%s closed the connection in the TLS handshake", l->host);
        t->code = l->error.code;
        eicei_link_fail(c, l);
        return;
    }
    eicei_link_stage(c, l, EICEI_LINK_READY);
    l->deadline = UINT64_MAX;
}

EICEI_PRIVATE void eicei_link_step(eice_conn *c, eicei_link *l)
{
    if (l->state == EICEI_LINK_FREE || l->state == EICEI_LINK_FAILED) {
        return;
    }
    if (l->state == EICEI_LINK_TRUST) {
        if (c->trust_state == EICEI_TRUST_BUILTIN) {
            c->trust_state = EICEI_TRUST_LOADING;
            c->store_index = 0;
            c->moved = true;
        } else if (c->trust_state == EICEI_TRUST_FULL) {
            memset(&l->error, 0, sizeof l->error);
            l->plain_len = 0;
            eicei_link_resolve(c, l);
        }
        return;
    }
    if (l->state == EICEI_LINK_PROXY && l->plain_len > 0) {
        eicei_link_proxy_answer(c, l);
    }
    if (l->state == EICEI_LINK_TLS && !l->tunnel) {
        eicei_link_tls_step(c, l);
    }
    if (l->state == EICEI_LINK_DIAL && c->now.ms >= l->stagger) {
        (void)eicei_link_dial(c, l);
    }
    if (c->now.ms >= l->deadline) {
        eicei_link_late(c, l);
    }
}

/* ---- bytes of a link --------------------------------------------------- */

/* What a call reads from its link. */
EICEI_PRIVATE size_t eicei_link_read(eicei_link *l, uint8_t **p)
{
    if (l->wire != NULL) {
        return eice_tls_app_out(&l->wire->tls, p);
    }
    *p = l->plain;
    return l->plain_len;
}

EICEI_PRIVATE void eicei_link_read_ack(eicei_link *l, size_t n)
{
    if (l->wire != NULL) {
        eice_tls_app_out_ack(&l->wire->tls, n);
        return;
    }
    memmove(l->plain, l->plain + n, l->plain_len - n);
    l->plain_len -= n;
}

/* Takes what fits of a call's bytes. */
EICEI_PRIVATE size_t eicei_link_write(eicei_link *l, eice_str data)
{
    uint8_t *p;
    size_t n;

    if (l->wire == NULL) {
        return eice_blob_add(&l->out, data.ptr, data.len, EICE_MAX_BODY)
                   ? data.len
                   : 0;
    }
    n = eice_tls_app_in(&l->wire->tls, &p);
    if (n > data.len) {
        n = data.len;
    }
    if (n > 0) {
        memcpy(p, data.ptr, n);
        eice_tls_app_in_ack(&l->wire->tls, n);
        eice_tls_flush(&l->wire->tls);
    }
    return n;
}

/* No byte will come any more. */
EICEI_PRIVATE bool eicei_link_ended(eicei_link *l)
{
    if (l->state != EICEI_LINK_READY) {
        return true;
    }
    if (l->wire != NULL
        && (eice_tls_state(&l->wire->tls) & EICE_DONE) != 0) {
        return true;
    }
    return l->slot < 0;
}

/* ---- trust ------------------------------------------------------------- */

EICEI_PRIVATE bool eicei_trust_make(eice_conn *c, eice_trust *t, size_t pem)
{
    const size_t size = EICE_TRUST_BYTES(pem);
    void *memory = eice_resize(&c->alloc, NULL, size);

    if (memory == NULL) {
        eicei_conn_starved(c, EICE_STAGE_TLS, "trust anchors");
        return false;
    }
    eice_trust_init(t, memory, size);
    return true;
}

/* An explicit bundle replaces everything else. */
EICEI_PRIVATE void eicei_trust_bundle(eice_conn *c, const eice_answer *a)
{
    const char *path = c->cred.settings.ca_bundle;
    eice_error e;

    memset(&e, 0, sizeof e);
    if (a->code == EICE_E_MEMORY) {
        eicei_conn_starved(c, EICE_STAGE_TLS, path);
        return;
    }
    if (a->code != EICE_OK || a->absent) {
        eice_fail(&e, EICE_E_CONFIG, EICE_STAGE_TLS,
                  "CA bundle %s: %s", path,
                  a->absent ? "no such file" : eice_err_text(a->code));
    } else if (eicei_trust_make(c, &c->trust[1], a->data.len)
               && eice_trust_add_pem(&c->trust[1], a->data.ptr, a->data.len)
                      != EICE_OK) {
        eice_fail(&e, EICE_E_CONFIG, EICE_STAGE_TLS,
                  "CA bundle %s holds no usable certificate", path);
    }
    if (e.code != EICE_OK) {
        eicei_copy_c(e.remedy, sizeof e.remedy,
                     "point --ca-bundle or AWS_CA_BUNDLE at a PEM file");
        eicei_conn_fail(c, &e);
        return;
    }
    c->trust_now = &c->trust[1];
    c->trust_state = EICEI_TRUST_FULL;
}

/* Where systems keep their roots; the first that exists is taken. */
static const char *const eicei_stores[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

EICEI_PRIVATE void eicei_trust_store(eice_conn *c, const eice_answer *a)
{
    const bool usable = a->code == EICE_OK && !a->absent;

    if (a->code == EICE_E_MEMORY) {
        eicei_conn_starved(c, EICE_STAGE_TLS, "the system's certificates");
        return;
    }
    if (!usable && ++c->store_index < EICEI_LEN(eicei_stores)) {
        c->trust_state = EICEI_TRUST_LOADING;
        return; /* the plan asks for the next one */
    }
    if (usable && eicei_trust_make(c, &c->trust[1], a->data.len)
        && eice_trust_add_builtin(&c->trust[1]) == EICE_OK
        && eice_trust_add_pem(&c->trust[1], a->data.ptr, a->data.len)
               == EICE_OK) {
        c->trust_now = &c->trust[1];
    }
    c->trust_state = EICEI_TRUST_FULL;
}

/* Built-in roots serve AWS; the system's store is read only when a peer is
 * not trusted by them (a company's TLS proxy), since decoding it costs more
 * than a handshake. */
EICEI_PRIVATE void eicei_trust_step(eice_conn *c)
{
    const bool early = c->sts.kind != EICE_NEED_NONE
                       || (c->fetch.state != EICEI_CALL_IDLE
                           && c->fetch.need.tls);
    size_t i;

    if (c->trust_state == EICEI_TRUST_NONE && (c->cred_done || early)) {
        c->moved = true;
        if (eicei_set(c->cred.settings.ca_bundle)) {
            c->trust_state = EICEI_TRUST_ASKED;
            eicei_ask_file(c, EICEI_OWN_BUNDLE, c->cred.settings.ca_bundle,
                           EICEI_SYSTEM_STORE);
        } else if (eicei_trust_make(c, &c->trust[0], 0)) {
            (void)eice_trust_add_builtin(&c->trust[0]);
            c->trust_now = &c->trust[0];
            c->trust_state = EICEI_TRUST_BUILTIN;
        }
    }
    if (c->trust_state != EICEI_TRUST_LOADING) {
        return;
    }
    for (i = 0; i < EICEI_NEEDS; i++) {
        if (c->asks[i].used && c->asks[i].owner == EICEI_OWN_STORE) {
            return;
        }
    }
    eicei_ask_file(c, EICEI_OWN_STORE, eicei_stores[c->store_index],
                   EICEI_SYSTEM_STORE);
}

/* ---- clock ------------------------------------------------------------- */

/* Every dated answer teaches the offset; small ones matter to the tunnel's
 * URL, which lives for 60 s. Only a large one is worth a word. */
EICEI_PRIVATE void eicei_clock_learn(eice_conn *c, int64_t server_unix_s)
{
    const int64_t skew = server_unix_s - c->now.unix_s;
    const int64_t size = skew < 0 ? -skew : skew;
    eice_attempt *a;

    if (server_unix_s == 0) {
        return;
    }
    c->clock_offset = size > 10 ? skew : 0;
    if (size > 300 && !c->clock_warned) {
        c->clock_warned = true;
        a = eicei_conn_warn(c, EICE_STAGE_API);
        eicei_attempt_says(a,
                           "the clock of this machine is %l s %s AWS; using "
                           "the time of AWS (set the clock)",
                           (uint64_t)size, skew > 0 ? "behind" : "ahead of");
    }
}

/* ---- calls ------------------------------------------------------------- */

EICEI_PRIVATE eice_stage eicei_call_stage(eice_op op)
{
    return eice_op_service(op) == EICE_SERVICE_EIC ? EICE_STAGE_PUSH
                                                   : EICE_STAGE_API;
}

/* A line of the trail: "ec2 DescribeInstances: Throttling". */
EICEI_PRIVATE void eicei_call_trail(eice_conn *c, const eicei_call *k,
                                    eice_err code, const char *request_id)
{
    eice_attempt *a = eicei_conn_trail(c, eicei_call_stage(k->op), code,
                                       k->began, request_id);

    eicei_attempt_says(a, "%s %s%s%s",
                       eice_service_name(eice_op_service(k->op)),
                       eice_op_name(k->op),
                       k->error.aws_code[0] != 0 ? ": " : "",
                       k->error.aws_code);
}

EICEI_PRIVATE void eicei_call_param(eicei_call *k, const char *name,
                                    eice_str value)
{
    k->params[k->param_count].name = eice_str_c(name);
    k->params[k->param_count].value = value;
    k->param_count++;
}

EICEI_PRIVATE void eicei_call_begin(eice_conn *c, eicei_call *k, eice_op op)
{
    eicei_call_free(c, k);
    k->op = op;
    k->tries = 0;
    k->paid = 0;
    k->pages = 0;
    k->clock_retried = false;
    memset(&k->error, 0, sizeof k->error);
    k->token[0][0] = 0;
    k->token[1][0] = 0;
    k->link = -1;
    k->request.alloc = &c->alloc;
    k->began = c->now.ms;
    k->deadline = UINT64_MAX;
    k->limit = UINT64_MAX;
    k->state = EICEI_CALL_LINK;
    c->moved = true;
}

/* Is it one that the credentials come from? */
EICEI_PRIVATE bool eicei_call_is_sts(eice_op op)
{
    return op == EICE_OP_ASSUME_WEB_IDENTITY || op == EICE_OP_ASSUME_ROLE;
}

/* Tells the credential machine how its call ended. */
EICEI_PRIVATE void eicei_sts_answer(eice_conn *c, const eicei_call *k)
{
    eice_answer a;

    memset(&a, 0, sizeof a);
    a.code = k->error.code;
    a.error = &k->error;
    if (a.code == EICE_OK) {
        a.data = eice_str_make(k->reply->body.ptr, k->reply->body.len);
    }
    c->sts.kind = EICE_NEED_NONE;
    eice_cred_answer(&c->cred, c->sts.id, &a);
}

EICEI_PRIVATE void eicei_call_start(eice_conn *c, eice_op op)
{
    eicei_call_begin(c, &c->calls[op], op);
}

EICEI_PRIVATE void eicei_call_fail(eice_conn *c, eicei_call *k)
{
    const eicei_call_state lookup
        = c->calls[EICE_OP_DESCRIBE_INSTANCES].state;

    k->state = EICEI_CALL_FAILED;
    k->error.stage = k->error.stage == EICE_STAGE_API
                         ? eicei_call_stage(k->op) : k->error.stage;
    c->moved = true;
    if (k->user == NULL && eicei_call_is_sts(k->op)) {
        eicei_sts_answer(c, k);
    }
    if (k->user != NULL || eicei_call_is_sts(k->op)) {
        return; /* an error of this call only */
    }
    /* "no such instance" or "stopped" is a better first cause than what a
     * push to that instance says, so it may speak first */
    if (k == &c->calls[EICE_OP_SEND_SSH_PUBLIC_KEY] && lookup != EICEI_CALL_IDLE
        && lookup != EICEI_CALL_DONE) {
        c->held = k->error;
        return;
    }
    eicei_conn_fail(c, &k->error);
}

/* Gives the link back: for the next call, or closes it. */
EICEI_PRIVATE void eicei_link_release(eice_conn *c, int *link, bool keep)
{
    eicei_link *l;

    if (*link < 0) {
        return;
    }
    l = &c->links[*link];
    *link = -1;
    if (keep && l->state == EICEI_LINK_READY && !eicei_link_ended(l)) {
        l->busy = false;
        l->used_before = true;
    } else {
        eicei_link_close(c, l);
    }
}

/* Standard retry mode: random(0,1) * min(2^(n-1), 20) s before retry n. */
EICEI_PRIVATE uint64_t eicei_backoff(eice_conn *c, unsigned n)
{
    const uint64_t most = n < 6 ? (uint64_t)1000 << (n - 1) : 20000;
    uint32_t r;

    eice_drbg_generate(&c->random, &r, sizeof r);
    return (most * r) >> 32;
}

/* How long to wait before the next attempt: what the service asks for, but
 * at most five seconds more than what we would wait anyway. */
EICEI_PRIVATE uint64_t eicei_call_pause(eice_conn *c, const eicei_call *k)
{
    const uint64_t ours = eicei_backoff(c, k->tries);
    const uint64_t theirs = k->reply != NULL ? k->reply->retry_after_ms : 0;

    return theirs < ours ? ours : eicei_min64(theirs, ours + 5000);
}

/* Again after a while, unless there were attempts enough, of this call or of
 * all of them: then with the first error. */
EICEI_PRIVATE void eicei_call_retry(eice_conn *c, eicei_call *k)
{
    const unsigned cost = k->error.code == EICE_E_HTTP_TIMEOUT
                              ? EICEI_RETRY_LATE : EICEI_RETRY_COST;

    eicei_link_release(c, &k->link, false);
    if (k->tries == 0) {
        k->first = k->error;
    }
    if (++k->tries >= c->cred.settings.max_attempts
        || c->retry_quota < cost) {
        k->error = k->first;
        eicei_call_fail(c, k);
        return;
    }
    c->retry_quota -= cost;
    k->paid = cost;
    k->wake = c->now.ms + eicei_call_pause(c, k);
    memset(&k->error, 0, sizeof k->error);
    k->deadline = UINT64_MAX;
    k->state = EICEI_CALL_WAIT;
    c->moved = true;
}

EICEI_PRIVATE void eicei_call_again(eice_conn *c, eicei_call *k)
{
    memset(&k->error, 0, sizeof k->error);
    k->state = EICEI_CALL_LINK;
    k->deadline = UINT64_MAX;
    c->moved = true;
}

/* When all links are in use, one that is idle makes room. */
EICEI_PRIVATE void eicei_links_trim(eice_conn *c)
{
    eicei_link *idle = NULL;
    size_t i;

    for (i = 0; i < EICEI_LINKS; i++) {
        if (c->links[i].state == EICEI_LINK_FREE) {
            return;
        }
        if (!c->links[i].busy && !c->links[i].tunnel) {
            idle = &c->links[i];
        }
    }
    if (idle != NULL) {
        eicei_link_close(c, idle);
    }
}

/* An idle link to a place, or a new one; -1 when all are in use. */
EICEI_PRIVATE int eicei_link_get(eice_conn *c, bool tls, eice_str host,
                                 uint16_t port, bool direct)
{
    eicei_link *l;
    size_t i;

    for (i = 0; i < EICEI_LINKS; i++) {
        l = &c->links[i];
        if (l->state == EICEI_LINK_READY && !l->busy && !l->tunnel
            && l->tls == tls && l->port == port
            && eice_str_is_nocase(host, l->host) && !eicei_link_ended(l)) {
            l->busy = true;
            return (int)i;
        }
    }
    eicei_links_trim(c);
    l = eicei_link_open(c, tls, host, port, direct);
    return l != NULL ? (int)(l - c->links) : -1;
}

EICEI_PRIVATE const char *eicei_call_region(const eice_conn *c,
                                            const eicei_call *k)
{
    return k->user != NULL && eicei_set(k->user->region)
               ? k->user->region : c->cred.settings.region;
}

/* A link to the call's service. */
EICEI_PRIVATE bool eicei_call_link(eice_conn *c, eicei_call *k,
                                   eice_place *place, eice_buf *text)
{
    eice_settings s = c->cred.settings;

    s.region = eicei_call_region(c, k);
    if (eice_aws_place(&s, eice_op_service(k->op), text, place, &k->error)
        != EICE_OK) {
        eicei_call_fail(c, k);
        return false;
    }
    if (k->link < 0) {
        k->link = eicei_link_get(c, place->tls, place->host, place->port,
                                 false);
    }
    return k->link >= 0;
}

/* Room for the answer; false: reported. */
EICEI_PRIVATE bool eicei_call_reply(eice_conn *c, eicei_call *k)
{
    if (k->reply == NULL) {
        k->reply = (eice_aws_reply *)eice_resize(&c->alloc, NULL,
                                                 sizeof *k->reply);
    } else {
        eice_aws_reply_free(k->reply);
    }
    if (k->reply == NULL) {
        eice_fail(&k->error, EICE_E_MEMORY, EICE_STAGE_API,
                  "no memory for an answer");
        eicei_call_fail(c, k);
        return false;
    }
    eice_aws_reply_init(k->reply, &c->alloc);
    return true;
}

EICEI_PRIVATE void eicei_call_request(const eice_conn *c, const eicei_call *k,
                                      eice_aws_request *r)
{
    const eicei_link *l = &c->links[k->link];

    memset(r, 0, sizeof *r);
    r->op = k->op;
    r->params = k->params;
    r->param_count = k->param_count;
    r->next_token = eice_str_c(k->token[0]);
    r->region = eice_str_c(eicei_call_region(c, k));
    r->keys = k->user == NULL && eicei_call_is_sts(k->op)
                      && c->sts.keys != NULL ? *c->sts.keys : c->cred.keys;
    r->unix_s = c->now.unix_s + c->clock_offset;
    r->user_agent = eice_str_c(c->o.user_agent);
    r->proxied_plain = l->proxied_plain;
    r->proxy_user = l->proxied_plain ? l->proxy.user : eice_str_c("");
    if (k->user != NULL) {
        r->params = k->user->params;
        r->param_count = k->user->param_count;
        r->client_token = eice_str_c(k->user->client_token);
        r->dry_run = k->user->dry_run;
        r->paged = true;
    }
}

/* The link is ready: sign now, so that the time is fresh. */
EICEI_PRIVATE void eicei_call_send(eice_conn *c, eicei_call *k,
                                   const eice_place *place)
{
    eice_aws_request r;

    if (!eicei_call_reply(c, k)) {
        return;
    }
    eicei_call_request(c, k, &r);
    r.place = place;
    eice_blob_free(&k->request);
    k->request.alloc = &c->alloc;
    if (eice_aws_write(&r, &k->request, &k->error) != EICE_OK) {
        eicei_call_fail(c, k);
        return;
    }
    if (k->user != NULL) {
        k->user->attempts++;
    }
    k->sent = 0;
    k->began = c->now.ms;
    k->deadline = c->now.ms + eicei_or32(c->o.answer_timeout_ms, 30000);
    k->state = EICEI_CALL_TALK;
    c->moved = true;
}

EICEI_PRIVATE void eicei_call_link_step(eice_conn *c, eicei_call *k)
{
    eice_place place;
    char text[300];
    eice_buf b;

    eice_buf_init(&b, text, sizeof text);
    if (!eicei_call_link(c, k, &place, &b)) {
        return;
    }
    if (c->links[k->link].state == EICEI_LINK_READY) {
        eicei_call_send(c, k, &place);
    } else if (c->links[k->link].state == EICEI_LINK_FAILED) {
        k->error = c->links[k->link].error;
        if (k->error.code == EICE_E_NET_RESET) {
            eicei_call_retry(c, k);
        } else {
            eicei_link_release(c, &k->link, false);
            eicei_call_fail(c, k);
        }
    }
}

EICEI_PRIVATE void eicei_call_result(eice_conn *c, eicei_call *k);
EICEI_PRIVATE void eicei_call_items(eice_conn *c, eicei_call *k);

/* What an answer alone does not tell: whose keys are meant, and that with a
 * right clock it is they that have expired (EC2 says RequestExpired of an old
 * session token, too). */
EICEI_PRIVATE void eicei_call_explain(eice_conn *c, eicei_call *k)
{
    const eice_keys *keys = &c->cred.keys;
    const int64_t off = k->reply->server_unix_s - c->now.unix_s
                        - c->clock_offset;
    eice_error *e = &k->error;
    char text[sizeof e->text];
    eice_buf b;

    if (e->code == EICE_E_AWS_CLOCK && keys->session_token.len > 0
        && off >= -300 && off <= 300) {
        e->code = EICE_E_CREDENTIALS_EXPIRED;
        e->remedy[0] = 0;
    }
    if ((e->code != EICE_E_AWS_AUTH && e->code != EICE_E_CREDENTIALS_EXPIRED)
        || keys->access_key_id.len == 0) {
        return;
    }
    eice_buf_init(&b, text, sizeof text);
    eice_putf(&b, "access key %S (%s): %s", &keys->access_key_id,
              c->cred.provider, e->text);
    eicei_copy_c(e->text, sizeof e->text, eice_buf_c(&b));
}

/* What went well gives back to the budget of retries. */
EICEI_PRIVATE void eicei_retry_return(eice_conn *c, eicei_call *k)
{
    c->retry_quota += k->paid > 0 ? k->paid : 1;
    c->retry_quota = c->retry_quota > EICEI_RETRY_QUOTA ? EICEI_RETRY_QUOTA
                                                        : c->retry_quota;
    k->paid = 0;
}

/* An answer that is no error goes to the plan or to the caller. */
EICEI_PRIVATE void eicei_call_take(eice_conn *c, eicei_call *k,
                                   eice_verdict v)
{
    if (k->user == NULL) {
        eicei_call_result(c, k);
        return;
    }
    eicei_copy_c(k->user->request_id, sizeof k->user->request_id,
                 k->reply->request_id);
    k->user->nothing = v == EICE_VERDICT_NOTHING;
    if (k->user->nothing) {
        k->state = EICEI_CALL_DONE;
        c->moved = true;
    } else {
        eicei_call_items(c, k);
    }
}

/* The answer is complete. */
EICEI_PRIVATE void eicei_call_judge(eice_conn *c, eicei_call *k)
{
    const int64_t before = c->clock_offset;
    const eice_verdict v = eice_aws_judge(k->reply, k->op, &k->error);

    eicei_call_trail(c, k, k->error.code, k->reply->request_id);
    eicei_call_explain(c, k);
    eicei_clock_learn(c, k->reply->server_unix_s);
    eicei_link_release(c, &k->link, k->reply->keep_alive);
    switch (v) {
    case EICE_VERDICT_OK:
    case EICE_VERDICT_NOTHING:
        eicei_retry_return(c, k);
        eicei_call_take(c, k, v);
        return;
    case EICE_VERDICT_RETRY:
    case EICE_VERDICT_THROTTLED:
        eicei_call_retry(c, k);
        return;
    case EICE_VERDICT_CLOCK:
        if (!k->clock_retried && c->clock_offset != 0
            && (c->clock_offset != before || c->clock_warned)) {
            k->clock_retried = true;
            eicei_call_again(c, k);
            return;
        }
        break;
    case EICE_VERDICT_FINAL:
        break;
    }
    if (k->user != NULL && k->user->encoded != NULL) {
        eice_aws_encoded(k->reply, k->user->encoded);
    }
    eicei_call_fail(c, k);
}

/* The connection ended before the answer did. */
EICEI_PRIVATE void eicei_call_broken(eice_conn *c, eicei_call *k)
{
    const bool stale = c->links[k->link].used_before
                       && k->reply->status == 0;

    if (eice_aws_reply_eof(k->reply, &k->error)) {
        if (k->error.code == EICE_OK) {
            eicei_call_judge(c, k);
            return;
        }
        memset(&k->error, 0, sizeof k->error);
    }
    if (stale) { /* a kept-alive connection that the peer had given up */
        eicei_link_release(c, &k->link, false);
        eicei_call_again(c, k);
        return;
    }
    eice_fail(&k->error, EICE_E_NET_RESET, EICE_STAGE_API,
              "%s closed the connection before its answer to %s was complete",
              c->links[k->link].host, eice_op_name(k->op));
    eicei_call_trail(c, k, k->error.code, NULL);
    eicei_call_retry(c, k);
}

EICEI_PRIVATE void eicei_call_talk(eice_conn *c, eicei_call *k)
{
    eicei_link *l = &c->links[k->link];
    uint8_t *p;
    size_t n;

    while (k->sent < k->request.len) {
        n = eicei_link_write(l, eice_str_make(k->request.ptr + k->sent,
                                              k->request.len - k->sent));
        if (n == 0) {
            break;
        }
        k->sent += n;
        c->moved = true;
    }
    while ((n = eicei_link_read(l, &p)) > 0) {
        eice_str in = eice_str_make(p, n);
        const bool complete = eice_aws_reply_feed(k->reply, &in, &k->error);

        eicei_link_read_ack(l, n - in.len);
        c->moved = true;
        if (complete && k->error.code != EICE_OK) {
            eicei_link_release(c, &k->link, false);
            eicei_call_fail(c, k);
            return;
        }
        if (complete) {
            eicei_call_judge(c, k);
            return;
        }
    }
    if (eicei_link_ended(l)) {
        eicei_call_broken(c, k);
    }
}

/* No answer in time. */
EICEI_PRIVATE void eicei_call_late(eice_conn *c, eicei_call *k)
{
    eice_fail(&k->error, EICE_E_HTTP_TIMEOUT, EICE_STAGE_API,
              "%s: no answer to %s in %u s", c->links[k->link].host,
              eice_op_name(k->op), (unsigned)((c->now.ms - k->began) / 1000));
    eicei_call_trail(c, k, k->error.code, NULL);
    eicei_call_retry(c, k);
}

EICEI_PRIVATE void eicei_call_step(eice_conn *c, eicei_call *k)
{
    if (k->state == EICEI_CALL_WAIT && c->now.ms >= k->wake) {
        eicei_call_again(c, k);
    }
    if (k->state == EICEI_CALL_LINK) {
        eicei_call_link_step(c, k);
    }
    if (k->state == EICEI_CALL_TALK) {
        eicei_call_talk(c, k);
    }
    if (k->state == EICEI_CALL_TALK && c->now.ms >= k->deadline) {
        eicei_call_late(c, k);
    }
}

/* ---- calls of the caller ----------------------------------------------- */

/* Ends a call, with an error unless it has one: in `first`, the reason of
 * earlier attempts. */
EICEI_PRIVATE void eicei_call_stop(eice_conn *c, eicei_call *k, eice_err code,
                                   const char *why)
{
    if (k->tries > 0 && code != EICE_E_CANCELLED) {
        k->error = k->first;
    }
    eice_fail(&k->error, code, EICE_STAGE_API, "%s: %s", eice_op_name(k->op),
              why);
    eicei_link_release(c, &k->link, false);
    eicei_call_fail(c, k);
}

/* Makes the token of a call that takes one and has none: a UUID of version 4
 * (RFC 9562 5.4). */
EICEI_PRIVATE void eicei_call_token(eice_conn *c, eicei_call *k)
{
    eice_call *const u = k->user;
    uint8_t r[16];
    eice_buf b;
    size_t i;

    if (!eice_op_takes_token(u->op)) {
        return;
    }
    for (i = 0; i < u->param_count; i++) {
        if (eice_str_is(u->params[i].name, "ClientToken")) {
            return;
        }
    }
    eice_drbg_generate(&c->random, r, sizeof r);
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    eice_buf_init(&b, u->client_token, sizeof u->client_token);
    for (i = 0; i < sizeof r; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            eice_put_byte(&b, '-');
        }
        eice_put_hex(&b, &r[i], 1);
    }
    (void)eice_buf_c(&b);
}

/* Calls that are over are told, those that take too long ended. */
EICEI_PRIVATE void eicei_asked_step(eice_conn *c)
{
    eicei_call **at = &c->asked;

    while (*at != NULL) {
        eicei_call *const k = *at;

        if (k->state == EICEI_CALL_IDLE && c->cred_done && c->random_ready
            && c->trust_now != NULL) {
            eicei_call_token(c, k);
            k->state = EICEI_CALL_LINK;
        }
        eicei_call_step(c, k);
        if (k->state < EICEI_CALL_DONE && c->now.ms >= k->limit) {
            eicei_call_stop(c, k, EICE_E_HTTP_TIMEOUT,
                            "not done in the time given");
        }
        if (k->state >= EICEI_CALL_DONE) {
            eicei_call_tell(c, at);
        } else {
            at = &k->next;
        }
    }
}

eice_err eice_conn_call(eice_conn *c, eice_call *call)
{
    eicei_call *const k = (eicei_call *)eice_resize(&c->alloc, NULL,
                                                    sizeof *k);
    eicei_call **at = &c->asked;

    if (k == NULL) {
        call->done = true;
        return eice_fail(&call->error, EICE_E_MEMORY, EICE_STAGE_API,
                         "no memory for a call");
    }
    memset(k, 0, sizeof *k);
    eicei_call_begin(c, k, call->op);
    k->state = EICEI_CALL_IDLE;
    k->user = call;
    call->priv = k;
    if (call->timeout_ms > 0) {
        k->limit = c->now.ms + call->timeout_ms;
    }
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = k;
    if (c->state != EICEI_CONN_RUN) {
        eicei_calls_over(c);
        return call->error.code;
    }
    return EICE_OK;
}

void eice_conn_call_cancel(eice_conn *c, eice_call *call)
{
    eicei_call **at = &c->asked;

    while (*at != NULL && (*at)->user != call) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        eicei_call_stop(c, *at, EICE_E_CANCELLED, "cancelled");
        eicei_call_tell(c, at);
    }
}

/* ---- what the credentials come from ------------------------------------ */

EICEI_PRIVATE void eicei_fetch_start(eice_conn *c, const eice_need *need)
{
    eicei_fetch_free(c);
    c->fetch.need = *need;
    c->fetch.began = c->now.ms;
    c->fetch.state = EICEI_CALL_LINK;
    c->fetch.deadline = UINT64_MAX;
    c->moved = true;
}

/* One line of the trail for each exchange. */
EICEI_PRIVATE void eicei_fetch_trail(eice_conn *c, eice_err code)
{
    const eicei_fetch *f = &c->fetch;
    eice_str rest = f->need.text;
    const eice_str method = eice_str_cut(&rest, ' ');
    const eice_str path = eice_str_cut(&rest, ' ');
    eice_attempt *t = eicei_conn_trail(c, EICE_STAGE_CREDENTIALS, code,
                                       f->began, NULL);

    if (code == EICE_OK) {
        eicei_attempt_says(t, "%S %S%S: HTTP %u", &method, &f->need.name,
                           &path, f->reply->status);
    } else {
        eicei_attempt_says(t, "%S %S%S", &method, &f->need.name, &path);
    }
}

/* Tells the credential machine, or tries once more after a while. */
EICEI_PRIVATE void eicei_fetch_end(eice_conn *c, const eice_error *e)
{
    eicei_fetch *f = &c->fetch;
    const unsigned status = e->code == EICE_OK ? f->reply->status : 0;
    eice_answer a;

    eicei_fetch_trail(c, e->code);
    eicei_link_release(c, &f->link, status != 0 && f->reply->keep_alive);
    c->moved = true;
    if ((status == 0 || status == 429 || status >= 500)
        && ++f->tries < f->need.attempts) {
        f->deadline = c->now.ms + eicei_backoff(c, f->tries);
        f->state = EICEI_CALL_WAIT;
        return;
    }
    memset(&a, 0, sizeof a);
    a.code = e->code;
    a.status = status;
    a.error = e;
    a.request_id = eice_str_c(status != 0 ? f->reply->request_id : "");
    a.data = status != 0 ? eice_str_make(f->reply->body.ptr,
                                         f->reply->body.len)
                         : eice_str_c(e->text);
    eice_cred_answer(&c->cred, f->need.id, &a);
    eicei_fetch_free(c);
}

EICEI_PRIVATE void eicei_fetch_fail(eice_conn *c, eice_err code)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_fail(&e, code, EICE_STAGE_CREDENTIALS, "%S: %s", &c->fetch.need.name,
              eice_err_text(code));
    eicei_fetch_end(c, &e);
}

EICEI_PRIVATE void eicei_fetch_link(eice_conn *c)
{
    eicei_fetch *f = &c->fetch;

    if (!c->random_ready || (f->need.tls && c->trust_now == NULL)) {
        return;
    }
    if (f->deadline == UINT64_MAX) {
        f->began = c->now.ms;
        f->deadline = c->now.ms + f->need.timeout_ms;
    }
    if (f->link < 0) {
        f->link = eicei_link_get(c, f->need.tls, f->need.name, f->need.port,
                                 f->need.direct);
    }
    if (f->reply == NULL) {
        f->reply = (eice_aws_reply *)eice_resize(&c->alloc, NULL,
                                                 sizeof *f->reply);
    } else {
        eice_aws_reply_free(f->reply);
    }
    if (f->reply == NULL) {
        eicei_fetch_fail(c, EICE_E_MEMORY);
        return;
    }
    eice_aws_reply_init(f->reply, &c->alloc);
    if (f->link >= 0 && c->links[f->link].state == EICEI_LINK_READY) {
        f->sent = 0;
        f->state = EICEI_CALL_TALK;
    } else if (f->link >= 0
               && c->links[f->link].state == EICEI_LINK_FAILED) {
        const eice_error e = c->links[f->link].error;

        eicei_fetch_end(c, &e);
    }
}

EICEI_PRIVATE void eicei_fetch_talk(eice_conn *c)
{
    eicei_fetch *f = &c->fetch;
    eicei_link *l = &c->links[f->link];
    bool complete = false;
    eice_error e;
    uint8_t *p;
    size_t n;

    memset(&e, 0, sizeof e);
    while (f->sent < f->need.text.len
           && (n = eicei_link_write(
                   l, eice_str_make(f->need.text.ptr + f->sent,
                                    f->need.text.len - f->sent))) > 0) {
        f->sent += n;
        c->moved = true;
    }
    while (!complete && (n = eicei_link_read(l, &p)) > 0) {
        eice_str in = eice_str_make(p, n);

        complete = eice_aws_reply_feed(f->reply, &in, &e);
        eicei_link_read_ack(l, n - in.len);
        c->moved = true;
    }
    if (!complete && eicei_link_ended(l)
        && !eice_aws_reply_eof(f->reply, &e)) {
        eicei_fetch_fail(c, EICE_E_NET_RESET);
    } else if (complete || eicei_link_ended(l)) {
        eicei_fetch_end(c, &e);
    }
}

EICEI_PRIVATE void eicei_fetch_step(eice_conn *c)
{
    eicei_fetch *f = &c->fetch;

    if (f->state == EICEI_CALL_WAIT && c->now.ms >= f->deadline) {
        f->state = EICEI_CALL_LINK;
        f->deadline = UINT64_MAX;
    }
    if (f->state == EICEI_CALL_LINK) {
        eicei_fetch_link(c);
    }
    if (f->state == EICEI_CALL_TALK) {
        eicei_fetch_talk(c);
    }
    if ((f->state == EICEI_CALL_LINK || f->state == EICEI_CALL_TALK)
        && c->now.ms >= f->deadline) {
        eicei_fetch_fail(c, EICE_E_HTTP_TIMEOUT);
    }
}

/* ---- the instance ------------------------------------------------------ */

EICEI_PRIVATE bool eicei_is_instance_id(const char *s)
{
    size_t i;

    if (s == NULL || s[0] != 'i' || s[1] != '-') {
        return false;
    }
    for (i = 2; s[i] != 0; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) {
            return false;
        }
    }
    return i >= 10 && i <= 32;
}

EICEI_PRIVATE bool eicei_ends_with(eice_str s, const char *tail)
{
    const eice_str t = eice_str_c(tail);

    return s.len >= t.len
           && eice_str_eq_nocase(
                  eice_str_make(s.ptr + s.len - t.len, t.len), t);
}

/* The filter that a target stands for, and the value behind it. */
EICEI_PRIVATE void eicei_target_filter(eice_str target, eice_buf *name,
                                       eice_str *value)
{
    eice_ip ip;

    *value = target;
    if (eice_str_starts(target, "tag:")) {
        const eice_str key = eice_str_cut(value, '=');

        eice_put(name, key);
    } else if (eice_ip_parse(target, &ip)) {
        eice_put_c(name, ip.family == 4
                             ? "private-ip-address"
                             : "network-interface.ipv6-addresses."
                               "ipv6-address");
    } else if (eicei_ends_with(target, ".internal")) {
        eice_put_c(name, "private-dns-name");
    } else {
        eice_put_c(name, "tag:Name");
    }
}

void eice_param_target(eice_params *p, const char *target)
{
    char name[160];
    char text[600];
    eice_str value;
    eice_buf n;
    eice_buf t;

    if (eicei_is_instance_id(target)) {
        eice_param(p, "InstanceId.1", eice_str_c(target));
        return;
    }
    eice_buf_init(&n, name, sizeof name);
    eice_buf_init(&t, text, sizeof text);
    eicei_target_filter(eice_str_c(target), &n, &value);
    eice_put_filter_text(&t, value);
    eice_param_filter(p, eice_buf_c(&n), eice_buf_str(&t));
}

EICEI_PRIVATE void eicei_instances_start(eice_conn *c)
{
    eicei_call *k = &c->calls[EICE_OP_DESCRIBE_INSTANCES];
    const eice_str target = eice_str_c(c->o.target);
    eice_str value;
    eice_buf name;
    eice_buf text;

    k->param_count = 0;
    if (eicei_is_instance_id(c->o.target)) {
        eicei_call_param(k, "InstanceId.1", target);
    } else {
        eice_buf_init(&name, k->text[0], sizeof k->text[0]);
        eice_buf_init(&text, k->text[1], sizeof k->text[1]);
        eicei_target_filter(target, &name, &value);
        eice_put_filter_text(&text, value);
        eicei_call_param(k, "Filter.1.Name", eice_buf_str(&name));
        eicei_call_param(k, "Filter.1.Value.1", eice_buf_str(&text));
    }
    eicei_call_start(c, EICE_OP_DESCRIBE_INSTANCES);
}

EICEI_PRIVATE bool eicei_instance_seen(void *user, const eice_instance *i)
{
    eice_conn *c = (eice_conn *)user;
    eice_buf b;

    if (strcmp(i->state, "terminated") == 0
        || strcmp(i->state, "shutting-down") == 0) {
        if (c->instances_gone++ == 0 && c->instances == 0) {
            c->instance = *i;
        }
        return true;
    }
    if (c->instances++ == 0) {
        c->instance = *i;
    }
    if (c->instances <= 6) {
        eice_buf_init(&b, c->candidates, sizeof c->candidates);
        b.len = strlen(c->candidates);
        eice_putf(&b, "%s%s (%s%s%s)", b.len > 0 ? ", " : "", i->id, i->state,
                  i->private_ip[0] != 0 ? ", " : "", i->private_ip);
        (void)eice_buf_c(&b);
    }
    return true;
}

EICEI_PRIVATE void eicei_instances_judge(eice_conn *c)
{
    const eice_instance *i = &c->instance;
    const char *region = c->cred.settings.region;
    eice_error e;

    memset(&e, 0, sizeof e);
    if (c->instances > 1) {
        eice_fail(&e, EICE_E_AMBIGUOUS, EICE_STAGE_TARGET,
                  "%u instances match %s in %s: %s%s", c->instances,
                  c->o.target, region, c->candidates,
                  c->instances > 6 ? ", ..." : "");
    } else if (c->instances == 0 && c->instances_gone == 0) {
        eice_fail(&e, EICE_E_NO_INSTANCE, EICE_STAGE_TARGET,
                  "no instance matches %s in %s", c->o.target, region);
    } else if (strcmp(i->state, "running") != 0
               && strcmp(i->state, "pending") != 0
               && (c->o.route != EICE_ROUTE_SERIAL
                   || strcmp(i->state, "stopping") != 0)) {
        eice_fail(&e, EICE_E_NOT_RUNNING, EICE_STAGE_TARGET,
                  "instance %s is %s%s%s", i->id, i->state,
                  i->state_reason[0] != 0 ? ": " : "", i->state_reason);
        if (c->instances == 0) {
            eicei_copy_c(e.remedy, sizeof e.remedy,
                         "a terminated instance is gone for good: check the "
                         "id or name");
        }
    }
    if (e.code != EICE_OK) {
        eicei_conn_fail(c, &e);
        return;
    }
    eicei_copy_c(c->instance_id, sizeof c->instance_id, i->id);
    if (c->held.code != EICE_OK) {
        eicei_conn_fail(c, &c->held);
    }
}

/* ---- the serial console ------------------------------------------------ */

/* docs.aws.amazon.com/AWSEC2/latest/UserGuide/connect-to-serial-console.html:
 * one host key for each Region, SHA-256. The newer Regions, whose hosts are
 * named otherwise, come last. */
static const struct {
    const char *region;
    const char *print;
} eicei_serial_hosts[] = {
    {"us-east-1",
     "dXwn5ma/xadVMeBZGEru5l2gx+yI5LDiJaLUcz0FMmw"},
    {"us-east-2",
     "EhwPkTzRtTY7TRSzz26XbB0/HvV9jRM7mCZN0xw/d/0"},
    {"us-west-1",
     "OHldlcMET8u7QLSX3jmRTRAPFHVtqbyoLZBMUCqiH3Y"},
    {"us-west-2",
     "EMCIe23TqKaBI6yGHainqZcMwqNkDhhAVHa1O2JxVUc"},
    {"ca-central-1",
     "P2O2jOZwmpMwkpO6YW738FIOTHdUTyEv2gczYMMO7s4"},
    {"sa-east-1",
     "rd2+/32Ognjew1yVIemENaQzC+Botbih62OqAPDq1dI"},
    {"eu-central-1",
     "aCMFS/yIcOdOlkXvOl8AmZ1Toe+bBnrJJ3Fy0k0De2c"},
    {"eu-west-1",
     "h2AaGAWO4Hathhtm6ezs3Bj7udgUxi2qTrHjZAwCW6E"},
    {"eu-west-2",
     "a69rd5CE/AEG4Amm53I6lkD1ZPvS/BCV3tTPW2RnJg8"},
    {"eu-west-3",
     "q8ldnAf9pymeNe8BnFVngY3RPAr/kxswJUzfrlxeEWs"},
    {"eu-north-1",
     "tkGFFUVUDvocDiGSS3Cu8Gdl6w2uI32EPNpKFKLwX84"},
    {"ap-south-1",
     "oBLXcYmklqHHEbliARxEgH8IsO51rezTPiSM35BsU40"},
    {"ap-northeast-1",
     "RQfsDCZTOfQawewTRDV1t9Em/HMrFQe+CRlIOT5um4k"},
    {"ap-northeast-2",
     "FoqWXNX+DZ++GuNTztg9PK49WYMqBX+FrcZM2dSrqrI"},
    {"ap-southeast-1",
     "PLFNn7WnCQDHx3qmwLu1Gy/O8TUX7LQgZuaC6L45CoY"},
    {"ap-southeast-2",
     "yFvMwUK9lEUQjQTRoXXzuN+cW9/VSe9W984Cf5Tgzo4"},
    {"us-gov-east-1",
     "tIwe19GWsoyLClrtvu38YEEh+DHIkqnDcZnmtebvF28"},
    {"us-gov-west-1",
     "kfOFRWLaOZfB+utbd3bRf8OlPf8nGO2YZLqXZiIw5DQ"},
    {"af-south-1",
     "RMWWZ2fVePeJUqzjO5jL2KIgXsczoHlz21Ed00biiWI"},
    {"ap-east-1",
     "T0Q1lpiXxChoZHplnAkjbP7tkm2xXViC9bJFsjYnifk"},
    {"ap-south-2",
     "WJgPBSwV4/shN+OPITValoewAuYj15DVW845JEhDKRs"},
    {"ap-southeast-3",
     "5ZwgrCh+lfns32XITqL/4O0zIfbx4bZgsYFqy3o8mIk"},
    {"ap-southeast-4",
     "Avaq27hFgLvjn5gTSShZ0oV7h90p0GG46wfOeT6ZJvM"},
    {"ap-northeast-3",
     "Am0/jiBKBnBuFnHr9aXsgEV3G8Tu/vVHFXE/3UcyjsQ"},
    {"eu-south-1",
     "lC0kOVJnpgFyBVrxn0A7n99ecLbXSX95cuuS7X7QK30"},
    {"eu-south-2",
     "GoCW2DFRlu669QNxqFxEcsR6fZUz/4F4n7T45ZcwoEc"},
    {"eu-central-2",
     "8Ppx2mBMf6WdCw0NUlzKfwM4/IfRz4OaXFutQXWp6mk"},
    {"me-south-1",
     "nPjLLKHu2QnLdUq2kVArsoK5xvPJOMRJKCBzCDqC3k8"},
    {"me-central-1",
     "zpb5duKiBZ+l0dFwPeyykB4MPBYhI/XzXNeFSDKBvLE"},
    {"cn-north-1",
     "2gHVFy4H7uU3+WaFUxD28v/ggMeqjvSlgngpgLgGT+Y"},
    {"cn-northwest-1",
     "TdgrNZkiQOdVfYEBUhO4SzUA09VWI5rYOZGTogpwmiM"},
};

#define EICEI_SERIAL_OLD 18u

/* The row of a Region; one behind the table for those it lacks. */
EICEI_PRIVATE size_t eicei_serial_row(const char *region)
{
    size_t i = 0;

    while (i < EICEI_LEN(eicei_serial_hosts)
           && strcmp(eicei_serial_hosts[i].region, region) != 0) {
        i++;
    }
    return i;
}

/* What the Region's host must offer, "SHA256:..."; "" when it is unknown. */
EICEI_PRIVATE const char *eicei_serial_print(const eice_conn *c,
                                             char out[EICE_FINGERPRINT])
{
    const size_t i = eicei_serial_row(c->cred.settings.region);
    eice_buf b;

    eice_buf_init(&b, out, EICE_FINGERPRINT);
    if (i < EICEI_LEN(eicei_serial_hosts) && !eicei_set(c->o.serial_host)) {
        eice_putf(&b, "SHA256:%s", eicei_serial_hosts[i].print);
    }
    return eice_buf_c(&b);
}

/* Two schemes are in use; which one a Region has that is not in the table is
 * seen by trying. */
EICEI_PRIVATE void eicei_serial_choose(eice_conn *c)
{
    const char *region = c->cred.settings.region;
    const size_t i = eicei_serial_row(region);
    const bool newer = c->serial_other
                       || (i >= EICEI_SERIAL_OLD
                           && i < EICEI_LEN(eicei_serial_hosts));
    const bool china = strncmp(region, "cn-", 3) == 0;
    const bool gov = strncmp(region, "us-gov-", 7) == 0;
    eice_buf b;

    eice_buf_init(&b, c->tunnel_host, sizeof c->tunnel_host);
    if (eicei_set(c->o.serial_host)) {
        eice_put_c(&b, c->o.serial_host);
    } else if (newer) {
        eice_putf(&b, "ec2-serial-console.%s.api.%s", region,
                  china ? "amazonwebservices.com.cn" : "aws");
    } else {
        eice_putf(&b, "serial-console.ec2-instance-connect.%s.%s", region,
                  gov ? "amazonaws.com" : "aws");
    }
    (void)eice_buf_c(&b);
    eice_buf_init(&b, c->serial_user, sizeof c->serial_user);
    eice_putf(&b, "%s.port0", c->instance_id);
    (void)eice_buf_c(&b);
    c->o.user = c->serial_user;
}

/* The host does not answer to its name: has it the other one? */
EICEI_PRIVATE bool eicei_serial_again(eice_conn *c, const eice_error *e)
{
    if (c->o.route != EICE_ROUTE_SERIAL || c->serial_other
        || e->stage != EICE_STAGE_RESOLVE || eicei_set(c->o.serial_host)
        || eicei_serial_row(c->cred.settings.region)
               < EICEI_LEN(eicei_serial_hosts)) {
        return false;
    }
    c->serial_other = true;
    c->chosen = false;
    return true;
}

/* ---- the endpoint ------------------------------------------------------ */

EICEI_PRIVATE void eicei_endpoints_start(eice_conn *c)
{
    eicei_call *k = &c->calls[EICE_OP_DESCRIBE_ENDPOINTS];

    /* without a filter: the others tell why there is none, and the VPC of
     * the instance need not be known yet */
    k->param_count = 0;
    if (eicei_set(c->o.endpoint_id)) {
        eicei_call_param(k, "InstanceConnectEndpointId.1",
                         eice_str_c(c->o.endpoint_id));
    }
    eicei_call_start(c, EICE_OP_DESCRIBE_ENDPOINTS);
}

EICEI_PRIVATE bool eicei_endpoint_seen(void *user, const eice_endpoint *e)
{
    eice_conn *c = (eice_conn *)user;

    if (eice_blob_add(&c->endpoints, e, sizeof *e,
                      EICEI_ENDPOINTS * sizeof *e)) {
        return true;
    }
    eice_fail(&c->calls[EICE_OP_DESCRIBE_ENDPOINTS].error,
              c->endpoints.len < EICEI_ENDPOINTS * sizeof *e ? EICE_E_MEMORY
                                                             : EICE_E_LIMIT,
              EICE_STAGE_API, "no room for more than %u endpoints",
              (unsigned)(c->endpoints.len / sizeof *e));
    return false;
}

/* How well an endpoint suits the instance; 0: not at all. */
EICEI_PRIVATE unsigned eicei_endpoint_rank(const eice_conn *c,
                                           const eice_endpoint *e)
{
    const eice_instance *i = &c->instance;
    const char *ip = eicei_set(c->o.private_ip) ? c->o.private_ip
                     : i->private_ip[0] != 0    ? i->private_ip
                                                : i->ipv6;
    const bool six = strchr(ip, ':') != NULL;
    unsigned rank = 1;

    if (!eice_endpoint_usable(e)
        || (i->vpc_id[0] != 0 && strcmp(i->vpc_id, e->vpc_id) != 0
            && !eicei_set(c->o.endpoint_id))) {
        return 0;
    }
    if (e->ip_type[0] == 0 || strcmp(e->ip_type, "dualstack") == 0
        || strcmp(e->ip_type, six ? "ipv6" : "ipv4") == 0) {
        rank += 8;
    }
    if (strcmp(i->subnet_id, e->subnet_id) == 0) {
        rank += 4;
    }
    if (strcmp(i->az, e->az) == 0) {
        rank += 2;
    }
    return rank;
}

/* Why there is none: the nearest miss is named. */
EICEI_PRIVATE void eicei_endpoint_none(eice_conn *c)
{
    const eice_endpoint *list = (const eice_endpoint *)(const void *)
                                    c->endpoints.ptr;
    const size_t count = c->endpoints.len / sizeof *list;
    const eice_endpoint *miss = NULL;
    eice_error e;
    size_t i;

    memset(&e, 0, sizeof e);
    for (i = 0; i < count; i++) {
        if (eicei_set(c->o.endpoint_id)
            || strcmp(list[i].vpc_id, c->instance.vpc_id) == 0) {
            miss = &list[i];
        }
    }
    if (miss == NULL && eicei_set(c->o.endpoint_id)) {
        eice_fail(&e, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                  "no endpoint %s in %s", c->o.endpoint_id,
                  c->cred.settings.region);
    } else if (miss == NULL) {
        eice_fail(&e, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                  "VPC %s of instance %s has no EC2 Instance Connect "
                  "Endpoint in %s",
                  c->instance.vpc_id[0] != 0 ? c->instance.vpc_id : "(none)",
                  c->instance.id, c->cred.settings.region);
    } else {
        eice_fail(&e, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                  "endpoint %s is not usable: %s%s%s", miss->id, miss->state,
                  miss->state_message[0] != 0 ? ": " : "",
                  miss->state_message);
        if (strcmp(miss->state, "create-in-progress") == 0) {
            e.retryable = true;
            eicei_copy_c(e.remedy, sizeof e.remedy,
                         "it is being created: try again in a minute");
        } else if (strcmp(miss->state, "create-failed") == 0) {
            eicei_copy_c(e.remedy, sizeof e.remedy,
                         "delete it, mend the cause named and create it "
                         "again");
        }
    }
    eicei_conn_fail(c, &e);
}

EICEI_PRIVATE void eicei_endpoint_pick(eice_conn *c)
{
    const eice_endpoint *list = (const eice_endpoint *)(const void *)
                                    c->endpoints.ptr;
    const size_t count = c->endpoints.len / sizeof *list;
    unsigned best = 0;
    eice_error e;
    size_t i;

    for (i = 0; i < count; i++) {
        const unsigned rank = eicei_endpoint_rank(c, &list[i]);

        if (rank > best) {
            best = rank;
            c->endpoint = list[i];
        }
    }
    if (best == 0) {
        eicei_endpoint_none(c);
        return;
    }
    eicei_copy_c(c->tunnel_host, sizeof c->tunnel_host,
                 eicei_set(c->o.endpoint_dns)
                     ? c->o.endpoint_dns
                     : eice_endpoint_host(&c->endpoint, c->cred.settings.fips,
                                          c->cred.settings.dualstack));
    if (c->tunnel_host[0] == 0) {
        memset(&e, 0, sizeof e);
        eice_fail(&e, EICE_E_NO_ENDPOINT, EICE_STAGE_ENDPOINT,
                  "endpoint %s has no %sDNS name", c->endpoint.id,
                  c->cred.settings.fips ? "FIPS " : "");
        eicei_conn_fail(c, &e);
    }
}

/* With EICE_ROUTE_AUTO only once the instance is known. */
EICEI_PRIVATE bool eicei_is_direct(const eice_conn *c)
{
    const eice_instance *i = &c->instance;

    return c->o.via != NULL || c->o.route == EICE_ROUTE_DIRECT
           || c->o.route == EICE_ROUTE_SERIAL
           || (c->o.route == EICE_ROUTE_AUTO
               && (i->public_ip[0] != 0
                   || (i->private_ip[0] == 0 && i->ipv6[0] != 0)));
}

EICEI_PRIVATE const char *eicei_address(const eice_conn *c)
{
    const eice_instance *i = &c->instance;

    if (c->o.route == EICE_ROUTE_SERIAL) {
        return c->tunnel_host;
    }
    if (eicei_set(c->o.private_ip)) {
        return c->o.private_ip;
    }
    if (eicei_is_direct(c) && c->o.via == NULL) {
        if (i->public_ip[0] != 0) {
            return i->public_ip;
        }
        if (i->ipv6[0] != 0) {
            return i->ipv6;
        }
    }
    return i->private_ip[0] != 0 ? i->private_ip : i->ipv6;
}

/* Host and address of the tunnel, once everything they depend on is known. */
EICEI_PRIVATE void eicei_choose(eice_conn *c)
{
    const eice_instance *i = &c->instance;
    eice_error e;

    if (c->o.route == EICE_ROUTE_SERIAL) {
        eicei_serial_choose(c);
    } else if (eicei_is_direct(c)) {
        eicei_copy_c(c->tunnel_host, sizeof c->tunnel_host,
                     eicei_address(c));
    } else if (eicei_set(c->o.endpoint_id) && eicei_set(c->o.endpoint_dns)) {
        eicei_copy_c(c->endpoint.id, sizeof c->endpoint.id, c->o.endpoint_id);
        eicei_copy_c(c->tunnel_host, sizeof c->tunnel_host,
                     c->o.endpoint_dns);
    } else {
        eicei_endpoint_pick(c);
    }
    eicei_copy_c(c->private_ip, sizeof c->private_ip, eicei_address(c));
    if (c->private_ip[0] == 0 && c->state == EICEI_CONN_RUN) {
        memset(&e, 0, sizeof e);
        eice_fail(&e, EICE_E_NO_INSTANCE, EICE_STAGE_TARGET,
                  "instance %s has no private address", i->id);
        eicei_conn_fail(c, &e);
    }
    if (eicei_set(c->o.host_key_alias)) {
        eicei_copy_c(c->host_name, sizeof c->host_name, c->o.host_key_alias);
    } else if (c->o.route == EICE_ROUTE_SERIAL) {
        eicei_copy_c(c->host_name, sizeof c->host_name, c->tunnel_host);
    } else if (c->instance_id[0] != 0) {
        eicei_copy_c(c->host_name, sizeof c->host_name, c->instance_id);
    } else {
        eice_buf b;

        eice_buf_init(&b, c->host_name, sizeof c->host_name);
        eice_putf(&b, "%s/%s", c->endpoint.id, c->private_ip);
        (void)eice_buf_c(&b);
    }
    c->chosen = true;
    c->moved = true;
}

/* ---- the key ----------------------------------------------------------- */

/* Texts of the key that is pushed: the caller's, or an ephemeral one. */
EICEI_PRIVATE void eicei_key_make(eice_conn *c)
{
    eice_buf b;
    eice_str type;
    eice_str comment;
    ptrdiff_t n;

    eice_buf_init(&b, c->key_line, sizeof c->key_line - 1);
    if (c->o.public_key.len > 0) {
        n = eice_key_parse(eice_str_trim(c->o.public_key), c->key_blob,
                           sizeof c->key_blob, &type, &comment);
        c->key_blob_len = n > 0 ? (size_t)n : 0;
        eice_put(&b, eice_str_trim(c->o.public_key));
    } else {
        (void)eice_user_key_generate(&c->own_key, c->o.key_type, &c->random);
        c->key_blob_len = c->own_key.blob_len;
        memcpy(c->key_blob, c->own_key.blob, c->key_blob_len);
        eice_key_line(&b, c->key_blob, c->key_blob_len, eice_str_c(""));
    }
    (void)eice_buf_c(&b);
    c->key_ready = true;
}

/* The types SendSSHPublicKey takes: ssh-ed25519 and ssh-rsa. For a login with
 * another one the instance must know the key already. */
EICEI_PRIVATE bool eicei_key_taken(const eice_conn *c)
{
    const eice_str key = eice_str_trim(c->o.public_key);

    return key.len == 0 || eice_str_starts(key, "ssh-ed25519 ")
           || eice_str_starts(key, "ssh-rsa ");
}

EICEI_PRIVATE void eicei_push_start(eice_conn *c)
{
    const bool serial = c->o.route == EICE_ROUTE_SERIAL;
    eicei_call *k = &c->calls[EICE_OP_SEND_SSH_PUBLIC_KEY];

    if (!c->key_ready) {
        eicei_key_make(c);
    }
    k->param_count = 0;
    eicei_call_param(k, "InstanceId", eice_str_c(c->instance_id));
    eicei_call_param(k, serial ? "SerialPort" : "InstanceOSUser",
                     eice_str_c(serial ? "0" : c->o.user));
    eicei_call_param(k, "SSHPublicKey", eice_str_c(c->key_line));
    c->pushed = false;
    c->pushed_ms = c->now.ms; /* its 60 s run from here at the earliest */
    eicei_call_begin(c, k, serial ? EICE_OP_SEND_SERIAL_KEY
                                  : EICE_OP_SEND_SSH_PUBLIC_KEY);
}

/* ---- results ----------------------------------------------------------- */

/* Takes the next page's token; true when there is a next page. */
EICEI_PRIVATE bool eicei_call_page(eice_conn *c, eicei_call *k, eice_buf *next)
{
    (void)eice_buf_c(next);
    if (next->len == 0) {
        return false;
    }
    k->tries = 0;
    if (next->overflow || strcmp(k->token[0], k->token[1]) == 0
        || ++k->pages >= EICEI_PAGES) {
        eice_fail(&k->error, EICE_E_AWS, EICE_STAGE_API,
                  "AWS gave an unusable token for page %u", k->pages + 1);
        return false;
    }
    memcpy(k->token[0], k->token[1], sizeof k->token[0]);
    eicei_call_again(c, k);
    return true;
}

EICEI_PRIVATE void eicei_call_result(eice_conn *c, eicei_call *k)
{
    eice_buf next;
    bool more = false;

    eice_buf_init(&next, k->token[1], sizeof k->token[1]);
    switch (k->op) {
    case EICE_OP_DESCRIBE_INSTANCES:
        (void)eice_aws_instances(k->reply, eicei_instance_seen, c, &next,
                                 &k->error);
        break;
    case EICE_OP_DESCRIBE_ENDPOINTS:
        (void)eice_aws_endpoints(k->reply, eicei_endpoint_seen, c, &next,
                                 &k->error);
        break;
    case EICE_OP_GET_CALLER_IDENTITY:
        (void)eice_aws_identity(k->reply, &c->identity, &k->error);
        break;
    case EICE_OP_SEND_SSH_PUBLIC_KEY:
    case EICE_OP_SEND_SERIAL_KEY:
        c->pushed = true;
        break;
    case EICE_OP_ASSUME_WEB_IDENTITY:
    case EICE_OP_ASSUME_ROLE:
        eicei_sts_answer(c, k);
        break;
    default:
        break;
    }
    if (k->error.code == EICE_OK) {
        more = eicei_call_page(c, k, &next);
    }
    if (k->error.code != EICE_OK) {
        eicei_call_fail(c, k);
        return;
    }
    if (more) {
        return;
    }
    eicei_call_free(c, k);
    k->state = EICEI_CALL_DONE;
    c->moved = true;
    if (k->op == EICE_OP_DESCRIBE_INSTANCES) {
        eicei_instances_judge(c);
    }
}

/* The items of a page, for the caller. */
EICEI_PRIVATE void eicei_call_items(eice_conn *c, eicei_call *k)
{
    eice_call *const u = k->user;
    eice_items items;
    eice_item item;
    eice_buf next;
    bool go = true;

    eice_buf_init(&next, k->token[1], sizeof k->token[1]);
    eice_aws_items(k->reply, k->op, &items);
    while (go && eice_items_next(&items, &item)) {
        u->items++;
        go = u->item == NULL || u->item(u->user, &item);
    }
    if (items.failed) {
        eice_fail(&k->error, EICE_E_AWS, eicei_call_stage(k->op),
                  "the answer to %s is malformed, or of another call",
                  eice_op_name(k->op));
        eicei_copy_c(k->error.remedy, sizeof k->error.remedy,
                     "try again; check proxies on the way");
    } else if (go) {
        eice_aws_next_token(k->reply, &next);
        if (eicei_call_page(c, k, &next)) {
            return;
        }
    }
    k->state = k->error.code == EICE_OK ? EICEI_CALL_DONE : EICEI_CALL_FAILED;
    c->moved = true;
}

/* ---- the tunnel -------------------------------------------------------- */

EICEI_PRIVATE void eicei_tunnel_begin(eice_conn *c, eicei_link *l)
{
    eice_tunnel_opts o;

    if (c->tunnel == NULL) {
        c->tunnel = (eice_tunnel *)eice_resize(&c->alloc, NULL,
                                               sizeof *c->tunnel);
    }
    if (c->tunnel == NULL) {
        eice_fail(&l->error, EICE_E_MEMORY, EICE_STAGE_TUNNEL,
                  "no memory for a tunnel");
        eicei_link_fail(c, l);
        return;
    }
    memset(&o, 0, sizeof o);
    o.host = eice_str_c(c->tunnel_host);
    o.endpoint_id = eice_str_c(c->endpoint.id);
    o.private_ip = eice_str_c(c->private_ip);
    o.port = c->o.port;
    o.max_duration_s = c->o.max_tunnel_duration_s;
    o.region = eice_str_c(c->cred.settings.region);
    o.keys = c->cred.keys;
    o.trust = c->trust_now;
    o.random = &c->random;
    o.user_agent = eice_str_c(c->o.user_agent);
    o.unix_s = c->now.unix_s + c->clock_offset;
    o.now_ms = c->now.ms;
    o.direct = eicei_is_direct(c);
    o.tls_timeout_ms = c->o.connect_timeout_ms;
    o.upgrade_timeout_ms = c->o.answer_timeout_ms;
    o.target_timeout_ms = c->o.answer_timeout_ms;
    eicei_link_stage(c, l, EICEI_LINK_READY);
    l->deadline = UINT64_MAX;
    c->tunnel_began = c->now.ms;
    c->tunnel_logged = false;
    (void)eice_tunnel_init(c->tunnel, &o); /* its error shows as DONE */
}

#if EICE_HAS_SSH

/* The session of the connection that ours goes through; NULL: it ended. */
EICEI_PRIVATE eice_ssh *eicei_via_ssh(const eice_conn *c)
{
    const eice_conn *via = c->o.via;

    return via->state == EICEI_CONN_OVER ? NULL : via->ssh;
}

EICEI_PRIVATE eicei_link *eicei_via_dial(eice_conn *c)
{
    eicei_link *l = eicei_link_new(c, false, eice_str_c(c->private_ip),
                                   c->o.port);
    eice_ssh *s = eicei_via_ssh(c);
    eice_channel_opts o;

    if (l == NULL) {
        return NULL;
    }
    memset(&o, 0, sizeof o);
    o.kind = EICE_CHANNEL_TCP;
    o.host = c->private_ip;
    o.port = c->o.port;
    c->via_channel = s != NULL ? eice_channel_open(s, &o) : -1;
    c->o.via->moved = true;
    if (c->via_channel < 0) {
        eice_fail(&l->error, EICE_E_SSH_LOST, EICE_STAGE_CONNECT,
                  "%s carries no more channels", c->o.via->host_name);
        eicei_link_fail(c, l);
        return l;
    }
    eicei_link_stage(c, l, EICEI_LINK_VIA);
    l->deadline = UINT64_MAX; /* the channel has one */
    return l;
}

/* The channel opens, or does not. */
EICEI_PRIVATE void eicei_via_open(eice_conn *c, eicei_link *l, eice_ssh *s,
                                  unsigned state)
{
    if ((state & EICE_CHAN_OPEN) != 0) {
        eicei_tunnel_begin(c, l);
        c->moved = true;
    } else if ((state & (EICE_CHAN_FAILED | EICE_CHAN_CLOSED)) != 0) {
        const eice_error *e = s != NULL
                                  ? eice_channel_error(s, c->via_channel)
                                  : &c->o.via->error;

        eice_fail(&l->error, e->code != EICE_OK ? e->code : EICE_E_SSH_LOST,
                  EICE_STAGE_CONNECT, "%s cannot reach %s port %d: %s",
                  c->o.via->host_name, c->private_ip, (int)c->o.port,
                  e->code != EICE_OK ? e->text : "the connection ended");
        eicei_copy_c(l->error.remedy, sizeof l->error.remedy,
                     "check that sshd listens there and that its security "
                     "group admits the instance in between");
        eicei_link_fail(c, l);
    }
}

/* Bytes between the channel and what takes it for a TCP connection. */
EICEI_PRIVATE bool eicei_via_pump(eice_conn *c, eice_ssh *s)
{
    const uint8_t *from;
    uint8_t *to;
    size_t n = eice_tunnel_net_in(c->tunnel, &to);
    bool moved = false;

    n = n > 0 ? eice_channel_read(s, c->via_channel, 0, to, n) : 0;
    if (n > 0) {
        eice_tunnel_net_in_ack(c->tunnel, n);
        moved = true;
    }
    n = eice_tunnel_net_out(c->tunnel, &from);
    n = n > 0 ? eice_channel_write(s, c->via_channel, from, n) : 0;
    if (n > 0) {
        eice_tunnel_net_out_ack(c->tunnel, n);
        moved = true;
    }
    return moved;
}

EICEI_PRIVATE void eicei_via_step(eice_conn *c)
{
    eice_ssh *s = eicei_via_ssh(c);
    eicei_link *l = &c->links[c->tunnel_link];
    unsigned state = s != NULL ? eice_channel_state(s, c->via_channel)
                               : EICE_CHAN_CLOSED;

    if (l->state == EICEI_LINK_VIA) {
        eicei_via_open(c, l, s, state);
    }
    if (l->state != EICEI_LINK_READY || c->tunnel == NULL) {
        return;
    }
    while (s != NULL && eicei_via_pump(c, s)) {
        c->moved = true;
        c->o.via->moved = true;
    }
    if (s == NULL) {
        eice_tunnel_net_eof(c->tunnel, EICE_E_NET_RESET);
    } else if ((eice_channel_state(s, c->via_channel)
                & (EICE_CHAN_EOF | EICE_CHAN_CLOSED | EICE_CHAN_FAILED))
               != 0) {
        eice_tunnel_net_eof(c->tunnel, EICE_OK);
    }
}

#else

EICEI_PRIVATE eicei_link *eicei_via_dial(eice_conn *c)
{
    (void)c;
    return NULL;
}

EICEI_PRIVATE void eicei_via_step(eice_conn *c)
{
    (void)c;
}

#endif /* EICE_HAS_SSH */

EICEI_PRIVATE void eicei_tunnel_dial(eice_conn *c)
{
    const bool direct = eicei_is_direct(c);
    eicei_link *l;

    if (c->o.via != NULL) {
        l = eicei_via_dial(c);
    } else {
        l = eicei_link_open(c, !direct, eice_str_c(c->tunnel_host),
                            direct ? c->o.port : (uint16_t)443, false);
    }
    if (l != NULL) {
        l->tunnel = true;
        c->tunnel_link = (int)(l - c->links);
        c->moved = true;
    }
}

EICEI_PRIVATE void eicei_tunnel_log(eice_conn *c)
{
    eice_tunnel *t = c->tunnel;
    /* it may have been opened and ended since the last look */
    const bool open = t->phase == EICE_TUNNEL_OPEN
                      || (t->phase > EICE_TUNNEL_OPEN
                          && (t->error.code == EICE_OK
                              || t->error.stage == EICE_STAGE_TUNNEL));
    eice_attempt *a;

    if (open && !c->tunnel_logged) {
        c->tunnel_logged = true;
        a = eicei_conn_trail(c, eicei_is_direct(c) ? EICE_STAGE_CONNECT
                                                   : EICE_STAGE_UPGRADE,
                             EICE_OK, c->tunnel_began, t->request_id);
        eicei_attempt_says(a, "%s to %s port %d",
                           eicei_is_direct(c) ? "directly" : c->endpoint.id,
                           c->private_ip, (int)c->o.port);
        c->tunnel_began = c->now.ms;
        c->moved = true;
    }
    if (t->heard && !c->heard_logged) {
        c->heard_logged = true;
        a = eicei_conn_trail(c, EICE_STAGE_TARGET, EICE_OK, c->tunnel_began,
                             NULL);
        eicei_attempt_says(a, "%s port %d answers", c->private_ip,
                           (int)c->o.port);
    }
}

/* The tunnel did not open, or its link did not. Tries again where that may
 * help: after a temporary refusal, or once with the time of AWS. */
EICEI_PRIVATE void eicei_tunnel_failed(eice_conn *c, const eice_error *e)
{
    eicei_link *l = &c->links[c->tunnel_link];
    const int64_t before = c->clock_offset;
    const eice_error cause = *e;
    eice_attempt *a;

    a = eicei_conn_trail(c, cause.stage, cause.code, c->tunnel_began,
                         cause.request_id);
    eicei_attempt_says(a, "%s%s%s", c->tunnel_host,
                       cause.aws_code[0] != 0 ? ": " : "", cause.aws_code);
    if (c->tunnel != NULL) {
        eicei_clock_learn(c, c->tunnel->server_unix_s);
    }
    if (cause.http_status >= 400 && cause.http_status < 500
        && !c->tunnel_clock_retried && c->clock_offset != before) {
        c->tunnel_clock_retried = true;
    } else if (eicei_serial_again(c, &cause)) {
        c->tunnel_wake = c->now.ms;
    } else if (cause.retryable
               && ++c->tunnel_tries < c->cred.settings.max_attempts) {
        c->tunnel_wake = c->now.ms + eicei_backoff(c, c->tunnel_tries);
    } else {
        eicei_conn_fail(c, &cause);
        return;
    }
    eicei_tunnel_drop(c);
    eicei_link_close(c, l);
    c->tunnel_link = -1;
    c->moved = true;
}

/* True as long as the tunnel is open or has bytes to be read. */
EICEI_PRIVATE bool eicei_tunnel_live(eice_conn *c)
{
    return c->tunnel != NULL && c->tunnel_logged;
}

EICEI_PRIVATE void eicei_tunnel_step(eice_conn *c)
{
    eicei_link *l;
    eice_tunnel *t = c->tunnel;
    unsigned state;

    if (c->tunnel_link < 0) {
        return;
    }
    if (c->o.via != NULL) {
        eicei_via_step(c);
    }
    l = &c->links[c->tunnel_link];
    if (l->state == EICEI_LINK_FAILED) {
        eicei_tunnel_failed(c, &l->error);
        return;
    }
    if (t == NULL || l->state != EICEI_LINK_READY) {
        return;
    }
    eice_tunnel_tick(t, c->now.ms);
    state = eice_tunnel_state(t);
    eicei_tunnel_log(c);
    if ((state & EICE_DONE) == 0 || c->tunnel_logged) {
        return;
    }
    if (t->error.code == EICE_E_TLS_UNTRUSTED
        && c->trust_state != EICEI_TRUST_FULL) {
        l->error = t->error;
        eicei_link_fail(c, l);
        return;
    }
    eice_fail(&t->error, EICE_E_NET_RESET, EICE_STAGE_UPGRADE,
              "%s closed the connection", c->tunnel_host);
    eicei_tunnel_failed(c, &t->error);
}

/* ---- SSH --------------------------------------------------------------- */

#if EICE_HAS_SSH

EICEI_PRIVATE void eicei_type_known(void *user, eice_str name)
{
    eice_conn *c = (eice_conn *)user;
    eice_buf b;

    eice_buf_init(&b, c->types, sizeof c->types);
    b.len = strlen(c->types);
    if (eice_str_is(name, "ssh-rsa")) { /* its signatures are SHA-2 */
        name = eice_str_c("rsa-sha2-512,rsa-sha2-256");
    }
    if (b.len + name.len + 2 < sizeof c->types) {
        eice_put_c(&b, b.len > 0 ? "," : "");
        eice_put(&b, name);
        (void)eice_buf_c(&b);
    }
}

EICEI_PRIVATE const char *eicei_known_path(const eice_conn *c)
{
    return eicei_set(c->o.known_hosts) ? c->o.known_hosts
                                       : "~/.local/state/eice/known_hosts";
}

EICEI_PRIVATE eice_str eicei_known_text(const eice_conn *c)
{
    return eice_str_make(c->known.ptr, c->known.len);
}

EICEI_PRIVATE void eicei_ssh_begin(eice_conn *c)
{
    eice_ssh_opts o;
    eice_error e;

    memset(&o, 0, sizeof o);
    memset(&e, 0, sizeof e);
    c->types[0] = 0;
    eice_known_hosts_types(eicei_known_text(c), eice_str_c(c->host_name),
                           eicei_type_known, c);
    o.alloc = &c->alloc;
    o.host_key_known = c->types[0] != 0 ? c->types : NULL;
    o.host_key_types = c->o.host_key_types;
    o.kex = c->o.kex;
    o.ciphers = c->o.ciphers;
    o.macs = c->o.macs;
    o.rekey_bytes = c->o.rekey_bytes;
    o.banner_timeout_ms = c->o.answer_timeout_ms;
    o.kex_timeout_ms = c->o.answer_timeout_ms;
    o.auth_timeout_ms = c->o.answer_timeout_ms;
    o.channel_timeout_ms = c->o.answer_timeout_ms;
    if (c->o.keepalive_ms != UINT32_MAX) {
        o.keepalive_ms = eicei_or32(c->o.keepalive_ms, 15000);
    }
    c->ssh = eice_ssh_new(&o, c->now.ms, &e);
    c->ssh_began = c->now.ms;
    if (c->ssh == NULL) {
        eicei_conn_fail(c, &e);
    }
    c->moved = true;
}

/* Moves bytes between the tunnel and the session, as far as both go. */
EICEI_PRIVATE bool eicei_ssh_pump(eice_conn *c)
{
    const uint8_t *from;
    uint8_t *to;
    size_t n;
    size_t room;
    bool moved = false;

    n = eice_tunnel_app_out(c->tunnel, &from);
    room = eice_ssh_net_in(c->ssh, &to);
    if (n > 0 && room > 0) {
        n = n < room ? n : room;
        memcpy(to, from, n);
        eice_ssh_net_in_ack(c->ssh, n);
        eice_tunnel_app_out_ack(c->tunnel, n);
        moved = true;
    }
    if (eice_ssh_step(c->ssh, c->now.ms)) {
        moved = true;
    }
    n = eice_ssh_net_out(c->ssh, &from);
    room = eice_tunnel_app_in(c->tunnel, &to);
    if (n > 0 && room > 0) {
        n = n < room ? n : room;
        memcpy(to, from, n);
        eice_tunnel_app_in_ack(c->tunnel, n);
        eice_ssh_net_out_ack(c->ssh, n);
        moved = true;
    }
    return moved;
}

/* ---- the instance's console -------------------------------------------- */

EICEI_PRIVATE bool eicei_console_item(void *user, const eice_item *item)
{
    eice_conn *const c = (eice_conn *)user;
    const eice_str blob = eice_ssh_host_key(c->ssh);
    eice_str raw;
    uint8_t *text;
    ptrdiff_t n = -1;

    if (!eice_item_raw(item, "output", &raw) || raw.len == 0) {
        return true;
    }
    text = (uint8_t *)eice_resize(&c->alloc, NULL, raw.len);
    if (text != NULL) {
        n = eice_base64_decode(raw, text, raw.len);
    }
    if (n > 0) {
        c->console_says = eice_console_check(eice_str_make(text, (size_t)n),
                                             blob.ptr, blob.len);
    }
    (void)eice_resize(&c->alloc, text, 0);
    return true;
}

/* First what it shows now, which not every instance type can tell, then what
 * was kept of its last boot. */
EICEI_PRIVATE void eicei_console_ask(eice_conn *c)
{
    eice_call *const k = &c->console;

    memset(k, 0, sizeof *k);
    c->console_params[0].name = eice_str_c("InstanceId");
    c->console_params[0].value = eice_str_c(c->instance_id);
    c->console_params[1].name = eice_str_c("Latest");
    c->console_params[1].value = eice_str_c("true");
    k->op = EICE_OP_GET_CONSOLE_OUTPUT;
    k->params = c->console_params;
    k->param_count = c->console_tries++ == 0 ? 2 : 1;
    k->item = eicei_console_item;
    k->user = c;
    (void)eice_conn_call(c, k); /* its error shows in `done` */
    c->moved = true;
}

/* What it says is known, or nobody wants to know; otherwise asks. */
EICEI_PRIVATE bool eicei_console_known(eice_conn *c)
{
    if (c->o.policy != EICE_POLICY_CONSOLE || c->console_done
        || c->o.route == EICE_ROUTE_SERIAL || c->instance_id[0] == 0) {
        return true;
    }
    if (c->console_tries == 0) {
        eicei_console_ask(c);
    }
    return false;
}

EICEI_PRIVATE void eicei_hostkey_check(eice_conn *c);

EICEI_PRIVATE void eicei_console_step(eice_conn *c)
{
    const eice_error *e = &c->console.error;

    if (c->console_tries == 0 || c->console_done || !c->console.done) {
        return;
    }
    if (c->console_says == EICE_CONSOLE_NONE && c->console_tries == 1
        && (e->code == EICE_OK
            || strcmp(e->aws_code, "UnsupportedOperation") == 0)) {
        eicei_console_ask(c);
        return;
    }
    c->console_done = true;
    if (c->console_says == EICE_CONSOLE_NONE) {
        eicei_attempt_says(eicei_conn_warn(c, EICE_STAGE_HOSTKEY),
                           "the console of %s shows no host keys%s%s",
                           c->host_name, e->code != EICE_OK ? ": " : "",
                           e->text);
    }
    eicei_hostkey_check(c);
}

EICEI_PRIVATE const char *eicei_console_remedy(const eice_conn *c)
{
    static const char *const texts[] = {
        "",
        "its console shows this key: the instance was set up anew; remove "
        "the line named to accept it",
        "its console shows other keys: do not connect, something else may "
        "answer at its address"};

    return texts[c->console_says];
}

EICEI_PRIVATE void eicei_hostkey_fail(eice_conn *c, eice_err code,
                                      unsigned line)
{
    const eice_str blob = eice_ssh_host_key(c->ssh);
    char print[EICE_FINGERPRINT];
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_key_fingerprint(print, blob.ptr, blob.len);
    if (line > 0) {
        eice_fail(&e, code, EICE_STAGE_HOSTKEY,
                  "%s: %s: it offers %s, which is not what line %u of %s says",
                  c->host_name, eice_err_text(code), print, line,
                  eicei_known_path(c));
    } else {
        eice_fail(&e, code, EICE_STAGE_HOSTKEY, "%s: %s: it offers %s (%s)",
                  c->host_name, eice_err_text(code), print,
                  eicei_known_path(c));
    }
    eicei_copy_c(e.remedy, sizeof e.remedy, eicei_console_remedy(c));
    eice_ssh_refuse(c->ssh, &e);
    eicei_conn_fail(c, &e);
}

EICEI_PRIVATE void eicei_hostkey_accept(eice_conn *c)
{
    const eice_str blob = eice_ssh_host_key(c->ssh);
    char print[EICE_FINGERPRINT];
    eice_attempt *a;

    eice_key_fingerprint(print, blob.ptr, blob.len);
    a = eicei_conn_trail(c, EICE_STAGE_HOSTKEY, EICE_OK, c->ssh_began, NULL);
    eicei_attempt_says(a, "%s %s", c->host_name, print);
    c->ssh_began = c->now.ms;
    eice_ssh_accept(c->ssh);
    c->moved = true;
}

/* A key nobody has seen: what the policy says. */
EICEI_PRIVATE void eicei_hostkey_unknown(eice_conn *c)
{
    const eice_str blob = eice_ssh_host_key(c->ssh);
    eicei_ask *a;
    eice_buf line;

    if (!eicei_console_known(c)) {
        return;
    }
    if (c->o.policy == EICE_POLICY_STRICT
        || c->console_says == EICE_CONSOLE_OTHER) {
        eicei_hostkey_fail(c, EICE_E_HOST_KEY_UNKNOWN, 0);
        return;
    }
    a = eicei_ask_new(c,
                      c->o.policy == EICE_POLICY_ASK ? EICE_NEED_HOSTKEY
                                                     : EICE_NEED_STORE,
                      c->o.policy == EICE_POLICY_ASK ? EICEI_OWN_HOSTKEY
                                                     : EICEI_OWN_TOFU,
                      0);
    if (a == NULL) {
        return;
    }
    if (c->o.policy == EICE_POLICY_ASK) {
        a->need.name = eice_str_c(c->host_name);
        a->need.text = blob;
        return;
    }
    eice_buf_init(&line, c->known_line, sizeof c->known_line);
    eice_known_hosts_line(&line, eice_str_c(c->host_name), blob.ptr,
                          blob.len);
    a->need.name = eice_str_c(eicei_known_path(c));
    a->need.text = eice_str_trim(eice_buf_str(&line));
}

/* One key is right, and it is known which. */
EICEI_PRIVATE void eicei_hostkey_pinned(eice_conn *c, const char *pin)
{
    const eice_str blob = eice_ssh_host_key(c->ssh);
    char print[EICE_FINGERPRINT];
    eice_error e;

    eice_key_fingerprint(print, blob.ptr, blob.len);
    if (strcmp(print, pin) == 0) {
        eicei_hostkey_accept(c);
        return;
    }
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_HOST_KEY_CHANGED, EICE_STAGE_HOSTKEY,
              "%s: it offers %s, not %s, which %s", c->host_name, print, pin,
              pin == c->o.host_key ? "was given" : "AWS publishes");
    eicei_copy_c(e.remedy, sizeof e.remedy,
                 pin == c->o.host_key
                     ? "do not connect unless you know why"
                     : "do not connect; if AWS publishes another fingerprint "
                       "by now, give it with --host-key");
    eice_ssh_refuse(c->ssh, &e);
    eicei_conn_fail(c, &e);
}

EICEI_PRIVATE void eicei_hostkey_check(eice_conn *c)
{
    const eice_str blob = eice_ssh_host_key(c->ssh);
    char print[EICE_FINGERPRINT];
    unsigned line = 0;

    if (eicei_set(c->o.host_key)) {
        eicei_hostkey_pinned(c, c->o.host_key);
        return;
    }
    if (c->o.policy == EICE_POLICY_OFF) {
        eicei_attempt_says(eicei_conn_warn(c, EICE_STAGE_HOSTKEY),
                           "the host key of %s is not verified",
                           c->host_name);
        eicei_hostkey_accept(c);
        return;
    }
    if (c->o.route == EICE_ROUTE_SERIAL
        && eicei_serial_print(c, print)[0] != 0) {
        eicei_hostkey_pinned(c, print);
        return;
    }
    switch (eice_known_hosts_check(eicei_known_text(c),
                                   eice_str_c(c->host_name), blob.ptr,
                                   blob.len, &line)) {
    case EICE_HOSTKEY_MATCH:
        eicei_hostkey_accept(c);
        break;
    case EICE_HOSTKEY_UNKNOWN:
        eicei_hostkey_unknown(c);
        break;
    case EICE_HOSTKEY_REVOKED:
        eicei_hostkey_fail(c, EICE_E_HOST_KEY_REVOKED, line);
        break;
    case EICE_HOSTKEY_CHANGED:
    case EICE_HOSTKEY_OTHER: /* known types come first in negotiation: a
                                server that has that key would offer it */
        if (!eicei_console_known(c)) {
            return;
        }
        eicei_hostkey_fail(c, EICE_E_HOST_KEY_CHANGED, line);
        break;
    }
}

EICEI_PRIVATE void eicei_auth_begin(eice_conn *c)
{
    eice_ssh_login login;

    if (!c->key_ready) {
        eicei_key_make(c);
    }
    memset(&login, 0, sizeof login);
    login.user = c->o.user;
    login.key_blob = eice_str_make(c->key_blob, c->key_blob_len);
    login.sign = c->o.public_key.len > 0 ? c->o.sign : eice_user_key_sign;
    login.sign_user = c->o.public_key.len > 0 ? c->o.sign_user : &c->own_key;
    c->ssh_began = c->now.ms;
    c->auth_running = true;
    c->moved = true;
    (void)eice_ssh_auth(c->ssh, &login); /* its error shows in the phase */
}

/* A pushed key lives 60 s, and sshd looks for it at the end of the login: a
 * key older than two thirds of that is pushed again first. */
EICEI_PRIVATE bool eicei_key_old(const eice_conn *c)
{
    const uint64_t life = eicei_or32(c->o.key_life_ms, 60000);

    return eicei_key_taken(c) && c->now.ms - c->pushed_ms >= life * 2 / 3;
}

EICEI_PRIVATE void eicei_auth_rejected(eice_conn *c)
{
    const eice_str methods = eice_ssh_auth_methods(c->ssh);
    eice_error e;
    eice_attempt *a;

    a = eicei_conn_trail(c, EICE_STAGE_AUTH, EICE_E_SSH_AUTH, c->ssh_began,
                         NULL);
    eicei_attempt_says(a, "%s", c->o.user);
    c->auth_running = false;
    if (eicei_key_old(c) && c->rejections++ == 0) {
        eicei_push_start(c);
        return;
    }
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_SSH_AUTH, EICE_STAGE_AUTH,
              "%s rejected the key for login %s (methods: %S)", c->host_name,
              c->o.user, &methods);
    if (!eicei_key_taken(c)) {
        eice_copy_text(e.remedy, sizeof e.remedy,
                       eice_str_c("EC2 Instance Connect takes Ed25519 and RSA "
                                  "keys only: this one must be in "
                                  "~/.ssh/authorized_keys of the login"));
    }
    eicei_conn_fail(c, &e);
}

EICEI_PRIVATE void eicei_auth_step(eice_conn *c)
{
    if (eice_ssh_rejected(c->ssh)) {
        eicei_auth_rejected(c);
    } else if (!c->auth_running && (c->pushed || !eicei_key_taken(c))) {
        if (eicei_key_old(c)) {
            eicei_push_start(c);
        } else {
            eicei_auth_begin(c);
        }
    }
}

/* What a new phase of the session means here. */
EICEI_PRIVATE void eicei_ssh_phase_new(eice_conn *c, eice_ssh_phase phase)
{
    const eice_str banner = eice_ssh_banner(c->ssh);
    const eice_str methods = eice_ssh_methods(c->ssh);
    eice_attempt *a;

    c->moved = true;
    if (phase == EICE_SSH_HOSTKEY) {
        a = eicei_conn_trail(c, EICE_STAGE_KEX, EICE_OK, c->ssh_began, NULL);
        eicei_attempt_says(a, "%S, %S", &banner, &methods);
        if (eice_str_glob(methods, eice_str_c("*sha1*"), false)
            || eice_str_glob(methods, eice_str_c("* ssh-rsa *"), false)) {
            eicei_attempt_says(eicei_conn_warn(c, EICE_STAGE_KEX),
                               "this connection rests on SHA-1: %S", &methods);
        }
        c->ssh_began = c->now.ms;
    } else if (phase == EICE_SSH_READY) {
        a = eicei_conn_trail(c, EICE_STAGE_AUTH, EICE_OK, c->ssh_began, NULL);
        eicei_attempt_says(a, "%s", c->o.user);
        c->open = true;
    } else if (phase == EICE_SSH_CLOSED) {
        eice_tunnel_close(c->tunnel);
    }
}

/* The session failed: the tunnel's word on why comes first, unless the
 * instance said something that no SSH server says. */
EICEI_PRIVATE void eicei_ssh_failed(eice_conn *c)
{
    const eice_error *said = eice_ssh_error(c->ssh);
    const eice_error *e = c->tunnel->error.code != EICE_OK
                                  && !(said->code == EICE_E_SSH_BANNER
                                       && c->tunnel->heard)
                              ? &c->tunnel->error
                              : said;

    eicei_attempt_says(eicei_conn_trail(c, e->stage, e->code, c->ssh_began,
                                        NULL),
                       "%s", c->host_name);
    eicei_conn_fail(c, e);
}

/* The tunnel ended while no channel was open. */
EICEI_PRIVATE void eicei_ssh_gone(eice_conn *c)
{
    if (c->tunnel->error.code != EICE_OK) {
        eicei_conn_fail(c, &c->tunnel->error);
    } else {
        eicei_conn_over(c);
    }
}

EICEI_PRIVATE void eicei_ssh_step(eice_conn *c)
{
    eice_ssh_phase phase;

    if (!eicei_tunnel_live(c) || !c->known_ready) {
        return;
    }
    if (c->ssh == NULL) {
        eicei_ssh_begin(c);
        return;
    }
    while (eicei_ssh_pump(c)) {
        c->moved = true;
    }
    if ((eice_tunnel_state(c->tunnel) & EICE_DONE) != 0) {
        eice_ssh_net_eof(c->ssh, c->tunnel->error.code);
        while (eice_ssh_step(c->ssh, c->now.ms)) {
            c->moved = true;
        }
    }
    phase = eice_ssh_phase_of(c->ssh);
    if (phase != c->ssh_phase) {
        c->ssh_phase = phase;
        eicei_ssh_phase_new(c, phase);
    }
    if (phase == EICE_SSH_HOSTKEY && !c->hostkey_asked) {
        c->hostkey_asked = true;
        eicei_hostkey_check(c);
    } else if (phase == EICE_SSH_HOSTKEY) {
        eicei_console_step(c);
    } else if (phase == EICE_SSH_IDLE) {
        eicei_auth_step(c);
    } else if (phase == EICE_SSH_FAILED && c->state == EICEI_CONN_RUN) {
        eicei_ssh_failed(c);
    } else if (phase == EICE_SSH_CLOSED && c->state == EICEI_CONN_RUN
               && (eice_tunnel_state(c->tunnel) & EICE_DONE) != 0) {
        eicei_ssh_gone(c);
    }
}

EICEI_PRIVATE void eicei_ssh_drop(eice_conn *c)
{
    eice_ssh_free(c->ssh);
    c->ssh = NULL;
}

#else

EICEI_PRIVATE void eicei_ssh_step(eice_conn *c)
{
    (void)c;
}

EICEI_PRIVATE void eicei_ssh_drop(eice_conn *c)
{
    (void)c;
}

#endif /* EICE_HAS_SSH */

/* ---- the plan ---------------------------------------------------------- */

EICEI_PRIVATE bool eicei_wants_tunnel(const eice_conn *c)
{
    return c->o.goal == EICE_GOAL_SSH || c->o.goal == EICE_GOAL_TUNNEL;
}

EICEI_PRIVATE bool eicei_wants_push(const eice_conn *c)
{
    return (c->o.goal == EICE_GOAL_SSH && eicei_key_taken(c))
           || c->o.goal == EICE_GOAL_PUSH
           || (c->o.goal == EICE_GOAL_TUNNEL && c->o.public_key.len > 0);
}

EICEI_PRIVATE bool eicei_route_known(const eice_conn *c)
{
    return c->o.via != NULL || c->o.route != EICE_ROUTE_AUTO
           || c->calls[EICE_OP_DESCRIBE_INSTANCES].state == EICEI_CALL_DONE;
}

EICEI_PRIVATE bool eicei_wants_endpoint(const eice_conn *c)
{
    return eicei_wants_tunnel(c) && eicei_route_known(c)
           && !eicei_is_direct(c)
           && !(eicei_set(c->o.endpoint_id) && eicei_set(c->o.endpoint_dns));
}

EICEI_PRIVATE bool eicei_wants_instance(const eice_conn *c)
{
    const bool by_id = eicei_is_instance_id(c->o.target);

    if (c->o.route == EICE_ROUTE_SERIAL) {
        return !by_id;
    }
    if (c->o.goal == EICE_GOAL_FIND || (eicei_wants_push(c) && !by_id)) {
        return true;
    }
    if (eicei_wants_tunnel(c)
        && (c->o.via != NULL || c->o.route != EICE_ROUTE_ENDPOINT)) {
        return !eicei_set(c->o.private_ip) || c->o.route == EICE_ROUTE_AUTO;
    }
    return eicei_wants_tunnel(c)
           && (!eicei_set(c->o.private_ip) || !eicei_set(c->o.endpoint_id));
}

EICEI_PRIVATE bool eicei_call_done(const eice_conn *c, eice_op op)
{
    return c->calls[op].state == EICEI_CALL_DONE;
}

/* Starts the calls whose inputs are there. */
EICEI_PRIVATE void eicei_plan_calls(eice_conn *c)
{
    const bool idle_i = c->calls[EICE_OP_DESCRIBE_INSTANCES].state
                        == EICEI_CALL_IDLE;
    const bool idle_e = c->calls[EICE_OP_DESCRIBE_ENDPOINTS].state
                        == EICEI_CALL_IDLE;
    const bool idle_p = c->calls[EICE_OP_SEND_SSH_PUBLIC_KEY].state
                        == EICEI_CALL_IDLE;
    const bool idle_id = c->calls[EICE_OP_GET_CALLER_IDENTITY].state
                         == EICEI_CALL_IDLE;

    if (c->o.goal == EICE_GOAL_IDENTITY && idle_id) {
        eicei_call_start(c, EICE_OP_GET_CALLER_IDENTITY);
    }
    if (eicei_wants_instance(c) && idle_i) {
        eicei_instances_start(c);
    }
    if (eicei_wants_endpoint(c) && idle_e) {
        eicei_endpoints_start(c);
    }
    if (eicei_wants_push(c) && idle_p && c->instance_id[0] != 0) {
        eicei_push_start(c);
    }
}

EICEI_PRIVATE void eicei_plan_tunnel(eice_conn *c)
{
    const bool instance = !eicei_wants_instance(c)
                          || eicei_call_done(c, EICE_OP_DESCRIBE_INSTANCES);
    const bool endpoint = !eicei_wants_endpoint(c)
                          || eicei_call_done(c, EICE_OP_DESCRIBE_ENDPOINTS);

    if (!c->chosen && instance && endpoint) {
        eicei_choose(c);
    }
    if (c->chosen && c->state == EICEI_CONN_RUN && c->tunnel_link < 0
        && c->now.ms >= c->tunnel_wake) {
        eicei_tunnel_dial(c);
    }
}

/* Is the goal reached? */
EICEI_PRIVATE void eicei_plan_goal(eice_conn *c)
{
    const bool was = c->open;

    switch (c->o.goal) {
    case EICE_GOAL_IDENTITY:
        c->open = eicei_call_done(c, EICE_OP_GET_CALLER_IDENTITY);
        break;
    case EICE_GOAL_FIND:
        c->open = eicei_call_done(c, EICE_OP_DESCRIBE_INSTANCES);
        break;
    case EICE_GOAL_PUSH:
        c->open = c->pushed;
        break;
    case EICE_GOAL_TUNNEL:
        c->open = c->open
                  || (eicei_tunnel_live(c)
                      && (c->pushed || !eicei_wants_push(c)));
        break;
    case EICE_GOAL_CALLS:
        c->open = true;
        break;
    case EICE_GOAL_SSH: /* eicei_ssh_phase_new says */
        break;
    }
    if (c->open && !was) {
        c->moved = true;
        if (!eicei_wants_tunnel(c) && c->o.goal != EICE_GOAL_CALLS) {
            eicei_conn_over(c);
        }
    }
}

EICEI_PRIVATE void eicei_cred_step(eice_conn *c)
{
    eice_attempt *a;

    if (c->cred_done || !eice_cred_done(&c->cred)) {
        return;
    }
    c->cred_done = true;
    c->moved = true;
    a = eicei_conn_trail(c, EICE_STAGE_CREDENTIALS, c->cred.error.code,
                         c->start_ms, NULL);
    eicei_attempt_says(a, "%s", c->cred.provider);
    if (c->cred.warning[0] != 0) {
        eicei_attempt_says(eicei_conn_warn(c, EICE_STAGE_CREDENTIALS), "%s",
                           c->cred.warning);
    }
    if (c->cred.error.code != EICE_OK) {
        eicei_conn_fail(c, &c->cred.error);
    }
}

/* Idle connections to the API are given up once the session stands. */
EICEI_PRIVATE void eicei_links_rest(eice_conn *c)
{
    size_t i;

    for (i = 0; c->open && c->o.goal != EICE_GOAL_CALLS && i < EICEI_LINKS;
         i++) {
        eicei_link *l = &c->links[i];

        if (!l->tunnel && !l->busy && l->state != EICEI_LINK_FREE) {
            eicei_link_close(c, l);
        }
    }
}

/* A call that the credentials come from, as soon as it can be made. */
EICEI_PRIVATE void eicei_plan_sts(eice_conn *c)
{
    const eice_op op = c->sts.keys != NULL ? EICE_OP_ASSUME_ROLE
                                           : EICE_OP_ASSUME_WEB_IDENTITY;
    eicei_call *const k = &c->calls[op];
    size_t i;

    if (c->sts.kind == EICE_NEED_NONE || c->sts_begun || !c->random_ready
        || c->trust_now == NULL) {
        return;
    }
    c->sts_begun = true;
    for (i = 0; i < c->sts.param_count && i < EICEI_CALL_PARAMS; i++) {
        k->params[i] = c->sts.params[i];
    }
    k->param_count = i;
    eicei_call_start(c, op);
}

EICEI_PRIVATE void eicei_plan(eice_conn *c)
{
    eicei_plan_sts(c);
    if (c->state != EICEI_CONN_RUN || !c->cred_done || !c->random_ready
        || c->trust_now == NULL) {
        return;
    }
    eicei_plan_calls(c);
    if (eicei_wants_tunnel(c)) {
        eicei_plan_tunnel(c);
    }
    eicei_plan_goal(c);
    eicei_links_rest(c);
}

/* The stream of GOAL_TUNNEL, or what is being closed, comes to its end. */
EICEI_PRIVATE void eicei_conn_end(eice_conn *c)
{
    const bool ended = eicei_tunnel_live(c)
                       && (eice_tunnel_state(c->tunnel) & EICE_DONE) != 0;

    if (c->state == EICEI_CONN_CLOSING
        && (ended || c->now.ms >= c->close_deadline)) {
        eicei_conn_over(c);
    } else if (c->state == EICEI_CONN_RUN && ended
               && c->o.goal == EICE_GOAL_TUNNEL) {
        eicei_tunnel_log(c);
        if (c->tunnel->error.code != EICE_OK) {
            eicei_conn_fail(c, &c->tunnel->error);
        } else {
            eicei_conn_over(c);
        }
    }
}

void eice_conn_step(eice_conn *c, eice_now now)
{
    unsigned turns = 0;
    size_t i;

    c->now = now;
    do {
        if (c->state == EICEI_CONN_OVER) {
            return;
        }
        c->moved = false;
        eicei_cred_step(c);
        eicei_fetch_step(c);
        eicei_trust_step(c);
        eicei_plan(c);
        for (i = 0; i < EICEI_LINKS; i++) {
            eicei_link_step(c, &c->links[i]);
        }
        for (i = 0; i < EICEI_CALLS && c->state == EICEI_CONN_RUN; i++) {
            eicei_call_step(c, &c->calls[i]);
        }
        eicei_asked_step(c);
        if (c->state != EICEI_CONN_OVER) {
            eicei_tunnel_step(c);
        }
        if (c->state != EICEI_CONN_OVER && c->o.goal == EICE_GOAL_SSH) {
            eicei_ssh_step(c);
        }
        eicei_conn_end(c);
    } while (c->moved && ++turns < 64);
}

EICEI_PRIVATE uint64_t eicei_call_deadline(const eicei_call *k)
{
    return k->state == EICEI_CALL_WAIT   ? k->wake
           : k->state == EICEI_CALL_TALK ? k->deadline
                                         : UINT64_MAX;
}

uint64_t eice_conn_deadline(const eice_conn *c)
{
    uint64_t t = c->moved ? c->now.ms : UINT64_MAX;
    const eicei_call *k;
    size_t i;

    if (c->state == EICEI_CONN_OVER) {
        return UINT64_MAX;
    }
    for (i = 0; i < EICEI_LINKS; i++) {
        if (c->links[i].state != EICEI_LINK_FREE) {
            t = eicei_min64(t, c->links[i].deadline);
            t = eicei_min64(t, c->links[i].stagger);
        }
    }
    if (c->fetch.state != EICEI_CALL_IDLE) {
        t = eicei_min64(t, c->fetch.deadline);
    }
    for (i = 0; i < EICEI_CALLS && c->state == EICEI_CONN_RUN; i++) {
        t = eicei_min64(t, eicei_call_deadline(&c->calls[i]));
    }
    for (k = c->asked; k != NULL; k = k->next) {
        t = eicei_min64(t, eicei_min64(eicei_call_deadline(k), k->limit));
    }
    if (c->tunnel != NULL) {
        t = eicei_min64(t, eice_tunnel_deadline(c->tunnel));
    } else if (c->chosen && c->tunnel_link < 0) {
        t = eicei_min64(t, c->tunnel_wake);
    }
#if EICE_HAS_SSH
    if (c->ssh != NULL) {
        t = eicei_min64(t, eice_ssh_deadline(c->ssh));
    }
#endif
    if (c->state == EICEI_CONN_CLOSING) {
        t = eicei_min64(t, c->close_deadline);
    }
    return t;
}

/* ---- needs, from outside ----------------------------------------------- */

#define EICEI_CRED_ID 0x80000000u /* ids of the credential machine */

bool eice_conn_need(eice_conn *c, eice_need *need)
{
    size_t i;

    if (c->state == EICEI_CONN_OVER) {
        return false;
    }
    for (i = 0; i < EICEI_NEEDS; i++) {
        if (c->asks[i].used && !c->asks[i].asked) {
            c->asks[i].asked = true;
            *need = c->asks[i].need;
            return true;
        }
    }
    if (c->cred_done || !eice_cred_need(&c->cred, need)) {
        return false;
    }
    if (need->kind == EICE_NEED_FETCH) {
        eicei_fetch_start(c, need);
        return false;
    }
    if (need->kind == EICE_NEED_TIME) {
        eice_answer a;

        memset(&a, 0, sizeof a);
        a.unix_s = c->now.unix_s + c->clock_offset;
        eice_cred_answer(&c->cred, need->id, &a);
        c->moved = true;
        return false;
    }
    if (need->kind == EICE_NEED_STS) {
        c->sts = *need;
        c->sts_begun = false;
        c->moved = true;
        return false;
    }
    need->id |= EICEI_CRED_ID;
    return true;
}

EICEI_PRIVATE void eicei_random_answer(eice_conn *c, const eice_answer *a)
{
    eice_error e;

    if (a->code == EICE_OK && a->data.len >= 32) {
        eice_drbg_init(&c->random, a->data.ptr, a->data.len);
        c->random_ready = true;
        return;
    }
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL,
              "this system gives no random bytes");
    eicei_conn_fail(c, &e);
}

EICEI_PRIVATE void eicei_known_answer(eice_conn *c, const eice_answer *a)
{
    eice_error e;

    c->known_ready = true;
    if (a->code == EICE_OK
        && (a->absent
            || eice_blob_add(&c->known, a->data.ptr, a->data.len,
                             EICEI_SYSTEM_STORE))) {
        return;
    }
    if (a->code == EICE_E_MEMORY
        || (a->code == EICE_OK && a->data.len < EICEI_SYSTEM_STORE)) {
        eicei_conn_starved(c, EICE_STAGE_HOSTKEY, "the known_hosts file");
        return;
    }
    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_LOCAL_IO, EICE_STAGE_HOSTKEY, "cannot read %s",
              eicei_set(c->o.known_hosts) ? c->o.known_hosts
                                          : "the known_hosts file");
    eicei_copy_c(e.remedy, sizeof e.remedy,
                 "make the file readable, or use --hostkey-policy off");
    eicei_conn_fail(c, &e);
}

#if EICE_HAS_SSH
EICEI_PRIVATE void eicei_hostkey_answer(eice_conn *c, eicei_owner owner,
                                        const eice_answer *a)
{
    if (c->ssh == NULL || eice_ssh_phase_of(c->ssh) != EICE_SSH_HOSTKEY) {
        return;
    }
    if (owner == EICEI_OWN_HOSTKEY && a->code != EICE_OK) {
        eicei_hostkey_fail(c, EICE_E_HOST_KEY_UNKNOWN, 0);
        return;
    }
    if (owner == EICEI_OWN_TOFU && a->code == EICE_OK
        && c->console_says == EICE_CONSOLE_MATCH) {
        eicei_attempt_says(eicei_conn_trail(c, EICE_STAGE_HOSTKEY, EICE_OK,
                                            c->ssh_began, NULL),
                           "the console of %s shows it; stored in %s",
                           c->host_name, eicei_known_path(c));
    } else if (owner == EICEI_OWN_TOFU) {
        eicei_attempt_says(eicei_conn_warn(c, EICE_STAGE_HOSTKEY),
                           a->code == EICE_OK
                               ? "first contact with %s: its host key is "
                                 "stored in %s"
                               : "first contact with %s: its host key cannot "
                                 "be stored in %s",
                           c->host_name, eicei_known_path(c));
    }
    eicei_hostkey_accept(c);
}
#else
EICEI_PRIVATE void eicei_hostkey_answer(eice_conn *c, eicei_owner owner,
                                        const eice_answer *a)
{
    (void)c;
    (void)owner;
    (void)a;
}
#endif

EICEI_PRIVATE void eicei_ask_answer(eice_conn *c, const eicei_ask *ask,
                                    const eice_answer *a)
{
    switch (ask->owner) {
    case EICEI_OWN_RANDOM:
        eicei_random_answer(c, a);
        break;
    case EICEI_OWN_LINK:
        if (c->links[ask->ref].state == EICEI_LINK_RESOLVE) {
            eicei_link_resolved(c, &c->links[ask->ref], a);
        }
        break;
    case EICEI_OWN_DIAL:
        if (c->slots[ask->ref].state == EICEI_SLOT_DIALING) {
            eicei_link_dialed(c, ask->ref, a);
        }
        break;
    case EICEI_OWN_BUNDLE:
        eicei_trust_bundle(c, a);
        break;
    case EICEI_OWN_STORE:
        eicei_trust_store(c, a);
        break;
    case EICEI_OWN_KNOWN:
        eicei_known_answer(c, a);
        break;
    case EICEI_OWN_HOSTKEY:
    case EICEI_OWN_TOFU:
        eicei_hostkey_answer(c, ask->owner, a);
        break;
    }
}

void eice_conn_answer(eice_conn *c, uint32_t id, const eice_answer *a)
{
    size_t i;

    if (c->state == EICEI_CONN_OVER) {
        return;
    }
    c->moved = true;
    if ((id & EICEI_CRED_ID) != 0) {
        if (!c->cred_done) {
            eice_cred_answer(&c->cred, id & ~EICEI_CRED_ID, a);
        }
        return;
    }
    for (i = 0; i < EICEI_NEEDS; i++) {
        if (c->asks[i].used && c->asks[i].need.id == id) {
            const eicei_ask ask = c->asks[i];

            c->asks[i].used = false;
            eicei_ask_answer(c, &ask, a);
            return;
        }
    }
}

/* ---- slots, from outside ----------------------------------------------- */

/* The link of a connected slot, or NULL. */
EICEI_PRIVATE eicei_link *eicei_slot_link(eice_conn *c, int slot)
{
    if (slot < 0 || slot >= EICE_CONN_SLOTS
        || c->slots[slot].state != EICEI_SLOT_UP) {
        return NULL;
    }
    return &c->links[c->slots[slot].link];
}

unsigned eice_conn_slot(eice_conn *c, int slot)
{
    uint8_t *in;
    const uint8_t *out;

    if (slot < 0 || slot >= EICE_CONN_SLOTS) {
        return 0;
    }
    if (c->slots[slot].state == EICEI_SLOT_CLOSE) {
        return EICE_DONE;
    }
    if (eicei_slot_link(c, slot) == NULL) {
        return 0;
    }
    return (eice_conn_net_in(c, slot, &in) > 0 ? EICE_WANT_READ : 0)
           | (eice_conn_net_out(c, slot, &out) > 0 ? EICE_WANT_WRITE : 0);
}

void eice_conn_slot_closed(eice_conn *c, int slot)
{
    if (slot >= 0 && slot < EICE_CONN_SLOTS) {
        c->slots[slot].state = EICEI_SLOT_FREE;
        c->slots[slot].link = -1;
        c->moved = true;
    }
}

size_t eice_conn_net_out(eice_conn *c, int slot, const uint8_t **p)
{
    eicei_link *l = eicei_slot_link(c, slot);

    *p = NULL;
    if (l == NULL) {
        return 0;
    }
    if (l->out_at < l->out.len) {
        *p = l->out.ptr + l->out_at;
        return l->out.len - l->out_at;
    }
    if (l->tunnel && l->state == EICEI_LINK_READY) {
        return eice_tunnel_net_out(c->tunnel, p);
    }
    if (l->wire != NULL && l->state != EICEI_LINK_PROXY) {
        return eice_tls_net_out(&l->wire->tls, p);
    }
    return 0;
}

void eice_conn_net_out_ack(eice_conn *c, int slot, size_t n)
{
    eicei_link *l = eicei_slot_link(c, slot);

    if (l == NULL || n == 0) {
        return;
    }
    c->moved = true;
    if (l->out_at < l->out.len) {
        l->out_at += n;
        if (l->out_at == l->out.len) {
            eice_wipe(l->out.ptr, l->out.len);
            l->out.len = 0;
            l->out_at = 0;
        }
    } else if (l->tunnel && l->state == EICEI_LINK_READY) {
        eice_tunnel_net_out_ack(c->tunnel, n);
    } else if (l->wire != NULL) {
        eice_tls_net_out_ack(&l->wire->tls, n);
    }
}

/* Where a slot's bytes go: the tunnel, TLS, or a plain buffer. */
size_t eice_conn_net_in(eice_conn *c, int slot, uint8_t **p)
{
    eicei_link *l = eicei_slot_link(c, slot);

    *p = NULL;
    if (l == NULL) {
        return 0;
    }
    if (l->tunnel && l->state == EICEI_LINK_READY) {
        return eice_tunnel_net_in(c->tunnel, p);
    }
    if (l->wire != NULL && l->state != EICEI_LINK_PROXY) {
        return eice_tls_net_in(&l->wire->tls, p);
    }
    *p = l->plain + l->plain_len;
    return sizeof l->plain - l->plain_len;
}

void eice_conn_net_in_ack(eice_conn *c, int slot, size_t n)
{
    eicei_link *l = eicei_slot_link(c, slot);

    if (l == NULL || n == 0) {
        return;
    }
    c->moved = true;
    if (l->tunnel && l->state == EICEI_LINK_READY) {
        eice_tunnel_net_in_ack(c->tunnel, n);
    } else if (l->wire != NULL && l->state != EICEI_LINK_PROXY) {
        eice_tls_net_in_ack(&l->wire->tls, n);
    } else {
        l->plain_len += n;
    }
}

void eice_conn_net_eof(eice_conn *c, int slot, eice_err why, int sys_errno)
{
    eicei_link *l = eicei_slot_link(c, slot);

    if (l == NULL) {
        return;
    }
    c->moved = true;
    c->slots[slot].state = EICEI_SLOT_CLOSE;
    l->slot = -1;
    l->error.detail = sys_errno;
    l->error.detail_kind = sys_errno != 0 ? EICE_DETAIL_ERRNO
                                          : EICE_DETAIL_NONE;
    if (l->tunnel && l->state == EICEI_LINK_READY) {
        eice_tunnel_net_eof(c->tunnel, why);
    } else if (l->state == EICEI_LINK_PROXY) {
        eice_fail(&l->error, EICE_E_PROXY, EICE_STAGE_PROXY,
                  "proxy %s closed the connection", l->dial_host);
        eicei_link_fail(c, l);
    } else if (l->wire != NULL) {
        eice_tls_eof(&l->wire->tls);
    }
    if (!l->busy && l->state == EICEI_LINK_READY) {
        eicei_link_close(c, l);
    }
}

/* ---- life -------------------------------------------------------------- */

/* What stands in a host key file without a meaning of its own. */
EICEI_PRIVATE bool eicei_is_host_name(const char *name)
{
    const char *p;

    for (p = name; *p != 0; p++) {
        if (*p <= ' ' || *p > '~' || strchr(",*?!#|@", *p) != NULL) {
            return false;
        }
    }
    return p - name <= 120;
}

#if EICE_HAS_SSH
EICEI_PRIVATE eice_err eicei_algorithms_check(const eice_conn_opts *o,
                                              eice_error *e)
{
    const char *const specs[]
        = {o->kex, o->host_key_types, o->ciphers, o->macs};
    eice_err code = EICE_OK;
    int list;

    for (list = EICE_SSH_KEX; list <= EICE_SSH_MACS && code == EICE_OK;
         list++) {
        char text[768];
        eice_buf b;

        eice_buf_init(&b, text, sizeof text);
        code = eice_ssh_choose((eice_ssh_list)list, specs[list], &b, e);
    }
    return code;
}
#endif

EICEI_PRIVATE eice_err eicei_conn_check(const eice_conn_opts *o, eice_error *e)
{
    if (o->goal != EICE_GOAL_IDENTITY && o->goal != EICE_GOAL_CALLS
        && !eicei_set(o->target)) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG, "no target");
    }
    if (eicei_set(o->endpoint_dns) && !eicei_set(o->endpoint_id)) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "an endpoint's DNS name needs its id too");
    }
    if (o->route == EICE_ROUTE_DIRECT && eicei_set(o->endpoint_id)) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "a direct connection takes no endpoint (%s)",
                         o->endpoint_id);
    }
    if (o->max_tunnel_duration_s > 3600) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "tunnel duration %u: at most 3600 s",
                         o->max_tunnel_duration_s);
    }
    if (eicei_set(o->host_key_alias)
        && !eicei_is_host_name(o->host_key_alias)) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "%s cannot be a name in the host key file",
                         o->host_key_alias);
    }
    if (o->via != NULL
        && (!EICE_HAS_SSH || o->via->o.goal != EICE_GOAL_SSH
            || !o->via->open)) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "via: no open SSH connection");
    }
    if (o->goal == EICE_GOAL_PUSH && o->public_key.len == 0) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "no public key to push");
    }
    if (o->public_key.len > 4096) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         "the public key has more than 4096 characters");
    }
    if (o->goal == EICE_GOAL_SSH
        && (!EICE_HAS_SSH || (o->public_key.len > 0 && o->sign == NULL))) {
        return eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_CONFIG,
                         EICE_HAS_SSH ? "a public key without a way to sign"
                                      : "built without SSH");
    }
#if EICE_HAS_SSH
    return eicei_algorithms_check(o, e);
#else
    return EICE_OK;
#endif
}

EICEI_PRIVATE void eicei_conn_defaults(eice_conn *c)
{
    c->o.user = eicei_set(c->o.user) ? c->o.user : "ec2-user";
    c->o.port = c->o.port != 0 ? c->o.port : (uint16_t)22;
    c->o.max_tunnel_duration_s = eicei_or32(c->o.max_tunnel_duration_s, 3600);
    c->o.user_agent = eicei_set(c->o.user_agent) ? c->o.user_agent
                                                 : "eice/" EICE_VERSION;
    if (eicei_is_instance_id(c->o.target)) {
        eicei_copy_c(c->instance_id, sizeof c->instance_id, c->o.target);
    }
}

EICEI_PRIVATE eice_err eicei_conn_begin(eice_conn *c)
{
    eice_cred_opts cred;
    eicei_ask *a;

    memset(&cred, 0, sizeof cred);
    cred.alloc = &c->alloc;
    cred.profile = c->o.profile;
    cred.region = c->o.region;
    cred.ca_bundle = c->o.ca_bundle;
    cred.proxy = c->o.proxy;
    cred.fips = c->o.fips;
    cred.dualstack = c->o.dualstack;
    cred.keys = c->o.keys;
    cred.web_identity_token = c->o.web_identity_token;
    cred.role_arn = c->o.role_arn;
    cred.region_optional = c->o.region_optional;
    cred.process_timeout_ms = c->o.process_timeout_ms;
    a = eicei_ask_new(c, EICE_NEED_RANDOM, EICEI_OWN_RANDOM, 0);
    if (a != NULL) {
        a->need.max = 48;
    }
    if (c->o.goal == EICE_GOAL_SSH && c->o.policy != EICE_POLICY_OFF) {
        eicei_ask_file(c, EICEI_OWN_KNOWN,
                       eicei_set(c->o.known_hosts)
                           ? c->o.known_hosts
                           : "~/.local/state/eice/known_hosts",
                       EICEI_SYSTEM_STORE);
    } else {
        c->known_ready = true;
    }
    return eice_cred_init(&c->cred, &cred);
}

eice_conn *eice_conn_new(const eice_conn_opts *o, eice_now now, eice_error *e)
{
    eice_alloc alloc;
    eice_conn *c;
    size_t i;

    memset(&alloc, 0, sizeof alloc);
    if (o->alloc != NULL) {
        alloc = *o->alloc;
    }
    if (eicei_conn_check(o, e) != EICE_OK) {
        return NULL;
    }
    c = (eice_conn *)eice_resize(&alloc, NULL, sizeof *c);
    if (c == NULL) {
        eice_fail(e, EICE_E_MEMORY, EICE_STAGE_NONE,
                  "no memory for a connection");
        return NULL;
    }
    memset(c, 0, sizeof *c);
    c->o = *o;
    c->alloc = alloc;
    c->now = now;
    c->start_ms = now.ms;
    c->tunnel_link = -1;
    c->via_channel = -1;
    c->next_id = 1;
    c->endpoints.alloc = &c->alloc;
    c->known.alloc = &c->alloc;
    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        c->slots[i].link = -1;
    }
    for (i = 0; i < EICEI_LINKS; i++) {
        c->links[i].slot = -1;
    }
    for (i = 0; i < EICEI_CALLS; i++) {
        c->calls[i].link = -1;
    }
    c->retry_quota = EICEI_RETRY_QUOTA;
    eicei_conn_defaults(c);
    if (eicei_conn_begin(c) != EICE_OK) {
        eice_fail(e, c->cred.error.code, EICE_STAGE_CREDENTIALS, "%s",
                  c->cred.error.text);
        eice_conn_free(c);
        return NULL;
    }
    return c;
}

void eice_conn_free(eice_conn *c)
{
    eice_alloc alloc;
    size_t i;

    if (c == NULL) {
        return;
    }
    eicei_conn_over(c);
    eicei_ssh_drop(c);
    eicei_tunnel_drop(c);
    for (i = 0; i < EICEI_LEN(c->trust); i++) {
        if (c->trust[i].memory != NULL) {
            (void)eice_resize(&c->alloc, c->trust[i].memory, 0);
        }
    }
    eice_blob_free(&c->endpoints);
    eice_blob_free(&c->known);
    eice_cred_wipe(&c->cred);
    eice_drbg_wipe(&c->random);
    alloc = c->alloc;
    eice_wipe(c, sizeof *c);
    (void)eice_resize(&alloc, c, 0);
}

void eice_conn_close(eice_conn *c)
{
    if (c->state != EICEI_CONN_RUN) {
        return;
    }
    if (!eicei_tunnel_live(c)) {
        eice_conn_cancel(c);
        return;
    }
    c->state = EICEI_CONN_CLOSING;
    c->close_deadline = c->now.ms + EICEI_CLOSE_MS;
    c->moved = true;
#if EICE_HAS_SSH
    if (c->ssh != NULL) {
        eice_ssh_close(c->ssh); /* the tunnel follows when it is CLOSED */
        return;
    }
#endif
    eice_tunnel_close(c->tunnel);
}

void eice_conn_cancel(eice_conn *c)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    eice_fail(&e, EICE_E_CANCELLED, EICE_STAGE_NONE, "cancelled");
    eicei_conn_fail(c, &e);
}

/* ---- what the caller sees ---------------------------------------------- */

unsigned eice_conn_state(eice_conn *c)
{
    unsigned flags = c->open ? EICE_OPEN : 0;

    if (c->state == EICEI_CONN_OVER) {
        flags |= EICE_DONE;
    } else if (c->open && c->o.goal == EICE_GOAL_TUNNEL) {
        flags |= eice_tunnel_state(c->tunnel)
                 & (EICE_CAN_SEND | EICE_HAVE_DATA);
    }
    return flags;
}

const eice_error *eice_conn_error(const eice_conn *c)
{
    return &c->error;
}

/* The stream exists in GOAL_TUNNEL between OPEN and DONE. */
EICEI_PRIVATE bool eicei_conn_stream(const eice_conn *c)
{
    return c->open && c->o.goal == EICE_GOAL_TUNNEL
           && c->state != EICEI_CONN_OVER && c->tunnel != NULL;
}

size_t eice_conn_app_in(eice_conn *c, uint8_t **p)
{
    *p = NULL;
    return eicei_conn_stream(c) ? eice_tunnel_app_in(c->tunnel, p) : 0;
}

void eice_conn_app_in_ack(eice_conn *c, size_t n)
{
    if (n > 0 && eicei_conn_stream(c)) {
        eice_tunnel_app_in_ack(c->tunnel, n);
        c->moved = true;
    }
}

size_t eice_conn_app_out(eice_conn *c, const uint8_t **p)
{
    *p = NULL;
    return eicei_conn_stream(c) ? eice_tunnel_app_out(c->tunnel, p) : 0;
}

void eice_conn_app_out_ack(eice_conn *c, size_t n)
{
    if (n > 0 && eicei_conn_stream(c)) {
        eice_tunnel_app_out_ack(c->tunnel, n);
        c->moved = true;
    }
}

#if EICE_HAS_SSH
eice_ssh *eice_conn_ssh(eice_conn *c)
{
    return c->open && c->o.goal == EICE_GOAL_SSH ? c->ssh : NULL;
}
#endif

const eice_attempt *eice_conn_attempt(const eice_conn *c, size_t index)
{
    if (index >= c->trail_count
        || c->trail_count - index > EICE_CONN_TRAIL) {
        return NULL;
    }
    return &c->trail[index % EICE_CONN_TRAIL];
}

const eice_identity *eice_conn_identity(const eice_conn *c)
{
    return &c->identity;
}

const eice_instance *eice_conn_instance(const eice_conn *c)
{
    return &c->instance;
}

const eice_endpoint *eice_conn_endpoint(const eice_conn *c)
{
    return &c->endpoint;
}

const char *eice_conn_provider(const eice_conn *c)
{
    return c->cred.provider;
}

const char *eice_conn_region(const eice_conn *c)
{
    return c->cred.settings.region != NULL ? c->cred.settings.region : "";
}

const char *eice_conn_host_name(const eice_conn *c)
{
    return c->host_name;
}

int64_t eice_conn_clock_offset(const eice_conn *c)
{
    return c->clock_offset;
}

#endif /* EICE_HAS_AWS */

/* ======================================================================== *
 * 18 POSIX                                                        >>posix  *
 * ======================================================================== */

#if EICE_HAS_POSIX

/* Purpose: the only place that talks to an operating system.
 * Layer: driver. Calls 2, 3, 7, 15, 17.
 * Sockets are its own and non-blocking; descriptors of the caller are never
 * changed. A write never raises SIGPIPE. Files are read whole and bounded. */

#if defined(__STRICT_ANSI__) && !defined(_POSIX_C_SOURCE)                     \
    && !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE)
#error "eice.h: with -std=c99 put -D_POSIX_C_SOURCE=200809L on the command \
line, or define EICE_NO_POSIX"
#endif

#include <errno.h>
#include <fcntl.h>
#ifdef EICE_GETADDRINFO
#include <netdb.h>
#endif
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#ifndef EICE_NO_PROCESS
#include <spawn.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* sys/random.h hides it in some C libraries from strict POSIX. */
EICEI_EXTERN ssize_t getrandom(void *buffer, size_t size, unsigned flags);

/* ---- entropy ----------------------------------------------------------- */

bool eice_posix_random(void *out, size_t len)
{
    uint8_t *p = (uint8_t *)out;
    int fd = -1;

    while (len > 0) {
        ssize_t n = fd < 0 ? getrandom(p, len, 0) : read(fd, p, len);

        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (fd < 0) { /* a kernel without the call */
            fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
            if (fd < 0) {
                return false;
            }
        } else {
            break;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return len == 0;
}

/* ---- files ------------------------------------------------------------- */

bool eice_posix_expand(const char *path, char *out, size_t cap)
{
    const char *home = NULL;
    struct passwd *pw;
    eice_buf b;

    eice_buf_init(&b, out, cap);
    if (path[0] == '~' && (path[1] == '/' || path[1] == 0)) {
        home = getenv("HOME");
        if (home == NULL || home[0] == 0) {
            pw = getpwuid(getuid());
            home = pw != NULL ? pw->pw_dir : "";
        }
        eice_put_c(&b, home);
        path++;
    }
    eice_put_c(&b, path);
    eice_put_byte(&b, 0);
    return !b.overflow;
}

EICEI_PRIVATE eice_err eicei_file_fail(eice_error *e, const char *doing,
                                       const char *path)
{
    const int number = errno;

    eice_fail(e, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL, "cannot %s %s: %s", doing,
              path, strerror(number));
    if (e != NULL && e->detail_kind == EICE_DETAIL_NONE) {
        e->detail_kind = EICE_DETAIL_ERRNO;
        e->detail = number;
    }
    return EICE_E_LOCAL_IO;
}

EICEI_PRIVATE eice_err eicei_file_slurp(int fd, const char *path, size_t max,
                                        eice_blob *out, eice_error *e)
{
    for (;;) {
        uint8_t *p = eice_blob_room(out, 4096, max + 4096);
        ssize_t n;

        if (p == NULL && out->len <= max) {
            return eice_fail(e, EICE_E_MEMORY, EICE_STAGE_LOCAL,
                             "no memory for %s", path);
        }
        if (out->len > max) {
            return eice_fail(e, EICE_E_LIMIT, EICE_STAGE_LOCAL,
                             "%s is larger than %l bytes", path,
                             (uint64_t)max);
        }
        n = read(fd, p, 4096);
        if (n > 0) {
            out->len += (size_t)n;
        } else if (n == 0) {
            return EICE_OK;
        } else if (errno != EINTR) {
            return eicei_file_fail(e, "read", path);
        }
    }
}

eice_err eice_posix_read_file(const char *path, size_t max, eice_blob *out,
                              bool *absent, eice_error *e)
{
    char full[1024];
    eice_err code;
    int fd;

    *absent = false;
    if (!eice_posix_expand(path, full, sizeof full)) {
        return eice_fail(e, EICE_E_LIMIT, EICE_STAGE_LOCAL, "path too long: %s",
                         path);
    }
    fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        *absent = true;
        return EICE_OK;
    }
    if (fd < 0) {
        return eicei_file_fail(e, "open", full);
    }
    code = eicei_file_slurp(fd, full, max, out, e);
    close(fd);
    return code;
}

/* Every directory above `path`, private to the user. */
EICEI_PRIVATE bool eicei_file_parents(char *path)
{
    char *p;

    for (p = path + 1; *p != 0; p++) {
        if (*p == '/') {
            *p = 0;
            if (mkdir(path, 0700) != 0 && errno != EEXIST) {
                *p = '/';
                return false;
            }
            *p = '/';
        }
    }
    return true;
}

EICEI_PRIVATE bool eicei_write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;

    while (len > 0) {
        const ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return true;
}

EICEI_PRIVATE bool eicei_has_line(eice_str text, eice_str line)
{
    while (text.len > 0) {
        if (eice_str_eq(eice_str_cut(&text, '\n'), line)) {
            return true;
        }
    }
    return false;
}

/* Writes a file beside the old one and then over it: a reader sees the old
 * file or the new one. */
EICEI_PRIVATE eice_err eicei_file_put(const char *path, const eice_str *part,
                                      size_t count, eice_error *e)
{
    char temp[1100];
    bool good = true;
    eice_buf b;
    size_t i;
    int fd;

    eice_buf_init(&b, temp, sizeof temp);
    eice_putf(&b, "%s.%d", path, (int)getpid());
    fd = open(eice_buf_c(&b), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return eicei_file_fail(e, "create", temp);
    }
    for (i = 0; i < count && good; i++) {
        good = eicei_write_all(fd, part[i].ptr, part[i].len);
    }
    good = good && fsync(fd) == 0;
    good = close(fd) == 0 && good && rename(temp, path) == 0;
    if (!good) {
        (void)eicei_file_fail(e, "write", path);
        (void)unlink(temp);
    }
    return good ? EICE_OK : EICE_E_LOCAL_IO;
}

/* The file's text with one line more. */
EICEI_PRIVATE eice_err eicei_file_replace(const char *path, eice_str line,
                                          eice_error *e)
{
    eice_str part[4];
    eice_blob text;
    eice_err code;
    bool absent;

    memset(&text, 0, sizeof text);
    code = eice_posix_read_file(path, 16u << 20, &text, &absent, e);
    part[0] = eice_str_make(text.ptr, text.len);
    part[1] = eice_str_c(text.len == 0 || text.ptr[text.len - 1] == '\n'
                             ? "" : "\n");
    part[2] = line;
    part[3] = eice_str_c("\n");
    if (code == EICE_OK && !eicei_has_line(part[0], line)) {
        code = eicei_file_put(path, part, EICEI_LEN(part), e);
    } /* else another process was first */
    eice_blob_free(&text);
    return code;
}

/* Where a path leads in the end: a link is kept, and what it points to is
 * replaced. False when that is too long or too far. */
EICEI_PRIVATE bool eicei_follow(char *path, size_t cap)
{
    char to[512];
    unsigned hops;

    for (hops = 0; hops < 8; hops++) {
        const ssize_t n = readlink(path, to, sizeof to);
        const char *slash = strrchr(path, '/');
        size_t kept = 0;

        if (n < 0) {
            return true; /* not a link, or not there yet */
        }
        if (to[0] != '/' && slash != NULL) {
            kept = (size_t)(slash - path) + 1;
        }
        if ((size_t)n == sizeof to || kept + (size_t)n >= cap) {
            return false;
        }
        memcpy(path + kept, to, (size_t)n);
        path[kept + (size_t)n] = 0;
    }
    return false;
}

/* /dev/null is a known_hosts file too, and must not become a real one. */
EICEI_PRIVATE bool eicei_is_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* The descriptor whose closing releases the lock, or -1. */
EICEI_PRIVATE int eicei_lock(const char *path, eice_error *e)
{
    char lock_path[1040];
    struct flock lock;
    eice_buf b;
    int fd;

    eice_buf_init(&b, lock_path, sizeof lock_path);
    eice_putf(&b, "%s.lock", path);
    fd = open(eice_buf_c(&b), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)eicei_file_fail(e, "create", lock_path);
        return -1;
    }
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    while (fcntl(fd, F_SETLKW, &lock) != 0) { /* held for milliseconds */
        if (errno != EINTR) {
            (void)eicei_file_fail(e, "lock", lock_path);
            close(fd);
            return -1;
        }
    }
    return fd;
}

/* Where a file is to be written; its directory is made. */
EICEI_PRIVATE eice_err eicei_file_place(const char *path, char full[1024],
                                        eice_error *e)
{
    if (!eice_posix_expand(path, full, 1024) || !eicei_follow(full, 1024)) {
        return eice_fail(e, EICE_E_LIMIT, EICE_STAGE_LOCAL, "path too long: %s",
                         path);
    }
    return eicei_is_device(full) || eicei_file_parents(full)
               ? EICE_OK
               : eicei_file_fail(e, "make the directory of", full);
}

eice_err eice_posix_write_file(const char *path, eice_str text, eice_error *e)
{
    char full[1024];
    const eice_err code = eicei_file_place(path, full, e);

    return code != EICE_OK || eicei_is_device(full)
               ? code
               : eicei_file_put(full, &text, 1, e);
}

eice_err eice_posix_store_line(const char *path, eice_str line, eice_error *e)
{
    char full[1024];
    eice_err code = eicei_file_place(path, full, e);
    int fd;

    if (code != EICE_OK || eicei_is_device(full)) {
        return code;
    }
    fd = eicei_lock(full, e);
    if (fd < 0) {
        return EICE_E_LOCAL_IO;
    }
    code = eicei_file_replace(full, line, e);
    close(fd);
    return code;
}

#if EICE_HAS_AWS

#define EICEI_LOOKUPS 8         /* at a time */
#define EICEI_WAITING 96        /* names of 16 connections */
#define EICEI_QUERIES 8
#define EICEI_PEERS 16
#define EICEI_ROUNDS 4          /* reads of one socket in one turn */
#define EICEI_WAIT_FDS 64
#define EICEI_USER_TIMEOUT 30000 /* ms until unacknowledged bytes end it */
#define EICEI_PROMPT_MS 300000u  /* until an answer of the user */
#define EICEI_TICK_MS 50u        /* between looks at a process */

/* One message on its way to a name server. */
typedef struct eicei_query {
    int fd; /* -1: free */
    bool tcp;
    bool connecting;
    uint32_t tag;
    uint8_t out[292];
    size_t out_len;
    size_t out_at;
    uint8_t head[2]; /* length of a TCP answer */
    size_t in_len;
    uint8_t *in;     /* TCP answer, on the heap */
} eicei_query;

/* Who gets the addresses: a connection's need, or a function. */
typedef struct eicei_asker {
    eice_conn *conn;
    uint32_t need;
    eice_found_fn done; /* NULL: the connection */
    void *user;
} eicei_asker;

typedef struct eicei_lookup {
    bool used;
    eicei_asker to;
    eice_dns dns;
    eicei_query query[EICEI_QUERIES];
} eicei_lookup;

/* A name that waits for a look-up to become free. */
typedef struct eicei_waiting {
    eicei_asker to;
    eice_str name;
} eicei_waiting;

typedef struct eicei_socket {
    int fd; /* -1: none */
    bool connecting;
    uint32_t need;
} eicei_socket;

/* A question on the terminal, or a process: its output is gathered. */
typedef struct eicei_job {
    eice_need_kind kind; /* NONE, PROMPT or PROCESS */
    uint32_t need;
    int fd[2];           /* terminal or standard output; standard error */
    pid_t pid;
    uint64_t deadline;
    size_t max;
    char name[200];      /* the question, or the program */
    eice_blob text;
    char said[200];      /* the beginning of its standard error */
    size_t said_len;
} eicei_job;

typedef struct eicei_peer {
    eice_conn *conn; /* NULL: free */
    eicei_socket sock[EICE_CONN_SLOTS];
    eicei_job job;
} eicei_peer;

typedef struct eicei_watch {
    int fd;
    int events; /* 0: free */
    eice_ready_fn ready;
    void *user;
} eicei_watch;

struct eice_posix {
    eice_posix_opts o;
    eice_alloc alloc;
    eice_drbg random;
    eice_dns_config dns;
    bool dns_ready;
    eicei_peer peers[EICEI_PEERS];
    eicei_lookup lookups[EICEI_LOOKUPS];
    eicei_waiting waiting[EICEI_WAITING];
    size_t waiting_count;
    eicei_watch watches[EICE_POSIX_WATCHES];
};

/* ---- clock ------------------------------------------------------------- */

/* Machines without a clock of their own start in 1970: EICE_TIME (seconds
 * since 1970), or the time of the build, is the earliest believed. */
EICEI_PRIVATE int64_t eicei_time_floor(void)
{
    const char *text = getenv("EICE_TIME");
    uint64_t floor = 0;

    if (text != NULL
        && eice_str_u64(eice_str_c(text), 253402300799u, &floor)) {
        return (int64_t)floor;
    }
#ifdef EICE_BUILD_TIME
    return EICE_BUILD_TIME;
#else
    return 0;
#endif
}

eice_now eice_posix_now(void)
{
    struct timespec t;
    eice_now now;
    int64_t floor;

    now.ms = 0;
    if (clock_gettime(CLOCK_MONOTONIC, &t) == 0) {
        now.ms = (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
    }
    now.unix_s = (int64_t)time(NULL);
    floor = eicei_time_floor();
    if (now.unix_s < floor) {
        now.unix_s = floor;
    }
    return now;
}

/* ---- sockets ----------------------------------------------------------- */

typedef union eicei_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} eicei_sockaddr;

EICEI_PRIVATE socklen_t eicei_sockaddr_make(eicei_sockaddr *a,
                                            const eice_ip *ip, uint16_t port)
{
    memset(a, 0, sizeof *a);
    if (ip->family == 4) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        memcpy(&a->v4.sin_addr, ip->bytes, 4);
        return sizeof a->v4;
    }
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    memcpy(&a->v6.sin6_addr, ip->bytes, 16);
    return sizeof a->v6;
}

/* A non-blocking socket on its way to its peer; -1 with errno. */
EICEI_PRIVATE int eicei_socket_open(const eice_ip *ip, uint16_t port, int type,
                                    bool *connecting)
{
    eicei_sockaddr to;
    const socklen_t len = eicei_sockaddr_make(&to, ip, port);
    const int fd = socket(to.any.sa_family, type, 0);
    int number;

    *connecting = false;
    if (fd < 0) {
        return -1;
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0
        && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
        if (connect(fd, &to.any, len) == 0) {
            return fd;
        }
        if (errno == EINPROGRESS || errno == EINTR) {
            *connecting = true;
            return fd;
        }
    }
    number = errno;
    close(fd);
    errno = number;
    return -1;
}

/* A dead peer is noticed: by keepalive when nothing is sent, by the user
 * timeout when bytes stay unacknowledged. */
EICEI_PRIVATE void eicei_socket_tune(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
    {
        const int idle = 30;
        const int interval = 10;
        const int count = 3;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval,
                         sizeof interval);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    }
#endif
#ifdef TCP_USER_TIMEOUT
    {
        const unsigned ms = EICEI_USER_TIMEOUT;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    }
#endif
}

EICEI_PRIVATE eice_err eicei_connect_error(int number)
{
    switch (number) {
    case ECONNREFUSED:
        return EICE_E_CONNECT_REFUSED;
    case ETIMEDOUT:
        return EICE_E_CONNECT_TIMEOUT;
    default:
        return EICE_E_CONNECT_FAILED;
    }
}

EICEI_PRIVATE void eicei_dial_answer(eicei_peer *p, uint32_t need, int number)
{
    eice_answer a;

    memset(&a, 0, sizeof a);
    a.sys_errno = number;
    a.code = number == 0 ? EICE_OK : eicei_connect_error(number);
    eice_conn_answer(p->conn, need, &a);
}

EICEI_PRIVATE void eicei_dial(eicei_peer *p, const eice_need *need)
{
    eicei_socket *s = &p->sock[need->slot];

    s->fd = eicei_socket_open(&need->ip, need->port, SOCK_STREAM,
                              &s->connecting);
    s->need = need->id;
    if (s->fd < 0) {
        eicei_dial_answer(p, need->id, errno);
    } else {
        eicei_socket_tune(s->fd);
        if (!s->connecting) {
            eicei_dial_answer(p, need->id, 0);
        }
    }
}

EICEI_PRIVATE void eicei_dialed(eicei_peer *p, eicei_socket *s)
{
    int number = 0;
    socklen_t len = sizeof number;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0) {
        number = errno;
    }
    s->connecting = false;
    if (number != 0) {
        close(s->fd);
        s->fd = -1;
    }
    eicei_dial_answer(p, s->need, number);
}

/* Sends what a connection has, as far as the kernel takes it. */
EICEI_PRIVATE void eicei_slots_flush(eicei_peer *p)
{
    int i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        eicei_socket *s = &p->sock[i];
        const uint8_t *data;
        size_t n;

        while (s->fd >= 0 && !s->connecting
               && (n = eice_conn_net_out(p->conn, i, &data)) > 0) {
            const ssize_t sent = send(s->fd, data, n, MSG_NOSIGNAL);

            if (sent > 0) {
                eice_conn_net_out_ack(p->conn, i, (size_t)sent);
            } else if (errno != EINTR) {
                if (errno != EAGAIN && errno != EWOULDBLOCK) {
                    eice_conn_net_eof(p->conn, i, EICE_E_NET_RESET, errno);
                }
                break;
            }
        }
    }
}

EICEI_PRIVATE void eicei_slots_close(eicei_peer *p)
{
    int i;

    for (i = 0; i < EICE_CONN_SLOTS; i++) {
        if (eice_conn_slot(p->conn, i) == EICE_DONE) {
            if (p->sock[i].fd >= 0) {
                close(p->sock[i].fd);
            }
            p->sock[i].fd = -1;
            p->sock[i].connecting = false;
            eice_conn_slot_closed(p->conn, i);
        }
    }
}

/* One read; true when there may be more. */
EICEI_PRIVATE bool eicei_slot_read(eicei_peer *p, int slot)
{
    const int fd = p->sock[slot].fd;
    uint8_t *to;
    const size_t room = eice_conn_net_in(p->conn, slot, &to);
    ssize_t n;

    if (room == 0) {
        return false;
    }
    n = recv(fd, to, room, 0);
    if (n > 0) {
        eice_conn_net_in_ack(p->conn, slot, (size_t)n);
        return true;
    }
    if (n == 0) {
        eice_conn_net_eof(p->conn, slot, EICE_OK, 0);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        eice_conn_net_eof(p->conn, slot,
                          errno == ETIMEDOUT ? EICE_E_NET_TIMEOUT
                                             : EICE_E_NET_RESET,
                          errno);
    }
    return false;
}

/* ---- names ------------------------------------------------------------- */

EICEI_PRIVATE void eicei_query_close(const eice_posix *x, eicei_query *q)
{
    if (q->fd >= 0) {
        close(q->fd);
    }
    if (q->in != NULL) {
        (void)eice_resize(&x->alloc, q->in, 0);
    }
    memset(q, 0, sizeof *q);
    q->fd = -1;
}

EICEI_PRIVATE void eicei_lookup_close(const eice_posix *x, eicei_lookup *l)
{
    size_t i;

    for (i = 0; i < EICEI_QUERIES; i++) {
        eicei_query_close(x, &l->query[i]);
    }
    l->used = false;
}

/* Each message leaves from a socket of its own: a random port, and only its
 * server's answers come back (RFC 5452 9.2). */
EICEI_PRIVATE void eicei_lookup_send(eice_posix *x, eicei_lookup *l,
                                     const eice_dns_query *m, uint64_t now_ms)
{
    eicei_query *q = NULL;
    size_t i;

    for (i = 0; i < EICEI_QUERIES && q == NULL; i++) {
        q = l->query[i].fd < 0 ? &l->query[i] : NULL;
    }
    if (q == NULL) { /* the oldest is given up */
        q = &l->query[0];
        eicei_query_close(x, q);
    }
    q->fd = eicei_socket_open(&m->address, m->port,
                              m->tcp ? SOCK_STREAM : SOCK_DGRAM,
                              &q->connecting);
    if (q->fd < 0) {
        eice_dns_unreachable(&l->dns, m->tag, now_ms);
        return;
    }
    q->tcp = m->tcp;
    q->tag = m->tag;
    memcpy(q->out, m->message, m->len);
    q->out_len = m->len;
}

/* A query was given up by its socket. */
EICEI_PRIVATE void eicei_query_lost(eice_posix *x, eicei_lookup *l,
                                    eicei_query *q, uint64_t now_ms)
{
    const uint32_t tag = q->tag;

    eicei_query_close(x, q);
    eice_dns_unreachable(&l->dns, tag, now_ms);
}

EICEI_PRIVATE void eicei_query_write(eice_posix *x, eicei_lookup *l,
                                     eicei_query *q, uint64_t now_ms)
{
    ssize_t n;

    q->connecting = false;
    while (q->out_at < q->out_len) {
        n = send(q->fd, q->out + q->out_at, q->out_len - q->out_at,
                 MSG_NOSIGNAL);
        if (n > 0) {
            q->out_at += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            eicei_query_lost(x, l, q, now_ms);
            return;
        }
    }
}

EICEI_PRIVATE void eicei_query_datagram(eice_posix *x, eicei_lookup *l,
                                        eicei_query *q, uint64_t now_ms)
{
    uint8_t message[1024]; /* 512 are allowed (RFC 1035 4.2.1) */
    const uint32_t tag = q->tag;
    const ssize_t n = recv(q->fd, message, sizeof message, 0);

    if (n > 0) {
        eice_dns_answer(&l->dns, tag, message, (size_t)n, now_ms);
    } else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK
               && errno != EINTR) {
        eicei_query_lost(x, l, q, now_ms);
    }
}

/* Length, then message (RFC 1035 4.2.2). */
EICEI_PRIVATE void eicei_query_stream(eice_posix *x, eicei_lookup *l,
                                      eicei_query *q, uint64_t now_ms)
{
    const size_t need = (size_t)q->head[0] << 8 | q->head[1];
    const bool in_head = q->in_len < 2;
    const uint32_t tag = q->tag;
    ssize_t n;

    if (!in_head && q->in == NULL) {
        q->in = (uint8_t *)eice_resize(&x->alloc, NULL, need + 1);
        if (q->in == NULL) {
            eicei_query_lost(x, l, q, now_ms);
            return;
        }
    }
    n = in_head ? recv(q->fd, q->head + q->in_len, 2 - q->in_len, 0)
                : recv(q->fd, q->in + (q->in_len - 2),
                       need - (q->in_len - 2), 0);
    if (n > 0) {
        q->in_len += (size_t)n;
        if (!in_head && q->in_len - 2 == need) {
            eice_dns_answer(&l->dns, tag, q->in, need, now_ms);
            eicei_query_close(x, q);
        }
    } else if (n == 0
               || (errno != EAGAIN && errno != EWOULDBLOCK
                   && errno != EINTR)) {
        eicei_query_lost(x, l, q, now_ms);
    }
}

EICEI_PRIVATE void eicei_found(const eicei_asker *to, eice_err code,
                               eice_addresses *found)
{
    eice_answer a;

    if (to->done != NULL) {
        to->done(to->user, code, found);
        return;
    }
    memset(&a, 0, sizeof a);
    a.code = code;
    a.addresses = found;
    eice_conn_answer(to->conn, to->need, &a);
}

/* Hands out what a look-up wants to send, and its result when it is done;
 * true when it answered. */
EICEI_PRIVATE bool eicei_lookup_step(eice_posix *x, eicei_lookup *l,
                                     uint64_t now_ms)
{
    const eicei_asker to = l->to;
    eice_dns_query m;
    eice_addresses found;
    eice_err code;

    eice_dns_tick(&l->dns, now_ms);
    while (eice_dns_next(&l->dns, &m)) {
        eicei_lookup_send(x, l, &m, now_ms);
    }
    if (!eice_dns_done(&l->dns, &found)) {
        return false;
    }
    code = l->dns.error.code;
    eicei_lookup_close(x, l);
    eicei_found(&to, code, &found);
    return true;
}

EICEI_PRIVATE const char *eicei_or(const char *path, const char *otherwise)
{
    return path != NULL ? path : otherwise;
}

/* A configuration that cannot be read is an empty one; false without memory. */
EICEI_PRIVATE bool eicei_dns_ready(eice_posix *x)
{
    eice_blob text;
    eice_err code;
    bool absent;

    if (x->dns_ready) {
        return true;
    }
    memset(&text, 0, sizeof text);
    text.alloc = &x->alloc;
    code = eice_posix_read_file(eicei_or(x->o.resolv_conf, "/etc/resolv.conf"),
                                65536, &text, &absent, NULL);
    eice_dns_config_parse(&x->dns, eice_str_make(text.ptr, text.len));
    eice_blob_free(&text);
    if (x->o.family != 0) {
        x->dns.families = x->o.family == 4 ? EICE_DNS_A : EICE_DNS_AAAA;
    }
    x->dns_ready = code != EICE_E_MEMORY;
    return x->dns_ready;
}

/* Keeps the addresses of one family, when only one is wanted. */
EICEI_PRIVATE void eicei_family_only(eice_addresses *a, int family)
{
    size_t i;
    size_t kept = 0;

    for (i = 0; i < a->count; i++) {
        if (family == 0 || a->ip[i].family == family) {
            a->ip[kept++] = a->ip[i];
        }
    }
    a->count = kept;
}

/* EICE_OK, EICE_E_NAME_NOT_FOUND when the file does not tell, or
 * EICE_E_MEMORY. */
EICEI_PRIVATE eice_err eicei_hosts(eice_posix *x, eice_str name,
                                   eice_addresses *out)
{
    eice_blob text;
    eice_err code;
    bool absent;

    memset(&text, 0, sizeof text);
    text.alloc = &x->alloc;
    code = eice_posix_read_file(eicei_or(x->o.hosts, "/etc/hosts"), 4u << 20,
                                &text, &absent, NULL);
    if (code != EICE_E_MEMORY) {
        code = eice_dns_hosts(eice_str_make(text.ptr, text.len), name, out)
                   ? EICE_OK
                   : EICE_E_NAME_NOT_FOUND;
    }
    eice_blob_free(&text);
    return code;
}

#ifdef EICE_GETADDRINFO
#define EICEI_GETADDRINFO true

EICEI_PRIVATE eice_err eicei_getaddrinfo(eice_str name, eice_addresses *out)
{
    char host[256];
    struct addrinfo hints;
    struct addrinfo *list = NULL;
    struct addrinfo *i;

    eice_copy_text(host, sizeof host, name);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    out->count = 0;
    if (getaddrinfo(host, NULL, &hints, &list) != 0) {
        return EICE_E_NAME_NOT_FOUND;
    }
    for (i = list; i != NULL && out->count < EICE_MAX_ADDRESSES;
         i = i->ai_next) {
        eice_ip *ip = &out->ip[out->count];
        eicei_sockaddr a;

        memset(&a, 0, sizeof a);
        memcpy(&a, i->ai_addr,
               i->ai_addrlen < sizeof a ? i->ai_addrlen : sizeof a);
        memset(ip, 0, sizeof *ip);
        if (a.any.sa_family == AF_INET) {
            ip->family = 4;
            memcpy(ip->bytes, &a.v4.sin_addr, 4);
            out->count++;
        } else if (a.any.sa_family == AF_INET6) {
            ip->family = 6;
            memcpy(ip->bytes, &a.v6.sin6_addr, 16);
            out->count++;
        }
    }
    freeaddrinfo(list);
    return EICE_OK;
}

#else /* the C library's resolver costs a static program 16 kB */
#define EICEI_GETADDRINFO false

EICEI_PRIVATE eice_err eicei_getaddrinfo(eice_str name, eice_addresses *out)
{
    (void)name;
    (void)out;
    return EICE_E_NAME_NOT_FOUND;
}

#endif

/* What waits begins, first come first served, while look-ups are free. */
EICEI_PRIVATE void eicei_lookups_begin(eice_posix *x, uint64_t now_ms)
{
    size_t i;

    for (i = 0; i < EICEI_LOOKUPS && x->waiting_count > 0; i++) {
        eicei_lookup *l = &x->lookups[i];

        if (l->used) {
            continue;
        }
        l->used = true;
        l->to = x->waiting[0].to;
        /* its error, too, shows in the next step */
        (void)eice_dns_init(&l->dns, &x->dns, x->waiting[0].name, &x->random,
                            now_ms);
        x->waiting_count--;
        memmove(&x->waiting[0], &x->waiting[1],
                x->waiting_count * sizeof x->waiting[0]);
    }
}

EICEI_PRIVATE void eicei_resolve(eice_posix *x, const eicei_asker *to,
                                 eice_str name, uint64_t now_ms)
{
    eice_addresses found;
    eicei_waiting *w;
    eice_err code;

    found.count = 0;
    code = eicei_hosts(x, name, &found);
    if (code == EICE_E_NAME_NOT_FOUND && x->o.getaddrinfo) {
        code = eicei_getaddrinfo(name, &found);
    } else if (code == EICE_E_NAME_NOT_FOUND) {
        code = !eicei_dns_ready(x)                   ? EICE_E_MEMORY
               : x->waiting_count == EICEI_WAITING ? EICE_E_LIMIT
                                                     : EICE_OK;
        if (code == EICE_OK) {
            w = &x->waiting[x->waiting_count++];
            w->to = *to;
            w->name = name; /* lives as long as the need */
            eicei_lookups_begin(x, now_ms);
            return;
        }
    }
    if (code == EICE_OK) {
        eicei_family_only(&found, x->o.family);
        code = found.count > 0 ? EICE_OK : EICE_E_NAME_NOT_FOUND;
    }
    eicei_found(to, code, &found);
}

void eice_posix_lookup(eice_posix *x, eice_str name, eice_found_fn done,
                       void *user)
{
    eicei_asker to;

    memset(&to, 0, sizeof to);
    to.done = done;
    to.user = user;
    eicei_resolve(x, &to, name, eice_posix_now().ms);
}

/* The look-ups of one connection, or of one user. */
EICEI_PRIVATE void eicei_lookups_drop(eice_posix *x, const eice_conn *c,
                                      const void *user)
{
    size_t kept = 0;
    size_t i;

    for (i = 0; i < EICEI_LOOKUPS; i++) {
        eicei_lookup *l = &x->lookups[i];

        if (l->used && l->to.conn == c && l->to.user == user) {
            eicei_lookup_close(x, l);
        }
    }
    for (i = 0; i < x->waiting_count; i++) {
        if (x->waiting[i].to.conn != c || x->waiting[i].to.user != user) {
            x->waiting[kept++] = x->waiting[i];
        }
    }
    x->waiting_count = kept;
}

void eice_posix_lookup_cancel(eice_posix *x, const void *user)
{
    eicei_lookups_drop(x, NULL, user);
}

/* ---- needs ------------------------------------------------------------- */

EICEI_PRIVATE void eicei_need_env(const eice_need *need, eice_answer *a)
{
    char name[128];
    const char *value;

    eice_copy_text(name, sizeof name, need->name);
    value = getenv(name);
    a->absent = value == NULL;
    a->data = eice_str_c(value);
}

EICEI_PRIVATE void eicei_need_file(eice_posix *x, eice_conn *c,
                                   const eice_need *need)
{
    char path[1024];
    eice_blob text;
    eice_answer a;

    memset(&a, 0, sizeof a);
    memset(&text, 0, sizeof text);
    text.alloc = &x->alloc;
    eice_copy_text(path, sizeof path, need->name);
    a.code = eice_posix_read_file(path, need->max, &text, &a.absent, NULL);
    a.data = eice_str_make(text.ptr, text.len);
    eice_conn_answer(c, need->id, &a);
    eice_blob_free(&text);
}

/* ---- questions and processes ------------------------------------------- */

/* A process that still runs is ended. */
EICEI_PRIVATE void eicei_job_drop(eicei_job *j)
{
    int i;

    for (i = 0; i < 2; i++) {
        if (j->fd[i] >= 0) {
            close(j->fd[i]);
        }
        j->fd[i] = -1;
    }
    if (j->pid > 0) {
        (void)kill(j->pid, SIGKILL);
        while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        j->pid = 0;
    }
    eice_blob_free(&j->text);
    j->kind = EICE_NEED_NONE;
}

EICEI_PRIVATE void eicei_job_done(eicei_peer *p)
{
    eice_answer a;

    memset(&a, 0, sizeof a);
    a.data = eice_str_make(p->job.text.ptr, p->job.text.len);
    eice_conn_answer(p->conn, p->job.need, &a);
    eicei_job_drop(&p->job);
}

/* "NAME: why: what it said" */
EICEI_PRIVATE void eicei_job_fail(eicei_peer *p, const char *format, ...)
{
    eicei_job *const j = &p->job;
    const eice_str said = eice_str_trim(eice_str_make(j->said, j->said_len));
    char text[sizeof j->name + 128 + sizeof j->said];
    eice_answer a;
    eice_error e;
    va_list args;
    eice_buf b;

    memset(&a, 0, sizeof a);
    memset(&e, 0, sizeof e);
    eice_buf_init(&b, text, sizeof text);
    eice_putf(&b, "%s: ", j->name);
    va_start(args, format);
    eice_putv(&b, format, args);
    va_end(args);
    eice_putf(&b, said.len > 0 ? ": %S" : "", &said);
    a.code = eice_fail(&e, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS, "%s",
                       eice_buf_c(&b));
    a.error = &e;
    if (j->kind == EICE_NEED_PROMPT) {
        eice_copy_text(e.remedy, sizeof e.remedy,
                       eice_str_c("run it from a terminal, or let the AWS CLI "
                                  "get the keys (aws configure "
                                  "export-credentials)"));
    }
    eice_conn_answer(p->conn, j->need, &a);
    eicei_job_drop(j);
}

/* One question at a time has the terminal. */
EICEI_PRIVATE bool eicei_prompt_may(const eice_posix *x)
{
    size_t i;

    for (i = 0; i < EICEI_PEERS; i++) {
        if (x->peers[i].job.kind == EICE_NEED_PROMPT
            && x->peers[i].job.fd[0] >= 0) {
            return false;
        }
    }
    return true;
}

/* Through a description of its own, which may be non-blocking: the one that
 * stdin has is shared with other processes. */
EICEI_PRIVATE void eicei_prompt_begin(eicei_peer *p)
{
    eicei_job *const j = &p->job;

    j->fd[0] = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (j->fd[0] < 0) {
        eicei_job_fail(p, "there is no terminal to ask on");
    } else if (!eicei_write_all(j->fd[0], j->name, strlen(j->name))
               || !eicei_write_all(j->fd[0], ": ", 2)) {
        eicei_job_fail(p, "cannot write to the terminal");
    }
}

#ifdef EICE_NO_PROCESS

EICEI_PRIVATE void eicei_process_begin(eicei_peer *p, char *const *argv)
{
    (void)argv;
    eicei_job_fail(p, "this program was built without processes "
                      "(EICE_NO_PROCESS)");
}

#else

EICEI_EXTERN char **environ;

EICEI_PRIVATE bool eicei_pipe(int fd[2])
{
    int i;

    if (pipe(fd) != 0) {
        fd[0] = -1;
        fd[1] = -1;
        return false;
    }
    for (i = 0; i < 2; i++) {
        if (fcntl(fd[i], F_SETFD, FD_CLOEXEC) != 0) {
            return false;
        }
    }
    return fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0;
}

/* In our process group, so that it may ask on the terminal. Standard input
 * may be the stream of a tunnel and is kept from it unless it is a terminal.
 * An error number, or 0. */
EICEI_PRIVATE int eicei_spawn(pid_t *pid, char *const *argv, int out, int err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t set;
    int number;

    if (posix_spawn_file_actions_init(&files) != 0) {
        return ENOMEM;
    }
    (void)posix_spawnattr_init(&attr);
    sigemptyset(&set);
    (void)posix_spawnattr_setsigmask(&attr, &set);
    sigaddset(&set, SIGPIPE);
    (void)posix_spawnattr_setsigdefault(&attr, &set);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF
                                          | POSIX_SPAWN_SETSIGMASK);
    number = posix_spawn_file_actions_adddup2(&files, out, 1);
    if (number == 0) {
        number = posix_spawn_file_actions_adddup2(&files, err, 2);
    }
    if (number == 0 && isatty(0) == 0) {
        number = posix_spawn_file_actions_addopen(&files, 0, "/dev/null",
                                                  O_RDONLY, 0);
    }
    if (number == 0) {
        number = posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
    }
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&files);
    return number;
}

EICEI_PRIVATE void eicei_process_begin(eicei_peer *p, char *const *argv)
{
    eicei_job *const j = &p->job;
    int out[2] = { -1, -1 };
    int err[2] = { -1, -1 };
    int number = EMFILE;

    if (eicei_pipe(out) && eicei_pipe(err)) {
        number = eicei_spawn(&j->pid, argv, out[1], err[1]);
    }
    j->fd[0] = out[0];
    j->fd[1] = err[0];
    if (out[1] >= 0) {
        close(out[1]);
    }
    if (err[1] >= 0) {
        close(err[1]);
    }
    if (number != 0) {
        j->pid = 0;
        eicei_job_fail(p, "cannot be run: %s", strerror(number));
    }
}

#endif

EICEI_PRIVATE void eicei_job_start(eice_posix *x, eicei_peer *p,
                                   const eice_need *need, uint64_t now_ms)
{
    eicei_job *const j = &p->job;
    const bool prompt = need->kind == EICE_NEED_PROMPT;
    const bool may = !prompt || eicei_prompt_may(x);

    eicei_job_drop(j);
    j->text.alloc = &x->alloc;
    j->kind = need->kind;
    j->need = need->id;
    j->max = need->max;
    j->said_len = 0;
    j->deadline = now_ms + (prompt ? EICEI_PROMPT_MS : need->timeout_ms);
    eice_copy_text(j->name, sizeof j->name, need->name);
    if (!prompt) {
        eicei_process_begin(p, need->argv);
    } else if (may) {
        eicei_prompt_begin(p);
    }
}

/* Reads what there is; false when there is nothing more for now. */
EICEI_PRIVATE bool eicei_job_read(eicei_job *j, int i)
{
    char data[1024];
    const ssize_t n = j->fd[i] < 0 ? 0 : read(j->fd[i], data, sizeof data);
    size_t len = n > 0 ? (size_t)n : 0;

    if (j->fd[i] < 0) {
        return false;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(j->fd[i]);
        j->fd[i] = -1;
    } else if (i == 0 && !eice_blob_add(&j->text, data, len, j->max)) {
        j->max = 0; /* too much */
    } else if (i == 1) {
        len = len < sizeof j->said - j->said_len ? len
                                                 : sizeof j->said - j->said_len;
        memcpy(j->said + j->said_len, data, len);
        j->said_len += len;
    }
    eice_wipe(data, sizeof data);
    return n > 0;
}

/* Its exit counts, not the end of its output, which a child of its own may
 * hold open. */
EICEI_PRIVATE void eicei_process_step(eicei_peer *p, uint64_t now_ms)
{
    eicei_job *const j = &p->job;
    const size_t max = j->max;
    int status = 0;
    const pid_t got = waitpid(j->pid, &status, WNOHANG);

    while (j->max > 0 && (eicei_job_read(j, 0) || eicei_job_read(j, 1))) {
    }
    if (got != 0) {
        j->pid = 0; /* without a status when somebody else waited for it */
    }
    if (j->max == 0) {
        eicei_job_fail(p, "wrote more than %u bytes", (unsigned)max);
    } else if (got == 0 && now_ms >= j->deadline) {
        eicei_job_fail(p, "did not end in time");
    } else if (got != 0 && WIFSIGNALED(status)) {
        eicei_job_fail(p, "was killed by signal %d", WTERMSIG(status));
    } else if (got != 0 && WEXITSTATUS(status) != 0) {
        eicei_job_fail(p, "ended with status %d", WEXITSTATUS(status));
    } else if (got != 0) {
        eicei_job_done(p);
    }
}

EICEI_PRIVATE void eicei_prompt_step(eice_posix *x, eicei_peer *p,
                                     uint64_t now_ms)
{
    eicei_job *const j = &p->job;

    if (j->fd[0] < 0 && eicei_prompt_may(x)) {
        eicei_prompt_begin(p);
        return;
    }
    while (j->fd[0] >= 0 && j->max > 0 && eicei_job_read(j, 0)) {
    }
    if (j->max > 0 && j->text.len > 0
        && j->text.ptr[j->text.len - 1] == '\n') {
        eicei_job_done(p);
    } else if (j->fd[0] < 0 || j->max == 0 || now_ms >= j->deadline) {
        eicei_job_fail(p, "there was no answer");
    }
}

/* True when it answered. */
EICEI_PRIVATE bool eicei_job_step(eice_posix *x, eicei_peer *p,
                                  uint64_t now_ms)
{
    const eice_need_kind kind = p->job.kind;

    if (kind == EICE_NEED_PROCESS) {
        eicei_process_step(p, now_ms);
    } else if (kind == EICE_NEED_PROMPT) {
        eicei_prompt_step(x, p, now_ms);
    }
    return kind != p->job.kind;
}

EICEI_PRIVATE uint64_t eicei_job_deadline(const eicei_job *j, uint64_t now_ms)
{
    if (j->kind == EICE_NEED_NONE) {
        return UINT64_MAX;
    }
    return j->kind == EICE_NEED_PROCESS
               ? eicei_min64(j->deadline, now_ms + EICEI_TICK_MS)
               : j->deadline;
}

EICEI_PRIVATE void eicei_need_answer(eice_posix *x, eicei_peer *p,
                                     const eice_need *need, uint64_t now_ms)
{
    uint8_t seed[64];
    char path[1024];
    eicei_asker to;
    eice_answer a;

    memset(&a, 0, sizeof a);
    switch (need->kind) {
    case EICE_NEED_FILE:
        eicei_need_file(x, p->conn, need);
        return;
    case EICE_NEED_RESOLVE:
        memset(&to, 0, sizeof to);
        to.conn = p->conn;
        to.need = need->id;
        eicei_resolve(x, &to, need->name, now_ms);
        return;
    case EICE_NEED_DIAL:
        eicei_dial(p, need);
        return;
    case EICE_NEED_ENV:
        eicei_need_env(need, &a);
        break;
    case EICE_NEED_RANDOM:
        a.code = eice_posix_random(seed, sizeof seed) ? EICE_OK
                                                      : EICE_E_LOCAL_IO;
        a.data = eice_str_make(seed, sizeof seed);
        break;
    case EICE_NEED_STORE:
        eice_copy_text(path, sizeof path, need->name);
        a.code = eice_posix_store_line(path, need->text, NULL);
        break;
    case EICE_NEED_HOSTKEY:
        a.code = x->o.host_key != NULL
                         && x->o.host_key(x->o.user, need->name, need->text)
                     ? EICE_OK
                     : EICE_E_HOST_KEY_UNKNOWN;
        break;
    case EICE_NEED_PROMPT:
    case EICE_NEED_PROCESS:
        eicei_job_start(x, p, need, now_ms);
        return;
    case EICE_NEED_SAVE:
        eice_copy_text(path, sizeof path, need->name);
        a.code = eice_posix_write_file(path, need->text, NULL);
        break;
    case EICE_NEED_FETCH: /* eice_conn's own */
    case EICE_NEED_STS:
    case EICE_NEED_TIME:
    case EICE_NEED_NONE:
        return;
    }
    eice_conn_answer(p->conn, need->id, &a);
    eice_wipe(seed, sizeof seed);
}

/* Steps a connection until it asks and sends nothing more. */
EICEI_PRIVATE void eicei_peer_turn(eice_posix *x, eicei_peer *p)
{
    eice_need need;
    unsigned turns = 0;
    bool asked;

    do {
        const eice_now now = eice_posix_now();

        asked = false;
        eice_conn_step(p->conn, now);
        while (eice_conn_need(p->conn, &need)) {
            eicei_need_answer(x, p, &need, now.ms);
            asked = true;
        }
        eicei_slots_flush(p);
        eicei_slots_close(p);
        if (eice_conn_deadline(p->conn) <= now.ms) {
            asked = true;
        }
    } while (asked && ++turns < 64);
}

/* ---- the executor ------------------------------------------------------ */

eice_posix *eice_posix_new(const eice_posix_opts *o, eice_error *e)
{
    eice_alloc alloc;
    uint8_t seed[32];
    eice_posix *x;
    size_t i;
    size_t k;

    memset(&alloc, 0, sizeof alloc);
    if (o != NULL && o->alloc != NULL) {
        alloc = *o->alloc;
    }
    if (o != NULL && o->getaddrinfo && !EICEI_GETADDRINFO) {
        eice_fail(e, EICE_E_ARGUMENT, EICE_STAGE_LOCAL,
                  "compiled without EICE_GETADDRINFO");
        return NULL;
    }
    if (!eice_posix_random(seed, sizeof seed)) {
        eice_fail(e, EICE_E_LOCAL_IO, EICE_STAGE_LOCAL,
                  "this system gives no random bytes");
        return NULL;
    }
    x = (eice_posix *)eice_resize(&alloc, NULL, sizeof *x);
    if (x == NULL) {
        eice_fail(e, EICE_E_MEMORY, EICE_STAGE_NONE,
                  "no memory for the executor");
        return NULL;
    }
    memset(x, 0, sizeof *x);
    if (o != NULL) {
        x->o = *o;
    }
    x->alloc = alloc;
    eice_drbg_init(&x->random, seed, sizeof seed);
    eice_wipe(seed, sizeof seed);
    for (i = 0; i < EICEI_PEERS; i++) {
        for (k = 0; k < EICE_CONN_SLOTS; k++) {
            x->peers[i].sock[k].fd = -1;
        }
        x->peers[i].job.fd[0] = -1;
        x->peers[i].job.fd[1] = -1;
    }
    for (i = 0; i < EICEI_LOOKUPS; i++) {
        for (k = 0; k < EICEI_QUERIES; k++) {
            x->lookups[i].query[k].fd = -1;
        }
    }
    return x;
}

eice_err eice_posix_add(eice_posix *x, eice_conn *c)
{
    size_t i;

    for (i = 0; i < EICEI_PEERS; i++) {
        if (x->peers[i].conn == NULL) {
            x->peers[i].conn = c;
            return EICE_OK;
        }
    }
    return EICE_E_LIMIT;
}

void eice_posix_remove(eice_posix *x, eice_conn *c)
{
    size_t i;
    size_t k;

    eicei_lookups_drop(x, c, NULL);
    for (i = 0; i < EICEI_PEERS; i++) {
        eicei_peer *p = &x->peers[i];

        if (p->conn != c || c == NULL) {
            continue;
        }
        for (k = 0; k < EICE_CONN_SLOTS; k++) {
            if (p->sock[k].fd >= 0) {
                close(p->sock[k].fd);
            }
            p->sock[k].fd = -1;
            p->sock[k].connecting = false;
        }
        eicei_job_drop(&p->job);
        p->conn = NULL;
    }
}

void eice_posix_free(eice_posix *x)
{
    eice_alloc alloc;
    size_t i;

    if (x == NULL) {
        return;
    }
    for (i = 0; i < EICEI_PEERS; i++) {
        eice_posix_remove(x, x->peers[i].conn);
    }
    for (i = 0; i < EICEI_LOOKUPS; i++) {
        eicei_lookup_close(x, &x->lookups[i]);
    }
    alloc = x->alloc;
    eice_drbg_wipe(&x->random);
    (void)eice_resize(&alloc, x, 0);
}

typedef struct eicei_fds {
    struct pollfd *list;
    size_t cap;
    size_t count;
} eicei_fds;

EICEI_PRIVATE void eicei_fds_add(eicei_fds *f, int fd, int events)
{
    if (fd < 0) {
        return;
    }
    if (f->count < f->cap) {
        f->list[f->count].fd = fd;
        f->list[f->count].events = (short)events;
        f->list[f->count].revents = 0;
    }
    f->count++;
}

/* A connected socket that wants nothing is left out: an end that nobody
 * reads would wake the loop for ever. */
EICEI_PRIVATE void eicei_fds_slot(eicei_fds *f, eicei_peer *p, int slot)
{
    const eicei_socket *s = &p->sock[slot];
    unsigned flags;
    int events;

    if (s->fd < 0) {
        return;
    }
    if (s->connecting) {
        eicei_fds_add(f, s->fd, POLLOUT);
        return;
    }
    flags = eice_conn_slot(p->conn, slot);
    events = ((flags & EICE_WANT_READ) != 0 ? POLLIN : 0)
             | ((flags & EICE_WANT_WRITE) != 0 ? POLLOUT : 0);
    if (events != 0) {
        eicei_fds_add(f, s->fd, events);
    }
}

size_t eice_posix_fds(eice_posix *x, struct pollfd *fds, size_t cap)
{
    eicei_fds f;
    size_t i;
    size_t k;

    f.list = fds;
    f.cap = cap;
    f.count = 0;
    for (i = 0; i < EICEI_PEERS; i++) {
        for (k = 0; x->peers[i].conn != NULL && k < EICE_CONN_SLOTS; k++) {
            eicei_fds_slot(&f, &x->peers[i], (int)k);
        }
        eicei_fds_add(&f, x->peers[i].job.fd[0], POLLIN);
        eicei_fds_add(&f, x->peers[i].job.fd[1], POLLIN);
    }
    for (i = 0; i < EICEI_LOOKUPS; i++) {
        for (k = 0; x->lookups[i].used && k < EICEI_QUERIES; k++) {
            const eicei_query *q = &x->lookups[i].query[k];

            eicei_fds_add(&f, q->fd,
                          q->connecting || q->out_at < q->out_len ? POLLOUT
                                                                  : POLLIN);
        }
    }
    for (i = 0; i < EICE_POSIX_WATCHES; i++) {
        if (x->watches[i].events != 0) {
            eicei_fds_add(&f, x->watches[i].fd, x->watches[i].events);
        }
    }
    return f.count;
}

int eice_posix_timeout(eice_posix *x)
{
    const uint64_t now = eice_posix_now().ms;
    uint64_t t = UINT64_MAX;
    size_t i;

    for (i = 0; i < EICEI_PEERS; i++) {
        if (x->peers[i].conn != NULL) {
            t = eicei_min64(t, eice_conn_deadline(x->peers[i].conn));
            t = eicei_min64(t, eicei_job_deadline(&x->peers[i].job, now));
        }
    }
    for (i = 0; i < EICEI_LOOKUPS; i++) {
        if (x->lookups[i].used) {
            t = eicei_min64(t, eice_dns_deadline(&x->lookups[i].dns));
        }
    }
    if (t == UINT64_MAX) {
        return -1;
    }
    if (t <= now) {
        return 0;
    }
    return t - now > 3600000u ? 3600000 : (int)(t - now);
}

/* What poll said of one descriptor. */
EICEI_PRIVATE void eicei_ready_slot(eice_posix *x, eicei_peer *p, int slot,
                                    int revents)
{
    eicei_socket *s = &p->sock[slot];
    unsigned rounds = 0;

    if (s->connecting) {
        eicei_dialed(p, s);
        return;
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
        return;
    }
    while (s->fd >= 0 && eicei_slot_read(p, slot)
           && ++rounds < EICEI_ROUNDS) {
        eicei_peer_turn(x, p);
    }
}

EICEI_PRIVATE void eicei_ready_query(eice_posix *x, eicei_lookup *l,
                                     eicei_query *q, uint64_t now_ms)
{
    if (q->connecting || q->out_at < q->out_len) {
        eicei_query_write(x, l, q, now_ms);
    } else if (q->tcp) {
        eicei_query_stream(x, l, q, now_ms);
    } else {
        eicei_query_datagram(x, l, q, now_ms);
    }
}

EICEI_PRIVATE void eicei_ready(eice_posix *x, const struct pollfd *f,
                               uint64_t now_ms)
{
    size_t i;
    size_t k;

    for (i = 0; i < EICEI_PEERS; i++) {
        for (k = 0; x->peers[i].conn != NULL && k < EICE_CONN_SLOTS; k++) {
            if (x->peers[i].sock[k].fd == f->fd) {
                eicei_ready_slot(x, &x->peers[i], (int)k, f->revents);
                return;
            }
        }
    }
    for (i = 0; i < EICEI_LOOKUPS; i++) {
        for (k = 0; x->lookups[i].used && k < EICEI_QUERIES; k++) {
            if (x->lookups[i].query[k].fd == f->fd) {
                eicei_ready_query(x, &x->lookups[i], &x->lookups[i].query[k],
                                  now_ms);
                return;
            }
        }
    }
    for (i = 0; i < EICE_POSIX_WATCHES; i++) {
        if (x->watches[i].events != 0 && x->watches[i].fd == f->fd) {
            x->watches[i].ready(x->watches[i].user, f->fd, f->revents);
            return;
        }
    }
}

eice_err eice_posix_watch(eice_posix *x, int fd, int events,
                          eice_ready_fn ready, void *user)
{
    eicei_watch *spare = NULL;
    size_t i;

    for (i = 0; i < EICE_POSIX_WATCHES; i++) {
        eicei_watch *w = &x->watches[i];

        if (w->events != 0 && w->fd == fd) {
            spare = w;
            break;
        }
        if (w->events == 0 && spare == NULL) {
            spare = w;
        }
    }
    if (spare == NULL) {
        return EICE_E_LIMIT;
    }
    spare->fd = fd;
    spare->events = events;
    spare->ready = ready;
    spare->user = user;
    return EICE_OK;
}

void eice_posix_process(eice_posix *x, const struct pollfd *fds, size_t count)
{
    const uint64_t now_ms = eice_posix_now().ms;
    bool answered;
    size_t i;

    for (i = 0; i < count; i++) {
        if (fds[i].revents != 0 && fds[i].fd >= 0) {
            eicei_ready(x, &fds[i], now_ms);
        }
    }
    do {
        for (i = 0; i < EICEI_PEERS; i++) {
            if (x->peers[i].conn != NULL) {
                eicei_peer_turn(x, &x->peers[i]);
            }
        }
        answered = false;
        for (i = 0; i < EICEI_PEERS; i++) {
            if (eicei_job_step(x, &x->peers[i], now_ms)) {
                answered = true;
            }
        }
        for (i = 0; i < EICEI_LOOKUPS; i++) {
            if (x->lookups[i].used
                && eicei_lookup_step(x, &x->lookups[i], now_ms)) {
                answered = true;
            }
        }
        eicei_lookups_begin(x, now_ms);
    } while (answered);
}

EICEI_PRIVATE void eicei_posix_turn(eice_posix *x)
{
    struct pollfd fds[EICEI_WAIT_FDS];
    size_t n = eice_posix_fds(x, fds, EICEI_LEN(fds));

    n = n < EICEI_LEN(fds) ? n : EICEI_LEN(fds);
    if (poll(fds, (nfds_t)n, eice_posix_timeout(x)) < 0) {
        n = 0; /* a signal: the caller's handler may have cancelled */
    }
    eice_posix_process(x, fds, n);
}

eice_err eice_posix_wait(eice_posix *x, eice_conn *c)
{
    eice_posix_process(x, NULL, 0);
    while ((eice_conn_state(c) & (EICE_OPEN | EICE_DONE)) == 0) {
        eicei_posix_turn(x);
    }
    return eice_conn_error(c)->code;
}

eice_err eice_posix_calls(eice_posix *x, eice_conn *c, eice_call *calls,
                          size_t count)
{
    eice_err first = EICE_OK;
    size_t i;

    for (i = 0; i < count; i++) {
        (void)eice_conn_call(c, &calls[i]);
    }
    eice_posix_process(x, NULL, 0);
    for (i = 0; i < count; i++) {
        while (!calls[i].done) {
            eicei_posix_turn(x);
        }
        first = first != EICE_OK ? first : calls[i].error.code;
    }
    return first;
}

eice_err eice_posix_aws(const eice_conn_opts *o, eice_call *calls,
                        size_t count)
{
    eice_conn_opts opts;
    eice_posix *x;
    eice_conn *c = NULL;
    eice_error e;
    size_t i;

    memset(&e, 0, sizeof e);
    memset(&opts, 0, sizeof opts);
    if (o != NULL) {
        opts = *o;
    }
    opts.goal = EICE_GOAL_CALLS;
    x = eice_posix_new(NULL, &e);
    if (x != NULL) {
        c = eice_conn_new(&opts, eice_posix_now(), &e);
    }
    if (c != NULL && eice_posix_add(x, c) == EICE_OK) {
        e.code = eice_posix_calls(x, c, calls, count);
    }
    for (i = 0; i < count && !calls[i].done; i++) {
        calls[i].error = e;
        calls[i].done = true;
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return e.code;
}

/* ---- relay ------------------------------------------------------------- */

/* A pipe that poll calls writable takes PIPE_BUF bytes without blocking, and
 * descriptors of the caller are never made non-blocking. */
#define EICEI_RELAY_WRITE 4096u

typedef struct eicei_relay {
    int in;
    int out;
    bool in_open;
    bool out_open;
    uint64_t heard_ms; /* last byte after the end of `in` */
    eice_error error;
} eicei_relay;

/* write(2) without SIGPIPE, whatever the process does about that signal. */
EICEI_PRIVATE ssize_t eicei_write_quiet(int fd, const void *data, size_t len)
{
    const struct timespec none = {0, 0};
    sigset_t pipe_set;
    sigset_t pending;
    sigset_t old;
    ssize_t n;
    int number;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    sigprocmask(SIG_BLOCK, &pipe_set, &old);
    n = write(fd, data, len);
    number = errno;
    if (n < 0 && number == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        (void)sigtimedwait(&pipe_set, NULL, &none);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    errno = number;
    return n;
}

EICEI_PRIVATE void eicei_relay_in(eicei_relay *r, eice_conn *c)
{
    uint8_t *to;
    const size_t room = eice_conn_app_in(c, &to);
    ssize_t n;

    if (room == 0) {
        return;
    }
    n = read(r->in, to, room);
    if (n > 0) {
        eice_conn_app_in_ack(c, (size_t)n);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        r->in_open = false; /* there is no half-close in a tunnel */
        r->heard_ms = eice_posix_now().ms;
    }
}

EICEI_PRIVATE void eicei_relay_out(eicei_relay *r, eice_conn *c)
{
    const uint8_t *from;
    size_t len = eice_conn_app_out(c, &from);
    ssize_t n;

    if (len == 0) {
        return;
    }
    len = len < EICEI_RELAY_WRITE ? len : EICEI_RELAY_WRITE;
    n = eicei_write_quiet(r->out, from, len);
    if (n > 0) {
        eice_conn_app_out_ack(c, (size_t)n);
        r->heard_ms = eice_posix_now().ms;
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        if (errno != EPIPE) {
            (void)eicei_file_fail(&r->error, "write to", "the output");
        }
        r->out_open = false;
        eice_conn_close(c);
    }
}

EICEI_PRIVATE int eicei_relay_timeout(const eicei_relay *r, eice_posix *x,
                                      uint32_t idle_ms)
{
    int t = eice_posix_timeout(x);
    uint64_t end;
    uint64_t now;

    if (idle_ms == 0 || r->in_open) {
        return t;
    }
    now = eice_posix_now().ms;
    end = r->heard_ms + idle_ms;
    if (end <= now) {
        return 0;
    }
    return t < 0 || (uint64_t)t > end - now ? (int)(end - now) : t;
}

EICEI_PRIVATE void eicei_relay_turn(eicei_relay *r, eice_posix *x,
                                    eice_conn *c, uint32_t idle_ms)
{
    struct pollfd fds[66];
    const unsigned state = eice_conn_state(c);
    const bool want_in = r->in_open && (state & EICE_CAN_SEND) != 0;
    const bool want_out = r->out_open && (state & EICE_HAVE_DATA) != 0;
    size_t n;

    fds[0].fd = want_in ? r->in : -1;
    fds[0].events = POLLIN;
    fds[0].revents = 0;
    /* without data for it, the output is watched for its reader's end */
    fds[1].fd = r->out_open ? r->out : -1;
    fds[1].events = want_out ? POLLOUT : 0;
    fds[1].revents = 0;
    n = eice_posix_fds(x, fds + 2, EICEI_LEN(fds) - 2);
    n = n < EICEI_LEN(fds) - 2 ? n : EICEI_LEN(fds) - 2;
    if (poll(fds, (nfds_t)(n + 2), eicei_relay_timeout(r, x, idle_ms)) < 0) {
        n = 0;
        fds[0].revents = 0;
        fds[1].revents = 0;
    }
    if (want_in && fds[0].revents != 0) {
        eicei_relay_in(r, c);
    }
    if (want_out && (fds[1].revents & POLLOUT) != 0) {
        eicei_relay_out(r, c);
    } else if ((fds[1].revents & (POLLERR | POLLNVAL)) != 0) {
        r->out_open = false;
        eice_conn_close(c);
    }
    eice_posix_process(x, fds + 2, n);
    if (idle_ms != 0 && !r->in_open
        && eice_posix_now().ms >= r->heard_ms + idle_ms) {
        eice_conn_close(c);
    }
}

eice_err eice_posix_relay(eice_posix *x, eice_conn *c, int in, int out,
                          uint32_t idle_ms, eice_error *e)
{
    const eice_error *why;
    eicei_relay r;

    memset(&r, 0, sizeof r);
    r.in = in;
    r.out = out;
    r.in_open = true;
    r.out_open = true;
    (void)eice_posix_wait(x, c);
    while ((eice_conn_state(c) & EICE_DONE) == 0) {
        eicei_relay_turn(&r, x, c, idle_ms);
    }
    why = r.error.code != EICE_OK ? &r.error : eice_conn_error(c);
    if (e != NULL && e->code == EICE_OK) {
        *e = *why;
    }
    return why->code;
}

#endif /* EICE_HAS_AWS */

#endif /* EICE_HAS_POSIX */

#endif /* EICE_IMPLEMENTATION */

/* ======================================================================== *
 * 19 END                                                            >>end  *
 * ======================================================================== */

/* HISTORY
 *
 * 0.1.0  first version: credentials from the environment, shared files,
 *        container and instance services, web identity,
 *        tunnels, SSH with channels, host keys, the executor for POSIX.
 *
 * LICENCE
 *
 * MIT. Copyright (c) 2026 the eice authors.
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy
 * of this software and associated documentation files (the "Software"), to
 * deal in the Software without restriction, including without limitation the
 * rights to use, copy, modify, merge, publish, distribute, sublicense, and/or
 * sell copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in
 * all copies or substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
 * FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
 * IN THE SOFTWARE.
 */
