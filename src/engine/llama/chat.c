/* Answers with calls: the shim's parser behind engine_backend_ops. */
#include "engine/llama/backend_int.h"

#include "base/fault.h"

enum { TOOLS_SECONDS = 10 }; /* a template is taken apart, and its tools become a grammar */

/* struct engine_chat is the shim's; nothing is added here. */
static struct shim_chat *shim_of(struct engine_chat *c)
{
	return (struct shim_chat *)c;
}

enum err llama_op_chat_new(
	void *backend, const struct gen_request *g, struct engine_chat **ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	AUTO_ASK struct llama_ask a = { 0 };
	struct shim_chat *c = NULL;
	char why[SHIM_WHY] = "";
	*ret = NULL;
	if (!b->templates || g->kind != GEN_CHAT)
		return OK;
	TRY(llama_ask_new(g, STR("[]"), &a, info));
	llama_guard(b, TOOLS_SECONDS);
	enum shim_result e = shim_chat_new(b->templates, &a.ask, &c, why);
	llama_guard(b, 0);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID, "tools: %s", why);
	*ret = (struct engine_chat *)c;
	return OK;
}

void llama_op_chat_free(void *b, struct engine_chat *c)
{
	(void)b;
	shim_chat_free(shim_of(c));
}

enum err llama_op_chat_grammar(
	void *backend, struct engine_chat *c, struct engine_grammar **ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	struct shim_grammar *g = NULL;
	char why[SHIM_WHY] = "";
	*ret = NULL;
	llama_guard(b, TOOLS_SECONDS);
	enum shim_result e = shim_chat_grammar(shim_of(c), &g, why);
	llama_guard(b, 0);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID, "tools: %s", why);
	return g ? llama_grammar_wrap(g, ret) : OK;
}

bool llama_op_chat_whole(void *b, struct engine_chat *c)
{
	(void)b;
	return shim_chat_whole(shim_of(c));
}

bool llama_op_chat_lazy(void *b, struct engine_chat *c)
{
	(void)b;
	return shim_chat_lazy(shim_of(c));
}

struct str llama_op_chat_force(void *b, struct engine_chat *c)
{
	(void)b;
	return str_from(shim_chat_force(shim_of(c)));
}

bool llama_op_chat_shows(void *b, struct engine_chat *c, int32_t token)
{
	(void)b;
	return shim_chat_shows(shim_of(c), token);
}

struct split {
	struct engine_parts *parts;
	enum err err;
};

static void add_split(void *arg, enum shim_part kind, const char *text, size_t len)
{
	struct split *s = arg;
	struct buf *to = kind == SHIM_THOUGHT ? s->parts->thought
			 : kind == SHIM_CALLS ? s->parts->calls
					      : s->parts->answer;
	enum err e = buf_add(to, (struct str){ text, len });
	s->err = s->err ? s->err : e;
}

enum err llama_op_chat_split(
	void *b, struct engine_chat *c, struct str text, bool end, struct engine_parts *parts)
{
	(void)b;
	struct split s = { .parts = parts };
	enum shim_result e = shim_chat_split(shim_of(c), text.len ? text.ptr : "", text.len, end,
		add_split, &s, &parts->stopped);
	if (s.err)
		return s.err;
	return !e                  ? OK
	       : e == SHIM_INVALID ? ERR_BAD_JSON
	       : e == SHIM_NOMEM   ? ERR_NOMEM
				   : ERR_ENGINE;
}
