/* engine/cells.h - which text lies in which cells, and how it gets from one tier to the next.
 *
 * A slot is a sequence id of a pool. It runs a request, or keeps a text (a leaf), or is empty.
 * Tiers: cells, RAM (engine/prefix.h), disk below it. What a request starts from is the longest of
 * what lies in cells and what the tree has.
 *
 * In the shared pool a slot may share the beginning of another slot's text, its donor; a donor
 * stays until nobody shares with it, so the cells in use are the sum over slots of what each has
 * beyond its donor's part. A slot may follow another that is still reading the same beginning: it
 * computes nothing until its leader is there. In the own pool a finished text stays where it is
 * until its stream is wanted, or none would be empty; in the shared pool it moves to RAM at once,
 * because everybody pays for it there; only prefixes in use stay, and those marked as shared until
 * somebody else runs there.
 *
 * Invariants: 1. slot->kv lists exactly the tokens in its cells. 2. nothing is taken from another
 * scope. 3. slot->shared <= kv.n, and 0 without a donor. Pure C over engine_backend_ops. */
#pragma once

#include "engine/prefix.h"
#include "engine/request.h"

enum {
	CELLS_SLOTS = 256,
	CELLS_TAKE_MIN = 16,  /* positions below which computing is cheaper than fetching */
	CELLS_READ_MIN = 192, /* tokens that are worth the way through the reading pool */
	CELLS_SHARE_MIN = 32, /* positions in common that make two texts a family */
};
struct slot {
	enum engine_pool pool;
	int32_t seq;
	struct request *req; /* NULL: a leaf, or empty when kv.n is 0 */
	struct tokens kv;
	/* whose it is: of the request, kept with the leaf */
	uint32_t n_company, n_group;
	uint64_t group, person, object;
	bool temporary;
	bool unsaved; /* holds what no lower tier has */
	/* purged while it runs: nothing of the person's part is kept, or of all */
	enum { FORGET_NOT, FORGET_OWN, FORGET_ALL } forget;
	uint32_t shared;
	struct slot *donor, *leader;
	struct slot *reader; /* in POOL_READ, where its prompt is read; NULL: in its own cells */
	uint32_t want;       /* positions to take over from the leader */
	unsigned sharers;
	uint64_t used;       /* clock of the last use */
	size_t n_batch, out; /* scheduler's: tokens in the batch being made, index of the last */
	size_t n_rows;       /* scheduler's: rows of a picture it may compute in this step */
};
struct cells_options {
	const struct engine_backend_ops *ops; /* borrowed, as backend */
	void *backend;
	size_t ram_bytes;               /* RAM tier */
	const struct prefix_disk *disk; /* NULL: none; copied */
};
struct cells;
enum err cells_new(const struct cells_options *o, struct cells **ret);
struct cells *cells_free(struct cells *c);
DEFINE_AUTO(cells)

size_t cells_n(const struct cells *c); /* slots, all pools; those of the reading pool never run */
struct slot *cells_slot(struct cells *c, size_t i);
struct prefix *cells_tree(struct cells *c);
uint32_t cells_used(const struct cells *c, enum engine_pool p);
/* Text of a request, or of what lies in a slot; borrows. */
struct prefix_text cells_text(const struct request *r);
struct prefix_text cells_slot_text(const struct slot *l);

/* What a request could start from in the shared pool. */
struct cells_family {
	struct slot *donor;  /* most positions in cells now */
	uint32_t n;          /* so many */
	struct slot *leader; /* still reading more of the same; NULL */
	uint32_t want;
};
struct cells_family cells_family(struct cells *c, const struct request *r);

/* Room in the shared pool for so many more cells beside all that runs to its end; gives up leaves
 * for it, not `keep`. */
bool cells_make_room(struct cells *c, uint32_t need, const struct slot *keep);
/* Where all streams that do not run keep a text, the one not used for longest moves to RAM: it is
 * copied while nobody waits for a first token, and who comes next finds an empty one. */
void cells_spare_stream(struct cells *c);
/* Somebody begins there who shares none of the leaves but `keep`: those that nobody shares move to
 * RAM, since each of his tokens would pay for their cells. Back from there costs milliseconds. */
void cells_let_go(struct cells *c, const struct slot *keep);
/* An empty slot of the pool, opened if need be; in the own pool the one whose leaf the request
 * continues, or the leaf not used for longest (never `keep`) makes room. NULL: none is free, or no
 * memory. */
struct slot *cells_take(
	struct cells *c, enum engine_pool p, const struct request *r, const struct slot *keep);
/* Gives the slot to the request and fills it with the longest beginning there is, `from` in the
 * shared pool. kv.n says how much. Nothing at all for a strict request. */
void cells_start(
	struct cells *c, struct slot *l, struct request *r, const struct cells_family *from);
/* Gives it the reading pool, if what it has to read is worth it and nobody else reads there: all
 * its cells are one pool, so each would pay for the other's. */
void cells_read_elsewhere(struct cells *c, struct slot *l);
/* All but the last token was read there: comes back with it. Without cells for it the reading is
 * lost, and it reads again in its own. */
void cells_read_done(struct cells *c, struct slot *l);
/* The leader may be there: takes over. True: the slot follows nobody (any more). */
bool cells_followed(struct cells *c, struct slot *l);
/* More tokens lie in its cells now. At borders where a text may be continued differently, what has
 * no divisible states is saved. Errors: ERR_NOMEM. */
enum err cells_grow(struct cells *c, struct slot *l, const int32_t *v, size_t n);
/* Takes the end of its text off again (drafted tokens that were wrong). */
void cells_cut(struct cells *c, struct slot *l, size_t n);
/* The request has left (finished or preempted): what it read is kept. */
void cells_leave(struct cells *c, struct slot *l, bool preempted);
/* Nothing is kept of it. */
void cells_drop(struct cells *c, struct slot *l);
/* A leaf that nobody shares, not used for longest, leaves the shared pool. False: there is none. */
bool cells_give_up_leaf(struct cells *c);
/* Nothing runs: saves leaves that only lie in cells. True: there may be more to save. */
bool cells_idle(struct cells *c);
bool cells_may_rest(const struct cells *c); /* the reading pool is open */
void cells_rest(struct cells *c);           /* closes it; nothing runs */
void cells_save_all(struct cells *c); /* before the end */
/* A strict request starts from nothing: pool and slots are empty after that. */
void cells_clear(struct cells *c, enum engine_pool p);
/* Nothing runs: everything is forgotten in every tier, because cells will be laid out otherwise,
 * and the pools are closed. */
void cells_close(struct cells *c);
void cells_purge(struct cells *c, uint64_t person, uint64_t object);
/* Moves everything to the front when many of the cells up to the highest used one are holes: each
 * token pays for them. */
void cells_compact(struct cells *c);
