/* models/store_int.h - private to models/store*.c, alias_store.c, pull*.c and upload.c. */
#pragma once

#include <pthread.h>

#include "models/alias.h"
#include "models/manifest.h"
#include "models/meta.h"
#include "models/store.h"
#include "proto/make.h"

enum { STORE_PATH_MAX = 4096, STORE_MODELS_MAX = 10000 };

struct store_item {
	struct model_name name;      /* as the file is called */
	struct model_entry entry;
	char (*digest)[65]; /* every layer's, and model_digest where that is none; owned */
	size_t n_digests;
	bool has_meta;
};
struct pin { char digest[65]; unsigned count; };
struct model_store {
	char dir[STORE_PATH_MAX];    /* DIR/models/manifests */
	struct db *db;
	const struct model_blob_ops *ops;
	void *ops_arg;
	pthread_mutex_t lock;        /* the two lists; never held while the keeper is asked */
	pthread_mutex_t change;      /* one change at a time; taken before `lock` */
	struct store_item *item;
	size_t n_items, cap_items;
	struct pin *pin;
	size_t n_pins, cap_pins;
	unsigned n_makes; /* files under way; with `lock` held */
};

/* Reads one manifest with its meta into *ret (digest list owned). */
enum err store_item_read(struct model_store *s, const struct model_name *n, struct store_item *ret);
void store_item_done(struct store_item *i);
/* With `lock` held. NULL: not there. */
struct store_item *store_find_locked(struct model_store *s, const struct model_name *n);
/* The same, and NAME@sha256:DIGEST also where NAME stands for that version now. */
struct store_item *store_look_locked(struct model_store *s, const struct model_name *n);
/* Takes the item's digest list; replaces one of the same name. With `lock` held. */
enum err store_keep_locked(struct model_store *s, struct store_item *i);
/* By the manifest's digest alone; a name before its versions. Errors: ERR_NOT_FOUND. */
enum err store_find_version(struct model_store *s, const char *digest, struct model_entry *ret);
/* Removes one name, its file and what nothing else needs. With `change` held. ERR_NOT_FOUND. */
enum err store_remove(struct model_store *s, const struct model_name *n);
enum err store_meta_path(struct model_store *s, const char *digest, char dst[STORE_PATH_MAX]);
enum err store_manifest_path(struct model_store *s, const struct model_name *n,
			     char dst[STORE_PATH_MAX]);
/* Has the keeper delete those of these blobs that no name and no pin needs. */
enum err store_drop_unneeded(struct model_store *s, char (*digest)[65], size_t n);
/* Puts a small text into a blob of its own; *ret is its layer. The digest is pinned: the caller
 * unpins. *ret_new: it was not there before. */
enum err store_text_layer(struct model_store *s, enum layer_kind kind, struct str text,
			  struct layer *ret, bool *ret_new, struct err_info *info);
/* The jail's word on a blob that is to be a model, its projector or an adapter (`kind` says which).
 * Errors: ERR_MODEL_BAD (also: it is another of them), those of ops->check(). */
enum err store_check(struct model_store *s, const char *digest, enum layer_kind kind,
	struct gguf_summary *ret, struct err_info *info);
/* The same of an adapter, and that it fits the model in the blob `weights`. */
enum err store_check_adapter(struct model_store *s, const char *weights, const char *digest,
	struct gguf_summary *ret, struct err_info *info);
/* The meta (models/meta.h) of what a manifest names: checks the model, its projector and adapters
 * in the jail, reads the small texts, by kind. *licence: its name, or the model's own word; or
 * empty. Errors: ERR_MODEL_BAD, ERR_INVALID, those of ops->check(). */
enum err store_meta_make(struct model_store *s, const struct manifest *m,
	const struct buf text[LAYER_KINDS], bool starter, struct buf *out, char ret_licence[128],
	struct err_info *info);
/* Manifest and meta of `n` from these parts: writes config and text layers as blobs, then puts. */
struct store_parts {
	char model_digest[65];
	const struct layer *keep;    /* layers taken over as they are (projector, adapters) */
	size_t n_keep;
	struct model_meta meta;
};
enum err store_put_parts(struct model_store *s, const struct model_name *n,
			 const struct store_parts *p, void (*status)(const char *line, void *arg),
			 void *arg, struct model_kept *ret, struct err_info *info);

/* ---- store_source.c: what a created model is made of ---- */
struct source_part {
	const char *name; /* borrowed from the request */
};
struct source {
	char model[65]; /* of the GGUF */
	struct gguf_summary gguf;
	struct layer keep[MANIFEST_LAYERS_MAX]; /* its projector and adapters */
	size_t n_keep;
	struct source_part part[MAKE_PARTS_MAX]; /* files of the request, pinned */
	char digest[MAKE_PARTS_MAX][65];
	size_t n_parts;
	char made[65], adapter[65]; /* model and adapter, where they were made here; pinned */
};
/* `files` is {name: digest}. *src is zeroed before, and done also after an error. */
enum err store_source_files(struct model_store *s, const json_t *files,
	const struct create_watch *w, struct source *src, struct err_info *info);
/* `adapters` is {name: digest}, of an adapter for what *src has by now. */
enum err store_source_adapter(struct model_store *s, const json_t *adapters,
	const struct create_watch *w, struct source *src, struct err_info *info);
enum err store_source_quantize(struct model_store *s, struct str type,
	const struct create_watch *w, struct source *src, struct err_info *info);
/* `e`: how the create ended. Unpins, and drops what is of no use any more. */
void store_source_done(struct model_store *s, struct source *src, enum err e);

/* ---- store_versions.c: old versions of a name; with `change` held ---- */
/* Before `n` gets the manifest of digest `fresh`: the one it has stays as a version. *ret_kept is
 * its name; its version is empty when nothing had to be kept. Errors: ERR_INVALID (an alias needs
 * the old one, and the name is too long to have versions), the disk's. */
enum err store_version_keep(struct model_store *s, const struct model_name *n, const char *fresh,
	struct model_name *ret_kept, struct err_info *info);
/* Removes the versions of `n` that no alias needs (none names them, or another name has them too)
 * and those that `n` itself stands for again; not `kept` (may be NULL). What fails stays. */
void store_versions_tidy(
	struct model_store *s, const struct model_name *n, const struct model_name *kept);
/* May the name go, or does an alias need it? Errors: ERR_CONFLICT (info names the alias). */
enum err store_version_may_go(struct model_store *s, const struct store_item *i,
	struct err_info *info);

/* origin.c: the version is not here any more. */
enum err store_origin_forget(struct model_store *s, char *digest);

/* ---- alias_store.c ---- */
struct store_alias {
	char name[ALIAS_NAME_MAX + 1];
	enum alias_channel channel;
	char digest[65]; /* empty: the channel is not set */
	char engine[LIMIT_ENGINE_ID + 1];
};
/* Errors: ERR_NOT_FOUND (no alias is called so), the database's. */
enum err store_alias_find(struct model_store *s, struct str text, struct store_alias *ret);
/* The first alias that needs this version: by `model`, or whichever name where there is `only` one.
 * Empty: none. */
enum err store_alias_of(struct model_store *s, const char *digest, struct str model, bool only,
	char ret_alias[ALIAS_NAME_MAX + 1]);
