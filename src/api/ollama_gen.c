/* POST /api/chat and /api/generate: Ollama's requests in, NDJSON out (wire traces: Ollama
 * docs/api.md). */
#include "api/errors.h"
#include "api/gen.h"
#include "api/pictures.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/time.h"

/* ---- what goes out ---- */

static void begin_line(struct gen *g, struct jw *w, struct buf *out)
{
	char at[TIME_RFC3339_LEN];
	time_rfc3339(time_now_ms(), at);
	jw_init(w, out);
	jw_obj(w);
	jw_kstr(w, "model", str_from(g->shown_model));
	jw_kstr(w, "created_at", str_from(at));
}

static void end_line(struct jw *w, struct buf *out)
{
	jw_end(w);
	(void)buf_add_byte(out, '\n');
}

static void run_metrics(struct gen *g, const struct gen_done *d, struct jw *w)
{
	jw_ki64(w, "total_duration", time_mono_ns() - g->start_ns);
	jw_ki64(w, "load_duration", g->load_ns);
	jw_ki64(w, "prompt_eval_count", d->prompt_tokens);
	jw_ki64(w, "prompt_eval_duration", d->prompt_ns);
	jw_ki64(w, "eval_count", d->answer_tokens);
	jw_ki64(w, "eval_duration", d->answer_ns);
	jw_ki64(w, "cached_tokens", d->cached_tokens);
	gen_origin_json(g, w);
	call_warnings_json(g->c, w);
}

/* [{id, function{index, name, arguments}}]: arguments are an object here. */
static void put_calls(const struct gen *g, struct jw *w)
{
	jw_key(w, "tool_calls");
	jw_arr(w);
	for (size_t i = 0; i < json_array_size(g->calls); i++) {
		const json_t *c = json_array_get(g->calls, i);
		jw_obj(w);
		jw_kstr(w, "id", str_from(json_string_value(json_object_get(c, "id"))));
		jw_key(w, "function");
		jw_obj(w);
		jw_ki64(w, "index", (int64_t)i);
		jw_kstr(w, "name", str_from(json_string_value(json_object_get(c, "name"))));
		jw_key(w, "arguments");
		jw_json(w, json_object_get(c, "arguments"));
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}

static void put_logprobs(struct str list, struct jw *w)
{
	AUTO_JSON json_t *doc = NULL;
	if (!list.len || json_read(list, LIMIT_ANSWER, 8, &doc, NULL))
		return;
	jw_key(w, "logprobs");
	jw_json(w, doc);
}

static void message(const struct gen *g, struct jw *w, struct str content, struct str thinking)
{
	jw_key(w, "message");
	jw_obj(w);
	jw_kstr(w, "role", STR("assistant"));
	jw_kstr(w, "content", content);
	if (thinking.len)
		jw_kstr(w, "thinking", thinking);
	if (g->calls)
		put_calls(g, w);
	jw_end(w);
}

static void chat_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	struct jw w;
	begin_line(g, &w, out);
	message(g, &w, d->thinking || !d->text.len ? STR("") : d->text,
		d->thinking ? d->text : STR_NONE);
	put_logprobs(d->logprobs, &w);
	jw_kbool(&w, "done", false);
	end_line(&w, out);
}

/* What was gathered of an answer in one piece; checked when it came. */
static void whole_logprobs(const struct gen *g, struct jw *w)
{
	if (!g->logprobs.len)
		return;
	jw_key(w, "logprobs");
	jw_raw(w, buf_str(&g->logprobs));
}

/* Calls have a line of their own before the last: whole, and with all that belongs to them. */
static void calls_line(struct gen *g, struct buf *out)
{
	struct jw w;
	begin_line(g, &w, out);
	message(g, &w, STR(""), STR_NONE);
	jw_kbool(&w, "done", false);
	end_line(&w, out);
	json_decref(g->calls); /* said; the last line has none */
	g->calls = NULL;
}

static void chat_end(struct gen *g, const struct gen_done *d, struct str text, struct str thinking,
	struct buf *out)
{
	struct jw w;
	begin_line(g, &w, out);
	message(g, &w, text, thinking);
	whole_logprobs(g, &w);
	jw_kbool(&w, "done", true);
	jw_kstr(&w, "done_reason", str_from(gen_reason_text(d->reason)));
	run_metrics(g, d, &w);
	end_line(&w, out);
}

static void chat_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	if (g->calls)
		calls_line(g, out);
	chat_end(g, d, STR(""), STR_NONE, out);
}

static void chat_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct str text = buf_str(&g->text);
	chat_end(g, d, text.len ? text : STR(""), buf_str(&g->thinking), out);
}

static void generate_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	struct jw w;
	begin_line(g, &w, out);
	jw_kstr(&w, "response", d->thinking || !d->text.len ? STR("") : d->text);
	if (d->thinking)
		jw_kstr(&w, "thinking", d->text);
	put_logprobs(d->logprobs, &w);
	jw_kbool(&w, "done", false);
	end_line(&w, out);
}

static void generate_end(struct gen *g, const struct gen_done *d, struct str text,
	struct str thinking, struct buf *out)
{
	struct jw w;
	begin_line(g, &w, out);
	jw_kstr(&w, "response", text);
	if (thinking.len)
		jw_kstr(&w, "thinking", thinking);
	whole_logprobs(g, &w);
	jw_kbool(&w, "done", true);
	jw_kstr(&w, "done_reason", str_from(gen_reason_text(d->reason)));
	run_metrics(g, d, &w);
	end_line(&w, out);
}

static void generate_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	generate_end(g, d, STR(""), STR_NONE, out);
}

static void generate_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct str text = buf_str(&g->text);
	generate_end(g, d, text.len ? text : STR(""), buf_str(&g->thinking), out);
}

static void failed(struct gen *g, const struct err_info *e, struct buf *out)
{
	(void)g;
	error_ollama(e, out);
	(void)buf_add_byte(out, '\n');
}

/* Clients compare these texts; the two blanks are Ollama's. */
static void explain(struct gen *g, struct err_info *e)
{
	if (e->code == ERR_UNSUPPORTED && strstr(e->detail, "does not support thinking"))
		(void)err_set(
			e, ERR_UNSUPPORTED, "\"%s\" does not support thinking", g->shown_model);
	if (e->code == ERR_UNSUPPORTED && strstr(e->detail, "does not support tools"))
		(void)err_set(
			e, ERR_UNSUPPORTED, "\"%s\" does not support tools", g->shown_model);
	if (e->code == ERR_UNSUPPORTED && strstr(e->detail, "cannot fill in"))
		(void)err_set(
			e, ERR_UNSUPPORTED, "\"%s\" does not support insert", g->shown_model);
	if (e->code == ERR_BUSY || e->code == ERR_QUEUE)
		(void)err_set(e, e->code,
			"server busy, please try again.  maximum pending requests exceeded");
	else if (e->code == ERR_ENGINE && !e->detail[0])
		(void)err_set(e, ERR_ENGINE, "an error was encountered while running the model");
}

static const struct gen_form chat_form = { .stream_type = "application/x-ndjson",
	.delta = chat_delta,
	.done = chat_done,
	.whole = chat_whole,
	.failed = failed,
	.explain = explain };
static const struct gen_form generate_form = { .stream_type = "application/x-ndjson",
	.delta = generate_delta,
	.done = generate_done,
	.whole = generate_whole,
	.failed = failed,
	.explain = explain };

/* ---- load and unload: an empty prompt ---- */

static void loading_line(struct gen *g, const char *reason, struct buf *out)
{
	struct jw w;
	begin_line(g, &w, out);
	if (g->form == &chat_form)
		message(g, &w, STR(""), STR_NONE);
	else
		jw_kstr(&w, "response", STR(""));
	jw_kbool(&w, "done", true);
	jw_kstr(&w, "done_reason", str_from(reason));
	call_warnings_json(g->c, &w);
	end_line(&w, out);
}

/* One object, also where a stream was asked for. */
static void reply_loading(struct gen *g, const char *reason)
{
	AUTO_BUF struct buf out = BUF(16 * 1024);
	loading_line(g, reason, &out);
	call_json(g->c, 200, &out);
}

static void on_loaded(const struct fleet_event *e, void *arg)
{
	struct gen *g = arg;
	if (e->kind != FLEET_DONE && e->kind != FLEET_FAILED)
		return;
	if (e->kind == FLEET_DONE) {
		reply_loading(g, "load");
	} else {
		(void)err_set(&g->c->info, e->failed.code, "%.*s", STR_ARG(e->failed.detail));
		call_error(g->c, e->failed.code);
	}
	http_release(g->c->q);
}

static void nobody_waits(void *arg)
{
	(void)arg; /* a model that is being loaded stays loaded */
}

static enum err load_or_unload(struct gen *g)
{
	struct call *c = g->c;
	g->target.require_gpu = g->options.of.require_gpu;
	if (g->target.keep_alive_ms == 0) {
		if (fleet_is_pinned(c->app->fleet, g->target.digest))
			call_warn(c, "the model is pinned: it stays loaded");
		fleet_unload(c->app->fleet, g->target.digest);
		reply_loading(g, "unload");
		return OK;
	}
	http_hold(c->q);
	http_later(c->q, nobody_waits, NULL);
	enum err e = fleet_load(c->app->fleet, &g->target, on_loaded, g);
	if (e) {
		(void)err_set(&c->info, e, "%s", err_text(e));
		explain(g, &c->info);
		call_error(c, e);
		http_release(c->q);
	}
	return OK;
}

/* ---- what comes in ---- */

static bool there(const json_t *v) /* present and not an empty value */
{
	if (!v || json_is_null(v) || json_is_false(v))
		return false;
	if (json_is_string(v))
		return json_string_length(v) > 0;
	if (json_is_array(v))
		return json_array_size(v) > 0;
	if (json_is_object(v))
		return json_object_size(v) > 0;
	return true;
}

static enum err cannot(struct gen *g, const char *what)
{
	return err_set(
		&g->c->info, ERR_UNSUPPORTED, "\"%s\" does not support %s", g->shown_model, what);
}

static enum err read_think(struct gen *g, const json_t *v, struct gen_request *r)
{
	static const struct {
		const char *word;
		enum gen_think think;
	} levels[] = { { "low", THINK_LOW }, { "medium", THINK_MEDIUM }, { "high", THINK_HIGH } };
	r->think_required = true;
	if (!v || json_is_null(v))
		return OK;
	if (json_is_boolean(v)) {
		r->think = json_is_true(v) ? THINK_ON : THINK_OFF;
		return OK;
	}
	for (size_t i = 0; json_is_string(v) && i < sizeof levels / sizeof levels[0]; i++)
		if (strcmp(levels[i].word, json_string_value(v)) == 0) {
			r->think = levels[i].think;
			return OK;
		}
	if (json_is_string(v) && !json_string_length(v))
		return OK;
	return err_set(&g->c->info, ERR_INVALID,
		"invalid think value: \"%.40s\" (must be \"high\", \"medium\", \"low\", true, or "
		"false)",
		json_is_string(v) ? json_string_value(v) : "");
}

static enum err read_format(struct gen *g, const json_t *v, struct gen_request *r)
{
	struct call *c = g->c;
	if (!there(v))
		return OK;
	if (json_is_string(v)) {
		if (strcmp(json_string_value(v), "json") != 0)
			return err_set(&c->info, ERR_INVALID,
				"invalid format: \"%.40s\"; expected \"json\" or "
				"a JSON schema",
				json_string_value(v));
		r->schema = STR("json");
		return OK;
	}
	if (!json_is_object(v))
		return err_set(&c->info, ERR_INVALID,
			"invalid format: expected \"json\" or a JSON schema");
	return gen_json_text(c, v, &r->schema);
}

/* Not Ollama's: GBNF in the place of a format. */
static enum err read_grammar(struct gen *g, const json_t *body, struct gen_request *r)
{
	TRY(json_want_str(body, "grammar", false, &r->grammar, &g->c->info));
	return r->grammar.ptr && !r->grammar.len
		       ? err_set(&g->c->info, ERR_INVALID, "grammar: is empty")
		       : OK;
}

/* What both requests have in common. */
static enum err read_common(struct gen *g, const json_t *body, struct gen_request *r)
{
	struct call *c = g->c;
	bool stream = true, shift = true, truncate = false;
	if (there(json_object_get(body, "_debug_render_only")))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"_debug_render_only is not supported: prompts are not shown");
	TRY(json_want_bool(body, "stream", false, &stream, &c->info));
	TRY(json_want_bool(body, "truncate", false, &truncate, &c->info));
	TRY(json_want_bool(body, "shift", false, &shift, &c->info));
	if (json_is_true(json_object_get(body, "shift")))
		call_warn(c, "\"shift\" is ignored: an answer ends where the context is full");
	g->stream = stream;
	r->truncate = truncate;
	TRY(options_ollama(c, json_object_get(body, "options"), &g->options));
	TRY(options_run(c, body, &g->options));
	TRY(options_keep_alive(c, json_object_get(body, "keep_alive"), &g->target.keep_alive_ms));
	TRY(read_format(g, json_object_get(body, "format"), r));
	TRY(read_grammar(g, body, r));
	TRY(read_think(g, json_object_get(body, "think"), r));
	return gen_logprobs(c, body, r);
}

static enum err begin(struct call *c, const char *what, const struct gen_form *form,
	json_t **ret_body, struct gen **ret)
{
	struct str model = STR_NONE;
	TRY(call_body(c, ret_body));
	TRY(json_want_str(*ret_body, "model", false, &model, &c->info));
	if (!model.len)
		TRY(json_want_str(*ret_body, "name", false, &model, &c->info));
	if (!model.len)
		return err_set(&c->info, ERR_INVALID, "model is required");
	return gen_new(c, model, what, form, ret);
}

static enum err read_message_tools(
	struct call *c, const json_t *m, size_t i, struct gen_messages *out)
{
	struct str name = STR_NONE, id = STR_NONE, thinking = STR_NONE;
	if (json_want_str(m, "tool_name", false, &name, NULL) ||
		json_want_str(m, "tool_call_id", false, &id, NULL) ||
		json_want_str(m, "thinking", false, &thinking, NULL))
		return err_set(&c->info, ERR_INVALID,
			"messages[%zu]: tool_name, tool_call_id and thinking must be strings", i);
	if (name.len)
		jw_kstr(&out->w, "name", name);
	if (id.len)
		jw_kstr(&out->w, "tool_call_id", id);
	if (thinking.len)
		jw_kstr(&out->w, "reasoning_content", thinking);
	return there(json_object_get(m, "tool_calls"))
		       ? gen_message_calls(c, out, json_object_get(m, "tool_calls"), i)
		       : OK;
}

/* Pictures `from` to `to` stand before the text, as Ollama puts them. */
static void begin_message(struct gen_messages *out, struct str role, struct str content,
	unsigned from, unsigned to, struct str share)
{
	AUTO_PARTS struct gen_parts parts = { 0 };
	if (from == to) {
		gen_message_begin(out, role, content, share);
		return;
	}
	gen_parts_init(&parts);
	for (; from < to; from++)
		gen_parts_picture(&parts, from);
	gen_parts_text(&parts, content);
	gen_message_begin_parts(out, role, &parts, share);
}

static enum err read_message(struct gen *g, const json_t *m, size_t i, struct gen_messages *out,
	struct pictures *pictures)
{
	static const char *const roles[] = { "system", "user", "assistant", "tool" };
	struct call *c = g->c;
	struct str role = STR_NONE, content = STR(""), share;
	char where[48];
	if (!json_is_object(m))
		return err_set(&c->info, ERR_INVALID, "messages[%zu] must be an object", i);
	if (json_want_str(m, "role", true, &role, NULL))
		return err_set(&c->info, ERR_INVALID, "messages[%zu].role must be a string", i);
	if (json_want_str(m, "content", false, &content, NULL))
		return err_set(&c->info, ERR_INVALID, "messages[%zu].content must be a string", i);
	unsigned before = pictures->n;
	TRY(pictures_add_list(pictures, json_object_get(m, "images"), i));
	snprintf(where, sizeof where, "messages[%zu].share", i);
	TRY(gen_share(g, m, where, &share));
	for (size_t k = 0; k < sizeof roles / sizeof roles[0]; k++)
		if (str_eq(role, str_from(roles[k]))) {
			begin_message(out, role, content, before, pictures->n, share);
			TRY(read_message_tools(c, m, i, out));
			gen_message_end(out);
			return OK;
		}
	return err_set(&c->info, ERR_INVALID,
		"invalid role: %.*s, must be one of [system, user, assistant, "
		"tool]",
		(int)(role.len < 40 ? role.len : 40), role.ptr);
}

static bool has_system(const json_t *messages)
{
	size_t i;
	json_t *m;
	json_array_foreach((json_t *)(uintptr_t)messages, i, m)
	{
		const char *role = json_string_value(json_object_get(m, "role"));
		if (role && strcmp(role, "system") == 0)
			return true;
	}
	return false;
}

enum err ollama_chat(struct call *c)
{
	json_t *body, *messages = NULL, *m;
	struct gen *g;
	struct gen_request r = { .kind = GEN_CHAT };
	struct gen_messages *out;
	struct pictures *pictures;
	size_t i;
	TRY(begin(c, "chat", &chat_form, &body, &g));
	TRY(json_want_arr(body, "messages", false, &messages, &c->info));
	TRY(read_common(g, body, &r));
	if (there(json_object_get(body, "tools")))
		TRY(gen_json_text(c, json_object_get(body, "tools"), &r.tools));
	if (!messages || json_array_size(messages) == 0)
		return load_or_unload(g);
	TRY(gen_messages_new(c, &out));
	gen_messages_of_model(g, out, has_system(messages));
	TRY(pictures_new(c, &pictures));
	json_array_foreach(messages, i, m) TRY(read_message(g, m, i, out, pictures));
	if (pictures->n && !g->model.projector_digest[0])
		return cannot(g, "vision");
	pictures_give(pictures, &r);
	r.input = gen_messages_end(out);
	TRY(out->buf.err);
	return gen_start(g, &r);
}

static enum err read_generate_only(
	struct gen *g, const json_t *body, bool raw, struct pictures *pictures)
{
	static const char *const of_pictures[] = { "width", "height", "steps" };
	struct call *c = g->c;
	for (size_t i = 0; i < sizeof of_pictures / sizeof *of_pictures; i++)
		if (there(json_object_get(body, of_pictures[i])))
			call_warn(c, "\"%s\" has no effect: no model here makes pictures",
				of_pictures[i]);
	if (raw && (there(json_object_get(body, "template")) ||
			   there(json_object_get(body, "system")) ||
			   there(json_object_get(body, "context"))))
		return err_set(&c->info, ERR_INVALID,
			"raw mode does not support template, system, or context");
	struct str template_ = STR_NONE;
	TRY(json_want_str(body, "template", false, &template_, &c->info));
	if (template_.len > LIMIT_TEMPLATE)
		return err_set(&c->info, ERR_INVALID, "\"template\" is longer than %d bytes",
			LIMIT_TEMPLATE);
	if (template_.len)
		g->template_ = template_;
	TRY(pictures_add_list(pictures, json_object_get(body, "images"), 0));
	if (pictures->n && !g->model.projector_digest[0])
		return cannot(g, "vision");
	if (pictures->n && raw)
		return err_set(&c->info, ERR_INVALID, "raw mode does not support images");
	if (there(json_object_get(body, "context")))
		call_warn(
			c, "\"context\" is ignored: it is deprecated; use /api/chat with messages");
	return OK;
}

/* Without the template: a text that goes on, or with a suffix what stands before that. */
static enum err start_text(struct gen *g, struct gen_request *r, struct str prompt,
	struct str suffix, const struct pictures *pictures)
{
	if (suffix.len && pictures->n)
		return err_set(&g->c->info, ERR_INVALID, "suffix does not go with images");
	r->kind = suffix.len ? GEN_INFILL : GEN_PROMPT;
	r->raw = !suffix.len;
	r->input = prompt;
	r->suffix = suffix;
	return gen_start(g, r);
}

enum err ollama_generate(struct call *c)
{
	json_t *body;
	struct gen *g;
	struct gen_request r = { .kind = GEN_CHAT };
	struct gen_messages *out;
	struct str prompt = STR(""), system = STR(""), suffix = STR(""), share;
	struct pictures *pictures;
	bool raw = false;
	TRY(begin(c, "generate", &generate_form, &body, &g));
	TRY(pictures_new(c, &pictures));
	TRY(json_want_str(body, "prompt", false, &prompt, &c->info));
	TRY(json_want_str(body, "system", false, &system, &c->info));
	TRY(json_want_str(body, "suffix", false, &suffix, &c->info));
	TRY(json_want_bool(body, "raw", false, &raw, &c->info));
	TRY(read_common(g, body, &r));
	TRY(read_generate_only(g, body, raw, pictures));
	TRY(gen_share(g, body, "share", &share));
	if (share.len && (raw || !system.len))
		call_warn(c, "\"share\" has no effect: it is for \"system\", which is not there");
	if (suffix.len && system.len)
		call_warn(c, "\"system\" has no effect together with \"suffix\"");
	if (!prompt.len && !suffix.len)
		return load_or_unload(g);
	if (raw || suffix.len)
		return start_text(g, &r, prompt, suffix, pictures);
	TRY(gen_messages_new(c, &out));
	if (system.len)
		gen_message_add(out, STR("system"), system, share);
	gen_messages_of_model(g, out, system.len > 0);
	begin_message(out, STR("user"), prompt, 0, pictures->n, STR_NONE);
	gen_message_end(out);
	pictures_give(pictures, &r);
	r.input = gen_messages_end(out);
	TRY(out->buf.err);
	return gen_start(g, &r);
}
