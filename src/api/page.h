/* api/page.h - the embedded workspace page: a table that the build generates (gen/page.c).
 *
 * Every file is gzip only (made once, by the build); a client that does not accept gzip gets it
 * inflated. Files whose name carries a content hash are served as immutable. */
#pragma once

#include "base/str.h"

struct page_file {
	const char *path;        /* "/index.html", "/assets/index-4f3a1b2c.js"; starts with '/' */
	const char *media_type;  /* "text/html; charset=utf-8" */
	const char *etag;        /* quoted: "\"3f..\"", from the content */
	const unsigned char *gz; /* gzip (RFC 1952) */
	size_t gz_len;
	size_t raw_len;          /* inflated length */
	bool immutable;          /* the name changes with the content: cache for a year */
};
/* Sorted by path (strcmp order). "/index.html" is always there. */
extern const struct page_file page_files[];
extern const size_t page_file_count;
/* Hashes of the inline boot script(s) of index.html for the CSP, each as 'sha256-...' with the
 * quotes, separated by blanks; empty when there is none. */
extern const char page_script_hashes[];
