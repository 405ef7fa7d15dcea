#include "store/db.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "os/fd.h"
#include "os/threads.h"
#include "tests/test.h"

static const struct migration notes[] = {
	{ 1, "notes",
		"CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT UNIQUE, data BLOB, f REAL) "
		"STRICT;"
		"CREATE TABLE child (note INTEGER NOT NULL REFERENCES note(id)) STRICT;" },
	{ 2, "more", "ALTER TABLE note ADD COLUMN extra TEXT;" },
	{ 3, "broken",
		"ALTER TABLE note ADD COLUMN x TEXT; ALTER TABLE nothing ADD COLUMN y TEXT;" },
};
static const struct sql Q_ADD = { "note.add", "INSERT INTO note (id, text) VALUES (?, ?)" };
static const struct sql Q_ALL = { "note.all", "SELECT id, text, data, f FROM note ORDER BY id" };
static const struct sql Q_COUNT = { "note.count", "SELECT count(*) FROM note" };
static const struct sql Q_CHILD = { "child.add", "INSERT INTO child VALUES (?)" };
static const struct sql Q_FULL = { "note.full",
	"INSERT INTO note (id, text, data, f) VALUES (?, ?, ?, ?)" };

static char path[600], snapshots[600];

static struct db_options options(unsigned n_migrations)
{
	snprintf(path, sizeof path, "%s/t.db", test_dir());
	snprintf(snapshots, sizeof snapshots, "%s/snapshots", test_dir());
	struct db_options o = { .path = path,
		.snapshot_dir = snapshots,
		.readers = 2,
		.create = true,
		.migrations = notes,
		.n_migrations = n_migrations,
		.build = "test 1" };
	for (size_t i = 0; i < KEY_LEN; i++)
		o.page_key[i] = (uint8_t)(i * 7 + 1);
	return o;
}

static struct db *open_db(unsigned n_migrations)
{
	struct db_options o = options(n_migrations);
	struct err_info info = { 0 };
	struct db *d = NULL;
	enum err e = db_open(&o, &d, &info);
	if (e)
		FAIL("%s: %s", err_slug(e), info.detail);
	return d;
}

struct note {
	int64_t id;
	const char *text;
};

static enum err add_note(struct db_conn *c, void *arg)
{
	const struct note *n = arg;
	struct db_row r;
	TRY(db_query(c, &Q_ADD, &r));
	db_bind_i64(&r, 1, n->id);
	db_bind_str(&r, 2, str_from(n->text));
	return db_run(&r);
}

static enum err count_notes(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_COUNT, &r));
	*(int64_t *)arg = db_next(&r) ? db_col_i64(&r, 0) : -1;
	return db_end(&r);
}

static int64_t count(struct db *d)
{
	int64_t n = -1;
	CHECK_OK(db_read(d, count_notes, &n));
	return n;
}

/* ---- values ---- */

static enum err add_values(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_FULL, &r));
	db_bind_i64(&r, 1, INT64_MAX);
	db_bind_str(&r, 2, STR("\xc3\xa4\0b"));
	db_bind_blob(&r, 3, STR("\0\1\2"));
	db_bind_f64(&r, 4, 0.1);
	TRY(db_run(&r));
	CHECK_EQ_INT(db_changes(c), 1);
	TRY(db_query(c, &Q_FULL, &r));
	db_bind_i64(&r, 1, INT64_MIN);
	db_bind_str(&r, 2, STR_NONE);
	db_bind_blob(&r, 3, (struct str){ "", 0 });
	db_bind_null(&r, 4);
	return db_run(&r);
}

static enum err read_values(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_ALL, &r));
	CHECK(db_next(&r));
	CHECK_EQ_INT(db_col_i64(&r, 0), INT64_MIN);
	CHECK(db_col_null(&r, 1) && !db_col_str(&r, 1).ptr);
	CHECK(!db_col_null(&r, 2) && db_col_blob(&r, 2).ptr && db_col_blob(&r, 2).len == 0);
	CHECK(db_col_null(&r, 3));
	CHECK(db_next(&r));
	CHECK_EQ_INT(db_col_i64(&r, 0), INT64_MAX);
	CHECK_EQ_STR(db_col_str(&r, 1), STR("\xc3\xa4\0b"));
	CHECK_EQ_STR(db_col_blob(&r, 2), STR("\0\1\2"));
	CHECK(db_col_f64(&r, 3) == 0.1);
	CHECK(!db_next(&r));
	CHECK(!db_next(&r)); /* stays at the end instead of starting again */
	return db_end(&r);
}

TEST(values_come_back_as_they_went)
{
	struct db *d = open_db(1);
	CHECK_OK(db_write(d, add_values, NULL));
	CHECK_OK(db_read(d, read_values, NULL));
	d = db_close(d);
	d = open_db(1);
	CHECK_OK(db_read(d, read_values, NULL));
	db_close(d);
}

/* ---- errors ---- */

static enum err add_child(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_CHILD, &r));
	db_bind_i64(&r, 1, 99);
	return db_run(&r);
}

static enum err add_two_then_fail(struct db_conn *c, void *arg)
{
	TRY(add_note(c, &(struct note){ 10, "ten" }));
	TRY(add_note(c, &(struct note){ 11, "eleven" }));
	return ERR_CONFLICT;
}

static enum err leave_open(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_ALL, &r));
	(void)db_next(&r);
	return ERR_INVALID; /* forgets db_end() */
}

TEST(errors_of_statements_have_names_and_undo_their_write)
{
	struct db *d = open_db(1);
	CHECK_OK(db_write(d, add_note, &(struct note){ 1, "one" }));
	CHECK_ERR(db_write(d, add_note, &(struct note){ 1, "uno" }), ERR_EXISTS);
	CHECK_ERR(db_write(d, add_note, &(struct note){ 2, "one" }), ERR_EXISTS);
	CHECK_ERR(db_write(d, add_child, NULL), ERR_CONFLICT);
	CHECK_ERR(db_write(d, add_two_then_fail, NULL), ERR_CONFLICT);
	CHECK_ERR(db_write(d, leave_open, NULL), ERR_INVALID);
	CHECK_ERR(db_read(d, leave_open, NULL), ERR_INVALID);
	CHECK_EQ_INT(count(d), 1);
	CHECK_ERR(
		db_read(d, add_note, &(struct note){ 3, "three" }), ERR_DENIED); /* readers read */
	CHECK_OK(db_write(d, add_note, &(struct note){ 3, "three" }));
	CHECK_EQ_INT(count(d), 2);
	CHECK(!db_damaged(d));
	db_close(d);
}

TEST(every_statement_of_a_list_is_prepared)
{
	static const struct sql bad = { "bad", "SELECT nothing FROM note" };
	static const struct sql two = { "two", "SELECT 1; SELECT 2" };
	struct db *d = open_db(1);
	CHECK_OK(db_prepare_check(d, (const struct sql *const[]){ &Q_ADD, &Q_ALL }, 2));
	CHECK_ERR(
		db_prepare_check(d, (const struct sql *const[]){ &Q_ADD, &bad }, 2), ERR_INTERNAL);
	CHECK_ERR(db_prepare_check(d, (const struct sql *const[]){ &two }, 1), ERR_INTERNAL);
	db_close(d);
}

/* ---- groups ---- */

struct hammer {
	struct db *d;
	int64_t first, n;
	atomic_int *failed;
};

static enum err add_odd_fails(struct db_conn *c, void *arg)
{
	const struct note *n = arg;
	TRY(add_note(c, arg));
	return n->id % 5 == 0 ? ERR_CONFLICT : OK;
}

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	for (int64_t i = 0; i < h->n; i++) {
		struct note n = { h->first + i, NULL };
		enum err e = db_write(h->d, add_odd_fails, &n);
		if (e != (n.id % 5 == 0 ? ERR_CONFLICT : OK))
			atomic_fetch_add(h->failed, 1);
	}
	return NULL;
}

TEST_TIMEOUT(writes_of_many_threads_share_commits_and_fail_alone, 60)
{
	enum { THREADS = 16, EACH = 50 };
	struct db *d = open_db(1);
	pthread_t t[THREADS];
	struct hammer h[THREADS];
	atomic_int failed = 0;
	for (int i = 0; i < THREADS; i++) {
		h[i] = (struct hammer){ d, i * EACH, EACH, &failed };
		CHECK_OK(thread_start("hammer", 128 * 1024, hammer, &h[i], &t[i]));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ_INT(failed, 0);
	CHECK_EQ_INT(count(d), THREADS * EACH * 4 / 5);
	d = db_close(d);
	d = open_db(1);
	CHECK_EQ_INT(count(d), THREADS * EACH * 4 / 5);
	db_close(d);
}

/* ---- opening ---- */

/* Every name and every byte of a folder, as one hash: has anything been written? */
static void folder_hash(const char *dir, uint8_t out[SHA256_LEN])
{
	struct dirent **list;
	struct sha256 h;
	sha256_init(&h);
	int n = scandir(dir, &list, NULL, alphasort);
	CHECK(n >= 0);
	for (int i = 0; i < n; i++) {
		char at[900];
		struct stat st;
		snprintf(at, sizeof at, "%s/%s", dir, list[i]->d_name);
		sha256_add(&h, list[i]->d_name, strlen(list[i]->d_name));
		if (!stat(at, &st) && S_ISREG(st.st_mode)) {
			AUTO_BUF struct buf b = BUF(64 << 20);
			CHECK_OK(file_read(at, &b));
			sha256_add(&h, b.ptr, b.len);
			sha256_add(&h, &st.st_mtim, sizeof st.st_mtim);
		}
		free(list[i]);
	}
	free(list);
	sha256_end(&h, out);
}

/* Opening must fail with `want`, say why, and leave every byte as it was. */
static void refused(struct db_options *o, enum err want, const char *part_of_detail)
{
	uint8_t before[SHA256_LEN], after[SHA256_LEN];
	struct err_info info = { 0 };
	struct db *d = NULL;
	folder_hash(test_dir(), before);
	CHECK_ERR(db_open(o, &d, &info), want);
	folder_hash(test_dir(), after);
	CHECK(!d);
	CHECK(memcmp(before, after, sizeof before) == 0);
	CHECK_EQ_INT(info.code, want);
	if (!strstr(info.detail, part_of_detail))
		FAIL("detail is: %s", info.detail);
	CHECK(info.hint[0]);
}

static void poke(const char *file, off_t at, const void *bytes, size_t n)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(pwrite(fd, bytes, n, at) == (ssize_t)n);
	close(fd);
}

TEST(a_missing_database_is_made_only_when_asked)
{
	struct db_options o = options(1);
	o.create = false;
	refused(&o, ERR_NOT_FOUND, "no database");
	db_close(open_db(1));
	struct stat st;
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	struct db *d = NULL;
	CHECK_OK(db_open(&o, &d, NULL));
	CHECK_EQ_INT(db_schema_version(d), 1);
	db_close(d);
}

TEST(wrong_keys_and_foreign_files_are_refused_unwritten)
{
	struct db *d = open_db(1);
	CHECK_OK(db_write(d, add_note, &(struct note){ 1, "one" }));
	db_close(d);
	struct db_options o = options(1);
	o.page_key[5] ^= 1;
	refused(&o, ERR_KEY, "key does not open");
	o = options(1);
	poke(path, 20, "\0", 1);
	refused(&o, ERR_KEY, "header");
	poke(path, 20, "\x20", 1);
	poke(path, 3000, "damage", 6);
	refused(&o, ERR_KEY, "first page is damaged");
	CHECK_OK(file_write_atomic(
		path, STR("SQLite format 3\0 and so on, but long enough to be read "), 0600));
	refused(&o, ERR_CORRUPT, "cut off");
}

TEST(a_plain_sqlite_file_is_refused)
{
	AUTO_BUF struct buf b = BUF(1 << 20);
	struct db_options o = options(1);
	CHECK_OK(buf_add(&b, STR("SQLite format 3\0\x10\0\2\2\x20\x40\x20\x20")));
	CHECK_OK(buf_add_zeros(&b, 8192 - b.len));
	CHECK_OK(file_write_atomic(path, buf_str(&b), 0600));
	refused(&o, ERR_KEY, "not encrypted");
}

TEST(newer_and_edited_schemas_are_refused_unwritten)
{
	db_close(open_db(2));
	struct db_options o = options(1);
	refused(&o, ERR_SCHEMA, "newer version (test 1, schema 2; this one knows 1)");
	struct migration edited[2] = { notes[0], notes[1] };
	edited[0].sql = "CREATE TABLE note (id INTEGER PRIMARY KEY)";
	o = options(2);
	o.migrations = edited;
	refused(&o, ERR_SCHEMA, "migration 1 (notes)");
}

/* Leaves a database with a log behind, as a crash does: opened in a child that is killed. */
static void crash_with_log(int64_t writes)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct db *d = open_db(1);
		for (int64_t i = 1; i <= writes; i++)
			if (db_write(d, add_note, &(struct note){ i, NULL }))
				_exit(1);
		_exit(0); /* without closing */
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(a_crash_keeps_what_was_acknowledged)
{
	crash_with_log(20);
	struct db *d = open_db(1);
	CHECK_EQ_INT(count(d), 20);
	db_close(d);
}

TEST(a_damaged_log_is_refused_unwritten_a_torn_end_is_not)
{
	enum { FRAME = 24 + 4096 };
	char wal[620];
	struct stat st;
	crash_with_log(20);
	struct db_options o = options(1);
	snprintf(wal, sizeof wal, "%s-wal", path);
	CHECK(stat(wal, &st) == 0 && st.st_size > 32 + 10 * FRAME);
	char was[1], bad[1];
	int fd = open(wal, O_RDONLY | O_CLOEXEC);
	CHECK(pread(fd, was, 1, 32 + 3 * FRAME + 1000) == 1);
	close(fd);
	bad[0] = was[0] ^ 0x10;
	poke(wal, 32 + 3 * FRAME + 1000, bad, 1); /* inside an acknowledged transaction */
	refused(&o, ERR_CORRUPT, "write-ahead log");
	poke(wal, 32 + 3 * FRAME + 1000, was, 1);
	poke(wal, 18, "\xff\xfe", 2); /* its header */
	refused(&o, ERR_CORRUPT, "write-ahead log");
}

TEST(a_log_cut_off_in_its_last_frame_is_recovered)
{
	char wal[620];
	struct stat st;
	crash_with_log(20);
	(void)options(1);
	snprintf(wal, sizeof wal, "%s-wal", path);
	CHECK(stat(wal, &st) == 0);
	CHECK(truncate(wal, st.st_size - 100) == 0);
	struct db *d = open_db(1);
	CHECK_EQ_INT(count(d), 19);
	db_close(d);
}

TEST(a_log_without_its_database_is_refused)
{
	crash_with_log(3);
	struct db_options o = options(1);
	CHECK(unlink(path) == 0);
	refused(&o, ERR_CORRUPT, "missing");
}

TEST(a_cut_off_creation_is_started_again)
{
	struct db_options o = options(1);
	char half[640];
	snprintf(half, sizeof half, "%s.new", o.path);
	CHECK_OK(file_write_atomic(half, STR("half"), 0600));
	db_close(open_db(1));
	CHECK(access(half, F_OK) != 0);
}

/* ---- damage while running ---- */

static enum err read_all(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_ALL, &r));
	while (db_next(&r))
		(void)db_col_blob(&r, 2);
	return db_end(&r);
}

static enum err add_bulk(struct db_conn *c, void *arg)
{
	static char zeros[3000];
	for (int64_t i = 0; i < 200; i++) {
		struct db_row r;
		TRY(db_query(c, &Q_FULL, &r));
		db_bind_i64(&r, 1, i);
		db_bind_str(&r, 2, STR_NONE);
		db_bind_blob(&r, 3, (struct str){ zeros, sizeof zeros });
		db_bind_null(&r, 4);
		TRY(db_run(&r));
	}
	return OK;
}

TEST(a_damaged_page_fails_its_reader_and_stops_writing)
{
	AUTO_BUF struct buf report = BUF(1 << 16);
	struct db *d = open_db(1);
	CHECK_OK(db_write(d, add_bulk, NULL));
	CHECK_OK(db_check(d, &report));
	CHECK_EQ_INT(report.len, 0);
	db_close(d);
	poke(path, 100 * 4096 + 77, "x", 1);
	d = open_db(1);
	CHECK(!db_damaged(d));
	CHECK_OK(db_write(d, add_note, &(struct note){ 1000, "fine" }));
	CHECK_ERR(db_read(d, read_all, NULL), ERR_CORRUPT);
	CHECK(db_damaged(d));
	CHECK_ERR(db_write(d, add_note, &(struct note){ 1001, "no" }), ERR_CORRUPT);
	CHECK_EQ_INT(count(d), 201); /* what is whole can still be read */
	CHECK_ERR(db_check(d, &report), ERR_CORRUPT);
	CHECK(report.len > 0);
	char copy[640];
	snprintf(copy, sizeof copy, "%s/copy.db", test_dir());
	CHECK_ERR(db_snapshot(d, copy), ERR_CORRUPT);
	CHECK(access(copy, F_OK) != 0);
	db_close(d);
}

/* ---- snapshots ---- */

TEST(a_snapshot_is_a_whole_database_with_the_same_key)
{
	AUTO_BUF struct buf report = BUF(1 << 16);
	struct db *d = open_db(1);
	char copy[640];
	snprintf(copy, sizeof copy, "%s/copy.db", test_dir());
	CHECK_OK(db_write(d, add_bulk, NULL));
	CHECK_OK(db_snapshot(d, copy));
	CHECK_OK(db_write(d, add_note, &(struct note){ 1000, "later" }));
	db_close(d);
	struct db_options o = options(1);
	o.path = copy;
	o.create = false;
	CHECK_OK(db_open(&o, &d, NULL));
	CHECK_EQ_INT(count(d), 200);
	CHECK_OK(db_check(d, &report));
	db_close(d);
	o.page_key[0] ^= 1;
	CHECK_ERR(db_open(&o, &d, NULL), ERR_KEY);
}

TEST(a_failed_migration_leaves_the_database_as_it_was)
{
	struct db *d = open_db(2);
	CHECK_OK(db_write(d, add_note, &(struct note){ 1, "one" }));
	db_close(d);
	struct db_options o = options(3);
	struct err_info info = { 0 };
	CHECK_ERR(db_open(&o, &d, &info), ERR_INTERNAL);
	CHECK(strstr(info.detail, "migration 3 (broken) failed"));
	d = open_db(2);
	CHECK_EQ_INT(count(d), 1);
	db_close(d);
}

TEST(the_schema_of_the_house_is_made_and_holds)
{
	AUTO_BUF struct buf report = BUF(1 << 16);
	struct db_options o = options(0);
	struct db *d = NULL;
	o.migrations = db_schema;
	o.n_migrations = db_schema_count;
	CHECK_OK(db_open(&o, &d, NULL));
	CHECK_EQ_INT(db_schema_version(d), db_schema_count);
	CHECK_OK(db_check(d, &report));
	db_close(d);
}
