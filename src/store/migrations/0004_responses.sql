-- Answers of OpenAI's Responses API that were asked to be kept (chat/responses.h).

CREATE TABLE response (
	id TEXT PRIMARY KEY,
	person TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE,
	previous TEXT,                         -- goes on from it; no reference: it may be deleted alone
	root TEXT NOT NULL,                    -- the first of its chain; its own id where it is that
	state TEXT NOT NULL CHECK (state IN ('running', 'done')),
	bytes INTEGER NOT NULL,                -- of input and output: what a chain costs; before them, so that it reads neither
	label INTEGER NOT NULL DEFAULT 1 CHECK (label BETWEEN 0 AND 4),
	created_ms INTEGER NOT NULL,
	input TEXT NOT NULL,                   -- JSON array: the items of this request, without the chain's
	body TEXT NOT NULL                     -- JSON: the Response as the API tells it
) STRICT;
CREATE INDEX response_person ON response(person);
CREATE INDEX response_root ON response(root, created_ms);
CREATE INDEX response_running ON response(state) WHERE state = 'running';
CREATE TRIGGER response_label BEFORE UPDATE OF label ON response
	WHEN NEW.label < OLD.label AND NOT EXISTS
		(SELECT 1 FROM label_lowering WHERE object = OLD.id AND to_label = NEW.label)
	BEGIN SELECT RAISE(ABORT, 'label lowered without a decision'); END;
