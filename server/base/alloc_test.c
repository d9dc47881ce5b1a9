#include "server/base/alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/check.h"

static void zeroed_memory_is_zero(void **state)
{
    (void)state;
    static const unsigned char zeroes[300];
    unsigned char *memory = alloc_zeroed(100, 3);
    assert_non_null(memory);
    assert_memory_equal(memory, zeroes, sizeof(zeroes));
    alloc_free(memory);
    alloc_free(NULL);
}

static void mapped_pages_are_aligned_and_writable(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4096, 4097, 1 << 24};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        unsigned char *pages = alloc_map(sizes[i]);
        assert_non_null(pages);
        assert_int_equal((uintptr_t)pages % 4096, 0);
        assert_int_equal(pages[0], 0);
        assert_int_equal(pages[sizes[i] - 1], 0);
        pages[sizes[i] - 1] = 1;
        alloc_unmap(pages, sizes[i]);
    }
    alloc_unmap(NULL, 4096);
}

/* In a child process: seals, then allocates in one way or another, or does what is allowed. */
static void use_sealed(int way)
{
    void *memory = alloc_zeroed(1, 100);
    void *pages = alloc_map(100);
    alloc_seal_thread();
    if (way == 1) {
        memory = alloc_zeroed(1, 100);
    }
    if (way == 2) {
        pages = alloc_map(100);
    }
    alloc_free(memory);
    alloc_unmap(pages, 100);
    alloc_unseal_thread();
    alloc_free(alloc_zeroed(1, 100));
}

static void sealed_thread_may_free_but_not_allocate(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)signal(SIGABRT, SIG_DFL);
            (void)close(STDERR_FILENO); /* what the check says is expected */
            use_sealed(way);
            _exit(0);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        print_message("way %d: status %#x\n", way, (unsigned)status);
        if (way == 0) {
            assert_int_equal(status, 0);
        } else {
            assert_true(WIFSIGNALED(status));
            assert_int_equal(WTERMSIG(status), SIGABRT);
        }
    }
}

static void *allocate_in_thread(void *context)
{
    bool *ret_is_sealed = context;
    *ret_is_sealed = alloc_thread_is_sealed();
    return alloc_zeroed(1, 1);
}

static void seal_is_the_threads_own(void **state)
{
    (void)state;
    pthread_t thread;
    bool is_sealed = true;
    void *memory = NULL;
    alloc_seal_thread();
    assert_true(alloc_thread_is_sealed());
    assert_int_equal(pthread_create(&thread, NULL, allocate_in_thread, &is_sealed), 0);
    assert_int_equal(pthread_join(thread, &memory), 0);
    alloc_unseal_thread();
    assert_false(alloc_thread_is_sealed());
    assert_false(is_sealed);
    assert_non_null(memory);
    alloc_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(mapped_pages_are_aligned_and_writable),
        cmocka_unit_test(sealed_thread_may_free_but_not_allocate),
        cmocka_unit_test(seal_is_the_threads_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
