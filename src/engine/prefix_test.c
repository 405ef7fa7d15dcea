#include "engine/prefix.h"

#include <string.h>

#include "base/fault.h"
#include "tests/test.h"

/* Texts are bytes as tokens; a state is the positions it stands for, written out. */
static struct prefix_text text(const char *s, int32_t *v, uint32_t company, uint32_t group)
{
	size_t n = strlen(s);
	for (size_t i = 0; i < n; i++)
		v[i] = (unsigned char)s[i];
	return (struct prefix_text){ .v = v, .n = n, .n_company = company, .n_group = group,
		.group = 7, .person = 1 };
}

static void add(struct prefix *p, const struct prefix_text *t, uint32_t from, uint32_t to)
{
	size_t n = (to - from) * sizeof(int32_t);
	void *bytes = mem_alloc(n);
	memcpy(bytes, t->v + from, n);
	CHECK_OK(prefix_add(p, t, from, to, bytes, n));
}

/* Puts the pieces together and compares them with the text. */
static size_t found(struct prefix *p, const struct prefix_text *t, size_t max)
{
	struct prefix_piece v[PREFIX_PIECES];
	size_t n, have = prefix_find(p, t, max, v, &n), at = 0;
	for (size_t i = 0; i < n; i++) {
		CHECK(v[i].from == at && v[i].state_from <= v[i].from && v[i].to > v[i].from);
		size_t off = v[i].from - v[i].state_from, k = v[i].to - v[i].from;
		CHECK((off + k) * sizeof(int32_t) <= v[i].size);
		CHECK(!memcmp((const int32_t *)v[i].bytes + off, t->v + at, k * sizeof(int32_t)));
		at = v[i].to;
	}
	CHECK_EQ_INT(at, have);
	CHECK_EQ_INT(prefix_covers(p, t, max), have);
	return have;
}

TEST(the_longest_common_beginning_is_found)
{
	AUTO(prefix) struct prefix *p = NULL;
	int32_t a[64], b[64], c[64];
	CHECK_OK(prefix_new(1 << 20, true, NULL, &p));
	struct prefix_text x = text("the quick brown fox", a, 0, 0),
			   y = text("the quick red hen", b, 0, 0), z = text("thin", c, 0, 0);
	CHECK_EQ_INT(found(p, &x, 99), 0);
	add(p, &x, 0, (uint32_t)x.n);
	CHECK_EQ_INT(found(p, &x, x.n - 1), x.n - 1);
	CHECK_EQ_INT(found(p, &y, y.n), 10);
	add(p, &y, 10, (uint32_t)y.n);
	CHECK_EQ_INT(found(p, &y, y.n), y.n);
	CHECK_EQ_INT(found(p, &x, x.n), x.n);
	CHECK_EQ_INT(found(p, &z, z.n), 2);
	CHECK_EQ_INT(prefix_bytes(p), (x.n + y.n - 10) * sizeof(int32_t));
}

TEST(nothing_is_found_across_scopes)
{
	AUTO(prefix) struct prefix *p = NULL;
	int32_t a[64], b[64];
	CHECK_OK(prefix_new(1 << 20, true, NULL, &p));
	struct prefix_text x = text("company|group|person", a, 8, 14), y = x;
	y.v = b;
	memcpy(b, a, sizeof b);
	add(p, &x, 0, 8), add(p, &x, 8, 14), add(p, &x, 14, 20);
	CHECK_EQ_INT(found(p, &x, 20), 20);
	y.person = 2;
	CHECK_EQ_INT(found(p, &y, 20), 14);
	CHECK_EQ_INT(prefix_common(&x, &y), 14);
	y.group = 8;
	CHECK_EQ_INT(found(p, &y, 20), 8);
	CHECK_EQ_INT(prefix_common(&x, &y), 8);
	y = x;
	y.n_company = y.n_group = 0; /* the same words, shared with nobody */
	CHECK_EQ_INT(found(p, &y, 20), 0);
	CHECK_EQ_INT(prefix_common(&x, &y), 0);
	y.n_company = 4; /* a shorter part is marked */
	y.n_group = 14;
	CHECK_EQ_INT(found(p, &y, 20), 4);
}

TEST(states_that_cannot_be_divided_serve_whole_texts_only)
{
	AUTO(prefix) struct prefix *p = NULL;
	int32_t a[64], b[64];
	CHECK_OK(prefix_new(1 << 20, false, NULL, &p));
	struct prefix_text x = text("abcdefgh", a, 0, 0), y = text("abcdefghij", b, 0, 0);
	add(p, &x, 0, 8);
	CHECK_EQ_INT(found(p, &x, 7), 0);
	CHECK_EQ_INT(found(p, &y, 9), 8);
	y = text("abcdxyz", b, 0, 0);
	CHECK_EQ_INT(found(p, &y, 6), 0);
	add(p, &y, 0, 4); /* splits the first; that still serves its whole */
	CHECK_EQ_INT(found(p, &y, 6), 4);
	CHECK_EQ_INT(found(p, &x, 8), 8);
}

TEST(memory_is_bounded_and_the_oldest_goes_first)
{
	AUTO(prefix) struct prefix *p = NULL;
	int32_t v[10][64];
	struct prefix_text t[10];
	CHECK_OK(prefix_new(100 * sizeof(int32_t), true, NULL, &p));
	for (int i = 0; i < 10; i++) {
		char s[64];
		memset(s, 'a' + i, 25), s[25] = 0;
		t[i] = text(s, v[i], 0, 0);
		add(p, &t[i], 0, 25);
		if (i >= 3)
			(void)found(p, &t[0], 25); /* stays in use */
		CHECK(prefix_bytes(p) <= 100 * sizeof(int32_t));
	}
	CHECK_EQ_INT(found(p, &t[0], 25), 25);
	CHECK_EQ_INT(found(p, &t[9], 25), 25);
	CHECK_EQ_INT(found(p, &t[1], 25), 0);
	CHECK_EQ_INT(prefix_nodes(p), 4);
	int32_t w[300];
	char big[200];
	memset(big, 'z', 150), big[150] = 0;
	struct prefix_text large = text(big, w, 0, 0);
	add(p, &large, 0, 150); /* more than all there may be */
	CHECK_EQ_INT(found(p, &large, 150), 0);
}

TEST(purging_forgets_a_person_or_an_object_and_what_follows)
{
	AUTO(prefix) struct prefix *p = NULL;
	int32_t a[64], b[64];
	CHECK_OK(prefix_new(1 << 20, true, NULL, &p));
	struct prefix_text x = text("shared: one", a, 8, 8), y = text("shared: two", b, 8, 8);
	x.object = 11, y.object = 12;
	add(p, &x, 0, 8), add(p, &x, 8, 11), add(p, &y, 8, 11);
	struct prefix_text z = x;
	z.person = 2;
	add(p, &z, 8, 11);
	struct prefix_text tmp = x; /* kept for a temporary text only: does not last */
	tmp.person = 9;
	tmp.temporary = true;
	add(p, &tmp, 8, 11);
	CHECK_EQ_INT(prefix_lasts(p, &tmp, 11), 11);
	tmp.temporary = false;
	CHECK_EQ_INT(prefix_lasts(p, &tmp, 11), 8);
	CHECK_EQ_INT(found(p, &tmp, 11), 11);
	prefix_purge(p, 9, 0);
	prefix_purge(p, 1, 11);
	CHECK_EQ_INT(found(p, &x, 11), 8);
	CHECK_EQ_INT(found(p, &y, 11), 8 + 3);
	CHECK_EQ_INT(found(p, &z, 11), 11);
	prefix_purge(p, 1, 0);
	CHECK_EQ_INT(found(p, &y, 11), 8);
	CHECK_EQ_INT(found(p, &z, 11), 11);
	CHECK_EQ_INT(prefix_bytes(p), 11 * sizeof(int32_t));
	prefix_purge(p, 0, 0);
	CHECK_EQ_INT(prefix_nodes(p), 0);
	CHECK_EQ_INT(prefix_bytes(p), 0);
}

TEST(purging_one_talk_leaves_another_that_begins_alike)
{
	for (int order = 0; order < 2; order++) {
		AUTO(prefix) struct prefix *p = NULL;
		int32_t a[64], b[64];
		CHECK_OK(prefix_new(1 << 20, true, NULL, &p));
		struct prefix_text x = text("abcd12", a, 0, 0), y = text("abcd34", b, 0, 0);
		x.object = 21, y.object = 22;
		add(p, order ? &y : &x, 0, 6); /* whole, as a stream saves them */
		add(p, order ? &x : &y, 0, 6);
		prefix_purge(p, 1, 21);
		CHECK_EQ_INT(found(p, &y, 6), 6);
		CHECK_EQ_INT(found(p, &x, 6), order ? 0 : 4);
		CHECK_EQ_INT(prefix_bytes(p), 6 * sizeof(int32_t));
		prefix_purge(p, 1, 22);
		CHECK_EQ_INT(found(p, &x, 6), 0);
		CHECK_EQ_INT(prefix_bytes(p), 0);
		CHECK_EQ_INT(prefix_nodes(p), 0);
	}
}

/* ---- a disk that is an array ---- */

struct shelf {
	struct {
		struct prefix_record r;
		int32_t tokens[64];
		char bytes[512];
	} v[20];
	uint64_t n;
	unsigned loads, drops;
	bool lost;
};

static uint64_t shelf_store(void *arg, const struct prefix_record *r, const void *bytes)
{
	struct shelf *s = arg;
	s->v[s->n].r = *r;
	memcpy(s->v[s->n].tokens, r->tokens, r->n_tokens * sizeof(int32_t));
	s->v[s->n].r.tokens = s->v[s->n].tokens;
	memcpy(s->v[s->n].bytes, bytes, r->size);
	s->v[s->n].r.id = s->n + 1;
	return ++s->n;
}

static enum err shelf_load(void *arg, uint64_t id, void *to, size_t size)
{
	struct shelf *s = arg;
	s->loads++;
	if (s->lost)
		return ERR_CORRUPT;
	memcpy(to, s->v[id - 1].bytes, size);
	return OK;
}

static void shelf_drop(void *arg, uint64_t id)
{
	(void)id;
	((struct shelf *)arg)->drops++;
}

TEST(what_lies_on_disk_comes_back_after_a_restart)
{
	static struct shelf shelf;
	struct prefix_disk disk = { shelf_store, shelf_load, shelf_drop, &shelf };
	struct prefix *p = NULL;
	int32_t a[64], b[64];
	struct prefix_text x = text("company| and one", a, 8, 8),
			   y = text("company| another", b, 8, 8);
	CHECK_OK(prefix_new(20 * sizeof(int32_t), true, &disk, &p));
	add(p, &x, 0, 8), add(p, &x, 8, 16), add(p, &y, 10, 16);
	y.temporary = true;
	CHECK_EQ_INT(shelf.n, 3);
	CHECK(prefix_bytes(p) <= 20 * sizeof(int32_t)); /* states leave RAM, nodes stay */
	CHECK_EQ_INT(found(p, &x, 16), 16);
	prefix_free(p);
	CHECK_EQ_INT(shelf.drops, 0);
	CHECK_OK(prefix_new(1 << 20, true, &disk, &p));
	for (uint64_t i = 0; i < shelf.n; i++)
		CHECK_OK(prefix_recall(p, &shelf.v[i].r));
	CHECK_EQ_INT(prefix_bytes(p), 0);
	CHECK_EQ_INT(found(p, &x, 16), 16);
	CHECK_EQ_INT(found(p, &y, 16), 16);
	struct prefix_text z = x;
	z.person = 2;
	CHECK_EQ_INT(found(p, &z, 16), 8);
	prefix_purge(p, 1, 0);
	CHECK_EQ_INT(shelf.drops, 2);
	CHECK_EQ_INT(found(p, &x, 16), 8);
	struct prefix_record orphan = shelf.v[1].r;
	orphan.parent = 99;
	CHECK_ERR(prefix_recall(p, &orphan), ERR_NOT_FOUND);
	prefix_free(p);
	CHECK_OK(prefix_new(1 << 20, true, &disk, &p));
	CHECK_OK(prefix_recall(p, &shelf.v[0].r));
	shelf.lost = true; /* what cannot be read is forgotten, not used */
	CHECK_EQ_INT(prefix_covers(p, &x, 16), 8);
	struct prefix_piece v[PREFIX_PIECES];
	size_t n;
	CHECK_EQ_INT(prefix_find(p, &x, 16, v, &n), 0);
	prefix_free(p);
}

TEST(random_texts_against_a_plain_list)
{
	/* The second source: every state added, compared one by one. */
	uint64_t seed = 5;
	for (int round = 0; round < 300; round++) {
		AUTO(prefix) struct prefix *p = NULL;
		CHECK_OK(prefix_new(1 << 20, true, NULL, &p));
		static int32_t v[40][24];
		struct prefix_text t[40];
		for (int i = 0; i < 40; i++) {
			char s[24];
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			size_t n = 4 + (seed >> 40) % 16;
			for (size_t k = 0; k < n; k++)
				s[k] = (char)('a' + ((seed >> (k % 24 + 8)) & 1));
			s[n] = 0;
			uint32_t c = (uint32_t)((seed >> 50) % 3) * 2;
			t[i] = text(s, v[i], c, c);
			t[i].person = seed >> 60;
			size_t best = 0;
			for (int k = 0; k < i; k++) {
				size_t same = prefix_common(&t[i], &t[k]);
				best = same > best ? same : best;
			}
			CHECK_EQ_INT(found(p, &t[i], n), best);
			for (size_t at = best, end; at < n; at = end) {
				end = prefix_scope_end(&t[i], at);
				add(p, &t[i], (uint32_t)at, (uint32_t)end);
			}
		}
	}
}

TEST(no_failed_allocation_breaks_the_tree)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct prefix *p = NULL;
		int32_t a[64], b[64];
		struct prefix_text x = text("the quick brown fox", a, 4, 10),
				   y = text("the quick red hen", b, 4, 10);
		if (!prefix_new(1 << 20, true, NULL, &p)) {
			void *bytes = mem_alloc(16);
			if (bytes)
				(void)!!prefix_add(p, &x, 0, 4, bytes, 16);
			bytes = mem_alloc(24);
			if (bytes && prefix_covers(p, &y, 4) == 4)
				(void)!!prefix_add(p, &y, 4, 10, bytes, 24);
			else
				mem_free(bytes);
			prefix_purge(p, 1, 0);
		}
		prefix_free(p);
	}
}
