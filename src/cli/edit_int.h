/* cli/edit_int.h - the editor's state; private to edit.c and edit_draw.c. */
#pragma once

#include "cli/edit.h"

struct edit {
	struct buf text;
	size_t at; /* the cursor: a byte of text, at a cluster's border */
	struct edit_look look;
	unsigned cursor_row; /* of the screen, from the first row of what was drawn last */
	bool bell, clear;    /* with the next drawing */

	struct history *history;
	size_t history_at; /* its count: the draft */
	struct buf draft;  /* what was being written when the history was entered */

	enum { GROUND, AFTER_ESC, IN_CSI, IN_SS3 } state;
	char params[16], part[4]; /* of a sequence; of a character */
	size_t n_params, n_part;
	bool pasting, after_cr;
};

enum err edit_draw(struct edit *e, struct buf *out);
enum err edit_erase(struct edit *e, struct buf *out); /* what was drawn goes */
enum err edit_leave(struct edit *e, struct buf *out); /* to the row after the text */
