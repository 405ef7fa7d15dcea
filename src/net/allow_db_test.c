#include "net/allow.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/json.h"
#include "base/time.h"
#include "net/login.h"
#include "store/db.h"
#include "tests/test.h"

static struct db *open_db(void)
{
	static char path[4096];
	struct db *d = NULL;
	(void)snprintf(path, sizeof path, "%s/a.db", test_dir());
	struct db_options o = { .path = path,
		.snapshot_dir = test_dir(),
		.readers = 1,
		.create = true,
		.migrations = db_schema,
		.n_migrations = db_schema_count,
		.build = "test" };
	CHECK_OK(db_open(&o, &d, NULL));
	return d;
}

enum { PLAIN = 1, PUSH = 2 };

static enum err store(struct db *d, const char *host, uint16_t port, const char *why, int how)
{
	return allow_store(d,
		&(struct allow_row){ .host = str_from(host),
			.port = port,
			.purpose = str_from(why),
			.plain = how & PLAIN,
			.push = how & PUSH });
}

TEST(statements_fit_the_schema)
{
	struct db *d = open_db();
	CHECK_OK(db_prepare_check(d, allow_sql, allow_sql_count));
	CHECK_OK(db_prepare_check(d, login_sql, login_sql_count));
	(void)db_close(d);
}

TEST(rows_add_hosts_and_take_them_away)
{
	static struct allow a;
	struct url u;
	struct db *d = open_db();
	CHECK_OK(store(d, "Spiegel.Firma.DE", 8443, "models", 0));
	CHECK_OK(store(d, "127.0.0.1", 5000, "test", PLAIN));
	CHECK_OK(store(d, "hf.co", 443, "no", 0));
	CHECK_ERR(store(d, "*.de", 443, "models", 0), ERR_INVALID);
	CHECK_OK(allow_load(d, &a));
	CHECK_OK(url_parse(STR("https://spiegel.firma.de:8443/"), &u, NULL));
	CHECK_OK(allow_url(&a, &u, NULL));
	CHECK_OK(url_parse(STR("https://hf.co/"), &u, NULL));
	CHECK_ERR(allow_url(&a, &u, NULL), ERR_EGRESS);
	CHECK_OK(url_parse(STR("https://huggingface.co/"), &u, NULL));
	CHECK_OK(allow_url(&a, &u, NULL));
	CHECK(allow_plain(&a, "127.0.0.1", 5000));
	CHECK_OK(store(d, "127.0.0.1", 5000, "test", 0)); /* changed, not doubled */
	CHECK_OK(allow_load(d, &a));
	CHECK(!allow_plain(&a, "127.0.0.1", 5000));
	(void)db_close(d);
}

TEST(a_row_says_who_when_and_what_for)
{
	static struct allow a;
	AUTO_BUF struct buf out = BUF(65536);
	AUTO_JSON json_t *doc = NULL;
	struct url u;
	struct db *d = open_db();
	int64_t before = time_now_ms();
	CHECK_OK(store(d, "reg.firma.de", 443, "our own", PUSH));
	CHECK_OK(allow_load(d, &a));
	CHECK_OK(url_parse(STR("https://reg.firma.de/"), &u, NULL));
	CHECK_OK(allow_push(&a, &u, NULL));
	CHECK_OK(allow_list_json(d, &out));
	CHECK_OK(json_read(buf_str(&out), out.len, 8, &doc, NULL));
	const json_t *row = json_array_get(json_object_get(doc, "hosts"), 0),
		     *standard = json_array_get(json_object_get(doc, "hosts"), 1);
	CHECK_EQ_Z(json_string_value(json_object_get(row, "host")), "reg.firma.de");
	CHECK_EQ_Z(json_string_value(json_object_get(row, "purpose")), "our own");
	CHECK(json_is_true(json_object_get(row, "push")));
	CHECK(json_is_false(json_object_get(row, "login")));
	CHECK_EQ_Z(json_string_value(json_object_get(row, "person")), "");
	CHECK(json_integer_value(json_object_get(row, "since_ms")) >= before);
	CHECK(!json_object_get(standard, "since_ms"));
	CHECK_OK(store(d, "reg.firma.de", 443, "our own", 0)); /* taken back */
	CHECK_OK(allow_load(d, &a));
	CHECK_ERR(allow_push(&a, &u, NULL), ERR_EGRESS);
	(void)db_close(d);
}
