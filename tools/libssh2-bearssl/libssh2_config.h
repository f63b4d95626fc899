/*
 * Configuration of libssh2 for POSIX systems: what its configure script would
 * find on Linux with musl or glibc, and on the BSDs.  No zlib, no agent.
 *
 * MIT licence, see LICENSE.
 */
#ifndef LIBSSH2_CONFIG_H
#define LIBSSH2_CONFIG_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif

#define HAVE_GETTIMEOFDAY 1
#define HAVE_INTTYPES_H 1
#define HAVE_O_NONBLOCK 1
#define HAVE_POLL 1
#define HAVE_SNPRINTF 1
#define HAVE_STRTOLL 1
#define HAVE_SYS_IOCTL_H 1
#define HAVE_SYS_SOCKET_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_UIO_H 1
#define HAVE_UNISTD_H 1

/* What this client never uses: RSA certificates (patch 09), the texts of
 * errors (patch 10: eice.h has its own), waiting for the network (patch 12). */
#define LIBSSH2_NO_RSA_CERTIFICATES
#define LIBSSH2_NO_ERROR_TEXTS
#define LIBSSH2_NO_BLOCKING

#endif
