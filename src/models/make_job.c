#include "models/make_job.h"

#include "base/auto.h"
#include "base/fault.h"
#include "base/time.h"
#include "os/fd.h"
#include "proto/make.h"

enum { TELL_MS = 100 };

struct make_job {
	struct ipc *ch;
	int fd[MAKE_PARTS_MAX + 1];
	struct make_part part[MAKE_PARTS_MAX];
	uint64_t at;
	int64_t told_ms;
};

static enum err read_fd(void *arg, uint64_t at, void *dst, size_t n)
{
	return fd_pread_full(*(const int *)arg, dst, n, at);
}

static enum err write_more(void *arg, const void *p, size_t n)
{
	struct make_job *j = arg;
	TRY(fd_pwrite_full(j->fd[0], p, n, j->at));
	j->at += n;
	return OK;
}

/* An error here: the server has left, so nobody wants the file. */
static enum err tell(void *arg, uint64_t done, uint64_t all)
{
	struct make_job *j = arg;
	int64_t now = time_mono_ms();
	if (now - j->told_ms < TELL_MS)
		return OK;
	j->told_ms = now;
	return make_progress(j->ch, done, all);
}

static enum err open_parts(struct make_job *j, unsigned n, struct str names)
{
	for (unsigned i = 0; i < n; i++) {
		struct make_part *p = &j->part[i];
		*p = (struct make_part){ .read = read_fd, .arg = &j->fd[i + 1] };
		TRY(fd_size(j->fd[i + 1], &p->size));
		if (names.len && !str_next(&names, '\n', &p->name))
			return ERR_PROTOCOL;
	}
	return OK;
}

/* A reason may quote what the files say, cut anywhere: one line of valid text. */
static void clean(char *text)
{
	bool utf8 = str_is_utf8(str_from(text));
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || (!utf8 && (unsigned char)*c >= 0x80))
			*c = '?';
}

int make_job_main(struct ipc *ch, const int *fd, unsigned n, struct str names, make_fn run)
{
	struct err_info info = { 0 };
	struct make_job *j = mem_zalloc(1, sizeof *j);
	if (!j || n < 2 || n > MAKE_PARTS_MAX + 1)
		return make_end(ch, j ? ERR_PROTOCOL : ERR_NOMEM, NULL);
	j->ch = ch;
	memcpy(j->fd, fd, n * sizeof *fd);
	enum err e = open_parts(j, n - 1, names);
	struct make_sink sink = { write_more, tell, j };
	if (!e)
		e = run(j->part, n - 1, &sink, &info);
	if (e == ERR_CLOSED)
		return 3;
	if (e == ERR_NOSPACE)
		(void)err_set(&info, e, "the disk is full: the new model does not fit");
	clean(info.detail);
	info.detail[str_utf8_whole(str_sub(str_from(info.detail), 0, MAKE_WHY_MAX))] = '\0';
	int status = make_end(ch, e, info.detail);
	mem_free(j);
	return status;
}
