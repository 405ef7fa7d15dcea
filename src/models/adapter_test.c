/* Adapters: the identity they give a model, whether they fit it, and their conversion. */
#include "models/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/convert_adapter.h"
#include "models/gguf_make_test.h"
#include "models/gguf_out.h"
#include "tests/test.h"

static struct model_adapters some(unsigned n)
{
	struct model_adapters a = { .n = n };
	memset(a.weights, 'a', 64);
	for (unsigned i = 0; i < n; i++)
		memset(a.digest[i], (int)('b' + i), 64);
	return a;
}

TEST(every_other_list_of_adapters_is_another_model)
{
	struct model_adapters a = some(1), b = some(2), c = some(2);
	char id[4][65];
	adapters_identity(&a, id[0]);
	adapters_identity(&b, id[1]);
	memset(c.digest[0], 'c', 64);
	memset(c.digest[1], 'b', 64);
	adapters_identity(&c, id[2]);
	memset(c.weights, 'f', 64);
	adapters_identity(&c, id[3]);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ_INT(strlen(id[i]), 64);
		CHECK(strcmp(id[i], a.weights) != 0);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(id[i], id[k]) != 0);
	}
	/* sha256sum of the word with its zero byte, 64 times "a", 64 times "b" */
	CHECK_EQ_Z(id[0], "f8ee98389c6903851467cbfa7b7466e1d372eadb05d57b47239bcdd16b0ee2b3");
	CHECK_EQ_Z(adapters_weights(&a, id[0]), a.weights);
	a.n = 0;
	CHECK_EQ_Z(adapters_weights(&a, "x"), "x");
}

/* ---- which fit ---- */

static json_t *tensor(const char *name, const char *type, int a, int b, int c)
{
	return c ? json_pack("{s:s,s:s,s:[iii]}", "name", name, "type", type, "shape", a, b, c)
	     : b ? json_pack("{s:s,s:s,s:[ii]}", "name", name, "type", type, "shape", a, b)
		 : json_pack("{s:s,s:s,s:[i]}", "name", name, "type", type, "shape", a);
}

static json_t *file(const char *architecture)
{
	return json_pack("{s:{s:s},s:[]}", "info", "general.architecture", architecture, "tensors");
}

static void add(json_t *f, json_t *t)
{
	json_array_append_new(json_object_get(f, "tensors"), t);
}

static json_t *model(bool own_output)
{
	json_t *m = file("llama");
	add(m, tensor("token_embd.weight", "F32", 8, 32, 0));
	add(m, tensor("blk.0.attn_q.weight", "Q4_K", 8, 16, 0));
	add(m, tensor("blk.0.ffn_up_exps.weight", "F16", 8, 24, 4));
	add(m, tensor("blk.0.attn_norm.weight", "F32", 8, 0, 0));
	add(m, tensor("blk.0.attn_q.bias", "F32", 8, 16, 0));
	add(m, tensor("blk.0.ffn_down.weight", "NVFP4", 8, 16, 0));
	add(m, tensor("blk.0.lora_b.lora_a.weight", "F32", 8, 16, 0));
	if (own_output)
		add(m, tensor("output.weight", "F32", 8, 32, 0));
	return m;
}

static enum err judge(json_t *m, json_t *a, char why[ERR_DETAIL_MAX])
{
	struct err_info info = { 0 };
	enum err e = adapter_fits(m, a, &info);
	snprintf(why, ERR_DETAIL_MAX, "%s", info.detail);
	json_decref(m);
	json_decref(a);
	return e;
}

static json_t *pair(const char *stem, const char *type, const int a[3], const int b[3])
{
	char name[128];
	json_t *f = file("llama");
	snprintf(name, sizeof name, "%s.lora_a", stem);
	add(f, tensor(name, type, a[0], a[1], a[2]));
	snprintf(name, sizeof name, "%s.lora_b", stem);
	add(f, tensor(name, type, b[0], b[1], b[2]));
	return f;
}

TEST(pairs_of_the_models_shape_fit)
{
	char why[ERR_DETAIL_MAX];
	static const struct {
		const char *stem, *type;
		int a[3], b[3];
	} rows[] = {
		{ "blk.0.attn_q.weight", "F32", { 8, 2 }, { 2, 16 } },
		{ "blk.0.attn_q.weight", "Q8_0", { 8, 1 }, { 1, 16 } },
		{ "blk.0.ffn_up_exps.weight", "F16", { 8, 2, 4 }, { 2, 24, 4 } },
		{ "token_embd.weight", "BF16", { 2, 32 }, { 2, 8 } },
		{ "output.weight", "F32", { 8, 3 }, { 3, 32 } },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (judge(model(true), pair(rows[i].stem, rows[i].type, rows[i].a, rows[i].b), why))
			FAIL("%zu: %s", i, why);
}

TEST(what_does_not_fit_is_refused_in_words)
{
	char why[ERR_DETAIL_MAX];
	static const struct {
		const char *stem, *type;
		int a[3], b[3];
		const char *want;
	} rows[] = {
		{ "blk.9.attn_q.weight", "F32", { 8, 2 }, { 2, 16 }, "does not have" },
		{ "blk.0.attn_q.weight", "F32", { 9, 2 }, { 2, 16 }, "shape" },
		{ "blk.0.attn_q.weight", "F32", { 8, 2 }, { 2, 17 }, "shape" },
		{ "blk.0.attn_q.weight", "F32", { 8, 2 }, { 3, 16 }, "shape" },
		{ "blk.0.attn_q.weight", "F32", { 8, 2, 2 }, { 2, 16, 2 }, "shape" },
		{ "blk.0.ffn_up_exps.weight", "F32", { 8, 2 }, { 2, 24 }, "shape" },
		{ "blk.0.ffn_up_exps.weight", "F32", { 8, 2, 4 }, { 2, 24, 3 }, "shape" },
		{ "blk.0.attn_q.weight", "I32", { 8, 2 }, { 2, 16 }, "F32, F16" },
		{ "blk.0.attn_norm.weight", "F32", { 8, 2 }, { 2, 1 }, "no matrix" },
		{ "blk.0.attn_q.bias", "F32", { 8, 2 }, { 2, 16 }, "no matrix" },
		{ "blk.0.ffn_down.weight", "F32", { 8, 2 }, { 2, 16 }, "NVFP4" },
		{ "blk.0.lora_b.lora_a.weight", "F32", { 8, 2 }, { 2, 16 }, "not a tensor's" },
		{ "token_embd.weight", "F32", { 8, 2 }, { 2, 32 }, "shape" },
		{ "token_embd.weight", "F32", { 2, 32 }, { 3, 8 }, "shape" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *a = pair(rows[i].stem, rows[i].type, rows[i].a, rows[i].b);
		if (judge(model(true), a, why) != ERR_MODEL_BAD || !strstr(why, rows[i].want))
			FAIL("%zu: %s", i, why);
	}
	/* embeddings that are the output as well */
	json_t *a = pair("token_embd.weight", "F32", (int[]){ 2, 32, 0 }, (int[]){ 2, 8, 0 });
	CHECK_ERR(judge(model(false), a, why), ERR_MODEL_BAD);
}

TEST(half_a_pair_and_what_is_no_pair_are_refused)
{
	char why[ERR_DETAIL_MAX];
	static const char *const names[] = { "blk.0.attn_q.weight.lora_a",
		"blk.0.attn_q.weight.lora_b", "blk.0.attn_norm.weight", "x", "" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		json_t *a = file("llama");
		add(a, tensor(names[i], "F32", 8, 2, 0));
		if (judge(model(true), a, why) != ERR_MODEL_BAD)
			FAIL("%s", names[i]);
	}
	CHECK_ERR(judge(model(true), file("qwen2"), why), ERR_MODEL_BAD);
	CHECK(strstr(why, "\"qwen2\"") && strstr(why, "\"llama\""));
}

/* ---- the check of the file ---- */

static enum err check(const char *type, const char *kind, uint32_t alpha_kind, struct str alpha,
	bool late, char why[GGUF_WHY_MAX])
{
	struct gguf_make m;
	struct gguf_summary s;
	AUTO_BUF struct buf out = BUF(1 << 20);
	gguf_make_init(&m);
	gguf_make_str(&m, "general.architecture", STR("llama"));
	gguf_make_str(&m, "general.type", str_from(type));
	if (kind)
		gguf_make_str(&m, "adapter.type", str_from(kind));
	gguf_make_raw(&m, "adapter.lora.alpha", alpha_kind, alpha);
	if (late)
		gguf_make_u32(&m, "adapter.alora.invocation_tokens", 1);
	gguf_make_tensor(&m, "blk.0.attn_q.weight.lora_a", 8, 2);
	gguf_make_tensor(&m, "blk.0.attn_q.weight.lora_b", 2, 8);
	gguf_make_file(&m, 256, &out);
	enum err e = gguf_check_bytes(buf_str(&out), &s, why);
	CHECK(e || s.adapter);
	gguf_make_done(&m);
	return e;
}

TEST(a_file_says_that_it_is_a_lora_and_how_strong)
{
	char why[GGUF_WHY_MAX];
	static const float good = 16, endless = INFINITY;
	const struct str alpha = { (const char *)&good, 4 }, inf = { (const char *)&endless, 4 };
	CHECK_OK(check("adapter", "lora", 6, alpha, false, why));
	CHECK_ERR(check("adapter", "control_vector", 6, alpha, false, why), ERR_MODEL_BAD);
	CHECK(strstr(why, "control_vector"));
	CHECK_ERR(check("adapter", NULL, 6, alpha, false, why), ERR_MODEL_BAD);
	CHECK_ERR(check("adapter", "lora", 4, alpha, false, why), ERR_MODEL_BAD);
	CHECK_ERR(check("adapter", "lora", 6, inf, false, why), ERR_MODEL_BAD);
	CHECK_ERR(check("adapter", "lora", 6, alpha, true, why), ERR_MODEL_BAD);
	CHECK_ERR(check("model", "lora", 6, alpha, false, why), ERR_MODEL_BAD);
}

/* ---- a folder of PEFT's ---- */

struct made {
	char bytes[1 << 16];
	size_t n;
};

static enum err read_part(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	CHECK(at <= s->len && n <= s->len - at);
	memcpy(dst, s->ptr + at, n);
	return OK;
}

static enum err write_part(void *arg, const void *p, size_t n)
{
	struct made *m = arg;
	CHECK(m->n + n <= sizeof m->bytes);
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
	return OK;
}

static enum err no_progress(void *arg, uint64_t done, uint64_t all)
{
	CHECK(done <= all);
	return OK;
}

/* The model of gguf_make_model() with that many heads, and one pair for its k_proj: 8 rows. */
static enum err convert(const char *architecture, const char *config, const char *name_b,
	struct made *ret, struct err_info *info)
{
	struct gguf_make m;
	AUTO_BUF struct buf model = BUF(1 << 20), tensors = BUF(1 << 16);
	char head[1000], prefixed[128];
	float a[8], b[16];
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_file(&m, 1 << 16, &model);
	gguf_make_done(&m);
	char *at = memmem(model.ptr, model.len, "llama", 5);
	while (architecture && at) { /* another name of that length, everywhere */
		memcpy(at, architecture, 5);
		at = memmem(at, model.len - (size_t)(at - model.ptr), "llama", 5);
	}
	for (int i = 0; i < 16; i++)
		b[i] = (float)i, a[i % 8] = 1;
	snprintf(prefixed, sizeof prefixed, "base_model.model.model.layers.0.%s", name_b);
	uint64_t n = (uint64_t)snprintf(head, sizeof head,
		"{\"base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight\":{\"dtype\":"
		"\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},\"%s\":{\"dtype\":\"F32\","
		"\"shape\":[8,2],\"data_offsets\":[32,96]}}",
		prefixed);
	CHECK_OK(buf_add(&tensors, (struct str){ (const char *)&n, 8 }));
	CHECK_OK(buf_add(&tensors, (struct str){ head, n }));
	CHECK_OK(buf_add(&tensors, (struct str){ (const char *)a, sizeof a }));
	CHECK_OK(buf_add(&tensors, (struct str){ (const char *)b, sizeof b }));
	struct str bytes[3] = { buf_str(&model), str_from(config), buf_str(&tensors) };
	struct make_part part[3] = {
		{ STR("model"), bytes[0].len, read_part, &bytes[0] },
		{ STR("adapter_config.json"), bytes[1].len, read_part, &bytes[1] },
		{ STR("adapter_model.safetensors"), bytes[2].len, read_part, &bytes[2] },
	};
	struct make_sink sink = { write_part, no_progress, ret };
	ret->n = 0;
	return convert_adapter_run(part, 3, &sink, info);
}

#define B "self_attn.k_proj.lora_B.weight"
#define GOOD "\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":6"

TEST(a_folder_of_peft_becomes_an_adapter)
{
	static struct made m;
	struct gguf_summary s;
	struct err_info info = { 0 };
	char why[GGUF_WHY_MAX];
	float b[16];
	enum err e = convert(NULL, "{" GOOD ",\"bias\":\"none\",\"use_dora\":false}", B, &m, &info);
	if (e)
		FAIL("%s", info.detail);
	CHECK_OK(gguf_check_bytes((struct str){ m.bytes, m.n }, &s, why));
	CHECK(s.adapter && s.tensor_count == 2);
	CHECK(memmem(m.bytes, m.n, "blk.0.attn_k.weight.lora_a", 26) != NULL);
	/* llama's order of rows within a head: its halves in turn. 2 key heads of 4 rows. */
	static const int rows[8] = { 0, 2, 1, 3, 4, 6, 5, 7 };
	memcpy(b, m.bytes + m.n - sizeof b, sizeof b);
	for (int i = 0; i < 8; i++)
		CHECK(b[2 * i] == (float)(2 * rows[i]) && b[2 * i + 1] == (float)(2 * rows[i] + 1));
}

TEST(what_of_peft_cannot_be_kept_is_refused_by_name)
{
	static struct made m;
	static const struct {
		const char *config, *b, *want;
	} rows[] = {
		{ "{}", B, "peft_type" },
		{ "{\"peft_type\":\"IA3\"}", B, "IA3" },
		{ "{\"peft_type\":\"LORA\",\"lora_alpha\":6}", B, "\"r\"" },
		{ "{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":6}", B, "\"r\"" },
		{ "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":0}", B, "lora_alpha" },
		{ "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":-1}", B, "lora_alpha" },
		{ "{" GOOD ",\"use_dora\":true}", B, "use_dora" },
		{ "{" GOOD ",\"bias\":\"all\"}", B, "bias" },
		{ "{" GOOD ",\"modules_to_save\":[\"lm_head\"]}", B, "modules_to_save" },
		{ "{" GOOD ",\"alpha_pattern\":{\"q\":1}}", B, "alpha_pattern" },
		{ "{" GOOD ",\"init_lora_weights\":\"pissa_niter_4\"}", B, "init_lora_weights" },
		{ "{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":6,\"use_rslora\":true}", B,
			"the rank" },
		{ "{" GOOD "}", "self_attn.k_proj.lora_magnitude_vector", "nothing" },
		{ "{" GOOD "}", "mlp.experts.lora_B.weight", "nothing" },
		{ "[", B, "adapter_config.json" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err_info info = { 0 };
		if (convert(NULL, rows[i].config, rows[i].b, &m, &info) != ERR_MODEL_BAD ||
			!strstr(info.detail, rows[i].want))
			FAIL("%zu: %s", i, info.detail);
	}
	struct err_info info = { 0 };
	CHECK_ERR(convert("mpt00", "{" GOOD "}", B, &m, &info), ERR_MODEL_BAD);
	CHECK(strstr(info.detail, "mpt00") != NULL);
}
