/* Any bytes, any stop strings, any cut: the text that comes out is valid and the same. Input: a
 * byte of options, stop strings ended by newlines, an empty line, then the bytes of the stream. */
#include "engine/text.h"

#include "tests/fuzz/fuzz.h"

static struct str next_line(struct str *rest)
{
	struct str line = *rest;
	size_t at = str_find_byte(*rest, '\n', 0);
	if (at == SIZE_MAX) {
		*rest = STR_NONE;
		return line;
	}
	*rest = str_sub(*rest, at + 1, rest->len - at - 1);
	return str_sub(line, 0, at);
}

/* Runs the stream in pieces of `piece` bytes; false when the options are refused. */
static bool run(const struct text_options *o, struct str s, size_t piece, struct buf *all)
{
	AUTO(text) struct text *t = NULL;
	AUTO_BUF struct buf thought = BUF(1 << 20), answer = BUF(1 << 20);
	bool stopped = false;
	if (text_new(o, &t))
		return false;
	for (size_t i = 0; i < s.len && !stopped; i += piece)
		if (text_add(t, str_sub(s, i, piece), &thought, &answer, &stopped))
			DIE("text_add failed");
	if (text_end(t, &thought, &answer) || !str_is_utf8(buf_str(&thought)) ||
	    !str_is_utf8(buf_str(&answer)))
		DIE("not text");
	for (size_t i = 0; i < o->n_stop; i++)
		if (str_find(buf_str(&answer), o->stop[i], 0) != SIZE_MAX)
			DIE("a stop string got through");
	return !buf_add(all, buf_str(&thought)) && !buf_add_byte(all, 0) &&
	       !buf_add(all, buf_str(&answer));
}

FUZZ
{
	struct str rest = { (const char *)data, size }, stop[LIMIT_STOP_STRINGS];
	struct text_options o = { .stop = stop };
	AUTO_BUF struct buf whole = BUF(4 << 20), cut = BUF(4 << 20);
	if (!size)
		return;
	unsigned bits = (unsigned char)*rest.ptr;
	rest = str_sub(rest, 1, rest.len - 1);
	if (bits & 1) {
		o.think_start = STR("<think>");
		o.think_end = STR("</think>");
		o.thinking = bits & 2;
	}
	while (o.n_stop < LIMIT_STOP_STRINGS && rest.len) {
		struct str line = next_line(&rest);
		if (!line.len)
			break;
		stop[o.n_stop++] = line;
	}
	if (!run(&o, rest, rest.len + 1, &whole))
		return;
	if (!run(&o, rest, 1 + bits / 4 % 8, &cut) || !str_eq(buf_str(&whole), buf_str(&cut)))
		DIE("the pieces made a difference");
}
