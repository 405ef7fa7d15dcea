/* models/alias.h - short names ("assistant") behind which the company decides which model answers.
 *
 * An alias has three channels. production is what the bare name stands for; candidate is what may
 * become it; previous is what was it. Each names one version by its manifest's digest, never a name
 * that moves: what an alias answers with changes only by what is declared here.
 *
 *   set candidate ----> candidate --promote--> production --promote, back--> previous
 *                                                  ^-----------back------------/
 *
 * A version may keep an engine build (models/builds.h): then it answers under that one, and the
 * same model under another build is another version to try out. Without one it answers under
 * whichever is current.
 *
 * A promotion needs a trial (models/trial.h) of exactly these two versions that a person accepted,
 * or a reason to do without. production may be set only where there is none yet. back exchanges
 * production and previous: both were let in before.
 *
 * The first half is pure: names, and what a change makes of an alias. The second half is the
 * database (alias_store.c): each change is one transaction, so that a request finds the state
 * before or after it. Any thread; they block on the database.
 *
 * model_store_find() is the one place where a name becomes a version, aliases too. */
#pragma once

#include "base/limits.h"
#include "base/random.h"
#include "store/db.h"

enum {
	ALIAS_NAME_MAX = 48,     /* characters */
	ALIAS_MAX = 200,         /* aliases an instance */
	ALIAS_REASON_MAX = 1000, /* bytes, of a reason or note */
	ALIAS_PROMPTS_MIN = 20,  /* a trial with fewer proves nothing */
};
enum alias_channel { ALIAS_PRODUCTION, ALIAS_CANDIDATE, ALIAS_PREVIOUS, ALIAS_CHANNELS };

struct alias_target {              /* a value: no pointer inside */
	char digest[65];           /* of the manifest; empty: the channel is not set */
	char model[LIMIT_MODEL_NAME + 1]; /* the name it was chosen by */
	char engine[LIMIT_ENGINE_ID + 1]; /* the build it keeps; empty: the current one */
	char person[ID_LEN + 1];   /* who put it here; empty: the operator */
	char trial[ID_LEN + 1];    /* by which it was promoted; or empty */
	char reason[ALIAS_REASON_MAX + 1]; /* why it was promoted without one; or empty */
	int64_t since_ms;
};
struct alias {
	char name[ALIAS_NAME_MAX + 1];
	struct alias_target at[ALIAS_CHANNELS];
};

/* ---- pure ---- */
/* a-z, 0-9, '-' and '_', first a letter; no word that names something else. Errors: ERR_INVALID
 * (info says what a name may be). */
enum err alias_name_check(struct str name, struct err_info *info);
/* "assistant", "assistant:candidate", and ":latest" for production, as clients of Ollama add it;
 * without regard to case, as names of models are read. False: no alias is written like this. */
bool alias_parse(struct str text, char ret_name[ALIAS_NAME_MAX + 1], enum alias_channel *ret);
const char *alias_channel_text(enum alias_channel c);
enum err alias_channel_from(struct str s, enum alias_channel *ret); /* ERR_INVALID */
/* UTF-8 without control characters but line ends, at most ALIAS_REASON_MAX. Errors: ERR_INVALID;
 * `what` names it in info. */
enum err alias_text_check(struct str text, const char *what, struct err_info *info);

/* What a change makes of `a`; nothing on failure. `t` is the version with who and when.
 * Errors of all: ERR_CONFLICT (info says what is missing), ERR_INVALID. */
enum err alias_take(
	struct alias *a, enum alias_channel c, const struct alias_target *t, struct err_info *info);
/* `trial`: of an accepted trial of these two versions, or empty; then `reason` must be there.
 * `person` and `now_ms`: who lets it in, and when. */
enum err alias_promote(struct alias *a, const char *trial, struct str reason, const char *person,
	int64_t now_ms, struct err_info *info);
enum err alias_back(
	struct alias *a, const char *person, int64_t now_ms, struct err_info *info);
/* Production keeps the build that answers now: nothing changes until somebody promotes another. */
enum err alias_keep(struct alias *a, const char *engine, struct err_info *info);

/* ---- the database; errors also its own ---- */
struct model_store;
struct alias_choice {
	struct str model;
	enum alias_channel channel; /* ALIAS_CHANNELS: production of a new alias, else candidate */
	/* The build to keep: its id; "none"; or empty: `current` where production keeps one, too,
	 * so that a candidate is tried out under the build it would be let in with. */
	struct str engine, current;
};
/* Makes the alias when there is none. Errors: ERR_INVALID (name, channel), ERR_NOT_FOUND (model),
 * ERR_CONFLICT (a model has the name; production is set already), ERR_LIMIT. */
enum err model_alias_set(struct model_store *s, struct str name, const struct alias_choice *choice,
	const char *person, struct alias *ret, struct err_info *info);
/* alias_keep() with the current build's id. Errors: ERR_NOT_FOUND, ERR_CONFLICT. */
enum err model_alias_keep(struct model_store *s, struct str name, const char *engine,
	struct alias *ret, struct err_info *info);
/* Candidate to production, production to previous. `reason` empty: by a trial. Errors:
 * ERR_NOT_FOUND (alias, or the version is not here any more), ERR_CONFLICT (no candidate; no
 * trial). */
enum err model_alias_promote(struct model_store *s, struct str name, struct str reason,
	const char *person, struct alias *ret, struct err_info *info);
enum err model_alias_back(struct model_store *s, struct str name, const char *person,
	struct alias *ret, struct err_info *info);
/* With its prompts and trials. Errors: ERR_NOT_FOUND. */
enum err model_alias_remove(struct model_store *s, struct str name, struct err_info *info);
enum err model_alias_get(
	struct model_store *s, struct str name, struct alias *ret, struct err_info *info);
/* By name. *ret is malloc'd; the caller frees. */
enum err model_alias_list(struct model_store *s, struct alias **ret, size_t *ret_n);
/* Each version of an alias that keeps an engine build; without a store. fn must not use the
 * database. */
typedef void (*alias_engine_fn)(struct str alias, struct str engine, void *arg);
enum err alias_engines(struct db *db, alias_engine_fn fn, void *arg);
extern const struct sql *const alias_sql[]; /* for db_prepare_check() */
extern const size_t alias_sql_count;
