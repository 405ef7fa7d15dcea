/* A file of the audit log with any bytes in it: reading, checking and telling a torn end. */
#include <unistd.h>

#include "os/fd.h"
#include "tests/fuzz/fuzz.h"
#include "vault/audit_files.h"

static enum err line(void *arg, struct str text, uint64_t at)
{
	struct audit_chain *c = arg;
	struct audit_record a, b;
	uint8_t mac[AUDIT_MAC_LEN];
	enum err parsed = audit_line_parse(text, &a, mac);
	struct audit_head before = audit_chain_head(c);
	if (audit_chain_check(c, text, &b) == OK) {
		if (parsed || a.seq != b.seq || a.at_ms != b.at_ms || !str_eq(a.event, b.event))
			DIE("a sealed line that does not parse");
	} else if (audit_chain_head(c).seq != before.seq) {
		DIE("a refused line moved the chain");
	}
	return OK;
}

FUZZ
{
	static const uint8_t key[AUDIT_KEY_LEN] = { 1, 2, 3 };
	AUTO(audit_chain) struct audit_chain *c = NULL;
	AUTO_FD int fd = -1;
	uint64_t end = 0;
	bool torn = false;
	if (audit_chain_new(key, NULL, &c) ||
	    fd_memfd("fuzz", (struct str){ (const char *)data, size }, &fd))
		return;
	enum err e = audit_scan(fd, 0, line, c, &end);
	if (end > size || (end && data[end - 1] != '\n'))
		DIE("the scan ends inside a line");
	if (!e && size - end > AUDIT_LINE_MAX)
		DIE("a line without end was taken");
	if (audit_is_torn(fd, end, size, &torn) == OK && torn && size - end > AUDIT_TAIL_MAX)
		DIE("more than one batch counts as torn");
}
