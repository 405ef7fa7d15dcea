/* words/words_int.h - what the files of this folder share. */
#pragma once

#include <libstemmer.h>

#include "words/words.h"

enum {
	FORM_MAX = 63,       /* letters of a German word; longer ones are told whole */
	TERMS_MAX = 3,       /* of one form in the dictionary */
	WORD_TERMS_MAX = 32, /* of one word, its compounds' included */
};

/* A German word in the dictionary's spelling: small letters of Latin-1, one byte each. */
struct form {
	uint8_t n;
	uint8_t b[FORM_MAX];
};

enum term_flags { /* as words.py writes them */
	TERM_KNOWN = 1,  /* a word of the dictionary */
	TERM_LAST = 2,   /* may end a compound */
	TERM_WHOLE = 4,  /* the same, a word of three letters */
	TERM_FIRST = 8,  /* may begin one, and is no noun */
	TERM_INNER = 16, /* may stand inside one, and is no noun */
};
struct term_entry {
	unsigned flags;
	unsigned last_at; /* where the last word of the compound begins; 0: not said */
};

/* The dictionary's terms of a form, other than its stem. Returns how many, 0 for none. */
unsigned dict_form(const struct words_dict *d, const struct form *f, struct form ret[TERMS_MAX]);
/* What is known of a term; nothing is { 0, 0 }. `mark` (0 or 1) asks for the entry of what is no
 * noun. */
struct term_entry dict_term(const struct words_dict *d, const struct form *term, unsigned mark);

/* The stem of a form, its umlauts gone. */
void stem_german(struct sb_stemmer *s, const struct form *f, struct form *ret);
struct form form_part(const struct form *f, unsigned from, unsigned to);
void form_fold(struct form *f);

/* The terms of a word, its own first; `parts`: those of a compound's words too; `guess`: also where
 * the dictionary does not have the compound. */
struct term_list {
	unsigned n;
	bool known; /* the dictionary has it, or its words */
	struct form term[WORD_TERMS_MAX];
};
void compound_terms(const struct words_dict *d, struct sb_stemmer *s, const struct form *f,
	bool parts, bool guess, struct term_list *ret);
