/* The table of routes, from api/routes.json: rows, bodies, and the step from http/'s handlers to
 * ours. */
#include "api/call.h"

#include "http/route.h"

#define H(name)                                                                                    \
	static void run_##name(struct http_req *q, void *app)                                      \
	{                                                                                          \
		call_run(q, app, name);                                                            \
	}
#include "gen/handlers.inc"
#undef H

#define R(method_, path_, handler_, dialect_, action_, object_, auth_, changes_, streams_, max_,   \
	scope_)                                                                                    \
	{ .method = method_,                                                                       \
		.path = path_,                                                                     \
		.handler = run_##handler_,                                                         \
		.dialect = DIALECT_##dialect_,                                                     \
		.action = ACTION_##action_,                                                        \
		.object = OBJECT_##object_,                                                        \
		.auth = auth_,                                                                     \
		.changes = changes_,                                                               \
		.streams = streams_,                                                               \
		.body_max = max_,                                                                  \
		.scope = scope_ },
const struct route route_table[] = {
#include "gen/routes.inc"
};
#undef R
const size_t route_count = sizeof route_table / sizeof route_table[0];

#define F(has, ...)                                                                                \
	{ has, (const struct field[]){ __VA_ARGS__ __VA_OPT__(, ){ NULL, 0, 0, NULL } } },
static const struct fields fields[] = {
#include "gen/fields.inc"
};
#undef F
_Static_assert(sizeof fields / sizeof fields[0] == sizeof route_table / sizeof route_table[0],
	"fields.inc and routes.inc have the same rows");

const struct fields *fields_of(const struct route *r)
{
	return &fields[r - route_table];
}

static bool kind_ok(const json_t *v, int kind)
{
	switch (kind) {
	case FIELD_STR:
		return json_is_string(v);
	case FIELD_I64:
		return json_is_integer(v);
	case FIELD_F64:
		return json_is_number(v);
	case FIELD_BOOL:
		return json_is_boolean(v);
	case FIELD_OBJ:
		return json_is_object(v);
	case FIELD_ARR:
		return json_is_array(v);
	}
	return false;
}

static bool among(const char *words, struct str value)
{
	struct str rest = str_from(words), word;
	while (str_next(&rest, '|', &word))
		if (str_eq(word, value))
			return true;
	return false;
}

static enum err check_one(const struct field *f, const json_t *v, struct err_info *info)
{
	static const char *const names[] = { "a string", "an integer", "a number", "true or false",
		"an object", "an array" };
	if (!v || json_is_null(v)) {
		if (!f->required)
			return OK;
		return err_set(info, ERR_INVALID, "\"%s\" is missing", f->name);
	}
	if (!kind_ok(v, f->kind))
		return err_set(info, ERR_INVALID, "\"%s\" must be %s", f->name, names[f->kind]);
	if (f->words &&
		!among(f->words, (struct str){ json_string_value(v), json_string_length(v) }))
		return err_set(info, ERR_INVALID, "\"%s\" must be one of %s", f->name, f->words);
	return OK;
}

enum err fields_check(const struct fields *f, const json_t *body, struct err_info *info)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)body, key, v)
	{
		const struct field *known = f->list;
		while (known->name && strcmp(known->name, key) != 0)
			known++;
		if (!known->name)
			return err_set(info, ERR_INVALID, "unknown field \"%.40s\"", key);
	}
	for (const struct field *known = f->list; known->name; known++)
		TRY(check_one(known, json_object_get(body, known->name), info));
	return OK;
}
