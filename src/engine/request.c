#include "engine/request.h"

#include <string.h>

#include "base/fault.h"
#include "base/json.h"
#include "base/random.h"
#include "engine/schema.h"

void engine_prompt_done(struct engine_prompt *p)
{
	tokens_done(&p->tokens);
	media_list_done(&p->media);
}
#define AUTO_PROMPT [[gnu::cleanup(engine_prompt_done)]]

struct request *request_free(struct request *r)
{
	if (!r)
		return NULL;
	tokens_done(&r->feed);
	media_list_done(&r->media);
	for (unsigned i = 0; i < r->n_pictures; i++)
		r->ops->picture_free(r->backend, r->picture[i]);
	sampler_free(r->sampler);
	text_free(r->text);
	if (r->grammar)
		r->ops->grammar_free(r->backend, r->grammar);
	if (r->chat)
		r->ops->chat_free(r->backend, r->chat);
	json_decref(r->schema);
	buf_wipe(&r->bytes);
	buf_wipe(&r->answer);
	buf_wipe(&r->calls);
	buf_wipe(&r->warnings);
	buf_wipe(&r->logprobs_json);
	tokens_done(&r->end_tag);
	tokens_done(&r->call_start);
	mem_free(r->row);
	mem_free(r);
	return NULL;
}

/* Renders the messages without `drop` of the oldest that are not system messages, and without those
 * up to the next one of the user: many templates refuse a talk that begins with an answer. */
static enum err render_without(struct request *r, const struct gen_request *g, const json_t *all,
	size_t drop, struct engine_prompt *ret, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_IPC_BULK);
	struct jw w;
	jw_init(&w, &text);
	jw_arr(&w);
	bool cut = drop > 0;
	for (size_t i = 0, n = json_array_size(all); i < n; i++) {
		const json_t *m = json_array_get(all, i);
		struct str role = STR_NONE;
		TRY(json_want_str(m, "role", false, &role, info));
		bool system = str_eq(role, STR("system"));
		if (!system && drop) {
			drop--;
			continue;
		}
		if (!system && cut && i + 1 < n && !str_eq(role, STR("user")))
			continue;
		cut = cut && system;
		jw_json(&w, m);
	}
	jw_end(&w);
	TRY(text.err);
	struct gen_request less = *g;
	less.input = buf_str(&text);
	engine_prompt_done(ret);
	*ret = (struct engine_prompt){ 0 };
	return r->ops->prompt(r->backend, &less, r->picture, ret, info);
}

static enum err context_error(struct request_error *why, size_t prompt, uint32_t limit)
{
	why->prompt_tokens = (uint32_t)prompt;
	why->context_tokens = limit;
	return err_set(&why->info, ERR_CONTEXT, "the prompt has %zu tokens, the context holds %u",
		prompt, limit);
}

/* Drops the fewest of the oldest messages so that the prompt and some answer fit. The number is
 * found by bisection: each try renders the whole. */
static enum err truncate_prompt(struct request *r, const struct gen_request *g,
	struct engine_prompt *p, struct request_error *why)
{
	size_t full = p->tokens.n, droppable = 0;
	uint32_t answer = r->limit / 4;
	if (g->sampling.num_predict > 0 && (uint32_t)g->sampling.num_predict < answer)
		answer = (uint32_t)g->sampling.num_predict;
	uint32_t room = r->limit - (answer ? answer : 1);
	AUTO_JSON json_t *all = NULL;
	TRY(json_read(g->input, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, &why->info));
	for (size_t i = 0; i < json_array_size(all); i++) {
		struct str role = STR_NONE;
		TRY(json_want_str(json_array_get(all, i), "role", false, &role, &why->info));
		droppable += !str_eq(role, STR("system"));
	}
	size_t lo = 1, hi = droppable ? droppable - 1 : 0; /* the last one stays */
	size_t best = 0;
	while (lo <= hi) {
		size_t mid = lo + (hi - lo) / 2;
		TRY(render_without(r, g, all, mid, p, &why->info));
		if (p->tokens.n <= room) {
			best = mid;
			hi = mid - 1;
		} else {
			lo = mid + 1;
		}
	}
	TRY(render_without(r, g, all, best ? best : droppable ? droppable - 1 : 0, p, &why->info));
	if (p->tokens.n >= r->limit) /* even the last message alone is too long */
		return context_error(why, full, r->limit);
	r->truncated_tokens = (uint32_t)(full - p->tokens.n);
	return OK;
}

static enum err prepare_pictures(
	struct request *r, const struct gen_request *g, struct err_info *info)
{
	if (g->n_pictures && !r->ops->picture_new)
		return err_set(info, ERR_UNSUPPORTED, "this model does not see pictures");
	for (; r->n_pictures < g->n_pictures; r->n_pictures++)
		TRY(r->ops->picture_new(r->backend, &g->picture[r->n_pictures],
			&r->picture[r->n_pictures], info));
	return OK;
}

static enum err prepare_prompt(struct request *r, const struct gen_request *g, bool *ret_thinking,
	struct request_error *why)
{
	AUTO_PROMPT struct engine_prompt p = { 0 };
	const struct engine_caps *caps = r->ops->caps(r->backend);
	r->limit = caps->n_ctx;
	if (g->max_context && g->max_context < r->limit)
		r->limit = g->max_context;
	TRY(r->ops->prompt(r->backend, g, r->picture, &p, &why->info));
	if (!p.tokens.n)
		return err_set(&why->info, ERR_INVALID, "the prompt is empty");
	if (p.tokens.v[p.tokens.n - 1] < 0) /* what follows is drawn from a token's numbers */
		return err_set(&why->info, ERR_INVALID, "the prompt ends with a picture");
	if (p.tokens.n >= r->limit && g->truncate && g->kind == GEN_CHAT)
		TRY(truncate_prompt(r, g, &p, why));
	if (p.tokens.n >= r->limit)
		return context_error(why, p.tokens.n, r->limit);
	r->prompt_tokens = (uint32_t)p.tokens.n;
	r->truncated_tokens += p.n_left_out;
	r->n_company = p.n_company;
	r->n_group = p.n_group;
	*ret_thinking = p.thinking;
	r->feed = p.tokens;
	r->media = p.media;
	p.tokens = (struct tokens){ 0 };
	p.media = (struct media_list){ 0 };
	for (size_t i = 0; i < r->feed.n; i++)
		if (r->feed.v[i] >= 0)
			sampler_accept(r->sampler, r->feed.v[i]);
	return OK;
}

static enum err prepare_seed(struct request *r)
{
	if (r->sampling.seed >= 0)
		return OK;
	/* 53 bits: the number comes back in JSON. Strict means the same bytes, so a fixed one. */
	r->sampling.seed = r->strict ? 0 : (int64_t)(random_u64() >> 11);
	return OK;
}

/* ---- tools, schema, grammar ---- */

static bool offers_tools(const struct gen_request *g)
{
	return g->tools.len && !str_eq(g->tool_choice, STR("none"));
}

static enum err check_wishes(const struct gen_request *g, struct err_info *info)
{
	if (g->schema.len && g->grammar.len)
		return err_set(info, ERR_INVALID, "a schema and a grammar exclude each other");
	if (offers_tools(g) && (g->schema.len || g->grammar.len))
		return err_set(info, ERR_INVALID,
			"tools and a format for the answer exclude each other: leave one"
			" out, or set "
			"tool_choice to none");
	if (offers_tools(g) && g->logprobs)
		return err_set(info, ERR_UNSUPPORTED, "logprobs are not given together with tools");
	if (g->kind != GEN_CHAT && (g->tools.len || g->tool_choice.len))
		return err_set(info, ERR_INVALID, "a raw prompt takes no tools");
	return OK;
}

static enum err prepare_chat(struct request *r, const struct gen_request *g, struct err_info *info)
{
	if (g->kind != GEN_CHAT)
		return OK;
	if (r->ops->chat_new)
		return r->ops->chat_new(r->backend, g, &r->chat, info);
	return offers_tools(g) ? err_set(info, ERR_UNSUPPORTED, "tools are not supported") : OK;
}

/* The schema is kept for the check at the end. */
static enum err keep_schema(struct request *r, struct str schema, struct err_info *info)
{
	bool any = str_eq(schema, STR("json"));
	if (any)
		schema = STR("{\"type\":\"object\"}");
	enum err e = json_read(schema, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &r->schema, NULL);
	if (e)
		return e == ERR_NOMEM
			       ? e
			       : err_set(info, ERR_INVALID, "schema: is not JSON, or too deep");
	r->answer = BUF(LIMIT_ANSWER);
	return schema_check(r->schema, info);
}

static enum err tag_tokens(struct request *r, struct str tag, struct tokens *ret)
{
	AUTO_PROMPT struct engine_prompt p = { 0 };
	struct gen_request g = { .kind = GEN_PROMPT, .raw = true, .input = tag };
	TRY(r->ops->prompt(r->backend, &g, NULL, &p, NULL));
	*ret = p.tokens;
	p.tokens = (struct tokens){ 0 };
	return OK;
}

static enum err prepare_grammar(
	struct request *r, const struct gen_request *g, struct err_info *info)
{
	const struct engine_backend_ops *ops = r->ops;
	r->cut_matters = g->schema.len || g->grammar.len;
	r->one_call = g->one_call;
	r->needs_call =
		offers_tools(g) && g->tool_choice.len && !str_eq(g->tool_choice, STR("auto"));
	if (g->schema.len)
		TRY(keep_schema(r, g->schema, info));
	if (r->chat && g->grammar.len)
		return err_set(info, ERR_UNSUPPORTED,
			"grammar: this model's answers have a form of their own; use a schema");
	if (r->chat) {
		TRY(ops->chat_grammar(r->backend, r->chat, &r->grammar, info));
		r->grammar_whole = ops->chat_whole(r->backend, r->chat) &&
				   !ops->chat_lazy(r->backend, r->chat);
		struct str begin = ops->chat_force(r->backend, r->chat);
		if (begin.len)
			TRY(tag_tokens(r, begin, &r->call_start));
		if (!r->grammar && (r->cut_matters || r->needs_call))
			return err_set(info, ERR_UNSUPPORTED,
				"this model's template has no form that could be enforced");
		return OK;
	}
	if (g->schema.len)
		return ops->grammar_new(r->backend, g->schema, &r->grammar, info);
	if (!g->grammar.len)
		return OK;
	return ops->grammar_text ? ops->grammar_text(r->backend, g->grammar, &r->grammar, info)
				 : err_set(info, ERR_UNSUPPORTED, "grammars are not supported");
}

/* ---- reasoning ---- */

static enum err prepare_think(struct request *r, const struct gen_request *g,
	const struct engine_think *tags, struct err_info *info)
{
	AUTO_TOKENS struct tokens start = { 0 };
	r->think_token = -1;
	if (!tags->end[0] || g->kind != GEN_CHAT) {
		if (g->think >= THINK_ON && g->think_required)
			return err_set(
				info, ERR_UNSUPPORTED, "this model does not support thinking");
		if (g->think >= THINK_ON || g->has_think_budget)
			request_warn(r,
				"this model does not think: what was asked about that has no "
				"effect");
		return OK;
	}
	if (g->think != THINK_OFF && (r->grammar || r->call_start.n) && tags->start[0]) {
		TRY(tag_tokens(r, str_from(tags->start), &start));
		r->think_token = start.n == 1 ? start.v[0] : -1;
	}
	r->has_budget = g->has_think_budget;
	r->budget = g->think_budget;
	return r->has_budget ? tag_tokens(r, str_from(tags->end), &r->end_tag) : OK;
}

/* ---- text ---- */

/* What the parser makes of the text; calls stay with the request. */
static enum err split(void *arg, struct str text, bool end, struct buf *thought, struct buf *answer,
	bool *ret_stopped)
{
	struct request *r = arg;
	struct engine_parts p = { .thought = thought, .answer = answer, .calls = &r->calls };
	enum err e = r->ops->chat_split(r->backend, r->chat, text, end, &p);
	*ret_stopped = p.stopped;
	r->bad_calls |= e == ERR_BAD_JSON;
	return e == ERR_BAD_JSON ? OK : e;
}

static enum err prepare_text(struct request *r, const struct gen_request *g,
	const struct engine_think *tags, bool thinking, struct err_info *info)
{
	struct text_options o = { .stop = g->stop, .n_stop = g->n_stop, .thinking = thinking };
	struct text_splitter s = { .arg = r, .split = split };
	if (g->kind == GEN_CHAT) {
		o.think_start = str_from(tags->start);
		o.think_end = str_from(tags->end);
	}
	if (r->chat) {
		s.whole = r->ops->chat_whole(r->backend, r->chat);
		o.split = &s;
	}
	enum err e = text_new(&o, &r->text);
	return e == ERR_INVALID || e == ERR_LIMIT
		       ? err_set(info, e, "stop: up to %d strings of 1 to %d bytes of UTF-8",
				 LIMIT_STOP_STRINGS, LIMIT_STOP_STRING)
		       : e;
}

static enum err prepare_logprobs(struct request *r, const struct gen_request *g, uint32_t n_vocab)
{
	r->logprobs = g->logprobs;
	r->top_logprobs = g->top_logprobs;
	r->logprobs_json = BUF(LIMIT_ANSWER);
	if (!r->logprobs)
		return OK;
	r->row = mem_alloc(n_vocab * sizeof *r->row);
	return r->row ? OK : ERR_NOMEM;
}

/* Takes the tokens accepted before a crash as if they were drawn here. */
static enum err prepare_resume(
	struct request *r, const struct gen_request *g, struct err_info *info)
{
	const struct engine_caps *caps = r->ops->caps(r->backend);
	for (size_t i = 0; i < g->n_resume; i++)
		if (g->resume[i] < 0 || (uint32_t)g->resume[i] >= caps->n_vocab)
			return err_set(info, ERR_INVALID, "resume: no such token");
	if (g->n_resume > r->limit - r->prompt_tokens)
		return err_set(info, ERR_INVALID, "resume: more tokens than the context holds");
	r->n_resume = (uint32_t)g->n_resume;
	return tokens_add(&r->feed, g->resume, g->n_resume);
	/* Sampler and grammar take them when their text is sent again: see request_accept(). */
}

enum err request_new(const struct engine_backend_ops *ops, void *backend, uint64_t id,
	const struct gen_request *g, struct request **ret, struct request_error *why)
{
	*why = (struct request_error){ 0 };
	AUTO(request) struct request *r = mem_zalloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->ops = ops;
	r->backend = backend;
	r->id = id;
	r->owed = SIZE_MAX; /* all that it will lack once it is known what it starts from */
	r->person = g->person;
	r->priority = g->priority;
	r->strict = g->strict;
	r->temporary = g->temporary;
	r->group = g->group;
	r->object = g->object;
	r->sampling = g->sampling;
	const struct engine_caps *caps = ops->caps(backend);
	struct engine_think tags;
	bool thinking = false;
	r->bytes = BUF(1 << 20);
	r->calls = BUF(LIMIT_ANSWER);
	r->warnings = BUF(8 * 1024);
	TRY(prepare_seed(r));
	TRY(check_wishes(g, &why->info));
	TRY(sampler_new(&r->sampling, caps->n_vocab, caps->n_ctx, &r->sampler, &why->info));
	TRY(sampler_bias(r->sampler, g->bias, g->n_bias, &why->info));
	TRY(prepare_pictures(r, g, &why->info));
	TRY(prepare_prompt(r, g, &thinking, why));
	TRY(prepare_chat(r, g, &why->info));
	TRY(prepare_grammar(r, g, &why->info));
	TRY(ops->think(backend, g, &tags));
	TRY(prepare_think(r, g, &tags, &why->info));
	TRY(prepare_text(r, g, &tags, thinking, &why->info));
	TRY(prepare_logprobs(r, g, caps->n_vocab));
	TRY(prepare_resume(r, g, &why->info));
	*ret = TAKE(r);
	return OK;
}

enum err request_count(const struct engine_backend_ops *ops, void *backend,
	const struct gen_request *g, uint64_t *ret, struct err_info *info)
{
	AUTO_PROMPT struct engine_prompt p = { 0 };
	AUTO(request) struct request *r = mem_zalloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->ops = ops;
	r->backend = backend;
	TRY(prepare_pictures(r, g, info));
	TRY(ops->prompt(backend, g, r->picture, &p, info));
	*ret = p.tokens.n;
	return OK;
}

uint32_t request_answer_tokens(const struct request *r)
{
	return (uint32_t)r->feed.n - r->prompt_tokens;
}

uint32_t request_cells(const struct request *r)
{
	uint32_t rest = r->limit - r->prompt_tokens;
	if (r->sampling.num_predict > 0 && (uint32_t)r->sampling.num_predict < rest)
		rest = (uint32_t)r->sampling.num_predict;
	return r->prompt_tokens + rest;
}
