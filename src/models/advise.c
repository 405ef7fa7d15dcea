#include "models/advise.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "models/plan.h"

static const char table_text[] =
#include "gen/advice.inc"
	;

enum {
	MODELS_MAX = 64,
	RESERVE_MIB = 1024, /* for the system and ourselves */
	BUFFERS_MIB = 400,  /* compute buffers of an engine, measured order of magnitude */
	BATCH_TOKENS = 512, /* a window keeps a batch more than its width */
	MEASURE_MS = 500,
	SLOW_TOKENS_PER_S = 4, /* below that nobody wants to wait: ranks last of what fits */
};
#define KV_BYTES 2.0   /* f16 */
#define EFFICIENCY 0.7 /* share of the measured bandwidth that decoding reaches */

struct row {
	const char *name, *title, *licence, *source, *why;
	uint64_t size, read;
	int64_t full[3], window[4]; /* layers, KV heads, head size, width */
	int64_t context;
	int rank;
	bool german, verified;
};
struct advice_table {
	json_t *json; /* owns the rows' strings */
	struct row row[MODELS_MAX];
	size_t n;
	pthread_mutex_t lock;
	double bandwidth; /* measured once; 0: not yet */
};

static enum err read_list(const json_t *o, const char *key, bool required, int64_t *ret, size_t n)
{
	json_t *list = NULL;
	TRY(json_want_arr(o, key, required, &list, NULL));
	if (!list)
		return OK;
	if (json_array_size(list) != n)
		return ERR_INVALID;
	for (size_t i = 0; i < n; i++) {
		if (!json_is_integer(json_array_get(list, i)))
			return ERR_INVALID;
		ret[i] = json_integer_value(json_array_get(list, i));
		if (ret[i] < 0 || ret[i] > 1000000)
			return ERR_INVALID;
	}
	return OK;
}

static enum err read_row(const json_t *o, struct row *r)
{
	const struct {
		const char *key;
		const char **to;
	} texts[] = {
		{ "name", &r->name },
		{ "title", &r->title },
		{ "licence", &r->licence },
		{ "source", &r->source },
		{ "why", &r->why },
	};
	int64_t size = 0, bytes_read = 0, rank = 0;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct str s;
		TRY(json_want_str(o, texts[i].key, true, &s, NULL));
		*texts[i].to = s.ptr; /* jansson's strings are terminated */
	}
	TRY(json_want_i64(o, "size", true, 1, INT64_MAX, &size, NULL));
	TRY(json_want_i64(o, "read", true, 1, size, &bytes_read, NULL));
	TRY(json_want_i64(o, "rank", true, 0, 100, &rank, NULL));
	TRY(json_want_i64(o, "context", true, 1024, INT32_MAX, &r->context, NULL));
	TRY(json_want_bool(o, "german", true, &r->german, NULL));
	TRY(json_want_bool(o, "verified", true, &r->verified, NULL));
	TRY(read_list(o, "full", true, r->full, 3));
	TRY(read_list(o, "window", false, r->window, 4));
	r->size = (uint64_t)size;
	r->read = (uint64_t)bytes_read;
	r->rank = (int)rank;
	return OK;
}

enum err advice_new(struct advice_table **ret)
{
	json_t *models = NULL, *item;
	size_t i;
	struct advice_table *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	(void)pthread_mutex_init(&t->lock, NULL);
	enum err e = json_read((struct str){ table_text, sizeof table_text - 1 }, sizeof table_text,
		8, &t->json, NULL);
	if (!e)
		e = json_want_arr(t->json, "models", true, &models, NULL);
	if (!e && json_array_size(models) > MODELS_MAX)
		e = ERR_LIMIT;
	json_array_foreach(models, i, item) if (!e) e = read_row(item, &t->row[t->n++]);
	if (e) {
		(void)advice_free(t);
		return e;
	}
	*ret = t;
	return OK;
}

struct advice_table *advice_free(struct advice_table *t)
{
	if (t) {
		json_decref(t->json);
		(void)pthread_mutex_destroy(&t->lock);
	}
	mem_free(t);
	return NULL;
}

/* Bytes of the KV cache at `tokens` of context: full layers keep all, windowed ones their window.
 * */
static double kv_bytes(const struct row *r, int64_t tokens)
{
	int64_t window = r->window[3] + BATCH_TOKENS;
	double full = (double)(r->full[0] * r->full[1] * r->full[2]);
	double part = (double)(r->window[0] * r->window[1] * r->window[2]);
	return 2 * KV_BYTES *
	       (full * (double)tokens + part * (double)(tokens < window ? tokens : window));
}

static uint64_t memory_at(const struct row *r, int64_t tokens)
{
	if (tokens > r->context)
		tokens = r->context;
	return r->size + (uint64_t)kv_bytes(r, tokens) + ((uint64_t)BUFFERS_MIB << 20);
}

/* Alone on this machine: on one card or over several, which then work one after another, so that
 * the slowest counts. */
static bool fits_cards(const struct machine *m, uint64_t bytes, double *ret_bandwidth)
{
	const struct cards *c = &m->cards;
	uint64_t reserve = (uint64_t)RESERVE_MIB << 20;
	struct plan_room room = { .capacity = { m->memory > reserve ? m->memory - reserve : 0 },
		.n_cards = (unsigned)c->n,
		.cards_in_ram = c->n && c->v[0].in_ram };
	const struct plan_need need = { { .cards = bytes }, { .cards = bytes } };
	struct plan p;
	for (size_t i = 0; i < c->n; i++)
		room.capacity[PLAN_CARD + i] = c->v[i].total;
	plan_make(&room, NULL, 0, &need, &p);
	for (size_t i = 0; i < c->n; i++) {
		double b = p.bytes[PLAN_CARD + i] ? c->v[i].bandwidth : 0;
		if (b > 0 && (*ret_bandwidth <= 0 || b < *ret_bandwidth))
			*ret_bandwidth = b;
	}
	return c->n && p.verdict == PLAN_FITS;
}

static void judge(
	const struct row *r, const struct machine *m, double cpu_bandwidth, struct advice *a)
{
	*a = (struct advice){ .name = r->name,
		.title = r->title,
		.licence = r->licence,
		.source = r->source,
		.why = r->why,
		.size = r->size,
		.german = r->german,
		.verified = r->verified,
		.rank = r->rank };
	a->memory_8k = memory_at(r, 8192);
	a->memory_32k = memory_at(r, 32768);
	double card_bandwidth = 0;
	bool on_gpu = fits_cards(m, a->memory_8k, &card_bandwidth);
	bool in_memory = m->memory >= a->memory_8k + ((uint64_t)RESERVE_MIB << 20);
	bool on_disk = !m->disk_free || m->disk_free >= r->size;
	a->fits = (on_gpu || in_memory) && on_disk;
	double bandwidth = on_gpu ? card_bandwidth : cpu_bandwidth;
	a->tokens_per_s = EFFICIENCY * bandwidth / ((double)r->read + kv_bytes(r, 1024));
	if (!on_gpu && !in_memory)
		a->why = "needs more memory than this machine has";
	else if (!on_disk)
		a->why = "needs more room on the disk";
	else if (a->tokens_per_s > 0 && a->tokens_per_s < SLOW_TOKENS_PER_S)
		a->why = "fits, but answers slowly on this machine";
}

static int class_of(const struct advice *a)
{
	if (!a->fits)
		return 2;
	return a->tokens_per_s > 0 && a->tokens_per_s < SLOW_TOKENS_PER_S;
}

static int best_first(const void *x, const void *y)
{
	const struct advice *a = x, *b = y;
	if (class_of(a) != class_of(b))
		return class_of(a) - class_of(b);
	if (class_of(a) == 2)
		return (a->size > b->size) - (a->size < b->size);
	if (class_of(a) == 1)
		return (a->tokens_per_s < b->tokens_per_s) - (a->tokens_per_s > b->tokens_per_s);
	if (a->german != b->german)
		return a->german ? -1 : 1;
	return b->rank - a->rank;
}

/* Measured at the first question and kept: half a second, once. */
static double bandwidth_of(struct advice_table *t, const struct machine *m)
{
	if (m->bandwidth > 0)
		return m->bandwidth;
	pthread_mutex_lock(&t->lock);
	if (t->bandwidth <= 0)
		t->bandwidth = machine_bandwidth(m->cores, MEASURE_MS);
	double v = t->bandwidth;
	pthread_mutex_unlock(&t->lock);
	return v;
}

size_t advice_for(struct advice_table *t, const struct machine *m, struct advice *ret, size_t max)
{
	struct advice all[MODELS_MAX];
	double bandwidth = bandwidth_of(t, m);
	for (size_t i = 0; i < t->n; i++)
		judge(&t->row[i], m, bandwidth, &all[i]);
	qsort(all, t->n, sizeof *all, best_first);
	size_t n = t->n < max ? t->n : max;
	memcpy(ret, all, n * sizeof *ret);
	return n;
}

enum err machine_json(const struct machine *m, struct jw *w)
{
	jw_obj(w);
	jw_ki64(w, "memory", (int64_t)m->memory);
	jw_ki64(w, "memory_free", (int64_t)m->memory_free);
	jw_kstr(w, "cpu", str_from(m->cpu));
	jw_ki64(w, "cores", m->cores);
	jw_kstr(w, "gpu", str_from(m->gpu));
	jw_key(w, "cards");
	jw_arr(w);
	for (size_t i = 0; i < m->cards.n; i++) {
		jw_obj(w);
		jw_kstr(w, "name", str_from(m->cards.v[i].name));
		jw_ki64(w, "memory", (int64_t)m->cards.v[i].total);
		jw_ki64(w, "memory_free", (int64_t)m->cards.v[i].free_bytes);
		jw_end(w);
	}
	jw_end(w);
	jw_ki64(w, "disk_free", (int64_t)m->disk_free);
	jw_end(w);
	return w->out->err;
}

enum err advice_json(const struct advice *a, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "name", str_from(a->name));
	jw_kstr(w, "title", str_from(a->title));
	jw_kstr(w, "licence", str_from(a->licence));
	jw_ki64(w, "size", (int64_t)a->size);
	jw_ki64(w, "memory_8k", (int64_t)a->memory_8k);
	jw_ki64(w, "memory_32k", (int64_t)a->memory_32k);
	/* an estimate: more than one decimal would pretend */
	jw_kf64(w, "tokens_per_s", (double)(int64_t)(a->tokens_per_s * 10 + 0.5) / 10);
	jw_kbool(w, "german", a->german);
	jw_kbool(w, "fits", a->fits);
	jw_kstr(w, "source", str_from(a->source));
	jw_kstr(w, "why", str_from(a->why));
	jw_end(w);
	return w->out->err;
}

enum err advise_json(struct advice_table *t, const struct machine *m, struct buf *out)
{
	struct advice all[MODELS_MAX];
	size_t n = advice_for(t, m, all, MODELS_MAX);
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "machine");
	TRY(machine_json(m, &w));
	jw_key(&w, "advice");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		TRY(advice_json(&all[i], &w));
	jw_end(&w);
	jw_end(&w);
	return out->err;
}
