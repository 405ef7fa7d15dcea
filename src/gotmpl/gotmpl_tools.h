/* gotmpl/gotmpl_tools.h - calls of functions in an answer, for templates in Go.
 *
 * Such a template says how a call is written only by example, so Ollama reads answers leniently
 * (its tools/tools.go), and so does this: behind the template's tag the name of a tool, then the
 * first object that can be its arguments, also inside of {"name", "arguments"} or "parameters", or
 * as text of JSON. Where Ollama drops what it could not read, here it stays in the answer. Pure. */
#pragma once

#include "base/auto.h"
#include "base/json.h"

enum { GOTOOLS_MAX = 256, GOTOOLS_CALLS_MAX = 128 };

struct gotools;
/* `tag` as gotmpl_call_tag() gives it; `tools` an array of {function: {name}}. Copies.
 * Errors: ERR_INVALID (a tool without a name), ERR_LIMIT, ERR_NOMEM. */
enum err gotools_new(struct str tag, const json_t *tools, struct gotools **ret);
struct gotools *gotools_free(struct gotools *g); /* NULL is fine */
DEFINE_AUTO(gotools)

/* Reads on: adds to `answer` what is no call. With `end` also what is left; *ret_lost then: the
 * answer's end looked like a call and could not be read as one (it is in `answer`).
 * Errors: ERR_LIMIT, ERR_NOMEM; `g` must not be used on. */
enum err gotools_add(
	struct gotools *g, struct str text, bool end, struct buf *answer, bool *ret_lost);
size_t gotools_count(const struct gotools *g); /* calls found so far */
/* They as a JSON array of {name, arguments}; nothing when there is none. Errors: buf's. */
enum err gotools_calls(const struct gotools *g, struct buf *out);
