/* Which of what drivers list counts as a card. */
#include "models/cards.h"

#include <stdio.h>
#include <string.h>

#include "tests/test.h"

#define GIB (1024ull * 1024 * 1024)

static void add(struct cards_found *f, uint32_t kind, const char *name, uint8_t uuid)
{
	struct card_found *one = &f->v[f->n];
	*one = (struct card_found){ .kind = kind, .usable = true, .uuid = { uuid } };
	one->card.total = 8 * GIB;
	one->card.free_bytes = 6 * GIB;
	snprintf(one->card.id, sizeof one->card.id, "vulkan:%zu", f->n++);
	snprintf(one->card.name, sizeof one->card.name, "%s", name);
}

TEST(a_software_device_is_no_card_unless_a_test_says_so)
{
	struct cards_found f = { 0 };
	struct cards c;
	add(&f, CARD_SOFTWARE, "llvmpipe", 1);
	cards_choose(&f, CARDS_CUDA | CARDS_VULKAN, &c);
	CHECK_EQ_INT(c.n, 0);
	cards_choose(&f, CARDS_VULKAN | CARDS_SOFTWARE, &c);
	CHECK_EQ_INT(c.n, 1);
	CHECK(c.v[0].in_ram);
	add(&f, CARD_DISCRETE, "real", 2);
	cards_choose(&f, CARDS_VULKAN | CARDS_SOFTWARE, &c);
	CHECK_EQ_INT(c.n, 1);
	CHECK_EQ_Z(c.v[0].name, "real");
	CHECK_EQ_Z(c.v[0].id, "vulkan:1");
}

TEST(an_integrated_one_counts_where_there_is_no_other)
{
	struct cards_found f = { 0 };
	struct cards c;
	add(&f, CARD_INTEGRATED, "small", 1);
	cards_choose(&f, CARDS_VULKAN, &c);
	CHECK_EQ_INT(c.n, 1);
	CHECK(c.v[0].in_ram);
	add(&f, CARD_DISCRETE, "A", 2);
	add(&f, CARD_DISCRETE, "B", 3);
	cards_choose(&f, CARDS_VULKAN, &c);
	CHECK_EQ_INT(c.n, 2);
	CHECK(!c.v[0].in_ram);
	CHECK_EQ_Z(c.v[1].id, "vulkan:2");
}

TEST(one_card_by_two_drivers_is_one)
{
	struct cards_found f = { 0 };
	struct cards c;
	add(&f, CARD_DISCRETE, "by one driver", 7);
	add(&f, CARD_DISCRETE, "by another", 7);
	add(&f, CARD_DISCRETE, "of no number", 0);
	add(&f, CARD_DISCRETE, "of none either", 0);
	cards_choose(&f, CARDS_VULKAN, &c);
	CHECK_EQ_INT(c.n, 3);
	CHECK_EQ_Z(c.v[0].name, "by one driver");
}

TEST(what_a_driver_says_amiss_is_left_out)
{
	struct cards_found f = { 0 };
	struct cards c;
	for (int i = 0; i < 7; i++)
		add(&f, CARD_DISCRETE, "x", 0);
	f.v[0].usable = false;
	f.v[1].card.total = 0;
	f.v[2].card.id[0] = 'V';
	memset(f.v[3].card.name, 'a', sizeof f.v[3].card.name);
	f.v[4].card.name[0] = '\x1b';
	f.v[5].card.name[0] = '\xff';
	f.v[6].card.free_bytes = UINT64_MAX;
	cards_choose(&f, CARDS_VULKAN, &c);
	CHECK_EQ_INT(c.n, 1);
	CHECK_EQ_INT(c.v[0].free_bytes, c.v[0].total);
	f.n = 1000;
	cards_choose(&f, CARDS_VULKAN, &c);
	CHECK_EQ_INT(c.n, 0);
}

TEST(their_names_fit_the_place_there_is)
{
	struct cards c = { 3, { { .name = "First" }, { .name = "Second" }, { .name = "Third" } } };
	char text[64], small[24];
	cards_text(&c, text, sizeof text);
	CHECK_EQ_Z(text, "First + Second + Third");
	cards_text(&c, small, sizeof small);
	CHECK_EQ_Z(small, "First and 2 more");
	c.n = 0;
	cards_text(&c, text, sizeof text);
	CHECK_EQ_Z(text, "");
}

TEST(asking_for_none_asks_nobody)
{
	struct cards c = { .n = 3 };
	cards_probe(0, &c);
	CHECK_EQ_INT(c.n, 0);
	cards_probe(CARDS_SOFTWARE, &c);
	CHECK_EQ_INT(c.n, 0);
}
