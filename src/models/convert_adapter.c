#include "models/convert_adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "models/convert_int.h"

enum {
	PIECE = 1 << 20,            /* bytes written at once, and of a row at most */
	CONFIG_MAX = 1024 * 1024,   /* bytes */
	LAYERS_MAX = 512,
};
#define CONFIG "adapter_config.json"

struct tensor { /* of the new file */
	const struct make_part *part; /* borrowed */
	struct safetensor from;       /* a matrix */
	char name[GGUF_TENSOR_NAME_MAX];
	uint64_t heads; /* the rows of each go into llama's order; 0: as they are */
};
struct conversion {
	const struct make_part *parts;
	size_t n_parts;
	const struct make_sink *sink;
	struct gguf_summary model;
	bool turns; /* this architecture's files have the rows of q and k in that order */
	uint64_t rank;
	double alpha; /* as the library takes it: divided by the rank it is the scale */
	bool one_rank; /* alpha holds for this rank alone */
	struct safetensors file[CONVERT_PARTS_MAX];
	struct tensor *tensor;
	size_t n_tensors;
	struct gguf_out out;
	uint64_t done;
	char mem[PIECE];
};

/* ---- what it is for ---- */

static const struct {
	const char *name;
	bool turns;
} architectures[] = { { "llama", true }, { "qwen2", false }, { "qwen3", false },
	{ "gemma", false }, { "gemma2", false }, { "gemma3", false } };

static enum err read_model(struct conversion *c, struct err_info *info)
{
	const struct make_part *p = &c->parts[0];
	char why[GGUF_WHY_MAX];
	enum err e = gguf_check(p->read, p->arg, p->size, &c->model, why);
	if (e)
		return err_set(info, e, "the model: %s", why[0] ? why : err_text(e));
	for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
		if (!strcmp(c->model.architecture, architectures[i].name)) {
			c->turns = architectures[i].turns;
			return OK;
		}
	return err_set(info, ERR_MODEL_BAD,
		"safetensors of adapters are converted for llama, qwen2, qwen3, gemma, gemma2 and "
		"gemma3, not for \"%s\"",
		c->model.architecture);
}

/* ---- adapter_config.json ---- */

static bool is_set(const json_t *v)
{
	return v && !json_is_null(v) && !json_is_false(v) &&
	       !(json_is_string(v) && !json_string_length(v)) &&
	       !(json_is_array(v) && !json_array_size(v)) &&
	       !(json_is_object(v) && !json_object_size(v));
}

static enum err want_nothing_else(const json_t *o, struct err_info *info)
{
	static const char *const unsupported[] = { "use_dora", "fan_in_fan_out", "lora_bias",
		"use_qalora", "modules_to_save", "alpha_pattern", "layer_replication",
		"trainable_token_indices", "target_parameters", "alora_invocation_tokens" };
	/* with these the model's own weights were changed before the training began */
	static const char *const starts[] = { "pissa", "olora", "loftq", "corda" };
	for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
		if (is_set(json_object_get(o, unsupported[i])))
			return convert_bad(
				info, CONFIG, "\"%s\" is not supported", unsupported[i]);
	const char *bias = json_string_value(json_object_get(o, "bias"));
	if (bias && strcmp(bias, "none") != 0)
		return convert_bad(info, CONFIG, "\"bias\" other than none is not supported");
	struct str start = str_from(json_string_value(json_object_get(o, "init_lora_weights")));
	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
		if (str_starts(start, str_from(starts[i])))
			return convert_bad(info, CONFIG,
				"\"init_lora_weights\" is \"%s\", which changes the model too: "
				"that is not supported",
				starts[i]);
	return OK;
}

static enum err read_config(struct conversion *c, struct err_info *info)
{
	AUTO_JSON json_t *o = NULL;
	struct err_info why = { 0 };
	int64_t rank = 0;
	const struct make_part *p = convert_find(c->parts + 1, c->n_parts - 1, CONFIG);
	if (!p)
		return err_set(info, ERR_MODEL_BAD, "the adapter's folder has no " CONFIG);
	TRY(convert_json(p, CONFIG_MAX, &o, info));
	const char *kind = json_string_value(json_object_get(o, "peft_type"));
	if (!kind || strcmp(kind, "LORA") != 0)
		return convert_bad(info, CONFIG,
			"\"peft_type\" is \"%.40s\"; only LORA, as PEFT writes it, is supported",
			kind ? kind : "?");
	TRY(want_nothing_else(o, info));
	if (json_want_i64(o, "r", true, 1, CONVERT_RANK_MAX, &rank, &why) ||
		json_want_f64(o, "lora_alpha", true, 1e-6, 1e6, &c->alpha, &why) ||
		json_want_bool(o, "use_rslora", false, &c->one_rank, &why))
		return convert_bad(info, CONFIG, "%.150s", why.detail);
	c->rank = (uint64_t)rank;
	if (c->one_rank) /* rank-stabilised: alpha / sqrt(rank) */
		c->alpha *= sqrt((double)rank);
	return OK;
}

/* ---- names ---- */

static const struct {
	const char *from, *to;
} modules[] = {
	{ "self_attn.q_proj", "attn_q" },
	{ "self_attn.k_proj", "attn_k" },
	{ "self_attn.v_proj", "attn_v" },
	{ "self_attn.o_proj", "attn_output" },
	{ "mlp.gate_proj", "ffn_gate" },
	{ "mlp.up_proj", "ffn_up" },
	{ "mlp.down_proj", "ffn_down" },
};

static bool cut(struct str *name, struct str start)
{
	if (!str_starts(*name, start))
		return false;
	*name = str_sub(*name, start.len, SIZE_MAX);
	return true;
}

/* "model.layers.11.": cuts it off and gives the number. */
static bool cut_layer(struct str *name, uint64_t *ret)
{
	static const char *const starts[] = { "model.layers.", "model.language_model.layers.",
		"language_model.model.layers." };
	struct str number;
	bool found = false;
	for (size_t i = 0; i < sizeof starts / sizeof *starts && !found; i++)
		found = cut(name, str_from(starts[i]));
	return found && str_next(name, '.', &number) && number.len <= 4 &&
	       !str_to_u64(number, ret) && *ret < LAYERS_MAX;
}

/* False: no such tensor is known. */
static bool name_of(const struct conversion *c, struct str name, struct tensor *t)
{
	uint64_t layer;
	(void)cut(&name, STR("base_model.model."));
	bool is_a = str_ends(name, STR(".lora_A.weight"));
	if (!is_a && !str_ends(name, STR(".lora_B.weight")))
		return false;
	const char *half = is_a ? "lora_a" : "lora_b";
	name = str_sub(name, 0, name.len - STR(".lora_A.weight").len);
	if (str_eq(name, STR("lm_head"))) {
		(void)snprintf(t->name, sizeof t->name, "output.weight.%s", half);
		return true;
	}
	if (!cut_layer(&name, &layer))
		return false;
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
		if (!str_eq(name, str_from(modules[i].from)))
			continue;
		(void)snprintf(t->name, sizeof t->name, "blk.%u.%s.weight.%s", (unsigned)layer,
			modules[i].to, half);
		if (c->turns && !is_a && i < 2)
			t->heads = i ? c->model.kv_heads : c->model.heads;
		return true;
	}
	return false;
}

/* ---- which tensors ---- */

static enum err bad_tensor(struct err_info *info, const struct safetensor *t, const char *what)
{
	return err_set(
		info, ERR_MODEL_BAD, "the adapter's tensor \"%.100s\" %s", t->name.ptr, what);
}

static enum err take_tensor(struct conversion *c, const struct make_part *p,
	const struct safetensor *from, struct err_info *info)
{
	struct tensor t = { .part = p, .from = *from };
	if (!name_of(c, from->name, &t))
		return bad_tensor(info, from, "belongs to nothing that can be adapted here");
	if (from->type == ST_OTHER)
		return bad_tensor(info, from, "is not of F32, F16 or BF16");
	if (from->n_dims != 2 || !from->dim[0] || !from->dim[1])
		return bad_tensor(info, from, "is no matrix");
	bool is_a = str_ends(str_from(t.name), STR("lora_a"));
	uint64_t rank = from->dim[is_a ? 0 : 1];
	if (rank > CONVERT_RANK_MAX || (c->one_rank && rank != c->rank))
		return bad_tensor(info, from, "does not have the rank of " CONFIG);
	if (from->bytes / from->dim[0] > PIECE)
		return bad_tensor(info, from, "is absurdly wide");
	if (t.heads && from->dim[0] % (2 * t.heads))
		return bad_tensor(info, from, "does not fit the model's attention heads");
	c->tensor[c->n_tensors++] = t;
	return OK;
}

static enum err read_file(struct conversion *c, size_t i, struct err_info *info)
{
	const struct make_part *p = &c->parts[i];
	struct safetensors *s = &c->file[i];
	char why[GGUF_WHY_MAX];
	enum err e = safetensors_read(p->read, p->arg, p->size, s, why);
	if (e == ERR_MODEL_BAD)
		return err_set(info, e, "%.*s: %s", STR_ARG(p->name), why);
	TRY(e);
	struct tensor *more =
		mem_realloc(c->tensor, (c->n_tensors + s->n + 1) * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	c->tensor = more;
	for (size_t k = 0; k < s->n; k++)
		TRY(take_tensor(c, p, &s->tensor[k], info));
	return OK;
}

static enum err read_files(struct conversion *c, struct err_info *info)
{
	for (size_t i = 1; i < c->n_parts; i++) {
		if (str_ends(c->parts[i].name, STR(".safetensors")))
			TRY(read_file(c, i, info));
		else if (!str_eq(c->parts[i].name, STR(CONFIG)))
			return err_set(info, ERR_MODEL_BAD, "%.*s belongs to no adapter",
				(int)(c->parts[i].name.len < 80 ? c->parts[i].name.len : 80),
				c->parts[i].name.ptr);
	}
	if (!c->n_tensors || c->n_tensors > GGUF_TENSORS_MAX)
		return err_set(info, ERR_MODEL_BAD, "the adapter has no tensors, or too many");
	return OK;
}

/* ---- the new file ---- */

static uint32_t type_of(const struct tensor *t)
{
	return t->from.type == ST_F32 ? GGUF_F32 : t->from.type == ST_F16 ? GGUF_F16 : GGUF_BF16;
}

static enum err put_head(struct conversion *c, struct buf *head)
{
	struct gguf_out *o = &c->out;
	gguf_out_str(o, "general.architecture", str_from(c->model.architecture));
	gguf_out_str(o, "general.type", STR("adapter"));
	gguf_out_str(o, "adapter.type", STR("lora"));
	gguf_out_f32(o, "adapter.lora.alpha", (float)c->alpha);
	for (size_t i = 0; i < c->n_tensors; i++) {
		const struct tensor *t = &c->tensor[i];
		uint64_t dim[2] = { t->from.dim[1], t->from.dim[0] };
		gguf_out_tensor(o, str_from(t->name), 2, dim, type_of(t), t->from.bytes);
	}
	return gguf_out_head(o, head);
}

/* Hugging Face has a head's first half of rows, then its second; llama's files one of each in turn.
 * Which row of the source comes there? */
static uint64_t source_row(const struct tensor *t, uint64_t row)
{
	if (!t->heads)
		return row;
	uint64_t per = t->from.dim[0] / t->heads, k = row % per;
	return row - k + k % 2 * (per / 2) + k / 2;
}

static enum err write_tensor(struct conversion *c, const struct tensor *t)
{
	static const char zeros[GGUF_OUT_ALIGN];
	const struct make_sink *s = c->sink;
	size_t row = (size_t)(t->from.bytes / t->from.dim[0]), n = 0;
	for (uint64_t i = 0; i < t->from.dim[0]; i++) {
		TRY(t->part->read(
			t->part->arg, t->from.at + source_row(t, i) * row, c->mem + n, row));
		n += row;
		if (n + row <= PIECE && i + 1 < t->from.dim[0])
			continue;
		TRY(s->write(s->arg, c->mem, n));
		c->done += n;
		n = 0;
		TRY(s->progress(s->arg, c->done, c->out.at));
	}
	uint64_t pad = gguf_out_pad(t->from.bytes);
	c->done += pad;
	return pad ? s->write(s->arg, zeros, (size_t)pad) : OK;
}

static enum err convert(struct conversion *c, struct err_info *info)
{
	AUTO_BUF struct buf head = BUF(GGUF_HEADER_MAX);
	TRY(read_model(c, info));
	TRY(read_config(c, info));
	TRY(read_files(c, info));
	TRY(put_head(c, &head));
	TRY(c->sink->write(c->sink->arg, head.ptr, head.len));
	for (size_t i = 0; i < c->n_tensors; i++)
		TRY(write_tensor(c, &c->tensor[i]));
	return OK;
}

enum err convert_adapter_run(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info)
{
	if (n < 2 || n > CONVERT_PARTS_MAX)
		return err_set(info, ERR_MODEL_BAD, "an adapter of no files, or of too many");
	struct conversion *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->parts = parts;
	c->n_parts = n;
	c->sink = sink;
	gguf_out_init(&c->out);
	enum err e = convert(c, info);
	for (size_t i = 0; i < n; i++)
		safetensors_done(&c->file[i]);
	gguf_out_done(&c->out);
	mem_free(c->tensor);
	mem_free(c);
	return e;
}
