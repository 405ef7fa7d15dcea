/* cli/show.h - what is known of a model, as `ollama show` prints it. */
#pragma once

#include <stdio.h>

#include "base/json.h"

/* The sections Model, Capabilities, Projector, Parameters, Metadata and Tensors (verbose), System,
 * License, and what Tresor adds, of a reply of /api/show. Errors: buf's. */
enum err show_info(const json_t *show, bool verbose, FILE *out);
