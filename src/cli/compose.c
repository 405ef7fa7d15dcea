#include "cli/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "os/fd.h"

enum { WORDS_MAX = 16, COMMAND_MAX = 1024 };

static const char *editor(void)
{
	static const char *const names[] = { "TRESOR_EDITOR", "OLLAMA_EDITOR", "VISUAL", "EDITOR" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *v = getenv(names[i]);
		if (v && *v)
			return v;
	}
	return "vi";
}

/* Splits `command` in place; the file's name goes last. */
static void split(char *command, char *path, char *ret[WORDS_MAX + 2])
{
	size_t n = 0;
	for (char *at = command; *at && n < WORDS_MAX;) {
		at += strspn(at, " \t");
		if (*at)
			ret[n++] = at;
		at += strcspn(at, " \t");
		if (*at)
			*at++ = '\0';
	}
	ret[n++] = path;
	ret[n] = NULL;
}

static enum err run_editor(char *path, struct err_info *info)
{
	char command[COMMAND_MAX], *words[WORDS_MAX + 2];
	int status = 0;
	if (str_copy(str_from(editor()), command, sizeof command))
		return err_set(info, ERR_INVALID, "the editor's name is too long");
	split(command, path, words);
	pid_t pid = fork();
	if (pid < 0)
		return err_from_errno(errno);
	if (!pid) {
		execvp(words[0], words);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_from_errno(errno);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		(void)err_set(info, ERR_NOT_FOUND, "the editor \"%.100s\" was not found", words[0]);
		err_hint(info, "name yours in $TRESOR_EDITOR");
		return ERR_NOT_FOUND;
	}
	return status ? err_set(info, ERR_CANCELLED, "the editor ended with an error") : OK;
}

static enum err edit_file(
	char *path, int fd, struct str text, struct buf *out, struct err_info *info)
{
	size_t start = out->len;
	TRY(fd_write_full(fd, text.ptr, text.len));
	TRY(run_editor(path, info));
	TRY(file_read(path, out));
	while (out->len > start && strchr("\r\n", out->ptr[out->len - 1]))
		buf_cut(out, out->len - 1);
	if (str_is_utf8(buf_from(out, start)))
		return OK;
	buf_cut(out, start);
	return err_set(info, ERR_INVALID, "the editor left a text that is not UTF-8");
}

enum err compose(struct str text, struct buf *out, struct err_info *info)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];
	TRY(path_join(path, sizeof path, tmp && *tmp ? tmp : "/tmp", "tresor-prompt-XXXXXX"));
	AUTO_FD int fd = mkostemp(path, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return err_set(info, err_from_errno(errno), "cannot make a file for the editor");
	enum err e = edit_file(path, fd, text.ptr ? text : STR(""), out, info);
	(void)unlink(path);
	return e;
}
