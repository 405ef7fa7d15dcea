/* The library alone, for bench/serving: n sequences that share the start of their prompts are
 * decoded together, greedily, with nothing around them. What all prompts have in common is read
 * before the clock starts, as where somebody has read it already; the rest of the prompts and the
 * answers are timed. Prints {"tokens", "seconds", "read_seconds", "shared_tokens", "read_tokens"}.
 *
 * usage: bare_loop MODEL THREADS on|off|auto unified|streams CELLS PROMPTS N [SHARED [ROWS]]
 * CELLS: of the context, as the other side has; a longer context is a little slower.
 * PROMPTS: a file of texts separated by NUL, templates already applied. SHARED: no more than so
 * many tokens are read before, as where the rest is each person's own. ROWS: of logits that the
 * library sets aside, at least one a sequence; without it one a token of a batch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <llama.h>

enum { SEQ_MAX = 64, BATCH = 512, PROMPT_FILE_MAX = 8 << 20 };

struct prompt {
	llama_token *token;
	int32_t n;
};
struct loop {
	struct llama_context *ctx;
	const struct llama_vocab *vocab;
	struct llama_batch batch;
	struct prompt p[SEQ_MAX];
	int32_t n_seq;
};

static void die(const char *what)
{
	fprintf(stderr, "bare_loop: %s\n", what);
	exit(1);
}

static int32_t number(const char *text)
{
	int n = 0;
	if (sscanf(text, "%d", &n) != 1 || n < 1)
		die("a number from 1 is expected");
	return n;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add(struct loop *l, llama_token token, int32_t pos, int32_t seq, bool logits)
{
	struct llama_batch *b = &l->batch;
	b->token[b->n_tokens] = token;
	b->pos[b->n_tokens] = pos;
	b->n_seq_id[b->n_tokens] = 1;
	b->seq_id[b->n_tokens][0] = seq;
	b->logits[b->n_tokens++] = logits;
}

static void decode(struct loop *l)
{
	if (l->batch.n_tokens && llama_decode(l->ctx, l->batch))
		die("decode fails");
	l->batch.n_tokens = 0;
}

static llama_token best(const struct loop *l, int32_t row)
{
	const float *logits = llama_get_logits_ith(l->ctx, row);
	llama_token top = 0;
	for (int32_t i = 1, n = llama_vocab_n_tokens(l->vocab); i < n; i++)
		if (logits[i] > logits[top])
			top = i;
	return top;
}

static void read_prompts(struct loop *l, const char *path)
{
	static char text[PROMPT_FILE_MAX];
	FILE *f = fopen(path, "rb");
	size_t size = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (!size || size == sizeof text - 1)
		die("no prompts, or too many");
	fclose(f);
	for (char *at = text; at < text + size; at += strlen(at) + 1) {
		if (l->n_seq == SEQ_MAX)
			die("too many prompts");
		struct prompt *p = &l->p[l->n_seq++];
		int32_t len = (int32_t)strlen(at), most = len + 8;
		p->token = malloc((size_t)most * sizeof *p->token);
		p->n = p->token ? llama_tokenize(l->vocab, at, len, p->token, most, true, true)
				: 0;
		if (p->n < 1)
			die("a prompt is empty");
	}
}

/* Tokens that all prompts begin with, at most so many; at least one of each is left to read. */
static int32_t common(const struct loop *l, int32_t most)
{
	for (int32_t i = 0; i < most; i++)
		for (int32_t s = 0; s < l->n_seq; s++)
			if (i + 1 >= l->p[s].n || l->p[s].token[i] != l->p[0].token[i])
				return i;
	return most;
}

static void read_shared(struct loop *l, int32_t shared, bool unified)
{
	for (int32_t s = 0; s < (unified ? 1 : l->n_seq); s++) {
		for (int32_t i = 0; i < shared; i++) {
			add(l, l->p[s].token[i], i, s, false);
			if (l->batch.n_tokens == BATCH)
				decode(l);
		}
		decode(l);
	}
	for (int32_t s = 1; unified && s < l->n_seq; s++)
		llama_memory_seq_cp(llama_get_memory(l->ctx), 0, s, -1, -1);
	llama_synchronize(l->ctx);
}

/* Reads what the prompts do not share, one after the other; next[] gets their first tokens. */
static int32_t read_rest(struct loop *l, int32_t shared, llama_token next[SEQ_MAX])
{
	int32_t n_read = 0, from = 0;
	for (int32_t s = 0; s < l->n_seq; s++) {
		const struct prompt *p = &l->p[s];
		if (p->n - shared > BATCH)
			die("what the prompts do not share is too long");
		if (l->batch.n_tokens + p->n - shared > BATCH) {
			int32_t rows = s - from;
			decode(l);
			for (int32_t r = 0; r < rows; r++)
				next[from + r] = best(l, r - rows);
			from = s;
		}
		for (int32_t i = shared; i < p->n; i++, n_read++)
			add(l, p->token[i], i, s, i + 1 == p->n);
	}
	decode(l);
	for (int32_t s = from; s < l->n_seq; s++)
		next[s] = best(l, s - l->n_seq);
	return n_read;
}

static void answer(struct loop *l, int32_t n, llama_token next[SEQ_MAX])
{
	for (int32_t k = 1; k < n; k++) {
		for (int32_t s = 0; s < l->n_seq; s++)
			add(l, next[s], l->p[s].n + k - 1, s, true);
		decode(l);
		for (int32_t s = 0; s < l->n_seq; s++)
			next[s] = best(l, s);
	}
}

static enum llama_flash_attn_type flash(const char *word)
{
	return !strcmp(word, "on") ? LLAMA_FLASH_ATTN_TYPE_ENABLED
		: strcmp(word, "off") ? LLAMA_FLASH_ATTN_TYPE_AUTO
				      : LLAMA_FLASH_ATTN_TYPE_DISABLED;
}

/* Threads that live as long as the context; the library alone would start some for every batch. */
static ggml_threadpool_t threads_new(int32_t n)
{
	ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	struct ggml_threadpool_params p;
	ggml_threadpool_params_init(&p, n);
	if (!cpu)
		die("no CPU backend");
	void *make = ggml_backend_reg_get_proc_address(
		ggml_backend_dev_backend_reg(cpu), "ggml_threadpool_new");
	if (!make)
		die("no thread pool");
	return ((ggml_threadpool_t (*)(struct ggml_threadpool_params *))make)(&p);
}

static void make_context(struct loop *l, struct llama_model *model, char **argv, int32_t rows)
{
	struct llama_context_params p = llama_context_default_params();
	p.kv_unified = !strcmp(argv[4], "unified");
	p.n_seq_max = (uint32_t)l->n_seq;
	p.n_ctx = (uint32_t)number(argv[5]);
	p.n_batch = p.n_ubatch = BATCH;
	p.n_threads = p.n_threads_batch = number(argv[2]);
	p.flash_attn_type = flash(argv[3]);
	p.n_outputs_max = (uint32_t)rows;
	p.no_perf = true;
	l->ctx = llama_init_from_model(model, p);
	if (!l->ctx)
		die("no context");
	ggml_threadpool_t pool = threads_new(p.n_threads);
	llama_attach_threadpool(l->ctx, pool, pool); /* ends with the process */
}

static void quiet(enum ggml_log_level level, const char *text, void *data)
{
	if (level == GGML_LOG_LEVEL_ERROR)
		fputs(text, stderr);
	(void)data;
}

int main(int argc, char **argv)
{
	if (argc < 8 || argc > 10) {
		fputs("usage: bare_loop MODEL THREADS on|off|auto unified|streams CELLS PROMPTS N "
		      "[SHARED [ROWS]]\n",
			stderr);
		return 2;
	}
	static struct loop l;
	llama_token next[SEQ_MAX];
	int32_t n = number(argv[7]);
	llama_log_set(quiet, NULL);
	llama_backend_init();
	struct llama_model_params mp = llama_model_default_params();
	mp.n_gpu_layers = 0;
	struct llama_model *model = llama_model_load_from_file(argv[1], mp);
	if (!model)
		die("the model cannot be loaded");
	l.vocab = llama_model_get_vocab(model);
	read_prompts(&l, argv[6]);
	make_context(&l, model, argv, argc > 9 ? number(argv[9]) : 0);
	l.batch = llama_batch_init(BATCH, 0, 1);
	int32_t shared = common(&l, argc > 8 ? number(argv[8]) : INT32_MAX);
	read_shared(&l, shared, !strcmp(argv[4], "unified"));
	double start = now_s();
	int32_t n_read = read_rest(&l, shared, next);
	double read = now_s() - start;
	answer(&l, n, next);
	double spent = now_s() - start;
	printf("{\"tokens\":%d,\"seconds\":%.6f,\"read_seconds\":%.6f,\"shared_tokens\":%d,"
	       "\"read_tokens\":%d}\n",
		n * l.n_seq, spent, read, shared, n_read);
	llama_batch_free(l.batch);
	llama_free(l.ctx);
	llama_model_free(model);
	for (int32_t s = 0; s < l.n_seq; s++)
		free(l.p[s].token);
	return 0;
}
