/* The fleet: deaths, room, pins, the queue, what is kept. */
#include "models/fleet_world_test.h"

/* ---- deaths ---- */

TEST(after_a_fault_the_next_start_is_on_safer_settings)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct fleet_status st[4];
	struct seen a = SEEN;
	ask(f, "m1", "once", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.done, 1);
	CHECK_EQ_STR(str_from(a.text), STR(FORTY));
	CHECK_EQ_INT(w.last_load.flash, 0);
	CHECK_EQ_INT(w.last_load.n_ubatch, 128);
	usleep(500000); /* the snapshot is made every 200 ms */
	CHECK_EQ_INT(fleet_status(f, st, 4), 1);
	CHECK_EQ_INT(st[0].crashes, 1);
	CHECK_EQ_INT(st[0].loads, 2);
	CHECK(str_starts(str_from(st[0].settings), STR("safer: flash attention off")));
	world_end(&w, f);
}

TEST(a_kill_from_outside_is_nobodys_fault_and_changes_no_setting)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	w.killed_next = 1;
	ask(f, "m1", "once", &a);
	ask(f, "m1", "once", &b);
	wait_end(&a);
	wait_end(&b);
	CHECK_EQ_STR(str_from(a.text), STR(FORTY));
	CHECK_EQ_STR(str_from(b.text), STR(FORTY));
	CHECK_EQ_INT(a.done + b.done, 2);
	CHECK_EQ_INT(w.reports, 0);
	world_end(&w, f);
}

TEST(what_killed_alone_is_refused_at_once_when_it_comes_again)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct fleet_quarantined q[4];
	struct seen a = SEEN, b = SEEN, c = SEEN;
	ask(f, "m1", "die", &a);
	wait_end(&a);
	CHECK_EQ_INT(w.reports, 1);
	int before = w.asked;
	ask(f, "m1", "die", &b);
	wait_end(&b);
	CHECK_EQ_INT(b.code, ERR_ENGINE);
	CHECK_EQ_INT(b.begun, 0);
	CHECK_EQ_INT(w.asked, before);
	CHECK_EQ_INT(fleet_quarantine(f, q, 4), 1);
	CHECK_EQ_Z(q[0].build, "played");
	ask(f, "m1", "ok", &c); /* another request is not touched */
	wait_end(&c);
	CHECK_EQ_INT(c.done, 1);
	world_end(&w, f);
}

TEST(a_model_whose_process_dies_at_load_is_tried_on_every_step_and_then_refused)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN;
	ask(f, "dies", "ok", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_MODEL_BAD);
	CHECK_EQ_Z(a.why, "not a usable model: its process died while loading it");
	CHECK_EQ_INT(w.asked, 4);
	CHECK_EQ_INT(w.last_load.n_seq, 2); /* a quarter of the usual 8 */
	CHECK_EQ_INT(w.last_load.n_ctx, 4096);
	world_end(&w, f);
}

TEST(an_engine_without_progress_is_ended)
{
	struct world w;
	struct fleet *f = world_with(&w, &(struct fleet_options){ .stall_ms = 150 });
	struct seen a = SEEN;
	ask(f, "m1", "hang", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_ENGINE);
	CHECK_EQ_INT(w.engines_started, 2); /* and once more, alone */
	CHECK_EQ_INT(w.reports, 1);
	world_end(&w, f);
}

TEST(a_strict_request_does_not_go_on_under_other_settings)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	CHECK_OK(ask_with(f, "m1", (struct gen_request){ .input = STR("once"), .strict = true }, &a,
		&(uint64_t){ 0 }));
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_ENGINE);
	CHECK(strstr(a.why, "strict"));
	/* asked anew it begins on what is there */
	CHECK_OK(ask_with(f, "m1", (struct gen_request){ .input = STR("ok"), .strict = true }, &b,
		&(uint64_t){ 0 }));
	wait_end(&b);
	CHECK_EQ_INT(b.done, 1);
	world_end(&w, f);
}

/* ---- room ---- */

TEST(a_model_that_cannot_fit_is_refused_with_figures)
{
	struct world w;
	struct fleet *f = world_with(
		&w, &(struct fleet_options){ .need = world_need, .memory = world_memory });
	struct seen a = SEEN, b = SEEN, c = SEEN;
	w.free_bytes = 2ull << 30;
	ask(f, "huge", "ok", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_NOMEM);
	CHECK_EQ_Z(a.why, "needs 5.0 GiB of memory, 2.0 GiB free");
	w.free_bytes = 1500; /* one of 1000 fits, then the next only in its place */
	ask(f, "m1", "ok", &b);
	wait_end(&b);
	ask(f, "m2", "ok", &c);
	wait_end(&c);
	CHECK_EQ_INT(b.done + c.done, 2);
	struct fleet_loaded list[4];
	CHECK_EQ_INT(fleet_list(f, list, 4), 1);
	CHECK_EQ_Z(list[0].digest, "m2");
	world_end(&w, f);
}

TEST(three_models_that_fit_answer_in_turn_with_three_loads)
{
	struct world w;
	struct fleet *f = world_with(
		&w, &(struct fleet_options){ .need = world_need, .memory = world_memory });
	w.free_bytes = 3500;
	for (int round = 0; round < 3; round++)
		for (int m = 0; m < 3; m++) {
			static const char *const names[] = { "m1", "m2", "m3" };
			struct seen a = SEEN;
			ask(f, names[m], "ok", &a);
			wait_end(&a);
			CHECK_EQ_INT(a.done, 1);
		}
	CHECK_EQ_INT(w.asked, 3);
	world_end(&w, f);
}

TEST(a_model_that_loads_slowly_holds_up_no_other)
{
	struct world w;
	struct fleet *f = world_new(&w, 4);
	struct seen slow = SEEN, quick = SEEN;
	ask(f, "slow", "ok", &slow);
	ask(f, "m2", "ok", &quick);
	wait_end(&quick);
	CHECK_EQ_INT(slow.done, 0);
	wait_end(&slow);
	CHECK_EQ_INT(slow.done, 1);
	world_end(&w, f);
}

TEST(a_pinned_model_is_loaded_by_itself_and_stays)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = 10 };
	struct fleet_loaded list[4];
	struct seen a = SEEN, b = SEEN;
	CHECK_OK(fleet_pin(f, &m, true));
	for (int i = 0; i < 100 && !fleet_list(f, list, 4); i++)
		usleep(20000);
	CHECK(fleet_is_pinned(f, "m1"));
	fleet_unload(f, "m1");
	usleep(50000);
	CHECK_EQ_INT(fleet_list(f, list, 4), 1);
	CHECK_EQ_INT(list[0].expires_ms, -1);
	ask(f, "m2", "ok", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_NOMEM);
	CHECK(strstr(a.why, "(pinned)"));
	CHECK_OK(fleet_pin(f, &m, false));
	ask(f, "m2", "ok", &b);
	wait_end(&b);
	CHECK_EQ_INT(b.done, 1);
	world_end(&w, f);
}

TEST(a_model_in_use_gives_way_when_another_has_waited_long)
{
	struct world w;
	struct fleet *f = world_with(
		&w, &(struct fleet_options){ .max_engines = 1, .yield_ms = 100 });
	struct seen a = SEEN, b = SEEN, c = SEEN;
	uint64_t running = ask(f, "m1", "wait", &a);
	usleep(50000);
	ask(f, "m2", "ok", &b);
	usleep(500000);
	ask(f, "m1", "ok", &c); /* newer than m2's: it does not get in before */
	usleep(50000);
	CHECK_EQ_INT(c.begun, 0);
	fleet_cancel(f, running);
	wait_end(&b);
	wait_end(&c);
	CHECK_EQ_INT(b.done + c.done, 2);
	CHECK_EQ_INT(w.engines_started, 3);
	world_end(&w, f);
}

TEST(who_requires_a_gpu_is_refused_where_there_is_none)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct fleet_model m = { .digest = "m1", .name = "m", .require_gpu = true };
	struct gen_request g = { .input = STR("ok") };
	struct seen a = SEEN;
	uint64_t id;
	gen_sampling_defaults(&g.sampling);
	CHECK_OK(fleet_start(f, &m, &g, see, &a, &id));
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_UNSUPPORTED);
	CHECK_EQ_INT(w.asked, 0);
	world_end(&w, f);
}

/* ---- cards ---- */

#define GIB (1024ull * 1024 * 1024)

/* "huge" needs 5 GiB, others 1,000 bytes. */
static const struct cards two_cards = { 2,
	{ { .id = "vulkan:0", .name = "A", .total = 3 * GIB, .free_bytes = 3 * GIB },
		{ .id = "vulkan:3", .name = "B", .total = 4 * GIB, .free_bytes = 4 * GIB } } };

static struct fleet *world_with_cards(struct world *w, const struct cards *cards)
{
	struct fleet_options o = { .need = world_need, .memory = world_memory, .cards = cards };
	struct fleet *f = world_with(w, &o);
	w->free_bytes = 2 * GIB;
	return f;
}

static enum err ask_for(struct fleet *f, const char *digest, bool require_gpu, struct seen *s)
{
	struct fleet_model m = { .require_gpu = require_gpu, .keep_alive_ms = 60000 };
	struct gen_request g = { .input = STR("ok") };
	uint64_t id;
	snprintf(m.digest, sizeof m.digest, "%s", digest);
	snprintf(m.name, sizeof m.name, "%s", digest);
	gen_sampling_defaults(&g.sampling);
	CHECK_OK(fleet_start(f, &m, &g, see, s, &id));
	wait_end(s);
	return s->failed ? s->code : OK;
}

TEST(a_small_model_gets_one_card_and_a_large_one_both_in_their_proportion)
{
	struct world w;
	struct fleet *f = world_with_cards(&w, &two_cards);
	struct seen a = SEEN, b = SEEN;
	struct fleet_status status[4];
	CHECK_OK(ask_for(f, "small", true, &a));
	CHECK_EQ_INT(w.last_load.n_cards, 1);
	CHECK_EQ_Z(w.last_load.card[0].id, "vulkan:3"); /* the one with most room */
	CHECK_EQ_INT(w.last_load.card[0].share, 1000);
	CHECK_OK(ask_for(f, "huge", true, &b));
	CHECK_EQ_INT(w.last_load.n_cards, 2);
	CHECK_EQ_Z(w.last_load.card[0].id, "vulkan:0"); /* the larger share last */
	CHECK_EQ_Z(w.last_load.card[1].id, "vulkan:3");
	CHECK_EQ_INT(w.last_load.card[0].share + w.last_load.card[1].share, 1000);
	CHECK(w.last_load.card[1].share > 550 && w.last_load.card[1].share < 600); /* 4 to 3 */
	usleep(500000); /* the snapshot is made every 200 ms */
	CHECK_EQ_INT(fleet_status(f, status, 4), 2);
	for (int i = 0; i < 2; i++)
		CHECK(status[i].gpu && !status[i].gpu_missed && !strcmp(status[i].cards, "A"));
	world_end(&w, f);
}

TEST(what_fits_no_cards_is_refused_with_figures_or_told_that_the_processor_does_it)
{
	struct world w;
	struct cards small = two_cards;
	small.v[1].free_bytes = GIB;
	struct fleet *f = world_with_cards(&w, &small);
	struct seen a = SEEN, b = SEEN;
	struct fleet_status status[4];
	w.free_bytes = 8 * GIB;
	CHECK_EQ_INT(ask_for(f, "huge", true, &a), ERR_NOMEM);
	CHECK_EQ_Z(a.why, "needs 5.0 GiB of the GPUs' memory, 3.0 GiB + 1.0 GiB free");
	CHECK_EQ_INT(w.asked, 0);
	CHECK_OK(ask_for(f, "huge", false, &b));
	CHECK_EQ_INT(w.last_load.n_cards, 0);
	usleep(500000); /* the snapshot is made every 200 ms */
	CHECK_EQ_INT(fleet_status(f, status, 4), 1);
	CHECK(!status[0].gpu && status[0].gpu_missed);
	world_end(&w, f);
}

TEST(a_model_on_the_processor_is_not_who_answers_when_a_gpu_is_required)
{
	struct world w;
	struct fleet *f = world_with_cards(&w, &two_cards);
	struct seen a = SEEN, b = SEEN, c = SEEN;
	w.blind = true; /* as a build without the cards' module */
	CHECK_EQ_INT(ask_for(f, "small", true, &a), ERR_UNSUPPORTED);
	CHECK_EQ_Z(a.why, "the cards are not seen");
	CHECK_EQ_INT(w.asked, 1);
	CHECK_OK(ask_for(f, "small", false, &b));
	CHECK_EQ_INT(w.asked, 3); /* on a card, then without */
	CHECK_EQ_INT(w.last_load.n_cards, 0);
	CHECK_EQ_INT(ask_for(f, "small", true, &c), ERR_UNSUPPORTED);
	CHECK_EQ_Z(c.why, "a GPU is required, but the model runs on the processor");
	world_end(&w, f);
}

/* ---- the queue ---- */

TEST(beyond_the_queue_a_request_is_refused_at_once_and_no_accepted_one_is_lost)
{
	struct world w;
	struct fleet *f = world_with(&w, &(struct fleet_options){ .queue_max = 8 });
	struct seen a[12] = { 0 };
	unsigned accepted = 0;
	for (int i = 0; i < 12; i++) {
		a[i] = (struct seen)SEEN;
		enum err e = ask_with(f, "slow", (struct gen_request){ .input = STR("ok") }, &a[i],
			&(uint64_t){ 0 });
		CHECK(e == OK || e == ERR_QUEUE);
		if (e)
			a[i].failed = 100;
		accepted += !e;
	}
	CHECK_EQ_INT(accepted, 8);
	CHECK(fleet_retry_after_s(f) >= 1 && fleet_retry_after_s(f) <= 60);
	for (int i = 0; i < 12; i++) {
		wait_end(&a[i]);
		CHECK(a[i].done == 1 || a[i].failed == 100);
	}
	struct fleet_totals t;
	fleet_totals(f, &t);
	CHECK_EQ_INT(t.refused_busy, 4);
	world_end(&w, f);
}

TEST(a_request_that_the_engine_has_no_place_for_waits_here)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN;
	ask(f, "m1", "full", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.done, 1);
	CHECK_EQ_INT(a.failed, 0);
	world_end(&w, f);
}

TEST(a_deadline_passes_also_while_the_model_is_loaded)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN;
	CHECK_OK(ask_with(f, "slow", (struct gen_request){ .input = STR("ok"), .deadline_ms = 50 },
		&a, &(uint64_t){ 0 }));
	wait_end(&a);
	CHECK_EQ_INT(a.code, ERR_TIMEOUT);
	world_end(&w, f);
}

/* ---- what is kept ---- */

TEST(what_an_engine_measured_is_stored_and_given_back)
{
	struct world w;
	struct fleet *f = world_with(
		&w, &(struct fleet_options){
			    .tuned_get = world_tuned_get, .tuned_put = world_tuned_put });
	struct seen a = SEEN, b = SEEN;
	ask(f, "m1", "ok", &a);
	wait_end(&a);
	CHECK_EQ_Z(w.last_load.tuned, "");
	CHECK_EQ_Z(w.tuned_stored, "m1 played flash=off");
	snprintf(w.tuned_given, sizeof w.tuned_given, "flash=off");
	w.tuned_stored[0] = '\0';
	ask(f, "m2", "ok", &b);
	wait_end(&b);
	CHECK_EQ_Z(w.last_load.tuned, "flash=off");
	CHECK_EQ_Z(w.last_load.tuned_build, "played");
	CHECK_EQ_Z(w.tuned_stored, ""); /* the same again is not written again */
	world_end(&w, f);
}

TEST(a_request_that_says_nothing_of_keeping_leaves_what_was_said)
{
	struct world w;
	struct fleet *f = world_with(&w, &(struct fleet_options){ .keep_alive_ms = 5000 });
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = FLEET_KEEP_AS_IS };
	struct fleet_loaded list[2];
	struct seen a = SEEN, b = SEEN, c = SEEN;
	CHECK_OK(fleet_load(f, &m, see, &a));
	wait_end(&a);
	usleep(50000);
	CHECK_EQ_INT(fleet_list(f, list, 2), 1);
	CHECK(list[0].expires_ms - time_now_ms() <= 5000);
	m.keep_alive_ms = -1;
	CHECK_OK(fleet_load(f, &m, see, &b));
	wait_end(&b);
	CHECK_EQ_INT(fleet_list(f, list, 2), 1); /* at once */
	CHECK_EQ_INT(list[0].expires_ms, -1);
	m.keep_alive_ms = FLEET_KEEP_AS_IS;
	CHECK_OK(fleet_load(f, &m, see, &c));
	wait_end(&c);
	CHECK_EQ_INT(fleet_list(f, list, 2), 1);
	CHECK_EQ_INT(list[0].expires_ms, -1);
	world_end(&w, f);
}

TEST(a_loaded_model_says_since_when)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = -1 };
	struct fleet_status st[4];
	struct seen a = SEEN;
	int64_t before = time_now_ms();
	CHECK_OK(fleet_load(f, &m, see, &a));
	wait_end(&a);
	usleep(500000); /* the snapshot is made every 200 ms */
	CHECK_EQ_INT(fleet_status(f, st, 4), 1);
	CHECK(st[0].since_ms >= before - 50 && st[0].since_ms <= time_now_ms() - 200);
	fleet_unload(f, "m1");
	usleep(500000);
	CHECK_EQ_INT(fleet_status(f, st, 4), 1);
	CHECK_EQ_INT(st[0].since_ms, 0);
	world_end(&w, f);
}
