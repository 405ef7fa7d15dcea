#include "gotmpl/gotmpl_tools.h"

#include <string.h>

#include "base/fault.h"
#include "base/limits.h"

enum { CALL_NAME_MAX = 256, TAG_MAX = 512, OBJECTS_DEPTH = JSON_DEPTH_DEFAULT };

enum stage { STAGE_TAG, STAGE_CALLS, STAGE_TEXT }; /* TEXT: nothing more is looked for */
struct gotools {
	enum stage stage;
	struct buf tag;
	struct buf held; /* not yet told apart; in STAGE_CALLS it began with the tag */
	struct str *name;     /* of the tools; owned, as are the bytes */
	size_t n, longest;
	json_t *calls; /* array */
};

struct gotools *gotools_free(struct gotools *g)
{
	if (!g)
		return NULL;
	for (size_t i = 0; i < g->n; i++)
		mem_free((void *)(uintptr_t)g->name[i].ptr);
	mem_free(g->name);
	buf_done(&g->tag);
	buf_wipe(&g->held); /* somebody's answer */
	json_decref(g->calls);
	mem_free(g);
	return NULL;
}

static enum err add_name(struct gotools *g, const json_t *tool)
{
	const json_t *f = json_object_get(tool, "function"), *v = json_object_get(f, "name");
	struct str name = { json_string_value(v), json_string_length(v) };
	char *copy;
	if (!name.len || name.len > CALL_NAME_MAX)
		return ERR_INVALID;
	TRY(str_dup(name, &copy));
	g->name[g->n++] = (struct str){ copy, name.len };
	if (name.len > g->longest)
		g->longest = name.len;
	return OK;
}

enum err gotools_new(struct str tag, const json_t *tools, struct gotools **ret)
{
	size_t n = json_array_size(tools);
	AUTO(gotools) struct gotools *g = mem_zalloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	g->tag = BUF(TAG_MAX);
	g->held = BUF(LIMIT_ANSWER);
	if (n > GOTOOLS_MAX)
		return ERR_LIMIT;
	g->name = mem_zalloc(n ? n : 1, sizeof *g->name);
	g->calls = json_array();
	if (!g->name || !g->calls)
		return ERR_NOMEM;
	TRY(buf_add(&g->tag, tag.len ? tag : STR("{")));
	for (size_t i = 0; i < n; i++)
		TRY(add_name(g, json_array_get(tools, i)));
	*ret = TAKE(g);
	return OK;
}

size_t gotools_count(const struct gotools *g)
{
	return json_array_size(g->calls);
}

enum err gotools_calls(const struct gotools *g, struct buf *out)
{
	struct jw w;
	if (!gotools_count(g))
		return OK;
	jw_init(&w, out);
	jw_json(&w, g->calls);
	return out->err;
}

/* ---- which tool ---- */

/* Does the text end with the beginning of a name, so that the next bytes decide? */
static bool ends_in_name(const struct gotools *g, struct str s)
{
	for (size_t len = 1; len < g->longest && len <= s.len; len++) {
		struct str tail = str_sub(s, s.len - len, len);
		for (size_t i = 0; i < g->n; i++)
			if (len < g->name[i].len && str_starts(g->name[i], tail))
				return true;
	}
	return false;
}

/* The first name in the text, of those that begin there the longest. NULL: none. */
static const struct str *find_name(const struct gotools *g, struct str s, size_t *ret_end)
{
	const struct str *found = NULL;
	size_t start = SIZE_MAX;
	for (size_t i = 0; i < g->n; i++) {
		size_t at = str_find(s, g->name[i], 0);
		if (at == SIZE_MAX || at > start ||
			(at == start && g->name[i].len <= found->len))
			continue;
		found = &g->name[i];
		start = at;
	}
	if (found)
		*ret_end = start + found->len;
	return found;
}

/* ---- its arguments ---- */

static json_t *read_object(struct str s)
{
	json_t *doc = NULL;
	if (json_read(s, LIMIT_ANSWER, OBJECTS_DEPTH, &doc, NULL))
		return NULL;
	if (json_is_object(doc))
		return doc;
	json_decref(doc);
	return NULL;
}

/* A member that is an object, or text of one. The caller owns it; NULL: it is none. */
static json_t *member(const json_t *obj, struct str key)
{
	json_t *v = json_object_getn(obj, key.ptr, key.len);
	if (json_is_object(v))
		return json_incref(v);
	return json_is_string(v) ? read_object((struct str){ json_string_value(v),
					   json_string_length(v) })
				 : NULL;
}

/* True: what is asked for is here, or it is known that it is not (*ret NULL). */
static bool search(const json_t *obj, struct str tool, unsigned depth, json_t **ret)
{
	const char *key;
	json_t *v, *item;
	size_t i;
	*ret = NULL;
	if (json_object_get(obj, "name")) {
		*ret = member(obj, STR("arguments"));
		if (!*ret)
			*ret = member(obj, STR("parameters"));
		return true;
	}
	*ret = member(obj, tool);
	if (*ret)
		return true;
	if (depth == OBJECTS_DEPTH)
		return false;
	json_object_foreach((json_t *)(uintptr_t)obj, key, v)
	{
		if (json_is_object(v) && search(v, tool, depth + 1, ret))
			return true;
		json_array_foreach(v, i, item)
			if (json_is_object(item) && search(item, tool, depth + 1, ret))
				return true;
	}
	return false;
}

struct scan { /* over the text, byte by byte */
	size_t braces, start;
	bool open, in_string, escaped;
};

/* True: with this byte an object ends that began at c->start. */
static bool ends_object(struct scan *c, char b, size_t at)
{
	if (c->escaped) {
		c->escaped = false;
	} else if (b == '\\') {
		c->escaped = true;
	} else if (b == '"') {
		c->in_string = !c->in_string;
	} else if (c->in_string) {
		return false;
	} else if (b == '{') {
		if (!c->braces++) {
			c->start = at;
			c->open = true;
		}
	} else if (b == '}' && c->braces) {
		return !--c->braces && c->open;
	}
	return false;
}

/* The first object that can be the arguments; *ret_end is the place of its last byte. NULL: there
 * is none yet. */
static json_t *find_arguments(struct str tool, struct str s, size_t *ret_end)
{
	struct scan c = { 0 };
	for (size_t i = 0; i < s.len; i++) {
		if (!ends_object(&c, s.ptr[i], i))
			continue;
		c.open = false;
		AUTO_JSON json_t *doc = read_object(str_sub(s, c.start, i + 1 - c.start));
		json_t *args = NULL;
		if (!doc)
			continue;
		*ret_end = i;
		return search(doc, tool, 0, &args) ? args : json_incref(doc);
	}
	return NULL;
}

/* ---- the stream ---- */

static enum err take_call(struct gotools *g, bool end, bool *ret_taken)
{
	struct str held = buf_str(&g->held);
	size_t name_end = 0, args_end = 0;
	*ret_taken = false;
	if (!end && ends_in_name(g, held))
		return OK;
	const struct str *tool = find_name(g, held, &name_end);
	if (!tool)
		return OK;
	AUTO_JSON json_t *args = find_arguments(*tool, held, &args_end);
	if (!args)
		return OK;
	if (gotools_count(g) == GOTOOLS_CALLS_MAX)
		return ERR_LIMIT;
	AUTO_JSON json_t *name = json_stringn(tool->ptr, tool->len);
	json_t *one = name ? json_object() : NULL;
	if (!one || json_object_set(one, "name", name) ||
		json_object_set(one, "arguments", args) ||
		json_array_append(g->calls, one)) {
		json_decref(one);
		return ERR_NOMEM;
	}
	json_decref(one);
	buf_drop_front(&g->held, args_end > name_end ? args_end : name_end);
	*ret_taken = true;
	return OK;
}

/* A tag that is a bracket begins text as well: when as many are closed as were opened, and no call
 * was read, it is that. */
static bool brackets_closed(const struct gotools *g)
{
	struct str tag = buf_str(&g->tag), held = buf_str(&g->held);
	char open = tag.ptr[0], closing = open == '{' ? '}' : ']';
	long n = 0;
	if (tag.len != 1 || (open != '{' && open != '['))
		return false;
	for (size_t i = 0; i < held.len; i++) {
		n += held.ptr[i] == open;
		if (held.ptr[i] == closing && !--n)
			return true;
	}
	return false;
}

/* Where the tag is, or its beginning at the end; SIZE_MAX: nowhere. */
static size_t find_tag(const struct gotools *g, bool *ret_whole)
{
	struct str tag = buf_str(&g->tag), held = buf_str(&g->held);
	size_t at = str_find(held, tag, 0);
	*ret_whole = at != SIZE_MAX;
	for (size_t n = tag.len < held.len ? tag.len : held.len; !*ret_whole && n; n--)
		if (str_ends(held, str_sub(tag, 0, n)))
			return held.len - n;
	return at;
}

static enum err give(struct gotools *g, size_t n, struct buf *answer)
{
	TRY(buf_add(answer, str_sub(buf_str(&g->held), 0, n)));
	buf_drop_front(&g->held, n < g->held.len ? n : g->held.len);
	return OK;
}

static enum err look_for_tag(struct gotools *g, struct buf *answer)
{
	struct str tag = buf_str(&g->tag);
	bool whole, bracket = str_eq(tag, STR("{")) || str_eq(tag, STR("["));
	size_t at = find_tag(g, &whole);
	struct str before = str_sub(buf_str(&g->held), 0, at);
	/* A bracket is a call only where the answer begins with it. */
	if (bracket && str_trim(before).len) {
		g->stage = STAGE_TEXT;
		return OK;
	}
	TRY(give(g, before.len, answer));
	if (whole)
		g->stage = STAGE_CALLS;
	return OK;
}

/* Behind the last call: brackets, marks in <..>, punctuation. Words are somebody's answer. */
static bool has_words(struct str s)
{
	bool in_mark = false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c == '<' || c == '>')
			in_mark = c == '<';
		else if (!in_mark && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
					     (c >= 'A' && c <= 'Z') || c >= 0x80))
			return true;
	}
	return false;
}

static enum err finish(struct gotools *g, struct buf *answer, bool *ret_lost)
{
	struct str held = buf_str(&g->held);
	bool calling = g->stage == STAGE_CALLS;
	if (calling && gotools_count(g) && !has_words(held))
		return OK;
	*ret_lost = calling && held.len > 0;
	return give(g, held.len, answer);
}

enum err gotools_add(
	struct gotools *g, struct str text, bool end, struct buf *answer, bool *ret_lost)
{
	/* A call ends with a brace: the long text before it is not looked at for every byte. */
	bool taken = end || str_find_byte(text, '}', 0) != SIZE_MAX;
	*ret_lost = false;
	TRY(buf_add(&g->held, text));
	if (g->stage == STAGE_TAG && g->held.len)
		TRY(look_for_tag(g, answer));
	while (g->stage == STAGE_CALLS && taken)
		TRY(take_call(g, end, &taken));
	if (g->stage == STAGE_CALLS && brackets_closed(g))
		g->stage = STAGE_TEXT;
	if (g->stage == STAGE_TEXT)
		TRY(give(g, g->held.len, answer));
	return end ? finish(g, answer, ret_lost) : OK;
}
