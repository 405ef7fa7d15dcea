#include "cli/table.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/fd.h"
#include "roles/config.h"

const struct option_row common_options[] = {
	{ "--data", "DIR", "the data directory; else $TRESOR_DATA, else ~/.local/share/tresor" },
	{ "--json", NULL, "print JSON" },
	{ "--help", NULL, "say how the command is used" },
	{ NULL, NULL, NULL },
};

const struct environment_row environment[] = {
	{ "TRESOR_DATA", "the data directory" },
	{ "TRESOR_HOST",
		"another server to talk to: HOST[:PORT], :PORT, [IPV6]:PORT or "
		"http(s)://HOST[:PORT]; port 7070 unless named; --data and TRESOR_DATA go "
		"before it" },
	{ "OLLAMA_HOST",
		"the same when TRESOR_HOST is not set, for the commands that Ollama has; port "
		"11434 unless named" },
	{ "TRESOR_API_KEY",
		"the key for that server; else OLLAMA_API_KEY; only sent by https, or to this "
		"machine" },
	{ "TRESOR_CA_FILE", "PEM file by which that server's certificate is checked" },
	{ "TRESOR_NOHISTORY", "1: run keeps no history; also OLLAMA_NOHISTORY" },
	{ "TRESOR_EDITOR", "what Ctrl+G opens; else OLLAMA_EDITOR, VISUAL, EDITOR" },
	{ "XDG_STATE_HOME", "holds tresor/history; else ~/.local/state" },
	{ NULL, NULL },
};

#define SERVE_OPTIONS                                                                            \
	{ "--listen", "ADDRESS:PORT",                                                            \
		"listen here (may be repeated); default 127.0.0.1:7070; any other than "         \
		"loopback is served by TLS 1.3 only" },                                          \
		{ "--hosts", "NAMES", "names and addresses people type, for the certificate" },  \
		{ "--behind-proxy", "CIDRS", "networks whose X-Forwarded-For counts" },          \
		{ "--tls-cert", "FILE", "certificate chain (PEM) instead of the own CA" },       \
		{ "--tls-key", "FILE", "its private key (PEM)" },                                \
		{ "--key", "auto|file|passphrase|tpm", "where the master key comes from" },      \
		{ "--key-file", "FILE", "the key file" },                                        \
		{ "--passphrase-file", "FILE", "file with the passphrase" },                     \
		{ "--local-only", NULL, "only the socket in the data directory" }

const struct command_row command_table[] = {
	{ "serve", "", 0, 0, "start Tresor and stay in the foreground", true,
		{ SERVE_OPTIONS } },
	{ "start", "", 0, 0, "the same as serve", true, { SERVE_OPTIONS } },
	{ "run", "MODEL [QUESTION...]", 1, ARGS_MAX,
		"ask a question, or talk; a model that is not there is pulled first", true,
		{ { "--verbose", NULL, "print counts and times after the answer" },
			{ "--system", "TEXT", "system prompt" },
			{ "--format", "json|SCHEMA", "the answer is JSON, or by a JSON schema" },
			{ "--think", "[=true|false|high|medium|low]",
				"let the model think before it answers, or not" },
			{ "--hidethinking", NULL, "do not show what it thinks" },
			{ "--keepalive", "DURATION", "how long the model stays loaded (5m, 1h)" },
			{ "--nowordwrap", NULL, "do not break lines between words" },
			{ "--insecure", NULL,
				"when it is pulled: by http, where the list of allowed addresses "
				"says so" },
			{ "--truncate", "[=true|false]",
				"embedding models: cut a text that is too long, or fail" },
			{ "--dimensions", "N", "embedding models: the vector's length" } } },
	{ "pull", "SOURCE", 1, 1,
		"bring a model into the house: NAME[:TAG], HOST/NAME:TAG, "
		"hf.co/USER/REPO:QUANT, starter:NAME, file:PATH",
		true,
		{ { "--as", "NAME", "what it is called here" },
			{ "--insecure", NULL,
				"by http, where the list of allowed addresses says so" } } },
	{ "push", "MODEL", 1, 1,
		"send a model to the registry that its name says (sources add --push allows it)",
		false,
		{ { "--insecure", NULL,
			"by http, where the list of allowed addresses says so" } } },
	{ "create", "MODEL", 1, 1,
		"make a model of a Modelfile, of GGUF files (also of one in parts), or of a folder "
		"of safetensors",
		true,
		{ { "-f --file", "FILE",
			  "the Modelfile (./Modelfile), the model's GGUF file, or the folder" },
			{ "--projector", "FILE", "its projector (mmproj), for pictures" },
			{ "-q --quantize", "TYPE",
				"make it smaller: q4_K_M, q8_0, f16 and others; of F32, F16 and "
				"BF16" } } },
	{ "import-ollama", "[FOLDER]", 0, 1,
		"take over the models of an Ollama on this machine without copying them; nothing "
		"there is changed; else $OLLAMA_MODELS, else ~/.ollama/models",
		true,
		{ { "--copy", NULL, "copy the files that cannot be shared" } } },
	{ "list", "[PREFIX]", 0, 1, "the models that are there", false, { { NULL, NULL, NULL } } },
	{ "ls", "[PREFIX]", 0, 1, "the same as list", false, { { NULL, NULL, NULL } } },
	{ "ps", "", 0, 0, "the models that are loaded", false,
		{ { "--verbose", NULL,
			"also memory, queue, times, cache and crashes of each; with --json all of "
			"it" } } },
	{ "pin", "MODEL", 1, 1, "load a model and keep it loaded, also after a restart", false,
		{ { NULL, NULL, NULL } } },
	{ "unpin", "MODEL", 1, 1, "let a pinned model be unloaded again", false,
		{ { NULL, NULL, NULL } } },
	{ "show", "MODEL", 1, 1, "what is known of a model", false,
		{ { "--license", NULL, "only its license" },
			{ "--modelfile", NULL, "only its Modelfile" },
			{ "--parameters", NULL, "only its parameters" },
			{ "--template", NULL, "only its template" },
			{ "--system", NULL, "only its system message" },
			{ "-v --verbose", NULL, "also all metadata and tensors" } } },
	{ "stop", "MODEL", 1, 1, "unload a model", false, { { NULL, NULL, NULL } } },
	{ "cp", "MODEL NAME", 2, 2, "give a model another name, too", false,
		{ { NULL, NULL, NULL } } },
	{ "rm", "MODEL...", 1, ARGS_MAX, "remove models", false,
		{ { "--force", NULL,
			"also those that an alias names or somebody uses; running answers end "
			"first" } } },
	{ "advise", "", 0, 0, "which models fit this machine", true,
		{ { "--best", NULL, "print only the source of the best one" } } },
	{ "engines", "", 0, 0, "the engine builds that are installed, and who keeps which", false,
		{ { "--check", NULL, "hash every file of them again" } } },
	{ "alias list", "", 0, 0, "the short names, what they stand for, and who decided it", false,
		{ { NULL, NULL, NULL } } },
	{ "alias set", "NAME MODEL", 2, 2,
		"let a short name stand for this version of a model: a new name's production, else "
		"the candidate",
		false,
		{ { "--channel", "production|candidate",
			"which of them; production only while there is none" },
			{ "--engine", "ID|current|none",
				"the engine build it keeps; default: the current one where "
				"production keeps one" } } },
	{ "alias promote", "NAME", 1, 1,
		"make the candidate production, after an accepted trial of both", false,
		{ { "--override", "REASON", "without a trial; kept and audited" } } },
	{ "alias back", "NAME", 1, 1, "exchange production and the version before it", false,
		{ { NULL, NULL, NULL } } },
	{ "alias keep", "NAME", 1, 1,
		"let production keep the engine build that is current now, until another is "
		"promoted",
		false, { { NULL, NULL, NULL } } },
	{ "alias rm", "NAME", 1, 1, "remove a short name with its prompts and trials", false,
		{ { NULL, NULL, NULL } } },
	{ "trial add", "NAME TEXT|-", 2, 2,
		"save a prompt that trials of this alias ask; -: from standard input", false,
		{ { NULL, NULL, NULL } } },
	{ "trial list", "NAME", 1, 1, "the prompts of an alias", false, { { NULL, NULL, NULL } } },
	{ "trial rm", "NAME PROMPT", 2, 2, "remove a prompt, by its id", false,
		{ { NULL, NULL, NULL } } },
	{ "trial run", "NAME", 1, 1,
		"ask production and candidate every prompt; goes on in the background", false,
		{ { "--tokens", "N", "the longest answer, 1 to 1024; default 256" } } },
	{ "trial show", "NAME", 1, 1, "the newest trial, its answers side by side", false,
		{ { NULL, NULL, NULL } } },
	{ "trial accept", "NAME [NOTE...]", 1, ARGS_MAX,
		"accept the newest trial: its candidate may be promoted", false,
		{ { NULL, NULL, NULL } } },
	{ "trial reject", "NAME [NOTE...]", 1, ARGS_MAX, "reject the newest trial", false,
		{ { NULL, NULL, NULL } } },
	{ "sources list", "", 0, 0,
		"where Tresor may connect to, who allowed it, when and what for", false,
		{ { NULL, NULL, NULL } } },
	{ "sources add", "HOST[:PORT] REASON", 2, 2,
		"allow a host, *.SUFFIX or address; port 443 unless named", false,
		{ { "--push", NULL, "models may also be sent there" },
			{ "--plain", NULL, "also without encryption: for registries nearby" } } },
	{ "sources rm", "HOST[:PORT]", 1, 1, "allow it no longer; its log-in goes, too", false,
		{ { NULL, NULL, NULL } } },
	{ "sources login", "HOST[:PORT]", 1, 1,
		"store a log-in for a registry, sealed; pull and push use it", false,
		{ { "--user", "NAME", "who the house is there" },
			{ "--password-stdin", NULL,
				"read the password or token from standard input" } } },
	{ "sources logout", "HOST[:PORT]", 1, 1, "remove the log-in for a registry", false,
		{ { NULL, NULL, NULL } } },
	{ "bundle export", "MODEL...", 1, ARGS_MAX,
		"write models into one signed file, for machines without network", false,
		{ { "-o --output", "FILE", "the file" } } },
	{ "bundle import", "FILE", 1, 1, "take the models of such a file in", false,
		{ { "--trust", "FINGERPRINT",
			"trust its signer from now on; compare it with what the sender tells "
			"you" } } },
	{ "bundle show", "FILE", 1, 1, "what is in such a file, and who signed it", false,
		{ { NULL, NULL, NULL } } },
	{ "bundle signers", "", 0, 0, "whose bundles are taken, and what this house signs with",
		false, { { NULL, NULL, NULL } } },
	{ "bundle trust", "FINGERPRINT", 1, 1, "take bundles of this signer", false,
		{ { NULL, NULL, NULL } } },
	{ "bundle distrust", "FINGERPRINT", 1, 1, "take them no longer", false,
		{ { NULL, NULL, NULL } } },
	{ "user add", "EMAIL", 1, 1, "make an account", true,
		{ { "--role", "owner|admin|member", "its role; default member" },
			{ "--name", "NAME", "the person's name" },
			{ "--password-stdin", NULL, "read the password from standard input" } } },
	{ "user invite", "EMAIL", 1, 1, "print a link by which a person makes their account", false,
		{ { "--role", "admin|member", "default member" } } },
	{ "user list", "", 0, 0, "the accounts", false, { { NULL, NULL, NULL } } },
	{ "user disable", "EMAIL", 1, 1, "end all sessions and let nobody in", false,
		{ { NULL, NULL, NULL } } },
	{ "user enable", "EMAIL", 1, 1, "let them in again", false, { { NULL, NULL, NULL } } },
	{ "user reset", "EMAIL", 1, 1, "print a link for a new password", false,
		{ { NULL, NULL, NULL } } },
	{ "user delete", "EMAIL", 1, 1, "delete the account and everything of it", false,
		{ { "--yes", NULL, "do not ask" } } },
	{ "owner-link", "", 0, 0, "print a one-time link that makes an owner", true,
		{ { NULL, NULL, NULL } } },
	{ "key new", "NAME", 1, 1, "make an API key and print it, once", false,
		{ { "--user", "EMAIL", "whose key it is" },
			{ "--scopes", "LIST", "default chat,models.read" },
			{ "--days", "N", "it ends after so many days" } } },
	{ "audit verify", "", 0, 0,
		"check the audit log: 0 intact, 1 first bad record named, 2 cannot "
		"read",
		false, { { NULL, NULL, NULL } } },
	{ "doctor", "", 0, 0, "check the installation", false, { { NULL, NULL, NULL } } },
	{ "backup", "", 0, 0, "copy everything, encrypted, to a folder; only what is new is copied",
		false,
		{ { "--to", "DIR", "the folder" },
			{ "--with-models", NULL,
				"also the models (large; they can be pulled again)" } } },
	{ "restore", "", 0, 0, "make a data directory from a backup and the recovery sheet", true,
		{ { "--from", "DIR", "the backup's folder" },
			{ "--manifest", "NAME", "which backup; default the newest" },
			{ "--code-file", "FILE",
				"file with the recovery code; else it is asked for" },
			{ "--check", NULL, "only check that the backup is whole" } } },
	{ "recovery-sheet", "", 0, 0, "print a new recovery code, once; the old one ends", false,
		{ { NULL, NULL, NULL } } },
	{ "undo-upgrade", "", 0, 0, "put the database back as it was before the last upgrade",
		false, { { "--yes", NULL, "do not ask" } } },
	{ "vault passphrase", "", 0, 0, "wrap the master key by a passphrase and drop the key file",
		false,
		{ { "--passphrase-file", "FILE",
			"file with the new passphrase; else it is asked for" } } },
	{ "vault tpm", "FILE", 1, 1, "seal the master key to the TPM as a systemd credential",
		false, { { NULL, NULL, NULL } } },
	{ "tls ca", "", 0, 0, "print the own CA's certificate, for browsers to trust", false,
		{ { NULL, NULL, NULL } } },
	{ "tls csr", "", 0, 0, "print a certificate request for the company's CA", false,
		{ { "--hosts", "NAMES", "names and addresses people type" } } },
	{ "completion", "bash|zsh|fish", 1, 1, "print the script for a shell's completion", false,
		{ { NULL, NULL, NULL } } },
	{ "complete", "[WORD...]", 0, ARGS_MAX,
		"print what the last word may become (after --): for those scripts", false,
		{ { NULL, NULL, NULL } } },
	{ "version", "", 0, 0, "print the version", false, { { NULL, NULL, NULL } } },
	{ "help", "[COMMAND]", 0, 2, "say how a command is used", false, { { NULL, NULL, NULL } } },
	{ "man", "", 0, 0, "print the man page's source", false, { { NULL, NULL, NULL } } },
	{ NULL, NULL, 0, 0, NULL, false, { { NULL, NULL, NULL } } },
};

/* ---- parsing ---- */

static const struct command_row *find_command(int argc, char **argv, int *ret_used)
{
	char two[128] = "";
	if (argc > 2)
		snprintf(two, sizeof two, "%.60s %.60s", argv[1], argv[2]);
	for (const struct command_row *c = command_table; c->name; c++)
		if (!strcmp(c->name, two)) {
			*ret_used = 3;
			return c;
		}
	for (const struct command_row *c = command_table; c->name; c++)
		if (!strcmp(c->name, argv[1])) {
			*ret_used = 2;
			return c;
		}
	return NULL;
}

char option_letter(const struct option_row *row)
{
	return row->name[1] == '-' ? '\0' : row->name[1];
}

const char *option_long(const struct option_row *row)
{
	return option_letter(row) ? row->name + strlen("-x ") : row->name;
}

static const struct option_row *find_option(
	const struct option_row *rows, struct str name, size_t *ret_at)
{
	bool letter = name.len == 2;
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX && rows[i].name; i++)
		if (letter ? option_letter(&rows[i]) == name.ptr[1]
			   : str_eq(name, str_from(option_long(&rows[i])))) {
			*ret_at = i;
			return &rows[i];
		}
	return NULL;
}

static int wrong(const char *what, const char *which)
{
	fprintf(stderr, "tresor: %s %s (see tresor help)\n", what, which);
	return 2;
}

static int set_common(struct args *a, size_t at, const char *value)
{
	if (at == 0)
		a->data = value;
	else if (at == 1)
		a->json = true;
	else
		a->help = true;
	return 0;
}

static int set_option(struct args *a, size_t at, const char *value)
{
	size_t used = strlen(a->listen_text);
	if (strcmp(option_long(&a->command->options[at]), "--listen")) {
		a->value[at] = value;
		return 0;
	}
	int n = snprintf(a->listen_text + used, sizeof a->listen_text - used, "%s%s",
		used ? "," : "", value);
	if (n < 0 || (size_t)n >= sizeof a->listen_text - used)
		return wrong("too many addresses:", value);
	a->value[at] = a->listen_text;
	return 0;
}

static int parse_option(struct args *a, int argc, char **argv, int *i)
{
	struct str word = str_from(argv[*i]);
	size_t eq = str_find_byte(word, '=', 0), at = 0;
	struct str name = eq == SIZE_MAX ? word : str_sub(word, 0, eq);
	const struct option_row *common = find_option(common_options, name, &at);
	const struct option_row *row =
		common ? common : find_option(a->command->options, name, &at);
	const char *value = "";
	if (!row)
		return wrong("unknown option", argv[*i]);
	bool may = row->arg && row->arg[0] == '['; /* only after =, or none */
	if (row->arg && eq != SIZE_MAX)
		value = argv[*i] + eq + 1;
	else if (row->arg && !may && *i + 1 < argc)
		value = argv[++*i];
	else if ((row->arg && !may) || eq != SIZE_MAX)
		return wrong(
			row->arg ? "a value is missing after" : "no value belongs to", argv[*i]);
	return common ? set_common(a, at, value) : set_option(a, at, value);
}

/* "-f" is an option where one has that letter; elsewhere one dash and a letter is a mistake, but in
 * a question. */
static bool is_option(const struct args *a, const char *word)
{
	if (!strncmp(word, "--", 2))
		return true;
	bool letter = word[0] == '-' && word[1] && !word[2] &&
		      ((word[1] | 0x20) >= 'a' && (word[1] | 0x20) <= 'z');
	return letter && !(a->n_operands && !strcmp(a->command->name, "run"));
}

int args_parse(int argc, char **argv, struct args *ret)
{
	*ret = (struct args){ 0 };
	int used = 1;
	static char version[] = "version";
	bool only_operands = false;
	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help_print(argc < 2 ? stderr : stdout, NULL);
		ret->help = true;
		return argc < 2 ? 2 : 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v"))
		argv[1] = version;
	ret->command = find_command(argc, argv, &used);
	if (!ret->command)
		return wrong("unknown command", argv[1]);
	for (int i = used; i < argc; i++) {
		if (!only_operands && !strcmp(argv[i], "--")) {
			only_operands = true;
		} else if (!only_operands && is_option(ret, argv[i])) {
			int bad = parse_option(ret, argc, argv, &i);
			if (bad)
				return bad;
		} else if (ret->n_operands == ret->command->max_operands) {
			return wrong("one argument too many:", argv[i]);
		} else {
			ret->operand[ret->n_operands++] = argv[i];
		}
	}
	if (!ret->help && ret->n_operands < ret->command->min_operands)
		return wrong("missing:", ret->command->operands);
	return 0;
}

const char *args_get(const struct args *a, const char *option)
{
	size_t at = 0;
	return find_option(a->command->options, str_from(option), &at) ? a->value[at] : NULL;
}

enum err data_dir(const struct args *a, char *ret, size_t size)
{
	char path[PATH_MAX], here[PATH_MAX];
	const char *env = getenv("TRESOR_DATA"), *xdg = getenv("XDG_DATA_HOME"),
		   *home = getenv("HOME");
	if (a->data || (env && *env))
		TRY(str_copy(str_from(a->data ? a->data : env), path, sizeof path));
	else if (xdg && *xdg)
		TRY(path_join(path, sizeof path, xdg, "tresor"));
	else
		TRY(path_join(path, sizeof path, home ? home : "/var/lib",
			home ? ".local/share/tresor" : "tresor"));
	if (path[0] == '/')
		return str_copy(str_from(path), ret, size);
	if (!getcwd(here, sizeof here))
		return ERR_IO;
	return path_join(ret, size, here, path);
}

/* ---- help and man page ---- */

static void print_options(FILE *out, const struct option_row *rows)
{
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX && rows[i].name; i++) {
		char left[96], letter = option_letter(&rows[i]);
		const char *arg = rows[i].arg ? rows[i].arg : "";
		snprintf(left, sizeof left, "%s%.1s%s%s%s%s", letter ? "-" : "",
			letter ? &rows[i].name[1] : "", letter ? ", " : "", option_long(&rows[i]),
			*arg && *arg != '[' ? " " : "", arg);
		fprintf(out, "    %-30s %s\n", left, rows[i].doc);
	}
}

void help_print(FILE *out, const struct command_row *only)
{
	if (!only)
		fputs("Tresor: a company's own AI on its own machine.\n\nusage: tresor COMMAND "
			"[OPTION...]\n\n",
			out);
	for (const struct command_row *c = command_table; c->name; c++) {
		if (only && only != c)
			continue;
		char left[64];
		snprintf(
			left, sizeof left, "%s%s%s", c->name, *c->operands ? " " : "", c->operands);
		fprintf(out, "%s%-28s %s\n", only ? "usage: tresor " : "  ", left, c->doc);
		if (only)
			print_options(out, c->options);
	}
	if (only)
		print_options(out, common_options);
	if (only)
		return;
	fputs("\nEnvironment:\n", out);
	for (const struct environment_row *e = environment; e->name; e++)
		fprintf(out, "  %-28s %s\n", e->name, e->doc);
	fputs("\n`tresor help COMMAND` lists its options. Exit codes: 0 done, 1 failed, "
	      "2 wrong use.\n",
		out);
}

static void man_options(FILE *out, const struct option_row *rows)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX && rows[i].name; i++) {
		fputs(".It ", out);
		if (option_letter(&rows[i]))
			fprintf(out, "Fl %c , ", option_letter(&rows[i]));
		fprintf(out, "Fl Fl %s%s%s\n%s.\n", option_long(&rows[i]) + 2,
			rows[i].arg ? " Ar " : "", rows[i].arg ? rows[i].arg : "", rows[i].doc);
	}
	fputs(".El\n", out);
}

void man_print(FILE *out)
{
	fputs(".Dd $Mdocdate$\n.Dt TRESOR 8\n.Os\n.Sh NAME\n.Nm tresor\n.Nd a company's own AI "
		"on its own machine\n"
	      ".Sh SYNOPSIS\n.Nm tresor\n.Ar command\n.Op Ar option ...\n.Sh DESCRIPTION\n"
	      "Tresor serves language models to a team, with a chat workspace and the APIs of "
	      	"Ollama and OpenAI,\n"
	      "inside one vault. Commands talk to a running server by the socket in its data "
	      	"directory; when none\n"
	      "runs, they start one for the moment.\n.Sh OPTIONS\nEvery command takes:\n",
		out);
	man_options(out, common_options);
	fputs(".Sh COMMANDS\n.Bl -tag -width Ds\n", out);
	for (const struct command_row *c = command_table; c->name; c++) {
		fprintf(out, ".It Nm tresor Cm %s%s%s\n%s.\n", c->name, *c->operands ? " Ar " : "",
			c->operands, c->doc);
		if (c->options[0].name)
			man_options(out, c->options);
	}
	fputs(".El\n.Sh ENVIRONMENT\n.Bl -tag -width Ds\n", out);
	for (const struct environment_row *e = environment; e->name; e++)
		fprintf(out, ".It Ev %s\n%s.\n", e->name, e->doc);
	fputs(".El\n.Sh FILES\n.Pa DIR/tresor.conf\n(strict\n.Ql key = value\n):\n.Bl -tag "
		"-width Ds\n",
		out);
	for (const struct config_doc *d = config_docs(); d->key; d++)
		fprintf(out, ".It Cm %s\n%s%s. Default: %s%s\n", d->key, d->doc,
			d->reload ? " (read again on SIGHUP)" : "", *d->value ? d->value : "empty",
			".");
	fputs(".El\n.Pp\n.Pa /usr/local/lib/tresor/engines\nholds engine builds that the "
	      "administrator adds to the program's own, and the link\n.Pa current\nthat chooses "
	      "one of them (read again on SIGHUP).\n",
		out);
	fputs(".Sh EXIT STATUS\n0 done, 1 failed, 2 wrong use.\n", out);
}
