#include "engine/llama/specials.h"

#include <string.h>

/* 16 bits; Knuth's multiplier. */
static uint32_t hash(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v * UINT32_C(2654435769) >> 16;
}

void specials_add(struct specials *s, struct str control)
{
	if (control.len >= 4) {
		uint32_t h = hash(control.ptr);
		s->four[h / 8] |= (uint8_t)(1u << h % 8);
	} else if (control.len) {
		s->brief[(unsigned char)control.ptr[0]] = true;
	}
}

bool specials_possible(const struct specials *s, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (s->brief[(unsigned char)text.ptr[i]])
			return true;
		if (text.len - i < 4)
			continue;
		uint32_t h = hash(text.ptr + i);
		if (s->four[h / 8] & 1u << h % 8)
			return true;
	}
	return false;
}
