#include "models/builds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/fault.h"
#include "base/hex.h"
#include "base/json.h"
#include "models/name.h"
#include "os/fd.h"
#include "proto/engine.h"

enum { ID_HASH_LEN = 16, SEEN_MAX = BUILDS_MAX, HASH_PIECE = 256 * 1024, FORMAT = 1 };
#define MANIFEST "engine.json"
#define MODULE "engine.so"
#define LOCAL_PLACE "/usr/local/lib/tresor/engines"

/* A build that was hashed and found whole, and what its files looked like then. */
struct seen {
	char id[LIMIT_ENGINE_ID + 1];
	uint8_t look[SHA256_LEN];
};

struct builds {
	char place[BUILD_PLACES_MAX][BUILD_PATH_MAX];
	size_t n_places;
	uid_t owner; /* of the program */
	struct seen seen[SEEN_MAX];
	size_t next_seen;
	struct build_manifest m; /* of the one that is looked at */
};

/* ---- pure ---- */

static bool is_plain(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (!first && (c == '.' || c == '_' || c == '-' || c == '+'));
}

static bool is_name(struct str s, size_t max)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_plain(s.ptr[i], i == 0))
			return false;
	return s.len && s.len <= max;
}

bool build_id_ok(struct str id)
{
	return is_name(id, LIMIT_ENGINE_ID);
}

bool build_id_of(struct str id, struct str manifest)
{
	uint8_t sum[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];
	sha256_of(manifest.ptr, manifest.len, sum);
	hex_encode(sum, sizeof sum, hex);
	return id.len > ID_HASH_LEN + 1 && id.ptr[id.len - ID_HASH_LEN - 1] == '-' &&
	       str_ends(id, (struct str){ hex, ID_HASH_LEN });
}

static enum err bad(struct err_info *info, const char *what)
{
	return err_set(info, ERR_CORRUPT, "its engine.json is not as it should be: %s", what);
}

static enum err read_text(const json_t *doc, const char *key, char *dst, size_t size)
{
	struct str s = STR_NONE;
	TRY(json_want_str(doc, key, true, &s, NULL));
	return s.len && is_name(s, size - 1) ? str_copy(s, dst, size) : ERR_INVALID;
}

static enum err read_file_row(const char *name, const json_t *sum, struct build_file *ret)
{
	struct str s = { json_string_value(sum), json_string_length(sum) };
	if (!json_is_string(sum) || !digest_ok(s) ||
		!is_name(str_from(name), BUILD_FILE_NAME_MAX) || !strcmp(name, MANIFEST))
		return ERR_INVALID;
	TRY(str_copy(str_from(name), ret->name, sizeof ret->name));
	return str_copy(s, ret->sha256, sizeof ret->sha256);
}

static enum err read_files(const json_t *files, struct build_manifest *m, struct err_info *info)
{
	const char *name;
	json_t *sum;
	bool module = false;
	json_object_foreach((json_t *)(uintptr_t)files, name, sum)
	{
		if (m->n == BUILD_FILES_MAX)
			return bad(info, "too many files");
		if (read_file_row(name, sum, &m->file[m->n]))
			return bad(info, "a file's name or hash");
		module |= !strcmp(m->file[m->n++].name, MODULE);
	}
	return module ? OK : bad(info, "it names no engine.so");
}

enum err build_manifest_read(struct str json, struct build_manifest *ret, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	AUTO_MEM struct build_manifest *m = mem_zalloc(1, sizeof *m);
	int64_t format = 0, proto = 0;
	json_t *files = NULL;
	if (!m)
		return ERR_NOMEM;
	enum err e = json_read(json, BUILD_MANIFEST_MAX, 4, &doc, NULL);
	if (e == ERR_NOMEM)
		return e;
	if (e)
		return bad(info, "no JSON");
	if (json_want_i64(doc, "format", true, FORMAT, FORMAT, &format, NULL))
		return bad(info, "its format");
	if (json_want_i64(doc, "proto", true, 1, INT32_MAX, &proto, NULL))
		return bad(info, "its protocol");
	m->proto = (uint32_t)proto;
	if (read_text(doc, "version", m->version, sizeof m->version) ||
		read_text(doc, "tree", m->tree, sizeof m->tree) ||
		read_text(doc, "variant", m->variant, sizeof m->variant))
		return bad(info, "what it says of the build");
	if (json_want_obj(doc, "files", true, &files, NULL))
		return bad(info, "its files");
	TRY(read_files(files, m, info));
	*ret = *m;
	return OK;
}

/* ---- places ---- */

enum err builds_new(const char *const *places, size_t n, struct builds **ret)
{
	AUTO(builds) struct builds *b = mem_zalloc(1, sizeof *b);
	struct stat st;
	if (!b)
		return ERR_NOMEM;
	if (n > BUILD_PLACES_MAX)
		return ERR_LIMIT;
	for (; b->n_places < n; b->n_places++)
		TRY(str_copy(str_from(places[b->n_places]), b->place[b->n_places],
			sizeof b->place[0]));
	if (!stat("/proc/self/exe", &st))
		b->owner = st.st_uid;
	*ret = TAKE(b);
	return OK;
}

enum err builds_of(const char *module_dir, struct builds **ret)
{
	char beside[BUILD_PATH_MAX];
	TRY(path_join(beside, sizeof beside, module_dir, "engines"));
	const char *const places[] = { LOCAL_PLACE, beside };
	bool system = str_starts(str_from(module_dir), STR("/usr/"));
	return builds_new(system ? places : places + 1, system ? 2 : 1, ret);
}

struct builds *builds_free(struct builds *b)
{
	mem_free(b);
	return NULL;
}

/* `info` stays empty where there is simply none. */
static enum err read_link(const char *place, char ret[LIMIT_ENGINE_ID + 1], struct err_info *info)
{
	char path[BUILD_PATH_MAX], to[LIMIT_ENGINE_ID + 2];
	TRY(path_join(path, sizeof path, place, "current"));
	ssize_t n = readlink(path, to, sizeof to);
	if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
		return ERR_NOT_FOUND;
	if (n < 0 || !build_id_ok((struct str){ to, (size_t)n }))
		return err_set(info, ERR_BUILD,
			"the link that says which engine build is current names none");
	return str_copy((struct str){ to, (size_t)n }, ret, LIMIT_ENGINE_ID + 1);
}

enum err builds_current(struct builds *b, char ret[LIMIT_ENGINE_ID + 1], struct err_info *info)
{
	enum err e = ERR_NOT_FOUND;
	for (size_t i = 0; i < b->n_places && e == ERR_NOT_FOUND; i++)
		e = read_link(b->place[i], ret, info);
	return e == ERR_NOT_FOUND ? err_set(info, ERR_BUILD,
					    "no engine build is current here: the program was not "
					    "installed whole")
				  : e;
}

/* ---- looking at one ---- */

static bool is_trusted(const struct builds *b, const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == b->owner) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static enum err unusable(struct err_info *info, const char *id, const char *why)
{
	return err_set(info, ERR_BUILD,
		"the engine build \"%s\" cannot be used: %s; an administrator can bring it in "
		"again or let the alias take another (tresor engines)",
		id, why);
}

static enum err open_build(
	const struct builds *b, const char *id, char ret_dir[BUILD_PATH_MAX], int *ret_fd)
{
	for (size_t i = 0; i < b->n_places; i++) {
		TRY(path_join(ret_dir, BUILD_PATH_MAX, b->place[i], id));
		enum err e = fd_open(ret_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, ret_fd);
		if (e != ERR_NOT_FOUND)
			return e;
	}
	return ERR_NOT_FOUND;
}

static const struct build_file *file_of(const struct build_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->file[i].name, name))
			return &m->file[i];
	return NULL;
}

/* Nothing may lie there that is not in the manifest: libraries look around beside themselves. */
static const char *stranger_in(int dir, const struct build_manifest *m)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	const char *why = d ? NULL : "its folder cannot be read";
	if (!d && again >= 0)
		(void)close(again);
	for (struct dirent *e; d && !why && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			strcmp(e->d_name, MANIFEST) != 0 && !file_of(m, e->d_name))
			why = "a file is there that does not belong to it";
	if (d)
		(void)closedir(d);
	return why;
}

static void add_look(struct sha256 *h, const struct stat *st)
{
	const int64_t look[] = { (int64_t)st->st_dev, (int64_t)st->st_ino, st->st_size,
		st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec };
	sha256_add(h, look, sizeof look);
}

static const char *check_rights(const struct builds *b, int fd, bool folder, struct sha256 *look)
{
	struct stat st;
	if (fstat(fd, &st))
		return "a file of it cannot be read";
	if (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return "something in it is no plain file";
	if (!is_trusted(b, &st))
		return "others than root and the program's owner may write it";
	if (!folder)
		add_look(look, &st);
	return NULL;
}

static enum err hash_file(int fd, char ret[2 * SHA256_LEN + 1])
{
	AUTO_MEM uint8_t *piece = mem_alloc(HASH_PIECE);
	uint8_t sum[SHA256_LEN];
	struct sha256 h;
	size_t n = 0;
	if (!piece)
		return ERR_NOMEM;
	sha256_init(&h);
	do {
		TRY(fd_read(fd, piece, HASH_PIECE, &n));
		sha256_add(&h, piece, n);
	} while (n);
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, ret);
	return OK;
}

/* Every file of the manifest: whose it is, how it looks, and with `hash` its bytes. *ret_why NULL:
 * as it should be. Errors: ERR_NOMEM. */
static enum err look_at_files(struct builds *b, int dir, bool hash, uint8_t look[SHA256_LEN],
	const char **ret_why)
{
	struct sha256 h;
	const char *why = check_rights(b, dir, true, NULL);
	sha256_init(&h);
	for (size_t i = 0; i < b->m.n && !why; i++) {
		AUTO_FD int fd = -1;
		char hex[2 * SHA256_LEN + 1];
		enum err e = fd_openat(dir, b->m.file[i].name, O_RDONLY | O_NONBLOCK, 0, &fd);
		if (e == ERR_NOMEM)
			return e;
		why = e == ERR_NOT_FOUND ? "a file of it is missing"
		      : e                ? "a file of it cannot be read"
					 : check_rights(b, fd, false, &h);
		if (why || !hash)
			continue;
		e = hash_file(fd, hex);
		if (e == ERR_NOMEM)
			return e;
		if (e)
			why = "a file of it cannot be read";
		else if (strcmp(hex, b->m.file[i].sha256) != 0)
			why = "a file of it is not the one it was made with";
	}
	sha256_end(&h, look);
	*ret_why = why;
	return OK;
}

static enum err read_manifest(
	struct builds *b, const char *id, int dir, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(BUILD_MANIFEST_MAX);
	AUTO_FD int fd = -1;
	struct err_info why = { 0 };
	struct sha256 unused;
	uint64_t size = 0;
	sha256_init(&unused);
	enum err e = fd_openat(dir, MANIFEST, O_RDONLY | O_NONBLOCK, 0, &fd);
	const char *wrong = e ? NULL : check_rights(b, fd, false, &unused);
	if (wrong)
		return unusable(info, id, wrong);
	if (!e)
		e = fd_size(fd, &size);
	if (!e && size <= BUILD_MANIFEST_MAX)
		e = buf_reserve(&text, (size_t)size);
	else if (!e)
		e = ERR_LIMIT;
	if (!e)
		e = fd_read_full(fd, text.ptr, (size_t)size);
	if (e == ERR_NOMEM)
		return e;
	if (e)
		return unusable(info, id, "its engine.json cannot be read");
	text.len = (size_t)size;
	if (!build_id_of(str_from(id), buf_str(&text)))
		return unusable(info, id, "its engine.json is another one's");
	e = build_manifest_read(buf_str(&text), &b->m, &why);
	return e == ERR_CORRUPT ? unusable(info, id, why.detail) : e;
}

static struct seen *seen_of(struct builds *b, const char *id)
{
	for (size_t i = 0; i < SEEN_MAX; i++)
		if (!strcmp(b->seen[i].id, id))
			return &b->seen[i];
	return NULL;
}

static void remember(struct builds *b, const char *id, const uint8_t look[SHA256_LEN])
{
	struct seen *s = seen_of(b, id);
	if (!s)
		s = &b->seen[b->next_seen++ % SEEN_MAX];
	(void)!!str_copy(str_from(id), s->id, sizeof s->id);
	memcpy(s->look, look, SHA256_LEN);
}

static enum err check_files(
	struct builds *b, const char *id, int dir, bool fresh, struct err_info *info)
{
	uint8_t look[SHA256_LEN], after[SHA256_LEN];
	const char *why = stranger_in(dir, &b->m);
	const struct seen *s = seen_of(b, id);
	if (!why)
		TRY(look_at_files(b, dir, false, look, &why));
	if (why)
		return unusable(info, id, why);
	if (!fresh && s && !memcmp(s->look, look, sizeof look))
		return OK;
	TRY(look_at_files(b, dir, true, after, &why));
	if (!why && memcmp(look, after, sizeof look) != 0)
		why = "it was changed while it was looked at";
	if (why)
		return unusable(info, id, why);
	remember(b, id, look);
	return OK;
}

static enum err check(struct builds *b, const char *id, bool fresh, char ret_dir[BUILD_PATH_MAX],
	struct err_info *info)
{
	AUTO_FD int dir = -1;
	char why[120];
	memset(&b->m, 0, sizeof b->m);
	if (!build_id_ok(str_from(id)))
		return unusable(info, "?", "no build is called so");
	enum err e = open_build(b, id, ret_dir, &dir);
	if (e == ERR_NOMEM)
		return e;
	if (e)
		return unusable(info, id,
			e == ERR_NOT_FOUND ? "it is not installed here"
					   : "its folder cannot be read");
	TRY(read_manifest(b, id, dir, info));
	if (b->m.proto != ENGINE_PROTO) {
		snprintf(why, sizeof why, "it speaks protocol %u, this program %d", b->m.proto,
			ENGINE_PROTO);
		return unusable(info, id, why);
	}
	return check_files(b, id, dir, fresh, info);
}

enum err builds_check(
	struct builds *b, const char *id, char ret_dir[BUILD_PATH_MAX], struct err_info *info)
{
	char dir[BUILD_PATH_MAX];
	TRY(check(b, id, false, dir, info));
	memcpy(ret_dir, dir, sizeof dir);
	return OK;
}

bool builds_have(struct builds *b, const char *id, const char *library)
{
	AUTO_FD int dir = -1;
	char path[BUILD_PATH_MAX];
	struct err_info unused = { 0 };
	size_t len = strlen(library);
	memset(&b->m, 0, sizeof b->m);
	if (!build_id_ok(str_from(id)) || open_build(b, id, path, &dir) ||
		read_manifest(b, id, dir, &unused))
		return false;
	for (size_t i = 0; i < b->m.n; i++) {
		const char *name = b->m.file[i].name;
		if (!strncmp(name, library, len) && (!name[len] || name[len] == '.'))
			return true;
	}
	return false;
}

/* ---- all of them ---- */

static bool is_listed(const struct build *list, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].id, id))
			return true;
	return false;
}

static void describe(struct builds *b, bool fresh, const char *id, struct build *ret)
{
	char dir[BUILD_PATH_MAX];
	struct err_info info = { 0 };
	*ret = (struct build){ .err = check(b, id, fresh, dir, &info) };
	memcpy(ret->id, id, strlen(id) + 1);
	snprintf(ret->why, sizeof ret->why, "%s", ret->err ? info.detail : "");
	memcpy(ret->version, b->m.version, sizeof ret->version);
	memcpy(ret->tree, b->m.tree, sizeof ret->tree);
	memcpy(ret->variant, b->m.variant, sizeof ret->variant);
	ret->proto = b->m.proto;
}

static size_t list_place(
	struct builds *b, const char *place, bool fresh, struct build *ret, size_t n, size_t max)
{
	DIR *d = opendir(place);
	for (struct dirent *e; d && n < max && (e = readdir(d));) {
		struct stat st;
		if (!build_id_ok(str_from(e->d_name)) ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
			!S_ISDIR(st.st_mode) || is_listed(ret, n, e->d_name))
			continue;
		describe(b, fresh, e->d_name, &ret[n++]);
	}
	if (d)
		(void)closedir(d);
	return n;
}

static int by_id(const void *a, const void *b)
{
	const struct build *x = a, *y = b;
	return strcmp(x->id, y->id);
}

size_t builds_list(struct builds *b, bool fresh, struct build *ret, size_t max)
{
	char current[LIMIT_ENGINE_ID + 1] = "";
	size_t n = 0;
	for (size_t i = 0; i < b->n_places; i++)
		n = list_place(b, b->place[i], fresh, ret, n, max);
	if (builds_current(b, current, NULL))
		current[0] = '\0';
	if (current[0] && n < max && !is_listed(ret, n, current))
		describe(b, fresh, current, &ret[n++]); /* the link names what is not there */
	for (size_t i = 0; i < n; i++)
		ret[i].current = !strcmp(ret[i].id, current);
	if (n)
		qsort(ret, n, sizeof *ret, by_id);
	return n;
}
