#include "engine/llama/vision.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "engine/llama/backend_int.h"
#include "engine/llama/vision_shim.h"

struct llama_vision {
	struct llama_backend *b;
	struct shim_vision *shim;
	uint32_t n_embd;
};

enum err llama_vision_new(struct llama_backend *b, int projector_fd, struct llama_vision **ret,
	struct err_info *info)
{
	char path[32], why[SHIM_WHY] = "";
	struct llama_vision *v = mem_zalloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	v->b = b;
	v->n_embd = (uint32_t)llama_model_n_embd_inp(b->model);
	snprintf(path, sizeof path, "/proc/self/fd/%d", projector_fd);
	enum shim_result r = shim_vision_new(
		path, b->model, (int)b->facts.n_threads, b->facts.gpu, &v->shim, why);
	enum err e = OK;
	llama_clean(why);
	if (r == SHIM_NOMEM)
		e = ERR_NOMEM;
	else if (r)
		e = err_set(info, ERR_MODEL_BAD, "not a usable projector for this model%s%s",
			why[0] ? ": " : "", why);
	else if (!shim_vision_sees(v->shim))
		e = err_set(info, ERR_UNSUPPORTED, "the projector is for sound, not for pictures");
	else if (shim_vision_mrope(v->shim))
		e = err_set(info, ERR_UNSUPPORTED,
			"pictures of this kind of model (positions in a plane) are not read yet");
	if (e) {
		llama_vision_free(v);
		return e;
	}
	*ret = v;
	return OK;
}

struct llama_vision *llama_vision_free(struct llama_vision *v)
{
	if (!v)
		return NULL;
	if (v->shim)
		shim_vision_free(v->shim);
	mem_free(v);
	return NULL;
}

static void hash_of(uint32_t w, uint32_t h, const unsigned char *rgb, size_t part,
	uint8_t ret[SHA256_LEN])
{
	uint8_t pixels[SHA256_LEN], all[SHA256_LEN + 3 * sizeof(uint64_t)];
	uint64_t facts[3] = { w, h, part };
	sha256_of(rgb, (size_t)w * h * 3, pixels);
	memcpy(all, pixels, sizeof pixels);
	memcpy(all + sizeof pixels, facts, sizeof facts);
	sha256_of(all, sizeof all, ret);
}

static enum err add_rows(struct llama_vision *v, const struct shim_picture *p, size_t part,
	size_t n, struct tokens *tokens, struct media_list *media, struct err_info *info)
{
	bool together = shim_picture_non_causal(v->shim, p, part);
	if (media->n == MEDIA_MAX)
		return err_set(info, ERR_LIMIT, "the pictures have too many parts");
	if (!n || shim_picture_positions(p, part) != n)
		return err_set(info, ERR_INVALID, "the picture's rows have no plain positions");
	if (together && n > v->b->caps.n_ubatch)
		return err_set(info, ERR_LIMIT,
			"the picture has %zu rows, a batch of this model holds %u", n,
			v->b->caps.n_ubatch);
	float *rows = mem_zalloc(n * (size_t)v->n_embd, sizeof *rows);
	if (!rows)
		return ERR_NOMEM;
	enum shim_result r = shim_picture_encode(v->shim, p, part, rows, n * v->n_embd);
	bool finite = true;
	for (size_t i = 0; !r && i < n * v->n_embd; i++)
		finite &= isfinite(rows[i]) != 0;
	enum err e = r == SHIM_NOMEM ? ERR_NOMEM : r ? ERR_ENGINE : OK;
	if (!e && !finite)
		e = err_set(info, ERR_MODEL_BAD, "the projector gave values that are not numbers");
	static const int32_t place = MEDIA_TOKEN;
	uint32_t at = (uint32_t)tokens->n;
	for (size_t i = 0; !e && i < n; i++)
		e = tokens_add(tokens, &place, 1);
	if (e) {
		mem_free(rows);
		return e;
	}
	media->v[media->n++] = (struct engine_media){ .at = at,
		.n = (uint32_t)n,
		.n_embd = v->n_embd,
		.rows = rows,
		.non_causal = together };
	return OK;
}

static enum err add_parts(struct llama_vision *v, const struct shim_picture *p,
	struct tokens *tokens, struct media_list *media, struct err_info *info)
{
	for (size_t i = 0; i < shim_picture_parts(p); i++) {
		size_t n = 0;
		const int32_t *text = shim_picture_tokens(p, i, &n);
		if (text)
			TRY(tokens_add(tokens, text, n));
		else
			TRY(add_rows(v, p, i, n, tokens, media, info));
	}
	return OK;
}

enum err llama_vision_add(struct llama_vision *v, uint32_t width, uint32_t height,
	const unsigned char *rgb, struct tokens *tokens, struct media_list *media,
	struct err_info *info)
{
	struct shim_picture *p = NULL;
	size_t n_tokens = tokens->n, n_media = media->n;
	enum shim_result r = shim_picture_new(v->shim, width, height, rgb, &p);
	if (r)
		return r == SHIM_NOMEM ? ERR_NOMEM
				       : err_set(info, ERR_INVALID,
						 "the picture cannot be prepared for this model");
	enum err e = add_parts(v, p, tokens, media, info);
	shim_picture_free(p);
	if (e) {
		tokens->n = n_tokens;
		while (media->n > n_media)
			mem_free(media->v[--media->n].rows);
		return e;
	}
	for (size_t i = n_media; i < media->n; i++)
		hash_of(width, height, rgb, i - n_media, media->v[i].hash);
	return OK;
}

enum err llama_vision_decode(struct llama_backend *b, enum engine_pool p,
	const struct engine_media *m, uint32_t from, uint32_t n, int32_t seq, int32_t pos, bool out)
{
	/* all that the library would abort for */
	if (!n || n > b->caps.n_batch || from > m->n || n > m->n - from || !b->ctx[p] ||
		m->n_embd != (uint32_t)llama_model_n_embd_inp(b->model) ||
		(m->non_causal && (n != m->n || n > b->caps.n_ubatch)))
		return ERR_INVALID;
	struct llama_batch batch = llama_batch_init((int32_t)n, (int32_t)m->n_embd, 1);
	if (!batch.embd)
		return ERR_NOMEM;
	memcpy(batch.embd, m->rows + (size_t)from * m->n_embd,
		(size_t)n * m->n_embd * sizeof *batch.embd);
	for (uint32_t i = 0; i < n; i++) {
		batch.pos[i] = pos + (int32_t)i;
		batch.n_seq_id[i] = 1;
		batch.seq_id[i][0] = seq;
		batch.logits[i] = out && i + 1 == n;
	}
	batch.n_tokens = (int32_t)n;
	b->last = b->ctx[p];
	if (m->non_causal)
		llama_set_causal_attn(b->last, false);
	int rc = shim_decode(b->last, batch);
	if (m->non_causal)
		llama_set_causal_attn(b->last, true);
	llama_batch_free(batch);
	return rc == 0 ? OK : rc == 1 ? ERR_AGAIN : rc == -1 ? ERR_INVALID : ERR_ENGINE;
}
