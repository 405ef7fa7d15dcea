/* Pictures of a known pattern, written by each format's own encoder, and files that lie. */
#include "doc/image.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include "doc/image_ask.h"
#include "doc/image_job.h"
#include "os/fd.h"
#include "tests/test.h"

#ifdef __has_feature /* Clang's way of saying __SANITIZE_ADDRESS__ */
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

enum { W = 40, H = 24 };

/* Left half red over blue, right half grey ramp; alpha (where there is one): the last row clear. */
static void pattern(unsigned char *rgba)
{
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++) {
			unsigned char *p = rgba + (y * W + x) * 4, ramp = (unsigned char)(y * 10);
			p[0] = x < W / 2 ? (y < H / 2 ? 250 : 10) : ramp;
			p[1] = x < W / 2 ? 20 : ramp;
			p[2] = x < W / 2 ? (y < H / 2 ? 10 : 250) : ramp;
			p[3] = y == H - 1 ? 0 : 255;
		}
}

struct file {
	unsigned char *p;
	size_t n;
};
/* A copy that nobody has to free; the encoder's own memory goes. */
static struct file keep(unsigned char *p, size_t n)
{
	static unsigned char room[8][4096];
	static unsigned next;
	unsigned char *to = room[next++ % 8];
	CHECK(n <= sizeof room[0]);
	memcpy(to, p, n);
	free(p);
	return (struct file){ to, n };
}

static struct str bytes(struct file f)
{
	return (struct str){ (const char *)f.p, f.n };
}

static struct file png_file(void)
{
	static unsigned char rgba[W * H * 4];
	png_image i = {
		.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = PNG_FORMAT_RGBA
	};
	png_alloc_size_t n = 0;
	pattern(rgba);
	CHECK(png_image_write_to_memory(&i, NULL, &n, 0, rgba, 0, NULL));
	struct file f = { malloc(n), n };
	CHECK(png_image_write_to_memory(&i, f.p, &n, 0, rgba, 0, NULL));
	return keep(f.p, n);
}

static struct file jpeg_file(bool progressive)
{
	static unsigned char rgba[W * H * 4], row[W * 3];
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	struct file f = { NULL, 0 };
	unsigned long n = 0;
	pattern(rgba);
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &f.p, &n);
	c.image_width = W, c.image_height = H, c.input_components = 3, c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 95, TRUE);
	if (progressive)
		jpeg_simple_progression(&c);
	jpeg_start_compress(&c, TRUE);
	for (int y = 0; y < H; y++) {
		for (int x = 0; x < W * 3; x++)
			row[x] = rgba[(y * W + x / 3) * 4 + x % 3];
		JSAMPROW rows[1] = { row };
		(void)jpeg_write_scanlines(&c, rows, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return keep(f.p, n);
}

static struct file webp_file(void)
{
	static unsigned char rgba[W * H * 4];
	struct file f;
	pattern(rgba);
	f.n = WebPEncodeLosslessRGBA(rgba, W, H, W * 4, &f.p);
	CHECK(f.n > 0);
	return keep(f.p, f.n);
}

static int differs(int a, int b)
{
	return a < b ? b - a : a - b;
}

/* `most`: how far a value may be off. */
static void compare(const struct image *i, int most, bool alpha)
{
	static unsigned char rgba[W * H * 4];
	pattern(rgba);
	CHECK(i->width == W && i->height == H);
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++)
			for (int k = 0; k < 3; k++) {
				bool edge =
					most && (x / 16 != (x + 4) / 16 || differs(x, W / 2) < 9 ||
							differs(y, H / 2) < 9);
				int want = alpha && y == H - 1 ? 255 : rgba[(y * W + x) * 4 + k];
				int got = i->rgb[(y * W + x) * 3 + k];
				if (!edge && differs(want, got) > most)
					FAIL("pixel %d,%d[%d]: %d, not %d", x, y, k, got, want);
			}
}

static void check(struct file f, int most, bool alpha)
{
	struct image i;
	struct err_info info = { .code = OK };
	enum err e = image_decode(bytes(f), &i, &info);
	if (e)
		FAIL("%s: %s", err_slug(e), info.detail);
	compare(&i, most, alpha);
	image_done(&i);
}

TEST(a_png_has_its_pixels_and_white_where_it_is_clear)
{
	check(png_file(), 0, true);
}
TEST(a_webp_has_its_pixels_and_white_where_it_is_clear)
{
	check(webp_file(), 0, true);
}
TEST(a_jpeg_is_near_its_pixels)
{
	check(jpeg_file(false), 12, false);
	check(jpeg_file(true), 12, false);
}

static void refused(struct str s, enum err want, const char *words)
{
	struct image i = { .rgb = NULL };
	struct err_info info = { .code = OK };
	enum err e = image_decode(s, &i, &info);
	if (e != want || i.rgb || str_find(str_from(info.detail), str_from(words), 0) == SIZE_MAX)
		FAIL("%s: \"%s\", not %s: \"%s\"", err_slug(e), info.detail, err_slug(want), words);
}

static void put_be32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t crc(const unsigned char *p, size_t n) /* PNG specification, annex D */
{
	uint32_t c = UINT32_MAX;
	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
	}
	return ~c;
}

/* Claims cost nothing: little address space is left while they are judged. */
static void tighten(void)
{
#if defined(__SANITIZE_ADDRESS__) || ADDRESS_SANITIZER
	return; /* it needs terabytes of address space for itself */
#endif
	CHECK(setrlimit(RLIMIT_AS, &(struct rlimit){ 400u << 20, 400u << 20 }) == 0);
}

TEST(sixty_thousand_pixels_a_side_are_refused_before_any_memory)
{
	tighten();
	struct file f = png_file();
	put_be32(f.p + 16, 60000);
	put_be32(f.p + 20, 60000);
	put_be32(f.p + 29, crc(f.p + 12, 17));
	refused(bytes(f), ERR_LIMIT, "60000 x 60000");
	f = jpeg_file(false);
	size_t at = str_find(bytes(f), STR("\xff\xc0"), 0);
	CHECK(at != SIZE_MAX);
	f.p[at + 5] = f.p[at + 7] = 60000 >> 8;
	f.p[at + 6] = f.p[at + 8] = 60000 & 255;
	refused(bytes(f), ERR_LIMIT, "60000 x 60000");
	/* VP8X: canvas of 60,000 x 60,000, then nothing of it */
	static const unsigned char webp[] = { 'R', 'I', 'F', 'F', 22, 0, 0, 0, 'W', 'E', 'B', 'P',
		'V', 'P', '8', 'X', 10, 0, 0, 0, 0, 0, 0, 0, 0x5f, 0xea, 0, 0x5f, 0xea, 0 };
	struct image i = { .rgb = NULL };
	enum err e = image_decode(
		(struct str){ (const char *)webp, sizeof webp }, &i, &(struct err_info){ 0 });
	CHECK((e == ERR_LIMIT || e == ERR_INVALID) && !i.rgb);
}

TEST(many_pixels_on_sides_that_are_allowed_are_refused)
{
	tighten();
	struct file f = png_file();
	put_be32(f.p + 16, IMAGE_SIDE_MAX);
	put_be32(f.p + 20, IMAGE_SIDE_MAX);
	put_be32(f.p + 29, crc(f.p + 12, 17));
	refused(bytes(f), ERR_LIMIT, "20 million");
	put_be32(f.p + 16, 0);
	put_be32(f.p + 29, crc(f.p + 12, 17));
	refused(bytes(f), ERR_INVALID, "PNG");
}

TEST(what_is_no_picture_is_said_to_be_none)
{
	refused(STR(""), ERR_INVALID, "not a picture");
	refused(STR("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"), ERR_INVALID, "not a picture");
	refused(STR("GIF89a\x01\x00\x01\x00"), ERR_INVALID, "GIF and BMP");
	refused(STR("\x89PNG\r\n\x1a\n"), ERR_INVALID, "PNG");
	refused(STR("\xff\xd8\xff\xe0garbage"), ERR_INVALID, "JPEG");
	refused(STR("RIFF\x04\x00\x00\x00WEBPVP8 "), ERR_INVALID, "WebP");
	static char big[IMAGE_BYTES_MAX + 1];
	refused((struct str){ big, sizeof big }, ERR_LIMIT, "over 16 MiB");
}

TEST_TIMEOUT(a_file_cut_anywhere_is_an_error_or_a_picture_and_never_more, 120)
{
	struct file all[] = { png_file(), jpeg_file(false), jpeg_file(true), webp_file() };
	for (size_t k = 0; k < 4; k++) {
		size_t whole = 0;
		for (size_t n = 0; n < all[k].n; n++) {
			/* exactly n bytes of memory: a sanitizer sees a byte too many */
			unsigned char *copy = malloc(n ? n : 1);
			memcpy(copy, all[k].p, n);
			struct image i = { .rgb = NULL };
			struct err_info info = { .code = OK };
			if (image_decode((struct str){ (char *)copy, n }, &i, &info) == OK)
				whole++;
			else
				CHECK(!i.rgb && info.detail[0]);
			image_done(&i);
			free(copy);
		}
		CHECK(whole <= 16); /* the end mark alone may be missing */
	}
}

/* ---- the job and its asker ---- */

struct run {
	struct ipc *ch;
	int fd, status;
};
static void *job(void *arg)
{
	struct run *r = arg;
	r->status = image_job_main(r->ch, r->fd);
	ipc_free(r->ch);
	return NULL;
}

static enum err ask(struct str s, struct picture *ret, struct err_info *info, int *ret_status)
{
	int pair[2];
	struct run r;
	AUTO(ipc) struct ipc *mine = NULL;
	pthread_t t;
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &mine));
	CHECK_OK(ipc_new(pair[1], &r.ch));
	CHECK_OK(fd_memfd("t", s, &r.fd));
	CHECK(pthread_create(&t, NULL, job, &r) == 0);
	enum err e = image_job_wait(mine, 10000, ret, info);
	pthread_join(t, NULL);
	*ret_status = r.status;
	return e;
}

TEST(the_job_hands_over_sealed_pixels_or_the_reason)
{
	struct picture p = { .rgb_fd = -1 };
	struct err_info info = { .code = OK };
	int status;
	static unsigned char rgb[W * H * 3];
	CHECK_OK(ask(bytes(png_file()), &p, &info, &status));
	CHECK(status == 0 && p.width == W && p.height == H);
	CHECK_OK(fd_pread_full(p.rgb_fd, rgb, sizeof rgb, 0));
	CHECK(rgb[0] == 250 && rgb[1] == 20 && rgb[2] == 10);
	CHECK(pwrite(p.rgb_fd, "x", 1, 0) < 0); /* sealed */
	picture_done(&p);
	CHECK_ERR(ask(STR("not one"), &p, &info, &status), ERR_INVALID);
	CHECK(status == 1 && p.rgb_fd == -1);
	CHECK(str_find(str_from(info.detail), STR("not a picture"), 0) != SIZE_MAX);
}

static enum err told(uint64_t w, uint64_t h, int fd)
{
	int pair[2];
	AUTO(ipc) struct ipc *mine = NULL, *jail = NULL;
	struct picture p = { .rgb_fd = -1 };
	struct ipc_out m;
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &mine));
	CHECK_OK(ipc_new(pair[1], &jail));
	ipc_out_init(&m, IMAGE_RGB, 0);
	ipc_put_u64(&m, w);
	ipc_put_u64(&m, h);
	ipc_put_fd(&m, fd);
	CHECK_OK(ipc_send(jail, &m));
	enum err e = image_job_wait(mine, 1000, &p, &(struct err_info){ 0 });
	picture_done(&p);
	return e;
}

TEST(a_jail_that_lies_about_its_pixels_is_not_believed)
{
	int fd, files[2];
	CHECK_OK(fd_memfd("t", STR("123456"), &fd));
	CHECK_ERR(told(2, 2, dup(fd)), ERR_PROTOCOL); /* fewer bytes than it says */
	CHECK_ERR(told(0, 1, dup(fd)), ERR_PROTOCOL);
	CHECK_ERR(told(1u << 20, 1, dup(fd)), ERR_PROTOCOL);
	CHECK_ERR(told(UINT64_MAX / 3 + 3, 1, dup(fd)), ERR_PROTOCOL);
	CHECK_OK(told(2, 1, dup(fd)));
	CHECK(pipe(files) == 0);
	CHECK_ERR(told(2, 1, files[0]), ERR_PROTOCOL); /* not sealed */
}

TEST(a_jail_that_dies_or_hangs_is_the_pictures_fault)
{
	int pair[2];
	AUTO(ipc) struct ipc *mine = NULL;
	struct picture p = { .rgb_fd = -1 };
	struct err_info info = { .code = OK };
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &mine));
	CHECK_ERR(image_job_wait(mine, 20, &p, &info), ERR_INVALID);
	close(pair[1]);
	CHECK_ERR(image_job_wait(mine, 1000, &p, &info), ERR_INVALID);
}
