-- Full-text search over what was said. The index has terms (src/words) and no text. A row's id is the
-- message's time, so that the newest come first without sorting: ms << 20, and a counter. A long
-- message has several rows, one for each part.
CREATE TABLE search_row (
	id INTEGER PRIMARY KEY,
	message TEXT NOT NULL,
	at INTEGER NOT NULL           -- where the part begins, bytes
) STRICT;
CREATE INDEX search_row_message ON search_row (message);

-- What is not in the index yet, or has to be taken in anew.
CREATE TABLE search_todo (
	message TEXT PRIMARY KEY,
	at INTEGER NOT NULL DEFAULT 0 -- what lies before is taken in
) STRICT, WITHOUT ROWID;

CREATE TABLE search_state (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	words INTEGER,                -- words_dict_id() of what made the terms: under another all are made anew
	deleted INTEGER NOT NULL      -- rows whose terms may still lie in the index's older parts
) STRICT;
INSERT INTO search_state (one, words, deleted) VALUES (1, NULL, 0);

-- who: the id of the person whose conversation it is
CREATE VIRTUAL TABLE search USING fts5(who, said, content='', contentless_delete=1, tokenize='words');

-- An answer that is being written is taken in when it has ended.
CREATE TRIGGER search_said AFTER INSERT ON message WHEN new.state <> 'streaming' BEGIN
	INSERT OR IGNORE INTO search_todo (message) VALUES (new.id);
END;
CREATE TRIGGER search_answered AFTER UPDATE OF state ON message
WHEN old.state = 'streaming' AND new.state <> 'streaming' BEGIN
	INSERT OR IGNORE INTO search_todo (message) VALUES (new.id);
END;
CREATE TRIGGER search_forgotten AFTER DELETE ON message BEGIN
	DELETE FROM search WHERE rowid IN (SELECT id FROM search_row WHERE message = old.id);
	DELETE FROM search_row WHERE message = old.id;
	DELETE FROM search_todo WHERE message = old.id;
	UPDATE search_state SET deleted = deleted + 1;
END;

INSERT INTO search_todo (message) SELECT id FROM message WHERE state <> 'streaming';
