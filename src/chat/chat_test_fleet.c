#include "chat/chat_test_fleet.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { REQUESTS_MAX = 4096 };

struct fleet {
	pthread_mutex_t lock;
	struct fake_request requests[REQUESTS_MAX];
	size_t n;
	struct engine_purge purged[64];
	size_t n_purged;
	enum err refuse;
	bool full;
};

struct fleet *fake_fleet_new(void)
{
	struct fleet *f = calloc(1, sizeof *f);
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

void fake_fleet_free(struct fleet *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->requests[i].input);
		free(f->requests[i].resume);
	}
	free(f);
}

size_t fake_count(struct fleet *f)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n;
	pthread_mutex_unlock(&f->lock);
	return n;
}

enum err fleet_purge(struct fleet *f, uint64_t person, uint64_t object)
{
	pthread_mutex_lock(&f->lock);
	if (f->n_purged < 64)
		f->purged[f->n_purged++] = (struct engine_purge){ person, object };
	pthread_mutex_unlock(&f->lock);
	return OK;
}

size_t fake_purges(struct fleet *f, struct engine_purge *ret, size_t max)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n_purged < max ? f->n_purged : max;
	for (size_t i = 0; i < n; i++)
		ret[i] = f->purged[i];
	pthread_mutex_unlock(&f->lock);
	return n;
}

struct fake_request *fake_at(struct fleet *f, size_t i) { return &f->requests[i]; }
void fake_full(struct fleet *f, bool full) { f->full = full; }
bool fleet_is_full(struct fleet *f) { return f->full; }
void fake_refuse_next(struct fleet *f, enum err e) { f->refuse = e; }

enum err fleet_start(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
		     fleet_sink sink, void *arg, uint64_t *ret_id)
{
	pthread_mutex_lock(&f->lock);
	enum err e = f->refuse;
	f->refuse = OK;
	if (!e && f->n == REQUESTS_MAX)
		e = ERR_BUSY;
	if (!e) {
		struct fake_request *r = &f->requests[f->n];
		*r = (struct fake_request){ .id = ++f->n, .model = *m, .n_resume = g->n_resume,
			.seed = g->sampling.seed, .person = g->person, .object = g->object,
			.sink = sink, .arg = arg };
		r->input = strndup(g->input.ptr, g->input.len);
		r->n_pictures = g->n_pictures;
		for (unsigned i = 0; i < g->n_pictures; i++) {
			struct stat st;
			if (fstat(g->picture[i].rgb_fd, &st)) /* closed, or never opened */
				abort();
			r->pictures[i] = (char)g->picture[i].hash[0];
		}
		if (g->n_resume) {
			r->resume = malloc(g->n_resume * sizeof(int32_t));
			memcpy(r->resume, g->resume, g->n_resume * sizeof(int32_t));
		}
		*ret_id = r->id;
	}
	pthread_mutex_unlock(&f->lock);
	return e;
}

static bool take_over(struct fleet *f, size_t i)
{
	pthread_mutex_lock(&f->lock);
	bool first = !f->requests[i].over;
	f->requests[i].over = true;
	pthread_mutex_unlock(&f->lock);
	return first;
}

static void send_event(struct fleet *f, size_t i, const struct fleet_event *e)
{
	f->requests[i].sink(e, f->requests[i].arg);
}

void fake_done(struct fleet *f, size_t i, enum gen_reason reason)
{
	struct fleet_event e = { .kind = FLEET_DONE,
		.done = { .reason = reason,
			.prompt_tokens = 12,
			.cached_tokens = 5,
			.answer_tokens = 7,
			.queue_ns = 1000000,
			.prompt_ns = 2000000,
			.answer_ns = 3000000 } };
	if (take_over(f, i))
		send_event(f, i, &e);
}

void fake_failed(struct fleet *f, size_t i, enum err err, const char *text)
{
	struct fleet_event e = { .kind = FLEET_FAILED,
		.failed = { .code = err, .detail = str_from(text) } };
	if (take_over(f, i))
		send_event(f, i, &e);
}

void fleet_cancel(struct fleet *f, uint64_t id)
{
	f->requests[id - 1].cancelled = true;
	fake_done(f, id - 1, GEN_CANCELLED);
}

void fake_queued(struct fleet *f, size_t i, unsigned position, bool loading)
{
	send_event(f, i, &(struct fleet_event){ .kind = FLEET_QUEUED, .position = position,
						.loading = loading });
}

void fake_begun(struct fleet *f, size_t i, int64_t seed, uint32_t truncated)
{
	struct engine_info info = { .build = STR("fake 1"), .template_hash = STR("abcd") };
	send_event(f, i, &(struct fleet_event){ .kind = FLEET_BEGUN, .engine = &info,
		.begun = { .seed = seed, .truncated_tokens = truncated } });
}

static void delta(struct fleet *f, size_t i, const char *text, size_t n_tokens, bool thinking)
{
	static const int32_t tokens[1024];
	send_event(f, i, &(struct fleet_event){ .kind = FLEET_DELTA,
		.delta = { .tokens = tokens, .n_tokens = n_tokens, .text = str_from(text),
			   .thinking = thinking } });
}

void fake_say(struct fleet *f, size_t i, const char *text, size_t n_tokens)
{
	delta(f, i, text, n_tokens, false);
}

void fake_think(struct fleet *f, size_t i, const char *text, size_t n_tokens)
{
	delta(f, i, text, n_tokens, true);
}

void fake_rewind(struct fleet *f, size_t i)
{
	send_event(f, i, &(struct fleet_event){ .kind = FLEET_REWIND });
}
