/* bench/chat - how long it takes to open a long conversation and to list many.
 *
 *   chat_bench DIR [MESSAGES] [CONVERSATIONS] [RUNS]    default 10000 10000 21
 *
 * Fills a fresh encrypted database, then measures chat_get() of the one long conversation and
 * chat_list() of the first page: milliseconds, median and spread. No engine is needed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/time.h"
#include "chat/chat.h"
#include "chat/hub.h"

enum { RUNS_MAX = 101 };

static const struct sql Q_PERSON = { "bench.person",
	"INSERT INTO person (id, email, email_key, name, role, state, created_ms, changed_ms)"
	" VALUES ('p', 'p', 'p', 'p', 'member', 'active', 0, 0)" };
static const struct sql Q_CONVERSATION = { "bench.conversation",
	"INSERT INTO conversation (id, person, title, model, created_ms, changed_ms)"
	" VALUES (?1, 'p', 'A title of usual length for a chat', 'm', ?2, ?2)" };
static const struct sql Q_MESSAGE = { "bench.message",
	"INSERT INTO message (id, conversation, parent, role, content, state, created_ms, "
	"changed_ms)"
	" VALUES (?1, 'c0', ?2, ?3, ?4, 'done', ?5, ?5)" };

/* The bench asks nothing of engines. */
enum err fleet_start(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
		     fleet_sink sink, void *arg, uint64_t *ret_id)
{
	return ERR_BUSY;
}
void fleet_cancel(struct fleet *f, uint64_t id) {}

struct amount {
	int64_t messages, conversations;
};

static enum err fill(struct db_conn *c, void *arg)
{
	const struct amount *n = arg;
	char id[32], parent[32], text[320];
	struct db_row r;
	memset(text, 'x', sizeof text);
	TRY(db_query(c, &Q_PERSON, &r));
	TRY(db_run(&r));
	for (int64_t i = 0; i < n->conversations; i++) {
		snprintf(id, sizeof id, "c%lld", (long long)i);
		TRY(db_query(c, &Q_CONVERSATION, &r));
		db_bind_str(&r, 1, str_from(id));
		db_bind_i64(&r, 2, i);
		TRY(db_run(&r));
	}
	for (int64_t i = 0; i < n->messages; i++) {
		snprintf(id, sizeof id, "m%lld", (long long)i);
		snprintf(parent, sizeof parent, "m%lld", (long long)i - 1);
		TRY(db_query(c, &Q_MESSAGE, &r));
		db_bind_str(&r, 1, str_from(id));
		db_bind_str(&r, 2, i ? str_from(parent) : STR_NONE);
		db_bind_str(&r, 3, i % 2 ? STR("assistant") : STR("user"));
		db_bind_str(&r, 4, (struct str){ text, 100 + (size_t)(i * 37 % 220) });
		db_bind_i64(&r, 5, i);
		TRY(db_run(&r));
	}
	return OK;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print(const char *what, double *ms, unsigned runs, size_t bytes)
{
	qsort(ms, runs, sizeof ms[0], by_size);
	printf("{\"what\":\"%s\",\"ms\":%.2f,\"min\":%.2f,\"max\":%.2f,"
	       "\"bytes\":%zu,\"runs\":%u}\n",
		what, ms[runs / 2], ms[0], ms[runs - 1], bytes, runs);
}

static enum err measure(struct chats *chats, unsigned runs)
{
	double get[RUNS_MAX], list[RUNS_MAX];
	size_t got = 0, listed = 0;
	for (unsigned i = 0; i <= runs; i++) { /* the first is the warm-up */
		AUTO_BUF struct buf a = BUF(1u << 30), b = BUF(1u << 20);
		int64_t t0 = time_mono_ns();
		TRY(chat_get(chats, STR("c0"), &a, NULL));
		int64_t t1 = time_mono_ns();
		TRY(chat_list(chats, "p", STR(""), 50, &b, NULL));
		int64_t t2 = time_mono_ns();
		if (i) {
			get[i - 1] = (double)(t1 - t0) / 1e6;
			list[i - 1] = (double)(t2 - t1) / 1e6;
		}
		got = a.len;
		listed = b.len;
	}
	print("open", get, runs, got);
	print("list", list, runs, listed);
	return OK;
}

int main(int argc, char **argv)
{
	struct amount n = { 10000, 10000 };
	int64_t runs = 21;
	char path[1024];
	struct chat_options c = { 0 };
	struct chats *chats = NULL;
	bool ok = (argc <= 2 || !str_to_i64(str_from(argv[2]), &n.messages)) &&
		  (argc <= 3 || !str_to_i64(str_from(argv[3]), &n.conversations)) &&
		  (argc <= 4 || !str_to_i64(str_from(argv[4]), &runs));
	if (argc < 2 || !ok || runs < 1 || runs > RUNS_MAX || crypto_init()) {
		fprintf(stderr, "usage: chat_bench DIR [MESSAGES] [CONVERSATIONS] [RUNS]\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/chat-bench.db", argv[1]);
	struct db_options o = { .path = path, .readers = 2, .create = true, .migrations = db_schema,
		.n_migrations = db_schema_count, .build = "bench", .page_key = { 1 } };
	enum err e = access(path, F_OK) == 0 ? ERR_EXISTS : db_open(&o, &c.db, NULL);
	if (!e)
		e = db_write(c.db, fill, &n);
	if (!e)
		e = chat_hub_new(&c.hub);
	if (!e)
		e = chats_new(&c, &chats);
	if (!e)
		e = measure(chats, (unsigned)runs);
	chats_free(chats);
	chat_hub_free(c.hub);
	db_close(c.db);
	if (e)
		fprintf(stderr, "chat_bench: %s\n", err_text(e));
	return e != OK;
}
