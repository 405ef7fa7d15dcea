#include "vault/authorize.h"

#include <stdio.h>

#include "base/json.h"
#include "os/fd.h"
#include "tests/test.h"

/* Expectations: tests/kat/rights.csv, written by rights.py from what people were promised. */
enum { COLUMNS = 7, CSV_MAX = 1 << 20 };
#define ME "01hzzzzzzzzzzzzzzzzzzzzzz1"
#define OTHER "01hzzzzzzzzzzzzzzzzzzzzzz2"

static const char *const kinds[] = {
#define X(name, text) [OBJECT_##name] = text,
#include "gen/objects.inc"
#undef X
};
static const char *const roles[] = {
	[PERSON_NONE] = "none", [PERSON_MEMBER] = "member", [PERSON_ADMIN] = "admin",
	[PERSON_OWNER] = "owner", [PERSON_LOCAL] = "local",
};

static enum person_role role_of(struct str s)
{
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
		if (str_eq(s, str_from(roles[i])))
			return (enum person_role)i;
	return PERSON_NONE; /* "-" */
}

static enum action action_of(struct str s)
{
	for (enum action a = 0; a < ACTION_COUNT_; a++)
		if (str_eq(s, str_from(action_text(a))))
			return a;
	FAIL("unknown action %.*s", STR_ARG(s));
}

static enum object_kind kind_of(struct str s)
{
	for (enum object_kind k = 0; k < OBJECT_COUNT_; k++)
		if (str_eq(s, str_from(kinds[k])))
			return k;
	FAIL("unknown object %.*s", STR_ARG(s));
}

static void row_check(struct str line, struct str c[COLUMNS])
{
	struct subject s = { .role = role_of(c[2]), .by_key = str_eq(c[3], STR("key")) };
	struct object o = { .kind = kind_of(c[1]), .role = role_of(c[5]) };
	if (s.role != PERSON_NONE && s.role != PERSON_LOCAL)
		CHECK_OK(str_copy(STR(ME), s.person, sizeof s.person));
	o.missing = str_eq(c[4], STR("missing"));
	if (str_eq(c[4], STR("own")))
		CHECK_OK(str_copy(STR(ME), o.owner, sizeof o.owner));
	if (str_eq(c[4], STR("foreign")))
		CHECK_OK(str_copy(STR(OTHER), o.owner, sizeof o.owner));
	enum err e = authorize(&s, action_of(c[0]), &o);
	const char *got = e ? err_slug(e) : "ok";
	if (!str_eq(str_from(got), c[6]))
		FAIL("%.*s: authorize says %s", STR_ARG(line), got);
}

static size_t csv_check(void)
{
	AUTO_BUF struct buf text = BUF(CSV_MAX);
	struct str rest, line;
	size_t n = 0;
	CHECK_OK(file_read(test_path("tests/kat/rights.csv"), &text));
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line) && line.len) {
		struct str cells = line, c[COLUMNS];
		for (int i = 0; i < COLUMNS; i++)
			CHECK(str_next(&cells, ',', &c[i]));
		CHECK(!cells.ptr);
		row_check(line, c);
		n++;
	}
	return n;
}

/* How many rows there must be: so that neither a new action nor a new object kind, and no cut of
 * the file, goes without an expectation. */
static size_t rows_wanted(void)
{
	size_t none = 5 + 3;                     /* subjects: 5 roles, 3 of them also by key */
	size_t owned = 2 * none + 3 * 2;                  /* foreign, missing: all; own: 3 roles */
	size_t person = 3 * none + none + 3 * 2;          /* foreign x 3 roles, missing, oneself */
	size_t role = 5 * none;
	return (size_t)ACTION_COUNT_ * (none + 4 * owned + person + role);
}

TEST(every_action_role_and_object_is_as_promised)
{
	CHECK_EQ_INT(csv_check(), rows_wanted());
	CHECK_EQ_INT(OBJECT_COUNT_, 7);
}

TEST(a_subject_that_was_never_filled_has_no_rights)
{
	struct subject s = { .role = (enum person_role)77 };
	for (enum action a = 0; a < ACTION_COUNT_; a++) {
		if (a == ACTION_PUBLIC)
			continue;
		CHECK_ERR(authorize(&s, a, NULL), ERR_LOGIN);
		CHECK(!may(&s, a));
	}
}

TEST(an_owner_who_does_not_exist_owns_nothing)
{
	/* Two empty ids must not count as the same person. */
	struct subject s = { .role = PERSON_MEMBER };
	struct object o = { .kind = OBJECT_CONVERSATION };
	CHECK_ERR(authorize(&s, ACTION_CHAT_READ, &o), ERR_NOT_FOUND);
	struct subject local = { .role = PERSON_LOCAL };
	CHECK_ERR(authorize(&local, ACTION_CHAT_READ, &o), ERR_FORBIDDEN);
}

TEST(what_the_page_may_show_follows_the_same_table)
{
	struct subject member = { .role = PERSON_MEMBER, .person = ME };
	struct subject admin = { .role = PERSON_ADMIN, .person = ME };
	struct subject key = { .role = PERSON_OWNER, .person = ME, .by_key = true };
	CHECK(may(&member, ACTION_CHAT_USE) && may(&member, ACTION_CHAT_READ));
	CHECK(!may(&member, ACTION_PEOPLE_READ) && !may(&member, ACTION_AUDIT_READ));
	CHECK(may(&admin, ACTION_PEOPLE_CHANGE) && !may(&admin, ACTION_RECOVERY));
	CHECK(may(&key, ACTION_PEOPLE_CHANGE) && !may(&key, ACTION_RECOVERY));
	CHECK(!may(&key, ACTION_SELF_KEYS));
}

TEST(a_scope_counts_only_as_a_whole_word)
{
	struct subject s = { .role = PERSON_MEMBER, .by_key = true, .scopes = "chat,models.read" };
	CHECK(scope_ok(&s, "chat") && scope_ok(&s, "models.read"));
	CHECK(!scope_ok(&s, "models") && !scope_ok(&s, "models.change") && !scope_ok(&s, "cha"));
	CHECK(!scope_ok(&s, "") && !scope_ok(&s, NULL) && !scope_ok(&s, "chat,models.read"));
	s.scopes[0] = 0;
	CHECK(!scope_ok(&s, "chat") && !scope_ok(&s, ""));
	s.by_key = false;
	CHECK(scope_ok(&s, "people"));
}
