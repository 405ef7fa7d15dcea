/* doc/image_ask.h - has a picture decoded by a jail; the server's side. */
#pragma once

#include "os/ipc.h"

struct picture {
	uint32_t width, height;
	int rgb_fd; /* sealed memfd, width * height * 3 bytes; owned; -1: none */
};
void picture_done(struct picture *p);

/* Waits for the job's one answer (blocking). Errors: ERR_INVALID or ERR_LIMIT (info says what is
 * wrong with the picture; also when decoding it broke or held up its jail), ERR_NOMEM,
 * ERR_PROTOCOL. */
enum err image_job_wait(struct ipc *ch, int timeout_ms, struct picture *ret, struct err_info *info);
struct keeper_link;
/* The whole way: bytes to the keeper, who starts a jail. Blocks this thread for as long as it
 * takes, some seconds at most. Errors: as above, and the keeper's. */
enum err picture_decode(
	struct keeper_link *keeper, struct str bytes, struct picture *ret, struct err_info *info);
