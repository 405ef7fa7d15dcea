#include "models/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "models/gguf_make_test.h"
#include "models/merge.h"
#include "models/safetensors.h"
#include "tests/test.h"

static enum err read_str(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	CHECK(at <= s->len && n <= s->len - at); /* never asked beyond its end */
	memcpy(dst, s->ptr + at, n);
	return OK;
}

/* ---- the header of a safetensors file ---- */

static void file_of(const char *json, size_t data, struct buf *out)
{
	uint64_t n = strlen(json);
	buf_clear(out);
	CHECK_OK(buf_add(out, (struct str){ (const char *)&n, sizeof n }));
	CHECK_OK(buf_add(out, str_from(json)));
	CHECK_OK(buf_add_zeros(out, data));
}

static enum err read_file(struct buf *file, struct safetensors *s, char why[GGUF_WHY_MAX])
{
	struct str bytes = buf_str(file);
	return safetensors_read(read_str, &bytes, bytes.len, s, why);
}

TEST(tensors_are_told_by_their_place_in_the_file)
{
	AUTO_BUF struct buf file = BUF(1 << 16);
	struct safetensors s = { 0 };
	char why[GGUF_WHY_MAX];
	file_of("{\"b\":{\"dtype\":\"F16\",\"shape\":[3,2],\"data_offsets\":[8,20]},"
		"\"__metadata__\":{\"format\":\"pt\"},"
		"\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
		"\"none\":{\"dtype\":\"I64\",\"shape\":[0,9],\"data_offsets\":[20,20]}}",
		20, &file);
	CHECK_OK(read_file(&file, &s, why));
	CHECK_EQ_INT(s.n, 3);
	CHECK_EQ_STR(s.tensor[0].name, STR("a"));
	CHECK_EQ_STR(s.tensor[1].name, STR("b"));
	CHECK_EQ_INT(s.tensor[1].type, ST_F16);
	CHECK_EQ_INT(s.tensor[1].n_dims, 2);
	CHECK_EQ_INT(s.tensor[1].dim[0], 3);
	CHECK_EQ_INT(s.tensor[1].bytes, 12);
	CHECK_EQ_INT(s.tensor[1].at + 12, file.len);
	safetensors_done(&s);
}

#define ONE(shape, place) \
	"{\"a\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" place "]}}"

TEST(a_header_that_lies_is_refused_with_its_reason)
{
	static const struct {
		const char *json, *why;
		size_t data;
	} bad[] = {
		{ "{}", "no tensors", 0 },
		{ "[]", "not a safetensors", 0 },
		{ "{\"a\":1}", "type that is not known", 0 },
		{ ONE("1", "0,4"), "outside", 3 },
		{ ONE("1", "0,4"), "behind", 5 },
		{ ONE("2", "0,4"), "shape", 4 },
		{ ONE("1", "4,8"), "hole", 8 },
		{ ONE("1", "4,0"), "outside", 8 },
		{ ONE("1", "0"), "where", 4 },
		{ ONE("-1", "0,4"), "absurd", 4 },
		{ ONE("4611686018427387904,4", "0,0"), "absurd", 4 },
		{ ONE("1,1,1,1,1,1,1,1,1", "0,4"), "shape", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		  "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
			"overlap", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		  "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
			"not readable", 8 },
	};
	AUTO_BUF struct buf file = BUF(1 << 16);
	struct safetensors s = { 0 };
	char why[GGUF_WHY_MAX];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		file_of(bad[i].json, bad[i].data, &file);
		CHECK_ERR(read_file(&file, &s, why), ERR_MODEL_BAD);
		if (!strstr(why, bad[i].why))
			FAIL("%zu: %s", i, why);
	}
	file_of("{}", 0, &file);
	memset(file.ptr, 0xff, 8); /* a length of 2^64 - 1 */
	CHECK_ERR(read_file(&file, &s, why), ERR_MODEL_BAD);
	buf_cut(&file, 7);
	CHECK_ERR(read_file(&file, &s, why), ERR_MODEL_BAD);
	CHECK(!s.header && !s.tensor);
}

/* ---- a small BERT ---- */

enum { D = 4, FF = 8, VOCAB = 6, POSITIONS = 5, TYPES = 2, LAYERS = 1, N_PARTS = 4 };

struct folder {
	struct buf tensors, header, vocab;
	struct make_part part[N_PARTS];
	struct str text[N_PARTS];
	size_t n;
	float next;
};

static void add_tensor(struct folder *f, const char *name, unsigned rows, unsigned columns)
{
	uint64_t from = f->tensors.len, n = (uint64_t)rows * (columns ? columns : 1);
	for (uint64_t i = 0; i < n; i++, f->next += 1)
		CHECK_OK(buf_add(
			&f->tensors, (struct str){ (const char *)&f->next, sizeof f->next }));
	CHECK_OK(buf_addf(&f->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%u",
		f->header.len > 1 ? "," : "", name, rows));
	if (columns)
		CHECK_OK(buf_addf(&f->header, ",%u", columns));
	CHECK_OK(buf_addf(&f->header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)from,
		(unsigned long long)f->tensors.len));
}

static void add_pair(struct folder *f, const char *prefix, const char *name, unsigned rows,
	unsigned columns)
{
	char full[128];
	(void)snprintf(full, sizeof full, "%s%s.weight", prefix, name);
	add_tensor(f, full, rows, columns);
	(void)snprintf(full, sizeof full, "%s%s.bias", prefix, name);
	add_tensor(f, full, rows, 0);
}

static void add_part(struct folder *f, const char *name, struct str text)
{
	f->text[f->n] = text;
	f->part[f->n] = (struct make_part){ str_from(name), text.len, read_str, &f->text[f->n] };
	f->n++;
}

static const char *const config_text =
	"{\"architectures\":[\"BertModel\"],\"hidden_size\":4,\"num_hidden_layers\":1,"
	"\"num_attention_heads\":2,\"intermediate_size\":8,\"vocab_size\":6,\"type_vocab_size\":2,"
	"\"max_position_embeddings\":5,\"layer_norm_eps\":1e-12,\"hidden_act\":\"gelu\"}";

static void folder_open(struct folder *f)
{
	static const char *const square[] = { "attention.self.query", "attention.self.key",
		"attention.self.value", "attention.output.dense" };
	*f = (struct folder){
		.tensors = BUF(1 << 20), .header = BUF(1 << 20), .vocab = BUF(1 << 20)
	};
	CHECK_OK(buf_add(&f->header, STR("{")));
	add_tensor(f, "bert.embeddings.word_embeddings.weight", VOCAB, D);
	add_tensor(f, "embeddings.position_embeddings.weight", POSITIONS, D);
	add_tensor(f, "embeddings.token_type_embeddings.weight", TYPES, D);
	add_tensor(f, "embeddings.LayerNorm.gamma", D, 0);
	add_tensor(f, "embeddings.LayerNorm.beta", D, 0);
	for (size_t i = 0; i < 4; i++)
		add_pair(f, "encoder.layer.0.", square[i], D, D);
	add_pair(f, "encoder.layer.0.", "attention.output.LayerNorm", D, 0);
	add_pair(f, "encoder.layer.0.", "intermediate.dense", FF, D);
	add_pair(f, "encoder.layer.0.", "output.dense", D, FF);
	add_pair(f, "encoder.layer.0.", "output.LayerNorm", D, 0);
	add_tensor(f, "pooler.dense.weight", D, D); /* left out */
	CHECK_OK(buf_add_byte(&f->header, '}'));
	uint64_t n = f->header.len;
	AUTO_BUF struct buf head = BUF(1 << 20);
	CHECK_OK(buf_add(&head, (struct str){ (const char *)&n, sizeof n }));
	CHECK_OK(buf_add(&head, buf_str(&f->header)));
	CHECK_OK(buf_add(&head, buf_str(&f->tensors)));
	buf_clear(&f->tensors);
	CHECK_OK(buf_add(&f->tensors, buf_str(&head)));
	CHECK_OK(buf_add(&f->vocab, STR("[PAD]\n[UNK]\n[CLS]\n[SEP]\nein\n##s\n")));
	add_part(f, "config.json", str_from(config_text));
	add_part(f, "model.safetensors", buf_str(&f->tensors));
	add_part(f, "1_Pooling/config.json", STR("{\"pooling_mode_cls_token\":true}"));
	add_part(f, "vocab.txt", buf_str(&f->vocab));
}

static void folder_close(struct folder *f)
{
	buf_done(&f->tensors);
	buf_done(&f->header);
	buf_done(&f->vocab);
}

struct sink {
	struct buf out;
	size_t room; /* bytes until the disk is full */
};

static enum err keep(void *arg, const void *p, size_t n)
{
	struct sink *s = arg;
	if (s->out.len + n > s->room)
		return ERR_NOSPACE;
	return buf_add(&s->out, (struct str){ p, n });
}

static enum err go_on(void *arg, uint64_t done, uint64_t all)
{
	(void)arg;
	return done <= all ? OK : ERR_INTERNAL;
}

static enum err run(struct folder *f, struct sink *s, struct err_info *info)
{
	struct make_sink to = { keep, go_on, s };
	buf_clear(&s->out);
	return convert_run(f->part, f->n, &to, info);
}

TEST(a_folder_becomes_a_file_that_the_check_takes)
{
	struct folder f;
	struct sink s = { BUF(1 << 20), SIZE_MAX };
	struct gguf_summary g;
	char why[GGUF_WHY_MAX];
	folder_open(&f);
	CHECK_OK(run(&f, &s, NULL));
	CHECK_OK(gguf_check_bytes(buf_str(&s.out), &g, why));
	CHECK(!strcmp(g.architecture, "bert") && !strcmp(g.quantization, "F32"));
	CHECK_EQ_INT(g.tensor_count, 5 + 16);
	CHECK_EQ_INT(g.context, POSITIONS);
	CHECK_EQ_INT(g.vocab, VOCAB);
	CHECK(g.embedding_model);
	/* the first tensor's numbers are 0, 1, 2, .. as they were made */
	float first[3];
	memcpy(first, s.out.ptr + g.header_bytes, sizeof first);
	CHECK(first[0] == 0 && first[1] == 1 && first[2] == 2);
	/* what begins a word is marked, what goes on is not */
	CHECK(str_find(buf_str(&s.out), STR("\4\0\0\0\0\0\0\0\xe2\x96\x81" "ein"), 0) == SIZE_MAX);
	CHECK(str_find(buf_str(&s.out), STR("\6\0\0\0\0\0\0\0\xe2\x96\x81" "ein"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&s.out), STR("\1\0\0\0\0\0\0\0s"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&s.out), STR("##s"), 0) == SIZE_MAX);
	buf_done(&s.out);
	folder_close(&f);
}

TEST(a_full_disk_ends_a_conversion_at_any_byte)
{
	struct folder f;
	struct sink s = { BUF(1 << 20), SIZE_MAX };
	folder_open(&f);
	CHECK_OK(run(&f, &s, NULL));
	size_t whole = s.out.len;
	for (s.room = 0; s.room < whole; s.room += 97)
		CHECK_ERR(run(&f, &s, NULL), ERR_NOSPACE);
	s.room = whole;
	CHECK_OK(run(&f, &s, NULL));
	buf_done(&s.out);
	folder_close(&f);
}

TEST(no_memory_at_any_moment_is_said)
{
	struct folder f;
	struct sink s = { BUF(1 << 20), SIZE_MAX };
	bool hit = true;
	folder_open(&f);
	CHECK_OK(buf_reserve(&s.out, 1 << 19));
	for (unsigned n = 1; hit; n++) {
		struct err_info info = { 0 };
		fault_arm(FAULT_ALLOC, n);
		enum err e = run(&f, &s, &info);
		hit = fault_fired(FAULT_ALLOC);
		fault_arm(FAULT_ALLOC, 0);
		CHECK_ERR(e, hit ? ERR_NOMEM : OK);
	}
	buf_done(&s.out);
	folder_close(&f);
}

static void change(struct folder *f, size_t part, struct str text)
{
	f->text[part] = text;
	f->part[part].size = text.len;
}

TEST(any_cut_of_a_file_is_refused)
{
	struct folder f;
	struct sink s = { BUF(1 << 20), SIZE_MAX };
	folder_open(&f);
	struct str whole = f.text[1];
	for (size_t n = 0; n < whole.len; n += n < 64 ? 1 : 101) {
		struct err_info info = { 0 };
		change(&f, 1, str_sub(whole, 0, n));
		CHECK_ERR(run(&f, &s, &info), ERR_MODEL_BAD);
		CHECK(str_starts(str_from(info.detail), STR("model.safetensors: ")));
	}
	buf_done(&s.out);
	folder_close(&f);
}

/* ---- tokenizers ---- */

TEST(tokenizers_that_are_wrong_are_refused)
{
	static const struct {
		const char *json, *why;
	} bad[] = {
		{ "{", "tokenizer.json" },
		{ "{\"model\":{\"type\":\"BPE\"}}", "BPE" },
		{ "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":6}}}", "vocab_size" },
		{ "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":-1}}}", "no number" },
		{ "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":1,\"b\":1}}}",
			"one number" },
		{ "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":1}}}", "[CLS]" },
		{ "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", "unknown" },
		{ "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "no score" },
		{ "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1e300]]}}", "no score" },
		{ "{\"model\":{\"type\":\"Unigram\",\"unk_id\":9,\"vocab\":[[\"a\",0]]}}",
			"unknown" },
		{ "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",0]]},"
		  "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"?\"}}",
			"replacements" },
		{ "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",0]]},"
		  "\"normalizer\":{\"type\":\"NFKC\"}}",
			"NFKC" },
		{ "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":1}},"
		  "\"added_tokens\":[{\"id\":1,\"content\":\"b\"}]}",
			"one number" },
	};
	struct folder f;
	struct sink s = { BUF(1 << 20), SIZE_MAX };
	folder_open(&f);
	f.part[3].name = STR("tokenizer.json");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err_info info = { 0 };
		change(&f, 3, str_from(bad[i].json));
		CHECK(run(&f, &s, &info));
		if (!strstr(info.detail, bad[i].why))
			FAIL("%zu: %s", i, info.detail);
	}
	buf_done(&s.out);
	folder_close(&f);
}

/* ---- the parts of a GGUF ---- */

static void make_part(unsigned number, unsigned count, const char *tensor, struct buf *out)
{
	struct gguf_make m;
	gguf_make_init(&m);
	if (!number)
		gguf_make_model(&m);
	gguf_make_u32(&m, "split.no", number);
	gguf_make_u32(&m, "split.count", count);
	gguf_make_tensor(&m, tensor, 32, 3);
	gguf_make_file(&m, m.at, out);
	gguf_make_done(&m);
}

TEST(parts_of_a_model_are_put_together_in_any_order)
{
	AUTO_BUF struct buf a = BUF(1 << 20);
	AUTO_BUF struct buf b = BUF(1 << 20);
	struct sink s = { BUF(1 << 20), SIZE_MAX };
	struct make_sink to = { keep, go_on, &s };
	struct err_info info = { 0 };
	struct gguf_summary g;
	char why[GGUF_WHY_MAX];
	make_part(0, 2, "one", &a);
	make_part(1, 2, "two", &b);
	struct str text[2] = { buf_str(&b), buf_str(&a) };
	struct make_part part[2] = { { .size = b.len, .read = read_str, .arg = &text[0] },
		{ .size = a.len, .read = read_str, .arg = &text[1] } };
	CHECK_ERR(gguf_check_bytes(text[1], &g, why), ERR_MODEL_BAD); /* alone it is no model */
	CHECK_OK(merge_run(part, 2, &to, &info));
	CHECK_OK(gguf_check_bytes(buf_str(&s.out), &g, why));
	CHECK(str_find(buf_str(&s.out), STR("split."), 0) == SIZE_MAX);
	CHECK(str_find(buf_str(&s.out), STR("two"), 0) != SIZE_MAX);
	uint64_t tensors = g.tensor_count;
	/* cut anywhere it is refused; without memory it is said */
	for (size_t n = 0; n < b.len; n += 7) {
		text[0].len = part[0].size = n;
		buf_clear(&s.out);
		CHECK_ERR(merge_run(part, 2, &to, &info), ERR_MODEL_BAD);
	}
	text[0].len = part[0].size = b.len;
	bool hit = true;
	CHECK_OK(buf_reserve(&s.out, 1 << 19));
	for (unsigned n = 1; hit; n++) {
		buf_clear(&s.out);
		fault_arm(FAULT_ALLOC, n);
		enum err e = merge_run(part, 2, &to, &info);
		hit = fault_fired(FAULT_ALLOC);
		fault_arm(FAULT_ALLOC, 0);
		CHECK_ERR(e, hit ? ERR_NOMEM : OK);
	}
	CHECK_OK(gguf_check_bytes(buf_str(&s.out), &g, why));
	CHECK_EQ_INT(g.tensor_count, tensors);
	text[0] = text[1];
	part[0].size = a.len;
	CHECK_ERR(merge_run(part, 2, &to, &info), ERR_MODEL_BAD);
	CHECK(strstr(info.detail, "twice"));
	buf_done(&s.out);
}
