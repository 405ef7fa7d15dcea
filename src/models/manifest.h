/* models/manifest.h - the registry's manifest (Docker schema 2 / OCI image), read strictly.
 *
 * Layer kinds are Ollama's media types; unknown ones are refused when they are large and ignored
 * when small. Pure. */
#pragma once

#include "base/json.h"
#include "models/name.h"

enum layer_kind {
	LAYER_CONFIG,
	LAYER_MODEL,
	LAYER_PROJECTOR,
	LAYER_ADAPTER,
	LAYER_TEMPLATE,
	LAYER_SYSTEM,
	LAYER_PARAMS,
	LAYER_MESSAGES,
	LAYER_LICENCE,
	LAYER_OTHER,
	LAYER_KINDS
};
enum { MANIFEST_LAYERS_MAX = 64, LAYER_TEXT_MAX = 256 * 1024 /* bytes of a text layer */ };
struct layer {
	enum layer_kind kind;
	char digest[65];
	uint64_t size;
};
struct manifest {
	struct layer layer[MANIFEST_LAYERS_MAX + 1]; /* [0] is the config when there is one */
	size_t n;
	uint64_t total; /* bytes of all */
	bool is_list;   /* an index of manifests: not supported */
};
/* Errors: ERR_BAD_JSON, ERR_INVALID, ERR_UNSUPPORTED (no model layer, several model layers: a
 * sharded model, a list); info says why. */
enum err manifest_read(struct str json, struct manifest *ret, struct err_info *info);
const struct layer *manifest_find(const struct manifest *m, enum layer_kind k); /* first or NULL */
/* Writes a manifest of these layers. Errors: buf's. */
enum err manifest_write(const struct layer *layers, size_t n, struct buf *out);
bool layer_is_text(enum layer_kind k);
