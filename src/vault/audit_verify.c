/* Reads the whole log from record 1 (vault/audit_log.h). Used by the keeper for a running log and
 * by the command for one that the keeper refuses to open. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/time.h"
#include "os/fd.h"
#include "vault/audit_files.h"

struct verify {
	const char *dir;
	struct audit_walk walk;
	struct audit_head checkpoint;
	uint64_t torn; /* bytes behind the last record */
	struct buf *report;
};

static enum err bad(struct verify *v, unsigned file, const char *what)
{
	uint64_t seq = audit_chain_head(v->walk.chain).seq;
	TRY(buf_addf(v->report, "record %" PRIu64 " is bad: %s (file %08u.log)\n",
		     seq + !v->walk.not_the_checkpoint, what, file));
	return ERR_CORRUPT;
}

static enum err verify_file(struct verify *v, unsigned number, bool last)
{
	char path[AUDIT_PATH_MAX];
	struct stat st;
	AUTO_FD int fd = -1;
	uint64_t end;
	bool torn = false;
	TRY(audit_file_path(v->dir, number, path));
	TRY(fd_open(path, O_RDONLY, 0, &fd));
	if (fstat(fd, &st) != 0)
		return err_from_errno(errno);
	enum err e = audit_scan(fd, 0, audit_walk_line, &v->walk, &end);
	uint64_t size = (uint64_t)st.st_size;
	if (e && e != ERR_CORRUPT)
		return e;
	if (v->walk.not_the_checkpoint)
		return bad(v, number, "it is not the one that the checkpoint names");
	if (last && end < size)
		TRY(audit_is_torn(fd, end, size, &torn));
	if (!torn && (e || end < size))
		return bad(v, number, "changed, missing or out of order");
	v->torn = size - end;
	return OK;
}

static enum err verify_all(struct verify *v, unsigned files)
{
	char when[TIME_RFC3339_LEN] = "";
	for (unsigned i = 1; i <= files; i++)
		TRY(verify_file(v, i, i == files));
	uint64_t last = audit_chain_head(v->walk.chain).seq;
	if (last < v->checkpoint.seq)
		return bad(v, files ? files : 1, "the checkpoint knows it, the log ends before it");
	if (last)
		time_rfc3339(v->walk.last_ms, when);
	if (v->torn)
		TRY(buf_addf(v->report, "%" PRIu64 " bytes of a torn write follow the last record; "
			     "the next start cuts them off\n", v->torn));
	return buf_addf(v->report, "intact: %" PRIu64 " records in %u files, the last of %s\n",
			last, files, last ? when : "never");
}

enum err audit_log_verify(const char *data_dir, const uint8_t key[KEY_LEN], uint64_t *ret_records,
			  struct buf *report)
{
	struct audit_keys keys;
	struct err_info info = { .code = OK };
	struct verify v = { .dir = data_dir, .report = report };
	AUTO(audit_chain) struct audit_chain *chain = NULL;
	unsigned files = 0;
	*ret_records = 0;
	audit_keys_make(key, &keys);
	enum err e = audit_files_count(data_dir, &files, &info);
	if (!e)
		e = audit_head_read(data_dir, &keys, &v.checkpoint);
	if (e == ERR_NOT_FOUND && files) {
		(void)buf_addf(report, "the checkpoint is missing\n");
		e = ERR_CORRUPT;
	} else if (e == ERR_CORRUPT || e == ERR_KEY) {
		(void)buf_addf(report, "%s\n", info.detail[0] ? info.detail :
			       "the checkpoint is damaged, or of another key");
	}
	if (!e)
		e = audit_chain_new(keys.chain, NULL, &chain);
	wipe(&keys, sizeof keys);
	TRY(e);
	v.walk = (struct audit_walk){ .chain = chain, .checkpoint = &v.checkpoint };
	e = verify_all(&v, files);
	*ret_records = audit_chain_head(chain).seq - v.walk.not_the_checkpoint;
	return e;
}
