#include "vault/audit_chain.h"

#include "tests/test.h"

/* From tests/kat/audit_chain.py, which shares no code with audit_chain.c. */
#define LINE_1 "1 1700000000000 {\"act\":\"login\"} " \
	"267d0650322e4c9b47e7b1e386a54ea739191cd323db329cc256e111524e8481"
#define MAC_2 "13ef0470fdd5c8acfc9dd0e296f16a3e838aca64b61e1d8b5d6bcfbdaa6862b7"
#define MAC_3 "c1615a671312e881bcbff5a744179f2b5d006ae49311949354b968182e30574e"
#define LINE_2 "2 1700000000001 c2VhbGVk " MAC_2
#define LINE_3 "3 1700000000002 eA== " MAC_3

static const uint8_t key[AUDIT_KEY_LEN] = { 1, 2, 3 };

static struct audit_chain *fresh(void)
{
	struct audit_chain *c = NULL;
	CHECK_OK(audit_chain_new(key, NULL, &c));
	return c;
}

TEST(lines_match_an_independent_hmac)
{
	AUTO(audit_chain) struct audit_chain *c = fresh();
	AUTO_BUF struct buf log = BUF(8192);
	CHECK_OK(audit_chain_seal(c, 1700000000000, STR("{\"act\":\"login\"}"), &log));
	CHECK_OK(audit_chain_seal(c, 1700000000001, STR("c2VhbGVk"), &log));
	CHECK_OK(audit_chain_seal(c, 1700000000002, STR("eA=="), &log));
	CHECK_EQ_STR(buf_str(&log), STR(LINE_1 "\n" LINE_2 "\n" LINE_3 "\n"));
	CHECK_EQ_INT(audit_chain_head(c).seq, 3);
}

TEST(a_bad_event_changes_nothing)
{
	static char huge[AUDIT_SEALED_MAX + 1];
	AUTO(audit_chain) struct audit_chain *c = fresh();
	AUTO_BUF struct buf log = BUF(8192);
	memset(huge, 'a', sizeof huge);
	CHECK_ERR(audit_chain_seal(c, 0, STR("two\nlines"), &log), ERR_INVALID);
	CHECK_ERR(audit_chain_seal(c, 0, STR("two words"), &log), ERR_INVALID);
	CHECK_ERR(audit_chain_seal(c, 0, STR(""), &log), ERR_INVALID);
	CHECK_ERR(audit_chain_seal(c, 0, STR("\xff"), &log), ERR_INVALID);
	CHECK_ERR(audit_chain_seal(c, -1, STR("a"), &log), ERR_INVALID);
	CHECK_ERR(audit_chain_seal(c, 0, (struct str){ huge, sizeof huge }, &log), ERR_INVALID);
	CHECK_EQ_INT(log.len, 0);
	CHECK_EQ_INT(audit_chain_head(c).seq, 0);
	CHECK_OK(audit_chain_seal(c, 0, (struct str){ huge, sizeof huge - 1 }, &log));
}

TEST(a_full_buffer_gets_no_half_line)
{
	AUTO(audit_chain) struct audit_chain *c = fresh();
	for (size_t max = 1; max < sizeof LINE_1; max++) {
		AUTO_BUF struct buf log = BUF(max);
		CHECK_ERR(audit_chain_seal(c, 1700000000000, STR("{\"act\":\"login\"}"), &log),
			  ERR_LIMIT);
		CHECK_EQ_INT(log.len, 0);
		CHECK_EQ_INT(audit_chain_head(c).seq, 0);
	}
}

TEST(every_flipped_bit_and_every_replay_is_found)
{
	AUTO(audit_chain) struct audit_chain *c = fresh();
	char line[] = LINE_1;
	for (size_t bit = 0; bit < 8 * strlen(LINE_1); bit++) {
		line[bit / 8] ^= (char)(1 << bit % 8);
		CHECK_ERR(audit_chain_check(c, (struct str){ line, strlen(LINE_1) }, NULL),
			  ERR_CORRUPT);
		line[bit / 8] ^= (char)(1 << bit % 8);
	}
	CHECK_OK(audit_chain_check(c, STR(LINE_1), NULL));
	CHECK_ERR(audit_chain_check(c, STR(LINE_1), NULL), ERR_CORRUPT);
}

TEST(dropped_swapped_and_shortened_records_are_found)
{
	AUTO(audit_chain) struct audit_chain *c = fresh();
	struct audit_record rec;
	CHECK_ERR(audit_chain_check(c, STR(LINE_2), NULL), ERR_CORRUPT);
	CHECK_OK(audit_chain_check(c, STR(LINE_1), &rec));
	CHECK_ERR(audit_chain_check(c, STR(LINE_3), NULL), ERR_CORRUPT);
	for (size_t n = 0; n < strlen(LINE_2); n++)
		CHECK_ERR(audit_chain_check(c, str_sub(STR(LINE_2), 0, n), NULL), ERR_CORRUPT);
	CHECK_OK(audit_chain_check(c, STR(LINE_2), &rec));
	CHECK_EQ_INT(rec.seq, 2);
	CHECK_EQ_INT(rec.at_ms, 1700000000001);
	CHECK_EQ_STR(rec.event, STR("c2VhbGVk"));
}

TEST(a_chain_goes_on_from_a_stored_head)
{
	AUTO(audit_chain) struct audit_chain *a = fresh();
	AUTO(audit_chain) struct audit_chain *b = NULL;
	CHECK_OK(audit_chain_check(a, STR(LINE_1), NULL));
	struct audit_head head = audit_chain_head(a);
	CHECK_OK(audit_chain_new(key, &head, &b));
	CHECK_OK(audit_chain_check(b, STR(LINE_2), NULL));
}

TEST(another_key_does_not_fit)
{
	uint8_t other[AUDIT_KEY_LEN] = { 1, 2, 4 };
	AUTO(audit_chain) struct audit_chain *c = NULL;
	CHECK_OK(audit_chain_new(other, NULL, &c));
	CHECK_ERR(audit_chain_check(c, STR(LINE_1), NULL), ERR_CORRUPT);
}

TEST(a_line_has_one_spelling)
{
	struct audit_record rec;
	uint8_t mac[AUDIT_MAC_LEN];
	static const char *const bad[] = {
		"", " ", "1", "1 2", "1 2 a", "01 2 a " MAC_2, "1 02 a " MAC_2, "+1 2 a " MAC_2,
		"1 -2 a " MAC_2, "1 2  " MAC_2, "1  2 a " MAC_2, "1 2 a " MAC_2 " ",
		"1 2 a b " MAC_2,
		"1 2 a " MAC_2 "0", "99999999999999999999 2 a " MAC_2, " 1 2 a " MAC_2,
		"1 2 \xc3 " MAC_2, "1 2 a\t " MAC_2, "1 2 a x" MAC_2,
	};
	CHECK_OK(audit_line_parse(STR("1 0 a " MAC_2), &rec, mac));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (audit_line_parse(str_from(bad[i]), &rec, mac) != ERR_CORRUPT)
			FAIL("accepted \"%s\"", bad[i]);
}
