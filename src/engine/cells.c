#include "engine/cells_int.h"

#include <string.h>

#include "base/fault.h"

enum {
	SPARE = 2,         /* sequence ids of the shared pool for states on their way */
	STREAMS_MANY = 4,  /* of so many one can be kept empty */
};

/* ---- making ---- */

static void add_slots(struct cells *c, enum engine_pool p, uint32_t n)
{
	for (uint32_t i = 0; i < n && c->n < CELLS_SLOTS; i++)
		c->slot[c->n++] = (struct slot){ .pool = p, .seq = (int32_t)i };
}

enum err cells_new(const struct cells_options *o, struct cells **ret)
{
	struct cells *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->ops = o->ops;
	c->b = o->backend;
	c->caps = o->ops->caps(o->backend);
	c->divisible = c->caps->state_part && !c->caps->swa_window;
	uint32_t shared = c->caps->pool[POOL_SHARED].n_seq;
	c->spare = shared > SPARE ? (int32_t)(shared - SPARE) : 0;
	add_slots(c, POOL_OWN, c->caps->pool[POOL_OWN].n_seq);
	add_slots(c, POOL_SHARED, shared > SPARE ? shared - SPARE : 0);
	add_slots(
		c, POOL_READ, c->divisible && c->caps->state ? c->caps->pool[POOL_READ].n_seq : 0);
	enum err e = prefix_new(o->ram_bytes, c->divisible, o->disk, &c->tree);
	if (e) {
		mem_free(c);
		return e;
	}
	*ret = c;
	return OK;
}

struct cells *cells_free(struct cells *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		tokens_done(&c->slot[i].kv);
	prefix_free(c->tree);
	mem_free(c);
	return NULL;
}

size_t cells_n(const struct cells *c)
{
	return c->n;
}
struct slot *cells_slot(struct cells *c, size_t i)
{
	return &c->slot[i];
}
struct prefix *cells_tree(struct cells *c)
{
	return c->tree;
}

static bool open_pool(struct cells *c, enum engine_pool p)
{
	if (!c->open[p])
		c->open[p] = c->caps->pool[p].n_cells && !c->ops->pool_open(c->b, p);
	return c->open[p];
}

struct prefix_text cells_text(const struct request *r)
{
	return (struct prefix_text){ r->feed.v, r->feed.n, r->n_company, r->n_group, r->group,
		r->person, r->object, r->temporary };
}

struct prefix_text cells_slot_text(const struct slot *l)
{
	return (struct prefix_text){ l->kv.v, l->kv.n, l->n_company, l->n_group, l->group,
		l->person, l->object, l->temporary };
}

uint32_t cells_used(const struct cells *c, enum engine_pool p)
{
	uint32_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->slot[i].pool == p)
			n += (uint32_t)c->slot[i].kv.n - c->slot[i].shared;
	return n;
}

static void note_top(struct cells *c)
{
	uint32_t used = cells_used(c, POOL_SHARED);
	if (!used)
		c->top = 0;
	else if (used > c->top)
		c->top = used;
}

/* ---- letting go ---- */

/* Reading elsewhere is over. */
static void drop_reader(struct cells *c, struct slot *l)
{
	struct slot *r = l->reader;
	if (!r)
		return;
	c->ops->kv_clear(c->b, POOL_READ); /* what it took is given back */
	r->kv.n = 0;
	l->reader = NULL;
}

void cells_part_from_donor(struct slot *l)
{
	if (l->donor)
		l->donor->sharers--;
	l->donor = NULL;
	l->shared = 0;
}

static void set_empty(struct cells *c, struct slot *l)
{
	if (l->kv.n)
		(void)c->ops->kv_rm(c->b, l->pool, l->seq, 0, -1);
	l->kv.n = 0;
	l->unsaved = false;
	l->leader = NULL;
	cells_part_from_donor(l);
	note_top(c);
}

/* Positions that somebody still shares with it. */
static uint32_t shared_by_others(const struct cells *c, const struct slot *l)
{
	uint32_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->slot[i].donor == l && c->slot[i].shared > n)
			n = c->slot[i].shared;
	return n;
}

void cells_cut(struct cells *c, struct slot *l, size_t n)
{
	if (n >= l->kv.n)
		return;
	if (!n || !c->ops->kv_rm(c->b, l->pool, l->seq, (int32_t)n, -1)) {
		set_empty(c, l);
		return;
	}
	l->kv.n = n;
	if (l->shared > n)
		l->shared = (uint32_t)n;
}

/* Leaves in the cells only what others share; nobody: nothing. */
static void reduce(struct cells *c, struct slot *l)
{
	uint32_t n = l->sharers ? shared_by_others(c, l) : 0;
	if (n)
		cells_cut(c, l, n);
	else
		set_empty(c, l);
	note_top(c);
}

void cells_drop(struct cells *c, struct slot *l)
{
	drop_reader(c, l);
	l->req = NULL;
	l->leader = NULL;
	l->unsaved = false;
	reduce(c, l);
}

void cells_clear(struct cells *c, enum engine_pool p)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->slot[i].pool == p) {
			c->slot[i].kv.n = 0;
			c->slot[i].unsaved = false;
			c->slot[i].donor = c->slot[i].leader = NULL;
			c->slot[i].shared = c->slot[i].sharers = 0;
		}
	if (c->open[p])
		c->ops->kv_clear(c->b, p);
	if (p == POOL_SHARED)
		c->top = 0;
}

/* ---- cells to RAM ---- */

void *cells_get_state(struct cells *c, enum engine_pool p, int32_t seq, size_t *ret_size)
{
	void *bytes = NULL;
	if (c->ops->state_get(c->b, p, seq, &bytes, ret_size))
		*ret_size = 0;
	return *ret_size ? bytes : NULL;
}

void *cells_part_of_shared(
	struct cells *c, const struct slot *l, uint32_t from, uint32_t to, size_t *ret_size)
{
	c->ops->kv_cp(c->b, l->seq, c->spare, (int32_t)from, (int32_t)to);
	void *bytes = cells_get_state(c, POOL_SHARED, c->spare, ret_size);
	(void)c->ops->kv_rm(c->b, POOL_SHARED, c->spare, 0, -1);
	return bytes;
}

/* The same of a stream: its whole state goes into the shared pool for the moment. */
static void *part_of_own(
	struct cells *c, const struct slot *l, uint32_t from, uint32_t to, size_t *ret_size)
{
	size_t n;
	uint32_t free_cells = c->caps->pool[POOL_SHARED].n_cells;
	if (!c->caps->state_part || !open_pool(c, POOL_SHARED) ||
		cells_used(c, POOL_SHARED) + l->kv.n > free_cells)
		return NULL;
	AUTO_MEM void *whole = cells_get_state(c, POOL_OWN, l->seq, &n);
	if (!whole || !c->ops->state_set(c->b, POOL_SHARED, c->spare, whole, n))
		return NULL;
	void *bytes = NULL;
	if ((to >= l->kv.n || c->ops->kv_rm(c->b, POOL_SHARED, c->spare, (int32_t)to, -1)) &&
		(!from || c->ops->kv_rm(c->b, POOL_SHARED, c->spare, 0, (int32_t)from)))
		bytes = cells_get_state(c, POOL_SHARED, c->spare, ret_size);
	(void)c->ops->kv_rm(c->b, POOL_SHARED, c->spare, 0, -1);
	return bytes;
}

static bool keep_part(struct cells *c, const struct slot *l, const struct prefix_text *t,
	uint32_t from, uint32_t to)
{
	size_t n = 0;
	void *bytes;
	if (l->pool == POOL_SHARED)
		bytes = cells_part_of_shared(c, l, from, to, &n);
	else if (!from && to == l->kv.n)
		bytes = cells_get_state(c, POOL_OWN, l->seq, &n);
	else
		bytes = part_of_own(c, l, from, to, &n);
	return bytes && !prefix_add(c->tree, t, from, to, bytes, n);
}

/* Are the cells before position n still there that the next token looks back at? */
static bool window_there(struct cells *c, const struct slot *l, size_t n)
{
	int64_t need = (int64_t)n - c->caps->swa_window;
	if (!c->caps->swa_window)
		return true;
	int32_t first = c->ops->kv_first(c->b, l->pool, l->seq);
	return first >= 0 && first <= (need > 0 ? need : 0);
}

/* Puts what the tree lacks of the slot's text into it. A text of one scope in a stream is saved
 * whole: its state needs no other, and the tree lets go of shorter ones. */
static void save(struct cells *c, struct slot *l)
{
	struct prefix_text t = cells_slot_text(l);
	l->unsaved = false;
	if (!c->caps->state || !t.n)
		return;
	size_t have = prefix_lasts(c->tree, &t, t.n);
	if (have + CELLS_TAKE_MIN > t.n && have)
		return;
	bool whole = !c->caps->state_part || (l->pool == POOL_OWN && !t.n_group);
	if (whole) {
		(void)keep_part(c, l, &t, 0, (uint32_t)t.n);
		return;
	}
	for (size_t end; have < t.n; have = end) {
		end = prefix_scope_end(&t, have);
		if (!window_there(c, l, end) || !keep_part(c, l, &t, (uint32_t)have, (uint32_t)end))
			return;
	}
}

enum err cells_grow(struct cells *c, struct slot *l, const int32_t *v, size_t n)
{
	size_t before = l->kv.n;
	TRY(tokens_add(&l->kv, v, n));
	l->used = ++c->clock;
	l->unsaved = true;
	note_top(c);
	/* Where states cannot be divided, those at borders are what others can start from. */
	const struct request *r = l->req;
	if (!c->divisible && r && !r->strict && before < l->kv.n &&
		(l->kv.n == r->n_company || l->kv.n == r->n_group || l->kv.n == r->prompt_tokens))
		save(c, l);
	return OK;
}

/* Does a text marked as shared lie at its beginning that nobody else has in cells? */
static uint32_t worth_keeping(const struct cells *c, const struct slot *l)
{
	uint32_t n = l->n_group < l->kv.n ? l->n_group : (uint32_t)l->kv.n;
	if (n < CELLS_SHARE_MIN || c->caps->swa_window)
		return 0;
	struct prefix_text t = cells_slot_text(l);
	t.n = n;
	for (size_t i = 0; i < c->n; i++) {
		const struct slot *o = &c->slot[i];
		struct prefix_text u = cells_slot_text(o);
		if (o != l && o->pool == POOL_SHARED && prefix_common(&t, &u) == n)
			return 0;
	}
	return n;
}

/* Does somebody run in the shared pool, and nobody who shares with this slot or waits for it? */
static bool only_strangers_run(const struct cells *c, const struct slot *l)
{
	bool any = false;
	for (size_t i = 0; i < c->n; i++) {
		const struct slot *o = &c->slot[i];
		if (o == l || o->pool != POOL_SHARED || !o->req)
			continue;
		if (o->leader == l || o->donor == l)
			return false;
		any = true;
	}
	return any && c->caps->state;
}

void cells_leave(struct cells *c, struct slot *l, bool preempted)
{
	bool nothing = l->forget == FORGET_ALL || (l->req && l->req->strict);
	l->req = NULL;
	l->leader = NULL;
	l->used = ++c->clock;
	drop_reader(c, l);
	if (nothing) {
		cells_drop(c, l);
		return;
	}
	if (l->forget == FORGET_OWN)
		cells_cut(c, l, l->n_group < l->kv.n ? l->n_group : l->kv.n);
	if (l->pool == POOL_OWN && !preempted)
		return; /* stays as a leaf; it disturbs nobody */
	save(c, l);
	bool stays = l->pool == POOL_SHARED && !preempted && !only_strangers_run(c, l);
	uint32_t keep = stays ? worth_keeping(c, l) : 0,
		 others = l->sharers ? shared_by_others(c, l) : 0;
	if (keep > others)
		cells_cut(c, l, keep);
	else
		reduce(c, l);
}

bool cells_idle(struct cells *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (!c->slot[i].req && c->slot[i].unsaved) {
			save(c, &c->slot[i]);
			return true;
		}
	return false;
}

bool cells_may_rest(const struct cells *c)
{
	return c->open[POOL_READ];
}

void cells_rest(struct cells *c)
{
	if (c->open[POOL_READ])
		c->ops->pool_close(c->b, POOL_READ);
	c->open[POOL_READ] = false;
}

void cells_save_all(struct cells *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->slot[i].kv.n && !c->slot[i].forget &&
			!(c->slot[i].req && c->slot[i].req->strict))
			save(c, &c->slot[i]);
}

/* ---- room ---- */

/* The leaf in the shared pool that nobody shares, not used for longest, but for `keep`. */
static struct slot *oldest_leaf(struct cells *c, const struct slot *keep)
{
	struct slot *best = NULL;
	for (size_t i = 0; i < c->n; i++) {
		struct slot *l = &c->slot[i];
		if (l != keep && l->pool == POOL_SHARED && !l->req && l->kv.n && !l->sharers &&
			(!best || l->used < best->used))
			best = l;
	}
	return best;
}

static bool give_up(struct cells *c, struct slot *leaf)
{
	if (!leaf)
		return false;
	if (leaf->unsaved)
		save(c, leaf);
	set_empty(c, leaf);
	return true;
}

bool cells_give_up_leaf(struct cells *c)
{
	return give_up(c, oldest_leaf(c, NULL));
}

void cells_spare_stream(struct cells *c)
{
	struct slot *old = NULL;
	if (!c->caps->state || c->caps->pool[POOL_OWN].n_seq < STREAMS_MANY)
		return;
	for (size_t i = 0; i < c->n; i++) {
		struct slot *l = &c->slot[i];
		if (l->pool != POOL_OWN || l->req)
			continue;
		if (!l->kv.n)
			return;
		old = !old || l->used < old->used ? l : old;
	}
	(void)give_up(c, old);
}

void cells_let_go(struct cells *c, const struct slot *keep)
{
	while (c->caps->state && give_up(c, oldest_leaf(c, keep)))
		;
}

/* Cells the shared pool may come to need for what runs, leaves included. */
static uint64_t promised(const struct cells *c)
{
	uint64_t n = 0;
	for (size_t i = 0; i < c->n; i++) {
		const struct slot *l = &c->slot[i];
		if (l->pool != POOL_SHARED)
			continue;
		uint32_t all = l->req ? request_cells(l->req) : (uint32_t)l->kv.n,
			 less = l->leader && l->want > l->shared ? l->want : l->shared;
		all = all < l->kv.n ? (uint32_t)l->kv.n : all;
		n += all > less ? all - less : 0;
	}
	return n;
}

bool cells_make_room(struct cells *c, uint32_t need, const struct slot *keep)
{
	while (promised(c) + need > c->caps->pool[POOL_SHARED].n_cells)
		if (!give_up(c, oldest_leaf(c, keep)))
			return false;
	return true;
}

struct slot *cells_take(
	struct cells *c, enum engine_pool p, const struct request *r, const struct slot *keep)
{
	struct slot *match = NULL, *empty = NULL, *old = NULL;
	struct prefix_text t = cells_text(r);
	size_t most = 0;
	if (!open_pool(c, p))
		return NULL;
	for (size_t i = 0; i < c->n; i++) {
		struct slot *l = &c->slot[i];
		if (l->pool != p || l->req || l->sharers || l == keep)
			continue;
		if (!l->kv.n) {
			empty = empty ? empty : l;
			continue;
		}
		old = !old || l->used < old->used ? l : old;
		struct prefix_text u = cells_slot_text(l);
		size_t n = p == POOL_OWN && !r->strict ? prefix_common(&t, &u) : 0;
		if (n > most && (n >= CELLS_TAKE_MIN || n == l->kv.n)) {
			most = n;
			match = l;
		}
	}
	struct slot *l = match ? match : empty ? empty : old;
	if (l && l != match && l->kv.n)
		(void)give_up(c, l);
	return l;
}

/* ---- starting ---- */

struct cells_family cells_family(struct cells *c, const struct request *r)
{
	struct cells_family f = { 0 };
	struct prefix_text t = cells_text(r);
	if (!c->caps->partial_cp || r->strict)
		return f;
	for (size_t i = 0; i < c->n; i++) {
		struct slot *l = &c->slot[i];
		if (l->pool != POOL_SHARED || (!l->kv.n && !l->req))
			continue;
		struct prefix_text u = l->req ? cells_text(l->req) : cells_slot_text(l);
		size_t n = prefix_common(&t, &u), now;
		n = n < t.n ? n : t.n - 1;
		now = n < l->kv.n ? n : l->kv.n;
		/* for a few tokens a leaf that lies idle need not stay: see cells_let_go() */
		bool idle = !l->req && !l->sharers;
		if (now > f.n && (now >= CELLS_SHARE_MIN || !idle) && window_there(c, l, now)) {
			f.n = (uint32_t)now;
			f.donor = l;
		}
		if (l->req && !l->req->strict && !l->leader && n > l->kv.n && n > f.want) {
			f.want = (uint32_t)n;
			f.leader = l;
		}
	}
	if (f.want < f.n + CELLS_SHARE_MIN) {
		f.leader = NULL;
		f.want = 0;
	}
	return f;
}

/* Shares the first n positions of a slot that has them. */
static void share(struct cells *c, struct slot *l, struct slot *from, uint32_t n)
{
	uint32_t have = (uint32_t)l->kv.n;
	if (have >= n || tokens_reserve(&l->kv, n - have))
		return;
	/* Cells belong to whoever read them: share with that one, who may leave the later. */
	struct slot *owner = from;
	while (owner->donor && owner->shared >= n)
		owner = owner->donor;
	c->ops->kv_cp(c->b, from->seq, l->seq, (int32_t)have, (int32_t)n);
	memcpy(l->kv.v + have, from->kv.v + have, (n - have) * sizeof *l->kv.v);
	l->kv.n = n;
	if (have && l->donor != owner && have > l->shared)
		return; /* its own beginning, then shared cells: counted as its own */
	cells_part_from_donor(l);
	l->donor = owner;
	l->shared = n;
	owner->sharers++;
	owner->used = ++c->clock;
}

/* States from the tree into a sequence of the shared pool, after the `have` positions it holds.
 * Returns how many it holds then. */
static size_t fetch_shared(
	struct cells *c, int32_t seq, size_t have, const struct prefix_piece *v, size_t n)
{
	int32_t on_way = c->spare + (seq == c->spare);
	for (size_t i = 0; i < n; i++) {
		if (v[i].to <= have)
			continue;
		if (!c->ops->state_set(c->b, POOL_SHARED, on_way, v[i].bytes, v[i].size))
			return have;
		size_t from = v[i].from > have ? v[i].from : have;
		c->ops->kv_cp(c->b, on_way, seq, (int32_t)from, (int32_t)v[i].to);
		(void)c->ops->kv_rm(c->b, POOL_SHARED, on_way, 0, -1);
		have = v[i].to;
	}
	return have;
}

/* Into a stream: one state that begins at 0 directly; several are put together in the shared pool
 * first. */
static size_t fetch_own(
	struct cells *c, struct slot *l, size_t want, const struct prefix_piece *v, size_t n)
{
	const void *bytes = v[0].bytes;
	size_t size = v[0].size, have = v[0].to;
	AUTO_MEM void *joined = NULL;
	if (n > 1) {
		if (!open_pool(c, POOL_SHARED) ||
			cells_used(c, POOL_SHARED) + 2 * want > c->caps->pool[POOL_SHARED].n_cells)
			return 0;
		have = fetch_shared(c, c->spare, 0, v, n);
		joined = cells_get_state(c, POOL_SHARED, c->spare, &size);
		(void)c->ops->kv_rm(c->b, POOL_SHARED, c->spare, 0, -1);
		bytes = joined;
	}
	if (!bytes || have < want || !c->ops->state_set(c->b, POOL_OWN, l->seq, bytes, size))
		return 0;
	if (c->divisible) /* the state may go on behind what is wanted */
		(void)c->ops->kv_rm(c->b, POOL_OWN, l->seq, (int32_t)want, -1);
	return want;
}

static void fetch(struct cells *c, struct slot *l, const struct request *r)
{
	struct prefix_piece v[PREFIX_PIECES];
	struct prefix_text t = cells_text(r);
	size_t n = 0, have = l->kv.n;
	if (!c->caps->state || prefix_covers(c->tree, &t, t.n - 1) < have + CELLS_TAKE_MIN)
		return;
	size_t want = prefix_find(c->tree, &t, t.n - 1, v, &n), got;
	if (want <= have || tokens_reserve(&l->kv, want - have))
		return;
	if (l->pool == POOL_SHARED) {
		got = fetch_shared(c, l->seq, have, v, n);
	} else {
		set_empty(c, l);
		got = fetch_own(c, l, want, v, n);
		have = 0;
	}
	if (got <= have)
		return;
	memcpy(l->kv.v + have, t.v + have, (got - have) * sizeof *l->kv.v);
	l->kv.n = got;
	note_top(c);
}

/* A leaf in a stream: what it has in common with the request stays. */
static void keep_common(struct cells *c, struct slot *l, const struct request *r)
{
	struct prefix_text t = cells_text(r), u = cells_slot_text(l);
	size_t n = prefix_common(&t, &u);
	n = n < t.n ? n : t.n - 1;
	if ((n < l->kv.n && !c->caps->partial_rm) || (n && !window_there(c, l, n)))
		n = 0;
	if (n < l->kv.n && l->unsaved && l->kv.n - n > CELLS_SHARE_MIN)
		save(c, l); /* another branch of the same talk */
	cells_cut(c, l, n);
}

/* Leaves of other families go to RAM: all that run here would pay for their cells. */
static void drop_strangers(struct cells *c, const struct slot *keep)
{
	for (size_t i = 0; i < c->n; i++) {
		struct slot *l = &c->slot[i];
		if (l->pool != POOL_SHARED || l->req || !l->kv.n || l->sharers || l == keep)
			continue;
		if (l->unsaved)
			save(c, l);
		set_empty(c, l);
	}
}

void cells_start(
	struct cells *c, struct slot *l, struct request *r, const struct cells_family *from)
{
	if (r->strict)
		set_empty(c, l);
	else if (l->pool == POOL_OWN)
		keep_common(c, l, r);
	l->req = r;
	l->n_company = r->n_company;
	l->n_group = r->n_group;
	l->group = r->group;
	l->person = r->person;
	l->object = r->object;
	l->temporary = r->temporary;
	l->forget = FORGET_NOT;
	l->used = ++c->clock;
	if (r->strict)
		return;
	if (l->pool == POOL_SHARED)
		drop_strangers(c, from->donor);
	if (l->pool == POOL_SHARED && from->donor && from->n >= CELLS_TAKE_MIN)
		share(c, l, from->donor, from->n);
	fetch(c, l, r);
	if (l->pool == POOL_SHARED && from->leader && from->leader->req &&
		l->kv.n + CELLS_SHARE_MIN <= from->want) {
		l->leader = from->leader;
		l->want = from->want;
	}
}

/* ---- reading elsewhere ---- */

static bool somebody_reads(const struct cells *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->slot[i].reader)
			return true;
	return false;
}

void cells_read_elsewhere(struct cells *c, struct slot *l)
{
	size_t all = l->req->feed.n - 1, have = l->kv.n;
	struct slot *r = NULL;
	if (l->leader || l->req->strict || l->req->media.n || all < have + CELLS_READ_MIN ||
		all - have < have / 4 || all >= c->caps->pool[POOL_READ].n_cells ||
		somebody_reads(c))
		return;
	for (size_t i = 0; i < c->n && !r; i++)
		if (c->slot[i].pool == POOL_READ)
			r = &c->slot[i];
	if (!r || !open_pool(c, POOL_READ))
		return;
	r->kv.n = 0;
	if (have) {
		size_t n;
		AUTO_MEM void *bytes = cells_get_state(c, l->pool, l->seq, &n);
		if (!bytes || tokens_reserve(&r->kv, have) ||
			!c->ops->state_set(c->b, POOL_READ, r->seq, bytes, n))
			return;
		memcpy(r->kv.v, l->kv.v, have * sizeof *r->kv.v);
		r->kv.n = have;
	}
	l->reader = r;
}

void cells_read_done(struct cells *c, struct slot *l)
{
	struct slot *r = l->reader;
	size_t have = l->kv.n, all = r->kv.n, n;
	bool own = l->pool == POOL_OWN, there = false;
	if (have && !own)
		(void)c->ops->kv_rm(c->b, POOL_READ, r->seq, 0, (int32_t)have);
	AUTO_MEM void *bytes = cells_get_state(c, POOL_READ, r->seq, &n);
	if (bytes && !tokens_reserve(&l->kv, all - have)) {
		if (own) {
			set_empty(c, l);
			have = 0;
			there = !tokens_reserve(&l->kv, all) &&
				c->ops->state_set(c->b, POOL_OWN, l->seq, bytes, n);
		} else if (c->ops->state_set(c->b, POOL_SHARED, c->spare, bytes, n)) {
			c->ops->kv_cp(c->b, c->spare, l->seq, (int32_t)have, (int32_t)all);
			(void)c->ops->kv_rm(c->b, POOL_SHARED, c->spare, 0, -1);
			there = true;
		}
	}
	if (there) {
		memcpy(l->kv.v + have, l->req->feed.v + have, (all - have) * sizeof *l->kv.v);
		l->kv.n = all;
		l->unsaved = true;
	}
	drop_reader(c, l);
	note_top(c);
}

bool cells_followed(struct cells *c, struct slot *l)
{
	struct slot *f = l->leader;
	if (!f)
		return true;
	struct prefix_text t = cells_text(l->req), u;
	u = f->req ? cells_text(f->req) : cells_slot_text(f);
	if (prefix_common(&t, &u) < l->want) { /* left, or does something else now */
		struct cells_family again;
		l->leader = NULL;
		again = cells_family(c, l->req);
		if (again.donor && again.donor != l && again.n > l->kv.n)
			share(c, l, again.donor, again.n);
		fetch(c, l, l->req);
		return true;
	}
	if (f->kv.n < l->want)
		return false;
	l->leader = NULL;
	if (window_there(c, f, l->want))
		share(c, l, f, l->want);
	note_top(c);
	return true;
}

/* ---- purging ---- */

void cells_close(struct cells *c)
{
	for (int p = 0; p < POOLS; p++) {
		cells_clear(c, p);
		if (c->caps->pool[p].n_cells)
			c->ops->pool_close(c->b, p);
		c->open[p] = false;
	}
	prefix_purge(c->tree, 0, 0);
}

void cells_purge(struct cells *c, uint64_t person, uint64_t object)
{
	for (size_t i = 0; i < c->n; i++) {
		struct slot *l = &c->slot[i];
		bool his = (!person || l->person == person) && (!object || l->object == object);
		if (l->req && his)
			l->forget = !person && !object ? FORGET_ALL : FORGET_OWN;
		if (l->req || !l->kv.n || !his)
			continue;
		l->unsaved = false;
		/* of a prefix that others share only their part stays */
		uint32_t others = l->n_group < l->kv.n ? l->n_group : (uint32_t)l->kv.n;
		uint32_t shared = l->sharers ? shared_by_others(c, l) : 0;
		if (!person && !object)
			others = 0;
		cells_cut(c, l, others > shared ? others : shared);
		note_top(c);
	}
	prefix_purge(c->tree, person, object);
}
