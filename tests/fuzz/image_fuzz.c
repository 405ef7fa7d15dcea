/* Any bytes as a picture: an error, or pixels of the size that was said. */
#include "doc/image.h"

#include "base/fault.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	struct image i = { .rgb = NULL };
	struct err_info info = { .code = OK };
	enum err e = image_decode((struct str){ (const char *)data, size }, &i, &info);
	if (!e != (i.rgb != NULL) || (e && e != ERR_NOMEM && !info.detail[0]))
		DIE("neither pixels nor a reason");
	if (i.rgb && (uint64_t)i.width * i.height > IMAGE_PIXELS_MAX)
		DIE("too many pixels were taken");
	/* each byte is there */
	for (size_t k = 0; i.rgb && k < (size_t)i.width * i.height * 3; k += 997)
		*(volatile unsigned char *)&i.rgb[k];
	image_done(&i);
}
