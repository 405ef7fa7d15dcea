/* Any text: places and terms are within their bounds and the same twice; a word of a question is
 * found in a text of that word. */
#include "words/words.h"

#include <stdlib.h>

#include "base/buf.h"
#include "os/fd.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	size_t len, from;
	uint32_t sum;
};

static enum err look(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	struct seen *s = arg;
	if (from >= to || to > s->len || from < s->from || !term.len || term.len > WORDS_TERM_MAX)
		DIE("a term out of its bounds");
	if (beside != (from == s->from && s->sum))
		DIE("a term beside nothing");
	s->from = from;
	s->sum = s->sum * 31 + 1;
	for (size_t i = 0; i < term.len; i++)
		s->sum = s->sum * 31 + (uint8_t)term.ptr[i];
	return OK;
}

static struct words_dict *dictionary(void)
{
	static struct buf file = BUF(4 << 20);
	static struct words_dict *d;
	const char *path = getenv("TRESOR_WORDS");
	if (!d && path && !file_read(path, &file) && words_dict_open(buf_str(&file), &d, NULL))
		DIE("no dictionary");
	return d;
}

FUZZ
{
	struct str text = { (const char *)data, size };
	AUTO(words) struct words *w = NULL;
	if (words_new(dictionary(), &w))
		return;
	for (enum words_for what = WORDS_TEXT; what <= WORDS_BEGINNING; what++) {
		struct seen one = { .len = size }, two = { .len = size };
		if (words_each(w, text, what, look, &one) ||
			words_each(w, text, what, look, &two) || one.sum != two.sum)
			DIE("not the same twice");
	}
}
