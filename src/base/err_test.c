#include "base/err.h"

#include <errno.h>

#include "tests/test.h"

TEST(every_error_has_a_slug_of_its_own_a_text_and_a_status)
{
	for (int i = 1; i < ERR_COUNT_; i++) {
		enum err e = (enum err)i;
		CHECK(err_slug(e) && err_slug(e)[0] && err_text(e) && err_text(e)[0]);
		CHECK(err_http_status(e) >= 400 && err_http_status(e) < 600);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(err_slug(e), err_slug((enum err)k)) != 0);
	}
	CHECK_EQ_Z(err_slug(ERR_NOT_FOUND), "not_found");
	CHECK_EQ_INT(err_http_status(ERR_NOT_FOUND), 404);
}

TEST(unknown_code_reads_as_internal)
{
	CHECK_EQ_Z(err_slug((enum err)9999), err_slug(ERR_INTERNAL));
	CHECK_EQ_INT(err_http_status((enum err)-1), 500);
}

TEST(set_fills_and_returns_the_code)
{
	struct err_info i = { 0 };
	CHECK_ERR(err_set(&i, ERR_CONFLICT, "model \"%s\" is pinned", "a"), ERR_CONFLICT);
	CHECK_EQ_INT(i.code, ERR_CONFLICT);
	CHECK_EQ_Z(i.detail, "model \"a\" is pinned");
	err_hint(&i, "unpin %d", 1);
	err_log(&i, "row %d", 7);
	CHECK_EQ_Z(i.hint, "unpin 1");
	CHECK_EQ_Z(i.log, "row 7");
	CHECK_ERR(err_set(&i, ERR_BUSY, "later"), ERR_BUSY);
	CHECK_EQ_Z(i.hint, ""); /* a hint belongs to its error */
	CHECK_ERR(err_set(NULL, ERR_BUSY, "nobody listens"), ERR_BUSY);
	err_hint(NULL, "x");
	err_log(NULL, "x");
}

TEST(long_text_is_cut_at_a_whole_character)
{
	struct err_info i = { 0 };
	char text[ERR_DETAIL_MAX * 2];
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', sizeof text);
		for (size_t k = shift; k + 3 < sizeof text; k += 3)
			memcpy(text + k, "\xe2\x82\xac", 3); /* euro sign */
		text[sizeof text - 1] = '\0';
		CHECK_ERR(err_set(&i, ERR_INVALID, "%s", text), ERR_INVALID);
		CHECK(str_is_utf8(str_from(i.detail)));
		CHECK(strlen(i.detail) >= ERR_DETAIL_MAX - 3 && strlen(i.detail) < ERR_DETAIL_MAX);
	}
}

TEST(errno_maps_to_the_table)
{
	CHECK_EQ_INT(err_from_errno(ENOMEM), ERR_NOMEM);
	CHECK_EQ_INT(err_from_errno(ENOSPC), ERR_NOSPACE);
	CHECK_EQ_INT(err_from_errno(ENOENT), ERR_NOT_FOUND);
	CHECK_EQ_INT(err_from_errno(EACCES), ERR_DENIED);
	CHECK_EQ_INT(err_from_errno(EEXIST), ERR_EXISTS);
	CHECK_EQ_INT(err_from_errno(EAGAIN), ERR_AGAIN);
	CHECK_EQ_INT(err_from_errno(EPIPE), ERR_CLOSED);
	CHECK_EQ_INT(err_from_errno(EIO), ERR_IO);
	CHECK_EQ_INT(err_from_errno(12345), ERR_IO);
}
