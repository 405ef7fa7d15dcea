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
#include "os/fd.h"

/* What a picture takes at least once an engine has prepared it, however small it came. */
enum { PICTURE_LEAST = 4 << 20 };

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
	/* Whoever asks who uses a model finds them until the next snapshot has them. */
	for (const struct command *c = all; c; c = c->next)
		if (c->kind == CMD_START)
			fleet_publish_use(f, c->request);
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
	gen_request_done(&r->gen);
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

static void info_keep(struct slot *s, const struct engine_info *i)
{
	s->info = *i;
	copy_str(s->build, sizeof s->build, i->build);
	copy_str(s->template_hash, sizeof s->template_hash, i->template_hash);
	copy_str(s->architecture, sizeof s->architecture, i->architecture);
	copy_str(s->description, sizeof s->description, i->description);
	copy_str(s->tuned, sizeof s->tuned, i->tuned);
	copy_str(s->cards, sizeof s->cards, i->cards);
}

static enum err take_answer(struct ipc_in *answer, struct command *done, struct engine_info *info)
{
	done->engine_id = ipc_get_u64(answer);
	struct str build = ipc_get_str(answer);
	done->chan_fd = ipc_get_fd(answer);
	TRY(engine_info_get(answer, info));
	info_keep(&done->loaded, info);
	return str_copy(build, done->loaded.engine, sizeof done->loaded.engine);
}

static enum err load_engine(struct fleet *f, struct job *j, struct command *done)
{
	AUTO_IPC_OUT struct ipc_out ask;
	AUTO_IPC_IN struct ipc_in answer = { 0 };
	struct engine_info info;
	if (f->opt.tuned_get)
		f->opt.tuned_get(f->opt.arg, j->digest, &j->load);
	ipc_out_init(&ask, ASK_ENGINE, 0);
	ipc_put_str(&ask, str_from(j->digest));
	ipc_put_str(&ask, str_from(j->projector));
	ipc_put_str(&ask, str_from(j->engine));
	ipc_put_u64(&ask, j->cpu_less);
	engine_params_put(&ask, &j->load);
	adapters_put(&ask, &j->adapters);
	TRY(keeper_call(f->opt.keeper, &ask, FLEET_LOAD_TIMEOUT_MS, &answer, &done->why));
	TRY(take_answer(&answer, done, &info));
	if (f->opt.tuned_put && info.tuned.len && !str_eq(info.tuned, str_from(j->load.tuned)))
		f->opt.tuned_put(f->opt.arg, j->digest, info.build, info.tuned);
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
			memcpy(done->engine, j->engine, sizeof done->engine);
			done->err = load_engine(f, j, done);
			inbox_put(f, done);
		} else if (j->kind == JOB_STOP) {
			stop_engine(f, j);
		} else if (f->opt.tuned_put) {
			f->opt.tuned_put(f->opt.arg, j->digest, str_from(j->load.tuned_build),
				str_from(j->load.tuned));
		}
		mem_free(j);
	}
	return NULL;
}

/* ---- the fleet's thread ---- */

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
	case CMD_PURGE:
		slot_purge_all(f, &c->purge);
		break;
	case CMD_PIN:
		pin_set(f, &c->model, c->on);
		break;
	case CMD_GONE:
		death_gone(f, &c->gone);
		break;
	case CMD_USES:
		slot_uses(f, c);
		break;
	case CMD_CURRENT:
		fleet_take_current(f, c->engine);
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
		fleet_publish(f);
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
	if (!f->opt.stall_ms)
		f->opt.stall_ms = FLEET_STALL_MS;
	if (!f->opt.yield_ms)
		f->opt.yield_ms = FLEET_YIELD_MS;
	if (!f->opt.queue_max)
		f->opt.queue_max = FLEET_QUEUE_MAX;
	f->totals.queue_max = f->opt.queue_max;
	f->retry_after_s = 1;
	f->wake_fd = -1;
	f->inbox_tail = &f->inbox;
	pthread_mutex_init(&f->lock, NULL);
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->wake_fd < 0)
		return err_from_errno(errno);
	TRY(str_copy(str_from(f->opt.engine ? f->opt.engine : ""), f->current, sizeof f->current));
	TRY(queue_new(8 * FLEET_ENGINES_MAX, &f->jobs));
	TRY(thread_start("fleet", 256 * 1024, fleet_main, f, &f->thread));
	f->thread_up = true;
	for (; f->loaders_up < FLEET_LOADERS; f->loaders_up++)
		TRY(thread_start("fleet-load", 256 * 1024, loader_main, f,
			&f->loader[f->loaders_up]));
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
	while (f->loaders_up)
		pthread_join(f->loader[--f->loaders_up], NULL);
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

static const int32_t *keep_bias(struct arena *a, const struct gen_request *g, bool *failed)
{
	size_t bytes = 2 * g->n_bias * sizeof *g->bias;
	int32_t *copy = bytes ? arena_take(a, 2 * g->n_bias, sizeof *copy) : NULL;
	if (copy)
		memcpy(copy, g->bias, bytes);
	*failed |= bytes && !copy;
	return copy;
}

static size_t text_bytes(const struct gen_request *g)
{
	return g->input.len + g->suffix.len + g->lead.len + g->extra.len + g->tools.len +
	       g->template_.len + g->schema.len + g->grammar.len + g->tool_choice.len +
	       (2 * g->n_bias + g->n_resume) * sizeof(int32_t);
}

static size_t request_bytes(const struct gen_request *g)
{
	size_t n = text_bytes(g);
	for (unsigned i = 0; i < g->n_pictures; i++) {
		size_t rgb = (size_t)g->picture[i].width * g->picture[i].height * 3;
		n += rgb > PICTURE_LEAST ? rgb : PICTURE_LEAST;
	}
	return n;
}

static enum err keep_pictures(const struct gen_request *g, struct request *r)
{
	for (unsigned i = 0; i < g->n_pictures; i++, r->gen.n_pictures++)
		TRY(fd_dup(g->picture[i].rgb_fd, &r->gen.picture[i].rgb_fd));
	return OK;
}

/* Everything a request points to, in its own arena: the caller's strings may go away. */
static enum err request_copy(const struct gen_request *g, struct request *r)
{
	bool failed = false;
	size_t need = text_bytes(g);
	TRY(arena_new(need + LIMIT_STOP_STRINGS * LIMIT_STOP_STRING + 64 * 1024, &r->mem));
	r->gen = *g;
	r->gen.n_pictures = 0; /* until their descriptors are its own */
	r->gen.input = keep(r->mem, g->input, &failed);
	r->gen.suffix = keep(r->mem, g->suffix, &failed);
	r->gen.lead = keep(r->mem, g->lead, &failed);
	r->gen.extra = keep(r->mem, g->extra, &failed);
	r->gen.template_ = keep(r->mem, g->template_, &failed);
	r->gen.tools = keep(r->mem, g->tools, &failed);
	r->gen.schema = keep(r->mem, g->schema, &failed);
	r->gen.grammar = keep(r->mem, g->grammar, &failed);
	r->gen.tool_choice = keep(r->mem, g->tool_choice, &failed);
	r->gen.bias = keep_bias(r->mem, g, &failed);
	for (unsigned i = 0; i < g->n_stop; i++)
		r->gen.stop[i] = keep(r->mem, g->stop[i], &failed);
	r->gen.resume = NULL;
	r->gen.n_resume = 0;
	TRY(keep_pictures(g, r));
	if (failed)
		return ERR_NOMEM;
	/* resumed tokens count as accepted: a crash now resumes from them too */
	return buf_add(
		&r->tokens, (struct str){ (const char *)g->resume, g->n_resume * sizeof(int32_t) });
}

static void leave_queue(struct fleet *f, size_t bytes)
{
	atomic_fetch_sub(&f->queued, 1);
	atomic_fetch_sub(&f->queued_bytes, bytes);
}

/* The queue is bounded by number and by bytes: a request over either is refused at once, one
 * that is in is answered. A big one is let in when there is nothing else. */
static bool enter_queue(struct fleet *f, size_t bytes)
{
	unsigned n = atomic_fetch_add(&f->queued, 1);
	uint64_t held = atomic_fetch_add(&f->queued_bytes, bytes);
	if (n < f->opt.queue_max && (!held || held + bytes <= FLEET_QUEUE_BYTES))
		return true;
	leave_queue(f, bytes);
	atomic_fetch_add(&f->refused_busy, 1);
	return false;
}

static size_t ask_bytes(const struct fleet_ask *a)
{
	return a->gen      ? request_bytes(a->gen)
	       : a->embed  ? request_embed_bytes(a->embed)
	       : a->tokens ? request_tokens_bytes(a->tokens)
			   : 0;
}

static enum err ask_copy(const struct fleet_ask *a, struct request *r)
{
	r->tokens = BUF(LIMIT_ANSWER);
	r->count = a->count;
	r->load_only = !a->gen && !a->embed && !a->tokens;
	return a->gen      ? request_copy(a->gen, r)
	       : a->embed  ? request_copy_embed(a->embed, r)
	       : a->tokens ? request_copy_tokens(a->tokens, r)
			   : OK;
}

enum err fleet_submit(struct fleet *f, const struct fleet_model *m, const struct fleet_ask *ask,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	size_t bytes = ask_bytes(ask);
	if (!enter_queue(f, bytes))
		return ERR_QUEUE;
	struct request *r = mem_zalloc(1, sizeof *r);
	struct command *c = mem_zalloc(1, sizeof *c);
	enum err e = r && c ? ask_copy(ask, r) : ERR_NOMEM;
	if (e) {
		request_free(r);
		mem_free(c);
		leave_queue(f, bytes);
		return e;
	}
	r->bytes = bytes;
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
	return fleet_submit(f, m, &(struct fleet_ask){ .gen = g }, sink, arg, ret_id);
}

enum err fleet_load(struct fleet *f, const struct fleet_model *m, fleet_sink sink, void *arg)
{
	return fleet_submit(f, m, &(struct fleet_ask){ .gen = NULL }, sink, arg, NULL);
}

bool fleet_is_full(struct fleet *f)
{
	return atomic_load(&f->queued) >= f->opt.queue_max;
}

unsigned fleet_retry_after_s(struct fleet *f)
{
	return atomic_load(&f->retry_after_s);
}

/* A command must not fail: without memory for it the request runs on, which is reported. */
static void command(struct fleet *f, const struct command *what)
{
	struct command *c = mem_alloc(sizeof *c);
	if (!c) {
		log_error("no memory to pass a command on", KV_I64("kind", what->kind));
		return;
	}
	*c = *what;
	inbox_put(f, c);
}

void fleet_cancel(struct fleet *f, uint64_t id)
{
	command(f, &(struct command){ .kind = CMD_CANCEL, .id = id });
}

void fleet_unload(struct fleet *f, const char *digest)
{
	struct command c = { .kind = CMD_UNLOAD };
	(void)str_copy(str_from(digest), c.digest, sizeof c.digest);
	command(f, &c);
}

enum err fleet_command_purge(struct fleet *f, const struct engine_purge *p)
{
	struct command *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->kind = CMD_PURGE;
	c->purge = *p;
	inbox_put(f, c);
	return OK;
}

void fleet_engine_gone(struct fleet *f, const struct fleet_gone *g)
{
	command(f, &(struct command){ .kind = CMD_GONE, .gone = *g });
}

void fleet_engine_uses(struct fleet *f, const struct fleet_uses *u)
{
	command(f, &(struct command){ .kind = CMD_USES, .uses = *u });
}

void fleet_engine_current(struct fleet *f, const char *id)
{
	struct command c = { .kind = CMD_CURRENT };
	(void)str_copy(str_from(id), c.engine, sizeof c.engine);
	command(f, &c);
}

/* ---- pins ---- */

bool fleet_is_pinned(struct fleet *f, const char *digest)
{
	pthread_mutex_lock(&f->lock);
	bool pinned = false;
	for (size_t i = 0; i < FLEET_ENGINES_MAX; i++)
		pinned |= !strcmp(f->pins[i].model.digest, digest);
	pthread_mutex_unlock(&f->lock);
	return pinned;
}

enum err fleet_pin(struct fleet *f, const struct fleet_model *m, bool on)
{
	pthread_mutex_lock(&f->lock);
	bool room = !on || pin_find(f, m->digest, m->engine) || pin_find(f, "", "");
	pthread_mutex_unlock(&f->lock);
	if (!room)
		return ERR_LIMIT;
	command(f, &(struct command){ .kind = CMD_PIN, .model = *m, .on = on });
	return OK;
}

/* ---- what is seen ---- */

size_t fleet_list(struct fleet *f, struct fleet_loaded *ret, size_t max)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n_published < max ? f->n_published : max;
	memcpy(ret, f->published, n * sizeof *ret);
	pthread_mutex_unlock(&f->lock);
	return n;
}

size_t fleet_status(struct fleet *f, struct fleet_status *ret, size_t max)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n_status < max ? f->n_status : max;
	memcpy(ret, f->status, n * sizeof *ret);
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fleet_totals(struct fleet *f, struct fleet_totals *ret)
{
	pthread_mutex_lock(&f->lock);
	*ret = f->totals;
	pthread_mutex_unlock(&f->lock);
	ret->queue_bytes = atomic_load(&f->queued_bytes);
	ret->refused_busy = atomic_load(&f->refused_busy);
}

size_t fleet_quarantine(struct fleet *f, struct fleet_quarantined *ret, size_t max)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n_bad < FLEET_QUARANTINE_MAX ? f->n_bad : FLEET_QUARANTINE_MAX;
	if (n > max)
		n = max;
	for (size_t i = 0; i < n; i++)
		ret[i] = f->bad[(f->n_bad - 1 - i) % FLEET_QUARANTINE_MAX];
	pthread_mutex_unlock(&f->lock);
	return n;
}
