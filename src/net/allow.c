#include "net/allow.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- the list ---- */
static bool suffix_entry(const char *host)
{
	return host[0] == '*' && host[1] == '.';
}

enum err allow_host(struct str host, char dst[URL_HOST_MAX + 3])
{
	bool suffix = str_starts(host, STR("*."));
	struct str bare = suffix ? str_sub(host, 2, host.len) : host;
	bool v6 = str_find_byte(bare, ':', 0) != SIZE_MAX;
	char text[URL_HOST_MAX + 16];
	struct url u;
	if (bare.len > URL_HOST_MAX || str_has_control(bare))
		return ERR_INVALID;
	int n = snprintf(
		text, sizeof text, v6 ? "https://[%.*s]/" : "https://%.*s/", STR_ARG(bare));
	TRY(url_parse((struct str){ text, (size_t)n }, &u, NULL));
	if (u.port != 443 || u.path.len != 1 || u.query.ptr || (suffix && u.kind != URL_NAME))
		return ERR_INVALID;
	/* "*.de" would allow half the Internet. */
	if (suffix && !strchr(u.host, '.'))
		return ERR_INVALID;
	char *at = dst;
	if (suffix)
		memcpy(at, "*.", 2), at += 2;
	memcpy(at, u.host, strlen(u.host) + 1);
	return OK;
}

enum err allow_add(struct allow *a, struct str host, uint16_t port, bool plain)
{
	struct allow_entry e = { .port = port, .plain = plain };
	if (!port || host.len > URL_HOST_MAX + 2)
		return ERR_INVALID;
	TRY(allow_host(host, e.host));
	for (size_t i = 0; i < a->n; i++) {
		if (a->at[i].port == port && !strcmp(a->at[i].host, e.host)) {
			a->at[i] = e;
			return OK;
		}
	}
	if (a->n == ALLOW_MAX)
		return ERR_LIMIT;
	a->at[a->n++] = e;
	return OK;
}

enum err allow_add_push(struct allow *a, struct str host, uint16_t port)
{
	char norm[URL_HOST_MAX + 3];
	if (host.len > URL_HOST_MAX + 2)
		return ERR_INVALID;
	TRY(allow_host(host, norm));
	for (size_t i = 0; i < a->n; i++) {
		if (a->at[i].port == port && !strcmp(a->at[i].host, norm)) {
			a->at[i].push = true;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

void allow_defaults(struct allow *a)
{
	/* The registries and where they send a download on to. The Ollama registry keeps its
	 * content
	 * in one Cloudflare R2 account: its host by full name, never the shared suffix. */
	static const char *const hosts[] = {
		"registry.ollama.ai",
		"dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com",
		"hf.co",
		"huggingface.co",
		"*.hf.co",
		"*.huggingface.co",
	};
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		(void)allow_add(a, str_from(hosts[i]), 443, false);
}

static bool covers(const struct allow_entry *e, const char *host, uint16_t port)
{
	size_t len = strlen(host), tail = strlen(e->host) - 1; /* with the dot */
	if (e->port != port)
		return false;
	return !strcmp(e->host, host) || (suffix_entry(e->host) && len > tail &&
						 !strcmp(host + len - tail, e->host + 1));
}

static const struct allow_entry *find(const struct allow *a, const char *host, uint16_t port)
{
	for (size_t i = 0; i < a->n; i++)
		if (covers(&a->at[i], host, port))
			return &a->at[i];
	return NULL;
}

enum err allow_url(const struct allow *a, const struct url *u, struct err_info *info)
{
	const struct allow_entry *e = find(a, u->host, u->port);
	if (!e) {
		(void)err_set(info, ERR_EGRESS,
			"%s, port %u, is not on the list of allowed addresses", u->host, u->port);
		err_hint(
			info, "an administrator can add the host to the list of allowed addresses");
		return ERR_EGRESS;
	}
	if (!u->https && !e->plain)
		return err_set(info, ERR_EGRESS, "%s, port %u, is not allowed without encryption",
			u->host, u->port);
	return OK;
}

enum err allow_push(const struct allow *a, const struct url *u, struct err_info *info)
{
	TRY(allow_url(a, u, info));
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i].push && covers(&a->at[i], u->host, u->port))
			return OK;
	/* In one text: Ollama's form of an error has no place for a hint. */
	return err_set(info, ERR_EGRESS,
		"models may not be sent to %s, port %u (an administrator can allow it: tresor "
		"sources add %s:%u REASON --push)",
		u->host, u->port, u->host, u->port);
}

bool allow_plain(const struct allow *a, const char *host, uint16_t port)
{
	const struct allow_entry *e = find(a, host, port);
	return e && e->plain;
}

/* ---- addresses ---- */
struct block4 {
	uint32_t net;
	unsigned bits;
};
/* IANA IPv4 special-purpose registry, and multicast and reserved space. */
static const struct block4 not_public4[] = {
	{ 0x00000000, 8 },
	{ 0x0a000000, 8 },
	{ 0x64400000, 10 },
	{ 0x7f000000, 8 },
	{ 0xa9fe0000, 16 },
	{ 0xac100000, 12 },
	{ 0xc0000000, 24 },
	{ 0xc0000200, 24 },
	{ 0xc0586300, 24 },
	{ 0xc0a80000, 16 },
	{ 0xc6120000, 15 },
	{ 0xc6336400, 24 },
	{ 0xcb007100, 24 },
	{ 0xe0000000, 4 },
	{ 0xf0000000, 4 },
};

static bool public4(uint32_t a)
{
	for (size_t i = 0; i < sizeof not_public4 / sizeof *not_public4; i++)
		if ((a ^ not_public4[i].net) >> (32 - not_public4[i].bits) == 0)
			return false;
	return true;
}

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool public6(const uint8_t a[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	if (!memcmp(a, mapped, 12) || !memcmp(a, nat64, 12))
		return public4(word(a + 12)); /* an IPv4 address in other clothes */
	if ((a[0] & 0xe0) != 0x20)
		return false; /* only 2000::/3 is global unicast */
	uint32_t top = word(a);
	if (top == 0x20010db8 || (top & 0xfffffe00) == 0x20010000)
		return false; /* documentation; 2001::/23 protocol assignments with Teredo */
	if (top >> 16 == 0x2002)
		return public4(word(a + 2)); /* 6to4 */
	if ((top & 0xfffff000) == 0x3fff0000)
		return false; /* documentation, RFC 9637 */
	return true;
}

bool address_is_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return public4(
			ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
	if (sa->sa_family == AF_INET6)
		return public6(((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr);
	return false;
}

bool allow_address(const struct allow *a, const struct sockaddr *sa)
{
	char text[INET6_ADDRSTRLEN];
	uint16_t port;
	if (address_is_public(sa))
		return true;
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		port = ntohs(in->sin_port);
		if (!inet_ntop(AF_INET, &in->sin_addr, text, sizeof text))
			return false;
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)sa;
		port = ntohs(in->sin6_port);
		if (!inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text))
			return false;
	} else {
		return false;
	}
	return find(a, text, port) != NULL;
}
