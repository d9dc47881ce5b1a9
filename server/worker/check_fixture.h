/*
 * What must hold between any two turns of a worker, whatever happened: places, buffers, counts,
 * chains of waiting connections, and that what a connection believes to be in flight is in flight.
 */
#pragma once

struct rig;

/** ASSERTs all of it. O(connections * operations recorded). */
void rig_check(struct rig *rig);

/** ASSERTs that nothing is under way, taken or owed. */
void rig_check_empty(struct rig *rig);
