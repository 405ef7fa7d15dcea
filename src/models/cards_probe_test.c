/* Asking for cards, against a played Vulkan (tests/gpu/played_vulkan.c): what it says comes
 * through, and nothing that it does harms who asks. */
#include <stdlib.h>

#include "base/time.h"
#include "models/cards.h"
#include "tests/test.h"

#define GIB (1024ull * 1024 * 1024)

static struct cards probed(const char *like, unsigned which)
{
	struct cards c = { .n = 7 };
	setenv("PLAYED_VULKAN", like, 1);
	cards_probe(which, &c);
	return c;
}

TEST(all_cards_come_with_their_memory_and_the_processor_is_none)
{
	struct cards c = probed("", CARDS_VULKAN);
	CHECK_EQ_INT(c.n, 2);
	CHECK_EQ_Z(c.v[0].id, "vulkan:0");
	CHECK_EQ_Z(c.v[0].name, "Large");
	CHECK_EQ_INT(c.v[0].total, 24 * GIB);
	CHECK_EQ_INT(c.v[0].free_bytes, 16 * GIB); /* of 20 it may use 4 are used */
	CHECK_EQ_Z(c.v[1].id, "vulkan:1");
	CHECK_EQ_Z(c.v[1].name, "Small");
	CHECK_EQ_INT(c.v[1].total, 8 * GIB);
	CHECK_EQ_INT(c.v[1].free_bytes, 8 * GIB);
	CHECK(!c.v[0].in_ram);
}

TEST(what_is_not_asked_for_is_not_there)
{
	CHECK_EQ_INT(probed("", 0).n, 0);
	CHECK_EQ_INT(probed("", CARDS_SOFTWARE).n, 0);
	CHECK_EQ_INT(probed("dies", CARDS_CUDA).n, 0);
}

TEST(a_driver_that_fails_or_dies_or_lies_is_no_card)
{
	CHECK_EQ_INT(probed("fails", CARDS_VULKAN).n, 0);
	CHECK_EQ_INT(probed("dies", CARDS_VULKAN).n, 0);
	struct cards c = probed("lies", CARDS_VULKAN); /* names without an end, 4,000 heaps */
	for (size_t i = 0; i < c.n; i++)
		CHECK(c.v[i].total < 1000 * GIB);
}

TEST(of_more_cards_than_there_is_place_for_the_first_are_taken)
{
	struct cards c = probed("many", CARDS_VULKAN);
	CHECK_EQ_INT(c.n, CARDS_MAX);
	CHECK_EQ_Z(c.v[CARDS_MAX - 1].id, "vulkan:7");
}

TEST(a_driver_that_hangs_costs_seconds_and_no_more)
{
	int64_t begin = time_mono_ms();
	CHECK_EQ_INT(probed("hangs", CARDS_VULKAN).n, 0);
	CHECK(time_mono_ms() - begin < 15000);
	CHECK_EQ_INT(probed("", CARDS_VULKAN).n, 2);
}
