#include "models/import.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/hex.h"
#include "models/store_int.h"
#include "models/writer.h"

enum { COPY_MS = 500, FOLDER_MAX = 4000 };

struct import {
	struct model_store *s;
	const struct import_request *q; /* borrowed */
	const struct create_watch *watch;
	struct model_name name;
	struct manifest manifest;
	struct buf text[LAYER_KINDS];
	char folder[FOLDER_MAX];
	struct import_done done;
};

static bool gone(const struct import *m)
{
	return m->watch && m->watch->gone && m->watch->gone(m->watch->arg);
}

static void tell(const struct import *m, const char *what, const char *digest)
{
	char line[120];
	if (!m->watch || !m->watch->status)
		return;
	(void)snprintf(line, sizeof line, "%s %.12s", what, digest);
	m->watch->status(line, m->watch->arg);
}

/* ---- files ---- */

static enum err wait_copy(struct import *m, struct ipc *control, struct err_info *info)
{
	AUTO_MEM struct writer_event *v = mem_zalloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	for (;;) {
		if (gone(m))
			return ERR_CANCELLED;
		enum err e = writer_wait(control, COPY_MS, v);
		if (e == ERR_TIMEOUT)
			continue;
		TRY(e);
		if (v->kind == WRITER_EV_WHOLE)
			return OK;
		if (v->kind == WRITER_EV_FAILED)
			return err_set(info, v->code, "%s", v->detail);
		if (v->kind == WRITER_EV_MISMATCH)
			return err_set(
				info, ERR_DIGEST, "its bytes have the digest sha256:%s", v->digest);
	}
}

static enum err copy(struct import *m, const char *digest, struct err_info *info)
{
	const struct model_blob_ops *ops = m->s->ops;
	struct ipc *control = NULL;
	TRY(ops->stage_file(m->s->ops_arg, m->folder, digest, &control, info));
	enum err e = wait_copy(m, control, info);
	(void)ipc_free(control);
	if (e == ERR_DIGEST)
		(void)ops->remove(m->s->ops_arg, digest);
	TRY(e);
	TRY(ops->commit(m->s->ops_arg, digest, info));
	m->done.copied++;
	return OK;
}

static enum err bring(struct import *m, const struct layer *l, struct err_info *info)
{
	struct err_info why = { 0 };
	bool linked = false;
	if (!model_blob_exists(m->s, str_from(l->digest)))
		return OK;
	tell(m, "checking", l->digest);
	enum err e = m->s->ops->share(m->s->ops_arg, m->folder, l->digest, &linked, &why);
	if (!e) {
		m->done.linked += linked;
		m->done.cloned += !linked;
		return OK;
	}
	if (e == ERR_UNSUPPORTED && m->q->copy) {
		tell(m, "copying", l->digest);
		e = copy(m, l->digest, &why);
	}
	if (!e)
		return OK;
	(void)err_set(info, e, "blobs/sha256-%.12s..: %s", l->digest,
		why.detail[0] ? why.detail : err_text(e));
	if (e == ERR_UNSUPPORTED)
		err_hint(info, "import with --copy makes a copy of it");
	return e;
}

/* ---- texts ---- */

static enum err take_text(struct import *m, const struct layer *l, struct err_info *info)
{
	char hex[2 * SHA256_LEN + 1];
	uint8_t sum[SHA256_LEN];
	const json_t *v = m->q->texts ? json_object_get(m->q->texts, l->digest) : NULL;
	struct str text = { json_string_value(v), json_string_length(v) };
	struct buf *keep = &m->text[l->kind];
	if (!text.ptr)
		return err_set(
			info, ERR_INVALID, "the text sha256:%.12s.. did not come", l->digest);
	sha256_of(text.ptr, text.len, sum);
	hex_encode(sum, sizeof sum, hex);
	if (strcmp(hex, l->digest) != 0 || text.len != l->size)
		return err_set(info, ERR_DIGEST, "the text sha256:%.12s.. has another digest",
			l->digest);
	if (keep->len)
		TRY(buf_add(keep, STR("\n\n"))); /* several licences */
	return buf_add(keep, text);
}

/* ---- the whole ---- */

static enum err is_here(struct import *m, bool *ret)
{
	char name[LIMIT_MODEL_NAME + 1], hex[2 * SHA256_LEN + 1];
	uint8_t sum[SHA256_LEN];
	struct model_entry entry;
	name_format(&m->name, name);
	sha256_of(m->q->manifest.ptr, m->q->manifest.len, sum);
	hex_encode(sum, sizeof sum, hex);
	enum err e = model_store_find(m->s, str_from(name), &entry, NULL);
	*ret = !e && !strcmp(entry.digest, hex);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err bring_all(struct import *m, struct err_info *info)
{
	for (size_t i = 0; i < m->manifest.n; i++)
		if (layer_is_text(m->manifest.layer[i].kind))
			TRY(take_text(m, &m->manifest.layer[i], info));
	for (size_t i = 0; i < m->manifest.n; i++) {
		if (gone(m))
			return ERR_CANCELLED;
		TRY(bring(m, &m->manifest.layer[i], info));
	}
	AUTO_BUF struct buf meta = BUF(META_MAX);
	char licence[128];
	TRY(store_meta_make(m->s, &m->manifest, m->text, false, &meta, licence, info));
	return model_store_put(
		m->s, &m->name, m->q->manifest, buf_str(&meta), &m->done.kept, info);
}

static enum err run(struct import *m, struct err_info *info)
{
	size_t pinned = 0;
	TRY(name_parse(m->q->name, &m->name, info));
	if (m->name.source == NAME_FILE || m->name.source == NAME_STARTER || m->name.version[0])
		return err_set(info, ERR_INVALID, "the model's name is not valid");
	if (!str_starts(m->q->folder, STR("/")) || memchr(m->q->folder.ptr, 0, m->q->folder.len) ||
		str_copy(m->q->folder, m->folder, sizeof m->folder))
		return err_set(info, ERR_INVALID, "the folder must be an absolute path");
	TRY(model_store_name_free(m->s, &m->name, info));
	TRY(manifest_read(m->q->manifest, &m->manifest, info));
	TRY(is_here(m, &m->done.here_already));
	if (m->done.here_already)
		return OK;
	enum err e = OK;
	while (!e && pinned < m->manifest.n) {
		e = model_store_pin(m->s, m->manifest.layer[pinned].digest);
		pinned += !e;
	}
	if (!e)
		e = bring_all(m, info);
	while (pinned)
		model_store_unpin(m->s, m->manifest.layer[--pinned].digest);
	if (e == ERR_MODEL_BAD || e == ERR_INVALID || e == ERR_BAD_JSON)
		for (size_t i = 0; i < m->manifest.n; i++) /* nothing of it is of use */
			(void)store_drop_unneeded(m->s, &m->manifest.layer[i].digest, 1);
	return e;
}

enum err model_import(struct model_store *s, const struct import_request *q,
	const struct create_watch *watch, struct import_done *ret, struct err_info *info)
{
	struct import *m = mem_zalloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	m->s = s;
	m->q = q;
	m->watch = watch;
	for (size_t i = 0; i < LAYER_KINDS; i++)
		m->text[i] = BUF(MANIFEST_LAYERS_MAX * LAYER_TEXT_MAX);
	enum err e = run(m, info);
	if (!e)
		*ret = m->done;
	for (size_t i = 0; i < LAYER_KINDS; i++)
		buf_done(&m->text[i]);
	mem_free(m);
	return e;
}
