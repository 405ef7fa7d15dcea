#include "api/team/team.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/time.h"
#include "proto/keeper.h"

enum { ASK_MS = 10 * 1000, VERIFY_MS = 10 * 60 * 1000, HASH_MS = 60 * 1000, CACHE_MS = 5000 };

static enum err ask(struct call *c, struct ipc_out *m, int timeout_ms, struct ipc_in *in)
{
	return keeper_call(c->app->keeper, m, timeout_ms, in, &c->info);
}

static enum err read_key_info(struct call *c, struct key_info *ret)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	AUTO_JSON json_t *doc = NULL;
	struct str kind = STR_NONE;
	ipc_out_init(&m, ASK_KEY_INFO, 0);
	TRY(ask(c, &m, ASK_MS, &in));
	struct str text = ipc_get_str(&in);
	TRY(ipc_end(&in));
	TRY(json_read(text, text.len, 4, &doc, &c->info));
	TRY(json_want_str(doc, "kind", true, &kind, &c->info));
	TRY(json_want_bool(doc, "recovery", true, &ret->recovery, &c->info));
	return str_copy(kind, ret->kind, sizeof ret->kind);
}

enum err keeper_key_info(struct call *c, bool fresh, struct key_info *ret)
{
	struct api_state *s = c->app->state;
	struct key_info now = { .recovery = false };
	pthread_mutex_lock(&s->lock);
	bool have = !fresh && s->key_info_ms && time_mono_ms() - s->key_info_ms < CACHE_MS;
	if (have) {
		(void)snprintf(ret->kind, sizeof ret->kind, "%s", s->key_kind);
		ret->recovery = s->key_recovery;
	}
	pthread_mutex_unlock(&s->lock);
	if (have)
		return OK;
	TRY(read_key_info(c, &now));
	pthread_mutex_lock(&s->lock);
	memcpy(s->key_kind, now.kind, sizeof s->key_kind);
	s->key_recovery = now.recovery;
	s->key_info_ms = time_mono_ms();
	pthread_mutex_unlock(&s->lock);
	*ret = now;
	return OK;
}

enum err keeper_cache(
	struct call *c, uint64_t *ret_files, uint64_t *ret_bytes, uint64_t *ret_limit)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_CACHE, 0);
	TRY(ask(c, &m, ASK_MS, &in));
	uint64_t files = ipc_get_u64(&in), bytes = ipc_get_u64(&in), limit = ipc_get_u64(&in);
	TRY(ipc_end(&in));
	*ret_files = files;
	*ret_bytes = bytes;
	*ret_limit = limit;
	return OK;
}

enum err keeper_engines(struct call *c, bool fresh, engine_row_fn fn, void *arg)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_BUILDS, 0);
	ipc_put_bool(&m, fresh);
	TRY(ask(c, &m, HASH_MS, &in));
	while (ipc_more(&in)) {
		struct engine_row r = { .id = ipc_get_str(&in), .err = OK };
		r.version = ipc_get_str(&in);
		r.tree = ipc_get_str(&in);
		r.variant = ipc_get_str(&in);
		r.proto = ipc_get_u64(&in);
		r.current = ipc_get_bool(&in);
		uint64_t code = ipc_get_u64(&in);
		r.why = ipc_get_str(&in);
		ipc_want(&in, code < ERR_COUNT_ && r.id.len <= LIMIT_ENGINE_ID);
		r.err = (enum err)code;
		if (!in.err)
			TRY(fn(arg, &r));
	}
	return ipc_end(&in);
}

enum err keeper_recovery(struct call *c, struct buf *ret_code)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_RECOVERY, 0);
	TRY(ask(c, &m, ASK_MS, &in));
	struct str code = ipc_get_str(&in);
	TRY(ipc_end(&in));
	return buf_add(ret_code, code);
}

enum err keeper_sign(struct call *c, struct str bytes, uint8_t ret[SHA256_LEN])
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_SIGN, 0);
	ipc_put_str(&m, bytes);
	TRY(ask(c, &m, ASK_MS, &in));
	struct str mac = ipc_get_str(&in);
	TRY(ipc_end(&in));
	if (mac.len != SHA256_LEN)
		return ERR_PROTOCOL;
	memcpy(ret, mac.ptr, SHA256_LEN);
	return OK;
}

enum err keeper_audit_verify(
	struct call *c, bool *ret_intact, uint64_t *ret_records, struct buf *report)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_AUDIT_VERIFY, 0);
	TRY(ask(c, &m, VERIFY_MS, &in));
	*ret_intact = ipc_get_bool(&in);
	*ret_records = ipc_get_u64(&in);
	struct str text = ipc_get_str(&in);
	TRY(ipc_end(&in));
	return buf_add(report, text);
}

enum err keeper_audit_read(
	struct call *c, uint64_t before, uint64_t count, audit_entry_fn fn, void *arg)
{
	AUTO_IPC_OUT struct ipc_out m;
	AUTO_IPC_IN struct ipc_in in = { .type = 0 };
	ipc_out_init(&m, ASK_AUDIT_READ, 0);
	ipc_put_u64(&m, before);
	ipc_put_u64(&m, count);
	TRY(ask(c, &m, ASK_MS, &in));
	while (ipc_more(&in)) {
		uint64_t seq = ipc_get_u64(&in);
		int64_t at_ms = ipc_get_i64(&in);
		struct str event = ipc_get_str(&in);
		if (!in.err)
			TRY(fn(arg, seq, at_ms, event));
	}
	return ipc_end(&in);
}
