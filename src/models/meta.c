#include "models/meta.h"

enum { TITLE_MAX = 120, OLLAMA_NAME_MAX = 100 };

const char *const MODEL_OLLAMA[3] = { "renderer", "parser", "requires" };

enum err model_meta_json(const struct model_meta *m, struct buf *out)
{
	struct jw w;
	AUTO_BUF struct buf gguf = BUF(GGUF_SUMMARY_MAX);
	TRY(gguf_summary_json(&m->gguf, &gguf));
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "format", 1);
	jw_key(&w, "gguf");
	jw_raw(&w, buf_str(&gguf));
	jw_kstr(&w, "template", m->template_);
	jw_kstr(&w, "system", m->system);
	jw_kstr(&w, "licence", m->licence);
	jw_kstr(&w, "licence_name", m->licence_name);
	jw_kbool(&w, "starter", m->starter);
	if (m->params) {
		jw_key(&w, "params");
		jw_json(&w, m->params);
	}
	if (m->messages) {
		jw_key(&w, "messages");
		jw_json(&w, m->messages);
	}
	if (m->ollama) {
		jw_key(&w, "ollama");
		jw_json(&w, m->ollama);
	}
	jw_end(&w);
	return out->err;
}

enum err model_meta_read(const json_t *o, struct model_meta *ret)
{
	struct model_meta m = { 0 };
	json_t *gguf = NULL;
	int64_t format = 0;
	TRY(json_want_i64(o, "format", true, 1, 1, &format, NULL));
	TRY(json_want_obj(o, "gguf", true, &gguf, NULL));
	AUTO_BUF struct buf text = BUF(GGUF_SUMMARY_MAX);
	struct jw w;
	jw_init(&w, &text);
	jw_json(&w, gguf);
	TRY(text.err);
	TRY(gguf_summary_read(buf_str(&text), &m.gguf));
	TRY(json_want_str(o, "template", false, &m.template_, NULL));
	TRY(json_want_str(o, "system", false, &m.system, NULL));
	TRY(json_want_str(o, "licence", false, &m.licence, NULL));
	TRY(json_want_str(o, "licence_name", false, &m.licence_name, NULL));
	TRY(json_want_bool(o, "starter", false, &m.starter, NULL));
	TRY(json_want_obj(o, "params", false, &m.params, NULL));
	TRY(json_want_arr(o, "messages", false, &m.messages, NULL));
	TRY(json_want_obj(o, "ollama", false, &m.ollama, NULL));
	*ret = m;
	return OK;
}

/* "{{ .Prompt }}" and nothing else, blanks and dashes apart: it says of no text who spoke. */
static bool names_nobody(struct str template_)
{
	char bare[16];
	size_t n = 0;
	for (size_t i = 0; i < template_.len; i++) {
		if (memchr(" \t\r\n-", template_.ptr[i], 5))
			continue;
		if (n == sizeof bare)
			return false;
		bare[n++] = template_.ptr[i];
	}
	return str_eq((struct str){ bare, n }, STR("{{.Prompt}}"));
}

struct str model_meta_template(const struct model_meta *m)
{
	bool renderer = json_string_length(json_object_get(m->ollama, "renderer")) > 0;
	bool stub = m->gguf.has_template || names_nobody(m->template_);
	return renderer && stub ? STR_NONE : m->template_;
}

enum err model_ollama_read(const json_t *o, json_t **ret, struct err_info *info)
{
	for (size_t i = 0; i < sizeof MODEL_OLLAMA / sizeof *MODEL_OLLAMA; i++) {
		struct str name = STR_NONE;
		TRY(json_want_str(o, MODEL_OLLAMA[i], false, &name, info));
		if (!name.len)
			continue;
		if (name.len > OLLAMA_NAME_MAX || str_has_control(name))
			return err_set(info, ERR_INVALID,
				"%s: a name of at most %d bytes is expected", MODEL_OLLAMA[i],
				OLLAMA_NAME_MAX);
		if (!*ret)
			*ret = json_object();
		if (!*ret || json_object_set_new(*ret, MODEL_OLLAMA[i],
				     json_stringn(name.ptr, name.len)))
			return ERR_NOMEM;
	}
	return OK;
}

static bool param_ok(const json_t *v)
{
	size_t i;
	json_t *item;
	if (json_is_number(v) || json_is_boolean(v) || json_is_string(v))
		return true;
	if (!json_is_array(v) || json_array_size(v) > LIMIT_STOP_STRINGS)
		return false;
	json_array_foreach(
		v, i, item) if (!json_is_string(item) ||
				json_string_length(item) > LIMIT_STOP_STRING) return false;
	return true;
}

enum err model_params_read(struct str json, json_t **ret, struct err_info *info)
{
	AUTO_JSON json_t *o = NULL;
	const char *key;
	json_t *v;
	TRY(json_read(json, 64 * 1024, 4, &o, info));
	if (!json_is_object(o))
		return err_set(info, ERR_INVALID, "the model's parameters are not an object");
	json_object_foreach(o, key, v) if (!param_ok(v)) return err_set(
		info, ERR_INVALID, "the model's parameter %.60s is not usable", key);
	*ret = json_incref(o);
	return OK;
}

struct str licence_title(struct str licence)
{
	struct str rest = licence, line;
	while (rest.len && str_next(&rest, '\n', &line)) {
		line = str_trim(line);
		if (line.len > TITLE_MAX)
			line.len = str_utf8_whole(str_sub(line, 0, TITLE_MAX));
		if (line.len && !str_has_control(line) && str_is_utf8(line))
			return line;
	}
	return STR_NONE;
}
