/* Children of the keeper: starting, wiring, ends. */
#include "roles/keeper_int.h"

#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "net/egress_env.h"
#include "os/spawn.h"
#include "roles/jail.h"
#include "roles/server_config.h"

static const char *const role_names[] = { "keeper", "server", "egress", "engine", "jail" };

/* Only egress gets more than the usual environment: the company's proxy and certificates. */
static enum err spawn(enum role role, int end, const char *const *more, struct child *c)
{
	struct egress_env env;
	if (role != ROLE_EGRESS)
		return spawn_role(role_names[role], end, more, &c->pid, &c->pidfd);
	egress_env_get(&env);
	return spawn_role(role_names[role], end, env.list, &c->pid, &c->pidfd);
}

enum err child_spawn(struct keeper *k, enum role role, const char *const *env, struct child **ret)
{
	int pair[2];
	struct child *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->role = role;
	c->pidfd = c->server_end = -1;
	enum err e = ipc_pair(pair);
	if (e) {
		mem_free(c);
		return e;
	}
	e = ipc_new(pair[0], &c->chan);
	if (!e)
		e = spawn(role, pair[1], env, c);
	else
		close(pair[1]);
	if (e) {
		ipc_free(c->chan);
		mem_free(c);
		return e;
	}
	c->next = k->children;
	k->children = c;
	*ret = c;
	return OK;
}

struct child *child_find(struct keeper *k, enum role role)
{
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == role && !c->dead)
			return c;
	return NULL;
}

struct child *child_engine(struct keeper *k, uint64_t id)
{
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_ENGINE && c->engine_id == id && !c->dead)
			return c;
	return NULL;
}

void child_kill(struct keeper *k, struct child *c)
{
	(void)k;
	c->dead = true;
	c->chan = ipc_free(c->chan);
	if (c->pidfd >= 0)
		(void)pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
}

/* Both ends of a new channel: one to `a` by ATTACH (who is at the other end: `b`), one kept. */
enum err child_attach(struct child *a, enum role b, int *ret_other)
{
	int pair[2];
	TRY(ipc_pair(pair));
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ATTACH, 0);
	attach_put(&m, b, pair[0]);
	enum err e = ipc_send(a->chan, &m);
	if (e)
		close(pair[1]);
	else
		*ret_other = pair[1];
	return e;
}

/* A channel between two children. One that is gone already is no error: its exit is on the way to
 * us,
 * and whoever takes its place is wired anew. */
static enum err wire(struct child *a, struct child *b)
{
	int end;
	enum err e = child_attach(a, b->role, &end);
	if (!e) {
		AUTO_IPC_OUT struct ipc_out m;
		ipc_out_init(&m, ATTACH, 0);
		attach_put(&m, a->role, end);
		e = ipc_send(b->chan, &m);
	}
	return e == ERR_CLOSED ? OK : e;
}

enum err keeper_start_egress(struct keeper *k)
{
	struct child *c, *server = child_find(k, ROLE_SERVER);
	TRY(child_spawn(k, ROLE_EGRESS, NULL, &c));
	return server ? wire(c, server) : OK;
}

enum err keeper_start_server(struct keeper *k)
{
	struct child *c, *egress = child_find(k, ROLE_EGRESS);
	AUTO_BUF struct buf config = BUF(64 * 1024);
	struct server_hello h = { .data_dir = str_from(k->dir), .local_fd = -1 };
	TRY(server_config_write(k, &config));
	TRY(child_spawn(k, ROLE_SERVER, NULL, &c));
	h.config = buf_str(&config);
	h.tls_cert = buf_str(&k->tls.cert_pem);
	h.tls_key = buf_str(&k->tls.key_pem);
	keyring_get(k->keys, DATA_KEY_PAGE, h.page_key);
	keyring_get(k->keys, DATA_KEY_BLOB, h.blob_key);
	keyring_get(k->keys, DATA_KEY_NAME, h.name_key);
	for (; h.n_listen < k->n_listen; h.n_listen++)
		h.listen_fd[h.n_listen] = dup(k->listen_fd[h.n_listen]);
	h.local_fd = dup(k->local_fd);
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, HELLO, 0);
	server_hello_put(&m, &h);
	enum err e = ipc_send(c->chan, &m);
	wipe(&h, sizeof h);
	if (e == ERR_CLOSED)
		return OK; /* killed already: its exit is on the way */
	return e || !egress ? e : wire(egress, c);
}

/* ---- jail ---- */

enum err jail_start(
	struct keeper *k, const struct jail_wish *w, int *fds, unsigned nfds, int *ret_channel)
{
	struct child *c = NULL;
	int pair[2] = { -1, -1 };
	char folder[BUILD_PATH_MAX + 16];
	const char *const env[] = { w->engine ? folder : NULL, NULL };
	AUTO_IPC_OUT struct ipc_out m;
	if (w->engine)
		snprintf(folder, sizeof folder, "TRESOR_ENGINE=%s", w->engine);
	ipc_out_init(&m, JAIL_JOB, 0);
	ipc_put_u64(&m, w->kind);
	ipc_put_str(&m, w->digest);
	ipc_put_u64(&m, w->size);
	ipc_put_str(&m, w->what);
	ipc_put_u64(&m, nfds);
	for (unsigned i = 0; i < nfds; i++)
		ipc_put_fd(&m, fds[i]);
	TRY(ipc_pair(pair));
	ipc_put_fd(&m, pair[0]);
	enum err e = child_spawn(k, ROLE_JAIL, env, &c);
	if (!e)
		e = ipc_send(c->chan, &m);
	if (e) {
		close(pair[1]);
		if (c)
			child_kill(k, c);
		return e;
	}
	(void)str_copy(w->digest, c->digest, sizeof c->digest);
	c->writes = w->kind == JAIL_WRITER || w->kind == JAIL_COPY;
	c->makes = w->makes;
	*ret_channel = pair[1];
	return OK;
}

bool writer_was_whole(struct keeper *k, struct str digest)
{
	for (unsigned i = 0; i < KEEPER_WHOLE_MAX; i++)
		if (k->whole[i][0] && str_eq(digest, str_from(k->whole[i]))) {
			k->whole[i][0] = '\0';
			return true;
		}
	return false;
}

/* A writer has ended: its blob is whole, or stays partial. A commit that waits is carried out. */
static void writer_exited(struct keeper *k, struct child *c, bool whole)
{
	struct child *server = child_find(k, ROLE_SERVER);
	if (c->ask_id && server) {
		enum err e = whole ? blobdir_commit(k->blobs, str_from(c->digest)) : ERR_CONFLICT;
		answer_error(server, c->ask_id, e, e ? err_text(e) : "");
	} else if (whole) {
		memcpy(k->whole[k->next_whole++ % KEEPER_WHOLE_MAX], c->digest, sizeof c->digest);
	}
}

/* ---- ends ---- */

static bool restart_too_often(struct keeper *k)
{
	int64_t now = time_mono_ms();
	int64_t *oldest = &k->restarts_ms[k->next_restart++ % KEEPER_RESTART_BURST];
	bool often = *oldest && *oldest + KEEPER_RESTART_WINDOW_MS > now;
	*oldest = now;
	return often;
}

static void restart(struct keeper *k, const struct child *gone, bool killed)
{
	if (!gone->ready && !killed) { /* it said why; trying again would only repeat it */
		k->stopping = k->fatal = true;
		return;
	}
	if (restart_too_often(k))
		poll(NULL, 0, 500);
	if (gone->role == ROLE_SERVER) {
		engines_orphaned(k);
		makes_orphaned(k);
	}
	enum err e = gone->role == ROLE_SERVER ? keeper_start_server(k) : keeper_start_egress(k);
	if (e) {
		log_error("a role could not be started again", KV_ERR(e));
		k->stopping = k->fatal = true;
	}
}

void child_exited(struct keeper *k, struct child *c)
{
	int status = 0;
	(void)waitpid(c->pid, &status, 0);
	for (struct child **at = &k->children; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	if (!k->stopping && c->role != ROLE_JAIL && (WIFSIGNALED(status) || WEXITSTATUS(status)))
		log_warn("a role ended", KV_Z("role", role_names[c->role]),
			KV_I64("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
			KV_I64("code", WIFEXITED(status) ? WEXITSTATUS(status) : 0));
	if (c->role == ROLE_ENGINE)
		cache_engine_ended(k, c);
	if (c->writes)
		writer_exited(k, c, WIFEXITED(status) && !WEXITSTATUS(status));
	if (c->makes)
		maker_exited(k, c, WIFEXITED(status) && !WEXITSTATUS(status));
	if (c->role == ROLE_ENGINE)
		engine_exited(k, c, status);
	if ((c->role == ROLE_SERVER || c->role == ROLE_EGRESS) && !k->stopping)
		restart(k, c, WIFSIGNALED(status));
	ipc_free(c->chan);
	if (c->pidfd >= 0)
		close(c->pidfd);
	if (c->server_end >= 0)
		close(c->server_end);
	mem_free(c);
}
