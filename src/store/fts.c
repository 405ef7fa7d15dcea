/* The tokenizer "words" of FTS5: src/words, with the dictionary the database was opened with. */
#include "store/db_int.h"
#include "words/words.h"

struct telling {
	void *arg;
	int (*token)(void *arg, int flags, const char *term, int n, int from, int to);
	int rc;
};

static enum err tell(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	struct telling *t = arg;
	t->rc = t->token(t->arg, beside ? FTS5_TOKEN_COLOCATED : 0, term.ptr, (int)term.len,
		(int)from, (int)to);
	return t->rc ? ERR_CANCELLED : OK;
}

static int create(void *dict, const char **args, int n, Fts5Tokenizer **ret)
{
	struct words *w = NULL;
	if (words_new(dict, &w))
		return SQLITE_NOMEM;
	*ret = (Fts5Tokenizer *)w;
	return SQLITE_OK;
}

static void delete(Fts5Tokenizer *w)
{
	(void)words_free((struct words *)w);
}

static int tokenize(Fts5Tokenizer *w, void *arg, int flags, const char *text, int n,
	int (*token)(void *, int, const char *, int, int, int))
{
	struct telling t = { .arg = arg, .token = token };
	enum words_for what = flags & FTS5_TOKENIZE_PREFIX  ? WORDS_BEGINNING
			      : flags & FTS5_TOKENIZE_QUERY ? WORDS_QUESTION
							    : WORDS_TEXT;
	enum err e = words_each(
		(struct words *)w, (struct str){ text, n > 0 ? (size_t)n : 0 }, what, tell, &t);
	return t.rc ? t.rc : e ? SQLITE_NOMEM : SQLITE_OK;
}

static enum err fts5_of(struct db_conn *c, fts5_api **ret)
{
	sqlite3_stmt *s = NULL;
	*ret = NULL;
	int rc = sqlite3_prepare_v2(c->h, "SELECT fts5(?1)", -1, &s, NULL);
	if (!rc) {
		(void)sqlite3_bind_pointer(s, 1, ret, "fts5_api_ptr", NULL);
		(void)sqlite3_step(s);
	}
	rc = sqlite3_finalize(s);
	return *ret ? OK : rc ? db_error(rc) : ERR_INTERNAL;
}

enum err db_conn_words(struct db_conn *c, const struct words_dict *d)
{
	fts5_tokenizer t = { create, delete, tokenize };
	fts5_api *api;
	TRY(fts5_of(c, &api));
	return db_error(api->xCreateTokenizer(api, "words", (void *)(uintptr_t)d, &t, NULL));
}
