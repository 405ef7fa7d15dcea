/* Moves what lies in the shared pool to its front. */
#include "engine/cells_int.h"

#include "base/fault.h"

enum { COMPACT_MIN = 512 }; /* holes below which moving costs more than it saves */

struct moved {
	void *bytes;
	size_t size;
};

/* Puts a slot's text back, then shares its beginning again: its copy's cells become holes that the
 * next one fills. */
static bool put_back(struct cells *c, struct slot *l, const struct moved *m)
{
	if (!m->bytes || !c->ops->state_set(c->b, POOL_SHARED, l->seq, m->bytes, m->size))
		return false;
	if (l->donor && l->donor->kv.n >= l->shared && l->shared) {
		if (l->shared < l->kv.n)
			(void)c->ops->kv_rm(c->b, POOL_SHARED, l->seq, 0, (int32_t)l->shared);
		else
			(void)c->ops->kv_rm(c->b, POOL_SHARED, l->seq, 0, -1);
		c->ops->kv_cp(c->b, l->donor->seq, l->seq, 0, (int32_t)l->shared);
	}
	return true;
}

/* Donors before those who share with them. */
static unsigned depth(const struct slot *l)
{
	unsigned d = 0;
	while ((l = l->donor) && d < CELLS_SLOTS)
		d++;
	return d;
}

void cells_compact(struct cells *c)
{
	uint32_t used = cells_used(c, POOL_SHARED);
	if (!c->caps->state || !c->caps->state_part || c->caps->swa_window ||
		c->top < 2 * used + COMPACT_MIN)
		return;
	struct moved *v = mem_zalloc(c->n, sizeof *v);
	bool whole = v != NULL;
	for (size_t i = 0; i < c->n && whole; i++)
		if (c->slot[i].pool == POOL_SHARED && c->slot[i].kv.n)
			whole = (v[i].bytes = cells_get_state(
					 c, POOL_SHARED, c->slot[i].seq, &v[i].size)) != NULL;
	if (whole)
		c->ops->kv_clear(c->b, POOL_SHARED);
	for (unsigned d = 0; whole && d < CELLS_SLOTS; d++) {
		bool any = false;
		for (size_t i = 0; i < c->n; i++) {
			struct slot *l = &c->slot[i];
			if (!v[i].bytes || depth(l) < d)
				continue;
			any = true;
			if (depth(l) == d && !put_back(c, l, &v[i])) {
				/* cannot be for lack of cells; then it is read again */
				l->kv.n = 0;
				cells_part_from_donor(l);
			}
		}
		if (!any)
			break;
	}
	for (size_t i = 0; v && i < c->n; i++)
		mem_free(v[i].bytes);
	mem_free(v);
	if (whole)
		c->top = cells_used(c, POOL_SHARED);
}
