#include "cli/talk.h"

#include <signal.h>
#include <stdio.h>

#include "base/limits.h"
#include "cli/human.h"
#include "cli/progress.h"
#include "cli/wrap.h"
#include "os/tty.h"

#define GREY "\033[38;5;245m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

enum { NAME_MAX_BYTES = 4096 };

enum err talk_init(struct talk *t, struct client *c, const char *model)
{
	*t = (struct talk){ .client = c,
		.model = BUF(NAME_MAX_BYTES),
		.system = BUF(LIMIT_MESSAGE),
		.messages = json_array(),
		.options = json_object(),
		.wrap = true };
	if (!t->messages || !t->options)
		return ERR_NOMEM;
	return buf_add(&t->model, str_from(model));
}

void talk_done(struct talk *t)
{
	buf_done(&t->model);
	buf_done(&t->system);
	json_decref(t->messages);
	json_decref(t->options);
	json_decref(t->think);
	json_decref(t->format);
	json_decref(t->keep_alive);
}

json_t *talk_body(const struct talk *t)
{
	struct str m = buf_str(&t->model);
	json_t *o = json_object();
	if (o && json_object_set_new(o, "model", json_stringn(m.ptr, m.len))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* Borrowed values go in as they are; NULL is left out. */
static void add_value(json_t *o, const char *key, json_t *v)
{
	if (v)
		(void)json_object_set(o, key, v);
}

enum err talk_set_think(struct talk *t, const char *value, struct err_info *info)
{
	static const char *const levels[] = { "high", "medium", "low" };
	json_t *v = NULL;
	if (!*value || !strcmp(value, "true"))
		v = json_true();
	else if (!strcmp(value, "false"))
		v = json_false();
	for (size_t i = 0; !v && i < 3; i++)
		if (!strcmp(value, levels[i]))
			v = json_string(value);
	if (!v)
		return err_set(info, ERR_INVALID,
			"thinking is true, false, high, medium or low, not \"%.40s\"", value);
	json_decref(t->think);
	t->think = v;
	t->think_chosen = true;
	return OK;
}

/* ---- Ctrl+C ---- */

static volatile sig_atomic_t stop_asked;

static void on_interrupt(int signal_number)
{
	(void)signal_number;
	stop_asked = 1;
}

static bool only_stop(void *arg)
{
	(void)arg;
	return stop_asked;
}

static void watch(struct client *c, client_wait fn, void *arg, struct sigaction *before)
{
	struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };
	stop_asked = 0;
	sigemptyset(&act.sa_mask);
	sigaction(SIGINT, &act, before);
	client_on_wait(c, fn, arg);
}

static void unwatch(struct client *c, const struct sigaction *before)
{
	client_on_wait(c, before->sa_handler == on_interrupt ? only_stop : NULL, NULL);
	sigaction(SIGINT, before, NULL);
}

void talk_watch(struct talk *t, struct sigaction *before)
{
	watch(t->client, only_stop, NULL, before);
}

void talk_unwatch(struct talk *t, const struct sigaction *before)
{
	unwatch(t->client, before);
}

/* ---- what the model is ---- */

static enum err post(struct client *c, const char *path, const json_t *body, json_t **ret,
	struct err_info *info)
{
	AUTO_MEM char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if (!text)
		return ERR_NOMEM;
	return client_json(c, "POST", path, str_from(text), ret, info);
}

static bool can(const json_t *show, const char *what)
{
	const json_t *list = json_object_get(show, "capabilities");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *has = json_string_value(json_array_get(list, i));
		if (has && !strcmp(has, what))
			return true;
	}
	return false;
}

enum err talk_look(struct talk *t, json_t **ret_show, struct err_info *info)
{
	AUTO_JSON json_t *body = talk_body(t), *show = NULL;
	TRY(post(t->client, "/api/show", body, &show, info));
	t->sees = can(show, "vision");
	t->embeds = can(show, "embedding");
	if (!t->think_chosen) {
		json_decref(t->think);
		t->think = can(show, "thinking") ? json_true() : NULL;
	}
	if (ret_show)
		*ret_show = TAKE(show);
	return OK;
}

static bool turn_wheel(void *arg)
{
	wheel_turn(arg);
	return stop_asked;
}

enum err talk_load(struct talk *t, struct err_info *info)
{
	AUTO_JSON json_t *body = talk_body(t), *reply = NULL;
	struct sigaction before;
	struct wheel wheel;
	add_value(body, "think", t->think);
	add_value(body, "keep_alive", t->keep_alive);
	add_value(body, "stream", json_false());
	wheel_init(&wheel);
	watch(t->client, turn_wheel, &wheel, &before);
	enum err e = post(t->client, "/api/generate", body, &reply, info);
	unwatch(t->client, &before);
	wheel_end(&wheel);
	return e;
}

/* ---- an answer ---- */

struct answer {
	const struct talk *t;
	struct wrap wrap;
	struct buf text;
	struct wheel wheel;
	bool terminal, moves; /* of standard output; moves: it knows escape sequences */
	bool thinking, newline; /* newline: thinking ended with one */
	json_t *done; /* owned: the last line, with its counts */
};

static enum err put(struct answer *a, const char *text)
{
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	struct str s = str_from(text);
	unsigned columns = 0, rows;
	wheel_end(&a->wheel);
	if (a->terminal) { /* elsewhere the bytes are the answer */
		(void)tty_size(1, &columns, &rows);
		TRY(wrap_add(&a->wrap, s, a->moves && a->t->wrap ? columns : 0, &out));
		s = buf_str(&out);
	}
	return fwrite(s.ptr ? s.ptr : "", 1, s.len, stdout) < s.len || fflush(stdout) ? ERR_IO : OK;
}

static enum err show_thinking(struct answer *a, const char *text)
{
	if (a->t->hide_thinking)
		return OK;
	if (!a->thinking) {
		wheel_end(&a->wheel);
		fputs(a->moves ? GREY BOLD "Thinking...\n" PLAIN GREY : "Thinking...\n", stdout);
	}
	a->thinking = true;
	a->newline = text[strlen(text) - 1] == '\n';
	return put(a, text);
}

static void end_thinking(struct answer *a)
{
	if (!a->thinking)
		return;
	a->thinking = false;
	fputs(a->newline ? "" : "\n", stdout);
	fputs(a->moves ? GREY BOLD "...done thinking.\n\n" PLAIN : "...done thinking.\n\n",
		stdout);
	wrap_done(&a->wrap);
	wrap_init(&a->wrap);
}

static void show_warnings(const json_t *line)
{
	const json_t *w = json_object_get(line, "warnings");
	for (size_t i = 0; i < json_array_size(w); i++) {
		const char *text = json_string_value(json_array_get(w, i));
		if (!text)
			continue;
		fputs("\ntresor: ", stderr);
		wrap_print(text, stderr);
	}
}

static enum err on_line(const json_t *line, void *arg)
{
	struct answer *a = arg;
	const json_t *m = json_object_get(line, "message");
	const char *text = json_string_value(json_object_get(m, "content")),
		   *thinking = json_string_value(json_object_get(m, "thinking"));
	if (thinking && *thinking)
		TRY(show_thinking(a, thinking));
	if (text && *text) {
		end_thinking(a);
		TRY(put(a, text));
		TRY(buf_add(&a->text, str_from(text)));
	}
	show_warnings(line);
	if (json_is_true(json_object_get(line, "done"))) {
		json_decref(a->done);
		a->done = json_deep_copy(line);
	}
	return OK;
}

static bool on_wait(void *arg)
{
	struct answer *a = arg;
	wheel_turn(&a->wheel);
	return stop_asked;
}

/* The block that Ollama prints with --verbose. */
static void summary(const json_t *done)
{
	static const struct {
		const char *what, *key, *rate_of;
	} rows[] = { { "total duration", "total_duration", NULL },
		{ "load duration", "load_duration", NULL },
		{ "prompt eval count", "prompt_eval_count", NULL },
		{ "prompt eval duration", "prompt_eval_duration", "prompt_eval_count" },
		{ "eval count", "eval_count", NULL },
		{ "eval duration", "eval_duration", "eval_count" } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_int_t v = json_integer_value(json_object_get(done, rows[i].key));
		char label[32], text[HUMAN_MAX];
		snprintf(label, sizeof label, "%s:", rows[i].what);
		if (v <= 0)
			continue;
		human_duration(v, text);
		if (strstr(rows[i].key, "count"))
			snprintf(text, sizeof text, "%lld token(s)", (long long)v);
		fprintf(stderr, "%-21s %s\n", label, text);
		if (!rows[i].rate_of)
			continue;
		json_int_t n = json_integer_value(json_object_get(done, rows[i].rate_of));
		fprintf(stderr, "%-21s %.2f tokens/s\n",
			i == 3 ? "prompt eval rate:" : "eval rate:", (double)n * 1e9 / (double)v);
	}
}

static json_t *message(const char *role, struct str text)
{
	return json_pack("{s:s,s:s%}", "role", role, "content", text.ptr ? text.ptr : "", text.len);
}

/* The request; NULL: out of memory, or the system text is no UTF-8. */
static json_t *question_body(const struct talk *t)
{
	AUTO_JSON json_t *body = talk_body(t), *all = json_array();
	if (t->system.len)
		(void)json_array_append_new(all, message("system", buf_str(&t->system)));
	if (!body || json_array_extend(all, t->messages) ||
		json_array_size(all) != json_array_size(t->messages) + (t->system.len > 0))
		return NULL;
	add_value(body, "messages", all);
	add_value(body, "stream", json_true());
	add_value(body, "think", t->think);
	add_value(body, "format", t->format);
	add_value(body, "keep_alive", t->keep_alive);
	if (json_object_size(t->options))
		add_value(body, "options", t->options);
	return TAKE(body);
}

static enum err send_question(struct talk *t, struct answer *a, struct err_info *info)
{
	AUTO_JSON json_t *body = question_body(t);
	AUTO_MEM char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct sigaction before;
	if (!text)
		return err_set(info, ERR_INVALID, "the question is not UTF-8");
	watch(t->client, on_wait, a, &before);
	enum err e = client_stream(t->client, "/api/chat", str_from(text), on_line, a, info);
	unwatch(t->client, &before);
	return e;
}

static enum err answer(struct talk *t, struct answer *a, struct err_info *info)
{
	enum err e = send_question(t, a, info);
	wheel_end(&a->wheel);
	if (a->thinking && a->moves)
		fputs(PLAIN, stdout); /* it ended in the middle of a thought */
	size_t n = json_array_size(t->messages);
	if ((!e || e == ERR_CANCELLED) && a->text.len) {
		json_t *m = message("assistant", buf_str(&a->text));
		if (!m || json_array_append_new(t->messages, m))
			e = e ? e : ERR_NOMEM;
	} else if (e) {
		(void)json_array_remove(t->messages, n - 1);
	}
	if (!e || a->text.len || a->thinking)
		fputs("\n\n", stdout);
	(void)fflush(stdout);
	if (!e && t->verbose)
		summary(a->done);
	return e;
}

enum err talk_ask(struct talk *t, struct str question, json_t *images, struct err_info *info)
{
	AUTO_JSON json_t *pictures = images;
	struct answer a = { .t = t, .text = BUF(LIMIT_ANSWER), .terminal = isatty(1),
		.moves = tty_moves(1) };
	json_t *m = message("user", question);
	if (m && json_array_size(pictures))
		add_value(m, "images", pictures);
	if (!m || json_array_append_new(t->messages, m))
		return err_set(info, ERR_INVALID, "the question is not UTF-8");
	wrap_init(&a.wrap);
	wheel_init(&a.wheel);
	enum err e = answer(t, &a, info);
	buf_done(&a.text);
	wrap_done(&a.wrap);
	json_decref(a.done);
	return e;
}

enum err talk_show(const struct talk *t, const char *text)
{
	struct answer a = { .t = t, .terminal = isatty(1), .moves = tty_moves(1) };
	wrap_init(&a.wrap);
	enum err e = put(&a, text);
	wrap_done(&a.wrap);
	fputs("\n\n", stdout);
	return e;
}
