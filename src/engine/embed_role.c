#include "engine/embed_role.h"

#include "base/fault.h"
#include "engine/llama/backend.h"
#include "engine/llama/embed.h"

enum { BESIDE_TEXT = 2048 }; /* tokens of an input where the model's purpose is another */

struct embed_role {
	struct embed_role_options o;
	bool writes;
	struct llama_embed *context;
	struct embedder *queue;
};

static enum err open_context(struct embed_role *e, struct err_info *info)
{
	if (e->queue)
		return OK;
	uint32_t n = e->o.n_input ? e->o.n_input : e->writes ? BESIDE_TEXT : 0;
	if (!e->context)
		TRY(llama_embed_new(e->o.backend, n, e->o.memory_bytes, &e->context, info));
	return embedder_new(&LLAMA_EMBED_OPS, e->context, &e->o.sink, &e->queue);
}

enum err embed_role_new(
	const struct embed_role_options *o, struct embed_role **ret, struct err_info *info)
{
	struct llama_backend_facts f;
	struct embed_role *e = mem_zalloc(1, sizeof *e);
	if (!e)
		return ERR_NOMEM;
	e->o = *o;
	llama_backend_facts(o->backend, &f);
	e->writes = f.writes;
	enum err err = e->writes ? OK : open_context(e, info);
	if (err) {
		embed_role_free(e);
		return err;
	}
	*ret = e;
	return OK;
}

struct embed_role *embed_role_free(struct embed_role *e)
{
	if (!e)
		return NULL;
	embedder_free(e->queue);
	llama_embed_free(e->context);
	mem_free(e);
	return NULL;
}

void embed_role_add(struct embed_role *e, uint64_t id, const struct embed_request *r)
{
	struct err_info info = { .code = OK };
	enum err err = open_context(e, &info);
	if (!err) {
		embedder_add(e->queue, id, r);
		return;
	}
	const char *why = info.detail[0] ? info.detail : err_text(err);
	e->o.sink.failed(
		e->o.sink.arg, id, &(struct gen_failed){ .code = err, .detail = str_from(why) });
}

bool embed_role_cancel(struct embed_role *e, uint64_t id)
{
	return e->queue && embedder_cancel(e->queue, id);
}

void embed_role_cancel_all(struct embed_role *e)
{
	if (e->queue)
		embedder_cancel_all(e->queue);
}

bool embed_role_busy(const struct embed_role *e)
{
	return e->queue && embedder_busy(e->queue);
}

unsigned embed_role_waiting(const struct embed_role *e)
{
	return e->queue ? embedder_waiting(e->queue) : 0;
}

uint64_t embed_role_tokens(const struct embed_role *e)
{
	return e->queue ? embedder_tokens(e->queue) : 0;
}

enum err embed_role_step(struct embed_role *e)
{
	return e->queue ? embedder_step(e->queue) : OK;
}

uint64_t embed_role_bytes(const struct embed_role *e)
{
	return e->context ? llama_embed_bytes(e->context) : 0;
}
