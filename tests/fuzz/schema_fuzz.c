/* Any schema and any value: the check ends, says the same twice, and what was relaxed for the
 * grammar never turns a value down that the whole schema takes. Input: a schema, a line break, a
 * value. */
#include "engine/schema.h"

#include "base/buf.h"
#include "base/fault.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	struct str all = { (const char *)data, size };
	size_t at = str_find_byte(all, '\n', 0);
	AUTO_JSON json_t *schema = NULL;
	AUTO_JSON json_t *value = NULL;
	AUTO_JSON json_t *relaxed = NULL;
	struct err_info info = { 0 };
	if (at == SIZE_MAX)
		return;
	if (json_read(str_sub(all, 0, at), 1 << 16, JSON_DEPTH_DEFAULT, &schema, NULL) ||
		json_read(str_sub(all, at + 1, SIZE_MAX), 1 << 16, JSON_DEPTH_DEFAULT, &value,
			NULL))
		return;
	enum err ok = schema_check(schema, &info);
	if (ok && ok != ERR_INVALID && ok != ERR_LIMIT)
		DIE("an error that is not in the contract");
	if (ok == ERR_INVALID && !str_starts(str_from(info.detail), STR("schema")))
		DIE("a refusal that names no place");
	if (ok)
		return;
	enum err e = schema_validate(schema, value, &info);
	if (e != schema_validate(schema, value, NULL))
		DIE("not the same twice");
	relaxed = json_deep_copy(schema);
	if (!relaxed)
		return;
	schema_relax(relaxed);
	if (!e && schema_validate(relaxed, value, NULL) == ERR_INVALID)
		DIE("what is relaxed is stricter");
}
