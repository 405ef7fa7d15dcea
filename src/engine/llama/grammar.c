/* Grammars of libllama's: from a JSON schema, from GBNF text; the last few stay compiled. */
#include "engine/llama/backend_int.h"

#include <string.h>

#include "base/fault.h"
#include "base/json.h"
#include "engine/schema.h"

enum {
	SCHEMA_SECONDS = 5,
	SCHEMA_MAX = 256 * 1024,
	GBNF_MAX = 2 * 1024 * 1024,
	TEXT_MAX = 64 * 1024, /* of a person's GBNF */
	NESTING_MAX = 64,     /* brackets in it: the library's parser calls itself */
	CACHE_MAX = 32,
	CACHE_TEXT_MAX = 64 * 1024,
};
struct engine_grammar {
	struct shim_grammar *g;
};

/* ---- the cache: source text to compiled grammar, by hash, least recently used goes; requests are
 * made in two threads (engine/beside.h) ---- */

struct cached {
	uint64_t hash, used;
	bool schema;
	struct buf text;
	struct shim_grammar *g; /* never used itself: cloned */
};
struct grammar_cache {
	struct cached v[CACHE_MAX];
	size_t n;
	uint64_t uses;
};

static void cached_done(struct cached *c)
{
	buf_wipe(&c->text); /* it may quote somebody's words */
	shim_grammar_free(c->g);
	*c = (struct cached){ 0 };
}

struct grammar_cache *grammar_cache_free(struct grammar_cache *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		cached_done(&c->v[i]);
	mem_free(c);
	return NULL;
}

static uint64_t hash_of(struct str s)
{
	uint64_t h = 1469598103934665603u; /* FNV-1a: a hit is compared byte by byte */
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * 1099511628211u;
	return h;
}

/* A copy into *ret, or NULL: it is not known. Errors: ERR_NOMEM. */
static enum err cache_find(
	struct llama_backend *b, bool schema, struct str text, struct shim_grammar **ret)
{
	uint64_t h = hash_of(text);
	enum err e = OK;
	*ret = NULL;
	(void)pthread_mutex_lock(&b->grammars_lock);
	struct grammar_cache *c = b->grammars;
	for (size_t i = 0; c && i < c->n; i++)
		if (c->v[i].hash == h && c->v[i].schema == schema &&
			str_eq(buf_str(&c->v[i].text), text)) {
			c->v[i].used = ++c->uses;
			e = shim_grammar_clone(c->v[i].g, ret) ? ERR_NOMEM : OK;
			break;
		}
	(void)pthread_mutex_unlock(&b->grammars_lock);
	return e;
}

/* Takes one and gives back what stood in its place. With the lock held. */
static struct cached cache_exchange(struct grammar_cache *c, struct cached fresh)
{
	struct cached *to = &c->v[c->n < CACHE_MAX ? c->n++ : 0];
	for (size_t i = 0; c->n == CACHE_MAX && i < c->n; i++)
		to = c->v[i].used < to->used ? &c->v[i] : to;
	struct cached old = *to;
	fresh.used = ++c->uses;
	*to = fresh;
	return old;
}

/* Takes a copy of g; without memory it is simply not kept. */
static void cache_put(
	struct llama_backend *b, bool schema, struct str text, const struct shim_grammar *g)
{
	struct cached fresh = {
		.schema = schema, .hash = hash_of(text), .text = BUF(CACHE_TEXT_MAX)
	};
	if (text.len > CACHE_TEXT_MAX || buf_add(&fresh.text, text) ||
		shim_grammar_clone(g, &fresh.g)) {
		cached_done(&fresh);
		return;
	}
	(void)pthread_mutex_lock(&b->grammars_lock);
	if (!b->grammars)
		b->grammars = mem_zalloc(1, sizeof *b->grammars);
	if (b->grammars)
		fresh = cache_exchange(b->grammars, fresh);
	(void)pthread_mutex_unlock(&b->grammars_lock);
	cached_done(&fresh);
}

/* ---- compiling ---- */

static enum err refused(struct err_info *info, enum shim_result e, const char *what, char *why)
{
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	return err_set(
		info, ERR_INVALID, "%s: %s", what, why[0] ? why : "no grammar can be made of it");
}

/* Checks a schema and writes down what the library is to see of it. */
static enum err read_schema(struct str schema, char **ret, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	if (str_eq(schema, STR("json")))
		return str_dup(STR("{\"type\":\"object\"}"), ret);
	if (schema.len > SCHEMA_MAX)
		return err_set(info, ERR_INVALID, "schema: longer than %d bytes", SCHEMA_MAX);
	TRY(json_read(schema, SCHEMA_MAX, JSON_DEPTH_DEFAULT, &doc, info));
	TRY(schema_check(doc, info));
	schema_relax(doc);
	AUTO_BUF struct buf text = BUF(2 * SCHEMA_MAX);
	struct jw w;
	jw_init(&w, &text);
	jw_json(&w, doc);
	TRY(text.err);
	return str_dup(buf_str(&text), ret);
}

static enum err schema_text(struct str schema, char **ret, struct err_info *info)
{
	AUTO_MEM char *text = NULL, *gbnf = NULL;
	char why[SHIM_WHY] = "";
	TRY(read_schema(schema, &text, info));
	enum shim_result e = shim_schema(text, &gbnf, why);
	if (e)
		return refused(info, e, "schema", why);
	if (strlen(gbnf) > GBNF_MAX)
		return err_set(info, ERR_INVALID, "schema: its grammar is too large");
	*ret = TAKE(gbnf);
	return OK;
}

static enum err compile_schema(struct llama_backend *b, struct str schema,
	struct shim_grammar **ret, struct err_info *info)
{
	AUTO_MEM char *gbnf = NULL;
	char why[SHIM_WHY] = "";
	TRY(schema_text(schema, &gbnf, info));
	enum shim_result e = shim_grammar_new(b->vocab, gbnf, ret, why);
	return e ? refused(info, e, "schema", why) : OK;
}

/* The library's text has a rule "root" at the beginning of a line: it gets another name, and a new
 * root writes `first` before it. */
static enum err put_behind(struct str gbnf, struct str first, struct buf *out)
{
	struct str root = STR("root ::="), name = STR("behind ::=");
	size_t at = str_starts(gbnf, root) ? 0 : str_find(gbnf, STR("\nroot ::="), 0) + 1;
	if (!str_starts(str_sub(gbnf, at, SIZE_MAX), root))
		return ERR_ENGINE;
	TRY(buf_add(out, str_sub(gbnf, 0, at)));
	TRY(buf_add(out, name));
	TRY(buf_add(out, str_sub(gbnf, at + root.len, SIZE_MAX)));
	TRY(buf_add(out, STR("\nroot ::= ")));
	if (first.len) {
		TRY(json_add_str(out, first)); /* GBNF escapes as JSON does */
		TRY(buf_add(out, STR(" [ \n]? ")));
	}
	return buf_add(out, STR("behind\n"));
}

static enum err compile_behind(struct llama_backend *b, struct str first, struct str schema,
	struct shim_grammar **ret, struct err_info *info)
{
	AUTO_MEM char *gbnf = NULL;
	AUTO_BUF struct buf whole = BUF(GBNF_MAX + 4096);
	const char *text;
	char why[SHIM_WHY] = "";
	TRY(schema_text(schema, &gbnf, info));
	TRY(put_behind(str_from(gbnf), first, &whole));
	TRY(buf_cstr(&whole, &text));
	enum shim_result e = shim_grammar_new(b->vocab, text, ret, why);
	return e ? refused(info, e, "tools", why) : OK;
}

enum err llama_grammar_behind(struct llama_backend *b, struct str first, struct str schema,
	struct engine_grammar **ret, struct err_info *info)
{
	struct shim_grammar *g = NULL;
	llama_guard(b, SCHEMA_SECONDS);
	enum err e = compile_behind(b, first, schema, &g, info);
	llama_guard(b, 0);
	return e ? e : llama_grammar_wrap(g, ret);
}

static enum err check_text(struct str s, struct err_info *info)
{
	size_t depth = 0, deepest = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (!s.ptr[i])
			return err_set(info, ERR_INVALID, "grammar: has a byte 0");
		if (s.ptr[i] == '(' && ++depth > deepest)
			deepest = depth;
		if (s.ptr[i] == ')' && depth)
			depth--;
	}
	if (s.len > TEXT_MAX)
		return err_set(info, ERR_INVALID, "grammar: longer than %d bytes", TEXT_MAX);
	if (deepest > NESTING_MAX)
		return err_set(
			info, ERR_INVALID, "grammar: brackets more than %d deep", NESTING_MAX);
	return str_trim(s).len ? OK : err_set(info, ERR_INVALID, "grammar: is empty");
}

static enum err compile_text(
	struct llama_backend *b, struct str gbnf, struct shim_grammar **ret, struct err_info *info)
{
	AUTO_MEM char *text = NULL;
	char why[SHIM_WHY] = "";
	bool all = true, none = false;
	TRY(check_text(gbnf, info));
	TRY(str_dup(gbnf, &text));
	enum shim_result e = shim_grammar_new(b->vocab, text, ret, why);
	if (e)
		return refused(info, e, "grammar", why);
	e = shim_grammar_probe(*ret, &all, &none);
	if (e)
		return refused(info, e, "grammar", why);
	if (all)
		return err_set(info, ERR_INVALID,
			"grammar: allows every text; leave it out if that is meant");
	return none ? err_set(info, ERR_INVALID, "grammar: allows no text") : OK;
}

enum err llama_grammar_wrap(struct shim_grammar *g, struct engine_grammar **ret)
{
	struct engine_grammar *e = mem_zalloc(1, sizeof *e);
	if (!e) {
		shim_grammar_free(g);
		return ERR_NOMEM;
	}
	e->g = g;
	*ret = e;
	return OK;
}

static enum err grammar_of(struct llama_backend *b, bool schema, struct str text,
	struct engine_grammar **ret, struct err_info *info)
{
	struct shim_grammar *g;
	TRY(cache_find(b, schema, text, &g));
	if (g)
		return llama_grammar_wrap(g, ret);
	llama_guard(b, SCHEMA_SECONDS);
	enum err e = schema ? compile_schema(b, text, &g, info) : compile_text(b, text, &g, info);
	llama_guard(b, 0);
	if (e) {
		shim_grammar_free(g);
		return e;
	}
	cache_put(b, schema, text, g);
	return llama_grammar_wrap(g, ret);
}

enum err llama_op_grammar_new(
	void *backend, struct str schema, struct engine_grammar **ret, struct err_info *info)
{
	return grammar_of(llama_self(backend), true, schema, ret, info);
}

enum err llama_op_grammar_text(
	void *backend, struct str gbnf, struct engine_grammar **ret, struct err_info *info)
{
	return grammar_of(llama_self(backend), false, gbnf, ret, info);
}

void llama_op_grammar_free(void *b, struct engine_grammar *g)
{
	(void)b;
	if (g)
		shim_grammar_free(g->g);
	mem_free(g);
}

_Static_assert(
	sizeof(struct engine_candidate) == sizeof(llama_token_data), "candidates are handed on");

enum err llama_op_grammar_mask(
	void *backend, struct engine_grammar *g, struct engine_candidate *c, size_t n)
{
	struct llama_backend *b = llama_self(backend);
	llama_token_data_array a = { (llama_token_data *)c, n, -1, false };
	llama_guard(b, SCHEMA_SECONDS);
	enum shim_result e = shim_grammar_mask(g->g, &a);
	llama_guard(b, 0);
	return e ? ERR_ENGINE : OK;
}

enum err llama_op_grammar_accept(void *backend, struct engine_grammar *g, int32_t token)
{
	struct llama_backend *b = llama_self(backend);
	llama_guard(b, SCHEMA_SECONDS);
	enum shim_result e = shim_grammar_accept(g->g, token);
	llama_guard(b, 0);
	return e ? ERR_INVALID : OK;
}
