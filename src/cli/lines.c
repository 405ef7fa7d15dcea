#include "cli/lines.h"

#include <signal.h>

#include "base/fault.h"
#include "os/fd.h"
#include "os/tty.h"

#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"

struct lines {
	struct edit *edit; /* NULL: plain */
	struct tty *tty;
	struct buf in; /* bytes that came and were not used yet */
	bool show_prompt;
};

enum err lines_new(struct history *h, struct lines **ret)
{
	AUTO(lines) struct lines *l = mem_zalloc(1, sizeof *l);
	if (!l)
		return ERR_NOMEM;
	l->in = BUF(2 * EDIT_MAX);
	l->show_prompt = isatty(0);
	if (isatty(0) && tty_moves(1)) {
		enum err e = tty_new(0, &l->tty);
		if (e == ERR_NOMEM)
			return e;
		if (!e) {
			tty_last_words(l->tty, PASTE_OFF);
			TRY(edit_new(h, &l->edit));
		}
	}
	*ret = TAKE(l);
	return OK;
}

struct lines *lines_free(struct lines *l)
{
	if (!l)
		return NULL;
	tty_free(l->tty);
	edit_free(l->edit);
	buf_done(&l->in);
	mem_free(l);
	return NULL;
}

void lines_lend(struct lines *l, bool on)
{
	if (l->tty)
		(void)!!tty_set(l->tty, on ? TTY_PLAIN : TTY_WATCH);
}

/* More bytes. Errors: ERR_CLOSED at the end. */
static enum err more(struct lines *l)
{
	char piece[4096];
	size_t n = 0;
	TRY(fd_read(0, piece, sizeof piece, &n));
	return n ? buf_add(&l->in, (struct str){ piece, n }) : ERR_CLOSED;
}

/* ---- plain ---- */

static enum err read_plain(
	struct lines *l, const char *prompt, struct buf *ret_text, enum line_end *ret)
{
	size_t end, seen = 0;
	if (l->show_prompt)
		TRY(fd_write_full(2, prompt, strlen(prompt)));
	while ((end = str_find_byte(buf_str(&l->in), '\n', seen)) == SIZE_MAX) {
		seen = l->in.len;
		enum err e = more(l);
		if (e == ERR_CLOSED && l->in.len)
			TRY(buf_add_byte(&l->in, '\n')); /* the last line needs none */
		else if (e == ERR_CLOSED) {
			*ret = LINE_END;
			return OK;
		} else
			TRY(e);
	}
	TRY(buf_add(ret_text, str_sub(buf_str(&l->in), 0, end)));
	buf_drop_front(&l->in, end + 1);
	*ret = LINE_TEXT;
	return OK;
}

/* ---- with the editor ---- */

static enum err show(struct buf *out)
{
	TRY(out->err);
	TRY(fd_write_full(1, out->ptr, out->len));
	buf_clear(out);
	return OK;
}

static enum err begin(struct lines *l, struct edit_look *look, struct str text)
{
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	(void)tty_size(1, &look->columns, &look->rows);
	TRY(tty_set(l->tty, TTY_KEYS));
	TRY(buf_add(&out, STR(PASTE_ON)));
	TRY(edit_begin(l->edit, look, text, &out));
	return show(&out);
}

static enum err end(struct lines *l)
{
	enum err e = fd_write_full(1, PASTE_OFF, sizeof PASTE_OFF - 1);
	TRY(tty_set(l->tty, TTY_WATCH));
	return e;
}

static enum err suspend(struct lines *l, struct edit_look *look)
{
	AUTO_BUF struct buf text = BUF(EDIT_MAX);
	TRY(buf_add(&text, edit_text(l->edit)));
	TRY(end(l));
	lines_lend(l, true);
	(void)raise(SIGTSTP);
	return begin(l, look, buf_str(&text));
}

static enum err edit_keys(struct lines *l, struct edit_look *look, enum edit_event *ret)
{
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	for (*ret = EDIT_MORE; *ret == EDIT_MORE;) {
		size_t used = 0;
		if (!l->in.len)
			TRY(more(l));
		if (tty_size(1, &look->columns, &look->rows))
			TRY(edit_resize(l->edit, look->columns, look->rows, &out));
		TRY(edit_feed(l->edit, buf_str(&l->in), &used, ret, &out));
		buf_drop_front(&l->in, used);
		TRY(show(&out));
		if (*ret == EDIT_SUSPEND) {
			TRY(suspend(l, look));
			*ret = EDIT_MORE;
		}
	}
	return OK;
}

enum err lines_read(struct lines *l, const struct edit_look *look, struct str text,
	struct buf *ret_text, enum line_end *ret)
{
	static const enum line_end ends[] = { [EDIT_LINE] = LINE_TEXT,
		[EDIT_INTERRUPT] = LINE_INTERRUPT,
		[EDIT_END] = LINE_END,
		[EDIT_EDITOR] = LINE_EDITOR };
	struct edit_look here = *look;
	enum edit_event event = EDIT_END;
	buf_clear(ret_text);
	if (!l->edit)
		return read_plain(l, look->prompt, ret_text, ret);
	TRY(begin(l, &here, text));
	enum err e = edit_keys(l, &here, &event), closed = end(l);
	if (e && e != ERR_CLOSED)
		return e;
	*ret = e ? LINE_END : ends[event];
	TRY(closed);
	return buf_add(ret_text, edit_text(l->edit));
}
