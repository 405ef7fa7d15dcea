/* models/delete.h - deleting a model that somebody may be using at this moment. */
#pragma once

#include "models/fleet.h"
#include "models/store.h"

enum { MODEL_USERS_MAX = 32, MODEL_WAIT_MS = 10 * 60 * 1000 };

/* model_store_delete(), with an eye on the fleet. Weights that no other name has and that answer
 * somebody stay: ERR_CONFLICT, and ret_user has those who wait. With `force` the name goes at once,
 * so nobody comes anew; the weights go when the answers that run have ended, which this waits for
 * (MODEL_WAIT_MS at most). A model that is gone is unloaded. ret_user has MODEL_USERS_MAX places.
 * Errors: the store's. */
enum err model_delete(struct model_store *s, struct fleet *f, struct str name, bool force,
	struct fleet_user *ret_user, size_t *ret_n, struct err_info *info);
