/* Anthropic's wire format: events in order, whole answers, errors; what reaches the engine. */
#include <stdio.h>

#include "api/test_app.h"

#define B16 "bbbbbbbbbbbbbbbb"
#define MAX "\"model\":\"tiny\",\"max_tokens\":50"
#define SAY(content) "\"messages\":[{\"role\":\"user\",\"content\":" content "}]"
#define ASK(text) "{" MAX "," SAY("\"" text "\"")
#define USE(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":{\"a\":1}}"

/* The id differs from run to run. */
static void blank(const struct buf *in, struct buf *out)
{
	struct str rest = buf_str(in), id = STR("\"id\":\"msg_");
	while (rest.len) {
		size_t n = str_starts(rest, id) ? id.len : 1;
		CHECK_OK(buf_add(out, str_sub(rest, 0, n)));
		rest = str_sub(rest, n, SIZE_MAX);
		while (n > 1 && rest.len && rest.ptr[0] != '"')
			rest = str_sub(rest, 1, SIZE_MAX);
	}
}

static void trace(const char *request, const char *type, const char *want)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536), plain = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages", request, &head, &out), 200);
	blank(&out, &plain);
	CHECK_EQ_STR(buf_str(&plain), str_from(want));
	CHECK_EQ_STR(head_value(&head, "Content-Type"), str_from(type));
	CHECK_EQ_STR(head_value(&head, "Request-Id"), head_value(&head, "X-Request-Id"));
	CHECK(head_value(&head, "Request-Id").len > 0);
	test_app_stop(&t);
}

#define HEAD                                                                                       \
	"{\"id\":\"msg_\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"tiny\","         \
	"\"content\":["
#define USAGE(n)                                                                                   \
	"\"usage\":{\"input_tokens\":22,\"cache_creation_input_tokens\":0,"                        \
	"\"cache_read_input_tokens\":4,\"output_tokens\":" n "}"
#define ORIGIN                                                                                     \
	"\"model_digest\":\"" B16 B16 B16 B16 "\",\"engine_build\":\"b1\","                        \
	"\"template_hash\":\"feed\",\"seed\":42"
#define EVENT(type, rest)                                                                          \
	"event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                      \
	EVENT("message_start", ",\"message\":" HEAD "],\"stop_reason\":null,"                      \
			       "\"stop_sequence\":null," USAGE("0") "}")                           \
	EVENT("ping", "")
#define OPEN(i, block)                                                                             \
	EVENT("content_block_start", ",\"index\":" i ",\"content_block\":{" block "}")
#define DELTA(i, delta) EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{" delta "}")
#define CLOSE(i) EVENT("content_block_stop", ",\"index\":" i)
#define TEXT(i, text) DELTA(i, "\"type\":\"text_delta\",\"text\":\"" text "\"")
#define OPEN_TEXT(i) OPEN(i, "\"type\":\"text\",\"text\":\"\"")
#define END(reason, sequence, more)                                                                \
	EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\",\"stop_sequence\":"     \
			       sequence "}," USAGE("2") "," ORIGIN more)                           \
	EVENT("message_stop", "")
/* SHA-256 of "hmm", by sha256sum */
#define SIGNED "tresor.0a034dc9c0d0d4fa4c0dbcf6faf7f39ae166cd73fe807f8dca40891c409a56e8"

TEST(a_whole_answer)
{
	trace(ASK("hi") "}", "application/json",
		HEAD "{\"type\":\"text\",\"text\":\"Hello\"}],\"stop_reason\":\"end_turn\","
		     "\"stop_sequence\":null," USAGE("2") "," ORIGIN "}");
}

TEST(a_stream_has_its_events_in_order)
{
	trace(ASK("hi") ",\"stream\":true}", "text/event-stream",
		START OPEN_TEXT("0") TEXT("0", "Hel") TEXT("0", "lo") CLOSE("0")
			END("end_turn", "null", ""));
}

TEST(why_an_answer_stopped)
{
	trace("{\"model\":\"tiny\",\"max_tokens\":2," SAY("\"LENGTH\"") "}", "application/json",
		HEAD "{\"type\":\"text\",\"text\":\"Hello\"}],\"stop_reason\":\"max_tokens\","
		     "\"stop_sequence\":null," USAGE("2") "," ORIGIN "}");
}

TEST(a_full_context_is_another_end)
{
	trace(ASK("LENGTH") "}", "application/json",
		HEAD "{\"type\":\"text\",\"text\":\"Hello\"}],\"stop_reason\":"
		     "\"model_context_window_exceeded\",\"stop_sequence\":null," USAGE(
			     "2") "," ORIGIN "}");
}

TEST(a_stop_sequence_is_named)
{
	trace(ASK("STOPPED") ",\"stop_sequences\":[\"a\",\"b\"],\"stream\":true}",
		"text/event-stream",
		START OPEN_TEXT("0") TEXT("0", "Hel") TEXT("0", "lo") CLOSE("0")
			END("stop_sequence", "\"b\"", ""));
}

TEST(the_models_own_stops_are_none_of_the_requests)
{
	static const char *const none[] = { "}", ",\"stop_sequences\":[]}" };
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_OK(str_copy(STR("{\"stop\":[\"USER:\"]}"), fakes.params, sizeof fakes.params));
	for (size_t i = 0; i < 2; i++) {
		char body[256];
		snprintf(body, sizeof body, "%s%s", ASK("STOPPED"), none[i]);
		buf_clear(&out);
		CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages", body, NULL, &out), 200);
		CHECK(!strcmp(fakes.stops, "USER:|"));
		CHECK(str_find(buf_str(&out),
			      STR("\"stop_reason\":\"end_turn\",\"stop_sequence\":null"),
			      0) != SIZE_MAX);
	}
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages",
			     "{\"model\":\"\",\"max_tokens\":1," SAY("\"hi\"") "}", NULL, NULL),
		400);
	test_app_stop(&t);
}

TEST(calls_are_blocks_behind_the_text)
{
	trace(ASK("CALLS") "}", "application/json",
		HEAD "{\"type\":\"text\",\"text\":\"Hello\"},{\"type\":\"tool_use\",\"id\":"
		     "\"toolu_1\",\"name\":\"f\",\"input\":{\"a\":\"\xc3\xbc\"}},{\"type\":"
		     "\"tool_use\",\"id\":\"toolu_2\",\"name\":\"g\",\"input\":{}}],"
		     "\"stop_reason\":\"tool_use\",\"stop_sequence\":null," USAGE("2") "," ORIGIN
		     ",\"warnings\":[\"first\",\"second\"]}");
}

TEST(calls_are_blocks_in_a_stream_too)
{
	trace(ASK("CALLS") ",\"stream\":true}", "text/event-stream",
		START OPEN_TEXT("0") TEXT("0", "Hel") TEXT("0", "lo") CLOSE("0")
		OPEN("1", "\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}")
		DELTA("1", "\"type\":\"input_json_delta\",\"partial_json\":"
			   "\"{\\\"a\\\":\\\"\xc3\xbc\\\"}\"")
		CLOSE("1")
		OPEN("2", "\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"g\",\"input\":{}")
		DELTA("2", "\"type\":\"input_json_delta\",\"partial_json\":\"{}\"") CLOSE("2")
		END("tool_use", "null", ",\"warnings\":[\"first\",\"second\"]"));
}

TEST(thinking_stands_first_and_is_signed)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), stream = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages",
			     ASK("THINK") ",\"thinking\":{\"type\":\"enabled\","
					  "\"budget_tokens\":20}}",
			     NULL, &whole),
		200);
	CHECK(fakes.last.think == THINK_ON && fakes.last.has_think_budget);
	CHECK_EQ_INT(fakes.last.think_budget, 20);
	CHECK(str_find(buf_str(&whole),
		      STR("\"content\":[{\"type\":\"thinking\",\"thinking\":\"hmm\","
			  "\"signature\":\"" SIGNED "\"},{\"type\":\"text\""),
		      0) != SIZE_MAX);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages", ASK("THINK") ",\"stream\":true}", NULL,
			     &stream),
		200);
	CHECK(fakes.last.think == THINK_OFF && !fakes.last.has_think_budget);
	static const char want[] =
		OPEN("0", "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
		DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"hmm\"")
		DELTA("0", "\"type\":\"signature_delta\",\"signature\":\"" SIGNED "\"")
		CLOSE("0") OPEN_TEXT("1") TEXT("1", "Hel");
	CHECK(str_find(buf_str(&stream), str_from(want), 0) != SIZE_MAX);
	test_app_stop(&t);
}

TEST(thinking_may_be_left_out_but_for_its_signature)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), stream = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages",
			     ASK("THINK") ",\"thinking\":{\"type\":\"adaptive\",\"display\":"
					  "\"omitted\"}}",
			     NULL, &whole),
		200);
	CHECK(str_find(buf_str(&whole),
		      STR("\"thinking\":\"\",\"signature\":\"" SIGNED "\""), 0) != SIZE_MAX);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages",
			     ASK("THINK") ",\"stream\":true,\"thinking\":{\"type\":"
					  "\"adaptive\",\"display\":\"omitted\"}}",
			     NULL, &stream),
		200);
	CHECK(str_find(buf_str(&stream), STR("thinking_delta"), 0) == SIZE_MAX);
	CHECK(str_find(buf_str(&stream), STR("\"signature\":\"" SIGNED "\""), 0) != SIZE_MAX);
	test_app_stop(&t);
}

TEST(an_error_in_the_middle_is_an_event_and_the_last)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages", ASK("FAIL") ",\"stream\":true}", NULL,
			     &out),
		200);
	size_t at = str_find(buf_str(&out),
		STR("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
		    "\"message\":\"the model's process failed\"},\"request_id\":\""),
		0);
	CHECK(at != SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("message_stop"), 0) == SIZE_MAX);
	test_app_stop(&t);
}

TEST(messages_become_what_templates_know)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/v1/messages",
			"{" MAX ",\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\","
			"\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"text\","
			"\"text\":\"And kind.\"}],\"messages\":["
			"{\"role\":\"user\",\"content\":\"a\"},"
			"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]},"
			"{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":"
			"\"hm\",\"signature\":\"x\"},{\"type\":\"redacted_thinking\",\"data\":"
			"\"y\"},{\"type\":\"text\",\"text\":\"c\"}," USE("toolu_1") "," USE(
				"toolu_2") "]},"
			"{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
			"\"tool_use_id\":\"toolu_1\",\"content\":\"5\"},{\"type\":\"tool_result\","
			"\"tool_use_id\":\"toolu_2\",\"is_error\":true,\"content\":[{\"type\":"
			"\"text\",\"text\":\"no\"}]},{\"type\":\"text\",\"text\":\"d\"}]}]}",
			NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"system\",\"content\":\"Be brief.\\nAnd kind.\"},"
		"{\"role\":\"user\",\"content\":\"a\\nb\"},"
		"{\"role\":\"assistant\",\"content\":\"c\",\"reasoning_content\":\"hm\","
		"\"tool_calls\":[{\"id\":\"toolu_1\",\"type\":\"function\",\"function\":"
		"{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"toolu_2\",\"type\":"
		"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
		"{\"role\":\"tool\",\"content\":\"5\",\"name\":\"f\",\"tool_call_id\":\"toolu_1\"},"
		"{\"role\":\"tool\",\"content\":\"Error: no\",\"name\":\"f\",\"tool_call_id\":"
		"\"toolu_2\"},{\"role\":\"user\",\"content\":\"d\"}]");
	test_app_stop(&t);
}

TEST(what_is_shared_ends_where_it_ends)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/v1/messages",
			"{" MAX ",\"system\":[{\"type\":\"text\",\"text\":\"A\",\"share\":"
			"\"company\"},{\"type\":\"text\",\"text\":\"B\",\"share\":\"company\"},"
			"{\"type\":\"text\",\"text\":\"C\"}],\"messages\":["
			"{\"role\":\"user\",\"share\":\"company\",\"content\":\"a\"},"
			"{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"m\"}]},"
			"{\"role\":\"user\",\"content\":\"b\"}]}",
			NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"system\",\"content\":\"A\\nB\",\"share\":\"company\"},"
		"{\"role\":\"system\",\"content\":\"C\"},"
		"{\"role\":\"user\",\"content\":\"a\",\"share\":\"company\"},"
		"{\"role\":\"system\",\"content\":\"m\"},"
		"{\"role\":\"user\",\"content\":\"b\"}]");
	test_app_stop(&t);
}

TEST(options_and_tools_reach_the_engine)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/v1/messages",
			ASK("hi") ",\"temperature\":0.5,\"top_k\":7,\"top_p\":0.5,"
				  "\"stop_sequences\":[\"X\"],\"metadata\":{\"user_id\":\"u\"},"
				  "\"service_tier\":\"auto\",\"thinking\":{\"type\":\"adaptive\"},"
				  "\"output_config\":{\"effort\":\"low\"},\"tools\":[{\"name\":"
				  "\"f\",\"description\":\"d\",\"input_schema\":{\"type\":"
				  "\"object\"}},{\"type\":\"custom\",\"name\":\"g\","
				  "\"input_schema\":{}}],\"tool_choice\":{\"type\":\"any\","
				  "\"disable_parallel_tool_use\":true},\"zzz\":1}",
			NULL, &out),
		200);
	CHECK_EQ_INT(fakes.last.sampling.num_predict, 50);
	CHECK_EQ_INT(fakes.last.sampling.top_k, 7);
	CHECK(fakes.last.sampling.temperature > 0.49f && fakes.last.sampling.temperature < 0.51f);
	CHECK_EQ_Z(fakes.stops, "X|");
	CHECK_EQ_Z(fakes.tools,
		"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
		"\"parameters\":{\"type\":\"object\"}}},{\"type\":\"function\",\"function\":"
		"{\"name\":\"g\",\"parameters\":{}}}]");
	CHECK_EQ_Z(fakes.choice, "required");
	CHECK(fakes.last.one_call && fakes.last.think == THINK_LOW);
	CHECK(str_find(buf_str(&out), STR("\\\"zzz\\\" is ignored: it is not known"), 0) !=
		SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("metadata"), 0) == SIZE_MAX);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages",
			     ASK("hi") ",\"tools\":[{\"name\":\"f\",\"input_schema\":{}}],"
				       "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}}",
			     NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.choice, "=f");
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages",
			     ASK("hi") ",\"output_config\":{\"format\":{\"type\":\"json_schema\","
				       "\"schema\":{\"type\":\"object\"}}}}",
			     NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.schema, "{\"type\":\"object\"}");
	test_app_stop(&t);
}

TEST(a_count_generates_nothing)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536), none = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages/count_tokens",
			     "{\"model\":\"tiny\"," SAY("\"hi\"") "}", NULL, &out),
		200);
	CHECK_EQ_STR(buf_str(&out), STR("{\"input_tokens\":26}"));
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"user\",\"content\":\"hi\"}]");
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/messages/count_tokens",
			     "{\"model\":\"tiny\"," SAY("\"FAIL\"") "}", NULL, &none),
		500);
	CHECK(str_starts(buf_str(&none), STR("{\"type\":\"error\",\"error\":{\"type\":"
					     "\"api_error\"")));
	test_app_stop(&t);
}

TEST(the_key_may_come_in_its_own_header)
{
	struct test_app t;
	AUTO_BUF struct buf r = BUF(65536), out = BUF(65536), head = BUF(8192), no = BUF(65536);
	const char *z, *body = ASK("hi") "}";
	test_app_start(&t);
	CHECK_OK(buf_addf(&r,
		"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %s\r\n"
		"Anthropic-Version: 2023-06-01\r\nContent-Length: %zu\r\n\r\n%s",
		t.key, strlen(body), body));
	CHECK_OK(buf_cstr(&r, &z));
	CHECK_EQ_INT(call_raw(&t, z, NULL, &out), 200);
	CHECK_EQ_INT(call_raw(&t,
			     "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: "
			     "wrong\r\nContent-Length: 2\r\n\r\n{}",
			     &head, &no),
		401);
	CHECK(str_find(buf_str(&no), STR("\"type\":\"authentication_error\""), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&no), head_value(&head, "Request-Id"), 0) != SIZE_MAX);
	test_app_stop(&t);
}

static const struct {
	const char *body;
	int status;
	const char *type, *text;
} bad[] = {
	{ "{}", 400, "invalid_request_error", "model" },
	{ "{\"model\":\"x\",\"max_tokens\":1," SAY("\"a\"") "}", 404, "not_found_error",
		"model 'x' not found" },
	{ "{\"model\":\"tiny\"," SAY("\"a\"") "}", 400, "invalid_request_error", "max_tokens" },
	{ "{\"model\":\"tiny\",\"max_tokens\":-1," SAY("\"a\"") "}", 400, "invalid_request_error",
		"max_tokens" },
	{ "{" MAX "}", 400, "invalid_request_error", "messages" },
	{ "{" MAX ",\"messages\":[]}", 400, "invalid_request_error", "must not be empty" },
	{ "{" MAX ",\"messages\":[{\"role\":\"king\",\"content\":\"a\"}]}", 400,
		"invalid_request_error", "messages[0].role must be" },
	{ "{" MAX ",\"messages\":[{\"role\":\"system\",\"content\":[" USE("x") "]}]}", 400,
		"invalid_request_error", "a system message is text alone" },
	{ "{" MAX ",\"messages\":[{\"role\":\"user\"}]}", 400, "invalid_request_error",
		"messages[0].content must be" },
	{ "{" MAX ",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
	  "\"content\":\"b\"}]}",
		400, "invalid_request_error", "the last message must be the user's" },
	{ "{" MAX "," SAY("[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
			  "\"http://127.0.0.1/\"}}]") "}",
		400, "invalid_request_error", "addresses are not fetched" },
	{ "{" MAX "," SAY("[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":"
			  "\"UE5H\"}}]") "}",
		400, "invalid_request_error", "does not support vision" },
	{ "{" MAX "," SAY("[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":"
			  "\"AAAA\"}}]") "}",
		400, "invalid_request_error", "messages[0].content[0]: it is not a picture" },
	{ "{" MAX "," SAY("[" USE("x") "]") "}", 400, "invalid_request_error",
		"does not belong into" },
	{ "{" MAX "," SAY("[{\"type\":\"tool_result\",\"tool_use_id\":\"x\"}]") "}", 400,
		"invalid_request_error", "of no tool_use block" },
	{ "{" MAX "," SAY("[{\"type\":\"search_result\"}]") "}", 400, "invalid_request_error",
		"search_result are not supported" },
	{ "{" MAX "," SAY("[{\"type\":\"text\",\"text\":\"a\",\"share\":\"company\"}]") "}", 400,
		"invalid_request_error", "\\\"share\\\" stands beside" },
	{ ASK("a") ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}", 400,
		"invalid_request_error", "web_search_20250305" },
	{ ASK("a") ",\"tools\":[{\"name\":\"f\"}]}", 400, "invalid_request_error",
		"tools[0].input_schema" },
	{ ASK("a") ",\"tool_choice\":{\"type\":\"some\"}}", 400, "invalid_request_error",
		"tool_choice.type" },
	{ ASK("a") ",\"tool_choice\":{\"type\":\"tool\"}}", 400, "invalid_request_error",
		"tool_choice.name" },
	{ ASK("a") ",\"thinking\":{\"type\":\"enabled\"}}", 400, "invalid_request_error",
		"budget_tokens" },
	{ ASK("a") ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":50}}", 400,
		"invalid_request_error", "must be greater than thinking.budget_tokens" },
	{ ASK("a") ",\"thinking\":{\"type\":\"much\"}}", 400, "invalid_request_error",
		"thinking.type" },
	{ ASK("a") ",\"service_tier\":\"gold\"}", 400, "invalid_request_error", "service_tier" },
	{ ASK("a") ",\"stop_sequences\":\"x\"}", 400, "invalid_request_error", "stop_sequences" },
	{ ASK("a") ",\"mcp_servers\":[{}]}", 400, "invalid_request_error", "mcp_servers" },
	{ ASK("a") ",\"system\":[{\"type\":\"image\"}]}", 400, "invalid_request_error",
		"system[0] must be a text block" },
	{ ASK("CONTEXT") "}", 400, "invalid_request_error",
		"prompt is too long: 5000 tokens > 4096 maximum" },
	{ ASK("BUSY") "}", 429, "rate_limit_error", "" },
};

TEST(errors_are_anthropics)
{
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_BUF struct buf out = BUF(65536), head = BUF(8192), want = BUF(1024);
		int got = call_api(&t, "POST", "/v1/messages", bad[i].body, &head, &out);
		if (got != bad[i].status)
			FAIL("%s: %d, wanted %d: %.*s", bad[i].body, got, bad[i].status,
				(int)out.len, out.ptr);
		CHECK_OK(buf_addf(&want, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",",
			bad[i].type));
		if (!str_starts(buf_str(&out), buf_str(&want)) ||
			str_find(buf_str(&out), str_from(bad[i].text), 0) == SIZE_MAX)
			FAIL("%s: %.*s", bad[i].body, (int)out.len, out.ptr);
	}
	AUTO_BUF struct buf out = BUF(65536);
	CHECK_EQ_INT(call_api(&t, "GET", "/v1/messages", NULL, NULL, &out), 405);
	CHECK(str_starts(buf_str(&out), STR("{\"type\":\"error\"")));
	test_app_stop(&t);
}
