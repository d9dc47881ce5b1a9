#include "server/base/alloc.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "server/base/check.h"

static _Thread_local bool is_sealed; /* tidy: one flag a thread, this module's whole state */

void *alloc_zeroed(size_t count, size_t bytes)
{
    ASSERT(!is_sealed);
    return calloc(count, bytes);
}

void alloc_free(void *pointer)
{
    free(pointer);
}

void *alloc_map(size_t bytes)
{
    ASSERT(!is_sealed);
    ASSERT(bytes > 0);
    void *pointer = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pointer == MAP_FAILED ? NULL : pointer;
}

void alloc_unmap(void *pointer, size_t bytes)
{
    if (pointer != NULL) {
        ASSERT(munmap(pointer, bytes) == 0);
    }
}

void alloc_seal_thread(void)
{
    is_sealed = true;
}

void alloc_unseal_thread(void)
{
    is_sealed = false;
}

bool alloc_thread_is_sealed(void)
{
    return is_sealed;
}
