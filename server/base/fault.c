#include "server/base/fault.h"

#ifdef TURNTABLE_FAULT_POINTS

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/check.h"

struct fault_point {
    char name[48];
    uint64_t skip;
    uint64_t count;
    int error_number;
};

/* Test builds only: faults are armed for the process, so their table is the process's. */
static struct fault_point points[FAULT_ARMED_MAX]; /* tidy: test builds only */
static size_t point_count;                         /* tidy: test builds only */
static bool is_environment_read;                   /* tidy: test builds only */
static pthread_mutex_t points_mutex = PTHREAD_MUTEX_INITIALIZER;

static void add_point(const char *name, uint64_t skip, uint64_t count, int error_number)
{
    ASSERT(point_count < FAULT_ARMED_MAX);
    struct fault_point *point = &points[point_count++];
    *point = (struct fault_point){.skip = skip, .count = count, .error_number = error_number};
    (void)snprintf(point->name, sizeof(point->name), "%s", name);
}

static void read_environment(void)
{
    is_environment_read = true;
    const char *rest = getenv("TURNTABLE_FAULTS");
    while (rest != NULL && *rest != '\0') {
        char name[48];
        unsigned long long skip = 0;
        unsigned long long count = 0;
        int error_number = 0;
        int fields = sscanf(rest, "%47[^:]:%llu:%llu:%d", name, &skip, &count, &error_number);
        ASSERT(fields == 4); /* a mistyped fault would make its test prove nothing */
        add_point(name, skip, count, error_number);
        rest = strchr(rest, ',');
        rest = rest == NULL ? NULL : rest + 1;
    }
}

static int visit_locked(const char *name)
{
    for (size_t i = 0; i < point_count; i++) {
        struct fault_point *point = &points[i];
        if (strcmp(point->name, name) != 0) {
            continue;
        }
        if (point->skip > 0) {
            point->skip--;
            return 0;
        }
        if (point->count > 0) {
            point->count--;
            return point->error_number;
        }
    }
    return 0;
}

int fault_visit(const char *name)
{
    (void)pthread_mutex_lock(&points_mutex);
    if (!is_environment_read) {
        read_environment();
    }
    int error_number = visit_locked(name);
    (void)pthread_mutex_unlock(&points_mutex);
    return error_number;
}

void fault_arm(const char *name, uint64_t skip, uint64_t count, int error_number)
{
    (void)pthread_mutex_lock(&points_mutex);
    add_point(name, skip, count, error_number);
    (void)pthread_mutex_unlock(&points_mutex);
}

void fault_disarm_all(void)
{
    (void)pthread_mutex_lock(&points_mutex);
    point_count = 0;
    is_environment_read = true;
    (void)pthread_mutex_unlock(&points_mutex);
}

#endif
