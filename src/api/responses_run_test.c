/* Responses that are made in the background, and what ends them. */
#include <stdio.h>
#include <time.h>

#include "api/test_responses.h"
#include "chat/responses.h"

static json_t *wait_status(struct world *w, const char *path, const char *status)
{
	for (int i = 0; i < 500; i++) {
		CHECK_EQ_INT(ask(w, "GET", path, NULL), 200);
		json_t *r = reply(w);
		if (strcmp(text(r, "status"), status) == 0)
			return r;
		json_decref(r);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	FAIL("never %s", status);
}

TEST(an_answer_in_the_background_goes_on_alone)
{
	struct world w;
	char path[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("hi") ",\"background\":true}");
	CHECK_EQ_Z(text(r, "status"), "in_progress");
	CHECK_EQ_INT(json_array_size(json_object_get(r, "output")), 0);
	CHECK(json_is_null(json_object_get(r, "usage")));
	path_of(r, "", path);
	AUTO_JSON json_t *done = wait_status(&w, path, "completed");
	CHECK_EQ_Z(text(part(done, 0), "text"), "Hello");
	path_of(r, "/cancel", path);
	CHECK_EQ_INT(ask(&w, "POST", path, "{}"), 200); /* as it is */
	CHECK(has(&w, "\"status\":\"completed\""));
	AUTO_JSON json_t *bad = post(&w, ASK("FAIL") ",\"background\":true}");
	path_of(bad, "", path);
	AUTO_JSON json_t *failed = wait_status(&w, path, "failed");
	CHECK_EQ_Z(text(json_object_get(failed, "error"), "code"), "server_error");
	CHECK_EQ_Z(text(part(failed, 0), "text"), "Hel");
	close_world(&w);
}

TEST(an_answer_in_the_background_is_cancelled)
{
	struct world w;
	char path[128], cancel[128], body[512];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("SLOW") ",\"background\":true}");
	path_of(r, "", path);
	path_of(r, "/cancel", cancel);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(has(&w, "\"status\":\"in_progress\""));
	snprintf(body, sizeof body, ASK("hi") ",\"previous_response_id\":\"%s\"}", text(r, "id"));
	CHECK_EQ_INT(ask(&w, "POST", PATH, body), 409);
	CHECK_EQ_INT(ask(&w, "POST", cancel, "{}"), 200);
	CHECK(has(&w, "\"status\":\"cancelled\""));
	CHECK_EQ_INT(ask(&w, "POST", cancel, "{}"), 200);
	CHECK(has(&w, "\"status\":\"cancelled\""));
	AUTO_JSON json_t *front = post(&w, ASK("hi") "}");
	path_of(front, "/cancel", cancel);
	CHECK_EQ_INT(ask(&w, "POST", cancel, "{}"), 400);
	CHECK(has(&w, "Cannot cancel a synchronous response."));
	close_world(&w);
}

TEST(deleting_what_runs_ends_it)
{
	struct world w;
	char path[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("SLOW") ",\"background\":true}");
	path_of(r, "", path);
	CHECK_EQ_INT(ask(&w, "DELETE", path, NULL), 200);
	CHECK_EQ_INT(fakes.cancelled, 1);
	for (int i = 0; i < 200 && fakes.ended < 1; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 404);
	close_world(&w);
}

TEST(the_end_of_the_server_ends_the_background)
{
	struct world w;
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("SLOW") ",\"background\":true}");
	CHECK_EQ_Z(text(r, "status"), "in_progress");
	w.t.app.http = http_stop(w.t.app.http, 1000);
	w.t.app.responses = responses_free(w.t.app.responses);
	CHECK_EQ_INT(fakes.cancelled, 1);
	CHECK_OK(responses_new(w.t.app.db, NULL, &w.t.app.responses));
	CHECK_OK(responses_recover(w.t.app.responses));
	buf_clear(&w.out);
	CHECK_OK(response_body(
		w.t.app.responses, str_sub(str_from(text(r, "id")), 5, SIZE_MAX), &w.out));
	CHECK(has(&w, "\"status\":\"failed\"") && has(&w, "\"code\":\"server_error\""));
	close_world(&w);
}

TEST(a_background_stream_survives_its_reader)
{
	struct world w;
	char request[512], path[128];
	AUTO_BUF struct buf got = BUF(65536);
	char piece[4096];
	open_world(&w);
	const char *body = ASK("SLOW") ",\"background\":true,\"stream\":true}";
	snprintf(request, sizeof request,
		"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		w.t.key, strlen(body), body);
	int fd = test_connect(&w.t);
	send_z(fd, request);
	size_t at = SIZE_MAX;
	while (str_find(buf_str(&got), STR("output_text.delta"), 0) == SIZE_MAX) {
		ssize_t n = read(fd, piece, sizeof piece);
		CHECK(n > 0);
		CHECK_OK(buf_add(&got, (struct str){ piece, (size_t)n }));
	}
	close(fd);
	at = str_find(buf_str(&got), STR("\"id\":\"resp_"), 0);
	CHECK(at != SIZE_MAX);
	snprintf(path, sizeof path, PATH "/%.*s",
		STR_ARG(str_sub(buf_str(&got), at + 6, 5 + ID_LEN)));
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(has(&w, "\"status\":\"in_progress\""));
	CHECK_EQ_INT(fakes.cancelled, 0);
	char cancel[160];
	snprintf(cancel, sizeof cancel, "%s/cancel", path);
	CHECK_EQ_INT(ask(&w, "POST", cancel, "{}"), 200);
	CHECK(has(&w, "\"status\":\"cancelled\""));
	close_world(&w);
}

TEST(a_person_takes_their_responses_along)
{
	struct world w;
	char path[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("SLOW") ",\"background\":true}");
	path_of(r, "", path);
	CHECK_OK(responses_forget_person(w.t.app.responses, w.t.person));
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 404);
	CHECK_EQ_INT(fakes.cancelled, 1);
	close_world(&w);
}
