#include "models/fleet_tokens.h"

#include "base/arena.h"
#include "models/fleet_int.h"

size_t request_tokens_bytes(const struct tokens_request *q)
{
	return q->text.len + q->n_tokens * sizeof *q->tokens;
}

static const void *keep(struct arena *a, const void *p, size_t n, bool *failed)
{
	void *copy = n ? arena_take(a, 1, n) : NULL;
	if (copy)
		memcpy(copy, p, n);
	*failed |= n && !copy;
	return copy;
}

enum err request_copy_tokens(const struct tokens_request *q, struct request *r)
{
	bool failed = false;
	TRY(arena_new(request_tokens_bytes(q) + 64 * 1024, &r->mem));
	r->tokens_ask = ARENA_NEW(r->mem, struct tokens_request);
	if (!r->tokens_ask)
		return ERR_NOMEM;
	*r->tokens_ask = *q;
	r->tokens_ask->text.ptr = keep(r->mem, q->text.ptr, q->text.len, &failed);
	r->tokens_ask->tokens =
		keep(r->mem, q->tokens, q->n_tokens * sizeof *q->tokens, &failed);
	return failed ? ERR_NOMEM : OK;
}

enum err request_send_tokens(struct slot *s, struct request *r)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_TOKENS, r->id);
	tokens_request_put(&m, r->tokens_ask);
	return ipc_send(s->chan, &m);
}

enum err request_tokened(const struct request *r, struct ipc_in *m, struct fleet_event *ret)
{
	struct tokens_done d;
	if (!r->tokens_ask)
		return ERR_PROTOCOL;
	TRY(tokens_done_get(m, &d));
	ret->kind = FLEET_TOKENED;
	ret->tokened = d;
	return OK;
}

enum err request_counted(const struct request *r, struct ipc_in *m, struct fleet_event *ret)
{
	if (!r->count)
		return ERR_PROTOCOL;
	uint64_t n = ipc_get_u64(m);
	TRY(ipc_end(m));
	ret->kind = FLEET_COUNTED;
	ret->counted = n;
	return OK;
}

/* Everything that decides what the engine does with it, each part with its length before it. */
void request_tokens_hash(const struct tokens_request *q, struct sha256 *h)
{
	const struct str parts[] = { q->text,
		{ (const char *)q->tokens, q->n_tokens * sizeof *q->tokens } };
	uint8_t flags[] = { q->to_text, q->add_special, q->parse_special };
	sha256_add(h, flags, sizeof flags);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		uint64_t len = parts[i].len;
		sha256_add(h, &len, sizeof len);
		sha256_add(h, parts[i].ptr, parts[i].len);
	}
}

enum err fleet_count(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	return fleet_submit(
		f, m, &(struct fleet_ask){ .gen = g, .count = true }, sink, arg, ret_id);
}

enum err fleet_tokens(struct fleet *f, const struct fleet_model *m, const struct tokens_request *q,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	return fleet_submit(f, m, &(struct fleet_ask){ .tokens = q }, sink, arg, ret_id);
}
