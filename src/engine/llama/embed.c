#include "engine/llama/embed.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/time.h"
#include "engine/llama/backend_int.h"

enum {
	INPUT_MAX = 8192,  /* tokens */
	PACK_TOKENS = 512, /* worth computing together: attention costs the square of a batch */
	SEQS = 64,         /* inputs a batch may have */
	FLASH_FROM = 1024, /* tokens an input may have */
	LOGITS_BYTES = 128 * 1024 * 1024, /* a decoder computes them for each token, unasked */
	BATCH_LEAST = 32,
	RERANK_PARTS = 3, /* of a template: before, between and after query and document */
};

struct llama_embed {
	struct llama_backend *b;
	struct llama_context *ctx;
	struct llama_batch batch;
	enum llama_pooling_type pooling; /* the model's, or mean */
	bool own;                        /* we pool the rows of tokens ourselves */
	bool cached;                     /* the model has a KV cache */
	bool whole;       /* and may read an input piece by piece only if this is false */
	uint32_t n_chunk; /* tokens a decode may carry */
	uint32_t n_out;   /* values the library gives for a row */
	struct embed_caps caps;
	uint64_t bytes;
};

/* ---- what the model is ---- */

static bool meta_u32(const struct llama_model *m, const char *key, int64_t *ret)
{
	char arch[64], name[128], value[32];
	if (llama_model_meta_val_str(m, "general.architecture", arch, sizeof arch) < 0)
		return false;
	snprintf(name, sizeof name, "%s.%s", arch, key);
	if (llama_model_meta_val_str(m, name, value, sizeof value) < 0)
		return false;
	if (!strcmp(value, "true") || !strcmp(value, "false")) {
		*ret = value[0] == 't';
		return true;
	}
	return !str_to_i64(str_from(value), ret);
}

/* Architectures that libllama computes without a KV cache and without logits. */
static bool only_encodes(const struct llama_model *m)
{
	static const char *const archs[] = { "bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert",
		"nomic-bert-moe", "neo-bert", "eurobert", "modern-bert", "gemma-embedding" };
	char arch[64];
	if (llama_model_meta_val_str(m, "general.architecture", arch, sizeof arch) < 0)
		return false;
	for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
		if (!strcmp(arch, archs[i]))
			return true;
	return false;
}

static bool is_causal(const struct llama_model *m)
{
	int64_t v = 1;
	return !meta_u32(m, "attention.causal", &v) || v;
}

static enum err pooling_of(
	const struct llama_model *m, enum llama_pooling_type *ret, struct err_info *info)
{
	int64_t v = LLAMA_POOLING_TYPE_NONE;
	(void)meta_u32(m, "pooling_type", &v);
	if (v < LLAMA_POOLING_TYPE_NONE || v > LLAMA_POOLING_TYPE_RANK)
		return err_set(info, ERR_MODEL_BAD,
			"not a usable model: its pooling type %lld is not known", (long long)v);
	*ret = (enum llama_pooling_type)v;
	return OK;
}

enum err llama_embed_kind(
	const struct llama_model *m, struct llama_embed_kind *ret, struct err_info *info)
{
	enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_NONE;
	TRY(pooling_of(m, &pooling, info));
	if (llama_model_has_encoder(m) || !llama_model_has_decoder(m) ||
		llama_model_is_diffusion(m))
		return err_set(info, ERR_MODEL_BAD,
			"not a usable model: neither text nor vectors can be made with it");
	int32_t embd = llama_model_n_embd(m), out = llama_model_n_embd_out(m);
	ret->ranks = pooling == LLAMA_POOLING_TYPE_RANK;
	ret->writes = !only_encodes(m) && is_causal(m) && pooling == LLAMA_POOLING_TYPE_NONE;
	ret->n_embd = out > 0 && out <= embd ? (uint32_t)out : 0;
	if (ret->writes)
		return OK;
	/* The library copies that many values of a row without asking whether they are there. */
	if (!ret->n_embd || (ret->ranks && (llama_model_n_cls_out(m) < 1 ||
						   llama_model_n_cls_out(m) > (uint32_t)embd)))
		return err_set(info, ERR_MODEL_BAD,
			"not a usable model: the size of its vectors makes no sense");
	return OK;
}

/* ---- making ---- */

static uint64_t square_bytes(const struct llama_model *m, uint64_t n)
{
	return n * n * (n > FLASH_FROM ? 8 : 4 * (uint64_t)llama_model_n_head(m));
}

/* Tokens of the longest input: what its row of outputs and its attention take has to fit. */
static uint32_t choose_input(const struct llama_embed *e, uint32_t n_input, uint64_t memory)
{
	const struct llama_model *m = e->b->model;
	uint32_t trained = (uint32_t)llama_model_n_ctx_train(m);
	uint32_t n = n_input ? n_input : INPUT_MAX;
	n = trained && n > trained ? trained : n;
	n = n > INPUT_MAX ? INPUT_MAX : n;
	uint64_t vocab = (uint64_t)llama_vocab_n_tokens(e->b->vocab);
	uint64_t cell = e->cached ? e->b->caps.cell_bytes : 0;
	while (memory && n > PACK_TOKENS &&
		n * cell + (e->whole ? square_bytes(m, n) + 4 * vocab * n : 0) > memory / 4)
		n /= 2;
	return n ? n : 1;
}

static void choose(
	struct llama_embed *e, uint32_t n_input, uint64_t memory, struct llama_context_params *p)
{
	struct embed_caps *c = &e->caps;
	const struct llama_model *m = e->b->model;
	bool whole_only = llama_model_is_recurrent(m) || llama_model_is_hybrid(m);
	c->n_vocab = (uint32_t)llama_vocab_n_tokens(e->b->vocab);
	c->n_input = choose_input(e, n_input, memory);
	c->n_batch = c->n_input < PACK_TOKENS ? c->n_input : PACK_TOKENS;
	uint32_t logits = LOGITS_BYTES / 4 / (c->n_vocab ? c->n_vocab : 1);
	e->n_chunk = e->whole ? c->n_input : c->n_batch;
	if (!e->whole && e->n_chunk > logits)
		e->n_chunk = logits > BATCH_LEAST ? logits : BATCH_LEAST;
	c->n_seq = whole_only ? 1 : SEQS < e->n_chunk ? SEQS : e->n_chunk;
	*p = llama_context_default_params();
	p->n_ctx = c->n_input > c->n_batch ? c->n_input : c->n_batch;
	p->n_batch = p->n_ubatch = e->n_chunk;
	p->n_seq_max = c->n_seq;
	p->n_threads = p->n_threads_batch = (int32_t)e->b->facts.n_threads;
	p->embeddings = true;
	p->pooling_type = e->own ? LLAMA_POOLING_TYPE_NONE : e->pooling;
	p->kv_unified = true;
	p->flash_attn_type = c->n_input > FLASH_FROM || e->b->facts.gpu
				     ? LLAMA_FLASH_ATTN_TYPE_AUTO
				     : LLAMA_FLASH_ATTN_TYPE_DISABLED;
	p->no_perf = true;
}

static enum err open_context(
	struct llama_embed *e, const struct llama_context_params *p, struct err_info *info)
{
	if (llama_context_new(e->b, *p, &e->ctx) != SHIM_OK)
		return err_set(info, ERR_MODEL_BAD,
			"not a usable model: no context for vectors can be made with it");
	/* What the context made of our wishes counts. A batch over these is where it aborts. */
	uint32_t n = llama_n_ubatch(e->ctx);
	e->n_chunk = n < e->n_chunk ? n : e->n_chunk;
	bool cached = llama_get_memory(e->ctx) != NULL;
	if (cached != e->cached || llama_n_seq_max(e->ctx) < e->caps.n_seq ||
		(e->whole && e->n_chunk < e->caps.n_input) ||
		(!e->whole && !llama_get_causal_attn(e->ctx)))
		return err_set(info, ERR_MODEL_BAD,
			"not a usable model: its attention is of a kind that gives no vectors");
	if (e->b->pool)
		llama_attach_threadpool(e->ctx, e->b->pool, e->b->pool);
	uint64_t model, kv, compute;
	shim_context_bytes(e->ctx, &model, &kv, &compute);
	e->bytes = kv + compute;
	e->batch = llama_batch_init((int32_t)e->n_chunk, 0, 1);
	return e->batch.token ? OK : ERR_NOMEM;
}

enum err llama_embed_new(struct llama_backend *b, uint32_t n_input, uint64_t memory_bytes,
	struct llama_embed **ret, struct err_info *info)
{
	struct llama_embed_kind kind;
	struct llama_context_params p;
	struct llama_embed *e = mem_zalloc(1, sizeof *e);
	if (!e)
		return ERR_NOMEM;
	e->b = b;
	enum err err = llama_embed_kind(b->model, &kind, info);
	if (!err)
		err = pooling_of(b->model, &e->pooling, info);
	if (!err && !kind.n_embd)
		err = err_set(info, ERR_UNSUPPORTED, "no vectors can be made with this model");
	if (!err) {
		if (e->pooling == LLAMA_POOLING_TYPE_NONE)
			e->pooling = LLAMA_POOLING_TYPE_MEAN;
		e->cached = !only_encodes(b->model);
		e->whole = !e->cached || !is_causal(b->model);
		e->own = e->cached && e->pooling != LLAMA_POOLING_TYPE_RANK;
		e->caps.ranks = kind.ranks;
		e->caps.n_embd = kind.n_embd;
		e->n_out = kind.ranks ? llama_model_n_cls_out(b->model) : kind.n_embd;
		choose(e, n_input, memory_bytes, &p);
		err = open_context(e, &p, info);
	}
	if (err) {
		llama_embed_free(e);
		return err;
	}
	*ret = e;
	return OK;
}

struct llama_embed *llama_embed_free(struct llama_embed *e)
{
	if (!e)
		return NULL;
	if (e->batch.token)
		llama_batch_free(e->batch);
	if (e->ctx)
		llama_free(e->ctx);
	mem_free(e);
	return NULL;
}

uint64_t llama_embed_bytes(const struct llama_embed *e)
{
	return e->bytes;
}

/* ---- tokens ---- */

static enum err mark(const struct llama_embed *e, int32_t id, struct tokens *out)
{
	return id >= 0 && (uint32_t)id < e->caps.n_vocab ? tokens_add(out, &id, 1) : OK;
}

static enum err begin_mark(const struct llama_embed *e, struct tokens *out)
{
	const struct llama_vocab *v = e->b->vocab;
	bool wpm = llama_vocab_type(v) == LLAMA_VOCAB_TYPE_WPM; /* always has both */
	return wpm || llama_vocab_get_add_bos(v) ? mark(e, llama_vocab_bos(v), out) : OK;
}

static int32_t eos_or_sep(const struct llama_vocab *v)
{
	int32_t eos = llama_vocab_eos(v);
	return eos >= 0 ? eos : llama_vocab_sep(v);
}

static enum err end_mark(const struct llama_embed *e, struct tokens *out)
{
	const struct llama_vocab *v = e->b->vocab;
	if (llama_vocab_type(v) == LLAMA_VOCAB_TYPE_WPM || llama_vocab_get_add_sep(v))
		return mark(e, llama_vocab_sep(v), out);
	return llama_vocab_get_add_eos(v) ? mark(e, eos_or_sep(v), out) : OK;
}

static enum err op_text(void *self, struct str text, struct embed_text *ret)
{
	struct llama_embed *e = self;
	TRY(begin_mark(e, &ret->tokens));
	ret->cut_from = ret->tokens.n;
	TRY(llama_tokens(e->b, text, false, &ret->tokens));
	ret->cut_to = ret->tokens.n;
	return end_mark(e, &ret->tokens);
}

static enum err op_marks(void *self, const int32_t *tokens, size_t n, struct embed_text *ret)
{
	struct llama_embed *e = self;
	TRY(begin_mark(e, &ret->tokens));
	ret->cut_from = ret->tokens.n;
	TRY(tokens_add(&ret->tokens, tokens, n));
	ret->cut_to = ret->tokens.n;
	return end_mark(e, &ret->tokens);
}

/* A model's "rerank" template: text with {query} and {document}, each once and in this order; any
 * other is not used. Control tokens may stand in it, but not in what is filled in. */
static bool template_parts(const struct llama_model *m, struct str ret[RERANK_PARTS])
{
	const char *t = llama_model_chat_template(m, "rerank");
	struct str s = str_from(t ? t : ""), q = STR("{query}"), d = STR("{document}");
	size_t at = str_find(s, q, 0), then = at == SIZE_MAX ? at : str_find(s, d, at + q.len);
	if (then == SIZE_MAX || str_find(s, d, then + d.len) != SIZE_MAX ||
		str_find(s, d, 0) != then || str_find(s, q, at + q.len) != SIZE_MAX)
		return false;
	ret[0] = str_sub(s, 0, at);
	ret[1] = str_sub(s, at + q.len, then - at - q.len);
	ret[2] = str_sub(s, then + d.len, SIZE_MAX);
	return true;
}

/* BOS query EOS SEP document EOS, each mark where the vocabulary wants it: as llama-server does. A
 * WPM vocabulary has no EOS: its pairs are CLS query SEP document SEP, as its models learn them. */
static enum err op_pair(void *self, struct str query, struct str document, struct embed_text *ret)
{
	struct llama_embed *e = self;
	const struct llama_vocab *v = e->b->vocab;
	struct tokens *t = &ret->tokens;
	struct str part[RERANK_PARTS] = { STR_NONE };
	bool filled = template_parts(e->b->model, part);
	if (filled)
		TRY(llama_tokens(e->b, part[0], true, t));
	else
		TRY(begin_mark(e, t));
	TRY(llama_tokens(e->b, query, false, t));
	if (filled) {
		TRY(llama_tokens(e->b, part[1], true, t));
	} else {
		if (llama_vocab_get_add_eos(v))
			TRY(mark(e, eos_or_sep(v), t));
		if (llama_vocab_type(v) == LLAMA_VOCAB_TYPE_WPM || llama_vocab_get_add_sep(v))
			TRY(mark(e, llama_vocab_sep(v), t));
	}
	ret->cut_from = t->n;
	TRY(llama_tokens(e->b, document, false, t));
	ret->cut_to = t->n;
	return filled ? llama_tokens(e->b, part[2], true, t) : end_mark(e, t);
}

/* ---- computing ---- */

static const struct embed_caps *op_caps(void *self)
{
	return &((struct llama_embed *)self)->caps;
}

static int64_t op_now(void *self)
{
	(void)self;
	return time_mono_ns();
}

static enum err decode(struct llama_embed *e)
{
	llama_set_n_threads(e->ctx, (int32_t)e->b->n_threads, (int32_t)e->b->n_threads);
	int rc = shim_decode(e->ctx, e->batch);
	return rc == 0 ? OK : rc == -1 || rc == 1 ? ERR_INVALID : rc == -2 ? ERR_NOMEM : ERR_ENGINE;
}

/* What the rows of a chunk add to the vectors of their inputs: mean, first or last token. */
static enum err pool_rows(struct llama_embed *e, const struct embed_row *v, float *out)
{
	uint32_t w = e->caps.n_embd;
	for (int32_t i = 0; i < e->batch.n_tokens; i++) {
		size_t seq = (size_t)e->batch.seq_id[i][0];
		uint32_t pos = (uint32_t)e->batch.pos[i];
		const float *row = llama_get_embeddings_ith(e->ctx, i);
		float *to = out + seq * w;
		if (!row)
			return ERR_ENGINE;
		if (e->pooling == LLAMA_POOLING_TYPE_MEAN)
			for (uint32_t k = 0; k < w; k++)
				to[k] += row[k] / (float)v[seq].n;
		else if (e->pooling == LLAMA_POOLING_TYPE_CLS ? pos == 0 : pos + 1 == v[seq].n)
			memcpy(to, row, w * sizeof *to);
	}
	return OK;
}

/* Those that the library pooled: inputs that end in this chunk. */
static enum err take_rows(struct llama_embed *e, const struct embed_row *v, float *out)
{
	uint32_t w = e->caps.ranks ? 1 : e->caps.n_embd; /* the first class is the score */
	for (int32_t i = 0; i < e->batch.n_tokens; i++) {
		int32_t seq = e->batch.seq_id[i][0];
		if ((uint32_t)e->batch.pos[i] + 1 != v[seq].n)
			continue;
		const float *row = llama_get_embeddings_seq(e->ctx, seq);
		if (!row)
			return ERR_ENGINE;
		memcpy(out + (size_t)seq * w, row, w * sizeof *out);
	}
	return OK;
}

static enum err flush(struct llama_embed *e, const struct embed_row *v, float *out)
{
	if (!e->batch.n_tokens)
		return OK;
	TRY(decode(e));
	TRY(e->own ? pool_rows(e, v, out) : take_rows(e, v, out));
	e->batch.n_tokens = 0;
	return OK;
}

static void add(struct llama_batch *b, int32_t token, uint32_t pos, size_t seq)
{
	int32_t i = b->n_tokens++;
	b->token[i] = token;
	b->pos[i] = (int32_t)pos;
	b->n_seq_id[i] = 1;
	b->seq_id[i][0] = (int32_t)seq;
	b->logits[i] = true;
}

/* All that the library would abort for is refused here. */
static bool fits(const struct llama_embed *e, const struct embed_row *v, size_t n)
{
	const struct embed_caps *c = &e->caps;
	uint64_t sum = 0;
	if (!n || n > c->n_seq)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!v[i].n || v[i].n > c->n_input)
			return false;
		for (uint32_t k = 0; k < v[i].n; k++)
			if (v[i].tokens[k] < 0 || (uint32_t)v[i].tokens[k] >= c->n_vocab)
				return false;
		sum += v[i].n;
	}
	return n == 1 || sum <= c->n_batch;
}

static enum err op_compute(void *self, const struct embed_row *v, size_t n, float *out)
{
	struct llama_embed *e = self;
	if (!fits(e, v, n))
		return ERR_INVALID;
	memset(out, 0, n * (e->caps.ranks ? 1 : e->caps.n_embd) * sizeof *out);
	if (e->cached)
		llama_memory_clear(llama_get_memory(e->ctx), false);
	e->batch.n_tokens = 0;
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < v[i].n; k++) {
			if (e->batch.n_tokens == (int32_t)e->n_chunk)
				TRY(flush(e, v, out));
			add(&e->batch, v[i].tokens[k], k, i);
		}
	return flush(e, v, out);
}

const struct embed_ops LLAMA_EMBED_OPS = {
	.caps = op_caps,
	.text = op_text,
	.marks = op_marks,
	.pair = op_pair,
	.compute = op_compute,
	.now_ns = op_now,
};
