/* models/pull_int.h - private to models/pull*.c and push.c.
 *
 * One pull = one thread (pull_run) that owns everything but the mailboxes. A stream's mailbox is
 * filled by egress' callback on the IPC thread under `lock`, which then rings `bell` (an eventfd);
 * the pull's thread empties it under the same lock. A stream is free again when its mailbox said
 * `ended`; pull_streams_stop() waits for that, so no callback meets freed memory. */
#pragma once

#include <pthread.h>

#include "models/pull.h"
#include "models/store_int.h"
#include "models/writer.h"
#include "net/egress_client.h"

enum { PULL_STREAMS_MAX = 16, PULL_WATCHERS_MAX = 64, PULL_HOPS_MAX = 5, PULL_AUTH_MAX = 2048,
	PULL_TOKEN_MAX = 16 * 1024 };

struct pull;
struct pull_mail {                       /* what egress said; under `lock` */
	bool ended;
	enum err code;                   /* OK: DONE */
	uint32_t status;
	uint64_t moved;                  /* bytes delivered */
	char detail[ERR_DETAIL_MAX];
	char location[URL_MAX + 1], auth[PULL_AUTH_MAX];
	char range[64]; /* how much of an upload a registry has */
	struct buf body;                 /* inline */
};
/* A request that is not a GET; zero but for source_fd, which is -1. */
struct pull_send {
	const char *method, *type; /* type: of what is sent; NULL: none */
	struct str body;           /* borrowed until the stream has started */
	int source_fd;             /* instead of a body; taken */
	uint64_t source_bytes;
	char range[64];            /* Content-Range; empty: none */
};
struct pull_stream {
	struct pull *pull;
	struct pull_mail mail;
	bool busy;                       /* out at egress, or waiting for begin_ms */
	bool out;                        /* egress has it */
	uint64_t id, from, to, credited; /* credited: bytes that already counted as progress */
	unsigned hops;
	int64_t begin_ms;                /* not before; 0: now */
	char url[URL_MAX + 1];
};
struct pull_watch { uint64_t id; pull_sink sink; void *arg; };

struct pull {
	struct pulls *pulls;
	struct model_name name, as;      /* where from, or to; what it will be called */
	bool insecure, push;
	char person[ID_LEN + 1];
	struct pull *next;               /* in the list of pulls; under pulls->lock */
	pthread_t thread;
	bool over;                       /* nothing of it runs any more; under pulls->lock */
	bool cancelled;                  /* under `lock` */

	pthread_mutex_t lock;            /* mailboxes, progress, watchers, cancelled */
	int bell;
	struct pull_progress progress;
	struct pull_watch watch[PULL_WATCHERS_MAX];
	size_t n_watch;
	pthread_mutex_t telling;         /* held while sinks run; taken before `lock` */

	/* the thread's own */
	struct pull_stream *stream;      /* PULL_STREAMS_MAX */
	char token[PULL_TOKEN_MAX];      /* for the registry's host; empty: none */
	bool has_login; /* one is stored for that host */
	bool basic;     /* the registry asks for it with each request */
	bool asks_token; /* the running question is the one for a token: the log-in goes along */
	char base[URL_MAX + 1];          /* "https://host/v2/ns/model" */
	struct manifest manifest;
	struct buf manifest_text;
	struct buf text[LAYER_KINDS];    /* small layers */
	uint64_t done_before;            /* bytes of layers that are finished */
	int64_t told_ms;
	struct writer_event event;
};
struct pulls {
	struct pulls_options o;
	pthread_mutex_t lock;            /* list, running, next_watch, closing */
	pthread_cond_t room;
	struct pull *first;
	unsigned running;
	uint64_t next_watch;
	bool closing;
};

/* pull.c */
bool pull_is_cancelled(struct pull *p);
/* Sets the status line and numbers and tells the watchers; `force`: even if they heard lately. */
void pull_tell(struct pull *p, const char *status, const char *digest, uint64_t total,
	       uint64_t completed, bool force);
/* What goes with the end of the progress. */
void pull_kept(struct pull *p, const struct model_kept *kept);
void pull_licence(struct pull *p, struct str title); /* told with the next progress */
/* pull_run.c: the whole pull, on its thread. */
enum err pull_run(struct pull *p, struct err_info *info);
/* The registry's address into p->base, and p->has_login. Errors: ERR_EGRESS .. */
enum err pull_base(struct pull *p, struct err_info *info);
/* push.c: the same for a push. */
enum err push_run(struct pull *p, struct err_info *info);
/* pull_http.c */
/* Sends the stream's url; [from, to) when to > from; the body goes to `sink` (dup'ed) or inline. */
enum err pull_stream_start(struct pull *p, struct pull_stream *s, int sink, uint64_t max_bytes,
			   struct err_info *info);
/* The same for what is not a GET; its answer comes inline. Takes out->source_fd. */
enum err pull_stream_send(struct pull *p, struct pull_stream *s, struct pull_send *out,
			  struct err_info *info);
/* Egress' number for the registry's log-in; 0: there is none. Errors: ERR_AGAIN .. */
enum err pull_login(struct pull *p, uint64_t *ret);
/* Does what a 401 asks for, once each: a token, or the log-in with each request. Errors:
 * ERR_UPSTREAM (it does not let us in; info says how to store a log-in) .. */
enum err pull_authenticate(struct pull *p, const struct pull_mail *m, struct err_info *info);
/* May the same request do better a little later? `status` of the answer, 0: none came. */
bool pull_may_get_better(enum err e, uint32_t status);
/* Pause before the next try, which doubles; false: it was cancelled. */
bool pull_pause(struct pull *p, unsigned tries);
/* Waits until a bell rang, `fd` (-1: none) is readable, or the time is over. Empties the bell. */
void pull_wait(struct pull *p, int fd, int timeout_ms);
/* Takes the mail of an ended stream and frees the stream. False: not ended. *ret borrows until the
 * stream starts again. */
bool pull_stream_take(struct pull *p, struct pull_stream *s, struct pull_mail **ret);
void pull_streams_stop(struct pull *p);
/* One inline GET below the registry's base, with redirects and a token when asked for. */
enum err pull_get(struct pull *p, const char *path, uint64_t max_bytes, struct buf *out,
		  struct err_info *info);
/* Next address of a redirect into url. Errors: ERR_UPSTREAM, ERR_EGRESS. */
enum err pull_redirect(struct pull *p, char url[URL_MAX + 1], const char *location,
		       struct err_info *info);
/* Gets a token as the 401's header asks. Errors: ERR_UPSTREAM, ERR_EGRESS .. */
enum err pull_get_token(struct pull *p, const char *challenge, struct err_info *info);
/* Error of a status that is neither 2xx nor 3xx nor 401. */
enum err pull_status_error(struct pull *p, uint32_t status, struct err_info *info);
/* pull_blob.c: brings one large layer whole into its place. */
enum err pull_blob(struct pull *p, const struct layer *l, struct err_info *info);
/* Waits for a writer in copy mode (a starter). */
enum err pull_copied(struct pull *p, struct ipc *control, const struct layer *l,
		     struct err_info *info);
