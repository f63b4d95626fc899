/* The unit with the implementation and nothing else. */
#define EICE_IMPLEMENTATION
#include "eice.h"
