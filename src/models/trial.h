/* models/trial.h - a trial: the company's own prompts, answered by what an alias is and by what it
 * may become, side by side, for a person to accept or reject.
 *
 * Prompts belong to an alias. A run asks both versions every prompt: temperature 0, a bounded
 * answer, as batch requests, which wait for everybody else; one run at a time, on a thread of its
 * own. The answers stay in the database with times and digests. An accepted trial counts only for
 * the two versions it was made with, and the engine builds these keep, in this direction
 * (model_alias_promote()).
 *
 * A run that a restart ends is `failed`, as one in which a model failed: it can be run again.
 * Every function may be called by any thread; they block on the database. */
#pragma once

#include "models/alias.h"
#include "models/fleet.h"
#include "models/store.h"

enum {
	TRIAL_PROMPTS_MAX = 200,   /* an alias */
	TRIAL_PROMPT_MAX = 16 * 1024, /* bytes */
	TRIAL_TOKENS = 256,        /* of an answer, where nobody says */
	TRIAL_TOKENS_MAX = 1024,
	TRIAL_ANSWER_MAX = 64 * 1024, /* bytes */
	TRIAL_LIST_MAX = 50,
};

struct trials;
/* Both are borrowed. Errors: ERR_NOMEM, the database's. */
enum err trials_new(
	struct db *db, struct model_store *store, struct fleet *fleet, struct trials **ret);
/* Ends a run: call it while the fleet still answers. NULL is fine. */
struct trials *trials_free(struct trials *t);
DEFINE_AUTO(trials)

/* ---- prompts ---- */
struct trial_prompt { /* what `fn` gets; `text` is borrowed */
	char id[ID_LEN + 1];
	struct str text;
	int64_t created_ms;
};
/* Errors: ERR_NOT_FOUND (alias), ERR_INVALID (empty, too long, not UTF-8), ERR_EXISTS (the same
 * text is there), ERR_LIMIT. */
enum err trial_prompt_add(struct trials *t, struct str alias, struct str text, const char *person,
	struct trial_prompt *ret, struct err_info *info);
typedef void (*trial_prompt_fn)(const struct trial_prompt *p, void *arg);
/* Oldest first; fn must not use the database. Errors: ERR_NOT_FOUND (alias). */
enum err trial_prompts(struct trials *t, struct str alias, trial_prompt_fn fn, void *arg,
	struct err_info *info);
/* Errors: ERR_NOT_FOUND. */
enum err trial_prompt_remove(
	struct trials *t, struct str alias, struct str id, struct err_info *info);

/* ---- runs ---- */
struct trial { /* a value */
	char id[ID_LEN + 1], alias[ALIAS_NAME_MAX + 1];
	char state[12]; /* running, done, failed, accepted, rejected */
	char digest[2][65], model[2][LIMIT_MODEL_NAME + 1]; /* [0] old, [1] new */
	char engine[2][LIMIT_ENGINE_ID + 1];                /* the builds they keep; or empty */
	char person[ID_LEN + 1], decided_by[ID_LEN + 1];    /* empty: the operator */
	char note[ALIAS_REASON_MAX + 1];
	int64_t created_ms, decided_ms; /* decided 0: not yet */
	unsigned prompts, answered;
};
struct trial_answer { /* what `fn` gets; borrowed */
	struct str prompt, text[2];
	int64_t ms[2]; /* reading and answering, without waiting */
};
/* `tokens`: of an answer; 0: TRIAL_TOKENS. Errors: ERR_NOT_FOUND (alias; a version is gone),
 * ERR_CONFLICT (no production, candidate or prompts; both are the same version), ERR_INVALID
 * (tokens; a model that does not chat), ERR_BUSY (one runs). */
enum err trials_start(struct trials *t, struct str alias, int64_t tokens, const char *person,
	struct trial *ret, struct err_info *info);
/* Newest first, at most TRIAL_LIST_MAX; *ret is malloc'd, the caller frees. Errors: ERR_NOT_FOUND
 * (alias). */
enum err trial_list(struct trials *t, struct str alias, struct trial **ret, size_t *ret_n,
	struct err_info *info);
/* Errors: ERR_NOT_FOUND. */
enum err trial_get(struct trials *t, struct str alias, struct str id, struct trial *ret,
	struct err_info *info);
typedef void (*trial_answer_fn)(const struct trial_answer *a, void *arg);
/* In the order of the prompts; fn must not use the database. */
enum err trial_answers(struct trials *t, struct str id, trial_answer_fn fn, void *arg);
/* A person's word; it may be changed. Errors: ERR_NOT_FOUND, ERR_CONFLICT (it runs or failed; too
 * few prompts to accept), ERR_INVALID (note). */
enum err trial_decide(struct trials *t, struct str alias, struct str id, bool accept,
	struct str note, const char *person, struct trial *ret, struct err_info *info);
/* Pure: may a trial in this state be decided so? Errors: ERR_CONFLICT. */
enum err trial_may_decide(const struct trial *t, bool accept, struct err_info *info);
extern const struct sql *const trial_sql[]; /* for db_prepare_check() */
extern const size_t trial_sql_count;
