/* engine/llama/state.h - states of one sequence, moved between a context with streams and one
 * without.
 *
 * libllama writes the number of streams of its context in front of each cache's section, and values
 * transposed where flash attention is off; it refuses another number and the other order. The
 * sections say the same otherwise, so they can be rewritten: to one stream (the form in which
 * states are kept) and back to many, and from one order of values to the other. Where the order
 * stays, the bytes stay where they are: a state is tens of MiB, and somebody waits for it. Source:
 * llama-kv-cache.cpp of the pinned version, state_write() and below. A model has one section, or
 * two with a sliding window. Bytes that are not as expected are refused, never read past. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state_form {
	unsigned streams;
	bool transposed; /* values lie transposed: a context without flash attention */
};
/* Rewrites a state of form `from` into form `to`; *ret is malloc'd (mem_alloc), the caller frees
 * it. False: not such a state, or no memory. */
bool state_convert(const uint8_t *in, size_t len, unsigned sections, struct state_form from,
	struct state_form to, uint8_t **ret, size_t *ret_len);

/* The same to one stream, with values in the order they are in: in the place where the state lies.
 * *len becomes less. False: not such a state; nothing was changed. */
bool state_narrow(uint8_t *bytes, size_t *len, unsigned sections, struct state_form from);

enum { STATE_SECTIONS = 2 };
struct state_piece {
	const void *ptr;
	size_t len;
};
/* A state as pieces one behind the other. Not to be moved: some point into it. */
struct state_pieces {
	uint32_t streams;
	unsigned n;
	struct state_piece v[1 + 3 * STATE_SECTIONS];
};
/* The pieces of a state in one stream as one of `streams`, with values in the order they are in;
 * they borrow from `in`. False: not such a state. */
bool state_widen(const uint8_t *in, size_t len, unsigned sections, bool transposed,
	uint32_t streams, struct state_pieces *ret);
