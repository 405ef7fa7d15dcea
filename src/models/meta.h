/* models/meta.h - what the house knows of a model beside its manifest: the result of the check and
 * the small text layers, so that the server never opens a model file. One JSON object. Pure. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "models/gguf.h"

enum { META_MAX = 4 * 1024 * 1024 }; /* bytes of the JSON */

struct model_meta {              /* strings borrowed: from the caller, or from the parsed object */
	struct gguf_summary gguf;
	struct str template_;    /* the registry's, Go or Jinja; see model_meta_template() */
	struct str system, licence, licence_name;
	json_t *params;          /* object of default options, or NULL; borrowed */
	json_t *messages;        /* array, or NULL; borrowed */
	json_t *ollama;          /* object of model_ollama_read(), or NULL; borrowed */
	bool starter;
};
enum err model_meta_json(const struct model_meta *m, struct buf *out);
/* `o` owns what *ret borrows. Errors: ERR_INVALID. */
enum err model_meta_read(const json_t *o, struct model_meta *ret);
/* The template in the place of the file's own; empty: the file's own counts. Where code of Ollama's
 * (RENDERER) writes a model's prompts, its TEMPLATE is a stub that only looks like one: then it
 * counts only if the file has none and it says who spoke. */
struct str model_meta_template(const struct model_meta *m);
/* What Ollama's config and its create say that no layer does: the code of Ollama's that writes a
 * model's prompts and reads its answers ("renderer", "parser"), and from which Ollama on it works
 * ("requires"). Those that `o` has go into *ret, which is made if it is NULL; the caller owns it.
 * Errors: ERR_INVALID (not a short text), ERR_NOMEM. */
enum err model_ollama_read(const json_t *o, json_t **ret, struct err_info *info);
extern const char *const MODEL_OLLAMA[3]; /* the three names */
/* Default options of a registry's params layer: an object of numbers, truth values, texts and
 * lists of texts. Errors: ERR_BAD_JSON, ERR_INVALID. The caller owns *ret. */
enum err model_params_read(struct str json, json_t **ret, struct err_info *info);
/* "Apache License", "Gemma Terms of Use": the first line of a licence that says something. */
struct str licence_title(struct str licence);
