/* How the editor's text lies on the screen. A row ends where the next cluster does not fit, and
 * the end of it is written as \r\n, so that it is the same on terminals that wrap late or early. */
#include "cli/edit_int.h"
#include "cli/width.h"

#define GREY "\033[38;5;245m"
#define PLAIN "\033[0m"

struct pen {
	unsigned columns, row, column;
	unsigned top, bottom; /* rows that are shown: [top, bottom) */
	struct buf *out;      /* NULL: only measure */
};

static bool shown(const struct pen *p)
{
	return p->out && p->row >= p->top && p->row < p->bottom;
}

static enum err put(struct pen *p, struct str s, unsigned wide)
{
	if (shown(p))
		TRY(buf_add(p->out, s));
	p->column += wide;
	return OK;
}

static enum err next_row(struct pen *p)
{
	p->row++;
	p->column = 0;
	return shown(p) && p->row > p->top ? buf_add(p->out, STR("\r\n")) : OK;
}

static enum err room_for(struct pen *p, unsigned wide)
{
	return p->column && p->column + wide > p->columns ? next_row(p) : OK;
}

static enum err put_prompt(struct pen *p, const char *z)
{
	struct str s = str_from(z);
	size_t wide = width_text(s);
	return wide < p->columns ? put(p, s, (unsigned)wide) : OK;
}

static enum err put_cluster(const struct edit *e, struct pen *p, struct str c, int wide)
{
	if (*c.ptr == '\n') {
		TRY(room_for(p, 1));
		TRY(next_row(p));
		return put_prompt(p, e->look.more);
	}
	if (*c.ptr != '\t') {
		TRY(room_for(p, (unsigned)wide));
		return put(p, c, (unsigned)wide);
	}
	TRY(room_for(p, 1));
	unsigned blanks = 8 - p->column % 8;
	while (blanks-- && p->column < p->columns)
		TRY(put(p, STR(" "), 1));
	return OK;
}

/* Goes through the whole text; *ret_row and *ret_column: where the cursor is. */
static enum err lay_out(
	const struct edit *e, struct pen *p, unsigned *ret_row, unsigned *ret_column)
{
	struct str text = edit_text(e);
	TRY(put_prompt(p, e->look.prompt));
	for (size_t i = 0;;) {
		int wide = 1;
		size_t n = width_cluster(str_sub(text, i, text.len), &wide);
		if (i == e->at) {
			TRY(room_for(p, wide > 0 ? (unsigned)wide : 1));
			*ret_row = p->row;
			*ret_column = p->column;
		}
		if (!n)
			return OK;
		TRY(put_cluster(e, p, str_sub(text, i, n), wide));
		i += n;
	}
}

static enum err put_hint(const struct edit *e, struct pen *p)
{
	struct str hint = str_from(e->look.hint);
	if (e->text.len || e->pasting || !hint.len ||
		p->column + width_text(hint) >= p->columns)
		return OK;
	TRY(buf_add(p->out, STR(GREY)));
	TRY(put(p, hint, (unsigned)width_text(hint)));
	return buf_add(p->out, STR(PLAIN));
}

enum err edit_erase(struct edit *e, struct buf *out)
{
	if (e->cursor_row)
		TRY(buf_addf(out, "\033[%uA", e->cursor_row));
	e->cursor_row = 0;
	return buf_add(out, STR("\r\033[J"));
}

enum err edit_draw(struct edit *e, struct buf *out)
{
	unsigned columns = e->look.columns ? e->look.columns : 80,
		 rows = e->look.rows ? e->look.rows : 24, row = 0, column = 0;
	struct pen p = { .columns = columns < 2 ? 2 : columns };
	TRY(lay_out(e, &p, &row, &column));
	p = (struct pen){ .columns = p.columns, .out = out };
	p.top = row < rows ? 0 : row - rows + 1;
	p.bottom = p.top + rows;
	TRY(edit_erase(e, out));
	TRY(lay_out(e, &p, &row, &column));
	TRY(put_hint(e, &p));
	unsigned last = p.row < p.bottom ? p.row : p.bottom - 1;
	if (last > row)
		TRY(buf_addf(out, "\033[%uA", last - row));
	TRY(buf_add_byte(out, '\r'));
	if (column)
		TRY(buf_addf(out, "\033[%uC", column));
	e->cursor_row = row - p.top;
	return OK;
}

enum err edit_leave(struct edit *e, struct buf *out)
{
	const char *hint = e->look.hint;
	e->look.hint = "";
	e->at = e->text.len;
	enum err err = edit_draw(e, out);
	e->look.hint = hint;
	e->cursor_row = 0;
	return err ? err : buf_add(out, STR("\r\n"));
}
