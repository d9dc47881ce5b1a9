#include "server/engine/uring/uring_fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/engine/uring/probe.h"

/* An index that no test uses. */
#define SETTLE_INDEX 0xffffff01
#define SETTLE_NS    1000000

#define SKIPPED 77

int fixture_setup(void **state)
{
    (void)alarm(FIXTURE_SECONDS_MAX);
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    ASSERT(fixture != NULL);
    const struct engine_config config = {.entry_count = FIXTURE_ENTRIES,
                                         .slot_count = FIXTURE_SLOTS,
                                         .receive_buffer_count = FIXTURE_BUFFERS,
                                         .receive_buffer_bytes = FIXTURE_BUFFER_BYTES};
    const char *what = "";
    const int result = uring_create(&config, &fixture->engine, &what);
    if (result != 0) {
        (void)fprintf(stderr, "uring_create: %d, %s\n", result, what);
    }
    *state = fixture;
    return result;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    engine_destroy(fixture->engine);
    free(fixture);
    return 0;
}

void fixture_skip_without_uring(void)
{
    struct uring_probe_result result;
    char what[OBSTACLE_TEXT_MAX];
    if (uring_probe(&result, what) != 0) {
        (void)printf("skipped: %s\n", what);
        exit(SKIPPED);
    }
    (void)printf("lifetime of registered files: %s\n", lifetime_name(result.lifetime));
}

struct uring *fixture_uring(struct fixture *fixture)
{
    return container_of(fixture->engine, struct uring, engine);
}

/* Takes the first early event that fits. */
static bool take_early(struct fixture *fixture,
                       enum engine_op op,
                       uint32_t index,
                       struct engine_event *ret_event)
{
    for (uint32_t i = 0; i < fixture->early_count; i++) {
        if (fixture->early[i].op == op && fixture->early[i].token.index == index) {
            *ret_event = fixture->early[i];
            fixture->early_count--;
            memmove(&fixture->early[i], &fixture->early[i + 1],
                    (fixture->early_count - i) * sizeof(fixture->early[0]));
            return true;
        }
    }
    return false;
}

static void wait_once(struct fixture *fixture)
{
    const uint32_t room = ARRAY_COUNT(fixture->early) - fixture->early_count;
    ASSERT(room > 0);
    const int count = engine_wait(fixture->engine, &fixture->early[fixture->early_count], room);
    ASSERT(count >= 0);
    fixture->early_count += (uint32_t)count;
}

struct engine_event fixture_await(struct fixture *fixture, enum engine_op op, uint32_t index)
{
    struct engine_event event;
    while (!take_early(fixture, op, index, &event)) {
        wait_once(fixture);
    }
    return event;
}

void fixture_settle(struct fixture *fixture)
{
    engine_start_timeout(fixture->engine, token_of(SETTLE_INDEX, 0), SETTLE_NS);
    (void)fixture_await(fixture, ENGINE_TIMEOUT, SETTLE_INDEX); /* only the wait matters */
}

bool fixture_has_come(struct fixture *fixture, enum engine_op op, uint32_t index)
{
    fixture_settle(fixture);
    for (uint32_t i = 0; i < fixture->early_count; i++) {
        if (fixture->early[i].op == op && fixture->early[i].token.index == index) {
            return true;
        }
    }
    return false;
}

void fixture_return(struct fixture *fixture, const struct engine_event *event)
{
    ASSERT(event->buffer_id != ENGINE_BUFFER_NONE);
    engine_return_buffer(fixture->engine, event->buffer_id);
}

void fixture_overfill(struct fixture *fixture)
{
    const int fd = eventfd(1, EFD_CLOEXEC);
    const uint32_t count = 3 * FIXTURE_ENTRIES + 5;
    for (uint32_t i = 0; i < count; i++) {
        engine_start_poll(fixture->engine, token_of(i, 1), fd, POLLIN);
    }
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(fixture_await(fixture, ENGINE_POLL, i).result == POLLIN);
    }
    ASSERT(fixture->early_count == 0);
    close(fd);
}

int fixture_listen(uint16_t *ret_port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    ASSERT(bind(fd, (struct sockaddr *)&address, bytes) >= 0);
    ASSERT(listen(fd, 1024) >= 0);
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &bytes) >= 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int fixture_connect(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ASSERT(connect(fd, (const struct sockaddr *)&address, sizeof(address)) >= 0);
    return fd;
}

void fixture_pair(int ret_fds[static 2])
{
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds) >= 0);
}

int fixture_file(const char *text)
{
    const int fd = memfd_create("fixture", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

uint32_t fixture_open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    ASSERT(directory != NULL);
    uint32_t count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory);
    return count;
}
