/* Answers with calls, behind engine_backend_ops. */
#include "engine/llama/template.h"

#include "base/fault.h"

enum { TOOLS_SECONDS = 10 }; /* a template is taken apart, and its tools become a grammar */

/* One of the two: a template in Jinja is read by the shim, one in Go by goanswer.c. */
struct engine_chat {
	struct shim_chat *shim;
	struct go_answer *go;
};

static enum err new_shim(struct llama_backend *b, const struct shim_templates *t,
	const struct shim_ask *ask, struct shim_chat **ret, struct err_info *info)
{
	char why[SHIM_WHY] = "";
	llama_guard(b, TOOLS_SECONDS);
	enum shim_result e = shim_chat_new(t, ask, ret, why);
	llama_guard(b, 0);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	return e ? err_set(info, ERR_INVALID, "tools: %s", why) : OK;
}

void llama_op_chat_free(void *b, struct engine_chat *c)
{
	(void)b;
	if (!c)
		return;
	shim_chat_free(c->shim);
	go_answer_free(c->go);
	mem_free(c);
}

static enum err new_chat(struct llama_backend *b, const struct llama_template *t,
	const struct shim_ask *ask, struct engine_chat **ret, struct err_info *info)
{
	struct engine_chat *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	enum err e = t->jinja	? new_shim(b, t->jinja, ask, &c->shim, info)
		     : *ask->tools ? go_answer_new(t, ask, &c->go, info)
				   : OK;
	if (e || (!c->shim && !c->go)) { /* plain text around the tags of reasoning */
		llama_op_chat_free(b, c);
		return e;
	}
	*ret = c;
	return OK;
}

enum err llama_op_chat_new(
	void *backend, const struct gen_request *g, struct engine_chat **ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	AUTO_ASK struct llama_ask a = { 0 };
	const struct llama_template *t;
	*ret = NULL;
	if (g->kind != GEN_CHAT)
		return OK;
	TRY(llama_ask_new(g, STR("[]"), &a, info));
	TRY(llama_template_get(b, g, &t, info));
	enum err e = new_chat(b, t, &a.ask, ret, info);
	llama_template_put(b, t);
	return e;
}

enum err llama_op_chat_grammar(
	void *backend, struct engine_chat *c, struct engine_grammar **ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	struct shim_grammar *g = NULL;
	char why[SHIM_WHY] = "";
	*ret = NULL;
	if (c->go)
		return go_answer_grammar(b, c->go, ret, info);
	llama_guard(b, TOOLS_SECONDS);
	enum shim_result e = shim_chat_grammar(c->shim, &g, why);
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
	return c->shim && shim_chat_whole(c->shim);
}

bool llama_op_chat_lazy(void *b, struct engine_chat *c)
{
	(void)b;
	return c->shim && shim_chat_lazy(c->shim);
}

struct str llama_op_chat_force(void *b, struct engine_chat *c)
{
	(void)b;
	return c->go ? go_answer_force(c->go) : str_from(shim_chat_force(c->shim));
}

bool llama_op_chat_shows(void *b, struct engine_chat *c, int32_t token)
{
	return c->go ? go_answer_shows(llama_self(b), c->go, token)
		     : shim_chat_shows(c->shim, token);
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
	if (c->go)
		return go_answer_split(c->go, text, end, parts);
	enum shim_result e = shim_chat_split(c->shim, text.len ? text.ptr : "", text.len, end,
		add_split, &s, &parts->stopped);
	if (s.err)
		return s.err;
	return !e                  ? OK
	       : e == SHIM_INVALID ? ERR_BAD_JSON
	       : e == SHIM_NOMEM   ? ERR_NOMEM
				   : ERR_ENGINE;
}
