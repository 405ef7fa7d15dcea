/* The planner: figures by hand. */
#include "models/plan.h"

#include <string.h>

#include "tests/test.h"

#define GIB (1024ull * 1024 * 1024)

static struct plan_room ram(uint64_t gib)
{
	return (struct plan_room){ .capacity = { gib * GIB, 0 } };
}
static struct plan_need need(uint64_t gib, uint64_t least)
{
	return (struct plan_need){ .bytes = { .ram = gib * GIB }, .least = { .ram = least * GIB } };
}
/* 1 GiB of RAM beside what lies on cards. */
static struct plan_need on_cards(uint64_t gib, uint64_t least)
{
	return (struct plan_need){ .bytes = { GIB, gib * GIB }, .least = { GIB, least * GIB } };
}
static struct plan_engine idle(const char *name, uint64_t gib, int64_t idle_ms, int64_t reload_ms)
{
	return (struct plan_engine){
		.name = name, .bytes = { gib * GIB, 0 }, .idle_ms = idle_ms, .reload_ms = reload_ms
	};
}

TEST(what_fits_beside_the_others_ends_none)
{
	struct plan_room r = ram(10);
	struct plan_engine e[] = { idle("a", 3, 1000, 100), idle("b", 3, 1000, 100) };
	struct plan_need n = need(4, 1);
	struct plan p;
	plan_make(&r, e, 2, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK(!p.evict[0] && !p.evict[1] && !p.small);
}

TEST(the_one_longest_unused_goes_and_no_more_than_needed)
{
	struct plan_room r = ram(10);
	struct plan_engine e[] = { idle("a", 3, 60000, 100), idle("b", 3, 1000, 100),
		idle("c", 3, 600000, 100) };
	struct plan_need n = need(4, 1); /* 1 is free: one of 3 is enough */
	struct plan p;
	plan_make(&r, e, 3, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK(!p.evict[0] && !p.evict[1] && p.evict[2]);
}

TEST(a_reload_that_is_dear_outweighs_a_longer_rest)
{
	struct plan_room r = ram(10);
	/* 60 s of loading after 100 s of rest against 1 s after 50 s: 0.6 to 0.02 */
	struct plan_engine e[] = { idle("big", 4, 100000, 60000), idle("small", 4, 50000, 1000) };
	struct plan_need n = need(4, 1);
	struct plan p;
	plan_make(&r, e, 2, &n, &p);
	CHECK(!p.evict[0] && p.evict[1]);
}

TEST(one_too_small_to_help_is_given_back)
{
	struct plan_room r = ram(10);
	/* the cheapest goes first, does not suffice, and its memory is not needed after the next */
	struct plan_engine e[] = { idle("tiny", 1, 900000, 10), idle("big", 8, 1000, 1000) };
	struct plan_need n = need(8, 1);
	struct plan p;
	plan_make(&r, e, 2, &n, &p);
	CHECK(!p.evict[0] && p.evict[1]);
}

TEST(pinned_and_busy_stay_and_a_busy_one_is_waited_for)
{
	struct plan_room r = ram(10);
	struct plan_engine e[] = { idle("pin", 4, 900000, 1), idle("busy", 4, 0, 1) };
	struct plan_need n = need(6, 6);
	struct plan p;
	e[0].pinned = true;
	e[1].busy = true;
	plan_make(&r, e, 2, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_WAIT);
	CHECK_EQ_INT(p.yield, 1);
	CHECK(!p.evict[0] && !p.evict[1]);
}

TEST(less_context_when_all_of_it_does_not_fit)
{
	struct plan_room r = ram(10);
	struct plan_engine e[] = { idle("pin", 6, 0, 1) };
	struct plan_need n = need(5, 3);
	struct plan p;
	e[0].pinned = true;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK(p.small);
}

TEST(a_refusal_has_the_figures)
{
	struct plan_room r = ram(10);
	struct plan_engine e[] = { idle("llama", 7, 0, 1) };
	struct plan_need n = need(9, 5);
	struct plan p;
	e[0].pinned = true;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
	CHECK_EQ_Z(p.why, "needs 5.0 GiB of memory, 3.0 GiB free; loaded: llama 7.0 GiB (pinned)");
}

TEST(the_number_of_models_may_be_the_limit)
{
	struct plan_room r = ram(10);
	struct plan_engine e[] = { idle("a", 1, 10, 1) };
	struct plan_need n = need(1, 1);
	struct plan p;
	r.max_engines = 1;
	plan_make(&r, e, 1, &n, &p);
	CHECK(p.evict[0]);
	e[0].pinned = true;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
	CHECK_EQ_Z(p.why, "1 of at most 1 models are loaded; loaded: a 1.0 GiB (pinned)");
}

TEST(the_card_is_counted_by_itself)
{
	struct plan_room r = { .capacity = { UINT64_MAX, 8 * GIB }, .n_cards = 1 };
	struct plan_engine e[] = { { .name = "a", .bytes = { 0, 6 * GIB }, .pinned = true } };
	struct plan_need n = on_cards(4, 4);
	struct plan p;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
	CHECK_EQ_Z(p.why,
		"needs 4.0 GiB of the GPU's memory, 2.0 GiB free; loaded: a 6.0 GiB (pinned)");
}

/* ---- several cards ---- */

static struct plan_room cards(unsigned n, uint64_t a, uint64_t b, uint64_t c)
{
	return (struct plan_room){ .capacity = { 64 * GIB, a * GIB, b * GIB, c * GIB },
		.n_cards = n };
}

TEST(what_fits_one_card_lies_whole_on_the_one_with_most_room)
{
	struct plan_room r = cards(3, 8, 24, 16);
	struct plan_need n = on_cards(10, 8);
	struct plan p;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK(!p.small);
	CHECK_EQ_INT(p.bytes[PLAN_RAM], GIB);
	CHECK_EQ_INT(p.bytes[PLAN_CARD], 0);
	CHECK_EQ_INT(p.bytes[PLAN_CARD + 1], 10 * GIB);
	CHECK_EQ_INT(p.bytes[PLAN_CARD + 2], 0);
}

TEST(room_is_what_other_engines_leave)
{
	struct plan_room r = cards(2, 24, 16, 0);
	struct plan_engine e[] = { { .name = "a", .bytes = { 0, 20 * GIB }, .pinned = true } };
	struct plan_need n = on_cards(10, 8);
	struct plan p;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK_EQ_INT(p.bytes[PLAN_CARD], 0);
	CHECK_EQ_INT(p.bytes[PLAN_CARD + 1], 10 * GIB);
}

TEST(of_two_equal_cards_the_first_is_taken)
{
	struct plan_room r = cards(2, 16, 16, 0);
	struct plan_need n = on_cards(10, 8);
	struct plan p;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.bytes[PLAN_CARD], 10 * GIB);
	CHECK_EQ_INT(p.bytes[PLAN_CARD + 1], 0);
}

TEST(two_cards_share_what_fits_neither_by_their_room)
{
	/* half a GiB of each is kept: 24 and 8 are left, three parts to one */
	struct plan_room r = cards(2, 0, 0, 0);
	struct plan_need n = on_cards(28, 28);
	struct plan p;
	r.capacity[PLAN_CARD] = 24 * GIB + PLAN_SPLIT_BYTES;
	r.capacity[PLAN_CARD + 1] = 8 * GIB + PLAN_SPLIT_BYTES;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK_EQ_INT(p.bytes[PLAN_CARD], 21 * GIB + PLAN_SPLIT_BYTES);
	CHECK_EQ_INT(p.bytes[PLAN_CARD + 1], 7 * GIB + PLAN_SPLIT_BYTES);
}

TEST(as_few_of_three_cards_as_hold_it_share_it)
{
	struct plan_room r = cards(3, 10, 24, 20);
	struct plan_need n = on_cards(40, 40);
	struct plan p;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK_EQ_INT(p.bytes[PLAN_CARD], 0);
	CHECK(p.bytes[PLAN_CARD + 1] > p.bytes[PLAN_CARD + 2] && p.bytes[PLAN_CARD + 2] > 18 * GIB);
	n = on_cards(50, 50); /* 53 less half a GiB each: all three */
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	uint64_t sum = 0;
	for (int i = 0; i < 3; i++) {
		uint64_t part = p.bytes[PLAN_CARD + i];
		CHECK(part && part <= r.capacity[PLAN_CARD + i]);
		sum += part;
	}
	CHECK_EQ_INT(sum, 50 * GIB + 3ull * PLAN_SPLIT_BYTES);
}

TEST(a_card_too_full_to_compute_on_shares_nothing)
{
	struct plan_room r = cards(3, 16, 16, 0);
	struct plan_need n = on_cards(31, 31), more = on_cards(32, 32);
	struct plan p;
	r.capacity[PLAN_CARD + 2] = PLAN_SPLIT_BYTES;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK_EQ_INT(p.bytes[PLAN_CARD + 2], 0);
	plan_make(&r, NULL, 0, &more, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
}

TEST(more_than_all_cards_hold_is_refused_with_each_ones_figure)
{
	struct plan_room r = cards(2, 24, 16, 0);
	struct plan_engine e[] = {
		{ .name = "a", .bytes = { GIB, 4 * GIB, 2 * GIB }, .pinned = true }
	};
	struct plan_need n = on_cards(60, 50);
	struct plan p;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
	CHECK_EQ_Z(p.why, "needs 50.0 GiB of the GPUs' memory, 20.0 GiB + 14.0 GiB free; loaded: "
			  "a 6.0 GiB (pinned)");
	for (int d = 0; d < PLAN_DEVICES; d++)
		CHECK_EQ_INT(p.bytes[d], 0); /* and nothing of it on the processor instead */
}

TEST(without_a_card_nothing_is_planned_for_one)
{
	struct plan_room r = cards(0, 0, 0, 0);
	struct plan_need n = on_cards(1, 1);
	struct plan p;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
}

TEST(the_machines_memory_may_be_what_is_short_for_a_card)
{
	struct plan_room r = cards(1, 24, 0, 0);
	struct plan_need n = on_cards(8, 8);
	struct plan p;
	r.capacity[PLAN_RAM] = GIB / 2;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
	CHECK_EQ_Z(p.why, "needs 1.0 GiB of memory, 512 MiB free");
}

TEST(a_card_in_the_machines_memory_takes_it_from_there)
{
	struct plan_room r = cards(1, 12, 0, 0);
	struct plan_need n = on_cards(10, 10);
	struct plan p;
	r.cards_in_ram = true;
	r.capacity[PLAN_RAM] = 12 * GIB;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK_EQ_INT(p.bytes[PLAN_RAM], 11 * GIB);
	CHECK_EQ_INT(p.bytes[PLAN_CARD], 10 * GIB);
	r.capacity[PLAN_RAM] = 10 * GIB;
	plan_make(&r, NULL, 0, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
}

TEST(an_idle_model_goes_before_one_is_refused_and_a_split_comes_before_that)
{
	struct plan_room r = cards(2, 16, 16, 0);
	struct plan_engine e[] = { { .name = "a", .bytes = { 0, 10 * GIB }, .idle_ms = 1000 } };
	struct plan_need n = on_cards(18, 18), whole = on_cards(28, 28);
	struct plan p;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK(!p.evict[0] && p.bytes[PLAN_CARD] && p.bytes[PLAN_CARD + 1]);
	plan_make(&r, e, 1, &whole, &p);
	CHECK_EQ_INT(p.verdict, PLAN_FITS);
	CHECK(p.evict[0]);
}
