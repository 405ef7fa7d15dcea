#include "vault/people.h"

#include <pthread.h>
#include <stdio.h>

#include "vault/fixture.h"
#include "vault/keys.h"
#include "vault/vault_int.h"

TEST(every_statement_can_be_prepared)
{
	AUTO_FIXTURE struct fixture f;
	fixture_open(&f);
	CHECK(vault_sql_count > 30);
	CHECK_OK(db_prepare_check(f.db, vault_sql, vault_sql_count));
}

TEST(a_person_is_found_by_id_and_by_address_without_case)
{
	AUTO_FIXTURE struct fixture f;
	struct person_new n = { .email = STR("  Erika.Muster@Example.COM "), .role = PERSON_ADMIN,
				.password = STR(GOOD_PASSWORD), .language = STR("en") };
	struct err_info info = { .code = OK };
	struct person p, q;
	bool has;
	fixture_open(&f);
	CHECK_OK(person_create(f.vault, &n, &p, &info));
	CHECK_EQ_Z(p.email, "Erika.Muster@Example.COM");
	CHECK_EQ_Z(p.name, "Erika.Muster");
	CHECK_OK(person_find(f.vault, str_from(p.id), &q));
	CHECK_EQ_Z(q.email, p.email);
	CHECK_EQ_Z(q.language, "en");
	CHECK(q.role == PERSON_ADMIN && q.active && q.created_ms == CLOCK_START);
	CHECK_OK(person_find_email(f.vault, STR("ERIKA.muster@example.com"), &q));
	CHECK_EQ_Z(q.id, p.id);
	CHECK_ERR(person_find_email(f.vault, STR("erika@example.com"), &q), ERR_NOT_FOUND);
	CHECK_ERR(person_find(f.vault, STR("01hzzzzzzzzzzzzzzzzzzzzzzz"), &q), ERR_NOT_FOUND);
	CHECK_ERR(person_find(f.vault, STR("' OR 1=1 --"), &q), ERR_NOT_FOUND);
	n.email = STR("erika.muster@EXAMPLE.com");
	CHECK_ERR(person_create(f.vault, &n, &q, &info), ERR_EXISTS);
	CHECK_OK(person_has_owner(f.vault, &has));
	CHECK(!has);
}

TEST(what_is_no_account_is_refused)
{
	static const char *const bad[] = { "", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\nc",
					   "a\x7f@b",
					   "\xff@b" };
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct person p;
	fixture_open(&f);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct person_new n = { .email = str_from(bad[i]), .role = PERSON_MEMBER,
					.password = STR(GOOD_PASSWORD) };
		if (person_create(f.vault, &n, &p, &info) != ERR_INVALID)
			FAIL("accepted \"%s\"", bad[i]);
	}
	struct person_new n = { .email = STR("a@b"), .role = PERSON_LOCAL,
				.password = STR(GOOD_PASSWORD) };
	CHECK_ERR(person_create(f.vault, &n, &p, &info), ERR_INVALID);
	n.role = PERSON_NONE;
	CHECK_ERR(person_create(f.vault, &n, &p, &info), ERR_INVALID);
	n.role = PERSON_MEMBER;
	n.language = STR("fr");
	CHECK_ERR(person_create(f.vault, &n, &p, &info), ERR_INVALID);
	n.language = STR_NONE;
	n.name = STR("two\nlines");
	CHECK_ERR(person_create(f.vault, &n, &p, &info), ERR_INVALID);
	n.name = STR_NONE;
	n.password = STR("short");
	CHECK_ERR(person_create(f.vault, &n, &p, &info), ERR_INVALID);
	char longest[LIMIT_EMAIL + 2];
	memset(longest, 'a', sizeof longest);
	longest[LIMIT_EMAIL - 2] = '@';
	n = (struct person_new){ .email = { longest, LIMIT_EMAIL }, .role = PERSON_MEMBER,
				 .password = STR(GOOD_PASSWORD) };
	CHECK_OK(person_create(f.vault, &n, &p, &info));
	CHECK_EQ_INT(strlen(p.name), LIMIT_NAME);
	n.email.len++;
	CHECK_ERR(person_create(f.vault, &n, &p, &info), ERR_INVALID);
}

TEST(json_is_what_the_contract_says)
{
	AUTO_FIXTURE struct fixture f;
	AUTO_BUF struct buf got = BUF(4096);
	AUTO_BUF struct buf want = BUF(4096);
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_OWNER, id);
	CHECK_OK(person_list_json(f.vault, &got));
	CHECK_OK(buf_addf(&want, "{\"people\":[{\"id\":\"%s\",\"email\":\"eva@example.com\","
			  "\"name\":\"eva\","
			  "\"role\":\"owner\",\"state\":\"active\",\"language\":\"de\","
			  "\"address\":\"sie\","
			  "\"theme\":\"system\",\"created_ms\":1795000000000}]}", id));
	CHECK_EQ_STR(buf_str(&got), buf_str(&want));
}

static enum err set(struct fixture *f, const char *id, enum person_role by, enum person_role role,
		    int active)
{
	struct person_change c = PERSON_CHANGE(by);
	struct err_info info = { .code = OK };
	struct person p;
	c.role = role;
	c.active = active;
	return person_change(f->vault, str_from(id), &c, &p, &info);
}

TEST(the_last_active_owner_stays)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	char one[ID_LEN + 1], two[ID_LEN + 1], member[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "one@example.com", PERSON_OWNER, one);
	fixture_person(&f, "m@example.com", PERSON_MEMBER, member);
	CHECK_ERR(set(&f, one, PERSON_OWNER, PERSON_ADMIN, -1), ERR_CONFLICT);
	CHECK_ERR(set(&f, one, PERSON_LOCAL, PERSON_NONE, 0), ERR_CONFLICT);
	CHECK_ERR(person_delete(f.vault, str_from(one), PERSON_OWNER, NULL, NULL, &info),
		  ERR_CONFLICT);
	fixture_person(&f, "two@example.com", PERSON_OWNER, two);
	CHECK_OK(set(&f, two, PERSON_OWNER, PERSON_NONE, 0)); /* disabled: does not count */
	CHECK_ERR(set(&f, one, PERSON_OWNER, PERSON_MEMBER, -1), ERR_CONFLICT);
	CHECK_OK(set(&f, two, PERSON_OWNER, PERSON_NONE, 1));
	CHECK_OK(set(&f, one, PERSON_OWNER, PERSON_MEMBER, -1));
	CHECK_ERR(person_delete(f.vault, str_from(two), PERSON_LOCAL, NULL, NULL, &info),
		  ERR_CONFLICT);
	CHECK_OK(set(&f, member, PERSON_OWNER, PERSON_OWNER, -1));
	CHECK_OK(person_delete(f.vault, str_from(two), PERSON_LOCAL, NULL, NULL, &info));
}

TEST(an_admin_never_touches_or_makes_an_owner)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	char owner[ID_LEN + 1], other[ID_LEN + 1], member[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "o@example.com", PERSON_OWNER, owner);
	fixture_person(&f, "p@example.com", PERSON_OWNER, other);
	fixture_person(&f, "m@example.com", PERSON_MEMBER, member);
	CHECK_ERR(set(&f, owner, PERSON_ADMIN, PERSON_NONE, 0), ERR_FORBIDDEN);
	CHECK_ERR(set(&f, owner, PERSON_ADMIN, PERSON_MEMBER, -1), ERR_FORBIDDEN);
	CHECK_ERR(set(&f, member, PERSON_ADMIN, PERSON_OWNER, -1), ERR_FORBIDDEN);
	CHECK_ERR(person_delete(f.vault, str_from(owner), PERSON_ADMIN, NULL, NULL, &info),
		  ERR_FORBIDDEN);
	CHECK_OK(set(&f, member, PERSON_ADMIN, PERSON_ADMIN, -1));
	CHECK_OK(person_delete(f.vault, str_from(member), PERSON_ADMIN, NULL, NULL, &info));
	CHECK_ERR(set(&f, owner, PERSON_MEMBER, PERSON_MEMBER, -1), ERR_FORBIDDEN);
	CHECK_ERR(set(&f, owner, PERSON_NONE, PERSON_NONE, -1), ERR_FORBIDDEN);
	CHECK_ERR(person_delete(f.vault, str_from(owner), PERSON_MEMBER, NULL, NULL, &info),
		  ERR_FORBIDDEN);
}

TEST(people_change_their_own_name_and_looks_but_not_their_rights)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct person_change c = PERSON_CHANGE(PERSON_MEMBER);
	struct person p;
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "m@example.com", PERSON_MEMBER, id);
	c.name = STR(" Mia M\xc3\xbcller ");
	c.language = STR("en");
	c.address = STR("du");
	c.theme = STR("dark");
	CHECK_OK(person_change(f.vault, str_from(id), &c, &p, &info));
	CHECK_OK(person_find(f.vault, str_from(id), &p));
	CHECK_EQ_Z(p.name, "Mia M\xc3\xbcller");
	CHECK_EQ_Z(p.language, "en");
	CHECK_EQ_Z(p.address, "du");
	CHECK_EQ_Z(p.theme, "dark");
	c = PERSON_CHANGE(PERSON_MEMBER);
	c.role = PERSON_OWNER;
	CHECK_ERR(person_change(f.vault, str_from(id), &c, &p, &info), ERR_FORBIDDEN);
	c = PERSON_CHANGE(PERSON_MEMBER);
	c.theme = STR("pink");
	CHECK_ERR(person_change(f.vault, str_from(id), &c, &p, &info), ERR_INVALID);
	c = PERSON_CHANGE(PERSON_MEMBER);
	c.name = STR("");
	CHECK_ERR(person_change(f.vault, str_from(id), &c, &p, &info), ERR_INVALID);
}

TEST(disabling_ends_sessions_and_keys_at_once)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct session s;
	struct subject who;
	struct api_key k;
	char id[ID_LEN + 1], secret[API_KEY_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "m@example.com", PERSON_MEMBER, id);
	struct api_key_new n = { .person = str_from(id), .name = STR("laptop") };
	CHECK_OK(session_create(f.vault, id, STR(""), &s));
	CHECK_OK(api_key_create(f.vault, &n, &k, secret, &info));
	CHECK_OK(session_find(f.vault, str_from(s.token), &who));
	CHECK_OK(api_key_find(f.vault, str_from(secret), &who));
	CHECK_OK(set(&f, id, PERSON_ADMIN, PERSON_NONE, 0));
	CHECK_ERR(session_find(f.vault, str_from(s.token), &who), ERR_LOGIN);
	CHECK_ERR(api_key_find(f.vault, str_from(secret), &who), ERR_LOGIN);
	CHECK_ERR(session_create(f.vault, id, STR(""), &s), ERR_NOT_FOUND);
	CHECK_OK(set(&f, id, PERSON_ADMIN, PERSON_NONE, 1));
	CHECK_ERR(session_find(f.vault, str_from(s.token), &who), ERR_LOGIN); /* gone for good */
	CHECK_OK(api_key_find(f.vault, str_from(secret), &who));
}

struct seen { struct fixture *f; char id[ID_LEN + 1]; int calls; enum err fail; };

static enum err forget(void *arg, const char *person)
{
	struct seen *s = arg;
	struct person p;
	struct session session;
	CHECK_EQ_Z(person, s->id);
	CHECK_OK(person_find(s->f->vault, str_from(person), &p));
	CHECK(!p.active); /* nothing new can begin while the old is taken away */
	CHECK_ERR(session_create(s->f->vault, person, STR(""), &session), ERR_NOT_FOUND);
	s->calls++;
	return s->fail;
}

TEST(deleting_disables_first_and_takes_everything)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct seen seen = { .f = &f, .fail = ERR_IO };
	struct person p;
	struct api_key k;
	struct subject who;
	char secret[API_KEY_LEN + 1], owner[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "m@example.com", PERSON_MEMBER, seen.id);
	struct api_key_new n = { .person = str_from(seen.id), .name = STR("laptop") };
	CHECK_OK(api_key_create(f.vault, &n, &k, secret, &info));
	CHECK_ERR(person_delete(f.vault, str_from(seen.id), PERSON_ADMIN, forget, &seen, &info),
		  ERR_IO);
	CHECK_OK(person_find(f.vault, str_from(seen.id), &p));
	CHECK(!p.active);
	seen.fail = OK;
	CHECK_OK(person_delete(f.vault, str_from(seen.id), PERSON_ADMIN, forget, &seen, &info));
	CHECK_EQ_INT(seen.calls, 2);
	CHECK_ERR(person_find(f.vault, str_from(seen.id), &p), ERR_NOT_FOUND);
	CHECK_ERR(api_key_find(f.vault, str_from(secret), &who), ERR_LOGIN);
	CHECK_ERR(api_key_owner(f.vault, str_from(k.id), owner), ERR_NOT_FOUND);
	CHECK_ERR(person_delete(f.vault, str_from(seen.id), PERSON_ADMIN, forget, &seen, &info),
		  ERR_NOT_FOUND);
}

struct racer { struct fixture *f; const char *id; enum err e; };

static void *demote(void *arg)
{
	struct racer *r = arg;
	r->e = set(r->f, r->id, PERSON_OWNER, PERSON_MEMBER, -1);
	return NULL;
}

TEST(two_owners_who_demote_each_other_at_once_leave_one)
{
	AUTO_FIXTURE struct fixture f;
	char a[ID_LEN + 1], b[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "a@example.com", PERSON_OWNER, a);
	fixture_person(&f, "b@example.com", PERSON_OWNER, b);
	for (int i = 0; i < 50; i++) {
		struct racer r[2] = { { &f, a, OK }, { &f, b, OK } };
		pthread_t t[2];
		bool has = false;
		for (int k = 0; k < 2; k++)
			CHECK(pthread_create(&t[k], NULL, demote, &r[k]) == 0);
		for (int k = 0; k < 2; k++)
			CHECK(pthread_join(t[k], NULL) == 0);
		CHECK((r[0].e == OK) != (r[1].e == OK));
		CHECK(r[0].e == ERR_CONFLICT || r[1].e == ERR_CONFLICT);
		CHECK_OK(person_has_owner(f.vault, &has));
		CHECK(has);
		CHECK_OK(set(&f, r[0].e ? b : a, PERSON_LOCAL, PERSON_OWNER, -1));
	}
}
