/* models/make.h - in the server: has a model file made, and watches.
 *
 * The keeper starts the job (proto/make.h says which there are) and gives the result its name.
 * Until then there is no blob; whatever fails leaves nothing. */
#pragma once

#include "models/store.h"
#include "proto/make.h"

/* The file type a text of `quantize` means: "q4_K_M", as Ollama has them, without regard to case.
 * Errors: ERR_INVALID (info lists those that there are). */
enum err make_type_find(struct str text, unsigned *ret, struct err_info *info);
/* May a model of this quantisation be made smaller? Only whole numbers lose nothing twice.
 * Errors: ERR_UNSUPPORTED. */
enum err make_source_ok(const struct gguf_summary *g, struct err_info *info);

struct make_wish {
	enum make_kind kind;
	struct str what;         /* as enum make_kind says */
	uint64_t room;           /* bytes it will need, about */
	const char (*part)[65];  /* digests of what it is made of */
	size_t n;
	const char *line;        /* the status while it runs */
	uint64_t bytes; /* to show, when the job counts something else; 0: it counts bytes */
};
/* Blocks until it is there. *ret is pinned: the caller unpins. At most MAKE_AT_ONCE run in a
 * server. Errors: the job's (info says why), ERR_CANCELLED (watch->gone), ERR_BUSY, ERR_NOSPACE,
 * the keeper's. */
enum { MAKE_AT_ONCE = 2 };
enum err store_make(struct model_store *s, const struct make_wish *w,
	const struct create_watch *watch, char ret_digest[65], struct err_info *info);
