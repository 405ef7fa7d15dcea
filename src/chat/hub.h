/* chat/hub.h - event streams: every open page of a person hears what happens to their things.
 *
 * Events are api/routes.json's type Event. `offset` counts UTF-16 code units (what JavaScript's
 * string length counts), within `content`, or within `thinking` when the delta's `thinking` is
 * true. Deltas of one answer come in order; a page that meets a gap reads the message whole. */
#pragma once

#include "base/auto.h"
#include "base/str.h"

enum { HUB_STREAMS_A_PERSON = 64 };

struct chat_hub;
/* Short, never blocks, any thread; must not call the hub. */
typedef void (*hub_sink)(struct str event_json, void *arg);
enum err chat_hub_new(struct chat_hub **ret);
struct chat_hub *chat_hub_free(struct chat_hub *h);
DEFINE_AUTO(chat_hub)
/* Errors: ERR_LIMIT (over 64 streams of one person), ERR_NOMEM. */
enum err hub_join(struct chat_hub *h, const char *person, hub_sink sink, void *arg,
		  uint64_t *ret_id);
void hub_leave(struct chat_hub *h, uint64_t id); /* after return the sink is not called again */
void hub_tell(struct chat_hub *h, const char *person, struct str event_json); /* "" = everybody */
