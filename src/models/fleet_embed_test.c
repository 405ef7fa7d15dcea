/* Vectors through the fleet: as a generation queued, sent, and sent again alone after a crash. */
#include "models/fleet_embed.h"

#include <stdlib.h>

#include "models/fleet_world_test.h"

static uint64_t embed(struct fleet *f, const char *text, const int32_t *lens, size_t n,
	struct seen *s)
{
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = 60000 };
	char *copy = strdup(text); /* the fleet keeps none of the caller's */
	struct embed_request r = { .texts = str_from(copy), .lens = lens, .n = n };
	uint64_t id = 0;
	CHECK(fleet_embed(f, &m, &r, see, s, &id) == OK);
	memset(copy, 'x', strlen(copy));
	free(copy);
	return id;
}

TEST(texts_become_vectors_by_the_models_engine)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	struct fleet_totals t;
	embed(f, "abcde", (int32_t[]){ 2, 0, 3 }, 3, &a);
	ask(f, "m1", "ok", &b);
	wait_end(&a);
	wait_end(&b);
	CHECK(a.done == 1 && a.n_values == 3);
	CHECK(a.values[0] == 2 && a.values[1] == 0 && a.values[2] == 3);
	CHECK_EQ_INT(b.tokens, 40);
	CHECK_EQ_INT(w.engines_started, 1);
	fleet_totals(f, &t);
	CHECK(t.requests == 2 && t.tokens_in == 5 + 3);
	world_end(&w, f);
}

TEST(after_a_crash_the_guilty_embedding_fails_and_the_other_gets_its_vectors)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen good = SEEN, bad = SEEN;
	embed(f, "die", (int32_t[]){ 3 }, 1, &bad);
	embed(f, "fine", (int32_t[]){ 4 }, 1, &good);
	wait_end(&good);
	wait_end(&bad);
	CHECK(bad.failed == 1 && bad.code == ERR_ENGINE);
	CHECK(good.done == 1 && good.values[0] == 4);
	world_end(&w, f);
}

TEST(the_guilty_embedding_is_quarantined_and_no_other)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen bad = SEEN, again = SEEN, other = SEEN;
	embed(f, "die", (int32_t[]){ 3 }, 1, &bad);
	wait_end(&bad);
	int started = w.engines_started;
	embed(f, "die", (int32_t[]){ 3 }, 1, &again);
	wait_end(&again);
	CHECK(again.failed == 1 && again.code == ERR_ENGINE);
	CHECK_EQ_INT(w.engines_started, started); /* refused before an engine saw it */
	embed(f, "fine", (int32_t[]){ 4 }, 1, &other);
	wait_end(&other);
	CHECK(other.done == 1 && other.values[0] == 4);
	CHECK_EQ_INT(w.reports, 1);
	world_end(&w, f);
}

TEST(what_an_engine_has_no_room_for_waits_until_another_ends)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen busy = SEEN, late = SEEN;
	uint64_t id = embed(f, "wait", (int32_t[]){ 4 }, 1, &busy);
	embed(f, "full", (int32_t[]){ 4 }, 1, &late);
	usleep(50000);
	CHECK(!late.done && !late.failed);
	fleet_cancel(f, id);
	wait_end(&busy);
	wait_end(&late);
	CHECK(late.done == 1 && late.values[0] == 4);
	world_end(&w, f);
}

TEST(a_cancelled_embedding_ends_and_an_engine_that_lies_loses_its_channel)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	uint64_t id = embed(f, "wait", (int32_t[]){ 4 }, 1, &a);
	usleep(50000);
	fleet_cancel(f, id);
	wait_end(&a);
	CHECK(a.done == 1 && a.reason == GEN_CANCELLED && a.n_values == 0);
	embed(f, "lie", (int32_t[]){ 1, 2 }, 2, &b);
	wait_end(&b);
	CHECK(b.failed == 1 && b.code == ERR_ENGINE);
	CHECK(w.engines_started >= 2);
	world_end(&w, f);
}
