#include "chat/chat_int.h"

#include <errno.h>
#include <time.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "os/threads.h"

/* What is stored of one answer: copied under the lock, written without it. */
struct stored {
	struct stored *next;
	struct answer *answer; /* a reference */
	bool end;
	struct buf content, thinking, tokens, warnings, options, error, stats;
	char engine_build[64], template_hash[65];
};

static void stored_free(struct stored *s)
{
	buf_done(&s->content);
	buf_done(&s->thinking);
	buf_done(&s->tokens);
	buf_done(&s->warnings);
	buf_done(&s->options);
	buf_done(&s->error);
	buf_done(&s->stats);
	mem_free(s);
}

/* ---- copying ---- */

static void add_options(struct buf *out, const struct answer *a)
{
	struct jw w;
	if (a->seed < 0)
		return;
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "seed", a->seed);
	jw_end(&w);
}

static void add_error(struct buf *out, const struct answer *a)
{
	struct jw w;
	if (!a->error)
		return;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "slug", str_from(err_slug(a->error)));
	jw_kstr(&w, "text", str_from(a->error_text[0] ? a->error_text : err_text(a->error)));
	jw_end(&w);
}

static void add_stats(struct buf *out, const struct answer *a)
{
	struct jw w;
	if (!a->has_stats)
		return;
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "prompt_tokens", a->stats.prompt_tokens);
	jw_ki64(&w, "cached_tokens", a->stats.cached_tokens);
	jw_ki64(&w, "answer_tokens", a->stats.answer_tokens);
	jw_ki64(&w, "queue_ms", a->stats.queue_ns / 1000000);
	jw_ki64(&w, "prompt_ms", a->stats.prompt_ns / 1000000);
	jw_ki64(&w, "answer_ms", a->stats.answer_ns / 1000000);
	jw_end(&w);
}

static struct stored *copy_answer(struct answer *a)
{
	struct stored *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->content = s->thinking = s->tokens = BUF(LIMIT_ANSWER);
	s->warnings = s->options = s->error = s->stats = BUF(8192);
	s->end = a->phase == ANSWER_ENDED;
	memcpy(s->engine_build, a->engine_build, sizeof s->engine_build);
	memcpy(s->template_hash, a->template_hash, sizeof s->template_hash);
	enum err e = buf_add(&s->content, buf_str(&a->content.text));
	if (!e)
		e = buf_add(&s->thinking, buf_str(&a->thinking.text));
	if (!e)
		e = buf_add(&s->tokens, buf_str(&a->tokens));
	if (!e && a->warnings.len)
		e = buf_addf(&s->warnings, "[%.*s]", STR_ARG(buf_str(&a->warnings)));
	add_options(&s->options, a);
	add_error(&s->error, a);
	add_stats(&s->stats, a);
	if (e || s->options.err || s->error.err || s->stats.err) {
		stored_free(s);
		return NULL;
	}
	s->answer = a;
	a->refs++;
	a->writing = true;
	a->dirty = false;
	return s;
}

static bool due(const struct answer *a, int64_t now, bool all)
{
	if (a->writing || a->phase == ANSWER_DROPPED)
		return false;
	if (a->phase == ANSWER_ENDED)
		return true;
	return a->dirty &&
	       (all || now - a->dirty_since_ms >= CHAT_FLUSH_MS ||
		       a->tokens.len - a->tokens_stored >= CHAT_FLUSH_TOKENS * sizeof(int32_t));
}

static struct stored *collect(struct chats *c, bool all)
{
	struct stored *list = NULL;
	int64_t now = time_mono_ms();
	if (c->retry_at_ms && now < c->retry_at_ms && !all)
		return NULL;
	for (struct answer *a = c->answers; a; a = a->next) {
		if (!due(a, now, all))
			continue;
		struct stored *s = copy_answer(a);
		if (!s) { /* no memory: the next round */
			c->retry_at_ms = now + CHAT_RETRY_MS;
			break;
		}
		s->next = list;
		list = s;
	}
	return list;
}

/* ---- writing ---- */

static struct str or_null(const struct buf *b) { return b->len ? buf_str(b) : STR_NONE; }
static struct str or_empty(const struct buf *b)
{
	return b->len ? buf_str(b) : (struct str){ "", 0 };
}

static enum err store_one(struct db_conn *conn, const struct stored *s)
{
	struct db_row r;
	TRY(db_query(conn, s->end ? &Q_ANSWER_END : &Q_ANSWER_FLUSH, &r));
	db_bind_str(&r, 1, str_from(s->answer->id));
	db_bind_str(&r, 2, or_empty(&s->content));
	db_bind_str(&r, 3, or_empty(&s->thinking));
	if (!s->end)
		db_bind_blob(&r, 4, or_null(&s->tokens));
	db_bind_str(&r, 5, s->engine_build[0] ? str_from(s->engine_build) : STR_NONE);
	db_bind_str(&r, 6, s->template_hash[0] ? str_from(s->template_hash) : STR_NONE);
	db_bind_str(&r, 7, or_null(&s->options));
	db_bind_str(&r, 8, or_null(&s->warnings));
	db_bind_i64(&r, 9, time_now_ms());
	if (s->end) {
		db_bind_str(&r, 10, str_from(s->answer->end_state));
		db_bind_str(&r, 11, or_null(&s->error));
		db_bind_str(&r, 12, or_null(&s->stats));
	}
	return db_run(&r);
}

static enum err store_all(struct db_conn *conn, void *arg)
{
	for (const struct stored *s = arg; s; s = s->next)
		TRY(store_one(conn, s));
	return OK;
}

/* ---- after the commit ---- */

/* Takes note of what is durable now. True: an end that pages must hear of. */
static bool settle(struct chats *c, const struct stored *s, enum err e)
{
	struct answer *a = s->answer;
	bool tell = false;
	pthread_mutex_lock(&c->lock);
	a->writing = false;
	if (e) {
		a->dirty = true;
		c->retry_at_ms = time_mono_ms() + CHAT_RETRY_MS;
	} else {
		c->retry_at_ms = 0;
		a->tokens_stored = s->tokens.len;
		if (s->end && a->phase == ANSWER_ENDED) {
			tell = true;
			answer_unlist(a);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return tell;
}

static void store(struct chats *c, struct stored *list, bool quiet)
{
	enum err e = db_write(c->opt.db, store_all, list);
	if (e && !c->retry_at_ms)
		log_error("answers not stored, trying again", KV_ERR(e));
	for (struct stored *s = list, *next; s; s = next) {
		next = s->next;
		bool ended = settle(c, s, e);
		if (ended)
			chat_search_poke(c->opt.search);
		if (ended && !quiet) {
			tell_message(c, s->answer->person, str_from(s->answer->conversation),
				     str_from(s->answer->id));
			tell_conversation(c, str_from(s->answer->conversation));
		}
		pthread_mutex_lock(&c->lock);
		answer_unref(s->answer);
		pthread_mutex_unlock(&c->lock);
		stored_free(s);
	}
}

/* ---- the thread ---- */

/* Monotonic ms when the next answer is due; -1: nothing waits. Lock held. */
static int64_t next_due(const struct chats *c)
{
	int64_t at = -1;
	for (const struct answer *a = c->answers; a; a = a->next)
		if (a->dirty && !a->writing && (at < 0 || a->dirty_since_ms + CHAT_FLUSH_MS < at))
			at = a->dirty_since_ms + CHAT_FLUSH_MS;
	return c->retry_at_ms && (at < 0 || at < c->retry_at_ms) ? c->retry_at_ms : at;
}

static void wait_until(struct chats *c, int64_t at_ms)
{
	if (at_ms < 0) {
		pthread_cond_wait(&c->wake, &c->lock);
		return;
	}
	struct timespec t;
	int64_t left = at_ms - time_mono_ms(); /* our clock may be a test's; the wait is real */
	if (left < 1)
		left = 1;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += left / 1000;
	t.tv_nsec += left % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)pthread_cond_timedwait(&c->wake, &c->lock, &t);
}

static void *flush_main(void *arg)
{
	struct chats *c = arg;
	pthread_mutex_lock(&c->lock);
	while (!c->closing) {
		struct stored *list = collect(c, false);
		if (!list) {
			wait_until(c, next_due(c));
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		store(c, list, false);
		pthread_mutex_lock(&c->lock);
	}
	struct stored *last = collect(c, true); /* a restart goes on from here */
	pthread_mutex_unlock(&c->lock);
	if (last)
		store(c, last, true);
	return NULL;
}

enum err flush_start(struct chats *c)
{
	TRY(thread_start("chat-flush", 256 * 1024, flush_main, c, &c->thread));
	c->thread_up = true;
	return OK;
}

void flush_stop(struct chats *c)
{
	if (!c->thread_up)
		return;
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	c->thread_up = false;
}
