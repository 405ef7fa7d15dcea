/* GET /team/v1/doctor: what an administrator should know before somebody else finds out. */
#include "api/team/team.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"
#include "chat/search.h"
#include "models/advise.h"
#include "models/fleet.h"
#include "models/store.h"
#include "store/db.h"

enum { TLS_WARN_DAYS = 30, TLS_BAD_DAYS = 3, LOADED_MAX = 32 };
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define GIB (1024.0 * 1024 * 1024)

enum state { CHECK_OK, CHECK_WARN, CHECK_BAD };
struct check {
	const char *name;
	enum state state;
	char text[600], cure[400];
};

static void say(struct check *k, enum state s, const char *text)
{
	k->state = s;
	snprintf(k->text, sizeof k->text, "%s", text);
}

static void cure(struct check *k, const char *text)
{
	snprintf(k->cure, sizeof k->cure, "%s", text);
}

static void check_key(struct call *c, struct check *k)
{
	struct key_info i;
	if (keeper_key_info(c, true, &i)) {
		say(k, CHECK_BAD, "the keeper does not say how the master key is kept");
		cure(k, "look at the log of the service");
	} else if (strcmp(i.kind, "file") == 0) {
		say(k, CHECK_WARN,
			"the master key lies in a file on this machine: it protects copied data "
				"and "
			"backups, not a stolen machine");
		cure(k, "tresor vault passphrase, or tresor vault tpm");
	} else {
		snprintf(k->text, sizeof k->text, "the master key is kept by %s", i.kind);
	}
}

static void check_recovery(struct call *c, struct check *k)
{
	struct key_info i;
	if (keeper_key_info(c, false, &i))
		say(k, CHECK_WARN, "not known");
	else if (i.recovery)
		say(k, CHECK_OK, "there is a recovery sheet");
	else {
		say(k, CHECK_WARN,
			"there is no recovery sheet: if this machine is lost, backups cannot be "
				"opened");
		cure(k, "make one on the page, or with: tresor recovery-sheet");
	}
}

static void check_tls(struct call *c, struct check *k)
{
	int64_t ms = c->app->tls_expires_ms, left = (ms - time_now_ms()) / DAY_MS;
	if (!ms) {
		say(k, CHECK_OK, "plain HTTP on loopback only");
		return;
	}
	snprintf(k->text, sizeof k->text, "the certificate is good for %" PRId64 " days", left);
	k->state = left < TLS_BAD_DAYS ? CHECK_BAD : left < TLS_WARN_DAYS ? CHECK_WARN : CHECK_OK;
	if (k->state != CHECK_OK)
		cure(k, "put a new certificate in place and reload: systemctl reload tresor");
}

static void check_disk(struct call *c, struct check *k)
{
	struct statvfs st;
	if (statvfs(c->app->config.data_dir, &st)) {
		say(k, CHECK_WARN, "the free space of the data directory is not known");
		return;
	}
	double left = (double)st.f_bavail * (double)st.f_frsize;
	snprintf(k->text, sizeof k->text, "%.1f GiB are free for data and models", left / GIB);
	k->state = left < 0.5 * GIB ? CHECK_BAD : left < 5 * GIB ? CHECK_WARN : CHECK_OK;
	if (k->state != CHECK_OK)
		cure(k, "remove models that nobody uses (tresor rm), or give the data directory "
			"more room");
}

static void check_cache(struct call *c, struct check *k)
{
	uint64_t files, bytes, limit;
	if (keeper_cache(c, &files, &bytes, &limit))
		say(k, CHECK_WARN, "the size of the models' cache on disk is not known");
	else if (!limit)
		say(k, CHECK_OK, "what models have read is not kept on disk");
	else
		snprintf(k->text, sizeof k->text,
			"what %" PRIu64 " models have read takes %.1f GiB on disk, sealed; at most "
			"%.1f GiB a model",
			files, (double)bytes / GIB, (double)limit / GIB);
}

static void check_database(struct call *c, struct check *k)
{
	AUTO_BUF struct buf report = BUF(64 * 1024);
	enum err e = db_check(c->app->db, &report);
	if (!e && !db_damaged(c->app->db)) {
		say(k, CHECK_OK, "every page of the database was read and is whole");
		return;
	}
	struct str text = buf_str(&report);
	snprintf(k->text, sizeof k->text, "the database is damaged: %.*s",
		(int)(text.len < 400 ? text.len : 400), text.len ? text.ptr : err_text(e));
	k->state = CHECK_BAD;
	cure(k, "stop the service and restore the last backup: tresor restore");
}

static void check_search(struct call *c, struct check *k)
{
	bool words = false;
	int64_t left = 0;
	if (chat_search_state(c->app->search, &words, &left)) {
		say(k, CHECK_WARN, "how much can be searched is not known");
	} else if (!words) {
		say(k, CHECK_WARN, "searching knows no compounds: its dictionary is missing");
		cure(k, "put words/german.words back beside the program and restart the service");
	} else {
		snprintf(k->text, sizeof k->text,
			"%" PRId64 " messages are not in the search index yet", left);
	}
}

static void check_audit(struct call *c, struct check *k)
{
	AUTO_BUF struct buf report = BUF(64 * 1024);
	bool intact = false;
	uint64_t records = 0;
	enum err e = keeper_audit_verify(c, &intact, &records, &report);
	struct str text = buf_str(&report);
	if (!e && intact) {
		snprintf(k->text, sizeof k->text, "%" PRIu64 " records, the chain is intact",
			records);
		return;
	}
	k->state = CHECK_BAD;
	snprintf(k->text, sizeof k->text, "the audit log is not intact: %.*s",
		(int)(text.len < 400 ? text.len : 400), text.len ? text.ptr : err_text(e));
	cure(k, "keep a copy of the data directory for the inquiry, then restore the last good "
		"backup");
}

static void check_sandbox(struct call *c, struct check *k)
{
	const char *report = c->app->config.sandbox_report;
	if (c->app->config.sandboxed) {
		say(k, CHECK_OK, report ? report : "seccomp and Landlock are on");
		return;
	}
	snprintf(k->text, sizeof k->text, "not everything that confines the roles is on: %s",
		report ? report : "unknown");
	k->state = CHECK_WARN;
	cure(k, "a kernel with Landlock (5.13 or newer; 6.7 for the network rules) and seccomp");
}

static void check_memory(struct call *c, struct check *k)
{
	struct machine m = *c->app->machine;
	machine_refresh(c->app->config.data_dir, &m);
	size_t at = (size_t)snprintf(k->text, sizeof k->text,
		"%.1f of %.1f GiB are free; page size %ld bytes", (double)m.memory_free / GIB,
		(double)m.memory / GIB, sysconf(_SC_PAGESIZE));
	for (size_t i = 0; i < m.cards.n && at < sizeof k->text; i++)
		at += (size_t)snprintf(k->text + at, sizeof k->text - at,
			"%s%s, %.1f of %.1f GiB", i ? " + " : "; GPU: ", m.cards.v[i].name,
			(double)m.cards.v[i].free_bytes / GIB, (double)m.cards.v[i].total / GIB);
	if (m.memory_free && m.memory_free < 512u * 1024 * 1024) {
		k->state = CHECK_WARN;
		cure(k, "unload a model (tresor stop), or give the machine more memory");
	}
}

static void check_models(struct call *c, struct check *k)
{
	char name[LIMIT_MODEL_NAME + 1] = "";
	struct model_entry m;
	if (model_store_default(c->app->models, name) || !name[0]) {
		say(k, CHECK_WARN, "there is no model yet");
		cure(k, "tresor advise says which one fits; tresor pull brings it");
	} else if (!model_store_find(c->app->models, str_from(name), &m, NULL) && m.starter) {
		snprintf(k->text, sizeof k->text,
			"the default, %s, is a test model, not for real questions", name);
		k->state = CHECK_WARN;
		cure(k, "tresor advise says which one fits; tresor pull brings it");
	} else {
		snprintf(k->text, sizeof k->text, "the default is %s", name);
	}
}

static void engine_text(const struct fleet_status *s, struct check *k, size_t *at)
{
	if (*at < sizeof k->text)
		*at += (size_t)snprintf(k->text + *at, sizeof k->text - *at,
			"; %.60s: %u tokens, %u at once, %s%s%s%s", s->name, s->n_ctx, s->n_seq,
			s->gpu ? s->cards : "CPU", s->tuned[0] ? ", " : "", s->tuned,
			strcmp(s->settings, "as chosen") ? ", safer settings after crashes" : "");
	if (s->gpu_missed) {
		k->state = CHECK_WARN;
		cure(k, "a model runs on the processor for want of room on the GPU: unload "
			"another, or ask with require: gpu to be refused instead");
	}
}

static void check_engines(struct call *c, struct check *k)
{
	struct fleet_status *s = ARENA_ARRAY(c->arena, struct fleet_status, FLEET_MODELS_MAX);
	struct fleet_quarantined bad;
	struct fleet_totals t;
	size_t n = s ? fleet_status(c->app->fleet, s, FLEET_MODELS_MAX) : 0, at = 0, loaded = 0;
	fleet_totals(c->app->fleet, &t);
	for (size_t i = 0; i < n; i++)
		loaded += s[i].state == FLEET_READY;
	at = (size_t)snprintf(k->text, sizeof k->text,
		"%zu loaded, %" PRIu64 " crashes since the start", loaded, t.crashes);
	for (size_t i = 0; i < n; i++)
		if (s[i].state == FLEET_READY)
			engine_text(&s[i], k, &at);
	if (t.crashes) {
		k->state = CHECK_WARN;
		cure(k, "look at the log for the model that crashes, and pull it again");
	}
	if (fleet_quarantine(c->app->fleet, &bad, 1)) {
		if (at < sizeof k->text)
			snprintf(k->text + at, sizeof k->text - at,
				"; quarantined: request %.16s to %.60s", bad.digest, bad.model);
		k->state = CHECK_WARN;
		cure(k, "report the model and the request's digest: the engine died with it alone");
	}
}

static void check_builds(struct call *c, struct check *k)
{
	char amiss[300];
	size_t kept = 0;
	enum err e = engines_amiss(c, &kept, amiss, sizeof amiss);
	if (e) {
		say(k, CHECK_WARN, "which engine builds are installed is not known");
	} else if (amiss[0]) {
		snprintf(k->text, sizeof k->text,
			"an alias keeps an engine build that is missing or damaged here: %s",
			amiss);
		k->state = CHECK_BAD;
		cure(k, "put its folder back among the program's engines/, or let the alias take "
			"another: tresor alias set; tresor engines shows all of them");
	} else {
		snprintf(k->text, sizeof k->text,
			"every file of the engine builds is whole; %zu of aliases' versions keep "
			"one",
			kept);
	}
}

static void check_pins(struct call *c, struct check *k)
{
	struct fleet_status *s = ARENA_ARRAY(c->arena, struct fleet_status, FLEET_MODELS_MAX);
	size_t n = s ? fleet_status(c->app->fleet, s, FLEET_MODELS_MAX) : 0, pinned = 0;
	for (size_t i = 0; i < n; i++)
		pinned += s[i].pinned;
	snprintf(k->text, sizeof k->text, "%zu models are always loaded", pinned);
	for (size_t i = 0; i < n; i++)
		if (s[i].pinned && s[i].state == FLEET_UNLOADED) {
			snprintf(k->text, sizeof k->text, "%.100s is pinned, but it is not loaded",
				s[i].name);
			k->state = CHECK_WARN;
			cure(k, "look at the log: it may have no room, or its file may be damaged");
		}
}

static const struct {
	const char *name;
	void (*run)(struct call *c, struct check *k);
} checks[] = {
	{ "key", check_key },
	{ "recovery", check_recovery },
	{ "tls", check_tls },
	{ "disk", check_disk },
	{ "cache", check_cache },
	{ "database", check_database },
	{ "search", check_search },
	{ "audit", check_audit },
	{ "sandbox", check_sandbox },
	{ "memory", check_memory },
	{ "models", check_models },
	{ "engines", check_engines },
	{ "builds", check_builds },
	{ "pins", check_pins },
};

enum err team_doctor(struct call *c)
{
	static const char *const states[] = { "ok", "warn", "bad" };
	AUTO_BUF struct buf out = BUF(256 * 1024);
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "checks");
	jw_arr(&w);
	for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
		struct check k = { .name = checks[i].name };
		checks[i].run(c, &k);
		jw_obj(&w);
		jw_kstr(&w, "name", str_from(k.name));
		jw_kstr(&w, "state", str_from(states[k.state]));
		jw_kstr(&w, "text", str_from(k.text));
		jw_kstr(&w, "cure", str_from(k.cure));
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	c->info = (struct err_info){ .code = OK };
	call_json(c, 200, &out);
	return OK;
}
