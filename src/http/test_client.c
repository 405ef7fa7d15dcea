#include "http/test_client.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/time.h"
#include "tests/test.h"

void send_all(int fd, struct str s)
{
	while (s.len) {
		ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the server may refuse early */
		s = str_sub(s, (size_t)n, SIZE_MAX);
	}
}
void send_z(int fd, const char *z) { send_all(fd, str_from(z)); }

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, ms) == 1;
}

struct str recv_all(int fd, int ms, struct buf *b)
{
	char block[65536];
	while (readable(fd, ms)) {
		ssize_t n = recv(fd, block, sizeof block, 0);
		if (n <= 0)
			break;
		CHECK_OK(buf_add(b, (struct str){ block, (size_t)n }));
	}
	return buf_str(b);
}

bool closed_within(int fd, int ms)
{
	char block[4096];
	int64_t until = time_mono_ms() + ms;
	while (time_mono_ms() < until && readable(fd, (int)(until - time_mono_ms())))
		if (recv(fd, block, sizeof block, 0) <= 0)
			return true;
	return false;
}

struct str head_value(const struct buf *head, const char *name)
{
	struct str rest = buf_str(head), line;
	while (str_next(&rest, '\n', &line)) {
		size_t colon = str_find_byte(line, ':', 0);
		if (colon != SIZE_MAX && str_eq_nocase(str_sub(line, 0, colon), str_from(name)))
			return str_trim(str_sub(line, colon + 1, SIZE_MAX));
	}
	return STR_NONE;
}

static bool recv_byte(int fd, char *c)
{
	return readable(fd, 5000) && recv(fd, c, 1, 0) == 1;
}

static bool recv_line(int fd, struct buf *b)
{
	char c;
	do {
		if (!recv_byte(fd, &c))
			return false;
		CHECK_OK(buf_add_byte(b, c));
	} while (c != '\n');
	return true;
}

static bool recv_n(int fd, size_t n, struct buf *b)
{
	char c;
	for (size_t i = 0; i < n; i++) {
		if (!recv_byte(fd, &c))
			return false;
		CHECK_OK(buf_add_byte(b, c));
	}
	return true;
}

static bool recv_chunks(int fd, struct buf *body)
{
	for (;;) {
		AUTO_BUF struct buf line = BUF(64);
		AUTO_BUF struct buf end = BUF(8);
		const char *z;
		if (!recv_line(fd, &line))
			return false;
		CHECK_OK(buf_cstr(&line, &z));
		size_t n = 0;
		CHECK(sscanf(z, "%zx", &n) == 1);
		if (!recv_n(fd, n, body) || !recv_n(fd, 2, &end))
			return false;
		if (!n)
			return true;
	}
}

int recv_answer(int fd, struct buf *head, struct buf *body)
{
	size_t from;
	uint64_t n = 0;
	do {
		from = head->len;
		if (!recv_line(fd, head))
			return 0;
	} while (head->len - from > 2);
	CHECK(str_starts(buf_str(head), STR("HTTP/1.1 ")));
	CHECK_OK(str_to_u64(str_sub(buf_str(head), 9, 3), &n));
	int status = (int)n;
	if (str_eq(head_value(head, "Transfer-Encoding"), STR("chunked")))
		return recv_chunks(fd, body) ? status : 0;
	n = 0;
	(void)!!str_to_u64(head_value(head, "Content-Length"), &n);
	return recv_n(fd, n, body) ? status : 0;
}
