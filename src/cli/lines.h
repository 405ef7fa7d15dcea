/* cli/lines.h - what a person types, a text at a time.
 *
 * On a terminal by the editor (edit.h); where standard input or output is none, or TERM is "dumb",
 * line by line and without one escape sequence. Between two texts Ctrl+C is SIGINT and keys wait
 * unseen. */
#pragma once

#include "cli/edit.h"

enum line_end { LINE_TEXT, LINE_INTERRUPT, LINE_EDITOR, LINE_END };
struct lines;
/* Borrows the history. Errors: ERR_NOMEM. */
enum err lines_new(struct history *h, struct lines **ret);
struct lines *lines_free(struct lines *l);
DEFINE_AUTO(lines)
/* `text` to begin with; `look` without the window's size. ret_text is set for TEXT, INTERRUPT and
 * EDITOR. Errors: ERR_LIMIT (a line over EDIT_MAX), ERR_NOMEM, from errno. */
enum err lines_read(struct lines *l, const struct edit_look *look, struct str text,
	struct buf *ret_text, enum line_end *ret);
/* The terminal as it was found, for another program; false again. */
void lines_lend(struct lines *l, bool on);
