#include "roles/config.h"

#include "base/err.h"
#include "tests/test.h"

static enum err parse(const char *text, struct config *c, struct err_info *info)
{
	config_defaults(c);
	*info = (struct err_info){ 0 };
	return config_parse(c, str_from(text), info);
}

TEST(what_is_written_is_taken_and_the_rest_is_by_default)
{
	struct config c;
	struct err_info why;
	CHECK_OK(parse("# the office\n\n  listen = 0.0.0.0:443, [::1]:7070 \nkey=tpm\n"
		       "max_engines = 2\nkeep_alive_s = -1", &c, &why));
	CHECK_EQ_STR(str_from(c.listen), STR("0.0.0.0:443, [::1]:7070"));
	CHECK_EQ_STR(str_from(c.key), STR("tpm"));
	CHECK_EQ_INT(c.max_engines, 2);
	CHECK_EQ_INT(c.keep_alive_s, -1);
	CHECK_EQ_STR(str_from(c.name), STR("Tresor"));
	CHECK_EQ_INT(c.workers, 8);
	CHECK(!c.local_only);
}

TEST(a_bad_line_is_named_with_its_number)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "name = x\nlisten", "line 2: not `key = value`" },
		{ "colour = red", "line 1: unknown key \"colour\"" },
		{ "name = a\n\nname = b", "line 3: name is set twice" },
		{ "workers = 1", "workers must be a number from 2 to 256" },
		{ "workers = many", "workers must be a number" },
		{ "workers = 99999999999999999999", "workers must be a number" },
		{ "key = cheese", "key must be one of" },
		{ "key = auto|file", "key must be one of" },
		{ "name = a\tb", "control characters" },
		{ "local_only = true", "unknown key" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct config c;
		struct err_info why;
		CHECK_ERR(parse(bad[i].text, &c, &why), ERR_INVALID);
		CHECK(strstr(why.detail, bad[i].says));
	}
}

TEST(a_value_that_does_not_fit_is_refused)
{
	struct config c;
	struct err_info why;
	char text[CONFIG_TEXT + 8] = "name = ";
	memset(text + 7, 'x', CONFIG_TEXT);
	CHECK_ERR(parse(text, &c, &why), ERR_INVALID);
	text[7 + CONFIG_TEXT - 1] = '\0';
	CHECK_OK(parse(text, &c, &why));
}

TEST(only_what_a_reload_cannot_take_up_is_reported)
{
	struct config a, b;
	struct err_info why;
	size_t at = 0;
	CHECK_OK(parse("hosts = old.example\nworkers = 4\n", &a, &why));
	CHECK_OK(parse("hosts = new.example\nworkers = 9\nname = Firma\n", &b, &why));
	CHECK_EQ_STR(str_from(config_needs_restart(&a, &b, &at)), STR("name"));
	CHECK_EQ_STR(str_from(config_needs_restart(&a, &b, &at)), STR("workers"));
	CHECK(!config_needs_restart(&a, &b, &at));
	at = 0;
	CHECK(!config_needs_restart(&a, &a, &at));
}

TEST(each_key_has_a_line_in_the_man_page)
{
	struct config c;
	config_defaults(&c); /* dies when a documented default is not valid */
	for (const struct config_doc *d = config_docs(); d->key; d++)
		CHECK(d->doc && *d->doc);
}
