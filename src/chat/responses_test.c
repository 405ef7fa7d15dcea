#include "chat/responses.h"

#include <stdio.h>
#include <time.h>

#include "base/json.h"
#include "base/time.h"
#include "chat/chat_test_fixture.h"
#include "tests/test.h"

#define BODY(output) \
	"{\"id\":\"x\",\"status\":\"in_progress\",\"error\":null,\"output\":" output "}"

struct made {
	struct fixture f;
	struct responses *r;
};

static void open_all(struct made *m)
{
	fixture_open(&m->f);
	CHECK_OK(responses_new(m->f.db, m->f.fleet, &m->r));
}

static void close_all(struct made *m)
{
	m->r = responses_free(m->r);
	fixture_close(&m->f);
}

struct link {
	const char *person, *previous, *root, *input, *output;
	bool running;
};

/* Adds one; ret_id has ID_LEN + 1 bytes. */
static enum err add(struct made *m, const struct link *l, char *ret_id)
{
	char body[4096];
	snprintf(body, sizeof body, BODY("%s"), l->output);
	id_new(ret_id);
	struct response_row row = { .id = str_from(ret_id),
		.person = str_from(l->person),
		.previous = str_from(l->previous),
		.root = str_from(l->root ? l->root : ret_id),
		.input = str_from(l->input),
		.body = str_from(body),
		.running = l->running };
	return response_add(m->r, &row);
}

static enum err chain(struct made *m, const char *person, const char *last, size_t max,
	struct buf *out, char *root)
{
	buf_clear(out);
	return response_chain(m->r, person, str_from(last), max, out, root);
}

TEST(statements_of_responses_fit_the_schema)
{
	struct made m;
	open_all(&m);
	CHECK_OK(db_prepare_check(m.f.db, responses_sql, responses_sql_count));
	close_all(&m);
}

TEST(a_chain_is_its_items_from_the_first_to_the_last)
{
	struct made m;
	AUTO_BUF struct buf out = BUF(65536);
	char a[ID_LEN + 1], b[ID_LEN + 1], c[ID_LEN + 1], root[ID_LEN + 1];
	open_all(&m);
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1,2]", "[\"\xc3\xbc\"]", false }, a));
	CHECK_OK(add(&m, &(struct link){ ANNA, a, a, "[3]", "[]", false }, b));
	CHECK_OK(add(&m, &(struct link){ ANNA, b, a, "[]", "[{\"z\":4}]", false }, c));
	CHECK_OK(chain(&m, ANNA, c, 65536, &out, root));
	CHECK_EQ_STR(buf_str(&out), STR("[1,2,\"\xc3\xbc\",3,{\"z\":4}]"));
	CHECK_EQ_Z(root, a);
	CHECK_OK(chain(&m, ANNA, a, 65536, &out, root));
	CHECK_EQ_STR(buf_str(&out), STR("[1,2,\"\xc3\xbc\"]"));
	close_all(&m);
}

TEST(a_chain_ends_where_somebody_else_deletion_or_the_limit_stands)
{
	struct made m;
	AUTO_BUF struct buf out = BUF(65536);
	char a[ID_LEN + 1], b[ID_LEN + 1], other[ID_LEN + 1], run[ID_LEN + 1], root[ID_LEN + 1];
	open_all(&m);
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1]", "[2]", false }, a));
	CHECK_OK(add(&m, &(struct link){ ANNA, a, a, "[3]", "[4]", false }, b));
	CHECK_OK(add(&m, &(struct link){ BERT, b, a, "[5]", "[6]", false }, other));
	CHECK_OK(add(&m, &(struct link){ ANNA, b, a, "[5]", "[]", true }, run));
	CHECK_ERR(chain(&m, BERT, b, 65536, &out, root), ERR_NOT_FOUND);
	CHECK_ERR(chain(&m, ANNA, other, 65536, &out, root), ERR_NOT_FOUND);
	CHECK_ERR(chain(&m, BERT, other, 65536, &out, root), ERR_GONE);
	CHECK_ERR(chain(&m, ANNA, "01aaaaaaaaaaaaaaaaaaaaaaaa", 65536, &out, root), ERR_NOT_FOUND);
	CHECK_ERR(chain(&m, ANNA, run, 65536, &out, root), ERR_CONFLICT);
	CHECK_ERR(chain(&m, ANNA, b, 11, &out, root), ERR_TOO_LARGE);
	CHECK_OK(chain(&m, ANNA, b, 12, &out, root)); /* [1] [2] [3] [4] */
	CHECK_OK(response_delete(m.r, str_from(a)));
	CHECK_ERR(chain(&m, ANNA, b, 65536, &out, root), ERR_GONE);
	CHECK_ERR(response_delete(m.r, str_from(a)), ERR_NOT_FOUND);
	close_all(&m);
}

TEST(deleting_one_purges_what_was_read_for_its_chain)
{
	struct made m;
	struct engine_purge seen[8];
	char a[ID_LEN + 1], b[ID_LEN + 1], owner[ID_LEN + 1];
	open_all(&m);
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1]", "[2]", false }, a));
	CHECK_OK(add(&m, &(struct link){ ANNA, a, a, "[3]", "[4]", false }, b));
	CHECK_OK(response_delete(m.r, str_from(b)));
	CHECK_EQ_INT(fake_purges(m.f.fleet, seen, 8), 2);
	for (int i = 0; i < 2; i++) {
		CHECK(seen[i].person == gen_number(STR(ANNA)));
		CHECK(seen[i].object == gen_number(str_from(a)));
	}
	CHECK_OK(response_owner(m.r, str_from(a), owner));
	CHECK_EQ_Z(owner, ANNA);
	close_all(&m);
}

TEST(nobody_keeps_an_answer_of_a_person_that_is_gone)
{
	struct made m;
	char a[ID_LEN + 1], owner[ID_LEN + 1];
	open_all(&m);
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1]", "[2]", false }, a));
	CHECK_OK(responses_forget_person(m.r, ANNA));
	CHECK_ERR(response_owner(m.r, str_from(a), owner), ERR_NOT_FOUND);
	CHECK_ERR(add(&m, &(struct link){ "01nobody", NULL, NULL, "[]", "[]", false }, a),
		ERR_CONFLICT);
	close_all(&m);
}

TEST(what_a_stop_left_has_failed)
{
	struct made m;
	AUTO_BUF struct buf out = BUF(65536);
	AUTO_JSON json_t *doc = NULL;
	char a[ID_LEN + 1], b[ID_LEN + 1], root[ID_LEN + 1];
	open_all(&m);
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1]", "[]", true }, a));
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1]", "[2]", false }, b));
	CHECK_OK(responses_recover(m.r));
	CHECK_OK(response_body(m.r, str_from(a), &out));
	CHECK_OK(json_read(buf_str(&out), out.len, 8, &doc, NULL));
	CHECK_EQ_Z(jstr(doc, "status"), "failed");
	CHECK_EQ_Z(jstr(json_object_get(doc, "error"), "code"), "server_error");
	CHECK_ERR(response_end(m.r, str_from(a), STR("{}")), ERR_NOT_FOUND);
	CHECK_OK(chain(&m, ANNA, a, 65536, &out, root));
	buf_clear(&out);
	CHECK_OK(response_body(m.r, str_from(b), &out));
	CHECK_EQ_STR(buf_str(&out), STR(BODY("[2]")));
	close_all(&m);
}

static int64_t days; /* that the clock is ahead */
static int64_t later(void)
{
	return 1800000000000 + days * 86400000;
}

TEST(a_chain_is_kept_for_thirty_days_after_its_last_answer)
{
	struct made m;
	struct engine_purge seen[8];
	char a[ID_LEN + 1], b[ID_LEN + 1], alone[ID_LEN + 1], owner[ID_LEN + 1];
	days = 0;
	time_set_source(later, NULL);
	open_all(&m);
	CHECK_OK(add(&m, &(struct link){ ANNA, NULL, NULL, "[1]", "[2]", false }, a));
	CHECK_OK(add(&m, &(struct link){ BERT, NULL, NULL, "[1]", "[2]", false }, alone));
	days = 29;
	CHECK_OK(add(&m, &(struct link){ ANNA, a, a, "[3]", "[4]", false }, b));
	CHECK_OK(responses_sweep(m.r));
	CHECK_OK(response_owner(m.r, str_from(alone), owner));
	days = 31;
	CHECK_OK(responses_sweep(m.r));
	CHECK_ERR(response_owner(m.r, str_from(alone), owner), ERR_NOT_FOUND);
	CHECK_EQ_INT(fake_purges(m.f.fleet, seen, 8), 1);
	CHECK(seen[0].object == gen_number(str_from(alone)));
	CHECK_OK(response_owner(m.r, str_from(a), owner));
	days = 60;
	CHECK_OK(responses_sweep(m.r));
	CHECK_ERR(response_owner(m.r, str_from(a), owner), ERR_NOT_FOUND);
	CHECK_ERR(response_owner(m.r, str_from(b), owner), ERR_NOT_FOUND);
	close_all(&m);
	time_set_source(NULL, NULL);
}

/* ---- runs ---- */

struct job {
	struct made *m;
	struct response_run run;
	_Atomic int ran;
	int nap_ms;
};

static void end_job(void *arg)
{
	struct job *j = arg;
	nanosleep(&(struct timespec){ .tv_nsec = j->nap_ms * 1000000L }, NULL);
	j->ran++;
	response_run_end(j->m->r, &j->run);
}

static void run_new(struct made *m, struct job *j, bool background)
{
	*j = (struct job){ .m = m, .nap_ms = 20 };
	id_new(j->run.id);
	memcpy(j->run.person, ANNA, sizeof ANNA);
	j->run.background = background;
	CHECK_OK(response_run_add(m->r, &j->run));
	response_run_started(m->r, &j->run, 0); /* the fleet has not named it yet */
}

TEST(a_cancel_waits_until_the_end_is_stored)
{
	struct made m;
	struct job j, front;
	open_all(&m);
	run_new(&m, &j, true);
	run_new(&m, &front, false);
	CHECK(!response_run_cancelled(m.r, &j.run));
	response_run_later(m.r, &j.run, end_job, &j);
	CHECK_OK(response_cancel(m.r, str_from(j.run.id)));
	CHECK_EQ_INT(j.ran, 1);
	CHECK_OK(response_cancel(m.r, str_from(j.run.id)));     /* it is over */
	CHECK_OK(response_cancel(m.r, str_from(front.run.id))); /* not such a one */
	CHECK(!response_run_cancelled(m.r, &front.run));
	response_run_end(m.r, &front.run);
	close_all(&m);
}

TEST(the_end_of_the_server_waits_for_what_is_being_stored)
{
	struct made m;
	struct job j[3];
	open_all(&m);
	for (int i = 0; i < 3; i++) {
		run_new(&m, &j[i], i == 0);
		response_run_later(m.r, &j[i].run, end_job, &j[i]);
	}
	m.r = responses_free(m.r);
	for (int i = 0; i < 3; i++)
		CHECK_EQ_INT(j[i].ran, 1);
	fixture_close(&m.f);
}
