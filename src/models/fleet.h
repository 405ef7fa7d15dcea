/* models/fleet.h - the engines that run, and requests to them; survives their crashes.
 *
 * A request names a model by digest, and maybe the engine build (models/builds.h) that it must
 * run under; the same model under two builds is two engines. The fleet asks the keeper for an
 * engine when none is loaded (requests wait), sends the request, keeps every accepted token, and
 * hands events to the sink. Which engines stay is the planner's to say (models/plan.h).
 *
 * When an engine dies it is started again, after a pause that doubles, on the next safer settings
 * when it was its own fault (fleet_death.c); its requests run again alone, oldest first, from their
 * accepted tokens. One with which it dies alone is quarantined: it fails with ERR_ENGINE, and so
 * does the same request at once while this server runs; the rest go on.
 *
 * Sinks run on the fleet's thread: short, never blocking, no call back into the fleet but
 * fleet_cancel(). */
#pragma once

#include "base/limits.h"
#include "models/adapter.h"
#include "models/cards.h"
#include "models/plan.h"
#include "proto/embed.h"
#include "proto/engine.h"
#include "proto/keeper.h"
#include "proto/tokens.h"

enum {
	FLEET_QUEUE_MAX = 512,                       /* requests, running and waiting */
	FLEET_QUEUE_BYTES = 256 * 1024 * 1024,       /* of their inputs */
	FLEET_MODELS_MAX = 64,                       /* remembered after they were unloaded */
	FLEET_STALL_MS = 120 * 1000,                 /* without a token: the engine hangs */
};
#define FLEET_KEEP_AS_IS INT64_MIN /* keep_alive_ms: what the loaded model has, or the default */

struct fleet;
struct fleet_memory { uint64_t total, free_bytes; }; /* of the machine; free 0: unknown */
struct fleet_report { /* a request was quarantined */
	const char *model, *digest, *build; /* digest: of the request, hex SHA-256 */
};
struct fleet_options {
	struct keeper_link *keeper;
	unsigned max_engines;  /* loaded at once; 0: as many as fit */
	uint32_t n_seq, n_ctx; /* 0 = by memory */
	const struct cards *cards; /* those that may be used; borrowed; NULL or empty: none */
	const char *engine;    /* the build of those that keep none: fleet_engine_current() */
	int64_t keep_alive_ms; /* where nobody says; -1 for ever */
	int64_t stall_ms;      /* 0: FLEET_STALL_MS */
	int64_t yield_ms;      /* a model waits so long for a busy one before that drains; 0: 5 s */
	unsigned queue_max;    /* 0: FLEET_QUEUE_MAX */
	/* What the fleet asks and tells; each may be NULL. memory, need and report are called on
	 * the fleet's thread and must not block; the tuned_ ones on a thread that may. */
	void *arg;
	void (*memory)(void *arg, struct fleet_memory *ret);
	/* An estimate for a model that was never loaded here. False: not known, counts as 0. */
	bool (*need)(void *arg, const char *digest, struct plan_need *ret);
	void (*report)(void *arg, const struct fleet_report *r);
	/* `load`'s tuned and tuned_build, from what was stored. */
	void (*tuned_get)(void *arg, const char *digest, struct engine_load *load);
	void (*tuned_put)(void *arg, const char *digest, struct str build, struct str line);
};
enum err fleet_new(const struct fleet_options *o, struct fleet **ret);
struct fleet *fleet_free(struct fleet *f);
DEFINE_AUTO(fleet)

struct fleet_model { /* copied */
	char digest[65], name[256];
	char projector[65];    /* of a model that sees; empty: none */
	struct model_adapters adapters; /* those of which `digest` tells */
	char engine[LIMIT_ENGINE_ID + 1]; /* the build it keeps; empty: the current one */
	int64_t keep_alive_ms; /* -1 for ever; after the last request; or FLEET_KEEP_AS_IS */
	bool require_gpu;      /* refuse rather than run on the processor */
};
struct model_entry; /* models/store.h */
/* Of this version of a model; keep_alive_ms stays. Errors: ERR_LIMIT. */
enum err fleet_model_of(const struct model_entry *e, struct fleet_model *ret);
struct fleet_event {
	enum {
		FLEET_QUEUED,
		FLEET_BEGUN,
		FLEET_DELTA,
		FLEET_REWIND,
		FLEET_DONE,
		FLEET_FAILED,
		FLEET_EMBEDDED, /* instead of DONE, see fleet_embed.h */
		FLEET_COUNTED, FLEET_TOKENED /* instead of DONE, see fleet_tokens.h */
	} kind;
	unsigned position;                /* QUEUED: 1 is next */
	int64_t estimate_ms;              /* QUEUED: until it begins; -1: not known */
	bool loading;                     /* QUEUED: the model is being loaded */
	const struct engine_info *engine; /* BEGUN and what stands for DONE: what answers */
	const char *build;                /* the same: the id of its build; or NULL */
	bool gpu_missed;                  /* BEGUN: there is a card, but this runs without */
	int64_t load_ns;                  /* BEGUN: time this request waited for loading */
	union {
		struct gen_begun begun;
		struct gen_delta delta;
		struct gen_done done;
		struct gen_failed failed;
		struct embed_done embedded;
		uint64_t counted; /* tokens of the prompt */
		struct tokens_done tokened;
	};
};
typedef void (*fleet_sink)(const struct fleet_event *e, void *arg);

/* Copies everything in `g`. *ret_id names the request until its DONE or FAILED, which comes exactly
 * once (also after a cancel). Errors: ERR_QUEUE (full: see fleet_retry_after_s()), ERR_NOMEM;
 * then no sink call comes. */
enum err fleet_start(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id);
void fleet_cancel(struct fleet *f, uint64_t id); /* unknown ids are ignored */
bool fleet_is_full(struct fleet *f); /* fleet_start() would say ERR_QUEUE */
/* Seconds after which the queue has room again, by how fast it moves: 1 to 60. */
unsigned fleet_retry_after_s(struct fleet *f);
/* Loads without asking, or unloads (a pinned one stays); the sink gets FLEET_DONE or
 * FLEET_FAILED. */
enum err fleet_load(struct fleet *f, const struct fleet_model *m, fleet_sink sink, void *arg);
void fleet_unload(struct fleet *f, const char *digest); /* under every build */
/* Keeps it loaded from now on, or no longer. Errors: ERR_LIMIT (as many as engines can be),
 * ERR_NOMEM. */
enum err fleet_pin(struct fleet *f, const struct fleet_model *m, bool on);
bool fleet_is_pinned(struct fleet *f, const char *digest);

/* What was read for this person (`object` 0) or this conversation of theirs leaves the cache of
 * every engine and the disk; both are gen_number()s. Durable on the disk when it returns; engines
 * obey with their next message, after cancels that came before. Blocks: not for sinks. Errors: the
 * keeper's, ERR_NOMEM; then something may have stayed. */
enum err fleet_purge(struct fleet *f, uint64_t person, uint64_t object);

/* What the keeper says of engines; any thread. */
struct fleet_gone {
	uint64_t engine_id, signal, code;
	char digest[65], engine[LIMIT_ENGINE_ID + 1];
	bool oom; /* killed because memory ran out */
};
struct fleet_uses {
	char digest[65], engine[LIMIT_ENGINE_ID + 1];
	uint64_t resident, own; /* bytes */
};
void fleet_engine_gone(struct fleet *f, const struct fleet_gone *g);
void fleet_engine_uses(struct fleet *f, const struct fleet_uses *u);
/* Another build is current: who comes from now on gets it; who is being answered keeps the old one,
 * which goes as every engine that nobody asks. */
void fleet_engine_current(struct fleet *f, const char *id);

/* ---- what is seen from outside; every function may be called by any thread ---- */
struct fleet_loaded { /* /api/ps */
	char digest[65], name[256];
	uint32_t n_ctx, n_seq, active, waiting;
	uint64_t model_bytes, kv_bytes;
	int64_t expires_ms; /* wall; -1 for ever */
	bool gpu;
	char cards[ENGINE_CARDS_TEXT_MAX + 1]; /* which; empty: none */
	char build[64], template_hash[65];
	char engine[LIMIT_ENGINE_ID + 1]; /* the id of its build */
};
size_t fleet_list(struct fleet *f, struct fleet_loaded *ret, size_t max);

/* Who has requests for a model now, waiting ones included. Returns how many, at most `max`. */
struct fleet_user {
	uint64_t person; /* gen_request.person; 0: nobody is known */
	unsigned running, waiting;
};
size_t fleet_users(struct fleet *f, const char *digest, struct fleet_user *ret, size_t max);

enum fleet_state { FLEET_UNLOADED, FLEET_WANTED, FLEET_LOADING, FLEET_READY, FLEET_RESTARTING };
/* Everything about one model under one build since the server started; counters only grow. */
struct fleet_status {
	char digest[65], name[256], engine[LIMIT_ENGINE_ID + 1];
	bool old_engine; /* that is not the current one */
	enum fleet_state state;
	bool pinned, gpu, gpu_missed;
	char cards[ENGINE_CARDS_TEXT_MAX + 1]; /* it computes on; empty: none */
	uint32_t n_ctx, n_seq;
	unsigned running[STATS_CLASSES], waiting[STATS_CLASSES]; /* by gen_request.priority */
	uint64_t model_bytes, kv_bytes, resident_bytes;          /* resident: measured; 0 not yet */
	uint64_t loads, crashes, requests, failed, quarantined;
	int64_t load_ms, expires_ms;
	int64_t since_ms; /* wall: loaded since; 0: it is not */
	const char *settings; /* static text: "as chosen", or how much safer */
	char tuned[ENGINE_TUNED_MAX + 1];
	struct engine_stats stats; /* counters of all its engines, gauges of the one that runs */
};
size_t fleet_status(struct fleet *f, struct fleet_status *ret, size_t max);

struct fleet_totals {
	uint64_t tokens_in, tokens_out, requests, failed, crashes, refused_busy;
	unsigned active, waiting, queue_max;
	uint64_t queue_bytes;
};
void fleet_totals(struct fleet *f, struct fleet_totals *ret);

struct fleet_quarantined {
	char digest[65], model[256], build[64];
	int64_t at_ms; /* wall */
};
/* Newest first. */
size_t fleet_quarantine(struct fleet *f, struct fleet_quarantined *ret, size_t max);
