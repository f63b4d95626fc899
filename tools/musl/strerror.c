/*
 * strerror of the static program, in place of musl's, which has words for the
 * errors of STREAMS, keyrings and robust mutexes as well: 1 kB.  The words are
 * musl's.  Only the musl flavour is linked with it.
 *
 * MIT licence, see LICENSE.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* What files, processes and sockets fail with; numbers are below 256. */
#define ERRORS(X)                                                             \
    X(EPERM, "Operation not permitted")                                       \
    X(ENOENT, "No such file or directory")                                    \
    X(ESRCH, "No such process")                                               \
    X(EINTR, "Interrupted system call")                                       \
    X(EIO, "I/O error")                                                       \
    X(ENXIO, "No such device or address")                                     \
    X(E2BIG, "Argument list too long")                                        \
    X(ENOEXEC, "Exec format error")                                           \
    X(EBADF, "Bad file descriptor")                                           \
    X(ECHILD, "No child process")                                             \
    X(EAGAIN, "Resource temporarily unavailable")                             \
    X(ENOMEM, "Out of memory")                                                \
    X(EACCES, "Permission denied")                                            \
    X(EFAULT, "Bad address")                                                  \
    X(EBUSY, "Resource busy")                                                 \
    X(EEXIST, "File exists")                                                  \
    X(EXDEV, "Cross-device link")                                             \
    X(ENODEV, "No such device")                                               \
    X(ENOTDIR, "Not a directory")                                             \
    X(EISDIR, "Is a directory")                                               \
    X(EINVAL, "Invalid argument")                                             \
    X(ENFILE, "Too many open files in system")                                \
    X(EMFILE, "No file descriptors available")                                \
    X(ENOTTY, "Not a tty")                                                    \
    X(ETXTBSY, "Text file busy")                                              \
    X(EFBIG, "File too large")                                                \
    X(ENOSPC, "No space left on device")                                      \
    X(ESPIPE, "Invalid seek")                                                 \
    X(EROFS, "Read-only file system")                                         \
    X(EMLINK, "Too many links")                                               \
    X(EPIPE, "Broken pipe")                                                   \
    X(EDEADLK, "Resource deadlock would occur")                               \
    X(ENAMETOOLONG, "Filename too long")                                      \
    X(ENOLCK, "No locks available")                                           \
    X(ENOSYS, "Function not implemented")                                     \
    X(ENOTEMPTY, "Directory not empty")                                       \
    X(ELOOP, "Symbolic link loop")                                            \
    X(EPROTO, "Protocol error")                                               \
    X(EOVERFLOW, "Value too large for data type")                             \
    X(EILSEQ, "Illegal byte sequence")                                        \
    X(ENOTSOCK, "Not a socket")                                               \
    X(EMSGSIZE, "Message too large")                                          \
    X(ENOPROTOOPT, "Protocol not available")                                  \
    X(EPROTONOSUPPORT, "Protocol not supported")                              \
    X(ESOCKTNOSUPPORT, "Socket type not supported")                           \
    X(EOPNOTSUPP, "Not supported")                                            \
    X(EAFNOSUPPORT, "Address family not supported by protocol")               \
    X(EADDRINUSE, "Address in use")                                           \
    X(EADDRNOTAVAIL, "Address not available")                                 \
    X(ENETDOWN, "Network is down")                                            \
    X(ENETUNREACH, "Network unreachable")                                     \
    X(ENETRESET, "Connection reset by network")                               \
    X(ECONNABORTED, "Connection aborted")                                     \
    X(ECONNRESET, "Connection reset by peer")                                 \
    X(ENOBUFS, "No buffer space available")                                   \
    X(EISCONN, "Socket is connected")                                         \
    X(ENOTCONN, "Socket not connected")                                       \
    X(ESHUTDOWN, "Cannot send after socket shutdown")                         \
    X(ETIMEDOUT, "Operation timed out")                                       \
    X(ECONNREFUSED, "Connection refused")                                     \
    X(EHOSTDOWN, "Host is down")                                              \
    X(EHOSTUNREACH, "Host is unreachable")                                    \
    X(EALREADY, "Operation already in progress")                              \
    X(EINPROGRESS, "Operation in progress")                                   \
    X(ESTALE, "Stale file handle")                                            \
    X(EREMOTEIO, "Remote I/O error")                                          \
    X(EDQUOT, "Quota exceeded")                                               \
    X(ENOMEDIUM, "No medium found")

#define NUMBER(number, text) number,
#define TEXT(number, text) text "\0"

char *strerror(int number)
{
    static const unsigned char numbers[] = {ERRORS(NUMBER)};
    static char texts[] = ERRORS(TEXT) "No error information";
    char *text = texts;
    size_t i;

    for (i = 0; i < sizeof numbers && numbers[i] != number; i++) {
        text += strlen(text) + 1;
    }
    return text;
}
