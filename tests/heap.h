/* An allocator for eice_alloc that counts and can fail. Include after eice.h.
 *
 *     heap h = {0};
 *     alloc.resize = heap_resize;
 *     alloc.user = &h; */
#ifndef EICE_HEAP_H
#define EICE_HEAP_H

#include <stdlib.h>

typedef struct heap {
    unsigned long calls;   /* that asked for memory */
    unsigned long fail_at; /* this one gets none; 0: none fails */
    bool failed;
    unsigned long live;    /* blocks */
    size_t bytes;
    size_t most;           /* bytes at a time */
} heap;

typedef union heap_block {
    size_t size;
    long double align; /* 16 bytes, as malloc's */
} heap_block;

static void *heap_resize(void *user, void *memory, size_t size)
{
    heap *h = (heap *)user;
    heap_block *b = memory != NULL ? (heap_block *)memory - 1 : NULL;

    if (size == 0) {
        if (b != NULL) {
            h->live--;
            h->bytes -= b->size;
            free(b);
        }
        return NULL;
    }
    if (++h->calls == h->fail_at) {
        h->failed = true;
        return NULL;
    }
    h->bytes += size - (b != NULL ? b->size : 0);
    h->most = h->bytes > h->most ? h->bytes : h->most;
    h->live += b == NULL;
    b = (heap_block *)realloc(b, sizeof *b + size);
    if (b == NULL) {
        abort();
    }
    b->size = size;
    return b + 1;
}

#endif
