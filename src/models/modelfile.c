#include "models/modelfile.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/fault.h"

enum { ARENA_BYTES = 4 * LIMIT_MODELFILE, SHOWN = 60 };

struct modelfile {
	struct arena *mem;
	struct modelfile_cmd *cmds;
	size_t n, cap, bytes; /* `bytes`: of the texts */
};

static const char *const words[MODELFILE_KINDS] = {
	[MODELFILE_FROM] = "FROM",	   [MODELFILE_ADAPTER] = "ADAPTER",
	[MODELFILE_TEMPLATE] = "TEMPLATE", [MODELFILE_SYSTEM] = "SYSTEM",
	[MODELFILE_LICENSE] = "LICENSE",   [MODELFILE_PARAMETER] = "PARAMETER",
	[MODELFILE_MESSAGE] = "MESSAGE",   [MODELFILE_REQUIRES] = "REQUIRES",
	[MODELFILE_RENDERER] = "RENDERER", [MODELFILE_PARSER] = "PARSER",
};

/* Ollama's api.Options, and the list of deprecated ones in its parser. */
static const struct param {
	const char *name;
	enum modelfile_type type;
	bool deprecated;
} params[] = {
	{ "num_keep", MODELFILE_INT, false },
	{ "seed", MODELFILE_INT, false },
	{ "num_predict", MODELFILE_INT, false },
	{ "top_k", MODELFILE_INT, false },
	{ "top_p", MODELFILE_FLOAT, false },
	{ "min_p", MODELFILE_FLOAT, false },
	{ "typical_p", MODELFILE_FLOAT, false },
	{ "repeat_last_n", MODELFILE_INT, false },
	{ "temperature", MODELFILE_FLOAT, false },
	{ "repeat_penalty", MODELFILE_FLOAT, false },
	{ "presence_penalty", MODELFILE_FLOAT, false },
	{ "frequency_penalty", MODELFILE_FLOAT, false },
	{ "stop", MODELFILE_STRING, false },
	{ "num_ctx", MODELFILE_INT, false },
	{ "num_batch", MODELFILE_INT, false },
	{ "num_gpu", MODELFILE_INT, false },
	{ "main_gpu", MODELFILE_INT, false },
	{ "use_mmap", MODELFILE_BOOL, false },
	{ "num_thread", MODELFILE_INT, false },
	{ "penalize_newline", MODELFILE_STRING, true },
	{ "low_vram", MODELFILE_STRING, true },
	{ "f16_kv", MODELFILE_STRING, true },
	{ "logits_all", MODELFILE_STRING, true },
	{ "vocab_only", MODELFILE_STRING, true },
	{ "use_mlock", MODELFILE_STRING, true },
	{ "mirostat", MODELFILE_STRING, true },
	{ "mirostat_tau", MODELFILE_STRING, true },
	{ "mirostat_eta", MODELFILE_STRING, true },
};

/* As much of a text as a message shows: whole characters, no line breaks. */
static struct str shown(struct str s)
{
	size_t end = 0;
	while (end < s.len && end < SHOWN && (unsigned char)s.ptr[end] >= 0x20)
		end++;
	s.len = end;
	s.len = str_utf8_whole(s);
	return s;
}

/* ---- one instruction ---- */

/* Errors say what is wrong with c->name. */
static enum err check_name(struct modelfile_cmd *c, struct err_info *info)
{
	if (c->kind == MODELFILE_MESSAGE) {
		if (str_eq(c->name, STR("system")) || str_eq(c->name, STR("user")) ||
			str_eq(c->name, STR("assistant")))
			return OK;
		return err_set(info, ERR_INVALID,
			       "\"%.*s\" is no role: it must be system, user or assistant",
			       STR_ARG(shown(c->name)));
	}
	if (c->kind != MODELFILE_PARAMETER)
		return OK;
	for (size_t i = 0; i < sizeof params / sizeof *params; i++)
		if (str_eq(c->name, str_from(params[i].name))) {
			c->type = params[i].type;
			c->deprecated = params[i].deprecated;
			return OK;
		}
	return err_set(info, ERR_INVALID, "unknown parameter \"%.*s\"", STR_ARG(shown(c->name)));
}

/* As Go's ParseInt: a sign may stand before it. */
static bool read_int(struct str s, int64_t *ret)
{
	if (s.len > 1 && s.ptr[0] == '+' && s.ptr[1] != '-')
		s = str_sub(s, 1, SIZE_MAX);
	return str_to_i64(s, ret) == OK;
}

/* Decimal, finite, within what a float holds, which is what Ollama keeps it in. */
static bool read_float(struct str s, double *ret)
{
	char text[64], *end;
	bool digit = false;
	for (size_t i = 0; i < s.len; i++) {
		if (!strchr("0123456789+-.eE", s.ptr[i]))
			return false;
		digit |= s.ptr[i] >= '0' && s.ptr[i] <= '9';
	}
	if (!digit || str_copy(s, text, sizeof text))
		return false;
	*ret = strtod(text, &end);
	return *end == 0 && fabs(*ret) <= (double)FLT_MAX;
}

static bool read_bool(struct str s, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" },
				 *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (str_eq(s, str_from(yes[i])) || str_eq(s, str_from(no[i]))) {
			*ret = str_eq(s, str_from(yes[i]));
			return true;
		}
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One dot-separated part of a version; `number`: digits without a needless zero. */
static bool version_part(struct str p, bool number, bool zeros)
{
	bool digits = true;
	for (size_t i = 0; i < p.len; i++) {
		char c = p.ptr[i];
		digits &= is_digit(c);
		if (!is_digit(c) && c != '-' && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			return false;
	}
	if (p.len == 0 || (number && !digits))
		return false;
	return zeros || !digits || p.len == 1 || p.ptr[0] != '0';
}

static bool version_parts(struct str s, bool number, bool zeros, unsigned *ret_n)
{
	struct str part;
	if (s.len && s.ptr[s.len - 1] == '.')
		return false;
	for (*ret_n = 0; str_next(&s, '.', &part); ++*ret_n)
		if (!version_part(part, number, zeros))
			return false;
	return *ret_n > 0;
}

/* golang.org/x/mod/semver: MAJOR[.MINOR[.PATCH[-PRE][+BUILD]]]. */
static bool is_version(struct str s)
{
	unsigned n, more;
	size_t plus = str_find_byte(s, '+', 0);
	struct str build = STR_NONE, pre = STR_NONE;
	if (plus != SIZE_MAX) {
		build = str_sub(s, plus + 1, SIZE_MAX);
		s = str_sub(s, 0, plus);
	}
	size_t minus = str_find_byte(s, '-', 0);
	if (minus != SIZE_MAX) {
		pre = str_sub(s, minus + 1, SIZE_MAX);
		s = str_sub(s, 0, minus);
	}
	if (!version_parts(s, true, false, &n) || n > 3)
		return false;
	if (n < 3 && (plus != SIZE_MAX || minus != SIZE_MAX))
		return false;
	return (plus == SIZE_MAX || version_parts(build, false, true, &more)) &&
	       (minus == SIZE_MAX || version_parts(pre, false, false, &more));
}

/* Errors say what is wrong with c->value. */
static enum err check_parameter(struct modelfile_cmd *c, struct err_info *info)
{
	static const char *const kinds[] = {
		[MODELFILE_STRING] = "text",
		[MODELFILE_INT] = "a whole number",
		[MODELFILE_FLOAT] = "a number",
		[MODELFILE_BOOL] = "true or false",
	};
	bool ok = true;
	if (c->type == MODELFILE_INT)
		ok = read_int(c->value, &c->i);
	else if (c->type == MODELFILE_FLOAT)
		ok = read_float(c->value, &c->f);
	else if (c->type == MODELFILE_BOOL)
		ok = read_bool(c->value, &c->b);
	if (ok)
		return OK;
	return err_set(info, ERR_INVALID, "%.*s must be %s, not \"%.*s\"", STR_ARG(c->name),
		       kinds[c->type], STR_ARG(shown(c->value)));
}

static enum err check_value(struct modelfile_cmd *c, struct err_info *info)
{
	switch (c->kind) {
	case MODELFILE_PARAMETER:
		return check_parameter(c, info);
	case MODELFILE_REQUIRES:
		if (!is_version(str_sub(c->value, str_starts(c->value, STR("v")), SIZE_MAX)))
			return err_set(info, ERR_INVALID,
				       "\"%.*s\" is no version, as 0.14.0 is one",
				       STR_ARG(shown(c->value)));
		return OK;
	case MODELFILE_FROM:
	case MODELFILE_ADAPTER:
	case MODELFILE_RENDERER:
	case MODELFILE_PARSER:
		if (c->value.len == 0)
			return err_set(info, ERR_INVALID, "%s needs a value", words[c->kind]);
		return OK;
	default:
		return OK;
	}
}

static enum err copy(struct modelfile *m, struct str *s)
{
	char *p = arena_str(m->mem, *s);
	if (!p)
		return ERR_NOMEM;
	s->ptr = p;
	return OK;
}

/* Takes a checked instruction; copies its texts. */
static enum err append(struct modelfile *m, struct modelfile_cmd c, struct err_info *info)
{
	if (m->n == MODELFILE_COMMANDS_MAX)
		return err_set(info, ERR_LIMIT, "a Modelfile of more than %d instructions",
			       MODELFILE_COMMANDS_MAX);
	m->bytes += c.name.len + c.value.len;
	if (m->bytes > 2 * LIMIT_MODELFILE)
		return err_set(info, ERR_LIMIT, "a Modelfile of more than %d bytes",
			       2 * LIMIT_MODELFILE);
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 16;
		struct modelfile_cmd *list = mem_realloc(m->cmds, cap * sizeof *list);
		if (!list)
			return ERR_NOMEM;
		m->cmds = list;
		m->cap = cap;
	}
	TRY(copy(m, &c.name));
	TRY(copy(m, &c.value));
	m->cmds[m->n++] = c;
	return OK;
}

/* ---- the text ---- */

struct reader {
	struct str text;
	size_t pos;
	struct err_info *info;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_break(char c)
{
	return c == '\n' || c == '\r';
}

static char at(const struct reader *r, size_t pos)
{
	return pos < r->text.len ? r->text.ptr[pos] : 0;
}

[[gnu::format(printf, 4, 5)]]
static enum err fail(struct reader *r, size_t pos, enum err e, const char *fmt, ...)
{
	char what[300];
	unsigned line = 1, column = 1;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < pos && i < r->text.len; i++) {
		char c = r->text.ptr[i];
		if (c == '\n' || (c == '\r' && at(r, i + 1) != '\n')) {
			line++;
			column = 1;
		} else if (((unsigned char)c & 0xc0) != 0x80) {
			column++;
		}
	}
	return err_set(r->info, e, "Modelfile line %u, column %u: %s", line, column, what);
}

static unsigned line_of(const struct reader *r, size_t pos, size_t from, unsigned line)
{
	for (size_t i = from; i < pos; i++)
		line += at(r, i) == '\n' || (at(r, i) == '\r' && at(r, i + 1) != '\n');
	return line;
}

/* The value at r->pos, up to a line's end; quotes may reach over several lines and close only at
 * the end of one. False: they do not close. */
static bool scan_value(struct reader *r, struct str *ret)
{
	struct str quotes = STR_NONE;
	while (is_blank(at(r, r->pos)))
		r->pos++;
	size_t start = r->pos, solid = start; /* `solid`: behind the last that is no blank */
	if (str_starts(str_sub(r->text, start, SIZE_MAX), STR("\"\"\"")))
		quotes = STR("\"\"\"");
	else if (at(r, start) == '"')
		quotes = STR("\"");
	for (;; r->pos++) {
		bool end = r->pos >= r->text.len;
		char c = at(r, r->pos);
		if (end || is_break(c)) {
			struct str whole = str_sub(r->text, start, solid - start);
			if (whole.len >= 2 * quotes.len && str_ends(whole, quotes)) {
				*ret = str_sub(whole, quotes.len, whole.len - 2 * quotes.len);
				return true;
			}
			if (end)
				return false;
		} else if (!is_blank(c) && c != '\v' && c != '\f') {
			solid = r->pos + 1;
		}
	}
}

/* A word up to a blank or a line's end. */
static struct str scan_word(struct reader *r)
{
	size_t start = r->pos;
	while (r->pos < r->text.len && !is_blank(at(r, r->pos)) && !is_break(at(r, r->pos)))
		r->pos++;
	return str_sub(r->text, start, r->pos - start);
}

static enum err scan_kind(struct reader *r, enum modelfile_kind *ret)
{
	size_t start = r->pos;
	struct str word = scan_word(r);
	for (unsigned i = 0; i < MODELFILE_KINDS; i++)
		if (str_eq_nocase(word, str_from(words[i]))) {
			*ret = (enum modelfile_kind)i;
			if (is_blank(at(r, r->pos)))
				return OK;
			return fail(r, r->pos, ERR_INVALID, "%s needs a value", words[i]);
		}
	return fail(r, start, ERR_INVALID,
		    "unknown instruction \"%.*s\": it must be FROM, PARAMETER, TEMPLATE, SYSTEM, "
		    "ADAPTER, LICENSE, MESSAGE, RENDERER, PARSER or REQUIRES",
		    STR_ARG(shown(word)));
}

/* Behind PARAMETER and MESSAGE: a word of its own. */
static enum err scan_name(struct reader *r, struct modelfile_cmd *c)
{
	struct err_info why = { 0 };
	while (is_blank(at(r, r->pos)))
		r->pos++;
	size_t start = r->pos;
	c->name = scan_word(r);
	if (c->name.len == 0)
		return fail(r, start, ERR_INVALID, "%s needs a %s and a value", words[c->kind],
			    c->kind == MODELFILE_MESSAGE ? "role" : "name");
	if (check_name(c, &why))
		return fail(r, start, ERR_INVALID, "%s", why.detail);
	if (!is_blank(at(r, r->pos)))
		return fail(r, r->pos, ERR_INVALID, "%s %.*s needs a value", words[c->kind],
			    STR_ARG(c->name));
	return OK;
}

static enum err scan_command(struct reader *r, struct modelfile_cmd *c)
{
	struct err_info why = { 0 };
	TRY(scan_kind(r, &c->kind));
	if (c->kind == MODELFILE_PARAMETER || c->kind == MODELFILE_MESSAGE)
		TRY(scan_name(r, c));
	while (is_blank(at(r, r->pos)))
		r->pos++;
	size_t start = r->pos;
	if (!scan_value(r, &c->value))
		return fail(r, start, ERR_INVALID,
			    "the quotes that open here are not closed at the end of a line");
	if (check_value(c, &why))
		return fail(r, start, ERR_INVALID, "%s", why.detail);
	return OK;
}

static enum err scan_all(struct reader *r, struct modelfile *m)
{
	unsigned line = 1;
	size_t counted = 0;
	while (r->pos < r->text.len) {
		char c = at(r, r->pos);
		if (is_blank(c) || is_break(c)) {
			r->pos++;
		} else if (c == '#') {
			while (r->pos < r->text.len && !is_break(at(r, r->pos)))
				r->pos++;
		} else {
			struct modelfile_cmd cmd = { .name = STR_NONE };
			cmd.line = line = line_of(r, r->pos, counted, line);
			counted = r->pos;
			TRY(scan_command(r, &cmd));
			TRY(append(m, cmd, r->info));
		}
	}
	if (!modelfile_find(m, MODELFILE_FROM))
		return err_set(r->info, ERR_INVALID, "the Modelfile has no FROM line");
	return OK;
}

static size_t put_utf8(char *out, uint32_t c)
{
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	unsigned n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (unsigned k = n - 1; k > 0; k--, c >>= 6)
		out[k] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(lead[n - (n == 1)] | c);
	return n;
}

/* UTF-16 behind its mark; bad units become U+FFFD, as in Ollama. */
static enum err from_utf16(struct str s, bool big, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	char utf8[4];
	for (size_t i = 0; i + 1 < s.len; i += 2) {
		uint32_t c = big ? (uint32_t)p[i] << 8 | p[i + 1] : (uint32_t)p[i + 1] << 8 | p[i];
		if (c >= 0xd800 && c < 0xe000) {
			uint32_t low = i + 3 >= s.len ? 0
				       : big	      ? (uint32_t)p[i + 2] << 8 | p[i + 3]
						      : (uint32_t)p[i + 3] << 8 | p[i + 2];
			bool pair = c < 0xdc00 && low >= 0xdc00 && low < 0xe000;
			c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
			i += pair ? 2 : 0;
		}
		TRY(buf_add(out, (struct str){ utf8, put_utf8(utf8, c) }));
	}
	return s.len % 2 ? buf_add(out, STR("\xef\xbf\xbd")) : OK;
}

/* The first byte that is no UTF-8, or a zero byte; SIZE_MAX: there is none. */
static size_t first_bad(struct str s, bool *ret_zero)
{
	bool cut;
	for (size_t i = 0, n; i < s.len; i += n) {
		*ret_zero = s.ptr[i] == 0;
		n = (unsigned char)s.ptr[i] < 0x80 ? 1 : str_utf8_char(str_sub(s, i, 4), &cut);
		if (n == 0 || *ret_zero)
			return i;
	}
	return SIZE_MAX;
}

static enum err read_text(struct str text, struct modelfile *m, struct err_info *info)
{
	AUTO_BUF struct buf decoded = BUF(2 * LIMIT_MODELFILE);
	bool zero = false;
	if (str_starts(text, STR("\xef\xbb\xbf"))) {
		text = str_sub(text, 3, SIZE_MAX);
	} else if (str_starts(text, STR("\xff\xfe")) || str_starts(text, STR("\xfe\xff"))) {
		TRY(from_utf16(str_sub(text, 2, SIZE_MAX), text.ptr[0] == '\xfe', &decoded));
		text = buf_str(&decoded);
	}
	struct reader r = { .text = text, .info = info };
	size_t bad = first_bad(text, &zero);
	if (bad != SIZE_MAX)
		return fail(&r, bad, ERR_INVALID, zero ? "a zero byte" : "not valid UTF-8");
	return scan_all(&r, m);
}

/* ---- the interface ---- */

enum err modelfile_new(struct modelfile **ret)
{
	AUTO(modelfile) struct modelfile *m = mem_zalloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	TRY(arena_new(ARENA_BYTES, &m->mem));
	*ret = TAKE(m);
	return OK;
}

struct modelfile *modelfile_free(struct modelfile *m)
{
	if (!m)
		return NULL;
	mem_free(m->cmds);
	(void)arena_free(m->mem);
	mem_free(m);
	return NULL;
}

enum err modelfile_parse(struct str text, struct modelfile **ret, struct err_info *info)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	if (text.len > LIMIT_MODELFILE)
		return err_set(info, ERR_LIMIT, "a Modelfile of %zu bytes, at most %d are taken",
			       text.len, LIMIT_MODELFILE);
	TRY(modelfile_new(&m));
	TRY(read_text(text, m, info));
	*ret = TAKE(m);
	return OK;
}

enum err modelfile_add(struct modelfile *m, enum modelfile_kind kind, struct str name,
		       struct str value, struct err_info *info)
{
	struct modelfile_cmd c = { .kind = kind, .name = name, .value = value };
	bool zero;
	if (name.len + value.len > LIMIT_MODELFILE)
		return err_set(info, ERR_LIMIT, "a text of %zu bytes for a Modelfile", value.len);
	if (first_bad(value, &zero) != SIZE_MAX)
		return err_set(info, ERR_INVALID, "%s: not valid UTF-8 text", words[kind]);
	TRY(check_name(&c, info));
	TRY(check_value(&c, info));
	return append(m, c, info);
}

size_t modelfile_count(const struct modelfile *m)
{
	return m->n;
}

const struct modelfile_cmd *modelfile_get(const struct modelfile *m, size_t i)
{
	return i < m->n ? &m->cmds[i] : NULL;
}

const struct modelfile_cmd *modelfile_find(const struct modelfile *m, enum modelfile_kind kind)
{
	for (size_t i = m->n; i > 0; i--)
		if (m->cmds[i - 1].kind == kind)
			return &m->cmds[i - 1];
	return NULL;
}

bool modelfile_param(struct str name, enum modelfile_type *ret)
{
	struct modelfile_cmd c = { .kind = MODELFILE_PARAMETER, .name = name };
	if (check_name(&c, NULL) || c.deprecated)
		return false;
	*ret = c.type;
	return true;
}

static json_t *param_value(const struct modelfile_cmd *c)
{
	switch (c->type) {
	case MODELFILE_INT:
		return json_integer(c->i);
	case MODELFILE_FLOAT:
		return json_real(c->f);
	case MODELFILE_BOOL:
		return json_boolean(c->b);
	default:
		return json_stringn_nocheck(c->value.ptr, c->value.len);
	}
}

enum err modelfile_params(const struct modelfile *m, json_t **ret)
{
	AUTO_JSON json_t *all = json_object();
	if (!all)
		return ERR_NOMEM;
	for (size_t i = 0; i < m->n; i++) {
		const struct modelfile_cmd *c = &m->cmds[i];
		char name[32];
		if (c->kind != MODELFILE_PARAMETER || c->deprecated)
			continue;
		TRY(str_copy(c->name, name, sizeof name));
		json_t *list = json_object_get(all, name);
		if (c->type == MODELFILE_STRING && !list) {
			list = json_array();
			if (!list || json_object_set_new(all, name, list))
				return ERR_NOMEM;
		}
		json_t *v = param_value(c);
		if (!v || (c->type == MODELFILE_STRING ? json_array_append_new(list, v)
						       : json_object_set_new(all, name, v)))
			return ERR_NOMEM;
	}
	*ret = TAKE(all);
	return OK;
}

/* ---- printing ---- */

/* Does the reader take `written`, to the end, for `value`? */
static bool reads_back(struct str written, struct str value)
{
	struct reader r = { .text = written };
	struct str got;
	return scan_value(&r, &got) && r.pos == written.len && str_eq(got, value);
}

static enum err print_value(const struct modelfile_cmd *c, struct buf *out, struct err_info *info)
{
	bool quotes = str_find_byte(c->value, '"', 0) != SIZE_MAX;
	bool needs = c->kind != MODELFILE_FROM &&
		     (str_find_byte(c->value, '\n', 0) != SIZE_MAX ||
			     str_starts(c->value, STR(" ")) || str_ends(c->value, STR(" ")));
	/* What Ollama would take, then the others. */
	const char *const forms[] = { !needs ? "" : quotes ? "\"\"\"" : "\"", "", "\"",
		"\"\"\"" };
	AUTO_BUF struct buf b = BUF(2 * LIMIT_MODELFILE + 8);
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		buf_clear(&b);
		(void)buf_add(&b, str_from(forms[i]));
		(void)buf_add(&b, c->value);
		TRY(buf_add(&b, str_from(forms[i])));
		if (reads_back(buf_str(&b), c->value))
			return buf_add(out, buf_str(&b));
	}
	return err_set(info, ERR_INVALID,
		       "the text of %s has quotes at the end of a line that no quotes can hold",
		       words[c->kind]);
}

enum err modelfile_print(const struct modelfile *m, struct buf *out, struct err_info *info)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct modelfile_cmd *c = &m->cmds[i];
		TRY(buf_addf(out, "%s ", words[c->kind]));
		if (c->name.len)
			TRY(buf_addf(out, "%.*s ", STR_ARG(c->name)));
		TRY(print_value(c, out, info));
		TRY(buf_add(out, STR("\n")));
	}
	return OK;
}

enum err modelfile_show(const struct modelfile *m, struct str short_name, struct buf *out,
			struct err_info *info)
{
	TRY(buf_addf(out, "# Modelfile generated by \"ollama show\"\n"
			  "# To build a new Modelfile based on this, replace FROM with:\n"
			  "# FROM %.*s\n\n", STR_ARG(short_name)));
	return modelfile_print(m, out, info);
}
