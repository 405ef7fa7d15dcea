/* api/page.h - the web page, embedded compressed in the binary.
 *
 * The table is made by tools/embed_page.py from the built page (gen/page.c, custom target
 * `page_c` in src/gen). A unit test that needs no page defines its own table of the same names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_file {
	const char *path;       /* "/index.html", "/assets/app-B3x.js": absolute, as requested */
	const char *media_type; /* with charset where it is text */
	const char *etag;       /* quoted: hex of the SHA-256 of the file as built (not compressed) */
	const uint8_t *gz;      /* gzip -9 of the file */
	size_t gz_len;
	size_t len;             /* uncompressed, for a client that takes no gzip */
	bool immutable;         /* the name carries a hash: may be cached for ever */
};

/* Sorted by path (strcmp), so that bsearch finds one. */
extern const struct page_file page_files[];
extern const size_t page_file_count;
/* Content-Security-Policy sources of the inline boot script: "'sha256-...'", "" if none. */
extern const char page_script_hashes[];
