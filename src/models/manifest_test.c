#include "models/manifest.h"

#include <stdio.h>
#include <string.h>

#include "models/meta.h"
#include "tests/test.h"

#define D "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define OL "application/vnd.ollama.image."
#define LAYER(media, last, size)                                                                   \
	"{\"mediaType\":\"" media "\",\"digest\":\"sha256:" D last "\",\"size\":" size "}"
#define HEAD                                                                                       \
	"{\"schemaVersion\":2,\"config\":" LAYER(                                                  \
		"application/vnd.docker.container.image.v1+json", "0", "10") ","

TEST(a_manifest_of_ollama_is_read)
{
	struct manifest m;
	CHECK_OK(manifest_read(
		STR(HEAD "\"layers\":[" LAYER(OL "model", "1", "4000000000") "," LAYER(
			OL "license", "2", "77") "," LAYER(OL "params", "3",
			"30") "," LAYER("text/x-new", "4", "12") "]}"),
		&m, NULL));
	CHECK_EQ_INT(m.n, 5);
	CHECK_EQ_INT(m.layer[0].kind, LAYER_CONFIG);
	CHECK_EQ_INT(m.layer[4].kind, LAYER_OTHER);
	CHECK_EQ_INT(m.total, 4000000000 + 77 + 30 + 12 + 10);
	CHECK_EQ_Z(manifest_find(&m, LAYER_MODEL)->digest, D "1");
	CHECK(!manifest_find(&m, LAYER_SYSTEM));
}

#define LORA LAYER(OL "adapter", "2", "5")
TEST(adapters_are_layers_like_others)
{
	struct manifest m;
	CHECK_OK(manifest_read(STR(HEAD "\"layers\":[" LAYER(OL "model", "1", "5") "," LORA "]}"),
		&m, NULL));
	CHECK_EQ_INT(manifest_find(&m, LAYER_ADAPTER)->size, 5);
	CHECK_OK(manifest_read(STR(HEAD "\"layers\":[" LORA "," LORA "," LORA "," LORA
					"," LAYER(OL "model", "1", "5") "]}"),
		&m, NULL));
}

TEST(what_cannot_be_run_is_refused)
{
	static const struct {
		const char *text;
		enum err want;
	} rows[] = {
		{ "", ERR_BAD_JSON },
		{ "[]", ERR_INVALID },
		{ "{}", ERR_INVALID },
		{ "{\"schemaVersion\":1}", ERR_INVALID },
		{ HEAD "\"layers\":[]}", ERR_UNSUPPORTED },
		{ HEAD "\"layers\":[1]}", ERR_INVALID },
		{ HEAD "\"layers\":[" LAYER(OL "model", "1", "5") "," LAYER(
			  OL "model", "2", "5") "]}",
			ERR_UNSUPPORTED },
		{ HEAD "\"layers\":[" LAYER(OL "model", "1", "5") "," LORA "," LORA "," LORA
			"," LORA "," LORA "]}",
			ERR_UNSUPPORTED },
		{ HEAD "\"layers\":[" LAYER(OL "model", "1", "5") "," LAYER(
			  "x/y", "2", "900000000") "]}",
			ERR_UNSUPPORTED },
		{ HEAD "\"layers\":[" LAYER(OL "model", "1", "5") "," LAYER(
			  OL "system", "2", "900000") "]}",
			ERR_TOO_LARGE },
		{ HEAD "\"layers\":[" LAYER(OL "model", "1", "-5") "]}", ERR_INVALID },
		{ HEAD "\"layers\":[" LAYER(OL "model", "1", "9223372036854775807") "]}",
			ERR_INVALID },
		{ HEAD "\"layers\":[" LAYER(OL "model", "g", "5") "]}", ERR_INVALID },
		{ HEAD "\"layers\":[" LAYER(OL "model", "", "5") "]}", ERR_INVALID },
		{ "{\"schemaVersion\":2,\"manifests\":[]}", ERR_UNSUPPORTED },
		{ "{\"schemaVersion\":2,\"schemaVersion\":2,\"layers\":[]}", ERR_BAD_JSON },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct manifest m;
		struct err_info info = { 0 };
		enum err e = manifest_read(str_from(rows[i].text), &m, &info);
		if (e != rows[i].want)
			FAIL("%zu: wanted %s, got %s (%s)", i, err_slug(rows[i].want), err_slug(e),
				info.detail);
	}
}

TEST(too_many_layers_are_refused)
{
	AUTO_BUF struct buf b = BUF(1 << 20);
	struct manifest m;
	CHECK_OK(buf_add(&b, STR(HEAD "\"layers\":[" LAYER(OL "model", "1", "5"))));
	for (int i = 1; i < MANIFEST_LAYERS_MAX; i++)
		CHECK_OK(buf_add(&b, STR("," LAYER("x/y", "2", "5"))));
	size_t full = b.len;
	CHECK_OK(buf_add(&b, STR("]}")));
	CHECK_OK(manifest_read(buf_str(&b), &m, NULL));
	buf_cut(&b, full);
	CHECK_OK(buf_add(&b, STR("," LAYER("x/y", "2", "5") "]}")));
	CHECK_ERR(manifest_read(buf_str(&b), &m, NULL), ERR_LIMIT);
}

TEST(what_is_written_reads_back)
{
	struct layer l[4] = { { LAYER_MODEL, D "1", 100 }, { LAYER_CONFIG, D "2", 10 },
		{ LAYER_SYSTEM, D "3", 5 }, { LAYER_PROJECTOR, D "4", 50 } };
	AUTO_BUF struct buf b = BUF(1 << 20);
	struct manifest m;
	CHECK_OK(manifest_write(l, 4, &b));
	CHECK_OK(manifest_read(buf_str(&b), &m, NULL));
	CHECK_EQ_INT(m.n, 4);
	CHECK_EQ_INT(m.layer[0].kind, LAYER_CONFIG);
	CHECK_EQ_INT(m.total, 165);
	CHECK_EQ_Z(manifest_find(&m, LAYER_PROJECTOR)->digest, D "4");
}

TEST(parameters_are_checked)
{
	static const char *const good[] = { "{}", "{\"temperature\":0.6,\"stop\":[\"a\",\"b\"],"
						  "\"penalize\":true,\"s\":\"x\"}" };
	static const char *const bad[] = { "[]", "{\"a\":{}}", "{\"a\":null}", "{\"stop\":[1]}",
		"{\"stop\":[[]]}", "x",
		"{\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\","
		"\"8\",\"9\",\"10\",\"11\","
		"\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}" };
	for (size_t i = 0; i < 2; i++) {
		AUTO_JSON json_t *o = NULL;
		CHECK_OK(model_params_read(str_from(good[i]), &o, NULL));
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_JSON json_t *o = NULL;
		CHECK(model_params_read(str_from(bad[i]), &o, NULL) != OK);
	}
}

TEST(a_licence_has_a_title)
{
	CHECK_EQ_STR(
		licence_title(STR("\n   \n  Apache License \nVersion 2.0")), STR("Apache License"));
	CHECK_EQ_STR(licence_title(STR("\x1b[2J\nGemma")), STR("Gemma"));
	CHECK(!licence_title(STR("\n\n")).len);
	CHECK(!licence_title(STR_NONE).len);
}
