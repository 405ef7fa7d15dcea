/* vault/tls.h - the certificate the listener shows (keeper side, GnuTLS).
 *
 * Without a given certificate an own CA is made: P-256, 10 years, critical name constraints to just
 * the given host names and addresses (RFC 5280 4.2.1.10), so whoever trusts it trusts it for this
 * server only. It signs a server certificate for 397 days, renewed when 30 days are left. Private
 * keys lie in DIR/tls/ sealed under the TLS key; in the clear they exist only in memory.
 * Names that the CA does not cover need a new CA (`ca_is_new`: everybody must trust it again). */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"

enum { TLS_RENEW_DAYS = 30, TLS_SERVER_DAYS = 397, TLS_CA_DAYS = 3650, TLS_NAMES_MAX = 32 };

struct tls_options {
	const char *data_dir;
	uint8_t key[KEY_LEN];       /* DATA_KEY_TLS */
	const char *const *names;   /* host names and addresses people use to reach the server */
	size_t n_names;
	const char *cert_file;      /* given certificate chain (PEM); NULL: own CA */
	const char *key_file;       /* its key (PEM); NULL: the key of tls_request() */
	int64_t now_ms;             /* 0: the clock */
};
struct tls_pair { /* tls_pair_done() wipes */
	struct buf cert_pem, key_pem; /* leaf first, then the CA; key unencrypted PKCS #8 */
	struct buf ca_pem;            /* own CA, for browsers; empty for a given certificate */
	char fingerprint[SHA256_LEN * 3]; /* of ca (own) or leaf (given): "AB:CD:.." */
	int64_t expires_ms;
	bool own, ca_is_new, renewed;
	bool expires_soon;            /* within TLS_RENEW_DAYS: warn */
};
void tls_pair_done(struct tls_pair *p);
#define AUTO_TLS_PAIR [[gnu::cleanup(tls_pair_done)]]

/* At start and at reload. Errors: ERR_INVALID (given certificate: not PEM, key does not match,
 * expired, not yet valid, does not cover a name; info says which), ERR_CORRUPT or ERR_KEY (stored
 * ones damaged: never overwritten), ERR_IO .. */
enum err tls_load(const struct tls_options *o, struct tls_pair *ret, struct err_info *info);
/* `tresor tls csr`: a PKCS #10 request for the company's CA; its key is made once, kept sealed. */
enum err tls_request(const struct tls_options *o, struct buf *ret_pem, struct err_info *info);
