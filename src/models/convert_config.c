/* What config.json, modules.json and the pooling's config.json say. */
#include "models/convert_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"

enum {
	CONFIG_MAX = 1024 * 1024, /* bytes */
	WIDTH_MAX = 16384,
	LAYERS_MAX = 256,
	POSITIONS_MAX = 1 << 20,
	VOCAB_MAX = 2 * 1024 * 1024,
};

enum err convert_bad(struct err_info *info, const char *file, const char *fmt, ...)
{
	char text[200];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(info, ERR_MODEL_BAD, "%s: %s", file, text);
}

const struct make_part *convert_find(
	const struct make_part *parts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(parts[i].name, str_from(name)))
			return &parts[i];
	return NULL;
}

enum err convert_json(const struct make_part *p, size_t max, json_t **ret, struct err_info *info)
{
	char name[CONVERT_NAME_MAX + 1];
	struct err_info why = { 0 };
	TRY(str_copy(p->name, name, sizeof name));
	if (p->size > max)
		return convert_bad(info, name, "it is too large");
	AUTO_MEM char *text = mem_alloc((size_t)p->size + 1);
	if (!text)
		return ERR_NOMEM;
	TRY(p->read(p->arg, 0, text, (size_t)p->size));
	AUTO_JSON json_t *v = NULL;
	enum err e = json_read(
		(struct str){ text, (size_t)p->size }, max, CONVERT_DEPTH, &v, &why);
	if (e == ERR_NOMEM)
		return e;
	if (e)
		return convert_bad(info, name, "%.150s", why.detail);
	*ret = json_incref(v);
	return OK;
}

static enum err read_named(const struct make_part *parts, size_t n, const char *name,
	json_t **ret, struct err_info *info)
{
	const struct make_part *p = convert_find(parts, n, name);
	if (!p)
		return err_set(info, ERR_UNSUPPORTED, "the model's folder has no %s", name);
	return convert_json(p, CONFIG_MAX, ret, info);
}

/* ---- config.json ---- */

static enum err want(const json_t *o, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct err_info *info)
{
	struct err_info why = { 0 };
	int64_t v = 0;
	if (json_want_i64(o, key, true, (int64_t)min, (int64_t)max, &v, &why))
		return convert_bad(info, "config.json", "%.150s", why.detail);
	*ret = (uint64_t)v;
	return OK;
}

/* A text of the config is one of those, or not there. */
static enum err one_of(const json_t *o, const char *key, const char *const *allowed,
	struct err_info *info)
{
	const json_t *v = json_object_get(o, key);
	const char *text = json_string_value(v);
	if (!v || json_is_null(v))
		return OK;
	for (size_t i = 0; text && allowed[i]; i++)
		if (!strcmp(text, allowed[i]))
			return OK;
	return err_set(info, ERR_UNSUPPORTED,
		"config.json: \"%s\" is \"%.60s\", which is not supported", key, text ? text : "?");
}

static enum err read_kind(const json_t *o, struct convert_config *c, struct err_info *info)
{
	static const char *const kinds[] = { "BertModel", "BertForMaskedLM", "XLMRobertaModel",
		"XLMRobertaForMaskedLM" };
	const json_t *list = json_object_get(o, "architectures");
	const char *name = json_string_value(json_array_get(list, 0));
	for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(name, kinds[i])) {
			c->roberta = i >= 2;
			return OK;
		}
	return err_set(info, ERR_UNSUPPORTED,
		"safetensors of \"%.60s\" are not converted; those of BertModel and "
		"XLMRobertaModel are",
		name ? name : "?");
}

static enum err read_config(const json_t *o, struct convert_config *c, struct err_info *info)
{
	static const char *const gelu[] = { "gelu", "gelu_new", "gelu_pytorch_tanh", NULL };
	static const char *const absolute[] = { "absolute", NULL };
	struct err_info why = { 0 };
	uint64_t padding = 0;
	TRY(read_kind(o, c, info));
	TRY(one_of(o, "hidden_act", gelu, info));
	TRY(one_of(o, "position_embedding_type", absolute, info));
	TRY(want(o, "hidden_size", 1, WIDTH_MAX, &c->width, info));
	TRY(want(o, "num_hidden_layers", 1, LAYERS_MAX, &c->layers, info));
	TRY(want(o, "num_attention_heads", 1, c->width, &c->heads, info));
	TRY(want(o, "intermediate_size", 1, 16 * WIDTH_MAX, &c->feed_forward, info));
	TRY(want(o, "vocab_size", 1, VOCAB_MAX, &c->vocab, info));
	TRY(want(o, "type_vocab_size", 1, 16, &c->types, info));
	TRY(want(o, "max_position_embeddings", 2, POSITIONS_MAX, &c->positions, info));
	if (c->width % c->heads)
		return convert_bad(info, "config.json", "the heads do not divide the width");
	if (c->roberta) { /* they count from behind the padding's number */
		TRY(want(o, "pad_token_id", 0, c->positions - 2, &padding, info));
		c->position_offset = padding + 1;
		c->positions -= c->position_offset;
	}
	if (json_want_f64(o, "layer_norm_eps", true, 1e-20, 0.1, &c->norm_eps, &why))
		return convert_bad(info, "config.json", "%.150s", why.detail);
	return OK;
}

/* ---- how a text's tokens become one vector ---- */

static enum err read_pooling(
	const json_t *o, const char *file, struct convert_config *c, struct err_info *info)
{
	static const struct {
		const char *flag, *word;
		unsigned pooling;
	} modes[] = {
		{ "pooling_mode_mean_tokens", "mean", POOLING_MEAN },
		{ "pooling_mode_cls_token", "cls", POOLING_CLS },
		{ "pooling_mode_lasttoken", "lasttoken", POOLING_LAST },
		{ "pooling_mode_max_tokens", "max", 0 },
		{ "pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", 0 },
		{ "pooling_mode_weightedmean_tokens", "weightedmean", 0 },
	};
	const char *word = json_string_value(json_object_get(o, "pooling_mode"));
	unsigned found = 0;
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (json_is_true(json_object_get(o, modes[i].flag)) ||
			(word && !strcmp(word, modes[i].word))) {
			c->pooling = modes[i].pooling;
			found++;
		}
	if (found == 1 && c->pooling)
		return OK;
	return err_set(info, ERR_UNSUPPORTED,
		"%s: this way to one vector is not supported; mean, cls and lasttoken are",
		file);
}

/* The file of the pooling, by the list of the model's steps. */
static enum err pooling_file(const json_t *modules, char ret[CONVERT_NAME_MAX + 1],
	struct err_info *info)
{
	const json_t *m;
	size_t i;
	ret[0] = '\0';
	if (!json_is_array(modules))
		return convert_bad(info, "modules.json", "it is not a list");
	json_array_foreach(modules, i, m)
	{
		struct str type = str_from(json_string_value(json_object_get(m, "type")));
		const char *path = json_string_value(json_object_get(m, "path"));
		if (str_ends(type, STR(".Pooling")) && !ret[0] && path) {
			int n = snprintf(ret, CONVERT_NAME_MAX + 1, "%s/config.json", path);
			if (n > CONVERT_NAME_MAX)
				return convert_bad(info, "modules.json", "a path is too long");
		} else if (!str_ends(type, STR(".Transformer")) &&
			   !str_ends(type, STR(".Normalize"))) {
			return err_set(info, ERR_UNSUPPORTED,
				"modules.json: the step \"%.80s\" is not supported",
				type.ptr ? type.ptr : "?");
		}
	}
	return ret[0] ? OK
		      : err_set(info, ERR_UNSUPPORTED,
				"modules.json does not say how tokens become one vector");
}

enum err convert_config_read(const struct make_part *parts, size_t n,
	struct convert_config *ret, struct err_info *info)
{
	AUTO_JSON json_t *config = NULL;
	AUTO_JSON json_t *modules = NULL;
	AUTO_JSON json_t *pooling = NULL;
	struct convert_config c = { 0 };
	char file[CONVERT_NAME_MAX + 1] = "1_Pooling/config.json";
	TRY(read_named(parts, n, "config.json", &config, info));
	TRY(read_config(config, &c, info));
	if (convert_find(parts, n, "modules.json")) {
		TRY(read_named(parts, n, "modules.json", &modules, info));
		TRY(pooling_file(modules, file, info));
	}
	TRY(read_named(parts, n, file, &pooling, info));
	TRY(read_pooling(pooling, file, &c, info));
	*ret = c;
	return OK;
}
