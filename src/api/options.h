/* api/options.h - sampling options and what a request says about its run, in every API's words.
 *
 * Order: the house's defaults (gen_sampling_defaults), the model's own params, the request.
 * Absent stays what it was: a missing temperature does not become 1.0. */
#pragma once

#include "api/call.h"
#include "models/options.h"

struct gen_options {
	struct model_options of;          /* stop strings are in the request's arena */
	uint8_t priority;                 /* as gen_request's */
	bool temporary;                   /* never to the disk */
	bool strict;                      /* alone, the same bytes every time */
};
void options_init(struct gen_options *o);
/* Ollama's `options` object. Unknown and load-time ones are ignored with a warning in `c`.
 * Errors: ERR_INVALID (type or range; info names it). */
enum err options_ollama(struct call *c, const json_t *obj, struct gen_options *o);
/* A model's params (models/own.h): as above, but what is wrong in them is only a warning: the
 * person cannot help it. Errors: ERR_NOMEM. */
enum err options_model(struct call *c, const json_t *params, struct gen_options *o);
/* One number by its name in Ollama's table. Errors: ERR_INVALID. */
enum err options_number(struct call *c, const char *field, const char *name, const json_t *v,
			struct gen_options *o);
/* The fields of an API: numbers under its own names, and the others that it reads. */
struct options_number {
	const char *field, *option;
};
struct options_fields {
	const struct options_number *number;
	size_t n_numbers;
	const char *const *other;
	size_t n_others;
};
#define OPTIONS_FIELDS(numbers, others)                                                            \
	{                                                                                          \
		numbers, sizeof(numbers) / sizeof *(numbers), others,                              \
			sizeof(others) / sizeof *(others)                                          \
	}
bool options_knows(const struct options_fields *f, const char *field);
/* Its numbers out of a body. Errors: as options_number(). */
enum err options_numbers(struct call *c, const json_t *body, const struct options_fields *f,
			 struct gen_options *o);
/* A string or an array of strings; replaces. Errors: ERR_INVALID. */
enum err options_stop(struct call *c, const json_t *v, struct gen_options *o);
/* "temporary", "strict" and "deadline_ms" of a body, in every API. Errors: ERR_INVALID. */
enum err options_run(struct call *c, const json_t *body, struct gen_options *o);
/* keep_alive: a number of seconds, or "10m", "1h30m", "250ms"; negative: for ever (-1); absent
 * leaves *ret_ms. Errors: ERR_INVALID. */
enum err options_keep_alive(struct call *c, const json_t *v, int64_t *ret_ms);
/* Pure: Go's time.ParseDuration. Errors: ERR_INVALID. */
enum err duration_parse(struct str s, int64_t *ret_ms);
