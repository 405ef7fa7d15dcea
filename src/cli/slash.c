/* The commands of the talk that begin with a slash. Words and answers are Ollama's. */
#include <stdio.h>

#include "base/limits.h"
#include "cli/attach.h"
#include "cli/progress.h"
#include "cli/repl.h"
#include "cli/show.h"
#include "cli/wrap.h"
#include "models/modelfile.h"

enum { WORDS_MAX = 64, WORD_MAX = 512 };

struct words {
	char word[WORDS_MAX][WORD_MAX];
	size_t n;
	const char *lacks; /* what could not be taken; NULL: all was */
	struct str rest; /* the line from the third word on */
};

static void split(struct str line, struct words *w)
{
	w->n = 0;
	w->lacks = NULL;
	w->rest = STR("");
	for (size_t i = 0; i < line.len;) {
		while (i < line.len && strchr(" \t\n", line.ptr[i]))
			i++;
		size_t start = i;
		while (i < line.len && !strchr(" \t\n", line.ptr[i]))
			i++;
		if (i == start)
			break;
		if (w->n == WORDS_MAX) {
			w->lacks = "more than 64 words";
			break;
		}
		if (w->n == 2)
			w->rest = str_sub(line, start, line.len);
		struct str one = str_sub(line, start, i - start);
		if (one.len >= WORD_MAX)
			w->lacks = "a word is longer than 511 bytes";
		one.len = str_utf8_whole(str_sub(one, 0, WORD_MAX - 1));
		(void)!!str_copy(one, w->word[w->n++], WORD_MAX);
	}
}

/* ---- help ---- */

static const char help_all[] =
	"Available Commands:\n"
	"  /set            Set session variables\n"
	"  /show           Show model information\n"
	"  /load <model>   Load a session or model\n"
	"  /save <model>   Save your current session\n"
	"  /clear          Clear session context\n"
	"  /bye, /exit     Exit\n"
	"  /?, /help       Help for a command\n"
	"  /? shortcuts    Help for keyboard shortcuts\n"
	"\n"
	"Use \"\"\" to begin a multi-line message.\n";
static const char help_pictures[] = "Use /path/to/file to include .jpg, .png, or .webp images.\n";
static const char help_set[] =
	"Available Commands:\n"
	"  /set parameter ...     Set a parameter\n"
	"  /set system <string>   Set system message\n"
	"  /set history           Enable history\n"
	"  /set nohistory         Disable history\n"
	"  /set wordwrap          Enable wordwrap\n"
	"  /set nowordwrap        Disable wordwrap\n"
	"  /set format json       Enable JSON mode\n"
	"  /set noformat          Disable formatting\n"
	"  /set verbose           Show LLM stats\n"
	"  /set quiet             Disable LLM stats\n"
	"  /set think [level]     Enable thinking (high, medium, low)\n"
	"  /set nothink           Disable thinking\n"
	"\n";
static const char help_show[] =
	"Available Commands:\n"
	"  /show info         Show details for this model\n"
	"  /show license      Show model license\n"
	"  /show modelfile    Show Modelfile for this model\n"
	"  /show parameters   Show parameters for this model\n"
	"  /show system       Show system message\n"
	"  /show template     Show prompt template\n"
	"\n";
static const char help_keys[] =
	"Available keyboard shortcuts:\n"
	"  Ctrl + a, Home      Move to the beginning of the line\n"
	"  Ctrl + e, End       Move to the end of the line\n"
	"   Alt + b            Move back (left) one word\n"
	"   Alt + f            Move forward (right) one word\n"
	"  Ctrl + k            Delete the sentence after the cursor\n"
	"  Ctrl + u            Delete the sentence before the cursor\n"
	"  Ctrl + w            Delete the word before the cursor\n"
	"  Ctrl + j            Begin a new line\n"
	"  Up, Down            Lines of the message, then what was asked before\n"
	"\n"
	"  Ctrl + l            Clear the screen\n"
	"  Ctrl + g            Open default editor to compose a prompt\n"
	"  Ctrl + c            Stop the model from responding\n"
	"  Ctrl + d            Exit (/bye)\n"
	"\n";
static const char help_parameters[] =
	"Available Parameters:\n"
	"  /set parameter seed <int>             Random number seed\n"
	"  /set parameter num_predict <int>      Max number of tokens to predict\n"
	"  /set parameter top_k <int>            Pick from top k num of tokens\n"
	"  /set parameter top_p <float>          Pick token based on sum of probabilities\n"
	"  /set parameter min_p <float>          Pick token based on top token probability * "
	"min_p\n"
	"  /set parameter num_ctx <int>          Set the context size\n"
	"  /set parameter temperature <float>    Set creativity level\n"
	"  /set parameter repeat_penalty <float> How strongly to penalize repetitions\n"
	"  /set parameter repeat_last_n <int>    Set how far back to look for repetitions\n"
	"  /set parameter num_gpu <int>          The number of layers to send to the GPU\n"
	"  /set parameter stop <string> <string> ...   Set the stop parameters\n"
	"\n";

static void help(struct repl *r, const struct words *w)
{
	const char *about = w->n > 1 ? w->word[1] : "";
	about += *about == '/';
	if (!strcmp(about, "set"))
		fputs(help_set, stdout);
	else if (!strcmp(about, "show"))
		fputs(help_show, stdout);
	else if (!strcmp(about, "shortcuts") || !strcmp(about, "shortcut"))
		fputs(help_keys, stdout);
	else
		printf("%s%s\n", help_all, r->talk->sees ? help_pictures : "");
}

/* ---- /set parameter ---- */

static enum err add_parameter(struct modelfile *m, const struct words *w, bool all)
{
	for (size_t i = 3; i < (all ? w->n : 4); i++)
		TRY(modelfile_add(m, MODELFILE_PARAMETER, str_from(w->word[2]),
			str_from(w->word[i]), NULL));
	return OK;
}

static enum err take_parameter(
	struct talk *t, const struct words *w, enum modelfile_type type)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	AUTO_JSON json_t *one = NULL;
	TRY(modelfile_new(&m));
	TRY(add_parameter(m, w, type == MODELFILE_STRING));
	TRY(modelfile_params(m, &one));
	return json_object_update(t->options, one) ? ERR_NOMEM : OK;
}

static void set_parameter(struct repl *r, const struct words *w)
{
	static const char *const kinds[] = { [MODELFILE_INT] = "int", [MODELFILE_FLOAT] = "float",
		[MODELFILE_BOOL] = "bool", [MODELFILE_STRING] = "string" };
	enum modelfile_type type;
	if (w->n < 4) {
		fputs(help_parameters, stdout);
		return;
	}
	if (!modelfile_param(str_from(w->word[2]), &type)) {
		printf("Couldn't set parameter: \"unknown parameter '%s'\"\n", w->word[2]);
		return;
	}
	if (take_parameter(r->talk, w, type)) {
		printf("Couldn't set parameter: \"invalid %s value [%s]\"\n", kinds[type],
			w->word[3]);
		return;
	}
	printf("Set parameter '%s' to '%s", w->word[2], w->word[3]);
	for (size_t k = 4; k < w->n; k++)
		printf(", %s", w->word[k]);
	puts("'");
}

/* ---- /set ---- */

static void set_system(struct repl *r, const struct words *w)
{
	struct str text = w->rest;
	if (w->n < 3) {
		fputs(help_set, stdout);
		return;
	}
	if (!str_starts(text, STR("\"\"\""))) {
		repl_set_system(r, text);
		return;
	}
	text = str_sub(text, 3, text.len);
	buf_clear(&r->gathered);
	if (str_ends(text, STR("\"\"\""))) {
		repl_set_system(r, str_sub(text, 0, text.len - 3));
	} else if (buf_add(&r->gathered, text) || buf_add_byte(&r->gathered, '\n')) {
		repl_sorry(r, r->gathered.err, NULL);
	} else {
		r->in = IN_SYSTEM;
	}
}

static void set_format(struct repl *r, const struct words *w)
{
	bool on = !strcmp(w->word[1], "format");
	if (on && (w->n < 3 || strcmp(w->word[2], "json"))) {
		puts("Invalid or missing format. For 'json' mode use '/set format json'");
		return;
	}
	json_decref(r->talk->format);
	r->talk->format = on ? json_string("json") : NULL;
	puts(on ? "Set format to 'json' mode." : "Disabled format.");
}

static void set_think(struct repl *r, const struct words *w)
{
	struct err_info why = { 0 };
	bool on = !strcmp(w->word[1], "think");
	enum err e = talk_set_think(
		r->talk, on ? (w->n > 2 ? w->word[2] : "true") : "false", &why);
	if (e)
		printf("error: %s\n", why.detail);
	else if (on && w->n > 2)
		printf("Set 'think' mode to '%s'.\n", w->word[2]);
	else
		printf("Set '%s' mode.\n", w->word[1]);
}

static void set_template(struct repl *r, const struct words *w)
{
	(void)r;
	(void)w;
	puts("A template cannot be set here: the model's own is used. Give another one to a model\n"
	     "of your own with POST /api/create.");
}

static void set_switch(struct repl *r, const struct words *w)
{
	const char *what = w->word[1];
	bool on = strncmp(what, "no", 2) != 0 && strcmp(what, "quiet") != 0;
	if (strstr(what, "history")) {
		history_keep(r->history, on);
		return;
	}
	if (strstr(what, "wordwrap"))
		r->talk->wrap = on;
	else
		r->talk->verbose = on;
	printf("Set '%s' mode.\n", what);
}

static void set(struct repl *r, const struct words *w)
{
	static const struct {
		const char *name;
		void (*fn)(struct repl *r, const struct words *w);
	} table[] = { { "parameter", set_parameter }, { "system", set_system },
		{ "template", set_template }, { "history", set_switch },
		{ "nohistory", set_switch }, { "wordwrap", set_switch },
		{ "nowordwrap", set_switch }, { "verbose", set_switch }, { "quiet", set_switch },
		{ "format", set_format }, { "noformat", set_format }, { "think", set_think },
		{ "nothink", set_think } };
	if (w->n < 2) {
		fputs(help_set, stdout);
		return;
	}
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, w->word[1])) {
			table[i].fn(r, w);
			return;
		}
	printf("Unknown command '/set %s'. Type /? for help\n", w->word[1]);
}

/* ---- /show ---- */

static void print_or(const char *text, const char *none)
{
	wrap_print(text && *text ? text : none, stdout);
	putchar('\n');
}

static void show_parameters(const struct repl *r, const char *text)
{
	struct str rest = str_from(text), line;
	const char *key;
	json_t *v;
	puts("Model defined parameters:");
	if (!rest.len)
		puts("  No additional parameters were specified for this model.");
	while (rest.len && str_next(&rest, '\n', &line)) {
		AUTO_BUF struct buf one = BUF(SIZE_MAX);
		const char *z;
		if (buf_addf(&one, "  %.*s\n", STR_ARG(line)) || buf_cstr(&one, &z))
			return;
		wrap_print(z, stdout);
	}
	putchar('\n');
	if (json_object_size(r->talk->options))
		puts("User defined parameters:");
	json_object_foreach(r->talk->options, key, v)
	{
		AUTO_MEM char *value = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
		printf("  %-30s %s\n", key, value ? value : "");
	}
	if (json_object_size(r->talk->options))
		putchar('\n');
}

static void show_part(const struct repl *r, const char *what, const json_t *reply)
{
	const char *text = json_string_value(json_object_get(reply, what));
	struct str system = buf_str(&r->talk->system);
	if (!strcmp(what, "info"))
		(void)!!show_info(reply, false, stdout);
	else if (!strcmp(what, "license"))
		print_or(text, "No license was specified for this model.");
	else if (!strcmp(what, "modelfile"))
		print_or(text, "The server gives no Modelfile for this model.");
	else if (!strcmp(what, "parameters"))
		show_parameters(r, text ? text : "");
	else if (!strcmp(what, "system") && system.len)
		printf("%.*s\n\n", STR_ARG(system));
	else if (!strcmp(what, "system"))
		print_or(text, "No system message was specified for this model.");
	else if (!strcmp(what, "template"))
		print_or(text, "No prompt template was specified for this model.");
	else
		printf("Unknown command '/show %s'. Type /? for help\n", what);
}

static void show(struct repl *r, const struct words *w)
{
	AUTO_JSON json_t *reply = NULL;
	struct err_info why = { 0 };
	if (w->n < 2) {
		fputs(help_show, stdout);
		return;
	}
	struct sigaction before;
	talk_watch(r->talk, &before);
	enum err e = talk_look(r->talk, &reply, &why);
	talk_unwatch(r->talk, &before);
	if (e)
		repl_sorry(r, e, &why);
	else
		show_part(r, w->word[1], reply);
}

/* ---- /load, /save, /clear ---- */

static enum err look_and_load(struct talk *t, const char *model, struct err_info *why)
{
	struct sigaction before;
	buf_clear(&t->model);
	TRY(buf_add(&t->model, str_from(model)));
	talk_watch(t, &before);
	enum err e = talk_look(t, NULL, why);
	if (!e)
		e = talk_load(t, why);
	talk_unwatch(t, &before);
	return e;
}

static void back_to(struct talk *t, struct str model)
{
	struct sigaction before;
	buf_clear(&t->model);
	(void)!!buf_add(&t->model, model);
	talk_watch(t, &before);
	(void)!!talk_look(t, NULL, NULL);
	talk_unwatch(t, &before);
}

static void load(struct repl *r, const struct words *w)
{
	struct talk *t = r->talk;
	AUTO_BUF struct buf before = BUF(t->model.max);
	struct err_info why = { 0 };
	if (w->n != 2) {
		puts("Usage:\n  /load <modelname>");
		return;
	}
	printf("Loading model '%s'\n", w->word[1]);
	(void)fflush(stdout);
	enum err e = buf_add(&before, buf_str(&t->model));
	if (!e)
		e = look_and_load(t, w->word[1], &why);
	if (!e) {
		json_array_clear(t->messages);
		return;
	}
	if (e == ERR_NOT_FOUND)
		printf("Couldn't find model '%s'\n", w->word[1]);
	else
		repl_sorry(r, e, &why);
	if (!before.err)
		back_to(t, buf_str(&before));
}

static enum err no_line(const json_t *line, void *arg)
{
	(void)line;
	(void)arg;
	return OK;
}

static void save(struct repl *r, const struct words *w)
{
	struct talk *t = r->talk;
	AUTO_JSON json_t *body = json_object();
	struct err_info why = { 0 };
	struct str from = buf_str(&t->model), system = buf_str(&t->system);
	if (w->n != 2) {
		puts("Usage:\n  /save <modelname>");
		return;
	}
	(void)json_object_set_new(body, "model", json_string(w->word[1]));
	(void)json_object_set_new(body, "from", json_stringn(from.ptr, from.len));
	if (system.len)
		(void)json_object_set_new(body, "system", json_stringn(system.ptr, system.len));
	if (json_object_size(t->options))
		(void)json_object_set(body, "parameters", t->options);
	if (json_array_size(t->messages))
		(void)json_object_set(body, "messages", t->messages);
	AUTO_MEM char *text = json_dumps(body, JSON_COMPACT);
	struct sigaction before;
	talk_watch(t, &before);
	enum err e = text ? client_stream(t->client, "/api/create", str_from(text), no_line, NULL,
				    &why)
			  : ERR_NOMEM;
	talk_unwatch(t, &before);
	if (e)
		repl_sorry(r, e, &why);
	else
		printf("Created new model '%s'\n", w->word[1]);
}

static void clear(struct repl *r, const struct words *w)
{
	(void)w;
	json_array_clear(r->talk->messages);
	puts("Cleared session context");
}

static void bye(struct repl *r, const struct words *w)
{
	(void)w;
	r->quit = true;
}

/* ---- which ---- */

/* The line and not its words. */
static bool takes_the_rest(const struct words *w)
{
	return w->n > 2 && !strcmp(w->word[0], "/set") && !strcmp(w->word[1], "system");
}

bool slash(struct repl *r, struct str line)
{
	static const struct {
		const char *name;
		void (*fn)(struct repl *r, const struct words *w);
	} table[] = { { "/set", set }, { "/show", show }, { "/load", load }, { "/save", save },
		{ "/clear", clear }, { "/bye", bye }, { "/exit", bye }, { "/?", help },
		{ "/help", help } };
	struct words w;
	split(line, &w);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, w.word[0])) {
			if (w.lacks && !takes_the_rest(&w))
				printf("error: %s\n", w.lacks);
			else
				table[i].fn(r, &w);
			return true;
		}
	AUTO_BUF struct buf path = BUF(8192);
	if (r->talk->sees && attach_path(line, &path))
		return false;
	if (str_find_byte(line, '\n', 0) != SIZE_MAX)
		return false; /* pasted text that begins with a slash */
	printf("Unknown command '%s'. Type /? for help\n", w.word[0]);
	return true;
}
