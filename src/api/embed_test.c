/* Vectors and scores on the wire; the fleet is played (test_fakes.c). */
#include <stdlib.h>
#include <string.h>

#include "api/test_app.h"

#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ORIGIN "\"model_digest\":\"" B64 "\",\"engine_build\":\"b1\""

static void ask(const char *path, const char *body, int status, struct buf *out)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", path, body, NULL, out), status);
	test_app_stop(&t);
}

static void expect(const char *path, const char *body, int status, const char *want)
{
	AUTO_BUF struct buf out = BUF(65536);
	ask(path, body, status, &out);
	CHECK_EQ_STR(buf_str(&out), str_from(want));
}

TEST(openais_list_of_vectors)
{
	expect("/v1/embeddings", "{\"model\":\"embed\",\"input\":[\"abc\",\"x\"],\"dimensions\":3}",
		200,
		"{\"object\":\"list\",\"data\":["
		"{\"object\":\"embedding\",\"index\":0,\"embedding\":"
		"[0.375,-0.100000001,1.00000001e-07]},"
		"{\"object\":\"embedding\",\"index\":1,\"embedding\":"
		"[0.125,-0.100000001,1.00000001e-07]}],"
		"\"model\":\"embed\",\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}," ORIGIN
		"}");
	CHECK(fakes.embed.dimensions == 3 && fakes.embed.normalise && !fakes.embed.truncate);
	CHECK_EQ_Z(fakes.input, "abcx");
}

TEST(base64_is_the_floats_in_little_endian)
{
	/* python: base64.b64encode(struct.pack("<3f", 0.375, -0.1, 1e-7)) */
	expect("/v1/embeddings",
		"{\"model\":\"embed\",\"input\":\"abc\",\"encoding_format\":\"base64\"}", 200,
		"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
		"\"embedding\":\"AADAPs3MzL2Vv9Yz\"}],\"model\":\"embed\",\"usage\":"
		"{\"prompt_tokens\":3,\"total_tokens\":3}," ORIGIN "}");
}

TEST(the_older_form_of_ollama_has_one_vector)
{
	expect("/api/embeddings", "{\"model\":\"embed\",\"prompt\":\"abcd\",\"keep_alive\":\"7m\"}",
		200, "{\"embedding\":[0.5,-0.100000001,1.00000001e-07]," ORIGIN "}");
	CHECK(!fakes.embed.normalise && fakes.embed.truncate);
	CHECK_EQ_INT(fakes.keep_alive_ms, 7 * 60000);
}

TEST(no_text_gives_no_vector)
{
	expect("/api/embeddings", "{\"model\":\"embed\"}", 200,
		"{\"embedding\":[],\"model_digest\":\"" B64 "\"}");
}

TEST(what_was_cut_or_has_no_effect_is_said)
{
	AUTO_BUF struct buf out = BUF(65536);
	ask("/api/embed",
		"{\"model\":\"embed\",\"input\":\"aaaaaaaaaaaaaaaaaaaaaaaa\","
		"\"options\":{\"temperature\":0}}",
		200, &out);
	CHECK(str_find(buf_str(&out), STR("1 input was cut: this model reads at most 20"), 0) !=
		SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("have no effect"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("\"load_duration\":77,\"prompt_eval_count\":24"), 0) !=
		SIZE_MAX);
}

TEST(documents_come_back_best_first)
{
	expect("/v1/rerank",
		"{\"model\":\"embed\",\"query\":\"q\",\"documents\":"
		"[\"a\",{\"text\":\"abc\"},\"b\",\"\"],"
		"\"top_n\":3,\"return_documents\":true}",
		200,
		"{\"model\":\"embed\",\"object\":\"list\",\"usage\":{\"prompt_tokens\":5,"
		"\"total_tokens\":5},\"results\":["
		"{\"index\":1,\"relevance_score\":0.375,\"document\":{\"text\":\"abc\"}},"
		"{\"index\":0,\"relevance_score\":0.125,\"document\":{\"text\":\"a\"}},"
		"{\"index\":2,\"relevance_score\":0.125,\"document\":{\"text\":\"b\"}}]," ORIGIN
		"}");
	CHECK(fakes.embed.rank && fakes.embed.truncate);
}

TEST(errors_of_the_fleet_are_answered_in_the_apis_form)
{
	expect("/api/embed", "{\"model\":\"embed\",\"input\":\"FAIL\"}", 400,
		"{\"error\":\"input 0: no\"}");
}

TEST(a_full_queue_is_busy)
{
	AUTO_BUF struct buf out = BUF(65536);
	ask("/v1/embeddings", "{\"model\":\"embed\",\"input\":\"BUSY\"}", 429, &out);
	CHECK(str_find(buf_str(&out), STR("rate_limit_exceeded"), 0) != SIZE_MAX);
}
