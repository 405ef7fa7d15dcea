/* Bundles of models, played. */
#include "api/test_app.h"
#include "base/fault.h"
#include "models/bundle.h"

enum err bundle_export(const struct bundle_export *x, struct err_info *info)
{
	if (str_eq(x->name[0], STR("nope")))
		return err_set(info, ERR_NOT_FOUND, "model \"nope\" not found");
	TRY(x->out(x->arg, STR("BUNDLE ")));
	if (str_eq(x->name[0], STR("broken")))
		return ERR_IO;
	return x->out(x->arg, STR("of models"));
}

struct bundle_import {
	bundle_trusted_fn trusted;
	void *arg;
	struct bundle b;
	struct bundle_model m;
	bool asked;
};
enum err bundle_import_new(struct model_store *s, bundle_trusted_fn trusted, void *arg,
	struct bundle_import **ret)
{
	(void)s;
	*ret = mem_zalloc(1, sizeof **ret);
	(*ret)->trusted = trusted;
	(*ret)->arg = arg;
	return OK;
}
/* The body is the signer's fingerprint. */
enum err bundle_import_add(struct bundle_import *i, struct str bytes, struct err_info *info)
{
	if (i->asked || bytes.len != BUNDLE_FINGERPRINT_LEN)
		return err_set(info, ERR_INVALID, "this is not a bundle of models");
	i->asked = true;
	memcpy(i->b.fingerprint, bytes.ptr, bytes.len);
	CHECK_OK(name_parse(STR("tiny"), &i->m.name, NULL));
	i->m.origin = STR("here");
	i->b.model = &i->m;
	i->b.n_models = 1;
	return i->trusted(i->arg, &i->b, info);
}
enum err bundle_import_end(struct bundle_import *i,
	void (*took)(void *arg, const struct bundle_model *m, const char *licence,
		const struct model_kept *kept),
	void *arg, struct err_info *info)
{
	if (!i->asked)
		return err_set(info, ERR_INVALID, "the bundle is cut short");
	took(arg, &i->m, "MIT License", &(struct model_kept){ .name = "" });
	return OK;
}
const struct bundle *bundle_import_head(const struct bundle_import *i)
{
	return &i->b;
}
struct bundle_import *bundle_import_free(struct bundle_import *i)
{
	mem_free(i);
	return NULL;
}
