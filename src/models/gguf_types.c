#include "models/gguf_int.h"

#include <stdio.h>

/* ggml's types by number: elements and bytes of a block, from the sizes of ggml's block structs
 * (tests compare with gguf-py's GGML_QUANT_SIZES). Numbers that were given up are gaps. */
static const struct gguf_type types[GGUF_TYPES] = {
	[0] = { "F32", 1, 4 },
	[1] = { "F16", 1, 2 },
	[2] = { "Q4_0", 32, 18 },
	[3] = { "Q4_1", 32, 20 },
	[6] = { "Q5_0", 32, 22 },
	[7] = { "Q5_1", 32, 24 },
	[8] = { "Q8_0", 32, 34 },
	[9] = { "Q8_1", 32, 36 },
	[10] = { "Q2_K", 256, 84 },
	[11] = { "Q3_K", 256, 110 },
	[12] = { "Q4_K", 256, 144 },
	[13] = { "Q5_K", 256, 176 },
	[14] = { "Q6_K", 256, 210 },
	[15] = { "Q8_K", 256, 292 },
	[16] = { "IQ2_XXS", 256, 66 },
	[17] = { "IQ2_XS", 256, 74 },
	[18] = { "IQ3_XXS", 256, 98 },
	[19] = { "IQ1_S", 256, 50 },
	[20] = { "IQ4_NL", 32, 18 },
	[21] = { "IQ3_S", 256, 110 },
	[22] = { "IQ2_S", 256, 82 },
	[23] = { "IQ4_XS", 256, 136 },
	[24] = { "I8", 1, 1 },
	[25] = { "I16", 1, 2 },
	[26] = { "I32", 1, 4 },
	[27] = { "I64", 1, 8 },
	[28] = { "F64", 1, 8 },
	[29] = { "IQ1_M", 256, 56 },
	[30] = { "BF16", 1, 2 },
	[34] = { "TQ1_0", 256, 54 },
	[35] = { "TQ2_0", 256, 66 },
	[39] = { "MXFP4", 32, 17 },
	[40] = { "NVFP4", 64, 36 },
	[41] = { "Q1_0", 128, 18 },
	[42] = { "Q2_0", 64, 18 },
};

/* llama.h, enum llama_ftype */
static const char *const file_types[] = {
	[0] = "F32",
	[1] = "F16",
	[2] = "Q4_0",
	[3] = "Q4_1",
	[7] = "Q8_0",
	[8] = "Q5_0",
	[9] = "Q5_1",
	[10] = "Q2_K",
	[11] = "Q3_K_S",
	[12] = "Q3_K_M",
	[13] = "Q3_K_L",
	[14] = "Q4_K_S",
	[15] = "Q4_K_M",
	[16] = "Q5_K_S",
	[17] = "Q5_K_M",
	[18] = "Q6_K",
	[19] = "IQ2_XXS",
	[20] = "IQ2_XS",
	[21] = "Q2_K_S",
	[22] = "IQ3_XS",
	[23] = "IQ3_XXS",
	[24] = "IQ1_S",
	[25] = "IQ4_NL",
	[26] = "IQ3_S",
	[27] = "IQ3_M",
	[28] = "IQ2_S",
	[29] = "IQ2_M",
	[30] = "IQ4_XS",
	[31] = "IQ1_M",
	[32] = "BF16",
	[36] = "TQ1_0",
	[37] = "TQ2_0",
	[38] = "MXFP4",
	[39] = "NVFP4",
	[40] = "Q1_0",
	[41] = "Q2_0",
};

const struct gguf_type *gguf_type_find(unsigned ggml_type)
{
	return ggml_type < GGUF_TYPES && types[ggml_type].block ? &types[ggml_type] : NULL;
}

const char *gguf_type_name(unsigned ggml_type)
{
	const struct gguf_type *t = gguf_type_find(ggml_type);
	return t ? t->name : "?";
}

const char *gguf_file_type_text(uint64_t file_type)
{
	return file_type < sizeof file_types / sizeof *file_types ? file_types[file_type] : NULL;
}

void gguf_parameters_text(uint64_t parameters, char dst[16])
{
	static const struct {
		uint64_t unit;
		char letter;
	} units[] = {
		{ 1000000000000ULL, 'T' },
		{ 1000000000ULL, 'B' },
		{ 1000000ULL, 'M' },
		{ 1000ULL, 'K' },
	};
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (parameters < units[i].unit)
			continue;
		double v = (double)parameters / (double)units[i].unit;
		(void)snprintf(dst, 16, v >= 10 && units[i].letter == 'M' ? "%.2f%c" : "%.1f%c", v,
			units[i].letter);
		return;
	}
	(void)snprintf(dst, 16, "%u", (unsigned)parameters);
}
