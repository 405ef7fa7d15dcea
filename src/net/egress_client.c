#include "net/egress_client.h"

#include <pthread.h>
#include <unistd.h>

#include "base/fault.h"

struct waiting {
	uint64_t id;
	egress_sink sink;
	void *arg;
};
struct egress_client {
	pthread_mutex_t lock; /* all below; never held while a sink runs */
	struct ipc *channel;  /* NULL: no egress now. Replaced and freed by the IPC thread only */
	struct allow *allow;
	struct waiting at[EGRESS_FETCHES_MAX];
	size_t n;
	uint64_t next_id;
};

enum err egress_client_new(struct egress_client **ret)
{
	AUTO(egress_client) struct egress_client *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	if (pthread_mutex_init(&c->lock, NULL)) {
		mem_free(TAKE(c));
		return ERR_NOMEM;
	}
	c->allow = mem_zalloc(1, sizeof *c->allow);
	if (!c->allow)
		return ERR_NOMEM;
	allow_defaults(c->allow);
	*ret = TAKE(c);
	return OK;
}

/* Takes a waiting fetch out; false: unknown. With the lock held. */
static bool take(struct egress_client *c, uint64_t id, struct waiting *ret)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->at[i].id == id) {
			*ret = c->at[i];
			c->at[i] = c->at[--c->n];
			return true;
		}
	}
	return false;
}

static void fail_one(const struct waiting *w, enum err e)
{
	const struct egress_event ev = {
		.kind = EGRESS_EV_FAILED,
		.failed = { .code = e, .detail = str_from(err_text(e)) },
	};
	w->sink(&ev, w->arg);
}

/* Ends every fetch that is out. */
static void fail_all(struct egress_client *c)
{
	for (;;) {
		struct waiting w = { 0 };
		pthread_mutex_lock(&c->lock);
		bool any = c->n > 0;
		if (any)
			w = c->at[--c->n];
		pthread_mutex_unlock(&c->lock);
		if (!any)
			return;
		fail_one(&w, ERR_CLOSED);
	}
}

static void drop_channel(struct egress_client *c)
{
	pthread_mutex_lock(&c->lock);
	c->channel = ipc_free(c->channel);
	pthread_mutex_unlock(&c->lock);
	fail_all(c);
}

struct egress_client *egress_client_free(struct egress_client *c)
{
	if (!c)
		return NULL;
	drop_channel(c);
	mem_free(c->allow);
	(void)pthread_mutex_destroy(&c->lock);
	mem_free(c);
	return NULL;
}

/* With the lock held: sending only queues, so it is short. */
static enum err send_policy(struct egress_client *c)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_MEM struct egress_policy_entry *e = mem_zalloc(ALLOW_MAX, sizeof *e);
	if (!e)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->allow->n; i++)
		e[i] = (struct egress_policy_entry){ str_from(c->allow->at[i].host),
			c->allow->at[i].port, c->allow->at[i].plain, c->allow->at[i].push };
	ipc_out_init(&m, EGRESS_POLICY, 0);
	egress_policy_put(&m, e, c->allow->n);
	return ipc_send(c->channel, &m);
}

enum err egress_client_attach(struct egress_client *c, struct ipc *channel)
{
	drop_channel(c);
	pthread_mutex_lock(&c->lock);
	c->channel = channel;
	enum err e = send_policy(c);
	pthread_mutex_unlock(&c->lock);
	if (e)
		drop_channel(c);
	return e;
}

enum err egress_client_policy(struct egress_client *c, const struct allow *a)
{
	pthread_mutex_lock(&c->lock);
	*c->allow = *a;
	enum err e = c->channel ? send_policy(c) : OK;
	pthread_mutex_unlock(&c->lock);
	return e;
}

void egress_client_allow(struct egress_client *c, struct allow *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = *c->allow;
	pthread_mutex_unlock(&c->lock);
}

int egress_client_fd(struct egress_client *c)
{
	pthread_mutex_lock(&c->lock);
	int fd = c->channel ? ipc_fd(c->channel) : -1;
	pthread_mutex_unlock(&c->lock);
	return fd;
}

bool egress_client_wants_write(struct egress_client *c)
{
	pthread_mutex_lock(&c->lock);
	bool wants = c->channel && ipc_wants_write(c->channel);
	pthread_mutex_unlock(&c->lock);
	return wants;
}

/* ---- what comes back ---- */
static enum err read_event(struct ipc_in *m, struct egress_event *ev)
{
	switch (m->type) {
	case EGRESS_HEAD:
		ev->kind = EGRESS_EV_HEAD;
		return egress_head_get(m, &ev->head);
	case EGRESS_DATA:
		ev->kind = EGRESS_EV_DATA;
		ev->data = ipc_get_str(m);
		return ipc_end(m);
	case EGRESS_MOVED:
		ev->kind = EGRESS_EV_MOVED;
		ev->moved = ipc_get_u64(m);
		return ipc_end(m);
	case EGRESS_DONE:
		ev->kind = EGRESS_EV_DONE;
		return egress_done_get(m, &ev->done);
	case EGRESS_FAILED:
		ev->kind = EGRESS_EV_FAILED;
		return egress_failed_get(m, &ev->failed);
	default:
		return ERR_PROTOCOL;
	}
}

static enum err dispatch(struct egress_client *c, struct ipc_in *m)
{
	struct egress_event ev = { 0 };
	struct waiting w = { 0 };
	bool known = false;
	uint64_t id = m->id;
	TRY(read_event(m, &ev));
	bool last = ev.kind == EGRESS_EV_DONE || ev.kind == EGRESS_EV_FAILED;
	pthread_mutex_lock(&c->lock);
	if (last) {
		known = take(c, id, &w);
	} else {
		for (size_t i = 0; i < c->n && !known; i++) {
			known = c->at[i].id == id;
			if (known)
				w = c->at[i];
		}
	}
	pthread_mutex_unlock(&c->lock);
	if (known)
		w.sink(&ev, w.arg);
	return OK;
}

void egress_client_pump(struct egress_client *c)
{
	/* The channel is replaced by this thread only, so it needs no lock to be read. */
	while (c->channel) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		enum err e = ipc_recv(c->channel, &m);
		if (e == ERR_AGAIN)
			break;
		if (!e)
			e = dispatch(c, &m);
		if (e) {
			drop_channel(c);
			return;
		}
	}
	if (c->channel && ipc_wants_write(c->channel))
		(void)ipc_flush(c->channel);
}

/* ---- asking ---- */
static enum err check(struct egress_client *c, const struct egress_fetch *f, struct err_info *info)
{
	struct url u;
	TRY(url_parse(f->url, &u, info));
	pthread_mutex_lock(&c->lock);
	enum err e = egress_only_asks(f->method) ? allow_url(c->allow, &u, info)
						   : allow_push(c->allow, &u, info);
	pthread_mutex_unlock(&c->lock);
	return e;
}

static enum err send_fetch(struct egress_client *c, struct egress_fetch *f, egress_sink sink,
	void *arg, uint64_t *ret_id)
{
	AUTO_IPC_OUT struct ipc_out m;
	uint64_t id = ++c->next_id;
	ipc_out_init(&m, EGRESS_FETCH, id);
	egress_fetch_put(&m, f);
	TRY(ipc_send(c->channel, &m));
	c->at[c->n++] = (struct waiting){ id, sink, arg };
	*ret_id = id;
	return OK;
}

enum err egress_start(struct egress_client *c, struct egress_fetch *f, egress_sink sink, void *arg,
	uint64_t *ret_id, struct err_info *info)
{
	AUTO_FD int sink_fd = TAKE_FD(f->sink_fd);
	AUTO_FD int source_fd = TAKE_FD(f->source_fd);
	TRY(check(c, f, info));
	pthread_mutex_lock(&c->lock);
	enum err e;
	if (!c->channel) {
		e = err_set(info, ERR_AGAIN, "the part that connects to the outside is starting");
	} else if (c->n == EGRESS_FETCHES_MAX) {
		e = err_set(info, ERR_BUSY, "too many transfers at once");
	} else {
		f->sink_fd = TAKE_FD(sink_fd);
		f->source_fd = TAKE_FD(source_fd);
		e = send_fetch(c, f, sink, arg, ret_id);
	}
	pthread_mutex_unlock(&c->lock);
	return e;
}

void egress_cancel(struct egress_client *c, uint64_t id)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, EGRESS_CANCEL, id);
	pthread_mutex_lock(&c->lock);
	if (c->channel)
		(void)ipc_send(c->channel, &m);
	pthread_mutex_unlock(&c->lock);
}
