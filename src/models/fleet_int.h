/* models/fleet_int.h - private to models/fleet*.c.
 *
 * One thread (fleet_thread) owns slots, requests and what is remembered of models; nobody else
 * touches them. Other threads put commands into the inbox and read the published snapshot, both
 * under `lock`. A few threads (loaders) make the blocking calls to the keeper and answer through
 * the inbox, so a model that loads long holds up no other.
 *
 * Slot states:
 *   WANTED --room--> LOADING --loaded--> READY --idle too long, or asked--> (freed)
 *     ^ pause         | died: try again     |
 *     |               | refused: its requests fail
 *     +---------------+------ judged ----- DEAD <-- channel ended
 * DEAD: the keeper's word how it died is awaited, for JUDGE_MS at most.
 * Invariants: a request belongs to exactly one slot until its last event; a slot without a channel
 * has no request in state SENT; while a suspect runs, nothing else of its slot is SENT. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/crypto.h"
#include "models/fleet.h"
#include "os/threads.h"

enum {
	FLEET_CRASHES_MAX = 3,   /* deaths of an engine with this request before it is given up */
	FLEET_KILLS_MAX = 100,   /* the same when somebody killed it: not the request's fault */
	FLEET_TRUST_TOKENS = 32, /* made alone after a crash: then it was not the one */
	FLEET_LOAD_TIMEOUT_MS = 600000,
	FLEET_LOADERS = 4,
	FLEET_ENGINES_MAX = PLAN_ENGINES_MAX,
	FLEET_QUARANTINE_MAX = 64,
	FLEET_JUDGE_MS = 1000,
	FLEET_PAUSE_MS = 100, /* before the first new start; doubles */
	FLEET_PAUSE_MAX_MS = 10000,
	FLEET_LOADS_MAX = 8,     /* deaths in a row before its requests are given up */
	FLEET_YIELD_MS = 5000,
	FLEET_STATUS_MS = 200,
	FLEET_PIN_RETRY_MS = 60000,
	FLEET_WORKED_MS = 600000, /* on safer settings; then the next load is as chosen again */
};

enum request_state { REQUEST_WAITING, REQUEST_SENT };
struct request {
	struct request *next;
	uint64_t id;
	struct arena *mem; /* what gen points to */
	size_t bytes;      /* of it, for the bound of the queue */
	struct gen_request gen;
	struct embed_request *embed;       /* instead of gen, or: */
	struct tokens_request *tokens_ask; /* both NULL: a generation */
	bool count; /* of gen only the prompt's tokens are wanted */
	bool load_only, cancelled, suspect;
	bool begun, told_begun; /* on this engine; to the sink, once */
	enum request_state state;
	fleet_sink sink;
	void *arg;
	struct buf tokens;           /* int32, accepted so far */
	size_t text_sent, text_skip; /* bytes given to the sink; to skip of what is sent again */
	size_t tokens_alone;         /* made since it runs alone */
	unsigned crashes, kills;
	int64_t arrived_ns, load_ns;
	struct fleet_model model;
	/* what it began with: a strict request goes on with the same or not at all */
	char began_build[64];
	unsigned began_step;
};

/* What is remembered of a model beyond its engine; index in fleet.past. */
struct past {
	char digest[65], engine[LIMIT_ENGINE_ID + 1], name[256];
	int64_t used_ms;      /* monotonic; the one unused longest makes room */
	uint64_t loads, crashes, requests, failed, quarantined;
	int64_t load_ms;      /* of the last load */
	uint64_t bytes;       /* resident when it was last measured */
	bool no_card;         /* its build cannot use the cards here: the processor, and said so */
	unsigned deaths;      /* in a row, nothing answered between them */
	unsigned step;        /* of fleet_steps: how safe its settings are */
	unsigned cpu_less;    /* instruction sets left out */
	int64_t retry_ms;     /* monotonic; no start before */
	struct engine_stats stats; /* counters of engines that are gone */
};

enum slot_state { SLOT_WANTED, SLOT_LOADING, SLOT_READY, SLOT_DEAD };
struct slot {
	struct slot *next;
	struct fleet_model model; /* with the build it was given: the current one, or its own */
	struct past *past;
	enum slot_state state;
	struct ipc *chan;
	uint64_t engine_id;
	struct engine_info info; /* its strings point to the arrays below */
	char build[64], template_hash[65], architecture[64], description[128],
		tuned[ENGINE_TUNED_MAX + 1], cards[ENGINE_CARDS_TEXT_MAX + 1];
	char engine[LIMIT_ENGINE_ID + 1]; /* what the keeper says it runs */
	struct engine_stats stats;
	struct request *requests;               /* oldest first */
	int64_t idle_since_ms, expires_mono_ms; /* monotonic; expires -1: never */
	bool unload_asked;
	bool yield;              /* drains for a model that waits: sends nothing new */
	bool full;               /* the engine's own queue is: wait for one to end */
	bool on_gpu, gpu_missed; /* planned for the card; would have been, had it had room */
	uint64_t need[PLAN_DEVICES], rss, own; /* planned for the load; measured */
	int64_t wanted_ms, loading_ms, ready_ms;
	int64_t progress_ms;     /* the engine's last sign of work */
	uint64_t progress_tokens;
	double request_ms;       /* what one takes, by a moving mean; 0: not known */
	/* its end */
	bool gone_known;
	const char *verdict; /* ended by us, and why: a fault; or NULL */
	struct fleet_gone gone;
	int64_t judge_ms;
};

enum command_kind { CMD_START, CMD_CANCEL, CMD_UNLOAD, CMD_LOADED, CMD_PIN, CMD_GONE, CMD_USES,
	CMD_PURGE, CMD_CURRENT };
struct command {
	struct command *next;
	enum command_kind kind;
	struct request *request; /* START: owned */
	uint64_t id;             /* CANCEL */
	char digest[65];         /* UNLOAD, LOADED */
	char engine[LIMIT_ENGINE_ID + 1]; /* LOADED, CURRENT */
	struct fleet_model model; /* PIN */
	bool on;
	struct fleet_gone gone;
	struct fleet_uses uses;
	struct engine_purge purge; /* PURGE */
	/* LOADED */
	enum err err;
	struct err_info why;
	int chan_fd;
	uint64_t engine_id;
	struct slot loaded; /* info and its strings only */
};

enum job_kind { JOB_LOAD, JOB_STOP, JOB_TUNED /* load.tuned and tuned_build are to be kept */ };
struct job { /* for a loader thread */
	enum job_kind kind;
	char digest[65], projector[65], engine[LIMIT_ENGINE_ID + 1];
	uint64_t engine_id, cpu_less;
	struct model_adapters adapters;
	struct engine_load load;
};

struct use { /* a request, as other threads see it */
	char digest[65];
	uint64_t person;
	bool running;
};

struct pin {
	struct fleet_model model; /* empty digest: free */
	int64_t retry_ms;
};

struct fleet {
	struct fleet_options opt;
	struct slot *slots;
	struct past past[FLEET_MODELS_MAX];
	char current[LIMIT_ENGINE_ID + 1]; /* build; written by the fleet's thread, under lock */
	char last_build[64]; /* of the engine that was loaded last */
	struct queue *jobs;
	pthread_t thread, loader[FLEET_LOADERS];
	bool thread_up;
	unsigned loaders_up;
	int wake_fd;
	atomic_uint_fast64_t next_id, queued_bytes, refused_busy;
	atomic_uint queued, retry_after_s;

	pthread_mutex_t lock;
	struct command *inbox, **inbox_tail;
	bool stopping;
	struct fleet_loaded published[FLEET_ENGINES_MAX];
	size_t n_published;
	struct use uses[FLEET_QUEUE_MAX];
	size_t n_uses;
	struct fleet_status status[FLEET_MODELS_MAX];
	size_t n_status;
	int64_t status_ms; /* when it was made; fleet's thread */
	bool status_due;
	struct fleet_totals totals;
	struct pin pins[FLEET_ENGINES_MAX]; /* written by the fleet's thread only */
	struct fleet_quarantined bad[FLEET_QUARANTINE_MAX]; /* ring */
	size_t n_bad;                                       /* ever put in */
};

/* All below: on the fleet's thread only. */

/* fleet_slot.c: requests and what engines say */
void slot_take_request(struct fleet *f, struct request *r);
void slot_cancel(struct fleet *f, uint64_t id);
void slot_unload(struct fleet *f, const char *digest);
void slot_channel_ready(struct fleet *f, struct slot *s);
void slot_send_waiting(struct fleet *f, struct slot *s);
struct slot *slot_find(struct fleet *f, const char *digest, const char *engine);
struct slot *slot_new(struct fleet *f, const struct fleet_model *m); /* WANTED; NULL: no memory */
void slot_free(struct fleet *f, struct slot *s);
void slot_stop_engine(struct fleet *f, struct slot *s);
void slot_touch(struct fleet *f, struct slot *s); /* it was used just now */
bool slot_running(const struct slot *s);          /* has requests at its engine */
void slot_fail_all(struct fleet *f, struct slot *s, enum err e, struct str why);
struct request *unlink_request(struct slot *s, struct request *r);
/* The last event of a request that is out of its slot; frees it. */
void request_fail(struct fleet *f, struct request *r, enum err why, struct str detail);
void request_done_empty(struct fleet *f, struct request *r, enum gen_reason reason);
void slot_free_all(struct fleet *f);

/* fleet_room.c: which engines run */
void slot_loaded(struct fleet *f, struct command *c);
/* Starts loads for which there is room, stops idle engines, sends what may be sent. */
void slot_run_all(struct fleet *f);
/* ms until slot_run_all() has something to do by time; -1: nothing */
int slot_next_deadline(struct fleet *f);
void slot_uses(struct fleet *f, const struct command *c);
/* As it was pinned; digest "": a free place; NULL: none. */
struct pin *pin_find(struct fleet *f, const char *digest, const char *engine);
bool slot_pinned(struct fleet *f, const char *digest, const char *engine);
void fleet_take_current(struct fleet *f, const char *id);
void pin_set(struct fleet *f, const struct fleet_model *m, bool on);

/* fleet_death.c: ends of engines, safer settings, quarantine */
struct fleet_step {
	const char *what;
	int8_t flash;
	uint32_t n_ubatch;
	unsigned ctx_by, seq_by; /* divisors */
};
extern const struct fleet_step fleet_steps[];
extern const unsigned fleet_step_count;
/* Its channel ended; or it must end, with the reason (static text). */
void death_lost(struct fleet *f, struct slot *s, const char *verdict);
void death_gone(struct fleet *f, const struct fleet_gone *g); /* the keeper's word */
void death_at_load(struct fleet *f, struct slot *s, const char *why);
void death_watch(struct fleet *f, struct slot *s, int64_t now); /* hung? judged by time? */
void death_survived(struct slot *s); /* it answered something */
void death_forgive(struct slot *s, int64_t now); /* after long work: as chosen again */
bool quarantined(struct fleet *f, const struct request *r);

/* fleet_see.c: the snapshot */
void fleet_publish(struct fleet *f);
/* What a request is for; a mere load is nobody's. With f->lock held. */
void fleet_publish_use(struct fleet *f, const struct request *r);
struct past *past_of(struct fleet *f, const struct fleet_model *m);
void stats_add(struct engine_stats *sum, const struct engine_stats *s); /* counters */

void fleet_wake(struct fleet *f);
/* fleet_purge.c: on the fleet's thread; and the way to it. Errors: ERR_NOMEM. */
void slot_purge_all(struct fleet *f, const struct engine_purge *p);
enum err fleet_command_purge(struct fleet *f, const struct engine_purge *p);
void request_free(struct request *r);
struct fleet_ask { /* one of them; all NULL: a mere load */
	const struct gen_request *gen;
	bool count; /* only the tokens of gen's prompt */
	const struct embed_request *embed;
	const struct tokens_request *tokens;
};
enum err fleet_submit(struct fleet *f, const struct fleet_model *m, const struct fleet_ask *ask,
	fleet_sink sink, void *arg, uint64_t *ret_id);

/* fleet_embed.c */
size_t request_embed_bytes(const struct embed_request *e); /* of its inputs */
enum err request_copy_embed(const struct embed_request *e, struct request *r);
enum err request_send_embed(struct slot *s, struct request *r);
/* Reads ENGINE_EMBEDDED into the event. Errors: ERR_PROTOCOL. */
enum err request_embedded(const struct request *r, struct ipc_in *m, struct fleet_event *ret);
uint64_t request_embedded_tokens(const struct embed_done *d);
void request_embed_hash(const struct embed_request *e, struct sha256 *h);

/* fleet_tokens.c */
size_t request_tokens_bytes(const struct tokens_request *q);
enum err request_copy_tokens(const struct tokens_request *q, struct request *r);
enum err request_send_tokens(struct slot *s, struct request *r);
/* Read ENGINE_TOKENED and ENGINE_COUNTED into the event. Errors: ERR_PROTOCOL. */
enum err request_tokened(const struct request *r, struct ipc_in *m, struct fleet_event *ret);
enum err request_counted(const struct request *r, struct ipc_in *m, struct fleet_event *ret);
void request_tokens_hash(const struct tokens_request *q, struct sha256 *h);
