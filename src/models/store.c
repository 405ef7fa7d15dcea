#include "models/store_int.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/time.h"
#include "models/builds.h"
#include "os/fd.h"

#define META_DIR ".meta"
enum {
	PARTIAL_KEPT_MS = 7 * 24 * 3600 * 1000,
	/* Of a whole blob that no name needs: somebody sent it, and the create that names it is on
	 * its way. */
	WHOLE_KEPT_MS = 3600 * 1000,
};
#define SETTING_DEFAULT "models.default"

static const struct sql Q_SETTING = { "models.setting",
	"SELECT value FROM setting WHERE key = ?1" };
static const struct sql Q_SETTING_PUT = { "models.setting_put",
	"INSERT INTO setting (key, value, changed_ms, person) VALUES (?1, ?2, ?3, ?4) "
	"ON CONFLICT (key) DO UPDATE SET value = ?2, changed_ms = ?3, person = ?4" };
const struct sql *const model_store_sql[] = { &Q_SETTING, &Q_SETTING_PUT };
const size_t model_store_sql_count = 2;

/* ---- list in memory ---- */
struct store_item *store_find_locked(struct model_store *s, const struct model_name *n)
{
	for (size_t i = 0; i < s->n_items; i++)
		if (name_eq(&s->item[i].name, n))
			return &s->item[i];
	return NULL;
}

struct store_item *store_look_locked(struct model_store *s, const struct model_name *n)
{
	struct store_item *i = store_find_locked(s, n);
	for (size_t k = 0; !i && n->version[0] && k < s->n_items; k++)
		if (name_eq_base(&s->item[k].name, n) &&
			!strcmp(s->item[k].entry.digest, n->version))
			return &s->item[k];
	return i;
}

enum err store_keep_locked(struct model_store *s, struct store_item *i)
{
	struct store_item *old = store_find_locked(s, &i->name);
	if (old) {
		store_item_done(old);
		*old = *i;
		return OK;
	}
	if (s->n_items == STORE_MODELS_MAX)
		return ERR_LIMIT;
	if (s->n_items == s->cap_items) {
		size_t cap = s->cap_items ? s->cap_items * 2 : 16;
		struct store_item *more = mem_realloc(s->item, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		s->item = more;
		s->cap_items = cap;
	}
	s->item[s->n_items++] = *i;
	return OK;
}

/* With `lock` held: does any name or running pull need this blob? */
static bool needed_locked(const struct model_store *s, const char *digest)
{
	for (size_t i = 0; i < s->n_pins; i++)
		if (!strcmp(s->pin[i].digest, digest))
			return true;
	for (size_t i = 0; i < s->n_items; i++)
		for (size_t d = 0; d < s->item[i].n_digests; d++)
			if (!strcmp(s->item[i].digest[d], digest))
				return true;
	return false;
}

enum err store_drop_unneeded(struct model_store *s, char (*digest)[65], size_t n)
{
	enum err first = OK;
	for (size_t i = 0; i < n; i++) {
		pthread_mutex_lock(&s->lock);
		bool needed = needed_locked(s, digest[i]);
		pthread_mutex_unlock(&s->lock);
		enum err e = needed ? OK : s->ops->remove(s->ops_arg, digest[i]);
		if (e && !first)
			first = e;
	}
	return first;
}

enum err model_store_pin(struct model_store *s, const char *digest)
{
	enum err e = OK;
	pthread_mutex_lock(&s->lock);
	size_t i = 0;
	while (i < s->n_pins && strcmp(s->pin[i].digest, digest) != 0)
		i++;
	if (i == s->cap_pins) {
		size_t cap = s->cap_pins ? s->cap_pins * 2 : 16;
		struct pin *more = mem_realloc(s->pin, cap * sizeof *more);
		if (more) {
			s->pin = more;
			s->cap_pins = cap;
		} else {
			e = ERR_NOMEM;
		}
	}
	if (!e && i == s->n_pins) {
		s->pin[i] = (struct pin){ .count = 0 };
		e = str_copy(str_from(digest), s->pin[i].digest, sizeof s->pin[i].digest);
		s->n_pins += !e;
	}
	if (!e)
		s->pin[i].count++;
	pthread_mutex_unlock(&s->lock);
	return e;
}

void model_store_unpin(struct model_store *s, const char *digest)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_pins; i++) {
		if (strcmp(s->pin[i].digest, digest) != 0)
			continue;
		if (--s->pin[i].count == 0)
			s->pin[i] = s->pin[--s->n_pins];
		break;
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- looking ---- */
static enum err no_model(struct str name, struct err_info *info)
{
	return err_set(info, ERR_NOT_FOUND, "model \"%.*s\" not found", STR_ARG(name));
}

static enum err find_alias(struct model_store *s, struct str name, const struct store_alias *a,
	struct model_entry *ret, struct err_info *info)
{
	struct model_entry m;
	if (!a->digest[0]) {
		(void)no_model(name, info);
		err_hint(info, "the alias \"%s\" has no %s version", a->name,
			alias_channel_text(a->channel));
		return ERR_NOT_FOUND;
	}
	if (store_find_version(s, a->digest, &m)) {
		(void)no_model(name, info);
		err_hint(info, "the version that the alias \"%s\" names is not here any more",
			a->name);
		return ERR_NOT_FOUND;
	}
	memcpy(m.alias, a->name, sizeof m.alias);
	memcpy(m.engine, a->engine, sizeof m.engine);
	m.channel = a->channel;
	*ret = m;
	return OK;
}

enum err model_store_find(
	struct model_store *s, struct str name, struct model_entry *ret, struct err_info *info)
{
	struct store_alias a;
	struct model_name n;
	enum err e = store_alias_find(s, name, &a);
	if (e != ERR_NOT_FOUND)
		return e ? e : find_alias(s, name, &a, ret, info);
	TRY(name_parse(name, &n, info));
	pthread_mutex_lock(&s->lock);
	struct store_item *i = store_look_locked(s, &n);
	if (i)
		*ret = i->entry;
	pthread_mutex_unlock(&s->lock);
	return i ? OK : no_model(name, info);
}

static enum err find_by(
	struct model_store *s, const char *digest, bool model_too, struct model_entry *ret)
{
	enum err e = ERR_NOT_FOUND;
	pthread_mutex_lock(&s->lock);
	for (int kept = 0; kept < 2 && e; kept++) {
		for (size_t i = 0; i < s->n_items && e; i++) {
			const struct model_entry *m = &s->item[i].entry;
			if (m->kept != (kept == 1) ||
				(strcmp(m->digest, digest) != 0 &&
					!(model_too && !strcmp(m->model_digest, digest))))
				continue;
			*ret = *m;
			e = OK;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

enum err model_store_find_digest(struct model_store *s, const char *digest, struct model_entry *ret)
{
	return find_by(s, digest, true, ret);
}

enum err store_find_version(struct model_store *s, const char *digest, struct model_entry *ret)
{
	return find_by(s, digest, false, ret);
}

enum err model_store_find_fixed(struct model_store *s, struct str digest, struct str engine,
	struct model_entry *ret, struct err_info *info)
{
	char hex[65];
	struct model_entry m;
	if (!digest_ok(digest) || (engine.len && !build_id_ok(engine)))
		return err_set(info, ERR_INVALID, "not a digest and an engine build");
	TRY(str_copy(digest, hex, sizeof hex));
	if (store_find_version(s, hex, &m))
		return err_set(info, ERR_NOT_FOUND,
			"the version %.12s of a model is not here any more", hex);
	TRY(str_copy(engine, m.engine, sizeof m.engine));
	*ret = m;
	return OK;
}

static int newest_first(const void *a, const void *b)
{
	const struct model_entry *x = a, *y = b;
	if (x->modified_ms != y->modified_ms)
		return x->modified_ms < y->modified_ms ? 1 : -1;
	return strcmp(x->name, y->name);
}

enum err model_store_list(struct model_store *s, struct model_entry **ret, size_t *ret_n)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->n_items;
	struct model_entry *list = mem_zalloc(n ? n : 1, sizeof *list);
	for (size_t i = 0; list && i < n; i++)
		list[i] = s->item[i].entry;
	pthread_mutex_unlock(&s->lock);
	if (!list)
		return ERR_NOMEM;
	qsort(list, n, sizeof *list, newest_first);
	*ret = list;
	*ret_n = n;
	return OK;
}

/* ---- the default ---- */
static enum err read_default(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_SETTING, &r));
	db_bind_str(&r, 1, STR(SETTING_DEFAULT));
	if (db_next(&r) && str_copy(db_col_str(&r, 0), arg, LIMIT_MODEL_NAME + 1))
		((char *)arg)[0] = '\0';
	return db_end(&r);
}

struct set_default {
	const char *name, *person;
};

static enum err write_default(struct db_conn *c, void *arg)
{
	const struct set_default *d = arg;
	struct db_row r;
	TRY(db_query(c, &Q_SETTING_PUT, &r));
	db_bind_str(&r, 1, STR(SETTING_DEFAULT));
	db_bind_str(&r, 2, str_from(d->name));
	db_bind_i64(&r, 3, time_now_ms());
	db_bind_str(&r, 4, str_from(d->person));
	return db_run(&r);
}

/* A model for chats before one for searching, a real one before a test model, and what a name
 * stands for before what it stood for. */
static int rank(const struct model_entry *m)
{
	return m->kept * 4 + m->gguf.embedding_model * 2 + m->starter;
}

enum err model_store_default(struct model_store *s, char ret[LIMIT_MODEL_NAME + 1])
{
	char wanted[LIMIT_MODEL_NAME + 1] = "";
	struct model_entry *list = NULL, m;
	size_t n = 0, best = 0;
	if (s->db)
		TRY(db_read(s->db, read_default, wanted));
	if (wanted[0] && !model_store_find(s, str_from(wanted), &m, NULL)) {
		memcpy(ret, wanted, sizeof wanted);
		return OK;
	}
	TRY(model_store_list(s, &list, &n));
	ret[0] = '\0';
	for (size_t i = 0; i < n; i++)
		if (rank(&list[i]) < rank(&list[best]))
			best = i;
	if (n)
		memcpy(ret, list[best].name, sizeof list[best].name);
	mem_free(list);
	return OK;
}

enum err model_store_default_set(
	struct model_store *s, struct str name, const char *person, struct err_info *info)
{
	struct model_entry e;
	TRY(model_store_find(s, name, &e, info));
	if (e.gguf.embedding_model)
		return err_set(info, ERR_INVALID, "model \"%s\" cannot chat", e.name);
	if (!s->db)
		return err_set(info, ERR_UNSUPPORTED, "there is no database");
	bool alias = e.alias[0] && e.channel == ALIAS_PRODUCTION;
	struct set_default d = { alias ? e.alias : e.name, person };
	return db_write(s->db, write_default, &d);
}

/* ---- changes ---- */
/* Removes the meta file when no other name has the same manifest. */
static void drop_meta(struct model_store *s, char *digest)
{
	char path[STORE_PATH_MAX];
	bool used = false;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_items; i++)
		used |= !strcmp(s->item[i].entry.digest, digest);
	pthread_mutex_unlock(&s->lock);
	if (used)
		return;
	if (!store_meta_path(s, digest, path))
		(void)unlink(path);
	(void)store_origin_forget(s, digest); /* what stays is of no model */
}

/* The empty folders of a name that went, up to the host's. `path` ends as a folder that is there.
 * */
static void drop_folders(struct model_store *s, char *path)
{
	size_t root = strlen(s->dir);
	for (char *slash; (slash = strrchr(path, '/')) && (size_t)(slash - path) >= root;) {
		*slash = '\0';
		if ((size_t)(slash - path) == root || rmdir(path))
			return;
	}
}

static enum err write_manifest(struct model_store *s, const struct model_name *n, const char *hex,
	struct str manifest)
{
	char path[STORE_PATH_MAX], before[65] = "";
	struct store_item fresh = { 0 }, gone = { 0 };
	TRY(store_manifest_path(s, n, path));
	char *slash = strrchr(path, '/');
	*slash = '\0';
	TRY(dir_make(path, 0700));
	*slash = '/';
	TRY(file_write_atomic(path, manifest, 0600));
	TRY(store_item_read(s, n, &fresh));
	pthread_mutex_lock(&s->lock);
	struct store_item *old = store_find_locked(s, n);
	if (old) { /* its list is needed once more, for what it alone used */
		gone = *old;
		memcpy(before, old->entry.digest, sizeof before);
		old->digest = NULL;
		old->n_digests = 0;
	}
	enum err e = store_keep_locked(s, &fresh);
	pthread_mutex_unlock(&s->lock);
	if (e)
		store_item_done(&fresh);
	else
		(void)store_drop_unneeded(
			s, gone.digest, gone.n_digests); /* prune finds what stays */
	if (!e && before[0] && strcmp(before, hex) != 0)
		drop_meta(s, before);
	store_item_done(&gone);
	return e;
}

/* The old version first: a crash between the two leaves it twice, which the next change tidies. */
static enum err put_changed(struct model_store *s, const struct model_name *n, struct str manifest,
	struct str meta, struct model_kept *ret, struct err_info *info)
{
	char path[STORE_PATH_MAX], hex[65];
	uint8_t sum[SHA256_LEN];
	struct model_name kept = { .version = "" };
	sha256_of(manifest.ptr, manifest.len, sum);
	hex_encode(sum, sizeof sum, hex);
	if (n->version[0] && strcmp(n->version, hex) != 0)
		return err_set(info, ERR_INVALID, "a version never changes");
	TRY(store_meta_path(s, hex, path));
	TRY(file_write_atomic(path, meta, 0600));
	if (!n->version[0])
		TRY(store_version_keep(s, n, hex, &kept, info));
	TRY(write_manifest(s, n, hex, manifest));
	if (kept.version[0]) /* it moved: the version before the last is not needed any more */
		store_versions_tidy(s, n, &kept);
	if (ret && kept.version[0])
		name_format(&kept, ret->name);
	else if (ret)
		ret->name[0] = '\0';
	return OK;
}

enum err model_store_name_free(
	struct model_store *s, const struct model_name *n, struct err_info *info)
{
	struct store_alias a;
	char text[LIMIT_MODEL_NAME + 1];
	if (n->version[0])
		return err_set(info, ERR_INVALID,
			"a version cannot be brought or made: it is what a name stood for");
	name_format(n, text);
	enum err e = store_alias_find(s, str_from(text), &a);
	if (e == ERR_NOT_FOUND)
		return OK;
	TRY(e);
	return err_set(
		info, ERR_CONFLICT, "\"%s\" is an alias: a model needs another name", a.name);
}

enum err model_store_put(struct model_store *s, const struct model_name *n, struct str manifest,
	struct str meta, struct model_kept *ret, struct err_info *info)
{
	struct manifest m;
	struct model_name as = *n;
	TRY(manifest_read(manifest, &m, info));
	pthread_mutex_lock(&s->change);
	pthread_mutex_lock(&s->lock);
	struct store_item *old = store_find_locked(s, n);
	if (old)
		as = old->name; /* the same name in other letters is the same file */
	pthread_mutex_unlock(&s->lock);
	enum err e = old ? OK : model_store_name_free(s, &as, info);
	if (!e)
		e = put_changed(s, &as, manifest, meta, ret, info);
	pthread_mutex_unlock(&s->change);
	return e;
}

/* What is copied: the manifest of exactly this version. */
static enum err read_version(struct model_store *s, const struct model_entry *from,
	struct buf *manifest, struct buf *meta)
{
	char path[STORE_PATH_MAX];
	struct model_name n;
	TRY(name_parse(str_from(from->name), &n, NULL));
	TRY(store_manifest_path(s, &n, path));
	TRY(file_read(path, manifest));
	TRY(store_meta_path(s, from->digest, path));
	return file_read(path, meta);
}

static enum err copy_changed(struct model_store *s, struct str from, struct model_name *to,
	struct model_kept *ret, struct err_info *info)
{
	struct model_entry m;
	AUTO_BUF struct buf manifest = BUF(LIMIT_MANIFEST);
	AUTO_BUF struct buf meta = BUF(META_MAX);
	bool same = false;
	TRY(model_store_find(s, from, &m, info));
	TRY(model_store_name_free(s, to, info));
	pthread_mutex_lock(&s->lock);
	struct store_item *old = store_find_locked(s, to);
	if (old) {
		*to = old->name;
		same = !strcmp(old->entry.digest, m.digest);
	}
	pthread_mutex_unlock(&s->lock);
	if (same)
		return OK;
	TRY(read_version(s, &m, &manifest, &meta));
	return put_changed(s, to, buf_str(&manifest), buf_str(&meta), ret, info);
}

enum err model_store_copy(struct model_store *s, struct str from, struct str to,
	struct model_kept *ret, struct err_info *info)
{
	struct model_name b;
	TRY(name_parse(to, &b, info));
	if (b.source == NAME_FILE)
		return err_set(info, ERR_INVALID, "the new name is not valid");
	if (ret)
		ret->name[0] = '\0';
	pthread_mutex_lock(&s->change);
	enum err e = copy_changed(s, from, &b, ret, info);
	pthread_mutex_unlock(&s->change);
	return e;
}

enum err store_remove(struct model_store *s, const struct model_name *n)
{
	char path[STORE_PATH_MAX];
	struct store_item gone = { 0 };
	pthread_mutex_lock(&s->lock);
	struct store_item *i = store_find_locked(s, n);
	enum err e = i ? store_manifest_path(s, &i->name, path) : ERR_NOT_FOUND;
	pthread_mutex_unlock(&s->lock);
	TRY(e);
	if (unlink(path))
		return ERR_IO;
	drop_folders(s, path);
	TRY(fd_sync_dir(path));
	pthread_mutex_lock(&s->lock);
	i = store_find_locked(s, n);
	gone = *i;
	*i = s->item[--s->n_items];
	pthread_mutex_unlock(&s->lock);
	drop_meta(s, gone.entry.digest);
	(void)store_drop_unneeded(s, gone.digest, gone.n_digests); /* prune finds what stays */
	store_item_done(&gone);
	return OK;
}

static enum err delete_changed(
	struct model_store *s, struct model_name *n, bool force, struct err_info *info)
{
	struct store_item there = { 0 };
	pthread_mutex_lock(&s->lock);
	struct store_item *i = store_look_locked(s, n);
	if (i)
		there = *i;
	pthread_mutex_unlock(&s->lock);
	if (!i)
		return ERR_NOT_FOUND;
	if (!force)
		TRY(store_version_may_go(s, &there, info));
	TRY(store_remove(s, &there.name));
	if (!there.name.version[0])
		store_versions_tidy(s, &there.name, NULL);
	return OK;
}

enum err model_store_delete(
	struct model_store *s, struct str name, bool force, struct err_info *info)
{
	struct store_alias a;
	struct model_name n;
	enum err e = store_alias_find(s, name, &a);
	if (!e)
		return err_set(info, ERR_CONFLICT,
			"\"%s\" is an alias, not a model: tresor alias rm %s removes it", a.name,
			a.name);
	if (e != ERR_NOT_FOUND)
		return e;
	TRY(name_parse(name, &n, info));
	pthread_mutex_lock(&s->change);
	e = delete_changed(s, &n, force, info);
	pthread_mutex_unlock(&s->change);
	return e == ERR_NOT_FOUND ? no_model(name, info) : e;
}

/* ---- start-up ---- */
struct prune {
	struct model_store *s;
	char (*digest)[65];
	size_t n;
	int64_t now_ms;
};

static enum err prune_one(
	const char *digest, uint64_t size, bool partial, int64_t modified_ms, void *arg)
{
	struct prune *p = arg;
	pthread_mutex_lock(&p->s->lock);
	bool needed = needed_locked(p->s, digest);
	pthread_mutex_unlock(&p->s->lock);
	if (needed || p->now_ms - modified_ms < (partial ? PARTIAL_KEPT_MS : WHOLE_KEPT_MS))
		return OK;
	char(*more)[65] = mem_realloc(p->digest, (p->n + 1) * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	p->digest = more;
	return str_copy(str_from(digest), p->digest[p->n++], 65);
}

/* Checks the models whose meta file is missing or of another format, and writes it anew. */
static void repair(struct model_store *s)
{
	for (size_t i = 0;; i++) {
		struct model_meta meta = { 0 };
		struct model_name name;
		char path[STORE_PATH_MAX], model[65] = "";
		AUTO_BUF struct buf text = BUF(META_MAX);
		AUTO_BUF struct buf manifest = BUF(LIMIT_MANIFEST);
		pthread_mutex_lock(&s->lock);
		bool end = i >= s->n_items;
		if (!end && !s->item[i].has_meta) {
			memcpy(model, s->item[i].entry.adapters.weights, sizeof model);
			name = s->item[i].name;
		}
		pthread_mutex_unlock(&s->lock);
		if (end)
			return;
		if (!model[0] || store_check(s, model, LAYER_MODEL, &meta.gguf, NULL))
			continue;
		meta.starter = name.source == NAME_STARTER;
		if (model_meta_json(&meta, &text) || store_manifest_path(s, &name, path) ||
			file_read(path, &manifest))
			continue;
		(void)model_store_put(
			s, &name, buf_str(&manifest), buf_str(&text), NULL, NULL);
	}
}

enum err model_store_prune(struct model_store *s, unsigned *ret)
{
	struct prune p = { .s = s, .now_ms = time_now_ms() };
	*ret = 0;
	repair(s);
	enum err e = s->ops->list(s->ops_arg, prune_one, &p);
	for (size_t i = 0; !e && i < p.n; i++) {
		pthread_mutex_lock(&s->lock);
		bool needed = needed_locked(s, p.digest[i]); /* since the list was made */
		pthread_mutex_unlock(&s->lock);
		if (needed)
			continue;
		e = s->ops->remove(s->ops_arg, p.digest[i]);
		*ret += !e;
	}
	mem_free(p.digest);
	return e;
}
