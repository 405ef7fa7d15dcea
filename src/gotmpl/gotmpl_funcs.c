/* The functions a template can call: text/template's funcs.go and Ollama's four. */
#include "gotmpl/gotmpl_int.h"

#include <stdio.h>

/* ---- comparing ---- */

static bool is_basic(const struct gval *v)
{
	return v->kind >= VAL_BOOL && v->kind <= VAL_STR;
}

static bool is_nil(const struct gval *v)
{
	return v->kind <= VAL_NIL ||
	       (!v->j && (v->kind == VAL_LIST || v->kind == VAL_MAP || v->type == GO_PROP_MAP));
}

static int compare_str(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static enum err incompatible(struct gstate *s, const struct gval *a, const struct gval *b)
{
	return gotmpl_wrong(s, "incompatible types for comparison: %s and %s", gotmpl_type_name(a),
			    gotmpl_type_name(b));
}

static enum err equal(struct gstate *s, const struct gval *a, const struct gval *b, bool *ret)
{
	*ret = false;
	if (is_basic(a) != is_basic(b) || (is_basic(a) && a->kind != b->kind))
		return a->kind <= VAL_NIL || b->kind <= VAL_NIL ? OK : incompatible(s, a, b);
	switch (a->kind) {
	case VAL_BOOL:
		*ret = a->b == b->b;
		return OK;
	case VAL_INT:
		*ret = a->i == b->i;
		return OK;
	case VAL_FLOAT:
		*ret = a->f == b->f;
		return OK;
	case VAL_STR:
		TRY(gotmpl_spend(s, a->s.len / GOTMPL_STEP_BYTES));
		*ret = str_eq(a->s, b->s);
		return OK;
	default:
		break;
	}
	if (is_nil(a) || is_nil(b))
		*ret = is_nil(a) == is_nil(b);
	else if (a->kind == b->kind && a->type == GO_MESSAGE && b->type == GO_MESSAGE)
		*ret = a->j == b->j; /* pointers */
	else
		return gotmpl_wrong(s, "non-comparable types %s and %s", gotmpl_type_name(a),
				    gotmpl_type_name(b));
	return OK;
}

static enum err equal_any(struct gstate *s, const struct gval *args, unsigned n, bool *ret)
{
	*ret = false;
	if (n < 2)
		return gotmpl_wrong(s, "missing argument for comparison");
	for (unsigned i = 1; i < n && !*ret; i++)
		TRY(equal(s, &args[0], &args[i], ret));
	return OK;
}

/* -1, 0, 1. */
static enum err order(struct gstate *s, const struct gval *a, const struct gval *b, int *ret)
{
	if (!is_basic(a) || !is_basic(b))
		return gotmpl_wrong(s, "invalid type for comparison");
	if (a->kind != b->kind)
		return incompatible(s, a, b);
	switch (a->kind) {
	case VAL_INT:
		*ret = (a->i > b->i) - (a->i < b->i);
		return OK;
	case VAL_FLOAT:
		*ret = (a->f > b->f) - (a->f < b->f);
		return OK;
	case VAL_STR:
		TRY(gotmpl_spend(s, a->s.len / GOTMPL_STEP_BYTES));
		*ret = compare_str(a->s, b->s);
		return OK;
	default:
		return gotmpl_wrong(s, "invalid type for comparison");
	}
}

static enum err compare(struct gstate *s, enum gotmpl_func f, const struct gval *args, bool *ret)
{
	int c = 0;
	TRY(order(s, &args[0], &args[1], &c));
	*ret = f == FUNC_LT ? c < 0 : f == FUNC_LE ? c <= 0 : f == FUNC_GT ? c > 0 : c >= 0;
	return OK;
}

/* ---- parts ---- */

static enum err length(struct gstate *s, const struct gval *v, struct gval *ret)
{
	if (v->kind < VAL_STR || v->kind == VAL_STRUCT)
		return gotmpl_wrong(s, "len of %s", gotmpl_type_name(v));
	*ret = (struct gval){ .kind = VAL_INT, .type = GO_INT };
	ret->i = (int64_t)gotmpl_len(v);
	return OK;
}

static enum err position(struct gstate *s, const struct gval *v, size_t max, size_t *ret)
{
	if (v->kind != VAL_INT)
		return gotmpl_wrong(s, "cannot index slice/array with type %s",
				    gotmpl_type_name(v));
	if (v->i < 0 || (uint64_t)v->i > max)
		return gotmpl_wrong(s, "index out of range: %lld", (long long)v->i);
	*ret = (size_t)v->i;
	return OK;
}

static enum err index_one(struct gstate *s, struct gval *v, const struct gval *by)
{
	struct gval item = *v;
	size_t at = 0, n = gotmpl_len(&item);
	if (item.kind == VAL_MAP) {
		if (by->kind != VAL_STR)
			return gotmpl_wrong(s, "a map is indexed with %s; should be string",
					    gotmpl_type_name(by));
		(void)gotmpl_lookup(&item, by->s, v);
		return gotmpl_spend(s, by->s.len / GOTMPL_STEP_BYTES);
	}
	if (item.kind != VAL_LIST && item.kind != VAL_STR)
		return gotmpl_wrong(s, "can't index item of type %s", gotmpl_type_name(&item));
	TRY(position(s, by, n, &at));
	if (at == n)
		return gotmpl_wrong(s, "index out of range: %zu", at);
	if (item.kind == VAL_LIST) {
		*v = gotmpl_at(&item, at);
		return OK;
	}
	*v = (struct gval){ .kind = VAL_INT, .type = GO_INT, .is_data = item.is_data };
	v->i = (unsigned char)item.s.ptr[at];
	return OK;
}

static enum err slice(struct gstate *s, const struct gval *args, unsigned n, struct gval *ret)
{
	struct gval v = args[0];
	size_t at[3] = { 0, gotmpl_len(&v), gotmpl_len(&v) }, len = at[1];
	if (v.kind != VAL_LIST && v.kind != VAL_STR)
		return gotmpl_wrong(s, "can't slice item of type %s", gotmpl_type_name(&v));
	if (n > 4 || (n == 4 && v.kind == VAL_STR))
		return gotmpl_wrong(s, "too many slice indexes: %u", n - 1);
	for (unsigned i = 1; i < n; i++)
		TRY(position(s, &args[i], len, &at[i - 1]));
	if (at[0] > at[1] || at[1] > at[2])
		return gotmpl_wrong(s, "invalid slice index: %zu > %zu",
				    at[0] > at[1] ? at[0] : at[1], at[0] > at[1] ? at[1] : at[2]);
	if (v.kind == VAL_LIST && json_is_string(v.j)) {
		if (at[1] - at[0] != v.n) /* a single type of a property, and none of it */
			v = gotmpl_val(v.type, NULL);
	} else if (v.kind == VAL_LIST) {
		v.off += at[0];
		v.n = at[1] - at[0];
	} else {
		v.s = str_sub(v.s, at[0], at[1] - at[0]);
		v.pieces = NULL; /* is_data covers the whole: never less than there is */
	}
	*ret = v;
	return OK;
}

/* ---- Ollama's ---- */

static int days_of(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[(month - 1) % 12] + (month == 2 && leap);
}

static enum err date(struct gstate *s, bool yesterday, const struct gval *args, unsigned n,
		     struct gval *ret)
{
	struct gotmpl_date d = s->today;
	for (unsigned i = 0; i < n; i++) /* a format that Ollama takes and does not use */
		if (args[i].kind != VAL_STR)
			return gotmpl_wrong(s, "wrong type for value; expected string; got %s",
					    gotmpl_type_name(&args[i]));
	if (yesterday && --d.day < 1) {
		d.month--;
		d.year -= d.month < 1;
		d.month = d.month < 1 ? 12 : d.month;
		d.day = days_of(d.year, d.month);
	}
	(void)buf_addf(&s->tmp_buf, "%04d-%02d-%02d", d.year, d.month, d.day);
	TRY(gotmpl_note(&s->tmp, 0, false));
	return gotmpl_take_tmp(s, ret);
}

static const char *type_word(struct str t)
{
	static const char *const words[][2] = {
		{ "string", "string" },	  { "number", "number" },
		{ "integer", "number" },  { "boolean", "boolean" },
		{ "array", "any[]" },	  { "object", "Record<string, any>" },
		{ "null", "null" },
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_eq(t, str_from(words[i][0])))
			return words[i][1];
	return "any";
}

static enum err typescript(struct gstate *s, const struct gval *v, unsigned depth)
{
	struct gval any = gotmpl_val(GO_PROP_LIST, json_object_get(v->j, "anyOf"));
	struct gval type = gotmpl_val(GO_PROP_TYPE, json_object_get(v->j, "type"));
	if (depth > GOTMPL_VALUE_DEPTH)
		return ERR_LIMIT;
	TRY(gotmpl_spend(s, 1 + any.n + type.n));
	for (size_t i = 0; i < any.n; i++) {
		struct gval one = gotmpl_at(&any, i);
		TRY(i ? gotmpl_add(&s->tmp, STR(" | "), false) : OK);
		TRY(typescript(s, &one, depth + 1));
	}
	for (size_t i = 0; i < type.n && any.n == 0; i++) {
		struct gval one = gotmpl_at(&type, i);
		TRY(i ? gotmpl_add(&s->tmp, STR(" | "), false) : OK);
		TRY(gotmpl_add(&s->tmp, str_from(type_word(one.s)), false));
	}
	return any.n + type.n ? OK : gotmpl_add(&s->tmp, STR("any"), false);
}

static enum err to_typescript(struct gstate *s, const struct gval *v, struct gval *ret)
{
	if (v->kind == VAL_STRUCT && v->type == GO_PROP)
		TRY(typescript(s, v, 0));
	else
		TRY(gotmpl_add(&s->tmp, STR("any"), false));
	return gotmpl_take_tmp(s, ret);
}

static enum err json(struct gstate *s, const struct gval *v, struct gval *ret)
{
	TRY(gotmpl_json(s, v, &s->tmp_buf));
	TRY(gotmpl_note(&s->tmp, 0, v->is_data));
	return gotmpl_take_tmp(s, ret);
}

bool gotmpl_has_method(const struct gval *v, struct str name)
{
	if (v->kind < VAL_LIST)
		return false;
	if (str_eq(name, STR("ToTypeScriptType")))
		return v->type == GO_PROP;
	return str_eq(name, STR("String")) &&
	       (v->type == GO_ARGS || v->type == GO_PROPS || v->type == GO_TOOLS ||
		       v->type == GO_PROP_TYPE);
}

enum err gotmpl_method(struct gstate *s, const struct gval *v, struct str name, struct gval *ret)
{
	gotmpl_clear_tmp(s);
	if (v->type == GO_PROP)
		return to_typescript(s, v, ret);
	TRY(gotmpl_sprint(s, v, 1, false));
	return gotmpl_take_tmp(s, ret);
}

/* ---- the call ---- */

static enum err check_count(struct gstate *s, enum gotmpl_func f, unsigned n)
{
	static const struct {
		unsigned char min, max;
	} counts[FUNC_COUNT] = {
		[FUNC_AND] = { 1, 255 },     [FUNC_OR] = { 1, 255 },
		[FUNC_NOT] = { 1, 1 },	     [FUNC_EQ] = { 1, 255 },
		[FUNC_NE] = { 2, 2 },	     [FUNC_LT] = { 2, 2 },
		[FUNC_LE] = { 2, 2 },	     [FUNC_GT] = { 2, 2 },
		[FUNC_GE] = { 2, 2 },	     [FUNC_LEN] = { 1, 1 },
		[FUNC_INDEX] = { 1, 255 },   [FUNC_SLICE] = { 1, 255 },
		[FUNC_PRINT] = { 0, 255 },   [FUNC_PRINTF] = { 1, 255 },
		[FUNC_PRINTLN] = { 0, 255 }, [FUNC_JSON] = { 1, 1 },
		[FUNC_TODAY] = { 0, 255 },   [FUNC_YESTERDAY] = { 0, 255 },
		[FUNC_TYPESCRIPT] = { 1, 1 },
	};
	if (n < counts[f].min || n > counts[f].max)
		return gotmpl_wrong(s, "wrong number of args for %s: want %s%d got %u",
				    gotmpl_func_names[f],
				    counts[f].min == counts[f].max ? "" : "at least ",
				    counts[f].min, n);
	return OK;
}

static enum err text_of(struct gstate *s, enum gotmpl_func f, const struct gval *args, unsigned n,
			struct gval *ret)
{
	gotmpl_clear_tmp(s);
	switch (f) {
	case FUNC_JSON:
		return json(s, &args[0], ret);
	case FUNC_TODAY:
	case FUNC_YESTERDAY:
		return date(s, f == FUNC_YESTERDAY, args, n, ret);
	case FUNC_TYPESCRIPT:
		return to_typescript(s, &args[0], ret);
	case FUNC_PRINTF:
		TRY(gotmpl_sprintf(s, args, n));
		return gotmpl_take_tmp(s, ret);
	default:
		TRY(gotmpl_sprint(s, args, n, f == FUNC_PRINTLN));
		return gotmpl_take_tmp(s, ret);
	}
}

enum err gotmpl_call(struct gstate *s, enum gotmpl_func f, const struct gval *args, unsigned n,
		     struct gval *ret)
{
	bool b = false;
	TRY(check_count(s, f, n));
	switch (f) {
	case FUNC_NOT:
		b = !gotmpl_truth(&args[0]);
		break;
	case FUNC_EQ:
	case FUNC_NE:
		TRY(equal_any(s, args, n, &b));
		b ^= f == FUNC_NE;
		break;
	case FUNC_LT:
	case FUNC_LE:
	case FUNC_GT:
	case FUNC_GE:
		TRY(compare(s, f, args, &b));
		break;
	case FUNC_LEN:
		return length(s, &args[0], ret);
	case FUNC_INDEX:
		*ret = args[0];
		if (args[0].kind <= VAL_NIL)
			return gotmpl_wrong(s, "index of untyped nil");
		for (unsigned i = 1; i < n; i++)
			TRY(index_one(s, ret, &args[i]));
		return OK;
	case FUNC_SLICE:
		return slice(s, args, n, ret);
	default:
		return text_of(s, f, args, n, ret);
	}
	*ret = (struct gval){ .kind = VAL_BOOL, .type = GO_BOOL };
	ret->b = b;
	return OK;
}
