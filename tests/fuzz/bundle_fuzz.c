/* The head of a bundle of models. First byte: the input is the whole head, or a list that is signed
 * here, so that what lies behind the signature is reached. */
#include "models/bundle.h"
#include "tests/fuzz/fuzz.h"

static enum err sign(void *arg, const uint8_t hash[SHA256_LEN], uint8_t ret_key[SIGN_KEY_LEN],
	uint8_t ret[SIGN_LEN])
{
	static const uint8_t seed[KEY_LEN] = { 7 };
	(void)arg;
	sign_key(seed, ret_key);
	sign_make(seed, (struct str){ (const char *)hash, SHA256_LEN }, ret);
	return OK;
}

static void check(const struct bundle *b)
{
	uint64_t bytes = 0;
	if (!b->n_models || b->n_models > BUNDLE_MODELS_MAX || b->n_blobs > BUNDLE_BLOBS_MAX)
		DIE("accepted without a model, or with too many");
	for (size_t i = 0; i < b->n_blobs; i++) {
		if (!digest_ok(str_from(b->blob[i].digest)))
			DIE("a digest that is none");
		bytes += b->blob[i].size;
	}
	if (bytes != b->bytes || !bundle_fingerprint_ok(str_from(b->fingerprint)))
		DIE("the sum or the fingerprint is wrong");
	for (size_t i = 0; i < b->n_models; i++) {
		char path[LIMIT_MODEL_NAME + 1];
		name_path(&b->model[i].name, path);
		if (b->model[i].name.source == NAME_FILE || path[0] == '/' || path[0] == '.')
			DIE("a name that leads elsewhere");
	}
}

FUZZ
{
	AUTO_BUNDLE struct bundle b = { 0 };
	AUTO_BUF struct buf head = BUF(BUNDLE_HEAD_MAX);
	if (!size || crypto_init())
		return;
	struct str s = { (const char *)data + 1, size - 1 };
	if (data[0] % 4 == 0) {
		if (!bundle_read(s, &b, NULL))
			check(&b);
		return;
	}
	if (!bundle_head_write(s, sign, NULL, &head) && !bundle_read(buf_str(&head), &b, NULL))
		check(&b);
}
