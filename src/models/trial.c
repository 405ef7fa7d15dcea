/* Prompts, trials and decisions in the database. */
#include "models/trial_int.h"

#include <string.h>

#include "base/fault.h"
#include "base/time.h"

static const struct sql Q_THERE = { "trial.alias", "SELECT 1 FROM alias WHERE name = ?1" };
static const struct sql Q_PROMPT_COUNT = { "trial.prompt_count",
	"SELECT count(*) FROM trial_prompt WHERE alias = ?1" };
static const struct sql Q_PROMPT_ADD = { "trial.prompt_add",
	"INSERT INTO trial_prompt (id, alias, text, person, created_ms) "
	"VALUES (?1, ?2, ?3, ?4, ?5)" };
static const struct sql Q_PROMPTS = { "trial.prompts",
	"SELECT id, text, created_ms FROM trial_prompt WHERE alias = ?1 ORDER BY id" };
static const struct sql Q_PROMPT_REMOVE = { "trial.prompt_remove",
	"DELETE FROM trial_prompt WHERE alias = ?1 AND id = ?2" };
static const struct sql Q_ADD = { "trial.add",
	"INSERT INTO trial (id, alias, old_digest, old_model, new_digest, new_model, state, "
	"prompts, person, created_ms, old_engine, new_engine) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'running', ?7, ?8, ?9, ?10, ?11)" };
static const struct sql Q_END = { "trial.end",
	"UPDATE trial SET state = ?2, note = ?3 WHERE id = ?1 AND state = 'running'" };
static const struct sql Q_ANSWER_ADD = { "trial.answer_add",
	"INSERT INTO trial_answer (trial, place, prompt, old_text, old_ms, new_text, new_ms) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)" };
static const struct sql Q_BROKEN = { "trial.broken",
	"UPDATE trial SET state = 'failed', note = ?1 WHERE state = 'running'" };
#define COLUMNS                                                                                    \
	"SELECT t.id, t.alias, t.state, t.old_digest, t.new_digest, t.old_model, t.new_model, "    \
	"t.person, t.decided_by, t.note, t.created_ms, t.decided_ms, t.prompts, "                  \
	"(SELECT count(*) FROM trial_answer a WHERE a.trial = t.id), "                             \
	"t.old_engine, t.new_engine FROM trial t "
static const struct sql Q_LIST = { "trial.list",
	COLUMNS "WHERE t.alias = ?1 ORDER BY t.created_ms DESC, t.id DESC LIMIT ?2" };
static const struct sql Q_GET = { "trial.get", COLUMNS "WHERE t.alias = ?1 AND t.id = ?2" };
static const struct sql Q_ANSWERS = { "trial.answers",
	"SELECT prompt, old_text, old_ms, new_text, new_ms FROM trial_answer WHERE trial = ?1 "
	"ORDER BY place" };
static const struct sql Q_DECIDE = { "trial.decide",
	"UPDATE trial SET state = ?2, note = ?3, decided_by = ?4, decided_ms = ?5 WHERE id = ?1" };

const struct sql *const trial_sql[] = { &Q_THERE, &Q_PROMPT_COUNT, &Q_PROMPT_ADD, &Q_PROMPTS,
	&Q_PROMPT_REMOVE, &Q_ADD, &Q_END, &Q_ANSWER_ADD, &Q_BROKEN, &Q_LIST, &Q_GET, &Q_ANSWERS,
	&Q_DECIDE };
const size_t trial_sql_count = sizeof trial_sql / sizeof *trial_sql;

/* What the functions here carry to the database's threads. */
struct ask {
	struct str alias, id, text;
	const char *person;
	bool accept;
	trial_prompt_fn prompt_fn;
	trial_answer_fn answer_fn;
	void *arg;
	struct trial_prompt *prompt;
	struct trial *trial; /* the result, or a list of TRIAL_LIST_MAX */
	size_t n;
	struct err_info *info;
};

static enum err no_alias(struct db_conn *c, const struct ask *a)
{
	struct db_row q;
	TRY(db_query(c, &Q_THERE, &q));
	db_bind_str(&q, 1, a->alias);
	bool there = db_next(&q);
	TRY(db_end(&q));
	return there ? OK
		     : err_set(a->info, ERR_NOT_FOUND, "there is no alias \"%.*s\"",
			       (int)(a->alias.len < 100 ? a->alias.len : 100), a->alias.ptr);
}

static struct str person_of(const char *person)
{
	return person && person[0] ? str_from(person) : STR_NONE;
}

/* ---- prompts ---- */

static enum err write_prompt(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct db_row q;
	TRY(no_alias(c, a));
	TRY(db_query(c, &Q_PROMPT_COUNT, &q));
	db_bind_str(&q, 1, a->alias);
	bool full = db_next(&q) && db_col_i64(&q, 0) >= TRIAL_PROMPTS_MAX;
	TRY(db_end(&q));
	if (full)
		return err_set(a->info, ERR_LIMIT, "an alias has at most %d prompts",
			TRIAL_PROMPTS_MAX);
	TRY(db_query(c, &Q_PROMPT_ADD, &q));
	db_bind_str(&q, 1, str_from(a->prompt->id));
	db_bind_str(&q, 2, a->alias);
	db_bind_str(&q, 3, a->text);
	db_bind_str(&q, 4, person_of(a->person));
	db_bind_i64(&q, 5, a->prompt->created_ms);
	enum err e = db_run(&q);
	return e == ERR_EXISTS ? err_set(a->info, e, "this prompt is there already") : e;
}

enum err trial_prompt_add(struct trials *t, struct str alias, struct str text, const char *person,
	struct trial_prompt *ret, struct err_info *info)
{
	struct trial_prompt p = { .text = text, .created_ms = time_now_ms() };
	struct ask a = {
		.alias = alias, .text = text, .person = person, .prompt = &p, .info = info
	};
	if (!str_trim(text).len)
		return err_set(info, ERR_INVALID, "text: the prompt is empty");
	if (text.len > TRIAL_PROMPT_MAX)
		return err_set(info, ERR_INVALID, "text: at most %d bytes", TRIAL_PROMPT_MAX);
	if (!str_is_utf8(text))
		return err_set(info, ERR_INVALID, "text: not UTF-8");
	id_new(p.id);
	TRY(db_write(t->db, write_prompt, &a));
	*ret = p;
	return OK;
}

static enum err read_prompts(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct db_row q;
	enum err e = OK;
	TRY(no_alias(c, a));
	TRY(db_query(c, &Q_PROMPTS, &q));
	db_bind_str(&q, 1, a->alias);
	while (!e && db_next(&q)) {
		struct trial_prompt p = { .text = db_col_str(&q, 1),
			.created_ms = db_col_i64(&q, 2) };
		e = str_copy(db_col_str(&q, 0), p.id, sizeof p.id);
		if (!e)
			a->prompt_fn(&p, a->arg);
	}
	enum err end = db_end(&q);
	return e ? e : end;
}

enum err trial_prompts(struct trials *t, struct str alias, trial_prompt_fn fn, void *arg,
	struct err_info *info)
{
	struct ask a = { .alias = alias, .prompt_fn = fn, .arg = arg, .info = info };
	return db_read(t->db, read_prompts, &a);
}

static enum err delete_prompt(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct db_row q;
	TRY(no_alias(c, a));
	TRY(db_query(c, &Q_PROMPT_REMOVE, &q));
	db_bind_str(&q, 1, a->alias);
	db_bind_str(&q, 2, a->id);
	TRY(db_run(&q));
	return db_changes(c) ? OK : err_set(a->info, ERR_NOT_FOUND, "there is no such prompt");
}

enum err trial_prompt_remove(
	struct trials *t, struct str alias, struct str id, struct err_info *info)
{
	struct ask a = { .alias = alias, .id = id, .info = info };
	return db_write(t->db, delete_prompt, &a);
}

/* ---- trials ---- */

static enum err read_row(struct db_row *q, struct trial *ret)
{
	struct trial t = { .created_ms = db_col_i64(q, 10),
		.decided_ms = db_col_i64(q, 11),
		.prompts = (unsigned)db_col_i64(q, 12),
		.answered = (unsigned)db_col_i64(q, 13) };
	const struct {
		char *to;
		size_t size;
	} text[] = { { t.id, sizeof t.id }, { t.alias, sizeof t.alias },
		{ t.state, sizeof t.state }, { t.digest[0], sizeof t.digest[0] },
		{ t.digest[1], sizeof t.digest[1] }, { t.model[0], sizeof t.model[0] },
		{ t.model[1], sizeof t.model[1] }, { t.person, sizeof t.person },
		{ t.decided_by, sizeof t.decided_by }, { t.note, sizeof t.note } };
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		TRY(str_copy(db_col_str(q, (int)i), text[i].to, text[i].size));
	for (int k = 0; k < 2; k++)
		TRY(str_copy(db_col_str(q, 14 + k), t.engine[k], sizeof t.engine[k]));
	*ret = t;
	return OK;
}

static enum err load(struct db_conn *c, const struct ask *a)
{
	struct db_row q;
	enum err e = OK;
	TRY(no_alias(c, a));
	TRY(db_query(c, &Q_GET, &q));
	db_bind_str(&q, 1, a->alias);
	db_bind_str(&q, 2, a->id);
	bool there = db_next(&q);
	if (there)
		e = read_row(&q, a->trial);
	enum err end = db_end(&q);
	TRY(e);
	TRY(end);
	return there ? OK : err_set(a->info, ERR_NOT_FOUND, "there is no such trial");
}

static enum err read_trial(struct db_conn *c, void *arg)
{
	return load(c, arg);
}

enum err trial_get(struct trials *t, struct str alias, struct str id, struct trial *ret,
	struct err_info *info)
{
	struct ask a = { .alias = alias, .id = id, .trial = ret, .info = info };
	return db_read(t->db, read_trial, &a);
}

static enum err read_list(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct db_row q;
	enum err e = OK;
	TRY(no_alias(c, a));
	TRY(db_query(c, &Q_LIST, &q));
	db_bind_str(&q, 1, a->alias);
	db_bind_i64(&q, 2, TRIAL_LIST_MAX);
	while (!e && a->n < TRIAL_LIST_MAX && db_next(&q))
		e = read_row(&q, &a->trial[a->n++]);
	enum err end = db_end(&q);
	return e ? e : end;
}

enum err trial_list(struct trials *t, struct str alias, struct trial **ret, size_t *ret_n,
	struct err_info *info)
{
	struct ask a = { .alias = alias, .info = info };
	a.trial = mem_zalloc(TRIAL_LIST_MAX, sizeof *a.trial);
	if (!a.trial)
		return ERR_NOMEM;
	enum err e = db_read(t->db, read_list, &a);
	if (e) {
		mem_free(a.trial);
		return e;
	}
	*ret = a.trial;
	*ret_n = a.n;
	return OK;
}

static enum err read_answers(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_ANSWERS, &q));
	db_bind_str(&q, 1, a->id);
	while (db_next(&q))
		a->answer_fn(
			&(struct trial_answer){ .prompt = db_col_str(&q, 0),
				.text = { db_col_str(&q, 1), db_col_str(&q, 3) },
				.ms = { db_col_i64(&q, 2), db_col_i64(&q, 4) } },
			a->arg);
	return db_end(&q);
}

enum err trial_answers(struct trials *t, struct str id, trial_answer_fn fn, void *arg)
{
	struct ask a = { .id = id, .answer_fn = fn, .arg = arg };
	return db_read(t->db, read_answers, &a);
}

static enum err write_row(struct db_conn *c, void *arg)
{
	const struct trial *t = arg;
	struct db_row q;
	TRY(db_query(c, &Q_ADD, &q));
	db_bind_str(&q, 1, str_from(t->id));
	db_bind_str(&q, 2, str_from(t->alias));
	db_bind_str(&q, 3, str_from(t->digest[0]));
	db_bind_str(&q, 4, str_from(t->model[0]));
	db_bind_str(&q, 5, str_from(t->digest[1]));
	db_bind_str(&q, 6, str_from(t->model[1]));
	db_bind_i64(&q, 7, t->prompts);
	db_bind_str(&q, 8, person_of(t->person));
	db_bind_i64(&q, 9, t->created_ms);
	db_bind_str(&q, 10, str_from(t->engine[0]));
	db_bind_str(&q, 11, str_from(t->engine[1]));
	return db_run(&q);
}

enum err trial_row_add(struct trials *t, const struct trial *r)
{
	struct trial row = *r;
	return db_write(t->db, write_row, &row);
}

static enum err write_answer(
	struct db_conn *c, const char *id, size_t place, const struct trial_answer *a)
{
	struct db_row q;
	TRY(db_query(c, &Q_ANSWER_ADD, &q));
	db_bind_str(&q, 1, str_from(id));
	db_bind_i64(&q, 2, (int64_t)place);
	db_bind_str(&q, 3, a->prompt);
	db_bind_str(&q, 4, a->text[0].ptr ? a->text[0] : STR(""));
	db_bind_i64(&q, 5, a->ms[0]);
	db_bind_str(&q, 6, a->text[1].ptr ? a->text[1] : STR(""));
	db_bind_i64(&q, 7, a->ms[1]);
	return db_run(&q);
}

static enum err write_end(struct db_conn *c, void *arg)
{
	const struct trial_result *r = arg;
	struct db_row q;
	bool failed = r->failed.ptr != NULL;
	TRY(db_query(c, &Q_END, &q));
	db_bind_str(&q, 1, str_from(r->id));
	db_bind_str(&q, 2, failed ? STR("failed") : STR("done"));
	db_bind_str(&q, 3, failed ? str_sub(r->failed, 0, ALIAS_REASON_MAX) : STR(""));
	TRY(db_run(&q));
	if (!db_changes(c))
		return ERR_NOT_FOUND;
	for (size_t i = 0; !failed && i < r->n; i++)
		TRY(write_answer(c, r->id, i, &r->answer[i]));
	return OK;
}

enum err trial_row_end(struct trials *t, const struct trial_result *r)
{
	struct trial_result result = *r;
	return db_write(t->db, write_end, &result);
}

/* ---- decisions ---- */

enum err trial_may_decide(const struct trial *t, bool accept, struct err_info *info)
{
	if (!strcmp(t->state, "running"))
		return err_set(info, ERR_CONFLICT, "the trial is still running");
	if (!strcmp(t->state, "failed"))
		return err_set(info, ERR_CONFLICT, "the trial failed: run it again");
	if (accept && t->answered < ALIAS_PROMPTS_MIN)
		return err_set(info, ERR_CONFLICT,
			"the trial has %u answered prompts; it takes %d to be accepted",
			t->answered, ALIAS_PROMPTS_MIN);
	return OK;
}

static enum err write_decision(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct trial *t = a->trial;
	struct db_row q;
	TRY(load(c, a));
	TRY(trial_may_decide(t, a->accept, a->info));
	TRY(str_copy(a->accept ? STR("accepted") : STR("rejected"), t->state, sizeof t->state));
	TRY(str_copy(a->text, t->note, sizeof t->note));
	TRY(str_copy(str_from(a->person ? a->person : ""), t->decided_by, sizeof t->decided_by));
	t->decided_ms = time_now_ms();
	TRY(db_query(c, &Q_DECIDE, &q));
	db_bind_str(&q, 1, str_from(t->id));
	db_bind_str(&q, 2, str_from(t->state));
	db_bind_str(&q, 3, str_from(t->note));
	db_bind_str(&q, 4, person_of(t->decided_by));
	db_bind_i64(&q, 5, t->decided_ms);
	return db_run(&q);
}

enum err trial_decide(struct trials *t, struct str alias, struct str id, bool accept,
	struct str note, const char *person, struct trial *ret, struct err_info *info)
{
	struct trial result;
	struct ask a = { .alias = alias, .id = id, .accept = accept, .text = note,
		.person = person, .trial = &result, .info = info };
	TRY(alias_text_check(note, "note", info));
	TRY(db_write(t->db, write_decision, &a));
	*ret = result;
	return OK;
}

/* ---- life ---- */

static enum err end_broken(struct db_conn *c, void *arg)
{
	struct db_row q;
	(void)arg;
	TRY(db_query(c, &Q_BROKEN, &q));
	db_bind_str(&q, 1, STR("the server was started again while it ran"));
	return db_run(&q);
}

enum err trials_new(
	struct db *db, struct model_store *store, struct fleet *fleet, struct trials **ret)
{
	struct trials *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	*t = (struct trials){ .db = db, .store = store, .fleet = fleet };
	enum err e = OK;
	if (pthread_mutex_init(&t->lock, NULL) || pthread_cond_init(&t->more, NULL))
		e = ERR_NOMEM;
	if (!e)
		e = db_damaged(db) ? OK : db_write(db, end_broken, NULL);
	if (e) {
		mem_free(t);
		return e;
	}
	*ret = t;
	return OK;
}

struct trials *trials_free(struct trials *t)
{
	if (!t)
		return NULL;
	pthread_mutex_lock(&t->lock);
	t->closing = true;
	pthread_cond_broadcast(&t->more);
	bool joinable = t->joinable;
	pthread_mutex_unlock(&t->lock);
	if (joinable)
		(void)pthread_join(t->thread, NULL);
	(void)pthread_cond_destroy(&t->more);
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t);
	return NULL;
}
