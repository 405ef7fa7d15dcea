#include "cli/wrap.h"

#include <unistd.h>

#include "base/limits.h"
#include "cli/width.h"

void wrap_init(struct wrap *w)
{
	*w = (struct wrap){ .word = BUF(LIMIT_ANSWER) };
}

void wrap_done(struct wrap *w)
{
	buf_done(&w->word);
}

static void forget_word(struct wrap *w)
{
	buf_clear(&w->word);
	w->word_columns = 0;
}

/* The character does not fit: the line ends before the word, or, when the word is the line, in it.
 */
static enum err break_line(struct wrap *w, unsigned wide, unsigned columns, struct buf *out)
{
	if (w->word_columns && w->word_columns + wide <= columns) {
		TRY(buf_addf(out, "\033[%uD\033[K\n", w->word_columns));
		TRY(buf_add(out, buf_str(&w->word)));
		w->column = w->word_columns;
		return OK;
	}
	forget_word(w);
	w->column = 0;
	return buf_add_byte(out, '\n');
}

static enum err add_blank(struct wrap *w, char c, unsigned columns, struct buf *out)
{
	unsigned wide = c == '\t' ? 8 - w->column % 8 : 1;
	forget_word(w);
	if (c == '\n' || (columns && w->column + wide > columns)) {
		w->column = 0; /* the blank at the edge is the line's end */
		return buf_add_byte(out, '\n');
	}
	w->column += wide;
	return buf_add_byte(out, c);
}

static enum err add_char(
	struct wrap *w, struct str c, unsigned wide, unsigned columns, struct buf *out)
{
	if (wide > 1)
		forget_word(w); /* a line may end before it */
	if (columns && w->column + wide > columns)
		TRY(break_line(w, wide, columns, out));
	TRY(buf_add(out, c));
	w->column += wide;
	if (wide > 1 || !columns) { /* no word is ever taken back */
		forget_word(w);
		return OK;
	}
	w->word_columns += wide;
	return buf_add(&w->word, c);
}

enum err wrap_add(struct wrap *w, struct str text, unsigned columns, struct buf *out)
{
	/* The last column stays free: terminals differ in when they wrap a full line themselves. */
	columns = columns < WRAP_MIN ? 0 : columns - 1;
	for (size_t i = 0; i < text.len;) {
		int wide;
		struct str c = str_sub(text, i, width_char(str_sub(text, i, text.len), &wide));
		i += c.len;
		if (*c.ptr == '\n' || *c.ptr == ' ' || *c.ptr == '\t')
			TRY(add_blank(w, *c.ptr, columns, out));
		else if (wide >= 0)
			TRY(add_char(w, c, (unsigned)wide, columns, out));
	}
	return OK;
}

void wrap_print_str(struct str text, FILE *out)
{
	AUTO_WRAP struct wrap w;
	AUTO_BUF struct buf safe = BUF(SIZE_MAX);
	wrap_init(&w);
	if (!isatty(fileno(out)))
		(void)!fwrite(text.ptr ? text.ptr : "", 1, text.len, out);
	else if (!wrap_add(&w, text, 0, &safe))
		fprintf(out, "%.*s", STR_ARG(buf_str(&safe)));
}

void wrap_print(const char *text, FILE *out)
{
	wrap_print_str(str_from(text), out);
}

void wrap_printf(FILE *out, const char *fmt, ...)
{
	AUTO_BUF struct buf text = BUF(SIZE_MAX);
	va_list ap;
	va_start(ap, fmt);
	if (!buf_addv(&text, fmt, ap))
		wrap_print_str(buf_str(&text), out);
	va_end(ap);
}
