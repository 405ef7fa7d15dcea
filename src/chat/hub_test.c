#include "chat/hub.h"

#include <pthread.h>
#include <stdatomic.h>

#include "os/threads.h"
#include "tests/test.h"

static void count(struct str event, void *arg)
{
	atomic_fetch_add((atomic_int *)arg, (int)event.len);
}

TEST(events_reach_every_stream_of_a_person_and_nobody_else)
{
	AUTO(chat_hub) struct chat_hub *h = NULL;
	atomic_int a1 = 0, a2 = 0, b = 0;
	uint64_t id[3];
	CHECK_OK(chat_hub_new(&h));
	CHECK_OK(hub_join(h, "anna", count, &a1, &id[0]));
	CHECK_OK(hub_join(h, "anna", count, &a2, &id[1]));
	CHECK_OK(hub_join(h, "bert", count, &b, &id[2]));
	hub_tell(h, "anna", STR("x"));
	CHECK(a1 == 1 && a2 == 1 && b == 0);
	hub_tell(h, "", STR("yy"));
	CHECK(a1 == 3 && a2 == 3 && b == 2);
	hub_leave(h, id[0]);
	hub_leave(h, id[0]); /* unknown: nothing */
	hub_tell(h, "anna", STR("x"));
	CHECK(a1 == 3 && a2 == 4);
}

TEST(a_person_has_at_most_64_streams)
{
	AUTO(chat_hub) struct chat_hub *h = NULL;
	atomic_int n = 0;
	uint64_t id;
	CHECK_OK(chat_hub_new(&h));
	for (int i = 0; i < HUB_STREAMS_A_PERSON; i++)
		CHECK_OK(hub_join(h, "anna", count, &n, &id));
	CHECK_ERR(hub_join(h, "anna", count, &n, &id), ERR_LIMIT);
	CHECK_OK(hub_join(h, "bert", count, &n, &id));
	hub_tell(h, "anna", STR("x"));
	CHECK_EQ_INT(n, HUB_STREAMS_A_PERSON);
}

struct storm {
	struct chat_hub *h;
	atomic_bool stop;
};

static void *tell_all(void *arg)
{
	struct storm *s = arg;
	while (!s->stop)
		hub_tell(s->h, "anna", STR("x"));
	return NULL;
}

static void must_be_joined(struct str event, void *arg)
{
	if (!atomic_load((atomic_bool *)arg))
		FAIL("an event came after hub_leave()");
}

TEST(nothing_comes_after_leaving)
{
	AUTO(chat_hub) struct chat_hub *h = NULL;
	CHECK_OK(chat_hub_new(&h));
	struct storm s = { h, false };
	pthread_t t;
	CHECK_OK(thread_start("storm", 65536, tell_all, &s, &t));
	for (int i = 0; i < 2000; i++) {
		atomic_bool joined = true;
		uint64_t id;
		CHECK_OK(hub_join(h, "anna", must_be_joined, &joined, &id));
		hub_leave(h, id);
		joined = false;
	}
	s.stop = true;
	pthread_join(t, NULL);
}

TEST(joining_survives_every_allocation_that_fails)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n) {
		AUTO(chat_hub) struct chat_hub *h = NULL;
		atomic_int got = 0;
		uint64_t id;
		enum err e = chat_hub_new(&h);
		if (!e)
			e = hub_join(h, "anna", count, &got, &id);
		CHECK(e == OK || (e == ERR_NOMEM && fault_fired(FAULT_ALLOC)));
		if (h)
			hub_tell(h, "anna", STR("x"));
		CHECK_EQ_INT(got, e == OK);
	}
}
