/* engine/cells_int.h - private to engine/cells*.c. */
#pragma once

#include "engine/cells.h"

struct cells {
	const struct engine_backend_ops *ops;
	void *b;
	const struct engine_caps *caps;
	struct prefix *tree;
	struct slot slot[CELLS_SLOTS];
	size_t n;
	int32_t spare; /* first of the spare ids */
	bool open[POOLS], divisible;
	uint32_t top; /* shared pool: highest cell used since it was empty, at most */
	uint64_t clock;
};

/* A sequence's state, to be freed by the caller; NULL: it cannot be had. */
void *cells_get_state(struct cells *c, enum engine_pool p, int32_t seq, size_t *ret_size);
/* The state of positions [from, to) of a slot in the shared pool: by way of a spare sequence that
 * shares just these cells. The caller's; NULL: it cannot be had. */
void *cells_part_of_shared(
	struct cells *c, const struct slot *l, uint32_t from, uint32_t to, size_t *ret_size);
void cells_part_from_donor(struct slot *l);
