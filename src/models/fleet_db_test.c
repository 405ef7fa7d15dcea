#include "models/fleet_db.h"

#include <stdio.h>
#include <string.h>

#include "tests/test.h"

static struct db *open_db(void)
{
	static char path[4096];
	struct db *d = NULL;
	(void)snprintf(path, sizeof path, "%s/f.db", test_dir());
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

static void gather(struct str name, struct str engine, void *arg)
{
	char *all = arg;
	snprintf(all + strlen(all), 64, "%.*s%s%.*s;", STR_ARG(name), engine.len ? "=" : "",
		STR_ARG(engine));
}

TEST(pins_are_kept_in_order_once_each)
{
	char all[256] = "";
	struct db *d = open_db();
	CHECK_OK(db_prepare_check(d, fleet_db_sql, fleet_db_sql_count));
	CHECK_OK(pin_store(d, STR("b:1"), "", NULL));
	CHECK_OK(pin_store(d, STR("a:1"), "", "someone"));
	CHECK_OK(pin_store(d, STR("b:1"), "", NULL));
	CHECK_OK(pin_remove(d, STR("never:1")));
	CHECK_OK(pin_each(d, gather, all));
	CHECK_EQ_INT(strlen(all), 8);
	CHECK(strstr(all, "b:1;") && strstr(all, "a:1;"));
	CHECK_OK(pin_remove(d, STR("b:1")));
	db_close(d);
	d = open_db();
	all[0] = '\0';
	CHECK_OK(pin_each(d, gather, all));
	CHECK_EQ_Z(all, "a:1;");
	/* under that build from now on */
	CHECK_OK(pin_store(d, STR("a:1"), "llama.cpp-1-x", NULL));
	all[0] = '\0';
	CHECK_OK(pin_each(d, gather, all));
	CHECK_EQ_Z(all, "a:1=llama.cpp-1-x;");
	db_close(d);
}

TEST(what_was_measured_holds_for_its_model_and_machine)
{
	struct db *d = open_db();
	struct engine_load l = { .model_fd = -1 };
	CHECK_OK(tuning_store(d, "m1", STR("b1"), STR("cpu; 2 cores"), STR("flash=off")));
	CHECK_OK(tuning_store(d, "m1", STR("b1"), STR("cpu; 2 cores"), STR("flash=on")));
	CHECK_OK(tuning_read(d, "m1", STR("cpu; 2 cores"), &l));
	CHECK_EQ_Z(l.tuned, "flash=on");
	CHECK_EQ_Z(l.tuned_build, "b1");
	l = (struct engine_load){ .model_fd = -1 };
	CHECK_OK(tuning_read(d, "m1", STR("cpu; 4 cores"), &l));
	CHECK_EQ_Z(l.tuned, "");
	CHECK_OK(tuning_read(d, "m2", STR("cpu; 2 cores"), &l));
	CHECK_EQ_Z(l.tuned, "");
	CHECK_OK(tuning_remove(d, "m1"));
	CHECK_OK(tuning_read(d, "m1", STR("cpu; 2 cores"), &l));
	CHECK_EQ_Z(l.tuned, "");
	db_close(d);
}
