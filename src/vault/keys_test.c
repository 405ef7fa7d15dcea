#include "vault/keys.h"

#include <stdio.h>

#include "base/json.h"
#include "os/fd.h"
#include "vault/fixture.h"

enum { MINUTE = 60 * 1000 };

static enum err make(struct fixture *f, const char *person, const char *scopes, int64_t expires_ms,
		     struct api_key *k, char secret[API_KEY_LEN + 1])
{
	struct api_key_new n = { .person = str_from(person), .name = STR(" laptop "),
				 .scopes = str_from(scopes), .expires_ms = expires_ms };
	struct err_info info = { .code = OK };
	return api_key_create(f->vault, &n, k, secret, &info);
}

TEST(a_key_acts_as_its_person_within_its_scopes)
{
	AUTO_FIXTURE struct fixture f;
	struct api_key k;
	struct subject who;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1], owner[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_ADMIN, id);
	CHECK_OK(make(&f, id, "", 0, &k, secret));
	CHECK_EQ_Z(k.name, "laptop");
	CHECK_EQ_Z(k.scopes, "chat,models.read");
	CHECK_EQ_INT(strlen(secret), API_KEY_LEN);
	CHECK(strncmp(secret, "tsr_", 4) == 0 && strncmp(secret + 4, k.id, ID_LEN) == 0);
	CHECK_EQ_Z(secret + API_KEY_LEN - 4, k.hint);
	CHECK_OK(api_key_find(f.vault, str_from(secret), &who));
	CHECK(who.by_key && who.role == PERSON_ADMIN);
	CHECK_EQ_Z(who.person, id);
	CHECK(scope_ok(&who, "chat") && !scope_ok(&who, "people"));
	CHECK_OK(api_key_owner(f.vault, str_from(k.id), owner));
	CHECK_EQ_Z(owner, id);
}

TEST(a_key_that_is_not_quite_right_is_unknown)
{
	AUTO_FIXTURE struct fixture f;
	struct api_key k;
	struct subject who;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1], other[API_KEY_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(make(&f, id, "chat", 0, &k, secret));
	for (size_t i = 0; i < API_KEY_LEN; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(other, secret, sizeof other);
			other[i] ^= (char)(1 << bit);
			CHECK_ERR(api_key_find(f.vault, (struct str){ other, API_KEY_LEN }, &who),
				  ERR_LOGIN);
			/* CRC-32 finds it */
			CHECK(!api_key_ok((struct str){ other, API_KEY_LEN }));
		}
	for (size_t n = 0; n < API_KEY_LEN; n++)
		CHECK_ERR(api_key_find(f.vault, (struct str){ secret, n }, &who), ERR_LOGIN);
	CHECK_OK(make(&f, id, "chat", 0, &k, other)); /* well-formed, but of another person's id */
	CHECK_OK(api_key_find(f.vault, str_from(other), &who));
	CHECK_ERR(api_key_find(f.vault, STR(""), &who), ERR_LOGIN);
}

TEST(revoked_and_expired_keys_are_dead)
{
	AUTO_FIXTURE struct fixture f;
	struct api_key k;
	struct subject who;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(make(&f, id, "chat", clock_now() + MINUTE, &k, secret));
	clock_forward(MINUTE - 1);
	CHECK_OK(api_key_find(f.vault, str_from(secret), &who));
	clock_forward(1);
	CHECK_ERR(api_key_find(f.vault, str_from(secret), &who), ERR_LOGIN);
	CHECK_OK(make(&f, id, "chat", 0, &k, secret));
	CHECK_OK(api_key_revoke(f.vault, str_from(k.id)));
	CHECK_OK(api_key_revoke(f.vault, str_from(k.id)));
	CHECK_ERR(api_key_find(f.vault, str_from(secret), &who), ERR_LOGIN);
	CHECK_ERR(api_key_revoke(f.vault, STR("01hzzzzzzzzzzzzzzzzzzzzzzz")), ERR_NOT_FOUND);
	CHECK_ERR(make(&f, id, "chat", clock_now(), &k, secret), ERR_INVALID);
}

TEST(scopes_are_those_that_routes_ask_for)
{
	AUTO_FIXTURE struct fixture f;
	AUTO_BUF struct buf text = BUF(1 << 20);
	AUTO_JSON json_t *root = NULL;
	struct err_info info = { .code = OK };
	struct api_key k;
	json_t *routes = NULL;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1];
	size_t scoped = 0;
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(file_read(test_path("api/routes.json"), &text));
	CHECK_OK(json_read(buf_str(&text), text.max, JSON_DEPTH_DEFAULT, &root, &info));
	CHECK_OK(json_want_arr(root, "routes", true, &routes, &info));
	for (size_t i = 0; i < json_array_size(routes); i++) {
		struct str scope = STR_NONE;
		char copy[64];
		CHECK_OK(json_want_str(json_array_get(routes, i), "scope", false, &scope, &info));
		if (!scope.ptr)
			continue;
		scoped++;
		CHECK_OK(str_copy(scope, copy, sizeof copy));
		CHECK_OK(make(&f, id, copy, 0, &k, secret));
		CHECK_OK(api_key_revoke(f.vault, str_from(k.id)));
	}
	CHECK(scoped > 20);
	CHECK_ERR(make(&f, id, "chat,all", 0, &k, secret), ERR_INVALID);
	CHECK_ERR(make(&f, id, "chat,", 0, &k, secret), ERR_INVALID);
	CHECK_ERR(make(&f, id, "chat people", 0, &k, secret), ERR_INVALID);
	CHECK_ERR(make(&f, "01hzzzzzzzzzzzzzzzzzzzzzzz", "chat", 0, &k, secret), ERR_NOT_FOUND);
}

TEST(a_person_has_a_limited_number_of_keys)
{
	AUTO_FIXTURE struct fixture f;
	struct api_key k;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	for (int i = 0; i < API_KEYS_PER_PERSON; i++)
		CHECK_OK(make(&f, id, "chat", 0, &k, secret));
	struct api_key_new n = { .person = str_from(id), .name = STR("one more") };
	struct err_info info = { .code = OK };
	struct api_key other;
	CHECK_ERR(api_key_create(f.vault, &n, &other, secret, &info), ERR_LIMIT);
	CHECK_OK(api_key_revoke(f.vault, str_from(k.id)));
	CHECK_OK(api_key_create(f.vault, &n, &other, secret, &info));
}

TEST(the_list_shows_no_secret_and_the_use_once_a_minute)
{
	AUTO_FIXTURE struct fixture f;
	AUTO_BUF struct buf list = BUF(8192);
	AUTO_BUF struct buf want = BUF(8192);
	struct api_key k;
	struct subject who;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(make(&f, id, "chat", 0, &k, secret));
	clock_forward(10 * MINUTE);
	CHECK_OK(api_key_find(f.vault, str_from(secret), &who));
	clock_forward(MINUTE - 1);
	CHECK_OK(api_key_find(f.vault, str_from(secret), &who)); /* not noted */
	CHECK_OK(api_key_list_json(f.vault, id, &list));
	CHECK_OK(buf_addf(&want, "{\"keys\":[{\"id\":\"%s\",\"name\":\"laptop\",\"hint\":\"%s\","
			  "\"scopes\":\"chat\",\"created_ms\":%lld,\"used_ms\":%lld,"
			  "\"person\":\"%s\"}]}",
			  k.id, k.hint, (long long)CLOCK_START,
			  (long long)CLOCK_START + 10 * MINUTE, id));
	CHECK_EQ_STR(buf_str(&list), buf_str(&want));
}
