#include "cli/complete.h"

#include "cli/table.h"

/* ---- scripts ---- */

/* COMP_WORDS is split at colons, which model names have: the line is split here, and what is
 * before the last colon is taken off the candidates again. */
static const char bash_script[] =
	"# Completion of tresor for bash; made by `tresor completion bash`.\n"
	"_tresor()\n"
	"{\n"
	"\tlocal line=\"${COMP_LINE:0:COMP_POINT}\" words cur candidate\n"
	"\tread -ra words <<<\"$line\"\n"
	"\t[[ $line == *[[:blank:]] ]] && words+=(\"\")\n"
	"\tcur=\"${words[${#words[@]}-1]}\"\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS=$'\\t' read -r candidate _; do\n"
	"\t\tif [[ $candidate == :files ]]; then\n"
	"\t\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"\t\t\treturn\n"
	"\t\tfi\n"
	"\t\t[[ $candidate == *= ]] && compopt -o nospace 2>/dev/null\n"
	"\t\tif [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
	"\t\t\tcandidate=\"${candidate#\"${cur%\"${cur##*:}\"}\"}\"\n"
	"\t\telif [[ $cur == --*=* && $COMP_WORDBREAKS == *=* ]]; then\n"
	"\t\t\tcandidate=\"${candidate#*=}\"\n"
	"\t\tfi\n"
	"\t\tCOMPREPLY+=(\"$candidate\")\n"
	"\tdone < <(\"${words[0]}\" complete -- \"${words[@]:1}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _tresor tresor\n";

static const char zsh_script[] =
	"#compdef tresor\n"
	"# Completion of tresor for zsh; made by `tresor completion zsh`.\n"
	"_tresor()\n"
	"{\n"
	"\tlocal line word\n"
	"\tlocal -a words_found texts\n"
	"\tlocal found=\"$(${words[1]} complete -- ${(@)words[2,CURRENT]} 2>/dev/null)\"\n"
	"\tfor line in ${(f)found}; do\n"
	"\t\tword=${line%%$'\\t'*}\n"
	"\t\tif [[ $word == :files ]]; then\n"
	"\t\t\t_files\n"
	"\t\t\treturn\n"
	"\t\tfi\n"
	"\t\twords_found+=(\"$word\")\n"
	"\t\ttexts+=(\"$word  ${line#*$'\\t'}\")\n"
	"\tdone\n"
	"\tcompadd -l -d texts -a words_found\n"
	"}\n"
	"if [[ $funcstack[1] == _tresor ]]; then\n"
	"\t_tresor \"$@\"\n"
	"else\n"
	"\tcompdef _tresor tresor\n"
	"fi\n";

static const char fish_script[] =
	"# Completion of tresor for fish; made by `tresor completion fish`.\n"
	"function __tresor_complete\n"
	"\tset -l words (commandline -opc) (commandline -ct)\n"
	"\tset -l found ($words[1] complete -- $words[2..] 2>/dev/null)\n"
	"\tif test \"$found[1]\" = :files\n"
	"\t\t__fish_complete_path (commandline -ct)\n"
	"\telse if set -q found[1]\n"
	"\t\tprintf '%s\\n' $found\n"
	"\tend\n"
	"end\n"
	"complete -c tresor -f -a '(__tresor_complete)'\n";

int completion_print(FILE *out, const char *shell)
{
	static const struct {
		const char *shell, *script;
	} all[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i].shell, shell))
			return fputs(all[i].script, out) < 0;
	fprintf(stderr, "tresor: no completion for %s: bash, zsh or fish\n", shell);
	return 2;
}

/* ---- candidates ---- */

enum err complete_add(struct buf *out, const char *typed, const char *word, const char *doc)
{
	if (!str_starts(str_from(word), str_from(typed)))
		return OK;
	return buf_addf(out, "%s\t%s\n", word, doc ? doc : "");
}

/* First words, or the second ones of "user add" and its like. */
static enum err add_commands(
	struct buf *out, const char *first, const char *typed, bool *ret_second)
{
	const char *last = "";
	size_t n = first ? strlen(first) : 0;
	for (const struct command_row *c = command_table; c->name; c++) {
		const char *blank = strchr(c->name, ' ');
		char word[64];
		if (first) {
			if (strncmp(c->name, first, n) || c->name[n] != ' ')
				continue;
			*ret_second = true;
			TRY(complete_add(out, typed, c->name + n + 1, c->doc));
			continue;
		}
		size_t len = blank ? (size_t)(blank - c->name) : strlen(c->name);
		if (strlen(last) >= len && !strncmp(last, c->name, len) && blank)
			continue; /* "user" once for all of its commands */
		snprintf(word, sizeof word, "%.*s", (int)len, c->name);
		last = c->name;
		TRY(complete_add(out, typed, word, blank ? "" : c->doc));
	}
	return OK;
}

static enum err add_options(struct buf *out, const struct option_row *rows, const char *typed)
{
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX && rows[i].name; i++)
		TRY(complete_add(out, typed, option_long(&rows[i]), rows[i].doc));
	return OK;
}

/* "owner|admin|member", "[=true|false]": the words of it. Others are free text or a file. */
static enum err add_values(struct buf *out, const char *prefix, const char *arg, const char *typed,
	enum complete_more *ret_more)
{
	struct str rest = str_from(arg), word;
	if (str_starts(rest, STR("[=")))
		rest = str_sub(rest, 2, rest.len - 3);
	if (!strcmp(arg, "FILE") || !strcmp(arg, "DIR"))
		*ret_more = COMPLETE_FILES;
	if (!strchr(arg, '|'))
		return OK;
	while (str_next(&rest, '|', &word)) {
		char full[128];
		if (!word.len || (word.ptr[0] >= 'A' && word.ptr[0] <= 'Z'))
			continue; /* names a value, as FILE does */
		snprintf(full, sizeof full, "%s%.*s", prefix, STR_ARG(word));
		TRY(complete_add(out, typed, full, ""));
	}
	return OK;
}

static const struct option_row *option_of(const struct command_row *c, struct str name)
{
	const struct option_row *lists[] = { c->options, common_options };
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < COMMAND_OPTIONS_MAX && lists[k][i].name; i++) {
			char letter[3] = { '-', option_letter(&lists[k][i]), '\0' };
			if (str_eq(name, str_from(option_long(&lists[k][i]))) ||
				(letter[1] && str_eq(name, str_from(letter))))
				return &lists[k][i];
		}
	return NULL;
}

static bool wants_value(const struct option_row *o)
{
	return o && o->arg && o->arg[0] != '[';
}

/* "--think=hi": the option's values, each with what stands before it. */
static enum err add_after_equals(struct buf *out, const struct command_row *c, const char *typed,
	enum complete_more *ret_more)
{
	struct str word = str_from(typed);
	struct str name = str_sub(word, 0, str_find_byte(word, '=', 0));
	const struct option_row *o = option_of(c, name);
	char prefix[96];
	snprintf(prefix, sizeof prefix, "%.*s=", STR_ARG(name));
	return o && o->arg ? add_values(out, prefix, o->arg, typed, ret_more) : OK;
}

static enum err add_operands(struct buf *out, const struct command_row *c, unsigned at,
	const char *typed, enum complete_more *ret_more)
{
	bool every = !strcmp(c->operands, "MODEL...");
	if (!strncmp(c->operands, "MODEL", 5) && (at == 0 || every) && strcmp(c->name, "create"))
		*ret_more = COMPLETE_MODELS;
	else if (!strcmp(c->name, "help") && !at)
		return add_commands(out, NULL, typed, &every);
	else if (at < c->max_operands)
		return add_values(out, "", c->operands, typed, ret_more);
	return OK;
}

static const struct command_row *command_of(
	const char *const *words, unsigned n, unsigned *ret_used)
{
	char two[128] = "";
	if (n > 2)
		snprintf(two, sizeof two, "%.60s %.60s", words[0], words[1]);
	for (unsigned used = 2; used; used--)
		for (const struct command_row *c = command_table; c->name; c++)
			if (!strcmp(c->name, used == 2 ? two : words[0])) {
				*ret_used = used;
				return c;
			}
	return NULL;
}

enum err complete_words(const char *const *words, unsigned n, struct buf *out,
	enum complete_more *ret_more)
{
	const char *typed = words[n - 1];
	unsigned used = 0, operands = 0;
	bool second = false, value = false;
	*ret_more = COMPLETE_DONE;
	if (n == 1)
		return add_commands(out, NULL, typed, &second);
	if (n == 2)
		TRY(add_commands(out, words[0], typed, &second));
	const struct command_row *c = second ? NULL : command_of(words, n, &used);
	if (!c)
		return OK;
	for (unsigned i = used; i + 1 < n; i++) {
		bool option = words[i][0] == '-' && !value;
		operands += !option && !value;
		value = option && wants_value(option_of(c, str_from(words[i])));
	}
	if (value) {
		const struct option_row *o = option_of(c, str_from(words[n - 2]));
		return add_values(out, "", o->arg, typed, ret_more);
	}
	if (typed[0] != '-')
		return add_operands(out, c, operands, typed, ret_more);
	if (strchr(typed, '='))
		return add_after_equals(out, c, typed, ret_more);
	TRY(add_options(out, c->options, typed));
	return add_options(out, common_options, typed);
}
