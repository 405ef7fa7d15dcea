/* What is known of a model that came from elsewhere: the jail's word on it, and its small texts. */
#include "models/store_int.h"

static enum err read_messages(const struct buf *text, json_t **ret)
{
	AUTO_JSON json_t *o = NULL;
	if (!text->len)
		return OK;
	TRY(json_read(buf_str(text), LAYER_TEXT_MAX, 8, &o, NULL));
	if (!json_is_array(o))
		return ERR_INVALID;
	*ret = json_incref(o);
	return OK;
}

/* A config that is no object of JSON says nothing: other registries have them. */
static enum err read_config(const struct buf *text, json_t **ret, struct err_info *info)
{
	AUTO_JSON json_t *o = NULL;
	if (!text->len || json_read(buf_str(text), LAYER_TEXT_MAX, 8, &o, NULL) ||
		!json_is_object(o))
		return OK;
	return model_ollama_read(o, ret, info);
}

static void name_licence(const struct model_meta *meta, char ret[128])
{
	struct str name = meta->licence_name.len ? meta->licence_name
						 : str_from(meta->gguf.licence);
	struct str cut = str_sub(name, 0, 127);
	cut.len = str_utf8_whole(cut);
	(void)!!str_copy(cut, ret, 128);
}

enum err store_meta_make(struct model_store *s, const struct manifest *m,
	const struct buf text[LAYER_KINDS], bool starter, struct buf *out, char ret_licence[128],
	struct err_info *info)
{
	struct model_meta meta = { .starter = starter };
	AUTO_JSON json_t *params = NULL;
	AUTO_JSON json_t *messages = NULL;
	AUTO_JSON json_t *ollama = NULL;
	const struct layer *eyes = manifest_find(m, LAYER_PROJECTOR);
	const char *weights = manifest_find(m, LAYER_MODEL)->digest;
	struct gguf_summary unused;
	for (size_t k = 0; k < LAYER_KINDS; k++)
		if (layer_is_text((enum layer_kind)k) && !str_is_utf8(buf_str(&text[k])))
			return err_set(info, ERR_MODEL_BAD,
				"not a usable model: a text part of it is not UTF-8");
	TRY(store_check(s, weights, LAYER_MODEL, &meta.gguf, info));
	if (eyes)
		TRY(store_check(s, eyes->digest, LAYER_PROJECTOR, &unused, info));
	for (size_t i = 0; i < m->n; i++)
		if (m->layer[i].kind == LAYER_ADAPTER)
			TRY(store_check_adapter(s, weights, m->layer[i].digest, &unused, info));
	if (text[LAYER_PARAMS].len)
		TRY(model_params_read(buf_str(&text[LAYER_PARAMS]), &params, info));
	TRY(read_messages(&text[LAYER_MESSAGES], &messages));
	TRY(read_config(&text[LAYER_CONFIG], &ollama, info));
	meta.template_ = buf_str(&text[LAYER_TEMPLATE]);
	meta.system = buf_str(&text[LAYER_SYSTEM]);
	meta.licence = buf_str(&text[LAYER_LICENCE]);
	meta.licence_name = licence_title(meta.licence);
	meta.params = params;
	meta.messages = messages;
	meta.ollama = ollama;
	TRY(model_meta_json(&meta, out));
	name_licence(&meta, ret_licence);
	return OK;
}
