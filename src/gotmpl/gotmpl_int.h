/* gotmpl/gotmpl_int.h - inside gotmpl: tokens, tree, values. Nobody else includes it. */
#pragma once

#include "base/arena.h"
#include "gotmpl/gotmpl.h"

/* ---- tokens ---- */

enum tok_kind {
	TOK_ERROR, /* lexer.why says what */
	TOK_BOOL,
	TOK_CHAR,  /* a printable ASCII character that is nothing else */
	TOK_RUNE,  /* 'x' */
	TOK_ASSIGN,
	TOK_DECLARE,
	TOK_EOF,
	TOK_FIELD, /* .Name */
	TOK_NAME,
	TOK_LEFT,
	TOK_LPAREN,
	TOK_NUMBER,
	TOK_PIPE,
	TOK_RAW,
	TOK_RIGHT,
	TOK_RPAREN,
	TOK_SPACE,
	TOK_STRING,
	TOK_TEXT,
	TOK_VAR,
	TOK_DOT, /* and the keywords, which begin here */
	TOK_BLOCK,
	TOK_BREAK,
	TOK_CONTINUE,
	TOK_DEFINE,
	TOK_ELSE,
	TOK_END,
	TOK_IF,
	TOK_NIL,
	TOK_RANGE,
	TOK_TEMPLATE,
	TOK_WITH,
};
struct tok {
	enum tok_kind kind;
	size_t pos;
	struct str val;
};
struct lexer {
	struct str text;
	size_t pos;
	bool inside;	  /* between {{ and }} */
	unsigned parens;
	const char *why; /* of TOK_ERROR; static */
};
struct tok gotmpl_next_tok(struct lexer *l);

/* ---- the tree; all of it lies in the template's arena ---- */

enum arg_kind {
	ARG_BOOL,
	ARG_DOT,
	ARG_NIL,
	ARG_NUMBER,
	ARG_STRING,
	ARG_FIELD, /* .A.B */
	ARG_VAR,   /* $x.A: names[0] is "$x" */
	ARG_FUNC,
	ARG_PIPE,  /* (...) */
	ARG_CHAIN, /* base.A.B */
};
enum gotmpl_func {
	FUNC_AND,
	FUNC_OR,
	FUNC_NOT,
	FUNC_EQ,
	FUNC_NE,
	FUNC_LT,
	FUNC_LE,
	FUNC_GT,
	FUNC_GE,
	FUNC_LEN,
	FUNC_INDEX,
	FUNC_SLICE,
	FUNC_PRINT,
	FUNC_PRINTF,
	FUNC_PRINTLN,
	FUNC_JSON, /* from here on: Ollama's, unknown to a template that was cut */
	FUNC_TODAY,
	FUNC_YESTERDAY,
	FUNC_TYPESCRIPT,
	FUNC_COUNT,
};
struct garg {
	enum arg_kind kind;
	size_t pos;
	struct garg *next;
	struct str *names; /* FIELD, VAR, CHAIN */
	unsigned n_names;
	bool is_true, is_float, overflows;
	int64_t i;
	double f;
	struct str text;
	enum gotmpl_func func;
	struct gpipe *pipe;
	struct garg *base;
};
struct gcmd {
	size_t pos;
	struct garg *args;
	unsigned n, n_cut; /* arguments; how many are left when the template is cut */
	struct gcmd *next;
};
struct gpipe {
	size_t pos;
	bool assign; /* = and not := */
	unsigned n_decl;
	struct str decl[2];
	struct gcmd *cmds;
};
enum node_kind {
	NODE_TEXT,
	NODE_ACTION,
	NODE_IF,
	NODE_RANGE,
	NODE_WITH,
	NODE_TEMPLATE,
	NODE_BREAK,
	NODE_CONTINUE,
};
struct glist {
	struct gnode *first, *last;
};
struct gnode {
	enum node_kind kind;
	bool cut; /* not there when the template is cut behind .Response */
	size_t pos;
	struct str text; /* TEXT; the name in TEMPLATE */
	struct gpipe *pipe;
	struct glist *body, *other;
	const struct gdef *def; /* TEMPLATE: NULL when nothing of this name is defined */
	struct gnode *next;
};
struct gdef { /* a named template */
	struct str name;
	struct glist *root;
	struct gdef *next;
};
struct gname {
	struct str name; /* lower case */
	struct gname *next;
};
struct gotmpl {
	struct arena *mem;
	struct str text;
	struct gdef *defs;
	struct glist *root; /* of the template without a name */
	struct gname *uses;
	unsigned n_uses;
};
/* A constant's value, a string's without its quotes. Errors: ERR_INVALID, ERR_NOMEM. */
enum err gotmpl_unquote(struct gotmpl *g, struct tok t, struct str *ret, struct err_info *info);
enum err gotmpl_rune(struct gotmpl *g, struct tok t, struct garg *a, struct err_info *info);
enum err gotmpl_number(struct gotmpl *g, struct tok t, struct garg *a, struct err_info *info);
/* What Ollama does with a parsed template: gathers names, appends {{ .Response }} where nothing
 * asks for an answer, marks what is cut. Also finds what {{template}} names. Errors: ERR_INVALID,
 * ERR_LIMIT, ERR_NOMEM. */
enum err gotmpl_prepare(struct gotmpl *t, struct err_info *info);

/* "template line 3, column 7: ..."; returns `e`. */
[[gnu::format(printf, 5, 6)]]
enum err gotmpl_fail(struct str text, size_t pos, struct err_info *info, enum err e,
		     const char *fmt, ...);

/* ---- values: what Go's reflect would see ---- */

enum val_kind {
	VAL_NONE, /* Go's invalid value; prints "<no value>" */
	VAL_NIL,  /* an interface that holds nothing */
	VAL_BOOL,
	VAL_INT,
	VAL_FLOAT,
	VAL_STR,
	VAL_LIST,
	VAL_MAP,
	VAL_STRUCT,
};
enum go_type { /* of what Ollama passes to its templates */
	GO_ANY,	   /* as the JSON value is */
	GO_STRING,
	GO_BOOL,
	GO_INT,
	GO_LIST, /* []any */
	GO_MAP,	 /* map[string]any */
	GO_ROOT, /* the same; Messages and Tools have their types */
	GO_STRINGS,
	GO_MESSAGES,
	GO_MESSAGE,
	GO_IMAGES,
	GO_IMAGE,
	GO_CALLS,
	GO_CALL,
	GO_CALL_FUNC,
	GO_ARGS,
	GO_TOOLS,
	GO_TOOL,
	GO_FUNC,
	GO_PARAMS,
	GO_PROPS,
	GO_PROP,
	GO_PROP_LIST,
	GO_PROP_TYPE, /* a string or a list of strings */
	GO_PROP_MAP,  /* a pointer to an ordered map */
	GO_COUNT,
};
struct go_field {
	const char *name; /* in templates */
	const char *key;  /* in the API's JSON */
	enum go_type type;
	bool omit_empty;  /* in JSON */
};
struct go_type_info {
	const char *name; /* as Go prints it */
	enum val_kind kind;
	enum go_type elem; /* LIST, MAP */
	bool prints_json;
	bool json_names; /* JSON of it has the keys of the API, not the names of the fields */
	const struct go_field *fields; /* ends with a name of NULL */
};
extern const struct go_type_info gotmpl_types[GO_COUNT];

struct gval {
	enum val_kind kind;
	enum go_type type;
	bool is_data; /* STR: all of it or, with pieces, some of it */
	union { /* the largest first: that is the one which an initializer zeroes */
		struct {
			struct str s;
			const struct gotmpl_span *pieces; /* NULL: of one origin */
			size_t n_pieces;
		};
		bool b;
		int64_t i;
		double f;
		struct {
			const json_t *j; /* NULL: nil, or a structure of zeros */
			size_t off, n;	 /* LIST */
		};
	};
};
struct gval gotmpl_val(enum go_type type, const json_t *j); /* NULL and null: the zero value */
struct gval gotmpl_str_val(struct str s, bool is_data);
bool gotmpl_truth(const struct gval *v);
size_t gotmpl_len(const struct gval *v); /* LIST, MAP, STR; else 0 */
struct gval gotmpl_at(const struct gval *list, size_t i);
/* The value of a key in a MAP; false: there is none, *ret is the element's zero value. */
bool gotmpl_lookup(const struct gval *map, struct str key, struct gval *ret);
const struct go_field *gotmpl_find_field(enum go_type type, struct str name);
const char *gotmpl_type_name(const struct gval *v);

struct gpair {
	const char *key;
	const json_t *j;
};
/* The members of a MAP by key; caller mem_frees *ret. Errors: ERR_NOMEM. */
enum err gotmpl_sorted(const struct gval *map, struct gpair **ret, size_t *ret_n);
/* Is `j` of this type? `path` begins the message. Errors: ERR_INVALID, ERR_LIMIT. */
enum err gotmpl_check_type(enum go_type type, const json_t *j, const char *path, unsigned depth,
			   struct err_info *info);

/* ---- one rendering ---- */

enum {
	GOTMPL_STACK = 1024,	  /* arguments being evaluated */
	GOTMPL_VARS = 1024,	  /* variables alive */
	GOTMPL_VALUE_DEPTH = 100, /* of printed values; JSON's own limit is 64 */
};
struct gsink { /* where text goes, with its origin */
	struct buf *buf;
	struct gotmpl_spans *spans; /* may be NULL */
};
struct gvar {
	struct str name;
	struct gval val;
};
enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
struct gstate {
	const struct gotmpl *t;
	struct gotmpl_date today;
	struct err_info *info;
	bool bare; /* cut behind .Response: no functions of Ollama's, no named templates */
	struct arena *mem;
	struct gsink out, tmp;
	struct buf tmp_buf;
	struct gotmpl_spans tmp_spans;
	struct gvar *vars;
	unsigned n_vars, base; /* `base`: where this template's own variables begin */
	struct gval *stack;
	unsigned n_stack;
	unsigned depth;
	uint64_t steps, made; /* `made`: bytes of the strings in `mem` */
	size_t at; /* position of what runs, for messages */
	enum flow flow;
};
struct gmark { /* where a rendering began */
	size_t len, count;
	struct gotmpl_span last;
};
struct gmark gotmpl_mark(const struct buf *out, const struct gotmpl_spans *spans);
void gotmpl_rewind(struct buf *out, struct gotmpl_spans *spans, const struct gmark *m);
enum err gotmpl_state_init(struct gstate *s, const struct gotmpl *t, struct gotmpl_date today,
			   struct buf *out, struct gotmpl_spans *spans, struct err_info *info);
void gotmpl_state_done(struct gstate *s);
enum err gotmpl_execute(struct gstate *s, const struct gval *root, bool bare);
[[gnu::format(printf, 2, 3)]]
enum err gotmpl_wrong(struct gstate *s, const char *fmt, ...); /* ERR_INVALID at s->at */
enum err gotmpl_unsupported(struct gstate *s, const char *what);
enum err gotmpl_spend(struct gstate *s, uint64_t steps); /* ERR_LIMIT: too many */
enum { GOTMPL_STEP_BYTES = 64 }; /* of text that a step may look at */

enum err gotmpl_add(struct gsink *k, struct str s, bool is_data);
/* Says of the bytes from `start` on, which are in the buf already, where they come from. */
enum err gotmpl_note(struct gsink *k, size_t start, bool is_data);
enum err gotmpl_add_val(struct gsink *k, const struct gval *str_val);
/* What was put into s->tmp since it was emptied, as a string of the rendering. */
enum err gotmpl_take_tmp(struct gstate *s, struct gval *ret);
void gotmpl_clear_tmp(struct gstate *s);

/* {{ value }}. */
enum err gotmpl_print_action(struct gstate *s, const struct gval *v);
/* fmt.Sprint, Sprintln and Sprintf into s->tmp. */
enum err gotmpl_sprint(struct gstate *s, const struct gval *args, unsigned n, bool line);
enum err gotmpl_sprintf(struct gstate *s, const struct gval *args, unsigned n);
/* encoding/json's Marshal. Errors: of the buf; ERR_LIMIT (too deep). */
enum err gotmpl_json(struct gstate *s, const struct gval *v, struct buf *out);
/* The shortest digits that read back as |v|, without point; v is finite. *ret_point: how many of
 * them stand before the point. */
void gotmpl_digits(double v, char digits[24], unsigned *ret_n, int *ret_point);

/* A function with its arguments, except and and or. */
enum err gotmpl_call(struct gstate *s, enum gotmpl_func f, const struct gval *args, unsigned n,
		     struct gval *ret);
/* A method of Ollama's types that takes nothing: String, ToTypeScriptType. False: no such. */
bool gotmpl_has_method(const struct gval *v, struct str name);
enum err gotmpl_method(struct gstate *s, const struct gval *v, struct str name, struct gval *ret);
extern const char *const gotmpl_func_names[FUNC_COUNT];
