#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"

/* A line is written by one write() of at most PIPE_BUF bytes, so that lines of several roles on
 * one pipe never mix. */
enum { LINE_MAX_ = 4096, VALUE_MAX = 200, REQUEST_MAX = 40 };

static struct {
	const char *role;
	enum log_level max;
	int fd;
} config = { "tresor", LOG_INFO_, STDERR_FILENO };
static _Thread_local char request[REQUEST_MAX + 1];

struct line {
	char text[LINE_MAX_];
	size_t len;
};

void log_init(const char *role, enum log_level max, int fd)
{
	config.role = role;
	config.max = max;
	config.fd = fd;
}

void log_request(struct str request_id)
{
	struct str cut = str_sub(request_id, 0, REQUEST_MAX);
	if (cut.len)
		memcpy(request, cut.ptr, cut.len);
	request[cut.len] = '\0';
}

/* One byte stays free for the newline. */
static void put(struct line *l, const char *p, size_t n)
{
	size_t room = sizeof l->text - 1 - l->len;
	n = n < room ? n : room;
	memcpy(l->text + l->len, p, n);
	l->len += n;
}

static void put_z(struct line *l, const char *z) { put(l, z, strlen(z)); }

/* Quoted whenever it is not plainly a word, so that no value can pretend to be another key. */
static void put_value(struct line *l, struct str v)
{
	bool cut = v.len > VALUE_MAX, plain = v.len > 0;
	if (cut)
		v.len = str_utf8_whole(str_sub(v, 0, VALUE_MAX));
	for (size_t i = 0; i < v.len; i++) {
		char c = v.ptr[i];
		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
			plain = false; /* also bytes over 0x7f, which are negative */
	}
	if (!plain)
		put_z(l, "\"");
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.ptr[i];
		char esc[8];
		if (c == '"' || c == '\\')
			put(l, (char[]){ '\\', (char)c }, 2);
		else if (c < 0x20 || c == 0x7f)
			put(l, esc, (size_t)snprintf(esc, sizeof esc, "\\x%02x", c));
		else
			put(l, &v.ptr[i], 1);
	}
	if (cut)
		put_z(l, "...");
	if (!plain)
		put_z(l, "\"");
}

static void put_pair(struct line *l, const char *key, struct str value)
{
	put_z(l, " ");
	put_z(l, key);
	put_z(l, "=");
	put_value(l, value);
}

void log_line(enum log_level level, const char *msg, const struct log_kv *kv, size_t n)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	if (level > config.max)
		return;
	struct line l = { .len = 0 };
	char text[TIME_RFC3339_LEN];
	int keep = errno;
	time_rfc3339(time_now_ms(), text);
	put_z(&l, "t=");
	put_z(&l, text);
	put_pair(&l, "level", str_from(names[level]));
	put_pair(&l, "role", str_from(config.role));
	put_pair(&l, "msg", str_from(msg));
	if (request[0])
		put_pair(&l, "req", str_from(request));
	for (size_t i = 0; i < n; i++) {
		if (!kv[i].key)
			continue;
		if (kv[i].kind == LOG_KV_I64)
			(void)snprintf(text, sizeof text, "%lld", (long long)kv[i].i);
		put_pair(&l, kv[i].key,
			 kv[i].kind == LOG_KV_STR ? kv[i].s :
			 kv[i].kind == LOG_KV_ERR ? str_from(err_slug((enum err)kv[i].i)) :
						    str_from(text));
	}
	l.text[l.len++] = '\n';
	/* Nothing sensible can be done when the log itself cannot be written. */
	if (write(config.fd, l.text, l.len) < 0)
		(void)0;
	errno = keep;
}

enum log_level log_level_from(const char *text)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	for (int i = 0; text && i < 4; i++)
		if (!strcmp(text, names[i]))
			return (enum log_level)i;
	return LOG_INFO_;
}
