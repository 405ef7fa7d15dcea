/* Tools, schemas, grammars, log probabilities and shared beginnings with the starter models, and
 * the parser of answers with a template that has a form of its own for calls. */
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/llama/backend.h"
#include "engine/llama/shim.h"
#include "engine/llama_fixture.h"
#include "tests/test.h"

#define TWO_TOOLS \
	"[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"th" \
	"e weather\"," \
	"\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string" \
	"\",\"enum\":" \
	"[\"Bern\",\"Oslo\"]},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9" \
	"}},\"required\":" \
	"[\"city\",\"days\"]}}}," \
	"{\"type\":\"function\",\"function\":{\"name\":\"clock\",\"parameters\":{\"type" \
	"\":\"object\"," \
	"\"properties\":{\"zone\":{\"type\":\"string\",\"maxLength\":8}},\"required\":[" \
	"\"zone\"]}}}]"
#define USER(text) "[{\"role\":\"user\",\"content\":\"" text "\"}]"

static struct gen_request chat(const char *messages)
{
	struct gen_request g = ask(messages);
	g.kind = GEN_CHAT;
	g.sampling.num_predict = 64;
	return g;
}

/* One thread: two that wait for each other are slow beside other tests. */
static struct drive *engine(const char *name)
{
	struct drive *d = NULL;
	struct engine_info i;
	struct gen_failed why;
	struct engine_load load = { .n_seq = 2, .n_ctx = 2048, .n_threads = 1, .flash = -1 };
	CHECK_OK(drive_start(open_model(name), &load, &d));
	CHECK_OK(drive_ready(d, READY_MS, &i, &why));
	return d;
}

static struct llama_backend *backend(const char *name)
{
	struct llama_backend *b = NULL;
	struct err_info info = { 0 };
	llama_backend_prepare(NULL, 0);
	struct llama_backend_options o = { .n_ctx = 2048, .n_seq = 1, .n_threads = 1, .flash = -1 };
	if (llama_backend_new(fdopen(open_model(name), "rb"), &o, &b, &info))
		FAIL("%s", info.detail);
	return b;
}

/* ---- calls by whole engines ---- */

static void check_call(const struct drive_answer *a, const char *name)
{
	AUTO_JSON json_t *calls = NULL;
	if (json_read(buf_str(&a->calls), 1 << 20, 16, &calls, NULL))
		FAIL("no calls; text: %.*s", (int)a->text.len, a->text.ptr);
	CHECK_EQ_INT(json_array_size(calls), 1);
	const json_t *c = json_array_get(calls, 0), *args = json_object_get(c, "arguments");
	const char *got = json_string_value(json_object_get(c, "name"));
	if (name)
		CHECK_EQ_Z(got, name);
	CHECK(str_starts(str_from(json_string_value(json_object_get(c, "id"))), STR("call_")));
	CHECK(json_is_object(args));
	if (strcmp(got, "weather") == 0) {
		const char *city = json_string_value(json_object_get(args, "city"));
		json_int_t days = json_integer_value(json_object_get(args, "days"));
		CHECK(city && (strcmp(city, "Bern") == 0 || strcmp(city, "Oslo") == 0));
		CHECK(days >= 1 && days <= 9);
	} else {
		CHECK_EQ_Z(got, "clock");
		/* eight characters of up to four bytes */
		if (json_string_length(json_object_get(args, "zone")) > 8 * 4)
			FAIL("%.*s", (int)a->calls.len, a->calls.ptr);
	}
	CHECK(str_find(buf_str(&a->text), STR("<tool_call>"), 0) == SIZE_MAX);
	CHECK(str_find(buf_str(&a->text), STR("\"arguments\""), 0) == SIZE_MAX);
}

TEST_TIMEOUT(a_required_or_named_tool_is_called, 300)
{
	for (int k = 0; k < 2; k++) {
		struct drive *d = engine(STARTERS[k]);
		for (int seed = 0; seed < 2; seed++) {
			struct gen_request g = chat(USER("How is the weather in Bern?"));
			g.tools = STR(TWO_TOOLS);
			g.one_call = true;
			g.sampling.temperature = seed ? 1.0f : 0;
			g.sampling.seed = seed;
			g.tool_choice = STR("required");
			struct drive_answer a = run(d, &g);
			check_call(&a, NULL);
			CHECK_EQ_INT(a.d.reason, GEN_STOP);
			CHECK_EQ_INT(a.warnings.len, 0);
			drive_answer_done(&a);
			g.tool_choice = STR("=clock");
			a = run(d, &g);
			check_call(&a, "clock");
			drive_answer_done(&a);
		}
		drive_free(d);
	}
}

TEST_TIMEOUT(tools_that_are_not_chosen_are_not_called, 120)
{
	struct drive *d = engine("smollm2");
	struct gen_request g = chat(USER("Say yes."));
	g.strict = true; /* alone, so that both have the same sums */
	struct drive_answer plain = run(d, &g);
	g.tools = STR(TWO_TOOLS);
	g.tool_choice = STR("none");
	struct drive_answer none = run(d, &g);
	CHECK_EQ_STR(buf_str(&none.text), buf_str(&plain.text)); /* as if there were none */
	CHECK_EQ_INT(none.calls.len, 0);
	g.tool_choice = STR("auto");
	struct drive_answer free_ = run(d, &g);
	CHECK(free_.text.len > 0 || free_.calls.len > 0);
	CHECK(free_.d.prompt_tokens > plain.d.prompt_tokens + 100); /* they are told */
	drive_answer_done(&plain);
	drive_answer_done(&none);
	drive_answer_done(&free_);
	drive_free(d);
}

TEST_TIMEOUT(a_call_that_is_cut_off_is_text_and_a_warning, 60)
{
	struct drive *d = engine("smollm2");
	struct gen_request g = chat(USER("How is the weather in Bern?"));
	g.tools = STR(TWO_TOOLS);
	g.tool_choice = STR("=weather");
	g.sampling.num_predict = 12;
	struct drive_answer a = run(d, &g);
	CHECK_EQ_INT(a.d.reason, GEN_LENGTH);
	CHECK_EQ_INT(a.calls.len, 0);
	CHECK(a.text.len > 0);
	CHECK(str_find(buf_str(&a.warnings), STR("could not be read as a tool call"), 0) !=
		SIZE_MAX);
	drive_answer_done(&a);
	drive_free(d);
}

TEST_TIMEOUT(calls_and_results_in_the_talk_reach_the_model, 60)
{
	for (int k = 0; k < 2; k++) {
		struct llama_backend *b = backend(STARTERS[k]);
		struct engine_prompt p = { 0 };
		struct gen_request g =
			chat("[{\"role\":\"user\",\"content\":\"weather?\"},"
			     "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":"
			     "[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":"
			     "\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Bern\\\"}\"}}]},"
			     "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":"
			     "\"RAIN-4711\"}]");
		g.tools = STR(TWO_TOOLS);
		CHECK_OK(LLAMA_OPS.prompt(b, &g, NULL, &p, NULL));
		AUTO_BUF struct buf text = BUF(1 << 20);
		for (size_t i = 0; i < p.tokens.n; i++)
			CHECK_OK(LLAMA_OPS.piece_all(b, p.tokens.v[i], &text));
		static const char *const there[] = { "\"name\":\"clock\"",
			"<tool_response>\nRAIN-4711",
			"{\"name\":\"weather\",\"arguments\":{\"city\":\"Bern\"}}" };
		for (size_t i = 0; i < 3; i++)
			if (str_find(buf_str(&text), str_from(there[i]), 0) == SIZE_MAX)
				FAIL("%s lacks %s: %.*s", STARTERS[k], there[i], (int)text.len,
					text.ptr);
		engine_prompt_done(&p);
		llama_backend_free_all(b);
	}
}

TEST(bad_tools_are_refused_by_name)
{
	static const struct {
		const char *tools, *choice, *says;
	} bad[] = {
		{ "{}", "", "tools must be a list" },
		{ "[1]", "", "tools[0] must be an object" },
		{ "[{\"type\":\"web\"}]", "", "tools[0] must be a function" },
		{ "[{\"type\":\"function\",\"function\":{}}]", "", "tools[0].function.name" },
		{ "[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]", "",
			"tools[0].function.name" },
		{ "[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":[]}}]", "",
			"tools[0].function.parameters" },
		{ "[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":{"
			"\"type\":\"date\"}}}]",
			"required", "date" },
		{ TWO_TOOLS, "=nobody", "no function 'nobody'" },
		{ TWO_TOOLS, "maybe", "tool_choice must be" },
		{ "", "required", "needs tools" },
	};
	struct llama_backend *b = backend("smollm2");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct engine_chat *c = NULL;
		struct err_info info = { 0 };
		struct gen_request g = chat(USER("x"));
		g.tools = str_from(bad[i].tools);
		g.tool_choice = str_from(bad[i].choice);
		enum err e = LLAMA_OPS.chat_new(b, &g, &c, &info);
		if (e != ERR_INVALID || !strstr(info.detail, bad[i].says))
			FAIL("%s gave %s: %s", bad[i].tools, err_slug(e), info.detail);
	}
	llama_backend_free_all(b);
}

/* ---- the parser, with a template that has thinking and calls ---- */

static const char THINKER[] =
	"{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}"
	"{{- messages[0].content + '\\n\\n' }}{%- endif %}{{- \"# Tools\\n\\n<tools>\" }}"
	"{%- for tool in tools %}{{- \"\\n\" }}{{- tool | tojson }}{%- endfor %}"
	"{{- \"\\n</tools><|im_end|>\\n\" }}{%- elif messages[0].role == 'system' %}"
	"{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"
	"{%- for message in messages %}{%- if message.role == 'user' or (message.role =="
	" 'system' and "
	"not loop.first) %}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
	"'<|im_end|>\\n' }}{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}"
	"{%- if message.reasoning_content %}{{- '<think>\\n' + message.reasoning_content + "
	"'\\n</think>\\n\\n' }}{%- endif %}{{- message.content }}{%- for tool_call in "
	"message.tool_calls %}{%- if tool_call.function %}{%- set tool_call = tool_call.function %}"
	"{%- endif %}{{- '\\n<tool_call>\\n{\"name\": \"' + tool_call.name + '\", \"argu"
	"ments\": ' }}"
	"{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}"
	"{{- '<|im_end|>\\n' }}{%- elif message.role == 'tool' %}{{- '<|im_start|>user\\n"
	"<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}{%- endif %}"
	"{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if "
	"enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</t"
	"hink>\\n\\n' }}"
	"{%- endif %}{%- endif %}";

struct read {
	struct buf part[3];
};

static void add(void *arg, enum shim_part kind, const char *text, size_t len)
{
	struct read *r = arg;
	CHECK_OK(buf_add(&r->part[kind], (struct str){ text, len }));
}

static enum shim_result read_answer(const struct shim_templates *t, const char *choice,
	const char *text, size_t piece, struct read *r)
{
	struct shim_ask ask = { "[]", TWO_TOOLS, choice, "", false, 0, true };
	struct shim_chat *c = NULL;
	char why[SHIM_WHY] = "";
	bool stopped;
	if (shim_chat_new(t, &ask, &c, why))
		FAIL("%s", why);
	CHECK(c);
	for (int i = 0; i < 3; i++)
		r->part[i] = BUF(1 << 20);
	for (size_t i = 0, n = strlen(text); i < n; i += piece)
		CHECK_EQ_INT(shim_chat_split(c, text + i, n - i < piece ? n - i : piece, false, add,
				     r, &stopped),
			SHIM_OK);
	enum shim_result e = shim_chat_split(c, "", 0, true, add, r, &stopped);
	shim_chat_free(c);
	return e;
}

static struct llama_model *vocab_of(const char *name)
{
	struct llama_model_params p = llama_model_default_params();
	FILE *f = fdopen(open_model(name), "rb");
	p.vocab_only = true;
	struct llama_model *m = llama_model_load_from_file_ptr(f, p);
	fclose(f);
	CHECK(m);
	return m;
}

#define CALL(args) "<tool_call>\n{\"name\": \"weather\", \"arguments\": " args "}\n</tool_call>"
#define BERN "{\"city\": \"Bern\", \"days\": 2}"

TEST_TIMEOUT(answers_are_taken_apart_whatever_the_pieces, 120)
{
	static const struct {
		const char *text, *thought, *answer;
		int calls;
		bool bad;
	} rows[] = {
		{ "Just words.", "", "Just words.", 0, false },
		{ "A < b and <tool is a word.", "", "A < b and <tool is a word.", 0, false },
		{ "<think>\nhm\n</think>\n\nYes.", "hm", "Yes.", 0, false },
		{ CALL(BERN), "", "", 1, false },
		{ "I look.\n" CALL(BERN), "", "I look.", 1, false },
		{ "<think>\nhm\n</think>\n\nI look.\n" CALL(BERN), "hm", "I look.", 1, false },
		{ CALL(BERN) "\n" CALL("{\"city\": \"Oslo\", \"days\": 1}"), "", "", 2, false },
		{ "So:\n<tool_call>\n{\"name\": \"weather\", \"argu", "", NULL, 0, true },
		{ CALL(BERN) "\n<tool_call>\n{\"name\": \"clo", "", "<tool_call>\n{\"name\": \"clo",
			1, true },
		{ "So:\n<tool_call>\nnonsense\n</tool_call>", "", NULL, 0, true },
		{ "So:\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Be", "",
			NULL, 0, true },
	};
	llama_backend_prepare(NULL, 0);
	struct llama_model *m = vocab_of("smollm2");
	struct shim_templates *t = NULL;
	char why[SHIM_WHY] = "";
	if (shim_templates_new(m, THINKER, &t, why))
		FAIL("%s", why);
	CHECK_EQ_Z(shim_templates_think(t, true), "</think>");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t piece = 1; piece < 200; piece += piece < 4 ? 1 : 61) {
			struct read r;
			enum shim_result e = read_answer(t, "auto", rows[i].text, piece, &r);
			struct str answer = str_trim(buf_str(&r.part[SHIM_ANSWER]));
			AUTO_JSON json_t *calls = NULL;
			if ((e == SHIM_INVALID) != rows[i].bad)
				FAIL("row %zu, piece %zu: %d, answer %.*s", i, piece, e,
					STR_ARG(answer));
			CHECK_EQ_STR(str_trim(buf_str(&r.part[SHIM_THOUGHT])),
				str_from(rows[i].thought));
			if (rows[i].answer)
				CHECK_EQ_STR(answer, str_from(rows[i].answer));
			else /* nothing is lost */
				CHECK_EQ_STR(answer, str_from(rows[i].text));
			if (r.part[SHIM_CALLS].len)
				CHECK_OK(json_read(
					buf_str(&r.part[SHIM_CALLS]), 1 << 20, 16, &calls, NULL));
			CHECK_EQ_INT(json_array_size(calls), rows[i].calls);
			for (int k = 0; k < 3; k++)
				buf_done(&r.part[k]);
		}
	shim_templates_free(t);
	llama_model_free(m);
}

static void feed(const struct llama_vocab *v, struct shim_grammar *g, const char *text)
{
	int32_t t[256];
	int n = llama_tokenize(v, text, (int32_t)strlen(text), t, 256, false, true);
	CHECK(n > 0);
	for (int i = 0; i < n; i++)
		CHECK_EQ_INT(shim_grammar_accept(g, t[i]), SHIM_OK);
}

static bool may(const struct llama_vocab *v, struct shim_grammar *g, const char *text)
{
	int32_t t[8];
	int n = llama_tokenize(v, text, (int32_t)strlen(text), t, 8, false, true);
	CHECK(n > 0);
	llama_token_data one = { t[0], 1, 0 };
	llama_token_data_array a = { &one, 1, -1, false };
	CHECK_EQ_INT(shim_grammar_mask(g, &a), SHIM_OK);
	return one.logit > -INFINITY;
}

TEST(a_lazy_grammar_rules_from_the_first_call_on)
{
	llama_backend_prepare(NULL, 0);
	struct llama_model *m = vocab_of("smollm2");
	const struct llama_vocab *v = llama_model_get_vocab(m);
	struct shim_ask ask = { "[]", TWO_TOOLS, "auto", "", false, 0, true };
	static const char *const templates[] = { THINKER, NULL };
	for (int k = 0; k < 2; k++) {
		struct shim_templates *t = NULL;
		struct shim_chat *c = NULL;
		struct shim_grammar *g = NULL;
		char why[SHIM_WHY] = "";
		CHECK_EQ_INT(shim_templates_new(m, templates[k], &t, why), SHIM_OK);
		CHECK_EQ_INT(shim_chat_new(t, &ask, &c, why), SHIM_OK);
		CHECK(shim_chat_lazy(c));
		CHECK_EQ_INT(shim_chat_whole(c), k == 0);
		if (shim_chat_grammar(c, &g, why))
			FAIL("%s", why);
		feed(v, g, "Let me look it up, <tool by tool>: <tool_");
		CHECK(may(v, g, "anything") && may(v, g, "{"));
		feed(v, g, "call>\n{\"name\": \"");
		CHECK(!may(v, g, "anything"));
		CHECK(may(v, g, "weather") || may(v, g, "we") || may(v, g, "w"));
		feed(v, g, "clock\", \"arguments\": {\"zone\": \"");
		CHECK(may(v, g, "x") && !may(v, g, "\n"));
		shim_grammar_free(g);
		shim_chat_free(c);
		shim_templates_free(t);
	}
	llama_model_free(m);
}

static void add_text(void *arg, const char *text, size_t len, bool input)
{
	(void)input;
	CHECK_OK(buf_add(arg, (struct str){ text, len }));
}

TEST(thinking_can_be_switched_off_in_the_prompt)
{
	static const char *const end[3] = { "<|im_start|>assistant\n",
		"<|im_start|>assistant\n<think>\n\n</think>\n\n", "<|im_start|>assistant\n" };
	llama_backend_prepare(NULL, 0);
	struct llama_model *m = vocab_of("smollm2");
	struct shim_templates *t = NULL;
	char why[SHIM_WHY] = "";
	CHECK_EQ_INT(shim_templates_new(m, THINKER, &t, why), SHIM_OK);
	for (int think = THINK_DEFAULT; think <= THINK_ON; think++) {
		struct shim_ask ask = { USER("x"), "", "auto", "", false, think, true };
		AUTO_BUF struct buf text = BUF(4096);
		CHECK_EQ_INT(shim_render(t, &ask, add_text, &text, why), SHIM_OK);
		CHECK(str_ends(buf_str(&text), str_from(end[think])));
	}
	shim_templates_free(t);
	llama_model_free(m);
}

/* ---- schemas and grammars ---- */

TEST_TIMEOUT(schemas_and_grammars_that_cannot_be_held_are_refused, 120)
{
	static const struct {
		bool schema;
		const char *text, *says;
	} bad[] = {
		{ true, "{}", "demands nothing" },
		{ true, "{\"description\":\"any\"}", "demands nothing" },
		{ true, "[]", "#" },
		{ true, "{\"type\":\"date\"}", "schema at #: unknown type date" },
		{ true, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\","
			"\"items\":{\"not\":{}}}}}",
			"schema at #/properties/a/items: cannot be enforced: not" },
		{ true, "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/x\"}}}",
			"#/properties/a" },
		{ true, "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"http://x/y\"}}}",
			"#/properties/a" },
		{ true, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\""
			",\"pattern\":\"^(?=x)$\"}}}",
			"schema" },
		{ true, "{\"type\":\"object\",\"properties\":{},\"required\":[\"b\"]}", "b" },
		{ true, "{\"type\":\"string\",\"minLength\":100000}", "minLength" },
		{ true, "{\"anyOf\":[]}", "schema at #/anyOf" },
		{ false, "", "grammar: is empty" },
		{ false, "  \n", "grammar: is empty" },
		{ false, "root ::= ", "grammar" },
		{ false, "foo ::= \"a\"", "root" },
		{ false, "root ::= bar", "bar" },
		{ false, "root ::= root \"a\" | \"b\"", "left recursion" },
		{ false, "root ::= \"a\"{5000}", "grammar" },
		{ false, "root ::= .*", "allows every text" },
		{ false, "root ::= [^\\x00]*", "allows every text" },
		{ false, "root ::= (\"a\" | [^a])*", "allows every text" },
	};
	struct llama_backend *b = backend("smollm2");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct engine_grammar *g = NULL;
		struct err_info info = { 0 };
		enum err e = (bad[i].schema ? LLAMA_OPS.grammar_new : LLAMA_OPS.grammar_text)(
			b, str_from(bad[i].text), &g, &info);
		if (e != ERR_INVALID || !strstr(info.detail, bad[i].says))
			FAIL("%s gave %s: %s", bad[i].text, err_slug(e), info.detail);
		CHECK(str_is_utf8(str_from(info.detail)));
	}
	AUTO_BUF struct buf deep = BUF(1 << 20);
	CHECK_OK(buf_add(&deep, STR("root ::= ")));
	for (int i = 0; i < 30000; i++)
		CHECK_OK(buf_add_byte(&deep, '('));
	struct engine_grammar *g = NULL;
	CHECK_ERR(LLAMA_OPS.grammar_text(b, buf_str(&deep), &g, NULL), ERR_INVALID);
	llama_backend_free_all(b);
}

TEST_TIMEOUT(a_schema_twice_is_compiled_once, 60)
{
	AUTO_BUF struct buf big = BUF(1 << 20);
	CHECK_OK(buf_add(&big, STR("{\"type\":\"object\",\"properties\":{")));
	for (int i = 0; i < 300; i++)
		CHECK_OK(buf_addf(&big, "%s\"p%d\":{\"type\":\"string\",\"enum\":[\"a%d\",\"b\"]}",
			i ? "," : "", i, i));
	CHECK_OK(buf_add(&big, STR("}}")));
	struct llama_backend *b = backend("smollm2");
	int64_t took[3];
	for (int i = 0; i < 3; i++) {
		struct engine_grammar *g = NULL;
		int64_t from = LLAMA_OPS.now_ns(b);
		CHECK_OK(LLAMA_OPS.grammar_new(b, buf_str(&big), &g, NULL));
		took[i] = LLAMA_OPS.now_ns(b) - from;
		struct engine_candidate c[2] = { { '{', 1, 0 }, { 'x', 1, 0 } };
		CHECK_OK(LLAMA_OPS.grammar_mask(b, g, c, 2)); /* a copy that works */
		LLAMA_OPS.grammar_free(b, g);
	}
	printf("# compiled in %lld us, again in %lld and %lld us\n", (long long)took[0] / 1000,
		(long long)took[1] / 1000, (long long)took[2] / 1000);
	CHECK(took[1] < took[0] / 2 && took[2] < took[0] / 2);
	llama_backend_free_all(b);
}

TEST_TIMEOUT(answers_follow_their_schema_or_say_so, 300)
{
	static const char schema[] =
		"{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"ma"
		"xLength\":12},"
		"\"size\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99},\"tags\":{"
		"\"type\":\"array\","
		"\"items\":{\"type\":\"string\",\"enum\":[\"red\",\"blue\"]},\"maxItems\":2}},"
		"\"required\":[\"name\",\"size\",\"tags\"],\"additionalProperties\":false}";
	struct drive *d = engine("smollm2");
	for (int seed = 0; seed < 4; seed++) {
		struct gen_request g = chat(USER("Describe a ball."));
		g.schema = str_from(schema);
		g.sampling.temperature = 1.2f;
		g.sampling.top_k = seed % 2 ? 40 : 0;
		g.sampling.seed = seed;
		struct drive_answer a = run(d, &g);
		AUTO_JSON json_t *doc = NULL;
		CHECK_EQ_INT(a.d.reason, GEN_STOP);
		CHECK_OK(json_read(buf_str(&a.text), 1 << 20, 16, &doc, NULL));
		CHECK_EQ_INT(json_object_size(doc), 3);
		CHECK(json_integer_value(json_object_get(doc, "size")) <= 99);
		CHECK(json_array_size(json_object_get(doc, "tags")) <= 2);
		CHECK_EQ_INT(a.warnings.len, 0);
		drive_answer_done(&a);
		g.sampling.num_predict = 4; /* cut off */
		a = run(d, &g);
		CHECK(str_starts(
			buf_str(&a.warnings), STR("the answer does not follow the schema")));
		drive_answer_done(&a);
	}
	struct gen_request g = chat(USER("Answer yes or no: is ice cold?"));
	g.grammar = STR("root ::= \"yes\" | \"no\"");
	struct drive_answer a = run(d, &g);
	CHECK(str_eq(buf_str(&a.text), STR("yes")) || str_eq(buf_str(&a.text), STR("no")));
	drive_answer_done(&a);
	drive_free(d);
}

/* ---- log probabilities and bias ---- */

/* log softmax of the logits after a prompt, by doubles from the library's own row. */
static double *own_logprobs(struct llama_backend *b, const struct gen_request *g, uint32_t *ret_n)
{
	struct engine_prompt p = { 0 };
	CHECK_OK(LLAMA_OPS.prompt(b, g, NULL, &p, NULL));
	struct engine_token batch[128];
	CHECK(p.tokens.n <= 128);
	for (size_t i = 0; i < p.tokens.n; i++)
		batch[i] =
			(struct engine_token){ p.tokens.v[i], (int32_t)i, 0, i + 1 == p.tokens.n };
	CHECK_OK(LLAMA_OPS.pool_open(b, POOL_OWN));
	CHECK_OK(LLAMA_OPS.decode(b, POOL_OWN, batch, p.tokens.n));
	const float *row = LLAMA_OPS.logits(b, p.tokens.n - 1);
	uint32_t n = LLAMA_OPS.caps(b)->n_vocab;
	double *out = malloc(n * sizeof *out), sum = 0, best = row[0];
	for (uint32_t i = 0; i < n; i++)
		best = row[i] > best ? row[i] : best;
	for (uint32_t i = 0; i < n; i++)
		sum += exp(row[i] - best);
	for (uint32_t i = 0; i < n; i++)
		out[i] = row[i] - best - log(sum);
	engine_prompt_done(&p);
	*ret_n = n;
	return out;
}

TEST_TIMEOUT(logprobs_are_the_models_own, 120)
{
	struct gen_request g = ask("The capital of France is");
	g.sampling.num_predict = 5;
	g.sampling.temperature = 1.5f; /* options must not show in them */
	g.sampling.top_k = 3;
	g.sampling.seed = 11;
	g.logprobs = true;
	g.top_logprobs = 4;
	struct drive *d = engine("smollm2");
	struct drive_answer a = run(d, &g);
	drive_free(d);
	struct llama_backend *b = backend("smollm2");
	uint32_t n;
	double *want = own_logprobs(b, &g, &n);
	AUTO_BUF struct buf text = BUF(1 << 20);
	struct str all = buf_str(&a.logprobs),
		   first = str_sub(all, 0, str_find(all, STR("}]}]"), 0) + 4);
	AUTO_JSON json_t *doc = NULL;
	CHECK_OK(json_read(first, 1 << 20, 16, &doc, NULL));
	const json_t *e = json_array_get(doc, 0), *top = json_object_get(e, "top_logprobs");
	/* The engine's sandbox leaves out AMX, whose sums differ a little. */
	if (fabs(json_number_value(json_object_get(e, "logprob")) - want[a.tokens[0]]) > 0.1)
		FAIL("%.*s, wanted %f", STR_ARG(first), want[a.tokens[0]]);
	CHECK_OK(LLAMA_OPS.piece_all(b, a.tokens[0], &text));
	CHECK_EQ_STR(str_from(json_string_value(json_object_get(e, "token"))), buf_str(&text));
	CHECK_EQ_INT(json_array_size(json_object_get(e, "bytes")), text.len);
	CHECK_EQ_INT(json_array_size(top), 4);
	uint32_t best = 0;
	for (uint32_t i = 0; i < n; i++)
		best = want[i] > want[best] ? i : best;
	double got = json_number_value(json_object_get(json_array_get(top, 0), "logprob"));
	CHECK(fabs(got - want[best]) < 0.1);
	size_t entries = 0;
	for (size_t at = 0; (at = str_find(all, STR("\"top_logprobs\""), at)) != SIZE_MAX; at++)
		entries++;
	CHECK_EQ_INT(entries, a.n_tokens);
	free(want);
	drive_answer_done(&a);
	llama_backend_free_all(b);
}

TEST_TIMEOUT(a_bias_forces_or_bans_a_token, 60)
{
	struct gen_request g = ask("The capital of France is");
	g.sampling.num_predict = 1;
	struct drive *d = engine("smollm2");
	struct drive_answer a = run(d, &g);
	int32_t ban[2] = { a.tokens[0], -100000 }, force[2] = { 1000, 100000 };
	g.bias = ban;
	g.n_bias = 1;
	struct drive_answer banned = run(d, &g);
	CHECK(banned.tokens[0] != a.tokens[0]);
	g.bias = force;
	struct drive_answer forced = run(d, &g);
	CHECK_EQ_INT(forced.tokens[0], 1000);
	drive_answer_done(&a);
	drive_answer_done(&banned);
	drive_answer_done(&forced);
	drive_free(d);
}

/* ---- shared beginnings ---- */

static struct engine_prompt prompt(struct llama_backend *b, const char *messages)
{
	struct engine_prompt p = { 0 };
	struct gen_request g = chat(messages);
	CHECK_OK(LLAMA_OPS.prompt(b, &g, NULL, &p, NULL));
	return p;
}

#define SYS(share)                                                                                 \
	"{\"role\":\"system\",\"content\":\"You work for the mill. Be polite.\"" share "}"
#define ASKS(text, share) "{\"role\":\"user\",\"content\":\"" text "\"" share "}"
#define COMPANY ",\"share\":\"company\""
#define GROUP ",\"share\":\"group\""

TEST_TIMEOUT(the_shared_beginning_ends_where_the_persons_text_begins, 120)
{
	for (int k = 0; k < 2; k++) {
		struct llama_backend *b = backend(STARTERS[k]);
		struct engine_prompt
			plain = prompt(b, "[" SYS("") "," ASKS("Zebra?", "") "]"),
			p = prompt(b, "[" SYS(COMPANY) "," ASKS("Zebra?", "") "]"),
			q = prompt(b, "[" SYS(COMPANY) "," ASKS("Otter?", "") "]"),
			g = prompt(b,
				"[" SYS(COMPANY) "," ASKS("All of us.",
					GROUP) ","
					       "{\"role\":\"assistant\",\"content\":\"Yes.\"" GROUP
					       "}," ASKS("Zebra?", "") "]"),
			late = prompt(b, "[" SYS("") "," ASKS("Zebra?", COMPANY) "]");
		AUTO_BUF struct buf text = BUF(1 << 16);
		/* the key itself leaves no trace in the prompt */
		CHECK_EQ_INT(plain.tokens.n, p.tokens.n);
		CHECK_EQ_INT(tokens_common(&plain.tokens, &p.tokens), p.tokens.n);
		CHECK(!plain.n_company && !plain.n_group && !late.n_company && !late.n_group);
		CHECK_EQ_INT(p.n_company, p.n_group);
		CHECK_EQ_INT(p.n_company, q.n_company);
		CHECK(p.n_company <= tokens_common(&p.tokens, &q.tokens));
		for (uint32_t i = 0; i < p.n_company; i++)
			CHECK_OK(LLAMA_OPS.piece_all(b, p.tokens.v[i], &text));
		if (str_find(buf_str(&text), STR("Be polite."), 0) == SIZE_MAX ||
			str_find(buf_str(&text), STR("Zebra"), 0) != SIZE_MAX)
			FAIL("%s shares: %.*s", STARTERS[k], (int)text.len, text.ptr);
		CHECK(g.n_company >= 5 && g.n_group > g.n_company + 5);
		buf_clear(&text);
		for (uint32_t i = 0; i < g.n_group; i++)
			CHECK_OK(LLAMA_OPS.piece_all(b, g.tokens.v[i], &text));
		CHECK(str_find(buf_str(&text), STR("Yes."), 0) != SIZE_MAX);
		CHECK(str_find(buf_str(&text), STR("Zebra"), 0) == SIZE_MAX);
		printf("# %s: %u of %zu shared\n", STARTERS[k], p.n_company, p.tokens.n);
		engine_prompt_done(&plain), engine_prompt_done(&p), engine_prompt_done(&q);
		engine_prompt_done(&g), engine_prompt_done(&late);
		struct engine_prompt none = { 0 };
		struct err_info info = { 0 };
		struct gen_request bad = chat("[" ASKS("x", ",\"share\":\"world\"") "]");
		CHECK_ERR(LLAMA_OPS.prompt(b, &bad, NULL, &none, &info), ERR_INVALID);
		CHECK(strstr(info.detail, "messages[0].share"));
		engine_prompt_done(&none);
		llama_backend_free_all(b);
	}
}
