/* engine/embed_role.h - vectors inside the engine's role: a queue over the loaded model.
 *
 * A model that writes gets its context for vectors with the first request; one that does not has it
 * from the start. Called by the role's one thread. */
#pragma once

#include "engine/embed.h"

struct llama_backend;
struct embed_role;
struct embed_role_options {
	struct llama_backend *backend; /* borrowed */
	uint32_t n_input;              /* tokens an input may have; 0: chosen */
	uint64_t memory_bytes;         /* what may be used; 0: no limit */
	struct embed_sink sink;
};
/* Errors: ERR_MODEL_BAD (no vectors can be made with a model that does nothing else; info says
 * why), ERR_NOMEM. */
enum err embed_role_new(
	const struct embed_role_options *o, struct embed_role **ret, struct err_info *info);
struct embed_role *embed_role_free(struct embed_role *e);
/* What is wrong is told to the sink. */
void embed_role_add(struct embed_role *e, uint64_t id, const struct embed_request *r);
bool embed_role_cancel(struct embed_role *e, uint64_t id);
void embed_role_cancel_all(struct embed_role *e);
bool embed_role_busy(const struct embed_role *e);
unsigned embed_role_waiting(const struct embed_role *e);
uint64_t embed_role_tokens(const struct embed_role *e); /* computed so far */
enum err embed_role_step(struct embed_role *e);        /* as embedder_step() */
uint64_t embed_role_bytes(const struct embed_role *e); /* of the context; 0: none yet */
