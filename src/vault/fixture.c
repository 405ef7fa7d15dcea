#include "vault/fixture.h"

#include <stdio.h>

#include "base/time.h"

static int64_t clock_ms = CLOCK_START; /* process-wide, as the clock is */

int64_t clock_now(void)
{
	return clock_ms;
}

void clock_forward(int64_t ms)
{
	clock_ms += ms;
}

void fixture_open(struct fixture *f)
{
	static const uint8_t name_key[KEY_LEN] = { 5 };
	struct err_info info = { .code = OK };
	char path[512];
	(void)snprintf(path, sizeof path, "%s/test.db", test_dir());
	struct db_options o = { .path = path, .snapshot_dir = test_dir(), .page_key = { 1 },
				.readers = 2, .create = true, .migrations = db_schema,
				.n_migrations = db_schema_count, .build = "test" };
	time_set_source(clock_now, NULL);
	CHECK_OK(crypto_init());
	CHECK_OK(db_open(&o, &f->db, &info));
	CHECK_OK(vault_new(f->db, name_key, 0, &f->vault));
}

void fixture_close(struct fixture *f)
{
	f->vault = vault_free(f->vault);
	f->db = db_close(f->db);
}

void fixture_person(struct fixture *f, const char *email, enum person_role role, char *ret_id)
{
	struct person_new n = { .email = str_from(email), .password = STR(GOOD_PASSWORD),
				.role = role };
	struct err_info info = { .code = OK };
	struct person p;
	CHECK_OK(person_create(f->vault, &n, &p, &info));
	CHECK_OK(str_copy(str_from(p.id), ret_id, ID_LEN + 1));
}
