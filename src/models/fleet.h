/* models/fleet.h - the engines that run, and requests to them; survives their crashes.
 *
 * A request names a model by digest. The fleet asks the keeper for an engine when none is loaded
 * (requests wait), sends the request, keeps every accepted token, and hands events to the sink.
 * When an engine dies, its requests run again alone, oldest first, from their accepted tokens; the
 * one with which it dies again fails with ERR_ENGINE, the rest go on. Sinks run on the fleet's IPC
 * thread: short, never blocking, no call back into the fleet but fleet_cancel(). */
#pragma once

#include "proto/embed.h"
#include "proto/keeper.h"

struct fleet;
struct fleet_options {
	struct keeper_link *keeper;
	unsigned max_engines;  /* loaded at once; idle ones are stopped, least recent first */
	uint32_t n_seq, n_ctx; /* 0 = by memory */
	bool gpu;
};
enum err fleet_new(const struct fleet_options *o, struct fleet **ret);
struct fleet *fleet_free(struct fleet *f);
DEFINE_AUTO(fleet)

struct fleet_model { /* copied */
	char digest[65], name[256];
	int64_t keep_alive_ms; /* -1 for ever; after the last request */
};
struct fleet_event {
	enum {
		FLEET_QUEUED,
		FLEET_BEGUN,
		FLEET_DELTA,
		FLEET_REWIND,
		FLEET_DONE,
		FLEET_FAILED,
		FLEET_EMBEDDED /* instead of DONE, see fleet_embed.h */
	} kind;
	unsigned position;                /* QUEUED */
	bool loading;                     /* QUEUED: the model is being loaded */
	const struct engine_info *engine; /* BEGUN, EMBEDDED: what answers */
	int64_t load_ns;                  /* BEGUN: time this request waited for loading */
	union {
		struct gen_begun begun;
		struct gen_delta delta;
		struct gen_done done;
		struct gen_failed failed;
		struct embed_done embedded;
	};
};
typedef void (*fleet_sink)(const struct fleet_event *e, void *arg);

/* Copies everything in `g`. *ret_id names the request until its DONE or FAILED, which comes exactly
 * once (also after a cancel). Errors: ERR_BUSY (queue full), ERR_NOMEM; then no sink call comes. */
enum err fleet_start(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id);
void fleet_cancel(struct fleet *f, uint64_t id); /* unknown ids are ignored */
/* Loads without asking, or unloads; the sink gets FLEET_DONE or FLEET_FAILED. */
enum err fleet_load(struct fleet *f, const struct fleet_model *m, fleet_sink sink, void *arg);
void fleet_unload(struct fleet *f, const char *digest);

struct fleet_loaded { /* /api/ps */
	char digest[65], name[256];
	uint32_t n_ctx, n_seq, active, waiting;
	uint64_t model_bytes, kv_bytes;
	int64_t expires_ms; /* wall; -1 for ever */
	bool gpu;
	char build[64], template_hash[65];
};
size_t fleet_list(struct fleet *f, struct fleet_loaded *ret, size_t max);
struct fleet_totals {
	uint64_t tokens_in, tokens_out, requests, failed, crashes;
	unsigned active, waiting;
};
void fleet_totals(struct fleet *f, struct fleet_totals *ret);
