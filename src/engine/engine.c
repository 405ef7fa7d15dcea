#include "engine/engine.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "engine/beside.h"
#include "engine/embed_role.h"
#include "engine/engine_lock.h"
#include "engine/llama/backend.h"
#include "engine/llama/cards.h"
#include "engine/llama/tune.h"
#include "engine/llama/vision.h"
#include "engine/scheduler.h"
#include "engine/tier.h"
#include "engine/watchdog.h"
#include "engine/words.h"
#include "os/cores.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "proto/keeper.h"

const uint32_t engine_proto = ENGINE_PROTO;

enum {
	LOAD_WAIT_MS = 60 * 1000, /* the keeper sends ENGINE_LOAD right after the start */
	STEP_SECONDS = 600,       /* no batch takes this long on a machine that works */
	MESSAGES_A_STEP = 64,     /* read between two batches; decoding goes on meanwhile */
	STATS_EVERY_MS = 1000,
	TUNE_IDLE_MS = 10 * 1000, /* without work: then it measures, once, what suits the machine */
	TUNE_BUDGET_MS = 15 * 1000,
	TUNE_TRIES = 3,
	REST_MS = 60 * 1000, /* without work: then memory that only reading needs goes back */
	PICTURE_MS = 3, /* between looks at a picture's rows when nothing else is to be done */
	IDLE_MS = 200, /* without work: then what lies in cells only is saved */
	CACHE_LEAST = 64 << 20,
	LARGE_BYTES = 1 << 20, /* allocations that go back to the system when they are freed */
	POLL = 0, /* compute threads sleep between batches: engines share cores */
};

static const uint64_t CACHE_MOST = 2ull << 30;

struct engine {
	struct ipc *keeper, *server; /* server NULL: not attached */
	struct sched *sched;         /* NULL: a model for vectors alone */
	struct tier *tier;           /* the prefix cache's disk; NULL: none */
	struct beside *beside; /* NULL: a model for vectors alone */
	struct embed_role *embeds;
	int64_t stats_ms;
	bool was_busy, server_lost;
	bool may_save; /* something was computed since all was saved */
	uint32_t all_cores;  /* compute threads */
	struct cores *cores; /* NULL: it has all of them */
	struct llama_backend *backend;
	struct tuned tuned; /* text empty: not measured */
	int tries;          /* of measuring that are left */
	int64_t idle_since_ms; /* or since it put measuring off */
	int64_t worked_ms;     /* the last step */
};

/* The watchdog's thread tells the keeper why; process-wide as the watchdog. */
static struct ipc *refuse_to;

static void refuse(struct ipc *keeper, enum err code, const char *detail)
{
	struct ipc_out m;
	struct gen_failed f = { code, str_from(detail), 0, 0 };
	ipc_out_init(&m, ENGINE_REFUSED, 0);
	gen_failed_put(&m, &f);
	if (!ipc_send(keeper, &m))
		(void)ipc_drain(keeper, 1000);
	ipc_out_done(&m);
}

static void load_expired(enum watch kind)
{
	if (kind == WATCH_FOREIGN)
		refuse(refuse_to, ERR_MODEL_BAD,
			"not a usable model: its chat template does not come to an end");
}

static _Thread_local enum watch foreign = WATCH_FOREIGN; /* of this thread */

static void begin_beside(void)
{
	foreign = WATCH_FOREIGN_BESIDE;
}

static void guard_foreign(unsigned seconds)
{
	watchdog_arm(foreign, seconds);
}

/* ---- what the scheduler reports goes to the server ---- */

static void send_out(struct engine *e, struct ipc_out *m)
{
	if (e->server && ipc_send(e->server, m))
		e->server_lost = true; /* gone, or it does not read: closed after this step */
	ipc_out_done(m);
}

static void on_begun(void *arg, uint64_t id, const struct gen_begun *v)
{
	struct ipc_out m;
	ipc_out_init(&m, GEN_BEGUN, id);
	gen_begun_put(&m, v);
	send_out(arg, &m);
}

static void on_delta(void *arg, uint64_t id, const struct gen_delta *v)
{
	struct ipc_out m;
	ipc_out_init(&m, GEN_DELTA, id);
	gen_delta_put(&m, v);
	send_out(arg, &m);
}

static void on_done(void *arg, uint64_t id, const struct gen_done *v)
{
	struct ipc_out m;
	ipc_out_init(&m, GEN_DONE, id);
	gen_done_put(&m, v);
	send_out(arg, &m);
}

static void on_failed(void *arg, uint64_t id, const struct gen_failed *v)
{
	struct ipc_out m;
	ipc_out_init(&m, GEN_FAILED, id);
	gen_failed_put(&m, v);
	send_out(arg, &m);
}

static void on_queued(void *arg, uint64_t id, const struct gen_queued *v)
{
	struct ipc_out m;
	ipc_out_init(&m, GEN_QUEUED, id);
	gen_queued_put(&m, v);
	send_out(arg, &m);
}

static void on_embedded(void *arg, uint64_t id, const struct embed_done *v)
{
	struct ipc_out m;
	ipc_out_init(&m, ENGINE_EMBEDDED, id);
	embed_done_put(&m, v);
	send_out(arg, &m);
}

static bool is_busy(const struct engine *e)
{
	return (e->sched && sched_busy(e->sched)) || embed_role_busy(e->embeds);
}

static void send_stats(struct engine *e)
{
	bool busy = is_busy(e);
	int64_t now = time_mono_ms();
	if (!e->server || (!busy && !e->was_busy) || (busy && now - e->stats_ms < STATS_EVERY_MS))
		return;
	struct engine_stats s = { 0 };
	struct ipc_out m;
	if (e->sched)
		sched_stats(e->sched, &s);
	s.disk_bytes = e->tier ? tier_bytes(e->tier) : 0;
	s.waiting += embed_role_waiting(e->embeds) + (e->beside ? beside_n(e->beside) : 0);
	s.tokens_in += embed_role_tokens(e->embeds); /* who shows no progress is ended */
	ipc_out_init(&m, ENGINE_STATS, 0);
	engine_stats_put(&m, &s);
	send_out(e, &m);
	e->stats_ms = now;
	e->was_busy = busy;
}

/* ---- messages ---- */

static void drop_server(struct engine *e)
{
	if (e->beside)
		beside_cancel_all(e->beside);
	if (e->sched)
		sched_cancel_all(e->sched);
	embed_role_cancel_all(e->embeds);
	e->server = ipc_free(e->server);
	e->server_lost = false;
	if (e->cores) /* nobody asks any more */
		cores_work(e->cores, false);
}

/* How many tokens, which, or what they stand for. Called beside the loop, too. */
static enum err answer_words(void *arg, struct ipc_in *m, struct ipc_out *out)
{
	struct engine *e = arg;
	return m->type == ENGINE_COUNT ? words_count(e->sched, m, out)
				       : words_tokens(e->backend, m, out);
}

static enum err words(struct engine *e, struct ipc_in *m)
{
	struct ipc_out out = { 0 };
	enum err err = answer_words(e, m, &out);
	if (err)
		return err;
	send_out(e, &out);
	return OK;
}

static void fail(struct engine *e, uint64_t id, enum err err, struct request_error *why)
{
	const char *text = why && why->info.detail[0] ? why->info.detail : err_text(err);
	on_failed(e, id,
		&(struct gen_failed){ .code = err,
			.detail = str_from(text),
			.prompt_tokens = why ? why->prompt_tokens : 0,
			.context_tokens = why ? why->context_tokens : 0 });
}

/* What was long is in tokens now. */
static void take_beside(struct engine *e)
{
	struct beside_done d;
	while (beside_take(e->beside, &d)) {
		if (d.request)
			sched_take(e->sched, d.request, d.deadline_ms,
				time_mono_ms() - d.arrived_ms);
		else if (d.err == ERR_PROTOCOL)
			e->server_lost = true;
		else if (d.err == ERR_CANCELLED)
			on_done(e, d.id, &(struct gen_done){ .reason = GEN_CANCELLED });
		else if (d.err)
			fail(e, d.id, d.err, &d.why);
		else
			send_out(e, &d.out);
	}
}

static enum err purge(struct engine *e, struct ipc_in *m)
{
	struct engine_purge p;
	TRY(engine_purge_get(m, &p));
	if (e->sched) /* vectors are kept nowhere */
		sched_purge(e->sched, &p);
	enum err err = e->tier ? tier_purge(e->tier, p.person, p.object) : OK;
	if (err) /* the keeper walks the file again when this process has ended */
		log_error("the cache on disk could not be purged", KV_ERR(err));
	return OK;
}

static void cancel(struct engine *e, uint64_t id)
{
	if (embed_role_cancel(e->embeds, id))
		on_done(e, id, &(struct gen_done){ .reason = GEN_CANCELLED });
	else if (e->sched && !beside_cancel(e->beside, id))
		sched_cancel(e->sched, id);
}

static enum err server_message(struct engine *e, struct ipc_in *m)
{
	struct gen_request g;
	struct embed_request r;
	if (m->type == ENGINE_EMBED) {
		TRY(embed_request_get(m, &r));
		embed_role_add(e->embeds, m->id, &r);
		return OK;
	}
	bool text = m->type == GEN_START || m->type == ENGINE_COUNT;
	if (!e->sched && text) {
		on_failed(e, m->id,
			&(struct gen_failed){ .code = ERR_UNSUPPORTED,
				.detail =
					STR("this model makes vectors; it does not write text") });
		return OK;
	}
	if (e->beside && (text || m->type == ENGINE_TOKENS) && beside_wants(m)) {
		enum err err = beside_put(e->beside, m);
		if (err)
			fail(e, m->id, err, NULL);
		return OK;
	}
	switch (m->type) {
	case GEN_START:
		TRY(gen_request_get(m, &g));
		sched_add(e->sched, m->id, &g);
		gen_request_done(&g);
		return OK;
	case GEN_CANCEL:
		TRY(ipc_end(m));
		cancel(e, m->id);
		return OK;
	case ENGINE_COUNT:
	case ENGINE_TOKENS:
		return words(e, m);
	case ENGINE_PURGE:
		return purge(e, m);
	default:
		return ERR_PROTOCOL;
	}
}

/* Reads what the server sent. Whatever is wrong with it costs the server its requests, not us. */
static void read_server(struct engine *e)
{
	enum err err = OK;
	for (int i = 0; i < MESSAGES_A_STEP && !err && e->server; i++) {
		struct ipc_in m = { 0 };
		err = ipc_recv(e->server, &m);
		if (!err)
			err = server_message(e, &m);
		ipc_in_done(&m);
	}
	if (err && err != ERR_AGAIN) {
		if (err != ERR_CLOSED)
			log_error("channel to the server given up", KV_ERR(err));
		drop_server(e);
	}
}

/* ERR_CLOSED: time to end. The keeper is trusted; what it sends and we do not know is a bug. */
static enum err read_keeper(struct engine *e)
{
	for (;;) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		enum err err = ipc_recv(e->keeper, &m);
		if (err)
			return err == ERR_AGAIN ? OK : err;
		if (m.type == SHUTDOWN)
			return ERR_CLOSED;
		enum role peer;
		int fd = -1;
		if (m.type == ENGINE_PURGE) {
			TRY(purge(e, &m));
			continue;
		}
		if (m.type != ATTACH)
			return ERR_PROTOCOL;
		TRY(attach_get(&m, &peer, &fd));
		struct ipc *c = NULL;
		if (peer != ROLE_SERVER) {
			(void)close(fd);
			return ERR_PROTOCOL;
		}
		TRY(ipc_new(fd, &c));
		drop_server(e);
		e->server = c;
	}
}

/* ---- measuring ---- */

static bool somebody_asks(void *arg)
{
	struct engine *e = arg;
	struct pollfd p[2] = { { .fd = ipc_fd(e->keeper), .events = POLLIN },
		{ .fd = e->server ? ipc_fd(e->server) : -1, .events = POLLIN } };
	return poll(p, 2, 0) > 0;
}

/* Nobody has asked for a while: measures, takes the better settings, and says so. What it has read
 * is read again then: cells may be laid out otherwise. */
static enum err tune(struct engine *e)
{
	struct tuned t;
	uint32_t all = e->all_cores;
	if (e->cores && cores_part(e->cores, all) < all - all / 4) { /* it would measure others */
		e->idle_since_ms = time_mono_ms();
		return OK;
	}
	e->tries--;
	sched_close(e->sched);
	if (e->cores)
		cores_work(e->cores, true);
	enum err err = llama_tune(e->backend, TUNE_BUDGET_MS, somebody_asks, e, &t);
	if (e->cores)
		cores_work(e->cores, false);
	if (err == ERR_CANCELLED)
		e->idle_since_ms = time_mono_ms();
	else
		e->tries = 0;
	if (!err) {
		struct ipc_out m;
		e->tuned = t;
		llama_backend_apply(e->backend, &t);
		ipc_out_init(&m, ENGINE_TUNED, 0);
		ipc_put_str(&m, str_from(t.text));
		send_out(e, &m);
	}
	return llama_backend_warm_up(e->backend);
}

static bool may_tune(const struct engine *e)
{
	return e->tries && e->server;
}

static bool may_rest(const struct engine *e)
{
	return e->sched && sched_may_rest(e->sched);
}

/* How long to wait for messages when nothing is busy; -1: until one comes. */
static int idle_wait(const struct engine *e)
{
	if (e->may_save)
		return IDLE_MS;
	int64_t now = time_mono_ms(), next = INT64_MAX;
	if (may_tune(e))
		next = e->idle_since_ms + TUNE_IDLE_MS;
	if (may_rest(e) && e->worked_ms + REST_MS < next)
		next = e->worked_ms + REST_MS;
	return next == INT64_MAX ? -1 : next > now ? (int)(next - now) : 0;
}

static enum err idle(struct engine *e)
{
	if (e->may_save) {
		e->may_save = sched_idle(e->sched);
		return OK;
	}
	int64_t now = time_mono_ms();
	if (may_rest(e) && now - e->worked_ms >= REST_MS)
		sched_rest(e->sched);
	if (may_tune(e) && now - e->idle_since_ms >= TUNE_IDLE_MS)
		return tune(e);
	return OK;
}

/* ---- the loop ---- */

static enum err wait_and_read(struct engine *e)
{
	bool busy = is_busy(e);
	struct pollfd p[3] = { { .fd = ipc_fd(e->keeper), .events = POLLIN }, { .fd = -1 },
		{ .fd = e->beside ? beside_fd(e->beside) : -1, .events = POLLIN } };
	bool beside = e->beside && beside_n(e->beside);
	if (ipc_wants_write(e->keeper))
		p[0].events |= POLLOUT;
	if (e->server) {
		p[1].fd = ipc_fd(e->server);
		p[1].events = (short)(POLLIN | (ipc_wants_write(e->server) ? POLLOUT : 0));
	}
	bool waits = busy && e->sched && sched_waits(e->sched) && !embed_role_busy(e->embeds);
	int n = poll(p, 3, waits ? PICTURE_MS : busy ? 0 : beside ? -1 : idle_wait(e));
	if (n < 0 && errno != EINTR)
		return err_from_errno(errno);
	if (!n && !busy && !beside)
		TRY(idle(e));
	if (p[0].revents & POLLOUT)
		(void)ipc_flush(e->keeper);
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
		TRY(read_keeper(e));
	if (e->server && p[1].revents & POLLOUT && ipc_flush(e->server))
		e->server_lost = true;
	if (e->server && p[1].revents & (POLLIN | POLLHUP | POLLERR))
		read_server(e);
	if (p[2].revents & POLLIN)
		take_beside(e);
	return OK;
}

/* With as many cores as the other engines leave; a strict request gets all, because how sums are
 * divided among threads may show in their last bit. */
static enum err step(struct engine *e)
{
	bool writes = e->sched && sched_busy(e->sched);
	e->may_save |= writes;
	e->idle_since_ms = e->worked_ms = time_mono_ms();
	if (e->cores) {
		uint32_t all = e->all_cores;
		bool strict = writes && sched_strict(e->sched);
		cores_work(e->cores, true);
		llama_backend_threads(e->backend, strict ? all : cores_part(e->cores, all));
	}
	watchdog_arm(WATCH_STEP, STEP_SECONDS);
	enum err err = writes ? sched_step(e->sched) : OK;
	if (!err) /* in turns: a batch of text, a batch of vectors */
		err = embed_role_step(e->embeds);
	watchdog_arm(WATCH_STEP, 0);
	if (is_busy(e))
		return err;
	if (e->cores)
		cores_work(e->cores, false);
	llama_backend_rest(e->backend);
	return err;
}

static int serve(struct engine *e)
{
	for (;;) {
		enum err err = wait_and_read(e);
		if (err == ERR_CLOSED) {
			if (e->tier)
				tier_patient(e->tier);
			if (e->sched)
				sched_save(e->sched);
			e->tier = tier_free(e->tier);
			return 0;
		}
		if (err) {
			log_error("engine ends", KV_ERR(err));
			return 1;
		}
		if (is_busy(e)) {
			err = step(e);
			if (err) {
				log_error("decoding failed", KV_ERR(err));
				/* the keeper starts another, the server sends its requests again */
				return 1;
			}
		}
		send_stats(e);
		if (e->server_lost)
			drop_server(e);
	}
}

/* ---- the start ---- */

/* A card computes with no cores of ours. */
static enum err open_cores(struct engine *e, struct engine_load *load)
{
	if (!load->has_cores)
		return OK;
	AUTO_FD int fd = TAKE_FD(load->cores_fd);
	return load->n_cards ? OK : cores_new(fd, load->cores_place, &e->cores);
}

/* A model that sees: the projector is opened, then no file any more. */
static enum err open_projector(
	struct engine_load *load, struct llama_backend *b, struct err_info *info)
{
	if (!load->has_projector)
		return OK;
	AUTO_FD int fd = TAKE_FD(load->projector_fd);
	struct llama_backend_facts f;
	llama_backend_facts(b, &f);
	if (!f.writes)
		return err_set(
			info, ERR_MODEL_BAD, "a model for vectors has no use for a projector");
	TRY(llama_vision_open(b, fd, info));
	return load->n_cards ? OK : sandbox_lock(SANDBOX_ENGINE_CPU);
}

static void send_ready(struct engine *e, const struct llama_backend *b)
{
	struct llama_backend_facts f;
	llama_backend_facts(b, &f);
	const struct engine_caps *caps = LLAMA_OPS.caps((void *)(uintptr_t)b);
	struct engine_info info = {
		.n_ctx = caps->n_ctx,
		.n_ctx_train = caps->n_ctx_train,
		.n_seq = caps->n_run,
		.n_vocab = caps->n_vocab,
		.n_threads = f.n_threads,
		.model_bytes = f.model_bytes,
		.kv_bytes = f.kv_bytes + embed_role_bytes(e->embeds),
		.has_template = f.has_template,
		.gpu = f.gpu,
		.writes = f.writes,
		.ranks = f.ranks,
		.sees = f.sees,
		.n_embd = f.n_embd,
		.build = str_from(f.build),
		.template_hash = str_from(f.template_hash),
		.architecture = str_from(f.architecture),
		.description = str_from(f.description),
		.tuned = str_from(e->tuned.text),
		.cards = str_from(f.cards),
	};
	struct ipc_out m;
	ipc_out_init(&m, ENGINE_READY, 0);
	engine_info_put(&m, &info);
	(void)ipc_send(e->keeper, &m); /* a keeper that is gone shows in the loop */
	ipc_out_done(&m);
}

/* The RAM tier of the prefix cache: what was asked for, else an eighth of what is free. */
static size_t cache_bytes(const struct engine_load *load, uint64_t memory)
{
	uint64_t n = load->cache_bytes ? load->cache_bytes : memory / 8;
	return n < CACHE_LEAST                        ? CACHE_LEAST
	       : n > CACHE_MOST && !load->cache_bytes ? CACHE_MOST
						      : n;
}

/* What changes a state or its layout; the model itself stands in the file's key. */
static void fingerprint(const struct llama_backend *b, uint8_t ret[SHA256_LEN])
{
	struct llama_backend_facts f;
	struct sha256 h;
	llama_backend_facts(b, &f);
	uint8_t flags[2] = { f.flash, f.gpu };
	sha256_init(&h);
	sha256_add(&h, "state 1", 7);
	sha256_add(&h, f.build, strlen(f.build) + 1);
	sha256_add(&h, flags, sizeof flags);
	if (f.gpu)
		sha256_add(&h, f.cards, strlen(f.cards) + 1);
	sha256_end(&h, ret);
}

/* The disk below the prefix cache. Without it everything works, so nothing here is an error. */
static void open_tier(struct engine *e, struct engine_load *load, const struct llama_backend *b)
{
	uint8_t print[SHA256_LEN];
	struct disk *disk = NULL;
	if (!load->disk_bytes)
		return;
	fingerprint(b, print);
	int fd = TAKE_FD(load->cache_fd);
	enum err err = disk_new(fd, load->cache_key, print, load->disk_bytes, &disk);
	wipe(load->cache_key, sizeof load->cache_key);
	if (!err)
		err = tier_new(disk, &e->tier);
	if (err)
		log_warn("the model runs without its cache on disk", KV_ERR(err));
}

static enum err start_scheduler(
	struct engine *e, struct engine_load *load, uint64_t memory, struct llama_backend *b)
{
	struct prefix_disk disk;
	struct sched_options so = { .ops = &LLAMA_OPS,
		.backend = b,
		.sink = { on_begun, on_delta, on_done, on_failed, on_queued, e },
		.ram_bytes = cache_bytes(load, memory) };
	open_tier(e, load, b);
	if (e->tier) {
		disk = tier_ops(e->tier);
		so.disk = &disk;
	}
	TRY(sched_new(&so, &e->sched));
	enum err err = e->tier ? tier_recall(e->tier, sched_tree(e->sched)) : OK;
	if (err)
		log_warn("not all of the cache on disk could be read", KV_ERR(err));
	return OK;
}

/* Settings that an engine of this build measured here before; else they are measured when it is
 * quiet, unless somebody asked for certain ones. */
static void use_known(struct engine *e, const struct engine_load *load)
{
	struct llama_backend_facts f;
	struct tuned t;
	llama_backend_facts(e->backend, &f);
	e->idle_since_ms = time_mono_ms();
	if (load->flash >= 0 || load->n_cards)
		return;
	if (str_eq(str_from(load->tuned_build), str_from(f.build)) &&
		tuned_read(str_from(load->tuned), &t)) {
		LLAMA_OPS.pool_close(e->backend, POOL_OWN);
		llama_backend_apply(e->backend, &t);
		e->tuned = t;
		return;
	}
	e->tries = TUNE_TRIES;
}

/* What a model that writes needs beyond its weights; one for vectors alone has none of it, and
 * nothing of it is measured. */
static enum err start_writing(
	struct engine *e, struct engine_load *load, uint64_t memory, struct llama_backend *b)
{
	struct beside_options o = {
		.ops = &LLAMA_OPS,
		.backend = b,
		.answer = answer_words,
		.arg = e,
		.begin = begin_beside,
	};
	use_known(e, load);
	TRY(llama_backend_warm_up(b));
	TRY(start_scheduler(e, load, memory, b));
	return beside_new(&o, &e->beside);
}

struct files {
	FILE *model, *adapter[ENGINE_ADAPTERS_MAX];
};

/* While no byte of them was read: what follows needs no right to open anything. */
static enum err open_files(const struct engine_load *load, struct files *ret)
{
	bool ok = (ret->model = fdopen(load->model_fd, "rb"));
	for (unsigned i = 0; ok && i < load->n_adapters; i++)
		ok = (ret->adapter[i] = fdopen(load->adapter_fd[i], "rb"));
	return ok ? OK : err_from_errno(errno);
}

/* From the open files to a model that answers. `info` says why not. */
static enum err start_model(struct engine *e, struct engine_load *load, const struct files *files,
	uint32_t cores, uint64_t memory, struct llama_backend **ret, struct err_info *info)
{
	struct llama_backend_options o = {
		.n_ctx = load->n_ctx,
		.n_seq = load->n_seq,
		.n_threads = load->n_threads,
		.n_batch = load->n_batch,
		.n_ubatch = load->n_ubatch,
		.n_gpu_layers = load->n_gpu_layers,
		.n_cards = load->n_cards,
		.flash = load->flash,
		.n_ctx_own = load->n_ctx_own,
		.poll = POLL,
		.memory_bytes = load->n_cards ? llama_cards_free() : memory,
		.cores = cores,
		.guard = guard_foreign,
		.n_adapters = load->n_adapters,
	};
	memcpy(o.card, load->card, sizeof o.card);
	memcpy(o.adapter, files->adapter, sizeof o.adapter);
	refuse_to = e->keeper;
	watchdog_on_expiry(load_expired);
	TRY(watchdog_start());
	struct llama_backend *b = NULL;
	TRY(llama_backend_new(files->model, &o, &b, info));
	struct llama_backend_facts f;
	llama_backend_facts(b, &f);
	e->backend = b;
	e->all_cores = f.n_threads;
	enum err err = open_cores(e, load);
	if (!err)
		err = open_projector(load, b, info);
	if (!err && f.writes)
		err = start_writing(e, load, memory, b);
	struct embed_role_options eo = { .backend = b,
		.n_input = f.writes ? 0 : load->n_ctx,
		.memory_bytes = memory,
		.sink = { on_embedded, on_failed, e } };
	if (!err)
		err = embed_role_new(&eo, &e->embeds, info);
	if (err) {
		llama_backend_free_all(b);
		return err;
	}
	watchdog_on_expiry(NULL);
	*ret = b;
	return OK;
}

static enum err read_load(struct ipc *keeper, struct engine_load *ret)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	TRY(ipc_recv_wait(keeper, LOAD_WAIT_MS, &m));
	return m.type == ENGINE_LOAD ? engine_load_get(&m, ret) : ERR_PROTOCOL;
}

int engine_body(struct ipc *keeper)
{
	struct engine e = { .keeper = keeper };
	struct engine_load load = { .model_fd = -1, .flash = -1 };
	struct llama_backend *b = NULL;
	struct err_info info = { 0 };
	log_init("engine", LOG_INFO_, STDERR_FILENO);
	/* Rows of a large vocabulary and states of texts come and go; kept for reuse they would add
	 * up to more than what is in use. */
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	enum err err = crypto_init();
	if (!err) /* the keeper's word: it says which drivers are needed at all */
		err = read_load(keeper, &load);
	if (err) {
		log_error("engine not started", KV_ERR(err));
		return 1;
	}
	uint32_t cores = llama_backend_prepare(load.card, load.n_cards);
	uint64_t memory = engine_memory();
	struct files files = { .model = NULL };
	err = open_files(&load, &files);
	if (!err)
		err = engine_lock(&load, memory);
	if (err) {
		log_error("engine not locked", KV_ERR(err));
		refuse(keeper, err, "the engine's sandbox could not be entered");
		return 1;
	}
	err = start_model(&e, &load, &files, cores, memory, &b, &info);
	if (err) {
		refuse(keeper, err, info.detail[0] ? info.detail : err_text(err));
		return 1;
	}
	send_ready(&e, b);
	int status = serve(&e);
	/* The kernel takes everything back faster than destructors of a large model do. */
	(void)ipc_drain(keeper, 100);
	_exit(status);
}

int engine_main(int keeper_fd, uint64_t protocol_hash)
{
	struct ipc *keeper = NULL;
	ipc_speak(protocol_hash);
	return ipc_new(keeper_fd, &keeper) ? 1 : engine_body(keeper);
}
