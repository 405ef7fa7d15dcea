#include "models/fleet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "models/fleet_int.h"

void fleet_wake(struct fleet *f)
{
	uint64_t one = 1;
	(void)!write(f->wake_fd, &one, sizeof one);
}

static void inbox_put(struct fleet *f, struct command *c)
{
	c->next = NULL;
	pthread_mutex_lock(&f->lock);
	*f->inbox_tail = c;
	f->inbox_tail = &c->next;
	pthread_mutex_unlock(&f->lock);
	fleet_wake(f);
}

static struct command *inbox_take_all(struct fleet *f)
{
	pthread_mutex_lock(&f->lock);
	struct command *all = f->inbox;
	f->inbox = NULL;
	f->inbox_tail = &f->inbox;
	pthread_mutex_unlock(&f->lock);
	return all;
}

void request_free(struct request *r)
{
	if (!r)
		return;
	buf_done(&r->tokens);
	arena_free(r->mem);
	mem_free(r);
}

/* ---- the loader: the only thread that waits for the keeper ---- */

static void copy_str(char *dst, size_t size, struct str s)
{
	struct str cut = str_sub(s, 0, size - 1);
	memcpy(dst, cut.ptr ? cut.ptr : "", cut.len);
	dst[cut.len] = '\0';
}

static enum err load_engine(struct fleet *f, const struct job *j, struct command *done)
{
	AUTO_IPC_OUT struct ipc_out ask;
	AUTO_IPC_IN struct ipc_in answer = { 0 };
	struct engine_info info;
	ipc_out_init(&ask, ASK_ENGINE, 0);
	ipc_put_str(&ask, str_from(j->digest));
	ipc_put_bool(&ask, f->opt.gpu);
	ipc_put_u64(&ask, f->opt.n_ctx);
	ipc_put_u64(&ask, f->opt.n_seq);
	TRY(keeper_call(f->opt.keeper, &ask, FLEET_LOAD_TIMEOUT_MS, &answer, &done->why));
	done->engine_id = ipc_get_u64(&answer);
	done->chan_fd = ipc_get_fd(&answer);
	TRY(engine_info_get(&answer, &info));
	done->loaded.info = info;
	copy_str(done->loaded.build, sizeof done->loaded.build, info.build);
	copy_str(done->loaded.template_hash, sizeof done->loaded.template_hash, info.template_hash);
	copy_str(done->loaded.architecture, sizeof done->loaded.architecture, info.architecture);
	copy_str(done->loaded.description, sizeof done->loaded.description, info.description);
	return OK;
}

static void stop_engine(struct fleet *f, const struct job *j)
{
	AUTO_IPC_OUT struct ipc_out ask;
	AUTO_IPC_IN struct ipc_in answer = { 0 };
	ipc_out_init(&ask, ASK_ENGINE_STOP, 0);
	ipc_put_u64(&ask, j->engine_id);
	enum err e = keeper_call(f->opt.keeper, &ask, 10000, &answer, NULL);
	if (e && e != ERR_NOT_FOUND)
		log_warn("engine not stopped", KV_ERR(e));
}

static void *loader_main(void *arg)
{
	struct fleet *f = arg;
	struct job *j;
	while ((j = queue_take(f->jobs, -1))) {
		if (j->kind == JOB_LOAD) {
			struct command *done = mem_zalloc(1, sizeof *done);
			if (!done)
				DIE("no memory for a load's answer");
			done->kind = CMD_LOADED;
			done->chan_fd = -1;
			memcpy(done->digest, j->digest, sizeof done->digest);
			done->err = load_engine(f, j, done);
			inbox_put(f, done);
		} else {
			stop_engine(f, j);
		}
		mem_free(j);
	}
	return NULL;
}

/* ---- the fleet's thread ---- */

static void publish(struct fleet *f)
{
	int64_t offset = time_now_ms() - time_mono_ms();
	unsigned active = 0, waiting = 0;
	pthread_mutex_lock(&f->lock);
	f->n_published = 0;
	for (struct slot *s = f->slots; s; s = s->next) {
		unsigned sent = 0, rest = 0;
		for (struct request *r = s->requests; r; r = r->next)
			*(r->begun ? &sent : &rest) += 1;
		active += sent;
		waiting += rest;
		if (s->state != SLOT_READY || f->n_published == FLEET_ENGINES_MAX)
			continue;
		struct fleet_loaded *p = &f->published[f->n_published++];
		*p = (struct fleet_loaded){ .n_ctx = s->info.n_ctx,
			.n_seq = s->info.n_seq,
			.active = sent,
			.waiting = rest,
			.model_bytes = s->info.model_bytes,
			.kv_bytes = s->info.kv_bytes,
			.gpu = s->info.gpu,
			.expires_ms = s->expires_mono_ms < 0 ? -1 : s->expires_mono_ms + offset };
		memcpy(p->digest, s->model.digest, sizeof p->digest);
		memcpy(p->name, s->model.name, sizeof p->name);
		memcpy(p->build, s->build, sizeof p->build);
		memcpy(p->template_hash, s->template_hash, sizeof p->template_hash);
	}
	f->totals.active = active;
	f->totals.waiting = waiting;
	pthread_mutex_unlock(&f->lock);
}

static void obey(struct fleet *f, struct command *c)
{
	switch (c->kind) {
	case CMD_START:
		slot_take_request(f, c->request);
		break;
	case CMD_CANCEL:
		slot_cancel(f, c->id);
		break;
	case CMD_UNLOAD:
		slot_unload(f, c->digest);
		break;
	case CMD_LOADED:
		slot_loaded(f, c);
		break;
	}
}

static size_t gather(struct fleet *f, struct pollfd *fds, struct slot **owners, size_t max)
{
	size_t n = 1;
	fds[0] = (struct pollfd){ .fd = f->wake_fd, .events = POLLIN };
	for (struct slot *s = f->slots; s && n < max; s = s->next) {
		if (!s->chan)
			continue;
		owners[n] = s;
		fds[n++] = (struct pollfd){ .fd = ipc_fd(s->chan),
			.events = (short)(POLLIN | (ipc_wants_write(s->chan) ? POLLOUT : 0)) };
	}
	return n;
}

static void *fleet_main(void *arg)
{
	struct fleet *f = arg;
	struct pollfd fds[FLEET_ENGINES_MAX + 1];
	struct slot *owners[FLEET_ENGINES_MAX + 1];
	for (;;) {
		slot_run_all(f);
		publish(f);
		size_t n = gather(f, fds, owners, FLEET_ENGINES_MAX + 1);
		if (poll(fds, n, slot_next_deadline(f)) < 0 && errno != EINTR)
			DIE("poll");
		if (fds[0].revents) {
			uint64_t count;
			(void)!read(f->wake_fd, &count, sizeof count);
		}
		/* Channels first: an engine's last words come before what is asked of it next.
		 * A slot may vanish only in slot_run_all(), so `owners` stays good here. */
		for (size_t i = 1; i < n; i++)
			if (fds[i].revents)
				slot_channel_ready(f, owners[i]);
		for (struct command *c = inbox_take_all(f), *next; c; c = next) {
			next = c->next;
			obey(f, c);
			mem_free(c);
		}
		pthread_mutex_lock(&f->lock);
		bool stop = f->stopping;
		pthread_mutex_unlock(&f->lock);
		if (stop)
			return NULL;
	}
}

/* ---- public ---- */

enum err fleet_new(const struct fleet_options *o, struct fleet **ret)
{
	AUTO(fleet) struct fleet *f = mem_zalloc(1, sizeof *f);
	if (!f)
		return ERR_NOMEM;
	f->opt = *o;
	f->wake_fd = -1;
	f->inbox_tail = &f->inbox;
	pthread_mutex_init(&f->lock, NULL);
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->wake_fd < 0)
		return err_from_errno(errno);
	TRY(queue_new(FLEET_QUEUE_MAX, &f->jobs));
	TRY(thread_start("fleet", 256 * 1024, fleet_main, f, &f->thread));
	f->thread_up = true;
	TRY(thread_start("fleet-load", 256 * 1024, loader_main, f, &f->loader));
	f->loader_up = true;
	*ret = TAKE(f);
	return OK;
}

struct fleet *fleet_free(struct fleet *f)
{
	if (!f)
		return NULL;
	if (f->thread_up) {
		pthread_mutex_lock(&f->lock);
		f->stopping = true;
		pthread_mutex_unlock(&f->lock);
		fleet_wake(f);
		pthread_join(f->thread, NULL);
	}
	if (f->jobs)
		queue_close(f->jobs);
	if (f->loader_up)
		pthread_join(f->loader, NULL);
	queue_free(f->jobs);
	for (struct command *c = f->inbox, *next; c; c = next) {
		next = c->next;
		request_free(c->request);
		if (c->kind == CMD_LOADED && c->chan_fd >= 0)
			close(c->chan_fd);
		mem_free(c);
	}
	slot_free_all(f);
	if (f->wake_fd >= 0)
		close(f->wake_fd);
	pthread_mutex_destroy(&f->lock);
	mem_free(f);
	return NULL;
}

static struct str keep(struct arena *a, struct str s, bool *failed)
{
	if (!s.len)
		return STR_NONE;
	char *copy = arena_str(a, s);
	if (!copy)
		*failed = true;
	return (struct str){ copy, s.len };
}

/* Everything a request points to, in its own arena: the caller's strings may go away. */
static enum err request_copy(const struct gen_request *g, struct request *r)
{
	bool failed = false;
	size_t need = g->input.len + g->tools.len + g->schema.len + g->n_resume * sizeof(int32_t);
	TRY(arena_new(need + LIMIT_STOP_STRINGS * LIMIT_STOP_STRING + 64 * 1024, &r->mem));
	r->gen = *g;
	r->gen.input = keep(r->mem, g->input, &failed);
	r->gen.tools = keep(r->mem, g->tools, &failed);
	r->gen.schema = keep(r->mem, g->schema, &failed);
	for (unsigned i = 0; i < g->n_stop; i++)
		r->gen.stop[i] = keep(r->mem, g->stop[i], &failed);
	r->gen.resume = NULL;
	r->gen.n_resume = 0;
	if (failed)
		return ERR_NOMEM;
	/* resumed tokens count as accepted: a crash now resumes from them too */
	return buf_add(
		&r->tokens, (struct str){ (const char *)g->resume, g->n_resume * sizeof(int32_t) });
}

enum err fleet_submit(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	const struct embed_request *emb, fleet_sink sink, void *arg, uint64_t *ret_id)
{
	if (atomic_fetch_add(&f->queued, 1) >= FLEET_QUEUE_MAX) {
		atomic_fetch_sub(&f->queued, 1);
		return ERR_BUSY;
	}
	struct request *r = mem_zalloc(1, sizeof *r);
	struct command *c = mem_zalloc(1, sizeof *c);
	enum err e = r && c ? OK : ERR_NOMEM;
	if (!e) {
		r->tokens = BUF(LIMIT_ANSWER);
		e = g ? request_copy(g, r) : emb ? request_copy_embed(emb, r) : OK;
	}
	if (e) {
		request_free(r);
		mem_free(c);
		atomic_fetch_sub(&f->queued, 1);
		return e;
	}
	r->load_only = !g && !emb;
	r->model = *m;
	r->sink = sink;
	r->arg = arg;
	r->arrived_ns = time_mono_ns();
	r->id = atomic_fetch_add(&f->next_id, 1) + 1;
	if (ret_id)
		*ret_id = r->id;
	c->kind = CMD_START;
	c->request = r;
	inbox_put(f, c);
	return OK;
}

enum err fleet_start(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	return fleet_submit(f, m, g, NULL, sink, arg, ret_id);
}

enum err fleet_load(struct fleet *f, const struct fleet_model *m, fleet_sink sink, void *arg)
{
	return fleet_submit(f, m, NULL, NULL, sink, arg, NULL);
}

/* A cancel must not fail: without memory for the command the request runs on, which is reported. */
static void command(struct fleet *f, enum command_kind kind, uint64_t id, const char *digest)
{
	struct command *c = mem_zalloc(1, sizeof *c);
	if (!c) {
		log_error("no memory to pass a cancel on", KV_I64("request", id));
		return;
	}
	c->kind = kind;
	c->id = id;
	if (digest)
		(void)str_copy(str_from(digest), c->digest, sizeof c->digest);
	inbox_put(f, c);
}

void fleet_cancel(struct fleet *f, uint64_t id)
{
	command(f, CMD_CANCEL, id, NULL);
}
void fleet_unload(struct fleet *f, const char *digest)
{
	command(f, CMD_UNLOAD, 0, digest);
}

size_t fleet_list(struct fleet *f, struct fleet_loaded *ret, size_t max)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n_published < max ? f->n_published : max;
	memcpy(ret, f->published, n * sizeof *ret);
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fleet_totals(struct fleet *f, struct fleet_totals *ret)
{
	pthread_mutex_lock(&f->lock);
	*ret = f->totals;
	pthread_mutex_unlock(&f->lock);
}
