/* api/openai.h - what OpenAI's requests for text have in common: /v1/chat/completions,
 * /v1/completions. Each sets c->param to the field that is wrong. */
#pragma once

#include "api/gen.h"

void openai_fingerprint(const struct gen *g, char dst[96]);
/* "usage" of all answers: into an open object. */
void openai_usage(const struct gen *g, const struct gen_done *d, struct jw *w);
/* A stream ends after an error, without [DONE]: so that nobody takes it for a whole answer. */
void openai_failed(struct gen *g, const struct err_info *e, struct buf *out);
/* logit_bias: {"token id": -100..100}. Errors: ERR_INVALID, ERR_NOMEM. */
enum err openai_bias(struct call *c, const json_t *body, struct gen_request *r);
/* stream, stream_options. Errors: ERR_INVALID. */
enum err openai_stream(struct gen *g, const json_t *body, bool *ret_usage);
/* When it has to be ready: service_tier ("flex" waits for whatever is more urgent), and what
 * options_run() reads. Errors: ERR_INVALID. */
enum err openai_run(struct gen *g, const json_t *body);
