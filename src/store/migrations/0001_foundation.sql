-- People, what they log in with, what they said, and a label on everything.
-- Times are Unix ms. Ids are 26 characters (base/random.h). label: 0 public, 1 internal,
-- 2 confidential, 3 personal, 4 taboo; code only ever raises it, a person lowers it.

CREATE TABLE person (
	id TEXT PRIMARY KEY,
	email TEXT NOT NULL UNIQUE,            -- as typed, trimmed
	email_key TEXT NOT NULL UNIQUE,        -- lower case, for looking up
	name TEXT NOT NULL,
	role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
	state TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
	password_hash TEXT,                    -- Argon2id; NULL: cannot log in by password
	language TEXT NOT NULL DEFAULT 'de',
	address TEXT NOT NULL DEFAULT 'sie' CHECK (address IN ('sie', 'du')),
	theme TEXT NOT NULL DEFAULT 'system' CHECK (theme IN ('system', 'light', 'dark')),
	created_ms INTEGER NOT NULL,
	changed_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
	token_hash BLOB PRIMARY KEY,           -- SHA-256 of the cookie; the cookie itself is never stored
	person TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE,
	csrf TEXT NOT NULL,
	created_ms INTEGER NOT NULL,
	seen_ms INTEGER NOT NULL,
	expires_ms INTEGER NOT NULL,
	agent TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX session_person ON session(person);

CREATE TABLE api_key (
	id TEXT PRIMARY KEY,
	person TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	hash BLOB NOT NULL UNIQUE,
	hint TEXT NOT NULL,                    -- the last four characters
	scopes TEXT NOT NULL DEFAULT 'chat,models.read',
	created_ms INTEGER NOT NULL,
	used_ms INTEGER,
	expires_ms INTEGER,
	revoked_ms INTEGER
) STRICT;
CREATE INDEX api_key_person ON api_key(person);

CREATE TABLE link (                            -- one-time links: owner, invitation, password reset
	token_hash BLOB PRIMARY KEY,
	kind TEXT NOT NULL CHECK (kind IN ('owner', 'invite', 'reset')),
	person TEXT REFERENCES person(id) ON DELETE CASCADE,
	email TEXT,
	role TEXT,
	created_ms INTEGER NOT NULL,
	expires_ms INTEGER NOT NULL,
	used_ms INTEGER
) STRICT;

CREATE TABLE throttle (                        -- failed log-ins per keyed hash of address or account
	who BLOB PRIMARY KEY,
	failures INTEGER NOT NULL,
	until_ms INTEGER NOT NULL,
	changed_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE conversation (
	id TEXT PRIMARY KEY,
	person TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE,
	title TEXT NOT NULL DEFAULT '',
	model TEXT NOT NULL DEFAULT '',
	label INTEGER NOT NULL DEFAULT 1 CHECK (label BETWEEN 0 AND 4),
	created_ms INTEGER NOT NULL,
	changed_ms INTEGER NOT NULL
) STRICT;
-- carries all columns of the list, so that listing reads nothing else
CREATE INDEX conversation_recent ON conversation(person, changed_ms DESC, id DESC, title, model, label, created_ms);

CREATE TABLE message (
	id TEXT PRIMARY KEY,
	conversation TEXT NOT NULL REFERENCES conversation(id) ON DELETE CASCADE,
	parent TEXT REFERENCES message(id) ON DELETE CASCADE,
	role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
	content TEXT NOT NULL DEFAULT '',
	thinking TEXT NOT NULL DEFAULT '',
	state TEXT NOT NULL CHECK (state IN ('done', 'streaming', 'stopped', 'failed')),
	error TEXT,                            -- slug and text of a failed answer
	tokens BLOB,                           -- accepted token ids, int32 little-endian, while streaming
	label INTEGER NOT NULL DEFAULT 1 CHECK (label BETWEEN 0 AND 4),
	model TEXT,                            -- name, digest, engine build, template hash of an answer
	model_digest TEXT,
	engine_build TEXT,
	template_hash TEXT,
	options TEXT,                          -- JSON: sampling as used, seed included
	stats TEXT,                            -- JSON: counts and times
	warnings TEXT,                         -- JSON array of strings: what was done otherwise than asked
	client_id TEXT,                        -- idempotency key of the page that sent it
	created_ms INTEGER NOT NULL,
	changed_ms INTEGER NOT NULL,
	UNIQUE (conversation, client_id)
) STRICT;
CREATE INDEX message_conversation ON message(conversation, created_ms, id);
CREATE INDEX message_streaming ON message(state) WHERE state = 'streaming';

CREATE TABLE document (
	id TEXT PRIMARY KEY,
	person TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE,
	conversation TEXT REFERENCES conversation(id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	media_type TEXT NOT NULL,
	blob TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	label INTEGER NOT NULL DEFAULT 1 CHECK (label BETWEEN 0 AND 4),
	created_ms INTEGER NOT NULL
) STRICT;

-- A label only rises by itself. A person's decision to lower one goes through label_lowering,
-- which names who and why in the same transaction.
CREATE TABLE label_lowering (
	object TEXT PRIMARY KEY,
	to_label INTEGER NOT NULL,
	person TEXT NOT NULL,
	reason TEXT NOT NULL,
	at_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER conversation_label BEFORE UPDATE OF label ON conversation
	WHEN NEW.label < OLD.label AND NOT EXISTS
		(SELECT 1 FROM label_lowering WHERE object = OLD.id AND to_label = NEW.label)
	BEGIN SELECT RAISE(ABORT, 'label lowered without a decision'); END;
CREATE TRIGGER message_label BEFORE UPDATE OF label ON message
	WHEN NEW.label < OLD.label AND NOT EXISTS
		(SELECT 1 FROM label_lowering WHERE object = OLD.id AND to_label = NEW.label)
	BEGIN SELECT RAISE(ABORT, 'label lowered without a decision'); END;
CREATE TRIGGER document_label BEFORE UPDATE OF label ON document
	WHEN NEW.label < OLD.label AND NOT EXISTS
		(SELECT 1 FROM label_lowering WHERE object = OLD.id AND to_label = NEW.label)
	BEGIN SELECT RAISE(ABORT, 'label lowered without a decision'); END;

CREATE TABLE setting (
	key TEXT PRIMARY KEY,
	value TEXT NOT NULL,
	changed_ms INTEGER NOT NULL,
	person TEXT
) STRICT;

CREATE TABLE egress_host (                     -- the allow-list of outgoing connections
	host TEXT NOT NULL,
	port INTEGER NOT NULL DEFAULT 443,
	purpose TEXT NOT NULL,
	plain INTEGER NOT NULL DEFAULT 0,      -- 1: http allowed (tests, registries on loopback)
	created_ms INTEGER NOT NULL,
	PRIMARY KEY (host, port)
) STRICT;
