/* os/ipc_wire.h - the bytes of a message; private to ipc.c, ipc_msg.c and their tests.
 *
 * A datagram is the header and then fields. A field is 8 bytes of struct wire_field and its
 * payload, filled up with zeros to a multiple of 8, so that everything in a message is aligned.
 * Byte order is the machine's: both ends are the same build on the same machine. */
#pragma once

#include <assert.h>
#include <stdint.h>

struct wire_header {
	uint64_t protocol, id;
	uint16_t type, nfds;
	uint32_t bytes; /* of the whole datagram */
};
enum wire_tag {
	WIRE_U64 = 1,
	WIRE_I64,
	WIRE_F64,
	WIRE_BOOL,     /* u64, 0 or 1 */
	WIRE_STR,      /* the bytes */
	WIRE_STR_MEM,  /* u64 length; the bytes are in the next descriptor */
	WIRE_I32S,     /* the values */
	WIRE_I32S_MEM, /* u64 length in bytes; as above */
	WIRE_FD,       /* nothing; the next descriptor */
};
struct wire_field {
	uint8_t tag, zero[3];
	uint32_t bytes; /* of the payload, without the filling */
};
static_assert(sizeof(struct wire_header) == 24, "header is aligned");
static_assert(sizeof(struct wire_field) == 8, "fields are aligned");
