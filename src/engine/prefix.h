/* engine/prefix.h - what was read once: a radix tree of tokens with the states of their cells.
 *
 * A node is a run of tokens under its parent's, with a scope: only texts that ask for those
 * positions in the same scope (company, one group, one person) ever meet it, and every token is
 * compared. A state is the cells of positions [from, to); nodes refer to it, so a run that was
 * split needs no new state. States lie in RAM up to a limit, those used longest ago go first; with
 * a disk below, they stay there. Not known here: cells, sequences, the library.
 *
 * Invariants: 1. scopes only narrow on the way down: company, group, person. 2. a state belongs to
 * one scope, so removing a scope's nodes frees all its bytes. 3. bytes in use <= limit after each
 * call, but for the path found last. One thread. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "engine/vec.h"

enum prefix_level { PREFIX_COMPANY, PREFIX_GROUP, PREFIX_PERSON, PREFIX_LEVELS };

/* A text, and who may share which part of it: the first n_company tokens everybody, those up to
 * n_group the group, the rest the person. n_company <= n_group <= n. Borrowed. */
struct prefix_text {
	const int32_t *v;
	size_t n;
	uint32_t n_company, n_group;
	uint64_t group, person;
	uint64_t object; /* conversation, for purging; 0: none */
	bool temporary;  /* never to the disk */
};
/* Leading positions with equal tokens in equal scopes. */
size_t prefix_common(const struct prefix_text *a, const struct prefix_text *b);
/* First position after `at` where the scope changes; n at most. */
size_t prefix_scope_end(const struct prefix_text *t, size_t at);

/* The tier below RAM; all NULL: none. Errors are the tier's: what cannot be loaded is forgotten. */
struct prefix_record {
	uint64_t id, parent; /* chosen by the disk, not 0; parent 0: starts at position 0 */
	enum prefix_level level;
	uint64_t scope, object; /* group or person */
	uint32_t from;
	const int32_t *tokens; /* of [from, from + n_tokens) */
	size_t n_tokens, size;
};
struct prefix_disk {
	uint64_t (*store)(
		void *arg, const struct prefix_record *r, const void *bytes); /* id; 0: not */
	enum err (*load)(void *arg, uint64_t id, void *to, size_t size);
	void (*drop)(void *arg, uint64_t id);
	void *arg;
};

struct prefix;
/* `divisible`: a part of a state is of use (no sliding window, no recurrent state); else a state
 * serves texts that have all its tokens. Errors: ERR_NOMEM. */
enum err prefix_new(
	size_t limit_bytes, bool divisible, const struct prefix_disk *disk, struct prefix **ret);
struct prefix *prefix_free(struct prefix *p);
DEFINE_AUTO(prefix)

/* A state and the positions to take from it. Valid until the next call that adds or removes. */
struct prefix_piece {
	const void *bytes;
	size_t size;
	uint32_t from, to;   /* to take */
	uint32_t state_from; /* where the state begins; <= from */
};
enum { PREFIX_PIECES = 64 };
/* Leading positions for which states are there, at most `max`. */
size_t prefix_covers(const struct prefix *p, const struct prefix_text *t, size_t max);
/* The same, but only what this text's own states may continue: not what was kept for temporary
 * texts if it may last itself, nor another talk's of the same person. */
size_t prefix_lasts(const struct prefix *p, const struct prefix_text *t, size_t max);
/* The states for the leading positions, first to last, loaded into RAM; returns how many positions
 * they give together (0: none). Counts as a use. */
size_t prefix_find(struct prefix *p, const struct prefix_text *t, size_t max,
	struct prefix_piece v[PREFIX_PIECES], size_t *ret_n);
/* Keeps a state of positions [from, to) of the text, which lie in one scope unless from is 0 and
 * states are not divisible. Takes `bytes` (mem_alloc'd), also on error. Errors: ERR_NOMEM. */
enum err prefix_add(struct prefix *p, const struct prefix_text *t, uint32_t from, uint32_t to,
	void *bytes, size_t size);
/* A record the disk had at the start. Errors: ERR_NOT_FOUND (its parent is not there), ERR_NOMEM.
 * */
enum err prefix_recall(struct prefix *p, const struct prefix_record *r);
/* Forgets what the person (0: everybody) left, or of it only what belongs to `object` (0: all). */
void prefix_purge(struct prefix *p, uint64_t person, uint64_t object);
size_t prefix_bytes(const struct prefix *p); /* in RAM */
size_t prefix_nodes(const struct prefix *p);
