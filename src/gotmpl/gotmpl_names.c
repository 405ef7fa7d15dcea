/* What Ollama reads from a template besides executing it: the names it uses, where the answer is,
 * what stands around the thinking and before calls. As its template/template.go,
 * thinking/template.go and tools/template.go do. */
#include "gotmpl/gotmpl_int.h"

/* ---- names ---- */

static bool used(const struct gotmpl *t, struct str name)
{
	for (const struct gname *n = t->uses; n; n = n->next)
		if (str_eq_nocase(n->name, name))
			return true;
	return false;
}

bool gotmpl_uses(const struct gotmpl *t, const char *name)
{
	return used(t, str_from(name));
}

static enum err use(struct gotmpl *t, struct str name, size_t pos, struct err_info *info)
{
	if (used(t, name))
		return OK;
	if (t->n_uses++ == GOTMPL_NAMES)
		return gotmpl_fail(t->text, pos, info, ERR_LIMIT, "more than %d different names",
				   GOTMPL_NAMES);
	struct gname *n = ARENA_NEW(t->mem, struct gname);
	if (!n)
		return ERR_NOMEM;
	*n = (struct gname){ name, t->uses };
	t->uses = n;
	return OK;
}

static enum err use_pipe(struct gotmpl *t, const struct gpipe *p, struct err_info *info)
{
	for (const struct gcmd *c = p->cmds; c; c = c->next)
		for (const struct garg *a = c->args; a; a = a->next) {
			/* Not into (...).A: Ollama does not look there either. */
			if (a->kind == ARG_PIPE)
				TRY(use_pipe(t, a->pipe, info));
			else if (a->kind == ARG_FIELD || a->kind == ARG_VAR)
				for (unsigned i = 0; i < a->n_names; i++)
					TRY(use(t, a->names[i], a->pos, info));
		}
	return OK;
}

static const struct gdef *find_def(const struct gotmpl *t, struct str name)
{
	for (const struct gdef *d = t->defs; d; d = d->next)
		if (str_eq(d->name, name))
			return d;
	return NULL;
}

static enum err use_list(struct gotmpl *t, const struct glist *l, struct err_info *info)
{
	for (struct gnode *n = l ? l->first : NULL; n; n = n->next) {
		if (n->kind == NODE_TEMPLATE && !n->pipe)
			return gotmpl_fail(t->text, n->pos, info, ERR_INVALID,
					   "undefined template specified: it needs a value, as "
					   "{{template \"x\" .}}");
		if (n->kind == NODE_TEMPLATE)
			n->def = find_def(t, n->text);
		if (n->pipe)
			TRY(use_pipe(t, n->pipe, info));
		TRY(use_list(t, n->body, info));
		TRY(use_list(t, n->other, info));
	}
	return OK;
}

/* ---- the answer ---- */

/* {{ .Response }} at the end. */
static enum err append_response(struct gotmpl *t, struct err_info *info)
{
	struct gnode *n = ARENA_NEW(t->mem, struct gnode);
	struct gpipe *p = ARENA_NEW(t->mem, struct gpipe);
	struct gcmd *c = ARENA_NEW(t->mem, struct gcmd);
	struct garg *a = ARENA_NEW(t->mem, struct garg);
	struct str *name = ARENA_NEW(t->mem, struct str);
	if (!n || !p || !c || !a || !name)
		return ERR_NOMEM;
	*name = STR("Response");
	*a = (struct garg){ .kind = ARG_FIELD, .names = name, .n_names = 1, .pos = t->text.len };
	*c = (struct gcmd){ .args = a, .n = 1, .n_cut = 1, .pos = t->text.len };
	*p = (struct gpipe){ .cmds = c, .pos = t->text.len };
	*n = (struct gnode){ .kind = NODE_ACTION, .pipe = p, .pos = t->text.len };
	if (t->root->last)
		t->root->last->next = n;
	else
		t->root->first = n;
	t->root->last = n;
	return use(t, *name, t->text.len, info);
}

/* All below: *cut is set from .Response on. They say whether what they look at goes. */
static bool cut_pipe(struct gpipe *p, bool *cut)
{
	if (*cut)
		return true;
	for (struct gcmd *c = p->cmds; c; c = c->next) {
		c->n_cut = 0;
		for (struct garg *a = c->args; a; a = a->next) {
			bool gone = *cut || (a->kind == ARG_PIPE && cut_pipe(a->pipe, cut));
			for (unsigned i = 0; !gone && a->kind == ARG_FIELD && i < a->n_names; i++)
				*cut |= str_eq(a->names[i], STR("Response"));
			c->n_cut += !gone; /* only the last ones go */
		}
		if (c->n_cut == 0)
			return true;
	}
	return false;
}

static void cut_list(struct glist *l, bool *cut)
{
	for (struct gnode *n = l ? l->first : NULL; n; n = n->next) {
		n->cut = *cut;
		if (n->kind == NODE_ACTION && !n->cut)
			n->cut = cut_pipe(n->pipe, cut);
		cut_list(n->body, cut); /* conditions stay: Ollama does not look into them */
		cut_list(n->other, cut);
	}
}

enum err gotmpl_prepare(struct gotmpl *t, struct err_info *info)
{
	bool cut = false;
	for (const struct gdef *d = t->defs; d; d = d->next)
		TRY(use_list(t, d->root, info));
	if (!gotmpl_uses(t, "messages") && !gotmpl_uses(t, "response"))
		TRY(append_response(t, info));
	cut_list(t->root, &cut);
	return OK;
}

/* ---- thinking ---- */

struct tags {
	struct str open, close;
};

static bool pipe_has(const struct gpipe *p, struct str field)
{
	for (const struct gcmd *c = p ? p->cmds : NULL; c; c = c->next)
		for (const struct garg *a = c->args; a; a = a->next)
			if ((a->kind == ARG_PIPE && pipe_has(a->pipe, field)) ||
				(a->kind == ARG_FIELD && str_eq(a->names[0], field)))
				return true;
	return false;
}

/* .Thinking inside of a range over .Messages: the texts at both ends of the list around it. */
static void find_tags(const struct glist *l, const struct gnode *range, struct tags *tags)
{
	for (const struct gnode *n = l ? l->first : NULL; n; n = n->next) {
		const struct gnode *inner = n->kind == NODE_RANGE ? n : range;
		if (pipe_has(n->pipe, STR("Thinking")) && inner &&
			pipe_has(inner->pipe, STR("Messages"))) {
			if (l->first->kind == NODE_TEXT)
				tags->open = str_trim(l->first->text);
			if (l->last->kind == NODE_TEXT)
				tags->close = str_trim(l->last->text);
		}
		find_tags(n->body, inner, tags);
		find_tags(n->other, inner, tags);
	}
}

bool gotmpl_think_tags(const struct gotmpl *t, struct str *ret_open, struct str *ret_close)
{
	struct tags tags = { STR_NONE, STR_NONE };
	find_tags(t->root, NULL, &tags);
	*ret_open = tags.open;
	*ret_close = tags.close;
	return tags.open.len > 0 && tags.close.len > 0;
}

/* ---- calls ---- */

static bool tests_calls(const struct gnode *n)
{
	for (const struct gcmd *c = n->pipe->cmds; c; c = c->next)
		for (const struct garg *a = c->args; a; a = a->next)
			for (unsigned i = 0; a->kind == ARG_FIELD && i < a->n_names; i++)
				if (str_eq(a->names[i], STR("ToolCalls")))
					return true;
	return false;
}

static const struct gnode *find_calls(const struct glist *l)
{
	const struct gnode *found = NULL;
	for (const struct gnode *n = l ? l->first : NULL; n && !found; n = n->next) {
		if (n->kind == NODE_IF && tests_calls(n))
			return n;
		found = find_calls(n->body);
		if (!found)
			found = find_calls(n->other);
	}
	return found;
}

/* The first text that is not blank, up to what is printed; blocks are only looked into. */
static struct str first_text(const struct glist *l)
{
	for (const struct gnode *n = l ? l->first : NULL; n; n = n->next) {
		struct str text = n->kind == NODE_TEXT ? str_trim(n->text) : STR_NONE;
		if (n->kind == NODE_IF || n->kind == NODE_RANGE || n->kind == NODE_WITH) {
			text = first_text(n->body);
			return text.len ? text : first_text(n->other);
		}
		if (text.len || n->kind == NODE_ACTION)
			return text;
	}
	return STR_NONE;
}

struct str gotmpl_call_tag(const struct gotmpl *t)
{
	const struct gnode *n = find_calls(t->root);
	struct str tag = n ? first_text(n->body) : STR_NONE;
	tag = str_trim(str_sub(tag, 0, str_find_byte(tag, '{', 0)));
	return tag.len ? tag : STR("{");
}
