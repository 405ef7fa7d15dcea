/* chat/chat.h - conversations, messages, and answers that belong to the server.
 *
 * An answer is an append-only text with offsets (bytes). Deltas go to the person's event streams
 * from memory and to the database every 250 ms or 64 tokens; the person's message and the finished
 * answer are durable before they are acknowledged. After a crash of the server the unfinished
 * answers go on from their stored tokens (a `rewind` event names the offset). */
#pragma once

#include "base/random.h"
#include "models/fleet.h"
#include "store/db.h"

struct chats;
struct chat_hub;    /* chat/hub.h: who listens */
struct chat_search; /* chat/search.h */
struct model_store;
/* Resolves a model name to its digest; models/ gives it. ERR_NOT_FOUND. */
typedef enum err (*chat_model_fn)(void *arg, struct str name, struct fleet_model *ret);

/* A picture that a jail looked at. */
struct chat_seen {
	struct gen_picture pixels;
	const char *type; /* static: "image/png", "image/jpeg", "image/webp" */
};
/* Blocks. *ret: the descriptor is the caller's. Errors: ERR_INVALID (info says what is wrong with
 * the picture), ERR_NOMEM, the keeper's. */
typedef enum err (*chat_see_fn)(
	void *arg, struct str bytes, struct chat_seen *ret, struct err_info *info);

struct chat_options {
	struct db *db;
	struct fleet *fleet;
	struct chat_hub *hub;
	chat_model_fn model;
	void *model_arg;
	struct model_store *models; /* for what a model brings of its own; NULL: nothing */
	chat_see_fn see; /* NULL: no pictures are taken */
	void *see_arg;
	struct chat_search *search; /* told when something was said; NULL: nobody */
};
enum err chats_new(const struct chat_options *o, struct chats **ret);
struct chats *chats_free(struct chats *c);
DEFINE_AUTO(chats)
/* Goes on with answers that a crash left in state `streaming`. Call once, when models are ready. */
enum err chats_recover(struct chats *c);

/* All JSON written is api/routes.json's Conversation and Message. `person` is the caller's id;
 * rights were checked before. */
enum err chat_create(struct chats *c, const char *person, struct str model, struct str title,
		     struct buf *ret_json, struct err_info *info);
enum err chat_list(struct chats *c, const char *person, struct str before, unsigned limit,
		   struct buf *ret_json, struct err_info *info);
enum err chat_get(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info);
struct chat_change { struct str title, model; int label; /* -1 = leave */ };
/* A label may only rise here. Errors: ERR_CONFLICT for a lower one. */
enum err chat_change(struct chats *c, struct str id, const struct chat_change *ch,
		     struct buf *ret_json, struct err_info *info);
enum err chat_delete(struct chats *c, struct str id, struct err_info *info); /* stops its answers */
/* A picture of a question: the bytes, or one that a message of this conversation has already. */
struct chat_picture {
	bool again;
	struct str bytes;
	char message[ID_LEN + 1];
	unsigned place; /* there */
};
/* The name of a model that sees and that this person may use. Errors: ERR_UNSUPPORTED (there is
 * none; info says what can be done). */
typedef enum err (*chat_vision_fn)(
	void *arg, char ret[LIMIT_MODEL_NAME + 1], struct err_info *info);
/* parent: a message of the conversation, "root" for another first question, empty: the last one.
 * `content` may be empty where there are pictures, at most GEN_PICTURES_MAX of LIMIT_PICTURES in
 * all. */
struct chat_send {
	struct str content, parent, client_id, model;
	const struct chat_picture *pictures;
	size_t n_pictures;
	chat_vision_fn vision; /* NULL: nobody else looks at pictures */
	void *vision_arg;
};
/* Durable, then starts the answer. The same client_id again returns what is there. Where pictures
 * are on the path and the model cannot see, the one that `vision` names answers, and the answer's
 * "instead_of" names the one that was asked. Errors: ERR_QUEUE (nothing was taken: as many wait as
 * may), ERR_INVALID, ERR_TOO_LARGE, ERR_UNSUPPORTED (pictures; nothing was taken). */
enum err chat_send(struct chats *c, const char *person, struct str conversation,
		   const struct chat_send *s, struct buf *ret_json, struct err_info *info);
enum err chat_message(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info);
/* A picture as it came. *ret_type: static. Errors: ERR_NOT_FOUND. */
enum err chat_picture(struct chats *c, struct str message, int64_t place, struct buf *ret_bytes,
		      const char **ret_type, struct err_info *info);
enum err chat_stop(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info);
/* Whose is it: for authorize(). ret_owner has ID_LEN + 1 bytes. ERR_NOT_FOUND. */
enum err chat_owner(struct chats *c, struct str conversation, char *ret_owner);
enum err chat_message_owner(struct chats *c, struct str message, char *ret_owner);
/* How many conversations ask this model or alias by that name, and of how many people. */
enum err chat_uses(struct chats *c, struct str model, int64_t *ret_conversations,
		   int64_t *ret_people);
/* Removes everything of a person: stops answers, tells the hub. */
enum err chat_forget_person(struct chats *c, const char *person);
