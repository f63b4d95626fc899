/* A unit that uses the library; implement.c holds it. */
#include "eice.h"

#include <stdio.h>

int main(void)
{
    static eice_tunnel tunnel;
    const char *name = eice_err_name(EICE_E_TLS_EXPIRED);

    eice_tunnel_wipe(&tunnel);
    puts(name);
    return eice_str_is(eice_str_c(name), "TLS_EXPIRED") ? 0 : 1;
}
