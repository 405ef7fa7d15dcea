#include "api/options.h"

#include <math.h>

#include "base/limits.h"

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
	*o = (struct gen_options){ .priority = 0 };
	model_options_init(&o->of);
}

/* The JSON may go before the request does. */
static enum err keep_stops(struct call *c, struct model_options *o)
{
	for (unsigned i = 0; i < o->n_stop; i++) {
		char *copy = arena_str(c->arena, o->stop[i]);
		if (!copy)
			return ERR_NOMEM;
		o->stop[i].ptr = copy;
	}
	return OK;
}

enum err options_number(
	struct call *c, const char *field, const char *name, const json_t *v, struct gen_options *o)
{
	if (v && !json_is_null(v))
		c->param = field;
	TRY(model_option_set(&o->of, name, field, v, &c->info));
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

enum err options_stop(struct call *c, const json_t *v, struct gen_options *o)
{
	TRY(options_number(c, "stop", "stop", v, o));
	return keep_stops(c, &o->of);
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

static enum err apply(struct call *c, const char *name, const json_t *v, struct gen_options *o)
{
	if (strcmp(name, "stop") == 0)
		return options_stop(c, v, o);
	if (strcmp(name, "priority") == 0)
		return read_priority(c, v, o);
	enum err e = model_option_set(&o->of, name, name, v, &c->info);
	if (e && e != ERR_NOT_FOUND)
		c->param = name;
	if (e == ERR_NOT_FOUND && !warn_ignored(c, name))
		call_warn(c, "option \"%.40s\" is ignored: it is not known", name);
	return e == ERR_NOT_FOUND ? OK : e;
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

static void warn_unusable(void *arg, const char *name)
{
	call_warn(arg, "the model's own \"%.40s\" is not usable and was left out", name);
}

enum err options_model(struct call *c, const json_t *params, struct gen_options *o)
{
	model_options_read(&o->of, params, warn_unusable, c);
	return keep_stops(c, &o->of);
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
