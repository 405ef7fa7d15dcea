/* api/show.h - what /api/show tells of a model beside its texts: what it can do, and what stands in
 * its file's header. */
#pragma once

#include "api/call.h"
#include "models/store.h"

/* "capabilities" into an open object, in Ollama's words and order. */
void show_capabilities(const struct model_entry *m, struct jw *w);
/* Asks the jail for the headers of the model's files; where it cannot say, they stay empty, the
 * person is warned and what was stored is shown. `verbose`: with the metadata's lists. */
void show_headers_read(struct call *c, const struct model_entry *m, bool verbose,
	struct model_headers *ret);
/* The chat template that is in the file; empty: none is known. */
struct str show_file_template(const struct model_headers *h);
/* "model_info", "projector_info", "adapters" and "tensors" into an open object. */
void show_headers_json(const struct model_entry *m, const struct model_headers *h, struct jw *w);
