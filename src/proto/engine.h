/* proto/engine.h - what the server and an engine say to each other (one engine = one loaded model).
 *
 * keeper -> engine   ENGINE_LOAD, then ATTACH (proto/keeper.h) with the server's channel; a new
 *                    ATTACH replaces the old server: its requests are cancelled.
 * engine -> keeper   ENGINE_READY or ENGINE_REFUSED, once.
 * server -> engine   GEN_START, GEN_CANCEL, ENGINE_COUNT
 * engine -> server   GEN_BEGUN, GEN_DELTA.., then exactly one of GEN_DONE or GEN_FAILED;
 *                    ENGINE_COUNTED or GEN_FAILED for a count; ENGINE_STATS every second while
 *                    busy and once when idle;
 *                    GEN_QUEUED while a request waits and its place changes; ENGINE_TUNED (one str:
 *                    engine_info.tuned) when it measured what suits the model here.
 * server -> engine   ENGINE_PURGE: what a person or a conversation left in the prefix cache goes.
 * The message header's id is the request's id, chosen by the server, unique per engine. */
#pragma once

#include "base/crypto.h"
#include "os/ipc.h"
#include "proto/cards.h"

/* The number of what a program and an engine.so of another build must have in common: the messages
 * here, in embed.h, tokens.h and ATTACH, their numbers, enum err (grows at its end), the wire of
 * os/ipc.h, os/cores.h, store/kvfile.h, and what engine/engine.h exports. engine.so exports it, its
 * build's manifest says it, and one with another number is refused. wire_test.c holds the bytes of
 * every message: who changes one raises this. */
enum { ENGINE_PROTO = 2 };

enum engine_msg {
	ENGINE_LOAD = 0x200,
	ENGINE_READY,
	ENGINE_REFUSED,
	GEN_START,
	GEN_CANCEL,
	GEN_BEGUN,
	GEN_DELTA,
	GEN_DONE,
	GEN_FAILED,
	ENGINE_COUNT,
	ENGINE_COUNTED,
	ENGINE_STATS,
	GEN_QUEUED,
	ENGINE_PURGE,
	ENGINE_TUNED,
	ENGINE_EMBED,
	ENGINE_EMBEDDED, /* proto/embed.h */
	ENGINE_TOKENS,
	ENGINE_TOKENED, /* proto/tokens.h */
};

enum {
	ENGINE_TUNED_MAX = 255,       /* bytes */
	ENGINE_CARDS_TEXT_MAX = 511,  /* bytes */
	ENGINE_ADAPTERS_MAX = 4,
};
/* Load parameters: the only ones that need a reload. 0 = the engine chooses. */
struct engine_load {
	int model_fd;   /* read-only; owned by the struct's holder */
	bool has_projector; /* a model that sees: its second file; owned as above */
	int projector_fd;
	/* LoRA files, each used with scale 1; owned as above, and from the keeper only. */
	unsigned n_adapters;
	int adapter_fd[ENGINE_ADAPTERS_MAX];
	/* The cards it computes on, by layers in this order and these shares; 0: the processor. */
	unsigned n_cards;
	struct card_use card[CARDS_MAX];
	uint32_t n_ctx; /* cells in all, shared by the sequences */
	uint32_t n_seq; /* sequences decoded together */
	uint32_t n_threads, n_batch, n_ubatch;
	int32_t n_gpu_layers; /* -1 all */
	uint32_t n_ctx_own;   /* positions of a stream of the second pool (requests that share
				    nothing); 0: chosen */
	int8_t flash;         /* -1: chosen, 0 off, 1 on */
	uint64_t cache_bytes; /* RAM tier of the prefix cache; 0: chosen */
	/* What an engine measured here before (engine_info.tuned) and its build; an engine of
	 * another build measures again. Empty: nothing is known. */
	char tuned[ENGINE_TUNED_MAX + 1], tuned_build[64];
	/* From the keeper only (not in engine_params), as the projector is: the page in which
	 * engines say that they are at work (os/cores.h), and its place there. */
	bool has_cores;
	int cores_fd; /* owned by the struct's holder */
	uint32_t cores_place;
	/* The disk tier. */
	uint64_t disk_bytes; /* its limit; 0: there is none, and the fields below say nothing */
	int cache_fd;        /* read and write; owned by the struct's holder */
	uint8_t cache_key[KEY_LEN]; /* of this model's file; to be wiped after use */
};
struct engine_info {    /* borrowed strings: valid while the message is */
	uint32_t n_ctx; /* tokens of prompt and answer that one request may have */
	uint32_t n_ctx_train, n_seq, n_vocab, n_threads;
	uint64_t model_bytes, kv_bytes; /* measured */
	bool has_template;
	bool gpu;         /* it computes on a card, on: */
	struct str cards; /* their names as the driver says them, joined by " + " */
	/* What the model can do: `writes` text; give vectors of `n_embd` values; `ranks`: scores
	 * instead. One that does not write takes ENGINE_EMBED alone. */
	bool writes, ranks;
	bool sees; /* pictures */
	uint32_t n_embd;
	struct str build;         /* engine build: llama.cpp's version and tree hash */
	struct str template_hash; /* hex SHA-256 of the chat template in use */
	struct str architecture, description;
	/* The settings it measured for this model and machine, one line of text that the server
	 * stores and gives back in engine_load; empty: it measured nothing. */
	struct str tuned;
};

/* Messages through the template | raw text | what stands between two texts. */
enum gen_kind { GEN_CHAT, GEN_PROMPT, GEN_INFILL };
/* Default: what the template does. The last three switch it on and say how long. */
enum gen_think {
	THINK_DEFAULT,
	THINK_OFF,
	THINK_ON,
	THINK_LOW,
	THINK_MEDIUM,
	THINK_HIGH,
};
/* A picture that a message names by its place in gen_request.picture. */
enum { GEN_PICTURES_MAX = 16, GEN_PICTURE_SIDE_MAX = 16384 };
struct gen_picture {
	uint32_t width, height;
	int rgb_fd; /* sealed memfd, width * height * 3 bytes */
	uint8_t hash[SHA256_LEN]; /* of size and pixels: equal pictures are read once */
};
enum { GEN_TOP_LOGPROBS_MAX = 20, GEN_BIAS_MAX = 1024, GEN_BIAS_MILLI_MAX = 100000 };
struct gen_sampling { /* Ollama's options and defaults (map serving.md 1.4) */
	float temperature, top_p, min_p, typical_p, repeat_penalty, presence_penalty,
		frequency_penalty, mirostat_tau, mirostat_eta;
	int32_t top_k, repeat_last_n, mirostat;
	int64_t seed;        /* -1: random; the seed used comes back in GEN_BEGUN */
	int32_t num_predict; /* -1 until the end or the context, -2 fill the context */
};
struct gen_request { /* strings are borrowed */
	enum gen_kind kind;
	/* GEN_CHAT: JSON array of {role, content}; "share": "group" or "company" beside them says
	 * who may start from what was read for this message (default: the person alone; the
	 * server has checked the right). Content is text, or a list of {"text": ..} and
	 * {"picture": index}. GEN_PROMPT: text. GEN_INFILL: the text before the gap. */
	struct str input;
	/* GEN_INFILL, for models that have tokens for it: the text behind the gap; what the answer
	 * begins with already; other files, a JSON array of {filename, text} or empty, of which the
	 * first are left out where they do not fit. */
	struct str suffix, lead, extra;
	struct gen_picture picture[GEN_PICTURES_MAX];
	unsigned n_pictures;
	/* The chat template in the place of the model's own, in Go or Jinja (gotmpl_parse_any());
	 * empty: its own. GEN_INFILL: used when it has a place for a suffix. */
	struct str template_;
	struct str tools;   /* JSON array or empty */
	struct str schema;  /* JSON schema the answer must follow, or empty; "json" = any object */
	struct str grammar; /* the same as GBNF, or empty; not both */
	struct str tool_choice; /* empty or "auto", "none", "required", "=NAME" (that function) */
	bool one_call;          /* at most one tool call an answer */
	enum gen_think think;
	bool think_required; /* a model that cannot think is an error, not a warning */
	bool has_think_budget;
	uint32_t think_budget; /* tokens of reasoning, then its end is forced */
	bool logprobs;         /* of the model's own distribution, before any sampling option */
	uint8_t top_logprobs;  /* the most likely tokens beside the drawn one, up to 20 */
	const int32_t *bias;   /* pairs: token, thousandths added to its logit (-100000..100000) */
	size_t n_bias;         /* pairs */
	struct str stop[16];
	unsigned n_stop;
	struct gen_sampling sampling;
	uint32_t max_context; /* per-request limit of prompt + answer, 0 = the loaded size */
	bool truncate;        /* drop oldest non-system messages instead of ERR_CONTEXT */
	bool strict;          /* alone in the batch, fixed seed: the same bytes every time */
	bool raw;             /* GEN_PROMPT without BOS and template */
	/* Tokens already accepted: go on after them (after a crash). The text they stand for is
	 * sent again from its first byte (deltas without tokens), so whoever resumes skips what
	 * it has: text held back at the crash is neither lost nor doubled. */
	const int32_t *resume;
	size_t n_resume;
	uint64_t person;     /* for fairness and the cache's scope: a stable number per person */
	uint64_t group;      /* scope of messages shared with a group; 0: none */
	uint64_t object;     /* conversation or document it belongs to, for ENGINE_PURGE; 0 none */
	bool temporary;      /* never to the disk tier */
	uint8_t priority;    /* 0 interactive, 1 workflow, 2 batch */
	int64_t deadline_ms; /* from arrival; 0: none. Past it a waiting request fails */
};
struct gen_queued { /* a request waits: how many are before it, and an estimate */
	uint32_t position;
	int64_t estimate_ms; /* -1: unknown */
};
/* ENGINE_PURGE: `object` 0 means everything of the person; `person` 0 and `object` 0: everything.
 * */
struct engine_purge {
	uint64_t person, object;
};
struct gen_begun {
	uint32_t prompt_tokens, cached_tokens, truncated_tokens;
	int64_t seed;
};
struct gen_delta {
	const int32_t *tokens; /* accepted since the last delta; may be held back in text */
	size_t n_tokens;
	struct str text; /* whole UTF-8 characters; stop strings never appear */
	bool thinking;   /* text belongs to the reasoning part */
	/* JSON array, one entry for each answer token accepted since the last delta, as both APIs
	 * write it: {token, logprob, bytes, top_logprobs}; empty: not asked for. */
	struct str logprobs;
};
enum gen_reason { GEN_STOP, GEN_LENGTH, GEN_CANCELLED };
struct gen_done {
	enum gen_reason reason;
	uint32_t prompt_tokens, cached_tokens, answer_tokens;
	uint8_t stop; /* 1 + the place in gen_request.stop of the string that ended it; 0: none */
	int64_t queue_ns, prompt_ns, answer_ns;
	struct str calls;    /* JSON array of {id, name, arguments: object}, or empty */
	struct str warnings; /* lines for whoever asked; empty: none */
};
struct gen_failed {
	enum err code;
	struct str detail;
	uint32_t prompt_tokens, context_tokens;
};
enum { STATS_CLASSES = 3, STATS_BUCKETS = 12 };
/* Upper bounds of the buckets in ms; the last one has none. */
extern const uint32_t STATS_BOUNDS_MS[STATS_BUCKETS - 1];
struct stats_times {
	uint64_t n[STATS_BUCKETS], sum_us;
};
struct engine_stats {
	uint32_t active, waiting, cells_used, cells;
	uint64_t tokens_in, tokens_out;
	uint64_t tokens_cached;           /* of prompts, not read again */
	uint64_t cache_bytes, disk_bytes; /* RAM and disk tier, in use */
	uint64_t drafted, accepted;       /* speculation */
	uint64_t preempted;
	struct stats_times first[STATS_CLASSES], between[STATS_CLASSES];
};

void gen_sampling_defaults(struct gen_sampling *s);
/* The number that stands for a person, group or conversation in gen_request and engine_purge: the
 * same for the same id everywhere and always, never 0. FNV-1a, 64 bits. */
uint64_t gen_number(struct str id);

/* Closes the pictures' descriptors of a request that was read. */
void gen_request_done(struct gen_request *v);

/* Each pair: put appends the fields, get reads them and checks the end. Errors of get:
 * ERR_PROTOCOL (also for values out of range: every float finite, counts within limits). */
/* Takes the descriptors. */
void engine_load_put(struct ipc_out *m, struct engine_load *v);
enum err engine_load_get(struct ipc_in *m, struct engine_load *v);
/* The same without the descriptor, in the middle of a message (ASK_ENGINE): check ipc_end(). */
void engine_params_put(struct ipc_out *m, const struct engine_load *v);
void engine_params_get(struct ipc_in *m, struct engine_load *v);
void engine_info_put(struct ipc_out *m, const struct engine_info *v);
enum err engine_info_get(struct ipc_in *m, struct engine_info *v);
/* Sends duplicates of the pictures' descriptors; what was read has its own: gen_request_done(). */
void gen_request_put(struct ipc_out *m, const struct gen_request *v);
enum err gen_request_get(struct ipc_in *m, struct gen_request *v);
void gen_begun_put(struct ipc_out *m, const struct gen_begun *v);
enum err gen_begun_get(struct ipc_in *m, struct gen_begun *v);
void gen_queued_put(struct ipc_out *m, const struct gen_queued *v);
enum err gen_queued_get(struct ipc_in *m, struct gen_queued *v);
void engine_purge_put(struct ipc_out *m, const struct engine_purge *v);
enum err engine_purge_get(struct ipc_in *m, struct engine_purge *v);
void gen_delta_put(struct ipc_out *m, const struct gen_delta *v);
enum err gen_delta_get(struct ipc_in *m, struct gen_delta *v);
void gen_done_put(struct ipc_out *m, const struct gen_done *v);
enum err gen_done_get(struct ipc_in *m, struct gen_done *v);
void gen_failed_put(struct ipc_out *m, const struct gen_failed *v); /* also ENGINE_REFUSED */
enum err gen_failed_get(struct ipc_in *m, struct gen_failed *v);
void engine_stats_put(struct ipc_out *m, const struct engine_stats *v);
enum err engine_stats_get(struct ipc_in *m, struct engine_stats *v);
/* ENGINE_COUNT carries a gen_request, ENGINE_COUNTED one u64. */
