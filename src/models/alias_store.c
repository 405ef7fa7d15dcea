/* Aliases in the database. Changes hold the store's `change` lock, so that no version goes while an
 * alias is pointed at it; the writer thread makes each of them one transaction. */
#include <string.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/alias.h"
#include "models/store_int.h"

static const struct sql Q_ADD = { "alias.add",
	"INSERT INTO alias (name, created_ms) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING" };
static const struct sql Q_REMOVE = { "alias.remove", "DELETE FROM alias WHERE name = ?1" };
static const struct sql Q_COUNT = { "alias.count", "SELECT count(*) FROM alias" };
static const struct sql Q_THERE = { "alias.there", "SELECT 1 FROM alias WHERE name = ?1" };
static const struct sql Q_TARGET = { "alias.target",
	"SELECT digest, engine FROM alias_channel WHERE alias = ?1 AND channel = ?2" };
#define COLUMNS                                                                                    \
	"SELECT a.name, c.channel, c.digest, c.model, c.person, c.since_ms, c.trial, c.reason, "   \
	"c.engine "                                                                                \
	"FROM alias a LEFT JOIN alias_channel c ON c.alias = a.name "
static const struct sql Q_ONE = { "alias.one", COLUMNS "WHERE a.name = ?1" };
static const struct sql Q_ALL = { "alias.all", COLUMNS "ORDER BY a.name" };
static const struct sql Q_CLEAR = { "alias.clear", "DELETE FROM alias_channel WHERE alias = ?1" };
static const struct sql Q_PUT = { "alias.put",
	"INSERT INTO alias_channel "
	"(alias, channel, digest, model, person, since_ms, trial, reason, engine) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)" };
static const struct sql Q_NAMED = { "alias.named",
	"SELECT alias, model FROM alias_channel WHERE digest = ?1 ORDER BY alias" };
static const struct sql Q_ENGINES = { "alias.engines",
	"SELECT alias, engine FROM alias_channel WHERE engine <> '' ORDER BY alias, channel" };
static const struct sql Q_PASSED = { "alias.passed",
	"SELECT t.id FROM trial t WHERE t.alias = ?1 AND t.old_digest = ?2 AND t.new_digest = ?3 "
	"AND t.old_engine = ?5 AND t.new_engine = ?6 AND t.state = 'accepted' "
	"AND (SELECT count(*) FROM trial_answer a WHERE a.trial = t.id) >= ?4 "
	"ORDER BY t.decided_ms DESC LIMIT 1" };

const struct sql *const alias_sql[] = { &Q_ADD, &Q_REMOVE, &Q_COUNT, &Q_THERE, &Q_TARGET, &Q_ONE,
	&Q_ALL, &Q_CLEAR, &Q_PUT, &Q_NAMED, &Q_ENGINES, &Q_PASSED };
const size_t alias_sql_count = sizeof alias_sql / sizeof *alias_sql;

/* ---- reading ---- */

static enum err read_channel(struct db_row *q, struct alias *a)
{
	enum alias_channel c;
	if (db_col_null(q, 1)) /* an alias without any */
		return OK;
	if (alias_channel_from(db_col_str(q, 1), &c))
		return ERR_CORRUPT;
	struct alias_target *t = &a->at[c];
	TRY(str_copy(db_col_str(q, 2), t->digest, sizeof t->digest));
	TRY(str_copy(db_col_str(q, 3), t->model, sizeof t->model));
	TRY(str_copy(db_col_str(q, 4), t->person, sizeof t->person));
	t->since_ms = db_col_i64(q, 5);
	TRY(str_copy(db_col_str(q, 6), t->trial, sizeof t->trial));
	TRY(str_copy(db_col_str(q, 7), t->reason, sizeof t->reason));
	return str_copy(db_col_str(q, 8), t->engine, sizeof t->engine);
}

/* Errors: ERR_NOT_FOUND. */
static enum err load(struct db_conn *c, struct str name, struct alias *ret)
{
	struct db_row q;
	struct alias a = { .name = "" };
	enum err e = OK;
	bool there = false;
	TRY(db_query(c, &Q_ONE, &q));
	db_bind_str(&q, 1, name);
	while (!e && db_next(&q)) {
		there = true;
		e = str_copy(db_col_str(&q, 0), a.name, sizeof a.name);
		if (!e)
			e = read_channel(&q, &a);
	}
	enum err end = db_end(&q);
	TRY(e);
	TRY(end);
	if (!there)
		return ERR_NOT_FOUND;
	*ret = a;
	return OK;
}

struct find {
	struct str name;
	enum alias_channel channel;
	bool there;
	char digest[65], engine[LIMIT_ENGINE_ID + 1];
};

static enum err read_target(struct db_conn *c, void *arg)
{
	struct find *f = arg;
	struct db_row q;
	enum err e = OK;
	TRY(db_query(c, &Q_TARGET, &q));
	db_bind_str(&q, 1, f->name);
	db_bind_str(&q, 2, str_from(alias_channel_text(f->channel)));
	if (db_next(&q)) {
		e = str_copy(db_col_str(&q, 0), f->digest, sizeof f->digest);
		if (!e)
			e = str_copy(db_col_str(&q, 1), f->engine, sizeof f->engine);
	}
	enum err end = db_end(&q);
	TRY(e);
	TRY(end);
	f->there = f->digest[0];
	if (f->there)
		return OK;
	TRY(db_query(c, &Q_THERE, &q));
	db_bind_str(&q, 1, f->name);
	f->there = db_next(&q);
	return db_end(&q);
}

enum err store_alias_find(struct model_store *s, struct str text, struct store_alias *ret)
{
	struct store_alias a = { .name = "" };
	if (!s->db || !alias_parse(text, a.name, &a.channel))
		return ERR_NOT_FOUND;
	struct find f = { .name = str_from(a.name), .channel = a.channel };
	TRY(db_read(s->db, read_target, &f));
	if (!f.there)
		return ERR_NOT_FOUND;
	memcpy(a.digest, f.digest, sizeof a.digest);
	memcpy(a.engine, f.engine, sizeof a.engine);
	*ret = a;
	return OK;
}

struct named {
	const char *digest;
	struct str model; /* the one that a change is about; empty: any */
	bool only;        /* no other name has this version */
	char *alias;      /* ALIAS_NAME_MAX + 1 */
};

static enum err read_named(struct db_conn *c, void *arg)
{
	struct named *n = arg;
	struct db_row q;
	enum err e = OK;
	TRY(db_query(c, &Q_NAMED, &q));
	db_bind_str(&q, 1, str_from(n->digest));
	while (!e && !n->alias[0] && db_next(&q))
		if (n->only || str_eq_nocase(db_col_str(&q, 1), n->model))
			e = str_copy(db_col_str(&q, 0), n->alias, ALIAS_NAME_MAX + 1);
	enum err end = db_end(&q);
	return e ? e : end;
}

enum err store_alias_of(struct model_store *s, const char *digest, struct str model, bool only,
	char ret_alias[ALIAS_NAME_MAX + 1])
{
	struct named n = { digest, model, only, ret_alias };
	ret_alias[0] = '\0';
	return s->db ? db_read(s->db, read_named, &n) : OK;
}

struct get {
	struct str name;
	struct alias *alias;
};

static enum err read_one(struct db_conn *c, void *arg)
{
	struct get *g = arg;
	return load(c, g->name, g->alias);
}

static enum err not_found(struct str name, enum err e, struct err_info *info)
{
	if (e != ERR_NOT_FOUND)
		return e;
	return err_set(info, e, "there is no alias \"%.*s\"",
		(int)(name.len < 100 ? name.len : 100), name.ptr);
}

/* Errors: ERR_NOT_FOUND, also for a name that none can have. */
static enum err usable(const struct model_store *s, struct str name, struct err_info *info)
{
	if (!s->db)
		return err_set(info, ERR_UNSUPPORTED, "there is no database");
	return alias_name_check(name, NULL) ? not_found(name, ERR_NOT_FOUND, info) : OK;
}

enum err model_alias_get(
	struct model_store *s, struct str name, struct alias *ret, struct err_info *info)
{
	struct get g = { name, ret };
	TRY(usable(s, name, info));
	return not_found(name, db_read(s->db, read_one, &g), info);
}

struct all {
	struct alias *list;
	size_t n, cap;
};

static enum err add_row(struct db_row *q, struct all *all)
{
	struct str name = db_col_str(q, 0);
	if (all->n && str_eq(name, str_from(all->list[all->n - 1].name)))
		return read_channel(q, &all->list[all->n - 1]);
	if (all->n == all->cap) {
		size_t cap = all->cap ? 2 * all->cap : 8;
		struct alias *more = mem_realloc(all->list, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		all->list = more;
		all->cap = cap;
	}
	struct alias *a = &all->list[all->n++];
	*a = (struct alias){ .name = "" };
	TRY(str_copy(name, a->name, sizeof a->name));
	return read_channel(q, a);
}

static enum err read_all(struct db_conn *c, void *arg)
{
	struct all *all = arg;
	struct db_row q;
	enum err e = OK;
	TRY(db_query(c, &Q_ALL, &q));
	while (!e && db_next(&q))
		e = add_row(&q, all);
	enum err end = db_end(&q);
	return e ? e : end;
}

enum err model_alias_list(struct model_store *s, struct alias **ret, size_t *ret_n)
{
	struct all all = { NULL, 0, 0 };
	enum err e = s->db ? db_read(s->db, read_all, &all) : OK;
	if (!e && !all.list && !(all.list = mem_zalloc(1, sizeof *all.list)))
		e = ERR_NOMEM;
	if (e) {
		mem_free(all.list);
		return e;
	}
	*ret = all.list;
	*ret_n = all.n;
	return OK;
}

struct engines {
	alias_engine_fn fn;
	void *arg;
};

static enum err read_engines(struct db_conn *c, void *arg)
{
	const struct engines *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_ENGINES, &q));
	while (db_next(&q))
		a->fn(db_col_str(&q, 0), db_col_str(&q, 1), a->arg);
	return db_end(&q);
}

enum err alias_engines(struct db *db, alias_engine_fn fn, void *arg)
{
	return db_read(db, read_engines, &(struct engines){ fn, arg });
}

/* ---- changing ---- */

static enum err put_channel(
	struct db_conn *c, const struct alias *a, enum alias_channel channel)
{
	const struct alias_target *t = &a->at[channel];
	struct db_row q;
	TRY(db_query(c, &Q_PUT, &q));
	db_bind_str(&q, 1, str_from(a->name));
	db_bind_str(&q, 2, str_from(alias_channel_text(channel)));
	db_bind_str(&q, 3, str_from(t->digest));
	db_bind_str(&q, 4, str_from(t->model));
	db_bind_str(&q, 5, t->person[0] ? str_from(t->person) : STR_NONE);
	db_bind_i64(&q, 6, t->since_ms);
	db_bind_str(&q, 7, t->trial[0] ? str_from(t->trial) : STR_NONE);
	db_bind_str(&q, 8, str_from(t->reason));
	db_bind_str(&q, 9, str_from(t->engine));
	return db_run(&q);
}

static enum err save(struct db_conn *c, const struct alias *a)
{
	struct db_row q;
	TRY(db_query(c, &Q_CLEAR, &q));
	db_bind_str(&q, 1, str_from(a->name));
	TRY(db_run(&q));
	for (unsigned i = 0; i < ALIAS_CHANNELS; i++)
		if (a->at[i].digest[0])
			TRY(put_channel(c, a, (enum alias_channel)i));
	return OK;
}

/* One change on its way to the writer thread. */
struct change {
	struct model_store *s;
	struct str name, reason;
	const struct alias_choice *choice; /* set */
	struct alias_target target;        /* set */
	const char *engine;                /* keep */
	const char *person;
	int64_t now_ms;
	struct alias alias; /* the result */
	struct err_info *info;
};

static enum err make(struct db_conn *c, struct change *g)
{
	struct db_row q;
	TRY(db_query(c, &Q_COUNT, &q));
	bool full = db_next(&q) && db_col_i64(&q, 0) >= ALIAS_MAX;
	TRY(db_end(&q));
	if (full)
		return err_set(g->info, ERR_LIMIT, "there are %d aliases: no more", ALIAS_MAX);
	TRY(db_query(c, &Q_ADD, &q));
	db_bind_str(&q, 1, g->name);
	db_bind_i64(&q, 2, g->now_ms);
	TRY(db_run(&q));
	return str_copy(g->name, g->alias.name, sizeof g->alias.name);
}

static enum err write_set(struct db_conn *c, void *arg)
{
	struct change *g = arg;
	enum err e = load(c, g->name, &g->alias);
	bool fresh = e == ERR_NOT_FOUND;
	if (fresh)
		e = make(c, g);
	TRY(e);
	enum alias_channel channel = g->choice->channel;
	if (channel == ALIAS_CHANNELS)
		channel = fresh ? ALIAS_PRODUCTION : ALIAS_CANDIDATE;
	struct str engine = g->choice->engine;
	if (!engine.len && g->alias.at[ALIAS_PRODUCTION].engine[0])
		engine = g->choice->current;
	else if (str_eq(engine, STR("none")))
		engine = STR_NONE;
	TRY(str_copy(engine, g->target.engine, sizeof g->target.engine));
	TRY(alias_take(&g->alias, channel, &g->target, g->info));
	return save(c, &g->alias);
}

static enum err passed(struct db_conn *c, const struct alias *a, char ret_trial[ID_LEN + 1])
{
	struct db_row q;
	enum err e = OK;
	ret_trial[0] = '\0';
	TRY(db_query(c, &Q_PASSED, &q));
	db_bind_str(&q, 1, str_from(a->name));
	db_bind_str(&q, 2, str_from(a->at[ALIAS_PRODUCTION].digest));
	db_bind_str(&q, 3, str_from(a->at[ALIAS_CANDIDATE].digest));
	db_bind_i64(&q, 4, ALIAS_PROMPTS_MIN);
	db_bind_str(&q, 5, str_from(a->at[ALIAS_PRODUCTION].engine));
	db_bind_str(&q, 6, str_from(a->at[ALIAS_CANDIDATE].engine));
	if (db_next(&q))
		e = str_copy(db_col_str(&q, 0), ret_trial, ID_LEN + 1);
	enum err end = db_end(&q);
	return e ? e : end;
}

/* A version that is to answer must be here. */
static enum err is_here(struct change *g, const struct alias_target *t)
{
	struct model_entry m;
	if (!t->digest[0] || !store_find_version(g->s, t->digest, &m))
		return OK;
	return err_set(g->info, ERR_NOT_FOUND,
		"the version of \"%s\" that the alias names is not here any more", t->model);
}

static enum err write_promote(struct db_conn *c, void *arg)
{
	struct change *g = arg;
	char trial[ID_LEN + 1];
	TRY(not_found(g->name, load(c, g->name, &g->alias), g->info));
	TRY(passed(c, &g->alias, trial));
	TRY(is_here(g, &g->alias.at[ALIAS_CANDIDATE]));
	TRY(alias_promote(&g->alias, trial, g->reason, g->person, g->now_ms, g->info));
	return save(c, &g->alias);
}

static enum err write_back(struct db_conn *c, void *arg)
{
	struct change *g = arg;
	TRY(not_found(g->name, load(c, g->name, &g->alias), g->info));
	TRY(is_here(g, &g->alias.at[ALIAS_PREVIOUS]));
	TRY(alias_back(&g->alias, g->person, g->now_ms, g->info));
	return save(c, &g->alias);
}

static enum err run(struct change *g, db_fn fn, struct alias *ret)
{
	g->now_ms = time_now_ms();
	TRY(db_write(g->s->db, fn, g));
	*ret = g->alias;
	return OK;
}

/* A model of that name would not be reached any more. */
static enum err no_model_has(struct model_store *s, struct str name, struct err_info *info)
{
	static const char *const tags[] = { "latest", "production", "candidate", "previous" };
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
		struct model_name n = { .source = NAME_REGISTRY,
			.host = NAME_DEFAULT_HOST,
			.ns = NAME_DEFAULT_NAMESPACE };
		TRY(str_copy(name, n.model, sizeof n.model));
		TRY(str_copy(str_from(tags[i]), n.tag, sizeof n.tag));
		pthread_mutex_lock(&s->lock);
		bool taken = store_find_locked(s, &n) != NULL;
		pthread_mutex_unlock(&s->lock);
		if (taken)
			return err_set(info, ERR_CONFLICT, "a model is called \"%s:%s\"", n.model,
				n.tag);
	}
	return OK;
}

static enum err set_locked(struct change *g, struct str model, struct alias *ret)
{
	struct model_entry m;
	struct model_name n;
	TRY(no_model_has(g->s, g->name, g->info));
	TRY(model_store_find(g->s, model, &m, g->info));
	TRY(name_parse(str_from(m.name), &n, NULL));
	n.version[0] = '\0'; /* the digest says which version */
	name_format(&n, g->target.model);
	memcpy(g->target.digest, m.digest, sizeof g->target.digest);
	TRY(str_copy(str_from(g->person ? g->person : ""), g->target.person,
		sizeof g->target.person));
	g->target.since_ms = time_now_ms();
	return run(g, write_set, ret);
}

enum err model_alias_set(struct model_store *s, struct str name, const struct alias_choice *choice,
	const char *person, struct alias *ret, struct err_info *info)
{
	struct change g = {
		.s = s, .name = name, .choice = choice, .person = person, .info = info
	};
	if (!s->db)
		return err_set(info, ERR_UNSUPPORTED, "there is no database");
	TRY(alias_name_check(name, info));
	pthread_mutex_lock(&s->change);
	enum err e = set_locked(&g, choice->model, ret);
	pthread_mutex_unlock(&s->change);
	return e;
}

static enum err change(struct change *g, db_fn fn, struct alias *ret)
{
	TRY(usable(g->s, g->name, g->info));
	pthread_mutex_lock(&g->s->change);
	enum err e = run(g, fn, ret);
	pthread_mutex_unlock(&g->s->change);
	return e;
}

enum err model_alias_promote(struct model_store *s, struct str name, struct str reason,
	const char *person, struct alias *ret, struct err_info *info)
{
	struct change g = {
		.s = s, .name = name, .reason = reason, .person = person, .info = info
	};
	TRY(alias_text_check(reason, "override", info));
	return change(&g, write_promote, ret);
}

enum err model_alias_back(struct model_store *s, struct str name, const char *person,
	struct alias *ret, struct err_info *info)
{
	struct change g = { .s = s, .name = name, .person = person, .info = info };
	return change(&g, write_back, ret);
}

static enum err write_keep(struct db_conn *c, void *arg)
{
	struct change *g = arg;
	TRY(not_found(g->name, load(c, g->name, &g->alias), g->info));
	TRY(alias_keep(&g->alias, g->engine, g->info));
	return save(c, &g->alias);
}

enum err model_alias_keep(struct model_store *s, struct str name, const char *engine,
	struct alias *ret, struct err_info *info)
{
	struct change g = { .s = s, .name = name, .engine = engine, .info = info };
	return change(&g, write_keep, ret);
}

static enum err write_remove(struct db_conn *c, void *arg)
{
	struct change *g = arg;
	struct db_row q;
	TRY(db_query(c, &Q_REMOVE, &q));
	db_bind_str(&q, 1, g->name);
	TRY(db_run(&q));
	return db_changes(c) ? OK : not_found(g->name, ERR_NOT_FOUND, g->info);
}

enum err model_alias_remove(struct model_store *s, struct str name, struct err_info *info)
{
	struct change g = { .s = s, .name = name, .info = info };
	struct alias unused;
	return change(&g, write_remove, &unused);
}
