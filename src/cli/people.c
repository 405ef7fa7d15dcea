/* user ..., owner-link, key new. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/time.h"
#include "cli/commands.h"
#include "os/tty.h"

static enum err print_member(const json_t *doc, const char *key)
{
	const char *text = json_string_value(json_object_get(doc, key));
	if (!text)
		return ERR_UPSTREAM;
	puts(text);
	return OK;
}

/* Prints the reply whole with --json, else one member of it. */
static enum err post(struct client *c, const struct args *a, const char *path, struct buf *body,
	const char *member, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	TRY(body->err);
	TRY(client_json(c, "POST", path, buf_str(body), &doc, info));
	if (a->json) {
		json_dumpf(doc, stdout, JSON_COMPACT);
		putchar('\n');
		return OK;
	}
	return member ? print_member(doc, member) : OK;
}

static enum err read_password(struct buf *out, bool from_stdin, struct err_info *info)
{
	if (!from_stdin) {
		enum err e = tty_ask_secret("Password: ", out);
		return e ? err_set(info, e,
				   "no terminal to ask for the password; use --password-stdin")
			 : OK;
	}
	for (int c; (c = getchar()) != EOF && c != '\n';)
		TRY(buf_add_byte(out, (char)c));
	return OK;
}

static enum err user_add(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_SECRET_BUF struct buf password = BUF(LIMIT_PASSWORD);
	AUTO_SECRET_BUF struct buf body = BUF(16 * 1024);
	const char *role = args_get(a, "--role"), *name = args_get(a, "--name");
	struct jw w;
	TRY(read_password(&password, args_get(a, "--password-stdin") != NULL, info));
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "email", str_from(a->operand[0]));
	jw_kstr(&w, "role", str_from(role ? role : "member"));
	if (name)
		jw_kstr(&w, "name", str_from(name));
	jw_kstr(&w, "password", buf_str(&password));
	jw_end(&w);
	return post(c, a, "/team/v1/people", &body, NULL, info);
}

static enum err user_invite(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(4096);
	const char *role = args_get(a, "--role");
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "email", str_from(a->operand[0]));
	jw_kstr(&w, "role", str_from(role ? role : "member"));
	jw_end(&w);
	return post(c, a, "/team/v1/invitations", &body, "link", info);
}

static enum err user_list(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *p;
	TRY(client_json(c, "GET", "/team/v1/people", STR_NONE, &doc, info));
	if (a->json) {
		json_dumpf(doc, stdout, JSON_COMPACT);
		putchar('\n');
		return OK;
	}
	printf("%-36s %-24s %-8s %s\n", "E-MAIL", "NAME", "ROLE", "STATE");
	json_array_foreach(json_object_get(doc, "people"), i, p)
		printf("%-36s %-24s %-8s %s\n", json_string_value(json_object_get(p, "email")),
			json_string_value(json_object_get(p, "name")),
			json_string_value(json_object_get(p, "role")),
			json_string_value(json_object_get(p, "state")));
	return OK;
}

/* "/team/v1/people/ID" of an e-mail address. */
static enum err person_path(
	struct client *c, const char *email, struct buf *out, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *p;
	TRY(client_json(c, "GET", "/team/v1/people", STR_NONE, &doc, info));
	json_array_foreach(json_object_get(doc, "people"), i, p)
	{
		const char *has = json_string_value(json_object_get(p, "email"));
		const char *id = json_string_value(json_object_get(p, "id"));
		if (has && id && str_eq_nocase(str_from(has), str_from(email)))
			return cli_path(out, "/team/v1/people/", id);
	}
	return err_set(info, ERR_NOT_FOUND, "there is no account \"%s\"", email);
}

static enum err user_change(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf path = BUF(512);
	AUTO_BUF struct buf body = BUF(512);
	AUTO_BUF struct buf out = BUF(65536);
	const char *what = a->command->name + strlen("user "), *z;
	TRY(person_path(c, a->operand[0], &path, info));
	if (!strcmp(what, "reset")) {
		TRY(buf_add(&path, STR("/reset")));
		TRY(buf_cstr(&path, &z));
		TRY(buf_add(&body, STR("{}")));
		return post(c, a, z, &body, "link", info);
	}
	TRY(buf_cstr(&path, &z));
	if (!strcmp(what, "delete")) {
		if (!args_get(a, "--yes") &&
			!cli_confirm("Delete the account with all its conversations?"))
			return err_set(info, ERR_CANCELLED, "not confirmed; add --yes");
		return client_call(c, "DELETE", z, STR_NONE, &out, info);
	}
	TRY(buf_addf(
		&body, "{\"state\":\"%s\"}", !strcmp(what, "disable") ? "disabled" : "active"));
	return client_call(c, "PATCH", z, buf_str(&body), &out, info);
}

static enum err owner_link(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(16);
	TRY(buf_add(&body, STR("{}")));
	return post(c, a, "/team/v1/owner-link", &body, "link", info);
}

static enum err key_new(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(4096);
	const char *user = args_get(a, "--user"), *scopes = args_get(a, "--scopes"),
		   *days = args_get(a, "--days");
	uint64_t n = 0;
	struct jw w;
	if (!user)
		return err_set(info, ERR_INVALID, "name whose key it is with --user EMAIL");
	if (days && (str_to_u64(str_from(days), &n) || !n || n > 3650))
		return err_set(info, ERR_INVALID, "--days takes a number from 1 to 3650");
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", str_from(a->operand[0]));
	jw_kstr(&w, "email", str_from(user));
	if (scopes)
		jw_kstr(&w, "scopes", str_from(scopes));
	if (days)
		jw_ki64(&w, "expires_ms", time_now_ms() + (int64_t)n * 86400000);
	jw_end(&w);
	return post(c, a, "/team/v1/keys", &body, "secret", info);
}

int cmd_people(const struct args *a)
{
	static const struct {
		const char *name;
		cli_fn fn;
	} table[] = {
		{ "user add", user_add },
		{ "user invite", user_invite },
		{ "user list", user_list },
		{ "owner-link", owner_link },
		{ "key new", key_new },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, a->command->name))
			return cli_with_client(a, table[i].fn);
	return cli_with_client(a, user_change);
}
