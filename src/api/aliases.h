/* api/aliases.h - models by name or alias, for every API; and aliases in its lists. */
#pragma once

#include "api/call.h"
#include "models/store.h"

/* Of an answer: the version that made it, as /api/tags and /api/show write its "digest". */
#define MODEL_DIGEST_HEADER "X-Tresor-Model-Digest"
/* And the engine build that made it; not where a stream said something before it began. */
#define ENGINE_HEADER "X-Tresor-Engine"

/* model_store_find() for whoever asks: another channel than production needs the right to change
 * models. Errors: its own, ERR_FORBIDDEN. */
enum err call_model(struct call *c, struct str name, struct model_entry *ret);
/* The right alone, for a name that is only stored now. Names that are no alias are let through. */
enum err call_model_may(struct call *c, struct str name);

/* What a list of models shows of an alias. */
struct alias_shown {
	struct alias alias;
	struct model_entry model; /* what it answers with; its name is the alias' here */
	char names[LIMIT_MODEL_NAME + 1]; /* the version it names */
};
typedef void (*alias_shown_fn)(const struct alias_shown *a, void *arg);
/* Each alias that answers, by name. Errors: the store's. */
enum err call_aliases(struct call *c, alias_shown_fn fn, void *arg);
/* "alias": {..} of one version, into an open object: what it is, who let it in and when; nothing
 * for an entry that was found by a name. */
enum err alias_of_json(struct call *c, const struct model_entry *m, struct jw *w);
/* "origin": {source, person, person_name, at_ms} of a version, into an open object; nothing where
 * it was not recorded. Errors: the store's. */
enum err origin_json(struct call *c, const struct model_entry *m, struct jw *w);
/* Alias of api/routes.json. Errors: the store's. */
enum err alias_json(struct call *c, const struct alias *a, struct jw *w);
