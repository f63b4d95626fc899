/*
 * The default source of random bytes of the BearSSL backend.  It is a file of
 * its own so that, coming from an archive, it is linked only into programs
 * that define no eice_libssh2_random themselves.
 *
 * MIT licence, see LICENSE.
 */
#include "libssh2_bearssl.h"

#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

#define ENTROPY_MAX 256 /* getentropy's limit for one call */

int eice_libssh2_random(void *abstract, unsigned char *buf, size_t len)
{
    (void)abstract;
    while (len > 0) {
        const size_t n = len < ENTROPY_MAX ? len : ENTROPY_MAX;

        if (getentropy(buf, n) != 0) {
            return -1;
        }
        buf += n;
        len -= n;
    }
    return 0;
}
