/* models/import.h - takes a model over from the folder of an Ollama, without copying its files.
 *
 * The command reads the folder's manifests and small texts and sends them; the keeper opens the
 * blobs, by digest and below FOLDER/blobs alone, gives them a second name here (a clone where the
 * file system can, else a hard link) and has each read through: what does not have its digest is
 * not taken. Nothing in the folder is written. A model that is here already stays as it is, so an
 * import may be repeated. */
#pragma once

#include "models/store.h"

struct import_request {  /* borrowed */
	struct str folder;   /* absolute, on this machine */
	struct str name;     /* as Ollama calls it */
	struct str manifest; /* the file's bytes */
	const json_t *texts; /* {digest: text}, of the manifest's small layers; NULL: none */
	bool copy;           /* where it cannot be shared: copies */
};
struct import_done {
	bool here_already;
	unsigned linked, cloned, copied; /* files */
	struct model_kept kept;
};
/* Blocks until all is read through. Errors: ERR_INVALID (name, folder), those of a manifest,
 * ERR_UNSUPPORTED (a file cannot be shared; info says why), ERR_DIGEST, ERR_MODEL_BAD,
 * ERR_NOT_FOUND (a file is missing), the keeper's. Files that are good stay for another try. */
enum err model_import(struct model_store *s, const struct import_request *q,
	const struct create_watch *watch, struct import_done *ret, struct err_info *info);
