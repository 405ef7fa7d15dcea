/* complete: the candidates for a shell; models only of a server that runs (or a named host): a Tab
 * starts none. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/complete.h"

struct typed {
	const char *word;
	struct buf *out;
};

/* Nothing that a shell reads as more than a word: bash evaluates what it completes. */
static bool is_plain(const char *name)
{
	for (const char *p = name; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
		if (!letter && !(*p >= '0' && *p <= '9') && !strchr("._:/@+-", *p))
			return false;
	}
	return *name != '\0';
}

static enum err add_models(struct client *c, struct typed *t)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	TRY(client_json(c, "GET", "/api/tags", STR_NONE, &doc, NULL));
	json_array_foreach(json_object_get(doc, "models"), i, m)
	{
		const char *name = cli_text(m, "name");
		if (is_plain(name))
			TRY(complete_add(t->out, t->word, name, ""));
	}
	return OK;
}

/* --data among the words goes before the environment. */
static const char *data_of(const struct args *a)
{
	for (unsigned i = 0; i + 1 < a->n_operands; i++)
		if (!strcmp(a->operand[i], "--data"))
			return a->operand[i + 1];
	return a->data;
}

static enum err find_models(const struct args *a, struct typed *t)
{
	AUTO_HOST struct host h = { 0 };
	AUTO(client) struct client *c = NULL;
	struct args where = *a;
	const char *named = getenv("TRESOR_DATA");
	char dir[4096];
	bool remote = false;
	where.data = data_of(a);
	if (!where.data && !(named && *named))
		TRY(host_from_env(&h, true, &remote, NULL));
	if (remote) {
		TRY(client_open_host(&h, &c, NULL));
		return add_models(c, t);
	}
	TRY(data_dir(&where, dir, sizeof dir));
	if (!client_server_runs(dir))
		return OK;
	TRY(client_open(dir, false, &c, NULL));
	return add_models(c, t);
}

int cmd_complete(const struct args *a)
{
	AUTO_BUF struct buf out = BUF(1024 * 1024);
	struct typed t = { .out = &out };
	enum complete_more more;
	if (!a->n_operands)
		return 0;
	t.word = a->operand[a->n_operands - 1];
	if (complete_words(a->operand, a->n_operands, &out, &more))
		return 1;
	if (more == COMPLETE_FILES)
		puts(":files");
	if (more == COMPLETE_MODELS && find_models(a, &t))
		return 1;
	printf("%.*s", STR_ARG(buf_str(&out)));
	return 0;
}
