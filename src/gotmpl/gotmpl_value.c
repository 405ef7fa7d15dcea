/* Values as Go sees them: Ollama's types over the JSON of its API. The tables are the types of
 * template/template.go (templateMessage, templateTool, ..) and api/types.go (ToolProperty). */
#include "gotmpl/gotmpl_int.h"

#include <stdlib.h>

#include "base/fault.h"

static const struct go_field message_fields[] = {
	{ "Role", "role", GO_STRING, false },
	{ "Content", "content", GO_STRING, false },
	{ "Thinking", "thinking", GO_STRING, false },
	{ "Images", "images", GO_IMAGES, false },
	{ "ToolCalls", "tool_calls", GO_CALLS, false },
	{ "ToolName", "tool_name", GO_STRING, false },
	{ "ToolCallID", "tool_call_id", GO_STRING, false },
	{ NULL, NULL, GO_ANY, false },
};
static const struct go_field call_fields[] = {
	{ "ID", "id", GO_STRING, false },
	{ "Function", "function", GO_CALL_FUNC, false },
	{ NULL, NULL, GO_ANY, false },
};
static const struct go_field call_func_fields[] = {
	{ "Index", "index", GO_INT, false },
	{ "Name", "name", GO_STRING, false },
	{ "Arguments", "arguments", GO_ARGS, false },
	{ NULL, NULL, GO_ANY, false },
};
static const struct go_field tool_fields[] = {
	{ "Type", "type", GO_STRING, false },
	{ "Items", "items", GO_ANY, true },
	{ "Function", "function", GO_FUNC, false },
	{ NULL, NULL, GO_ANY, false },
};
static const struct go_field func_fields[] = {
	{ "Name", "name", GO_STRING, false },
	{ "Description", "description", GO_STRING, false },
	{ "Parameters", "parameters", GO_PARAMS, false },
	{ NULL, NULL, GO_ANY, false },
};
static const struct go_field params_fields[] = {
	{ "Type", "type", GO_STRING, false },
	{ "Defs", "$defs", GO_ANY, true },
	{ "Items", "items", GO_ANY, true },
	{ "Required", "required", GO_STRINGS, true },
	{ "Properties", "properties", GO_PROPS, false },
	{ NULL, NULL, GO_ANY, false },
};
static const struct go_field prop_fields[] = {
	{ "AnyOf", "anyOf", GO_PROP_LIST, true },
	{ "Type", "type", GO_PROP_TYPE, true },
	{ "Items", "items", GO_ANY, true },
	{ "Description", "description", GO_STRING, true },
	{ "Enum", "enum", GO_LIST, true },
	{ "Properties", "properties", GO_PROP_MAP, true },
	{ NULL, NULL, GO_ANY, false },
};

const struct go_type_info gotmpl_types[GO_COUNT] = {
	[GO_ANY] = { "interface {}", VAL_NIL, GO_ANY, false, false, NULL },
	[GO_STRING] = { "string", VAL_STR, GO_ANY, false, false, NULL },
	[GO_BOOL] = { "bool", VAL_BOOL, GO_ANY, false, false, NULL },
	[GO_INT] = { "int", VAL_INT, GO_ANY, false, false, NULL },
	[GO_LIST] = { "[]interface {}", VAL_LIST, GO_ANY, false, false, NULL },
	[GO_MAP] = { "map[string]interface {}", VAL_MAP, GO_ANY, false, false, NULL },
	[GO_ROOT] = { "map[string]interface {}", VAL_MAP, GO_ANY, false, false, NULL },
	[GO_STRINGS] = { "[]string", VAL_LIST, GO_STRING, false, false, NULL },
	[GO_MESSAGES] = { "[]*template.templateMessage", VAL_LIST, GO_MESSAGE, false, false, NULL },
	[GO_MESSAGE] = { "*template.templateMessage", VAL_STRUCT, GO_ANY, false, false,
		message_fields },
	[GO_IMAGES] = { "[]api.ImageData", VAL_LIST, GO_IMAGE, false, false, NULL },
	[GO_IMAGE] = { "api.ImageData", VAL_STRUCT, GO_ANY, false, false, NULL },
	[GO_CALLS] = { "[]template.templateToolCall", VAL_LIST, GO_CALL, false, false, NULL },
	[GO_CALL] = { "template.templateToolCall", VAL_STRUCT, GO_ANY, false, false, call_fields },
	[GO_CALL_FUNC] = { "template.templateToolCallFunction", VAL_STRUCT, GO_ANY, false, false,
		call_func_fields },
	[GO_ARGS] = { "template.templateArgs", VAL_MAP, GO_ANY, true, false, NULL },
	[GO_TOOLS] = { "template.templateTools", VAL_LIST, GO_TOOL, true, false, NULL },
	[GO_TOOL] = { "template.templateTool", VAL_STRUCT, GO_ANY, true, true, tool_fields },
	[GO_FUNC] = { "template.templateToolFunction", VAL_STRUCT, GO_ANY, true, true,
		func_fields },
	[GO_PARAMS] = { "template.templateToolFunctionParameters", VAL_STRUCT, GO_ANY, true, true,
		params_fields },
	[GO_PROPS] = { "template.templateProperties", VAL_MAP, GO_PROP, true, false, NULL },
	[GO_PROP] = { "api.ToolProperty", VAL_STRUCT, GO_ANY, false, true, prop_fields },
	[GO_PROP_LIST] = { "[]api.ToolProperty", VAL_LIST, GO_PROP, false, false, NULL },
	[GO_PROP_TYPE] = { "api.PropertyType", VAL_LIST, GO_STRING, false, false, NULL },
	[GO_PROP_MAP] = { "*api.ToolPropertiesMap", VAL_STRUCT, GO_PROP, true, false, NULL },
};

struct gval gotmpl_str_val(struct str s, bool is_data)
{
	struct gval v = { .kind = VAL_STR, .type = GO_STRING, .is_data = is_data };
	v.s = s;
	return v;
}

static struct gval any_val(const json_t *j)
{
	struct gval v = { .kind = VAL_NIL, .type = GO_ANY, .is_data = true };
	switch (j ? json_typeof(j) : JSON_NULL) {
	case JSON_TRUE:
	case JSON_FALSE:
		v.kind = VAL_BOOL;
		v.type = GO_BOOL;
		v.b = json_is_true(j);
		break;
	case JSON_INTEGER: /* Go reads every number into a float64 */
	case JSON_REAL:
		v.kind = VAL_FLOAT;
		v.f = json_number_value(j);
		break;
	case JSON_STRING:
		return gotmpl_val(GO_STRING, j);
	case JSON_ARRAY:
		return gotmpl_val(GO_LIST, j);
	case JSON_OBJECT:
		return gotmpl_val(GO_MAP, j);
	default:
		break;
	}
	return v;
}

struct gval gotmpl_val(enum go_type type, const json_t *j)
{
	struct gval v = { .kind = gotmpl_types[type].kind, .type = type, .is_data = true };
	switch (type) {
	case GO_ANY:
		return any_val(j);
	case GO_STRING:
		v.s = (struct str){ j ? json_string_value(j) : NULL, json_string_length(j) };
		break;
	case GO_BOOL:
		v.b = json_is_true(j);
		break;
	case GO_INT:
		v.i = json_integer_value(j);
		break;
	default: /* a value of another kind was refused before: here it counts as absent */
		if (type == GO_IMAGE)
			v.j = json_is_string(j) ? j : NULL;
		else if (type == GO_PROP_TYPE && json_is_string(j))
			v.j = j;
		else if (v.kind == VAL_LIST)
			v.j = json_is_array(j) ? j : NULL;
		else
			v.j = json_is_object(j) ? j : NULL;
		if (type == GO_CALLS && json_array_size(v.j) == 0)
			v.j = NULL; /* Ollama makes the list anew */
		v.n = v.kind != VAL_LIST ? 0 : json_is_string(v.j) ? 1 : json_array_size(v.j);
		break;
	}
	return v;
}

bool gotmpl_truth(const struct gval *v)
{
	switch (v->kind) {
	case VAL_BOOL:
		return v->b;
	case VAL_INT:
		return v->i != 0;
	case VAL_FLOAT:
		return v->f != 0;
	case VAL_STR:
	case VAL_LIST:
	case VAL_MAP:
		return gotmpl_len(v) > 0;
	case VAL_STRUCT: /* but a pointer may be nil, and an image is bytes */
		return (v->type != GO_PROP_MAP && v->type != GO_IMAGE) ||
		       (v->j && (v->type == GO_PROP_MAP || json_string_length(v->j) > 0));
	default:
		return false;
	}
}

size_t gotmpl_len(const struct gval *v)
{
	switch (v->kind) {
	case VAL_STR:
		return v->s.len;
	case VAL_LIST:
		return v->n;
	case VAL_MAP:
		return json_object_size(v->j);
	default:
		return 0;
	}
}

struct gval gotmpl_at(const struct gval *list, size_t i)
{
	const json_t *j = json_is_string(list->j) ? list->j
						  : json_array_get(list->j, list->off + i);
	return gotmpl_val(gotmpl_types[list->type].elem, j);
}

bool gotmpl_lookup(const struct gval *map, struct str key, struct gval *ret)
{
	enum go_type elem = gotmpl_types[map->type].elem;
	const json_t *j = key.ptr && map->j ? json_object_getn(map->j, key.ptr, key.len) : NULL;
	if (map->type == GO_ROOT && str_eq(key, STR("Messages")))
		elem = GO_MESSAGES;
	else if (map->type == GO_ROOT && str_eq(key, STR("Tools")))
		elem = GO_TOOLS;
	*ret = gotmpl_val(j ? elem : gotmpl_types[map->type].elem, j);
	return j;
}

const struct go_field *gotmpl_find_field(enum go_type type, struct str name)
{
	for (const struct go_field *f = gotmpl_types[type].fields; f && f->name; f++)
		if (str_eq(name, str_from(f->name)))
			return f;
	return NULL;
}

const char *gotmpl_type_name(const struct gval *v)
{
	switch (v->kind) {
	case VAL_NONE:
	case VAL_NIL:
		return "<nil>";
	case VAL_FLOAT:
		return "float64";
	default:
		return gotmpl_types[v->type].name;
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct gpair *)a)->key, ((const struct gpair *)b)->key);
}

enum err gotmpl_sorted(const struct gval *map, struct gpair **ret, size_t *ret_n)
{
	size_t n = 0, max = json_object_size(map->j);
	struct gpair *list = mem_zalloc(max ? max : 1, sizeof *list);
	const char *key;
	json_t *j;
	if (!list)
		return ERR_NOMEM;
	json_object_foreach((json_t *)(uintptr_t)map->j, key, j)
	{
		if (n < max)
			list[n++] = (struct gpair){ key, j };
	}
	qsort(list, n, sizeof *list, by_key);
	*ret = list;
	*ret_n = n;
	return OK;
}

/* ---- the shape of what a client sent ---- */

static bool right_kind(enum go_type type, const json_t *j)
{
	switch (type) {
	case GO_ANY:
		return true;
	case GO_STRING:
	case GO_IMAGE:
		return json_is_string(j);
	case GO_BOOL:
		return json_is_boolean(j);
	case GO_INT:
		return json_is_integer(j);
	case GO_PROP_TYPE:
		return json_is_string(j) || json_is_array(j);
	default:
		return gotmpl_types[type].kind == VAL_LIST ? json_is_array(j) : json_is_object(j);
	}
}

static const char *wanted(enum go_type type)
{
	switch (gotmpl_types[type].kind) {
	case VAL_STR:
		return "a string";
	case VAL_BOOL:
		return "true or false";
	case VAL_INT:
		return "a whole number";
	case VAL_LIST:
		return type == GO_PROP_TYPE ? "a string or a list of strings" : "a list";
	default:
		return type == GO_IMAGE ? "a string" : "an object";
	}
}

enum err gotmpl_check_type(enum go_type type, const json_t *j, const char *path, unsigned depth,
			   struct err_info *info)
{
	const struct go_type_info *g = &gotmpl_types[type];
	char below[160];
	if (!j || json_is_null(j) || type == GO_ANY || type == GO_LIST || type == GO_MAP) {
		if (j && !json_is_null(j) && !right_kind(type, j))
			return err_set(info, ERR_INVALID, "%s must be %s", path, wanted(type));
		return OK;
	}
	if (!right_kind(type, j))
		return err_set(info, ERR_INVALID, "%s must be %s", path, wanted(type));
	if (depth > GOTMPL_VALUE_DEPTH)
		return err_set(info, ERR_LIMIT, "%.60s..: nested deeper than %d levels", path,
			       GOTMPL_VALUE_DEPTH);
	for (size_t i = 0; g->kind == VAL_LIST && i < json_array_size(j); i++) {
		(void)snprintf(below, sizeof below, "%.120s[%zu]", path, i);
		TRY(gotmpl_check_type(g->elem, json_array_get(j, i), below, depth + 1, info));
	}
	for (const struct go_field *f = g->fields; f && f->name; f++) {
		(void)snprintf(below, sizeof below, "%.120s.%s", path, f->key);
		TRY(gotmpl_check_type(f->type, json_object_get(j, f->key), below, depth + 1, info));
	}
	const char *key;
	json_t *v;
	if (g->elem != GO_PROP || g->kind == VAL_LIST)
		return OK;
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		struct str shown = str_sub(str_from(key), 0, 40);
		shown.len = str_utf8_whole(shown);
		(void)snprintf(below, sizeof below, "%.100s.%.*s", path, STR_ARG(shown));
		TRY(gotmpl_check_type(GO_PROP, v, below, depth + 1, info));
	}
	return OK;
}
