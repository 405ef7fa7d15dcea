/* A small page for the tests: made with Python's gzip, so another program's compressor. */
#include "api/page.h"

static const unsigned char app_gz[] = { 31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 206, 207, 43, 206, 207,
	73, 213, 203, 201, 79, 215, 80, 42, 41, 74, 45, 206, 47, 82, 210, 180, 230, 74, 30, 21, 30,
	21, 30, 21, 30, 56, 97, 0, 196, 209, 161, 21, 152, 3, 0, 0 };
static const unsigned char index_gz[] = { 31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 37, 203, 61, 14, 128, 32,
	12, 64, 225, 221, 83, 32, 187, 18, 127, 198, 194, 41, 188, 0, 150, 38, 98, 32, 16, 90, 7,
	111, 111, 12, 227, 75, 190, 7, 99, 40, 40, 111, 37, 117, 73, 78, 14, 36, 74, 34, 119, 52,
	226, 210, 192, 244, 2, 198, 22, 171, 168, 159, 89, 157, 75, 120, 18, 105, 197, 13, 173, 54,
	158, 153, 132, 141, 175, 117, 90, 252, 122, 110, 184, 135, 249, 102, 237, 192, 244, 201, 13,
	31, 51, 203, 39, 49, 98, 0, 0, 0 };

const struct page_file page_files[] = {
	{ "/assets/app-1a2b3c4d.js", "text/javascript; charset=utf-8", "\"aa11\"", app_gz,
		sizeof app_gz, 920, true },
	{ "/index.html", "text/html; charset=utf-8", "\"bb22\"", index_gz, sizeof index_gz, 98,
		false },
};
const size_t page_file_count = sizeof page_files / sizeof page_files[0];
const char page_script_hashes[] = "'sha256-abc='";
