/* OpenAI's Responses API: an answer is made, told, and kept for whoever asked, who may go on from
 * it, read it again, end it and delete it. */
#include "api/openai.h"
#include "api/responses.h"

#include <stdio.h>

#include "base/log.h"

enum { ITEMS_DEFAULT = 20, ITEMS_MAX = 100 };

/* ---- the end of one that is kept ---- */

static struct str own_id(const struct resp *r)
{
	return str_sub(str_from(r->id), 5, SIZE_MAX);
}

static struct responses *responses_of(const struct resp *r)
{
	return r->g->c->app->responses;
}

static void object_into(struct resp *r, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	resp_object(r, false, &w);
}

static enum err keep_row(struct resp *r, struct str body, bool running)
{
	struct response_row row = { .id = own_id(r),
		.person = str_from(r->g->c->who.person),
		.previous = r->previous[0] ? str_from(r->previous) : STR_NONE,
		.root = str_from(r->root),
		.input = r->input,
		.body = body,
		.running = running };
	return response_add(responses_of(r), &row);
}

static enum err store_end(struct resp *r, const struct buf *body)
{
	if (body->err)
		return body->err;
	if (!r->background)
		return keep_row(r, buf_str(body), false);
	if (r->status == RESP_CANCELLED && responses_closing(responses_of(r)))
		return OK; /* nobody wanted that: responses_recover() says what it was */
	enum err e = response_end(responses_of(r), own_id(r), buf_str(body));
	return e == ERR_NOT_FOUND ? OK : e; /* deleted meanwhile */
}

/* On a thread that may block: first it is durable, then it is told. */
static void store_and_tell(void *arg)
{
	struct resp *r = arg;
	struct gen *g = r->g;
	AUTO_BUF struct buf out = BUF(RESP_BODY_MAX);
	object_into(r, &out);
	enum err e = store_end(r, &out);
	if (e) {
		log_error("an answer could not be kept", KV_ERR(e));
		r->error = (struct err_info){ .code = e };
		(void)err_set(&r->error, e, "the answer could not be kept: %s", err_text(e));
		r->status = RESP_FAILED;
	}
	response_run_end(responses_of(r), &r->run);
	if (r->status == RESP_FAILED || r->status == RESP_CANCELLED) {
		struct err_info info = r->error;
		gen_fail(g, &info);
		return;
	}
	if (g->streaming) {
		buf_clear(&out);
		resp_last_event(r, &out);
	}
	gen_end(g, &out);
}

/* ---- what gen.c tells ---- */

static enum err on_gather(struct gen *g, const struct gen_delta *d)
{
	struct resp *r = g->of_form;
	struct resp_item *closed;
	bool opened;
	struct resp_item *i = resp_item_for(r, d->thinking, &closed, &opened);
	return i ? resp_item_add(r, i, d) : ERR_NOMEM;
}

static void on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct resp *r = g->of_form;
	resp_on_done(g, d, out);
	if (!r->store)
		resp_last_event(r, out);
}

static void on_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct resp *r = g->of_form;
	resp_on_done(g, d, out);
	if (!r->store)
		object_into(r, out);
}

/* One that failed before a word was told is an error of the request, and is not kept. */
static bool on_keep(struct gen *g, const struct err_info *failed)
{
	struct resp *r = g->of_form;
	if (!r->store)
		return false;
	if (failed)
		resp_stopped(r, failed);
	if (failed && !r->background && (!g->streaming || failed->code == ERR_CANCELLED)) {
		response_run_end(responses_of(r), &r->run);
		return false;
	}
	response_run_later(responses_of(r), &r->run, store_and_tell, r);
	return true;
}

static void explain(struct gen *g, struct err_info *e)
{
	static const struct {
		const char *begins, *param;
	} fields[] = { { "schema", "text.format" }, { "tools", "tools" },
		{ "tool_choice", "tool_choice" } };
	if (e->code == ERR_CONTEXT)
		g->c->param = "input";
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (e->code != ERR_CONTEXT &&
			str_starts(str_from(e->detail), str_from(fields[i].begins)))
			g->c->param = fields[i].param;
}

static void on_counted(struct gen *g, uint64_t tokens, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "object", STR("response.input_tokens"));
	jw_ki64(&w, "input_tokens", (int64_t)tokens);
	call_warnings_json(g->c, &w);
	jw_end(&w);
}

static const struct gen_form form = { .stream_type = "text/event-stream",
	.begun = resp_on_begun,
	.delta = resp_on_delta,
	.done = on_done,
	.whole = on_whole,
	.failed = resp_on_failed,
	.explain = explain,
	.counted = on_counted,
	.gather = on_gather,
	.keep = on_keep };

/* ---- POST /v1/responses ---- */

static void free_arena(void *arena)
{
	arena_free(arena);
}

static enum err new_resp(struct call *c, bool count, struct resp **ret, struct gen_request *q)
{
	json_t *body;
	struct gen *g;
	TRY(openai_begin(c, &form, &body, &g));
	struct resp *r = ARENA_NEW(c->arena, struct resp);
	if (!r)
		return ERR_NOMEM;
	g->of_form = r;
	*r = (struct resp){ .g = g, .body = body, .count = count };
	resp_new_id("resp_", r->id);
	TRY(arena_new(LIMIT_REQUEST_ARENA, &r->items));
	enum err e = arena_on_free(c->arena, free_arena, r->items);
	if (e) {
		arena_free(r->items);
		return e;
	}
	TRY(resp_read(r, q));
	*ret = r;
	return OK;
}

/* It is there before the model begins, so that it can be read, and ended, from the first moment. */
static enum err begin_background(struct resp *r, struct gen_request *q)
{
	struct call *c = r->g->c;
	struct responses *all = responses_of(r);
	AUTO_BUF struct buf out = BUF(RESP_BODY_MAX);
	bool stream = r->g->stream;
	object_into(r, &out);
	TRY(out.err);
	if (fleet_is_full(c->app->fleet))
		return ERR_QUEUE;
	TRY(keep_row(r, buf_str(&out), true));
	if (!stream)
		call_warnings_header(c); /* afterwards its end may warn at any time */
	enum err e = gen_start_detached(r->g, q);
	if (e) {
		(void)!!response_discard(all, own_id(r));
		return e;
	}
	response_run_started(all, &r->run, r->g->id);
	if (!stream)
		http_reply(c->q, 200, "application/json", buf_str(&out));
	return OK;
}

static enum err begin(struct resp *r, struct gen_request *q)
{
	struct responses *all = responses_of(r);
	if (!r->store)
		return gen_start(r->g, q);
	TRY(str_copy(own_id(r), r->run.id, sizeof r->run.id));
	TRY(str_copy(str_from(r->g->c->who.person), r->run.person, sizeof r->run.person));
	r->run.background = r->background;
	TRY(response_run_add(all, &r->run));
	if (r->background) {
		enum err e = begin_background(r, q);
		if (e)
			response_run_end(all, &r->run);
		return e;
	}
	TRY(gen_start(r->g, q)); /* what cannot begin is on_keep()'s */
	response_run_started(all, &r->run, r->g->id);
	return OK;
}

enum err openai_responses(struct call *c)
{
	struct gen_request q = { .kind = GEN_CHAT };
	struct resp *r;
	TRY(new_resp(c, false, &r, &q));
	return begin(r, &q);
}

enum err openai_response_count(struct call *c)
{
	struct gen_request q = { .kind = GEN_CHAT };
	struct resp *r;
	TRY(new_resp(c, true, &r, &q));
	r->store = false;
	return gen_count(r->g, &q);
}

/* ---- what is kept ---- */

/* Whose it is was decided before: it is there, or was a moment ago. */
static struct str kept_id(const struct call *c)
{
	return str_sub(http_param(c->q, "id"), 5, SIZE_MAX);
}

static enum err reply_kept(struct call *c)
{
	AUTO_BUF struct buf out = BUF(RESP_BODY_MAX);
	TRY(response_body(c->app->responses, kept_id(c), &out));
	call_json(c, 200, &out);
	return OK;
}

static bool asked(const struct call *c, const char *name)
{
	struct str s = http_query(c->q, name);
	return s.ptr && !str_eq(s, STR("")) && !str_eq(s, STR("false"));
}

static void warn_include(struct call *c)
{
	if (asked(c, "include") || asked(c, "include[]"))
		call_warn(c, "\"include\" has no effect here: all that is kept is told");
}

enum err openai_response(struct call *c)
{
	c->param = "stream";
	if (asked(c, "stream") || asked(c, "starting_after"))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"a kept response is not told as a stream; ask again until it is complete");
	c->param = NULL;
	warn_include(c);
	return reply_kept(c);
}

enum err openai_response_delete(struct call *c)
{
	AUTO_BUF struct buf out = BUF(1024);
	struct jw w;
	TRY(response_delete(c->app->responses, kept_id(c)));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "id", http_param(c->q, "id"));
	jw_kstr(&w, "object", STR("response"));
	jw_kbool(&w, "deleted", true);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err openai_response_cancel(struct call *c)
{
	AUTO_BUF struct buf out = BUF(RESP_BODY_MAX);
	AUTO_JSON json_t *doc = NULL;
	TRY(response_body(c->app->responses, kept_id(c), &out));
	TRY(json_read(buf_str(&out), out.len, LIMIT_JSON_DEPTH + 8, &doc, NULL));
	if (!json_is_true(json_object_get(doc, "background")))
		return err_set(&c->info, ERR_INVALID, "Cannot cancel a synchronous response.");
	enum err e = response_cancel(c->app->responses, kept_id(c));
	if (e)
		return err_set(
			&c->info, e, "the response was cancelled but could not be kept yet");
	return reply_kept(c);
}

/* ---- GET /v1/responses/{id}/input_items ---- */

struct page {
	const json_t *list;
	int64_t limit;
	bool up;         /* the first one first */
	size_t from, n;  /* counted in that order */
};

static const json_t *item_at(const struct page *p, size_t i)
{
	size_t all = json_array_size(p->list);
	return json_array_get(p->list, p->up ? i : all - 1 - i);
}

static struct str id_at(const struct page *p, size_t i)
{
	const json_t *v = json_object_get(item_at(p, i), "id");
	return (struct str){ json_string_value(v), json_string_length(v) };
}

static enum err read_page(struct call *c, struct page *p)
{
	struct str order = http_query(c->q, "order"), after = http_query(c->q, "after");
	size_t all = json_array_size(p->list);
	c->param = "limit";
	TRY(call_query_i64(c, "limit", 1, ITEMS_MAX, &p->limit));
	c->param = "order";
	p->up = str_eq(order, STR("asc"));
	if (order.len && !p->up && !str_eq(order, STR("desc")))
		return err_set(&c->info, ERR_INVALID, "order must be asc or desc");
	c->param = "after";
	if (after.len) {
		while (p->from < all && !str_eq(id_at(p, p->from), after))
			p->from++;
		if (p->from++ == all)
			return err_set(&c->info, ERR_INVALID, "after is no item of this response");
	}
	c->param = NULL;
	p->n = all - p->from < (size_t)p->limit ? all - p->from : (size_t)p->limit;
	return OK;
}

enum err openai_response_input(struct call *c)
{
	AUTO_BUF struct buf text = BUF(RESP_INPUT_MAX + 1024 * 1024), out = BUF(RESP_BODY_MAX);
	AUTO_JSON json_t *list = NULL;
	struct jw w;
	warn_include(c);
	TRY(response_input(c->app->responses, kept_id(c), &text));
	TRY(json_read(buf_str(&text), text.len, LIMIT_JSON_DEPTH, &list, NULL));
	struct page p = { .list = list, .limit = ITEMS_DEFAULT };
	TRY(read_page(c, &p));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "object", STR("list"));
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < p.n; i++)
		jw_json(&w, item_at(&p, p.from + i));
	jw_end(&w);
	jw_kstr(&w, "first_id", p.n ? id_at(&p, p.from) : STR(""));
	jw_kstr(&w, "last_id", p.n ? id_at(&p, p.from + p.n - 1) : STR(""));
	jw_kbool(&w, "has_more", p.from + p.n < json_array_size(list));
	call_warnings_json(c, &w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}
