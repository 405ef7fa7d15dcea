/* Any template over any data: parsing and rendering end within their bounds, say the same twice,
 * name the place of a mistake, and mark every byte of the output once. Input: JSON, a line break,
 * a template. JSON with "messages" is a conversation. */
#include "gotmpl/gotmpl.h"

#include "base/fault.h"
#include "tests/fuzz/fuzz.h"

enum { OUT_MAX = 1 << 18 };

static enum err render(const struct gotmpl *t, const json_t *data, struct buf *out,
		       struct gotmpl_spans *spans, struct err_info *info)
{
	struct gotmpl_date day = { 2026, 3, 1 };
	const json_t *messages = json_object_get(data, "messages");
	const json_t *prompt = json_object_get(data, "prompt");
	struct gotmpl_chat c = {
		.messages = messages,
		.tools = json_object_get(data, "tools"),
		.prompt = { json_string_value(prompt), json_string_length(prompt) },
		.suffix = { json_string_value(prompt), json_string_length(prompt) },
		.think = json_is_true(json_object_get(data, "think")),
		.think_set = json_object_get(data, "think"),
		.today = day,
	};
	return messages ? gotmpl_chat_render(t, &c, out, spans, info)
			: gotmpl_render(t, data, day, out, spans, info);
}

static void check_spans(const struct buf *out, const struct gotmpl_spans *spans)
{
	size_t at = 0;
	for (size_t i = 0; i < spans->count; i++) {
		if (spans->list[i].offset != at || spans->list[i].len == 0)
			DIE("spans with a hole");
		at += spans->list[i].len;
	}
	if (at != out->len)
		DIE("bytes of no origin");
}

static void check_error(enum err e, const struct err_info *info)
{
	if (e && e != ERR_INVALID && e != ERR_UNSUPPORTED && e != ERR_LIMIT && e != ERR_NOMEM)
		DIE("an error that is not in the contract");
	if (e && e != ERR_NOMEM && (info->code != e || !str_is_utf8(str_from(info->detail))))
		DIE("an error without a reason");
}

FUZZ
{
	struct str all = { (const char *)data, size };
	size_t at = str_find_byte(all, '\n', 0);
	AUTO_JSON json_t *value = NULL;
	AUTO(gotmpl) struct gotmpl *t = NULL;
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	AUTO_BUF struct buf again = BUF(OUT_MAX);
	struct gotmpl_spans spans = { 0 };
	struct err_info info = { 0 };
	struct str open, closing;
	if (at == SIZE_MAX)
		return;
	enum err e = gotmpl_parse(str_sub(all, at + 1, SIZE_MAX), &t, &info);
	check_error(e, &info);
	if (e || json_read(str_sub(all, 0, at), 1 << 16, JSON_DEPTH_DEFAULT, &value, NULL))
		return;
	(void)gotmpl_uses(t, "Messages");
	(void)gotmpl_think_tags(t, &open, &closing);
	e = render(t, value, &out, &spans, &info);
	check_error(e, &info);
	check_spans(&out, &spans);
	gotmpl_spans_done(&spans);
	if (e != render(t, value, &again, NULL, NULL) || !str_eq(buf_str(&out), buf_str(&again)))
		DIE("not the same twice");
}
