#include "net/login.h"

#include "base/buf.h"
#include "base/time.h"
#include "proto/keeper.h"
#include "store/db.h"

enum { ASK_MS = 10000, SEALED_MAX = 4096, USER_MAX = 200, PASSWORD_MAX = 250 };

static const struct sql Q_PUT = { "login.put",
	"INSERT INTO registry_login (host, port, sealed, person, created_ms) VALUES (?1, ?2, ?3, "
	"?4, ?5) ON CONFLICT (host, port) DO UPDATE SET sealed = ?3, person = ?4, "
	"created_ms = ?5" };
static const struct sql Q_GET = { "login.get",
	"SELECT sealed FROM registry_login WHERE host = ?1 AND port = ?2" };
static const struct sql Q_REMOVE = { "login.remove",
	"DELETE FROM registry_login WHERE host = ?1 AND port = ?2 RETURNING 1" };
const struct sql *const login_sql[] = { &Q_PUT, &Q_GET, &Q_REMOVE };
const size_t login_sql_count = sizeof login_sql / sizeof *login_sql;

struct row {
	struct str host;
	uint16_t port;
	const char *person;
	struct buf *sealed;
	bool found;
};

static enum err put(struct db_conn *c, void *arg)
{
	const struct row *w = arg;
	struct db_row r;
	TRY(db_query(c, &Q_PUT, &r));
	db_bind_str(&r, 1, w->host);
	db_bind_i64(&r, 2, w->port);
	db_bind_blob(&r, 3, buf_str(w->sealed));
	db_bind_str(&r, 4, str_from(w->person));
	db_bind_i64(&r, 5, time_now_ms());
	return db_run(&r);
}

static enum err get(struct db_conn *c, void *arg)
{
	struct row *w = arg;
	struct db_row r;
	TRY(db_query(c, &Q_GET, &r));
	db_bind_str(&r, 1, w->host);
	db_bind_i64(&r, 2, w->port);
	w->found = db_next(&r);
	enum err e = w->found ? buf_add(w->sealed, db_col_blob(&r, 0)) : OK;
	enum err end = db_end(&r);
	return e ? e : end;
}

static enum err remove_row(struct db_conn *c, void *arg)
{
	struct row *w = arg;
	struct db_row r;
	TRY(db_query(c, &Q_REMOVE, &r));
	db_bind_str(&r, 1, w->host);
	db_bind_i64(&r, 2, w->port);
	w->found = db_next(&r);
	return db_end(&r);
}

static enum err seal_it(struct keeper_link *k, struct str host, const struct login_new *n,
	struct buf *out, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	ipc_out_init(&q, ASK_LOGIN_SEAL, 0);
	ipc_put_str(&q, host);
	ipc_put_u64(&q, n->port);
	ipc_put_str(&q, n->user);
	ipc_put_str(&q, n->password);
	TRY(keeper_call(k, &q, ASK_MS, &a, info));
	struct str sealed = ipc_get_str(&a);
	TRY(ipc_end(&a));
	return buf_add(out, sealed);
}

static bool has_zero_or_line(struct str s)
{
	return str_find_byte(s, '\0', 0) != SIZE_MAX || str_has_control(s);
}

enum err login_store(struct db *d, struct keeper_link *k, const struct login_new *n,
	struct err_info *info)
{
	char host[URL_HOST_MAX + 3];
	AUTO_BUF struct buf sealed = BUF(SEALED_MAX);
	if (allow_host(n->host, host) || host[0] == '*' || !n->port)
		return err_set(info, ERR_INVALID, "\"host\" is not a host name or address");
	/* A colon would end the name where it is sent (RFC 7617). */
	if (!n->user.len || n->user.len > USER_MAX || has_zero_or_line(n->user) ||
		str_find_byte(n->user, ':', 0) != SIZE_MAX)
		return err_set(info, ERR_INVALID, "\"user\" is not a name that can log in");
	if (!n->password.len || n->password.len > PASSWORD_MAX || has_zero_or_line(n->password))
		return err_set(info, ERR_INVALID, "\"password\" is empty, too long, or has control "
						  "characters");
	TRY(seal_it(k, str_from(host), n, &sealed, info));
	struct row w = {
		.host = str_from(host), .port = n->port, .person = n->person, .sealed = &sealed
	};
	return db_write(d, put, &w);
}

enum err login_remove(struct db *d, struct str text, uint16_t port)
{
	char host[URL_HOST_MAX + 3];
	TRY(allow_host(text, host));
	struct row w = { .host = str_from(host), .port = port };
	TRY(db_write(d, remove_row, &w));
	return w.found ? OK : ERR_NOT_FOUND;
}

enum err login_use(
	struct db *d, struct keeper_link *k, const char *host, uint16_t port, uint64_t *ret)
{
	AUTO_BUF struct buf sealed = BUF(SEALED_MAX);
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	struct row w = { .host = str_from(host), .port = port, .sealed = &sealed };
	ipc_out_init(&q, ASK_LOGIN_USE, 0);
	TRY(db_read(d, get, &w));
	*ret = 0;
	if (!w.found)
		return OK;
	ipc_put_str(&q, str_from(host));
	ipc_put_u64(&q, port);
	ipc_put_str(&q, buf_str(&sealed));
	TRY(keeper_call(k, &q, ASK_MS, &a, NULL));
	uint64_t number = ipc_get_u64(&a);
	TRY(ipc_end(&a));
	*ret = number;
	return OK;
}
