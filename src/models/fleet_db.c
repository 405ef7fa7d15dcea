#include "models/fleet_db.h"

#include "base/time.h"

static const struct sql Q_PIN = { "fleet.pin",
	"INSERT INTO model_pin (name, person, created_ms, engine) VALUES (?1, ?2, ?3, ?4) "
	"ON CONFLICT (name) DO UPDATE SET engine = excluded.engine" };
static const struct sql Q_UNPIN = { "fleet.unpin", "DELETE FROM model_pin WHERE name = ?1" };
static const struct sql Q_PINS = { "fleet.pins",
	"SELECT name, engine FROM model_pin ORDER BY created_ms, name" };
static const struct sql Q_TUNED = { "fleet.tuned",
	"SELECT line, build FROM engine_tuning WHERE model_digest = ?1 AND machine = ?2 "
	"ORDER BY measured_ms DESC LIMIT 1" };
static const struct sql Q_TUNED_PUT = { "fleet.tuned_put",
	"INSERT INTO engine_tuning (model_digest, build, machine, line, measured_ms) "
	"VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (model_digest, build, machine) DO UPDATE SET "
	"line = excluded.line, measured_ms = excluded.measured_ms" };
static const struct sql Q_TUNED_REMOVE = { "fleet.tuned_remove",
	"DELETE FROM engine_tuning WHERE model_digest = ?1" };

const struct sql *const fleet_db_sql[] = { &Q_PIN, &Q_UNPIN, &Q_PINS, &Q_TUNED, &Q_TUNED_PUT,
	&Q_TUNED_REMOVE };
const size_t fleet_db_sql_count = sizeof fleet_db_sql / sizeof *fleet_db_sql;

struct row {
	struct str name, engine, person, build, machine, line;
	pin_fn fn;
	void *arg;
	struct engine_load *load;
};

static enum err write_pin(struct db_conn *c, void *arg)
{
	const struct row *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_PIN, &q));
	db_bind_str(&q, 1, a->name);
	db_bind_str(&q, 2, a->person);
	db_bind_i64(&q, 3, time_now_ms());
	db_bind_str(&q, 4, a->engine);
	return db_run(&q);
}

enum err pin_store(struct db *db, struct str name, const char *engine, const char *person)
{
	struct row a = {
		.name = name, .engine = str_from(engine), .person = str_from(person)
	};
	return db_write(db, write_pin, &a);
}

static enum err delete_pin(struct db_conn *c, void *arg)
{
	const struct row *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_UNPIN, &q));
	db_bind_str(&q, 1, a->name);
	return db_run(&q);
}

enum err pin_remove(struct db *db, struct str name)
{
	struct row a = { .name = name };
	return db_write(db, delete_pin, &a);
}

static enum err read_pins(struct db_conn *c, void *arg)
{
	const struct row *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_PINS, &q));
	while (db_next(&q))
		a->fn(db_col_str(&q, 0), db_col_str(&q, 1), a->arg);
	return db_end(&q);
}

enum err pin_each(struct db *db, pin_fn fn, void *arg)
{
	struct row a = { .fn = fn, .arg = arg };
	return db_read(db, read_pins, &a);
}

static enum err read_tuning(struct db_conn *c, void *arg)
{
	const struct row *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_TUNED, &q));
	db_bind_str(&q, 1, a->name);
	db_bind_str(&q, 2, a->machine);
	if (db_next(&q) &&
		(str_copy(db_col_str(&q, 0), a->load->tuned, sizeof a->load->tuned) ||
			str_copy(db_col_str(&q, 1), a->load->tuned_build,
				sizeof a->load->tuned_build)))
		a->load->tuned[0] = a->load->tuned_build[0] = '\0'; /* too long: measure again */
	return db_end(&q);
}

enum err tuning_read(struct db *db, const char *digest, struct str machine, struct engine_load *ret)
{
	struct row a = { .name = str_from(digest), .machine = machine, .load = ret };
	return db_read(db, read_tuning, &a);
}

static enum err write_tuning(struct db_conn *c, void *arg)
{
	const struct row *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_TUNED_PUT, &q));
	db_bind_str(&q, 1, a->name);
	db_bind_str(&q, 2, a->build);
	db_bind_str(&q, 3, a->machine);
	db_bind_str(&q, 4, a->line);
	db_bind_i64(&q, 5, time_now_ms());
	return db_run(&q);
}

enum err tuning_store(
	struct db *db, const char *digest, struct str build, struct str machine, struct str line)
{
	struct row a = {
		.name = str_from(digest), .build = build, .machine = machine, .line = line
	};
	return db_write(db, write_tuning, &a);
}

static enum err delete_tuning(struct db_conn *c, void *arg)
{
	const struct row *a = arg;
	struct db_row q;
	TRY(db_query(c, &Q_TUNED_REMOVE, &q));
	db_bind_str(&q, 1, a->name);
	return db_run(&q);
}

enum err tuning_remove(struct db *db, const char *digest)
{
	struct row a = { .name = str_from(digest) };
	return db_write(db, delete_tuning, &a);
}
