#include "base/random.h"

#include "base/time.h"
#include "tests/test.h"

TEST(bytes_differ_and_fill)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };
	random_bytes(a, sizeof a);
	random_bytes(b, sizeof b);
	CHECK(memcmp(a, b, sizeof a) != 0);
	CHECK(random_u64() != random_u64());
	unsigned ones = 0;
	for (size_t i = 0; i < sizeof a; i++)
		ones += (unsigned)__builtin_popcount(a[i]);
	CHECK(ones > 150 && ones < 362); /* 512 bits: over nine standard deviations */
}

static int64_t fixed_wall(void) { return 1469918176385; }

TEST(id_starts_with_the_time_as_ulids_do)
{
	char id[ID_LEN + 1];
	time_set_source(fixed_wall, NULL);
	id_new(id);
	CHECK_EQ_INT(strlen(id), 26);
	CHECK_EQ_STR(((struct str){ id, 10 }), STR("01aryz6s41")); /* README of ulid/javascript */
	CHECK(id_ok(str_from(id)));
}

TEST(ids_sort_by_time_and_do_not_repeat)
{
	enum { N = 2000 };
	static char ids[N][ID_LEN + 1];
	for (int i = 0; i < N; i++) {
		id_new(ids[i]);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(ids[i], ids[k]) != 0);
		CHECK(i == 0 || strncmp(ids[i - 1], ids[i], 10) <= 0);
	}
}

TEST(form_is_checked)
{
	CHECK(id_ok(STR("01arz3ndektsv4rrffq69g5fav")));
	CHECK(!id_ok(STR("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
	CHECK(!id_ok(STR("81arz3ndektsv4rrffq69g5fav"))); /* over 128 bits */
	CHECK(!id_ok(STR("01arz3ndektsv4rrffq69g5fa")));
	CHECK(!id_ok(STR("01arz3ndektsv4rrffq69g5fai"))); /* no i, l, o, u */
	CHECK(!id_ok((struct str){ "01arz3ndektsv4rrffq69g5fa\0", 26 }));
	CHECK(!id_ok(STR("../../../../../../../../..")));
	CHECK(!id_ok(STR("")));
}
