#include "models/hash_job.h"

#include "base/crypto.h"
#include "base/fault.h"
#include "base/hex.h"
#include "os/fd.h"
#include "proto/keeper.h"

enum { PIECE = 1 << 20 };

static enum err hash_file(int fd, uint64_t size, char hex[2 * SHA256_LEN + 1])
{
	struct sha256 h;
	uint8_t sum[SHA256_LEN];
	AUTO_MEM char *piece = mem_alloc(PIECE);
	if (!piece)
		return ERR_NOMEM;
	sha256_init(&h);
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
		TRY(fd_pread_full(fd, piece, n, at));
		sha256_add(&h, piece, n);
		at += n;
	}
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, hex);
	return OK;
}

int hash_job_main(struct ipc *keeper, int fd)
{
	char hex[2 * SHA256_LEN + 1];
	uint64_t size = 0;
	/* Durable first, so that the keeper has nothing to wait for when it gives the name. */
	if (fd_sync(fd) || fd_size(fd, &size) || hash_file(fd, size, hex))
		return 2;
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, JAIL_HASHED, 0);
	ipc_put_str(&m, str_from(hex));
	ipc_put_u64(&m, size);
	return ipc_send(keeper, &m) || ipc_drain(keeper, 5000) ? 2 : 0;
}
