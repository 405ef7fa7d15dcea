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
	return (struct plan_need){ .bytes = { gib * GIB, 0 }, .least = { least * GIB, 0 } };
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
	struct plan_room r = { .capacity = { UINT64_MAX, 8 * GIB } };
	struct plan_engine e[] = { { .name = "a", .bytes = { 0, 6 * GIB }, .pinned = true } };
	struct plan_need n = { .bytes = { GIB, 4 * GIB }, .least = { GIB, 4 * GIB } };
	struct plan p;
	plan_make(&r, e, 1, &n, &p);
	CHECK_EQ_INT(p.verdict, PLAN_REFUSED);
	CHECK_EQ_Z(p.why,
		"needs 4.0 GiB of the GPU's memory, 2.0 GiB free; loaded: a 6.0 GiB (pinned)");
}
