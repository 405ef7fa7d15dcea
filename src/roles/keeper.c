#include "roles/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "os/spawn.h"
#include "roles/keeper_int.h"

/* ---- what children say ---- */

static void role_ready(struct keeper *k, struct child *c)
{
	c->ready = true;
	if (c->role == ROLE_SERVER)
		log_info("ready",
			KV_Z("listen", k->config.local_only ? "local socket" : k->config.listen));
}

static void role_refused(struct keeper *k, struct child *c, struct ipc_in *m)
{
	struct str why = ipc_get_str(m);
	if (ipc_end(m))
		return;
	fprintf(stderr, "tresor: cannot start: %.*s\n", STR_ARG(why));
	c->ready = false; /* so that its end ends us */
	k->stopping = k->fatal = true;
}

static void child_spoke(struct keeper *k, struct child *c, struct ipc_in *m)
{
	if (c->role == ROLE_ENGINE)
		engine_spoke(k, c, m);
	else if (c->makes)
		maker_spoke(k, c, m);
	else if (m->type == READY && c->role != ROLE_JAIL)
		role_ready(k, c);
	else if (m->type == REFUSED && c->role != ROLE_JAIL)
		role_refused(k, c, m);
	else if (c->role == ROLE_SERVER) {
		enum err e = keeper_ask(k, c, m);
		if (e) {
			log_error("the server sent what is not allowed", KV_ERR(e));
			child_kill(k, c);
		}
	} else {
		child_kill(k, c);
	}
}

static void child_channel(struct keeper *k, struct child *c)
{
	enum err e = ipc_flush(c->chan);
	while (!e && !c->dead) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		e = ipc_recv(c->chan, &m);
		if (!e)
			child_spoke(k, c, &m);
	}
	if (!e || e == ERR_AGAIN || c->dead)
		return;
	if (c->role == ROLE_JAIL && e == ERR_CLOSED)
		c->chan = ipc_free(c->chan); /* on its way out: its exit status counts */
	else
		child_kill(k, c); /* its exit is reaped by pidfd */
}

/* ---- signals and the end ---- */

static void begin_stop(struct keeper *k)
{
	k->stopping = true;
	k->stop_deadline_ms = time_mono_ms() + KEEPER_STOP_MS;
	struct child *server = child_find(k, ROLE_SERVER);
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, SHUTDOWN, 0);
	if (server && ipc_send(server->chan, &m))
		child_kill(k, server);
}

static void on_signal(struct keeper *k)
{
	struct signalfd_siginfo s;
	struct err_info why = { 0 };
	while (read(k->signal_fd, &s, sizeof s) == sizeof s) {
		if (s.ssi_signo == SIGHUP) {
			if (keeper_reload(k, &why))
				log_error("not read again", KV_Z("why", why.detail));
			else
				log_info("read again");
		} else if (s.ssi_signo != SIGCHLD && !k->stopping) {
			begin_stop(k);
		}
	}
}

/* An engine keeps what it has read on disk before it ends. */
static void end_engine(struct keeper *k, struct child *c)
{
	AUTO_IPC_OUT struct ipc_out m;
	if (c->told_to_end)
		return;
	c->told_to_end = true;
	ipc_out_init(&m, SHUTDOWN, 0);
	if (ipc_send(c->chan, &m))
		child_kill(k, c);
}

/* After the server has gone by itself (or its time is up) engines have something left to finish,
 * the rest has not. */
static bool stopped(struct keeper *k)
{
	struct child *server = child_find(k, ROLE_SERVER);
	int64_t now = time_mono_ms();
	if (server && !k->fatal && now < k->stop_deadline_ms)
		return false;
	if (!k->save_deadline_ms)
		k->save_deadline_ms = now + KEEPER_SAVE_MS;
	bool may_save = !k->fatal && now < k->save_deadline_ms;
	for (struct child *c = k->children; c; c = c->next)
		if (!c->dead && c->role == ROLE_ENGINE && c->ready && may_save)
			end_engine(k, c);
		else if (!c->dead)
			child_kill(k, c);
	return !k->children;
}

/* ---- the loop ---- */

static size_t gather(struct keeper *k, struct pollfd *fds, struct child **owners)
{
	size_t n = 0;
	fds[n] = (struct pollfd){ .fd = k->signal_fd, .events = POLLIN };
	owners[n++] = NULL;
	for (struct child *c = k->children; c && n + 2 <= 2 * KEEPER_CHILDREN_MAX; c = c->next) {
		fds[n] = (struct pollfd){ .fd = c->pidfd, .events = POLLIN };
		owners[n++] = c;
		fds[n] = (struct pollfd){ .fd = c->chan ? ipc_fd(c->chan) : -1,
			.events = (short)(POLLIN |
					  (c->chan && ipc_wants_write(c->chan) ? POLLOUT : 0)) };
		owners[n++] = c;
	}
	return n;
}

static void loop(struct keeper *k)
{
	struct pollfd fds[2 * KEEPER_CHILDREN_MAX + 1];
	struct child *owners[2 * KEEPER_CHILDREN_MAX + 1];
	for (;;) {
		if (k->stopping && stopped(k))
			return;
		engines_sweep(k);
		engines_measure(k);
		keeper_tls_daily(k);
		int wait = engines_leave_cores(k);
		size_t n = gather(k, fds, owners);
		if (poll(fds, n, k->stopping ? 50 : wait) < 0 && errno != EINTR)
			DIE("poll");
		if (fds[0].revents)
			on_signal(k);
		/* Words before ends: what a child said last counts (REFUSED). New children are
		 * put at the
		 * head of the list, and only child_exited() frees, each owner once and last. */
		for (size_t i = 2; i < n; i += 2)
			if (fds[i].revents && owners[i]->chan)
				child_channel(k, owners[i]);
		for (size_t i = 1; i < n; i += 2)
			if (fds[i].revents)
				child_exited(k, owners[i]);
	}
}

static enum err signals_take(struct keeper *k)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_from_errno(errno);
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signal_fd < 0 ? err_from_errno(errno) : OK;
}

static enum err start(struct keeper *k, struct err_info *info)
{
	TRY(keeper_open(k, info)); /* asks for a passphrase: Ctrl-C still ends us here */
	TRY(signals_take(k));
	TRY(spawn_init());
	engines_watch_oom(k);
	engines_share_cores(k);
	enum err e = keeper_start_egress(k);
	if (!e)
		e = keeper_start_server(k);
	return e ? err_set(info, e, "the other roles cannot be started") : OK;
}

int keeper_run(const struct serve_options *o)
{
	struct keeper k = { .dir = o->data_dir,
		.config = o->config,
		.lock_fd = -1,
		.local_fd = -1,
		.signal_fd = -1 };
	struct err_info why = { 0 };
	enum err e = start(&k, &why);
	if (e) {
		fprintf(stderr, "tresor: cannot start: %s%s%s%s\n",
			why.detail[0] ? why.detail : err_text(e), why.hint[0] ? " (" : "", why.hint,
			why.hint[0] ? ")" : "");
		k.stopping = k.fatal = true;
	}
	if (k.signal_fd >= 0)
		loop(&k);
	keeper_close(&k);
	return k.fatal;
}
