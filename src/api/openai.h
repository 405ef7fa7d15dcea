/* api/openai.h - what OpenAI's requests for text have in common: /v1/chat/completions,
 * /v1/completions, /v1/responses. Each sets c->param to the field that is wrong. */
#pragma once

#include "api/gen.h"

/* How an API's answers are called. */
struct openai_kind {
	const char *id, *object, *chunk; /* "chatcmpl", and "object" of a whole answer and a part */
};
/* Numbers that all of them take, with the name of Ollama's option that they are; those of the
 * second half are not OpenAI's: what servers beside it take in the same place. */
#define OPENAI_NUMBERS                                                                             \
	{ "temperature", "temperature" }, { "top_p", "top_p" }, { "seed", "seed" },                \
		{ "presence_penalty", "presence_penalty" },                                        \
		{ "frequency_penalty", "frequency_penalty" }, { "top_k", "top_k" },                \
		{ "min_p", "min_p" }, { "typical_p", "typical_p" },                                \
		{ "repeat_penalty", "repeat_penalty" }, { "repeat_last_n", "repeat_last_n" },      \
		{ "num_ctx", "num_ctx" }, { "deadline_ms", "deadline_ms" }
/* A chat's body and the model it must name. Errors: ERR_INVALID, call_body()'s, gen_new()'s. */
enum err openai_begin(struct call *c, const struct gen_form *form, json_t **ret_body,
		      struct gen **ret);
/* "data: {..., "choices":[": the caller puts choices, then openai_event_end(). */
void openai_event(struct gen *g, const struct openai_kind *k, struct jw *w, struct buf *out);
/* `usage`: it comes in an event of its own. `last`: of this answer; tells what belongs to it. */
void openai_event_end(struct gen *g, bool usage, bool last, struct jw *w, struct buf *out);
/* After the last answer's last event: usage if wanted, and [DONE]. */
void openai_done(struct gen *g, const struct openai_kind *k, const struct gen_done *d, bool usage,
		 struct buf *out);
/* All answers in one piece; `choice` puts each. */
typedef void (*openai_choice)(struct gen *g, const struct gen_done *d, struct jw *w);
void openai_whole(struct gen *g, const struct openai_kind *k, const struct gen_done *d,
		  openai_choice choice, struct buf *out);
/* A stream ends after an error, without [DONE]: so that nobody takes it for a whole answer. */
void openai_failed(struct gen *g, const struct err_info *e, struct buf *out);
/* logit_bias: {"token id": -100..100}. Errors: ERR_INVALID, ERR_NOMEM. */
enum err openai_bias(struct call *c, const json_t *body, struct gen_request *r);
/* stream, stream_options. Errors: ERR_INVALID. */
enum err openai_stream(struct gen *g, const json_t *body, bool *ret_usage);
/* When it has to be ready: service_tier ("flex" waits for whatever is more urgent), and what
 * options_run() reads. Errors: ERR_INVALID. */
enum err openai_run(struct gen *g, const json_t *body);
/* How much to think, in OpenAI's words; STR_NONE leaves *ret. Errors: ERR_INVALID. */
enum err openai_effort(struct call *c, struct str word, enum gen_think *ret);
