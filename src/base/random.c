#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/time.h"

static const char CROCKFORD[] = "0123456789abcdefghjkmnpqrstvwxyz";

void random_bytes(void *dst, size_t n)
{
	char *p = dst;
	while (n) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno != EINTR)
			DIE("getrandom");
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

uint64_t random_u64(void)
{
	uint64_t v;
	random_bytes(&v, sizeof v);
	return v;
}

void id_new(char dst[ID_LEN + 1])
{
	uint64_t ms = (uint64_t)time_now_ms();
	uint8_t bytes[16];
	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	random_bytes(bytes + 6, 10);
	/* 26 digits hold 130 bits: two zero bits come first. */
	uint32_t acc = 0;
	unsigned bits = 2, at = 0;
	for (size_t i = 0; i < sizeof bytes; i++) {
		acc = acc << 8 | bytes[i];
		bits += 8;
		while (bits >= 5) {
			bits -= 5;
			dst[at++] = CROCKFORD[acc >> bits & 31];
		}
	}
	dst[at] = '\0';
}

bool id_ok(struct str s)
{
	if (s.len != ID_LEN || s.ptr[0] > '7')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!s.ptr[i] || !strchr(CROCKFORD, s.ptr[i]))
			return false;
	return true;
}
