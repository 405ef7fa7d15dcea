/* models/bundle.h - models in one signed file, for machines without network.
 *
 *	"TRESOR-BUNDLE 1\n"            16 bytes
 *	u32 n, little endian           length of what follows, at most BUNDLE_LIST_MAX
 *	n bytes of JSON                {"format":1, "created_ms", "blobs":[{"digest","size"} ..],
 *	                                "models":[{"name","manifest","licence","origin"} ..]}
 *	32 bytes, 64 bytes             Ed25519 public key; signature of the SHA-256 of all before
 *	the blobs                      in that order, each exactly `size` bytes; then the file ends
 *
 * "manifest" is the registry's, as a text. Who reads checks the signature and that it is one he
 * trusts before anything else, then that list and manifests say the same; every blob's digest is
 * checked as it is written, as for a pull. No name or path of the file becomes a file's name. */
#pragma once

#include "base/crypto.h"
#include "models/store.h"

enum {
	BUNDLE_PREFIX = 20, /* bytes after which the head's length is known */
	BUNDLE_LIST_MAX = 8 * 1024 * 1024,
	BUNDLE_HEAD_MAX = BUNDLE_PREFIX + BUNDLE_LIST_MAX + SIGN_KEY_LEN + SIGN_LEN,
	BUNDLE_MODELS_MAX = 64,
	BUNDLE_BLOBS_MAX = 1024,
	BUNDLE_FINGERPRINT_LEN = 10 * 4 + 9, /* "1a2b-3c4d-.." of the key's SHA-256 */
	BUNDLE_SIGNERS_MAX = 1000,
};

struct bundle_blob {
	char digest[65];
	uint64_t size;
};
struct bundle_model {
	struct model_name name;
	struct str manifest; /* borrowed from doc */
	char digest[65];     /* of it */
	struct str licence, origin; /* what the sender says; borrowed from doc */
};
struct bundle { /* zero-initialise */
	json_t *doc;
	struct bundle_blob *blob;
	size_t n_blobs;
	struct bundle_model *model;
	size_t n_models;
	uint64_t bytes; /* of all blobs */
	int64_t created_ms;
	char fingerprint[BUNDLE_FINGERPRINT_LEN + 1];
};
void bundle_done(struct bundle *b);
#define AUTO_BUNDLE [[gnu::cleanup(bundle_done)]]

/* ---- the head; pure ---- */
/* How long the head is, from its first BUNDLE_PREFIX bytes. Errors: ERR_INVALID (no bundle),
 * ERR_UNSUPPORTED (another format), ERR_TOO_LARGE. */
enum err bundle_head_size(struct str prefix, size_t *ret, struct err_info *info);
/* The whole head: signature, then everything in it. Errors: ERR_INVALID (info says what is wrong),
 * ERR_LIMIT, ERR_NOMEM. */
enum err bundle_read(struct str head, struct bundle *ret, struct err_info *info);
/* `list` is the JSON. The signer makes key and signature of a hash. Errors: buf's, the signer's. */
typedef enum err (*bundle_sign_fn)(void *arg, const uint8_t hash[SHA256_LEN],
	uint8_t ret_key[SIGN_KEY_LEN], uint8_t ret[SIGN_LEN]);
enum err bundle_head_write(struct str list, bundle_sign_fn sign, void *arg, struct buf *out);
void bundle_fingerprint(
	const uint8_t key[SIGN_KEY_LEN], char ret[BUNDLE_FINGERPRINT_LEN + 1]);
bool bundle_fingerprint_ok(struct str text);

/* ---- out ---- */
struct bundle_export {
	struct model_store *store;
	const struct str *name;
	size_t n;
	bundle_sign_fn sign;
	/* Takes the file's bytes in order; an error of its own ends the export. */
	enum err (*out)(void *arg, struct str bytes);
	void *arg; /* of both */
};
/* Writes the whole file. Nothing was given to out() when it fails with ERR_NOT_FOUND, ERR_INVALID
 * or ERR_LIMIT. Blocks. Memory does not grow with the models' size. */
enum err bundle_export(const struct bundle_export *x, struct err_info *info);

/* ---- in ---- */
struct bundle_import;
/* `trusted` is asked once, when the signature is right and before anything is used: OK, or why
 * not. */
typedef enum err (*bundle_trusted_fn)(
	void *arg, const struct bundle *b, struct err_info *info);
enum err bundle_import_new(struct model_store *s, bundle_trusted_fn trusted, void *arg,
	struct bundle_import **ret);
/* The next bytes, in pieces of any size. Errors: those of bundle_read(), the callback's, the
 * writer's, ERR_DIGEST, ERR_INVALID (bytes after the end). After one the import is over. */
enum err bundle_import_add(struct bundle_import *i, struct str bytes, struct err_info *info);
/* No more bytes come. Checks the models and gives them their names, one after the other; `took` is
 * told of each. Errors: ERR_INVALID (the file is cut short), ERR_MODEL_BAD, ERR_CONFLICT .. */
enum err bundle_import_end(struct bundle_import *i,
	void (*took)(void *arg, const struct bundle_model *m, const char *licence,
		const struct model_kept *kept),
	void *arg, struct err_info *info);
const struct bundle *bundle_import_head(const struct bundle_import *i); /* NULL: not read yet */
/* Blobs of an import that was not brought to its end are removed again. */
struct bundle_import *bundle_import_free(struct bundle_import *i);
DEFINE_AUTO(bundle_import)

/* ---- whom we trust ---- */
struct bundle_signer {
	char fingerprint[BUNDLE_FINGERPRINT_LEN + 1];
	char person[ID_LEN + 1], person_name[LIMIT_NAME + 1]; /* empty: the operator; gone */
	int64_t since_ms;
};
/* Errors of all: the database's. */
enum err bundle_signer_add(struct db *d, struct str fingerprint, const char *person);
enum err bundle_signer_remove(struct db *d, struct str fingerprint); /* ERR_NOT_FOUND */
enum err bundle_signer_has(struct db *d, struct str fingerprint, bool *ret);
/* By age. The caller frees. */
enum err bundle_signer_list(struct db *d, struct bundle_signer **ret, size_t *ret_n);
extern const struct sql *const bundle_sql[]; /* for db_prepare_check() */
extern const size_t bundle_sql_count;
