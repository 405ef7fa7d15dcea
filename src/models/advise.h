/* models/advise.h - what this machine is, and which models fit it.
 *
 * The table is models/advice.json, built in. Memory = weights + KV cache at that context (from
 * layers, KV heads and head size) + compute buffers. Tokens/s = measured memory bandwidth divided
 * by the bytes a token must
 * read; an estimate, named so. */
#pragma once

#include "base/json.h"
#include "models/cards.h"

struct machine {
	uint64_t memory, memory_free, disk_free; /* bytes; memory counts a cgroup's limit */
	char cpu[96], gpu[128]; /* gpu: the cards' names, cards_text(); empty for none */
	unsigned cores;                          /* usable by us: affinity and cgroup */
	struct cards cards;
	double bandwidth;       /* bytes/s, measured; 0: not measured */
	uint64_t cgroup_memory; /* limit of our control group; 0: none */
	int meminfo_fd;         /* /proc/meminfo, held open over the lock; 0: none */
};
/* Reads /proc, /sys, cgroups, and asks for the `cards` (bits of models/cards.h). Call it before the
 * sandbox and before threads start. Never fails: what is not known stays 0 or empty. */
void machine_probe(const char *data_dir, unsigned cards, struct machine *ret);
/* Refreshes memory_free and disk_free without opening files below /proc (for a locked server). */
void machine_refresh(const char *data_dir, struct machine *m);
enum { MACHINE_ID_MAX = 256 };
/* What measurements hold for: processor, cores, cards. */
void machine_id(const struct machine *m, char ret[MACHINE_ID_MAX]);
/* Reads a large buffer with `threads` threads for about `ms`; bytes per second. */
double machine_bandwidth(unsigned threads, unsigned ms);
/* api/routes.json Machine. */
enum err machine_json(const struct machine *m, struct jw *w);

struct advice { /* one line for this machine; strings are const */
	const char *name, *title, *licence, *source, *why;
	uint64_t size, memory_8k, memory_32k;
	double tokens_per_s;
	bool german, fits, verified; /* verified: size and licence were checked at the source */
	int rank;                    /* quality, higher is better */
};
struct advice_table;
enum err advice_new(struct advice_table **ret); /* parses the built-in table */
struct advice_table *advice_free(struct advice_table *t);
[[maybe_unused]] static inline void advice_autofree(struct advice_table **t)
{
	*t = advice_free(*t);
}
/* All rows, best first: those that fit by rank, then the others by size. Strings live as long as
 * the table. */
size_t advice_for(struct advice_table *t, const struct machine *m, struct advice *ret, size_t max);
enum err advice_json(const struct advice *a, struct jw *w); /* api/routes.json Advice */
/* The whole answer of GET /team/v1/advise. */
enum err advise_json(struct advice_table *t, const struct machine *m, struct buf *out);
