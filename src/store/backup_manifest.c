#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/json.h"
#include "base/time.h"
#include "os/fd.h"
#include "store/backup_int.h"

/* The file is one JSON object and a newline. Its last member is the HMAC over every byte before it,
 * so it is checked on the raw bytes before anything is parsed. */

#define HMAC_BEGIN ",\"hmac\":\""
#define HMAC_END "\"}\n"

enum err manifest_new(struct manifest **ret)
{
	AUTO(manifest) struct manifest *m = mem_zalloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	TRY(arena_new(BACKUP_MANIFEST_MAX, &m->mem));
	*ret = TAKE(m);
	return OK;
}

struct manifest *manifest_free(struct manifest *m)
{
	if (m) {
		arena_free(m->mem);
		mem_free(m->files);
	}
	mem_free(m);
	return NULL;
}

static bool component_ok(struct str c)
{
	if (!c.len || str_eq(c, STR(".")) || str_eq(c, STR("..")))
		return false;
	for (size_t i = 0; i < c.len; i++) {
		char x = c.ptr[i];
		if (!((x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') ||
		      (x && strchr("._:@+=-", x))))
			return false;
	}
	return true;
}

bool manifest_name_ok(struct str name)
{
	struct str rest = name, part;
	if (!name.len || name.len > BACKUP_NAME_MAX || name.ptr[0] == '/' ||
	    name.ptr[name.len - 1] == '/')
		return false;
	while (str_next(&rest, '/', &part))
		if (!component_ok(part))
			return false;
	return true;
}

enum err manifest_add(struct manifest *m, struct str name, uint64_t size, const char *sha256)
{
	if (!manifest_name_ok(name))
		return ERR_INVALID;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 256;
		if (cap > 2 * (size_t)BACKUP_FILES_MAX)
			return ERR_LIMIT;
		struct manifest_file *more = mem_realloc(m->files, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		m->files = more;
		m->cap = cap;
	}
	struct manifest_file *f = &m->files[m->n];
	f->name = arena_str(m->mem, name);
	f->size = size;
	if (!f->name)
		return ERR_NOMEM;
	memcpy(f->sha256, sha256, HEX_LEN + 1);
	m->n++;
	return OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct manifest_file *)a)->name,
		      ((const struct manifest_file *)b)->name);
}

void manifest_sort(struct manifest *m)
{
	if (m->n)
		qsort(m->files, m->n, sizeof m->files[0], by_name);
}

const struct manifest_file *backup_manifest_find(const struct manifest *m, const char *name)
{
	struct manifest_file key = { .name = (char *)name };
	return m->n ? bsearch(&key, m->files, m->n, sizeof key, by_name) : NULL;
}

/* ---- writing ---- */

static enum err manifest_text(struct manifest *m, const char *build, const uint8_t key[KEY_LEN],
			      struct buf *out)
{
	uint8_t mac[SHA256_LEN];
	char hex[HEX_LEN + 1];
	struct jw w;
	manifest_sort(m); /* the same content gives the same text */
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "format", 1);
	jw_ki64(&w, "made_ms", m->made_ms);
	jw_kstr(&w, "build", str_from(build ? build : ""));
	jw_key(&w, "files");
	jw_arr(&w);
	for (size_t i = 0; i < m->n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", str_from(m->files[i].name));
		jw_key(&w, "size");
		jw_u64(&w, m->files[i].size);
		jw_kstr(&w, "sha256", str_from(m->files[i].sha256));
		jw_end(&w);
	}
	jw_end(&w);
	TRY(out->err);
	hmac_of(key, out->ptr, out->len, mac);
	hex_encode(mac, sizeof mac, hex);
	return buf_addf(out, HMAC_BEGIN "%s" HMAC_END, hex);
}

enum err backup_manifest_write(struct manifest *m, const char *target, const char *build,
			const uint8_t key[KEY_LEN], char ret_name[BACKUP_MANIFEST_NAME])
{
	AUTO_BUF struct buf text = BUF(BACKUP_MANIFEST_MAX);
	char at[TIME_RFC3339_LEN], path[BACKUP_PATH_MAX];
	m->made_ms = time_now_ms();
	time_rfc3339(m->made_ms, at);
	snprintf(ret_name, BACKUP_MANIFEST_NAME, "manifest-%.4s%.2s%.2sT%.2s%.2s%.2s%.3sZ.json", at,
		 at + 5, at + 8, at + 11, at + 14, at + 17, at + 20);
	TRY(manifest_text(m, build, key, &text));
	TRY(path_join(path, sizeof path, target, ret_name));
	return file_write_atomic(path, buf_str(&text), 0600);
}

/* ---- reading ---- */

static enum err find_newest(const char *source, char ret[BACKUP_MANIFEST_NAME])
{
	DIR *d = opendir(source);
	struct dirent *e;
	if (!d)
		return ERR_NOT_FOUND;
	ret[0] = '\0';
	while ((e = readdir(d))) {
		struct str s = str_from(e->d_name);
		if (str_starts(s, STR("manifest-")) && str_ends(s, STR("Z.json")) &&
		    s.len < BACKUP_MANIFEST_NAME && strcmp(e->d_name, ret) > 0)
			(void)str_copy(s, ret, BACKUP_MANIFEST_NAME);
	}
	closedir(d);
	return ret[0] ? OK : ERR_NOT_FOUND;
}

static enum err authentic(struct str text, const uint8_t key[KEY_LEN])
{
	const size_t tail = sizeof HMAC_BEGIN - 1 + HEX_LEN + sizeof HMAC_END - 1;
	uint8_t mac[SHA256_LEN], want[SHA256_LEN];
	if (text.len < tail)
		return ERR_KEY;
	struct str end = str_sub(text, text.len - tail, tail);
	if (!str_starts(end, STR(HMAC_BEGIN)) || !str_ends(end, STR(HMAC_END)) ||
	    hex_decode(str_sub(end, sizeof HMAC_BEGIN - 1, HEX_LEN), mac, sizeof mac))
		return ERR_KEY;
	hmac_of(key, text.ptr, text.len - tail, want);
	return ct_equal(mac, want, sizeof mac) ? OK : ERR_KEY;
}

static enum err read_file(struct manifest *m, const json_t *v)
{
	struct str name = STR_NONE, sum = STR_NONE;
	uint8_t raw[SHA256_LEN];
	char hex[HEX_LEN + 1];
	int64_t size = 0;
	TRY(json_want_str(v, "name", true, &name, NULL));
	TRY(json_want_i64(v, "size", true, 0, INT64_MAX, &size, NULL));
	TRY(json_want_str(v, "sha256", true, &sum, NULL));
	TRY(hex_decode(sum, raw, sizeof raw));
	hex_encode(raw, sizeof raw, hex);
	return manifest_add(m, name, (uint64_t)size, hex);
}

static enum err parse_into(struct manifest *m, struct str text)
{
	AUTO_JSON json_t *j = NULL;
	json_t *files = NULL;
	int64_t format = 0;
	TRY(json_read(text, BACKUP_MANIFEST_MAX, 8, &j, NULL));
	TRY(json_want_i64(j, "format", true, 1, 1, &format, NULL));
	TRY(json_want_i64(j, "made_ms", true, 0, INT64_MAX, &m->made_ms, NULL));
	TRY(json_want_arr(j, "files", true, &files, NULL));
	for (size_t i = 0; i < json_array_size(files); i++)
		TRY(read_file(m, json_array_get(files, i)));
	manifest_sort(m);
	for (size_t i = 1; i < m->n; i++)
		if (strcmp(m->files[i - 1].name, m->files[i].name) == 0)
			return ERR_CORRUPT;
	return OK;
}

enum err manifest_parse(struct str text, struct manifest **ret)
{
	AUTO(manifest) struct manifest *m = NULL;
	TRY(manifest_new(&m));
	enum err e = parse_into(m, text);
	if (e)
		return e == ERR_NOMEM ? e : ERR_CORRUPT;
	*ret = TAKE(m);
	return OK;
}

enum err backup_manifest_read(const char *source, const char *name, const uint8_t *key,
		       struct manifest **ret, char ret_name[BACKUP_MANIFEST_NAME])
{
	AUTO_BUF struct buf text = BUF(BACKUP_MANIFEST_MAX);
	char path[BACKUP_PATH_MAX];
	if (name) {
		if (strchr(name, '/') || str_copy(str_from(name), ret_name, BACKUP_MANIFEST_NAME))
			return ERR_NOT_FOUND;
	} else {
		TRY(find_newest(source, ret_name));
	}
	TRY(path_join(path, sizeof path, source, ret_name));
	TRY(file_read(path, &text));
	if (key)
		TRY(authentic(buf_str(&text), key));
	return manifest_parse(buf_str(&text), ret);
}

/* ---- objects ---- */

enum err object_path(const char *backup, const char *sha256, char *folder, char *path)
{
	int n = snprintf(folder, BACKUP_PATH_MAX, "%s/objects/%.2s", backup, sha256);
	if (n < 0 || n + HEX_LEN + 40 >= BACKUP_PATH_MAX)
		return ERR_LIMIT;
	snprintf(path, BACKUP_PATH_MAX, "%s/%s", folder, sha256 + 2);
	return OK;
}

enum err copy_hashed(int from, int to, uint64_t max_bytes, uint64_t *ret_size,
		     char ret_sha256[HEX_LEN + 1])
{
	AUTO_MEM char *piece = mem_alloc(BACKUP_PIECE);
	uint64_t size = 0, left = max_bytes ? max_bytes : UINT64_MAX;
	uint8_t sum[SHA256_LEN];
	struct sha256 h;
	size_t n = 1;
	if (!piece)
		return ERR_NOMEM;
	sha256_init(&h);
	while (n && left) {
		TRY(fd_read(from, piece, left < BACKUP_PIECE ? (size_t)left : BACKUP_PIECE, &n));
		sha256_add(&h, piece, n);
		if (to >= 0)
			TRY(fd_write_full(to, piece, n));
		size += n;
		left -= n;
	}
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, ret_sha256);
	*ret_size = size;
	return OK;
}
