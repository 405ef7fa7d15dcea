#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/random.h"

enum { WRITE_DEPTH = 32, DUMP_DEPTH = 512 };

/* Does this thread read a text? jansson's lexer takes no notice of a buffer that cannot grow: with
 * the closing quote lost it goes on behind the buffer's end, and writes there. So a process that
 * has no memory for a text ends. */
static _Thread_local bool reading;

static void *json_alloc(size_t n)
{
	if (!reading)
		return mem_alloc(n);
	void *p = malloc(n ? n : 1);
	if (!p)
		DIE("no memory to read JSON");
	return p;
}

/* Process-wide, before main: values made anywhere must meet the same allocator, and jansson would
 * otherwise open /dev/urandom for its hash seed, which a locked role may not. */
[[gnu::constructor]] static void set_up(void)
{
	json_set_alloc_funcs(json_alloc, mem_free);
	json_object_seed((size_t)random_u64() | 1);
}

/* ---- reading ---- */

/* Depth of nesting, counted without recursion before the recursive parser starts. */
static bool too_deep(struct str text, unsigned max_depth)
{
	unsigned depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > max_depth)
				return true;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

enum err json_read(struct str text, size_t max_bytes, unsigned max_depth, json_t **ret,
		   struct err_info *info)
{
	json_error_t error = { 0 };
	if (text.len > max_bytes)
		return err_set(info, ERR_LIMIT, "JSON of %zu bytes, at most %zu are taken",
			       text.len, max_bytes);
	if (!str_is_utf8(text))
		return err_set(info, ERR_BAD_JSON, "the text is not valid UTF-8");
	if (text.len && memchr(text.ptr, 0, text.len)) /* jansson would take it for the end */
		return err_set(info, ERR_BAD_JSON, "the text has a zero byte");
	if (too_deep(text, max_depth))
		return err_set(info, ERR_LIMIT, "JSON is nested deeper than %u levels", max_depth);
	if (fault_hit(FAULT_ALLOC))
		return err_set(info, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
	reading = true;
	json_t *v = json_loadb(text.ptr ? text.ptr : "", text.len,
			       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	reading = false;
	if (v) {
		*ret = v;
		return OK;
	}
	/* jansson quotes the text around the place: that is content and does not go further. */
	struct str why = str_from(error.text);
	size_t quote = str_find(why, STR(" near '"), 0);
	if (quote != SIZE_MAX)
		why.len = quote;
	return err_set(info, ERR_BAD_JSON, "line %d, column %d: %.*s", error.line, error.column,
		       STR_ARG(why));
}

/* OK with *ret NULL: absent and not required. */
static enum err want(const json_t *obj, const char *key, bool required, const json_t **ret,
		     struct err_info *info)
{
	*ret = NULL;
	if (!json_is_object(obj))
		return err_set(info, ERR_INVALID, "\"%s\" is looked for in what is no object", key);
	const json_t *v = json_object_get(obj, key);
	if (!v || json_is_null(v)) {
		if (!required)
			return OK;
		return err_set(info, ERR_INVALID, "\"%s\" is missing", key);
	}
	*ret = v;
	return OK;
}

enum err json_want_str(const json_t *obj, const char *key, bool required, struct str *ret,
		       struct err_info *info)
{
	const json_t *v;
	TRY(want(obj, key, required, &v, info));
	if (!v)
		return OK;
	if (!json_is_string(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be a string", key);
	*ret = (struct str){ json_string_value(v), json_string_length(v) };
	return OK;
}

enum err json_want_i64(const json_t *obj, const char *key, bool required, int64_t min,
		       int64_t max, int64_t *ret, struct err_info *info)
{
	const json_t *v;
	TRY(want(obj, key, required, &v, info));
	if (!v)
		return OK;
	if (!json_is_integer(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be a whole number", key);
	int64_t i = json_integer_value(v);
	if (i < min || i > max)
		return err_set(info, ERR_INVALID, "\"%s\" must be between %lld and %lld", key,
			       (long long)min, (long long)max);
	*ret = i;
	return OK;
}

enum err json_want_f64(const json_t *obj, const char *key, bool required, double min, double max,
		       double *ret, struct err_info *info)
{
	const json_t *v;
	TRY(want(obj, key, required, &v, info));
	if (!v)
		return OK;
	if (!json_is_number(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be a number", key);
	double d = json_number_value(v);
	if (!isfinite(d) || d < min || d > max)
		return err_set(
			info, ERR_INVALID, "\"%s\" must be between %g and %g", key, min, max);
	*ret = d;
	return OK;
}

enum err json_want_bool(const json_t *obj, const char *key, bool required, bool *ret,
			struct err_info *info)
{
	const json_t *v;
	TRY(want(obj, key, required, &v, info));
	if (!v)
		return OK;
	if (!json_is_boolean(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be true or false", key);
	*ret = json_is_true(v);
	return OK;
}

enum err json_want_obj(const json_t *obj, const char *key, bool required, json_t **ret,
		       struct err_info *info)
{
	const json_t *v;
	TRY(want(obj, key, required, &v, info));
	if (!v)
		return OK;
	if (!json_is_object(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be an object", key);
	*ret = json_object_get(obj, key);
	return OK;
}

enum err json_want_arr(const json_t *obj, const char *key, bool required, json_t **ret,
		       struct err_info *info)
{
	const json_t *v;
	TRY(want(obj, key, required, &v, info));
	if (!v)
		return OK;
	if (!json_is_array(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be a list", key);
	*ret = json_object_get(obj, key);
	return OK;
}

/* ---- writing: errors stick in the buf, so results are dropped on purpose ---- */

static void raw(struct buf *out, struct str s) { (void)buf_add(out, s); }

static struct str escape(unsigned char c, char space[7])
{
	switch (c) {
	case '"': return STR("\\\"");
	case '\\': return STR("\\\\");
	case '\n': return STR("\\n");
	case '\r': return STR("\\r");
	case '\t': return STR("\\t");
	case '\b': return STR("\\b");
	case '\f': return STR("\\f");
	default: break;
	}
	(void)snprintf(space, 7, "\\u%04x", c);
	return (struct str){ space, 6 };
}

enum err json_add_str(struct buf *out, struct str s)
{
	char space[7];
	size_t start = 0;
	raw(out, STR("\""));
	for (size_t i = 0; i < s.len;) {
		unsigned char c = (unsigned char)s.ptr[i];
		bool cut, special = c < 0x20 || c == '"' || c == '\\';
		size_t n = 1;
		if (c >= 0x80)
			n = str_utf8_char(str_sub(s, i, 4), &cut);
		if (n > 0 && !special) {
			i += n;
			continue;
		}
		raw(out, str_sub(s, start, i - start));
		raw(out, special ? escape(c, space) : STR("\xef\xbf\xbd"));
		start = ++i;
	}
	raw(out, str_sub(s, start, SIZE_MAX));
	raw(out, STR("\""));
	return out->err;
}

static void add_f64(struct buf *out, double v)
{
	char text[40];
	if (!isfinite(v)) {
		raw(out, STR("null"));
		return;
	}
	if (v == 0 && signbit(v)) { /* "-0" would read back as the integer 0 */
		raw(out, STR("-0.0"));
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	raw(out, str_from(text));
}

static void add_value(struct buf *out, const json_t *v, unsigned depth);

static void add_object(struct buf *out, const json_t *v, unsigned depth)
{
	/* the iterator wants a non-const object but does not change it */
	json_t *obj = (json_t *)(uintptr_t)v;
	const char *comma = "{";
	if (json_object_size(v) == 0)
		raw(out, STR("{"));
	for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it)) {
		raw(out, str_from(comma));
		comma = ",";
		(void)json_add_str(out, str_from(json_object_iter_key(it)));
		raw(out, STR(":"));
		add_value(out, json_object_iter_value(it), depth + 1);
	}
	raw(out, STR("}"));
}

static void add_value(struct buf *out, const json_t *v, unsigned depth)
{
	if (depth > DUMP_DEPTH && !out->err)
		out->err = ERR_LIMIT;
	if (out->err)
		return;
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_OBJECT:
		add_object(out, v, depth);
		break;
	case JSON_ARRAY:
		raw(out, STR("["));
		for (size_t i = 0; i < json_array_size(v); i++) {
			if (i > 0)
				raw(out, STR(","));
			add_value(out, json_array_get(v, i), depth + 1);
		}
		raw(out, STR("]"));
		break;
	case JSON_STRING:
		(void)json_add_str(
			out, (struct str){ json_string_value(v), json_string_length(v) });
		break;
	case JSON_INTEGER:
		(void)buf_addf(out, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		add_f64(out, json_real_value(v));
		break;
	case JSON_TRUE:
		raw(out, STR("true"));
		break;
	case JSON_FALSE:
		raw(out, STR("false"));
		break;
	default:
		raw(out, STR("null"));
	}
}

void jw_init(struct jw *w, struct buf *out) { *w = (struct jw){ .out = out }; }

/* Before a value: the comma in a list, or nothing after a key. */
static void before_value(struct jw *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->is_obj[w->depth])
		DIE("JSON value without a key");
	if (w->need_comma[w->depth])
		raw(w->out, STR(","));
	w->need_comma[w->depth] = 1;
}

static void open_level(struct jw *w, bool is_obj)
{
	before_value(w);
	if (w->depth >= WRITE_DEPTH)
		DIE("JSON written too deep");
	w->depth++;
	w->need_comma[w->depth] = 0;
	w->is_obj[w->depth] = is_obj;
	raw(w->out, is_obj ? STR("{") : STR("["));
}

void jw_obj(struct jw *w) { open_level(w, true); }
void jw_arr(struct jw *w) { open_level(w, false); }

void jw_end(struct jw *w)
{
	if (w->depth == 0 || w->after_key)
		DIE("JSON end without a beginning");
	raw(w->out, w->is_obj[w->depth] ? STR("}") : STR("]"));
	w->depth--;
}

void jw_key(struct jw *w, const char *key)
{
	if (!w->is_obj[w->depth] || w->after_key)
		DIE("JSON key outside an object");
	if (w->need_comma[w->depth])
		raw(w->out, STR(","));
	w->need_comma[w->depth] = 1;
	(void)json_add_str(w->out, str_from(key));
	raw(w->out, STR(":"));
	w->after_key = true;
}

void jw_str(struct jw *w, struct str s)
{
	before_value(w);
	(void)json_add_str(w->out, s);
}

void jw_i64(struct jw *w, int64_t v)
{
	before_value(w);
	(void)buf_addf(w->out, "%lld", (long long)v);
}

void jw_u64(struct jw *w, uint64_t v)
{
	before_value(w);
	(void)buf_addf(w->out, "%llu", (unsigned long long)v);
}

void jw_f64(struct jw *w, double v)
{
	before_value(w);
	add_f64(w->out, v);
}

void jw_bool(struct jw *w, bool v)
{
	before_value(w);
	raw(w->out, v ? STR("true") : STR("false"));
}

void jw_null(struct jw *w)
{
	before_value(w);
	raw(w->out, STR("null"));
}

void jw_raw(struct jw *w, struct str json)
{
	before_value(w);
	raw(w->out, json);
}

void jw_json(struct jw *w, const json_t *v)
{
	before_value(w);
	add_value(w->out, v, 0);
}

void jw_kstr(struct jw *w, const char *key, struct str s)
{
	jw_key(w, key);
	if (s.ptr)
		jw_str(w, s);
	else
		jw_null(w);
}

void jw_ki64(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_i64(w, v);
}

void jw_kf64(struct jw *w, const char *key, double v)
{
	jw_key(w, key);
	jw_f64(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}
