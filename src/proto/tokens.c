#include "proto/tokens.h"

/* What is out of range makes the whole message bad. */
static const int32_t *get_i32s(struct ipc_in *m, size_t *ret_n, uint64_t *ret_sum)
{
	const int32_t *v = ipc_get_i32s(m, ret_n);
	*ret_sum = 0;
	for (size_t i = 0; i < *ret_n; i++) {
		ipc_want(m, v[i] >= 0);
		*ret_sum += (uint64_t)(v[i] < 0 ? 0 : v[i]);
	}
	return v;
}

void tokens_request_put(struct ipc_out *m, const struct tokens_request *v)
{
	ipc_put_bool(m, v->to_text);
	ipc_put_str(m, v->text);
	ipc_put_bool(m, v->add_special);
	ipc_put_bool(m, v->parse_special);
	ipc_put_i32s(m, v->tokens, v->n_tokens);
}

enum err tokens_request_get(struct ipc_in *m, struct tokens_request *v)
{
	struct tokens_request got = { 0 };
	uint64_t sum;
	got.to_text = ipc_get_bool(m);
	got.text = ipc_get_str(m);
	got.add_special = ipc_get_bool(m);
	got.parse_special = ipc_get_bool(m);
	got.tokens = get_i32s(m, &got.n_tokens, &sum);
	ipc_want(m, got.text.len <= TOKENS_TEXT_MAX && got.n_tokens <= TOKENS_TEXT_MAX);
	ipc_want(m, got.to_text ? !got.text.len : !got.n_tokens);
	TRY(ipc_end(m));
	*v = got;
	return OK;
}

void tokens_done_put(struct ipc_out *m, const struct tokens_done *v)
{
	ipc_put_i32s(m, v->tokens, v->n);
	ipc_put_i32s(m, v->lens, v->n);
	ipc_put_str(m, v->bytes);
}

enum err tokens_done_get(struct ipc_in *m, struct tokens_done *v)
{
	struct tokens_done got = { 0 };
	uint64_t unused, sum;
	size_t n_lens;
	got.tokens = get_i32s(m, &got.n, &unused);
	got.lens = get_i32s(m, &n_lens, &sum);
	got.bytes = ipc_get_str(m);
	ipc_want(m, n_lens == got.n && sum == got.bytes.len);
	TRY(ipc_end(m));
	*v = got;
	return OK;
}
