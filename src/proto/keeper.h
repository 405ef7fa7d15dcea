/* proto/keeper.h - what the keeper and the other roles say to each other.
 *
 * keeper -> role     HELLO (server: server_hello), ATTACH (a channel to another role), TLS_NEW,
 *                    ENGINE_GONE (u64 engine id, str digest, str build, u64 signal, u64 exit code,
 *                    bool out of memory), ENGINE_USES, ENGINE_CURRENT (str build: what runs now
 *                    where nobody keeps another), SHUTDOWN; and ANSWER to the role's requests
 *                    (same header id). A build is named by its id (models/builds.h)
 * role   -> keeper   READY, REFUSED (why it cannot start), and the requests below
 * ANSWER = u64 err code, str detail, then what the request's comment says (when code is OK). */
#pragma once

#include "base/crypto.h"
#include "os/ipc.h"

enum keeper_msg {
	HELLO = 0x100,
	READY,
	REFUSED,
	ATTACH,
	SHUTDOWN,
	TLS_NEW,
	ENGINE_GONE,
	ANSWER,
	ENGINE_USES, /* keeper -> server, every few seconds while there are engines: (str
	                    * digest, str build, u64 resident bytes, u64 of them its own, not of
	                    * files) until the end of the message */
	ENGINE_CURRENT,
	JAIL_JOB,    /* keeper -> jail: u64 kind (roles/jail.h), str digest, u64 size, str what,
	                    * u64 n, n fds of the job, fd channel to the server */
	JAIL_HASHED, /* jail -> keeper, of JAIL_HASH alone: str digest, u64 size */
	/* requests of the server */
	ASK_ENGINE,       /* str model digest (64 hex; with adapters the one models/adapter.h makes
	                    * of all), str its projector's or empty, str build (empty: the
	                    * current one), u64 cpu_less (0: the best instruction set this
	                    * machine has, 1: the next less, ..), engine_load fields without fd,
	                    * adapters_put() -> u64 engine id, str build, fd channel,
	                    * engine_info. The answer comes when the model is loaded, or
	                    * refused with the reason; ERR_BUILD: the build is missing,
	                    * damaged, or of another ENGINE_PROTO */
	ASK_ENGINE_STOP,  /* u64 engine id -> nothing */
	ASK_STAGE,        /* str digest, u64 size -> fd writer control channel, fd data sink.
	                    * models/writer.h says what travels on both */
	ASK_STAGE_LOCAL,  /* str starter name -> fd writer control channel (copies by itself) */
	ASK_COMMIT,       /* str digest: the writer said it is whole; the keeper waits for its exit
	                    * with 0 -> nothing */
	ASK_DELETE,       /* str digest: nobody names this blob any more -> nothing */
	ASK_GGUF,         /* str digest -> fd channel of a jail job that checks the header
	                    * (models/gguf_job.h) */
	ASK_IMAGE,        /* fd memfd with a picture's bytes -> fd channel of a jail job that makes
	                    * pixels of it (doc/image_job.h) */
	ASK_BLOBS,        /* what lies in models/blobs, for pruning and doctor
	                    * -> str: items of models/blobdir.h, one behind the other */
	ASK_MAKE,  /* u64 enum make_kind, str what, u64 room (bytes it
	                    * will need), u64 n, n x str digest of what it is made of
	                    * -> u64 number, fd channel (proto/make.h) */
	ASK_MADE,  /* u64 number: the job said it is done; the keeper waits for its exit with 0, has
	                    * the file hashed and gives it its name -> str digest, u64 size */
	ASK_UNMAKE, /* u64 number: nobody wants it -> nothing */
	ASK_SHARE, /* str folder, str digest: the blob of that name in the blobs of Ollama's folder,
	                    * checked and not copied -> bool linked (else cloned), u64 size */
	ASK_STAGE_FILE, /* the same, copied -> fd writer control channel, u64 size */
	ASK_AUDIT,        /* u64 n, n x str event (JSON) -> u64 first seq; durable */
	ASK_AUDIT_READ,   /* u64 before (0 = end), u64 count (at most 100) -> (u64 seq, i64 ms,
	                    * str event) newest first, until the end of the message */
	ASK_AUDIT_VERIFY, /* -> bool intact, u64 records, str report */
	ASK_SIGN,         /* str bytes -> str 32-byte HMAC under the audit key's signing branch */
	ASK_KEY_INFO,     /* -> str JSON {"kind":"file|passphrase|tpm","recovery":bool} */
	ASK_RECOVERY,     /* makes a recovery slot -> str code (shown once) */
	ASK_CACHE_PURGE, /* engine_purge fields: off the disk tier of every model, loaded or
	                  * not, and on to every engine -> nothing; durable */
	ASK_READ,        /* str digest, u64 from, u64 to -> fd stream socket: a jail job writes
	                    * those bytes of the blob into it, then closes */
	ASK_LOGIN_SEAL,  /* str host, u64 port, str user, str password -> str sealed, for the
	                    * database */
	ASK_LOGIN_USE,   /* str host, u64 port, str sealed -> u64 number by which egress, which
	                    * has been told, knows the log-in (proto/egress.h) */
	ASK_BUNDLE_SIGN, /* str 32-byte hash -> str 32-byte public key, str 64-byte Ed25519
	                    * signature of models/bundle.h */
	ASK_CACHE,       /* what the disk tier takes -> u64 files, u64 bytes, u64 limit of bytes a
	                    * model */
	ASK_DESCRIBE,    /* str digest, bool lists -> fd channel of a jail job that says what is in
	                  * the header (models/gguf_job.h) */
	ASK_BUILDS,      /* bool hash every file again -> (str id, str version, str tree, str
	                  * variant, u64 proto, bool current, u64 err code, str why) until the
	                  * end of the message: the engine builds that are installed */
};
enum role { ROLE_KEEPER, ROLE_SERVER, ROLE_EGRESS, ROLE_ENGINE, ROLE_JAIL };

/* HELLO to the server. Strings borrowed; fds owned by the holder, -1 = none. */
struct server_hello {
	struct str data_dir;
	struct str config; /* JSON: limits, behind_proxy, public_url, build, local_only, trial */
	struct str tls_cert, tls_key; /* PEM; empty: plain (loopback only) */
	uint8_t page_key[KEY_LEN], blob_key[KEY_LEN], name_key[KEY_LEN];
	int listen_fd[8];
	unsigned n_listen;
	int local_fd; /* listening Unix socket of the data directory */
};
void server_hello_put(struct ipc_out *m, struct server_hello *v);
enum err server_hello_get(struct ipc_in *m, struct server_hello *v);
/* ATTACH: which role is at the other end of fd. */
void attach_put(struct ipc_out *m, enum role peer, int fd);
enum err attach_get(struct ipc_in *m, enum role *peer, int *ret_fd);
void answer_put(struct ipc_out *m, enum err code, struct str detail);
/* Reads code and detail; returns OK also when *code is not OK. */
enum err answer_get(struct ipc_in *m, enum err *code, struct str *detail);

/* ---- the server's side: blocking calls on the keeper's channel. Before the first pump from any
 * thread, then from any but the one that pumps (it would wait for itself) ---- */
struct keeper_link; /* owns the channel; one thread (keeper_link_pump) reads it */
enum err keeper_link_new(struct ipc *c, struct keeper_link **ret); /* takes c */
struct keeper_link *keeper_link_free(struct keeper_link *k);
DEFINE_AUTO(keeper_link)
int keeper_link_fd(const struct keeper_link *k);
/* For the end, in this order: nobody pumps any more, so each caller reads for itself; then everyone
 * who still waits (an engine may load for minutes) gets ERR_CLOSED, and so does every later
 * call. */
void keeper_link_unpump(struct keeper_link *k);
void keeper_link_close(struct keeper_link *k);
/* Reads what is there: wakes callers whose ANSWER came; other messages go to `on`.
 * Errors: ERR_CLOSED (the keeper is gone: the role must end), ERR_PROTOCOL (fatal too). */
enum err keeper_link_pump(
	struct keeper_link *k, void (*on)(struct ipc_in *m, void *arg), void *arg);
/* Sends `m` and waits for its ANSWER; *ret is positioned after code and detail. `m`'s id is set
 * here. Errors: the answer's code (info gets its detail), ERR_TIMEOUT, ERR_CLOSED. */
enum err keeper_call(struct keeper_link *k, struct ipc_out *m, int timeout_ms, struct ipc_in *ret,
	struct err_info *info);
/* Sends without waiting for an answer (READY, REFUSED). Takes m's content. */
enum err keeper_tell(struct keeper_link *k, struct ipc_out *m);
