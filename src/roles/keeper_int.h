/* roles/keeper_int.h - private to roles/keeper*.c.
 *
 * The keeper is one thread around poll(). It parses nothing from outside: what reaches it are typed
 * messages of the server (a bad one costs the server its life) and single words of other roles.
 *
 * Children: one server, one egress, an engine per loaded model, a jail per job. Server or egress
 * gone: started again, the survivors get a new channel by ATTACH. Engine gone: the server sees its
 * channel end and asks again. The keeper gone: all others end with it (PDEATHSIG, end of
 * channel). */
#pragma once

#include <sys/types.h>

#include "models/adapter.h"
#include "models/blobdir.h"
#include "models/builds.h"
#include "os/cores.h"
#include "os/others.h"
#include "os/ipc.h"
#include "proto/engine.h"
#include "proto/keeper.h"
#include "roles/keeper.h"
#include "vault/audit_log.h"
#include "vault/keyring.h"
#include "vault/tls.h"

enum {
	KEEPER_LISTEN_MAX = 8,
	KEEPER_CHILDREN_MAX = 64,
	KEEPER_STOP_MS = 8000,    /* the server's time to end by itself */
	KEEPER_SAVE_MS = 10000,   /* then the engines' */
	KEEPER_ORPHAN_MS = 60000, /* an engine nobody asked for after the server's restart */
	KEEPER_LOOK_MS = 5000,    /* the loop comes round at least so often */
	KEEPER_USES_MS = 3000,    /* between two measurements of what engines use */
	/* The same of what others use: while engines work, or have done so within the last minute,
	 * so that the next question finds what is true now; and otherwise. */
	KEEPER_OTHERS_MS = 250,
	KEEPER_OTHERS_REST_MS = 1000,
	KEEPER_OTHERS_AWAKE_MS = 60000,
	KEEPER_WHOLE_MAX = 16,
	KEEPER_MAKES_MAX = 8,     /* model files under way at once */
	KEEPER_PURGED_MAX = 16,   /* purges during an engine's life before all it wrote goes */
	KEEPER_TLS_EVERY_MS = 24 * 3600 * 1000,
	KEEPER_RESTART_BURST = 5, /* restarts within KEEPER_RESTART_WINDOW_MS without a pause */
	KEEPER_RESTART_WINDOW_MS = 10000,
};

struct child {
	struct child *next;
	enum role role;
	pid_t pid;
	int pidfd;
	struct ipc *chan;
	bool ready, dead; /* dead: channel closed, waiting for its exit status */
	uint64_t ask_id;  /* the server's request that waits for this child; 0: none */
	uint64_t makes;   /* jails: the number of the file they make or hash; 0: none */
	bool writes;      /* jails: writes a blob; its exit with 0 makes it whole */
	/* engines */
	uint64_t engine_id;
	char digest[65];         /* engines and jails: the blob they work on */
	char projector[65];      /* an engine's second blob; empty: none */
	char engine[LIMIT_ENGINE_ID + 1]; /* the build it runs */
	bool told_to_end;
	uint32_t cores_place;    /* in the keeper's page; CORES_PLACES: none */
	uint64_t cpu_ns;         /* an engine's, when it was looked at last */
	int server_end;          /* channel end to hand to the server once loaded; -1 */
	int64_t orphan_since_ms; /* 0: a server uses it */
	struct engine_info info; /* strings in the arrays below */
	char build[64], template_hash[65], architecture[64], description[128],
		tuned[ENGINE_TUNED_MAX + 1], cards[ENGINE_CARDS_TEXT_MAX + 1];
	struct engine_purge purged[KEEPER_PURGED_MAX]; /* to walk again when it has ended */
	unsigned n_purged;
};

/* A model file that is made or shared here: a job writes it (or it is there at once), a second one
 * hashes it, then it gets its name. */
struct making {
	uint64_t number; /* 0: a free place */
	/* A job writes it; it is whole; a job hashes it. */
	enum { MAKING_WRITTEN, MAKING_WHOLE, MAKING_HASHED } step;
	uint64_t ask_id; /* the request that waits for its name; 0: none yet */
	bool shared, linked, unwanted;
	char want[65];   /* shared: the digest it must have */
	char digest[65]; /* what its hash job said; empty: nothing yet */
	uint64_t size;
};

struct keeper {
	const char *dir; /* absolute */
	struct config config;
	struct config file; /* tresor.conf as last read, without the command line */
	int lock_fd, local_fd, signal_fd;
	int listen_fd[KEEPER_LISTEN_MAX];
	unsigned n_listen;
	bool tls_needed, stopping, fatal;
	struct keyring *keys;
	struct audit_log *audit;
	struct blobdir *blobs;
	struct builds *builds;
	char current[LIMIT_ENGINE_ID + 1]; /* build; empty: none */
	struct tls_pair tls; /* in force; empty without TLS */
	struct child *children;
	uint64_t next_engine, next_login;
	struct cores *cores; /* which engines are at work; NULL: they are not told */
	struct others *others;     /* NULL: not known */
	int64_t next_others_ms, at_work_ms; /* when engines were last seen at work */
	int cores_fd;
	int64_t next_tls_ms; /* monotonic */
	int64_t stop_deadline_ms, save_deadline_ms, restarts_ms[KEEPER_RESTART_BURST];
	unsigned next_restart;
	char whole[KEEPER_WHOLE_MAX][65]; /* blobs whose writer ended well, not yet committed */
	unsigned next_whole;
	struct making making[KEEPER_MAKES_MAX];
	uint64_t next_making;
	int64_t next_uses_ms;
	uint64_t oom_kills; /* of the machine, as last seen */
};

/* keeper_child.c */
/* `env`: what it gets beside the usual, "NAME=value", NULL at the end; or NULL. */
enum err child_spawn(
	struct keeper *k, enum role role, const char *const *env, struct child **ret);
/* Both ends of a new channel: one to `a` by ATTACH (who is at the other end: `b`), one in *ret. */
enum err child_attach(struct child *a, enum role b, int *ret_other);
struct child *child_find(struct keeper *k, enum role role); /* living; NULL: none */
struct child *child_engine(struct keeper *k, uint64_t id);
void child_kill(struct keeper *k, struct child *c);
void child_exited(struct keeper *k, struct child *c); /* pidfd became readable; frees c */
enum err keeper_start_egress(struct keeper *k);
enum err keeper_start_server(struct keeper *k);
/* Starts a jail job with the descriptors in `fds` (taken) and the server's channel end in *ret. */
struct jail_wish {
	uint64_t kind; /* enum jail_kind */
	struct str digest;
	uint64_t size, makes;
	struct str what;
	const char *engine; /* folder of the engine build it loads; NULL: none */
};
enum err jail_start(
	struct keeper *k, const struct jail_wish *w, int *fds, unsigned nfds, int *ret_channel);
bool writer_was_whole(struct keeper *k, struct str digest); /* and forgets it */

/* keeper_cache.c */
/* Fills disk_bytes, cache_fd and cache_key; without a cache (warned of) disk_bytes is 0. */
void cache_open(struct keeper *k, const char *digest, struct engine_load *load);
/* In every file, durable; and passed on to the engines. Errors: from errno: something may stay. */
enum err cache_purge(struct keeper *k, const struct engine_purge *p);
void cache_engine_ended(struct keeper *k, struct child *c); /* its process is gone */
enum err cache_delete(struct keeper *k, struct str digest);  /* missing is OK */
enum err cache_usage(struct keeper *k, uint64_t *ret_files, uint64_t *ret_bytes);
/* keeper_engine.c */
/* Which build is current: at the start and at SIGHUP, so that none changes by itself. Warns where
 * there is none. */
void engines_current(struct keeper *k);
struct engine_wish { /* ASK_ENGINE */
	char digest[65], projector[65], engine[LIMIT_ENGINE_ID + 1];
	uint64_t cpu_less;
	struct model_adapters adapters;
	struct engine_load load; /* without its descriptor */
};
enum err engine_start(
	struct keeper *k, uint64_t ask_id, const struct engine_wish *w, struct err_info *info);
void engine_spoke(struct keeper *k, struct child *c, struct ipc_in *m);
void engine_exited(struct keeper *k, struct child *c, int status); /* by waitpid() */
void engines_orphaned(struct keeper *k);
void engines_sweep(struct keeper *k);
void engines_measure(struct keeper *k); /* tells the server, when it is time */
void engines_watch_oom(struct keeper *k); /* once, at the start */
void engines_share_cores(struct keeper *k); /* once, at the start */
/* What others use of the CPUs, now and then while there are engines. Returns after how many ms it
 * is due again. */
int engines_leave_cores(struct keeper *k);

/* keeper_make.c */
enum err ask_make(struct keeper *k, struct child *server, struct ipc_in *m);
enum err ask_made(struct keeper *k, struct child *server, struct ipc_in *m);
enum err ask_unmake(struct keeper *k, struct child *server, struct ipc_in *m);
enum err ask_share(struct keeper *k, struct child *server, struct ipc_in *m);
enum err ask_stage_file(struct keeper *k, struct child *server, struct ipc_in *m);
void maker_spoke(struct keeper *k, struct child *c, struct ipc_in *m);
void maker_exited(struct keeper *k, struct child *c, bool well); /* of a jail that `makes` */
void makes_orphaned(struct keeper *k); /* the server is gone: nobody wants them any more */

/* keeper_ask.c */
/* A blob's writer over the partial file; `source` (bytes' sink or a file) is taken. */
enum err start_writer(struct keeper *k, uint64_t kind, struct str digest, uint64_t size,
	int source, int *ret_channel, struct err_info *info);
/* Handles one request of the server. Errors: ERR_PROTOCOL: the server must go. */
enum err keeper_ask(struct keeper *k, struct child *server, struct ipc_in *m);
void answer_error(struct child *to, uint64_t id, enum err e, const char *detail);

/* keeper_start.c */
enum err keeper_open(struct keeper *k, struct err_info *info); /* lock, keys, audit, TLS, sockets */
void keeper_close(struct keeper *k);
enum err keeper_reload(struct keeper *k, struct err_info *info); /* SIGHUP: certificate */
/* Once a day: an own certificate is renewed before it ends, a given one is read again (whoever
 * renewed it need not tell us), and one that ends within 30 days is warned of. */
void keeper_tls_daily(struct keeper *k);
