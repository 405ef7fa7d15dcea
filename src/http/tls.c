/* The certificate in use. MHD's callback has no argument, so the store in use is static here: one
 * process runs one HTTPS server. A replaced certificate stays alive for the handshakes that still
 * use it: GnuTLS borrows it and does not say when it is done, so the last few are kept. */
#include "http/http_int.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "base/fault.h"

enum { CHAIN_MAX = 8, KEPT_MAX = 16 };
struct pair {
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned n;
	gnutls_privkey_t key;
};
struct tls_store {
	struct pair *kept[KEPT_MAX]; /* [0] is in use */
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_store *in_use;

static struct pair *pair_free(struct pair *p)
{
	if (!p)
		return NULL;
	for (unsigned i = 0; i < p->n; i++)
		gnutls_pcert_deinit(&p->chain[i]);
	if (p->key)
		gnutls_privkey_deinit(p->key);
	mem_free(p);
	return NULL;
}

static enum err load_key(struct pair *p, struct str pem, struct err_info *info)
{
	gnutls_datum_t d = { (unsigned char *)(uintptr_t)pem.ptr, (unsigned)pem.len };
	if (gnutls_privkey_init(&p->key))
		return ERR_NOMEM;
	int rc = gnutls_privkey_import_x509_raw(p->key, &d, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (rc)
		return err_set(
			info, ERR_INVALID, "the TLS key is not usable: %s", gnutls_strerror(rc));
	return OK;
}

/* The first certificate must belong to the key. */
static enum err check_match(struct pair *p, struct err_info *info)
{
	unsigned char a[64], b[64];
	size_t an = sizeof a, bn = sizeof b;
	gnutls_pubkey_t of_key;
	if (gnutls_pubkey_init(&of_key))
		return ERR_NOMEM;
	int rc = gnutls_pubkey_import_privkey(of_key, p->key, 0, 0);
	if (!rc)
		rc = gnutls_pubkey_get_key_id(of_key, GNUTLS_KEYID_USE_SHA256, a, &an);
	if (!rc)
		rc = gnutls_pubkey_get_key_id(p->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, b, &bn);
	gnutls_pubkey_deinit(of_key);
	if (rc || an != bn || memcmp(a, b, an) != 0)
		return err_set(info, ERR_INVALID, "the TLS key does not belong to the certificate");
	return OK;
}

static enum err load(
	struct str cert_pem, struct str key_pem, struct pair **ret, struct err_info *info)
{
	struct pair *p = mem_zalloc(1, sizeof *p);
	gnutls_datum_t d = { (unsigned char *)(uintptr_t)cert_pem.ptr, (unsigned)cert_pem.len };
	unsigned n = CHAIN_MAX;
	enum err e;
	if (!p)
		return ERR_NOMEM;
	int rc = gnutls_pcert_list_import_x509_raw(p->chain, &n, &d, GNUTLS_X509_FMT_PEM, 0);
	if (rc) {
		e = err_set(info, ERR_INVALID, "the TLS certificate is not usable: %s",
			gnutls_strerror(rc));
	} else {
		p->n = n;
		e = load_key(p, key_pem, info);
		if (!e)
			e = check_match(p, info);
	}
	if (e) {
		pair_free(p);
		return e;
	}
	*ret = p;
	return OK;
}

enum err tls_store_set(
	struct tls_store *t, struct str cert_pem, struct str key_pem, struct err_info *info)
{
	struct pair *p;
	TRY(load(cert_pem, key_pem, &p, info));
	pthread_mutex_lock(&lock);
	pair_free(t->kept[KEPT_MAX - 1]);
	memmove(t->kept + 1, t->kept, (KEPT_MAX - 1) * sizeof t->kept[0]);
	t->kept[0] = p;
	pthread_mutex_unlock(&lock);
	return OK;
}

enum err tls_store_new(
	struct str cert_pem, struct str key_pem, struct tls_store **ret, struct err_info *info)
{
	struct tls_store *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	enum err e = tls_store_set(t, cert_pem, key_pem, info);
	if (e) {
		mem_free(t);
		return e;
	}
	pthread_mutex_lock(&lock);
	in_use = t;
	pthread_mutex_unlock(&lock);
	*ret = t;
	return OK;
}

struct tls_store *tls_store_free(struct tls_store *t)
{
	if (!t)
		return NULL;
	pthread_mutex_lock(&lock);
	if (in_use == t)
		in_use = NULL;
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < KEPT_MAX; i++)
		pair_free(t->kept[i]);
	mem_free(t);
	return NULL;
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *req_ca, int n_req,
	const gnutls_pk_algorithm_t *algos, int n_algos, gnutls_pcert_st **chain, unsigned *n,
	gnutls_privkey_t *key)
{
	(void)session, (void)req_ca, (void)n_req, (void)algos, (void)n_algos;
	pthread_mutex_lock(&lock);
	struct pair *p = in_use ? in_use->kept[0] : NULL;
	if (p) {
		*chain = p->chain;
		*n = p->n;
		*key = p->key;
	}
	pthread_mutex_unlock(&lock);
	return p ? 0 : -1;
}

void *tls_callback(void)
{
	return (void *)(uintptr_t)retrieve;
}
