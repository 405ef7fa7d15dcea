#include "cli/attach.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "os/fd.h"

static bool ends_like_picture(struct str s)
{
	static const char *const ends[] = { ".png", ".jpg", ".jpeg", ".webp" };
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		size_t n = strlen(ends[i]);
		if (s.len > n &&
			str_eq_nocase(str_sub(s, s.len - n, n), str_from(ends[i])))
			return true;
	}
	return false;
}

static bool word_char(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static bool starts_path(struct str s)
{
	return str_starts(s, STR("/")) || str_starts(s, STR("./")) ||
	       str_starts(s, STR("../")) || str_starts(s, STR("~/"));
}

static bool is_file(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* "\ " and the like to what they mean; "~/" to the home. */
static enum err plain_path(struct str s, struct buf *out)
{
	const char *home = getenv("HOME");
	buf_clear(out);
	if (str_starts(s, STR("~/")) && home) {
		TRY(buf_add(out, str_from(home)));
		s = str_sub(s, 1, s.len);
	}
	for (size_t i = 0; i < s.len; i++) {
		bool escape = s.ptr[i] == '\\' && i + 1 < s.len &&
			      strchr(" ()[]{}$&;'\"\\*?~", s.ptr[i + 1]);
		TRY(buf_add_byte(out, s.ptr[escape ? ++i : i]));
	}
	return OK;
}

size_t attach_path(struct str at, struct buf *path)
{
	const char *z;
	if (!starts_path(at))
		return 0;
	for (size_t n = 1; n <= at.len && n < PATH_MAX; n++) {
		char c = at.ptr[n - 1];
		if (c == '\n' || c == '\t' || c == '\r' || !c)
			return 0;
		if ((n < at.len && word_char(at.ptr[n])) || !ends_like_picture(str_sub(at, 0, n)))
			continue;
		if (!plain_path(str_sub(at, 0, n), path) && !buf_cstr(path, &z) && is_file(z))
			return n;
	}
	return 0;
}

static bool is_picture(struct str s)
{
	return str_starts(s, STR("\x89PNG\r\n\x1a\n")) || str_starts(s, STR("\xff\xd8\xff")) ||
	       (str_starts(s, STR("RIFF")) && str_eq(str_sub(s, 8, 4), STR("WEBP")));
}

static enum err add_picture(const char *path, json_t *images, struct err_info *info)
{
	AUTO_BUF struct buf bytes = BUF(ATTACH_FILE_MAX), text = BUF(2 * ATTACH_FILE_MAX);
	const char *z;
	enum err e = file_read(path, &bytes);
	if (e == ERR_LIMIT)
		return err_set(info, ERR_TOO_LARGE, "the picture %s is larger than %d MiB", path,
			ATTACH_FILE_MAX >> 20);
	if (e)
		return err_set(info, e, "cannot read %s: %s", path, err_text(e));
	if (!is_picture(buf_str(&bytes)))
		return err_set(
			info, ERR_INVALID, "%s is not a PNG, JPEG or WebP picture", path);
	TRY(b64_add(&text, (const uint8_t *)bytes.ptr, bytes.len));
	TRY(buf_cstr(&text, &z));
	if (json_array_append_new(images, json_string(z)))
		return ERR_NOMEM;
	fprintf(stderr, "Added image '%s'\n", path);
	return OK;
}

static bool may_begin(struct str prompt, size_t at)
{
	return !at || strchr(" \t\n\r'\"([<", prompt.ptr[at - 1]);
}

/* A path that stands in quotes takes them along. */
static void drop_quotes(struct str prompt, size_t *from, size_t *to)
{
	char q = *from ? prompt.ptr[*from - 1] : ' ';
	if ((q == '\'' || q == '"') && *to < prompt.len && prompt.ptr[*to] == q) {
		--*from;
		++*to;
	}
}

enum err attach_pictures(
	struct str prompt, struct buf *text, json_t *images, struct err_info *info)
{
	AUTO_BUF struct buf path = BUF(2 * PATH_MAX);
	unsigned places = 0;
	size_t done = 0;
	const char *z;
	for (size_t i = 0; i < prompt.len && places < ATTACH_PLACES; i++) {
		struct str here = str_sub(prompt, i, prompt.len);
		if (!strchr("/.~", *here.ptr) || !may_begin(prompt, i) || !starts_path(here))
			continue;
		places++;
		size_t from = i, to = i + attach_path(here, &path);
		if (to == i)
			continue;
		TRY(buf_cstr(&path, &z));
		TRY(add_picture(z, images, info));
		drop_quotes(prompt, &from, &to);
		TRY(buf_add(text, str_sub(prompt, done, from - done)));
		done = to;
		i = to - 1;
	}
	TRY(buf_add(text, str_sub(prompt, done, prompt.len)));
	struct str trimmed = str_trim(buf_str(text));
	size_t lead = trimmed.len ? (size_t)(trimmed.ptr - text->ptr) : 0;
	buf_cut(text, trimmed.len ? lead + trimmed.len : 0);
	buf_drop_front(text, lead);
	return OK;
}
