/* vault/fixture.h - for the tests of this folder: a vault on a fresh database, a clock to turn. */
#pragma once

#include "tests/test.h"
#include "vault/links.h"

struct fixture { struct db *db; struct vault *vault; };
/* Opens what is in test_dir(), or makes it; cheap password hashes; the clock stands at
 * CLOCK_START. */
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
#define AUTO_FIXTURE [[gnu::cleanup(fixture_close)]]
#define CLOCK_START INT64_C(1795000000000)
void clock_forward(int64_t ms);
int64_t clock_now(void);

#define GOOD_PASSWORD "Kanarienvogel im Keller"
/* Makes a person with GOOD_PASSWORD and gives its id (ID_LEN + 1 bytes). */
void fixture_person(struct fixture *f, const char *email, enum person_role role, char *ret_id);
