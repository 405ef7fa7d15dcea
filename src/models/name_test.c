#include "models/name.h"

#include <stdio.h>
#include <string.h>

#include "tests/test.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text, *format, *path;
	enum name_source source;
} good[] = {
	{ "m", "m:latest", "registry.ollama.ai/library/m/latest", NAME_REGISTRY },
	{ "m:latest", "m:latest", "registry.ollama.ai/library/m/latest", NAME_REGISTRY },
	{ "library/m:LATEST", "m:LATEST", "registry.ollama.ai/library/m/LATEST", NAME_REGISTRY },
	{ "registry.ollama.ai/library/qwen3:30b-a3b", "qwen3:30b-a3b",
		"registry.ollama.ai/library/qwen3/30b-a3b", NAME_REGISTRY },
	{ "https://registry.ollama.ai/library/m", "m:latest", "registry.ollama.ai/library/m/latest",
		NAME_REGISTRY },
	{ "user/m:v1.2", "user/m:v1.2", "registry.ollama.ai/user/m/v1.2", NAME_REGISTRY },
	{ "r.example/m", "r.example/library/m:latest", "r.example/library/m/latest",
		NAME_REGISTRY },
	{ "localhost/m", "localhost/library/m:latest", "localhost/library/m/latest",
		NAME_REGISTRY },
	{ "127.0.0.1:5000/a/m:b", "127.0.0.1:5000/a/m:b", "127.0.0.1:5000/a/m/b", NAME_REGISTRY },
	{ "hf.co/USER/Repo-GGUF:Q4_K_M", "hf.co/USER/Repo-GGUF:Q4_K_M",
		"hf.co/USER/Repo-GGUF/Q4_K_M", NAME_HUGGING_FACE },
	{ "huggingface.co/u/r", "hf.co/u/r:latest", "hf.co/u/r/latest", NAME_HUGGING_FACE },
	{ "starter:smollm2", "starter:smollm2", "starter/library/smollm2/latest", NAME_STARTER },
	{ "starter:smollm2:latest", "starter:smollm2", "starter/library/smollm2/latest",
		NAME_STARTER },
	{ "m@sha256:" DIGEST, "m:latest@sha256:" DIGEST,
		"registry.ollama.ai/library/m/latest@sha256:" DIGEST, NAME_REGISTRY },
	{ "r.example/n/m:t@sha256:" DIGEST, "r.example/n/m:t@sha256:" DIGEST,
		"r.example/n/m/t@sha256:" DIGEST, NAME_REGISTRY },
	{ "starter:m@sha256:" DIGEST, "starter:m@sha256:" DIGEST,
		"starter/library/m/latest@sha256:" DIGEST, NAME_STARTER },
};

static const char *const bad[] = {
	"",
	":",
	":t",
	"m:",
	"/m",
	"m/",
	"a//b",
	"a/b/c/d",
	"..",
	"../m",
	"m:..",
	"a/../m",
	"r.example/../m",
	".m",
	"-m",
	"m:-t",
	"m:.t",
	"a..b",
	"m b",
	"m\n",
	"m\x01",
	"m\xc3\xbc",
	"a.b/m.n/..:x",
	"n.s/x.y/z/w",
	"r.example/n.s/m",
	"m:t:u",
	"m@sha256:0",
	"m@" DIGEST,
	"m@sha256:" DIGEST "0",
	"m@sha256:" DIGEST "@sha256:" DIGEST,
	"@sha256:" DIGEST,
	"n@sha256:" DIGEST "/m",
	"m%2e",
	"m\\n",
	"r.example:0/a/m",
	"r.example:x/a/m",
	"r.example:70000/a/m",
	":5000/a/m",
	"hf.co/m",
	"starter:",
	"starter:../x",
	"starter:a/b",
	"m:t/u",
	"registry.ollama.ai/.meta/m:x",
	"starter",
	"File",
	"library/starter:x",
};

TEST(names_read_as_ollama_reads_them)
{
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct model_name n, again;
		char text[LIMIT_MODEL_NAME + 1];
		CHECK_OK(name_parse(str_from(good[i].text), &n, NULL));
		CHECK_EQ_INT(n.source, good[i].source);
		name_format(&n, text);
		CHECK_EQ_Z(text, good[i].format);
		CHECK_OK(name_parse(str_from(text), &again, NULL));
		CHECK(name_eq(&n, &again));
		name_path(&n, text);
		CHECK_EQ_Z(text, good[i].path);
	}
}

TEST(no_name_leads_out_of_its_folder)
{
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct model_name n;
		struct err_info info = { 0 };
		if (name_parse(str_from(bad[i]), &n, &info) != ERR_INVALID)
			FAIL("taken: %s", bad[i]);
		CHECK(info.detail[0]);
	}
}

TEST(case_does_not_make_another_name)
{
	struct model_name a, b;
	CHECK_OK(name_parse(STR("Mistral:7B"), &a, NULL));
	CHECK_OK(name_parse(STR("mistral:7b"), &b, NULL));
	CHECK(name_eq(&a, &b));
	CHECK_EQ_Z(a.model, "Mistral");
	CHECK_OK(name_parse(STR("mistral:8b"), &b, NULL));
	CHECK(!name_eq(&a, &b));
	CHECK_OK(name_parse(STR("starter:mistral:7b"), &b, NULL));
	CHECK(!name_eq(&a, &b));
}

TEST(a_version_is_another_name_with_the_same_base)
{
	struct model_name a, b, v;
	char longest[LIMIT_MODEL_NAME + 1];
	CHECK_OK(name_parse(STR("m:t"), &a, NULL));
	CHECK_OK(name_version(&a, DIGEST, &v));
	CHECK_OK(name_parse(STR("M:T@sha256:" DIGEST), &b, NULL));
	CHECK(name_eq(&v, &b) && !name_eq(&v, &a) && name_eq_base(&v, &a));
	/* a name that fills the limit has no room for one */
	(void)snprintf(longest, sizeof longest, "%096d/%096d:t", 1, 1);
	CHECK_OK(name_parse(str_from(longest), &a, NULL));
	CHECK_ERR(name_version(&a, DIGEST, &v), ERR_LIMIT);
}

TEST(names_of_any_allowed_length_fit)
{
	char text[400];
	struct model_name n;
	char out[LIMIT_MODEL_NAME + 1];
	for (int len = 1; len <= 130; len++) {
		(void)snprintf(text, sizeof text, "%0*d/%0*d:%0*d", len, 1, len, 1, len, 1);
		enum err e = name_parse(str_from(text), &n, NULL);
		if (3 * len + 2 + (int)strlen("registry.ollama.ai/") > LIMIT_MODEL_NAME ||
			len > NAME_PART_MAX) {
			CHECK_ERR(e, ERR_INVALID);
			continue;
		}
		CHECK_OK(e);
		name_format(&n, out);
		CHECK_EQ_Z(out, text);
	}
}

TEST(files_are_seen_but_not_kept)
{
	struct model_name n;
	CHECK_OK(name_parse(STR("file:/etc/../x"), &n, NULL));
	CHECK_EQ_INT(n.source, NAME_FILE);
	CHECK_EQ_STR(name_file_path(STR("file:/a")), STR("/a"));
	CHECK(!name_file_path(STR("files:/a")).ptr);
}

TEST(digests_have_one_form)
{
	char hex[65], text[80];
	const char *d = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const prefix[] = { "", "sha256:", "sha256-" };
	for (int i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof text, "%s%s", prefix[i], d);
		CHECK_OK(digest_parse(str_from(text), hex));
		CHECK_EQ_Z(hex, d);
	}
	CHECK_ERR(digest_parse(STR("sha256:0123"), hex), ERR_INVALID);
	CHECK_ERR(
		digest_parse(
			STR("0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"),
			hex),
		ERR_INVALID);
	CHECK_ERR(digest_parse(
			  STR("../4567890abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"),
			  hex),
		ERR_INVALID);
	CHECK(!digest_ok(STR("")));
}
