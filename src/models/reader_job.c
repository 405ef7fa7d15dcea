#include "models/reader_job.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/fault.h"
#include "os/fd.h"

enum { PIECE = 256 * 1024 };

static bool send_all(int out, char *p, size_t n)
{
	while (n) {
		struct iovec v = { .iov_base = p, .iov_len = n };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
		ssize_t sent = sendmsg(out, &m, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

int reader_job_main(int file, uint64_t size, int out)
{
	AUTO_MEM char *piece = mem_alloc(PIECE);
	if (!piece)
		return 2;
	while (size) {
		size_t got = 0, want = size < PIECE ? (size_t)size : PIECE;
		if (fd_read(file, piece, want, &got) || !got)
			return 2;
		if (!send_all(out, piece, got))
			return 1;
		size -= got;
	}
	return 0;
}
