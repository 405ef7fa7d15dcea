/* The tokenizer: tokenizer.json (WordPiece or Unigram), or a vocab.txt of WordPiece. */
#include "models/convert_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/hex.h"

enum kind { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED }; /* libllama's token types */
#define BLANK "\xe2\x96\x81" /* U+2581, which stands for a blank before a word */

enum { VOCAB_TEXT_MAX = 64 * 1024 * 1024, CHARSMAP_MAX = 4 * 1024 * 1024, PIECE_MAX = 16 * 1024 };

struct vocab {
	size_t n;          /* rows of the embeddings */
	struct str *text;  /* borrowed; ptr NULL: a row that no token has */
	int32_t *kind;
	float *score;      /* Unigram */
	bool unigram, lowercase, strip_accents;
	struct buf charsmap;
	json_t *json;      /* owns the texts, or .. */
	char *lines;       /* .. this does */
};

static void vocab_done(struct vocab *v)
{
	mem_free(v->text);
	mem_free(v->kind);
	mem_free(v->score);
	buf_done(&v->charsmap);
	json_decref(v->json);
	mem_free(v->lines);
}

static enum err vocab_init(struct vocab *v, size_t n)
{
	v->n = n;
	v->charsmap = BUF(CHARSMAP_MAX);
	v->text = mem_zalloc(n, sizeof *v->text);
	v->kind = mem_zalloc(n, sizeof *v->kind);
	v->score = mem_zalloc(n, sizeof *v->score);
	return v->text && v->kind && v->score ? OK : ERR_NOMEM;
}

static enum err bad(struct err_info *info, const char *what)
{
	return convert_bad(info, "tokenizer.json", "%s", what);
}

static enum err add(struct vocab *v, uint64_t id, struct str text, struct err_info *info)
{
	if (id >= v->n)
		return bad(info, "a token's number is beyond vocab_size of config.json");
	if (v->text[id].ptr)
		return bad(info, "two tokens have one number");
	if (text.len > PIECE_MAX)
		return bad(info, "a token is too long");
	v->text[id] = text;
	v->kind[id] = NORMAL;
	return OK;
}

/* The number of a token. The lists are walked once for each of a handful. */
static bool id_of(const struct vocab *v, const char *text, uint32_t *ret)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->text[i].ptr && str_eq(v->text[i], str_from(text))) {
			*ret = (uint32_t)i;
			return true;
		}
	return false;
}

/* ---- tokenizer.json ---- */

static enum err read_wordpiece(struct vocab *v, const json_t *model, struct err_info *info)
{
	const json_t *list = json_object_get(model, "vocab");
	const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
	const char *text;
	json_t *id;
	if (prefix && strcmp(prefix, "##") != 0)
		return bad(info, "the parts of words are not marked with ##");
	if (!json_is_object(list))
		return bad(info, "it has no list of tokens");
	json_object_foreach((json_t *)(uintptr_t)list, text, id)
	{
		if (!json_is_integer(id) || json_integer_value(id) < 0)
			return bad(info, "a token has no number");
		TRY(add(v, (uint64_t)json_integer_value(id), str_from(text), info));
	}
	return OK;
}

static enum err read_unigram(struct vocab *v, const json_t *model, struct err_info *info)
{
	const json_t *list = json_object_get(model, "vocab"), *pair;
	const json_t *unknown = json_object_get(model, "unk_id");
	size_t i;
	if (!json_is_array(list))
		return bad(info, "it has no list of tokens");
	json_array_foreach(list, i, pair)
	{
		const json_t *text = json_array_get(pair, 0), *score = json_array_get(pair, 1);
		double s = json_number_value(score);
		if (!json_is_string(text) || !json_is_number(score) || !isfinite((float)s))
			return bad(info, "a token has no text or no score");
		TRY(add(v, i, (struct str){ json_string_value(text), json_string_length(text) },
			info));
		v->score[i] = (float)s;
	}
	json_int_t id = json_integer_value(unknown);
	if (!json_is_integer(unknown) || id < 0 || (size_t)id >= v->n || !v->text[id].ptr)
		return bad(info, "it does not say which token stands for the unknown");
	v->kind[id] = UNKNOWN;
	return OK;
}

static enum err read_added(struct vocab *v, const json_t *root, struct err_info *info)
{
	const json_t *list = json_object_get(root, "added_tokens"), *t;
	size_t i;
	json_array_foreach(list, i, t)
	{
		const json_t *text = json_object_get(t, "content"), *id = json_object_get(t, "id");
		bool special = json_is_true(json_object_get(t, "special"));
		if (!json_is_string(text) || !json_is_integer(id) || json_integer_value(id) < 0 ||
			(uint64_t)json_integer_value(id) >= v->n)
			return bad(info, "an added token has no text or no number");
		size_t at = (size_t)json_integer_value(id);
		struct str s = { json_string_value(text), json_string_length(text) };
		if (!v->text[at].ptr)
			TRY(add(v, at, s, info));
		else if (!str_eq(v->text[at], s))
			return bad(info, "two tokens have one number");
		if (!v->unigram || v->kind[at] != UNKNOWN)
			v->kind[at] = special ? CONTROL : USER_DEFINED;
	}
	return OK;
}

/* BERT's rules for letters; Unigram's table of replacements. One step, or a list of steps. */
static enum err read_normalizer(struct vocab *v, const json_t *o, struct err_info *info)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	const json_t *step, *list = json_object_get(o, "normalizers");
	size_t i;
	if (!type)
		return OK;
	if (!strcmp(type, "Sequence")) {
		json_array_foreach(list, i, step)
		{
			if (json_is_object(json_object_get(step, "normalizers")))
				return bad(info, "its steps are nested");
			const char *inner = json_string_value(json_object_get(step, "type"));
			if (inner && !strcmp(inner, "Sequence"))
				return bad(info, "its steps are nested");
			TRY(read_normalizer(v, step, info));
		}
	} else if (!strcmp(type, "BertNormalizer")) {
		const json_t *lower = json_object_get(o, "lowercase");
		const json_t *strip = json_object_get(o, "strip_accents");
		v->lowercase = !json_is_false(lower);
		v->strip_accents = json_is_boolean(strip) ? json_is_true(strip) : v->lowercase;
	} else if (!strcmp(type, "Precompiled")) {
		const json_t *map = json_object_get(o, "precompiled_charsmap");
		struct str text = { json_string_value(map), json_string_length(map) };
		buf_clear(&v->charsmap);
		enum err e = text.ptr ? b64_decode(text, &v->charsmap) : OK;
		if (e == ERR_NOMEM)
			return e;
		if (e)
			return bad(info, "its table of replacements is not readable");
	} else if (strcmp(type, "Replace") != 0 && strcmp(type, "Strip") != 0) {
		return err_set(info, ERR_UNSUPPORTED,
			"tokenizer.json: the step \"%.60s\" is not supported", type);
	}
	return OK;
}

static enum err read_json(struct vocab *v, const struct make_part *p, struct err_info *info)
{
	TRY(convert_json(p, CONVERT_JSON_MAX, &v->json, info));
	const json_t *model = json_object_get(v->json, "model");
	const char *type = json_string_value(json_object_get(model, "type"));
	/* older files of WordPiece do not say so, but have this */
	if (!type && json_object_get(model, "continuing_subword_prefix"))
		type = "WordPiece";
	v->unigram = type && !strcmp(type, "Unigram");
	if (!v->unigram && (!type || strcmp(type, "WordPiece") != 0))
		return err_set(info, ERR_UNSUPPORTED,
			"tokenizer.json: \"%.60s\" is not supported; WordPiece and Unigram are",
			type ? type : "?");
	TRY(v->unigram ? read_unigram(v, model, info) : read_wordpiece(v, model, info));
	TRY(read_added(v, v->json, info));
	return read_normalizer(v, json_object_get(v->json, "normalizer"), info);
}

/* ---- vocab.txt ---- */

static enum err read_casing(const struct make_part *parts, size_t n, struct vocab *v,
	struct err_info *info)
{
	const struct make_part *p = convert_find(parts, n, "tokenizer_config.json");
	AUTO_JSON json_t *o = NULL;
	if (!p)
		return OK;
	TRY(convert_json(p, 1024 * 1024, &o, info));
	const json_t *strip = json_object_get(o, "strip_accents");
	v->lowercase = !json_is_false(json_object_get(o, "do_lower_case"));
	v->strip_accents = json_is_boolean(strip) ? json_is_true(strip) : v->lowercase;
	return OK;
}

static enum err read_lines(const struct make_part *p, struct vocab *v, struct err_info *info)
{
	static const char *const control[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
	struct str line, rest;
	uint32_t id;
	if (p->size > VOCAB_TEXT_MAX)
		return convert_bad(info, "vocab.txt", "it is too large");
	v->lines = mem_alloc((size_t)p->size + 1);
	if (!v->lines)
		return ERR_NOMEM;
	TRY(p->read(p->arg, 0, v->lines, (size_t)p->size));
	rest = (struct str){ v->lines, (size_t)p->size };
	if (!str_is_utf8(rest) || memchr(v->lines, 0, rest.len))
		return convert_bad(info, "vocab.txt", "it is not UTF-8 text");
	for (uint64_t at = 0; rest.len && str_next(&rest, '\n', &line); at++) {
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len)
			TRY(add(v, at, line, info));
	}
	for (size_t i = 0; i < sizeof control / sizeof *control; i++)
		if (id_of(v, control[i], &id))
			v->kind[id] = CONTROL;
	return OK;
}

/* ---- into the file ---- */

static enum err put_marks(const struct vocab *v, struct gguf_out *o, struct err_info *info)
{
	static const struct {
		const char *key, *wordpiece, *unigram;
		bool needed;
	} marks[] = {
		{ "bos", "[CLS]", "<s>", true },
		{ "eos", "[SEP]", "</s>", true },
		{ "cls", "[CLS]", "<s>", true },
		{ "seperator", "[SEP]", "</s>", true }, /* the format's spelling */
		{ "unknown", "[UNK]", "<unk>", true },
		{ "padding", "[PAD]", "<pad>", false },
		{ "mask", "[MASK]", "<mask>", false },
	};
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
		char key[64];
		uint32_t id;
		const char *text = v->unigram ? marks[i].unigram : marks[i].wordpiece;
		if (!id_of(v, text, &id)) {
			if (marks[i].needed)
				return err_set(info, ERR_MODEL_BAD,
					"the tokenizer has no token \"%s\"", text);
			continue;
		}
		(void)snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", marks[i].key);
		gguf_out_u32(o, key, id);
	}
	gguf_out_bool(o, "tokenizer.ggml.add_bos_token", true);
	gguf_out_bool(o, "tokenizer.ggml.add_eos_token", true);
	/* between two texts XLM-RoBERTa has two marks */
	gguf_out_bool(o, "tokenizer.ggml.add_sep_token", v->unigram);
	return OK;
}

/* libllama wants WordPiece the other way round: what begins a word is marked, not what goes on. */
static void put_text(const struct vocab *v, size_t i, struct gguf_out *o)
{
	char none[32];
	struct str s = v->text[i];
	if (!s.ptr) {
		(void)snprintf(none, sizeof none, "[PAD%zu]", i);
		gguf_out_text(o, str_from(none), STR(""));
	} else if (v->unigram || v->kind[i] == CONTROL) {
		gguf_out_text(o, s, STR(""));
	} else if (str_starts(s, STR("##"))) {
		gguf_out_text(o, str_sub(s, 2, SIZE_MAX), STR(""));
	} else {
		gguf_out_text(o, STR(BLANK), s);
	}
}

static enum err put_vocab(
	struct vocab *v, uint64_t types, struct gguf_out *o, struct err_info *info)
{
	gguf_out_str(o, "tokenizer.ggml.model", v->unigram ? STR("t5") : STR("bert"));
	gguf_out_str(o, "tokenizer.ggml.pre", STR("default"));
	gguf_out_u32(o, "tokenizer.ggml.token_type_count", (uint32_t)types);
	gguf_out_texts(o, "tokenizer.ggml.tokens", v->n);
	for (size_t i = 0; i < v->n; i++) {
		put_text(v, i, o);
		if (!v->text[i].ptr) {
			v->kind[i] = UNUSED;
			v->score[i] = -10000;
		}
	}
	gguf_out_i32s(o, "tokenizer.ggml.token_type", v->kind, v->n);
	if (v->unigram) {
		gguf_out_f32s(o, "tokenizer.ggml.scores", v->score, v->n);
		gguf_out_bool(o, "tokenizer.ggml.add_space_prefix", true);
		gguf_out_bool(o, "tokenizer.ggml.remove_extra_whitespaces", true);
		if (v->charsmap.len)
			gguf_out_u8s(o, "tokenizer.ggml.precompiled_charsmap",
				buf_str(&v->charsmap));
	} else {
		gguf_out_bool(o, "tokenizer.ggml.normalizer.lowercase", v->lowercase);
		gguf_out_bool(o, "tokenizer.ggml.normalizer.strip_accents", v->strip_accents);
	}
	return put_marks(v, o, info);
}

enum err convert_tokens(const struct make_part *parts, size_t n, const struct convert_config *c,
	struct gguf_out *o, struct err_info *info)
{
	const struct make_part *json = convert_find(parts, n, "tokenizer.json");
	const struct make_part *lines = convert_find(parts, n, "vocab.txt");
	struct vocab v = { .lowercase = true, .strip_accents = true };
	if (!json && !lines)
		return err_set(info, ERR_UNSUPPORTED,
			"the model's folder has no tokenizer.json (and no vocab.txt)");
	enum err e = vocab_init(&v, (size_t)c->vocab);
	if (!e && json)
		e = read_json(&v, json, info);
	if (!e && !json)
		e = read_lines(lines, &v, info);
	if (!e && !json)
		e = read_casing(parts, n, &v, info);
	if (!e)
		e = put_vocab(&v, c->types, o, info);
	vocab_done(&v);
	return e;
}
