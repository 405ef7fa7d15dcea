#include "models/modelfile.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "tests/test.h"

static struct str str_of(const json_t *obj, const char *key)
{
	const json_t *j = json_object_get(obj, key);
	return (struct str){ json_string_value(j), json_string_length(j) };
}

/* "model" and "seed" are how Ollama names FROM and PARAMETER seed. */
static void check_command(const char *file, const struct modelfile_cmd *c, const json_t *want)
{
	static const char *const kinds[MODELFILE_KINDS] = {
		[MODELFILE_FROM] = "model",	   [MODELFILE_ADAPTER] = "adapter",
		[MODELFILE_TEMPLATE] = "template", [MODELFILE_SYSTEM] = "system",
		[MODELFILE_LICENSE] = "license",   [MODELFILE_MESSAGE] = "message",
		[MODELFILE_REQUIRES] = "requires", [MODELFILE_RENDERER] = "renderer",
		[MODELFILE_PARSER] = "parser",
	};
	AUTO_BUF struct buf value = BUF(1 << 20);
	struct str name = str_from(json_string_value(json_array_get(want, 0)));
	struct str args = str_from(json_string_value(json_array_get(want, 1)));
	struct str got = c->kind == MODELFILE_PARAMETER ? c->name : str_from(kinds[c->kind]);
	if (c->kind == MODELFILE_MESSAGE)
		CHECK_OK(buf_addf(&value, "%.*s: ", STR_ARG(c->name)));
	CHECK_OK(buf_add(&value, c->value));
	if (!str_eq(name, got) || !str_eq(args, buf_str(&value)))
		FAIL("%s: %.*s \"%.*s\", want %.*s \"%.*s\"", file, STR_ARG(got),
			STR_ARG(buf_str(&value)), STR_ARG(name), STR_ARG(args));
}

static void check_params(const char *file, const struct modelfile *m, const json_t *want)
{
	AUTO_JSON json_t *got = NULL;
	const char *key;
	json_t *v;
	CHECK_OK(modelfile_params(m, &got));
	if (json_object_size(got) != json_object_size(want))
		FAIL("%s: %zu parameters, want %zu", file, json_object_size(got),
			json_object_size(want));
	json_object_foreach(got, key, v)
	{
		const json_t *w = json_object_get(want, key);
		bool is = json_equal(v, w);
		if (json_is_real(v)) /* Ollama keeps a float */
			is = (float)json_real_value(v) == (float)json_number_value(w);
		if (!is)
			FAIL("%s: %s is another", file, key);
	}
}

static bool same(const struct modelfile *a, const struct modelfile *b)
{
	if (modelfile_count(a) != modelfile_count(b))
		return false;
	for (size_t i = 0; i < modelfile_count(a); i++) {
		const struct modelfile_cmd *x = modelfile_get(a, i), *y = modelfile_get(b, i);
		if (x->kind != y->kind || !str_eq(x->name, y->name) || !str_eq(x->value, y->value))
			return false;
	}
	return true;
}

/* Prints, reads, prints: the same. `want` NULL: whatever the text. */
static void check_print(const char *file, const struct modelfile *m, const char *want)
{
	AUTO(modelfile) struct modelfile *again = NULL;
	AUTO_BUF struct buf out = BUF(1 << 20);
	struct err_info info = { 0 };
	CHECK_OK(modelfile_print(m, &out, NULL));
	if (modelfile_parse(buf_str(&out), &again, &info) || !same(m, again))
		FAIL("%s: reads back as another: %s\n%.*s", file, info.detail,
			STR_ARG(buf_str(&out)));
	if (want && !str_eq(buf_str(&out), str_from(want)))
		FAIL("%s: printed as\n%.*swant\n%s", file, STR_ARG(buf_str(&out)), want);
}

static void check_golden(const json_t *one)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	unsigned char bytes[1024];
	struct err_info info = { 0 };
	const char *name = json_string_value(json_object_get(one, "name"));
	const char *error = json_string_value(json_object_get(one, "error"));
	const json_t *commands = json_object_get(one, "commands");
	struct str text = str_of(one, "text"), hex = str_of(one, "hex");
	if (hex.ptr) {
		CHECK_OK(hex_decode(hex, bytes, hex.len / 2));
		text = (struct str){ (const char *)bytes, hex.len / 2 };
	}
	enum err e = modelfile_parse(text, &m, &info);
	if ((e != OK) != (error != NULL))
		FAIL("%s: %s %s, Ollama: %s", name, err_slug(e), info.detail,
			error ? error : "fine");
	if (error)
		return;
	CHECK_EQ_INT(modelfile_count(m), json_array_size(commands));
	for (size_t i = 0; i < modelfile_count(m); i++)
		check_command(name, modelfile_get(m, i), json_array_get(commands, i));
	check_params(name, m, json_object_get(one, "params"));
	/* Where Ollama's own text would read back as something else, ours has other quotes. */
	AUTO(modelfile) struct modelfile *theirs = NULL;
	const char *printed = json_string_value(json_object_get(one, "printed"));
	bool stable = !modelfile_parse(str_from(printed), &theirs, NULL) && same(m, theirs);
	check_print(name, m, stable ? printed : NULL);
}

TEST(modelfiles_read_as_ollama_reads_them)
{
	json_error_t error;
	size_t i;
	json_t *one;
	AUTO_JSON json_t *all = json_load_file(test_path("tests/gotmpl/golden.json"), 0, &error);
	if (!all)
		FAIL("golden.json: line %d: %s", error.line, error.text);
	json_array_foreach(json_object_get(all, "modelfiles"), i, one)
	{
		check_golden(one);
	}
	CHECK(i > 40);
}

TEST(mistakes_in_a_modelfile_are_named_by_place)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "FROM a\n\n  FORM b\n", "Modelfile line 3, column 3: unknown instruction \"FO" },
		{ "FROM a\r\nSYSTEM: b\r\n", "line 2, column 1: unknown instruction \"SYSTEM:\"" },
		{ "SYSTEM a\n", "the Modelfile has no FROM line" },
		{ "", "the Modelfile has no FROM line" },
		{ "FROM\n", "line 1, column 5: FROM needs a value" },
		{ "FROM", "line 1, column 5: FROM needs a value" },
		{ "FROM  \n", "line 1, column 7: FROM needs a value" },
		{ "FROM \"\"\n", "line 1, column 6: FROM needs a value" },
		{ "FROM a\nRENDERER \n", "line 2, column 10: RENDERER needs a value" },
		{ "FROM a\nSYSTEM \xc3\xa4 \"\nSYSTEM  \"\"\"abc\n\n", "line 3, column 9: the" },
		{ "FROM a\nSYSTEM \"abc\" d\n", "line 2, column 8: the quotes that open here" },
		{ "FROM a\nMESSAGE tool x\n",
			"line 2, column 9: \"tool\" is no role: it must be system, user" },
		{ "FROM a\nMESSAGE \n", "line 2, column 9: MESSAGE needs a role" },
		{ "FROM a\nMESSAGE user\n", "line 2, column 13: MESSAGE user needs a value" },
		{ "FROM a\nPARAMETER\n", "line 2, column 10: PARAMETER needs a value" },
		{ "FROM a\nPARAMETER  num-ctx 1\n",
			"line 2, column 12: unknown parameter \"num-ctx\"" },
		{ "FROM a\nPARAMETER seed 1.5\n",
			"line 2, column 16: seed must be a whole number, not \"1.5\"" },
		{ "FROM a\nPARAMETER seed\n", "line 2, column 15: PARAMETER seed needs a value" },
		{ "FROM a\nPARAMETER temperature hot\n", "temperature must be a number, not \"h" },
		{ "FROM a\nPARAMETER temperature nan\n", "must be a number" },
		{ "FROM a\nPARAMETER top_p 1e39\n", "must be a number" },
		{ "FROM a\nPARAMETER use_mmap yes\n", "use_mmap must be true or false" },
		{ "FROM a\nREQUIRES new\n", "line 2, column 10: \"new\" is no version" },
		{ "FROM a\nSYSTEM \xff\n", "line 2, column 8: not valid UTF-8" },
		{ "FROM a\nSYSTEM \xed\xa0\x80\n", "line 2, column 8: not valid UTF-8" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO(modelfile) struct modelfile *m = NULL;
		struct err_info info = { 0 };
		enum err e = modelfile_parse(str_from(rows[i].text), &m, &info);
		if (e != ERR_INVALID || !strstr(info.detail, rows[i].says))
			FAIL("%s: %s \"%s\"", rows[i].text, err_slug(e), info.detail);
	}
	struct err_info info = { 0 };
	AUTO(modelfile) struct modelfile *m = NULL;
	CHECK_ERR(modelfile_parse(STR("FROM a\nSYSTEM b\0c\n"), &m, &info), ERR_INVALID);
	CHECK(strstr(info.detail, "line 2, column 9: a zero byte"));
}

TEST(a_modelfile_has_bounds)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	AUTO_BUF struct buf text = BUF(LIMIT_MODELFILE + 1);
	CHECK_OK(buf_add(&text, STR("FROM a\nSYSTEM \"")));
	size_t head = text.len;
	CHECK_OK(buf_add_zeros(&text, LIMIT_MODELFILE + 1 - head));
	memset(text.ptr + head, '\n', text.len - head); /* each line's end may close the quotes */
	CHECK_ERR(modelfile_parse(buf_str(&text), &m, NULL), ERR_LIMIT);
	CHECK_ERR(modelfile_parse(str_sub(buf_str(&text), 0, LIMIT_MODELFILE), &m, NULL),
		ERR_INVALID);
	text.ptr[LIMIT_MODELFILE - 1] = '"';
	CHECK_OK(modelfile_parse(str_sub(buf_str(&text), 0, LIMIT_MODELFILE), &m, NULL));
	buf_clear(&text);
	for (int i = 0; i <= MODELFILE_COMMANDS_MAX; i++)
		CHECK_OK(buf_add(&text, STR("FROM a\n")));
	AUTO(modelfile) struct modelfile *many = NULL;
	CHECK_ERR(modelfile_parse(buf_str(&text), &many, NULL), ERR_LIMIT);
}

TEST(what_is_not_seen_is_kept)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	CHECK_OK(modelfile_parse(
		STR("FROM a\nSYSTEM \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 \xe3\x80\x80x\n"),
		&m, NULL));
	CHECK_EQ_STR(modelfile_find(m, MODELFILE_SYSTEM)->value,
		STR("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 \xe3\x80\x80x"));
	CHECK_EQ_INT(modelfile_find(m, MODELFILE_SYSTEM)->line, 2);
	CHECK(!modelfile_find(m, MODELFILE_LICENSE));
}

TEST(any_text_that_can_be_written_reads_back)
{
	static const char *const texts[] = { "", "a", " a ", "a\nb", "\"", "\"a\"", "a\"", "\"\"\"",
		"\"\"\"a\"\"\"", "a \"b\"\nc", "a\"\nb", "\n", "\r\n", "a\r\nb\"", "\ta\t", "\"\"",
		"\"\"\n\"", "# a", "say \"\"\" it\nnow" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		AUTO(modelfile) struct modelfile *m = NULL;
		CHECK_OK(modelfile_new(&m));
		CHECK_OK(modelfile_add(m, MODELFILE_FROM, STR_NONE, STR("a"), NULL));
		CHECK_OK(modelfile_add(m, MODELFILE_SYSTEM, STR_NONE, str_from(texts[i]), NULL));
		CHECK_OK(modelfile_add(
			m, MODELFILE_MESSAGE, STR("user"), str_from(texts[i]), NULL));
		check_print(texts[i], m, NULL);
	}
	AUTO(modelfile) struct modelfile *m = NULL;
	AUTO_BUF struct buf out = BUF(4096);
	struct err_info info = { 0 };
	CHECK_OK(modelfile_new(&m));
	CHECK_OK(modelfile_add(m, MODELFILE_SYSTEM, STR_NONE, STR("a\"\"\"\nb"), NULL));
	CHECK_ERR(modelfile_print(m, &out, &info), ERR_INVALID);
	CHECK(strstr(info.detail, "SYSTEM"));
	CHECK_ERR(modelfile_add(m, MODELFILE_SYSTEM, STR_NONE, STR("\xff"), NULL), ERR_INVALID);
	CHECK_ERR(modelfile_add(m, MODELFILE_PARAMETER, STR("seed"), STR("x"), NULL), ERR_INVALID);
	CHECK_ERR(modelfile_add(m, MODELFILE_PARAMETER, STR("x"), STR("1"), NULL), ERR_INVALID);
}

TEST(a_parameters_kind_is_told)
{
	static const struct {
		const char *name;
		enum modelfile_type type;
	} rows[] = { { "seed", MODELFILE_INT }, { "top_p", MODELFILE_FLOAT },
		{ "use_mmap", MODELFILE_BOOL }, { "stop", MODELFILE_STRING } };
	enum modelfile_type type;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		CHECK(modelfile_param(str_from(rows[i].name), &type));
		CHECK_EQ_INT(type, rows[i].type);
	}
	CHECK(!modelfile_param(STR("cheese"), &type) && !modelfile_param(STR("mirostat"), &type));
}

TEST(show_says_how_to_build_upon_it)
{
	AUTO(modelfile) struct modelfile *m = NULL;
	AUTO_BUF struct buf out = BUF(4096);
	CHECK_OK(modelfile_new(&m));
	CHECK_OK(modelfile_add(m, MODELFILE_FROM, STR_NONE, STR("/models/sha256-1"), NULL));
	CHECK_OK(modelfile_add(m, MODELFILE_PARAMETER, STR("stop"), STR("<end>"), NULL));
	CHECK_OK(modelfile_show(m, STR("gemma3:4b"), &out, NULL));
	/* server/routes.go, GetModelInfo */
	CHECK_EQ_STR(buf_str(&out), STR("# Modelfile generated by \"ollama show\"\n"
					"# To build a new Modelfile based on this, replace FROM "
					"with:\n# FROM gemma3:4b\n\nFROM /models/sha256-1\n"
					"PARAMETER stop <end>\n"));
}

TEST(every_failed_allocation_of_a_modelfile_is_told)
{
	struct str text = STR("FROM a\nPARAMETER stop x\nPARAMETER stop y\nPARAMETER seed 1\n"
			      "PARAMETER top_p 0.5\nSYSTEM \"\"\"a\nb\"\"\"\nMESSAGE user \"c\"\n");
	FOR_EACH_FAULT(FAULT_ALLOC, n) {
		AUTO(modelfile) struct modelfile *m = NULL;
		AUTO_JSON json_t *params = NULL;
		AUTO_BUF struct buf out = BUF(4096);
		enum err e = modelfile_parse(text, &m, NULL);
		e = e ? e : modelfile_params(m, &params);
		e = e ? e : modelfile_print(m, &out, NULL);
		CHECK_ERR(e, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
	}
}
