#include "vault/audit_chain.h" /* first: proves that the header stands alone */

#include <inttypes.h>

#include "base/crypto.h"
#include "base/fault.h"
#include "base/hex.h"

enum { SEAL_LEN = 1 + 2 * AUDIT_MAC_LEN }; /* a space and the hex */

struct audit_chain {
	struct audit_head head;
	uint8_t key[AUDIT_KEY_LEN];
};

/* Returns the head after `body` and writes the " HEX\n" that ends its line; `c` stays put. */
static struct audit_head seal_body(const struct audit_chain *c, struct str body,
				   char end[SEAL_LEN + 2])
{
	struct audit_head next = { .seq = c->head.seq + 1 };
	struct hmac h;
	hmac_init(&h, c->key, sizeof c->key);
	hmac_add(&h, c->head.mac, sizeof c->head.mac);
	hmac_add(&h, body.ptr, body.len);
	hmac_end(&h, next.mac);
	end[0] = ' ';
	hex_encode(next.mac, sizeof next.mac, end + 1);
	end[SEAL_LEN] = '\n';
	end[SEAL_LEN + 1] = 0;
	return next;
}

enum err audit_chain_new(const uint8_t key[AUDIT_KEY_LEN], const struct audit_head *head,
			 struct audit_chain **ret)
{
	struct audit_chain *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	memcpy(c->key, key, sizeof c->key);
	if (head)
		c->head = *head;
	*ret = c;
	return OK;
}

static bool event_ok(struct str event)
{
	return event.len > 0 && event.len <= AUDIT_SEALED_MAX && !str_has_control(event) &&
	       str_is_utf8(event) && str_find_byte(event, ' ', 0) == SIZE_MAX;
}

enum err audit_chain_seal(struct audit_chain *c, int64_t at_ms, struct str event, struct buf *out)
{
	char end[SEAL_LEN + 2];
	size_t start = out->len;
	if (!event_ok(event) || at_ms < 0)
		return ERR_INVALID;
	enum err e = buf_addf(out, "%" PRIu64 " %" PRId64 " ", c->head.seq + 1, at_ms);
	if (!e)
		e = buf_add(out, event);
	struct audit_head next = { .seq = 0 };
	if (!e) {
		next = seal_body(c, buf_from(out, start), end);
		e = buf_add(out, (struct str){ end, SEAL_LEN + 1 });
	}
	if (e)
		buf_cut(out, start); /* half a line must never reach the log */
	else
		c->head = next;
	return e;
}

/* A decimal number as we write it: no sign, no leading zero, up to INT64_MAX. */
static bool number(struct str s, uint64_t *ret)
{
	return !str_to_u64(s, ret) && *ret <= INT64_MAX && (s.ptr[0] != '0' || s.len == 1);
}

enum err audit_line_parse(struct str line, struct audit_record *ret, uint8_t mac[AUDIT_MAC_LEN])
{
	struct str rest = line, seq, ms, event, hex;
	uint64_t n, at;
	if (line.len > AUDIT_LINE_MAX || !str_next(&rest, ' ', &seq) ||
	    !str_next(&rest, ' ', &ms) || !str_next(&rest, ' ', &event) ||
	    !str_next(&rest, ' ', &hex) || rest.ptr)
		return ERR_CORRUPT;
	if (!number(seq, &n) || !number(ms, &at) || !event_ok(event) ||
	    hex.len != 2 * AUDIT_MAC_LEN || hex_decode(hex, mac, AUDIT_MAC_LEN))
		return ERR_CORRUPT;
	*ret = (struct audit_record){ n, (int64_t)at, event };
	return OK;
}

enum err audit_chain_check(struct audit_chain *c, struct str line, struct audit_record *ret)
{
	char end[SEAL_LEN + 2];
	struct audit_record rec;
	uint8_t mac[AUDIT_MAC_LEN];
	if (line.len < SEAL_LEN)
		return ERR_CORRUPT;
	struct str body = { line.ptr, line.len - SEAL_LEN };
	struct audit_head next = seal_body(c, body, end);
	/* The MAC first: nothing unproven is parsed. The whole end is compared, separator and case
	 * of the hex included, so there is one valid spelling. */
	if (!ct_equal(end, body.ptr + body.len, SEAL_LEN) || audit_line_parse(line, &rec, mac) ||
	    rec.seq != next.seq)
		return ERR_CORRUPT;
	c->head = next;
	if (ret)
		*ret = rec;
	return OK;
}

struct audit_head audit_chain_head(const struct audit_chain *c)
{
	return c->head;
}

void audit_chain_set(struct audit_chain *c, const struct audit_head *head)
{
	c->head = *head;
}

struct audit_chain *audit_chain_free(struct audit_chain *c)
{
	if (c)
		wipe(c, sizeof *c);
	mem_free(c);
	return NULL;
}
