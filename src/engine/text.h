/* engine/text.h - from the bytes of tokens to the text a person sees, while it streams.
 *
 * Three stages: bytes to whole UTF-8 characters (invalid ones become U+FFFD, unfinished ones are
 * held back), reasoning split from the answer by the model's tags, stop strings. A stop string
 * matches when its last byte arrives, whatever the pieces it came in; of several that end there
 * the longest counts; it and all after it never appear. What could still become a stop string is
 * held back, never more than that. Stop strings count in the answer only. Pure: no I/O, no clock.
 * */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/limits.h"

/* Finds the first of a few strings in a stream, byte by byte (Knuth-Morris-Pratt). */
struct stop_set;
/* Copies the strings. Errors: ERR_INVALID (an empty or non-UTF-8 string), ERR_LIMIT, ERR_NOMEM. */
enum err stop_set_new(const struct str *v, size_t n, struct stop_set **ret);
struct stop_set *stop_set_free(struct stop_set *s);
DEFINE_AUTO(stop_set)
/* Length of the string that ends with this byte, 0 if none. */
size_t stop_set_feed(struct stop_set *s, unsigned char byte);
size_t stop_set_which(const struct stop_set *s); /* its place, after a match */
size_t stop_set_held(const struct stop_set *s); /* last bytes that may begin a match */
void stop_set_reset(struct stop_set *s);

/* Takes the answer apart when the template's markup is in it (engine_backend_ops.chat_split). */
struct text_splitter {
	void *arg;
	/* Adds what the next characters turned out to be. Errors: any; they go through. */
	enum err (*split)(void *arg, struct str text, bool end, struct buf *thought,
		struct buf *answer, bool *ret_stopped);
	bool whole; /* wants the reasoning as well */
};

struct text;
struct text_options {
	const struct str *stop; /* copied */
	size_t n_stop;
	struct str think_start, think_end; /* empty: no reasoning part; copied */
	bool thinking;                     /* starts inside the reasoning part */
	const struct text_splitter *split; /* NULL: the answer is the text; copied */
};
/* Errors: as stop_set_new(). */
enum err text_new(const struct text_options *o, struct text **ret);
struct text *text_free(struct text *t);
DEFINE_AUTO(text)
/* Feeds the bytes of a token; adds what may be seen now to `thought` and `answer` (in this order
 * of time: no answer comes before a thought). Nothing more comes after *ret_stopped.
 * Errors: buf's; `t` must not be used on. */
enum err text_add(struct text *t, struct str bytes, struct buf *thought, struct buf *answer,
	bool *ret_stopped);
/* The stream is over: adds what was held back. */
enum err text_end(struct text *t, struct buf *thought, struct buf *answer);
/* 1 + the place in text_options.stop of the string that ended it; 0: none did. */
unsigned text_stopped_by(const struct text *t);
bool text_thinking(const struct text *t);
bool text_open(const struct text *t); /* nothing yet but what may become the start tag */
/* A character is unfinished: no other text should be put in here. */
bool text_pending(const struct text *t);
