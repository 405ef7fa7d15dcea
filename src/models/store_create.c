/* Models made here: Ollama's create, and the starters. */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "models/make.h"
#include "models/store_int.h"
#include "os/fd.h"

struct build { /* a manifest being put together */
	struct model_store *s;
	void (*status)(const char *line, void *arg);
	void *arg;
	struct layer layer[MANIFEST_LAYERS_MAX + 1];
	bool pinned[MANIFEST_LAYERS_MAX + 1];
	size_t n;
};

static void tell(const struct build *b, const char *line)
{
	if (b->status)
		b->status(line, b->arg);
}

static enum err add_layer(struct build *b, const struct layer *l, bool pinned)
{
	if (b->n == MANIFEST_LAYERS_MAX)
		return ERR_LIMIT;
	b->layer[b->n] = *l;
	b->pinned[b->n++] = pinned;
	return OK;
}

static enum err add_text(
	struct build *b, enum layer_kind kind, struct str text, struct err_info *info)
{
	struct layer l;
	bool fresh;
	char line[120];
	if (!text.len)
		return OK;
	if (text.len > LAYER_TEXT_MAX)
		return err_set(info, ERR_TOO_LARGE, "a text part of the model is too large");
	TRY(store_text_layer(b->s, kind, text, &l, &fresh, info));
	(void)snprintf(line, sizeof line, "%s layer sha256:%s",
		fresh ? "creating new" : "using existing", l.digest);
	tell(b, line);
	enum err e = add_layer(b, &l, true);
	if (e)
		model_store_unpin(b->s, l.digest);
	return e;
}

static enum err add_json(
	struct build *b, enum layer_kind kind, const json_t *v, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LAYER_TEXT_MAX);
	struct jw w;
	if (!v)
		return OK;
	jw_init(&w, &text);
	jw_json(&w, v);
	TRY(text.err);
	return add_text(b, kind, buf_str(&text), info);
}

/* The config layer as Ollama writes it, so that its clients can read a model that is pushed on. */
static enum err add_config(struct build *b, const struct model_meta *m, struct err_info *info)
{
	const struct gguf_summary *g = &m->gguf;
	AUTO_BUF struct buf text = BUF(LAYER_TEXT_MAX);
	struct jw w;
	char parameters[16], diff[72];
	gguf_parameters_text(g->parameters, parameters);
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "model_format", STR("gguf"));
	jw_kstr(&w, "model_family", str_from(g->architecture));
	jw_key(&w, "model_families");
	jw_arr(&w);
	jw_str(&w, str_from(g->architecture));
	jw_end(&w);
	jw_kstr(&w, "model_type", str_from(parameters));
	jw_kstr(&w, "file_type", str_from(g->quantization));
	for (size_t i = 0; i < sizeof MODEL_OLLAMA / sizeof *MODEL_OLLAMA; i++) {
		const json_t *v = json_object_get(m->ollama, MODEL_OLLAMA[i]);
		if (v)
			jw_kstr(&w, MODEL_OLLAMA[i], str_from(json_string_value(v)));
	}
	jw_kstr(&w, "architecture", STR("amd64"));
	jw_kstr(&w, "os", STR("linux"));
	jw_key(&w, "rootfs");
	jw_obj(&w);
	jw_kstr(&w, "type", STR("layers"));
	jw_key(&w, "diff_ids");
	jw_arr(&w);
	for (size_t i = 0; i < b->n; i++) {
		(void)snprintf(diff, sizeof diff, "sha256:%s", b->layer[i].digest);
		jw_str(&w, str_from(diff));
	}
	jw_end(&w);
	jw_end(&w);
	jw_end(&w);
	TRY(text.err);
	return add_text(b, LAYER_CONFIG, buf_str(&text), info);
}

static enum err put_build(struct build *b, const struct model_name *n, const struct store_parts *p,
	struct model_kept *ret, struct err_info *info)
{
	AUTO_BUF struct buf manifest = BUF(LIMIT_MANIFEST);
	AUTO_BUF struct buf meta = BUF(META_MAX);
	struct layer model = { .kind = LAYER_MODEL, .size = p->meta.gguf.file_bytes };
	memcpy(model.digest, p->model_digest, sizeof model.digest);
	TRY(add_layer(b, &model, false));
	for (size_t i = 0; i < p->n_keep; i++)
		TRY(add_layer(b, &p->keep[i], false));
	TRY(add_text(b, LAYER_TEMPLATE, p->meta.template_, info));
	TRY(add_text(b, LAYER_SYSTEM, p->meta.system, info));
	TRY(add_text(b, LAYER_LICENCE, p->meta.licence, info));
	TRY(add_json(b, LAYER_PARAMS, p->meta.params, info));
	TRY(add_json(b, LAYER_MESSAGES, p->meta.messages, info));
	TRY(add_config(b, &p->meta, info));
	TRY(model_meta_json(&p->meta, &meta));
	TRY(manifest_write(b->layer, b->n, &manifest));
	tell(b, "writing manifest");
	return model_store_put(b->s, n, buf_str(&manifest), buf_str(&meta), ret, info);
}

enum err store_put_parts(struct model_store *s, const struct model_name *n,
	const struct store_parts *p, void (*status)(const char *line, void *arg), void *arg,
	struct model_kept *ret, struct err_info *info)
{
	struct build *b = mem_zalloc(1, sizeof *b);
	if (!b)
		return ERR_NOMEM;
	b->s = s;
	b->status = status;
	b->arg = arg;
	enum err e = put_build(b, n, p, ret, info);
	for (size_t i = 0; i < b->n; i++)
		if (b->pinned[i])
			model_store_unpin(s, b->layer[i].digest);
	mem_free(b);
	return e;
}

/* ---- create ---- */

enum err store_check(struct model_store *s, const char *digest, enum layer_kind kind,
	struct gguf_summary *ret, struct err_info *info)
{
	TRY(s->ops->check(s->ops_arg, digest, ret, info));
	if (ret->projector == (kind == LAYER_PROJECTOR) && ret->adapter == (kind == LAYER_ADAPTER))
		return OK;
	return err_set(info, ERR_MODEL_BAD, "%s",
		kind == LAYER_PROJECTOR ? "the file is not a projector (mmproj)"
		: kind == LAYER_ADAPTER ? "the file is not an adapter (LoRA)"
		: ret->adapter          ? "the file is an adapter (LoRA), not a model: name the "
					  "model first, and this file as its ADAPTER"
					: "the file is a projector (mmproj), not a model: name the "
					  "model's file beside it");
}

enum err store_check_adapter(struct model_store *s, const char *weights, const char *digest,
	struct gguf_summary *ret, struct err_info *info)
{
	AUTO_JSON json_t *model = NULL;
	AUTO_JSON json_t *adapter = NULL;
	TRY(store_check(s, digest, LAYER_ADAPTER, ret, info));
	TRY(s->ops->describe(s->ops_arg, weights, false, &model, info));
	TRY(s->ops->describe(s->ops_arg, digest, false, &adapter, info));
	return adapter_fits(model, adapter, info);
}

struct base { /* what the new model starts from; the JSON and texts live as long as it */
	struct model_entry entry;
	struct source source;
	struct buf text[6]; /* template, system, params, licence, messages, ollama */
	struct buf manifest;
	json_t *params, *messages, *ollama; /* owned */
};

static void base_done(struct base *b)
{
	for (size_t i = 0; i < sizeof b->text / sizeof *b->text; i++)
		buf_done(&b->text[i]);
	buf_done(&b->manifest);
	json_decref(b->params);
	json_decref(b->messages);
	json_decref(b->ollama);
}

static enum err base_from(
	struct model_store *s, struct str from, struct base *b, struct err_info *info)
{
	struct manifest m;
	struct model_texts t = { &b->text[0], &b->text[1], &b->text[2], &b->text[3], &b->text[4],
		&b->manifest, &b->text[5] };
	TRY(model_store_find(s, from, &b->entry, info));
	TRY(model_store_texts(s, &b->entry, &t));
	TRY(manifest_read(buf_str(&b->manifest), &m, info));
	for (size_t i = 0; i < m.n; i++)
		if (m.layer[i].kind == LAYER_PROJECTOR || m.layer[i].kind == LAYER_ADAPTER)
			b->source.keep[b->source.n_keep++] = m.layer[i];
	memcpy(b->source.model, b->entry.adapters.weights, sizeof b->source.model);
	b->source.gguf = b->entry.gguf;
	if (b->text[2].len)
		TRY(model_params_read(buf_str(&b->text[2]), &b->params, info));
	if (b->text[4].len)
		TRY(json_read(buf_str(&b->text[4]), LAYER_TEXT_MAX, 8, &b->messages, info));
	if (b->text[5].len)
		TRY(json_read(buf_str(&b->text[5]), LAYER_TEXT_MAX, 8, &b->ollama, info));
	return OK;
}

static enum err take_licence(const json_t *request, struct base *b, struct err_info *info)
{
	const json_t *v = json_object_get(request, "license"), *item;
	size_t i;
	if (!v || json_is_null(v))
		return OK;
	b->text[3] = (buf_done(&b->text[3]), BUF(LAYER_TEXT_MAX));
	if (json_is_string(v))
		return buf_add(
			&b->text[3], (struct str){ json_string_value(v), json_string_length(v) });
	if (!json_is_array(v))
		return err_set(info, ERR_INVALID, "license: a text or a list of texts");
	json_array_foreach(v, i, item)
	{
		if (!json_is_string(item))
			return err_set(info, ERR_INVALID, "license: a text or a list of texts");
		TRY(buf_addf(&b->text[3], "%s%s", i ? "\n\n" : "", json_string_value(item)));
	}
	return OK;
}

static enum err take_changes(const json_t *request, struct base *b, struct err_info *info)
{
	static const struct {
		const char *key;
		unsigned at;
	} texts[] = { { "template", 0 }, { "system", 1 } };
	json_t *params = NULL, *messages = NULL;
	for (size_t i = 0; i < 2; i++) {
		struct str text = STR_NONE;
		TRY(json_want_str(request, texts[i].key, false, &text, info));
		if (!text.ptr)
			continue;
		buf_clear(&b->text[texts[i].at]);
		TRY(buf_add(&b->text[texts[i].at], text));
	}
	if (b->text[0].len && json_object_get(request, "template")) /* the older model's is over */
		(void)json_object_del(b->ollama, "renderer");
	TRY(model_ollama_read(request, &b->ollama, info));
	TRY(take_licence(request, b, info));
	TRY(json_want_obj(request, "parameters", false, &params, info));
	if (params) {
		AUTO_BUF struct buf text = BUF(64 * 1024);
		AUTO_JSON json_t *checked = NULL;
		struct jw w;
		jw_init(&w, &text);
		jw_json(&w, params);
		TRY(text.err);
		TRY(model_params_read(buf_str(&text), &checked, info));
		if (!b->params)
			b->params = json_object();
		if (!b->params || json_object_update(b->params, checked))
			return ERR_NOMEM;
	}
	TRY(json_want_arr(request, "messages", false, &messages, info));
	if (messages) {
		json_decref(b->messages);
		b->messages = json_incref(messages);
	}
	return OK;
}

static enum err refuse_unknown(const json_t *request, struct err_info *info)
{
	static const char *const missing[] = { "remote_host", "draft_quantize", "experimental" };
	for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
		const json_t *v = json_object_get(request, missing[i]);
		if (v && !json_is_null(v) && !json_is_false(v) &&
			!(json_is_string(v) && !json_string_length(v)) &&
			!(json_is_object(v) && !json_object_size(v)))
			return err_set(info, ERR_UNSUPPORTED, "create: \"%s\" is not supported yet",
				missing[i]);
	}
	return OK;
}

/* Whatever the request says it is made of, and of which size. */
static enum err take_source(struct model_store *s, const json_t *request, struct base *b,
	const struct create_watch *w, struct err_info *info)
{
	struct str from = STR_NONE, quantize = STR_NONE;
	json_t *files = NULL, *adapters = NULL;
	unsigned type;
	TRY(json_want_str(request, "from", false, &from, info));
	TRY(json_want_obj(request, "files", false, &files, info));
	TRY(json_want_obj(request, "adapters", false, &adapters, info));
	TRY(json_want_str(request, "quantize", false, &quantize, info));
	if (quantize.len) /* before anything is read that takes its time */
		TRY(make_type_find(quantize, &type, info));
	if (from.len)
		TRY(base_from(s, from, b, info));
	else if (files)
		TRY(store_source_files(s, files, w, &b->source, info));
	else
		return err_set(info, ERR_INVALID, "neither \"from\" nor \"files\" was specified");
	if (quantize.len)
		TRY(store_source_quantize(s, quantize, w, &b->source, info));
	return json_object_size(adapters) ? store_source_adapter(s, adapters, w, &b->source, info)
					  : OK;
}

static enum err put_new(struct model_store *s, const struct model_name *n, struct base *b,
	const struct create_watch *w, struct model_kept *kept, struct err_info *info)
{
	struct str licence = buf_str(&b->text[3]);
	const struct source *src = &b->source;
	struct store_parts p = {
		.keep = src->keep,
		.n_keep = src->n_keep,
		.meta = { .gguf = src->gguf,
			.template_ = buf_str(&b->text[0]),
			.system = buf_str(&b->text[1]),
			.licence = licence,
			.licence_name =
				licence.len ? licence_title(licence) : str_from(b->entry.licence),
			.params = b->params,
			.messages = b->messages,
			.ollama = b->ollama,
			.starter = b->entry.starter },
	};
	memcpy(p.model_digest, src->model, sizeof p.model_digest);
	TRY(model_store_pin(s, p.model_digest));
	size_t pinned = 0;
	enum err e = OK;
	while (!e && pinned < src->n_keep) {
		e = model_store_pin(s, src->keep[pinned].digest);
		pinned += !e;
	}
	if (!e)
		e = store_put_parts(
			s, n, &p, w ? w->status : NULL, w ? w->arg : NULL, kept, info);
	while (pinned)
		model_store_unpin(s, src->keep[--pinned].digest);
	model_store_unpin(s, p.model_digest);
	return e;
}

/* Code of Ollama's is not here: who names it is told what writes the prompts instead. */
static void tell_renderer(const struct base *b, const struct create_watch *w)
{
	const char *name = json_string_value(json_object_get(b->ollama, "renderer"));
	const struct model_meta m = { .gguf = b->source.gguf,
		.template_ = buf_str(&b->text[0]),
		.ollama = b->ollama };
	char line[256];
	if (!name)
		return;
	(void)snprintf(line, sizeof line, "renderer %s is code of Ollama's: %s writes the prompts",
		name,
		model_meta_template(&m).len ? "the TEMPLATE"
		: m.gguf.has_template       ? "the file's own chat template"
					    : "a general form");
	w->status(line, w->arg);
}

static enum err create(struct model_store *s, const json_t *request, struct base *b,
	const struct create_watch *w, struct model_kept *kept, struct err_info *info)
{
	struct str name = STR_NONE;
	struct model_name n;
	TRY(json_want_str(request, "model", false, &name, info));
	if (!name.len)
		TRY(json_want_str(request, "name", true, &name, info));
	TRY(name_parse(name, &n, info));
	if (n.source == NAME_FILE || n.source == NAME_STARTER)
		return err_set(info, ERR_INVALID, "the model's name is not valid");
	TRY(model_store_name_free(s, &n, info));
	TRY(refuse_unknown(request, info));
	TRY(take_source(s, request, b, w, info));
	TRY(take_changes(request, b, info));
	if (w && w->gone && w->gone(w->arg))
		return ERR_CANCELLED;
	TRY(put_new(s, &n, b, w, kept, info));
	if (!w || !w->status)
		return OK;
	tell_renderer(b, w);
	if (kept->name[0]) {
		char line[LIMIT_MODEL_NAME + 40];
		(void)snprintf(line, sizeof line, "the old version stays as %s", kept->name);
		w->status(line, w->arg);
	}
	w->status("success", w->arg);
	return OK;
}

enum err model_store_create(struct model_store *s, const json_t *request,
	const struct create_watch *watch, struct model_kept *ret, struct err_info *info)
{
	struct model_kept kept = { .name = "" };
	struct base *b = mem_zalloc(1, sizeof *b);
	if (!b)
		return ERR_NOMEM;
	for (size_t i = 0; i < sizeof b->text / sizeof *b->text; i++)
		b->text[i] = BUF(LAYER_TEXT_MAX);
	b->manifest = BUF(LIMIT_MANIFEST);
	enum err e = create(s, request, b, watch, &kept, info);
	store_source_done(s, &b->source, e);
	base_done(b);
	mem_free(b);
	if (!e && ret)
		*ret = kept;
	return e;
}
