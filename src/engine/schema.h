/* engine/schema.h - JSON schemas of answers: is one usable, and does a finished answer follow it?
 *
 * The grammar made of a schema (engine/llama/grammar.c) holds the answer while it is written; it
 * cannot hold all of it (bounds of fractions, uniqueItems, keywords beside $ref or anyOf), and an
 * answer may be cut off. So the whole is checked once more at the end, by this file alone.
 * `pattern` and `format` are the grammar's matter. Pure. Source: JSON Schema 2020-12. */
#pragma once

#include "base/json.h"

/* Refuses what would be left out silently: keywords that neither grammar nor check knows, and a
 * schema that demands nothing. Errors: ERR_INVALID; detail begins with "schema at #/path:". */
enum err schema_check(const json_t *schema, struct err_info *info);
/* Changes a schema for the grammar: upper bounds of lengths that are too far away for it go (the
 * check at the end still knows them), `true` becomes {}. */
void schema_relax(json_t *schema);
/* Errors: ERR_INVALID; detail names the place in the value, as "$.list[2]: ...". ERR_LIMIT: the
 * check takes too many steps. `schema` has passed schema_check(). */
enum err schema_validate(const json_t *schema, const json_t *value, struct err_info *info);
