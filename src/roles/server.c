/* Wiring only: opens what the server is made of, in the order that gives rights up before the first
 * foreign byte, runs the IPC loop, and closes it again. */
#include "roles/server.h"

#include <poll.h>
#include <stdio.h>

#include "api/app.h"
#include "api/pictures.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "chat/chat.h"
#include "chat/hub.h"
#include "chat/responses.h"
#include "chat/search.h"
#include "http/http.h"
#include "models/advise.h"
#include "models/pull.h"
#include "models/trial.h"
#include "net/egress_client.h"
#include "net/login.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "os/spawn.h"
#include "os/threads.h"
#include "proto/keeper.h"
#include "roles/server_config.h"
#include "roles/server_fleet.h"
#include "roles/version.h"
#include "store/db.h"
#include "store/upgrade.h"
#include "vault/audit.h"
#include "vault/vault.h"
#include "words/words.h"

enum {
	SWEEP_EVERY_MS = 3600 * 1000,
	STOP_GRACE_MS = 3000,
	DB_READERS = 4,
	WORDS_FILE_MAX = 16 << 20,
};

struct server {
	struct ipc *hello_chan;
	struct ipc_in hello_msg; /* kept: the hello's strings borrow from it */
	struct server_hello hello;
	struct server_config config;
	char dir[4096], db_path[4200], snapshots[4200];
	struct machine machine;
	struct buf words_file;
	struct words_dict *words; /* NULL: none, searching knows stems alone */
	struct app app;
	struct server_fleet of_fleet;
	struct pool *chores; /* sweeping, pruning: what may block and nobody waits for */
	bool stopping, told_damaged;
	int64_t next_sweep_ms;
};

static enum err say_why(struct err_info *info, enum err e, const char *what)
{
	if (info->detail[0])
		return e;
	return err_set(info, e, "%s: %s", what, err_text(e));
}

/* ---- before the lock ---- */

static enum err take_hello(struct server *s, struct err_info *info)
{
	TRY(ipc_recv_wait(s->hello_chan, 30000, &s->hello_msg));
	if (s->hello_msg.type != HELLO)
		return ERR_PROTOCOL;
	TRY(server_hello_get(&s->hello_msg, &s->hello));
	TRY(str_copy(s->hello.data_dir, s->dir, sizeof s->dir));
	enum err e = server_config_read(s->hello.config, &s->config);
	return e ? say_why(info, e, "the keeper's configuration") : OK;
}

/* The dictionary lies beside the program. Without it searching goes on, by stems. */
static void read_words(struct server *s)
{
	char path[4200] = "";
	struct err_info info = { 0 };
	s->words_file = BUF(WORDS_FILE_MAX);
	enum err e = path_join(path, sizeof path, spawn_module_dir(), "words/german.words");
	if (!e)
		e = file_read(path, &s->words_file);
	if (!e)
		e = words_dict_open(buf_str(&s->words_file), &s->words, &info);
	if (e)
		log_warn("searching knows no compounds: there is no dictionary",
			KV_Z("path", path), KV_ERR(e), KV_Z("why", info.detail));
}

static enum err enter_sandbox(struct server *s, struct err_info *info)
{
	static const char *const folders[] = { "db", "blobs", "models/manifests", "snapshots" };
	enum { N = sizeof folders / sizeof *folders };
	char path[N][4300];
	struct sandbox_path paths[N + 1];
	struct sandbox_limits limits = { .open_files = 16384 };
	for (size_t i = 0; i < N; i++) {
		TRY(path_join(path[i], sizeof path[i], s->dir, folders[i]));
		enum err e = dir_make(path[i], 0700);
		if (e)
			return say_why(info, e, "a folder in the data directory");
		paths[i] = (struct sandbox_path){ path[i], SANDBOX_READ | SANDBOX_WRITE };
	}
	paths[N] = (struct sandbox_path){ "/dev/null", SANDBOX_READ };
	TRY(path_join(s->db_path, sizeof s->db_path, s->dir, "db/tresor.db"));
	TRY(path_join(s->snapshots, sizeof s->snapshots, s->dir, "snapshots"));
	machine_probe(s->dir, (unsigned)s->config.cards, &s->machine);
	enum err e = sandbox_enter(SANDBOX_SERVER, paths, N + 1, &limits);
	return e ? say_why(info, e, "the sandbox") : OK;
}

/* ---- what the server is made of ---- */

static enum err find_model(void *arg, struct str name, struct fleet_model *ret)
{
	struct server *s = arg;
	char fallback[LIMIT_MODEL_NAME + 1];
	struct model_entry m;
	bool standard = !name.len;
	if (standard) {
		TRY(model_store_default(s->app.models, fallback));
		name = str_from(fallback);
	}
	TRY(model_store_find(s->app.models, name, &m, NULL));
	*ret = (struct fleet_model){ .keep_alive_ms = s->app.keep_alive_ms };
	TRY(fleet_model_of(&m, ret));
	/* a conversation that begins with the default keeps what this returns: the alias, then */
	return str_copy(str_from(standard && m.alias[0] ? m.alias : m.name), ret->name,
		sizeof ret->name);
}

static enum err open_store(struct server *s, struct err_info *info)
{
	struct db_options o = { .path = s->db_path,
		.snapshot_dir = s->snapshots,
		.readers = DB_READERS,
		.create = true,
		.migrations = db_schema,
		.n_migrations = db_schema_count,
		.build = TRESOR_BUILD,
		.words = s->words };
	memcpy(o.page_key, s->hello.page_key, sizeof o.page_key);
	enum err e = db_open(&o, &s->app.db, info);
	wipe(&o, sizeof o);
	if (e)
		return say_why(info, e, "the database");
	e = vault_new(s->app.db, s->hello.name_key, 1, &s->app.vault);
	return e ? say_why(info, e, "people") : OK;
}

static enum err registry_login(void *arg, const char *host, uint16_t port, uint64_t *ret)
{
	struct app *a = arg;
	return login_use(a->db, a->keeper, host, port, ret);
}

static enum err open_models(struct server *s, struct err_info *info)
{
	struct app *a = &s->app;
	struct fleet_options f = { .keeper = a->keeper,
		.keep_alive_ms = s->config.keep_alive_s < 0 ? -1 : s->config.keep_alive_s * 1000,
		.max_engines = (unsigned)s->config.max_engines,
		.engine = s->config.engine,
		.n_seq = (uint32_t)s->config.sequences,
		.n_ctx = (uint32_t)s->config.context,
		.cards = &s->machine.cards };
	struct allow *list = mem_zalloc(1, sizeof *list);
	if (!list)
		return ERR_NOMEM;
	s->of_fleet = (struct server_fleet){
		.app = a, .machine = &s->machine, .dir = s->dir, .n_ctx = f.n_ctx, .n_seq = f.n_seq
	};
	server_fleet_options(&s->of_fleet, &f);
	enum err e = fleet_new(&f, &a->fleet);
	if (!e)
		e = egress_client_new(&a->egress);
	if (!e)
		e = allow_load(a->db, list);
	if (!e)
		e = egress_client_policy(a->egress, list);
	mem_free(list);
	if (!e)
		e = model_store_open(s->dir, a->db, &keeper_blob_ops, a->keeper, &a->models);
	struct pulls_options p = { .store = a->models,
		.ops = &keeper_blob_ops,
		.ops_arg = a->keeper,
		.egress = a->egress,
		.login = registry_login,
		.login_arg = a };
	if (!e)
		e = pulls_new(&p, &a->pulls);
	if (!e)
		e = trials_new(a->db, a->models, a->fleet, &a->trials);
	if (!e)
		e = advice_new(&a->advice);
	return e ? say_why(info, e, "models") : OK;
}

static enum err open_chat(struct server *s, struct err_info *info)
{
	struct app *a = &s->app;
	enum err e = chat_hub_new(&a->hub);
	struct chat_options o = {
		.db = a->db, .fleet = a->fleet, .hub = a->hub, .model = find_model, .model_arg = s,
		.models = a->models, .see = pictures_see, .see_arg = a
	};
	if (!e)
		e = chat_search_new(a->db, s->words, &a->search);
	o.search = a->search;
	if (!e)
		e = chats_new(&o, &a->chats);
	if (!e)
		e = responses_new(a->db, a->fleet, &a->responses);
	if (!e)
		e = responses_recover(a->responses);
	if (!e)
		e = audit_new(a->keeper, &a->audit);
	return e ? say_why(info, e, "conversations") : OK;
}

static void fill_config(struct server *s)
{
	static char report[160]; /* one server a process */
	struct app *a = &s->app;
	struct sandbox_report r;
	sandbox_probe(&r);
	snprintf(report, sizeof report, "seccomp %s, Landlock ABI %d, namespaces %s",
		r.seccomp ? "on" : "missing", r.landlock_abi, r.net_namespaces ? "on" : "missing");
	a->machine = &s->machine;
	a->keep_alive_ms = FLEET_KEEP_AS_IS; /* the fleet knows what is configured */
	a->config = (struct app_config){ .name = s->config.name,
		.version = TRESOR_VERSION,
		.build = s->config.build,
		.data_dir = s->dir,
		.public_url = s->config.public_url,
		.hosts = s->config.hosts,
		.start_ms = time_now_ms(),
		.trial = s->config.trial,
		.local_only = s->config.local_only,
		.sandboxed = r.seccomp && r.landlock_abi > 0,
		.sandbox_report = report };
	a->tls_expires_ms = s->config.tls_expires_ms;
}

static enum err open_http(struct server *s, struct err_info *info)
{
	struct app *a = &s->app;
	struct http_options o = { .listen_fds = s->hello.listen_fd,
		.n_listen = s->hello.n_listen,
		.local_fd = s->hello.local_fd,
		.tls_cert = s->hello.tls_cert,
		.tls_key = s->hello.tls_key,
		.behind_proxy = s->config.behind_proxy[0] ? s->config.behind_proxy : NULL,
		.threads = (unsigned)s->config.http_threads,
		.workers = (unsigned)s->config.workers,
		.hosts = s->config.hosts,
		.on_error = api_error_body,
		.admit = api_admit,
		.header_timeout_s = 20,
		.body_timeout_s = 120,
		.max_connections = (size_t)s->config.max_connections,
		.max_per_address = LIMIT_HTTP_PER_ADDRESS };
	enum err e = http_start(&o, api_dispatch, a, &a->http, info);
	return e ? say_why(info, e, "listening") : OK;
}

/* ---- the IPC loop ---- */

static void on_keeper(struct ipc_in *m, void *arg)
{
	struct server *s = arg;
	struct err_info why = { 0 };
	enum role peer;
	int fd = -1;
	if (m->type == SHUTDOWN) {
		s->stopping = true;
	} else if (m->type == ATTACH && !attach_get(m, &peer, &fd) && peer == ROLE_EGRESS) {
		struct ipc *c = NULL;
		if (ipc_new(fd, &c) || egress_client_attach(s->app.egress, c))
			log_error("egress cannot be attached");
	} else if (server_fleet_message(&s->of_fleet, m)) {
		return;
	} else if (m->type == TLS_NEW) {
		struct str cert = ipc_get_str(m), key = ipc_get_str(m);
		int64_t expires_ms = ipc_get_i64(m);
		if (ipc_end(m) || http_tls_set(s->app.http, cert, key, &why))
			log_error("the new certificate is not used", KV_Z("why", why.detail));
		else
			s->app.tls_expires_ms = expires_ms;
	}
}

static void sweep(void *arg)
{
	struct server *s = arg;
	unsigned removed = 0;
	enum err e = vault_sweep(s->app.vault);
	if (!e)
		e = model_store_prune(s->app.models, &removed);
	if (!e)
		e = responses_sweep(s->app.responses);
	if (e)
		log_warn("sweeping failed", KV_ERR(e));
	store_sweep_copies(s->snapshots, time_now_ms());
}

static void recover(void *arg)
{
	struct server *s = arg;
	enum err e = chats_recover(s->app.chats);
	if (e)
		log_error("unfinished answers were not taken up", KV_ERR(e));
}

/* Once: the log is where an administrator looks first, and where alarms are made from. */
static void tell_damage(struct server *s)
{
	if (s->told_damaged || !db_damaged(s->app.db))
		return;
	s->told_damaged = true;
	log_error("a damaged page was found in the database: nothing is written any more; run "
		  "`tresor doctor`, stop the service, restore the last backup");
}

static enum err loop(struct server *s)
{
	while (!s->stopping) {
		struct pollfd fds[2] = {
			{ .fd = keeper_link_fd(s->app.keeper), .events = POLLIN },
			{ .fd = egress_client_fd(s->app.egress),
				.events = (short)(POLLIN | (egress_client_wants_write(s->app.egress)
									   ? POLLOUT
									   : 0)) },
		};
		/* A fetch begun by a worker may have to wait for room in the socket: look again
		 * soon. */
		(void)poll(fds, 2, 200);
		enum err e = keeper_link_pump(s->app.keeper, on_keeper, s);
		if (e && e != ERR_AGAIN)
			return e;
		egress_client_pump(s->app.egress);
		tell_damage(s);
		if (time_mono_ms() >= s->next_sweep_ms) {
			s->next_sweep_ms = time_mono_ms() + SWEEP_EVERY_MS;
			(void)pool_run(s->chores, sweep, s);
		}
	}
	return OK;
}

/* ---- life ---- */

static enum err tell_keeper(struct server *s, uint16_t type, const char *why)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, type, 0);
	if (why)
		ipc_put_str(&m, str_from(why));
	return keeper_tell(s->app.keeper, &m);
}

static enum err open_all(struct server *s, struct err_info *info)
{
	TRY(open_store(s, info));
	TRY(open_models(s, info));
	TRY(open_chat(s, info));
	fill_config(s);
	TRY(api_state_new(&s->app));
	TRY(pool_new("chores", 1, 16, &s->chores));
	s->of_fleet.chores = s->chores;
	enum err e = sandbox_lock(SANDBOX_SERVER);
	if (e)
		return say_why(info, e, "the sandbox");
	return open_http(s, info); /* the first foreign byte may come now */
}

static void close_all(struct server *s)
{
	struct app *a = &s->app;
	keeper_link_unpump(a->keeper);
	if (a->http)
		http_stop(a->http, STOP_GRACE_MS);
	trials_free(a->trials);
	pulls_free(a->pulls);
	chats_free(a->chats);
	chat_search_free(a->search);
	responses_free(a->responses);
	keeper_link_close(a->keeper); /* nobody waits for a model that is still being loaded */
	fleet_free(a->fleet);
	pool_free(s->chores);
	chat_hub_free(a->hub);
	audit_free(a->audit);
	model_store_free(a->models);
	egress_client_free(a->egress);
	api_state_free(a);
	advice_free(a->advice);
	vault_free(a->vault);
	db_close(a->db);
	words_dict_free(s->words);
	buf_done(&s->words_file);
	keeper_link_free(a->keeper);
	server_config_done(&s->config);
	ipc_in_done(&s->hello_msg);
	wipe(&s->hello, sizeof s->hello);
}

int server_main(struct ipc *keeper)
{
	static struct server s; /* large; one server a process */
	struct err_info why = { 0 };
	s.hello_chan = keeper;
	enum err e = take_hello(&s, &why);
	read_words(&s);
	if (!e)
		e = enter_sandbox(&s, &why);
	if (keeper_link_new(keeper, &s.app.keeper))
		return 1;
	if (!e)
		e = open_all(&s, &why);
	if (e) {
		(void)say_why(&why, e, "the server");
		char line[2 * ERR_DETAIL_MAX + 8];
		snprintf(line, sizeof line, "%s%s%s%s", why.detail, why.hint[0] ? " (" : "",
			why.hint, why.hint[0] ? ")" : "");
		(void)tell_keeper(&s, REFUSED, line);
		return 1;
	}
	e = tell_keeper(&s, READY, NULL);
	s.next_sweep_ms = time_mono_ms() + 10000;
	if (!e)
		e = pool_run(s.chores, recover, &s);
	if (!e)
		e = pool_run(s.chores, server_fleet_pins, &s.of_fleet);
	if (!e)
		e = loop(&s);
	close_all(&s);
	return e && e != ERR_CLOSED;
}
