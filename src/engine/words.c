#include "engine/words.h"

#include "engine/llama/tokens.h"
#include "engine/scheduler.h"

static void put_failed(struct ipc_out *out, uint64_t id, enum err e, const struct err_info *info)
{
	struct gen_failed f = { .code = e,
		.detail = str_from(info->detail[0] ? info->detail : err_text(e)) };
	ipc_out_init(out, GEN_FAILED, id);
	gen_failed_put(out, &f);
}

enum err words_count(struct sched *s, struct ipc_in *m, struct ipc_out *out)
{
	struct gen_request g;
	struct err_info info = { .code = OK };
	uint64_t n = 0;
	TRY(gen_request_get(m, &g));
	enum err e = sched_count(s, &g, &n, &info);
	gen_request_done(&g);
	if (e) {
		put_failed(out, m->id, e, &info);
		return OK;
	}
	ipc_out_init(out, ENGINE_COUNTED, m->id);
	ipc_put_u64(out, n);
	return OK;
}

enum err words_tokens(const struct llama_backend *b, struct ipc_in *m, struct ipc_out *out)
{
	struct tokens_request q;
	struct err_info info = { .code = OK };
	struct llama_pieces p = { 0 };
	TRY(tokens_request_get(m, &q));
	enum err e = llama_pieces(b, &q, &p, &info);
	if (e) {
		put_failed(out, m->id, e, &info);
	} else {
		ipc_out_init(out, ENGINE_TOKENED, m->id);
		tokens_done_put(out,
			&(struct tokens_done){ .tokens = p.tokens.v,
				.lens = p.lens.v,
				.n = p.tokens.n,
				.bytes = buf_str(&p.bytes) });
	}
	llama_pieces_done(&p);
	return OK;
}
