#include "vault/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "os/fd.h"
#include "tests/test.h"
#include "vault/tls_x509.h"

/* The second source is the openssl command. */
enum { PATH = 600, OUT_MAX = 64 * 1024 };
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define NOW_MS INT64_C(1795000000000) /* November 2026 */

static const char *const names[] = { "ai.example.com", "192.0.2.7", "2001:db8::7" };

static struct tls_options options(const char *const *list, size_t n)
{
	struct tls_options o = { .data_dir = test_dir(), .key = { 1, 2 }, .names = list,
				 .n_names = n, .now_ms = NOW_MS };
	return o;
}

static void put_file(const char *name, struct str text, mode_t mode, char path[PATH])
{
	(void)snprintf(path, PATH, "%s/%s", test_dir(), name);
	CHECK_OK(file_write_atomic(path, text, mode));
}

/* Runs openssl in the test's folder; its output goes to `out`. True: it exited with 0. */
static bool openssl(struct buf *out, const char *const *args)
{
	char *argv[24] = { (char *)"openssl" }, log[PATH];
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status = 0;
	for (size_t i = 0; args[i]; i++)
		argv[i + 1] = (char *)args[i];
	(void)snprintf(log, sizeof log, "%s/openssl.txt", test_dir());
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)posix_spawn_file_actions_adddup2(&fa, 1, 2);
	CHECK(posix_spawnp(&pid, "openssl", &fa, NULL, argv, environ) == 0);
	(void)posix_spawn_file_actions_destroy(&fa);
	CHECK(waitpid(pid, &status, 0) == pid);
	buf_clear(out);
	CHECK_OK(file_read(log, out));
	CHECK_OK(buf_add(out, STR(" ")));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#define OPENSSL(out, ...) openssl((out), (const char *const[]){ __VA_ARGS__, NULL })

static bool says(const struct buf *out, const char *text)
{
	return str_find(buf_str(out), str_from(text), 0) != SIZE_MAX;
}

static bool verify_name(struct buf *out, const char *ca, const char *leaf, const char *name,
			int64_t at_ms)
{
	char when[32];
	bool ip = strchr(name, ':') || (name[0] >= '0' && name[0] <= '9');
	(void)snprintf(when, sizeof when, "%lld", (long long)(at_ms / 1000));
	return OPENSSL(out, "verify", "-x509_strict", "-attime", when, "-CAfile", ca,
		       ip ? "-verify_ip" : "-verify_hostname", name, leaf);
}

TEST(openssl_accepts_the_own_certificate_for_its_names_only)
{
	struct tls_options o = options(names, 3);
	struct err_info info = { .code = OK };
	AUTO_TLS_PAIR struct tls_pair p;
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	char ca[PATH], leaf[PATH];
	CHECK_OK(tls_load(&o, &p, &info));
	CHECK(p.own && p.ca_is_new && p.renewed && !p.expires_soon);
	CHECK(p.expires_ms > NOW_MS + 396 * DAY_MS && p.expires_ms < NOW_MS + 398 * DAY_MS);
	put_file("ca.pem", buf_str(&p.ca_pem), 0600, ca);
	put_file("leaf.pem", buf_str(&p.cert_pem), 0600, leaf);
	for (size_t i = 0; i < 3; i++)
		if (!verify_name(&out, ca, leaf, names[i], NOW_MS))
			FAIL("%s: %.*s", names[i], STR_ARG(buf_str(&out)));
	CHECK(!verify_name(&out, ca, leaf, "example.com", NOW_MS));
	CHECK(!verify_name(&out, ca, leaf, "192.0.2.8", NOW_MS));
	CHECK(!verify_name(&out, ca, leaf, names[0], NOW_MS + 398 * DAY_MS)); /* expired */
	CHECK(OPENSSL(&out, "x509", "-in", ca, "-noout", "-text"));
	CHECK(says(&out, "X509v3 Name Constraints: critical"));
	CHECK(says(&out, "DNS:ai.example.com") && says(&out, "IP:192.0.2.7/255.255.255.255"));
	CHECK(says(&out, "CA:TRUE, pathlen:0") && says(&out, "prime256v1"));
	CHECK(says(&out, "Certificate Sign, CRL Sign"));
	CHECK(OPENSSL(&out, "x509", "-in", ca, "-noout", "-fingerprint", "-sha256"));
	CHECK(says(&out, p.fingerprint));
	CHECK_EQ_INT(strlen(p.fingerprint), 95);
	CHECK(OPENSSL(&out, "x509", "-in", leaf, "-noout", "-text"));
	CHECK(says(&out, "TLS Web Server Authentication") && says(&out, "CA:FALSE"));
}

/* Whoever trusts our CA must not have to fear for any other server, even if its key is stolen. */
static void foreign_is_refused(const char *const *own, size_t n_own, const char *foreign)
{
	struct tls_options o = options(own, n_own), f = options(&foreign, 1);
	struct tls_names have, want;
	AUTO_X509_ID struct x509_id ca = { .cert = NULL };
	AUTO_X509_ID struct x509_id leaf = { .cert = NULL };
	AUTO_BUF struct buf ca_pem = BUF(OUT_MAX);
	AUTO_BUF struct buf leaf_pem = BUF(OUT_MAX);
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	char ca_path[PATH], leaf_path[PATH];
	CHECK_OK(tls_names_parse(&o, &have, NULL));
	CHECK_OK(tls_names_parse(&f, &want, NULL));
	CHECK_OK(x509_ca_new(&have, NOW_MS / 1000, &ca));
	CHECK_OK(x509_server_new(&want, NOW_MS / 1000, &ca, &leaf));
	if (x509_ca_covers(ca.cert, &want))
		FAIL("the CA of %s covers %s", own[0], foreign);
	CHECK(x509_ca_covers(ca.cert, &have));
	CHECK_OK(x509_cert_pem(ca.cert, &ca_pem));
	CHECK_OK(x509_cert_pem(leaf.cert, &leaf_pem));
	put_file("f-ca.pem", buf_str(&ca_pem), 0600, ca_path);
	put_file("f-leaf.pem", buf_str(&leaf_pem), 0600, leaf_path);
	CHECK(!verify_name(&out, ca_path, leaf_path, foreign, NOW_MS));
	if (!says(&out, "subtree violation"))
		FAIL("%s: not the name constraint: %.*s", foreign, STR_ARG(buf_str(&out)));
}

TEST(the_own_ca_cannot_vouch_for_other_names)
{
	static const char *const dns[] = { "ai.example.com" }, *const v4[] = { "192.0.2.7" },
				*const v6[] = { "2001:db8::7" };
	foreign_is_refused(dns, 1, "bank.example.org");
	foreign_is_refused(dns, 1, "example.com");
	foreign_is_refused(dns, 1, "192.0.2.7");
	foreign_is_refused(dns, 1, "2001:db8::7");
	foreign_is_refused(v4, 1, "192.0.2.8");
	foreign_is_refused(v4, 1, "bank.example.org");
	foreign_is_refused(v4, 1, "2001:db8::7");
	foreign_is_refused(v6, 1, "192.0.2.7");
	foreign_is_refused(v6, 1, "2001:db8::8");
	foreign_is_refused(v6, 1, "localhost");
}

static void same_pem(const struct buf *a, const struct buf *b, bool same)
{
	CHECK(str_eq(buf_str(a), buf_str(b)) == same);
}

TEST(the_certificate_stays_until_30_days_before_its_end)
{
	struct tls_options o = options(names, 3);
	struct err_info info = { .code = OK };
	AUTO_TLS_PAIR struct tls_pair a;
	AUTO_TLS_PAIR struct tls_pair b;
	AUTO_TLS_PAIR struct tls_pair c;
	CHECK_OK(tls_load(&o, &a, &info));
	o.now_ms = NOW_MS + (397 - 31) * DAY_MS;
	CHECK_OK(tls_load(&o, &b, &info));
	CHECK(!b.renewed && !b.ca_is_new && !b.expires_soon);
	same_pem(&a.cert_pem, &b.cert_pem, true);
	same_pem(&a.key_pem, &b.key_pem, true);
	o.now_ms = NOW_MS + (397 - 29) * DAY_MS;
	CHECK_OK(tls_load(&o, &c, &info));
	CHECK(c.renewed && !c.ca_is_new && !c.expires_soon);
	same_pem(&a.ca_pem, &c.ca_pem, true);
	same_pem(&a.key_pem, &c.key_pem, false);
	CHECK(c.expires_ms > o.now_ms + 395 * DAY_MS);
}

TEST(a_name_more_needs_a_new_ca_and_a_name_less_does_not)
{
	static const char *const more[] = { "ai.example.com", "192.0.2.7", "2001:db8::7",
					    "tresor" };
	struct tls_options o = options(names, 3);
	struct err_info info = { .code = OK };
	AUTO_TLS_PAIR struct tls_pair a;
	AUTO_TLS_PAIR struct tls_pair b;
	AUTO_TLS_PAIR struct tls_pair c;
	CHECK_OK(tls_load(&o, &a, &info));
	o.n_names = 2;
	CHECK_OK(tls_load(&o, &b, &info));
	CHECK(b.renewed && !b.ca_is_new);
	o.names = more;
	o.n_names = 4;
	CHECK_OK(tls_load(&o, &c, &info));
	CHECK(c.renewed && c.ca_is_new);
	CHECK_EQ_Z(a.fingerprint, b.fingerprint);
	CHECK(strcmp(a.fingerprint, c.fingerprint) != 0);
}

TEST(no_private_key_lies_in_the_clear)
{
	static const char *const files[] = { "ca.key", "server.key", "request.key" };
	struct tls_options o = options(names, 1);
	struct err_info info = { .code = OK };
	AUTO_TLS_PAIR struct tls_pair p;
	AUTO_BUF struct buf pem = BUF(OUT_MAX);
	CHECK_OK(tls_load(&o, &p, &info));
	CHECK_OK(tls_request(&o, &pem, &info));
	for (size_t i = 0; i < 3; i++) {
		AUTO_BUF struct buf text = BUF(OUT_MAX);
		AUTO_X509_ID struct x509_id id = { .cert = NULL };
		char path[PATH];
		struct stat st;
		(void)snprintf(path, sizeof path, "%s/tls/%s", test_dir(), files[i]);
		CHECK_OK(file_read(path, &text));
		CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
		CHECK(str_find(buf_str(&text), STR("PRIVATE"), 0) == SIZE_MAX);
		CHECK_ERR(x509_key_read(buf_str(&text), &id.key), ERR_INVALID);
	}
	CHECK(says(&p.key_pem, "BEGIN PRIVATE KEY"));
}

TEST(damaged_stored_keys_are_refused_and_left_alone)
{
	static const char *const files[] = { "ca.key", "server.key", "ca.pem", "server.pem" };
	struct tls_options o = options(names, 1);
	struct err_info info = { .code = OK };
	AUTO_TLS_PAIR struct tls_pair p;
	CHECK_OK(tls_load(&o, &p, &info));
	for (size_t i = 0; i < 4; i++) {
		AUTO_BUF struct buf text = BUF(OUT_MAX);
		AUTO_BUF struct buf after = BUF(OUT_MAX);
		AUTO_TLS_PAIR struct tls_pair q = { .own = false };
		char path[PATH];
		(void)snprintf(path, sizeof path, "%s/tls/%s", test_dir(), files[i]);
		CHECK_OK(file_read(path, &text));
		text.ptr[text.len / 2] ^= 1;
		CHECK_OK(file_write_atomic(path, buf_str(&text), 0600));
		info = (struct err_info){ .code = OK };
		enum err e = tls_load(&o, &q, &info);
		if (!e && i >= 2) /* another character of a signature: no longer ours, made anew */
			CHECK(q.renewed);
		else
			CHECK_ERR(e, ERR_CORRUPT);
		CHECK_OK(file_read(path, &after));
		if (e)
			same_pem(&text, &after, true);
		text.ptr[text.len / 2] ^= 1;
		CHECK_OK(file_write_atomic(path, buf_str(&text), 0600));
	}
	o.key[0] ^= 1;
	AUTO_TLS_PAIR struct tls_pair r = { .own = false };
	CHECK_ERR(tls_load(&o, &r, &info), ERR_CORRUPT);
	CHECK(info.hint[0]);
}

TEST(names_that_are_none_are_refused)
{
	static const char *const bad[] = {
		"", ".", "a..b", "-a", "a-", "a b", "*.example.com", "a_b", "a/b", "a\nb",
		"host:80", "[::1]", "ex\xc3\xa4mple.de", "256.1.1.1/8",
	};
	struct err_info info = { .code = OK };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct tls_options o = options(&bad[i], 1);
		AUTO_TLS_PAIR struct tls_pair p = { .own = false };
		if (tls_load(&o, &p, &info) != ERR_INVALID)
			FAIL("accepted \"%s\"", bad[i]);
	}
	struct tls_options none = options(NULL, 0);
	AUTO_TLS_PAIR struct tls_pair p = { .own = false };
	CHECK_ERR(tls_load(&none, &p, &info), ERR_INVALID);
}

/* A company's CA, by openssl: signs the request; also an own key with certificate. */
static void company(struct buf *out, const char *csr, const char *cert, int days)
{
	char ca[PATH], key[PATH], ext[PATH], n[16];
	(void)snprintf(n, sizeof n, "%d", days);
	(void)snprintf(ca, sizeof ca, "%s/co.pem", test_dir());
	(void)snprintf(key, sizeof key, "%s/co.key", test_dir());
	put_file("co.ext", STR("subjectAltName=DNS:ai.example.com,DNS:*.corp.example\n"), 0600,
		 ext);
	CHECK(OPENSSL(out, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		      "-nodes", "-subj", "/CN=Company CA", "-days", "900", "-keyout", key, "-out",
		      ca));
	CHECK(OPENSSL(out, "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", key, "-CAcreateserial",
		      "-days", n, "-extfile", ext, "-out", cert));
}

TEST(a_request_signed_by_the_company_becomes_the_certificate)
{
	static const char *const own[] = { "ai.example.com" }, *const wild[] = { "x.corp.example" },
				*const other[] = { "ai.example.com", "mail.example.com" };
	struct tls_options o = options(own, 1);
	struct err_info info = { .code = OK };
	AUTO_BUF struct buf pem = BUF(OUT_MAX);
	AUTO_BUF struct buf again = BUF(OUT_MAX);
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	AUTO_TLS_PAIR struct tls_pair p;
	AUTO_TLS_PAIR struct tls_pair q;
	char csr[PATH], cert[PATH];
	o.now_ms = 0;
	CHECK_OK(tls_request(&o, &pem, &info));
	put_file("r.csr", buf_str(&pem), 0600, csr);
	CHECK(OPENSSL(&out, "req", "-in", csr, "-noout", "-verify", "-text"));
	CHECK(says(&out, "DNS:ai.example.com") && says(&out, "prime256v1"));
	CHECK_OK(tls_request(&o, &again, &info)); /* the same key for every request */
	(void)snprintf(cert, sizeof cert, "%s/r.pem", test_dir());
	company(&out, csr, cert, 90);
	o.cert_file = cert;
	CHECK_OK(tls_load(&o, &p, &info));
	CHECK(!p.own && !p.expires_soon && p.ca_pem.len == 0 && says(&p.key_pem, "PRIVATE KEY"));
	o.names = wild;
	CHECK_OK(tls_load(&o, &q, &info));
	o.names = other;
	o.n_names = 2;
	AUTO_TLS_PAIR struct tls_pair r = { .own = false };
	CHECK_ERR(tls_load(&o, &r, &info), ERR_INVALID);
	CHECK(strstr(info.detail, "mail.example.com"));
	company(&out, csr, cert, 20);
	o.names = own;
	o.n_names = 1;
	tls_pair_done(&p);
	CHECK_OK(tls_load(&o, &p, &info));
	CHECK(p.expires_soon);
}

TEST(a_given_certificate_is_checked_before_it_is_used)
{
	static const char *const own[] = { "ai.example.com" };
	struct tls_options o = options(own, 1);
	struct err_info info = { .code = OK };
	AUTO_BUF struct buf out = BUF(OUT_MAX);
	AUTO_TLS_PAIR struct tls_pair p = { .own = false };
	AUTO_TLS_PAIR struct tls_pair good;
	char key[PATH], cert[PATH], other[PATH], junk[PATH], locked[PATH];
	(void)snprintf(key, sizeof key, "%s/g.key", test_dir());
	(void)snprintf(cert, sizeof cert, "%s/g.pem", test_dir());
	(void)snprintf(other, sizeof other, "%s/o.key", test_dir());
	(void)snprintf(locked, sizeof locked, "%s/l.key", test_dir());
	o.now_ms = 0;
	CHECK(OPENSSL(&out, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
		      "-addext", "subjectAltName=DNS:ai.example.com", "-days", "60", "-keyout", key,
		      "-out", cert));
	CHECK(OPENSSL(&out, "genpkey", "-algorithm", "ed25519", "-out", other));
	CHECK(OPENSSL(&out, "pkey", "-in", key, "-aes128", "-passout", "pass:abcd", "-out",
		      locked));
	put_file("junk.pem", STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		 0600, junk);
	o.cert_file = cert;
	o.key_file = key;
	CHECK_OK(tls_load(&o, &good, &info));
	o.key_file = other;
	CHECK_ERR(tls_load(&o, &p, &info), ERR_INVALID);
	CHECK(strstr(info.detail, "does not belong"));
	o.key_file = locked;
	CHECK_ERR(tls_load(&o, &p, &info), ERR_INVALID);
	o.key_file = NULL; /* and there is no request either */
	CHECK_ERR(tls_load(&o, &p, &info), ERR_INVALID);
	o.key_file = key;
	o.now_ms = good.expires_ms;
	CHECK_ERR(tls_load(&o, &p, &info), ERR_INVALID);
	CHECK(strstr(info.detail, "expired"));
	o.now_ms = good.expires_ms - 61 * DAY_MS;
	CHECK_ERR(tls_load(&o, &p, &info), ERR_INVALID);
	CHECK(strstr(info.detail, "valid only from"));
	o.now_ms = 0;
	o.cert_file = junk;
	CHECK_ERR(tls_load(&o, &p, &info), ERR_INVALID);
	o.cert_file = "/no/such/file";
	CHECK_ERR(tls_load(&o, &p, &info), ERR_NOT_FOUND);
	o.cert_file = cert;
	CHECK(chmod(key, 0644) == 0);
	CHECK_ERR(tls_load(&o, &p, &info), ERR_DENIED);
}

TEST(a_failure_at_any_write_is_made_good_at_the_next_start)
{
	bool fired = true;
	for (unsigned n = 1; fired; n++) {
		char dir[PATH];
		struct tls_options o = options(names, 3);
		struct err_info info = { .code = OK };
		AUTO_TLS_PAIR struct tls_pair p = { .own = false };
		AUTO_TLS_PAIR struct tls_pair q = { .own = false };
		(void)snprintf(dir, sizeof dir, "%s/f%u", test_dir(), n);
		CHECK_OK(dir_make(dir, 0700));
		o.data_dir = dir;
		fault_arm(FAULT_SYSCALL, n);
		enum err e = tls_load(&o, &p, &info);
		fired = fault_fired(FAULT_SYSCALL);
		fault_arm(FAULT_SYSCALL, 0);
		CHECK(fired || !e);
		CHECK_OK(tls_load(&o, &q, &info));
	}
}
