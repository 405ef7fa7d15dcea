/* The tree of a template. As Go's text/template/parse/parse.go builds it, function by function. */
#include "gotmpl/gotmpl_int.h"

#include "base/fault.h"

enum {
	VARS_MAX = 256,			/* names known at one place of a text */
	NAMES_MAX = 16,			/* of .A.B.C */
	TREE_BYTES = 64 * 1024 * 1024,	/* a text of LIMIT_TEMPLATE cannot need as much */
};

struct parser {
	struct lexer lex;
	struct tok tok[3];
	unsigned peeked;
	struct gotmpl *t;
	struct str vars[VARS_MAX];
	unsigned base, n_vars; /* `base`: where the variables of this template begin */
	unsigned ranges, depth;
	struct err_info *info;
};
enum ctl { CTL_NODE, CTL_END, CTL_ELSE };

const char *const gotmpl_func_names[FUNC_COUNT] = {
	[FUNC_AND] = "and",
	[FUNC_OR] = "or",
	[FUNC_NOT] = "not",
	[FUNC_EQ] = "eq",
	[FUNC_NE] = "ne",
	[FUNC_LT] = "lt",
	[FUNC_LE] = "le",
	[FUNC_GT] = "gt",
	[FUNC_GE] = "ge",
	[FUNC_LEN] = "len",
	[FUNC_INDEX] = "index",
	[FUNC_SLICE] = "slice",
	[FUNC_PRINT] = "print",
	[FUNC_PRINTF] = "printf",
	[FUNC_PRINTLN] = "println",
	[FUNC_JSON] = "json",
	[FUNC_TODAY] = "currentDate",
	[FUNC_YESTERDAY] = "yesterdayDate",
	[FUNC_TYPESCRIPT] = "toTypeScriptType",
};

#define FAIL_AT(p, pos, ...) \
	gotmpl_fail((p)->t->text, (pos), (p)->info, ERR_INVALID, __VA_ARGS__)
#define NEW(p, T) ARENA_NEW((p)->t->mem, T)

/* ---- tokens ahead ---- */

static struct tok next(struct parser *p)
{
	if (p->peeked > 0)
		p->peeked--;
	else
		p->tok[0] = gotmpl_next_tok(&p->lex);
	return p->tok[p->peeked];
}

static void back(struct parser *p)
{
	p->peeked++;
}

static struct tok peek(struct parser *p)
{
	struct tok t = next(p);
	back(p);
	return t;
}

static struct tok next_solid(struct parser *p)
{
	struct tok t;
	do
		t = next(p);
	while (t.kind == TOK_SPACE);
	return t;
}

static struct tok peek_solid(struct parser *p)
{
	struct tok t = next_solid(p);
	back(p);
	return t;
}

static enum err unexpected(struct parser *p, struct tok t, const char *context)
{
	struct str shown = str_sub(t.val, 0, 30);
	if (t.kind == TOK_ERROR)
		return FAIL_AT(p, t.pos, "%s", p->lex.why);
	if (t.kind == TOK_EOF)
		return FAIL_AT(p, t.pos, "unexpected end of the template in %s", context);
	shown.len = str_utf8_whole(shown);
	return FAIL_AT(p, t.pos, "unexpected \"%.*s\" in %s", STR_ARG(shown), context);
}

static enum err expect(struct parser *p, enum tok_kind kind, const char *context)
{
	struct tok t = next_solid(p);
	return t.kind == kind ? OK : unexpected(p, t, context);
}

static enum err deeper(struct parser *p, size_t pos)
{
	if (++p->depth <= GOTMPL_DEPTH)
		return OK;
	return gotmpl_fail(p->t->text, pos, p->info, ERR_LIMIT, "nested deeper than %d levels",
			   GOTMPL_DEPTH);
}

/* ---- operands ---- */

static enum err pipeline(struct parser *p, const char *context, enum tok_kind end,
			 struct gpipe **ret);

static bool known_var(const struct parser *p, struct str name)
{
	for (unsigned i = p->base; i < p->n_vars; i++)
		if (str_eq(p->vars[i], name))
			return true;
	return false;
}

static enum err function(struct parser *p, struct tok t, struct garg *a)
{
	static const char *const left_out[] = { "call", "html", "js", "urlquery" };
	for (unsigned i = 0; i < FUNC_COUNT; i++)
		if (str_eq(t.val, str_from(gotmpl_func_names[i]))) {
			a->func = (enum gotmpl_func)i;
			return OK;
		}
	struct str shown = str_sub(t.val, 0, 60);
	for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
		if (str_eq(t.val, str_from(left_out[i])))
			return gotmpl_fail(p->t->text, t.pos, p->info, ERR_UNSUPPORTED,
					   "the function \"%s\" is not supported", left_out[i]);
	return FAIL_AT(p, t.pos, "function \"%.*s\" not defined", STR_ARG(shown));
}

/* *ret NULL: the next word is no operand. */
static enum err term(struct parser *p, struct garg **ret)
{
	static const signed char kinds[] = {
		[TOK_BOOL] = ARG_BOOL,	   [TOK_RUNE] = ARG_NUMBER, [TOK_FIELD] = ARG_FIELD,
		[TOK_NAME] = ARG_FUNC,	   [TOK_LPAREN] = ARG_PIPE, [TOK_NUMBER] = ARG_NUMBER,
		[TOK_RAW] = ARG_STRING,	   [TOK_STRING] = ARG_STRING, [TOK_VAR] = ARG_VAR,
		[TOK_DOT] = ARG_DOT,	   [TOK_NIL] = ARG_NIL,	    [TOK_WITH] = 0,
	};
	struct tok t = next_solid(p);
	*ret = NULL;
	if (kinds[t.kind] == 0 && t.kind != TOK_BOOL) {
		back(p);
		return OK;
	}
	struct garg *a = NEW(p, struct garg);
	if (!a)
		return ERR_NOMEM;
	a->kind = (enum arg_kind)kinds[t.kind];
	a->pos = t.pos;
	a->is_true = t.kind == TOK_BOOL && t.val.len == 4;
	*ret = a;
	switch (t.kind) {
	case TOK_NAME:
		return function(p, t, a);
	case TOK_RUNE:
		return gotmpl_rune(p->t, t, a, p->info);
	case TOK_NUMBER:
		return gotmpl_number(p->t, t, a, p->info);
	case TOK_STRING:
	case TOK_RAW:
		return gotmpl_unquote(p->t, t, &a->text, p->info);
	case TOK_LPAREN:
		TRY(deeper(p, t.pos));
		TRY(pipeline(p, "a parenthesized pipeline", TOK_RPAREN, &a->pipe));
		p->depth--;
		return OK;
	case TOK_VAR:
	case TOK_FIELD:
		if (t.kind == TOK_VAR && !known_var(p, t.val))
			return FAIL_AT(p, t.pos, "undefined variable \"%.*s\"",
				       STR_ARG(str_sub(t.val, 0, 60)));
		a->names = NEW(p, struct str);
		if (!a->names)
			return ERR_NOMEM;
		a->names[0] = t.kind == TOK_VAR ? t.val : str_sub(t.val, 1, SIZE_MAX);
		a->n_names = 1;
		return OK;
	default:
		return OK;
	}
}

/* A term and the fields that follow it without a blank. */
static enum err operand(struct parser *p, struct garg **ret)
{
	struct str names[NAMES_MAX];
	unsigned n = 0;
	TRY(term(p, ret));
	struct garg *a = *ret;
	if (!a || peek(p).kind != TOK_FIELD)
		return OK;
	if (a->kind <= ARG_STRING)
		return FAIL_AT(p, peek(p).pos, "unexpected . after a constant, nil or .");
	for (unsigned i = 0; i < a->n_names; i++)
		names[n++] = a->names[i];
	while (peek(p).kind == TOK_FIELD) {
		struct tok f = next(p);
		if (n == NAMES_MAX)
			return gotmpl_fail(p->t->text, f.pos, p->info, ERR_LIMIT,
					   "more than %d fields in a row", NAMES_MAX);
		names[n++] = str_sub(f.val, 1, SIZE_MAX);
	}
	if (a->kind != ARG_FIELD && a->kind != ARG_VAR) {
		struct garg *chain = NEW(p, struct garg);
		if (!chain)
			return ERR_NOMEM;
		*chain = (struct garg){ .kind = ARG_CHAIN, .pos = a->pos, .base = a };
		*ret = a = chain;
	}
	a->names = ARENA_ARRAY(p->t->mem, struct str, n);
	if (!a->names)
		return ERR_NOMEM;
	memcpy(a->names, names, n * sizeof *names);
	a->n_names = n;
	return OK;
}

static enum err command(struct parser *p, struct gcmd **ret)
{
	struct gcmd *c = NEW(p, struct gcmd);
	if (!c)
		return ERR_NOMEM;
	struct garg **last = &c->args, *a;
	c->pos = peek_solid(p).pos;
	for (;;) {
		TRY(operand(p, &a));
		if (a) {
			*last = a;
			last = &a->next;
			c->n_cut = ++c->n;
		}
		struct tok t = next(p);
		if (t.kind == TOK_SPACE)
			continue;
		if (t.kind == TOK_RIGHT || t.kind == TOK_RPAREN)
			back(p);
		else if (t.kind != TOK_PIPE)
			return unexpected(p, t, "an operand");
		break;
	}
	*ret = c;
	return c->n ? OK : FAIL_AT(p, c->pos, "empty command");
}

static enum err declare(struct parser *p, struct gpipe *pipe, struct tok v)
{
	if (p->n_vars == VARS_MAX)
		return gotmpl_fail(p->t->text, v.pos, p->info, ERR_LIMIT,
				   "more than %d variables", VARS_MAX);
	pipe->decl[pipe->n_decl++] = v.val;
	p->vars[p->n_vars++] = v.val;
	return OK;
}

/* "$x :=", "$x =", in range also "$i, $x :=". */
static enum err declarations(struct parser *p, const char *context, struct gpipe *pipe)
{
	while (peek_solid(p).kind == TOK_VAR) {
		struct tok v = next(p), after = peek(p), op = peek_solid(p);
		if (op.kind == TOK_ASSIGN || op.kind == TOK_DECLARE) {
			pipe->assign = op.kind == TOK_ASSIGN;
			(void)next_solid(p);
			return declare(p, pipe, v);
		}
		if (op.kind != TOK_CHAR || op.val.ptr[0] != ',') {
			p->tok[1] = after.kind == TOK_SPACE ? after : v;
			p->tok[2] = v;
			p->peeked = after.kind == TOK_SPACE ? 3 : 2;
			return OK;
		}
		(void)next_solid(p);
		TRY(declare(p, pipe, v));
		if (strcmp(context, "range") != 0 || pipe->n_decl == 2)
			return FAIL_AT(p, op.pos, "too many declarations in %s", context);
		struct tok t = peek_solid(p);
		if (t.kind != TOK_VAR && t.kind != TOK_RIGHT && t.kind != TOK_RPAREN)
			return FAIL_AT(p, t.pos, "range can only initialize variables");
	}
	return OK;
}

static enum err pipeline(struct parser *p, const char *context, enum tok_kind end,
			 struct gpipe **ret)
{
	struct gpipe *pipe = NEW(p, struct gpipe);
	if (!pipe)
		return ERR_NOMEM;
	struct gcmd **last = &pipe->cmds;
	pipe->pos = peek_solid(p).pos;
	TRY(declarations(p, context, pipe));
	for (struct tok t = next_solid(p); t.kind != end; t = next_solid(p)) {
		if (t.kind == TOK_ERROR || t.kind == TOK_EOF || t.kind == TOK_RIGHT ||
			t.kind == TOK_RPAREN || t.kind == TOK_PIPE || t.kind == TOK_CHAR ||
			t.kind == TOK_ASSIGN || t.kind == TOK_DECLARE ||
			(t.kind > TOK_DOT && t.kind != TOK_NIL))
			return unexpected(p, t, context);
		back(p);
		bool first = !pipe->cmds;
		struct gcmd *c = NULL;
		TRY(command(p, &c));
		*last = c;
		last = &c->next;
		if (!first && c->args->kind <= ARG_STRING)
			return FAIL_AT(p, c->pos, "non executable command in a pipeline");
	}
	*ret = pipe;
	return pipe->cmds ? OK : FAIL_AT(p, pipe->pos, "missing value for %s", context);
}

/* ---- actions ---- */

static enum err item_list(struct parser *p, struct glist **ret, enum ctl *ret_ctl);

static void append(struct glist *l, struct gnode *n)
{
	if (l->last)
		l->last->next = n;
	else
		l->first = n;
	l->last = n;
}

/* if, range, with: pipeline, list, perhaps else and another list, end. */
static enum err control(struct parser *p, enum node_kind kind, struct gnode *n)
{
	static const char *const contexts[] = {
		[NODE_IF] = "if", [NODE_RANGE] = "range", [NODE_WITH] = "with"
	};
	enum tok_kind same = kind == NODE_IF ? TOK_IF : kind == NODE_WITH ? TOK_WITH : TOK_ERROR;
	unsigned vars = p->n_vars;
	enum ctl ctl;
	n->kind = kind;
	TRY(deeper(p, n->pos));
	TRY(pipeline(p, contexts[kind], TOK_RIGHT, &n->pipe));
	p->ranges += kind == NODE_RANGE;
	TRY(item_list(p, &n->body, &ctl));
	p->ranges -= kind == NODE_RANGE;
	if (ctl == CTL_ELSE && same != TOK_ERROR && peek(p).kind == same) {
		/* {{else if}} is {{else}}{{if}}..{{end}}, and the end is there once. */
		struct gnode *inner = NEW(p, struct gnode);
		n->other = NEW(p, struct glist);
		if (!inner || !n->other)
			return ERR_NOMEM;
		inner->pos = next(p).pos;
		append(n->other, inner);
		TRY(control(p, kind, inner));
	} else if (ctl == CTL_ELSE) {
		TRY(item_list(p, &n->other, &ctl));
		if (ctl != CTL_END)
			return FAIL_AT(p, n->pos, "this block has a second else");
	}
	p->n_vars = vars;
	p->depth--;
	return OK;
}

static bool is_blank(const struct glist *l)
{
	for (const struct gnode *n = l->first; n; n = n->next)
		if (n->kind != NODE_TEXT || str_trim(n->text).len > 0)
			return false;
	return true;
}

static enum err add_def(struct parser *p, size_t pos, struct str name, struct glist *root)
{
	for (struct gdef *d = p->t->defs; d; d = d->next) {
		if (!str_eq(d->name, name))
			continue;
		if (!is_blank(d->root) && !is_blank(root))
			return FAIL_AT(p, pos, "multiple definition of template \"%.*s\"",
				       STR_ARG(str_sub(name, 0, 60)));
		if (is_blank(d->root))
			d->root = root;
		return OK;
	}
	struct gdef *d = NEW(p, struct gdef);
	if (!d)
		return ERR_NOMEM;
	*d = (struct gdef){ name, root, p->t->defs };
	p->t->defs = d;
	return OK;
}

/* The body of define or block: variables and ranges outside are not known inside. */
static enum err definition(struct parser *p, size_t pos, struct str name)
{
	unsigned base = p->base, vars = p->n_vars, ranges = p->ranges;
	struct glist *root;
	enum ctl ctl;
	if (p->n_vars == VARS_MAX)
		return gotmpl_fail(p->t->text, pos, p->info, ERR_LIMIT,
				   "more than %d variables", VARS_MAX);
	TRY(deeper(p, pos));
	p->base = p->n_vars;
	p->vars[p->n_vars++] = STR("$");
	p->ranges = 0;
	TRY(item_list(p, &root, &ctl));
	if (ctl != CTL_END)
		return FAIL_AT(p, pos, "this definition has an else");
	p->base = base;
	p->n_vars = vars;
	p->ranges = ranges;
	p->depth--;
	return add_def(p, pos, name, root);
}

static enum err template_name(struct parser *p, const char *context, struct str *ret)
{
	struct tok t = next_solid(p);
	if (t.kind != TOK_STRING && t.kind != TOK_RAW)
		return unexpected(p, t, context);
	return gotmpl_unquote(p->t, t, ret, p->info);
}

static enum err template_or_block(struct parser *p, bool block, struct gnode *n)
{
	const char *context = block ? "a block" : "a template clause";
	n->kind = NODE_TEMPLATE;
	TRY(template_name(p, context, &n->text));
	if (block || peek_solid(p).kind != TOK_RIGHT)
		TRY(pipeline(p, context, TOK_RIGHT, &n->pipe));
	else
		(void)next_solid(p);
	return block ? definition(p, n->pos, n->text) : OK;
}

static enum err leave(struct parser *p, enum node_kind kind, struct gnode *n)
{
	n->kind = kind;
	TRY(expect(p, TOK_RIGHT, kind == NODE_BREAK ? "break" : "continue"));
	if (p->ranges == 0)
		return FAIL_AT(p, n->pos, "break or continue outside of range");
	return OK;
}

/* Behind "{{". */
static enum err action(struct parser *p, struct gnode *n, enum ctl *ctl)
{
	struct tok t = next_solid(p);
	enum tok_kind ahead;
	*ctl = CTL_NODE;
	n->pos = t.pos;
	switch (t.kind) {
	case TOK_IF:
		return control(p, NODE_IF, n);
	case TOK_RANGE:
		return control(p, NODE_RANGE, n);
	case TOK_WITH:
		return control(p, NODE_WITH, n);
	case TOK_BREAK:
		return leave(p, NODE_BREAK, n);
	case TOK_CONTINUE:
		return leave(p, NODE_CONTINUE, n);
	case TOK_TEMPLATE:
	case TOK_BLOCK:
		return template_or_block(p, t.kind == TOK_BLOCK, n);
	case TOK_END:
		*ctl = CTL_END;
		return expect(p, TOK_RIGHT, "end");
	case TOK_ELSE:
		*ctl = CTL_ELSE;
		ahead = peek_solid(p).kind;
		return ahead == TOK_IF || ahead == TOK_WITH ? OK : expect(p, TOK_RIGHT, "else");
	default:
		back(p);
		n->kind = NODE_ACTION;
		return pipeline(p, "a command", TOK_RIGHT, &n->pipe);
	}
}

static enum err text_or_action(struct parser *p, struct gnode **ret, enum ctl *ctl)
{
	struct tok t = next_solid(p);
	if (t.kind != TOK_TEXT && t.kind != TOK_LEFT)
		return unexpected(p, t, "the template");
	struct gnode *n = NEW(p, struct gnode);
	if (!n)
		return ERR_NOMEM;
	*ret = n;
	*ctl = CTL_NODE;
	if (t.kind == TOK_LEFT)
		return action(p, n, ctl);
	n->kind = NODE_TEXT;
	n->pos = t.pos;
	n->text = t.val;
	return OK;
}

static enum err item_list(struct parser *p, struct glist **ret, enum ctl *ret_ctl)
{
	struct glist *l = NEW(p, struct glist);
	struct gnode *n = NULL;
	if (!l)
		return ERR_NOMEM;
	for (;;) {
		struct tok t = peek_solid(p);
		if (t.kind == TOK_EOF)
			return FAIL_AT(p, t.pos,
				       "unexpected end of the template: {{end}} is missing");
		TRY(text_or_action(p, &n, ret_ctl));
		if (*ret_ctl != CTL_NODE)
			break;
		append(l, n);
	}
	*ret = l;
	return OK;
}

static enum err define(struct parser *p, size_t pos)
{
	struct str name;
	TRY(template_name(p, "a define clause", &name));
	TRY(expect(p, TOK_RIGHT, "a define clause"));
	return definition(p, pos, name);
}

static enum err top(struct parser *p)
{
	struct gnode *n = NULL;
	enum ctl ctl;
	while (peek(p).kind != TOK_EOF) {
		if (peek(p).kind == TOK_LEFT) {
			struct tok delim = next(p);
			if (next_solid(p).kind == TOK_DEFINE) {
				TRY(define(p, delim.pos));
				continue;
			}
			p->tok[1] = delim;
			p->peeked = 2;
		}
		TRY(text_or_action(p, &n, &ctl));
		if (ctl != CTL_NODE)
			return FAIL_AT(p, n->pos, "unexpected {{%s}}",
				       ctl == CTL_END ? "end" : "else");
		append(p->t->root, n);
	}
	TRY(add_def(p, 0, STR(""), p->t->root));
	return gotmpl_prepare(p->t, p->info);
}

enum err gotmpl_parse(struct str text, struct gotmpl **ret, struct err_info *info)
{
	AUTO(gotmpl) struct gotmpl *t = NULL;
	if (text.len > LIMIT_TEMPLATE)
		return err_set(info, ERR_LIMIT, "a template of %zu bytes, at most %d are taken",
			       text.len, LIMIT_TEMPLATE);
	if (!str_is_utf8(text) || str_find_byte(text, 0, 0) != SIZE_MAX)
		return err_set(info, ERR_INVALID, "the template is not valid UTF-8 text");
	t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	TRY(arena_new(TREE_BYTES, &t->mem));
	char *copy = arena_str(t->mem, text);
	t->root = ARENA_NEW(t->mem, struct glist);
	if (!copy || !t->root)
		return ERR_NOMEM;
	t->text = (struct str){ copy, text.len };
	struct parser p = { .lex = { .text = t->text }, .t = t, .info = info, .n_vars = 1 };
	p.vars[0] = STR("$");
	TRY(top(&p));
	*ret = TAKE(t);
	return OK;
}

enum err gotmpl_parse_any(struct str text, struct gotmpl **ret, struct err_info *info)
{
	*ret = NULL;
	return str_find(text, STR("{%"), 0) != SIZE_MAX ? OK : gotmpl_parse(text, ret, info);
}

struct gotmpl *gotmpl_free(struct gotmpl *t)
{
	if (!t)
		return NULL;
	(void)arena_free(t->mem);
	mem_free(t);
	return NULL;
}
