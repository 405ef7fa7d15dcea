#include "models/options.h"

#include <math.h>
#include <string.h>

enum option_kind { OPTION_F32, OPTION_I32, OPTION_I64, OPTION_U32 };
#define AT(field) offsetof(struct model_options, field)
static const struct option {
	const char *name;
	enum option_kind kind;
	size_t at;
	double min, max;
} table[] = {
	{ "temperature", OPTION_F32, AT(sampling.temperature), 0, 100 },
	{ "top_p", OPTION_F32, AT(sampling.top_p), 0, 1 },
	{ "min_p", OPTION_F32, AT(sampling.min_p), 0, 1 },
	{ "typical_p", OPTION_F32, AT(sampling.typical_p), 0, 1 },
	{ "repeat_penalty", OPTION_F32, AT(sampling.repeat_penalty), 0.01, 100 },
	{ "presence_penalty", OPTION_F32, AT(sampling.presence_penalty), -100, 100 },
	{ "frequency_penalty", OPTION_F32, AT(sampling.frequency_penalty), -100, 100 },
	{ "mirostat_tau", OPTION_F32, AT(sampling.mirostat_tau), 0, 100 },
	{ "mirostat_eta", OPTION_F32, AT(sampling.mirostat_eta), 0, 100 },
	{ "mirostat", OPTION_I32, AT(sampling.mirostat), 0, 2 },
	{ "top_k", OPTION_I32, AT(sampling.top_k), -1, INT32_MAX },
	{ "repeat_last_n", OPTION_I32, AT(sampling.repeat_last_n), -1, 16 * 1024 * 1024 },
	{ "seed", OPTION_I64, AT(sampling.seed), -9e15, 9e15 },
	{ "num_predict", OPTION_I32, AT(sampling.num_predict), -2, INT32_MAX },
	{ "deadline_ms", OPTION_I64, AT(deadline_ms), 1, 86400e3 },
	{ "num_ctx", OPTION_U32, AT(num_ctx), 0, 16 * 1024 * 1024 },
	{ "think_budget", OPTION_I64, AT(think_budget), -1, 16 * 1024 * 1024 },
};
#undef AT

void model_options_init(struct model_options *o)
{
	*o = (struct model_options){ .think_budget = -1 };
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

static void put(const struct option *p, struct model_options *o, double f, int64_t i)
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

static enum err set_number(const struct option *p, const char *shown, const json_t *v,
	struct model_options *o, struct err_info *info)
{
	int64_t i = 0;
	if (!json_is_number(v))
		return err_set(info, ERR_INVALID, "\"%s\" must be a number", shown);
	if (p->kind != OPTION_F32 && !whole_number(v, &i))
		return err_set(info, ERR_INVALID, "\"%s\" must be a whole number", shown);
	double f = p->kind == OPTION_F32 ? json_number_value(v) : (double)i;
	if (!(f >= p->min && f <= p->max))
		return err_set(
			info, ERR_INVALID, "\"%s\" must be from %g to %g", shown, p->min, p->max);
	put(p, o, f, i);
	return OK;
}

static enum err add_stop(const json_t *v, struct model_options *o, struct err_info *info)
{
	if (!json_is_string(v))
		return err_set(info, ERR_INVALID, "\"stop\" must be a string or a list of strings");
	struct str s = { json_string_value(v), json_string_length(v) };
	if (!s.len)
		return OK;
	if (s.len > LIMIT_STOP_STRING)
		return err_set(
			info, ERR_INVALID, "a stop string may have %d bytes", LIMIT_STOP_STRING);
	if (o->n_stop == LIMIT_STOP_STRINGS)
		return err_set(info, ERR_INVALID, "at most %d stop strings", LIMIT_STOP_STRINGS);
	o->stop[o->n_stop++] = s;
	return OK;
}

static enum err set_stop(const json_t *v, struct model_options *o, struct err_info *info)
{
	size_t i;
	json_t *one;
	o->n_stop = 0;
	if (!json_is_array(v))
		return add_stop(v, o, info);
	json_array_foreach((json_t *)(uintptr_t)v, i, one)
		TRY(add_stop(one, o, info));
	return OK;
}

static enum err set_require(const json_t *v, struct model_options *o, struct err_info *info)
{
	const char *s = json_string_value(v);
	if (!s || (strcmp(s, "gpu") != 0 && strcmp(s, "any") != 0))
		return err_set(info, ERR_INVALID, "\"require\" must be \"gpu\" or \"any\"");
	o->require_gpu = s[0] == 'g';
	return OK;
}

enum err model_option_set(struct model_options *o, const char *name, const char *shown,
	const json_t *v, struct err_info *info)
{
	const struct option *p = find(name);
	bool stop = strcmp(name, "stop") == 0;
	if (!p && !stop && strcmp(name, "require") != 0)
		return ERR_NOT_FOUND;
	if (!v || json_is_null(v))
		return OK;
	return p ? set_number(p, shown, v, o, info)
	       : stop ? set_stop(v, o, info)
		      : set_require(v, o, info);
}

void model_options_read(struct model_options *o, const json_t *params,
	void (*bad)(void *arg, const char *name), void *arg)
{
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)params, name, v)
	{
		struct model_options before = *o;
		enum err e = model_option_set(o, name, name, v, NULL);
		if (!e || e == ERR_NOT_FOUND)
			continue;
		*o = before;
		if (bad)
			bad(arg, name);
	}
}
