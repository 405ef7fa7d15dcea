/* engine/fake.h - a backend without a model: bytes are tokens, time is virtual, memory is checked.
 *
 * The "model": the next token is a hash of all tokens before it. Each cell keeps the hash of its
 * text so far, as real cells keep what they have seen, so a scheduler that mixes up cells gives
 * other answers than fake_next() computes from the text alone. Every misuse that would reach an
 * assert in libllama (a gap in positions, too many tokens, a sequence id out of range, removal or
 * copying the caps forbid, a closed pool) ends the program.
 * Pictures: the byte 2 and a digit stand for the picture of that number: `width` rows, which see
 * each other when `height` is 2, and which are there when they were asked for a few times.
 * Messages: a JSON array of plain strings' objects is not parsed; each "share":"company" or
 * "group" is looked for in the text, and what is before the end of its object is shared. */
#pragma once

#include "engine/backend.h"

enum { FAKE_END = 256, FAKE_VOCAB = 257 }; /* token ids: 0..255 bytes, then the end */

struct fake_options {
	uint32_t n_shared;        /* cells of the shared pool; 0: none */
	uint32_t n_shared_seq;    /* 0: 40 */
	uint32_t n_own, n_seq;    /* positions of a stream, streams; n_seq 0: no own pool */
	uint32_t n_read;    /* cells of the reading pool; 0: none. Tokens cost half there, ... */
	uint32_t read_tile; /* ... or seven times as much in a batch of fewer than these; 0: 1 */
	uint32_t n_run;           /* 0: all that fit */
	uint32_t n_batch;
	bool no_partial, no_state; /* no removal, copy or state of parts; no states at all */
	uint32_t swa_window;
	uint32_t end_every;        /* about one token in so many is the end; 0: never */
	int64_t step_ns, token_ns; /* what a decode costs in virtual time, and a token in it */
	int64_t cell_ns;           /* and each cell in use, for each token */
	int64_t save_ns;           /* what a cell costs that is copied out of its pool */
	unsigned again_every;      /* every n-th decode says ERR_AGAIN; 0: never */
	unsigned set_every;        /* every n-th state does not go back into cells; 0: never */
	unsigned broken_at;        /* the n-th decode says ERR_ENGINE; 0: never */
	struct str think_start, think_end; /* borrowed */
};
struct fake;
extern const struct engine_backend_ops FAKE_OPS;
enum err fake_new(const struct fake_options *o, struct fake **ret);
struct fake *fake_free(struct fake *f);
DEFINE_AUTO(fake)
int64_t fake_now_ns(const struct fake *f);
void fake_sleep_ns(struct fake *f, int64_t ns);
uint64_t fake_decodes(const struct fake *f);
uint64_t fake_tokens(const struct fake *f); /* computed in all */
uint32_t fake_cells(const struct fake *f, enum engine_pool p); /* in use */
/* Tokens of a prompt that is given as text: bytes, and rows of pictures. As many as there are. */
size_t fake_text(const struct gen_request *g, int32_t *ret);
/* The model's greedy answer: next token after `v`, by the same rule but from the text alone. */
int32_t fake_next(uint32_t end_every, const int32_t *v, size_t n);
