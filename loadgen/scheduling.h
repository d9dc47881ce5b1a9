/*
 * How the kernel schedules our helper threads beside the load's own.
 */
#pragma once

/**
 * Asks for short turns on the CPU for the calling thread: it then waits less for each, without
 * getting more of them. For threads that wake often, for little, and whose instants are measured.
 *
 * A wish: kernels before 6.12 do not know it, and nothing depends on it.
 */
void scheduling_ask_for_short_slices(void);
