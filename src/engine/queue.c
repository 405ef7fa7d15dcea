#include "engine/queue.h"

#include <stdlib.h>

#include "base/fault.h"

enum {
	CLASSES = 3,
	QUANTUM = 512,      /* tokens a turn */
	ANSWER_COST = 256,  /* tokens counted for an answer whose length nobody knows */
	COST_MAX = 16 * 1024, /* so that a turn comes after a few rounds at most */
};

struct tenant {
	struct tenant *next; /* in the ring's order */
	uint64_t person;
	struct request *first, *last; /* in order of arrival */
	int64_t deficit;
	uint32_t n;
};
struct queue_wait {
	struct tenant *tenants;
	struct tenant *turn; /* whose turn it is; NULL: the first */
	struct request *chosen;
	int64_t age_ns;
	uint32_t n;
};

enum err queue_wait_new(int64_t age_ns, struct queue_wait **ret)
{
	struct queue_wait *q = mem_zalloc(1, sizeof *q);
	if (!q)
		return ERR_NOMEM;
	q->age_ns = age_ns;
	*ret = q;
	return OK;
}

struct queue_wait *queue_wait_free(struct queue_wait *q)
{
	if (!q)
		return NULL;
	for (struct tenant *t = q->tenants, *next; t; t = next) {
		next = t->next;
		while (t->first) {
			struct request *r = t->first;
			t->first = r->next;
			request_free(r);
		}
		mem_free(t);
	}
	mem_free(q);
	return NULL;
}

uint32_t queue_wait_n(const struct queue_wait *q)
{
	return q->n;
}

static struct tenant *tenant_of(struct queue_wait *q, uint64_t person)
{
	struct tenant **at = &q->tenants;
	for (; *at; at = &(*at)->next)
		if ((*at)->person == person)
			return *at;
	struct tenant *t = mem_zalloc(1, sizeof *t);
	if (t) {
		t->person = person;
		*at = t;
	}
	return t;
}

/* Who has nothing waiting saves nothing up. */
static void tenant_remove(struct queue_wait *q, struct tenant *t)
{
	struct tenant **at = &q->tenants;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	if (q->turn == t)
		q->turn = t->next;
	mem_free(t);
}

static void put(struct queue_wait *q, struct tenant *t, struct request *r, bool front)
{
	r->next = front ? t->first : NULL;
	if (!t->first)
		t->last = r;
	if (front)
		t->first = r;
	else if (t->first)
		t->last->next = r, t->last = r;
	else
		t->first = r;
	t->n++;
	q->n++;
	q->chosen = NULL;
}

enum err queue_wait_add(struct queue_wait *q, struct request *r)
{
	struct tenant *t = tenant_of(q, r->person);
	if (!t)
		return ERR_NOMEM;
	put(q, t, r, false);
	return OK;
}

enum err queue_wait_put_back(struct queue_wait *q, struct request *r)
{
	struct tenant *t = tenant_of(q, r->person);
	if (!t)
		return ERR_NOMEM;
	put(q, t, r, true);
	return OK;
}

unsigned queue_wait_class(const struct queue_wait *q, const struct request *r, int64_t now_ns)
{
	int64_t lifted = now_ns > r->added_ns ? (now_ns - r->added_ns) / q->age_ns : 0;
	return lifted >= r->priority ? 0 : r->priority - (unsigned)lifted;
}

/* Oldest of the tenant's in the class. */
static struct request *head(
	const struct queue_wait *q, const struct tenant *t, unsigned class, int64_t now_ns)
{
	for (struct request *r = t->first; r; r = r->next)
		if (queue_wait_class(q, r, now_ns) == class)
			return r;
	return NULL;
}

static int64_t cost(const struct request *r)
{
	int64_t answer = r->sampling.num_predict < 0 || r->sampling.num_predict > ANSWER_COST
				 ? ANSWER_COST
				 : r->sampling.num_predict;
	int64_t all = (int64_t)r->feed.n + answer;
	return all < COST_MAX ? all : COST_MAX;
}

static unsigned best_class(const struct queue_wait *q, int64_t now_ns)
{
	unsigned best = CLASSES;
	for (const struct tenant *t = q->tenants; t; t = t->next)
		for (const struct request *r = t->first; r && best; r = r->next) {
			unsigned c = queue_wait_class(q, r, now_ns);
			best = c < best ? c : best;
		}
	return best;
}

struct request *queue_wait_next(struct queue_wait *q, int64_t now_ns)
{
	if (!q->n)
		return NULL;
	unsigned class = best_class(q, now_ns);
	if (q->chosen && queue_wait_class(q, q->chosen, now_ns) == class)
		return q->chosen;
	for (;;) { /* ends: each round adds a quantum to everybody with something in the class */
		struct tenant *t = q->turn ? q->turn : q->tenants;
		struct request *r = head(q, t, class, now_ns);
		if (r && t->deficit >= cost(r)) {
			q->turn = t;
			return q->chosen = r;
		}
		t = t->next ? t->next : q->tenants;
		q->turn = t;
		if (head(q, t, class, now_ns))
			t->deficit += QUANTUM;
	}
}

void queue_wait_take(struct queue_wait *q, struct request *r)
{
	for (struct tenant *t = q->tenants; t; t = t->next) {
		struct request *before = NULL, *x = t->first;
		while (x && x != r) {
			before = x;
			x = x->next;
		}
		if (!x)
			continue;
		if (before)
			before->next = r->next;
		else
			t->first = r->next;
		if (t->last == r)
			t->last = before;
		if (q->chosen == r)
			t->deficit -= cost(r);
		t->n--;
		q->n--;
		q->chosen = NULL;
		r->next = NULL;
		if (!t->first)
			tenant_remove(q, t);
		return;
	}
	DIE("the request does not wait");
}

struct line {
	struct request *r;
	unsigned class;
};

static int by_class_then_arrival(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return x->r->order < y->r->order ? -1 : x->r->order > y->r->order;
}

void queue_wait_each(struct queue_wait *q, int64_t now_ns,
	void (*each)(void *arg, struct request *r, uint32_t place), void *arg)
{
	if (!q->n)
		return;
	AUTO_MEM struct line *v = mem_alloc(q->n * sizeof *v);
	uint32_t n = 0;
	if (!v)
		return; /* nobody is told his place this time */
	for (struct tenant *t = q->tenants; t; t = t->next)
		for (struct request *r = t->first; r; r = r->next)
			v[n++] = (struct line){ r, queue_wait_class(q, r, now_ns) };
	qsort(v, n, sizeof *v, by_class_then_arrival);
	for (uint32_t i = 0; i < n; i++)
		each(arg, v[i].r, i + 1);
}
