/* Aliases and versions on a real store and database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/blobs_fake_test.h"
#include "models/gguf_make_test.h"
#include "models/store.h"
#include "models/trial.h"
#include "tests/test.h"

struct rig {
	struct test_blobs blobs;
	struct model_store *s;
	struct db *d;
	char one[65], two[65], three[65]; /* blobs */
};

static void rig_reopen(struct rig *r)
{
	r->s = model_store_free(r->s);
	CHECK_OK(model_store_open(r->blobs.dir, r->d, &test_blob_ops, &r->blobs, &r->s));
}

static void put_gguf(struct rig *r, unsigned tokens, char digest[65])
{
	struct gguf_make m;
	AUTO_BUF struct buf file = BUF(1 << 20);
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_tensor(&m, "other", 32, tokens);
	gguf_make_file(&m, m.at, &file);
	test_blobs_put(&r->blobs, buf_str(&file), digest);
	gguf_make_done(&m);
}

static void rig_open(struct rig *r)
{
	static char path[4200];
	*r = (struct rig){ 0 };
	(void)snprintf(path, sizeof path, "%s/v.db", test_dir());
	struct db_options o = { .path = path,
		.snapshot_dir = test_dir(),
		.readers = 2,
		.create = true,
		.migrations = db_schema,
		.n_migrations = db_schema_count,
		.build = "test" };
	CHECK_OK(db_open(&o, &r->d, NULL));
	test_blobs_open(&r->blobs, test_dir());
	rig_reopen(r);
	put_gguf(r, 1, r->one);
	put_gguf(r, 2, r->two);
	put_gguf(r, 3, r->three);
}

static void rig_close(struct rig *r)
{
	r->s = model_store_free(r->s);
	test_blobs_close(&r->blobs);
	r->d = db_close(r->d);
}

static enum err make(
	struct rig *r, const char *name, const char *blob, struct model_kept *kept)
{
	char text[400];
	AUTO_JSON json_t *o = NULL;
	(void)snprintf(
		text, sizeof text, "{\"model\":\"%s\",\"files\":{\"x\":\"%s\"}}", name, blob);
	CHECK_OK(json_read(str_from(text), sizeof text, 8, &o, NULL));
	return model_store_create(r->s, o, NULL, kept, NULL);
}

static void answers(struct rig *r, const char *name, const char *blob)
{
	struct model_entry e;
	CHECK_OK(model_store_find(r->s, str_from(name), &e, NULL));
	CHECK_EQ_Z(e.model_digest, blob);
}

static enum err set(struct rig *r, const char *alias, const char *model, enum alias_channel c)
{
	struct alias a;
	struct alias_choice choice = { .model = str_from(model), .channel = c };
	return model_alias_set(r->s, str_from(alias), &choice, "p1", &a, NULL);
}

TEST(every_statement_can_be_prepared)
{
	struct rig r;
	rig_open(&r);
	CHECK_OK(db_prepare_check(r.d, alias_sql, alias_sql_count));
	CHECK_OK(db_prepare_check(r.d, trial_sql, trial_sql_count));
	CHECK_OK(db_prepare_check(r.d, origin_sql, origin_sql_count));
	rig_close(&r);
}

TEST(who_let_a_version_in_is_known_as_long_as_it_is_here)
{
	struct rig r;
	struct model_kept kept;
	struct model_entry m;
	struct model_origin o;
	int64_t before = time_now_ms();
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, &kept));
	CHECK_OK(model_store_find(r.s, STR("m"), &m, NULL));
	CHECK_ERR(model_store_origin(r.s, m.digest, &o), ERR_NOT_FOUND);
	CHECK_OK(model_store_let_in(r.s, STR("m"), STR("hf.co/u/r:Q4"), "p1"));
	CHECK_OK(model_store_let_in(r.s, STR("m"), STR_NONE, NULL)); /* the first word holds */
	CHECK_ERR(model_store_let_in(r.s, STR("nope"), STR_NONE, NULL), ERR_NOT_FOUND);
	CHECK_OK(model_store_copy(r.s, STR("m"), STR("other"), &kept, NULL));
	CHECK_OK(model_store_delete(r.s, STR("m"), false, NULL));
	CHECK_OK(model_store_origin(r.s, m.digest, &o)); /* it has another name */
	CHECK_EQ_Z(o.source, "hf.co/u/r:Q4");
	CHECK_EQ_Z(o.person, "p1");
	CHECK(o.at_ms >= before && o.at_ms <= time_now_ms());
	CHECK_OK(model_store_delete(r.s, STR("other"), false, NULL));
	CHECK_ERR(model_store_origin(r.s, m.digest, &o), ERR_NOT_FOUND);
	rig_close(&r);
}

TEST(an_alias_answers_with_its_version_whatever_its_name_stands_for)
{
	struct rig r;
	struct model_kept kept;
	struct model_entry e;
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, &kept));
	CHECK_EQ_Z(kept.name, "");
	CHECK_OK(set(&r, "assistant", "m", ALIAS_CHANNELS));
	answers(&r, "assistant", r.one);
	CHECK_OK(make(&r, "m", r.two, &kept));
	CHECK(!strncmp(kept.name, "m:latest@sha256:", 16));
	CHECK_OK(make(&r, "m", r.three, &kept)); /* the named one stays, however often it moves */
	for (int round = 0; round < 2; round++) {
		answers(&r, "assistant", r.one);
		answers(&r, "assistant:latest", r.one);
		answers(&r, "assistant:production", r.one);
		answers(&r, "m", r.three);
		CHECK_OK(model_store_find(r.s, STR("assistant"), &e, NULL));
		CHECK_EQ_Z(e.alias, "assistant");
		CHECK_EQ_INT(e.channel, ALIAS_PRODUCTION);
		CHECK(e.kept);
		CHECK_ERR(model_store_find(r.s, STR("assistant:candidate"), &e, NULL),
			ERR_NOT_FOUND);
		rig_reopen(&r);
	}
	unsigned gone;
	CHECK_OK(model_store_prune(r.s, &gone));
	CHECK_EQ_INT(gone, 0);
	CHECK_OK(model_store_copy(r.s, STR("assistant"), STR("mine"), NULL, NULL));
	answers(&r, "mine", r.one);
	rig_close(&r);
}

TEST(names_of_models_and_aliases_do_not_meet)
{
	struct rig r;
	struct alias a;
	struct err_info info = { 0 };
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, NULL));
	CHECK_OK(make(&r, "taken", r.one, NULL));
	CHECK_OK(make(&r, "other:candidate", r.one, NULL));
	CHECK_ERR(set(&r, "taken", "m", ALIAS_CHANNELS), ERR_CONFLICT);
	CHECK_ERR(set(&r, "other", "m", ALIAS_CHANNELS), ERR_CONFLICT);
	CHECK_ERR(set(&r, "Upper", "m", ALIAS_CHANNELS), ERR_INVALID);
	CHECK_ERR(set(&r, "code", "nobody", ALIAS_CHANNELS), ERR_NOT_FOUND);
	CHECK_ERR(set(&r, "code", "../m", ALIAS_CHANNELS), ERR_INVALID);
	CHECK_OK(set(&r, "code", "m", ALIAS_CHANNELS));
	CHECK_ERR(make(&r, "Code", r.two, NULL), ERR_CONFLICT);
	CHECK_ERR(make(&r, "code:candidate", r.two, NULL), ERR_CONFLICT);
	CHECK_OK(make(&r, "code:7b", r.two, NULL)); /* that is no channel */
	CHECK_ERR(model_store_copy(r.s, STR("m"), STR("code"), NULL, &info), ERR_CONFLICT);
	CHECK(strstr(info.detail, "\"code\" is an alias"));
	CHECK_ERR(model_store_delete(r.s, STR("code"), true, &info), ERR_CONFLICT);
	CHECK_ERR(model_alias_remove(r.s, STR("coda"), &info), ERR_NOT_FOUND);
	CHECK_ERR(model_alias_get(r.s, STR("../code"), &a, &info), ERR_NOT_FOUND);
	CHECK_OK(model_alias_remove(r.s, STR("code"), &info));
	CHECK_OK(make(&r, "code", r.two, NULL));
	rig_close(&r);
}

TEST(a_model_that_an_alias_names_is_not_deleted)
{
	struct rig r;
	struct err_info info = { 0 };
	struct model_entry e;
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, NULL));
	CHECK_OK(set(&r, "assistant", "m", ALIAS_CHANNELS));
	CHECK_ERR(model_store_delete(r.s, STR("m"), false, &info), ERR_CONFLICT);
	CHECK(strstr(info.detail, "\"assistant\""));
	CHECK_OK(model_store_copy(r.s, STR("m"), STR("n"), NULL, NULL));
	CHECK_ERR(model_store_delete(r.s, STR("m"), false, NULL), ERR_CONFLICT); /* by name */
	CHECK_OK(model_store_delete(r.s, STR("n"), false, NULL)); /* it was never named */
	CHECK_OK(model_store_copy(r.s, STR("m"), STR("n"), NULL, NULL));
	CHECK_OK(make(&r, "m", r.two, NULL));
	CHECK_OK(model_store_find(r.s, STR("m"), &e, NULL));
	CHECK(!e.kept);
	CHECK_OK(model_store_delete(r.s, STR("m"), false, NULL)); /* n has the alias' version */
	answers(&r, "assistant", r.one);
	CHECK_ERR(model_store_delete(r.s, STR("n"), false, NULL), ERR_CONFLICT); /* nobody else */
	CHECK_OK(make(&r, "n", r.three, NULL));
	CHECK_OK(model_store_delete(r.s, STR("n"), false, NULL)); /* its old version stays */
	answers(&r, "assistant", r.one);
	CHECK_OK(model_store_find(r.s, STR("assistant"), &e, NULL));
	CHECK_ERR(model_store_delete(r.s, str_from(e.name), false, NULL), ERR_CONFLICT);
	CHECK_OK(model_store_delete(r.s, str_from(e.name), true, NULL));
	CHECK(!test_blobs_has(&r.blobs, r.one));
	info = (struct err_info){ 0 };
	CHECK_ERR(model_store_find(r.s, STR("assistant"), &e, &info), ERR_NOT_FOUND);
	CHECK(strstr(info.hint, "not here any more"));
	rig_close(&r);
}

TEST(a_promotion_without_a_trial_needs_a_reason)
{
	struct rig r;
	struct alias a;
	struct err_info info = { 0 };
	rig_open(&r);
	CHECK_OK(make(&r, "m:1", r.one, NULL));
	CHECK_OK(make(&r, "m:2", r.two, NULL));
	CHECK_OK(set(&r, "assistant", "m:1", ALIAS_CHANNELS));
	CHECK_ERR(set(&r, "assistant", "m:2", ALIAS_PRODUCTION), ERR_CONFLICT);
	CHECK_OK(set(&r, "assistant", "m:2", ALIAS_CHANNELS)); /* now the candidate */
	answers(&r, "assistant", r.one);
	answers(&r, "assistant:candidate", r.two);
	CHECK_ERR(
		model_alias_promote(r.s, STR("assistant"), STR(""), "p2", &a, &info), ERR_CONFLICT);
	CHECK(strstr(info.detail, "no accepted trial"));
	CHECK_ERR(model_alias_back(r.s, STR("assistant"), "p2", &a, &info), ERR_CONFLICT);
	CHECK_OK(model_alias_promote(r.s, STR("assistant"), STR("urgent"), "p2", &a, &info));
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].reason, "urgent");
	answers(&r, "assistant", r.two);
	answers(&r, "assistant:previous", r.one);
	for (int i = 0; i < 20; i++) {
		CHECK_OK(model_alias_back(r.s, STR("assistant"), NULL, &a, &info));
		answers(&r, "assistant", i % 2 ? r.two : r.one);
	}
	CHECK_OK(model_store_delete(r.s, STR("m:1"), true, NULL));
	CHECK_ERR(model_alias_back(r.s, STR("assistant"), NULL, &a, &info), ERR_NOT_FOUND);
	answers(&r, "assistant", r.two); /* what answers is as it was */
	rig_close(&r);
}

TEST(lists_have_every_alias_once_by_name)
{
	struct rig r;
	struct alias *list;
	size_t n;
	rig_open(&r);
	CHECK_OK(make(&r, "m:1", r.one, NULL));
	CHECK_OK(make(&r, "m:2", r.two, NULL));
	CHECK_OK(set(&r, "vision", "m:1", ALIAS_CHANNELS));
	CHECK_OK(set(&r, "code", "m:1", ALIAS_CHANNELS));
	CHECK_OK(set(&r, "code", "m:2", ALIAS_CHANNELS));
	FOR_EACH_FAULT(FAULT_ALLOC, k)
	{
		enum err e = model_alias_list(r.s, &list, &n);
		CHECK(!e || fault_fired(FAULT_ALLOC));
		if (e)
			continue;
		CHECK_EQ_INT(n, 2);
		CHECK_EQ_Z(list[0].name, "code");
		CHECK_EQ_Z(list[0].at[ALIAS_CANDIDATE].model, "m:2");
		CHECK_EQ_Z(list[1].name, "vision");
		free(list);
	}
	rig_close(&r);
}

/* Failing calls at every place of a move: the name has its old version or the new one, and what an
 * alias names is there, also after a restart. */
TEST_TIMEOUT(a_move_that_fails_loses_nothing, 120)
{
	struct rig r;
	bool hit = true;
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, NULL));
	CHECK_OK(make(&r, "n", r.two, NULL));
	CHECK_OK(set(&r, "assistant", "m", ALIAS_CHANNELS));
	for (unsigned k = 1; hit; k++) {
		struct model_entry e;
		fault_arm(FAULT_SYSCALL, k);
		enum err err = model_store_copy(r.s, STR("n"), STR("m"), NULL, NULL);
		hit = fault_fired(FAULT_SYSCALL);
		fault_arm(FAULT_SYSCALL, 0);
		CHECK(!err || hit);
		for (int round = 0; round < 2; round++) {
			CHECK_OK(model_store_find(r.s, STR("m"), &e, NULL));
			CHECK(!strcmp(e.model_digest, r.one) || !strcmp(e.model_digest, r.two));
			CHECK(err || !strcmp(e.model_digest, r.two));
			answers(&r, "assistant", r.one);
			rig_reopen(&r);
		}
		CHECK_OK(model_store_copy(r.s, STR("assistant"), STR("m"), NULL, NULL));
		answers(&r, "m", r.one);
	}
	rig_close(&r);
}

TEST(the_default_may_be_an_alias)
{
	struct rig r;
	struct alias a;
	char name[LIMIT_MODEL_NAME + 1];
	rig_open(&r);
	CHECK_OK(make(&r, "m:1", r.one, NULL));
	CHECK_OK(make(&r, "m:2", r.two, NULL));
	CHECK_OK(set(&r, "assistant", "m:1", ALIAS_CHANNELS));
	CHECK_OK(set(&r, "assistant", "m:2", ALIAS_CHANNELS));
	CHECK_OK(model_store_default_set(r.s, STR("assistant"), NULL, NULL));
	CHECK_OK(model_store_default(r.s, name));
	CHECK_EQ_Z(name, "assistant");
	CHECK_OK(model_alias_promote(r.s, STR("assistant"), STR("x"), NULL, &a, NULL));
	answers(&r, name, r.two);
	CHECK_OK(model_store_default_set(r.s, STR("assistant:previous"), NULL, NULL));
	CHECK_OK(model_store_default(r.s, name));
	CHECK_EQ_Z(name, "m:1"); /* what answers everybody needs the alias' own rules */
	rig_close(&r);
}

static struct alias set_under(
	struct rig *r, const char *model, const char *engine, const char *current)
{
	struct alias a;
	struct alias_choice c = { .model = str_from(model),
		.channel = ALIAS_CHANNELS,
		.engine = str_from(engine),
		.current = str_from(current) };
	CHECK_OK(model_alias_set(r->s, STR("assistant"), &c, "p1", &a, NULL));
	return a;
}

static void answers_under(struct rig *r, const char *blob, const char *engine)
{
	struct model_entry e;
	for (int round = 0; round < 2; round++) {
		CHECK_OK(model_store_find(r->s, STR("assistant"), &e, NULL));
		CHECK_EQ_Z(e.model_digest, blob);
		CHECK_EQ_Z(e.engine, engine);
		rig_reopen(r);
	}
}

TEST(an_alias_keeps_its_engine_build_until_another_is_let_in)
{
	struct rig r;
	struct alias a;
	struct err_info info = { 0 };
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, NULL));
	a = set_under(&r, "m", "", "e-1");
	answers_under(&r, r.one, ""); /* whoever does not ask for it gets what is current */
	CHECK_OK(model_alias_keep(r.s, STR("assistant"), "e-1", &a, NULL));
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].engine, "e-1");
	CHECK_ERR(model_alias_keep(r.s, STR("assistant"), "e-2", &a, &info), ERR_CONFLICT);
	CHECK(strstr(info.detail, "e-1"));
	answers_under(&r, r.one, "e-1");
	/* e-2 is current now: the same model is a candidate under it, and not production */
	a = set_under(&r, "m", "", "e-2");
	CHECK_EQ_Z(a.at[ALIAS_CANDIDATE].engine, "e-2");
	CHECK_EQ_Z(a.at[ALIAS_CANDIDATE].digest, a.at[ALIAS_PRODUCTION].digest);
	answers_under(&r, r.one, "e-1");
	CHECK_ERR(model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, NULL),
		ERR_CONFLICT);
	CHECK_OK(model_alias_promote(r.s, STR("assistant"), STR("tried by hand"), NULL, &a, NULL));
	answers_under(&r, r.one, "e-2");
	CHECK_EQ_Z(a.at[ALIAS_PREVIOUS].engine, "e-1");
	CHECK_OK(model_alias_back(r.s, STR("assistant"), NULL, &a, NULL));
	answers_under(&r, r.one, "e-1");
	/* the same under the same is no candidate that could be let in */
	a = set_under(&r, "m", "e-1", "e-2");
	CHECK_ERR(model_alias_promote(r.s, STR("assistant"), STR("x"), NULL, &a, NULL),
		ERR_CONFLICT);
	a = set_under(&r, "m", "none", "e-2");
	CHECK_OK(model_alias_promote(r.s, STR("assistant"), STR("follow again"), NULL, &a, NULL));
	answers_under(&r, r.one, "");
	CHECK_ERR(model_alias_keep(r.s, STR("assistant"), "", &a, NULL), ERR_CONFLICT);
	CHECK_ERR(model_alias_keep(r.s, STR("nobody"), "e-1", &a, NULL), ERR_NOT_FOUND);
	rig_close(&r);
}

TEST(what_is_fixed_by_digest_and_build_does_not_move)
{
	struct rig r;
	struct model_entry first, e;
	struct err_info info = { 0 };
	rig_open(&r);
	CHECK_OK(make(&r, "m", r.one, NULL));
	CHECK_OK(model_store_find(r.s, STR("m"), &first, NULL));
	CHECK_OK(make(&r, "m", r.two, NULL)); /* the name moves; what it was stays as a version */
	CHECK_OK(model_store_find_fixed(r.s, str_from(first.digest), STR("e-1"), &e, NULL));
	CHECK_EQ_Z(e.model_digest, r.one);
	CHECK_EQ_Z(e.engine, "e-1");
	CHECK_ERR(model_store_find_fixed(r.s, str_from(first.model_digest), STR(""), &e, &info),
		ERR_NOT_FOUND); /* the weights alone do not say which template */
	CHECK(info.detail[0]);
	CHECK_ERR(model_store_find_fixed(r.s, STR("m"), STR(""), &e, NULL), ERR_INVALID);
	CHECK_ERR(model_store_find_fixed(r.s, str_from(first.digest), STR("../x"), &e, NULL),
		ERR_INVALID);
	rig_close(&r);
}
