/* api/gen.h - one generation asked for by an API: from a request to the fleet, and its events back
 * into that API's form, as a stream or in one piece.
 *
 * A struct gen lives in the request's arena. The fleet's side holds the request until DONE or
 * FAILED; its sink runs on the fleet's thread. A client that goes cancels. Nothing of a form
 * blocks. */
#pragma once

#include "api/options.h"
#include "models/fleet.h"
#include "models/own.h"

struct gen;
struct gen_group;
/* How an API writes. `out` gets bytes as they go to the client. */
struct gen_form {
	const char *stream_type; /* media type of a stream */
	void (*begun)(struct gen *g, struct buf *out); /* a stream begins; NULL: with the text */
	void (*delta)(struct gen *g, const struct gen_delta *d, struct buf *out);
	void (*done)(
		struct gen *g, const struct gen_done *d, struct buf *out); /* end of a stream */
	void (*whole)(struct gen *g, const struct gen_done *d, struct buf *out);  /* all in one */
	void (*failed)(struct gen *g, const struct err_info *e, struct buf *out); /* mid-stream */
	/* Texts that this API's clients match on; NULL leaves info as it is. */
	void (*explain)(struct gen *g, struct err_info *e);
	/* After gen_count(): how many tokens the prompt has. NULL: nobody counts. */
	void (*counted)(struct gen *g, uint64_t tokens, struct buf *out);
	/* Gathers an answer in one piece; NULL: into text, thinking and logprobs below. An error
	 * ends the request. */
	enum err (*gather)(struct gen *g, const struct gen_delta *d);
	/* The answer has ended: after ->done or ->whole (then `failed` is NULL), or instead of
	 * ->failed. True: something comes before its end is told, which whoever does it tells by
	 * gen_end() or gen_fail(). NULL: never. Not for groups. */
	bool (*keep)(struct gen *g, const struct err_info *failed);
};
struct gen {
	struct call *c;
	const struct gen_form *form;
	void *of_form; /* what the form keeps */
	struct model_entry model;
	char shown_model[LIMIT_MODEL_NAME + 1]; /* as the client named it */
	struct fleet_model target;
	struct model_own own; /* what the model brings */
	struct str template_; /* its explicit one, or the request's; empty: the file's own */
	bool stream;
	struct gen_options options;
	/* filled on the way */
	_Atomic uint64_t id; /* the fleet's; 0 not yet */
	int64_t start_ns, created_s;
	bool begun, streaming;
	struct gen_begun told;
	uint32_t too_long, holds; /* ERR_CONTEXT: tokens of the prompt, of the context */
	int64_t load_ns;
	uint32_t n_ctx;
	char build[64], template_hash[65];
	char engine[LIMIT_ENGINE_ID + 1]; /* the id of the engine's build */
	struct buf text, thinking; /* of an answer in one piece */
	struct buf logprobs;       /* of an answer in one piece: a JSON array, or empty */
	json_t *calls;             /* at the end: [{id, name, arguments}]; NULL none; owned */
	unsigned index;            /* of several answers to one request */
	struct gen_group *group;   /* NULL: one answer */
	uint64_t thinking_tokens;  /* of the answer so far */
	enum err gathering;        /* what ->gather said */
	bool kept;                 /* its end is somebody else's: see gen_form.keep */
	bool detached;             /* nobody waits: a client that goes ends nothing */
	bool over, finished;
};

/* Several answers to one request, in parallel. Everything by the fleet's thread and, while they are
 * started, by the worker's: under `lock`. */
enum { GEN_CHOICES_MAX = 8 };
struct gen_group {
	pthread_mutex_t lock;
	struct gen *of[GEN_CHOICES_MAX];
	struct gen_done done[GEN_CHOICES_MAX]; /* of those that have ended; without the strings */
	unsigned n, ended;
	bool failed; /* one did: the others are cancelled, and say nothing more */
};

/* Finds a model by the name or alias that a client gave; none: the default one. The answer will
 * name its version (MODEL_DIGEST_HEADER). `shown` is set also on ERR_NOT_FOUND. Errors:
 * ERR_NOT_FOUND, ERR_INVALID, ERR_FORBIDDEN (call_model()), and the store's. */
enum err gen_model(struct call *c, struct str name, char shown[LIMIT_MODEL_NAME + 1],
	struct model_entry *ret);
/* Finds the model and its own params. `what` is "chat" or "generate": for the error of a model that
 * cannot. Errors: ERR_NOT_FOUND, ERR_INVALID, ERR_NOMEM, ERR_UNSUPPORTED. */
enum err gen_new(struct call *c, struct str model, const char *what, const struct gen_form *form,
	struct gen **ret);
/* Makes g the first of n answers, 2 to GEN_CHOICES_MAX, to what gen_start() is given: form->delta
 * and ->done are called for each, ->whole once for the first when all are there. Seeds count up.
 * Errors: ERR_NOMEM. */
enum err gen_choices(struct gen *g, unsigned n);
bool gen_is_last(const struct gen *g); /* in ->done: no other of its group still runs */
/* Starts. What g->options says, and whose request it is, are filled into `r` here.
 * Errors: ERR_BUSY, ERR_NOMEM: then nothing was answered. */
enum err gen_start(struct gen *g, struct gen_request *r);
/* Starts one that goes on without its client. A stream is told to whoever is there; else the caller
 * answers, and nothing is told at the end. What happens to it is form->keep's. Errors: as above,
 * and as fleet_start(): then nothing was begun. */
enum err gen_start_detached(struct gen *g, struct gen_request *r);
/* The end that form->keep put off, once, from any thread: `out` is the end of the stream, or the
 * whole answer. `g` is not there any more afterwards. */
void gen_end(struct gen *g, const struct buf *out);
void gen_fail(struct gen *g, struct err_info *info);
/* The same without an answer: form->counted gets the tokens of the prompt. Errors: as above. */
enum err gen_count(struct gen *g, struct gen_request *r);
/* A list that is JSON, from an engine, behind what `list` has ("[{..},{..}": without its end).
 * Errors: ERR_BAD_JSON, ERR_LIMIT, ERR_NOMEM. */
enum err gen_add_logprobs(struct buf *list, struct str more);
uint64_t gen_person(const struct subject *s); /* a stable number, for fairness and the cache */
const char *gen_reason_text(enum gen_reason r); /* "stop", "length" */
/* The text of a JSON value in the request's arena. Errors: ERR_NOMEM, ERR_LIMIT. */
enum err gen_json_text(struct call *c, const json_t *v, struct str *ret);
/* logprobs (a bool; absent: off) and top_logprobs, as both APIs have them. Errors: ERR_INVALID. */
enum err gen_logprobs(struct call *c, const json_t *body, struct gen_request *r);
/* model_digest, engine_build, template_hash, seed: into an open object. */
void gen_origin_json(const struct gen *g, struct jw *w);

/* Messages for the template: a JSON array being built. */
struct gen_messages {
	struct buf buf;
	struct jw w;
	bool any, system;
};
enum err gen_messages_new(struct call *c, struct gen_messages **ret); /* in the arena */
/* `share`: gen_share()'s, or STR_NONE. */
void gen_message_add(
	struct gen_messages *m, struct str role, struct str content, struct str share);
/* "share" beside role and content: who may start from what is read for this message. STR_NONE: the
 * person alone, which is also what "person" says. `where` names it: "messages[3].share". Errors:
 * ERR_INVALID (another word), ERR_FORBIDDEN (wider than the person, without the right). */
enum err gen_share(struct gen *g, const json_t *of, const char *where, struct str *ret);
/* Content with pictures: a JSON list being built of texts and of places in gen_request.picture. */
struct gen_parts {
	struct buf buf;
	struct jw w;
};
void gen_parts_init(struct gen_parts *p);
void gen_parts_text(struct gen_parts *p, struct str text); /* empty: nothing */
void gen_parts_picture(struct gen_parts *p, unsigned i);
void gen_parts_done(struct gen_parts *p);
#define AUTO_PARTS [[gnu::cleanup(gen_parts_done)]]
/* gen_message_begin() with such a list. Errors stick to m. */
struct jw *gen_message_begin_parts(
	struct gen_messages *m, struct str role, struct gen_parts *content, struct str share);
/* The same with calls, or as the result of one: the message's fields beside role and content are
 * written by the caller between these two. */
struct jw *gen_message_begin(
	struct gen_messages *m, struct str role, struct str content, struct str share);
void gen_message_end(struct gen_messages *m);
/* tool_calls of a message of either API: arguments an object or a string of JSON, as text for the
 * template. Errors: ERR_INVALID (info names the place). */
enum err gen_message_calls(
	struct call *c, struct gen_messages *m, const json_t *calls, size_t at);
struct str gen_messages_end(struct gen_messages *m);
/* The model's own system text and example messages, where the request brings no system text. They
 * are the same for everybody, so everybody starts from them. */
void gen_messages_of_model(struct gen *g, struct gen_messages *m, bool request_has_system);
