#include "engine/fake.h"

#include <math.h>
#include <string.h>

#include "base/fault.h"

enum {
	SHARED_SEQS = 40,
	SEQS_MAX = 256,
	PICTURE_MARK = 2, /* in a prompt */
	PICTURE_ASKS = 3, /* until its rows are there */
};
static const uint64_t HASH_START = 0xcbf29ce484222325u; /* FNV-1a */

struct cell {
	uint64_t hash; /* of the text up to and with its token */
	int32_t token;
	uint32_t refs; /* sequences that hold it; 0: free */
};
struct row { /* one sequence: the cell of each position from `first` to `end` */
	uint32_t first, end;
	uint32_t *cell; /* by position, n_ctx of them */
};
struct pool {
	struct cell *cell;
	struct row row[SEQS_MAX];
	uint32_t used;
	bool open;
};
struct fake {
	struct fake_options o;
	struct engine_caps caps;
	struct engine_think think;
	struct pool pool[POOLS];
	float *logits; /* (n_batch, FAKE_VOCAB) */
	bool *wanted;
	size_t n_last;
	const struct engine_picture *busy; /* whose rows are being made */
	int64_t now;
	uint64_t decodes, tokens, sets;
};
struct engine_grammar {
	int depth;
};
struct engine_picture {
	uint8_t hash[SHA256_LEN];
	uint32_t rows;
	bool non_causal;
	unsigned asks; /* left until the rows are there */
};

static struct fake *self(void *b)
{
	return b;
}

static struct pool *open_pool(struct fake *f, enum engine_pool p)
{
	if (!f->pool[p].open)
		DIE("fake: the pool is closed");
	return &f->pool[p];
}

static struct row *row_of(struct fake *f, enum engine_pool p, int32_t seq)
{
	struct pool *pool = open_pool(f, p);
	if (seq < 0 || (uint32_t)seq >= f->caps.pool[p].n_seq)
		DIE("fake: sequence id");
	return &pool->row[seq];
}

static void pool_drop(struct fake *f, enum engine_pool p)
{
	struct pool *pool = &f->pool[p];
	mem_free(pool->cell);
	for (uint32_t i = 0; i < SEQS_MAX; i++)
		mem_free(pool->row[i].cell);
	*pool = (struct pool){ 0 };
}

struct fake *fake_free(struct fake *f)
{
	if (!f)
		return NULL;
	for (int p = 0; p < POOLS; p++)
		pool_drop(f, p);
	mem_free(f->logits);
	mem_free(f->wanted);
	mem_free(f);
	return NULL;
}

static void fake_caps_set(struct fake *f)
{
	const struct fake_options *o = &f->o;
	struct engine_caps *c = &f->caps;
	if (o->n_shared)
		c->pool[POOL_SHARED] = (struct engine_pool_caps){ o->n_shared, o->n_shared,
			o->n_shared_seq ? o->n_shared_seq : SHARED_SEQS };
	if (o->n_seq)
		c->pool[POOL_OWN] =
			(struct engine_pool_caps){ o->n_own * o->n_seq, o->n_own, o->n_seq };
	if (o->n_read)
		c->pool[POOL_READ] = (struct engine_pool_caps){ o->n_read, o->n_read, 4 };
	c->n_ctx = o->n_shared > o->n_own ? o->n_shared : o->n_own;
	c->n_ctx_train = c->n_ctx;
	c->read_tile = o->read_tile ? o->read_tile : 1;
	c->n_batch = c->n_ubatch = c->n_outputs = o->n_batch;
	c->n_vocab = FAKE_VOCAB;
	c->n_run = o->n_run ? o->n_run : c->pool[POOL_SHARED].n_seq + c->pool[POOL_OWN].n_seq;
	c->swa_window = o->swa_window;
	c->cell_bytes = 16;
	c->partial_rm = c->partial_cp = !o->no_partial;
	c->state = !o->no_state;
	c->state_part = c->state && !o->no_partial;
}

enum err fake_new(const struct fake_options *o, struct fake **ret)
{
	AUTO(fake) struct fake *f = mem_zalloc(1, sizeof *f);
	if (!f)
		return ERR_NOMEM;
	f->o = *o;
	f->now = 1; /* 0 means "not yet" to its users */
	fake_caps_set(f);
	TRY(str_copy(o->think_start, f->think.start, sizeof f->think.start));
	TRY(str_copy(o->think_end, f->think.end, sizeof f->think.end));
	f->logits = mem_zalloc((size_t)o->n_batch * FAKE_VOCAB, sizeof *f->logits);
	f->wanted = mem_zalloc(o->n_batch, sizeof *f->wanted);
	if (!f->logits || !f->wanted)
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
uint32_t fake_cells(const struct fake *f, enum engine_pool p)
{
	return f->pool[p].used;
}

static uint64_t hash_add(uint64_t h, int32_t token)
{
	return (h ^ (uint32_t)token) * 0x100000001b3u;
}

static int32_t next_of(uint32_t end_every, uint64_t h)
{
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	h ^= h >> 32;
	if (end_every && h % end_every == 0)
		return FAKE_END;
	return (int32_t)('a' + (h >> 8) % 26);
}

int32_t fake_next(uint32_t end_every, const int32_t *v, size_t n)
{
	uint64_t h = HASH_START;
	for (size_t i = 0; i < n; i++)
		h = hash_add(h, v[i]);
	return next_of(end_every, h);
}

size_t fake_text(const struct gen_request *g, int32_t *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < g->input.len; i++) {
		if (g->input.ptr[i] != PICTURE_MARK || !g->n_pictures || i + 1 == g->input.len) {
			ret[n++] = (unsigned char)g->input.ptr[i];
			continue;
		}
		const struct gen_picture *p =
			&g->picture[(unsigned)(g->input.ptr[++i] - '0') % g->n_pictures];
		for (uint32_t k = 0; k < p->width; k++)
			ret[n++] = media_token(p->hash, 0, k);
	}
	return n;
}

static const struct engine_caps *fake_caps(void *b)
{
	return &self(b)->caps;
}
static enum err fake_think(void *b, const struct gen_request *g, struct engine_think *ret)
{
	(void)g;
	*ret = self(b)->think;
	return OK;
}
static int64_t fake_now(void *b)
{
	return self(b)->now;
}

/* Bytes up to the end of the object that holds the last mark; 0 if there is none. */
static uint32_t marked(struct str text, struct str mark)
{
	uint32_t end = 0;
	for (size_t i = 0; i + mark.len <= text.len; i++)
		if (!memcmp(text.ptr + i, mark.ptr, mark.len)) {
			const char *close = memchr(text.ptr + i, '}', text.len - i);
			end = close ? (uint32_t)(close - text.ptr) + 1 : end;
		}
	return end;
}

static enum err put_picture(struct engine_picture *p, struct engine_prompt *ret)
{
	struct engine_media m = { .of = p,
		.at = (uint32_t)ret->tokens.n,
		.n = p->rows,
		.non_causal = p->non_causal };
	TRY(media_add(&ret->media, &m));
	for (uint32_t i = 0; i < p->rows; i++) {
		int32_t id = media_token(p->hash, 0, i);
		TRY(tokens_add(&ret->tokens, &id, 1));
	}
	return OK;
}

static enum err fake_prompt(void *b, const struct gen_request *g,
	struct engine_picture *const *pictures, struct engine_prompt *ret, struct err_info *info)
{
	(void)b;
	if (g->kind == GEN_CHAT && (!g->input.len || g->input.ptr[0] != '['))
		return err_set(info, ERR_INVALID, "messages must be a list");
	TRY(tokens_reserve(&ret->tokens, g->input.len));
	for (size_t i = 0; i < g->input.len; i++) {
		int32_t id = (unsigned char)g->input.ptr[i];
		if (id == PICTURE_MARK && g->n_pictures && ++i < g->input.len) {
			unsigned which = (unsigned)(g->input.ptr[i] - '0');
			TRY(put_picture(pictures[which % g->n_pictures], ret));
			continue;
		}
		TRY(tokens_add(&ret->tokens, &id, 1));
	}
	ret->thinking = false;
	ret->n_company = marked(g->input, STR("\"share\":\"company\""));
	ret->n_group = marked(g->input, STR("\"share\":\"group\""));
	if (ret->n_group < ret->n_company)
		ret->n_group = ret->n_company;
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

/* ---- cells ---- */

static enum err fake_pool_open(void *b, enum engine_pool p)
{
	struct fake *f = self(b);
	struct pool *pool = &f->pool[p];
	const struct engine_pool_caps *c = &f->caps.pool[p];
	if (pool->open)
		return OK;
	if (!c->n_cells || c->n_seq > SEQS_MAX)
		return ERR_UNSUPPORTED;
	pool->cell = mem_zalloc(c->n_cells, sizeof *pool->cell);
	bool ok = pool->cell != NULL;
	for (uint32_t i = 0; ok && i < c->n_seq; i++)
		ok = (pool->row[i].cell = mem_zalloc(c->n_ctx, sizeof(uint32_t))) != NULL;
	if (!ok) {
		pool_drop(f, p);
		return ERR_NOMEM;
	}
	pool->open = true;
	return OK;
}

static void fake_pool_close(void *b, enum engine_pool p)
{
	pool_drop(self(b), p);
}

static void unref(struct pool *p, uint32_t i)
{
	if (!--p->cell[i].refs)
		p->used--;
}

/* A free cell for sequence `seq`: streams have cells of their own. False: none is left. */
static bool grab(struct fake *f, enum engine_pool p, int32_t seq, uint32_t *ret)
{
	struct pool *pool = &f->pool[p];
	const struct engine_pool_caps *c = &f->caps.pool[p];
	uint32_t from = p == POOL_OWN ? (uint32_t)seq * c->n_ctx : 0;
	for (uint32_t i = from; i < from + c->n_ctx; i++)
		if (!pool->cell[i].refs) {
			pool->cell[i].refs = 1;
			pool->used++;
			*ret = i;
			return true;
		}
	return false;
}

static void row_empty(struct pool *p, struct row *r)
{
	for (uint32_t i = r->first; i < r->end; i++)
		unref(p, r->cell[i]);
	r->first = r->end = 0;
}

static void logits_of(struct fake *f, size_t i, uint64_t hash)
{
	float *l = f->logits + i * FAKE_VOCAB;
	for (int t = 0; t < FAKE_VOCAB; t++)
		l[t] = -8.0f + (float)((t * 7) % 13) * 0.125f;
	l[next_of(f->o.end_every, hash)] = 8.0f;
	f->wanted[i] = true;
}

static void compute(struct fake *f, enum engine_pool p, const struct engine_token *t, size_t i)
{
	struct pool *pool = &f->pool[p];
	struct row *r = row_of(f, p, t->seq);
	uint32_t pos = (uint32_t)t->pos, window = f->caps.swa_window;
	if (pos != r->end || pos >= f->caps.pool[p].n_ctx)
		DIE("fake: position");
	if (pos && r->first > (window && pos > window ? pos - window : 0))
		DIE("fake: looks back at cells that are gone");
	uint64_t h = pos ? pool->cell[r->cell[pos - 1]].hash : HASH_START;
	if (!grab(f, p, t->seq, &r->cell[pos]))
		DIE("fake: cells were counted wrongly");
	pool->cell[r->cell[pos]].hash = h = hash_add(h, t->token);
	pool->cell[r->cell[pos]].token = t->token;
	r->end++;
	while (window && r->end > window && r->first < r->end - window)
		unref(pool, r->cell[r->first++]); /* left the window: used for something else */
	if (t->out)
		logits_of(f, i, h);
}

static bool has_room(struct fake *f, enum engine_pool p, const struct engine_token *v, size_t n)
{
	if (p != POOL_OWN)
		return f->pool[p].used + n <= f->caps.pool[p].n_cells;
	uint32_t more[SEQS_MAX] = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct row *r = row_of(f, p, v[i].seq);
		if (r->end - r->first + ++more[v[i].seq] > f->caps.pool[p].n_ctx)
			return false;
	}
	return true;
}

static enum err fake_decode(
	void *b, enum engine_pool p, const struct engine_token *v, size_t n)
{
	struct fake *f = self(b);
	struct pool *pool = open_pool(f, p);
	size_t outs = 0;
	if (!n || n > f->caps.n_batch)
		DIE("fake: batch size");
	f->decodes++;
	if (f->o.broken_at && f->decodes == f->o.broken_at)
		return ERR_ENGINE;
	if (f->o.again_every && f->decodes % f->o.again_every == 0)
		return ERR_AGAIN;
	if (!has_room(f, p, v, n))
		return ERR_AGAIN;
	memset(f->wanted, 0, f->caps.n_batch * sizeof *f->wanted);
	for (size_t i = 0; i < n; i++) {
		if (v[i].token < 0 || v[i].token >= FAKE_VOCAB)
			DIE("fake: token id");
		compute(f, p, &v[i], i);
		outs += v[i].out;
	}
	if (outs > f->caps.n_outputs)
		DIE("fake: more logits than there are rows");
	f->n_last = n;
	f->tokens += n;
	int64_t token_ns = f->o.token_ns;
	if (p == POOL_READ)
		token_ns = n < f->caps.read_tile ? 7 * token_ns : token_ns / 2;
	f->now += f->o.step_ns +
		  (int64_t)n * (token_ns + f->o.cell_ns * (int64_t)pool->used);
	return OK;
}

/* ---- pictures ---- */

static enum err fake_picture_new(
	void *b, const struct gen_picture *g, struct engine_picture **ret, struct err_info *info)
{
	struct fake *f = self(b);
	if (g->height == 2 && g->width > f->caps.n_ubatch)
		return err_set(info, ERR_LIMIT, "the picture has more rows than a batch");
	struct engine_picture *p = mem_zalloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	memcpy(p->hash, g->hash, sizeof p->hash);
	p->rows = g->width;
	p->non_causal = g->height == 2;
	p->asks = PICTURE_ASKS;
	*ret = p;
	return OK;
}

static void fake_picture_free(void *b, struct engine_picture *p)
{
	struct fake *f = self(b);
	if (f->busy == p)
		f->busy = NULL;
	mem_free(p);
}

static enum err fake_picture_rows(void *b, struct engine_picture *p)
{
	struct fake *f = self(b);
	if (!p->asks)
		return OK;
	if (f->busy && f->busy != p)
		return ERR_BUSY;
	f->busy = --p->asks ? p : NULL;
	f->now += f->o.token_ns;
	return p->asks ? ERR_AGAIN : OK;
}

static enum err fake_decode_rows(void *b, enum engine_pool p, const struct engine_media *m,
	uint32_t from, uint32_t n, int32_t seq)
{
	struct fake *f = self(b);
	if (!n || n > f->caps.n_batch || from + n > m->n || m->of->asks ||
		(m->non_causal && (from || n != m->n)))
		DIE("fake: rows of a picture");
	struct engine_token t = { .seq = seq };
	f->decodes++;
	if (f->o.broken_at && f->decodes == f->o.broken_at)
		return ERR_ENGINE;
	struct row *r = row_of(f, p, seq);
	bool room = p == POOL_OWN ? r->end - r->first + n <= f->caps.pool[p].n_ctx
				  : f->pool[p].used + n <= f->caps.pool[p].n_cells;
	if (!room || (f->o.again_every && f->decodes % f->o.again_every == 0))
		return ERR_AGAIN;
	memset(f->wanted, 0, f->caps.n_batch * sizeof *f->wanted);
	for (uint32_t i = 0; i < n; i++) {
		t.token = media_token(m->of->hash, m->part, from + i);
		t.pos = (int32_t)(m->at + from + i);
		compute(f, p, &t, i);
	}
	f->tokens += n;
	f->now += f->o.step_ns + n * f->o.token_ns;
	return OK;
}

static float *fake_logits(void *b, size_t i)
{
	struct fake *f = self(b);
	return i < f->n_last && f->wanted[i] ? f->logits + i * FAKE_VOCAB : NULL;
}

static bool fake_kv_rm(void *b, enum engine_pool p, int32_t seq, int32_t from, int32_t to)
{
	struct fake *f = self(b);
	struct row *r = row_of(f, p, seq);
	struct pool *pool = &f->pool[p];
	if (from <= 0 && (to < 0 || (uint32_t)to >= r->end)) {
		row_empty(pool, r);
		return true;
	}
	if (from > 0 && (uint32_t)from >= r->end)
		return true;
	if (!f->caps.partial_rm)
		return false;
	if (from <= 0) { /* its beginning */
		while (r->first < (uint32_t)to)
			unref(pool, r->cell[r->first++]);
		return true;
	}
	if (to >= 0)
		DIE("fake: nothing is removed from the middle");
	while (r->end > (uint32_t)from && r->end > r->first)
		unref(pool, r->cell[--r->end]);
	if (r->end == r->first)
		r->first = r->end = 0;
	return true;
}

static void fake_kv_cp(void *b, int32_t from_seq, int32_t to_seq, int32_t from, int32_t to)
{
	struct fake *f = self(b);
	struct row *a = row_of(f, POOL_SHARED, from_seq), *z = row_of(f, POOL_SHARED, to_seq);
	struct pool *pool = &f->pool[POOL_SHARED];
	if (!f->caps.partial_cp || from_seq == to_seq)
		DIE("fake: copy");
	uint32_t begin = from <= 0 ? 0 : (uint32_t)from, end = to < 0 ? a->end : (uint32_t)to;
	begin = begin < a->first ? a->first : begin;
	end = end > a->end ? a->end : end;
	if (begin >= end)
		return;
	if (z->end > z->first && end == z->first) { /* before what it holds */
		for (uint32_t i = begin; i < end; i++) {
			z->cell[i] = a->cell[i];
			pool->cell[a->cell[i]].refs++;
		}
		z->first = begin;
		return;
	}
	if (z->end == z->first)
		z->first = z->end = begin;
	if (z->end != begin && !f->caps.swa_window)
		DIE("fake: a copy leaves a gap or writes over cells");
	if (z->end < begin) /* what is between has left the window of both */
		row_empty(pool, z), z->first = z->end = begin;
	for (uint32_t i = z->end > begin ? z->end : begin; i < end; i++) {
		z->cell[i] = a->cell[i];
		pool->cell[a->cell[i]].refs++;
		z->end = i + 1;
	}
}

static int32_t fake_kv_first(void *b, enum engine_pool p, int32_t seq)
{
	struct row *r = row_of(self(b), p, seq);
	return r->end > r->first ? (int32_t)r->first : -1;
}

static void fake_kv_clear(void *b, enum engine_pool p)
{
	struct fake *f = self(b);
	for (uint32_t i = 0; i < f->caps.pool[p].n_seq; i++)
		row_empty(open_pool(f, p), &f->pool[p].row[i]);
}

/* ---- states: the positions held, then the cells ---- */

struct saved {
	uint64_t hash;
	int32_t token, pos;
};

static enum err fake_state_get(
	void *b, enum engine_pool p, int32_t seq, void **ret, size_t *ret_size)
{
	struct fake *f = self(b);
	struct row *r = row_of(f, p, seq);
	if (!f->caps.state || r->end == r->first)
		return ERR_UNSUPPORTED;
	struct saved *s = mem_zalloc(r->end - r->first, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	*ret = s;
	*ret_size = (r->end - r->first) * sizeof *s;
	f->now += (r->end - r->first) * f->o.save_ns;
	for (uint32_t i = r->first; i < r->end; i++) {
		const struct cell *c = &f->pool[p].cell[r->cell[i]];
		*s++ = (struct saved){ c->hash, c->token, (int32_t)i };
	}
	return OK;
}

static bool fake_state_set(
	void *b, enum engine_pool p, int32_t seq, const void *from, size_t size)
{
	struct fake *f = self(b);
	struct row *r = row_of(f, p, seq);
	const struct saved *s = from;
	if (r->end != r->first || size % sizeof *s)
		DIE("fake: a state goes into an empty sequence");
	if (f->o.set_every && ++f->sets % f->o.set_every == 0)
		return false;
	for (size_t i = 0; i < size / sizeof *s; i++) {
		uint32_t pos = (uint32_t)s[i].pos;
		if (!i)
			r->first = r->end = pos;
		if (pos != r->end)
			DIE("fake: positions of a state");
		if (pos >= f->caps.pool[p].n_ctx || !grab(f, p, seq, &r->cell[pos])) {
			row_empty(&f->pool[p], r);
			return false;
		}
		f->pool[p].cell[r->cell[pos]].hash = s[i].hash;
		f->pool[p].cell[r->cell[pos]].token = s[i].token;
		r->end++;
	}
	return true;
}

/* ---- grammars ---- */

/* One with "abc" in it: only the letters a, b and c; "json": none of them; else not a schema. */
static enum err fake_grammar_new(
	void *b, struct str schema, struct engine_grammar **ret, struct err_info *info)
{
	(void)b;
	bool abc = str_find(schema, STR("abc"), 0) != SIZE_MAX;
	if (!abc && !str_eq(schema, STR("json")))
		return err_set(info, ERR_INVALID, "schema: not known");
	struct engine_grammar *g = mem_zalloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	g->depth = abc ? 3 : 0;
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
	.pool_open = fake_pool_open,
	.pool_close = fake_pool_close,
	.decode = fake_decode,
	.logits = fake_logits,
	.kv_rm = fake_kv_rm,
	.kv_cp = fake_kv_cp,
	.kv_first = fake_kv_first,
	.kv_clear = fake_kv_clear,
	.state_get = fake_state_get,
	.state_set = fake_state_set,
	.grammar_new = fake_grammar_new,
	.grammar_free = fake_grammar_free,
	.grammar_mask = fake_grammar_mask,
	.grammar_accept = fake_grammar_accept,
	.picture_new = fake_picture_new,
	.picture_free = fake_picture_free,
	.picture_rows = fake_picture_rows,
	.decode_rows = fake_decode_rows,
};
