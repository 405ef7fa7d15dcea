/* Against tests/gotmpl/golden.json, which the real Ollama wrote (tests/gotmpl/README.md). */
#include <stdio.h>
#include <string.h>

#include "gotmpl/gotmpl.h"
#include "tests/test.h"

enum { OUT_MAX = 4 * 1024 * 1024 };

static json_t *golden(void)
{
	json_error_t error;
	json_t *all = json_load_file(test_path("tests/gotmpl/golden.json"), 0, &error);
	if (!all)
		FAIL("golden.json: line %d: %s", error.line, error.text);
	return all;
}

static const char *text(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

static struct str str_of(const json_t *obj, const char *key)
{
	const json_t *j = json_object_get(obj, key);
	return (struct str){ json_string_value(j), json_string_length(j) };
}

static struct gotmpl_date today(const json_t *all)
{
	struct gotmpl_date d = { 0 };
	CHECK_EQ_INT(sscanf(text(all, "today"), "%d-%d-%d", &d.year, &d.month, &d.day), 3);
	return d;
}

/* Spans cover the output, in turns. */
static void check_spans(const char *name, const struct buf *out, const struct gotmpl_spans *sp)
{
	size_t at = 0;
	for (size_t i = 0; i < sp->count; i++) {
		const struct gotmpl_span *s = &sp->list[i];
		if (s->offset != at || s->len == 0 ||
			(i > 0 && s->is_data == sp->list[i - 1].is_data))
			FAIL("%s: span %zu is not right", name, i);
		at += s->len;
	}
	if (at != out->len)
		FAIL("%s: spans cover %zu of %zu bytes", name, at, out->len);
}

/* `want`: {"out": text} or {"error": ..}. Says what is wrong and goes on: true. */
static bool differs(const char *name, const char *of, const json_t *want, enum err e,
			 const struct buf *out, const struct err_info *info)
{
	struct str expected = str_of(want, "out"), got = buf_str(out);
	const char *error = text(want, "error");
	if (error && strncmp(error, "panic", 5) == 0) /* Ollama dies of it */
		return false;
	if (error ? e == ERR_INVALID : !e && str_eq(got, expected))
		return false;
	fprintf(stderr, "# %s, %s: %s %s\n got \"%.*s\"\nwant \"%.*s\" %s\n", name, of,
		e ? err_slug(e) : "", e ? info->detail : "", STR_ARG(got), STR_ARG(expected),
		error ? error : "");
	return true;
}

static void check_names(const char *name, const struct gotmpl *t, const json_t *want)
{
	static const char *const asked[] = { "messages", "Tools", "suffix", "prompt", "System",
		"response", "thinking", "think", "toolcalls", "images", "IsThinkSet", "nothing" };
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(want, "vars"), i, v)
	{
		if (!gotmpl_uses(t, json_string_value(v)))
			FAIL("%s does not know that it uses %s", name, json_string_value(v));
	}
	for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
		bool used = false;
		json_array_foreach(json_object_get(want, "vars"), i, v)
		{
			used |= str_eq_nocase(str_from(json_string_value(v)), str_from(asked[k]));
		}
		if (gotmpl_uses(t, asked[k]) != used)
			FAIL("%s: uses %s? %d", name, asked[k], !used);
	}
	struct str open, closing;
	const json_t *tags = json_object_get(want, "think");
	bool both = gotmpl_think_tags(t, &open, &closing);
	CHECK(str_eq(open, str_from(json_string_value(json_array_get(tags, 0)))));
	CHECK(str_eq(closing, str_from(json_string_value(json_array_get(tags, 1)))));
	CHECK_EQ_INT(both, open.len && closing.len);
}

static bool chat_differs(const char *name, const struct gotmpl *t, const char *of,
		       const json_t *conversation, const json_t *want, struct gotmpl_date date)
{
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	struct gotmpl_spans spans = { 0 };
	struct err_info info = { 0 };
	struct gotmpl_chat c = {
		.messages = json_object_get(conversation, "messages"),
		.tools = json_object_get(conversation, "tools"),
		.prompt = str_of(conversation, "prompt"),
		.suffix = str_of(conversation, "suffix"),
		.think = json_is_true(json_object_get(conversation, "think")),
		.think_set = json_is_true(json_object_get(conversation, "think_set")),
		.think_level = str_of(conversation, "think_level"),
		.today = date,
	};
	enum err e = gotmpl_chat_render(t, &c, &out, &spans, &info);
	bool bad = differs(name, of, want, e, &out, &info);
	check_spans(name, &out, &spans);
	gotmpl_spans_done(&spans);
	return bad;
}

TEST(chats_are_rendered_as_by_ollama)
{
	AUTO_JSON json_t *all = golden();
	const char *of;
	json_t *one, *want;
	size_t i, n = 0, bad = 0;
	json_array_foreach(json_object_get(all, "templates"), i, one)
	{
		AUTO(gotmpl) struct gotmpl *t = NULL;
		struct err_info info = { 0 };
		const char *name = text(one, "name"), *error = text(one, "error");
		enum err e = gotmpl_parse(str_of(one, "text"), &t, &info);
		if ((e != OK) != (error != NULL))
			FAIL("%s: %s %s, Ollama: %s", name, err_slug(e), info.detail,
				error ? error : "fine");
		if (error)
			continue;
		check_names(name, t, one);
		json_object_foreach(json_object_get(one, "chats"), of, want)
		{
			bad += chat_differs(name, t, of,
				json_object_get(json_object_get(all, "conversations"), of), want,
				today(all));
			n++;
		}
	}
	CHECK(n > 2000);
	CHECK_EQ_INT(bad, 0);
}

TEST(the_language_is_the_one_of_go)
{
	AUTO_JSON json_t *all = golden();
	json_t *one;
	size_t i, bad = 0;
	json_array_foreach(json_object_get(all, "renderings"), i, one)
	{
		AUTO(gotmpl) struct gotmpl *t = NULL;
		AUTO_BUF struct buf out = BUF(OUT_MAX);
		struct gotmpl_spans spans = { 0 };
		struct err_info info = { 0 };
		const char *name = text(one, "name");
		enum err e = gotmpl_parse(str_of(one, "template"), &t, &info);
		if (!e)
			e = gotmpl_render(t, json_object_get(one, "data"), today(all), &out,
				&spans, &info);
		bad += differs(name, "", one, e, &out, &info);
		check_spans(name, &out, &spans);
		gotmpl_spans_done(&spans);
	}
	CHECK(i > 100);
	CHECK_EQ_INT(bad, 0);
}
