/* Expected output: TestShowInfo of Ollama 0.17.4 (cmd/cmd_test.go), byte for byte. */
#include "cli/show.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "cli/attach.h"
#include "cli/width.h"
#include "os/fd.h"
#include "tests/test.h"

#define DETAILS                                                          \
	"\"details\":{\"family\":\"test\",\"parameter_size\":\"7B\"," \
	"\"quantization_level\":\"FP16\"}"
#define MODEL                                    \
	"  Model\n"                              \
	"    architecture    test    \n"         \
	"    parameters      7B      \n"         \
	"    quantization    FP16    \n"         \
	"\n"

static void expect(const char *json, bool verbose, const char *text)
{
	AUTO_JSON json_t *doc = NULL;
	char got[4096] = "";
	width_init();
	CHECK_OK(json_read(str_from(json), 65536, 8, &doc, NULL));
	FILE *out = fmemopen(got, sizeof got, "w");
	CHECK_OK(show_info(doc, verbose, out));
	fclose(out);
	CHECK_EQ_Z(got, text);
}

TEST(details_alone)
{
	expect("{" DETAILS "}", false, MODEL);
}

TEST(model_info)
{
	expect("{" DETAILS ",\"model_info\":{\"general.architecture\":\"test\","
	       "\"general.parameter_count\":7000000000,\"test.context_length\":0,"
	       "\"test.embedding_length\":0}}",
		false,
		"  Model\n"
		"    architecture        test    \n"
		"    parameters          7B      \n"
		"    context length      0       \n"
		"    embedding length    0       \n"
		"    quantization        FP16    \n"
		"\n");
}

TEST(everything_when_it_is_asked_for) /* whole numbers stay whole: Ollama has 8e+09 */
{
	expect("{\"details\":{\"family\":\"test\",\"parameter_size\":\"8B\",\"quantization_level\":"
	       "\"FP16\"},\"parameters\":\"\\n\\t\\t\\tstop up\",\"model_info\":{"
	       "\"general.architecture\":\"test\",\"general.parameter_count\":8000000000,"
	       "\"some.true_bool\":true,\"some.false_bool\":false,\"test.context_length\":1000,"
	       "\"test.embedding_length\":11434},\"tensors\":[{\"name\":\"blk.0.attn_k.weight\","
	       "\"type\":\"BF16\",\"shape\":[42,3117]},{\"name\":\"blk.0.attn_q.weight\",\"type\":"
	       "\"FP16\",\"shape\":[3117,42]}]}",
		true,
		"  Model\n"
		"    architecture        test     \n"
		"    parameters          8B       \n"
		"    context length      1000     \n"
		"    embedding length    11434    \n"
		"    quantization        FP16     \n"
		"\n"
		"  Parameters\n"
		"    stop    up    \n"
		"\n"
		"  Metadata\n"
		"    general.architecture       test          \n"
		"    general.parameter_count    8000000000    \n"
		"    some.false_bool            false         \n"
		"    some.true_bool             true          \n"
		"    test.context_length        1000          \n"
		"    test.embedding_length      11434         \n"
		"\n"
		"  Tensors\n"
		"    blk.0.attn_k.weight    BF16    [42 3117]    \n"
		"    blk.0.attn_q.weight    FP16    [3117 42]    \n"
		"\n");
}

/* A list takes ten columns, each item after the first two more than it has (showInfo). */
TEST(lists_of_metadata_are_cut)
{
	expect("{" DETAILS ",\"model_info\":{\"a.list\":[1,2,3,4,5],"
	       "\"b.list\":[\"long text here\",2],\"c.list\":[]}}",
		true,
		MODEL "  Metadata\n"
		      "    a.list    [1 2 3 ...+2 more]             \n"
		      "    b.list    [long text here ...+1 more]    \n"
		      "    c.list    []                             \n"
		      "\n");
}

TEST(parameters)
{
	expect("{" DETAILS ",\"parameters\":\"stop never\\nstop gonna\\nstop give\\nstop you\\n"
	       "stop up\\ntemperature 99\"}",
		false,
		MODEL "  Parameters\n"
		      "    stop           never    \n"
		      "    stop           gonna    \n"
		      "    stop           give     \n"
		      "    stop           you      \n"
		      "    stop           up       \n"
		      "    temperature    99       \n"
		      "\n");
}

TEST(projector)
{
	expect("{" DETAILS ",\"projector_info\":{\"general.architecture\":\"clip\","
	       "\"general.parameter_count\":133700000,\"clip.vision.embedding_length\":0,"
	       "\"clip.vision.projection_dim\":0}}",
		false,
		MODEL "  Projector\n"
		      "    architecture        clip       \n"
		      "    parameters          133.70M    \n"
		      "    embedding length    0          \n"
		      "    dimensions          0          \n"
		      "\n");
}

TEST(system_licence_capabilities_and_version)
{
	expect("{" DETAILS ",\"system\":\"You are a pirate!\\nAhoy, matey!\\nWeigh anchor!"
	       "\\n\\t\"}",
		false,
		MODEL "  System\n"
		      "    You are a pirate!    \n"
		      "    Ahoy, matey!         \n"
		      "    ...                  \n"
		      "\n");
	expect("{" DETAILS ",\"license\":\"MIT License\\nCopyright (c) Ollama\\n\"}", false,
		MODEL "  License\n"
		      "    MIT License             \n"
		      "    Copyright (c) Ollama    \n"
		      "\n");
	expect("{" DETAILS ",\"capabilities\":[\"vision\",\"tools\"]}", false,
		MODEL "  Capabilities\n"
		      "    vision    \n"
		      "    tools     \n"
		      "\n");
	expect("{" DETAILS ",\"requires\":\"0.14.0\"}", false,
		"  Model\n"
		"    architecture    test      \n"
		"    parameters      7B        \n"
		"    quantization    FP16      \n"
		"    requires        0.14.0    \n"
		"\n");
}

TEST(a_reply_of_any_shape_is_survived)
{
	static const char *const odd[] = { "[]", "{}", "{\"details\":7,\"model_info\":[]}",
		"{\"capabilities\":{\"a\":1},\"tensors\":[7,{}],\"parameters\":4}",
		"{\"model_info\":{\"general.architecture\":5,\"x\":[[[1]],null,{}]}}" };
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		AUTO_JSON json_t *doc = NULL;
		CHECK_OK(json_read(str_from(odd[i]), 65536, 8, &doc, NULL));
		FILE *out = fopen("/dev/null", "w");
		CHECK_OK(show_info(doc, true, out));
		fclose(out);
	}
}

/* ---- pictures in prompts ---- */

static void make(const char *name, struct str head)
{
	AUTO_FD int fd = -1;
	CHECK_OK(fd_open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd));
	CHECK_OK(fd_write_full(fd, head.ptr, head.len));
}

static void expect_rest(const char *prompt, size_t pictures, const char *rest)
{
	AUTO_BUF struct buf text = BUF(65536);
	AUTO_JSON json_t *images = json_array();
	CHECK_OK(attach_pictures(str_from(prompt), &text, images, NULL));
	CHECK_EQ_INT(json_array_size(images), pictures);
	CHECK_EQ_STR(text.ptr ? buf_str(&text) : STR(""), str_from(rest));
}

TEST(paths_of_pictures_leave_the_prompt)
{
	AUTO_BUF struct buf prompt = BUF(65536);
	const char *z, *dir = test_dir();
	CHECK(!chdir(dir));
	make("x.png", STR("\x89PNG\r\n\x1a\n...."));
	make("a b(1).JPG", STR("\xff\xd8\xff\xe0...."));
	make("w.webp", STR("RIFF....WEBP"));
	expect_rest("what is ./x.png", 1, "what is");
	expect_rest("./x.png", 1, "");
	expect_rest("before './x.png' after", 1, "before  after");
	expect_rest("before \"./a b(1).JPG\" after", 1, "before  after");
	expect_rest("./a\\ b\\(1\\).JPG and ./w.webp?", 2, "and ?");
	expect_rest("see /nothing here ./x.png too", 1, "see /nothing here  too");
	expect_rest("./none.png http://x/./x.png x.png ./x.pngs", 0,
		"./none.png http://x/./x.png x.png ./x.pngs");
	CHECK_OK(buf_addf(&prompt, "(%s/x.png)", dir));
	CHECK_OK(buf_cstr(&prompt, &z));
	expect_rest(z, 1, "()");
	setenv("HOME", dir, 1);
	expect_rest("look: ~/x.png", 1, "look:");
}

TEST(a_file_that_is_no_picture_is_refused)
{
	AUTO_BUF struct buf text = BUF(65536);
	AUTO_JSON json_t *images = json_array();
	struct err_info why = { 0 };
	CHECK(!chdir(test_dir()));
	make("x.png", STR("#!/bin/sh\n"));
	CHECK_ERR(attach_pictures(STR("./x.png"), &text, images, &why), ERR_INVALID);
	CHECK(strstr(why.detail, "./x.png"));
	make("big.png", STR("\x89PNG\r\n\x1a\n"));
	CHECK(!truncate("big.png", ATTACH_FILE_MAX + 1));
	CHECK_ERR(attach_pictures(STR("./big.png"), &text, images, &why), ERR_TOO_LARGE);
	CHECK_EQ_INT(json_array_size(images), 0);
}

/* A reply with a value of `n` euro signs, which are three bytes each, wherever one may be long. */
static json_t *with_long_values(size_t n)
{
	AUTO_BUF struct buf s = BUF(SIZE_MAX);
	const char *z;
	for (size_t i = 0; i < n; i++)
		CHECK_OK(buf_add(&s, STR("\xe2\x82\xac")));
	CHECK_OK(buf_cstr(&s, &z));
	json_t *shape = json_array();
	for (size_t i = 0; i < n; i++)
		CHECK(!json_array_append_new(shape, json_integer(1000000)));
	return json_pack("{s:{s:s,s:[s,s]},s:[{s:s,s:s,s:o},{s:s,s:s,s:[i]}]}", "model_info", "a",
		z, "b", z, z, "tensors", "name", z, "type", z, "shape", shape, "name", "last",
		"type", "F32", "shape", 7);
}

TEST(values_that_are_too_long_are_cut_and_the_rest_is_shown)
{
	static char got[1 << 20];
	AUTO_JSON json_t *doc = with_long_values(100000);
	width_init();
	FILE *out = fmemopen(got, sizeof got, "w");
	CHECK_OK(show_info(doc, true, out));
	fclose(out);
	CHECK(str_is_utf8(str_from(got)));
	size_t euros = 0;
	for (const char *p = strstr(got, "    a    ") + 9; !strncmp(p, "\xe2\x82\xac", 3); p += 3)
		euros++;
	CHECK_EQ_INT(euros, 4096 / 3);
	CHECK(strstr(got, " ...+1 more]") && strstr(got, " 1000000 ...+"));
	CHECK(strstr(got, "    last    ") && strstr(got, "    [7]    "));
}
