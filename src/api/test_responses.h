/* api/test_responses.h - for tests of the Responses API: a server, and its last answer. */
#pragma once

#include "api/test_app.h"

#define ASK(text) "{\"model\":\"tiny\",\"input\":\"" text "\""
#define PATH "/v1/responses"

struct world {
	struct test_app t;
	struct buf out; /* the body of the last answer */
};
void open_world(struct world *w);
void close_world(struct world *w);
/* With the owner's key; returns the status. */
int ask(struct world *w, const char *method, const char *path, const char *body);
json_t *reply(struct world *w);                  /* the last answer as JSON; a new reference */
json_t *post(struct world *w, const char *body); /* to PATH; must be 200. A new reference. */
bool has(struct world *w, const char *what);     /* in the last answer */
const char *text(const json_t *o, const char *key);
const json_t *item(const json_t *response, size_t i); /* of its output; borrowed */
const json_t *part(const json_t *response, size_t i); /* the first of that item's content */
void path_of(const json_t *response, const char *more, char dst[128]);
