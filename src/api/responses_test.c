/* OpenAI's Responses: events, whole answers, what is kept, errors that name their field. What is
 * expected is from OpenAI's API reference and the types of its Python client. */
#include <stdio.h>

#include "api/test_responses.h"

void open_world(struct world *w)
{
	test_app_start(&w->t);
	w->out = BUF(1 << 22);
}

void close_world(struct world *w)
{
	test_app_stop(&w->t);
	buf_done(&w->out);
}

int ask(struct world *w, const char *method, const char *path, const char *body)
{
	buf_clear(&w->out);
	return call_api(&w->t, method, path, body, NULL, &w->out);
}

json_t *reply(struct world *w)
{
	json_t *doc = NULL;
	struct err_info info = { .code = OK };
	if (json_read(buf_str(&w->out), w->out.len, 32, &doc, &info))
		FAIL("%s: %.*s", info.detail, STR_ARG(buf_str(&w->out)));
	return doc;
}

json_t *post(struct world *w, const char *body)
{
	int status = ask(w, "POST", PATH, body);
	if (status != 200)
		FAIL("%s: %d %.*s", body, status, STR_ARG(buf_str(&w->out)));
	return reply(w);
}

const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "(none)";
}

const json_t *item(const json_t *response, size_t i)
{
	return json_array_get(json_object_get(response, "output"), i);
}

const json_t *part(const json_t *response, size_t i)
{
	return json_array_get(json_object_get(item(response, i), "content"), 0);
}

bool has(struct world *w, const char *what)
{
	return str_find(buf_str(&w->out), str_from(what), 0) != SIZE_MAX;
}

void path_of(const json_t *response, const char *more, char dst[128])
{
	snprintf(dst, 128, PATH "/%s%s", text(response, "id"), more);
}

/* ---- whole ---- */

TEST(a_response_has_every_field_of_the_object)
{
	static const char *const fields[] = { "id", "object", "created_at", "status", "background",
		"completed_at", "error", "incomplete_details", "instructions", "max_output_tokens",
		"metadata", "model", "output", "parallel_tool_calls", "previous_response_id",
		"reasoning", "service_tier", "store", "temperature", "text", "tool_choice", "tools",
		"top_logprobs", "top_p", "truncation", "usage", "user" };
	struct world w;
	open_world(&w);
	AUTO_JSON json_t *r =
		post(&w, ASK("hi") ",\"temperature\":0.25,\"metadata\":{\"a\":\"b\"}}");
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (!json_object_get(r, fields[i]))
			FAIL("no %s", fields[i]);
	CHECK(str_starts(str_from(text(r, "id")), STR("resp_")));
	CHECK_EQ_Z(text(r, "object"), "response");
	CHECK_EQ_Z(text(r, "status"), "completed");
	CHECK_EQ_Z(text(json_object_get(r, "metadata"), "a"), "b");
	CHECK(json_real_value(json_object_get(r, "temperature")) == 0.25);
	CHECK_EQ_INT(json_array_size(json_object_get(r, "output")), 1);
	CHECK(str_starts(str_from(text(item(r, 0), "id")), STR("msg_")));
	CHECK_EQ_Z(text(item(r, 0), "type"), "message");
	CHECK_EQ_Z(text(item(r, 0), "role"), "assistant");
	CHECK_EQ_Z(text(item(r, 0), "status"), "completed");
	CHECK_EQ_Z(text(part(r, 0), "type"), "output_text");
	CHECK_EQ_Z(text(part(r, 0), "text"), "Hello");
	CHECK(json_is_array(json_object_get(part(r, 0), "annotations")));
	CHECK(has(&w, "\"usage\":{\"input_tokens\":26,\"input_tokens_details\":"
		      "{\"cached_tokens\":4,\"cache_write_tokens\":0},"
		      "\"output_tokens\":2,\"output_tokens_details\":"
		      "{\"reasoning_tokens\":0},\"total_tokens\":28}"));
	close_world(&w);
}

TEST(reasoning_and_calls_are_items_of_their_own)
{
	struct world w;
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("THINK CALLS") "}");
	CHECK_EQ_INT(json_array_size(json_object_get(r, "output")), 4);
	CHECK_EQ_Z(text(item(r, 0), "type"), "reasoning");
	CHECK(str_starts(str_from(text(item(r, 0), "id")), STR("rs_")));
	CHECK_EQ_Z(text(part(r, 0), "type"), "reasoning_text");
	CHECK_EQ_Z(text(part(r, 0), "text"), "hmm");
	CHECK(json_is_array(json_object_get(item(r, 0), "summary")));
	CHECK_EQ_Z(text(part(r, 1), "text"), "Hello");
	CHECK_EQ_Z(text(item(r, 2), "type"), "function_call");
	CHECK(str_starts(str_from(text(item(r, 2), "id")), STR("fc_")));
	CHECK_EQ_Z(text(item(r, 2), "call_id"), "call_1");
	CHECK_EQ_Z(text(item(r, 2), "name"), "f");
	CHECK_EQ_Z(text(item(r, 2), "arguments"), "{\"a\":\"\xc3\xbc\"}");
	CHECK_EQ_Z(text(item(r, 3), "call_id"), "call_2");
	CHECK(has(&w, "\"warnings\":[\"first\",\"second\"]"));
	close_world(&w);
}

TEST(a_cut_answer_is_incomplete)
{
	struct world w;
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("LENGTH") ",\"max_output_tokens\":2}");
	CHECK_EQ_Z(text(r, "status"), "incomplete");
	CHECK_EQ_Z(text(json_object_get(r, "incomplete_details"), "reason"), "max_output_tokens");
	CHECK_EQ_Z(text(item(r, 0), "status"), "incomplete");
	CHECK_EQ_INT(fakes.last.sampling.num_predict, 2);
	close_world(&w);
}

TEST(log_probabilities_come_when_they_are_included)
{
	struct world w;
	open_world(&w);
	AUTO_JSON json_t *r = post(&w,
		ASK("PROBS") ",\"include\":[\"message.output_text.logprobs\"],\"top_logprobs\":1}");
	const json_t *list = json_object_get(part(r, 0), "logprobs");
	CHECK(fakes.last.logprobs && fakes.last.top_logprobs == 1);
	CHECK_EQ_INT(json_array_size(list), 1);
	CHECK_EQ_Z(text(json_array_get(list, 0), "token"), "!");
	json_decref(post(&w, ASK("hi") ",\"top_logprobs\":1}"));
	CHECK(!fakes.last.logprobs && has(&w, "\\\"top_logprobs\\\" has no effect without"));
	close_world(&w);
}

/* ---- streams ---- */

/* The types of a stream's events, a line each, and that they are numbered from 0. */
static void types_of(struct world *w, struct buf *types)
{
	struct str rest = buf_str(&w->out), line;
	int64_t n = 0;
	while (rest.len && str_next(&rest, '\n', &line)) {
		AUTO_JSON json_t *doc = NULL;
		if (!str_starts(line, STR("data: ")))
			continue;
		CHECK_OK(json_read(str_sub(line, 6, SIZE_MAX), line.len, 32, &doc, NULL));
		CHECK_EQ_INT(json_integer_value(json_object_get(doc, "sequence_number")), n++);
		CHECK_OK(buf_addf(types, "%s\n", text(doc, "type")));
	}
}

static void trace(struct world *w, const char *request, const char *want)
{
	AUTO_BUF struct buf types = BUF(65536);
	CHECK_EQ_INT(ask(w, "POST", PATH, request), 200);
	types_of(w, &types);
	CHECK_EQ_STR(buf_str(&types), str_from(want));
}

#define BEGIN "response.created\nresponse.in_progress\n"
#define OPEN "response.output_item.added\nresponse.content_part.added\n"
#define CLOSE "response.content_part.done\nresponse.output_item.done\n"
#define TEXT "response.output_text.delta\n"
#define TEXT_DONE "response.output_text.done\n"
#define CALL \
	"response.output_item.added\nresponse.function_call_arguments.delta\n" \
	"response.function_call_arguments.done\nresponse.output_item.done\n"

TEST(a_text_is_told_in_the_order_of_openai)
{
	struct world w;
	open_world(&w);
	trace(&w, ASK("hi") ",\"stream\":true}",
		BEGIN OPEN TEXT TEXT TEXT_DONE CLOSE "response.completed\n");
	trace(&w, ASK("hi") ",\"stream\":true,\"store\":false}",
		BEGIN OPEN TEXT TEXT TEXT_DONE CLOSE "response.completed\n");
	trace(&w, ASK("LENGTH") ",\"stream\":true}",
		BEGIN OPEN TEXT TEXT TEXT_DONE CLOSE "response.incomplete\n");
	close_world(&w);
}

TEST(reasoning_and_calls_are_told_one_after_the_other)
{
	struct world w;
	open_world(&w);
	trace(&w, ASK("THINK CALLS") ",\"stream\":true}",
		BEGIN OPEN
		"response.reasoning_text.delta\nresponse.reasoning_text.done\n" CLOSE OPEN
			TEXT TEXT TEXT_DONE CLOSE CALL CALL "response.completed\n");
	close_world(&w);
}

TEST(a_failure_in_the_middle_is_an_error_and_a_failed_response)
{
	struct world w;
	open_world(&w);
	trace(&w, ASK("FAIL") ",\"stream\":true}", BEGIN OPEN TEXT "error\nresponse.failed\n");
	trace(&w, ASK("FAIL") ",\"stream\":true,\"store\":false}",
		BEGIN OPEN TEXT "error\nresponse.failed\n");
	close_world(&w);
}

TEST(events_name_their_item_and_the_last_has_the_whole_response)
{
	struct world w;
	open_world(&w);
	CHECK_EQ_INT(ask(&w, "POST", PATH, ASK("PROBS") ",\"stream\":true,\"include\":["
					 "\"message.output_text.logprobs\"]}"),
		200);
	CHECK(has(&w, "event: response.created\ndata: {\"type\":\"response.created\","
		      "\"sequence_number\":0,\"response\":{\"id\":\"resp_"));
	CHECK(has(&w, "\"status\":\"in_progress\",\"background\":false,\"completed_at\":null"));
	CHECK(has(&w, "\"output_index\":0,\"item\":{\"id\":\"msg_"));
	CHECK(has(&w, "\"content_index\":0,\"delta\":\"Hel\",\"logprobs\":[]}"));
	CHECK(has(&w, "\"content_index\":0,\"delta\":\"!\",\"logprobs\":[{\"token\":\"!\""));
	CHECK(has(&w, "\"text\":\"Hello!\",\"annotations\":[],\"logprobs\":[{\"token\":\"!\""));
	size_t last = str_find(buf_str(&w.out), STR("event: response.completed\n"), 0);
	CHECK(last != SIZE_MAX && str_find(buf_str(&w.out), STR("\n\nevent: "), last) == SIZE_MAX);
	close_world(&w);
}

/* ---- what is kept ---- */

TEST(what_is_kept_is_read_again_and_deleted)
{
	struct world w;
	char path[128], items[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("hi") "}");
	AUTO_BUF struct buf first = BUF(1 << 20);
	CHECK_OK(buf_add(&first, buf_str(&w.out)));
	path_of(r, "", path);
	path_of(r, "/input_items", items);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK_EQ_STR(buf_str(&w.out), buf_str(&first));
	CHECK_EQ_INT(ask(&w, "GET", items, NULL), 200);
	CHECK(has(&w, "\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]"));
	CHECK_EQ_INT(fakes.purges, 0);
	CHECK_EQ_INT(ask(&w, "DELETE", path, NULL), 200);
	CHECK(has(&w, "\"object\":\"response\",\"deleted\":true}"));
	CHECK_EQ_INT(fakes.purges, 2);
	CHECK(fakes.purged.object == fakes.last.object && fakes.last.object != 0);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 404);
	CHECK_EQ_INT(ask(&w, "DELETE", path, NULL), 404);
	CHECK_EQ_INT(ask(&w, "GET", items, NULL), 404);
	close_world(&w);
}

TEST(store_false_leaves_nothing)
{
	struct world w;
	char path[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("hi") ",\"store\":false}");
	CHECK(json_is_false(json_object_get(r, "store")));
	path_of(r, "", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 404);
	CHECK(fakes.last.object == 0);
	CHECK_EQ_INT(ask(&w, "GET", PATH "/x", NULL), 404);
	close_world(&w);
}

TEST(a_failure_before_the_first_word_is_an_error_of_the_request)
{
	struct world w;
	open_world(&w);
	CHECK_EQ_INT(ask(&w, "POST", PATH, ASK("CONTEXT") "}"), 400);
	CHECK(has(&w, "\"param\":\"input\",\"code\":\"context_length_exceeded\""));
	CHECK_EQ_INT(ask(&w, "POST", PATH, ASK("CONTEXT") ",\"stream\":true}"), 400);
	CHECK_EQ_INT(ask(&w, "POST", PATH, ASK("BUSY") "}"), 429);
	CHECK_EQ_INT(ask(&w, "POST", PATH, ASK("BUSY") ",\"background\":true}"), 429);
	CHECK_EQ_INT(ask(&w, "POST", PATH, ASK("FAIL") "}"), 500);
	close_world(&w);
}

TEST(an_answer_goes_on_from_the_one_before)
{
	struct world w;
	char body[512];
	open_world(&w);
	AUTO_JSON json_t *one =
		post(&w, ASK("first") ",\"instructions\":\"Only now.\",\"metadata\":{}}");
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"system\",\"content\":\"Only now.\"},"
				"{\"role\":\"user\",\"content\":\"first\"}]");
	uint64_t object = fakes.last.object;
	snprintf(body, sizeof body, ASK("THINK CALLS") ",\"previous_response_id\":\"%s\"}",
		text(one, "id"));
	AUTO_JSON json_t *two = post(&w, body);
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"user\",\"content\":\"first\"},"
				"{\"role\":\"assistant\",\"content\":\"Hello\"},"
				"{\"role\":\"user\",\"content\":\"THINK CALLS\"}]");
	CHECK(fakes.last.object == object);
	snprintf(body, sizeof body,
		"{\"model\":\"tiny\",\"previous_response_id\":\"%s\",\"input\":["
		"{\"type\":\"function_call_output\",\"call_id\":\"call_1\",\"output\":\"5\"}]}",
		text(two, "id"));
	AUTO_JSON json_t *three = post(&w, body);
	CHECK_EQ_Z(text(three, "previous_response_id"), text(two, "id"));
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"user\",\"content\":\"first\"},"
		"{\"role\":\"assistant\",\"content\":\"Hello\"},"
		"{\"role\":\"user\",\"content\":\"THINK CALLS\"},"
		"{\"role\":\"assistant\",\"content\":\"Hello\",\"reasoning_content\":\"hmm\","
		"\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":"
		"{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\\\"\xc3\xbc\\\"}\"}},"
		"{\"id\":\"call_2\",\"type\":"
		"\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
		"{\"role\":\"tool\",\"content\":\"5\",\"name\":\"f\","
		"\"tool_call_id\":\"call_1\"}]");
	close_world(&w);
}

TEST(a_broken_chain_is_said)
{
	struct world w;
	char body[512], path[128];
	open_world(&w);
	AUTO_JSON json_t *one = post(&w, ASK("first") "}");
	snprintf(body, sizeof body, ASK("second") ",\"previous_response_id\":\"%s\"}",
		text(one, "id"));
	AUTO_JSON json_t *two = post(&w, body);
	path_of(one, "", path);
	CHECK_EQ_INT(ask(&w, "DELETE", path, NULL), 200);
	CHECK_EQ_INT(ask(&w, "POST", PATH, body), 400);
	CHECK(has(&w, "\"param\":\"previous_response_id\","
		      "\"code\":\"previous_response_not_found\""));
	snprintf(body, sizeof body, ASK("third") ",\"previous_response_id\":\"%s\"}",
		text(two, "id"));
	CHECK_EQ_INT(ask(&w, "POST", PATH, body), 400);
	CHECK(has(&w, "goes on from one that was deleted"));
	CHECK(has(&w, "\"code\":\"previous_response_not_found\""));
	close_world(&w);
}

TEST(input_items_come_in_pages_the_last_first)
{
	struct world w;
	char path[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w,
		"{\"model\":\"tiny\",\"input\":["
		"{\"role\":\"user\",\"content\":\"a\",\"id\":\"msg_a\"},"
		"{\"role\":\"assistant\",\"content\":\"b\",\"id\":\"msg_b\"},"
		"{\"role\":\"user\",\"content\":\"c\",\"id\":\"msg_c\"}]}");
	path_of(r, "/input_items?limit=2", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(has(&w, "\"first_id\":\"msg_c\",\"last_id\":\"msg_b\",\"has_more\":true"));
	path_of(r, "/input_items?limit=2&after=msg_b", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(has(&w, "\"first_id\":\"msg_a\",\"last_id\":\"msg_a\",\"has_more\":false"));
	path_of(r, "/input_items?order=asc&after=msg_b", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(has(&w, "\"first_id\":\"msg_c\",\"last_id\":\"msg_c\",\"has_more\":false"));
	path_of(r, "/input_items?after=msg_a", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(has(&w, "\"data\":[],\"first_id\":\"\",\"last_id\":\"\",\"has_more\":false"));
	static const char *const bad[] = { "?limit=0", "?limit=101", "?order=x", "?after=msg_z" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char query[64];
		snprintf(query, sizeof query, "/input_items%s", bad[i]);
		path_of(r, query, path);
		CHECK_EQ_INT(ask(&w, "GET", path, NULL), 400);
	}
	close_world(&w);
}

/* ---- what comes in ---- */

TEST(items_become_messages)
{
	struct world w;
	open_world(&w);
	json_decref(post(&w,
		"{\"model\":\"tiny\",\"input\":["
		"{\"role\":\"developer\",\"content\":\"Be brief.\"},"
		"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
		"\"text\":\"a\"},{\"type\":\"input_text\",\"text\":\"b\"}]},"
		"{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":\"summary_text\","
		"\"text\":\"s\"}]},"
		"{\"type\":\"message\",\"role\":\"assistant\",\"content\":["
		"{\"type\":\"output_text\",\"text\":\"c\"},"
		"{\"type\":\"refusal\",\"refusal\":\"d\"}]},"
		"{\"role\":\"assistant\",\"content\":\"e\"},"
		"{\"type\":\"function_call\",\"call_id\":\"k\",\"name\":\"f\",\"arguments\":\"\"},"
		"{\"type\":\"function_call_output\",\"call_id\":\"k\",\"output\":[{\"type\":"
		"\"input_text\",\"text\":\"5\"}]}]}"));
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"system\",\"content\":\"Be brief.\"},"
		"{\"role\":\"user\",\"content\":\"ab\"},"
		"{\"role\":\"assistant\",\"content\":\"cd\",\"reasoning_content\":\"s\"},"
		"{\"role\":\"assistant\",\"content\":\"e\",\"tool_calls\":[{\"id\":\"k\",\"type\":"
		"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
		"{\"role\":\"tool\",\"content\":\"5\",\"name\":\"f\",\"tool_call_id\":\"k\"}]");
	close_world(&w);
}

TEST(options_reach_the_engine)
{
	struct world w;
	open_world(&w);
	json_decref(post(&w,
		ASK("hi") ",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\","
			  "\"parameters\":{\"type\":\"object\"},\"strict\":true}],"
			  "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},"
			  "\"parallel_tool_calls\":false,\"reasoning\":{\"effort\":\"none\"},"
			  "\"truncation\":\"auto\",\"top_p\":0.5,\"seed\":3,\"stop\":\"END\"}"));
	CHECK_EQ_Z(fakes.tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\","
				"\"description\":\"d\",\"parameters\":{\"type\":\"object\"},"
				"\"strict\":true}}]");
	CHECK_EQ_Z(fakes.choice, "=f");
	CHECK(fakes.last.one_call && fakes.last.think == THINK_OFF && fakes.last.truncate);
	CHECK_EQ_INT(fakes.last.sampling.seed, 3);
	CHECK_EQ_Z(fakes.stops, "END|");
	CHECK(has(&w, "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\","
		      "\"parameters\":{\"type\":\"object\"},\"strict\":true}]"));
	CHECK(!has(&w, "\"warnings\""));
	json_decref(post(&w,
		ASK("hi") ",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\","
			  "\"schema\":{\"type\":\"object\"},\"strict\":true}}}"));
	CHECK_EQ_Z(fakes.schema, "{\"type\":\"object\"}");
	json_decref(post(&w, ASK("hi") ",\"text\":{\"format\":{\"type\":\"json_object\"}}}"));
	CHECK_EQ_Z(fakes.schema, "json");
	close_world(&w);
}

TEST(what_has_no_effect_is_warned_of)
{
	static const struct {
		const char *more, *warning;
	} all[] = {
		{ "\"user\":\"u\"", "\\\"user\\\" has no effect here" },
		{ "\"safety_identifier\":\"u\"", "\\\"safety_identifier\\\" has no effect" },
		{ "\"prompt_cache_key\":\"u\"", "\\\"prompt_cache_key\\\" has no effect" },
		{ "\"max_tool_calls\":3", "\\\"max_tool_calls\\\" has no effect" },
		{ "\"zzz\":1", "\\\"zzz\\\" is ignored: it is not known" },
		{ "\"text\":{\"verbosity\":\"low\"}", "\\\"text.verbosity\\\" has no effect" },
		{ "\"reasoning\":{\"summary\":\"auto\"}", "no summaries are made" },
		{ "\"include\":[\"reasoning.encrypted_content\"]", "encrypted_content" },
		{ "\"service_tier\":\"priority\"", "\\\"service_tier\\\"" },
	};
	struct world w;
	open_world(&w);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char body[256];
		snprintf(body, sizeof body, ASK("hi") ",%s}", all[i].more);
		json_decref(post(&w, body));
		if (!has(&w, all[i].warning) || !has(&w, "\"warnings\":["))
			FAIL("%s: %.*s", body, STR_ARG(buf_str(&w.out)));
	}
	close_world(&w);
}

#define ITEM(text) "{\"model\":\"tiny\",\"input\":[" text "]}"
#define USER(part) ITEM("{\"role\":\"user\",\"content\":[" part "]}")

static const struct {
	const char *body;
	int status;
	const char *param, *code, *says;
} wrong[] = {
	{ "{}", 400, "model", "invalid", "model" },
	{ "{\"model\":\"x\",\"input\":\"a\"}", 404, "model", "model_not_found", "x" },
	{ "{\"model\":\"embed\",\"input\":\"a\"}", 400, "model", "unsupported", "chat" },
	{ "{\"model\":\"tiny\"}", 400, "input", "invalid", "input" },
	{ "{\"model\":\"tiny\",\"input\":[]}", 400, "input", "invalid", "empty" },
	{ "{\"model\":\"tiny\",\"input\":5}", 400, "input", "invalid", "input" },
	{ ITEM("5"), 400, "input", "invalid", "input[0]" },
	{ ITEM("{\"type\":\"message\"}"), 400, "input", "invalid", "input[0].role" },
	{ ITEM("{\"role\":\"tool\",\"content\":\"a\"}"), 400, "input", "invalid",
		"input[0].role" },
	{ ITEM("{\"role\":\"user\"}"), 400, "input", "invalid", "input[0].content" },
	{ ITEM("{\"role\":\"user\",\"content\":\"a\",\"id\":\"a b\"}"), 400, "input",
		"invalid", "input[0].id" },
	{ ITEM("{\"role\":\"user\",\"content\":\"a\",\"status\":\"x\"}"), 400, "input",
		"invalid", "input[0].status" },
	{ ITEM("{\"type\":\"item_reference\",\"id\":\"msg_1\"}"), 400, "input",
		"unsupported", "item_reference" },
	{ ITEM("{\"type\":\"web_search_call\"}"), 400, "input", "unsupported",
		"web_search_call" },
	{ ITEM("{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\","
	       "\"arguments\":\"[]\"}"),
		400, "input", "invalid", "input[0].arguments" },
	{ ITEM("{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{}\"}"), 400,
		"input", "invalid", "call_id" },
	{ ITEM("{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"5\"}"),
		400, "input", "invalid", "no function_call before it" },
	{ ITEM("{\"type\":\"function_call_output\",\"call_id\":\"c\"}"), 400, "input",
		"invalid", "input[0].output" },
	{ ITEM("{\"type\":\"reasoning\",\"summary\":5}"), 400, "input", "invalid",
		"summary" },
	{ ITEM("{\"type\":\"reasoning\",\"content\":[{\"type\":\"x\"}]}"), 400, "input",
		"invalid", "input[0].content[0].type" },
	{ USER("{\"text\":\"a\"}"), 400, "input", "invalid", "input[0].content[0]" },
	{ USER("{\"type\":\"input_file\",\"file_id\":\"f\"}"), 400, "input", "unsupported",
		"input_file" },
	{ USER("{\"type\":\"output_text\",\"text\":\"a\"}"), 400, "input", "unsupported",
		"output_text" },
	{ USER("{\"type\":\"input_text\",\"text\":5}"), 400, "input", "invalid",
		"input[0].content[0].text" },
	{ USER("{\"type\":\"input_image\",\"file_id\":\"f\"}"), 400, "input",
		"unsupported", "file_id" },
	{ USER("{\"type\":\"input_image\",\"image_url\":\"http://127.0.0.1/a\"}"), 400,
		"input", "invalid", "not fetched" },
	{ USER("{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,AAAA\"}"),
		400, "input", "invalid", "input[0]" },
	{ USER("{\"type\":\"input_image\",\"image_url\":\"data:;base64,UE5H\"}"), 400,
		"input", "unsupported", "vision" },
	{ ASK("a") ",\"conversation\":\"conv_1\"}", 400, "conversation", "unsupported",
		"previous_response_id" },
	{ ASK("a") ",\"prompt\":{\"id\":\"p\"}}", 400, "prompt", "unsupported", "prompt" },
	{ ASK("a") ",\"previous_response_id\":5}", 400, "previous_response_id", "invalid",
		"string" },
	{ ASK("a") ",\"previous_response_id\":\"resp_x\"}", 400, "previous_response_id",
		"previous_response_not_found", "'resp_x' not found" },
	{ ASK("a") ",\"background\":true,\"store\":false}", 400, "background", "invalid",
		"store" },
	{ ASK("a") ",\"store\":1}", 400, "store", "invalid", "store" },
	{ ASK("a") ",\"max_output_tokens\":0}", 400, "max_output_tokens", "invalid", "" },
	{ ASK("a") ",\"temperature\":\"x\"}", 400, "temperature", "invalid", "" },
	{ ASK("a") ",\"top_p\":2}", 400, "top_p", "invalid", "" },
	{ ASK("a") ",\"tools\":{}}", 400, "tools", "invalid", "" },
	{ ASK("a") ",\"tools\":[{\"type\":\"web_search\"}]}", 400, "tools", "unsupported",
		"web_search" },
	{ ASK("a") ",\"tools\":[{\"type\":\"function\"}]}", 400, "tools", "invalid",
		"tools[0].name" },
	{ ASK("a") ",\"tool_choice\":\"maybe\"}", 400, "tool_choice", "invalid", "" },
	{ ASK("a") ",\"tool_choice\":{\"type\":\"allowed_tools\"}}", 400, "tool_choice",
		"unsupported", "allowed_tools" },
	{ ASK("a") ",\"text\":{\"format\":{\"type\":\"xml\"}}}", 400, "text.format",
		"invalid", "" },
	{ ASK("a") ",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\"}}}", 400,
		"text.format", "invalid", "schema" },
	{ ASK("a") ",\"text\":{\"verbosity\":\"much\"}}", 400, "text.verbosity", "invalid",
		"" },
	{ ASK("a") ",\"reasoning\":{\"effort\":\"much\"}}", 400, "reasoning.effort",
		"invalid", "" },
	{ ASK("a") ",\"reasoning\":{\"summary\":\"long\"}}", 400, "reasoning.summary",
		"invalid", "" },
	{ ASK("a") ",\"truncation\":\"some\"}", 400, "truncation", "invalid", "" },
	{ ASK("a") ",\"include\":[\"x\"]}", 400, "include", "invalid", "include[0]" },
	{ ASK("a") ",\"top_logprobs\":21}", 400, "top_logprobs", "invalid", "" },
	{ ASK("a") ",\"metadata\":{\"a\":5}}", 400, "metadata", "invalid", "metadata.a" },
	{ ASK("a") ",\"metadata\":{\"a0\":\"\",\"a1\":\"\",\"a2\":\"\",\"a3\":\"\","
		   "\"a4\":\"\",\"a5\":\"\",\"a6\":\"\",\"a7\":\"\",\"a8\":\"\",\"a9\":\"\","
		   "\"b0\":\"\",\"b1\":\"\",\"b2\":\"\",\"b3\":\"\",\"b4\":\"\",\"b5\":\"\","
		   "\"b6\":\"\"}}",
		400, "metadata", "invalid", "16 pairs" },
	{ ASK("a") ",\"stream_options\":{}}", 400, "stream_options", "invalid", "" },
	{ ASK("a") ",\"service_tier\":\"gold\"}", 400, "service_tier", "invalid", "" },
	{ ASK("a") ",\"user\":5}", 400, "user", "invalid", "" },
	{ ASK("a") ",\"stop\":[1]}", 400, "stop", "invalid", "" },
};

TEST(wrong_requests_name_their_field)
{
	struct world w;
	open_world(&w);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		int got = ask(&w, "POST", PATH, wrong[i].body);
		AUTO_JSON json_t *doc = reply(&w);
		const json_t *e = json_object_get(doc, "error");
		if (got != wrong[i].status || strcmp(text(e, "param"), wrong[i].param) != 0 ||
			strcmp(text(e, "code"), wrong[i].code) != 0 ||
			!strstr(text(e, "message"), wrong[i].says))
			FAIL("%s: %d %.*s", wrong[i].body, got, STR_ARG(buf_str(&w.out)));
	}
	CHECK_EQ_INT(fakes.started, 0);
	close_world(&w);
}

TEST(a_kept_response_is_not_told_as_a_stream)
{
	struct world w;
	char path[128];
	open_world(&w);
	AUTO_JSON json_t *r = post(&w, ASK("hi") "}");
	path_of(r, "?stream=true", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 400);
	CHECK(has(&w, "\"param\":\"stream\",\"code\":\"unsupported\""));
	path_of(r, "?stream=false", path);
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	close_world(&w);
}

TEST(input_is_counted)
{
	struct world w;
	open_world(&w);
	CHECK_EQ_INT(ask(&w, "POST", PATH "/input_tokens", ASK("hi") "}"), 200);
	CHECK_EQ_STR(buf_str(&w.out),
		STR("{\"object\":\"response.input_tokens\",\"input_tokens\":26}"));
	CHECK_EQ_INT(ask(&w, "POST", PATH "/input_tokens", ASK("FAIL") "}"), 500);
	CHECK_EQ_INT(ask(&w, "POST", PATH "/input_tokens", "{\"model\":\"tiny\"}"), 400);
	close_world(&w);
}

TEST(long_instructions_are_kept_but_not_repeated_in_events)
{
	struct world w;
	char path[128];
	AUTO_BUF struct buf body = BUF(1 << 20);
	const char *z;
	open_world(&w);
	CHECK_OK(buf_addf(&body, ASK("hi") ",\"stream\":true,\"instructions\":\""));
	for (int i = 0; i < 600; i++)
		CHECK_OK(buf_addf(&body, "%01024d", i));
	CHECK_OK(buf_addf(&body, "\"}"));
	CHECK_OK(buf_cstr(&body, &z));
	CHECK_EQ_INT(ask(&w, "POST", PATH, z), 200);
	CHECK(w.out.len < 32 * 1024 && has(&w, "\"instructions\":null"));
	CHECK(has(&w, "the events do not repeat instructions and tools"));
	size_t at = str_find(buf_str(&w.out), STR("\"id\":\"resp_"), 0);
	CHECK(at != SIZE_MAX);
	snprintf(path, sizeof path, PATH "/%.*s",
		STR_ARG(str_sub(buf_str(&w.out), at + 6, 5 + ID_LEN)));
	CHECK_EQ_INT(ask(&w, "GET", path, NULL), 200);
	CHECK(w.out.len > 600 * 1024 && has(&w, "00000599\""));
	close_world(&w);
}

TEST(what_is_shared_stays_shared_in_a_chain)
{
	struct world w;
	char body[512];
	open_world(&w);
	AUTO_JSON json_t *one = post(&w,
		"{\"model\":\"tiny\",\"input\":[{\"role\":\"system\",\"share\":\"company\","
		"\"content\":\"Of us all.\"},{\"role\":\"user\",\"content\":\"a\"}]}");
	snprintf(body, sizeof body, ASK("b") ",\"previous_response_id\":\"%s\"}", text(one, "id"));
	json_decref(post(&w, body));
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"system\",\"content\":\"Of us all.\","
				"\"share\":\"company\"},{\"role\":\"user\",\"content\":\"a\"},"
				"{\"role\":\"assistant\",\"content\":\"Hello\"},"
				"{\"role\":\"user\",\"content\":\"b\"}]");
	close_world(&w);
}
