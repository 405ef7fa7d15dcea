/* The words of a template. As Go's text/template/parse/lex.go reads them. */
#include "gotmpl/gotmpl_int.h"

#include <stdarg.h>
#include <stdio.h>

static const struct str left = { "{{", 2 }, right = { "}}", 2 };

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char at(const struct lexer *l, size_t pos)
{
	return pos < l->text.len ? l->text.ptr[pos] : 0;
}

static bool starts(const struct lexer *l, size_t pos, struct str what)
{
	return str_starts(str_sub(l->text, pos, SIZE_MAX), what);
}

static struct tok token(struct lexer *l, enum tok_kind kind, size_t start)
{
	return (struct tok){ kind, start, str_sub(l->text, start, l->pos - start) };
}

static struct tok error(struct lexer *l, size_t start, const char *why)
{
	l->why = why;
	return (struct tok){ TOK_ERROR, start, STR_NONE };
}

/* At "}}", or at " -}}" (*trim)? */
static bool at_right(const struct lexer *l, bool *trim)
{
	*trim = is_space(at(l, l->pos)) && at(l, l->pos + 1) == '-' &&
		starts(l, l->pos + 2, right);
	return *trim || starts(l, l->pos, right);
}

static void skip_right(struct lexer *l, bool trim)
{
	l->pos += right.len + (trim ? 2 : 0);
	while (trim && is_space(at(l, l->pos)))
		l->pos++;
}

static struct tok right_delim(struct lexer *l)
{
	bool trim;
	size_t start = l->pos;
	(void)at_right(l, &trim);
	skip_right(l, trim);
	l->inside = false;
	return (struct tok){ TOK_RIGHT, start, right };
}

/* False: an error, in *ret. A comment ends where its action ends. */
static bool comment(struct lexer *l, size_t start, struct tok *ret)
{
	bool trim;
	size_t end = str_find(l->text, STR("*/"), l->pos + 2);
	if (end == SIZE_MAX) {
		*ret = error(l, start, "unclosed comment");
		return false;
	}
	l->pos = end + 2;
	if (!at_right(l, &trim)) {
		*ret = error(l, l->pos, "comment ends before closing delimiter");
		return false;
	}
	skip_right(l, trim);
	return true;
}

static bool left_trims(const struct lexer *l, size_t delim)
{
	return at(l, delim + 2) == '-' && is_space(at(l, delim + 3));
}

static struct tok text(struct lexer *l)
{
	struct tok t;
	for (;;) {
		size_t start = l->pos, x = str_find(l->text, left, start);
		if (x == SIZE_MAX) {
			l->pos = l->text.len;
			return token(l, l->pos > start ? TOK_TEXT : TOK_EOF, start);
		}
		bool trim = left_trims(l, x);
		size_t end = x;
		while (trim && end > start && is_space(l->text.ptr[end - 1]))
			end--;
		l->pos = x;
		if (end > start) {
			t.val = str_sub(l->text, start, end - start);
			return (struct tok){ TOK_TEXT, start, t.val };
		}
		l->pos += left.len + (trim ? 2 : 0);
		if (!starts(l, l->pos, STR("/*"))) {
			l->inside = true;
			l->parens = 0;
			return (struct tok){ TOK_LEFT, x, left };
		}
		if (!comment(l, x, &t))
			return t;
	}
}

/* May a name end here? ".X.Y" is two fields; "$x+2" is none. */
static bool at_end_of_word(const struct lexer *l)
{
	char c = at(l, l->pos);
	return l->pos >= l->text.len || is_space(c) || (c && strchr(".,|:()", c)) ||
	       starts(l, l->pos, right);
}

static struct tok space(struct lexer *l)
{
	size_t start = l->pos;
	bool trim;
	while (is_space(at(l, l->pos)))
		l->pos++;
	l->pos--; /* the last one may belong to " -}}" */
	(void)at_right(l, &trim);
	if (!trim)
		l->pos++;
	else if (l->pos == start)
		return right_delim(l);
	return token(l, TOK_SPACE, start);
}

static struct tok field_or_var(struct lexer *l, enum tok_kind kind, enum tok_kind alone)
{
	size_t start = l->pos++;
	if (at_end_of_word(l))
		return token(l, alone, start);
	while (is_word(at(l, l->pos)))
		l->pos++;
	if (!at_end_of_word(l))
		return error(l, l->pos, "bad character in a name");
	return token(l, kind, start);
}

static struct tok word(struct lexer *l)
{
	static const struct {
		struct str word;
		enum tok_kind kind;
	} keys[] = {
		{ { "block", 5 }, TOK_BLOCK },
		{ { "break", 5 }, TOK_BREAK },
		{ { "continue", 8 }, TOK_CONTINUE },
		{ { "define", 6 }, TOK_DEFINE },
		{ { "else", 4 }, TOK_ELSE },
		{ { "end", 3 }, TOK_END },
		{ { "if", 2 }, TOK_IF },
		{ { "nil", 3 }, TOK_NIL },
		{ { "range", 5 }, TOK_RANGE },
		{ { "template", 8 }, TOK_TEMPLATE },
		{ { "with", 4 }, TOK_WITH },
		{ { "true", 4 }, TOK_BOOL },
		{ { "false", 5 }, TOK_BOOL },
	};
	size_t start = l->pos;
	while (is_word(at(l, l->pos)))
		l->pos++;
	if (!at_end_of_word(l))
		return error(l, l->pos, "bad character in a name");
	struct tok t = token(l, TOK_NAME, start);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (str_eq(t.val, keys[i].word))
			t.kind = keys[i].kind;
	return t;
}

static bool accept(struct lexer *l, const char *set)
{
	char c = at(l, l->pos);
	if (!c || !strchr(set, c))
		return false;
	l->pos++;
	return true;
}

/* Takes more than is a number; the parser looks closely. */
static struct tok number(struct lexer *l)
{
	const char *digits = "0123456789_";
	size_t start = l->pos;
	(void)accept(l, "+-");
	if (accept(l, "0")) {
		if (accept(l, "xX"))
			digits = "0123456789abcdefABCDEF_";
		else if (accept(l, "oO"))
			digits = "01234567_";
		else if (accept(l, "bB"))
			digits = "01_";
	}
	while (accept(l, digits))
		;
	if (accept(l, "."))
		while (accept(l, digits))
			;
	if (strlen(digits) == 11 && accept(l, "eE")) {
		(void)accept(l, "+-");
		while (accept(l, digits))
			;
	}
	if (is_word(at(l, l->pos)) || at(l, l->pos) == '+' || at(l, l->pos) == '-')
		return error(l, start, "bad number");
	return token(l, TOK_NUMBER, start);
}

static struct tok quoted(struct lexer *l, char quote, enum tok_kind kind, const char *why)
{
	size_t start = l->pos++;
	for (; l->pos < l->text.len && at(l, l->pos) != quote; l->pos++) {
		if (quote == '`')
			continue;
		if (at(l, l->pos) == '\\')
			l->pos++;
		if (l->pos >= l->text.len || at(l, l->pos) == '\n')
			return error(l, start, why);
	}
	if (l->pos >= l->text.len)
		return error(l, start, why);
	l->pos++;
	return token(l, kind, start);
}

static struct tok one(struct lexer *l, enum tok_kind kind)
{
	l->pos++;
	return token(l, kind, l->pos - 1);
}

static struct tok punctuation(struct lexer *l, char c)
{
	size_t start = l->pos;
	switch (c) {
	case '=':
		return one(l, TOK_ASSIGN);
	case '|':
		return one(l, TOK_PIPE);
	case '(':
		l->parens++;
		return one(l, TOK_LPAREN);
	case ')':
		if (l->parens == 0)
			return error(l, start, "unexpected right paren");
		l->parens--;
		return one(l, TOK_RPAREN);
	case ':':
		if (at(l, start + 1) != '=')
			return error(l, start, "expected :=");
		l->pos += 2;
		return token(l, TOK_DECLARE, start);
	default:
		break;
	}
	if (c <= ' ' || c > '~')
		return error(l, start, "unrecognized character in an action");
	return one(l, TOK_CHAR);
}

static struct tok inside(struct lexer *l)
{
	bool trim;
	char c = at(l, l->pos);
	if (at_right(l, &trim))
		return l->parens ? error(l, l->pos, "unclosed left paren") : right_delim(l);
	if (l->pos >= l->text.len)
		return error(l, l->pos, "unclosed action");
	if (is_space(c))
		return space(l);
	if (c == '"')
		return quoted(l, '"', TOK_STRING, "unterminated quoted string");
	if (c == '`')
		return quoted(l, '`', TOK_RAW, "unterminated raw quoted string");
	if (c == '\'')
		return quoted(l, '\'', TOK_RUNE, "unterminated character constant");
	if (c == '$')
		return field_or_var(l, TOK_VAR, TOK_VAR);
	if (c == '.' && !is_digit(at(l, l->pos + 1)))
		return field_or_var(l, TOK_FIELD, TOK_DOT);
	if (c == '.' || c == '+' || c == '-' || is_digit(c))
		return number(l);
	return is_word(c) ? word(l) : punctuation(l, c);
}

struct tok gotmpl_next_tok(struct lexer *l)
{
	return l->inside ? inside(l) : text(l);
}

enum err gotmpl_fail(struct str text_, size_t pos, struct err_info *info, enum err e,
		     const char *fmt, ...)
{
	char what[300];
	unsigned line = 1, column = 1;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < pos && i < text_.len; i++) {
		if (text_.ptr[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text_.ptr[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	return err_set(info, e, "template line %u, column %u: %s", line, column, what);
}
