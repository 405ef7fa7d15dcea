/* cli/human.h - numbers, times and tables as Ollama's command writes them (its format/bytes.go,
 * format/time.go, Go's time.Duration, and the table it prints). Pure but for grid_print(). */
#pragma once

#include <stdio.h>

#include "base/buf.h"

enum { HUMAN_MAX = 48 };
void human_bytes(uint64_t n, char ret[HUMAN_MAX]);   /* "92 MB", "1.2 GB": powers of 1000, cut */
void human_number(uint64_t n, char ret[HUMAN_MAX]);  /* "133.70M", "7B" */
/* "4 minutes ago", "2 days from now", "Forever" (over twenty years ahead). */
void human_time(int64_t at_ms, int64_t now_ms, char ret[HUMAN_MAX]);
void human_duration(int64_t ns, char ret[HUMAN_MAX]); /* "1.5s", "2m3.25s", "812.5ms" */

/* A table of text: columns as wide as their widest cell, four blanks after each. */
enum { GRID_COLUMNS = 8 };
struct grid { /* zero-initialise with grid_init */
	struct buf cells; /* each ends with a zero byte */
	size_t n;         /* of cells */
	unsigned columns;
	bool head; /* the first row is a heading */
	size_t width[GRID_COLUMNS];
};
void grid_init(struct grid *g, unsigned columns, bool head);
void grid_done(struct grid *g);
#define AUTO_GRID [[gnu::cleanup(grid_done)]]
/* The next cell; control bytes become blanks. Errors: buf's, ERR_LIMIT (more than GRID_COLUMNS
 * columns). */
enum err grid_add(struct grid *g, struct str text);
enum err grid_row(struct grid *g, const char *const *cells); /* as many as there are columns */
void grid_print(const struct grid *g, FILE *out);
