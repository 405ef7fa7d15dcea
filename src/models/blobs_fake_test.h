/* models/blobs_fake_test.h - for tests: a keeper in the same process, writers as children. */
#pragma once

#include "models/blobdir.h"
#include "models/store.h"

struct test_blobs {
	char dir[4096]; /* the data directory */
	struct blobdir *blobs;
	enum err fail_commit; /* OK: none */
	unsigned removed;     /* calls of remove() */
	uint64_t made;        /* files made or shared */
	int job;              /* that makes the last one */
};
extern const struct model_blob_ops test_blob_ops;
void test_blobs_open(struct test_blobs *b, const char *dir);
void test_blobs_close(struct test_blobs *b);
/* Puts bytes as a whole blob and gives its digest. */
void test_blobs_put(struct test_blobs *b, struct str bytes, char ret_digest[65]);
bool test_blobs_has(struct test_blobs *b, const char *digest);
unsigned test_blobs_count(struct test_blobs *b);
/* Makes a whole blob look `ms` older. */
void test_blobs_age(struct test_blobs *b, const char *digest, int64_t ms);
