/* cli/test_screen.h - a terminal to test against: what bytes do to a screen, by ECMA-48 and xterm.
 *
 * Knows CR, LF (as the line discipline sends it: CR LF), BS, BEL, CSI A B C D H J K m and private
 * modes. A character in the last column leaves the cursor there until the next one wraps ("late
 * wrap", DECAWM as xterm does it). Widths by East Asian Width (UAX 11), not by wcwidth(). Anything
 * unknown fails the test. */
#pragma once

#include "base/str.h"

enum { SCREEN_ROWS = 24, SCREEN_COLUMNS = 80, CELL_BYTES = 16 };
struct screen {
	unsigned rows, columns, row, column;
	bool late;
	unsigned bells;
	/* "" is blank, "\1" the right half of a wide character */
	char cell[SCREEN_ROWS][SCREEN_COLUMNS][CELL_BYTES];
};
void screen_init(struct screen *s, unsigned columns, unsigned rows);
void screen_write(struct screen *s, struct str bytes);
/* Rows as text joined by \n; blanks at their ends and empty rows at the end cut. Static buffer. */
const char *screen_text(const struct screen *s);
