#include "base/buf.h"

#include <stdio.h>

#include "base/crypto.h"
#include "base/fault.h"

enum { FIRST_CAP = 64, WIPE_BELOW = 4096 };

void buf_done(struct buf *b)
{
	mem_free(b->ptr);
	*b = BUF(b->max);
}

void buf_wipe(struct buf *b)
{
	if (b->ptr)
		wipe(b->ptr, b->cap);
	buf_done(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->err = OK;
}

static enum err fail(struct buf *b, enum err e)
{
	b->err = e;
	return e;
}

/* One byte more than max may be held: the terminator of buf_cstr(). */
static enum err grow(struct buf *b, size_t want)
{
	size_t cap = b->cap ? b->cap : FIRST_CAP;
	while (cap < want)
		cap = cap > SIZE_MAX / 2 ? want : cap * 2;
	if (cap > b->max && b->max < SIZE_MAX)
		cap = want > b->max + 1 ? want : b->max + 1;
	char *p;
	if (b->cap <= WIPE_BELOW) {
		/* Secrets are short: leave no copy of them behind when a builder grows. */
		p = mem_alloc(cap);
		if (p && b->ptr) {
			memcpy(p, b->ptr, b->len);
			wipe(b->ptr, b->cap);
			mem_free(b->ptr);
		}
	} else {
		p = mem_realloc(b->ptr, cap);
	}
	if (!p)
		return fail(b, ERR_NOMEM);
	b->ptr = p;
	b->cap = cap;
	return OK;
}

enum err buf_reserve(struct buf *b, size_t more)
{
	if (b->err)
		return b->err;
	if (b->len > b->max || more > b->max - b->len)
		return fail(b, ERR_LIMIT);
	if (more > b->cap - b->len)
		return grow(b, b->len + more);
	return OK;
}

enum err buf_add(struct buf *b, struct str s)
{
	TRY(buf_reserve(b, s.len));
	if (s.len)
		memcpy(b->ptr + b->len, s.ptr, s.len);
	b->len += s.len;
	return OK;
}

enum err buf_add_byte(struct buf *b, char c) { return buf_add(b, (struct str){ &c, 1 }); }

enum err buf_add_zeros(struct buf *b, size_t n)
{
	TRY(buf_reserve(b, n));
	if (n)
		memset(b->ptr + b->len, 0, n);
	b->len += n;
	return OK;
}

enum err buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	if (b->err)
		return b->err;
	va_list again;
	va_copy(again, ap);
	size_t room = b->cap - b->len;
	int n = vsnprintf(b->ptr ? b->ptr + b->len : NULL, room, fmt, ap);
	enum err e = OK;
	if (n < 0)
		e = fail(b, ERR_INVALID);
	else if ((size_t)n >= room)
		e = buf_reserve(b, (size_t)n);
	else if ((size_t)n > b->max - b->len)
		e = fail(b, ERR_LIMIT);
	if (!e && (size_t)n >= room && b->cap - b->len <= (size_t)n)
		e = grow(b, b->len + (size_t)n + 1); /* vsnprintf wants its terminator */
	if (!e && (size_t)n >= room)
		(void)vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
	va_end(again);
	if (!e)
		b->len += (size_t)n;
	return e;
}

enum err buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	enum err e = buf_addv(b, fmt, ap);
	va_end(ap);
	return e;
}

void buf_cut(struct buf *b, size_t len)
{
	if (len < b->len)
		b->len = len;
}

void buf_drop_front(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	if (n)
		memmove(b->ptr, b->ptr + n, b->len - n);
	b->len -= n;
}

struct str buf_str(const struct buf *b) { return buf_from(b, 0); }

struct str buf_from(const struct buf *b, size_t start)
{
	if (start > b->len)
		start = b->len;
	return (struct str){ b->ptr ? b->ptr + start : "", b->len - start };
}

enum err buf_cstr(struct buf *b, const char **ret)
{
	if (b->len == b->cap)
		TRY(grow(b, b->len + 1));
	b->ptr[b->len] = '\0';
	*ret = b->ptr;
	return OK;
}
