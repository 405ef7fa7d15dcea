/* The n-th allocation and the n-th disk call fail, SQLite's own included: nothing acknowledged may
 * be lost, nothing may crash or leak, and the next start is clean. */
#include "store/db.h"
#include "store/fault_vfs.h"
#include "tests/test.h"

static const struct migration schema[] = {
	{ 1, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT) STRICT" },
};
static const struct sql Q_ADD = { "t.add", "INSERT INTO t VALUES (?1, ?2)" };
static const struct sql Q_IDS = { "t.ids", "SELECT id FROM t ORDER BY id" };

enum { ROWS = 6 };

static enum err add(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_ADD, &r));
	db_bind_i64(&r, 1, *(int *)arg);
	db_bind_str(&r, 2, STR("some text"));
	return db_run(&r);
}

static enum err ids(struct db_conn *c, void *arg)
{
	bool *there = arg;
	struct db_row r;
	TRY(db_query(c, &Q_IDS, &r));
	while (db_next(&r))
		there[db_col_i64(&r, 0)] = true;
	return db_end(&r);
}

static enum err open_db(struct db **ret, struct err_info *info)
{
	struct db_options o = { .path = "f.db", .readers = 1, .create = true, .vfs = FAULT_VFS_NAME,
		.migrations = schema, .n_migrations = 1, .build = "t", .page_key = { 5 } };
	return db_open(&o, ret, info);
}

/* One life of a database with a fault. `told[i]`: row i was acknowledged. Allocations fail from
 * after the opening on: SQLite3MC 2.3.5 itself dereferences NULL when one fails in
 * sqlite3_open_v2(). */
static void live(enum fault_kind k, unsigned n, bool *told)
{
	struct err_info info = { 0 };
	struct db *d = NULL;
	bool there[ROWS];
	if (k == FAULT_SYSCALL)
		fault_arm(k, n);
	if (open_db(&d, &info)) {
		CHECK(info.code && info.detail[0]); /* whoever starts it is told why */
		return;
	}
	if (k == FAULT_ALLOC)
		fault_arm(k, n);
	for (int i = 0; i < ROWS; i++) {
		told[i] = db_write(d, add, &i) == OK;
		(void)db_read(d, ids, there); /* may fail; must not crash */
	}
	db_close(d);
}

static void all_told_is_there(const bool *told)
{
	AUTO_BUF struct buf report = BUF(65536);
	struct err_info info = { 0 };
	bool there[ROWS] = { 0 };
	struct db *d = NULL;
	enum err e = open_db(&d, &info);
	if (e)
		FAIL("does not open again: %s: %s", err_slug(e), info.detail);
	CHECK_OK(db_read(d, ids, there));
	for (int i = 0; i < ROWS; i++)
		CHECK(there[i] || !told[i]);
	CHECK_OK(db_check(d, &report));
	int more = ROWS - 1;
	if (!there[more])
		CHECK_OK(db_write(d, add, &more)); /* and it goes on */
	db_close(d);
}

static unsigned for_every_fault(enum fault_kind k)
{
	unsigned rounds = 0;
	for (unsigned n = 1;; n += 1 + n / 40) {
		bool told[ROWS] = { 0 };
		CHECK_OK(fault_vfs_reset());
		struct db *d = NULL;
		CHECK_OK(open_db(
			&d, NULL)); /* creation is tested apart: on a real disk it is a rename */
		db_close(d);
		live(k, n, told);
		bool hit = fault_fired(k);
		fault_arm(k, 0);
		all_told_is_there(told);
		rounds++;
		if (!hit) {
			for (int i = 0; i < ROWS; i++)
				CHECK(told[i]);
			return rounds;
		}
	}
}

TEST_TIMEOUT(nothing_is_lost_when_the_nth_allocation_fails, 120)
{
	fault_vfs_hook_memory();
	CHECK(for_every_fault(FAULT_ALLOC) > 30);
}

TEST_TIMEOUT(nothing_is_lost_when_the_nth_disk_call_fails, 120)
{
	CHECK(for_every_fault(FAULT_SYSCALL) > 30);
}
