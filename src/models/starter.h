/* models/starter.h - the small test models that come with the program (design: starter packages).
 *
 * The keeper finds the file by `file` in the starter folder of the dependencies or beside the
 * installed program; nothing else is ever opened by name for ASK_STAGE_LOCAL. */
#pragma once

#include "base/str.h"

struct starter {
	const char *name, *file;   /* "smollm2", "smollm2.gguf" */
	const char *digest;        /* 64 hex */
	uint64_t size;
	const char *title, *licence;
};
const struct starter *starter_find(struct str name); /* NULL: unknown */
const struct starter *starter_list(size_t *ret_n);
/* Keeper: opens the file, read-only, in $TRESOR_STARTER_DIR, beside the binary (starter/) or in
 * PREFIX/share/tresor/starter. Errors: ERR_NOT_FOUND. */
enum err starter_open(const struct starter *s, int *ret_fd);
