/* vault/tls_x509.h - making and reading certificates with GnuTLS, for tls.c only. No files. */
#pragma once

#include <gnutls/x509.h>

#include "vault/tls.h"

struct tls_names { /* sorted out of tls_options.names; strings are borrowed */
	struct { struct str text; uint8_t ip[16]; unsigned ip_len; } name[TLS_NAMES_MAX];
	size_t n;
};
/* Errors: ERR_INVALID (no name, too many, neither a host name nor an address). */
enum err tls_names_parse(const struct tls_options *o, struct tls_names *ret, struct err_info *info);

struct x509_id { /* a certificate and its key; zero-initialise */
	gnutls_x509_crt_t cert;
	gnutls_x509_privkey_t key;
};
void x509_id_done(struct x509_id *id);
#define AUTO_X509_ID [[gnu::cleanup(x509_id_done)]]

enum err x509_key_new(gnutls_x509_privkey_t *ret);                        /* P-256 */
enum err x509_ca_new(const struct tls_names *names, int64_t now_s, struct x509_id *ret);
enum err x509_server_new(const struct tls_names *names, int64_t now_s, const struct x509_id *ca,
			 struct x509_id *ret);
enum err x509_request(const struct tls_names *names, gnutls_x509_privkey_t key,
		      struct buf *ret_pem);

/* Errors of reading: ERR_INVALID. */
enum err x509_cert_read(struct str pem, gnutls_x509_crt_t *ret);
enum err x509_key_read(struct str pem, gnutls_x509_privkey_t *ret);
enum err x509_cert_pem(gnutls_x509_crt_t c, struct buf *out);             /* appends */
enum err x509_key_pem(gnutls_x509_privkey_t k, struct buf *out);          /* PKCS #8 */
bool x509_key_fits(gnutls_x509_crt_t c, gnutls_x509_privkey_t k);
/* May this CA sign for all the names? */
bool x509_ca_covers(gnutls_x509_crt_t ca, const struct tls_names *names);
/* The first name that the certificate is not for, or -1. */
int x509_uncovered(gnutls_x509_crt_t c, const struct tls_names *names);
/* Covers all of them and no others. */
bool x509_same_names(gnutls_x509_crt_t c, const struct tls_names *names);
bool x509_issued_by(gnutls_x509_crt_t c, gnutls_x509_crt_t ca);
enum err x509_fingerprint(gnutls_x509_crt_t c, char ret[SHA256_LEN * 3]);
