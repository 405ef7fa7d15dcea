/* One run of a trial, on its thread: first the old version, then the new one, so that each is
 * loaded once; a few prompts at a time. */
#include "models/trial_int.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "models/own.h"
#include "os/threads.h"

enum { AT_ONCE = 4, STACK_BYTES = 512 * 1024, QUEUE_WAIT_MS = 500, NS_PER_MS = 1000000 };

struct ask { /* one prompt to one version; all but `of` and `text` under the trials' lock */
	struct trial_run *of;
	struct buf text;
	uint64_t id;
	int64_t ms;
	bool over;
};
struct side { /* a version, and how it is asked */
	struct fleet_model model;
	struct buf before;    /* messages that come before the prompt, as JSON text */
	struct model_own own; /* the template and the stop strings are borrowed from it */
	struct gen_request r;
	struct ask *ask;
};
struct trial_run {
	struct trials *t;
	struct trial row;
	size_t n;
	char **prompt; /* owned */
	struct side side[2];
	uint32_t tokens;
	unsigned in_flight;
	enum err err; /* the first */
	char why[ERR_DETAIL_MAX];
};

static struct trial_run *run_free(struct trial_run *r)
{
	if (!r)
		return NULL;
	for (unsigned k = 0; k < 2; k++) {
		for (size_t i = 0; r->side[k].ask && i < r->n; i++)
			buf_done(&r->side[k].ask[i].text);
		mem_free(r->side[k].ask);
		buf_done(&r->side[k].before);
		model_own_done(&r->side[k].own);
	}
	for (size_t i = 0; r->prompt && i < r->n; i++)
		mem_free(r->prompt[i]);
	mem_free(r->prompt);
	mem_free(r);
	return NULL;
}

/* ---- what is asked ---- */

struct gather {
	struct trial_run *r;
	enum err err;
};

static void take_prompt(const struct trial_prompt *p, void *arg)
{
	struct gather *g = arg;
	struct trial_run *r = g->r;
	if (g->err || r->n == TRIAL_PROMPTS_MAX)
		return;
	g->err = str_dup(p->text, &r->prompt[r->n]);
	r->n += !g->err;
}

/* The model's own system text and example messages. */
static void add_before(void *arg, struct str role, struct str content)
{
	struct side *s = arg;
	struct jw w;
	if (s->before.len)
		(void)buf_add_byte(&s->before, ',');
	jw_init(&w, &s->before);
	jw_obj(&w);
	jw_kstr(&w, "role", role);
	jw_kstr(&w, "content", content);
	jw_kstr(&w, "share", STR("company")); /* the same for everybody */
	jw_end(&w);
}

/* Of a model's own options all but what makes answers differ from run to run. */
static void take_options(struct side *s, uint32_t tokens)
{
	struct model_options o;
	model_options_init(&o);
	model_options_read(&o, s->own.params, NULL, NULL);
	s->r.sampling = o.sampling;
	s->r.sampling.temperature = 0;
	s->r.sampling.seed = 0;
	s->r.sampling.num_predict = (int32_t)tokens;
	s->r.max_context = o.num_ctx;
	for (s->r.n_stop = 0; s->r.n_stop < o.n_stop; s->r.n_stop++)
		s->r.stop[s->r.n_stop] = o.stop[s->r.n_stop];
}

static enum err side_init(struct trial_run *r, unsigned k, const struct model_entry *m)
{
	struct side *s = &r->side[k];
	s->model = (struct fleet_model){ .keep_alive_ms = FLEET_KEEP_AS_IS };
	TRY(fleet_model_of(m, &s->model));
	memcpy(s->model.engine, r->row.engine[k], sizeof s->model.engine);
	TRY(model_own_read(r->t->store, m, &s->own));
	s->before = BUF(LIMIT_MANIFEST);
	model_own_messages(&s->own, true, add_before, s);
	TRY(s->before.err);
	s->r = (struct gen_request){ .kind = GEN_CHAT,
		.person = gen_number(str_from(r->row.person)),
		.priority = 2, /* batch */
		.temporary = true,
		.template_ = buf_str(&s->own.template_) };
	take_options(s, r->tokens);
	s->ask = mem_zalloc(r->n, sizeof *s->ask);
	if (!s->ask)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n; i++)
		s->ask[i] = (struct ask){ .of = r, .text = BUF(TRIAL_ANSWER_MAX) };
	return OK;
}

/* ---- answers; on the fleet's thread ---- */

static void fail_locked(struct trial_run *r, enum err e, struct str why)
{
	if (r->err)
		return;
	r->err = e;
	struct str text = why.len ? why : str_from(err_text(e));
	(void)!!str_copy(str_sub(text, 0, str_utf8_whole(str_sub(text, 0, sizeof r->why - 1))),
		r->why, sizeof r->why);
}

static void on_event(const struct fleet_event *e, void *arg)
{
	struct ask *a = arg;
	struct trial_run *r = a->of;
	struct trials *t = r->t;
	pthread_mutex_lock(&t->lock);
	if (e->kind == FLEET_DELTA && !e->delta.thinking) {
		if (buf_add(&a->text, e->delta.text))
			fail_locked(r, ERR_LIMIT, STR("an answer is too long"));
	} else if (e->kind == FLEET_DONE || e->kind == FLEET_FAILED) {
		if (e->kind == FLEET_FAILED)
			fail_locked(r, e->failed.code, e->failed.detail);
		else if (e->done.reason == GEN_CANCELLED)
			fail_locked(r, ERR_CANCELLED, STR(""));
		else
			a->ms = (e->done.prompt_ns + e->done.answer_ns) / NS_PER_MS;
		a->over = true;
		r->in_flight--;
	}
	if (a->over || r->err)
		pthread_cond_broadcast(&t->more);
	pthread_mutex_unlock(&t->lock);
}

/* ---- the run ---- */

static enum err ask_one(struct trial_run *r, struct side *s, size_t i)
{
	AUTO_BUF struct buf input = BUF(LIMIT_MANIFEST + 8 * TRIAL_PROMPT_MAX);
	uint64_t id = 0;
	TRY(buf_addf(&input, "[%.*s%s{\"role\":\"user\",\"content\":",
		STR_ARG(buf_str(&s->before)), s->before.len ? "," : ""));
	TRY(json_add_str(&input, str_from(r->prompt[i])));
	TRY(buf_add(&input, STR("}]")));
	s->r.input = buf_str(&input);
	pthread_mutex_lock(&r->t->lock);
	r->in_flight++;
	pthread_mutex_unlock(&r->t->lock);
	enum err e = fleet_start(r->t->fleet, &s->model, &s->r, on_event, &s->ask[i], &id);
	pthread_mutex_lock(&r->t->lock);
	if (e)
		r->in_flight--;
	else
		s->ask[i].id = id;
	pthread_mutex_unlock(&r->t->lock);
	return e;
}

static void wait_locked(struct trials *t, int64_t ms)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * NS_PER_MS;
	if (until.tv_nsec >= 1000 * (long)NS_PER_MS) {
		until.tv_sec++;
		until.tv_nsec -= 1000 * (long)NS_PER_MS;
	}
	(void)pthread_cond_timedwait(&t->more, &t->lock, &until);
}

static void cancel_all(struct trial_run *r, struct side *s)
{
	uint64_t id[TRIAL_PROMPTS_MAX];
	size_t n = 0;
	pthread_mutex_lock(&r->t->lock);
	for (size_t i = 0; i < r->n; i++)
		if (s->ask[i].id && !s->ask[i].over)
			id[n++] = s->ask[i].id;
	pthread_mutex_unlock(&r->t->lock);
	for (size_t i = 0; i < n; i++)
		fleet_cancel(r->t->fleet, id[i]);
}

/* Asks one version everything, at most AT_ONCE at a time; returns when none is in flight. */
static void run_side(struct trial_run *r, struct side *s)
{
	struct trials *t = r->t;
	bool cancelled = false;
	pthread_mutex_lock(&t->lock);
	for (size_t next = 0;;) {
		if (t->closing)
			fail_locked(r, ERR_CLOSED, STR("the server was stopped"));
		bool ended = r->err || next == r->n;
		if (ended && !r->in_flight)
			break;
		if (r->err && !cancelled) {
			pthread_mutex_unlock(&t->lock);
			cancel_all(r, s);
			cancelled = true;
			pthread_mutex_lock(&t->lock);
			continue;
		}
		if (ended || r->in_flight >= AT_ONCE) {
			wait_locked(t, QUEUE_WAIT_MS);
			continue;
		}
		pthread_mutex_unlock(&t->lock);
		enum err e = ask_one(r, s, next);
		pthread_mutex_lock(&t->lock);
		if (!e)
			next++;
		else if (e == ERR_QUEUE || e == ERR_BUSY)
			wait_locked(t, QUEUE_WAIT_MS); /* people go first */
		else
			fail_locked(r, e, STR(""));
	}
	pthread_mutex_unlock(&t->lock);
}

static enum err keep(struct trial_run *r)
{
	struct trial_result result = { .id = r->row.id, .n = r->n };
	struct trial_answer *list = mem_zalloc(r->n, sizeof *list);
	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n; i++) {
		list[i].prompt = str_from(r->prompt[i]);
		for (unsigned k = 0; k < 2; k++) {
			list[i].text[k] = buf_str(&r->side[k].ask[i].text);
			list[i].ms[k] = r->side[k].ask[i].ms;
		}
	}
	result.answer = list;
	enum err e = trial_row_end(r->t, &result);
	mem_free(list);
	return e;
}

static void *run_main(void *arg)
{
	struct trial_run *r = arg;
	struct trials *t = r->t;
	run_side(r, &r->side[0]);
	if (!r->err)
		run_side(r, &r->side[1]);
	enum err e = r->err ? r->err : keep(r);
	if (e && e != ERR_NOT_FOUND) {
		struct trial_result failed = { .id = r->row.id,
			.failed = str_from(r->why[0] ? r->why : err_text(e)) };
		log_warn("a trial failed", KV_Z("alias", r->row.alias), KV_ERR(e));
		if (trial_row_end(t, &failed))
			log_warn("the end of a trial was not stored", KV_Z("alias", r->row.alias));
	}
	(void)run_free(r);
	pthread_mutex_lock(&t->lock);
	t->running = false;
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---- the start ---- */

static enum err versions(struct trial_run *r, const struct alias *a, struct model_entry m[2],
	struct err_info *info)
{
	static const enum alias_channel of[2] = { ALIAS_PRODUCTION, ALIAS_CANDIDATE };
	for (unsigned k = 0; k < 2; k++) {
		const struct alias_target *t = &a->at[of[k]];
		if (!t->digest[0])
			return err_set(info, ERR_CONFLICT, "the alias \"%s\" has no %s version",
				a->name, alias_channel_text(of[k]));
		if (model_store_find_digest(r->t->store, t->digest, &m[k]) ||
			strcmp(m[k].digest, t->digest) != 0)
			return err_set(info, ERR_NOT_FOUND,
				"the %s version of \"%s\" is not here any more",
				alias_channel_text(of[k]), a->name);
		if (m[k].gguf.embedding_model)
			return err_set(info, ERR_INVALID, "model \"%s\" cannot chat", m[k].name);
		memcpy(r->row.digest[k], t->digest, sizeof r->row.digest[k]);
		memcpy(r->row.model[k], t->model, sizeof r->row.model[k]);
		memcpy(r->row.engine[k], t->engine, sizeof r->row.engine[k]);
	}
	if (!strcmp(r->row.digest[0], r->row.digest[1]) &&
		!strcmp(r->row.engine[0], r->row.engine[1]))
		return err_set(info, ERR_CONFLICT,
			"candidate and production of \"%s\" are the same version", a->name);
	return OK;
}

static enum err prepare(struct trial_run *r, struct str alias, struct err_info *info)
{
	AUTO_MEM struct model_entry *m = mem_zalloc(2, sizeof *m);
	AUTO_MEM struct alias *a = mem_zalloc(1, sizeof *a);
	struct gather g = { .r = r };
	r->prompt = mem_zalloc(TRIAL_PROMPTS_MAX, sizeof *r->prompt);
	if (!m || !a || !r->prompt)
		return ERR_NOMEM;
	TRY(model_alias_get(r->t->store, alias, a, info));
	TRY(versions(r, a, m, info));
	TRY(trial_prompts(r->t, alias, take_prompt, &g, info));
	TRY(g.err);
	if (!r->n)
		return err_set(info, ERR_CONFLICT, "the alias \"%s\" has no prompts", a->name);
	for (unsigned k = 0; k < 2; k++)
		TRY(side_init(r, k, &m[k]));
	memcpy(r->row.alias, a->name, sizeof r->row.alias);
	memcpy(r->row.state, "running", sizeof "running");
	r->row.prompts = (unsigned)r->n;
	r->row.created_ms = time_now_ms();
	id_new(r->row.id);
	return trial_row_add(r->t, &r->row);
}

static enum err start(struct trials *t, struct str alias, uint32_t tokens, const char *person,
	struct trial *ret, struct err_info *info)
{
	struct trial_run *r = mem_zalloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->t = t;
	r->tokens = tokens;
	enum err e = str_copy(str_from(person ? person : ""), r->row.person, sizeof r->row.person);
	if (!e)
		e = prepare(r, alias, info);
	struct trial row = r->row;
	if (!e) {
		pthread_mutex_lock(&t->lock); /* it cannot end before it can be joined */
		e = thread_start("trial", STACK_BYTES, run_main, r, &t->thread);
		t->joinable = !e;
		pthread_mutex_unlock(&t->lock);
		struct trial_result failed = { .id = row.id, .failed = STR("it did not start") };
		if (e && trial_row_end(t, &failed))
			log_warn("the end of a trial was not stored", KV_Z("alias", row.alias));
	}
	if (e) {
		(void)run_free(r);
		return e;
	}
	*ret = row;
	return OK;
}

enum err trials_start(struct trials *t, struct str alias, int64_t tokens, const char *person,
	struct trial *ret, struct err_info *info)
{
	if (tokens < 0 || tokens > TRIAL_TOKENS_MAX)
		return err_set(info, ERR_INVALID, "tokens: 1 to %d", TRIAL_TOKENS_MAX);
	pthread_mutex_lock(&t->lock);
	bool busy = t->running || t->closing, join = !busy && t->joinable;
	if (!busy)
		t->running = true;
	if (join)
		t->joinable = false;
	pthread_mutex_unlock(&t->lock);
	if (busy)
		return err_set(info, ERR_BUSY, "a trial is running: one at a time");
	if (join) /* it said that it is over: this does not wait */
		(void)pthread_join(t->thread, NULL);
	enum err e = start(t, alias, tokens ? (uint32_t)tokens : TRIAL_TOKENS, person, ret, info);
	pthread_mutex_lock(&t->lock);
	if (e)
		t->running = false;
	pthread_mutex_unlock(&t->lock);
	return e;
}
