/* models/store.h - which models there are: names, manifests and what is known of each.
 *
 * Files: DIR/models/manifests/HOST/NS/MODEL/TAG is the registry's manifest, byte for byte (its
 * SHA-256 is the digest that Ollama's clients show); manifests/.meta/<that digest>.json holds what
 * the check found and the small text layers. Written in this order: blobs committed by the keeper,
 * then .meta, then the manifest by an atomic rename, so a name that is listed is whole. The server
 * writes only below manifests/ and never opens a model file.
 *
 * A name that gets another manifest keeps the one it had as a version, NAME@sha256:DIGEST: a name
 * like any other. Of the versions that no alias names only the last stays; they go with their name.
 *
 * All functions may be called by any thread; they block on the keeper or the disk (not for the
 * IPC loop). */
#pragma once

#include "base/json.h"
#include "models/adapter.h"
#include "models/alias.h"
#include "models/gguf.h"
#include "models/name.h"
#include "os/ipc.h"
#include "store/db.h"

struct keeper_link;
struct make_wish; /* models/make.h */
struct model_blob_ops; /* below: how blobs are reached; tests bring their own */
struct model_store;
/* `db` may be NULL (then there is no default setting). Reads the folder; a manifest that is damaged
 * is left out and counted. Errors: from errno, ERR_NOMEM. */
enum err model_store_open(const char *data_dir, struct db *db, const struct model_blob_ops *ops,
	void *ops_arg, struct model_store **ret);
struct model_store *model_store_free(struct model_store *s);
DEFINE_AUTO(model_store)

/* ---- what is there ---- */
/* By its template, as Ollama judges: a template in Go says what it has a place for. One in Jinja
 * takes tools in any case, in the general form if it has none. */
struct model_can {
	bool tools, insert, thinking;
};
struct model_entry {                     /* a value: no pointer inside */
	char name[LIMIT_MODEL_NAME + 1]; /* "gemma3:4b", as name_format() */
	char digest[65];                 /* of the manifest */
	/* What an engine loads: the GGUF blob's digest, or that of weights and adapters together
	 * (adapters_identity()). adapters_weights() is the blob in either case. */
	char model_digest[65];
	struct model_adapters adapters;
	uint64_t size;                   /* all layers, bytes */
	int64_t modified_ms;
	struct gguf_summary gguf;
	char parameters[16], quantization[24], family[64];
	char template_hash[65]; /* hex SHA-256 of the template in use: see models/own.h; or empty */
	char licence[128];
	bool starter;       /* "test model, not for real questions" */
	struct model_can can;
	char projector_digest[65]; /* of a model that sees: its second blob; empty: none */
	bool kept;          /* a version that its name does not stand for any more */
	/* The alias by which it was found, and which of its channels: whoever asks for another one
	 * than production needs a right. Empty: by a name. */
	char alias[ALIAS_NAME_MAX + 1];
	enum alias_channel channel;
	char engine[LIMIT_ENGINE_ID + 1]; /* the build that the alias' version keeps; or empty */
};
/* The one place where a name becomes a version: a model's name, NAME@sha256:DIGEST, an alias, or
 * ALIAS:CHANNEL. Errors: ERR_NOT_FOUND (info: model "x" not found; its hint, when an alias has no
 * such version), ERR_INVALID (name), the database's. */
enum err model_store_find(
	struct model_store *s, struct str name, struct model_entry *ret, struct err_info *info);
/* Exactly this version, manifest and so template, system text and parameters included, under
 * exactly this engine build (empty: the current one): for what must not move when names and aliases
 * do, as a published workflow. Errors: ERR_NOT_FOUND (info; never another version instead),
 * ERR_INVALID. */
enum err model_store_find_fixed(struct model_store *s, struct str digest, struct str engine,
	struct model_entry *ret, struct err_info *info);
/* By manifest digest or model digest; a name before its versions. */
enum err model_store_find_digest(
	struct model_store *s, const char *digest, struct model_entry *ret);
/* Newest first. *ret is malloc'd; the caller frees. */
enum err model_store_list(struct model_store *s, struct model_entry **ret, size_t *ret_n);
/* The small text layers of exactly this version, also when its name has moved since; each buf gets
 * text or stays empty. `template_` is empty where the file's own counts. `params` is a JSON object
 * of default options, `ollama` one of model_ollama_read(). Any buf may be NULL. */
struct model_texts {
	struct buf *template_, *system, *params, *licence, *messages, *manifest, *ollama;
};
enum err model_store_texts(
	struct model_store *s, const struct model_entry *e, struct model_texts *t);
/* What is in the headers of its files: gguf_describe()'s objects, read in the jail. `lists`: with
 * the metadata's lists, which takes long. The caller owns them. Errors: the jail's and the
 * keeper's. */
struct model_headers {
	json_t *model, *projector; /* projector NULL: it has none */
	json_t *adapter[ENGINE_ADAPTERS_MAX]; /* as many as in the entry */
};
void model_headers_done(struct model_headers *h);
#define AUTO_HEADERS [[gnu::cleanup(model_headers_done)]]
enum err model_store_describe(struct model_store *s, const struct model_entry *e, bool lists,
	struct model_headers *ret, struct err_info *info);
struct model_origin { /* a value */
	char source[LIMIT_MODEL_NAME + 1]; /* the name it was pulled by; empty: made here */
	char person[ID_LEN + 1];           /* who let it in; empty: the operator */
	int64_t at_ms;
};
/* Who lets in the version that `name` stands for, and from where; `source` empty: made here. The
 * first word holds as long as the version is here. Errors: ERR_NOT_FOUND, the database's. */
enum err model_store_let_in(
	struct model_store *s, struct str name, struct str source, const char *person);
/* `digest`: of the manifest. Errors: ERR_NOT_FOUND (nobody said so), the database's. */
enum err model_store_origin(
	struct model_store *s, const char *digest, struct model_origin *ret);
extern const struct sql *const origin_sql[]; /* for db_prepare_check() */
extern const size_t origin_sql_count;
/* The model used when nobody names one: the setting (a name or an alias) if that model is there,
 * else the first that is not a starter, else the first. Empty text: there is none. */
enum err model_store_default(struct model_store *s, char ret[LIMIT_MODEL_NAME + 1]);
enum err model_store_default_set(
	struct model_store *s, struct str name, const char *person, struct err_info *info);

/* ---- changes ---- */
/* What of a change a person has to be told: the version that the name stood for, and that stays.
 * Empty: the name is new, or has not moved. */
struct model_kept {
	char name[LIMIT_MODEL_NAME + 1]; /* "m:latest@sha256:..." */
};
/* Errors of all: ERR_CONFLICT (an alias has the new name). */
enum err model_store_copy(struct model_store *s, struct str from, struct str to,
	struct model_kept *ret, struct err_info *info);
/* Removes the name and those of its versions that no alias names; blobs that no name and no running
 * pull uses are deleted by the keeper. Errors: ERR_CONFLICT (an alias names it; info says which):
 * not with `force`. */
enum err model_store_delete(
	struct model_store *s, struct str name, bool force, struct err_info *info);
/* Writes .meta and manifest of `n`. Every layer's blob must be committed and pinned. `meta` is
 * the JSON object of models/meta.h. */
enum err model_store_put(struct model_store *s, const struct model_name *n, struct str manifest,
	struct str meta, struct model_kept *ret, struct err_info *info);
/* May a model be called so? Errors: ERR_INVALID (one version: those are made by moving a name),
 * ERR_CONFLICT (an alias has the name), the database's. */
enum err model_store_name_free(
	struct model_store *s, const struct model_name *n, struct err_info *info);
/* A running pull or create pins the digests it brings, so that a delete beside it spares them. */
enum err model_store_pin(struct model_store *s, const char *digest);
void model_store_unpin(struct model_store *s, const char *digest);
/* Deletes blobs that nobody names (a crash between commit and manifest): whole ones an hour after
 * they came, for a blob is sent before the create that names it, partial ones after 7 days. Returns
 * how many in *ret. On a worker. */
enum err model_store_prune(struct model_store *s, unsigned *ret);

/* Who watches a model being made; each may be NULL. Called on the thread that makes it. */
struct create_watch {
	void (*status)(const char *line, void *arg); /* Ollama's lines */
	/* `line` again, how far it is */
	void (*progress)(const char *line, uint64_t done, uint64_t all, void *arg);
	bool (*gone)(void *arg); /* nobody wants it any more: end */
	void *arg;
};
/* Ollama's create: a new name for files that were uploaded, or for a model that exists, with its
 * own system text, params and licence. Files are one GGUF, the parts of one, or a folder of
 * safetensors (models/convert.h), and a projector; "quantize" makes it smaller; "adapters" are
 * one GGUF or one folder of PEFT's (models/convert_adapter.h). `request` is the
 * parsed body of POST /api/create; `watch` may be NULL. Errors: ERR_NOT_FOUND, ERR_INVALID,
 * ERR_MODEL_BAD, ERR_UNSUPPORTED, ERR_CANCELLED, ERR_NOSPACE, the keeper's. */
enum err model_store_create(struct model_store *s, const json_t *request,
	const struct create_watch *watch, struct model_kept *ret, struct err_info *info);

/* ---- uploads: POST /api/blobs/sha256:... ---- */
struct model_upload;
/* Errors: ERR_EXISTS (it is there already: that is fine), ERR_NOSPACE, ERR_LOCKED, the keeper's. */
enum err model_upload_begin(struct model_store *s, struct str digest, uint64_t size,
	struct model_upload **ret, struct err_info *info);
/* Blocks while the writer is slower. Errors: ERR_NOSPACE, ERR_CLOSED, ERR_LIMIT (over the size). */
enum err model_upload_add(struct model_upload *u, struct str bytes, struct err_info *info);
/* Errors: ERR_DIGEST (the bytes do not have the digest), ERR_INVALID (too few bytes). */
enum err model_upload_end(struct model_upload *u, struct err_info *info);
struct model_upload *model_upload_free(struct model_upload *u); /* unfinished: parts are kept */
DEFINE_AUTO(model_upload)
/* HEAD /api/blobs/sha256:...: is the blob there? Errors: ERR_NOT_FOUND, ERR_INVALID. */
enum err model_blob_exists(struct model_store *s, struct str digest);

/* ---- the way to the blobs: keeper_link in the server, a fake in tests ---- */
struct model_blob_ops {
	/* *ret_control: a struct ipc owned by the caller; *ret_sink: blocking descriptor, owned.
	 * ERR_EXISTS when the whole blob is there. */
	enum err (*stage)(void *arg, const char *digest, uint64_t size, struct ipc **ret_control,
		int *ret_sink, struct err_info *info);
	enum err (*stage_local)(
		void *arg, const char *starter, struct ipc **ret_control, struct err_info *info);
	enum err (*commit)(void *arg, const char *digest, struct err_info *info);
	enum err (*remove)(void *arg, const char *digest);
	/* Runs the GGUF check in the jail on the committed blob. */
	enum err (*check)(
		void *arg, const char *digest, struct gguf_summary *ret, struct err_info *info);
	/* The same job says what is in the header (gguf_describe()); the caller owns *ret. */
	enum err (*describe)(void *arg, const char *digest, bool lists, json_t **ret,
		struct err_info *info);
	/* Has a model file made (models/make.h). *ret_job: owned, says what proto/make.h has. */
	enum err (*make)(void *arg, const struct make_wish *w, uint64_t *ret_number,
		struct ipc **ret_job, struct err_info *info);
	/* The job said that it is done: gives the file its name. Errors: ERR_CONFLICT (it was not).
	 * */
	enum err (*made)(
		void *arg, uint64_t number, char ret_digest[65], struct err_info *info);
	enum err (*unmake)(void *arg, uint64_t number);
	/* A blob of another Ollama's folder, checked and not copied. ERR_UNSUPPORTED: it would have
	 * to be; info says why. ERR_DIGEST: it is not what its name says. */
	enum err (*share)(void *arg, const char *folder, const char *digest, bool *ret_linked,
		struct err_info *info);
	/* The same copied: *ret_control is a writer in copy mode. */
	enum err (*stage_file)(void *arg, const char *folder, const char *digest,
		struct ipc **ret_control, struct err_info *info);
	/* Each blob of the keeper's folder. */
	enum err (*list)(void *arg,
		enum err (*fn)(const char *digest, uint64_t size, bool partial, int64_t modified_ms,
			void *fn_arg),
		void *fn_arg);
	/* Bytes [from, to) of a committed blob: a jail job writes them into the socket *ret_fd,
	 * owned by the caller, then closes. Errors: ERR_NOT_FOUND, ERR_INVALID (range). */
	enum err (*read)(void *arg, const char *digest, uint64_t from, uint64_t to, int *ret_fd,
		struct err_info *info);
};
extern const struct model_blob_ops keeper_blob_ops; /* arg: struct keeper_link */
extern const struct sql *const model_store_sql[];   /* for db_prepare_check() */
extern const size_t model_store_sql_count;
