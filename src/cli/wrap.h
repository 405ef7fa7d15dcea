/* cli/wrap.h - an answer's text on a terminal, broken between words.
 *
 * Text is shown as it comes. When a word crosses the edge, what is shown of it is taken back and
 * set at the beginning of the next line, as Ollama does. Between wide characters (CJK) a line may
 * end anywhere. Control bytes other than newline and tab never reach the terminal: an answer must
 * not move the cursor or rename the window. Source: ECMA-48 (CUB, EL). */
#pragma once

#include <stdio.h>

#include "base/buf.h"

struct wrap { /* zero-initialise with wrap_init */
	unsigned column;
	struct buf word; /* shown since the last blank */
	unsigned word_columns;
};
void wrap_init(struct wrap *w);
void wrap_done(struct wrap *w);
#define AUTO_WRAP [[gnu::cleanup(wrap_done)]]
/* Adds to `out` what shows `text` (whole characters) in a window of `columns` cells; under
 * WRAP_MIN: no breaking. Errors: buf's. */
enum { WRAP_MIN = 10 };
enum err wrap_add(struct wrap *w, struct str text, unsigned columns, struct buf *out);
/* Prints a text that others wrote: as it is, but on a terminal without control bytes. */
void wrap_print(const char *text, FILE *out);
void wrap_print_str(struct str text, FILE *out);
[[gnu::format(printf, 2, 3)]]
void wrap_printf(FILE *out, const char *fmt, ...); /* prints nothing without memory */
