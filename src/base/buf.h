/* base/buf.h - text or bytes being built, with a limit given at creation.
 *
 * Appending is all-or-nothing; errors are returned and also stick in `err`, so a builder may
 * append many times and check once. The limit is bytes; all limits stand in base/limits.h. */
#pragma once

#include <stdarg.h>

#include "base/str.h"

struct buf {
	char *ptr; /* owned; NULL while empty */
	size_t len, cap, max;
	enum err err; /* first error since init or clear */
};

#define BUF(max_bytes) ((struct buf){ .max = (max_bytes) })
void buf_done(struct buf *b);       /* frees; reusable afterwards */
void buf_wipe(struct buf *b);       /* zeroes, then frees: for secrets */
void buf_clear(struct buf *b);      /* empty, memory kept, error forgotten */
#define AUTO_BUF [[gnu::cleanup(buf_done)]]
#define AUTO_SECRET_BUF [[gnu::cleanup(buf_wipe)]]

/* Errors of all: ERR_NOMEM, ERR_LIMIT (over max). */
enum err buf_add(struct buf *b, struct str s);
enum err buf_add_byte(struct buf *b, char c);
[[gnu::format(printf, 2, 3)]]
enum err buf_addf(struct buf *b, const char *fmt, ...);
[[gnu::format(printf, 2, 0)]]
enum err buf_addv(struct buf *b, const char *fmt, va_list ap);
enum err buf_add_zeros(struct buf *b, size_t n);
enum err buf_reserve(struct buf *b, size_t more);
void buf_cut(struct buf *b, size_t len);          /* shortens to len */
void buf_drop_front(struct buf *b, size_t n);     /* removes the first n bytes */
struct str buf_str(const struct buf *b);          /* borrows until the next change */
struct str buf_from(const struct buf *b, size_t start);
/* Terminated content; borrows until the next change. Errors: ERR_NOMEM. */
enum err buf_cstr(struct buf *b, const char **ret);
