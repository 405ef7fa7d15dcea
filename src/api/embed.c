#include "api/embed.h"

#include <math.h>
#include <stdio.h>

#include "api/aliases.h"
#include "api/gen.h"
#include "base/hex.h"
#include "base/time.h"

enum {
	ANSWER_MAX = 128 * 1024 * 1024, /* EMBED_VALUES_MAX values in text, and more */
	VALUE_TEXT_MAX = 32,
};

static void free_buf(void *buf)
{
	buf_done(buf);
}

enum err embed_new(struct call *c, struct str model, struct embed_call **ret)
{
	struct embed_call *e = ARENA_NEW(c->arena, struct embed_call);
	if (!e)
		return ERR_NOMEM;
	e->c = c;
	e->start_ns = time_mono_ns();
	e->texts = e->tokens = BUF(LIMIT_HTTP_BODY);
	e->lens = ARENA_ARRAY(c->arena, int32_t, EMBED_INPUTS_MAX);
	TRY(arena_on_free(c->arena, free_buf, &e->texts));
	TRY(arena_on_free(c->arena, free_buf, &e->tokens));
	if (!e->lens)
		return ERR_NOMEM;
	if (!model.len)
		return err_set(&c->info, ERR_INVALID, "model is required");
	TRY(gen_model(c, model, e->shown_model, &e->model));
	TRY(fleet_model_of(&e->model, &e->target));
	e->target.projector[0] = '\0'; /* of no use for vectors */
	e->target.keep_alive_ms = c->app->keep_alive_ms;
	e->r.person = gen_person(&c->who);
	*ret = e;
	return OK;
}

/* ---- inputs ---- */

static enum err add_len(struct embed_call *e, size_t len)
{
	if (e->r.n == EMBED_INPUTS_MAX)
		return err_set(
			&e->c->info, ERR_INVALID, "a request may have %d inputs", EMBED_INPUTS_MAX);
	e->lens[e->r.n++] = (int32_t)len;
	return OK;
}

enum err embed_add_text(struct embed_call *e, struct str text)
{
	if (e->tokens.len)
		return err_set(
			&e->c->info, ERR_INVALID, "inputs must be all texts or all token ids");
	TRY(add_len(e, text.len));
	return buf_add(&e->texts, text);
}

enum err embed_add_tokens(struct embed_call *e, const json_t *ids)
{
	struct err_info *info = &e->c->info;
	if (e->texts.len)
		return err_set(info, ERR_INVALID, "inputs must be all texts or all token ids");
	size_t n = json_array_size(ids);
	if (!n)
		return err_set(info, ERR_INVALID, "an input is empty");
	TRY(add_len(e, n));
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(ids, i);
		int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
		if (id < 0 || id > INT32_MAX)
			return err_set(
				info, ERR_INVALID, "a token id must be a whole number from 0");
		int32_t id32 = (int32_t)id;
		TRY(buf_add(&e->tokens, (struct str){ (const char *)&id32, sizeof id32 }));
	}
	return OK;
}

/* ---- to the fleet and back ---- */

static void on_gone(void *arg)
{
	struct embed_call *e = arg;
	uint64_t id = e->id;
	if (id)
		fleet_cancel(e->c->app->fleet, id);
}

static void answer(struct embed_call *e, const struct fleet_event *ev)
{
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	e->load_ns = ev->load_ns;
	if (ev->engine)
		(void)!!str_copy(str_sub(ev->engine->build, 0, sizeof e->build - 1), e->build,
			sizeof e->build);
	if (ev->build && !str_copy(str_from(ev->build), e->engine, sizeof e->engine))
		http_set_header(e->c->q, ENGINE_HEADER, str_from(e->engine));
	if (ev->embedded.truncated)
		call_warn(e->c, "%u %s cut: this model reads at most %u tokens",
			ev->embedded.truncated,
			ev->embedded.truncated == 1 ? "input was" : "inputs were",
			ev->embedded.longest);
	e->write(e, &ev->embedded, &out);
	call_json(e->c, 200, &out);
}

static void fail(struct embed_call *e, enum err err, struct str detail)
{
	(void)err_set(
		&e->c->info, err, "%.*s", STR_ARG(detail.len ? detail : str_from(err_text(err))));
	call_error(e->c, err);
}

static void sink(const struct fleet_event *ev, void *arg)
{
	struct embed_call *e = arg;
	if (ev->kind == FLEET_EMBEDDED)
		answer(e, ev);
	else if (ev->kind == FLEET_FAILED)
		fail(e, ev->failed.code, ev->failed.detail);
	else if (ev->kind == FLEET_DONE)
		fail(e, ERR_CANCELLED, STR("request canceled"));
	else
		return;
	http_release(e->c->q); /* the fleet's hold; `e` may be gone now */
}

enum err embed_start(struct embed_call *e)
{
	struct call *c = e->c;
	uint64_t id = 0;
	e->r.texts = buf_str(&e->texts);
	e->r.tokens = (const int32_t *)(const void *)e->tokens.ptr;
	e->r.n_tokens = e->tokens.len / sizeof(int32_t);
	e->r.lens = e->lens;
	http_hold(c->q); /* for the fleet, until the last event */
	http_later(c->q, on_gone, e);
	enum err err = fleet_embed(c->app->fleet, &e->target, &e->r, sink, e, &id);
	if (err) {
		fail(e, err, STR_NONE); /* http_later() was said: the answer has to be given here */
		http_release(c->q);
		return OK;
	}
	e->id = id;
	if (http_gone(c->q))
		fleet_cancel(c->app->fleet, id);
	return OK;
}

/* ---- values as text ---- */

uint64_t embed_tokens(const struct embed_done *d)
{
	uint64_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		n += (uint64_t)d->counts[i];
	return n;
}

/* Nine digits say any float; quick, because whole lists of vectors pass the fleet's thread. */
static size_t value_text(float value, char dst[VALUE_TEXT_MAX])
{
	enum { DIGITS = 9 };
	static const double power[] = { 1e8, 1e9, 1e10, 1e11, 1e12, 1e13 };
	double v = fabs((double)value);
	if (v == 0)
		return (size_t)snprintf(dst, VALUE_TEXT_MAX, "0");
	if (v < 1e-4 || v >= 9)
		return (size_t)snprintf(dst, VALUE_TEXT_MAX, "%.*g", DIGITS, (double)value);
	/* v is from 0.0001 to 9: how many places behind the point give nine digits? */
	size_t k = 0;
	while (v * power[k] < 1e8)
		k++;
	uint64_t digits = (uint64_t)llround(v * power[k]);
	size_t places = k + 8;
	while (digits % 10 == 0 && places) {
		digits /= 10;
		places--;
	}
	char text[24];
	size_t n = 0, at = 0;
	do { /* backwards, with the point after `places` digits */
		text[n++] = (char)('0' + digits % 10);
		digits /= 10;
		if (n == places)
			text[n++] = '.';
	} while (digits || n <= places + 1);
	if (places == 0)
		n = n > 1 && text[n - 1] == '0' ? n - 1 : n;
	if (value < 0)
		dst[at++] = '-';
	while (n)
		dst[at++] = text[--n];
	return at;
}

void embed_row_json(const float *v, uint32_t n, struct jw *w)
{
	char text[VALUE_TEXT_MAX];
	jw_arr(w);
	for (uint32_t i = 0; i < n; i++)
		jw_raw(w, (struct str){ text, value_text(v[i], text) });
	jw_end(w);
}

void embed_row_base64(const float *v, uint32_t n, struct jw *w)
{
	AUTO_BUF struct buf out = BUF(n * sizeof *v * 2 + 8);
	(void)!!b64_add(&out, (const uint8_t *)v, n * sizeof *v);
	if (out.err)
		w->out->err = out.err;
	jw_str(w, buf_str(&out));
}

void embed_origin_json(const struct embed_call *e, struct jw *w)
{
	jw_kstr(w, "model_digest", str_from(e->model.model_digest));
	if (e->build[0])
		jw_kstr(w, "engine_build", str_from(e->build));
	if (e->engine[0])
		jw_kstr(w, "engine", str_from(e->engine));
	call_warnings_json(e->c, w);
}
