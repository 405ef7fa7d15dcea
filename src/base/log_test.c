#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/time.h"
#include "tests/test.h"

static int out[2];
static int64_t wall(void) { return 1795435200123; }

static void set_up(enum log_level max)
{
	CHECK(pipe(out) == 0);
	CHECK(fcntl(out[0], F_SETFL, O_NONBLOCK) == 0);
	time_set_source(wall, NULL);
	log_init("server", max, out[1]);
}

static struct str logged(void)
{
	static char text[16384];
	ssize_t n = read(out[0], text, sizeof text);
	return (struct str){ text, n > 0 ? (size_t)n : 0 };
}

TEST(a_line_is_logfmt)
{
	set_up(LOG_INFO_);
	log_info("model loaded", KV_Z("model", "smollm2"), KV_I64("ms", -12), KV_ERR(ERR_BUSY));
	CHECK_EQ_STR(logged(), STR("t=2026-11-23T12:00:00.123Z level=info role=server "
				   "msg=\"model loaded\" model=smollm2 ms=-12 error=busy\n"));
	log_request(STR("01abc"));
	log_error("x");
	CHECK_EQ_STR(logged(),
		STR("t=2026-11-23T12:00:00.123Z level=error role=server msg=x req=01abc\n"));
	log_request(STR_NONE);
	log_warn("y");
	CHECK(str_find(logged(), STR("req="), 0) == SIZE_MAX);
}

TEST(level_filters)
{
	set_up(LOG_WARN_);
	log_info("no");
	log_debug("no");
	CHECK_EQ_INT(logged().len, 0);
	log_warn("yes");
	CHECK(logged().len > 0);
}

TEST(values_cannot_forge_a_line_or_a_key)
{
	set_up(LOG_INFO_);
	log_info("m", KV_STR("v", STR("a\nt=1 level=error")), KV_STR("w", STR("x\" role=keeper")),
		 KV_STR("e", STR("")), KV_STR("n", STR_NONE));
	struct str l = logged();
	CHECK_EQ_INT(str_find_byte(l, '\n', 0), l.len - 1);
	CHECK(str_find(l,
		      STR(" v=\"a\\x0at=1 level=error\" w=\"x\\\" role=keeper\" e=\"\" n=\"\"\n"),
		      0) != SIZE_MAX);
}

TEST(long_values_are_cut_at_a_whole_character)
{
	char text[1000];
	set_up(LOG_INFO_);
	memset(text, 'x', sizeof text);
	for (size_t i = 1; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	log_info("m", KV_STR("v", ((struct str){ text, sizeof text })));
	struct str l = logged();
	CHECK(str_is_utf8(l));
	CHECK(l.len < 320 && str_ends(l, STR("...\"\n")));
}

TEST(many_values_still_make_one_line_with_an_end)
{
	char text[200];
	set_up(LOG_INFO_);
	memset(text, '"', sizeof text); /* doubles when quoted */
	struct str v = { text, sizeof text };
#define V KV_STR("key", v), KV_STR("key", v), KV_STR("key", v), KV_STR("key", v)
	log_info("m", V, V, V, V, V);
#undef V
	struct str l = logged();
	CHECK_EQ_INT(l.len, 4096);
	CHECK_EQ_INT(str_find_byte(l, '\n', 0), l.len - 1);
}
