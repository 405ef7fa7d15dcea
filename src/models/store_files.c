/* Opening the store: the walk over manifests, and reading one of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/log.h"
#include "gotmpl/gotmpl.h"
#include "models/store_int.h"
#include "os/fd.h"

enum {
	DEPTH = 4, /* host, namespace, model, tag */
	PART_MAX = 256,
};

enum err store_manifest_path(
	struct model_store *s, const struct model_name *n, char dst[STORE_PATH_MAX])
{
	char rel[LIMIT_MODEL_NAME + 1];
	name_path(n, rel);
	return path_join(dst, STORE_PATH_MAX, s->dir, rel);
}

enum err store_meta_path(struct model_store *s, const char *digest, char dst[STORE_PATH_MAX])
{
	if (!digest_ok(str_from(digest)))
		return ERR_INVALID;
	int n = snprintf(dst, STORE_PATH_MAX, "%s/.meta/%s.json", s->dir, digest);
	return n < STORE_PATH_MAX ? OK : ERR_LIMIT;
}

void store_item_done(struct store_item *i)
{
	mem_free(i->digest);
	i->digest = NULL;
	i->n_digests = 0;
}

/* The explicit template counts, else the file's own. */
static void fill_template(struct model_entry *e, const struct model_meta *m)
{
	AUTO(gotmpl) struct gotmpl *t = NULL;
	struct str text = model_meta_template(m), open, closing;
	uint8_t sum[SHA256_LEN];
	if (text.len) {
		sha256_of(text.ptr, text.len, sum);
		hex_encode(sum, sizeof sum, e->template_hash);
	} else if (m->gguf.has_template) {
		hex_encode(m->gguf.template_sha256, SHA256_LEN, e->template_hash);
	}
	if (m->gguf.embedding_model)
		return;
	e->can = (struct model_can){ .tools = true,
		.insert = m->gguf.fills,
		.thinking = text.len ? gguf_template_thinks(text) : m->gguf.thinks };
	if (text.len && gotmpl_parse_any(text, &t, NULL))
		e->can = (struct model_can){ .tools = false }; /* requests fail, and say why */
	if (!t)
		return;
	e->can.tools = gotmpl_uses(t, "Tools");
	e->can.insert |= gotmpl_uses(t, "Suffix");
	e->can.thinking = gotmpl_think_tags(t, &open, &closing);
}

static void fill_entry(struct model_entry *e, const struct model_meta *m)
{
	e->gguf = m->gguf;
	e->starter = m->starter;
	fill_template(e, m);
	gguf_parameters_text(m->gguf.parameters, e->parameters);
	memcpy(e->quantization, m->gguf.quantization, sizeof e->quantization);
	memcpy(e->family, m->gguf.architecture, sizeof e->family);
	struct str licence = m->licence_name.len ? m->licence_name : str_from(m->gguf.licence);
	if (str_copy(licence, e->licence, sizeof e->licence))
		(void)str_copy(str_sub(licence, 0, str_utf8_whole(str_sub(licence, 0, 120))),
			e->licence, sizeof e->licence);
}

static enum err read_meta(struct model_store *s, const char *digest, struct model_entry *e)
{
	char path[STORE_PATH_MAX];
	AUTO_BUF struct buf text = BUF(META_MAX);
	AUTO_JSON json_t *o = NULL;
	struct model_meta m;
	TRY(store_meta_path(s, digest, path));
	TRY(file_read(path, &text));
	TRY(json_read(buf_str(&text), META_MAX, 16, &o, NULL));
	TRY(model_meta_read(o, &m));
	fill_entry(e, &m);
	return OK;
}

static enum err take_layers(const struct manifest *m, struct store_item *i)
{
	struct model_adapters *a = &i->entry.adapters;
	const struct layer *weights = manifest_find(m, LAYER_MODEL);
	i->digest = mem_zalloc(m->n + 1, sizeof *i->digest);
	if (!i->digest)
		return ERR_NOMEM;
	for (size_t l = 0; l < m->n; l++)
		memcpy(i->digest[l], m->layer[l].digest, sizeof i->digest[l]);
	i->n_digests = m->n;
	i->entry.size = m->total;
	const struct layer *eyes = manifest_find(m, LAYER_PROJECTOR);
	if (eyes)
		memcpy(i->entry.projector_digest, eyes->digest, sizeof eyes->digest);
	memcpy(a->weights, weights->digest, sizeof a->weights);
	memcpy(i->entry.model_digest, weights->digest, sizeof i->entry.model_digest);
	for (size_t l = 0; l < m->n; l++)
		if (m->layer[l].kind == LAYER_ADAPTER)
			memcpy(a->digest[a->n++], m->layer[l].digest, sizeof a->digest[0]);
	if (a->n) { /* what was read with it lies under a name of its own, and goes with it */
		adapters_identity(a, i->entry.model_digest);
		memcpy(i->digest[i->n_digests++], i->entry.model_digest, sizeof i->digest[0]);
	}
	return OK;
}

enum err store_item_read(struct model_store *s, const struct model_name *n, struct store_item *ret)
{
	char path[STORE_PATH_MAX];
	uint8_t sum[SHA256_LEN];
	struct stat st;
	struct manifest m;
	struct store_item i = { .name = *n };
	AUTO_BUF struct buf text = BUF(LIMIT_MANIFEST);
	TRY(store_manifest_path(s, n, path));
	TRY(file_read(path, &text));
	TRY(manifest_read(buf_str(&text), &m, NULL));
	if (stat(path, &st))
		return err_from_errno(errno);
	sha256_of(text.ptr, text.len, sum);
	hex_encode(sum, sizeof sum, i.entry.digest);
	if (n->version[0] && strcmp(n->version, i.entry.digest) != 0)
		return ERR_CORRUPT;
	i.entry.kept = n->version[0];
	i.entry.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	name_format(n, i.entry.name);
	TRY(take_layers(&m, &i));
	i.has_meta = !read_meta(s, i.entry.digest, &i.entry);
	*ret = i;
	return OK;
}

/* A path of four folders below manifests/ back to the name; what is not a name is not a model. */
static enum err name_of(char part[DEPTH][PART_MAX], struct model_name *ret)
{
	char text[DEPTH * PART_MAX + 4], back[LIMIT_MODEL_NAME + 1];
	bool starter = !strcmp(part[0], "starter");
	(void)snprintf(text, sizeof text, starter ? "starter:%s:%s" : "%s/%s/%s:%s",
		starter ? part[2] : part[0], starter ? part[3] : part[1], part[2], part[3]);
	TRY(name_parse(str_from(text), ret, NULL));
	(void)snprintf(text, sizeof text, "%s/%s/%s/%s", part[0], part[1], part[2], part[3]);
	name_path(ret, back);
	return strcmp(back, text) ? ERR_INVALID : OK;
}

static enum err take_file(struct model_store *s, char part[DEPTH][PART_MAX])
{
	struct store_item i;
	struct model_name n;
	enum err e = name_of(part, &n);
	if (!e)
		e = store_item_read(s, &n, &i);
	if (e == ERR_NOMEM)
		return e;
	if (e) {
		log_warn("a manifest is not usable and left out", KV_Z("model", part[2]),
			KV_Z("tag", part[3]), KV_ERR(e));
		return OK;
	}
	struct store_item *more = mem_realloc(s->item, (s->n_items + 1) * sizeof *more);
	if (!more || s->n_items == STORE_MODELS_MAX) {
		store_item_done(&i);
		s->item = more ? more : s->item;
		return more ? ERR_LIMIT : ERR_NOMEM;
	}
	s->item = more;
	s->cap_items = s->n_items + 1;
	s->item[s->n_items++] = i;
	return OK;
}

/* What a crash in file_write_atomic() leaves: NAME.<16 hex>.tmp. */
static bool is_leftover(const char *name)
{
	struct str s = str_from(name);
	if (s.len < 22 || !str_ends(s, STR(".tmp")) || s.ptr[s.len - 21] != '.')
		return false;
	for (size_t i = s.len - 20; i < s.len - 4; i++)
		if (!strchr("0123456789abcdef", s.ptr[i]))
			return false;
	return true;
}

static enum err walk(struct model_store *s, const char *path, unsigned depth,
	char part[DEPTH][PART_MAX])
{
	enum err e = OK;
	DIR *d = opendir(path);
	if (!d)
		return err_from_errno(errno);
	for (struct dirent *f; !e && (f = readdir(d));) {
		char below[STORE_PATH_MAX];
		struct stat st;
		if (f->d_name[0] == '.' ||
			str_copy(str_from(f->d_name), part[depth], sizeof part[depth]) ||
			path_join(below, sizeof below, path, f->d_name) || lstat(below, &st))
			continue;
		if (S_ISREG(st.st_mode) && is_leftover(f->d_name))
			(void)unlink(below);
		else if (S_ISDIR(st.st_mode) && depth + 1 < DEPTH)
			e = walk(s, below, depth + 1, part);
		else if (S_ISREG(st.st_mode) && depth + 1 == DEPTH)
			e = take_file(s, part);
	}
	(void)closedir(d);
	return e;
}

enum err model_store_open(const char *data_dir, struct db *db, const struct model_blob_ops *ops,
	void *ops_arg, struct model_store **ret)
{
	char meta[STORE_PATH_MAX], part[DEPTH][PART_MAX];
	AUTO(model_store) struct model_store *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->db = db;
	s->ops = ops;
	s->ops_arg = ops_arg;
	if (pthread_mutex_init(&s->lock, NULL) || pthread_mutex_init(&s->change, NULL))
		return ERR_NOMEM;
	TRY(path_join(s->dir, sizeof s->dir, data_dir, "models/manifests"));
	TRY(path_join(meta, sizeof meta, s->dir, ".meta"));
	TRY(dir_make(meta, 0700));
	TRY(walk(s, s->dir, 0, part));
	*ret = TAKE(s);
	return OK;
}

struct model_store *model_store_free(struct model_store *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_items; i++)
		store_item_done(&s->item[i]);
	mem_free(s->item);
	mem_free(s->pin);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->change);
	mem_free(s);
	return NULL;
}

/* ---- texts ---- */
static enum err add(struct buf *to, struct str s)
{
	return to && s.len ? buf_add(to, s) : OK;
}

static enum err add_json(struct buf *to, const json_t *v)
{
	struct jw w;
	if (!to || !v)
		return OK;
	jw_init(&w, to);
	jw_json(&w, v);
	return to->err;
}

/* The name may have moved since: then the version lies beside it. */
static enum err read_manifest(
	struct model_store *s, const struct model_entry *e, struct buf *ret)
{
	char path[STORE_PATH_MAX], hex[65];
	struct model_name n, version;
	uint8_t sum[SHA256_LEN];
	TRY(name_parse(str_from(e->name), &n, NULL));
	TRY(store_manifest_path(s, &n, path));
	TRY(file_read(path, ret));
	sha256_of(ret->ptr, ret->len, sum);
	hex_encode(sum, sizeof sum, hex);
	if (!strcmp(hex, e->digest))
		return OK;
	buf_clear(ret);
	TRY(name_version(&n, e->digest, &version));
	TRY(store_manifest_path(s, &version, path));
	return file_read(path, ret);
}

enum err model_store_texts(
	struct model_store *s, const struct model_entry *e, struct model_texts *t)
{
	struct model_meta m;
	char path[STORE_PATH_MAX];
	AUTO_BUF struct buf text = BUF(META_MAX);
	AUTO_JSON json_t *o = NULL;
	TRY(store_meta_path(s, e->digest, path));
	TRY(file_read(path, &text));
	TRY(json_read(buf_str(&text), META_MAX, 16, &o, NULL));
	TRY(model_meta_read(o, &m));
	TRY(add(t->template_, model_meta_template(&m)));
	TRY(add(t->system, m.system));
	TRY(add(t->licence, m.licence));
	TRY(add_json(t->params, m.params));
	TRY(add_json(t->messages, m.messages));
	TRY(add_json(t->ollama, m.ollama));
	return t->manifest ? read_manifest(s, e, t->manifest) : OK;
}

/* ---- headers ---- */

void model_headers_done(struct model_headers *h)
{
	json_decref(h->model);
	json_decref(h->projector);
	for (unsigned i = 0; i < ENGINE_ADAPTERS_MAX; i++)
		json_decref(h->adapter[i]);
	*h = (struct model_headers){ .model = NULL };
}

enum err model_store_describe(struct model_store *s, const struct model_entry *e, bool lists,
	struct model_headers *ret, struct err_info *info)
{
	AUTO_HEADERS struct model_headers h = { .model = NULL };
	const struct model_adapters *a = &e->adapters;
	const char *weights = adapters_weights(a, e->model_digest);
	TRY(s->ops->describe(s->ops_arg, weights, lists, &h.model, info));
	if (e->projector_digest[0])
		TRY(s->ops->describe(s->ops_arg, e->projector_digest, lists, &h.projector, info));
	for (unsigned i = 0; i < a->n; i++)
		TRY(s->ops->describe(s->ops_arg, a->digest[i], false, &h.adapter[i], info));
	*ret = h;
	h = (struct model_headers){ .model = NULL };
	return OK;
}
