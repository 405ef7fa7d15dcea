/* net/allow.h - where we may connect to.
 *
 * An entry is a host name, a suffix ("*.hf.co": any host below it, not hf.co itself) or an address,
 * with a port and whether plain http is allowed. The address that a name resolves to must be
 * public, unless that very address is listed as an entry with the port: so no name can lead to
 * loopback, private, link-local, shared (RFC 6598), multicast or documentation ranges. Pure. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "net/url.h"

enum { ALLOW_MAX = 512 };

struct allow_entry {
	char host[URL_HOST_MAX + 3]; /* lower case; "*.suffix" */
	uint16_t port;
	bool plain;
	bool push; /* models may be sent there; without it only questions (GET, HEAD) go out */
};
struct allow {
	size_t n;
	struct allow_entry at[ALLOW_MAX];
};
/* A host, suffix or address as the list spells it: through the one URL parser, so that entry and
 * request are spelled alike. Errors: ERR_INVALID. */
enum err allow_host(struct str host, char dst[URL_HOST_MAX + 3]);
/* Errors: ERR_INVALID (host), ERR_LIMIT. A duplicate replaces; it may not be pushed to. */
enum err allow_add(struct allow *a, struct str host, uint16_t port, bool plain);
/* Lets models be sent to an entry that was added so. Errors: ERR_INVALID (host), ERR_NOT_FOUND. */
enum err allow_add_push(struct allow *a, struct str host, uint16_t port);
/* The registries and their content hosts. */
void allow_defaults(struct allow *a);
/* May we ask this URL? Errors: ERR_EGRESS (info names host and port). */
enum err allow_url(const struct allow *a, const struct url *u, struct err_info *info);
/* May we send there, not only ask? Errors: as allow_url(). */
enum err allow_push(const struct allow *a, const struct url *u, struct err_info *info);
/* May we connect there? `sa` is IPv4 or IPv6. */
bool allow_address(const struct allow *a, const struct sockaddr *sa);
/* Is it an address that anybody on the Internet may have? */
bool address_is_public(const struct sockaddr *sa);
/* Is plain http listed for this host and port? */
bool allow_plain(const struct allow *a, const char *host, uint16_t port);

struct db;
/* Defaults plus the table egress_host; a row with purpose "no" takes its host away. */
enum err allow_load(struct db *d, struct allow *ret);
struct allow_row {
	struct str host;
	struct str purpose; /* why; "no": takes the host away */
	uint16_t port;
	bool plain, push;
	const char *person; /* who; NULL: the operator */
};
/* Adds a row, or changes the one of the same host and port. Errors: ERR_INVALID, the database's. */
enum err allow_store(struct db *d, const struct allow_row *r);
/* {"hosts":[{host, port, purpose, plain, push ..}]}: rows with "person", "person_name", "since_ms"
 * and "login" (a log-in is stored), then the defaults ("models") that no row replaces or takes
 * away. */
struct buf;
enum err allow_list_json(struct db *d, struct buf *out);
struct sql;
extern const struct sql *const allow_sql[]; /* for db_prepare_check() */
extern const size_t allow_sql_count;
