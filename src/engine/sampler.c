#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

enum {
	SEEN = 1u << 31,      /* mark in count[]: penalised in this pick already */
	TOP_SORT_FIRST = 256, /* candidates sorted at first when no top_k bounds them */
	MIROSTAT_M = 100,     /* candidates that estimate the exponent (the paper's value) */
};

struct sampler {
	struct gen_sampling o;
	uint32_t n_vocab;
	float mu; /* mirostat */
	/* the last `window` tokens, oldest at `head` once full; count[id] = how often in there */
	int32_t *ring;
	uint32_t *count;
	uint32_t window, used, head;
	struct engine_candidate *c; /* scratch, cap_c of them */
	uint32_t cap_c;
	int32_t *bias; /* n_bias pairs */
	size_t n_bias;
};

struct sampler *sampler_free(struct sampler *s)
{
	if (s) {
		mem_free(s->ring);
		mem_free(s->count);
		mem_free(s->c);
		mem_free(s->bias);
	}
	mem_free(s);
	return NULL;
}

static bool penalties_on(const struct gen_sampling *o)
{
	return o->repeat_last_n != 0 && (o->repeat_penalty != 1.0f || o->presence_penalty != 0.0f ||
						o->frequency_penalty != 0.0f);
}

/* One row an option; both ends are allowed. NaN is in no range. */
static enum err check_options(const struct gen_sampling *o, struct err_info *info)
{
	const struct {
		const char *name;
		double v, min, max;
	} t[] = {
		{ "temperature", o->temperature, 0, 100 },
		{ "top_p", o->top_p, 0, 1 },
		{ "min_p", o->min_p, 0, 1 },
		{ "typical_p", o->typical_p, 0, 1 },
		{ "repeat_penalty", o->repeat_penalty, 0.01, 100 },
		{ "presence_penalty", o->presence_penalty, -100, 100 },
		{ "frequency_penalty", o->frequency_penalty, -100, 100 },
		{ "mirostat_tau", o->mirostat_tau, 0, 100 },
		{ "mirostat_eta", o->mirostat_eta, 0, 100 },
		{ "mirostat", o->mirostat, 0, 2 },
		{ "repeat_last_n", o->repeat_last_n, -1, 1 << 20 },
		{ "top_k", o->top_k, -1, INT32_MAX },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (!(t[i].v >= t[i].min && t[i].v <= t[i].max))
			return err_set(info, ERR_INVALID, "%s must be from %g to %g", t[i].name,
				t[i].min, t[i].max);
	return OK;
}

enum err sampler_new(const struct gen_sampling *o, uint32_t n_vocab, uint32_t n_ctx,
	struct sampler **ret, struct err_info *info)
{
	TRY(check_options(o, info));
	AUTO(sampler) struct sampler *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->o = *o;
	s->n_vocab = n_vocab;
	s->mu = 2 * o->mirostat_tau;
	if (penalties_on(o)) {
		s->window = o->repeat_last_n < 0 ? n_ctx : (uint32_t)o->repeat_last_n;
		if (s->window > n_ctx)
			s->window = n_ctx;
		s->ring = mem_zalloc(s->window, sizeof *s->ring);
		s->count = mem_zalloc(n_vocab, sizeof *s->count);
		if (!s->ring || !s->count)
			return ERR_NOMEM;
	}
	*ret = TAKE(s);
	return OK;
}

enum err sampler_bias(struct sampler *s, const int32_t *pairs, size_t n, struct err_info *info)
{
	for (size_t i = 0; i < n; i++)
		if (pairs[2 * i] < 0 || (uint32_t)pairs[2 * i] >= s->n_vocab)
			return err_set(info, ERR_INVALID, "logit_bias: there is no token %d",
				(int)pairs[2 * i]);
	s->bias = n ? mem_alloc(2 * n * sizeof *s->bias) : NULL;
	if (n && !s->bias)
		return ERR_NOMEM;
	if (n)
		memcpy(s->bias, pairs, 2 * n * sizeof *s->bias);
	s->n_bias = n;
	return OK;
}

void sampler_accept(struct sampler *s, int32_t token)
{
	if (!s->window || token < 0 || (uint32_t)token >= s->n_vocab)
		return;
	if (s->used == s->window)
		s->count[s->ring[s->head]]--;
	else
		s->used++;
	s->ring[s->head] = token;
	s->head = s->head + 1 == s->window ? 0 : s->head + 1;
	s->count[token]++;
}

double sampler_random(uint64_t seed, uint64_t position)
{
	/* Two rounds of SplitMix64's mixer: near seeds and near positions give unrelated numbers.
	 * */
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
	for (int round = 0; round < 2; round++) {
		x += position * 0xd1342543de82ef95u + 0x9e3779b97f4a7c15u;
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
		x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
		x ^= x >> 31;
	}
	return (double)(x >> 11) * 0x1p-53;
}

/* Divides positive and multiplies negative logits by the repeat penalty (dividing a negative one
 * would make it likelier), then takes off what frequency and presence say. */
static void penalise(struct sampler *s, float *logits)
{
	for (uint32_t i = 0; i < s->used; i++) {
		int32_t id = s->ring[i];
		uint32_t n = s->count[id];
		if (n & SEEN)
			continue;
		s->count[id] = n | SEEN;
		float l = logits[id];
		l = l <= 0 ? l * s->o.repeat_penalty : l / s->o.repeat_penalty;
		logits[id] = l - (float)n * s->o.frequency_penalty - s->o.presence_penalty;
	}
	for (uint32_t i = 0; i < s->used; i++)
		s->count[s->ring[i]] &= ~(uint32_t)SEEN;
}

enum { BLOCK = 64, LANES = 16 };

/* The largest of BLOCK values; written so that a compiler makes it LANES wide. NaN never wins. */
static float block_max(const float *l)
{
	float m[LANES];
	for (int j = 0; j < LANES; j++)
		m[j] = -INFINITY;
	for (int i = 0; i < BLOCK; i += LANES)
		for (int j = 0; j < LANES; j++)
			m[j] = l[i + j] > m[j] ? l[i + j] : m[j];
	float best = m[0];
	for (int j = 1; j < LANES; j++)
		best = m[j] > best ? m[j] : best;
	return best;
}

static int32_t arg_max(const float *l, uint32_t n)
{
	float best = -INFINITY;
	int32_t at = -1;
	uint32_t i = 0;
	for (; i + BLOCK <= n; i += BLOCK) {
		if (!(block_max(l + i) > best))
			continue;
		for (uint32_t j = i; j < i + BLOCK; j++)
			if (l[j] > best) {
				best = l[j];
				at = (int32_t)j;
			}
	}
	for (; i < n; i++)
		if (l[i] > best) {
			best = l[i];
			at = (int32_t)i;
		}
	return at;
}

/* Better first; equal logits by id, so that the order never depends on the algorithm. */
static bool better(const struct engine_candidate *a, const struct engine_candidate *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Foreign weights may give anything; NaN fails both. */
static bool finite_logit(float l)
{
	return l >= -FLT_MAX && l <= FLT_MAX;
}

static int by_logit(const void *a, const void *b)
{
	return better(a, b) ? -1 : better(b, a) ? 1 : 0;
}

static int by_p(const void *a, const void *b)
{
	const struct engine_candidate *x = a, *y = b;
	return x->p < y->p ? -1 : x->p > y->p ? 1 : x->id < y->id ? -1 : x->id > y->id;
}

static enum err room(struct sampler *s, uint32_t n)
{
	if (n <= s->cap_c)
		return OK;
	struct engine_candidate *c = mem_realloc(s->c, n * sizeof *c);
	if (!c)
		return ERR_NOMEM;
	s->c = c;
	s->cap_c = n;
	return OK;
}

static void sift_down(struct engine_candidate *h, uint32_t n, uint32_t i)
{
	for (;;) {
		uint32_t worst = i, l = 2 * i + 1, r = l + 1;
		if (l < n && better(&h[worst], &h[l]))
			worst = l;
		if (r < n && better(&h[worst], &h[r]))
			worst = r;
		if (worst == i)
			return;
		struct engine_candidate x = h[i];
		h[i] = h[worst];
		h[worst] = x;
		i = worst;
	}
}

/* Fills s->c with the k best finite candidates, best first; returns how many. A heap whose root is
 * the worst kept; most blocks of the row lie wholly below it and are skipped. */
static uint32_t top(struct sampler *s, const float *l, uint32_t k)
{
	struct engine_candidate *h = s->c;
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->n_vocab; i++) {
		if (n == k && i % BLOCK == 0)
			while (i + BLOCK <= s->n_vocab && !(block_max(l + i) > h[0].logit))
				i += BLOCK;
		if (i >= s->n_vocab)
			break;
		if (!finite_logit(l[i]) || (n == k && !(l[i] > h[0].logit)))
			continue;
		struct engine_candidate c = { .id = (int32_t)i, .logit = l[i] };
		if (n < k) {
			h[n++] = c;
			if (n == k)
				for (uint32_t j = k / 2; j-- > 0;)
					sift_down(h, k, j);
		} else {
			h[0] = c;
			sift_down(h, k, 0);
		}
	}
	qsort(h, n, sizeof *h, by_logit);
	return n;
}

/* All finite candidates, in order of id. */
static uint32_t all(struct sampler *s, const float *l)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->n_vocab; i++)
		if (finite_logit(l[i]))
			s->c[n++] = (struct engine_candidate){ .id = (int32_t)i, .logit = l[i] };
	return n;
}

/* Takes out what the grammar does not allow; the order stays. */
static enum err mask(struct sampler *s, const struct sampler_grammar *g, uint32_t *n)
{
	uint32_t kept = 0, at = *n;
	float also = 0;
	for (uint32_t i = 0; g->also >= 0 && i < *n; i++)
		if (s->c[i].id == g->also) {
			at = i;
			also = s->c[i].logit;
		}
	TRY(g->ops->grammar_mask(g->backend, g->grammar, s->c, *n));
	if (at < *n)
		s->c[at].logit = also;
	for (uint32_t i = 0; i < *n; i++)
		if (s->c[i].logit > -INFINITY)
			s->c[kept++] = s->c[i];
	*n = kept;
	return OK;
}

/* The best `k` allowed candidates (k = n_vocab: all of them, in order of id), at least one.
 * With a grammar the mask is asked for the best few first and for more only when too few pass:
 * a mask over the whole vocabulary costs milliseconds. */
static enum err choose(struct sampler *s, const float *l, uint32_t k,
	const struct sampler_grammar *g, uint32_t *ret_n)
{
	bool masked = g && g->grammar;
	if (k >= s->n_vocab) {
		TRY(room(s, s->n_vocab));
		*ret_n = all(s, l);
		if (*ret_n && masked)
			TRY(mask(s, g, ret_n));
		return *ret_n ? OK : masked ? ERR_INVALID : ERR_ENGINE;
	}
	for (uint64_t ask = k;; ask = ask * 8 < 64 ? 64 : ask * 8) {
		uint32_t m = ask < s->n_vocab ? (uint32_t)ask : s->n_vocab;
		TRY(room(s, m));
		uint32_t n = top(s, l, m), found = n;
		if (!n)
			return ERR_ENGINE;
		if (masked)
			TRY(mask(s, g, &n));
		if (n < k && found == m && m < s->n_vocab)
			continue;
		*ret_n = n < k ? n : k;
		return n ? OK : ERR_INVALID;
	}
}

static float best_logit(const struct engine_candidate *c, uint32_t n)
{
	float best = c[0].logit;
	for (uint32_t i = 1; i < n; i++)
		best = c[i].logit > best ? c[i].logit : best;
	return best;
}

static void softmax(struct engine_candidate *c, uint32_t n)
{
	float best = best_logit(c, n);
	double sum = 0;
	for (uint32_t i = 0; i < n; i++) {
		c[i].p = expf(c[i].logit - best);
		sum += c[i].p;
	}
	for (uint32_t i = 0; i < n; i++)
		c[i].p = (float)(c[i].p / sum);
}

static void swap(struct engine_candidate *a, struct engine_candidate *b)
{
	struct engine_candidate x = *a;
	*a = *b;
	*b = x;
}

/* Brings the m best to the front, sorted (quickselect with a middle pivot, then qsort). */
static void sort_best(struct engine_candidate *c, uint32_t n, uint32_t m)
{
	int64_t lo = 0, hi = (int64_t)n - 1, want = (int64_t)m - 1;
	while (m < n && lo < hi) {
		struct engine_candidate pivot = c[lo + (hi - lo) / 2];
		int64_t i = lo, j = hi;
		while (i <= j) {
			while (better(&c[i], &pivot))
				i++;
			while (better(&pivot, &c[j]))
				j--;
			if (i <= j)
				swap(&c[i++], &c[j--]);
		}
		if (want <= j)
			hi = j;
		else if (want >= i)
			lo = i;
		else
			break;
	}
	qsort(c, m < n ? m : n, sizeof *c, by_logit);
}

/* Keeps those whose surprise lies nearest to the entropy, until they hold `p` of the mass. */
static uint32_t cut_typical(struct engine_candidate *c, uint32_t n, float p)
{
	softmax(c, n);
	double entropy = 0, sum = 0;
	for (uint32_t i = 0; i < n; i++)
		if (c[i].p > 0)
			entropy -= c[i].p * log(c[i].p);
	for (uint32_t i = 0; i < n; i++) /* p now holds the distance; the mass comes back by exp */
		c[i].p = c[i].p > 0 ? (float)fabs(-log(c[i].p) - entropy) : INFINITY;
	float best = best_logit(c, n);
	for (uint32_t i = 0; i < n; i++)
		sum += exp(c[i].logit - best);
	qsort(c, n, sizeof *c, by_p);
	double run = 0;
	uint32_t keep = 0;
	while (keep < n && run <= p)
		run += exp(c[keep++].logit - best) / sum;
	qsort(c, keep, sizeof *c, by_logit);
	return keep;
}

static uint32_t cut_top_p(struct engine_candidate *c, uint32_t n, float p, bool sorted)
{
	softmax(c, n);
	double run = 0;
	for (uint32_t m = sorted ? n : TOP_SORT_FIRST, from = 0;;
		from = m, m = m > n / 8 ? n : m * 8) {
		if (m > n)
			m = n;
		if (!sorted)
			sort_best(c + from, n - from, m - from);
		for (uint32_t i = from; i < m; i++) {
			run += c[i].p;
			if (run >= p)
				return i + 1;
		}
		if (m == n)
			return n;
	}
}

static uint32_t cut_min_p(struct engine_candidate *c, uint32_t n, float p)
{
	float least = best_logit(c, n) + logf(p);
	uint32_t keep = 0;
	for (uint32_t i = 0; i < n; i++)
		if (c[i].logit >= least)
			c[keep++] = c[i];
	return keep;
}

static uint32_t draw(struct engine_candidate *c, uint32_t n, double u)
{
	softmax(c, n);
	double run = 0;
	for (uint32_t i = 0; i + 1 < n; i++) {
		run += c[i].p;
		if (u < run)
			return i;
	}
	return n - 1;
}

/* Relative to the best logit, so that the smallest temperature cannot overflow the likely ones. */
static void heat(struct engine_candidate *c, uint32_t n, float temperature)
{
	float best = best_logit(c, n);
	for (uint32_t i = 0; i < n; i++)
		c[i].logit = (c[i].logit - best) / temperature;
}

/* Mirostat 1: how many candidates give the wanted surprise, by the Zipf exponent of the best. */
static uint32_t mirostat_1_keep(const struct sampler *s, uint32_t n)
{
	double sum_ti_bi = 0, sum_ti_sq = 0;
	for (uint32_t i = 0; i + 1 < n && i + 1 < MIROSTAT_M; i++) {
		double t = log((double)(i + 2) / (double)(i + 1));
		double b = log((double)s->c[i].p / (double)s->c[i + 1].p);
		if (!isfinite(b))
			break;
		sum_ti_bi += t * b;
		sum_ti_sq += t * t;
	}
	if (!(sum_ti_sq > 0))
		return 1;
	double hat = sum_ti_bi / sum_ti_sq, eps = hat - 1;
	double k = pow(eps * pow(2, s->mu) / (1 - pow(s->n_vocab, -eps)), 1 / hat);
	return !(k >= 1) ? 1 : k > n ? n : (uint32_t)k;
}

static enum err pick_mirostat(
	struct sampler *s, float *logits, double u, const struct sampler_grammar *g, int32_t *ret)
{
	uint32_t n, keep = 0;
	TRY(choose(s, logits, s->n_vocab, g, &n));
	heat(s->c, n, s->o.temperature);
	softmax(s->c, n);
	if (s->o.mirostat == 1) {
		sort_best(s->c, n, n);
		keep = mirostat_1_keep(s, n);
	} else {
		uint32_t most = 0;
		for (uint32_t i = 1; i < n; i++)
			if (better(&s->c[i], &s->c[most]))
				most = i;
		swap(&s->c[0], &s->c[most]); /* the most likely one always stays */
		for (keep = 1, most = 1; most < n; most++)
			if (-log2f(s->c[most].p) <= s->mu)
				s->c[keep++] = s->c[most];
	}
	uint32_t at = draw(s->c, keep, u);
	s->mu -= s->o.mirostat_eta * (-log2f(s->c[at].p) - s->o.mirostat_tau);
	*ret = s->c[at].id;
	return OK;
}

double sampler_log_sum(const float *logits, uint32_t n)
{
	float best = -INFINITY;
	double sum = 0;
	for (uint32_t i = 0; i < n; i++)
		best = logits[i] > best ? logits[i] : best;
	if (!finite_logit(best))
		return INFINITY;
	for (uint32_t i = 0; i < n; i++)
		if (finite_logit(logits[i]))
			sum += exp((double)logits[i] - (double)best);
	return (double)best + log(sum);
}

enum err sampler_top(struct sampler *s, const float *logits, uint32_t k,
	const struct engine_candidate **ret, uint32_t *ret_n)
{
	k = k < s->n_vocab ? k : s->n_vocab;
	TRY(room(s, k ? k : 1));
	*ret_n = k ? top(s, logits, k) : 0;
	*ret = s->c;
	return OK;
}

/* One token by all options; `g` NULL: any. */
static enum err pick(
	struct sampler *s, float *logits, double u, const struct sampler_grammar *g, int32_t *ret)
{
	const struct gen_sampling *o = &s->o;
	if (o->temperature <= 0 && !g) {
		int32_t id = arg_max(logits, s->n_vocab);
		if (id < 0)
			return ERR_ENGINE;
		*ret = id;
		return OK;
	}
	if (o->mirostat && o->temperature > 0)
		return pick_mirostat(s, logits, u, g, ret);
	bool bounded = o->top_k > 0 && (uint32_t)o->top_k < s->n_vocab;
	uint32_t n, k = o->temperature <= 0 ? 1 : bounded ? (uint32_t)o->top_k : s->n_vocab;
	TRY(choose(s, logits, k, g, &n));
	bool sorted = k < s->n_vocab;
	if (n > 1 && o->typical_p < 1) {
		n = cut_typical(s->c, n, o->typical_p);
		sorted = true;
	}
	if (n > 1 && o->top_p < 1)
		n = cut_top_p(s->c, n, o->top_p, sorted);
	if (n > 1 && o->min_p > 0)
		n = cut_min_p(s->c, n, o->min_p);
	if (o->temperature > 0)
		heat(s->c, n, o->temperature);
	*ret = s->c[draw(s->c, n, u)].id;
	return OK;
}

enum err sampler_pick(struct sampler *s, float *logits, uint64_t position,
	const struct sampler_grammar *g, int32_t *ret)
{
	const uint64_t second = 0x5851f42d4c957f2du; /* another row of random numbers */
	uint64_t seed = (uint64_t)s->o.seed;
	int32_t id = -1;
	for (size_t i = 0; i < s->n_bias; i++)
		logits[s->bias[2 * i]] += (float)s->bias[2 * i + 1] / 1000;
	penalise(s, logits);
	float mu = s->mu;
	double u = s->o.temperature > 0 ? sampler_random(seed, position) : 0;
	TRY(pick(s, logits, u, NULL, &id));
	if (g && g->grammar && id != g->also) {
		struct engine_candidate one = { .id = id };
		TRY(g->ops->grammar_mask(g->backend, g->grammar, &one, 1));
		if (!(one.logit > -INFINITY)) {
			s->mu = mu;
			TRY(pick(s, logits, sampler_random(seed ^ second, position), g, &id));
		}
	}
	*ret = id;
	return OK;
}
