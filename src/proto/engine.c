#include "proto/engine.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"

enum {
	N_CTX_MAX = 16 * 1024 * 1024, /* tokens; four times what any model of today claims */
	N_SEQ_MAX = 4096,
	N_THREADS_MAX = 4096,
	N_VOCAB_MAX = 16 * 1024 * 1024,
	STOP_MAX = 16,
	SAMPLING_FLOATS = 9,
};

void gen_sampling_defaults(struct gen_sampling *s)
{
	*s = (struct gen_sampling){
		.temperature = 0.8f,
		.top_k = 40,
		.top_p = 0.9f,
		.min_p = 0.0f,
		.typical_p = 1.0f,
		.repeat_last_n = 64,
		.repeat_penalty = 1.1f,
		.mirostat_tau = 5.0f,
		.mirostat_eta = 0.1f,
		.seed = -1,
		.num_predict = -1,
	};
}

uint64_t gen_number(struct str id)
{
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < id.len; i++)
		h = (h ^ (unsigned char)id.ptr[i]) * 1099511628211u;
	return h ? h : 1;
}

/* What is out of range makes the whole message bad. */
static uint32_t get_u32(struct ipc_in *m, uint32_t max)
{
	uint64_t v = ipc_get_u64(m);
	ipc_want(m, v <= max);
	return v <= max ? (uint32_t)v : 0;
}

static int32_t get_i32(struct ipc_in *m, int32_t min, int32_t max)
{
	int64_t v = ipc_get_i64(m);
	ipc_want(m, v >= min && v <= max);
	return v >= min && v <= max ? (int32_t)v : 0;
}

static float get_float(struct ipc_in *m)
{
	double v = ipc_get_f64(m);
	bool ok = isfinite(v) && isfinite((float)v);
	ipc_want(m, ok);
	return ok ? (float)v : 0;
}

static struct str get_text(struct ipc_in *m, size_t max)
{
	struct str s = ipc_get_str(m);
	ipc_want(m, s.len <= max);
	return s;
}

static int64_t get_duration(struct ipc_in *m)
{
	int64_t v = ipc_get_i64(m);
	ipc_want(m, v >= 0);
	return v;
}

/* ---- loading ---- */

void engine_load_put(struct ipc_out *m, struct engine_load *v)
{
	ipc_put_fd(m, v->model_fd);
	v->model_fd = -1;
	ipc_put_bool(m, v->has_projector);
	if (v->has_projector)
		ipc_put_fd(m, v->projector_fd);
	v->has_projector = false;
	ipc_put_u64(m, v->n_adapters);
	for (unsigned i = 0; i < v->n_adapters; i++)
		ipc_put_fd(m, v->adapter_fd[i]);
	v->n_adapters = 0;
	ipc_put_bool(m, v->has_cores);
	if (v->has_cores) {
		ipc_put_fd(m, v->cores_fd);
		ipc_put_u64(m, v->cores_place);
	}
	v->has_cores = false;
	engine_params_put(m, v);
	ipc_put_u64(m, v->disk_bytes);
	if (!v->disk_bytes)
		return;
	ipc_put_fd(m, v->cache_fd);
	v->cache_fd = -1;
	ipc_put_str(m, (struct str){ (const char *)v->cache_key, sizeof v->cache_key });
}

void engine_params_put(struct ipc_out *m, const struct engine_load *v)
{
	ipc_put_u64(m, v->n_cards);
	for (unsigned i = 0; i < v->n_cards; i++) {
		ipc_put_str(m, str_from(v->card[i].id));
		ipc_put_u64(m, v->card[i].share);
	}
	ipc_put_u64(m, v->n_ctx);
	ipc_put_u64(m, v->n_seq);
	ipc_put_u64(m, v->n_threads);
	ipc_put_u64(m, v->n_batch);
	ipc_put_u64(m, v->n_ubatch);
	ipc_put_i64(m, v->n_gpu_layers);
	ipc_put_u64(m, v->n_ctx_own);
	ipc_put_i64(m, v->flash);
	ipc_put_u64(m, v->cache_bytes);
	ipc_put_str(m, str_from(v->tuned));
	ipc_put_str(m, str_from(v->tuned_build));
}

/* One line of text for people and for an array of `size` bytes. */
static void get_line(struct ipc_in *m, char *dst, size_t size)
{
	struct str s = ipc_get_str(m);
	bool ok = str_is_utf8(s) && !str_has_control(s) && !str_copy(s, dst, size);
	ipc_want(m, ok);
	if (!ok)
		dst[0] = '\0';
}

static void cards_get(struct ipc_in *m, struct engine_load *v)
{
	v->n_cards = get_u32(m, CARDS_MAX);
	for (unsigned i = 0; i < v->n_cards; i++) {
		struct card_use *c = &v->card[i];
		get_line(m, c->id, sizeof c->id);
		c->share = get_u32(m, 1000);
		ipc_want(m, card_api_of(str_from(c->id), NULL) != CARD_NONE && c->share);
	}
}

void engine_params_get(struct ipc_in *m, struct engine_load *v)
{
	v->model_fd = v->cache_fd = -1;
	cards_get(m, v);
	v->n_ctx = get_u32(m, N_CTX_MAX);
	v->n_seq = get_u32(m, N_SEQ_MAX);
	v->n_threads = get_u32(m, N_THREADS_MAX);
	v->n_batch = get_u32(m, N_CTX_MAX);
	v->n_ubatch = get_u32(m, N_CTX_MAX);
	v->n_gpu_layers = get_i32(m, -1, INT32_MAX);
	v->n_ctx_own = get_u32(m, N_CTX_MAX);
	v->flash = (int8_t)get_i32(m, -1, 1);
	v->cache_bytes = ipc_get_u64(m);
	get_line(m, v->tuned, sizeof v->tuned);
	get_line(m, v->tuned_build, sizeof v->tuned_build);
}

static void cache_get(struct ipc_in *m, struct engine_load *v)
{
	v->disk_bytes = ipc_get_u64(m);
	if (!v->disk_bytes)
		return;
	v->cache_fd = ipc_get_fd(m);
	struct str key = ipc_get_str(m);
	ipc_want(m, key.len == sizeof v->cache_key && v->disk_bytes <= INT64_MAX);
	if (key.len == sizeof v->cache_key)
		memcpy(v->cache_key, key.ptr, key.len);
}

static void adapters_get(struct ipc_in *m, struct engine_load *v)
{
	v->n_adapters = get_u32(m, ENGINE_ADAPTERS_MAX);
	for (unsigned i = 0; i < v->n_adapters; i++)
		v->adapter_fd[i] = ipc_get_fd(m);
}

enum err engine_load_get(struct ipc_in *m, struct engine_load *v)
{
	struct engine_load got = { .model_fd = -1 };
	AUTO_FD int model = ipc_get_fd(m);
	bool eyes = ipc_get_bool(m);
	AUTO_FD int projector = eyes ? ipc_get_fd(m) : -1;
	adapters_get(m, &got);
	bool shares = ipc_get_bool(m);
	AUTO_FD int cores = shares ? ipc_get_fd(m) : -1;
	got.cores_place = shares ? get_u32(m, UINT32_MAX) : 0;
	engine_params_get(m, &got);
	cache_get(m, &got);
	AUTO_FD int cache = got.cache_fd;
	enum err e = ipc_end(m);
	if (!e) {
		got.model_fd = TAKE_FD(model);
		got.has_cores = shares;
		got.cores_fd = TAKE_FD(cores);
		got.has_projector = eyes;
		got.projector_fd = TAKE_FD(projector);
		got.cache_fd = TAKE_FD(cache);
		*v = got;
		got.n_adapters = 0;
	}
	for (unsigned i = 0; i < got.n_adapters; i++)
		if (got.adapter_fd[i] >= 0)
			(void)close(got.adapter_fd[i]);
	wipe(got.cache_key, sizeof got.cache_key);
	return e;
}

void engine_info_put(struct ipc_out *m, const struct engine_info *v)
{
	ipc_put_u64(m, v->n_ctx);
	ipc_put_u64(m, v->n_ctx_train);
	ipc_put_u64(m, v->n_seq);
	ipc_put_u64(m, v->n_vocab);
	ipc_put_u64(m, v->n_threads);
	ipc_put_u64(m, v->model_bytes);
	ipc_put_u64(m, v->kv_bytes);
	ipc_put_bool(m, v->has_template);
	ipc_put_bool(m, v->gpu);
	ipc_put_bool(m, v->writes);
	ipc_put_bool(m, v->ranks);
	ipc_put_bool(m, v->sees);
	ipc_put_u64(m, v->n_embd);
	ipc_put_str(m, v->build);
	ipc_put_str(m, v->template_hash);
	ipc_put_str(m, v->architecture);
	ipc_put_str(m, v->description);
	ipc_put_str(m, v->tuned);
	ipc_put_str(m, v->cards);
}

enum err engine_info_get(struct ipc_in *m, struct engine_info *v)
{
	struct engine_info got = { 0 };
	got.n_ctx = get_u32(m, N_CTX_MAX);
	got.n_ctx_train = get_u32(m, N_CTX_MAX);
	got.n_seq = get_u32(m, N_SEQ_MAX);
	got.n_vocab = get_u32(m, N_VOCAB_MAX);
	got.n_threads = get_u32(m, N_THREADS_MAX);
	got.model_bytes = ipc_get_u64(m);
	got.kv_bytes = ipc_get_u64(m);
	got.has_template = ipc_get_bool(m);
	got.gpu = ipc_get_bool(m);
	got.writes = ipc_get_bool(m);
	got.ranks = ipc_get_bool(m);
	got.sees = ipc_get_bool(m);
	got.n_embd = get_u32(m, N_VOCAB_MAX);
	got.build = get_text(m, LIMIT_NAME);
	got.template_hash = get_text(m, LIMIT_NAME);
	got.architecture = get_text(m, LIMIT_NAME);
	got.description = get_text(m, LIMIT_NAME);
	got.tuned = get_text(m, ENGINE_TUNED_MAX);
	ipc_want(m, str_is_utf8(got.tuned) && !str_has_control(got.tuned));
	got.cards = get_text(m, ENGINE_CARDS_TEXT_MAX);
	ipc_want(m, str_is_utf8(got.cards) && !str_has_control(got.cards));
	ipc_want(m, got.gpu == (got.cards.len > 0));
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

/* ---- generating ---- */

/* The floats of gen_sampling in the order in which they travel. */
static void sampling_floats(struct gen_sampling *s, float *ret[SAMPLING_FLOATS])
{
	float *const list[SAMPLING_FLOATS] = {
		&s->temperature,    &s->top_p,	      &s->min_p,	     &s->typical_p,
		&s->repeat_penalty, &s->presence_penalty, &s->frequency_penalty, &s->mirostat_tau,
		&s->mirostat_eta,
	};
	memcpy(ret, list, sizeof list);
}

static void sampling_put(struct ipc_out *m, struct gen_sampling s)
{
	float *f[SAMPLING_FLOATS];
	sampling_floats(&s, f);
	for (int i = 0; i < SAMPLING_FLOATS; i++)
		ipc_put_f64(m, (double)*f[i]);
	ipc_put_i64(m, s.top_k);
	ipc_put_i64(m, s.repeat_last_n);
	ipc_put_i64(m, s.mirostat);
	ipc_put_i64(m, s.seed);
	ipc_put_i64(m, s.num_predict);
}

static void sampling_get(struct ipc_in *m, struct gen_sampling *s)
{
	float *f[SAMPLING_FLOATS];
	sampling_floats(s, f);
	for (int i = 0; i < SAMPLING_FLOATS; i++)
		*f[i] = get_float(m);
	s->top_k = get_i32(m, INT32_MIN, INT32_MAX);
	s->repeat_last_n = get_i32(m, -1, N_CTX_MAX);
	s->mirostat = get_i32(m, 0, 2);
	s->seed = ipc_get_i64(m);
	s->num_predict = get_i32(m, -2, INT32_MAX);
}

static void pictures_put(struct ipc_out *m, const struct gen_request *v)
{
	ipc_put_u64(m, v->n_pictures);
	for (unsigned i = 0; i < v->n_pictures && i < GEN_PICTURES_MAX; i++) {
		const struct gen_picture *p = &v->picture[i];
		int fd = -1;
		if (!m->err)
			m->err = fd_dup(p->rgb_fd, &fd);
		ipc_put_u64(m, p->width);
		ipc_put_u64(m, p->height);
		ipc_put_fd(m, fd);
		ipc_put_str(m, (struct str){ (const char *)p->hash, sizeof p->hash });
	}
}

void gen_request_done(struct gen_request *v)
{
	for (unsigned i = 0; i < v->n_pictures; i++)
		if (v->picture[i].rgb_fd >= 0)
			(void)close(v->picture[i].rgb_fd);
	v->n_pictures = 0;
}

static void pictures_get(struct ipc_in *m, struct gen_request *v)
{
	unsigned n = get_u32(m, GEN_PICTURES_MAX);
	for (unsigned i = 0; i < n && !m->err; i++) {
		struct gen_picture *p = &v->picture[i];
		p->width = get_u32(m, GEN_PICTURE_SIDE_MAX);
		p->height = get_u32(m, GEN_PICTURE_SIDE_MAX);
		p->rgb_fd = ipc_get_fd(m);
		v->n_pictures = i + 1;
		struct str hash = ipc_get_str(m);
		ipc_want(m, p->width && p->height && hash.len == sizeof p->hash);
		if (hash.len == sizeof p->hash)
			memcpy(p->hash, hash.ptr, hash.len);
	}
}

void gen_request_put(struct ipc_out *m, const struct gen_request *v)
{
	ipc_put_u64(m, v->kind);
	ipc_put_str(m, v->input);
	ipc_put_str(m, v->tools);
	ipc_put_str(m, v->schema);
	ipc_put_u64(m, v->n_stop);
	for (unsigned i = 0; i < v->n_stop && i < STOP_MAX; i++)
		ipc_put_str(m, v->stop[i]);
	sampling_put(m, v->sampling);
	ipc_put_u64(m, v->max_context);
	ipc_put_bool(m, v->truncate);
	ipc_put_bool(m, v->strict);
	ipc_put_bool(m, v->raw);
	ipc_put_i32s(m, v->resume, v->n_resume);
	ipc_put_u64(m, v->person);
	ipc_put_u64(m, v->group);
	ipc_put_u64(m, v->object);
	ipc_put_bool(m, v->temporary);
	ipc_put_u64(m, v->priority);
	ipc_put_i64(m, v->deadline_ms);
	ipc_put_str(m, v->grammar);
	ipc_put_str(m, v->tool_choice);
	ipc_put_bool(m, v->one_call);
	ipc_put_u64(m, v->think);
	ipc_put_bool(m, v->think_required);
	ipc_put_bool(m, v->has_think_budget);
	ipc_put_u64(m, v->think_budget);
	ipc_put_bool(m, v->logprobs);
	ipc_put_u64(m, v->top_logprobs);
	ipc_put_i32s(m, v->bias, 2 * v->n_bias);
	ipc_put_str(m, v->suffix);
	ipc_put_str(m, v->lead);
	ipc_put_str(m, v->extra);
	ipc_put_str(m, v->template_);
	pictures_put(m, v);
}

static const int32_t *get_tokens(struct ipc_in *m, size_t *ret_n)
{
	const int32_t *t = ipc_get_i32s(m, ret_n);
	for (size_t i = 0; i < *ret_n; i++)
		ipc_want(m, t[i] >= 0);
	ipc_want(m, *ret_n <= N_CTX_MAX);
	return t;
}

static void get_bias(struct ipc_in *m, struct gen_request *v)
{
	size_t n = 0;
	v->bias = ipc_get_i32s(m, &n);
	v->n_bias = n / 2;
	ipc_want(m, n % 2 == 0 && v->n_bias <= GEN_BIAS_MAX);
	for (size_t i = 0; i + 1 < n && !m->err; i += 2)
		ipc_want(m, v->bias[i] >= 0 && v->bias[i + 1] >= -GEN_BIAS_MILLI_MAX &&
				 v->bias[i + 1] <= GEN_BIAS_MILLI_MAX);
}

enum err gen_request_get(struct ipc_in *m, struct gen_request *v)
{
	struct gen_request got = { 0 };
	got.kind = (enum gen_kind)get_u32(m, GEN_INFILL);
	got.input = ipc_get_str(m);
	got.tools = ipc_get_str(m);
	got.schema = ipc_get_str(m);
	got.n_stop = get_u32(m, STOP_MAX);
	for (unsigned i = 0; i < got.n_stop; i++) {
		got.stop[i] = get_text(m, LIMIT_STOP_STRING);
		ipc_want(m, got.stop[i].len > 0);
	}
	sampling_get(m, &got.sampling);
	got.max_context = get_u32(m, N_CTX_MAX);
	got.truncate = ipc_get_bool(m);
	got.strict = ipc_get_bool(m);
	got.raw = ipc_get_bool(m);
	got.resume = get_tokens(m, &got.n_resume);
	got.person = ipc_get_u64(m);
	got.group = ipc_get_u64(m);
	got.object = ipc_get_u64(m);
	got.temporary = ipc_get_bool(m);
	got.priority = (uint8_t)get_u32(m, 2);
	got.deadline_ms = get_duration(m);
	got.grammar = ipc_get_str(m);
	got.tool_choice = ipc_get_str(m);
	got.one_call = ipc_get_bool(m);
	got.think = (enum gen_think)get_u32(m, THINK_HIGH);
	got.think_required = ipc_get_bool(m);
	got.has_think_budget = ipc_get_bool(m);
	got.think_budget = get_u32(m, N_CTX_MAX);
	got.logprobs = ipc_get_bool(m);
	got.top_logprobs = (uint8_t)get_u32(m, GEN_TOP_LOGPROBS_MAX);
	get_bias(m, &got);
	got.suffix = ipc_get_str(m);
	got.lead = ipc_get_str(m);
	got.extra = ipc_get_str(m);
	got.template_ = ipc_get_str(m);
	ipc_want(m, got.template_.len <= LIMIT_TEMPLATE);
	pictures_get(m, &got);
	enum err e = ipc_end(m);
	if (e) {
		gen_request_done(&got);
		return e;
	}
	*v = got;
	return OK;
}

void gen_begun_put(struct ipc_out *m, const struct gen_begun *v)
{
	ipc_put_u64(m, v->prompt_tokens);
	ipc_put_u64(m, v->cached_tokens);
	ipc_put_u64(m, v->truncated_tokens);
	ipc_put_i64(m, v->seed);
}

enum err gen_begun_get(struct ipc_in *m, struct gen_begun *v)
{
	struct gen_begun got = { 0 };
	got.prompt_tokens = get_u32(m, UINT32_MAX);
	got.cached_tokens = get_u32(m, UINT32_MAX);
	got.truncated_tokens = get_u32(m, UINT32_MAX);
	got.seed = ipc_get_i64(m);
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

void gen_queued_put(struct ipc_out *m, const struct gen_queued *v)
{
	ipc_put_u64(m, v->position);
	ipc_put_i64(m, v->estimate_ms);
}

enum err gen_queued_get(struct ipc_in *m, struct gen_queued *v)
{
	struct gen_queued got = { 0 };
	got.position = get_u32(m, UINT32_MAX);
	got.estimate_ms = ipc_get_i64(m);
	ipc_want(m, got.estimate_ms >= -1);
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

void engine_purge_put(struct ipc_out *m, const struct engine_purge *v)
{
	ipc_put_u64(m, v->person);
	ipc_put_u64(m, v->object);
}

enum err engine_purge_get(struct ipc_in *m, struct engine_purge *v)
{
	struct engine_purge got = { 0 };
	got.person = ipc_get_u64(m);
	got.object = ipc_get_u64(m);
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

void gen_delta_put(struct ipc_out *m, const struct gen_delta *v)
{
	ipc_put_i32s(m, v->tokens, v->n_tokens);
	ipc_put_str(m, v->text);
	ipc_put_bool(m, v->thinking);
	ipc_put_str(m, v->logprobs);
}

enum err gen_delta_get(struct ipc_in *m, struct gen_delta *v)
{
	struct gen_delta got = { 0 };
	got.tokens = get_tokens(m, &got.n_tokens);
	got.text = get_text(m, LIMIT_ANSWER);
	got.thinking = ipc_get_bool(m);
	got.logprobs = get_text(m, LIMIT_ANSWER);
	/* whole characters only: whoever stores or streams it relies on that */
	ipc_want(m, str_is_utf8(got.text));
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

void gen_done_put(struct ipc_out *m, const struct gen_done *v)
{
	ipc_put_u64(m, v->reason);
	ipc_put_u64(m, v->prompt_tokens);
	ipc_put_u64(m, v->cached_tokens);
	ipc_put_u64(m, v->answer_tokens);
	ipc_put_u64(m, v->stop);
	ipc_put_i64(m, v->queue_ns);
	ipc_put_i64(m, v->prompt_ns);
	ipc_put_i64(m, v->answer_ns);
	ipc_put_str(m, v->calls);
	ipc_put_str(m, v->warnings);
}

enum err gen_done_get(struct ipc_in *m, struct gen_done *v)
{
	struct gen_done got = { 0 };
	got.reason = (enum gen_reason)get_u32(m, GEN_CANCELLED);
	got.prompt_tokens = get_u32(m, UINT32_MAX);
	got.cached_tokens = get_u32(m, UINT32_MAX);
	got.answer_tokens = get_u32(m, UINT32_MAX);
	got.stop = (uint8_t)get_u32(m, STOP_MAX);
	got.queue_ns = get_duration(m);
	got.prompt_ns = get_duration(m);
	got.answer_ns = get_duration(m);
	got.calls = get_text(m, LIMIT_ANSWER);
	got.warnings = get_text(m, LIMIT_IPC_INLINE);
	ipc_want(m, str_is_utf8(got.calls) && str_is_utf8(got.warnings));
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

void gen_failed_put(struct ipc_out *m, const struct gen_failed *v)
{
	ipc_put_u64(m, v->code);
	ipc_put_str(m, v->detail);
	ipc_put_u64(m, v->prompt_tokens);
	ipc_put_u64(m, v->context_tokens);
}

enum err gen_failed_get(struct ipc_in *m, struct gen_failed *v)
{
	struct gen_failed got = { 0 };
	got.code = (enum err)get_u32(m, ERR_COUNT_ - 1);
	got.detail = get_text(m, ERR_DETAIL_MAX);
	got.prompt_tokens = get_u32(m, UINT32_MAX);
	got.context_tokens = get_u32(m, UINT32_MAX);
	ipc_want(m, got.code != OK); /* a failure says which */
	ipc_want(m, str_is_utf8(got.detail) && !memchr(got.detail.ptr, 0, got.detail.len));
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

const uint32_t STATS_BOUNDS_MS[STATS_BUCKETS - 1] = { 10, 25, 50, 100, 150, 250, 500, 1000, 2500,
	10000, 30000 };

static void times_put(struct ipc_out *m, const struct stats_times *t)
{
	for (int i = 0; i < STATS_BUCKETS; i++)
		ipc_put_u64(m, t->n[i]);
	ipc_put_u64(m, t->sum_us);
}

static void times_get(struct ipc_in *m, struct stats_times *t)
{
	for (int i = 0; i < STATS_BUCKETS; i++)
		t->n[i] = ipc_get_u64(m);
	t->sum_us = ipc_get_u64(m);
}

void engine_stats_put(struct ipc_out *m, const struct engine_stats *v)
{
	ipc_put_u64(m, v->active);
	ipc_put_u64(m, v->waiting);
	ipc_put_u64(m, v->cells_used);
	ipc_put_u64(m, v->cells);
	ipc_put_u64(m, v->tokens_in);
	ipc_put_u64(m, v->tokens_out);
	ipc_put_u64(m, v->tokens_cached);
	ipc_put_u64(m, v->cache_bytes);
	ipc_put_u64(m, v->disk_bytes);
	ipc_put_u64(m, v->drafted);
	ipc_put_u64(m, v->accepted);
	ipc_put_u64(m, v->preempted);
	for (int i = 0; i < STATS_CLASSES; i++) {
		times_put(m, &v->first[i]);
		times_put(m, &v->between[i]);
	}
}

enum err engine_stats_get(struct ipc_in *m, struct engine_stats *v)
{
	struct engine_stats got = { 0 };
	got.active = get_u32(m, UINT32_MAX);
	got.waiting = get_u32(m, UINT32_MAX);
	got.cells_used = get_u32(m, UINT32_MAX);
	got.cells = get_u32(m, UINT32_MAX);
	got.tokens_in = ipc_get_u64(m);
	got.tokens_out = ipc_get_u64(m);
	got.tokens_cached = ipc_get_u64(m);
	got.cache_bytes = ipc_get_u64(m);
	got.disk_bytes = ipc_get_u64(m);
	got.drafted = ipc_get_u64(m);
	got.accepted = ipc_get_u64(m);
	got.preempted = ipc_get_u64(m);
	for (int i = 0; i < STATS_CLASSES; i++) {
		times_get(m, &got.first[i]);
		times_get(m, &got.between[i]);
	}
	TRY(ipc_end(m));
	*v = got;
	return OK;
}
