#include "api/test_app.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "api/pictures.h"
#include "base/crypto.h"
#include "base/fault.h"
#include "chat/chat.h"
#include "chat/hub.h"
#include "chat/responses.h"
#include "chat/search.h"
#include "models/advise.h"
#include "models/store.h"
#include "os/threads.h"
#include "proto/keeper.h"
#include "store/db.h"
#include "vault/audit.h"
#include "vault/keys.h"
#include "vault/people.h"
#include "vault/session.h"

static const char email[] = "owner@example.org", password[] = "correct horse battery";

static enum err find_model(void *arg, struct str name, struct fleet_model *ret)
{
	struct test_app *t = arg;
	struct model_entry m;
	TRY(model_store_find(t->app.models, name.len ? name : STR("tiny"), &m, NULL));
	*ret = (struct fleet_model){ .keep_alive_ms = 1 };
	return fleet_model_of(&m, ret);
}

static void no_messages(struct ipc_in *m, void *arg)
{
	(void)m, (void)arg;
}

static void *pump_main(void *arg)
{
	struct test_app *t = arg;
	while (!t->stop) {
		struct pollfd p = { .fd = keeper_link_fd(t->app.keeper), .events = POLLIN };
		if (poll(&p, 1, 20) == 1 && keeper_link_pump(t->app.keeper, no_messages, NULL))
			break;
	}
	return NULL;
}

static void start_keeper(struct test_app *t)
{
	int fd[2];
	struct ipc *here, *there;
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &here));
	CHECK_OK(ipc_new(fd[1], &there));
	CHECK_OK(keeper_link_new(here, &t->app.keeper));
	CHECK_OK(thread_start("fake-keeper", 256 * 1024, fake_keeper_main, there, &t->keeper));
	CHECK_OK(thread_start("pump", 256 * 1024, pump_main, t, &t->pump));
}

static void start_store(struct test_app *t)
{
	static char path[512];
	uint8_t name_key[KEY_LEN] = { 7 };
	struct err_info info = { .code = OK };
	snprintf(path, sizeof path, "%s/t.db", test_dir());
	struct db_options o = { .path = path,
		.snapshot_dir = test_dir(),
		.readers = 4,
		.create = true,
		.migrations = db_schema,
		.n_migrations = db_schema_count,
		.build = "test" };
	enum err e = db_open(&o, &t->app.db, &info);
	if (e)
		FAIL("db_open: %s %s", err_slug(e), info.detail);
	CHECK_OK(vault_new(t->app.db, name_key, 0, &t->app.vault));
	CHECK_OK(chat_hub_new(&t->app.hub));
	struct chat_options c = {
		.db = t->app.db, .hub = t->app.hub, .model = find_model, .model_arg = t,
		.see = pictures_see, .see_arg = &t->app
	};
	CHECK_OK(chat_search_new(t->app.db, NULL, &t->app.search));
	c.search = t->app.search;
	CHECK_OK(chats_new(&c, &t->app.chats));
	CHECK_OK(responses_new(t->app.db, NULL, &t->app.responses));
	CHECK_OK(audit_new(t->app.keeper, &t->app.audit));
}

static void make_owner(struct test_app *t)
{
	struct person p;
	struct session s;
	struct api_key k;
	struct person_new n = {
		.email = str_from(email), .password = str_from(password), .role = PERSON_OWNER
	};
	CHECK_OK(person_create(t->app.vault, &n, &p, NULL));
	memcpy(t->person, p.id, sizeof t->person);
	CHECK_OK(session_create(t->app.vault, p.id, STR("test"), &s));
	snprintf(t->cookie, sizeof t->cookie, "tresor_session=%s", s.token);
	snprintf(t->csrf, sizeof t->csrf, "%s", s.csrf);
	struct api_key_new kn = { .person = str_from(p.id),
		.name = STR("test"),
		.scopes =
			STR("chat,models.read,models.change,models.push,people,audit,doctor,egress,"
			    "metrics") };
	CHECK_OK(api_key_create(t->app.vault, &kn, &k, t->key, NULL));
}

static void start_http(struct test_app *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	static char url[64];
	struct err_info info = { .code = OK };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	t->port = ntohs(a.sin_port);
	snprintf(url, sizeof url, "http://localhost:%d", t->port);
	t->app.config = (struct app_config){ .name = "Test",
		.version = "0.1.0",
		.build = "test",
		.data_dir = test_dir(),
		.public_url = url,
		.start_ms = 1,
		.sandboxed = true };
	struct http_options o = { .listen_fds = &fd,
		.n_listen = 1,
		.local_fd = -1,
		.on_error = api_error_body,
		.admit = api_admit };
	enum err e = http_start(&o, api_dispatch, &t->app, &t->app.http, &info);
	if (e)
		FAIL("http_start: %s %s", err_slug(e), info.detail);
}

void test_app_start(struct test_app *t)
{
	*t = (struct test_app){ .port = 0 };
	fakes_reset();
	CHECK_OK(crypto_init());
	t->app.keep_alive_ms = 300000;
	t->machine = mem_zalloc(1, sizeof *t->machine);
	t->app.machine = t->machine;
	start_keeper(t);
	start_store(t);
	make_owner(t);
	CHECK_OK(api_state_new(&t->app));
	start_http(t);
}

void test_app_stop(struct test_app *t)
{
	t->app.http = http_stop(t->app.http, 1000);
	for (int i = 0; i < 200 && fakes.ended < fakes.started; i++)
		poll(NULL, 0, 10); /* the fake fleet's last calls */
	api_state_free(&t->app);
	t->app.chats = chats_free(t->app.chats);
	t->app.search = chat_search_free(t->app.search);
	t->app.responses = responses_free(t->app.responses);
	t->app.hub = chat_hub_free(t->app.hub);
	t->app.audit = audit_free(t->app.audit);
	t->app.vault = vault_free(t->app.vault);
	t->app.db = db_close(t->app.db);
	t->stop = true;
	pthread_join(t->pump, NULL);
	t->app.keeper = keeper_link_free(t->app.keeper);
	pthread_join(t->keeper, NULL);
	mem_free(t->machine);
}

int test_connect(const struct test_app *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)t->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
	return fd;
}

int call_raw(const struct test_app *t, const char *request, struct buf *head, struct buf *out)
{
	AUTO_BUF struct buf own_head = BUF(65536), own = BUF(1 << 22);
	AUTO_FD int fd = test_connect(t);
	send_z(fd, request);
	return recv_answer(fd, head ? head : &own_head, out ? out : &own);
}

static int call_with(const struct test_app *t, const char *credential, const char *method,
	const char *path, const char *body, struct buf *head, struct buf *out)
{
	AUTO_BUF struct buf r = BUF(1 << 22);
	const char *z;
	CHECK_OK(buf_addf(&r, "%s %s HTTP/1.1\r\nHost: localhost:%d\r\n%s", method, path, t->port,
		credential));
	if (body)
		CHECK_OK(buf_addf(&r, "Content-Length: %zu\r\n\r\n%s", strlen(body), body));
	else
		CHECK_OK(buf_addf(&r, "\r\n"));
	CHECK_OK(buf_cstr(&r, &z));
	return call_raw(t, z, head, out);
}

int call_api(const struct test_app *t, const char *method, const char *path, const char *body,
	struct buf *head, struct buf *out)
{
	char line[256];
	snprintf(line, sizeof line, "Authorization: Bearer %s\r\n", t->key);
	return call_with(t, line, method, path, body, head, out);
}

int call_page(const struct test_app *t, const char *method, const char *path, const char *body,
	struct buf *head, struct buf *out)
{
	char lines[512];
	snprintf(lines, sizeof lines,
		"Cookie: %s\r\nX-Tresor-CSRF: %s\r\nOrigin: http://localhost:%d\r\n"
		"Sec-Fetch-Site: same-origin\r\n",
		t->cookie, t->csrf, t->port);
	return call_with(t, lines, method, path, body, head, out);
}
