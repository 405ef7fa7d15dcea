#include "engine/llama/tune.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/time.h"
#include "engine/llama/backend_int.h"

enum {
	SEED = 256,  /* cells that are computed; all others are copies */
	STEPS = 3,   /* of each kind; the fastest counts: others use the machine too */
	MANY = 8,    /* sequences of a wide step */
	SMALL = 128, /* the micro-batch that is enough if it costs no more than 5 % */
	READ_LATE = 1024,
};
static const uint32_t OCCUPANCY[TUNE_OCCUPANCIES] = { 256, 1024, 4096 };

struct measured {
	double one[TUNE_OCCUPANCIES], many[TUNE_OCCUPANCIES]; /* tokens/s; 0: not measured */
	double read, read_small; /* tokens/s of a prompt's first tokens */
	double read_late;        /* of a tile of it behind READ_LATE others; 0: not measured */
};
struct tuner {
	struct llama_backend *b;
	struct llama_context *ctx;
	bool (*stop)(void *arg);
	void *arg;
	int64_t until_ns;
};

static enum err go_on(const struct tuner *t)
{
	if (t->stop && t->stop(t->arg))
		return ERR_CANCELLED;
	return time_mono_ns() > t->until_ns ? ERR_TIMEOUT : OK;
}

/* One step; *ret_s: how long it took. */
static enum err decode(struct tuner *t, int32_t n, double *ret_s)
{
	TRY(go_on(t));
	t->b->batch.n_tokens = n;
	int64_t from = time_mono_ns();
	int rc = shim_decode(t->ctx, t->b->batch);
	*ret_s = (double)(time_mono_ns() - from) / 1e9;
	return rc ? ERR_ENGINE : OK;
}

static void put(struct tuner *t, int32_t i, int32_t pos, int32_t seq, bool out)
{
	struct llama_batch *v = &t->b->batch;
	v->token[i] = (i * 31 + pos) % (int32_t)t->b->caps.n_vocab;
	v->pos[i] = pos;
	v->n_seq_id[i] = 1;
	v->seq_id[i][0] = seq;
	v->logits[i] = out;
}

/* Reads SEED tokens in pieces of `chunk`; *ret: tokens/s. */
static enum err read_prompt(struct tuner *t, int32_t chunk, double *ret)
{
	double all = 0, s;
	llama_memory_clear(llama_get_memory(t->ctx), false);
	for (int32_t at = 0; at < SEED; at += chunk) {
		for (int32_t i = 0; i < chunk; i++)
			put(t, i, at + i, 0, at + i + 1 == SEED);
		TRY(decode(t, chunk, &s));
		all += s;
	}
	*ret = SEED / all;
	return OK;
}

/* The states of SEED cells, again and again, under a spare id that hands them on to sequence 0. */
static enum err fill(
	struct tuner *t, const void *state, size_t size, uint32_t *used, uint32_t cells)
{
	llama_memory_t m = llama_get_memory(t->ctx);
	const int32_t spare = MANY;
	for (; *used + SEED <= cells; *used += SEED) {
		TRY(go_on(t));
		if (llama_state_seq_set_data(t->ctx, state, size, spare) != size)
			return ERR_NOMEM;
		for (int32_t s = 0; s < MANY; s++)
			llama_memory_seq_cp(m, spare, s, -1, -1);
		(void)llama_memory_seq_rm(m, spare, -1, -1);
	}
	return OK;
}

/* Steps of n sequences; *ret: tokens/s of the fastest. The tokens are taken off again. */
static enum err steps(struct tuner *t, int32_t n, double *ret)
{
	llama_memory_t m = llama_get_memory(t->ctx);
	double best = 0;
	for (int k = 0; k < STEPS; k++) {
		double s;
		for (int32_t i = 0; i < n; i++)
			put(t, i, SEED, i, true);
		TRY(decode(t, n, &s));
		best = n / s > best ? n / s : best;
		for (int32_t i = 0; i < n; i++)
			(void)llama_memory_seq_rm(m, i, SEED, -1);
	}
	*ret = best;
	return OK;
}

/* A tile of a prompt's later tokens; *ret: tokens/s of the fastest. They are taken off again. */
static enum err read_late(struct tuner *t, double *ret)
{
	int32_t n = (int32_t)t->b->caps.read_tile;
	for (int k = 0; k < STEPS; k++) {
		double s;
		for (int32_t i = 0; i < n; i++)
			put(t, i, SEED + i, 0, i + 1 == n);
		TRY(decode(t, n, &s));
		*ret = n / s > *ret ? n / s : *ret;
		(void)llama_memory_seq_rm(llama_get_memory(t->ctx), 0, SEED, -1);
	}
	return OK;
}

static enum err measure(struct tuner *t, struct measured *r)
{
	llama_memory_t m = llama_get_memory(t->ctx);
	double s;
	put(t, 0, 0, 0, true); /* the first step pays for pages */
	TRY(decode(t, 1, &s));
	TRY(read_prompt(t, SMALL, &r->read_small));
	TRY(read_prompt(t, SEED, &r->read));
	size_t size = llama_state_seq_get_size(t->ctx, 0);
	AUTO_MEM void *state = mem_alloc(size ? size : 1);
	if (!state)
		return ERR_NOMEM;
	if (!size || llama_state_seq_get_data(t->ctx, state, size, 0) != size)
		return ERR_UNSUPPORTED;
	for (int32_t i = 1; i < MANY; i++)
		llama_memory_seq_cp(m, 0, i, -1, -1);
	uint32_t used = SEED;
	for (int i = 0; i < TUNE_OCCUPANCIES; i++) {
		if (OCCUPANCY[i] + MANY > t->b->caps.pool[POOL_SHARED].n_cells)
			break;
		TRY(fill(t, state, size, &used, OCCUPANCY[i]));
		TRY(steps(t, 1, &r->one[i]));
		TRY(steps(t, MANY, &r->many[i]));
		if (OCCUPANCY[i] == READ_LATE)
			TRY(read_late(t, &r->read_late));
	}
	return OK;
}

static enum err try_setting(struct tuner *t, bool flash, struct measured *r)
{
	struct llama_context_params p = t->b->params[POOL_SHARED];
	p.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
	*r = (struct measured){ 0 };
	if (llama_context_new(t->b, p, &t->ctx) != SHIM_OK)
		return ERR_NOMEM;
	if (t->b->pool)
		llama_attach_threadpool(t->ctx, t->b->pool, t->b->pool);
	enum err e = measure(t, r);
	llama_free(t->ctx);
	t->ctx = NULL;
	return e;
}

/* How much faster a is than b, over what teams do: mostly several at once over some cells. */
static double advantage(const struct measured *a, const struct measured *b)
{
	static const double weight[TUNE_OCCUPANCIES] = { 1, 2, 1 };
	double sum = 0, all = 0;
	for (int i = 0; i < TUNE_OCCUPANCIES; i++)
		if (a->one[i] > 0 && b->one[i] > 0 && a->many[i] > 0 && b->many[i] > 0) {
			sum += weight[i] * (a->one[i] / b->one[i] + 2 * a->many[i] / b->many[i]);
			all += 3 * weight[i];
		}
	return all > 0 ? sum / all : 1;
}

/* The way through another pool takes time, too: states are copied, weights are read twice a step.
 * Where there was no time to measure it, flash attention reads faster on most machines. */
static bool reading_pays(const struct measured *on, const struct measured *off)
{
	if (on->read_late > 0 && off->read_late > 0)
		return on->read_late > 1.15 * off->read_late;
	return on->read <= 0 || off->read <= 0 || on->read > 1.15 * off->read;
}

static void describe(struct tuned *t, const struct measured *m, const struct measured *other)
{
	snprintf(t->text, sizeof t->text,
		"flash=%s reads=%s ubatch=%u threads=%u; tokens/s beside %u/%u/%u cells: "
		"1 text %.0f/%.0f/%.0f, "
		"8 texts %.0f/%.0f/%.0f (flash=%s: 8 texts %.0f/%.0f/%.0f), prompt %.0f, "
		"beside %d cells %.0f (%.0f)",
		t->flash ? "on" : "off", t->reads ? "on" : "off", t->n_ubatch, t->n_threads,
		OCCUPANCY[0], OCCUPANCY[1], OCCUPANCY[2], m->one[0], m->one[1], m->one[2],
		m->many[0], m->many[1], m->many[2], t->flash ? "off" : "on", other->many[0],
		other->many[1], other->many[2], m->read, READ_LATE, m->read_late, other->read_late);
}

enum err llama_tune(struct llama_backend *b, int budget_ms, bool (*stop)(void *arg), void *arg,
	struct tuned *ret)
{
	struct tuner t = { b, NULL, stop, arg, time_mono_ns() + budget_ms * 1000000LL };
	struct measured off, on;
	if (!b->caps.pool[POOL_SHARED].n_cells || b->ctx[POOL_OWN] || b->ctx[POOL_SHARED])
		return ERR_UNSUPPORTED;
	*ret = (struct tuned){ .n_ubatch = b->params[POOL_SHARED].n_ubatch,
		.n_threads = b->facts.n_threads };
	TRY(try_setting(&t, false, &off));
	enum err e = try_setting(&t, true, &on);
	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	/* Half measured counts as far as it goes; a model that cannot do it stays without. */
	ret->flash = !e && advantage(&on, &off) > 1.05;
	ret->reads = !ret->flash && reading_pays(&on, &off);
	const struct measured *best = ret->flash ? &on : &off;
	if (best->read_small > 0.95 * best->read && ret->n_ubatch > SMALL)
		ret->n_ubatch = SMALL;
	describe(ret, best, ret->flash ? &off : &on);
	return OK;
}

bool tuned_read(struct str line, struct tuned *ret)
{
	char z[TUNE_TEXT], flash[4], reads[4];
	*ret = (struct tuned){ 0 };
	if (str_copy(line, z, sizeof z) ||
		sscanf(z, "flash=%3s reads=%3s ubatch=%u threads=%u;", flash, reads,
			&ret->n_ubatch, &ret->n_threads) != 4)
		return false;
	ret->flash = !strcmp(flash, "on");
	ret->reads = !strcmp(reads, "on");
	memcpy(ret->text, z, sizeof z);
	return (ret->flash || !strcmp(flash, "off")) && (ret->reads || !strcmp(reads, "off")) &&
	       ret->n_ubatch >= 16 &&
	       ret->n_ubatch <= 8192 && ret->n_threads >= 1 && ret->n_threads <= 1024;
}

void llama_backend_apply(struct llama_backend *b, const struct tuned *t)
{
	for (int i = 0; i < POOLS; i++) {
		b->params[i].flash_attn_type =
			t->flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
		/* rows of a picture that see each other need one micro-batch, and the reading pool
		 * is slow with the rest of a batch that was divided */
		if (!b->vision && i != POOL_READ)
			b->params[i].n_ubatch = t->n_ubatch < b->params[i].n_batch
							? t->n_ubatch
							: b->params[i].n_batch;
	}
	if (!t->reads) /* where answers are written is as good */
		b->caps.pool[POOL_READ] = (struct engine_pool_caps){ 0 };
	b->params[POOL_READ].flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
	b->facts.flash = t->flash;
	b->caps.n_ubatch = b->params[POOL_OWN].n_ubatch;
}
