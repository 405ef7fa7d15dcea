/* The index: what is taken in, and when. What is asked of it: search_find.c. */
#include "chat/search_int.h"

#include <time.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "os/threads.h"

enum {
	BATCH_MESSAGES = 32,
	BATCH_BYTES = 64 * 1024, /* of text in one transaction: others write, too */
	RETRY_MS = 1000,
	TIDY_PAGES = 64,         /* a step */
	TIDY_PAUSE_MS = 20,
};

/* ---- taking in ---- */

/* A person's id as a word of its own: one with a digit has no stem. */
void search_who(const char *person, char ret[SEARCH_WHO_MAX])
{
	(void)snprintf(ret, SEARCH_WHO_MAX, "0%.*s", ID_LEN, person);
}

static enum err run_id(struct db_conn *c, const struct sql *q, int64_t id)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	db_bind_i64(&r, 1, id);
	return db_run(&r);
}

static enum err run_text(struct db_conn *c, const struct sql *q, const char *text)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	db_bind_str(&r, 1, str_from(text));
	return db_run(&r);
}

static enum err run(struct db_conn *c, const struct sql *q)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	return db_run(&r);
}

/* The first column of the only row. ERR_NOT_FOUND. */
static enum err number(struct db_conn *c, const struct sql *q, int64_t id, int64_t *ret)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	if (id)
		db_bind_i64(&r, 1, id);
	bool found = db_next(&r);
	*ret = found ? db_col_i64(&r, 0) : 0;
	TRY(db_end(&r));
	return found ? OK : ERR_NOT_FOUND;
}

/* One part of a message. A message's first part ends what the index had of it. */
struct part {
	char message[ID_LEN + 1];
	int64_t at; /* of the message's text, bytes */
};

static enum err add_row(struct db_conn *c, const struct part *p, int64_t created_ms, int64_t *ret)
{
	struct db_row r;
	int64_t ms = created_ms > 0 ? created_ms : 1;
	if (!p->at) {
		TRY(run_text(c, &Q_SEARCH_DROP, p->message));
		TRY(run_text(c, &Q_SEARCH_ROWS_DROP, p->message));
	}
	TRY(number(c, &Q_SEARCH_FREE_ID, ms << SEARCH_ID_SHIFT, ret));
	TRY(db_query(c, &Q_SEARCH_ROW_ADD, &r));
	db_bind_i64(&r, 1, *ret);
	db_bind_str(&r, 2, str_from(p->message));
	db_bind_i64(&r, 3, p->at);
	return db_run(&r);
}

static enum err add_part(struct db_conn *c, const struct part *p, struct str person,
	int64_t created_ms, struct str said)
{
	struct db_row r;
	char id_of[ID_LEN + 1], who[SEARCH_WHO_MAX];
	int64_t id;
	TRY(str_copy(person, id_of, sizeof id_of));
	TRY(add_row(c, p, created_ms, &id));
	search_who(id_of, who);
	TRY(db_query(c, &Q_SEARCH_ADD, &r));
	db_bind_i64(&r, 1, id);
	db_bind_str(&r, 2, str_from(who));
	db_bind_str(&r, 3, said);
	return db_run(&r);
}

/* What of the text goes into one row: up to the end of a word, where one is near. */
static struct str cut(struct str text)
{
	struct str part = str_sub(text, 0, SEARCH_PART_BYTES);
	if (part.len == text.len)
		return part;
	for (size_t n = part.len; n > part.len - SEARCH_PART_BYTES / 8; n--)
		if (part.ptr[n - 1] == ' ' || part.ptr[n - 1] == '\n')
			return str_sub(part, 0, n);
	size_t whole = str_utf8_whole(part);
	return str_sub(part, 0, whole ? whole : part.len);
}

static enum err go_on(struct db_conn *c, const char *message, int64_t at)
{
	struct db_row r;
	TRY(db_query(c, &Q_SEARCH_GO_ON, &r));
	db_bind_str(&r, 1, str_from(message));
	db_bind_i64(&r, 2, at);
	return db_run(&r);
}

static enum err take_in(struct db_conn *c, const struct part *p, size_t *bytes)
{
	struct db_row r;
	enum err e = OK;
	size_t end = 0, len = 0;
	TRY(db_query(c, &Q_SEARCH_TEXT, &r));
	db_bind_str(&r, 1, str_from(p->message));
	if (db_next(&r)) {
		struct str text = db_col_str(&r, 0);
		struct str part = cut(str_sub(text, (size_t)p->at, SIZE_MAX));
		e = add_part(c, p, db_col_str(&r, 1), db_col_i64(&r, 2), part);
		len = text.len;
		end = (size_t)p->at + part.len;
		*bytes += part.len;
	}
	enum err ended = db_end(&r);
	TRY(e);
	TRY(ended);
	return end < len ? go_on(c, p->message, (int64_t)end)
			 : run_text(c, &Q_SEARCH_DONE, p->message);
}

static enum err batch_in(struct db_conn *c, void *arg)
{
	struct part part[BATCH_MESSAGES];
	bool *all = arg;
	struct db_row r;
	unsigned n = 0, done = 0;
	size_t bytes = 0;
	TRY(db_query(c, &Q_SEARCH_TODO, &r));
	db_bind_i64(&r, 1, BATCH_MESSAGES);
	for (; n < BATCH_MESSAGES && db_next(&r); n++) {
		TRY(str_copy(db_col_str(&r, 0), part[n].message, sizeof part[n].message));
		part[n].at = db_col_i64(&r, 1);
	}
	TRY(db_end(&r));
	*all = !n;
	while (done < n && bytes < BATCH_BYTES)
		TRY(take_in(c, &part[done++], &bytes));
	return OK;
}

/* ---- another dictionary; what was deleted ---- */

static enum err set_state(struct db_conn *c, int64_t words, int64_t deleted)
{
	struct db_row r;
	TRY(db_query(c, &Q_SEARCH_STATE_SET, &r));
	db_bind_i64(&r, 1, words);
	db_bind_i64(&r, 2, deleted);
	return db_run(&r);
}

static enum err get_state(struct db_conn *c, int64_t *words, int64_t *deleted)
{
	struct db_row r;
	TRY(db_query(c, &Q_SEARCH_STATE, &r));
	bool found = db_next(&r) && !db_col_null(&r, 0);
	*words = found ? db_col_i64(&r, 0) : -1;
	*deleted = db_col_i64(&r, 1);
	return db_end(&r);
}

static enum err same_words(struct db_conn *c, void *arg)
{
	const struct chat_search *s = arg;
	int64_t had, deleted, want = s->dict ? (int64_t)words_dict_id(s->dict) : 0;
	TRY(get_state(c, &had, &deleted));
	if (had == want)
		return OK;
	if (had != -1) {
		TRY(run(c, &Q_SEARCH_EMPTY));
		TRY(run(c, &Q_SEARCH_ROWS_EMPTY));
		TRY(run(c, &Q_SEARCH_TODO_ALL));
	}
	return set_state(c, want, 0);
}

struct tidy {
	bool first, all;
	int64_t deleted; /* rows before it began; what is deleted meanwhile is left to the next */
};

/* One step of writing the index's parts together, which leaves deleted terms behind. */
static enum err tidy_step(struct db_conn *c, void *arg)
{
	struct tidy *t = arg;
	int64_t before, after, words, deleted;
	TRY(get_state(c, &words, &deleted));
	TRY(number(c, &Q_SEARCH_CHANGES, 0, &before));
	TRY(run_id(c, &Q_SEARCH_MERGE, t->first ? -TIDY_PAGES : TIDY_PAGES));
	TRY(number(c, &Q_SEARCH_CHANGES, 0, &after));
	t->first = false;
	t->all = after - before < 2; /* as FTS5 says that nothing was left to do */
	return t->all ? set_state(c, words, deleted - t->deleted) : OK;
}

static enum err deleted_rows(struct db_conn *c, void *arg)
{
	int64_t words;
	return get_state(c, &words, arg);
}

/* ---- the thread ---- */

/* Until somebody pokes, or `ms` are over. Lock held. */
static void rest(struct chat_search *s, int64_t ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)pthread_cond_timedwait(&s->wake, &s->lock, &t);
}

static bool closing(struct chat_search *s)
{
	pthread_mutex_lock(&s->lock);
	bool is = s->closing;
	pthread_mutex_unlock(&s->lock);
	return is;
}

static void pause_ms(struct chat_search *s, int64_t ms)
{
	pthread_mutex_lock(&s->lock);
	if (!s->closing)
		rest(s, ms);
	pthread_mutex_unlock(&s->lock);
}

static enum err tidy(struct chat_search *s)
{
	struct tidy t = { .first = true };
	TRY(db_read(s->db, deleted_rows, &t.deleted));
	while (t.deleted && !t.all && !closing(s)) {
		TRY(db_write(s->db, tidy_step, &t));
		pause_ms(s, TIDY_PAUSE_MS);
	}
	return OK;
}

/* Takes in all there is. */
static enum err catch_up(struct chat_search *s)
{
	bool all = false;
	while (!all && !closing(s))
		TRY(db_write(s->db, batch_in, &all));
	return OK;
}

static void *index_main(void *arg)
{
	struct chat_search *s = arg;
	int64_t tidy_at = 0; /* at once: what a stopped server left */
	bool told = false, same = false;
	pthread_mutex_lock(&s->lock);
	while (!s->closing) {
		s->poked = false;
		pthread_mutex_unlock(&s->lock);
		enum err e = same ? OK : db_write(s->db, same_words, s);
		same = !e;
		e = e ? e : catch_up(s);
		if (!e && time_mono_ms() >= tidy_at) {
			e = tidy(s);
			tidy_at = time_mono_ms() + SEARCH_TIDY_MS;
		}
		if (e && !told)
			log_error("the search index was not brought up to date, trying again",
				KV_ERR(e));
		told = e != OK;
		pthread_mutex_lock(&s->lock);
		if (!s->closing && (e || !s->poked))
			rest(s, e ? RETRY_MS : SEARCH_TIDY_MS);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void chat_search_poke(struct chat_search *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->poked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

enum err chat_search_new(struct db *db, const struct words_dict *words, struct chat_search **ret)
{
	AUTO(chat_search) struct chat_search *s = mem_zalloc(1, sizeof *s);
	pthread_condattr_t a;
	if (!s)
		return ERR_NOMEM;
	s->db = db;
	s->dict = words;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, &a);
	pthread_condattr_destroy(&a);
	s->lock_up = true;
	TRY(thread_start("chat-search", 256 * 1024, index_main, s, &s->thread));
	s->thread_up = true;
	*ret = TAKE(s);
	return OK;
}

struct chat_search *chat_search_free(struct chat_search *s)
{
	if (!s)
		return NULL;
	if (s->thread_up) {
		pthread_mutex_lock(&s->lock);
		s->closing = true;
		pthread_cond_broadcast(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	if (s->lock_up) {
		pthread_mutex_destroy(&s->lock);
		pthread_cond_destroy(&s->wake);
	}
	mem_free(s);
	return NULL;
}
