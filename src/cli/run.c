/* run: a question, a conversation, or a text's vector. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/repl.h"
#include "cli/wrap.h"

/* ---- options ---- */

static enum err set_format(struct talk *t, const char *value, struct err_info *info)
{
	if (!strcmp(value, "json")) {
		t->format = json_string("json");
		return t->format ? OK : ERR_NOMEM;
	}
	if (json_read(str_from(value), LIMIT_MESSAGE, JSON_DEPTH_DEFAULT, &t->format, NULL) ||
		!json_is_object(t->format))
		return err_set(info, ERR_INVALID, "--format takes \"json\" or a JSON schema");
	return OK;
}

/* Seconds, or a text like 5m that the server reads. */
static enum err set_keep_alive(struct talk *t, const char *value)
{
	int64_t s;
	bool number = !str_to_i64(str_from(value), &s);
	t->keep_alive = number ? json_integer(s) : json_string(value);
	return t->keep_alive ? OK : ERR_NOMEM;
}

struct embedding {
	json_t *truncate, *dimensions; /* owned; NULL: not named */
};

static enum err set_embedding(const struct args *a, struct embedding *e, struct err_info *info)
{
	const char *truncate = args_get(a, "--truncate"), *dimensions = args_get(a, "--dimensions");
	uint64_t n = 0;
	if (truncate && *truncate && strcmp(truncate, "true") && strcmp(truncate, "false"))
		return err_set(info, ERR_INVALID, "--truncate is true or false");
	if (truncate)
		e->truncate = json_boolean(strcmp(truncate, "false") != 0);
	if (dimensions && (str_to_u64(str_from(dimensions), &n) || !n || n > 65536))
		return err_set(info, ERR_INVALID, "--dimensions takes a number from 1 to 65536");
	if (dimensions)
		e->dimensions = json_integer((json_int_t)n);
	return OK;
}

static enum err read_options(
	const struct args *a, struct talk *t, struct embedding *e, struct err_info *info)
{
	const char *system = args_get(a, "--system"), *format = args_get(a, "--format"),
		   *think = args_get(a, "--think"), *keep = args_get(a, "--keepalive");
	t->verbose = args_get(a, "--verbose") != NULL;
	t->wrap = !args_get(a, "--nowordwrap");
	t->hide_thinking = args_get(a, "--hidethinking") != NULL;
	if (system)
		TRY(buf_add(&t->system, str_from(system)));
	if (format)
		TRY(set_format(t, format, info));
	if (think)
		TRY(talk_set_think(t, think, info));
	if (keep)
		TRY(set_keep_alive(t, keep));
	return set_embedding(a, e, info);
}

/* ---- the question ---- */

static enum err read_all(FILE *f, struct buf *out, struct err_info *info)
{
	char piece[65536];
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
		if (buf_add(out, (struct str){ piece, n }))
			return err_set(info, ERR_TOO_LARGE, "the question is longer than %d MiB",
				LIMIT_MESSAGE >> 20);
	if (ferror(f))
		return err_set(info, ERR_IO, "cannot read standard input");
	return OK;
}

/* What is piped in stands before the words, as Ollama has it. */
static enum err gather(const struct args *a, struct buf *out, struct err_info *info)
{
	if (!isatty(0))
		TRY(read_all(stdin, out, info));
	for (unsigned i = 1; i < a->n_operands; i++)
		TRY(buf_addf(out, "%s%s", out->len ? " " : "", a->operand[i]));
	return OK;
}

static enum err look_or_pull(struct client *c, const struct args *a, struct talk *t, json_t **show,
	struct err_info *info)
{
	struct err_info first = { 0 };
	enum err e = talk_look(t, show, &first);
	if (e == ERR_NOT_FOUND) {
		TRY(pull_model(c, a->operand[0], NULL, args_get(a, "--insecure") != NULL, info));
		return talk_look(t, show, info);
	}
	if (e && info)
		*info = first;
	return e;
}

static enum err embed(
	struct client *c, struct talk *t, const struct embedding *o, struct str text,
	struct err_info *info)
{
	AUTO_JSON json_t *body = talk_body(t), *reply = NULL;
	if (!text.len)
		return err_set(info, ERR_INVALID,
			"an embedding model needs a text: tresor run %.*s \"your text here\"",
			STR_ARG(buf_str(&t->model)));
	if (!body || json_object_set_new(body, "input", json_stringn(text.ptr, text.len)))
		return err_set(info, ERR_INVALID, "the text is not UTF-8");
	if (o->truncate)
		(void)json_object_set(body, "truncate", o->truncate);
	if (o->dimensions)
		(void)json_object_set(body, "dimensions", o->dimensions);
	if (t->keep_alive)
		(void)json_object_set(body, "keep_alive", t->keep_alive);
	AUTO_MEM char *z = json_dumps(body, JSON_COMPACT);
	if (!z)
		return ERR_NOMEM;
	TRY(client_json(c, "POST", "/api/embed", str_from(z), &reply, info));
	const json_t *row = json_array_get(json_object_get(reply, "embeddings"), 0);
	if (!json_is_array(row))
		return err_set(info, ERR_UPSTREAM, "the server sent no vector");
	AUTO_MEM char *vector = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(9));
	if (!vector)
		return ERR_NOMEM;
	wrap_printf(stdout, "%s\n", vector);
	return OK;
}

static enum err ask(struct talk *t, struct buf *question, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_MESSAGE);
	AUTO_JSON json_t *images = json_array();
	if (!t->sees)
		return talk_ask(t, buf_str(question), NULL, info);
	TRY(attach_pictures(buf_str(question), &text, images, info));
	return talk_ask(t, buf_str(&text), json_incref(images), info);
}

static enum err run_with(struct client *c, const struct args *a, struct talk *t,
	struct embedding *o, struct err_info *info)
{
	AUTO_BUF struct buf question = BUF(LIMIT_MESSAGE);
	AUTO_JSON json_t *show = NULL;
	bool person = isatty(0) && a->n_operands == 1;
	TRY(read_options(a, t, o, info));
	TRY(gather(a, &question, info));
	TRY(look_or_pull(c, a, t, &show, info));
	if (t->embeds)
		return embed(c, t, o, buf_str(&question), info);
	if (o->truncate || o->dimensions)
		return err_set(info, ERR_UNSUPPORTED,
			"--truncate and --dimensions are for embedding models");
	if (str_trim(buf_str(&question)).len)
		return ask(t, &question, info);
	TRY(talk_load(t, info));
	return person ? repl(t, a, show, info) : OK;
}

static enum err run(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_TALK struct talk t;
	struct embedding o = { 0 };
	enum err e = talk_init(&t, c, a->operand[0]);
	if (!e)
		e = run_with(c, a, &t, &o, info);
	json_decref(o.truncate);
	json_decref(o.dimensions);
	return e;
}

int cmd_run(const struct args *a)
{
	/* Wrong use is said before a server is started for it. */
	AUTO_TALK struct talk t;
	struct embedding o = { 0 };
	struct err_info why = { 0 };
	enum err e = talk_init(&t, NULL, a->operand[0]);
	if (!e)
		e = read_options(a, &t, &o, &why);
	json_decref(o.truncate);
	json_decref(o.dimensions);
	if (e) {
		(void)cli_fail(a, "run", e, &why);
		return e == ERR_NOMEM ? 1 : 2;
	}
	return cli_with_client(a, run);
}
