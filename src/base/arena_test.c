#include "base/arena.h"

#include "tests/test.h"

TEST(memory_is_zeroed_aligned_and_apart)
{
	AUTO(arena) struct arena *a = NULL;
	CHECK_OK(arena_new(1 << 20, &a));
	unsigned char *last = NULL;
	for (size_t n = 0; n < 400; n++) {
		unsigned char *p = arena_take(a, n, 1);
		CHECK(p && (uintptr_t)p % 16 == 0 && p != last);
		for (size_t i = 0; i < n; i++)
			CHECK(p[i] == 0);
		memset(p, 0xff, n);
		last = p;
	}
}

TEST(the_limit_holds_for_the_sum)
{
	AUTO(arena) struct arena *a = NULL;
	CHECK_OK(arena_new(1000, &a));
	CHECK(arena_take(a, 100, 9) != NULL);
	CHECK(arena_take(a, 101, 1) == NULL);
	CHECK(arena_take(a, SIZE_MAX, 2) == NULL); /* overflow */
	CHECK(arena_take(a, SIZE_MAX / 2, 2) == NULL);
	CHECK(arena_take(a, 80, 1) != NULL);
	CHECK(arena_str(a, STR("0123456789012345678901234567890123456789")) == NULL);
	CHECK_ERR(arena_on_free(a, NULL, NULL), ERR_LIMIT);
}

TEST(big_pieces_do_not_waste_the_open_chunk)
{
	AUTO(arena) struct arena *a = NULL;
	CHECK_OK(arena_new(1 << 22, &a));
	char *one = arena_take(a, 1, 1);
	CHECK(arena_take(a, 1, 1 << 20));
	char *two = arena_take(a, 1, 1);
	CHECK_EQ_INT(two - one, 16);
}

TEST(text_helpers_copy)
{
	AUTO(arena) struct arena *a = NULL;
	CHECK_OK(arena_new(4096, &a));
	char src[] = "abc";
	char *s = arena_str(a, (struct str){ src, 2 });
	src[0] = 'z';
	CHECK_EQ_Z(s, "ab");
	CHECK_EQ_Z(arena_str(a, STR_NONE), "");
	CHECK_EQ_Z(arena_printf(a, "%d/%s", 7, "x"), "7/x");
	CHECK(arena_printf(a, "%5000d", 1) == NULL);
}

static char order[8];
static void note(void *arg) { order[strlen(order)] = *(char *)arg; }

TEST(cleanups_run_last_first)
{
	struct arena *a = NULL;
	CHECK_OK(arena_new(4096, &a));
	CHECK_OK(arena_on_free(a, note, "1"));
	CHECK_OK(arena_on_free(a, note, "2"));
	CHECK(arena_free(a) == NULL);
	CHECK_EQ_Z(order, "21");
	CHECK(arena_free(NULL) == NULL);
}

TEST(every_failed_allocation_gives_null)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO(arena) struct arena *a = NULL;
		enum err e = arena_new(1 << 20, &a);
		bool ok = !e;
		for (int i = 0; i < 200 && ok; i++)
			ok = arena_take(a, 100, 7) != NULL;
		ok = ok && arena_on_free(a, note, "x") == OK;
		CHECK(ok != fault_fired(FAULT_ALLOC));
	}
}
