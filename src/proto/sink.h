/* proto/sink.h - the data sink of a blob writer: a SOCK_SEQPACKET socket that carries frames
 *
 *	u64 offset, little endian | 1..SINK_FRAME_MAX bytes
 *
 * so that many senders can share it and a frame is never torn. */
#pragma once

#include "base/str.h"

enum { SINK_FRAME_HEAD = 8, SINK_FRAME_MAX = 60 * 1024 }; /* bytes */

/* Makes a connected pair with buffers that hold a few frames: [0] sends, [1] receives.
 * Errors: from errno. */
enum err sink_pair(int ret_fd[2]);
/* Sends one frame; `wait` blocks until there is room.
 * Errors: ERR_INVALID (n), ERR_AGAIN (no room), ERR_CLOSED (the writer is gone), ERR_IO. */
enum err sink_send(int fd, uint64_t offset, const void *data, size_t n, bool wait);
/* Takes one frame without waiting. `frame` has SINK_FRAME_HEAD + SINK_FRAME_MAX + 1 bytes; the data
 * begins at frame + SINK_FRAME_HEAD. Errors: ERR_AGAIN (none), ERR_CLOSED (every sender closed),
 * ERR_PROTOCOL (a wrong size), ERR_IO. */
enum err sink_take(int fd, uint8_t *frame, uint64_t *ret_offset, size_t *ret_n);
