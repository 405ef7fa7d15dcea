#include "cli/edit.h"

#include "base/fault.h"
#include "cli/edit_int.h"
#include "cli/width.h"

enum { CTRL_C = 3, CTRL_D, ENTER = '\r', CTRL_G = 7, CTRL_H = 8, CTRL_L = 12, CTRL_Z = 26 };

enum err edit_new(struct history *h, struct edit **ret)
{
	struct edit *e = mem_zalloc(1, sizeof *e);
	if (!e)
		return ERR_NOMEM;
	e->text = BUF(EDIT_MAX);
	e->draft = BUF(EDIT_MAX);
	e->history = h;
	*ret = e;
	return OK;
}

struct edit *edit_free(struct edit *e)
{
	if (!e)
		return NULL;
	buf_done(&e->text);
	buf_done(&e->draft);
	mem_free(e);
	return NULL;
}

struct str edit_text(const struct edit *e)
{
	return e->text.ptr ? buf_str(&e->text) : STR("");
}

/* ---- changes ---- */

/* Replaces `cut` bytes at `from`. What does not fit rings the bell. */
static void splice(struct edit *e, size_t from, size_t cut, struct str add)
{
	struct buf *b = &e->text;
	size_t tail = b->len - from - cut;
	if (add.len > cut && buf_add_zeros(b, add.len - cut)) {
		b->err = OK;
		e->bell = true;
		return;
	}
	if (!b->ptr)
		return;
	memmove(b->ptr + from + add.len, b->ptr + from + cut, tail);
	if (add.len)
		memcpy(b->ptr + from, add.ptr, add.len);
	if (cut > add.len)
		buf_cut(b, b->len - (cut - add.len));
	e->at = from + add.len;
}

static void delete_between(struct edit *e, size_t from, size_t to)
{
	if (from < to)
		splice(e, from, to - from, STR(""));
}

/* Adds what can be shown of `s`; a line ends with \r, \n or both. Returns the unfinished character
 * at the end. */
static struct str add_clean(struct buf *out, struct str s, bool *after_cr)
{
	while (s.len) {
		int w;
		bool cut;
		size_t n = str_utf8_char(s, &cut);
		if (!n && cut)
			break;
		char c = *s.ptr;
		bool newline = c == '\n' && !*after_cr;
		*after_cr = c == '\r';
		(void)width_char(s, &w);
		if (newline || c == '\r')
			(void)!!buf_add_byte(out, '\n');
		else if (n && (w >= 0 || c == '\t'))
			(void)!!buf_add(out, str_sub(s, 0, n));
		s = str_sub(s, n ? n : 1, s.len);
	}
	return s;
}

static void set_text(struct edit *e, struct str text)
{
	AUTO_BUF struct buf clean = BUF(SIZE_MAX);
	bool after_cr = false;
	(void)add_clean(&clean, text, &after_cr);
	if (clean.err)
		e->bell = true;
	else
		splice(e, 0, e->text.len, clean.ptr ? buf_str(&clean) : STR(""));
}

/* ---- where ---- */

static size_t after(const struct edit *e, size_t at)
{
	int w;
	return at + width_cluster(str_sub(edit_text(e), at, e->text.len), &w);
}

static size_t before(const struct edit *e, size_t at)
{
	return width_cluster_before(edit_text(e), at);
}

static size_t line_start(const struct edit *e, size_t at)
{
	while (at && e->text.ptr[at - 1] != '\n')
		at--;
	return at;
}

static size_t line_end(const struct edit *e, size_t at)
{
	while (at < e->text.len && e->text.ptr[at] != '\n')
		at++;
	return at;
}

static bool blank_at(const struct edit *e, size_t at)
{
	char c = e->text.ptr[at];
	return c == ' ' || c == '\t' || c == '\n';
}

static size_t word_before(const struct edit *e, size_t at)
{
	while (at && blank_at(e, at - 1))
		at--;
	while (at && !blank_at(e, at - 1))
		at--;
	return at;
}

static size_t word_after(const struct edit *e, size_t at)
{
	while (at < e->text.len && blank_at(e, at))
		at++;
	while (at < e->text.len && !blank_at(e, at))
		at++;
	return at;
}

/* The same number of characters into another line of the text. */
static size_t across(const struct edit *e, size_t to_line)
{
	size_t steps = 0, end = line_end(e, to_line);
	for (size_t at = line_start(e, e->at); at < e->at; at = after(e, at))
		steps++;
	for (; steps && to_line < end; steps--)
		to_line = after(e, to_line);
	return to_line;
}

/* ---- history ---- */

static void history_step(struct edit *e, bool back)
{
	size_t n = history_count(e->history);
	if (back ? !e->history_at : e->history_at >= n)
		return;
	if (e->history_at == n) {
		buf_clear(&e->draft);
		if (buf_add(&e->draft, edit_text(e)))
			return;
	}
	if (back)
		e->history_at--;
	else
		e->history_at++;
	set_text(e, e->history_at == n ? (e->draft.ptr ? buf_str(&e->draft) : STR(""))
				       : history_get(e->history, e->history_at));
}

static void up(struct edit *e)
{
	size_t start = line_start(e, e->at);
	if (start)
		e->at = across(e, line_start(e, start - 1));
	else
		history_step(e, true);
}

static void down(struct edit *e)
{
	size_t end = line_end(e, e->at);
	if (end < e->text.len)
		e->at = across(e, end + 1);
	else
		history_step(e, false);
}

/* ---- keys ---- */

static void erase_back(struct edit *e)
{
	delete_between(e, before(e, e->at), e->at);
}

static void erase_word_back(struct edit *e)
{
	delete_between(e, word_before(e, e->at), e->at);
}

static void erase_here(struct edit *e)
{
	delete_between(e, e->at, after(e, e->at));
}

/* `key` is the last byte of a sequence: H of CSI H, CSI 1;5H and SS3 H; ~ of "CSI first ~". */
static void sequence_key(struct edit *e, char key, unsigned first, bool word)
{
	if (key == '~' && (first == 1 || first == 7))
		key = 'H';
	else if (key == '~' && (first == 4 || first == 8))
		key = 'F';
	if (key == 'A')
		up(e);
	else if (key == 'B')
		down(e);
	else if (key == 'C')
		e->at = word ? word_after(e, e->at) : after(e, e->at);
	else if (key == 'D')
		e->at = word ? word_before(e, e->at) : before(e, e->at);
	else if (key == 'H')
		e->at = line_start(e, e->at);
	else if (key == 'F')
		e->at = line_end(e, e->at);
	else if (key == '~' && first == 3)
		erase_here(e);
	else if (key == '~' && first == 200)
		e->pasting = true;
	else if (key == '~' && first == 201)
		e->pasting = e->after_cr = false;
}

static void end_sequence(struct edit *e, char key)
{
	unsigned number[2] = { 0, 0 }, n = 0;
	for (size_t i = 0; i < e->n_params; i++) {
		char c = e->params[i];
		if (c == ';' && n < 1)
			n++;
		else if (c >= '0' && c <= '9' && number[n] < 1000)
			number[n] = number[n] * 10 + (unsigned)(c - '0');
	}
	/* the second number is 1 + shift 1, alt 2, ctrl 4 */
	sequence_key(e, key, number[0], number[1] > 1 && ((number[1] - 1) & 6));
}

static void alt_key(struct edit *e, char c)
{
	if (c == 'b')
		e->at = word_before(e, e->at);
	else if (c == 'f')
		e->at = word_after(e, e->at);
	else if (c == 'd')
		delete_between(e, e->at, word_after(e, e->at));
	else if (c == 0x7f || c == CTRL_H)
		erase_word_back(e);
}

/* One byte of an escape sequence. */
static void in_sequence(struct edit *e, char c)
{
	if (c == 0x1b) {
		e->state = AFTER_ESC; /* another one begins: it may be a paste's end */
	} else if (e->state == AFTER_ESC && (c == '[' || c == 'O')) {
		e->state = c == '[' ? IN_CSI : IN_SS3;
		e->n_params = 0;
	} else if (e->state == AFTER_ESC) {
		e->state = GROUND;
		if (!e->pasting)
			alt_key(e, c);
	} else if (e->state == IN_SS3) {
		e->state = GROUND;
		if (!e->pasting)
			end_sequence(e, c);
	} else if (c >= 0x40 && c <= 0x7e) {
		e->state = GROUND;
		bool paste_end = c == '~' && e->n_params == 3 && !memcmp(e->params, "201", 3);
		if (!e->pasting || paste_end)
			end_sequence(e, c);
	} else if (c < 0x20) {
		e->state = GROUND; /* not a sequence after all */
	} else if (e->n_params < sizeof e->params) {
		e->params[e->n_params++] = c;
	}
}

static void line_key(struct edit *e, char c)
{
	switch (c) {
	case 1: /* Ctrl+A */
		e->at = line_start(e, e->at);
		break;
	case 2: /* Ctrl+B */
		e->at = before(e, e->at);
		break;
	case 5: /* Ctrl+E */
		e->at = line_end(e, e->at);
		break;
	case 6: /* Ctrl+F */
		e->at = after(e, e->at);
		break;
	case 11: /* Ctrl+K */
		delete_between(e, e->at, line_end(e, e->at));
		break;
	case 14: /* Ctrl+N */
		history_step(e, false);
		break;
	case 16: /* Ctrl+P */
		history_step(e, true);
		break;
	case 21: /* Ctrl+U */
		delete_between(e, line_start(e, e->at), e->at);
		break;
	case 23: /* Ctrl+W */
		erase_word_back(e);
		break;
	default:
		break;
	}
}

static enum edit_event control_key(struct edit *e, char c)
{
	static const struct {
		char key;
		enum edit_event event;
	} events[] = { { ENTER, EDIT_LINE }, { CTRL_C, EDIT_INTERRUPT }, { CTRL_G, EDIT_EDITOR },
		{ CTRL_Z, EDIT_SUSPEND } };
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (c == events[i].key)
			return events[i].event;
	if (c == CTRL_D && !e->text.len)
		return EDIT_END;
	if (c == CTRL_D)
		erase_here(e);
	else if (c == 0x7f || c == CTRL_H)
		erase_back(e);
	else if (c == CTRL_L)
		e->clear = true;
	else
		line_key(e, c);
	return EDIT_MORE;
}

/* ---- text ---- */

static bool is_text(const struct edit *e, char c)
{
	unsigned char u = (unsigned char)c;
	if (u == '\t' || u == '\n')
		return true;
	return e->pasting ? u != 0x1b : u >= 0x20 && u != 0x7f;
}

/* What can be shown of `s` goes to the cursor; an unfinished character waits for its rest. */
static void insert(struct edit *e, struct str s)
{
	AUTO_BUF struct buf all = BUF(SIZE_MAX), clean = BUF(SIZE_MAX);
	if (buf_add(&all, (struct str){ e->part, e->n_part }) || buf_add(&all, s))
		return;
	struct str rest = add_clean(&clean, buf_str(&all), &e->after_cr);
	if (rest.len)
		memcpy(e->part, rest.ptr, rest.len);
	e->n_part = rest.len;
	if (clean.len && !clean.err)
		splice(e, e->at, 0, buf_str(&clean));
}

/* Takes the next key, or all text up to the next one. Returns the bytes used. */
static size_t take(struct edit *e, struct str in, enum edit_event *ret)
{
	size_t n = 0;
	if (e->state != GROUND) {
		in_sequence(e, *in.ptr);
		return 1;
	}
	while (n < in.len && is_text(e, in.ptr[n]))
		n++;
	if (n) {
		insert(e, str_sub(in, 0, n));
		return n;
	}
	e->n_part = 0;
	if (*in.ptr == 0x1b)
		e->state = AFTER_ESC;
	else
		*ret = control_key(e, *in.ptr);
	return 1;
}

enum err edit_begin(struct edit *e, const struct edit_look *look, struct str text, struct buf *out)
{
	e->look = *look;
	e->cursor_row = 0;
	e->history_at = history_count(e->history);
	e->state = GROUND;
	e->pasting = e->after_cr = e->bell = e->clear = false;
	e->n_part = 0;
	set_text(e, text);
	return edit_draw(e, out);
}

enum err edit_resize(struct edit *e, unsigned columns, unsigned rows, struct buf *out)
{
	if (columns == e->look.columns && rows == e->look.rows)
		return OK;
	e->look.columns = columns;
	e->look.rows = rows;
	return edit_draw(e, out);
}

enum err edit_feed(
	struct edit *e, struct str in, size_t *ret_used, enum edit_event *ret, struct buf *out)
{
	enum edit_event event = EDIT_MORE;
	size_t used = 0;
	while (used < in.len && event == EDIT_MORE)
		used += take(e, str_sub(in, used, in.len), &event);
	if (e->clear) {
		TRY(buf_add(out, STR("\033[H\033[2J")));
		e->cursor_row = 0;
		e->clear = false;
	}
	if (e->bell)
		TRY(buf_add_byte(out, '\a'));
	e->bell = false;
	*ret_used = used;
	*ret = event;
	if (event == EDIT_MORE)
		return edit_draw(e, out);
	return event == EDIT_EDITOR ? edit_erase(e, out) : edit_leave(e, out);
}
