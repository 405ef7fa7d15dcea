/* chat/chat_int.h - private to chat/.
 *
 * An answer, from its question to its last byte:
 *
 *              chat_send, chats_recover
 *                        |
 *                     STARTING --fleet_start refused--+
 *                        |  fleet_start               |
 *                     RUNNING --DONE, FAILED, stop--> ENDED --stored durably--> (gone)
 *                        |                              ^ a write that fails is tried again
 *                        +-- conversation deleted, server ends --> DROPPED --> (gone)
 *
 * In the database the row is `streaming` until ENDED was stored; then `done`, `stopped` (with the
 * text so far) or `failed` (likewise, with slug and text). After a crash the rows that still are
 * `streaming` go through STARTING again, with their stored tokens.
 *
 * Invariants, all under chats.lock:
 *  - an answer is in chats.answers from before its row is committed until after its end is stored,
 *    so a row that is `streaming` and in nobody's list is one that no server works on;
 *  - content, thinking and tokens only grow, except when an engine that resumes tells another text
 *    than the one stored: then they are cut to what both say and `rewind` is sent;
 *  - after ENDED or DROPPED the fleet's events change nothing any more;
 *  - `refs` counts the list, the fleet (until its last event), and threads that hold a pointer.
 *
 * Threads: requests come from any thread; the fleet's thread runs the sink (memory and the hub
 * only, never the database); one thread of ours (flush) does all writes of answers. hub_tell() is
 * called without the lock; one answer's deltas come from one thread, so they stay in order. */
#pragma once

#include <pthread.h>

#include "base/json.h"
#include "base/random.h"
#include "chat/chat.h"
#include "chat/chat_sql.h"
#include "chat/hub.h"
#include "chat/search.h"

enum {
	CHAT_FLUSH_MS = 250,            /* longest time an accepted token is only in memory */
	CHAT_FLUSH_TOKENS = 64,         /* or as many of them */
	CHAT_RETRY_MS = 1000,           /* after a write that failed */
	CHAT_STOP_WAIT_MS = 10000,      /* a stop waits this long for its text to be durable */
	CHAT_CLOSE_WAIT_MS = 5000,      /* for the fleet's last words when the server ends */
	CHAT_EVENT_MAX = 32 * 1024 * 1024, /* bytes of one event: a whole message, escaped */
	CHAT_HISTORY_MAX = 16 * 1024 * 1024, /* bytes of text that go to an engine */
	CHAT_PIXELS_MAX = FLEET_QUEUE_BYTES / 2, /* and of pixels: others queue, too */
	CHAT_LIST_MAX = 200,            /* conversations a page */
	CHAT_TITLE_CHARS = 60,
	CHAT_CLIENT_ID_MAX = 64,
	CHAT_WARNINGS_MAX = 1024,       /* bytes */
};

enum answer_phase { ANSWER_STARTING, ANSWER_RUNNING, ANSWER_ENDED, ANSWER_DROPPED };

/* A text as the engine tells it: what is there, and how much of it this run has told so far. Less
 * than all of it only after a restart, while the engine repeats what was stored. */
struct told {
	struct buf text;
	size_t seen;      /* bytes */
	uint64_t units;   /* UTF-16 code units of `text` */
};
struct answer {
	struct answer *next;
	struct chats *chats;
	unsigned refs;
	enum answer_phase phase;
	char id[ID_LEN + 1], conversation[ID_LEN + 1], person[ID_LEN + 1], parent[ID_LEN + 1];
	struct fleet_model model;
	uint64_t fleet_id;
	struct told content, thinking;
	struct buf tokens;              /* int32, accepted */
	size_t tokens_stored;           /* bytes of them that are in the database */
	bool dirty, writing;            /* has something to store; is being stored */
	int64_t dirty_since_ms;         /* monotonic */
	char engine_build[64], template_hash[65];
	int64_t seed;                   /* -1: not known yet */
	struct buf warnings;            /* JSON strings with commas, without brackets */
	/* ENDED */
	const char *end_state;          /* "done", "stopped", "failed" */
	enum err error;
	char error_text[ERR_DETAIL_MAX];
	bool has_stats;
	struct gen_done stats;
};
struct chats {
	struct chat_options opt;
	pthread_mutex_t lock;
	pthread_cond_t wake;            /* flush thread: something to do */
	pthread_cond_t gone;            /* an answer left the list, or lost its last reference */
	struct answer *answers;
	unsigned outstanding;           /* the fleet still holds this many */
	int64_t retry_at_ms;            /* monotonic; 0: no write failed */
	bool closing, cond_up, thread_up;
	pthread_t thread;
};

/* A picture on the way to an answer. */
struct sight {
	char message[ID_LEN + 1];       /* whose it is */
	int64_t place;                  /* there */
	struct gen_picture pixels;      /* rgb_fd owned; -1: not looked at */
	const char *type;               /* static */
};
struct sights {
	struct sight v[GEN_PICTURES_MAX];
	unsigned n;
};
/* What an engine is asked with. */
struct past {
	struct buf input;               /* JSON array of {role, content} */
	struct gen_picture picture[GEN_PICTURES_MAX]; /* borrowed; content names them by place */
	unsigned n;
	uint64_t left_out;              /* messages */
};

/* ---- chat_answer.c: the list; all but answer_new need the lock ---- */
enum err answer_new(struct chats *c, struct answer **ret); /* one reference, not in the list */
void answer_unref(struct answer *a);
struct answer *answer_free(struct answer *a); /* one that was never shared */
void answer_list(struct answer *a);      /* takes the reference */
void answer_unlist(struct answer *a);    /* gives it back */
struct answer *answer_find(struct chats *c, struct str id);
bool conversation_generating(struct chats *c, struct str conversation);
/* Ends it: the flush thread stores it. `state` is static. No effect after ENDED or DROPPED. */
void answer_end(struct answer *a, const char *state, enum err error, struct str why);
void answer_warn(struct answer *a, const char *what, uint64_t n);

/* ---- chat_sink.c: what the fleet says ---- */
/* Starts the engine's work on `a` (listed, STARTING). Without lock. On error the answer is ENDED as
 * failed. */
void answer_start(struct answer *a, const struct past *past);
/* Sends an event to the answer's person. Without lock. */
void tell_delta(struct answer *a, uint64_t offset, struct str text, bool thinking);
void tell_rewind(struct chats *c, const struct answer *a, uint64_t offset);
uint64_t utf16_units(struct str utf8);

/* ---- chat_flush.c: the thread that stores answers ---- */
enum err flush_start(struct chats *c);
void flush_stop(struct chats *c);

/* ---- chat_json.c ---- */
/* The row under `r` as api's Message; text of a running answer comes from memory. *ret_orphan: the
 * row says streaming, but nobody works on it. */
void json_message(struct jw *w, struct chats *c, struct db_row *r, bool *ret_orphan);
void json_conversation(struct jw *w, struct chats *c, struct db_row *r);
/* The answer as it is in memory (ENDED), as api's Message. Lock held. */
void json_answer(struct jw *w, const struct answer *a, int64_t created_ms, int label);
/* Reads and writes one object; for replies and events. Errors: ERR_NOT_FOUND, db's. */
enum err load_message(struct chats *c, struct str id, struct buf *out);
enum err load_conversation(struct chats *c, struct str id, struct buf *out, char *ret_person);
/* Reads the object and tells its person's pages. */
void tell_message(struct chats *c, const char *person, struct str conversation, struct str id);
void tell_conversation(struct chats *c, struct str id);
/* The question's first words. */
enum err title_of(struct str question, struct buf *out);

/* ---- chat_history.c ---- */
/* What was said from the beginning down to `message`; `s` has the path's pictures, and outlives
 * *ret. */
enum err history_of(struct chats *c, struct str message, const struct sights *s, struct past *ret);

/* ---- chat_pictures.c ---- */
void sights_done(struct sights *s);
#define AUTO_SIGHTS [[gnu::cleanup(sights_done)]]
bool sights_any(const struct sights *s, struct str message);
/* Looks at what a question brings, for the message that it will be. Errors: ERR_INVALID (too many,
 * or the picture's fault: info says which and why), the jail's. */
enum err sights_look(struct chats *c, const struct chat_send *in, const char *message,
		     struct sights *ret, struct err_info *info);
/* In the question's transaction. Errors: ERR_TOO_LARGE, ERR_NOT_FOUND (one that is to be taken
 * again), the database's. */
enum err sights_store(struct db_conn *conn, struct str conversation, const char *message,
		      const struct chat_send *in, const struct sights *fresh,
		      struct err_info *info);
enum err path_has_pictures(struct db_conn *conn, struct str message, bool *ret);
/* Those on the path down to `message`, looked at; what stands in `fresh` is taken from there. The
 * newest, up to GEN_PICTURES_MAX and CHAT_PIXELS_MAX. *ret_left_out: the others. */
enum err sights_of_path(struct chats *c, struct str message, struct sights *fresh,
			struct sights *ret, uint64_t *ret_left_out, struct err_info *info);
