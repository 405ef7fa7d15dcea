/* engines: which engine builds are installed, and who keeps which. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/human.h"
#include "cli/wrap.h"

enum { KEPT_TEXT = 4096 };

static void kept_by(const json_t *e, char ret[KEPT_TEXT])
{
	size_t i, at = 0;
	json_t *who;
	ret[0] = '\0';
	json_array_foreach(json_object_get(e, "kept_by"), i, who)
	{
		const char *name = json_string_value(who);
		if (name && at < KEPT_TEXT)
			at += (size_t)snprintf(
				ret + at, KEPT_TEXT - at, "%s%s", i ? ", " : "", name);
	}
}

static enum err engine_row(struct grid *g, const json_t *e)
{
	char kept[KEPT_TEXT];
	bool current = json_is_true(json_object_get(e, "current")),
	     usable = json_is_true(json_object_get(e, "usable"));
	kept_by(e, kept);
	return grid_row(g,
		(const char *const[]){ cli_text(e, "id"), cli_text(e, "version"),
			cli_text(e, "variant"), current ? "current" : "",
			usable ? "whole" : "unusable", kept });
}

static enum err engines(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "ENGINE", "LLAMA.CPP", "VARIANT", "CURRENT", "STATE",
		"KEPT BY" };
	const char *path = args_get(a, "--check") ? "/team/v1/engines?check=1" : "/team/v1/engines";
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	const json_t *list;
	size_t i;
	json_t *e;
	grid_init(&g, 6, true);
	if (a->json)
		return cli_print_json(c, "GET", path, STR_NONE, info);
	TRY(client_json(c, "GET", path, STR_NONE, &doc, info));
	list = json_object_get(doc, "engines");
	TRY(grid_row(&g, head));
	json_array_foreach(list, i, e) TRY(engine_row(&g, e));
	grid_print(&g, stdout);
	json_array_foreach(list, i, e)
		if (*cli_text(e, "why"))
			wrap_printf(stdout, "\n%s: %s\n", cli_text(e, "id"), cli_text(e, "why"));
	return OK;
}

int cmd_engines(const struct args *a)
{
	return cli_with_client(a, engines);
}
