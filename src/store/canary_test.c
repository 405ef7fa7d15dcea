/* No file in the data directory may hold a word of a conversation, a name or a mail address in the
 * clear: known words go in by every door of the store, then every byte on the disk is searched. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"
#include "store/blob.h"
#include "store/db.h"
#include "tests/test.h"

#define WORD_1 "Lohnabrechnung-Kanarienvogel"
#define WORD_2 "erika.mustermann@kanarienvogel.example"

static const struct sql Q_PERSON = { "canary.person",
	"INSERT INTO person (id, email, email_key, name, role, state, created_ms, changed_ms)"
	" VALUES (?1, ?2, ?2, ?3, 'member', 'active', 1, 1)" };
static const struct sql Q_CONVERSATION = {
	"canary.conversation",
	"INSERT INTO conversation (id, person, title, created_ms, changed_ms) VALUES (?1, ?1, ?2, "
	"1, 1)"
};
static const struct sql Q_MESSAGE = { "canary.message",
	"INSERT INTO message (id, conversation, role, content, state, created_ms, changed_ms)"
	" VALUES (?1, ?2, 'user', ?3, 'done', 1, 1)" };

static enum err fill(struct db_conn *c, void *arg)
{
	struct db_row r;
	char id[32];
	snprintf(id, sizeof id, "p%d", *(int *)arg);
	TRY(db_query(c, &Q_PERSON, &r));
	db_bind_str(&r, 1, str_from(id));
	char mail[100];
	snprintf(mail, sizeof mail, "%d" WORD_2, *(int *)arg);
	db_bind_str(&r, 2, str_from(mail));
	db_bind_str(&r, 3, STR(WORD_1));
	TRY(db_run(&r));
	TRY(db_query(c, &Q_CONVERSATION, &r));
	db_bind_str(&r, 1, str_from(id));
	db_bind_str(&r, 2, STR(WORD_1));
	TRY(db_run(&r));
	for (int i = 0; i < 50; i++) {
		char message[64];
		snprintf(message, sizeof message, "%s-%d", id, i);
		TRY(db_query(c, &Q_MESSAGE, &r));
		db_bind_str(&r, 1, str_from(message));
		db_bind_str(&r, 2, str_from(id));
		db_bind_str(&r, 3,
			STR(WORD_1 " " WORD_2 " and a long text around it, so that pages fill"));
		TRY(db_run(&r));
	}
	return OK;
}

static uint64_t searched;

static void search_file(const char *path)
{
	AUTO_BUF struct buf b = BUF(256 << 20);
	CHECK_OK(file_read(path, &b));
	searched += b.len;
	static const char *const words[] = { WORD_1, WORD_2, "anarienvogel" };
	for (size_t i = 0; i < 3; i++)
		if (str_find(buf_str(&b), str_from(words[i]), 0) != SIZE_MAX)
			FAIL("%s holds \"%s\" in the clear", path, words[i]);
}

static void search(const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, alphasort);
	CHECK(n >= 0);
	for (int i = 0; i < n; i++) {
		char path[1200];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
		bool skip = list[i]->d_name[0] == '.' || lstat(path, &st);
		free(list[i]);
		if (!skip && S_ISDIR(st.st_mode))
			search(path);
		else if (!skip)
			search_file(path);
	}
	free(list);
}

static void live(const char *dir)
{
	static const uint8_t key[KEY_LEN] = { 1 };
	char path[700], snapshots[700], blobs_dir[700], copy[700], id[BLOB_ID_LEN + 1];
	struct db *d = NULL;
	struct blobs *b = NULL;
	snprintf(path, sizeof path, "%s/tresor.db", dir);
	snprintf(snapshots, sizeof snapshots, "%s/snapshots", dir);
	snprintf(blobs_dir, sizeof blobs_dir, "%s/blobs", dir);
	snprintf(copy, sizeof copy, "%s/copy.db", dir);
	static struct migration steps[2];
	steps[0] = db_schema[0];
	struct db_options o = { .path = path,
		.snapshot_dir = snapshots,
		.readers = 1,
		.create = true,
		.migrations = steps,
		.n_migrations = 1,
		.build = "b",
		.page_key = { 2 } };
	CHECK_OK(db_open(&o, &d, NULL));
	for (int i = 0; i < 20; i++)
		CHECK_OK(db_write(d, fill, &i));
	db_close(d);
	steps[1] = (struct migration){ 2, "more", "CREATE TABLE extra (t TEXT) STRICT" };
	o.n_migrations = 2;
	CHECK_OK(db_open(&o, &d, NULL)); /* with a snapshot before */
	CHECK_OK(db_snapshot(d, copy));
	int more = 100;
	CHECK_OK(db_write(d, fill, &more)); /* stays in the log */
	CHECK_OK(blobs_open(blobs_dir, key, key, &b));
	CHECK_OK(blob_put(b, STR(WORD_1 " " WORD_2), id));
}

TEST(no_known_word_is_on_the_disk_in_the_clear)
{
	char dir[600], log[640];
	struct stat st;
	snprintf(dir, sizeof dir, "%s", test_dir());
	pid_t pid = fork();
	if (pid == 0) {
		live(dir);
		_exit(0); /* dies: log and index stay */
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	snprintf(log, sizeof log, "%s/tresor.db-wal", dir);
	CHECK(stat(log, &st) == 0 && st.st_size > 4096);
	search(dir);
	CHECK(searched > 500000); /* database, log, index, snapshot, copy, blob */
	/* the search itself finds what is there */
	char plain[640];
	snprintf(plain, sizeof plain, "%s/plain", dir);
	CHECK_OK(file_write_atomic(plain, STR("x" WORD_1 "x"), 0600));
	AUTO_BUF struct buf b = BUF(1000);
	CHECK_OK(file_read(plain, &b));
	CHECK(str_find(buf_str(&b), STR(WORD_1), 0) == 1);
}
