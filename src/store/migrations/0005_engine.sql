-- Engine builds that somebody keeps (models/builds.h): an alias' version, the two sides of a trial, a
-- model that is always loaded. Empty: whichever build is current.

ALTER TABLE alias_channel ADD COLUMN engine TEXT NOT NULL DEFAULT '';
ALTER TABLE trial ADD COLUMN old_engine TEXT NOT NULL DEFAULT '';
ALTER TABLE trial ADD COLUMN new_engine TEXT NOT NULL DEFAULT '';
ALTER TABLE model_pin ADD COLUMN engine TEXT NOT NULL DEFAULT '';
