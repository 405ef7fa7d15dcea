/* A trial from its prompts to the promotion, with played engines. */
#include "models/trial.h"

#include <stdlib.h>

#include "models/blobs_fake_test.h"
#include "models/fleet_world_test.h"
#include "models/gguf_make_test.h"

struct rig {
	struct world w;
	struct fleet *f;
	struct test_blobs blobs;
	struct model_store *s;
	struct db *d;
	struct trials *t;
};

static void make(struct rig *r, const char *name, unsigned tokens)
{
	struct gguf_make m;
	AUTO_BUF struct buf file = BUF(1 << 20);
	AUTO_JSON json_t *o = NULL;
	char digest[65], text[400];
	gguf_make_init(&m);
	gguf_make_model(&m);
	gguf_make_tensor(&m, "other", 32, tokens);
	gguf_make_file(&m, m.at, &file);
	test_blobs_put(&r->blobs, buf_str(&file), digest);
	gguf_make_done(&m);
	(void)snprintf(text, sizeof text,
		"{\"model\":\"%s\",\"files\":{\"x\":\"%s\"},\"system\":\"Du \\\"bist\\\"\","
		"\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
		"\"parameters\":{\"stop\":[\"###\"],\"temperature\":1}}",
		name, digest);
	CHECK_OK(json_read(str_from(text), sizeof text, 8, &o, NULL));
	CHECK_OK(model_store_create(r->s, o, NULL, NULL, NULL));
}

static void set(struct rig *r, const char *model)
{
	struct alias a;
	struct alias_choice c = { .model = str_from(model), .channel = ALIAS_CHANNELS };
	CHECK_OK(model_alias_set(r->s, STR("assistant"), &c, NULL, &a, NULL));
}

static void rig_open(struct rig *r)
{
	static char path[4200];
	memset(r, 0, sizeof *r);
	(void)snprintf(path, sizeof path, "%s/t.db", test_dir());
	struct db_options o = { .path = path,
		.snapshot_dir = test_dir(),
		.readers = 2,
		.create = true,
		.migrations = db_schema,
		.n_migrations = db_schema_count,
		.build = "test" };
	r->f = world_new(&r->w, 2);
	CHECK_OK(db_open(&o, &r->d, NULL));
	test_blobs_open(&r->blobs, test_dir());
	CHECK_OK(model_store_open(r->blobs.dir, r->d, &test_blob_ops, &r->blobs, &r->s));
	CHECK_OK(trials_new(r->d, r->s, r->f, &r->t));
	make(r, "m:1", 1);
	make(r, "m:2", 2);
	make(r, "m:3", 3);
	set(r, "m:1");
}

static void rig_close(struct rig *r)
{
	trials_free(r->t);
	world_end(&r->w, r->f);
	model_store_free(r->s);
	test_blobs_close(&r->blobs);
	db_close(r->d);
}

static void add_prompts(struct rig *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char text[40];
		struct trial_prompt p;
		(void)snprintf(text, sizeof text, "Frage \"%u\"?", i);
		CHECK_OK(trial_prompt_add(r->t, STR("assistant"), str_from(text), NULL, &p, NULL));
	}
}

static struct trial finish(struct rig *r, const char *id)
{
	struct trial t;
	do {
		usleep(10000);
		CHECK_OK(trial_get(r->t, STR("assistant"), str_from(id), &t, NULL));
	} while (!strcmp(t.state, "running"));
	return t;
}

static struct trial run(struct rig *r)
{
	struct trial t;
	enum err e;
	while ((e = trials_start(r->t, STR("assistant"), 0, NULL, &t, NULL)) == ERR_BUSY)
		usleep(10000); /* the one before says that it is over a moment after its row does */
	CHECK_OK(e);
	return finish(r, t.id);
}

static void look(const struct trial_answer *a, void *arg)
{
	unsigned *n = arg;
	CHECK(str_starts(a->prompt, STR("Frage \"")));
	CHECK_EQ_STR(a->text[0], STR(FORTY));
	CHECK_EQ_STR(a->text[1], STR(FORTY));
	++*n;
}

TEST(an_accepted_trial_lets_its_two_versions_pass_and_no_others)
{
	static struct rig r;
	struct alias a;
	struct err_info info = { 0 };
	unsigned seen = 0;
	rig_open(&r);
	set(&r, "m:2");
	add_prompts(&r, ALIAS_PROMPTS_MIN);
	struct trial t = run(&r);
	CHECK_EQ_Z(t.state, "done");
	CHECK_EQ_INT(t.answered, ALIAS_PROMPTS_MIN);
	CHECK_OK(trial_answers(r.t, str_from(t.id), look, &seen));
	CHECK_EQ_INT(seen, ALIAS_PROMPTS_MIN);
	/* done is not accepted, and rejected is not either */
	CHECK_ERR(
		model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, &info), ERR_CONFLICT);
	CHECK_OK(trial_decide(
		r.t, STR("assistant"), str_from(t.id), false, STR("nein"), "p1", &t, &info));
	CHECK_ERR(
		model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, &info), ERR_CONFLICT);
	CHECK_OK(trial_decide(
		r.t, STR("assistant"), str_from(t.id), true, STR("doch"), "p1", &t, &info));
	CHECK_EQ_Z(t.decided_by, "p1");
	/* another candidate has not passed it */
	set(&r, "m:3");
	CHECK_ERR(
		model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, &info), ERR_CONFLICT);
	set(&r, "m:2");
	CHECK_OK(model_alias_promote(r.s, STR("assistant"), STR(""), "p2", &a, &info));
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].trial, t.id);
	/* nor has the way back as a candidate: that is another pair */
	set(&r, "m:1");
	CHECK_ERR(
		model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, &info), ERR_CONFLICT);
	rig_close(&r);
}

static void set_under(struct rig *r, const char *model, const char *engine)
{
	struct alias a;
	struct alias_choice c = { .model = str_from(model),
		.channel = ALIAS_CHANNELS,
		.engine = str_from(engine) };
	CHECK_OK(model_alias_set(r->s, STR("assistant"), &c, NULL, &a, NULL));
}

TEST(a_trial_of_one_model_under_two_builds_counts_for_these_builds)
{
	static struct rig r;
	struct alias a;
	struct err_info info = { 0 };
	struct trial t;
	rig_open(&r);
	CHECK_OK(model_alias_keep(r.s, STR("assistant"), "e-1", &a, NULL));
	add_prompts(&r, ALIAS_PROMPTS_MIN);
	set_under(&r, "m:1", "e-1");
	CHECK_ERR(trials_start(r.t, STR("assistant"), 0, NULL, &t, &info), ERR_CONFLICT);
	set_under(&r, "m:1", "e-2");
	t = run(&r);
	CHECK_EQ_Z(t.state, "done");
	CHECK_EQ_Z(t.engine[0], "e-1");
	CHECK_EQ_Z(t.engine[1], "e-2");
	CHECK(r.w.asked_engine[0] && !strcmp(r.w.asked_engine, "e-2")); /* asked for last */
	CHECK(r.w.engines_started >= 2); /* engines of one model, and they are not kept loaded */
	CHECK_OK(trial_decide(
		r.t, STR("assistant"), str_from(t.id), true, STR(""), NULL, &t, NULL));
	set_under(&r, "m:1", "e-3"); /* not the one that passed */
	CHECK_ERR(
		model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, NULL), ERR_CONFLICT);
	set_under(&r, "m:1", "e-2");
	CHECK_OK(model_alias_promote(r.s, STR("assistant"), STR(""), NULL, &a, NULL));
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].trial, t.id);
	rig_close(&r);
}

TEST(a_trial_with_too_few_prompts_cannot_be_accepted)
{
	static struct rig r;
	struct err_info info = { 0 };
	struct trial t;
	rig_open(&r);
	CHECK_ERR(trials_start(r.t, STR("assistant"), 0, NULL, &t, &info), ERR_CONFLICT);
	set(&r, "m:2");
	CHECK_ERR(trials_start(r.t, STR("assistant"), 0, NULL, &t, &info), ERR_CONFLICT);
	CHECK(strstr(info.detail, "no prompts"));
	CHECK_ERR(trials_start(r.t, STR("nobody"), 0, NULL, &t, &info), ERR_NOT_FOUND);
	CHECK_ERR(trials_start(r.t, STR("assistant"), TRIAL_TOKENS_MAX + 1, NULL, &t, &info),
		ERR_INVALID);
	add_prompts(&r, ALIAS_PROMPTS_MIN - 1);
	t = run(&r);
	CHECK_EQ_Z(t.state, "done");
	CHECK_ERR(trial_decide(
			  r.t, STR("assistant"), str_from(t.id), true, STR(""), NULL, &t, &info),
		ERR_CONFLICT);
	CHECK_ERR(trial_decide(r.t, STR("assistant"), STR("nope"), true, STR(""), NULL, &t, &info),
		ERR_NOT_FOUND);
	rig_close(&r);
}

static void count(const struct trial_prompt *p, void *arg)
{
	++*(unsigned *)arg;
}

TEST(prompts_have_limits)
{
	static struct rig r;
	static char large[TRIAL_PROMPT_MAX + 2];
	struct trial_prompt p;
	unsigned n = 0;
	rig_open(&r);
	memset(large, 'x', TRIAL_PROMPT_MAX + 1);
	CHECK_ERR(trial_prompt_add(r.t, STR("assistant"), str_from(large), NULL, &p, NULL),
		ERR_INVALID);
	large[TRIAL_PROMPT_MAX] = '\0';
	CHECK_OK(trial_prompt_add(r.t, STR("assistant"), str_from(large), NULL, &p, NULL));
	CHECK_ERR(trial_prompt_add(r.t, STR("assistant"), str_from(large), NULL, &p, NULL),
		ERR_EXISTS);
	CHECK_ERR(trial_prompt_add(r.t, STR("assistant"), STR(" \n"), NULL, &p, NULL), ERR_INVALID);
	CHECK_ERR(
		trial_prompt_add(r.t, STR("assistant"), STR("\xff"), NULL, &p, NULL), ERR_INVALID);
	CHECK_ERR(trial_prompt_add(r.t, STR("nobody"), STR("x"), NULL, &p, NULL), ERR_NOT_FOUND);
	CHECK_OK(trial_prompt_remove(r.t, STR("assistant"), str_from(p.id), NULL));
	CHECK_ERR(
		trial_prompt_remove(r.t, STR("assistant"), str_from(p.id), NULL), ERR_NOT_FOUND);
	add_prompts(&r, TRIAL_PROMPTS_MAX);
	CHECK_ERR(trial_prompt_add(r.t, STR("assistant"), STR("one more"), NULL, &p, NULL),
		ERR_LIMIT);
	CHECK_OK(trial_prompts(r.t, STR("assistant"), count, &n, NULL));
	CHECK_EQ_INT(n, TRIAL_PROMPTS_MAX);
	rig_close(&r);
}

TEST(a_run_ends_with_its_alias_or_with_the_server)
{
	static struct rig r;
	struct trial t;
	rig_open(&r);
	set(&r, "m:2");
	add_prompts(&r, 50);
	CHECK_OK(trials_start(r.t, STR("assistant"), 5, NULL, &t, NULL));
	CHECK_OK(model_alias_remove(r.s, STR("assistant"), NULL));
	r.t = trials_free(r.t);
	CHECK_OK(trials_new(r.d, r.s, r.f, &r.t));
	set(&r, "m:1");
	set(&r, "m:2");
	add_prompts(&r, 50);
	CHECK_OK(trials_start(r.t, STR("assistant"), 5, NULL, &t, NULL));
	r.t = trials_free(r.t); /* waits for what is in flight, and for no more */
	CHECK_OK(trials_new(r.d, r.s, r.f, &r.t));
	CHECK_OK(trial_get(r.t, STR("assistant"), str_from(t.id), &t, NULL));
	CHECK(!strcmp(t.state, "failed") || !strcmp(t.state, "done"));
	rig_close(&r);
}
