#include "api/gen.h"

#include "api/aliases.h"
#include "http/route.h"
#include "models/fleet_tokens.h"

#include "base/hex.h"
#include "base/limits.h"
#include "base/time.h"

enum { PIECE_MAX = 256 * 1024, FAILED_MAX = 4 * 1024 * 1024 };

static void free_buf(void *buf)
{
	buf_done(buf);
}

static void free_json(void *json)
{
	json_decref(*(json_t **)json);
}

uint64_t gen_person(const struct subject *s)
{
	return gen_number(str_from(s->person));
}

static enum err own_answer(struct gen *g)
{
	struct arena *a = g->c->arena;
	g->text = g->thinking = g->logprobs = BUF(LIMIT_ANSWER);
	TRY(arena_on_free(a, free_buf, &g->text));
	TRY(arena_on_free(a, free_buf, &g->thinking));
	TRY(arena_on_free(a, free_buf, &g->logprobs));
	return arena_on_free(a, free_json, &g->calls);
}

static void free_own(void *own)
{
	model_own_done(own);
}

/* A model whose texts cannot be read still answers. */
static enum err read_own(struct gen *g)
{
	options_init(&g->options);
	if (model_own_read(g->c->app->models, &g->model, &g->own)) {
		call_warn(g->c, "what this model brings of its own could not be read");
		return OK;
	}
	TRY(arena_on_free(g->c->arena, free_own, &g->own));
	g->template_ = buf_str(&g->own.template_);
	return options_model(g->c, g->own.params, &g->options);
}

enum err gen_model(struct call *c, struct str name, char shown[LIMIT_MODEL_NAME + 1],
	struct model_entry *ret)
{
	if (!name.len) {
		TRY(model_store_default(c->app->models, shown));
		if (!shown[0])
			return err_set(&c->info, ERR_NOT_FOUND, "there is no model yet");
	} else if (str_copy(name, shown, LIMIT_MODEL_NAME + 1)) {
		return err_set(&c->info, ERR_INVALID, "the model's name is too long");
	}
	enum err e = call_model(c, str_from(shown), ret);
	if (e == ERR_NOT_FOUND || e == ERR_INVALID)
		return err_set(&c->info, ERR_NOT_FOUND, "model '%s' not found", shown);
	TRY(e);
	http_set_header(c->q, MODEL_DIGEST_HEADER, str_from(ret->digest));
	return OK;
}

enum err gen_new(struct call *c, struct str model, const char *what, const struct gen_form *form,
	struct gen **ret)
{
	struct gen *g = ARENA_NEW(c->arena, struct gen);
	if (!g)
		return ERR_NOMEM;
	g->c = c;
	g->form = form;
	g->start_ns = time_mono_ns();
	g->created_s = time_now_ms() / 1000;
	TRY(own_answer(g));
	TRY(gen_model(c, model, g->shown_model, &g->model));
	if (g->model.gguf.embedding_model)
		return err_set(&c->info, ERR_UNSUPPORTED, "\"%s\" does not support %s",
			g->shown_model, what);
	if (g->model.starter)
		call_warn(c, "test model, not for real questions");
	TRY(fleet_model_of(&g->model, &g->target));
	g->target.keep_alive_ms = c->app->keep_alive_ms;
	TRY(read_own(g));
	*ret = g;
	return OK;
}

enum err gen_choices(struct gen *g, unsigned n)
{
	struct gen_group *all = ARENA_NEW(g->c->arena, struct gen_group);
	if (!all)
		return ERR_NOMEM;
	pthread_mutex_init(&all->lock, NULL);
	all->n = n;
	g->group = all;
	all->of[0] = g;
	for (unsigned i = 1; i < n; i++) {
		struct gen *one = ARENA_NEW(g->c->arena, struct gen);
		if (!one)
			return ERR_NOMEM;
		*one = *g;
		one->index = i;
		TRY(own_answer(one));
		all->of[i] = one;
	}
	return OK;
}

bool gen_is_last(const struct gen *g)
{
	return !g->group || g->group->ended + 1 == g->group->n;
}

/* ---- events ---- */

/* Who has the stream: one for all of a group. */
static struct gen *front(struct gen *g)
{
	return g->group ? g->group->of[0] : g;
}

static void cancel_all(struct gen *g)
{
	unsigned n = g->group ? g->group->n : 1;
	for (unsigned i = 0; i < n; i++) {
		uint64_t id = g->group ? g->group->of[i]->id : g->id;
		if (id)
			fleet_cancel(g->c->app->fleet, id);
	}
}

static void send_piece(struct gen *g, struct buf *out)
{
	if (out->err || (http_write(g->c->q, buf_str(out)) && !g->detached))
		cancel_all(g);
}

static void on_gone(void *arg)
{
	struct gen *g = arg;
	if (!g->detached)
		cancel_all(g);
}

static void begin_stream(struct gen *g)
{
	g = front(g);
	if (g->streaming)
		return;
	g->streaming = true;
	call_warnings_header(g->c);
	http_stream(g->c->q, 200, g->form->stream_type, on_gone, g);
}

static void warn_begun(struct gen *g, const struct fleet_event *e)
{
	if (g->n_ctx && g->options.of.num_ctx > g->n_ctx)
		call_warn(g->c, "num_ctx %u is more than the %u tokens this model is loaded with",
			g->options.of.num_ctx, g->n_ctx);
	if (e->begun.truncated_tokens)
		call_warn(g->c, "%u tokens of what came first were left out to fit the context",
			e->begun.truncated_tokens);
	if (e->gpu_missed)
		call_warn(g->c, "this model runs on the processor: the GPU has no room for it, or "
				"its engine build cannot use it");
}

static void on_begun(struct gen *g, const struct fleet_event *e)
{
	g->begun = true;
	g->told = e->begun;
	g->load_ns = e->load_ns;
	if (e->engine) {
		g->n_ctx = e->engine->n_ctx;
		(void)!!str_copy(str_sub(e->engine->build, 0, sizeof g->build - 1), g->build,
			sizeof g->build);
		(void)!!str_copy(str_sub(e->engine->template_hash, 0, 64), g->template_hash,
			sizeof g->template_hash);
	}
	if (g->template_.len) {
		uint8_t sum[SHA256_LEN];
		sha256_of(g->template_.ptr, g->template_.len, sum);
		hex_encode(sum, sizeof sum, g->template_hash);
	}
	if (e->build)
		(void)!!str_copy(str_from(e->build), g->engine, sizeof g->engine);
	if (g->engine[0] && !g->index && !g->streaming && !g->detached)
		http_set_header(g->c->q, ENGINE_HEADER, str_from(g->engine));
	if (!g->index)
		warn_begun(g, e);
	if (!g->stream)
		return;
	begin_stream(g);
	if (g->form->begun) {
		/* a prompt that is said again, with every byte escaped */
		AUTO_BUF struct buf out = BUF(PIECE_MAX + 6 * (size_t)LIMIT_HTTP_BODY);
		g->form->begun(g, &out);
		send_piece(g, &out);
	}
}

enum err gen_add_logprobs(struct buf *to, struct str more)
{
	AUTO_JSON json_t *list = NULL;
	if (!more.len)
		return OK;
	TRY(json_read(more, LIMIT_ANSWER, 8, &list, NULL)); /* an engine's word is not taken */
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct jw w;
		(void)buf_add_byte(to, to->len ? ',' : '[');
		jw_init(&w, to);
		jw_json(&w, json_array_get(list, i));
	}
	return to->err;
}

static enum err gather(struct gen *g, const struct gen_delta *d)
{
	if (g->form->gather)
		return g->form->gather(g, d);
	TRY(buf_add(d->thinking ? &g->thinking : &g->text, d->text));
	return gen_add_logprobs(&g->logprobs, d->logprobs);
}

/* Comments in a stream of events, which clients skip: OpenAI's and Anthropic's forms are such.
 * While a model is loaded nothing is sent, so that a failure still gets its status. */
static void on_queued(struct gen *g, const struct fleet_event *e)
{
	AUTO_BUF struct buf out = BUF(256);
	enum dialect d = g->c->route->dialect;
	if (!g->stream || e->loading || g->index || (d != DIALECT_OPENAI && d != DIALECT_ANTHROPIC))
		return;
	begin_stream(g);
	(void)buf_addf(&out, ": queued, position %u, estimate %lld ms\n\n", e->position,
		(long long)e->estimate_ms);
	send_piece(g, &out);
}

static void on_delta(struct gen *g, const struct gen_delta *d)
{
	g->thinking_tokens += d->thinking ? d->n_tokens : 0;
	if (!d->text.len && !d->logprobs.len)
		return;
	if (!g->stream) {
		enum err e = gather(g, d);
		if (e) {
			g->gathering = e;
			cancel_all(g);
		}
		return;
	}
	AUTO_BUF struct buf out = BUF(PIECE_MAX + 8 * d->text.len + 2 * d->logprobs.len);
	begin_stream(g);
	g->form->delta(g, d, &out);
	send_piece(g, &out);
}

/* Its last event. Whoever called lets the fleet's hold go, when `g` is not needed any more. */
static void finish(struct gen *g)
{
	struct gen *f = front(g);
	bool last = gen_is_last(g) || g->group->failed;
	if (g->group)
		g->group->ended++;
	if (f->streaming && last && !f->finished) {
		f->finished = true;
		http_finish(g->c->q);
	}
	g->over = true;
}

/* True: `g` belongs to somebody else now, who may have ended it already. */
static bool handed_on(struct gen *g, const struct err_info *failed)
{
	if (!g->form->keep)
		return false;
	g->kept = true; /* before: sink() looks at it afterwards */
	g->kept = g->form->keep(g, failed);
	return g->kept;
}

static void tell_failed(struct gen *g, struct err_info *info)
{
	if (front(g)->streaming) {
		AUTO_BUF struct buf out = BUF(FAILED_MAX);
		g->form->failed(g, info, &out);
		(void)!!http_write(g->c->q, buf_str(&out));
	} else if (!g->detached || g->stream) {
		g->c->info = *info;
		call_error(g->c, info->code);
	}
	finish(g);
}

static void on_failed(struct gen *g, struct err_info *info)
{
	if (g->group) {
		g->group->failed = true;
		cancel_all(g);
	}
	if (g->form->explain)
		g->form->explain(g, info);
	if (!handed_on(g, info))
		tell_failed(g, info);
}

static void fail_with(struct gen *g, enum err e, struct str detail)
{
	struct err_info info = { .code = e };
	(void)err_set(&info, e, "%.*s", STR_ARG(detail));
	on_failed(g, &info);
}

/* Calls and warnings of the engine; false: they are not what they should be. */
static bool take_end(struct gen *g, const struct gen_done *d)
{
	struct str rest = d->warnings, line;
	while (rest.len && str_next(&rest, '\n', &line))
		if (line.len)
			call_warn(g->c, "%.*s", STR_ARG(line));
	return !d->calls.len ||
	       (!json_read(d->calls, LIMIT_ANSWER, JSON_DEPTH_DEFAULT + 4, &g->calls, NULL) &&
		       json_is_array(g->calls));
}

static void on_done(struct gen *g, const struct gen_done *d)
{
	size_t n = g->group ? g->group->n : 1;
	AUTO_BUF struct buf out = BUF(n * 2 * LIMIT_ANSWER + PIECE_MAX);
	if (g->gathering) {
		bool long_one = g->gathering == ERR_LIMIT && !g->stream;
		fail_with(g, g->gathering,
			long_one ? STR("the answer is too long; ask for a stream") : STR(""));
		return;
	}
	if (d->reason == GEN_CANCELLED) {
		fail_with(g, ERR_CANCELLED, STR("request canceled"));
		return;
	}
	if (g->logprobs.len)
		(void)buf_add_byte(&g->logprobs, ']');
	if (!take_end(g, d)) {
		fail_with(g, ERR_ENGINE, STR("the engine's tool calls cannot be read"));
		return;
	}
	if (g->group)
		g->group->done[g->index] = (struct gen_done){ .reason = d->reason,
			.prompt_tokens = d->prompt_tokens,
			.cached_tokens = d->cached_tokens,
			.answer_tokens = d->answer_tokens };
	if (g->stream) {
		begin_stream(g);
		g->form->done(g, d, &out);
		(void)!!http_write(g->c->q, buf_str(&out));
	} else if (gen_is_last(g)) {
		g->form->whole(front(g), d, &out);
	}
	if (handed_on(g, NULL))
		return;
	if (!g->stream && gen_is_last(g))
		call_json(g->c, 200, &out);
	finish(g);
}

void gen_end(struct gen *g, const struct buf *out)
{
	struct http_req *q = g->c->q;
	if (g->streaming)
		(void)!!http_write(q, buf_str(out));
	else if (!g->detached || g->stream)
		call_json(g->c, 200, out);
	finish(g);
	http_release(q); /* the fleet's hold; `g` may be gone now */
}

void gen_fail(struct gen *g, struct err_info *info)
{
	struct http_req *q = g->c->q;
	tell_failed(g, info);
	http_release(q);
}

static void on_event(struct gen *g, const struct fleet_event *e)
{
	switch (e->kind) {
	case FLEET_QUEUED:
		on_queued(g, e);
		break;
	case FLEET_EMBEDDED: /* of no generation, as the next two */
	case FLEET_COUNTED:
	case FLEET_TOKENED:
	case FLEET_REWIND:   /* the fleet skips what was sent already */
		break;
	case FLEET_BEGUN:
		on_begun(g, e);
		break;
	case FLEET_DELTA:
		on_delta(g, &e->delta);
		break;
	case FLEET_DONE:
		on_done(g, &e->done);
		break;
	case FLEET_FAILED:
		g->too_long = e->failed.prompt_tokens;
		g->holds = e->failed.context_tokens;
		fail_with(g, e->failed.code, e->failed.detail);
		break;
	}
}

static bool is_end(const struct fleet_event *e)
{
	return e->kind == FLEET_DONE || e->kind == FLEET_FAILED;
}

static void sink(const struct fleet_event *e, void *arg)
{
	struct gen *g = arg;
	struct http_req *q = g->c->q;
	struct gen_group *all = g->group;
	http_hold(q); /* whoever `g` is handed to may let it go before we have looked */
	if (all)
		pthread_mutex_lock(&all->lock);
	if (!all || !all->failed)
		on_event(g, e);
	else if (is_end(e))
		finish(g);
	bool over = !g->kept && g->over;
	if (all)
		pthread_mutex_unlock(&all->lock);
	http_release(q);
	if (over)
		http_release(q); /* the fleet's hold; `g` may be gone now */
}

static void count_sink(const struct fleet_event *e, void *arg)
{
	struct gen *g = arg;
	AUTO_BUF struct buf out = BUF(PIECE_MAX);
	if (e->kind == FLEET_FAILED) {
		fail_with(g, e->failed.code, e->failed.detail);
	} else if (e->kind == FLEET_DONE) {
		fail_with(g, ERR_CANCELLED, STR("request canceled"));
	} else if (e->kind == FLEET_COUNTED) {
		g->form->counted(g, e->counted, &out);
		call_json(g->c, 200, &out);
		finish(g);
	}
	if (g->over)
		http_release(g->c->q);
}

static void fill(struct gen *g, struct gen_request *r)
{
	r->sampling = g->options.of.sampling;
	r->n_stop = g->options.of.n_stop;
	for (unsigned i = 0; i < r->n_stop; i++)
		r->stop[i] = g->options.of.stop[i];
	r->template_ = g->template_;
	r->max_context = g->options.of.num_ctx;
	r->person = gen_person(&g->c->who);
	r->priority = g->options.priority;
	r->deadline_ms = g->options.of.deadline_ms;
	r->temporary = g->options.temporary;
	r->strict = g->options.strict;
	r->has_think_budget = g->options.of.think_budget >= 0;
	r->think_budget = r->has_think_budget ? (uint32_t)g->options.of.think_budget : 0;
	g->target.require_gpu = g->options.of.require_gpu;
}

/* To the fleet: an answer, or only the number of the prompt's tokens. False: it failed, and that
 * was said: after http_later() the answer has to be given here. */
static bool submit(struct gen *g, const struct gen_request *r, bool count)
{
	struct call *c = g->c;
	uint64_t id = 0;
	http_hold(c->q); /* for the fleet, until its last event */
	enum err e = count ? fleet_count(c->app->fleet, &g->target, r, count_sink, g, &id)
			   : fleet_start(c->app->fleet, &g->target, r, sink, g, &id);
	if (!e) {
		g->id = id;
		return true;
	}
	struct err_info info = { .code = e };
	on_failed(g, &info);
	http_release(c->q);
	return false;
}

/* Those that run already may end meanwhile, so each is started under the lock. */
static void submit_group(struct gen_group *all, struct gen_request *r)
{
	int64_t seed = r->sampling.seed;
	for (unsigned i = 0; i < all->n; i++) {
		pthread_mutex_lock(&all->lock);
		r->sampling.seed = seed < 0 ? seed : seed + i;
		all->of[i]->target = all->of[0]->target;
		if (all->failed)
			all->ended++;
		else
			(void)submit(all->of[i], r, false);
		pthread_mutex_unlock(&all->lock);
	}
}

enum err gen_start(struct gen *g, struct gen_request *r)
{
	fill(g, r);
	http_later(g->c->q, on_gone, g);
	if (g->group)
		submit_group(g->group, r);
	else
		(void)submit(g, r, false);
	if (http_gone(g->c->q))
		cancel_all(g);
	return OK;
}

enum err gen_start_detached(struct gen *g, struct gen_request *r)
{
	uint64_t id = 0;
	fill(g, r);
	g->detached = true;
	if (g->stream)
		http_later(g->c->q, on_gone, g);
	http_hold(g->c->q); /* for the fleet, until its last event */
	enum err e = fleet_start(g->c->app->fleet, &g->target, r, sink, g, &id);
	if (e)
		http_release(g->c->q);
	else
		g->id = id;
	return e;
}

enum err gen_count(struct gen *g, struct gen_request *r)
{
	fill(g, r);
	http_later(g->c->q, on_gone, g);
	if (submit(g, r, true) && http_gone(g->c->q))
		cancel_all(g);
	return OK;
}

enum err gen_json_text(struct call *c, const json_t *v, struct str *ret)
{
	AUTO_BUF struct buf text = BUF(LIMIT_HTTP_BODY);
	struct jw w;
	jw_init(&w, &text);
	jw_json(&w, v);
	TRY(text.err);
	char *copy = arena_str(c->arena, buf_str(&text));
	if (!copy)
		return ERR_NOMEM;
	*ret = (struct str){ copy, text.len };
	return OK;
}

enum err gen_logprobs(struct call *c, const json_t *body, struct gen_request *r)
{
	int64_t top = -1;
	c->param = "logprobs";
	TRY(json_want_bool(body, "logprobs", false, &r->logprobs, &c->info));
	c->param = "top_logprobs";
	if (json_want_i64(body, "top_logprobs", false, 0, GEN_TOP_LOGPROBS_MAX, &top, NULL))
		return err_set(&c->info, ERR_INVALID, "top_logprobs must be between 0 and 20");
	if (top > 0 && !r->logprobs)
		return err_set(&c->info, ERR_INVALID, "top_logprobs needs logprobs to be true");
	r->top_logprobs = top > 0 ? (uint8_t)top : 0;
	c->param = NULL;
	return OK;
}

const char *gen_reason_text(enum gen_reason r)
{
	return r == GEN_LENGTH ? "length" : "stop";
}

void gen_origin_json(const struct gen *g, struct jw *w)
{
	jw_kstr(w, "model_digest", str_from(g->model.model_digest));
	if (g->build[0])
		jw_kstr(w, "engine_build", str_from(g->build));
	if (g->engine[0])
		jw_kstr(w, "engine", str_from(g->engine));
	if (g->template_hash[0])
		jw_kstr(w, "template_hash", str_from(g->template_hash));
	if (g->begun)
		jw_ki64(w, "seed", g->told.seed);
}

/* ---- messages ---- */

enum err gen_messages_new(struct call *c, struct gen_messages **ret)
{
	struct gen_messages *m = ARENA_NEW(c->arena, struct gen_messages);
	if (!m)
		return ERR_NOMEM;
	m->buf = BUF(LIMIT_REQUEST_ARENA / 2);
	TRY(arena_on_free(c->arena, free_buf, &m->buf));
	jw_init(&m->w, &m->buf);
	jw_arr(&m->w);
	*ret = m;
	return OK;
}

void gen_parts_init(struct gen_parts *p)
{
	p->buf = BUF(LIMIT_HTTP_BODY);
	jw_init(&p->w, &p->buf);
	jw_arr(&p->w);
}

void gen_parts_text(struct gen_parts *p, struct str text)
{
	if (!text.len)
		return;
	jw_obj(&p->w);
	jw_kstr(&p->w, "text", text);
	jw_end(&p->w);
}

void gen_parts_picture(struct gen_parts *p, unsigned i)
{
	jw_obj(&p->w);
	jw_ki64(&p->w, "picture", i);
	jw_end(&p->w);
}

void gen_parts_done(struct gen_parts *p)
{
	buf_done(&p->buf);
}

static struct jw *message_begin(
	struct gen_messages *m, struct str role, struct str content, bool raw, struct str share)
{
	jw_obj(&m->w);
	jw_kstr(&m->w, "role", role);
	jw_key(&m->w, "content");
	if (raw)
		jw_raw(&m->w, content);
	else
		jw_str(&m->w, content);
	if (share.len)
		jw_kstr(&m->w, "share", share);
	m->any = true;
	m->system |= str_eq(role, STR("system"));
	return &m->w;
}

struct jw *gen_message_begin(
	struct gen_messages *m, struct str role, struct str content, struct str share)
{
	return message_begin(m, role, content, false, share);
}

struct jw *gen_message_begin_parts(
	struct gen_messages *m, struct str role, struct gen_parts *content, struct str share)
{
	jw_end(&content->w);
	if (content->buf.err && !m->buf.err)
		m->buf.err = content->buf.err;
	return message_begin(m, role, buf_str(&content->buf), true, share);
}

void gen_message_end(struct gen_messages *m)
{
	jw_end(&m->w);
}

void gen_message_add(struct gen_messages *m, struct str role, struct str content, struct str share)
{
	gen_message_begin(m, role, content, share);
	gen_message_end(m);
}

/* Arguments go to the template as text of an object, whatever they came as. */
static enum err put_arguments(struct call *c, struct jw *w, const json_t *args, size_t at, size_t i)
{
	AUTO_JSON json_t *doc = NULL;
	AUTO_BUF struct buf text = BUF(LIMIT_HTTP_BODY);
	struct jw inner;
	struct str s = { json_string_value(args), json_string_length(args) };
	if (json_is_string(args) &&
		json_read(s.len ? s : STR("{}"), LIMIT_HTTP_BODY, JSON_DEPTH_DEFAULT, &doc, NULL))
		doc = NULL;
	const json_t *obj = json_is_string(args) ? doc : args;
	if (!json_is_object(obj))
		return err_set(&c->info, ERR_INVALID,
			"messages[%zu].tool_calls[%zu].function.arguments must be a JSON object",
			at, i);
	jw_init(&inner, &text);
	jw_json(&inner, obj);
	TRY(text.err);
	jw_kstr(w, "arguments", buf_str(&text));
	return OK;
}

enum err gen_message_calls(struct call *c, struct gen_messages *m, const json_t *calls, size_t at)
{
	struct jw *w = &m->w;
	if (!json_is_array(calls))
		return err_set(
			&c->info, ERR_INVALID, "messages[%zu].tool_calls must be a list", at);
	jw_key(w, "tool_calls");
	jw_arr(w);
	for (size_t i = 0; i < json_array_size(calls); i++) {
		const json_t *one = json_array_get(calls, i), *f = json_object_get(one, "function");
		struct str id = STR_NONE, name = STR_NONE;
		if (!json_is_object(f) || json_want_str(f, "name", true, &name, NULL) || !name.len)
			return err_set(&c->info, ERR_INVALID,
				"messages[%zu].tool_calls[%zu].function.name must be a string", at,
				i);
		if (json_want_str(one, "id", false, &id, NULL))
			return err_set(&c->info, ERR_INVALID,
				"messages[%zu].tool_calls[%zu].id must be a string", at, i);
		jw_obj(w);
		if (id.len)
			jw_kstr(w, "id", id);
		jw_kstr(w, "type", STR("function"));
		jw_key(w, "function");
		jw_obj(w);
		jw_kstr(w, "name", name);
		TRY(put_arguments(c, w, json_object_get(f, "arguments"), at, i));
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
	return OK;
}

enum err gen_share(struct gen *g, const json_t *of, const char *where, struct str *ret)
{
	struct call *c = g->c;
	const json_t *v = json_object_get(of, "share");
	struct str word = { json_string_value(v), json_is_string(v) ? json_string_length(v) : 0 };
	*ret = STR_NONE;
	if (!v || json_is_null(v) || str_eq(word, STR("person")))
		return OK;
	bool company = str_eq(word, STR("company"));
	if (!company && !str_eq(word, STR("group")))
		return err_set(&c->info, ERR_INVALID,
			"%s must be \"person\", \"group\" or \"company\"", where);
	if (authorize(&c->who, ACTION_CACHE_SHARE, NULL))
		return err_set(&c->info, ERR_FORBIDDEN,
			"%s: only owners and admins may share what is read with others", where);
	if (company)
		*ret = STR("company");
	else
		call_warn(c, "%s: there are no groups yet; it is kept for you alone", where);
	return OK;
}

struct str gen_messages_end(struct gen_messages *m)
{
	jw_end(&m->w);
	return buf_str(&m->buf);
}

static void add_own(void *messages, struct str role, struct str content)
{
	gen_message_add(messages, role, content, STR("company"));
}

void gen_messages_of_model(struct gen *g, struct gen_messages *m, bool request_has_system)
{
	model_own_messages(&g->own, !request_has_system, add_own, m);
}
