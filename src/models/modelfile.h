/* models/modelfile.h - Ollama's Modelfile: what a model is made of, as text.
 *
 *   FROM llama3.2            # the line's rest; "..." and """...""" may hold line breaks
 *   PARAMETER temperature 0.7
 *   SYSTEM """You are Mario."""
 *
 * Read as Ollama 0.17.4 reads it (parser/parser.go; tests/gotmpl), with these differences: nothing
 * is dropped in silence (Ollama loses invisible characters such as the joiners in emoji), several
 * blanks between words are fine, FROM, ADAPTER, RENDERER and PARSER need a value, and parameters
 * are checked here, where the line is known. A quoted text ends with quotes at the end of a line.
 * UTF-8, with or without mark; UTF-16 with one. Pure. */
#pragma once

#include "base/auto.h"
#include "base/json.h"
#include "base/limits.h"

enum modelfile_kind {
	MODELFILE_FROM, /* a model's name or a path; several: a model and its projector */
	MODELFILE_ADAPTER,
	MODELFILE_TEMPLATE,
	MODELFILE_SYSTEM,
	MODELFILE_LICENSE,
	MODELFILE_PARAMETER,
	MODELFILE_MESSAGE,
	MODELFILE_REQUIRES, /* a version of Ollama, 0.14.0 or v0.14.0 */
	MODELFILE_RENDERER,
	MODELFILE_PARSER,
	MODELFILE_KINDS
};
enum modelfile_type { MODELFILE_STRING, MODELFILE_INT, MODELFILE_FLOAT, MODELFILE_BOOL };
enum { MODELFILE_COMMANDS_MAX = 4096 };

struct modelfile_cmd {
	enum modelfile_kind kind;
	struct str name;  /* PARAMETER: its name; MESSAGE: "system", "user" or "assistant" */
	struct str value; /* without quotes */
	enum modelfile_type type; /* PARAMETER; the value is also in .. */
	int64_t i;
	double f;
	bool b;
	bool deprecated; /* PARAMETER: Ollama takes it and does nothing: tell the user */
	unsigned line;	 /* from 1; 0: not from a text */
};

struct modelfile;

/* Copies what it needs. At most LIMIT_MODELFILE bytes. Errors: ERR_INVALID ("Modelfile line 3,
 * column 5: ..."; columns are characters), ERR_LIMIT, ERR_NOMEM. */
enum err modelfile_parse(struct str text, struct modelfile **ret, struct err_info *info);
enum err modelfile_new(struct modelfile **ret); /* empty. Errors: ERR_NOMEM */
struct modelfile *modelfile_free(struct modelfile *m); /* NULL is fine */
DEFINE_AUTO(modelfile)

/* Appends, with the checks of parsing; copies. `name` as in the struct, else empty.
 * Errors: ERR_INVALID, ERR_LIMIT, ERR_NOMEM. */
enum err modelfile_add(struct modelfile *m, enum modelfile_kind kind, struct str name,
		       struct str value, struct err_info *info);

size_t modelfile_count(const struct modelfile *m);
const struct modelfile_cmd *modelfile_get(const struct modelfile *m, size_t i); /* borrowed */
/* The last of a kind, which is the one that counts for all but FROM, LICENSE, PARAMETER and
 * MESSAGE; or NULL. */
const struct modelfile_cmd *modelfile_find(const struct modelfile *m, enum modelfile_kind kind);
/* What kind of value a parameter takes; false: there is no such, or it is deprecated. */
bool modelfile_param(struct str name, enum modelfile_type *ret);
/* The parameters as Ollama stores them: {"temperature": 0.7, "stop": ["a", "b"]}; the last of a
 * name counts, "stop" gathers, deprecated ones are left out. Caller owns. Errors: ERR_NOMEM. */
enum err modelfile_params(const struct modelfile *m, json_t **ret);

/* Writes it as `ollama show --modelfile` does, but where that would read back as something else
 * it takes other quotes. Errors: ERR_INVALID (no quotes can hold the text), buf's. */
enum err modelfile_print(const struct modelfile *m, struct buf *out, struct err_info *info);
/* The same behind the three lines of comment of `ollama show`. */
enum err modelfile_show(const struct modelfile *m, struct str short_name, struct buf *out,
			struct err_info *info);
