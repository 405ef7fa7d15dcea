/* States: HEAD (gathering until the head is whole, checked and trusted) -> BLOBS (each into its
 * writer; one that is there already is passed over) -> ALL (every blob is there) -> names given.
 * */
#include <string.h>

#include "base/fault.h"
#include "models/bundle.h"
#include "models/store_int.h"
#include "os/fd.h"

struct bundle_import {
	struct model_store *store;
	bundle_trusted_fn trusted;
	void *arg;
	struct buf head;
	size_t head_size; /* 0: not known yet */
	bool have_head, ended;
	struct bundle b;
	size_t at;        /* blob */
	uint64_t done;    /* bytes of it */
	struct model_upload *up; /* NULL: it is there already */
	bool begun;
	size_t pinned;    /* of b.blob, from the first on */
};

enum err bundle_import_new(struct model_store *s, bundle_trusted_fn trusted, void *arg,
	struct bundle_import **ret)
{
	struct bundle_import *i = mem_zalloc(1, sizeof *i);
	if (!i)
		return ERR_NOMEM;
	i->store = s;
	i->trusted = trusted;
	i->arg = arg;
	i->head = BUF(BUNDLE_HEAD_MAX);
	*ret = i;
	return OK;
}

struct bundle_import *bundle_import_free(struct bundle_import *i)
{
	if (!i)
		return NULL;
	i->up = model_upload_free(i->up);
	size_t n = i->pinned;
	while (i->pinned)
		model_store_unpin(i->store, i->b.blob[--i->pinned].digest);
	for (size_t k = 0; !i->ended && k < n; k++)
		(void)store_drop_unneeded(i->store, &i->b.blob[k].digest, 1);
	buf_done(&i->head);
	bundle_done(&i->b);
	mem_free(i);
	return NULL;
}

const struct bundle *bundle_import_head(const struct bundle_import *i)
{
	return i->have_head ? &i->b : NULL;
}

/* ---- the head ---- */

/* Takes from *bytes until the head has `want` bytes; false: more are needed. */
static enum err gather(struct bundle_import *i, size_t want, struct str *bytes, bool *ret_full)
{
	size_t n = want - i->head.len < bytes->len ? want - i->head.len : bytes->len;
	TRY(buf_add(&i->head, str_sub(*bytes, 0, n)));
	*bytes = str_sub(*bytes, n, bytes->len);
	*ret_full = i->head.len == want;
	return OK;
}

static enum err names_are_free(struct bundle_import *i, struct err_info *info)
{
	for (size_t k = 0; k < i->b.n_models; k++)
		TRY(model_store_name_free(i->store, &i->b.model[k].name, info));
	return OK;
}

static enum err take_head(struct bundle_import *i, struct str *bytes, struct err_info *info)
{
	bool full;
	if (!i->head_size) {
		TRY(gather(i, BUNDLE_PREFIX, bytes, &full));
		if (!full)
			return OK;
		TRY(bundle_head_size(buf_str(&i->head), &i->head_size, info));
	}
	TRY(gather(i, i->head_size, bytes, &full));
	if (!full)
		return OK;
	TRY(bundle_read(buf_str(&i->head), &i->b, info));
	i->have_head = true;
	TRY(i->trusted(i->arg, &i->b, info));
	TRY(names_are_free(i, info)); /* before gigabytes come */
	for (; i->pinned < i->b.n_blobs; i->pinned++)
		TRY(model_store_pin(i->store, i->b.blob[i->pinned].digest));
	buf_done(&i->head);
	return OK;
}

/* ---- the blobs ---- */

static enum err begin_blob(struct bundle_import *i, struct err_info *info)
{
	const struct bundle_blob *b = &i->b.blob[i->at];
	enum err e = model_upload_begin(i->store, str_from(b->digest), b->size, &i->up, info);
	if (e == ERR_LOCKED)
		return err_set(info, e, "a pull brings a part of this bundle at this moment: try "
					"again when it has ended");
	i->begun = !e || e == ERR_EXISTS;
	return e == ERR_EXISTS ? OK : e;
}

static enum err end_blob(struct bundle_import *i, struct err_info *info)
{
	if (i->up)
		TRY(model_upload_end(i->up, info));
	i->up = model_upload_free(i->up);
	i->begun = false;
	i->done = 0;
	i->at++;
	return OK;
}

static enum err take_blobs(struct bundle_import *i, struct str *bytes, struct err_info *info)
{
	/* An empty blob ends without a byte, so the loop looks once more after the last one. */
	while (i->at < i->b.n_blobs) {
		uint64_t left = i->b.blob[i->at].size - i->done;
		size_t n = left < bytes->len ? (size_t)left : bytes->len;
		struct str piece = str_sub(*bytes, 0, n);
		if (!piece.len && left)
			return OK;
		if (!i->begun)
			TRY(begin_blob(i, info));
		if (i->up && piece.len)
			TRY(model_upload_add(i->up, piece, info));
		i->done += piece.len;
		*bytes = str_sub(*bytes, piece.len, bytes->len);
		if (piece.len == left)
			TRY(end_blob(i, info));
	}
	return OK;
}

enum err bundle_import_add(struct bundle_import *i, struct str bytes, struct err_info *info)
{
	if (!i->have_head)
		TRY(take_head(i, &bytes, info));
	if (i->have_head)
		TRY(take_blobs(i, &bytes, info));
	if (bytes.len)
		return err_set(info, ERR_INVALID, "the bundle goes on after its end");
	return OK;
}

/* ---- the names ---- */

/* A small part back from the house, to know what it says. */
static enum err read_text(
	struct model_store *s, const struct layer *l, struct buf *out, struct err_info *info)
{
	AUTO_FD int fd = -1;
	char piece[16 * 1024];
	TRY(s->ops->read(s->ops_arg, l->digest, 0, l->size, &fd, info));
	for (uint64_t left = l->size; left;) {
		size_t got = 0;
		TRY(fd_read(fd, piece, sizeof piece, &got));
		if (!got || got > left)
			return err_set(info, ERR_IO, "a part of a model could not be read whole");
		TRY(buf_add(out, (struct str){ piece, got }));
		left -= got;
	}
	return OK;
}

static enum err read_texts(struct model_store *s, const struct manifest *m,
	struct buf text[LAYER_KINDS], struct err_info *info)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct layer *l = &m->layer[i];
		if (!layer_is_text(l->kind))
			continue;
		if (text[l->kind].len)
			TRY(buf_add(&text[l->kind], STR("\n\n"))); /* several licences */
		TRY(read_text(s, l, &text[l->kind], info));
	}
	return OK;
}

static enum err take_model(struct bundle_import *i, const struct bundle_model *bm,
	struct model_kept *kept, char licence[128], struct err_info *info)
{
	AUTO_MEM struct manifest *m = mem_zalloc(1, sizeof *m);
	AUTO_BUF struct buf meta = BUF(META_MAX);
	struct buf text[LAYER_KINDS];
	if (!m)
		return ERR_NOMEM;
	TRY(manifest_read(bm->manifest, m, info));
	for (size_t k = 0; k < LAYER_KINDS; k++)
		text[k] = BUF(MANIFEST_LAYERS_MAX * LAYER_TEXT_MAX);
	enum err e = read_texts(i->store, m, text, info);
	if (!e)
		e = store_meta_make(i->store, m, text, bm->name.source == NAME_STARTER, &meta,
			licence, info);
	for (size_t k = 0; k < LAYER_KINDS; k++)
		buf_done(&text[k]);
	if (e)
		return e;
	return model_store_put(
		i->store, &bm->name, bm->manifest, buf_str(&meta), kept, info);
}

enum err bundle_import_end(struct bundle_import *i,
	void (*took)(void *arg, const struct bundle_model *m, const char *licence,
		const struct model_kept *kept),
	void *arg, struct err_info *info)
{
	if (!i->have_head || i->at < i->b.n_blobs)
		return err_set(info, ERR_INVALID, "the bundle is cut short");
	for (size_t k = 0; k < i->b.n_models; k++) {
		struct model_kept kept = { .name = "" };
		char licence[128] = "";
		TRY(take_model(i, &i->b.model[k], &kept, licence, info));
		took(arg, &i->b.model[k], licence, &kept);
	}
	i->ended = true;
	return OK;
}
