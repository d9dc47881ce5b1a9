/*
 * Constants of io_uring that are younger than liburing 2.3 (Debian 12, whose headers are those of
 * Linux 6.1). Declaring one does not mean that the kernel has it: each use is gated on what
 * io_uring_setup(2) accepts or reports.
 *
 * Only server/engine/uring/ includes this.
 */
#pragma once

#include <liburing.h>

/* Linux 6.6: no array of indices between the submission queue and its entries. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

/* Linux 6.15: waiting for events need not be booked as waiting for a disk ("iowait" in top(1)). */
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
