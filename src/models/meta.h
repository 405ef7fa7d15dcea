/* models/meta.h - what the house knows of a model beside its manifest: the result of the check and
 * the small text layers, so that the server never opens a model file. One JSON object. Pure. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "models/gguf.h"

enum { META_MAX = 4 * 1024 * 1024 }; /* bytes of the JSON */

struct model_meta {              /* strings borrowed: from the caller, or from the parsed object */
	struct gguf_summary gguf;
	struct str template_;    /* Go template of the registry: shown, not used */
	struct str system, licence, licence_name;
	json_t *params;          /* object of default options, or NULL; borrowed */
	json_t *messages;        /* array, or NULL; borrowed */
	bool starter;
};
enum err model_meta_json(const struct model_meta *m, struct buf *out);
/* `o` owns what *ret borrows. Errors: ERR_INVALID. */
enum err model_meta_read(const json_t *o, struct model_meta *ret);
/* Default options of a registry's params layer: an object of numbers, truth values, texts and
 * lists of texts. Errors: ERR_BAD_JSON, ERR_INVALID. The caller owns *ret. */
enum err model_params_read(struct str json, json_t **ret, struct err_info *info);
/* "Apache License", "Gemma Terms of Use": the first line of a licence that says something. */
struct str licence_title(struct str licence);
