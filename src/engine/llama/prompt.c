/* From messages or text to tokens: the model's chat template, and which text may name control tokens. */
#include "engine/llama/backend_int.h"

#include <ctype.h>
#include <string.h>

#include "base/fault.h"
#include "base/json.h"

enum {
	TEMPLATE_SECONDS = 5, /* for one rendering; a working template needs milliseconds */
	SEGMENTS_MAX = 1 << 20,
};

struct segment {
	size_t from, len;
	bool input;
};
struct rendering { /* text of the prompt, piece by piece */
	struct buf text;
	struct segment *v;
	size_t n, cap;
	enum err err;
};

static void add_part(void *arg, const char *text, size_t len, bool input)
{
	struct rendering *r = arg;
	if (r->err || !len)
		return;
	if (r->n && r->v[r->n - 1].input == input) {
		r->v[r->n - 1].len += len;
		r->err = buf_add(&r->text, (struct str){ text, len });
		return;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		struct segment *v = cap > SEGMENTS_MAX ? NULL : mem_realloc(r->v, cap * sizeof *v);
		if (!v) {
			r->err = ERR_NOMEM;
			return;
		}
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct segment){ r->text.len, len, input };
	r->err = buf_add(&r->text, (struct str){ text, len });
}

enum err llama_tokens(
	const struct llama_backend *b, struct str s, bool special, struct tokens *out)
{
	size_t guess = s.len / 2 + 16;
	for (int round = 0; round < 2; round++) {
		TRY(tokens_reserve(out, guess));
		size_t room = out->cap - out->n;
		int32_t n = shim_tokenize(b->vocab, s.ptr, s.len, out->v + out->n,
			room > INT32_MAX ? INT32_MAX : (int32_t)room, special);
		if (n >= 0) {
			out->n += (size_t)n;
			return OK;
		}
		if (n == INT32_MIN)
			return ERR_LIMIT;
		guess = (size_t) - (int64_t)n;
	}
	return ERR_LIMIT;
}

/* Would this text of a person become control tokens, if they were looked for? */
static enum err is_harmless(const struct llama_backend *b, struct str s, bool *ret)
{
	AUTO_TOKENS struct tokens plain = { 0 }, special = { 0 };
	*ret = true;
	size_t i = 0;
	while (i < s.len && !b->special_first[(unsigned char)s.ptr[i]])
		i++;
	if (i == s.len)
		return OK;
	TRY(llama_tokens(b, s, false, &plain));
	TRY(llama_tokens(b, s, true, &special));
	*ret = plain.n == special.n && tokens_common(&plain, &special) == plain.n;
	return OK;
}

/* Text of the template may name control tokens, text of messages may not. As long as no message
 * tries, the whole is tokenized in one go, exactly as llama-server does; else piece by piece. */
static enum err tokenize_parts(
	const struct llama_backend *b, const struct rendering *r, struct tokens *out)
{
	bool harmless = true;
	for (size_t i = 0; i < r->n && harmless; i++)
		if (r->v[i].input)
			TRY(is_harmless(b, str_sub(buf_str(&r->text), r->v[i].from, r->v[i].len),
				&harmless));
	if (harmless)
		return llama_tokens(b, buf_str(&r->text), true, out);
	for (size_t i = 0; i < r->n; i++)
		TRY(llama_tokens(b, str_sub(buf_str(&r->text), r->v[i].from, r->v[i].len),
			!r->v[i].input, out));
	return OK;
}

/* Roles become text of the template in most models: only plain words. */
static enum err check_messages(struct str input, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL;
	TRY(json_read(input, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, info));
	if (!json_is_array(all) || !json_array_size(all))
		return err_set(
			info, ERR_INVALID, "messages must be a list with at least one message");
	for (size_t i = 0; i < json_array_size(all); i++) {
		struct str role = STR_NONE;
		TRY(json_want_str(json_array_get(all, i), "role", true, &role, info));
		bool ok = role.len > 0 && role.len <= 32;
		for (size_t k = 0; ok && k < role.len; k++)
			ok = islower((unsigned char)role.ptr[k]) || role.ptr[k] == '_';
		if (!ok)
			return err_set(info, ERR_INVALID, "messages[%zu].role is not a role", i);
	}
	return OK;
}

static enum err check_tools(struct str tools, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL;
	if (!tools.len)
		return OK;
	TRY(json_read(tools, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, info));
	return json_is_array(all) ? OK : err_set(info, ERR_INVALID, "tools must be a list");
}

static enum err render(struct llama_backend *b, const struct gen_request *g, struct rendering *r,
	struct err_info *info)
{
	if (!b->templates)
		return err_set(info, ERR_UNSUPPORTED, "the model's chat template does not work: %s",
			b->no_template);
	TRY(check_messages(g->input, info));
	TRY(check_tools(g->tools, info));
	AUTO_MEM char *messages = NULL, *tools = NULL;
	TRY(str_dup(g->input, &messages));
	TRY(str_dup(g->tools.len ? g->tools : STR(""), &tools));
	char why[SHIM_WHY] = "";
	llama_guard(b, TEMPLATE_SECONDS);
	enum shim_result e = shim_render(b->templates, messages, tools, add_part, r, why);
	llama_guard(b, 0);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID,
			"the model's chat template refused the messages: %s", why);
	return r->err;
}

/* Does the prompt end by opening the reasoning part? */
static bool opens_thinking(const struct llama_backend *b, struct str text)
{
	return b->think.start.len && str_ends(str_trim(text), b->think.start);
}

static enum err prompt_tokens(struct llama_backend *b, const struct gen_request *g,
	struct rendering *r, struct engine_prompt *ret, struct err_info *info)
{
	if (llama_vocab_get_add_bos(b->vocab) && !(g->kind == GEN_PROMPT && g->raw)) {
		int32_t bos = llama_vocab_bos(b->vocab);
		TRY(tokens_add(&ret->tokens, &bos, 1));
	}
	if (g->kind == GEN_PROMPT)
		return llama_tokens(b, g->input, true, &ret->tokens);
	TRY(render(b, g, r, info));
	ret->thinking = opens_thinking(b, buf_str(&r->text));
	return tokenize_parts(b, r, &ret->tokens);
}

enum err llama_op_prompt(void *backend, const struct gen_request *g, struct engine_prompt *ret,
	struct err_info *info)
{
	struct rendering r = { .text = BUF(2 * (size_t)LIMIT_IPC_BULK) };
	enum err e = prompt_tokens(llama_self(backend), g, &r, ret, info);
	buf_wipe(&r.text);
	mem_free(r.v);
	return e;
}

enum err llama_op_piece(void *backend, int32_t token, struct buf *out)
{
	char piece[512];
	int32_t n = shim_piece(llama_self(backend)->vocab, token, piece, sizeof piece, false);
	if (n < 0) {
		TRY(buf_reserve(out, (size_t) - (int64_t)n));
		n = shim_piece(llama_self(backend)->vocab, token, out->ptr + out->len, -n, false);
		if (n > 0)
			out->len += (size_t)n;
		return OK;
	}
	return buf_add(out, (struct str){ piece, (size_t)n });
}
