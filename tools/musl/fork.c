/*
 * fork of the static program, in place of musl's, which takes the locks of all
 * parts of the library first, for the sake of other threads: 2 kB.  The program
 * has none: _Fork (POSIX.1-2024) is the same without that.  Only the musl
 * flavour is linked with it.
 *
 * MIT licence, see LICENSE.
 */
#include <unistd.h>

pid_t fork(void)
{
    return _Fork();
}
