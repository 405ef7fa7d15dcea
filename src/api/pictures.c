#include "api/pictures.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hex.h"
#include "base/limits.h"
#include "doc/image.h"

enum { WHERE_MAX = 64 };

static void free_all(void *arg)
{
	struct pictures *p = arg;
	for (unsigned i = 0; i < p->n; i++)
		picture_done(&p->v[i]);
	p->n = 0;
}

enum err pictures_new(struct call *c, struct pictures **ret)
{
	struct pictures *p = ARENA_NEW(c->arena, struct pictures);
	if (!p)
		return ERR_NOMEM;
	p->c = c;
	TRY(arena_on_free(c->arena, free_all, p));
	*ret = p;
	return OK;
}

struct str pictures_data(struct str s)
{
	size_t comma = str_find_byte(s, ',', 0);
	struct str head = str_sub(s, 0, comma == SIZE_MAX ? 0 : comma);
	if (!str_starts(head, STR("data:")) || !str_ends(head, STR(";base64")))
		return STR_NONE;
	return str_sub(s, comma + 1, SIZE_MAX);
}

/* Over width, height and pixels. */
static enum err hash_of(const struct picture *p, uint8_t ret[SHA256_LEN])
{
	size_t n = (size_t)p->width * p->height * 3;
	uint32_t size[2] = { p->width, p->height };
	void *rgb = mmap(NULL, n, PROT_READ, MAP_PRIVATE, p->rgb_fd, 0);
	struct sha256 h;
	if (rgb == MAP_FAILED)
		return ERR_NOMEM;
	sha256_init(&h);
	sha256_add(&h, size, sizeof size);
	sha256_add(&h, rgb, n);
	sha256_end(&h, ret);
	(void)munmap(rgb, n);
	return OK;
}

/* What is over a limit is the picture's fault, as damage is. */
static enum err decode(struct app *app, struct str bytes, struct picture *ret,
	uint8_t ret_hash[SHA256_LEN], struct err_info *info)
{
	enum err e = picture_decode(app->keeper, bytes, ret, info);
	if (e)
		return e == ERR_LIMIT ? ERR_INVALID : e;
	e = hash_of(ret, ret_hash);
	if (e)
		picture_done(ret);
	return e;
}

enum err pictures_see(void *app, struct str bytes, struct chat_seen *ret, struct err_info *info)
{
	static const char *const types[] = {
		[IMAGE_PNG] = "image/png", [IMAGE_JPEG] = "image/jpeg", [IMAGE_WEBP] = "image/webp"
	};
	struct picture p = { .rgb_fd = -1 };
	enum image_kind kind = image_kind(bytes);
	TRY(decode(app, bytes, &p, ret->pixels.hash, info));
	if (!types[kind]) { /* the jail took for a picture what is none */
		picture_done(&p);
		return ERR_PROTOCOL;
	}
	ret->type = types[kind];
	ret->pixels.width = p.width;
	ret->pixels.height = p.height;
	ret->pixels.rgb_fd = p.rgb_fd;
	return OK;
}

enum err pictures_add_base64(struct pictures *p, const char *where, struct str base64)
{
	struct err_info *info = &p->c->info, why = { .code = OK };
	AUTO_BUF struct buf bytes = BUF(LIMIT_HTTP_BODY);
	if (p->n == PICTURES_MAX)
		return err_set(info, ERR_INVALID, "a request may have %d pictures", PICTURES_MAX);
	enum err e = b64_decode(base64, &bytes);
	if (e == ERR_INVALID)
		return err_set(info, e, "%s is not base64", where);
	TRY(e);
	e = decode(p->c->app, buf_str(&bytes), &p->v[p->n], p->hash[p->n], &why);
	if (e)
		return err_set(info, e, "%s: %s", where,
			why.detail[0] ? why.detail : err_text(e));
	p->n++; /* its descriptor is closed with the request */
	return OK;
}

void pictures_give(const struct pictures *p, struct gen_request *r)
{
	for (unsigned i = 0; i < p->n; i++) {
		r->picture[i] = (struct gen_picture){ .width = p->v[i].width,
			.height = p->v[i].height,
			.rgb_fd = p->v[i].rgb_fd };
		memcpy(r->picture[i].hash, p->hash[i], SHA256_LEN);
	}
	r->n_pictures = p->n;
}

enum err pictures_add_list(struct pictures *p, const json_t *list, size_t at)
{
	size_t i;
	json_t *one;
	char where[WHERE_MAX];
	if (!list || json_is_null(list))
		return OK;
	if (!json_is_array(list))
		return err_set(&p->c->info, ERR_INVALID,
			"messages[%zu].images must be a list of base64 strings", at);
	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		struct str s = { json_string_value(one), json_string_length(one) };
		snprintf(where, sizeof where, "messages[%zu].images[%zu]", at, i);
		if (!json_is_string(one))
			return err_set(&p->c->info, ERR_INVALID, "%s must be a string", where);
		if (str_starts(s, STR("data:")))
			s = pictures_data(s);
		TRY(pictures_add_base64(p, where, s));
	}
	return OK;
}

enum err pictures_add_part(struct pictures *p, const json_t *part, size_t at, size_t i)
{
	const json_t *url = json_object_get(part, "image_url");
	char where[WHERE_MAX];
	snprintf(where, sizeof where, "messages[%zu].content[%zu]", at, i);
	if (json_is_object(url))
		url = json_object_get(url, "url");
	if (!json_is_string(url))
		return err_set(
			&p->c->info, ERR_INVALID, "%s.image_url.url must be a string", where);
	return pictures_add_url(
		p, where, (struct str){ json_string_value(url), json_string_length(url) });
}

enum err pictures_add_url(struct pictures *p, const char *where, struct str url)
{
	if (!str_starts(url, STR("data:")))
		return err_set(&p->c->info, ERR_INVALID,
			"%s: a picture comes as \"data:image/png;base64,..\"; addresses are not "
			"fetched",
			where);
	return pictures_add_base64(p, where, pictures_data(url));
}
