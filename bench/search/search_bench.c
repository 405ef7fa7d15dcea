/* bench/search - how long it takes to find something in many messages, and to take them in.
 *
 *   search_bench DIR DICTIONARY WORDS [MESSAGES] [PEOPLE] [RUNS]    default 1000000 50 400
 *
 * WORDS: a text, one word a line, the frequent ones first; a message is 12 to 120 of them, drawn by
 * Zipf's law. Fills a fresh encrypted database, waits for the index, then asks what people ask:
 * rare and frequent words, two words, the beginning of a word, a phrase. Milliseconds, median and
 * 95th percentile, over the whole; beside it what SQL's LIKE takes for rare words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/random.h"
#include "base/time.h"
#include "chat/search.h"
#include "os/fd.h"
#include "words/words.h"

enum { WORDS_MAX = 200000, RUNS_MAX = 4000, BATCH = 5000, TEXT_MAX = 8192, KINDS = 5 };
#define START_MS INT64_C(1700000000000)
#define EVERY_MS 30000

static const struct sql Q_PERSON = { "bench.person",
	"INSERT INTO person (id, email, email_key, name, role, state, created_ms, changed_ms)"
	" VALUES (?1, ?1, ?1, ?1, 'member', 'active', 0, 0)" };
static const struct sql Q_CONVERSATION = { "bench.conversation",
	"INSERT INTO conversation (id, person, title, model, created_ms, changed_ms)"
	" VALUES (?1, ?2, 'A title of usual length for a chat', 'm', ?3, ?3)" };
static const struct sql Q_MESSAGE = { "bench.message",
	"INSERT INTO message (id, conversation, role, content, state, created_ms, changed_ms)"
	" VALUES (?1, ?2, ?3, ?4, 'done', ?5, ?5)" };
static const struct sql Q_LIKE = { "bench.like",
	"SELECT m.id FROM conversation c JOIN message m ON m.conversation = c.id"
	" WHERE c.person = ?1 AND m.content LIKE ?2 ORDER BY m.created_ms DESC LIMIT 20" };
static const struct sql Q_LEFT = { "bench.left", "SELECT count(*) FROM search_todo" };

struct bench {
	struct db *db;
	struct buf file;
	struct str word[WORDS_MAX];
	size_t n_words;
	double *weight; /* of the words up to each, summed */
	int64_t messages, done;
	unsigned people;
};

static uint64_t seed = 7;

static double uniform(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) / (double)(1ull << 53);
}

/* A word, the frequent ones more often. */
static struct str draw(const struct bench *b)
{
	double x = uniform() * b->weight[b->n_words - 1];
	size_t lo = 0, hi = b->n_words - 1;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (b->weight[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return b->word[lo];
}

static void id_of(char kind, int64_t n, char ret[ID_LEN + 1])
{
	(void)snprintf(ret, ID_LEN + 1, "%c%025lld", kind, (long long)n);
}

static enum err add_people(struct db_conn *c, void *arg)
{
	const struct bench *b = arg;
	char id[ID_LEN + 1];
	struct db_row r;
	for (unsigned i = 0; i < b->people; i++) {
		id_of('p', i, id);
		TRY(db_query(c, &Q_PERSON, &r));
		db_bind_str(&r, 1, str_from(id));
		TRY(db_run(&r));
	}
	return OK;
}

static enum err add_message(struct db_conn *c, const struct bench *b, int64_t i)
{
	char id[ID_LEN + 1], conversation[ID_LEN + 1], person[ID_LEN + 1], text[TEXT_MAX];
	struct db_row r;
	size_t n = 0, words = 12 + (size_t)(uniform() * uniform() * 108);
	id_of('c', i / 20, conversation);
	if (i % 20 == 0) {
		id_of('p', i / 20 % b->people, person);
		TRY(db_query(c, &Q_CONVERSATION, &r));
		db_bind_str(&r, 1, str_from(conversation));
		db_bind_str(&r, 2, str_from(person));
		db_bind_i64(&r, 3, START_MS + i * EVERY_MS);
		TRY(db_run(&r));
	}
	for (size_t k = 0; k < words; k++) {
		struct str w = draw(b);
		if (n + w.len + 2 > sizeof text)
			break;
		memcpy(text + n, w.ptr, w.len);
		n += w.len;
		text[n++] = ' ';
	}
	id_of('m', i, id);
	TRY(db_query(c, &Q_MESSAGE, &r));
	db_bind_str(&r, 1, str_from(id));
	db_bind_str(&r, 2, str_from(conversation));
	db_bind_str(&r, 3, i % 2 ? STR("assistant") : STR("user"));
	db_bind_str(&r, 4, (struct str){ text, n });
	db_bind_i64(&r, 5, START_MS + i * EVERY_MS);
	return db_run(&r);
}

static enum err add_batch(struct db_conn *c, void *arg)
{
	struct bench *b = arg;
	for (int64_t end = b->done + BATCH; b->done < end && b->done < b->messages; b->done++)
		TRY(add_message(c, b, b->done));
	return OK;
}

static enum err count_left(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_LEFT, &r));
	*(int64_t *)arg = db_next(&r) ? db_col_i64(&r, 0) : 0;
	return db_end(&r);
}

/* ---- asking ---- */

struct like {
	const char *person;
	struct str word;
	unsigned found;
};

static enum err ask_like(struct db_conn *c, void *arg)
{
	struct like *l = arg;
	char pattern[300];
	struct db_row r;
	(void)snprintf(pattern, sizeof pattern, "%%%.*s%%", STR_ARG(l->word));
	TRY(db_query(c, &Q_LIKE, &r));
	db_bind_str(&r, 1, str_from(l->person));
	db_bind_str(&r, 2, str_from(pattern));
	while (db_next(&r))
		l->found++;
	return db_end(&r);
}

static struct str pick(const struct bench *b, unsigned kind)
{
	size_t from = kind == 0 ? b->n_words / 2 : 20, to = kind == 0 ? b->n_words : 2000;
	return b->word[from + (size_t)(uniform() * (double)(to - from))];
}

static void question(const struct bench *b, unsigned kind, char *dst, size_t size)
{
	struct str one = pick(b, kind), two = pick(b, kind);
	switch (kind) {
	case 2: /* two words */
		(void)snprintf(dst, size, "%.*s %.*s ", STR_ARG(one), STR_ARG(two));
		return;
	case 3: /* a beginning: no blank behind it */
		one = str_sub(one, 0, str_utf8_whole(str_sub(one, 0, 4)));
		(void)snprintf(dst, size, "%.*s", STR_ARG(one));
		return;
	case 4: /* a phrase */
		(void)snprintf(dst, size, "\"%.*s %.*s\"", STR_ARG(one), STR_ARG(two));
		return;
	default:
		(void)snprintf(dst, size, "%.*s ", STR_ARG(one));
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print(const char *what, double *ms, unsigned n, unsigned found)
{
	qsort(ms, n, sizeof *ms, by_size);
	printf("{\"what\":\"%s\",\"ms\":%.2f,\"p95_ms\":%.2f,\"max_ms\":%.2f,\"runs\":%u,"
	       "\"with_results\":%u}\n",
		what, ms[n / 2], ms[n * 95 / 100], ms[n - 1], n, found);
	(void)fflush(stdout);
}

static enum err ask_all(struct bench *b, struct chat_search *s, unsigned runs)
{
	static const char *const names[KINDS] = { "rare word", "frequent word", "two words",
		"beginning", "phrase" };
	static double all[RUNS_MAX * KINDS], ms[RUNS_MAX];
	unsigned n_all = 0, found_all = 0;
	char person[ID_LEN + 1], text[400];
	for (unsigned kind = 0; kind < KINDS; kind++) {
		unsigned found = 0;
		for (unsigned i = 0; i < runs; i++) {
			AUTO_BUF struct buf out = BUF(1 << 20);
			struct chat_search_ask a = { .limit = 20 };
			id_of('p', i % b->people, person);
			question(b, kind, text, sizeof text);
			a.text = str_from(text);
			int64_t start = time_mono_ns();
			TRY(chat_search_find(s, person, &a, &out, NULL));
			all[n_all++] = ms[i] = (double)(time_mono_ns() - start) / 1e6;
			found += str_find(buf_str(&out), STR("\"message\""), 0) != SIZE_MAX;
		}
		found_all += found;
		print(names[kind], ms, runs, found);
	}
	print("all of them", all, n_all, found_all);
	return OK;
}

static enum err ask_likes(struct bench *b, unsigned runs)
{
	static double ms[RUNS_MAX];
	char person[ID_LEN + 1];
	unsigned found = 0;
	for (unsigned i = 0; i < runs; i++) {
		struct like l = { .person = person, .word = pick(b, 0) };
		id_of('p', i % b->people, person);
		int64_t start = time_mono_ns();
		TRY(db_read(b->db, ask_like, &l));
		ms[i] = (double)(time_mono_ns() - start) / 1e6;
		found += l.found > 0;
	}
	print("rare word by LIKE", ms, runs, found);
	return OK;
}

/* ---- filling ---- */

static enum err read_words(struct bench *b, const char *path)
{
	TRY(file_read(path, &b->file));
	struct str rest = buf_str(&b->file), line;
	while (b->n_words < WORDS_MAX && str_next(&rest, '\n', &line))
		if (line.len && line.len < 200)
			b->word[b->n_words++] = line;
	b->weight = malloc(b->n_words * sizeof *b->weight);
	if (!b->weight || b->n_words < 5000)
		return ERR_INVALID;
	double sum = 0;
	for (size_t i = 0; i < b->n_words; i++)
		b->weight[i] = sum += 1 / (double)(i + 10);
	return OK;
}

static int64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) ? 0 : (int64_t)st.st_size;
}

static enum err fill(struct bench *b, struct chat_search *s, const char *path)
{
	int64_t start = time_mono_ms(), left = 1;
	TRY(db_write(b->db, add_people, b));
	while (b->done < b->messages)
		TRY(db_write(b->db, add_batch, b));
	double filled = (double)(time_mono_ms() - start) / 1000;
	int64_t bytes = size_of(path);
	start = time_mono_ms();
	chat_search_poke(s);
	while (left) {
		(void)usleep(200000);
		TRY(db_read(b->db, count_left, &left));
	}
	double taken = (double)(time_mono_ms() - start) / 1000;
	printf("{\"what\":\"messages\",\"n\":%lld,\"people\":%u,\"fill_s\":%.1f,\"index_s\":%.1f,"
	       "\"index_per_s\":%.0f,\"bytes\":%lld,\"with_index\":%lld}\n",
		(long long)b->messages, b->people, filled, taken,
		(double)b->messages / (taken > 0 ? taken : 1), (long long)bytes,
		(long long)size_of(path));
	(void)fflush(stdout);
	return OK;
}

static enum err run(struct bench *b, const char *dir, const struct words_dict *d, unsigned runs)
{
	char path[4096];
	struct err_info info = { 0 };
	AUTO(chat_search) struct chat_search *s = NULL;
	TRY(path_join(path, sizeof path, dir, "search.db"));
	struct db_options o = { .path = path, .readers = 4, .create = true,
		.migrations = db_schema, .n_migrations = db_schema_count, .build = "bench",
		.words = d };
	TRY(db_open(&o, &b->db, &info));
	TRY(chat_search_new(b->db, d, &s));
	TRY(fill(b, s, path));
	TRY(ask_all(b, s, runs));
	return ask_likes(b, runs / 20 + 1);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct buf file = BUF(16 << 20);
	struct words_dict *d = NULL;
	if (argc < 4 || crypto_init()) {
		(void)fprintf(stderr, "usage: search_bench DIR DICTIONARY WORDS "
				      "[MESSAGES] [PEOPLE] [RUNS]\n");
		return 2;
	}
	uint64_t n[3] = { 1000000, 50, 400 };
	for (int i = 4; i < argc && i < 7; i++)
		if (str_to_u64(str_from(argv[i]), &n[i - 4]) || !n[i - 4])
			return 2;
	b.file = BUF(64 << 20);
	b.messages = (int64_t)n[0];
	b.people = (unsigned)n[1];
	enum err e = file_read(argv[2], &file);
	e = e ? e : words_dict_open(buf_str(&file), &d, NULL);
	e = e ? e : read_words(&b, argv[3]);
	e = e ? e : run(&b, argv[1], d, n[2] > RUNS_MAX ? RUNS_MAX : (unsigned)n[2]);
	if (e)
		(void)fprintf(stderr, "search_bench: %s\n", err_slug(e));
	db_close(b.db);
	(void)words_dict_free(d);
	buf_done(&file);
	buf_done(&b.file);
	free(b.weight);
	return e != OK;
}
