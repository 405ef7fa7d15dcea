#include "engine/llama/marks.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/random.h"
#include "engine/llama/vision.h"

enum { DIGITS = 2 }; /* of a picture's number, behind the mark */

void marks_init(struct picture_marks *m, struct engine_picture *const *v, unsigned n)
{
	uint8_t word[MARK_HEX / 2];
	*m = (struct picture_marks){ .v = v, .n = n };
	if (!n)
		return;
	random_bytes(word, sizeof word);
	hex_encode(word, sizeof word, m->mark);
}

static enum err put_part(struct picture_marks *m, const json_t *part, size_t at, struct buf *out,
	struct err_info *info)
{
	const json_t *text = json_object_get(part, "text"),
		     *picture = json_object_get(part, "picture");
	json_int_t i = json_is_integer(picture) ? json_integer_value(picture) : -1;
	struct str s = { json_string_value(text), json_string_length(text) };
	if (json_is_string(text))
		return buf_add(out, s);
	if (i < 0 || (uint64_t)i >= m->n)
		return err_set(info, ERR_INVALID,
			"messages[%zu].content names a picture that is not there", at);
	m->set++;
	return buf_addf(out, "%s%02x", m->mark, (unsigned)i);
}

enum err marks_put(struct picture_marks *m, json_t *messages, struct err_info *info)
{
	for (size_t i = 0; i < json_array_size(messages); i++) {
		json_t *one = json_array_get(messages, i), *list = json_object_get(one, "content");
		AUTO_BUF struct buf text = BUF(LIMIT_IPC_BULK);
		if (!json_is_array(list))
			continue;
		for (size_t k = 0; k < json_array_size(list); k++)
			TRY(put_part(m, json_array_get(list, k), i, &text, info));
		json_t *whole = json_stringn(text.ptr ? text.ptr : "", text.len);
		if (json_object_set_new(one, "content", whole))
			return ERR_NOMEM;
	}
	return OK;
}

/* The number behind a mark; as many as there are: not one of ours. */
static unsigned number_at(const struct picture_marks *m, struct str digits)
{
	uint8_t i = 0;
	return hex_decode(digits, &i, 1) || i >= m->n ? m->n : i;
}

enum err marks_tokens(const struct llama_backend *b, const struct picture_marks *m, struct str text,
	bool special, struct engine_prompt *ret)
{
	struct str mark = { m->mark, MARK_HEX };
	size_t at;
	while (m->n && (at = str_find(text, mark, 0)) != SIZE_MAX) {
		unsigned i = number_at(m, str_sub(text, at + MARK_HEX, DIGITS));
		if (i == m->n)
			return ERR_INVALID;
		if (at)
			TRY(llama_tokens(b, str_sub(text, 0, at), special, &ret->tokens));
		TRY(llama_picture_place(m->v[i], &ret->tokens, &ret->media));
		text = str_sub(text, at + MARK_HEX + DIGITS, SIZE_MAX);
	}
	return text.len ? llama_tokens(b, text, special, &ret->tokens) : OK;
}
