#include "engine/llama/vision.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "engine/llama/backend_int.h"
#include "engine/llama/vision_shim.h"
#include "os/fd.h"
#include "os/threads.h"

enum { STACK_BYTES = 8 << 20 }; /* the library is used to that much */

enum picture_state { PICTURE_NEW, PICTURE_AT_WORK, PICTURE_READY, PICTURE_FAILED };
struct engine_picture {
	struct llama_vision *v;
	struct shim_picture *shim;
	uint8_t hash[SHA256_LEN];
	size_t n_parts;
	float **rows; /* by part; NULL for tokens */
	/* under the lock of v: */
	enum picture_state state;
	enum err failure;
	bool left; /* freed while at work: its thread ends it */
};
struct llama_vision {
	struct llama_backend *b;
	struct shim_vision *shim;
	uint32_t n_embd;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool up, stop;
	struct engine_picture *job; /* NULL: the thread has nothing to do */
};

/* ---- the projector ---- */

/* The caller's thread computes with all cores: this one gets half. */
static int threads_of(const struct llama_backend *b)
{
	return b->facts.n_threads > 1 ? (int)b->facts.n_threads / 2 : 1;
}

enum err llama_vision_open(struct llama_backend *b, int projector_fd, struct err_info *info)
{
	char path[32], why[SHIM_WHY] = "";
	struct llama_vision *v = mem_zalloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	v->b = b;
	v->n_embd = (uint32_t)llama_model_n_embd_inp(b->model);
	(void)pthread_mutex_init(&v->lock, NULL);
	(void)pthread_cond_init(&v->changed, NULL);
	snprintf(path, sizeof path, "/proc/self/fd/%d", projector_fd);
	enum shim_result r =
		shim_vision_new(path, b->model, threads_of(b), b->facts.gpu, &v->shim, why);
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
	uint64_t size = 0;
	if (!fd_size(projector_fd, &size))
		b->facts.model_bytes += size; /* it is read, not mapped */
	b->vision = v;
	b->facts.sees = true;
	return OK;
}

struct llama_vision *llama_vision_free(struct llama_vision *v)
{
	if (!v)
		return NULL;
	if (v->up) {
		pthread_mutex_lock(&v->lock);
		v->stop = true;
		pthread_cond_signal(&v->changed);
		pthread_mutex_unlock(&v->lock);
		pthread_join(v->thread, NULL);
	}
	if (v->shim)
		shim_vision_free(v->shim);
	(void)pthread_cond_destroy(&v->changed);
	(void)pthread_mutex_destroy(&v->lock);
	mem_free(v);
	return NULL;
}

/* ---- a picture ---- */

static void picture_end(struct engine_picture *p)
{
	for (size_t i = 0; p->rows && i < p->n_parts; i++)
		mem_free(p->rows[i]);
	mem_free(p->rows);
	if (p->shim)
		shim_picture_free(p->shim);
	mem_free(p);
}

/* What its parts are must suit the text model, before anything is computed. */
static enum err check_parts(const struct engine_picture *p, struct err_info *info)
{
	const struct llama_backend *b = p->v->b;
	for (size_t i = 0; i < p->n_parts; i++) {
		size_t n = 0;
		if (shim_picture_tokens(p->shim, i, &n))
			continue;
		if (!n || shim_picture_positions(p->shim, i) != n)
			return err_set(info, ERR_INVALID,
				"the picture's rows have no plain positions");
		if (shim_picture_non_causal(p->v->shim, p->shim, i) && n > b->caps.n_ubatch)
			return err_set(info, ERR_LIMIT,
				"the picture has %zu rows, a batch of this model holds %u", n,
				b->caps.n_ubatch);
	}
	return OK;
}

/* The pixels stay as they are while they are mapped: the memfd is sealed. */
static enum err prepare(
	struct engine_picture *p, const struct gen_picture *g, struct err_info *info)
{
	size_t n = (size_t)g->width * g->height * 3;
	const int seals = F_SEAL_SHRINK | F_SEAL_WRITE;
	uint64_t size = 0;
	if ((fcntl(g->rgb_fd, F_GET_SEALS) & seals) != seals || fd_size(g->rgb_fd, &size) ||
		size != n)
		return err_set(
			info, ERR_INVALID, "the picture's pixels are not what they should be");
	void *rgb = mmap(NULL, n, PROT_READ, MAP_PRIVATE, g->rgb_fd, 0);
	if (rgb == MAP_FAILED)
		return ERR_NOMEM;
	enum shim_result r = shim_picture_new(p->v->shim, g->width, g->height, rgb, &p->shim);
	(void)munmap(rgb, n);
	if (r == SHIM_NOMEM)
		return ERR_NOMEM;
	if (r)
		return err_set(
			info, ERR_INVALID, "the picture cannot be prepared for this model");
	p->n_parts = shim_picture_parts(p->shim);
	p->rows = mem_zalloc(p->n_parts ? p->n_parts : 1, sizeof *p->rows);
	return p->rows ? check_parts(p, info) : ERR_NOMEM;
}

enum err llama_op_picture_new(void *backend, const struct gen_picture *g,
	struct engine_picture **ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	if (!b->vision)
		return err_set(info, ERR_UNSUPPORTED, "this model does not see pictures");
	struct engine_picture *p = mem_zalloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->v = b->vision;
	memcpy(p->hash, g->hash, sizeof p->hash);
	enum err e = prepare(p, g, info);
	if (e) {
		picture_end(p);
		return e;
	}
	*ret = p;
	return OK;
}

void llama_op_picture_free(void *b, struct engine_picture *p)
{
	(void)b;
	if (!p)
		return;
	struct llama_vision *v = p->v;
	pthread_mutex_lock(&v->lock);
	bool at_work = p->state == PICTURE_AT_WORK;
	p->left = true;
	pthread_mutex_unlock(&v->lock);
	if (!at_work)
		picture_end(p);
}

enum err llama_picture_place(
	struct engine_picture *p, struct tokens *tokens, struct media_list *media)
{
	for (size_t i = 0; i < p->n_parts; i++) {
		size_t n = 0;
		const int32_t *text = shim_picture_tokens(p->shim, i, &n);
		if (text) {
			TRY(tokens_add(tokens, text, n));
			continue;
		}
		struct engine_media m = { .of = p,
			.part = (uint32_t)i,
			.at = (uint32_t)tokens->n,
			.n = (uint32_t)n,
			.non_causal = shim_picture_non_causal(p->v->shim, p->shim, i) };
		TRY(media_add(media, &m));
		TRY(tokens_reserve(tokens, n));
		for (uint32_t k = 0; k < n; k++)
			tokens->v[tokens->n++] = media_token(p->hash, m.part, k);
	}
	return OK;
}

const float *llama_picture_values(const struct engine_picture *p, uint32_t part)
{
	return part < p->n_parts ? p->rows[part] : NULL;
}

/* ---- its rows ---- */

static enum err encode_part(struct engine_picture *p, size_t part)
{
	size_t n = 0;
	if (shim_picture_tokens(p->shim, part, &n))
		return OK;
	size_t values = n * p->v->n_embd;
	float *rows = p->rows[part] = mem_zalloc(values, sizeof *rows);
	if (!rows)
		return ERR_NOMEM;
	enum shim_result r = shim_picture_encode(p->v->shim, p->shim, part, rows, values);
	bool finite = true;
	for (size_t i = 0; !r && i < values; i++)
		finite &= isfinite(rows[i]) != 0;
	return r == SHIM_NOMEM ? ERR_NOMEM : r || !finite ? ERR_ENGINE : OK;
}

static void *encoder(void *arg)
{
	struct llama_vision *v = arg;
	pthread_mutex_lock(&v->lock);
	while (!v->stop) {
		struct engine_picture *p = v->job;
		if (!p) {
			pthread_cond_wait(&v->changed, &v->lock);
			continue;
		}
		pthread_mutex_unlock(&v->lock);
		enum err e = OK;
		for (size_t i = 0; !e && i < p->n_parts; i++)
			e = encode_part(p, i);
		pthread_mutex_lock(&v->lock);
		p->state = e ? PICTURE_FAILED : PICTURE_READY;
		p->failure = e;
		v->job = NULL;
		if (p->left)
			picture_end(p);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

/* Under the lock. */
static enum err begin(struct llama_vision *v, struct engine_picture *p)
{
	if (v->job)
		return ERR_BUSY;
	if (!v->up)
		TRY(thread_start("pictures", STACK_BYTES, encoder, v, &v->thread));
	v->up = true;
	v->job = p;
	p->state = PICTURE_AT_WORK;
	pthread_cond_signal(&v->changed);
	return ERR_AGAIN;
}

enum err llama_op_picture_rows(void *b, struct engine_picture *p)
{
	(void)b;
	struct llama_vision *v = p->v;
	pthread_mutex_lock(&v->lock);
	enum err e = p->state == PICTURE_NEW       ? begin(v, p)
		     : p->state == PICTURE_AT_WORK ? ERR_AGAIN
		     : p->state == PICTURE_FAILED  ? p->failure
						   : OK;
	pthread_mutex_unlock(&v->lock);
	return e;
}

enum err llama_op_decode_rows(void *backend, enum engine_pool p, const struct engine_media *m,
	uint32_t from, uint32_t n, int32_t seq)
{
	struct llama_backend *b = llama_self(backend);
	const float *rows = llama_picture_values(m->of, m->part);
	size_t n_embd = m->of->v->n_embd;
	/* all that the library would abort for */
	if (!n || n > b->caps.n_batch || from > m->n || n > m->n - from || !b->ctx[p] || !rows ||
		(m->non_causal && (n != m->n || n > b->caps.n_ubatch)))
		return ERR_INVALID;
	struct llama_batch batch = llama_batch_init((int32_t)n, (int32_t)n_embd, 1);
	if (!batch.embd)
		return ERR_NOMEM;
	memcpy(batch.embd, rows + from * n_embd, n * n_embd * sizeof *batch.embd);
	for (uint32_t i = 0; i < n; i++) {
		batch.pos[i] = (int32_t)(m->at + from + i);
		batch.n_seq_id[i] = 1;
		batch.seq_id[i][0] = seq;
		batch.logits[i] = false;
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
