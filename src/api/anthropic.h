/* api/anthropic.h - private to anthropic*.c: one request to /v1/messages.
 *
 * Source: Anthropic's API reference "Messages", "Count tokens" and "Streaming messages". */
#pragma once

#include "api/gen.h"
#include "base/crypto.h"

/* What is being written of an answer. A stream is blocks, one open at a time, in this order:
 *   NONE -> thinking -> text -> (tool_use..) -> the end; any may be left out. */
struct anthropic {
	enum anthropic_block { BLOCK_NONE, BLOCK_THINKING, BLOCK_TEXT } open;
	int64_t index;             /* of the block that is open, or of the next */
	struct sha256 thought;     /* of the open thinking block's text: its signature */
	bool omit;                 /* of thinking only the signature is wanted */
	bool stops;                /* the request has stop sequences: only those are named */
};

/* Reads a request into g->options and r; r->input is set last. `count`: the body of count_tokens,
 * which says nothing of sampling. Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_FORBIDDEN (share),
 * ERR_NOMEM, picture_decode()'s; info names the place. */
enum err anthropic_read(struct gen *g, const json_t *body, bool count, struct gen_request *r);
/* anthropic_messages.c: system and messages. */
enum err anthropic_read_messages(struct gen *g, const json_t *body, struct gen_request *r);
/* A block's fields: type, or an error that names the place. Errors: ERR_INVALID. */
enum err anthropic_block_type(
	struct call *c, const json_t *block, const char *where, struct str *ret);
