/* api/errors.h - errors that go into the middle of a stream, in each API's form. */
#pragma once

#include "base/json.h"

void error_ollama(const struct err_info *e, struct buf *out); /* {"error":".."} */
/* {"error":{..}}; `code` NULL: by the error. */
void error_openai(
	const struct err_info *e, const char *param, const char *code, struct buf *out);
const char *error_openai_code(enum err e, const char *param); /* static text */
