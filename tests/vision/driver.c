/* A model that sees, without server and scheduler: rows of a picture and the tokens that follow.
 *
 * usage: vision_driver MODEL PROJECTOR WIDTH HEIGHT RGBFILE BEFORE N [AFTER]
 * One line each: "rows AT N N_EMBD HASH" and the rows' values, "first" and the five highest log
 * probabilities of the first token, then "tokens ID.." and "done"; or "error SLUG TEXT". */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	enum err e = LLAMA_OPS.prompt(b, &g, NULL, &p, NULL);
	if (!e)
		e = tokens_add(out, p.tokens.v, p.tokens.n);
	engine_prompt_done(&p);
	return e;
}

static void show(const struct media_list *m, const uint8_t hash[SHA256_LEN], uint32_t n_embd)
{
	char hex[2 * SHA256_LEN + 1];
	hex_encode(hash, SHA256_LEN, hex);
	for (size_t i = 0; i < m->n; i++) {
		const float *rows = llama_picture_values(m->v[i].of, m->v[i].part);
		printf("rows %u %u %u %s", m->v[i].at, m->v[i].n, n_embd, hex);
		for (size_t k = 0; k < (size_t)m->v[i].n * n_embd; k++)
			printf(" %.7g", (double)rows[k]);
		printf("\n");
	}
}

/* The prompt's places in order: tokens and pictures, in pieces of a batch. */
static enum err read_prompt(
	struct llama_backend *b, const struct tokens *t, const struct media_list *m)
{
	for (size_t at = 0; at < t->n;) {
		const struct engine_media *x = media_from(m, at);
		if (x && x->at == at) {
			uint32_t step = x->non_causal || x->n < 7 ? x->n : 7;
			for (uint32_t from = 0; from < x->n; from += step)
				TRY(LLAMA_OPS.decode_rows(b, POOL_OWN, x, from,
					x->n - from < step ? x->n - from : step, 0));
			at += x->n;
			continue;
		}
		struct engine_token one = { t->v[at], (int32_t)at, 0, at + 1 == t->n };
		TRY(LLAMA_OPS.decode(b, POOL_OWN, &one, 1));
		at++;
	}
	return OK;
}

/* Pixels as the server sends them, prepared, and its rows waited for. */
static enum err see(struct llama_backend *b, struct gen_picture *g, struct str rgb,
	struct engine_picture **ret, struct err_info *info)
{
	enum err e;
	sha256_of(rgb.ptr, rgb.len, g->hash);
	TRY(fd_memfd("picture", rgb, &g->rgb_fd));
	TRY(LLAMA_OPS.picture_new(b, g, ret, info));
	while ((e = LLAMA_OPS.picture_rows(b, *ret)) == ERR_AGAIN)
		(void)usleep(1000);
	return e;
}

static void show_first(const float *row, uint32_t n)
{
	double sum = 0, most = -INFINITY;
	for (uint32_t i = 0; i < n; i++)
		most = fmax(most, (double)row[i]);
	for (uint32_t i = 0; i < n; i++)
		sum += exp((double)row[i] - most);
	printf("first");
	double below = INFINITY;
	for (int k = 0; k < 5; k++) {
		double next = -INFINITY;
		for (uint32_t i = 0; i < n; i++)
			if ((double)row[i] < below)
				next = fmax(next, (double)row[i]);
		printf(" %.6f", next - most - log(sum));
		below = next;
	}
	printf("\n");
}

static enum err answer(struct llama_backend *b, size_t pos, int n)
{
	uint32_t n_vocab = LLAMA_OPS.caps(b)->n_vocab;
	show_first(LLAMA_OPS.logits(b, 0), n_vocab);
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
	struct engine_picture *picture = NULL;
	struct tokens t = { NULL, 0, 0 };
	static struct media_list media;
	AUTO_BUF struct buf rgb = BUF(1 << 26);
	if (argc < 8 || argc > 9 || crypto_init())
		return 2;
	struct llama_backend_options o = { .n_threads = 2, .n_ctx = 1024, .n_seq = 1, .flash = -1 };
	(void)llama_backend_prepare(NULL, 0);
	FILE *f = fopen(argv[1], "rb");
	int projector = open(argv[2], O_RDONLY | O_CLOEXEC);
	uint64_t size[2] = { 0, 0 }, n = 0;
	if (str_to_u64(str_from(argv[3]), &size[0]) || str_to_u64(str_from(argv[4]), &size[1]) ||
		str_to_u64(str_from(argv[7]), &n))
		return 2;
	struct gen_picture g = { (uint32_t)size[0], (uint32_t)size[1], -1, { 0 } };
	if (!f || projector < 0 || file_read(argv[5], &rgb) ||
		rgb.len != (size_t)g.width * g.height * 3)
		return 2;
	enum err e = llama_backend_new(f, &o, &b, &info);
	if (!e)
		e = llama_vision_open(b, projector, &info);
	if (!e)
		e = text_tokens(b, argv[6], &t);
	if (!e && g.width)
		e = see(b, &g, buf_str(&rgb), &picture, &info);
	if (!e && picture)
		e = llama_picture_place(picture, &t, &media);
	if (!e)
		e = text_tokens(b, argc > 8 ? argv[8] : " It shows", &t);
	if (e)
		return fail(e, &info);
	struct llama_backend_facts facts;
	llama_backend_facts(b, &facts);
	show(&media, g.hash, facts.n_embd);
	e = read_prompt(b, &t, &media);
	if (!e)
		e = answer(b, t.n, (int)n);
	if (e)
		return fail(e, &info);
	media_list_done(&media);
	tokens_done(&t);
	LLAMA_OPS.picture_free(b, picture);
	llama_backend_free_all(b);
	return 0;
}
