/* Any file as a dictionary: it is refused, or words are looked up in it within its bounds. */
#include "tests/fuzz/fuzz.h"
#include "words/words.h"

static enum err none(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	return term.len <= WORDS_TERM_MAX ? OK : ERR_INTERNAL;
}

FUZZ
{
	AUTO(words_dict) struct words_dict *d = NULL;
	AUTO(words) struct words *w = NULL;
	struct err_info info = { 0 };
	enum err e = words_dict_open((struct str){ (const char *)data, size }, &d, &info);
	if (e && e != ERR_CORRUPT && e != ERR_UNSUPPORTED && e != ERR_NOMEM)
		DIE("an error that is not in the contract");
	if (e || words_new(d, &w))
		return;
	if (words_each(w, STR("Mietvertrag Haus H\xc3\xa4user abc"), WORDS_TEXT, none, NULL))
		DIE("a term out of its bounds");
}
