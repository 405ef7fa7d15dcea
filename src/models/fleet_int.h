/* models/fleet_int.h - private to models/fleet*.c.
 *
 * One thread (fleet_thread) owns slots and requests; nobody else touches them. Other threads put
 * commands into the inbox and read the published snapshot, both under `lock`. A second thread
 * (loader) makes the blocking calls to the keeper and answers through the inbox.
 *
 * Slot states:
 *   WANTED --room--> LOADING --loaded--> READY --idle too long, or asked--> (freed)
 *      ^                 | refused: its requests fail            |
 *      +-----------------+---------------- engine died ----------+
 * Invariants: a request belongs to exactly one slot until its last event; a slot without a channel
 * has no request in state SENT; while a suspect runs, nothing else of its slot is SENT. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "models/fleet.h"
#include "os/threads.h"

enum {
	FLEET_QUEUE_MAX = 512,   /* requests, running and waiting */
	FLEET_CRASHES_MAX = 3,   /* deaths of an engine with this request before it is given up */
	FLEET_TRUST_TOKENS = 32, /* made alone after a crash: then it was not the one */
	FLEET_LOAD_TIMEOUT_MS = 600000,
	FLEET_ENGINES_MAX = 16,
};

enum request_state { REQUEST_WAITING, REQUEST_SENT };
struct request {
	struct request *next;
	uint64_t id;
	struct arena *mem; /* what gen points to */
	struct gen_request gen;
	struct embed_request *embed; /* instead of gen; NULL: a generation */
	bool load_only, cancelled, suspect;
	bool begun, told_begun; /* on this engine; to the sink, once */
	enum request_state state;
	fleet_sink sink;
	void *arg;
	struct buf tokens;           /* int32, accepted so far */
	size_t text_sent, text_skip; /* bytes given to the sink; to skip of what is sent again */
	size_t tokens_alone;         /* made since it runs alone */
	unsigned crashes;
	int64_t arrived_ns, load_ns;
	struct fleet_model model;
};

enum slot_state { SLOT_WANTED, SLOT_LOADING, SLOT_READY };
struct slot {
	struct slot *next;
	struct fleet_model model;
	enum slot_state state;
	struct ipc *chan;
	uint64_t engine_id;
	struct engine_info info; /* its strings point to the arrays below */
	char build[64], template_hash[65], architecture[64], description[128];
	struct engine_stats stats;
	struct request *requests;               /* oldest first */
	int64_t idle_since_ms, expires_mono_ms; /* monotonic; expires -1: never */
	bool unload_asked;
};

enum command_kind { CMD_START, CMD_CANCEL, CMD_UNLOAD, CMD_LOADED };
struct command {
	struct command *next;
	enum command_kind kind;
	struct request *request; /* START: owned */
	uint64_t id;             /* CANCEL */
	char digest[65];         /* UNLOAD, LOADED */
	/* LOADED */
	enum err err;
	struct err_info why;
	int chan_fd;
	uint64_t engine_id;
	struct slot loaded; /* info and its strings only */
};

enum job_kind { JOB_LOAD, JOB_STOP };
struct job { /* for the loader thread */
	enum job_kind kind;
	char digest[65];
	uint64_t engine_id;
};

struct fleet {
	struct fleet_options opt;
	struct slot *slots;
	struct queue *jobs;
	pthread_t thread, loader;
	bool thread_up, loader_up;
	int wake_fd;
	atomic_uint_fast64_t next_id;
	atomic_uint queued;

	pthread_mutex_t lock;
	struct command *inbox, **inbox_tail;
	bool stopping;
	struct fleet_loaded published[FLEET_ENGINES_MAX];
	size_t n_published;
	struct fleet_totals totals;
};

/* fleet_slot.c: called on the fleet's thread only */
void slot_take_request(struct fleet *f, struct request *r);
void slot_cancel(struct fleet *f, uint64_t id);
void slot_unload(struct fleet *f, const char *digest);
void slot_loaded(struct fleet *f, struct command *c);
void slot_channel_ready(struct fleet *f, struct slot *s);
/* Starts loads for which there is room, stops idle engines, sends what may be sent. */
void slot_run_all(struct fleet *f);
/* ms until slot_run_all() has something to do by time; -1: nothing */
int slot_next_deadline(struct fleet *f);
void slot_free_all(struct fleet *f);
void fleet_wake(struct fleet *f);
void request_free(struct request *r);
/* Queues a generation (g), an embedding (e), or a mere load (neither). */
enum err fleet_submit(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	const struct embed_request *e, fleet_sink sink, void *arg, uint64_t *ret_id);

/* fleet_embed.c */
enum err request_copy_embed(const struct embed_request *e, struct request *r);
enum err request_send_embed(struct slot *s, struct request *r);
/* Reads ENGINE_EMBEDDED into the event. Errors: ERR_PROTOCOL. */
enum err request_embedded(const struct request *r, struct ipc_in *m, struct fleet_event *ret);
uint64_t request_embedded_tokens(const struct embed_done *d);
