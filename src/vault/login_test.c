#include "vault/login.h"

#include <pthread.h>
#include <stdio.h>

#include "base/time.h"
#include "vault/fixture.h"
#include "vault/vault_int.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static enum err try_from(struct fixture *f, const char *email, const char *password,
			 const char *address, struct session *ret)
{
	struct login_try t = { .email = str_from(email), .password = str_from(password),
			       .address = str_from(address), .agent = STR("test") };
	struct err_info info = { .code = OK };
	struct person p;
	return login_password(f->vault, &t, ret, &p, &info);
}

static enum err try(struct fixture *f, const char *email, const char *password)
{
	struct session s;
	return try_from(f, email, password, "192.0.2.1", &s);
}

TEST(the_right_password_gives_a_session_for_the_right_person)
{
	AUTO_FIXTURE struct fixture f;
	struct session s;
	struct subject who;
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_ADMIN, id);
	CHECK_OK(try_from(&f, " EVA@example.com", GOOD_PASSWORD, "192.0.2.1", &s));
	CHECK_EQ_INT(strlen(s.token), TOKEN_LEN);
	CHECK(strcmp(s.token, s.csrf) != 0);
	CHECK_OK(session_find(f.vault, str_from(s.token), &who));
	CHECK_EQ_Z(who.person, id);
	CHECK_EQ_Z(who.csrf, s.csrf);
	CHECK(who.role == PERSON_ADMIN && !who.by_key);
	CHECK_ERR(try(&f, "eva@example.com", GOOD_PASSWORD " "), ERR_CREDENTIALS);
	CHECK_ERR(try(&f, "eva@example.com", ""), ERR_CREDENTIALS);
	CHECK_ERR(try(&f, "nobody@example.com", GOOD_PASSWORD), ERR_CREDENTIALS);
	CHECK_ERR(try(&f, "", ""), ERR_CREDENTIALS);
	CHECK_ERR(session_find(f.vault, STR(""), &who), ERR_LOGIN);
	CHECK_ERR(session_find(f.vault, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &who),
		  ERR_LOGIN);
}

TEST(a_disabled_person_cannot_be_told_from_a_wrong_password)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct person_change c = PERSON_CHANGE(PERSON_ADMIN);
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	c.active = 0;
	CHECK_OK(person_change(f.vault, str_from(id), &c, NULL, &info));
	CHECK_ERR(try(&f, "eva@example.com", GOOD_PASSWORD), ERR_CREDENTIALS);
}

TEST(a_session_ends_when_idle_and_after_14_days)
{
	AUTO_FIXTURE struct fixture f;
	struct session s;
	struct subject who;
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(session_create(f.vault, id, STR(""), &s));
	clock_forward(12 * HOUR - 1);
	CHECK_OK(session_find(f.vault, str_from(s.token), &who)); /* this visit counts */
	clock_forward(12 * HOUR - 1);
	CHECK_OK(session_find(f.vault, str_from(s.token), &who));
	clock_forward(12 * HOUR);
	CHECK_ERR(session_find(f.vault, str_from(s.token), &who), ERR_LOGIN);
	CHECK_OK(session_create(f.vault, id, STR(""), &s));
	for (int h = 0; h < 14 * 24 - 6; h += 6) {
		clock_forward(6 * HOUR);
		CHECK_OK(session_find(f.vault, str_from(s.token), &who));
	}
	clock_forward(6 * HOUR);
	CHECK_ERR(session_find(f.vault, str_from(s.token), &who), ERR_LOGIN);
	CHECK_OK(vault_sweep(f.vault));
}

TEST(the_role_is_read_at_every_request)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct person_change c = PERSON_CHANGE(PERSON_OWNER);
	struct session s;
	struct subject who;
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_ADMIN, id);
	CHECK_OK(session_create(f.vault, id, STR(""), &s));
	c.role = PERSON_MEMBER;
	CHECK_OK(person_change(f.vault, str_from(id), &c, NULL, &info));
	CHECK_OK(session_find(f.vault, str_from(s.token), &who));
	CHECK_EQ_INT(who.role, PERSON_MEMBER);
}

TEST(logging_out_ends_one_session_and_a_new_password_all_others)
{
	AUTO_FIXTURE struct fixture f;
	struct err_info info = { .code = OK };
	struct session a, b, c;
	struct subject who;
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(session_create(f.vault, id, STR(""), &a));
	CHECK_OK(session_create(f.vault, id, STR(""), &b));
	CHECK_OK(session_create(f.vault, id, STR(""), &c));
	CHECK_OK(session_find(f.vault, str_from(a.token), &who));
	CHECK_OK(session_end(f.vault, who.session_hash));
	CHECK_ERR(session_find(f.vault, str_from(a.token), &who), ERR_LOGIN);
	CHECK_OK(session_find(f.vault, str_from(b.token), &who));
	CHECK_ERR(login_change_password(f.vault, &who, STR("wrong password"),
					STR("Ein neues Passwort"), &info), ERR_CREDENTIALS);
	CHECK_ERR(login_change_password(f.vault, &who, STR(GOOD_PASSWORD), STR("short"), &info),
		  ERR_INVALID);
	CHECK_OK(session_find(f.vault, str_from(c.token), &who));
	CHECK_OK(session_find(f.vault, str_from(b.token), &who));
	CHECK_OK(login_change_password(f.vault, &who, STR(GOOD_PASSWORD), STR("Ein neues Passwort"),
				       &info));
	CHECK_OK(session_find(f.vault, str_from(b.token), &who));
	CHECK_ERR(session_find(f.vault, str_from(c.token), &who), ERR_LOGIN);
	CHECK_ERR(try(&f, "eva@example.com", GOOD_PASSWORD), ERR_CREDENTIALS);
	CHECK_OK(try(&f, "eva@example.com", "Ein neues Passwort"));
	CHECK_OK(session_end_all(f.vault, id, NULL));
	CHECK_ERR(session_find(f.vault, str_from(b.token), &who), ERR_LOGIN);
}

TEST(only_so_many_sessions_of_a_person_are_kept)
{
	AUTO_FIXTURE struct fixture f;
	struct session first, s;
	struct subject who;
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(session_create(f.vault, id, STR(""), &first));
	for (int i = 0; i < 49; i++) {
		clock_forward(1);
		CHECK_OK(session_create(f.vault, id, STR("\xff bad agent"), &s));
	}
	CHECK_OK(session_find(f.vault, str_from(first.token), &who));
	clock_forward(1);
	CHECK_OK(session_create(f.vault, id, STR(""), &s));
	CHECK_ERR(session_find(f.vault, str_from(first.token), &who), ERR_LOGIN);
	CHECK_OK(session_find(f.vault, str_from(s.token), &who));
}

TEST(the_cookie_is_for_this_site_and_not_for_scripts)
{
	struct session s = { .token = "T" };
	AUTO_BUF struct buf a = BUF(300);
	AUTO_BUF struct buf b = BUF(300);
	CHECK_OK(session_cookie(&s, true, &a));
	CHECK_EQ_STR(buf_str(&a), STR("tresor_session=T; Path=/; HttpOnly; SameSite=Strict; "
				      "Max-Age=1209600; Secure"));
	CHECK_OK(session_cookie(NULL, false, &b));
	CHECK_EQ_STR(buf_str(&b), STR("tresor_session=; Path=/; HttpOnly; SameSite=Strict; "
				      "Max-Age=0"));
}

TEST(guessing_an_account_gets_slower_and_slower_but_never_stops)
{
	AUTO_FIXTURE struct fixture f;
	static const int64_t waits[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300 };
	struct session s;
	char id[ID_LEN + 1], from[32];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	for (int i = 0; i < 5; i++)
		CHECK_ERR(try(&f, "eva@example.com", "wrong"), ERR_CREDENTIALS);
	for (int i = 0; i < 11; i++) { /* from another address each time */
		(void)snprintf(from, sizeof from, "198.51.100.%d", i);
		CHECK_ERR(try_from(&f, "eva@example.com", GOOD_PASSWORD, from, &s), ERR_THROTTLED);
		clock_forward(waits[i] * 1000 - 1);
		CHECK_ERR(try_from(&f, "eva@example.com", GOOD_PASSWORD, from, &s), ERR_THROTTLED);
		clock_forward(1);
		CHECK_ERR(try_from(&f, "eva@example.com", "wrong", from, &s), ERR_CREDENTIALS);
	}
	clock_forward(300 * 1000);
	CHECK_OK(try_from(&f, "eva@example.com", GOOD_PASSWORD, "203.0.113.1", &s));
	for (int i = 0; i < 4; i++) /* the right one forgave the rest */
		CHECK_ERR(try_from(&f, "eva@example.com", "wrong", "203.0.113.1", &s),
			  ERR_CREDENTIALS);
	CHECK_OK(try_from(&f, "eva@example.com", GOOD_PASSWORD, "203.0.113.1", &s));
}

TEST(an_unknown_account_is_throttled_like_a_known_one)
{
	AUTO_FIXTURE struct fixture f;
	fixture_open(&f);
	for (int i = 0; i < 5; i++)
		CHECK_ERR(try(&f, "nobody@example.com", "wrong"), ERR_CREDENTIALS);
	CHECK_ERR(try(&f, "NOBODY@example.com ", "wrong"), ERR_THROTTLED);
}

TEST(an_address_that_tries_many_accounts_is_slowed_down)
{
	AUTO_FIXTURE struct fixture f;
	struct session s;
	char id[ID_LEN + 1], email[32];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(email, sizeof email, "a%d@example.com", i);
		CHECK_ERR(try(&f, email, "wrong"), ERR_CREDENTIALS);
		if (i % 5 == 4 && i < 19) /* an own account buys no further guesses */
			CHECK_OK(try(&f, "eva@example.com", GOOD_PASSWORD));
	}
	CHECK_ERR(try(&f, "eva@example.com", GOOD_PASSWORD), ERR_THROTTLED);
	CHECK_OK(try_from(&f, "eva@example.com", GOOD_PASSWORD, "192.0.2.2", &s));
	clock_forward(15 * MINUTE + 1);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(email, sizeof email, "b%d@example.com", i);
		(void)snprintf(id, sizeof id, "2001:db8:0:1::%x", i + 1);
		CHECK_ERR(try_from(&f, email, "wrong", id, &s), ERR_CREDENTIALS);
	}
	CHECK_ERR(try_from(&f, "c@example.com", "wrong", "2001:db8:0:1:ffff::1", &s),
		  ERR_THROTTLED);
	CHECK_ERR(try_from(&f, "c@example.com", "wrong", "2001:db8:0:2::1", &s), ERR_CREDENTIALS);
}

TEST(fifteen_quiet_minutes_forget_failures)
{
	AUTO_FIXTURE struct fixture f;
	fixture_open(&f);
	for (int i = 0; i < 5; i++)
		CHECK_ERR(try(&f, "eva@example.com", "wrong"), ERR_CREDENTIALS);
	clock_forward(15 * MINUTE + 1);
	for (int i = 0; i < 5; i++)
		CHECK_ERR(try(&f, "eva@example.com", "wrong"), ERR_CREDENTIALS);
	CHECK_ERR(try(&f, "eva@example.com", "wrong"), ERR_THROTTLED);
	clock_forward(-24 * HOUR); /* a clock set back does not lock out for a day */
	CHECK_ERR(try(&f, "eva@example.com", "wrong"), ERR_CREDENTIALS);
}

struct guess { struct fixture *f; enum err e; };

static void *guess(void *arg)
{
	struct guess *g = arg;
	g->e = try(g->f, "eva@example.com", "wrong");
	return NULL;
}

TEST(many_guesses_at_once_are_counted_each_and_bounded)
{
	enum { THREADS = 24 };
	AUTO_FIXTURE struct fixture f;
	struct guess g[THREADS];
	pthread_t t[THREADS];
	int wrong = 0;
	fixture_open(&f);
	for (int i = 0; i < THREADS; i++) {
		g[i] = (struct guess){ &f, OK };
		CHECK(pthread_create(&t[i], NULL, guess, &g[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		CHECK(pthread_join(t[i], NULL) == 0);
		CHECK(g[i].e == ERR_CREDENTIALS || g[i].e == ERR_BUSY || g[i].e == ERR_THROTTLED);
		wrong += g[i].e == ERR_CREDENTIALS;
	}
	/* ERR_BUSY is forgiven, so a sixth may get its turn; not twenty. */
	CHECK(wrong >= 1 && wrong <= 8);
	CHECK_EQ_INT(f.vault->hashing, 0);
	CHECK_EQ_INT(f.vault->waiting, 0);
}

static int64_t real_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t median_ns(struct fixture *f, const char *email)
{
	int64_t t[9];
	for (int i = 0; i < 9; i++) {
		bool unused;
		char hash[PASSWORD_HASH_MAX] = "";
		if (email) /* what login does for a known account */
			CHECK_OK(password_hash(STR(GOOD_PASSWORD), 0, hash));
		int64_t begin = real_ns();
		CHECK_OK(password_verify(f->vault, STR("wrong"), hash, &unused, NULL));
		t[i] = real_ns() - begin;
		CHECK(!unused);
	}
	for (int i = 1; i < 9; i++)
		for (int k = i; k > 0 && t[k] < t[k - 1]; k--) {
			int64_t swap = t[k];
			t[k] = t[k - 1];
			t[k - 1] = swap;
		}
	return t[4];
}

TEST(an_unknown_account_takes_as_long_as_a_known_one)
{
	AUTO_FIXTURE struct fixture f;
	fixture_open(&f);
	(void)median_ns(&f, NULL); /* the first one makes the hash to compare with */
	int64_t unknown = median_ns(&f, NULL), known = median_ns(&f, "eva@example.com");
	if (unknown * 2 < known || known * 2 < unknown)
		FAIL("unknown %ld ns, known %ld ns", (long)unknown, (long)known);
}

TEST(weak_passwords_are_refused)
{
	static const char *const bad[] = {
		"", "123456789", "aaaaaaaaaaaaaaaa", "1234567890", "abcdefghijklm", "zyxwvutsrqpo",
		"Password123", "PASSWORT1234", "eva.muster@example.com", "EVA.MUSTER", "qwertzuiop",
		"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6", "abcdefghij\xff", "Sommer2026!",
	};
	static const char *const good[] = {
		GOOD_PASSWORD,
		"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6",
		"eva.muster@example.com!", "1234567891",
	};
	static char longest[LIMIT_PASSWORD + 1];
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (password_check(str_from(bad[i]), STR("eva.muster@example.com"), NULL) !=
		    ERR_INVALID)
			FAIL("accepted \"%s\"", bad[i]);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		if (password_check(str_from(good[i]), STR("eva.muster@example.com"), NULL))
			FAIL("refused \"%s\"", good[i]);
	memset(longest, 'x', sizeof longest);
	longest[5] = 'y';
	CHECK_OK(password_check((struct str){ longest, LIMIT_PASSWORD }, STR(""), NULL));
	CHECK_ERR(password_check((struct str){ longest, sizeof longest }, STR(""), NULL),
		  ERR_INVALID);
	CHECK_ERR(password_check(STR("abc\0defghijk"), STR(""), NULL), ERR_INVALID);
}

static enum err raw(struct db_conn *c, void *arg)
{
	static const struct sql q = { "test.raw",
		"SELECT count(*) FROM session WHERE token_hash = ?1" };
	struct str *token = arg;
	struct db_row r;
	TRY(db_query(c, &q, &r));
	db_bind_blob(&r, 1, *token);
	CHECK(db_next(&r));
	token->len = (size_t)db_col_i64(&r, 0);
	return db_end(&r);
}

TEST(the_database_holds_only_the_hash_of_a_token)
{
	AUTO_FIXTURE struct fixture f;
	struct session s;
	uint8_t hash[SHA256_LEN];
	char id[ID_LEN + 1];
	fixture_open(&f);
	fixture_person(&f, "eva@example.com", PERSON_MEMBER, id);
	CHECK_OK(session_create(f.vault, id, STR(""), &s));
	struct str plain = str_from(s.token), hashed = { (const char *)hash, sizeof hash };
	sha256_of(s.token, TOKEN_LEN, hash);
	CHECK_OK(db_read(f.db, raw, &plain));
	CHECK_EQ_INT(plain.len, 0);
	CHECK_OK(db_read(f.db, raw, &hashed));
	CHECK_EQ_INT(hashed.len, 1);
}

TEST(tokens_use_all_their_bits)
{
	/* Each character of 1,000 tokens shows nearly all 64 digits; the last one has 4 bits. */
	static bool seen[TOKEN_LEN][128];
	for (int i = 0; i < 1000; i++) {
		char t[TOKEN_LEN + 1];
		token_make(t);
		CHECK_EQ_INT(strlen(t), TOKEN_LEN);
		for (int k = 0; k < TOKEN_LEN; k++)
			seen[k][(unsigned char)t[k]] = true;
	}
	for (int k = 0; k < TOKEN_LEN; k++) {
		int n = 0;
		for (int c = 0; c < 128; c++)
			n += seen[k][c];
		CHECK(k == TOKEN_LEN - 1 ? n == 16 : n >= 60);
	}
}
