#include "models/manifest.h"

#include <string.h>

#include "proto/engine.h"

#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define OLLAMA "application/vnd.ollama.image."

static const struct {
	const char *media;
	enum layer_kind kind;
} kinds[] = {
	{ OLLAMA "model", LAYER_MODEL },
	{ OLLAMA "projector", LAYER_PROJECTOR },
	{ OLLAMA "adapter", LAYER_ADAPTER },
	{ OLLAMA "template", LAYER_TEMPLATE },
	{ OLLAMA "system", LAYER_SYSTEM },
	{ OLLAMA "params", LAYER_PARAMS },
	{ OLLAMA "messages", LAYER_MESSAGES },
	{ OLLAMA "license", LAYER_LICENCE },
	{ DOCKER_CONFIG, LAYER_CONFIG },
};

static enum layer_kind kind_of(struct str media)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_eq(media, str_from(kinds[i].media)))
			return kinds[i].kind;
	return LAYER_OTHER;
}

static const char *media_of(enum layer_kind k)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].kind == k)
			return kinds[i].media;
	return "application/octet-stream";
}

bool layer_is_text(enum layer_kind k)
{
	return k == LAYER_TEMPLATE || k == LAYER_SYSTEM || k == LAYER_PARAMS ||
	       k == LAYER_MESSAGES || k == LAYER_LICENCE || k == LAYER_CONFIG;
}

static enum err read_layer(const json_t *o, bool config, struct layer *ret, struct err_info *info)
{
	struct str media = STR_NONE, digest = STR_NONE;
	int64_t size = 0;
	if (!json_is_object(o))
		return err_set(info, ERR_INVALID, "the manifest has a layer that is not an object");
	TRY(json_want_str(o, "mediaType", !config, &media, info));
	TRY(json_want_str(o, "digest", true, &digest, info));
	TRY(json_want_i64(o, "size", true, 0, INT64_C(1) << 50, &size, info));
	if (!str_starts(digest, STR("sha256:")) || digest_parse(digest, ret->digest))
		return err_set(info, ERR_INVALID, "the manifest has a digest that is not SHA-256");
	ret->kind = config ? LAYER_CONFIG : kind_of(media);
	ret->size = (uint64_t)size;
	return OK;
}

/* What we do with the layer; ERR_UNSUPPORTED when the model would be another one without it. */
static enum err check_layer(
	const struct layer *l, unsigned seen[LAYER_KINDS], struct err_info *info)
{
	seen[l->kind]++;
	if (l->kind == LAYER_MODEL && seen[l->kind] > 1)
		return err_set(info, ERR_UNSUPPORTED, "models in several files are not supported");
	if (l->kind == LAYER_ADAPTER)
		return seen[l->kind] <= ENGINE_ADAPTERS_MAX
			       ? OK
			       : err_set(info, ERR_UNSUPPORTED,
					 "models with more than %d adapters are not supported",
					 ENGINE_ADAPTERS_MAX);
	if (layer_is_text(l->kind) && l->size > LAYER_TEXT_MAX)
		return err_set(info, ERR_TOO_LARGE, "a text part of the model is too large");
	if (l->kind == LAYER_OTHER && l->size > LAYER_TEXT_MAX)
		return err_set(
			info, ERR_UNSUPPORTED, "the model has a large part of an unknown kind");
	return OK;
}

static enum err read_layers(const json_t *o, struct manifest *m, struct err_info *info)
{
	json_t *config = NULL, *layers = NULL, *item;
	size_t i;
	unsigned seen[LAYER_KINDS] = { 0 };
	TRY(json_want_obj(o, "config", false, &config, info));
	TRY(json_want_arr(o, "layers", true, &layers, info));
	if (json_array_size(layers) > MANIFEST_LAYERS_MAX)
		return err_set(info, ERR_LIMIT, "the manifest has too many layers");
	if (config) {
		TRY(read_layer(config, true, &m->layer[0], info));
		TRY(check_layer(&m->layer[0], seen, info));
		m->n = 1;
	}
	json_array_foreach(layers, i, item)
	{
		struct layer *l = &m->layer[m->n];
		TRY(read_layer(item, false, l, info));
		TRY(check_layer(l, seen, info));
		if (l->kind == LAYER_CONFIG)
			l->kind = LAYER_OTHER;
		m->n++;
	}
	if (!seen[LAYER_MODEL])
		return err_set(
			info, ERR_UNSUPPORTED, "there is no model in GGUF form under this name");
	for (i = 0; i < m->n; i++)
		m->total += m->layer[i].size; /* 65 layers of at most 2^50 fit */
	return OK;
}

enum err manifest_read(struct str json, struct manifest *ret, struct err_info *info)
{
	AUTO_JSON json_t *o = NULL;
	int64_t version = 0;
	json_t *list = NULL;
	*ret = (struct manifest){ 0 };
	TRY(json_read(json, LIMIT_MANIFEST, 16, &o, info));
	if (!json_is_object(o))
		return err_set(info, ERR_INVALID, "the manifest is not an object");
	TRY(json_want_arr(o, "manifests", false, &list, info));
	ret->is_list = list != NULL;
	if (list)
		return err_set(
			info, ERR_UNSUPPORTED, "this name is a list of variants; name one of them");
	TRY(json_want_i64(o, "schemaVersion", true, 2, 2, &version, info));
	return read_layers(o, ret, info);
}

const struct layer *manifest_find(const struct manifest *m, enum layer_kind k)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->layer[i].kind == k)
			return &m->layer[i];
	return NULL;
}

static void write_layer(struct jw *w, const struct layer *l)
{
	char digest[72] = "sha256:";
	memcpy(digest + 7, l->digest, 65);
	jw_obj(w);
	jw_kstr(w, "mediaType", str_from(media_of(l->kind)));
	jw_kstr(w, "digest", str_from(digest));
	jw_ki64(w, "size", (int64_t)l->size);
	jw_end(w);
}

enum err manifest_write(const struct layer *layers, size_t n, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "schemaVersion", 2);
	jw_kstr(&w, "mediaType", STR(DOCKER_MANIFEST));
	for (size_t i = 0; i < n; i++) {
		if (layers[i].kind == LAYER_CONFIG) {
			jw_key(&w, "config");
			write_layer(&w, &layers[i]);
		}
	}
	jw_key(&w, "layers");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		if (layers[i].kind != LAYER_CONFIG)
			write_layer(&w, &layers[i]);
	jw_end(&w);
	jw_end(&w);
	return out->err;
}
