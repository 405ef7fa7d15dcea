#include "engine/llama/specials.h"

#include <string.h>

#include "base/random.h"
#include "tests/test.h"

static const char *const CONTROL[] = { "<|im_start|>", "<|im_end|>", "</s>", "<s>", "[INST]",
	("\xef\xbd\x9c" "end") };
enum { CONTROLS = sizeof CONTROL / sizeof *CONTROL };

static void fill(struct specials *s)
{
	memset(s, 0, sizeof *s);
	specials_add(s, STR(""));
	for (size_t i = 0; i < CONTROLS; i++)
		specials_add(s, str_from(CONTROL[i]));
}

TEST(usual_text_is_cleared)
{
	static const char *const plain[] = { "", "a", "<", "if (a << 3 > b) return \"x\";",
		"<html><body class='x'>Gr\xc3\xbc\xc3\x9f Gott</body></html>", "[1, 2, 3]",
		"im_start|>" };
	struct specials s;
	fill(&s);
	s.brief['<'] = false; /* "<s>" is so short that any "<" may begin it */
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (specials_possible(&s, str_from(plain[i])))
			FAIL("\"%s\" is not cleared", plain[i]);
	CHECK(specials_possible(&s, STR("a <|im_end|> b")));
}

TEST(a_text_that_holds_one_is_never_cleared)
{
	struct specials s;
	char text[200];
	fill(&s);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)random_u64() % (sizeof text - 20), at;
		const char *control = CONTROL[random_u64() % CONTROLS];
		for (size_t i = 0; i < n; i++)
			text[i] = (char)(' ' + random_u64() % 95);
		at = (size_t)random_u64() % (n + 1);
		memcpy(text + at, control, strlen(control)); /* or at the end */
		if (at + strlen(control) > n)
			n = at + strlen(control);
		CHECK(specials_possible(&s, (struct str){ text, n }));
	}
}

TEST(without_control_tokens_every_text_is_cleared)
{
	struct specials s = { .brief = { false } };
	CHECK(!specials_possible(&s, STR("<|im_start|> <s>")));
}
