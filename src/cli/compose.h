/* cli/compose.h - writing a message in the person's own text editor. */
#pragma once

#include "base/buf.h"

/* Runs $TRESOR_EDITOR, $OLLAMA_EDITOR, $VISUAL or $EDITOR, else vi (words are split at blanks) on a
 * file of mode 0600 with `text`, and appends what it left, without the newlines at its end. The
 * terminal must be as the editor wants it. Errors: ERR_NOT_FOUND (no such program), ERR_CANCELLED
 * (it said that it failed); and, with the file kept and named in the hint, ERR_INVALID (no UTF-8),
 * buf's, from errno. */
enum err compose(struct str text, struct buf *out, struct err_info *info);
