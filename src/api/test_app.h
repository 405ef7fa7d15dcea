/* api/test_app.h - a whole server for the tests of api/: real HTTP, dispatch, vault, chat and
 * database;
 * the fleet, the models, the keeper and egress are played (test_fakes.c). */
#pragma once

#include "api/call.h"
#include "http/test_client.h"
#include "proto/embed.h"
#include "proto/tokens.h"
#include "tests/test.h"

struct test_app {
	struct app app;
	struct machine *machine;
	pthread_t keeper, pump;
	_Atomic bool stop;
	int port;
	char key[128];   /* an API key of the owner with every scope */
	char cookie[64]; /* the owner's session, as "tresor_session=.." */
	char csrf[64];
	char person[ID_LEN + 1];
};
void test_app_start(struct test_app *t);
void test_app_stop(struct test_app *t);
int test_connect(const struct test_app *t);
/* One request on its own connection with the owner's key; `extra`: header lines with \r\n, or "".
 * Returns the status; head may be NULL. */
int call_api(const struct test_app *t, const char *method, const char *path, const char *body,
	struct buf *head, struct buf *out);
/* The same with the owner's cookie, CSRF header and Origin. */
int call_page(const struct test_app *t, const char *method, const char *path, const char *body,
	struct buf *head, struct buf *out);
/* As it stands: everything after the request line is the caller's. */
int call_raw(const struct test_app *t, const char *request, struct buf *head, struct buf *out);

/* ---- what the fakes saw and do ---- */
struct fakes {
	bool run_nothing; /* fleet and pulls record and say ERR_BUSY: no threads */
	/* fleet: what the prompt says decides: FAIL BUSY CONTEXT SLOW THINK LENGTH CALLS BADCALLS
	 * PROBS STOPPED NOFIM CROWD; else "Hello" */
	struct gen_request last;    /* scalars; strings below */
	struct embed_request embed; /* scalars */
	struct tokens_request tokens; /* scalars */
	char input[65536], schema[4096], stops[512], tools[4096], choice[128], grammar[512];
	char suffix[512], lead[512], extra[512];
	int64_t seeds[8]; /* of what was started, by order */
	int32_t bias[8];
	int64_t keep_alive_ms;
	_Atomic int started, cancelled, loads, unloads, ended, purges;
	struct engine_purge purged;
	bool pinned;
	/* audit */
	_Atomic int audits;
	char audit_log[65536]; /* the events, a line each */
	enum err audit_error;
	/* models */
	char params[1024], system[1024], template_[1024]; /* what the model brings */
	char used_template[1024];                         /* of the last request */
	bool no_headers;                                  /* the jail says nothing */
	_Atomic int deleted, copied;
	uint64_t in_use; /* who asks the model that is to be deleted */
	unsigned aliases; /* in lists: 0 or 1 */
	bool seer, vision; /* there is a model that sees; and an alias for it */
	const char *keeps; /* the engine build of the alias; NULL: none */
	char uploaded[256];
};
extern struct fakes fakes;
void fakes_reset(void);
void fakes_nap(int ms);
bool fakes_audited(const char *text);       /* waits a little */
bool fakes_never_audited(const char *text); /* so far */
void *fake_keeper_main(void *channel);      /* thread; takes the channel, ends when it closes */
