#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static const struct {
	const char *slug, *text;
	int status;
} table[ERR_COUNT_] = {
	[OK] = { "ok", "ok", 200 },
#define X(name, slug_, status_, text_) [ERR_##name] = { slug_, text_, status_ },
#include "gen/errors.inc"
#undef X
};

/* A code read from a message may be anything. */
static unsigned known(enum err e) { return (unsigned)e < ERR_COUNT_ ? e : ERR_INTERNAL; }

const char *err_slug(enum err e) { return table[known(e)].slug; }
const char *err_text(enum err e) { return table[known(e)].text; }
int err_http_status(enum err e) { return table[known(e)].status; }

[[gnu::format(printf, 2, 0)]]
static void fill(char dst[ERR_DETAIL_MAX], const char *fmt, va_list ap)
{
	int n = vsnprintf(dst, ERR_DETAIL_MAX, fmt, ap);
	if (n < 0)
		dst[0] = '\0';
	if (n >= ERR_DETAIL_MAX)
		dst[str_utf8_whole((struct str){ dst, ERR_DETAIL_MAX - 1 })] = '\0';
}

enum err err_set(struct err_info *info, enum err e, const char *fmt, ...)
{
	if (!info)
		return e;
	va_list ap;
	va_start(ap, fmt);
	info->code = e;
	fill(info->detail, fmt, ap);
	va_end(ap);
	info->hint[0] = info->log[0] = '\0'; /* those of an earlier error must not cling */
	return e;
}

void err_hint(struct err_info *info, const char *fmt, ...)
{
	if (!info)
		return;
	va_list ap;
	va_start(ap, fmt);
	fill(info->hint, fmt, ap);
	va_end(ap);
}

void err_log(struct err_info *info, const char *fmt, ...)
{
	if (!info)
		return;
	va_list ap;
	va_start(ap, fmt);
	fill(info->log, fmt, ap);
	va_end(ap);
}

enum err err_from_errno(int errnum)
{
	static const struct {
		int errnum;
		enum err e;
	} map[] = {
		{ ENOMEM, ERR_NOMEM },       { ENOSPC, ERR_NOSPACE },   { EDQUOT, ERR_NOSPACE },
		{ ENOENT, ERR_NOT_FOUND },   { ENOTDIR, ERR_NOT_FOUND }, { EACCES, ERR_DENIED },
		{ EPERM, ERR_DENIED },       { EROFS, ERR_DENIED },     { ELOOP, ERR_DENIED },
		{ EXDEV, ERR_DENIED },       { EEXIST, ERR_EXISTS },    { ENOTEMPTY, ERR_EXISTS },
		{ EADDRINUSE, ERR_EXISTS },  { EAGAIN, ERR_AGAIN },     { EINTR, ERR_AGAIN },
		{ EPIPE, ERR_CLOSED },       { ECONNRESET, ERR_CLOSED }, { ENOTCONN, ERR_CLOSED },
		{ ECONNREFUSED, ERR_CLOSED }, { ETIMEDOUT, ERR_TIMEOUT }, { EMSGSIZE, ERR_LIMIT },
		{ E2BIG, ERR_LIMIT },        { EFBIG, ERR_LIMIT },      { ENAMETOOLONG, ERR_LIMIT },
		{ EMFILE, ERR_BUSY },        { ENFILE, ERR_BUSY },      { EBUSY, ERR_BUSY },
		{ ENOSYS, ERR_UNSUPPORTED }, { EOPNOTSUPP, ERR_UNSUPPORTED },
	};
	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (map[i].errnum == errnum)
			return map[i].e;
	return ERR_IO;
}

void die(const char *file, int line, const char *what)
{
	fprintf(stderr, "tresor: broken invariant at %s:%d: %s\n", file, line, what);
	abort();
}
