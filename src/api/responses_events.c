/* A streamed Response: its events in the order of OpenAI's, numbered from 0.
 *
 *   created, in_progress,
 *   for each item: output_item.added, [content_part.added,] deltas, their done,
 *                  [content_part.done,] output_item.done
 *   completed | incomplete | failed (after `error`)
 */
#include "api/responses.h"

#include "api/errors.h"

static void begin(struct resp *r, const char *type, struct jw *w, struct buf *out)
{
	(void)buf_addf(out, "event: %s\ndata: ", type);
	jw_init(w, out);
	jw_obj(w);
	jw_kstr(w, "type", str_from(type));
	jw_ki64(w, "sequence_number", r->seq++);
}

static void end(struct jw *w, struct buf *out)
{
	jw_end(w);
	(void)buf_add(out, STR("\n\n"));
}

static void begin_of(
	struct resp *r, const char *type, const struct resp_item *i, struct jw *w, struct buf *out)
{
	begin(r, type, w, out);
	jw_ki64(w, "output_index", i->index);
}

static void event_of_item(struct resp *r, const char *type, const struct resp_item *i, bool empty,
	struct buf *out)
{
	struct jw w;
	begin_of(r, type, i, &w, out);
	jw_key(&w, "item");
	resp_item_json(i, empty, &w);
	end(&w, out);
}

/* What says where in the item it belongs. */
static void begin_in(
	struct resp *r, const char *type, const struct resp_item *i, struct jw *w, struct buf *out)
{
	begin_of(r, type, i, w, out);
	jw_kstr(w, "item_id", str_from(i->id));
	if (i->kind != RESP_CALL)
		jw_ki64(w, "content_index", 0);
}

static bool is_message(const struct resp_item *i)
{
	return i->kind == RESP_MESSAGE;
}

static void event_of_part(struct resp *r, const char *type, const struct resp_item *i,
	struct str text, struct buf *out)
{
	struct jw w;
	begin_in(r, type, i, &w, out);
	jw_key(&w, "part");
	jw_obj(&w);
	jw_kstr(&w, "type", is_message(i) ? STR("output_text") : STR("reasoning_text"));
	jw_kstr(&w, "text", text.len ? text : STR(""));
	if (is_message(i)) {
		jw_key(&w, "annotations");
		jw_raw(&w, STR("[]"));
		jw_key(&w, "logprobs"); /* the deltas had them, the Response has them */
		jw_raw(&w, STR("[]"));
	}
	jw_end(&w);
	end(&w, out);
}

static void open_item(struct resp *r, const struct resp_item *i, struct buf *out)
{
	event_of_item(r, "response.output_item.added", i, true, out);
	event_of_part(r, "response.content_part.added", i, STR(""), out);
}

/* As it was told: without log probabilities. */
static void item_done(struct resp *r, struct resp_item *i, struct buf *out)
{
	struct buf kept = i->logprobs;
	i->logprobs = BUF(0);
	event_of_item(r, "response.output_item.done", i, false, out);
	i->logprobs = kept;
}

static void close_item(struct resp *r, struct resp_item *i, struct buf *out)
{
	struct jw w;
	begin_in(r, is_message(i) ? "response.output_text.done" : "response.reasoning_text.done", i,
		&w, out);
	jw_kstr(&w, "text", i->text.len ? buf_str(&i->text) : STR(""));
	if (is_message(i)) {
		jw_key(&w, "logprobs");
		jw_raw(&w, STR("[]"));
	}
	end(&w, out);
	event_of_part(r, "response.content_part.done", i, buf_str(&i->text), out);
	item_done(r, i, out);
}

static void whole_call(struct resp *r, struct resp_item *i, struct buf *out)
{
	struct jw w;
	event_of_item(r, "response.output_item.added", i, true, out);
	begin_in(r, "response.function_call_arguments.delta", i, &w, out);
	jw_kstr(&w, "delta", buf_str(&i->text));
	end(&w, out);
	begin_in(r, "response.function_call_arguments.done", i, &w, out);
	jw_kstr(&w, "name", str_from(json_string_value(json_object_get(i->call, "name"))));
	jw_kstr(&w, "arguments", buf_str(&i->text));
	end(&w, out);
	item_done(r, i, out);
}

static void event_of_response(struct resp *r, const char *type, struct buf *out)
{
	struct jw w;
	begin(r, type, &w, out);
	jw_key(&w, "response");
	resp_object(r, true, &w);
	end(&w, out);
}

void resp_on_begun(struct gen *g, struct buf *out)
{
	struct resp *r = g->of_form;
	r->created = true;
	event_of_response(r, "response.created", out);
	event_of_response(r, "response.in_progress", out);
}

static void text_delta(struct resp *r, const struct resp_item *i, const struct gen_delta *d,
	struct buf *out)
{
	AUTO_BUF struct buf probs = BUF(LIMIT_ANSWER);
	struct jw w;
	begin_in(r, is_message(i) ? "response.output_text.delta" : "response.reasoning_text.delta",
		i, &w, out);
	jw_kstr(&w, "delta", d->text.len ? d->text : STR(""));
	if (is_message(i)) {
		(void)!!gen_add_logprobs(&probs, d->logprobs); /* was checked when it was kept */
		jw_key(&w, "logprobs");
		jw_arr(&w);
		if (probs.len)
			jw_raw(&w, str_sub(buf_str(&probs), 1, SIZE_MAX));
		jw_end(&w);
	}
	end(&w, out);
}

void resp_on_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	struct resp *r = g->of_form;
	struct resp_item *closed;
	bool opened;
	struct resp_item *i = resp_item_for(r, d->thinking, &closed, &opened);
	enum err e = i ? resp_item_add(r, i, d) : ERR_NOMEM;
	if (e) { /* gen.c ends it */
		g->gathering = e;
		out->err = e;
		return;
	}
	if (closed)
		close_item(r, closed, out);
	if (opened)
		open_item(r, i, out);
	text_delta(r, i, d, out);
}

/* An answer without a word is an empty message, unless it calls. */
static enum err say_something(struct resp *r, struct buf *out)
{
	struct resp_item *closed;
	bool opened;
	if (r->first || json_array_size(r->g->calls))
		return OK;
	struct resp_item *i = resp_item_for(r, false, &closed, &opened);
	if (!i)
		return ERR_NOMEM;
	if (out)
		open_item(r, i, out);
	return OK;
}

void resp_on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct resp *r = g->of_form;
	struct resp_item *calls = NULL;
	enum err e = say_something(r, g->stream ? out : NULL);
	if (!e)
		e = resp_finish(r, d, &calls);
	if (e)
		resp_stopped(r, &(struct err_info){ .code = e });
	if (g->stream && r->open)
		close_item(r, r->open, out);
	for (struct resp_item *i = calls; g->stream && i && !e; i = i->next)
		whole_call(r, i, out);
	r->open = NULL;
}

void resp_on_failed(struct gen *g, const struct err_info *e, struct buf *out)
{
	struct resp *r = g->of_form;
	struct jw w;
	r->status = RESP_IN_PROGRESS;
	if (!r->created) /* a wait in the queue began the stream */
		resp_on_begun(g, out);
	resp_stopped(r, e);
	begin(r, "error", &w, out);
	jw_kstr(&w, "code", str_from(error_openai_code(e->code, NULL)));
	jw_kstr(&w, "message", str_from(e->detail[0] ? e->detail : err_text(e->code)));
	jw_kstr(&w, "param", str_from(g->c->param));
	end(&w, out);
	event_of_response(r, "response.failed", out);
}

void resp_last_event(struct resp *r, struct buf *out)
{
	event_of_response(r,
		r->status == RESP_COMPLETED    ? "response.completed"
		: r->status == RESP_INCOMPLETE ? "response.incomplete"
					       : "response.failed",
		out);
}
