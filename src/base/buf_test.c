#include "base/buf.h"

#include "tests/test.h"

TEST(appends_grow_and_keep_order)
{
	AUTO_BUF struct buf b = BUF(100000);
	for (int i = 0; i < 10000; i++)
		CHECK_OK(buf_add_byte(&b, (char)('a' + i % 26)));
	CHECK_OK(buf_addf(&b, "%d-%s", 42, "x"));
	CHECK_EQ_INT(b.len, 10004);
	for (size_t i = 0; i < 10000; i++)
		CHECK(b.ptr[i] == (char)('a' + i % 26));
	CHECK_EQ_STR(buf_from(&b, 10000), STR("42-x"));
	CHECK_EQ_INT(buf_from(&b, 99999).len, 0);
}

TEST(limit_is_exact_and_sticks)
{
	AUTO_BUF struct buf b = BUF(5);
	const char *z;
	CHECK_OK(buf_add(&b, STR("12345")));
	CHECK_OK(buf_cstr(&b, &z)); /* the terminator does not count */
	CHECK_EQ_Z(z, "12345");
	CHECK_ERR(buf_add_byte(&b, '6'), ERR_LIMIT);
	CHECK_EQ_STR(buf_str(&b), STR("12345"));
	buf_cut(&b, 0);
	CHECK_ERR(buf_add_byte(&b, 'x'), ERR_LIMIT); /* still: nobody looked */
	buf_clear(&b);
	CHECK_OK(buf_addf(&b, "%s", "abcde"));
	CHECK_ERR(buf_addf(&b, "%d", 1), ERR_LIMIT);
	CHECK_EQ_STR(buf_str(&b), STR("abcde"));
	CHECK_EQ_INT(b.err, ERR_LIMIT);
}

TEST(formatted_text_over_the_limit_changes_nothing)
{
	for (size_t max = 0; max < 20; max++) {
		AUTO_BUF struct buf b = BUF(max);
		enum err e = buf_addf(&b, "%s", "0123456789");
		CHECK_EQ_INT(e, max < 10 ? ERR_LIMIT : OK);
		CHECK_EQ_INT(b.len, max < 10 ? 0 : 10);
	}
}

TEST(format_at_every_fill)
{
	for (size_t have = 0; have < 300; have++) {
		AUTO_BUF struct buf b = BUF(1000);
		CHECK_OK(buf_add_zeros(&b, have));
		CHECK_OK(buf_addf(&b, "%08d", 1234));
		CHECK_EQ_STR(buf_from(&b, have), STR("00001234"));
	}
}

TEST(front_and_end_can_go)
{
	AUTO_BUF struct buf b = BUF(100);
	CHECK_OK(buf_add(&b, STR("abcdef")));
	buf_drop_front(&b, 2);
	CHECK_EQ_STR(buf_str(&b), STR("cdef"));
	buf_cut(&b, 99);
	buf_cut(&b, 3);
	CHECK_EQ_STR(buf_str(&b), STR("cde"));
	buf_drop_front(&b, 99);
	CHECK_EQ_INT(b.len, 0);
	buf_done(&b);
	CHECK_OK(buf_add(&b, STR("again"))); /* reusable, same limit */
	CHECK_EQ_INT(b.max, 100);
}

TEST(empty_is_a_valid_text)
{
	AUTO_BUF struct buf b = BUF(10);
	const char *z;
	CHECK(buf_str(&b).ptr != NULL && buf_str(&b).len == 0);
	CHECK_OK(buf_add(&b, STR_NONE));
	CHECK_OK(buf_cstr(&b, &z));
	CHECK_EQ_Z(z, "");
}

TEST(every_failed_allocation_is_reported_and_loses_nothing)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO_BUF struct buf b = BUF(1 << 20);
		const char *z;
		enum err e = OK;
		for (int i = 0; i < 2000 && !e; i++)
			e = buf_addf(&b, "%04d,", i);
		if (!e)
			e = buf_cstr(&b, &z);
		CHECK_EQ_INT(e, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
		CHECK_EQ_INT(b.len % 5, 0); /* whole or not at all */
		CHECK_EQ_INT(b.err, e);
	}
}

TEST(sizes_near_the_end_do_not_wrap)
{
	AUTO_BUF struct buf b = BUF(SIZE_MAX);
	CHECK_OK(buf_add(&b, STR("x")));
	CHECK_ERR(buf_reserve(&b, SIZE_MAX), ERR_LIMIT);
	buf_clear(&b);
	CHECK_ERR(buf_reserve(&b, SIZE_MAX / 2 + 2), ERR_NOMEM);
}
