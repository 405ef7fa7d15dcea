/* From the tensors' names of Hugging Face to those of libllama. */
#include "models/convert_int.h"

#include <stdio.h>
#include <string.h>

enum shape { ROWS_VOCAB, ROWS_POSITION, ROWS_TYPE, NORM, SQUARE, UP, DOWN };
struct rule {
	const char *from, *to; /* without ".weight" and ".bias" */
	enum shape shape;
};

/* The first three have a weight only, all others also a bias. */
enum { ROWS = 3 };
static const struct rule outer[] = {
	{ "embeddings.word_embeddings", "token_embd", ROWS_VOCAB },
	{ "embeddings.position_embeddings", "position_embd", ROWS_POSITION },
	{ "embeddings.token_type_embeddings", "token_types", ROWS_TYPE },
	{ "embeddings.LayerNorm", "token_embd_norm", NORM },
};
static const struct rule layer[] = {
	{ "attention.self.query", "attn_q", SQUARE },
	{ "attention.self.key", "attn_k", SQUARE },
	{ "attention.self.value", "attn_v", SQUARE },
	{ "attention.output.dense", "attn_output", SQUARE },
	{ "attention.output.LayerNorm", "attn_output_norm", NORM },
	{ "intermediate.dense", "ffn_up", UP },
	{ "output.dense", "ffn_down", DOWN },
	{ "output.LayerNorm", "layer_output_norm", NORM },
};
enum {
	N_OUTER = sizeof outer / sizeof *outer,
	N_LAYER = sizeof layer / sizeof *layer,
	OUTER_PLACES = ROWS + 2 * (N_OUTER - ROWS),
	LAYER_PLACES = 2 * N_LAYER,
};

unsigned convert_places(const struct convert_config *c)
{
	return OUTER_PLACES + (unsigned)c->layers * LAYER_PLACES;
}

/* Heads that were trained with the model and that a vector does not need. */
static bool is_left(struct str name)
{
	static const char *const left[] = { "embeddings.position_ids", "pooler.",
		"cls.predictions.", "cls.seq_relationship.", "lm_head." };
	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		if (str_starts(name, str_from(left[i])))
			return true;
	return false;
}

static void set_shape(
	const struct convert_config *c, enum shape s, bool bias, struct convert_name *r)
{
	const uint64_t d = c->width, f = c->feed_forward;
	const uint64_t rows[] = { [ROWS_VOCAB] = c->vocab,
		[ROWS_POSITION] = c->positions + c->position_offset, [ROWS_TYPE] = c->types,
		[NORM] = d, [SQUARE] = d, [UP] = f, [DOWN] = d };
	r->dim[0] = rows[s];
	r->dim[1] = s == DOWN ? f : d;
	r->n_dims = bias || s == NORM ? 1 : 2;
	r->small = r->n_dims == 1 || s == ROWS_POSITION || s == ROWS_TYPE;
	r->skip = s == ROWS_POSITION ? c->position_offset : 0;
}

/* "encoder.layer.11.": cuts it off and gives the number. */
static bool cut_layer(const struct convert_config *c, struct str *name, uint64_t *ret)
{
	struct str rest = str_sub(*name, sizeof "encoder.layer." - 1, SIZE_MAX), number;
	if (!str_starts(*name, STR("encoder.layer.")) || !str_next(&rest, '.', &number) ||
		number.len > 4 || (number.len > 1 && number.ptr[0] == '0') ||
		str_to_u64(number, ret) || *ret >= c->layers)
		return false;
	*name = rest;
	return true;
}

/* ".weight" or ".bias"; older files say gamma and beta. */
static bool cut_kind(struct str *name, bool *ret_bias)
{
	static const struct {
		const char *end;
		bool bias;
	} kinds[] = { { ".weight", false }, { ".gamma", false }, { ".bias", true },
		{ ".beta", true } };
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_ends(*name, str_from(kinds[i].end))) {
			*name = str_sub(*name, 0, name->len - strlen(kinds[i].end));
			*ret_bias = kinds[i].bias;
			return true;
		}
	return false;
}

static size_t find_rule(const struct rule *r, size_t n, struct str name)
{
	size_t i = 0;
	while (i < n && !str_eq(name, str_from(r[i].from)))
		i++;
	return i;
}

enum convert_use convert_name(
	const struct convert_config *c, struct str name, struct convert_name *ret)
{
	bool bias = false;
	uint64_t number = 0;
	*ret = (struct convert_name){ .place = 0 };
	for (size_t i = 0; i < 2; i++) {
		struct str prefix = i ? STR("roberta.") : STR("bert.");
		if (str_starts(name, prefix))
			name = str_sub(name, prefix.len, SIZE_MAX);
	}
	if (is_left(name))
		return CONVERT_LEAVE;
	if (!cut_kind(&name, &bias))
		return CONVERT_UNKNOWN;
	const char *kind = bias ? "bias" : "weight";
	if (cut_layer(c, &name, &number)) {
		size_t i = find_rule(layer, N_LAYER, name);
		if (i == N_LAYER)
			return CONVERT_UNKNOWN;
		(void)snprintf(ret->name, sizeof ret->name, "blk.%u.%s.%s", (unsigned)number,
			layer[i].to, kind);
		set_shape(c, layer[i].shape, bias, ret);
		ret->place = OUTER_PLACES + (unsigned)number * LAYER_PLACES +
			     2 * (unsigned)i + bias;
		return CONVERT_TAKE;
	}
	size_t i = find_rule(outer, N_OUTER, name);
	if (i == N_OUTER || (bias && i < ROWS))
		return CONVERT_UNKNOWN;
	(void)snprintf(ret->name, sizeof ret->name, "%s.%s", outer[i].to, kind);
	set_shape(c, outer[i].shape, bias, ret);
	ret->place = i < ROWS ? (unsigned)i : ROWS + 2 * (unsigned)(i - ROWS) + bias;
	return CONVERT_TAKE;
}
