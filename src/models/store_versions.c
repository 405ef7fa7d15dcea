/* What a name stood for before: NAME@sha256:DIGEST beside it, as long as it is needed. */
#include <string.h>

#include "models/store_int.h"
#include "os/fd.h"

/* A damaged database counts as yes: nothing is lost by keeping. */
static bool is_named(struct model_store *s, const char *digest)
{
	char alias[ALIAS_NAME_MAX + 1];
	return store_alias_of(s, digest, STR(""), true, alias) || alias[0];
}

/* How many names have this version. */
static size_t holders(struct model_store *s, const char *digest)
{
	size_t n = 0;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_items; i++)
		n += !strcmp(s->item[i].entry.digest, digest);
	pthread_mutex_unlock(&s->lock);
	return n;
}

static enum err write_version(
	struct model_store *s, const struct model_name *from, const struct model_name *version)
{
	char path[STORE_PATH_MAX];
	AUTO_BUF struct buf manifest = BUF(LIMIT_MANIFEST);
	struct store_item item = { 0 };
	TRY(store_manifest_path(s, from, path));
	TRY(file_read(path, &manifest));
	TRY(store_manifest_path(s, version, path));
	TRY(file_write_atomic(path, buf_str(&manifest), 0600));
	TRY(store_item_read(s, version, &item));
	pthread_mutex_lock(&s->lock);
	enum err e = store_keep_locked(s, &item);
	pthread_mutex_unlock(&s->lock);
	if (e)
		store_item_done(&item);
	return e;
}

enum err store_version_keep(struct model_store *s, const struct model_name *n, const char *fresh,
	struct model_name *ret_kept, struct err_info *info)
{
	struct model_name from = *n, version;
	char digest[65] = "";
	pthread_mutex_lock(&s->lock);
	struct store_item *i = store_find_locked(s, n);
	if (i) {
		from = i->name;
		memcpy(digest, i->entry.digest, sizeof digest);
	}
	pthread_mutex_unlock(&s->lock);
	if (!digest[0] || !strcmp(digest, fresh))
		return OK;
	if (name_version(&from, digest, &version)) {
		if (!is_named(s, digest))
			return OK; /* as with every other registry: it goes */
		return err_set(info, ERR_INVALID,
			"an alias names what this model is now, and its name is too long to keep "
			"versions");
	}
	TRY(write_version(s, &from, &version));
	*ret_kept = version;
	return OK;
}

/* Does this version have to go, now that its name stands for `now` (empty: for nothing)? */
static bool is_idle(struct model_store *s, const struct model_name *version, const char *now,
	const struct model_name *kept)
{
	if (!strcmp(version->version, now))
		return true;
	if (kept && name_eq(version, kept))
		return false;
	return holders(s, version->version) > 1 || !is_named(s, version->version);
}

void store_versions_tidy(
	struct model_store *s, const struct model_name *n, const struct model_name *kept)
{
	for (size_t i = 0;;) {
		struct model_name version = { .version = "" };
		char now[65] = "";
		pthread_mutex_lock(&s->lock);
		bool end = i >= s->n_items;
		if (!end && name_eq_base(&s->item[i].name, n))
			version = s->item[i].name;
		struct model_name plain = *n;
		plain.version[0] = '\0';
		struct store_item *of = store_find_locked(s, &plain);
		if (of)
			memcpy(now, of->entry.digest, sizeof now);
		pthread_mutex_unlock(&s->lock);
		if (end)
			return;
		/* one that was removed is replaced in the list by another */
		if (!version.version[0] || !is_idle(s, &version, now, kept) ||
			store_remove(s, &version))
			i++;
	}
}

enum err store_version_may_go(struct model_store *s, const struct store_item *i,
	struct err_info *info)
{
	char alias[ALIAS_NAME_MAX + 1], name[LIMIT_MODEL_NAME + 1];
	struct model_name plain = i->name; /* aliases are pointed at names, not at versions */
	bool only = holders(s, i->entry.digest) == 1;
	plain.version[0] = '\0';
	name_format(&plain, name);
	TRY(store_alias_of(s, i->entry.digest, str_from(name), only, alias));
	if (!alias[0])
		return OK;
	/* in one text: the form of Ollama's errors has no place for a hint */
	return err_set(info, ERR_CONFLICT,
		"the alias \"%s\" names this model: move or remove the alias first, or delete "
		"with --force",
		alias);
}
