#include "vault/audit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"
#include "tests/test.h"

/* A keeper that is played: takes ASK_AUDIT, keeps the events, answers. */
struct keeper {
	struct ipc *c;
	pthread_t thread;
	enum err answer;
	unsigned delay_us;
	atomic_uint asks, events;
	struct buf last; /* the last event */
};

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	for (;;) {
		AUTO_IPC_IN struct ipc_in in = { .type = 0 };
		struct ipc_out out;
		enum err e = ipc_recv_wait(k->c, -1, &in);
		if (e)
			return NULL;
		CHECK_EQ_INT(in.type, ASK_AUDIT);
		uint64_t n = ipc_get_u64(&in), first = atomic_load(&k->events) + 1;
		for (uint64_t i = 0; i < n; i++) {
			buf_clear(&k->last);
			CHECK_OK(buf_add(&k->last, ipc_get_str(&in)));
		}
		CHECK_OK(ipc_end(&in));
		if (k->delay_us)
			(void)usleep(k->delay_us);
		atomic_fetch_add(&k->asks, 1);
		atomic_fetch_add(&k->events, (unsigned)n);
		ipc_out_init(&out, ANSWER, in.id);
		answer_put(&out, k->answer, STR(""));
		if (!k->answer)
			ipc_put_u64(&out, first);
		CHECK_OK(ipc_send(k->c, &out));
		ipc_out_done(&out);
	}
}

struct scene {
	struct keeper k;
	struct keeper_link *link;
	struct audit *audit;
};

static void scene_open(struct scene *s)
{
	int fds[2];
	struct ipc *c = NULL;
	memset(s, 0, sizeof *s);
	s->k.last = BUF(LIMIT_AUDIT_EVENT);
	CHECK_OK(ipc_pair(fds));
	CHECK_OK(ipc_new(fds[0], &c));
	CHECK_OK(ipc_new(fds[1], &s->k.c));
	CHECK_OK(keeper_link_new(c, &s->link));
	CHECK_OK(audit_new(s->link, &s->audit));
	CHECK(pthread_create(&s->k.thread, NULL, keeper_main, &s->k) == 0);
}

static void scene_close(struct scene *s)
{
	(void)audit_free(s->audit);
	(void)keeper_link_free(s->link);
	CHECK(pthread_join(s->k.thread, NULL) == 0);
	(void)ipc_free(s->k.c);
	buf_done(&s->k.last);
}

TEST(an_event_says_who_did_what_without_names)
{
	struct scene s;
	struct subject who = { .role = PERSON_ADMIN, .person = "01hzzzzzzzzzzzzzzzzzzzzzzz",
			       .name = "Erika", .by_key = true };
	struct audit_event e = { .who = &who, .action = "model.pull", .object = STR("smollm2"),
				 .outcome = "begun", .address = STR("192.0.2.1"),
				 .request_id = STR("r1"), .note = STR("92000000") };
	scene_open(&s);
	CHECK_OK(audit_write(s.audit, &e));
	CHECK_EQ_STR(buf_str(&s.k.last), STR(
		"{\"actor\":\"01hzzzzzzzzzzzzzzzzzzzzzzz\",\"role\":\"admin\",\"key\":true,"
		"\"action\":\"model.pull\",\"object\":\"smollm2\",\"outcome\":\"begun\","
		"\"address\":\"192.0.2.1\",\"request\":\"r1\",\"note\":\"92000000\"}"));
	struct subject local = { .role = PERSON_LOCAL };
	e = (struct audit_event){ .who = &local, .action = "owner.link", .outcome = "ok" };
	CHECK_OK(audit_write(s.audit, &e));
	CHECK_EQ_STR(buf_str(&s.k.last), STR("{\"actor\":\"local\",\"role\":\"local\","
					     "\"action\":\"owner.link\",\"outcome\":\"ok\"}"));
	e.who = NULL;
	CHECK_OK(audit_write(s.audit, &e));
	CHECK_EQ_STR(buf_str(&s.k.last), STR("{\"actor\":\"\",\"role\":\"none\","
					     "\"action\":\"owner.link\",\"outcome\":\"ok\"}"));
	scene_close(&s);
}

TEST(long_and_odd_values_still_make_a_record)
{
	static char huge[20000];
	struct scene s;
	struct err_info info = { .code = OK };
	AUTO_JSON json_t *v = NULL;
	memset(huge, '\n', sizeof huge); /* two bytes each in JSON */
	struct str big = { huge, sizeof huge };
	struct audit_event e = { .action = "a", .outcome = "ok", .object = big, .address = big,
				 .request_id = STR("\xff\xfe"), .note = big };
	scene_open(&s);
	CHECK_OK(audit_write(s.audit, &e));
	CHECK_OK(json_read(buf_str(&s.k.last), LIMIT_AUDIT_EVENT, 4, &v, &info));
	scene_close(&s);
}

TEST(what_the_keeper_refuses_did_not_happen)
{
	struct scene s;
	struct audit_event e = { .action = "login", .outcome = "ok" };
	scene_open(&s);
	s.k.answer = ERR_NOSPACE;
	CHECK_ERR(audit_write(s.audit, &e), ERR_NOSPACE);
	s.k.answer = OK;
	CHECK_OK(audit_write(s.audit, &e));
	scene_close(&s);
}

enum { THREADS = 32, EACH = 50 };

static void *many(void *arg)
{
	struct audit_event e = { .action = "login", .outcome = "ok" };
	for (int i = 0; i < EACH; i++)
		CHECK_OK(audit_write(arg, &e));
	return NULL;
}

TEST(callers_at_the_same_time_share_a_message)
{
	struct scene s;
	pthread_t t[THREADS];
	scene_open(&s);
	s.k.delay_us = 500; /* an fsync */
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, many, s.audit) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK_EQ_INT(atomic_load(&s.k.events), THREADS * EACH);
	if (atomic_load(&s.k.asks) > THREADS * EACH / 4)
		FAIL("%u messages for %d events", atomic_load(&s.k.asks), THREADS * EACH);
	scene_close(&s);
}

static void *many_large(void *arg)
{
	static const char text[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct audit_event e = { .action = "login", .outcome = "ok", .object = str_from(text),
				 .address = str_from(text), .note = str_from(text),
				 .request_id = str_from(text) };
	for (int i = 0; i < EACH; i++)
		CHECK_OK(audit_write(arg, &e));
	return NULL;
}

TEST(large_events_fill_a_message_and_the_rest_waits)
{
	enum { MANY = 80 };
	struct scene s;
	pthread_t t[MANY];
	scene_open(&s);
	s.k.delay_us = 1000;
	for (int i = 0; i < MANY; i++)
		CHECK(pthread_create(&t[i], NULL, many_large, s.audit) == 0);
	for (int i = 0; i < MANY; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK_EQ_INT(atomic_load(&s.k.events), MANY * EACH);
	scene_close(&s);
}

TEST(memory_that_runs_out_is_an_error_and_nothing_hangs)
{
	struct scene s;
	struct audit_event e = { .action = "login", .outcome = "ok" };
	scene_open(&s);
	for (unsigned n = 1; n <= 3; n++) { /* the event, the batch, its text */
		fault_arm(FAULT_ALLOC, n);
		CHECK_ERR(audit_write(s.audit, &e), ERR_NOMEM);
		fault_arm(FAULT_ALLOC, 0);
	}
	CHECK_EQ_INT(atomic_load(&s.k.events), 0);
	CHECK_OK(audit_write(s.audit, &e));
	scene_close(&s);
}
