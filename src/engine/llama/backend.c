#include "engine/llama/backend.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/fault.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/time.h"
#include "engine/llama/shim.h"

enum {
	CTX_DEFAULT = 4096, /* cells a sequence, when nobody says */
	SEQ_DEFAULT = 4,
	BATCH_DEFAULT = 512, /* one micro-batch: a cancel waits for no more than this */
	CTX_LEAST = 512,
	TEMPLATE_SECONDS = 5, /* for one rendering; a working template needs milliseconds */
	SCHEMA_SECONDS = 5,
	SCHEMA_MAX = 256 * 1024,
	GBNF_MAX = 2 * 1024 * 1024,
};

struct llama_backend {
	struct llama_model *model;
	struct llama_context *ctx;
	const struct llama_vocab *vocab;
	struct shim_templates *templates; /* NULL: none that works */
	char no_template[SHIM_WHY];       /* why not */
	ggml_threadpool_t pool;
	struct llama_batch batch;
	struct engine_caps caps;
	struct engine_think think;
	struct llama_backend_facts facts;
	bool special_first[256]; /* first bytes of control tokens' texts */
	void (*guard)(unsigned seconds);
};
struct engine_grammar {
	struct llama_sampler *g;
};

static struct llama_backend *self(void *b)
{
	return b;
}

static void guard(struct llama_backend *b, unsigned seconds)
{
	if (b->guard)
		b->guard(seconds);
}

/* ---- making ---- */

uint32_t llama_backend_prepare(void)
{
	return shim_init();
}

struct llama_backend *llama_backend_free_all(struct llama_backend *b)
{
	if (!b)
		return NULL;
	if (b->templates)
		shim_templates_free(b->templates);
	if (b->batch.token)
		llama_batch_free(b->batch);
	if (b->ctx)
		llama_free(b->ctx); /* the pool ends with the process: its threads may be shared */
	if (b->model)
		llama_model_free(b->model);
	mem_free(b);
	return NULL;
}

/* What the library says may quote any bytes and be cut anywhere: one line of valid text. */
static void clean(char *text)
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
	clean(why);
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
	p.n_gpu_layers = o->gpu ? o->n_gpu_layers : 0;
	if (shim_model_load(f, p, &b->model) != SHIM_OK)
		return unusable(info, "the file cannot be read");
	b->vocab = llama_model_get_vocab(b->model);
	if (llama_vocab_n_tokens(b->vocab) <= 0 ||
		llama_vocab_type(b->vocab) == LLAMA_VOCAB_TYPE_NONE)
		return err_set(info, ERR_MODEL_BAD, "not a usable model: it has no vocabulary");
	if (!llama_model_has_decoder(b->model) || llama_model_has_encoder(b->model) ||
		llama_model_is_diffusion(b->model))
		return err_set(info, ERR_MODEL_BAD, "not a usable model: it does not write text");
	return OK;
}

/* Bytes of K and V a cell takes, by the model's shape; only a guess to stay inside memory. */
static uint64_t cell_bytes(const struct llama_model *m)
{
	uint64_t heads = (uint64_t)llama_model_n_head(m), embd = (uint64_t)llama_model_n_embd(m);
	uint64_t head = heads ? embd / heads : embd;
	return 2 * 2 * (uint64_t)llama_model_n_layer(m) * (uint64_t)llama_model_n_head_kv(m) * head;
}

static void choose_sizes(const struct llama_backend *b, const struct llama_backend_options *o,
	struct llama_context_params *p)
{
	uint32_t trained = (uint32_t)llama_model_n_ctx_train(b->model);
	uint32_t seqs = o->n_seq ? o->n_seq : SEQ_DEFAULT,
		 most = (uint32_t)llama_max_parallel_sequences();
	seqs = seqs > most ? most : seqs;
	uint32_t each = o->n_ctx ? o->n_ctx / (o->unified ? 1 : seqs) : CTX_DEFAULT;
	if (trained >= CTX_LEAST && each > trained)
		each = trained;
	if (!o->n_ctx && o->memory_bytes) {
		uint64_t model = llama_model_size(b->model);
		uint64_t rest = o->memory_bytes > model ? (o->memory_bytes - model) / 2 : 0;
		while (!o->n_seq && seqs > 1 && seqs * (uint64_t)each * cell_bytes(b->model) > rest)
			seqs /= 2;
		while (each > CTX_LEAST * 2 && seqs * (uint64_t)each * cell_bytes(b->model) > rest)
			each /= 2;
	}
	each = each < CTX_LEAST ? CTX_LEAST : each;
	p->n_seq_max = seqs;
	p->n_ctx = o->unified && o->n_ctx ? each : each * seqs;
	p->n_batch = o->n_batch ? o->n_batch : BATCH_DEFAULT;
	p->n_ubatch = o->n_ubatch ? o->n_ubatch : BATCH_DEFAULT;
	if (p->n_ubatch > p->n_batch)
		p->n_ubatch = p->n_batch;
	if (p->n_batch < seqs)
		p->n_batch = p->n_ubatch = seqs;
}

static enum err make_context(
	struct llama_backend *b, const struct llama_backend_options *o, struct err_info *info)
{
	struct llama_context_params p = llama_context_default_params();
	choose_sizes(b, o, &p);
	uint32_t threads = o->n_threads ? o->n_threads : o->cores ? o->cores : 1;
	p.n_threads = p.n_threads_batch = (int32_t)threads;
	p.n_outputs_max = p.n_seq_max; /* one row of logits a sequence, not one a token of prompt */
	p.flash_attn_type = (enum llama_flash_attn_type)o->flash;
	p.kv_unified = o->unified || p.n_seq_max == 1;
	p.no_perf = true;
	if (shim_context_new(b->model, p, &b->ctx) != SHIM_OK)
		return unusable(info, "no context can be made for it");
	b->facts.n_threads = threads;
	if (threads > 1 && (b->pool = shim_threadpool_new((int)threads, o->poll)))
		llama_attach_threadpool(b->ctx, b->pool, b->pool);
	return OK;
}

static void read_caps(struct llama_backend *b)
{
	bool whole_only = llama_model_is_recurrent(b->model) || llama_model_is_hybrid(b->model);
	uint32_t n_ctx = llama_n_ctx(b->ctx), n_ctx_seq = llama_n_ctx_seq(b->ctx);
	b->caps = (struct engine_caps){
		.n_ctx = n_ctx,
		.n_ctx_seq = n_ctx_seq,
		.n_ctx_train = (uint32_t)llama_model_n_ctx_train(b->model),
		.n_batch = llama_n_batch(b->ctx),
		.n_ubatch = llama_n_ubatch(b->ctx),
		.n_vocab = (uint32_t)llama_vocab_n_tokens(b->vocab),
		.n_seq = llama_n_seq_max(b->ctx),
		.max_seqs = llama_n_seq_max(b->ctx),
		.swa_window = (uint32_t)llama_model_n_swa(b->model),
		.shared_cells = n_ctx_seq == n_ctx && llama_n_seq_max(b->ctx) > 1,
		.partial_rm = !whole_only,
		.partial_cp = !whole_only && n_ctx_seq == n_ctx,
		.can_shift = llama_memory_can_shift(llama_get_memory(b->ctx)),
	};
}

static void read_facts(struct llama_backend *b)
{
	uint64_t compute;
	uint8_t hash[SHA256_LEN];
	struct llama_backend_facts *f = &b->facts;
	shim_context_bytes(b->ctx, &f->model_bytes, &f->kv_bytes, &compute);
	shim_build(f->build, sizeof f->build);
	(void)llama_model_meta_val_str(
		b->model, "general.architecture", f->architecture, sizeof f->architecture);
	(void)llama_model_desc(b->model, f->description, sizeof f->description);
	const char *t = b->templates ? shim_templates_source(b->templates) : "";
	sha256_of(t, strlen(t), hash);
	hex_encode(hash, sizeof hash, f->template_hash);
	f->has_template = b->templates && shim_templates_fits(b->templates);
}

/* The bytes with which a control token's text may begin: text without any of them is harmless. */
static void read_special(struct llama_backend *b)
{
	char text[256];
	for (int32_t i = 0, n = llama_vocab_n_tokens(b->vocab); i < n; i++)
		if (llama_vocab_get_attr(b->vocab, i) &
				(LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN) &&
			shim_piece(b->vocab, i, text, sizeof text, true) > 0)
			b->special_first[(unsigned char)text[0]] = true;
}

enum err llama_backend_new(FILE *model, const struct llama_backend_options *o,
	struct llama_backend **ret, struct err_info *info)
{
	struct llama_backend *b = mem_zalloc(1, sizeof *b);
	if (!b) {
		(void)fclose(model);
		return ERR_NOMEM;
	}
	enum err e = load_model(b, model, o, info);
	(void)fclose(model); /* what is mapped stays mapped */
	if (!e)
		e = make_context(b, o, info);
	if (e) {
		llama_backend_free_all(b);
		return e;
	}
	b->facts.gpu = o->gpu;
	b->guard = o->guard;
	b->batch = llama_batch_init((int32_t)llama_n_batch(b->ctx), 0, 1);
	read_caps(b);
	read_special(b);
	/* A model without a template that works still completes plain text. */
	guard(b, TEMPLATE_SECONDS);
	enum shim_result t = shim_templates_new(b->model, &b->templates, b->no_template);
	guard(b, 0);
	clean(b->no_template);
	if (t == SHIM_OK)
		b->think =
			(struct engine_think){ str_from(shim_templates_think(b->templates, false)),
				str_from(shim_templates_think(b->templates, true)) };
	read_facts(b);
	*ret = b;
	return OK;
}

void llama_backend_facts(const struct llama_backend *b, struct llama_backend_facts *ret)
{
	*ret = b->facts;
}

/* ---- prompts ---- */

enum { SEGMENTS_MAX = 4096 };
struct segment {
	size_t from, len;
	bool input;
};
struct rendering { /* text of the prompt, piece by piece */
	struct buf text;
	struct segment *v;
	size_t n, cap;
	enum err err;
};

static void add_part(void *arg, const char *text, size_t len, bool input)
{
	struct rendering *r = arg;
	if (r->err || !len)
		return;
	if (r->n && r->v[r->n - 1].input == input) {
		r->v[r->n - 1].len += len;
		r->err = buf_add(&r->text, (struct str){ text, len });
		return;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		struct segment *v = cap > 1 << 20 ? NULL : mem_realloc(r->v, cap * sizeof *v);
		if (!v) {
			r->err = ERR_NOMEM;
			return;
		}
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct segment){ r->text.len, len, input };
	r->err = buf_add(&r->text, (struct str){ text, len });
}

static enum err tokenize(
	const struct llama_backend *b, struct str s, bool special, struct tokens *out)
{
	size_t guess = s.len / 2 + 16;
	for (int round = 0; round < 2; round++) {
		TRY(tokens_reserve(out, guess));
		size_t room = out->cap - out->n;
		int32_t n = shim_tokenize(b->vocab, s.ptr, s.len, out->v + out->n,
			room > INT32_MAX ? INT32_MAX : (int32_t)room, special);
		if (n >= 0) {
			out->n += (size_t)n;
			return OK;
		}
		if (n == INT32_MIN)
			return ERR_LIMIT;
		guess = (size_t) - (int64_t)n;
	}
	return ERR_LIMIT;
}

/* Would this text of a person become control tokens, if they were looked for? */
static enum err is_harmless(const struct llama_backend *b, struct str s, bool *ret)
{
	AUTO_TOKENS struct tokens plain = { 0 }, special = { 0 };
	*ret = true;
	size_t i = 0;
	while (i < s.len && !b->special_first[(unsigned char)s.ptr[i]])
		i++;
	if (i == s.len)
		return OK;
	TRY(tokenize(b, s, false, &plain));
	TRY(tokenize(b, s, true, &special));
	*ret = plain.n == special.n && tokens_common(&plain, &special) == plain.n;
	return OK;
}

/* Text of the template may name control tokens, text of messages may not. As long as no message
 * tries, the whole is tokenized in one go, exactly as llama-server does; else piece by piece. */
static enum err tokenize_parts(
	const struct llama_backend *b, const struct rendering *r, struct tokens *out)
{
	bool harmless = true;
	for (size_t i = 0; i < r->n && harmless; i++)
		if (r->v[i].input)
			TRY(is_harmless(b, str_sub(buf_str(&r->text), r->v[i].from, r->v[i].len),
				&harmless));
	if (harmless)
		return tokenize(b, buf_str(&r->text), true, out);
	for (size_t i = 0; i < r->n; i++)
		TRY(tokenize(b, str_sub(buf_str(&r->text), r->v[i].from, r->v[i].len),
			!r->v[i].input, out));
	return OK;
}

/* Roles become text of the template in most models: only plain words. */
static enum err check_messages(struct str input, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL;
	TRY(json_read(input, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, info));
	if (!json_is_array(all) || !json_array_size(all))
		return err_set(
			info, ERR_INVALID, "messages must be a list with at least one message");
	for (size_t i = 0; i < json_array_size(all); i++) {
		struct str role = STR_NONE;
		TRY(json_want_str(json_array_get(all, i), "role", true, &role, info));
		bool ok = role.len > 0 && role.len <= 32;
		for (size_t k = 0; ok && k < role.len; k++)
			ok = islower((unsigned char)role.ptr[k]) || role.ptr[k] == '_';
		if (!ok)
			return err_set(info, ERR_INVALID, "messages[%zu].role is not a role", i);
	}
	return OK;
}

static enum err check_tools(struct str tools, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL;
	if (!tools.len)
		return OK;
	TRY(json_read(tools, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, info));
	return json_is_array(all) ? OK : err_set(info, ERR_INVALID, "tools must be a list");
}

static enum err render(struct llama_backend *b, const struct gen_request *g, struct rendering *r,
	struct err_info *info)
{
	if (!b->templates)
		return err_set(info, ERR_UNSUPPORTED, "the model's chat template does not work: %s",
			b->no_template);
	TRY(check_messages(g->input, info));
	TRY(check_tools(g->tools, info));
	AUTO_MEM char *messages = NULL, *tools = NULL;
	TRY(str_dup(g->input, &messages));
	TRY(str_dup(g->tools.len ? g->tools : STR(""), &tools));
	char why[SHIM_WHY] = "";
	guard(b, TEMPLATE_SECONDS);
	enum shim_result e = shim_render(b->templates, messages, tools, add_part, r, why);
	guard(b, 0);
	clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID,
			"the model's chat template refused the messages: %s", why);
	return r->err;
}

/* Does the prompt end by opening the reasoning part? */
static bool opens_thinking(const struct llama_backend *b, struct str text)
{
	return b->think.start.len && str_ends(str_trim(text), b->think.start);
}

static enum err prompt_tokens(struct llama_backend *b, const struct gen_request *g,
	struct rendering *r, struct engine_prompt *ret, struct err_info *info)
{
	if (llama_vocab_get_add_bos(b->vocab) && !(g->kind == GEN_PROMPT && g->raw)) {
		int32_t bos = llama_vocab_bos(b->vocab);
		TRY(tokens_add(&ret->tokens, &bos, 1));
	}
	if (g->kind == GEN_PROMPT)
		return tokenize(b, g->input, true, &ret->tokens);
	TRY(render(b, g, r, info));
	ret->thinking = opens_thinking(b, buf_str(&r->text));
	return tokenize_parts(b, r, &ret->tokens);
}

static enum err op_prompt(void *backend, const struct gen_request *g, struct engine_prompt *ret,
	struct err_info *info)
{
	struct rendering r = { .text = BUF(2 * (size_t)LIMIT_IPC_BULK) };
	enum err e = prompt_tokens(self(backend), g, &r, ret, info);
	buf_wipe(&r.text);
	mem_free(r.v);
	return e;
}

/* ---- computing ---- */

static const struct engine_caps *op_caps(void *b)
{
	return &self(b)->caps;
}
static const struct engine_think *op_think(void *b)
{
	return &self(b)->think;
}
static bool op_is_end(void *b, int32_t token)
{
	return llama_vocab_is_eog(self(b)->vocab, token);
}

static int64_t op_now(void *b)
{
	(void)b;
	return time_mono_ns();
}

static enum err op_piece(void *backend, int32_t token, struct buf *out)
{
	char piece[512];
	int32_t n = shim_piece(self(backend)->vocab, token, piece, sizeof piece, false);
	if (n < 0) {
		TRY(buf_reserve(out, (size_t) - (int64_t)n));
		n = shim_piece(self(backend)->vocab, token, out->ptr + out->len, -n, false);
		if (n > 0)
			out->len += (size_t)n;
		return OK;
	}
	return buf_add(out, (struct str){ piece, (size_t)n });
}

static enum err op_decode(void *backend, const struct engine_token *v, size_t n)
{
	struct llama_backend *b = self(backend);
	if (!n || n > b->caps.n_batch)
		return ERR_INVALID; /* libllama would abort */
	for (size_t i = 0; i < n; i++) {
		b->batch.token[i] = v[i].token;
		b->batch.pos[i] = v[i].pos;
		b->batch.n_seq_id[i] = 1;
		b->batch.seq_id[i][0] = v[i].seq;
		b->batch.logits[i] = v[i].out;
	}
	b->batch.n_tokens = (int32_t)n;
	int rc = shim_decode(b->ctx, b->batch);
	return rc == 0 ? OK : rc == 1 ? ERR_AGAIN : rc == -1 ? ERR_INVALID : ERR_ENGINE;
}

enum err llama_backend_warm_up(struct llama_backend *b)
{
	int32_t bos = llama_vocab_bos(b->vocab);
	struct engine_token t[2] = { { bos < 0 ? 0 : bos, 0, 0, false },
		{ bos < 0 ? 0 : bos, 1, 0, true } };
	TRY(op_decode(b, t, 2));
	t[1].pos = 2;
	TRY(op_decode(b, t + 1, 1));
	llama_memory_clear(llama_get_memory(b->ctx), true);
	return OK;
}

static float *op_logits(void *b, size_t i)
{
	return llama_get_logits_ith(self(b)->ctx, (int32_t)i);
}

static bool op_kv_rm(void *b, int32_t seq, int32_t from, int32_t to)
{
	return llama_memory_seq_rm(llama_get_memory(self(b)->ctx), seq, from <= 0 ? -1 : from, to);
}

static void op_kv_cp(void *b, int32_t from_seq, int32_t to_seq, int32_t from, int32_t to)
{
	if (self(b)->caps.partial_cp) /* across streams libllama insists on whole buffers */
		llama_memory_seq_cp(llama_get_memory(self(b)->ctx), from_seq, to_seq, from, to);
}

static int32_t op_kv_first(void *b, int32_t seq)
{
	return llama_memory_seq_pos_min(llama_get_memory(self(b)->ctx), seq);
}

static void op_kv_clear(void *b)
{
	llama_memory_clear(llama_get_memory(self(b)->ctx), false);
}

/* ---- grammars ---- */

static enum err compile(
	struct llama_backend *b, struct str schema, char **ret_gbnf, struct err_info *info)
{
	AUTO_MEM char *text = NULL;
	char why[SHIM_WHY] = "";
	if (str_eq(schema, STR("json"))) {
		TRY(str_dup(STR("{\"type\":\"object\"}"), &text));
	} else {
		AUTO_JSON json_t *check = NULL;
		if (schema.len > SCHEMA_MAX)
			return err_set(
				info, ERR_INVALID, "schema: longer than %d bytes", SCHEMA_MAX);
		TRY(json_read(schema, SCHEMA_MAX, JSON_DEPTH_DEFAULT, &check, info));
		if (!json_is_object(check) || !json_object_size(check))
			return err_set(info, ERR_INVALID,
				"schema: must be an object that demands something");
		TRY(str_dup(schema, &text));
	}
	enum shim_result e = shim_schema(text, ret_gbnf, why);
	clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID, "schema: %s", why);
	if (strlen(*ret_gbnf) > GBNF_MAX)
		return err_set(info, ERR_INVALID, "schema: its grammar is too large");
	return OK;
}

static enum err op_grammar_new(
	void *backend, struct str schema, struct engine_grammar **ret, struct err_info *info)
{
	struct llama_backend *b = self(backend);
	AUTO_MEM char *gbnf = NULL;
	struct engine_grammar *g = mem_zalloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	guard(b, SCHEMA_SECONDS);
	enum err e = compile(b, schema, &gbnf, info);
	if (!e && shim_grammar_new(b->vocab, gbnf, &g->g) != SHIM_OK)
		e = err_set(info, ERR_INVALID, "schema: no grammar can be made of it");
	guard(b, 0);
	if (e) {
		mem_free(g);
		return e;
	}
	*ret = g;
	return OK;
}

static void op_grammar_free(void *b, struct engine_grammar *g)
{
	(void)b;
	if (g)
		llama_sampler_free(g->g);
	mem_free(g);
}

_Static_assert(
	sizeof(struct engine_candidate) == sizeof(llama_token_data), "candidates are handed on");

static enum err op_grammar_mask(
	void *backend, struct engine_grammar *g, struct engine_candidate *c, size_t n)
{
	struct llama_backend *b = self(backend);
	llama_token_data_array a = { (llama_token_data *)c, n, -1, false };
	guard(b, SCHEMA_SECONDS);
	enum shim_result e = shim_grammar_mask(g->g, &a);
	guard(b, 0);
	return e ? ERR_ENGINE : OK;
}

static enum err op_grammar_accept(void *b, struct engine_grammar *g, int32_t token)
{
	(void)b;
	return shim_grammar_accept(g->g, token) ? ERR_INVALID : OK;
}

const struct engine_backend_ops LLAMA_OPS = {
	.caps = op_caps,
	.think = op_think,
	.now_ns = op_now,
	.prompt = op_prompt,
	.piece = op_piece,
	.is_end = op_is_end,
	.decode = op_decode,
	.logits = op_logits,
	.kv_rm = op_kv_rm,
	.kv_cp = op_kv_cp,
	.kv_first = op_kv_first,
	.kv_clear = op_kv_clear,
	.grammar_new = op_grammar_new,
	.grammar_free = op_grammar_free,
	.grammar_mask = op_grammar_mask,
	.grammar_accept = op_grammar_accept,
};
