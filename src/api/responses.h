/* api/responses.h - private to responses*.c: one request to OpenAI's Responses API.
 *
 * Source: OpenAI API reference "Responses" and its streaming events, and the types of OpenAI's own
 * Python client.
 *
 * An answer is a list of items, one open at a time: reasoning and message in the order in which the
 * model says them, then its calls. It lives as long as the request. It is told on the fleet's
 * thread; one that is kept is stored by a thread of chat/responses.h first, and its end is
 * told from there. */
#pragma once

#include "api/gen.h"
#include "api/pictures.h"
#include "chat/responses.h"

enum {
	RESP_ID_MAX = 5 + ID_LEN + 1,            /* "resp_" and an id */
	RESP_ITEM_ID_MAX = 64,                   /* of an item that a client names */
	RESP_INPUT_MAX = LIMIT_HTTP_BODY + 1024 * 1024, /* a request's items as they are kept */
	RESP_CHAIN_MAX = LIMIT_HTTP_BODY,        /* what a chain adds to a request */
	RESP_BODY_MAX = LIMIT_REQUEST_ARENA,     /* the Response as JSON */
	RESP_STREAM_MAX = 768 * 1024,            /* text of an answer that is streamed: its end says
						  * it three times, and 4 MiB may be unsent */
	RESP_STREAM_LOGPROBS_MAX = 2560 * 1024,  /* and its log probabilities, said once more */
	RESP_AGAIN_MAX = 512 * 1024,             /* instructions and tools that events repeat */
	RESP_METADATA_MAX = 16,                  /* pairs */
	RESP_METADATA_KEY_MAX = 64,              /* characters */
	RESP_METADATA_VALUE_MAX = 512,
};

enum resp_kind { RESP_REASONING, RESP_MESSAGE, RESP_CALL };
struct resp_item {
	struct resp_item *next;
	enum resp_kind kind;
	int64_t index;              /* in the answer */
	char id[RESP_ID_MAX];
	struct buf text;            /* of a call: its arguments */
	struct buf logprobs;        /* "[{..},{..}": without its end */
	const json_t *call;         /* {id, name, ..}, borrowed from gen->calls */
	bool whole;                 /* it was not cut */
};
enum resp_status { RESP_IN_PROGRESS, RESP_COMPLETED, RESP_INCOMPLETE, RESP_FAILED, RESP_CANCELLED };

struct resp {
	struct gen *g;
	char id[RESP_ID_MAX];
	/* what was asked */
	const json_t *body;         /* the call's */
	bool count;                 /* only its tokens are wanted */
	bool store, background;
	bool again;                 /* its events repeat instructions and tools */
	struct str tools, format;   /* JSON as the Response says them again; STR_NONE: none */
	struct str input;           /* this request's items as JSON array */
	char previous[ID_LEN + 1], root[ID_LEN + 1]; /* empty: none */
	/* what became of it */
	enum resp_status status;
	struct arena *items;        /* theirs: the call's is its handler's while the model begins */
	struct resp_item *first, *last, *open; /* open: last, while it is being told */
	size_t bytes, logprob_bytes;
	int64_t seq;                /* of the next event */
	bool created;               /* response.created was sent */
	int64_t completed_ms;
	bool used;                  /* usage is known */
	uint32_t prompt_tokens, cached_tokens, answer_tokens;
	enum gen_reason reason;
	struct err_info error;      /* FAILED, CANCELLED */
	/* while it is made, if it is kept */
	struct response_run run;
};

/* "msg_" and a new id. */
void resp_new_id(const char *prefix, char dst[RESP_ID_MAX]);

/* ---- responses_read.c, responses_input.c, responses_talk.c: what comes in ---- */

/* Reads a request into r, r->g->options and q. Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_FORBIDDEN
 * (share), ERR_TOO_LARGE, ERR_NOMEM, picture_decode()'s; call.param and info say which field. */
enum err resp_read(struct resp *r, struct gen_request *q);
/* Writes `input` (a string, or a list of items) as the items that are kept: each with type, id,
 * status, and content as a list. Errors: as above. */
enum err resp_input(struct gen *g, const json_t *input, struct buf *out);
/* Makes q->input and q->picture of instructions and items, both checked; the first `before` of them
 * are a chain's. */
enum err resp_talk(struct gen *g, struct str instructions, const json_t *items, size_t before,
	struct gen_request *q);

/* ---- responses_write.c: what goes out ---- */

/* The Response. `stream`: as an event says it. */
void resp_object(struct resp *r, bool stream, struct jw *w);
void resp_item_json(const struct resp_item *i, bool empty, struct jw *w);
/* The item that a delta belongs to, opened if need be; NULL: no memory. *ret_opened: it is new, and
 * *ret_closed (or NULL) ended for it. */
struct resp_item *resp_item_for(
	struct resp *r, bool thinking, struct resp_item **ret_closed, bool *ret_opened);
enum err resp_item_add(struct resp *r, struct resp_item *i, const struct gen_delta *d);
/* The answer has ended: sets status and usage, and adds its calls as items (*ret_calls: the first,
 * or NULL). Errors: ERR_NOMEM, ERR_LIMIT. */
enum err resp_finish(struct resp *r, const struct gen_done *d, struct resp_item **ret_calls);
void resp_stopped(struct resp *r, const struct err_info *e); /* it failed or was cancelled */

/* ---- responses_events.c: a stream ---- */

void resp_on_begun(struct gen *g, struct buf *out);
void resp_on_delta(struct gen *g, const struct gen_delta *d, struct buf *out);
/* Everything but the last event, for which see resp_last_event(). */
void resp_on_done(struct gen *g, const struct gen_done *d, struct buf *out);
void resp_on_failed(struct gen *g, const struct err_info *e, struct buf *out);
void resp_last_event(struct resp *r, struct buf *out);
