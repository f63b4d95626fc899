/* The header reached twice while EICE_IMPLEMENTATION is defined. */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "eice.h"

int main(void)
{
    uint8_t digest[20];

    eice_sha1(digest, "abc", 3);
    return digest[0] == 0xa9 ? 0 : 1;
}
