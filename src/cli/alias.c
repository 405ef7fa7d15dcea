/* alias ..., trial ...: which model answers to a name, and what a new one has to pass first. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/wrap.h"

enum { BODY_MAX = 64 * 1024, TEXT_MAX = 16 * 1024 };

static const char *const channels[] = { "production", "candidate", "previous" };

/* "/team/v1/aliases/NAME" and what follows; *ret borrows from `out`. */
static enum err alias_path(
	const struct args *a, const char *rest, struct buf *out, const char **ret)
{
	TRY(cli_path(out, "/team/v1/aliases/", a->operand[0]));
	TRY(buf_add(out, str_from(rest)));
	return buf_cstr(out, ret);
}

/* One request about the alias that is named first. The caller owns *ret. */
static enum err ask(struct client *c, const struct args *a, const char *method, const char *rest,
	const struct buf *body, json_t **ret, struct err_info *info)
{
	AUTO_BUF struct buf path = BUF(16 * 1024);
	const char *z;
	TRY(alias_path(a, rest, &path, &z));
	if (body)
		TRY(body->err);
	return client_json(c, method, z, body ? buf_str(body) : STR_NONE, ret, info);
}

/* {"KEY": TEXT}; {} without a text. */
static void one_field(struct buf *body, const char *key, const char *text)
{
	struct jw w;
	jw_init(&w, body);
	jw_obj(&w);
	if (text)
		jw_kstr(&w, key, str_from(text));
	jw_end(&w);
}

static enum err print_json(const json_t *doc)
{
	AUTO_BUF struct buf out = BUF(64 * 1024 * 1024);
	struct jw w;
	jw_init(&w, &out);
	jw_json(&w, doc);
	TRY(out.err);
	wrap_print_str(buf_str(&out), stdout);
	putchar('\n');
	return OK;
}

/* ---- alias ---- */

static const char *who(const json_t *o, const char *name_key, const char *id_key)
{
	const char *name = cli_text(o, name_key);
	if (*name)
		return name;
	return *cli_text(o, id_key) ? "an account that is gone" : "the operator";
}

static enum err alias_row(struct grid *g, const json_t *alias, const char *channel)
{
	const json_t *t = json_object_get(alias, channel);
	char since[HUMAN_MAX], id[13];
	if (!t)
		return OK;
	human_time(json_integer_value(json_object_get(t, "since_ms")), time_now_ms(), since);
	snprintf(id, sizeof id, "%.12s", cli_text(t, "digest"));
	const char *why = *cli_text(t, "reason") ? cli_text(t, "reason")
			: *cli_text(t, "trial")  ? "passed a trial"
						 : "";
	return grid_row(g,
		(const char *const[]){ cli_text(alias, "name"), channel, cli_text(t, "model"), id,
			*cli_text(t, "engine") ? cli_text(t, "engine") : "current",
			who(t, "person_name", "person"), since, why });
}

static enum err alias_list(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "ALIAS", "CHANNEL", "MODEL", "ID", "ENGINE", "BY",
		"SINCE", "WHY" };
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	size_t i;
	json_t *one;
	grid_init(&g, 8, true);
	if (a->json)
		return cli_print_json(c, "GET", "/team/v1/aliases", STR_NONE, info);
	TRY(client_json(c, "GET", "/team/v1/aliases", STR_NONE, &doc, info));
	TRY(grid_row(&g, head));
	json_array_foreach(json_object_get(doc, "aliases"), i, one)
		for (size_t k = 0; k < sizeof channels / sizeof *channels; k++)
			TRY(alias_row(&g, one, channels[k]));
	grid_print(&g, stdout);
	return OK;
}

/* What the alias is after a change. */
static enum err say_alias(const struct args *a, const json_t *alias)
{
	if (a->json)
		return print_json(alias);
	for (size_t k = 0; k < sizeof channels / sizeof *channels; k++) {
		const json_t *t = json_object_get(alias, channels[k]);
		const char *engine = cli_text(t, "engine");
		if (t)
			wrap_printf(stdout, "%s %s is %s (%.12s)%s%s\n", cli_text(alias, "name"),
				channels[k], cli_text(t, "model"), cli_text(t, "digest"),
				*engine ? " under " : "", engine);
	}
	return OK;
}

static enum err alias_set(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(BODY_MAX);
	AUTO_JSON json_t *doc = NULL;
	const char *channel = args_get(a, "--channel"), *engine = args_get(a, "--engine");
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "model", str_from(a->operand[1]));
	if (channel)
		jw_kstr(&w, "channel", str_from(channel));
	if (engine)
		jw_kstr(&w, "engine", str_from(engine));
	jw_end(&w);
	TRY(ask(c, a, "PUT", "", &body, &doc, info));
	return say_alias(a, doc);
}

static enum err alias_promote(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(BODY_MAX);
	AUTO_JSON json_t *doc = NULL;
	one_field(&body, "override", args_get(a, "--override"));
	TRY(ask(c, a, "POST", "/promote", &body, &doc, info));
	return say_alias(a, doc);
}

/* back, keep */
static enum err alias_plain(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(16);
	AUTO_JSON json_t *doc = NULL;
	bool back = !strcmp(a->command->name, "alias back");
	one_field(&body, "", NULL);
	TRY(ask(c, a, "POST", back ? "/back" : "/keep", &body, &doc, info));
	return say_alias(a, doc);
}

static enum err alias_rm(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	TRY(ask(c, a, "DELETE", "", NULL, &doc, info));
	if (!a->json)
		printf("removed the alias '%s'\n", a->operand[0]);
	return OK;
}

/* ---- trial: prompts ---- */

static enum err read_stdin(struct buf *out, struct err_info *info)
{
	char piece[4096];
	for (size_t n; (n = fread(piece, 1, sizeof piece, stdin)) > 0;)
		if (buf_add(out, (struct str){ piece, n }))
			return err_set(
				info, ERR_INVALID, "a prompt has at most %d bytes", TEXT_MAX);
	return ferror(stdin) ? ERR_IO : OK;
}

static enum err trial_add(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(TEXT_MAX), body = BUF(8 * TEXT_MAX);
	AUTO_JSON json_t *doc = NULL;
	struct jw w;
	if (!strcmp(a->operand[1], "-"))
		TRY(read_stdin(&text, info));
	else if (buf_add(&text, str_from(a->operand[1])))
		return err_set(info, ERR_INVALID, "a prompt has at most %d bytes", TEXT_MAX);
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "text", text.len ? buf_str(&text) : STR(""));
	jw_end(&w);
	TRY(ask(c, a, "POST", "/prompts", &body, &doc, info));
	if (a->json)
		return print_json(doc);
	wrap_printf(stdout, "%s\n", cli_text(doc, "id"));
	return OK;
}

/* The first line of a text, for a table. */
static void first_line(const char *text, char *dst, size_t size)
{
	struct str s = str_from(text);
	s = str_sub(s, 0, str_find_byte(s, '\n', 0));
	s = str_sub(s, 0, str_utf8_whole(str_sub(s, 0, size - 1)));
	(void)!!str_copy(s, dst, size);
}

static enum err trial_prompts(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "PROMPT", "TEXT" };
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	size_t i;
	json_t *p;
	grid_init(&g, 2, true);
	TRY(ask(c, a, "GET", "/prompts", NULL, &doc, info));
	if (a->json)
		return print_json(doc);
	TRY(grid_row(&g, head));
	json_array_foreach(json_object_get(doc, "prompts"), i, p)
	{
		char text[61];
		first_line(cli_text(p, "text"), text, sizeof text);
		TRY(grid_row(&g, (const char *const[]){ cli_text(p, "id"), text }));
	}
	grid_print(&g, stdout);
	return OK;
}

static enum err trial_rm(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf rest = BUF(16 * 1024);
	AUTO_JSON json_t *doc = NULL;
	const char *z;
	TRY(cli_path(&rest, "/prompts/", a->operand[1]));
	TRY(buf_cstr(&rest, &z));
	return ask(c, a, "DELETE", z, NULL, &doc, info);
}

/* ---- trial: runs ---- */

static enum err trial_run(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(1024);
	AUTO_JSON json_t *doc = NULL;
	const char *tokens = args_get(a, "--tokens");
	uint64_t n = 0;
	if (tokens && (str_to_u64(str_from(tokens), &n) || !n || n > 1024))
		return err_set(info, ERR_INVALID, "--tokens takes a number from 1 to 1024");
	TRY(n ? buf_addf(&body, "{\"tokens\":%llu}", (unsigned long long)n)
	      : buf_add(&body, STR("{}")));
	TRY(ask(c, a, "POST", "/trials", &body, &doc, info));
	if (a->json)
		return print_json(doc);
	wrap_printf(stdout, "trial %s: %s (%.12s) against %s (%.12s), %lld prompts\n",
		cli_text(doc, "id"), cli_text(doc, "old_model"), cli_text(doc, "old_digest"),
		cli_text(doc, "new_model"), cli_text(doc, "new_digest"),
		(long long)json_integer_value(json_object_get(doc, "prompts")));
	return OK;
}

/* The path of the newest trial; a decision is about this one, also when another begins meanwhile.
 */
static enum err newest(struct client *c, const struct args *a, const char *then, struct buf *out,
	struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	TRY(ask(c, a, "GET", "/trials", NULL, &doc, info));
	const json_t *first = json_array_get(json_object_get(doc, "trials"), 0);
	if (!first)
		return err_set(info, ERR_NOT_FOUND, "no trial of \"%s\" was run", a->operand[0]);
	TRY(cli_path(out, "/trials/", cli_text(first, "id")));
	return buf_add(out, str_from(then));
}

static const char *engine_of(const json_t *t, const char *key)
{
	return *cli_text(t, key) ? cli_text(t, key) : "the current engine build";
}

static void print_trial(const json_t *t)
{
	wrap_printf(stdout, "Trial %s: %s\n", cli_text(t, "id"), cli_text(t, "state"));
	wrap_printf(stdout, "  old  %s (%.12s)\n  new  %s (%.12s)\n", cli_text(t, "old_model"),
		cli_text(t, "old_digest"), cli_text(t, "new_model"), cli_text(t, "new_digest"));
	if (*cli_text(t, "old_engine") || *cli_text(t, "new_engine"))
		wrap_printf(stdout, "  under %s, and under %s\n", engine_of(t, "old_engine"),
			engine_of(t, "new_engine"));
	wrap_printf(stdout, "  run by %s\n", who(t, "person_name", "person"));
	if (json_object_get(t, "decided_ms"))
		wrap_printf(stdout, "  decided by %s\n", who(t, "decided_by_name", "decided_by"));
	if (*cli_text(t, "note"))
		wrap_printf(stdout, "  %s\n", cli_text(t, "note"));
}

static enum err trial_show(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf rest = BUF(1024);
	AUTO_JSON json_t *doc = NULL;
	const char *z;
	size_t i;
	json_t *one;
	TRY(newest(c, a, "", &rest, info));
	TRY(buf_cstr(&rest, &z));
	TRY(ask(c, a, "GET", z, NULL, &doc, info));
	if (a->json)
		return print_json(doc);
	print_trial(doc);
	json_array_foreach(json_object_get(doc, "answers"), i, one)
		wrap_printf(stdout, "\n%zu. %s\n--- old (%lld ms)\n%s\n--- new (%lld ms)\n%s\n",
			i + 1, cli_text(one, "prompt"),
			(long long)json_integer_value(json_object_get(one, "old_ms")),
			cli_text(one, "old"),
			(long long)json_integer_value(json_object_get(one, "new_ms")),
			cli_text(one, "new"));
	return OK;
}

static enum err trial_decide(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf rest = BUF(1024), note = BUF(BODY_MAX), body = BUF(BODY_MAX);
	AUTO_JSON json_t *doc = NULL;
	const char *z, *text = NULL;
	bool accept = !strcmp(a->command->name, "trial accept");
	for (unsigned i = 1; i < a->n_operands; i++)
		TRY(buf_addf(&note, "%s%s", i > 1 ? " " : "", a->operand[i]));
	if (note.len)
		TRY(buf_cstr(&note, &text));
	one_field(&body, "note", text);
	TRY(newest(c, a, accept ? "/accept" : "/reject", &rest, info));
	TRY(buf_cstr(&rest, &z));
	TRY(ask(c, a, "POST", z, &body, &doc, info));
	if (a->json)
		return print_json(doc);
	print_trial(doc);
	return OK;
}

int cmd_alias(const struct args *a)
{
	static const struct {
		const char *name;
		cli_fn fn;
	} table[] = {
		{ "alias list", alias_list },
		{ "alias set", alias_set },
		{ "alias promote", alias_promote },
		{ "alias back", alias_plain },
		{ "alias keep", alias_plain },
		{ "alias rm", alias_rm },
		{ "trial add", trial_add },
		{ "trial list", trial_prompts },
		{ "trial rm", trial_rm },
		{ "trial run", trial_run },
		{ "trial show", trial_show },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, a->command->name))
			return cli_with_client(a, table[i].fn);
	return cli_with_client(a, trial_decide);
}
