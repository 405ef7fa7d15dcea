#include "chat/chat_test_fixture.h"

#include <stdio.h>
#include <time.h>

#include "base/random.h"
#include "os/fd.h"
#include "tests/test.h"

static void on_event(struct str event, void *arg)
{
	struct fixture *f = arg;
	pthread_mutex_lock(&f->lock);
	(void)buf_add(&f->events, event);
	(void)buf_add_byte(&f->events, '\n');
	pthread_mutex_unlock(&f->lock);
}

static enum err find_model(void *arg, struct str name, struct fleet_model *ret)
{
	struct fixture *f = arg;
	if (f->no_model || str_eq(name, STR("gone")))
		return ERR_NOT_FOUND;
	*ret = (struct fleet_model){ .digest = "d1gest", .keep_alive_ms = 1000 };
	if (str_starts(name, STR("seer")))
		memcpy(ret->projector, "pr0j", sizeof "pr0j");
	return str_copy(name.len ? name : STR("default:latest"), ret->name, sizeof ret->name);
}

/* The jail: "PNGx.." is a picture of two pixels whose hash begins with x, "BIGx.." one of as many
 * as are read. */
static enum err see(void *arg, struct str bytes, struct chat_seen *ret, struct err_info *info)
{
	struct fixture *f = arg;
	bool big = str_starts(bytes, STR("BIG"));
	if ((!big && !str_starts(bytes, STR("PNG"))) || bytes.len < 4)
		return err_set(info, ERR_INVALID, "it is not a picture");
	f->looked++;
	*ret = (struct chat_seen){ .pixels = { .width = 2, .height = 1 }, .type = "image/png" };
	if (big) {
		ret->pixels.width = 5000;
		ret->pixels.height = 4000;
	}
	ret->pixels.hash[0] = (uint8_t)bytes.ptr[3];
	return fd_memfd("rgb", STR("rgbrgb"), &ret->pixels.rgb_fd);
}

static enum err add_people(struct db_conn *c, void *arg)
{
	static const struct sql q = { "test.person",
		"INSERT OR IGNORE INTO person (id, email, email_key, name, role, state, "
		"created_ms, changed_ms)"
		" VALUES (?1, ?1, ?1, ?1, 'member', 'active', 0, 0)" };
	static const char *const ids[] = { ANNA, BERT };
	for (size_t i = 0; i < 2; i++) {
		struct db_row r;
		TRY(db_query(c, &q, &r));
		db_bind_str(&r, 1, str_from(ids[i]));
		TRY(db_run(&r));
	}
	return OK;
}

void fixture_open(struct fixture *f)
{
	fixture_open_with(f, NULL);
}

void fixture_open_with(struct fixture *f, const struct words_dict *words)
{
	char path[600];
	struct err_info info = { 0 };
	snprintf(path, sizeof path, "%s/chat.db", test_dir());
	struct db_options o = { .path = path, .readers = 2, .create = true, .migrations = db_schema,
		.n_migrations = db_schema_count, .build = "test", .words = words };
	*f = (struct fixture){ .lock = PTHREAD_MUTEX_INITIALIZER, .events = BUF(64 << 20) };
	if (db_open(&o, &f->db, &info))
		FAIL("%s %s", info.detail, info.log);
	CHECK_OK(db_write(f->db, add_people, NULL));
	f->fleet = fake_fleet_new();
	CHECK_OK(chat_hub_new(&f->hub));
	CHECK_OK(hub_join(f->hub, ANNA, on_event, f, &f->stream));
	struct chat_options c = {
		.db = f->db, .fleet = f->fleet, .hub = f->hub, .model = find_model, .model_arg = f,
		.see = see, .see_arg = f
	};
	CHECK_OK(chat_search_new(f->db, words, &f->search));
	c.search = f->search;
	CHECK_OK(chats_new(&c, &f->chats));
}

void fixture_close(struct fixture *f)
{
	f->chats = chats_free(f->chats);
	f->search = chat_search_free(f->search);
	f->hub = chat_hub_free(f->hub);
	f->db = db_close(f->db);
	fake_fleet_free(f->fleet);
	buf_done(&f->events);
}

const char *jstr(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static json_t *nth_event(struct fixture *f, const char *type, size_t *n)
{
	json_t *found = NULL;
	pthread_mutex_lock(&f->lock);
	struct str rest = buf_str(&f->events), line;
	while (!found && rest.len && str_next(&rest, '\n', &line) && line.len) {
		json_t *j = json_loadb(line.ptr, line.len, 0, NULL);
		CHECK(j != NULL);
		if (strcmp(jstr(j, "type"), type) == 0 && (*n)-- == 0)
			found = json_incref(j);
		json_decref(j);
	}
	pthread_mutex_unlock(&f->lock);
	return found;
}

json_t *fixture_event(struct fixture *f, const char *type, size_t n)
{
	for (int i = 0; i < 500; i++) {
		size_t left = n;
		json_t *j = nth_event(f, type, &left);
		if (j)
			return j;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	FAIL("event %s number %zu never came", type, n);
}

size_t fixture_count(struct fixture *f, const char *type)
{
	size_t left = SIZE_MAX;
	json_decref(nth_event(f, type, &left));
	return SIZE_MAX - left;
}

static json_t *parse(const struct buf *b)
{
	json_t *j = json_loadb(b->ptr, b->len, JSON_REJECT_DUPLICATES, NULL);
	if (!j)
		FAIL("not JSON: %.*s", STR_ARG(buf_str(b)));
	return j;
}

const char *fixture_conversation(struct fixture *f)
{
	return fixture_conversation_of(f, "m");
}

const char *fixture_conversation_of(struct fixture *f, const char *model)
{
	static char ids[64][ID_LEN + 1];
	static size_t n;
	AUTO_BUF struct buf out = BUF(1 << 20);
	CHECK_OK(chat_create(f->chats, ANNA, str_from(model), STR(""), &out, NULL));
	AUTO_JSON json_t *j = parse(&out);
	CHECK_OK(str_copy(str_from(jstr(j, "id")), ids[n % 64], ID_LEN + 1));
	return ids[n++ % 64];
}

void fixture_ask(struct fixture *f, const char *conversation, const char *text, char ret_answer[27])
{
	AUTO_BUF struct buf out = BUF(64 << 20);
	struct err_info info = { 0 };
	struct chat_send s = { .content = str_from(text) };
	if (chat_send(f->chats, ANNA, str_from(conversation), &s, &out, &info))
		FAIL("chat_send: %s", info.detail);
	AUTO_JSON json_t *j = parse(&out);
	CHECK_EQ_Z(jstr(json_object_get(j, "message"), "content"), text);
	CHECK_OK(str_copy(str_from(jstr(json_object_get(j, "answer"), "id")), ret_answer, 27));
}

json_t *fixture_message(struct fixture *f, const char *id)
{
	AUTO_BUF struct buf out = BUF(64 << 20);
	CHECK_OK(chat_message(f->chats, str_from(id), &out, NULL));
	return parse(&out);
}

json_t *fixture_get(struct fixture *f, const char *conversation)
{
	AUTO_BUF struct buf out = BUF(64 << 20);
	CHECK_OK(chat_get(f->chats, str_from(conversation), &out, NULL));
	return parse(&out);
}

json_t *fixture_wait_state(struct fixture *f, const char *id, const char *state)
{
	for (int i = 0; i < 500; i++) {
		json_t *j = fixture_message(f, id);
		if (strcmp(jstr(j, "state"), state) == 0)
			return j;
		json_decref(j);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	FAIL("message never became %s", state);
}
