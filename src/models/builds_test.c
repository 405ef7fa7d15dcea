#include "models/builds.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/hex.h"
#include "os/fd.h"
#include "proto/engine.h"
#include "tests/test.h"

struct place {
	char dir[2][BUILD_PATH_MAX]; /* two places; only the second is filled at first */
	char id[LIMIT_ENGINE_ID + 1];
	struct builds *b;
};

static void hash(struct str s, char hex[65])
{
	uint8_t sum[SHA256_LEN];
	sha256_of(s.ptr, s.len, sum);
	hex_encode(sum, sizeof sum, hex);
}

static void put(const char *dir, const char *name, struct str text)
{
	char path[BUILD_PATH_MAX];
	CHECK_OK(path_join(path, sizeof path, dir, name));
	CHECK_OK(file_write_atomic(path, text, 0644));
}

/* A build of two files below `place`; `variant` makes it another one. */
static void make(const char *place, const char *variant, unsigned proto,
	char ret_id[LIMIT_ENGINE_ID + 1])
{
	AUTO_BUF struct buf m = BUF(4096);
	char a[65], b[65], id[65], dir[BUILD_PATH_MAX];
	hash(STR("module"), a);
	hash(STR("library"), b);
	CHECK_OK(buf_addf(&m,
		"{\"format\":1,\"proto\":%u,\"version\":\"0.5.0\",\"tree\":\"abcd\","
		"\"variant\":\"%s\",\"files\":{\"engine.so\":\"%s\",\"libllama.so.0\":\"%s\"}}",
		proto, variant, a, b));
	hash(buf_str(&m), id);
	snprintf(ret_id, LIMIT_ENGINE_ID + 1, "llama.cpp-0.5.0-%.16s", id);
	CHECK_OK(path_join(dir, sizeof dir, place, ret_id));
	CHECK_OK(dir_make(dir, 0755));
	put(dir, "engine.so", STR("module"));
	put(dir, "libllama.so.0", STR("library"));
	put(dir, "engine.json", buf_str(&m));
}

static void open_place(struct place *p)
{
	const char *const places[] = { p->dir[0], p->dir[1] };
	CHECK_OK(crypto_init());
	CHECK_OK(path_join(p->dir[0], sizeof p->dir[0], test_dir(), "local"));
	CHECK_OK(path_join(p->dir[1], sizeof p->dir[1], test_dir(), "beside"));
	CHECK_OK(dir_make(p->dir[1], 0755));
	make(p->dir[1], "native", ENGINE_PROTO, p->id);
	CHECK_OK(builds_new(places, 2, &p->b));
}

static void file_of(const struct place *p, const char *name, char path[BUILD_PATH_MAX])
{
	char dir[BUILD_PATH_MAX];
	CHECK_OK(path_join(dir, sizeof dir, p->dir[1], p->id));
	CHECK_OK(path_join(path, BUILD_PATH_MAX, dir, name));
}

static void refused(struct place *p, const char *why)
{
	char dir[BUILD_PATH_MAX] = "unset";
	struct err_info info = { 0 };
	CHECK_ERR(builds_check(p->b, p->id, dir, &info), ERR_BUILD);
	if (!strstr(info.detail, why) || !strstr(info.detail, p->id))
		FAIL("\"%s\" does not say \"%s\"", info.detail, why);
	CHECK_EQ_Z(dir, "unset");
}

TEST(a_build_is_usable_while_every_byte_of_it_is_as_it_was_made)
{
	static struct place p;
	char dir[BUILD_PATH_MAX], path[BUILD_PATH_MAX];
	open_place(&p);
	CHECK_OK(builds_check(p.b, p.id, dir, NULL));
	CHECK(str_ends(str_from(dir), str_from(p.id)));
	CHECK_OK(builds_check(p.b, p.id, dir, NULL)); /* not hashed again */
	file_of(&p, "libllama.so.0", path);
	put(dir, "libllama.so.0", STR("librarY")); /* as long, another inode */
	refused(&p, "not the one it was made with");
	put(dir, "libllama.so.0", STR("library"));
	CHECK_OK(builds_check(p.b, p.id, dir, NULL));
	CHECK_EQ_INT(unlink(path), 0);
	refused(&p, "is missing");
	put(dir, "libllama.so.0", STR("library"));
	put(dir, "libggml-cpu-more.so", STR("x")); /* libraries look for such beside themselves */
	refused(&p, "does not belong to it");
	builds_free(p.b);
}

TEST(an_id_stands_for_its_manifest)
{
	static struct place p;
	AUTO_BUF struct buf m = BUF(BUILD_MANIFEST_MAX);
	char dir[BUILD_PATH_MAX], path[BUILD_PATH_MAX], hex[65];
	open_place(&p);
	CHECK_OK(builds_check(p.b, p.id, dir, NULL));
	file_of(&p, "engine.json", path);
	CHECK_OK(file_read(path, &m));
	CHECK(build_id_of(str_from(p.id), buf_str(&m)));
	/* a library and the manifest's word of it, both changed: the id tells */
	hash(STR("librarY"), hex);
	size_t at = str_find(buf_str(&m), STR("libllama.so.0\":\""), 0);
	CHECK(at != SIZE_MAX);
	memcpy(m.ptr + at + 16, hex, 64);
	put(dir, "libllama.so.0", STR("librarY"));
	put(dir, "engine.json", buf_str(&m));
	refused(&p, "another one's");
	CHECK_EQ_INT(unlink(path), 0);
	refused(&p, "cannot be read");
	CHECK_EQ_INT(mkfifo(path, 0644), 0); /* nothing to wait for */
	refused(&p, "no plain file");
	builds_free(p.b);
}

TEST(what_others_may_write_is_not_run)
{
	static struct place p;
	char dir[BUILD_PATH_MAX], path[BUILD_PATH_MAX], to[BUILD_PATH_MAX];
	open_place(&p);
	CHECK_OK(builds_check(p.b, p.id, dir, NULL));
	file_of(&p, "engine.so", path);
	CHECK_EQ_INT(chmod(path, 0664), 0);
	refused(&p, "may write it");
	CHECK_EQ_INT(chmod(path, 0644), 0);
	CHECK_EQ_INT(chmod(dir, 0777), 0);
	refused(&p, "may write it");
	CHECK_EQ_INT(chmod(dir, 0755), 0);
	CHECK_OK(builds_check(p.b, p.id, dir, NULL));
	CHECK_OK(path_join(to, sizeof to, test_dir(), "elsewhere"));
	CHECK_EQ_INT(rename(path, to), 0);
	CHECK_EQ_INT(symlink(to, path), 0); /* the same bytes by a way that may change */
	refused(&p, "cannot be read");
	if (geteuid() == 0) {
		CHECK_EQ_INT(unlink(path), 0);
		CHECK_EQ_INT(rename(to, path), 0);
		CHECK_EQ_INT(chown(path, 12345, 0), 0);
		refused(&p, "may write it");
	}
	builds_free(p.b);
}

TEST(names_that_lead_elsewhere_are_none)
{
	static const char *const no[] = { "", ".", "..", "../x", "a/b", ".hidden", "-x", "a b",
		"a\n", "\xc3\xa4", "a%2f" };
	static struct place p;
	char dir[BUILD_PATH_MAX], endless[200];
	open_place(&p);
	for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
		CHECK(!build_id_ok(str_from(no[i])));
		CHECK_ERR(builds_check(p.b, no[i], dir, NULL), ERR_BUILD);
	}
	memset(endless, 'a', sizeof endless - 1);
	endless[sizeof endless - 1] = '\0';
	CHECK(!build_id_ok(str_from(endless)));
	CHECK_ERR(builds_check(p.b, endless, dir, NULL), ERR_BUILD);
	CHECK_ERR(builds_check(p.b, "llama.cpp-0.4.0-0123456789abcdef", dir, NULL), ERR_BUILD);
	builds_free(p.b);
}

TEST(another_protocol_is_refused_by_its_number)
{
	static struct place p;
	open_place(&p);
	make(p.dir[1], "native", ENGINE_PROTO + 1, p.id);
	refused(&p, "speaks protocol 3, this program 2");
	builds_free(p.b);
}

static void point(const struct place *p, int place, const char *to)
{
	char path[BUILD_PATH_MAX];
	CHECK_OK(dir_make(p->dir[place], 0755));
	CHECK_OK(path_join(path, sizeof path, p->dir[place], "current"));
	(void)unlink(path);
	CHECK_EQ_INT(symlink(to, path), 0);
}

TEST(the_current_one_is_what_the_link_says_in_the_first_place_that_has_one)
{
	static struct place p;
	char now[LIMIT_ENGINE_ID + 1] = "unset", other[LIMIT_ENGINE_ID + 1];
	struct err_info info = { 0 };
	struct build list[4];
	open_place(&p);
	CHECK_ERR(builds_current(p.b, now, &info), ERR_BUILD);
	CHECK(strstr(info.detail, "no engine build is current") && !strcmp(now, "unset"));
	point(&p, 1, p.id);
	CHECK_OK(builds_current(p.b, now, NULL));
	CHECK_EQ_Z(now, p.id);
	point(&p, 1, "../elsewhere");
	CHECK_ERR(builds_current(p.b, now, NULL), ERR_BUILD);
	point(&p, 1, p.id);
	make(p.dir[0], "mine", ENGINE_PROTO, other);
	CHECK_OK(builds_current(p.b, now, NULL));
	CHECK_EQ_Z(now, p.id); /* one that is there is not current yet */
	point(&p, 0, other);
	CHECK_OK(builds_current(p.b, now, NULL));
	CHECK_EQ_Z(now, other);
	CHECK_EQ_INT(builds_list(p.b, false, list, 4), 2);
	for (int i = 0; i < 2; i++) {
		bool mine = !strcmp(list[i].id, other);
		CHECK_EQ_INT(list[i].current, mine);
		CHECK_EQ_Z(list[i].variant, mine ? "mine" : "native");
		CHECK_EQ_INT(list[i].err, OK);
	}
	/* a link to nothing is told, not passed over */
	point(&p, 0, "llama.cpp-9-0123456789abcdef");
	CHECK_EQ_INT(builds_list(p.b, true, list, 4), 3);
	CHECK_EQ_Z(list[2].id, "llama.cpp-9-0123456789abcdef");
	CHECK(list[2].current && list[2].err == ERR_BUILD && list[2].why[0]);
	builds_free(p.b);
}

TEST(a_failing_call_is_an_error_and_never_a_usable_build)
{
	static struct place p;
	open_place(&p);
	FOR_EACH_FAULT(FAULT_SYSCALL, n)
	{
		char dir[BUILD_PATH_MAX];
		struct builds *b;
		const char *const place = p.dir[1];
		enum err e = builds_new(&place, 1, &b);
		if (e)
			continue;
		e = builds_check(b, p.id, dir, NULL);
		CHECK(e == OK || e == ERR_BUILD);
		CHECK(!fault_fired(FAULT_SYSCALL) || e);
		builds_free(b);
	}
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		char dir[BUILD_PATH_MAX];
		struct builds *b;
		const char *const place = p.dir[1];
		enum err e = builds_new(&place, 1, &b);
		if (e) {
			CHECK(e == ERR_NOMEM);
			continue;
		}
		e = builds_check(b, p.id, dir, NULL);
		CHECK(e == OK || e == ERR_NOMEM || e == ERR_BUILD);
		CHECK(!fault_fired(FAULT_ALLOC) || e);
		builds_free(b);
	}
	builds_free(p.b);
}

#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEAD                                                                                       \
	"{\"format\":1,\"proto\":1,\"version\":\"1\",\"tree\":\"a\",\"variant\":\"n\","            \
	"\"files\":"

TEST(a_manifest_that_is_not_strict_is_none)
{
	static const char *const bad[] = { "", "[]", "{}", "x", HEAD "{}}", HEAD "[]}",
		HEAD "{\"a.so\":\"" SUM "\"}}", HEAD "{\"engine.so\":\"" SUM "0\"}}",
		HEAD "{\"engine.so\":1}}", HEAD "{\"engine.so\":\"" SUM "\",\"../x\":\"" SUM "\"}}",
		HEAD "{\"engine.so\":\"" SUM "\",\"a/b\":\"" SUM "\"}}",
		HEAD "{\"engine.so\":\"" SUM "\",\"engine.json\":\"" SUM "\"}}",
		HEAD "{\"engine.so\":\"" SUM "\",\"engine.so\":\"" SUM "\"}}",
		HEAD "{\"engine.so\":\"" SUM "\"}} x",
		"{\"format\":2,\"proto\":1,\"version\":\"1\",\"tree\":\"a\",\"variant\":\"n\","
		"\"files\":{\"engine.so\":\"" SUM "\"}}",
		"{\"format\":1,\"proto\":0,\"version\":\"1\",\"tree\":\"a\",\"variant\":\"n\","
		"\"files\":{\"engine.so\":\"" SUM "\"}}",
		"{\"format\":1,\"proto\":1,\"version\":\"1 \\u001b[2J\",\"tree\":\"a\","
		"\"variant\":\"n\",\"files\":{\"engine.so\":\"" SUM "\"}}" };
	static struct build_manifest m;
	AUTO_BUF struct buf many = BUF(BUILD_MANIFEST_MAX);
	struct err_info info;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		info = (struct err_info){ 0 };
		if (build_manifest_read(str_from(bad[i]), &m, &info) != ERR_CORRUPT ||
			!info.detail[0])
			FAIL("taken, or not explained: %s", bad[i]);
	}
	CHECK_OK(build_manifest_read(STR(HEAD "{\"engine.so\":\"" SUM "\"}}"), &m, NULL));
	CHECK_EQ_INT(m.n, 1);
	CHECK_OK(buf_add(&many, STR(HEAD "{\"engine.so\":\"" SUM "\"")));
	for (int i = 0; i < BUILD_FILES_MAX; i++)
		CHECK_OK(buf_addf(&many, ",\"l%d\":\"" SUM "\"", i));
	CHECK_OK(buf_add(&many, STR("}}")));
	CHECK_ERR(build_manifest_read(buf_str(&many), &m, NULL), ERR_CORRUPT);
}
