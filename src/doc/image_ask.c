#include "doc/image_ask.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "doc/image.h"
#include "doc/image_job.h"
#include "os/fd.h"
#include "proto/keeper.h"

enum { ASK_MS = 20000, DECODE_MS = 40000, WHY_MAX = 400 };

void picture_done(struct picture *p)
{
	if (p->rgb_fd >= 0)
		(void)close(p->rgb_fd);
	*p = (struct picture){ .rgb_fd = -1 };
}

/* What a jail that read foreign bytes hands over is not believed either. */
static bool sealed_of_size(int fd, uint64_t bytes)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS), want = F_SEAL_SHRINK | F_SEAL_WRITE;
	return seals >= 0 && (seals & want) == want && !fstat(fd, &st) &&
	       (uint64_t)st.st_size == bytes;
}

static enum err take_rgb(struct ipc_in *m, struct picture *ret)
{
	uint64_t w = ipc_get_u64(m), h = ipc_get_u64(m);
	AUTO_FD int fd = ipc_get_fd(m);
	if (ipc_end(m) || !w || !h || w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX ||
		w * h > IMAGE_PIXELS_MAX || !sealed_of_size(fd, w * h * 3))
		return ERR_PROTOCOL;
	*ret = (struct picture){ (uint32_t)w, (uint32_t)h, TAKE_FD(fd) };
	return OK;
}

enum err image_job_wait(struct ipc *ch, int timeout_ms, struct picture *ret, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	enum err e = ipc_recv_wait(ch, timeout_ms, &m);
	if (e == ERR_CLOSED || e == ERR_TIMEOUT)
		return err_set(info, ERR_INVALID, "the picture could not be decoded");
	TRY(e);
	if (m.type == IMAGE_RGB)
		return take_rgb(&m, ret);
	if (m.type != IMAGE_REFUSED)
		return ERR_PROTOCOL;
	uint64_t code = ipc_get_u64(&m);
	struct str why = ipc_get_str(&m);
	if (ipc_end(&m) || code == OK || code >= ERR_COUNT_ || why.len >= WHY_MAX ||
		!str_is_utf8(why) || str_has_control(why))
		return ERR_PROTOCOL;
	return err_set(info, (enum err)code, "%.*s", STR_ARG(why));
}

enum err picture_decode(
	struct keeper_link *keeper, struct str bytes, struct picture *ret, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *job = NULL;
	int fd = -1;
	ipc_out_init(&q, ASK_IMAGE, 0);
	TRY(fd_memfd("image", bytes, &fd));
	ipc_put_fd(&q, fd);
	TRY(keeper_call(keeper, &q, ASK_MS, &a, info));
	int channel = ipc_get_fd(&a);
	if (channel < 0)
		return ERR_PROTOCOL;
	TRY(ipc_new(channel, &job));
	TRY(ipc_end(&a));
	return image_job_wait(job, DECODE_MS, ret, info);
}
