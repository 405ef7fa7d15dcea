#include "engine/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	PATH_MAX_BYTES = 160,
	DEPTH_MAX = 100,     /* of schema and value; JSON's own limit is 64, references add to it */
	STEPS_MAX = 1 << 20, /* of one validation: anyOf in anyOf multiplies */
	REPEAT_MAX = 1000,   /* libllama's grammars take 2,000 rules in a repetition */
};

struct path { /* where we are, for messages; cut when it is too long */
	char text[PATH_MAX_BYTES];
	size_t len;
};

/* A name as far as a message shows it: whole characters. */
struct shown {
	char text[64];
};

static struct shown shown(const char *name)
{
	struct shown s;
	struct str cut = str_sub(str_from(name), 0, sizeof s.text - 1);
	size_t n = str_utf8_whole(cut);
	memcpy(s.text, name, n);
	s.text[n] = 0;
	return s;
}

/* One step down: `before` and a name, or a number in between `before` and `after`. */
static size_t path_push(
	struct path *p, const char *before, const char *name, size_t i, const char *after)
{
	size_t was = p->len, room = sizeof p->text - p->len;
	int n = name ? snprintf(p->text + was, room, "%s%s", before, shown(name).text)
		     : snprintf(p->text + was, room, "%s%zu%s", before, i, after);
	p->len += n > 0 ? (size_t)n : 0;
	if (p->len >= sizeof p->text) {
		p->len = str_utf8_whole((struct str){ p->text, sizeof p->text - 1 });
		p->text[p->len] = 0;
	}
	return was;
}

static void path_pop(struct path *p, size_t was)
{
	p->len = was;
	p->text[was] = 0;
}

/* ---- is the schema usable? ---- */

/* They narrow what is allowed, and nothing here would hold the answer to them. */
static const char *const refused[] = { "not", "if", "then", "else", "patternProperties",
	"propertyNames", "contains", "minContains", "maxContains", "dependentRequired",
	"dependentSchemas", "dependencies", "unevaluatedItems", "unevaluatedProperties",
	"additionalItems", "$dynamicRef", "$recursiveRef" };
/* Without one of these a schema says nothing. */
static const char *const demands[] = { "type", "enum", "const", "properties", "required",
	"additionalProperties", "items", "prefixItems", "anyOf", "oneOf", "allOf", "$ref",
	"pattern", "minLength", "maxLength", "format", "minItems", "maxItems", "minimum", "maximum",
	"exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minProperties", "maxProperties",
	"uniqueItems" };

static enum err bad(const struct path *p, struct err_info *info, const char *what, const char *name)
{
	return err_set(info, ERR_INVALID, "schema at %s: %s%s", p->text, what, shown(name).text);
}

static bool demands_something(const json_t *s)
{
	for (size_t i = 0; i < sizeof demands / sizeof *demands; i++)
		if (json_object_get(s, demands[i]))
			return true;
	return false;
}

static enum err check_node(const json_t *s, struct path *p, struct err_info *info, unsigned depth);

static enum err check_list(
	const json_t *s, const char *key, struct path *p, struct err_info *info, unsigned depth)
{
	const json_t *list = json_object_get(s, key);
	if (!list)
		return OK;
	size_t was = path_push(p, "/", key, 0, "");
	if (!json_is_array(list) || (!json_array_size(list) && strcmp(key, "prefixItems") != 0))
		return bad(p, info, "must be a list of schemas", "");
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t here = path_push(p, "/", NULL, i, "");
		TRY(check_node(json_array_get(list, i), p, info, depth));
		path_pop(p, here);
	}
	path_pop(p, was);
	return OK;
}

static enum err check_map(
	const json_t *s, const char *key, struct path *p, struct err_info *info, unsigned depth)
{
	const json_t *map = json_object_get(s, key);
	const char *name;
	json_t *v;
	if (!map)
		return OK;
	size_t was = path_push(p, "/", key, 0, "");
	if (!json_is_object(map))
		return bad(p, info, "must be an object", "");
	json_object_foreach((json_t *)(uintptr_t)map, name, v)
	{
		size_t here = path_push(p, "/", name, 0, "");
		TRY(check_node(v, p, info, depth));
		path_pop(p, here);
	}
	path_pop(p, was);
	return OK;
}

static enum err check_one(
	const json_t *s, const char *key, struct path *p, struct err_info *info, unsigned depth)
{
	const json_t *v = json_object_get(s, key);
	if (!v || (json_is_boolean(v) && strcmp(key, "additionalProperties") == 0))
		return OK;
	if (json_is_array(v)) /* the old form of prefixItems */
		return check_list(s, key, p, info, depth);
	size_t was = path_push(p, "/", key, 0, "");
	TRY(check_node(v, p, info, depth));
	path_pop(p, was);
	return OK;
}

static enum err check_numbers(const json_t *s, struct path *p, struct err_info *info)
{
	static const char *const counts[] = { "minItems", "maxItems", "minLength", "maxLength",
		"minProperties", "maxProperties" };
	static const char *const numbers[] = { "minimum", "maximum", "exclusiveMinimum",
		"exclusiveMaximum", "multipleOf" };
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		const json_t *v = json_object_get(s, counts[i]);
		if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
			return bad(p, info, "must be a whole number from 0: ", counts[i]);
		if (v && json_integer_value(v) > REPEAT_MAX && counts[i][1] == 'i')
			return bad(p, info, "more than 1000 is too much for ", counts[i]);
	}
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const json_t *v = json_object_get(s, numbers[i]);
		if (v && !json_is_number(v))
			return bad(p, info, "must be a number: ", numbers[i]);
	}
	const json_t *step = json_object_get(s, "multipleOf");
	return step && !(json_number_value(step) > 0)
		       ? bad(p, info, "must be above 0: ", "multipleOf")
		       : OK;
}

static enum err check_required(const json_t *s, struct path *p, struct err_info *info)
{
	const json_t *names = json_object_get(s, "required"),
		     *map = json_object_get(s, "properties");
	if (!names)
		return OK;
	if (!json_is_array(names))
		return bad(p, info, "must be a list of names: ", "required");
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		if (!name)
			return bad(p, info, "must be a list of names: ", "required");
		if (map && !json_object_get(map, name))
			return bad(p, info, "requires a property that is not described: ", name);
	}
	return OK;
}

static enum err check_type(const json_t *s, struct path *p, struct err_info *info)
{
	static const char *const types[] = { "object", "array", "string", "number", "integer",
		"boolean", "null" };
	const json_t *t = json_object_get(s, "type");
	size_t n = json_is_array(t) ? json_array_size(t) : t ? 1 : 0;
	if (json_is_array(t) && !n)
		return bad(p, info, "names no ", "type");
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_is_array(t) ? json_array_get(t, i) : t);
		bool known = false;
		for (size_t k = 0; name && k < sizeof types / sizeof *types; k++)
			known |= strcmp(name, types[k]) == 0;
		if (!known)
			return bad(p, info, "unknown type ", name ? name : "");
	}
	const json_t *e = json_object_get(s, "enum");
	if (e && (!json_is_array(e) || !json_array_size(e)))
		return bad(p, info, "must be a list with values: ", "enum");
	return OK;
}

static enum err check_node(const json_t *s, struct path *p, struct err_info *info, unsigned depth)
{
	static const char *const lists[] = { "anyOf", "oneOf", "allOf", "prefixItems" };
	static const char *const maps[] = { "properties", "$defs", "definitions" };
	if (json_is_true(s))
		return OK;
	if (!json_is_object(s))
		return bad(p, info, "must be a schema, an object", "");
	if (depth > DEPTH_MAX)
		return bad(p, info, "is nested too deep", "");
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (json_object_get(s, refused[i]))
			return bad(p, info, "cannot be enforced: ", refused[i]);
	TRY(check_type(s, p, info));
	TRY(check_numbers(s, p, info));
	TRY(check_required(s, p, info));
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		TRY(check_list(s, lists[i], p, info, depth + 1));
	for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
		TRY(check_map(s, maps[i], p, info, depth + 1));
	TRY(check_one(s, "items", p, info, depth + 1));
	return check_one(s, "additionalProperties", p, info, depth + 1);
}

enum err schema_check(const json_t *schema, struct err_info *info)
{
	struct path p = { "#", 1 };
	TRY(check_node(schema, &p, info, 0));
	if (!json_is_object(schema) || !demands_something(schema))
		return bad(&p, info, "demands nothing, so every value would do", "");
	return OK;
}

/* ---- what the grammar cannot take ---- */

void schema_relax(json_t *s)
{
	static const char *const far[] = { "maxLength", "maxItems", "maxProperties" };
	const char *key;
	json_t *v;
	size_t i;
	void *next;
	if (json_is_array(s))
		json_array_foreach(s, i, v)
		{
			if (json_is_true(v))
				json_array_set_new(s, i, json_object());
			else
				schema_relax(v);
		}
	if (!json_is_object(s))
		return;
	for (i = 0; i < sizeof far / sizeof *far; i++)
		if (json_integer_value(json_object_get(s, far[i])) > REPEAT_MAX)
			json_object_del(s, far[i]);
	json_object_foreach_safe(s, next, key, v)
	{
		if (strcmp(key, "const") == 0 || strcmp(key, "enum") == 0)
			continue; /* values, not schemas */
		if (json_is_true(v) && strcmp(key, "additionalProperties") != 0 &&
			strcmp(key, "uniqueItems") != 0)
			json_object_set_new(s, key, json_object());
		else
			schema_relax(v);
	}
}

/* ---- does a value follow it? ---- */

struct check {
	const json_t *root;
	struct path path;
	struct err_info *info; /* NULL while alternatives are tried */
	unsigned steps, depth;
};

static enum err wrong(struct check *c, const char *what)
{
	return err_set(c->info, ERR_INVALID, "%s: %s", c->path.text, what);
}

static enum err validate(struct check *c, const json_t *s, const json_t *v);

/* "#/a/b": a place in the schema. */
static const json_t *resolve(const json_t *root, const char *ref)
{
	const json_t *at = root;
	char name[256];
	if (ref[0] != '#')
		return NULL;
	for (ref++; at && *ref == '/';) {
		size_t n = strcspn(++ref, "/");
		if (n >= sizeof name)
			return NULL;
		memcpy(name, ref, n);
		name[n] = 0;
		uint64_t i = 0;
		if (json_is_array(at))
			at = str_to_u64((struct str){ name, n }, &i)
				     ? NULL
				     : json_array_get(at, (size_t)i);
		else
			at = json_object_get(at, name);
		ref += n;
	}
	return at;
}

static bool whole(const json_t *v)
{
	double d = json_real_value(v);
	return json_is_integer(v) || (json_is_real(v) && d == floor(d));
}

static bool is_type(const json_t *v, const char *type)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return strcmp(type, "object") == 0;
	case JSON_ARRAY:
		return strcmp(type, "array") == 0;
	case JSON_STRING:
		return strcmp(type, "string") == 0;
	case JSON_INTEGER:
	case JSON_REAL:
		return strcmp(type, "number") == 0 || (strcmp(type, "integer") == 0 && whole(v));
	case JSON_TRUE:
	case JSON_FALSE:
		return strcmp(type, "boolean") == 0;
	case JSON_NULL:
		return strcmp(type, "null") == 0;
	}
	return false;
}

static enum err validate_type(struct check *c, const json_t *s, const json_t *v)
{
	const json_t *t = json_object_get(s, "type"), *e = json_object_get(s, "enum"),
		     *k = json_object_get(s, "const");
	size_t n = json_is_array(t) ? json_array_size(t) : t ? 1 : 0;
	bool fits = !n;
	for (size_t i = 0; i < n && !fits; i++)
		fits = is_type(v, json_string_value(json_is_array(t) ? json_array_get(t, i) : t));
	if (!fits)
		return wrong(c, "is of another type");
	if (k && !json_equal(k, v))
		return wrong(c, "is not the constant");
	fits = !e;
	for (size_t i = 0; e && i < json_array_size(e) && !fits; i++)
		fits = json_equal(json_array_get(e, i), v);
	return fits ? OK : wrong(c, "is none of the values");
}

static bool number_of(const json_t *s, const char *key, double *ret)
{
	const json_t *v = json_object_get(s, key);
	*ret = json_number_value(v);
	return json_is_number(v);
}

static enum err validate_number(struct check *c, const json_t *s, const json_t *v)
{
	double x = json_number_value(v), b;
	if (number_of(s, "minimum", &b) && x < b)
		return wrong(c, "is below the minimum");
	if (number_of(s, "maximum", &b) && x > b)
		return wrong(c, "is above the maximum");
	if (number_of(s, "exclusiveMinimum", &b) && x <= b)
		return wrong(c, "is not above the minimum");
	if (number_of(s, "exclusiveMaximum", &b) && x >= b)
		return wrong(c, "is not below the maximum");
	if (number_of(s, "multipleOf", &b)) {
		double q = x / b;
		if (fabs(q - round(q)) > 1e-9 * (fabs(q) + 1))
			return wrong(c, "is no multiple");
	}
	return OK;
}

static enum err validate_count(
	struct check *c, const json_t *s, const char *min, const char *max, double n)
{
	double b;
	if (number_of(s, min, &b) && n < b)
		return wrong(c, "is too short");
	if (number_of(s, max, &b) && n > b)
		return wrong(c, "is too long");
	return OK;
}

static size_t characters(const json_t *v)
{
	const char *p = json_string_value(v);
	size_t n = 0;
	for (size_t i = 0; i < json_string_length(v); i++)
		n += ((unsigned char)p[i] & 0xc0) != 0x80;
	return n;
}

static enum err validate_array(struct check *c, const json_t *s, const json_t *v)
{
	const json_t *items = json_object_get(s, "items"),
		     *first = json_object_get(s, "prefixItems");
	size_t n = json_array_size(v);
	if (json_is_array(items)) {
		first = items;
		items = NULL;
	}
	TRY(validate_count(c, s, "minItems", "maxItems", (double)n));
	for (size_t i = 0; i < n; i++) {
		const json_t *one = i < json_array_size(first) ? json_array_get(first, i) : items;
		size_t was = path_push(&c->path, "[", NULL, i, "]");
		if (one)
			TRY(validate(c, one, json_array_get(v, i)));
		path_pop(&c->path, was);
	}
	if (!json_is_true(json_object_get(s, "uniqueItems")))
		return OK;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++) {
			if (++c->steps > STEPS_MAX)
				return ERR_LIMIT;
			if (json_equal(json_array_get(v, i), json_array_get(v, k)))
				return wrong(c, "has a value twice");
		}
	return OK;
}

static enum err validate_object(struct check *c, const json_t *s, const json_t *v)
{
	const json_t *map = json_object_get(s, "properties"), *req = json_object_get(s, "required"),
		     *more = json_object_get(s, "additionalProperties");
	const char *key;
	json_t *one;
	TRY(validate_count(c, s, "minProperties", "maxProperties", (double)json_object_size(v)));
	for (size_t i = 0; i < json_array_size(req); i++) {
		const char *name = json_string_value(json_array_get(req, i));
		if (!json_object_get(v, name))
			return err_set(c->info, ERR_INVALID, "%s: lacks \"%s\"", c->path.text,
				shown(name).text);
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, one)
	{
		const json_t *sub = json_object_get(map, key);
		if (!sub && json_is_false(more))
			return err_set(c->info, ERR_INVALID, "%s: has \"%s\", which is not allowed",
				c->path.text, shown(key).text);
		sub = sub ? sub : more;
		size_t was = path_push(&c->path, ".", key, 0, "");
		if (json_is_object(sub))
			TRY(validate(c, sub, one));
		path_pop(&c->path, was);
	}
	return OK;
}

/* How many of a list the value follows; stops at two. */
static enum err count_fits(struct check *c, const json_t *list, const json_t *v, unsigned *ret)
{
	struct err_info *info = c->info;
	*ret = 0;
	for (size_t i = 0; i < json_array_size(list) && *ret < 2; i++) {
		struct path was = c->path;
		c->info = NULL;
		enum err e = validate(c, json_array_get(list, i), v);
		c->info = info;
		c->path = was;
		if (e && e != ERR_INVALID)
			return e;
		*ret += !e;
	}
	return OK;
}

static enum err validate_mixes(struct check *c, const json_t *s, const json_t *v)
{
	const json_t *any = json_object_get(s, "anyOf"), *one = json_object_get(s, "oneOf"),
		     *all = json_object_get(s, "allOf");
	unsigned n;
	if (any) {
		TRY(count_fits(c, any, v, &n));
		if (!n)
			return wrong(c, "fits none of anyOf");
	}
	if (one) {
		TRY(count_fits(c, one, v, &n));
		if (n != 1)
			return wrong(c, n ? "fits more than one of oneOf" : "fits none of oneOf");
	}
	for (size_t i = 0; i < json_array_size(all); i++)
		TRY(validate(c, json_array_get(all, i), v));
	return OK;
}

static enum err validate_here(struct check *c, const json_t *s, const json_t *v)
{
	const char *ref = json_string_value(json_object_get(s, "$ref"));
	if (ref) {
		const json_t *target = resolve(c->root, ref);
		if (!target)
			return wrong(c, "has a schema that refers to nothing");
		TRY(validate(c, target, v));
	}
	TRY(validate_type(c, s, v));
	TRY(validate_mixes(c, s, v));
	if (json_is_number(v))
		return validate_number(c, s, v);
	if (json_is_string(v))
		return validate_count(c, s, "minLength", "maxLength", (double)characters(v));
	if (json_is_array(v))
		return validate_array(c, s, v);
	return json_is_object(v) ? validate_object(c, s, v) : OK;
}

static enum err validate(struct check *c, const json_t *s, const json_t *v)
{
	if (++c->steps > STEPS_MAX || c->depth >= 2 * DEPTH_MAX)
		return ERR_LIMIT; /* also a reference to itself */
	if (!json_is_object(s))
		return json_is_false(s) ? wrong(c, "is not allowed") : OK;
	c->depth++;
	enum err e = validate_here(c, s, v);
	c->depth--;
	return e;
}

enum err schema_validate(const json_t *schema, const json_t *value, struct err_info *info)
{
	struct check c = { .root = schema, .path = { "$", 1 }, .info = info };
	return validate(&c, schema, value);
}
