/* GET /team/v1/events: one stream of server-sent events per browser.
 *
 * A stream is in the list from its start to its on_close. Locks: events.lock is held only to walk
 * the list and to write (http_write never blocks and never calls back), never around the hub. */
#include "api/team/team.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/fault.h"
#include "base/time.h"
#include "chat/hub.h"
#include "os/threads.h"

enum { PING_MS = 20 * 1000, TICK_MS = 1000, STREAM_MAX_MS = 12 * 3600 * 1000 };

struct stream {
	struct stream *next, *prev;
	struct events *events;
	struct chat_hub *hub;
	struct http_req *q;         /* held until the hub was left */
	char person[ID_LEN + 1];
	uint8_t session_hash[32];
	_Atomic uint64_t hub_id;    /* 0: not joined yet */
	_Atomic bool closed, left;
	_Atomic int64_t last_ms;
	int64_t since_ms;
};
struct events {
	pthread_mutex_t lock;
	pthread_cond_t stop;
	struct stream *first;
	pthread_t thread;
	bool stopping;
};

static void write_event(struct stream *s, struct str json)
{
	AUTO_BUF struct buf b = BUF(json.len + 64);
	(void)buf_add(&b, STR("data: "));
	(void)buf_add(&b, json);
	(void)buf_add(&b, STR("\n\n"));
	if (!b.err)
		(void)!!http_write(s->q, buf_str(&b));
	s->last_ms = time_mono_ms();
}

static void on_event(struct str json, void *arg)
{
	write_event(arg, json);
}

static void leave_once(struct stream *s)
{
	if (atomic_exchange(&s->left, true))
		return;
	hub_leave(s->hub, s->hub_id);
	http_release(s->q); /* `s` lives in its arena: gone now */
}

static void unlink_stream(struct stream *s)
{
	struct events *e = s->events;
	pthread_mutex_lock(&e->lock);
	if (s->next)
		s->next->prev = s->prev;
	if (s->prev)
		s->prev->next = s->next;
	else
		e->first = s->next;
	pthread_mutex_unlock(&e->lock);
}

static void on_close(void *arg)
{
	struct stream *s = arg;
	unlink_stream(s);
	s->closed = true;
	if (s->hub_id)
		leave_once(s); /* else the handler, which is joining, does it */
}

static struct stream *new_stream(struct call *c)
{
	struct events *e = c->app->state->events;
	struct stream *s = ARENA_NEW(c->arena, struct stream);
	if (!s)
		return NULL;
	s->events = e;
	s->hub = c->app->hub;
	s->q = c->q;
	s->since_ms = time_mono_ms();
	s->last_ms = s->since_ms;
	memcpy(s->person, c->who.person, sizeof s->person);
	memcpy(s->session_hash, c->who.session_hash, sizeof s->session_hash);
	pthread_mutex_lock(&e->lock);
	s->next = e->first;
	if (s->next)
		s->next->prev = s;
	e->first = s;
	pthread_mutex_unlock(&e->lock);
	return s;
}

static enum err hello(struct call *c, struct stream *s)
{
	AUTO_BUF struct buf b = BUF(256);
	struct jw w;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("hello"));
	jw_ki64(&w, "server_start_ms", c->app->config.start_ms);
	jw_end(&w);
	TRY(b.err);
	write_event(s, buf_str(&b));
	return OK;
}

enum err team_events(struct call *c)
{
	uint64_t id = 0;
	if (!c->who.person[0])
		return ERR_FORBIDDEN;
	struct stream *s = new_stream(c);
	if (!s)
		return ERR_NOMEM;
	http_hold(c->q);
	http_stream(c->q, 200, "text/event-stream", on_close, s);
	enum err e = hello(c, s);
	if (!e)
		e = hub_join(c->app->hub, s->person, on_event, s, &id);
	if (e) { /* the status is out already: the stream ends, the page comes again */
		s->left = true;
		http_finish(c->q);
		http_release(c->q);
		return OK;
	}
	s->hub_id = id;
	if (s->closed)
		leave_once(s);
	return OK;
}

/* ---- ending from outside ---- */

static void end_one(struct stream *s)
{
	write_event(s, STR("{\"type\":\"session_ended\"}"));
	http_finish(s->q);
}

static void end_some(struct app *a, const char *person, const uint8_t *hash, bool others)
{
	struct events *e = a->state->events;
	pthread_mutex_lock(&e->lock);
	for (struct stream *s = e->first; s; s = s->next) {
		bool same = hash && memcmp(s->session_hash, hash, sizeof s->session_hash) == 0;
		if (strcmp(s->person, person) == 0 && (others ? !same : !hash || same))
			end_one(s);
	}
	pthread_mutex_unlock(&e->lock);
}

void events_end(struct app *a, const char *person, const uint8_t *session_hash)
{
	end_some(a, person, session_hash, false);
}

void events_end_others(struct app *a, const char *person, const uint8_t *session_hash)
{
	end_some(a, person, session_hash, true);
}

/* ---- the pinger ---- */

static void tick(struct events *e)
{
	int64_t now = time_mono_ms();
	for (struct stream *s = e->first; s; s = s->next) {
		if (now - s->since_ms > STREAM_MAX_MS) {
			http_finish(s->q); /* the page comes again, with a session looked at anew */
		} else if (now - s->last_ms >= PING_MS) {
			(void)!!http_write(s->q, STR(": ping\n\n"));
			s->last_ms = now;
		}
	}
}

static void *ping_main(void *arg)
{
	struct events *e = arg;
	pthread_mutex_lock(&e->lock);
	while (!e->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += TICK_MS / 1000;
		pthread_cond_timedwait(&e->stop, &e->lock, &until);
		tick(e);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

enum err events_new(struct events **ret)
{
	struct events *e = mem_zalloc(1, sizeof *e);
	if (!e)
		return ERR_NOMEM;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->stop, NULL);
	enum err err = thread_start("api-ping", 64 * 1024, ping_main, e, &e->thread);
	if (err) {
		mem_free(e);
		return err;
	}
	*ret = e;
	return OK;
}

struct events *events_free(struct events *e)
{
	if (!e)
		return NULL;
	pthread_mutex_lock(&e->lock);
	e->stopping = true;
	pthread_cond_signal(&e->stop);
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	pthread_cond_destroy(&e->stop);
	pthread_mutex_destroy(&e->lock);
	mem_free(e);
	return NULL;
}
