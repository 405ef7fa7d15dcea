/* cli/talk.h - a conversation with a model, as `tresor run` holds it, over POST /api/chat. */
#pragma once

#include <signal.h>

#include "cli/client.h"

struct talk {
	struct client *client; /* borrowed */
	struct buf model, system;
	json_t *messages;  /* what was said, without the system message */
	json_t *options;   /* set parameters */
	json_t *think, *format, *keep_alive; /* as the request has them; NULL: not named */
	bool think_chosen; /* by the person; else by what the model can */
	bool hide_thinking, verbose, wrap;
	bool sees, embeds; /* what the model can */
};
/* Errors: ERR_NOMEM. */
enum err talk_init(struct talk *t, struct client *c, const char *model);
void talk_done(struct talk *t);
#define AUTO_TALK [[gnu::cleanup(talk_done)]]
/* Reads what the model can. *ret_show (owned, may be NULL) gets the reply of /api/show.
 * Errors: ERR_NOT_FOUND, the client's. */
enum err talk_look(struct talk *t, json_t **ret_show, struct err_info *info);
/* Loads the model, with a wheel on a terminal. Errors: the client's. */
enum err talk_load(struct talk *t, struct err_info *info);
/* Asks and shows the answer as it comes. What failed leaves nothing in the conversation; a stopped
 * answer stays as far as it came. Takes `images` (an array, or NULL). Errors: ERR_CANCELLED
 * (Ctrl+C), ERR_INVALID (no UTF-8), the client's. */
enum err talk_ask(struct talk *t, struct str question, json_t *images, struct err_info *info);
/* Shows a text as an answer is shown. */
enum err talk_show(const struct talk *t, const char *text);
/* Until talk_unwatch() Ctrl+C ends requests of the talk's client with ERR_CANCELLED, and not the
 * program. May be nested; each forgets the Ctrl+C before it. */
void talk_watch(struct talk *t, struct sigaction *before);
void talk_unwatch(struct talk *t, const struct sigaction *before);
/* {"model": NAME} of which the caller owns the object. */
json_t *talk_body(const struct talk *t);
/* "true", "false", "high", "medium", "low", "" (true). Errors: ERR_INVALID. */
enum err talk_set_think(struct talk *t, const char *value, struct err_info *info);
