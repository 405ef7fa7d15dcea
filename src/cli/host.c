#include "cli/host.h"

#include <stdlib.h>

#include "base/crypto.h"

enum { TRESOR_PORT = 7070, OLLAMA_PORT = 11434 };

void host_done(struct host *h)
{
	buf_done(&h->base);
	wipe(h->key, sizeof h->key);
}

/* People put quotes around it in files of variables. */
static struct str strip(struct str s)
{
	for (size_t before = SIZE_MAX; s.len != before;) {
		before = s.len;
		s = str_trim(s);
		while (s.len && strchr("\"'", s.ptr[0]))
			s = str_sub(s, 1, s.len);
		while (s.len && strchr("\"'", s.ptr[s.len - 1]))
			s = str_sub(s, 0, s.len - 1);
	}
	return s;
}

/* Adds "HOST[:PORT]" so that a URL parser reads it: brackets, the host that is left out, a port. */
static enum err add_authority(struct buf *out, struct str a, uint16_t default_port)
{
	size_t first = str_find_byte(a, ':', 0), close = str_find_byte(a, ']', 0);
	bool bare6 = first != SIZE_MAX && str_find_byte(a, ':', first + 1) != SIZE_MAX &&
		     a.ptr[0] != '[';
	bool port = !bare6 && str_find_byte(a, ':', close == SIZE_MAX ? 0 : close) != SIZE_MAX;
	if (bare6)
		TRY(buf_addf(out, "[%.*s]", STR_ARG(a)));
	else
		TRY(buf_addf(out, "%s%.*s", !a.len || first == 0 ? "127.0.0.1" : "", STR_ARG(a)));
	return !port && default_port ? buf_addf(out, ":%u", default_port) : OK;
}

static void everywhere_is_here(struct url *u)
{
	if (u->kind == URL_IPV4 && !strcmp(u->host, "0.0.0.0"))
		(void)!!str_copy(STR("127.0.0.1"), u->host, sizeof u->host);
	if (u->kind == URL_IPV6 && !strcmp(u->host, "::"))
		(void)!!str_copy(STR("::1"), u->host, sizeof u->host);
}

static bool is_loopback(const struct url *u)
{
	if (u->kind == URL_IPV4)
		return !strncmp(u->host, "127.", 4);
	return !strcmp(u->host, u->kind == URL_IPV6 ? "::1" : "localhost");
}

enum err host_parse(
	struct str text, uint16_t default_port, struct host *ret, struct err_info *info)
{
	AUTO_BUF struct buf url = BUF(URL_MAX);
	struct url u;
	struct str rest = strip(text), authority;
	size_t scheme = str_find(rest, STR("://"), 0);
	if (scheme != SIZE_MAX) {
		TRY(buf_add(&url, str_sub(rest, 0, scheme + 3)));
		rest = str_sub(rest, scheme + 3, rest.len);
		default_port = 0;
	} else {
		TRY(buf_add(&url, STR("http://")));
	}
	size_t slash = str_find_byte(rest, '/', 0);
	authority = str_sub(rest, 0, slash == SIZE_MAX ? rest.len : slash);
	TRY(add_authority(&url, authority, default_port));
	if (slash != SIZE_MAX)
		TRY(buf_add(&url, str_sub(rest, slash, rest.len)));
	TRY(url_parse(buf_str(&url), &u, info));
	if (u.query.ptr)
		return err_set(info, ERR_INVALID, "a server's address has no query");
	everywhere_is_here(&u);
	ret->base = BUF(URL_MAX);
	ret->https = u.https;
	ret->loopback = is_loopback(&u);
	enum err e = url_add(&u, &ret->base);
	while (!e && ret->base.len && ret->base.ptr[ret->base.len - 1] == '/')
		buf_cut(&ret->base, ret->base.len - 1);
	return e;
}

enum err host_from_env(struct host *ret, bool ollamas, bool *ret_set, struct err_info *info)
{
	const char *ours = getenv("TRESOR_HOST"), *theirs = ollamas ? getenv("OLLAMA_HOST") : NULL;
	const char *key = getenv("TRESOR_API_KEY"), *key2 = getenv("OLLAMA_API_KEY");
	bool first = ours && *ours;
	*ret = (struct host){ .base = BUF(URL_MAX) };
	*ret_set = first || (theirs && *theirs);
	if (!*ret_set)
		return OK;
	enum err e = host_parse(str_from(first ? ours : theirs), first ? TRESOR_PORT : OLLAMA_PORT,
		ret, info);
	if (e) {
		err_hint(info, "it is in $%s", first ? "TRESOR_HOST" : "OLLAMA_HOST");
		return e;
	}
	if (!key || !*key)
		key = key2;
	bool with_key = key && *key;
	if ((with_key || !ollamas) && !ret->https && !ret->loopback)
		return err_set(info, ERR_INVALID, "%s would travel in the clear to %.*s: use https",
			with_key ? "the API key" : "it", STR_ARG(buf_str(&ret->base)));
	if (!with_key)
		return OK;
	struct str k = str_trim(str_from(key));
	if (str_has_control(k) || str_copy(k, ret->key, sizeof ret->key))
		return err_set(info, ERR_INVALID, "the API key is not one line of text");
	return OK;
}
