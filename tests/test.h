/* tests/test.h - unit tests that register themselves; each runs in its own process.
 *
 *   TEST(line_is_cut_at_a_border) { CHECK_EQ_INT(str_utf8_whole(STR("a")), 1); }
 *
 * Prints TAP. Arguments of the program: parts of names to run, or --list. A test fails when a
 * check fails, when it exits otherwise than by returning, or after its timeout (20 s, see
 * TEST_TIMEOUT; four times that under a sanitizer). Its standard output goes to standard error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/str.h"

struct test {
	const char *name;
	void (*fn)(void);
	unsigned timeout_s;
};
enum { TEST_TIMEOUT_S = 20 };

#define TEST(name_) TEST_TIMEOUT(name_, TEST_TIMEOUT_S)
#define TEST_TIMEOUT(name_, seconds)                                                             \
	static void test_##name_(void);                                                          \
	static const struct test test_entry_##name_ = { #name_, test_##name_, (seconds) };       \
	__attribute__((section("tresor_tests"), used)) static const struct test                  \
		*const test_ptr_##name_ = &test_entry_##name_;                                   \
	static void test_##name_(void)

/* Each ends the test when it does not hold; the comparisons print both sides. */
#define CHECK(expr)                                                 \
	do {                                                        \
		if (!(expr))                                        \
			test_fail_(__FILE__, __LINE__, "%s", #expr); \
	} while (0)
#define CHECK_EQ_INT(a, b) test_eq_int_(__FILE__, __LINE__, #a, #b, (int64_t)(a), (int64_t)(b))
#define CHECK_EQ_STR(a, b) test_eq_str_(__FILE__, __LINE__, #a, #b, (a), (b)) /* struct str */
#define CHECK_EQ_Z(a, b) test_eq_str_(__FILE__, __LINE__, #a, #b, str_from(a), str_from(b))
/* `call` must give the error `want`; prints slugs. */
#define CHECK_ERR(call, want) test_eq_err_(__FILE__, __LINE__, #call, (call), (want))
#define CHECK_OK(call) CHECK_ERR(call, OK)
#define FAIL(...) test_fail_(__FILE__, __LINE__, __VA_ARGS__)
/* Ends the test as not run; counted and shown with its reason. */
#define SKIP(why) test_skip_(why)

/* Runs the block with the 1st, 2nd, .. call of `kind` failing, until a round in which none failed.
 * Inside, fault_fired(kind) tells whether this round was hit. Without -Dfault=true: one round. */
#define FOR_EACH_FAULT(kind, n)                                                             \
	for (unsigned n = 1, test_go_ = 1; test_go_ && ((void)(fault_arm((kind), n)), true); \
	     test_go_ = test_fault_next_((kind), n), n++)

/* The folder of test data (source tree), for seeds and fixtures: "tests/kat/x.json". */
const char *test_path(const char *below_source_root); /* static buffer */
/* A fresh empty folder, removed when the test program ends; static buffer, one a test. */
const char *test_dir(void);

[[gnu::noreturn]] void test_fail_(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
[[gnu::noreturn]] void test_skip_(const char *why);
void test_eq_int_(const char *file, int line, const char *ta, const char *tb, int64_t a, int64_t b);
void test_eq_str_(const char *file, int line, const char *ta, const char *tb, struct str a,
		  struct str b);
void test_eq_err_(const char *file, int line, const char *what, enum err got, enum err want);
bool test_fault_next_(enum fault_kind k, unsigned n);
