/* The fleet: loading, crashes, cancels. */
#include "models/fleet_world_test.h"

TEST(a_request_loads_its_model_once_and_gets_its_answer)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	ask(f, "m1", "ok", &a);
	ask(f, "m1", "ok", &b);
	wait_end(&a);
	wait_end(&b);
	CHECK_EQ_STR(str_from(a.text), STR(FORTY));
	CHECK_EQ_INT(a.begun, 1);
	CHECK_EQ_INT(a.tokens, 40);
	CHECK_EQ_INT(b.done, 1);
	CHECK_EQ_INT(w.engines_started, 1);
	world_end(&w, f);
}

TEST(a_model_that_is_refused_fails_its_requests_with_the_reason)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN;
	ask(f, "bad", "ok", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.failed, 1);
	CHECK_EQ_INT(a.code, ERR_MODEL_BAD);
	world_end(&w, f);
}

TEST(after_a_crash_the_guilty_one_fails_and_the_others_go_on_without_a_doubled_word)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen good = SEEN, bad = SEEN;
	ask(f, "m1", "die", &bad);
	ask(f, "m1", "ok", &good);
	wait_end(&good);
	wait_end(&bad);
	CHECK_EQ_INT(bad.failed, 1);
	CHECK_EQ_INT(bad.code, ERR_ENGINE);
	CHECK_EQ_INT(bad.begun, 1);
	CHECK_EQ_INT(good.done, 1);
	CHECK_EQ_STR(str_from(good.text), STR(FORTY));
	CHECK_EQ_INT(good.tokens, 40);
	CHECK(w.engines_started >= 3); /* first, alone with the guilty one, and after it */
	world_end(&w, f);
}

TEST(a_cancel_ends_a_request_that_runs_and_one_that_waits)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	uint64_t running = ask(f, "m1", "wait", &a);
	uint64_t waiting = ask(f, "m2", "ok", &b); /* no room for a second engine */
	usleep(100000);
	fleet_cancel(f, waiting);
	wait_end(&b);
	CHECK_EQ_INT(b.reason, GEN_CANCELLED);
	CHECK_EQ_INT(b.begun, 0);
	fleet_cancel(f, running);
	wait_end(&a);
	CHECK_EQ_INT(a.reason, GEN_CANCELLED);
	fleet_cancel(f, 12345);
	world_end(&w, f);
}

TEST(who_waits_for_a_model_is_known_until_the_answer_ended)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN, c = SEEN;
	struct fleet_user u[4];
	uint64_t one, two;
	CHECK_OK(ask_with(f, "m1", (struct gen_request){ .input = STR("wait"), .person = 7 }, &a,
		&one));
	CHECK_OK(ask_with(f, "m1", (struct gen_request){ .input = STR("wait"), .person = 7 }, &b,
		&two));
	CHECK_EQ_INT(fleet_users(f, "m1", u, 4), 1); /* at once: also what nobody looked at yet */
	CHECK(u[0].person == 7 && u[0].running + u[0].waiting == 2);
	CHECK_OK(ask_with(f, "m2", (struct gen_request){ .input = STR("wait"), .person = 9 }, &c,
		&(uint64_t){ 0 }));
	CHECK_EQ_INT(fleet_users(f, "m2", u, 4), 1);
	CHECK(u[0].person == 9 && u[0].running == 0);
	CHECK_EQ_INT(fleet_users(f, "m3", u, 4), 0);
	fleet_cancel(f, one);
	fleet_cancel(f, two);
	wait_end(&a);
	wait_end(&b);
	for (int i = 0; i < 200 && fleet_users(f, "m1", u, 4); i++)
		usleep(5000);
	CHECK_EQ_INT(fleet_users(f, "m1", u, 4), 0);
	world_end(&w, f);
}

TEST(the_end_of_the_fleet_ends_what_runs)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN;
	ask(f, "m1", "wait", &a);
	usleep(50000);
	world_end(&w, f);
	CHECK_EQ_INT(a.failed, 1);
	CHECK_EQ_INT(a.code, ERR_CLOSED);
}

TEST(an_idle_model_makes_room_for_another)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	struct fleet_loaded list[4];
	ask(f, "m1", "ok", &a);
	wait_end(&a);
	ask(f, "m2", "ok", &b);
	wait_end(&b);
	CHECK_EQ_INT(fleet_list(f, list, 4), 1);
	CHECK_EQ_STR(str_from(list[0].digest), STR("m2"));
	world_end(&w, f);
	CHECK(w.engines_stopped >= 1);
}

TEST(loading_what_is_loaded_ends_at_once)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = 60000 };
	CHECK(fleet_load(f, &m, see, &a) == OK);
	wait_end(&a);
	CHECK_EQ_INT(a.done, 1);
	CHECK(fleet_load(f, &m, see, &b) == OK);
	wait_end(&b);
	CHECK_EQ_INT(b.done, 1);
	CHECK_EQ_INT(b.begun, 0); /* no generation was made of it */
	world_end(&w, f);
}

TEST(a_model_with_adapters_runs_beside_the_one_without)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	struct fleet_loaded list[4];
	struct fleet_model m = { .name = "m", .keep_alive_ms = 60000,
		.adapters = { .n = 1 } };
	memset(m.adapters.weights, 'a', 64);
	memset(m.adapters.digest[0], 'b', 64);
	adapters_identity(&m.adapters, m.digest);
	ask(f, m.adapters.weights, "ok", &a);
	wait_end(&a);
	CHECK_EQ_INT(w.last_adapters.n, 0);
	CHECK(fleet_load(f, &m, see, &b) == OK);
	wait_end(&b);
	CHECK_EQ_INT(w.last_adapters.n, 1);
	CHECK_EQ_Z(w.last_adapters.weights, m.adapters.weights);
	CHECK_EQ_Z(w.last_adapters.digest[0], m.adapters.digest[0]);
	CHECK_EQ_INT(fleet_list(f, list, 4), 2);
	world_end(&w, f);
}

TEST(a_purge_reaches_every_engine_after_the_cancels_and_the_disk)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen one = SEEN;
	uint64_t id = ask(f, "d1", "wait", &one);
	while (!one.begun)
		(void)usleep(5000);
	fleet_cancel(f, id);
	CHECK(fleet_purge(f, 5, 6) == OK);
	CHECK(w.purged_on_disk == 1 && w.purged_person == 5 && w.purged_object == 6);
	for (int i = 0; i < 1000 && !w.purges; i++)
		(void)usleep(5000);
	CHECK_EQ_INT(w.purges, 1);
	wait_end(&one);
	world_end(&w, f);
}
