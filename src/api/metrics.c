/* /metrics: engines, by model and class of request. */
#include "api/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "models/fleet.h"

static const char *const classes[STATS_CLASSES] = { "interactive", "workflow", "batch" };

/* Names of models may hold quotes and backslashes only through a bug; escape all the same. */
void metric_label(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			(void)buf_add_byte(b, '\\');
		(void)buf_add_byte(b, *s == '\n' ? ' ' : *s);
	}
}

/* The same model under another build than the current one is a series of its own. */
static void sample(struct buf *b, const char *name, const struct fleet_status *s)
{
	(void)buf_addf(b, "tresor_%s{model=\"", name);
	metric_label(b, s->name);
	(void)buf_add_byte(b, '"');
	if (s->old_engine)
		(void)buf_addf(b, ",engine=\"%s\"", s->engine);
}

/* ---- a figure a model ---- */

#define GET(name, expr)                                                                            \
	static uint64_t get_##name(const struct fleet_status *s)                                   \
	{                                                                                          \
		return (uint64_t)(expr);                                                           \
	}
static uint64_t sum(const unsigned *n)
{
	return (uint64_t)n[0] + n[1] + n[2];
}
GET(active, sum(s->running))
GET(waiting, sum(s->waiting))
GET(model, s->model_bytes)
GET(kv, s->kv_bytes)
GET(resident, s->resident_bytes)
GET(context, s->n_ctx)
GET(loaded, s->state == FLEET_READY)
GET(pinned, s->pinned)
GET(loads, s->loads)
GET(load_ms, s->load_ms)
GET(crashes, s->crashes)
GET(requests, s->requests)
GET(failed, s->failed)
GET(quarantined, s->quarantined)
GET(read, s->stats.tokens_in)
GET(cached, s->stats.tokens_cached)
GET(made, s->stats.tokens_out)
GET(drafted, s->stats.drafted)
GET(accepted, s->stats.accepted)
GET(preempted, s->stats.preempted)
GET(cells, s->stats.cells)
GET(cells_used, s->stats.cells_used)
#undef GET

static const struct {
	const char *name, *kind, *help;
	uint64_t (*get)(const struct fleet_status *s);
} figures[] = {
	{ "engine_active", "gauge", "Generations running on this engine.", get_active },
	{ "engine_waiting", "gauge", "Generations waiting for this engine.", get_waiting },
	{ "engine_model_bytes", "gauge", "Memory of the weights.", get_model },
	{ "engine_kv_bytes", "gauge", "Memory of the KV cache.", get_kv },
	{ "engine_resident_bytes", "gauge", "Resident memory of the process, measured.",
		get_resident },
	{ "engine_context_tokens", "gauge", "Context size.", get_context },
	{ "engine_cells", "gauge", "Cells of the KV cache.", get_cells },
	{ "engine_cells_used", "gauge", "Cells in use.", get_cells_used },
	{ "model_loaded", "gauge", "1: the model is loaded.", get_loaded },
	{ "model_pinned", "gauge", "1: the model is always loaded.", get_pinned },
	{ "model_loads_total", "counter", "Times the model was loaded.", get_loads },
	{ "model_load_milliseconds", "gauge", "What the last load took.", get_load_ms },
	{ "model_crashes_total", "counter", "Times the model's process died.", get_crashes },
	{ "model_requests_total", "counter", "Generations asked for.", get_requests },
	{ "model_requests_failed_total", "counter", "Generations that failed.", get_failed },
	{ "model_quarantined_total", "counter", "Requests with which the process died alone.",
		get_quarantined },
	{ "model_prompt_tokens_total", "counter", "Prompt tokens that were read.", get_read },
	{ "model_cached_tokens_total", "counter",
		"Prompt tokens found in the prefix cache and not read again.", get_cached },
	{ "model_answer_tokens_total", "counter", "Answer tokens made.", get_made },
	{ "model_drafted_tokens_total", "counter", "Tokens guessed ahead.", get_drafted },
	{ "model_accepted_tokens_total", "counter", "Guessed tokens that were right.",
		get_accepted },
	{ "model_preempted_total", "counter", "Generations put aside for others.",
		get_preempted },
};

/* ---- by class, by tier, histograms ---- */

static void by_class(struct buf *b, const char *name, const char *help,
	const struct fleet_status *s, size_t n, bool running)
{
	metric_head(b, name, "gauge", help);
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < STATS_CLASSES; c++) {
			sample(b, name, &s[i]);
			(void)buf_addf(b, ",class=\"%s\"} %u\n", classes[c],
				running ? s[i].running[c] : s[i].waiting[c]);
		}
}

static void cache_bytes(struct buf *b, const struct fleet_status *s, size_t n)
{
	metric_head(b, "cache_bytes", "gauge", "Prefix cache in use, by tier.");
	for (size_t i = 0; i < n; i++) {
		sample(b, "cache_bytes", &s[i]);
		(void)buf_addf(b, ",tier=\"memory\"} %" PRIu64 "\n", s[i].stats.cache_bytes);
		sample(b, "cache_bytes", &s[i]);
		(void)buf_addf(b, ",tier=\"disk\"} %" PRIu64 "\n", s[i].stats.disk_bytes);
	}
}

/* Buckets are cumulative there, ours are not. Empty histograms are left out. */
static void histogram(struct buf *b, const char *name, const struct fleet_status *s, int class,
	const struct stats_times *t)
{
	char bucket[64], part[64];
	uint64_t so_far = 0;
	snprintf(bucket, sizeof bucket, "%s_bucket", name);
	for (int i = 0; i < STATS_BUCKETS; i++)
		so_far += t->n[i];
	if (!so_far)
		return;
	so_far = 0;
	for (int i = 0; i < STATS_BUCKETS; i++) {
		so_far += t->n[i];
		sample(b, bucket, s);
		(void)buf_addf(b, ",class=\"%s\",le=\"", classes[class]);
		if (i < STATS_BUCKETS - 1)
			(void)buf_addf(b, "%g\"} %" PRIu64 "\n", STATS_BOUNDS_MS[i] / 1000.0,
				so_far);
		else
			(void)buf_addf(b, "+Inf\"} %" PRIu64 "\n", so_far);
	}
	snprintf(part, sizeof part, "%s_sum", name);
	sample(b, part, s);
	(void)buf_addf(b, ",class=\"%s\"} %.6f\n", classes[class], (double)t->sum_us / 1e6);
	snprintf(part, sizeof part, "%s_count", name);
	sample(b, part, s);
	(void)buf_addf(b, ",class=\"%s\"} %" PRIu64 "\n", classes[class], so_far);
}

static void histograms(struct buf *b, const struct fleet_status *s, size_t n)
{
	metric_head(b, "first_token_seconds", "histogram",
		"From a request's arrival at the engine to its first token.");
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < STATS_CLASSES; c++)
			histogram(b, "first_token_seconds", &s[i], c, &s[i].stats.first[c]);
	metric_head(b, "between_tokens_seconds", "histogram",
		"Between two tokens of an answer.");
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < STATS_CLASSES; c++)
			histogram(b, "between_tokens_seconds", &s[i], c,
				&s[i].stats.between[c]);
}

enum err metrics_engines(struct call *c, struct buf *b)
{
	struct fleet_status *s = ARENA_ARRAY(c->arena, struct fleet_status, FLEET_MODELS_MAX);
	struct fleet_totals t;
	size_t n_loaded = 0;
	if (!s)
		return ERR_NOMEM;
	size_t n = fleet_status(c->app->fleet, s, FLEET_MODELS_MAX);
	for (size_t i = 0; i < n; i++)
		n_loaded += s[i].state == FLEET_READY;
	fleet_totals(c->app->fleet, &t);
	metric_one(b, "prompt_tokens_total", "counter", "Prompt tokens of answers that ended.",
		t.tokens_in);
	metric_one(b, "answer_tokens_total", "counter", "Answer tokens made.", t.tokens_out);
	metric_one(b, "generations_total", "counter", "Generations that ended well.", t.requests);
	metric_one(b, "generations_failed_total", "counter", "Generations that failed.", t.failed);
	metric_one(b, "engine_crashes_total", "counter", "Engines that died.", t.crashes);
	metric_one(b, "generations_active", "gauge", "Generations running.", t.active);
	metric_one(b, "generations_waiting", "gauge", "Generations in the queue.", t.waiting);
	metric_one(b, "queue_limit", "gauge", "Generations that may run and wait.", t.queue_max);
	metric_one(b, "queue_bytes", "gauge", "Inputs held for them.", t.queue_bytes);
	metric_one(b, "queue_refused_total", "counter", "Generations refused with 429.",
		t.refused_busy);
	metric_one(b, "engines", "gauge", "Models loaded.", n_loaded);
	for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++) {
		metric_head(b, figures[f].name, figures[f].kind, figures[f].help);
		for (size_t i = 0; i < n; i++) {
			sample(b, figures[f].name, &s[i]);
			(void)buf_addf(b, "} %" PRIu64 "\n", figures[f].get(&s[i]));
		}
	}
	by_class(b, "requests_running", "Generations running, by class.", s, n, true);
	by_class(b, "requests_waiting", "Generations waiting, by class.", s, n, false);
	cache_bytes(b, s, n);
	histograms(b, s, n);
	return OK;
}
