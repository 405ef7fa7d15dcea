#include "engine/llama/tokens.h"

#include "engine/llama/backend_int.h"

enum { PIECES_MAX = 16 * 1024 * 1024 }; /* bytes an answer may have */

void llama_pieces_done(struct llama_pieces *p)
{
	tokens_done(&p->tokens);
	tokens_done(&p->lens);
	buf_wipe(&p->bytes);
}

static enum err take_tokens(const struct llama_backend *b, const struct tokens_request *q,
	struct llama_pieces *ret, struct err_info *info)
{
	for (size_t i = 0; i < q->n_tokens; i++)
		if ((uint32_t)q->tokens[i] >= b->caps.n_vocab)
			return err_set(info, ERR_INVALID,
				"tokens[%zu]: %d is no token of this model, which has %u", i,
				q->tokens[i], b->caps.n_vocab);
	return tokens_add(&ret->tokens, q->tokens, q->n_tokens);
}

enum err llama_pieces(const struct llama_backend *b, const struct tokens_request *q,
	struct llama_pieces *ret, struct err_info *info)
{
	ret->bytes = BUF(PIECES_MAX);
	if (q->to_text)
		TRY(take_tokens(b, q, ret, info));
	else if (q->text.len || q->add_special)
		TRY(llama_tokens_marked(b, q->text.len ? q->text : STR(""), q->add_special,
			q->parse_special, &ret->tokens));
	TRY(tokens_reserve(&ret->lens, ret->tokens.n));
	for (size_t i = 0; i < ret->tokens.n; i++) {
		size_t from = ret->bytes.len;
		TRY(llama_op_piece_all((void *)(uintptr_t)b, ret->tokens.v[i], &ret->bytes));
		int32_t len = (int32_t)(ret->bytes.len - from);
		TRY(tokens_add(&ret->lens, &len, 1));
	}
	return OK;
}
