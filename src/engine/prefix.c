#include "engine/prefix.h"

#include <string.h>

#include "base/fault.h"

struct state {
	uint32_t refs, from, to;
	void *bytes; /* NULL: on disk only */
	size_t size;
	uint64_t disk; /* 0: not there */
	uint64_t object; /* whose cells these are: purged with it */
	bool temporary;  /* never to the disk: a text that may go there is saved again */
};
struct node {
	struct node *parent, *child, *next; /* next: sibling */
	int32_t *run;                       /* n tokens for positions from .. from + n */
	uint32_t from, n;
	enum prefix_level level;
	uint64_t scope, object, used;
	struct state *state; /* NULL: none that ends here */
};
struct prefix {
	struct node root;
	struct prefix_disk disk;
	size_t limit, bytes, n_nodes;
	uint64_t clock;
	bool divisible;
};

/* ---- texts ---- */

static enum prefix_level level_at(const struct prefix_text *t, size_t at)
{
	return at < t->n_company ? PREFIX_COMPANY : at < t->n_group ? PREFIX_GROUP : PREFIX_PERSON;
}

static uint64_t scope_at(const struct prefix_text *t, size_t at)
{
	enum prefix_level l = level_at(t, at);
	return l == PREFIX_COMPANY ? 0 : l == PREFIX_GROUP ? t->group : t->person;
}

size_t prefix_scope_end(const struct prefix_text *t, size_t at)
{
	size_t end = at < t->n_company ? t->n_company : at < t->n_group ? t->n_group : t->n;
	return end < t->n ? end : t->n;
}

size_t prefix_common(const struct prefix_text *a, const struct prefix_text *b)
{
	size_t most = a->n < b->n ? a->n : b->n, n = 0;
	while (n < most) {
		if (level_at(a, n) != level_at(b, n) || scope_at(a, n) != scope_at(b, n))
			return n;
		size_t ea = prefix_scope_end(a, n), eb = prefix_scope_end(b, n),
		       end = ea < eb ? ea : eb;
		while (n < end && a->v[n] == b->v[n])
			n++;
		if (n < end)
			return n;
	}
	return n;
}

/* ---- states ---- */

static void state_unref(struct prefix *p, struct state *s)
{
	if (!s || --s->refs)
		return;
	if (s->bytes)
		p->bytes -= s->size;
	if (s->disk && p->disk.drop)
		p->disk.drop(p->disk.arg, s->disk);
	mem_free(s->bytes);
	mem_free(s);
}

static void node_set_state(struct prefix *p, struct node *n, struct state *s)
{
	s->refs++;
	state_unref(p, n->state);
	n->state = s;
}

/* ---- nodes ---- */

static struct node *node_new(struct prefix *p, struct node *parent, const int32_t *run, uint32_t n)
{
	struct node *x = mem_zalloc(1, sizeof *x);
	int32_t *copy = mem_alloc((n ? n : 1) * sizeof *copy);
	if (!x || !copy) {
		mem_free(x);
		mem_free(copy);
		return NULL;
	}
	memcpy(copy, run, n * sizeof *copy);
	*x = (struct node){ .parent = parent, .next = parent->child, .run = copy,
		.from = parent->from + parent->n, .n = n, .used = ++p->clock };
	parent->child = x;
	p->n_nodes++;
	return x;
}

static void node_remove(struct prefix *p, struct node *n)
{
	while (n->child)
		node_remove(p, n->child);
	struct node **at = &n->parent->child;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	state_unref(p, n->state);
	mem_free(n->run);
	mem_free(n);
	p->n_nodes--;
}

static struct node *child_for(const struct node *n, const struct prefix_text *t)
{
	size_t at = n->from + n->n;
	for (struct node *c = n->child; c; c = c->next)
		if (c->run[0] == t->v[at] && c->level == level_at(t, at) &&
			c->scope == scope_at(t, at))
			return c;
	return NULL;
}

/* Tokens of the node that the text has too; never past the text's scope. */
static uint32_t node_common(const struct node *n, const struct prefix_text *t)
{
	size_t end = prefix_scope_end(t, n->from), most = end - n->from;
	uint32_t k = 0;
	while (k < n->n && k < most && n->run[k] == t->v[n->from + k])
		k++;
	return k;
}

/* Cuts a node after `k` tokens; it keeps the rest, a new node before it gets the beginning.
 * Returns the new one. */
static struct node *node_split(struct prefix *p, struct node *n, uint32_t k)
{
	struct node *parent = n->parent, *top = node_new(p, parent, n->run, k);
	if (!top)
		return NULL;
	top->level = n->level;
	top->scope = n->scope;
	top->object = n->object;
	top->used = n->used;
	if (p->divisible && n->state)
		node_set_state(p, top, n->state);
	struct node **at = &parent->child;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->parent = top;
	n->next = NULL;
	top->child = n;
	memmove(n->run, n->run + k, (n->n - k) * sizeof *n->run);
	n->from += k;
	n->n -= k;
	return top;
}

/* ---- making ---- */

enum err prefix_new(
	size_t limit_bytes, bool divisible, const struct prefix_disk *disk, struct prefix **ret)
{
	struct prefix *p = mem_zalloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->limit = limit_bytes;
	p->divisible = divisible;
	if (disk)
		p->disk = *disk;
	*ret = p;
	return OK;
}

struct prefix *prefix_free(struct prefix *p)
{
	if (!p)
		return NULL;
	p->disk.drop = NULL; /* what is on disk stays for the next start */
	while (p->root.child)
		node_remove(p, p->root.child);
	mem_free(p);
	return NULL;
}

/* Removes a leaf, and what above it served it alone. */
static void forget(struct prefix *p, struct node *n)
{
	for (struct node *up; n != &p->root && !n->child; n = up) {
		up = n->parent;
		node_remove(p, n);
		if (up->state)
			return;
	}
}

/* Frees RAM until the rest is within the limit: of leaves, and of states that are on disk too, the
 * one used longest ago. Nothing used since `keep` goes. */
static void shrink(struct prefix *p, uint64_t keep)
{
	while (p->bytes > p->limit) {
		struct node *oldest = NULL;
		for (struct node *n = p->root.child; n;) {
			bool goes = n->state && n->state->bytes && (n->state->disk || !n->child);
			if (goes && n->used < keep && (!oldest || n->used < oldest->used))
				oldest = n;
			if (n->child) {
				n = n->child;
				continue;
			}
			while (n != &p->root && !n->next)
				n = n->parent;
			n = n == &p->root ? NULL : n->next;
		}
		if (!oldest)
			return;
		struct state *s = oldest->state;
		if (!s->disk) {
			forget(p, oldest);
			continue;
		}
		mem_free(s->bytes);
		s->bytes = NULL;
		p->bytes -= s->size;
	}
}

/* ---- looking up ---- */

/* May this text's own states continue it? One that may go to the disk not what a temporary text
 * left; none another talk's, which can be purged without it. */
static bool lasts(const struct node *n, const struct prefix_text *t)
{
	bool others = n->level == PREFIX_PERSON && n->state->object != t->object;
	return !others && (t->temporary || !n->state->temporary);
}

/* The deepest place of the text's path with a state that reaches it: node and positions. Positions
 * before a state's beginning must be there from states above it. `lasting`: only states count that
 * this text can rely on. */
static size_t deepest(const struct prefix *p, const struct prefix_text *t, size_t max,
	bool lasting, const struct node **ret)
{
	const struct node *n = &p->root;
	size_t have = 0;
	*ret = NULL;
	while (n->from + n->n < t->n && (n = child_for(n, t))) {
		size_t end = n->from + node_common(n, t);
		bool whole = end == n->from + n->n;
		end = end < max ? end : max;
		bool use = n->state && n->state->from <= have &&
			   (!lasting || lasts(n, t)) &&
			   (p->divisible ? end > have : whole && end == n->from + n->n);
		if (use) {
			have = end;
			*ret = n;
		}
		if (!whole)
			break;
	}
	return have;
}

size_t prefix_covers(const struct prefix *p, const struct prefix_text *t, size_t max)
{
	const struct node *n;
	return deepest(p, t, max, false, &n);
}

size_t prefix_lasts(const struct prefix *p, const struct prefix_text *t, size_t max)
{
	const struct node *n;
	return deepest(p, t, max, true, &n);
}

static bool load(struct prefix *p, struct state *s)
{
	if (s->bytes)
		return true;
	void *bytes = s->disk && p->disk.load ? mem_alloc(s->size) : NULL;
	if (!bytes || p->disk.load(p->disk.arg, s->disk, bytes, s->size)) {
		mem_free(bytes);
		return false;
	}
	s->bytes = bytes;
	p->bytes += s->size;
	return true;
}

/* From the deepest node upwards: its state gives [state.from, to), the next one above what is
 * before. The pieces come out last first. False: one cannot be loaded; *bad names its node. */
static bool gather(struct prefix *p, struct node *n, size_t to, struct prefix_piece *v,
	size_t *ret_n, struct node **bad)
{
	size_t k = 0;
	for (; to; n = n->parent) {
		if (n == &p->root || k == PREFIX_PIECES)
			return *bad = NULL, false;
		n->used = ++p->clock;
		struct state *s = n->state;
		if (!s || s->to < to || s->from >= to)
			continue;
		if (!load(p, s))
			return *bad = n, false;
		v[k++] = (struct prefix_piece){ s->bytes, s->size, s->from, (uint32_t)to, s->from };
		to = s->from;
	}
	*ret_n = k;
	return true;
}

size_t prefix_find(struct prefix *p, const struct prefix_text *t, size_t max,
	struct prefix_piece v[PREFIX_PIECES], size_t *ret_n)
{
	const struct node *n;
	struct node *bad;
	uint64_t since = p->clock + 1;
	*ret_n = 0;
	for (size_t have; (have = deepest(p, t, max, false, &n));) {
		if (gather(p, (struct node *)(uintptr_t)n, have, v, ret_n, &bad)) {
			for (size_t i = 0, z = *ret_n; i + 1 < z; i++, z--) {
				struct prefix_piece x = v[i];
				v[i] = v[z - 1];
				v[z - 1] = x;
			}
			shrink(p, since);
			return have;
		}
		if (!bad) /* more pieces than anybody needs: too deep, less will do */
			max = have - 1;
		else
			node_remove(p, bad); /* the disk lost it */
	}
	return 0;
}

/* ---- adding ---- */

/* The node that ends at `to`, made where it is missing. */
static struct node *grow(struct prefix *p, const struct prefix_text *t, uint32_t to)
{
	struct node *n = &p->root;
	while (n->from + n->n < to) {
		uint32_t at = n->from + n->n;
		struct node *c = child_for(n, t);
		if (!c) {
			size_t end = prefix_scope_end(t, at);
			end = end < to ? end : to;
			c = node_new(p, n, t->v + at, (uint32_t)end - at);
			if (!c)
				return NULL;
			c->level = level_at(t, at);
			c->scope = scope_at(t, at);
			c->object = c->level == PREFIX_PERSON ? t->object : 0;
		}
		uint32_t k = node_common(c, t);
		k = k < to - at ? k : to - at;
		if (k < c->n && !(c = node_split(p, c, k)))
			return NULL;
		c->used = ++p->clock;
		n = c;
	}
	return n;
}

static uint64_t disk_parent(const struct node *n, uint32_t from)
{
	for (; from && n->parent; n = n->parent)
		if (n->state && n->state->disk && n->state->to >= from && n->state->from < from)
			return n->state->disk;
	return 0;
}

static void to_disk(struct prefix *p, struct node *n, const struct prefix_text *t, struct state *s)
{
	struct prefix_record r = { .level = n->level, .scope = n->scope, .object = s->object,
		.from = s->from, .tokens = t->v + s->from, .n_tokens = s->to - s->from,
		.size = s->size };
	if (!p->disk.store || t->temporary)
		return;
	r.parent = disk_parent(n, s->from);
	if (s->from && !r.parent)
		return; /* could not be put together again */
	s->disk = p->disk.store(p->disk.arg, &r, s->bytes);
}

/* Hands the state to every node of the path within [from, to] that has none as good: a longer one
 * from the same beginning makes the shorter one superfluous. */
static void attach(struct prefix *p, struct node *last, struct state *s)
{
	for (struct node *n = last; n != &p->root && n->from >= s->from; n = n->parent) {
		if (!n->state || n->state->from >= s->from)
			node_set_state(p, n, s);
		if (!p->divisible)
			return;
	}
}

enum err prefix_add(struct prefix *p, const struct prefix_text *t, uint32_t from, uint32_t to,
	void *bytes, size_t size)
{
	struct state *s = mem_zalloc(1, sizeof *s);
	uint64_t since = p->clock + 1;
	struct node *n = s && to > from && to <= t->n ? grow(p, t, to) : NULL;
	if (!n || size > p->limit) {
		mem_free(s);
		mem_free(bytes);
		return n ? OK : ERR_NOMEM; /* larger than all there may be: not kept */
	}
	*s = (struct state){ .refs = 1,
		.from = from,
		.to = to,
		.bytes = bytes,
		.size = size,
		.object = n->level == PREFIX_PERSON ? t->object : 0,
		.temporary = t->temporary };
	p->bytes += size;
	to_disk(p, n, t, s);
	attach(p, n, s);
	state_unref(p, s);
	shrink(p, since);
	return OK;
}

static struct node *by_disk(struct node *n, uint64_t id)
{
	for (struct node *c = n->child; c; c = c->next) {
		struct node *x = by_disk(c, id);
		if (x)
			return x;
		if (c->state && c->state->disk == id)
			return c;
	}
	return NULL;
}

enum err prefix_recall(struct prefix *p, const struct prefix_record *r)
{
	struct node *above = r->parent ? by_disk(&p->root, r->parent) : &p->root;
	if (!above || above->from + above->n < r->from || !r->n_tokens || !r->id)
		return ERR_NOT_FOUND;
	uint32_t to = r->from + (uint32_t)r->n_tokens;
	AUTO_MEM int32_t *v = mem_alloc(to * sizeof *v);
	struct state *s = mem_zalloc(1, sizeof *s);
	if (!v || !s) {
		mem_free(s);
		return ERR_NOMEM;
	}
	struct prefix_text t = { .v = v, .n = to, .object = r->object };
	for (struct node *n = above; n != &p->root; n = n->parent) {
		uint32_t end = n->from + n->n < r->from ? n->from + n->n : r->from;
		if (n->from >= end)
			continue; /* the parent goes on behind where this one branches off */
		memcpy(v + n->from, n->run, (end - n->from) * sizeof *v);
		if (n->level == PREFIX_COMPANY && end > t.n_company)
			t.n_company = end;
		if (n->level <= PREFIX_GROUP && end > t.n_group)
			t.n_group = end;
		t.group = n->level == PREFIX_GROUP ? n->scope : t.group;
		t.person = n->level == PREFIX_PERSON ? n->scope : t.person;
	}
	memcpy(v + r->from, r->tokens, r->n_tokens * sizeof *v);
	if (r->level == PREFIX_COMPANY)
		t.n_company = t.n_group = to;
	if (r->level == PREFIX_GROUP)
		t.n_group = to, t.group = r->scope;
	if (r->level == PREFIX_PERSON)
		t.person = r->scope;
	struct node *n = t.n_company <= t.n_group ? grow(p, &t, to) : NULL;
	if (!n) {
		mem_free(s);
		return ERR_NOMEM;
	}
	*s = (struct state){ .refs = 1,
		.from = r->from,
		.to = to,
		.size = r->size,
		.disk = r->id,
		.object = r->object };
	attach(p, n, s);
	state_unref(p, s);
	return OK;
}

/* ---- forgetting ---- */

static void drop_state(struct prefix *p, struct node *n)
{
	state_unref(p, n->state);
	n->state = NULL;
}

/* States made for the object go wherever they hang; its nodes go, but for a beginning that another
 * text of the same person has too. What lay behind a state that went is read again. */
static void purge(struct prefix *p, struct node *n, uint64_t person, uint64_t object)
{
	for (struct node *c = n->child, *next; c; c = next) {
		next = c->next;
		bool his = c->level == PREFIX_PERSON && (!person || c->scope == person);
		if ((his && !object) || (!person && !object)) {
			node_remove(p, c);
			continue;
		}
		purge(p, c, person, object);
		if (!his)
			continue;
		if (c->state && c->state->object == object)
			drop_state(p, c);
		if (c->object == object && c->child)
			c->object = c->child->object;
		if (!c->child && (c->object == object || !c->state))
			node_remove(p, c);
	}
}

void prefix_purge(struct prefix *p, uint64_t person, uint64_t object)
{
	purge(p, &p->root, person, object);
}

size_t prefix_bytes(const struct prefix *p)
{
	return p->bytes;
}
size_t prefix_nodes(const struct prefix *p)
{
	return p->n_nodes;
}
