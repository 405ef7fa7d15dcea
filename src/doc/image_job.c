#include "doc/image_job.h"

#include <sys/stat.h>

#include "base/fault.h"
#include "doc/image.h"
#include "os/fd.h"

static int refuse(struct ipc *ch, enum err e, const char *why)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, IMAGE_REFUSED, 0);
	ipc_put_u64(&m, e);
	ipc_put_str(&m, str_from(why));
	return ipc_send(ch, &m) || ipc_drain(ch, 5000) ? 2 : 1;
}

static enum err read_all(int fd, char **ret, size_t *ret_len, struct err_info *info)
{
	struct stat st;
	if (fstat(fd, &st) || st.st_size < 0)
		return ERR_IO;
	if (st.st_size > IMAGE_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "the picture's file is over %d MiB",
			IMAGE_BYTES_MAX >> 20);
	char *p = mem_alloc((size_t)st.st_size + 1);
	if (!p)
		return ERR_NOMEM;
	enum err e = fd_pread_full(fd, p, (size_t)st.st_size, 0);
	if (e) {
		mem_free(p);
		return e;
	}
	*ret = p;
	*ret_len = (size_t)st.st_size;
	return OK;
}

int image_job_main(struct ipc *ch, int fd)
{
	struct err_info info = { .code = OK };
	struct image image = { .rgb = NULL };
	AUTO_MEM char *bytes = NULL;
	size_t len = 0;
	int rgb = -1;
	enum err e = read_all(fd, &bytes, &len, &info);
	if (!e)
		e = image_decode((struct str){ bytes, len }, &image, &info);
	if (!e)
		e = fd_memfd("rgb",
			(struct str){
				(const char *)image.rgb, (size_t)image.width * image.height * 3 },
			&rgb);
	if (e)
		return refuse(ch, e, info.detail[0] ? info.detail : err_text(e));
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, IMAGE_RGB, 0);
	ipc_put_u64(&m, image.width);
	ipc_put_u64(&m, image.height);
	ipc_put_fd(&m, rgb);
	image_done(&image);
	return ipc_send(ch, &m) || ipc_drain(ch, 5000) ? 2 : 0;
}
