-- Models that are always loaded, and what engines measured of this machine.

CREATE TABLE model_pin (
	name TEXT PRIMARY KEY,                 -- as name_format() writes it
	person TEXT,                           -- who set it; NULL: the operator on the machine
	created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE engine_tuning (
	model_digest TEXT NOT NULL,            -- SHA-256 of the model's file
	build TEXT NOT NULL,                   -- of the engine that measured
	machine TEXT NOT NULL,                 -- processor, cores, card
	line TEXT NOT NULL,                    -- as the engine wrote it
	measured_ms INTEGER NOT NULL,
	PRIMARY KEY (model_digest, build, machine)
) STRICT;
