/* From messages or text to tokens: the model's chat template, and which text may name control
 * tokens. */
#include "engine/llama/marks.h"
#include "engine/llama/template.h"

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

enum err llama_tokens_marked(const struct llama_backend *b, struct str s, bool add, bool special,
	struct tokens *out)
{
	size_t guess = s.len / 2 + 16;
	for (int round = 0; round < 2; round++) {
		TRY(tokens_reserve(out, guess));
		size_t room = out->cap - out->n;
		int32_t n = shim_tokenize(b->vocab, (struct shim_text){ s.ptr, s.len },
			out->v + out->n, room > INT32_MAX ? INT32_MAX : (int32_t)room, add,
			special);
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

enum err llama_tokens(const struct llama_backend *b, struct str s, bool special, struct tokens *out)
{
	return llama_tokens_marked(b, s, false, special, out);
}

/* Would this text of a person become control tokens, if they were looked for? */
static enum err is_harmless(const struct llama_backend *b, struct str s, bool *ret)
{
	AUTO_TOKENS struct tokens plain = { 0 }, special = { 0 };
	*ret = true;
	if (!specials_possible(&b->specials, s))
		return OK;
	TRY(llama_tokens(b, s, false, &plain));
	TRY(llama_tokens(b, s, true, &special));
	*ret = plain.n == special.n && tokens_common(&plain, &special) == plain.n;
	return OK;
}

/* Text of the template may name control tokens, text of messages may not. As long as no message
 * tries, the whole is tokenized in one go, exactly as llama-server does; else piece by piece. */
static enum err tokenize_parts(const struct llama_backend *b, const struct rendering *r,
	const struct picture_marks *marks, struct engine_prompt *out)
{
	bool harmless = true;
	for (size_t i = 0; i < r->n && harmless; i++)
		if (r->v[i].input)
			TRY(is_harmless(b, str_sub(buf_str(&r->text), r->v[i].from, r->v[i].len),
				&harmless));
	if (harmless)
		return marks_tokens(b, marks, buf_str(&r->text), true, out);
	for (size_t i = 0; i < r->n; i++)
		TRY(marks_tokens(b, marks, str_sub(buf_str(&r->text), r->v[i].from, r->v[i].len),
			!r->v[i].input, out));
	return OK;
}

/* Roles become text of the template in most models: only plain words. */
static enum err check_messages(struct str input, json_t **ret, struct err_info *info)
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
	*ret = TAKE(all);
	return OK;
}

static enum err render_jinja(struct llama_backend *b, const struct shim_templates *t,
	const struct shim_ask *ask, struct rendering *r, struct err_info *info)
{
	char why[SHIM_WHY] = "";
	llama_guard(b, TEMPLATE_SECONDS);
	enum shim_result e = shim_render(t, ask, add_part, r, why);
	llama_guard(b, 0);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID,
			"the model's chat template refused the messages: %s", why);
	return r->err;
}

/* The pieces of a Go template's text. The tokenizer adds the token of the beginning: where the
 * template wrote it too, one of the two goes. */
static enum err take_parts(
	const struct llama_backend *b, const struct go_parts *p, struct rendering *r)
{
	char bos[256];
	int32_t token = llama_vocab_bos(b->vocab), n = 0;
	if (llama_vocab_get_add_bos(b->vocab) && token >= 0)
		n = shim_piece(b->vocab, token, bos, sizeof bos, true);
	for (size_t i = 0; i < p->spans.count; i++) {
		const struct gotmpl_span *s = &p->spans.list[i];
		struct str text = str_sub(buf_str(&p->text), s->offset, s->len);
		if (!i && !s->is_data && n > 0 && str_starts(text, (struct str){ bos, (size_t)n }))
			text = str_sub(text, (size_t)n, SIZE_MAX);
		add_part(r, text.ptr, text.len, s->is_data);
	}
	return r->err;
}

static enum err render_go(struct llama_backend *b, const struct gotmpl *t,
	const struct gen_request *g, const struct shim_ask *ask, struct rendering *r,
	struct err_info *info)
{
	AUTO_GO_PARTS struct go_parts p = { 0 };
	llama_guard(b, TEMPLATE_SECONDS);
	enum err e = go_render(t, g, str_from(ask->messages), ask->tools, &p, info);
	llama_guard(b, 0);
	TRY(e);
	return take_parts(b, &p, r);
}

/* Renders messages; `generation`: the prompt goes on with the model's answer (with a template in
 * Go it always does). */
static enum err render(struct llama_backend *b, const struct llama_template *t,
	const struct gen_request *g, struct str messages, bool generation, struct rendering *r,
	struct err_info *info)
{
	AUTO_ASK struct llama_ask a = { 0 };
	TRY(llama_ask_new(g, messages, &a, info));
	a.ask.generation = generation;
	if (!generation)
		a.ask.tools = ""; /* whoever else shares the beginning did not offer them */
	return t->go ? render_go(b, t->go, g, &a.ask, r, info)
		     : render_jinja(b, t->jinja, &a.ask, r, info);
}

/* Does the prompt end by opening the reasoning part? */
static bool opens_thinking(const struct llama_template *t, struct str text)
{
	return t->think.start[0] && str_ends(str_trim(text), str_from(t->think.start));
}

static enum err start_of_prompt(
	const struct llama_backend *b, const struct gen_request *g, struct tokens *out)
{
	if (!llama_vocab_get_add_bos(b->vocab) || (g->kind == GEN_PROMPT && g->raw))
		return OK;
	int32_t bos = llama_vocab_bos(b->vocab);
	return tokens_add(out, &bos, 1);
}

static void rendering_done(struct rendering *r)
{
	buf_wipe(&r->text);
	mem_free(r->v);
}

struct messages { /* of a request */
	const struct gen_request *g;
	const struct llama_template *t;
	const struct picture_marks *marks;
	const json_t *all;
};

/* Renders messages and makes tokens of the text; it stays in `r`, which the caller frees. */
static enum err render_tokens(struct llama_backend *b, const struct messages *m,
	struct str messages, struct rendering *r, struct engine_prompt *ret, struct err_info *info)
{
	TRY(start_of_prompt(b, m->g, &ret->tokens));
	TRY(render(b, m->t, m->g, messages, true, r, info));
	ret->thinking = opens_thinking(m->t, buf_str(&r->text));
	return tokenize_parts(b, r, m->marks, ret);
}

enum err llama_gap_tokens(struct llama_backend *b, const struct gotmpl *t,
	const struct gen_request *g, struct engine_prompt *ret, struct err_info *info)
{
	AUTO_GO_PARTS struct go_parts p = { 0 };
	struct rendering r = { .text = BUF(2 * (size_t)LIMIT_IPC_BULK) };
	struct picture_marks none;
	marks_init(&none, NULL, 0);
	TRY(start_of_prompt(b, g, &ret->tokens));
	TRY(go_render_gap(t, g, &p, info));
	enum err e = take_parts(b, &p, &r);
	if (!e)
		e = tokenize_parts(b, &r, &none, ret);
	rendering_done(&r);
	return e;
}

/* ---- who may share the beginning ---- */

enum share { SHARE_PERSON, SHARE_GROUP, SHARE_COMPANY };

static enum err read_share(const json_t *message, size_t i, enum share *ret, struct err_info *info)
{
	struct str s = STR_NONE;
	TRY(json_want_str(message, "share", false, &s, info));
	*ret = SHARE_PERSON;
	if (str_eq(s, STR("company")))
		*ret = SHARE_COMPANY;
	else if (str_eq(s, STR("group")))
		*ret = SHARE_GROUP;
	else if (s.len && !str_eq(s, STR("person")))
		return err_set(info, ERR_INVALID,
			"messages[%zu].share must be person, group or company", i);
	return OK;
}

/* The first messages that at least `share` may read; true: all of them are the system's. */
static enum err leading(
	const json_t *all, enum share share, size_t *ret, bool *ret_system, struct err_info *info)
{
	size_t n = 0;
	*ret_system = true;
	for (; n < json_array_size(all); n++) {
		enum share s;
		struct str role = STR_NONE;
		TRY(read_share(json_array_get(all, n), n, &s, info));
		if (s < share)
			break;
		TRY(json_want_str(json_array_get(all, n), "role", true, &role, info));
		*ret_system = *ret_system && str_eq(role, STR("system"));
	}
	*ret = n;
	return OK;
}

/* A prompt's text and tokens. */
struct whole {
	struct str text;
	const struct engine_prompt *prompt;
};

/* How many tokens lie within the first n bytes of the text. False: they are not its bytes one after
 * the other (spaces that a vocabulary adds, pictures). */
static bool tokens_within(const struct llama_backend *b, const struct whole *w, bool start,
	size_t n, uint32_t *ret)
{
	const struct tokens *t = &w->prompt->tokens;
	size_t at = 0;
	if (w->prompt->media.n)
		return false;
	*ret = start;
	for (size_t i = start; i < t->n && at < n; i++) {
		char piece[256];
		int32_t len = shim_piece(b->vocab, t->v[i], piece, sizeof piece, true);
		if (len < 0 || !str_eq(str_sub(w->text, at, (size_t)len),
				       (struct str){ piece, (size_t)len }))
			return false;
		at += (size_t)len;
		if (at <= n)
			*ret = (uint32_t)i + 1;
	}
	return at >= n;
}

/* Bytes in common, up to the last whole character. */
static size_t common_bytes(struct str a, struct str b)
{
	size_t n = 0;
	while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
		n++;
	while (n && n < a.len && ((unsigned char)a.ptr[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* Tokens that a rendering has in common with the whole prompt. As a rule its text is a beginning of
 * the prompt's, whose tokens are known. */
static enum err rendering_common(struct llama_backend *b, const struct messages *m,
	const struct rendering *part, const struct whole *whole, uint32_t *ret)
{
	struct engine_prompt read = { 0 };
	TRY(start_of_prompt(b, m->g, &read.tokens));
	bool start = read.tokens.n > 0;
	size_t n = common_bytes(buf_str(&part->text), whole->text);
	enum err e = OK;
	if (!tokens_within(b, whole, start, n, ret)) {
		e = tokenize_parts(b, part, m->marks, &read);
		*ret = (uint32_t)tokens_common(&read.tokens, &whole->prompt->tokens);
	}
	engine_prompt_done(&read);
	return e;
}

static enum err common_tokens(struct llama_backend *b, const struct messages *m, size_t n,
	bool with_user, const struct whole *whole, uint32_t *ret)
{
	AUTO_BUF struct buf text = BUF(LIMIT_IPC_BULK);
	struct rendering part = { .text = BUF(2 * (size_t)LIMIT_IPC_BULK) };
	struct jw w;
	jw_init(&w, &text);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jw_json(&w, json_array_get(m->all, i));
	if (with_user) /* a sign that nobody begins with; it is not in common */
		jw_raw(&w, STR("{\"role\":\"user\",\"content\":\"\xe2\x81\xa0\"}"));
	jw_end(&w);
	enum err e = text.err;
	if (!e)
		e = render(b, m->t, m->g, buf_str(&text), false, &part, NULL);
	if (!e)
		e = rendering_common(b, m, &part, whole, ret);
	if (e) /* a template that takes no such beginning alone: then it is not shared */
		*ret = 0;
	rendering_done(&part);
	return e == ERR_NOMEM ? e : OK;
}

/* Tokens that come from the leading messages of `share` alone: those that a rendering of only them
 * has in common with the prompt. Some templates write system text into the next message of the
 * user; then one is put behind. */
static enum err border(struct llama_backend *b, const struct messages *m, size_t n, bool system,
	const struct whole *whole, uint32_t *ret)
{
	*ret = 0;
	if (!n)
		return OK;
	TRY(common_tokens(b, m, n, false, whole, ret));
	if (*ret <= 1 && system)
		TRY(common_tokens(b, m, n, true, whole, ret));
	return OK;
}

static enum err find_borders(struct llama_backend *b, const struct messages *m, struct str text,
	struct engine_prompt *ret, struct err_info *info)
{
	const struct whole whole = { text, ret };
	size_t company = 0, group = 0;
	bool company_system = false, group_system = false;
	TRY(leading(m->all, SHARE_COMPANY, &company, &company_system, info));
	TRY(leading(m->all, SHARE_GROUP, &group, &group_system, info));
	TRY(border(b, m, company, company_system, &whole, &ret->n_company));
	ret->n_group = ret->n_company;
	if (group > company)
		TRY(border(b, m, group, group_system, &whole, &ret->n_group));
	if (ret->n_group < ret->n_company)
		ret->n_group = ret->n_company;
	return OK;
}

/* The messages' text with a mark for each picture; *ret is `text`'s, or the input itself. */
static enum err mark_pictures(struct picture_marks *marks, json_t *all, struct buf *text,
	struct str *ret, struct err_info *info)
{
	struct jw w;
	if (!marks->n)
		return OK;
	TRY(marks_put(marks, all, info));
	jw_init(&w, text);
	jw_json(&w, all);
	*ret = buf_str(text);
	return text->err;
}

/* Every picture was passed on by the template. */
static enum err check_placed(
	const struct picture_marks *marks, const struct engine_prompt *p, struct err_info *info)
{
	size_t placed = 0;
	for (size_t i = 0; i < p->media.n; i++) /* a picture's first run */
		placed += !i || p->media.v[i].of != p->media.v[i - 1].of ||
			  p->media.v[i].part <= p->media.v[i - 1].part;
	if (placed == marks->set)
		return OK;
	return err_set(
		info, ERR_INVALID, "the model's chat template does not pass pictures on");
}

static enum err chat_prompt(struct llama_backend *b, const struct gen_request *g,
	const struct llama_template *t, struct engine_picture *const *pictures,
	struct engine_prompt *ret, struct err_info *info)
{
	AUTO_BUF struct buf marked = BUF(LIMIT_IPC_BULK);
	AUTO_JSON json_t *all = NULL;
	struct picture_marks marks;
	struct str input = g->input;
	TRY(check_messages(g->input, &all, info));
	marks_init(&marks, pictures, g->n_pictures);
	TRY(mark_pictures(&marks, all, &marked, &input, info));
	struct messages m = { g, t, &marks, all };
	struct rendering r = { .text = BUF(2 * (size_t)LIMIT_IPC_BULK) };
	enum err e = render_tokens(b, &m, input, &r, ret, info);
	if (!e)
		e = check_placed(&marks, ret, info);
	if (!e)
		e = find_borders(b, &m, buf_str(&r.text), ret, info);
	rendering_done(&r);
	return e;
}

enum err llama_op_prompt(void *backend, const struct gen_request *g,
	struct engine_picture *const *pictures, struct engine_prompt *ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	const struct llama_template *t;
	if (g->kind != GEN_CHAT && g->n_pictures)
		return err_set(info, ERR_INVALID, "a raw prompt takes no pictures");
	if (g->kind == GEN_INFILL)
		return llama_infill(b, g, ret, info);
	if (g->kind == GEN_PROMPT) {
		TRY(start_of_prompt(b, g, &ret->tokens));
		return llama_tokens(b, g->input, true, &ret->tokens);
	}
	TRY(llama_template_get(b, g, &t, info));
	enum err e = chat_prompt(b, g, t, pictures, ret, info);
	llama_template_put(b, t);
	return e;
}

static enum err add_piece(
	const struct llama_backend *b, int32_t token, bool special, struct buf *out)
{
	char piece[512];
	int32_t n = shim_piece(b->vocab, token, piece, sizeof piece, special);
	if (n < 0) {
		TRY(buf_reserve(out, (size_t) - (int64_t)n));
		n = shim_piece(b->vocab, token, out->ptr + out->len, -n, special);
		if (n > 0)
			out->len += (size_t)n;
		return OK;
	}
	return buf_add(out, (struct str){ piece, (size_t)n });
}

enum err llama_op_piece(void *backend, int32_t token, struct buf *out)
{
	return add_piece(llama_self(backend), token, false, out);
}

enum err llama_op_piece_all(void *backend, int32_t token, struct buf *out)
{
	return add_piece(llama_self(backend), token, true, out);
}
