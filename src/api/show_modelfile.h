/* api/show_modelfile.h - the Modelfile a model could be made of again, as `ollama show --modelfile`
 * prints it. Pure. */
#pragma once

#include "base/buf.h"
#include "models/store.h"

/* An adapter stands there as "ADAPTER sha256:DIGEST", which `create` knows. `t` holds the model's
 * texts (manifest and NULL ones are not looked at). Errors: ERR_INVALID (a text of the model is
 * none that a Modelfile can hold), ERR_LIMIT, ERR_NOMEM. */
enum err show_modelfile(
	const char *name, const struct model_adapters *a, const struct model_texts *t,
	struct buf *out, struct err_info *info);
