/* Ollama's wire format, compared with the traces in its docs/api.md (numbers blanked). */
#include <ctype.h>
#include <sys/socket.h>
#include <time.h>

#include "api/options.h"
#include "api/test_app.h"

/* Replaces what differs from run to run: the value of created_at and of the durations. */
static void blank(const struct buf *in, struct buf *out)
{
	static const char *const vary[] = { "\"created_at\":", "\"total_duration\":" };
	struct str s = buf_str(in);
	for (size_t i = 0; i < s.len;) {
		bool hit = false;
		for (size_t k = 0; k < 2 && !hit; k++) {
			struct str key = str_from(vary[k]);
			if (!str_starts(str_sub(s, i, SIZE_MAX), key))
				continue;
			hit = true;
			CHECK_OK(buf_add(out, key));
			CHECK_OK(buf_add_byte(out, 'X'));
			i += key.len;
			while (i < s.len && s.ptr[i] != ',' && s.ptr[i] != '}')
				i++;
		}
		if (!hit)
			CHECK_OK(buf_add_byte(out, s.ptr[i++]));
	}
}

#define ORIGIN                                                                                     \
	"\"cached_tokens\":4,\"model_digest\":\"" B64 "\",\"engine_build\":\"b1\","                \
	"\"template_hash\":\"feed\",\"seed\":42"
#define B16 "bbbbbbbbbbbbbbbb"
#define B64 B16 B16 B16 B16
#define METRICS                                                                                    \
	"\"total_duration\":X,\"load_duration\":77,\"prompt_eval_count\":26,"                      \
	"\"prompt_eval_duration\":1000,\"eval_count\":2,\"eval_duration\":2000," ORIGIN

static void trace(const char *path, const char *request, const char *want)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536), plain = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", path, request, &head, &out), 200);
	blank(&out, &plain);
	CHECK_EQ_STR(buf_str(&plain), str_from(want));
	bool ndjson = str_eq(head_value(&head, "Content-Type"), STR("application/x-ndjson"));
	/* load and unload are one object */
	CHECK_EQ_INT(ndjson, !strstr(request, "\"stream\":false") && !strstr(want, "load\"}"));
	test_app_stop(&t);
}

#define PICTURES(list)                                                                             \
	"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"\","                   \
	"\"images\":[" list "]}]}"

TEST(chat_streams_lines)
{
	trace("/api/chat",
		"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"Hel\"},"
		"\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"lo\"},"
		"\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"\"},"
		"\"done\":true,\"done_reason\":\"stop\"," METRICS "}\n");
}

TEST(chat_in_one_piece)
{
	trace("/api/chat",
		"{\"model\":\"tiny\",\"stream\":false,\"messages\":[{\"role\":\"user\","
		"\"content\":\"LENGTH\"}]}",
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"Hello\"},"
		"\"done\":true,\"done_reason\":\"length\"," METRICS "}\n");
}

TEST(calls_are_objects_in_a_line_of_their_own)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536), whole = BUF(65536);
	static const char calls[] =
		"\"content\":\"\",\"tool_calls\":[{\"id\":\"call_1\",\"function\":{\"ind"
		"ex\":0,\"name\":\"f\","
		"\"arguments\":{\"a\":\"\xc3\xbc\"}}},{\"id\":\"call_2\",\"function\":{"
		"\"index\":1,\"name\":"
		"\"g\",\"arguments\":{}}}]},\"done\":false}\n";
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/api/chat",
			"{\"model\":\"tiny\",\"tools\":[{\"type\":\"function\"}],\"think"
			"\":\"low\",\"messages\":["
			"{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\""
			":\"f\",\"arguments\":{\"a\":1}"
			"}}]},{\"role\":\"tool\",\"tool_name\":\"f\",\"content\":\"CALLS\"}]}",
			NULL, &out),
		200);
	CHECK(str_find(buf_str(&out), str_from(calls), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("\"warnings\":[\"first\",\"second\"]"), 0) != SIZE_MAX);
	CHECK_EQ_Z(fakes.tools, "[{\"type\":\"function\"}]");
	CHECK(fakes.last.think == THINK_LOW && fakes.last.think_required);
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"type\":\"f"
		"unction\",\"function\":"
		"{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\","
		"\"content\":\"CALLS\","
		"\"name\":\"f\"}]");
	CHECK_EQ_INT(call_api(&t, "POST", "/api/chat",
			     "{\"model\":\"tiny\",\"stream\":false,\"logprobs\":true,\"messages\":["
			     "{\"role\":\"user\",\"content\":\"CALLS PROBS\"}]}",
			     NULL, &whole),
		200);
	CHECK(str_find(buf_str(&whole),
		      STR("\"content\":\"Hello!\",\"tool_calls\":[{\"id\":\"call_1\""),
		      0) != SIZE_MAX);
	CHECK(str_find(buf_str(&whole), STR("\"logprobs\":[{\"token\":\"!\""), 0) != SIZE_MAX);
	test_app_stop(&t);
}

TEST(thinking_goes_into_its_own_field)
{
	trace("/api/chat",
		"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"THINK\"}]}",
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"\","
		"\"thinking\":\"hmm\"},\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"Hel\"},"
		"\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"lo\"},"
		"\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"\"},"
		"\"done\":true,\"done_reason\":\"stop\"," METRICS "}\n");
}

TEST(generate_streams_lines)
{
	trace("/api/generate", "{\"model\":\"tiny\",\"prompt\":\"hi\"}",
		"{\"model\":\"tiny\",\"created_at\":X,\"response\":\"Hel\",\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"response\":\"lo\",\"done\":false}\n"
		"{\"model\":\"tiny\",\"created_at\":X,\"response\":\"\",\"done\":true,"
		"\"done_reason\":\"stop\"," METRICS "}\n");
}

TEST(an_empty_prompt_loads)
{
	trace("/api/generate", "{\"model\":\"tiny\"}",
		"{\"model\":\"tiny\",\"created_at\":X,\"response\":\"\",\"done\":true,"
		"\"done_reason\":\"load\"}\n");
	CHECK_EQ_INT(fakes.loads, 1);
}

TEST(an_empty_prompt_with_keep_alive_0_unloads)
{
	trace("/api/generate", "{\"model\":\"tiny\",\"keep_alive\":0}",
		"{\"model\":\"tiny\",\"created_at\":X,\"response\":\"\",\"done\":true,"
		"\"done_reason\":\"unload\"}\n");
	CHECK_EQ_INT(fakes.unloads, 1);
}

TEST(a_failure_in_the_middle_is_a_line_with_an_error)
{
	trace("/api/chat",
		"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"FAIL\"}]}",
		"{\"model\":\"tiny\",\"created_at\":X,\"message\":{\"role\":\"assistant\","
		"\"content\":\"Hel\"},"
		"\"done\":false}\n{\"error\":\"an error was encountered while running the "
		"model\"}\n");
}

TEST(errors_before_the_first_byte_have_ollamas_texts)
{
	static const struct {
		const char *path, *body;
		int status;
		const char *text;
	} bad[] = {
		{ "/api/chat", "", 400, "missing request body" },
		{ "/api/chat", "{}", 400, "model is required" },
		{ "/api/chat", "{\"model\":\"x\"}", 404, "model 'x' not found" },
		{ "/api/chat", "{\"model\":\"embed\"}", 400, "\"embed\" does not support chat" },
		{ "/api/generate", "{\"model\":\"embed\"}", 400,
			"\"embed\" does not support generate" },
		{ "/api/chat",
			"{\"model\":\"tiny\",\"think\":true,\"messages\":[{\"role\":\"us"
			"er\",\"content\":"
			"\"NOTHINK\"}]}",
			400, "\"tiny\" does not support thinking" },
		{ "/api/chat", "{\"model\":\"tiny\",\"think\":\"much\"}", 400,
			"invalid think value: \"much\" (must be \"high\", \"medium\", \"low\", "
			"true, or false)" },
		{ "/api/chat", "{\"model\":\"tiny\",\"options\":{\"top_k\":-7}}", 400,
			"\"top_k\" must be from -1 to 2.14748e+09" },
		{ "/api/chat", "{\"model\":\"tiny\",\"options\":{\"think_budget\":-3}}", 400,
			"\"think_budget\" must be from -1 to 1.67772e+07" },
		{ "/api/chat", "{\"model\":\"tiny\",\"grammar\":\"\"}", 400, "grammar: is empty" },
		{ "/api/chat", PICTURES("\"UE5H\""), 400, "\"tiny\" does not support vision" },
		{ "/api/chat", PICTURES("\"data:image/png;base64,UE5H\""), 400,
			"\"tiny\" does not support vision" },
		{ "/api/chat", PICTURES("\"UE5H\",\"aa\""), 400,
			"messages[0].images[1] is not base64" },
		{ "/api/chat", PICTURES("7"), 400, "messages[0].images[0] must be a string" },
		{ "/api/chat", PICTURES("\"AAAA\""), 400,
			"messages[0].images[0]: it is not a picture: PNG, JPEG and WebP are read" },
		{ "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"a\",\"images\":[\"AAAA\"]}",
			400,
			"messages[0].images[0]: it is not a picture: PNG, JPEG and WebP are read" },
		{ "/api/chat", "{\"model\":\"tiny\",\"messages\":[{\"role\":\"king\"}]}", 400,
			"invalid role: king, must be one of [system, user, assistant, tool]" },
		{ "/api/chat", "{\"model\":\"tiny\",\"top_logprobs\":21}", 400,
			"top_logprobs must be between 0 and 20" },
		{ "/api/chat", "{\"model\":\"tiny\",\"format\":\"xml\"}", 400,
			"invalid format: \"xml\"; expected \"json\" or a JSON schema" },
		{ "/api/chat", "{\"model\":\"tiny\",\"_debug_render_only\":true}", 400,
			"_debug_render_only is not supported: prompts are not shown" },
		{ "/api/generate",
			"{\"model\":\"tiny\",\"prompt\":\"a\",\"raw\":true,\"system\":\"s\"}", 400,
			"raw mode does not support template, system, or context" },
		{ "/api/generate",
			"{\"model\":\"tiny\",\"prompt\":\"NOFIM\",\"suffix\":\"x\","
			"\"stream\":false}",
			400, "\"tiny\" does not support insert" },
		{ "/api/chat",
			"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\","
			"\"content\":\"BUSY\"}]}",
			429, "server busy, please try again.  maximum pending requests exceeded" },
		{ "/api/chat",
			"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\","
			"\"content\":\"CONTEXT\"}]}",
			400, "the prompt has 5000 tokens, the context holds 4096" },
		{ "/api/chat", "{\"model\":\"tiny\",\"options\":{\"temperature\":\"hot\"}}", 400,
			"\"temperature\" must be a number" },
		{ "/api/chat", "{\"model\":\"tiny\",\"options\":{\"top_p\":1.5}}", 400,
			"\"top_p\" must be from 0 to 1" },
		{ "/api/chat", "{\"model\":\"tiny\",\"options\":{\"top_k\":1.5}}", 400,
			"\"top_k\" must be a whole number" },
		{ "/api/chat", "{\"model\":\"tiny\",\"keep_alive\":\"soon\"}", 400,
			"invalid keep_alive \"soon\"" },
		{ "/api/show", "{\"model\":\"x\"}", 404, "model 'x' not found" },
		{ "/api/copy", "{\"source\":\"x\",\"destination\":\"y\"}", 404,
			"model \"x\" not found" },
		{ "/api/embed", "{\"model\":\"x\",\"input\":\"a\"}", 404,
			"model \"x\" not found, try pulling it first" },
		{ "/api/pull", "{}", 400, "model is required" },
		{ "/api/pull", "{\"model\":\"evil.example/x\"}", 403,
			"evil.example:443 is not on the list" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		AUTO_BUF struct buf out = BUF(65536), want = BUF(1024);
		int got = call_api(&t, "POST", bad[i].path, bad[i].body, NULL, &out);
		if (got != bad[i].status)
			FAIL("%s: %d, wanted %d: %.*s", bad[i].body, got, bad[i].status,
				(int)out.len, out.ptr);
		CHECK_OK(buf_add(&want, STR("{\"error\":")));
		CHECK_OK(json_add_str(&want, str_from(bad[i].text)));
		CHECK_OK(buf_add(&want, STR("}")));
		CHECK_EQ_STR(buf_str(&out), buf_str(&want));
	}
	/* bad JSON of every kind */
	static const char *const broken[] = { "{", "[]", "{\"model\":\"a\",\"model\":\"b\"}",
		"{\"a\":1}x", "{\"model\":\"\xff\"}", "nonsense" };
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		AUTO_BUF struct buf out = BUF(65536);
		CHECK_EQ_INT(call_api(&t, "POST", "/api/chat", broken[i], NULL, &out), 400);
		CHECK(str_starts(buf_str(&out), STR("{\"error\":\"")));
	}
	test_app_stop(&t);
}

TEST(options_reach_the_engine_and_the_ignored_ones_are_named)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536);
	test_app_start(&t);
	CHECK_OK(str_copy(
		STR("{\"temperature\":0.3,\"top_k\":7,\"stop\":[\"<end>\"],\"num_ctx\":512}"),
		fakes.params, sizeof fakes.params));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/chat",
			     "{\"model\":\"tiny\",\"stream\":false,\"keep_alive\":\"10m\","
			     "\"truncate\":true,\"format\":\"json\","
			     "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
			     "\"options\":{\"top_k\":40.0,\"seed\":7,"
			     "\"num_predict\":10,\"repeat_penalty\":1.2,\"num_gpu\":99,\"magic\":1,"
			     "\"num_ctx\":9000}}",
			     &head, &out),
		200);
	const struct gen_sampling *s = &fakes.last.sampling;
	CHECK(s->temperature > 0.29f && s->temperature < 0.31f); /* the model's own */
	CHECK_EQ_INT(s->top_k, 40);
	CHECK_EQ_INT(s->seed, 7);
	CHECK_EQ_INT(s->num_predict, 10);
	CHECK(s->top_p > 0.89f && s->top_p < 0.91f); /* Ollama's default */
	CHECK_EQ_Z(fakes.stops, "<end>|");
	CHECK_EQ_INT(fakes.last.max_context, 9000);
	CHECK(fakes.last.truncate);
	CHECK_EQ_Z(fakes.schema, "json");
	CHECK_EQ_INT(fakes.keep_alive_ms, 600000);
	struct str body = buf_str(&out);
	CHECK(str_find(body, STR("option \\\"num_gpu\\\" is ignored: the layers on the GPU"), 0) !=
		SIZE_MAX);
	CHECK(str_find(body, STR("option \\\"magic\\\" is ignored: it is not known"), 0) !=
		SIZE_MAX);
	CHECK(str_find(body, STR("num_ctx 9000 is more than the 4096 tokens"), 0) != SIZE_MAX);
	CHECK(str_find(head_value(&head, "X-Tresor-Warnings"), STR("magic"), 0) != SIZE_MAX);
	test_app_stop(&t);
}

TEST(messages_reach_the_engine_with_the_models_system_text)
{
	struct test_app t;
	test_app_start(&t);
	CHECK_OK(str_copy(STR("Be brief."), fakes.system, sizeof fakes.system));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/chat",
			     "{\"model\":\"tiny\",\"stream\":false,\"messages\":["
			     "{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}]}",
			     NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"system\",\"content\":\"Be brief.\",\"share\":\"company\"},"
		"{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}]");
	CHECK_EQ_INT(call_api(&t, "POST", "/api/generate",
			     "{\"model\":\"tiny\",\"stream\":false,"
			     "\"system\":\"Be long.\",\"prompt\":\"x\"}",
			     NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"system\",\"content\":\"Be long.\"},"
				"{\"role\":\"user\",\"content\":\"x\"}]");
	CHECK_EQ_INT(call_api(&t, "POST", "/api/generate",
			     "{\"model\":\"tiny\",\"stream\":false,\"raw\":true,"
			     "\"prompt\":\"<s>x\"}",
			     NULL, NULL),
		200);
	CHECK_EQ_Z(fakes.input, "<s>x");
	CHECK_EQ_INT(fakes.last.kind, GEN_PROMPT);
	CHECK(fakes.last.raw);
	test_app_stop(&t);
}

TEST(a_client_that_leaves_cancels)
{
	static const char *const streams[] = { "true", "false" };
	struct test_app t;
	test_app_start(&t);
	for (int i = 0; i < 2; i++) {
		AUTO_BUF struct buf r = BUF(4096), body = BUF(4096);
		const char *z;
		CHECK_OK(buf_addf(&body,
			"{\"model\":\"tiny\",\"stream\":%s,\"messages\":[{\"role\":\"user\","
			"\"content\":\"SLOW\"}]}",
			streams[i]));
		CHECK_OK(buf_addf(&r,
			"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
			"Content-Length: %zu\r\n\r\n%.*s",
			t.key, body.len, (int)body.len, body.ptr));
		CHECK_OK(buf_cstr(&r, &z));
		int fd = test_connect(&t), before = fakes.cancelled;
		send_z(fd, z);
		struct timespec nap = { .tv_nsec = 60000000 };
		nanosleep(&nap, NULL);
		CHECK_EQ_INT(fakes.cancelled, before);
		close(fd);
		for (int k = 0; k < 100 && fakes.cancelled == before; k++)
			nanosleep(&nap, NULL);
		CHECK(fakes.cancelled > before);
	}
	test_app_stop(&t);
	CHECK_EQ_INT(fakes.ended, 2);
}

TEST(lists_and_details_have_ollamas_fields)
{
	struct test_app t;
	AUTO_BUF struct buf tags = BUF(65536), ps = BUF(65536), show = BUF(65536),
			    version = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "GET", "/api/tags", NULL, NULL, &tags), 200);
	CHECK_EQ_STR(buf_str(&tags),
		STR("{\"models\":[{\"name\":\"tiny:latest\",\"model\":\"tiny:latest\","
		    "\"size\":123456,"
		    "\"digest\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
		    "\"modified_at\":\"2023-11-14T22:13:20.000Z\","
		    "\"details\":{\"parent_model\":\"\","
		    "\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],"
		    "\"parameter_size\":\"135M\","
		    "\"quantization_level\":\"Q4_1\"},"
		    "\"capabilities\":[\"completion\",\"tools\"]}]}"));
	CHECK_EQ_INT(call_api(&t, "GET", "/api/ps", NULL, NULL, &ps), 200);
	CHECK(str_find(buf_str(&ps), STR("\"size_vram\":0,\"context_length\":4096"), 0) !=
		SIZE_MAX);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/show", "{\"name\":\"tiny\"}", NULL, &show), 200);
	CHECK(str_find(buf_str(&show), STR("\"capabilities\":[\"completion\",\"tools\"]"), 0) !=
		SIZE_MAX);
	CHECK(str_find(buf_str(&show), STR("\"llama.context_length\":8192"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&show),
		      STR("\"origin\":{\"source\":\"hf.co/u/r:Q4\",\"person\":\"\","
			  "\"person_name\":\"\",\"at_ms\":1700000000000}"),
		      0) != SIZE_MAX);
	buf_clear(&show);
	CHECK_OK(str_copy(STR("{\"temperature\":0.5,\"stop\":[\"a\",\"b\"]}"), fakes.params,
		sizeof fakes.params));
	CHECK_OK(str_copy(STR("Be brief."), fakes.system, sizeof fakes.system));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/show", "{\"name\":\"tiny\"}", NULL, &show), 200);
	CHECK(str_find(buf_str(&show),
		      STR("FROM tiny:latest\\nSYSTEM Be brief.\\nPARAMETER temperature 0.5\\n"
			  "PARAMETER stop a\\nPARAMETER stop b\\n"),
		      0) != SIZE_MAX);
	CHECK_EQ_INT(call_raw(&t, "GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL,
			     &version),
		200);
	CHECK(str_starts(buf_str(&version), STR("{\"version\":\"0.")));
	test_app_stop(&t);
}

static bool has(const struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_from(text), 0) != SIZE_MAX;
}

/* Field names: Ollama 0.17.4's api/types.go, ShowResponse and Tensor. */
TEST(show_tells_what_is_in_the_file)
{
	struct test_app t;
	AUTO_BUF struct buf plain = BUF(65536), all = BUF(65536), other = BUF(65536),
			    none = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/show", "{\"model\":\"tiny\"}", NULL, &plain), 200);
	CHECK(has(&plain, "\"tokenizer.ggml.tokens\":null"));
	CHECK(has(&plain, "\"general.parameter_count\":135000000"));
	CHECK(has(&plain, "\"tensors\":[{\"name\":\"token_embd.weight\",\"type\":\"F32\","
			  "\"shape\":[8,32]}]"));
	CHECK(has(&plain, "\"template\":\"{{ messages }}\""));
	CHECK(!has(&plain, "TEMPLATE")); /* the Modelfile leaves the file's own to the file */
	CHECK(!has(&plain, "projector_info"));
	const char *verbose = "{\"model\":\"tiny\",\"verbose\":true}";
	CHECK_EQ_INT(call_api(&t, "POST", "/api/show", verbose, NULL, &all), 200);
	CHECK(has(&all, "\"tokenizer.ggml.tokens\":[\"a\",\"b\"]"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/show",
			     "{\"model\":\"tiny\",\"system\":\"Be odd.\","
			     "\"template\":\"{{ .Prompt }}\",\"options\":{\"seed\":7}}",
			     NULL, &other),
		200);
	CHECK(has(&other, "\"system\":\"Be odd.\""));
	CHECK(has(&other, "\"template\":\"{{ .Prompt }}\""));
	CHECK(has(&other, "PARAMETER seed 7"));
	fakes.no_headers = true;
	CHECK_EQ_INT(call_api(&t, "POST", "/api/show", "{\"model\":\"tiny\"}", NULL, &none), 200);
	CHECK(has(&none, "\"llama.context_length\":8192"));
	CHECK(!has(&none, "tensors"));
	test_app_stop(&t);
}

/* The model's explicit template goes along; a request's own comes before it; the answer names the
 * one that was used by its SHA-256 (sha256sum). */
TEST(a_template_that_was_brought_is_used)
{
	struct test_app t;
	AUTO_BUF struct buf own = BUF(65536), other = BUF(65536), raw = BUF(65536);
	test_app_start(&t);
	CHECK_OK(str_copy(STR("[INST] {{ .Prompt }}"), fakes.template_, sizeof fakes.template_));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/generate",
			     "{\"model\":\"tiny\",\"prompt\":\"a\",\"stream\":false}", NULL, &own),
		200);
	CHECK_EQ_Z(fakes.used_template, "[INST] {{ .Prompt }}");
	CHECK(has(&own, "\"template_hash\":"
			"\"5ebb1eb975dc3766fe4a0d893ae4ea92ff637609f71b2a2c8dd8b6ebea99ef4a\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/generate",
			     "{\"model\":\"tiny\",\"prompt\":\"a\",\"stream\":false,"
			     "\"template\":\"{{ .System }}|{{ .Prompt }}\"}",
			     NULL, &other),
		200);
	CHECK_EQ_Z(fakes.used_template, "{{ .System }}|{{ .Prompt }}");
	CHECK_EQ_INT(call_api(&t, "POST", "/infill",
			     "{\"model\":\"tiny\",\"input_prefix\":\"a\",\"input_suffix\":\"b\"}",
			     NULL, &raw),
		200);
	CHECK_EQ_Z(fakes.used_template, ""); /* the model's tokens do that */
	test_app_stop(&t);
}

TEST(pull_reports_progress_once_and_ends_with_success)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536), one = BUF(4096), bad = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/pull", "{\"model\":\"tiny\"}", NULL, &out), 200);
	CHECK_EQ_STR(buf_str(&out),
		STR("{\"status\":\"pulling manifest\"}\n"
		    "{\"status\":\"pulling bbbbbbbbbbbb\",\"digest\":\"sha256:"
		    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\","
		    "\"total\":100,"
		    "\"completed\":40}\n{\"status\":\"success\"}\n"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/pull", "{\"name\":\"tiny\",\"stream\":false}", NULL,
			     &one),
		200);
	CHECK_EQ_STR(buf_str(&one), STR("{\"status\":\"success\"}"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/pull", "{\"name\":\"broken\",\"stream\":false}",
			     NULL, &bad),
		502);
	CHECK_EQ_STR(buf_str(&bad), STR("{\"error\":\"the registry said 500\"}"));
	CHECK(fakes_audited(
		"\"action\":\"models.change\",\"object\":\"tiny\",\"outcome\":\"begun\""));
	test_app_stop(&t);
}

TEST(create_tells_how_far_it_is_as_ollama_does)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536), one = BUF(4096), bad = BUF(4096);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/create",
			     "{\"model\":\"q\",\"files\":{},\"quantize\":\"q4_K_M\"}", NULL, &out),
		200);
	CHECK_EQ_STR(buf_str(&out),
		STR("{\"status\":\"parsing GGUF\"}\n"
		    "{\"status\":\"quantizing F16 model to Q4_K_M\","
		    "\"digest\":\"0000000000000000000\",\"total\":7,\"completed\":3}\n"
		    "{\"status\":\"success\"}\n"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/create",
			     "{\"model\":\"q\",\"files\":{},\"quantize\":\"q4_0\","
			     "\"stream\":false}",
			     NULL, &one),
		200);
	CHECK_EQ_STR(buf_str(&one), STR("{\"status\":\"success\"}"));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/create", "{\"model\":\"q\",\"stream\":false}", NULL,
			     &bad),
		400);
	test_app_stop(&t);
}

TEST(blobs_are_put_asked_for_and_checked)
{
	struct test_app t;
	static const char d[] = "0000000000000000000000000000000000000000000000000000000000000001";
	static const char e[] = "e000000000000000000000000000000000000000000000000000000000000001";
	char path[128], there[128];
	test_app_start(&t);
	snprintf(path, sizeof path, "/api/blobs/sha256:%s", d);
	snprintf(there, sizeof there, "/api/blobs/sha256:%s", e);
	CHECK_EQ_INT(call_api(&t, "POST", path, "bytes", NULL, NULL), 201);
	CHECK_EQ_Z(fakes.uploaded, "bytes");
	CHECK_EQ_INT(call_api(&t, "POST", there, "bytes", NULL, NULL), 200);
	memset(fakes.uploaded, 0, sizeof fakes.uploaded);
	AUTO_BUF struct buf out = BUF(4096);
	CHECK_EQ_INT(call_api(&t, "POST", path, "wrong", NULL, &out), 400);
	CHECK(str_find(buf_str(&out), STR("digest mismatch"), 0) != SIZE_MAX);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/blobs/sha256:zz", "x", NULL, NULL), 400);
	CHECK_EQ_INT(
		call_api(&t, "DELETE", "/api/delete", "{\"model\":\"tiny\"}", NULL, NULL), 200);
	CHECK_EQ_INT(fakes.deleted, 1);
	CHECK_EQ_INT(
		call_api(&t, "DELETE", "/api/delete", "{\"model\":\"nope\"}", NULL, NULL), 404);
	CHECK_EQ_INT(fakes.deleted, 1);
	test_app_stop(&t);
}

TEST(durations_are_gos)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{ "10m", 600000 },
		{ "1h30m", 5400000 },
		{ "250ms", 250 },
		{ "1.5s", 1500 },
		{ "0", 0 },
		{ "-1m", -60000 },
		{ "+2s", 2000 },
		{ "1us", 1 },
		{ "24h0m0s", 86400000 },
	};
	static const char *const bad[] = { "", "10", "m", "1x", "1h m", "--1s", "1m ", ".s",
		"1e3s" };
	int64_t ms;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		CHECK_OK(duration_parse(str_from(good[i].text), &ms));
		CHECK_EQ_INT(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_ERR(duration_parse(str_from(bad[i]), &ms), ERR_INVALID);
}

TEST(a_push_is_a_right_of_its_own_and_recorded)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/api/push", "{\"model\":\"r.de/a/m\"}", NULL, &out), 200);
	CHECK(str_ends(buf_str(&out), STR("{\"status\":\"success\"}\n")));
	CHECK(fakes_audited("\"action\":\"models.push\",\"object\":\"r.de/a/m\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/api/push", "{}", NULL, NULL), 400);
	test_app_stop(&t);
}

TEST(deleting_a_model_in_use_says_by_whom)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(4096);
	test_app_start(&t);
	fakes.in_use = gen_number(str_from(t.person));
	CHECK_EQ_INT(call_page(&t, "DELETE", "/team/v1/models/tiny", NULL, NULL, &out), 409);
	CHECK(str_find(buf_str(&out), STR("is in use: answers are made for "), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("owner (2), somebody (1)"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&out), STR("--force"), 0) != SIZE_MAX);
	CHECK_EQ_INT(fakes.deleted, 0);
	CHECK_EQ_INT(call_api(&t, "DELETE", "/api/delete", "{\"model\":\"tiny\",\"force\":true}",
			     NULL, NULL),
		200);
	CHECK_EQ_INT(fakes.deleted, 1);
	test_app_stop(&t);
}
