/* api/pictures.h - the pictures that a request's messages carry: decoded, each by a jail of its
 * own, before anything else is done with the request. */
#pragma once

#include "api/call.h"
#include "chat/chat.h"
#include "doc/image_ask.h"
#include "proto/engine.h"

enum { PICTURES_MAX = GEN_PICTURES_MAX }; /* a request */
struct pictures {
	struct call *c; /* its info names the picture that is wrong */
	struct picture v[PICTURES_MAX];
	uint8_t hash[PICTURES_MAX][SHA256_LEN]; /* of size and pixels */
	unsigned n;
};
/* In the request's arena; the pixels go with it. Errors: ERR_NOMEM. */
enum err pictures_new(struct call *c, struct pictures **ret);
/* Ollama: a list of base64 strings, also with "data:image/..;base64," before them; absent is fine.
 * `at`: the message's place, for errors. Errors: ERR_INVALID, ERR_LIMIT, and picture_decode()'s. */
enum err pictures_add_list(struct pictures *p, const json_t *list, size_t at);
/* OpenAI: a part {"type":"image_url","image_url":{"url":"data:.."}}, or the address itself.
 * Addresses are refused: the server fetches nothing that a message names. Errors: as above. */
enum err pictures_add_part(struct pictures *p, const json_t *part, size_t at, size_t i);
/* One that is named by the address "data:..". `where` names it in errors. Errors: as above. */
enum err pictures_add_url(struct pictures *p, const char *where, struct str url);
/* One picture in base64. `where` names it in errors. Errors: as above. */
enum err pictures_add_base64(struct pictures *p, const char *where, struct str base64);
/* The base64 of "data:image/png;base64,AAAA"; STR_NONE: it is no such address. The type is not
 * believed, the bytes tell it. */
struct str pictures_data(struct str url);
/* One picture alone, with its hash and what it was read as: a chat_see_fn, `app` is the struct app.
 * */
enum err pictures_see(
	void *app, struct str bytes, struct chat_seen *ret, struct err_info *info);
/* Names them in a request; borrowed, for the call that sends it. A message's content names each by
 * its place in `v`. */
void pictures_give(const struct pictures *p, struct gen_request *r);
