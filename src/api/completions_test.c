/* /v1/completions, /infill, suffix, and several answers at once. */
#include <stdio.h>

#include "api/test_app.h"

#define ASK(text) "{\"model\":\"tiny\",\"prompt\":\"" text "\""
#define CHAT(text)                                                                                 \
	"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

static bool has(const struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_from(text), 0) != SIZE_MAX;
}

static size_t count(const struct buf *b, const char *text)
{
	size_t n = 0, at = 0;
	while ((at = str_find(buf_str(b), str_from(text), at)) != SIZE_MAX) {
		n++;
		at++;
	}
	return n;
}

TEST(a_text_goes_on)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), stream = BUF(65536), echo = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions",
			     ASK("Once") ",\"max_tokens\":9,\"stop\":[\"X\"],\"user\":\"u\"}",
			     NULL, &whole),
		200);
	CHECK(has(&whole, "{\"id\":\"cmpl-"));
	CHECK(has(&whole, "\"object\":\"text_completion\""));
	CHECK(has(&whole, "\"choices\":[{\"text\":\"Hello\",\"index\":0,\"logprobs\":null,"
			  "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":26,"
			  "\"completion_tokens\":2,\"total_tokens\":28,"));
	CHECK(has(&whole, "\\\"user\\\" has no effect here"));
	CHECK(fakes.last.kind == GEN_PROMPT && !fakes.last.raw);
	CHECK_EQ_Z(fakes.input, "Once");
	CHECK_EQ_INT(fakes.last.sampling.num_predict, 9);
	CHECK_EQ_Z(fakes.stops, "X|");
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions",
			     "{\"model\":\"tiny\",\"prompt\":[\"LENGTH\"],\"stream\":true,"
			     "\"stream_options\":{\"include_usage\":true}}",
			     NULL, &stream),
		200);
	CHECK(has(&stream, "\"choices\":[{\"text\":\"Hel\",\"index\":0,\"logprobs\":null,"
			   "\"finish_reason\":null}],\"usage\":null}\n\n"));
	CHECK(has(&stream, "\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,"
			   "\"finish_reason\":\"length\"}]"));
	CHECK(has(&stream, "\"choices\":[],\"usage\":{\"prompt_tokens\":26"));
	CHECK(str_ends(buf_str(&stream), STR("data: [DONE]\n\n")));
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions",
			     ASK("Once ") ",\"echo\":true,\"stream\":true}", NULL, &echo),
		200);
	CHECK_EQ_INT(count(&echo, "\"text\":\"Once \""), 1);
	test_app_stop(&t);
}

TEST(logprobs_are_lists_side_by_side)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), none = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions", ASK("PROBS") ",\"logprobs\":1}", NULL,
			     &whole),
		200);
	CHECK(fakes.last.logprobs && fakes.last.top_logprobs == 1);
	CHECK(has(&whole, "\"logprobs\":{\"tokens\":[\"!\"],\"token_logprobs\":[-0.5],"
			  "\"top_logprobs\":[{\"?\":-1.5}],\"text_offset\":[0]}"));
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions", ASK("PROBS") ",\"logprobs\":0}", NULL,
			     &none),
		200);
	CHECK(fakes.last.logprobs && fakes.last.top_logprobs == 0);
	CHECK(has(&none, "\"top_logprobs\":null"));
	test_app_stop(&t);
}

TEST(a_suffix_asks_for_what_stands_between)
{
	struct test_app t;
	AUTO_BUF struct buf no = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions", ASK("a") ",\"suffix\":\"z\"}", NULL,
			     NULL),
		200);
	CHECK_EQ_INT(fakes.last.kind, GEN_INFILL);
	CHECK_EQ_Z(fakes.suffix, "z");
	CHECK_EQ_INT(call_api(&t, "POST", "/api/generate",
			     ASK("b") ",\"suffix\":\"y\",\"stream\":false}", NULL, NULL),
		200);
	CHECK_EQ_INT(fakes.last.kind, GEN_INFILL);
	CHECK(!fakes.last.raw);
	CHECK_EQ_Z(fakes.input, "b");
	CHECK_EQ_Z(fakes.suffix, "y");
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions", ASK("NOFIM") ",\"suffix\":\"z\"}",
			     NULL, &no),
		400);
	CHECK(has(&no, "it has no FIM prefix token") && has(&no, "\"param\":\"suffix\""));
	test_app_stop(&t);
}

TEST(infill_as_llama_server_has_it)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), stream = BUF(65536), no = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/infill",
			"{\"input_prefix\":\"int \",\"input_suffix\":\";\\n\",\"prompt\":\"x\","
			"\"input_extra\":[{\"filename\":\"a.h\",\"text\":\"b\"}],\"n_predict\":4,"
			"\"cache_prompt\":true,\"stop\":[\"S\"],\"samplers\":[\"top_k\"]}",
			NULL, &whole),
		200);
	CHECK_EQ_INT(fakes.last.kind, GEN_INFILL);
	CHECK_EQ_Z(fakes.input, "int ");
	CHECK_EQ_Z(fakes.suffix, ";\n");
	CHECK_EQ_Z(fakes.lead, "x");
	CHECK_EQ_Z(fakes.extra, "[{\"filename\":\"a.h\",\"text\":\"b\"}]");
	CHECK_EQ_INT(fakes.last.sampling.num_predict, 4);
	CHECK(has(&whole, "{\"index\":0,\"content\":\"Hello\",\"tokens\":[],\"stop\":true,"
			  "\"model\":\"tiny:latest\",\"tokens_predicted\":2,"
			  "\"tokens_evaluated\":26,\"tokens_cached\":28,\"truncated\":false,"
			  "\"stop_type\":\"eos\",\"stopping_word\":\"\""));
	CHECK(has(&whole, "\"timings\":{\"cache_n\":4,\"prompt_n\":22,"));
	CHECK(has(&whole, "\\\"samplers\\\" is ignored"));
	CHECK_EQ_INT(call_api(&t, "POST", "/infill",
			     "{\"model\":\"tiny\",\"input_prefix\":\"STOPPED\","
			     "\"input_suffix\":\"\",\"stop\":\"S\",\"stream\":true}",
			     NULL, &stream),
		200);
	CHECK(str_starts(buf_str(&stream), STR("data: {\"index\":0,\"content\":\"Hel\","
					       "\"tokens\":[],\"stop\":false}\n\n")));
	CHECK(has(&stream, "\"stop_type\":\"word\",\"stopping_word\":\"S\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/infill",
			     "{\"input_prefix\":\"NOFIM\",\"input_suffix\":\"\"}", NULL, &no),
		400);
	CHECK(has(&no, "it has no FIM prefix token"));
	test_app_stop(&t);
}

TEST(completions_that_are_refused)
{
	static const struct {
		const char *path, *body, *param;
	} bad[] = {
		{ "/v1/completions", "{}", "model" },
		{ "/v1/completions", "{\"model\":\"tiny\"}", "prompt" },
		{ "/v1/completions", "{\"model\":\"tiny\",\"prompt\":[\"a\",\"b\"]}", "prompt" },
		{ "/v1/completions", "{\"model\":\"tiny\",\"prompt\":[1,2]}", "prompt" },
		{ "/v1/completions", ASK("a") ",\"n\":9}", "n" },
		{ "/v1/completions", ASK("a") ",\"best_of\":2}", "best_of" },
		{ "/v1/completions", ASK("a") ",\"logprobs\":true}", "logprobs" },
		{ "/v1/completions", ASK("a") ",\"logprobs\":21}", "logprobs" },
		{ "/v1/completions", ASK("a") ",\"logprobs\":1,\"echo\":true}", "echo" },
		{ "/v1/completions", ASK("a") ",\"max_tokens\":0}", "max_tokens" },
		{ "/v1/completions", ASK("a") ",\"suffix\":1}", "suffix" },
		{ "/v1/completions", ASK("a") ",\"logit_bias\":{\"x\":1}}", "logit_bias" },
		{ "/v1/completions", ASK("CONTEXT") "}", "prompt" },
		{ "/infill", "{}", "input_prefix" },
		{ "/infill", "{\"input_prefix\":\"a\"}", "input_suffix" },
		{ "/infill", "{\"input_prefix\":\"a\",\"input_suffix\":\"b\",\"input_extra\":1}",
			"input_extra" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_BUF struct buf out = BUF(65536), want = BUF(256);
		int got = call_api(&t, "POST", bad[i].path, bad[i].body, NULL, &out);
		CHECK_OK(buf_addf(&want, "\"param\":\"%s\"", bad[i].param));
		if (got != 400 || str_find(buf_str(&out), buf_str(&want), 0) == SIZE_MAX)
			FAIL("%s: %d: %.*s", bad[i].body, got, (int)out.len, out.ptr);
	}
	test_app_stop(&t);
}

/* ---- n ---- */

TEST(several_answers_have_their_own_index_and_seed)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions",
			     CHAT("hi") ",\"n\":3,\"seed\":7}", NULL, &whole),
		200);
	CHECK_EQ_INT(fakes.started, 3);
	for (int i = 0; i < 3; i++) {
		char choice[64];
		snprintf(choice, sizeof choice, "{\"index\":%d,\"message\":", i);
		CHECK_EQ_INT(count(&whole, choice), 1);
		CHECK_EQ_INT(fakes.seeds[i], 7 + i);
	}
	CHECK_EQ_INT(count(&whole, "\"content\":\"Hello\""), 3);
	CHECK(has(&whole, "\"usage\":{\"prompt_tokens\":26,\"completion_tokens\":6,"
			  "\"total_tokens\":32"));
	test_app_stop(&t);
}

TEST(several_answers_are_one_stream_that_ends_once)
{
	struct test_app t;
	AUTO_BUF struct buf stream = BUF(1 << 20), texts = BUF(1 << 20);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions",
			     CHAT("hi") ",\"n\":8,\"stream\":true,"
					"\"stream_options\":{\"include_usage\":true}}",
			     NULL, &stream),
		200);
	CHECK_EQ_INT(count(&stream, "\"finish_reason\":\"stop\""), 8);
	CHECK_EQ_INT(count(&stream, "data: [DONE]"), 1);
	CHECK_EQ_INT(count(&stream, "\"index\":5,\"delta\""), 3);
	CHECK(str_ends(buf_str(&stream), STR("data: [DONE]\n\n")));
	CHECK_EQ_INT(count(&stream, "\"completion_tokens\":16"), 1);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions", ASK("hi") ",\"n\":2}", NULL, &texts),
		200);
	CHECK_EQ_INT(count(&texts, "\"text\":\"Hello\""), 2);
	test_app_stop(&t);
}

TEST(a_client_that_leaves_cancels_all_of_its_answers)
{
	struct test_app t;
	AUTO_BUF struct buf r = BUF(4096);
	const char *z, *body = CHAT("SLOW") ",\"n\":3,\"stream\":true}";
	test_app_start(&t);
	CHECK_OK(buf_addf(&r,
		"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
		"%s\r\nContent-Length: %zu\r\n\r\n%s",
		t.key, strlen(body), body));
	CHECK_OK(buf_cstr(&r, &z));
	int fd = test_connect(&t);
	send_z(fd, z);
	struct timespec nap = { .tv_nsec = 60000000 };
	nanosleep(&nap, NULL);
	CHECK_EQ_INT(fakes.cancelled, 0);
	close(fd);
	for (int k = 0; k < 100 && fakes.ended < 3; k++) /* each runs until it is cancelled */
		nanosleep(&nap, NULL);
	CHECK_EQ_INT(fakes.ended, 3);
	test_app_stop(&t);
}

TEST(a_long_prompt_is_said_again_in_a_stream_too)
{
	struct test_app t;
	enum { LONG = 400 * 1024 };
	AUTO_BUF struct buf body = BUF(1 << 20), out = BUF(1 << 22);
	const char *z;
	test_app_start(&t);
	CHECK_OK(buf_add(&body,
		STR("{\"model\":\"tiny\",\"echo\":true,\"stream\":true,\"prompt\":\"")));
	for (int i = 0; i < LONG; i++)
		CHECK_OK(buf_add_byte(&body, '-'));
	CHECK_OK(buf_add(&body, STR("\"}")));
	CHECK_OK(buf_cstr(&body, &z));
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions", z, NULL, &out), 200);
	CHECK(out.len > LONG && !has(&out, "\"error\"") && has(&out, "data: [DONE]"));
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/completions",
			     "{\"model\":\"\",\"prompt\":\"hi\"}", NULL, NULL),
		400);
	test_app_stop(&t);
}

TEST(of_several_one_that_fails_ends_all_and_is_told_once)
{
	struct test_app t;
	AUTO_BUF struct buf whole = BUF(65536), stream = BUF(65536), crowd = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions", CHAT("CROWD SLOW") ",\"n\":4}",
			     NULL, &crowd),
		429);
	CHECK(has(&crowd, "\"code\":\"rate_limit_exceeded\""));
	CHECK(fakes.cancelled >= 1); /* the first one, which had begun */
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions", CHAT("FAIL") ",\"n\":4}", NULL,
			     &whole),
		500);
	CHECK_EQ_INT(count(&whole, "\"error\""), 1);
	CHECK_EQ_INT(call_api(&t, "POST", "/v1/chat/completions",
			     CHAT("FAIL") ",\"n\":4,\"stream\":true}", NULL, &stream),
		200);
	CHECK_EQ_INT(count(&stream, "\"error\""), 1);
	CHECK(!has(&stream, "[DONE]"));
	test_app_stop(&t);
}
