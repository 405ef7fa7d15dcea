/* cli/edit.h - the line editor: bytes from the keyboard in, bytes for the screen out. Pure.
 *
 * Holds one text of any number of lines and draws all of it anew after each key: it knows the
 * row of its cursor, goes up to its first row, erases to the end of the screen and writes. Text
 * that is taller than the window is shown around the cursor. Keys: docs in `/? shortcuts`; escape
 * sequences as xterm sends them (CSI and SS3), bracketed paste (CSI 200~ to 201~) goes in as text
 * with its newlines. Input that is no UTF-8 and unknown sequences are dropped.
 * Sources: ECMA-48, xterm ctlseqs. Tested against a terminal model (edit_test.c). */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "cli/history.h"

enum { EDIT_MAX = 1024 * 1024 }; /* bytes of text; more rings the bell */

enum edit_event {
	EDIT_MORE,      /* nothing yet */
	EDIT_LINE,      /* Enter: edit_text() is the text */
	EDIT_INTERRUPT, /* Ctrl+C */
	EDIT_END,       /* Ctrl+D without text */
	EDIT_EDITOR,    /* Ctrl+G */
	EDIT_SUSPEND,   /* Ctrl+Z */
};
struct edit;
/* Borrows the history. Errors: ERR_NOMEM. */
enum err edit_new(struct history *h, struct edit **ret);
struct edit *edit_free(struct edit *e);
DEFINE_AUTO(edit)

struct edit_look {
	const char *prompt, *more, *hint; /* first line, further lines, while empty; borrowed */
	unsigned columns, rows;           /* of the window; 0: 80 by 24 */
};
/* A new text, `text` to begin with, drawn from the cursor's row on. Errors of all: buf's. */
enum err edit_begin(struct edit *e, const struct edit_look *look, struct str text, struct buf *out);
/* Takes keys up to the first event; the rest of `in` belongs to the next text. */
enum err edit_feed(struct edit *e, struct str in, size_t *ret_used, enum edit_event *ret,
	struct buf *out);
enum err edit_resize(struct edit *e, unsigned columns, unsigned rows, struct buf *out);
struct str edit_text(const struct edit *e); /* borrowed until the next call */
