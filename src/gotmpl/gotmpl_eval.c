/* Executes a template: text/template/exec.go over the tree and values of this folder. */
#include "gotmpl/gotmpl_int.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/fault.h"

/* ---- messages and bounds ---- */

enum err gotmpl_wrong(struct gstate *s, const char *fmt, ...)
{
	char what[300];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return gotmpl_fail(s->t->text, s->at, s->info, ERR_INVALID, "%s", what);
}

enum err gotmpl_unsupported(struct gstate *s, const char *what)
{
	return gotmpl_fail(
		s->t->text, s->at, s->info, ERR_UNSUPPORTED, "%s is not supported", what);
}

enum err gotmpl_spend(struct gstate *s, uint64_t steps)
{
	s->steps += steps;
	if (s->steps <= GOTMPL_STEPS)
		return OK;
	return gotmpl_fail(s->t->text, s->at, s->info, ERR_LIMIT,
			   "the template takes more than %d steps", GOTMPL_STEPS);
}

static enum err deeper(struct gstate *s)
{
	if (++s->depth <= GOTMPL_RUN_DEPTH)
		return OK;
	return gotmpl_fail(s->t->text, s->at, s->info, ERR_LIMIT,
			   "executed deeper than %d levels", GOTMPL_RUN_DEPTH);
}

/* ---- output ---- */

void gotmpl_spans_done(struct gotmpl_spans *sp)
{
	mem_free(sp->list);
	*sp = (struct gotmpl_spans){ 0 };
}

enum err gotmpl_note(struct gsink *k, size_t start, bool is_data)
{
	struct gotmpl_spans *sp = k->spans;
	if (k->buf->err)
		return k->buf->err;
	if (!sp || k->buf->len == start)
		return OK;
	struct gotmpl_span *last = sp->count ? &sp->list[sp->count - 1] : NULL;
	if (last && last->is_data == is_data && last->offset + last->len == start) {
		last->len = k->buf->len - last->offset;
		return OK;
	}
	if (sp->count == GOTMPL_SPANS)
		return ERR_LIMIT;
	if (sp->count == sp->cap) {
		size_t cap = sp->cap ? 2 * sp->cap : 32;
		struct gotmpl_span *list = mem_realloc(sp->list, cap * sizeof *list);
		if (!list)
			return ERR_NOMEM;
		sp->list = list;
		sp->cap = cap;
	}
	sp->list[sp->count++] = (struct gotmpl_span){ start, k->buf->len - start, is_data };
	return OK;
}

enum err gotmpl_add(struct gsink *k, struct str s, bool is_data)
{
	size_t start = k->buf->len;
	if (s.len == 0)
		return OK;
	TRY(buf_add(k->buf, s));
	return gotmpl_note(k, start, is_data);
}

enum err gotmpl_add_val(struct gsink *k, const struct gval *v)
{
	if (!v->pieces)
		return gotmpl_add(k, v->s, v->is_data);
	for (size_t i = 0; i < v->n_pieces; i++) {
		const struct gotmpl_span *p = &v->pieces[i];
		TRY(gotmpl_add(k, str_sub(v->s, p->offset, p->len), p->is_data));
	}
	return OK;
}

void gotmpl_clear_tmp(struct gstate *s)
{
	buf_clear(&s->tmp_buf);
	s->tmp_spans.count = 0;
}

enum err gotmpl_take_tmp(struct gstate *s, struct gval *ret)
{
	struct str made = buf_str(&s->tmp_buf);
	const struct gotmpl_spans *sp = &s->tmp_spans;
	TRY(s->tmp_buf.err);
	TRY(gotmpl_spend(s, made.len / GOTMPL_STEP_BYTES + sp->count));
	s->made += made.len + sp->count * sizeof *sp->list + 64;
	if (s->made > GOTMPL_MEMORY)
		return gotmpl_fail(s->t->text, s->at, s->info, ERR_LIMIT,
				   "the template makes more than %d bytes of strings",
				   GOTMPL_MEMORY);
	char *copy = arena_str(s->mem, made);
	if (!copy)
		return ERR_NOMEM;
	*ret = gotmpl_str_val((struct str){ copy, made.len }, sp->count && sp->list[0].is_data);
	if (sp->count < 2)
		return OK;
	struct gotmpl_span *pieces = ARENA_ARRAY(s->mem, struct gotmpl_span, sp->count);
	if (!pieces)
		return ERR_NOMEM;
	memcpy(pieces, sp->list, sp->count * sizeof *pieces);
	ret->is_data = true;
	ret->pieces = pieces;
	ret->n_pieces = sp->count;
	return OK;
}

/* ---- variables ---- */

static enum err push_var(struct gstate *s, struct str name, const struct gval *v)
{
	if (s->n_vars == GOTMPL_VARS)
		return gotmpl_fail(s->t->text, s->at, s->info, ERR_LIMIT,
				   "more than %d variables at once", GOTMPL_VARS);
	s->vars[s->n_vars++] = (struct gvar){ name, *v };
	return OK;
}

static enum err find_var(struct gstate *s, struct str name, struct gvar **ret)
{
	for (unsigned i = s->n_vars; i > s->base; i--)
		if (str_eq(s->vars[i - 1].name, name)) {
			*ret = &s->vars[i - 1];
			return OK;
		}
	return gotmpl_wrong(s, "undefined variable: %.*s", STR_ARG(str_sub(name, 0, 60)));
}

static enum err set_var(struct gstate *s, struct str name, const struct gval *v)
{
	struct gvar *var = NULL;
	TRY(find_var(s, name, &var));
	var->val = *v;
	return OK;
}

/* ---- expressions ---- */

static enum err eval_pipe(struct gstate *s, const struct gval *dot, const struct gpipe *p,
			  struct gval *ret);

/* One step of .A.B; `v` is what it starts from and becomes what it finds. */
static enum err field(struct gstate *s, struct gval *v, struct str name, bool has_args)
{
	struct str shown = str_sub(name, 0, 60);
	struct gval from = *v;
	if (from.kind == VAL_NONE)
		return OK;
	if (from.kind == VAL_NIL ||
		(from.kind == VAL_STRUCT && from.type == GO_PROP_MAP && !from.j))
		return gotmpl_wrong(s, "nil pointer evaluating %s.%.*s",
				    gotmpl_types[from.type].name, STR_ARG(shown));
	bool method = gotmpl_has_method(&from, name);
	const struct go_field *f =
		from.kind == VAL_STRUCT ? gotmpl_find_field(from.type, name) : NULL;
	if (!method && !f && from.kind != VAL_MAP)
		return gotmpl_wrong(s, "can't evaluate field %.*s in type %s", STR_ARG(shown),
				    gotmpl_type_name(&from));
	if (has_args)
		return gotmpl_wrong(s, "%.*s has arguments but cannot be invoked as function",
				    STR_ARG(shown));
	if (method)
		return gotmpl_method(s, &from, name, v);
	if (f)
		*v = gotmpl_val(f->type, json_object_get(from.j, f->key));
	else if (!gotmpl_lookup(&from, name, v) && s->bare)
		v->kind = VAL_NONE; /* Ollama's missingkey=zero is lost where it cuts */
	return OK;
}

static enum err fields(struct gstate *s, struct gval *v, const struct str *names, unsigned n,
		       bool has_args)
{
	for (unsigned i = 0; i < n; i++)
		TRY(field(s, v, names[i], has_args && i + 1 == n));
	return OK;
}

static enum err eval_func(struct gstate *s, const struct gval *dot, enum gotmpl_func f,
			  const struct garg *args, unsigned n, const struct gval *final,
			  struct gval *ret);

static enum err eval_number(struct gstate *s, const struct garg *a, struct gval *ret)
{
	*ret = (struct gval){ .kind = a->is_float ? VAL_FLOAT : VAL_INT, .type = GO_INT };
	if (a->overflows)
		return gotmpl_wrong(s, "this number overflows int");
	if (a->is_float)
		ret->f = a->f;
	else
		ret->i = a->i;
	return OK;
}

/* An operand; `has_args`: it stands first in a command and others follow, or something is piped
 * into it. Functions get their arguments elsewhere. */
static enum err eval_arg(struct gstate *s, const struct gval *dot, const struct garg *a,
			 bool has_args, struct gval *ret)
{
	struct gvar *var = NULL;
	s->at = a->pos;
	TRY(gotmpl_spend(s, 1));
	*ret = (struct gval){ .kind = VAL_NONE };
	if (has_args && a->kind != ARG_FIELD && a->kind != ARG_CHAIN &&
		!(a->kind == ARG_VAR && a->n_names > 1))
		return gotmpl_wrong(s, "can't give argument to non-function");
	switch (a->kind) {
	case ARG_BOOL:
		*ret = (struct gval){ .kind = VAL_BOOL, .type = GO_BOOL };
		ret->b = a->is_true;
		return OK;
	case ARG_DOT:
		*ret = *dot;
		return OK;
	case ARG_NIL:
		return OK;
	case ARG_NUMBER:
		return eval_number(s, a, ret);
	case ARG_STRING:
		*ret = gotmpl_str_val(a->text, false);
		return OK;
	case ARG_FIELD:
		*ret = *dot;
		return fields(s, ret, a->names, a->n_names, has_args);
	case ARG_VAR:
		TRY(find_var(s, a->names[0], &var));
		*ret = var->val;
		return fields(s, ret, a->names + 1, a->n_names - 1, has_args);
	case ARG_FUNC:
		return eval_func(s, dot, a->func, NULL, 0, NULL, ret);
	case ARG_PIPE:
		return eval_pipe(s, dot, a->pipe, ret);
	default:
		TRY(eval_arg(s, dot, a->base, false, ret));
		s->at = a->pos;
		return fields(s, ret, a->names, a->n_names, has_args);
	}
}

/* and, or: the first argument that decides, the later ones are not looked at. */
static enum err eval_logic(struct gstate *s, const struct gval *dot, bool is_or,
			   const struct garg *args, unsigned n, const struct gval *final,
			   struct gval *ret)
{
	if (n == 0 && !final)
		return gotmpl_wrong(s, "wrong number of args for %s: want at least 1 got 0",
				    is_or ? "or" : "and");
	for (; n > 0; n--, args = args->next) {
		TRY(eval_arg(s, dot, args, false, ret));
		if (gotmpl_truth(ret) == is_or)
			return OK;
	}
	if (final)
		*ret = *final;
	return OK;
}

static enum err eval_func(struct gstate *s, const struct gval *dot, enum gotmpl_func f,
			  const struct garg *args, unsigned n, const struct gval *final,
			  struct gval *ret)
{
	size_t at = s->at;
	unsigned first = s->n_stack, count = n + (final != NULL);
	if (s->bare && f >= FUNC_JSON)
		return gotmpl_wrong(s, "\"%s\" is not a defined function in a template that ends "
				       "with the answer", gotmpl_func_names[f]);
	if (f == FUNC_AND || f == FUNC_OR)
		return eval_logic(s, dot, f == FUNC_OR, args, n, final, ret);
	if (count > 200 || first + count > GOTMPL_STACK)
		return gotmpl_fail(s->t->text, at, s->info, ERR_LIMIT, "too many arguments");
	s->n_stack += count; /* nested calls take theirs above */
	for (unsigned i = 0; i < n; i++, args = args->next)
		TRY(eval_arg(s, dot, args, false, &s->stack[first + i]));
	if (final)
		s->stack[first + n] = *final;
	s->at = at;
	TRY(gotmpl_call(s, f, s->stack + first, count, ret));
	s->n_stack = first;
	return OK;
}

static enum err eval_command(struct gstate *s, const struct gval *dot, const struct gcmd *c,
			     const struct gval *final, struct gval *ret)
{
	unsigned n = s->bare ? c->n_cut : c->n;
	const struct garg *first = c->args;
	s->at = first->pos;
	if (first->kind == ARG_FUNC)
		return eval_func(s, dot, first->func, first->next, n - 1, final, ret);
	if (first->kind == ARG_NIL)
		return gotmpl_wrong(s, "nil is not a command");
	return eval_arg(s, dot, first, n > 1 || final, ret);
}

static enum err eval_pipe(struct gstate *s, const struct gval *dot, const struct gpipe *p,
			  struct gval *ret)
{
	struct gval v = { .kind = VAL_NONE }, next;
	TRY(deeper(s));
	for (const struct gcmd *c = p->cmds; c; c = c->next) {
		TRY(gotmpl_spend(s, 1));
		TRY(eval_command(s, dot, c, c == p->cmds ? NULL : &v, &next));
		v = next;
		if (v.kind == VAL_NIL) /* what an empty interface holds: nothing */
			v.kind = VAL_NONE;
	}
	for (unsigned i = 0; i < p->n_decl; i++) {
		s->at = p->pos;
		TRY(p->assign ? set_var(s, p->decl[i], &v) : push_var(s, p->decl[i], &v));
	}
	s->depth--;
	*ret = v;
	return OK;
}

/* ---- nodes ---- */

static enum err walk_list(struct gstate *s, const struct gval *dot, const struct glist *l);

static enum err walk_branch(struct gstate *s, const struct gval *dot, const struct gnode *n)
{
	unsigned mark = s->n_vars;
	struct gval v;
	TRY(eval_pipe(s, dot, n->pipe, &v));
	if (gotmpl_truth(&v))
		TRY(walk_list(s, n->kind == NODE_WITH ? &v : dot, n->body));
	else
		TRY(walk_list(s, dot, n->other));
	s->n_vars = mark;
	return OK;
}

/* One round; *ret_go false: break. */
static enum err iterate(struct gstate *s, const struct gnode *n, const struct gval *index,
			const struct gval *elem, bool *ret_go)
{
	const struct gpipe *p = n->pipe;
	unsigned mark = s->n_vars;
	s->at = n->pos;
	TRY(gotmpl_spend(s, 1));
	if (p->n_decl > 0 && p->assign) {
		TRY(set_var(s, p->decl[0], p->n_decl > 1 ? index : elem));
		if (p->n_decl > 1)
			TRY(set_var(s, p->decl[1], elem));
	} else if (p->n_decl > 0) {
		s->vars[mark - 1].val = *elem;
		if (p->n_decl > 1)
			s->vars[mark - 2].val = *index;
	}
	TRY(walk_list(s, elem, n->body));
	s->n_vars = mark;
	*ret_go = s->flow != FLOW_BREAK;
	s->flow = FLOW_ON;
	return OK;
}

static enum err range_map(struct gstate *s, const struct gnode *n, const struct gval *map)
{
	struct gpair *pairs = NULL;
	size_t count;
	bool go = true;
	enum err e = OK;
	TRY(gotmpl_spend(s, 10 * gotmpl_len(map)));
	TRY(gotmpl_sorted(map, &pairs, &count));
	for (size_t i = 0; i < count && go && !e; i++) {
		struct gval key = gotmpl_str_val(str_from(pairs[i].key), true), elem;
		(void)gotmpl_lookup(map, key.s, &elem);
		e = iterate(s, n, &key, &elem, &go);
	}
	mem_free(pairs);
	return e;
}

static enum err range_count(struct gstate *s, const struct gnode *n, struct gval count)
{
	struct gval none = { .kind = VAL_NONE }, elem = count;
	bool go = true;
	if (n->pipe->n_decl > 1)
		return gotmpl_wrong(s, "can't use a number to iterate over more than one variable");
	for (elem.i = 0; elem.i < count.i && go; elem.i++) {
		struct gval one = elem;
		TRY(iterate(s, n, &none, &one, &go));
	}
	return OK;
}

static enum err walk_range(struct gstate *s, const struct gval *dot, const struct gnode *n)
{
	unsigned mark = s->n_vars;
	struct gval v, index = { .kind = VAL_INT, .type = GO_INT }, elem;
	bool go = true, some = false;
	TRY(eval_pipe(s, dot, n->pipe, &v));
	s->at = n->pos;
	switch (v.kind) {
	case VAL_NONE:
		break;
	case VAL_INT:
		some = v.i > 0;
		TRY(range_count(s, n, v));
		break;
	case VAL_LIST:
		some = v.n > 0;
		for (size_t i = 0; i < v.n && go; i++) {
			index.i = (int64_t)i;
			elem = gotmpl_at(&v, i);
			TRY(iterate(s, n, &index, &elem, &go));
		}
		break;
	case VAL_MAP:
		some = gotmpl_len(&v) > 0;
		TRY(range_map(s, n, &v));
		break;
	default:
		return gotmpl_wrong(s, "range can't iterate over %s", gotmpl_type_name(&v));
	}
	if (!some)
		TRY(walk_list(s, dot, n->other));
	s->n_vars = mark;
	return OK;
}

static enum err walk_template(struct gstate *s, const struct gval *dot, const struct gnode *n)
{
	const struct gdef *d = s->bare ? NULL : n->def;
	struct gval v;
	if (!d)
		return gotmpl_wrong(s, "template \"%.*s\" not defined",
				    STR_ARG(str_sub(n->text, 0, 60)));
	TRY(eval_pipe(s, dot, n->pipe, &v));
	unsigned base = s->base, mark = s->n_vars; /* what the pipeline declares stays */
	TRY(push_var(s, STR("$"), &v));
	s->base = mark;
	TRY(walk_list(s, &v, d->root));
	s->base = base;
	s->n_vars = mark;
	return OK;
}

static enum err walk(struct gstate *s, const struct gval *dot, const struct gnode *n)
{
	struct gval v;
	s->at = n->pos;
	TRY(gotmpl_spend(s, 1));
	switch (n->kind) {
	case NODE_TEXT:
		return gotmpl_add(&s->out, n->text, false);
	case NODE_ACTION:
		TRY(eval_pipe(s, dot, n->pipe, &v));
		s->at = n->pos;
		return n->pipe->n_decl ? OK : gotmpl_print_action(s, &v);
	case NODE_IF:
	case NODE_WITH:
		return walk_branch(s, dot, n);
	case NODE_RANGE:
		return walk_range(s, dot, n);
	case NODE_TEMPLATE:
		return walk_template(s, dot, n);
	default:
		s->flow = n->kind == NODE_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
		return OK;
	}
}

static enum err walk_list(struct gstate *s, const struct gval *dot, const struct glist *l)
{
	TRY(deeper(s));
	for (const struct gnode *n = l ? l->first : NULL; n && s->flow == FLOW_ON; n = n->next)
		if (!s->bare || !n->cut)
			TRY(walk(s, dot, n));
	s->depth--;
	return OK;
}

/* ---- a rendering ---- */

struct gmark gotmpl_mark(const struct buf *out, const struct gotmpl_spans *spans)
{
	struct gmark m = { .len = out->len };
	if (spans && spans->count) {
		m.count = spans->count;
		m.last = spans->list[spans->count - 1];
	}
	return m;
}

void gotmpl_rewind(struct buf *out, struct gotmpl_spans *spans, const struct gmark *m)
{
	buf_cut(out, m->len);
	out->err = OK;
	if (!spans)
		return;
	spans->count = m->count;
	if (m->count)
		spans->list[m->count - 1] = m->last; /* it may have grown */
}

enum err gotmpl_state_init(struct gstate *s, const struct gotmpl *t, struct gotmpl_date today,
			   struct buf *out, struct gotmpl_spans *spans, struct err_info *info)
{
	*s = (struct gstate){ .t = t, .today = today, .info = info, .out = { out, spans } };
	if (info)
		info->code = OK; /* says below whether the reason is told already */
	s->tmp_buf = BUF(GOTMPL_MEMORY);
	s->tmp = (struct gsink){ &s->tmp_buf, &s->tmp_spans };
	s->vars = mem_zalloc(GOTMPL_VARS, sizeof *s->vars);
	s->stack = mem_zalloc(GOTMPL_STACK, sizeof *s->stack);
	if (!s->vars || !s->stack)
		return ERR_NOMEM;
	return arena_new(2 * GOTMPL_MEMORY, &s->mem); /* `made` ends it before */
}

void gotmpl_state_done(struct gstate *s)
{
	mem_free(s->vars);
	mem_free(s->stack);
	buf_done(&s->tmp_buf);
	gotmpl_spans_done(&s->tmp_spans);
	s->mem = arena_free(s->mem);
}

enum err gotmpl_execute(struct gstate *s, const struct gval *root, bool bare)
{
	s->bare = bare;
	s->n_vars = s->base = s->n_stack = s->depth = 0;
	s->flow = FLOW_ON;
	TRY(push_var(s, STR("$"), root));
	enum err e = walk_list(s, root, s->t->root);
	if (e == ERR_LIMIT && s->info && !s->info->code)
		return gotmpl_fail(s->t->text, s->at, s->info, e,
				   "the output or a value in it is too large");
	return e;
}

enum err gotmpl_render(const struct gotmpl *t, const json_t *data, struct gotmpl_date today,
		       struct buf *out, struct gotmpl_spans *spans, struct err_info *info)
{
	struct gstate s;
	struct gval root = gotmpl_val(GO_ANY, data);
	TRY(out->err);
	struct gmark mark = gotmpl_mark(out, spans);
	enum err e = gotmpl_state_init(&s, t, today, out, spans, info);
	e = e ? e : gotmpl_execute(&s, &root, false);
	gotmpl_state_done(&s);
	if (e)
		gotmpl_rewind(out, spans, &mark);
	return e;
}
