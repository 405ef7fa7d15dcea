/* models/own.h - what a model brings for every answer: its explicit template, default options, its
 * system text and example messages. Read in one place for APIs, conversations and trials. */
#pragma once

#include "models/options.h"
#include "models/store.h"

struct model_own {
	struct buf template_; /* Go or Jinja; empty: the file's own */
	struct buf system;
	json_t *params;   /* owned: object, or NULL */
	json_t *messages; /* owned: array of {role, content}, or NULL */
};
/* Errors: as model_store_texts(). What of the lists is damaged counts as not there. */
enum err model_own_read(
	struct model_store *s, const struct model_entry *e, struct model_own *ret);
void model_own_done(struct model_own *o);
#define AUTO_OWN [[gnu::cleanup(model_own_done)]]
/* Its system text (unless somebody brings one) and examples, in this order. */
void model_own_messages(const struct model_own *o, bool with_system,
	void (*add)(void *arg, struct str role, struct str content), void *arg);
