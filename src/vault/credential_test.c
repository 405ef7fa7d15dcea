#include "vault/credential.h"

#include "vault/fixture.h"
#include "vault/keys.h"

static struct credential_in request(void)
{
	return (struct credential_in){ .local_uid = -1, .own_uid = 1000,
				       .host = STR("ai.example:7070"),
				       .accepted = CREDENTIAL_SESSION | CREDENTIAL_KEY };
}

static enum credential_kind kind_of(const struct credential_in *in)
{
	struct credential c;
	CHECK_OK(credential_pick(in, &c, NULL));
	return c.kind;
}

TEST(one_credential_is_picked_wherever_it_stands)
{
	struct credential_in in = request();
	struct credential c;
	CHECK_EQ_INT(kind_of(&in), CRED_NONE);
	in.cookie = STR("");
	CHECK_EQ_INT(kind_of(&in), CRED_NONE); /* a cleared cookie is none */
	in.cookie = STR("abc");
	CHECK_EQ_INT(kind_of(&in), CRED_SESSION);
	in.cookie = STR_NONE;
	in.authorization = STR("bearer  tsr_x ");
	CHECK_OK(credential_pick(&in, &c, NULL));
	CHECK(c.kind == CRED_KEY);
	CHECK_EQ_STR(c.text, STR("tsr_x"));
	in.x_api_key = STR("tsr_x"); /* the same key twice is one credential */
	CHECK_EQ_INT(kind_of(&in), CRED_KEY);
	in.authorization = STR_NONE;
	CHECK_EQ_INT(kind_of(&in), CRED_KEY);
	in = request();
	in.local_uid = 1000;
	CHECK_EQ_INT(kind_of(&in), CRED_LOCAL);
	in.local_uid = 0;
	CHECK_EQ_INT(kind_of(&in), CRED_LOCAL);
}

TEST(two_credentials_are_refused_never_ranked)
{
	struct credential c;
	struct credential_in in = request();
	in.authorization = STR("Bearer tsr_x");
	in.x_api_key = STR("tsr_y");
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_INVALID);
	in.x_api_key = STR("");
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_INVALID);
	in.x_api_key = STR_NONE;
	in.cookie = STR("abc");
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_INVALID);
	in = request();
	in.x_api_key = STR("tsr_x");
	in.cookie = STR("abc");
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_INVALID);
	in = request();
	in.local_uid = 1000;
	in.cookie = STR("abc");
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_INVALID);
	in.cookie = STR_NONE;
	in.authorization = STR("Bearer tsr_x");
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_INVALID);
}

TEST(an_authorization_we_do_not_know_is_no_credential)
{
	static const char *const bad[] = { "", "Basic YTpi", "Bearer", "tsr_x", "Bearertsr_x",
					   "Token x" };
	struct credential c;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct credential_in in = request();
		in.authorization = str_from(bad[i]);
		if (credential_pick(&in, &c, NULL) != ERR_LOGIN)
			FAIL("accepted \"%s\"", bad[i]);
	}
}

TEST(the_local_socket_is_for_root_and_its_own_user)
{
	struct credential c;
	struct credential_in in = request();
	in.local_uid = 1001;
	CHECK_ERR(credential_pick(&in, &c, NULL), ERR_FORBIDDEN);
}

static enum err from(const char *origin, const char *site, const char *host, bool tls,
		     const char *public_url)
{
	struct credential_in in = request();
	in.origin = str_from(origin);
	in.sec_fetch_site = str_from(site);
	in.host = str_from(host);
	in.tls = tls;
	in.public_url = str_from(public_url);
	return credential_origin(&in, true, NULL);
}

TEST(an_origin_is_ours_when_scheme_host_and_port_are)
{
	CHECK_OK(from("http://ai.example:7070", NULL, "ai.example:7070", false, NULL));
	CHECK_OK(from("https://AI.example", "same-origin", "ai.example", true, NULL));
	CHECK_OK(from("https://ai.example", NULL, "ai.example:443", true, NULL));
	CHECK_OK(from("http://ai.example:80", "none", "ai.example", false, NULL));
	CHECK_OK(from("http://[::1]:7070", NULL, "[::1]:7070", false, NULL));
	CHECK_OK(from("https://ki.firma.de", NULL, "127.0.0.1:7070", false,
		      "https://ki.firma.de/"));
	static const struct { const char *origin, *site, *host; bool tls; } bad[] = {
		{ "http://evil.example", NULL, "ai.example:7070", false },
		{ "http://ai.example", NULL, "ai.example:7070", false },
		{ "http://ai.example:7070", NULL, "ai.example:7070", true },
		{ "https://ai.example:7070", NULL, "ai.example:7070", false },
		{ "http://ai.example:7070.evil.example", NULL, "ai.example:7070", false },
		{ "http://ai.example:7070/x", NULL, "ai.example:7070", false },
		{ "http://a@ai.example:7070", NULL, "ai.example:7070", false },
		{ "http://evil.example#ai.example:7070", NULL, "ai.example:7070", false },
		{ "http://ai.example:7070", "cross-site", "ai.example:7070", false },
		{ "http://ai.example:7070", "same-site", "ai.example:7070", false },
		{ "http://ai.example:7070", "", "ai.example:7070", false },
		{ "null", NULL, "ai.example:7070", false },
		{ "null", NULL, "null", false },
		{ "", NULL, "", false },
		{ "http://", NULL, "", false },
		{ "file://", NULL, "ai.example:7070", false },
		{ "http://ai.example:7070", NULL, NULL, false },
		{ "http://[::1", NULL, "[::1", false },
		{ "http://[::1]x", NULL, "[::1]x", false },
		{ "http://ai.example:0", NULL, "ai.example:0", false },
		{ "http://ai.example:99999", NULL, "ai.example:99999", false },
		{ "http://ai.example:70 70", NULL, "ai.example:70 70", false },
		{ NULL, NULL, "ai.example:7070", false },
		{ NULL, "same-origin", "ai.example:7070", false },
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (from(bad[i].origin, bad[i].site, bad[i].host, bad[i].tls, NULL) != ERR_CSRF)
			FAIL("accepted %s at %s", bad[i].origin ? bad[i].origin : "(none)",
			     bad[i].host ? bad[i].host : "(none)");
}

struct scene {
	struct fixture f;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1];
	struct session s;
};

static void scene_open(struct scene *c, const char *scopes)
{
	struct api_key k;
	struct err_info info = { .code = OK };
	fixture_open(&c->f);
	fixture_person(&c->f, "eva@example.com", PERSON_ADMIN, c->id);
	struct api_key_new n = { .person = str_from(c->id), .name = STR("k"),
				 .scopes = str_from(scopes) };
	CHECK_OK(api_key_create(c->f.vault, &n, &k, c->secret, &info));
	CHECK_OK(session_create(c->f.vault, c->id, STR(""), &c->s));
}

static enum err whole(struct scene *c, const struct credential_in *in, struct subject *ret)
{
	struct err_info info = { .code = OK };
	return credential_subject(c->f.vault, in, ret, &info);
}

TEST(a_session_that_changes_something_must_come_from_our_page)
{
	struct scene c;
	struct subject who;
	scene_open(&c, "chat");
	struct credential_in in = request();
	in.cookie = str_from(c.s.token);
	CHECK_OK(whole(&c, &in, &who)); /* reading */
	CHECK_EQ_Z(who.person, c.id);
	in.changes = true;
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	in.origin = STR("http://ai.example:7070");
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	in.csrf = str_from(c.s.csrf);
	CHECK_OK(whole(&c, &in, &who));
	in.origin = STR_NONE;
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	in.origin = STR("http://evil.example");
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	in.origin = STR("http://ai.example:7070");
	in.csrf = str_sub(in.csrf, 0, TOKEN_LEN - 1);
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	in.csrf = str_from(c.s.token);
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	in.csrf = STR("");
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	fixture_close(&c.f);
}

TEST(a_key_needs_the_scope_and_no_origin)
{
	struct scene c;
	struct subject who;
	scene_open(&c, "chat");
	struct credential_in in = request();
	in.authorization = STR_NONE;
	in.x_api_key = str_from(c.secret);
	in.changes = true;
	in.scope = "chat";
	CHECK_OK(whole(&c, &in, &who));
	CHECK(who.by_key);
	in.scope = "people";
	CHECK_ERR(whole(&c, &in, &who), ERR_FORBIDDEN);
	in.scope = "chat";
	in.accepted = CREDENTIAL_SESSION;
	CHECK_ERR(whole(&c, &in, &who), ERR_FORBIDDEN);
	in.accepted = CREDENTIAL_KEY;
	in.x_api_key = STR("ollama");
	CHECK_ERR(whole(&c, &in, &who), ERR_LOGIN);
	fixture_close(&c.f);
}

TEST(the_local_socket_goes_where_a_session_goes)
{
	struct scene c;
	struct subject who;
	scene_open(&c, "chat");
	struct credential_in in = request();
	in.local_uid = 0;
	in.changes = true;
	CHECK_OK(whole(&c, &in, &who));
	CHECK(who.role == PERSON_LOCAL && !who.person[0] && !who.by_key);
	in.accepted = CREDENTIAL_LOCAL;
	CHECK_OK(whole(&c, &in, &who));
	in.accepted = CREDENTIAL_KEY;
	CHECK_ERR(whole(&c, &in, &who), ERR_FORBIDDEN);
	in = request();
	in.accepted = CREDENTIAL_LOCAL; /* and nobody else goes where only it goes */
	in.cookie = str_from(c.s.token);
	CHECK_ERR(whole(&c, &in, &who), ERR_FORBIDDEN);
	fixture_close(&c.f);
}

TEST(a_public_route_takes_everybody_but_no_other_site)
{
	struct scene c;
	struct subject who;
	scene_open(&c, "chat");
	struct credential_in in = request();
	in.accepted = CREDENTIAL_NONE;
	in.cookie = STR("an old cookie");
	in.authorization = STR("Basic x");
	CHECK_OK(whole(&c, &in, &who));
	CHECK_EQ_INT(who.role, PERSON_NONE);
	in.changes = true;
	CHECK_OK(whole(&c, &in, &who)); /* a script that logs in */
	in.origin = STR("http://evil.example");
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF); /* log-in from a foreign page */
	in.origin = STR("http://ai.example:7070");
	CHECK_OK(whole(&c, &in, &who));
	in.sec_fetch_site = STR("cross-site");
	CHECK_ERR(whole(&c, &in, &who), ERR_CSRF);
	fixture_close(&c.f);
}

TEST(nobody_is_asked_to_log_in)
{
	struct scene c;
	struct subject who;
	scene_open(&c, "chat");
	struct credential_in in = request();
	CHECK_ERR(whole(&c, &in, &who), ERR_LOGIN);
	in.cookie = STR("forged");
	CHECK_ERR(whole(&c, &in, &who), ERR_LOGIN);
	fixture_close(&c.f);
}
