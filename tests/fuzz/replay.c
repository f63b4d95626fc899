/* Runs a fuzz target on files, without a fuzzer: replay FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *const f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;
    size_t got;

    if (f == NULL) {
        perror(path);
        return 1;
    }
    do {
        uint8_t *const more = (uint8_t *)realloc(data, size + 65536);

        if (more == NULL) {
            abort();
        }
        data = more;
        got = fread(data + size, 1, 65536, f);
        size += got;
    } while (got > 0);
    fclose(f);
    /* A block of exactly this size: sanitizers see one byte too far. */
    if (size > 0) {
        data = (uint8_t *)realloc(data, size);
    }
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    int i;

    for (i = 1; i < argc; i++) {
        failed |= replay(argv[i]);
    }
    printf("replayed %d files\n", argc - 1);
    return failed;
}
