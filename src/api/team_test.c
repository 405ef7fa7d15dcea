/* The team's API from log-in to log-out, through the one dispatcher. */
#include <stdio.h>
#include <time.h>

#include "api/test_app.h"

static json_t *doc_of(struct buf *b)
{
	json_t *doc;
	enum err e = json_read(buf_str(b), b->len, 32, &doc, NULL);
	if (e)
		FAIL("no JSON: %.*s", (int)b->len, b->ptr);
	return doc;
}

static const char *text_at(const json_t *doc, const char *a, const char *b)
{
	const json_t *v = json_object_get(doc, a);
	return json_string_value(b ? json_object_get(v, b) : v);
}

static int post(const struct test_app *t, const char *path, const char *origin, const char *body,
	struct buf *head, struct buf *out)
{
	AUTO_BUF struct buf r = BUF(65536);
	const char *z;
	CHECK_OK(buf_addf(&r,
		"POST %s HTTP/1.1\r\nHost: localhost:%d\r\n%sContent-Length: %zu\r\n\r\n%s", path,
		t->port, origin, strlen(body), body));
	CHECK_OK(buf_cstr(&r, &z));
	return call_raw(t, z, head, out);
}

#define FINGERPRINT "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa"

TEST(log_in_me_and_log_out)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536), cookie = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(post(&t, "/team/v1/login", "",
			     "{\"email\":\"OWNER@example.org\","
			     "\"password\":\"correct horse battery\"}",
			     &head, &out),
		200);
	AUTO_JSON json_t *me = doc_of(&out);
	CHECK_EQ_Z(text_at(me, "person", "role"), "owner");
	CHECK_EQ_Z(text_at(me, "instance", "key_protection"), "file");
	CHECK(json_array_size(json_object_get(me, "rights")) > 10);
	struct str set = head_value(&head, "Set-Cookie");
	CHECK(str_find(set, STR("HttpOnly"), 0) != SIZE_MAX &&
		str_find(set, STR("SameSite=Strict"), 0) != SIZE_MAX);
	CHECK(fakes_audited("\"action\":\"/team/v1/login\",\"outcome\":\"begun\""));
	CHECK(fakes_audited("\"outcome\":\"ok\""));
	CHECK(fakes_never_audited("example.org")); /* no addresses in the log */

	struct str token = str_sub(set, 0, str_find_byte(set, ';', 0));
	CHECK_OK(buf_addf(&cookie,
		"Cookie: %.*s\r\nX-Tresor-CSRF: %s\r\nOrigin: http://localhost:%d\r\n",
		STR_ARG(token), text_at(me, "csrf", NULL), t.port));
	const char *z;
	CHECK_OK(buf_cstr(&cookie, &z));
	CHECK_EQ_INT(post(&t, "/team/v1/logout", z, "", NULL, NULL), 200);
	CHECK_EQ_INT(post(&t, "/team/v1/logout", z, "", NULL, NULL), 401);
	test_app_stop(&t);
}

TEST(a_wrong_password_and_an_unknown_address_look_the_same)
{
	struct test_app t;
	AUTO_BUF struct buf a = BUF(4096), b = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(post(&t, "/team/v1/login", "",
			     "{\"email\":\"owner@example.org\",\"password\":\"x\"}", NULL, &a),
		401);
	CHECK_EQ_INT(post(&t, "/team/v1/login", "",
			     "{\"email\":\"nobody@example.org\",\"password\":\"x\"}", NULL, &b),
		401);
	AUTO_JSON json_t *da = doc_of(&a), *db_ = doc_of(&b);
	CHECK_EQ_Z(text_at(da, "error", "slug"), "bad_credentials");
	CHECK_EQ_Z(text_at(da, "error", "message"), text_at(db_, "error", "message"));
	CHECK(fakes_audited("\"outcome\":\"failed\""));
	test_app_stop(&t);
}

TEST(what_another_page_sends_changes_nothing)
{
	struct test_app t;
	char lines[512];
	test_app_start(&t);
	static const struct {
		const char *csrf, *origin;
	} bad[] = {
		{ "wrong", "http://localhost" },
		{ "", "http://evil.example" },
		{ "", "null" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(lines, sizeof lines, "Cookie: %s\r\nX-Tresor-CSRF: %s\r\nOrigin: %s%s\r\n",
			t.cookie, bad[i].csrf[0] ? bad[i].csrf : t.csrf, bad[i].origin, "");
		AUTO_BUF struct buf out = BUF(4096);
		CHECK_EQ_INT(post(&t, "/team/v1/conversations", lines, "{}", NULL, &out), 403);
		CHECK(str_find(buf_str(&out), STR("\"slug\":\"csrf\""), 0) != SIZE_MAX);
	}
	/* log-in from elsewhere, too */
	CHECK_EQ_INT(post(&t, "/team/v1/login", "Origin: http://evil.example\r\n",
			     "{\"email\":\"a@b.c\",\"password\":\"x\"}", NULL, NULL),
		403);
	/* cookie and key at once: not ranked, refused */
	snprintf(
		lines, sizeof lines, "Cookie: %s\r\nAuthorization: Bearer %s\r\n", t.cookie, t.key);
	CHECK_EQ_INT(post(&t, "/team/v1/conversations", lines, "{}", NULL, NULL), 400);
	test_app_stop(&t);
}

TEST(bodies_have_only_the_fields_of_the_contract)
{
	static const struct {
		const char *body, *text;
	} bad[] = {
		{ "{\"titel\":\"x\"}", "unknown field \"titel\"" },
		{ "{\"title\":5}", "\"title\" must be a string" },
		{ "[]", "the body must be a JSON object" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		AUTO_BUF struct buf out = BUF(4096);
		CHECK_EQ_INT(
			call_page(&t, "POST", "/team/v1/conversations", bad[i].body, NULL, &out),
			400);
		AUTO_JSON json_t *doc = doc_of(&out);
		CHECK_EQ_Z(text_at(doc, "error", "message"), bad[i].text);
		CHECK_EQ_INT(strlen(text_at(doc, "error", "request_id")), ID_LEN);
	}
	AUTO_BUF struct buf out = BUF(4096);
	CHECK_EQ_INT(post(&t, "/team/v1/login", "", "{\"email\":\"x\"}", NULL, &out), 400);
	CHECK(str_find(buf_str(&out), STR("\\\"password\\\" is missing"), 0) != SIZE_MAX);
	CHECK_EQ_INT(
		call_page(&t, "PATCH", "/team/v1/me", "{\"theme\":\"pink\"}", NULL, NULL), 400);
	CHECK_EQ_INT(
		call_page(&t, "PATCH", "/team/v1/me", "{\"theme\":\"dark\"}", NULL, NULL), 200);
	test_app_stop(&t);
}

TEST(what_cannot_be_recorded_is_not_done)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(4096);
	test_app_start(&t);
	fakes.audit_error = ERR_NOSPACE;
	CHECK_EQ_INT(
		call_api(&t, "DELETE", "/api/delete", "{\"model\":\"tiny\"}", NULL, &out), 507);
	CHECK_EQ_INT(fakes.deleted, 0);
	CHECK_EQ_STR(buf_str(&out),
		STR("{\"error\":\"the audit log cannot be written, so nothing was changed\"}"));
	fakes.audit_error = OK;
	CHECK_EQ_INT(
		call_api(&t, "DELETE", "/api/delete", "{\"model\":\"tiny\"}", NULL, NULL), 200);
	CHECK_EQ_INT(fakes.deleted, 1);
	test_app_stop(&t);
}

static void read_until(int fd, struct buf *b, const char *what)
{
	for (int i = 0; i < 100; i++) {
		if (b->len && str_find(buf_str(b), str_from(what), 0) != SIZE_MAX)
			return;
		(void)recv_all(fd, 50, b);
	}
	FAIL("never came: %s in %.*s", what, (int)b->len, b->len ? b->ptr : "");
}

TEST(a_question_is_answered_over_the_event_stream)
{
	struct test_app t;
	AUTO_BUF struct buf ask = BUF(4096), events = BUF(1 << 20), made = BUF(65536),
			    sent = BUF(65536), got = BUF(65536), list = BUF(65536);
	const char *z;
	char path[200];
	test_app_start(&t);
	AUTO_FD int fd = test_connect(&t);
	CHECK_OK(buf_addf(&ask,
		"GET /team/v1/events HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\n\r\n", t.cookie));
	CHECK_OK(buf_cstr(&ask, &z));
	send_z(fd, z);
	read_until(fd, &events, "data: {\"type\":\"hello\",\"server_start_ms\":1}\n\n");
	CHECK_EQ_STR(head_value(&events, "Content-Type"), STR("text/event-stream"));

	CHECK_EQ_INT(
		call_page(&t, "POST", "/team/v1/conversations", "{\"title\":\"T\"}", NULL, &made),
		201);
	AUTO_JSON json_t *conversation = doc_of(&made);
	const char *id = text_at(conversation, "id", NULL);
	snprintf(path, sizeof path, "/team/v1/conversations/%s/messages", id);
	CHECK_EQ_INT(call_page(&t, "POST", path, "{\"content\":\"hi\",\"client_id\":\"c1\"}", NULL,
			     &sent),
		201);
	AUTO_JSON json_t *pair = doc_of(&sent);
	CHECK_EQ_Z(text_at(pair, "message", "content"), "hi");
	read_until(fd, &events, "\"text\":\"lo\"");
	read_until(fd, &events, "\"content\":\"Hello\"");
	snprintf(path, sizeof path, "/team/v1/messages/%s", text_at(pair, "answer", "id"));
	CHECK_EQ_INT(call_page(&t, "GET", path, NULL, NULL, &got), 200);
	AUTO_JSON json_t *answer = doc_of(&got);
	CHECK_EQ_Z(text_at(answer, "content", NULL), "Hello");
	CHECK_EQ_INT(
		call_page(&t, "GET", "/team/v1/conversations?limit=1", NULL, NULL, &list), 200);
	CHECK(str_find(buf_str(&list), str_from(id), 0) != SIZE_MAX);
	CHECK_EQ_INT(call_page(&t, "GET", "/team/v1/conversations?limit=0", NULL, NULL, NULL), 400);

	/* log-out ends the stream, told first */
	CHECK_EQ_INT(call_page(&t, "POST", "/team/v1/logout", "", NULL, NULL), 200);
	read_until(fd, &events, "{\"type\":\"session_ended\"}");
	test_app_stop(&t);
}

TEST(other_peoples_things_are_not_found)
{
	struct test_app t;
	AUTO_BUF struct buf made = BUF(65536);
	char path[600], lines[300], body[300];
	test_app_start(&t);
	CHECK_EQ_INT(call_page(&t, "POST", "/team/v1/conversations", "{}", NULL, &made), 201);
	AUTO_JSON json_t *conversation = doc_of(&made);
	/* a second person, invited and logged in */
	AUTO_BUF struct buf link = BUF(4096), head = BUF(8192), me = BUF(8192);
	CHECK_EQ_INT(call_page(&t, "POST", "/team/v1/invitations",
			     "{\"email\":\"m@example.org\",\"role\":\"member\"}", NULL, &link),
		200);
	AUTO_JSON json_t *l = doc_of(&link);
	const char *token = strstr(text_at(l, "link", NULL), "/#/link/");
	CHECK(token);
	snprintf(body, sizeof body,
		"{\"token\":\"%s\",\"password\":\"another good one\",\"name\":\"M\"}", token + 8);
	CHECK_EQ_INT(post(&t, "/team/v1/link/accept", "", body, &head, &me), 200);
	struct str set = head_value(&head, "Set-Cookie");
	snprintf(lines, sizeof lines, "Cookie: %.*s\r\n",
		STR_ARG(str_sub(set, 0, str_find_byte(set, ';', 0))));
	snprintf(path, sizeof path,
		"GET /team/v1/conversations/%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
		text_at(conversation, "id", NULL), lines);
	AUTO_BUF struct buf foreign = BUF(4096), missing = BUF(4096);
	char other[600];
	snprintf(other, sizeof other,
		"GET /team/v1/conversations/01aaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n"
		"Host: localhost\r\n%s\r\n",
		lines);
	CHECK_EQ_INT(call_raw(&t, path, NULL, &foreign), 404);
	CHECK_EQ_INT(call_raw(&t, other, NULL, &missing), 404);
	/* alike but for the request's id */
	CHECK_EQ_STR(str_sub(buf_str(&foreign), 0, 60), str_sub(buf_str(&missing), 0, 60));
	snprintf(path, sizeof path, "GET /team/v1/people HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
		lines);
	CHECK_EQ_INT(call_raw(&t, path, NULL, NULL), 403);
	CHECK(fakes_audited("\"action\":\"people.read\",\"outcome\":\"refused\""));
	/* the link was used up */
	CHECK_EQ_INT(post(&t, "/team/v1/link/accept", "", body, NULL, NULL), 410);
	CHECK(fakes_never_audited(token + 8) && fakes_never_audited("m@example.org"));
	test_app_stop(&t);
}

TEST(the_rest_of_the_administration_answers)
{
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *has;
	} t_[] = {
		{ "GET", "/team/v1/instance", NULL, 200, "\"has_owner\":true" },
		{ "GET", "/team/v1/models", NULL, 200, "\"default\":\"tiny:latest\"" },
		{ "GET", "/team/v1/models?all=1", NULL, 200,
			"\"modified_ms\":1700000000000,\"kept\":false,"
			"\"capabilities\":[\"completion\",\"tools\"]" },
		{ "GET", "/team/v1/models?all=yes", NULL, 400, "all" },
		{ "POST", "/team/v1/models/tiny/load", "", 200, "{}" },
		{ "POST", "/team/v1/models/embed/load", "", 200, "{}" },
		{ "POST", "/team/v1/models/nope/load", "", 404, "not_found" },
		{ "POST", "/team/v1/models/tiny/unload", "", 200, "{}" },
		{ "GET", "/team/v1/models/tiny/uses", NULL, 200,
			"{\"conversations\":0,\"people\":0}" },
		{ "PUT", "/team/v1/models/default", "{\"name\":\"tiny\"}", 200, "{}" },
		{ "PUT", "/team/v1/models/default", "{\"name\":\"nope\"}", 404, "not_found" },
		{ "POST", "/team/v1/models/pull", "{\"name\":\"tiny\"}", 202,
			"\"state\":\"running\"" },
		{ "POST", "/team/v1/models/pull", "{\"name\":\"evil.example/x\"}", 403,
			"egress_refused" },
		{ "GET", "/team/v1/pulls", NULL, 200, "\"slug\":\"digest_mismatch\"" },
		{ "GET", "/team/v1/pulls", NULL, 200,
			"\"source\":\"hf.co/u/x:Q4\",\"licence\":\"MIT License\"" },
		{ "DELETE", "/team/v1/pulls/7zzzzzzzzzzzzzzzzzzzzzzzzz", NULL, 200, "{}" },
		{ "DELETE", "/team/v1/pulls/01aaaaaaaaaaaaaaaaaaaaaaaa", NULL, 404, "download" },
		{ "DELETE", "/team/v1/pulls/7zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", NULL, 404,
			"not_found" },
		{ "GET", "/team/v1/advise", NULL, 200, "\"advice\":[]" },
		{ "GET", "/team/v1/fleet", NULL, 200,
			"\"running\":{\"interactive\":2,\"workflow\":0,\"batch\":1}" },
		{ "PUT", "/team/v1/pins/tiny", "", 200, "{}" },
		{ "GET", "/team/v1/fleet", NULL, 200, "\"pinned\":true" },
		{ "GET", "/team/v1/fleet", NULL, 200, "\"since_ms\":1700000000000" },
		{ "POST", "/team/v1/models/tiny/unload", "", 409, "stays loaded" },
		{ "DELETE", "/team/v1/pins/tiny", NULL, 200, "{}" },
		{ "GET", "/team/v1/people", NULL, 200, "owner@example.org" },
		{ "GET", "/team/v1/keys", NULL, 200, "\"name\":\"test\"" },
		{ "POST", "/team/v1/keys", "{\"name\":\"two\"}", 200, "\"secret\":\"tsr_" },
		{ "POST", "/team/v1/keys", "{\"name\":\"x\",\"email\":\"a@b.c\"}", 403,
			"forbidden" },
		{ "GET", "/team/v1/audit?limit=2", NULL, 200, "\"next\":0" },
		{ "GET", "/team/v1/audit/verify", NULL, 200, "\"intact\":true,\"records\":7" },
		{ "GET", "/team/v1/doctor", NULL, 200, "\"name\":\"key\",\"state\":\"warn\"" },
		{ "PUT", "/team/v1/egress",
			"{\"host\":\"registry.firma.de\",\"purpose\":\"models\"}", 200, "{}" },
		{ "PUT", "/team/v1/egress", "{\"host\":\"bad host\",\"purpose\":\"models\"}", 400,
			"host" },
		{ "GET", "/team/v1/egress", NULL, 200, "registry.firma.de" },
		{ "PUT", "/team/v1/egress",
			"{\"host\":\"registry.firma.de\",\"purpose\":\"models\",\"push\":true}",
			200, "{}" },
		{ "GET", "/team/v1/egress", NULL, 200, "\"push\":true,\"person\":\"" },
		{ "PUT", "/team/v1/egress/registry.firma.de/login",
			"{\"user\":\"house\",\"password\":\"geheim\"}", 200, "{}" },
		{ "GET", "/team/v1/egress", NULL, 200, "\"login\":true" },
		{ "PUT", "/team/v1/egress/registry.firma.de/login",
			"{\"user\":\"a:b\",\"password\":\"geheim\"}", 400, "user" },
		{ "PUT", "/team/v1/egress/*.firma.de/login",
			"{\"user\":\"house\",\"password\":\"geheim\"}", 400, "host" },
		{ "DELETE", "/team/v1/egress/registry.firma.de/login", NULL, 200, "{}" },
		{ "DELETE", "/team/v1/egress/registry.firma.de/login", NULL, 404, "not_found" },
		{ "DELETE", "/team/v1/egress/registry.firma.de", NULL, 200, "{}" },
		{ "POST", "/team/v1/bundles/export", "{\"models\":[\"tiny\"]}", 200,
			"BUNDLE of models" },
		{ "POST", "/team/v1/bundles/export", "{\"models\":[\"nope\"]}", 404,
			"not_found" },
		{ "POST", "/team/v1/bundles/export", "{\"models\":[7]}", 400, "list of names" },
		{ "POST", "/team/v1/bundles/export", "{\"models\":[]}", 400, "1 to 64" },
		{ "POST", "/team/v1/bundles/import", "rubbish", 400, "not a bundle" },
		{ "POST", "/team/v1/bundles/import", FINGERPRINT, 403, "whom nobody here" },
		{ "POST", "/team/v1/bundles/import?trust=x", FINGERPRINT, 400, "fingerprint" },
		{ "PUT", "/team/v1/bundles/signers/x", "", 400, "fingerprint" },
		{ "POST", "/team/v1/bundles/import?trust=" FINGERPRINT, FINGERPRINT, 200,
			"\"licence\":\"MIT License\"" },
		{ "POST", "/team/v1/bundles/import", FINGERPRINT, 200, "\"signer\":\"aaaa" },
		{ "GET", "/team/v1/bundles/signers", NULL, 200, "\"fingerprint\":\"aaaa" },
		{ "DELETE", "/team/v1/bundles/signers/" FINGERPRINT, NULL, 200, "{}" },
		{ "DELETE", "/team/v1/bundles/signers/" FINGERPRINT, NULL, 404, "not trusted" },
		{ "POST", "/team/v1/bundles/import", FINGERPRINT, 403, "whom nobody here" },
		{ "POST", "/team/v1/recovery", "", 200, "\"code\":\"abcd1-efgh2\"" },
		{ "POST", "/team/v1/owner-link", "{}", 403, "forbidden" },
		{ "POST", "/team/v1/backup/snapshot", "", 403, "forbidden" },
		{ "GET", "/metrics", NULL, 200, "tresor_answer_tokens_total 50" },
		{ "GET", "/healthz", NULL, 200, "ok" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof t_ / sizeof t_[0]; i++) {
		AUTO_BUF struct buf out = BUF(1 << 20);
		int got = call_page(&t, t_[i].method, t_[i].path, t_[i].body, NULL, &out);
		if (got != t_[i].status ||
			str_find(buf_str(&out), str_from(t_[i].has), 0) == SIZE_MAX)
			FAIL("%s %s: %d %.*s", t_[i].method, t_[i].path, got, (int)out.len,
				out.len ? out.ptr : "");
	}
	static const char *const audited[] = { "source.add", "source.remove", "source.login",
		"source.logout", "bundle.export", "bundle.import", "bundle.trust",
		"bundle.distrust" };
	for (size_t i = 0; i < sizeof audited / sizeof *audited; i++)
		CHECK(fakes_audited(audited[i]));
	CHECK(fakes_audited("registry.firma.de:443") && fakes_never_audited("geheim"));
	test_app_stop(&t);
}

TEST(a_key_does_only_what_its_scopes_say)
{
	struct test_app t;
	AUTO_BUF struct buf made = BUF(4096);
	char request[400];
	test_app_start(&t);
	CHECK_EQ_INT(call_page(&t, "POST", "/team/v1/keys",
			     "{\"name\":\"small\",\"scopes\":\"models.read\"}", NULL, &made),
		200);
	AUTO_JSON json_t *doc = doc_of(&made);
	static const struct {
		const char *line;
		int status;
	} tries[] = {
		{ "GET /api/tags", 200 },
		{ "GET /team/v1/people", 403 },
		{ "GET /team/v1/conversations", 403 },
		{ "GET /team/v1/keys", 403 },
		{ "GET /team/v1/me", 200 },
		{ "GET /metrics", 403 },
	};
	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		snprintf(request, sizeof request,
			"%s HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %s\r\n\r\n", tries[i].line,
			text_at(doc, "secret", NULL));
		int got = call_raw(&t, request, NULL, NULL);
		if (got != tries[i].status)
			FAIL("%s: %d", tries[i].line, got);
	}
	test_app_stop(&t);
}

/* Sends a head that announces `bytes` and nothing more; the status that comes. */
static int announce(const struct test_app *t, const char *credential, size_t bytes)
{
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536);
	AUTO_FD int fd = test_connect(t);
	char request[600];
	snprintf(request, sizeof request,
		"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n%s"
		"Expect: 100-continue\r\n"
		"Content-Length: %zu\r\n\r\n",
		credential, bytes);
	send_z(fd, request);
	return recv_answer(fd, &head, &out);
}

TEST(a_large_body_is_read_only_for_those_who_may)
{
	struct test_app t;
	char good[256];
	test_app_start(&t);
	snprintf(good, sizeof good, "Authorization: Bearer %s\r\n", t.key);
	CHECK_EQ_INT(announce(&t, "", 1000000), 401);
	CHECK_EQ_INT(announce(&t, "Authorization: Bearer nonsense\r\n", 1000000), 401);
	CHECK_EQ_INT(announce(&t, good, 1000000), 100); /* go on */
	/* and a whole large one arrives */
	AUTO_BUF struct buf body = BUF(1 << 21), out = BUF(1 << 21);
	const char *z;
	CHECK_OK(buf_add(
		&body, STR("{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"")));
	for (int i = 0; i < 300000; i++)
		CHECK_OK(buf_add(&body, STR("ab ")));
	CHECK_OK(buf_add(&body, STR("\"}]}")));
	CHECK_OK(buf_cstr(&body, &z));
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions", z, NULL, &out), 200);
	CHECK(str_find(buf_str(&out), STR("\"content\":\"Hello\""), 0) != SIZE_MAX);
	test_app_stop(&t);
}
