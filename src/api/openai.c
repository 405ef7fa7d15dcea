/* What OpenAI's requests for text have in common. */
#include "api/openai.h"

#include "api/errors.h"

#include <ctype.h>
#include <stdio.h>

enum err openai_begin(struct call *c, const struct gen_form *form, json_t **ret_body,
		      struct gen **ret)
{
	struct str model = STR_NONE;
	TRY(call_body(c, ret_body));
	c->param = "model";
	TRY(json_want_str(*ret_body, "model", false, &model, &c->info));
	if (!model.len)
		return err_set(&c->info, ERR_INVALID, "you must provide a model");
	TRY(gen_new(c, model, "chat", form, ret));
	c->param = NULL;
	return OK;
}

static void fingerprint(const struct gen *g, char dst[96])
{
	snprintf(dst, 96, "fp_%.12s_%.60s", g->model.model_digest,
		g->engine[0]  ? g->engine
		: g->build[0] ? g->build
			      : "unknown");
	for (char *p = dst; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '.' && *p != '_')
			*p = '-';
}

/* "usage" of all answers, into an open object: the prompt counts once, however many there are. */
static void usage_of(const struct gen *g, const struct gen_done *d, struct jw *w)
{
	int64_t answers = d->answer_tokens;
	uint64_t thought = g->thinking_tokens;
	for (unsigned i = 0; g->group && i < g->group->n; i++) {
		d = &g->group->done[0];
		answers = (i ? answers : 0) + g->group->done[i].answer_tokens;
		thought = (i ? thought : 0) + g->group->of[i]->thinking_tokens;
	}
	jw_key(w, "usage");
	jw_obj(w);
	jw_ki64(w, "prompt_tokens", d->prompt_tokens);
	jw_ki64(w, "completion_tokens", answers);
	jw_ki64(w, "total_tokens", d->prompt_tokens + answers);
	jw_key(w, "prompt_tokens_details");
	jw_obj(w);
	jw_ki64(w, "cached_tokens", d->cached_tokens);
	jw_end(w);
	jw_key(w, "completion_tokens_details");
	jw_obj(w);
	jw_ki64(w, "reasoning_tokens", (int64_t)thought < answers ? (int64_t)thought : answers);
	jw_end(w);
	jw_end(w);
}

static void head(struct gen *g, const struct openai_kind *k, const char *object, struct jw *w,
	struct buf *out)
{
	char id[48], fp[96];
	snprintf(id, sizeof id, "%s-%.*s", k->id, STR_ARG(http_request_id(g->c->q)));
	fingerprint(g, fp);
	jw_init(w, out);
	jw_obj(w);
	jw_kstr(w, "id", str_from(id));
	jw_kstr(w, "object", str_from(object));
	jw_ki64(w, "created", g->created_s);
	jw_kstr(w, "model", str_from(g->shown_model));
	jw_kstr(w, "system_fingerprint", str_from(fp));
	jw_key(w, "choices");
	jw_arr(w);
}

void openai_event(struct gen *g, const struct openai_kind *k, struct jw *w, struct buf *out)
{
	(void)buf_add(out, STR("data: "));
	head(g, k, k->chunk, w, out);
}

void openai_event_end(struct gen *g, bool usage, bool last, struct jw *w, struct buf *out)
{
	jw_end(w);
	if (usage) {
		jw_key(w, "usage");
		jw_null(w);
	}
	if (last) {
		gen_origin_json(g, w);
		call_warnings_json(g->c, w);
	}
	jw_end(w);
	(void)buf_add(out, STR("\n\n"));
}

void openai_done(struct gen *g, const struct openai_kind *k, const struct gen_done *d, bool usage,
	struct buf *out)
{
	struct jw w;
	if (usage) {
		openai_event(g, k, &w, out);
		jw_end(&w);
		usage_of(g, d, &w);
		jw_end(&w);
		(void)buf_add(out, STR("\n\n"));
	}
	(void)buf_add(out, STR("data: [DONE]\n\n"));
}

void openai_whole(struct gen *g, const struct openai_kind *k, const struct gen_done *d,
	openai_choice choice, struct buf *out)
{
	struct jw w;
	head(g, k, k->object, &w, out);
	if (!g->group)
		choice(g, d, &w);
	for (unsigned i = 0; g->group && i < g->group->n; i++)
		choice(g->group->of[i], &g->group->done[i], &w);
	jw_end(&w);
	usage_of(g, d, &w);
	gen_origin_json(g, &w);
	call_warnings_json(g->c, &w);
	jw_end(&w);
}

enum err openai_bias(struct call *c, const json_t *body, struct gen_request *r)
{
	json_t *map = NULL, *v;
	const char *key;
	size_t n = 0;
	c->param = "logit_bias";
	TRY(json_want_obj(body, "logit_bias", false, &map, &c->info));
	if (json_object_size(map) > GEN_BIAS_MAX)
		return err_set(&c->info, ERR_INVALID, "logit_bias may name 1024 tokens");
	int32_t *pairs = map ? ARENA_ARRAY(c->arena, int32_t, 2 * json_object_size(map) + 1) : NULL;
	if (map && !pairs)
		return ERR_NOMEM;
	json_object_foreach(map, key, v)
	{
		uint64_t id = 0;
		double bias = json_number_value(v);
		if (str_to_u64(str_from(key), &id) || id > INT32_MAX)
			return err_set(&c->info, ERR_INVALID, "logit_bias: keys are token ids");
		if (!json_is_number(v) || !(bias >= -100 && bias <= 100))
			return err_set(&c->info, ERR_INVALID,
				"logit_bias: values must be from -100 to 100");
		pairs[2 * n] = (int32_t)id;
		pairs[2 * n++ + 1] = (int32_t)(bias * 1000);
	}
	r->bias = pairs;
	r->n_bias = n;
	c->param = NULL;
	return OK;
}

enum err openai_stream(struct gen *g, const json_t *body, bool *ret_usage)
{
	struct call *c = g->c;
	json_t *options = NULL;
	c->param = "stream";
	TRY(json_want_bool(body, "stream", false, &g->stream, &c->info));
	c->param = "stream_options";
	TRY(json_want_obj(body, "stream_options", false, &options, &c->info));
	if (options && !g->stream)
		return err_set(&c->info, ERR_INVALID, "stream_options is only allowed with stream");
	if (options)
		TRY(json_want_bool(options, "include_usage", false, ret_usage, &c->info));
	c->param = NULL;
	return OK;
}

enum err openai_effort(struct call *c, struct str word, enum gen_think *ret)
{
	static const struct {
		const char *word;
		enum gen_think think;
	} efforts[] = { { "none", THINK_OFF }, { "minimal", THINK_LOW }, { "low", THINK_LOW },
		{ "medium", THINK_MEDIUM }, { "high", THINK_HIGH }, { "xhigh", THINK_HIGH },
		{ "max", THINK_HIGH } };
	if (!word.ptr)
		return OK;
	for (size_t i = 0; i < sizeof efforts / sizeof efforts[0]; i++)
		if (str_eq(word, str_from(efforts[i].word))) {
			*ret = efforts[i].think;
			return OK;
		}
	return err_set(&c->info, ERR_INVALID,
		"the effort must be none, minimal, low, medium, high, xhigh or max");
}

enum err openai_run(struct gen *g, const json_t *body)
{
	struct call *c = g->c;
	struct str tier = STR_NONE;
	c->param = "service_tier";
	TRY(json_want_str(body, "service_tier", false, &tier, &c->info));
	if (str_eq(tier, STR("flex")))
		g->options.priority = 2;
	else if (str_eq(tier, STR("priority")))
		call_warn(c, "\"service_tier\": requests without it are first already");
	else if (tier.len && !str_eq(tier, STR("auto")) && !str_eq(tier, STR("default")))
		return err_set(&c->info, ERR_INVALID,
			"service_tier must be auto, default, flex or priority");
	c->param = "temporary";
	TRY(options_run(c, body, &g->options));
	c->param = NULL;
	return OK;
}

void openai_failed(struct gen *g, const struct err_info *e, struct buf *out)
{
	(void)g;
	(void)buf_add(out, STR("data: "));
	error_openai(e, NULL, NULL, out);
	(void)buf_add(out, STR("\n\n"));
}
