/* Against tests/gotmpl/calls.json, which the real Ollama wrote (tests/gotmpl/README.md). */
#include <stdio.h>

#include "base/limits.h"
#include "gotmpl/gotmpl.h"
#include "gotmpl/gotmpl_tools.h"
#include "tests/test.h"

static json_t *golden(void)
{
	json_error_t error;
	json_t *all = json_load_file(test_path("tests/gotmpl/calls.json"), 0, &error);
	if (!all)
		FAIL("calls.json: line %d: %s", error.line, error.text);
	return all;
}

static struct str str_of(const json_t *obj, const char *key)
{
	const json_t *j = json_object_get(obj, key);
	return (struct str){ json_string_value(j), json_string_length(j) };
}

TEST(the_tag_of_calls_is_the_one_ollama_finds)
{
	AUTO_JSON json_t *all = golden();
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(all, "templates"), i, one)
	{
		AUTO(gotmpl) struct gotmpl *t = NULL;
		struct str want = str_of(one, "tag");
		CHECK_OK(gotmpl_parse(str_of(one, "text"), &t, NULL));
		struct str got = gotmpl_call_tag(t);
		if (!str_eq(got, want))
			FAIL("%s: \"%.*s\", Ollama: \"%.*s\"",
				json_string_value(json_object_get(one, "name")), STR_ARG(got),
				STR_ARG(want));
	}
	CHECK(i > 50);
}

static bool same_calls(const struct buf *got, const json_t *want)
{
	AUTO_JSON json_t *list = NULL;
	if (!got->len)
		return !json_array_size(want);
	CHECK_OK(json_read(buf_str(got), LIMIT_ANSWER, JSON_DEPTH_DEFAULT, &list, NULL));
	return json_equal(list, want);
}

/* Calls are Ollama's. So is the text, behind which stands what Ollama drops, if it has words. */
static bool differs(const json_t *tools, struct str tag, struct str text, const json_t *want,
	size_t step)
{
	AUTO(gotools) struct gotools *g = NULL;
	AUTO_BUF struct buf answer = BUF(LIMIT_ANSWER), calls = BUF(LIMIT_ANSWER);
	struct str content = str_of(want, "content"), left = str_of(want, "left");
	bool lost = false;
	CHECK_OK(gotools_new(tag, tools, &g));
	for (size_t i = 0; i < text.len; i += step)
		CHECK_OK(gotools_add(g, str_sub(text, i, step), false, &answer, &lost));
	CHECK(!lost);
	CHECK_OK(gotools_add(g, STR_NONE, true, &answer, &lost));
	CHECK_OK(gotools_calls(g, &calls));
	struct str more = str_sub(buf_str(&answer), content.len, SIZE_MAX);
	bool right = same_calls(&calls, json_object_get(want, "calls"));
	if (gotools_count(g))
		right = right && str_starts(buf_str(&answer), content) &&
			(!more.len || str_eq(more, left)) && lost == (more.len > 0);
	else /* nothing is dropped; Ollama says some texts twice, when they come in one piece */
		right = right && str_eq(buf_str(&answer), text) &&
			(left.len ? str_eq(more, left) : str_starts(content, text));
	if (right)
		return false;
	fprintf(stderr,
		"# \"%.*s\" in \"%.*s\" by %zu: answer \"%.*s\" calls \"%.*s\"%s, Ollama: "
		"\"%.*s\" and left \"%.*s\"\n",
		STR_ARG(tag), STR_ARG(text), step, STR_ARG(buf_str(&answer)),
		STR_ARG(buf_str(&calls)), lost ? " lost" : "", STR_ARG(content), STR_ARG(left));
	return true;
}

TEST(calls_are_read_as_by_ollama)
{
	AUTO_JSON json_t *all = golden();
	const json_t *tools = json_object_get(all, "tools");
	size_t i, bad = 0, n = 0;
	json_t *one;
	json_array_foreach(json_object_get(all, "answers"), i, one)
	{
		struct str tag = str_of(one, "tag"), text = str_of(one, "text");
		bad += differs(tools, tag, text, json_object_get(one, "whole"), text.len + 1);
		bad += differs(tools, tag, text, json_object_get(one, "bytes"), 1);
		n += json_array_size(json_object_get(json_object_get(one, "whole"), "calls"));
	}
	CHECK(i > 200);
	CHECK(n > 100);
	CHECK_EQ_INT(bad, 0);
}

TEST(what_cannot_be_read_stays_in_the_answer)
{
	AUTO_JSON json_t *tools = json_pack("[{s:{s:s}}]", "function", "name", "look");
	AUTO(gotools) struct gotools *g = NULL;
	AUTO_BUF struct buf answer = BUF(4096), calls = BUF(4096);
	bool lost;
	CHECK_OK(gotools_new(STR("<call>"), tools, &g));
	CHECK_OK(gotools_add(g, STR("Well <call>look{\"a\":1} said "), false, &answer, &lost));
	CHECK_EQ_STR(buf_str(&answer), STR("Well "));
	CHECK_EQ_INT(gotools_count(g), 1);
	CHECK_OK(gotools_add(g, STR("somebody"), true, &answer, &lost));
	CHECK(lost);
	CHECK_EQ_STR(buf_str(&answer), STR("Well } said somebody"));
	CHECK_OK(gotools_calls(g, &calls));
	CHECK_EQ_STR(buf_str(&calls), STR("[{\"name\":\"look\",\"arguments\":{\"a\":1}}]"));
}

TEST(a_templates_language_is_told_from_its_text)
{
	static const struct {
		const char *text;
		bool go;
		enum err e;
	} of[] = {
		{ "{{ .Prompt }}", true, OK },
		{ "{{ range .Messages }}{{ .Content }}{{ end }}", true, OK },
		{ "plain", true, OK },
		{ "{% for m in messages %}{{ m.content }}{% endfor %}", false, OK },
		{ "{% raw %}{{ .Prompt }}{% endraw %}", false, OK },
		{ "{{ messages[0]['content'] }}", false, ERR_INVALID },
		{ "{{ if .Prompt }}no end", false, ERR_INVALID },
	};
	for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
		AUTO(gotmpl) struct gotmpl *t = NULL;
		struct err_info info = { .code = OK };
		CHECK_ERR(gotmpl_parse_any(str_from(of[i].text), &t, &info), of[i].e);
		CHECK_EQ_INT(t != NULL, of[i].go);
	}
}
