/* The headers that say who asks, one a line: cookie, Authorization, X-Api-Key, Origin,
 * Sec-Fetch-Site, Host, public address, then "tls" or nothing. "-" is an absent header. */
#include "tests/fuzz/fuzz.h"
#include "vault/credential.h"
#include "vault/keys.h"

static struct str take(struct str *rest)
{
	struct str line;
	if (!str_next(rest, '\n', &line) || str_eq(line, STR("-")))
		return STR_NONE;
	return line;
}

/* `origin` ends in `host`, but for a default port that only one of them names. */
static bool ends_in(struct str origin, struct str host)
{
	size_t at = str_find(origin, STR("://"), 0);
	struct str o = at == SIZE_MAX ? STR_NONE : str_sub(origin, at + 3, SIZE_MAX);
	size_t n = o.len < host.len ? o.len : host.len;
	return n > 0 && str_eq_nocase(str_sub(o, 0, n), str_sub(host, 0, n)) &&
	       o.len - n <= 4 && host.len - n <= 4;
}

FUZZ
{
	struct str rest = { (const char *)data, size };
	struct credential_in in = { .local_uid = -1, .own_uid = 1 };
	struct credential c;
	in.cookie = take(&rest);
	in.authorization = take(&rest);
	in.x_api_key = take(&rest);
	in.origin = take(&rest);
	in.sec_fetch_site = take(&rest);
	in.host = take(&rest);
	in.public_url = take(&rest);
	in.tls = str_eq(rest, STR("tls"));
	if (credential_pick(&in, &c, NULL) == OK) {
		bool cookie = in.cookie.len > 0, key = in.authorization.ptr || in.x_api_key.ptr;
		if ((cookie && key) || (c.kind == CRED_NONE) != (!cookie && !key) ||
		    (c.kind == CRED_SESSION) != cookie)
			DIE("the wrong credential was picked");
		(void)api_key_ok(c.text);
	}
	if (credential_origin(&in, true, NULL) == OK) {
		struct str url = in.public_url;
		size_t at = str_find(url, STR("://"), 0);
		if (url.len && url.ptr[url.len - 1] == '/')
			url.len--;
		if (!ends_in(in.origin, in.host) &&
		    (at == SIZE_MAX || !ends_in(in.origin, str_sub(url, at + 3, SIZE_MAX))))
			DIE("a foreign origin was taken for ours");
	}
}
