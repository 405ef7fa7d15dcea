#include "engine/llama/variant.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

/* Modules made by the build: a 5, b 9, c 0 (not for this machine), d 7. */
TEST(each_step_takes_the_next_lower_module)
{
	char path[4096];
	static const char *const want[] = { "libggml-cpu-b.so", "libggml-cpu-d.so",
		"libggml-cpu-a.so", "libggml-cpu-a.so", "libggml-cpu-a.so" };
	for (unsigned long less = 0; less < sizeof want / sizeof *want; less++) {
		CHECK(variant_find(MODULES, less, path, sizeof path));
		CHECK_EQ_Z(strrchr(path, '/') + 1, want[less]);
	}
	CHECK(!variant_find(MODULES, 0, path, 10)); /* no room for the path */
	CHECK(!variant_find("/nonexistent", 0, path, sizeof path));
	CHECK(!variant_find("/", 0, path, sizeof path)); /* no modules there */
}

TEST(the_keepers_word_is_a_number)
{
	CHECK(!unsetenv("TRESOR_CPU_LESS"));
	CHECK_EQ_INT((long)variant_less(), 0);
	CHECK(!setenv("TRESOR_CPU_LESS", "2", 1));
	CHECK_EQ_INT((long)variant_less(), 2);
	CHECK(!setenv("TRESOR_CPU_LESS", "x", 1));
	CHECK_EQ_INT((long)variant_less(), 0);
}
