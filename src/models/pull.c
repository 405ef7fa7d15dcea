#include "models/pull_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "models/starter.h"
#include "os/threads.h"

enum { STACK_BYTES = 512 * 1024, TELL_MS = 60, PULLS_MAX = 256 };

/* ---- telling ---- */
bool pull_is_cancelled(struct pull *p)
{
	pthread_mutex_lock(&p->lock);
	bool is = p->cancelled;
	pthread_mutex_unlock(&p->lock);
	return is;
}

/* Calls every watcher with the progress as it is. `telling` keeps an unwatch out until it is
 * over. */
static void tell_watchers(struct pull *p)
{
	struct pull_watch w[PULL_WATCHERS_MAX];
	struct pull_progress now;
	pthread_mutex_lock(&p->telling);
	pthread_mutex_lock(&p->lock);
	size_t n = p->n_watch;
	memcpy(w, p->watch, n * sizeof *w);
	now = p->progress;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < n; i++)
		w[i].sink(&now, w[i].arg);
	pthread_mutex_unlock(&p->telling);
}

void pull_tell(struct pull *p, const char *status, const char *digest, uint64_t total,
	uint64_t completed, bool force)
{
	int64_t now = time_mono_ms();
	if (!force && now - p->told_ms < TELL_MS)
		return;
	p->told_ms = now;
	pthread_mutex_lock(&p->lock);
	(void)snprintf(p->progress.status, sizeof p->progress.status, "%s", status);
	(void)snprintf(p->progress.digest, sizeof p->progress.digest, "%s", digest);
	p->progress.total = total;
	p->progress.completed = completed;
	p->progress.all_completed = p->done_before + completed;
	if (p->progress.all_completed > p->progress.all_total)
		p->progress.all_completed = p->progress.all_total;
	pthread_mutex_unlock(&p->lock);
	tell_watchers(p);
}

void pull_kept(struct pull *p, const struct model_kept *kept)
{
	pthread_mutex_lock(&p->lock);
	p->progress.kept = *kept;
	pthread_mutex_unlock(&p->lock);
}

void pull_licence(struct pull *p, struct str title)
{
	title = str_sub(title, 0, sizeof p->progress.licence - 1);
	title = str_sub(title, 0, str_utf8_whole(title));
	pthread_mutex_lock(&p->lock);
	(void)snprintf(p->progress.licence, sizeof p->progress.licence, "%.*s", STR_ARG(title));
	pthread_mutex_unlock(&p->lock);
}

/* ---- a pull's life ---- */
static struct pull *pull_free(struct pull *p)
{
	if (!p)
		return NULL;
	if (p->bell >= 0)
		(void)close(p->bell);
	for (size_t i = 0; p->stream && i < PULL_STREAMS_MAX; i++)
		buf_done(&p->stream[i].mail.body);
	mem_free(p->stream);
	(void)pthread_mutex_destroy(&p->lock);
	(void)pthread_mutex_destroy(&p->telling);
	mem_free(p);
	return NULL;
}

static enum err pull_new(struct pulls *ps, struct pull **ret)
{
	struct pull *p = mem_zalloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->pulls = ps;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_mutex_init(&p->telling, NULL);
	p->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->stream = mem_zalloc(PULL_STREAMS_MAX, sizeof *p->stream);
	if (p->bell < 0 || !p->stream) {
		(void)pull_free(p);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < PULL_STREAMS_MAX; i++)
		p->stream[i].pull = p;
	id_new(p->progress.id);
	*ret = p;
	return OK;
}

static bool wait_for_room(struct pull *p)
{
	struct pulls *ps = p->pulls;
	pthread_mutex_lock(&ps->lock);
	while (ps->running >= PULL_AT_ONCE && !ps->closing && !pull_is_cancelled(p))
		pthread_cond_wait(&ps->room, &ps->lock);
	bool go = !ps->closing && !pull_is_cancelled(p);
	ps->running += go;
	pthread_mutex_unlock(&ps->lock);
	return go;
}

static void finish(struct pull *p, enum err e, const struct err_info *info)
{
	pthread_mutex_lock(&p->lock);
	p->progress.state = e ? PULL_FAILED : PULL_DONE;
	(void)snprintf(
		p->progress.status, sizeof p->progress.status, "%s", e ? "failed" : "success");
	p->progress.digest[0] = '\0';
	p->progress.total = p->progress.completed = 0;
	if (e) {
		p->progress.error = *info;
		p->progress.error.code = e;
		if (!info->detail[0])
			(void)err_set(&p->progress.error, e, "%s", err_text(e));
	} else {
		p->progress.all_completed = p->progress.all_total;
	}
	pthread_mutex_unlock(&p->lock);
	tell_watchers(p);
	pthread_mutex_lock(&p->lock);
	p->n_watch = 0;
	pthread_mutex_unlock(&p->lock);
}

static void *pull_thread(void *arg)
{
	struct pull *p = arg;
	struct pulls *ps = p->pulls;
	struct err_info info = { 0 };
	enum err e = ERR_CANCELLED;
	if (wait_for_room(p)) {
		e = pull_run(p, &info);
		if (!e && model_store_let_in(ps->o.store, str_from(p->progress.name),
				  str_from(p->progress.source), p->person))
			log_warn("who let a model in was not recorded",
				KV_Z("model", p->progress.name));
		pthread_mutex_lock(&ps->lock);
		ps->running--;
		pthread_cond_broadcast(&ps->room);
		pthread_mutex_unlock(&ps->lock);
	}
	if (!e && !p->push)
		pull_tell(p, "removing unused layers", "", 0, 0, true);
	if (e && e != ERR_CANCELLED)
		log_warn("a model did not come or go", KV_Z("model", p->progress.name),
			KV_Z("way", p->push ? "push" : "pull"), KV_ERR(e));
	finish(p, e, &info);
	pthread_mutex_lock(&ps->lock);
	p->over = true;
	pthread_mutex_unlock(&ps->lock);
	return NULL;
}

/* ---- the manager ---- */
enum err pulls_new(const struct pulls_options *o, struct pulls **ret)
{
	struct pulls *ps = mem_zalloc(1, sizeof *ps);
	if (!ps)
		return ERR_NOMEM;
	ps->o = *o;
	(void)pthread_mutex_init(&ps->lock, NULL);
	(void)pthread_cond_init(&ps->room, NULL);
	*ret = ps;
	return OK;
}

static void ring(struct pull *p)
{
	uint64_t one = 1;
	if (write(p->bell, &one, sizeof one) < 0)
		(void)0; /* full: it rings already */
}

static void cancel(struct pull *p)
{
	pthread_mutex_lock(&p->lock);
	p->cancelled = true;
	pthread_mutex_unlock(&p->lock);
	ring(p);
}

static void reap(struct pull *p)
{
	(void)pthread_join(p->thread, NULL);
	(void)pull_free(p);
}

struct pulls *pulls_free(struct pulls *ps)
{
	if (!ps)
		return NULL;
	pthread_mutex_lock(&ps->lock);
	ps->closing = true;
	struct pull *p = ps->first;
	for (struct pull *q = p; q; q = q->next)
		cancel(q);
	pthread_cond_broadcast(&ps->room);
	pthread_mutex_unlock(&ps->lock);
	while (p) {
		struct pull *next = p->next;
		reap(p);
		p = next;
	}
	(void)pthread_mutex_destroy(&ps->lock);
	(void)pthread_cond_destroy(&ps->room);
	mem_free(ps);
	return NULL;
}

static bool is_running(struct pull *p)
{
	pthread_mutex_lock(&p->lock);
	bool is = p->progress.state == PULL_RUNNING;
	pthread_mutex_unlock(&p->lock);
	return is;
}

/* Forgets the oldest finished pulls. With pulls->lock held. */
static void trim(struct pulls *ps)
{
	unsigned finished = 0;
	for (struct pull **at = &ps->first; *at;) {
		struct pull *p = *at;
		if (!p->over || ++finished <= PULL_KEPT) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		reap(p); /* its thread has said its last word: this does not wait */
	}
}

static struct pull *find(struct pulls *ps, const char *id)
{
	for (struct pull *p = ps->first; p; p = p->next)
		if (!strcmp(p->progress.id, id))
			return p;
	return NULL;
}

static bool same(const struct pull *p, bool push, const struct model_name *from,
	const struct model_name *as)
{
	return p->push == push && p->name.source == from->source && name_eq(&p->name, from) &&
	       name_eq(&p->as, as);
}

/* Adds a watcher to a running pull; false: it ended meanwhile, or has too many. */
static bool watch(struct pull *p, pull_sink sink, void *arg, uint64_t id)
{
	pthread_mutex_lock(&p->lock);
	bool ok = p->progress.state == PULL_RUNNING && !p->cancelled &&
		  (!sink || p->n_watch < PULL_WATCHERS_MAX);
	if (ok && sink)
		p->watch[p->n_watch++] = (struct pull_watch){ id, sink, arg };
	pthread_mutex_unlock(&p->lock);
	return ok;
}

static enum err begin(struct pulls *ps, const struct model_name *from, const struct model_name *as,
	const struct pull_request *q, struct pull **ret)
{
	struct pull *p;
	unsigned n = 0;
	for (p = ps->first; p; p = p->next)
		n += is_running(p);
	if (n >= PULLS_MAX || ps->closing)
		return ERR_BUSY;
	TRY(pull_new(ps, &p));
	p->name = *from;
	p->as = *as;
	p->insecure = q->insecure;
	p->push = p->progress.push = q->push;
	if (q->person)
		(void)snprintf(p->person, sizeof p->person, "%s", q->person);
	name_format(as, p->progress.name);
	name_format(from, p->progress.source);
	(void)snprintf(p->progress.status, sizeof p->progress.status, "waiting");
	*ret = p;
	return OK;
}

/* What is pushed is here, under the name that says where it goes. */
static enum err check_push(struct pulls *ps, const struct pull_request *q, struct model_name *n,
	struct err_info *info)
{
	struct model_entry m;
	TRY(name_parse(q->name, n, info));
	if (n->source != NAME_REGISTRY || n->version[0]) {
		(void)err_set(info, ERR_UNSUPPORTED, "\"%.*s\" is not a name in a registry",
			(int)(q->name.len < 200 ? q->name.len : 200), q->name.ptr);
		err_hint(info, "give it one first: tresor cp MODEL HOST/NAMESPACE/NAME:TAG");
		return ERR_UNSUPPORTED;
	}
	TRY(model_store_find(ps->o.store, q->name, &m, info));
	if (!m.alias[0])
		return OK;
	return err_set(info, ERR_UNSUPPORTED, "\"%s\" is an alias: push the model by its name",
		m.alias);
}

static enum err check_request(const struct pull_request *q, struct model_name *from,
	struct model_name *as, struct err_info *info)
{
	TRY(name_parse(q->name, from, info));
	if (from->source == NAME_FILE)
		return err_set(info, ERR_UNSUPPORTED,
			"files are read by the command line: tresor pull file:PATH");
	if (from->version[0])
		return err_set(info, ERR_UNSUPPORTED,
			"a version cannot be pulled by its digest yet: pull the name");
	*as = *from;
	if (q->as.len)
		TRY(name_parse(q->as, as, info));
	if (as->source == NAME_FILE || (as->source == NAME_STARTER && from->source != NAME_STARTER))
		return err_set(info, ERR_INVALID, "the name it should have here is not valid");
	if (from->source == NAME_STARTER && !starter_find(str_from(from->model)))
		return err_set(
			info, ERR_NOT_FOUND, "there is no starter model \"%s\"", from->model);
	return OK;
}

/* Refuses a host that is not allowed at once, not in a job nobody looks at. */
static enum err check_host(
	struct pulls *ps, const struct model_name *from, bool push, struct err_info *info)
{
	char text[NAME_HOST_MAX + 16];
	struct url u;
	if (from->source == NAME_STARTER)
		return OK;
	struct allow *a = mem_alloc(sizeof *a);
	if (!a)
		return ERR_NOMEM;
	egress_client_allow(ps->o.egress, a);
	(void)snprintf(text, sizeof text, "http://%s/", from->host);
	enum err e = url_parse(str_from(text), &u, info);
	if (!e && !allow_plain(a, u.host, u.port)) {
		(void)snprintf(text, sizeof text, "https://%s/", from->host);
		e = url_parse(str_from(text), &u, info);
	}
	if (!e)
		e = push ? allow_push(a, &u, info) : allow_url(a, &u, info);
	mem_free(a);
	return e;
}

enum err pulls_start(struct pulls *ps, const struct pull_request *q, pull_sink sink, void *arg,
	char ret_id[ID_LEN + 1], uint64_t *ret_watch, struct err_info *info)
{
	struct model_name from, as;
	if (q->push) {
		TRY(check_push(ps, q, &from, info));
		as = from;
	} else {
		TRY(check_request(q, &from, &as, info));
		TRY(model_store_name_free(ps->o.store, &as, info)); /* before gigabytes come */
	}
	TRY(check_host(ps, &from, q->push, info));
	pthread_mutex_lock(&ps->lock);
	trim(ps);
	uint64_t id = ++ps->next_watch;
	struct pull *p = ps->first;
	while (p && !(same(p, q->push, &from, &as) && watch(p, sink, arg, id)))
		p = p->next;
	enum err e = OK;
	if (!p) {
		e = begin(ps, &from, &as, q, &p);
		if (!e && sink)
			(void)watch(p, sink, arg, id);
		if (!e) {
			e = thread_start("pull", STACK_BYTES, pull_thread, p, &p->thread);
			if (e)
				(void)pull_free(p);
		}
		if (!e) {
			p->next = ps->first;
			ps->first = p;
		}
	}
	if (!e) {
		memcpy(ret_id, p->progress.id, ID_LEN + 1);
		if (ret_watch)
			*ret_watch = sink ? id : 0;
	}
	pthread_mutex_unlock(&ps->lock);
	return e;
}

void pulls_unwatch(struct pulls *ps, uint64_t id)
{
	if (!id)
		return;
	pthread_mutex_lock(&ps->lock);
	for (struct pull *p = ps->first; p; p = p->next) {
		pthread_mutex_lock(&p->telling); /* waits for a sink that runs now */
		pthread_mutex_lock(&p->lock);
		for (size_t i = 0; i < p->n_watch; i++) {
			if (p->watch[i].id == id) {
				p->watch[i] = p->watch[--p->n_watch];
				break;
			}
		}
		pthread_mutex_unlock(&p->lock);
		pthread_mutex_unlock(&p->telling);
	}
	pthread_mutex_unlock(&ps->lock);
}

enum err pulls_cancel(struct pulls *ps, const char *id)
{
	pthread_mutex_lock(&ps->lock);
	struct pull *p = find(ps, id);
	if (p)
		cancel(p);
	pthread_cond_broadcast(&ps->room);
	pthread_mutex_unlock(&ps->lock);
	return p ? OK : ERR_NOT_FOUND;
}

size_t pulls_list(struct pulls *ps, struct pull_progress *ret, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&ps->lock);
	for (int running = 1; running >= 0; running--) {
		for (struct pull *p = ps->first; p && n < max; p = p->next) {
			pthread_mutex_lock(&p->lock);
			if ((p->progress.state == PULL_RUNNING) == (running == 1))
				ret[n++] = p->progress;
			pthread_mutex_unlock(&p->lock);
		}
	}
	pthread_mutex_unlock(&ps->lock);
	return n;
}

enum err pulls_get(struct pulls *ps, const char *id, struct pull_progress *ret)
{
	pthread_mutex_lock(&ps->lock);
	struct pull *p = find(ps, id);
	if (p) {
		pthread_mutex_lock(&p->lock);
		*ret = p->progress;
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&ps->lock);
	return p ? OK : ERR_NOT_FOUND;
}

enum err pulls_wait(struct pulls *ps, const char *id, int timeout_ms, struct err_info *info)
{
	int64_t until = time_mono_ms() + timeout_ms;
	for (;;) {
		struct pull_progress now;
		/* Asked by id each time: a finished pull may be forgotten while we wait. */
		TRY(pulls_get(ps, id, &now));
		if (now.state == PULL_DONE)
			return OK;
		if (now.state == PULL_FAILED) {
			if (info)
				*info = now.error;
			return now.error.code;
		}
		if (timeout_ms >= 0 && time_mono_ms() >= until)
			return ERR_TIMEOUT;
		(void)usleep(20000);
	}
}
