/* cli/complete.h - what the next word of a command may be, for shells.
 *
 * `tresor completion SHELL` prints a short script; it asks `tresor complete -- WORDS...` at each
 * Tab, so commands and options are always those of this program's table. A candidate a line: the
 * word, and after a tab what it is. The line ":files" says that a file is wanted. */
#pragma once

#include <stdio.h>

#include "base/buf.h"

int completion_print(FILE *out, const char *shell); /* 0, or 2 after saying what is wrong */

enum complete_more { COMPLETE_DONE, COMPLETE_FILES, COMPLETE_MODELS };
/* Candidates for the last of `n` words (n > 0; without the command's own name). *ret_more: what is
 * to be added by whoever can find it. Errors: buf's. */
enum err complete_words(const char *const *words, unsigned n, struct buf *out,
	enum complete_more *ret_more);
/* Adds a candidate if it begins with what was typed. */
enum err complete_add(struct buf *out, const char *typed, const char *word, const char *doc);
