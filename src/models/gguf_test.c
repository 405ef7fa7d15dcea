#include "models/gguf.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hex.h"
#include "models/gguf_int.h"
#include "models/gguf_job.h"
#include "models/gguf_make_test.h"
#include "os/fd.h"
#include "tests/test.h"

enum { FILE_MAX = 64 * 1024 * 1024 };

/* Builds with `change` applied to a right model, and wants `why` in the refusal (NULL: usable). */
static void want(void (*change)(struct gguf_make *), const char *why)
{
	struct gguf_make m;
	struct gguf_summary s;
	char said[GGUF_WHY_MAX];
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	if (change)
		change(&m);
	gguf_make_file(&m, m.at, &file);
	enum err e = gguf_check_bytes(buf_str(&file), &s, said);
	if (!why && e)
		FAIL("refused: %s", said);
	if (why && (e != ERR_MODEL_BAD || !strstr(said, why)))
		FAIL("wanted \"%s\", got %s \"%s\"", why, err_slug(e), said);
	gguf_make_done(&m);
}

TEST(a_small_model_is_read)
{
	struct gguf_make m;
	struct gguf_summary s;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_file(&m, m.at, &file);
	CHECK_OK(gguf_check_bytes(buf_str(&file), &s, why));
	CHECK_EQ_Z(s.architecture, "llama");
	CHECK_EQ_Z(s.name, "Kleines Modell");
	CHECK_EQ_Z(s.quantization, "F32");
	CHECK_EQ_INT(s.parameters, 32 * 8);
	CHECK_EQ_INT(s.tensor_bytes, 32 * 8 * 4);
	CHECK_EQ_INT(s.vocab, 5);
	CHECK_EQ_INT(s.head_dim, 8);
	CHECK_EQ_INT(s.kv_heads, 2);
	CHECK_EQ_INT(s.template_bytes, 7);
	CHECK(s.has_template && !s.embedding_model);
	CHECK_EQ_INT(s.file_bytes, file.len);
	gguf_make_done(&m);
}

static enum err read_made(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	memcpy(dst, s->ptr + at, n);
	return OK;
}

static json_t *describe(const struct buf *file, bool lists)
{
	struct str bytes = buf_str(file);
	AUTO_BUF struct buf out = BUF(GGUF_DESCRIPTION_MAX);
	json_t *doc = NULL;
	char why[GGUF_WHY_MAX];
	CHECK_OK(gguf_describe(read_made, &bytes, bytes.len, lists, &out, why));
	CHECK_OK(json_read(buf_str(&out), GGUF_DESCRIPTION_MAX, 8, &doc, NULL));
	return doc;
}

TEST(a_header_is_told_in_words)
{
	struct gguf_make m;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_raw(&m, "x.i8", 1, STR("\xfe"));
	gguf_make_raw(&m, "x.f32", 6, STR("\0\0\xc0\x3f"));
	gguf_make_raw(&m, "x.nan", 6, STR("\0\0\xc0\x7f"));
	gguf_make_raw(&m, "x.u64", 10, STR("\xff\xff\xff\xff\xff\xff\xff\xff"));
	gguf_make_raw(&m, "x.odd", 8, STR("\3\0\0\0\0\0\0\0a\0\xff"));
	gguf_make_raw(&m, "x.list", 9, STR("\7\0\0\0\2\0\0\0\0\0\0\0\1\0"));
	gguf_make_file(&m, m.at, &file);
	AUTO_JSON json_t *all = describe(&file, true), *plain = describe(&file, false);
	const json_t *info = json_object_get(all, "info");
	CHECK_EQ_Z(json_string_value(json_object_get(info, "general.architecture")), "llama");
	CHECK_EQ_INT(json_integer_value(json_object_get(info, "x.i8")), -2);
	CHECK(json_real_value(json_object_get(info, "x.f32")) == 1.5);
	CHECK(json_is_null(json_object_get(info, "x.nan")));
	CHECK(json_real_value(json_object_get(info, "x.u64")) == 18446744073709551616.0);
	CHECK_EQ_Z(json_string_value(json_object_get(info, "x.odd")), "a\xef\xbf\xbd\xef\xbf\xbd");
	CHECK(json_is_true(json_array_get(json_object_get(info, "x.list"), 0)));
	CHECK(json_is_false(json_array_get(json_object_get(info, "x.list"), 1)));
	CHECK_EQ_INT(json_array_size(json_object_get(info, "tokenizer.ggml.tokens")), 5);
	CHECK(!json_object_get(info, "tokenizer.chat_template"));
	CHECK_EQ_INT(strlen(json_string_value(json_object_get(all, "template"))), 7);
	info = json_object_get(plain, "info");
	CHECK(json_is_null(json_object_get(info, "x.list")));
	CHECK(json_is_null(json_object_get(info, "tokenizer.ggml.tokens")));
	CHECK(json_equal(json_object_get(all, "tensors"), json_object_get(plain, "tensors")));
	const json_t *t = json_array_get(json_object_get(all, "tensors"), 0);
	CHECK_EQ_Z(json_string_value(json_object_get(t, "name")), "token_embd.weight");
	CHECK_EQ_Z(json_string_value(json_object_get(t, "type")), "F32");
	CHECK_EQ_INT(json_integer_value(json_array_get(json_object_get(t, "shape"), 0)), 32);
	CHECK_EQ_INT(json_integer_value(json_array_get(json_object_get(t, "shape"), 1)), 5);
	gguf_make_done(&m);
}

TEST(what_a_model_can_is_read_from_template_and_tokens)
{
	static const struct {
		const char *key, *text;
		bool thinks, fills;
	} of[] = { { "tokenizer.chat_template", "{% if enable_thinking %}", true, false },
		{ "tokenizer.chat_template", "{{ messages }}", false, false },
		{ "tokenizer.ggml.fim_mid_token_id", NULL, false, true },
		{ "tokenizer.ggml.middle_token_id", NULL, false, true } };
	for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
		struct gguf_make m;
		struct gguf_summary s, back;
		char why[GGUF_WHY_MAX];
		AUTO_BUF struct buf file = BUF(FILE_MAX), json = BUF(GGUF_SUMMARY_MAX);
		gguf_make_init(&m);
		gguf_make_plain(&m);
		if (of[i].text)
			gguf_make_str(&m, of[i].key, str_from(of[i].text));
		else
			gguf_make_u32(&m, of[i].key, 3);
		gguf_make_file(&m, m.at, &file);
		CHECK_OK(gguf_check_bytes(buf_str(&file), &s, why));
		CHECK_EQ_INT(s.thinks, of[i].thinks);
		CHECK_EQ_INT(s.fills, of[i].fills);
		CHECK_OK(gguf_summary_json(&s, &json));
		CHECK_OK(gguf_summary_read(buf_str(&json), &back));
		CHECK_EQ_INT(back.thinks, of[i].thinks);
		CHECK_EQ_INT(back.fills, of[i].fills);
		gguf_make_done(&m);
	}
}

/* Figures by the gguf Python package on the same files. */
static const struct {
	const char *file, *architecture, *tokenizer, *quantization, *template_sha256;
	uint64_t tensors, pairs, parameters, tensor_bytes, context, embedding, layers, heads,
		kv_heads, head_dim, vocab, header, window, template_bytes;
} known[] = {
	{ "smollm2.gguf", "llama", "gpt2", "Q4_1",
		"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788", 272, 33,
		134515008, 96576768, 8192, 576, 30, 9, 3, 64, 49152, 1785664, 0, 368 },
	{ "gemma3-270m.gguf", "gemma3", "llama", "Q4_K_M", "", 236, 33, 268098176, 246587904, 32768,
		640, 18, 4, 1, 256, 262144, 6525120, 512, 0 },
};

static enum err read_fd(void *arg, uint64_t at, void *dst, size_t n)
{
	return fd_pread_full(*(int *)arg, dst, n, at);
}

TEST(real_models_read_as_the_python_package_reads_them)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		char path[4200], why[GGUF_WHY_MAX], hex[65];
		struct gguf_summary s;
		struct stat st;
		(void)snprintf(path, sizeof path, "%s/share/starter/%s", TEST_DEPS, known[i].file);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			SKIP("the starter models are not here");
		CHECK_EQ_INT(fstat(fd, &st), 0);
		CHECK_OK(gguf_check(read_fd, &fd, (uint64_t)st.st_size, &s, why));
		CHECK_EQ_Z(s.architecture, known[i].architecture);
		CHECK_EQ_Z(s.tokenizer, known[i].tokenizer);
		CHECK_EQ_Z(s.quantization, known[i].quantization);
		CHECK_EQ_INT(s.tensor_count, known[i].tensors);
		CHECK_EQ_INT(s.kv_count, known[i].pairs);
		CHECK_EQ_INT(s.parameters, known[i].parameters);
		CHECK_EQ_INT(s.tensor_bytes, known[i].tensor_bytes);
		CHECK_EQ_INT(s.context, known[i].context);
		CHECK_EQ_INT(s.embedding, known[i].embedding);
		CHECK_EQ_INT(s.layers, known[i].layers);
		CHECK_EQ_INT(s.heads, known[i].heads);
		CHECK_EQ_INT(s.kv_heads, known[i].kv_heads);
		CHECK_EQ_INT(s.head_dim, known[i].head_dim);
		CHECK_EQ_INT(s.vocab, known[i].vocab);
		CHECK_EQ_INT(s.header_bytes, known[i].header);
		CHECK_EQ_INT(s.sliding_window, known[i].window);
		CHECK_EQ_INT(s.template_bytes, known[i].template_bytes);
		hex_encode(s.template_sha256, SHA256_LEN, hex);
		CHECK_EQ_Z(s.has_template ? hex : "", known[i].template_sha256);
		(void)close(fd);
	}
}

/* Block sizes as gguf-py 0.17 and ggml's own structs have them. */
TEST(types_have_the_sizes_of_ggml)
{
	static const struct {
		unsigned n, block, bytes;
		const char *name;
	} rows[] = {
		{ 0, 1, 4, "F32" },
		{ 1, 1, 2, "F16" },
		{ 2, 32, 18, "Q4_0" },
		{ 3, 32, 20, "Q4_1" },
		{ 6, 32, 22, "Q5_0" },
		{ 7, 32, 24, "Q5_1" },
		{ 8, 32, 34, "Q8_0" },
		{ 9, 32, 36, "Q8_1" },
		{ 10, 256, 84, "Q2_K" },
		{ 11, 256, 110, "Q3_K" },
		{ 12, 256, 144, "Q4_K" },
		{ 13, 256, 176, "Q5_K" },
		{ 14, 256, 210, "Q6_K" },
		{ 15, 256, 292, "Q8_K" },
		{ 16, 256, 66, "IQ2_XXS" },
		{ 17, 256, 74, "IQ2_XS" },
		{ 18, 256, 98, "IQ3_XXS" },
		{ 19, 256, 50, "IQ1_S" },
		{ 20, 32, 18, "IQ4_NL" },
		{ 21, 256, 110, "IQ3_S" },
		{ 22, 256, 82, "IQ2_S" },
		{ 23, 256, 136, "IQ4_XS" },
		{ 29, 256, 56, "IQ1_M" },
		{ 30, 1, 2, "BF16" },
		{ 34, 256, 54, "TQ1_0" },
		{ 35, 256, 66, "TQ2_0" },
		{ 39, 32, 17, "MXFP4" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct gguf_type *t = gguf_type_find(rows[i].n);
		CHECK(t);
		CHECK_EQ_Z(t->name, rows[i].name);
		CHECK_EQ_INT(t->block, rows[i].block);
		CHECK_EQ_INT(t->bytes, rows[i].bytes);
	}
	CHECK(!gguf_type_find(4) && !gguf_type_find(31) && !gguf_type_find(GGUF_TYPES) &&
		!gguf_type_find(~0u));
}

/* ---- hostile headers ---- */
static void many_tensors(struct gguf_make *m)
{
	m->claim_tensors = UINT64_MAX;
}
static void many_pairs(struct gguf_make *m)
{
	m->claim_kv = 1u << 30;
}
static void one_more_tensor(struct gguf_make *m)
{
	m->claim_tensors = m->n_tensors + 1;
}
static void no_pairs(struct gguf_make *m)
{
	buf_clear(&m->kv), m->n_kv = 0;
}
static void version_1(struct gguf_make *m)
{
	m->version = 1;
}
static void version_4(struct gguf_make *m)
{
	m->version = 4;
}
static void big_endian(struct gguf_make *m)
{
	m->version = 3u << 24;
}
static void version_2(struct gguf_make *m)
{
	m->version = 2;
}
static void key_twice(struct gguf_make *m)
{
	gguf_make_u32(m, "llama.context_length", 128);
}
static void name_twice(struct gguf_make *m)
{
	gguf_make_tensor(m, "blk.0.ffn_up.weight", 32, 3);
}
static void long_key(struct gguf_make *m)
{
	char key[GGUF_KEY_MAX + 2] = { 0 };
	memset(key, 'k', GGUF_KEY_MAX + 1);
	gguf_make_u32(m, key, 1);
}
static void long_name(struct gguf_make *m)
{
	char name[65] = { 0 };
	memset(name, 'n', 64);
	gguf_make_tensor(m, name, 32, 1);
}
static void string_of_10_gb(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 8, (struct str){ "\0\0\0\0\2\0\0\0", 8 });
}
static void string_past_the_end(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 8, (struct str){ "\xff\xff\x0f\0\0\0\0\0", 8 });
}
static void array_of_arrays(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 9, (struct str){ "\x09\0\0\0\1\0\0\0\0\0\0\0", 12 });
}
static void huge_array(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 9, (struct str){ "\x0a\0\0\0\xff\xff\xff\xff\xff\xff\xff\x1f", 12 });
}
static void array_past_the_end(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 9, (struct str){ "\x0a\0\0\0\0\0\x10\0\0\0\0\0", 12 });
}
static void unknown_kind(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 13, (struct str){ "\0\0\0\0", 4 });
}
static void odd_truth(struct gguf_make *m)
{
	gguf_make_raw(m, "x", 7, STR("\2"));
}
static void key_not_text(struct gguf_make *m)
{
	gguf_make_u32(m, "\xff\xfe", 1);
}
static void alignment_3(struct gguf_make *m)
{
	gguf_make_u32(m, "general.alignment", 3);
}
static void alignment_0(struct gguf_make *m)
{
	gguf_make_u32(m, "general.alignment", 0);
}
static void alignment_huge(struct gguf_make *m)
{
	gguf_make_u32(m, "general.alignment", 1u << 31);
}
static void split(struct gguf_make *m)
{
	gguf_make_u32(m, "split.count", 3);
}
static void projector(struct gguf_make *m)
{
	gguf_make_str(m, "general.type", STR("mmproj"));
}
static void not_a_number(struct gguf_make *m)
{
	gguf_make_raw(m, "llama.rope.freq_base", 6, (struct str){ "\0\0\xc0\x7f", 4 });
}
static void used_experts(struct gguf_make *m)
{
	gguf_make_u32(m, "llama.expert_used_count", 8);
}
static void huge_head(struct gguf_make *m)
{
	gguf_make_u32(m, "llama.attention.key_length", 1u << 20);
}
static void bad_template(struct gguf_make *m)
{
	gguf_make_str(m, "tokenizer.chat_template2", STR("ok"));
}
static void tensor(
	struct gguf_make *m, uint32_t n_dims, uint64_t a, uint64_t b, uint32_t type, uint64_t at)
{
	const uint64_t dims[5] = { a, b, 1, 1, 1 };
	gguf_make_tensor_raw(m, "x", n_dims, dims, type, at);
}
static void dims_overflow(struct gguf_make *m)
{
	tensor(m, 2, 1ull << 33, 1ull << 33, 0, m->at);
}
static void dims_negative(struct gguf_make *m)
{
	tensor(m, 1, 1ull << 63, 1, 0, m->at);
}
static void dims_zero(struct gguf_make *m)
{
	tensor(m, 2, 0, 4, 0, m->at);
}
static void dims_none(struct gguf_make *m)
{
	tensor(m, 0, 1, 1, 0, m->at);
}
static void dims_five(struct gguf_make *m)
{
	tensor(m, 5, 1, 1, 0, m->at);
}
static void type_gone(struct gguf_make *m)
{
	tensor(m, 1, 32, 1, 4, m->at);
}
static void type_huge(struct gguf_make *m)
{
	tensor(m, 1, 32, 1, 0xffffffff, m->at);
}
static void half_block(struct gguf_make *m)
{
	tensor(m, 1, 100, 1, 12, m->at);
}
static void outside(struct gguf_make *m)
{
	tensor(m, 2, 1 << 20, 2560, 0, m->at);
}
static void far_outside(struct gguf_make *m)
{
	tensor(m, 1, 32, 1, 0, UINT64_MAX - 31);
}
static void overlap(struct gguf_make *m)
{
	tensor(m, 1, 32, 1, 0, 0);
}
static void overlap_by_some(struct gguf_make *m)
{
	tensor(m, 1, 32, 1, 0, 32);
}
static void unaligned(struct gguf_make *m)
{
	tensor(m, 1, 32, 1, 0, m->at + 1), m->at += 256;
}

TEST(hostile_headers_are_refused_with_the_reason)
{
	static const struct {
		void (*change)(struct gguf_make *);
		const char *why;
	} rows[] = {
		{ version_2, NULL },
		{ bad_template, NULL },
		{ many_tensors, "too many tensors" },
		{ many_pairs, "too many metadata pairs" },
		{ one_more_tensor, "" },
		{ no_pairs, "not named" },
		{ version_1, "version 1" },
		{ version_4, "version 4" },
		{ big_endian, "byte order" },
		{ key_twice, "occurs twice" },
		{ name_twice, "occurs twice" },
		{ long_key, "too long" },
		{ long_name, "too long" },
		{ string_of_10_gb, "too long" },
		{ string_past_the_end, "ends inside" },
		{ array_of_arrays, "unknown type" },
		{ huge_array, "too many elements" },
		{ array_past_the_end, "ends inside" },
		{ unknown_kind, "unknown type" },
		{ odd_truth, "truth value" },
		{ key_not_text, "not UTF-8" },
		{ alignment_3, "power of two" },
		{ alignment_0, "power of two" },
		{ alignment_huge, "power of two" },
		{ split, "3 parts" },
		{ projector, "mmproj" },
		{ not_a_number, "finite" },
		{ used_experts, "more experts" },
		{ huge_head, "absurd" },
		{ dims_overflow, "absurd dimensions" },
		{ dims_negative, "absurd dimensions" },
		{ dims_zero, "absurd dimensions" },
		{ dims_none, "0 dimensions" },
		{ dims_five, "5 dimensions" },
		{ type_gone, "unknown type" },
		{ type_huge, "unknown type" },
		{ half_block, "whole blocks" },
		{ outside, "outside the file" },
		{ far_outside, "absurd dimensions" },
		{ overlap, "overlap" },
		{ overlap_by_some, "overlap" },
		{ unaligned, "alignment" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		want(rows[i].change, rows[i].why);
}

TEST(a_projector_is_known_as_one_and_survives_its_summary)
{
	struct gguf_make m;
	struct gguf_summary g, again;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf file = BUF(1 << 20), json = BUF(1 << 16);
	gguf_make_init(&m);
	gguf_make_str(&m, "general.architecture", STR("clip"));
	gguf_make_str(&m, "general.type", STR("mmproj"));
	gguf_make_tensor(&m, "v.patch_embd.weight", 32, 4);
	gguf_make_file(&m, 32 * 4 * 4, &file);
	CHECK_OK(gguf_check_bytes(buf_str(&file), &g, why));
	CHECK(g.projector);
	CHECK_OK(gguf_summary_json(&g, &json));
	CHECK_OK(gguf_summary_read(buf_str(&json), &again));
	CHECK(again.projector);
	gguf_make_done(&m);
}

/* Each needed pair away, and absurd, in turn. */
TEST(hyper_parameters_must_make_sense)
{
	static const struct {
		const char *key;
		uint32_t value;
		const char *why;
	} rows[] = {
		{ "llama.context_length", 0, "absurd" },
		{ "llama.context_length", UINT32_MAX, "absurd" },
		{ "llama.embedding_length", 0, "absurd" },
		{ "llama.embedding_length", 1u << 30, "absurd" },
		{ "llama.embedding_length", 64, "do not fit" },
		{ "llama.block_count", 0, "absurd" },
		{ "llama.block_count", 100000, "absurd" },
		{ "llama.attention.head_count", 1u << 20, "absurd" },
		{ "llama.attention.head_count_kv", 5, "more key heads" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct gguf_make m;
		struct gguf_summary s;
		char why[GGUF_WHY_MAX];
		AUTO_BUF struct buf file = BUF(FILE_MAX);
		gguf_make_init(&m);
		gguf_make_model(&m);
		size_t at = str_find(buf_str(&m.kv), str_from(rows[i].key), 0) +
			    strlen(rows[i].key) + 4;
		memcpy(m.kv.ptr + at, &rows[i].value, 4);
		gguf_make_file(&m, m.at, &file);
		CHECK_ERR(gguf_check_bytes(buf_str(&file), &s, why), ERR_MODEL_BAD);
		if (!strstr(why, rows[i].why))
			FAIL("%s = %u: wanted \"%s\", got \"%s\"", rows[i].key, rows[i].value,
				rows[i].why, why);
		m.kv.ptr[at - 5] ^= 1; /* another key: the needed one is away */
		buf_clear(&file);
		gguf_make_file(&m, m.at, &file);
		enum err e = gguf_check_bytes(buf_str(&file), &s, why);
		CHECK(e == ERR_MODEL_BAD || strstr(rows[i].key, "head_count"));
		gguf_make_done(&m);
	}
}

TEST(every_cut_is_refused)
{
	struct gguf_make m;
	struct gguf_summary s;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_file(&m, m.at, &file);
	/* the last tensor is followed by nothing, so a byte less is already too short */
	for (size_t n = 0; n < file.len; n++)
		CHECK_ERR(gguf_check_bytes((struct str){ file.ptr, n }, &s, why), ERR_MODEL_BAD);
	gguf_make_done(&m);
}

TEST(a_template_has_a_largest_size)
{
	for (int over = 0; over < 2; over++) {
		struct gguf_make m;
		struct gguf_summary s;
		char why[GGUF_WHY_MAX];
		AUTO_BUF struct buf file = BUF(FILE_MAX);
		AUTO_BUF struct buf text = BUF(FILE_MAX);
		gguf_make_init(&m);
		gguf_make_model(&m);
		size_t at = str_find(buf_str(&m.kv), STR("tokenizer.chat_template"), 0);
		m.kv.ptr[at] = 'T'; /* the small one becomes another key */
		for (int i = 0; i < GGUF_TEMPLATE_MAX + over; i++)
			CHECK_OK(buf_add_byte(&text, 'x'));
		gguf_make_str(&m, "tokenizer.chat_template", buf_str(&text));
		gguf_make_file(&m, m.at, &file);
		CHECK_ERR(gguf_check_bytes(buf_str(&file), &s, why), over ? ERR_MODEL_BAD : OK);
		if (over)
			CHECK(strstr(why, "chat template"));
		gguf_make_done(&m);
	}
}

TEST(labels_are_cut_at_a_whole_character)
{
	struct gguf_make m;
	struct gguf_summary s;
	char why[GGUF_WHY_MAX], name[200] = { 0 };
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	memset(name, 'x', 126);
	memcpy(name + 126, "\xc3\xbc\xc3\xbc",
		4); /* 127 bytes fit: one more and the letter is torn */
	gguf_make_init(&m);
	gguf_make_model(&m);
	size_t at = str_find(buf_str(&m.kv), STR("general.name"), 0);
	m.kv.ptr[at] = 'G';
	gguf_make_str(&m, "general.name", str_from(name));
	gguf_make_str(&m, "general.license", STR("bad\x1b[31m"));
	gguf_make_file(&m, m.at, &file);
	CHECK_OK(gguf_check_bytes(buf_str(&file), &s, why));
	CHECK_EQ_INT(strlen(s.name), 126);
	CHECK_EQ_Z(s.licence, ""); /* control characters never reach a screen */
	gguf_make_done(&m);
}

TEST(a_summary_survives_its_json)
{
	struct gguf_make m;
	struct gguf_summary s, back;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	AUTO_BUF struct buf json = BUF(GGUF_SUMMARY_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_file(&m, m.at, &file);
	memset(&s, 0, sizeof s);
	CHECK_OK(gguf_check_bytes(buf_str(&file), &s, why));
	CHECK_OK(gguf_summary_json(&s, &json));
	CHECK_OK(gguf_summary_read(buf_str(&json), &back));
	AUTO_BUF struct buf again = BUF(GGUF_SUMMARY_MAX);
	CHECK_OK(gguf_summary_json(&back, &again));
	CHECK_EQ_STR(buf_str(&again), buf_str(&json));
	CHECK_EQ_INT(back.parameters, s.parameters);
	CHECK_ERR(gguf_summary_read(STR("{}"), &back), ERR_INVALID);
	CHECK_ERR(gguf_summary_read(STR("[1]"), &back), ERR_INVALID);
	gguf_make_done(&m);
}

TEST(no_memory_is_no_verdict)
{
	struct gguf_make m;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_file(&m, m.at, &file);
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct gguf_summary s;
		char why[GGUF_WHY_MAX];
		enum err e = gguf_check_bytes(buf_str(&file), &s, why);
		CHECK_EQ_INT(e, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
	}
	gguf_make_done(&m);
}

TEST(parameters_are_printed_as_ollama_does)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {
		{ 134515008, "134.52M" },
		{ 268098176, "268.10M" },
		{ 8030261248, "8.0B" },
		{ 1000000000, "1.0B" },
		{ 4300000, "4.3M" },
		{ 1500, "1.5K" },
		{ 12, "12" },
		{ 1200000000000, "1.2T" },
	};
	char text[16];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		gguf_parameters_text(rows[i].n, text);
		CHECK_EQ_Z(text, rows[i].text);
	}
}

/* ---- the job ---- */
static enum err run_job(
	struct str file, struct gguf_summary *ret, struct err_info *info, int *status)
{
	int fd, pair[2];
	struct ipc *mine, *theirs;
	CHECK_OK(fd_memfd("model", file, &fd));
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &mine));
	pid_t pid = fork();
	if (pid == 0) {
		if (ipc_new(pair[1], &theirs))
			_exit(99);
		_exit(gguf_job_main(theirs, fd));
	}
	(void)close(pair[1]);
	(void)close(fd);
	enum err e = gguf_job_wait(mine, 10000, ret, info);
	CHECK_EQ_INT(waitpid(pid, status, 0), pid);
	*status = WEXITSTATUS(*status);
	mine = ipc_free(mine);
	return e;
}

TEST(the_job_answers_once)
{
	struct gguf_make m;
	struct gguf_summary s = { 0 };
	struct err_info info = { 0 };
	int status;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_file(&m, m.at, &file);
	CHECK_OK(run_job(buf_str(&file), &s, &info, &status));
	CHECK_EQ_INT(status, 0);
	CHECK_EQ_Z(s.architecture, "llama");
	CHECK_ERR(run_job(STR("GGUF and then rubbish that is long"), &s, &info, &status),
		ERR_MODEL_BAD);
	CHECK_EQ_INT(status, 1);
	CHECK(strstr(info.detail, "not a usable model: "));
	gguf_make_done(&m);
}

TEST(a_job_that_dies_is_a_refusal)
{
	int pair[2];
	struct ipc *mine;
	struct gguf_summary s;
	struct err_info info = { 0 };
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &mine));
	(void)close(pair[1]);
	CHECK_ERR(gguf_job_wait(mine, 1000, &s, &info), ERR_CLOSED);
	CHECK(strstr(info.detail, "not a usable model"));
	mine = ipc_free(mine);
}
