/* Building and reading messages: the first half of os/ipc.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/fd.h"
#include "os/ipc.h"
#include "os/ipc_wire.h"

/* A memfd of the sender, mapped for as long as the message lives. */
struct ipc_map_ {
	struct ipc_map_ *next;
	void *mem;
	size_t len;
};

/* Room that stays free for the small fields after a long one. */
enum { SMALL_FIELDS = 8 * 1024 };

/* ---- building ---- */

void ipc_out_init(struct ipc_out *m, uint16_t type, uint64_t id)
{
	struct wire_header h = { .protocol = ipc_protocol_hash(), .type = type, .id = id };
	*m = (struct ipc_out){ .data = BUF(LIMIT_IPC_MESSAGE) };
	m->err = buf_add(&m->data, (struct str){ (const char *)&h, sizeof h });
}

void ipc_out_set_id(struct ipc_out *m, uint64_t id)
{
	if (m->data.len >= sizeof(struct wire_header))
		memcpy(m->data.ptr + offsetof(struct wire_header, id), &id, sizeof id);
}

void ipc_out_done(struct ipc_out *m)
{
	for (unsigned i = 0; i < m->nfds; i++)
		(void)close(m->fds[i]);
	m->nfds = 0;
	buf_wipe(&m->data); /* keys travel too */
}

static void put(struct ipc_out *m, enum wire_tag tag, const void *p, size_t n)
{
	struct wire_field f = { .tag = (uint8_t)tag, .bytes = (uint32_t)n };
	size_t start = m->data.len;
	if (m->err)
		return;
	m->err = buf_add(&m->data, (struct str){ (const char *)&f, sizeof f });
	if (!m->err)
		m->err = buf_add(&m->data, (struct str){ p, n });
	if (!m->err)
		m->err = buf_add_zeros(&m->data, -n & 7);
	if (m->err)
		buf_cut(&m->data, start);
}

void ipc_put_u64(struct ipc_out *m, uint64_t v) { put(m, WIRE_U64, &v, sizeof v); }
void ipc_put_i64(struct ipc_out *m, int64_t v) { put(m, WIRE_I64, &v, sizeof v); }
void ipc_put_f64(struct ipc_out *m, double v) { put(m, WIRE_F64, &v, sizeof v); }
void ipc_put_bool(struct ipc_out *m, bool v)
{
	uint64_t u = v;
	put(m, WIRE_BOOL, &u, sizeof u);
}

/* Takes fd. */
static void put_descriptor(struct ipc_out *m, int fd)
{
	if (!m->err && fd < 0)
		m->err = ERR_INTERNAL;
	if (!m->err && m->nfds == LIMIT_IPC_FDS)
		m->err = ERR_LIMIT;
	if (!m->err)
		m->fds[m->nfds++] = fd;
	else if (fd >= 0)
		(void)close(fd);
}

/* Inline, or by memfd when it is long or the datagram is nearly full. */
static void put_bytes(struct ipc_out *m, enum wire_tag tag, enum wire_tag mem_tag, const void *p,
		      size_t n)
{
	size_t room = m->data.max - m->data.len;
	int fd = -1;
	if (m->err)
		return;
	if (n <= LIMIT_IPC_INLINE && n + SMALL_FIELDS <= room) {
		put(m, tag, p, n);
		return;
	}
	m->err = n > LIMIT_IPC_BULK ? ERR_LIMIT : fd_memfd("ipc", (struct str){ p, n }, &fd);
	if (m->err)
		return;
	m->bulk += n;
	put_descriptor(m, fd);
	uint64_t len = n;
	put(m, mem_tag, &len, sizeof len);
}

void ipc_put_str(struct ipc_out *m, struct str s)
{
	put_bytes(m, WIRE_STR, WIRE_STR_MEM, s.ptr, s.len);
}

void ipc_put_i32s(struct ipc_out *m, const int32_t *v, size_t n)
{
	if (n > LIMIT_IPC_BULK / sizeof *v) {
		if (!m->err)
			m->err = ERR_LIMIT;
		return;
	}
	put_bytes(m, WIRE_I32S, WIRE_I32S_MEM, v, n * sizeof *v);
}

void ipc_put_fd(struct ipc_out *m, int fd)
{
	put_descriptor(m, fd);
	put(m, WIRE_FD, NULL, 0);
}

/* ---- reading ---- */

void ipc_in_done(struct ipc_in *m)
{
	for (unsigned i = m->next_fd; i < m->nfds; i++)
		(void)close(m->fds[i]);
	while (m->maps_) {
		struct ipc_map_ *map = m->maps_;
		m->maps_ = map->next;
		(void)munmap(map->mem, map->len);
		mem_free(map);
	}
	mem_free(m->mem_);
	*m = (struct ipc_in){ 0 };
}

static void bad(struct ipc_in *m)
{
	if (!m->err)
		m->err = ERR_PROTOCOL;
}

static bool all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* The next field, if it is whole and has one of the two tags; moves past it. */
static bool next(struct ipc_in *m, enum wire_tag tag, enum wire_tag other, struct wire_field *ret,
		 const char **ret_payload)
{
	struct wire_field f;
	if (m->err)
		return false;
	if (m->rest.len < sizeof f) {
		bad(m);
		return false;
	}
	memcpy(&f, m->rest.ptr, sizeof f);
	size_t filling = -(size_t)f.bytes & 7, left = m->rest.len - sizeof f;
	const char *payload = m->rest.ptr + sizeof f;
	if ((f.tag != tag && f.tag != other) || f.zero[0] || f.zero[1] || f.zero[2] ||
	    f.bytes > left || filling > left - f.bytes ||
	    !all_zero(payload + f.bytes, filling)) {
		bad(m);
		return false;
	}
	m->rest = (struct str){ payload + f.bytes + filling, left - f.bytes - filling };
	*ret = f;
	*ret_payload = payload;
	return true;
}

static uint64_t get_word(struct ipc_in *m, enum wire_tag tag)
{
	struct wire_field f;
	const char *p;
	uint64_t v;
	if (!next(m, tag, tag, &f, &p))
		return 0;
	if (f.bytes != sizeof v) {
		bad(m);
		return 0;
	}
	memcpy(&v, p, sizeof v);
	return v;
}

void ipc_want(struct ipc_in *m, bool ok)
{
	if (!ok && !m->err)
		m->err = ERR_PROTOCOL;
}

uint64_t ipc_get_u64(struct ipc_in *m) { return get_word(m, WIRE_U64); }
int64_t ipc_get_i64(struct ipc_in *m) { return (int64_t)get_word(m, WIRE_I64); }

double ipc_get_f64(struct ipc_in *m)
{
	uint64_t v = get_word(m, WIRE_F64);
	double d;
	memcpy(&d, &v, sizeof d);
	return d;
}

bool ipc_get_bool(struct ipc_in *m)
{
	uint64_t v = get_word(m, WIRE_BOOL);
	if (v > 1)
		bad(m);
	return v == 1;
}

static int take_fd(struct ipc_in *m)
{
	if (m->err || m->next_fd >= m->nfds) {
		bad(m);
		return -1;
	}
	return m->fds[m->next_fd++];
}

/* Maps `len` bytes of the next descriptor. Only a memfd that can neither shrink (a read past
 * its end would kill us) nor change (what was checked must stay true) is taken. */
static const char *map_next(struct ipc_in *m, uint64_t len)
{
	const int need = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	AUTO_FD int fd = take_fd(m);
	struct stat st;
	if (fd < 0)
		return NULL;
	int seals = fcntl(fd, F_GET_SEALS);
	if (len == 0 || len > LIMIT_IPC_BULK || seals < 0 || (seals & need) != need ||
	    fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size != len) {
		bad(m);
		return NULL;
	}
	struct ipc_map_ *map = mem_alloc(sizeof *map);
	void *mem = map && !fault_hit(FAULT_SYSCALL) ?
			    mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0) :
			    MAP_FAILED;
	if (mem == MAP_FAILED) {
		mem_free(map);
		m->err = ERR_NOMEM;
		return NULL;
	}
	*map = (struct ipc_map_){ m->maps_, mem, len };
	m->maps_ = map;
	return mem;
}

static struct str get_bytes(struct ipc_in *m, enum wire_tag tag, enum wire_tag mem_tag)
{
	struct wire_field f;
	const char *p;
	uint64_t len;
	if (!next(m, tag, mem_tag, &f, &p))
		return STR("");
	if (f.tag == tag)
		return (struct str){ p, f.bytes };
	if (f.bytes != sizeof len) {
		bad(m);
		return STR("");
	}
	memcpy(&len, p, sizeof len);
	p = map_next(m, len);
	return p ? (struct str){ p, len } : STR("");
}

struct str ipc_get_str(struct ipc_in *m) { return get_bytes(m, WIRE_STR, WIRE_STR_MEM); }

const int32_t *ipc_get_i32s(struct ipc_in *m, size_t *ret_n)
{
	struct str s = get_bytes(m, WIRE_I32S, WIRE_I32S_MEM);
	*ret_n = 0;
	if (s.len % sizeof(int32_t)) {
		bad(m);
		return NULL;
	}
	*ret_n = s.len / sizeof(int32_t);
	/* through void: fields are aligned to 8 and maps to a page */
	return s.len ? (const int32_t *)(const void *)s.ptr : NULL;
}

int ipc_get_fd(struct ipc_in *m)
{
	struct wire_field f;
	const char *p;
	if (!next(m, WIRE_FD, WIRE_FD, &f, &p))
		return -1;
	if (f.bytes != 0) {
		bad(m);
		return -1;
	}
	return take_fd(m);
}

bool ipc_more(const struct ipc_in *m) { return !m->err && m->rest.len > 0; }

enum err ipc_end(struct ipc_in *m)
{
	if (m->rest.len > 0 || m->next_fd != m->nfds)
		bad(m);
	return m->err;
}
