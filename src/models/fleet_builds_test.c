/* The fleet and engine builds: the same model under two of them, and another current one. */
#include "models/fleet_world_test.h"

static uint64_t ask_under(
	struct fleet *f, const char *digest, const char *engine, const char *input, struct seen *s)
{
	struct fleet_model m = { .keep_alive_ms = 60000, .name = "m" };
	struct gen_request g = { .input = str_from(input) };
	uint64_t id = 0;
	gen_sampling_defaults(&g.sampling);
	snprintf(m.digest, sizeof m.digest, "%s", digest);
	snprintf(m.engine, sizeof m.engine, "%s", engine);
	CHECK_OK(fleet_start(f, &m, &g, see, s, &id));
	return id;
}

TEST(one_model_under_two_builds_is_two_engines_and_each_answer_names_its_own)
{
	struct world w;
	struct fleet *f = world_with(&w, &(struct fleet_options){ .engine = "e-2" });
	struct seen a = SEEN, b = SEEN, c = SEEN;
	struct fleet_loaded list[4];
	struct fleet_status st[4];
	ask_under(f, "m1", "e-1", "ok", &a);
	ask_under(f, "m1", "", "ok", &b);
	wait_end(&a);
	wait_end(&b);
	ask_under(f, "m1", "e-2", "ok", &c); /* the current one by its name: no third engine */
	wait_end(&c);
	CHECK_EQ_Z(a.build, "e-1");
	CHECK_EQ_Z(b.build, "e-2");
	CHECK_EQ_Z(c.build, "e-2");
	CHECK_EQ_INT(w.engines_started, 2);
	usleep(300000);
	CHECK_EQ_INT(fleet_list(f, list, 4), 2);
	CHECK_EQ_INT(fleet_status(f, st, 4), 2);
	for (int i = 0; i < 2; i++)
		CHECK_EQ_INT(st[i].old_engine, !strcmp(st[i].engine, "e-1"));
	world_end(&w, f);
}

TEST(a_build_that_is_missing_fails_who_keeps_it_and_nobody_else)
{
	struct world w;
	struct fleet *f = world_with(&w, &(struct fleet_options){ .engine = "e-2" });
	struct seen a = SEEN, b = SEEN;
	ask_under(f, "m1", "gone", "ok", &a);
	ask_under(f, "m1", "", "ok", &b);
	wait_end(&a);
	wait_end(&b);
	CHECK_EQ_INT(a.code, ERR_BUILD);
	CHECK(strstr(a.why, "gone"));
	CHECK_EQ_INT(b.done, 1);
	CHECK_EQ_Z(b.build, "e-2");
	world_end(&w, f);
}

TEST(another_current_build_gets_who_comes_and_ends_nobodys_answer)
{
	struct world w;
	struct fleet *f = world_with(&w, &(struct fleet_options){ .engine = "e-1" });
	struct seen a = SEEN, b = SEEN, c = SEEN;
	uint64_t id = ask_under(f, "m1", "", "wait", &a);
	usleep(100000);
	fleet_engine_current(f, "e-2");
	ask_under(f, "m1", "", "ok", &b);
	ask_under(f, "m1", "e-1", "ok", &c);
	wait_end(&b);
	wait_end(&c);
	CHECK_EQ_Z(b.build, "e-2");
	CHECK_EQ_Z(c.build, "e-1");
	CHECK(!a.done && !a.failed);
	fleet_cancel(f, id);
	wait_end(&a);
	CHECK_EQ_Z(a.build, "e-1");
	CHECK_EQ_INT(w.engines_started, 2);
	world_end(&w, f);
}

TEST(a_pin_without_a_build_follows_the_current_one)
{
	struct world w;
	struct fleet *f = world_with(
		&w, &(struct fleet_options){ .engine = "e-1", .keep_alive_ms = 60000 });
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = FLEET_KEEP_AS_IS };
	struct fleet_loaded list[4];
	CHECK_OK(fleet_pin(f, &m, true));
	for (int i = 0; i < 200 && !fleet_list(f, list, 4); i++)
		usleep(10000);
	CHECK_EQ_INT(list[0].expires_ms, -1);
	CHECK_EQ_Z(list[0].engine, "e-1");
	fleet_engine_current(f, "e-2");
	for (int i = 0; i < 200 && fleet_list(f, list, 4) < 2; i++)
		usleep(10000);
	CHECK_EQ_INT(fleet_list(f, list, 4), 2);
	for (int i = 0; i < 2; i++) /* the old one goes as any other */
		CHECK_EQ_INT(list[i].expires_ms == -1, !strcmp(list[i].engine, "e-2"));
	CHECK(fleet_is_pinned(f, "m1"));
	fleet_unload(f, "m1");
	for (int i = 0; i < 200 && fleet_list(f, list, 4) > 1; i++)
		usleep(10000);
	CHECK_EQ_INT(fleet_list(f, list, 4), 1);
	CHECK_EQ_Z(list[0].engine, "e-2");
	CHECK_OK(fleet_pin(f, &m, false));
	for (int i = 0; i < 200 && fleet_is_pinned(f, "m1"); i++)
		usleep(10000);
	CHECK(!fleet_is_pinned(f, "m1"));
	world_end(&w, f);
}
