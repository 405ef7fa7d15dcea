#include "cli/repl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "cli/attach.h"
#include "cli/compose.h"

void repl_sorry(const struct repl *r, enum err e, const struct err_info *why)
{
	(void)fflush(stdout);
	(void)cli_fail(r->args, r->args->command->name, e, why);
}

void repl_set_system(struct repl *r, struct str text)
{
	struct buf *system = &r->talk->system;
	buf_clear(system);
	if (buf_add(system, text))
		repl_sorry(r, system->err, NULL);
	else
		puts("Set system message.");
}

static void send_message(struct repl *r, struct str message)
{
	AUTO_BUF struct buf text = BUF(LIMIT_MESSAGE);
	AUTO_JSON json_t *images = json_array();
	struct err_info why = { 0 };
	enum err e = OK;
	if (r->talk->sees) {
		e = attach_pictures(message, &text, images, &why);
		message = buf_str(&text);
	}
	if (!e)
		e = talk_ask(r->talk, message, json_incref(images), &why);
	if (e && e != ERR_CANCELLED)
		repl_sorry(r, e, &why);
}

/* ---- lines ---- */

/* A line between two """: the closing one ends the text. */
static void gather(struct repl *r, struct str line)
{
	bool ends = str_ends(line, STR("\"\"\""));
	struct str part = ends ? str_sub(line, 0, line.len - 3) : line;
	if (buf_add(&r->gathered, part) || (!ends && buf_add_byte(&r->gathered, '\n'))) {
		repl_sorry(r, r->gathered.err, NULL);
		r->in = WHOLE_LINES;
	} else if (ends) {
		bool system = r->in == IN_SYSTEM;
		r->in = WHOLE_LINES;
		if (system)
			repl_set_system(r, buf_str(&r->gathered));
		else if (r->gathered.len)
			send_message(r, buf_str(&r->gathered));
	}
}

static void take_line(struct repl *r, struct str line)
{
	if (r->in != WHOLE_LINES) {
		gather(r, line);
	} else if (str_starts(line, STR("\"\"\""))) {
		r->in = IN_MESSAGE;
		buf_clear(&r->gathered);
		gather(r, str_sub(line, 3, line.len));
	} else if (str_trim(line).len && !(line.ptr[0] == '/' && slash(r, line))) {
		send_message(r, line);
	}
}

static void interrupted(struct repl *r, struct str text)
{
	if (!text.len && r->in == WHOLE_LINES)
		puts("\nUse Ctrl + d or /bye to exit.");
	r->in = WHOLE_LINES;
	buf_clear(&r->gathered);
}

static void in_editor(struct repl *r, struct str text, struct buf *ret)
{
	struct err_info why = { 0 };
	lines_lend(r->lines, true);
	enum err e = compose(text, ret, &why);
	lines_lend(r->lines, false);
	if (!e)
		return;
	repl_sorry(r, e, &why);
	buf_clear(ret);
	(void)!!buf_add(ret, text); /* what was written is not lost */
}

static void remember(struct repl *r, struct str line)
{
	enum err e = history_add(r->history, line);
	if (!e || e == ERR_NOMEM)
		return;
	struct err_info why = { 0 };
	(void)err_set(&why, e, "the history is not kept: %s", err_text(e));
	repl_sorry(r, e, &why);
	history_keep(r->history, false);
}

static enum err loop(struct repl *r)
{
	AUTO_BUF struct buf line = BUF(2 * EDIT_MAX), begun = BUF(EDIT_MAX);
	while (!r->quit) {
		bool whole = r->in == WHOLE_LINES;
		struct edit_look look = { .prompt = whole ? ">>> " : "... ",
			.more = "... ",
			.hint = whole ? "Send a message (/? for help)" : "" };
		enum line_end end;
		buf_clear(&line);
		TRY(lines_read(r->lines, &look, buf_str(&begun), &line, &end));
		buf_clear(&begun);
		struct str text = line.ptr ? buf_str(&line) : STR("");
		if (end == LINE_TEXT) {
			remember(r, text);
			take_line(r, text);
		} else if (end == LINE_INTERRUPT) {
			interrupted(r, text);
		} else if (end == LINE_EDITOR) {
			in_editor(r, text, &begun);
		} else {
			break;
		}
		(void)fflush(stdout);
	}
	return OK;
}

/* ---- begin ---- */

static void show_examples(const struct talk *t, const json_t *show)
{
	const json_t *all = json_object_get(show, "messages");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *m = json_array_get(all, i);
		const char *role = json_string_value(json_object_get(m, "role")),
			   *text = json_string_value(json_object_get(m, "content"));
		if (!role || !text)
			continue;
		if (!strcmp(role, "user"))
			printf(">>> ");
		if (!strcmp(role, "user") || !strcmp(role, "assistant"))
			(void)!!talk_show(t, text);
	}
}

static bool no_history(void)
{
	const char *ours = getenv("TRESOR_NOHISTORY"), *theirs = getenv("OLLAMA_NOHISTORY");
	const char *v = ours && *ours ? ours : theirs;
	return v && *v && strcmp(v, "0") != 0 && strcmp(v, "false") != 0;
}

static enum err open_history(struct repl *r)
{
	char path[4096];
	struct err_info why = { 0 };
	bool none = no_history() || history_path(path, sizeof path);
	TRY(history_new(none ? NULL : path, &r->history, &why));
	if (why.code)
		repl_sorry(r, why.code, &why);
	return OK;
}

enum err repl(
	struct talk *t, const struct args *a, const json_t *show, struct err_info *info)
{
	struct repl r = { .talk = t, .args = a, .gathered = BUF(LIMIT_MESSAGE) };
	enum err e = open_history(&r);
	show_examples(t, show);
	if (!e)
		e = lines_new(r.history, &r.lines);
	if (!e)
		e = loop(&r);
	if (e == ERR_LIMIT)
		(void)err_set(info, e, "a line is longer than %d MiB", EDIT_MAX >> 20);
	lines_free(r.lines);
	history_free(r.history);
	buf_done(&r.gathered);
	return e;
}
