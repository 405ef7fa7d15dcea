#include "store/upgrade.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "os/fd.h"
#include "store/db.h"
#include "tests/test.h"

static const struct migration steps[] = {
	{ 1, "one", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT) STRICT" },
	{ 2, "two", "CREATE TABLE t2 (id INTEGER PRIMARY KEY) STRICT; UPDATE t SET v = 'two'" },
	{ 3, "three", "UPDATE t SET v = 'three'" },
	{ 4, "four", "UPDATE t SET v = 'four'" },
};
static const struct sql Q_SET = { "t.set", "INSERT OR REPLACE INTO t VALUES (1, ?1)" };
static const struct sql Q_GET = { "t.get", "SELECT v FROM t WHERE id = 1" };

static char path[600], snapshots[600];

static struct db *open_at(unsigned version)
{
	struct db_options o = { .path = path,
		.snapshot_dir = snapshots,
		.readers = 1,
		.create = true,
		.migrations = steps,
		.n_migrations = version,
		.build = "b" };
	struct err_info info = { 0 };
	struct db *d = NULL;
	snprintf(path, sizeof path, "%s/t.db", test_dir());
	snprintf(snapshots, sizeof snapshots, "%s/snapshots", test_dir());
	if (db_open(&o, &d, &info))
		FAIL("%s", info.detail);
	return d;
}

static enum err set(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_SET, &r));
	db_bind_str(&r, 1, str_from(arg));
	return db_run(&r);
}

static enum err get(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_GET, &r));
	enum err e = db_next(&r) ? str_copy(db_col_str(&r, 0), arg, 40) : ERR_NOT_FOUND;
	enum err end = db_end(&r);
	return e ? e : end;
}

static void value_is(unsigned version, const char *want)
{
	char have[40];
	struct db *d = open_at(version);
	CHECK_OK(db_read(d, get, have));
	CHECK_EQ_Z(have, want);
	db_close(d);
}

static unsigned count_files(const char *dir, const char *begin)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;
	CHECK(d != NULL);
	while ((e = readdir(d)))
		n += strncmp(e->d_name, begin, strlen(begin)) == 0;
	closedir(d);
	return n;
}

static void make_version_1(void)
{
	struct db *d = open_at(1);
	CHECK_OK(db_write(d, set, "first"));
	db_close(d);
}

TEST(an_upgrade_of_several_steps_is_undone_as_one)
{
	struct upgrade_undone u;
	make_version_1();
	CHECK(access(snapshots, F_OK) != 0); /* a new database needs no copy */
	value_is(3, "three");
	CHECK_EQ_INT(count_files(snapshots, "before-0002-"), 1);
	CHECK_EQ_INT(count_files(snapshots, "before-"), 1);
	CHECK_OK(store_undo_upgrade(path, snapshots, &u, NULL));
	CHECK_EQ_INT(u.before, 2);
	value_is(1, "first"); /* the older binary works with it */
	char kept[700];
	snprintf(kept, sizeof kept, "%s/%s", test_dir(), u.kept_as);
	CHECK(access(kept, F_OK) == 0);
	struct err_info info = { 0 };
	CHECK_ERR(store_undo_upgrade(path, snapshots, &u, &info), ERR_NOT_FOUND);
	CHECK(info.hint[0]);
	value_is(3, "three"); /* and it can be upgraded again */
}

TEST(the_log_of_the_undone_database_never_meets_the_old_one)
{
	struct upgrade_undone u;
	char wal[640], kept[760];
	make_version_1();
	pid_t pid = fork();
	if (pid == 0) { /* dies with a log full of changes */
		struct db *d = open_at(2);
		_exit(db_write(d, set, "newer"));
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	snprintf(wal, sizeof wal, "%s-wal", path);
	CHECK(access(wal, F_OK) == 0);
	CHECK_OK(store_undo_upgrade(path, snapshots, &u, NULL));
	CHECK(access(wal, F_OK) != 0);
	value_is(1, "first");
	/* what was undone is whole too, with its log */
	snprintf(kept, sizeof kept, "%s/%s", test_dir(), u.kept_as);
	CHECK(rename(kept, path) == 0);
	snprintf(kept, sizeof kept, "%s/%s-wal", test_dir(), u.kept_as);
	CHECK(rename(kept, wal) == 0);
	value_is(2, "newer");
}

TEST(an_undo_survives_every_call_that_fails)
{
	for (unsigned n = 1;; n++) {
		struct upgrade_undone u;
		char left[640];
		CHECK_OK(dir_remove_tree(test_dir()));
		CHECK_OK(dir_make(test_dir(), 0700));
		make_version_1();
		value_is(2, "two");
		fault_arm(FAULT_SYSCALL, n);
		enum err e = store_undo_upgrade(path, snapshots, &u, NULL);
		bool hit = fault_fired(FAULT_SYSCALL);
		fault_arm(FAULT_SYSCALL, 0);
		CHECK(e == OK || hit);
		/* undone, or not: never something between, never nothing */
		snprintf(left, sizeof left, "%s.undo", path);
		if (e && access(left, F_OK) != 0) {
			struct stat st;
			CHECK(stat(path, &st) == 0);
		}
		if (e) { /* a second try, or simply the next start, brings it to an end */
			enum err again = store_undo_upgrade(path, snapshots, &u, NULL);
			CHECK(again == OK || again == ERR_NOT_FOUND);
		}
		value_is(1, "first");
		if (!hit)
			return;
	}
}

TEST(old_snapshots_are_cleared_away)
{
	static int64_t now = 1700000000000;
	char name[700];
	make_version_1();
	for (int i = 0; i < 6; i++) {
		char at[TIME_RFC3339_LEN];
		time_rfc3339(now += 86400000, at);
		snprintf(name, sizeof name, "%s/before-0001-%.4s%.2s%.2sT120000000Z.db", snapshots,
			at, at + 5, at + 8);
		CHECK_OK(dir_make(snapshots, 0700));
		CHECK_OK(file_write_atomic(name, STR("old"), 0600));
	}
	value_is(2, "two");
	CHECK_EQ_INT(count_files(snapshots, "before-"), UPGRADE_KEEP);
	CHECK_EQ_INT(count_files(snapshots, "before-0002-"), 1);
}

TEST(copies_that_a_killed_backup_left_are_cleared_away_after_a_day)
{
	static const char *const names[] = { "backup-01ABC.db", "backup-01ABC.db.part",
		"before-0002-1.db" };
	char folder[640], file[3][700];
	struct stat st;
	snprintf(folder, sizeof folder, "%s/copies", test_dir());
	CHECK_OK(dir_make(folder, 0700));
	for (size_t i = 0; i < 3; i++) {
		snprintf(file[i], sizeof file[i], "%s/%s", folder, names[i]);
		CHECK_OK(file_write_atomic(file[i], STR("x"), 0600));
	}
	CHECK(stat(file[0], &st) == 0);
	int64_t then = (int64_t)st.st_mtime * 1000;
	store_sweep_copies(folder, then + INT64_C(23) * 3600 * 1000);
	CHECK(!access(file[0], F_OK) && !access(file[1], F_OK) && !access(file[2], F_OK));
	store_sweep_copies(folder, then + INT64_C(25) * 3600 * 1000);
	CHECK(access(file[0], F_OK) && access(file[1], F_OK) && !access(file[2], F_OK));
	store_sweep_copies("/nowhere/at/all", then);
}
