#include "vault/links.h"

#include <pthread.h>

#include "vault/fixture.h"

enum { HOUR = 3600 * 1000 };

static enum err make(struct fixture *f, struct link_new n, char token[TOKEN_LEN + 1])
{
	struct err_info info = { .code = OK };
	int64_t expires = 0;
	enum err e = link_make(f->vault, &n, token, &expires, &info);
	static const int64_t hours[] = { [LINK_OWNER] = 1, [LINK_INVITE] = 168, [LINK_RESET] = 24 };
	if (!e)
		CHECK_EQ_INT(expires - clock_now(), hours[n.kind] * HOUR);
	return e;
}

static enum err use_as(struct fixture *f, const char *token, const char *email, struct person *p)
{
	struct link_use u = { .token = str_from(token), .password = STR("Noch ein Passwort"),
			      .email = str_from(email), .name = STR("Eva"), .language = STR("en") };
	struct err_info info = { .code = OK };
	struct session s;
	struct subject who;
	enum err e = link_accept(f->vault, &u, &s, p, &info);
	if (!e) { /* logged in at once */
		CHECK_OK(session_find(f->vault, str_from(s.token), &who));
		CHECK_EQ_Z(who.person, p->id);
	}
	return e;
}

static enum err look(struct fixture *f, const char *token, struct link_info *l)
{
	struct err_info info = { .code = OK };
	return link_check(f->vault, str_from(token), l, &info);
}

static const struct link_new owner_link = { .kind = LINK_OWNER, .by = PERSON_LOCAL };

TEST(the_owner_link_makes_the_owner_once)
{
	AUTO_FIXTURE struct fixture f;
	struct link_info l;
	struct person p;
	char token[TOKEN_LEN + 1];
	bool has;
	fixture_open(&f);
	CHECK_OK(make(&f, owner_link, token));
	CHECK_OK(look(&f, token, &l));
	CHECK(l.kind == LINK_OWNER && l.role == PERSON_OWNER);
	CHECK_ERR(use_as(&f, token, "no address", &p), ERR_INVALID); /* and is not used up by it */
	CHECK_OK(use_as(&f, token, "eva@example.com", &p));
	CHECK(p.role == PERSON_OWNER);
	CHECK_EQ_Z(p.email, "eva@example.com");
	CHECK_EQ_Z(p.language, "en");
	CHECK_OK(person_has_owner(f.vault, &has));
	CHECK(has);
	CHECK_ERR(use_as(&f, token, "mia@example.com", &p), ERR_GONE);
	CHECK_ERR(look(&f, token, &l), ERR_GONE);
}

TEST(a_newer_owner_link_voids_the_older_and_makes_a_further_owner)
{
	AUTO_FIXTURE struct fixture f;
	struct person p;
	char old[TOKEN_LEN + 1], new[TOKEN_LEN + 1], id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_OWNER, id);
	CHECK_OK(make(&f, owner_link, old));
	CHECK_OK(make(&f, owner_link, new));
	CHECK_ERR(use_as(&f, old, "mia@example.com", &p), ERR_GONE);
	CHECK_ERR(use_as(&f, new, "EVA@example.com", &p), ERR_EXISTS); /* takes nobody's account */
	CHECK_OK(use_as(&f, new, "mia@example.com", &p));
	CHECK(p.role == PERSON_OWNER);
}

TEST(links_expire)
{
	AUTO_FIXTURE struct fixture f;
	struct link_info l;
	struct person p;
	char token[TOKEN_LEN + 1];
	fixture_open(&f);
	CHECK_OK(make(&f, owner_link, token));
	clock_forward(HOUR - 1);
	CHECK_OK(look(&f, token, &l));
	clock_forward(1);
	CHECK_ERR(look(&f, token, &l), ERR_GONE);
	CHECK_ERR(use_as(&f, token, "mia@example.com", &p), ERR_GONE);
	clock_forward(INT64_C(8) * 24 * HOUR);
	CHECK_OK(vault_sweep(f.vault));
	CHECK_ERR(look(&f, token, &l), ERR_NOT_FOUND);
	CHECK_ERR(look(&f, "", &l), ERR_NOT_FOUND);
	CHECK_ERR(look(&f, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &l), ERR_NOT_FOUND);
}

TEST(an_invitation_decides_address_and_role)
{
	AUTO_FIXTURE struct fixture f;
	struct link_new n = { .kind = LINK_INVITE, .by = PERSON_OWNER,
			      .email = STR(" Mia@Example.com"), .role = PERSON_ADMIN };
	struct link_info l;
	struct person p;
	char token[TOKEN_LEN + 1], newer[TOKEN_LEN + 1], id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_OWNER, id);
	CHECK_OK(make(&f, n, token));
	CHECK_OK(make(&f, n, newer));
	CHECK_ERR(look(&f, token, &l), ERR_GONE); /* one valid invitation an address */
	CHECK_OK(look(&f, newer, &l));
	CHECK_EQ_Z(l.email, "mia@example.com");
	CHECK(l.kind == LINK_INVITE && l.role == PERSON_ADMIN);
	CHECK_OK(use_as(&f, newer, "someone.else@example.com", &p));
	CHECK_EQ_Z(p.email, "mia@example.com");
	CHECK(p.role == PERSON_ADMIN);
	CHECK_ERR(make(&f, n, token), ERR_EXISTS);
	n.email = STR("nobody");
	CHECK_ERR(make(&f, n, token), ERR_INVALID);
	n.email = STR("x@example.com");
	n.role = PERSON_LOCAL;
	CHECK_ERR(make(&f, n, token), ERR_INVALID);
}

TEST(a_reset_sets_the_password_and_ends_all_other_sessions)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct link_new n = { .kind = LINK_RESET, .by = PERSON_ADMIN };
	struct session old;
	struct subject who;
	struct person p;
	struct login_try t = { .email = STR("eva@example.com"), .address = STR("192.0.2.1"),
			       .password = STR("Noch ein Passwort") };
	char token[TOKEN_LEN + 1], id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(session_create(f.vault, id, STR(""), &old));
	n.person = str_from(id);
	CHECK_OK(make(&f, n, token));
	CHECK_OK(use_as(&f, token, "other@example.com", &p));
	CHECK_EQ_Z(p.id, id);
	CHECK_EQ_Z(p.email, "eva@example.com");
	CHECK(p.role == PERSON_MEMBER);
	CHECK_ERR(session_find(f.vault, str_from(old.token), &who), ERR_LOGIN);
	CHECK_OK(login_password(f.vault, &t, &old, &p, &info));
	n.person = STR("01hzzzzzzzzzzzzzzzzzzzzzzz");
	CHECK_ERR(make(&f, n, token), ERR_NOT_FOUND);
}

TEST(a_reset_does_not_wake_a_disabled_person)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct person_change c = PERSON_CHANGE(PERSON_ADMIN);
	struct link_new n = { .kind = LINK_RESET, .by = PERSON_ADMIN };
	struct person p;
	char token[TOKEN_LEN + 1], id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	n.person = str_from(id);
	CHECK_OK(make(&f, n, token));
	c.active = 0;
	CHECK_OK(person_change(f.vault, str_from(id), &c, NULL, &info));
	CHECK_ERR(use_as(&f, token, "", &p), ERR_GONE);
}

TEST(a_weak_password_does_not_use_the_link_up)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct link_use u = { .password = STR("mia@example.com"), .email = STR("mia@example.com") };
	struct session s;
	struct person p;
	char token[TOKEN_LEN + 1];
	fixture_open(&f);
	CHECK_OK(make(&f, owner_link, token));
	u.token = str_from(token);
	CHECK_ERR(link_accept(f.vault, &u, &s, &p, &info), ERR_INVALID);
	CHECK_OK(use_as(&f, token, "mia@example.com", &p));
}

TEST(who_may_make_a_link_is_checked_where_it_is_made)
{
	AUTO_FIXTURE struct fixture f;
	struct link_new owner = owner_link, invite = { .kind = LINK_INVITE, .role = PERSON_OWNER,
						       .email = STR("x@example.com") };
	struct link_new reset = { .kind = LINK_RESET };
	char token[TOKEN_LEN + 1], id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_OWNER, id);
	reset.person = str_from(id);
	for (enum person_role by = PERSON_NONE; by <= PERSON_LOCAL; by++) {
		owner.by = invite.by = reset.by = by;
		bool top = by == PERSON_OWNER || by == PERSON_LOCAL;
		CHECK_ERR(make(&f, owner, token), by == PERSON_LOCAL ? OK : ERR_FORBIDDEN);
		CHECK_ERR(make(&f, invite, token), top ? OK : ERR_FORBIDDEN);
		CHECK_ERR(make(&f, reset, token), top ? OK : ERR_FORBIDDEN);
	}
	invite.role = PERSON_ADMIN;
	invite.by = PERSON_MEMBER;
	CHECK_ERR(make(&f, invite, token), ERR_FORBIDDEN);
	invite.by = PERSON_ADMIN;
	CHECK_OK(make(&f, invite, token));
}

TEST(a_reset_made_for_a_member_does_not_open_an_owner)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct person_change c = PERSON_CHANGE(PERSON_OWNER);
	struct link_new n = { .kind = LINK_RESET, .by = PERSON_ADMIN };
	struct person p;
	char token[TOKEN_LEN + 1], id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	n.person = str_from(id);
	CHECK_OK(make(&f, n, token));
	c.theme = STR("dark"); /* what changes no right voids nothing */
	CHECK_OK(person_change(f.vault, str_from(id), &c, NULL, &info));
	struct link_info l;
	CHECK_OK(look(&f, token, &l));
	c.role = PERSON_OWNER;
	CHECK_OK(person_change(f.vault, str_from(id), &c, NULL, &info));
	CHECK_ERR(use_as(&f, token, "", &p), ERR_GONE);
}

struct racer { struct fixture *f; const char *token, *email; enum err e; };

static void *race(void *arg)
{
	struct racer *r = arg;
	struct person p;
	r->e = use_as(r->f, r->token, r->email, &p);
	return NULL;
}

TEST(a_link_used_twice_at_once_works_once)
{
	AUTO_FIXTURE struct fixture f;
	fixture_open(&f);
	for (int i = 0; i < 20; i++) {
		char token[TOKEN_LEN + 1], a[32], b[32];
		pthread_t t[2];
		CHECK_OK(make(&f, owner_link, token));
		id_new(a);
		id_new(b);
		memcpy(a + 5, "@x", 2);
		memcpy(b + 5, "@y", 2);
		struct racer r[2] = { { &f, token, a, OK }, { &f, token, b, OK } };
		for (int k = 0; k < 2; k++)
			CHECK(pthread_create(&t[k], NULL, race, &r[k]) == 0);
		for (int k = 0; k < 2; k++)
			CHECK(pthread_join(t[k], NULL) == 0);
		CHECK((r[0].e == OK) != (r[1].e == OK));
		CHECK(r[0].e == ERR_GONE || r[1].e == ERR_GONE);
	}
}
