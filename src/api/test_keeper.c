/* The keeper, played: a thread at the other end of a real channel. */
#include <stdio.h>
#include <time.h>

#include "api/test_app.h"
#include "proto/keeper.h"

static pthread_mutex_t audit_lock = PTHREAD_MUTEX_INITIALIZER;

bool fakes_audited(const char *text)
{
	bool found = false;
	for (int i = 0; i < 200 && !found; i++) { /* how it ended is written after the reply */
		pthread_mutex_lock(&audit_lock);
		found = strstr(fakes.audit_log, text) != NULL;
		pthread_mutex_unlock(&audit_lock);
		if (!found)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	return found;
}

bool fakes_never_audited(const char *text)
{
	pthread_mutex_lock(&audit_lock);
	bool found = strstr(fakes.audit_log, text) != NULL;
	pthread_mutex_unlock(&audit_lock);
	return !found;
}

static void take_audit(struct ipc_in *m)
{
	uint64_t n = ipc_get_u64(m);
	pthread_mutex_lock(&audit_lock);
	for (uint64_t i = 0; i < n; i++) {
		struct str event = ipc_get_str(m);
		size_t at = strlen(fakes.audit_log);
		snprintf(fakes.audit_log + at, sizeof fakes.audit_log - at, "%.*s\n",
			STR_ARG(event));
		fakes.audits++;
	}
	pthread_mutex_unlock(&audit_lock);
}

static void put_entries(struct ipc_out *out)
{
	for (uint64_t seq = 2; seq >= 1; seq--) {
		ipc_put_u64(out, seq);
		ipc_put_i64(out, 1700000000000);
		ipc_put_str(out,
			STR("{\"actor\":\"local\",\"role\":\"local\",\"action\":\"owner.link\","
			    "\"outcome\":\"ok\",\"address\":\"local\"}"));
	}
}

static void put_build(struct ipc_out *out, const char *id, bool current, enum err e)
{
	ipc_put_str(out, str_from(id));
	ipc_put_str(out, STR("0.5.0"));
	ipc_put_str(out, STR("18ce"));
	ipc_put_str(out, STR("native"));
	ipc_put_u64(out, 1);
	ipc_put_bool(out, current);
	ipc_put_u64(out, e);
	ipc_put_str(out, e ? STR("it is damaged") : STR(""));
}

static void fake_answer(struct ipc *c, struct ipc_in *m)
{
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	if (m->type == ASK_AUDIT && fakes.audit_error) {
		answer_put(&out, fakes.audit_error, STR("the disk is full"));
		CHECK_OK(ipc_send(c, &out));
		return;
	}
	answer_put(&out, OK, STR_NONE);
	switch (m->type) {
	case ASK_KEY_INFO:
		ipc_put_str(&out, STR("{\"kind\":\"file\",\"recovery\":false}"));
		break;
	case ASK_RECOVERY:
		ipc_put_str(&out, STR("abcd1-efgh2"));
		break;
	case ASK_SIGN:
		ipc_put_str(&out, STR("0123456789abcdef0123456789abcdef"));
		break;
	case ASK_AUDIT_READ:
		put_entries(&out);
		break;
	case ASK_AUDIT:
		take_audit(m);
		ipc_put_u64(&out, 1);
		break;
	case ASK_LOGIN_SEAL:
		ipc_put_str(&out, STR("sealed"));
		break;
	case ASK_BUNDLE_SIGN:
		ipc_put_str(&out, STR("0123456789abcdef0123456789abcdef"));
		ipc_put_str(&out, STR("0123456789abcdef0123456789abcdef"
				      "0123456789abcdef0123456789abcdef"));
		break;
	case ASK_CACHE:
		ipc_put_u64(&out, 2);
		ipc_put_u64(&out, UINT64_C(3) << 29);
		ipc_put_u64(&out, UINT64_C(4) << 30);
		break;
	case ASK_BUILDS:
		put_build(&out, "e-1", false, OK);
		put_build(&out, "e-2", true, OK);
		put_build(&out, "e-3", false, ERR_BUILD);
		break;
	case ASK_AUDIT_VERIFY:
		ipc_put_bool(&out, true);
		ipc_put_u64(&out, 7);
		ipc_put_str(&out, STR("7 records, intact"));
		break;
	default:
		FAIL("the fake keeper does not know %u", m->type);
	}
	CHECK_OK(ipc_send(c, &out));
}

void *fake_keeper_main(void *arg)
{
	struct ipc *c = arg;
	for (;;) {
		AUTO_IPC_IN struct ipc_in in = { .type = 0 };
		if (ipc_recv_wait(c, -1, &in))
			break;
		fake_answer(c, &in);
	}
	ipc_free(c);
	return NULL;
}
