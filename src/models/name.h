/* models/name.h - the names of models, as Ollama writes them.
 *
 * "m" = "m:latest" = "library/m:latest" on the default registry (registry.ollama.ai);
 * "NS/M:TAG"; "HOST/NS/M:TAG" (HOST has a dot or a colon, or is "localhost");
 * "hf.co/USER/REPO:QUANT"; "starter:NAME"; "file:PATH" (only the command line reads files).
 * Behind it "@sha256:DIGEST" names one version, by its manifest, whatever the name stands for now.
 * Parts are compared without regard to ASCII case and kept as written. Part rules are those of
 * Ollama's types/model/name.go: ASCII letters, digits, '_', '-', and '.' except in a namespace;
 * the first character is a letter, digit or '_', so no part can be "." or "..". Pure. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"

enum {
	NAME_HOST_MAX = 128, /* characters of a part, without terminator */
	NAME_PART_MAX = 96,
	NAME_VERSION_LEN = 72, /* "@sha256:" and 64 digits */
};
#define NAME_DEFAULT_HOST "registry.ollama.ai"
#define NAME_DEFAULT_NAMESPACE "library"
#define NAME_DEFAULT_TAG "latest"

enum name_source { NAME_REGISTRY, NAME_HUGGING_FACE, NAME_STARTER, NAME_FILE };
struct model_name { /* a value: no pointer inside. STARTER uses model and tag only */
	enum name_source source;
	char host[NAME_HOST_MAX + 1]; /* "registry.ollama.ai", "hf.co", "127.0.0.1:5000" */
	char ns[NAME_PART_MAX + 1], model[NAME_PART_MAX + 1], tag[NAME_PART_MAX + 1];
	char version[65]; /* of the manifest, hex; empty: what the name stands for now */
};

/* Errors: ERR_INVALID (info says which part and why). NAME_FILE is recognised, its path is not
 * kept: name_file_path() gives it. */
enum err name_parse(struct str text, struct model_name *ret, struct err_info *info);
/* "file:PATH" gives PATH, anything else STR_NONE. Borrows. */
struct str name_file_path(struct str text);
/* The shortest form that reads back: "m:latest", "ns/m:tag", "host/ns/m:tag", "starter:m".
 * With the tag (as Ollama lists it), but for a starter's "latest". */
void name_format(const struct model_name *n, char dst[LIMIT_MODEL_NAME + 1]);
/* "host/ns/model/tag": a relative path below manifests/. A starter lies under "starter/library"; a
 * version beside its name: "host/ns/model/tag@sha256:digest". */
void name_path(const struct model_name *n, char dst[LIMIT_MODEL_NAME + 1]);
bool name_eq(const struct model_name *a, const struct model_name *b);
bool name_eq_base(const struct model_name *a, const struct model_name *b); /* whatever version */
/* The name of one version of `n`. Errors: ERR_LIMIT (too long a name to have versions). */
enum err name_version(const struct model_name *n, const char *digest, struct model_name *ret);
/* 64 hex digits, lower case: the only names a blob may have. */
bool digest_ok(struct str hex);
/* "sha256:<64 hex>" or "sha256-<64 hex>" or the bare hex gives the hex. ERR_INVALID. */
enum err digest_parse(struct str text, char ret_hex[65]);
