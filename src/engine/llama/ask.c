/* From a request to what the shim is asked for: which tools, how often, with how much thought. */
#include "engine/llama/backend_int.h"

#include "base/fault.h"
#include "base/json.h"

enum { TOOLS_MAX = 256 };

void llama_ask_done(struct llama_ask *a)
{
	mem_free(a->messages);
	mem_free(a->tools);
	mem_free(a->schema);
	*a = (struct llama_ask){ 0 };
}

static struct str tool_name(const json_t *tool)
{
	struct str name = STR_NONE;
	const json_t *f = json_object_get(tool, "function");
	if (json_is_object(f))
		(void)!!json_want_str(f, "name", false, &name, NULL);
	return name;
}

/* Names end up in rules of a grammar and in other people's prompts: letters, digits and -_. as
 * OpenAI has it. */
static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '_' || c == '.'))
			return false;
	}
	return s.len > 0 && s.len <= 64;
}

static enum err check_tool(const json_t *tool, size_t i, struct err_info *info)
{
	const json_t *f = json_object_get(tool, "function");
	const json_t *p = json_is_object(f) ? json_object_get(f, "parameters") : NULL;
	struct str type = STR_NONE, about = STR_NONE;
	if (!json_is_object(tool))
		return err_set(info, ERR_INVALID, "tools[%zu] must be an object", i);
	TRY(json_want_str(tool, "type", true, &type, info));
	if (!str_eq(type, STR("function")) || !json_is_object(f))
		return err_set(info, ERR_INVALID, "tools[%zu] must be a function", i);
	if (!is_name(tool_name(tool)))
		return err_set(info, ERR_INVALID,
			"tools[%zu].function.name must be 1 to 64 letters, digits, '-', '_' or '.'",
			i);
	if (json_want_str(f, "description", false, &about, NULL))
		return err_set(
			info, ERR_INVALID, "tools[%zu].function.description must be a string", i);
	if (p && !json_is_null(p) && !json_is_object(p))
		return err_set(
			info, ERR_INVALID, "tools[%zu].function.parameters must be a schema", i);
	return OK;
}

/* One tool as the templates want it: a description and parameters even where there were none. */
static void put_tool(struct jw *w, const json_t *tool)
{
	const json_t *f = json_object_get(tool, "function"), *p = json_object_get(f, "parameters");
	struct str about = STR("");
	(void)!!json_want_str(f, "description", false, &about, NULL);
	jw_obj(w);
	jw_kstr(w, "type", STR("function"));
	jw_key(w, "function");
	jw_obj(w);
	jw_kstr(w, "name", tool_name(tool));
	jw_kstr(w, "description", about);
	jw_key(w, "parameters");
	if (json_is_object(p) && json_object_size(p))
		jw_json(w, p);
	else
		jw_raw(w, STR("{\"type\":\"object\",\"properties\":{}}"));
	jw_end(w);
	jw_end(w);
}

/* Errors: ERR_INVALID when nobody has the chosen name. */
static enum err choose(
	const json_t *all, struct str name, char **ret, bool *ret_any, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_IPC_BULK);
	struct jw w;
	jw_init(&w, &text);
	jw_arr(&w);
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *tool = json_array_get(all, i);
		TRY(check_tool(tool, i, info));
		if (name.len && !str_eq(name, tool_name(tool)))
			continue;
		put_tool(&w, tool);
		*ret_any = true;
	}
	jw_end(&w);
	TRY(text.err);
	if (name.len && !*ret_any)
		return err_set(info, ERR_INVALID, "tool_choice: there is no function '%.*s'",
			(int)(name.len < 64 ? name.len : 64), name.ptr);
	return str_dup(*ret_any ? buf_str(&text) : STR(""), ret);
}

static enum err read_tools(
	const struct gen_request *g, struct llama_ask *ret, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL;
	struct str choice = g->tool_choice, name = STR_NONE;
	bool any = false, required = str_eq(choice, STR("required"));
	if (choice.len && choice.ptr[0] == '=') {
		name = str_sub(choice, 1, choice.len - 1);
		required = true;
	} else if (choice.len && !required && !str_eq(choice, STR("auto")) &&
		   !str_eq(choice, STR("none"))) {
		return err_set(info, ERR_INVALID,
			"tool_choice must be auto, none, required or name a function");
	}
	ret->ask.choice = required ? "required" : "auto";
	if (g->tools.len) {
		TRY(json_read(g->tools, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, info));
		if (!json_is_array(all))
			return err_set(info, ERR_INVALID, "tools must be a list");
		if (json_array_size(all) > TOOLS_MAX)
			return err_set(info, ERR_INVALID, "tools: at most %d", TOOLS_MAX);
		TRY(choose(all, name, &ret->tools, &any, info));
	}
	if (required && !any)
		return err_set(info, ERR_INVALID, "tool_choice needs tools to choose from");
	if (any && str_eq(choice, STR("none"))) { /* not offered, so never called */
		mem_free(ret->tools);
		ret->tools = NULL;
	}
	ret->ask.tools = ret->tools ? ret->tools : "";
	return OK;
}

enum err llama_ask_new(const struct gen_request *g, struct str messages, struct llama_ask *ret,
	struct err_info *info)
{
	ret->ask = (struct shim_ask){
		.one_call = g->one_call, .think = (int)g->think, .generation = true, .schema = ""
	};
	TRY(read_tools(g, ret, info));
	if (g->schema.len) {
		bool any = str_eq(g->schema, STR("json"));
		TRY(str_dup(any ? STR("{\"type\":\"object\"}") : g->schema, &ret->schema));
		ret->ask.schema = ret->schema;
	}
	TRY(str_dup(messages, &ret->messages));
	ret->ask.messages = ret->messages;
	return OK;
}
