#include "doc/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <webp/decode.h>

#include <jpeglib.h> /* wants stdio.h first */

#include <jerror.h>

#include "base/fault.h"

enum { JPEG_SCANS_MAX = 100 }; /* a progressive file may claim thousands, each over all pixels */

void image_done(struct image *i)
{
	mem_free(i->rgb);
	*i = (struct image){ .rgb = NULL };
}

/* Before any memory of that size is taken. */
static enum err take_room(uint64_t w, uint64_t h, struct image *ret, struct err_info *info)
{
	if (!w || !h)
		return err_set(info, ERR_INVALID, "the picture has no pixels");
	if (w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX || w * h > IMAGE_PIXELS_MAX)
		return err_set(info, ERR_LIMIT,
			"the picture claims %llu x %llu pixels; at most %d a side and %d million "
			"in all are read",
			(unsigned long long)w, (unsigned long long)h, IMAGE_SIDE_MAX,
			IMAGE_PIXELS_MAX / 1000000);
	ret->rgb = mem_zalloc(w * h, 3);
	if (!ret->rgb)
		return ERR_NOMEM;
	ret->width = (uint32_t)w;
	ret->height = (uint32_t)h;
	return OK;
}

static enum err damaged(struct err_info *info, const char *kind, const char *why)
{
	return err_set(info, ERR_INVALID, "the %s picture is damaged: %.100s", kind, why);
}

/* ---- PNG ---- */

static enum err decode_png(struct str s, struct image *ret, struct err_info *info)
{
	png_image png = { .version = PNG_IMAGE_VERSION };
	const png_color white = { 255, 255, 255 };
	if (!png_image_begin_read_from_memory(&png, s.ptr, s.len))
		return damaged(info, "PNG", png.message);
	png.format = PNG_FORMAT_RGB;
	enum err e = take_room(png.width, png.height, ret, info);
	if (!e && !png_image_finish_read(&png, &white, ret->rgb, 0, NULL))
		e = damaged(info, "PNG", png.message);
	png_image_free(&png);
	return e;
}

/* ---- JPEG ---- */

struct jpeg {
	struct jpeg_decompress_struct d;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	char why[JMSG_LENGTH_MAX];
	jmp_buf out; /* the library's errors come back here */
};

[[gnu::noreturn]] static void jpeg_fail(j_common_ptr c)
{
	struct jpeg *j = c->client_data;
	c->err->format_message(c, j->why);
	longjmp(j->out, 1);
}

/* Warnings are common and harmless but one: a file that ends in the middle. */
static void jpeg_message(j_common_ptr c, int level)
{
	if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF)
		jpeg_fail(c);
}

static void jpeg_progress(j_common_ptr c)
{
	struct jpeg *j = c->client_data;
	if (j->d.input_scan_number > JPEG_SCANS_MAX) {
		(void)!!str_copy(STR("too many scans"), j->why, sizeof j->why);
		longjmp(j->out, 1);
	}
}

static enum err read_rows(struct jpeg *j, struct image *ret, struct err_info *info)
{
	(void)jpeg_read_header(&j->d, TRUE);
	enum err e = take_room(j->d.image_width, j->d.image_height, ret, info);
	if (e)
		return e;
	j->d.out_color_space = JCS_RGB;
	(void)jpeg_start_decompress(&j->d);
	if (j->d.output_components != 3 || j->d.output_width != ret->width ||
		j->d.output_height != ret->height)
		return damaged(info, "JPEG", "its colours are of a kind that is not read");
	while (j->d.output_scanline < ret->height) {
		JSAMPROW row = ret->rgb + (size_t)j->d.output_scanline * ret->width * 3;
		(void)jpeg_read_scanlines(&j->d, &row, 1);
	}
	return OK;
}

static enum err decode_jpeg(struct str s, struct image *ret, struct err_info *info)
{
	struct jpeg *j = mem_zalloc(1, sizeof *j); /* not on the stack: longjmp keeps it whole */
	if (!j)
		return ERR_NOMEM;
	enum err e;
	j->d.err = jpeg_std_error(&j->errors);
	j->errors.error_exit = jpeg_fail;
	j->errors.emit_message = jpeg_message;
	j->d.client_data = j;
	if (setjmp(j->out)) {
		e = damaged(info, "JPEG", j->why);
	} else {
		jpeg_create_decompress(&j->d);
		j->progress.progress_monitor = jpeg_progress;
		j->d.progress = &j->progress;
		jpeg_mem_src(&j->d, (const unsigned char *)s.ptr, (unsigned long)s.len);
		e = read_rows(j, ret, info);
	}
	jpeg_destroy_decompress(&j->d);
	mem_free(j);
	return e;
}

/* ---- WebP ---- */

/* Onto white, in place: RGBA to RGB. */
static void flatten(const unsigned char *rgba, size_t pixels, unsigned char *rgb)
{
	for (size_t i = 0; i < pixels; i++) {
		unsigned a = rgba[4 * i + 3];
		for (int k = 0; k < 3; k++)
			rgb[3 * i + k] =
				(unsigned char)((rgba[4 * i + k] * a + 255 * (255 - a) + 127) /
						255);
	}
}

static enum err decode_webp(struct str s, struct image *ret, struct err_info *info)
{
	WebPBitstreamFeatures f;
	const uint8_t *p = (const uint8_t *)s.ptr;
	if (WebPGetFeatures(p, s.len, &f) != VP8_STATUS_OK)
		return damaged(info, "WebP", "its header cannot be read");
	if (f.has_animation)
		return err_set(info, ERR_INVALID, "an animated WebP is not read; send one picture");
	TRY(take_room((uint64_t)(f.width > 0 ? f.width : 0),
		(uint64_t)(f.height > 0 ? f.height : 0), ret, info));
	size_t pixels = (size_t)ret->width * ret->height;
	if (!f.has_alpha)
		return WebPDecodeRGBInto(p, s.len, ret->rgb, pixels * 3, (int)ret->width * 3)
			       ? OK
			       : damaged(info, "WebP", "its pixels cannot be read");
	unsigned char *rgba = mem_zalloc(pixels, 4);
	if (!rgba)
		return ERR_NOMEM;
	bool ok = WebPDecodeRGBAInto(p, s.len, rgba, pixels * 4, (int)ret->width * 4) != NULL;
	if (ok)
		flatten(rgba, pixels, ret->rgb);
	mem_free(rgba);
	return ok ? OK : damaged(info, "WebP", "its pixels cannot be read");
}

/* ---- which? ---- */

static enum err decode(struct str s, struct image *ret, struct err_info *info)
{
	switch (image_kind(s)) {
	case IMAGE_PNG:
		return decode_png(s, ret, info);
	case IMAGE_JPEG:
		return decode_jpeg(s, ret, info);
	case IMAGE_WEBP:
		return decode_webp(s, ret, info);
	case IMAGE_OTHER:
		break;
	}
	if (str_starts(s, STR("GIF8")) || str_starts(s, STR("BM")))
		return err_set(info, ERR_INVALID,
			"GIF and BMP pictures are not read; PNG, JPEG and WebP are");
	return err_set(info, ERR_INVALID, "it is not a picture: PNG, JPEG and WebP are read");
}

enum err image_decode(struct str bytes, struct image *ret, struct err_info *info)
{
	struct image got = { .rgb = NULL };
	if (bytes.len > IMAGE_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "the picture's file is over %d MiB",
			IMAGE_BYTES_MAX >> 20);
	enum err e = decode(bytes, &got, info);
	if (e) {
		image_done(&got);
		return e;
	}
	*ret = got;
	return OK;
}
