#include "models/gguf_int.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

struct text_field {
	const char *key;
	size_t at, size;
};
struct number_field {
	const char *key;
	size_t at;
};
#define TEXT(key, m)                                                                               \
	{                                                                                          \
		key, offsetof(struct gguf_summary, m), sizeof(((struct gguf_summary *)0)->m)       \
	}
#define NUMBER(key, m)                                                                             \
	{                                                                                          \
		key, offsetof(struct gguf_summary, m)                                              \
	}

static const struct text_field texts[] = {
	TEXT("architecture", architecture),
	TEXT("name", name),
	TEXT("size_label", size_label),
	TEXT("licence", licence),
	TEXT("quantization", quantization),
	TEXT("tokenizer", tokenizer),
	TEXT("pre_tokenizer", pre_tokenizer),
};
static const struct number_field numbers[] = {
	NUMBER("tensor_count", tensor_count),
	NUMBER("kv_count", kv_count),
	NUMBER("file_bytes", file_bytes),
	NUMBER("tensor_bytes", tensor_bytes),
	NUMBER("parameters", parameters),
	NUMBER("header_bytes", header_bytes),
	NUMBER("context", context),
	NUMBER("embedding", embedding),
	NUMBER("layers", layers),
	NUMBER("heads", heads),
	NUMBER("kv_heads", kv_heads),
	NUMBER("head_dim", head_dim),
	NUMBER("vocab", vocab),
	NUMBER("experts", experts),
	NUMBER("experts_used", experts_used),
	NUMBER("sliding_window", sliding_window),
};
enum { TEXTS = sizeof texts / sizeof *texts, NUMBERS = sizeof numbers / sizeof *numbers };

enum err gguf_summary_json(const struct gguf_summary *s, struct buf *out)
{
	struct jw w;
	char hex[2 * SHA256_LEN + 1], type[16];
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "version", s->version);
	for (size_t i = 0; i < TEXTS; i++)
		jw_kstr(&w, texts[i].key, str_from((const char *)s + texts[i].at));
	for (size_t i = 0; i < NUMBERS; i++) {
		uint64_t v;
		memcpy(&v, (const char *)s + numbers[i].at, sizeof v);
		jw_ki64(&w, numbers[i].key, (int64_t)v);
	}
	jw_kbool(&w, "has_template", s->has_template);
	jw_ki64(&w, "template_bytes", s->template_bytes);
	hex_encode(s->template_sha256, sizeof s->template_sha256, hex);
	jw_kstr(&w, "template_sha256", str_from(s->has_template ? hex : ""));
	jw_kbool(&w, "embedding_model", s->embedding_model);
	jw_kbool(&w, "projector", s->projector);
	jw_kbool(&w, "adapter", s->adapter);
	jw_kbool(&w, "thinks", s->thinks);
	jw_kbool(&w, "fills", s->fills);
	jw_key(&w, "tensor_types");
	jw_obj(&w);
	for (unsigned i = 0; i < GGUF_TYPES; i++) {
		if (!s->type_count[i])
			continue;
		(void)snprintf(type, sizeof type, "%s", gguf_type_name(i));
		jw_ki64(&w, type, s->type_count[i]);
	}
	jw_end(&w);
	jw_end(&w);
	return out->err;
}

static enum err read_types(const json_t *types, struct gguf_summary *s)
{
	for (unsigned i = 0; types && i < GGUF_TYPES; i++) {
		int64_t n = 0;
		if (!gguf_type_find(i))
			continue;
		TRY(json_want_i64(types, gguf_type_name(i), false, 0, GGUF_TENSORS_MAX, &n, NULL));
		s->type_count[i] = (uint32_t)n;
	}
	return OK;
}

enum err gguf_summary_read(struct str json, struct gguf_summary *ret)
{
	AUTO_JSON json_t *o = NULL;
	json_t *types = NULL;
	struct gguf_summary s = { 0 };
	int64_t v = 0;
	struct str t = STR_NONE;
	TRY(json_read(json, GGUF_SUMMARY_MAX, 4, &o, NULL));
	TRY(json_want_i64(o, "version", true, 2, 3, &v, NULL));
	s.version = (unsigned)v;
	for (size_t i = 0; i < TEXTS; i++) {
		TRY(json_want_str(o, texts[i].key, true, &t, NULL));
		if (str_copy(t, (char *)&s + texts[i].at, texts[i].size))
			return ERR_INVALID;
	}
	for (size_t i = 0; i < NUMBERS; i++) {
		TRY(json_want_i64(o, numbers[i].key, true, 0, INT64_MAX, &v, NULL));
		uint64_t u = (uint64_t)v;
		memcpy((char *)&s + numbers[i].at, &u, sizeof u);
	}
	TRY(json_want_bool(o, "has_template", true, &s.has_template, NULL));
	TRY(json_want_i64(o, "template_bytes", true, 0, GGUF_TEMPLATE_MAX, &v, NULL));
	s.template_bytes = (uint32_t)v;
	TRY(json_want_str(o, "template_sha256", true, &t, NULL));
	if (s.has_template)
		TRY(hex_decode(t, s.template_sha256, sizeof s.template_sha256));
	TRY(json_want_bool(o, "embedding_model", true, &s.embedding_model, NULL));
	TRY(json_want_bool(o, "projector", false, &s.projector, NULL));
	TRY(json_want_bool(o, "adapter", false, &s.adapter, NULL));
	TRY(json_want_bool(o, "thinks", false, &s.thinks, NULL));
	TRY(json_want_bool(o, "fills", false, &s.fills, NULL));
	TRY(json_want_obj(o, "tensor_types", true, &types, NULL));
	TRY(read_types(types, &s));
	*ret = s;
	return OK;
}
