#include "models/own.h"

void model_own_done(struct model_own *o)
{
	buf_done(&o->template_);
	buf_done(&o->system);
	json_decref(o->params);
	json_decref(o->messages);
	*o = (struct model_own){ .params = NULL };
}

enum err model_own_read(struct model_store *s, const struct model_entry *e, struct model_own *ret)
{
	AUTO_BUF struct buf params = BUF(LIMIT_MANIFEST), messages = BUF(LIMIT_MANIFEST);
	*ret = (struct model_own){ .template_ = BUF(LIMIT_MANIFEST),
		.system = BUF(LIMIT_MANIFEST) };
	struct model_texts t = { .template_ = &ret->template_,
		.system = &ret->system,
		.params = &params,
		.messages = &messages };
	enum err err = model_store_texts(s, e, &t);
	if (err) {
		model_own_done(ret);
		return err;
	}
	if (params.len && json_read(buf_str(&params), LIMIT_MANIFEST, 8, &ret->params, NULL))
		ret->params = NULL;
	if (messages.len && json_read(buf_str(&messages), LIMIT_MANIFEST, 8, &ret->messages, NULL))
		ret->messages = NULL;
	return OK;
}

void model_own_messages(const struct model_own *o, bool with_system,
	void (*add)(void *arg, struct str role, struct str content), void *arg)
{
	size_t i;
	json_t *one;
	if (with_system && o->system.len)
		add(arg, STR("system"), buf_str(&o->system));
	json_array_foreach(o->messages, i, one)
	{
		struct str role = STR_NONE, content = STR_NONE;
		if (!json_want_str(one, "role", true, &role, NULL) &&
			!json_want_str(one, "content", true, &content, NULL))
			add(arg, role, content);
	}
}
