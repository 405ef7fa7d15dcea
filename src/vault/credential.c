#include "vault/credential.h"

#include "vault/keys.h"
#include "vault/session.h"
#include "vault/vault_int.h"

static bool is_local(const struct credential_in *in)
{
	return in->local_uid >= 0;
}

/* The key in "Authorization: Bearer KEY". */
static enum err bearer(struct str header, struct str *ret, struct err_info *info)
{
	struct str h = str_trim(header);
	if (!str_eq_nocase(str_sub(h, 0, 7), STR("Bearer ")))
		return err_set(info, ERR_LOGIN, "the Authorization header is not \"Bearer KEY\"");
	*ret = str_trim(str_sub(h, 7, SIZE_MAX));
	return OK;
}

static enum err pick_key(const struct credential_in *in, struct str *ret, struct err_info *info)
{
	struct str a = STR_NONE, x = str_trim(in->x_api_key);
	if (in->authorization.ptr)
		TRY(bearer(in->authorization, &a, info));
	if (in->authorization.ptr && in->x_api_key.ptr && !str_eq(a, x))
		return err_set(info, ERR_INVALID, "the request carries two different API keys");
	*ret = in->authorization.ptr ? a : in->x_api_key.ptr ? x : STR_NONE;
	return OK;
}

enum err credential_pick(const struct credential_in *in, struct credential *ret,
			 struct err_info *info)
{
	struct credential c = { .kind = CRED_NONE };
	struct str key = STR_NONE;
	TRY(pick_key(in, &key, info));
	bool has_key = in->authorization.ptr || in->x_api_key.ptr;
	bool has_cookie = in->cookie.ptr && in->cookie.len;
	if (has_key && has_cookie)
		return err_set(info, ERR_INVALID,
			       "the request carries both a session and an API key");
	if (has_key)
		c = (struct credential){ CRED_KEY, key };
	if (has_cookie)
		c = (struct credential){ CRED_SESSION, in->cookie };
	if (is_local(in)) {
		if (c.kind != CRED_NONE)
			return err_set(info, ERR_INVALID,
				       "the local socket takes no session and no API key");
		if (in->local_uid != 0 && in->local_uid != in->own_uid)
			return err_set(info, ERR_FORBIDDEN,
				       "the local socket is for root and for the user of Tresor");
		c.kind = CRED_LOCAL;
	}
	*ret = c;
	return OK;
}

/* ---- where a request comes from ---- */

struct origin { struct str scheme, host, port; };

/* "https://host:port" or, with `scheme` given, "host:port"; nothing may follow. */
static bool origin_parse(struct str s, struct str scheme, struct origin *ret)
{
	size_t at = str_find(s, STR("://"), 0);
	if (!scheme.ptr) {
		if (at == SIZE_MAX)
			return false;
		scheme = str_sub(s, 0, at);
		s = str_sub(s, at + 3, SIZE_MAX);
	}
	ret->scheme = scheme;
	bool https = str_eq_nocase(scheme, STR("https"));
	if (!https && !str_eq_nocase(scheme, STR("http")))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (strchr("/\\@?# \t", s.ptr[i])) /* also NUL */
			return false;
	size_t bracket = s.len && s.ptr[0] == '[' ? str_find_byte(s, ']', 0) : 0;
	if (bracket == SIZE_MAX)
		return false;
	size_t colon = str_find_byte(s, ':', bracket);
	ret->host = str_sub(s, 0, colon);
	ret->port = colon == SIZE_MAX ? STR_NONE : str_sub(s, colon + 1, SIZE_MAX);
	if (bracket && ret->host.len != bracket + 1)
		return false;
	uint64_t n = 0;
	if (ret->port.len && (str_to_u64(ret->port, &n) || n == 0 || n > 65535))
		return false;
	if (ret->port.len == 0)
		ret->port = https ? STR("443") : STR("80");
	return ret->host.len > 0;
}

static bool origin_same(const struct origin *a, const struct origin *b)
{
	return str_eq_nocase(a->scheme, b->scheme) && str_eq_nocase(a->host, b->host) &&
	       str_eq(a->port, b->port);
}

static bool origin_ours(const struct credential_in *in)
{
	struct origin theirs, ours;
	struct str url = in->public_url;
	if (!origin_parse(in->origin, STR_NONE, &theirs))
		return false;
	if (in->host.ptr && origin_parse(in->host, in->tls ? STR("https") : STR("http"), &ours) &&
	    origin_same(&theirs, &ours))
		return true;
	if (url.len && url.ptr[url.len - 1] == '/')
		url.len--;
	return url.len && origin_parse(url, STR_NONE, &ours) && origin_same(&theirs, &ours);
}

enum err credential_origin(const struct credential_in *in, bool must, struct err_info *info)
{
	if (in->sec_fetch_site.ptr && !str_eq(in->sec_fetch_site, STR("same-origin")) &&
	    !str_eq(in->sec_fetch_site, STR("none")))
		return err_set(info, ERR_CSRF, "the request came from another site");
	if (!in->origin.ptr)
		return must ? err_set(info, ERR_CSRF, "the request has no Origin header") : OK;
	return origin_ours(in) ? OK : err_set(info, ERR_CSRF, "the request came from another site");
}

/* ---- the whole ---- */

static unsigned accepted_bits(enum credential_kind k)
{
	switch (k) {
	case CRED_SESSION: return CREDENTIAL_SESSION;
	case CRED_KEY: return CREDENTIAL_KEY;
	case CRED_LOCAL: return CREDENTIAL_LOCAL | CREDENTIAL_SESSION;
	case CRED_NONE: break;
	}
	return 0;
}

/* A cookie goes along with whatever any page sends: the header shows that it was ours. */
static enum err csrf_check(const struct credential_in *in, const struct subject *s,
			   struct err_info *info)
{
	size_t n = strlen(s->csrf);
	TRY(credential_origin(in, true, info));
	if (n != TOKEN_LEN || in->csrf.len != n || !ct_equal(in->csrf.ptr, s->csrf, n))
		return err_set(info, ERR_CSRF, "the X-Tresor-CSRF header is missing or old");
	return OK;
}

static enum err look_up(struct vault *v, const struct credential *c, struct subject *ret)
{
	switch (c->kind) {
	case CRED_SESSION: return session_find(v, c->text, ret);
	case CRED_KEY: return api_key_find(v, c->text, ret);
	case CRED_LOCAL:
		*ret = (struct subject){ .role = PERSON_LOCAL, .name = "local" };
		return OK;
	case CRED_NONE: break;
	}
	return ERR_LOGIN;
}

enum err credential_subject(struct vault *v, const struct credential_in *in, struct subject *ret,
			    struct err_info *info)
{
	struct credential c;
	struct subject s = { .role = PERSON_NONE };
	if (in->accepted & CREDENTIAL_NONE) {
		if (in->changes && !is_local(in))
			TRY(credential_origin(in, false, info));
		*ret = s;
		return OK;
	}
	TRY(credential_pick(in, &c, info));
	enum err e = look_up(v, &c, &s);
	if (e == ERR_LOGIN && c.kind == CRED_KEY)
		return err_set(info, e, "the API key is unknown, revoked or expired");
	TRY(e);
	if (!(in->accepted & accepted_bits(c.kind)))
		return err_set(info, ERR_FORBIDDEN, c.kind == CRED_KEY ?
			       "an API key cannot do this; log in" :
			       "only the command on the machine itself can do this");
	if (c.kind == CRED_KEY && in->scope && !scope_ok(&s, in->scope))
		return err_set(info, ERR_FORBIDDEN, "the API key does not have the scope \"%s\"",
			       in->scope);
	if (c.kind == CRED_SESSION && in->changes)
		TRY(csrf_check(in, &s, info));
	*ret = s;
	return OK;
}
