-- Aliases: names that stand for one version of a model until a person moves them, and the trials
-- that a version has passed before it answers everybody.

CREATE TABLE alias (
	name TEXT PRIMARY KEY,
	created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE alias_channel (
	alias TEXT NOT NULL REFERENCES alias (name) ON DELETE CASCADE,
	channel TEXT NOT NULL CHECK (channel IN ('production', 'candidate', 'previous')),
	digest TEXT NOT NULL,                  -- SHA-256 of the manifest
	model TEXT NOT NULL,                   -- the name it was chosen by, as name_format() writes it
	person TEXT,                           -- who put it here; NULL: the operator on the machine
	since_ms INTEGER NOT NULL,
	trial TEXT,                            -- by which it was promoted; NULL: without one
	reason TEXT NOT NULL DEFAULT '',       -- why it was promoted without one
	PRIMARY KEY (alias, channel)
) STRICT;
CREATE INDEX alias_channel_digest ON alias_channel (digest);

CREATE TABLE trial_prompt (
	id TEXT PRIMARY KEY,
	alias TEXT NOT NULL REFERENCES alias (name) ON DELETE CASCADE,
	text TEXT NOT NULL,
	person TEXT,
	created_ms INTEGER NOT NULL,
	UNIQUE (alias, text)
) STRICT;

CREATE TABLE trial (
	id TEXT PRIMARY KEY,
	alias TEXT NOT NULL REFERENCES alias (name) ON DELETE CASCADE,
	old_digest TEXT NOT NULL,              -- what production was
	old_model TEXT NOT NULL,
	new_digest TEXT NOT NULL,              -- what candidate was
	new_model TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'accepted', 'rejected')),
	prompts INTEGER NOT NULL,
	person TEXT,                           -- who ran it
	created_ms INTEGER NOT NULL,
	note TEXT NOT NULL DEFAULT '',         -- why it failed; what was said at the decision
	decided_by TEXT,
	decided_ms INTEGER                     -- NULL: nobody decided
) STRICT;
CREATE INDEX trial_alias ON trial (alias, created_ms);

CREATE TABLE trial_answer (
	trial TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
	place INTEGER NOT NULL,                -- 0, 1, .. in the order of the prompts
	prompt TEXT NOT NULL,                  -- as it was asked
	old_text TEXT NOT NULL,
	old_ms INTEGER NOT NULL,
	new_text TEXT NOT NULL,
	new_ms INTEGER NOT NULL,
	PRIMARY KEY (trial, place)
) STRICT;
