/* The header is walked twice: once to learn the architecture, whose name is the prefix of the keys
 * that count, and once to take them; then the tensors. Nothing is kept but the summary, hashes of
 * names, and place and size of each tensor. */
#include "models/gguf_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"

const uint8_t gguf_kind_bytes[G_KINDS] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

enum {
	LAYERS_MAX = 512,
	HEADS_MAX = 4096,
	EXPERTS_MAX = 1024,
	HEAD_DIM_MAX = 8192, /* counts */
	EMBEDDING_MAX = 1 << 20,
	CONTEXT_MAX = 1 << 28,
	VOCAB_MAX = GGUF_ARRAY_MAX,
	ALIGNMENT_DEFAULT = 32,
	ALIGNMENT_MIN = 8,
	ALIGNMENT_MAX = 64 * 1024,
	NAMES_START = 256,
};

struct place {
	uint64_t from, to;
};
struct header {
	struct gguf_in in;
	struct gguf_summary s;
	uint64_t alignment, file_type, split_count, token_count, key_length, embedding_rows;
	bool have_file_type, taking; /* taking: the second walk */
	bool of_tokens;              /* the value being read is the list of tokens */
	char type[32], adapter_type[32]; /* general.type, adapter.type */
	bool bad_alpha, late; /* of an adapter: works from certain tokens on */
	uint64_t *names;             /* hashes, for duplicates */
	size_t n_names, cap_names;
	struct place *place; /* of each tensor */
	size_t n_places;
};

/* ---- bytes ---- */
enum err gguf_bad(struct gguf_in *in, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(in->why, GGUF_WHY_MAX, fmt, ap);
	va_end(ap);
	return ERR_MODEL_BAD;
}

enum err gguf_get(struct gguf_in *in, void *dst, size_t n)
{
	uint8_t *to = dst;
	if (n > in->size - in->at)
		return gguf_bad(in, "the file ends inside its header");
	while (n) {
		if (in->at < in->window_at || in->at >= in->window_at + in->window_n) {
			uint64_t left = in->size - in->at;
			size_t want = left < GGUF_WINDOW ? (size_t)left : GGUF_WINDOW;
			in->window_n = 0;
			TRY(in->read(in->arg, in->at, in->window, want));
			in->window_at = in->at;
			in->window_n = want;
		}
		size_t off = (size_t)(in->at - in->window_at), take = in->window_n - off;
		if (take > n)
			take = n;
		memcpy(to, in->window + off, take);
		to += take;
		in->at += take;
		n -= take;
	}
	return OK;
}

enum err gguf_skip(struct gguf_in *in, uint64_t n)
{
	if (n > in->size - in->at)
		return gguf_bad(in, "the file ends inside its header");
	in->at += n;
	return OK;
}

enum err gguf_get_uint(struct gguf_in *in, unsigned bytes, uint64_t *ret)
{
	uint8_t b[8];
	uint64_t v = 0;
	TRY(gguf_get(in, b, bytes));
	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | b[i];
	*ret = v;
	return OK;
}

enum err gguf_get_text(struct gguf_in *in, const char *what, char *dst, size_t max)
{
	uint64_t n;
	TRY(gguf_get_uint(in, 8, &n));
	if (n > max)
		return gguf_bad(in, "%s is too long", what);
	TRY(gguf_get(in, dst, (size_t)n));
	dst[n] = '\0';
	struct str s = { dst, (size_t)n };
	if (!str_is_utf8(s) || memchr(dst, 0, (size_t)n))
		return gguf_bad(in, "%s is not UTF-8 text", what);
	return OK;
}

enum err gguf_skip_string(struct gguf_in *in)
{
	uint64_t n;
	TRY(gguf_get_uint(in, 8, &n));
	if (n > GGUF_STRING_MAX)
		return gguf_bad(in, "a string in the metadata is too long");
	return gguf_skip(in, n);
}

/* ---- names, each only once ---- */
static uint64_t name_hash(const char *s)
{
	uint64_t h =
		0xcbf29ce484222325ULL; /* FNV-1a: a chosen collision only refuses its own file */
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ULL;
	return h;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static enum err name_add(struct header *h, const char *name)
{
	if (h->n_names == h->cap_names) {
		size_t cap = h->cap_names ? h->cap_names * 2 : NAMES_START;
		uint64_t *more = mem_realloc(h->names, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		h->names = more;
		h->cap_names = cap;
	}
	h->names[h->n_names++] = name_hash(name);
	return OK;
}

static enum err names_check(struct header *h, const char *what)
{
	if (h->n_names)
		qsort(h->names, h->n_names, sizeof *h->names, by_value);
	for (size_t i = 1; i < h->n_names; i++)
		if (h->names[i] == h->names[i - 1])
			return gguf_bad(&h->in, "%s occurs twice", what);
	h->n_names = 0;
	return OK;
}

/* ---- values ---- */
struct value { /* of one pair: a number, or an array's length and largest number */
	enum gguf_kind kind, item;
	uint64_t n, u; /* n: elements of an array; u: the number, or the largest of an array */
	double f;
	bool number;
};

static bool is_signed(enum gguf_kind k)
{
	return k == G_I8 || k == G_I16 || k == G_I32 || k == G_I64;
}

static enum err get_number(struct header *h, enum gguf_kind k, struct value *v)
{
	uint64_t raw;
	TRY(gguf_get_uint(&h->in, gguf_kind_bytes[k], &raw));
	if (k == G_F32) {
		uint32_t bits = (uint32_t)raw;
		float f;
		memcpy(&f, &bits, sizeof f);
		v->f = f;
	} else if (k == G_F64) {
		memcpy(&v->f, &raw, sizeof v->f);
	} else {
		/* A negative count is as absurd as a huge one: it shows as huge. */
		if (is_signed(k) && raw >> (8 * gguf_kind_bytes[k] - 1))
			raw = UINT64_MAX;
		if (k == G_BOOL && raw > 1)
			return gguf_bad(&h->in, "a truth value in the metadata is neither 0 nor 1");
		v->number = true;
		if (raw > v->u)
			v->u = raw;
	}
	return OK;
}

/* Is this the token between two texts? The names are those that llama.cpp knows
 * (src/llama-vocab.cpp), for files that do not say its number. */
static enum err take_token(struct header *h)
{
	static const char *const middle[] = { "<|fim_middle|>", "<fim-middle>", "<fim_middle>",
		"<\xef\xbd\x9c" "fim\xe2\x96\x81" "end\xef\xbd\x9c>", "\xe2\x96\x81<MID>", "<MID>",
		"<|code_middle|>", "<|middle|>" };
	char text[24];
	uint64_t n;
	TRY(gguf_get_uint(&h->in, 8, &n));
	if (n > GGUF_STRING_MAX)
		return gguf_bad(&h->in, "a string in the metadata is too long");
	if (n >= sizeof text)
		return gguf_skip(&h->in, n);
	TRY(gguf_get(&h->in, text, (size_t)n));
	for (size_t i = 0; i < sizeof middle / sizeof *middle; i++)
		h->s.fills |= str_eq((struct str){ text, (size_t)n }, str_from(middle[i]));
	return OK;
}

static enum err get_array(struct header *h, struct value *v, bool want)
{
	uint64_t item, n;
	TRY(gguf_get_uint(&h->in, 4, &item));
	TRY(gguf_get_uint(&h->in, 8, &n));
	if (item >= G_KINDS || item == G_ARRAY)
		return gguf_bad(&h->in, "an array in the metadata has an unknown type");
	if (n > GGUF_ARRAY_MAX)
		return gguf_bad(&h->in, "an array in the metadata has too many elements");
	v->item = (enum gguf_kind)item;
	v->n = n;
	if (item == G_STRING) {
		for (uint64_t i = 0; i < n; i++)
			TRY(h->of_tokens ? take_token(h) : gguf_skip_string(&h->in));
		return OK;
	}
	if (!want || n > LAYERS_MAX)
		return gguf_skip(&h->in, n * gguf_kind_bytes[item]);
	for (uint64_t i = 0; i < n; i++)
		TRY(get_number(h, v->item, v));
	return OK;
}

static enum err get_value(struct header *h, uint64_t kind, struct value *v)
{
	*v = (struct value){ .kind = (enum gguf_kind)kind };
	if (kind == G_STRING)
		return gguf_skip_string(&h->in);
	if (kind == G_ARRAY)
		return get_array(h, v, h->taking);
	return get_number(h, v->kind, v);
}

/* ---- the pairs that count ---- */
bool gguf_template_thinks(struct str text)
{
	static const char *const words[] = { "<think>", "enable_thinking", "reasoning_content",
		"<|START_THINKING|>", "[THINK]", "<seed:think>", "<|channel|>analysis" };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_find(text, str_from(words[i]), 0) != SIZE_MAX)
			return true;
	return false;
}

static enum err take_template(struct header *h)
{
	AUTO_MEM char *text = mem_alloc(GGUF_TEMPLATE_MAX + 1);
	if (!text)
		return ERR_NOMEM;
	TRY(gguf_get_text(&h->in, "the chat template", text, GGUF_TEMPLATE_MAX));
	size_t n = strlen(text);
	h->s.has_template = n > 0;
	h->s.template_bytes = (uint32_t)n;
	sha256_of(text, n, h->s.template_sha256);
	h->s.thinks = gguf_template_thinks((struct str){ text, n });
	return OK;
}

/* Text for people: cut to fit rather than refused. */
static enum err take_label(struct header *h, char *dst, size_t size)
{
	uint64_t n;
	TRY(gguf_get_uint(&h->in, 8, &n));
	if (n > GGUF_STRING_MAX)
		return gguf_bad(&h->in, "a string in the metadata is too long");
	size_t keep = n < size - 1 ? (size_t)n : size - 1;
	TRY(gguf_get(&h->in, dst, keep));
	TRY(gguf_skip(&h->in, n - keep));
	keep = str_utf8_whole((struct str){ dst, keep });
	dst[keep] = '\0';
	if (!str_is_utf8((struct str){ dst, keep }) || str_has_control((struct str){ dst, keep }) ||
		memchr(dst, 0, keep))
		dst[0] = '\0';
	return OK;
}

static enum err take_string(struct header *h, const char *key, bool *ret_taken)
{
	const struct {
		const char *key;
		char *dst;
		size_t size;
	} labels[] = {
		{ "general.name", h->s.name, sizeof h->s.name },
		{ "general.size_label", h->s.size_label, sizeof h->s.size_label },
		{ "general.license", h->s.licence, sizeof h->s.licence },
		{ "general.type", h->type, sizeof h->type },
		{ "adapter.type", h->adapter_type, sizeof h->adapter_type },
		{ "tokenizer.ggml.model", h->s.tokenizer, sizeof h->s.tokenizer },
		{ "tokenizer.ggml.pre", h->s.pre_tokenizer, sizeof h->s.pre_tokenizer },
	};
	*ret_taken = true;
	if (!strcmp(key, "tokenizer.chat_template"))
		return take_template(h);
	for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
		if (!strcmp(key, labels[i].key))
			return take_label(h, labels[i].dst, labels[i].size);
	*ret_taken = false;
	return OK;
}

static const char *own_key(const struct header *h, const char *key)
{
	size_t n = strlen(h->s.architecture);
	return !strncmp(key, h->s.architecture, n) && key[n] == '.' ? key + n + 1 : NULL;
}

static enum err take_number(struct header *h, const char *key, const struct value *v)
{
	const struct {
		const char *key;
		uint64_t *dst;
		uint64_t min, max;
	} own[] = {
		{ "context_length", &h->s.context, 1, CONTEXT_MAX },
		{ "embedding_length", &h->s.embedding, 1, EMBEDDING_MAX },
		{ "block_count", &h->s.layers, 1, LAYERS_MAX },
		{ "attention.head_count", &h->s.heads, 0, HEADS_MAX },
		{ "attention.head_count_kv", &h->s.kv_heads, 0, HEADS_MAX },
		{ "attention.key_length", &h->key_length, 0, HEAD_DIM_MAX },
		{ "attention.value_length", NULL, 0, HEAD_DIM_MAX },
		{ "attention.sliding_window", &h->s.sliding_window, 0, CONTEXT_MAX },
		{ "rope.dimension_count", NULL, 0, HEAD_DIM_MAX },
		{ "feed_forward_length", NULL, 0, (uint64_t)EMBEDDING_MAX * 64 },
		{ "vocab_size", NULL, 1, VOCAB_MAX },
		{ "expert_count", &h->s.experts, 0, EXPERTS_MAX },
		{ "expert_used_count", &h->s.experts_used, 0, EXPERTS_MAX },
	};
	const char *rest = own_key(h, key);
	if (!rest)
		return OK;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		if (strcmp(rest, own[i].key) != 0)
			continue;
		if (!v->number || (v->kind == G_ARRAY && v->n > LAYERS_MAX))
			return gguf_bad(&h->in, "%s is not a number", key);
		if (v->u < own[i].min || v->u > own[i].max)
			return gguf_bad(&h->in, "%s has an absurd value", key);
		if (own[i].dst)
			*own[i].dst = v->u;
		return OK;
	}
	if (!strcmp(rest, "pooling_type"))
		h->s.embedding_model = v->u != 0;
	if ((v->kind == G_F32 || v->kind == G_F64) && !isfinite(v->f))
		return gguf_bad(&h->in, "%s is not a finite number", key);
	return OK;
}

static enum err take_general(struct header *h, const char *key, const struct value *v)
{
	if (!strcmp(key, "general.alignment")) {
		if (!v->number || v->u < ALIGNMENT_MIN || v->u > ALIGNMENT_MAX ||
			(v->u & (v->u - 1)))
			return gguf_bad(&h->in, "the alignment is not a sensible power of two");
		h->alignment = v->u;
	} else if (!strcmp(key, "general.file_type") && v->number) {
		h->file_type = v->u;
		h->have_file_type = true;
	} else if (!strcmp(key, "tokenizer.ggml.fim_mid_token_id") ||
		   !strcmp(key, "tokenizer.ggml.middle_token_id")) {
		h->s.fills = true;
	} else if (!strcmp(key, "adapter.lora.alpha")) {
		h->bad_alpha = v->kind != G_F32 || !isfinite(v->f);
	} else if (!strcmp(key, "adapter.alora.invocation_tokens")) {
		h->late = true;
	} else if (!strcmp(key, "split.count") && v->number) {
		h->split_count = v->u;
	} else if (!strcmp(key, "tokenizer.ggml.tokens")) {
		if (v->kind != G_ARRAY || v->item != G_STRING)
			return gguf_bad(&h->in, "the list of tokens is not a list of texts");
		h->token_count = v->n;
	}
	return OK;
}

static enum err take_pair(struct header *h, const char *key, uint64_t kind)
{
	struct value v;
	bool taken = false;
	if (kind == G_STRING)
		TRY(take_string(h, key, &taken));
	if (taken)
		return OK;
	h->of_tokens = !strcmp(key, "tokenizer.ggml.tokens");
	TRY(get_value(h, kind, &v));
	h->of_tokens = false;
	TRY(take_general(h, key, &v));
	return take_number(h, key, &v);
}

static enum err walk_pairs(struct header *h)
{
	char key[GGUF_KEY_MAX + 1];
	struct value v;
	for (uint64_t i = 0; i < h->s.kv_count; i++) {
		uint64_t kind;
		TRY(gguf_get_text(&h->in, "a key of the metadata", key, GGUF_KEY_MAX));
		TRY(gguf_get_uint(&h->in, 4, &kind));
		if (!key[0] || kind >= G_KINDS)
			return gguf_bad(&h->in, "the metadata has a value of an unknown type");
		if (h->taking) {
			TRY(take_pair(h, key, kind));
			continue;
		}
		TRY(name_add(h, key));
		if (kind == G_STRING && !strcmp(key, "general.architecture"))
			TRY(gguf_get_text(&h->in, "the architecture's name", h->s.architecture,
				sizeof h->s.architecture - 1));
		else
			TRY(get_value(h, kind, &v));
		if (h->in.at > GGUF_HEADER_MAX)
			return gguf_bad(&h->in, "the header is too large");
	}
	return OK;
}

/* ---- tensors ---- */
static enum err tensor_shape(
	struct header *h, const char *name, uint64_t *ret_elements, uint64_t *ret_row)
{
	uint64_t n_dims, dim, elements = 1, row = 0;
	TRY(gguf_get_uint(&h->in, 4, &n_dims));
	if (!n_dims || n_dims > GGUF_DIMS_MAX)
		return gguf_bad(&h->in, "a tensor has %llu dimensions", (unsigned long long)n_dims);
	for (uint64_t i = 0; i < n_dims; i++) {
		TRY(gguf_get_uint(&h->in, 8, &dim));
		if (!dim || dim > INT64_MAX || __builtin_mul_overflow(elements, dim, &elements) ||
			elements > INT64_MAX)
			return gguf_bad(&h->in, "a tensor has absurd dimensions");
		if (i == 0)
			row = dim;
		if (i == 0 && !strcmp(name, "token_embd.weight"))
			h->embedding_rows = dim;
	}
	*ret_elements = elements;
	*ret_row = row;
	return OK;
}

static enum err walk_tensor(struct header *h)
{
	char name[GGUF_TENSOR_NAME_MAX];
	uint64_t elements = 0, row = 0, type, offset, blocks, bytes, end;
	/* ggml keeps 64 bytes with the terminator */
	TRY(gguf_get_text(&h->in, "a tensor's name", name, 63));
	TRY(name_add(h, name));
	TRY(tensor_shape(h, name, &elements, &row));
	TRY(gguf_get_uint(&h->in, 4, &type));
	TRY(gguf_get_uint(&h->in, 8, &offset));
	const struct gguf_type *t =
		gguf_type_find((unsigned)(type > GGUF_TYPES ? GGUF_TYPES : type));
	if (!t)
		return gguf_bad(&h->in, "a tensor has an unknown type");
	if (row % t->block)
		return gguf_bad(&h->in, "a tensor's row does not fill whole blocks");
	blocks = elements / t->block;
	if (__builtin_mul_overflow(blocks, (uint64_t)t->bytes, &bytes) ||
		__builtin_add_overflow(offset, bytes, &end))
		return gguf_bad(&h->in, "a tensor has absurd dimensions");
	if (offset % h->alignment)
		return gguf_bad(&h->in, "a tensor does not begin at a multiple of the alignment");
	h->place[h->n_places++] = (struct place){ offset, end };
	h->s.type_count[type]++;
	h->s.tensor_bytes += bytes;
	return __builtin_add_overflow(h->s.parameters, elements, &h->s.parameters)
		       ? gguf_bad(&h->in, "the tensors are absurdly large")
		       : OK;
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->from != y->from ? (x->from > y->from) - (x->from < y->from)
				  : (x->to > y->to) - (x->to < y->to);
}

static enum err walk_tensors(struct header *h)
{
	for (uint64_t i = 0; i < h->s.tensor_count; i++) {
		if (h->n_places % NAMES_START == 0) {
			struct place *more =
				mem_realloc(h->place, (h->n_places + NAMES_START) * sizeof *more);
			if (!more)
				return ERR_NOMEM;
			h->place = more;
		}
		TRY(walk_tensor(h));
	}
	TRY(names_check(h, "a tensor's name"));
	uint64_t data = (h->in.at + h->alignment - 1) / h->alignment * h->alignment;
	uint64_t room = data <= h->in.size ? h->in.size - data : 0;
	h->s.header_bytes = data;
	qsort(h->place, h->n_places, sizeof *h->place, by_place);
	for (size_t i = 0; i < h->n_places; i++) {
		if (h->place[i].to > room)
			return gguf_bad(&h->in,
				"a tensor lies outside the file: it should have at least "
				"%llu bytes and has %llu",
				(unsigned long long)(data + h->place[i].to),
				(unsigned long long)h->in.size);
		if (i && h->place[i].from < h->place[i - 1].to)
			return gguf_bad(&h->in, "two tensors overlap");
	}
	return OK;
}

/* ---- the whole ---- */
static enum err read_start(struct header *h)
{
	uint8_t magic[4];
	uint64_t version;
	if (h->in.size < 24)
		return gguf_bad(&h->in, "the file is too short");
	TRY(gguf_get(&h->in, magic, sizeof magic));
	if (memcmp(magic, "GGUF", 4) != 0)
		return gguf_bad(&h->in, "it is not a GGUF file");
	TRY(gguf_get_uint(&h->in, 4, &version));
	if (version && !(version & 0xffff))
		return gguf_bad(&h->in, "it was written for machines of the other byte order");
	if (version != 2 && version != 3)
		return gguf_bad(
			&h->in, "GGUF version %llu is not supported", (unsigned long long)version);
	h->s.version = (unsigned)version;
	TRY(gguf_get_uint(&h->in, 8, &h->s.tensor_count));
	TRY(gguf_get_uint(&h->in, 8, &h->s.kv_count));
	if (h->s.tensor_count > GGUF_TENSORS_MAX)
		return gguf_bad(&h->in, "it claims too many tensors");
	if (h->s.kv_count > GGUF_KV_MAX)
		return gguf_bad(&h->in, "it claims too many metadata pairs");
	if (!h->s.tensor_count)
		return gguf_bad(&h->in, "it has no tensors");
	return OK;
}

static void set_quantization(struct header *h)
{
	const char *text = h->have_file_type ? gguf_file_type_text(h->file_type) : NULL;
	unsigned best = 0;
	for (unsigned i = 0; i < GGUF_TYPES; i++)
		if (h->s.type_count[i] > h->s.type_count[best])
			best = i;
	(void)snprintf(h->s.quantization, sizeof h->s.quantization, "%s",
		text ? text : gguf_type_name(best));
}

static enum err check_adapter(struct header *h)
{
	if (strcmp(h->adapter_type, "lora") != 0)
		return gguf_bad(&h->in,
			"it is an adapter of the kind \"%s\"; only LoRA is supported",
			h->adapter_type);
	if (h->bad_alpha)
		return gguf_bad(&h->in, "the adapter's alpha is not a finite number");
	if (h->late)
		return gguf_bad(&h->in, "an adapter that works only behind certain tokens (aLoRA) "
					"is not supported");
	return OK;
}

static enum err check_sense(struct header *h)
{
	struct gguf_summary *s = &h->s;
	s->adapter = !strcmp(h->type, "adapter");
	if (s->adapter) /* what its tensors must be, its model says (models/adapter.h) */
		return check_adapter(h);
	s->projector = !strcmp(s->architecture, "clip") &&
		       (!h->type[0] || !strcmp(h->type, "mmproj"));
	if (s->projector) /* what it must hold beside its tensors the library knows */
		return OK;
	if (h->type[0] && strcmp(h->type, "model") != 0)
		return gguf_bad(&h->in, "it is not a model but of the kind \"%s\"", h->type);
	if (h->split_count > 1)
		return gguf_bad(&h->in,
			"it is one of %llu parts; models in several files are not supported",
			(unsigned long long)h->split_count);
	if (!s->layers || !s->embedding || !s->context)
		return gguf_bad(&h->in, "layers, width or context length are missing");
	if (s->kv_heads > s->heads)
		return gguf_bad(&h->in, "it has more key heads than heads");
	if (s->experts_used > s->experts)
		return gguf_bad(&h->in, "it uses more experts than it has");
	if (!h->token_count || !s->tokenizer[0])
		return gguf_bad(&h->in, "it has no tokenizer");
	if (!h->embedding_rows)
		return gguf_bad(&h->in, "it has no token embeddings");
	if (h->embedding_rows != s->embedding)
		return gguf_bad(&h->in, "the token embeddings do not fit the width it claims");
	s->vocab = h->token_count;
	if (!s->kv_heads)
		s->kv_heads = s->heads;
	s->head_dim = h->key_length ? h->key_length : s->heads ? s->embedding / s->heads : 0;
	if (s->head_dim > HEAD_DIM_MAX)
		return gguf_bad(&h->in, "its attention heads are absurdly large");
	return OK;
}

static bool word_ok(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			    (*p >= '0' && *p <= '9') || *p == '_' || *p == '-' || *p == '.'))
			return false;
	return s[0] != '\0';
}

static enum err check(struct header *h)
{
	TRY(read_start(h));
	uint64_t pairs = h->in.at;
	TRY(walk_pairs(h));
	TRY(names_check(h, "a key of the metadata"));
	if (!word_ok(h->s.architecture))
		return gguf_bad(&h->in, "the architecture is not named");
	h->in.at = pairs;
	h->taking = true;
	TRY(walk_pairs(h));
	TRY(walk_tensors(h));
	TRY(check_sense(h));
	set_quantization(h);
	return OK;
}

enum err gguf_check(gguf_read_fn read, void *arg, uint64_t size, struct gguf_summary *ret,
	char why[GGUF_WHY_MAX])
{
	struct header *h = mem_zalloc(1, sizeof *h);
	why[0] = '\0';
	if (!h)
		return ERR_NOMEM;
	h->in.read = read;
	h->in.arg = arg;
	h->in.size = h->s.file_bytes = size;
	h->in.why = why;
	h->alignment = ALIGNMENT_DEFAULT;
	enum err e = check(h);
	if (!e)
		*ret = h->s;
	mem_free(h->names);
	mem_free(h->place);
	mem_free(h);
	return e;
}

static enum err read_bytes(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	memcpy(dst, s->ptr + at, n);
	return OK;
}

enum err gguf_check_bytes(struct str bytes, struct gguf_summary *ret, char why[GGUF_WHY_MAX])
{
	return gguf_check(read_bytes, &bytes, bytes.len, ret, why);
}
