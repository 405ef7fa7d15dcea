#include "cli/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
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

/* Ctrl+C and Ctrl+\ are the editor's meanwhile, as system(3) has it. */
static enum err run_words(char *const *words, int *ret_status)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, interrupt, quit;
	enum err e = OK;
	sigemptyset(&ignore.sa_mask);
	(void)sigaction(SIGINT, &ignore, &interrupt);
	(void)sigaction(SIGQUIT, &ignore, &quit);
	pid_t pid = fork();
	if (!pid) {
		(void)sigaction(SIGINT, &interrupt, NULL);
		(void)sigaction(SIGQUIT, &quit, NULL);
		execvp(words[0], words);
		_exit(127);
	}
	if (pid < 0)
		e = err_from_errno(errno);
	while (!e && waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			e = err_from_errno(errno);
	(void)sigaction(SIGINT, &interrupt, NULL);
	(void)sigaction(SIGQUIT, &quit, NULL);
	return e;
}

static enum err run_editor(char *path, struct err_info *info)
{
	char command[COMMAND_MAX], *words[WORDS_MAX + 2];
	int status = 0;
	if (str_copy(str_from(editor()), command, sizeof command))
		return err_set(info, ERR_INVALID, "the editor's name is too long");
	split(command, path, words);
	TRY(run_words(words, &status));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		(void)err_set(info, ERR_NOT_FOUND, "the editor \"%.100s\" was not found", words[0]);
		err_hint(info, "name yours in $TRESOR_EDITOR");
		return ERR_NOT_FOUND;
	}
	return status ? err_set(info, ERR_CANCELLED, "the editor ended with an error") : OK;
}

/* What the editor left in the file. */
static enum err take_file(const char *path, struct buf *out, struct err_info *info)
{
	size_t start = out->len;
	enum err e = file_read(path, out);
	if (e == ERR_LIMIT)
		return err_set(info, e, "the editor left a text of more than %zu MiB",
			out->max >> 20);
	TRY(e);
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
	enum err e = fd_write_full(fd, text.ptr ? text.ptr : "", text.len);
	if (!e)
		e = run_editor(path, info);
	if (!e) {
		e = take_file(path, out, info);
		if (e && e != ERR_NOT_FOUND) {
			err_hint(info, "it is kept in %s", path);
			return e;
		}
	}
	(void)unlink(path);
	return e;
}
