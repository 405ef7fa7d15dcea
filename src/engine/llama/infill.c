/* The prompt that asks a model for what stands between two texts. The order of the parts is
 * llama-server's (format_prompt_infill() in its server-common.cpp) and, with other files, the one
 * of Qwen2.5-Coder's report (arXiv 2409.12186, repository level):
 *
 *   [REP] project [SEP] name file .. [SEP] name   [PRE] before, lead [SUF] behind [MID]
 *
 * Texts are a person's: they name no control tokens. */
#include "engine/llama/template.h"

#include "base/fault.h"
#include "base/json.h"

enum { FILES_MAX = 4096 };

struct fim {
	int32_t pre, suf, mid, rep, sep; /* below 0: the model has none */
};

struct others { /* other files, as tokens */
	struct tokens all;
	struct tokens starts; /* of each file in `all` */
};

static enum err put_text(const struct llama_backend *b, struct str s, struct tokens *out)
{
	return s.len ? llama_tokens(b, s, false, out) : OK;
}

static enum err put_named(
	const struct llama_backend *b, const struct fim *f, struct str name, struct tokens *out)
{
	TRY(tokens_add(out, &f->sep, 1));
	TRY(put_text(b, name, out));
	return put_text(b, STR("\n"), out);
}

/* Without a token between files their texts are told apart by a line. */
static enum err put_file(const struct llama_backend *b, const struct fim *f, const json_t *file,
	size_t i, struct others *o, struct err_info *info)
{
	struct str name = STR_NONE, text = STR_NONE;
	int32_t at = (int32_t)o->all.n;
	if (!json_is_object(file) || json_want_str(file, "filename", false, &name, NULL) ||
		json_want_str(file, "text", true, &text, NULL))
		return err_set(info, ERR_INVALID,
			"input_extra[%zu] must be an object with \"text\" and \"filename\"", i);
	TRY(tokens_add(&o->starts, &at, 1));
	if (f->sep >= 0)
		TRY(put_named(b, f, name.len ? name : STR("tmp"), &o->all));
	else
		TRY(put_text(b, STR("\n\n--- snippet ---\n\n"), &o->all));
	return put_text(b, text, &o->all);
}

static enum err read_files(const struct llama_backend *b, const struct fim *f, struct str json,
	struct others *o, struct err_info *info)
{
	AUTO_JSON json_t *list = NULL;
	if (!json.len)
		return OK;
	TRY(json_read(json, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &list, info));
	if (!json_is_array(list) || json_array_size(list) > FILES_MAX)
		return err_set(
			info, ERR_INVALID, "input_extra must be a list of at most %d", FILES_MAX);
	for (size_t i = 0; i < json_array_size(list); i++)
		TRY(put_file(b, f, json_array_get(list, i), i, o, info));
	return OK;
}

static enum err put_gap(const struct llama_backend *b, const struct fim *f,
	const struct gen_request *g, struct tokens *out)
{
	TRY(tokens_add(out, &f->pre, 1));
	TRY(put_text(b, g->input, out));
	TRY(put_text(b, g->lead, out));
	TRY(tokens_add(out, &f->suf, 1));
	TRY(put_text(b, g->suffix, out));
	return tokens_add(out, &f->mid, 1);
}

/* Tokens that other files may take: what the gap's own and an answer leave. */
static size_t room_for_files(
	const struct llama_backend *b, const struct gen_request *g, size_t gap)
{
	uint32_t limit = b->caps.n_ctx;
	if (g->max_context && g->max_context < limit)
		limit = g->max_context;
	uint32_t answer = limit / 4;
	if (g->sampling.num_predict > 0 && (uint32_t)g->sampling.num_predict < answer)
		answer = (uint32_t)g->sampling.num_predict;
	return gap + answer < limit ? limit - answer - gap : 0;
}

/* The last files are the nearest: from the first on they are left out until the rest fits. */
static enum err put_files(const struct llama_backend *b, const struct fim *f,
	const struct others *o, size_t room, struct engine_prompt *ret)
{
	AUTO_TOKENS struct tokens head = { 0 }, tail = { 0 };
	size_t from = o->all.n;
	if (f->rep >= 0) {
		TRY(tokens_add(&head, &f->rep, 1));
		TRY(put_text(b, STR("myproject\n"), &head));
	}
	if (f->sep >= 0)
		TRY(put_named(b, f, STR("filename"), &tail));
	size_t marks = head.n + tail.n;
	for (size_t i = o->starts.n; i-- > 0;) {
		size_t at = (size_t)o->starts.v[i];
		if (marks + o->all.n - at > room)
			break;
		from = at;
	}
	ret->n_left_out = (uint32_t)from;
	if (from == o->all.n)
		return OK;
	TRY(tokens_add(&ret->tokens, head.v, head.n));
	TRY(tokens_add(&ret->tokens, o->all.v + from, o->all.n - from));
	return tokens_add(&ret->tokens, tail.v, tail.n);
}

/* A model's explicit template may say how (Ollama's .Suffix); it knows no other files, and only a
 * gap with text on both sides. *ret_done: it did. */
static enum err by_template(struct llama_backend *b, const struct gen_request *g, bool *ret_done,
	struct engine_prompt *ret, struct err_info *info)
{
	const struct llama_template *t;
	*ret_done = false;
	if (!g->template_.len || !g->input.len || !g->suffix.len || g->lead.len || g->extra.len)
		return OK;
	TRY(llama_template_get(b, g, &t, info));
	enum err e = OK;
	if (t->go && gotmpl_uses(t->go, "Suffix")) {
		e = llama_gap_tokens(b, t->go, g, ret, info);
		*ret_done = true;
	}
	llama_template_put(b, t);
	return e;
}

static enum err by_tokens(struct llama_backend *b, const struct gen_request *g,
	struct engine_prompt *ret, struct err_info *info)
{
	const struct llama_vocab *v = b->vocab;
	struct fim f = { llama_vocab_fim_pre(v), llama_vocab_fim_suf(v), llama_vocab_fim_mid(v),
		llama_vocab_fim_rep(v), llama_vocab_fim_sep(v) };
	AUTO_TOKENS struct tokens gap = { 0 };
	if (f.pre < 0 || f.suf < 0 || f.mid < 0)
		return err_set(info, ERR_UNSUPPORTED,
			"this model cannot fill in between two texts: it has no %s token",
			f.pre < 0   ? "FIM prefix"
			: f.suf < 0 ? "FIM suffix"
				    : "FIM middle");
	struct others o = { 0 };
	enum err e = put_gap(b, &f, g, &gap);
	if (!e)
		e = read_files(b, &f, g->extra, &o, info);
	int32_t bos = llama_vocab_bos(v);
	if (!e && llama_vocab_get_add_bos(v) && bos >= 0)
		e = tokens_add(&ret->tokens, &bos, 1);
	if (!e)
		e = put_files(b, &f, &o, room_for_files(b, g, gap.n + ret->tokens.n), ret);
	if (!e)
		e = tokens_add(&ret->tokens, gap.v, gap.n);
	tokens_done(&o.all);
	tokens_done(&o.starts);
	return e;
}

enum err llama_infill(struct llama_backend *b, const struct gen_request *g,
	struct engine_prompt *ret, struct err_info *info)
{
	bool done;
	TRY(by_template(b, g, &done, ret, info));
	return done ? OK : by_tokens(b, g, ret, info);
}
