#include "engine/fake.h"

#include <math.h>
#include <string.h>

#include "base/fault.h"

struct cell_row { /* one sequence: tokens by position; those before `first` have left the window */
	struct tokens t;
	uint32_t first;
};
struct fake {
	struct fake_options o;
	struct engine_caps caps;
	struct engine_think think;
	struct cell_row *row; /* max_seqs of them */
	float *logits;        /* (n_batch, FAKE_VOCAB) */
	bool *wanted;
	size_t n_last;
	int64_t now;
	uint64_t decodes, tokens;
};
struct engine_grammar {
	int depth;
};

static struct fake *self(void *b)
{
	return b;
}

struct fake *fake_free(struct fake *f)
{
	for (uint32_t i = 0; f && f->row && i < f->caps.max_seqs; i++)
		tokens_done(&f->row[i].t);
	if (f) {
		mem_free(f->row);
		mem_free(f->logits);
		mem_free(f->wanted);
	}
	mem_free(f);
	return NULL;
}

enum err fake_new(const struct fake_options *o, struct fake **ret)
{
	AUTO(fake) struct fake *f = mem_zalloc(1, sizeof *f);
	if (!f)
		return ERR_NOMEM;
	f->o = *o;
	f->now = 1; /* 0 means "not yet" to its users */
	f->caps = (struct engine_caps){
		.n_ctx = o->n_ctx,
		.n_ctx_seq = o->shared_cells ? o->n_ctx : o->n_ctx / o->n_seq,
		.n_ctx_train = o->n_ctx,
		.n_batch = o->n_batch,
		.n_ubatch = o->n_batch,
		.n_vocab = FAKE_VOCAB,
		.n_seq = o->n_seq,
		.max_seqs = o->n_seq,
		.swa_window = o->swa_window,
		.shared_cells = o->shared_cells,
		.partial_rm = !o->no_partial_rm,
		.partial_cp = o->shared_cells,
	};
	f->think = (struct engine_think){ o->think_start, o->think_end };
	f->row = mem_zalloc(o->n_seq, sizeof *f->row);
	f->logits = mem_zalloc((size_t)o->n_batch * FAKE_VOCAB, sizeof *f->logits);
	f->wanted = mem_zalloc(o->n_batch, sizeof *f->wanted);
	if (!f->row || !f->logits || !f->wanted)
		return ERR_NOMEM;
	*ret = TAKE(f);
	return OK;
}

int64_t fake_now_ns(const struct fake *f)
{
	return f->now;
}
void fake_sleep_ns(struct fake *f, int64_t ns)
{
	f->now += ns;
}
uint64_t fake_decodes(const struct fake *f)
{
	return f->decodes;
}
uint64_t fake_tokens(const struct fake *f)
{
	return f->tokens;
}

int32_t fake_next(uint32_t end_every, const int32_t *v, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint32_t)v[i]) * 0x100000001b3u;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	h ^= h >> 32;
	if (end_every && h % end_every == 0)
		return FAKE_END;
	return (int32_t)('a' + (h >> 8) % 26);
}

static const struct engine_caps *fake_caps(void *b)
{
	return &self(b)->caps;
}
static const struct engine_think *fake_think(void *b)
{
	return &self(b)->think;
}
static int64_t fake_now(void *b)
{
	return self(b)->now;
}

static enum err fake_prompt(
	void *b, const struct gen_request *g, struct engine_prompt *ret, struct err_info *info)
{
	if (g->kind == GEN_CHAT && (!g->input.len || g->input.ptr[0] != '['))
		return err_set(info, ERR_INVALID, "messages must be a list");
	TRY(tokens_reserve(&ret->tokens, g->input.len));
	for (size_t i = 0; i < g->input.len; i++)
		ret->tokens.v[ret->tokens.n++] = (unsigned char)g->input.ptr[i];
	ret->thinking = false;
	(void)b;
	return OK;
}

static enum err fake_piece(void *b, int32_t token, struct buf *out)
{
	(void)b;
	return token >= 0 && token < FAKE_END ? buf_add_byte(out, (char)token) : OK;
}

static bool fake_is_end(void *b, int32_t token)
{
	(void)b;
	return token == FAKE_END;
}

static uint32_t cells_used(const struct fake *f)
{
	size_t n = 0;
	for (uint32_t i = 0; i < f->caps.max_seqs; i++)
		n += f->row[i].t.n;
	return (uint32_t)n;
}

static void logits_of(struct fake *f, size_t i, const struct cell_row *r)
{
	float *l = f->logits + i * FAKE_VOCAB;
	for (int t = 0; t < FAKE_VOCAB; t++)
		l[t] = -8.0f + (float)((t * 7) % 13) * 0.125f;
	l[fake_next(f->o.end_every, r->t.v, r->t.n)] = 8.0f;
	f->wanted[i] = true;
}

static enum err fake_decode(void *b, const struct engine_token *v, size_t n)
{
	struct fake *f = self(b);
	if (!n || n > f->caps.n_batch)
		DIE("fake: batch size");
	f->decodes++;
	if (f->o.broken_at && f->decodes == f->o.broken_at)
		return ERR_ENGINE;
	if (f->o.again_every && f->decodes % f->o.again_every == 0)
		return ERR_AGAIN;
	if (cells_used(f) + n > f->caps.n_ctx)
		return ERR_AGAIN;
	memset(f->wanted, 0, f->caps.n_batch * sizeof *f->wanted);
	for (size_t i = 0; i < n; i++) {
		if (v[i].seq < 0 || (uint32_t)v[i].seq >= f->caps.max_seqs || v[i].token < 0 ||
			v[i].token >= FAKE_VOCAB)
			DIE("fake: sequence or token id");
		struct cell_row *r = &f->row[v[i].seq];
		if ((size_t)v[i].pos != r->t.n || r->t.n >= f->caps.n_ctx_seq)
			DIE("fake: position");
		TRY(tokens_add(&r->t, &v[i].token, 1));
		if (f->caps.swa_window && r->t.n > f->caps.swa_window &&
			r->first < r->t.n - f->caps.swa_window)
			r->first = (uint32_t)r->t.n - f->caps.swa_window;
		if (v[i].out)
			logits_of(f, i, r);
	}
	f->n_last = n;
	f->tokens += n;
	f->now += f->o.step_ns + (int64_t)n * f->o.token_ns;
	return OK;
}

static float *fake_logits(void *b, size_t i)
{
	struct fake *f = self(b);
	return i < f->n_last && f->wanted[i] ? f->logits + i * FAKE_VOCAB : NULL;
}

static bool fake_kv_rm(void *b, int32_t seq, int32_t from, int32_t to)
{
	struct fake *f = self(b);
	if (seq < 0 || (uint32_t)seq >= f->caps.max_seqs)
		DIE("fake: sequence id");
	struct cell_row *r = &f->row[seq];
	if (to >= 0)
		DIE("fake: only ends are removed");
	if (from <= 0) {
		r->t.n = r->first = 0;
		return true;
	}
	if ((size_t)from >= r->t.n)
		return true;
	if (!f->caps.partial_rm)
		return false;
	/* What follows would look back into cells that have left the window. */
	int64_t back = (int64_t)from - f->caps.swa_window;
	if (f->caps.swa_window && r->first > (back < 0 ? 0 : back))
		DIE("fake: removal reaches behind the window");
	r->t.n = (size_t)from;
	return true;
}

static void fake_kv_cp(void *b, int32_t from_seq, int32_t to_seq, int32_t from, int32_t to)
{
	(void)b, (void)from_seq, (void)to_seq, (void)from, (void)to;
	DIE("fake: no copies yet");
}

static int32_t fake_kv_first(void *b, int32_t seq)
{
	struct fake *f = self(b);
	return f->row[seq].t.n ? (int32_t)f->row[seq].first : -1;
}

static void fake_kv_clear(void *b)
{
	struct fake *f = self(b);
	for (uint32_t i = 0; i < f->caps.max_seqs; i++)
		f->row[i].t.n = f->row[i].first = 0;
}

/* "abc": only the letters a, b and c; "json": none of them; else not a schema. */
static enum err fake_grammar_new(
	void *b, struct str schema, struct engine_grammar **ret, struct err_info *info)
{
	(void)b;
	if (!str_eq(schema, STR("abc")) && !str_eq(schema, STR("json")))
		return err_set(info, ERR_INVALID, "schema: not known");
	struct engine_grammar *g = mem_zalloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	g->depth = schema.ptr[0] == 'a' ? 3 : 0;
	*ret = g;
	return OK;
}

static void fake_grammar_free(void *b, struct engine_grammar *g)
{
	(void)b;
	mem_free(g);
}

static bool fake_allowed(const struct engine_grammar *g, int32_t id)
{
	return id == FAKE_END ? g->depth > 0 : id >= 'a' && id < 'a' + g->depth;
}

static enum err fake_grammar_mask(
	void *b, struct engine_grammar *g, struct engine_candidate *c, size_t n)
{
	(void)b;
	for (size_t i = 0; i < n; i++)
		if (!fake_allowed(g, c[i].id))
			c[i].logit = -INFINITY;
	return OK;
}

static enum err fake_grammar_accept(void *b, struct engine_grammar *g, int32_t token)
{
	(void)b;
	return fake_allowed(g, token) ? OK : ERR_INVALID;
}

const struct engine_backend_ops FAKE_OPS = {
	.caps = fake_caps,
	.think = fake_think,
	.now_ns = fake_now,
	.prompt = fake_prompt,
	.piece = fake_piece,
	.is_end = fake_is_end,
	.decode = fake_decode,
	.logits = fake_logits,
	.kv_rm = fake_kv_rm,
	.kv_cp = fake_kv_cp,
	.kv_first = fake_kv_first,
	.kv_clear = fake_kv_clear,
	.grammar_new = fake_grammar_new,
	.grammar_free = fake_grammar_free,
	.grammar_mask = fake_grammar_mask,
	.grammar_accept = fake_grammar_accept,
};
