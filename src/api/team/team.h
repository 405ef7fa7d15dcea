/* api/team/team.h - what the files of this folder share. */
#pragma once

#include "api/call.h"
#include "base/limits.h"
#include "vault/people.h"

/* ---- keeper.c: questions to the keeper; they block this worker ---- */
struct key_info {
	char kind[16];
	bool recovery;
};
/* Cached for some seconds: the log-in page asks it without a log-in. `fresh` asks now. */
enum err keeper_key_info(struct call *c, bool fresh, struct key_info *ret);
/* The prefix cache's disk tier; *ret_limit: bytes a model may have, 0: it is off. */
enum err keeper_cache(
	struct call *c, uint64_t *ret_files, uint64_t *ret_bytes, uint64_t *ret_limit);
/* The engine builds that are installed; `fresh`: every file is hashed again. */
struct engine_row {
	struct str id, version, tree, variant, why; /* borrowed, for the call */
	uint64_t proto;
	bool current;
	enum err err; /* OK: usable; else `why` */
};
typedef enum err (*engine_row_fn)(void *arg, const struct engine_row *r);
enum err keeper_engines(struct call *c, bool fresh, engine_row_fn fn, void *arg);
enum err keeper_recovery(struct call *c, struct buf *ret_code);
enum err keeper_sign(struct call *c, struct str bytes, uint8_t ret[SHA256_LEN]);
enum err keeper_audit_verify(
	struct call *c, bool *ret_intact, uint64_t *ret_records, struct buf *report);
typedef enum err (*audit_entry_fn)(void *arg, uint64_t seq, int64_t at_ms, struct str event);
/* Newest first, seq < before (0: from the end). Errors: the keeper's, fn's. */
enum err keeper_audit_read(
	struct call *c, uint64_t before, uint64_t count, audit_entry_fn fn, void *arg);

/* ---- engines.c ---- */
/* The build that `text` names: an id that is installed and usable, or "current". Empty and "none"
 * stay as they are. `current` is the current one's id; empty: there is none. Errors: ERR_NOT_FOUND,
 * ERR_BUILD, the keeper's. */
enum err engine_wanted(struct call *c, struct str text, char ret[LIMIT_ENGINE_ID + 1],
	char current[LIMIT_ENGINE_ID + 1]);
/* What an alias keeps and cannot have: "ID (ALIAS)", the first; empty: nothing is amiss. *ret_kept:
 * how many versions keep a build. Errors: the keeper's, the database's. */
enum err engines_amiss(struct call *c, size_t *ret_kept, char *ret, size_t size);

/* ---- login.c ---- */
void instance_json(struct call *c, struct jw *w);
/* Me of api/routes.json. */
enum err me_json(struct call *c, const struct person *p, const char *csrf, struct buf *out);
/* "https://host/#/link/TOKEN" and when it ends, as the answer. */
enum err reply_link(struct call *c, const char *token, int64_t expires_ms);

/* ---- events.c ---- */
struct events;
enum err events_new(struct events **ret);     /* starts the thread that pings */
struct events *events_free(struct events *e); /* after http_stop() */
/* Ends the streams of a person, or of one session; they are told first. */
void events_end(struct app *a, const char *person, const uint8_t *session_hash);
/* Ends those of all but this session. */
void events_end_others(struct app *a, const char *person, const uint8_t *session_hash);
