/* chat/chat_test_fixture.h - a database, a person, a fake fleet and a page that listens. */
#pragma once

#include <pthread.h>

#include "base/json.h"
#include "chat/chat.h"
#include "chat/chat_test_fleet.h"
#include "chat/hub.h"
#include "chat/search.h"

#define ANNA "01annaannaannaannaannaanna"
#define BERT "01bertbertbertbertbertbert"

struct fixture {
	struct db *db;
	struct fleet *fleet;
	struct chat_hub *hub;
	struct chats *chats;
	struct chat_search *search;
	uint64_t stream;
	pthread_mutex_t lock;
	struct buf events;          /* Anna's, one JSON a line */
	bool no_model;              /* the resolver finds nothing */
	unsigned looked;            /* pictures that were looked at */
};
void fixture_open(struct fixture *f);  /* the second time it finds what the first left */
/* The same, with a dictionary for searching. */
void fixture_open_with(struct fixture *f, const struct words_dict *words);
void fixture_close(struct fixture *f); /* as the server ends */
/* The event that came as the n-th of `type` (0: first), or fails after a while. New reference. */
json_t *fixture_event(struct fixture *f, const char *type, size_t n);
size_t fixture_count(struct fixture *f, const char *type);
/* A conversation of Anna's; its id lives until the test ends. */
const char *fixture_conversation(struct fixture *f);
/* The same of another model; what is called "seer.." sees pictures. */
const char *fixture_conversation_of(struct fixture *f, const char *model);
/* Asks; *ret_answer gets the answer's id. */
void fixture_ask(
	struct fixture *f, const char *conversation, const char *text, char ret_answer[27]);
/* The message or conversation as JSON. New reference. */
json_t *fixture_message(struct fixture *f, const char *id);
json_t *fixture_get(struct fixture *f, const char *conversation);
const char *jstr(const json_t *j, const char *key); /* NULL when absent */
/* Waits until the message has this state. New reference. */
json_t *fixture_wait_state(struct fixture *f, const char *id, const char *state);
