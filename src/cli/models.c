/* list, show, stop, rm, cp, advise. */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/show.h"
#include "cli/wrap.h"

static enum err add_row(struct grid *g, const json_t *m)
{
	char size[HUMAN_MAX], modified[HUMAN_MAX], id[13];
	json_int_t bytes = json_integer_value(json_object_get(m, "size"));
	int64_t at = 0;
	human_bytes(bytes > 0 ? (uint64_t)bytes : 0, size);
	if (time_parse_rfc3339(str_from(cli_text(m, "modified_at")), &at))
		snprintf(modified, sizeof modified, "Never");
	else
		human_time(at, time_now_ms(), modified);
	snprintf(id, sizeof id, "%.12s", cli_text(m, "digest"));
	return grid_row(g, (const char *const[]){ cli_text(m, "name"), id, size, modified });
}

static enum err list(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "NAME", "ID", "SIZE", "MODIFIED" };
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	struct str prefix = str_from(a->n_operands ? a->operand[0] : "");
	size_t i;
	json_t *m;
	grid_init(&g, 4, true);
	if (a->json)
		return cli_print_json(c, "GET", "/api/tags", STR_NONE, info);
	TRY(client_json(c, "GET", "/api/tags", STR_NONE, &doc, info));
	TRY(grid_row(&g, head));
	json_array_foreach(json_object_get(doc, "models"), i, m)
	{
		struct str name = str_from(cli_text(m, "name"));
		if (str_eq_nocase(str_sub(name, 0, prefix.len), prefix))
			TRY(add_row(&g, m));
	}
	grid_print(&g, stdout);
	return OK;
}

/* ---- show ---- */

static const char *const show_parts[] = { "license", "modelfile", "parameters", "template",
	"system" };

/* The one part that is asked for; NULL: all. */
static enum err wanted_part(const struct args *a, const char **ret, struct err_info *info)
{
	*ret = NULL;
	for (size_t i = 0; i < sizeof show_parts / sizeof *show_parts; i++) {
		char option[32];
		snprintf(option, sizeof option, "--%s", show_parts[i]);
		if (!args_get(a, option))
			continue;
		if (*ret)
			return err_set(info, ERR_INVALID,
				"only one of --license, --modelfile, --parameters, --template and "
				"--system can be asked for");
		*ret = show_parts[i];
	}
	return OK;
}

static enum err print_part(const json_t *doc, const char *part, struct err_info *info)
{
	const json_t *v = json_object_get(doc, part);
	if (!json_is_string(v))
		return err_set(info, ERR_UNSUPPORTED, "this server says nothing of a model's %s",
			part);
	const char *text = json_string_value(v);
	bool whole = !strcmp(part, "system") || !strcmp(part, "template");
	wrap_print(text, stdout);
	fputs(whole ? "" : "\n", stdout); /* those two are printed byte for byte */
	return OK;
}

static enum err show(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(8192);
	AUTO_JSON json_t *doc = NULL;
	const char *part;
	bool verbose = args_get(a, "--verbose") != NULL;
	TRY(wanted_part(a, &part, info));
	TRY(cli_model_body(a->operand[0], verbose ? ",\"verbose\":true" : "", &body));
	if (a->json)
		return cli_print_json(c, "POST", "/api/show", buf_str(&body), info);
	TRY(client_json(c, "POST", "/api/show", buf_str(&body), &doc, info));
	return part ? print_part(doc, part, info) : show_info(doc, verbose, stdout);
}

/* ---- stop, rm, cp ---- */

static enum err unload(struct client *c, const char *model, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(8192), out = BUF(65536);
	TRY(cli_model_body(model, ",\"keep_alive\":0,\"stream\":false", &body));
	return client_call(c, "POST", "/api/generate", buf_str(&body), &out, info);
}

static enum err stop(struct client *c, const struct args *a, struct err_info *info)
{
	enum err e = unload(c, a->operand[0], info);
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "couldn't find model \"%s\" to stop", a->operand[0]);
	return e;
}

static enum err rm(struct client *c, const struct args *a, struct err_info *info)
{
	for (unsigned i = 0; i < a->n_operands; i++) {
		AUTO_BUF struct buf body = BUF(8192), out = BUF(65536);
		TRY(cli_model_body(a->operand[i],
			args_get(a, "--force") ? ",\"force\":true" : "", &body));
		TRY(client_call(c, "DELETE", "/api/delete", buf_str(&body), &out, info));
		if (!a->json)
			printf("deleted '%s'\n", a->operand[i]);
		(void)fflush(stdout); /* what is gone is said, also when the next one fails */
	}
	return OK;
}

static enum err cp(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(16 * 1024), out = BUF(65536);
	AUTO_JSON json_t *reply = NULL;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "source", str_from(a->operand[0]));
	jw_kstr(&w, "destination", str_from(a->operand[1]));
	jw_end(&w);
	TRY(body.err);
	TRY(cli_no_route(c, client_call(c, "POST", "/api/copy", buf_str(&body), &out, info),
		"copy models (it has no POST /api/copy)", info));
	if (a->json)
		return OK;
	printf("copied '%s' to '%s'\n", a->operand[0], a->operand[1]);
	if (out.len && !json_read(buf_str(&out), out.len, 4, &reply, NULL) &&
		*cli_text(reply, "kept"))
		wrap_printf(stdout, "the old version stays as %s\n", cli_text(reply, "kept"));
	return OK;
}

/* ---- advise ---- */

static void bytes_text(const json_t *o, const char *key, char ret[HUMAN_MAX])
{
	human_bytes((uint64_t)json_integer_value(json_object_get(o, key)), ret);
}

static void print_advice(const json_t *m)
{
	char size[HUMAN_MAX], m8[HUMAN_MAX], m32[HUMAN_MAX];
	bytes_text(m, "size", size);
	bytes_text(m, "memory_8k", m8);
	bytes_text(m, "memory_32k", m32);
	wrap_printf(stdout, "%-2s %-30s %-9s %-9s %-9s ~%-7.1f %s\n",
		json_is_true(json_object_get(m, "fits")) ? "+" : "-", cli_text(m, "source"), size,
		m8, m32, json_number_value(json_object_get(m, "tokens_per_s")),
		cli_text(m, "licence"));
}

static enum err advise(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	char memory[HUMAN_MAX];
	if (a->json)
		return cli_print_json(c, "GET", "/team/v1/advise", STR_NONE, info);
	TRY(client_json(c, "GET", "/team/v1/advise", STR_NONE, &doc, info));
	const json_t *machine = json_object_get(doc, "machine"),
		     *all = json_object_get(doc, "advice");
	if (args_get(a, "--best")) {
		const json_t *best = json_array_get(all, 0);
		if (!json_is_true(json_object_get(best, "fits")))
			return err_set(
				info, ERR_NOT_FOUND, "no model of the table fits this machine");
		wrap_printf(stdout, "%s\n", cli_text(best, "source"));
		return OK;
	}
	bytes_text(machine, "memory", memory);
	wrap_printf(stdout, "This machine: %s, %lld cores, %s memory, %s\n\n",
		cli_text(machine, "cpu"),
		(long long)json_integer_value(json_object_get(machine, "cores")), memory,
		*cli_text(machine, "gpu") ? cli_text(machine, "gpu") : "no GPU");
	printf("%-2s %-30s %-9s %-9s %-9s %-8s %s\n", "", "MODEL", "SIZE", "AT 8K", "AT 32K",
		"TOK/S", "LICENCE");
	json_array_foreach(all, i, m) print_advice(m);
	puts("\n+ fits, - does not. Speeds are estimates from this machine's memory bandwidth.");
	return OK;
}

int cmd_models(const struct args *a)
{
	static const struct {
		const char *name;
		cli_fn fn;
	} table[] = {
		{ "list", list },
		{ "ls", list },
		{ "show", show },
		{ "stop", stop },
		{ "rm", rm },
		{ "cp", cp },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, a->command->name))
			return cli_with_client(a, table[i].fn);
	return cli_with_client(a, advise);
}
