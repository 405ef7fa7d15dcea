/* base/err.h - the one table of errors.
 *
 * The table is api/errors.json; tools/gen_errors.py writes gen/errors.inc from it: one
 * X(NAME, slug, http status, english text) each. `OK` is 0. Slugs are a stable interface.
 * A function that can fail returns enum err and writes its `ret` parameters on OK only.
 * What a person reads is attached once, where it is known, with err_set(). */
#pragma once

#include <stdint.h>

enum [[nodiscard]] err {
	OK = 0,
#define X(name, slug, status, text) ERR_##name,
#include "gen/errors.inc"
#undef X
	ERR_COUNT_
};

enum { ERR_DETAIL_MAX = 400 }; /* bytes, terminator included */

/* What goes to the client besides the slug. Caller-owned, zero-initialise; no pointer inside. */
struct err_info {
	enum err code;
	char detail[ERR_DETAIL_MAX]; /* for the client: short, factual, never a file name or SQL */
	char hint[ERR_DETAIL_MAX];   /* for the client: what to do; may be empty */
	char log[ERR_DETAIL_MAX];    /* for our log only; may be empty */
};

const char *err_slug(enum err e);
const char *err_text(enum err e);
int err_http_status(enum err e);

/* Fills `info` (NULL is fine) and returns `e`, so that `return err_set(...)` reads well.
 * Text too long is cut at a UTF-8 border. */
[[gnu::format(printf, 3, 4)]]
enum err err_set(struct err_info *info, enum err e, const char *fmt, ...);
[[gnu::format(printf, 2, 3)]]
void err_hint(struct err_info *info, const char *fmt, ...);
[[gnu::format(printf, 2, 3)]]
void err_log(struct err_info *info, const char *fmt, ...);
/* Maps errno to the table (ENOMEM, ENOSPC, ENOENT, EACCES, EEXIST, EAGAIN, ..; else ERR_IO). */
enum err err_from_errno(int errnum);

/* A broken invariant: prints where and aborts. Never reachable by bytes from outside. */
[[gnu::noreturn]] void die(const char *file, int line, const char *what);
#define DIE(what) die(__FILE__, __LINE__, (what))

#define TRY(call)                       \
	do {                            \
		enum err try_e_ = (call); \
		if (try_e_)             \
			return try_e_;  \
	} while (0)
