/* Expected values: TestHost of Ollama 0.17.4 (envconfig/config_test.go), where it takes the text; a
 * client connects to this machine where a server would listen everywhere. */
#include "cli/host.h"

#include <stdlib.h>

#include "tests/test.h"

static void expect(const char *text, const char *base, bool loopback)
{
	struct host h;
	CHECK_OK(host_parse(str_from(text), 11434, &h, NULL));
	CHECK_EQ_STR(buf_str(&h.base), str_from(base));
	CHECK_EQ_INT(h.loopback, loopback);
	host_done(&h);
}

TEST(every_form_of_a_host_is_read)
{
	expect("1.2.3.4", "http://1.2.3.4:11434", false);
	expect(":1234", "http://127.0.0.1:1234", true);
	expect("1.2.3.4:1234", "http://1.2.3.4:1234", false);
	expect("example.com", "http://example.com:11434", false);
	expect("example.com:1234", "http://example.com:1234", false);
	expect("[::1]", "http://[::1]:11434", true);
	expect("::1", "http://[::1]:11434", true);
	expect("[::1]:1337", "http://[::1]:1337", true);
	expect("2001:db8::7", "http://[2001:db8::7]:11434", false);
	expect(" 1.2.3.4 ", "http://1.2.3.4:11434", false);
	expect("\"1.2.3.4\"", "http://1.2.3.4:11434", false);
	expect(" \" 1.2.3.4 \" ", "http://1.2.3.4:11434", false);
	expect("'1.2.3.4'", "http://1.2.3.4:11434", false);
	expect("http://1.2.3.4", "http://1.2.3.4", false);
	expect("http://1.2.3.4:4321", "http://1.2.3.4:4321", false);
	expect("http://localhost:4321/", "http://localhost:4321", true);
	expect("https://1.2.3.4", "https://1.2.3.4", false);
	expect("https://1.2.3.4:4321", "https://1.2.3.4:4321", false);
	expect("https://example.com/ollama", "https://example.com/ollama", false);
	expect("0.0.0.0", "http://127.0.0.1:11434", true);
	expect("0.0.0.0:80", "http://127.0.0.1", true);
	expect("[::]", "http://[::1]:11434", true);
	expect("", "http://127.0.0.1:11434", true);
}

TEST(what_is_no_host_is_refused)
{
	static const char *const bad[] = { ":0", ":66000", ":-1", "a b", "ftp://x", "http://u@x",
		"http://x/?q", "x/../y", "[::1", "http://x:y", "exa\nmple.com", "1.2.3",
		"http://[::1%25eth0]" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct host h = { 0 };
		struct err_info why = { 0 };
		CHECK_ERR(host_parse(str_from(bad[i]), 7070, &h, &why), ERR_INVALID);
		CHECK(why.detail[0]);
		host_done(&h);
	}
}

static void with_env(const char *host, const char *theirs, const char *key)
{
	setenv("TRESOR_HOST", host, 1);
	setenv("OLLAMA_HOST", theirs, 1);
	setenv("TRESOR_API_KEY", key, 1);
	unsetenv("OLLAMA_API_KEY");
}

TEST(our_variable_goes_before_theirs_and_each_has_its_port)
{
	struct host h;
	bool set;
	with_env("", "", "");
	CHECK_OK(host_from_env(&h, true, &set, NULL));
	CHECK(!set);
	with_env("one", "two", "");
	CHECK_OK(host_from_env(&h, true, &set, NULL));
	CHECK(set && !h.key[0]);
	CHECK_EQ_STR(buf_str(&h.base), STR("http://one:7070"));
	host_done(&h);
	with_env("", "two", "");
	CHECK_OK(host_from_env(&h, true, &set, NULL));
	CHECK_EQ_STR(buf_str(&h.base), STR("http://two:11434"));
	host_done(&h);
}

TEST(a_key_does_not_travel_in_the_clear)
{
	struct host h;
	bool set;
	struct err_info why = { 0 };
	with_env("ki.example.org", "", "tsr_x");
	CHECK_ERR(host_from_env(&h, true, &set, &why), ERR_INVALID);
	CHECK(strstr(why.detail, "clear"));
	host_done(&h);
	with_env("https://ki.example.org", "", " tsr_x\n");
	CHECK_OK(host_from_env(&h, true, &set, NULL));
	CHECK_EQ_Z(h.key, "tsr_x");
	host_done(&h);
	with_env("127.0.0.1", "", "a\nb");
	CHECK_ERR(host_from_env(&h, true, &set, NULL), ERR_INVALID);
	host_done(&h);
}

TEST(commands_that_ollama_has_not_do_not_go_to_its_server_nor_in_the_clear)
{
	struct host h;
	bool set;
	struct err_info why = { 0 };
	with_env("", "two", "");
	CHECK_OK(host_from_env(&h, false, &set, NULL));
	CHECK(!set);
	with_env("ki.example.org", "", "");
	CHECK_OK(host_from_env(&h, true, &set, NULL));
	host_done(&h);
	CHECK_ERR(host_from_env(&h, false, &set, &why), ERR_INVALID);
	CHECK(strstr(why.detail, "clear"));
	host_done(&h);
}
