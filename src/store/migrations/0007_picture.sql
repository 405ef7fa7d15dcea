-- Pictures in conversations (chat/chat_pictures.c), and which model an answer was asked of when
-- another had to make it.

CREATE TABLE message_picture (
	message TEXT NOT NULL REFERENCES message(id) ON DELETE CASCADE,
	place INTEGER NOT NULL,                -- 0, 1, .. in the message
	conversation TEXT NOT NULL REFERENCES conversation(id) ON DELETE CASCADE, -- the message's: most have no picture at all
	type TEXT NOT NULL CHECK (type IN ('image/png', 'image/jpeg', 'image/webp')), -- what the jail read it as
	width INTEGER NOT NULL,
	height INTEGER NOT NULL,
	bytes BLOB NOT NULL,                   -- as they came; last, so that reading the rest does not read them
	PRIMARY KEY (message, place)
) STRICT;
CREATE INDEX message_picture_conversation ON message_picture(conversation);

ALTER TABLE message ADD COLUMN instead_of TEXT; -- the model that was asked and cannot see pictures; NULL: the answer is its own
