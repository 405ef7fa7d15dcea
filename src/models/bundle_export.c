/* Models out of the house, into one file: the list first, then each blob once, through the jail. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/bundle.h"
#include "models/store_int.h"
#include "os/fd.h"

enum { PIECE = 256 * 1024 };

struct job {
	const struct bundle_export *x;
	struct bundle_blob *blob;
	size_t n_blobs, pinned;
	struct jw models;
	struct buf text;  /* of the models */
	struct buf list;  /* all of the JSON */
	struct buf head;
};

static enum err add_blob(struct job *j, const struct layer *l, struct err_info *info)
{
	for (size_t i = 0; i < j->n_blobs; i++)
		if (!strcmp(j->blob[i].digest, l->digest))
			return OK;
	if (j->n_blobs == BUNDLE_BLOBS_MAX)
		return err_set(info, ERR_LIMIT, "a bundle holds at most %d parts of models",
			(int)BUNDLE_BLOBS_MAX);
	struct bundle_blob *b = &j->blob[j->n_blobs++];
	memcpy(b->digest, l->digest, sizeof b->digest);
	b->size = l->size;
	TRY(model_store_pin(j->x->store, b->digest)); /* a delete beside it spares it */
	j->pinned++;
	return OK;
}

static enum err add_model(struct job *j, struct str name, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_MANIFEST);
	AUTO_MEM struct manifest *m = mem_zalloc(1, sizeof *m);
	struct model_texts t = { .manifest = &text };
	struct model_entry e;
	if (!m)
		return ERR_NOMEM;
	TRY(model_store_find(j->x->store, name, &e, info));
	if (e.kept)
		return err_set(info, ERR_INVALID,
			"\"%s\" is an old version: give it a name first (tresor cp)", e.name);
	TRY(model_store_texts(j->x->store, &e, &t));
	TRY(manifest_read(buf_str(&text), m, info));
	for (size_t i = 0; i < m->n; i++)
		TRY(add_blob(j, &m->layer[i], info));
	jw_obj(&j->models);
	jw_kstr(&j->models, "name", str_from(e.name));
	jw_kstr(&j->models, "manifest", buf_str(&text));
	jw_kstr(&j->models, "licence", str_from(e.licence));
	jw_kstr(&j->models, "origin", str_from(e.name));
	jw_end(&j->models);
	return j->text.err;
}

static enum err write_list(struct job *j)
{
	struct jw w;
	jw_init(&w, &j->list);
	jw_obj(&w);
	jw_ki64(&w, "format", 1);
	jw_ki64(&w, "created_ms", time_now_ms());
	jw_key(&w, "blobs");
	jw_arr(&w);
	for (size_t i = 0; i < j->n_blobs; i++) {
		jw_obj(&w);
		jw_kstr(&w, "digest", str_from(j->blob[i].digest));
		jw_ki64(&w, "size", (int64_t)j->blob[i].size);
		jw_end(&w);
	}
	jw_end(&w);
	jw_key(&w, "models");
	jw_raw(&w, buf_str(&j->text));
	jw_end(&w);
	return j->list.err;
}

static enum err write_blob(struct job *j, const struct bundle_blob *b, struct err_info *info)
{
	struct model_store *s = j->x->store;
	AUTO_MEM char *piece = mem_alloc(PIECE);
	AUTO_FD int fd = -1;
	if (!piece)
		return ERR_NOMEM;
	TRY(s->ops->read(s->ops_arg, b->digest, 0, b->size, &fd, info));
	for (uint64_t left = b->size; left;) {
		size_t got = 0;
		TRY(fd_read(fd, piece, PIECE, &got));
		if (!got || got > left)
			return err_set(info, ERR_IO, "a part of a model could not be read whole");
		TRY(j->x->out(j->x->arg, (struct str){ piece, got }));
		left -= got;
	}
	return OK;
}

static enum err prepare(struct job *j, struct err_info *info)
{
	const struct bundle_export *x = j->x;
	if (!x->n || x->n > BUNDLE_MODELS_MAX)
		return err_set(info, ERR_LIMIT, "a bundle holds 1 to %d models",
			(int)BUNDLE_MODELS_MAX);
	jw_init(&j->models, &j->text);
	jw_arr(&j->models);
	for (size_t i = 0; i < x->n; i++)
		TRY(add_model(j, x->name[i], info));
	jw_end(&j->models);
	TRY(write_list(j));
	TRY(bundle_head_write(buf_str(&j->list), x->sign, x->arg, &j->head));
	/* What nobody would take in must not go out: a name twice, for one. */
	AUTO_BUNDLE struct bundle check = { 0 };
	return bundle_read(buf_str(&j->head), &check, info);
}

enum err bundle_export(const struct bundle_export *x, struct err_info *info)
{
	struct job j = { .x = x,
		.text = BUF(BUNDLE_LIST_MAX),
		.list = BUF(BUNDLE_LIST_MAX),
		.head = BUF(BUNDLE_HEAD_MAX) };
	j.blob = mem_zalloc(BUNDLE_BLOBS_MAX, sizeof *j.blob);
	enum err e = j.blob ? prepare(&j, info) : ERR_NOMEM;
	if (!e)
		e = x->out(x->arg, buf_str(&j.head));
	for (size_t i = 0; !e && i < j.n_blobs; i++)
		e = write_blob(&j, &j.blob[i], info);
	while (j.pinned)
		model_store_unpin(x->store, j.blob[--j.pinned].digest);
	mem_free(j.blob);
	buf_done(&j.text);
	buf_done(&j.list);
	buf_done(&j.head);
	return e;
}
