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
};
struct allow {
	size_t n;
	struct allow_entry at[ALLOW_MAX];
};
/* Errors: ERR_INVALID (host), ERR_LIMIT. A duplicate replaces. */
enum err allow_add(struct allow *a, struct str host, uint16_t port, bool plain);
/* The registries and their content hosts. */
void allow_defaults(struct allow *a);
/* May we ask this URL? Errors: ERR_EGRESS (info names host and port). */
enum err allow_url(const struct allow *a, const struct url *u, struct err_info *info);
/* May we connect there? `sa` is IPv4 or IPv6. */
bool allow_address(const struct allow *a, const struct sockaddr *sa);
/* Is it an address that anybody on the Internet may have? */
bool address_is_public(const struct sockaddr *sa);
/* Is plain http listed for this host and port? */
bool allow_plain(const struct allow *a, const char *host, uint16_t port);

struct db;
/* Defaults plus the table egress_host; a row with purpose "no" takes its host away. */
enum err allow_load(struct db *d, struct allow *ret);
/* Adds a row. Errors: ERR_INVALID, the database's. */
enum err allow_store(struct db *d, struct str host, uint16_t port, struct str purpose, bool plain);
/* {"hosts":[{host, port, purpose, plain} ..]}: defaults ("models") and rows, without those taken
 * away. */
struct buf;
enum err allow_list_json(struct db *d, struct buf *out);
struct sql;
extern const struct sql *const allow_sql[]; /* for db_prepare_check() */
extern const size_t allow_sql_count;
