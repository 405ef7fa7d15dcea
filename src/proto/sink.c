#include "proto/sink.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"

enum { BUFFER_BYTES = 1024 * 1024 };

enum err sink_pair(int ret_fd[2])
{
	int fd[2], bytes = BUFFER_BYTES;
	if (fault_hit(FAULT_SYSCALL))
		return ERR_IO;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
		return err_from_errno(errno);
	/* The kernel may give less: then frames only wait more often. */
	(void)setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	(void)shutdown(fd[0], SHUT_RD);
	ret_fd[0] = fd[0];
	ret_fd[1] = fd[1];
	return OK;
}

enum err sink_send(int fd, uint64_t offset, const void *data, size_t n, bool wait)
{
	uint8_t head[SINK_FRAME_HEAD];
	union { const void *in; void *out; } bytes = { .in = data }; /* iovec has no const */
	struct iovec iov[2] = { { head, sizeof head }, { bytes.out, n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	if (!n || n > SINK_FRAME_MAX)
		return ERR_INVALID;
	for (int i = 0; i < SINK_FRAME_HEAD; i++)
		head[i] = (uint8_t)(offset >> (8 * i));
	for (;;) {
		if (fault_hit(FAULT_SYSCALL))
			return ERR_IO;
		if (sendmsg(fd, &msg, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) >= 0)
			return OK;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
			return ERR_AGAIN;
		return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? ERR_CLOSED
										  : ERR_IO;
	}
}

enum err sink_take(int fd, uint8_t *frame, uint64_t *ret_offset, size_t *ret_n)
{
	for (;;) {
		/* recvmsg, not recv: a jail has no other way to read a socket without waiting */
		struct iovec iov = { frame, SINK_FRAME_HEAD + SINK_FRAME_MAX + 1 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN
			       : errno == ECONNRESET		       ? ERR_CLOSED
								       : ERR_IO;
		if (n == 0)
			return ERR_CLOSED;
		if (n <= SINK_FRAME_HEAD || n > SINK_FRAME_HEAD + SINK_FRAME_MAX)
			return ERR_PROTOCOL;
		uint64_t at = 0;
		for (int i = SINK_FRAME_HEAD - 1; i >= 0; i--)
			at = at << 8 | frame[i];
		*ret_offset = at;
		*ret_n = (size_t)n - SINK_FRAME_HEAD;
		return OK;
	}
}
