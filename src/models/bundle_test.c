#include "models/bundle.h"

#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hex.h"
#include "models/blobs_fake_test.h"
#include "models/gguf_make_test.h"
#include "models/manifest.h"
#include "models/reader_job.h"
#include "os/fd.h"
#include "tests/test.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

static enum err test_sign(void *arg, const uint8_t hash[SHA256_LEN],
	uint8_t ret_key[SIGN_KEY_LEN], uint8_t ret[SIGN_LEN])
{
	static const uint8_t seed[KEY_LEN] = { 1, 2, 3 };
	(void)arg;
	sign_key(seed, ret_key);
	sign_make(seed, (struct str){ (const char *)hash, SHA256_LEN }, ret);
	return OK;
}

/* ---- the head ---- */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MANIFEST(size)                                                                             \
	"{\\\"schemaVersion\\\":2,\\\"layers\\\":[{\\\"mediaType\\\":"                             \
	"\\\"application/vnd.ollama.image.model\\\",\\\"digest\\\":\\\"sha256:" A64                \
	"\\\",\\\"size\\\":" size "}]}"
#define BLOB(digest, size) "{\"digest\":\"" digest "\",\"size\":" size "}"
#define MODEL(name) "{\"name\":\"" name "\",\"manifest\":\"" MANIFEST("5") "\"}"
#define LIST(blobs, models)                                                                        \
	"{\"format\":1,\"created_ms\":7,\"blobs\":[" blobs "],\"models\":[" models "]}"

static enum err read_list(const char *list, struct bundle *ret, struct err_info *info)
{
	AUTO_BUF struct buf head = BUF(BUNDLE_HEAD_MAX);
	CHECK_OK(bundle_head_write(str_from(list), test_sign, NULL, &head));
	return bundle_read(buf_str(&head), ret, info);
}

TEST(a_head_says_what_was_written)
{
	AUTO_BUNDLE struct bundle b = { 0 };
	CHECK_OK(read_list(LIST(BLOB(A64, "5"), MODEL("m")), &b, NULL));
	CHECK(b.n_blobs == 1 && b.n_models == 1 && b.bytes == 5 && b.created_ms == 7);
	CHECK_EQ_Z(b.model[0].name.tag, "latest");
	CHECK(bundle_fingerprint_ok(str_from(b.fingerprint)));
}

TEST(lists_that_lie_are_refused_with_a_reason)
{
	static const struct {
		const char *list, *why;
	} bad[] = {
		{ LIST(BLOB(A64, "6"), MODEL("m")), "different sizes" },
		{ LIST(BLOB(B64, "5"), MODEL("m")), "lacks a part" },
		{ LIST(BLOB(A64, "5") "," BLOB(B64, "1"), MODEL("m")), "belongs to no model" },
		{ LIST(BLOB(A64, "5") "," BLOB(A64, "5"), MODEL("m")), "a part twice" },
		{ LIST(BLOB(A64, "5"), MODEL("m") "," MODEL("M:latest")), "a name twice" },
		{ LIST(BLOB(A64, "5"), MODEL("../../x")), "" },
		{ LIST(BLOB(A64, "5"), MODEL("file:/etc/passwd")), "no model can have" },
		{ LIST(BLOB(A64, "5"), MODEL("m@sha256:" A64)), "no model can have" },
		{ LIST(BLOB("../../../etc/passwd", "5"), MODEL("m")), "digest that is none" },
		{ LIST(BLOB(A64, "-1"), MODEL("m")), "" },
		{ LIST(BLOB(A64, "9223372036854775807"), MODEL("m")), "" },
		{ LIST("", MODEL("m")), "no parts" },
		{ LIST(BLOB(A64, "5"), ""), "no models" },
		{ "{\"format\":2}", "" },
		{ "[]", "not an object" },
		{ "{", "" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_BUNDLE struct bundle b = { 0 };
		struct err_info info = { 0 };
		enum err e = read_list(bad[i].list, &b, &info);
		if (!e || !strstr(info.detail, bad[i].why))
			FAIL("case %zu: %s %s", i, err_slug(e), info.detail);
	}
}

TEST(any_changed_or_missing_byte_of_a_head_is_found)
{
	AUTO_BUF struct buf head = BUF(BUNDLE_HEAD_MAX);
	CHECK_OK(bundle_head_write(
		STR(LIST(BLOB(A64, "5"), MODEL("m"))), test_sign, NULL, &head));
	for (size_t i = 0; i < head.len; i++) {
		AUTO_BUNDLE struct bundle b = { 0 };
		head.ptr[i] ^= 1;
		CHECK(bundle_read(buf_str(&head), &b, NULL) != OK);
		head.ptr[i] ^= 1;
		CHECK(bundle_read(str_sub(buf_str(&head), 0, i), &b, NULL) != OK);
	}
	AUTO_BUNDLE struct bundle b = { 0 };
	CHECK_OK(bundle_read(buf_str(&head), &b, NULL));
}

/* ---- out and in ---- */

struct rig {
	struct test_blobs blobs;
	struct model_store *s;
};

static void rig_open(struct rig *r, const char *name)
{
	char dir[4096];
	*r = (struct rig){ 0 };
	(void)snprintf(dir, sizeof dir, "%s/%s", test_dir(), name);
	CHECK_OK(dir_make(dir, 0700));
	test_blobs_open(&r->blobs, dir);
	CHECK_OK(model_store_open(r->blobs.dir, NULL, &test_blob_ops, &r->blobs, &r->s));
}

static void rig_close(struct rig *r)
{
	r->s = model_store_free(r->s);
	test_blobs_close(&r->blobs);
}

static void create(struct rig *r, const char *request)
{
	AUTO_JSON json_t *o = NULL;
	struct err_info info = { 0 };
	CHECK_OK(json_read(str_from(request), strlen(request), 16, &o, NULL));
	enum err e = model_store_create(r->s, o, NULL, NULL, &info);
	if (e)
		FAIL("create: %s %s", err_slug(e), info.detail);
}

/* Two names of a model with a system text and a licence. */
static void make_models(struct rig *r)
{
	struct gguf_make m;
	char digest[65], text[1000];
	AUTO_BUF struct buf file = BUF(1 << 20);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_tensor(&m, "other", 32, 64);
	gguf_make_file(&m, m.at, &file);
	test_blobs_put(&r->blobs, buf_str(&file), digest);
	gguf_make_done(&m);
	(void)snprintf(text, sizeof text,
		"{\"model\":\"eins\",\"files\":{\"m.gguf\":\"sha256:%s\"},"
		"\"system\":\"Hallo\",\"license\":\"MIT License\"}",
		digest);
	create(r, text);
	create(r, "{\"model\":\"zwei\",\"from\":\"eins\"}");
}

static enum err gather(void *arg, struct str bytes)
{
	return buf_add(arg, bytes);
}

static void export_all(struct rig *r, struct buf *out)
{
	struct err_info info = { 0 };
	struct str names[] = { STR("eins"), STR("zwei") };
	struct bundle_export x = {
		.store = r->s, .name = names, .n = 2, .sign = test_sign, .out = gather, .arg = out
	};
	enum err e = bundle_export(&x, &info);
	if (e)
		FAIL("export: %s %s", err_slug(e), info.detail);
}

static enum err trust(void *arg, const struct bundle *b, struct err_info *info)
{
	++*(unsigned *)arg;
	return b->n_models ? OK : err_set(info, ERR_INTERNAL, "empty");
}

static enum err distrust(void *arg, const struct bundle *b, struct err_info *info)
{
	++*(unsigned *)arg;
	return err_set(info, ERR_FORBIDDEN, "not %s", b->fingerprint);
}

static void took(void *arg, const struct bundle_model *m, const char *licence,
	const struct model_kept *kept)
{
	CHECK_EQ_Z(licence, "MIT License");
	CHECK(m->digest[0] && !kept->name[0]);
	++*(unsigned *)arg;
}

/* In pieces of `step` bytes. */
static enum err import_in(struct rig *r, struct str file, size_t step, bundle_trusted_fn fn,
	unsigned *asked, unsigned *models, struct err_info *info)
{
	AUTO(bundle_import) struct bundle_import *i = NULL;
	TRY(bundle_import_new(r->s, fn, asked, &i));
	for (size_t at = 0; at < file.len; at += step)
		TRY(bundle_import_add(i, str_sub(file, at, step), info));
	return bundle_import_end(i, took, models, info);
}

TEST(what_goes_out_comes_in_the_same_in_pieces_of_any_size)
{
	struct rig a, b;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	rig_open(&a, "a");
	make_models(&a); /* the same parts: they go once */
	export_all(&a, &file);
	static const size_t steps[] = { 1, 7, 4096, FILE_MAX };
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		char name[32];
		unsigned asked = 0, models = 0;
		struct model_entry x, y;
		AUTO_BUF struct buf system = BUF(1000);
		struct model_texts t = { .system = &system };
		(void)snprintf(name, sizeof name, "b%zu", i);
		rig_open(&b, name);
		CHECK_OK(import_in(&b, buf_str(&file), steps[i], trust, &asked, &models, NULL));
		CHECK(asked == 1 && models == 2);
		CHECK_OK(model_store_find(a.s, STR("eins"), &x, NULL));
		CHECK_OK(model_store_find(b.s, STR("eins"), &y, NULL));
		CHECK_EQ_Z(x.digest, y.digest);
		CHECK_EQ_Z(y.licence, "MIT License");
		CHECK_OK(model_store_texts(b.s, &y, &t));
		CHECK_EQ_STR(buf_str(&system), STR("Hallo"));
		CHECK_EQ_INT(test_blobs_count(&a.blobs), test_blobs_count(&b.blobs));
		/* once more: what is there is passed over */
		CHECK_OK(import_in(&b, buf_str(&file), 4096, trust, &asked, &models, NULL));
		rig_close(&b);
	}
	rig_close(&a);
}

TEST(nothing_stays_of_a_bundle_that_is_refused)
{
	struct rig a, b;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	struct model_entry m;
	rig_open(&a, "a");
	rig_open(&b, "b");
	make_models(&a);
	export_all(&a, &file);
	struct str all = buf_str(&file);
	for (int i = 0; i < 4; i++) {
		struct err_info info = { 0 };
		unsigned asked = 0, models = 0;
		enum err want = ERR_INVALID;
		struct str what = all;
		if (i == 0)
			want = ERR_FORBIDDEN; /* nobody trusts the signer */
		else if (i == 1)
			what.len -= 1; /* cut short */
		else if (i == 2)
			CHECK_OK(buf_add_byte(&file, 'x')), what = buf_str(&file); /* goes on */
		else
			file.ptr[all.len - 3] ^= 1, want = ERR_DIGEST, what.ptr = file.ptr;
		enum err e = import_in(
			&b, what, 1000, i ? trust : distrust, &asked, &models, &info);
		CHECK_ERR(e, want);
		CHECK(asked == 1 && models == 0 && info.detail[0]);
		CHECK_ERR(model_store_find(b.s, STR("eins"), &m, NULL), ERR_NOT_FOUND);
		CHECK_EQ_INT(test_blobs_count(&b.blobs), 0);
	}
	rig_close(&a);
	rig_close(&b);
}

TEST(a_model_that_is_not_there_fails_before_the_first_byte)
{
	struct rig a;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	struct err_info info = { 0 };
	struct str name = STR("nirgends");
	rig_open(&a, "a");
	struct bundle_export x = { .store = a.s, .name = &name, .n = 1, .sign = test_sign,
		.out = gather, .arg = &file };
	CHECK_ERR(bundle_export(&x, &info), ERR_NOT_FOUND);
	CHECK_EQ_INT(file.len, 0);
	x.n = 0;
	CHECK_ERR(bundle_export(&x, &info), ERR_LIMIT);
	rig_close(&a);
}

TEST(failed_allocations_leave_no_blob_and_no_name)
{
	struct rig a, b;
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	rig_open(&a, "a");
	make_models(&a);
	export_all(&a, &file);
	rig_open(&b, "b");
	for (unsigned n = 1; n < 2000; n += 1 + n / 20) {
		unsigned asked = 0, models = 0;
		struct model_entry m;
		fault_arm(FAULT_ALLOC, n);
		enum err e = import_in(
			&b, buf_str(&file), 8192, trust, &asked, &models, NULL);
		fault_arm(FAULT_ALLOC, 0); /* it may have hit a writer that was forked meanwhile */
		if (!e)
			break;
		if (e == ERR_LOCKED) { /* the last try's writer is still ending */
			usleep(20000);
			continue;
		}
		if (models == 0) {
			CHECK_ERR(model_store_find(b.s, STR("eins"), &m, NULL), ERR_NOT_FOUND);
			CHECK_EQ_INT(test_blobs_count(&b.blobs), 0);
		}
	}
	rig_close(&a);
	rig_close(&b);
}
