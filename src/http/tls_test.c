/* TLS with a GnuTLS client: version, certificate, reload, plain HTTP on the TLS port. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "http/http_test.h"

struct made {
	char cert[4096], key[4096];
};

static void make_cert(const char *name, struct made *m)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	size_t n = sizeof m->cert, k = sizeof m->key;
	CHECK(gnutls_x509_privkey_init(&key) == 0 && gnutls_x509_crt_init(&crt) == 0);
	CHECK(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
		      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
	CHECK(gnutls_x509_crt_set_version(crt, 3) == 0);
	CHECK(gnutls_x509_crt_set_serial(crt, "\x01", 1) == 0);
	CHECK(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60) == 0);
	CHECK(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600) == 0);
	CHECK(gnutls_x509_crt_set_dn_by_oid(
		      crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name)) == 0);
	CHECK(gnutls_x509_crt_set_key(crt, key) == 0);
	CHECK(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) == 0);
	CHECK(gnutls_x509_crt_export(crt, GNUTLS_X509_FMT_PEM, m->cert, &n) == 0);
	CHECK(gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, m->key, &k) == 0);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

/* Asks /hello over TLS; returns the peer's common name, or "" when the handshake fails. */
static void ask_tls(
	const struct fixture *f, const char *priority, char *name, size_t size, struct buf *answer)
{
	static const char request[] =
		"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	gnutls_session_t s;
	gnutls_certificate_credentials_t cred;
	AUTO_FD int fd = fixture_connect(f);
	name[0] = 0;
	CHECK(gnutls_init(&s, GNUTLS_CLIENT) == 0);
	CHECK(gnutls_certificate_allocate_credentials(&cred) == 0);
	CHECK(gnutls_priority_set_direct(s, priority, NULL) == 0);
	CHECK(gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred) == 0);
	gnutls_transport_set_int(s, fd);
	gnutls_handshake_set_timeout(s, 5000);
	int rc;
	do
		rc = gnutls_handshake(s);
	while (rc < 0 && !gnutls_error_is_fatal(rc));
	if (rc == 0) {
		unsigned n = 0;
		const gnutls_datum_t *peer = gnutls_certificate_get_peers(s, &n);
		gnutls_x509_crt_t crt;
		CHECK(peer && gnutls_x509_crt_init(&crt) == 0);
		CHECK(gnutls_x509_crt_import(crt, peer, GNUTLS_X509_FMT_DER) == 0);
		CHECK(gnutls_x509_crt_get_dn_by_oid(
			      crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) == 0);
		gnutls_x509_crt_deinit(crt);
		CHECK(gnutls_record_send(s, request, sizeof request - 1) > 0);
		char block[4096];
		ssize_t got;
		while ((got = gnutls_record_recv(s, block, sizeof block)) > 0)
			CHECK_OK(buf_add(answer, (struct str){ block, (size_t)got }));
	}
	gnutls_deinit(s);
	gnutls_certificate_free_credentials(cred);
}

TEST(tls_is_1_3_only_and_its_certificate_can_be_replaced)
{
	struct made one, two;
	make_cert("one", &one);
	make_cert("two", &two);
	struct fixture f = { .o = { .tls_cert = str_from(one.cert),
				     .tls_key = str_from(one.key) } };
	fixture_start(&f);
	char name[64];
	AUTO_BUF struct buf a = BUF(99999);
	ask_tls(&f, "NORMAL:-VERS-ALL:+VERS-TLS1.3", name, sizeof name, &a);
	CHECK_EQ_Z(name, "one");
	CHECK(str_starts(buf_str(&a), STR("HTTP/1.1 200")));
	CHECK_EQ_STR(head_value(&a, "Strict-Transport-Security"), STR("max-age=31536000"));
	ask_tls(&f, "NORMAL:-VERS-ALL:+VERS-TLS1.2", name, sizeof name, &a);
	CHECK_EQ_Z(name, "");

	struct err_info info = { .code = OK };
	CHECK_OK(http_tls_set(f.server, str_from(two.cert), str_from(two.key), &info));
	ask_tls(&f, "NORMAL", name, sizeof name, &a);
	CHECK_EQ_Z(name, "two");
	/* a key that does not fit, and rubbish: refused, and the old one stays */
	CHECK_ERR(
		http_tls_set(f.server, str_from(one.cert), str_from(two.key), &info), ERR_INVALID);
	CHECK_ERR(http_tls_set(f.server, STR("rubbish"), STR("rubbish"), &info), ERR_INVALID);
	ask_tls(&f, "NORMAL", name, sizeof name, &a);
	CHECK_EQ_Z(name, "two");
	for (int i = 0; i < 40; i++) /* more than are kept */
		CHECK_OK(http_tls_set(f.server, i % 2 ? str_from(one.cert) : str_from(two.cert),
			i % 2 ? str_from(one.key) : str_from(two.key), &info));
	ask_tls(&f, "NORMAL", name, sizeof name, &a);
	CHECK_EQ_Z(name, "one");
	fixture_stop(&f);
}

TEST(plain_http_on_the_tls_port_is_told_so)
{
	struct made one;
	make_cert("one", &one);
	struct fixture f = { .o = { .tls_cert = str_from(one.cert),
				     .tls_key = str_from(one.key),
				     .header_timeout_s = 1 } };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	AUTO_FD int silent = fixture_connect(&f);
	AUTO_BUF struct buf all = BUF(9999);
	send_z(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
	struct str got = recv_all(fd, 2000, &all);
	CHECK(str_starts(got, STR("HTTP/1.1 400")));
	CHECK(str_find(got, STR("only TLS"), 0) != SIZE_MAX);
	CHECK(closed_within(silent, 3000)); /* says nothing at all */
	/* the local socket stays plain */
	AUTO_FD int local = local_connect(&f);
	AUTO_BUF struct buf h = BUF(9999), b = BUF(99);
	send_z(local, "GET /hello HTTP/1.1\r\n\r\n");
	CHECK_EQ_INT(recv_answer(local, &h, &b), 200);
	fixture_stop(&f);
}
