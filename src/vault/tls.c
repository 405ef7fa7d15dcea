#include "vault/tls.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/time.h"
#include "os/fd.h"
#include "vault/tls_x509.h"

enum { TLS_PATH_MAX = 4096, PEM_MAX = 256 * 1024, CHAIN_MAX = 16, DAY_S = 24 * 3600 };

void tls_pair_done(struct tls_pair *p)
{
	buf_done(&p->cert_pem);
	buf_wipe(&p->key_pem);
	buf_done(&p->ca_pem);
}

/* ---- files of DIR/tls ---- */

static enum err tls_path(const struct tls_options *o, const char *name, char ret[TLS_PATH_MAX])
{
	char dir[TLS_PATH_MAX];
	TRY(path_join(dir, sizeof dir, o->data_dir, "tls"));
	return path_join(ret, TLS_PATH_MAX, dir, name);
}

static enum err purpose(const char *name, struct buf *ad)
{
	return buf_addf(ad, "tresor tls %s", name);
}

static enum err damaged(struct err_info *info, const char *name, enum err e)
{
	(void)err_set(info, e, "the stored \"%s\" of the certificate is damaged, or of another key",
		       name);
	err_hint(info, "put it back from a backup; or remove the folder tls, then a new CA is made "
		       "that every browser must trust again");
	return e;
}

/* Key first, certificate second: a key without certificate is a start that was cut short. */
static enum err save(const struct tls_options *o, const char *cert_name, const char *key_name,
		     const struct x509_id *id)
{
	AUTO_SECRET_BUF struct buf plain = BUF(PEM_MAX);
	AUTO_BUF struct buf sealed = BUF(PEM_MAX);
	AUTO_BUF struct buf ad = BUF(64);
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	char path[TLS_PATH_MAX];
	TRY(x509_key_pem(id->key, &plain));
	TRY(purpose(key_name, &ad));
	TRY(seal(o->key, buf_str(&ad), buf_str(&plain), &sealed));
	TRY(tls_path(o, key_name, path));
	TRY(file_write_atomic(path, buf_str(&sealed), 0600));
	if (!cert_name)
		return OK;
	TRY(x509_cert_pem(id->cert, &pem));
	TRY(tls_path(o, cert_name, path));
	return file_write_atomic(path, buf_str(&pem), 0600);
}

/* Errors: ERR_NOT_FOUND, ERR_CORRUPT (also another key: the two look the same), ERR_IO. */
static enum err load_key(const struct tls_options *o, const char *name, gnutls_x509_privkey_t *ret,
			 struct err_info *info)
{
	AUTO_SECRET_BUF struct buf plain = BUF(PEM_MAX);
	AUTO_BUF struct buf sealed = BUF(PEM_MAX);
	AUTO_BUF struct buf ad = BUF(64);
	char path[TLS_PATH_MAX];
	TRY(tls_path(o, name, path));
	TRY(file_read(path, &sealed));
	TRY(purpose(name, &ad));
	enum err e = unseal(o->key, buf_str(&ad), buf_str(&sealed), &plain);
	if (!e)
		e = x509_key_read(buf_str(&plain), ret);
	if (e == ERR_CORRUPT || e == ERR_INVALID)
		return damaged(info, name, ERR_CORRUPT);
	return e;
}

/* ERR_NOT_FOUND: there is no certificate (a key alone does not count). */
static enum err load(const struct tls_options *o, const char *cert_name, const char *key_name,
		     struct x509_id *ret, struct err_info *info)
{
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	AUTO_X509_ID struct x509_id id = { .cert = NULL };
	char path[TLS_PATH_MAX];
	TRY(tls_path(o, cert_name, path));
	TRY(file_read(path, &pem));
	enum err e = x509_cert_read(buf_str(&pem), &id.cert);
	if (e)
		return e == ERR_INVALID ? damaged(info, cert_name, ERR_CORRUPT) : e;
	e = load_key(o, key_name, &id.key, info);
	if (e)
		return e == ERR_NOT_FOUND ? damaged(info, key_name, ERR_CORRUPT) : e;
	*ret = id;
	id = (struct x509_id){ .cert = NULL };
	return OK;
}

/* ---- own CA ---- */

static bool lasts(gnutls_x509_crt_t c, int64_t now_s)
{
	return gnutls_x509_crt_get_expiration_time(c) - now_s > (int64_t)TLS_RENEW_DAYS * DAY_S &&
	       gnutls_x509_crt_get_activation_time(c) <= now_s;
}

static enum err own_ca(const struct tls_options *o, const struct tls_names *names, int64_t now_s,
		       struct x509_id *ca, bool *ret_new, struct err_info *info)
{
	enum err e = load(o, "ca.pem", "ca.key", ca, info);
	if (e && e != ERR_NOT_FOUND)
		return e;
	if (!e && !x509_key_fits(ca->cert, ca->key)) {
		/* Between the two writes of a new CA the machine stopped: the certificate is the
		 * old one. Nobody trusts the new key yet. */
		x509_id_done(ca);
		e = ERR_NOT_FOUND;
	}
	if (!e && lasts(ca->cert, now_s) && x509_ca_covers(ca->cert, names))
		return OK;
	x509_id_done(ca);
	TRY(x509_ca_new(names, now_s, ca));
	TRY(save(o, "ca.pem", "ca.key", ca));
	*ret_new = true;
	return OK;
}

static enum err own_server(const struct tls_options *o, const struct tls_names *names,
			   int64_t now_s, const struct x509_id *ca, struct x509_id *server,
			   bool *ret_renewed, struct err_info *info)
{
	enum err e = load(o, "server.pem", "server.key", server, info);
	if (e && e != ERR_NOT_FOUND)
		return e;
	if (!e && lasts(server->cert, now_s) && x509_key_fits(server->cert, server->key) &&
	    x509_same_names(server->cert, names) && x509_issued_by(server->cert, ca->cert))
		return OK;
	x509_id_done(server);
	TRY(x509_server_new(names, now_s, ca, server));
	TRY(save(o, "server.pem", "server.key", server));
	*ret_renewed = true;
	return OK;
}

static void pair_init(struct tls_pair *p)
{
	*p = (struct tls_pair){ .cert_pem = BUF(PEM_MAX), .key_pem = BUF(PEM_MAX),
				.ca_pem = BUF(PEM_MAX) };
}

static void set_expiry(struct tls_pair *p, gnutls_x509_crt_t c, int64_t now_s)
{
	int64_t to = gnutls_x509_crt_get_expiration_time(c);
	p->expires_ms = to * 1000;
	p->expires_soon = to - now_s <= (int64_t)TLS_RENEW_DAYS * DAY_S;
}

static enum err load_own(const struct tls_options *o, const struct tls_names *names, int64_t now_s,
			 struct tls_pair *p, struct err_info *info)
{
	AUTO_X509_ID struct x509_id ca = { .cert = NULL };
	AUTO_X509_ID struct x509_id server = { .cert = NULL };
	char dir[TLS_PATH_MAX];
	if (names->n == 0)
		return err_set(info, ERR_INVALID, "the certificate needs at least one name");
	TRY(tls_path(o, ".", dir));
	TRY(dir_make(dir, 0700));
	TRY(own_ca(o, names, now_s, &ca, &p->ca_is_new, info));
	TRY(own_server(o, names, now_s, &ca, &server, &p->renewed, info));
	p->own = true;
	set_expiry(p, server.cert, now_s);
	TRY(x509_cert_pem(server.cert, &p->cert_pem));
	TRY(x509_cert_pem(ca.cert, &p->cert_pem));
	TRY(x509_cert_pem(ca.cert, &p->ca_pem));
	TRY(x509_key_pem(server.key, &p->key_pem));
	return x509_fingerprint(ca.cert, p->fingerprint);
}

/* ---- a given certificate ---- */

static enum err given_key(const struct tls_options *o, gnutls_x509_privkey_t *ret,
			  struct err_info *info)
{
	AUTO_SECRET_BUF struct buf pem = BUF(PEM_MAX);
	struct stat st;
	if (!o->key_file) {
		enum err e = load_key(o, "request.key", ret, info);
		return e == ERR_NOT_FOUND ? err_set(info, ERR_INVALID, "the certificate \"%s\" has "
						    "no key: name its file", o->cert_file) : e;
	}
	if (stat(o->key_file, &st) == 0 && st.st_mode & 007) {
		(void)err_set(info, ERR_DENIED, "everybody may read the key \"%s\"", o->key_file);
		err_hint(info, "chmod it to 600");
		return ERR_DENIED;
	}
	enum err e = file_read(o->key_file, &pem);
	if (e)
		return err_set(info, e, "cannot read the key \"%s\"", o->key_file);
	e = x509_key_read(buf_str(&pem), ret);
	return e == ERR_INVALID ? err_set(info, e, "\"%s\" is not a private key in PEM without a "
					  "passphrase", o->key_file) : e;
}

static enum err check_given(const struct tls_options *o, const struct tls_names *names,
			    gnutls_x509_crt_t leaf, gnutls_x509_privkey_t key, int64_t now_s,
			    struct err_info *info)
{
	char when[TIME_RFC3339_LEN];
	int64_t from = gnutls_x509_crt_get_activation_time(leaf);
	int64_t to = gnutls_x509_crt_get_expiration_time(leaf);
	if (!x509_key_fits(leaf, key)) {
		(void)err_set(info, ERR_INVALID,
			      "the key does not belong to the certificate \"%s\"", o->cert_file);
		err_hint(info, "the server's own certificate must be the first one in the file");
		return ERR_INVALID;
	}
	if (to <= now_s) {
		time_rfc3339(to * 1000, when);
		return err_set(info, ERR_INVALID, "the certificate \"%s\" expired on %s",
			       o->cert_file, when);
	}
	if (from > now_s) {
		time_rfc3339(from * 1000, when);
		return err_set(info, ERR_INVALID, "the certificate \"%s\" is valid only from %s",
			       o->cert_file, when);
	}
	int missing = x509_uncovered(leaf, names);
	if (missing >= 0)
		return err_set(info, ERR_INVALID, "the certificate \"%s\" is not for \"%s\"",
			       o->cert_file, o->names[missing]);
	return OK;
}

static enum err export_chain(gnutls_x509_crt_t *chain, unsigned n, struct tls_pair *p)
{
	for (unsigned i = 0; i < n; i++)
		TRY(x509_cert_pem(chain[i], &p->cert_pem));
	return x509_fingerprint(chain[0], p->fingerprint);
}

static enum err use_chain(const struct tls_options *o, const struct tls_names *names, int64_t now_s,
			  gnutls_x509_crt_t *chain, unsigned n, struct tls_pair *p,
			  struct err_info *info)
{
	AUTO_X509_ID struct x509_id id = { .cert = NULL };
	TRY(given_key(o, &id.key, info));
	TRY(check_given(o, names, chain[0], id.key, now_s, info));
	set_expiry(p, chain[0], now_s);
	TRY(x509_key_pem(id.key, &p->key_pem));
	return export_chain(chain, n, p);
}

static enum err load_given(const struct tls_options *o, const struct tls_names *names,
			   int64_t now_s, struct tls_pair *p, struct err_info *info)
{
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	gnutls_x509_crt_t *chain = NULL;
	unsigned n = 0;
	enum err e = file_read(o->cert_file, &pem);
	if (e)
		return err_set(info, e, "cannot read the certificate \"%s\"", o->cert_file);
	gnutls_datum_t d = { (uint8_t *)pem.ptr, (unsigned)pem.len };
	int r = pem.len ? gnutls_x509_crt_list_import2(&chain, &n, &d, GNUTLS_X509_FMT_PEM, 0) : -1;
	if (r < 0 || n == 0 || n > CHAIN_MAX)
		e = err_set(info, ERR_INVALID, "\"%s\" is not a certificate chain in PEM",
			    o->cert_file);
	else
		e = use_chain(o, names, now_s, chain, n, p, info);
	for (unsigned i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return e;
}

/* ---- entry points ---- */

enum err tls_load(const struct tls_options *o, struct tls_pair *ret, struct err_info *info)
{
	struct tls_pair p;
	struct tls_names names;
	int64_t now_s = (o->now_ms ? o->now_ms : time_now_ms()) / 1000;
	TRY(tls_names_parse(o, &names, info));
	pair_init(&p);
	enum err e = o->cert_file ? load_given(o, &names, now_s, &p, info)
				  : load_own(o, &names, now_s, &p, info);
	if (e)
		tls_pair_done(&p);
	else
		*ret = p;
	return e;
}

enum err tls_request(const struct tls_options *o, struct buf *ret_pem, struct err_info *info)
{
	AUTO_X509_ID struct x509_id id = { .cert = NULL };
	struct tls_names names;
	char dir[TLS_PATH_MAX];
	TRY(tls_names_parse(o, &names, info));
	if (names.n == 0)
		return err_set(info, ERR_INVALID, "the request needs at least one name");
	TRY(tls_path(o, ".", dir));
	TRY(dir_make(dir, 0700));
	enum err e = load_key(o, "request.key", &id.key, info);
	if (e == ERR_NOT_FOUND) {
		TRY(x509_key_new(&id.key));
		TRY(save(o, NULL, "request.key", &id));
	} else if (e) {
		return e;
	}
	return x509_request(&names, id.key, ret_pem);
}
