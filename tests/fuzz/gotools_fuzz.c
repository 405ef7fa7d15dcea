/* Any answer behind any tag, in pieces of any length: nothing is lost but brackets and marks behind
 * calls, and what is called a call has a tool's name and an object. Input: a length, a tag, a line
 * break, the answer. */
#include <string.h>

#include "base/fault.h"
#include "base/limits.h"
#include "gotmpl/gotmpl_tools.h"
#include "tests/fuzz/fuzz.h"

static void check_calls(const struct buf *calls)
{
	AUTO_JSON json_t *list = NULL;
	size_t i;
	json_t *one;
	if (!calls->len)
		return;
	if (json_read(buf_str(calls), LIMIT_ANSWER, 2 * JSON_DEPTH_DEFAULT, &list, NULL))
		DIE("calls that are no JSON");
	json_array_foreach(list, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		if (!name || (strcmp(name, "get") != 0 && strcmp(name, "get_it") != 0) ||
			!json_is_object(json_object_get(one, "arguments")))
			DIE("a call of nothing");
	}
}

FUZZ
{
	struct str all = { (const char *)data, size }, rest = all, tag;
	AUTO_JSON json_t *tools = json_pack(
		"[{s:{s:s}},{s:{s:s}}]", "function", "name", "get", "function", "name", "get_it");
	AUTO(gotools) struct gotools *g = NULL;
	AUTO_BUF struct buf answer = BUF(LIMIT_ANSWER), calls = BUF(LIMIT_ANSWER);
	bool lost = false;
	if (size < 2 || !str_next(&rest, '\n', &tag) || !tools)
		return;
	size_t step = (unsigned char)data[0] % 32 + 1;
	enum err e = gotools_new(str_sub(tag, 1, tag.len), tools, &g);
	for (size_t i = 0; !e && i < rest.len; i += step)
		e = gotools_add(g, str_sub(rest, i, step), false, &answer, &lost);
	if (!e)
		e = gotools_add(g, STR_NONE, true, &answer, &lost);
	if (e == ERR_LIMIT || e == ERR_NOMEM)
		return;
	if (e)
		DIE("an error of no kind");
	if (gotools_calls(g, &calls))
		DIE("calls that cannot be written");
	check_calls(&calls);
	if (!gotools_count(g) && !str_eq(buf_str(&answer), rest))
		DIE("text is lost, and no call was read");
}
