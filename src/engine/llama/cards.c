#include "engine/llama/cards.h"

#include <stdio.h>
#include <string.h>

#include "engine/llama/backend_int.h"

size_t llama_cards(ggml_backend_dev_t ret[CARDS_MAX + 1])
{
	size_t n = 0;
	for (size_t i = 0; i < ggml_backend_dev_count() && n < CARDS_MAX; i++) {
		ggml_backend_dev_t d = ggml_backend_dev_get(i);
		enum ggml_backend_dev_type t = ggml_backend_dev_type(d);
		if (t == GGML_BACKEND_DEVICE_TYPE_GPU || t == GGML_BACKEND_DEVICE_TYPE_IGPU)
			ret[n++] = d;
	}
	ret[n] = NULL;
	return n;
}

uint64_t llama_cards_free(void)
{
	ggml_backend_dev_t d[CARDS_MAX + 1];
	uint64_t sum = 0;
	for (size_t i = 0, n = llama_cards(d); i < n; i++) {
		size_t free_bytes = 0, total = 0;
		ggml_backend_dev_memory(d[i], &free_bytes, &total);
		sum += free_bytes;
	}
	return sum;
}

void llama_cards_text(char ret[ENGINE_CARDS_TEXT_MAX + 1])
{
	ggml_backend_dev_t d[CARDS_MAX + 1];
	size_t at = 0, size = ENGINE_CARDS_TEXT_MAX + 1;
	ret[0] = '\0';
	for (size_t i = 0, n = llama_cards(d); i < n; i++) {
		char name[ENGINE_CARDS_TEXT_MAX / CARDS_MAX - 2]; /* room for each, and " + " */
		(void)snprintf(name, sizeof name, "%s", ggml_backend_dev_description(d[i]));
		llama_clean(name);
		at += (size_t)snprintf(ret + at, size - at, "%s%s", i ? " + " : "", name);
	}
}
