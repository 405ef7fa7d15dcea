/* From a version in the store to what the fleet is asked for. */
#include <string.h>

#include "models/fleet.h"
#include "models/store.h"

enum err fleet_model_of(const struct model_entry *e, struct fleet_model *ret)
{
	memcpy(ret->digest, e->model_digest, sizeof ret->digest);
	memcpy(ret->projector, e->projector_digest, sizeof ret->projector);
	memcpy(ret->engine, e->engine, sizeof ret->engine);
	ret->adapters = e->adapters;
	return str_copy(str_from(e->name), ret->name, sizeof ret->name);
}
