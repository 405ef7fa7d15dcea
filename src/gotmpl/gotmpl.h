/* gotmpl/gotmpl.h - chat templates as Ollama's models carry them: Go's text/template, in C.
 *
 * The language is text/template without complex numbers, letters outside ASCII in names, and the
 * functions call, html, js and urlquery; the functions json, currentDate, yesterdayDate and
 * toTypeScriptType are Ollama's. What a template prints is byte for byte what Ollama 0.17.4 prints
 * (tests/gotmpl), with these exceptions, where Ollama prints what no model was trained on or dies:
 * - tools, their functions and parameters print as JSON. Ollama 0.14 to 0.17 prints the last two as
 *   Go structures; before and in its templates it is JSON (its issue 14601).
 * - "properties" inside of a property prints as JSON, where Go prints an address.
 * - a template in the old form with {{ .Response }} in an if and an else: Ollama dies, here the
 *   else goes, as all that follows the answer.
 *
 * Each piece of the result is marked: does it come from the template or from the data? Only in the
 * template's own text may special tokens be looked for; what a person wrote must not make any.
 *
 * Pure: no I/O, no clock. A parsed template is read-only: any number of threads may render it.
 * Bounds: text, nesting, steps, memory, output, spans. Source: Go's text/template, Ollama's
 * template/template.go. Messages name line and column, counted from one, in characters. */
#pragma once

#include "base/auto.h"
#include "base/json.h"
#include "base/limits.h"

enum {
	GOTMPL_DEPTH = 200,		 /* of blocks and parentheses in a text */
	GOTMPL_RUN_DEPTH = 500,		 /* while it runs: blocks, pipelines, templates */
	GOTMPL_STEPS = 1 << 24,		 /* of one rendering; comparing and sorting cost by size */
	GOTMPL_MEMORY = 64 * 1024 * 1024, /* bytes of the strings that one rendering makes */
	GOTMPL_SPANS = 1 << 20,		 /* count */
	GOTMPL_NAMES = 512,		 /* different names of fields and variables in a text */
};

struct gotmpl;

/* Copies `text`. The text is at most LIMIT_TEMPLATE bytes of UTF-8.
 * Errors: ERR_INVALID (syntax; with line and column), ERR_UNSUPPORTED (right for Go, not taken
 * here), ERR_LIMIT, ERR_NOMEM. */
enum err gotmpl_parse(struct str text, struct gotmpl **ret, struct err_info *info);
/* A text in whichever language: one that has Jinja's statements ({% .. %}), as every chat template
 * in Jinja does, is Jinja (*ret NULL: not looked at any further); all others are Go. Not a guess:
 * parsers of Jinja take much that is wrong. Errors: as gotmpl_parse(). */
enum err gotmpl_parse_any(struct str text, struct gotmpl **ret, struct err_info *info);
struct gotmpl *gotmpl_free(struct gotmpl *t); /* NULL is fine */
DEFINE_AUTO(gotmpl)

/* Does the template name this field or variable anywhere ("Messages", "Tools", "$x")? Case does
 * not matter. Ollama derives from it: Tools - can use tools; Suffix - can fill in; Messages - it
 * goes through the messages itself, else it is executed turn by turn. */
bool gotmpl_uses(const struct gotmpl *t, const char *name);
/* The texts around the thinking of an earlier answer ("<think>", "</think>"), as Ollama guesses
 * them; a model that has both can think. Borrowed from `t`. False: one is missing. */
bool gotmpl_think_tags(const struct gotmpl *t, struct str *ret_open, struct str *ret_close);
/* The text with which a call begins in an answer ("<tool_call>"), as Ollama guesses it: what the
 * template writes first of an earlier answer's .ToolCalls; "{" if nothing. Borrowed from `t`. */
struct str gotmpl_call_tag(const struct gotmpl *t);

/* A run of output bytes of one origin. Neighbours differ; together they cover the output. */
struct gotmpl_span {
	size_t offset, len;
	bool is_data;
};
struct gotmpl_spans { /* zero-initialise */
	struct gotmpl_span *list; /* owned */
	size_t count, cap;
};
void gotmpl_spans_done(struct gotmpl_spans *s);

/* Where it is today, as the templates' currentDate prints it. */
struct gotmpl_date {
	int year;	/* 1 to 9999 */
	int month, day; /* from 1 */
};

/* Executes the template with any JSON value as `.` (numbers are float64, as Go reads JSON).
 * Appends to `out`, whose limit is the limit of the output, and to `spans` (NULL: not wanted);
 * span offsets count from the start of `out`. On error both are as before.
 * Errors: ERR_INVALID (the template fails; with line and column), ERR_UNSUPPORTED, ERR_LIMIT,
 * ERR_NOMEM. */
enum err gotmpl_render(const struct gotmpl *t, const json_t *data, struct gotmpl_date today,
		       struct buf *out, struct gotmpl_spans *spans, struct err_info *info);

/* A conversation in the shape of Ollama's API; all is borrowed. */
struct gotmpl_chat {
	const json_t *messages; /* array of {role, content, thinking, images, tool_calls: [{id,
				 * function: {index, name, arguments}}], tool_name, tool_call_id} */
	const json_t *tools;	/* array of {type, function: {name, description, parameters}};
				 * NULL: none */
	struct str prompt, suffix; /* both given: the text between them is wanted, no chat */
	bool think, think_set;	/* think_set: the caller said so */
	struct str think_level; /* "high", "medium", "low" or empty */
	struct gotmpl_date today;
};

/* Executes a chat as Ollama does: neighbours of one role are joined, system messages gathered; a
 * template that does not know .Messages is executed turn by turn with .System, .Prompt and
 * .Response, the last time only up to {{ .Response }}.
 * As gotmpl_render(); also ERR_INVALID, naming the field, for messages or tools of another form. */
enum err gotmpl_chat_render(const struct gotmpl *t, const struct gotmpl_chat *c, struct buf *out,
			    struct gotmpl_spans *spans, struct err_info *info);
