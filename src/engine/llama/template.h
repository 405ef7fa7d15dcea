/* engine/llama/template.h - which chat template a request is rendered with: one that it brought (a
 * model's explicit one, or a request's own), in Go or Jinja, or else the model file's own, in
 * Jinja. What was brought stays parsed for the next request. Any thread. */
#pragma once

#include "engine/llama/backend_int.h"
#include "gotmpl/gotmpl.h"

/* Takes hold of it; the caller lets go. Errors: ERR_UNSUPPORTED (there is none, or the model's own
 * does not work), ERR_INVALID (what was brought is wrong), ERR_NOMEM. */
enum err llama_template_get(struct llama_backend *b, const struct gen_request *g,
	const struct llama_template **ret, struct err_info *info);
void llama_template_put(struct llama_backend *b, const struct llama_template *t);
/* Asks a template in Jinja for its tags. */
void llama_template_think(struct llama_template *t);
struct template_cache *template_cache_free(struct template_cache *c);
enum err llama_op_think(void *backend, const struct gen_request *g, struct engine_think *ret);

/* ---- gotemplate.c: prompts by a template in Go ---- */
struct go_parts { /* text of a prompt, and where each piece of it comes from */
	struct buf text;
	struct gotmpl_spans spans;
};
void go_parts_done(struct go_parts *p);
#define AUTO_GO_PARTS [[gnu::cleanup(go_parts_done)]]
/* Messages in OpenAI's form (gen_request.input, or fewer of them). `tools`: JSON text, or "".
 * Errors: ERR_INVALID (the template or the messages), ERR_UNSUPPORTED (tools, and it has no place
 * for them), ERR_LIMIT, ERR_NOMEM. */
enum err go_render(const struct gotmpl *t, const struct gen_request *g, struct str messages,
	const char *tools, struct go_parts *ret, struct err_info *info);
/* The same for what stands between g->input and g->suffix. */
enum err go_render_gap(const struct gotmpl *t, const struct gen_request *g, struct go_parts *ret,
	struct err_info *info);
/* prompt.c: the tokens of what go_render_gap() gives. */
enum err llama_gap_tokens(struct llama_backend *b, const struct gotmpl *t,
	const struct gen_request *g, struct engine_prompt *ret, struct err_info *info);

/* ---- goanswer.c: answers of a model that was offered tools by a template in Go ---- */
struct go_answer;
/* `ask` has tools. Errors: ERR_INVALID, ERR_LIMIT, ERR_NOMEM. */
enum err go_answer_new(const struct llama_template *t, const struct shim_ask *ask,
	struct go_answer **ret, struct err_info *info);
struct go_answer *go_answer_free(struct go_answer *a);
DEFINE_AUTO(go_answer)
/* The calls of engine_backend_ops. */
enum err go_answer_grammar(struct llama_backend *b, const struct go_answer *a,
	struct engine_grammar **ret, struct err_info *info);
struct str go_answer_force(const struct go_answer *a);
bool go_answer_shows(struct llama_backend *b, const struct go_answer *a, int32_t token);
enum err go_answer_split(
	struct go_answer *a, struct str text, bool end, struct engine_parts *parts);
