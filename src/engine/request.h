/* engine/request.h - one request inside the engine: its tokens, its sampler, its text.
 *
 * `feed` is all that has to be in the cells before the next token can be drawn: the prompt, then
 * each accepted token. A request that loses its cells (preempted) keeps `feed` and computes it
 * again; one that is resumed after a crash starts with more of it. Nothing else tells the two
 * states "reading the prompt" and "answering" apart. */
#pragma once

#include "base/json.h"
#include "engine/backend.h"
#include "engine/sampler.h"
#include "engine/text.h"

enum { REQUEST_DRAFTS = 7 };

struct request {
	struct request *next; /* the scheduler's lists */
	uint64_t id, person, order;
	uint8_t priority;
	bool strict, begun, cancelled, temporary;
	uint64_t group, object;
	uint32_t n_company, n_group;  /* leading tokens that may be shared, see engine_prompt */
	int64_t deadline_ns;          /* 0: none */
	uint32_t place;               /* in the queue, as told last; 0: not yet */
	size_t owed; /* tokens of its prompt it would still lack with equal shares */
	struct gen_sampling sampling; /* seed is the one in use */
	struct tokens feed;
	struct media_list media; /* places of the prompt that are rows of pictures */
	struct engine_picture *picture[GEN_PICTURES_MAX];
	unsigned n_pictures;
	uint32_t prompt_tokens, truncated_tokens, cached_tokens;
	uint32_t n_resume; /* accepted before this engine saw the request */
	uint32_t limit;    /* prompt and answer, tokens */
	struct sampler *sampler;
	struct text *text;
	struct buf bytes; /* of the token being read */
	struct engine_grammar *grammar;
	bool grammar_whole;  /* it rules the reasoning too */
	int32_t think_token; /* opens the reasoning where a grammar would not let it; -1 */
	/* what it was asked for; most requests have none of it */
	struct engine_chat *chat;
	json_t *schema;               /* owned; the finished answer is held against it */
	bool cut_matters, needs_call; /* a grammar was asked for; a call was */
	bool one_call, bad_calls;
	struct buf answer;          /* all of it, while there is a schema */
	struct buf calls, warnings; /* filled at the end */
	bool has_budget, call_begun;
	uint32_t budget, thought_tokens;   /* of reasoning: allowed, accepted */
	struct tokens end_tag, call_start; /* what may have to be written */
	const struct tokens *force;        /* one of them is being written; NULL */
	size_t force_at;
	bool logprobs;
	uint8_t top_logprobs;
	struct buf logprobs_json; /* entries since the last delta, an open array */
	float *row;               /* the model's logits before they are changed */
	int64_t added_ns, admitted_ns, first_ns, last_ns; /* 0: not yet */
	int32_t draft[REQUEST_DRAFTS]; /* guessed tokens in the batch being made */
	unsigned n_draft, may_draft; /* how many are tried next; 0: none yet */
	float accepts; /* of drafted tokens so far, smoothed; below a limit nothing is drafted */
	uint32_t draft_pause; /* tokens until the next try */
	/* owned by: */
	const struct engine_backend_ops *ops;
	void *backend;
};

struct request_error { /* what goes into GEN_FAILED */
	struct err_info info;
	uint32_t prompt_tokens, context_tokens;
};
/* Renders, counts, cuts if asked, and prepares sampler, grammar and text. Borrows ops and backend.
 * Errors: ERR_CONTEXT (with both counts), ERR_INVALID (an option, message, stop string or schema),
 * ERR_UNSUPPORTED, ERR_LIMIT, ERR_NOMEM. */
enum err request_new(const struct engine_backend_ops *ops, void *backend, uint64_t id,
	const struct gen_request *g, struct request **ret, struct request_error *why);
struct request *request_free(struct request *r);
/* Tokens of its prompt, however many there are. Errors: as above, but for ERR_CONTEXT. */
enum err request_count(const struct engine_backend_ops *ops, void *backend,
	const struct gen_request *g, uint64_t *ret, struct err_info *info);
DEFINE_AUTO(request)
/* How many tokens of an answer exist. */
uint32_t request_answer_tokens(const struct request *r);
/* Cells it may come to need. */
uint32_t request_cells(const struct request *r);
/* Draws the next token from its logits. Errors: sampler_pick()'s. */
enum err request_pick(struct request *r, float *logits, int32_t *ret);
/* Moves past a token that was drawn: sampler, grammar, budget. Errors: ERR_ENGINE, ERR_NOMEM. */
enum err request_accept(struct request *r, int32_t token);
/* May it go on? False: the limit of context or num_predict is reached. */
bool request_may_go_on(const struct request *r);
/* The text an accepted token adds, as text_add(). Errors: text_add()'s; it is over then. */
enum err request_read(struct request *r, int32_t token, struct buf *thought, struct buf *answer,
	bool *ret_stopped);
/* The last text; `token` is the end token that was drawn, -1 none. Errors: text_end()'s. */
enum err request_read_end(
	struct request *r, int32_t token, struct buf *thought, struct buf *answer);
/* Log probabilities for the next delta: valid until request_logprobs_sent(), then gone. */
struct str request_logprobs(struct request *r);
void request_logprobs_sent(struct request *r);
/* Checks the finished answer and fills stop, calls and warnings; they are valid as long as r. */
void request_finish(struct request *r, struct gen_done *d);
/* A line for whoever asked; without memory it is left out. */
[[gnu::format(printf, 2, 3)]] void request_warn(struct request *r, const char *fmt, ...);
