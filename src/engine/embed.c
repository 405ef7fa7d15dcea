#include "engine/embed.h"

#include <math.h>
#include <string.h>

#include "base/fault.h"

enum {
	JOBS_MAX = 512,        /* requests that wait; the fleet holds no more */
	ROWS_MAX = 256,        /* of a batch, whatever the backend offers */
	QUERY_MAX = 64 * 1024, /* bytes: it is read again for each document */
};

struct job {
	struct job *next;
	uint64_t id;
	struct embed_request r; /* points into `text`, `tokens` and `lens` */
	char *text, *query;
	int32_t *tokens, *lens, *counts;
	float *values;
	uint32_t width;            /* values of a row as computed */
	size_t taken, computed;    /* inputs */
	size_t at;                 /* where the next input begins */
	struct embed_text pending; /* the next input, when it was read and found no room */
	bool has_pending;
	uint32_t truncated;
	int64_t arrived_ns, begun_ns;
};

struct embedder {
	const struct embed_ops *ops;
	void *b;
	struct embed_sink sink;
	struct job *jobs; /* the first has the next turn */
	unsigned n_jobs;
	float *out;
	size_t cap_out;
	uint64_t n_tokens; /* computed so far */
};

struct slot { /* which input a row is of */
	struct job *job;
	size_t input;
	struct embed_text text;
};

void embed_text_done(struct embed_text *t)
{
	tokens_done(&t->tokens);
	*t = (struct embed_text){ .cut_from = 0 };
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	embed_text_done(&j->pending);
	mem_free(j->text);
	mem_free(j->query);
	mem_free(j->tokens);
	mem_free(j->lens);
	mem_free(j->counts);
	mem_free(j->values);
	mem_free(j);
}

enum err embedder_new(const struct embed_ops *ops, void *backend, const struct embed_sink *sink,
	struct embedder **ret)
{
	struct embedder *e = mem_zalloc(1, sizeof *e);
	if (!e)
		return ERR_NOMEM;
	e->ops = ops;
	e->b = backend;
	e->sink = *sink;
	*ret = e;
	return OK;
}

struct embedder *embedder_free(struct embedder *e)
{
	if (!e)
		return NULL;
	embedder_cancel_all(e);
	mem_free(e->out);
	mem_free(e);
	return NULL;
}

static struct job *unlink_job(struct embedder *e, uint64_t id)
{
	for (struct job **at = &e->jobs; *at; at = &(*at)->next)
		if ((*at)->id == id) {
			struct job *j = *at;
			*at = j->next;
			e->n_jobs--;
			return j;
		}
	return NULL;
}

bool embedder_cancel(struct embedder *e, uint64_t id)
{
	struct job *j = unlink_job(e, id);
	job_free(j);
	return j != NULL;
}

void embedder_cancel_all(struct embedder *e)
{
	while (e->jobs)
		(void)embedder_cancel(e, e->jobs->id);
}

bool embedder_busy(const struct embedder *e)
{
	return e->jobs != NULL;
}

unsigned embedder_waiting(const struct embedder *e)
{
	return e->n_jobs;
}

uint64_t embedder_tokens(const struct embedder *e)
{
	return e->n_tokens;
}

static void fail(struct embedder *e, uint64_t id, enum err why, const char *detail)
{
	e->sink.failed(
		e->sink.arg, id, &(struct gen_failed){ .code = why, .detail = str_from(detail) });
}

/* ---- a request comes ---- */

static enum err copy(const void *from, size_t n, void **ret)
{
	if (!n)
		return OK;
	void *to = mem_alloc(n);
	if (!to)
		return ERR_NOMEM;
	memcpy(to, from, n);
	*ret = to;
	return OK;
}

static enum err job_copy(struct job *j, const struct embed_request *r)
{
	void *text = NULL, *query = NULL, *tokens = NULL, *lens = NULL;
	enum err err = copy(r->texts.ptr, r->texts.len, &text);
	if (!err)
		err = copy(r->query.ptr, r->query.len, &query);
	if (!err)
		err = copy(r->tokens, r->n_tokens * sizeof *r->tokens, &tokens);
	if (!err)
		err = copy(r->lens, r->n * sizeof *r->lens, &lens);
	j->text = text;
	j->query = query;
	j->tokens = tokens;
	j->lens = lens;
	j->r = *r;
	j->r.texts.ptr = text;
	j->r.query.ptr = query;
	j->r.tokens = tokens;
	j->r.lens = lens;
	return err;
}

/* What cannot be answered is said at once. NULL: nothing wrong. */
static const char *refuse(const struct embed_caps *c, const struct embed_request *r, enum err *why)
{
	*why = ERR_UNSUPPORTED;
	if (r->rank && !c->ranks)
		return "this model makes vectors; it has no classifier to rank documents with";
	if (!r->rank && c->ranks)
		return "this model ranks documents for a query; it makes no vectors";
	*why = ERR_INVALID;
	if (r->dimensions > c->n_embd)
		return "more dimensions are wanted than the model's vectors have";
	for (size_t i = 0; i < r->n_tokens; i++)
		if ((uint32_t)r->tokens[i] >= c->n_vocab)
			return "a token id is not in the model's vocabulary";
	*why = ERR_LIMIT;
	if (r->query.len > QUERY_MAX)
		return "the query is too long";
	if (r->n > EMBED_INPUTS_MAX ||
		(uint64_t)r->n * (r->rank ? 1 : c->n_embd) > EMBED_VALUES_MAX)
		return "too many inputs in one request for vectors of this size";
	return NULL;
}

void embedder_add(struct embedder *e, uint64_t id, const struct embed_request *r)
{
	const struct embed_caps *c = e->ops->caps(e->b);
	enum err err;
	const char *bad = refuse(c, r, &err);
	if (bad || e->n_jobs >= JOBS_MAX) {
		fail(e, id, bad ? err : ERR_BUSY, bad ? bad : err_text(ERR_BUSY));
		return;
	}
	struct job *j = mem_zalloc(1, sizeof *j);
	err = j ? job_copy(j, r) : ERR_NOMEM;
	if (!err) {
		j->width = r->rank ? 1 : c->n_embd;
		j->values = mem_zalloc(r->n * (size_t)j->width, sizeof *j->values);
		j->counts = mem_zalloc(r->n, sizeof *j->counts);
		err = j->values && j->counts ? OK : ERR_NOMEM;
	}
	if (err) {
		job_free(j);
		fail(e, id, err, err_text(err));
		return;
	}
	j->id = id;
	j->arrived_ns = e->ops->now_ns(e->b);
	struct job **end = &e->jobs;
	while (*end)
		end = &(*end)->next;
	*end = j;
	e->n_jobs++;
}

/* ---- inputs ---- */

/* Cuts an input that is too long, or says why it cannot be taken. */
static enum err fit(
	const struct embed_caps *c, struct job *j, struct embed_text *t, struct gen_failed *why)
{
	size_t n = t->tokens.n, over = n > c->n_input ? n - c->n_input : 0;
	*why = (struct gen_failed){ .prompt_tokens = (uint32_t)n, .context_tokens = c->n_input };
	if (!n) {
		why->detail = STR("an input is empty");
		return ERR_INVALID;
	}
	for (size_t i = 0; i < n; i++)
		if (t->tokens.v[i] < 0 || (uint32_t)t->tokens.v[i] >= c->n_vocab) {
			why->detail =
				STR("the model's vocabulary and its marks do not fit together");
			return ERR_MODEL_BAD;
		}
	if (!over)
		return OK;
	if (!j->r.truncate)
		return ERR_CONTEXT;
	if (t->cut_to - t->cut_from < over) {
		why->detail = STR("the query alone is longer than the model can read");
		return ERR_CONTEXT;
	}
	memmove(t->tokens.v + t->cut_to - over, t->tokens.v + t->cut_to,
		(n - t->cut_to) * sizeof *t->tokens.v);
	t->tokens.n -= over;
	j->truncated++;
	return OK;
}

static enum err read_input(
	struct embedder *e, struct job *j, struct embed_text *ret, struct gen_failed *why)
{
	size_t len = (size_t)j->lens[j->taken];
	enum err err;
	*why = (struct gen_failed){ .code = OK };
	if (j->r.n_tokens) {
		err = e->ops->marks(e->b, j->r.tokens + j->at, len, ret);
	} else {
		struct str text = str_sub(j->r.texts, j->at, len);
		err = j->r.rank ? e->ops->pair(e->b, j->r.query, text, ret)
				: e->ops->text(e->b, text, ret);
	}
	if (!err)
		err = fit(e->ops->caps(e->b), j, ret, why);
	if (err)
		return err;
	j->at += len;
	j->counts[j->taken] = (int32_t)ret->tokens.n;
	return OK;
}

/* The job ends with an error that names the input, if that is what is wrong. */
static void fail_input(struct embedder *e, struct job *j, enum err err, struct gen_failed *why)
{
	char text[ERR_DETAIL_MAX];
	struct err_info info = { .code = err };
	size_t i = j->taken;
	if (err == ERR_CONTEXT && !why->detail.len)
		(void)err_set(&info, err, "input %zu has %u tokens; the model reads at most %u", i,
			why->prompt_tokens, why->context_tokens);
	else
		(void)err_set(&info, err, "input %zu: %.*s", i,
			STR_ARG(why->detail.len ? why->detail : str_from(err_text(err))));
	(void)!!str_copy(str_from(info.detail), text, sizeof text);
	why->code = err;
	why->detail = str_from(text);
	(void)unlink_job(e, j->id);
	e->sink.failed(e->sink.arg, j->id, why);
	job_free(j);
}

/* ---- a batch ---- */

/* The job at the front goes to the back: the next one has its turn. */
static void rotate(struct embedder *e)
{
	struct job *j = e->jobs;
	if (!j || !j->next)
		return;
	e->jobs = j->next;
	struct job **end = &e->jobs;
	while (*end)
		end = &(*end)->next;
	*end = j;
	j->next = NULL;
}

/* Does any job hold inputs that are not in a batch yet? Brings the first of them to the front. */
static bool front_has_more(struct embedder *e)
{
	for (unsigned i = 0; i < e->n_jobs; i++) {
		if (e->jobs->taken < e->jobs->r.n)
			return true;
		rotate(e);
	}
	return false;
}

static size_t gather(struct embedder *e, struct slot *v, size_t max)
{
	const struct embed_caps *c = e->ops->caps(e->b);
	size_t n = 0, tokens = 0;
	while (n < max && front_has_more(e)) {
		struct job *j = e->jobs;
		struct gen_failed why;
		if (!j->has_pending) {
			enum err err = read_input(e, j, &j->pending, &why);
			if (err) {
				/* rows of this batch may be the job's: they go as well */
				size_t kept = 0;
				for (size_t i = 0; i < n; i++)
					if (v[i].job != j)
						v[kept++] = v[i];
					else
						embed_text_done(&v[i].text);
				n = kept;
				fail_input(e, j, err, &why);
				continue;
			}
			j->has_pending = true;
		}
		if (n && tokens + j->pending.tokens.n > c->n_batch)
			break; /* its turn comes first in the next batch */
		tokens += j->pending.tokens.n;
		if (!j->taken)
			j->begun_ns = e->ops->now_ns(e->b);
		v[n++] = (struct slot){ j, j->taken++, j->pending };
		j->pending = (struct embed_text){ .cut_from = 0 };
		j->has_pending = false;
		rotate(e);
	}
	return n;
}

static bool normal_length(float *v, uint32_t n)
{
	double sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += (double)v[i] * (double)v[i];
	if (!isfinite(sum))
		return false;
	double by = sum > 0 ? 1 / sqrt(sum) : 0;
	for (uint32_t i = 0; i < n; i++)
		v[i] = (float)((double)v[i] * by);
	return true;
}

static bool all_finite(const float *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(v[i]))
			return false;
	return true;
}

/* All inputs are computed: cut, normalise, tell. */
static void finish(struct embedder *e, struct job *j)
{
	uint32_t dim = j->r.dimensions && !j->r.rank ? j->r.dimensions : j->width;
	bool ok = true;
	for (size_t i = 0; i < j->r.n; i++) {
		float *row = j->values + i * dim;
		memmove(row, j->values + i * j->width, dim * sizeof *row);
		ok &= all_finite(row, dim);
		if (j->r.normalise && !j->r.rank)
			ok &= normal_length(row, dim);
	}
	int64_t now = e->ops->now_ns(e->b);
	(void)unlink_job(e, j->id);
	if (!ok)
		fail(e, j->id, ERR_MODEL_BAD, "the model gave values that are not numbers");
	else
		e->sink.done(e->sink.arg, j->id,
			&(struct embed_done){ .values = j->values,
				.n_values = j->r.n * (size_t)dim,
				.counts = j->counts,
				.n = j->r.n,
				.dim = dim,
				.truncated = j->truncated,
				.longest = e->ops->caps(e->b)->n_input,
				.queue_ns = j->begun_ns - j->arrived_ns,
				.compute_ns = now - j->begun_ns });
	job_free(j);
}

static enum err room(struct embedder *e, size_t values)
{
	if (values <= e->cap_out)
		return OK;
	float *out = mem_realloc(e->out, values * sizeof *out);
	if (!out)
		return ERR_NOMEM;
	e->out = out;
	e->cap_out = values;
	return OK;
}

/* A batch that was refused ends the requests it was made of; a batch of one says which. */
static void fail_rows(struct embedder *e, struct slot *v, size_t n, enum err err)
{
	for (size_t i = 0; i < n; i++) {
		struct job *j = v[i].job;
		for (size_t k = i + 1; k < n; k++)
			if (v[k].job == j)
				v[k].job = NULL;
		if (!j)
			continue;
		(void)unlink_job(e, j->id);
		fail(e, j->id, err,
			err == ERR_NOMEM ? err_text(err) : "the model refused the input");
		job_free(j);
	}
}

static void hand_out(struct embedder *e, struct slot *v, size_t n, uint32_t width)
{
	for (size_t i = 0; i < n; i++) {
		struct job *j = v[i].job;
		memcpy(j->values + v[i].input * width, e->out + i * width, width * sizeof *e->out);
		j->computed++;
	}
	for (size_t i = 0; i < n; i++) {
		struct job *j = v[i].job;
		bool last = true; /* of this job's rows */
		for (size_t k = i + 1; k < n; k++)
			last &= v[k].job != j;
		if (last && j->computed == j->r.n)
			finish(e, j);
	}
}

enum err embedder_step(struct embedder *e)
{
	const struct embed_caps *c = e->ops->caps(e->b);
	struct slot v[ROWS_MAX];
	struct embed_row rows[ROWS_MAX];
	uint32_t width = c->ranks ? 1 : c->n_embd;
	size_t n = gather(e, v, c->n_seq < ROWS_MAX ? c->n_seq : ROWS_MAX);
	if (!n)
		return OK;
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct embed_row){ v[i].text.tokens.v, (uint32_t)v[i].text.tokens.n };
	enum err err = room(e, n * width);
	if (!err)
		err = e->ops->compute(e->b, rows, n, e->out);
	for (size_t i = 0; i < n; i++) {
		e->n_tokens += err ? 0 : rows[i].n;
		embed_text_done(&v[i].text);
	}
	if (err == ERR_ENGINE)
		return err;
	if (err)
		fail_rows(e, v, n, err);
	else
		hand_out(e, v, n, width);
	return OK;
}
