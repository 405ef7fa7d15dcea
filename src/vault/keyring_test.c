#include "vault/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "os/fd.h"
#include "tests/test.h"

enum { PATH = 600, TEXT_MAX = 32 * 1024 };

struct place { char data[PATH], file[PATH]; };

static struct place place(void)
{
	struct place p;
	(void)snprintf(p.data, sizeof p.data, "%s/data", test_dir());
	(void)snprintf(p.file, sizeof p.file, "%s/config/a.key", test_dir());
	CHECK_OK(dir_make(p.data, 0700));
	CHECK(unsetenv("CREDENTIALS_DIRECTORY") == 0);
	return p;
}

static struct keyring *create(const struct place *p)
{
	struct key_source s = { .key_file = p->file };
	struct err_info info = { .code = OK };
	struct keyring *k = NULL;
	CHECK_OK(keyring_create(p->data, &s, &k, &info));
	return k;
}

static enum err try_open(const struct place *p, const struct key_source *s, struct keyring **ret,
			 struct err_info *info)
{
	*info = (struct err_info){ .code = OK };
	enum err e = keyring_open(p->data, s, ret, info);
	/* Whoever stands before the machine must be told what to do. */
	if (e && e != ERR_IO && e != ERR_NOMEM && e != ERR_INVALID)
		CHECK(info->detail[0] && info->hint[0]);
	return e;
}

static void same_keys(const struct keyring *a, const struct keyring *b)
{
	for (enum data_key i = 0; i < DATA_KEY_COUNT_; i++) {
		uint8_t x[KEY_LEN], y[KEY_LEN];
		keyring_get(a, i, x);
		keyring_get(b, i, y);
		CHECK(memcmp(x, y, KEY_LEN) == 0);
	}
}

static void read_envelope(const struct place *p, struct buf *text)
{
	char path[PATH * 2];
	(void)snprintf(path, sizeof path, "%s/keys.json", p->data);
	buf_clear(text);
	CHECK_OK(file_read(path, text));
}

static void write_envelope(const struct place *p, struct str text)
{
	char path[PATH * 2];
	AUTO_FD int fd = -1;
	(void)snprintf(path, sizeof path, "%s/keys.json", p->data);
	CHECK_OK(fd_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd));
	CHECK_OK(fd_write_full(fd, text.ptr, text.len)); /* without fsync: thousands of them */
}

TEST(a_new_instance_opens_again_with_its_key_file)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	struct err_info info;
	struct stat st;
	AUTO(keyring) struct keyring *a = create(&p);
	AUTO(keyring) struct keyring *b = NULL;
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
	CHECK_EQ_Z(keyring_instance(a), keyring_instance(b));
	CHECK_EQ_INT(keyring_opened_by(b), SLOT_FILE);
	CHECK(stat(p.file, &st) == 0 && (st.st_mode & 0777) == 0600);
	for (enum data_key i = 1; i < DATA_KEY_COUNT_; i++) { /* one each */
		uint8_t x[KEY_LEN], y[KEY_LEN];
		keyring_get(a, i - 1, x);
		keyring_get(a, i, y);
		CHECK(memcmp(x, y, KEY_LEN) != 0);
	}
	AUTO(keyring) struct keyring *c = NULL;
	CHECK_ERR(keyring_create(p.data, &s, &c, &info), ERR_EXISTS);
}

TEST(the_default_key_file_lies_in_the_home_directory)
{
	struct place p = place();
	struct key_source s = { .key_file = NULL };
	struct err_info info;
	char path[PATH], want[PATH * 2];
	AUTO(keyring) struct keyring *a = NULL;
	AUTO(keyring) struct keyring *b = NULL;
	CHECK(unsetenv("XDG_CONFIG_HOME") == 0 && setenv("HOME", test_dir(), 1) == 0);
	CHECK_OK(keyring_create(p.data, &s, &a, &info));
	CHECK_OK(keyring_default_file(keyring_instance(a), path, sizeof path));
	(void)snprintf(want, sizeof want, "%s/.config/tresor/%s.key", test_dir(),
		       keyring_instance(a));
	CHECK_EQ_Z(path, want);
	CHECK(access(path, R_OK) == 0);
	CHECK_OK(try_open(&p, &s, &b, &info));
	CHECK(setenv("XDG_CONFIG_HOME", "/elsewhere", 1) == 0);
	CHECK_OK(keyring_default_file("x", path, sizeof path));
	CHECK_EQ_Z(path, "/elsewhere/tresor/x.key");
	CHECK(unsetenv("XDG_CONFIG_HOME") == 0 && unsetenv("HOME") == 0);
	CHECK_ERR(keyring_default_file("x", path, sizeof path), ERR_NOT_FOUND);
}

TEST(a_key_file_inside_the_data_directory_is_refused)
{
	struct place p = place();
	struct err_info info = { .code = OK };
	AUTO(keyring) struct keyring *k = NULL;
	char link[PATH * 2];
	(void)snprintf(p.file, sizeof p.file, "%.500s/data/deep/er/a.key", test_dir());
	struct key_source s = { .key_file = p.file };
	CHECK_ERR(keyring_create(p.data, &s, &k, &info), ERR_INVALID);
	CHECK(!keyring_exists(p.data) && access(p.file, F_OK) != 0);
	(void)snprintf(link, sizeof link, "%s/link", test_dir()); /* nor by a link */
	CHECK(symlink(p.data, link) == 0);
	(void)snprintf(p.file, sizeof p.file, "%.500s/link/a.key", test_dir());
	CHECK_ERR(keyring_create(p.data, &s, &k, &info), ERR_INVALID);
	(void)snprintf(p.file, sizeof p.file, "%.500s/data/../data-2.key", test_dir());
	CHECK_OK(keyring_create(p.data, &s, &k, &info)); /* beside it, with a like name, is fine */
}

TEST(a_key_file_that_others_may_read_is_refused)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	struct err_info info;
	(void)keyring_free(create(&p));
	AUTO(keyring) struct keyring *b = NULL;
	static const mode_t modes[] = { 0640, 0604, 0620, 0610, 0666 };
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		CHECK(chmod(p.file, modes[i]) == 0);
		CHECK_ERR(try_open(&p, &s, &b, &info), ERR_DENIED);
	}
	CHECK(chmod(p.file, 0400) == 0);
	CHECK_OK(try_open(&p, &s, &b, &info));
}

TEST(a_missing_wrong_or_damaged_key_file_is_told_apart)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	struct err_info info;
	(void)keyring_free(create(&p));
	AUTO(keyring) struct keyring *b = NULL;
	CHECK(unlink(p.file) == 0);
	CHECK_ERR(try_open(&p, &s, &b, &info), ERR_KEY);
	CHECK(access(p.file, F_OK) != 0); /* and none is made */
	CHECK_OK(file_write_atomic(p.file, STR("tresor-key 1 "
		"0000000000000000000000000000000000000000000000000000000000000000\n"), 0600));
	CHECK_ERR(try_open(&p, &s, &b, &info), ERR_KEY);
	info = (struct err_info){ .code = OK };
	CHECK_OK(file_write_atomic(p.file, STR("hello\n"), 0600));
	CHECK_ERR(keyring_open(p.data, &s, &b, &info), ERR_CORRUPT);
}

TEST(a_passphrase_opens_it_and_nothing_else_does)
{
	struct place p = place();
	struct key_source s = { .key_file = "", .passphrase = STR("korrekt pferd batterie") };
	struct key_source wrong = { .key_file = "", .passphrase = STR("korrekt pferd baterie") };
	struct key_source none = { .key_file = p.file };
	struct err_info info;
	AUTO(keyring) struct keyring *a = NULL;
	AUTO(keyring) struct keyring *b = NULL;
	AUTO_BUF struct buf json = BUF(200);
	CHECK_OK(keyring_create(p.data, &s, &a, &info));
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
	CHECK_ERR(try_open(&p, &wrong, &b, &info), ERR_KEY);
	CHECK_ERR(try_open(&p, &none, &b, &info), ERR_KEY);
	CHECK_OK(keyring_info_json(a, &json));
	CHECK_EQ_STR(buf_str(&json), STR("{\"kind\":\"passphrase\",\"recovery\":false}"));
}

TEST(a_short_passphrase_is_refused)
{
	struct place p = place();
	struct key_source s = { .passphrase = STR("1234567") };
	struct err_info info = { .code = OK };
	AUTO(keyring) struct keyring *a = NULL;
	CHECK_ERR(keyring_create(p.data, &s, &a, &info), ERR_INVALID);
	CHECK(!keyring_exists(p.data));
}

TEST(a_credential_of_systemd_opens_it)
{
	struct place p = place();
	struct key_source s = { .credentials_dir = test_dir() };
	struct key_source file = { .key_file = p.file };
	struct err_info info;
	char path[PATH];
	AUTO(keyring) struct keyring *a = NULL;
	AUTO(keyring) struct keyring *b = NULL;
	(void)snprintf(path, sizeof path, "%s/tresor-master", test_dir());
	CHECK_OK(file_write_atomic(path, STR("short"), 0400));
	CHECK_ERR(keyring_create(p.data, &s, &a, &info), ERR_CORRUPT);
	CHECK_OK(file_write_atomic(path, STR("0123456789abcdef0123456789abcdef"), 0400));
	CHECK_OK(keyring_create(p.data, &s, &a, &info));
	CHECK_EQ_INT(keyring_opened_by(a), SLOT_TPM);
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
	CHECK_ERR(try_open(&p, &file, &b, &info), ERR_KEY);
	CHECK(setenv("CREDENTIALS_DIRECTORY", test_dir(), 1) == 0);
	b = keyring_free(b);
	CHECK_OK(try_open(&p, &file, &b, &info)); /* as the service does */
}

/* Stands in for systemd-creds: "encrypts" by turning the text around. */
static void fake_tool(char path[PATH], const char *decrypt)
{
	char text[PATH * 2];
	(void)snprintf(path, PATH, "%s/creds", test_dir());
	(void)snprintf(text, sizeof text, "#!/bin/sh\nif [ \"$1\" = encrypt ]; then\n"
		       "  [ \"$2\" = --with-key=tpm2 ] || exit 3\n  rev > \"$5\"\n"
		       "else\n  %s\nfi\n", decrypt);
	CHECK_OK(file_write_atomic(path, str_from(text), 0700));
}

TEST(a_key_sealed_to_the_tpm_becomes_a_slot_only_if_it_opens_again)
{
	struct place p = place();
	struct err_info info = { .code = OK };
	char tool[PATH], out[PATH];
	AUTO(keyring) struct keyring *a = create(&p);
	AUTO(keyring) struct keyring *b = NULL;
	AUTO_SECRET_BUF struct buf text = BUF(4096);
	(void)snprintf(out, sizeof out, "%s/tresor-master", test_dir());
	CHECK_ERR(keyring_seal_tpm(a, out, "/no/such/tool", &info), ERR_UNSUPPORTED);
	fake_tool(tool, "exit 1");
	CHECK_ERR(keyring_seal_tpm(a, out, tool, &info), ERR_UNSUPPORTED);
	fake_tool(tool, "echo other");
	CHECK_ERR(keyring_seal_tpm(a, out, tool, &info), ERR_CORRUPT);
	CHECK(!keyring_has(a, SLOT_TPM) && info.hint[0]);
	fake_tool(tool, "rev \"$3\"");
	CHECK_OK(keyring_seal_tpm(a, out, tool, &info));
	CHECK(keyring_has(a, SLOT_TPM));
	CHECK_OK(file_read(out, &text)); /* what systemd would decrypt for the service */
	CHECK_EQ_INT(text.len, 13 + 64 + 1);
	for (size_t i = 0, j = text.len - 2; i < j; i++, j--) {
		char c = text.ptr[i];
		text.ptr[i] = text.ptr[j];
		text.ptr[j] = c;
	}
	CHECK_OK(file_write_atomic(out, buf_str(&text), 0400));
	struct key_source s = { .key_file = "", .credentials_dir = test_dir() };
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
}

TEST(the_recovery_code_opens_a_copy_on_another_machine)
{
	struct place p = place();
	struct err_info info = { .code = OK };
	char code[RECOVERY_CODE_LEN + 1], typed[RECOVERY_CODE_LEN + 1], fresh[PATH];
	AUTO(keyring) struct keyring *a = create(&p);
	AUTO(keyring) struct keyring *b = NULL;
	AUTO(keyring) struct keyring *c = NULL;
	AUTO_BUF struct buf json = BUF(200);
	CHECK_OK(keyring_add_recovery(a, code, &info));
	CHECK_OK(keyring_info_json(a, &json));
	CHECK_EQ_STR(buf_str(&json), STR("{\"kind\":\"file\",\"recovery\":true}"));
	CHECK_EQ_INT(strlen(code), RECOVERY_CODE_LEN);
	CHECK(unlink(p.file) == 0);
	for (size_t i = 0; i <= RECOVERY_CODE_LEN; i++) /* as people type it */
		typed[i] = code[i] == '-' ? ' ' : code[i] == '0' ? 'o' : code[i] == '1' ? 'l'
			   : code[i] >= 'A' ? (char)(code[i] + 32) : code[i];
	struct key_source s = { .recovery = str_from(typed) };
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
	(void)snprintf(fresh, sizeof fresh, "%s/new.key", test_dir());
	CHECK_OK(keyring_add_file(b, fresh, &info));
	struct key_source f = { .key_file = fresh };
	CHECK_OK(try_open(&p, &f, &c, &info));
	same_keys(a, c);
	char next[RECOVERY_CODE_LEN + 1];
	CHECK_OK(keyring_add_recovery(c, next, &info)); /* a new sheet voids the old one */
	struct keyring *d = NULL;
	CHECK_ERR(try_open(&p, &s, &d, &info), ERR_KEY);
}

TEST(a_mistyped_recovery_code_names_its_group)
{
	uint8_t bytes[20], back[20];
	char code[RECOVERY_CODE_LEN + 1], bad[RECOVERY_CODE_LEN + 1];
	unsigned unseen = 0, tried = 0;
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	recovery_encode(bytes, code);
	CHECK_OK(recovery_decode(str_from(code), back, NULL));
	CHECK(memcmp(bytes, back, sizeof bytes) == 0);
	for (unsigned i = 0; i < RECOVERY_CODE_LEN; i++) {
		if (code[i] == '-')
			continue;
		for (const char *c = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; *c; c++) {
			struct err_info info = { .code = OK };
			char want[16];
			if (*c == code[i])
				continue;
			memcpy(bad, code, sizeof bad);
			bad[i] = *c;
			tried++;
			(void)snprintf(want, sizeof want, "group %u ", i / 6 + 1);
			if (recovery_decode(str_from(bad), back, &info) == OK)
				unseen++;
			else
				CHECK(strncmp(info.detail, want, strlen(want)) == 0);
		}
	}
	CHECK_EQ_INT(tried, 40 * 31);
	CHECK(unseen < tried / 16); /* one in 32 by chance; it then does not open anything */
	CHECK_ERR(recovery_decode(STR("ABCDE"), back, NULL), ERR_INVALID);
	CHECK_ERR(recovery_decode(STR(""), back, NULL), ERR_INVALID);
	CHECK_ERR(recovery_decode(STR("u!"), back, NULL), ERR_INVALID);
}

TEST(the_last_way_in_cannot_be_removed)
{
	struct place p = place();
	struct err_info info = { .code = OK };
	char code[RECOVERY_CODE_LEN + 1];
	AUTO(keyring) struct keyring *a = create(&p);
	CHECK_ERR(keyring_remove(a, SLOT_FILE, &info), ERR_CONFLICT);
	CHECK_ERR(keyring_remove(a, SLOT_PASSPHRASE, &info), ERR_NOT_FOUND);
	CHECK_OK(keyring_add_recovery(a, code, &info));
	CHECK_ERR(keyring_remove(a, SLOT_FILE, &info), ERR_CONFLICT);
	CHECK_OK(keyring_add_passphrase(a, STR("korrekt pferd"), 0, &info));
	CHECK_OK(keyring_remove(a, SLOT_FILE, &info));
	CHECK_ERR(keyring_remove(a, SLOT_PASSPHRASE, &info), ERR_CONFLICT);
	AUTO(keyring) struct keyring *b = NULL;
	struct key_source s = { .key_file = p.file };
	CHECK_ERR(try_open(&p, &s, &b, &info), ERR_KEY);
	s = (struct key_source){ .passphrase = STR("korrekt pferd") };
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
}

TEST(a_new_master_key_keeps_the_data_keys_and_voids_other_slots)
{
	struct place p = place();
	struct err_info info = { .code = OK };
	char code[RECOVERY_CODE_LEN + 1];
	AUTO(keyring) struct keyring *a = create(&p);
	AUTO(keyring) struct keyring *b = NULL;
	AUTO(keyring) struct keyring *c = NULL;
	CHECK_OK(keyring_add_recovery(a, code, &info));
	CHECK_OK(keyring_rotate_master(a, &info));
	struct key_source s = { .key_file = p.file }, r = { .recovery = str_from(code) };
	CHECK_OK(try_open(&p, &s, &b, &info));
	same_keys(a, b);
	CHECK_ERR(try_open(&p, &r, &c, &info), ERR_KEY);
	CHECK_OK(keyring_add_recovery(b, code, &info));
	r.recovery = str_from(code);
	CHECK_OK(try_open(&p, &r, &c, &info));
	same_keys(a, c);
}

TEST_TIMEOUT(every_flipped_bit_of_the_envelope_is_found_or_without_meaning, 120)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	struct err_info info;
	AUTO(keyring) struct keyring *a = create(&p);
	AUTO_BUF struct buf text = BUF(TEXT_MAX);
	unsigned harmless = 0;
	char path[PATH * 2];
	AUTO_FD int fd = -1;
	(void)snprintf(path, sizeof path, "%s/keys.json", p.data);
	CHECK_OK(fd_open(path, O_WRONLY, 0, &fd));
	read_envelope(&p, &text);
	for (size_t bit = 0; bit < 8 * text.len; bit++) {
		AUTO(keyring) struct keyring *b = NULL;
		char c = (char)(text.ptr[bit / 8] ^ 1 << bit % 8);
		CHECK_OK(fd_pwrite_full(fd, &c, 1, bit / 8));
		enum err e = try_open(&p, &s, &b, &info);
		if (!e) { /* a blank for the last newline, A for a in hex */
			same_keys(a, b);
			harmless++;
		} else {
			CHECK(e == ERR_CORRUPT || e == ERR_KEY || e == ERR_SCHEMA);
		}
		CHECK_OK(fd_pwrite_full(fd, text.ptr + bit / 8, 1, bit / 8));
	}
	CHECK(harmless < text.len); /* fewer than one in eight */
}

TEST(a_cut_envelope_or_one_of_a_newer_version_is_refused)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	struct err_info info;
	(void)keyring_free(create(&p));
	AUTO(keyring) struct keyring *b = NULL;
	AUTO_BUF struct buf text = BUF(TEXT_MAX);
	read_envelope(&p, &text);
	for (size_t n = text.len - 1; n-- > 0;) {
		char path[PATH * 2];
		(void)snprintf(path, sizeof path, "%s/keys.json", p.data);
		CHECK(truncate(path, (off_t)n) == 0);
		CHECK_ERR(try_open(&p, &s, &b, &info), ERR_CORRUPT);
	}
	CHECK(str_starts(buf_str(&text), STR("{\"version\":1,")));
	text.ptr[11] = '2';
	write_envelope(&p, buf_str(&text));
	CHECK_ERR(try_open(&p, &s, &b, &info), ERR_SCHEMA);
	AUTO_BUF struct buf big = BUF(64 * 1024);
	CHECK_OK(buf_add_zeros(&big, 40 * 1024));
	write_envelope(&p, buf_str(&big));
	CHECK_ERR(try_open(&p, &s, &b, &info), ERR_CORRUPT);
}

TEST(a_slot_or_key_moved_from_another_instance_does_not_fit)
{
	struct place p = place(), q = p;
	struct err_info info;
	(void)snprintf(q.data, sizeof q.data, "%s/other", test_dir());
	CHECK_OK(dir_make(q.data, 0700));
	(void)keyring_free(create(&p));
	AUTO(keyring) struct keyring *b = create(&q); /* the same key file serves both */
	AUTO(keyring) struct keyring *c = NULL;
	AUTO_BUF struct buf x = BUF(TEXT_MAX);
	AUTO_BUF struct buf y = BUF(TEXT_MAX);
	struct key_source s = { .key_file = p.file };
	read_envelope(&p, &x);
	read_envelope(&q, &y);
	size_t at = str_find(buf_str(&x), STR("\"keys\""), 0);
	CHECK(at != SIZE_MAX && at == str_find(buf_str(&y), STR("\"keys\""), 0));
	memcpy(x.ptr + at, y.ptr + at, x.len - at);
	write_envelope(&p, buf_str(&x));
	CHECK_ERR(try_open(&p, &s, &c, &info), ERR_CORRUPT);
	memcpy(x.ptr, y.ptr, at); /* the whole envelope of the other one opens as that one */
	write_envelope(&p, buf_str(&x));
	CHECK_OK(try_open(&p, &s, &c, &info));
	same_keys(b, c);
}

TEST(a_failure_while_changing_slots_leaves_the_old_ones_good)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	bool fired = true;
	(void)keyring_free(create(&p));
	for (unsigned n = 1; fired; n++) {
		struct err_info info = { .code = OK };
		AUTO(keyring) struct keyring *k = NULL;
		AUTO(keyring) struct keyring *b = NULL;
		char code[RECOVERY_CODE_LEN + 1];
		CHECK_OK(try_open(&p, &s, &k, &info));
		fault_arm(FAULT_SYSCALL, n);
		enum err e = keyring_add_recovery(k, code, &info);
		fired = fault_fired(FAULT_SYSCALL);
		fault_arm(FAULT_SYSCALL, 0);
		CHECK(fired || !e);
		CHECK_OK(try_open(&p, &s, &b, &info));
		same_keys(k, b);
		if (!e) {
			struct key_source r = { .recovery = str_from(code) };
			b = keyring_free(b);
			CHECK_OK(try_open(&p, &r, &b, &info));
		}
	}
}

TEST(memory_that_runs_out_is_reported)
{
	struct place p = place();
	struct key_source s = { .key_file = p.file };
	(void)keyring_free(create(&p));
	FOR_EACH_FAULT(FAULT_ALLOC, n) {
		struct err_info info = { .code = OK };
		AUTO(keyring) struct keyring *k = NULL;
		enum err e = keyring_open(p.data, &s, &k, &info);
		if (e)
			CHECK_ERR(e, ERR_NOMEM);
		CHECK(e == OK || fault_fired(FAULT_ALLOC));
	}
}

TEST(a_signature_fits_its_bytes_and_its_instance_only)
{
	struct place p = place(), q = p;
	uint8_t mac[SHA256_LEN];
	(void)snprintf(q.data, sizeof q.data, "%s/other", test_dir());
	CHECK_OK(dir_make(q.data, 0700));
	AUTO(keyring) struct keyring *a = create(&p);
	AUTO(keyring) struct keyring *b = create(&q);
	keyring_sign(a, STR("manifest"), mac);
	CHECK(keyring_sign_ok(a, STR("manifest"), mac));
	CHECK(!keyring_sign_ok(a, STR("manifesT"), mac));
	CHECK(!keyring_sign_ok(b, STR("manifest"), mac));
}
