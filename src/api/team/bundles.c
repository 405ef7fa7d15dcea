/* Bundles of models: out into a file, in from one, and whose are taken. */
#include "api/team/team.h"

#include "base/fault.h"
#include "base/limits.h"
#include "chat/hub.h"
#include "models/bundle.h"
#include "proto/keeper.h"

enum { ASK_MS = 10 * 1000, REPLY_MAX = 256 * 1024 };

static const char *person(const struct call *c)
{
	return c->who.person[0] ? c->who.person : NULL;
}

/* What is about to be done, by its own name: dispatch.c's record does not know the models. */
static enum err announce(struct call *c, const char *action, struct str object, struct str note)
{
	enum err e = call_audit(c, action, "begun", str_sub(object, 0, 200), note);
	if (e)
		return err_set(
			&c->info, e, "the audit log cannot be written, so nothing was changed");
	return OK;
}

/* ---- the house's own signature ---- */

static enum err sign(void *arg, const uint8_t hash[SHA256_LEN], uint8_t ret_key[SIGN_KEY_LEN],
	uint8_t ret[SIGN_LEN])
{
	struct call *c = arg;
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_BUNDLE_SIGN, 0);
	ipc_put_str(&m, (struct str){ (const char *)hash, SHA256_LEN });
	TRY(keeper_call(c->app->keeper, &m, ASK_MS, &in, &c->info));
	struct str key = ipc_get_str(&in), signature = ipc_get_str(&in);
	TRY(ipc_end(&in));
	if (key.len != SIGN_KEY_LEN || signature.len != SIGN_LEN)
		return ERR_PROTOCOL;
	memcpy(ret_key, key.ptr, SIGN_KEY_LEN);
	memcpy(ret, signature.ptr, SIGN_LEN);
	return OK;
}

static enum err own_fingerprint(struct call *c, char ret[BUNDLE_FINGERPRINT_LEN + 1])
{
	static const uint8_t nothing[SHA256_LEN] = { 0 };
	uint8_t key[SIGN_KEY_LEN], unused[SIGN_LEN];
	TRY(sign(c, nothing, key, unused));
	bundle_fingerprint(key, ret);
	return OK;
}

/* ---- export ---- */

static void on_gone(void *arg)
{
	(void)arg;
}

static enum err send_bytes(void *arg, struct str bytes)
{
	struct call *c = arg;
	if (!http_status(c->q)) /* what fails before the first byte has a status of its own */
		http_stream(c->q, 200, "application/octet-stream", on_gone, NULL);
	while (bytes.len) {
		struct str piece = str_sub(bytes, 0, 256 * 1024);
		TRY(http_write_wait(c->q, piece));
		bytes = str_sub(bytes, piece.len, bytes.len);
	}
	return OK;
}

enum err team_bundle_export(struct call *c)
{
	const json_t *list = json_object_get(c->body, "models"), *one;
	struct str name[BUNDLE_MODELS_MAX];
	struct bundle_export x = { .store = c->app->models,
		.name = name,
		.n = json_array_size(list),
		.sign = sign,
		.out = send_bytes,
		.arg = c };
	size_t i;
	if (!x.n || x.n > BUNDLE_MODELS_MAX)
		return err_set(&c->info, ERR_INVALID, "\"models\" names 1 to %d models",
			(int)BUNDLE_MODELS_MAX);
	json_array_foreach(list, i, one)
	{
		if (!json_is_string(one))
			return err_set(&c->info, ERR_INVALID, "\"models\" is a list of names");
		name[i] = (struct str){ json_string_value(one), json_string_length(one) };
	}
	for (i = 0; i < x.n; i++)
		TRY(announce(c, "bundle.export", name[i], STR("")));
	enum err e = bundle_export(&x, &c->info);
	if (!http_status(c->q))
		return e;
	if (e) { /* nobody may take what came for the whole */
		(void)!!call_audit(
			c, "bundle.export", "failed", STR(""), str_from(err_slug(e)));
		http_cut(c->q);
	}
	http_finish(c->q);
	return OK;
}

/* ---- import ---- */

struct taking {
	struct call *c;
	struct str trust; /* ?trust= */
	struct jw w;
	struct buf out;
};

static enum err not_trusted(const struct bundle *b, struct err_info *info)
{
	(void)err_set(info, ERR_FORBIDDEN,
		"the bundle is signed by %s, whom nobody here has said to trust", b->fingerprint);
	err_hint(info, "ask the sender for the fingerprint (tresor bundle signers); if it is this "
		       "one, import with --trust %s", b->fingerprint);
	return ERR_FORBIDDEN;
}

static enum err trust_now(struct call *c, const struct bundle *b, struct err_info *info)
{
	if (authorize(&c->who, ACTION_EGRESS_CHANGE, NULL) || !scope_ok(&c->who, "egress"))
		return err_set(info, ERR_FORBIDDEN,
			"you may take bundles in, but not say whom to trust");
	TRY(announce(c, "bundle.trust", str_from(b->fingerprint), STR("")));
	return bundle_signer_add(c->app->db, str_from(b->fingerprint), person(c));
}

/* The signature is right; is it one to trust? Then each model is announced, before any of it is
 * kept. */
static enum err trusted(void *arg, const struct bundle *b, struct err_info *info)
{
	struct taking *t = arg;
	char own[BUNDLE_FINGERPRINT_LEN + 1], name[LIMIT_MODEL_NAME + 1];
	bool known = false;
	TRY(own_fingerprint(t->c, own));
	TRY(bundle_signer_has(t->c->app->db, str_from(b->fingerprint), &known));
	if (!known && strcmp(own, b->fingerprint) != 0) {
		if (!str_eq(t->trust, str_from(b->fingerprint)))
			return not_trusted(b, info);
		TRY(trust_now(t->c, b, info));
	}
	for (size_t i = 0; i < b->n_models; i++) {
		name_format(&b->model[i].name, name);
		TRY(announce(t->c, "bundle.import", str_from(name),
			str_sub(str_from(b->model[i].digest), 0, 64)));
	}
	return OK;
}

static void took(void *arg, const struct bundle_model *m, const char *licence,
	const struct model_kept *kept)
{
	struct taking *t = arg;
	char name[LIMIT_MODEL_NAME + 1];
	name_format(&m->name, name);
	jw_obj(&t->w);
	jw_kstr(&t->w, "name", str_from(name));
	jw_kstr(&t->w, "digest", str_from(m->digest));
	jw_kstr(&t->w, "licence", str_from(licence));
	jw_kstr(&t->w, "origin", m->origin.len ? m->origin : STR(""));
	if (kept->name[0])
		jw_kstr(&t->w, "kept", str_from(kept->name));
	jw_end(&t->w);
}

static enum err take_all(struct taking *t, struct bundle_import *i)
{
	struct str piece;
	for (;;) {
		TRY(http_body_next(t->c->q, &piece));
		if (!piece.len)
			break;
		TRY(bundle_import_add(i, piece, &t->c->info));
	}
	return bundle_import_end(i, took, t, &t->c->info);
}

enum err team_bundle_import(struct call *c)
{
	struct taking t = { .c = c, .trust = http_query(c->q, "trust"), .out = BUF(REPLY_MAX) };
	AUTO(bundle_import) struct bundle_import *i = NULL;
	if (t.trust.ptr && !bundle_fingerprint_ok(t.trust))
		return err_set(&c->info, ERR_INVALID, "\"trust\" is not a fingerprint");
	TRY(bundle_import_new(c->app->models, trusted, &t, &i));
	jw_init(&t.w, &t.out);
	jw_obj(&t.w);
	jw_key(&t.w, "models");
	jw_arr(&t.w);
	enum err e = take_all(&t, i);
	if (!e) {
		jw_end(&t.w);
		jw_kstr(&t.w, "signer", str_from(bundle_import_head(i)->fingerprint));
		jw_end(&t.w);
		hub_tell(c->app->hub, "", STR("{\"type\":\"models\"}"));
		call_json(c, 200, &t.out);
	}
	buf_done(&t.out);
	return e;
}

/* ---- whom we trust ---- */

enum err team_signers(struct call *c)
{
	AUTO_MEM struct bundle_signer *list = NULL;
	AUTO_BUF struct buf out = BUF(REPLY_MAX * 4);
	char own[BUNDLE_FINGERPRINT_LEN + 1];
	size_t n;
	struct jw w;
	TRY(own_fingerprint(c, own));
	TRY(bundle_signer_list(c->app->db, &list, &n));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "own", str_from(own));
	jw_key(&w, "signers");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "fingerprint", str_from(list[i].fingerprint));
		jw_kstr(&w, "person", str_from(list[i].person));
		jw_kstr(&w, "person_name", str_from(list[i].person_name));
		jw_ki64(&w, "since_ms", list[i].since_ms);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

static enum err fingerprint(struct call *c, struct str *ret)
{
	*ret = http_param(c->q, "name");
	if (!bundle_fingerprint_ok(*ret))
		return err_set(&c->info, ERR_INVALID,
			"this is not a fingerprint (ten groups of four hex digits)");
	return OK;
}

enum err team_signer_add(struct call *c)
{
	struct str f;
	TRY(fingerprint(c, &f));
	TRY(announce(c, "bundle.trust", f, STR("")));
	TRY(bundle_signer_add(c->app->db, f, person(c)));
	call_empty(c);
	return OK;
}

enum err team_signer_remove(struct call *c)
{
	struct str f;
	TRY(fingerprint(c, &f));
	TRY(announce(c, "bundle.distrust", f, STR("")));
	enum err e = bundle_signer_remove(c->app->db, f);
	if (e == ERR_NOT_FOUND)
		return err_set(&c->info, e, "this signer is not trusted anyway");
	TRY(e);
	call_empty(c);
	return OK;
}
