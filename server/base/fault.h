/*
 * Fault points: places where a test makes a system call or an allocation fail. In builds without
 * fault points FAULT() is the constant 0 and costs nothing.
 *
 * Armed by fault_arm() in unit tests, or by the environment in whole-program tests:
 *     TURNTABLE_FAULTS=name:skip:count:errno[,...]
 * passes `skip` visits, fails the next `count`, then passes for ever. Any thread.
 */
#pragma once

#include <stdint.h>

#define FAULT_ARMED_MAX 16

#ifdef TURNTABLE_FAULT_POINTS

/** Counts a visit to the point `name`; returns 0, or the errno (> 0) to fail with. */
int fault_visit(const char *name);

/** Arms a point: `skip` visits pass, then `count` fail with `error_number` (> 0). */
void fault_arm(const char *name, uint64_t skip, uint64_t count, int error_number);

/** Disarms every point and forgets the environment. */
void fault_disarm_all(void);

#define FAULT(name) fault_visit(name)

#else
#define FAULT(name) 0
#endif
