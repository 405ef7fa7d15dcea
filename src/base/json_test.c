#include "base/json.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "tests/test.h"

static json_t *must_read(const char *text)
{
	json_t *v = NULL;
	struct err_info info = { 0 };
	enum err e = json_read(str_from(text), 1 << 20, 64, &v, &info);
	if (e)
		FAIL("%s: %s: %s", text, err_slug(e), info.detail);
	return v;
}

static void must_refuse(struct str text, enum err want)
{
	json_t *v = NULL;
	struct err_info info = { 0 };
	enum err e = json_read(text, 1 << 20, 64, &v, &info);
	if (e != want || v)
		FAIL("%.*s: %s instead of %s", STR_ARG(text), err_slug(e), err_slug(want));
	CHECK(info.code == want && info.detail[0]);
}

TEST(whole_documents_are_read)
{
	AUTO_JSON json_t *v = must_read(" {\"a\":[1,-2.5,true,null,\"\\u00fc\\ud83d\\ude00\"]} \n");
	json_t *a = json_object_get(v, "a");
	CHECK_EQ_INT(json_array_size(a), 5);
	CHECK_EQ_Z(json_string_value(json_array_get(a, 4)), "\xc3\xbc\xf0\x9f\x98\x80");
	AUTO_JSON json_t *n = must_read("9223372036854775807");
	CHECK(json_integer_value(n) == INT64_MAX);
	AUTO_JSON json_t *m = must_read("-9223372036854775808");
	CHECK(json_integer_value(m) == INT64_MIN);
}

TEST(everything_loose_is_refused)
{
	static const char *const bad[] = {
		"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "[1] 2", "01", "1.",
		".5", "+1", "0x1", "NaN", "Infinity", "-", "1e", "tru", "nul", "\"\t\"",
		"\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
		"\"\\u0000\"", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1}}",
		"9223372036854775808", "-9223372036854775809", "1e999", "[1}", "/* c */ 1",
		"\xef\xbb\xbf{}", "[\"a\" \"b\"]", "{\"a\" 1}", "{\"\\u0000\":1}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		must_refuse(str_from(bad[i]), ERR_BAD_JSON);
	must_refuse((struct str){ "1\0", 2 }, ERR_BAD_JSON);
	must_refuse((struct str){ "\0", 1 }, ERR_BAD_JSON);
	must_refuse((struct str){ "[1]\0[2]", 7 }, ERR_BAD_JSON);
	must_refuse((struct str){ "\"a\0b\"", 5 }, ERR_BAD_JSON);
	must_refuse(STR("\"\xff\""), ERR_BAD_JSON);
	must_refuse(STR("\"\xed\xa0\x80\""), ERR_BAD_JSON);
	must_refuse(STR_NONE, ERR_BAD_JSON);
}

TEST(the_reason_names_the_place_and_quotes_nothing)
{
	json_t *v = NULL;
	struct err_info info = { 0 };
	CHECK_ERR(json_read(STR("{\n\"a\": secretword\n}"), 100, 8, &v, &info), ERR_BAD_JSON);
	CHECK(strstr(info.detail, "line 2") != NULL);
	CHECK(strstr(info.detail, "secretword") == NULL);
}

TEST(depth_counts_brackets_outside_strings)
{
	json_t *v = NULL;
	CHECK_ERR(json_read(STR("[[[]]]"), 100, 2, &v, NULL), ERR_LIMIT);
	CHECK_OK(json_read(STR("[[[]]]"), 100, 3, &v, NULL));
	json_decref(v);
	CHECK_OK(json_read(STR("[\"[[[[\\\"[[[[\", {}]"), 100, 2, &v, NULL));
	json_decref(v);
	CHECK_OK(json_read(STR("[[],[],[],{},{}]"), 100, 2, &v, NULL));
	json_decref(v);
}

TEST(a_million_brackets_are_only_a_limit)
{
	AUTO_BUF struct buf b = BUF(1 << 21);
	for (int i = 0; i < 1000000; i++)
		CHECK_OK(buf_add_byte(&b, i % 2 ? '{' : '['));
	json_t *v = NULL;
	CHECK_ERR(json_read(buf_str(&b), 1 << 21, 64, &v, NULL), ERR_LIMIT);
	CHECK_ERR(json_read(buf_str(&b), 1 << 10, 64, &v, NULL), ERR_LIMIT); /* bytes */
}

TEST(getters_check_type_and_range)
{
	AUTO_JSON json_t *v = must_read(
		"{\"s\":\"x\",\"i\":5,\"f\":0.5,\"b\":true,\"o\":{},\"a\":[],\"n\":null}");
	struct str s = STR("old");
	int64_t i = 1;
	double f = 1;
	bool b = false;
	json_t *j = NULL;
	struct err_info info = { 0 };
	CHECK_OK(json_want_str(v, "s", true, &s, &info));
	CHECK_EQ_STR(s, STR("x"));
	CHECK_OK(json_want_i64(v, "i", true, 0, 5, &i, &info));
	CHECK_EQ_INT(i, 5);
	CHECK_OK(json_want_f64(v, "f", true, 0, 1, &f, &info));
	CHECK(f == 0.5);
	CHECK_OK(json_want_f64(v, "i", true, 0, 10, &f, &info));
	CHECK(f == 5);
	CHECK_OK(json_want_bool(v, "b", true, &b, &info));
	CHECK(b);
	CHECK_OK(json_want_obj(v, "o", true, &j, &info));
	CHECK(json_is_object(j));
	CHECK_OK(json_want_arr(v, "a", true, &j, &info));
	CHECK(json_is_array(j));

	CHECK_ERR(json_want_str(v, "i", true, &s, &info), ERR_INVALID);
	CHECK_EQ_Z(info.detail, "\"i\" must be a string");
	CHECK_ERR(json_want_i64(v, "f", true, 0, 9, &i, &info), ERR_INVALID);
	CHECK_ERR(json_want_i64(v, "i", true, 6, 9, &i, &info), ERR_INVALID);
	CHECK_ERR(json_want_i64(v, "i", true, 0, 4, &i, &info), ERR_INVALID);
	CHECK_ERR(json_want_i64(v, "b", true, 0, 4, &i, &info), ERR_INVALID);
	CHECK_ERR(json_want_f64(v, "f", true, 0.6, 1, &f, &info), ERR_INVALID);
	CHECK_ERR(json_want_f64(v, "s", true, 0, 1, &f, &info), ERR_INVALID);
	CHECK_ERR(json_want_bool(v, "i", true, &b, &info), ERR_INVALID);
	CHECK_ERR(json_want_obj(v, "a", true, &j, &info), ERR_INVALID);
	CHECK_ERR(json_want_arr(v, "o", true, &j, &info), ERR_INVALID);
	CHECK_EQ_INT(i, 5); /* written on OK only */
}

TEST(absent_and_null_are_the_same)
{
	AUTO_JSON json_t *v = must_read("{\"n\":null}");
	struct str s = STR("old");
	int64_t i = 7;
	CHECK_OK(json_want_str(v, "n", false, &s, NULL));
	CHECK_OK(json_want_i64(v, "zzz", false, 0, 1, &i, NULL));
	CHECK_EQ_STR(s, STR("old"));
	CHECK_EQ_INT(i, 7);
	CHECK_ERR(json_want_str(v, "n", true, &s, NULL), ERR_INVALID);
	CHECK_ERR(json_want_str(v, "zzz", true, &s, NULL), ERR_INVALID);
	AUTO_JSON json_t *list = must_read("[]");
	CHECK_ERR(json_want_str(list, "a", false, &s, NULL), ERR_INVALID);
	CHECK_ERR(json_want_str(NULL, "a", false, &s, NULL), ERR_INVALID);
}

TEST(writer_puts_the_commas)
{
	AUTO_BUF struct buf b = BUF(4096);
	struct jw w;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "s", STR("a\"b\\c\n\x01\x7f/"));
	jw_kstr(&w, "none", STR_NONE);
	jw_ki64(&w, "i", INT64_MIN);
	jw_key(&w, "u");
	jw_u64(&w, UINT64_MAX);
	jw_kf64(&w, "f", 0.1);
	jw_kbool(&w, "b", false);
	jw_key(&w, "l");
	jw_arr(&w);
	jw_null(&w);
	jw_obj(&w);
	jw_end(&w);
	jw_arr(&w);
	jw_end(&w);
	jw_raw(&w, STR("{\"r\":1}"));
	jw_bool(&w, true);
	jw_end(&w);
	jw_end(&w);
	CHECK_OK(b.err);
	CHECK_EQ_STR(buf_str(&b),
		STR("{\"s\":\"a\\\"b\\\\c\\n\\u0001\x7f/\",\"none\":null,"
		    "\"i\":-9223372036854775808,\"u\":18446744073709551615,\"f\":0.1,\"b\":false,"
		    "\"l\":[null,{},[],{\"r\":1},true]}"));
}

TEST(invalid_utf8_is_replaced)
{
	AUTO_BUF struct buf b = BUF(100);
	CHECK_OK(json_add_str(&b, STR("a\xff\xc3\xbc\xe2\x82")));
	CHECK_EQ_STR(buf_str(&b), STR("\"a\xef\xbf\xbd\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\""));
	buf_clear(&b);
	CHECK_OK(json_add_str(&b, (struct str){ "a\0b", 3 }));
	CHECK_EQ_STR(buf_str(&b), STR("\"a\\u0000b\""));
}

static void check_double(double v, const char *want)
{
	AUTO_BUF struct buf b = BUF(64);
	struct jw w;
	jw_init(&w, &b);
	jw_f64(&w, v);
	if (want)
		CHECK_EQ_STR(buf_str(&b), str_from(want));
	const char *z;
	CHECK_OK(buf_cstr(&b, &z));
	if (isfinite(v))
		CHECK(strtod(z, NULL) == v);
}

TEST(doubles_are_short_and_read_back)
{
	check_double(0.1, "0.1");
	check_double(1.0 / 3, "0.3333333333333333"); /* as Python's repr */
	check_double(5e-324, "4.94065645841247e-324");
	check_double(1.7976931348623157e308, "1.7976931348623157e+308");
	check_double(100, "100");
	check_double(-0.0, "-0.0");
	check_double(NAN, "null");
	check_double(INFINITY, "null");
	check_double(-INFINITY, "null");
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = random_u64();
		double d;
		memcpy(&d, &bits, sizeof d);
		check_double(d, NULL);
	}
}

TEST(parsed_values_are_written_back)
{
	const char *text = "{\"a\":[1,2.5,true,false,null,\"x\\ny\"],\"b\":{\"c\":{}},\"d\":[]}";
	AUTO_JSON json_t *v = must_read(text);
	AUTO_BUF struct buf b = BUF(4096);
	struct jw w;
	jw_init(&w, &b);
	jw_json(&w, v);
	CHECK_EQ_STR(buf_str(&b), str_from(text));
	buf_clear(&b);
	jw_init(&w, &b);
	jw_json(&w, NULL);
	CHECK_EQ_STR(buf_str(&b), STR("null"));
}

TEST(writing_over_the_limit_sticks)
{
	AUTO_BUF struct buf b = BUF(10);
	struct jw w;
	jw_init(&w, &b);
	jw_arr(&w);
	for (int i = 0; i < 10; i++)
		jw_i64(&w, i);
	jw_end(&w);
	CHECK_ERR(b.err, ERR_LIMIT);
}

TEST(every_failed_allocation_of_the_parser_is_no_memory)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO_JSON json_t *v = NULL;
		struct err_info info = { 0 };
		enum err e =
			json_read(STR("{\"a\":[1,2.5,{\"b\":\"text\\u00fc\"},\"y\",{}],\"k1\":1,"
				      "\"k2\":1,\"k3\":1,\"k4\":1,\"k5\":1,\"k6\":1,\"k7\":1,"
				      "\"k8\":1,\"k9\":[1,2,3,4,5,6,7,8,9,10,11]}"),
				1000, 8, &v, &info);
		CHECK_EQ_INT(e, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
		CHECK((v != NULL) == (e == OK));
	}
}

TEST(every_failed_allocation_of_the_writer_sticks)
{
	AUTO_JSON json_t *v =
		must_read("[\"a long enough text to make the buffer grow a few times\",1,2]");
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO_BUF struct buf b = BUF(4096);
		struct jw w;
		jw_init(&w, &b);
		jw_obj(&w);
		jw_key(&w, "v");
		jw_json(&w, v);
		jw_kstr(&w, "s", STR("another text that is long enough to make it grow"));
		jw_end(&w);
		CHECK_EQ_INT(b.err, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
	}
}
