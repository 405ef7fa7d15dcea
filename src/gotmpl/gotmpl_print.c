/* Values as text: Go's fmt (what a template prints) and encoding/json. */
#include "gotmpl/gotmpl_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"

enum { WIDTH_MAX = 1000, PREC_MAX = 100 };

struct fmt { /* one verb of a format */
	char verb;
	bool minus, zero, plus, has_prec;
	unsigned width, prec;
};

/* ---- numbers ---- */

void gotmpl_digits(double v, char digits[24], unsigned *ret_n, int *ret_point)
{
	char text[40];
	int prec = 0;
	do /* at most 17 digits say which double it is */
		(void)snprintf(text, sizeof text, "%.*e", prec, fabs(v));
	while (++prec < 17 && strtod(text, NULL) != fabs(v));
	unsigned n = 0;
	size_t i = 0;
	for (; text[i] && text[i] != 'e'; i++)
		if (text[i] != '.' && n < 23)
			digits[n++] = text[i];
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = 0;
	*ret_n = n;
	*ret_point = 0;
	if (v != 0 && text[i] == 'e' && sscanf(text + i + 1, "%d", ret_point) == 1)
		++*ret_point;
	else
		*ret_point = 1;
}

/* The shortest form; with an exponent from 10^`large` and below 10^-`small`. */
static void float_text(double v, int small, int large, bool pad_exponent, char out[64])
{
	char digits[24];
	unsigned n;
	int point;
	const char *sign = signbit(v) ? "-" : "";
	gotmpl_digits(v, digits, &n, &point);
	if (v != 0 && (point - 1 < -small || point - 1 >= large))
		(void)snprintf(out, 64, pad_exponent ? "%s%c%s%se%c%02d" : "%s%c%s%se%c%d", sign,
			       digits[0], n > 1 ? "." : "", digits + 1, point < 1 ? '-' : '+',
			       abs(point - 1));
	else if (point <= 0)
		(void)snprintf(out, 64, "%s0.%.*s%s", sign, -point, "0000000000", digits);
	else if ((unsigned)point >= n)
		(void)snprintf(out, 64, "%s%s%.*s", sign, digits, point - (int)n,
			       "0000000000000000000000");
	else
		(void)snprintf(out, 64, "%s%.*s.%s", sign, point, digits, digits + point);
}

/* ---- JSON ---- */

static void json_str(struct buf *out, struct str s)
{
	size_t start = 0, n;
	bool cut;
	(void)buf_add(out, STR("\""));
	for (size_t i = 0; i < s.len; i += n) {
		unsigned char c = (unsigned char)s.ptr[i];
		static const char plain[] = "\"\\\b\f\n\r\t", code[] = "\"\\bfnrt";
		const char *at = c ? strchr(plain, c) : NULL;
		n = c < 0x80 ? 1 : str_utf8_char(str_sub(s, i, 4), &cut);
		bool line = n == 3 && (str_eq(str_sub(s, i, 3), STR("\xe2\x80\xa8")) ||
					      str_eq(str_sub(s, i, 3), STR("\xe2\x80\xa9")));
		if (n > 0 && !at && !line && c >= 0x20 && c != '<' && c != '>' && c != '&')
			continue;
		(void)buf_add(out, str_sub(s, start, i - start));
		if (at)
			(void)buf_addf(out, "\\%c", code[at - plain]);
		else if (line)
			(void)buf_addf(out, "\\u202%x", (unsigned)s.ptr[i + 2] & 0xf);
		else if (n == 0)
			(void)buf_add(out, STR("\\ufffd"));
		else
			(void)buf_addf(out, "\\u%04x", c);
		n = n ? n : 1;
		start = i + n;
	}
	(void)buf_add(out, str_sub(s, start, SIZE_MAX));
	(void)buf_add(out, STR("\""));
}

static enum err json_val(struct gstate *s, const struct gval *v, struct buf *out, unsigned depth);

static bool is_empty(const struct gval *v)
{
	return v->kind == VAL_NIL || (v->kind == VAL_STRUCT ? v->type == GO_PROP_MAP && !v->j
							    : !gotmpl_truth(v));
}

static enum err json_struct(
	struct gstate *s, const struct gval *v, struct buf *out, unsigned depth)
{
	bool comma = false;
	(void)buf_add(out, STR("{"));
	for (const struct go_field *f = gotmpl_types[v->type].fields; f && f->name; f++) {
		struct gval one = gotmpl_val(f->type, json_object_get(v->j, f->key));
		/* An interface is empty when it holds nothing, whatever it holds. */
		if (f->omit_empty && (f->type == GO_ANY ? one.kind == VAL_NIL : is_empty(&one)))
			continue;
		(void)buf_addf(out, "%s\"%s\":", comma ? "," : "",
			       gotmpl_types[v->type].json_names ? f->key : f->name);
		comma = true;
		TRY(json_val(s, &one, out, depth + 1));
	}
	return buf_add(out, STR("}"));
}

static enum err json_pairs(
	struct gstate *s, const struct gval *v, struct buf *out, unsigned depth)
{
	struct gpair *pairs = NULL;
	size_t n;
	enum err e = OK;
	TRY(gotmpl_sorted(v, &pairs, &n));
	(void)buf_add(out, STR("{"));
	for (size_t i = 0; i < n && !e; i++) {
		struct gval one = gotmpl_val(gotmpl_types[v->type].elem, pairs[i].j);
		(void)buf_add(out, i ? STR(",") : STR(""));
		json_str(out, str_from(pairs[i].key));
		(void)buf_add(out, STR(":"));
		e = json_val(s, &one, out, depth + 1);
	}
	mem_free(pairs);
	return e ? e : buf_add(out, STR("}"));
}

/* An ordered map: as the client wrote it. */
static enum err json_ordered(
	struct gstate *s, const struct gval *v, struct buf *out, unsigned depth)
{
	const char *key;
	json_t *j;
	bool comma = false;
	(void)buf_add(out, STR("{"));
	json_object_foreach((json_t *)(uintptr_t)v->j, key, j)
	{
		struct gval one = gotmpl_val(gotmpl_types[v->type].elem, j);
		(void)buf_add(out, comma ? STR(",") : STR(""));
		comma = true;
		json_str(out, str_from(key));
		(void)buf_add(out, STR(":"));
		TRY(json_val(s, &one, out, depth + 1));
	}
	return buf_add(out, STR("}"));
}

static enum err json_list(struct gstate *s, const struct gval *v, struct buf *out, unsigned depth)
{
	bool single = v->type == GO_PROP_TYPE && v->n == 1;
	(void)buf_add(out, single ? STR("") : STR("["));
	for (size_t i = 0; i < v->n; i++) {
		struct gval one = gotmpl_at(v, i);
		(void)buf_add(out, i ? STR(",") : STR(""));
		TRY(json_val(s, &one, out, depth + 1));
	}
	return buf_add(out, single ? STR("") : STR("]"));
}

static enum err json_val(struct gstate *s, const struct gval *v, struct buf *out, unsigned depth)
{
	char text[64];
	if (depth > GOTMPL_VALUE_DEPTH)
		return ERR_LIMIT;
	TRY(gotmpl_spend(s, 1));
	TRY(out->err);
	switch (v->kind) {
	case VAL_BOOL:
		return buf_add(out, v->b ? STR("true") : STR("false"));
	case VAL_INT:
		return buf_addf(out, "%lld", (long long)v->i);
	case VAL_FLOAT:
		float_text(v->f, 6, 21, false, text);
		return buf_add(out, str_from(text));
	case VAL_STR:
		json_str(out, v->s);
		return out->err;
	case VAL_LIST:
		return v->j ? json_list(s, v, out, depth) : buf_add(out, STR("null"));
	case VAL_MAP:
		return v->j ? json_pairs(s, v, out, depth) : buf_add(out, STR("null"));
	case VAL_STRUCT:
		if (v->type == GO_PROP_MAP)
			return v->j ? json_ordered(s, v, out, depth) : buf_add(out, STR("null"));
		if (v->type != GO_IMAGE)
			return json_struct(s, v, out, depth);
		json_str(out, (struct str){ json_string_value(v->j), json_string_length(v->j) });
		return out->err;
	default:
		return buf_add(out, STR("null"));
	}
}

enum err gotmpl_json(struct gstate *s, const struct gval *v, struct buf *out)
{
	return json_val(s, v, out, 0);
}

/* ---- fmt ---- */

static size_t characters(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
	return n;
}

/* `text` in the verb's width; `zeros`: they stand behind a sign. */
static enum err padded(struct gsink *k, const struct fmt *f, struct str text, bool number,
		       bool is_data)
{
	size_t start = k->buf->len, n = characters(text);
	size_t fill = f->width > n ? f->width - n : 0;
	bool zeros = f->zero && !f->minus;
	if (zeros && number && text.len > 0 && fill > 0 &&
		(text.ptr[0] == '-' || text.ptr[0] == '+')) {
		(void)buf_add(k->buf, str_sub(text, 0, 1));
		text = str_sub(text, 1, SIZE_MAX);
	}
	for (size_t i = 0; i < fill && !f->minus; i++)
		(void)buf_add_byte(k->buf, zeros ? '0' : ' ');
	(void)buf_add(k->buf, text);
	for (size_t i = 0; i < fill && f->minus; i++)
		(void)buf_add_byte(k->buf, ' ');
	return gotmpl_note(k, start, is_data);
}

static enum err fmt_val(struct gstate *s, struct gsink *k, const struct fmt *f,
			const struct gval *v, unsigned depth);

/* Go's way to say that a verb does not fit: "%!d(string=hi)". */
static enum err bad_verb(struct gstate *s, struct gsink *k, const struct fmt *f,
			 const struct gval *v)
{
	struct fmt plain = *f;
	size_t start = k->buf->len;
	plain.verb = 'v';
	(void)buf_addf(k->buf, "%%!%c(", f->verb);
	if (v->kind > VAL_NIL)
		(void)buf_addf(k->buf, "%s=", gotmpl_type_name(v));
	else
		(void)buf_add(k->buf, STR("<nil>"));
	TRY(gotmpl_note(k, start, false));
	if (v->kind > VAL_NIL)
		TRY(fmt_val(s, k, &plain, v, 1));
	return gotmpl_add(k, STR(")"), false);
}

/* What strconv.IsPrint refuses, as far as blocks go: blanks and marks that are not seen,
 * surrogates, private use, non-characters. Code points not assigned yet count as printable. */
static bool hidden(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = { { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x61c, 0x61c }, { 0x1680, 0x1680 },
		{ 0x180e, 0x180e }, { 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f },
		{ 0x3000, 0x3000 }, { 0xd800, 0xf8ff }, { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb },
		{ 0xe0000, 0xe00ff }, { 0xf0000, 0x10ffff } };
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return c < 0x20 || (c & 0xfffe) == 0xfffe;
}

static uint32_t code_point(struct str s, size_t n)
{
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)s.ptr[0] & mask[n];
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s.ptr[i] & 0x3f);
	return c;
}

static void quote(struct buf *out, struct str s)
{
	static const char plain[] = "\"\\\a\b\f\n\r\t\v", code[] = "\"\\abfnrtv";
	bool cut;
	(void)buf_add(out, STR("\""));
	for (size_t i = 0, n; i < s.len; i += n) {
		unsigned char b = (unsigned char)s.ptr[i];
		const char *at = b ? strchr(plain, b) : NULL;
		n = str_utf8_char(str_sub(s, i, 4), &cut);
		uint32_t c = n ? code_point(str_sub(s, i, n), n) : 0;
		if (at)
			(void)buf_addf(out, "\\%c", code[at - plain]);
		else if (n == 0 || c < 0x20 || c == 0x7f)
			(void)buf_addf(out, "\\x%02x", b);
		else if (hidden(c))
			(void)buf_addf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
		else
			(void)buf_add(out, str_sub(s, i, n));
		n = n ? n : 1;
	}
	(void)buf_add(out, STR("\""));
}

static struct str first_chars(struct str s, size_t n)
{
	size_t i = 0;
	for (; i < s.len; i++)
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80 && n-- == 0)
			break;
	return str_sub(s, 0, i);
}

static enum err fmt_str(struct gstate *s, struct gsink *k, const struct fmt *f,
			const struct gval *v)
{
	struct str text = f->has_prec ? first_chars(v->s, f->prec) : v->s;
	AUTO_BUF struct buf made = BUF(GOTMPL_MEMORY);
	TRY(gotmpl_spend(s, text.len / GOTMPL_STEP_BYTES + v->n_pieces));
	switch (f->verb) {
	case 's':
	case 'v':
		if (!f->width && !f->has_prec)
			return gotmpl_add_val(k, v);
		return padded(k, f, text, false, v->is_data);
	case 'q':
		quote(&made, text);
		break;
	case 'x':
	case 'X':
		for (size_t i = 0; i < text.len; i++)
			(void)buf_addf(&made, f->verb == 'x' ? "%02x" : "%02X",
				       (unsigned char)text.ptr[i]);
		break;
	default:
		return bad_verb(s, k, f, v);
	}
	TRY(made.err);
	return padded(k, f, buf_str(&made), false, v->is_data);
}

static enum err fmt_int(struct gstate *s, struct gsink *k, const struct fmt *f,
			const struct gval *v)
{
	char text[40];
	const char *sign = v->i < 0 ? "-" : f->plus ? "+" : "";
	unsigned long long u = v->i < 0 ? 0 - (unsigned long long)v->i : (unsigned long long)v->i;
	if (f->has_prec)
		return gotmpl_unsupported(s, "a precision for whole numbers");
	switch (f->verb) {
	case 'v':
	case 'd':
		(void)snprintf(text, sizeof text, "%s%llu", sign, u);
		break;
	case 'x':
		(void)snprintf(text, sizeof text, "%s%llx", sign, u);
		break;
	case 'X':
		(void)snprintf(text, sizeof text, "%s%llX", sign, u);
		break;
	case 'o':
		(void)snprintf(text, sizeof text, "%s%llo", sign, u);
		break;
	case 'b':
	case 'c':
	case 'O':
	case 'q':
	case 'U':
		return gotmpl_unsupported(s, "this verb of printf");
	default:
		return bad_verb(s, k, f, v);
	}
	return padded(k, f, str_from(text), true, v->is_data);
}

static enum err fmt_float(struct gstate *s, struct gsink *k, const struct fmt *f,
			  const struct gval *v)
{
	char text[PREC_MAX + 400];
	int prec = f->has_prec ? (int)f->prec : 6;
	switch (f->verb) {
	case 'v':
	case 'g':
		if (f->has_prec)
			(void)snprintf(text + 1, sizeof text - 1, "%.*g", prec, v->f);
		else
			float_text(v->f, 4, 6, true, text + 1);
		break;
	case 'f':
	case 'F':
		(void)snprintf(text + 1, sizeof text - 1, "%.*f", prec, v->f);
		break;
	case 'e':
		(void)snprintf(text + 1, sizeof text - 1, "%.*e", prec, v->f);
		break;
	case 'b':
	case 'E':
	case 'G':
	case 'x':
	case 'X':
		return gotmpl_unsupported(s, "this verb of printf");
	default:
		return bad_verb(s, k, f, v);
	}
	text[0] = '+';
	return padded(k, f, str_from(f->plus && text[1] != '-' ? text : text + 1), true,
		      v->is_data);
}

static enum err fmt_json(struct gstate *s, struct gsink *k, const struct fmt *f,
			 const struct gval *v)
{
	struct gval text;
	AUTO_BUF struct buf made = BUF(GOTMPL_MEMORY);
	/* String() of these maps says {} for nil; json says null. */
	if (!v->j && (v->type == GO_ARGS || v->type == GO_PROPS))
		(void)buf_add(&made, STR("{}"));
	else
		TRY(gotmpl_json(s, v, &made));
	TRY(made.err);
	TRY(gotmpl_spend(s, made.len / GOTMPL_STEP_BYTES));
	text = gotmpl_str_val(buf_str(&made), v->is_data);
	return fmt_str(s, k, f, &text);
}

static enum err fmt_map(struct gstate *s, struct gsink *k, const struct fmt *f,
			const struct gval *v, unsigned depth)
{
	struct gpair *pairs = NULL;
	size_t n;
	TRY(gotmpl_sorted(v, &pairs, &n));
	enum err e = gotmpl_add(k, STR("map["), v->is_data);
	for (size_t i = 0; i < n && !e; i++) {
		struct gval key = gotmpl_str_val(str_from(pairs[i].key), v->is_data);
		struct gval one = gotmpl_val(gotmpl_types[v->type].elem, pairs[i].j);
		e = i ? gotmpl_add(k, STR(" "), v->is_data) : OK;
		e = e ? e : fmt_val(s, k, f, &key, depth + 1);
		e = e ? e : gotmpl_add(k, STR(":"), v->is_data);
		e = e ? e : fmt_val(s, k, f, &one, depth + 1);
	}
	mem_free(pairs);
	return e ? e : gotmpl_add(k, STR("]"), v->is_data);
}

static enum err fmt_list(struct gstate *s, struct gsink *k, const struct fmt *f,
			 const struct gval *v, unsigned depth)
{
	if (v->type == GO_PROP_TYPE && v->n < 2) { /* its String(): the type alone */
		struct gval one = v->n ? gotmpl_at(v, 0) : gotmpl_str_val(STR(""), true);
		return fmt_str(s, k, f, &one);
	}
	TRY(gotmpl_add(k, STR("["), v->is_data));
	for (size_t i = 0; i < v->n; i++) {
		struct gval one = gotmpl_at(v, i);
		TRY(i ? gotmpl_add(k, STR(" "), v->is_data) : OK);
		TRY(fmt_val(s, k, f, &one, depth + 1));
	}
	return gotmpl_add(k, STR("]"), v->is_data);
}

static enum err fmt_struct(struct gstate *s, struct gsink *k, const struct fmt *f,
			   const struct gval *v, unsigned depth)
{
	if (v->type == GO_PROP_MAP)
		return bad_verb(s, k, f, &(struct gval){ .kind = VAL_NIL });
	if (v->type == GO_IMAGE || (v->type == GO_MESSAGE && depth > 0))
		return gotmpl_wrong(s, "a value of type %s cannot be printed", gotmpl_type_name(v));
	TRY(gotmpl_add(k, STR("{"), v->is_data));
	for (const struct go_field *x = gotmpl_types[v->type].fields; x && x->name; x++) {
		struct gval one = gotmpl_val(x->type, json_object_get(v->j, x->key));
		TRY(x == gotmpl_types[v->type].fields ? OK : gotmpl_add(k, STR(" "), v->is_data));
		TRY(fmt_val(s, k, f, &one, depth + 1));
	}
	return gotmpl_add(k, STR("}"), v->is_data);
}

static enum err fmt_val(struct gstate *s, struct gsink *k, const struct fmt *f,
			const struct gval *v, unsigned depth)
{
	const struct go_type_info *g = &gotmpl_types[v->type];
	bool text = f->verb == 'v' || f->verb == 's' || f->verb == 'q' || f->verb == 'x' ||
		    f->verb == 'X';
	if (depth > GOTMPL_VALUE_DEPTH)
		return ERR_LIMIT;
	TRY(gotmpl_spend(s, 1));
	if (v->kind >= VAL_LIST && g->prints_json && text && (v->type != GO_PROP_MAP || v->j))
		return fmt_json(s, k, f, v);
	switch (v->kind) {
	case VAL_BOOL:
		if (f->verb != 'v' && f->verb != 't')
			return bad_verb(s, k, f, v);
		return padded(k, f, v->b ? STR("true") : STR("false"), false, v->is_data);
	case VAL_INT:
		return fmt_int(s, k, f, v);
	case VAL_FLOAT:
		return fmt_float(s, k, f, v);
	case VAL_STR:
		return fmt_str(s, k, f, v);
	case VAL_LIST:
		return fmt_list(s, k, f, v, depth);
	case VAL_MAP:
		return fmt_map(s, k, f, v, depth);
	case VAL_STRUCT:
		if (f->verb == 'v' && v->type == GO_PROP_MAP)
			return padded(k, f, STR("<nil>"), false, false);
		return fmt_struct(s, k, f, v, depth);
	default:
		return f->verb == 'v' ? padded(k, f, STR("<nil>"), false, false)
				      : bad_verb(s, k, f, v);
	}
}

enum err gotmpl_print_action(struct gstate *s, const struct gval *v)
{
	if (v->kind <= VAL_NIL)
		return gotmpl_add(&s->out, STR("<no value>"), false);
	return fmt_val(s, &s->out, &(struct fmt){ .verb = 'v' }, v, 0);
}

/* An argument of a print function; a message is a pointer there, which Go shows. */
static enum err fmt_arg(struct gstate *s, const struct fmt *f, const struct gval *v)
{
	if (v->kind == VAL_STRUCT && v->type == GO_MESSAGE)
		TRY(gotmpl_add(&s->tmp, STR("&"), true));
	return fmt_val(s, &s->tmp, f, v, 0);
}

enum err gotmpl_sprint(struct gstate *s, const struct gval *args, unsigned n, bool line)
{
	for (unsigned i = 0; i < n; i++) {
		if (i > 0 && (line || (args[i].kind != VAL_STR && args[i - 1].kind != VAL_STR)))
			TRY(gotmpl_add(&s->tmp, STR(" "), false));
		TRY(fmt_arg(s, &(struct fmt){ .verb = 'v' }, &args[i]));
	}
	return line ? gotmpl_add(&s->tmp, STR("\n"), false) : OK;
}

static unsigned decimal(struct str t, size_t *i)
{
	unsigned v = 0;
	while (*i < t.len && t.ptr[*i] >= '0' && t.ptr[*i] <= '9' && v < 100000)
		v = v * 10 + (unsigned)(t.ptr[(*i)++] - '0');
	return v;
}

/* Reads flags, width, precision and verb behind "%". A verb of 0: the format ends before it. */
static enum err directive(struct gstate *s, struct str t, size_t *i, struct fmt *f)
{
	*f = (struct fmt){ 0 };
	for (; *i < t.len; (*i)++) {
		if (t.ptr[*i] == '-')
			f->minus = true;
		else if (t.ptr[*i] == '0')
			f->zero = true;
		else if (t.ptr[*i] == '+')
			f->plus = true;
		else
			break;
	}
	f->width = decimal(t, i);
	if (*i + 1 < t.len && t.ptr[*i] == '.') {
		(*i)++;
		f->has_prec = true;
		f->prec = decimal(t, i);
	}
	if (f->width > WIDTH_MAX || f->prec > PREC_MAX)
		return gotmpl_unsupported(s, "a width or precision that large");
	if (*i >= t.len)
		return OK;
	f->verb = t.ptr[(*i)++];
	if (strchr("*[# ", f->verb) || (f->plus && strchr("vq", f->verb)) || f->verb == 'T' ||
		f->verb == 'p' || f->verb == 'w' || (unsigned char)f->verb >= 0x80)
		return gotmpl_unsupported(s, "this flag or verb of printf");
	return OK;
}

/* Arguments that no verb asked for. */
static enum err extra(struct gstate *s, const struct gval *args, unsigned n)
{
	TRY(gotmpl_add(&s->tmp, STR("%!(EXTRA "), false));
	for (unsigned i = 0; i < n; i++) {
		TRY(gotmpl_add(&s->tmp, i ? STR(", ") : STR(""), false));
		TRY(gotmpl_add(&s->tmp, str_from(gotmpl_type_name(&args[i])), false));
		if (args[i].kind <= VAL_NIL)
			continue;
		TRY(gotmpl_add(&s->tmp, STR("="), false));
		TRY(fmt_arg(s, &(struct fmt){ .verb = 'v' }, &args[i]));
	}
	return gotmpl_add(&s->tmp, STR(")"), false);
}

enum err gotmpl_sprintf(struct gstate *s, const struct gval *args, unsigned n)
{
	struct str t = args[0].s;
	unsigned used = 1;
	char missing[16];
	if (args[0].kind != VAL_STR)
		return gotmpl_wrong(s, "wrong type for a format; expected string; got %s",
				    gotmpl_type_name(&args[0]));
	for (size_t i = 0; i < t.len;) {
		struct fmt f;
		size_t mark = str_find_byte(t, '%', i);
		mark = mark == SIZE_MAX ? t.len : mark;
		TRY(gotmpl_add(&s->tmp, str_sub(t, i, mark - i), args[0].is_data));
		if (mark == t.len)
			break;
		i = mark + 1;
		TRY(directive(s, t, &i, &f));
		if (f.verb == 0) {
			TRY(gotmpl_add(&s->tmp, STR("%!(NOVERB)"), false));
		} else if (f.verb == '%') {
			TRY(gotmpl_add(&s->tmp, STR("%"), args[0].is_data));
		} else if (used == n) {
			(void)snprintf(missing, sizeof missing, "%%!%c(MISSING)", f.verb);
			TRY(gotmpl_add(&s->tmp, str_from(missing), false));
		} else {
			TRY(fmt_arg(s, &f, &args[used++]));
		}
	}
	return used < n ? extra(s, args + used, n - used) : OK;
}
