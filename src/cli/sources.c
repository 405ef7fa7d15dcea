/* sources ...: where Tresor may connect to, and who it is there. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/wrap.h"
#include "os/tty.h"

enum { BODY_MAX = 16 * 1024, HTTPS_PORT = 443 };

/* "HOST[:PORT]", an IPv6 address in brackets when it has a port. *ret_host borrows. */
static enum err host_and_port(
	const char *text, struct str *ret_host, uint64_t *ret_port, struct err_info *info)
{
	struct str s = str_from(text), port = STR_NONE;
	size_t first = str_find_byte(s, ':', 0);
	*ret_port = HTTPS_PORT;
	if (s.len && s.ptr[0] == '[') {
		size_t end = str_find_byte(s, ']', 0);
		if (end == SIZE_MAX)
			return err_set(info, ERR_INVALID, "\"%s\" is not HOST[:PORT]", text);
		if (end + 1 < s.len && s.ptr[end + 1] == ':')
			port = str_sub(s, end + 2, s.len);
		s = str_sub(s, 1, end - 1);
	} else if (first != SIZE_MAX && str_find_byte(s, ':', first + 1) == SIZE_MAX) {
		port = str_sub(s, first + 1, s.len);
		s = str_sub(s, 0, first);
	}
	if (port.ptr && (str_to_u64(port, ret_port) || !*ret_port || *ret_port > 65535))
		return err_set(info, ERR_INVALID, "\"%s\" is not HOST[:PORT]", text);
	*ret_host = s;
	return OK;
}

/* "/team/v1/egress/HOST" and what follows; *ret borrows from `out`. */
static enum err source_path(
	struct str host, const char *rest, uint64_t port, struct buf *out, const char **ret)
{
	char name[LIMIT_EMAIL + 1];
	TRY(str_copy(host, name, sizeof name));
	TRY(cli_path(out, "/team/v1/egress/", name));
	TRY(buf_addf(out, "%s", rest));
	if (port)
		TRY(buf_addf(out, "?port=%llu", (unsigned long long)port));
	return buf_cstr(out, ret);
}

static const char *yes(const json_t *h, const char *key)
{
	return json_is_true(json_object_get(h, key)) ? "yes" : "";
}

static enum err add_row(struct grid *g, const json_t *h)
{
	char since[HUMAN_MAX] = "", where[300];
	json_int_t at = json_integer_value(json_object_get(h, "since_ms"));
	const char *name = cli_text(h, "person_name"), *id = cli_text(h, "person");
	if (at)
		human_time(at, time_now_ms(), since);
	snprintf(where, sizeof where, "%.260s:%lld", cli_text(h, "host"),
		(long long)json_integer_value(json_object_get(h, "port")));
	const char *by = !at ? "comes with Tresor" : *name ? name : *id ? id : "the operator";
	return grid_row(g, (const char *const[]){ where, yes(h, "push"), yes(h, "plain"),
				   yes(h, "login"), cli_text(h, "purpose"), by, since });
}

static enum err list(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "SOURCE", "PUSH", "PLAIN", "LOG-IN", "WHAT FOR", "BY",
		"SINCE" };
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	size_t i;
	json_t *h;
	grid_init(&g, 7, true);
	if (a->json)
		return cli_print_json(c, "GET", "/team/v1/egress", STR_NONE, info);
	TRY(client_json(c, "GET", "/team/v1/egress", STR_NONE, &doc, info));
	TRY(grid_row(&g, head));
	json_array_foreach(json_object_get(doc, "hosts"), i, h) TRY(add_row(&g, h));
	grid_print(&g, stdout);
	return OK;
}

static enum err say(const struct args *a, const char *what, struct str host, uint64_t port)
{
	if (!a->json)
		wrap_printf(stdout, "%s %.*s:%llu\n", what, STR_ARG(host),
			(unsigned long long)port);
	return OK;
}

static enum err add(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(BODY_MAX), out = BUF(BODY_MAX);
	struct str host;
	uint64_t port;
	struct jw w;
	TRY(host_and_port(a->operand[0], &host, &port, info));
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "host", host);
	jw_ki64(&w, "port", (int64_t)port);
	jw_kstr(&w, "purpose", str_from(a->operand[1]));
	jw_kbool(&w, "push", args_get(a, "--push") != NULL);
	jw_kbool(&w, "plain", args_get(a, "--plain") != NULL);
	jw_end(&w);
	TRY(body.err);
	TRY(client_call(c, "PUT", "/team/v1/egress", buf_str(&body), &out, info));
	return say(a, "allowed", host, port);
}

/* `part`: of what is known about the address, "" all of it. */
static enum err take_away(struct client *c, const struct args *a, const char *part,
	const char *what, struct err_info *info)
{
	AUTO_BUF struct buf path = BUF(BODY_MAX), out = BUF(BODY_MAX);
	const char *z;
	struct str host;
	uint64_t port;
	TRY(host_and_port(a->operand[0], &host, &port, info));
	TRY(source_path(host, part, port, &path, &z));
	TRY(client_call(c, "DELETE", z, STR_NONE, &out, info));
	return say(a, what, host, port);
}

static enum err remove_source(struct client *c, const struct args *a, struct err_info *info)
{
	return take_away(c, a, "", "removed", info);
}

static enum err read_password(struct buf *out, bool from_stdin, struct err_info *info)
{
	if (!from_stdin) {
		enum err e = tty_ask_secret("Password or token: ", out);
		return e ? err_set(info, e,
				   "no terminal to ask for the password; use --password-stdin")
			 : OK;
	}
	for (int ch; (ch = getchar()) != EOF && ch != '\n';)
		TRY(buf_add_byte(out, (char)ch));
	return OK;
}

static enum err login(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_SECRET_BUF struct buf password = BUF(LIMIT_PASSWORD), body = BUF(BODY_MAX);
	AUTO_BUF struct buf path = BUF(BODY_MAX), out = BUF(BODY_MAX);
	const char *z, *user = args_get(a, "--user");
	struct str host;
	uint64_t port;
	struct jw w;
	TRY(host_and_port(a->operand[0], &host, &port, info));
	if (!user)
		return err_set(info, ERR_INVALID, "say with --user who the house is there");
	TRY(read_password(&password, args_get(a, "--password-stdin") != NULL, info));
	TRY(source_path(host, "/login", 0, &path, &z));
	jw_init(&w, &body);
	jw_obj(&w);
	jw_ki64(&w, "port", (int64_t)port);
	jw_kstr(&w, "user", str_from(user));
	jw_kstr(&w, "password", buf_str(&password));
	jw_end(&w);
	TRY(body.err);
	TRY(client_call(c, "PUT", z, buf_str(&body), &out, info));
	return say(a, "stored a log-in for", host, port);
}

static enum err logout(struct client *c, const struct args *a, struct err_info *info)
{
	return take_away(c, a, "/login", "removed the log-in for", info);
}

int cmd_sources(const struct args *a)
{
	static const struct {
		const char *name;
		cli_fn fn;
	} table[] = {
		{ "sources list", list },
		{ "sources add", add },
		{ "sources rm", remove_source },
		{ "sources login", login },
		{ "sources logout", logout },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, a->command->name))
			return cli_with_client(a, table[i].fn);
	return 1;
}
