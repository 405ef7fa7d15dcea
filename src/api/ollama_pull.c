/* POST /api/pull, /api/push and /api/create: progress as NDJSON lines (Ollama docs/api.md). */
#include "api/call.h"
#include "api/errors.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "models/pull.h"
#include "models/store.h"

struct progress {
	struct http_req *q;
	bool stream, streaming;
	char last_status[80], last_digest[65];
	uint64_t last_completed;
};

static void status_line(const char *status, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "status", str_from(status));
	jw_end(&w);
	(void)buf_add_byte(out, '\n');
}

static void pull_line(const struct pull_progress *p, struct buf *out)
{
	struct jw w;
	char digest[80];
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "status", str_from(p->status));
	if (p->digest[0]) {
		snprintf(digest, sizeof digest, "sha256:%s", p->digest);
		jw_kstr(&w, "digest", str_from(digest));
		jw_ki64(&w, "total", (int64_t)p->total);
		if (p->completed)
			jw_ki64(&w, "completed", (int64_t)p->completed);
	}
	jw_end(&w);
	(void)buf_add_byte(out, '\n');
}

static void write_line(struct http_req *q, struct buf *out)
{
	if (!out->err)
		(void)!!http_write(q, buf_str(out));
}

/* The pull goes on without the client that asked for it, as Ollama's does when others joined. */
static void on_gone(void *arg)
{
	(void)arg;
}

/* The stream begins with the first line, so that what fails at once has a status of its own. */
static void begin_stream(struct progress *p)
{
	if (!p->streaming)
		http_stream(p->q, 200, "application/x-ndjson", on_gone, NULL);
	p->streaming = true;
}

static void end_failed(struct progress *p, const struct err_info *e)
{
	AUTO_BUF struct buf out = BUF(8 * 1024);
	if (p->streaming) {
		error_ollama(e, &out);
		(void)buf_add_byte(&out, '\n');
		write_line(p->q, &out);
	} else {
		const char *type;
		api_error_body(DIALECT_OLLAMA, e, http_request_id(p->q), &out, &type);
		http_reply(p->q, err_http_status(e->code), type, buf_str(&out));
	}
}

/* {"status":"success"}, and what Ollama does not say: the version that the name stood for, when it
 * moved, and the licence of what came. */
static void success(const struct model_kept *kept, const char *licence, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "status", STR("success"));
	if (kept->name[0])
		jw_kstr(&w, "kept", str_from(kept->name));
	if (licence[0])
		jw_kstr(&w, "licence", str_from(licence));
	jw_end(&w);
}

static void end_done(struct progress *p, const struct pull_progress *now)
{
	AUTO_BUF struct buf out = BUF(4096);
	char line[LIMIT_MODEL_NAME + 40];
	if (p->stream && now->kept.name[0]) { /* in words: older clients show each line */
		snprintf(line, sizeof line, "the old version stays as %s", now->kept.name);
		status_line(line, &out);
	}
	success(&now->kept, now->licence, &out);
	if (p->stream) {
		(void)buf_add_byte(&out, '\n');
		begin_stream(p);
		write_line(p->q, &out);
		return;
	}
	http_reply(p->q, 200, "application/json", buf_str(&out));
}

static bool is_news(struct progress *p, const struct pull_progress *now)
{
	bool news = strcmp(p->last_status, now->status) != 0 ||
		    strcmp(p->last_digest, now->digest) != 0 || p->last_completed != now->completed;
	memcpy(p->last_status, now->status, sizeof p->last_status);
	memcpy(p->last_digest, now->digest, sizeof p->last_digest);
	p->last_completed = now->completed;
	return news;
}

/* On the pull's thread. The request is held until the last call. */
static void on_pull(const struct pull_progress *now, void *arg)
{
	struct progress *p = arg;
	if (p->stream && now->state == PULL_RUNNING && now->status[0] && is_news(p, now)) {
		AUTO_BUF struct buf out = BUF(4096);
		pull_line(now, &out);
		begin_stream(p);
		write_line(p->q, &out);
	}
	if (now->state == PULL_RUNNING)
		return;
	if (now->state == PULL_DONE)
		end_done(p, now);
	else
		end_failed(p, &now->error);
	if (p->streaming)
		http_finish(p->q);
	http_release(p->q);
}

static enum err start(struct call *c, bool push)
{
	json_t *body;
	struct pull_request r = { .push = push, .person = c->who.person };
	struct progress *p = ARENA_NEW(c->arena, struct progress);
	char id[ID_LEN + 1];
	uint64_t watch = 0;
	bool stream = true;
	if (!p)
		return ERR_NOMEM;
	TRY(call_body(c, &body));
	TRY(json_want_str(body, "model", false, &r.name, &c->info));
	if (!r.name.len)
		TRY(json_want_str(body, "name", false, &r.name, &c->info));
	if (!r.name.len)
		return err_set(&c->info, ERR_INVALID, "model is required");
	if (!push)
		TRY(json_want_str(body, "as", false, &r.as, &c->info));
	TRY(json_want_bool(body, "insecure", false, &r.insecure, &c->info));
	TRY(json_want_bool(body, "stream", false, &stream, &c->info));
	*p = (struct progress){ .q = c->q, .stream = stream };
	http_hold(c->q); /* until the pull ended */
	http_later(c->q, on_gone, NULL);
	enum err e = pulls_start(c->app->pulls, &r, on_pull, p, id, &watch, &c->info);
	if (e)
		http_release(c->q);
	return e;
}

enum err ollama_pull(struct call *c)
{
	return start(c, false);
}

enum err ollama_push(struct call *c)
{
	return start(c, true);
}

/* ---- create ---- */

struct create {
	struct http_req *q;
	bool stream;
};

static void on_status(const char *line, void *arg)
{
	struct create *s = arg;
	AUTO_BUF struct buf out = BUF(4096);
	if (!s->stream)
		return;
	status_line(line, &out);
	write_line(s->q, &out);
}

/* Made here: it has no other source than the house. The model is there whatever comes of this. */
static void made_by(struct call *c, const json_t *body)
{
	struct str name = STR_NONE;
	enum err e = json_want_str(body, "model", false, &name, NULL);
	if (!e && !name.len)
		e = json_want_str(body, "name", false, &name, NULL);
	if (!e)
		e = model_store_let_in(c->app->models, name, STR_NONE, c->who.person);
	if (e)
		log_warn("who let a model in was not recorded", KV_ERR(e));
}

/* How far it is, with the digest that Ollama's own lines have: its clients draw a bar for each. */
static void on_progress(const char *line, uint64_t done, uint64_t all, void *arg)
{
	struct create *s = arg;
	AUTO_BUF struct buf out = BUF(4096);
	struct jw w;
	if (!s->stream)
		return;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "status", str_from(line));
	jw_kstr(&w, "digest", STR("0000000000000000000"));
	jw_ki64(&w, "total", (int64_t)all);
	jw_ki64(&w, "completed", (int64_t)done);
	jw_end(&w);
	(void)buf_add_byte(&out, '\n');
	write_line(s->q, &out);
}

static bool client_gone(void *arg)
{
	const struct create *s = arg;
	return http_gone(s->q);
}

enum err ollama_create(struct call *c)
{
	json_t *body;
	struct create s = { .q = c->q, .stream = true };
	TRY(call_body(c, &body));
	TRY(json_want_bool(body, "stream", false, &s.stream, &c->info));
	if (s.stream) {
		http_stream(c->q, 200, "application/x-ndjson", on_gone, NULL);
	}
	struct model_kept kept = { .name = "" };
	AUTO_BUF struct buf out = BUF(8 * 1024);
	struct create_watch watch = { on_status, on_progress, client_gone, &s };
	enum err e = model_store_create(c->app->models, body, &watch, &kept, &c->info);
	if (!e)
		made_by(c, body);
	if (!s.stream) {
		TRY(e);
		success(&kept, "", &out);
		http_reply(c->q, 200, "application/json", buf_str(&out));
		return OK;
	}
	if (e) {
		c->info.code = e;
		error_ollama(&c->info, &out);
		(void)buf_add_byte(&out, '\n');
		write_line(c->q, &out);
	}
	http_finish(c->q);
	return OK;
}
