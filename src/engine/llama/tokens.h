/* engine/llama/tokens.h - a text's tokens, and what tokens stand for, by the model's vocabulary. */
#pragma once

#include "base/buf.h"
#include "engine/vec.h"
#include "proto/tokens.h"

struct llama_backend;
struct llama_pieces {
	struct tokens tokens, lens; /* bytes of each token's piece */
	struct buf bytes;           /* of all pieces; control tokens as they are written */
};
/* Errors: ERR_INVALID (no such token), ERR_LIMIT, ERR_NOMEM. */
enum err llama_pieces(const struct llama_backend *b, const struct tokens_request *q,
	struct llama_pieces *ret, struct err_info *info);
void llama_pieces_done(struct llama_pieces *p); /* all zero is fine */
