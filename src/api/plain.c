/* /healthz and /metrics. */
#include "api/metrics.h"

#include <inttypes.h>
#include <malloc.h>

#include "base/time.h"
#include "store/db.h"

enum { METRICS_MAX = 4 * 1024 * 1024 };

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

void metric_head(struct buf *b, const char *name, const char *kind, const char *help)
{
	(void)buf_addf(b, "# HELP tresor_%s %s\n# TYPE tresor_%s %s\n", name, help, name, kind);
}

void metric_one(struct buf *b, const char *name, const char *kind, const char *help, uint64_t v)
{
	metric_head(b, name, kind, help);
	(void)buf_addf(b, "tresor_%s %" PRIu64 "\n", name, v);
}

static void requests(struct call *c, struct buf *b)
{
	static const char *const apis[] = { "team", "ollama", "openai", "anthropic", "plain",
		"page" };
	struct api_state *s = c->app->state;
	metric_head(b, "requests_total", "counter", "Requests by API.");
	for (size_t i = 0; i < sizeof apis / sizeof apis[0]; i++)
		(void)buf_addf(b, "tresor_requests_total{api=\"%s\"} %" PRIu64 "\n", apis[i],
			(uint64_t)s->requests[i]);
	metric_head(b, "errors_total", "counter", "Requests that ended with an error, by its slug.");
	for (int e = 1; e < ERR_COUNT_; e++)
		if (s->errors[e])
			(void)buf_addf(b, "tresor_errors_total{slug=\"%s\"} %" PRIu64 "\n",
				err_slug((enum err)e), (uint64_t)s->errors[e]);
	metric_one(b, "refused_total", "counter",
		"Requests refused for want of a right or a good credential.", s->refused);
}

static void connections(struct call *c, struct buf *b)
{
	struct http_stats st;
	if (!c->app->http)
		return;
	http_stats(c->app->http, &st);
	metric_one(b, "http_requests_total", "counter", "Requests whose head was read.", st.requests);
	metric_one(b, "http_sent_bytes_total", "counter", "Bytes of bodies sent.", st.bytes_out);
	metric_one(b, "http_connections", "gauge", "Open connections.", st.connections);
	metric_one(b, "http_streams", "gauge", "Open streams.", st.streams);
}

enum err metrics(struct call *c)
{
	AUTO_BUF struct buf b = BUF(METRICS_MAX);
	struct mallinfo2 m = mallinfo2();
	metric_head(&b, "build_info", "gauge", "Version and build.");
	(void)buf_addf(&b, "tresor_build_info{version=\"");
	metric_label(&b, c->app->config.version);
	(void)buf_addf(&b, "\",build=\"");
	metric_label(&b, c->app->config.build ? c->app->config.build : "");
	(void)buf_addf(&b, "\"} 1\n");
	metric_one(&b, "uptime_seconds", "gauge", "Since the server role started.",
		(uint64_t)(time_now_ms() - c->app->state->start_ms) / 1000);
	metric_one(&b, "server_heap_bytes", "gauge", "Heap in use by the server role.",
		m.uordblks + m.hblkhd);
	requests(c, &b);
	connections(c, &b);
	TRY(metrics_engines(c, &b));
	TRY(b.err);
	http_reply(c->q, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
	return OK;
}
