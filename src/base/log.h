/* base/log.h - the process's own log: logfmt lines on stderr, one line an event.
 *
 * There is no way to pass free text with %s from a request: a line is a fixed message (a string
 * literal) and typed keys. KV_SECRET and KV_PROMPT do not exist, and values longer than 200 bytes
 * are cut. Never logged: prompts, answers, tokens, keys, cookies, e-mail addresses.
 * Libraries (L0-L2) never log; an error is logged once, where it is handled. Thread-safe. */
#pragma once

#include "base/str.h"

enum log_level { LOG_ERROR_, LOG_WARN_, LOG_INFO_, LOG_DEBUG_ };
struct log_kv {
	const char *key;
	enum { LOG_KV_STR, LOG_KV_I64, LOG_KV_ERR } kind;
	struct str s;
	int64_t i;
};
#define KV_STR(k, v) ((struct log_kv){ .key = "" k, .kind = LOG_KV_STR, .s = (v) })
#define KV_Z(k, v) ((struct log_kv){ .key = "" k, .kind = LOG_KV_STR, .s = str_from(v) })
#define KV_I64(k, v) ((struct log_kv){ .key = "" k, .kind = LOG_KV_I64, .i = (int64_t)(v) })
#define KV_ERR(e) ((struct log_kv){ .key = "error", .kind = LOG_KV_ERR, .i = (e) })

/* "error", "warn", "info", "debug" as in $TRESOR_LOG; anything else and NULL: info. */
enum log_level log_level_from(const char *text);
void log_init(const char *role, enum log_level max, int fd); /* role is kept, not copied */
void log_request(struct str request_id); /* for this thread's next lines; empty clears; copied */
void log_line(enum log_level l, const char *msg, const struct log_kv *kv, size_t n);
#define LOG_(l, msg, ...)                                                                          \
	log_line((l), "" msg, (struct log_kv[]){ { .key = NULL }, ##__VA_ARGS__ },                 \
		sizeof((struct log_kv[]){ { .key = NULL }, ##__VA_ARGS__ }) /                      \
			sizeof(struct log_kv))
#define log_error(msg, ...) LOG_(LOG_ERROR_, msg, ##__VA_ARGS__)
#define log_warn(msg, ...) LOG_(LOG_WARN_, msg, ##__VA_ARGS__)
#define log_info(msg, ...) LOG_(LOG_INFO_, msg, ##__VA_ARGS__)
#define log_debug(msg, ...) LOG_(LOG_DEBUG_, msg, ##__VA_ARGS__)
