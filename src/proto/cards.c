#include "proto/cards.h"

#include <stdlib.h>

#include "base/buf.h"

static bool is_number(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0 && s.len <= 3;
}

static bool is_uuid(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i], low = (char)(c | 0x20);
		if (c != '-' && (c < '0' || c > '9') && (low < 'a' || low > 'z'))
			return false;
	}
	return s.len > 0;
}

enum card_api card_api_of(struct str id, struct str *ret_rest)
{
	struct str rest = id, api;
	if (id.len > CARD_ID_MAX || !str_next(&rest, ':', &api))
		return CARD_NONE;
	if (ret_rest)
		*ret_rest = rest;
	if (str_eq(api, STR("cuda")) && is_uuid(rest))
		return CARD_CUDA;
	return str_eq(api, STR("vulkan")) && is_number(rest) ? CARD_VULKAN : CARD_NONE;
}

void cards_quiet_drivers(void)
{
	static const struct {
		const char *name, *value;
	} env[] = {
		{ "VK_LOADER_LAYERS_DISABLE", "~implicit~" },
		{ "NODEVICE_SELECT", "1" }, /* Mesa's layer, for loaders that know no ~implicit~ */
		{ "MESA_SHADER_CACHE_DISABLE", "true" },
		{ "MESA_GLSL_CACHE_DISABLE", "true" },
		{ "__GL_SHADER_DISK_CACHE", "0" },
	};
	for (size_t i = 0; i < sizeof env / sizeof *env; i++)
		(void)setenv(env[i].name, env[i].value, 1);
}

enum err cards_show(const struct card_use *v, size_t n)
{
	AUTO_BUF struct buf list = BUF(CARDS_MAX * (CARD_ID_MAX + 1));
	enum card_api api = CARD_NONE;
	const char *names;
	struct str rest;
	for (size_t i = 0; i < n; i++) {
		enum card_api one = card_api_of(str_from(v[i].id), &rest);
		if (!one || (i && one != api))
			return ERR_INVALID;
		api = one;
		TRY(buf_addf(&list, "%s%.*s", i ? "," : "", STR_ARG(rest)));
	}
	cards_quiet_drivers();
	TRY(buf_cstr(&list, &names));
	(void)setenv("CUDA_VISIBLE_DEVICES", api == CARD_CUDA ? names : "", 1);
	(void)setenv("GGML_VK_VISIBLE_DEVICES", api == CARD_VULKAN ? names : "", 1);
	if (api == CARD_VULKAN)
		(void)unsetenv("GGML_DISABLE_VULKAN");
	else
		(void)setenv("GGML_DISABLE_VULKAN", "1", 1);
	return OK;
}
