#include "vault/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/time.h"
#include "os/fd.h"
#include "vault/audit_files.h"

/* States: open (fd >= 0, broken OK) -> broken (an append failed; only reading works) -> closed.
 * Invariant while open: the chain's head is the last record on disk, and all of it is durable. */
struct audit_log {
	char dir[AUDIT_PATH_MAX];    /* the data directory */
	struct audit_keys keys;
	struct audit_chain *chain;
	struct audit_head checkpoint;/* as stored */
	size_t file_bytes;
	unsigned files;              /* the last one is being written */
	uint64_t *first;             /* first record of each file, also of one still empty */
	int fd;                      /* of the last file */
	uint64_t size;               /* of the last file */
	enum err broken;
	bool appended;               /* by us: closing brings the checkpoint up to date */
	bool opened;                 /* loaded: on disk, what is behind size is not ours */
	/* Offsets of the lines of one file, for reading backwards. */
	struct { unsigned file; uint64_t *at; size_t n, cap; uint64_t end; } index;
};

enum { FILE_BYTES = 8 * 1024 * 1024, SEALED_TEXT_MAX = AUDIT_SEALED_MAX };

static enum err bad_record(struct err_info *info, uint64_t seq)
{
	(void)err_set(info, ERR_CORRUPT,
		      "record %" PRIu64 " of the audit log is damaged or missing", seq);
	err_hint(info, "run `tresor audit verify`, keep a copy of the folder, restore a backup");
	return ERR_CORRUPT;
}

/* ---- opening ---- */

static enum err first_add(struct audit_log *l, uint64_t seq)
{
	uint64_t *more = mem_realloc(l->first, (l->files + 1) * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	l->first = more;
	l->first[l->files++] = seq;
	return OK;
}

/* Makes the next file. `seq` is its first record. Takes over l->fd. */
static enum err file_new(struct audit_log *l, uint64_t seq)
{
	char path[AUDIT_PATH_MAX], folder[AUDIT_PATH_MAX];
	AUTO_FD int fd = -1;
	TRY(audit_file_path(l->dir, l->files + 1, path));
	TRY(audit_path(l->dir, ".", folder));
	TRY(fd_open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0600, &fd));
	enum err e = fd_sync_dir(folder);
	if (!e)
		e = first_add(l, seq);
	if (e) {
		(void)unlink(path);
		return e;
	}
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = TAKE_FD(fd);
	l->size = 0;
	return OK;
}

static enum err create(struct audit_log *l)
{
	char path[AUDIT_PATH_MAX];
	struct audit_head none = { .seq = 0 };
	TRY(audit_path(l->dir, ".", path));
	TRY(dir_make(path, 0700));
	/* The checkpoint last: with it, the log has begun, and losing the file is found. */
	TRY(file_new(l, 1));
	return audit_head_write(l->dir, &l->keys, &none);
}

static enum err read_firsts(struct audit_log *l, unsigned files, struct err_info *info)
{
	uint64_t seq = 1;
	for (unsigned i = 1; i <= files; i++) {
		enum err e = audit_file_first(l->dir, i, &seq);
		if (i == files && (e == ERR_NOT_FOUND || e == ERR_CORRUPT))
			seq = 0; /* empty or torn: check() decides and finds the number */
		else if (e)
			return e == ERR_CORRUPT || e == ERR_NOT_FOUND
				       ? err_set(info, ERR_CORRUPT, "file %u of the audit log is "
						 "damaged", i)
				       : e;
		TRY(first_add(l, seq));
	}
	return OK;
}

/* The file to start checking at, and the head before it: the last file that begins no later than
 * just behind the checkpoint. */
static enum err start_at(struct audit_log *l, unsigned *ret_file, struct err_info *info)
{
	struct audit_head head = { .seq = 0 };
	unsigned at = l->files;
	while (at > 1 && (l->first[at - 1] == 0 || l->first[at - 1] > l->checkpoint.seq + 1))
		at--;
	if (at > 1 && l->first[at - 1] == l->checkpoint.seq + 1)
		head = l->checkpoint;
	else if (at > 1)
		/* Not proven by itself, but the first MAC of the file that follows covers it. */
		if (audit_file_last(l->dir, at - 1, &head))
			return bad_record(info, l->first[at - 1] - 1);
	audit_chain_set(l->chain, &head);
	*ret_file = at;
	return OK;
}

/* Cuts the last file off at `end`, durably. */
static enum err cut_at(struct audit_log *l, uint64_t end)
{
	if (fault_hit(FAULT_SYSCALL) || ftruncate(l->fd, (off_t)end) != 0)
		return err_from_errno(errno);
	TRY(fd_sync(l->fd));
	l->size = end;
	return OK;
}

/* Checks one file and everything in it. Only the last one may end in a torn write. */
static enum err check_file(struct audit_log *l, unsigned number, uint64_t *ret_end,
			   struct err_info *info)
{
	char path[AUDIT_PATH_MAX];
	struct stat st;
	bool last = number == l->files, torn = false;
	struct audit_walk w = { .chain = l->chain, .checkpoint = &l->checkpoint };
	AUTO_FD int fd = -1;
	TRY(audit_file_path(l->dir, number, path));
	TRY(fd_open(path, last ? O_RDWR | O_APPEND : O_RDONLY, 0, &fd));
	if (fstat(fd, &st) != 0)
		return err_from_errno(errno);
	enum err e = audit_scan(fd, 0, audit_walk_line, &w, ret_end);
	uint64_t size = (uint64_t)st.st_size, next = audit_chain_head(l->chain).seq + 1;
	if (e && e != ERR_CORRUPT)
		return e;
	if (w.not_the_checkpoint)
		return bad_record(info, next - 1);
	if (last && *ret_end < size)
		TRY(audit_is_torn(fd, *ret_end, size, &torn));
	if (!torn && (e || *ret_end < size))
		return bad_record(info, next);
	if (last) {
		l->fd = TAKE_FD(fd);
		l->size = size;
	}
	return OK;
}

/* Reads from the checkpoint on; writes nothing. */
static enum err check(struct audit_log *l, uint64_t *ret_end, struct err_info *info)
{
	unsigned at = 1;
	TRY(start_at(l, &at, info));
	for (; at <= l->files; at++)
		TRY(check_file(l, at, ret_end, info));
	uint64_t last = audit_chain_head(l->chain).seq;
	if (last < l->checkpoint.seq) {
		(void)err_set(info, ERR_CORRUPT, "the audit log ends at record %" PRIu64
			       ", its checkpoint knows %" PRIu64, last, l->checkpoint.seq);
		err_hint(info, "records were cut off: run `tresor audit verify`, restore a backup");
		return ERR_CORRUPT;
	}
	if (l->first[l->files - 1] == 0 || *ret_end == 0)
		l->first[l->files - 1] = last + 1;
	return OK;
}

static enum err load(struct audit_log *l, bool may_create, struct err_info *info)
{
	unsigned files = 0;
	uint64_t end = 0, cut = 0;
	enum err e = audit_files_count(l->dir, &files, info);
	if (e && e != ERR_NOT_FOUND)
		return e;
	enum err h = audit_head_read(l->dir, &l->keys, &l->checkpoint);
	if (h == ERR_NOT_FOUND && may_create) {
		/* A first start that did not get as far as the checkpoint left at most an empty
		 * file behind. */
		uint64_t seq;
		if (files > 1 || (files == 1 && audit_file_first(l->dir, 1, &seq) != ERR_NOT_FOUND))
			return err_set(info, ERR_CORRUPT, "the audit log has lost its checkpoint");
		char path[AUDIT_PATH_MAX];
		TRY(audit_file_path(l->dir, 1, path));
		if (files == 1 && unlink(path) != 0)
			return err_from_errno(errno);
		return create(l);
	}
	if (h == ERR_NOT_FOUND)
		return err_set(info, ERR_CORRUPT, files ? "the audit log has lost its checkpoint"
							: "the audit log is missing");
	if (h == ERR_KEY || h == ERR_CORRUPT)
		return err_set(info, h, "the checkpoint of the audit log is damaged");
	TRY(h);
	if (files == 0)
		return err_set(info, ERR_CORRUPT, "the files of the audit log are missing");
	TRY(read_firsts(l, files, info));
	TRY(check(l, &end, info));
	cut = l->size - end;
	if (cut)
		TRY(cut_at(l, end));
	if (cut) {
		char text[128];
		(void)snprintf(text, sizeof text, "{\"action\":\"audit.torn\",\"outcome\":\"ok\","
			       "\"note\":\"%" PRIu64 " bytes\"}", cut);
		struct str event = str_from(text);
		uint64_t seq;
		TRY(audit_log_append(l, &event, 1, &seq));
	}
	/* A checkpoint that a crash left behind catches up when something is written: whoever opens
	 * only to refuse (a damaged database) has changed nothing. */
	return OK;
}

enum err audit_log_open(const struct audit_log_options *o, struct audit_log **ret,
			struct err_info *info)
{
	struct audit_log *l = mem_zalloc(1, sizeof *l);
	if (!l)
		return ERR_NOMEM;
	l->fd = -1;
	l->file_bytes = o->file_bytes ? o->file_bytes : FILE_BYTES;
	audit_keys_make(o->key, &l->keys);
	enum err e = str_copy(str_from(o->data_dir), l->dir, sizeof l->dir);
	if (!e)
		e = audit_chain_new(l->keys.chain, NULL, &l->chain);
	if (!e)
		e = load(l, o->create, info);
	if (e) {
		l->broken = e; /* so that closing writes nothing */
		(void)audit_log_close(l);
		return e;
	}
	l->opened = true;
	*ret = l;
	return OK;
}

static enum err checkpoint(struct audit_log *l)
{
	struct audit_head head = audit_chain_head(l->chain);
	if (head.seq == l->checkpoint.seq)
		return OK;
	TRY(audit_head_write(l->dir, &l->keys, &head));
	l->checkpoint = head;
	return OK;
}

struct audit_log *audit_log_close(struct audit_log *l)
{
	if (!l)
		return NULL;
	/* A record whose sync failed may be in the page cache and not on the disk: it must not be
	 * found there by the next start and built upon. */
	if (l->broken && l->opened)
		(void)cut_at(l, l->size);
	if (!l->broken && l->appended)
		(void)checkpoint(l);
	if (l->fd >= 0)
		(void)close(l->fd);
	(void)audit_chain_free(l->chain);
	mem_free(l->first);
	mem_free(l->index.at);
	wipe(l, sizeof *l);
	mem_free(l);
	return NULL;
}

enum err audit_log_reopen(struct audit_log *l, struct err_info *info)
{
	char next[AUDIT_PATH_MAX];
	if (!l->broken)
		return OK;
	/* What was acknowledged ends at l->size, and the chain's head is its last record: whatever
	 * lies behind was refused. A next file may have been begun. */
	TRY(audit_file_path(l->dir, l->files + 1, next));
	enum err e = unlink(next) == 0 || errno == ENOENT ? OK : err_from_errno(errno);
	if (!e)
		e = cut_at(l, l->size);
	if (!e)
		e = checkpoint(l);
	if (e)
		return err_set(info, e, "the audit log cannot be written");
	l->index.file = 0;
	l->broken = OK;
	return OK;
}

uint64_t audit_log_last(const struct audit_log *l)
{
	return audit_chain_head(l->chain).seq;
}

/* ---- appending ---- */

static enum err seal_event(struct audit_log *l, int64_t now, struct str event, struct buf *out)
{
	AUTO_BUF struct buf sealed = BUF(LIMIT_AUDIT_EVENT + SEAL_EXTRA);
	AUTO_BUF struct buf text = BUF(SEALED_TEXT_MAX);
	char ad[64];
	(void)snprintf(ad, sizeof ad, "%" PRIu64 " %" PRId64, audit_chain_head(l->chain).seq + 1,
		       now);
	TRY(seal(l->keys.seal, str_from(ad), event, &sealed));
	TRY(b64_add(&text, (const uint8_t *)sealed.ptr, sealed.len));
	return audit_chain_seal(l->chain, now, buf_str(&text), out);
}

static enum err write_lines(struct audit_log *l, struct str text, uint64_t first_seq)
{
	if (l->size >= l->file_bytes)
		TRY(file_new(l, first_seq));
	TRY(fd_write_full(l->fd, text.ptr, text.len));
	TRY(fd_sync(l->fd));
	l->size += text.len;
	return OK;
}

enum err audit_log_append(struct audit_log *l, const struct str *events, size_t n,
			  uint64_t *ret_first_seq)
{
	AUTO_BUF struct buf text = BUF(AUDIT_TAIL_MAX);
	struct audit_head before = audit_chain_head(l->chain);
	int64_t now = time_now_ms();
	enum err e = OK;
	if (l->broken)
		return l->broken;
	if (n == 0 || n > AUDIT_BATCH_MAX)
		return ERR_INVALID;
	for (size_t i = 0; i < n; i++)
		if (events[i].len == 0 || events[i].len > LIMIT_AUDIT_EVENT)
			return ERR_INVALID;
	if (l->size >= l->file_bytes && before.seq != l->checkpoint.seq)
		e = l->broken = checkpoint(l); /* names the last record of the full file */
	for (size_t i = 0; i < n && !e; i++)
		e = seal_event(l, now < 0 ? 0 : now, events[i], &text);
	if (!e)
		e = l->broken = write_lines(l, buf_str(&text), before.seq + 1);
	if (e) {
		audit_chain_set(l->chain, &before);
		return e;
	}
	*ret_first_seq = before.seq + 1;
	l->appended = true;
	/* The records are durable; if their checkpoint cannot be, the next append says so. */
	if (audit_chain_head(l->chain).seq - l->checkpoint.seq >= AUDIT_CHECKPOINT_EVERY)
		l->broken = checkpoint(l);
	return OK;
}

/* ---- reading ---- */

static enum err index_add(void *arg, struct str line, uint64_t at)
{
	struct audit_log *l = arg;
	if (l->index.n == l->index.cap) {
		size_t cap = l->index.cap ? 2 * l->index.cap : 256;
		uint64_t *more = mem_realloc(l->index.at, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		l->index.at = more;
		l->index.cap = cap;
	}
	l->index.at[l->index.n++] = at;
	return OK;
}

/* Brings the index up to the end of `file`, which is open as fd. */
static enum err index_load(struct audit_log *l, unsigned file, int fd)
{
	if (l->index.file != file) {
		l->index.file = file;
		l->index.n = 0;
		l->index.end = 0;
	}
	return audit_scan(fd, l->index.end, index_add, l, &l->index.end);
}

static enum err read_one(struct audit_log *l, int fd, uint64_t seq, audit_log_fn fn, void *arg)
{
	AUTO_BUF struct buf line = BUF(AUDIT_LINE_MAX);
	AUTO_BUF struct buf sealed = BUF(AUDIT_SEALED_MAX);
	AUTO_BUF struct buf event = BUF(LIMIT_AUDIT_EVENT);
	struct audit_record rec;
	uint8_t mac[AUDIT_MAC_LEN];
	char ad[64];
	uint64_t k = seq - l->first[l->index.file - 1];
	if (k >= l->index.n)
		return ERR_CORRUPT;
	uint64_t end = k + 1 < l->index.n ? l->index.at[k + 1] : l->index.end;
	if (end - l->index.at[k] > AUDIT_LINE_MAX)
		return ERR_CORRUPT;
	TRY(buf_add_zeros(&line, end - l->index.at[k]));
	TRY(fd_pread_full(fd, line.ptr, line.len, l->index.at[k]));
	TRY(audit_line_parse(str_sub(buf_str(&line), 0, line.len - 1), &rec, mac));
	if (rec.seq != seq || b64_decode(rec.event, &sealed))
		return ERR_CORRUPT;
	(void)snprintf(ad, sizeof ad, "%" PRIu64 " %" PRId64, rec.seq, rec.at_ms);
	TRY(unseal(l->keys.seal, str_from(ad), buf_str(&sealed), &event));
	return fn(arg, rec.seq, rec.at_ms, buf_str(&event));
}

static unsigned file_of(const struct audit_log *l, uint64_t seq)
{
	unsigned at = l->files;
	while (at > 1 && l->first[at - 1] > seq)
		at--;
	return at;
}

enum err audit_log_read(struct audit_log *l, uint64_t before, size_t count, audit_log_fn fn,
			void *arg)
{
	uint64_t last = audit_log_last(l);
	uint64_t seq = before == 0 || before > last ? last : before - 1;
	while (seq > 0 && count > 0) {
		char path[AUDIT_PATH_MAX];
		AUTO_FD int fd = -1;
		unsigned file = file_of(l, seq);
		TRY(audit_file_path(l->dir, file, path));
		TRY(fd_open(path, O_RDONLY, 0, &fd));
		TRY(index_load(l, file, fd));
		for (; count > 0 && seq >= l->first[file - 1]; count--, seq--)
			TRY(read_one(l, fd, seq, fn, arg));
	}
	return OK;
}
