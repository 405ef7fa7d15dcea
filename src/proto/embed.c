#include "proto/embed.h"

#include <math.h>

enum { N_CTX_MAX = 16 * 1024 * 1024 };

/* What is out of range makes the whole message bad. */
static uint32_t get_u32(struct ipc_in *m, uint32_t max)
{
	uint64_t v = ipc_get_u64(m);
	ipc_want(m, v <= max);
	return v <= max ? (uint32_t)v : 0;
}

static const int32_t *get_counts(struct ipc_in *m, size_t *ret_n, uint64_t *ret_sum)
{
	const int32_t *v = ipc_get_i32s(m, ret_n);
	*ret_sum = 0;
	for (size_t i = 0; i < *ret_n; i++) {
		ipc_want(m, v[i] >= 0);
		*ret_sum += (uint64_t)(v[i] < 0 ? 0 : v[i]);
	}
	ipc_want(m, *ret_n > 0 && *ret_n <= EMBED_INPUTS_MAX);
	return v;
}

void embed_request_put(struct ipc_out *m, const struct embed_request *v)
{
	ipc_put_str(m, v->texts);
	ipc_put_i32s(m, v->tokens, v->n_tokens);
	ipc_put_i32s(m, v->lens, v->n);
	ipc_put_bool(m, v->rank);
	ipc_put_str(m, v->query);
	ipc_put_u64(m, v->dimensions);
	ipc_put_bool(m, v->normalise);
	ipc_put_bool(m, v->truncate);
	ipc_put_u64(m, v->person);
}

enum err embed_request_get(struct ipc_in *m, struct embed_request *v)
{
	struct embed_request got = { 0 };
	uint64_t sum;
	got.texts = ipc_get_str(m);
	got.tokens = ipc_get_i32s(m, &got.n_tokens);
	got.lens = get_counts(m, &got.n, &sum);
	got.rank = ipc_get_bool(m);
	got.query = ipc_get_str(m);
	got.dimensions = get_u32(m, N_CTX_MAX);
	got.normalise = ipc_get_bool(m);
	got.truncate = ipc_get_bool(m);
	got.person = ipc_get_u64(m);
	ipc_want(m, !(got.texts.len && got.n_tokens) && !(got.rank && got.n_tokens));
	ipc_want(m, sum == (got.n_tokens ? got.n_tokens : got.texts.len));
	for (size_t i = 0; i < got.n_tokens; i++)
		ipc_want(m, got.tokens[i] >= 0);
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

/* Floats travel as the 32 bits they are: both ends are the same build on the same machine. */
void embed_done_put(struct ipc_out *m, const struct embed_done *v)
{
	_Static_assert(sizeof(float) == sizeof(int32_t), "a float has 32 bits");
	ipc_put_i32s(m, (const int32_t *)(const void *)v->values, v->n_values);
	ipc_put_i32s(m, v->counts, v->n);
	ipc_put_u64(m, v->dim);
	ipc_put_u64(m, v->truncated);
	ipc_put_u64(m, v->longest);
	ipc_put_i64(m, v->queue_ns);
	ipc_put_i64(m, v->compute_ns);
}

enum err embed_done_get(struct ipc_in *m, struct embed_done *v)
{
	struct embed_done got = { 0 };
	uint64_t sum;
	got.values = (const float *)(const void *)ipc_get_i32s(m, &got.n_values);
	got.counts = get_counts(m, &got.n, &sum);
	got.dim = get_u32(m, N_CTX_MAX);
	got.truncated = get_u32(m, EMBED_INPUTS_MAX);
	got.longest = get_u32(m, N_CTX_MAX);
	got.queue_ns = ipc_get_i64(m);
	got.compute_ns = ipc_get_i64(m);
	ipc_want(m, got.dim > 0 && (uint64_t)got.dim * got.n == got.n_values);
	ipc_want(m, got.queue_ns >= 0 && got.compute_ns >= 0);
	for (size_t i = 0; i < got.n_values; i++)
		ipc_want(m, isfinite(got.values[i]));
	TRY(ipc_end(m));
	*v = got;
	return OK;
}
