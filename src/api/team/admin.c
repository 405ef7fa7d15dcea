/* Audit, backup, recovery. */
#include "api/team/team.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/limits.h"
#include "store/backup.h"
#include "store/db.h"
#include "store/upgrade.h"

/* ---- audit ---- */

enum { AUDIT_PAGE = 50, AUDIT_PAGE_MAX = 100 };

struct audit_page {
	struct call *c;
	struct jw *w;
	uint64_t last, n;
};

static void copy_field(struct jw *w, const json_t *event, const char *field, bool always)
{
	const json_t *v = json_object_get(event, field);
	if (json_is_string(v))
		jw_kstr(w, field, (struct str){ json_string_value(v), json_string_length(v) });
	else if (always)
		jw_kstr(w, field, STR(""));
}

static enum err add_entry(void *arg, uint64_t seq, int64_t at_ms, struct str event)
{
	struct audit_page *p = arg;
	AUTO_JSON json_t *doc = NULL;
	char name[LIMIT_NAME + 1] = "";
	TRY(json_read(event, LIMIT_AUDIT_EVENT, 4, &doc, NULL));
	const char *actor = json_string_value(json_object_get(doc, "actor"));
	if (actor && id_ok(str_from(actor)))
		TRY(person_name(p->c->app->vault, str_from(actor), name));
	jw_obj(p->w);
	jw_ki64(p->w, "seq", (int64_t)seq);
	jw_ki64(p->w, "at_ms", at_ms);
	copy_field(p->w, doc, "actor", true);
	if (name[0])
		jw_kstr(p->w, "actor_name", str_from(name));
	copy_field(p->w, doc, "action", true);
	copy_field(p->w, doc, "object", false);
	copy_field(p->w, doc, "outcome", true);
	copy_field(p->w, doc, "address", false);
	copy_field(p->w, doc, "request", false);
	jw_end(p->w);
	p->last = seq;
	p->n++;
	return OK;
}

enum err team_audit(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	int64_t before = 0, limit = AUDIT_PAGE;
	struct jw w;
	struct audit_page p = { .c = c, .w = &w };
	TRY(call_query_i64(c, "before", 0, INT64_MAX, &before));
	TRY(call_query_i64(c, "limit", 1, AUDIT_PAGE_MAX, &limit));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "entries");
	jw_arr(&w);
	TRY(keeper_audit_read(c, (uint64_t)before, (uint64_t)limit, add_entry, &p));
	jw_end(&w);
	jw_ki64(&w, "next", p.n && p.last > 1 ? (int64_t)p.last : 0);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err team_audit_verify(struct call *c)
{
	AUTO_BUF struct buf report = BUF(64 * 1024), out = BUF(256 * 1024);
	bool intact;
	uint64_t records;
	struct jw w;
	TRY(keeper_audit_verify(c, &intact, &records, &report));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kbool(&w, "intact", intact);
	jw_ki64(&w, "records", (int64_t)records);
	jw_kstr(&w, "report", report.len ? buf_str(&report) : STR(""));
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* ---- backup and recovery ---- */

static enum err last_seq(void *arg, uint64_t seq, int64_t at_ms, struct str event)
{
	(void)at_ms, (void)event;
	*(uint64_t *)arg = seq;
	return OK;
}

enum err team_backup_snapshot(struct call *c)
{
	AUTO_SECRET_BUF struct buf out = BUF(16 * 1024);
	uint8_t key[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1], id[ID_LEN + 1];
	uint64_t records = 0;
	struct jw w;
	id_new(id);
	char *path = arena_printf(c->arena, "%s/snapshots/" STORE_COPY_PREFIX "%s.db",
		c->app->config.data_dir, id);
	if (!path)
		return ERR_NOMEM;
	TRY(keeper_audit_read(c, 0, 1, last_seq, &records));
	TRY(keeper_sign(c, STR(BACKUP_KEY_PURPOSE), key));
	TRY(db_snapshot(c->app->db, path));
	hex_encode(key, sizeof key, hex);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "snapshot", str_from(path));
	jw_ki64(&w, "audit_records", (int64_t)records);
	jw_kstr(&w, "manifest_key", str_from(hex));
	jw_end(&w);
	wipe(hex, sizeof hex);
	wipe(key, sizeof key);
	call_json(c, 200, &out);
	return OK;
}

enum err team_recovery(struct call *c)
{
	AUTO_SECRET_BUF struct buf code = BUF(256), out = BUF(1024);
	struct key_info unused;
	struct jw w;
	TRY(keeper_recovery(c, &code));
	(void)!!keeper_key_info(
		c, true, &unused); /* the page shows at once that there is a sheet */
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "code", buf_str(&code));
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}
