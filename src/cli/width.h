/* cli/width.h - how many columns of a terminal text takes: wide characters two, combining none.
 *
 * By wcwidth(), whose table belongs to the locale; where that does not know a character (it is
 * newer than the table), one column. Text is UTF-8; an invalid byte is a character of one column.
 * A cluster is a character and the combining ones after it: what the cursor steps over. */
#pragma once

#include "base/str.h"

void width_init(void); /* once per process: sets LC_CTYPE to UTF-8 */
/* Bytes of the first character (0: none left). *ret_columns: 0, 1 or 2; -1 for a control byte. */
size_t width_char(struct str s, int *ret_columns);
size_t width_cluster(struct str s, int *ret_columns);
/* Start of the cluster that ends at `at`. */
size_t width_cluster_before(struct str s, size_t at);
size_t width_text(struct str s); /* control bytes count nothing */
