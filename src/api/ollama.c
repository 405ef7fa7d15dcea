/* Ollama's API about models: version, tags, ps, show, delete, and blobs. */
#include "api/aliases.h"
#include "api/remove.h"
#include "api/show.h"
#include "api/show_modelfile.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/time.h"
#include "models/advise.h"
#include "models/fleet.h"
#include "models/fleet_db.h"
#include "models/meta.h"
#include "models/store.h"

enum { FLEET_LIST_MAX = 32 };

/* Clients compare versions: we say which Ollama's surface this follows, and who we are. */
enum err ollama_version(struct call *c)
{
	AUTO_BUF struct buf out = BUF(1024);
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "version", STR("0.17.0"));
	jw_kstr(&w, "tresor", str_from(c->app->config.version));
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

static void details(const struct model_entry *m, struct jw *w)
{
	jw_key(w, "details");
	jw_obj(w);
	jw_kstr(w, "parent_model", STR(""));
	jw_kstr(w, "format", STR("gguf"));
	jw_kstr(w, "family", str_from(m->family));
	jw_key(w, "families");
	jw_arr(w);
	jw_str(w, str_from(m->family));
	if (m->projector_digest[0])
		jw_str(w, STR("clip")); /* as Ollama's libraries say it */
	jw_end(w);
	jw_kstr(w, "parameter_size", str_from(m->parameters));
	jw_kstr(w, "quantization_level", str_from(m->quantization));
	jw_end(w);
}

static void name_and_size(const struct model_entry *m, struct jw *w)
{
	jw_kstr(w, "name", str_from(m->name));
	jw_kstr(w, "model", str_from(m->name));
	jw_ki64(w, "size", (int64_t)m->size);
	jw_kstr(w, "digest", str_from(m->digest));
}

static void time_field(struct jw *w, const char *key, int64_t ms)
{
	char at[TIME_RFC3339_LEN];
	time_rfc3339(ms, at);
	jw_kstr(w, key, str_from(at));
}

static void tag(const struct model_entry *m, struct jw *w)
{
	jw_obj(w);
	name_and_size(m, w);
	time_field(w, "modified_at", m->modified_ms);
	details(m, w);
	show_capabilities(m, w);
}

static void alias_tag(const struct alias_shown *a, void *arg)
{
	struct jw *w = arg;
	tag(&a->model, w);
	jw_kstr(w, "alias_of", str_from(a->names)); /* not Ollama's */
	jw_end(w);
}

enum err ollama_tags(struct call *c)
{
	AUTO_MEM struct model_entry *list = NULL;
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	struct jw w;
	size_t n;
	TRY(model_store_list(c->app->models, &list, &n));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	TRY(call_aliases(c, alias_tag, &w));
	for (size_t i = 0; i < n; i++) {
		tag(&list[i], &w);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* Ollama says a time far away for "never". */
static void expires(struct jw *w, int64_t ms)
{
	if (ms < 0)
		jw_kstr(w, "expires_at", STR("2318-01-01T00:00:00Z"));
	else
		time_field(w, "expires_at", ms);
}

static void loaded(struct call *c, const struct fleet_loaded *l, struct jw *w)
{
	struct model_entry m;
	bool known = !model_store_find_digest(c->app->models, l->digest, &m);
	jw_obj(w);
	jw_kstr(w, "name", str_from(l->name));
	jw_kstr(w, "model", str_from(l->name));
	jw_ki64(w, "size", (int64_t)(l->model_bytes + l->kv_bytes));
	jw_kstr(w, "digest", str_from(known ? m.digest : l->digest));
	if (known)
		details(&m, w);
	expires(w, l->expires_ms);
	jw_ki64(w, "size_vram", l->gpu ? (int64_t)(l->model_bytes + l->kv_bytes) : 0);
	if (l->cards[0])
		jw_kstr(w, "cards", str_from(l->cards));
	jw_ki64(w, "context_length", l->n_ctx);
	jw_ki64(w, "active", l->active);
	jw_ki64(w, "waiting", l->waiting);
	jw_kstr(w, "engine_build", str_from(l->build));
	if (l->engine[0])
		jw_kstr(w, "engine", str_from(l->engine));
	jw_kbool(w, "pinned", fleet_is_pinned(c->app->fleet, l->digest));
	jw_end(w);
}

enum err ollama_ps(struct call *c)
{
	struct fleet_loaded list[FLEET_LIST_MAX];
	AUTO_BUF struct buf out = BUF(256 * 1024);
	struct jw w;
	size_t n = fleet_list(c->app->fleet, list, FLEET_LIST_MAX);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		loaded(c, &list[i], &w);
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* `name` is the old spelling of `model`. Errors: ERR_INVALID, ERR_NOT_FOUND. */
static enum err wanted(struct call *c, struct str *ret)
{
	json_t *body;
	struct str name = STR_NONE;
	TRY(call_body(c, &body));
	TRY(json_want_str(body, "model", false, &name, &c->info));
	if (!name.len)
		TRY(json_want_str(body, "name", false, &name, &c->info));
	if (!name.len)
		return err_set(&c->info, ERR_INVALID, "model is required");
	*ret = name;
	return OK;
}

static enum err not_found(struct call *c, struct str name, enum err e)
{
	if (e == ERR_NOT_FOUND || e == ERR_INVALID) /* the hint of an alias stays */
		return err_set(&c->info, ERR_NOT_FOUND, "model '%.*s' not found",
			(int)(name.len < 200 ? name.len : 200), name.ptr);
	return e;
}

/* Lines "temperature    0.7" as `ollama show` prints them. */
static void parameters(struct str json, struct buf *out)
{
	AUTO_JSON json_t *doc = NULL;
	const char *key;
	json_t *v, *one;
	size_t i;
	if (!json.len || json_read(json, json.len, 8, &doc, NULL))
		return;
	json_object_foreach(doc, key, v)
	{
		AUTO_JSON json_t *list = json_is_array(v) ? json_incref(v) : json_pack("[O]", v);
		json_array_foreach(list, i, one)
		{
			struct jw w;
			(void)buf_addf(out, "%s%-30s ", out->len ? "\n" : "", key);
			jw_init(&w, out);
			jw_json(&w, one);
		}
	}
}

static void text_field(struct jw *w, const char *key, const struct buf *b)
{
	struct str s = buf_str(b);
	jw_kstr(w, key, s.len ? s : STR(""));
}

/* What an engine measured for this model on this machine, as far as one did. */
static void tuned(struct call *c, const struct model_entry *m, struct jw *w)
{
	struct engine_load known = { .model_fd = -1 };
	char id[MACHINE_ID_MAX];
	machine_id(c->app->machine, id);
	if (tuning_read(c->app->db, m->model_digest, str_from(id), &known) || !known.tuned[0])
		return;
	jw_kstr(w, "tuned", str_from(known.tuned));
	jw_kstr(w, "tuned_build", str_from(known.tuned_build));
}

/* The cards it lies on now. */
static void on_cards(struct call *c, const struct model_entry *m, struct jw *w)
{
	struct fleet_loaded list[FLEET_LIST_MAX];
	size_t n = fleet_list(c->app->fleet, list, FLEET_LIST_MAX);
	for (size_t i = 0; i < n; i++)
		if (list[i].cards[0] && !strcmp(list[i].digest, m->model_digest)) {
			jw_kstr(w, "cards", str_from(list[i].cards));
			return;
		}
}

/* The Modelfile, what of it is a list, and the code of Ollama's that it names. */
static void made_of(
	struct call *c, const struct model_entry *m, const struct model_texts *t, struct jw *w)
{
	AUTO_BUF struct buf text = BUF(LIMIT_HTTP_BODY);
	AUTO_JSON json_t *messages = NULL;
	struct err_info why = { 0 };
	if (show_modelfile(m->name, &m->adapters, t, &text, &why))
		call_warn(c, "%s", why.detail[0] ? why.detail : "the Modelfile cannot be shown");
	else
		text_field(w, "modelfile", &text);
	struct str list = buf_str(t->messages), ollama = buf_str(t->ollama);
	AUTO_JSON json_t *named = NULL;
	if (ollama.len && !json_read(ollama, ollama.len, 8, &named, NULL))
		for (size_t i = 0; i < sizeof MODEL_OLLAMA / sizeof *MODEL_OLLAMA; i++) {
			const char *v = json_string_value(json_object_get(named, MODEL_OLLAMA[i]));
			if (v)
				jw_kstr(w, MODEL_OLLAMA[i], str_from(v));
		}
	if (!list.len || json_read(list, list.len, 8, &messages, NULL))
		return;
	jw_key(w, "messages");
	jw_json(w, messages);
}

/* What the request has in the place of the model's own: shown, as if it were. */
static enum err overrides(struct call *c, struct model_texts *t)
{
	AUTO_JSON json_t *params = NULL;
	struct str system = STR_NONE, template_ = STR_NONE, old = buf_str(t->params);
	json_t *options = NULL;
	struct jw w;
	TRY(json_want_str(c->body, "system", false, &system, &c->info));
	TRY(json_want_str(c->body, "template", false, &template_, &c->info));
	TRY(json_want_obj(c->body, "options", false, &options, &c->info));
	if (system.len) {
		buf_clear(t->system);
		TRY(buf_add(t->system, system));
	}
	if (template_.len) {
		buf_clear(t->template_);
		TRY(buf_add(t->template_, template_));
	}
	if (!json_object_size(options))
		return OK;
	if (!old.len || json_read(old, LIMIT_MANIFEST, 8, &params, NULL))
		params = json_object();
	if (!params || json_object_update(params, options))
		return ERR_NOMEM;
	buf_clear(t->params);
	jw_init(&w, t->params);
	jw_json(&w, params);
	return t->params->err;
}

enum err ollama_show(struct call *c)
{
	AUTO_BUF struct buf out = BUF(2 * GGUF_DESCRIPTION_MAX), tmpl = BUF(LIMIT_MANIFEST),
			    sys = BUF(LIMIT_MANIFEST), params = BUF(LIMIT_MANIFEST),
			    lic = BUF(LIMIT_MANIFEST), messages = BUF(LIMIT_MANIFEST),
			    lines = BUF(LIMIT_MANIFEST), ollama = BUF(LIMIT_MANIFEST);
	struct model_texts t = { .template_ = &tmpl, .system = &sys, .params = &params,
		.licence = &lic, .messages = &messages, .ollama = &ollama };
	struct model_entry m;
	AUTO_HEADERS struct model_headers headers = { .model = NULL };
	struct str name;
	struct jw w;
	bool verbose = false;
	TRY(wanted(c, &name));
	TRY(json_want_bool(c->body, "verbose", false, &verbose, &c->info));
	TRY(not_found(c, name, call_model(c, name, &m)));
	TRY(model_store_texts(c->app->models, &m, &t));
	parameters(buf_str(&params), &lines);
	TRY(overrides(c, &t));
	show_headers_read(c, &m, verbose, &headers);
	jw_init(&w, &out);
	jw_obj(&w);
	text_field(&w, "license", &lic);
	made_of(c, &m, &t, &w);
	if (!tmpl.len) /* behind the Modelfile, which need not say what the file does */
		TRY(buf_add(&tmpl, show_file_template(&headers)));
	text_field(&w, "parameters", &lines);
	text_field(&w, "template", &tmpl);
	text_field(&w, "system", &sys);
	details(&m, &w);
	show_headers_json(&m, &headers, &w);
	show_capabilities(&m, &w);
	time_field(&w, "modified_at", m.modified_ms);
	on_cards(c, &m, &w);
	jw_kstr(&w, "digest", str_from(m.digest));
	jw_kstr(&w, "model_digest", str_from(m.model_digest));
	jw_kstr(&w, "template_hash", str_from(m.template_hash));
	jw_ki64(&w, "size", (int64_t)m.size);
	jw_kstr(&w, "licence_name", str_from(m.licence));
	jw_kbool(&w, "starter", m.starter);
	jw_kbool(&w, "pinned", fleet_is_pinned(c->app->fleet, m.model_digest));
	if (m.engine[0])
		jw_kstr(&w, "engine", str_from(m.engine));
	tuned(c, &m, &w);
	TRY(alias_of_json(c, &m, &w));
	TRY(origin_json(c, &m, &w));
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err ollama_delete(struct call *c)
{
	struct str name;
	bool force = false;
	TRY(wanted(c, &name));
	TRY(json_want_bool(c->body, "force", false, &force, &c->info)); /* not Ollama's */
	TRY(not_found(c, name, call_model_delete(c, name, force)));
	http_reply(c->q, 200, NULL, STR(""));
	return OK;
}

/* Clients of Ollama read nothing here; where a version was kept, others are told. */
static void reply_kept(struct call *c, const struct model_kept *kept)
{
	AUTO_BUF struct buf out = BUF(4096);
	struct jw w;
	if (!kept->name[0]) {
		http_reply(c->q, 200, NULL, STR(""));
		return;
	}
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "kept", str_from(kept->name));
	jw_end(&w);
	call_json(c, 200, &out);
}

enum err ollama_copy(struct call *c)
{
	json_t *body;
	struct str from = STR_NONE, to = STR_NONE;
	struct model_entry m;
	struct model_kept kept;
	TRY(call_body(c, &body));
	TRY(json_want_str(body, "source", true, &from, &c->info));
	TRY(json_want_str(body, "destination", true, &to, &c->info));
	enum err e = model_store_find(c->app->models, from, &m, NULL);
	if (e == ERR_NOT_FOUND || e == ERR_INVALID) /* these quotes are this route's alone */
		return err_set(&c->info, ERR_NOT_FOUND, "model \"%.*s\" not found",
			(int)(from.len < 200 ? from.len : 200), from.ptr);
	TRY(e);
	TRY(model_store_copy(c->app->models, from, to, &kept, &c->info));
	reply_kept(c, &kept);
	return OK;
}

/* ---- blobs ---- */

static enum err blob_digest(struct call *c, char hex[65])
{
	if (digest_parse(http_param(c->q, "digest"), hex))
		return err_set(&c->info, ERR_INVALID, "invalid digest format");
	return OK;
}

enum err ollama_blob_head(struct call *c)
{
	char hex[65];
	TRY(blob_digest(c, hex));
	TRY(model_blob_exists(c->app->models, str_from(hex)));
	http_reply(c->q, 200, NULL, STR(""));
	return OK;
}

static enum err take_pieces(struct call *c, struct model_upload *u)
{
	struct str piece;
	for (;;) {
		TRY(http_body_next(c->q, &piece));
		if (!piece.len)
			return OK;
		TRY(model_upload_add(u, piece, &c->info));
	}
}

enum err ollama_blob_put(struct call *c)
{
	AUTO(model_upload) struct model_upload *u = NULL;
	struct str length = http_header(c->q, "Content-Length");
	uint64_t size = 0;
	char hex[65];
	TRY(blob_digest(c, hex));
	if (length.ptr && str_to_u64(length, &size))
		return err_set(&c->info, ERR_INVALID, "Content-Length is not a number");
	enum err e = model_upload_begin(c->app->models, str_from(hex), size, &u, &c->info);
	if (e == ERR_EXISTS) {
		http_reply(c->q, 200, NULL, STR(""));
		return OK;
	}
	TRY(e);
	TRY(take_pieces(c, u));
	e = model_upload_end(u, &c->info);
	if (e == ERR_DIGEST) /* Ollama's clients expect 400 here */
		return err_set(&c->info, ERR_INVALID,
			"digest mismatch: the bytes do not have this digest");
	TRY(e);
	http_reply(c->q, 201, NULL, STR(""));
	return OK;
}
