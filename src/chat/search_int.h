/* chat/search_int.h - private to chat/search*.c. */
#pragma once

#include <pthread.h>
#include <stdio.h>

#include "base/json.h"
#include "chat/chat_sql.h"
#include "chat/search.h"
#include "words/words.h"

enum {
	SEARCH_WHO_MAX = 40,
	SEARCH_PART_BYTES = 32 * 1024, /* of text in one row */
	SEARCH_ID_SHIFT = 20, /* a row's id: ms << this, and a counter */
};

struct chat_search {
	struct db *db;
	const struct words_dict *dict;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool poked, closing, lock_up, thread_up; /* under the lock */
	pthread_t thread;
};

/* The word that stands for a person in the index. */
void search_who(const char *person, char ret[SEARCH_WHO_MAX]);

/* ---- search_ask.c: from what somebody typed to what FTS5 is asked ---- */

struct search_terms {
	unsigned n;
	struct {
		char text[WORDS_TERM_MAX];
		size_t len;
		bool beginning; /* words that begin like this, too */
	} v[4 * SEARCH_WORDS_MAX];
};
/* *match: the expression; *terms: those whose words are shown in a result. Errors: ERR_INVALID. */
enum err search_ask(struct words *w, const char *person, struct str text, struct buf *match,
	struct search_terms *terms, struct err_info *info);

/* ---- search_snippet.c ---- */
/* The text around the first word that was looked for, as a JSON array of {text, hit}. */
enum err search_snippet(
	struct words *w, const struct search_terms *t, struct str said, struct jw *out);
