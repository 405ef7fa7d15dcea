/* Engines: started, adopted after the server's restart, measured, and how their end is told. */
#include "roles/keeper_int.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/time.h"
#include "os/fd.h"

static void copy_str(char *dst, size_t size, struct str s)
{
	struct str cut = str_sub(s, 0, size - 1);
	memcpy(dst, cut.ptr ? cut.ptr : "", cut.len);
	dst[cut.len] = '\0';
}

static void info_keep(struct child *c, const struct engine_info *i)
{
	c->info = *i;
	copy_str(c->build, sizeof c->build, i->build);
	copy_str(c->template_hash, sizeof c->template_hash, i->template_hash);
	copy_str(c->architecture, sizeof c->architecture, i->architecture);
	copy_str(c->description, sizeof c->description, i->description);
	copy_str(c->tuned, sizeof c->tuned, i->tuned);
	copy_str(c->cards, sizeof c->cards, i->cards);
	c->info.build = str_from(c->build);
	c->info.template_hash = str_from(c->template_hash);
	c->info.architecture = str_from(c->architecture);
	c->info.description = str_from(c->description);
	c->info.tuned = str_from(c->tuned);
	c->info.cards = str_from(c->cards);
}

static void answer_engine(struct keeper *k, struct child *c)
{
	struct child *server = child_find(k, ROLE_SERVER);
	if (!server || !c->ask_id)
		return;
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ANSWER, c->ask_id);
	answer_put(&m, OK, STR_NONE);
	ipc_put_u64(&m, c->engine_id);
	ipc_put_str(&m, str_from(c->engine));
	ipc_put_fd(&m, TAKE_FD(c->server_end));
	engine_info_put(&m, &c->info);
	c->ask_id = 0;
	c->orphan_since_ms = 0;
	(void)ipc_send(server->chan, &m);
}

static enum err engine_adopt(struct keeper *k, struct child *c, uint64_t ask_id)
{
	TRY(child_attach(c, ROLE_SERVER, &c->server_end));
	c->ask_id = ask_id;
	if (c->ready)
		answer_engine(k, c);
	return OK;
}

/* The engine's environment names the folder of its build (roles/role.c), and says to leave out the
 * best instruction sets, for builds that have several (engine/llama/variant.h). */
static enum err spawn_engine(struct keeper *k, const struct engine_wish *w, const char *build,
	struct child **ret, struct err_info *info)
{
	char dir[BUILD_PATH_MAX], folder[BUILD_PATH_MAX + 16], less[40];
	const char *const env[] = { folder, w->cpu_less ? less : NULL, NULL };
	TRY(builds_check(k->builds, build, dir, info));
	snprintf(folder, sizeof folder, "TRESOR_ENGINE=%s", dir);
	snprintf(less, sizeof less, "TRESOR_CPU_LESS=%" PRIu64, w->cpu_less);
	TRY(child_spawn(k, ROLE_ENGINE, env, ret));
	(*ret)->engine_id = ++k->next_engine;
	(void)str_copy(str_from(build), (*ret)->engine, sizeof (*ret)->engine);
	return OK;
}

void engines_current(struct keeper *k)
{
	struct err_info why = { 0 };
	char now[LIMIT_ENGINE_ID + 1] = "";
	struct child *server = child_find(k, ROLE_SERVER);
	if (builds_current(k->builds, now, &why))
		log_error("models cannot be loaded", KV_Z("why", why.detail));
	bool same = !strcmp(now, k->current);
	memcpy(k->current, now, sizeof now);
	if (same || !server)
		return; /* a server that starts is told in its HELLO */
	log_info("another engine build is current", KV_Z("build", now));
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_CURRENT, 0);
	ipc_put_str(&m, str_from(now));
	(void)ipc_send(server->chan, &m);
}

/* ---- cores ---- */

enum { OUR_PLACE = CORES_PLACES - 1 }; /* the keeper computes nothing */

void engines_share_cores(struct keeper *k)
{
	AUTO_FD int fd = -1;
	enum err e = cores_page_new(&fd);
	if (!e)
		e = cores_new(fd, OUR_PLACE, &k->cores);
	if (e)
		log_warn("engines will not divide the cores among themselves", KV_ERR(e));
	else
		k->cores_fd = TAKE_FD(fd);
	if (others_new(&k->others))
		log_warn("engines will not leave cores to other programs");
}

static uint64_t cpu_ns(const struct child *c)
{
	clockid_t id;
	struct timespec t;
	if (c->dead || clock_getcpuclockid(c->pid, &id) || clock_gettime(id, &t))
		return c->cpu_ns;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int engines_leave_cores(struct keeper *k)
{
	int64_t now = time_mono_ms();
	bool any = false;
	for (struct child *c = k->children; c; c = c->next)
		any |= c->role == ROLE_ENGINE;
	if (!any || !k->cores || !k->others)
		return KEEPER_LOOK_MS;
	if (cores_busy(k->cores))
		k->at_work_ms = now;
	if (now < k->next_others_ms)
		return (int)(k->next_others_ms - now);
	bool awake = now - k->at_work_ms < KEEPER_OTHERS_AWAKE_MS;
	int wait = awake ? KEEPER_OTHERS_MS : KEEPER_OTHERS_REST_MS;
	k->next_others_ms = now + wait;
	uint64_t spent = 0;
	for (struct child *c = k->children; c; c = c->next) {
		if (c->role != ROLE_ENGINE)
			continue;
		uint64_t ns = cpu_ns(c);
		spent += ns - c->cpu_ns;
		c->cpu_ns = ns;
	}
	cores_others(k->cores, others_measure(k->others, spent, time_mono_ns()));
	return wait;
}

static uint32_t free_place(const struct keeper *k)
{
	for (uint32_t i = 0; i < OUR_PLACE; i++) {
		const struct child *c = k->children;
		while (c && (c->role != ROLE_ENGINE || c->cores_place != i))
			c = c->next;
		if (!c)
			return i;
	}
	return CORES_PLACES;
}

static void give_place(struct keeper *k, struct child *c, struct engine_load *load)
{
	c->cores_place = CORES_PLACES; /* not one's own while it is looked for */
	c->cores_place = k->cores ? free_place(k) : CORES_PLACES;
	load->has_cores =
		c->cores_place < CORES_PLACES && !fd_dup(k->cores_fd, &load->cores_fd);
	load->cores_place = c->cores_place;
}

/* ---- starting ---- */

static void close_files(struct engine_load *load)
{
	if (load->model_fd >= 0)
		close(load->model_fd);
	if (load->has_projector)
		close(load->projector_fd);
	while (load->n_adapters)
		close(load->adapter_fd[--load->n_adapters]);
}

static enum err open_all(struct keeper *k, const struct engine_wish *w, struct engine_load *load)
{
	const struct model_adapters *a = &w->adapters;
	struct str weights = str_from(adapters_weights(a, w->digest));
	uint64_t size;
	load->model_fd = -1;
	TRY(blobdir_get(k->blobs, weights, &load->model_fd, &size));
	if (w->projector[0]) {
		TRY(blobdir_get(k->blobs, str_from(w->projector), &load->projector_fd, &size));
		load->has_projector = true;
	}
	for (unsigned i = 0; i < a->n; i++) {
		TRY(blobdir_get(k->blobs, str_from(a->digest[i]), &load->adapter_fd[i], &size));
		load->n_adapters++;
	}
	return OK;
}

static enum err open_files(struct keeper *k, const struct engine_wish *w,
	struct engine_load *load, struct err_info *info)
{
	enum err e = open_all(k, w, load);
	if (e) {
		close_files(load);
		return err_set(info, e, "the model's file cannot be opened");
	}
	return OK;
}

enum err engine_start(struct keeper *k, uint64_t ask_id, const struct engine_wish *w,
	struct err_info *info)
{
	const char *build = w->engine[0] ? w->engine : k->current;
	if (!build[0])
		return err_set(info, ERR_BUILD,
			"no engine build is current here: the program was not installed whole");
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_ENGINE && !c->dead && c->orphan_since_ms &&
			!strcmp(c->digest, w->digest) && !strcmp(c->projector, w->projector) &&
			!strcmp(c->engine, build)) {
			enum err adopted = engine_adopt(k, c, ask_id);
			if (adopted != ERR_CLOSED)
				return adopted;
			c->ask_id = 0; /* it has just died: load anew */
		}
	struct engine_load load = w->load;
	TRY(open_files(k, w, &load, info));
	struct child *c;
	enum err e = spawn_engine(k, w, build, &c, info);
	if (e) {
		close_files(&load);
		return e;
	}
	(void)str_copy(str_from(w->digest), c->digest, sizeof c->digest);
	(void)str_copy(str_from(w->projector), c->projector, sizeof c->projector);
	cache_open(k, w->digest, &load);
	give_place(k, c, &load);
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_LOAD, 0);
	engine_load_put(&m, &load);
	wipe(load.cache_key, sizeof load.cache_key);
	e = ipc_send(c->chan, &m);
	if (!e)
		e = child_attach(c, ROLE_SERVER, &c->server_end);
	if (e)
		child_kill(k, c);
	else
		c->ask_id = ask_id;
	return e;
}

void engine_spoke(struct keeper *k, struct child *c, struct ipc_in *m)
{
	struct engine_info info;
	struct gen_failed why;
	struct child *server = child_find(k, ROLE_SERVER);
	if (m->type == ENGINE_READY && !c->ready && !engine_info_get(m, &info)) {
		info_keep(c, &info);
		c->ready = true;
		answer_engine(k, c);
	} else if (m->type == ENGINE_REFUSED && !gen_failed_get(m, &why)) {
		char detail[ERR_DETAIL_MAX];
		copy_str(detail, sizeof detail, why.detail);
		bool told = why.code == ERR_BUILD || why.code == ERR_UNSUPPORTED;
		if (server && c->ask_id)
			answer_error(
				server, c->ask_id, told ? why.code : ERR_MODEL_BAD, detail);
		c->ask_id = 0;
		child_kill(k, c);
	} else {
		log_error("an engine sent the keeper what is not allowed");
		child_kill(k, c);
	}
}

void engines_orphaned(struct keeper *k)
{
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_ENGINE && !c->dead) {
			c->orphan_since_ms = time_mono_ms();
			c->ask_id = 0;
			if (c->server_end >= 0)
				close(TAKE_FD(c->server_end));
		}
}

void engines_sweep(struct keeper *k)
{
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_ENGINE && !c->dead && c->orphan_since_ms &&
			c->orphan_since_ms + KEEPER_ORPHAN_MS < time_mono_ms())
			child_kill(k, c);
}

/* ---- what they use ---- */

static uint64_t status_kib(struct str text, struct str key)
{
	size_t at = str_find(text, key, 0), end;
	uint64_t kib = 0;
	if (at == SIZE_MAX)
		return 0;
	for (at += key.len; at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t');)
		at++;
	for (end = at; end < text.len && text.ptr[end] >= '0' && text.ptr[end] <= '9';)
		end++;
	return str_to_u64(str_sub(text, at, end - at), &kib) ? 0 : kib * 1024;
}

/* smaps_rollup of a process that is not dumpable is closed to us; its status is not. Engines share
 * next to nothing, so the resident set is what ending one would give back. */
static void put_uses(struct ipc_out *m, const struct child *c)
{
	char path[64];
	AUTO_BUF struct buf text = BUF(16 * 1024);
	snprintf(path, sizeof path, "/proc/%ld/status", (long)c->pid);
	if (file_read(path, &text))
		return; /* it has just ended */
	struct str s = buf_str(&text);
	ipc_put_str(m, str_from(c->digest));
	ipc_put_str(m, str_from(c->engine));
	ipc_put_u64(m, status_kib(s, STR("VmRSS:")));
	ipc_put_u64(m, status_kib(s, STR("RssAnon:")));
}

void engines_measure(struct keeper *k)
{
	struct child *server = child_find(k, ROLE_SERVER);
	int64_t now = time_mono_ms();
	bool any = false;
	if (!server || now < k->next_uses_ms)
		return;
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_USES, 0);
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_ENGINE && !c->dead) {
			any = true;
			put_uses(&m, c);
		}
	if (any)
		(void)ipc_send(server->chan, &m);
	k->next_uses_ms = now + KEEPER_USES_MS;
}

/* ---- their ends ---- */

/* Kills for want of memory since the machine was started (vm.stat: oom_kill). */
static uint64_t oom_kills(void)
{
	AUTO_BUF struct buf text = BUF(64 * 1024);
	uint64_t n = 0;
	if (file_read("/proc/vmstat", &text))
		return 0;
	struct str rest = buf_str(&text), line;
	while (str_next(&rest, '\n', &line))
		if (str_starts(line, STR("oom_kill ")) &&
			!str_to_u64(str_trim(str_sub(line, 9, SIZE_MAX)), &n))
			return n;
	return 0;
}

void engines_watch_oom(struct keeper *k)
{
	k->oom_kills = oom_kills();
}

void engine_exited(struct keeper *k, struct child *c, int status)
{
	struct child *server = child_find(k, ROLE_SERVER);
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	uint64_t kills = signal == SIGKILL ? oom_kills() : k->oom_kills;
	bool oom = kills > k->oom_kills;
	k->oom_kills = kills;
	if (k->cores)
		cores_clear(k->cores, c->cores_place);
	if (!server)
		return;
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_GONE, 0);
	ipc_put_u64(&m, c->engine_id);
	ipc_put_str(&m, str_from(c->digest));
	ipc_put_str(&m, str_from(c->engine));
	ipc_put_u64(&m, (uint64_t)signal);
	ipc_put_u64(&m, WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 0);
	ipc_put_bool(&m, oom);
	(void)ipc_send(server->chan, &m);
	if (c->ask_id) /* after the word why: the server judges by it */
		answer_error(server, c->ask_id, ERR_ENGINE, "its process died while loading it");
}
