/* What was deleted leaves the prefix cache too: in every engine and on the disk. */
#include "models/fleet_int.h"

#include "base/fault.h"

enum { PURGE_MS = 60000 };

void slot_purge_all(struct fleet *f, const struct engine_purge *p)
{
	for (struct slot *s = f->slots; s; s = s->next) {
		if (!s->chan)
			continue; /* the keeper's word reaches it */
		AUTO_IPC_OUT struct ipc_out m;
		ipc_out_init(&m, ENGINE_PURGE, 0);
		engine_purge_put(&m, p);
		(void)ipc_send(s->chan, &m); /* a closed channel is noticed by its reader */
	}
}

enum err fleet_purge(struct fleet *f, uint64_t person, uint64_t object)
{
	AUTO_IPC_OUT struct ipc_out ask;
	AUTO_IPC_IN struct ipc_in answer = { 0 };
	struct engine_purge p = { person, object };
	/* by the engines' own channel, so that it comes after the cancels that came before it */
	enum err sent = fleet_command_purge(f, &p);
	ipc_out_init(&ask, ASK_CACHE_PURGE, 0);
	engine_purge_put(&ask, &p);
	TRY(keeper_call(f->opt.keeper, &ask, PURGE_MS, &answer, NULL));
	TRY(ipc_end(&answer));
	return sent;
}
