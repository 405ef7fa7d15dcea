/* cli/history.h - what was asked before, newest last; kept in a file of the person's own.
 *
 * The file has an entry a line, newline and backslash written as \n and \\; mode 0600. Entries are
 * appended, so that two commands at once lose nothing; it is rewritten when it is twice as long as
 * what is kept. A history that cannot be read or written costs its memory, never the talk. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"

enum {
	HISTORY_ENTRIES = 500,
	HISTORY_ENTRY_MAX = 16 * 1024, /* bytes; longer ones are not kept */
};
struct history;
/* `path` (copied): NULL keeps all in memory. Errors: ERR_NOMEM; a file that cannot be read is
 * reported in `info` and OK. */
enum err history_new(const char *path, struct history **ret, struct err_info *info);
struct history *history_free(struct history *h);
DEFINE_AUTO(history)
void history_keep(struct history *h, bool on); /* write to the file from now on, or not */
size_t history_count(const struct history *h);
struct str history_get(const struct history *h, size_t i); /* borrowed until the next add */
/* Nothing is added twice in a row, nor the empty text. Errors: ERR_NOMEM, from errno (added, but
 * not written). */
enum err history_add(struct history *h, struct str text);
/* ${XDG_STATE_HOME:-~/.local/state}/tresor/history. Errors: ERR_NOT_FOUND (no home), ERR_LIMIT. */
enum err history_path(char *ret, size_t size);
