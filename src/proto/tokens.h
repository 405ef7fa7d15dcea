/* proto/tokens.h - a text's tokens and tokens' text: between the server and an engine.
 *
 * server -> engine   ENGINE_TOKENS
 * engine -> server   exactly one of ENGINE_TOKENED, GEN_FAILED. It is answered at once, so a
 *                    GEN_CANCEL changes nothing. */
#pragma once

#include "proto/engine.h"

/* Bytes of a text; as many tokens the other way. It is cut between two batches, while everybody
 * waits. */
enum { TOKENS_TEXT_MAX = 128 * 1024 };

struct tokens_request { /* everything borrowed */
	bool to_text;
	struct str text;    /* to tokens: */
	bool add_special;   /* with the marks that the model has at a text's beginning and end */
	bool parse_special; /* control tokens may be named in it */
	const int32_t *tokens; /* to text */
	size_t n_tokens;
};
struct tokens_done { /* everything borrowed */
	const int32_t *tokens;
	/* What each token stands for, control tokens as they are written; one after the other, so
	 * it is the text of all. A single piece may be no whole UTF-8 character. */
	const int32_t *lens; /* bytes of each */
	size_t n;
	struct str bytes;
};

/* As in proto/engine.h. The get checks that the lengths add up to what is there. */
void tokens_request_put(struct ipc_out *m, const struct tokens_request *v);
enum err tokens_request_get(struct ipc_in *m, struct tokens_request *v);
void tokens_done_put(struct ipc_out *m, const struct tokens_done *v);
enum err tokens_done_get(struct ipc_in *m, struct tokens_done *v);
