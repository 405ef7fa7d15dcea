/* vault/audit.h - the one audit writer's client in the server: events go to the keeper, which seals
 * and stores them (vault/audit_log.h) before the act they announce.
 *
 * No content of chats, no names, no mail addresses: ids, keyed hashes, numbers. */
#pragma once

#include "proto/keeper.h"
#include "vault/authorize.h"

struct audit;
struct audit_event {
	const struct subject *who;       /* NULL: nobody logged in */
	const char *action;              /* "login", "model.pull", "person.invite" .. */
	struct str object;               /* id, model name or digest */
	const char *outcome;             /* "ok", "refused", "begun" */
	struct str address, request_id;  /* client address */
	struct str note;                 /* slug or number, never free text from a person */
};
enum err audit_new(struct keeper_link *k, struct audit **ret);
struct audit *audit_free(struct audit *a);
DEFINE_AUTO(audit)
/* Returns when the record is durable. Concurrent callers share one fsync.
 * Errors: the keeper's (then the act must not happen). */
enum err audit_write(struct audit *a, const struct audit_event *e);
