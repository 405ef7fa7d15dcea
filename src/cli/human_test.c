/* Expected values: Ollama 0.17.4 (format/bytes_test.go, format/time_test.go, format.go) and Go's
 * time_test.go (durationTests). */
#include "cli/human.h"

#include "cli/width.h"
#include "tests/test.h"

TEST(bytes_are_written_as_ollama_writes_them)
{
	static const struct {
		uint64_t n;
		const char *text;
	} table[] = { { 0, "0 B" }, { 1, "1 B" }, { 999, "999 B" }, { 1000, "1 KB" },
		{ 1500, "1.5 KB" }, { 999999, "999 KB" }, { 1000000, "1 MB" },
		{ 1500000, "1.5 MB" }, { 999999999, "999 MB" }, { 1000000000, "1 GB" },
		{ 1500000000, "1.5 GB" }, { 999999999999, "999 GB" }, { 1000000000000, "1 TB" },
		{ 1500000000000, "1.5 TB" }, { 1999999999999, "2.0 TB" }, { 1234, "1.2 KB" },
		{ 1234567, "1.2 MB" }, { 1234567890, "1.2 GB" }, { 1024, "1.0 KB" } };
	char text[HUMAN_MAX];
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		human_bytes(table[i].n, text);
		CHECK_EQ_Z(text, table[i].text);
	}
}

TEST(numbers_are_written_as_ollama_writes_them)
{
	char text[HUMAN_MAX];
	human_number(133700000, text);
	CHECK_EQ_Z(text, "133.70M");
	human_number(7000000000, text);
	CHECK_EQ_Z(text, "7B");
	human_number(7241732096, text);
	CHECK_EQ_Z(text, "7.2B");
	human_number(999, text);
	CHECK_EQ_Z(text, "999");
}

TEST(times_are_written_as_ollama_writes_them)
{
	static const struct {
		int64_t ahead_ms;
		const char *text;
	} table[] = { { 48 * 3600000ll, "2 days from now" }, { -48 * 3600000ll, "2 days ago" },
		{ -24 * 3600000ll, "24 hours ago" }, { 800, "Less than a second from now" },
		{ 24 * 3600000ll * 365 * 200, "Forever" }, { -1000, "1 second ago" },
		{ 59999, "59 seconds from now" }, { -60000, "About a minute ago" },
		{ 299000, "4 minutes from now" }, { -3600000, "About an hour ago" },
		{ -3600000ll * 24 * 20, "2 weeks ago" }, { -3600000ll * 24 * 100, "3 months ago" },
		{ -3600000ll * 24 * 365 * 3, "3 years ago" }, { INT64_MAX, "Forever" } };
	char text[HUMAN_MAX];
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		human_time(table[i].ahead_ms, 0, text);
		CHECK_EQ_Z(text, table[i].text);
	}
}

TEST(durations_are_written_as_go_writes_them)
{
	static const struct {
		int64_t ns;
		const char *text;
	} table[] = { { 0, "0s" }, { 1, "1ns" }, { 1100, "1.1\u00b5s" }, { 2200000, "2.2ms" },
		{ 3300000000, "3.3s" }, { 245000000000, "4m5s" }, { 245001000000, "4m5.001s" },
		{ 18367001000000, "5h6m7.001s" }, { 480000000001, "8m0.000000001s" },
		{ INT64_MAX, "2562047h47m16.854775807s" },
		{ INT64_MIN, "-2562047h47m16.854775808s" } };
	char text[HUMAN_MAX];
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		human_duration(table[i].ns, text);
		CHECK_EQ_Z(text, table[i].text);
	}
}

/* TestListHandler of cmd/cmd_test.go. */
TEST(a_table_is_laid_out_as_ollama_lays_it_out)
{
	static const char *const rows[][4] = { { "NAME", "ID", "SIZE", "MODIFIED" },
		{ "model1", "sha256:abc12", "1.0 KB", "24 hours ago" },
		{ "model2", "sha256:def45", "2.0 KB", "2 days ago" } };
	char text[1024] = "";
	AUTO_GRID struct grid g;
	width_init();
	grid_init(&g, 4, true);
	for (size_t i = 0; i < 3; i++)
		CHECK_OK(grid_row(&g, rows[i]));
	FILE *out = fmemopen(text, sizeof text, "w");
	grid_print(&g, out);
	fclose(out);
	CHECK_EQ_Z(text, "NAME      ID              SIZE      MODIFIED     \n"
			 "model1    sha256:abc12    1.0 KB    24 hours ago    \n"
			 "model2    sha256:def45    2.0 KB    2 days ago      \n");
}

TEST(a_table_counts_columns_and_lets_no_control_byte_out)
{
	char text[1024] = "";
	AUTO_GRID struct grid g;
	width_init();
	grid_init(&g, 2, false);
	CHECK_OK(grid_row(&g, (const char *const[]){ "\xe4\xbd\xa0", "x" }));
	CHECK_OK(grid_row(&g, (const char *const[]){ "\033[2J", "y" }));
	CHECK_OK(grid_row(&g, (const char *const[]){ "\xc2\x9b", "z" })); /* C1: CSI */
	FILE *out = fmemopen(text, sizeof text, "w");
	grid_print(&g, out);
	fclose(out);
	CHECK_EQ_Z(text, "\xe4\xbd\xa0      x    \n [2J    y    \n"
			 "        z    \n");
}

TEST(a_table_has_so_many_columns_and_no_more)
{
	AUTO_GRID struct grid g;
	width_init();
	grid_init(&g, GRID_COLUMNS, false);
	for (int i = 0; i < 2 * GRID_COLUMNS; i++)
		CHECK_OK(grid_add(&g, STR("x")));
	grid_done(&g);
	grid_init(&g, GRID_COLUMNS + 1, false);
	CHECK_ERR(grid_add(&g, STR("x")), ERR_LIMIT);
}
