#include "base/json.h"
#include "base/random.h"
#include "chat/search_int.h"

struct finding {
	struct words *words;
	struct search_terms terms;
	struct buf match;
	const char *person;
	const struct chat_search_ask *ask;
	struct jw w;
};

static enum err put_result(struct finding *f, struct db_row *r)
{
	struct jw *w = &f->w;
	jw_obj(w);
	jw_kstr(w, "message", db_col_str(r, 1));
	jw_kstr(w, "role", db_col_str(r, 2));
	jw_ki64(w, "created_ms", db_col_i64(r, 3));
	jw_kstr(w, "conversation", db_col_str(r, 5));
	jw_kstr(w, "title", db_col_str(r, 6));
	if (!db_col_null(r, 7))
		jw_kstr(w, "model", db_col_str(r, 7));
	jw_key(w, "said");
	/* a little more than the row's part, so that what follows it is shown */
	struct str said = str_sub(
		db_col_str(r, 4), (size_t)db_col_i64(r, 8), SEARCH_PART_BYTES + 1024);
	said.len = str_utf8_whole(said);
	TRY(search_snippet(f->words, &f->terms, said, w));
	jw_end(w);
	return OK;
}

static enum err put_results(struct db_conn *c, struct finding *f, int64_t *ret_next)
{
	const struct chat_search_ask *a = f->ask;
	int64_t until = a->until_ms > 0 ? a->until_ms << SEARCH_ID_SHIFT : INT64_MAX, last = 0;
	char message[ID_LEN + 1] = "";
	struct db_row r;
	unsigned n = 0;
	enum err e = OK;
	if (a->before > 0 && a->before < until)
		until = a->before;
	TRY(db_query(c, &Q_SEARCH_FIND, &r));
	db_bind_str(&r, 1, buf_str(&f->match));
	db_bind_i64(&r, 2, a->from_ms > 0 ? a->from_ms << SEARCH_ID_SHIFT : 0);
	db_bind_i64(&r, 3, until);
	db_bind_str(&r, 4, str_from(f->person));
	db_bind_str(&r, 5, a->model.len ? a->model : STR_NONE);
	while (!e && db_next(&r)) {
		if (str_eq(db_col_str(&r, 1), str_from(message))) {
			last = db_col_i64(&r, 0); /* another part of the one shown */
			continue;
		}
		if (n++ == a->limit) {
			*ret_next = last;
			break;
		}
		last = db_col_i64(&r, 0);
		e = str_copy(db_col_str(&r, 1), message, sizeof message);
		e = e ? e : put_result(f, &r);
	}
	enum err end = db_end(&r);
	return e ? e : end;
}

static enum err count_left(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_SEARCH_LEFT, &r));
	*(int64_t *)arg = db_next(&r) ? db_col_i64(&r, 0) : 0;
	return db_end(&r);
}

static enum err find(struct db_conn *c, void *arg)
{
	struct finding *f = arg;
	int64_t next = 0, left = 0;
	jw_obj(&f->w);
	jw_key(&f->w, "results");
	jw_arr(&f->w);
	TRY(put_results(c, f, &next));
	jw_end(&f->w);
	if (next) {
		char cursor[24];
		(void)snprintf(cursor, sizeof cursor, "%lld", (long long)next);
		jw_kstr(&f->w, "next", str_from(cursor));
	}
	TRY(count_left(c, &left));
	jw_ki64(&f->w, "left", left);
	jw_end(&f->w);
	return OK;
}

enum err chat_search_state(struct chat_search *s, bool *ret_words, int64_t *ret_left)
{
	*ret_words = s->dict != NULL;
	return db_read(s->db, count_left, ret_left);
}

enum err chat_search_find(struct chat_search *s, const char *person,
	const struct chat_search_ask *ask, struct buf *ret_json, struct err_info *info)
{
	AUTO(words) struct words *w = NULL;
	struct finding f = { .match = BUF(32 * SEARCH_TEXT_MAX), .person = person, .ask = ask };
	TRY(words_new(s->dict, &w));
	f.words = w;
	jw_init(&f.w, ret_json);
	enum err e = search_ask(w, person, ask->text, &f.match, &f.terms, info);
	if (!e)
		e = db_read(s->db, find, &f);
	buf_done(&f.match);
	return e ? e : ret_json->err;
}
