/* api/remove.h - deleting a model, for each API that can. */
#pragma once

#include "api/call.h"

/* model_delete() for whoever asks; a conflict says who uses the model, as far as the asker may see
 * people. Errors: its own. */
enum err call_model_delete(struct call *c, struct str name, bool force);
