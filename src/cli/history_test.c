#include "cli/history.h"

#include <stdio.h>
#include <sys/stat.h>

#include "os/fd.h"
#include "tests/test.h"

static const char *file_in(const char *dir, const char *name)
{
	static char path[4096];
	CHECK_OK(path_join(path, sizeof path, dir, name));
	return path;
}

static void expect_file(const char *path, const char *text)
{
	AUTO_BUF struct buf file = BUF(1 << 20);
	CHECK_OK(file_read(path, &file));
	CHECK_EQ_STR(buf_str(&file), str_from(text));
}

TEST(entries_come_back_with_their_lines_and_the_file_is_the_persons_own)
{
	const char *path = file_in(test_dir(), "a/b/history");
	struct stat st;
	struct history *h;
	CHECK_OK(history_new(path, &h, NULL));
	CHECK_EQ_INT(history_count(h), 0);
	CHECK_OK(history_add(h, STR("one")));
	CHECK_OK(history_add(h, STR("one")));
	CHECK_OK(history_add(h, STR("")));
	CHECK_OK(history_add(h, STR("a\\n\nb")));
	history_free(h);
	expect_file(path, "one\na\\\\n\\nb\n");
	CHECK(!stat(path, &st));
	CHECK_EQ_INT(st.st_mode & 07777, 0600);
	CHECK_OK(history_new(path, &h, NULL));
	CHECK_EQ_INT(history_count(h), 2);
	CHECK_EQ_STR(history_get(h, 1), STR("a\\n\nb"));
	CHECK_EQ_STR(history_get(h, 9), STR(""));
	history_free(h);
}

TEST(what_is_not_to_be_kept_is_not_written)
{
	const char *path = file_in(test_dir(), "history");
	struct history *h;
	CHECK_OK(history_new(path, &h, NULL));
	history_keep(h, false);
	CHECK_OK(history_add(h, STR("secret")));
	CHECK_EQ_INT(history_count(h), 1);
	history_keep(h, true);
	CHECK_OK(history_add(h, STR("open")));
	history_free(h);
	expect_file(path, "open\n");
}

TEST(two_at_once_lose_nothing)
{
	const char *path = file_in(test_dir(), "history");
	struct history *a, *b;
	CHECK_OK(history_new(path, &a, NULL));
	CHECK_OK(history_new(path, &b, NULL));
	CHECK_OK(history_add(a, STR("a1")));
	CHECK_OK(history_add(b, STR("b1")));
	CHECK_OK(history_add(a, STR("a2")));
	history_free(a);
	history_free(b);
	expect_file(path, "a1\nb1\na2\n");
}

TEST(an_entry_is_not_glued_to_a_torn_line)
{
	const char *path = file_in(test_dir(), "history");
	struct history *h;
	CHECK_OK(file_write_atomic(path, STR("one\nto"), 0600));
	CHECK_OK(history_new(path, &h, NULL));
	CHECK_OK(history_add(h, STR("three")));
	CHECK_OK(history_add(h, STR("four")));
	history_free(h);
	expect_file(path, "one\nto\nthree\nfour\n");
}

TEST(a_long_file_is_made_shorter_and_the_newest_stay)
{
	const char *path = file_in(test_dir(), "history");
	AUTO_BUF struct buf file = BUF(1 << 20);
	struct history *h;
	for (int i = 0; i < 2 * HISTORY_ENTRIES + 1; i++)
		CHECK_OK(buf_addf(&file, "entry %d\n", i));
	CHECK_OK(buf_add(&file, STR("bad \xff\n\nlast without its end")));
	CHECK_OK(file_write_atomic(path, buf_str(&file), 0644));
	CHECK_OK(history_new(path, &h, NULL));
	CHECK_EQ_INT(history_count(h), HISTORY_ENTRIES);
	CHECK_EQ_STR(history_get(h, HISTORY_ENTRIES - 1), STR("last without its end"));
	CHECK_EQ_STR(history_get(h, 0), STR("entry 502")); /* 1001 + 1 - 500 */
	history_free(h);
	CHECK_OK(history_new(path, &h, NULL));
	CHECK_EQ_INT(history_count(h), HISTORY_ENTRIES);
	history_free(h);
}

TEST(a_history_that_cannot_be_read_is_reported_and_not_written)
{
	struct err_info why = { 0 };
	struct history *h;
	CHECK_OK(history_new(test_dir(), &h, &why)); /* a folder */
	CHECK(why.code != OK && strstr(why.detail, "cannot be read"));
	CHECK_OK(history_add(h, STR("x")));
	CHECK_EQ_INT(history_count(h), 1);
	history_free(h);
}

TEST(failures_lose_the_entry_and_nothing_else)
{
	for (int k = 0; k < FAULT_KINDS; k++)
		FOR_EACH_FAULT((enum fault_kind)k, n)
		{
			char path[4200];
			struct history *h = NULL;
			snprintf(path, sizeof path, "%s/%d-%u/history", test_dir(), k, n);
			if (history_new(path, &h, NULL))
				continue;
			enum err e = history_add(h, STR("x"));
			CHECK(!e || fault_fired((enum fault_kind)k));
			CHECK(history_count(h) == 1 || e == ERR_NOMEM);
			history_free(h);
		}
}
