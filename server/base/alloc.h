/*
 * Memory that is settled at start-up. A worker allocates all it will ever use, then seals its
 * thread: from there on an allocation through this header is a bug and stops the process. So the
 * request path has no malloc, and a test can prove it by serving.
 *
 * Any thread; the seal is per thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * Allocates `count` zeroed objects of `bytes` each.
 *
 * returns   NULL when there is no memory; free with alloc_free()
 */
[[gnu::warn_unused_result]] void *alloc_zeroed(size_t count, size_t bytes);

/** Frees what alloc_zeroed() gave; NULL is fine. */
void alloc_free(void *pointer);

/**
 * Reserves zeroed pages that cost memory only once touched: for pools sized for the worst case.
 *
 * bytes     > 0, rounded up to whole pages
 * returns   page-aligned, or NULL; free with alloc_unmap() and the same `bytes`
 */
[[gnu::warn_unused_result]] void *alloc_map(size_t bytes);

/** Gives back alloc_map()'s pages; NULL is fine. */
void alloc_unmap(void *pointer, size_t bytes);

/** From now on this thread may not allocate until alloc_unseal_thread(). */
void alloc_seal_thread(void);
void alloc_unseal_thread(void);
bool alloc_thread_is_sealed(void);
