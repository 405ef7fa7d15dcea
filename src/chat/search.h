/* chat/search.h - full-text search over what was said.
 *
 * A thread takes into the index what was said (a question at once, an answer when it has ended);
 * triggers of the database note what there is to do, so nothing is missed over a crash, and what
 * is deleted leaves the index in the same transaction. Its terms leave the index's older parts
 * within SEARCH_TIDY_MS. Another dictionary makes all terms anew. */
#pragma once

#include "store/db.h"

enum {
	SEARCH_TIDY_MS = 24 * 3600 * 1000,
	SEARCH_TEXT_MAX = 1000, /* bytes of a question */
	SEARCH_WORDS_MAX = 32,  /* of it */
	SEARCH_LIMIT_MAX = 50,  /* results at once */
};

struct chat_search;
/* Borrows both. `words` is what the database was opened with. */
enum err chat_search_new(
	struct db *db, const struct words_dict *words, struct chat_search **ret);
struct chat_search *chat_search_free(struct chat_search *s);
DEFINE_AUTO(chat_search)
/* Something was said. Any thread. */
void chat_search_poke(struct chat_search *s);

/* Whether it has a dictionary, and how many messages are not in the index yet. */
enum err chat_search_state(struct chat_search *s, bool *ret_words, int64_t *ret_left);

/* Words, all of which must be there; "of a phrase" in quotes; -without. The last word may be the
 * beginning of one where no blank follows it. */
struct chat_search_ask {
	struct str text;
	struct str model;           /* answers of this one only; empty: all */
	int64_t from_ms, until_ms;  /* half-open; until_ms 0: no end */
	int64_t before;             /* a result's cursor: older ones; 0: the newest */
	unsigned limit;
};
/* What this person may see, newest first, as the reply of api/routes.json. Errors: ERR_INVALID
 * (nothing to look for, too many words), the database's. */
enum err chat_search_find(struct chat_search *s, const char *person,
	const struct chat_search_ask *ask, struct buf *ret_json, struct err_info *info);
