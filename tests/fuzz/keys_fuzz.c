/* DIR/keys.json and the recovery code with any bytes in them. */
#include "tests/fuzz/fuzz.h"
#include "vault/keyring_int.h"

FUZZ
{
	struct str text = { (const char *)data, size };
	struct envelope a, b;
	uint8_t code[20];
	char again[RECOVERY_CODE_LEN + 1];
	AUTO_BUF struct buf out = BUF(64 * 1024);
	if (recovery_decode(text, code, NULL) == OK) {
		uint8_t back[20];
		recovery_encode(code, again);
		if (recovery_decode(str_from(again), back, NULL) || memcmp(code, back, sizeof code))
			DIE("a recovery code changes when it is written");
	}
	if (envelope_parse(text, &a, NULL) != OK)
		return;
	if (envelope_text(&a, &out) != OK)
		DIE("an envelope that was read cannot be written");
	if (envelope_parse(buf_str(&out), &b, NULL) != OK || memcmp(&a, &b, sizeof a) != 0)
		DIE("an envelope changes when it is written");
}
