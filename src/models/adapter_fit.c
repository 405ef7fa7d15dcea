#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "models/adapter.h"
#include "models/gguf.h"

#define HALF_A ".lora_a"
#define HALF_B ".lora_b"
enum { HALF_LEN = sizeof HALF_A - 1 };

[[gnu::format(printf, 2, 3)]]
static enum err bad(struct err_info *info, const char *fmt, ...)
{
	char text[GGUF_WHY_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(info, ERR_MODEL_BAD, "not a usable adapter: %s", text);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static enum err by_name(const json_t *described, json_t **ret)
{
	AUTO_JSON json_t *names = json_object();
	const json_t *list = json_object_get(described, "tensors");
	json_t *t;
	size_t i;
	if (!names)
		return ERR_NOMEM;
	json_array_foreach(list, i, t)
	{
		if (json_object_set(names, text_of(t, "name"), t))
			return ERR_NOMEM;
	}
	*ret = json_incref(names);
	return OK;
}

/* Dimensions that a tensor does not have are 1, as in ggml. */
static void shape_of(const json_t *tensor, json_int_t ret[GGUF_DIMS_MAX])
{
	const json_t *shape = json_object_get(tensor, "shape");
	size_t n = json_array_size(shape);
	for (size_t i = 0; i < GGUF_DIMS_MAX; i++)
		ret[i] = i < n ? json_integer_value(json_array_get(shape, i)) : 1;
}

/* ggml can multiply with more, but no converter writes them. */
static bool type_ok(const json_t *tensor)
{
	static const char *const types[] = { "F32", "F16", "BF16", "Q8_0" };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (!strcmp(text_of(tensor, "type"), types[i]))
			return true;
	return false;
}

/* The library adds rows for token embeddings, with a pair that lies the other way round; and where
 * the embeddings are the output matrix too, it would end at such a pair there. */
static bool embedding_fits(
	const json_t *model, const json_int_t *w, const json_int_t *a, const json_int_t *b)
{
	return json_object_get(model, "output.weight") && a[0] == b[0] && b[1] == w[0] &&
	       a[1] == w[1] && a[2] == 1 && a[3] == 1 && b[2] == 1 && b[3] == 1;
}

static bool matrix_fits(const json_int_t *w, const json_int_t *a, const json_int_t *b)
{
	return a[0] == w[0] && b[1] == w[1] && a[1] == b[0] && a[2] == w[2] && b[2] == w[2] &&
	       a[3] == w[3] && b[3] == w[3];
}

static enum err pair_fits(const json_t *model, const char *stem, const json_t *tensor_a,
	const json_t *tensor_b, struct err_info *info)
{
	const json_t *tensor = json_object_get(model, stem);
	json_int_t w[GGUF_DIMS_MAX], a[GGUF_DIMS_MAX], b[GGUF_DIMS_MAX];
	if (!tensor)
		return bad(info,
			"it changes \"%s\", which the model does not have: it belongs to another "
			"model",
			stem);
	if (!str_ends(str_from(stem), STR(".weight")) ||
		json_array_size(json_object_get(tensor, "shape")) < 2)
		return bad(info, "it changes \"%s\", which is no matrix", stem);
	if (!type_ok(tensor_a) || !type_ok(tensor_b))
		return bad(info, "its \"%s\" is not of F32, F16, BF16 or Q8_0", stem);
	if (!strcmp(text_of(tensor, "type"), "NVFP4"))
		return bad(info, "the model's \"%s\" is of NVFP4, which takes no adapter", stem);
	shape_of(tensor, w);
	shape_of(tensor_a, a);
	shape_of(tensor_b, b);
	if (strcmp(stem, "token_embd.weight") ? matrix_fits(w, a, b)
					      : embedding_fits(model, w, a, b))
		return OK;
	return bad(info,
		"its \"%s\" does not have the model's shape: it belongs to another model", stem);
}

/* Each pair is judged once, at its first half. */
static enum err take_tensor(const json_t *model, const json_t *adapter, const char *name,
	const json_t *tensor, struct err_info *info)
{
	char other[GGUF_TENSOR_NAME_MAX + 1];
	struct str s = str_from(name);
	bool is_a = str_ends(s, STR(HALF_A));
	if (str_copy(s, other, sizeof other) || (!is_a && !str_ends(s, STR(HALF_B))))
		return bad(info,
			"it has \"%.80s\", and only pairs of matrices (lora_a, lora_b) are "
			"supported",
			name);
	char *end = other + s.len - HALF_LEN;
	memcpy(end, is_a ? HALF_B : HALF_A, HALF_LEN);
	const json_t *pair = json_object_get(adapter, other);
	*end = '\0';
	if (!pair)
		return bad(info, "of the pair for \"%s\" one is missing", other);
	if (strstr(other, ".lora_")) /* the library cuts the endings out wherever they stand */
		return bad(info, "\"%s\" is not a tensor's name", other);
	return is_a ? pair_fits(model, other, tensor, pair, info) : OK;
}

enum err adapter_fits(const json_t *model, const json_t *adapter, struct err_info *info)
{
	static const char key[] = "general.architecture";
	AUTO_JSON json_t *of_model = NULL;
	AUTO_JSON json_t *of_adapter = NULL;
	const char *want = text_of(json_object_get(model, "info"), key), *name,
		   *have = text_of(json_object_get(adapter, "info"), key);
	json_t *tensor;
	if (strcmp(want, have) != 0)
		return bad(info,
			"it is for the architecture \"%.40s\", and the model's is \"%.40s\"", have,
			want);
	TRY(by_name(model, &of_model));
	TRY(by_name(adapter, &of_adapter));
	json_object_foreach(of_adapter, name, tensor)
	{
		TRY(take_tensor(of_model, of_adapter, name, tensor, info));
	}
	return OK;
}
