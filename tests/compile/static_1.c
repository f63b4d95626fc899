/* One of two units that each have the library for themselves. Without SSH:
 * libssh2 on the BearSSL backend needs the library's Ed25519 from outside. */
#define EICE_STATIC
#define EICE_NO_SSH
#define EICE_IMPLEMENTATION
#include "eice.h"

int other_unit(void);

int main(void)
{
    return eice_str_is(eice_str_c(eice_stage_name(EICE_STAGE_TLS)), "tls")
               ? other_unit()
               : 1;
}
