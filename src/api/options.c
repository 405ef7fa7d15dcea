#include "api/options.h"

#include <math.h>

#include "base/limits.h"

enum option_kind { OPTION_F32, OPTION_I32, OPTION_I64, OPTION_U32 };
#define S(field) offsetof(struct gen_options, sampling.field)
static const struct option {
	const char *name;
	enum option_kind kind;
	size_t at;
	double min, max;
} table[] = {
	{ "temperature", OPTION_F32, S(temperature), 0, 100 },
	{ "top_p", OPTION_F32, S(top_p), 0, 1 },
	{ "min_p", OPTION_F32, S(min_p), 0, 1 },
	{ "typical_p", OPTION_F32, S(typical_p), 0, 1 },
	{ "repeat_penalty", OPTION_F32, S(repeat_penalty), 0.01, 100 },
	{ "presence_penalty", OPTION_F32, S(presence_penalty), -100, 100 },
	{ "frequency_penalty", OPTION_F32, S(frequency_penalty), -100, 100 },
	{ "mirostat_tau", OPTION_F32, S(mirostat_tau), 0, 100 },
	{ "mirostat_eta", OPTION_F32, S(mirostat_eta), 0, 100 },
	{ "mirostat", OPTION_I32, S(mirostat), 0, 2 },
	{ "top_k", OPTION_I32, S(top_k), -1, INT32_MAX },
	{ "repeat_last_n", OPTION_I32, S(repeat_last_n), -1, 16 * 1024 * 1024 },
	{ "seed", OPTION_I64, S(seed), -9e15, 9e15 },
	{ "num_predict", OPTION_I32, S(num_predict), -2, INT32_MAX },
	{ "deadline_ms", OPTION_I64, offsetof(struct gen_options, deadline_ms), 1, 86400e3 },
	{ "num_ctx", OPTION_U32, offsetof(struct gen_options, num_ctx), 0, 16 * 1024 * 1024 },
	{ "think_budget", OPTION_I64, offsetof(struct gen_options, think_budget), -1,
		16 * 1024 * 1024 },
};
#undef S

/* What clients still send: read at load time, or gone from Ollama itself. Why it is ignored. */
static const struct {
	const char *name, *why;
} ignored[] = {
	{ "num_batch", "the batch size is chosen when the model is loaded" },
	{ "num_gpu", "the layers on the GPU are chosen when the model is loaded" },
	{ "main_gpu", "the GPU is chosen when the model is loaded" },
	{ "num_thread", "the threads are chosen when the model is loaded" },
	{ "use_mmap", "how the file is read is chosen when the model is loaded" },
	{ "use_mlock", "how the file is read is chosen when the model is loaded" },
	{ "num_keep", "a prompt that is too long is an error, or drops whole messages" },
	{ "draft_num_predict", "speculation is not used" },
	{ "tfs_z", "it no longer exists" },
	{ "penalize_newline", "it no longer exists" },
	{ "numa", "it no longer exists" },
	{ "low_vram", "it no longer exists" },
	{ "f16_kv", "it no longer exists" },
	{ "logits_all", "it no longer exists" },
	{ "vocab_only", "it no longer exists" },
	{ "embedding_only", "it no longer exists" },
	{ "rope_frequency_base", "it no longer exists" },
	{ "rope_frequency_scale", "it no longer exists" },
};

void options_init(struct gen_options *o)
{
	*o = (struct gen_options){ .think_budget = -1 };
	gen_sampling_defaults(&o->sampling);
}

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* An integer may be written as 40.0: JavaScript clients do. */
static bool whole_number(const json_t *v, int64_t *ret)
{
	if (json_is_integer(v)) {
		*ret = json_integer_value(v);
		return true;
	}
	double d = json_real_value(v);
	if (!json_is_real(v) || d != floor(d) || fabs(d) > 9e15)
		return false;
	*ret = (int64_t)d;
	return true;
}

static void put(const struct option *p, struct gen_options *o, double f, int64_t i)
{
	void *at = (char *)o + p->at;
	switch (p->kind) {
	case OPTION_F32:
		*(float *)at = (float)f;
		break;
	case OPTION_I32:
		*(int32_t *)at = (int32_t)i;
		break;
	case OPTION_U32:
		*(uint32_t *)at = (uint32_t)i;
		break;
	case OPTION_I64:
		*(int64_t *)at = i;
		break;
	}
}

enum err options_number(
	struct call *c, const char *field, const char *name, const json_t *v, struct gen_options *o)
{
	const struct option *p = find(name);
	int64_t i = 0;
	if (!p || !v || json_is_null(v))
		return OK;
	c->param = field;
	if (!json_is_number(v))
		return err_set(&c->info, ERR_INVALID, "\"%s\" must be a number", field);
	if (p->kind != OPTION_F32 && !whole_number(v, &i))
		return err_set(&c->info, ERR_INVALID, "\"%s\" must be a whole number", field);
	double f = p->kind == OPTION_F32 ? json_number_value(v) : (double)i;
	if (!(f >= p->min && f <= p->max))
		return err_set(&c->info, ERR_INVALID, "\"%s\" must be from %g to %g", field, p->min,
			p->max);
	put(p, o, f, i);
	c->param = NULL;
	return OK;
}

bool options_knows(const struct options_fields *f, const char *field)
{
	for (size_t i = 0; i < f->n_numbers; i++)
		if (strcmp(f->number[i].field, field) == 0)
			return true;
	for (size_t i = 0; i < f->n_others; i++)
		if (strcmp(f->other[i], field) == 0)
			return true;
	return false;
}

enum err options_numbers(struct call *c, const json_t *body, const struct options_fields *f,
	struct gen_options *o)
{
	for (size_t i = 0; i < f->n_numbers; i++)
		TRY(options_number(c, f->number[i].field, f->number[i].option,
			json_object_get(body, f->number[i].field), o));
	return OK;
}

static enum err add_stop(struct call *c, const json_t *v, struct gen_options *o)
{
	if (!json_is_string(v))
		return err_set(
			&c->info, ERR_INVALID, "\"stop\" must be a string or a list of strings");
	struct str s = { json_string_value(v), json_string_length(v) };
	if (!s.len)
		return OK;
	if (s.len > LIMIT_STOP_STRING)
		return err_set(&c->info, ERR_INVALID, "a stop string may have %d bytes",
			LIMIT_STOP_STRING);
	if (o->n_stop == OPTION_STOPS)
		return err_set(&c->info, ERR_INVALID, "at most %d stop strings", OPTION_STOPS);
	char *copy = arena_str(c->arena, s);
	if (!copy)
		return ERR_NOMEM;
	o->stop[o->n_stop++] = (struct str){ copy, s.len };
	return OK;
}

enum err options_stop(struct call *c, const json_t *v, struct gen_options *o)
{
	size_t i;
	json_t *one;
	if (!v || json_is_null(v))
		return OK;
	c->param = "stop";
	o->n_stop = 0;
	if (!json_is_array(v)) {
		TRY(add_stop(c, v, o));
	} else {
		json_array_foreach((json_t *)(uintptr_t)v, i, one) TRY(add_stop(c, one, o));
	}
	c->param = NULL;
	return OK;
}

static bool warn_ignored(struct call *c, const char *name)
{
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		if (strcmp(ignored[i].name, name) == 0) {
			call_warn(c, "option \"%s\" is ignored: %s", name, ignored[i].why);
			return true;
		}
	return false;
}

static enum err read_priority(struct call *c, const json_t *v, struct gen_options *o)
{
	static const char *const words[] = { "interactive", "workflow", "batch" };
	for (uint8_t i = 0; json_is_string(v) && i < 3; i++)
		if (strcmp(json_string_value(v), words[i]) == 0) {
			o->priority = i;
			return OK;
		}
	return err_set(&c->info, ERR_INVALID,
		"\"priority\" must be \"interactive\", \"workflow\" or \"batch\"");
}

enum err options_run(struct call *c, const json_t *body, struct gen_options *o)
{
	TRY(json_want_bool(body, "temporary", false, &o->temporary, &c->info));
	TRY(json_want_bool(body, "strict", false, &o->strict, &c->info));
	return options_number(
		c, "deadline_ms", "deadline_ms", json_object_get(body, "deadline_ms"), o);
}

static enum err read_require(struct call *c, const json_t *v, struct gen_options *o)
{
	const char *s = json_string_value(v);
	if (!s || (strcmp(s, "gpu") != 0 && strcmp(s, "any") != 0))
		return err_set(&c->info, ERR_INVALID, "\"require\" must be \"gpu\" or \"any\"");
	o->require_gpu = s[0] == 'g';
	return OK;
}

static enum err apply(struct call *c, const char *name, const json_t *v, struct gen_options *o)
{
	if (strcmp(name, "stop") == 0)
		return options_stop(c, v, o);
	if (strcmp(name, "priority") == 0)
		return read_priority(c, v, o);
	if (strcmp(name, "require") == 0)
		return read_require(c, v, o);
	if (find(name))
		return options_number(c, name, name, v, o);
	if (!warn_ignored(c, name))
		call_warn(c, "option \"%.40s\" is ignored: it is not known", name);
	return OK;
}

enum err options_ollama(struct call *c, const json_t *obj, struct gen_options *o)
{
	const char *name;
	json_t *v;
	if (!obj || json_is_null(obj))
		return OK;
	if (!json_is_object(obj))
		return err_set(&c->info, ERR_INVALID, "\"options\" must be an object");
	json_object_foreach((json_t *)(uintptr_t)obj, name, v) TRY(apply(c, name, v, o));
	return OK;
}

void options_model(struct call *c, struct str json, struct gen_options *o)
{
	AUTO_JSON json_t *doc = NULL;
	const char *name;
	json_t *v;
	if (!json.len || json_read(json, json.len, 8, &doc, NULL))
		return;
	json_object_foreach(doc, name, v)
	{
		if (strcmp(name, "stop") != 0 && strcmp(name, "require") != 0 && !find(name))
			/* load-time parameters of the model: not this request's business */
			continue;
		struct gen_options before = *o;
		if (apply(c, name, v, o)) {
			*o = before;
			call_warn(c, "the model's own \"%.40s\" is not usable and was left out",
				name);
			c->info = (struct err_info){ .code = OK };
			c->param = NULL;
		}
	}
}

/* ---- durations ---- */

static bool unit_ms(struct str *s, double *ret)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {
		{ "ns", 1e-6 },
		{ "us", 1e-3 },
		{ "\xc2\xb5s", 1e-3 },
		{ "ms", 1 },
		{ "s", 1e3 },
		{ "m", 60e3 },
		{ "h", 3600e3 },
	};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		struct str u = str_from(units[i].unit);
		if (!str_starts(*s, u))
			continue;
		*s = str_sub(*s, u.len, SIZE_MAX);
		*ret = units[i].ms;
		return true;
	}
	return false;
}

static bool decimal(struct str *s, double *ret)
{
	double v = 0, scale = 1;
	bool digits = false, point = false;
	for (; s->len; *s = str_sub(*s, 1, SIZE_MAX)) {
		char ch = s->ptr[0];
		if (ch == '.' && !point) {
			point = true;
			continue;
		}
		if (ch < '0' || ch > '9')
			break;
		digits = true;
		if (point)
			v += (ch - '0') * (scale /= 10);
		else
			v = v * 10 + (ch - '0');
	}
	*ret = v;
	return digits;
}

enum err duration_parse(struct str s, int64_t *ret_ms)
{
	bool negative = s.len && s.ptr[0] == '-';
	double total = 0, v, ms;
	if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
		s = str_sub(s, 1, SIZE_MAX);
	if (!s.len)
		return ERR_INVALID;
	if (str_eq(s, STR("0"))) {
		*ret_ms = 0;
		return OK;
	}
	while (s.len) {
		if (!decimal(&s, &v) || !unit_ms(&s, &ms))
			return ERR_INVALID;
		total += v * ms;
	}
	if (total > 9e15)
		return ERR_INVALID;
	*ret_ms = (int64_t)(negative ? -ceil(total) : ceil(total));
	return OK;
}

enum err options_keep_alive(struct call *c, const json_t *v, int64_t *ret_ms)
{
	int64_t ms = 0;
	if (!v || json_is_null(v))
		return OK;
	if (json_is_number(v)) {
		double s = json_number_value(v);
		ms = s < 0 ? -1 : s > 9e9 ? -1 : (int64_t)ceil(s * 1000);
	} else if (json_is_string(v)) {
		struct str s = { json_string_value(v), json_string_length(v) };
		double plain;
		struct str rest = s;
		if (duration_parse(s, &ms)) {
			/* "300": Ollama's command line sends bare seconds as text */
			if (!decimal(&rest, &plain) || rest.len || plain > 9e9)
				return err_set(&c->info, ERR_INVALID, "invalid keep_alive \"%.*s\"",
					(int)(s.len < 40 ? s.len : 40), s.ptr);
			ms = (int64_t)ceil(plain * 1000);
		}
	} else {
		return err_set(
			&c->info, ERR_INVALID, "\"keep_alive\" must be a number or a duration");
	}
	*ret_ms = ms < 0 ? -1 : ms;
	return OK;
}
