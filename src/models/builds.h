/* models/builds.h - engine builds: what engines run, installed side by side.
 *
 * A build is a folder ENGINES/ID: engine.so, the libraries it needs, and engine.json, which says
 * what it is and the SHA-256 of every file. ID is "llama.cpp-VERSION-" and the first 16 hex digits
 * of engine.json's own SHA-256, so whoever keeps an ID keeps these bytes. The link ENGINES/current
 * names the one that runs where nobody keeps another.
 *
 * ENGINES lies beside the program, or where only the machine's administrator writes; never in the
 * data directory: code does not come from data. Folder and files must belong to root or to whom the
 * program belongs, and nobody else may write them. tools/engine_build.py makes builds.
 *
 * Used by the keeper, on its one thread. What was hashed is hashed again only when a file's inode,
 * size or times have changed. */
#pragma once

#include "base/auto.h"
#include "base/limits.h"
#include "base/str.h"

enum {
	BUILD_FILES_MAX = 64,
	BUILD_FILE_NAME_MAX = 63,
	BUILD_MANIFEST_MAX = 64 * 1024, /* bytes */
	BUILD_PLACES_MAX = 2,
	BUILDS_MAX = 64, /* told of; more are usable all the same */
	BUILD_PATH_MAX = 4096,
};

struct build_manifest { /* engine.json; a value */
	uint32_t proto;
	char version[32], tree[65], variant[32];
	size_t n;
	struct build_file {
		char name[BUILD_FILE_NAME_MAX + 1], sha256[65];
	} file[BUILD_FILES_MAX];
};
/* ---- pure ---- */
/* May it be a folder's name? Letters, digits, '.', '_', '-', first a letter or digit. */
bool build_id_ok(struct str id);
/* Is this the id of a build with this engine.json? */
bool build_id_of(struct str id, struct str manifest);
/* Strict: every file once, engine.so among them, plain names. Errors: ERR_CORRUPT (info says why),
 * ERR_NOMEM. */
enum err build_manifest_read(struct str json, struct build_manifest *ret, struct err_info *info);

/* ---- installed ones ---- */
struct builds;
/* `places`: folders in the order in which they are looked at; those that are missing are fine.
 * Errors: ERR_NOMEM, ERR_LIMIT. */
enum err builds_new(const char *const *places, size_t n, struct builds **ret);
/* Those of a program in `module_dir`: beside it, and of one below /usr also
 * /usr/local/lib/tresor/engines, which goes first. */
enum err builds_of(const char *module_dir, struct builds **ret);
struct builds *builds_free(struct builds *b);
DEFINE_AUTO(builds)

/* The first place with a link decides, whole or not. Errors: ERR_BUILD. */
enum err builds_current(struct builds *b, char ret[LIMIT_ENGINE_ID + 1], struct err_info *info);
/* Is it whole, and does it fit this program? *ret_dir is its folder. Errors: ERR_BUILD (info:
 * missing, damaged or of another protocol, and what to do; no paths), ERR_NOMEM. */
enum err builds_check(
	struct builds *b, const char *id, char ret_dir[BUILD_PATH_MAX], struct err_info *info);

/* Does the build's list of files have this library, with or without a number behind it? False also
 * where it has no list that can be read; nothing is hashed. */
bool builds_have(struct builds *b, const char *id, const char *library);

struct build { /* a value */
	char id[LIMIT_ENGINE_ID + 1], version[32], tree[65], variant[32];
	uint32_t proto;
	bool current;
	enum err err; /* of builds_check() */
	char why[ERR_DETAIL_MAX];
};
/* By id. `fresh`: hashes everything again. Returns how many. */
size_t builds_list(struct builds *b, bool fresh, struct build *ret, size_t max);
