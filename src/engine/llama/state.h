/* engine/llama/state.h - states of one sequence, moved between a context with streams and one without.
 *
 * libllama writes the number of streams of its context in front of each cache's section and refuses
 * another number. The sections say the same otherwise, so they can be rewritten: to one stream
 * (the form in which states are kept) and back to many. Source: llama-kv-cache.cpp of the pinned
 * version, state_write() and below. A model has one section, or two with a sliding window. Bytes
 * that are not as expected are refused, never read past. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of `in` (of a context with `streams` streams) in the form of one with one stream. */
size_t state_size_single(size_t len, unsigned streams, unsigned sections);
/* And of a single one in the form for `streams`. */
size_t state_size_streams(size_t len, unsigned streams, unsigned sections);
/* `out` has state_size_single() bytes. False: not a state of one sequence as described. */
bool state_to_single(const uint8_t *in, size_t len, unsigned streams, unsigned sections, uint8_t *out);
/* `out` has state_size_streams() bytes. */
bool state_to_streams(const uint8_t *in, size_t len, unsigned streams, unsigned sections, uint8_t *out);
