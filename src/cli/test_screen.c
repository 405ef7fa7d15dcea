#include "cli/test_screen.h"

#include <stdio.h>

#include "tests/test.h"

void screen_init(struct screen *s, unsigned columns, unsigned rows)
{
	memset(s, 0, sizeof *s);
	s->columns = columns;
	s->rows = rows;
}

static void clear_cells(struct screen *s, unsigned row, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		s->cell[row][i][0] = '\0';
}

static void line_feed(struct screen *s)
{
	s->late = false;
	if (s->row + 1 < s->rows) {
		s->row++;
		return;
	}
	memmove(s->cell[0], s->cell[1], (s->rows - 1) * sizeof s->cell[0]);
	clear_cells(s, s->rows - 1, 0, s->columns);
}

static unsigned width_of(uint32_t c)
{
	static const struct {
		uint32_t from, to;
		unsigned width;
	} table[] = { { 0x300, 0x36f, 0 }, { 0x200b, 0x200f, 0 }, { 0xfe00, 0xfe0f, 0 },
		{ 0x1100, 0x115f, 2 }, { 0x2e80, 0x303e, 2 }, { 0x3041, 0xa4cf, 2 },
		{ 0xac00, 0xd7a3, 2 }, { 0xf900, 0xfaff, 2 }, { 0xff00, 0xff60, 2 },
		{ 0x1f300, 0x1faff, 2 } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (c >= table[i].from && c <= table[i].to)
			return table[i].width;
	return 1;
}

static void print_char(struct screen *s, struct str c)
{
	uint32_t v = (unsigned char)c.ptr[0];
	if (c.len > 1)
		v &= 0x7fu >> c.len;
	for (size_t i = 1; i < c.len; i++)
		v = v << 6 | ((unsigned char)c.ptr[i] & 0x3f);
	unsigned wide = width_of(v);
	if (!wide) { /* joins what stands before the cursor */
		unsigned at = s->late ? s->column : s->column ? s->column - 1 : 0;
		if (at && s->cell[s->row][at][0] == '\1')
			at--;
		size_t have = strlen(s->cell[s->row][at]);
		CHECK(have + c.len < CELL_BYTES);
		memcpy(s->cell[s->row][at] + have, c.ptr, c.len);
		s->cell[s->row][at][have + c.len] = '\0';
		return;
	}
	if (s->late || s->column + wide > s->columns) {
		s->column = 0;
		line_feed(s);
	}
	memcpy(s->cell[s->row][s->column], c.ptr, c.len);
	s->cell[s->row][s->column][c.len] = '\0';
	if (wide == 2)
		memcpy(s->cell[s->row][s->column + 1], "\1", 2);
	s->late = s->column + wide == s->columns;
	s->column += s->late ? wide - 1 : wide;
}

static void erase_display(struct screen *s, unsigned what)
{
	CHECK(what == 0 || what == 2);
	if (what == 2)
		for (unsigned i = 0; i < s->row; i++)
			clear_cells(s, i, 0, s->columns);
	clear_cells(s, s->row, what == 2 ? 0 : s->column, s->columns);
	for (unsigned i = s->row + 1; i < s->rows; i++)
		clear_cells(s, i, 0, s->columns);
}

static void control_sequence(struct screen *s, char last, unsigned n, bool given)
{
	unsigned by = given && n ? n : 1;
	s->late = s->late && last == 'm';
	if (last == 'A')
		s->row -= by < s->row ? by : s->row;
	else if (last == 'B')
		s->row = s->row + by < s->rows ? s->row + by : s->rows - 1;
	else if (last == 'C')
		s->column = s->column + by < s->columns ? s->column + by : s->columns - 1;
	else if (last == 'D')
		s->column -= by < s->column ? by : s->column;
	else if (last == 'H')
		s->row = s->column = 0;
	else if (last == 'J')
		erase_display(s, n);
	else if (last == 'K' && !n)
		clear_cells(s, s->row, s->column, s->columns);
	else if (last != 'm' && last != 'h' && last != 'l')
		FAIL("sequence ending with %c", last);
}

static size_t escape(struct screen *s, struct str in)
{
	unsigned n = 0;
	bool given = false;
	CHECK(in.len > 2 && in.ptr[1] == '[');
	for (size_t i = 2; i < in.len; i++) {
		char c = in.ptr[i];
		if (c >= 0x40) {
			control_sequence(s, c, n, given);
			return i + 1;
		}
		if (c >= '0' && c <= '9') {
			n = n * 10 + (unsigned)(c - '0');
			given = true;
		}
	}
	FAIL("a sequence without an end");
}

void screen_write(struct screen *s, struct str in)
{
	for (size_t i = 0; i < in.len;) {
		struct str rest = str_sub(in, i, in.len);
		bool cut;
		size_t n = 1;
		if (*rest.ptr == '\033')
			n = escape(s, rest);
		else if (*rest.ptr == '\r')
			s->column = 0, s->late = false;
		else if (*rest.ptr == '\n')
			line_feed(s);
		else if (*rest.ptr == '\a')
			s->bells++;
		else if ((unsigned char)*rest.ptr < 0x20)
			FAIL("control byte %d", *rest.ptr);
		else {
			n = str_utf8_char(rest, &cut);
			CHECK(n > 0);
			print_char(s, str_sub(rest, 0, n));
		}
		i += n;
	}
}

const char *screen_text(const struct screen *s)
{
	static char text[SCREEN_ROWS * SCREEN_COLUMNS * CELL_BYTES];
	size_t n = 0, end = 0;
	for (unsigned r = 0; r < s->rows; r++) {
		size_t line_end = n;
		for (unsigned c = 0; c < s->columns; c++) {
			const char *cell = s->cell[r][c];
			if (*cell == '\1')
				continue;
			size_t len = *cell ? strlen(cell) : 1;
			memcpy(text + n, *cell ? cell : " ", len);
			n += len;
			if (*cell && *cell != ' ')
				line_end = n;
		}
		n = line_end;
		if (n > end)
			end = n;
		text[n++] = '\n';
		if (line_end > 0 && text[line_end - 1] != '\n')
			end = line_end;
	}
	while (end && text[end - 1] == '\n')
		end--;
	text[end] = '\0';
	return text;
}
