/* Declarations first, as another header might bring them; the implementation
 * further down in the same file. */
#include "eice.h"

static eice_err first_use(void)
{
    return EICE_OK;
}

#define EICE_IMPLEMENTATION
#include "eice.h"

int main(void)
{
    uint8_t digest[32];

    eice_sha256(digest, "abc", 3);
    return first_use() == EICE_OK && digest[0] == 0xba ? 0 : 1;
}
