#include "engine/schema.h"

#include <stdio.h>
#include <string.h>

#include "tests/test.h"

static json_t *parse(const char *text)
{
	json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
	if (!v)
		FAIL("not JSON: %s", text);
	return v;
}

TEST(schemas_that_cannot_be_held_are_named_by_place)
{
	static const struct {
		const char *schema, *says; /* NULL: fine */
	} rows[] = {
		{ "{\"type\":\"object\"}", NULL },
		{ "{\"type\":[\"string\",\"null\"]}", NULL },
		{ "{\"title\":\"x\",\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"null\"}}}",
			NULL },
		{ "{\"properties\":{\"a\":true,\"b\":{}},\"required\":[\"a\"]}", NULL },
		{ "{\"enum\":[1,\"a\",null]}", NULL },
		{ "{\"const\":{\"not\":1}}", NULL }, /* a value, not a schema */
		{ "{}", "schema at #: demands nothing" },
		{ "{\"$schema\":\"x\",\"title\":\"t\",\"default\":1}",
			"schema at #: demands nothing" },
		{ "true", "schema at #: demands nothing" },
		{ "[]", "schema at #: must be a schema" },
		{ "{\"type\":\"text\"}", "schema at #: unknown type text" },
		{ "{\"type\":[]}", "schema at #" },
		{ "{\"type\":7}", "schema at #: unknown type" },
		{ "{\"properties\":{\"a\":{\"items\":{\"if\":{}}}}}",
			"schema at #/properties/a/items: cannot be enforced: if" },
		{ "{\"anyOf\":[{\"type\":\"null\"},{\"contains\":{}}]}",
			"schema at #/anyOf/1: cannot be" },
		{ "{\"allOf\":{}}", "schema at #/allOf: must be a list" },
		{ "{\"items\":3}", "schema at #/items: must be a schema" },
		{ "{\"properties\":[]}", "schema at #/properties: must be an object" },
		{ "{\"required\":[\"b\"],\"properties\":{\"a\":{}}}", "not described: b" },
		{ "{\"required\":\"a\"}", "must be a list of names" },
		{ "{\"minItems\":-1}", "whole number from 0: minItems" },
		{ "{\"minLength\":1001}", "too much for minLength" },
		{ "{\"maxLength\":1.5}", "whole number from 0: maxLength" },
		{ "{\"minimum\":\"1\"}", "must be a number: minimum" },
		{ "{\"multipleOf\":0}", "above 0: multipleOf" },
		{ "{\"enum\":[]}", "with values: enum" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_JSON json_t *s = parse(rows[i].schema);
		struct err_info info = { 0 };
		enum err e = schema_check(s, &info);
		if ((e == OK) != !rows[i].says || (e && e != ERR_INVALID) ||
			(e && !strstr(info.detail, rows[i].says)))
			FAIL("%s: %s %s", rows[i].schema, err_slug(e), info.detail);
	}
}

TEST(values_are_held_against_each_keyword)
{
	/* Right and wrong by the text of JSON Schema 2020-12, chapters 6 of validation and 10 of
	 * core. */
	static const struct {
		const char *schema, *value, *says; /* says NULL: it follows */
	} rows[] = {
		{ "{\"type\":\"integer\"}", "3", NULL },
		{ "{\"type\":\"integer\"}", "3.0", NULL },
		{ "{\"type\":\"integer\"}", "3.5", "$: is of another type" },
		{ "{\"type\":\"number\"}", "3", NULL },
		{ "{\"type\":[\"string\",\"null\"]}", "null", NULL },
		{ "{\"type\":[\"string\",\"null\"]}", "false", "another type" },
		{ "{\"enum\":[1,{\"a\":[2]}]}", "{\"a\":[2]}", NULL },
		{ "{\"enum\":[1,{\"a\":[2]}]}", "2", "none of the values" },
		{ "{\"const\":\"x\"}", "\"y\"", "not the constant" },
		{ "{\"minimum\":2}", "2", NULL },
		{ "{\"minimum\":2}", "1.9", "below the minimum" },
		{ "{\"exclusiveMaximum\":2}", "2", "not below" },
		{ "{\"multipleOf\":0.1}", "0.7", NULL },
		{ "{\"multipleOf\":2}", "3", "no multiple" },
		{ "{\"minimum\":2}", "\"one\"", NULL }, /* numbers only */
		{ "{\"maxLength\":3}", "\"\\u00fc\\u00fc\\u00fc\"",
			NULL }, /* characters, not bytes */
		{ "{\"maxLength\":2}", "\"\\u00fc\\u00fc\\u00fc\"", "too long" },
		{ "{\"items\":{\"type\":\"null\"}}", "[null,1]", "$[1]: is of another type" },
		{ "{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"string\"}}",
			"[null,\"a\"]", NULL },
		{ "{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"string\"}}",
			"[null,1]", "$[1]" },
		{ "{\"uniqueItems\":true}", "[1,2,{\"a\":1},{\"a\":1}]", "twice" },
		{ "{\"minItems\":2}", "[1]", "too short" },
		{ "{\"required\":[\"a\"]}", "{\"b\":1}", "$: lacks \"a\"" },
		{ "{\"properties\":{\"a\":{\"properties\":{\"b\":{\"type\":\"null\"}}}}}",
			"{\"a\":{\"b\":1}}", "$.a.b: is of another type" },
		{ "{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}",
			"has \"b\"" },
		{ "{\"additionalProperties\":{\"type\":\"null\"}}", "{\"b\":1}", "$.b" },
		{ "{\"additionalProperties\":true}", "{\"b\":1}", NULL },
		{ "{\"maxProperties\":1}", "{\"a\":1,\"b\":2}", "too long" },
		{ "{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "4", NULL },
		{ "{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "2", "none of anyOf" },
		{ "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":3}]}", "4", "more than one" },
		{ "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":3}]}", "4.5", NULL },
		{ "{\"allOf\":[{\"type\":\"integer\"},{\"minimum\":3}]}", "2", "below" },
		{ "{\"$ref\":\"#/$defs/n\",\"maximum\":5,\"$defs\":{\"n\":{\"minimum\":3}}}", "6",
			"above" },
		{ "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"minimum\":3}}}", "2", "below" },
		{ "{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":[\"v\"]}",
			"{\"v\":1,\"next\":{\"v\":2,\"next\":{}}}", "$.next.next: lacks \"v\"" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_JSON json_t *s = parse(rows[i].schema), *v = parse(rows[i].value);
		struct err_info info = { 0 };
		enum err e = schema_validate(s, v, &info);
		if ((e == OK) != !rows[i].says || (e && e != ERR_INVALID) ||
			(e && !strstr(info.detail, rows[i].says)))
			FAIL("%s, %s: %s %s", rows[i].schema, rows[i].value, err_slug(e),
				info.detail);
	}
}

TEST(a_check_that_does_not_end_is_given_up)
{
	AUTO_JSON json_t *s = parse("{\"$ref\":\"#\"}"), *v = parse("1");
	CHECK_ERR(schema_validate(s, v, NULL), ERR_LIMIT);
	AUTO_BUF struct buf text = BUF(1 << 20);
	for (int i = 0; i < 40; i++) /* two ways at each of forty levels */
		CHECK_OK(buf_addf(&text, "{\"anyOf\":[{\"$ref\":\"#/$defs/d\"},"));
	CHECK_OK(buf_add(&text, STR("{\"type\":\"null\"}")));
	for (int i = 0; i < 40; i++)
		CHECK_OK(buf_add(&text, STR("]}")));
	const char *z;
	CHECK_OK(buf_cstr(&text, &z));
	AUTO_JSON json_t *deep = parse(z);
	CHECK(json_is_object(deep));
	CHECK_ERR(schema_validate(deep, v, NULL), ERR_INVALID);
}

TEST(what_a_grammar_cannot_take_is_left_to_the_check)
{
	AUTO_JSON json_t *s =
		parse("{\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":5000},\"b\":true,"
		      "\"c\":{\"maxItems\":10}},\"additionalProperties\":true,"
		      "\"enum\":[true,{\"maxLength\":5000}]}");
	AUTO_JSON json_t *want = parse("{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{},"
				       "\"c\":{\"maxItems\":10}},\"additionalProperties\":true,"
				       "\"enum\":[true,{\"maxLength\":5000}]}");
	schema_relax(s);
	CHECK(json_equal(s, want));
}

TEST(long_and_foreign_names_stay_text)
{
	AUTO_BUF struct buf text = BUF(1 << 16);
	CHECK_OK(buf_add(&text, STR("{\"properties\":{\"")));
	for (int i = 0; i < 300; i++)
		CHECK_OK(buf_add(&text, STR("\xc3\xbc")));
	CHECK_OK(buf_add(&text, STR("\":{\"properties\":{\"x\":{\"type\":\"\xe2\x82\xac\"}}}}}")));
	const char *z;
	struct err_info info = { 0 };
	CHECK_OK(buf_cstr(&text, &z));
	AUTO_JSON json_t *s = parse(z);
	CHECK_ERR(schema_check(s, &info), ERR_INVALID);
	CHECK(str_is_utf8(str_from(info.detail)));
}
