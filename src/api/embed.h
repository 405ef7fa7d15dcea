/* api/embed.h - one request for vectors or scores: from an API to the fleet and back.
 *
 * A struct embed_call lives in the request's arena; the fleet's side holds the request until its
 * last event. A client that goes cancels. */
#pragma once

#include "api/call.h"
#include "models/fleet_embed.h"
#include "models/store.h"

struct embed_call {
	struct call *c;
	/* The answer in the API's form; runs on the fleet's thread. */
	void (*write)(struct embed_call *e, const struct embed_done *d, struct buf *out);
	void *of_form;
	struct model_entry model;
	char shown_model[LIMIT_MODEL_NAME + 1]; /* as the client named it */
	struct fleet_model target;
	struct embed_request r; /* inputs by embed_add_*(); the form sets the rest */
	int32_t *lens;          /* EMBED_INPUTS_MAX of them */
	struct buf texts, tokens;
	_Atomic uint64_t id; /* the fleet's; 0 not yet */
	int64_t start_ns, load_ns;
	char build[64], engine[LIMIT_ENGINE_ID + 1];
};

/* Finds the model. Errors: ERR_NOT_FOUND, ERR_INVALID, ERR_NOMEM. */
enum err embed_new(struct call *c, struct str model, struct embed_call **ret);
/* Errors: ERR_INVALID (too many, both kinds mixed), ERR_LIMIT, ERR_NOMEM. */
enum err embed_add_text(struct embed_call *e, struct str text);
enum err embed_add_tokens(struct embed_call *e, const json_t *ids);
/* Starts, or answers with an error. */
enum err embed_start(struct embed_call *e);

uint64_t embed_tokens(const struct embed_done *d); /* of all inputs */
/* A row as a JSON array; nine digits a value, which read back as the same float. */
void embed_row_json(const float *v, uint32_t n, struct jw *w);
void embed_row_base64(const float *v, uint32_t n, struct jw *w); /* little endian, as OpenAI */
/* model_digest, engine_build and warnings: into an open object. */
void embed_origin_json(const struct embed_call *e, struct jw *w);
