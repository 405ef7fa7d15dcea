#include "models/fleet_embed.h"

#include "base/arena.h"
#include "models/fleet_int.h"

static const void *keep(struct arena *a, const void *p, size_t n, bool *failed)
{
	if (!n)
		return NULL;
	void *copy = arena_take(a, 1, n);
	if (copy)
		memcpy(copy, p, n);
	*failed |= !copy;
	return copy;
}

size_t request_embed_bytes(const struct embed_request *e)
{
	return e->texts.len + e->query.len + (e->n_tokens + e->n) * sizeof(int32_t);
}

enum err request_copy_embed(const struct embed_request *e, struct request *r)
{
	bool failed = false;
	TRY(arena_new(request_embed_bytes(e) + 64 * 1024, &r->mem));
	r->embed = ARENA_NEW(r->mem, struct embed_request);
	if (!r->embed)
		return ERR_NOMEM;
	*r->embed = *e;
	r->embed->texts.ptr = keep(r->mem, e->texts.ptr, e->texts.len, &failed);
	r->embed->query.ptr = keep(r->mem, e->query.ptr, e->query.len, &failed);
	r->embed->tokens = keep(r->mem, e->tokens, e->n_tokens * sizeof(int32_t), &failed);
	r->embed->lens = keep(r->mem, e->lens, e->n * sizeof(int32_t), &failed);
	return failed ? ERR_NOMEM : OK;
}

enum err request_send_embed(struct slot *s, struct request *r)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_EMBED, r->id);
	embed_request_put(&m, r->embed);
	TRY(ipc_send(s->chan, &m));
	r->begun = true; /* nothing more is said until it ends */
	return OK;
}

enum err request_embedded(const struct request *r, struct ipc_in *m, struct fleet_event *ret)
{
	struct embed_done d;
	if (!r->embed)
		return ERR_PROTOCOL;
	TRY(embed_done_get(m, &d));
	if (d.n != r->embed->n)
		return ERR_PROTOCOL;
	ret->kind = FLEET_EMBEDDED;
	ret->embedded = d;
	return OK;
}

/* Everything that decides what the engine does with it, each part with its length before it. */
void request_embed_hash(const struct embed_request *e, struct sha256 *h)
{
	const struct str parts[] = { e->texts, e->query,
		{ (const char *)e->tokens, e->n_tokens * sizeof *e->tokens },
		{ (const char *)e->lens, e->n * sizeof *e->lens } };
	uint8_t rank = e->rank;
	sha256_add(h, &rank, sizeof rank);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		uint64_t len = parts[i].len;
		sha256_add(h, &len, sizeof len);
		sha256_add(h, parts[i].ptr, parts[i].len);
	}
}

uint64_t request_embedded_tokens(const struct embed_done *d)
{
	uint64_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		n += (uint64_t)d->counts[i];
	return n;
}

enum err fleet_embed(struct fleet *f, const struct fleet_model *m, const struct embed_request *r,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	return fleet_submit(f, m, &(struct fleet_ask){ .embed = r }, sink, arg, ret_id);
}
