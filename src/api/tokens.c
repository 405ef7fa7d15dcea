/* POST /api/tokenize and /api/detokenize (Ollama's pull request 16820), /tokenize and /detokenize
 * (llama-server): a text's tokens and back, by the engine that also answers.
 *
 * As there, a text gets no marks at its beginning and end unless add_special asks for them, and may
 * name control tokens unless parse_special is false. */
#include "api/gen.h"
#include "base/time.h"
#include "models/fleet_tokens.h"

enum { OUT_MAX = 64 * 1024 * 1024 };

struct ask {
	struct call *c;
	bool ollama, pieces;
	char shown_model[LIMIT_MODEL_NAME + 1];
	struct fleet_model target;
	struct tokens_request q;
	struct buf ids; /* what q.tokens points to */
	_Atomic uint64_t id; /* the fleet's; 0 not yet */
	int64_t start_ns;
};

static void free_buf(void *buf)
{
	buf_done(buf);
}

/* ---- what goes out ---- */

/* A piece is text, or its bytes where it is no whole character. */
static void put_piece(struct jw *w, int32_t id, struct str piece)
{
	jw_obj(w);
	jw_ki64(w, "id", id);
	jw_key(w, "piece");
	if (str_is_utf8(piece)) {
		jw_str(w, piece.len ? piece : STR(""));
	} else {
		jw_arr(w);
		for (size_t i = 0; i < piece.len; i++)
			jw_i64(w, (unsigned char)piece.ptr[i]);
		jw_end(w);
	}
	jw_end(w);
}

static void put_tokens(const struct ask *a, const struct tokens_done *d, struct jw *w)
{
	size_t at = 0;
	jw_key(w, "tokens");
	jw_arr(w);
	for (size_t i = 0; i < d->n; i++) {
		if (a->pieces)
			put_piece(w, d->tokens[i], str_sub(d->bytes, at, (size_t)d->lens[i]));
		else
			jw_i64(w, d->tokens[i]);
		at += (size_t)d->lens[i];
	}
	jw_end(w);
}

static void answer(struct ask *a, const struct fleet_event *e)
{
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	if (a->ollama)
		jw_kstr(&w, "model", str_from(a->shown_model));
	if (!a->q.to_text)
		put_tokens(a, &e->tokened, &w);
	else
		jw_kstr(&w, "content", e->tokened.bytes.len ? e->tokened.bytes : STR(""));
	if (a->ollama) {
		jw_ki64(&w, "total_duration", time_mono_ns() - a->start_ns);
		jw_ki64(&w, "load_duration", e->load_ns);
	}
	call_warnings_json(a->c, &w);
	jw_end(&w);
	call_json(a->c, 200, &out);
}

static void fail(struct ask *a, enum err e, struct str detail)
{
	(void)err_set(
		&a->c->info, e, "%.*s", STR_ARG(detail.len ? detail : str_from(err_text(e))));
	call_error(a->c, e);
}

static void sink(const struct fleet_event *e, void *arg)
{
	struct ask *a = arg;
	if (e->kind == FLEET_TOKENED)
		answer(a, e);
	else if (e->kind == FLEET_FAILED)
		fail(a, e->failed.code, e->failed.detail);
	else if (e->kind == FLEET_DONE)
		fail(a, ERR_CANCELLED, STR("request canceled"));
	else
		return;
	http_release(a->c->q); /* the fleet's hold; `a` may be gone now */
}

static void on_gone(void *arg)
{
	struct ask *a = arg;
	uint64_t id = a->id;
	if (id)
		fleet_cancel(a->c->app->fleet, id);
}

static enum err start(struct ask *a)
{
	struct call *c = a->c;
	uint64_t id = 0;
	http_hold(c->q); /* for the fleet, until the last event */
	http_later(c->q, on_gone, a);
	enum err e = fleet_tokens(c->app->fleet, &a->target, &a->q, sink, a, &id);
	if (e) {
		fail(a, e, STR_NONE); /* http_later() was said: the answer has to be given here */
		http_release(c->q);
		return OK;
	}
	a->id = id;
	if (http_gone(c->q))
		fleet_cancel(c->app->fleet, id);
	return OK;
}

/* ---- what comes in ---- */

/* llama-server has one model, so its clients name none: then the default one is meant. */
static enum err find_model(struct ask *a, const json_t *body)
{
	struct call *c = a->c;
	struct str name = STR_NONE;
	struct model_entry m;
	TRY(json_want_str(body, "model", false, &name, &c->info));
	if (!name.len && a->ollama)
		return err_set(&c->info, ERR_INVALID, "model is required");
	TRY(gen_model(c, name, a->shown_model, &m));
	TRY(fleet_model_of(&m, &a->target));
	a->target.keep_alive_ms = c->app->keep_alive_ms;
	return options_keep_alive(
		c, json_object_get(body, "keep_alive"), &a->target.keep_alive_ms);
}

static enum err begin(struct call *c, bool ollama, json_t **ret_body, struct ask **ret)
{
	struct ask *a = ARENA_NEW(c->arena, struct ask);
	if (!a)
		return ERR_NOMEM;
	a->c = c;
	a->ollama = ollama;
	a->start_ns = time_mono_ns();
	a->ids = BUF(TOKENS_TEXT_MAX * sizeof(int32_t));
	TRY(arena_on_free(c->arena, free_buf, &a->ids));
	TRY(call_body(c, ret_body));
	*ret = a;
	return find_model(a, *ret_body);
}

/* A list of texts and token ids is llama-server's too; its texts are cut one by one there, which
 * one question cannot ask for. */
static enum err to_tokens(struct call *c, bool ollama)
{
	json_t *body;
	struct ask *a;
	TRY(begin(c, ollama, &body, &a));
	a->q.parse_special = true;
	const char *field = "content";
	if (ollama && !json_object_get(body, field)) /* other proposals' name for it */
		field = json_object_get(body, "prompt") ? "prompt" : "text";
	c->param = "content";
	if (json_want_str(body, field, true, &a->q.text, NULL))
		return err_set(&c->info, ERR_INVALID, "content must be a string");
	if (a->q.text.len > TOKENS_TEXT_MAX)
		return err_set(&c->info, ERR_TOO_LARGE, "content may have %d bytes",
			TOKENS_TEXT_MAX);
	c->param = "add_special";
	TRY(json_want_bool(body, "add_special", false, &a->q.add_special, &c->info));
	c->param = "parse_special";
	TRY(json_want_bool(body, "parse_special", false, &a->q.parse_special, &c->info));
	c->param = "with_pieces";
	TRY(json_want_bool(body, "with_pieces", false, &a->pieces, &c->info));
	c->param = NULL;
	return start(a);
}

static enum err to_text(struct call *c, bool ollama)
{
	json_t *body, *list = NULL;
	struct ask *a;
	TRY(begin(c, ollama, &body, &a));
	c->param = "tokens";
	TRY(json_want_arr(body, "tokens", true, &list, &c->info));
	size_t n = json_array_size(list);
	if (n > TOKENS_TEXT_MAX)
		return err_set(&c->info, ERR_TOO_LARGE, "tokens: at most %d", TOKENS_TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);
		int64_t wide = json_is_integer(v) ? json_integer_value(v) : -1;
		int32_t id = (int32_t)wide;
		if (wide < 0 || wide > INT32_MAX)
			return err_set(&c->info, ERR_INVALID,
				"tokens[%zu] must be a whole number from 0", i);
		TRY(buf_add(&a->ids, (struct str){ (const char *)&id, sizeof id }));
	}
	c->param = NULL;
	a->q.to_text = true;
	a->q.tokens = (const int32_t *)(const void *)a->ids.ptr;
	a->q.n_tokens = n;
	return start(a);
}

enum err ollama_tokenize(struct call *c)
{
	return to_tokens(c, true);
}

enum err ollama_detokenize(struct call *c)
{
	return to_text(c, true);
}

enum err llamacpp_tokenize(struct call *c)
{
	return to_tokens(c, false);
}

enum err llamacpp_detokenize(struct call *c)
{
	return to_text(c, false);
}
