#include "cli/complete.h"

#include "cli/table.h"
#include "tests/test.h"

/* First fields of the candidates, joined by blanks, for words separated by blanks. */
static enum complete_more ask(const char *line, char ret[4096])
{
	char words[8][64] = { "" };
	const char *list[8];
	unsigned n = 0;
	struct str rest = str_from(line), one;
	AUTO_BUF struct buf out = BUF(65536);
	enum complete_more more;
	while (str_next(&rest, ' ', &one) && n < 8)
		CHECK_OK(str_copy(one, words[n++], 64));
	for (unsigned i = 0; i < n; i++)
		list[i] = words[i];
	CHECK_OK(complete_words(list, n, &out, &more));
	ret[0] = '\0';
	rest = buf_str(&out);
	for (size_t at = 0; rest.len && str_next(&rest, '\n', &one);) {
		size_t len = str_find_byte(one, '\t', 0);
		CHECK(len != SIZE_MAX && at + len + 2 < 4096);
		if (at)
			ret[at++] = ' ';
		memcpy(ret + at, one.ptr, len);
		ret[at += len] = '\0';
	}
	return more;
}

static void expect(const char *line, const char *words, enum complete_more more)
{
	char got[4096];
	CHECK_EQ_INT(ask(line, got), more);
	CHECK_EQ_Z(got, words);
}

TEST(commands_and_their_second_words)
{
	expect("pu", "pull push", COMPLETE_DONE);
	expect("user", "user", COMPLETE_DONE);
	expect("user d", "disable delete", COMPLETE_DONE);
	expect("vault ", "passphrase tpm", COMPLETE_DONE);
	expect("nothing ", "", COMPLETE_DONE);
	expect("help sh", "show", COMPLETE_DONE);
}

TEST(options_and_their_values)
{
	expect("run --t", "--think --truncate", COMPLETE_DONE);
	expect("run --think=", "--think=true --think=false --think=high --think=medium --think=low",
		COMPLETE_DONE);
	expect("run --think=m", "--think=medium", COMPLETE_DONE);
	expect("run --format ", "json", COMPLETE_DONE);
	expect("user add --role a", "admin", COMPLETE_DONE);
	expect("create x -f ", "", COMPLETE_FILES);
	expect("list --j", "--json", COMPLETE_DONE);
	expect("completion ", "bash zsh fish", COMPLETE_DONE);
	expect("vault tpm ", "", COMPLETE_FILES);
}

TEST(models_where_a_model_is_wanted)
{
	expect("run ", "", COMPLETE_MODELS);
	expect("run --verbose sm", "", COMPLETE_MODELS);
	expect("run --system text sm", "", COMPLETE_MODELS);
	expect("run smollm2 ", "", COMPLETE_DONE);
	expect("rm a b ", "", COMPLETE_MODELS);
	expect("cp ", "", COMPLETE_MODELS);
	expect("cp a ", "", COMPLETE_DONE);
	expect("create ", "", COMPLETE_DONE);
}

TEST(every_command_and_option_of_the_table_is_offered)
{
	char got[4096], line[256];
	for (const struct command_row *c = command_table; c->name; c++)
		for (size_t i = 0; i < COMMAND_OPTIONS_MAX && c->options[i].name; i++) {
			snprintf(line, sizeof line, "%s %s", c->name, option_long(&c->options[i]));
			(void)ask(line, got);
			CHECK(strstr(got, option_long(&c->options[i])));
		}
}
