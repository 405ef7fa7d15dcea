#include "roles/server_config.h"

#include <limits.h>

#include "models/cards.h"
#include "roles/keeper_int.h"
#include "roles/version.h"

/* The first address people can type: the first given host name, else what is listened on. */
static void public_url(const struct keeper *k, struct buf *out)
{
	struct str rest = str_from(k->config.listen), first = STR_NONE, port = STR("7070");
	(void)str_next(&rest, ',', &first);
	first = str_trim(first);
	size_t colon = first.len;
	while (colon && first.ptr[colon - 1] != ':')
		colon--;
	if (colon)
		port = str_sub(first, colon, SIZE_MAX);
	struct str hosts = str_from(k->config.hosts), host = STR_NONE;
	(void)str_next(&hosts, ',', &host);
	host = str_trim(host);
	if (!host.len)
		host = str_sub(first, 0, colon ? colon - 1 : first.len);
	(void)buf_addf(out, "%s://%.*s:%.*s", k->tls_needed ? "https" : "http", STR_ARG(host),
		STR_ARG(port));
}

/* The current engine build's modules say which kinds of card can be used at all. */
static int64_t cards_of(const struct keeper *k)
{
	unsigned which = 0;
	if (!strcmp(k->config.gpu, "off"))
		return 0;
	if (builds_have(k->builds, k->current, "libggml-cuda.so"))
		which |= CARDS_CUDA;
	if (builds_have(k->builds, k->current, "libggml-vulkan.so"))
		which |= CARDS_VULKAN;
	if (!strcmp(k->config.gpu, "software"))
		which |= CARDS_SOFTWARE;
	return which;
}

enum err server_config_write(const struct keeper *k, struct buf *out)
{
	static const char *const kinds[] = { "file", "passphrase", "tpm", "recovery" };
	const struct config *c = &k->config;
	AUTO_BUF struct buf url = BUF(1024);
	struct jw w;
	public_url(k, &url);
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "name", str_from(c->name));
	jw_kstr(&w, "hosts", str_from(c->hosts));
	jw_kstr(&w, "behind_proxy", str_from(c->behind_proxy));
	jw_kstr(&w, "public_url", buf_str(&url));
	jw_kstr(&w, "build", STR(TRESOR_BUILD));
	jw_kstr(&w, "engine", str_from(k->current));
	jw_kstr(&w, "key_kind", str_from(kinds[keyring_opened_by(k->keys)]));
	jw_kbool(&w, "recovery", keyring_has(k->keys, SLOT_RECOVERY));
	jw_ki64(&w, "http_threads", c->http_threads);
	jw_ki64(&w, "workers", c->workers);
	jw_ki64(&w, "max_connections", c->max_connections);
	jw_ki64(&w, "max_engines", c->max_engines);
	jw_ki64(&w, "context", c->context);
	jw_ki64(&w, "sequences", c->sequences);
	jw_ki64(&w, "keep_alive_s", c->keep_alive_s);
	jw_ki64(&w, "cards", cards_of(k));
	jw_kbool(&w, "local_only", c->local_only);
	jw_kbool(&w, "trial", keyring_opened_by(k->keys) == SLOT_FILE);
	jw_ki64(&w, "tls_expires_ms", k->tls.expires_ms);
	jw_end(&w);
	return out->err;
}

enum err server_config_read(struct str json, struct server_config *ret)
{
	struct server_config c = { 0 };
	TRY(json_read(json, 64 * 1024, 4, &c.doc, NULL));
	const struct {
		const char *key;
		const char **at;
	} texts[] = {
		{ "name", &c.name },
		{ "hosts", &c.hosts },
		{ "behind_proxy", &c.behind_proxy },
		{ "public_url", &c.public_url },
		{ "build", &c.build },
		{ "engine", &c.engine },
		{ "key_kind", &c.key_kind },
	};
	const struct {
		const char *key;
		int64_t *at;
	} numbers[] = {
		{ "http_threads", &c.http_threads },
		{ "workers", &c.workers },
		{ "max_connections", &c.max_connections },
		{ "max_engines", &c.max_engines },
		{ "context", &c.context },
		{ "sequences", &c.sequences },
		{ "keep_alive_s", &c.keep_alive_s },
		{ "cards", &c.cards },
		{ "tls_expires_ms", &c.tls_expires_ms },
	};
	const struct {
		const char *key;
		bool *at;
	} flags[] = {
		{ "local_only", &c.local_only },
		{ "trial", &c.trial },
		{ "recovery", &c.recovery },
	};
	enum err e = OK;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		*texts[i].at = json_string_value(json_object_get(c.doc, texts[i].key));
		if (!*texts[i].at)
			e = ERR_PROTOCOL;
	}
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !e; i++)
		e = json_want_i64(
			c.doc, numbers[i].key, true, INT64_MIN, INT64_MAX, numbers[i].at, NULL);
	for (size_t i = 0; i < sizeof flags / sizeof *flags && !e; i++)
		e = json_want_bool(c.doc, flags[i].key, true, flags[i].at, NULL);
	if (e)
		json_decref(c.doc);
	else
		*ret = c;
	return e;
}

void server_config_done(struct server_config *c)
{
	json_decref(c->doc);
}
