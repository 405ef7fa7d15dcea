#include "net/allow.h"

#include <stdio.h>

#include "base/fault.h"
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

TEST(statements_fit_the_schema)
{
	struct db *d = open_db();
	CHECK_OK(db_prepare_check(d, allow_sql, allow_sql_count));
	(void)db_close(d);
}

TEST(rows_add_hosts_and_take_them_away)
{
	static struct allow a;
	struct url u;
	struct db *d = open_db();
	CHECK_OK(allow_store(d, STR("Spiegel.Firma.DE"), 8443, STR("models"), false));
	CHECK_OK(allow_store(d, STR("127.0.0.1"), 5000, STR("test"), true));
	CHECK_OK(allow_store(d, STR("hf.co"), 443, STR("no"), false));
	CHECK_ERR(allow_store(d, STR("*.de"), 443, STR("models"), false), ERR_INVALID);
	CHECK_OK(allow_load(d, &a));
	CHECK_OK(url_parse(STR("https://spiegel.firma.de:8443/"), &u, NULL));
	CHECK_OK(allow_url(&a, &u, NULL));
	CHECK_OK(url_parse(STR("https://hf.co/"), &u, NULL));
	CHECK_ERR(allow_url(&a, &u, NULL), ERR_EGRESS);
	CHECK_OK(url_parse(STR("https://huggingface.co/"), &u, NULL));
	CHECK_OK(allow_url(&a, &u, NULL));
	CHECK(allow_plain(&a, "127.0.0.1", 5000));
	CHECK_OK(allow_store(
		d, STR("127.0.0.1"), 5000, STR("test"), false)); /* changed, not doubled */
	CHECK_OK(allow_load(d, &a));
	CHECK(!allow_plain(&a, "127.0.0.1", 5000));
	(void)db_close(d);
}
