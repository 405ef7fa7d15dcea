/* Every statement of this folder. Bound by position, never assembled. */
#include "vault/vault_int.h"

#define PERSON_COLUMNS \
	"id, email, name, role, state, language, address, theme, created_ms"

const struct sql Q_PERSON_NEW = { "person.new",
	"INSERT INTO person (id, email, email_key, name, role, state, language, password_hash,"
	" created_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?5, 'active', ?6, ?7, ?8, ?8)" };
const struct sql Q_PERSON_BY_ID = { "person.by_id",
	"SELECT " PERSON_COLUMNS " FROM person WHERE id = ?1" };
const struct sql Q_PERSON_BY_EMAIL = { "person.by_email",
	"SELECT " PERSON_COLUMNS " FROM person WHERE email_key = ?1" };
const struct sql Q_PERSON_LIST = { "person.list",
	"SELECT " PERSON_COLUMNS " FROM person ORDER BY name COLLATE NOCASE, id" };
const struct sql Q_PERSON_CHANGE = { "person.change",
	"UPDATE person SET name = ?2, role = ?3, state = ?4, language = ?5, address = ?6,"
	" theme = ?7, changed_ms = ?8 WHERE id = ?1" };
const struct sql Q_PERSON_DELETE = { "person.delete", "DELETE FROM person WHERE id = ?1" };
const struct sql Q_PERSON_NAME = { "person.name", "SELECT name FROM person WHERE id = ?1" };
const struct sql Q_PERSON_PASSWORD = { "person.password",
	"SELECT id, state, password_hash FROM person WHERE email_key = ?1" };
const struct sql Q_PERSON_PASSWORD_SET = { "person.password_set",
	"UPDATE person SET password_hash = ?2, changed_ms = ?3 WHERE id = ?1" };
const struct sql Q_PERSON_OTHER_OWNERS = { "person.other_owners",
	"SELECT count(*) FROM person WHERE role = 'owner' AND state = 'active' AND id <> ?1" };
const struct sql Q_PERSON_HAS_OWNER = { "person.has_owner",
	"SELECT count(*) FROM person WHERE role = 'owner' AND state = 'active'" };

const struct sql Q_SESSION_NEW = { "session.new",
	"INSERT INTO session (token_hash, person, csrf, created_ms, seen_ms, expires_ms, agent)"
	" SELECT ?1, id, ?3, ?4, ?4, ?5, ?6 FROM person WHERE id = ?2 AND state = 'active'" };
const struct sql Q_SESSION_FIND = { "session.find",
	"SELECT s.csrf, s.seen_ms, s.expires_ms, p.id, p.name, p.role, p.state"
	" FROM session s JOIN person p ON p.id = s.person WHERE s.token_hash = ?1" };
const struct sql Q_SESSION_SEEN = { "session.seen",
	"UPDATE session SET seen_ms = ?2 WHERE token_hash = ?1 AND seen_ms < ?2" };
const struct sql Q_SESSION_END = { "session.end", "DELETE FROM session WHERE token_hash = ?1" };
const struct sql Q_SESSION_END_ALL = { "session.end_all",
	"DELETE FROM session WHERE person = ?1 AND token_hash IS NOT ?2" };
const struct sql Q_SESSION_TRIM = { "session.trim",
	"DELETE FROM session WHERE person = ?1 AND token_hash NOT IN"
	" (SELECT token_hash FROM session WHERE person = ?1 ORDER BY seen_ms DESC, created_ms DESC"
	" LIMIT ?2)" };
const struct sql Q_SESSION_SWEEP = { "session.sweep",
	"DELETE FROM session WHERE expires_ms <= ?1 OR seen_ms <= ?2" };

const struct sql Q_KEY_NEW = { "key.new",
	"INSERT INTO api_key (id, person, name, hash, hint, scopes, created_ms, expires_ms)"
	" SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8 FROM person WHERE id = ?2" };
const struct sql Q_KEY_FIND = { "key.find",
	"SELECT k.hash, k.scopes, k.used_ms, k.expires_ms, k.revoked_ms, p.id, p.name,"
	" p.role, p.state FROM api_key k JOIN person p ON p.id = k.person WHERE k.id = ?1" };
const struct sql Q_KEY_USED = { "key.used",
	"UPDATE api_key SET used_ms = ?2 WHERE id = ?1 AND (used_ms IS NULL OR used_ms < ?2)" };
const struct sql Q_KEY_OWNER = { "key.owner", "SELECT person FROM api_key WHERE id = ?1" };
const struct sql Q_KEY_REVOKE = { "key.revoke",
	"UPDATE api_key SET revoked_ms = coalesce(revoked_ms, ?2) WHERE id = ?1" };
const struct sql Q_KEY_LIST = { "key.list",
	"SELECT id, person, name, hint, scopes, created_ms, used_ms, expires_ms, revoked_ms"
	" FROM api_key WHERE person = ?1 ORDER BY created_ms DESC, id DESC" };
const struct sql Q_KEY_COUNT = { "key.count",
	"SELECT count(*) FROM api_key WHERE person = ?1 AND revoked_ms IS NULL" };

const struct sql Q_LINK_NEW = { "link.new",
	"INSERT INTO link (token_hash, kind, person, email, role, created_ms, expires_ms)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)" };
const struct sql Q_LINK_FIND = { "link.find",
	"SELECT l.kind, l.person, l.email, l.role, l.expires_ms, l.used_ms, p.email, p.state"
	" FROM link l LEFT JOIN person p ON p.id = l.person WHERE l.token_hash = ?1" };
const struct sql Q_LINK_USE = { "link.use",
	"UPDATE link SET used_ms = ?2 WHERE token_hash = ?1 AND used_ms IS NULL"
	" AND expires_ms > ?2" };
const struct sql Q_LINK_VOID_OWNER = { "link.void_owner",
	"UPDATE link SET used_ms = ?1 WHERE kind = 'owner' AND used_ms IS NULL" };
const struct sql Q_LINK_VOID_EMAIL = { "link.void_email",
	"UPDATE link SET used_ms = ?1 WHERE kind = 'invite' AND email = ?2 AND used_ms IS NULL" };
const struct sql Q_LINK_VOID_PERSON = { "link.void_person",
	"UPDATE link SET used_ms = ?1 WHERE kind = 'reset' AND person = ?2 AND used_ms IS NULL" };
const struct sql Q_LINK_SWEEP = { "link.sweep", "DELETE FROM link WHERE expires_ms <= ?1" };

const struct sql Q_THROTTLE_GET = { "throttle.get",
	"SELECT failures, until_ms, changed_ms FROM throttle WHERE who = ?1" };
const struct sql Q_THROTTLE_SET = { "throttle.set",
	"INSERT INTO throttle (who, failures, until_ms, changed_ms) VALUES (?1, ?2, ?3, ?4)"
	" ON CONFLICT (who) DO UPDATE SET failures = excluded.failures,"
	" until_ms = excluded.until_ms, changed_ms = excluded.changed_ms" };
const struct sql Q_THROTTLE_FORGIVE = { "throttle.forgive",
	"UPDATE throttle SET failures = max(failures - 1, 0), until_ms = 0 WHERE who = ?1" };
const struct sql Q_THROTTLE_CLEAR = { "throttle.clear", "DELETE FROM throttle WHERE who = ?1" };
const struct sql Q_THROTTLE_SWEEP = { "throttle.sweep",
	"DELETE FROM throttle WHERE changed_ms <= ?1 AND until_ms <= ?2" };

const struct sql *const vault_sql[] = {
	&Q_PERSON_NEW, &Q_PERSON_BY_ID, &Q_PERSON_BY_EMAIL, &Q_PERSON_LIST, &Q_PERSON_CHANGE,
	&Q_PERSON_DELETE, &Q_PERSON_NAME, &Q_PERSON_PASSWORD, &Q_PERSON_PASSWORD_SET,
	&Q_PERSON_OTHER_OWNERS, &Q_PERSON_HAS_OWNER,
	&Q_SESSION_NEW, &Q_SESSION_FIND, &Q_SESSION_SEEN, &Q_SESSION_END, &Q_SESSION_END_ALL,
	&Q_SESSION_TRIM, &Q_SESSION_SWEEP,
	&Q_KEY_NEW, &Q_KEY_FIND, &Q_KEY_USED, &Q_KEY_OWNER, &Q_KEY_REVOKE, &Q_KEY_LIST,
	&Q_KEY_COUNT,
	&Q_LINK_NEW, &Q_LINK_FIND, &Q_LINK_USE, &Q_LINK_VOID_OWNER, &Q_LINK_VOID_EMAIL,
	&Q_LINK_VOID_PERSON, &Q_LINK_SWEEP,
	&Q_THROTTLE_GET, &Q_THROTTLE_SET, &Q_THROTTLE_FORGIVE, &Q_THROTTLE_CLEAR, &Q_THROTTLE_SWEEP,
};
const size_t vault_sql_count = sizeof vault_sql / sizeof vault_sql[0];
