/* chat/chat.h - conversations, messages, and answers that belong to the server.
 *
 * An answer is an append-only text with offsets (bytes). Deltas go to the person's event streams
 * from memory and to the database every 250 ms or 64 tokens; the person's message and the finished
 * answer are durable before they are acknowledged. After a crash of the server the unfinished
 * answers go on from their stored tokens (a `rewind` event names the offset). */
#pragma once

#include "models/fleet.h"
#include "store/db.h"

struct chats;
struct chat_hub; /* chat/hub.h: who listens */
struct model_store;
/* Resolves a model name to its digest; models/ gives it. ERR_NOT_FOUND. */
typedef enum err (*chat_model_fn)(void *arg, struct str name, struct fleet_model *ret);

struct chat_options {
	struct db *db;
	struct fleet *fleet;
	struct chat_hub *hub;
	chat_model_fn model;
	void *model_arg;
	struct model_store *models; /* for what a model brings of its own; NULL: nothing */
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
/* parent: a message of the conversation, "root" for another first question, empty: the last one. */
struct chat_send { struct str content, parent, client_id, model; };
/* Durable, then starts the answer. The same client_id again returns what is there. Errors:
 * ERR_QUEUE (nothing was taken: as many wait as may). */
enum err chat_send(struct chats *c, const char *person, struct str conversation,
		   const struct chat_send *s, struct buf *ret_json, struct err_info *info);
enum err chat_message(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info);
enum err chat_stop(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info);
/* Whose is it: for authorize(). ret_owner has ID_LEN + 1 bytes. ERR_NOT_FOUND. */
enum err chat_owner(struct chats *c, struct str conversation, char *ret_owner);
enum err chat_message_owner(struct chats *c, struct str message, char *ret_owner);
/* How many conversations ask this model or alias by that name, and of how many people. */
enum err chat_uses(struct chats *c, struct str model, int64_t *ret_conversations,
		   int64_t *ret_people);
/* Removes everything of a person: stops answers, tells the hub. */
enum err chat_forget_person(struct chats *c, const char *person);
