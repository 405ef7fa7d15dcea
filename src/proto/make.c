#include "proto/make.h"

enum { DRAIN_MS = 5000 };

enum err make_progress(struct ipc *ch, uint64_t done, uint64_t all)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, MAKE_PROGRESS, 0);
	ipc_put_u64(&m, done);
	ipc_put_u64(&m, all);
	return ipc_send(ch, &m);
}

int make_end(struct ipc *ch, enum err e, const char *why)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, e ? MAKE_REFUSED : MAKE_DONE, 0);
	if (e) {
		ipc_put_u64(&m, e);
		ipc_put_str(&m, str_from(why && why[0] ? why : err_text(e)));
	}
	if (ipc_send(ch, &m) || ipc_drain(ch, DRAIN_MS))
		return 2;
	return e ? 1 : 0;
}

static enum err refused(struct ipc_in *m, struct err_info *info)
{
	uint64_t code = ipc_get_u64(m);
	struct str why = ipc_get_str(m);
	if (ipc_end(m) || code == OK || code >= ERR_COUNT_ || why.len > MAKE_WHY_MAX ||
		!str_is_utf8(why) || str_has_control(why))
		return ERR_PROTOCOL;
	return err_set(info, (enum err)code, "%.*s", STR_ARG(why));
}

enum err make_wait(struct ipc *ch, int timeout_ms, struct make_event *ret, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	struct make_event v = { 0 };
	TRY(ipc_recv_wait(ch, timeout_ms, &m));
	if (m.type == MAKE_REFUSED)
		return refused(&m, info);
	if (m.type == MAKE_PROGRESS) {
		v.done = ipc_get_u64(&m);
		v.all = ipc_get_u64(&m);
	} else if (m.type == MAKE_DONE) {
		v.ended = true;
	} else {
		return ERR_PROTOCOL;
	}
	TRY(ipc_end(&m));
	if (v.done > v.all)
		return ERR_PROTOCOL;
	*ret = v;
	return OK;
}
