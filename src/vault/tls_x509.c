#include "vault/tls_x509.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/random.h"

enum { SERIAL_LEN = 16, DAY_S = 24 * 3600, SKEW_S = 3600, KEY_ID_MAX = 64, SAN_MAX = 256 };

/* GnuTLS in our terms: memory, or something we did not foresee. */
static enum err made(int r)
{
	if (r >= 0)
		return OK;
	return r == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_INTERNAL;
}
#define G(call) TRY(made(call))

void x509_id_done(struct x509_id *id)
{
	if (id->cert)
		gnutls_x509_crt_deinit(id->cert);
	if (id->key)
		gnutls_x509_privkey_deinit(id->key);
	*id = (struct x509_id){ .cert = NULL };
}

/* ---- names ---- */

static bool host_name_ok(struct str s)
{
	if (s.len == 0 || s.len > 253 || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
		return false;
	struct str label;
	while (str_next(&s, '.', &label)) {
		if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
		    label.ptr[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++) {
			char c = label.ptr[i];
			if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			      (c >= '0' && c <= '9') || c == '-'))
				return false;
		}
	}
	return true;
}

enum err tls_names_parse(const struct tls_options *o, struct tls_names *ret, struct err_info *info)
{
	*ret = (struct tls_names){ .n = 0 };
	if (o->n_names > TLS_NAMES_MAX)
		return err_set(info, ERR_INVALID, "more than %d names", (int)TLS_NAMES_MAX);
	for (size_t i = 0; i < o->n_names; i++) {
		ret->name[i].text = str_from(o->names[i]);
		if (inet_pton(AF_INET, o->names[i], ret->name[i].ip) == 1)
			ret->name[i].ip_len = 4;
		else if (inet_pton(AF_INET6, o->names[i], ret->name[i].ip) == 1)
			ret->name[i].ip_len = 16;
		else if (!host_name_ok(ret->name[i].text))
			return err_set(info, ERR_INVALID,
				       "\"%.100s\" is neither a host name nor an address",
				       o->names[i]);
		ret->n++;
	}
	return OK;
}

/* ---- making ---- */

enum err x509_key_new(gnutls_x509_privkey_t *ret)
{
	gnutls_x509_privkey_t k;
	G(gnutls_x509_privkey_init(&k));
	int r = gnutls_x509_privkey_generate(k, GNUTLS_PK_ECDSA,
					     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (r < 0) {
		gnutls_x509_privkey_deinit(k);
		return made(r);
	}
	*ret = k;
	return OK;
}

/* What every certificate of ours has. */
static enum err cert_begin(struct x509_id *id, const char *cn, int64_t from_s, int64_t to_s)
{
	uint8_t serial[SERIAL_LEN], key_id[KEY_ID_MAX];
	size_t n = sizeof key_id;
	TRY(x509_key_new(&id->key));
	G(gnutls_x509_crt_init(&id->cert));
	G(gnutls_x509_crt_set_version(id->cert, 3));
	random_bytes(serial, sizeof serial);
	serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and never a zero in front */
	G(gnutls_x509_crt_set_serial(id->cert, serial, sizeof serial));
	G(gnutls_x509_crt_set_activation_time(id->cert, (time_t)from_s));
	G(gnutls_x509_crt_set_expiration_time(id->cert, (time_t)to_s));
	G(gnutls_x509_crt_set_dn_by_oid(id->cert, GNUTLS_OID_X520_COMMON_NAME, 0, cn,
					(unsigned)strlen(cn)));
	G(gnutls_x509_crt_set_key(id->cert, id->key));
	G(gnutls_x509_crt_get_key_id(id->cert, GNUTLS_KEYID_USE_SHA1, key_id, &n));
	G(gnutls_x509_crt_set_subject_key_id(id->cert, key_id, n));
	return made(gnutls_x509_crt_set_key_purpose_oid(id->cert, GNUTLS_KP_TLS_WWW_SERVER, 0));
}

/* Only these host names and addresses. A kind of name of which none is given must be shut out by
 * hand: RFC 5280 leaves a kind without any constraint open, and checkers (GnuTLS among them) take
 * IPv4 and IPv6 for two kinds. */
static enum err add_constraints(gnutls_x509_name_constraints_t nc, const struct tls_names *names)
{
	static const uint8_t all4[8] = { 0 }, all6[32] = { 0 };
	bool dns = false, four = false, six = false;
	for (size_t i = 0; i < names->n; i++) {
		unsigned len = names->name[i].ip_len;
		uint8_t range[32];
		gnutls_datum_t d = { (uint8_t *)names->name[i].text.ptr,
				     (unsigned)names->name[i].text.len };
		if (len) {
			memcpy(range, names->name[i].ip, len);
			memset(range + len, 0xff, len);
			d = (gnutls_datum_t){ range, 2 * len };
		}
		dns = dns || !len;
		four = four || len == 4;
		six = six || len == 16;
		G(gnutls_x509_name_constraints_add_permitted(
			nc, len ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME, &d));
	}
	gnutls_datum_t none = { (uint8_t *)"", 0 }, v4 = { (uint8_t *)all4, sizeof all4 },
		       v6 = { (uint8_t *)all6, sizeof all6 };
	if (!dns)
		G(gnutls_x509_name_constraints_add_excluded(nc, GNUTLS_SAN_DNSNAME, &none));
	if (!four)
		G(gnutls_x509_name_constraints_add_excluded(nc, GNUTLS_SAN_IPADDRESS, &v4));
	if (!six)
		G(gnutls_x509_name_constraints_add_excluded(nc, GNUTLS_SAN_IPADDRESS, &v6));
	return OK;
}

static enum err set_constraints(gnutls_x509_crt_t c, const struct tls_names *names)
{
	gnutls_x509_name_constraints_t nc;
	G(gnutls_x509_name_constraints_init(&nc));
	enum err e = add_constraints(nc, names);
	if (!e)
		e = made(gnutls_x509_crt_set_name_constraints(c, nc, 1));
	gnutls_x509_name_constraints_deinit(nc);
	return e;
}

static enum err ca_build(const struct tls_names *names, int64_t now_s, struct x509_id *id)
{
	uint8_t random[4];
	char cn[64], hex[9];
	random_bytes(random, sizeof random);
	hex_encode(random, sizeof random, hex);
	(void)snprintf(cn, sizeof cn, "Tresor CA %s", hex); /* tells an old one from a new one */
	TRY(cert_begin(id, cn, now_s - SKEW_S, now_s - SKEW_S + (int64_t)TLS_CA_DAYS * DAY_S));
	G(gnutls_x509_crt_set_basic_constraints(id->cert, 1, 0));
	G(gnutls_x509_crt_set_key_usage(id->cert, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN));
	TRY(set_constraints(id->cert, names));
	return made(gnutls_x509_crt_sign2(id->cert, id->cert, id->key, GNUTLS_DIG_SHA256, 0));
}

enum err x509_ca_new(const struct tls_names *names, int64_t now_s, struct x509_id *ret)
{
	AUTO_X509_ID struct x509_id id = { .cert = NULL };
	TRY(ca_build(names, now_s, &id));
	*ret = id;
	id = (struct x509_id){ .cert = NULL };
	return OK;
}

static enum err set_names(gnutls_x509_crt_t c, const struct tls_names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		unsigned len = names->name[i].ip_len;
		if (len)
			G(gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_IPADDRESS,
							       names->name[i].ip, len,
							       GNUTLS_FSAN_APPEND));
		else
			G(gnutls_x509_crt_set_subject_alt_name(
				c, GNUTLS_SAN_DNSNAME, names->name[i].text.ptr,
				(unsigned)names->name[i].text.len, GNUTLS_FSAN_APPEND));
	}
	return OK;
}

static enum err server_build(const struct tls_names *names, int64_t now_s,
			     const struct x509_id *ca, struct x509_id *id)
{
	uint8_t key_id[KEY_ID_MAX];
	size_t n = sizeof key_id;
	int64_t to = now_s - SKEW_S + (int64_t)TLS_SERVER_DAYS * DAY_S;
	int64_t ca_to = gnutls_x509_crt_get_expiration_time(ca->cert);
	/* Not a valid host name on purpose: no checker may take it for one. */
	TRY(cert_begin(id, "Tresor server", now_s - SKEW_S, to < ca_to ? to : ca_to));
	G(gnutls_x509_crt_set_basic_constraints(id->cert, 0, -1));
	G(gnutls_x509_crt_set_key_usage(id->cert, GNUTLS_KEY_DIGITAL_SIGNATURE));
	TRY(set_names(id->cert, names));
	G(gnutls_x509_crt_get_key_id(ca->cert, GNUTLS_KEYID_USE_SHA1, key_id, &n));
	G(gnutls_x509_crt_set_authority_key_id(id->cert, key_id, n));
	return made(gnutls_x509_crt_sign2(id->cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0));
}

enum err x509_server_new(const struct tls_names *names, int64_t now_s, const struct x509_id *ca,
			 struct x509_id *ret)
{
	AUTO_X509_ID struct x509_id id = { .cert = NULL };
	TRY(server_build(names, now_s, ca, &id));
	*ret = id;
	id = (struct x509_id){ .cert = NULL };
	return OK;
}

/* Appends what a GnuTLS export function gives, and frees it. */
static enum err take_datum(int r, gnutls_datum_t *d, struct buf *out)
{
	G(r);
	enum err e = buf_add(out, (struct str){ (const char *)d->data, d->size });
	wipe(d->data, d->size);
	gnutls_free(d->data);
	return e;
}

static enum err request_build(const struct tls_names *names, gnutls_x509_privkey_t key,
			      gnutls_x509_crq_t q)
{
	G(gnutls_x509_crq_set_version(q, 1));
	G(gnutls_x509_crq_set_dn_by_oid(q, GNUTLS_OID_X520_COMMON_NAME, 0, names->name[0].text.ptr,
					(unsigned)names->name[0].text.len));
	G(gnutls_x509_crq_set_key(q, key));
	for (size_t i = 0; i < names->n; i++) {
		unsigned len = names->name[i].ip_len;
		G(gnutls_x509_crq_set_subject_alt_name(
			q, len ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME,
			len ? (const void *)names->name[i].ip : names->name[i].text.ptr,
			len ? len : (unsigned)names->name[i].text.len, GNUTLS_FSAN_APPEND));
	}
	G(gnutls_x509_crq_set_key_usage(q, GNUTLS_KEY_DIGITAL_SIGNATURE));
	G(gnutls_x509_crq_set_key_purpose_oid(q, GNUTLS_KP_TLS_WWW_SERVER, 0));
	return made(gnutls_x509_crq_sign2(q, key, GNUTLS_DIG_SHA256, 0));
}

enum err x509_request(const struct tls_names *names, gnutls_x509_privkey_t key, struct buf *ret_pem)
{
	gnutls_x509_crq_t q;
	gnutls_datum_t d = { NULL, 0 };
	G(gnutls_x509_crq_init(&q));
	enum err e = request_build(names, key, q);
	if (!e)
		e = take_datum(gnutls_x509_crq_export2(q, GNUTLS_X509_FMT_PEM, &d), &d, ret_pem);
	gnutls_x509_crq_deinit(q);
	return e;
}

/* ---- reading ---- */

enum err x509_cert_read(struct str pem, gnutls_x509_crt_t *ret)
{
	gnutls_datum_t d = { (uint8_t *)pem.ptr, (unsigned)pem.len };
	gnutls_x509_crt_t c;
	if (pem.len == 0 || pem.len > UINT32_MAX)
		return ERR_INVALID;
	G(gnutls_x509_crt_init(&c));
	int r = gnutls_x509_crt_import(c, &d, GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		gnutls_x509_crt_deinit(c);
		return r == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_INVALID;
	}
	*ret = c;
	return OK;
}

enum err x509_key_read(struct str pem, gnutls_x509_privkey_t *ret)
{
	gnutls_datum_t d = { (uint8_t *)pem.ptr, (unsigned)pem.len };
	gnutls_x509_privkey_t k;
	if (pem.len == 0 || pem.len > UINT32_MAX)
		return ERR_INVALID;
	G(gnutls_x509_privkey_init(&k));
	int r = gnutls_x509_privkey_import2(k, &d, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
	if (r < 0) {
		gnutls_x509_privkey_deinit(k);
		return r == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_INVALID;
	}
	*ret = k;
	return OK;
}

enum err x509_cert_pem(gnutls_x509_crt_t c, struct buf *out)
{
	gnutls_datum_t d = { NULL, 0 };
	return take_datum(gnutls_x509_crt_export2(c, GNUTLS_X509_FMT_PEM, &d), &d, out);
}

enum err x509_key_pem(gnutls_x509_privkey_t k, struct buf *out)
{
	gnutls_datum_t d = { NULL, 0 };
	return take_datum(gnutls_x509_privkey_export2_pkcs8(k, GNUTLS_X509_FMT_PEM, NULL,
							    GNUTLS_PKCS_PLAIN, &d),
			  &d, out);
}

bool x509_key_fits(gnutls_x509_crt_t c, gnutls_x509_privkey_t k)
{
	uint8_t a[KEY_ID_MAX], b[KEY_ID_MAX];
	size_t na = sizeof a, nb = sizeof b;
	return gnutls_x509_crt_get_key_id(c, GNUTLS_KEYID_USE_SHA256, a, &na) >= 0 &&
	       gnutls_x509_privkey_get_key_id(k, GNUTLS_KEYID_USE_SHA256, b, &nb) >= 0 &&
	       na == nb && memcmp(a, b, na) == 0;
}

bool x509_ca_covers(gnutls_x509_crt_t ca, const struct tls_names *names)
{
	gnutls_x509_name_constraints_t nc;
	unsigned critical = 0;
	bool all = true;
	if (gnutls_x509_name_constraints_init(&nc) < 0)
		return false;
	if (gnutls_x509_crt_get_name_constraints(ca, nc, 0, &critical) < 0)
		all = false;
	for (size_t i = 0; i < names->n && all; i++) {
		unsigned len = names->name[i].ip_len;
		gnutls_datum_t d = { (uint8_t *)names->name[i].text.ptr,
				     (unsigned)names->name[i].text.len };
		if (len)
			d = (gnutls_datum_t){ (uint8_t *)names->name[i].ip, len };
		all = gnutls_x509_name_constraints_check(
			      nc, len ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME, &d) != 0;
	}
	gnutls_x509_name_constraints_deinit(nc);
	return all && critical;
}

int x509_uncovered(gnutls_x509_crt_t c, const struct tls_names *names)
{
	char text[254];
	for (size_t i = 0; i < names->n; i++)
		if (str_copy(names->name[i].text, text, sizeof text) ||
		    !gnutls_x509_crt_check_hostname2(c, text, 0))
			return (int)i;
	return -1;
}

bool x509_same_names(gnutls_x509_crt_t c, const struct tls_names *names)
{
	unsigned n = 0;
	for (;; n++) {
		char san[SAN_MAX];
		size_t len = sizeof san;
		if (gnutls_x509_crt_get_subject_alt_name(c, n, san, &len, NULL) < 0)
			break;
	}
	return n == names->n && x509_uncovered(c, names) < 0;
}

bool x509_issued_by(gnutls_x509_crt_t c, gnutls_x509_crt_t ca)
{
	unsigned status = ~0u;
	return gnutls_x509_crt_verify(c, &ca, 1,
				      GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
	       status == 0;
}

enum err x509_fingerprint(gnutls_x509_crt_t c, char ret[SHA256_LEN * 3])
{
	uint8_t raw[SHA256_LEN];
	size_t n = sizeof raw;
	G(gnutls_x509_crt_get_fingerprint(c, GNUTLS_DIG_SHA256, raw, &n));
	for (size_t i = 0; i < sizeof raw; i++)
		(void)snprintf(ret + 3 * i, 3, "%02X", raw[i]);
	for (size_t i = 1; i < sizeof raw; i++)
		ret[3 * i - 1] = ':';
	return OK;
}
