/* Texts and tokens in Ollama's and llama-server's forms. */
#include <stdio.h>

#include "api/test_app.h"

/* Durations differ from run to run. */
static struct str before_times(const struct buf *b)
{
	size_t at = str_find(buf_str(b), STR(",\"total_duration\":"), 0);
	return str_sub(buf_str(b), 0, at == SIZE_MAX ? b->len : at);
}

TEST(a_text_becomes_tokens)
{
	struct test_app t;
	AUTO_BUF struct buf ollama = BUF(4096), plain = BUF(4096), pieces = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/tokenize",
			     "{\"model\":\"tiny\",\"content\":\"ab\",\"keep_alive\":\"10m\"}",
			     NULL, &ollama),
		200);
	CHECK_EQ_STR(before_times(&ollama), STR("{\"model\":\"tiny\",\"tokens\":[97,98]"));
	CHECK(str_find(buf_str(&ollama), STR("\"load_duration\":77"), 0) != SIZE_MAX);
	CHECK_EQ_INT(fakes.keep_alive_ms, 600000);
	CHECK(!fakes.tokens.add_special && fakes.tokens.parse_special);
	CHECK_EQ_INT(call_api(&t, "POST", "/tokenize", "{\"content\":\"ab\"}", NULL, &plain), 200);
	CHECK_EQ_STR(buf_str(&plain), STR("{\"tokens\":[97,98]}"));
	CHECK_EQ_INT(call_api(&t, "POST", "/tokenize",
			     "{\"content\":\"a\xc3\xa9\",\"with_pieces\":true,"
			     "\"add_special\":true,\"parse_special\":false}",
			     NULL, &pieces),
		200);
	/* half a character is given as its bytes */
	CHECK_EQ_STR(buf_str(&pieces),
		STR("{\"tokens\":[{\"id\":97,\"piece\":\"a\"},{\"id\":195,\"piece\":[195]},"
		    "{\"id\":169,\"piece\":[169]}]}"));
	CHECK(fakes.tokens.add_special && !fakes.tokens.parse_special);
	test_app_stop(&t);
}

TEST(tokens_become_a_text)
{
	struct test_app t;
	AUTO_BUF struct buf ollama = BUF(4096), plain = BUF(4096), half = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/detokenize",
			     "{\"model\":\"tiny\",\"tokens\":[97,98]}", NULL, &ollama),
		200);
	CHECK_EQ_STR(before_times(&ollama), STR("{\"model\":\"tiny\",\"content\":\"ab\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/detokenize", "{\"tokens\":[]}", NULL, &plain), 200);
	CHECK_EQ_STR(buf_str(&plain), STR("{\"content\":\"\"}"));
	CHECK_EQ_INT(call_api(&t, "POST", "/detokenize", "{\"tokens\":[97,195]}", NULL, &half),
		200);
	CHECK_EQ_STR(buf_str(&half), STR("{\"content\":\"a\xef\xbf\xbd\"}"));
	test_app_stop(&t);
}

TEST(questions_about_text_that_are_refused)
{
	static const struct {
		const char *path, *body;
		int status;
	} bad[] = {
		{ "/api/tokenize", "{\"content\":\"a\"}", 400 },
		{ "/api/tokenize", "{\"model\":\"nope\",\"content\":\"a\"}", 404 },
		{ "/api/tokenize", "{\"model\":\"tiny\"}", 400 },
		{ "/tokenize", "{\"content\":7}", 400 },
		{ "/tokenize", "{\"content\":\"a\",\"add_special\":1}", 400 },
		{ "/tokenize", "{\"content\":\"BUSY\"}", 429 },
		{ "/tokenize", "{\"content\":\"FAIL\"}", 400 },
		{ "/detokenize", "{}", 400 },
		{ "/detokenize", "{\"tokens\":\"a\"}", 400 },
		{ "/detokenize", "{\"tokens\":[1.5]}", 400 },
		{ "/detokenize", "{\"tokens\":[-1]}", 400 },
		{ "/detokenize", "{\"tokens\":[4294967296]}", 400 },
		{ "/api/detokenize", "{\"model\":\"tiny\",\"tokens\":[\"a\"]}", 400 },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_BUF struct buf out = BUF(4096);
		int got = call_api(&t, "POST", bad[i].path, bad[i].body, NULL, &out);
		if (got != bad[i].status)
			FAIL("%s %s: %d, wanted %d: %.*s", bad[i].path, bad[i].body, got,
				bad[i].status, (int)out.len, out.ptr);
		CHECK(str_starts(buf_str(&out),
			bad[i].path[1] == 'a' ? STR("{\"error\":\"") : STR("{\"error\":{")));
	}
	test_app_stop(&t);
}

TEST(a_text_that_is_too_long_is_refused_before_an_engine_sees_it)
{
	enum { TOO_LONG = TOKENS_TEXT_MAX + 1 };
	struct test_app t;
	AUTO_BUF struct buf body = BUF(2 * TOO_LONG), out = BUF(4096);
	const char *z;
	test_app_start(&t);
	CHECK_OK(buf_add(&body, STR("{\"content\":\"")));
	for (int i = 0; i < TOO_LONG; i++)
		CHECK_OK(buf_add_byte(&body, 'a'));
	CHECK_OK(buf_add(&body, STR("\"}")));
	CHECK_OK(buf_cstr(&body, &z));
	CHECK_EQ_INT(call_api(&t, "POST", "/tokenize", z, NULL, &out), 413);
	CHECK_EQ_INT(fakes.started, 0);
	test_app_stop(&t);
}

TEST(a_copy_is_recorded_and_only_of_what_is_there)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(4096), none = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/copy",
			     "{\"source\":\"tiny\",\"destination\":\"mine\"}", NULL, &out),
		200);
	CHECK_EQ_INT(fakes.copied, 1);
	CHECK(fakes_audited("\"object\":\"mine\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/copy",
			     "{\"source\":\"tiny\",\"destination\":\"other\",\"model\":"
			     "\"harmless\"}",
			     NULL, NULL),
		200);
	CHECK(fakes_audited("\"object\":\"other\""));
	CHECK(fakes_never_audited("harmless"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/copy",
			     "{\"source\":\"nope\",\"destination\":\"mine\"}", NULL, &none),
		404);
	CHECK_EQ_STR(buf_str(&none), STR("{\"error\":\"model \\\"nope\\\" not found\"}"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/copy", "{\"source\":\"tiny\"}", NULL, NULL), 400);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/copy",
			     "{\"source\":\"tiny\",\"destination\":\"a b\"}", NULL, NULL),
		400);
	CHECK_EQ_INT(fakes.copied, 2);
	test_app_stop(&t);
}
