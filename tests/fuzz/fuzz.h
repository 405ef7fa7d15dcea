/* tests/fuzz/fuzz.h - one fuzz target a program.
 *
 *   FUZZ { parse((struct str){ (const char *)data, size }); }
 *
 * With clang's -fsanitize=fuzzer the target is libFuzzer's. Else the `main` of fuzz.c replays every
 * file under the folders given, each cut at several places, and with --mutate N [SEED] runs N
 * random changes of them. An input that kills the program is kept in fuzz-crash.bin. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#define FUZZ                                                                  \
	static void fuzz_one(const uint8_t *data, size_t size);               \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)          \
	{                                                                     \
		fuzz_one(data, size);                                         \
		return 0;                                                     \
	}                                                                     \
	static void fuzz_one(const uint8_t *data, size_t size)
