/* run: one question, or a conversation line by line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/commands.h"

struct talk {
	json_t *messages; /* owned */
	struct buf answer;
	bool verbose;
	const char *model;
};

static enum err on_line(const json_t *line, void *arg)
{
	struct talk *t = arg;
	const char *text =
		json_string_value(json_object_get(json_object_get(line, "message"), "content"));
	if (text && *text) {
		fputs(text, stdout);
		fflush(stdout);
		TRY(buf_add(&t->answer, str_from(text)));
	}
	const json_t *warnings = json_object_get(line, "warnings");
	for (size_t i = 0; i < json_array_size(warnings); i++)
		fprintf(stderr, "\ntresor: %s", json_string_value(json_array_get(warnings, i)));
	if (!json_is_true(json_object_get(line, "done")) || !t->verbose)
		return OK;
	double in = (double)json_integer_value(json_object_get(line, "prompt_eval_count"));
	double in_s =
		(double)json_integer_value(json_object_get(line, "prompt_eval_duration")) / 1e9;
	double out = (double)json_integer_value(json_object_get(line, "eval_count"));
	double out_s = (double)json_integer_value(json_object_get(line, "eval_duration")) / 1e9;
	fprintf(stderr,
		"\n\nprompt: %.0f tokens in %.3f s (%.1f/s)\nanswer: %.0f tokens in %.3f s "
			"(%.1f/s)",
		in, in_s, in_s > 0 ? in / in_s : 0, out, out_s, out_s > 0 ? out / out_s : 0);
	return OK;
}

static enum err ask(struct client *c, struct talk *t, const char *question, struct err_info *info)
{
	json_array_append_new(
		t->messages, json_pack("{ssss}", "role", "user", "content", question));
	json_t *body =
		json_pack("{sssOsb}", "model", t->model, "messages", t->messages, "stream", 1);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (!text)
		return err_set(info, ERR_INVALID, "the question is not UTF-8");
	buf_clear(&t->answer);
	enum err e = client_stream(c, "/api/chat", str_from(text), on_line, t, info);
	putchar('\n');
	free(text);
	const char *answer = "";
	if (!e)
		e = buf_cstr(&t->answer, &answer);
	if (!e)
		json_array_append_new(
			t->messages, json_pack("{ssss}", "role", "assistant", "content", answer));
	return e;
}

static enum err read_all(FILE *f, struct buf *out)
{
	char piece[65536];
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
		TRY(buf_add(out, (struct str){ piece, n }));
	return OK;
}

static enum err repl(struct client *c, const struct args *a, struct talk *t)
{
	char *line = NULL;
	size_t size = 0;
	fprintf(stderr, "Type a question; /bye or Ctrl-D ends.\n");
	for (;;) {
		fputs(">>> ", stderr);
		ssize_t n = getline(&line, &size, stdin);
		if (n < 0)
			break;
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (!strcmp(line, "/bye"))
			break;
		if (!*line)
			continue;
		struct err_info why = { 0 };
		enum err e = ask(c, t, line, &why);
		if (e)
			cli_fail(a, "run", e, &why);
	}
	free(line);
	return OK;
}

static enum err run(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf question = BUF(LIMIT_MESSAGE);
	const char *system = args_get(a, "--system"), *z;
	struct talk t = { .messages = json_array(),
		.answer = BUF(LIMIT_ANSWER),
		.model = a->operand[0],
		.verbose = args_get(a, "--verbose") != NULL };
	AUTO_JSON json_t *messages = t.messages;
	if (system)
		json_array_append_new(
			messages, json_pack("{ssss}", "role", "system", "content", system));
	for (unsigned i = 1; i < a->n_operands; i++)
		TRY(buf_addf(&question, "%s%s", i > 1 ? " " : "", a->operand[i]));
	if (!isatty(0)) {
		if (question.len)
			TRY(buf_add_byte(&question, '\n'));
		TRY(read_all(stdin, &question));
	}
	enum err e;
	if (!str_trim(buf_str(&question)).len) {
		if (!isatty(0))
			return err_set(info, ERR_INVALID, "there is no question");
		e = repl(c, a, &t);
	} else {
		e = buf_cstr(&question, &z);
		if (!e)
			e = ask(c, &t, z, info);
	}
	buf_done(&t.answer);
	return e;
}

int cmd_run(const struct args *a)
{
	return cli_with_client(a, run);
}
