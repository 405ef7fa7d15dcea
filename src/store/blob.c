#include "store/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/random.h"
#include "os/fd.h"

/* File: 8 bytes of magic, then chunks of at most 64 KiB plain text, each sealed on its own. The
 * authenticated data of a chunk is the blob's id, the chunk's number and whether it is the last, so
 * chunks cannot be cut off, swapped, or taken from another blob. An empty blob has one empty chunk.
 * */

enum { CHUNK = 64 * 1024, MAGIC_LEN = 8, PATH_MAX_ = 1024 };
static const char magic[MAGIC_LEN] = { 'T', 'R', 'B', 'L', 'O', 'B', '0', '1' };

struct blobs {
	char dir[PATH_MAX_ - BLOB_ID_LEN - 64];
	uint8_t blob_key[KEY_LEN], name_key[KEY_LEN];
};

enum err blobs_open(const char *dir, const uint8_t blob_key[KEY_LEN],
		    const uint8_t name_key[KEY_LEN], struct blobs **ret)
{
	AUTO(blobs) struct blobs *b = mem_zalloc(1, sizeof *b);
	if (!b)
		return ERR_NOMEM;
	TRY(str_copy(str_from(dir), b->dir, sizeof b->dir));
	memcpy(b->blob_key, blob_key, KEY_LEN);
	memcpy(b->name_key, name_key, KEY_LEN);
	TRY(dir_make(dir, 0700));
	*ret = TAKE(b);
	return OK;
}

struct blobs *blobs_free(struct blobs *b)
{
	if (b)
		wipe(b, sizeof *b);
	mem_free(b);
	return NULL;
}

static bool id_good(const char *id)
{
	size_t n = strlen(id);
	return n == BLOB_ID_LEN && strspn(id, "0123456789abcdef") == n;
}

static void folder_of(const struct blobs *b, const char *id, char dst[PATH_MAX_])
{
	snprintf(dst, PATH_MAX_, "%s/%.2s", b->dir, id);
}

static void path_of(const struct blobs *b, const char *id, char dst[PATH_MAX_])
{
	snprintf(dst, PATH_MAX_, "%s/%.2s/%s", b->dir, id, id + 2);
}

struct chunk_ad {
	char bytes[BLOB_ID_LEN + 8 + 1];
};

static struct str chunk_ad(struct chunk_ad *ad, const char *id, uint64_t number, bool last)
{
	memcpy(ad->bytes, id, BLOB_ID_LEN);
	for (int i = 0; i < 8; i++)
		ad->bytes[BLOB_ID_LEN + i] = (char)(number >> 8 * i);
	ad->bytes[BLOB_ID_LEN + 8] = last;
	return (struct str){ ad->bytes, sizeof ad->bytes };
}

static enum err write_chunks(const struct blobs *b, const char *id, struct str content, int fd)
{
	AUTO_BUF struct buf sealed = BUF(CHUNK + SEAL_EXTRA);
	struct chunk_ad ad;
	uint64_t number = 0;
	size_t at = 0;
	TRY(fd_write_full(fd, magic, sizeof magic));
	do {
		struct str part = str_sub(content, at, CHUNK);
		at += part.len;
		buf_clear(&sealed);
		TRY(seal(b->blob_key, chunk_ad(&ad, id, number++, at == content.len), part,
			&sealed));
		TRY(fd_write_full(fd, sealed.ptr, sealed.len));
	} while (at < content.len);
	return fd_sync(fd);
}

static enum err put_file(const struct blobs *b, const char *id, struct str content,
			 const char *part, const char *path)
{
	AUTO_FD int fd = -1;
	TRY(fd_open(part, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd));
	enum err e = write_chunks(b, id, content, fd);
	if (!e && rename(part, path))
		e = err_from_errno(errno);
	if (e)
		(void)unlink(part);
	return e;
}

enum err blob_put(struct blobs *b, struct str content, char ret_id[BLOB_ID_LEN + 1])
{
	uint8_t mac[SHA256_LEN];
	char id[BLOB_ID_LEN + 1], folder[PATH_MAX_], path[PATH_MAX_], part[PATH_MAX_ + 32];
	struct stat st;
	hmac_of(b->name_key, content.ptr, content.len, mac);
	hex_encode(mac, sizeof mac, id);
	folder_of(b, id, folder);
	path_of(b, id, path);
	if (stat(path, &st)) { /* the same content is stored once */
		char unique[ID_LEN + 1];
		id_new(unique);
		snprintf(part, sizeof part, "%s/.%s", folder, unique);
		TRY(dir_make(folder, 0700));
		TRY(put_file(b, id, content, part, path));
		TRY(fd_sync_dir(folder));
		TRY(fd_sync_dir(b->dir)); /* the folder may be new */
	}
	memcpy(ret_id, id, sizeof id);
	return OK;
}

static enum err read_chunks(const struct blobs *b, const char *id, int fd, uint64_t size,
			    struct buf *out)
{
	AUTO_BUF struct buf sealed = BUF(CHUNK + SEAL_EXTRA);
	struct chunk_ad ad;
	uint64_t number = 0, left = size - MAGIC_LEN;
	char head[MAGIC_LEN];
	TRY(fd_read_full(fd, head, sizeof head));
	if (memcmp(head, magic, sizeof magic) != 0)
		return ERR_CORRUPT;
	do {
		size_t n = left < CHUNK + SEAL_EXTRA ? (size_t)left : CHUNK + SEAL_EXTRA;
		buf_clear(&sealed);
		TRY(buf_add_zeros(&sealed, n));
		TRY(fd_read_full(fd, sealed.ptr, n));
		left -= n;
		TRY(unseal(b->blob_key, chunk_ad(&ad, id, number++, left == 0), buf_str(&sealed),
			out));
	} while (left);
	return OK;
}

enum err blob_get(struct blobs *b, const char *id, struct buf *out)
{
	char path[PATH_MAX_];
	AUTO_FD int fd = -1;
	struct stat st;
	size_t start = out->len;
	if (!id_good(id))
		return ERR_NOT_FOUND;
	path_of(b, id, path);
	TRY(fd_open(path, O_RDONLY, 0, &fd));
	if (fstat(fd, &st))
		return err_from_errno(errno);
	if (st.st_size < MAGIC_LEN + SEAL_EXTRA)
		return ERR_CORRUPT;
	enum err e = read_chunks(b, id, fd, (uint64_t)st.st_size, out);
	if (e)
		buf_cut(out, start); /* never a part of a file */
	return e;
}

enum err blob_delete(struct blobs *b, const char *id)
{
	char path[PATH_MAX_], folder[PATH_MAX_];
	if (!id_good(id))
		return ERR_NOT_FOUND;
	path_of(b, id, path);
	folder_of(b, id, folder);
	if (unlink(path))
		return err_from_errno(errno);
	return fd_sync_dir(folder);
}
