#include "vault/audit.h"

#include <pthread.h>

#include "base/fault.h"
#include "base/json.h"
#include "vault/audit_log.h"

/* Callers join the open batch. Whoever finds none in flight becomes the leader and sends it; while
 * it is in flight the next batch gathers. So one fsync serves all who came meanwhile. */
enum { BATCH_BYTES = 40 * 1024, TIMEOUT_MS = 15000, OBJECT_MAX = 400, SHORT_MAX = 200 };

struct batch {
	struct buf text;                /* events one behind the other */
	size_t ends[AUDIT_BATCH_MAX], n;
	unsigned users;
	bool done;
	enum err result;
};
struct audit {
	struct keeper_link *keeper;     /* borrowed */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct batch *open;             /* gathering; NULL: none */
	bool in_flight;
};

enum err audit_new(struct keeper_link *k, struct audit **ret)
{
	struct audit *a = mem_zalloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->keeper = k;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->changed, NULL);
	*ret = a;
	return OK;
}

struct audit *audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	(void)pthread_cond_destroy(&a->changed);
	(void)pthread_mutex_destroy(&a->lock);
	mem_free(a);
	return NULL;
}

static void put(struct jw *w, const char *key, struct str s, size_t max)
{
	if (s.len == 0)
		return;
	s = str_sub(s, 0, max);
	s.len = str_utf8_whole(s);
	jw_kstr(w, key, s);
}

static enum err event_json(const struct audit_event *e, struct buf *out)
{
	static const char *const roles[] = {
		[PERSON_NONE] = "none", [PERSON_MEMBER] = "member", [PERSON_ADMIN] = "admin",
		[PERSON_OWNER] = "owner", [PERSON_LOCAL] = "local",
	};
	const struct subject *s = e->who;
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "actor", s && s->role == PERSON_LOCAL ? STR("local")
			     : str_from(s ? s->person : ""));
	jw_kstr(&w, "role", str_from(roles[s ? s->role : PERSON_NONE]));
	if (s && s->by_key)
		jw_kbool(&w, "key", true);
	put(&w, "action", str_from(e->action), SHORT_MAX);
	put(&w, "object", e->object, OBJECT_MAX);
	put(&w, "outcome", str_from(e->outcome), SHORT_MAX);
	put(&w, "address", e->address, SHORT_MAX);
	put(&w, "request", e->request_id, SHORT_MAX);
	put(&w, "note", e->note, SHORT_MAX);
	jw_end(&w);
	return out->err;
}

/* Outside the lock: blocks until the keeper says that all of it is durable. */
static enum err send(struct audit *a, const struct batch *b)
{
	struct err_info info = { .code = OK };
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	AUTO_IPC_OUT struct ipc_out out;
	size_t at = 0;
	ipc_out_init(&out, ASK_AUDIT, 0);
	ipc_put_u64(&out, b->n);
	for (size_t i = 0; i < b->n; at = b->ends[i++])
		ipc_put_str(&out, str_sub(buf_str(&b->text), at, b->ends[i] - at));
	TRY(keeper_call(a->keeper, &out, TIMEOUT_MS, &in, &info));
	(void)ipc_get_u64(&in); /* number of the first record */
	return ipc_end(&in);
}

static bool fits(const struct batch *b, size_t bytes)
{
	return b->n < AUDIT_BATCH_MAX && (b->n == 0 || b->text.len + bytes <= BATCH_BYTES);
}

/* Under the lock: joins the open batch or begins one; waits while the open one is full. */
static enum err join(struct audit *a, struct str event, struct batch **ret)
{
	while (a->open && !fits(a->open, event.len))
		pthread_cond_wait(&a->changed, &a->lock);
	if (!a->open) {
		struct batch *b = mem_zalloc(1, sizeof *b);
		if (!b)
			return ERR_NOMEM;
		b->text = BUF(BATCH_BYTES + LIMIT_AUDIT_EVENT);
		a->open = b;
	}
	struct batch *b = a->open;
	enum err e = buf_add(&b->text, event);
	if (e) {
		if (b->users == 0) {
			a->open = NULL;
			buf_done(&b->text);
			mem_free(b);
		}
		return e;
	}
	b->ends[b->n++] = b->text.len;
	b->users++;
	*ret = b;
	return OK;
}

/* Under the lock. */
static void lead(struct audit *a, struct batch *b)
{
	a->open = NULL;
	a->in_flight = true;
	pthread_cond_broadcast(&a->changed); /* whoever found it full begins the next */
	pthread_mutex_unlock(&a->lock);
	enum err e = send(a, b);
	pthread_mutex_lock(&a->lock);
	a->in_flight = false;
	b->done = true;
	b->result = e;
	pthread_cond_broadcast(&a->changed);
}

enum err audit_write(struct audit *a, const struct audit_event *e)
{
	AUTO_BUF struct buf event = BUF(LIMIT_AUDIT_EVENT);
	struct batch *b = NULL;
	TRY(event_json(e, &event));
	pthread_mutex_lock(&a->lock);
	enum err r = join(a, buf_str(&event), &b);
	while (!r && !b->done) {
		if (!a->in_flight)
			lead(a, b); /* then b is still the open one */
		else
			pthread_cond_wait(&a->changed, &a->lock);
	}
	if (!r) {
		r = b->result;
		if (--b->users == 0) {
			buf_done(&b->text);
			mem_free(b);
		}
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}
