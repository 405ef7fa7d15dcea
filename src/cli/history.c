#include "cli/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/fd.h"

enum { FILE_MAX = 4 * HISTORY_ENTRIES * HISTORY_ENTRY_MAX };

struct history {
	char *entry[HISTORY_ENTRIES]; /* owned */
	size_t n;
	char *path; /* owned; NULL: none */
	bool keep;
};

/* ---- the file's form ---- */

static enum err add_escaped(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c == '\n' || c == '\\')
			TRY(buf_add(out, c == '\n' ? STR("\\n") : STR("\\\\")));
		else
			TRY(buf_add_byte(out, c));
	}
	return buf_add_byte(out, '\n');
}

static enum err unescape(struct str line, struct buf *out)
{
	for (size_t i = 0; i < line.len; i++) {
		char c = line.ptr[i];
		if (c == '\\' && i + 1 < line.len)
			c = line.ptr[++i] == 'n' ? '\n' : line.ptr[i];
		TRY(buf_add_byte(out, c));
	}
	return OK;
}

/* ---- in memory ---- */

static enum err remember(struct history *h, struct str text)
{
	char *copy;
	TRY(str_dup(text, &copy));
	if (h->n == HISTORY_ENTRIES) {
		mem_free(h->entry[0]);
		memmove(h->entry, h->entry + 1, (HISTORY_ENTRIES - 1) * sizeof *h->entry);
		h->n--;
	}
	h->entry[h->n++] = copy;
	return OK;
}

static enum err read_file(struct history *h, size_t *ret_lines)
{
	AUTO_BUF struct buf file = BUF(FILE_MAX), text = BUF(HISTORY_ENTRY_MAX);
	struct str rest, line;
	enum err e = file_read(h->path, &file);
	*ret_lines = 0;
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	rest = buf_str(&file);
	while (rest.len && str_next(&rest, '\n', &line)) {
		++*ret_lines;
		buf_clear(&text);
		if (!line.len || !str_is_utf8(line) || unescape(line, &text))
			continue; /* not ours, or cut off: the rest is still good */
		TRY(remember(h, buf_str(&text)));
	}
	return OK;
}

static enum err make_shorter(struct history *h)
{
	AUTO_BUF struct buf file = BUF(FILE_MAX);
	for (size_t i = 0; i < h->n; i++)
		TRY(add_escaped(&file, str_from(h->entry[i])));
	return file_write_atomic(h->path, buf_str(&file), 0600);
}

enum err history_new(const char *path, struct history **ret, struct err_info *info)
{
	AUTO(history) struct history *h = mem_zalloc(1, sizeof *h);
	size_t lines = 0;
	if (!h)
		return ERR_NOMEM;
	if (path) {
		TRY(str_dup(str_from(path), &h->path));
		enum err e = read_file(h, &lines);
		if (!e && lines > 2 * HISTORY_ENTRIES)
			e = make_shorter(h);
		h->keep = !e;
		if (e == ERR_NOMEM)
			return e;
		if (e)
			(void)err_set(info, e, "the history at %s cannot be read: %s", path,
				err_text(e));
	}
	*ret = TAKE(h);
	return OK;
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->n; i++)
		mem_free(h->entry[i]);
	mem_free(h->path);
	mem_free(h);
	return NULL;
}

void history_keep(struct history *h, bool on)
{
	h->keep = on;
}

size_t history_count(const struct history *h)
{
	return h->n;
}

struct str history_get(const struct history *h, size_t i)
{
	return i < h->n ? str_from(h->entry[i]) : STR("");
}

/* Was the last line written to its end? */
static enum err ends_whole(int fd, bool *ret)
{
	char last = '\n';
	size_t n;
	if (lseek(fd, -1, SEEK_END) >= 0)
		TRY(fd_read(fd, &last, 1, &n));
	*ret = last == '\n';
	return OK;
}

static enum err append(const struct history *h, struct str text)
{
	AUTO_FD int fd = -1;
	AUTO_BUF struct buf line = BUF(2 * HISTORY_ENTRY_MAX + 2);
	bool whole = true;
	char folder[PATH_MAX];
	struct str path = str_from(h->path);
	size_t slash = path.len;
	while (slash && path.ptr[slash - 1] != '/')
		slash--;
	if (slash > 1) {
		TRY(str_copy(str_sub(path, 0, slash - 1), folder, sizeof folder));
		TRY(dir_make(folder, 0700));
	}
	TRY(fd_open(h->path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0600, &fd));
	if (fchmod(fd, 0600))
		return err_from_errno(errno);
	TRY(ends_whole(fd, &whole));
	if (!whole)
		TRY(buf_add_byte(&line, '\n'));
	TRY(add_escaped(&line, text));
	return fd_write_full(fd, line.ptr, line.len);
}

enum err history_add(struct history *h, struct str text)
{
	bool again = h->n && str_eq(str_from(h->entry[h->n - 1]), text);
	if (!text.len || text.len > HISTORY_ENTRY_MAX || again)
		return OK;
	TRY(remember(h, text));
	return h->path && h->keep ? append(h, text) : OK;
}

enum err history_path(char *ret, size_t size)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (state && state[0] == '/')
		return path_join(ret, size, state, "tresor/history");
	if (!home || !*home)
		return ERR_NOT_FOUND;
	return path_join(ret, size, home, ".local/state/tresor/history");
}
