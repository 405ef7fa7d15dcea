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

static bool fits(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const bool *gone, const uint64_t *need)
{
	unsigned stay = 0;
	for (size_t i = 0; i < n; i++)
		stay += !gone[i];
	if (room->max_engines && stay >= room->max_engines)
		return false;
	for (int d = 0; d < PLAN_DEVICES; d++)
		if (need[d] > left(room, e, n, gone, (enum plan_device)d))
			return false;
	return true;
}

/* Reload time for each ms nobody asked: the loss to expect from ending it. */
static double worth(const struct plan_engine *e)
{
	int64_t idle = e->idle_ms > 0 ? e->idle_ms : 0, reload = e->reload_ms > 1 ? e->reload_ms : 1;
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

/* Takes engines away until `need` fits; then gives back those that were not needed, dearest first. */
static bool evict(const struct plan_room *room, const struct plan_engine *e, size_t n, bool busy_too,
	const uint64_t *need, bool *gone)
{
	size_t order[2 * PLAN_ENGINES_MAX], taken = 0;
	memset(gone, 0, PLAN_ENGINES_MAX * sizeof *gone);
	while (!fits(room, e, n, gone, need)) {
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
		if (!fits(room, e, n, gone, need))
			gone[order[taken]] = true;
	}
	return true;
}

static void refuse(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const uint64_t *need, struct plan *p)
{
	bool none[PLAN_ENGINES_MAX] = { false };
	char want[16], have[16], held[16];
	size_t at = 0;
	int d = need[PLAN_GPU] > left(room, e, n, none, PLAN_GPU) ? PLAN_GPU : PLAN_RAM;
	plan_bytes_text(need[d], want);
	plan_bytes_text(left(room, e, n, none, (enum plan_device)d), have);
	p->verdict = PLAN_REFUSED;
	if (need[d] <= left(room, e, n, none, (enum plan_device)d)) /* it is the number of them */
		at = (size_t)snprintf(p->why, sizeof p->why, "%zu of at most %u models are loaded",
			n, room->max_engines);
	else
		at = (size_t)snprintf(p->why, sizeof p->why, "needs %s of %s, %s free", want,
			d == PLAN_GPU ? "the GPU's memory" : "memory", have);
	for (size_t i = 0; i < n && at < sizeof p->why; i++) {
		plan_bytes_text(e[i].bytes[d], held);
		at += (size_t)snprintf(p->why + at, sizeof p->why - at, "%s%.60s %s%s",
			i ? ", " : "; loaded: ", e[i].name, held, e[i].pinned ? " (pinned)" : "");
	}
}

void plan_make(const struct plan_room *room, const struct plan_engine *e, size_t n,
	const struct plan_need *need, struct plan *ret)
{
	bool gone[PLAN_ENGINES_MAX];
	*ret = (struct plan){ .yield = -1 };
	if (evict(room, e, n, false, need->bytes, ret->evict))
		return;
	ret->small = true; /* now, with less context, rather than some time with all of it */
	if (evict(room, e, n, false, need->least, ret->evict))
		return;
	memset(ret->evict, 0, sizeof ret->evict);
	if (!evict(room, e, n, true, need->least, gone)) {
		refuse(room, e, n, need->least, ret);
		return;
	}
	ret->verdict = PLAN_WAIT;
	for (size_t i = 0; i < n && ret->yield < 0; i++)
		if (gone[i] && e[i].busy)
			ret->yield = (int)i;
}
