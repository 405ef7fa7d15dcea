/* One pull from the name to the manifest, in a straight line. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hex.h"
#include "models/pull_int.h"
#include "models/starter.h"

/* ---- the registry ---- */
enum err pull_base(struct pull *p, struct err_info *info)
{
	struct allow *a = mem_alloc(sizeof *a);
	struct url u;
	if (!a)
		return ERR_NOMEM;
	egress_client_allow(p->pulls->o.egress, a);
	/* Plain http only where the list says so for this very host and port. */
	(void)snprintf(p->base, sizeof p->base, "http://%s/v2/%s/%s", p->name.host, p->name.ns,
		p->name.model);
	enum err e = url_parse(str_from(p->base), &u, info);
	bool plain = !e && allow_plain(a, u.host, u.port);
	if (!e && !plain) {
		(void)snprintf(p->base, sizeof p->base, "https://%s/v2/%s/%s", p->name.host,
			p->name.ns, p->name.model);
		e = url_parse(str_from(p->base), &u, info);
	}
	if (!e)
		e = p->push ? allow_push(a, &u, info) : allow_url(a, &u, info);
	mem_free(a);
	uint64_t number = 0;
	if (!e)
		e = pull_login(p, &number);
	p->has_login = number != 0 || e == ERR_AGAIN; /* AGAIN: one is stored; egress starts */
	return e == ERR_AGAIN ? OK : e;
}

static enum err get_manifest(struct pull *p, struct err_info *info)
{
	char path[NAME_PART_MAX + 16];
	pull_tell(p, "pulling manifest", "", 0, 0, true);
	(void)snprintf(path, sizeof path, "/manifests/%s", p->name.tag);
	TRY(pull_get(p, path, LIMIT_MANIFEST, &p->manifest_text, info));
	TRY(manifest_read(buf_str(&p->manifest_text), &p->manifest, info));
	pthread_mutex_lock(&p->lock);
	p->progress.all_total = p->manifest.total;
	pthread_mutex_unlock(&p->lock);
	return OK;
}

/* A text layer comes inline and is checked here; its blob is written like any other. */
static enum err get_text(struct pull *p, const struct layer *l, struct err_info *info)
{
	char path[96], hex[65];
	uint8_t sum[SHA256_LEN];
	struct layer stored;
	bool fresh;
	AUTO_BUF struct buf text = BUF(LAYER_TEXT_MAX);
	(void)snprintf(path, sizeof path, "/blobs/sha256:%s", l->digest);
	TRY(pull_get(p, path, LAYER_TEXT_MAX, &text, info));
	sha256_of(text.ptr, text.len, sum);
	hex_encode(sum, sizeof sum, hex);
	if (strcmp(hex, l->digest) != 0 || text.len != l->size)
		return err_set(info, ERR_DIGEST,
			"digest mismatch: expected sha256:%.12s.., got sha256:%.12s..", l->digest,
			hex);
	if (layer_is_text(l->kind) && !str_is_utf8(buf_str(&text)))
		return err_set(
			info, ERR_MODEL_BAD, "not a usable model: a text part of it is not UTF-8");
	TRY(store_text_layer(p->pulls->o.store, l->kind, buf_str(&text), &stored, &fresh, info));
	model_store_unpin(p->pulls->o.store, stored.digest); /* the pull's own pin holds it */
	struct buf *keep = &p->text[l->kind];
	if (keep->len)
		TRY(buf_add(keep, STR("\n\n"))); /* several licences */
	return buf_add(keep, buf_str(&text));
}

static enum err get_layer(struct pull *p, const struct layer *l, struct err_info *info)
{
	char status[32];
	(void)snprintf(status, sizeof status, "pulling %.12s", l->digest);
	pull_tell(p, status, l->digest, l->size, 0, true);
	if (layer_is_text(l->kind) || l->kind == LAYER_OTHER)
		TRY(get_text(p, l, info));
	else
		TRY(pull_blob(p, l, info));
	pull_tell(p, status, l->digest, l->size, l->size, true);
	p->done_before += l->size;
	return OK;
}

static enum err get_layers(struct pull *p, struct err_info *info)
{
	/* Texts first: a manifest whose small parts fail costs nobody hours, and the licence is
	 * shown while there is still something to cancel. */
	for (int large = 0; large < 2; large++) {
		if (large)
			pull_licence(p, licence_title(buf_str(&p->text[LAYER_LICENCE])));
		for (size_t i = 0; i < p->manifest.n; i++) {
			const struct layer *l = &p->manifest.layer[i];
			bool is_large = !layer_is_text(l->kind) && l->kind != LAYER_OTHER;
			if (is_large == (large == 1))
				TRY(get_layer(p, l, info));
		}
	}
	return OK;
}

static enum err finish(struct pull *p, struct err_info *info)
{
	struct model_store *store = p->pulls->o.store;
	AUTO_BUF struct buf meta = BUF(META_MAX);
	char licence[sizeof p->progress.licence];
	struct model_kept kept;
	pull_tell(p, "verifying sha256 digest", "", 0, 0, true);
	TRY(store_meta_make(store, &p->manifest, p->text, false, &meta, licence, info));
	pull_licence(p, str_from(licence));
	if (pull_is_cancelled(p))
		return ERR_CANCELLED;
	pull_tell(p, "writing manifest", "", 0, 0, true);
	TRY(model_store_put(
		store, &p->as, buf_str(&p->manifest_text), buf_str(&meta), &kept, info));
	pull_kept(p, &kept);
	return OK;
}

static enum err run_registry(struct pull *p, struct err_info *info)
{
	struct model_store *s = p->pulls->o.store;
	TRY(pull_base(p, info));
	TRY(get_manifest(p, info));
	size_t pinned = 0;
	enum err e = OK;
	while (!e && pinned < p->manifest.n) {
		e = model_store_pin(s, p->manifest.layer[pinned].digest);
		pinned += !e;
	}
	if (!e)
		e = get_layers(p, info);
	if (!e)
		e = finish(p, info);
	for (size_t i = 0; i < pinned; i++)
		model_store_unpin(s, p->manifest.layer[i].digest);
	if (e == ERR_MODEL_BAD || e == ERR_INVALID ||
		e == ERR_BAD_JSON) /* nothing of it is of use */
		for (size_t i = 0; i < p->manifest.n; i++)
			(void)store_drop_unneeded(s, &p->manifest.layer[i].digest, 1);
	return e;
}

/* ---- starters ---- */
static enum err copy_starter(
	struct pull *p, const struct starter *st, const struct layer *l, struct err_info *info)
{
	const struct pulls_options *o = &p->pulls->o;
	struct ipc *control = NULL;
	enum err e;
	while ((e = o->ops->stage_local(o->ops_arg, st->name, &control, info)) == ERR_LOCKED) {
		if (pull_is_cancelled(p))
			return ERR_CANCELLED;
		pull_wait(p, -1, 500); /* somebody copies it at this moment */
	}
	if (e == ERR_EXISTS)
		return OK;
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "the starter model \"%s\" is not installed here", st->name);
	TRY(e);
	e = pull_copied(p, control, l, info);
	(void)ipc_free(control);
	return e ? e : o->ops->commit(o->ops_arg, l->digest, info);
}

static void on_put_status(const char *line, void *arg)
{
	pull_tell(arg, line, "", 0, 0, true);
}

static enum err put_starter(
	struct pull *p, const struct starter *st, const struct layer *l, struct err_info *info)
{
	const struct pulls_options *o = &p->pulls->o;
	struct store_parts parts = { .meta = { .licence_name = str_from(st->licence),
					     .starter = true } };
	memcpy(parts.model_digest, l->digest, sizeof parts.model_digest);
	pull_tell(p, "verifying sha256 digest", "", 0, 0, true);
	TRY(store_check(o->store, l->digest, LAYER_MODEL, &parts.meta.gguf, info));
	struct model_kept kept;
	TRY(store_put_parts(o->store, &p->as, &parts, on_put_status, p, &kept, info));
	pull_kept(p, &kept);
	pull_licence(p, parts.meta.licence_name);
	return OK;
}

static enum err run_starter(struct pull *p, struct err_info *info)
{
	const struct starter *st = starter_find(str_from(p->name.model));
	struct model_store *s = p->pulls->o.store;
	struct layer l = { .kind = LAYER_MODEL };
	if (!st)
		return err_set(
			info, ERR_NOT_FOUND, "there is no starter model \"%s\"", p->name.model);
	l.size = st->size;
	pull_licence(p, str_from(st->licence));
	TRY(str_copy(str_from(st->digest), l.digest, sizeof l.digest));
	pthread_mutex_lock(&p->lock);
	p->progress.all_total = st->size;
	pthread_mutex_unlock(&p->lock);
	TRY(model_store_pin(s, l.digest));
	enum err e = copy_starter(p, st, &l, info);
	p->done_before = e ? 0 : l.size;
	if (!e)
		e = put_starter(p, st, &l, info);
	model_store_unpin(s, l.digest);
	return e;
}

enum err pull_run(struct pull *p, struct err_info *info)
{
	p->manifest_text = BUF(LIMIT_MANIFEST);
	for (size_t i = 0; i < LAYER_KINDS; i++)
		p->text[i] = BUF(MANIFEST_LAYERS_MAX * LAYER_TEXT_MAX);
	enum err e = p->push                          ? push_run(p, info)
		     : p->name.source == NAME_STARTER ? run_starter(p, info)
						      : run_registry(p, info);
	buf_done(&p->manifest_text);
	for (size_t i = 0; i < LAYER_KINDS; i++)
		buf_done(&p->text[i]);
	return e;
}
