/* The workspace page out of the binary: gzip as stored, or inflated for the few who do not take
 * it. */
#include "api/page.h"

#include <zlib.h>

#include "api/call.h"
#include "base/fault.h"

static const struct page_file *find(struct str path)
{
	size_t lo = 0, hi = page_file_count;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct str have = str_from(page_files[mid].path);
		size_t n = have.len < path.len ? have.len : path.len;
		int order = memcmp(have.ptr, path.ptr, n);
		if (!order)
			order = have.len < path.len ? -1 : have.len > path.len;
		if (!order)
			return &page_files[mid];
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* A view of the single page has no dot in its last part; a file has. */
static bool is_view(struct str path)
{
	size_t slash = path.len;
	while (slash > 0 && path.ptr[slash - 1] != '/')
		slash--;
	return str_find_byte(path, '.', slash) == SIZE_MAX;
}

/* "gzip" in Accept-Encoding with a weight that is not 0. */
static bool takes_gzip(struct str accept)
{
	struct str part;
	while (str_next(&accept, ',', &part)) {
		size_t semi = str_find_byte(part, ';', 0);
		struct str name = str_trim(str_sub(part, 0, semi));
		if (!str_eq_nocase(name, STR("gzip")) && !str_eq(name, STR("*")))
			continue;
		struct str weight =
			semi == SIZE_MAX ? STR("") : str_trim(str_sub(part, semi + 1, SIZE_MAX));
		return !str_eq(weight, STR("q=0")) && !str_eq(weight, STR("q=0.0")) &&
		       !str_eq(weight, STR("q=0.00")) && !str_eq(weight, STR("q=0.000"));
	}
	return false;
}

static bool same_tag(struct str if_none_match, const char *etag)
{
	struct str tag;
	while (str_next(&if_none_match, ',', &tag)) {
		tag = str_trim(tag);
		if (str_starts(tag, STR("W/")))
			tag = str_sub(tag, 2, SIZE_MAX);
		if (str_eq(tag, str_from(etag)) || str_eq(tag, STR("*")))
			return true;
	}
	return false;
}

static enum err inflate_all(const struct page_file *f, struct buf *out)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)f->gz,
		.avail_in = (unsigned)f->gz_len };
	TRY(buf_add_zeros(out, f->raw_len));
	z.next_out = (unsigned char *)out->ptr;
	z.avail_out = (unsigned)f->raw_len;
	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return ERR_NOMEM;
	int rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return rc == Z_STREAM_END && z.total_out == f->raw_len ? OK : ERR_CORRUPT;
}

static void policy(struct call *c)
{
	char *csp = arena_printf(c->arena,
		"default-src 'self'; script-src 'self'%s%s; style-src 'self'; img-src 'self' "
			"data: blob:; "
		"font-src 'self'; connect-src 'self'; worker-src 'self'; object-src 'none'; "
		"frame-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
		page_script_hashes[0] ? " " : "", page_script_hashes);
	if (csp)
		http_set_header(c->q, "Content-Security-Policy", str_from(csp));
}

enum err page(struct call *c)
{
	struct str path = http_path(c->q);
	const struct page_file *f = find(path);
	if (!f && is_view(path))
		f = find(STR("/index.html"));
	if (!f)
		return ERR_NOT_FOUND;
	policy(c);
	http_set_header(c->q, "ETag", str_from(f->etag));
	http_set_header(c->q, "Vary", STR("Accept-Encoding"));
	http_set_header(c->q, "Cache-Control",
		f->immutable ? STR("public, max-age=31536000, immutable") : STR("no-cache"));
	if (same_tag(http_header(c->q, "If-None-Match"), f->etag)) {
		http_reply(c->q, 304, NULL, STR(""));
		return OK;
	}
	if (takes_gzip(http_header(c->q, "Accept-Encoding"))) {
		http_set_header(c->q, "Content-Encoding", STR("gzip"));
		http_reply(
			c->q, 200, f->media_type, (struct str){ (const char *)f->gz, f->gz_len });
		return OK;
	}
	AUTO_BUF struct buf raw = BUF(f->raw_len + 1);
	TRY(inflate_all(f, &raw));
	http_reply(c->q, 200, f->media_type, buf_str(&raw));
	return OK;
}
