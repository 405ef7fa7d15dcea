#include "engine/llama/backend_int.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/crypto.h"
#include "base/fault.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/time.h"
#include "engine/llama/cards.h"
#include "engine/llama/embed.h"
#include "engine/llama/state.h"
#include "engine/llama/template.h"
#include "engine/llama/vision.h"

enum {
	CTX_DEFAULT = 8192, /* positions of the longest request, when nobody says */
	OWN_DEFAULT = 2048, /* of a stream */
	SEQ_DEFAULT = 8,
	SEQ_MOST = 64,       /* libllama keeps a row of logits for each */
	SHARED_RUN = 24,     /* requests over shared prefixes that run together */
	READ_SEQS = 1,       /* one prompt at a time: each would pay for the others' cells */
	STATE_FIRST = 1 << 20, /* bytes taken at first for a state */
	FLASH_TILE = 64,     /* below it the library's flash attention goes token by token */
	SHARED_SEQS = 40,    /* with kept prefixes and one for states on their way */
	DRAFTS = 16,         /* further rows, for drafted tokens */
	ROWS_BYTES = 64 << 20, /* of rows of logits that are only set aside */
	BATCH_DEFAULT = 512, /* one micro-batch: a cancel waits for no more than this */
	CTX_LEAST = 512,
	FAULT_BYTES = 64 << 10, /* of a file that one fault brings in, about */
	LOAD_TEMPLATE_SECONDS = 5, /* to read a template; a working one needs milliseconds */
};

/* ---- making ---- */

uint32_t llama_backend_prepare(const struct card_use *cards, size_t n)
{
	bool shown = n && !cards_show(cards, n); /* else there are none, which is told at loading */
	if (!shown)
		(void)cards_show(NULL, 0);
	return shim_init(shown);
}

static void close_pool(struct llama_backend *b, enum engine_pool i)
{
	if (b->last == b->ctx[i])
		b->last = NULL;
	if (b->ctx[i])
		llama_free(b->ctx[i]);
	shim_cells_free(b->cells[i]);
	b->cells[i] = NULL;
	b->ctx[i] = NULL;
}

struct llama_backend *llama_backend_free_all(struct llama_backend *b)
{
	if (!b)
		return NULL;
	grammar_cache_free(b->grammars);
	(void)pthread_mutex_destroy(&b->grammars_lock);
	llama_vision_free(b->vision);
	template_cache_free(b->brought);
	(void)pthread_mutex_destroy(&b->templates_lock);
	if (b->own.jinja)
		shim_templates_free(b->own.jinja);
	if (b->batch.token)
		llama_batch_free(b->batch);
	for (int p = 0; p < POOLS; p++)
		close_pool(b, p);
	/* the thread pool ends with the process: its threads may be shared */
	if (b->model)
		llama_model_free(b->model);
	mem_free(b);
	return NULL;
}

/* What the library says may quote any bytes and be cut anywhere: one line of valid text. */
void llama_clean(char *text)
{
	bool utf8 = str_is_utf8(str_from(text));
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
		else if (!utf8 && (unsigned char)*c >= 0x80)
			*c = '?';
}

static enum err unusable(struct err_info *info, const char *what)
{
	char why[SHIM_WHY];
	shim_last_error(why, sizeof why);
	llama_clean(why);
	/* The library names its own functions; a person wants the rest. */
	const char *rest = strstr(why, ": ");
	return err_set(info, ERR_MODEL_BAD, "not a usable model: %s",
		!why[0] ? what
		: rest  ? rest + 2
			: why);
}

static enum err load_model(struct llama_backend *b, FILE *f, const struct llama_backend_options *o,
	struct err_info *info)
{
	struct llama_model_params p = llama_model_default_params();
	ggml_backend_dev_t cards[CARDS_MAX + 1];
	float share[CARDS_MAX];
	if (llama_cards(cards) != o->n_cards)
		return err_set(info, ERR_UNSUPPORTED,
			"this engine build does not see the graphics cards that the model was to "
			"use");
	for (unsigned i = 0; i < o->n_cards; i++)
		share[i] = (float)o->card[i].share;
	p.n_gpu_layers = 0;
	if (o->n_cards) {
		p.n_gpu_layers = o->n_gpu_layers;
		p.devices = cards;
		p.split_mode = LLAMA_SPLIT_MODE_LAYER;
		p.tensor_split = share;
		llama_cards_text(b->facts.cards);
	}
	if (shim_model_load(f, p, &b->model) != SHIM_OK)
		return unusable(info, "the file cannot be read");
	b->vocab = llama_model_get_vocab(b->model);
	if (llama_vocab_n_tokens(b->vocab) <= 0 ||
		llama_vocab_type(b->vocab) == LLAMA_VOCAB_TYPE_NONE)
		return err_set(info, ERR_MODEL_BAD, "not a usable model: it has no vocabulary");
	struct llama_embed_kind kind;
	TRY(llama_embed_kind(b->model, &kind, info));
	b->writes = b->facts.writes = kind.writes;
	b->facts.ranks = kind.ranks;
	b->facts.n_embd = kind.n_embd;
	return OK;
}

static enum err load_adapters(
	struct llama_backend *b, const struct llama_backend_options *o, struct err_info *info)
{
	for (unsigned i = 0; i < o->n_adapters; i++) {
		if (shim_adapter_load(o->adapter[i], b->model, &b->adapter[i]) != SHIM_OK)
			return unusable(info, "its adapter cannot be read");
		b->n_adapters++;
	}
	return OK;
}

/* What is mapped stays mapped. */
static void close_files(FILE *model, const struct llama_backend_options *o)
{
	(void)fclose(model);
	for (unsigned i = 0; i < o->n_adapters; i++)
		(void)fclose(o->adapter[i]);
}

/* Bytes of K and V a cell takes, by the model's shape; only a guess to stay inside memory. */
static uint64_t cell_bytes(const struct llama_model *m)
{
	uint64_t heads = (uint64_t)llama_model_n_head(m), embd = (uint64_t)llama_model_n_embd(m);
	uint64_t head = heads ? embd / heads : embd;
	return 2 * 2 * (uint64_t)llama_model_n_layer(m) * (uint64_t)llama_model_n_head_kv(m) * head;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Positions of a request, positions and number of streams: as asked for, within what the model was
 * trained for; halved until K and V take at most half of what the model leaves of memory. */
static void choose_sizes(struct llama_backend *b, const struct llama_backend_options *o)
{
	uint32_t trained = (uint32_t)llama_model_n_ctx_train(b->model);
	uint32_t most = trained >= CTX_LEAST ? trained : UINT32_MAX;
	uint32_t shared = least(o->n_ctx ? o->n_ctx : CTX_DEFAULT, most),
		 own = least(o->n_ctx_own ? o->n_ctx_own : least(OWN_DEFAULT, shared), most),
		 seqs = least(o->n_seq ? o->n_seq : SEQ_DEFAULT, SEQ_MOST);
	if (o->memory_bytes) {
		uint64_t model = llama_model_size(b->model), cell = b->caps.cell_bytes;
		uint64_t rest = o->memory_bytes > model ? (o->memory_bytes - model) / 2 : 0;
		while (!o->n_seq && seqs > 1 && (shared + (uint64_t)seqs * own) * cell > rest)
			seqs /= 2;
		while (!o->n_ctx && shared > 2 * CTX_LEAST &&
			(shared + (uint64_t)seqs * own) * cell > rest) {
			shared /= 2;
			own = least(own, shared);
		}
	}
	shared = shared < CTX_LEAST ? CTX_LEAST : shared;
	own = own < CTX_LEAST ? CTX_LEAST : own;
	b->caps.pool[POOL_SHARED] = (struct engine_pool_caps){
		.n_cells = shared, .n_ctx = shared, .n_seq = SHARED_SEQS
	};
	b->caps.pool[POOL_OWN] =
		(struct engine_pool_caps){ .n_cells = own * seqs, .n_ctx = own, .n_seq = seqs };
	/* On a CPU flash attention reads half as fast again as it writes slowly: it has a pool of
	 * its own to read in. */
	if (!o->n_cards && o->flash <= 0 && !llama_model_n_swa(b->model))
		b->caps.pool[POOL_READ] = (struct engine_pool_caps){
			.n_cells = shared, .n_ctx = shared, .n_seq = READ_SEQS
		};
}

/* Recurrent state cannot be shared by prefix: such a model has streams only, and long ones. */
static void only_streams(struct llama_backend *b)
{
	struct engine_pool_caps *shared = &b->caps.pool[POOL_SHARED],
				*own = &b->caps.pool[POOL_OWN];
	own->n_ctx = shared->n_ctx;
	own->n_cells = own->n_ctx * own->n_seq;
	b->caps.pool[POOL_READ] = (struct engine_pool_caps){ 0 };
	*shared = (struct engine_pool_caps){ 0 };
}

/* Rows of logits, not one a token of prompt. Rows that are not written take no memory of the
 * machine, and a processor computes faster where the library has set more of them aside than are
 * needed: with 40 of a vocabulary of 49,152 a step of eight, and reading 350 tokens, took a tenth
 * longer than with 512 (bench/serving/rows.py; why is not known). */
static uint32_t rows_set_aside(const struct llama_backend *b, uint32_t n_batch)
{
	uint64_t n = ROWS_BYTES / (sizeof(float) * (b->caps.n_vocab ? b->caps.n_vocab : 1));
	if (b->facts.gpu || n <= b->caps.n_outputs)
		return b->caps.n_outputs;
	return n < n_batch ? (uint32_t)n : n_batch;
}

static void choose_params(struct llama_backend *b, const struct llama_backend_options *o)
{
	uint32_t threads = o->n_threads ? o->n_threads : o->cores ? o->cores : 1;
	bool flash = o->flash < 0 ? o->n_cards > 0 : o->flash > 0;
	for (int i = 0; i < POOLS; i++) {
		const struct engine_pool_caps *c = &b->caps.pool[i];
		struct llama_context_params *p = &b->params[i];
		*p = llama_context_default_params();
		p->n_ctx = c->n_cells;
		p->n_seq_max = c->n_seq;
		p->n_batch = o->n_batch ? o->n_batch : BATCH_DEFAULT;
		p->n_batch = p->n_batch < b->caps.n_outputs ? b->caps.n_outputs : p->n_batch;
		p->n_ubatch = least(o->n_ubatch ? o->n_ubatch : BATCH_DEFAULT, p->n_batch);
		p->n_threads = p->n_threads_batch = (int32_t)threads;
		p->n_outputs_max = rows_set_aside(b, p->n_batch);
		p->flash_attn_type = flash || i == POOL_READ ? LLAMA_FLASH_ATTN_TYPE_ENABLED
							     : LLAMA_FLASH_ATTN_TYPE_DISABLED;
		p->kv_unified = i != POOL_OWN || c->n_seq == 1;
		p->no_perf = true;
	}
	b->facts.n_threads = b->n_threads = threads;
	b->facts.flash = flash;
	if (threads > 1)
		b->pool = shim_threadpool_new((int)threads, o->poll);
}

static int decode_one(struct llama_backend *b, enum engine_pool i, int32_t pos)
{
	int32_t bos = llama_vocab_bos(b->vocab), token = bos < 0 ? 0 : bos, seq = 0;
	int32_t *seqs = &seq, n_seq = 1;
	int8_t out = 1;
	struct llama_batch one = { .n_tokens = 1,
		.token = &token,
		.pos = &pos,
		.n_seq_id = &n_seq,
		.seq_id = &seqs,
		.logits = &out };
	return shim_decode(b->ctx[i], one);
}

/* Empty, and no page of its cells is resident. */
static void empty(struct llama_backend *b, enum engine_pool i)
{
	llama_memory_clear(llama_get_memory(b->ctx[i]), false);
	if (b->cells[i])
		shim_cells_release(b->cells[i]);
}

/* A token shows where the cells lie: what is not used takes no memory from then on. */
static enum err learn_cells(struct llama_backend *b, enum engine_pool i)
{
	if (decode_one(b, i, 0))
		return ERR_ENGINE;
	empty(b, i);
	return OK;
}

static enum err open_pool(struct llama_backend *b, enum engine_pool i)
{
	if (b->ctx[i])
		return OK;
	if (!b->caps.pool[i].n_cells)
		return ERR_UNSUPPORTED;
	struct llama_context_params p = b->params[i];
	/* a card has memory of its own, and would wait for each operation that is looked at */
	if (!b->facts.gpu && shim_cells_new(&p, &b->cells[i]) != SHIM_OK)
		return ERR_NOMEM;
	if (llama_context_new(b, p, &b->ctx[i]) != SHIM_OK) {
		shim_cells_free(b->cells[i]);
		b->cells[i] = NULL;
		return ERR_NOMEM;
	}
	if (b->pool)
		llama_attach_threadpool(b->ctx[i], b->pool, b->pool);
	llama_set_n_threads(b->ctx[i], (int32_t)b->n_threads, (int32_t)b->n_threads);
	enum err e = b->cells[i] ? learn_cells(b, i) : OK;
	if (e)
		close_pool(b, i);
	return e;
}

void llama_backend_threads(struct llama_backend *b, uint32_t n)
{
	n = n < 1 ? 1 : least(n, b->facts.n_threads);
	if (n == b->n_threads)
		return;
	b->n_threads = n;
	for (int i = 0; i < POOLS; i++)
		if (b->ctx[i])
			llama_set_n_threads(b->ctx[i], (int32_t)n, (int32_t)n);
}

/* What the context made of our wishes counts: it rounds sizes. */
static void read_caps(struct llama_backend *b, enum engine_pool i)
{
	const struct llama_context *c = b->ctx[i];
	struct engine_pool_caps *p = &b->caps.pool[i];
	p->n_cells = llama_n_ctx(c);
	p->n_ctx = llama_n_ctx_seq(c);
	p->n_seq = llama_n_seq_max(c);
	b->caps.n_batch = llama_n_batch(c);
	b->caps.n_ubatch = llama_n_ubatch(c);
}

/* Sizes, capabilities and the own pool, which is open from the start: most requests run there. */
static enum err make_context(
	struct llama_backend *b, const struct llama_backend_options *o, struct err_info *info)
{
	bool whole_only = llama_model_is_recurrent(b->model) || llama_model_is_hybrid(b->model);
	b->caps.cell_bytes = cell_bytes(b->model);
	b->caps.n_ctx_train = (uint32_t)llama_model_n_ctx_train(b->model);
	b->caps.n_vocab = (uint32_t)llama_vocab_n_tokens(b->vocab);
	if (!b->writes) { /* llama/embed.c makes a context of its own */
		choose_params(b, o);
		return OK;
	}
	choose_sizes(b, o);
	if (whole_only)
		only_streams(b);
	b->caps.n_run = whole_only ? b->caps.pool[POOL_OWN].n_seq : SHARED_RUN;
	b->caps.n_outputs = SHARED_RUN + DRAFTS;
	b->caps.read_tile = FLASH_TILE;
	choose_params(b, o);
	if (open_pool(b, POOL_OWN))
		return unusable(info, "no context can be made for it");
	read_caps(b, POOL_OWN);
	struct engine_caps *c = &b->caps;
	/* What is rounded up in a stream may not be more than the longest request. */
	if (c->pool[POOL_SHARED].n_ctx && c->pool[POOL_SHARED].n_ctx < c->pool[POOL_OWN].n_ctx)
		c->pool[POOL_OWN].n_ctx = c->pool[POOL_SHARED].n_ctx;
	c->n_ctx = c->pool[POOL_SHARED].n_ctx > c->pool[POOL_OWN].n_ctx ? c->pool[POOL_SHARED].n_ctx
									: c->pool[POOL_OWN].n_ctx;
	c->swa_window = (uint32_t)llama_model_n_swa(b->model);
	c->partial_rm = c->partial_cp = !whole_only;
	c->state = true;
	c->state_part = !whole_only;
	b->sections = c->swa_window || llama_model_is_hybrid(b->model) ? 2 : 1;
	return OK;
}

static void read_facts(struct llama_backend *b)
{
	uint64_t compute;
	uint8_t hash[SHA256_LEN];
	struct llama_backend_facts *f = &b->facts;
	f->model_bytes = llama_model_size(b->model);
	if (b->writes)
		shim_context_bytes(b->ctx[POOL_OWN], &f->model_bytes, &f->kv_bytes, &compute);
	/* The other pools are opened when they are first needed; they count from the start. A model
	 * that does not write has none. */
	f->kv_bytes += (b->caps.pool[POOL_SHARED].n_cells + b->caps.pool[POOL_READ].n_cells) *
		       b->caps.cell_bytes;
	shim_build(f->build, sizeof f->build);
	(void)llama_model_meta_val_str(
		b->model, "general.architecture", f->architecture, sizeof f->architecture);
	(void)llama_model_desc(b->model, f->description, sizeof f->description);
	const char *t = b->own.jinja ? shim_templates_source(b->own.jinja) : "";
	sha256_of(t, strlen(t), hash);
	hex_encode(hash, sizeof hash, f->template_hash);
	f->has_template = b->own.jinja && shim_templates_fits(b->own.jinja);
}

static void read_special(struct llama_backend *b)
{
	char text[256];
	for (int32_t i = 0, n = llama_vocab_n_tokens(b->vocab); i < n; i++) {
		if (!(llama_vocab_get_attr(b->vocab, i) &
			    (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)))
			continue;
		int32_t len = shim_piece(b->vocab, i, text, sizeof text, true);
		if (len > 0)
			specials_add(&b->specials, (struct str){ text, (size_t)len });
		else if (len < 0) /* longer than any real one: nothing is cleared any more */
			memset(b->specials.brief, true, sizeof b->specials.brief);
	}
}

enum err llama_backend_new(FILE *model, const struct llama_backend_options *o,
	struct llama_backend **ret, struct err_info *info)
{
	struct llama_backend *b = mem_zalloc(1, sizeof *b);
	if (!b) {
		close_files(model, o);
		return ERR_NOMEM;
	}
	(void)pthread_mutex_init(&b->grammars_lock, NULL);
	(void)pthread_mutex_init(&b->templates_lock, NULL);
	b->facts.gpu = o->n_cards > 0;
	enum err e = load_model(b, model, o, info);
	if (!e)
		e = load_adapters(b, o, info);
	close_files(model, o);
	if (!e)
		e = make_context(b, o, info);
	if (e) {
		llama_backend_free_all(b);
		return e;
	}
	b->guard = o->guard;
	if (!b->writes) {
		read_facts(b);
		*ret = b;
		return OK;
	}
	b->batch = llama_batch_init((int32_t)b->caps.n_batch, 0, 1);
	if (!b->batch.token) {
		llama_backend_free_all(b);
		return ERR_NOMEM;
	}
	read_special(b);
	/* A model without a template that works still completes plain text. */
	llama_guard(b, LOAD_TEMPLATE_SECONDS);
	enum shim_result t = shim_templates_new(b->model, NULL, &b->own.jinja, b->no_template);
	llama_guard(b, 0);
	llama_clean(b->no_template);
	if (t == SHIM_OK)
		llama_template_think(&b->own);
	read_facts(b);
	*ret = b;
	return OK;
}

void llama_backend_facts(const struct llama_backend *b, struct llama_backend_facts *ret)
{
	*ret = b->facts;
}

/* ---- computing ---- */

static const struct engine_caps *op_caps(void *b)
{
	return &llama_self(b)->caps;
}
static bool op_is_end(void *b, int32_t token)
{
	return llama_vocab_is_eog(llama_self(b)->vocab, token);
}

static int64_t op_now(void *b)
{
	(void)b;
	return time_mono_ns();
}

static enum err op_decode(void *backend, enum engine_pool p, const struct engine_token *v, size_t n)
{
	struct llama_backend *b = llama_self(backend);
	if (!n || n > b->caps.n_batch || !b->ctx[p])
		return ERR_INVALID; /* libllama would abort */
	for (size_t i = 0; i < n; i++) {
		b->batch.token[i] = v[i].token;
		b->batch.pos[i] = v[i].pos;
		b->batch.n_seq_id[i] = 1;
		b->batch.seq_id[i][0] = v[i].seq;
		b->batch.logits[i] = v[i].out;
	}
	b->batch.n_tokens = (int32_t)n;
	b->last = b->ctx[p];
	int rc = shim_decode(b->last, b->batch);
	return rc == 0 ? OK : rc == 1 ? ERR_AGAIN : rc == -1 ? ERR_INVALID : ERR_ENGINE;
}

static long page_faults(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) ? 0 : u.ru_minflt;
}

/* Weights that were laid out anew for this CPU are not read from the file any more: when its pages
 * are gone, a token brings few of them back. */
static enum err learn_weights(struct llama_backend *b)
{
	long start = page_faults();
	if (decode_one(b, POOL_OWN, 2))
		return ERR_ENGINE;
	long usual = page_faults() - start;
	shim_weights_release(b->cells[POOL_OWN]);
	start = page_faults();
	if (decode_one(b, POOL_OWN, 3))
		return ERR_ENGINE;
	int64_t read = (page_faults() - start - usual) * (int64_t)FAULT_BYTES;
	b->weights_rest = read < (int64_t)llama_model_size(b->model) / 2;
	shim_weights_release(b->cells[POOL_OWN]);
	return OK;
}

void llama_backend_rest(struct llama_backend *b)
{
	if (b->weights_rest && b->cells[POOL_OWN])
		shim_weights_release(b->cells[POOL_OWN]);
}

enum err llama_backend_warm_up(struct llama_backend *b)
{
	TRY(open_pool(b, POOL_OWN));
	for (int32_t pos = 0; pos < 2; pos++)
		if (decode_one(b, POOL_OWN, pos))
			return ERR_ENGINE;
	if (b->cells[POOL_OWN])
		TRY(learn_weights(b));
	empty(b, POOL_OWN);
	return OK;
}

static float *op_logits(void *b, size_t i)
{
	return llama_get_logits_ith(llama_self(b)->last, (int32_t)i);
}

static llama_memory_t memory(void *b, enum engine_pool p)
{
	return llama_get_memory(llama_self(b)->ctx[p]);
}

static bool op_kv_rm(void *b, enum engine_pool p, int32_t seq, int32_t from, int32_t to)
{
	return llama_memory_seq_rm(memory(b, p), seq, from <= 0 ? -1 : from, to);
}

static void op_kv_cp(void *b, int32_t from_seq, int32_t to_seq, int32_t from, int32_t to)
{
	if (llama_self(b)->caps.partial_cp)
		llama_memory_seq_cp(memory(b, POOL_SHARED), from_seq, to_seq, from, to);
}

static int32_t op_kv_first(void *b, enum engine_pool p, int32_t seq)
{
	return llama_memory_seq_pos_min(memory(b, p), seq);
}

static void op_kv_clear(void *b, enum engine_pool p)
{
	empty(llama_self(b), p);
}

static enum err op_pool_open(void *b, enum engine_pool p)
{
	return open_pool(llama_self(b), p);
}

static void op_pool_close(void *backend, enum engine_pool p)
{
	close_pool(llama_self(backend), p);
}

/* ---- states ---- */

/* States are kept as a context with one stream and the answers' layout writes them. */
static struct state_form kept_form(const struct llama_backend *b)
{
	return (struct state_form){ 1, !b->facts.flash };
}

static struct state_form form_of(const struct llama_backend *b, enum engine_pool p)
{
	bool flash = b->params[p].flash_attn_type == LLAMA_FLASH_ATTN_TYPE_ENABLED;
	return (struct state_form){ b->params[p].kv_unified ? 1 : b->caps.pool[p].n_seq, !flash };
}

static bool grow(struct shim_bytes *b, size_t more)
{
	size_t cap = b->cap ? b->cap : STATE_FIRST;
	while (cap - b->n < more)
		cap *= 2;
	uint8_t *p = mem_realloc(b->ptr, cap);
	if (!p)
		return false;
	b->ptr = p;
	b->cap = cap;
	return true;
}

/* A state that is kept for long: without the room to grow. */
static uint8_t *fitted(uint8_t *bytes, size_t n)
{
	uint8_t *fit = mem_realloc(bytes, n);
	return fit ? fit : bytes;
}

static enum err op_state_get(
	void *backend, enum engine_pool p, int32_t seq, void **ret, size_t *ret_size)
{
	struct llama_backend *b = llama_self(backend);
	struct shim_bytes got = { .grow = grow };
	struct state_form kept = kept_form(b), form = form_of(b, p);
	enum shim_result r = shim_state_get(b->ctx[p], seq, &got);
	AUTO_MEM uint8_t *bytes = got.ptr, *other = NULL;
	if (r != SHIM_OK)
		return r == SHIM_NOMEM ? ERR_NOMEM : ERR_UNSUPPORTED;
	if (form.transposed != kept.transposed) {
		if (!state_convert(bytes, got.n, b->sections, form, kept, &other, ret_size))
			return ERR_UNSUPPORTED;
		*ret = TAKE(other);
		return OK;
	}
	if (form.streams != kept.streams && !state_narrow(bytes, &got.n, b->sections, form))
		return ERR_UNSUPPORTED;
	*ret = fitted(bytes, got.n);
	*ret_size = got.n;
	bytes = NULL;
	return OK;
}

static bool op_state_set(
	void *backend, enum engine_pool p, int32_t seq, const void *from, size_t size)
{
	struct llama_backend *b = llama_self(backend);
	struct state_form kept = kept_form(b), form = form_of(b, p);
	AUTO_MEM uint8_t *other = NULL;
	struct state_pieces s = { .n = 1, .v = { { from, size } } };
	if (form.transposed != kept.transposed) {
		if (!state_convert(from, size, b->sections, kept, form, &other, &s.v[0].len))
			return false;
		s.v[0].ptr = other;
	} else if (form.streams != kept.streams &&
		   !state_widen(from, size, b->sections, form.transposed, form.streams, &s)) {
		return false;
	}
	if (shim_state_set(b->ctx[p], seq, s.v, s.n) == SHIM_OK)
		return true;
	(void)llama_memory_seq_rm(memory(b, p), seq, -1, -1);
	return false;
}

const struct engine_backend_ops LLAMA_OPS = {
	.caps = op_caps,
	.think = llama_op_think,
	.now_ns = op_now,
	.prompt = llama_op_prompt,
	.piece = llama_op_piece,
	.is_end = op_is_end,
	.pool_open = op_pool_open,
	.pool_close = op_pool_close,
	.decode = op_decode,
	.logits = op_logits,
	.kv_rm = op_kv_rm,
	.kv_cp = op_kv_cp,
	.kv_first = op_kv_first,
	.kv_clear = op_kv_clear,
	.state_get = op_state_get,
	.state_set = op_state_set,
	.grammar_new = llama_op_grammar_new,
	.grammar_free = llama_op_grammar_free,
	.grammar_mask = llama_op_grammar_mask,
	.grammar_accept = llama_op_grammar_accept,
	.grammar_text = llama_op_grammar_text,
	.piece_all = llama_op_piece_all,
	.chat_new = llama_op_chat_new,
	.chat_free = llama_op_chat_free,
	.chat_grammar = llama_op_chat_grammar,
	.chat_whole = llama_op_chat_whole,
	.chat_lazy = llama_op_chat_lazy,
	.chat_force = llama_op_chat_force,
	.chat_shows = llama_op_chat_shows,
	.chat_split = llama_op_chat_split,
	.picture_new = llama_op_picture_new,
	.picture_free = llama_op_picture_free,
	.picture_rows = llama_op_picture_rows,
	.decode_rows = llama_op_decode_rows,
};
