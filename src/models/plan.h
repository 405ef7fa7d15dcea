/* models/plan.h - which engines stay and which go when another model is wanted, and on which cards
 * it lies. Pure.
 *
 * Bytes are counted per device. A model that fits one card lies on one, that with the most room;
 * else on as few as hold it together, by layers, on each by its room. An engine that has requests
 * is never ended: who cannot have room without that waits. Among idle ones goes first whose reload
 * is cheapest for how long nobody has asked for it; none goes whose memory is not needed. */
#pragma once

#include <stddef.h>

#include "base/str.h"
#include "proto/cards.h"

/* RAM, then one a card: PLAN_CARD + its place in models/cards.h. */
enum plan_device { PLAN_RAM, PLAN_CARD, PLAN_DEVICES = PLAN_CARD + CARDS_MAX };
enum {
	PLAN_ENGINES_MAX = 16,
	/* Of each card of several that share a model: buffers to compute in, and what layers leave
	 * over because they are whole. */
	PLAN_SPLIT_BYTES = 512 * 1024 * 1024,
};

struct plan_engine {
	const char *name;             /* for the text of a refusal */
	uint64_t bytes[PLAN_DEVICES]; /* measured, or what was reserved for a load that runs */
	bool pinned;                  /* never goes */
	bool busy;                    /* has requests, or is being loaded */
	int64_t idle_ms, reload_ms;   /* since its last use; what loading it takes */
};
struct plan_room {
	uint64_t capacity[PLAN_DEVICES]; /* for all engines together; UINT64_MAX: not known */
	unsigned n_cards;
	bool cards_in_ram;               /* what lies on a card takes RAM */
	unsigned max_engines;            /* 0: as many as fit */
};
struct plan_need {
	struct plan_amount {
		uint64_t ram, cards; /* bytes; cards 0: it runs on the processor */
	} bytes,                     /* with the context it would like */
		least;               /* below that it does not work at all */
};
enum plan_verdict {
	PLAN_FITS,    /* after ending those in evict[] */
	PLAN_WAIT,    /* only when a busy one has ended: `yield` should take no new requests */
	PLAN_REFUSED, /* never beside what is pinned: `why` has the figures */
};
struct plan {
	enum plan_verdict verdict;
	bool evict[PLAN_ENGINES_MAX];
	bool small; /* room for `least`, not for all it would like */
	int yield;  /* index of the engine to drain; -1 */
	uint64_t bytes[PLAN_DEVICES]; /* FITS: what it takes, and where */
	char why[ERR_DETAIL_MAX];
};
/* At most PLAN_ENGINES_MAX engines. Never plans for the processor what should lie on cards: the
 * caller asks again when it may, and says so. */
void plan_make(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const struct plan_need *need, struct plan *ret);
/* "5.2 GiB", "84 MiB". */
void plan_bytes_text(uint64_t bytes, char ret[16]);
