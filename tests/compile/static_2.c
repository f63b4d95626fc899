/* The other of two units that each have the library for themselves. */
#define EICE_STATIC
#define EICE_NO_AWS
#define EICE_NO_SSH
#define EICE_IMPLEMENTATION
#include "eice.h"

int other_unit(void);

int other_unit(void)
{
    return eice_str_is(eice_str_c(eice_err_name(EICE_E_LIMIT)), "LIMIT") ? 0
                                                                         : 1;
}
