#include "vault/audit_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/hex.h"
#include "os/fd.h"

enum { SCAN_BLOCK = 64 * 1024, HEAD_MAX = 256, FILES_MAX = 99999999 };
#define HEAD_TITLE "tresor audit head 1"

void audit_keys_make(const uint8_t key[KEY_LEN], struct audit_keys *ret)
{
	key_derive(key, "audit chain", ret->chain);
	key_derive(key, "audit seal", ret->seal);
	key_derive(key, "audit head", ret->head);
}

enum err audit_path(const char *data_dir, const char *name, char ret[AUDIT_PATH_MAX])
{
	char dir[AUDIT_PATH_MAX];
	TRY(path_join(dir, sizeof dir, data_dir, "audit"));
	return path_join(ret, AUDIT_PATH_MAX, dir, name);
}

enum err audit_file_path(const char *data_dir, unsigned number, char ret[AUDIT_PATH_MAX])
{
	char name[32];
	(void)snprintf(name, sizeof name, "%08u.log", number);
	return audit_path(data_dir, name, ret);
}

/* 0: not a file of the log. */
static unsigned file_number(const char *name)
{
	struct str s = str_from(name);
	uint64_t n;
	if (s.len != 12 || !str_ends(s, STR(".log")) || str_to_u64(str_sub(s, 0, 8), &n))
		return 0;
	return (unsigned)n;
}

enum err audit_files_count(const char *data_dir, unsigned *ret, struct err_info *info)
{
	char path[AUDIT_PATH_MAX];
	unsigned n = 0, highest = 0;
	TRY(audit_path(data_dir, ".", path));
	DIR *d = fault_hit(FAULT_SYSCALL) ? NULL : opendir(path);
	if (!d)
		return err_from_errno(errno);
	errno = 0;
	for (struct dirent *e; (e = readdir(d));) {
		unsigned number = file_number(e->d_name);
		n += number > 0;
		highest = number > highest ? number : highest;
	}
	enum err e = errno ? err_from_errno(errno) : OK;
	(void)closedir(d);
	TRY(e);
	if (n != highest)
		return err_set(info, ERR_CORRUPT, "%u of the %u files of the audit log are missing",
			       highest - n, highest);
	*ret = n;
	return OK;
}

/* ---- the checkpoint: "title\nSEQ MAC\nHMAC of both lines\n" ---- */

static enum err head_body(const struct audit_head *head, struct buf *out)
{
	char hex[2 * AUDIT_MAC_LEN + 1];
	hex_encode(head->mac, sizeof head->mac, hex);
	return buf_addf(out, HEAD_TITLE "\n%" PRIu64 " %s\n", head->seq, hex);
}

enum err audit_head_write(const char *data_dir, const struct audit_keys *k,
			  const struct audit_head *head)
{
	AUTO_BUF struct buf text = BUF(HEAD_MAX);
	char path[AUDIT_PATH_MAX], hex[2 * SHA256_LEN + 1];
	uint8_t mac[SHA256_LEN];
	TRY(head_body(head, &text));
	hmac_of(k->head, text.ptr, text.len, mac);
	hex_encode(mac, sizeof mac, hex);
	TRY(buf_addf(&text, "%s\n", hex));
	TRY(audit_path(data_dir, "head", path));
	return file_write_atomic(path, buf_str(&text), 0600);
}

enum err audit_head_read(const char *data_dir, const struct audit_keys *k, struct audit_head *ret)
{
	AUTO_BUF struct buf text = BUF(HEAD_MAX);
	AUTO_BUF struct buf again = BUF(HEAD_MAX);
	char path[AUDIT_PATH_MAX];
	struct str rest, line, seq;
	struct audit_head head;
	uint8_t mac[SHA256_LEN], stored[SHA256_LEN];
	TRY(audit_path(data_dir, "head", path));
	enum err e = file_read(path, &text);
	if (e)
		return e == ERR_LIMIT ? ERR_CORRUPT : e;
	rest = buf_str(&text);
	if (!str_next(&rest, '\n', &line) || !str_eq(line, STR(HEAD_TITLE)) ||
	    !str_next(&rest, '\n', &line) || !str_next(&line, ' ', &seq) ||
	    str_to_u64(seq, &head.seq) || hex_decode(line, head.mac, sizeof head.mac))
		return ERR_CORRUPT;
	if (!str_next(&rest, '\n', &line) || hex_decode(line, stored, sizeof stored) || rest.len)
		return ERR_CORRUPT;
	TRY(head_body(&head, &again)); /* one spelling only: what we would have written */
	if (!str_starts(buf_str(&text), buf_str(&again)))
		return ERR_CORRUPT;
	hmac_of(k->head, again.ptr, again.len, mac);
	if (!ct_equal(mac, stored, sizeof mac))
		return ERR_KEY;
	char hex[2 * SHA256_LEN + 1];
	hex_encode(mac, sizeof mac, hex);
	TRY(buf_addf(&again, "%s\n", hex));
	if (!str_eq(buf_str(&text), buf_str(&again)))
		return ERR_CORRUPT;
	*ret = head;
	return OK;
}

/* ---- lines ---- */

/* Hands whole lines of `text` to fn; *used counts the bytes taken. */
static enum err lines(struct str text, uint64_t at, audit_line_fn fn, void *arg, size_t *used)
{
	*used = 0;
	for (;;) {
		size_t end = str_find_byte(text, '\n', *used);
		if (end == SIZE_MAX)
			return text.len - *used > AUDIT_LINE_MAX ? ERR_CORRUPT : OK;
		TRY(fn(arg, str_sub(text, *used, end - *used), at + *used));
		*used = end + 1;
	}
}

enum err audit_scan(int fd, uint64_t at, audit_line_fn fn, void *arg, uint64_t *ret_end)
{
	AUTO_BUF struct buf b = BUF(SCAN_BLOCK + AUDIT_LINE_MAX);
	*ret_end = at;
	if (lseek(fd, (off_t)at, SEEK_SET) < 0)
		return err_from_errno(errno);
	TRY(buf_reserve(&b, b.max));
	for (;;) {
		size_t got, used;
		TRY(fd_read(fd, b.ptr + b.len, SCAN_BLOCK, &got));
		if (got == 0)
			return OK;
		b.len += got;
		enum err e = lines(buf_str(&b), *ret_end, fn, arg, &used);
		*ret_end += used;
		if (e)
			return e;
		buf_drop_front(&b, used);
	}
}

struct first { uint64_t seq; bool found; };

static enum err take_first(void *arg, struct str line, uint64_t at)
{
	struct first *f = arg;
	struct audit_record rec;
	uint8_t mac[AUDIT_MAC_LEN];
	TRY(audit_line_parse(line, &rec, mac));
	f->seq = rec.seq;
	f->found = true;
	return ERR_AGAIN; /* enough */
}

enum err audit_file_first(const char *data_dir, unsigned number, uint64_t *ret_seq)
{
	char path[AUDIT_PATH_MAX];
	struct first f = { .found = false };
	AUTO_FD int fd = -1;
	uint64_t end;
	TRY(audit_file_path(data_dir, number, path));
	TRY(fd_open(path, O_RDONLY, 0, &fd));
	enum err e = audit_scan(fd, 0, take_first, &f, &end);
	if (f.found) {
		*ret_seq = f.seq;
		return OK;
	}
	return e ? e : ERR_NOT_FOUND;
}

enum err audit_file_last(const char *data_dir, unsigned number, struct audit_head *ret)
{
	char path[AUDIT_PATH_MAX], tail[AUDIT_LINE_MAX + 2];
	struct audit_record rec;
	struct stat st;
	AUTO_FD int fd = -1;
	TRY(audit_file_path(data_dir, number, path));
	TRY(fd_open(path, O_RDONLY, 0, &fd));
	if (fstat(fd, &st) != 0)
		return err_from_errno(errno);
	size_t n = st.st_size < (off_t)sizeof tail ? (size_t)st.st_size : sizeof tail;
	if (n == 0)
		return ERR_NOT_FOUND;
	TRY(fd_pread_full(fd, tail, n, (uint64_t)st.st_size - n));
	struct str line = { tail, n };
	if (tail[n - 1] != '\n')
		return ERR_CORRUPT;
	line.len--;
	for (size_t at; (at = str_find_byte(line, '\n', 0)) != SIZE_MAX;)
		line = str_sub(line, at + 1, SIZE_MAX);
	TRY(audit_line_parse(line, &rec, ret->mac));
	ret->seq = rec.seq;
	return OK;
}

enum err audit_walk_line(void *arg, struct str line, uint64_t at)
{
	struct audit_walk *w = arg;
	struct audit_record rec;
	TRY(audit_chain_check(w->chain, line, &rec));
	w->last_ms = rec.at_ms;
	struct audit_head head = audit_chain_head(w->chain);
	if (head.seq == w->checkpoint->seq &&
	    !ct_equal(head.mac, w->checkpoint->mac, sizeof head.mac)) {
		w->not_the_checkpoint = true;
		return ERR_CORRUPT;
	}
	return OK;
}

enum err audit_is_torn(int fd, uint64_t end, uint64_t size, bool *ret)
{
	AUTO_BUF struct buf b = BUF(AUDIT_TAIL_MAX);
	*ret = false;
	if (size - end > AUDIT_TAIL_MAX)
		return OK;
	TRY(buf_add_zeros(&b, size - end));
	TRY(fd_pread_full(fd, b.ptr, b.len, end));
	size_t line = str_find_byte(buf_str(&b), '\n', 0);
	size_t nul = str_find_byte(buf_str(&b), 0, 0);
	if (line == SIZE_MAX)
		*ret = b.len <= AUDIT_LINE_MAX || nul != SIZE_MAX;
	else
		*ret = nul < line;
	return OK;
}
