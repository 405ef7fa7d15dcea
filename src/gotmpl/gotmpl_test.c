#include "gotmpl/gotmpl.h"

#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "tests/test.h"

static const struct gotmpl_date day = { 2026, 3, 1 };

static json_t *parse_json(const char *text)
{
	json_t *v = NULL; /* with base/json.c jansson's allocations can fail, too */
	if (json_read(str_from(text), 1 << 20, JSON_DEPTH_DEFAULT, &v, NULL))
		FAIL("not JSON: %s", text);
	return v;
}

static enum err render(const char *text, const char *data, struct buf *out,
		       struct gotmpl_spans *spans, struct err_info *info)
{
	AUTO(gotmpl) struct gotmpl *t = NULL;
	AUTO_JSON json_t *j = parse_json(data);
	TRY(gotmpl_parse(str_from(text), &t, info));
	return gotmpl_render(t, j, day, out, spans, info);
}

/* The pieces, each in [..] when it is data. */
static void check_pieces(const char *text, const char *data, const char *want)
{
	AUTO_BUF struct buf out = BUF(4096);
	AUTO_BUF struct buf shown = BUF(8192);
	struct gotmpl_spans spans = { 0 };
	CHECK_OK(render(text, data, &out, &spans, NULL));
	for (size_t i = 0; i < spans.count; i++) {
		const struct gotmpl_span *s = &spans.list[i];
		CHECK_OK(buf_addf(&shown, s->is_data ? "[%.*s]" : "%.*s",
			STR_ARG(str_sub(buf_str(&out), s->offset, s->len))));
	}
	gotmpl_spans_done(&spans);
	CHECK_EQ_STR(buf_str(&shown), str_from(want));
}

TEST(what_a_person_wrote_is_marked_wherever_it_goes)
{
	const char *data = "{\"A\":\"<eos>\",\"L\":[\"x\",\"y\"],\"N\":3,\"Response\":\"\"}";
	check_pieces("<bos>{{ .A }}<bos>", data, "<bos>[<eos>]<bos>");
	check_pieces("{{ .A }}{{ .A }}", data, "[<eos><eos>]");
	check_pieces("{{ \"<bos>\" }}{{ print \"<b>\" .A \"</b>\" }}", data,
		"<bos><b>[<eos>]</b>");
	check_pieces("{{ printf \"<b>%s</b>%d\" .A 1 }}", data, "<b>[<eos>]</b>1");
	check_pieces("{{ $s := \"\" }}{{ $s = printf \"%s%s|\" $s .A }}{{ $s = printf \"%s%s|\" $s "
		     "\"t\" }}{{ $s }}", data, "[<eos>]|t|");
	check_pieces("{{ printf \"%5s|%q\" .A .A }}", data, "[<eos>]|[\"<eos>\"]");
	check_pieces("{{ $m := print \"a\" .A }}{{ slice $m 0 1 }}{{ $m }}", data, "[a]a[<eos>]");
	check_pieces("{{ json .A }}{{ json \"t\" }}{{ .L }}", data,
		"[\"\\u003ceos\\u003e\"]\"t\"[[x y]]");
	check_pieces("{{ range .L }}-{{ . }}{{ end }}{{ len .L }}{{ .N }}{{ .Missing }}", data,
		"-[x]-[y]2[3]<no value>");
	check_pieces("{{ define \"d\" }}<{{ . }}>{{ end }}{{ template \"d\" .A }}{{ currentDate }}",
		data, "<[<eos>]>2026-03-01");
	check_pieces("{{ or \"\" .A }}{{ index .L 0 }}{{ with .A }}({{ . }}){{ end }}", data,
		"[<eos>x]([<eos>])");
}

TEST(messages_name_line_and_column)
{
	static const struct {
		const char *text, *data, *says;
	} rows[] = {
		{ "{{ end }}", "{}", "template line 1, column 4: unexpected {{end}}" },
		{ "a\nb {{ .A ", "{}", "line 2, column 9: unclosed action" },
		{ "\xc3\xa4\xc3\xb6\n\xc3\xa4 {{ 1a }}", "{}", "line 2, column 6: bad number" },
		{ "{{ if .A }}\n{{ .B }}", "{}", "line 2, column 9: unexpected end of the" },
		{ "{{ range .A }}{{ if }}{{ end }}{{ end }}", "{}", "missing value for if" },
		{ "{{ lower .A }}", "{}", "column 4: function \"lower\" not defined" },
		{ "{{ html .A }}", "{}", "column 4: the function \"html\" is not supported" },
		{ "{{ $x }}", "{}", "undefined variable \"$x\"" },
		{ "{{ break }}", "{}", "outside of range" },
		{ "{{ \"\\q\" }}", "{}", "column 5: invalid escape" },
		{ "{{ 'ab' }}", "{}", "malformed character constant" },
		{ "{{ .A ) }}", "{}", "column 7: unexpected right paren" },
		{ "{{ (.A }}", "{}", "unclosed left paren" },
		{ "{{ \"abc }}", "{}", "unterminated quoted string" },
		{ "{{ `abc }}", "{}", "unterminated raw quoted string" },
		{ "{{ 'a }}", "{}", "unterminated character constant" },
		{ "{{/* a", "{}", "unclosed comment" },
		{ "{{ .A : 1 }}", "{}", "expected :=" },
		{ "{{ .A\xc3\xa4 }}", "{}", "bad character in a name" },
		{ "{{ \xe2\x82\xac }}", "{}", "unrecognized character" },
		{ "{{ $a, $b := 1 }}", "{}", "too many declarations" },
		{ "{{ template \"x\" }}", "{}", "undefined template specified" },
		{ "{{ define \"a\" }}1{{ end }}\n{{ define \"a\" }}2{{ end }}", "{}",
			"line 2, column 1: multiple definition of template \"a\"" },
		{ "{{ .A.B.C.D.E.F.G.H.I.J.K.L.M.N.O.P.Q }}", "{}", "more than 16 fields" },
		{ "x\n  {{ .A.B }}", "{\"A\":\"t\"}", "line 2, column 6: can't evaluate field B" },
		{ "{{ index .A 3 }}", "{\"A\":[1]}", "index out of range: 3" },
		{ "{{ len 3 }}", "{}", "line 1, column 4: len of int" },
		{ "{{ template \"x\" . }}", "{}", "template \"x\" not defined" },
		{ "{{ eq .A 1 }}", "{\"A\":\"1\"}", "incompatible types" },
		{ "{{ printf \"%*d\" 1 2 }}", "{}", "is not supported" },
		{ "{{ range 3.5 }}{{ end }}", "{}", "range can't iterate over float64" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUF struct buf out = BUF(4096);
		struct err_info info = { 0 };
		enum err e = render(rows[i].text, rows[i].data, &out, NULL, &info);
		if (!e || !strstr(info.detail, rows[i].says) || out.len || out.err)
			FAIL("%s: %s \"%s\", want \"%s\"", rows[i].text, err_slug(e), info.detail,
				rows[i].says);
		CHECK(str_is_utf8(str_from(info.detail)));
	}
}

TEST(texts_that_are_none_are_refused)
{
	AUTO(gotmpl) struct gotmpl *t = NULL;
	CHECK_ERR(gotmpl_parse(STR("a\xff"), &t, NULL), ERR_INVALID);
	CHECK_ERR(gotmpl_parse(STR("a\0b"), &t, NULL), ERR_INVALID);
	AUTO_BUF struct buf text = BUF(LIMIT_TEMPLATE + 1);
	CHECK_OK(buf_add_zeros(&text, LIMIT_TEMPLATE + 1));
	memset(text.ptr, 'a', text.len);
	CHECK_ERR(gotmpl_parse(buf_str(&text), &t, NULL), ERR_LIMIT);
	CHECK_OK(gotmpl_parse(str_sub(buf_str(&text), 0, LIMIT_TEMPLATE), &t, NULL));
}

static enum err nested(const char *open, const char *close, unsigned n)
{
	AUTO_BUF struct buf text = BUF(LIMIT_TEMPLATE);
	AUTO(gotmpl) struct gotmpl *t = NULL;
	for (unsigned i = 0; i < n; i++)
		CHECK_OK(buf_add(&text, str_from(open)));
	for (unsigned i = 0; i < n; i++)
		CHECK_OK(buf_add(&text, str_from(close)));
	TRY(gotmpl_parse(buf_str(&text), &t, NULL));
	AUTO_BUF struct buf out = BUF(4096);
	AUTO_JSON json_t *data = parse_json("{\"Response\":\"\"}");
	return gotmpl_render(t, data, day, &out, NULL, NULL);
}

TEST(nesting_ends_somewhere)
{
	CHECK_OK(nested("{{ if 1 }}", "{{ end }}", GOTMPL_DEPTH));
	CHECK_ERR(nested("{{ if 1 }}", "{{ end }}", GOTMPL_DEPTH + 1), ERR_LIMIT);
	CHECK_ERR(nested("{{ if 1 }}", "{{ end }}", 5000), ERR_LIMIT);
	CHECK_ERR(nested("{{ if 0 }}{{ else if 0 }}", "{{ end }}", 5000), ERR_LIMIT);
	CHECK_ERR(nested("{{ block \"x\" . }}", "{{ end }}", 5000), ERR_LIMIT);
}

/* `n` times `each`, of which %u is the number. */
static void add_many(struct buf *text, const char *each, unsigned n)
{
	const char *at = strstr(each, "%u");
	for (unsigned i = 0; i < n; i++)
		CHECK_OK(buf_addf(text, "%.*s%u%s", (int)(at - each), each, i, at + 2));
}

TEST(different_names_are_counted)
{
	for (unsigned n = GOTMPL_NAMES - 1; n <= GOTMPL_NAMES; n++) {
		AUTO(gotmpl) struct gotmpl *t = NULL;
		AUTO_BUF struct buf text = BUF(LIMIT_TEMPLATE);
		struct err_info info = { 0 };
		CHECK_OK(buf_add(&text, STR("{{ .Response }}{{ .response }}\n")));
		add_many(&text, "{{ .N%u }}", n);
		add_many(&text, "{{ .n%u }}", n < GOTMPL_NAMES ? n : 0);
		enum err e = gotmpl_parse(buf_str(&text), &t, &info);
		CHECK_ERR(e, n < GOTMPL_NAMES ? OK : ERR_LIMIT);
		CHECK(!e || strstr(info.detail, "line 2, column 5515: more than 512 different"));
	}
}

TEST(a_templates_definition_is_found_wherever_it_stands)
{
	AUTO_BUF struct buf out = BUF(4096);
	CHECK_OK(render("{{ define \"a\" }}{{ end }}{{ template \"a\" 1 }}{{ template \"b\" 2 }}"
			"{{ define \"b\" }}b{{ . }}{{ template \"a\" . }}{{ end }}"
			"{{ define \"a\" }}a{{ . }}{{ end }}{{ block \"c\" 3 }}c{{ . }}{{ end }}",
		"{\"Response\":\"\"}", &out, NULL, NULL));
	CHECK_EQ_STR(buf_str(&out), STR("a1b2a2c3"));
}

TEST(many_definitions_cost_a_call_nothing)
{
	AUTO_BUF struct buf text = BUF(LIMIT_TEMPLATE), out = BUF(4096);
	const char *z;
	CHECK_OK(buf_add(&text, STR("{{ define \"first\" }}{{ end }}")));
	add_many(&text, "{{ define \"%u\" }}{{ end }}", 8000);
	CHECK_OK(buf_add(&text, STR("{{ range 2000000 }}{{ template \"first\" . }}{{ end }}")));
	CHECK_OK(buf_cstr(&text, &z));
	int64_t start = time_mono_ms();
	CHECK_OK(render(z, "{\"Response\":\"\"}", &out, NULL, NULL));
	CHECK(time_mono_ms() - start < 20000); /* 16e9 comparisons are minutes */
}

TEST(what_runs_without_end_is_stopped)
{
	static const struct {
		const char *text, *data;
	} rows[] = {
		{ "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}", "{}" },
		{ "{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}", "{}" },
		{ "{{ $s := \"ab\" }}{{ range 100 }}{{ $s = print $s $s }}{{ end }}", "{}" },
		{ "{{ $s := .A }}{{ range 100 }}{{ $s = print $s \"-\" $s }}{{ end }}",
			"{\"A\":\"x\"}" },
		{ "{{ range 1000000 }}xxxxxxxxxxxxxxxx{{ end }}", "{}" },
		{ "{{ range 1000000 }}{{ json $ }}{{ end }}", "{\"A\":[1,2,3]}" },
		{ "{{ $s := .A }}{{ range 24 }}{{ $s = print $s $s }}{{ end }}{{ range 100000000 "
		  "}}{{ if eq $s $.A }}{{ end }}{{ end }}", "{\"A\":\"x\"}" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUF struct buf out = BUF(1 << 20);
		struct err_info info = { 0 };
		enum err e = render(rows[i].text, rows[i].data, &out, NULL, &info);
		if (e != ERR_LIMIT)
			FAIL("%s: %s %s", rows[i].text, err_slug(e), info.detail);
		CHECK_EQ_INT(out.len, 0);
	}
}

TEST(the_day_before_is_a_day_of_the_calendar)
{
	static const struct {
		struct gotmpl_date today;
		const char *want;
	} rows[] = {
		{ { 2026, 3, 1 }, "2026-03-01 2026-02-28" },
		{ { 2024, 3, 1 }, "2024-03-01 2024-02-29" },
		{ { 2000, 3, 1 }, "2000-03-01 2000-02-29" },
		{ { 1900, 3, 1 }, "1900-03-01 1900-02-28" },
		{ { 2026, 1, 1 }, "2026-01-01 2025-12-31" },
		{ { 2026, 5, 1 }, "2026-05-01 2026-04-30" },
		{ { 2026, 12, 31 }, "2026-12-31 2026-12-30" },
	};
	AUTO(gotmpl) struct gotmpl *t = NULL;
	CHECK_OK(gotmpl_parse(
		STR("{{ currentDate }} {{ yesterdayDate }}{{ .Response }}"), &t, NULL));
	AUTO_JSON json_t *data = parse_json("{\"Response\":\"\"}");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUF struct buf out = BUF(4096);
		CHECK_OK(gotmpl_render(t, data, rows[i].today, &out, NULL, NULL));
		CHECK_EQ_STR(buf_str(&out), str_from(rows[i].want));
	}
}

#define MESSAGES "{{ range .Messages }}{{ .Role }}:{{ .Content }} {{ end }}{{ json .Tools }}"

static enum err chat(const char *text, const char *messages, const char *tools, struct buf *out,
		     struct err_info *info)
{
	AUTO(gotmpl) struct gotmpl *t = NULL;
	AUTO_JSON json_t *m = parse_json(messages);
	AUTO_JSON json_t *all_tools = parse_json(tools);
	struct gotmpl_chat c = { .messages = m, .tools = all_tools, .today = day };
	TRY(gotmpl_parse(str_from(text), &t, info));
	return gotmpl_chat_render(t, &c, out, NULL, info);
}

TEST(messages_and_tools_of_another_shape_are_named)
{
	static const struct {
		const char *messages, *tools, *says;
	} rows[] = {
		{ "{}", "[]", "messages must be a list" },
		{ "[1]", "[]", "messages[0] must be an object" },
		{ "[null]", "[]", "messages[0] must be an object" },
		{ "[{\"role\":\"user\",\"content\":[]}]", "[]",
			"messages[0].content must be a string" },
		{ "[{},{\"tool_calls\":[{\"function\":{\"arguments\":\"{}\"}}]}]", "[]",
			"messages[1].tool_calls[0].function.arguments must be an object" },
		{ "[{\"images\":[3]}]", "[]", "messages[0].images[0] must be a string" },
		{ "[]", "{\"a\":1}", "tools must be a list" },
		{ "[]", "[{\"function\":{\"parameters\":{\"properties\":{\"p\":{\"type\":7}}}}}]",
			"tools[0].function.parameters.properties.p.type must be a string or" },
		{ "[]", "[{\"function\":{\"parameters\":{\"properties\":{\"p\":{\"enum\":7}}}}}]",
			"properties.p.enum must be a list" },
		{ "[]", "[{\"function\":{\"parameters\":{\"required\":[1]}}}]",
			"required[0] must be a string" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUF struct buf out = BUF(4096);
		struct err_info info = { 0 };
		enum err e = chat(MESSAGES, rows[i].messages, rows[i].tools, &out, &info);
		if (e != ERR_INVALID || !strstr(info.detail, rows[i].says))
			FAIL("%s %s: %s \"%s\"", rows[i].messages, rows[i].tools, err_slug(e),
				info.detail);
	}
}

TEST(an_else_behind_the_answer_goes_with_all_that_follows)
{
	/* Ollama dies of these two. */
	AUTO_BUF struct buf out = BUF(4096);
	CHECK_OK(chat("{{ .Prompt }}{{ if .Prompt }}:{{ .Response }}<e>{{ else }}lost{{ end }}|",
		"[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
		"{\"role\":\"user\",\"content\":\"c\"}]", "null", &out, NULL));
	CHECK_EQ_STR(buf_str(&out), STR("a:b<e>|c:"));
	buf_clear(&out);
	CHECK_OK(chat("{{ if .System }}{{ .Response }}{{ else }}lost{{ end }}|", "[]", "null", &out,
		NULL));
	CHECK_EQ_INT(out.len, 0);
}

TEST(a_failed_rendering_leaves_what_was_there)
{
	AUTO(gotmpl) struct gotmpl *t = NULL;
	AUTO(gotmpl) struct gotmpl *bad = NULL;
	AUTO_JSON json_t *data = parse_json("{\"A\":\"a\"}");
	AUTO_BUF struct buf out = BUF(64);
	struct gotmpl_spans spans = { 0 };
	CHECK_OK(gotmpl_parse(STR("x{{ .A }}{{ if false }}{{ .Response }}{{ end }}"), &t, NULL));
	CHECK_OK(gotmpl_parse(
		STR("{{ .A }}{{ range 100 }}yyy{{ end }}{{ .Response }}"), &bad, NULL));
	CHECK_OK(gotmpl_render(t, data, day, &out, &spans, NULL));
	CHECK_ERR(gotmpl_render(bad, data, day, &out, &spans, NULL), ERR_LIMIT);
	CHECK_EQ_STR(buf_str(&out), STR("xa"));
	CHECK_EQ_INT(out.err, OK);
	CHECK_EQ_INT(spans.count, 2);
	CHECK_EQ_INT(spans.list[1].len, 1);
	CHECK_OK(gotmpl_render(t, data, day, &out, &spans, NULL));
	CHECK_EQ_STR(buf_str(&out), STR("xaxa"));
	CHECK_EQ_INT(spans.count, 4);
	gotmpl_spans_done(&spans);
}

TEST(every_failed_allocation_is_told)
{
	const char *text = "{{ define \"d\" }}<{{ . }}>{{ end }}{{ $s := \"\" }}{{ range $i, $m := "
			   ".Messages }}{{ $s = printf \"%s%q|\" $s .Content }}{{ template \"d\" "
			   ".Role }}{{ range $k, $v := .ToolCalls }}{{ .Function.Arguments }}{{ end"
			   " }}{{ end }}{{ $s }}{{ .Tools }}{{ range .Tools }}{{ range "
			   "$k, $p := .Function.Parameters.Properties }}{{ $k }}{{ $p | "
			   "toTypeScriptType }}{{ json $p }}{{ end }}{{ end }}";
	AUTO_JSON json_t *messages = parse_json(
		"[{\"role\":\"User\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
		"{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
		"\"arguments\":{\"b\":1,\"a\":[1.5]}}}]}]");
	AUTO_JSON json_t *tools = parse_json(
		"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
		"{\"properties\":{\"p\":{\"type\":[\"string\",\"null\"],"
		"\"properties\":{\"q\":{}}}}}}}]");
	struct gotmpl_chat c = { .messages = messages, .tools = tools, .today = day };
	FOR_EACH_FAULT(FAULT_ALLOC, n) {
		AUTO(gotmpl) struct gotmpl *t = NULL;
		AUTO_BUF struct buf out = BUF(1 << 20);
		struct gotmpl_spans spans = { 0 };
		enum err e = gotmpl_parse(str_from(text), &t, NULL);
		if (!e)
			e = gotmpl_chat_render(t, &c, &out, &spans, NULL);
		if (fault_fired(FAULT_ALLOC))
			CHECK_ERR(e, ERR_NOMEM);
		else
			CHECK_OK(e);
		CHECK(!e || (!out.len && !spans.count));
		gotmpl_spans_done(&spans);
	}
	FOR_EACH_FAULT(FAULT_ALLOC, n) {
		AUTO(gotmpl) struct gotmpl *t = NULL;
		AUTO_BUF struct buf out = BUF(1 << 20);
		enum err e = gotmpl_parse(STR("{{ .System }}{{ .Prompt }}"), &t, NULL);
		if (!e)
			e = gotmpl_chat_render(t, &c, &out, NULL, NULL);
		CHECK_ERR(e, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
	}
}
