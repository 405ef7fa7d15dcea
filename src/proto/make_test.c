#include "proto/make.h"

#include "tests/test.h"

struct ends {
	struct ipc *job, *server;
};

static void ends_open(struct ends *e)
{
	int pair[2];
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &e->job));
	CHECK_OK(ipc_new(pair[1], &e->server));
}

static void ends_close(struct ends *e)
{
	(void)ipc_free(e->job);
	(void)ipc_free(e->server);
}

TEST(a_job_tells_how_far_it_is_and_how_it_ended)
{
	struct ends e;
	struct make_event v;
	struct err_info info = { 0 };
	ends_open(&e);
	CHECK_ERR(make_wait(e.server, 1, &v, &info), ERR_TIMEOUT);
	CHECK_OK(make_progress(e.job, 3, 9));
	CHECK_EQ_INT(make_end(e.job, OK, NULL), 0);
	CHECK_OK(make_wait(e.server, 1000, &v, &info));
	CHECK(!v.ended && v.done == 3 && v.all == 9);
	CHECK_OK(make_wait(e.server, 1000, &v, &info));
	CHECK(v.ended);
	CHECK_EQ_INT(make_end(e.job, ERR_MODEL_BAD, "it is wrong"), 1);
	CHECK_ERR(make_wait(e.server, 1000, &v, &info), ERR_MODEL_BAD);
	CHECK_EQ_Z(info.detail, "it is wrong");
	CHECK_EQ_INT(make_end(e.job, ERR_NOMEM, NULL), 1);
	CHECK_ERR(make_wait(e.server, 1000, &v, &info), ERR_NOMEM);
	CHECK(info.detail[0]); /* never without a reason */
	e.job = ipc_free(e.job);
	CHECK_ERR(make_wait(e.server, 1000, &v, &info), ERR_CLOSED);
	CHECK_ERR(make_progress(e.server, 1, 2), ERR_CLOSED);
	ends_close(&e);
}

static enum err hear(struct ends *e, struct ipc_out *m)
{
	struct make_event v;
	struct err_info info = { 0 };
	CHECK_OK(ipc_send(e->job, m));
	ipc_out_done(m);
	return make_wait(e->server, 1000, &v, &info);
}

TEST(what_a_broken_job_says_is_not_believed)
{
	static const char *const reasons[] = { "two\nlines", "\xff", "\x1b[31m" };
	char long_one[MAKE_WHY_MAX + 2];
	struct ends e;
	struct ipc_out m;
	ends_open(&e);
	ipc_out_init(&m, MAKE_PROGRESS, 0);
	ipc_put_u64(&m, 2);
	ipc_put_u64(&m, 1);
	CHECK_ERR(hear(&e, &m), ERR_PROTOCOL);
	ipc_out_init(&m, MAKE_DONE + 7, 0);
	CHECK_ERR(hear(&e, &m), ERR_PROTOCOL);
	ipc_out_init(&m, MAKE_DONE, 0);
	ipc_put_u64(&m, 1); /* too much */
	CHECK_ERR(hear(&e, &m), ERR_PROTOCOL);
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		ipc_out_init(&m, MAKE_REFUSED, 0);
		ipc_put_u64(&m, ERR_MODEL_BAD);
		ipc_put_str(&m, str_from(reasons[i]));
		CHECK_ERR(hear(&e, &m), ERR_PROTOCOL);
	}
	memset(long_one, 'x', sizeof long_one);
	long_one[sizeof long_one - 1] = '\0';
	ipc_out_init(&m, MAKE_REFUSED, 0);
	ipc_put_u64(&m, ERR_MODEL_BAD);
	ipc_put_str(&m, str_from(long_one));
	CHECK_ERR(hear(&e, &m), ERR_PROTOCOL);
	for (uint64_t code = 0; code <= ERR_COUNT_; code += ERR_COUNT_) { /* no errors */
		ipc_out_init(&m, MAKE_REFUSED, 0);
		ipc_put_u64(&m, code);
		ipc_put_str(&m, STR("why"));
		CHECK_ERR(hear(&e, &m), ERR_PROTOCOL);
	}
	ends_close(&e);
}
