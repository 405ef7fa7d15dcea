/* POST /infill, as llama-server has it (its README: "/infill"): what stands between two texts, for
 * models that have tokens for it. Editors' plugins use it. */
#include "api/openai.h"

#include "base/limits.h"

/* ---- what goes out ---- */

static double ms(int64_t ns)
{
	return (double)ns / 1e6;
}

static double per_second(uint32_t n, int64_t ns)
{
	return ns > 0 ? n * 1e9 / (double)ns : 0;
}

static void timings(const struct gen_done *d, struct jw *w)
{
	uint32_t read = d->prompt_tokens - d->cached_tokens;
	jw_key(w, "timings");
	jw_obj(w);
	jw_ki64(w, "cache_n", d->cached_tokens);
	jw_ki64(w, "prompt_n", read);
	jw_kf64(w, "prompt_ms", ms(d->prompt_ns));
	jw_kf64(w, "prompt_per_token_ms", read ? ms(d->prompt_ns) / read : 0);
	jw_kf64(w, "prompt_per_second", per_second(read, d->prompt_ns));
	jw_ki64(w, "predicted_n", d->answer_tokens);
	jw_kf64(w, "predicted_ms", ms(d->answer_ns));
	jw_kf64(w, "predicted_per_token_ms",
		d->answer_tokens ? ms(d->answer_ns) / d->answer_tokens : 0);
	jw_kf64(w, "predicted_per_second", per_second(d->answer_tokens, d->answer_ns));
	jw_end(w);
}

static void settings(const struct gen *g, struct jw *w)
{
	jw_key(w, "generation_settings");
	jw_obj(w);
	jw_ki64(w, "n_ctx", g->n_ctx);
	jw_ki64(w, "n_predict", g->options.of.sampling.num_predict);
	jw_ki64(w, "seed", g->told.seed);
	jw_end(w);
}

static void begin(struct str content, bool end, struct jw *w, struct buf *out)
{
	jw_init(w, out);
	jw_obj(w);
	jw_ki64(w, "index", 0);
	jw_kstr(w, "content", content.len ? content : STR(""));
	jw_key(w, "tokens");
	jw_arr(w);
	jw_end(w);
	jw_kbool(w, "stop", end);
}

static void last(struct gen *g, const struct gen_done *d, struct str content, struct buf *out)
{
	bool word = d->stop && d->stop <= g->options.of.n_stop;
	struct jw w;
	begin(content, true, &w, out);
	jw_kstr(&w, "model", str_from(g->shown_model));
	jw_ki64(&w, "tokens_predicted", d->answer_tokens);
	jw_ki64(&w, "tokens_evaluated", d->prompt_tokens);
	jw_ki64(&w, "tokens_cached", (int64_t)d->prompt_tokens + d->answer_tokens);
	jw_kbool(&w, "truncated", g->told.truncated_tokens > 0);
	jw_kstr(&w, "stop_type",
		word                        ? STR("word")
		: d->reason == GEN_LENGTH ? STR("limit")
					    : STR("eos"));
	jw_kstr(&w, "stopping_word", word ? g->options.of.stop[d->stop - 1] : STR(""));
	settings(g, &w);
	timings(d, &w);
	gen_origin_json(g, &w);
	call_warnings_json(g->c, &w);
	jw_end(&w);
}

static void on_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	struct jw w;
	(void)g;
	(void)buf_add(out, STR("data: "));
	begin(d->text, false, &w, out);
	jw_end(&w);
	(void)buf_add(out, STR("\n\n"));
}

static void on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	(void)buf_add(out, STR("data: "));
	last(g, d, STR_NONE, out);
	(void)buf_add(out, STR("\n\n"));
}

static void on_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	last(g, d, buf_str(&g->text), out);
}

static const struct gen_form form = { .stream_type = "text/event-stream",
	.delta = on_delta,
	.done = on_done,
	.whole = on_whole,
	.failed = openai_failed };

/* ---- what comes in ---- */

static const struct options_number numbers[] = {
	{ "n_predict", "num_predict" },
	{ "temperature", "temperature" },
	{ "top_k", "top_k" },
	{ "top_p", "top_p" },
	{ "min_p", "min_p" },
	{ "typical_p", "typical_p" },
	{ "seed", "seed" },
	{ "repeat_penalty", "repeat_penalty" },
	{ "repeat_last_n", "repeat_last_n" },
	{ "presence_penalty", "presence_penalty" },
	{ "frequency_penalty", "frequency_penalty" },
};
/* What is always so here, or has no meaning for whoever asks. */
static const char *const others[] = { "model", "input_prefix", "input_suffix", "input_extra",
	"prompt", "stream", "stop", "cache_prompt", "temporary", "strict", "deadline_ms" };
static const struct options_fields fields = OPTIONS_FIELDS(numbers, others);

static void warn_unknown(struct call *c, const json_t *body)
{
	const char *field;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)body, field, v)
	{
		if (!json_is_null(v) && !options_knows(&fields, field))
			call_warn(c, "\"%.40s\" is ignored", field);
	}
}

static enum err read_texts(struct call *c, const json_t *body, struct gen_request *r)
{
	json_t *extra = NULL;
	c->param = "input_prefix";
	TRY(json_want_str(body, "input_prefix", true, &r->input, &c->info));
	c->param = "input_suffix";
	TRY(json_want_str(body, "input_suffix", true, &r->suffix, &c->info));
	c->param = "prompt";
	TRY(json_want_str(body, "prompt", false, &r->lead, &c->info));
	c->param = "input_extra";
	TRY(json_want_arr(body, "input_extra", false, &extra, &c->info));
	if (json_array_size(extra))
		TRY(gen_json_text(c, extra, &r->extra));
	c->param = NULL;
	return OK;
}

enum err llamacpp_infill(struct call *c)
{
	json_t *body;
	struct gen *g;
	struct gen_request r = { .kind = GEN_INFILL };
	struct str model = STR_NONE;
	TRY(call_body(c, &body));
	c->param = "model";
	TRY(json_want_str(body, "model", false, &model, &c->info));
	TRY(gen_new(c, model, "infill", &form, &g));
	g->template_ = STR_NONE; /* it knows no other files: the model's tokens do */
	c->param = NULL;
	warn_unknown(c, body);
	TRY(json_want_bool(body, "stream", false, &g->stream, &c->info));
	TRY(options_numbers(c, body, &fields, &g->options));
	TRY(options_stop(c, json_object_get(body, "stop"), &g->options));
	TRY(options_run(c, body, &g->options));
	TRY(read_texts(c, body, &r));
	return gen_start(g, &r);
}
