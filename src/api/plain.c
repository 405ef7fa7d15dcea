/* /healthz and /metrics. */
#include "api/call.h"

#include <inttypes.h>
#include <malloc.h>

#include "base/time.h"
#include "models/fleet.h"
#include "store/db.h"

enum { METRICS_MAX = 256 * 1024, LOADED_MAX = 32 };

enum err health(struct call *c)
{
	if (db_damaged(c->app->db)) {
		http_reply(
			c->q, 503, "text/plain; charset=utf-8", STR("the database is damaged\n"));
		return OK;
	}
	http_reply(c->q, 200, "text/plain; charset=utf-8", STR("ok\n"));
	return OK;
}

static void metric(struct buf *b, const char *name, const char *kind, const char *help)
{
	(void)buf_addf(b, "# HELP tresor_%s %s\n# TYPE tresor_%s %s\n", name, help, name, kind);
}

static void one(struct buf *b, const char *name, const char *kind, const char *help, uint64_t v)
{
	metric(b, name, kind, help);
	(void)buf_addf(b, "tresor_%s %" PRIu64 "\n", name, v);
}

static void requests(struct call *c, struct buf *b)
{
	static const char *const apis[] = { "team", "ollama", "openai", "anthropic", "plain",
		"page" };
	struct api_state *s = c->app->state;
	metric(b, "requests_total", "counter", "Requests by API.");
	for (size_t i = 0; i < sizeof apis / sizeof apis[0]; i++)
		(void)buf_addf(b, "tresor_requests_total{api=\"%s\"} %" PRIu64 "\n", apis[i],
			(uint64_t)s->requests[i]);
	metric(b, "errors_total", "counter", "Requests that ended with an error, by its slug.");
	for (int e = 1; e < ERR_COUNT_; e++)
		if (s->errors[e])
			(void)buf_addf(b, "tresor_errors_total{slug=\"%s\"} %" PRIu64 "\n",
				err_slug((enum err)e), (uint64_t)s->errors[e]);
	one(b, "refused_total", "counter",
		"Requests refused for want of a right or a good credential.", s->refused);
}

static void connections(struct call *c, struct buf *b)
{
	struct http_stats st;
	if (!c->app->http)
		return;
	http_stats(c->app->http, &st);
	one(b, "http_requests_total", "counter", "Requests whose head was read.", st.requests);
	one(b, "http_sent_bytes_total", "counter", "Bytes of bodies sent.", st.bytes_out);
	one(b, "http_connections", "gauge", "Open connections.", st.connections);
	one(b, "http_streams", "gauge", "Open streams.", st.streams);
}

/* Names of models may hold quotes and backslashes only through a bug; escape all the same. */
static void label(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			(void)buf_add_byte(b, '\\');
		(void)buf_add_byte(b, *s == '\n' ? ' ' : *s);
	}
}

static void engine_gauge(struct buf *b, const char *name, const char *help,
	const struct fleet_loaded *l, size_t n, uint64_t (*get)(const struct fleet_loaded *))
{
	metric(b, name, "gauge", help);
	for (size_t i = 0; i < n; i++) {
		(void)buf_addf(b, "tresor_%s{model=\"", name);
		label(b, l[i].name);
		(void)buf_addf(b, "\"} %" PRIu64 "\n", get(&l[i]));
	}
}

static uint64_t get_active(const struct fleet_loaded *l)
{
	return l->active;
}
static uint64_t get_waiting(const struct fleet_loaded *l)
{
	return l->waiting;
}
static uint64_t get_model_bytes(const struct fleet_loaded *l)
{
	return l->model_bytes;
}
static uint64_t get_kv_bytes(const struct fleet_loaded *l)
{
	return l->kv_bytes;
}
static uint64_t get_context(const struct fleet_loaded *l)
{
	return l->n_ctx;
}

static void engines(struct call *c, struct buf *b)
{
	struct fleet_loaded l[LOADED_MAX];
	struct fleet_totals t;
	size_t n = fleet_list(c->app->fleet, l, LOADED_MAX);
	fleet_totals(c->app->fleet, &t);
	one(b, "prompt_tokens_total", "counter", "Prompt tokens read.", t.tokens_in);
	one(b, "answer_tokens_total", "counter", "Answer tokens made.", t.tokens_out);
	one(b, "generations_total", "counter", "Generations asked for.", t.requests);
	one(b, "generations_failed_total", "counter", "Generations that failed.", t.failed);
	one(b, "engine_crashes_total", "counter", "Engines that died.", t.crashes);
	one(b, "generations_active", "gauge", "Generations running.", t.active);
	one(b, "generations_waiting", "gauge", "Generations in the queue.", t.waiting);
	one(b, "engines", "gauge", "Models loaded.", n);
	engine_gauge(b, "engine_active", "Generations running on this engine.", l, n, get_active);
	engine_gauge(
		b, "engine_waiting", "Generations waiting for this engine.", l, n, get_waiting);
	engine_gauge(b, "engine_model_bytes", "Memory of the weights.", l, n, get_model_bytes);
	engine_gauge(b, "engine_kv_bytes", "Memory of the KV cache.", l, n, get_kv_bytes);
	engine_gauge(b, "engine_context_tokens", "Context size.", l, n, get_context);
}

enum err metrics(struct call *c)
{
	AUTO_BUF struct buf b = BUF(METRICS_MAX);
	struct mallinfo2 m = mallinfo2();
	metric(&b, "build_info", "gauge", "Version and build.");
	(void)buf_addf(&b, "tresor_build_info{version=\"");
	label(&b, c->app->config.version);
	(void)buf_addf(&b, "\",build=\"");
	label(&b, c->app->config.build ? c->app->config.build : "");
	(void)buf_addf(&b, "\"} 1\n");
	one(&b, "uptime_seconds", "gauge", "Since the server role started.",
		(uint64_t)(time_now_ms() - c->app->state->start_ms) / 1000);
	one(&b, "server_heap_bytes", "gauge", "Heap in use by the server role.",
		m.uordblks + m.hblkhd);
	requests(c, &b);
	connections(c, &b);
	engines(c, &b);
	TRY(b.err);
	http_reply(c->q, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
	return OK;
}
