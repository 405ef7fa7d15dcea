#include "engine/queue.h"

#include "base/fault.h"
#include "engine/draft.h"
#include "engine/fake.h"
#include "tests/test.h"

static struct request *waiting(uint64_t id, uint64_t person, unsigned class, size_t tokens)
{
	struct request *r = mem_zalloc(1, sizeof *r);
	CHECK(r && !tokens_reserve(&r->feed, tokens));
	r->feed.n = tokens;
	r->id = r->order = id;
	r->person = person;
	r->priority = (uint8_t)class;
	r->sampling.num_predict = 0;
	return r;
}

static uint64_t serve(struct queue_wait *q, int64_t now)
{
	struct request *r = queue_wait_next(q, now);
	CHECK(r && r == queue_wait_next(q, now)); /* the same until it is taken */
	uint64_t id = r->id;
	queue_wait_take(q, r);
	request_free(r);
	return id;
}

TEST(persons_take_turns_and_keep_their_own_order)
{
	AUTO(queue_wait) struct queue_wait *q = NULL;
	CHECK_OK(queue_wait_new(1000, &q));
	for (uint64_t i = 0; i < 20; i++)
		CHECK_OK(queue_wait_add(q, waiting(i, 1, 0, 500)));
	CHECK_OK(queue_wait_add(q, waiting(100, 2, 0, 500)));
	CHECK_OK(queue_wait_add(q, waiting(101, 2, 0, 500)));
	uint64_t last = 0;
	unsigned mine = 0, until = 0;
	for (unsigned k = 0; k < 22; k++) {
		uint64_t id = serve(q, 0);
		if (id >= 100) {
			mine++;
			until = k;
			continue;
		}
		CHECK(!id || id == last + 1);
		last = id;
	}
	CHECK(mine == 2 && until <= 4);
	CHECK_EQ_INT(queue_wait_n(q), 0);
	CHECK(!queue_wait_next(q, 0));
}

TEST(turns_are_by_tokens_not_by_requests)
{
	/* Shreedhar and Varghese: over time everybody gets the same number of tokens. */
	AUTO(queue_wait) struct queue_wait *q = NULL;
	CHECK_OK(queue_wait_new(1000, &q));
	for (uint64_t i = 0; i < 40; i++)
		CHECK_OK(queue_wait_add(q, waiting(i, 1, 0, 4000)));
	for (uint64_t i = 100; i < 500; i++)
		CHECK_OK(queue_wait_add(q, waiting(i, 2, 0, 400)));
	int64_t used[2] = { 0, 0 };
	while (used[0] < 80000) {
		uint64_t id = serve(q, 0);
		used[id >= 100] += id >= 100 ? 400 : 4000;
		int64_t apart = used[0] - used[1];
		CHECK(apart <= 4000 + 512 && apart >= -4000 - 512);
	}
}

TEST(classes_go_in_order_and_age_lifts)
{
	AUTO(queue_wait) struct queue_wait *q = NULL;
	CHECK_OK(queue_wait_new(1000, &q));
	struct request *batch = waiting(1, 1, 2, 10), *chat = waiting(2, 2, 0, 10);
	chat->added_ns = 1500;
	CHECK_OK(queue_wait_add(q, batch));
	CHECK_OK(queue_wait_add(q, waiting(3, 3, 1, 10)));
	CHECK_OK(queue_wait_add(q, chat));
	CHECK_EQ_INT(queue_wait_class(q, batch, 0), 2);
	CHECK_EQ_INT(queue_wait_class(q, batch, 1000), 1);
	CHECK_EQ_INT(queue_wait_class(q, batch, 5000), 0);
	CHECK_EQ_INT(serve(q, 500), 2);
	CHECK_EQ_INT(serve(q, 500), 3);
	CHECK_EQ_INT(serve(q, 500), 1);
}

TEST(no_failed_allocation_loses_a_waiting_request)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct queue_wait *q = NULL;
		if (queue_wait_new(1000, &q))
			continue;
		struct request *r = mem_zalloc(1, sizeof *r);
		if (r && queue_wait_add(q, r))
			request_free(r);
		queue_wait_free(q);
	}
}

TEST(a_draft_is_what_followed_before)
{
	AUTO_TOKENS struct tokens t = { 0 };
	int32_t got[8];
	const int32_t v[] = { 1, 2, 3, 4, 5, 6, 9, 1, 2, 3 };
	CHECK_OK(tokens_add(&t, v, 6));
	CHECK_EQ_INT(draft_lookup(&t, got, 8), 0);
	CHECK_OK(tokens_add(&t, v + 6, 4));
	CHECK_EQ_INT(draft_lookup(&t, got, 4), 4);
	CHECK(got[0] == 4 && got[1] == 5 && got[2] == 6 && got[3] == 9);
	CHECK_EQ_INT(draft_lookup(&t, got, 1), 1);
	t.n = 2;
	CHECK_EQ_INT(draft_lookup(&t, got, 8), 0);
}
