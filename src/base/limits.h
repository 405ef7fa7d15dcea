/* base/limits.h - every limit of the house in one list. Bytes unless the name says otherwise. */
#pragma once

enum {
	LIMIT_IPC_MESSAGE = 64 * 1024,       /* one datagram between roles */
	LIMIT_IPC_INLINE = 16 * 1024,        /* larger byte strings travel as sealed memfd */
	LIMIT_IPC_BULK = 64 * 1024 * 1024,
	LIMIT_IPC_FDS = 32,                  /* descriptors a message */
	LIMIT_IPC_QUEUE = 32 * 1024 * 1024,  /* unsent bytes a peer before it is given up */
	LIMIT_HTTP_HEADER = 32 * 1024,
	LIMIT_HTTP_BODY = 16 * 1024 * 1024,  /* default; a route may set less or more */
	LIMIT_HTTP_CONNECTIONS = 4096,
	LIMIT_HTTP_PER_ADDRESS = 1024,
	LIMIT_JSON_DEPTH = 64,
	LIMIT_MESSAGE = 4 * 1024 * 1024,     /* a person's message */
	LIMIT_PICTURES = 12 * 1024 * 1024,   /* of one message, together */
	LIMIT_ANSWER = 8 * 1024 * 1024,
	LIMIT_TITLE = 400,
	LIMIT_EMAIL = 254,
	LIMIT_NAME = 200,
	LIMIT_PASSWORD = 1024,
	LIMIT_STOP_STRINGS = 16,             /* count */
	LIMIT_STOP_STRING = 512,
	LIMIT_AUDIT_EVENT = 4096,
	LIMIT_MODEL_NAME = 255,
	LIMIT_ENGINE_ID = 63,                /* an engine build's (models/builds.h) */
	LIMIT_MANIFEST = 4 * 1024 * 1024,
	LIMIT_REQUEST_ARENA = 64 * 1024 * 1024,
	LIMIT_TEMPLATE = 256 * 1024,         /* a model's chat template */
	LIMIT_MODELFILE = 4 * 1024 * 1024,   /* licenses are long */
};
