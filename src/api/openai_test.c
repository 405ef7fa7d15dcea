/* OpenAI's wire format: chunks, whole answers, errors that name their field. */
#include <stdio.h>

#include "api/test_app.h"

#define B16 "bbbbbbbbbbbbbbbb"
#define ASK(text) "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

#define PICTURE(url)                                                                               \
	"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"             \
	"\"image_url\",\"image_url\":{\"url\":\"" url "\"}}]}]}"

/* id and created differ from run to run. */
static void blank(const struct buf *in, struct buf *out)
{
	struct str rest = buf_str(in), id = STR("\"id\":\"chatcmpl-"), made = STR("\"created\":");
	while (rest.len) {
		struct str *key = str_starts(rest, id)     ? &id
				  : str_starts(rest, made) ? &made
							   : NULL;
		size_t n = key ? key->len : 1;
		CHECK_OK(buf_add(out, str_sub(rest, 0, n)));
		rest = str_sub(rest, n, SIZE_MAX);
		if (key)
			while (rest.len && rest.ptr[0] != ',' && rest.ptr[0] != '"')
				rest = str_sub(rest, 1, SIZE_MAX);
	}
}

static void trace(const char *request, const char *type, const char *want)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536), plain = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions", request, &head, &out), 200);
	blank(&out, &plain);
	CHECK_EQ_STR(buf_str(&plain), str_from(want));
	CHECK_EQ_STR(head_value(&head, "Content-Type"), str_from(type));
	test_app_stop(&t);
}

#define HEAD(object)                                                                               \
	"{\"id\":\"chatcmpl-\",\"object\":\"" object "\",\"created\":,\"model\":\"tiny\","         \
	"\"system_fingerprint\":\"fp_bbbbbbbbbbbb_b1\","
#define CHUNK "data: " HEAD("chat.completion.chunk")
#define ORIGIN                                                                                     \
	"\"model_digest\":\"" B16 B16 B16 B16 "\",\"engine_build\":\"b1\","                        \
	"\"template_hash\":\"feed\",\"seed\":42"
#define DELTA(text)                                                                                \
	"\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"" text "\"},"   \
	"\"finish_reason\":null}]"

TEST(a_stream_has_the_role_in_every_chunk_and_ends_with_done)
{
	trace(ASK("hi") ",\"stream\":true}", "text/event-stream",
		CHUNK DELTA("Hel") "}\n\n" CHUNK DELTA(
			"lo") "}\n\n" CHUNK
			      "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
			      "\"content\":\"\"},"
			      "\"finish_reason\":\"stop\"}]," ORIGIN "}\n\ndata: [DONE]\n\n");
}

TEST(usage_comes_in_a_chunk_of_its_own)
{
	trace(ASK("LENGTH") ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
		"text/event-stream",
		CHUNK DELTA("Hel") ",\"usage\":null}\n\n" CHUNK DELTA(
			"lo") ",\"usage\":null}\n\n" CHUNK
			      "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
			      "\"content\":\"\"},"
			      "\"finish_reason\":\"length\"}],\"usage\":null," ORIGIN "}\n\n" CHUNK
			      "\"choices\":[],\"usage\":{\"prompt_tokens\":26,"
			      "\"completion_tokens\":2,\"total_tokens\":28,"
			      "\"prompt_tokens_details\":{\"cached_tokens\":4},"
			      "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n"
			      "data: [DONE]\n\n");
}

TEST(an_error_in_the_middle_ends_the_stream_without_done)
{
	trace(ASK("FAIL") ",\"stream\":true}", "text/event-stream",
		CHUNK DELTA("Hel") "}\n\n"
				   "data: {\"error\":{\"message\":\"the model's process "
				   "failed\",\"type\":\"api_error\","
				   "\"param\":null,\"code\":\"engine_failed\"}}\n\n");
}

TEST(a_whole_answer)
{
	trace(ASK("hi") "}", "application/json",
		HEAD("chat.completion") "\"choices\":[{\"index\":0,"
					"\"message\":{\"role\":\"assistant\",\"content\":\"Hello\","
					"\"refusal\":null},\"logprobs\":null,"
					"\"finish_reason\":\"stop\"}],"
					"\"usage\":{\"prompt_tokens\":26,\"completion_tokens\":2,"
					"\"total_tokens\":28,"
					"\"prompt_tokens_details\":{\"cached_tokens\":4},"
					"\"completion_tokens_details\":"
					"{\"reasoning_tokens\":0}}," ORIGIN
					"}");
}

TEST(what_is_absent_is_not_forced)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions", ASK("hi") "}", NULL, NULL), 200);
	CHECK(fakes.last.sampling.temperature > 0.79f && fakes.last.sampling.temperature < 0.81f);
	CHECK(fakes.last.sampling.top_p > 0.89f && fakes.last.sampling.top_p < 0.91f);
	CHECK_OK(str_copy(STR("{\"temperature\":0.2}"), fakes.params, sizeof fakes.params));
	AUTO_BUF struct buf out = BUF(65536);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions",
			     ASK("hi") ",\"max_completion_tokens\":9,\"stop\":\"END\",\"seed\":3,"
				       "\"top_p\":0.5,\"presence_penalty\":1,"
				       "\"response_format\":{\"type\":\"json_schema\","
				       "\"json_schema\":{\"name\":\"n\",\"schema\":"
				       "{\"type\":\"object\"}}},\"user\":\"u1\",\"zzz\":1}",
			     NULL, &out),
		200);
	CHECK(fakes.last.sampling.temperature > 0.19f && fakes.last.sampling.temperature < 0.21f);
	CHECK_EQ_INT(fakes.last.sampling.num_predict, 9);
	CHECK_EQ_INT(fakes.last.sampling.seed, 3);
	CHECK(fakes.last.sampling.presence_penalty > 0.99f);
	CHECK_EQ_Z(fakes.stops, "END|");
	CHECK_EQ_Z(fakes.schema, "{\"type\":\"object\"}");
	CHECK(str_find(buf_str(&out),
		      STR("\"warnings\":[\"\\\"user\\\" has no effect here\","
			  "\"\\\"zzz\\\" is ignored: it is not known\"]"),
		      0) != SIZE_MAX);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/v1/chat/completions",
			"{\"model\":\"tiny\",\"messages\":["
			"{\"role\":\"developer\",\"content\":\"Be "
			"brief.\"},{\"role\":\"user\",\"content\":["
			"{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}",
			NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"system\",\"content\":\"Be brief.\"},"
				"{\"role\":\"user\",\"content\":\"ab\"}]");
	test_app_stop(&t);
}

#define CALLS \
	"\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function" \
	"\":{\"name\":" \
	"\"f\",\"arguments\":\"{\\\"a\\\":\\\"\xc3\xbc\\\"}\"}},{\"index\":1,\"id\":\"ca" \
	"ll_2\",\"type\":" \
	"\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]"

TEST(calls_come_whole_and_end_the_answer)
{
	trace(ASK("CALLS") ",\"stream\":true}", "text/event-stream",
		CHUNK DELTA("Hel") "}\n\n" CHUNK DELTA(
			"lo") "}\n\n" CHUNK
			      "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant"
			      "\",\"content\":\"\"," CALLS
			      "},\"finish_reason\":null}]}\n\n" CHUNK
			      "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant"
			      "\",\"content\":\"\"},"
			      "\"finish_reason\":\"tool_calls\"}]," ORIGIN
			      ",\"warnings\":[\"first\",\"second\"]}\n\ndata: [DONE]\n\n");
}

TEST(what_an_engine_sends_as_calls_is_checked)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/v1/chat/completions", ASK("BADCALLS") "}", NULL, NULL), 500);
	test_app_stop(&t);
}

TEST(tools_and_their_choice_reach_the_engine)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/v1/chat/completions",
			"{\"model\":\"tiny\",\"tools\":[{\"type\":\"function\",\"functio"
			"n\":{\"name\":\"f\"}}],"
			"\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
			"\"parallel_tool_calls\":false,\"reasoning_effort\":\"none\",\"l"
			"ogit_bias\":"
			"{\"7\":-100,\"9\":0.5},\"reasoning_budget_tokens\":5,\"messages\":["
			"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id"
			"\":\"c1\",\"type\":"
			"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\""
			"a\\\":1}\"}}]},"
			"{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"5\"}]}",
			NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]");
	CHECK_EQ_Z(fakes.choice, "=f");
	CHECK(fakes.last.one_call && fakes.last.think == THINK_OFF && !fakes.last.think_required);
	CHECK(fakes.last.has_think_budget && fakes.last.think_budget == 5);
	CHECK_EQ_INT(fakes.last.n_bias, 2);
	CHECK(fakes.bias[0] == 7 && fakes.bias[1] == -100000 && fakes.bias[2] == 9 &&
		fakes.bias[3] == 500);
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c1\",\"type\":"
		"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
		"{\"role\":\"tool\",\"content\":\"5\",\"tool_call_id\":\"c1\"}]");
	test_app_stop(&t);
}

#define PROBS \
	"{\"content\":[{\"token\":\"!\",\"logprob\":-0.5,\"bytes\":[33],\"top_logprobs\"" \
	":[{\"token\":" \
	"\"?\",\"logprob\":-1.5,\"bytes\":[63]}]}]}"

TEST(logprobs_stand_beside_the_text)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), stream = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions",
			     ASK("PROBS") ",\"logprobs\":true,\"top_logprobs\":1}", NULL, &whole),
		200);
	CHECK(fakes.last.logprobs && fakes.last.top_logprobs == 1);
	CHECK(str_find(buf_str(&whole), STR("\"logprobs\":" PROBS ",\"finish_reason\""), 0) !=
		SIZE_MAX);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions",
			     ASK("PROBS") ",\"logprobs\":true,\"stream\":true}", NULL, &stream),
		200);
	CHECK(str_find(buf_str(&stream),
		      STR("\"content\":\"!\"},\"logprobs\":" PROBS ",\"finish_reason\":null"),
		      0) != SIZE_MAX);
	test_app_stop(&t);
}

TEST(errors_name_their_field)
{
	static const struct {
		const char *body;
		int status;
		const char *param, *code;
	} bad[] = {
		{ "{}", 400, "model", "invalid" },
		{ "{\"model\":\"x\"}", 404, "model", "model_not_found" },
		{ "{\"model\":\"tiny\"}", 400, "messages", "invalid" },
		{ "{\"model\":\"tiny\",\"messages\":[]}", 400, "messages", "invalid" },
		{ ASK("a") ",\"n\":9}", 400, "n", "invalid" },
		{ ASK("a") ",\"n\":0}", 400, "n", "invalid" },
		{ ASK("a") ",\"tools\":{}}", 400, "tools", "invalid" },
		{ ASK("a") ",\"tool_choice\":\"maybe\"}", 400, "tool_choice", "invalid" },
		{ ASK("a") ",\"tool_choice\":{\"type\":\"custom\"}}", 400, "tool_choice",
			"unsupported" },
		{ ASK("a") ",\"tool_choice\":{\"type\":\"function\"}}", 400, "tool_choice",
			"invalid" },
		{ ASK("a") ",\"functions\":[{}]}", 400, "functions", "unsupported" },
		{ ASK("a") ",\"moderation\":{\"model\":\"m\"}}", 400, "moderation", "unsupported" },
		{ ASK("a") ",\"logprobs\":1}", 400, "logprobs", "invalid" },
		{ ASK("a") ",\"logprobs\":true,\"top_logprobs\":21}", 400, "top_logprobs",
			"invalid" },
		{ ASK("a") ",\"top_logprobs\":2}", 400, "top_logprobs", "invalid" },
		{ ASK("a") ",\"logit_bias\":{\"x\":1}}", 400, "logit_bias", "invalid" },
		{ ASK("a") ",\"logit_bias\":{\"5\":101}}", 400, "logit_bias", "invalid" },
		{ ASK("a") ",\"reasoning_effort\":\"much\"}", 400, "reasoning_effort", "invalid" },
		{ ASK("a") ",\"reasoning_budget_tokens\":-2}", 400, "reasoning_budget_tokens",
			"invalid" },
		{ ASK("a") ",\"grammar\":\"\"}", 400, "grammar", "invalid" },
		{ ASK("a") ",\"top_k\":-2}", 400, "top_k", "invalid" },
		{ "{\"model\":\"tiny\",\"messages\":[{\"role\":\"assistant\",\"tool_call"
			"s\":[{}]}]}",
			400, "messages", "invalid" },
		{ "{\"model\":\"tiny\",\"messages\":[{\"role\":\"assistant\",\"tool_call"
			"s\":[{\"function\":"
		  "{\"name\":\"f\",\"arguments\":\"{\"}}]}]}",
			400, "messages", "invalid" },
		{ ASK("a") ",\"temperature\":\"x\"}", 400, "temperature", "invalid" },
		{ ASK("a") ",\"top_p\":7}", 400, "top_p", "invalid" },
		{ ASK("a") ",\"max_tokens\":0}", 400, "max_tokens", "invalid" },
		{ ASK("a") ",\"stream_options\":{\"include_usage\":true}}", 400, "stream_options",
			"invalid" },
		{ ASK("a") ",\"response_format\":{\"type\":\"xml\"}}", 400, "response_format",
			"invalid" },
		{ ASK("a") ",\"stop\":[1]}", 400, "stop", "invalid" },
		{ ASK("CONTEXT") "}", 400, "messages", "context_length_exceeded" },
		{ ASK("BUSY") "}", 429, NULL, "rate_limit_exceeded" },
		{ "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\","
		  "\"content\":[{\"type\":\"image_url\"}]}]}",
			400, "messages", "invalid" },
		{ PICTURE("http://127.0.0.1/a.png"), 400, "messages", "invalid" },
		{ PICTURE("file:///etc/passwd"), 400, "messages", "invalid" },
		{ PICTURE("data:image/png;base64,AAAA"), 400, "messages", "invalid" },
		{ PICTURE("data:image/png,UE5H"), 400, "messages", "invalid" },
		{ PICTURE("data:;base64,UE5H"), 400, "messages", "unsupported" },
		{ "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\","
		  "\"content\":[{\"type\":\"input_audio\"}]}]}",
			400, "messages", "unsupported" },
		{ "{\"model\":\"tiny\",\"messages\":[{\"role\":\"function\",\"content\":\"x\"}]}",
			400, "messages", "unsupported" },
		{ "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":5}]}", 400,
			"messages", "invalid" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		AUTO_BUF struct buf out = BUF(65536);
		AUTO_JSON json_t *doc = NULL;
		int got = call_api(&t, "POST", "/v1/chat/completions", bad[i].body, NULL, &out);
		if (got != bad[i].status)
			FAIL("%s: %d, wanted %d: %.*s", bad[i].body, got, bad[i].status,
				(int)out.len, out.ptr);
		CHECK_OK(json_read(buf_str(&out), out.len, 8, &doc, NULL));
		const json_t *e = json_object_get(doc, "error");
		const char *param = json_string_value(json_object_get(e, "param"));
		if ((param != NULL) != (bad[i].param != NULL) ||
			(param && strcmp(param, bad[i].param) != 0))
			FAIL("%s: param %s", bad[i].body, param ? param : "null");
		CHECK_EQ_Z(json_string_value(json_object_get(e, "code")), bad[i].code);
		CHECK(json_string_length(json_object_get(e, "message")) > 0);
	}
	test_app_stop(&t);
}

TEST(models_are_listed_and_found_by_encoded_names)
{
	struct test_app t;
	AUTO_BUF struct buf list = BUF(4096), one = BUF(4096), none = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "GET", "/v1/models", NULL, NULL, &list), 200);
	CHECK_EQ_STR(buf_str(&list),
		STR("{\"object\":\"list\",\"data\":[{\"id\":\"tiny:latest\","
		    "\"type\":\"model\",\"display_name\":\"tiny:latest\","
		    "\"created_at\":\"2023-11-14T22:13:20.000Z\",\"max_input_tokens\":8192,"
		    "\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"library\"}],"
		    "\"has_more\":false}"));
	CHECK_EQ_INT(call_api(&t, "GET", "/v1/models/hf.co%2Fu%2Fr%3AQ4", NULL, NULL, &one), 200);
	CHECK_EQ_INT(call_api(&t, "GET", "/v1/models/nope", NULL, NULL, &none), 404);
	CHECK(str_find(buf_str(&none), STR("\"code\":\"model_not_found\""), 0) != SIZE_MAX);
	test_app_stop(&t);
}

TEST(without_a_key_nothing_is_answered)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(8192), out = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(
		call_raw(&t, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", &head, &out),
		401);
	CHECK(str_find(buf_str(&out), STR("\"code\":\"invalid_api_key\""), 0) != SIZE_MAX);
	CHECK_EQ_STR(head_value(&head, "WWW-Authenticate"), STR("Bearer"));
	AUTO_BUF struct buf out2 = BUF(4096);
	CHECK_EQ_INT(call_raw(&t,
			     "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			     "ollama\r\n\r\n",
			     NULL, &out2),
		401);
	test_app_stop(&t);
}
