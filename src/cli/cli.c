/* Entry of cli.so: finds the command, and what the commands share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/width.h"
#include "cli/wrap.h"

int cli_fail(const struct args *a, const char *what, enum err e, const struct err_info *why)
{
	const char *text = why && why->detail[0] ? why->detail : err_text(e);
	if (a->json) {
		AUTO_BUF struct buf out = BUF(8192);
		struct jw w;
		jw_init(&w, &out);
		jw_obj(&w);
		jw_key(&w, "error");
		jw_obj(&w);
		jw_kstr(&w, "slug", str_from(err_slug(e)));
		jw_kstr(&w, "message", str_from(text));
		if (why && why->hint[0])
			jw_kstr(&w, "hint", str_from(why->hint));
		jw_end(&w);
		jw_end(&w);
		wrap_print_str(buf_str(&out), stderr);
		fputc('\n', stderr);
		return 1;
	}
	fprintf(stderr, "tresor: %s: ", what);
	wrap_print(text, stderr);
	if (why && why->hint[0]) {
		fputs(" (", stderr);
		wrap_print(why->hint, stderr);
		fputc(')', stderr);
	}
	fputc('\n', stderr);
	return 1;
}

static bool is_ollamas(const struct args *a)
{
	static const char *const names[] = { "run", "pull", "push", "create", "list", "ls", "ps",
		"show", "stop", "cp", "rm" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(names[i], a->command->name))
			return true;
	return false;
}

/* A data directory that is named goes before a host in the environment. */
static enum err open_client(const struct args *a, struct client **ret, struct err_info *info)
{
	AUTO_HOST struct host h = { 0 };
	char dir[4096];
	const char *named = getenv("TRESOR_DATA");
	bool remote = false;
	if (!a->data && !(named && *named))
		TRY(host_from_env(&h, is_ollamas(a), &remote, info));
	if (remote)
		return client_open_host(&h, ret, info);
	TRY(data_dir(a, dir, sizeof dir));
	return client_open(dir, a->command->makes_instance, ret, info);
}

int cli_with_client(const struct args *a, cli_fn fn)
{
	AUTO(client) struct client *c = NULL;
	struct err_info why = { 0 };
	enum err e = open_client(a, &c, &why);
	if (!e)
		e = fn(c, a, &why);
	if (!e && fflush(stdout))
		e = ERR_IO;
	return e ? cli_fail(a, a->command->name, e, &why) : 0;
}

bool cli_confirm(const char *question)
{
	char answer[8] = "";
	if (!isatty(0))
		return false;
	fprintf(stderr, "%s [y/N] ", question);
	return fgets(answer, sizeof answer, stdin) &&
	       (answer[0] == 'y' || answer[0] == 'Y' || answer[0] == 'j');
}

enum err cli_path(struct buf *out, const char *prefix, const char *segment)
{
	TRY(buf_add(out, str_from(prefix)));
	for (const char *p = segment; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-._~", *p);
		TRY(plain ? buf_add_byte(out, *p) : buf_addf(out, "%%%02X", (unsigned char)*p));
	}
	return out->err;
}

enum err cli_print_json(struct client *c, const char *method, const char *path, struct str body,
	struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(64 * 1024 * 1024);
	TRY(client_call(c, method, path, body, &out, info));
	wrap_print_str(str_trim(buf_str(&out)), stdout);
	putchar('\n');
	return OK;
}

enum err cli_model_body(const char *model, const char *more, struct buf *out)
{
	TRY(buf_add(out, STR("{\"model\":")));
	TRY(json_add_str(out, str_from(model)));
	return buf_addf(out, "%s}", more);
}

const char *cli_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

enum err cli_no_route(
	const struct client *c, enum err e, const char *what, struct err_info *info)
{
	long status = client_status(c);
	bool none = status == 405 || status == 501 ||
		    (status == 404 && !strstr(info->detail, "model"));
	return e && none ? err_set(info, ERR_UNSUPPORTED, "this server cannot %s", what) : e;
}

static const struct {
	const char *name;
	int (*fn)(const struct args *a);
} commands[] = {
	{ "run", cmd_run },
	{ "pull", cmd_pull },
	{ "push", cmd_push },
	{ "create", cmd_create },
	{ "import-ollama", cmd_import_ollama },
	{ "list", cmd_models },
	{ "ls", cmd_models },
	{ "ps", cmd_ps },
	{ "pin", cmd_pin },
	{ "unpin", cmd_pin },
	{ "show", cmd_models },
	{ "stop", cmd_models },
	{ "rm", cmd_models },
	{ "cp", cmd_models },
	{ "advise", cmd_models },
	{ "engines", cmd_engines },
	{ "alias list", cmd_alias },
	{ "alias set", cmd_alias },
	{ "alias promote", cmd_alias },
	{ "alias back", cmd_alias },
	{ "alias keep", cmd_alias },
	{ "alias rm", cmd_alias },
	{ "trial add", cmd_alias },
	{ "trial list", cmd_alias },
	{ "trial rm", cmd_alias },
	{ "trial run", cmd_alias },
	{ "trial show", cmd_alias },
	{ "trial accept", cmd_alias },
	{ "trial reject", cmd_alias },
	{ "sources list", cmd_sources },
	{ "sources add", cmd_sources },
	{ "sources rm", cmd_sources },
	{ "sources login", cmd_sources },
	{ "sources logout", cmd_sources },
	{ "bundle export", cmd_bundle },
	{ "bundle import", cmd_bundle },
	{ "bundle show", cmd_bundle },
	{ "bundle signers", cmd_bundle },
	{ "bundle trust", cmd_bundle },
	{ "bundle distrust", cmd_bundle },
	{ "user add", cmd_people },
	{ "user invite", cmd_people },
	{ "user list", cmd_people },
	{ "user disable", cmd_people },
	{ "user enable", cmd_people },
	{ "user reset", cmd_people },
	{ "user delete", cmd_people },
	{ "owner-link", cmd_people },
	{ "key new", cmd_people },
	{ "audit verify", cmd_audit },
	{ "doctor", cmd_doctor },
	{ "backup", cmd_backup },
	{ "restore", cmd_restore },
	{ "recovery-sheet", cmd_vault },
	{ "undo-upgrade", cmd_vault },
	{ "vault passphrase", cmd_vault },
	{ "vault tpm", cmd_vault },
	{ "tls ca", cmd_vault },
	{ "tls csr", cmd_vault },
	{ "complete", cmd_complete },
};

int cli_main(const struct args *a);
int cli_main(const struct args *a)
{
	width_init();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, a->command->name))
			return commands[i].fn(a);
	fprintf(stderr, "tresor: %s is not built\n", a->command->name);
	return 1;
}
