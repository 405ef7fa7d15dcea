/* base/json.h - JSON from outside, read strictly; JSON for outside, written into a buf.
 *
 * Reading is jansson behind limits: depth, bytes, strict UTF-8, no duplicate keys, integers that
 * fit int64, no trailing bytes, no \u0000 in strings. Typed getters say which field is wrong. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

enum { JSON_DEPTH_DEFAULT = 64 };

[[maybe_unused]] static inline void auto_json_decref(json_t **j) { json_decref(*j); }
#define AUTO_JSON [[gnu::cleanup(auto_json_decref)]]

/* Parses one whole document. The caller owns *ret (json_decref).
 * Errors: ERR_BAD_JSON (detail says line and why), ERR_LIMIT (too deep or too long). The process
 * ends when memory runs out meanwhile (json.c says why); ERR_NOMEM comes of injection alone. */
enum err json_read(struct str text, size_t max_bytes, unsigned max_depth, json_t **ret,
		   struct err_info *info);

/* Getters. `path` names the field in messages: "messages[3].role". Absent or null with
 * `required` false leaves *ret as it was and returns OK. A string is borrowed from the value.
 * Errors: ERR_INVALID (wrong type, missing, out of range). */
enum err json_want_str(const json_t *obj, const char *key, bool required, struct str *ret,
		       struct err_info *info);
enum err json_want_i64(const json_t *obj, const char *key, bool required, int64_t min,
		       int64_t max, int64_t *ret, struct err_info *info);
enum err json_want_f64(const json_t *obj, const char *key, bool required, double min, double max,
		       double *ret, struct err_info *info); /* integers are accepted */
enum err json_want_bool(const json_t *obj, const char *key, bool required, bool *ret,
			struct err_info *info);
enum err json_want_obj(const json_t *obj, const char *key, bool required, json_t **ret,
		       struct err_info *info); /* borrowed */
enum err json_want_arr(const json_t *obj, const char *key, bool required, json_t **ret,
		       struct err_info *info); /* borrowed */

/* Writing: a flat writer that puts the commas. Depth at most 32. Sticky error in the buf.
 *   struct jw w; jw_init(&w, &buf); jw_obj(&w); jw_key(&w, "a"); jw_i64(&w, 1); jw_end(&w); */
struct jw {
	struct buf *out; /* borrowed */
	uint8_t depth, need_comma[33], is_obj[33];
	bool after_key;
};
void jw_init(struct jw *w, struct buf *out);
void jw_obj(struct jw *w);
void jw_arr(struct jw *w);
void jw_end(struct jw *w); /* closes the innermost */
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, struct str s); /* escapes; invalid UTF-8 becomes U+FFFD */
void jw_i64(struct jw *w, int64_t v);
void jw_u64(struct jw *w, uint64_t v);
void jw_f64(struct jw *w, double v); /* shortest form that reads back; not finite gives null */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str json);           /* trusted JSON text as a value */
void jw_json(struct jw *w, const json_t *v);          /* a parsed value */
/* key and value in one; a STR_NONE string (ptr NULL) writes null */
void jw_kstr(struct jw *w, const char *key, struct str s);
void jw_ki64(struct jw *w, const char *key, int64_t v);
void jw_kf64(struct jw *w, const char *key, double v);
void jw_kbool(struct jw *w, const char *key, bool v);
/* Adds `s` as a JSON string with quotes, without a writer. */
enum err json_add_str(struct buf *out, struct str s);
