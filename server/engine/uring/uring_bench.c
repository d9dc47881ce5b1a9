/*
 * Events per second of the engine: each round sends one small message over every pair of sockets
 * and receives it at the other end. Prints `name ns/event bytes/s n`.
 *
 *     uring_bench [pairs [entries [buffers]]]
 */
#include "server/engine/uring/uring.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "server/base/check.h"
#include "server/base/clock.h"

#define PAIRS_MAX     4096
#define MESSAGE_BYTES 128
#define ROUND_EVENTS  400000 /* about so many events are measured */

struct course {
    struct engine *engine;
    uint32_t pair_count;
    int pairs[PAIRS_MAX][2];
};

static void open_course(struct course *course, const struct engine_config *config)
{
    const char *what = "";
    const int result = uring_create(config, &course->engine, &what);
    if (result < 0) {
        (void)fprintf(stderr, "%s\n", what);
        exit(1);
    }
    for (uint32_t i = 0; i < course->pair_count; i++) {
        ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, course->pairs[i]) == 0);
        engine_start_receive(course->engine, (struct engine_token){.index = i},
                             course->pairs[i][1]);
    }
}

/* One message over every pair; returns the events it took. */
static uint64_t run_round(struct course *course)
{
    static const char message[MESSAGE_BYTES] = "GET / HTTP/1.1\r\n";
    for (uint32_t i = 0; i < course->pair_count; i++) {
        engine_start_send(course->engine, (struct engine_token){.index = i}, course->pairs[i][0],
                          message, MESSAGE_BYTES, false);
    }
    uint32_t sent = 0;
    uint32_t received = 0;
    while (sent < course->pair_count || received < course->pair_count) {
        struct engine_event events[256];
        const int count = engine_wait(course->engine, events, ARRAY_COUNT(events));
        ASSERT(count > 0);
        for (int i = 0; i < count; i++) {
            ASSERT(events[i].result == MESSAGE_BYTES);
            if (events[i].op == ENGINE_RECEIVE) {
                received++;
                engine_return_buffer(course->engine, events[i].buffer_id);
            } else {
                sent++;
            }
        }
    }
    return sent + received;
}

static uint32_t argument(int argc, char **argv, int index, uint32_t fallback)
{
    return argc > index ? (uint32_t)strtoul(argv[index], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    static struct course course;
    course.pair_count = argument(argc, argv, 1, 64);
    ASSERT(course.pair_count > 0 && course.pair_count <= PAIRS_MAX);
    const struct engine_config config = {.entry_count = argument(argc, argv, 2, 256),
                                         .receive_buffer_count = argument(argc, argv, 3, 256),
                                         .receive_buffer_bytes = 4096};
    const struct rlimit files = {.rlim_cur = 3 * PAIRS_MAX, .rlim_max = 20000};
    (void)setrlimit(RLIMIT_NOFILE, &files); /* few pairs need no more than there are */
    open_course(&course, &config);

    const struct clock *clock = clock_system();
    (void)run_round(&course); /* first touch */
    const uint64_t waits = engine_counters(course.engine)->waits;
    const uint64_t start_ns = clock_monotonic_ns(clock);
    uint64_t events = 0;
    while (events < ROUND_EVENTS) {
        events += run_round(&course);
    }
    const uint64_t spent_ns = clock_monotonic_ns(clock) - start_ns;
    const uint64_t bytes = events / 2 * MESSAGE_BYTES;
    (void)printf("uring_send_receive_%u %.1f %.0f %llu\n", course.pair_count,
                 (double)spent_ns / (double)events,
                 (double)bytes * (double)NS_PER_SEC / (double)spent_ns, (unsigned long long)events);
    (void)fprintf(stderr, "events per kernel entry: %.1f\n",
                  (double)events / (double)(engine_counters(course.engine)->waits - waits));
    engine_destroy(course.engine);
    return 0;
}
