/* POST /api/embed and /api/embeddings (Ollama docs/api.md), /v1/embeddings (OpenAI API reference:
 * "Embeddings"). */
#include "api/embed.h"

#include "api/options.h"
#include "base/time.h"

/* ---- Ollama ---- */

static void ollama_whole(struct embed_call *e, const struct embed_done *d, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "model", str_from(e->shown_model));
	jw_key(&w, "embeddings");
	jw_arr(&w);
	for (size_t i = 0; i < d->n; i++)
		embed_row_json(d->values + i * d->dim, d->dim, &w);
	jw_end(&w);
	jw_ki64(&w, "total_duration", time_mono_ns() - e->start_ns);
	jw_ki64(&w, "load_duration", e->load_ns);
	jw_ki64(&w, "prompt_eval_count", (int64_t)embed_tokens(d));
	embed_origin_json(e, &w);
	jw_end(&w);
}

static void ollama_legacy(struct embed_call *e, const struct embed_done *d, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "embedding");
	embed_row_json(d->values, d->dim, &w);
	embed_origin_json(e, &w);
	jw_end(&w);
}

static enum err ollama_begin(struct call *c, json_t **ret_body, struct embed_call **ret)
{
	struct str model = STR_NONE;
	struct gen_options ignored;
	TRY(call_body(c, ret_body));
	TRY(json_want_str(*ret_body, "model", false, &model, &c->info));
	if (!model.len)
		TRY(json_want_str(*ret_body, "name", false, &model, &c->info));
	enum err e = embed_new(c, model, ret);
	if (e == ERR_NOT_FOUND) /* clients compare these words, which are this route's alone */
		return err_set(&c->info, e, "model \"%.*s\" not found, try pulling it first",
			(int)(model.len < 200 ? model.len : 200), model.ptr);
	TRY(e);
	options_init(&ignored); /* a wrong option is an error; none has an effect on a vector */
	TRY(options_ollama(c, json_object_get(*ret_body, "options"), &ignored));
	if (json_object_size(json_object_get(*ret_body, "options")))
		call_warn(c, "\"options\" have no effect on embeddings");
	return options_keep_alive(
		c, json_object_get(*ret_body, "keep_alive"), &(*ret)->target.keep_alive_ms);
}

static enum err read_dimensions(struct embed_call *e, const json_t *body)
{
	int64_t n = 0;
	if (json_is_null(json_object_get(body, "dimensions")))
		return OK;
	if (json_want_i64(body, "dimensions", false, 1, 65536, &n, NULL))
		return err_set(&e->c->info, ERR_INVALID,
			"\"dimensions\" must be a whole number from 1 to 65536");
	e->r.dimensions = (uint32_t)n;
	return OK;
}

static enum err add_texts(struct embed_call *e, const json_t *input)
{
	size_t i;
	json_t *one;
	if (json_is_string(input))
		return embed_add_text(
			e, (struct str){ json_string_value(input), json_string_length(input) });
	if (!json_is_array(input)) /* Ollama's words */
		return err_set(&e->c->info, ERR_INVALID, "invalid input type");
	json_array_foreach((json_t *)(uintptr_t)input, i, one)
	{
		if (!json_is_string(one))
			return err_set(&e->c->info, ERR_INVALID, "input[%zu] must be a string", i);
		TRY(embed_add_text(
			e, (struct str){ json_string_value(one), json_string_length(one) }));
	}
	return OK;
}

/* No input: the answer is an empty list. */
static enum err empty_answer(struct embed_call *e)
{
	AUTO_BUF struct buf out = BUF(16 * 1024);
	struct embed_done none = { .n = 0 };
	e->write(e, &none, &out);
	call_json(e->c, 200, &out);
	return OK;
}

enum err ollama_embed(struct call *c)
{
	json_t *body, *input;
	struct embed_call *e;
	bool truncate = true;
	TRY(ollama_begin(c, &body, &e));
	TRY(json_want_bool(body, "truncate", false, &truncate, &c->info));
	TRY(read_dimensions(e, body));
	e->write = ollama_whole;
	e->r.truncate = truncate;
	e->r.normalise = true;
	input = json_object_get(body, "input");
	if (!input || json_is_null(input))
		return empty_answer(e);
	TRY(add_texts(e, input));
	return e->r.n ? embed_start(e) : empty_answer(e);
}

enum err ollama_embeddings(struct call *c)
{
	json_t *body;
	struct embed_call *e;
	struct str prompt = STR_NONE;
	TRY(ollama_begin(c, &body, &e));
	TRY(json_want_str(body, "prompt", false, &prompt, &c->info));
	e->write = ollama_legacy;
	e->r.truncate = true;
	if (!prompt.len)
		return empty_answer(e);
	TRY(embed_add_text(e, prompt));
	return embed_start(e);
}

/* ---- OpenAI ---- */

struct openai_form {
	bool base64;
};

static void openai_whole(struct embed_call *e, const struct embed_done *d, struct buf *out)
{
	const struct openai_form *form = e->of_form;
	int64_t tokens = (int64_t)embed_tokens(d);
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "object", STR("list"));
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < d->n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "object", STR("embedding"));
		jw_ki64(&w, "index", (int64_t)i);
		jw_key(&w, "embedding");
		(form->base64 ? embed_row_base64 : embed_row_json)(
			d->values + i * d->dim, d->dim, &w);
		jw_end(&w);
	}
	jw_end(&w);
	jw_kstr(&w, "model", str_from(e->shown_model));
	jw_key(&w, "usage");
	jw_obj(&w);
	jw_ki64(&w, "prompt_tokens", tokens);
	jw_ki64(&w, "total_tokens", tokens);
	jw_end(&w);
	embed_origin_json(e, &w);
	jw_end(&w);
}

/* A string, token ids, or a list of either. */
static enum err openai_input(struct embed_call *e, const json_t *input)
{
	size_t i;
	json_t *one;
	bool list = json_is_array(input);
	if (list && json_is_integer(json_array_get(input, 0)))
		return embed_add_tokens(e, input);
	if (list && json_is_array(json_array_get(input, 0))) {
		json_array_foreach((json_t *)(uintptr_t)input, i, one)
		{
			if (!json_is_array(one))
				return err_set(&e->c->info, ERR_INVALID,
					"inputs must be all texts or all token ids");
			TRY(embed_add_tokens(e, one));
		}
		return OK;
	}
	if (!json_is_string(input) && !list)
		return err_set(&e->c->info, ERR_INVALID,
			"\"input\" must be a string, a list of strings, token ids, or a list of "
			"lists of token ids");
	TRY(add_texts(e, input));
	return e->r.n ? OK : err_set(&e->c->info, ERR_INVALID, "\"input\" must not be empty");
}

static enum err read_format(struct embed_call *e, const json_t *body)
{
	struct str format = STR("float");
	struct openai_form *form = ARENA_NEW(e->c->arena, struct openai_form);
	if (!form)
		return ERR_NOMEM;
	e->of_form = form;
	e->c->param = "encoding_format";
	TRY(json_want_str(body, "encoding_format", false, &format, &e->c->info));
	form->base64 = str_eq(format, STR("base64"));
	if (!form->base64 && !str_eq(format, STR("float")))
		return err_set(&e->c->info, ERR_INVALID,
			"\"encoding_format\" must be \"float\" or \"base64\"");
	e->c->param = NULL;
	return OK;
}

static void warn_unknown(struct call *c, json_t *body)
{
	static const char *const known[] = { "model", "input", "encoding_format", "dimensions",
		"truncate" };
	const char *name;
	json_t *v;
	json_object_foreach(body, name, v)
	{
		bool ok = false;
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			ok |= strcmp(name, known[i]) == 0;
		if (!ok)
			call_warn(c, "\"%.40s\" is ignored: it has no effect on embeddings", name);
	}
}

enum err openai_embeddings(struct call *c)
{
	json_t *body;
	struct embed_call *e;
	struct str model = STR_NONE;
	bool truncate = false;
	TRY(call_body(c, &body));
	c->param = "model";
	TRY(json_want_str(body, "model", true, &model, &c->info));
	TRY(embed_new(c, model, &e));
	e->write = openai_whole;
	e->r.normalise = true;
	TRY(read_format(e, body));
	c->param = "dimensions";
	TRY(read_dimensions(e, body));
	c->param = "truncate";
	TRY(json_want_bool(body, "truncate", false, &truncate, &c->info));
	e->r.truncate = truncate;
	c->param = "input";
	TRY(openai_input(e, json_object_get(body, "input")));
	c->param = NULL;
	warn_unknown(c, body);
	return embed_start(e);
}
