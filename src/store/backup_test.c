#include "store/backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/time.h"
#include "os/fd.h"
#include "tests/test.h"

static char data[600], target[600], dest[600];
static int64_t now = 1700000000000;
static int64_t later(void) { return now += 1000; } /* manifests of one test differ in time */

static void put(const char *name, struct str content)
{
	char path[700], folder[700];
	snprintf(path, sizeof path, "%s/%s", data, name);
	snprintf(folder, sizeof folder, "%s", path);
	*strrchr(folder, '/') = '\0';
	CHECK_OK(dir_make(folder, 0700));
	CHECK_OK(file_write_atomic(path, content, 0600));
}

static void set_up(void)
{
	snprintf(data, sizeof data, "%s/data", test_dir());
	snprintf(target, sizeof target, "%s/backup", test_dir());
	snprintf(dest, sizeof dest, "%s/restored", test_dir());
	time_set_source(later, NULL);
	put("tresor.db", STR("a database"));
	put("keys.json", STR("{}"));
	put("audit/audit.log", STR("one\ntwo\nhalf a li"));
	put("blobs/ab/cdef", STR("blob one"));
	put("blobs/ab/.half-written", STR("no"));
	put("blobs/12/3456", STR("blob two"));
	put("blobs/empty/e", STR(""));
}

static enum err run(struct backup_result *r, struct err_info *info)
{
	char path[4][700];
	static const char *const names[] = { "tresor.db", "keys.json", "audit/audit.log", "blobs" };
	struct backup_item items[5];
	for (size_t i = 0; i < 4; i++) {
		snprintf(path[i], sizeof path[i], "%s/%s", data, names[i]);
		items[i] = (struct backup_item){ .path = path[i], .name = names[i],
			.max_bytes = i == 2 ? 8 : 0, .immutable = i == 3 };
	}
	items[4] = (struct backup_item){
		.path = "/nowhere/models", .name = "models", .optional = true
	};
	struct backup_options o = { .target = target, .items = items, .n_items = 5, .build = "test",
		.hmac_key = { 9, 9, 9 } };
	return backup_run(&o, r, info);
}

static const uint8_t key[KEY_LEN] = { 9, 9, 9 };

static void restored_is(const char *name, struct str want)
{
	AUTO_BUF struct buf b = BUF(1 << 20);
	char path[700];
	snprintf(path, sizeof path, "%s/%s", dest, name);
	CHECK_OK(file_read(path, &b));
	CHECK_EQ_STR(buf_str(&b), want);
}

TEST(what_was_backed_up_comes_back)
{
	struct backup_result r = { 0 }, back = { 0 };
	struct err_info info = { 0 };
	set_up();
	if (run(&r, &info))
		FAIL("%s", info.detail);
	CHECK_EQ_INT(r.files, 6);
	CHECK_EQ_INT(r.new_objects, 6);
	CHECK_OK(backup_check(target, NULL, key, &back, NULL, NULL));
	CHECK_EQ_INT(back.files, 6);
	CHECK_OK(dir_make(dest, 0700)); /* empty is as good as missing */
	CHECK_OK(backup_restore(target, NULL, key, dest, &back, NULL, NULL));
	CHECK_EQ_INT(back.bytes, r.bytes);
	restored_is("tresor.db", STR("a database"));
	restored_is("audit/audit.log", STR("one\ntwo\n")); /* up to the length that was given */
	restored_is("blobs/ab/cdef", STR("blob one"));
	restored_is("blobs/empty/e", STR(""));
	char path[700];
	struct stat st;
	snprintf(path, sizeof path, "%s/blobs/ab/.half-written", dest);
	CHECK(access(path, F_OK) != 0);
	CHECK(stat(dest, &st) == 0 && (st.st_mode & 0777) == 0700);
	struct err_info e = { 0 };
	CHECK_ERR(backup_restore(target, NULL, key, dest, &back, NULL, &e), ERR_EXISTS);
	CHECK(e.hint[0]);
}

TEST(a_file_may_be_taken_before_the_rest_of_its_folder)
{
	struct backup_result r = { 0 }, back = { 0 };
	char folder[700], first[700];
	set_up();
	put("audit/head", STR("3 abc"));
	put("audit/old/head", STR("deeper"));
	snprintf(folder, sizeof folder, "%s/audit", data);
	snprintf(first, sizeof first, "%s/audit/head", data);
	struct backup_item items[] = { { .path = first, .name = "audit/head" },
		{ .path = folder, .name = "audit", .leave_out = "head" } };
	struct backup_options o = { .target = target, .items = items, .n_items = 2, .build = "test",
		.hmac_key = { 9, 9, 9 } };
	CHECK_OK(backup_run(&o, &r, NULL));
	CHECK_EQ_INT(r.files, 3);
	CHECK_OK(backup_restore(target, NULL, key, dest, &back, NULL, NULL));
	restored_is("audit/head", STR("3 abc"));
	restored_is("audit/audit.log", STR("one\ntwo\nhalf a li"));
	restored_is("audit/old/head", STR("deeper"));
}

TEST(the_second_backup_copies_only_what_changed)
{
	struct backup_result r = { 0 }, back = { 0 };
	char first[BACKUP_MANIFEST_NAME];
	set_up();
	CHECK_OK(run(&r, NULL));
	memcpy(first, r.manifest, sizeof first);
	put("tresor.db", STR("a newer database"));
	put("blobs/77/88", STR("blob three"));
	CHECK_OK(run(&r, NULL));
	CHECK_EQ_INT(r.files, 7);
	CHECK_EQ_INT(r.new_objects, 2);
	CHECK_OK(backup_restore(
		target, first, key, dest, &back, NULL, NULL)); /* the older one stays good */
	restored_is("tresor.db", STR("a database"));
	CHECK_OK(dir_remove_tree(dest));
	CHECK_OK(backup_restore(target, NULL, key, dest, &back, NULL, NULL));
	restored_is("tresor.db", STR("a newer database"));
	restored_is("blobs/77/88", STR("blob three"));
}

static const char *object_of(struct str content)
{
	static char path[700];
	uint8_t sum[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1] = "";
	sha256_of(content.ptr, content.len, sum);
	for (size_t i = 0; i < sizeof sum; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	snprintf(path, sizeof path, "%s/objects/%.2s/%s", target, hex, hex + 2);
	return path;
}

TEST(missing_and_damaged_objects_are_all_named_and_nothing_is_restored)
{
	AUTO_BUF struct buf report = BUF(65536);
	struct backup_result r = { 0 };
	struct err_info info = { 0 };
	set_up();
	CHECK_OK(run(&r, NULL));
	CHECK(unlink(object_of(STR("a database"))) == 0);
	CHECK_OK(file_write_atomic(object_of(STR("blob one")), STR("blob 0ne"), 0600));
	CHECK_OK(file_write_atomic(object_of(STR("blob two")), STR("blob"), 0600));
	CHECK_ERR(backup_restore(target, NULL, key, dest, &r, &report, &info), ERR_CORRUPT);
	CHECK(access(dest, F_OK) != 0);
	CHECK(str_find(buf_str(&report), STR("tresor.db: missing"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&report), STR("blobs/ab/cdef: changed"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&report), STR("blobs/12/3456: cut off"), 0) != SIZE_MAX);
	CHECK(strstr(info.detail, "3 of 6"));
	CHECK_ERR(backup_check(target, NULL, key, &r, NULL, NULL), ERR_CORRUPT);
	CHECK_OK(run(&r, NULL)); /* the next backup heals what it can see is missing or short */
	CHECK_EQ_INT(r.new_objects, 2);
}

TEST(every_changed_byte_of_the_list_is_found)
{
	AUTO_BUF struct buf m = BUF(1 << 20), out = BUF(65536);
	struct backup_result r = { 0 };
	struct err_info info = { 0 };
	char path[700];
	set_up();
	CHECK_OK(run(&r, NULL));
	snprintf(path, sizeof path, "%s/%s", target, r.manifest);
	CHECK_OK(file_read(path, &m));
	AUTO_JSON json_t *j = NULL;
	CHECK_OK(json_read(buf_str(&m), 1 << 20, 8, &j, NULL)); /* it is one JSON object */
	for (size_t i = 0; i < m.len; i++) {
		m.ptr[i] ^= 1;
		CHECK_OK(file_write_atomic(path, buf_str(&m), 0600));
		CHECK_ERR(backup_check(target, NULL, key, &r, NULL, NULL), ERR_KEY);
		m.ptr[i] ^= 1;
	}
	for (size_t cut = 0; cut < m.len; cut += 13) {
		CHECK_OK(file_write_atomic(path, str_sub(buf_str(&m), 0, cut), 0600));
		CHECK_ERR(backup_check(target, NULL, key, &r, NULL, NULL), ERR_KEY);
	}
	CHECK_OK(file_write_atomic(path, buf_str(&m), 0600));
	static const uint8_t other[KEY_LEN] = { 1 };
	CHECK_ERR(backup_check(target, NULL, other, &r, NULL, &info), ERR_KEY);
	CHECK(info.hint[0]);
	CHECK_ERR(backup_check(test_dir(), NULL, key, &r, NULL, &info), ERR_NOT_FOUND);
	CHECK_ERR(backup_check(target, "../x", key, &r, NULL, &info), ERR_NOT_FOUND);
	CHECK_OK(backup_read_file(target, NULL, "keys.json", &out, NULL));
	CHECK_EQ_STR(buf_str(&out), STR("{}"));
	CHECK_ERR(backup_read_file(target, NULL, "other.json", &out, NULL), ERR_NOT_FOUND);
}

TEST(a_backup_of_another_instance_is_not_mixed_with_ours)
{
	struct backup_result r = { 0 };
	struct err_info info = { 0 };
	set_up();
	CHECK_OK(run(&r, NULL));
	char path[700];
	snprintf(path, sizeof path, "%s/tresor.db", data);
	struct backup_item item = { .path = path, .name = "tresor.db" };
	struct backup_options o = {
		.target = target, .items = &item, .n_items = 1, .hmac_key = { 3 }
	};
	CHECK_ERR(backup_run(&o, &r, &info), ERR_KEY);
	item.name = "../evil";
	memcpy(o.hmac_key, key, KEY_LEN);
	CHECK_ERR(backup_run(&o, &r, &info), ERR_INVALID);
}

TEST_TIMEOUT(backing_up_and_restoring_survive_every_call_that_fails, 60)
{
	struct backup_result r = { 0 };
	set_up();
	for (enum fault_kind k = 0; k < FAULT_KINDS; k++) {
		for (unsigned n = 1;; n++) {
			(void)dir_remove_tree(target);
			fault_arm(k, n);
			enum err e = run(&r, NULL);
			bool hit = fault_fired(k);
			fault_arm(k, 0);
			CHECK(e == OK || hit);
			if (e) /* no list, or a whole one: never a list of what is not there */
				CHECK(backup_check(target, NULL, key, &r, NULL, NULL) !=
					ERR_CORRUPT);
			CHECK_OK(run(&r, NULL));
			CHECK_OK(backup_check(target, NULL, key, &r, NULL, NULL));
			if (!hit)
				break;
		}
		for (unsigned n = 1;; n++) {
			(void)dir_remove_tree(dest);
			fault_arm(k, n);
			enum err e = backup_restore(target, NULL, key, dest, &r, NULL, NULL);
			bool hit = fault_fired(k);
			fault_arm(k, 0);
			CHECK(e == OK || hit);
			if (e && access(dest, F_OK) == 0)
				restored_is(
					"blobs/12/3456", STR("blob two")); /* whole, or not there */
			if (!hit)
				break;
		}
	}
}
