/* words/words.h - the words of a text as the terms a search compares: German, and English.
 *
 * A term stands for all forms of a word (Häuser: haus), however it is spelled (Strasse, Straße;
 * Mueller, Müller). A German compound brings the terms of its words too (Kündigungsfrist: frist),
 * in a text, not in a question: who asks for a compound wants the compound. Words that the
 * dictionary does not know bring their English stem beside, where that is another.
 *
 * Terms are bytes of their own, to compare and not to show. They change with the dictionary and
 * with this code: words_dict_id() says which made them. */
#pragma once

#include "base/auto.h"
#include "base/str.h"

enum {
	WORDS_TERM_MAX = 128, /* bytes of a term */
};

/* What deps/german-nouns/words.py made of a list of nouns. Never changes: any number of threads
 * may use it. */
struct words_dict;
/* `file` is borrowed while the dictionary lives. Errors: ERR_CORRUPT, ERR_UNSUPPORTED (made with
 * another version of the stemmer), ERR_NOMEM. */
enum err words_dict_open(struct str file, struct words_dict **ret, struct err_info *info);
struct words_dict *words_dict_free(struct words_dict *d);
DEFINE_AUTO(words_dict)
uint64_t words_dict_id(const struct words_dict *d);

/* One thread's. Borrows the dictionary; without one (NULL) there are stems alone. */
struct words;
enum err words_new(const struct words_dict *d, struct words **ret);
struct words *words_free(struct words *w);
DEFINE_AUTO(words)

enum words_for {
	WORDS_TEXT,      /* that will be searched */
	WORDS_QUESTION,  /* whole words somebody looks for */
	WORDS_BEGINNING, /* of words: as they are spelled, no stems */
};
/* A term of the text's bytes from..to; `beside`: one more of the word told before. */
typedef enum err (*words_fn)(void *arg, struct str term, size_t from, size_t to, bool beside);
/* Bytes that are not UTF-8 part words. Errors: the first of `fn`, which ends the walk;
 * ERR_NOMEM. */
enum err words_each(
	struct words *w, struct str text, enum words_for what, words_fn fn, void *arg);
