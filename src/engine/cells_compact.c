/* Moves what lies in the shared pool to its front. */
#include "engine/cells_int.h"

#include "base/fault.h"

enum {
	HOLES_MIN = 256,   /* below that moving does not pay: the library rounds up to it */
	QUICK_CELLS = 4096 /* so many move within a gap between two tokens */
};

struct moved {
	bool out;       /* not back yet */
	uint32_t from;  /* positions before are its donor's */
	void *bytes;    /* of the others; NULL: there are none */
	size_t size;
};

static bool take_out(struct cells *c, const struct slot *l, struct moved *ret)
{
	uint32_t n = (uint32_t)l->kv.n;
	ret->out = true;
	ret->from = l->donor && l->donor->kv.n >= l->shared ? l->shared : 0;
	if (ret->from == n)
		return true;
	ret->bytes = ret->from ? cells_part_of_shared(c, l, ret->from, n, &ret->size)
			       : cells_get_state(c, POOL_SHARED, l->seq, &ret->size);
	return ret->bytes != NULL;
}

/* Puts a slot's own cells back and shares its beginning again, after its donor. What does not come
 * back, which cannot be for lack of cells, is read again; so is what shares with it. */
static void put_back(struct cells *c, struct moved *all, struct slot *l)
{
	struct moved *m = &all[l - c->slot];
	if (!m->out)
		return;
	m->out = false;
	if (m->from)
		put_back(c, all, l->donor);
	if ((m->from && l->donor->kv.n < m->from) ||
		(m->bytes &&
			!c->ops->state_set(c->b, POOL_SHARED, l->seq, m->bytes, m->size))) {
		l->kv.n = 0;
		cells_part_from_donor(l);
	} else if (m->from) {
		c->ops->kv_cp(c->b, l->donor->seq, l->seq, 0, (int32_t)m->from);
	}
}

void cells_compact(struct cells *c)
{
	uint32_t used = cells_used(c, POOL_SHARED),
		 holes = used <= QUICK_CELLS ? used / 4 : used;
	if (!c->caps->state || !c->caps->state_part || c->caps->swa_window ||
		c->top < used + (holes > HOLES_MIN ? holes : HOLES_MIN))
		return;
	struct moved *v = mem_zalloc(c->n, sizeof *v);
	bool whole = v != NULL;
	for (size_t i = 0; i < c->n && whole; i++)
		if (c->slot[i].pool == POOL_SHARED && c->slot[i].kv.n)
			whole = take_out(c, &c->slot[i], &v[i]);
	if (whole) {
		c->ops->kv_clear(c->b, POOL_SHARED);
		for (size_t i = 0; i < c->n; i++)
			put_back(c, v, &c->slot[i]);
		c->top = cells_used(c, POOL_SHARED);
	}
	for (size_t i = 0; v && i < c->n; i++)
		mem_free(v[i].bytes);
	mem_free(v);
}
