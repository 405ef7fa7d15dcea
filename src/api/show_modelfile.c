#include "api/show_modelfile.h"

#include <stdio.h>

#include "base/json.h"
#include "base/limits.h"
#include "models/meta.h"
#include "models/modelfile.h"

static enum err add_text(struct modelfile *m, enum modelfile_kind kind, const struct buf *text,
	struct err_info *info)
{
	struct str s = buf_str(text);
	return s.len ? modelfile_add(m, kind, STR_NONE, s, info) : OK;
}

/* A value as a Modelfile has it: texts without quotes, the rest as JSON writes it. */
static enum err add_value(
	struct modelfile *m, const char *name, const json_t *v, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_MANIFEST);
	struct jw w;
	if (json_is_string(v))
		TRY(buf_add(&text, (struct str){ json_string_value(v), json_string_length(v) }));
	else {
		jw_init(&w, &text);
		jw_json(&w, v);
		TRY(text.err);
	}
	return modelfile_add(m, MODELFILE_PARAMETER, str_from(name), buf_str(&text), info);
}

static enum err add_parameters(struct modelfile *m, struct str json, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	const char *name;
	json_t *v, *one;
	size_t i;
	if (!json.len)
		return OK;
	TRY(json_read(json, LIMIT_MANIFEST, 8, &doc, info));
	json_object_foreach(doc, name, v)
	{
		if (!json_is_array(v)) {
			TRY(add_value(m, name, v, info));
			continue;
		}
		json_array_foreach(v, i, one)
			TRY(add_value(m, name, one, info));
	}
	return OK;
}

static enum err add_messages(struct modelfile *m, struct str json, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	json_t *one;
	size_t i;
	if (!json.len)
		return OK;
	TRY(json_read(json, LIMIT_MANIFEST, 8, &doc, info));
	json_array_foreach(doc, i, one)
	{
		struct str role, content;
		TRY(json_want_str(one, "role", true, &role, info));
		TRY(json_want_str(one, "content", true, &content, info));
		TRY(modelfile_add(m, MODELFILE_MESSAGE, role, content, info));
	}
	return OK;
}

static enum err add_adapters(
	struct modelfile *m, const struct model_adapters *a, struct err_info *info)
{
	char digest[72];
	for (unsigned i = 0; i < a->n; i++) {
		(void)snprintf(digest, sizeof digest, "sha256:%s", a->digest[i]);
		TRY(modelfile_add(m, MODELFILE_ADAPTER, STR_NONE, str_from(digest), info));
	}
	return OK;
}

static enum err add_ollama(struct modelfile *m, struct str json, struct err_info *info)
{
	static const enum modelfile_kind kinds[] = { MODELFILE_RENDERER, MODELFILE_PARSER,
		MODELFILE_REQUIRES };
	AUTO_JSON json_t *doc = NULL;
	if (!json.len)
		return OK;
	TRY(json_read(json, LIMIT_MANIFEST, 8, &doc, info));
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const char *v = json_string_value(json_object_get(doc, MODEL_OLLAMA[i]));
		if (v)
			TRY(modelfile_add(m, kinds[i], STR_NONE, str_from(v), info));
	}
	return OK;
}

enum err show_modelfile(
	const char *name, const struct model_adapters *a, const struct model_texts *t,
	struct buf *out, struct err_info *info)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	TRY(modelfile_new(&m));
	TRY(modelfile_add(m, MODELFILE_FROM, STR_NONE, str_from(name), info));
	TRY(add_adapters(m, a, info));
	TRY(add_text(m, MODELFILE_TEMPLATE, t->template_, info));
	TRY(add_text(m, MODELFILE_SYSTEM, t->system, info));
	TRY(add_ollama(m, buf_str(t->ollama), info));
	TRY(add_parameters(m, buf_str(t->params), info));
	TRY(add_messages(m, buf_str(t->messages), info));
	TRY(add_text(m, MODELFILE_LICENSE, t->licence, info));
	return modelfile_show(m, str_from(name), out, info);
}
