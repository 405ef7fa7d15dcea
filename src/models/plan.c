#include "models/plan.h"

#include <stdio.h>
#include <string.h>

void plan_bytes_text(uint64_t bytes, char ret[16])
{
	double mib = (double)bytes / (1024 * 1024);
	if (mib >= 1024)
		snprintf(ret, 16, "%.1f GiB", mib / 1024);
	else
		snprintf(ret, 16, "%.0f MiB", mib);
}

/* What is left on a device beside the engines that stay. */
static uint64_t left(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const bool *gone, enum plan_device d)
{
	uint64_t rest = room->capacity[d];
	if (rest == UINT64_MAX)
		return rest;
	for (size_t i = 0; i < n; i++)
		if (!gone[i])
			rest = e[i].bytes[d] < rest ? rest - e[i].bytes[d] : 0;
	return rest;
}

/* Divides `bytes` over the first `n` of `order` in proportion to `rest`: there is enough. */
static void divide(uint64_t bytes, const uint64_t *rest, const unsigned *order, unsigned n,
	uint64_t *ret)
{
	double sum = 0;
	uint64_t given = 0;
	for (unsigned i = 0; i < n; i++)
		sum += (double)rest[order[i]];
	for (unsigned i = 1; i < n; i++) {
		uint64_t part = (uint64_t)((double)bytes * ((double)rest[order[i]] / sum));
		ret[PLAN_CARD + order[i]] = part + PLAN_SPLIT_BYTES;
		given += part;
	}
	ret[PLAN_CARD + order[0]] = bytes - given + PLAN_SPLIT_BYTES;
}

/* Cards by what is left on them, the most first; of equal ones the first. */
static void by_room(const uint64_t *rest, unsigned n, unsigned *ret)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i;
		for (; at && rest[ret[at - 1]] < rest[i]; at--)
			ret[at] = ret[at - 1];
		ret[at] = i;
	}
}

static bool place_on_cards(const struct plan_room *room, uint64_t *rest, uint64_t bytes,
	uint64_t *ret)
{
	unsigned order[CARDS_MAX];
	uint64_t sum = 0;
	by_room(rest, room->n_cards, order);
	if (room->n_cards && bytes <= rest[order[0]]) {
		ret[PLAN_CARD + order[0]] = bytes;
		return true;
	}
	for (unsigned i = 0; i < room->n_cards; i++) {
		uint64_t *r = &rest[order[i]];
		if (*r <= PLAN_SPLIT_BYTES)
			return false; /* nor have those behind it */
		*r -= PLAN_SPLIT_BYTES;
		sum += *r;
		if (i && bytes <= sum) {
			divide(bytes, rest, order, i + 1, ret);
			return true;
		}
	}
	return false;
}

/* Where `need` would lie beside the engines that stay. */
static bool place(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const bool *gone, const struct plan_amount *need, uint64_t ret[PLAN_DEVICES])
{
	uint64_t rest[CARDS_MAX];
	unsigned stay = 0;
	memset(ret, 0, PLAN_DEVICES * sizeof *ret);
	for (size_t i = 0; i < n; i++)
		stay += !gone[i];
	if (room->max_engines && stay >= room->max_engines)
		return false;
	ret[PLAN_RAM] = need->ram + (room->cards_in_ram ? need->cards : 0);
	if (ret[PLAN_RAM] > left(room, e, n, gone, PLAN_RAM))
		return false;
	for (unsigned i = 0; i < room->n_cards; i++)
		rest[i] = left(room, e, n, gone, (enum plan_device)(PLAN_CARD + i));
	return !need->cards || place_on_cards(room, rest, need->cards, ret);
}

/* Reload time for each ms nobody asked: the loss to expect from ending it. */
static double worth(const struct plan_engine *e)
{
	int64_t idle = e->idle_ms > 0 ? e->idle_ms : 0,
		reload = e->reload_ms > 1 ? e->reload_ms : 1;
	return (double)reload / (double)(idle + 1);
}

/* The least worth that may go and has not; -1: none. */
static int cheapest(const struct plan_engine *e, size_t n, const bool *gone, bool busy)
{
	int best = -1;
	for (size_t i = 0; i < n; i++)
		if (!gone[i] && !e[i].pinned && e[i].busy == busy &&
			(best < 0 || worth(&e[i]) < worth(&e[best])))
			best = (int)i;
	return best;
}

/* Takes engines away until `need` fits; then gives back those that were not needed, dearest
 * first. */
static bool evict(const struct plan_room *room, const struct plan_engine *e, size_t n,
	bool busy_too, const struct plan_amount *need, bool *gone, uint64_t ret[PLAN_DEVICES])
{
	size_t order[2 * PLAN_ENGINES_MAX], taken = 0;
	memset(gone, 0, PLAN_ENGINES_MAX * sizeof *gone);
	while (!place(room, e, n, gone, need, ret)) {
		int i = cheapest(e, n, gone, false);
		if (i < 0 && busy_too)
			i = cheapest(e, n, gone, true);
		if (i < 0)
			return false;
		gone[i] = true;
		order[taken++] = (size_t)i;
	}
	while (taken--) {
		gone[order[taken]] = false;
		if (!place(room, e, n, gone, need, ret))
			gone[order[taken]] = true;
	}
	return place(room, e, n, gone, need, ret);
}

static uint64_t held(const struct plan_engine *e, bool cards)
{
	uint64_t sum = 0;
	if (!cards)
		return e->bytes[PLAN_RAM];
	for (int d = PLAN_CARD; d < PLAN_DEVICES; d++)
		sum += e->bytes[d];
	return sum;
}

/* "of memory, 3.0 GiB", "of the GPUs' memory, 24.0 GiB + 8.0 GiB": what of it is free. */
static size_t free_text(const struct plan_room *room, const struct plan_engine *e, size_t n,
	bool cards, char *ret, size_t size)
{
	const bool none[PLAN_ENGINES_MAX] = { false };
	char have[16];
	plan_bytes_text(left(room, e, n, none, PLAN_RAM), have);
	if (!cards)
		return (size_t)snprintf(ret, size, "of memory, %s free", have);
	size_t at = (size_t)snprintf(
		ret, size, "of the GPU%s memory, ", room->n_cards > 1 ? "s'" : "'s");
	for (unsigned i = 0; i < room->n_cards && at < size; i++) {
		plan_bytes_text(left(room, e, n, none, (enum plan_device)(PLAN_CARD + i)), have);
		at += (size_t)snprintf(ret + at, size - at, "%s%s", i ? " + " : "", have);
	}
	return at < size ? at + (size_t)snprintf(ret + at, size - at, " free") : at;
}

static void refuse(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const struct plan_amount *need, struct plan *p)
{
	const bool none[PLAN_ENGINES_MAX] = { false };
	uint64_t unused[PLAN_DEVICES], ram = need->ram + (room->cards_in_ram ? need->cards : 0);
	struct plan_room any = *room;
	char want[16], bytes[16];
	size_t at = 0;
	any.max_engines = 0;
	bool cards = need->cards && ram <= left(room, e, n, none, PLAN_RAM);
	p->verdict = PLAN_REFUSED;
	if (place(&any, e, n, none, need, unused)) { /* it is the number of them */
		at = (size_t)snprintf(p->why, sizeof p->why, "%zu of at most %u models are loaded",
			n, room->max_engines);
	} else {
		plan_bytes_text(cards ? need->cards : ram, want);
		at = (size_t)snprintf(p->why, sizeof p->why, "needs %s ", want);
		at += free_text(room, e, n, cards, p->why + at, sizeof p->why - at);
	}
	for (size_t i = 0; i < n && at < sizeof p->why; i++) {
		plan_bytes_text(held(&e[i], cards), bytes);
		at += (size_t)snprintf(p->why + at, sizeof p->why - at, "%s%.60s %s%s",
			i ? ", " : "; loaded: ", e[i].name, bytes, e[i].pinned ? " (pinned)" : "");
	}
}

void plan_make(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const struct plan_need *need, struct plan *ret)
{
	bool gone[PLAN_ENGINES_MAX];
	uint64_t unused[PLAN_DEVICES];
	*ret = (struct plan){ .yield = -1 };
	if (evict(room, e, n, false, &need->bytes, ret->evict, ret->bytes))
		return;
	ret->small = true; /* now, with less context, rather than some time with all of it */
	if (evict(room, e, n, false, &need->least, ret->evict, ret->bytes))
		return;
	memset(ret->evict, 0, sizeof ret->evict);
	memset(ret->bytes, 0, sizeof ret->bytes);
	if (!evict(room, e, n, true, &need->least, gone, unused)) {
		refuse(room, e, n, &need->least, ret);
		return;
	}
	ret->verdict = PLAN_WAIT;
	for (size_t i = 0; i < n && ret->yield < 0; i++)
		if (gone[i] && e[i].busy)
			ret->yield = (int)i;
}
