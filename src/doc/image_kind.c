#include "doc/image.h"

enum image_kind image_kind(struct str s)
{
	if (str_starts(s, STR("\x89PNG\r\n\x1a\n")))
		return IMAGE_PNG;
	if (str_starts(s, STR("\xff\xd8\xff")))
		return IMAGE_JPEG;
	if (str_starts(s, STR("RIFF")) && str_eq(str_sub(s, 8, 4), STR("WEBP")))
		return IMAGE_WEBP;
	return IMAGE_OTHER;
}
