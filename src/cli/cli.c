/* Entry of cli.so: finds the command, and what the commands share. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

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
		fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&out)));
		return 1;
	}
	fprintf(stderr, "tresor: %s: %s", what, text);
	if (why && why->hint[0])
		fprintf(stderr, " (%s)", why->hint);
	fputc('\n', stderr);
	return 1;
}

int cli_with_client(const struct args *a, cli_fn fn)
{
	AUTO(client) struct client *c = NULL;
	char dir[4096];
	struct err_info why = { 0 };
	enum err e = data_dir(a, dir, sizeof dir);
	if (!e)
		e = client_open(dir, a->command->makes_instance, &c, &why);
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

void cli_bytes(uint64_t n, char ret[16])
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t u = 0;
	for (; v >= 1000 && u < 4; u++)
		v /= 1000;
	snprintf(ret, 16, v < 10 && u ? "%.1f %s" : "%.0f %s", v, units[u]);
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

static const struct {
	const char *name;
	int (*fn)(const struct args *a);
} commands[] = {
	{ "run", cmd_run },
	{ "pull", cmd_pull },
	{ "list", cmd_models },
	{ "ls", cmd_models },
	{ "ps", cmd_ps },
	{ "pin", cmd_pin },
	{ "unpin", cmd_pin },
	{ "show", cmd_models },
	{ "stop", cmd_models },
	{ "rm", cmd_models },
	{ "advise", cmd_models },
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
};

int cli_main(const struct args *a);
int cli_main(const struct args *a)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, a->command->name))
			return commands[i].fn(a);
	fprintf(stderr, "tresor: %s is not built\n", a->command->name);
	return 1;
}
