/* A model that sees, without server and scheduler: rows of a picture and the tokens that follow.
 *
 * usage: vision_driver MODEL PROJECTOR WIDTH HEIGHT RGBFILE PROMPT N
 * One line each: "rows AT N N_EMBD HASH" and the rows' values, then "tokens ID.." and "done"; or
 * "error SLUG TEXT". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/hex.h"
#include "engine/llama/vision.h"
#include "os/fd.h"

static int fail(enum err e, const struct err_info *info)
{
	printf("error %s %s\n", err_slug(e), info->detail);
	return 1;
}

static enum err text_tokens(struct llama_backend *b, const char *text, struct tokens *out)
{
	struct engine_prompt p = { .thinking = false };
	struct gen_request g = { .kind = GEN_PROMPT, .input = str_from(text), .raw = true };
	enum err e = LLAMA_OPS.prompt(b, &g, &p, NULL);
	if (!e)
		e = tokens_add(out, p.tokens.v, p.tokens.n);
	engine_prompt_done(&p);
	return e;
}

static void show(const struct media_list *m)
{
	for (size_t i = 0; i < m->n; i++) {
		char hash[2 * SHA256_LEN + 1];
		hex_encode(m->v[i].hash, SHA256_LEN, hash);
		printf("rows %u %u %u %s", m->v[i].at, m->v[i].n, m->v[i].n_embd, hash);
		for (size_t k = 0; k < (size_t)m->v[i].n * m->v[i].n_embd; k++)
			printf(" %.7g", (double)m->v[i].rows[k]);
		printf("\n");
	}
}

/* The prompt's places in order: runs of tokens and pictures, in pieces of a batch. */
static enum err read_prompt(
	struct llama_backend *b, const struct tokens *t, const struct media_list *m)
{
	uint32_t most = LLAMA_OPS.caps(b)->n_batch;
	size_t next = 0;
	for (size_t at = 0; at < t->n;) {
		if (next < m->n && m->v[next].at == at) {
			const struct engine_media *x = &m->v[next++];
			uint32_t step = x->non_causal || x->n < most ? x->n : 7;
			for (uint32_t from = 0; from < x->n; from += step)
				TRY(llama_vision_decode(b, POOL_OWN, x, from,
					x->n - from < step ? x->n - from : step, 0,
					(int32_t)(at + from), at + x->n == t->n));
			at += x->n;
			continue;
		}
		struct engine_token one = { t->v[at], (int32_t)at, 0, at + 1 == t->n };
		TRY(LLAMA_OPS.decode(b, POOL_OWN, &one, 1));
		at++;
	}
	return OK;
}

static enum err answer(struct llama_backend *b, size_t pos, int n)
{
	uint32_t n_vocab = LLAMA_OPS.caps(b)->n_vocab;
	printf("tokens");
	for (int i = 0; i < n; i++) {
		const float *row = LLAMA_OPS.logits(b, 0);
		uint32_t best = 0;
		for (uint32_t k = 1; row && k < n_vocab; k++)
			best = row[k] > row[best] ? k : best;
		printf(" %u", best);
		struct engine_token one = { (int32_t)best, (int32_t)(pos + (size_t)i), 0, true };
		TRY(LLAMA_OPS.decode(b, POOL_OWN, &one, 1));
	}
	printf("\ndone\n");
	return OK;
}

int main(int argc, char **argv)
{
	struct err_info info = { .code = OK };
	struct llama_backend *b = NULL;
	struct llama_vision *v = NULL;
	struct tokens t = { NULL, 0, 0 };
	static struct media_list media;
	AUTO_BUF struct buf rgb = BUF(1 << 26);
	if (argc != 8 || crypto_init())
		return 2;
	struct llama_backend_options o = { .n_threads = 2, .n_ctx = 1024, .n_seq = 1, .flash = -1 };
	(void)llama_backend_prepare();
	FILE *f = fopen(argv[1], "rb");
	int projector = open(argv[2], O_RDONLY | O_CLOEXEC);
	uint64_t size[2] = { 0, 0 }, n = 0;
	if (str_to_u64(str_from(argv[3]), &size[0]) || str_to_u64(str_from(argv[4]), &size[1]) ||
		str_to_u64(str_from(argv[7]), &n))
		return 2;
	uint32_t w = (uint32_t)size[0], h = (uint32_t)size[1];
	if (!f || projector < 0 || file_read(argv[5], &rgb) || rgb.len != (size_t)w * h * 3)
		return 2;
	enum err e = llama_backend_new(f, &o, &b, &info);
	if (!e)
		e = llama_vision_new(b, projector, &v, &info);
	if (!e)
		e = text_tokens(b, argv[6], &t);
	if (!e && w)
		e = llama_vision_add(v, w, h, (unsigned char *)rgb.ptr, &t, &media, &info);
	if (!e)
		e = text_tokens(b, " It shows", &t);
	if (e)
		return fail(e, &info);
	show(&media);
	e = read_prompt(b, &t, &media);
	if (!e)
		e = answer(b, t.n, (int)n);
	if (e)
		return fail(e, &info);
	media_list_done(&media);
	tokens_done(&t);
	llama_vision_free(v);
	llama_backend_free_all(b);
	return 0;
}
