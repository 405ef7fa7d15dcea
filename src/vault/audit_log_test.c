#include "vault/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "os/fd.h"
#include "tests/test.h"

enum { PATH = 512, FILE_MAX = 1 << 20, SMALL_FILE = 700 };
static const uint8_t key[KEY_LEN] = { 9, 8, 7 };

static void in_dir(char out[PATH], const char *name)
{
	(void)snprintf(out, PATH, "%s/%s", test_dir(), name);
}

static enum err try_open(const char *dir, bool create, struct audit_log **ret)
{
	struct audit_log_options o = { .data_dir = dir, .create = create,
				       .file_bytes = SMALL_FILE };
	struct err_info info = { .code = OK };
	memcpy(o.key, key, sizeof o.key);
	return audit_log_open(&o, ret, &info);
}

static struct audit_log *open_log(const char *dir)
{
	struct audit_log *l = NULL;
	CHECK_OK(try_open(dir, true, &l));
	return l;
}

static enum err add(struct audit_log *l, uint64_t n)
{
	char text[64];
	uint64_t seq = 0;
	(void)snprintf(text, sizeof text, "{\"n\":%" PRIu64 "}", n);
	struct str s = str_from(text);
	enum err e = audit_log_append(l, &s, 1, &seq);
	if (!e)
		CHECK_EQ_INT(seq, audit_log_last(l));
	return e;
}

static struct audit_log *filled(const char *dir, uint64_t n)
{
	struct audit_log *l = open_log(dir);
	for (uint64_t i = 1; i <= n; i++)
		CHECK_OK(add(l, i));
	return l;
}

struct expect { uint64_t next, seen; };

static enum err count_down(void *arg, uint64_t seq, int64_t at_ms, struct str event)
{
	struct expect *x = arg;
	char text[64];
	(void)snprintf(text, sizeof text, "{\"n\":%" PRIu64 "}", x->next);
	CHECK_EQ_INT(seq, x->next);
	CHECK_EQ_STR(event, str_from(text));
	CHECK(at_ms > 0);
	x->next--;
	x->seen++;
	return OK;
}

static void check_all(struct audit_log *l, uint64_t n)
{
	struct expect x = { n, 0 };
	CHECK_EQ_INT(audit_log_last(l), n);
	CHECK_OK(audit_log_read(l, 0, SIZE_MAX, count_down, &x));
	CHECK_EQ_INT(x.seen, n);
}

static enum err verify(const char *dir, uint64_t *records)
{
	AUTO_BUF struct buf report = BUF(4096);
	return audit_log_verify(dir, key, records, &report);
}

/* Without fsync: the tests make thousands. */
static void put_file(const char *path, struct str text)
{
	AUTO_FD int fd = -1;
	CHECK_OK(fd_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd));
	CHECK_OK(fd_write_full(fd, text.ptr, text.len));
}

static void copy_file(const char *from, const char *to, const char *name)
{
	AUTO_BUF struct buf b = BUF(FILE_MAX);
	char a[PATH * 2], z[PATH * 2];
	(void)snprintf(a, sizeof a, "%s/audit/%s", from, name);
	(void)snprintf(z, sizeof z, "%s/audit/%s", to, name);
	if (file_read(a, &b) == OK)
		put_file(z, buf_str(&b));
}

/* What a crash leaves: the files as they are, without closing. */
static void copy_log(const char *from, const char *to, unsigned files)
{
	char path[PATH * 2], name[32];
	(void)dir_remove_tree(to);
	(void)snprintf(path, sizeof path, "%s/audit", to);
	CHECK_OK(dir_make(path, 0700));
	copy_file(from, to, "head");
	for (unsigned i = 1; i <= files; i++) {
		(void)snprintf(name, sizeof name, "%08u.log", i);
		copy_file(from, to, name);
	}
}

static off_t size_of(const char *dir, const char *name)
{
	char path[PATH * 2];
	struct stat st;
	(void)snprintf(path, sizeof path, "%s/audit/%s", dir, name);
	CHECK(stat(path, &st) == 0);
	return st.st_size;
}

static void cut(const char *dir, const char *name, off_t size)
{
	char path[PATH * 2];
	(void)snprintf(path, sizeof path, "%s/audit/%s", dir, name);
	CHECK(truncate(path, size) == 0);
}

TEST(what_was_appended_is_read_newest_first_over_many_files)
{
	AUTO(audit_log) struct audit_log *l = filled(test_dir(), 40);
	struct expect x = { 20, 0 };
	uint64_t n;
	CHECK(size_of(test_dir(), "00000005.log") > 0); /* several files */
	check_all(l, 40);
	CHECK_OK(audit_log_read(l, 21, 5, count_down, &x));
	CHECK_EQ_INT(x.seen, 5);
	CHECK_OK(add(l, 41)); /* the index of the last file goes on */
	check_all(l, 41);
	x = (struct expect){ 0, 0 };
	CHECK_OK(audit_log_read(l, 1, 5, count_down, &x));
	CHECK_EQ_INT(x.seen, 0);
	CHECK_OK(verify(test_dir(), &n));
	CHECK_EQ_INT(n, 41);
}

TEST(a_batch_gets_consecutive_numbers_and_goes_on_after_reopening)
{
	struct str events[3] = { STR("{\"n\":1}"), STR("{\"n\":2}"), STR("{\"n\":3}") };
	uint64_t seq;
	struct audit_log *l = open_log(test_dir());
	CHECK_OK(audit_log_append(l, events, 3, &seq));
	CHECK_EQ_INT(seq, 1);
	l = audit_log_close(l);
	CHECK_OK(try_open(test_dir(), false, &l));
	CHECK_OK(add(l, 4));
	check_all(l, 4);
	(void)audit_log_close(l);
}

TEST(events_that_cannot_be_kept_are_refused_and_nothing_happens)
{
	static char huge[LIMIT_AUDIT_EVENT + 1];
	struct str many[AUDIT_BATCH_MAX + 1], big = { huge, sizeof huge };
	uint64_t seq;
	AUTO(audit_log) struct audit_log *l = open_log(test_dir());
	memset(huge, 'x', sizeof huge);
	for (size_t i = 0; i <= AUDIT_BATCH_MAX; i++)
		many[i] = STR("{}");
	CHECK_ERR(audit_log_append(l, many, 0, &seq), ERR_INVALID);
	CHECK_ERR(audit_log_append(l, many, AUDIT_BATCH_MAX + 1, &seq), ERR_INVALID);
	CHECK_ERR(audit_log_append(l, &big, 1, &seq), ERR_INVALID);
	many[1] = STR("");
	CHECK_ERR(audit_log_append(l, many, 2, &seq), ERR_INVALID);
	CHECK_EQ_INT(audit_log_last(l), 0);
	big.len--;
	for (size_t i = 0; i < AUDIT_BATCH_MAX; i++)
		many[i] = big;
	CHECK_OK(audit_log_append(l, many, AUDIT_BATCH_MAX, &seq)); /* the largest batch fits */
	CHECK_EQ_INT(audit_log_last(l), AUDIT_BATCH_MAX);
}

TEST(no_word_of_an_event_lies_in_the_clear)
{
	AUTO_BUF struct buf text = BUF(FILE_MAX);
	char path[PATH];
	struct str s = STR("{\"object\":\"kanarienvogel\"}");
	uint64_t seq;
	AUTO(audit_log) struct audit_log *l = open_log(test_dir());
	CHECK_OK(audit_log_append(l, &s, 1, &seq));
	in_dir(path, "audit/00000001.log");
	CHECK_OK(file_read(path, &text));
	CHECK(text.len > 0 && str_find(buf_str(&text), STR("kanarien"), 0) == SIZE_MAX);
	CHECK(str_find(buf_str(&text), STR("object"), 0) == SIZE_MAX);
}

TEST(a_missing_log_is_refused_unless_it_is_a_new_instance)
{
	struct audit_log *l = NULL;
	uint64_t n;
	char path[PATH];
	CHECK_ERR(try_open(test_dir(), false, &l), ERR_CORRUPT);
	CHECK_ERR(verify(test_dir(), &n), ERR_NOT_FOUND);
	(void)audit_log_close(filled(test_dir(), 3));
	in_dir(path, "audit/head");
	CHECK(unlink(path) == 0);
	CHECK_ERR(try_open(test_dir(), false, &l), ERR_CORRUPT);
	CHECK_ERR(try_open(test_dir(), true, &l), ERR_CORRUPT); /* not even then */
	CHECK_ERR(verify(test_dir(), &n), ERR_CORRUPT);
}

TEST(removed_files_are_found)
{
	struct audit_log *l = NULL;
	uint64_t n;
	char path[PATH], copy[PATH];
	in_dir(copy, "copy");
	(void)audit_log_close(filled(test_dir(), 20)); /* at least 3 files */
	copy_log(test_dir(), copy, 3);
	CHECK_ERR(try_open(copy, false, &l), ERR_CORRUPT); /* the last ones */
	CHECK_ERR(verify(copy, &n), ERR_CORRUPT);
	in_dir(path, "audit/00000002.log");
	CHECK(unlink(path) == 0);
	CHECK_ERR(try_open(test_dir(), false, &l), ERR_CORRUPT); /* one in the middle */
	CHECK_ERR(verify(test_dir(), &n), ERR_CORRUPT);
}

TEST(a_log_behind_its_checkpoint_is_refused)
{
	struct audit_log *l = NULL;
	uint64_t n;
	(void)audit_log_close(filled(test_dir(), 3));
	off_t size = size_of(test_dir(), "00000001.log");
	for (off_t at = 0; at < size; at += 7) {
		char copy[PATH];
		in_dir(copy, "copy");
		copy_log(test_dir(), copy, 1);
		cut(copy, "00000001.log", at);
		CHECK_ERR(try_open(copy, false, &l), ERR_CORRUPT);
		CHECK_ERR(verify(copy, &n), ERR_CORRUPT);
		CHECK_EQ_INT(size_of(copy, "00000001.log"), at); /* refusing writes nothing */
	}
}

/* Refusing writes nothing, so the file is as good as new when its bit is put back. */
static void flip_and_check(const char *dir, const char *name, uint64_t records)
{
	AUTO_BUF struct buf text = BUF(FILE_MAX);
	char path[PATH * 2];
	AUTO_FD int fd = -1;
	(void)snprintf(path, sizeof path, "%s/audit/%s", dir, name);
	CHECK_OK(file_read(path, &text));
	CHECK_OK(fd_open(path, O_WRONLY, 0, &fd));
	for (size_t bit = 0; bit < 8 * text.len; bit++) {
		struct audit_log *l = NULL;
		uint64_t n = 0;
		char c = (char)(text.ptr[bit / 8] ^ 1 << bit % 8);
		CHECK_OK(fd_pwrite_full(fd, &c, 1, bit / 8));
		enum err e = try_open(dir, false, &l);
		if (e != ERR_CORRUPT && e != ERR_KEY)
			FAIL("bit %zu of %s: open says %s", bit, name, err_slug(e));
		e = verify(dir, &n);
		if (e != ERR_CORRUPT && e != ERR_KEY)
			FAIL("bit %zu of %s: verify says %s", bit, name, err_slug(e));
		CHECK(n < records);
		CHECK_OK(fd_pwrite_full(fd, text.ptr + bit / 8, 1, bit / 8));
	}
	struct audit_log *l = NULL;
	CHECK_OK(try_open(dir, false, &l));
	(void)audit_log_close(l);
}

TEST_TIMEOUT(every_flipped_bit_of_log_and_checkpoint_is_found, 60)
{
	(void)audit_log_close(filled(test_dir(), 2));
	flip_and_check(test_dir(), "00000001.log", 2);
	flip_and_check(test_dir(), "head", 2);
}

TEST(another_key_does_not_open_it)
{
	struct audit_log_options o = { .data_dir = test_dir(), .key = { 1 } };
	struct err_info info = { .code = OK };
	struct audit_log *l = NULL;
	uint64_t n;
	AUTO_BUF struct buf report = BUF(4096);
	(void)audit_log_close(filled(test_dir(), 2));
	CHECK_ERR(audit_log_open(&o, &l, &info), ERR_KEY);
	CHECK_ERR(audit_log_verify(test_dir(), o.key, &n, &report), ERR_KEY);
}

/* Opens a torn copy: everything whole is there, and a record says that something was cut. */
static void open_torn(const char *dir, uint64_t whole, bool torn)
{
	struct audit_log *l = NULL;
	uint64_t n = 0;
	CHECK_OK(verify(dir, &n)); /* a torn end is no damage */
	CHECK_EQ_INT(n, whole);
	CHECK_OK(try_open(dir, false, &l));
	CHECK_EQ_INT(audit_log_last(l), whole + torn);
	struct expect x = { whole, 0 };
	CHECK_OK(audit_log_read(l, whole + 1, SIZE_MAX, count_down, &x));
	CHECK_EQ_INT(x.seen, whole);
	CHECK_OK(add(l, 1000));
	(void)audit_log_close(l);
	CHECK_OK(verify(dir, &n));
	CHECK_EQ_INT(n, whole + torn + 1);
}

TEST_TIMEOUT(a_torn_last_write_is_cut_off_at_every_byte, 60)
{
	char copy[PATH];
	struct audit_log *l = filled(test_dir(), 2);
	off_t two = size_of(test_dir(), "00000001.log");
	CHECK_OK(add(l, 3));
	off_t three = size_of(test_dir(), "00000001.log");
	in_dir(copy, "copy");
	for (off_t at = two; at <= three; at++) {
		copy_log(test_dir(), copy, 1);
		cut(copy, "00000001.log", at);
		open_torn(copy, at == three ? 3 : 2, at != two && at != three);
	}
	(void)audit_log_close(l);
}

TEST(blocks_that_never_arrived_are_a_torn_write)
{
	char copy[PATH];
	in_dir(copy, "copy");
	struct audit_log *l = filled(test_dir(), 2);
	off_t two = size_of(test_dir(), "00000001.log");
	copy_log(test_dir(), copy, 1);
	cut(copy, "00000001.log", two + 5000); /* zeros, no newline */
	open_torn(copy, 2, true);
	CHECK_OK(add(l, 3));
	CHECK_OK(add(l, 4));
	copy_log(test_dir(), copy, 1);
	char path[PATH * 2], zeros[40] = { 0 };
	(void)snprintf(path, sizeof path, "%s/audit/00000001.log", copy);
	AUTO_FD int fd = -1;
	CHECK_OK(fd_open(path, O_WRONLY, 0, &fd));
	CHECK_OK(fd_pwrite_full(fd, zeros, sizeof zeros, (uint64_t)two + 10));
	/* with whole lines behind */
	open_torn(copy, 2, true);
	(void)audit_log_close(l);
}

TEST(damage_that_is_not_a_torn_write_is_refused)
{
	char copy[PATH], path[PATH * 2];
	struct audit_log *l = filled(test_dir(), 4), *m = NULL;
	uint64_t n;
	in_dir(copy, "copy");
	copy_log(test_dir(), copy, 1); /* the checkpoint is still the one of record 0 */
	(void)audit_log_close(l);
	(void)snprintf(path, sizeof path, "%s/audit/00000001.log", copy);
	AUTO_FD int fd = -1;
	CHECK_OK(fd_open(path, O_WRONLY, 0, &fd));
	CHECK_OK(fd_pwrite_full(fd, "x", 1, (uint64_t)size_of(copy, "00000001.log") - 10));
	CHECK_ERR(try_open(copy, false, &m), ERR_CORRUPT);
	CHECK_ERR(verify(copy, &n), ERR_CORRUPT);
	CHECK_EQ_INT(n, 3);
}

TEST(a_file_begun_just_before_a_crash_is_gone_on_with)
{
	char copy[PATH], path[PATH * 2];
	struct audit_log *l = filled(test_dir(), 20), *m = NULL;
	unsigned files = 0;
	for (;; files++) {
		(void)snprintf(path, sizeof path, "%s/audit/%08u.log", test_dir(), files + 1);
		if (access(path, F_OK) != 0)
			break;
	}
	CHECK(files >= 2);
	(void)audit_log_close(l);
	in_dir(copy, "copy");
	copy_log(test_dir(), copy, files);
	(void)snprintf(path, sizeof path, "%s/audit/%08u.log", copy, files + 1);
	CHECK_OK(file_write_atomic(path, STR(""), 0600));
	CHECK_OK(try_open(copy, false, &m));
	CHECK_OK(add(m, 21));
	check_all(m, 21);
	(void)audit_log_close(m);
	CHECK_OK(try_open(copy, false, &m));
	check_all(m, 21);
	(void)audit_log_close(m);
}

/* After a failed write nothing more is accepted; what was acknowledged is there after reopening.
 * True: the armed failure happened. */
static bool one_failure(const char *dir, unsigned nth)
{
	uint64_t good = 58, first;
	bool failed = false;
	struct str events[58];
	char texts[58][32];
	struct audit_log *l = open_log(dir);
	for (unsigned i = 0; i < good; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "{\"n\":%u}", i + 1);
		events[i] = str_from(texts[i]);
	}
	CHECK_OK(audit_log_append(l, events, good, &first));
	fault_arm(FAULT_SYSCALL, nth);
	for (uint64_t i = 59; i <= 70; i++) { /* over several files and a checkpoint */
		enum err e = add(l, good + 1);
		CHECK(!(failed && !e));
		failed = failed || e;
		good += !e;
	}
	bool fired = fault_fired(FAULT_SYSCALL);
	fault_arm(FAULT_SYSCALL, 0);
	CHECK(failed == fired);
	if (nth % 2) { /* in place, or by a restart */
		struct err_info info = { .code = OK };
		CHECK_OK(audit_log_reopen(l, &info));
	} else {
		(void)audit_log_close(l);
		CHECK_OK(try_open(dir, false, &l));
	}
	check_all(l, good); /* just what was acknowledged */
	CHECK_OK(add(l, good + 1));
	(void)audit_log_close(l);
	CHECK_OK(try_open(dir, false, &l));
	check_all(l, good + 1);
	(void)audit_log_close(l);
	return fired;
}

TEST_TIMEOUT(a_failed_write_or_sync_closes_the_log_until_it_is_opened_again, 120)
{
	unsigned n = 0;
	bool fired = true;
	while (fired) {
		char dir[PATH];
		in_dir(dir, "one");
		CHECK_OK(dir_make(dir, 0700));
		fired = one_failure(dir, ++n);
		CHECK_OK(dir_remove_tree(dir));
	}
	CHECK(n > 40); /* 12 writes, 12 syncs, new files, checkpoints */
}

TEST_TIMEOUT(a_failure_while_opening_leaves_the_log_as_it_was, 60)
{
	char copy[PATH];
	struct audit_log *l = filled(test_dir(), 20);
	bool fired = true;
	in_dir(copy, "copy");
	for (unsigned n = 1; fired; n++) {
		struct audit_log *m = NULL;
		copy_log(test_dir(), copy, 20);
		fault_arm(FAULT_SYSCALL, n);
		enum err e = try_open(copy, false, &m);
		fired = fault_fired(FAULT_SYSCALL);
		fault_arm(FAULT_SYSCALL, 0);
		CHECK(fired || !e);
		(void)audit_log_close(m);
		CHECK_OK(try_open(copy, false, &m));
		check_all(m, 20);
		(void)audit_log_close(m);
	}
	(void)audit_log_close(l);
}

TEST(memory_that_runs_out_loses_nothing)
{
	struct audit_log *l = filled(test_dir(), 3);
	uint64_t good = 3;
	for (unsigned n = 1; n < 40; n++) {
		fault_arm(FAULT_ALLOC, n);
		enum err e = add(l, good + 1);
		fault_arm(FAULT_ALLOC, 0);
		CHECK(e == OK || e == ERR_NOMEM);
		good += !e;
		CHECK_EQ_INT(audit_log_last(l), good);
	}
	check_all(l, good);
	(void)audit_log_close(l);
}

/* Writes records and says so on `out` after each: what it said must survive its death. */
[[gnu::noreturn]] static void writer(const char *dir, int out)
{
	struct audit_log *l = NULL;
	if (try_open(dir, true, &l))
		_exit(1);
	for (;;) {
		uint64_t n = audit_log_last(l) + 1;
		if (add(l, n) || write(out, &n, sizeof n) != sizeof n)
			_exit(1);
	}
}

TEST_TIMEOUT(kill_9_loses_no_acknowledged_record, 60)
{
	uint64_t acknowledged = 0;
	for (int round = 0; round < 40; round++) {
		int p[2];
		CHECK(pipe(p) == 0);
		pid_t pid = fork();
		if (pid == 0)
			writer(test_dir(), p[1]);
		(void)close(p[1]);
		for (int i = 0; i < 5 + round % 7; i++)
			CHECK(read(p[0], &acknowledged, sizeof acknowledged) ==
			      sizeof acknowledged);
		(void)usleep((useconds_t)(round * 137 % 2000));
		CHECK(kill(pid, SIGKILL) == 0);
		while (read(p[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
			;
		(void)close(p[0]);
		CHECK(waitpid(pid, NULL, 0) == pid);
		uint64_t n = 0;
		CHECK_OK(verify(test_dir(), &n));
		CHECK(n >= acknowledged);
		struct audit_log *l = NULL;
		CHECK_OK(try_open(test_dir(), false, &l));
		CHECK(audit_log_last(l) >= acknowledged);
		(void)audit_log_close(l);
	}
	CHECK(acknowledged > 200);
}
