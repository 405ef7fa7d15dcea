-- Supply: who let an address in and whether models may be sent there, log-ins at registries, and
-- whose bundles are taken.

ALTER TABLE egress_host ADD COLUMN push INTEGER NOT NULL DEFAULT 0; -- 1: models may be sent there
ALTER TABLE egress_host ADD COLUMN person TEXT; -- who put the row here; NULL: the operator

CREATE TABLE registry_login (
	host TEXT NOT NULL,
	port INTEGER NOT NULL,
	sealed BLOB NOT NULL,                  -- name and password, under the keeper's credential key
	person TEXT,
	created_ms INTEGER NOT NULL,
	PRIMARY KEY (host, port)
) STRICT;

CREATE TABLE bundle_signer (
	fingerprint TEXT PRIMARY KEY,          -- as bundle_fingerprint() writes it
	person TEXT,                           -- who trusts it; NULL: the operator
	created_ms INTEGER NOT NULL
) STRICT;
